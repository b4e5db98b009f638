/*
 * lower_expr.c: expressions of scalar type, conditions, and expressions for their effects alone.
 *
 * && || ?: stay trees while what they may skip has no effects; else they become branches around it.
 */
#include "lego/lower.h"
#include "lego/type.h"

static struct ir_expr *truth_by_branches(struct lower *l, struct expr *e);

static int new_label(struct lower *l)
{
    if (!l->f)
        lower_refuse(l, l->at, "initializer is not constant");
    return ir_label(l->f);
}

/* ---- arithmetic ---- */

static enum ir_op ir_operator(enum expr_kind op)
{
    switch (op) {
    case EXPR_ADD: return IR_ADD;
    case EXPR_SUBTRACT: return IR_SUBTRACT;
    case EXPR_MULTIPLY: return IR_MULTIPLY;
    case EXPR_DIVIDE: return IR_DIVIDE;
    case EXPR_REMAINDER: return IR_REMAINDER;
    case EXPR_SHIFT_LEFT: return IR_SHIFT_LEFT;
    case EXPR_SHIFT_RIGHT: return IR_SHIFT_RIGHT;
    case EXPR_AND: return IR_AND;
    case EXPR_XOR: return IR_XOR;
    case EXPR_OR: return IR_OR;
    case EXPR_EQUAL: return IR_EQUAL;
    case EXPR_UNEQUAL: return IR_UNEQUAL;
    case EXPR_LESS: return IR_LESS;
    case EXPR_LESS_EQUAL: return IR_LESS_EQUAL;
    case EXPR_GREATER: return IR_GREATER;
    default: return IR_GREATER_EQUAL;
    }
}

static struct ir_expr *promoted(struct lower *l, struct ir_expr *x)
{
    return x->type < IR_I32 ? ir_convert(&l->build, IR_I32, x) : x;
}

/* Bytes from one element that a pointer points to to the next; of void and functions 1 (GNU). */
static struct ir_expr *step_of(struct lower *l, const struct type *t, struct location at)
{
    const struct type *base = t->base;
    if (base->kind == TYPE_VOID || base->kind == TYPE_FUNCTION)
        return ir_int(&l->build, IR_I64, 1);
    if (base->bytes)
        return ir_convert(&l->build, IR_I64, ir_read(&l->build, lower_object(l, base->bytes)));
    if (base->size < 0)
        lower_refuse(l, at, "arithmetic on a pointer to an incomplete type");
    return ir_int(&l->build, IR_I64, base->size);
}

/* In bytes as long, divided by the element's size: exact, since both point into one array. */
static struct ir_expr *pointer_difference(struct lower *l, struct ir_expr *x, struct ir_expr *y,
                                          struct ir_expr *step, struct location at)
{
    /* an empty struct (GNU): the division would trap */
    if (ir_is_int(step, 0))
        lower_refuse(l, at, "difference of pointers to an empty type");
    x = ir_convert(&l->build, IR_I64, x);
    y = ir_convert(&l->build, IR_I64, y);
    return ir_binary(&l->build, IR_DIVIDE, ir_binary(&l->build, IR_SUBTRACT, x, y),
                     step);
}

/* A constant count out of range, undefined in C, is cut as the machine cuts it: code that never
   runs may have one, and what has no meaning could not be checked. */
static struct ir_expr *shift(struct lower *l, enum ir_op op, struct ir_expr *x, struct ir_expr *y)
{
    x = promoted(l, x);
    y = promoted(l, y);
    if (ir_type_size(y->type) == 8) /* counts that are defined fit */
        y = ir_convert(&l->build, IR_I32, y);
    if (y->op == IR_INT)
        y = ir_int(&l->build, y->type, y->value & (ir_type_size(x->type) * 8 - 1));
    return ir_binary(&l->build, op, x, y);
}

struct ir_expr *lower_arithmetic(struct lower *l, enum expr_kind op, struct ir_expr *x,
                                 const struct type *a, struct ir_expr *y, const struct type *b,
                                 struct location at)
{
    enum ir_op code = ir_operator(op);
    bool additive = op == EXPR_ADD || op == EXPR_SUBTRACT;
    if (additive && x->type == IR_PTR && y->type == IR_PTR)
        return pointer_difference(l, x, y, step_of(l, a, at), at);
    /* 2 + p, which C allows and subtraction does not */
    if (additive && y->type == IR_PTR)
        return lower_arithmetic(l, op, y, b, x, a, at);
    if (additive && x->type == IR_PTR) {
        struct ir_expr *count = ir_convert(&l->build, IR_I64, y);
        struct ir_expr *step = step_of(l, a, at);
        return ir_binary(&l->build, code, x, ir_binary(&l->build, IR_MULTIPLY, count, step));
    }
    if (op == EXPR_SHIFT_LEFT || op == EXPR_SHIFT_RIGHT)
        return shift(l, code, x, y);
    /* The usual arithmetic conversions: the types' order is their rank. */
    enum ir_type common = x->type > y->type ? x->type : y->type;
    if (common < IR_I32)
        common = IR_I32;
    return ir_binary(&l->build, code, ir_convert(&l->build, common, x),
                     ir_convert(&l->build, common, y));
}

