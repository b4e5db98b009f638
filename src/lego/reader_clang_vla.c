/*
 * reader_clang_vla.c: types of variable length. The size of each is a variable that is set where
 * its declaration is reached (C11 6.7.6.2p5): type->bytes. An object of such a type becomes what C
 * would have one write without them. `T a[n][m];` is
 *
 *     row = m * sizeof(T);  bytes = n * row;
 *     if (bytes > room) { room = 2 * bytes; a = alloca(room); }
 *
 * with a pointer a to the array and a number room, both zero when the function begins: a
 * declaration that is met again takes the memory that it has, so that a loop does not eat the
 * stack. The name is *a then; indexing steps by row, and sizeof reads bytes.
 *
 * libclang lists the lengths of a declarator as expressions below its cursor, the innermost first,
 * those behind a typedef's name not; it keeps one type per declarator, so that a type that has its
 * size already came by a name.
 */
#include "lego/reader_clang.h"

#include "lego/constant.h"

struct vla {
    struct decl *pointer, *room;
};

/* The lengths of one declarator and how far they are used up. */
struct lengths {
    const CXCursor *items;
    int n, next;
    bool constants_too;   /* dimensions of constant length have an expression as well */
    struct expr **sizes;  /* (n_sizes) assignments in their order */
    int n_sizes;
};

/* ---- types ---- */

static CXType type_of(CXCursor c)
{
    return clang_getCanonicalType(clang_getCursorType(c));
}

bool reader_is_vla(CXCursor variable)
{
    return clang_getCursorKind(variable) == CXCursor_VarDecl &&
           type_of(variable).kind == CXType_VariableArray;
}

static bool is_array(CXType t)
{
    return t.kind == CXType_ConstantArray || t.kind == CXType_IncompleteArray ||
           t.kind == CXType_VariableArray;
}

bool reader_is_variable(CXType t)
{
    t = clang_getCanonicalType(t);
    while (t.kind != CXType_VariableArray && (is_array(t) || t.kind == CXType_Pointer))
        t = clang_getCanonicalType(is_array(t) ? clang_getArrayElementType(t)
                                               : clang_getPointeeType(t));
    return t.kind == CXType_VariableArray;
}

struct type *reader_vla_type(struct reader *r, CXType t, CXCursor at)
{
    struct type *element = reader_type(r, clang_getArrayElementType(t), at);
    struct type *array = type_array_of(r->heap, element, -1);
    array->is_variable = true;
    return array;
}

/* ---- trees ---- */

static struct expr *use(struct reader *r, struct decl *d, struct location at)
{
    return reader_name(r, d, at);
}

static struct expr *assigned(struct reader *r, struct decl *d, struct expr *value,
                             struct location at)
{
    struct expr *e = reader_node(r, EXPR_ASSIGN, d->type, at);
    e->a = use(r, d, at);
    e->b = reader_cast(r, value, d->type);
    return e;
}

static struct stmt *statement(struct reader *r, struct expr *e)
{
    struct stmt *s = heap_take(r->heap, sizeof *s);
    *s = (struct stmt){.kind = STMT_EXPR, .at = e->at, .expr = e};
    return s;
}

static struct stmt *new_block(struct reader *r, struct location at)
{
    struct stmt *s = heap_take(r->heap, sizeof *s);
    *s = (struct stmt){.kind = STMT_BLOCK, .at = at};
    return s;
}

static void append(struct reader *r, struct stmt *block, struct stmt *s)
{
    heap_grow(r->heap, &block->items, block->n, sizeof *block->items);
    block->items[block->n++] = s;
}

static struct expr *product(struct reader *r, struct expr *x, struct expr *y)
{
    struct type *number = r->types.basic[TYPE_ULONG];
    struct expr *e = reader_node(r, EXPR_MULTIPLY, number, x->at);
    e->a = reader_cast(r, x, number);
    e->b = reader_cast(r, y, number);
    return e;
}

static struct expr *size_of(struct reader *r, struct type *t, struct location at)
{
    if (t->is_variable)
        return use(r, t->bytes, at);
    return reader_int_node(r, r->types.basic[TYPE_ULONG], (uint64_t)t->size, at);
}

/* ---- sizes ---- */

