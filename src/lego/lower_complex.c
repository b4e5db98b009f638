/*
 * lower_complex.c: arithmetic of complex numbers as gcc has it by default: products and quotients
 * of two complex numbers by libgcc, which recovers infinities (C11 annex G); everything else part
 * by part. A real operand is never widened to a complex one.
 */
#include "lego/lower.h"

/* Integer parts are promoted like any operand (C11 6.3.1.1) and cut back. */
static struct ir_expr *compute(struct lower *l, enum ir_op op, struct ir_expr *x, struct ir_expr *y)
{
    enum ir_type t = x->type, wide = t < IR_I32 ? IR_I32 : t; /* of complex chars and shorts */
    struct ir_expr *v = ir_binary(&l->build, op, ir_convert(&l->build, wide, x),
                                  ir_convert(&l->build, wide, y));
    return ir_convert(&l->build, t, v);
}

/* Not 0 - x, which would lose the sign of a zero. */
static struct ir_expr *negated(struct lower *l, struct ir_expr *x)
{
    enum ir_type t = x->type;
    struct ir_expr *wide = t < IR_I32 ? ir_convert(&l->build, IR_I32, x) : x;
    return ir_convert(&l->build, t, ir_unary(&l->build, IR_NEGATE, wide));
}

/* "__muldc3" for double. */
static struct number call(struct lower *l, const char *operation, struct number x, struct number y,
                          const struct type *type)
{
    enum ir_type t = x.part[0]->type;
    const char *mode = t == IR_F32 ? "s" : t == IR_F64 ? "d" : "x";
    struct number args[4];
    for (int i = 0; i < 2; i++) {
        args[i] = (struct number){type->base, {x.part[i], NULL}};
        args[2 + i] = (struct number){type->base, {y.part[i], NULL}};
    }
    return number_call(l, heap_printf(l->heap, "__%s%sc3", operation, mode), args, 4, type);
}

/* Of floats a call: (a + bi)(c + di) written out gives NaN + NaN i where annex G.5.1 wants an
 * infinity. Of integers the four products, all parts used twice. */
static struct number product(struct lower *l, struct number x, struct number y,
                             const struct type *type)
{
    if (ir_is_float(x.part[0]->type))
        return call(l, "mul", x, y, type);
    x = number_simple(l, x);
    y = number_simple(l, y);
    struct number v = {.type = type};
    v.part[0] = compute(l, IR_SUBTRACT, compute(l, IR_MULTIPLY, x.part[0], y.part[0]),
                        compute(l, IR_MULTIPLY, x.part[1], y.part[1]));
    v.part[1] = compute(l, IR_ADD, compute(l, IR_MULTIPLY, x.part[0], y.part[1]),
                        compute(l, IR_MULTIPLY, x.part[1], y.part[0]));
    return v;
}

/* x or y is real: its imaginary part does not exist, so that nothing is done with it. */
static struct number mixed(struct lower *l, enum expr_kind op, struct number x, struct number y,
                           const struct type *type)
{
    bool scales = op == EXPR_MULTIPLY || op == EXPR_DIVIDE;
    enum ir_op code = op == EXPR_ADD        ? IR_ADD
                      : op == EXPR_SUBTRACT ? IR_SUBTRACT
                      : op == EXPR_MULTIPLY ? IR_MULTIPLY
                                            : IR_DIVIDE;
    struct number v = {.type = type};
    if (scales) {
        x = number_simple(l, x);
        y = number_simple(l, y);
    }
    v.part[0] = compute(l, code, x.part[0], y.part[0]);
    if (x.part[1])
        v.part[1] = scales ? compute(l, code, x.part[1], y.part[0]) : x.part[1];
    else if (scales)
        v.part[1] = compute(l, code, x.part[0], y.part[1]);
    else
        v.part[1] = op == EXPR_SUBTRACT ? negated(l, y.part[1]) : y.part[1];
    return v;
}

/* A real dividend becomes complex, as gcc has it (the quotient needs both parts of the divisor);
 * else real operands stay, which keeps infinities and the signs of zeros (C11 G.5). */
struct number complex_arithmetic(struct lower *l, enum expr_kind op, struct number x,
                                 struct number y, const struct type *type, struct location at)
{
    /* A GNU extension that no library function has. */
    if (op == EXPR_DIVIDE && !ir_is_float(ir_type_of(type->base)))
        lower_refuse(l, at, "division of complex integers");
    if (op == EXPR_DIVIDE && !x.part[1])
        x = number_convert(l, x, type);
    if (!x.part[1] || !y.part[1])
        return mixed(l, op, x, y, type);
    if (op == EXPR_MULTIPLY)
        return product(l, x, y, type);
    if (op == EXPR_DIVIDE)
        return call(l, "div", x, y, type);
    struct number v = {.type = type};
    for (int i = 0; i < 2; i++)
        v.part[i] = compute(l, op == EXPR_ADD ? IR_ADD : IR_SUBTRACT, x.part[i], y.part[i]);
    return v;
}

/* - and, as GNU has it, ~: the conjugate. */
struct number complex_unary(struct lower *l, enum expr_kind op, struct number x)
{
    if (op == EXPR_NEGATE)
        x.part[0] = negated(l, x.part[0]);
    x.part[1] = negated(l, x.part[1]);
    return x;
}

/* Two parts, by value: -0.0 is 0.0 and a NaN is nothing. */
static struct ir_expr *same(struct lower *l, enum ir_op op, struct ir_expr *x, struct ir_expr *y)
{
    enum ir_type wide = x->type < IR_I32 ? IR_I32 : x->type;
    return ir_binary(&l->build, op, ir_convert(&l->build, wide, x),
                     ir_convert(&l->build, wide, y));
}

/* There is no order of complex numbers: == and != only (C11 6.5.8p2). */
struct ir_expr *complex_compare(struct lower *l, enum expr_kind op, struct number x,
                                struct number y)
{
    bool equal = op == EXPR_EQUAL;
    enum ir_op each = equal ? IR_EQUAL : IR_UNEQUAL;
    return ir_binary(&l->build, equal ? IR_LOGICAL_AND : IR_LOGICAL_OR,
                     same(l, each, x.part[0], y.part[0]), same(l, each, x.part[1], y.part[1]));
}
