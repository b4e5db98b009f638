/*
 * reader_clang_vla.c: variable-length arrays of one dimension, as what C would have one write
 * without them. `T a[n];` becomes
 *
 *     bytes = n * sizeof(T);
 *     if (bytes > room) { room = 2 * bytes; a = alloca(room); }
 *
 * with a pointer a and numbers bytes and room, which the function's first statements set to zero: a
 * declaration that is met again takes the memory that it has, so that a loop does not eat the
 * stack. sizeof a is bytes. What needs the array's type itself (&a, further dimensions, typedefs)
 * is refused.
 */
#include "lego/reader_clang.h"

struct vla {
    struct decl *pointer, *bytes, *room;
};

static CXType array_type(CXCursor variable)
{
    return clang_getCanonicalType(clang_getCursorType(variable));
}

bool reader_is_vla(CXCursor variable)
{
    return clang_getCursorKind(variable) == CXCursor_VarDecl &&
           array_type(variable).kind == CXType_VariableArray;
}

static struct expr *use(struct reader *r, struct decl *d, struct location at)
{
    return reader_name(r, d, at);
}

static struct stmt *assign(struct reader *r, struct decl *d, struct expr *value, struct location at)
{
    struct expr *e = reader_node(r, EXPR_ASSIGN, d->type, at);
    e->a = use(r, d, at);
    e->b = reader_cast(r, value, d->type);
    struct stmt *s = heap_take(r->heap, sizeof *s);
    *s = (struct stmt){.kind = STMT_EXPR, .at = at, .expr = e};
    return s;
}

static struct stmt *block_of(struct reader *r, struct stmt **items, int n)
{
    struct stmt *s = heap_take(r->heap, sizeof *s);
    *s = (struct stmt){.kind = STMT_BLOCK, .at = items[0]->at, .n = n};
    s->items = heap_take(r->heap, (size_t)n * sizeof *s->items);
    for (int i = 0; i < n; i++)
        s->items[i] = items[i];
    return s;
}

static struct expr *product(struct reader *r, struct expr *count, uint64_t factor)
{
    struct type *number = r->types.basic[TYPE_ULONG];
    struct expr *e = reader_node(r, EXPR_MULTIPLY, number, count->at);
    e->a = reader_cast(r, count, number);
    e->b = reader_int_node(r, number, factor, count->at);
    return e;
}

static struct expr *call_alloca(struct reader *r, struct expr *bytes)
{
    struct type *function = heap_take(r->heap, sizeof *function);
    struct type *number = r->types.basic[TYPE_ULONG];
    *function = (struct type){.kind = TYPE_FUNCTION, .size = 1, .align = 1, .n = 1};
    function->base = type_pointer_to(r->heap, r->types.basic[TYPE_VOID]);
    function->params = heap_take(r->heap, sizeof *function->params);
    function->params[0] = number;
    struct decl *d = reader_library_function(r, "__builtin_alloca", function);
    struct expr *e = reader_node(r, EXPR_CALL, function->base, bytes->at);
    e->a = reader_value(r, use(r, d, bytes->at));
    e->args = heap_take(r->heap, sizeof *e->args);
    e->args[0] = bytes;
    e->n_args = 1;
    return e;
}

static void enter(struct reader *r, struct stmt *s)
{
    heap_grow(r->heap, &r->entry, r->n_entry, sizeof *r->entry);
    r->entry[r->n_entry++] = s;
}

/* Makes d a variable that is zero when the function begins. */
static void enter_zero(struct reader *r, struct decl *d)
{
    struct stmt *declare = heap_take(r->heap, sizeof *declare);
    *declare = (struct stmt){.kind = STMT_DECL, .at = d->at, .decl = d};
    struct expr *zero = reader_int_node(r, r->types.basic[TYPE_LONG], 0, d->at);
    enter(r, declare);
    enter(r, assign(r, d, zero, d->at));
}

