/*
 * reader_clang_expr.c: expressions. Each kind of cursor has its function; what each returns is
 * compared with the type that libclang gives the cursor, and a difference refuses the function
 * rather than mistranslate it.
 */
#include <string.h>

#include "lego/constant.h"
#include "lego/reader_clang.h"

struct operator_name {
    const char *text;
    enum expr_kind kind;
};

static const struct operator_name binaries[] = {
    {"+", EXPR_ADD}, {"-", EXPR_SUBTRACT}, {"*", EXPR_MULTIPLY}, {"/", EXPR_DIVIDE},
    {"%", EXPR_REMAINDER}, {"<<", EXPR_SHIFT_LEFT}, {">>", EXPR_SHIFT_RIGHT}, {"&", EXPR_AND},
    {"^", EXPR_XOR}, {"|", EXPR_OR}, {"==", EXPR_EQUAL}, {"!=", EXPR_UNEQUAL}, {"<", EXPR_LESS},
    {"<=", EXPR_LESS_EQUAL}, {">", EXPR_GREATER}, {">=", EXPR_GREATER_EQUAL},
    {"&&", EXPR_LOGICAL_AND}, {"||", EXPR_LOGICAL_OR}, {",", EXPR_COMMA}, {"=", EXPR_ASSIGN}};

/* By the operator that is applied; the assignment itself is EXPR_ASSIGN_OP. */
static const struct operator_name assignments[] = {
    {"+=", EXPR_ADD}, {"-=", EXPR_SUBTRACT}, {"*=", EXPR_MULTIPLY}, {"/=", EXPR_DIVIDE},
    {"%=", EXPR_REMAINDER}, {"<<=", EXPR_SHIFT_LEFT}, {">>=", EXPR_SHIFT_RIGHT},
    {"&=", EXPR_AND}, {"^=", EXPR_XOR}, {"|=", EXPR_OR}};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static enum expr_kind operator_kind(struct reader *r, CXCursor at, struct token t,
                                    const struct operator_name *table, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (reader_token_is(r, t, table[i].text))
            return table[i].kind;
    }
    reader_refuse(r, at, "operator '%.*s'", (int)(t.end - t.start > 8 ? 8 : t.end - t.start),
                  r->text + t.start);
}

/* The children of an expression, of which there must be n. */
static CXCursor *operands(struct reader *r, CXCursor c, int n)
{
    struct children list = reader_expressions(r, c);
    if (list.n != n)
        reader_refuse(r, c, "an expression of unknown structure");
    return list.items;
}

struct expr *reader_rvalue(struct reader *r, CXCursor c)
{
    return reader_value(r, reader_expr(r, c));
}

/* ---- operators ---- */

/* The value of an assignment is what was stored, no lvalue (C11 6.5.16p3). */
static struct expr *assign(struct reader *r, CXCursor c, struct expr *a, struct expr *b)
{
    struct expr *e = reader_node(r, EXPR_ASSIGN, type_plain(a->type), reader_location(r, c));
    e->a = a;
    e->b = reader_cast(r, reader_value(r, b), a->type);
    return e;
}

static bool is_implicit(struct reader *r, CXCursor c, const struct children *list);

static bool is_complex(CXCursor c)
{
    return clang_getCanonicalType(clang_getCursorType(c)).kind == CXType_Complex;
}

/* A real operand beside a complex one: libclang widens it now and then, gcc does not. */
static CXCursor before_widening(struct reader *r, CXCursor c)
{
    struct children list = {0};
    if (clang_getCursorKind(c) != CXCursor_UnexposedExpr || !is_complex(c))
        return c;
    list = reader_expressions(r, c);
    return is_implicit(r, c, &list) && !is_complex(list.items[0]) ? list.items[0] : c;
}

