/*
 * state_value.c: values of entry states. A state has a mix, which sets how often a value is small,
 * a corner case, one of the block's own constants, equal to an earlier one, or any bits at all.
 * Tame mixes make indices and loop bounds that stay defined; wild ones find wrong widths, signs and
 * conditions. The caller watches which mixes give defined states (verify.c).
 */
#include <math.h>
#include <string.h>

#include "lego/state.h"

/** Shares in 256ths; the rest of a kind is random bits. */
struct mix {
    int small, corner, own, equal; /* integers */
    int tame;                      /* floats that are small numbers */
    int stray, null; /* pointers that do not point into the arena's lower half; zero */
};

static const struct mix mixes[STATE_MIXES] = {
    {170, 20, 30, 20, 190, 6, 4},
    {60, 80, 50, 30, 100, 24, 16},
    {20, 70, 40, 30, 60, 32, 24},
    {230, 4, 10, 12, 220, 0, 0},
    {90, 20, 60, 80, 120, 60, 8},
};

/** Of what state_renew makes anew. */
enum { RENEWED_BYTES = 64, RENEWED_ZONES = 3 };

struct filler {
    const struct state_layout *layout;
    const struct state_hints *hints;
    const struct mix *mix;
    struct rng *rng;
    int64_t earlier[8]; /* integers of this state */
    double earlier_real[8];
    int n_earlier, n_real;
    enum ir_type types[IR_PTR + 1]; /* (n_types) accessed through pointers */
    int n_types;
    uint64_t pool; /* random bits not used yet */
    int pool_bits;
};

/** Few random bits, cheaply. */
static unsigned roll(struct filler *f, int bits)
{
    if (f->pool_bits < bits) {
        f->pool = rng_u64(f->rng);
        f->pool_bits = 64;
    }
    unsigned value = (unsigned)(f->pool & ((1u << bits) - 1));
    f->pool >>= bits;
    f->pool_bits -= bits;
    return value;
}

/* ---- integers ---- */

/** Halfway between two floats, or one or two beside it: where conversions round. */
static int64_t near_tie(struct filler *f)
{
    static const int lengths[] = {64, 64, 64, 64, 63, 62, 32, 31};
    int bits = lengths[roll(f, 3)], precision = bits > 54 && roll(f, 1) ? 53 : 24;
    int shift = bits - precision;
    uint64_t top = (uint64_t)1 << (precision - 1);
    uint64_t mantissa = (rng_u64(f->rng) & (top - 1)) | top;
    uint64_t tie = (mantissa << shift) | (uint64_t)1 << (shift - 1);
    return (int64_t)(tie + roll(f, 2) - 1);
}

static int64_t corner(struct filler *f)
{
    static const int64_t corners[] = {
        0, 1, -1, 2, -2, INT8_MIN, INT8_MAX, UINT8_MAX, INT16_MIN, INT16_MAX, UINT16_MAX,
        INT32_MIN, INT32_MAX, UINT32_MAX, INT64_MIN, INT64_MAX,
    };
    unsigned kind = roll(f, 5);
    if (kind < 16)
        return corners[kind];
    if (kind >= 29)
        return near_tie(f);
    int64_t power = (int64_t)((uint64_t)1 << roll(f, 6));
    return kind < 20 ? power : (int64_t)((uint64_t)power + (kind < 26 ? UINT64_MAX : 1));
}

static int64_t own_constant(struct filler *f)
{
    const struct state_hints *h = f->hints;
    if (h->n_constants == 0)
        return (int64_t)roll(f, 4);
    int64_t value = h->constants[rng_below(f->rng, (uint32_t)h->n_constants)];
    static const int deltas[] = {0, 0, 1, -1, 0, 2, -2, 0};
    unsigned d = roll(f, 4);
    if (d == 15)
        return (int64_t)-(uint64_t)value;
    return (int64_t)((uint64_t)value + (uint64_t)deltas[d & 7]);
}

/** Random bits of a random length, so that magnitudes of all sizes occur; some with low zeros. */
static int64_t any_bits(struct filler *f)
{
    int64_t value = (int64_t)rng_u64(f->rng);
    unsigned kind = roll(f, 3);
    if (kind == 0)
        return (int64_t)((uint64_t)value << (8u << roll(f, 1) * (1 + roll(f, 1))));
    return kind < 6 ? value >> roll(f, 6) : value;
}

