/*
 * reader_clang_convert.c: makes nodes and the conversions between them, by C11 6.3 and 6.5. Types
 * are computed here, not asked of libclang, so that every conversion is a node of its own.
 */
#include "lego/reader_clang.h"

struct expr *reader_node(struct reader *r, enum expr_kind kind, struct type *type,
                         struct location at)
{
    struct expr *e = heap_take(r->heap, sizeof *e);
    e->kind = kind;
    e->type = type;
    e->at = at;
    return e;
}

struct expr *reader_int_node(struct reader *r, struct type *type, uint64_t value,
                             struct location at)
{
    struct expr *e = reader_node(r, EXPR_INT, type, at);
    e->integer = type_wrap(type, value);
    return e;
}

struct expr *reader_name(struct reader *r, struct decl *d, struct location at)
{
    struct expr *e = reader_node(r, EXPR_NAME, d->type, at);
    e->decl = d;
    return e;
}

static struct expr *pair(struct reader *r, enum expr_kind kind, struct type *type, struct expr *a,
                         struct expr *b, struct location at)
{
    struct expr *e = reader_node(r, kind, type, at);
    e->a = a;
    e->b = b;
    return e;
}

/* A complex number, or one of 128 bits, is true when it is not 0. */
struct expr *reader_truth(struct reader *r, struct expr *e)
{
    struct type *number = r->types.basic[TYPE_INT];
    if (!type_is_pair(e->type))
        return e;
    struct expr *zero = reader_cast(r, reader_int_node(r, number, 0, e->at), e->type);
    return pair(r, EXPR_UNEQUAL, number, e, zero, e->at);
}

/* A pointer becomes 128 bits by way of a long, and the other way round. */
static bool needs_long(const struct type *from, const struct type *to)
{
    return (from->kind == TYPE_POINTER && type_is_pair(to)) ||
           (type_is_pair(from) && to->kind == TYPE_POINTER);
}

struct expr *reader_cast(struct reader *r, struct expr *e, struct type *type)
{
    type = type_plain(type);
    if (type_same(e->type, type) && e->type->kind != TYPE_FUNCTION)
        return e;
    /* constants are converted here, so that they stay constants for 6.6 */
    if (e->kind == EXPR_INT && type_is_integer(type) && !type_is_pair(type))
        return reader_int_node(r, type, e->integer, e->at);
    if (type->kind == TYPE_BOOL)
        e = reader_truth(r, e);
    else if (needs_long(e->type, type))
        e = reader_cast(r, e, r->types.basic[TYPE_ULONG]);
    struct expr *cast = reader_node(r, EXPR_CAST, type, e->at);
    cast->a = e;
    return cast;
}

/* *p of a function is the function, whose value is p again. */
struct expr *reader_value(struct reader *r, struct expr *e)
{
    if (e->type->kind == TYPE_ARRAY)
        return reader_cast(r, e, type_pointer_to(r->heap, e->type->base));
    if (e->type->kind != TYPE_FUNCTION)
        return e;
    if (e->kind == EXPR_DEREF)
        return e->a;
    return reader_cast(r, e, type_pointer_to(r->heap, e->type));
}

/* The bit-field whose value e is (also through assignments and commas), as C's promotions see it.
 */
static const struct field *bit_field_of(const struct expr *e)
{
    for (;;) {
        switch (e->kind) {
        case EXPR_MEMBER:
            return e->field->bit_width >= 0 ? e->field : NULL;
        case EXPR_ASSIGN:
        case EXPR_ASSIGN_OP:
        case EXPR_PRE_INCREMENT:
        case EXPR_PRE_DECREMENT:
            e = e->a;
            break;
        case EXPR_COMMA:
            e = e->b;
            break;
        default:
            return NULL;
        }
    }
}

/* The integer promotions (C11 6.3.1.1p2), behind decay. */
struct expr *reader_promote(struct reader *r, struct expr *e)
{
    e = reader_value(r, e);
    if (!type_is_integer(e->type))
        return e;
    struct type *to_int = r->types.basic[TYPE_INT], *to_unsigned = r->types.basic[TYPE_UINT];
    const struct field *bits = bit_field_of(e);
    /* by width, not by declared type: an unsigned long : 20 is an int (gcc and clang agree up to
     * 32 bits) */
    if (bits && bits->bit_width <= 32) {
        bool fits = bits->bit_width < 32 || type_is_signed(e->type);
        return reader_cast(r, e, fits ? to_int : to_unsigned);
    }
    return type_rank(e->type) < type_rank(to_int) ? reader_cast(r, e, to_int) : e;
}

