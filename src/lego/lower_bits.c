/*
 * lower_bits.c: bit-fields as loads, shifts and masks on unsigned units, little-endian.
 *
 * The unit is the smallest of 1, 2, 4 or 8 bytes, at a multiple of its size from the record's
 * start, that holds the whole field and ends inside the record. A field of a packed record may have
 * none: it is taken in pieces that cover its bytes and no others.
 */
#include "lego/lower.h"

/** Where a field's bits are, counted from the start of the record. */
struct span {
    int64_t bit;        /* the first */
    int width;
    int64_t unit;       /* byte where the unit starts */
    int unit_bytes;     /* 0: in pieces */
};

static struct span find_span(struct place p)
{
    struct span s = {.bit = p.bits->offset * 8 + p.bits->bit_offset, .width = p.bits->bit_width};
    for (int bytes = 1; bytes <= 8; bytes *= 2) {
        s.unit = s.bit / 8 / bytes * bytes;
        if (s.bit + s.width <= (s.unit + bytes) * 8 && s.unit + bytes <= p.limit) {
            s.unit_bytes = bytes;
            return s;
        }
    }
    return s;
}

static enum ir_type unit_type(int bytes)
{
    return bytes == 8 ? IR_U64 : bytes == 4 ? IR_U32 : bytes == 2 ? IR_U16 : IR_U8;
}

static uint64_t mask_of(int width)
{
    return width >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << width) - 1;
}

static struct place record_of(struct place p)
{
    p.bits = NULL;
    return p;
}

static struct ir_expr *shifted(struct lower *l, enum ir_op op, struct ir_expr *x, int64_t count)
{
    return ir_binary(&l->build, op, x, ir_int(&l->build, IR_I32, count));
}

static struct ir_expr *masked(struct lower *l, struct ir_expr *x, uint64_t mask)
{
    return ir_binary(&l->build, IR_AND, x, ir_int(&l->build, x->type, (int64_t)mask));
}

/* Bits [low, low + width) of x (U32 or U64), extended by the field's sign. */
static struct ir_expr *extract(struct lower *l, struct ir_expr *x, int low, int width,
                               bool is_signed)
{
    int bits = (int)ir_type_size(x->type) * 8;
    if (is_signed) {
        x = shifted(l, IR_SHIFT_LEFT, x, bits - low - width);
        x = ir_convert(&l->build, bits == 64 ? IR_I64 : IR_I32, x);
        return shifted(l, IR_SHIFT_RIGHT, x, bits - width);
    }
    x = shifted(l, IR_SHIFT_RIGHT, x, low);
    return low + width < bits ? masked(l, x, mask_of(width)) : x;
}

bool bits_is_signed(const struct field *bits)
{
    return ir_is_signed(ir_type_of(bits->type));
}

/* A piece of a field without a unit: `bytes` at `at`; its lowest bit is the field's bit `shift`. */
struct bit_piece {
    int64_t at;
    int bytes, shift;
};

/* False: no more. */
static bool next_piece(const struct span *s, struct bit_piece *p)
{
    int64_t first = s->bit / 8, last = (s->bit + s->width - 1) / 8;
    p->at = p->bytes ? p->at + p->bytes : first;
    int64_t left = last - p->at + 1;
    p->bytes = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
    p->shift = (int)(p->at * 8 - s->bit);
    return left > 0;
}

/* x moved up by n bits, or down by -n. */
static struct ir_expr *moved(struct lower *l, struct ir_expr *x, int n)
{
    return n < 0 ? shifted(l, IR_SHIFT_RIGHT, x, -n) : shifted(l, IR_SHIFT_LEFT, x, n);
}

static struct ir_expr *read_pieces(struct lower *l, struct place p, const struct span *s)
{
    struct ir_expr *sum = NULL;
    struct bit_piece piece = {0};
    while (next_piece(s, &piece)) {
        struct ir_expr *x = memory_read(l, record_of(p), piece.at, unit_type(piece.bytes));
        x = moved(l, ir_convert(&l->build, IR_U64, x), piece.shift);
        sum = sum ? ir_binary(&l->build, IR_OR, sum, x) : x;
    }
    return extract(l, sum, 0, s->width, bits_is_signed(p.bits));
}

struct ir_expr *bits_read(struct lower *l, struct place p, enum ir_type t)
{
    struct span s = find_span(p);
    if (!s.unit_bytes)
        return ir_convert(&l->build, t, read_pieces(l, p, &s));
    bool is_signed = bits_is_signed(p.bits);
    struct ir_expr *x = memory_read(l, record_of(p), s.unit, unit_type(s.unit_bytes));
    int low = (int)(s.bit - s.unit * 8);
    if (low == 0 && s.width == s.unit_bytes * 8) { /* the whole unit: its sign is the field's */
        if (is_signed)
            x = ir_convert(&l->build, (enum ir_type)(x->type - 1), x); /* I8 stands before U8 */
        return ir_convert(&l->build, t, x);
    }
    x = ir_convert(&l->build, s.unit_bytes == 8 ? IR_U64 : IR_U32, x);
    return ir_convert(&l->build, t, extract(l, x, low, s.width, is_signed));
}