static int64_t integer(struct filler *f)
{
    int r = (int)roll(f, 8);
    const struct mix *m = f->mix;
    int64_t value;
    if (f->hints->rounds && m->small < 200 && roll(f, 2) == 0)
        return near_tie(f);
    if ((r -= m->small) < 0)
        value = (int64_t)roll(f, 4) - 3;
    else if ((r -= m->corner) < 0)
        value = corner(f);
    else if ((r -= m->own) < 0)
        value = own_constant(f);
    else if ((r -= m->equal) < 0 && f->n_earlier)
        value = f->earlier[roll(f, 3) % (unsigned)f->n_earlier];
    else
        value = any_bits(f);
    if (m->small > 200 && value < 0 && value > -4)
        value = -value; /* the tamest mix: counts and indices */
    return value;
}

/* ---- floats ---- */

/** Limits of float, double and the integer types, what lies just beyond them, denormals, and
 * numbers that are not exact in the next narrower type (16777217, 9007199254740993). */
static double corner_real(struct filler *f)
{
    static const double corners[] = {
        0.0,
        -0.0,
        INFINITY,
        -INFINITY,
        NAN,
        1.0,
        -1.0,
        0.5,
        1e-310,
        -1e-40,
        1.7976931348623157e308,
        2.2250738585072014e-308,
        3.4028234663852886e38,
        1.1754943508222875e-38,
        2147483647.0,
        -2147483648.0,
        2147483648.0,
        4294967295.0,
        4294967296.0,
        9223372036854775807.0,
        -9223372036854775808.0,
        18446744073709551615.0,
        16777217.0,
        9007199254740993.0,
        127.5,
        -128.5,
        255.0,
        65535.0,
        1e10,
        -1e10,
        1e300,
        0.1,
    };
    return corners[roll(f, 5)];
}

static void remember_real(struct filler *f, double value)
{
    if (f->n_real < 8)
        f->earlier_real[f->n_real++] = value;
}

static double real(struct filler *f)
{
    int r = (int)roll(f, 8);
    uint64_t bits;
    double value;
    if (r < f->mix->tame) {
        value = (double)((int)roll(f, 6) - 20) / (double)(1 << (roll(f, 3) & 3));
    } else if (r < f->mix->tame + 32 && f->n_real) {
        value = f->earlier_real[roll(f, 3) % (unsigned)f->n_real];
        return roll(f, 3) ? value : nextafter(value, (double)roll(f, 1) * 8 - 4);
    } else if (roll(f, 1)) {
        value = corner_real(f);
    } else if (roll(f, 1)) {
        value = (double)(roll(f, 1) ? near_tie(f) : any_bits(f)) / (double)(1u << roll(f, 4));
    } else {
        bits = rng_u64(f->rng);
        memcpy(&value, &bits, sizeof value);
    }
    remember_real(f, value);
    return value;
}

static void put_extended(struct filler *f, unsigned char *at)
{
    long double value = real(f);
    if (value == value && roll(f, 2) == 0)
        value = value * 1.0L + value * 0x1p-60L; /* bits that a double does not have */
    memcpy(at, &value, 10);
}

/* ---- pointers ---- */

/** Start of a zone that holds one of the types of `accesses` (0: any zone). */
static uint64_t zone_for(struct filler *f, unsigned accesses)
{
    unsigned zone = roll(f, 3);
    for (int tries = 0; accesses && tries < STATE_ZONES; tries++) {
        unsigned kind = zone % (unsigned)(f->n_types + 1);
        if (kind < (unsigned)f->n_types && (accesses >> f->types[kind] & 1))
            break;
        zone = (zone + 1) % STATE_ZONES;
    }
    return STATE_IMAGE_AT + f->layout->arena + zone * (f->layout->arena_bytes / STATE_ZONES);
}

/**
 * The last place where one of the types of `accesses` fits: a read that is too wide faults there.
 */
static uint64_t last_place(struct filler *f, unsigned accesses)
{
    uint64_t size = (uint64_t)1 << roll(f, 2);
    for (int t = IR_I8; accesses && t <= IR_PTR; t++)
        if ((accesses >> t & 1) && roll(f, 1))
            size = (uint64_t)ir_type_size((enum ir_type)t);
    return STATE_IMAGE_AT + f->layout->size - size;
}