static struct expr *binary(struct reader *r, CXCursor c)
{
    CXCursor *child = operands(r, c, 2);
    /* libclang 14 does not tell the operator: it is what stands between the operands */
    struct token t = reader_token_after(r, child[0]);
    enum expr_kind kind = operator_kind(r, c, t, binaries, COUNT(binaries));
    if (kind != EXPR_ASSIGN && kind != EXPR_COMMA) {
        child[0] = before_widening(r, child[0]);
        child[1] = before_widening(r, child[1]);
    }
    struct expr *a = reader_expr(r, child[0]), *b = reader_expr(r, child[1]);
    return kind == EXPR_ASSIGN ? assign(r, c, a, b) : reader_binary(r, c, kind, a, b);
}

/* a op= b keeps its operands as written; only a pointer's step is made a long. */
static struct expr *compound_assign(struct reader *r, CXCursor c)
{
    CXCursor *child = operands(r, c, 2);
    struct token t = reader_token_after(r, child[0]);
    enum expr_kind op = operator_kind(r, c, t, assignments, COUNT(assignments));
    struct expr *a = reader_expr(r, child[0]);
    struct expr *b = reader_rvalue(r, before_widening(r, child[1]));
    struct expr *e = reader_node(r, EXPR_ASSIGN_OP, type_plain(a->type), reader_location(r, c));
    e->op = op;
    e->a = a;
    e->b = b;
    if (a->type->kind == TYPE_POINTER)
        e->b = reader_cast(r, reader_promote(r, b), r->types.basic[TYPE_LONG]);
    return e;
}

/* ++ and -- stay what they are: a + 1 would evaluate the place twice. */
static struct expr *increment(struct reader *r, CXCursor c, enum expr_kind kind, struct expr *a)
{
    struct expr *e = reader_node(r, kind, type_plain(a->type), reader_location(r, c));
    e->a = a;
    return e;
}

/* __real__ and __imag__ (which), of a real number too. */
static struct expr *part(struct reader *r, struct expr *e, int which, struct location at)
{
    if (e->type->kind == TYPE_COMPLEX)
        return reader_member(r, e, &type_plain(e->type)->fields[which], at);
    if (which == 0)
        return e;
    struct expr *zero = reader_int_node(r, r->types.basic[TYPE_INT], 0, at);
    zero = reader_cast(r, zero, e->type);
    struct expr *both = reader_node(r, EXPR_COMMA, zero->type, at);
    both->a = e;
    both->b = zero;
    return both;
}

/* 2.0i is 0 + 2.0 i. */
static struct expr *imaginary(struct reader *r, CXCursor c)
{
    struct expr *e = reader_node(r, EXPR_COMPLEX, reader_type_of(r, c), reader_location(r, c));
    CXCursor number = operands(r, c, 1)[0];
    e->b = reader_expr(r, number);
    e->a = reader_cast(r, reader_int_node(r, r->types.basic[TYPE_INT], 0, e->at), e->b->type);
    return e;
}

static struct expr *prefix(struct reader *r, CXCursor c, struct token t, CXCursor operand)
{
    struct location at = reader_location(r, c);
    if (reader_token_is(r, t, "++"))
        return increment(r, c, EXPR_PRE_INCREMENT, reader_expr(r, operand));
    if (reader_token_is(r, t, "--"))
        return increment(r, c, EXPR_PRE_DECREMENT, reader_expr(r, operand));
    if (reader_token_is(r, t, "__extension__"))
        return reader_expr(r, operand);
    if (reader_token_is(r, t, "&"))
        return reader_address(r, reader_expr(r, operand), at);
    if (reader_token_is(r, t, "*"))
        return reader_deref(r, reader_rvalue(r, operand), at);
    if (reader_token_is(r, t, "-"))
        return reader_unary(r, EXPR_NEGATE, reader_expr(r, operand), at);
    if (reader_token_is(r, t, "~"))
        return reader_unary(r, EXPR_COMPLEMENT, reader_expr(r, operand), at);
    if (reader_token_is(r, t, "!"))
        return reader_unary(r, EXPR_NOT, reader_expr(r, operand), at);
    if (reader_token_is(r, t, "+"))
        return reader_promote(r, reader_expr(r, operand));
    if (reader_token_is(r, t, "__real__") || reader_token_is(r, t, "__real"))
        return part(r, reader_expr(r, operand), 0, at);
    if (reader_token_is(r, t, "__imag__") || reader_token_is(r, t, "__imag"))
        return part(r, reader_expr(r, operand), 1, at);
    reader_refuse(r, c, "operator '%.*s'", (int)(t.end - t.start > 16 ? 16 : t.end - t.start),
                  r->text + t.start);
}

