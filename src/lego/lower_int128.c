/*
 * lower_int128.c: __int128 as two unsigned longs, low and high. Sums, logic, comparisons and shifts
 * by constants are written out; products, quotients, other shifts and conversions from and to
 * floating types are libgcc's. What is constant is folded, so that static data may use it.
 */
#include "lego/lower.h"

/* For folding only: the host's type computes what the target's would. */
__extension__ typedef unsigned __int128 wide;
__extension__ typedef __int128 signed_wide;

static struct ir_expr *op(struct lower *l, enum ir_op code, struct ir_expr *x, struct ir_expr *y)
{
    return ir_binary(&l->build, code, x, y);
}

static struct ir_expr *count_of(struct lower *l, int n)
{
    return ir_int(&l->build, IR_I32, n);
}

static struct ir_expr *as(struct lower *l, enum ir_type t, struct ir_expr *x)
{
    return ir_convert(&l->build, t, x);
}

static bool is_signed(struct number x)
{
    return x.type->kind == TYPE_INT128;
}

/* ---- constants ---- */

/* Both words have to be known. */
static bool constant(struct number x, wide *out)
{
    if (x.part[0]->op != IR_INT || x.part[1]->op != IR_INT)
        return false;
    *out = (wide)(uint64_t)x.part[1]->value << 64 | (uint64_t)x.part[0]->value;
    return true;
}

/* In words, low first. */
static struct number number_of(struct lower *l, const struct type *t, wide v)
{
    struct number out = {.type = t};
    out.part[0] = ir_int(&l->build, IR_U64, (int64_t)(uint64_t)v);
    out.part[1] = ir_int(&l->build, IR_U64, (int64_t)(uint64_t)(v >> 64));
    return out;
}

/* Products and quotients; sums and logic fold by themselves. False: not constant, or it traps. */
static bool fold(enum expr_kind kind, struct number x, struct number y, wide *out)
{
    wide a, b;
    if (!constant(x, &a) || !constant(y, &b))
        return false;
    if (kind == EXPR_MULTIPLY) {
        *out = a * b;
        return true;
    }
    bool overflows = is_signed(x) && b == ~(wide)0 && a == (wide)1 << 127;
    if (b == 0 || overflows || (kind != EXPR_DIVIDE && kind != EXPR_REMAINDER))
        return false;
    if (is_signed(x))
        *out = kind == EXPR_DIVIDE ? (wide)((signed_wide)a / (signed_wide)b)
                                   : (wide)((signed_wide)a % (signed_wide)b);
    else
        *out = kind == EXPR_DIVIDE ? a / b : a % b;
    return true;
}

/* ---- arithmetic ---- */

/* The low sum wrapped when it is below one of its operands: that is the carry. */
static struct number sum(struct lower *l, struct number x, struct number y)
{
    x = number_simple(l, x);
    struct number v = {.type = x.type};
    v.part[0] = lower_stable(l, op(l, IR_ADD, x.part[0], y.part[0]));
    struct ir_expr *carry = as(l, IR_U64, op(l, IR_LESS, v.part[0], x.part[0]));
    v.part[1] = op(l, IR_ADD, op(l, IR_ADD, x.part[1], y.part[1]), carry);
    return v;
}

/* A borrow where the low word is below what is taken from it. */
static struct number difference(struct lower *l, struct number x, struct number y)
{
    x = number_simple(l, x);
    y = number_simple(l, y);
    struct number v = {.type = x.type};
    v.part[0] = op(l, IR_SUBTRACT, x.part[0], y.part[0]);
    struct ir_expr *borrow = as(l, IR_U64, op(l, IR_LESS, x.part[0], y.part[0]));
    v.part[1] = op(l, IR_SUBTRACT, op(l, IR_SUBTRACT, x.part[1], y.part[1]), borrow);
    return v;
}

/* No carry, so each word is for itself. */
static struct number by_words(struct lower *l, enum ir_op code, struct number x, struct number y)
{
    for (int i = 0; i < 2; i++)
        x.part[i] = op(l, code, x.part[i], y.part[i]);
    return x;
}

/* The names are libgcc's ("ti": 16 bytes), which every gcc program is linked with; both compilers
 * call the same ones, so that results agree to the bit. */
struct number int128_arithmetic(struct lower *l, enum expr_kind kind, struct number x,
                                struct number y)
{
    wide folded;
    if (fold(kind, x, y, &folded))
        return number_of(l, x.type, folded);
    const char *symbol;
    switch (kind) {
    case EXPR_ADD: return sum(l, x, y);
    case EXPR_SUBTRACT: return difference(l, x, y);
    case EXPR_AND: return by_words(l, IR_AND, x, y);
    case EXPR_XOR: return by_words(l, IR_XOR, x, y);
    case EXPR_OR: return by_words(l, IR_OR, x, y);
    case EXPR_MULTIPLY: symbol = "__multi3"; break;
    case EXPR_DIVIDE: symbol = is_signed(x) ? "__divti3" : "__udivti3"; break;
    default: symbol = is_signed(x) ? "__modti3" : "__umodti3";
    }
    struct number args[] = {x, y};
    return number_call(l, symbol, args, 2, x.type);
}

/* -x is 0 - x here: integers have one zero. */
struct number int128_unary(struct lower *l, enum expr_kind kind, struct number x)
{
    if (kind == EXPR_NEGATE)
        return difference(l, number_of(l, x.type, 0), x);
    for (int i = 0; i < 2; i++)
        x.part[i] = ir_unary(&l->build, IR_COMPLEMENT, x.part[i]);
    return x;
}

