/*
 * ir_fold.c: constant arithmetic as the target does it. The host's float, double and long double
 * are the target's (IEEE binary32 and binary64, x87 extended), rounding to nearest.
 */
#include "lego/ir_fold.h"

#include "lego/ir_build.h"

/* A count out of range is undefined (C11 6.5.7p3): left to the program, with whatever the
 * processor does. */
static bool shift(enum ir_op op, enum ir_type type, int64_t x, int64_t y, int64_t *out)
{
    int bits = (int)ir_type_size(type) * 8;
    if (y < 0 || y >= bits)
        return false;
    if (op == IR_SHIFT_LEFT)
        *out = (int64_t)((uint64_t)x << y);
    else if (ir_is_signed(type))
        *out = x >> y;
    else
        *out = (int64_t)((uint64_t)x >> y); /* x is zero-extended */
    return true;
}

static bool divide(enum ir_op op, enum ir_type type, int64_t x, int64_t y, int64_t *out)
{
    if (y == 0)
        return false;
    if (!ir_is_signed(type)) {
        *out = (int64_t)(op == IR_DIVIDE ? (uint64_t)x / (uint64_t)y : (uint64_t)x % (uint64_t)y);
        return true;
    }
    int64_t least = type == IR_I64 ? INT64_MIN : INT32_MIN;
    if (y == -1 && x == least)
        return false; /* traps */
    *out = op == IR_DIVIDE ? x / y : x % y;
    return true;
}

static bool less(enum ir_type type, int64_t x, int64_t y)
{
    return ir_is_signed(type) ? x < y : (uint64_t)x < (uint64_t)y;
}

/* In 64 bits, wrapped to the type at the end: modulo 2^n that gives the same, and overflow, which
 * is undefined, gets the value that an add or imul would leave. */
bool fold_int(enum ir_op op, enum ir_type type, int64_t x, int64_t y, int64_t *out)
{
    uint64_t a = (uint64_t)x, b = (uint64_t)y, r = 0;
    int64_t wide;
    switch (op) {
    case IR_ADD: r = a + b; break;
    case IR_SUBTRACT: r = a - b; break;
    case IR_MULTIPLY: r = a * b; break;
    case IR_AND: r = a & b; break;
    case IR_XOR: r = a ^ b; break;
    case IR_OR: r = a | b; break;
    case IR_DIVIDE: case IR_REMAINDER:
        if (!divide(op, type, x, y, &wide))
            return false;
        r = (uint64_t)wide;
        break;
    case IR_SHIFT_LEFT: case IR_SHIFT_RIGHT:
        if (!shift(op, type, x, y, &wide))
            return false;
        r = (uint64_t)wide;
        break;
    case IR_EQUAL: *out = x == y; return true;
    case IR_UNEQUAL: *out = x != y; return true;
    case IR_LESS: *out = less(type, x, y); return true;
    case IR_LESS_EQUAL: *out = !less(type, y, x); return true;
    case IR_GREATER: *out = less(type, y, x); return true;
    case IR_GREATER_EQUAL: *out = !less(type, x, y); return true;
    case IR_LOGICAL_AND: *out = x && y; return true;
    case IR_LOGICAL_OR: *out = x || y; return true;
    default: return false;
    }
    *out = ir_wrap(type, (int64_t)r);
    return true;
}

/* volatile: each operation is rounded to its type and not merged with its neighbour. */
#define FLOAT_OPERATION(T)                                  \
    do {                                                    \
        volatile T a = (T)x, b = (T)y, r;                   \
        switch (op) {                                       \
        case IR_ADD: r = a + b; break;                      \
        case IR_SUBTRACT: r = a - b; break;                 \
        case IR_MULTIPLY: r = a * b; break;                 \
        case IR_DIVIDE: r = a / b; break;                   \
        default: return false;                              \
        }                                                   \
        *out = r;                                           \
        return true;                                        \
    } while (0)

bool fold_float(enum ir_op op, enum ir_type type, long double x, long double y, long double *out)
{
    if (type == IR_F32)
        FLOAT_OPERATION(float);
    else if (type == IR_F64)
        FLOAT_OPERATION(double);
    else
        FLOAT_OPERATION(long double);
}

bool fold_compare_float(enum ir_op op, long double x, long double y, int64_t *out)
{
    switch (op) {
    case IR_EQUAL: *out = x == y; return true;
    case IR_UNEQUAL: *out = x != y; return true;
    case IR_LESS: *out = x < y; return true;
    case IR_LESS_EQUAL: *out = x <= y; return true;
    case IR_GREATER: *out = x > y; return true;
    case IR_GREATER_EQUAL: *out = x >= y; return true;
    default: return false;
    }
}

/* Out of range C leaves it undefined (6.3.1.4p1); saturated here, as gcc's constants are. NaN
 * becomes 0. */
int64_t fold_float_to_int(enum ir_type type, long double value)
{
    int bits = (int)ir_type_size(type) * 8;
    bool is_signed = ir_is_signed(type);
    long double limit = 1; /* 2 to the number of value bits */
    for (int i = 0; i < (is_signed ? bits - 1 : bits); i++)
        limit *= 2;
    if (value != value)
        return 0;
    if (value >= limit)
        return ir_wrap(type, is_signed ? INT64_MAX >> (64 - bits) : -1);
    if (value <= (is_signed ? -limit : 0))
        return is_signed ? INT64_MIN >> (64 - bits) : 0;
    return value < 0x1p63L ? (int64_t)value : (int64_t)(uint64_t)value;
}

/* All 64-bit integers are exact in the 64-bit mantissa of a long double: the one rounding is the
 * caller's. */
long double fold_int_to_float(enum ir_type from, int64_t value)
{
    return ir_is_signed(from) ? (long double)value : (long double)(uint64_t)value;
}