/* To _Bool is a comparison with zero (C11 6.3.1.2); every other conversion is the IR's. */
struct ir_expr *lower_convert(struct lower *l, struct ir_expr *v, const struct type *from,
                              const struct type *to)
{
    if (to->kind == TYPE_BOOL)
        return from && from->kind == TYPE_BOOL
                   ? v
                   : ir_convert(&l->build, IR_U8, ir_truth(&l->build, v));
    return ir_convert(&l->build, ir_type_of(to), v);
}

/* From left to right: what the right side may change of the left one's operands is read before. */
static struct ir_expr *binary(struct lower *l, struct expr *e)
{
    if (bits_are_ambiguous(e))
        lower_refuse(l, e->at, "arithmetic on a bit-field wider than int");
    if (type_is_pair(e->a->type))
        return lower_pair_compare(l, e);
    struct ir_expr *x = lower_value(l, e->a);
    if (has_effects(e->b))
        x = lower_stable(l, x);
    struct ir_expr *y = lower_value(l, e->b);
    return lower_arithmetic(l, e->kind, x, e->a->type, y, e->b->type, e->at);
}

static struct ir_expr *unary(struct lower *l, struct expr *e)
{
    if (bits_are_ambiguous(e))
        lower_refuse(l, e->at, "arithmetic on a bit-field wider than int");
    struct ir_expr *x = lower_value(l, e->a);
    if (e->kind == EXPR_NOT)
        return ir_not(&l->build, x);
    return ir_unary(&l->build, e->kind == EXPR_NEGATE ? IR_NEGATE : IR_COMPLEMENT, promoted(l, x));
}

static struct ir_expr *cast(struct lower *l, struct expr *e)
{
    const struct type *from = e->a->type;
    if (e->type->kind == TYPE_VOID) {
        lower_effects(l, e->a);
        return NULL;
    }
    /* to a real number: the imaginary part is dropped (C11 6.3.1.7p2) */
    if (type_is_pair(from) && !type_is_pair(e->type))
        return number_convert(l, lower_number(l, e->a), e->type).part[0];
    if (from->kind == TYPE_RECORD || from->kind == TYPE_VA_LIST_TAG ||
        ir_type_of(e->type) == IR_BYTES || from->kind == TYPE_VOID)
        lower_refuse(l, e->at, "cast of or to a record");
    return lower_convert(l, lower_value(l, e->a), from, e->type);
}

/* ---- conditions ---- */

/* `when`: jump if the condition is true, or if it is not. */
static void branch_on(struct lower *l, struct ir_expr *condition, int label, bool when)
{
    /* no branch is left: the code that it skips is dropped by lower_emit() */
    if (condition->op == IR_INT) {
        if ((condition->value != 0) == when)
            lower_jump(l, label);
        return;
    }
    struct ir_instr *i = lower_emit(l, IR_BRANCH);
    i->value = when ? condition : ir_not(&l->build, condition);
    i->label = label;
}

/* Short circuit: b is not evaluated where a decides (C11 6.5.13, 6.5.14). */
static void branch_logical(struct lower *l, struct expr *e, int label, bool when)
{
    if ((e->kind == EXPR_LOGICAL_OR) == when) { /* either side alone decides for the jump */
        lower_branch(l, e->a, label, when);
        lower_branch(l, e->b, label, when);
        return;
    }
    int past = new_label(l);
    lower_branch(l, e->a, past, !when);
    lower_branch(l, e->b, label, when);
    lower_label(l, past);
}

void lower_branch(struct lower *l, struct expr *e, int label, bool when)
{
    bool logical = e->kind == EXPR_LOGICAL_AND || e->kind == EXPR_LOGICAL_OR;
    if (e->kind == EXPR_NOT) {
        lower_branch(l, e->a, label, !when);
    } else if (logical && (has_effects(e->a) || has_effects(e->b))) {
        branch_logical(l, e, label, when);
    } else if (e->kind == EXPR_COMMA) {
        lower_effects(l, e->a);
        lower_branch(l, e->b, label, when);
    } else {
        branch_on(l, ir_condition(&l->build, lower_value(l, e)), label, when);
    }
}

/*
 *     if (!e) goto no;  t = 1;  goto end;  no:  t = 0;  end:
 */
