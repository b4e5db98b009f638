/*
 * lower_pair.c: numbers that no scalar of the IR holds: complex ones and those of 128 bits. In
 * memory they are aggregates of two words, and travel like those; computed with, they are two
 * scalars each. Here is what both have in common: reading, writing, conversions, assignments;
 * arithmetic is in lower_complex.c and lower_int128.c.
 */
#include "lego/lower.h"
#include "lego/type.h"

/* The type of constants that are made here. */
static struct type int_type = {.kind = TYPE_INT, .size = 4, .align = 4, .plain = &int_type};

/* 128 bits travel as two INTEGER eightbytes, low first (System V x86-64, 3.1.2 and 3.2.3); a
 * complex number as its parts, real first (C11 6.2.5p13). */
static enum ir_type word_type(const struct type *t)
{
    return t->kind == TYPE_COMPLEX ? ir_type_of(t->base) : IR_U64;
}

/* What is no pair has one part only, so that mixed operands go through the same functions. */
static struct number scalar(const struct type *t, struct ir_expr *value)
{
    return (struct number){t, {value, NULL}};
}

/* As lower_stable(): whoever emits something between making a number and using it needs this. */
static struct number stable(struct lower *l, struct number v)
{
    for (int i = 0; i < 2 && v.part[i]; i++)
        v.part[i] = lower_stable(l, v.part[i]);
    return v;
}

/* A tree that is used twice would be computed twice: a temporary instead. */
struct number number_simple(struct lower *l, struct number v)
{
    v = stable(l, v);
    for (int i = 0; i < 2 && v.part[i]; i++)
        v.part[i] = lower_simple(l, v.part[i]);
    return v;
}

/* ---- memory ---- */

static struct number read_pair(struct lower *l, struct place p, const struct type *t)
{
    if (!p.object)
        p.address = lower_simple(l, p.address); /* used twice */
    struct number v = {.type = t};
    for (int i = 0; i < 2; i++)
        v.part[i] = memory_read(l, p, i * t->size / 2, word_type(t));
    return v;
}

void number_write(struct lower *l, struct place p, struct number v)
{
    p = place_stable(l, p);
    v = stable(l, v); /* the first word may be what the second is computed from */
    for (int i = 0; i < 2; i++)
        memory_write(l, p, i * v.type->size / 2, word_type(v.type), v.part[i]);
}

/* Whoever wants an address (arguments, results, conditionals) gets a temporary's. */
static struct place in_memory(struct lower *l, struct number v)
{
    struct place p = place_of_object(lower_bytes(l, "pair", v.type->size, v.type->align));
    number_write(l, p, v);
    return p;
}

/* ---- calls of libgcc ---- */

/*
 * Pairs are passed by the address of their bytes like other aggregates, with their type: the target
 * puts them where the ABI has it (a complex double in two vector registers, 128 bits in two general
 * ones).
 */
struct number number_call(struct lower *l, const char *symbol, const struct number *args, int n,
                          const struct type *result)
{
    struct type *type = heap_take(l->heap, sizeof *type);
    struct ir_argument *list = heap_take(l->heap, (size_t)n * sizeof *list);
    *type = (struct type){.kind = TYPE_FUNCTION, .size = 1, .align = 1, .n = n, .plain = type};
    type->base = (struct type *)result;
    type->params = heap_take(l->heap, (size_t)n * sizeof(struct type *));
    for (int i = 0; i < n; i++) {
        type->params[i] = (struct type *)args[i].type;
        if (!args[i].part[1]) {
            list[i].value = lower_simple(l, args[i].part[0]);
            continue;
        }
        list[i].aggregate = type->params[i];
        list[i].value = place_address(l, in_memory(l, args[i]));
    }
    bool pair = type_is_pair(result);
    struct ir_object *o = pair ? lower_bytes(l, "result", result->size, result->align)
                               : ir_temporary(l->heap, l->f, ir_type_of(result));
    struct ir_expr *callee = ir_address(&l->build, lower_function(l, symbol), 0);
    struct ir_instr *i = lower_emit(l, IR_CALL);
    i->callee = callee;
    i->callee_type = type;
    i->args = list;
    i->n_args = n;
    i->object = o;
    i->aggregate = pair ? type->base : NULL;
    return pair ? read_pair(l, place_of_object(o), result)
                : scalar(result, ir_read(&l->build, o));
}