static struct vla *make(struct reader *r, CXCursor variable, struct type *element)
{
    struct vla *v = heap_take(r->heap, sizeof *v);
    struct type *number = r->types.basic[TYPE_ULONG];
    struct location at = reader_location(r, variable);
    const char *name = reader_spelling(r, variable);
    v->pointer = reader_temporary(r, type_pointer_to(r->heap, element), name, at);
    v->bytes = reader_temporary(r, number, heap_printf(r->heap, "%s.bytes", name), at);
    v->room = reader_temporary(r, number, heap_printf(r->heap, "%s.room", name), at);
    enter_zero(r, v->pointer);
    enter_zero(r, v->bytes);
    enter_zero(r, v->room);
    cursor_map_put(r->heap, &r->vlas, variable, v);
    return v;
}

struct stmt *reader_vla(struct reader *r, CXCursor variable)
{
    struct children parts = reader_expressions(r, variable);
    CXType inner = clang_getArrayElementType(array_type(variable));
    if (parts.n != 1 || !r->function)
        reader_refuse(r, variable, "a variable-length array of this form");
    struct type *element = reader_type(r, inner, variable); /* refuses a second dimension */
    if (element->align > 16)
        reader_refuse(r, variable, "a variable-length array aligned beyond 16");
    struct expr *count = reader_rvalue(r, parts.items[0]);
    struct location at = count->at;
    struct vla *v = make(r, variable, element);
    struct stmt *grow[] = {
        assign(r, v->room, product(r, use(r, v->bytes, at), 2), at),
        assign(r, v->pointer, call_alloca(r, use(r, v->room, at)), at),
    };
    struct stmt *test = heap_take(r->heap, sizeof *test);
    *test = (struct stmt){.kind = STMT_IF, .at = at, .body = block_of(r, grow, 2)};
    test->expr = reader_node(r, EXPR_GREATER, r->types.basic[TYPE_INT], at);
    test->expr->a = use(r, v->bytes, at);
    test->expr->b = use(r, v->room, at);
    struct stmt *both[] = {
        assign(r, v->bytes, product(r, count, (uint64_t)element->size), at), test};
    return block_of(r, both, 2);
}

/* A parameter T a[n] is a pointer, but n is evaluated nevertheless (C11 6.9.1p10). */
void reader_vla_parameter(struct reader *r, CXCursor parameter)
{
    if (array_type(parameter).kind != CXType_VariableArray)
        return;
    struct children sizes = reader_expressions(r, parameter); /* of all dimensions */
    for (int i = 0; i < sizes.n; i++) {
        struct stmt *s = heap_take(r->heap, sizeof *s);
        *s = (struct stmt){.kind = STMT_EXPR, .at = reader_location(r, parameter)};
        s->expr = reader_rvalue(r, sizes.items[i]);
        enter(r, s);
    }
}

struct expr *reader_vla_name(struct reader *r, CXCursor use_at, CXCursor variable)
{
    const struct vla *v = cursor_map_get(&r->vlas, variable);
    if (!v)
        reader_refuse(r, use_at, "a variable-length array");
    return use(r, v->pointer, reader_location(r, use_at));
}

struct expr *reader_vla_size(struct reader *r, CXCursor sizeof_expr)
{
    struct children list = reader_expressions(r, sizeof_expr);
    while (list.n == 1 && clang_getCursorKind(list.items[0]) == CXCursor_ParenExpr)
        list = reader_expressions(r, list.items[0]);
    if (list.n != 1 || clang_getCursorKind(list.items[0]) != CXCursor_DeclRefExpr)
        return NULL;
    CXCursor variable = clang_getCursorReferenced(list.items[0]);
    const struct vla *v = reader_is_vla(variable) ? cursor_map_get(&r->vlas, variable) : NULL;
    return v ? use(r, v->bytes, reader_location(r, sizeof_expr)) : NULL;
}