/* Prefix or postfix: whether the operand begins behind the expression's own beginning. */
static struct expr *unary(struct reader *r, CXCursor c)
{
    CXCursor operand = operands(r, c, 1)[0];
    size_t start, end, inner_start, inner_end;
    reader_extent(r, c, &start, &end);
    reader_extent(r, operand, &inner_start, &inner_end);
    if (inner_start > start)
        return prefix(r, c, reader_token(r, start), operand);
    struct token t = reader_token(r, inner_end);
    if (reader_token_is(r, t, "++"))
        return increment(r, c, EXPR_POST_INCREMENT, reader_expr(r, operand));
    if (!reader_token_is(r, t, "--"))
        reader_refuse(r, c, "an operator that cannot be told from the text");
    return increment(r, c, EXPR_POST_DECREMENT, reader_expr(r, operand));
}

/* a[i] is *(a + i), and so is i[a] (C11 6.5.2.1p2). */
static struct expr *subscript(struct reader *r, CXCursor c)
{
    CXCursor *child = operands(r, c, 2);
    struct expr *sum = reader_binary(r, c, EXPR_ADD, reader_expr(r, child[0]),
                                     reader_expr(r, child[1]));
    return reader_deref(r, sum, reader_location(r, c));
}

/* Both arms are converted here, so that lowering may choose between values of one type. */
static struct expr *conditional(struct reader *r, CXCursor c)
{
    CXCursor *child = operands(r, c, 3);
    struct expr *e = reader_node(r, EXPR_CONDITIONAL, reader_value_type(r, c),
                                 reader_location(r, c));
    e->a = reader_truth(r, reader_rvalue(r, child[0]));
    e->b = reader_cast(r, reader_rvalue(r, child[1]), e->type);
    e->c = reader_cast(r, reader_rvalue(r, child[2]), e->type);
    return e;
}

/* a ?: c; libclang lists a, then a twice more in disguise (as condition and as converted value),
 * then c. */
static struct expr *elvis(struct reader *r, CXCursor c, const struct children *list)
{
    struct expr *e = reader_node(r, EXPR_CONDITIONAL, reader_value_type(r, c),
                                 reader_location(r, c));
    e->a = reader_rvalue(r, list->items[0]);
    if (type_is_pair(e->a->type) || type_is_pair(e->type))
        reader_refuse(r, c, "?: without its second operand on %s",
                      type_text(r->heap, e->a->type));
    e->c = reader_cast(r, reader_rvalue(r, list->items[3]), e->type);
    return e;
}

/*
 * A value as a union that has a member of its type: GNU's cast to a union, and arguments for a
 * transparent union, whose members all are passed alike, so that one bit pattern does for any of
 * them.
 */
static struct expr *union_of(struct reader *r, struct type *type, struct expr *e)
{
    struct initializer *init = heap_take(r->heap, sizeof *init);
    init->items = heap_take(r->heap, sizeof *init->items);
    init->n = 1;
    init->extent = type->size;
    init->items[0].type = type_plain(e->type);
    init->items[0].value = e;
    struct expr *literal = reader_node(r, EXPR_COMPOUND, type_plain(type), e->at);
    literal->decl = reader_temporary(r, literal->type, "compound", e->at);
    literal->decl->init = init;
    return literal;
}

static bool has_member_of(const struct type *type, const struct type *wanted)
{
    for (int i = 0; i < type->plain->n; i++) {
        if (type_same(type->plain->fields[i].type, wanted) && type->plain->fields[i].bit_width < 0)
            return true;
    }
    return false;
}

