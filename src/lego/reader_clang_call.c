/*
 * reader_clang_call.c: calls. A call of a compiler builtin goes to reader_clang_builtin.c; of the
 * others the arguments are converted as by assignment to the parameters, or promoted where there
 * are none.
 */
#include <string.h>

#include "lego/reader_clang.h"

/* The function that a callee names directly, or a null cursor. */
static CXCursor named_callee(struct reader *r, CXCursor callee)
{
    for (;;) {
        enum CXCursorKind kind = clang_getCursorKind(callee);
        if (kind == CXCursor_DeclRefExpr) {
            CXCursor referenced = clang_getCursorReferenced(callee);
            bool function = clang_getCursorKind(referenced) == CXCursor_FunctionDecl;
            return function ? referenced : clang_getNullCursor();
        }
        if (kind != CXCursor_UnexposedExpr && kind != CXCursor_ParenExpr)
            return clang_getNullCursor();
        struct children inner = reader_expressions(r, callee);
        if (inner.n != 1)
            return clang_getNullCursor();
        callee = inner.items[0];
    }
}

static struct expr *plain_call(struct reader *r, CXCursor c, struct expr *callee,
                               struct children args)
{
    struct type *type = callee->type->kind == TYPE_POINTER ? callee->type->base : callee->type;
    if (type->kind != TYPE_FUNCTION)
        reader_refuse(r, c, "a call of something that is no function");
    struct expr *e = reader_node(r, EXPR_CALL, type_plain(type->base), reader_location(r, c));
    e->a = callee;
    e->n_args = args.n;
    e->args = heap_take(r->heap, (size_t)args.n * sizeof *e->args);
    if (args.n < type->n || (args.n > type->n && !type->variadic && !type->no_prototype))
        reader_refuse(r, c, "a call with a wrong number of arguments");
    for (int i = 0; i < args.n; i++) {
        struct expr *value = reader_rvalue(r, args.items[i]);
        bool declared = i < type->n;
        e->args[i] = declared ? reader_cast(r, value, type->params[i])
                              : reader_promote_argument(r, value);
    }
    return e;
}

struct expr *reader_call(struct reader *r, CXCursor c)
{
    struct children list = reader_expressions(r, c);
    if (list.n < 1)
        reader_refuse(r, c, "a call of unknown structure");
    struct children args = {list.items + 1, list.n - 1};
    CXCursor function = named_callee(r, list.items[0]);
    if (!clang_Cursor_isNull(function)) {
        const char *name = reader_spelling(r, function);
        struct expr *e = reader_builtin(r, c, name, args);
        if (e)
            return e;
    }
    return plain_call(r, c, reader_rvalue(r, list.items[0]), args);
}