static struct ir_expr *truth_by_branches(struct lower *l, struct expr *e)
{
    int no = new_label(l), end = ir_label(l->f);
    struct ir_object *t = ir_temporary(l->heap, l->f, IR_I32);
    lower_branch(l, e, no, false);
    lower_assign(l, t, ir_int(&l->build, IR_I32, 1));
    lower_jump(l, end);
    lower_label(l, no);
    lower_assign(l, t, ir_int(&l->build, IR_I32, 0));
    lower_label(l, end);
    return ir_read(&l->build, t);
}

/* As a tree when b has no effects; without a function (static data) a alone may decide. */
static struct ir_expr *logical(struct lower *l, struct expr *e)
{
    if (l->f && has_effects(e->b))
        return truth_by_branches(l, e);
    struct ir_expr *x = ir_condition(&l->build, lower_value(l, e->a));
    bool or = e->kind == EXPR_LOGICAL_OR;
    /* b is not even looked at: in a constant it may be what is none (C11 6.6p3) */
    if (x->op == IR_INT && (x->value != 0) == or)
        return ir_int(&l->build, IR_I32, or);
    struct ir_expr *y = ir_condition(&l->build, lower_value(l, e->b));
    return ir_binary(&l->build, or ? IR_LOGICAL_OR : IR_LOGICAL_AND, x, y);
}

/* One arm of a conditional into t (NULL: for its effects). */
static void arm(struct lower *l, struct expr *e, struct ir_object *t)
{
    if (!t) {
        lower_effects(l, e);
        return;
    }
    struct ir_expr *v = lower_value(l, e);
    if (!v)
        lower_refuse(l, e->at, "operand without a value");
    lower_assign(l, t, ir_convert(&l->build, t->type, v));
}

/* a ? b : c with effects in an arm. */
static struct ir_expr *choose_by_branches(struct lower *l, struct expr *e, bool wanted)
{
    int otherwise = new_label(l), end = ir_label(l->f);
    enum ir_type type = wanted ? ir_type_of(e->type) : IR_VOID;
    struct ir_object *t = type == IR_VOID ? NULL : ir_temporary(l->heap, l->f, type);
    lower_branch(l, e->a, otherwise, false);
    arm(l, e->b, t);
    lower_jump(l, end);
    lower_label(l, otherwise);
    arm(l, e->c, t);
    lower_label(l, end);
    return t ? ir_read(&l->build, t) : NULL;
}

/* GNU a ?: c, where a is evaluated once. */
static struct ir_expr *elvis(struct lower *l, struct expr *e, bool wanted)
{
    struct ir_expr *a = lower_stable(l, lower_value(l, e->a));
    struct ir_expr *condition = ir_condition(&l->build, a);
    if (e->type->kind == TYPE_VOID)
        wanted = false;
    struct ir_expr *x = wanted ? lower_convert(l, a, e->a->type, e->type) : NULL;
    if (!has_effects(e->c) && wanted)
        return ir_conditional(&l->build, condition, x, lower_value(l, e->c));
    int end = new_label(l);
    struct ir_object *t = wanted ? ir_temporary(l->heap, l->f, x->type) : NULL;
    if (t)
        lower_assign(l, t, x);
    branch_on(l, condition, end, true);
    arm(l, e->c, t);
    lower_label(l, end);
    return t ? ir_read(&l->build, t) : NULL;
}

static struct ir_expr *conditional(struct lower *l, struct expr *e, bool wanted)
{
    if (!e->b)
        return elvis(l, e, wanted);
    bool tree = wanted && e->type->kind != TYPE_VOID && !has_effects(e->b) && !has_effects(e->c);
    if (!tree && l->f)
        return choose_by_branches(l, e, wanted);
    struct ir_expr *condition = ir_condition(&l->build, lower_value(l, e->a));
    if (condition->op == IR_INT)
        return lower_value(l, condition->value ? e->b : e->c);
    struct ir_expr *x = lower_value(l, e->b), *y = lower_value(l, e->c);
    return ir_conditional(&l->build, condition, x, ir_convert(&l->build, x->type, y));
}

/* ---- all ---- */

static struct ir_expr *statement_value(struct lower *l, struct expr *e)
{
    struct expr *last = lower_statement_expr(l, e);
    if (!last && e->type->kind != TYPE_VOID)
        lower_refuse(l, e->at, "statement expression without a value");
    return last ? lower_value(l, last) : NULL;
}

static struct ir_expr *read_place(struct lower *l, struct expr *e)
{
    struct place p = lower_place(l, e);
    if (e->type->kind == TYPE_ARRAY || e->type->kind == TYPE_FUNCTION)
        return place_address(l, p); /* they decay */
    if (ir_type_of(e->type) == IR_BYTES || ir_type_of(e->type) == IR_VOID)
        lower_refuse(l, e->at, "record where a scalar is wanted");
    return place_read(l, p, e->type);
}

