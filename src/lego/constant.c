/*
 * constant.c: integer constant expressions (C11 6.6) over the tree, and whether a tree has side
 * effects. Arithmetic wraps at the type's width: overflow in constants is libclang's to report.
 */
#include "lego/constant.h"

#include "lego/type.h"

/* What traps at run time is no constant. */
static bool divide(const struct expr *e, bool is_signed, uint64_t a, uint64_t b, uint64_t *out)
{
    bool remainder = e->kind == EXPR_REMAINDER;
    if (b == 0 || (is_signed && b == UINT64_MAX && a == (uint64_t)INT64_MIN))
        return false;
    if (is_signed)
        *out = (uint64_t)(remainder ? (int64_t)a % (int64_t)b : (int64_t)a / (int64_t)b);
    else
        *out = remainder ? a % b : a / b;
    return true;
}

/* A count that is negative or too large is undefined (C11 6.5.7p3): then it is no constant. */
static bool shift(const struct expr *e, bool is_signed, uint64_t a, uint64_t b, uint64_t *out)
{
    if (b >= (uint64_t)e->type->size * 8)
        return false;
    if (e->kind == EXPR_SHIFT_LEFT)
        *out = a << b;
    else
        *out = is_signed ? (uint64_t)((int64_t)a >> b) : a >> b;
    return true;
}

static bool is_less(bool is_signed, uint64_t a, uint64_t b)
{
    return is_signed ? (int64_t)a < (int64_t)b : a < b;
}

static bool binary(const struct expr *e, uint64_t a, uint64_t b, uint64_t *out)
{
    /* both sides have one type by now (ast.h); of comparisons the result's, int, would not do */
    bool s = type_is_signed(e->a->type);
    switch (e->kind) {
    case EXPR_ADD: *out = a + b; return true;
    case EXPR_SUBTRACT: *out = a - b; return true;
    case EXPR_MULTIPLY: *out = a * b; return true;
    case EXPR_DIVIDE:
    case EXPR_REMAINDER: return divide(e, s, a, b, out);
    case EXPR_SHIFT_LEFT:
    case EXPR_SHIFT_RIGHT: return shift(e, s, a, b, out);
    case EXPR_AND: *out = a & b; return true;
    case EXPR_XOR: *out = a ^ b; return true;
    case EXPR_OR: *out = a | b; return true;
    case EXPR_EQUAL: *out = a == b; return true;
    case EXPR_UNEQUAL: *out = a != b; return true;
    case EXPR_LESS: *out = is_less(s, a, b); return true;
    case EXPR_LESS_EQUAL: *out = !is_less(s, b, a); return true;
    case EXPR_GREATER: *out = is_less(s, b, a); return true;
    case EXPR_GREATER_EQUAL: *out = !is_less(s, a, b); return true;
    default: return false;
    }
}

static bool cast(const struct expr *e, uint64_t *out)
{
    const struct expr *a = e->a;
    int64_t inner;
    if (a->kind == EXPR_FLOAT) { /* (int)1.5 is allowed: C11 6.6p6 */
        /* the host converts here, and beyond the type's range it is undefined (C11 6.3.1.4p1) */
        bool fits = a->real >= -0x1p63L && a->real < 0x1p63L;
        bool fits_unsigned = a->real >= 0 && a->real < 0x1p64L && type_is_integer(e->type) &&
                             !type_is_signed(e->type);
        if (e->type->kind == TYPE_BOOL)
            *out = a->real != 0;
        else
            *out = fits ? (uint64_t)(int64_t)a->real : fits_unsigned ? (uint64_t)a->real : 0;
        return fits || fits_unsigned || e->type->kind == TYPE_BOOL;
    }
    if (!type_is_integer(a->type) || !constant_integer(a, &inner))
        return false;
    *out = (uint64_t)inner;
    return true;
}

/* The side that is not evaluated need not be constant (C11 6.6p3). */
static bool logical(const struct expr *e, uint64_t *out)
{
    int64_t a, b;
    if (!constant_integer(e->a, &a))
        return false;
    if ((a != 0) == (e->kind == EXPR_LOGICAL_OR)) {
        *out = a != 0;
        return true;
    }
    if (!constant_integer(e->b, &b))
        return false;
    *out = b != 0;
    return true;
}

/* Only the side that is chosen must be constant; GNU's a ?: c chooses a itself. */
static bool conditional(const struct expr *e, uint64_t *out)
{
    int64_t a, value;
    if (!constant_integer(e->a, &a))
        return false;
    const struct expr *chosen = a ? (e->b ? e->b : e->a) : e->c;
    if (!constant_integer(chosen, &value))
        return false;
    *out = (uint64_t)value;
    return true;
}

static bool evaluate(const struct expr *e, uint64_t *out)
{
    int64_t a = 0, b = 0;
    switch (e->kind) {
    case EXPR_INT: *out = e->integer; return true;
    case EXPR_CAST: return cast(e, out);
    case EXPR_LOGICAL_AND:
    case EXPR_LOGICAL_OR: return logical(e, out);
    case EXPR_CONDITIONAL: return conditional(e, out);
    case EXPR_NEGATE:
    case EXPR_COMPLEMENT:
    case EXPR_NOT:
        if (!type_is_integer(e->a->type) || !constant_integer(e->a, &a))
            return false;
        *out = e->kind == EXPR_NOT ? !a : e->kind == EXPR_NEGATE ? -(uint64_t)a : ~(uint64_t)a;
        return true;
    default:
        break;
    }
    if (e->kind < EXPR_ADD || e->kind > EXPR_GREATER_EQUAL || !type_is_integer(e->a->type))
        return false;
    return constant_integer(e->a, &a) && constant_integer(e->b, &b) &&
           binary(e, (uint64_t)a, (uint64_t)b, out);
}

/* Numbers of 128 bits do not fit what constants are kept in: they are computed by lowering. */
bool constant_integer(const struct expr *e, int64_t *value)
{
    uint64_t result = 0;
    if (!type_is_integer(e->type) || type_is_pair(e->type) || !evaluate(e, &result))
        return false;
    *value = (int64_t)type_wrap(e->type, result);
    return true;
}

static bool initializer_has_effects(const struct initializer *init)
{
    for (int i = 0; init && i < init->n; i++) {
        if (constant_has_effects(init->items[i].value))
            return true;
    }
    return false;
}

/* Whether evaluating e may be left out, or done twice, without anybody noticing: calls count
 * always, and so do reads of volatile objects (C11 5.1.2.3p2). */
bool constant_has_effects(const struct expr *e)
{
    if (!e)
        return false;
    switch (e->kind) {
    case EXPR_ASSIGN:
    case EXPR_ASSIGN_OP:
    case EXPR_PRE_INCREMENT:
    case EXPR_PRE_DECREMENT:
    case EXPR_POST_INCREMENT:
    case EXPR_POST_DECREMENT:
    case EXPR_CALL:
    case EXPR_VA_START:
    case EXPR_VA_ARG:
    case EXPR_VA_END:
    case EXPR_VA_COPY:
    case EXPR_STATEMENT:
        return true;
    case EXPR_NAME:
    case EXPR_MEMBER:
    case EXPR_DEREF:
        if (e->type->is_volatile)
            return true;
        break;
    case EXPR_COMPOUND:
        if (initializer_has_effects(e->decl->init))
            return true;
        break;
    default:
        break;
    }
    return constant_has_effects(e->a) || constant_has_effects(e->b) || constant_has_effects(e->c);
}