/* Dimensions whose size is not known yet, and those of constant length beside them. */
static void count(struct reader *r, CXType t, CXCursor at, int *variable, int *constant)
{
    for (;;) {
        t = clang_getCanonicalType(t);
        if (t.kind == CXType_Pointer) {
            t = clang_getPointeeType(t);
            continue;
        }
        if (!is_array(t) || (t.kind == CXType_VariableArray && reader_type(r, t, at)->bytes))
            return;
        *variable += t.kind == CXType_VariableArray;
        *constant += t.kind == CXType_ConstantArray;
        t = clang_getArrayElementType(t);
    }
}

static void set_size(struct reader *r, struct lengths *l, struct type *t, CXCursor length)
{
    struct expr *value = reader_rvalue(r, length);
    if (t->base->size < 0 && !t->base->bytes)
        reader_refuse(r, length, "a variable-length array of elements of unknown size");
    struct decl *bytes = reader_temporary(r, r->types.basic[TYPE_ULONG],
                                          heap_printf(r->heap, "bytes.%d", r->serial), value->at);
    value = product(r, value, size_of(r, t->base, value->at));
    t->bytes = t->plain->bytes = bytes;
    heap_grow(r->heap, &l->sizes, l->n_sizes, sizeof *l->sizes);
    l->sizes[l->n_sizes++] = assigned(r, bytes, value, value->at);
}

static void measure(struct reader *r, struct lengths *l, CXType from, CXCursor at)
{
    CXType t = clang_getCanonicalType(from);
    reader_enter(r, at);
    if (t.kind == CXType_Pointer) {
        measure(r, l, clang_getPointeeType(t), at);
    } else if (is_array(t)) {
        struct type *type = reader_type(r, t, at);
        if (!type->bytes) {
            measure(r, l, clang_getArrayElementType(t), at);
            if (type->is_variable)
                set_size(r, l, type, l->items[l->next++]);
            else if (t.kind == CXType_ConstantArray)
                l->next += l->constants_too;
        }
    }
    reader_leave(r);
}

/* Works out the sizes that a declarator of this type has to set. */
static struct lengths sizes_of(struct reader *r, CXType t, const CXCursor *items, int n,
                               CXCursor at)
{
    struct lengths l = {.items = items, .n = n};
    int variable = 0, constant = 0;
    count(r, t, at, &variable, &constant);
    if (variable == 0)
        return l; /* by a name, or from the type of something else */
    l.constants_too = n == variable + constant;
    if (n != variable && !l.constants_too)
        reader_refuse(r, at, "a variable-length array of this form");
    measure(r, &l, t, at);
    return l;
}

/* ---- declarations ---- */