struct ir_expr *lower_value(struct lower *l, struct expr *e)
{
    switch (e->kind) {
    case EXPR_INT: return ir_int(&l->build, ir_type_of(e->type), (int64_t)e->integer);
    case EXPR_FLOAT: return ir_float(&l->build, ir_type_of(e->type), e->real);
    case EXPR_ADDRESS: return place_address(l, lower_place(l, e->a));
    case EXPR_CAST: return cast(l, e);
    case EXPR_NEGATE: case EXPR_COMPLEMENT: case EXPR_NOT: return unary(l, e);
    case EXPR_LOGICAL_AND: case EXPR_LOGICAL_OR: return logical(l, e);
    case EXPR_CONDITIONAL: return conditional(l, e, true);
    case EXPR_ASSIGN: return lower_assignment(l, e, true);
    case EXPR_ASSIGN_OP: return lower_compound(l, e, true);
    case EXPR_PRE_INCREMENT: case EXPR_PRE_DECREMENT:
    case EXPR_POST_INCREMENT: case EXPR_POST_DECREMENT: return lower_step(l, e, true);
    case EXPR_COMMA:
        lower_effects(l, e->a);
        return lower_value(l, e->b);
    case EXPR_CALL: return lower_call(l, e, true);
    case EXPR_VA_ARG: return lower_va_arg(l, e);
    case EXPR_VA_START: case EXPR_VA_END: case EXPR_VA_COPY:
        lower_va_other(l, e);
        return NULL;
    case EXPR_STATEMENT: return statement_value(l, e);
    case EXPR_NAME: case EXPR_MEMBER: case EXPR_DEREF: case EXPR_STRING: case EXPR_COMPOUND:
        return read_place(l, e);
    default: return binary(l, e);
    }
}

/* What is not wanted: its operands' effects. */
static void effects_of_operands(struct lower *l, struct expr *e)
{
    struct expr *operands[] = {e->a, e->b, e->c};
    for (int i = 0; i < 3; i++)
        if (operands[i])
            lower_effects(l, operands[i]);
}

/* An lvalue as a statement reads its object only when that is volatile. */
static void effects_of_lvalue(struct lower *l, struct expr *e)
{
    enum ir_type t = ir_type_of(e->type);
    if (e->type->is_volatile && t != IR_BYTES && t != IR_VOID)
        (void)place_read(l, lower_place(l, e), e->type);
    else if (e->kind != EXPR_NAME)
        lower_effects(l, e->a);
}

static void effects_of_statement(struct lower *l, struct expr *e)
{
    struct expr *last = lower_statement_expr(l, e);
    if (last)
        lower_effects(l, last);
}

static void effects_of_logical(struct lower *l, struct expr *e)
{
    int end = new_label(l);
    lower_branch(l, e->a, end, e->kind == EXPR_LOGICAL_OR);
    lower_effects(l, e->b);
    lower_label(l, end);
}

void lower_effects(struct lower *l, struct expr *e)
{
    if (!has_effects(e))
        return;
    bool record = ir_type_of(e->type) == IR_BYTES;
    switch (e->kind) {
    case EXPR_NAME: case EXPR_MEMBER: case EXPR_DEREF: effects_of_lvalue(l, e); break;
    case EXPR_LOGICAL_AND: case EXPR_LOGICAL_OR: effects_of_logical(l, e); break;
    case EXPR_STATEMENT: effects_of_statement(l, e); break;
    case EXPR_CONDITIONAL: conditional(l, e, false); break;
    case EXPR_ASSIGN:
        if (!record) {
            lower_assignment(l, e, false);
            break;
        } /* fall through */
    case EXPR_COMPOUND: lower_place(l, e); break;
    case EXPR_ASSIGN_OP:
        if (record)
            lower_place(l, e);
        else
            lower_compound(l, e, false);
        break;
    case EXPR_PRE_INCREMENT: case EXPR_PRE_DECREMENT:
    case EXPR_POST_INCREMENT: case EXPR_POST_DECREMENT:
        if (record)
            lower_place(l, e);
        else
            lower_step(l, e, false);
        break;
    case EXPR_CALL:
        if (record)
            lower_call_record(l, e, NULL);
        else
            lower_call(l, e, false);
        break;
    case EXPR_VA_ARG:
        if (record)
            lower_va_arg_record(l, e);
        else
            lower_va_arg(l, e);
        break;
    case EXPR_VA_START: case EXPR_VA_END: case EXPR_VA_COPY: lower_va_other(l, e); break;
    default: effects_of_operands(l, e);
    }
}
