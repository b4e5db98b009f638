/*
 * ir_build.c: see ir_build.h. Makers return one of their operands where the operation changes
 * nothing.
 */
#include "lego/ir_build.h"

#include <string.h>
#include <xxhash.h>

#include "lego/ir_fold.h"

/* Hash chains of the floating constants: a source may hold thousands, and each is looked for. */
enum { CHAINS = 1024 };

/* A builder serves a whole unit, so that functions share their constants. */
void ir_builder_init(struct ir_builder *b, struct heap *h)
{
    *b = (struct ir_builder){.heap = h};
    b->chains = heap_take(h, CHAINS * sizeof *b->chains);
}

/* An IR_INT has its type's value, sign- or zero-extended to 64 bits: equal constants then are
 * equal numbers, and every fold ends here. */
int64_t ir_wrap(enum ir_type type, int64_t value)
{
    switch (type) {
    case IR_I8: return (int8_t)value;
    case IR_U8: return (uint8_t)value;
    case IR_I16: return (int16_t)value;
    case IR_U16: return (uint16_t)value;
    case IR_I32: return (int32_t)value;
    case IR_U32: return (uint32_t)value;
    default: return value;
    }
}

bool ir_is_comparison(enum ir_op op)
{
    return op >= IR_EQUAL && op <= IR_GREATER_EQUAL;
}

/* What the skeleton (calls, returns, switches) moves without computing: the composer does it
 * itself. */
bool ir_is_simple(const struct ir_expr *e)
{
    return e->op == IR_READ || e->op == IR_INT || e->op == IR_ADDRESS;
}

bool ir_is_int(const struct ir_expr *e, int64_t value)
{
    return e->op == IR_INT && e->value == value;
}

static struct ir_expr *make(struct ir_builder *b, enum ir_op op, enum ir_type type,
                            struct ir_expr *x, struct ir_expr *y)
{
    struct ir_expr *e = heap_take(b->heap, sizeof *e);
    e->op = op;
    e->type = type;
    e->a = x;
    e->b = y;
    return e;
}

struct ir_expr *ir_int(struct ir_builder *b, enum ir_type type, int64_t value)
{
    struct ir_expr *e = make(b, IR_INT, type, NULL, NULL);
    e->value = ir_wrap(type, value);
    return e;
}

/* The value's bytes as the target keeps them; the six bytes behind an F80 are zero. */
static void float_bytes(enum ir_type type, long double value, unsigned char out[16])
{
    float f = (float)value;
    double d = (double)value;
    memset(out, 0, 16);
    if (type == IR_F32)
        memcpy(out, &f, 4);
    else if (type == IR_F64)
        memcpy(out, &d, 8);
    else
        memcpy(out, &value, 10);
}

/* The object that holds these bytes: the same one for the same bytes, so 0.0 and -0.0 are two. */
static struct ir_object *constant(struct ir_builder *b, enum ir_type type,
                                  const unsigned char bytes[16])
{
    /* over all 16 bytes, which float_bytes has cleared */
    unsigned chain = XXH3_64bits_withSeed(bytes, 16, type) % CHAINS;
    int64_t size = ir_type_size(type);
    for (int i = b->chains[chain]; i; i = b->next[i - 1]) {
        struct ir_object *o = b->constants[i - 1];
        if (o->type == type && memcmp(o->bytes, bytes, (size_t)size) == 0)
            return o;
    }
    struct ir_object *o = ir_new_object(b->heap, NULL, IR_CONSTANT);
    o->type = type;
    o->size = o->align = size;
    o->name = heap_printf(b->heap, ".LK%d", b->n_constants);
    o->bytes = (unsigned char *)heap_copy(b->heap, (const char *)bytes, (size_t)size);
    /* chains hold numbers from 1, so that a cleared table is an empty one */
    heap_grow(b->heap, &b->next, b->n_constants, sizeof *b->next);
    b->next[b->n_constants] = b->chains[chain];
    heap_grow(b->heap, &b->constants, b->n_constants, sizeof(struct ir_object *));
    b->constants[b->n_constants++] = o;
    b->chains[chain] = b->n_constants;
    return o;
}

struct ir_expr *ir_float(struct ir_builder *b, enum ir_type type, long double value)
{
    unsigned char bytes[16];
    float_bytes(type, value, bytes);
    return ir_read(b, constant(b, type, bytes));
}