/* The default argument promotions (C11 6.5.2.2p6). */
struct expr *reader_promote_argument(struct reader *r, struct expr *e)
{
    e = reader_promote(r, e);
    return e->type->kind == TYPE_FLOAT ? reader_cast(r, e, r->types.basic[TYPE_DOUBLE]) : e;
}

/* The last rules of the usual arithmetic conversions, for promoted integers (C11 6.3.1.8p1). */
static struct type *common_integer(struct reader *r, struct type *a, struct type *b)
{
    bool a_signed = type_is_signed(a), b_signed = type_is_signed(b);
    if (a_signed == b_signed)
        return type_rank(a) >= type_rank(b) ? a : b;
    struct type *s = a_signed ? a : b, *u = a_signed ? b : a;
    if (type_rank(u) >= type_rank(s))
        return u;
    if (s->size > u->size)
        return s;
    return r->types
        .basic[s->kind + 1]; /* the unsigned one follows its signed one in enum type_kind */
}

/*
 * Where one operand is complex, the parts have the common type. A real operand stays real, as gcc
 * has it: to widen it would change the signs of zeros and make NaNs of infinities.
 */
static struct type *usual_complex(struct reader *r, struct expr **a, struct expr **b)
{
    struct expr **operands[] = {a, b};
    struct type *parts[2], *common;
    for (int i = 0; i < 2; i++) {
        struct type *t = type_plain((*operands[i])->type);
        parts[i] = t->kind == TYPE_COMPLEX ? t->base : t;
    }
    if (type_is_float(parts[0]) || type_is_float(parts[1]))
        common = parts[0]->kind > parts[1]->kind ? parts[0] : parts[1];
    else
        common = type_same(parts[0], parts[1]) ? parts[0] : common_integer(r, parts[0], parts[1]);
    struct type *result = type_complex_of(r->heap, common);
    for (int i = 0; i < 2; i++) {
        bool is_complex = (*operands[i])->type->kind == TYPE_COMPLEX;
        *operands[i] = reader_cast(r, *operands[i], is_complex ? result : common);
    }
    return result;
}

/* The usual arithmetic conversions. */
static struct type *usual(struct reader *r, struct expr **a, struct expr **b)
{
    struct type *common;
    *a = reader_promote(r, *a);
    *b = reader_promote(r, *b);
    struct type *x = type_plain((*a)->type), *y = type_plain((*b)->type);
    if (x->kind == TYPE_COMPLEX || y->kind == TYPE_COMPLEX)
        return usual_complex(r, a, b);
    if (type_is_float(x) || type_is_float(y))
        common = x->kind > y->kind ? x : y; /* the real types end the enum, in order of rank */
    else
        common = common_integer(r, x, y);
    *a = reader_cast(r, *a, common);
    *b = reader_cast(r, *b, common);
    return common;
}

struct expr *reader_unary(struct reader *r, enum expr_kind kind, struct expr *a, struct location at)
{
    a = kind == EXPR_NOT ? reader_truth(r, reader_value(r, a)) : reader_promote(r, a);
    struct type *type = kind == EXPR_NOT ? r->types.basic[TYPE_INT] : type_plain(a->type);
    struct expr *e = reader_node(r, kind, type, at);
    e->a = a;
    return e;
}

/* ---- operators of two operands ---- */

static bool is_pointer(const struct expr *e)
{
    return e->type->kind == TYPE_POINTER;
}

static void check_step(struct reader *r, CXCursor at, const struct expr *pointer)
{
    const struct type *base = pointer->type->base;
    if (base->is_variable && !base->bytes)
        reader_refuse(r, at, "arithmetic on a pointer to an array whose length is not known here");
    bool steps_by_one = base->kind == TYPE_VOID || base->kind == TYPE_FUNCTION;
    if (base->size < 0 && !base->is_variable && !steps_by_one)
        reader_refuse(r, at, "arithmetic on a pointer to an incomplete type");
}

