/*
 * ast_check.c: the normal form of ast.h, node by node. Nothing is computed anew: the rules are
 * stated as what the types of a node and of its operands must have in common.
 */
#include "lego/ast_check.h"

#include "lego/type.h"

/* One walk. Only the first breach is kept: those behind it mostly follow from it. */
struct check {
    const struct decl *function; /* whose body it is; NULL: none */
    const char *breach;
    struct location at;
};

static void check_expr(struct check *c, const struct expr *e);
static void check_stmt(struct check *c, const struct stmt *s);
static void check_initializer(struct check *c, const struct initializer *init);

static void require(struct check *c, struct location at, bool holds, const char *what)
{
    if (!holds && !c->breach) {
        c->breach = what;
        c->at = at;
    }
}

static bool is_pointer(const struct expr *e)
{
    return e->type->kind == TYPE_POINTER;
}

/* A type that arithmetic may have after the integer promotions (C11 6.3.1.1p2): nothing
 * below int. */
static bool is_promoted(const struct type *t)
{
    return type_is_float(t) || t->kind == TYPE_COMPLEX ||
           (type_is_integer(t) && t->kind >= TYPE_INT);
}

/* Strings and compound literals are lvalues too (C11 6.5.1p4, 6.5.2.5p4). A bit-field is one as
 * well: its address, which C does not allow, libclang has reported. */
static bool is_lvalue(const struct expr *e)
{
    return e->kind == EXPR_NAME || e->kind == EXPR_MEMBER || e->kind == EXPR_DEREF ||
           e->kind == EXPR_COMPOUND || e->kind == EXPR_STRING;
}

/*
 * C11 6.5.4, with the conversions that no source may write added: arrays and functions decay
 * through casts (6.3.2.1p3, p4), to a pointer to what they were and to nothing else. Pointers meet
 * integers of at most 64 bits.
 */
static bool casts(const struct expr *e)
{
    const struct type *from = e->a->type, *to = e->type;
    if (type_is_void(to))
        return true;
    if (from->kind == TYPE_ARRAY)
        return to->kind == TYPE_POINTER && type_same(to->base, from->base);
    if (from->kind == TYPE_FUNCTION)
        return to->kind == TYPE_POINTER && type_same(to->base, from);
    bool number =
        type_is_float(from) || type_is_pair(from) || type_is_float(to) || type_is_pair(to);
    bool mixes = number && (from->kind == TYPE_POINTER || to->kind == TYPE_POINTER);
    return type_is_scalar(from) && type_is_scalar(to) && !mixes;
}

/* Pointer arithmetic (C11 6.5.6): the pointer stands left, the count is a long (the target's
 * ptrdiff_t), so that lowering needs to widen nothing. */
static bool adds(const struct expr *e)
{
    if (!is_pointer(e->a))
        return false;
    if (is_pointer(e->b))
        return e->kind == EXPR_SUBTRACT && e->type->kind == TYPE_LONG;
    return e->b->type->kind == TYPE_LONG && type_same(e->type, e->a->type);
}

/* One operand may be real, of the parts' type; not the dividend. */
static bool computes_complex(const struct expr *e)
{
    bool a = type_same(e->a->type, e->type), b = type_same(e->b->type, e->type);
    bool real_a = type_same(e->a->type, e->type->base) && e->kind != EXPR_DIVIDE;
    return (a || real_a) && (b || type_same(e->b->type, e->type->base)) && (a || b);
}

/* Both sides and the result have one type, except that a shift's count is promoted by itself (C11
 * 6.5.7p3): a long may be shifted by an int. */
static bool computes(const struct expr *e)
{
    bool integers = type_is_integer(e->type),
         shift = e->kind == EXPR_SHIFT_LEFT || e->kind == EXPR_SHIFT_RIGHT;
    bool real = e->kind >= EXPR_ADD && e->kind <= EXPR_DIVIDE;
    if (shift)
        return integers && type_same(e->type, e->a->type) && type_is_integer(e->b->type) &&
               is_promoted(e->type) && is_promoted(e->b->type);
    if (e->type->kind == TYPE_COMPLEX)
        return real && computes_complex(e);
    return (integers || real) && is_promoted(e->type) && type_same(e->type, e->a->type) &&
           type_same(e->type, e->b->type);
}

/* What is true or false by itself: pairs are compared with 0 instead. */
static bool is_condition(const struct expr *e)
{
    return type_is_scalar(e->type) && !type_is_pair(e->type);
}

