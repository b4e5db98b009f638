/*
 * lower_assign.c: = op= ++ --. The place is evaluated once; the value of an assignment is what was
 * stored, as a value of the place's type (a bit-field's: cut to its width).
 */
#include "lego/lower.h"
#include "lego/type.h"

/* A place that may be used for a read and a write of one instruction. */
static struct place place_twice(struct lower *l, struct place p)
{
    if (p.address)
        p.address = lower_simple(l, p.address);
    return p;
}

/* Writes v; gives what the place then holds, when that is wanted. */
static struct ir_expr *store(struct lower *l, struct place to, const struct type *t,
                             struct ir_expr *v, bool wanted)
{
    if (wanted)
        v = lower_stable(l, v);
    place_write(l, to, t, v);
    return !wanted ? NULL : to.bits ? bits_converted(l, to.bits, v) : v;
}

struct ir_expr *lower_assignment(struct lower *l, struct expr *e, bool wanted)
{
    struct place to = lower_place(l, e->a);
    if (has_effects(e->b))
        to = place_stable(l, to);
    struct ir_expr *v = lower_value(l, e->b);
    if (!v)
        lower_refuse(l, e->at, "assignment of no value");
    return store(l, to, e->a->type, lower_convert(l, v, e->b->type, e->a->type), wanted);
}

/* What a place holds, promoted: a bit-field narrower than int becomes int (C11 6.3.1.1). */
static struct ir_expr *read_promoted(struct lower *l, struct place p, const struct type *t)
{
    struct ir_expr *x = place_read(l, p, t);
    if (p.bits && (p.bits->bit_width < 32 || (p.bits->bit_width == 32 && bits_is_signed(p.bits))))
        return ir_convert(&l->build, IR_I32, x);
    if (p.bits && p.bits->bit_width == 32)
        return ir_convert(&l->build, IR_U32, x);
    return x;
}

struct ir_expr *lower_compound(struct lower *l, struct expr *e, bool wanted)
{
    const struct type *t = e->a->type;
    if (type_is_pair(e->b->type))
        return lower_pair_compound(l, e);
    struct place to = lower_place(l, e->a);
    if (has_effects(e->b))
        to = place_stable(l, to);
    struct ir_expr *y = lower_value(l, e->b);
    if (to.is_volatile) /* reading it is an effect */
        y = lower_stable(l, y);
    to = place_twice(l, to);
    struct ir_expr *x = read_promoted(l, to, t);
    struct ir_expr *v = lower_arithmetic(l, e->op, x, t, y, e->b->type, e->at);
    return store(l, to, t, lower_convert(l, v, NULL, t), wanted);
}

struct ir_expr *lower_step(struct lower *l, struct expr *e, bool wanted)
{
    static const struct type one_type = {.kind = TYPE_INT, .size = 4, .align = 4};
    bool up = e->kind == EXPR_PRE_INCREMENT || e->kind == EXPR_POST_INCREMENT;
    bool post = e->kind == EXPR_POST_INCREMENT || e->kind == EXPR_POST_DECREMENT;
    const struct type *t = e->a->type;
    struct place to = place_twice(l, lower_place(l, e->a));
    struct ir_expr *old = NULL, *one = ir_int(&l->build, IR_I32, 1);
    struct ir_expr *x = read_promoted(l, to, t);
    if (post && wanted) {
        x = lower_stable(l, x);
        old = ir_convert(&l->build, ir_type_of(t), x);
    }
    struct ir_expr *v =
        lower_arithmetic(l, up ? EXPR_ADD : EXPR_SUBTRACT, x, t, one, &one_type, e->at);
    v = store(l, to, t, lower_convert(l, v, NULL, t), wanted && !post);
    return post ? old : v;
}