static uint64_t pointer(struct filler *f, unsigned accesses)
{
    const struct state_layout *l = f->layout;
    if (roll(f, 6) == 0)
        return last_place(f, accesses);
    uint64_t arena = STATE_IMAGE_AT + l->arena;
    int r = (int)roll(f, 8);
    if ((r -= f->mix->null) < 0)
        return roll(f, 1) ? 0 : (uint64_t)own_constant(f);
    uint64_t inside = zone_for(f, roll(f, 2) ? accesses : 0) + 16 * (uint64_t)roll(f, 2);
    if ((r -= f->mix->stray) >= 0)
        return inside;
    switch (roll(f, 3)) {
    case 0: return arena + l->arena_bytes;
    case 1: return inside + roll(f, 3);
    case 2: return (uint64_t)integer(f);
    case 3: return inside + 8 * (uint64_t)roll(f, 4);
    default:
        if (l->n_targets == 0)
            return inside + 4 * (uint64_t)roll(f, 2);
        return l->addresses[l->targets[rng_below(f->rng, (uint32_t)l->n_targets)]];
    }
}

/* ---- filling ---- */

/** accesses: of a pointer, the types it is used for. */
static void put(struct filler *f, enum ir_type type, unsigned accesses, unsigned char *at)
{
    int64_t value;
    float single;
    double wide;
    switch (type) {
    case IR_F32:
        single = (float)real(f);
        memcpy(at, &single, sizeof single);
        return;
    case IR_F64:
        wide = real(f);
        memcpy(at, &wide, sizeof wide);
        return;
    case IR_F80:
        put_extended(f, at);
        return;
    case IR_PTR:
        value = (int64_t)pointer(f, accesses);
        memcpy(at, &value, 8);
        return;
    default:
        value = integer(f);
        if (f->n_earlier < 8)
            f->earlier[f->n_earlier++] = value;
        memcpy(at, &value, (size_t)ir_type_size(type));
    }
}

static unsigned char byte_of_text(struct filler *f)
{
    unsigned r = roll(f, 4);
    if (r < 2)
        return 0;
    return r < 12 ? (unsigned char)(' ' + roll(f, 6) + (r & 1 ? 32 : 0))
                  : (unsigned char)roll(f, 8);
}

/** Eight or, of long doubles, sixteen bytes of one type. */
static size_t put_words(struct filler *f, enum ir_type type, unsigned char *at, size_t room)
{
    int64_t size = ir_type_size(type);
    if (size > 8) {
        if (room < 16)
            return 8;
        put_extended(f, at);
        return 16;
    }
    if (size == 1)
        for (int i = 0; i < 8; i++)
            at[i] = byte_of_text(f);
    else
        for (int64_t i = 0; i < 8; i += size)
            put(f, type, 0, at + i);
    return 8;
}

/** One type throughout, or (IR_VOID) any of the block's for each word. */
static void fill_words(struct filler *f, enum ir_type type, unsigned char *at, size_t bytes)
{
    size_t i = 0;
    while (i + 8 <= bytes) {
        enum ir_type now = type != IR_VOID ? type : f->types[roll(f, 6) % (unsigned)f->n_types];
        i += put_words(f, now, at + i, bytes - i);
    }
    for (; i < bytes; i++)
        at[i] = byte_of_text(f);
}

static void find_types(struct filler *f)
{
    for (int t = IR_I8; t <= IR_PTR; t++)
        if (f->hints->types >> t & 1)
            f->types[f->n_types++] = (enum ir_type)t;
    if (f->n_types == 0)
        f->types[f->n_types++] = IR_I32;
}

static void fill_arena(struct filler *f, unsigned char *at)
{
    size_t zone = f->layout->arena_bytes / STATE_ZONES;
    for (int i = 0; i < STATE_ZONES; i++) {
        int kind = i % (f->n_types + 1);
        fill_words(f, kind < f->n_types ? f->types[kind] : IR_VOID, at + zone * (size_t)i, zone);
    }
}

/**
 * An aggregate: mostly one of the types it is accessed as. One larger than a few pages is not made
 * anew for each state: its start or another window of it is.
 */