static bool becomes_union(struct reader *r, const struct type *type, const struct expr *e)
{
    return r->function && type->kind == TYPE_RECORD && type->is_union &&
           !type_same(type, e->type) && e->type->size <= type->size;
}

static struct expr *explicit_cast(struct reader *r, CXCursor c)
{
    struct children list = reader_expressions(r, c);
    if (list.n < 1)
        reader_refuse(r, c, "a cast of unknown structure");
    struct type *type = reader_type_of(r, c);
    struct expr *e = reader_rvalue(r, list.items[list.n - 1]);
    if (reader_is_variable(clang_getCursorType(c)))
        return reader_vla_cast(r, c, reader_cast(r, e, type));
    if (becomes_union(r, type, e) && has_member_of(type, e->type))
        return union_of(r, type, e);
    bool scalars = type_is_scalar(type) && type_is_scalar(e->type);
    if (!scalars && !type_is_void(type) && !type_same(type, e->type))
        reader_refuse(r, c, "a cast to a union");
    return reader_cast(r, e, type);
}

/* ---- names and members ---- */

static struct expr *name(struct reader *r, CXCursor c)
{
    CXCursor referenced = clang_getCursorReferenced(c);
    switch (clang_getCursorKind(referenced)) {
    case CXCursor_EnumConstantDecl:
        return reader_int_node(r, reader_type_of(r, c),
                               (uint64_t)clang_getEnumConstantDeclValue(referenced),
                               reader_location(r, c));
    case CXCursor_VarDecl:
    case CXCursor_ParmDecl:
    case CXCursor_FunctionDecl:
        break;
    default:
        reader_refuse(r, c, "a name of unknown kind");
    }
    if (reader_is_vla(referenced))
        return reader_vla_name(r, c, referenced);
    struct decl *d = reader_decl(r, referenced);
    struct expr *e = reader_name(r, d, reader_location(r, c));
    /* An array may be completed between two uses, an old-style function get a prototype: here it
       has the type that it has here. */
    if (d->type->kind == TYPE_ARRAY || d->type->kind == TYPE_FUNCTION || d->refused)
        e->type = reader_type_of(r, c);
    if (d->refused && d->type->kind != TYPE_FUNCTION)
        d->type = e->type; /* refused before it had one; cc may define it */
    return e;
}

static struct expr *member(struct reader *r, CXCursor c)
{
    CXCursor base = operands(r, c, 1)[0], field = clang_getCursorReferenced(c);
    struct location at = reader_location(r, c);
    /* p->m and r.m alike: which one it is, the type says */
    struct expr *e = reader_value(r, reader_expr(r, base));
    if (e->type->kind == TYPE_POINTER)
        e = reader_deref(r, e, at);
    if (e->type->kind != TYPE_RECORD)
        reader_refuse(r, c, "a member of something that is no record");
    struct field *path[MAX_FIELD_PATH];
    int n = reader_field_path(r, e->type, field, path);
    for (int i = 0; i < n; i++)
        e = reader_member(r, e, path[i], at);
    return e;
}

/* ---- forms with keywords ---- */

static struct expr *constant(struct reader *r, CXCursor c, const char *what)
{
    int64_t value;
    if (!reader_evaluate(c, &value))
        reader_refuse(r, c, "%s", what);
    return reader_int_node(r, reader_type_of(r, c), (uint64_t)value, reader_location(r, c));
}

/* &&label: a number, as only a goto of the same function can use it. */
static struct expr *label_address(struct reader *r, CXCursor c)
{
    struct children list = reader_children(r, c);
    struct decl *f = r->function;
    if (!f || list.n != 1)
        reader_refuse(r, c, "the address of a label");
    const char *name = reader_spelling(r, list.items[0]);
    int i = 0;
    while (i < f->n_taken && strcmp(f->taken[i], name) != 0)
        i++;
    if (i == f->n_taken) {
        heap_grow(r->heap, &f->taken, f->n_taken, sizeof *f->taken);
        f->taken[f->n_taken++] = name;
    }
    struct type *number = r->types.basic[TYPE_LONG];
    return reader_cast(r, reader_int_node(r, number, (uint64_t)i + 1, reader_location(r, c)),
                       reader_type_of(r, c));
}

