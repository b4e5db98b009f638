/*
 * lowered.h: for tests of reading and lowering: a source read and lowered; the unit printed as C
 * over its lowered objects, built by the host's cc and run.
 */
#ifndef TESTS_LEGO_LOWERED_H
#define TESTS_LEGO_LOWERED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "lego/ir.h"

enum { LOWERED_TEXT_MAX = 1 << 26, LOWERED_OUTPUT_MAX = 1 << 16 };

/* What a command writes, up to max bytes; its exit status, -1: it did not run, 128 + signal. */
static inline int lowered_command(const char *command, char *output, size_t max)
{
    FILE *pipe = popen(command, "r");
    if (!pipe)
        return -1;
    size_t n = fread(output, 1, max - 1, pipe);
    output[n] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The source through the preprocessor of cc; freed by the caller. */
static inline char *lowered_preprocess(const char *source, const char *flags)
{
    char name[] = "/tmp/ashlar-lower-XXXXXX", command[300];
    int fd = mkstemp(name);
    assert_true(fd >= 0 && write(fd, source, strlen(source)) == (ssize_t)strlen(source));
    close(fd);
    snprintf(command, sizeof command, "cc -E %s -x c %s", flags, name);
    char *text = calloc(1, LOWERED_TEXT_MAX);
    assert_non_null(text);
    assert_int_equal(lowered_command(command, text, LOWERED_TEXT_MAX), 0);
    unlink(name);
    return text;
}

/* Reads and lowers preprocessed text; fails the test with the message when that cannot be done. */
static inline struct ir_unit *lowered_unit(const char *text)
{
    ashlar_error err = {0};
    const char *args[] = {"-std=gnu11"};
    struct unit *unit;
    struct ir_unit *ir;
    if (reader_read("test.c", text, strlen(text), args, 1, &unit, &err) != ASHLAR_OK)
        fail_msg("reader: %s", err.message);
    if (lower_unit(unit, &ir, &err) != ASHLAR_OK)
        fail_msg("lowering: %s", err.message);
    return ir;
}

/* The first function that was refused and why; NULL: none was. */
static inline const char *lowered_refusal(const struct ir_unit *ir)
{
    for (int i = 0; i < ir->n_functions; i++)
        if (ir->functions[i].refused)
            return ir->functions[i].refused;
    return NULL;
}

/* Every function as single operations, in place. */
static inline void lowered_flatten(struct ir_unit *ir)
{
    struct heap *h = &ir->unit->heap;
    ashlar_error err = {0};
    jmp_buf bail;
    h->bail = &bail;
    h->error = &err;
    if (setjmp(bail))
        fail_msg("flattening: %s", err.message);
    for (int i = 0; i < ir->n_functions; i++) {
        struct ir_function *f = &ir->functions[i];
        struct ir_list list;
        if (f->refused)
            continue;
        ir_flatten(h, f, f->code, f->n_code, &list);
        f->code = list.code;
        f->n_code = list.n;
        f->n_regions = 0;
        const char *wrong = ir_check(h, f);
        if (wrong)
            fail_msg("%s, flattened: %s", f->decl->name, wrong);
    }
    h->bail = NULL;
    h->error = NULL;
}

/* C text built by cc and run: its exit status (-1: it does not build) and output. */
static inline int lowered_build_and_run(const char *text, size_t length, const char *flags,
                                        int seconds, char *output)
{
    char folder[] = "/tmp/ashlar-lower-XXXXXX", command[400];
    assert_non_null(mkdtemp(folder));
    snprintf(command, sizeof command, "cc -w -O0 %s -x c - -o %s/program -lm -latomic", flags, folder);
    FILE *cc = popen(command, "w");
    assert_non_null(cc);
    fwrite(text, 1, length, cc);
    int status = -1;
    if (pclose(cc) == 0) {
        snprintf(command, sizeof command, "timeout %d %s/program 2>/dev/null", seconds, folder);
        status = lowered_command(command, output, LOWERED_OUTPUT_MAX);
    }
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
    return status;
}

/* The printed unit, built and run. */
static inline int lowered_run(const struct ir_unit *ir, int seconds, char *output)
{
    struct buf text;
    buf_init(&text, LOWERED_TEXT_MAX);
    ir_print_unit(ir, &text);
    assert_false(text.failed);
    int status = lowered_build_and_run(text.data, text.length, "", seconds, output);
    buf_fini(&text);
    return status;
}

#endif