static void fill_aggregate(struct filler *f, unsigned accesses, unsigned char *at, size_t bytes)
{
    enum ir_type own[IR_PTR + 1], type = IR_VOID;
    int n = 0;
    for (int t = IR_I8; t <= IR_PTR; t++)
        if (accesses >> t & 1)
            own[n++] = (enum ir_type)t;
    if (n && roll(f, 2))
        type = own[roll(f, 4) % (unsigned)n];
    else if (roll(f, 1))
        type = f->types[roll(f, 4) % (unsigned)f->n_types];
    size_t from = 0, length = bytes;
    if (bytes > 4 * STATE_PAGE) {
        length = STATE_PAGE;
        from = roll(f, 1) ? 0 : rng_below(f->rng, (uint32_t)((bytes - length) / 64)) * (size_t)64;
    }
    fill_words(f, type, at + from, length);
}

static void put_operand(struct filler *f, const struct block *block, int i, unsigned char *image)
{
    const struct block_operand *o = &block->operands[i];
    unsigned char *at = image + f->layout->offsets[i];
    if (o->kind == OPERAND_LITERAL || o->kind == OPERAND_FUNCTION)
        return;
    bool known = o->kind == OPERAND_CONSTANT && o->object && o->object->bytes &&
                 o->object->size <= f->layout->sizes[i];
    if (known)
        memcpy(at, o->object->bytes, (size_t)o->object->size);
    else if (o->type == IR_BYTES || o->type == IR_VOID)
        fill_aggregate(f, f->layout->accesses[i], at, (size_t)f->layout->sizes[i]);
    else
        put(f, o->type, f->layout->accesses[i], at);
}

/** What an operand holds, so that others can hold the same. */
static void remember(struct filler *f, const struct block *block, int i, const unsigned char *image)
{
    const struct block_operand *o = &block->operands[i];
    const unsigned char *at = image + f->layout->offsets[i];
    int64_t value = 0;
    float single;
    double wide;
    if (o->kind == OPERAND_FUNCTION || o->type == IR_BYTES || f->n_earlier == 8)
        return;
    if (o->kind == OPERAND_LITERAL) {
        f->earlier[f->n_earlier++] = o->value;
    } else if (o->type == IR_F32) {
        memcpy(&single, at, sizeof single);
        remember_real(f, (double)single);
    } else if (o->type == IR_F64) {
        memcpy(&wide, at, sizeof wide);
        remember_real(f, wide);
    } else if (ir_type_size(o->type) <= 8) {
        memcpy(&value, at, (size_t)ir_type_size(o->type));
        f->earlier[f->n_earlier++] = value;
    }
}

void state_fill(const struct state_layout *l, const struct block *block,
                const struct state_hints *hints, int mix, const unsigned char *background,
                unsigned char *image, struct rng *rng)
{
    struct filler f = {.layout = l, .hints = hints, .mix = &mixes[mix], .rng = rng};
    memcpy(image, background, l->size);
    find_types(&f);
    for (int i = block->n_operands; i-- > 0;) { /* constants first, for values equal to them */
        put_operand(&f, block, i, image);
        if (block->operands[i].kind == OPERAND_CONSTANT)
            remember(&f, block, i, image);
    }
    if (hints->reaches) /* nobody looks there otherwise, and it is most of the work */
        fill_arena(&f, image + l->arena);
}

/** New words in a window of a region; windows at its start are the likeliest to be looked at. */
static void renew_window(struct filler *f, enum ir_type type, unsigned char *at, size_t bytes)
{
    size_t length = bytes < RENEWED_BYTES ? bytes : RENEWED_BYTES, from = 0;
    if (roll(f, 1))
        from = rng_below(f->rng, (uint32_t)((bytes - length) / 16 + 1)) * (size_t)16;
    fill_words(f, type, at + from, length);
}

/** A window, and the places that the block names. */
static void renew_aggregate(struct filler *f, int i, unsigned char *image)
{
    const struct state_layout *l = f->layout;
    unsigned char *at = image + l->offsets[i];
    enum ir_type type = f->types[roll(f, 4) % (unsigned)f->n_types];
    renew_window(f, roll(f, 1) ? type : IR_VOID, at, (size_t)l->sizes[i]);
    for (int k = 0; k < f->hints->n_places; k++)
        if (f->hints->places[k].operand == i)
            put(f, f->hints->places[k].type, 0, at + f->hints->places[k].offset);
}