static struct expr *call_alloca(struct reader *r, struct expr *bytes)
{
    struct type *function = heap_take(r->heap, sizeof *function);
    struct type *number = r->types.basic[TYPE_ULONG];
    *function = (struct type){
        .kind = TYPE_FUNCTION, .size = 1, .align = 1, .n = 1, .plain = function};
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

/* A variable that is zero when the function begins. */
static struct decl *zeroed(struct reader *r, struct type *type, const char *name,
                           struct location at)
{
    struct decl *d = reader_temporary(r, type, name, at);
    struct stmt *declare = heap_take(r->heap, sizeof *declare);
    *declare = (struct stmt){.kind = STMT_DECL, .at = at, .decl = d};
    enter(r, declare);
    struct expr *zero = reader_int_node(r, r->types.basic[TYPE_LONG], 0, at);
    enter(r, statement(r, assigned(r, d, zero, at)));
    return d;
}

/* Appends what finds memory for the object. */
static void allocate(struct reader *r, struct stmt *block, CXCursor variable, struct type *type)
{
    struct vla *v = heap_take(r->heap, sizeof *v);
    struct type *number = r->types.basic[TYPE_ULONG];
    struct location at = reader_location(r, variable);
    const char *name = reader_spelling(r, variable);
    if (type->align > 16)
        reader_refuse(r, variable, "a variable-length array aligned beyond 16");
    v->pointer = zeroed(r, type_pointer_to(r->heap, type), name, at);
    v->room = zeroed(r, number, heap_printf(r->heap, "%s.room", name), at);
    cursor_map_put(r->heap, &r->vlas, variable, v);
    struct stmt *grow = new_block(r, at), *test = heap_take(r->heap, sizeof *test);
    struct expr *twice = product(r, size_of(r, type, at), reader_int_node(r, number, 2, at));
    append(r, grow, statement(r, assigned(r, v->room, twice, at)));
    struct expr *memory = call_alloca(r, use(r, v->room, at));
    append(r, grow, statement(r, assigned(r, v->pointer, memory, at)));
    *test = (struct stmt){.kind = STMT_IF, .at = at, .body = grow};
    test->expr = reader_node(r, EXPR_GREATER, r->types.basic[TYPE_INT], at);
    test->expr->a = size_of(r, type, at);
    test->expr->b = use(r, v->room, at);
    append(r, block, test);
}

struct stmt *reader_vla_sizes(struct reader *r, CXCursor declaration)
{
    struct children list = reader_expressions(r, declaration);
    CXType t = clang_getCursorType(declaration);
    struct stmt *block = new_block(r, reader_location(r, declaration));
    if (clang_getCursorKind(declaration) == CXCursor_TypedefDecl)
        t = clang_getTypedefDeclUnderlyingType(declaration);
    else if (!clang_Cursor_isNull(clang_Cursor_getVarDeclInitializer(declaration)))
        list.n--;
    if (!r->function)
        reader_refuse(r, declaration, "a type of variable length here");
    struct lengths l = sizes_of(r, t, list.items, list.n, declaration);
    for (int i = 0; i < l.n_sizes; i++)
        append(r, block, statement(r, l.sizes[i]));
    if (reader_is_vla(declaration))
        allocate(r, block, declaration, reader_type(r, t, declaration));
    return block;
}

/* A parameter T a[n] is a pointer, but n is evaluated nevertheless (C11 6.9.1p10). */
void reader_vla_parameter(struct reader *r, CXCursor parameter)
{
    CXType t = type_of(parameter);
    if (!reader_is_variable(t))
        return;
    struct children list = reader_expressions(r, parameter);
    bool is_sized = t.kind == CXType_VariableArray && list.n > 0;
    CXType inner = is_array(t) ? clang_getArrayElementType(t) : t;
    struct lengths l =
        sizes_of(r, inner, list.items, is_sized ? list.n - 1 : list.n, parameter);
    for (int i = 0; i < l.n_sizes; i++)
        enter(r, statement(r, l.sizes[i]));
    if (is_sized)
        enter(r, statement(r, reader_rvalue(r, list.items[list.n - 1])));
}

/* ---- uses ---- */

struct expr *reader_vla_name(struct reader *r, CXCursor use_at, CXCursor variable)
{
    const struct vla *v = cursor_map_get(&r->vlas, variable);
    struct location at = reader_location(r, use_at);
    if (!v)
        reader_refuse(r, use_at, "a variable-length array here");
    return reader_deref(r, use(r, v->pointer, at), at);
}

struct expr *reader_vla_cast(struct reader *r, CXCursor cast, struct expr *value)
{
    struct children list = reader_expressions(r, cast);
    struct lengths l =
        sizes_of(r, clang_getCursorType(cast), list.items, list.n - 1, cast);
    for (int i = l.n_sizes - 1; i >= 0; i--) {
        struct expr *both = reader_node(r, EXPR_COMMA, value->type, value->at);
        both->a = l.sizes[i];
        both->b = value;
        value = both;
    }
    return value;
}

/* The type that sizeof (T) names, when T is nothing but a typedef's name. */
static struct type *named_type(struct reader *r, CXCursor sizeof_expr)
{
    struct children all = reader_children(r, sizeof_expr);
    struct token t = reader_token(r, reader_first_token(r, sizeof_expr).end);
    if (all.n < 1 || clang_getCursorKind(all.items[0]) != CXCursor_TypeRef ||
        !reader_token_is(r, t, "("))
        return NULL;
    t = reader_token(r, reader_token(r, t.end).end);
    return reader_token_is(r, t, ")") ? reader_type_of(r, all.items[0]) : NULL;
}

struct expr *reader_vla_sizeof(struct reader *r, CXCursor sizeof_expr)
{
    struct children list = reader_expressions(r, sizeof_expr);
    struct location at = reader_location(r, sizeof_expr);
    struct type *type = named_type(r, sizeof_expr);
    if (!type && list.n == 1 && type_of(list.items[0]).kind == CXType_VariableArray) {
        struct expr *operand = reader_expr(r, list.items[0]);
        if (constant_has_effects(operand))
            reader_refuse(r, sizeof_expr, "sizeof of a variable-length array with side effects");
        type = operand->type;
    }
    return type && type->is_variable && type->bytes ? use(r, type->bytes, at) : NULL;
}
