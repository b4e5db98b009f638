/*
 * reader_clang.c: a translation unit through libclang 14: gives it the text and walks the
 * declarations of file scope, each under a refusal point of its own.
 *
 * The text is parsed as preprocessed C (-x cpp-output) behind a prelude of one line that names
 * types which gcc's headers take for granted. Locations are those of the line markers.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "lego/reader_clang.h"

/* Later passes recurse over the tree too: the bound on nesting is for their stacks as well. */
enum { MAX_DEPTH = 2000, MAX_ARGS = 64 };

/* gcc's C library headers use these names as keywords when gcc preprocesses them. */
static const char prelude[] =
    "typedef float _Float32; typedef double _Float64; typedef double _Float32x;"
    "typedef long double _Float64x; typedef __float128 _Float128;\n";

/* The name is kept from one call to the next: a file's declarations follow each other. */
struct location reader_location(struct reader *r, CXCursor c)
{
    CXString file;
    unsigned line = 0, column = 0;
    clang_getPresumedLocation(clang_getCursorLocation(c), &file, &line, &column);
    const char *name = clang_getCString(file);
    if (!name)
        name = "";
    if (!r->file || strcmp(r->file, name) != 0)
        r->file = heap_copy(r->heap, name, strlen(name));
    clang_disposeString(file);
    return (struct location){r->file, (int)line, (int)column};
}

void reader_refuse_again(struct reader *r, const char *message)
{
    r->refused = message;
    longjmp(*r->refusal, 1);
}

void reader_refuse(struct reader *r, CXCursor at, const char *format, ...)
{
    char what[300];
    va_list args;
    struct location where = reader_location(r, at);
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    reader_refuse_again(r, heap_printf(r->heap, "%s:%d:%d: %s is not supported", where.file,
                                       where.line, where.column, what));
}

void reader_enter(struct reader *r, CXCursor at)
{
    if (++r->depth > MAX_DEPTH)
        reader_refuse(r, at, "nesting deeper than %d levels", MAX_DEPTH);
}

void reader_leave(struct reader *r)
{
    r->depth--;
}

/* ---- the walk ---- */

/* Lists under each entity its declarations at file scope. */
static void group(struct reader *r, const struct children *all)
{
    struct redeclarations *list;
    for (int i = 0; i < all->n; i++) {
        CXCursor c = all->items[i];
        enum CXCursorKind kind = clang_getCursorKind(c);
        if (kind != CXCursor_FunctionDecl && kind != CXCursor_VarDecl)
            continue;
        CXCursor key = clang_getCanonicalCursor(c);
        list = cursor_map_get(&r->redeclarations, key);
        if (!list) {
            list = heap_take(r->heap, sizeof *list);
            cursor_map_put(r->heap, &r->redeclarations, key, list);
        }
        heap_grow(r->heap, &list->items, list->n, sizeof *list->items);
        list->items[list->n++] = c;
    }
}

static void walk(struct reader *r)
{
    struct children all = r->top_level;
    group(r, &all);
    /* volatile: it changes between setjmp() and longjmp() (C11 7.13.2.1p3) */
    for (volatile int i = 0; i < all.n; i++) {
        jmp_buf refusal;
        if (setjmp(refusal) == 0) {
            const char *broken = reader_broken(r, i);
            r->refusal = &refusal;
            if (broken)
                reader_refuse_again(r, broken);
            reader_top_level(r, all.items[i]);
        } else {
            reader_refused_definition(r, all.items[i], r->refused);
        }
        r->refusal = NULL;
    }
    /* only now every reference is known, also from definitions that stand behind what they use */
    reader_mark_used(r);
    reader_drop_unused(r);
    for (int i = 0; i < r->n_volatile_records; i++) {
        struct type *copy = r->volatile_records[i];
        copy->fields = copy->plain->fields;
        copy->n = copy->plain->n;
    }
}