/* sizeof, _Alignof */
static struct expr *size_of(struct reader *r, CXCursor c)
{
    bool is_sizeof = reader_token_is(r, reader_first_token(r, c), "sizeof");
    int64_t known;
    struct expr *size =
        is_sizeof && !reader_evaluate(c, &known) ? reader_vla_sizeof(r, c) : NULL;
    return size ? size : constant(r, c, "sizeof of a variable-length array");
}

static struct expr *va_arg_form(struct reader *r, CXCursor c, const struct children *list)
{
    struct expr *e = reader_node(r, EXPR_VA_ARG, reader_value_type(r, c),
                                 reader_location(r, c));
    if (list->n < 1)
        reader_refuse(r, c, "va_arg of unknown structure");
    /* The others are of the type, which is written behind the list. */
    CXCursor first = list->items[0];
    for (int i = 1; i < list->n; i++)
        if (reader_first_token(r, list->items[i]).start < reader_first_token(r, first).start)
            first = list->items[i];
    e->a = reader_rvalue(r, first);
    return e;
}

/* The other branch is not read: it may hold what could not be compiled. */
static struct expr *choose(struct reader *r, CXCursor c, const struct children *list)
{
    int64_t value;
    if (list->n != 3 ||
        (!reader_evaluate(list->items[0], &value) && !reader_constant(r, list->items[0], &value)))
        reader_refuse(r, c, "__builtin_choose_expr on something that is no constant");
    return reader_expr(r, list->items[value ? 1 : 2]);
}

/* At file scope the object lives as long as the program, in a function as long as its block. */
static struct expr *compound_literal(struct reader *r, CXCursor c)
{
    struct children list = reader_expressions(r, c);
    if (list.n < 1)
        reader_refuse(r, c, "a compound literal of unknown structure");
    struct type *type = reader_type_of(r, c);
    struct expr *e = reader_node(r, EXPR_COMPOUND, type, reader_location(r, c));
    e->decl = reader_temporary(r, type, "compound", e->at);
    e->decl->init = reader_initializer(r, type, list.items[list.n - 1]);
    if (e->decl->storage == STORAGE_STATIC)
        reader_add_decl(r, e->decl);
    return e;
}

static struct expr *statement_expression(struct reader *r, CXCursor c)
{
    struct children list = reader_children(r, c);
    if (list.n != 1 || !r->function)
        reader_refuse(r, c, "a statement expression here");
    struct expr *e = reader_node(r, EXPR_STATEMENT, reader_value_type(r, c),
                                 reader_location(r, c));
    e->body = reader_body(r, list.items[0]);
    return e;
}

/* ---- what libclang does not name ---- */

/* An implicit conversion has one child, as wide as itself. */
static bool is_implicit(struct reader *r, CXCursor c, const struct children *list)
{
    size_t start, end, inner_start, inner_end;
    if (list->n != 1)
        return false;
    reader_extent(r, c, &start, &end);
    reader_extent(r, list->items[0], &inner_start, &inner_end);
    return start == inner_start && end == inner_end;
}

/* The type is libclang's, the conversion ours (reader_cast). Arrays and functions are left as they
 * are: they decay where their value is used. */
static struct expr *implicit_cast(struct reader *r, CXCursor c, CXCursor inner)
{
    struct expr *e = reader_expr(r, inner);
    bool is_value = type_is_scalar(e->type);
    struct type *type = is_value ? reader_value_type(r, c) : reader_type_of(r, c);
    if (becomes_union(r, type, reader_value(r, e)))
        return union_of(r, type, reader_value(r, e));
    if (is_value && type_is_scalar(type))
        return reader_cast(r, e, type);
    if (type->kind == TYPE_POINTER)
        e = reader_value(r, e);
    if (type->kind == TYPE_RECORD && !type_same(type, e->type))
        reader_refuse(r, c, "a conversion to a transparent union");
    if (type->kind == TYPE_ARRAY || type->kind == TYPE_FUNCTION)
        return e;
    return reader_cast(r, e, type);
}