/* A floating constant is a read of a constant object: its value has to be fetched from there. */
bool ir_float_value(const struct ir_expr *e, long double *value)
{
    if (e->op != IR_READ || e->object->place != IR_CONSTANT)
        return false;
    float f;
    double d;
    *value = 0;
    if (e->type == IR_F32) {
        memcpy(&f, e->object->bytes, 4);
        *value = f;
    } else if (e->type == IR_F64) {
        memcpy(&d, e->object->bytes, 8);
        *value = d;
    } else {
        memcpy(value, e->object->bytes, 10);
    }
    return true;
}

struct ir_expr *ir_read(struct ir_builder *b, struct ir_object *object)
{
    struct ir_expr *e = make(b, IR_READ, object->type, NULL, NULL);
    e->object = object;
    return e;
}

struct ir_expr *ir_address(struct ir_builder *b, struct ir_object *object, int64_t offset)
{
    struct ir_expr *e = make(b, IR_ADDRESS, IR_PTR, NULL, NULL);
    e->object = object;
    e->value = offset;
    return e;
}

struct ir_expr *ir_load(struct ir_builder *b, enum ir_type type, struct ir_expr *address,
                        bool is_volatile)
{
    struct ir_expr *e = make(b, IR_LOAD, type, address, NULL);
    e->is_volatile = is_volatile;
    return e;
}

static bool is_integer(enum ir_type t)
{
    return t <= IR_U64;
}

/* Whether every value of one integer type is a value of another. */
static bool holds(enum ir_type wide, enum ir_type narrow)
{
    int64_t w = ir_type_size(wide), n = ir_type_size(narrow);
    if (ir_is_signed(wide) == ir_is_signed(narrow))
        return w >= n;
    return ir_is_signed(wide) && w > n;
}

/* NULL: the value is not known here, or a conversion that C does not have (6.5.4p4: none between
 * pointers and floating types). */
static struct ir_expr *convert_constant(struct ir_builder *b, enum ir_type type, struct ir_expr *a)
{
    long double real;
    if (a->op == IR_INT) {
        if (!ir_is_float(type))
            return ir_int(b, type, a->value);
        return a->type == IR_PTR ? NULL
                                 : ir_float(b, type, fold_int_to_float(a->type, a->value));
    }
    if (!ir_float_value(a, &real))
        return NULL;
    if (ir_is_float(type))
        return ir_float(b, type, real);
    return is_integer(type) ? ir_int(b, type, fold_float_to_int(type, real)) : NULL;
}

/* Narrowing and widening again is kept (it changes values); widening and then anything is not. */
struct ir_expr *ir_convert(struct ir_builder *b, enum ir_type type, struct ir_expr *a)
{
    if (a->type == type)
        return a;
    struct ir_expr *folded = convert_constant(b, type, a);
    if (folded)
        return folded;
    /* Pointers and integers of another width meet by way of a 64-bit integer. */
    if (type == IR_PTR && ir_type_size(a->type) < 8)
        a = ir_convert(b, ir_is_signed(a->type) ? IR_I64 : IR_U64, a);
    if (a->type == IR_PTR && ir_type_size(type) < 8)
        a = ir_convert(b, IR_U64, a);
    if (is_integer(type) && a->op == IR_CONVERT && is_integer(a->type) && is_integer(a->a->type) &&
        holds(a->type, a->a->type))
        return ir_convert(b, type, a->a); /* the inner one changed no value */
    return make(b, IR_CONVERT, type, a, NULL);
}

static enum ir_type unsigned_of(enum ir_type t)
{
    return t == IR_I32 ? IR_U32 : t == IR_I64 ? IR_U64 : t;
}

/* Of the operations on signed integers that may overflow: computed on unsigned ones instead. */
static bool is_wrapped(const struct ir_builder *b, enum ir_op op, enum ir_type t)
{
    bool overflows = op == IR_ADD || op == IR_SUBTRACT || op == IR_MULTIPLY || op == IR_NEGATE;
    return b->wraps && overflows && unsigned_of(t) != t;
}

struct ir_expr *ir_unary(struct ir_builder *b, enum ir_op op, struct ir_expr *a)
{
    enum ir_type type = a->type;
    long double real;
    if (op == IR_NEGATE && ir_float_value(a, &real))
        return ir_float(b, a->type, -real);
    if (a->op == IR_INT) {
        uint64_t v = (uint64_t)a->value;
        if (op == IR_NOT)
            return ir_int(b, IR_I32, v == 0);
        return ir_int(b, a->type, (int64_t)(op == IR_NEGATE ? -v : ~v));
    }
    if (is_wrapped(b, op, type))
        return ir_convert(b, type, ir_unary(b, op, ir_convert(b, unsigned_of(type), a)));
    return make(b, op, op == IR_NOT ? IR_I32 : type, a, NULL);
}