/* Puts the bits of mask from `value` into a unit; all others keep what they are. */
static void merge(struct lower *l, struct place p, int64_t at, int bytes, struct ir_expr *value,
                  uint64_t mask)
{
    enum ir_type unit = unit_type(bytes);
    if (mask != mask_of(bytes * 8)) {
        struct ir_expr *old = ir_convert(&l->build, value->type, memory_read(l, p, at, unit));
        old = masked(l, old, ~mask);
        value = ir_binary(&l->build, IR_OR, old, masked(l, value, mask));
    }
    memory_write(l, p, at, unit, ir_convert(&l->build, unit, value));
}

static void write_pieces(struct lower *l, struct place p, const struct span *s,
                         struct ir_expr *value)
{
    uint64_t mask = mask_of(s->width);
    struct bit_piece piece = {0};
    p = place_stable(l, p);
    value = lower_stable(l, ir_convert(&l->build, IR_U64, value));
    while (next_piece(s, &piece)) {
        uint64_t part = piece.shift < 0 ? mask << -piece.shift : mask >> piece.shift;
        merge(l, p, piece.at, piece.bytes, moved(l, value, -piece.shift),
              part & mask_of(piece.bytes * 8));
    }
}

void bits_write(struct lower *l, struct place p, struct ir_expr *value)
{
    struct span s = find_span(p);
    if (p.address && !ir_is_simple(p.address))
        p = place_stable(l, p); /* used twice */
    if (!s.unit_bytes) {
        write_pieces(l, record_of(p), &s, value);
        return;
    }
    int low = (int)(s.bit - s.unit * 8);
    value = ir_convert(&l->build, s.unit_bytes == 8 ? IR_U64 : IR_U32, value);
    value = shifted(l, IR_SHIFT_LEFT, value, low);
    merge(l, record_of(p), s.unit, s.unit_bytes, value, mask_of(s.width) << low);
}

struct ir_expr *bits_converted(struct lower *l, const struct field *bits, struct ir_expr *value)
{
    enum ir_type t = value->type;
    int size = (int)ir_type_size(t) * 8;
    if (bits->bit_width >= size || bits->type->kind == TYPE_BOOL)
        return value;
    struct ir_expr *x = ir_convert(&l->build, size == 64 ? IR_U64 : IR_U32, value);
    return ir_convert(&l->build, t, extract(l, x, 0, bits->bit_width, bits_is_signed(bits)));
}

/* ---- fields wider than int ---- */

/* Whether e's value is that of an unsigned bit-field wider than int and narrower than its type. */
static bool is_wide_field(const struct expr *e)
{
    switch (e->kind) {
    case EXPR_MEMBER:
        return e->field->bit_width > 32 && e->field->bit_width < e->type->size * 8 &&
               !bits_is_signed(e->field);
    case EXPR_ASSIGN: case EXPR_ASSIGN_OP:
    case EXPR_PRE_INCREMENT: case EXPR_PRE_DECREMENT:
    case EXPR_POST_INCREMENT: case EXPR_POST_DECREMENT: return is_wide_field(e->a);
    case EXPR_COMMA: return is_wide_field(e->b);
    case EXPR_CONDITIONAL: return (e->b && is_wide_field(e->b)) || is_wide_field(e->c);
    default: return false;
    }
}

static bool may_be_negative(const struct expr *e)
{
    if (e->kind == EXPR_INT)
        return (int64_t)e->integer < 0;
    return e->kind == EXPR_CAST && ir_is_signed(ir_type_of(e->a->type));
}

/* Whether the other operand had a type of lower rank than the field's, or may have had. */
static bool may_be_narrower(const struct expr *e)
{
    return e->kind == EXPR_INT || e->kind == EXPR_CAST || is_wide_field(e);
}

bool bits_are_ambiguous(const struct expr *e)
{
    bool left = is_wide_field(e->a), right = e->b && is_wide_field(e->b);
    if (!left && !right)
        return false;
    const struct expr *other = left ? e->b : e->a;
    switch (e->kind) {
    case EXPR_NEGATE: case EXPR_COMPLEMENT: return true;
    case EXPR_SHIFT_LEFT: return left;
    case EXPR_ADD: case EXPR_SUBTRACT: case EXPR_MULTIPLY: return may_be_narrower(other);
    case EXPR_SHIFT_RIGHT: case EXPR_AND: case EXPR_NOT: return false;
    default: return may_be_negative(other);
    }
}