/* ---- conversions ---- */

/* By parts, as -0.0 is false and a NaN is true: the words' bits would not do. */
static struct ir_expr *truth(struct lower *l, struct number v)
{
    struct ir_expr *any[2];
    for (int i = 0; i < 2; i++)
        any[i] = ir_condition(&l->build, v.part[i]);
    return ir_binary(&l->build, IR_LOGICAL_OR, any[0], any[1]);
}

/* A complex number to another keeps both parts; a real one gets an imaginary part of +0. */
static struct number to_complex(struct lower *l, struct number v, const struct type *to)
{
    struct number out = {.type = to};
    enum ir_type t = word_type(to);
    bool from_complex = v.type->kind == TYPE_COMPLEX;
    if (!from_complex)
        v = number_convert(l, v, to->base);
    out.part[0] = ir_convert(&l->build, t, v.part[0]);
    if (from_complex)
        out.part[1] = ir_convert(&l->build, t, v.part[1]);
    else
        out.part[1] = ir_is_float(t) ? ir_float(&l->build, t, 0) : ir_int(&l->build, t, 0);
    return out;
}

/* The high word of a signed number repeats its sign; of 128 bits to 128 bits nothing changes. */
static struct number to_int128(struct lower *l, struct number v, const struct type *to)
{
    if (v.type->kind == TYPE_COMPLEX)
        v = number_convert(l, v, v.type->base);
    if (v.part[1])
        return (struct number){to, {v.part[0], v.part[1]}};
    if (ir_is_float(v.part[0]->type))
        return int128_of_float(l, v, to);
    bool extends = ir_is_signed(v.part[0]->type);
    struct number out = {.type = to};
    if (extends)
        v = number_simple(l, v);
    out.part[0] = ir_convert(&l->build, IR_U64, v.part[0]);
    out.part[1] = ir_int(&l->build, IR_U64, 0);
    if (extends) {
        struct ir_expr *wide = ir_convert(&l->build, IR_I64, v.part[0]);
        struct ir_expr *count = ir_int(&l->build, IR_I32, 63);
        wide = ir_binary(&l->build, IR_SHIFT_RIGHT, wide, count);
        out.part[1] = ir_convert(&l->build, IR_U64, wide);
    }
    return out;
}

/* Complex to real drops the imaginary part (C11 6.3.1.7), but to _Bool looks at both. */
struct number number_convert(struct lower *l, struct number v, const struct type *to)
{
    if (type_same(v.type, to))
        return v;
    if (to->kind == TYPE_COMPLEX)
        return to_complex(l, v, to);
    if (type_is_pair(to))
        return to_int128(l, v, to);
    if (!v.part[1])
        return scalar(to, lower_convert(l, v.part[0], v.type, to));
    if (to->kind == TYPE_BOOL)
        return scalar(to, ir_convert(&l->build, IR_U8, truth(l, v)));
    if (v.type->kind != TYPE_COMPLEX && ir_is_float(ir_type_of(to)))
        return int128_to_float(l, v, to);
    const struct type *from = v.type->kind == TYPE_COMPLEX ? v.type->base : NULL;
    return scalar(to, lower_convert(l, v.part[0], from, to));
}

/* ---- arithmetic ---- */

