/*
 * read.h: for tests of the reader: sources read into units, and what is found there.
 */
#ifndef TESTS_LEGO_READ_H
#define TESTS_LEGO_READ_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "lego/ast.h"
#include "lego/constant.h"
#include "lego/type.h"

static inline struct unit *read_args(const char *source, const char *const *args, int n)
{
    ashlar_error err = {0};
    struct unit *u = NULL;
    if (reader_read("t.c", source, strlen(source), args, n, &u, &err) != ASHLAR_OK)
        fail_msg("%s", err.message);
    return u;
}

static inline struct unit *read_source(const char *source)
{
    return read_args(source, NULL, 0);
}

static inline struct decl *find(const struct unit *u, const char *name)
{
    for (int i = 0; i < u->n; i++) {
        if (strcmp(u->decls[i]->name, name) == 0)
            return u->decls[i];
    }
    return NULL;
}

static inline struct decl *must_find(const struct unit *u, const char *name)
{
    struct decl *d = find(u, name);
    if (!d)
        fail_msg("no %s in the unit", name);
    return d;
}

/* The printed tree holds this text. */
static inline void assert_tree(const char *source, const char *expected)
{
    struct unit *u = read_source(source);
    struct buf out;
    buf_init(&out, 1 << 24);
    ast_print(u, &out);
    assert_false(out.failed);
    if (!strstr(out.data, expected))
        fail_msg("the tree of\n%s\nlacks\n%s\nit is\n%s", source, expected, out.data);
    buf_fini(&out);
    unit_free(u);
}

/* The definition is refused with a message that holds this text; others in the file are not. */
static inline void assert_refused(const char *source, const char *name, const char *expected)
{
    struct unit *u = read_source(source);
    for (int i = 0; i < u->n; i++) {
        const struct decl *d = u->decls[i];
        if (strcmp(d->name, name) != 0) {
            assert_null(d->refused);
        } else if (!d->refused || !strstr(d->refused, expected)) {
            fail_msg("%s: refused with \"%s\", not \"%s\"", name,
                     d->refused ? d->refused : "nothing", expected);
        }
    }
    assert_non_null(must_find(u, name)->refused);
    unit_free(u);
}

#endif