/* Objects that are somewhere for sure: not null. */
static bool has_address(const struct ir_expr *e)
{
    return e->op == IR_ADDRESS && e->value == 0 && !(e->object->decl && e->object->decl->is_weak);
}

/* What is known at compile time, else NULL. What would trap (a division by 0, an overflow of
 * INT_MIN / -1) is not folded: it happens when it is executed, if ever. */
static struct ir_expr *fold_binary(struct ir_builder *b, enum ir_op op, enum ir_type type,
                                   struct ir_expr *x, struct ir_expr *y)
{
    int64_t integer;
    long double p, q, real;
    if (x->op == IR_INT && y->op == IR_INT) {
        /* fixed addresses compare as the unsigned numbers they are */
        enum ir_type in = x->type == IR_PTR ? IR_U64 : x->type;
        return fold_int(op, in, x->value, y->value, &integer) ? ir_int(b, type, integer) : NULL;
    }
    if (ir_float_value(x, &p) && ir_float_value(y, &q)) {
        if (fold_compare_float(op, p, q, &integer))
            return ir_int(b, type, integer);
        return fold_float(op, x->type, p, q, &real) ? ir_float(b, type, real) : NULL;
    }
    if ((op == IR_EQUAL || op == IR_UNEQUAL) && has_address(x) && ir_is_int(y, 0))
        return ir_int(b, type, op == IR_UNEQUAL);
    /* two places in one object: their offsets decide (C11 6.5.8p5) */
    if (ir_is_comparison(op) && x->op == IR_ADDRESS && y->op == IR_ADDRESS &&
        x->object == y->object &&
        fold_int(op, IR_I64, x->value, y->value, &integer))
        return ir_int(b, type, integer);
    return NULL;
}

/* pointer +- offset: constants gather in the ADDRESS, or in the outermost addition. */
static struct ir_expr *add_pointer(struct ir_builder *b, enum ir_op op, struct ir_expr *x,
                                   struct ir_expr *y)
{
    if (y->op != IR_INT || (op == IR_SUBTRACT && y->value == INT64_MIN))
        return make(b, op, IR_PTR, x, y);
    int64_t offset = op == IR_ADD ? y->value : -y->value, sum;
    if (offset == 0)
        return x;
    /* offsets gather only while their sum has 64 bits; else the additions stay two */
    if (x->op == IR_ADDRESS && !__builtin_add_overflow(x->value, offset, &sum))
        return ir_address(b, x->object, sum);
    if (x->op == IR_ADD && x->b->op == IR_INT && !__builtin_add_overflow(x->b->value, offset, &sum))
        return add_pointer(b, IR_ADD, x->a, ir_int(b, IR_I64, sum));
    if (x->op == IR_ADD && x->a->op == IR_ADDRESS &&
        !__builtin_add_overflow(x->a->value, offset, &sum))
        return make(b, IR_ADD, IR_PTR, ir_address(b, x->a->object, sum), x->b);
    return make(b, IR_ADD, IR_PTR, x, ir_int(b, IR_I64, offset));
}

/* An address as an integer: the object and its offset. */
static bool integer_address(const struct ir_expr *e, const struct ir_expr **address)
{
    if (e->op != IR_CONVERT || ir_type_size(e->type) != 8 || e->a->op != IR_ADDRESS)
        return false;
    *address = e->a;
    return true;
}

/* Where nothing need be computed: x + 0, x * 1, &s.b - &s.a; NULL: it must. */
static struct ir_expr *shorten(struct ir_builder *b, enum ir_op op, struct ir_expr *x,
                               struct ir_expr *y)
{
    const struct ir_expr *p, *q;
    bool neutral_zero =
        op == IR_ADD || op == IR_SUBTRACT || op == IR_SHIFT_LEFT || op == IR_SHIFT_RIGHT;
    if (neutral_zero && ir_is_int(y, 0) && !ir_is_float(x->type))
        return x;
    if ((op == IR_MULTIPLY || op == IR_DIVIDE) && ir_is_int(y, 1))
        return x;
    if (op == IR_SUBTRACT && integer_address(x, &p) && integer_address(y, &q) &&
        p->object == q->object)
        return ir_int(b, x->type, p->value - q->value);
    if ((op == IR_ADD || op == IR_SUBTRACT) && integer_address(x, &p) && y->op == IR_INT) {
        struct ir_expr *sum = add_pointer(b, op, x->a, y);
        return ir_convert(b, x->type, sum);
    }
    return NULL;
}

