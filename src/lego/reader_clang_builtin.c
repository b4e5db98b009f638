/*
 * reader_clang_builtin.c: functions that only the compiler knows. Those of variable arguments and
 * those with a constant value end here; the others become calls of a function of that name, which
 * lowering replaces.
 */
#include <string.h>

#include "lego/reader_clang.h"

static struct expr *variadic(struct reader *r, CXCursor call, enum expr_kind kind,
                             struct children args)
{
    struct expr *e = reader_node(r, kind, r->types.basic[TYPE_VOID], reader_location(r, call));
    if (args.n < 1 || (kind == EXPR_VA_COPY && args.n < 2))
        reader_refuse(r, call, "a va_list builtin without its list");
    e->a = reader_rvalue(r, args.items[0]);
    if (kind == EXPR_VA_COPY)
        e->b = reader_rvalue(r, args.items[1]);
    return e;
}

static struct expr *complex_of(struct reader *r, CXCursor call, struct children args)
{
    struct expr *e =
        reader_node(r, EXPR_COMPLEX, reader_type_of(r, call), reader_location(r, call));
    if (args.n != 2 || e->type->kind != TYPE_COMPLEX)
        reader_refuse(r, call, "__builtin_complex of unknown structure");
    e->a = reader_cast(r, reader_rvalue(r, args.items[0]), e->type->base);
    e->b = reader_cast(r, reader_rvalue(r, args.items[1]), e->type->base);
    return e;
}

/* conj, creal, cimag, with f and l behind them too: operators in GNU C. NULL: none of them. */
static struct expr *complex_part(struct reader *r, CXCursor call, const char *name,
                                 struct children args)
{
    size_t n = strlen(name);
    bool suffix = n > 0 && (name[n - 1] == 'f' || name[n - 1] == 'l') && strcmp(name, "creal") != 0;
    char plain[8] = "";
    if (n - suffix >= sizeof plain || args.n != 1)
        return NULL;
    memcpy(plain, name, n - suffix);
    bool conjugate = strcmp(plain, "conj") == 0, imaginary = strcmp(plain, "cimag") == 0;
    if (!conjugate && !imaginary && strcmp(plain, "creal") != 0)
        return NULL;
    struct expr *z = reader_rvalue(r, args.items[0]);
    struct location at = reader_location(r, call);
    if (z->type->kind != TYPE_COMPLEX)
        return NULL;
    if (conjugate)
        return reader_unary(r, EXPR_COMPLEMENT, z, at);
    return reader_member(r, z, &type_plain(z->type)->fields[imaginary], at);
}

/* What is constant is decided as early as gcc does without optimisation: by libclang, or it is not.
 */
static struct expr *constant(struct reader *r, CXCursor call, int64_t otherwise)
{
    int64_t value;
    if (!reader_evaluate(call, &value))
        value = otherwise;
    return reader_int_node(r, reader_type_of(r, call), (uint64_t)value, reader_location(r, call));
}

/* Is the callee a builtin of libclang's, rather than a name that it declared implicitly? */
static bool is_known(struct reader *r, CXCursor callee)
{
    while (clang_getCursorKind(callee) != CXCursor_DeclRefExpr) {
        struct children inner = reader_expressions(r, callee);
        if (inner.n != 1)
            return false;
        callee = inner.items[0];
    }
    enum CXTypeKind kind = clang_getCanonicalType(clang_getCursorType(callee)).kind;
    return kind != CXType_FunctionProto && kind != CXType_FunctionNoProto;
}

/* These take arguments of any type: floats must not be promoted, or isnormal would see another
 * number. */
static struct expr *named_call(struct reader *r, CXCursor call, const char *name,
                               struct children args)
{
    struct children all = reader_expressions(r, call);
    CXType callee = clang_getPointeeType(clang_getCanonicalType(clang_getCursorType(all.items[0])));
    if (!is_known(r, all.items[0]))
        reader_refuse(r, call, "%s", name);
    struct type *type = reader_type(r, callee, call);
    struct location at = reader_location(r, call);
    struct decl *d = reader_library_function(r, name, type);
    struct expr *e = reader_node(r, EXPR_CALL, reader_value_type(r, call), at);
    e->a = reader_value(r, reader_name(r, d, at));
    e->n_args = args.n;
    e->args = heap_take(r->heap, (size_t)args.n * sizeof *e->args);
    for (int i = 0; i < args.n; i++) {
        struct expr *value = reader_rvalue(r, args.items[i]);
        e->args[i] =
            i < type->n ? reader_cast(r, value, type->params[i]) : reader_promote(r, value);
    }
    return e;
}

static bool starts_with(const char *text, const char *head)
{
    return strncmp(text, head, strlen(head)) == 0;
}

struct expr *reader_builtin(struct reader *r, CXCursor call, const char *name, struct children args)
{
    if (starts_with(name, "__sync_") || starts_with(name, "__atomic_"))
        return reader_atomic_call(r, call, name, args);
    if (starts_with(name, "__c11_"))
        reader_refuse(r, call, "the atomic operation %s", name);
    if (!starts_with(name, "__builtin_"))
        return NULL;
    const char *rest = name + strlen("__builtin_");
    if (strcmp(rest, "va_start") == 0)
        return variadic(r, call, EXPR_VA_START, args);
    if (strcmp(rest, "va_end") == 0)
        return variadic(r, call, EXPR_VA_END, args);
    if (strcmp(rest, "va_copy") == 0)
        return variadic(r, call, EXPR_VA_COPY, args);
    if (strcmp(rest, "complex") == 0)
        return complex_of(r, call, args);
    if (strcmp(rest, "constant_p") == 0)
        return constant(r, call, 0);
    if (strcmp(rest, "classify_type") == 0)
        return constant(r, call, -1);
    struct expr *part = complex_part(r, call, rest, args);
    return part ? part : named_call(r, call, name, args);
}