/* The type of the usual arithmetic conversions (C11 6.3.1.8), of the parts when one is complex. */
static const struct type *common_type(struct lower *l, const struct type *a, const struct type *b)
{
    bool is_complex = a->kind == TYPE_COMPLEX || b->kind == TYPE_COMPLEX;
    const struct type *x = a->kind == TYPE_COMPLEX ? a->base : a;
    const struct type *y = b->kind == TYPE_COMPLEX ? b->base : b;
    const struct type *common = x->kind > y->kind ? x : y;
    bool wide = type_is_pair(x) || type_is_pair(y);
    if (!type_is_float(common) && !wide) { /* the IR's types are in the order of their rank */
        common = ir_type_of(x) > ir_type_of(y) ? x : y;
        if (ir_type_of(common) < IR_I32 && !type_same(x, y))
            common = &int_type;
    }
    return is_complex ? type_complex_of(l->heap, (struct type *)common) : common;
}

/* The left operand alone gives the type (C11 6.5.7): no usual conversions. A count of 128 bits is
 * cut, beyond the width it is undefined anyway. */
static struct number shifted(struct lower *l, enum expr_kind op, struct number x, struct number y,
                             struct location at)
{
    if (y.part[1])
        y = number_convert(l, y, &int_type);
    if (x.part[1])
        return int128_shift(l, op, x, y.part[0]);
    struct ir_expr *v = lower_arithmetic(l, op, x.part[0], x.type, y.part[0], y.type, at);
    return scalar(x.type, v);
}

/* As type, but a real operand stays real where the result is complex. */
static struct number operand(struct lower *l, struct number v, const struct type *type)
{
    bool stays = type->kind == TYPE_COMPLEX && v.type->kind != TYPE_COMPLEX;
    return number_convert(l, v, stays ? type->base : type);
}

/* What no pair is left in after the conversions is scalar arithmetic. */
static struct number arithmetic(struct lower *l, enum expr_kind op, struct number x,
                                struct number y, struct location at)
{
    if (op == EXPR_SHIFT_LEFT || op == EXPR_SHIFT_RIGHT)
        return shifted(l, op, x, y, at);
    const struct type *type = common_type(l, x.type, y.type);
    x = operand(l, x, type);
    y = operand(l, y, type);
    if (type->kind == TYPE_COMPLEX)
        return complex_arithmetic(l, op, x, y, type, at);
    if (type_is_pair(type))
        return int128_arithmetic(l, op, x, y);
    return scalar(type, lower_arithmetic(l, op, x.part[0], type, y.part[0], type, at));
}

/* Operand and result have one type: the reader has promoted. */
static struct number unary(struct lower *l, struct expr *e)
{
    struct number x = lower_number(l, e->a);
    return e->type->kind == TYPE_COMPLEX ? complex_unary(l, e->kind, x)
                                         : int128_unary(l, e->kind, x);
}

/* The right side's effects must not change what was read for the left one: sequence as written. */
static struct number binary(struct lower *l, struct expr *e)
{
    struct number x = lower_number(l, e->a);
    if (has_effects(e->b))
        x = stable(l, x);
    return arithmetic(l, e->kind, x, lower_number(l, e->b), e->at);
}

/* a + b i, as _Complex constants and __builtin_complex come from the reader. */
static struct number parts(struct lower *l, struct expr *e)
{
    struct number v = {.type = e->type};
    v.part[0] = lower_value(l, e->a);
    if (has_effects(e->b))
        v.part[0] = lower_stable(l, v.part[0]);
    v.part[1] = lower_value(l, e->b);
    return v;
}

/*
 * What is in memory already is read from there; the default covers calls, members and assignments.
 */
struct number lower_number(struct lower *l, struct expr *e)
{
    if (!type_is_pair(e->type)) {
        struct ir_expr *v = lower_value(l, e);
        if (!v)
            lower_refuse(l, e->at, "operand without a value");
        return scalar(e->type, v);
    }
    switch (e->kind) {
    case EXPR_CAST: return number_convert(l, lower_number(l, e->a), e->type);
    case EXPR_COMPLEX: return parts(l, e);
    case EXPR_NEGATE: case EXPR_COMPLEMENT: return unary(l, e);
    case EXPR_COMMA:
        lower_effects(l, e->a);
        return lower_number(l, e->b);
    default: break;
    }
    if (e->kind >= EXPR_ADD && e->kind <= EXPR_OR)
        return binary(l, e);
    return read_pair(l, lower_place(l, e), e->type);
}