static struct expr *unexposed(struct reader *r, CXCursor c)
{
    struct children list = reader_expressions(r, c);
    if (is_implicit(r, c, &list))
        return implicit_cast(r, c, list.items[0]);
    struct token t = reader_first_token(r, c);
    if (reader_token_is(r, t, "__builtin_va_arg"))
        return va_arg_form(r, c, &list);
    if (reader_token_is(r, t, "__builtin_choose_expr"))
        return choose(r, c, &list);
    if (reader_token_is(r, t, "__builtin_offsetof"))
        return constant(r, c, "__builtin_offsetof with an index that is no constant");
    if (reader_token_is(r, t, "__builtin_types_compatible_p"))
        return constant(r, c, "__builtin_types_compatible_p");
    struct expr *atomic = reader_atomic_form(r, c, list);
    if (atomic)
        return atomic;
    /* a ?: c has no kind of its own in libclang 14 */
    if (list.n == 4)
        return elvis(r, c, &list);
    if (t.kind == TOKEN_NAME)
        reader_refuse(r, c, "%.*s", (int)(t.end - t.start > 60 ? 60 : t.end - t.start),
                      r->text + t.start);
    reader_refuse(r, c, "an expression that libclang does not name");
}

static struct expr *read_kind(struct reader *r, CXCursor c)
{
    switch (clang_getCursorKind(c)) {
    case CXCursor_IntegerLiteral: return reader_integer(r, c);
    case CXCursor_FloatingLiteral: return reader_floating(r, c);
    case CXCursor_CharacterLiteral: return reader_character(r, c);
    case CXCursor_StringLiteral: return reader_string(r, c);
    case CXCursor_ParenExpr: return reader_expr(r, operands(r, c, 1)[0]);
    case CXCursor_DeclRefExpr: return name(r, c);
    case CXCursor_MemberRefExpr: return member(r, c);
    case CXCursor_ArraySubscriptExpr: return subscript(r, c);
    case CXCursor_UnaryOperator: return unary(r, c);
    case CXCursor_BinaryOperator: return binary(r, c);
    case CXCursor_CompoundAssignOperator: return compound_assign(r, c);
    case CXCursor_ConditionalOperator: return conditional(r, c);
    case CXCursor_CStyleCastExpr: return explicit_cast(r, c);
    case CXCursor_CallExpr: return reader_call(r, c);
    case CXCursor_UnaryExpr: return size_of(r, c);
    case CXCursor_CompoundLiteralExpr: return compound_literal(r, c);
    case CXCursor_StmtExpr: return statement_expression(r, c);
    case CXCursor_GenericSelectionExpr: return reader_generic(r, c);
    case CXCursor_UnexposedExpr: return unexposed(r, c);
    case CXCursor_AddrLabelExpr: return label_address(r, c);
    case CXCursor_ImaginaryLiteral: return imaginary(r, c);
    default: {
        CXString kind = clang_getCursorKindSpelling(clang_getCursorKind(c));
        const char *text = clang_getCString(kind);
        text = heap_printf(r->heap, "%s", text ? text : "an unknown expression");
        clang_disposeString(kind);
        reader_refuse(r, c, "%s", text);
    }
    }
}

struct expr *reader_expr(struct reader *r, CXCursor c)
{
    reader_enter(r, c);
    struct expr *e = read_kind(r, c);
    bool is_value = type_is_scalar(e->type);
    struct type *expected = is_value ? reader_value_type(r, c) : reader_type_of(r, c);
    if (!type_same(e->type, expected))
        reader_refuse(r, c, "an expression of type %s that libclang gives type %s",
                      type_text(r->heap, e->type), type_text(r->heap, expected));
    reader_leave(r);
    return e;
}

bool reader_constant(struct reader *r, CXCursor c, int64_t *value)
{
    return constant_integer(reader_rvalue(r, c), value);
}