/* Comparisons and && || give int (C11 6.5.8p6, 6.5.13p3). Complex numbers have no order. */
static bool compares(const struct expr *e)
{
    bool logical = e->kind == EXPR_LOGICAL_AND || e->kind == EXPR_LOGICAL_OR;
    bool orders = e->kind >= EXPR_LESS && e->kind <= EXPR_GREATER_EQUAL;
    if (e->type->kind != TYPE_INT || (orders && e->a->type->kind == TYPE_COMPLEX))
        return false;
    if (logical)
        return is_condition(e->a) && is_condition(e->b);
    return type_is_scalar(e->a->type) && type_same(e->a->type, e->b->type) &&
           (is_pointer(e->a) || is_promoted(e->a->type));
}

static bool is_one_of(const struct expr *e, const struct type *t)
{
    return type_is_void(t) || type_same(e->type, t);
}

/* A compound assignment keeps its operands as written (C11 6.5.16.2; ast.h): only the kinds of
 * type can be asked for here. */
static bool assigns(const struct expr *e)
{
    if (!is_lvalue(e->a) || !type_same(e->type, e->a->type))
        return false;
    if (e->kind == EXPR_ASSIGN)
        return type_same(e->b->type, e->a->type);
    return is_pointer(e->a) ? e->b->type->kind == TYPE_LONG
                            : type_is_arithmetic(e->a->type) && type_is_arithmetic(e->b->type);
}

/* Arguments have been converted to the parameters' types; behind those (variable arguments, no
 * prototype) any value may stand. Arrays may not: they have decayed. */
static bool calls(const struct expr *e)
{
    if (!is_pointer(e->a) || e->a->type->base->kind != TYPE_FUNCTION)
        return false;
    const struct type *t = e->a->type->base;
    for (int i = 0; i < e->n_args; i++) {
        const struct type *given = e->args[i]->type;
        bool value = type_is_scalar(given) || given->kind == TYPE_RECORD;
        if (!value || (i < t->n && !type_same(given, t->params[i])))
            return false;
    }
    return e->n_args >= t->n;
}

/* va_list has decayed to a pointer to its tag, whether it was a variable or a parameter. */
static bool is_list(const struct expr *e)
{
    return is_pointer(e) && e->type->base->kind == TYPE_VA_LIST_TAG;
}

/* The field must be one of the record's own: a field of another record with the same name and type
 * would be read at the wrong offset. */
static bool is_member(const struct expr *e)
{
    const struct type *record = type_plain(e->a->type);
    bool has_fields = record->kind == TYPE_RECORD || record->kind == TYPE_COMPLEX;
    return has_fields && e->field >= record->fields && e->field < record->fields + record->n &&
           type_same(e->type, e->field->type);
}

/* What a node of this kind must be, given that its operands are there. */
static bool holds(const struct expr *e)
{
    switch (e->kind) {
    case EXPR_INT: return type_is_integer(e->type) && !type_is_pair(e->type) &&
                          type_wrap(e->type, e->integer) == e->integer;
    case EXPR_FLOAT: return type_is_float(e->type);
    case EXPR_COMPLEX:
        return e->type->kind == TYPE_COMPLEX && type_same(e->a->type, e->type->base) &&
               type_same(e->b->type, e->type->base);
    case EXPR_STRING: return e->type->kind == TYPE_ARRAY && e->bytes && e->n_bytes > 0;
    case EXPR_NAME: return e->decl != NULL;
    case EXPR_COMPOUND: return e->decl && e->decl->init;
    case EXPR_MEMBER: return is_member(e);
    case EXPR_DEREF: return is_pointer(e->a) && type_same(e->type, e->a->type->base);
    case EXPR_ADDRESS: return is_pointer(e) && type_same(e->type->base, e->a->type);
    case EXPR_CAST: return casts(e);
    case EXPR_NEGATE: return is_promoted(e->type) && type_same(e->type, e->a->type);
    case EXPR_COMPLEMENT: return !type_is_float(e->type) && is_promoted(e->type) &&
                                 type_same(e->type, e->a->type);
    case EXPR_NOT: return e->type->kind == TYPE_INT && is_condition(e->a);
    case EXPR_CONDITIONAL:
        return is_condition(e->a) && is_one_of(e->c, e->type) &&
               (!e->b || is_one_of(e->b, e->type));
    case EXPR_ASSIGN:
    case EXPR_ASSIGN_OP: return assigns(e);
    case EXPR_PRE_INCREMENT:
    case EXPR_PRE_DECREMENT:
    case EXPR_POST_INCREMENT:
    case EXPR_POST_DECREMENT: return is_lvalue(e->a) && type_is_scalar(e->type) &&
                                     type_same(e->type, e->a->type);
    case EXPR_COMMA: return type_same(e->type, e->b->type);
    case EXPR_CALL: return calls(e);
    case EXPR_VA_START:
    case EXPR_VA_ARG:
    case EXPR_VA_END: return is_list(e->a);
    case EXPR_VA_COPY: return is_list(e->a) && is_list(e->b);
    case EXPR_STATEMENT: return e->body != NULL;
    default: break;
    }
    if (e->kind >= EXPR_EQUAL && e->kind <= EXPR_LOGICAL_OR)
        return compares(e);
    return adds(e) || computes(e);
}