/* LOGICAL may be decided by its first operand alone: the second one has no effects and may go. */
struct ir_expr *ir_binary(struct ir_builder *b, enum ir_op op, struct ir_expr *x, struct ir_expr *y)
{
    bool to_int = ir_is_comparison(op) || op == IR_LOGICAL_AND || op == IR_LOGICAL_OR;
    enum ir_type type = to_int ? IR_I32 : x->type;
    if (op == IR_LOGICAL_AND || op == IR_LOGICAL_OR) {
        if (x->op == IR_INT) /* y has no side effects: it may go */
            return (x->value != 0) == (op == IR_LOGICAL_OR) ? ir_int(b, IR_I32, x->value != 0)
                                                            : ir_truth(b, y);
        return make(b, op, type, x, y);
    }
    struct ir_expr *folded = fold_binary(b, op, type, x, y);
    if (folded)
        return folded;
    if (type == IR_PTR)
        return add_pointer(b, op, x, y);
    struct ir_expr *shorter = to_int ? NULL : shorten(b, op, x, y);
    if (!shorter && is_wrapped(b, op, type)) {
        x = ir_convert(b, unsigned_of(type), x);
        y = ir_convert(b, unsigned_of(type), y);
        return ir_convert(b, type, ir_binary(b, op, x, y));
    }
    return shorter ? shorter : make(b, op, type, x, y);
}

struct ir_expr *ir_conditional(struct ir_builder *b, struct ir_expr *condition, struct ir_expr *x,
                               struct ir_expr *y)
{
    if (condition->op == IR_INT)
        return condition->value ? x : y;
    struct ir_expr *e = make(b, IR_CONDITIONAL, x->type, condition, x);
    e->c = y;
    return e;
}

/* C's integer promotions: int holds the values of all narrower types. */
static struct ir_expr *promoted(struct ir_builder *b, struct ir_expr *a)
{
    return a->type < IR_I32 ? ir_convert(b, IR_I32, a) : a;
}

static struct ir_expr *zero(struct ir_builder *b, enum ir_type type)
{
    return ir_is_float(type) ? ir_float(b, type, 0) : ir_int(b, type, 0);
}

/* Any int but 0 will do for a branch, so that an int is taken as it is; ir_truth gives 0 or 1. */
struct ir_expr *ir_condition(struct ir_builder *b, struct ir_expr *a)
{
    a = promoted(b, a);
    return a->type == IR_I32 ? a : ir_binary(b, IR_UNEQUAL, a, zero(b, a->type));
}

struct ir_expr *ir_truth(struct ir_builder *b, struct ir_expr *a)
{
    if (ir_is_comparison(a->op) || a->op == IR_NOT || a->op == IR_LOGICAL_AND ||
        a->op == IR_LOGICAL_OR)
        return a;
    a = promoted(b, a);
    return ir_binary(b, IR_UNEQUAL, a, zero(b, a->type));
}

struct ir_expr *ir_not(struct ir_builder *b, struct ir_expr *a)
{
    static const enum ir_op inverse[] = {
        [IR_EQUAL] = IR_UNEQUAL, [IR_UNEQUAL] = IR_EQUAL, [IR_LESS] = IR_GREATER_EQUAL,
        [IR_LESS_EQUAL] = IR_GREATER, [IR_GREATER] = IR_LESS_EQUAL, [IR_GREATER_EQUAL] = IR_LESS};
    if (ir_is_comparison(a->op)) {
        bool equality = a->op == IR_EQUAL || a->op == IR_UNEQUAL;
        if (equality || !ir_is_float(a->a->type)) /* !(a < b) is not a >= b for a NaN */
            return ir_binary(b, inverse[a->op], a->a, a->b);
    }
    if (a->op == IR_NOT)
        return ir_truth(b, a->a);
    a = promoted(b, a);
    return a->type == IR_I32 ? ir_unary(b, IR_NOT, a)
                             : ir_binary(b, IR_EQUAL, a, zero(b, a->type));
}