/** Some zones, each in part. */
static void renew_arena(struct filler *f, unsigned char *at)
{
    size_t zone = f->layout->arena_bytes / STATE_ZONES;
    for (int i = 0; i < RENEWED_ZONES; i++) {
        unsigned z = roll(f, 3), kind = z % (unsigned)(f->n_types + 1);
        renew_window(f, kind < (unsigned)f->n_types ? f->types[kind] : IR_VOID, at + zone * z,
                     zone);
    }
}

/** Integers of the arena that operands may be made equal to. */
static void remember_arena(struct filler *f, const unsigned char *at)
{
    size_t zone = f->layout->arena_bytes / STATE_ZONES;
    for (int i = 0; i < 2 && f->n_earlier < 8; i++) {
        int64_t value = 0;
        unsigned z = roll(f, 3), kind = z % (unsigned)(f->n_types + 1);
        int64_t size =
            kind < (unsigned)f->n_types ? ir_type_size(f->types[kind]) : (int64_t)sizeof value;
        memcpy(&value, at + zone * z + 8 * (size_t)roll(f, 3), size < 8 ? (size_t)size : 8);
        f->earlier[f->n_earlier++] = value;
    }
}

void state_renew(const struct state_layout *l, const struct block *block,
                 const struct state_hints *hints, int mix, unsigned char *image, struct rng *rng)
{
    struct filler f = {.layout = l, .hints = hints, .mix = &mixes[mix], .rng = rng};
    find_types(&f);
    if (hints->reaches)
        remember_arena(&f, image + l->arena);
    for (int i = block->n_operands; i-- > 0;) {
        const struct block_operand *o = &block->operands[i];
        bool is_large = o->type == IR_BYTES && l->sizes[i] > 2 * RENEWED_BYTES;
        if (o->kind == OPERAND_CONSTANT)
            remember(&f, block, i, image);
        else if (is_large && o->kind != OPERAND_FUNCTION && o->kind != OPERAND_LITERAL)
            renew_aggregate(&f, i, image);
        else
            put_operand(&f, block, i, image);
    }
    if (hints->reaches)
        renew_arena(&f, image + l->arena);
}

/** One more or one less, or the value of another operand. */
static void nudge(struct filler *f, enum ir_type type, unsigned char *at)
{
    int64_t value = 0;
    size_t size = (size_t)ir_type_size(type);
    if (ir_is_float(type) || size > 8 || roll(f, 1)) {
        put(f, type, 0, at);
        return;
    }
    memcpy(&value, at, size);
    if (f->n_earlier && roll(f, 1))
        value = f->earlier[roll(f, 3) % (unsigned)f->n_earlier];
    else
        value += roll(f, 1) ? 1 : -1;
    memcpy(at, &value, size);
}

void state_change(const struct state_layout *l, const struct block *block,
                  const struct state_hints *hints, int mix, unsigned char *image, struct rng *rng)
{
    struct filler f = {.layout = l, .hints = hints, .mix = &mixes[mix], .rng = rng};
    find_types(&f);
    int first = (int)rng_below(rng, (uint32_t)block->n_operands + 1);
    for (int i = 0; i < block->n_operands; i++)
        remember(&f, block, (first + i) % block->n_operands, image);
    for (unsigned n = 1 + roll(&f, 1); n > 0; n--) {
        int i = (int)rng_below(rng, (uint32_t)block->n_operands + 1);
        enum ir_type type = f.types[roll(&f, 4) % (unsigned)f.n_types];
        if (i == block->n_operands || roll(&f, 3) == 0)
            nudge(&f, type,
                  image + l->arena + 16 * (size_t)rng_below(rng, (uint32_t)(l->arena_bytes / 16)));
        else if (block->operands[i].kind <= OPERAND_STATIC && block->operands[i].type == IR_BYTES)
            nudge(&f, type,
                  image + l->offsets[i] +
                      rng_below(rng, (uint32_t)l->sizes[i]) / 16 * 16 % (size_t)l->sizes[i]);
        else if (block->operands[i].kind <= OPERAND_STATIC && roll(&f, 1))
            put_operand(&f, block, i, image);
        else if (block->operands[i].kind <= OPERAND_STATIC)
            nudge(&f, block->operands[i].type, image + l->offsets[i]);
    }
}