/* How many of a, b, c a kind needs. */
static int operand_count(enum expr_kind kind)
{
    switch (kind) {
    case EXPR_INT: case EXPR_FLOAT: case EXPR_STRING: case EXPR_NAME: case EXPR_COMPOUND:
    case EXPR_STATEMENT:
        return 0;
    case EXPR_MEMBER: case EXPR_DEREF: case EXPR_ADDRESS: case EXPR_CAST: case EXPR_NEGATE:
    case EXPR_COMPLEMENT: case EXPR_NOT: case EXPR_PRE_INCREMENT: case EXPR_PRE_DECREMENT:
    case EXPR_POST_INCREMENT: case EXPR_POST_DECREMENT: case EXPR_CALL: case EXPR_VA_START:
    case EXPR_VA_ARG: case EXPR_VA_END:
        return 1;
    default:
        return 2;
    }
}

static void check_expr(struct check *c, const struct expr *e)
{
    int n = operand_count(e->kind);
    bool complete = (n < 1 || e->a) && (n < 2 || e->b || e->kind == EXPR_CONDITIONAL) &&
                    (e->kind != EXPR_CONDITIONAL || e->c); /* GNU's a ?: c has no b */
    /* holds() follows the operands without asking whether they are there. */
    require(c, e->at, complete && e->type, "an operand is missing");
    if (c->breach)
        return;
    require(c, e->at, holds(e), "operands do not have the types that the operator asks for");
    const struct expr *operands[] = {e->a, e->b, e->c};
    for (int i = 0; i < 3; i++) {
        if (operands[i])
            check_expr(c, operands[i]);
    }
    for (int i = 0; i < e->n_args; i++)
        check_expr(c, e->args[i]);
    if (e->kind == EXPR_COMPOUND)
        check_initializer(c, e->decl->init);
    if (e->body)
        check_stmt(c, e->body);
}

static void check_initializer(struct check *c, const struct initializer *init)
{
    for (int i = 0; init && i < init->n; i++) {
        const struct init *item = &init->items[i];
        bool string = item->value->kind == EXPR_STRING && item->type->kind == TYPE_ARRAY;
        /* A string fills a char array of any length: cut off or filled up with zeros (C11
         * 6.7.9p14). */
        require(c, item->value->at, string || type_same(item->type, item->value->type),
                "an initialiser has another type than what it fills");
        require(c, item->value->at,
                item->offset >= 0 && item->offset + item->type->size <= init->extent,
                "an initialiser lies outside its object");
        check_expr(c, item->value);
    }
}

static void check_condition(struct check *c, const struct stmt *s)
{
    /* for (;;) has no condition, and runs on (C11 6.8.5.3p2) */
    bool optional = s->kind == STMT_FOR;
    require(c, s->at, s->expr ? is_condition(s->expr) : optional,
            "a condition is no scalar");
}

static void check_return(struct check *c, const struct stmt *s)
{
    require(c, s->at, !s->expr || !c->function || type_same(s->expr->type, c->function->type->base),
            "a returned value has not the function's type");
}

static void check_stmt(struct check *c, const struct stmt *s)
{
    if (s->kind == STMT_IF || s->kind == STMT_WHILE || s->kind == STMT_DO || s->kind == STMT_FOR)
        check_condition(c, s);
    if (s->kind == STMT_RETURN)
        check_return(c, s);
    if (s->kind == STMT_DECL)
        check_initializer(c, s->decl->init);
    if (s->expr)
        check_expr(c, s->expr);
    if (s->step)
        check_expr(c, s->step);
    const struct stmt *parts[] = {s->init, s->body, s->otherwise};
    for (int i = 0; i < 3; i++) {
        if (parts[i])
            check_stmt(c, parts[i]);
    }
    for (int i = 0; i < s->n && !c->breach; i++)
        check_stmt(c, s->items[i]);
}

/* A variable's initialiser, or a function's body: a declaration has one of the two. */
const char *ast_check(const struct decl *d, struct location *at)
{
    struct check c = {.function = d->body ? d : NULL};
    check_initializer(&c, d->init);
    if (d->body)
        check_stmt(&c, d->body);
    *at = c.at;
    return c.breach;
}