static enum CXErrorCode parse(struct reader *r, CXIndex index, const char *name,
                              const char *const *given, int n_given)
{
    /* ours first: of two -std= the last one counts */
    const char *args[MAX_ARGS + 8] = {"-std=gnu17", "-w", "-undef", "-ferror-limit=100",
                                      "-Wno-return-type"};
    int n = 5;
    for (int i = 0; i < n_given; i++) {
        args[n++] = given[i];
        /* C90's `inline` is GNU's: extern inline is what is not emitted, the reverse of C99 (C11
         * 6.7.4p7) */
        r->gnu_inline |= strcmp(given[i], "-std=gnu89") == 0 ||
                         strcmp(given[i], "-std=gnu90") == 0 || strcmp(given[i], "-std=c89") == 0 ||
                         strcmp(given[i], "-std=c90") == 0 || strcmp(given[i], "-ansi") == 0 ||
                         strcmp(given[i], "-fgnu89-inline") == 0;
    }
    args[n++] = "-x";
    args[n++] = "cpp-output";
    struct CXUnsavedFile file = {name, r->text, (unsigned long)r->length};
    return clang_parseTranslationUnit2(index, name, args, n, &file, 1, CXTranslationUnit_None,
                                       &r->tu);
}

/* The prelude, a marker that puts the source at its line 1, and the source. */
static char *assemble_text(const char *name, const char *text, size_t length, size_t *total)
{
    size_t head = sizeof prelude + strlen(name) * 2 + 32;
    char *whole = malloc(head + length + 1);
    if (!whole)
        return NULL;
    int n = snprintf(whole, head, "# 1 \"<prelude>\"\n%s# 1 \"", prelude);
    size_t at = (size_t)n;
    for (const char *c = name; *c; c++) {
        /* the name stands in a string of a line marker */
        if (*c == '"' || *c == '\\')
            whole[at++] = '\\';
        whole[at++] = *c == '\n' ? ' ' : *c;
    }
    memcpy(whole + at, "\"\n", 2);
    memcpy(whole + at + 2, text, length);
    *total = at + 2 + length;
    whole[*total] = '\0';
    return whole;
}

static void read_tree(void *context)
{
    struct reader *r = context;
    r->top_level = reader_children(r, clang_getTranslationUnitCursor(r->tu));
    if (reader_has_errors(r, &r->top_level))
        heap_leave(r->heap, r->heap->error);
    /* the caller's copy ends with the call, the unit does not */
    r->unit->source = heap_copy(r->heap, r->unit->source, strlen(r->unit->source));
    type_table_init(&r->types, r->heap);
    walk(r);
}

static ashlar_status read_text(struct reader *r, CXIndex index, const char *const *args, int n_args,
                               ashlar_error *err)
{
    if (n_args > MAX_ARGS)
        return error_set(err, ASHLAR_USAGE, "%s: %d options for the reader, more than %d",
                         r->unit->source, n_args, MAX_ARGS);
    enum CXErrorCode code = parse(r, index, "source.i", args, n_args);
    if (code != CXError_Success)
        return error_set(err, ASHLAR_BAD_INPUT, "%s: libclang could not read it (code %d)",
                         r->unit->source, (int)code);
    return heap_run(r->heap, read_tree, r, err);
}

ashlar_status reader_read(const char *source_name, const char *text, size_t length,
                          const char *const *clang_args, int n_args, struct unit **out,
                          ashlar_error *err)
{
    struct unit *unit = calloc(1, sizeof *unit);
    size_t total = 0;
    char *whole = assemble_text(source_name, text, length, &total);
    char *name = strdup(source_name);
    CXIndex index = clang_createIndex(0, 0);
    ashlar_status status;
    *out = NULL;
    if (!unit || !whole || !name || !index) {
        status = error_memory(err, length, "the source");
    } else {
        heap_init(&unit->heap);
        unit->source = name;
        struct reader r = {.unit = unit, .heap = &unit->heap, .text = whole, .length = total};
        reader_adapt_text(&r, whole);
        status = read_text(&r, index, clang_args, n_args, err);
        if (r.tu)
            clang_disposeTranslationUnit(r.tu);
    }
    if (index)
        clang_disposeIndex(index);
    /* names and strings were copied: nothing points into the text any more */
    free(whole);
    if (status == ASHLAR_OK)
        *out = unit;
    else
        unit_free(unit);
    free(name);
    return status;
}

void unit_free(struct unit *unit)
{
    if (!unit)
        return;
    heap_fini(&unit->heap);
    free(unit);
}
