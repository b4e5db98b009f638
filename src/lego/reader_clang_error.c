/*
 * reader_clang_error.c: what libclang finds wrong with the text. An error of the language ends the
 * file. GNU constructs that libclang does not know are errors to it as well: where each lies in the
 * body of a function, these functions are refused and the others stand, since what is declared
 * outside of a body does not depend on it.
 */
#include <string.h>

#include "base/error.h"
#include "lego/reader_clang.h"

/* What libclang says of constructs that gcc takes, and what they are called. */
static const struct {
    const char *says, *name;
} constructs[] = {
    {"function definition is not allowed here", "a nested function"},
    {"fields must have a constant size", "an array of variable length in a record"},
    {"use of unknown builtin", "an unknown builtin"},
    {"invalid output constraint", "inline assembly"},
    {"invalid input constraint", "inline assembly"},
    {"unknown register name", "inline assembly"},
};

static bool is_error(CXDiagnostic d)
{
    return clang_getDiagnosticSeverity(d) >= CXDiagnostic_Error;
}

/* The construct's name; NULL: an error of the language. Without text: never that. */
static const char *construct_of(const char *text)
{
    for (size_t i = 0; text && i < sizeof constructs / sizeof *constructs; i++)
        if (strstr(text, constructs[i].says))
            return constructs[i].name;
    return NULL;
}

static void report(struct reader *r, CXDiagnostic d, int count)
{
    CXString file, message = clang_getDiagnosticSpelling(d);
    unsigned line = 0, column = 0;
    clang_getPresumedLocation(clang_getDiagnosticLocation(d), &file, &line, &column);
    const char *name = clang_getCString(file), *text = clang_getCString(message);
    const char *construct = construct_of(text);
    error_set(r->heap->error, ASHLAR_BAD_INPUT, "%s:%u:%u: %s%s",
              name && *name ? name : r->unit->source, line, column,
              construct ? construct : text ? text : "not C",
              construct ? " is not supported" : "");
    if (count > 1)
        error_hint(r->heap->error, "%d errors in this file; the first is shown", count);
    clang_disposeString(file);
    clang_disposeString(message);
}

/* The index of the function definition at file scope that holds this place; -1: none. */
static int holder_of(struct reader *r, const struct children *top, CXDiagnostic d)
{
    unsigned offset = 0;
    clang_getFileLocation(clang_getDiagnosticLocation(d), NULL, NULL, NULL, &offset);
    for (int i = 0; i < top->n; i++) {
        size_t start, end;
        CXCursor c = top->items[i];
        if (clang_getCursorKind(c) != CXCursor_FunctionDecl || !clang_isCursorDefinition(c))
            continue;
        struct children parts = reader_children(r, c);
        if (parts.n == 0 ||
            clang_getCursorKind(parts.items[parts.n - 1]) != CXCursor_CompoundStmt)
            continue;
        reader_extent(r, parts.items[parts.n - 1], &start, &end);
        if (offset > start && offset < end)
            return i;
    }
    return -1;
}

/* Refuses the function that holds the error, when it is a construct that ends no more than that. */
static void refuse_holder(struct reader *r, const struct children *top, CXDiagnostic d)
{
    CXString file, message = clang_getDiagnosticSpelling(d);
    const char *construct = construct_of(clang_getCString(message));
    int holder = construct ? holder_of(r, top, d) : -1;
    clang_disposeString(message);
    if (holder < 0 || reader_broken(r, holder))
        return;
    unsigned line = 0, column = 0;
    clang_getPresumedLocation(clang_getDiagnosticLocation(d), &file, &line, &column);
    const char *name = clang_getCString(file);
    heap_grow(r->heap, &r->broken, r->n_broken, sizeof *r->broken);
    r->broken[r->n_broken++] = (struct broken){
        holder, heap_printf(r->heap, "%s:%u:%u: %s is not supported",
                            name && *name ? name : r->unit->source, line, column, construct)};
    clang_disposeString(file);
}

/* Does the error lie in a function that is refused? Others there may follow from the construct. */
static bool is_held(struct reader *r, const struct children *top, CXDiagnostic d)
{
    int holder = r->n_broken ? holder_of(r, top, d) : -1;
    return holder >= 0 && reader_broken(r, holder);
}

bool reader_has_errors(struct reader *r, const struct children *top)
{
    unsigned n = clang_getNumDiagnostics(r->tu);
    int errors = 0;
    bool ends = false;
    for (unsigned i = 0; i < n; i++) {
        CXDiagnostic d = clang_getDiagnostic(r->tu, i);
        if (is_error(d))
            refuse_holder(r, top, d);
        errors += is_error(d);
        clang_disposeDiagnostic(d);
    }
    for (unsigned i = 0; i < n && !ends; i++) {
        CXDiagnostic d = clang_getDiagnostic(r->tu, i);
        ends = is_error(d) && !is_held(r, top, d);
        if (ends)
            report(r, d, errors);
        clang_disposeDiagnostic(d);
    }
    return ends;
}

const char *reader_broken(const struct reader *r, int declaration)
{
    for (int i = 0; i < r->n_broken; i++)
        if (r->broken[i].declaration == declaration)
            return r->broken[i].message;
    return NULL;
}