/* ---- shifts ---- */

/* x shifted right by n < 64 bits as its sign says; x is a word. */
static struct ir_expr *high_right(struct lower *l, bool arithmetic, struct ir_expr *x, int n)
{
    if (!arithmetic)
        return op(l, IR_SHIFT_RIGHT, x, count_of(l, n));
    return as(l, IR_U64, op(l, IR_SHIFT_RIGHT, as(l, IR_I64, x), count_of(l, n)));
}

/* from, and above it what moves in from the other word. */
static struct ir_expr *joined(struct lower *l, struct ir_expr *down, struct ir_expr *up, int n)
{
    return op(l, IR_OR, op(l, IR_SHIFT_RIGHT, down, count_of(l, n)),
              op(l, IR_SHIFT_LEFT, up, count_of(l, 64 - n)));
}

/* Counts of 64 and more move whole words; the other word's bits never come into it then. */
static struct number left_by(struct lower *l, struct number x, int n)
{
    struct number v = {.type = x.type};
    struct ir_expr *low = x.part[0];
    v.part[0] = n < 64 ? op(l, IR_SHIFT_LEFT, low, count_of(l, n)) : ir_int(&l->build, IR_U64, 0);
    v.part[1] = n < 64 ? joined(l, low, x.part[1], 64 - n)
                       : op(l, IR_SHIFT_LEFT, low, count_of(l, n - 64));
    return v;
}

static struct number right_by(struct lower *l, struct number x, int n)
{
    struct number v = {.type = x.type};
    bool arithmetic = is_signed(x);
    struct ir_expr *high = x.part[1];
    v.part[0] = n < 64 ? joined(l, x.part[0], high, n) : high_right(l, arithmetic, high, n - 64);
    if (n < 64)
        v.part[1] = high_right(l, arithmetic, high, n);
    else
        v.part[1] = arithmetic ? high_right(l, true, high, 63) : ir_int(&l->build, IR_U64, 0);
    return v;
}

/* A constant count is taken as the machine takes it; out of range it is undefined anyway. */
struct number int128_shift(struct lower *l, enum expr_kind kind, struct number x,
                           struct ir_expr *count)
{
    static struct type int_type = {.kind = TYPE_INT, .size = 4, .align = 4};
    bool left = kind == EXPR_SHIFT_LEFT;
    if (count->op == IR_INT) {
        int n = (int)(count->value & 127);
        x = number_simple(l, x);
        return n == 0 ? x : left ? left_by(l, x, n) : right_by(l, x, n);
    }
    const char *symbol = left ? "__ashlti3" : is_signed(x) ? "__ashrti3" : "__lshrti3";
    struct number args[] = {x, {&int_type, {as(l, IR_I32, count), NULL}}};
    return number_call(l, symbol, args, 2, x.type);
}

/* ---- comparisons ---- */

/* High words decide unless they are equal; low words have no sign. */
static struct ir_expr *less(struct lower *l, struct number x, struct number y)
{
    enum ir_type t = is_signed(x) ? IR_I64 : IR_U64;
    struct ir_expr *high = op(l, IR_LESS, as(l, t, x.part[1]), as(l, t, y.part[1]));
    struct ir_expr *same = op(l, IR_EQUAL, x.part[1], y.part[1]);
    struct ir_expr *low = op(l, IR_LESS, x.part[0], y.part[0]);
    return op(l, IR_LOGICAL_OR, high, op(l, IR_LOGICAL_AND, same, low));
}

/* x > y is y < x, and >= is !(<): integers are all ordered, unlike floats. */
struct ir_expr *int128_compare(struct lower *l, enum expr_kind kind, struct number x,
                               struct number y)
{
    if (kind == EXPR_EQUAL || kind == EXPR_UNEQUAL) {
        bool equal = kind == EXPR_EQUAL;
        enum ir_op each = equal ? IR_EQUAL : IR_UNEQUAL;
        return op(l, equal ? IR_LOGICAL_AND : IR_LOGICAL_OR, op(l, each, x.part[0], y.part[0]),
                  op(l, each, x.part[1], y.part[1]));
    }
    x = number_simple(l, x);
    y = number_simple(l, y);
    bool swapped = kind == EXPR_GREATER || kind == EXPR_LESS_EQUAL;
    struct ir_expr *v = swapped ? less(l, y, x) : less(l, x, y);
    bool negated = kind == EXPR_LESS_EQUAL || kind == EXPR_GREATER_EQUAL;
    return negated ? ir_not(&l->build, v) : v;
}

/* ---- floating types ---- */

/* libgcc's machine modes: sf, df, xf. */
static char mode_of(enum ir_type t)
{
    return t == IR_F32 ? 's' : t == IR_F64 ? 'd' : 'x';
}

struct number int128_to_float(struct lower *l, struct number x, const struct type *to)
{
    const char *symbol = heap_printf(l->heap, "__float%sti%cf", is_signed(x) ? "" : "un",
                                     mode_of(ir_type_of(to)));
    return number_call(l, symbol, &x, 1, to);
}

struct number int128_of_float(struct lower *l, struct number x, const struct type *to)
{
    const char *symbol = heap_printf(l->heap, "__fix%s%cfti",
                                     to->kind == TYPE_INT128 ? "" : "uns",
                                     mode_of(x.part[0]->type));
    return number_call(l, symbol, &x, 1, to);
}