struct ir_expr *lower_pair_compare(struct lower *l, struct expr *e)
{
    struct number x = lower_number(l, e->a);
    if (has_effects(e->b))
        x = stable(l, x);
    struct number y = lower_number(l, e->b);
    return x.type->kind == TYPE_COMPLEX ? complex_compare(l, e->kind, x, y)
                                        : int128_compare(l, e->kind, x, y);
}

/* ---- assignments ---- */

/* The words are computed first and stored then: the value may be made of what is overwritten. */
struct place lower_pair_assign(struct lower *l, struct expr *e)
{
    struct place to = lower_place(l, e->a);
    if (has_effects(e->b))
        to = place_stable(l, to);
    struct number v = lower_number(l, e->b);
    to = place_stable(l, to);
    number_write(l, to, v);
    return to;
}

static struct number read_number(struct lower *l, struct place p, const struct type *t)
{
    return type_is_pair(t) ? read_pair(l, p, t) : scalar(t, place_read(l, p, t));
}

/* a op= b where a or b is a pair; the new value is given in place and, of a scalar a, in *value. */
/* The place is evaluated once (C11 6.5.16.2), and before the right side only where that has
 * effects: hence the stable and simple forms in between. */
static struct place compound(struct lower *l, struct expr *e, struct ir_expr **value)
{
    struct type *t = e->a->type;
    struct place to = lower_place(l, e->a);
    if (to.bits)
        lower_refuse(l, e->at, "assignment to a bit-field with an operand of this type");
    if (has_effects(e->b))
        to = place_stable(l, to);
    struct number y = stable(l, lower_number(l, e->b));
    if (!to.object)
        to.address = lower_simple(l, lower_stable(l, to.address));
    struct number x = read_number(l, to, t);
    struct number v = number_convert(l, arithmetic(l, e->op, x, y, e->at), t);
    if (v.part[1]) {
        number_write(l, to, v);
    } else {
        *value = lower_stable(l, v.part[0]);
        place_write(l, to, t, *value);
    }
    return to;
}

struct ir_expr *lower_pair_compound(struct lower *l, struct expr *e)
{
    struct ir_expr *value = NULL;
    compound(l, e, &value);
    return value;
}

/* The old value of z++ is a copy: the place has the new one when it is looked at. */
static struct place step(struct lower *l, struct expr *e)
{
    bool up = e->kind == EXPR_PRE_INCREMENT || e->kind == EXPR_POST_INCREMENT;
    bool post = e->kind == EXPR_POST_INCREMENT || e->kind == EXPR_POST_DECREMENT;
    struct place to = place_stable(l, lower_place(l, e->a));
    struct number old = stable(l, read_pair(l, to, e->a->type));
    struct number one = scalar(&int_type, ir_int(&l->build, IR_I32, 1));
    struct number v = arithmetic(l, up ? EXPR_ADD : EXPR_SUBTRACT, old, one, e->at);
    struct place was = post ? in_memory(l, old) : to;
    number_write(l, to, number_convert(l, v, e->a->type));
    return was;
}

/* Whoever takes the address of a value that is no object gets a temporary (in_memory). */
struct place lower_pair_place(struct lower *l, struct expr *e)
{
    struct ir_expr *unused;
    switch (e->kind) {
    case EXPR_ASSIGN: return lower_pair_assign(l, e);
    case EXPR_ASSIGN_OP: return compound(l, e, &unused);
    case EXPR_PRE_INCREMENT: case EXPR_PRE_DECREMENT:
    case EXPR_POST_INCREMENT: case EXPR_POST_DECREMENT: return step(l, e);
    default: return in_memory(l, lower_number(l, e));
    }
}