/* Integer and pointer in either order (C11 6.5.6p8), or a difference, which is a long. */
static struct expr *pointer_add(struct reader *r, CXCursor at, enum expr_kind kind, struct expr *a,
                                struct expr *b, struct location where)
{
    struct type *offset = r->types.basic[TYPE_LONG];
    if (kind == EXPR_ADD && is_pointer(b)) {
        struct expr *swapped = a;
        a = b;
        b = swapped;
    }
    check_step(r, at, a);
    if (is_pointer(b))
        return pair(r, kind, offset, a, reader_cast(r, b, a->type), where);
    b = reader_cast(r, reader_promote(r, b), offset);
    return pair(r, kind, type_plain(a->type), a, b, where);
}

static struct expr *compare(struct reader *r, enum expr_kind kind, struct expr *a, struct expr *b,
                            struct location where)
{
    /* 0 and void * become the other side's type; of two pointers the first one's */
    if (is_pointer(a))
        b = reader_cast(r, b, a->type);
    else if (is_pointer(b))
        a = reader_cast(r, a, b->type);
    else {
        struct type *common = usual(r, &a, &b);
        /* a real operand beside a complex one too: for == nothing is lost by widening it */
        a = reader_cast(r, a, common);
        b = reader_cast(r, b, common);
    }
    return pair(r, kind, r->types.basic[TYPE_INT], a, b, where);
}

struct expr *reader_binary(struct reader *r, CXCursor at, enum expr_kind kind, struct expr *a,
                           struct expr *b)
{
    struct location where = reader_location(r, at);
    if (kind == EXPR_COMMA) {
        b = reader_value(r, b);
        return pair(r, kind, type_plain(b->type), a, b, where);
    }
    a = reader_value(r, a);
    b = reader_value(r, b);
    switch (kind) {
    case EXPR_LOGICAL_AND:
    case EXPR_LOGICAL_OR:
        return pair(r, kind, r->types.basic[TYPE_INT], reader_truth(r, a), reader_truth(r, b),
                    where);
    case EXPR_EQUAL:
    case EXPR_UNEQUAL:
    case EXPR_LESS:
    case EXPR_LESS_EQUAL:
    case EXPR_GREATER:
    case EXPR_GREATER_EQUAL:
        return compare(r, kind, a, b, where);
    case EXPR_SHIFT_LEFT:
    case EXPR_SHIFT_RIGHT:
        a = reader_promote(r, a);
        b = reader_promote(r, b);
        if (type_is_pair(b->type)) /* a count that is defined fits */
            b = reader_cast(r, b, r->types.basic[TYPE_INT]);
        return pair(r, kind, type_plain(a->type), a, b, where);
    default:
        break;
    }
    if ((kind == EXPR_ADD || kind == EXPR_SUBTRACT) && (is_pointer(a) || is_pointer(b)))
        return pointer_add(r, at, kind, a, b, where);
    if (!type_is_arithmetic(a->type) || !type_is_arithmetic(b->type))
        reader_refuse(r, at, "an operator on operands of these types");
    struct type *type = usual(r, &a, &b);
    /* only a divisor may stay real: gcc divides both parts by it */
    if (kind == EXPR_DIVIDE)
        a = reader_cast(r, a, type);
    return pair(r, kind, type, a, b, where);
}

/* ---- objects ---- */

struct expr *reader_deref(struct reader *r, struct expr *pointer, struct location at)
{
    /* *&x is x, with x's own qualifiers only */
    if (pointer->kind == EXPR_ADDRESS && type_same(pointer->a->type, pointer->type->base) &&
        pointer->a->type->is_volatile == pointer->type->base->is_volatile)
        return pointer->a;
    struct expr *e = reader_node(r, EXPR_DEREF, pointer->type->base, at);
    e->a = pointer;
    return e;
}

struct expr *reader_address(struct reader *r, struct expr *object, struct location at)
{
    if (object->type->kind == TYPE_FUNCTION)
        return reader_value(r, object);
    struct type *type = type_pointer_to(r->heap, object->type);
    if (object->kind == EXPR_DEREF && type_same(object->a->type, type))
        return object->a;
    struct expr *e = reader_node(r, EXPR_ADDRESS, type, at);
    e->a = object;
    return e;
}

/* A member of a volatile record is volatile (C11 6.5.2.3p3). */
struct expr *reader_member(struct reader *r, struct expr *record, struct field *f,
                           struct location at)
{
    bool becomes_volatile = record->type->is_volatile && !f->type->is_volatile;
    struct type *type = becomes_volatile ? type_with_volatile(r->heap, f->type) : f->type;
    struct expr *e = reader_node(r, EXPR_MEMBER, type, at);
    e->a = record;
    e->field = f;
    return e;
}
