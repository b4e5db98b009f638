/*
 * differential_vectors.c: see differential_vectors.h. Nothing is known of what a function expects,
 * so the guess is what C code mostly expects: valid pointers, terminated strings, lengths that are
 * those of the buffer before them. Vectors for which the guess was wrong are undefined behaviour,
 * which the caller finds out and discards.
 */
#include "ashcc/differential_vectors.h"

#include "lego/type.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Of strings: functions on text mostly look for letters, for digits or for words. */
enum { ANY, LOWER, DIGITS, WORDS, STYLES };
/* How deep pointers in what is pointed at are followed, and how much of a vector is printed. */
enum { DEPTH = 3, SHOWN_ELEMENTS = 24, SHOWN_TEXT = 60, RECORD_MOST = 1024 };

/* ---- what can be made ---- */

static bool is_text(const struct type *t)
{
    return t->kind == TYPE_CHAR || t->kind == TYPE_SCHAR || t->kind == TYPE_UCHAR;
}

/* What cannot be made out of bytes: code, and what only the C library can set up. */
static const char *pointer_obstacle(const struct type *target)
{
    if (target->kind == TYPE_FUNCTION)
        return "takes a pointer to a function";
    if (target->kind == TYPE_VA_LIST_TAG)
        return "takes a va_list";
    if (target->kind == TYPE_RECORD && target->size < 0)
        return "takes a pointer to an incomplete type";
    if (target->size > RECORD_MOST)
        return "takes a pointer to a large object";
    return NULL;
}

const char *differential_obstacle(const struct type *function)
{
    int pointers = 0;
    if (function->variadic)
        return "takes a variable number of arguments";
    if (function->n > DIFFERENTIAL_PARAMS)
        return "takes too many arguments";
    if (!type_is_void(function->base) && !type_is_scalar(function->base))
        return "returns an aggregate";
    for (int i = 0; i < function->n; i++) {
        const struct type *t = function->params[i];
        if (!type_is_scalar(t))
            return "takes an aggregate by value";
        if (t->kind != TYPE_POINTER)
            continue;
        const char *why = pointer_obstacle(t->base);
        if (why)
            return why;
        /* the last buffer is that of static data */
        if (++pointers > DIFFERENTIAL_BUFFERS - 1)
            return "takes too many pointers";
    }
    return NULL;
}

/* ---- scalars ---- */

/* One buffer being filled. A pointer's target comes from the same buffer as the pointer. */
struct maker {
    struct rng *rng;
    int mix;
    int length;            /* of arrays of this vector, so that several agree */
    int style;             /* of its strings */
    unsigned char *page;   /* the buffer that is filled */
    uint64_t address;      /* of its start in the image */
    int free;              /* bytes from its start that are not taken */
};

static int below(struct maker *m, int bound)
{
    return (int)rng_below(m->rng, (uint32_t)bound);
}

/* Around the limits of types and the powers of two, where widths and signs make a difference. */
static int64_t corner(struct maker *m)
{
    static const int64_t corners[] = {
        0,         1,         -1,        2,         -2,         INT8_MIN,  INT8_MAX,  UINT8_MAX,
        INT16_MIN, INT16_MAX, INT32_MIN, INT32_MAX, UINT32_MAX, INT64_MIN, INT64_MAX, 1000,
    };
    if (below(m, 4) == 0)
        return (int64_t)((UINT64_C(1) << below(m, 64)) + (uint64_t)below(m, 3) - 1);
    return corners[below(m, 16)];
}

/* Mostly small: counts, indices, characters. How often not is what the mixes differ in, of 20. */
static int64_t integer(struct maker *m)
{
    static const int wild[DIFFERENTIAL_MIXES] = {1, 6, 14};
    if (below(m, 20) < wild[m->mix])
        return below(m, 3) ? corner(m) : (int64_t)(rng_u64(m->rng) >> below(m, 64));
    return below(m, 4) ? below(m, 14) : below(m, 3) ? below(m, 120) : -below(m, 12);
}

/* Beside the corners, values that are exact in binary: so are many of their sums and products. */
static double real(struct maker *m)
{
    static const double corners[] = {0.0,  -0.0,    1.0,   -1.0, 0.5,   INFINITY, -INFINITY, NAN,
                                     1e10, 1e-310, 1e300, 255,  -1e-5, 2147483648.0, 0.1, 16777217};
    static const int wild[DIFFERENTIAL_MIXES] = {1, 5, 12};
    if (below(m, 20) < wild[m->mix])
        return corners[below(m, 16)];
    return (double)(below(m, 400) - 150) / (double)(1 << below(m, 5));
}

/* Few different letters in some strings, so that they repeat, match and compare equal. */
static char letter(struct maker *m)
{
    static const char odd[] = "()[]{}<> .,;:+-*/=_\"'\\\n\t%&|!?#0123456789";
    int kind = below(m, 8);
    if (m->style == LOWER)
        return (char)('a' + below(m, 26));
    if (m->style == DIGITS)
        return (char)('0' + below(m, 10));
    if (m->style == WORDS)
        return kind == 0 ? ' ' : (char)((kind == 1 ? 'A' : 'a') + below(m, 26));
    if (kind == 0)
        return odd[below(m, (int)sizeof odd - 1)];
    if (kind == 1)
        return (char)(m->mix == 2 ? 128 + below(m, 128) : '0' + below(m, 10));
    return (char)((kind < 6 ? 'a' : 'A') + below(m, kind & 1 ? 4 : 26));
}

/* A value of any type by its low bytes: x86-64 is little-endian. */
static void put_scalar(struct maker *m, const struct type *t, unsigned char *at)
{
    long double extended;
    double wide;
    float single;
    int64_t value;
    switch (t->kind) {
    case TYPE_FLOAT:
        single = (float)real(m);
        memcpy(at, &single, sizeof single);
        return;
    case TYPE_DOUBLE:
        wide = real(m);
        memcpy(at, &wide, sizeof wide);
        return;
    case TYPE_LDOUBLE:
        extended = (long double)real(m);
        memcpy(at, &extended, 10);
        return;
    case TYPE_BOOL:
        *at = (unsigned char)below(m, 2);
        return;
    default:
        value = is_text(t) && below(m, 3) ? letter(m) : integer(m);
        memcpy(at, &value, (size_t)t->size);
    }
}

/* ---- memory ---- */

static void fill(struct maker *m, const struct type *t, unsigned char *at, int depth);

/* Bytes from the end of the buffer downwards, so that the first object ends where the page ends. */
static int take(struct maker *m, int64_t bytes, int64_t align)
{
    if (bytes > m->free)
        return -1;
    int at = m->free - (int)bytes;
    at -= at % (int)(align > 0 ? align : 1);
    return at < 0 ? -1 : (m->free = at);
}

/* A terminated string with some room behind it; -1: no place. */
static int make_text(struct maker *m)
{
    static const int rooms[] = {0, 0, 0, 0, 1, 16, 100, 300};
    int length = below(m, 6) ? m->length : below(m, 3) ? below(m, 12) : below(m, 60);
    int room = rooms[below(m, 8)];
    int at = take(m, length + 1 + room, 1);
    if (at < 0)
        return -1;
    for (int i = 0; i < length; i++)
        m->page[at + i] = (unsigned char)letter(m);
    if (below(m, 6) == 0) /* the same forwards and backwards */
        for (int i = 0; i < length / 2; i++)
            m->page[at + length - 1 - i] = m->page[at + i];
    m->page[at + length] = 0;
    for (int i = 0; i < length; i++)
        if (m->page[at + i] == 0)
            m->page[at + i] = 'x';
    return at;
}

/* Whose elements can be shaped (below) by copying the low bytes of a number. */
static bool is_tame_array(const struct type *t)
{
    return type_is_integer(t) && t->kind != TYPE_BOOL;
}

/* Sorted, all the same, or few values: what loops over arrays make a difference of. */
static void shape_array(struct maker *m, const struct type *t, unsigned char *at, int n)
{
    int kind = below(m, 6);
    int64_t value = below(m, 20) - 5;
    for (int i = 0; i < n && kind < 3; i++) {
        memcpy(at + i * t->size, &value, (size_t)t->size);
        value += kind == 0 ? below(m, 4) : kind == 1 ? -below(m, 3) : 0;
    }
}

static int make_array(struct maker *m, const struct type *t, int depth)
{
    int64_t size = t->size > 0 ? t->size : 1;
    int n = depth == 0 || below(m, 2) ? m->length : 1 + below(m, 8);
    /* lists and trees: a node points at one other */
    if (t->kind == TYPE_RECORD && depth > 0)
        n = 1;
    int room = depth == 0 && below(m, 4) == 0 ? 16 << below(m, 4) : 0; /* for results */
    int at = take(m, size * ((n ? n : depth > 0) + room), t->align);
    if (at < 0)
        return -1;
    n += room;
    for (int i = 0; i < n; i++)
        fill(m, t, m->page + at + i * size, depth);
    if (n > 1 && is_tame_array(t))
        shape_array(m, t, m->page + at, n);
    return at;
}

/* The address of something that a pointer to t may point at; 0: null. */
static uint64_t make_target(struct maker *m, const struct type *t, int depth)
{
    bool plain = t->kind != TYPE_FUNCTION && t->kind != TYPE_VA_LIST_TAG;
    int at = -1;
    if (depth > DEPTH || !plain || (t->size < 0 && t->kind == TYPE_RECORD))
        return 0;
    if (depth > 0 && t->kind == TYPE_RECORD && below(m, 3) == 0)
        return 0; /* where lists and trees end */
    if (is_text(t) || type_is_void(t))
        at = below(m, 8) || depth > 0 || type_is_void(t) ? make_text(m) : make_array(m, t, depth);
    else
        at = make_array(m, t, depth);
    return at < 0 ? 0 : m->address + (uint64_t)at;
}

/* Small bytes everywhere first, for bit-fields and padding; then the fields. Of a union the first
 * member: any other would be read through a type that was not written. */
static void fill_record(struct maker *m, const struct type *t, unsigned char *at, int depth)
{
    for (int64_t i = 0; i < t->size; i++)
        at[i] = (unsigned char)below(m, m->mix == 2 ? 256 : 4);
    for (int i = 0; i < (t->is_union ? t->n > 0 : t->n); i++)
        if (t->fields[i].bit_width < 0 && t->fields[i].type->size > 0)
            fill(m, t->fields[i].type, at + t->fields[i].offset, depth);
}

/* One object of type t, pointers in it to objects of their own. */
static void fill(struct maker *m, const struct type *t, unsigned char *at, int depth)
{
    uint64_t address;
    if (t->kind == TYPE_POINTER) {
        address = make_target(m, t->base, depth + 1);
        memcpy(at, &address, sizeof address);
    } else if (t->kind == TYPE_ARRAY) {
        for (int64_t i = 0; i < t->length; i++)
            fill(m, t->base, at + i * t->base->size, depth);
        if (is_text(t->base) && t->length > 1)
            at[below(m, (int)t->length)] = 0;
    } else if (t->kind == TYPE_RECORD) {
        fill_record(m, t, at, depth);
    } else if (type_is_scalar(t)) {
        put_scalar(m, t, at);
    }
}

/* ---- a vector ---- */

/* Integers beside a pointer are mostly lengths or indices. */
static int64_t argument_integer(struct maker *m, bool beside_pointer)
{
    int kind = below(m, 10);
    if (!beside_pointer || kind >= 8 + (m->mix == 0))
        return integer(m);
    return kind < 6 ? m->length : m->length ? below(m, m->length + (kind == 6)) : 0;
}

/* Lengths of arrays and of strings are one number: what belongs together often agrees then. */
static void choose_shape(struct maker *m)
{
    m->style = below(m, STYLES);
    m->length = below(m, 8) ? 1 + below(m, 9) : below(m, 3) ? below(m, 40) : 0;
}

void differential_datum_make(const struct type *t, int mix, struct rng *rng,
                             struct differential_input *out, int *room, unsigned char *at)
{
    enum { LAST = DIFFERENTIAL_BUFFERS - 1, OUTERMOST = -1 }; /* pointers are as parameters' */
    struct maker m = {.rng = rng, .mix = mix, .page = out->buffers[LAST], .free = *room};
    m.address = DIFFERENTIAL_IMAGE_AT + (uint64_t)LAST * DIFFERENTIAL_STRIDE;
    choose_shape(&m);
    fill(&m, t, at, OUTERMOST);
    *room = m.free;
}

void differential_vector_make(const struct type *function, int mix, struct rng *rng,
                              struct differential_input *out)
{
    struct maker m = {.rng = rng, .mix = mix};
    int buffer = 0;
    bool pointers = false;
    memset(out, 0, sizeof *out);
    choose_shape(&m);
    for (int i = 0; i < function->n; i++)
        pointers |= function->params[i]->kind == TYPE_POINTER;
    for (int i = 0; i < function->n; i++) {
        const struct type *t = function->params[i];
        unsigned char *at = out->arguments[i].bytes;
        uint64_t address = 0;
        if (t->kind == TYPE_POINTER) {
            m.page = out->buffers[buffer];
            m.address = DIFFERENTIAL_IMAGE_AT + (uint64_t)buffer++ * DIFFERENTIAL_STRIDE;
            m.free = DIFFERENTIAL_PAGE;
            if (mix == 0 || below(&m, 24))
                address = make_target(&m, t->base, 0);
            memcpy(at, &address, sizeof address);
        } else if (type_is_integer(t) && t->kind != TYPE_BOOL && !is_text(t)) {
            int64_t value = argument_integer(&m, pointers);
            memcpy(at, &value, (size_t)t->size);
        } else {
            put_scalar(&m, t, at);
        }
    }
}

/* ---- text ---- */

/* As a C string would be written, so that a vector can be pasted into a test. */
static void print_text(const unsigned char *at, int room, struct buf *out)
{
    buf_puts(out, "\"");
    for (int i = 0; i < room && at[i] && i < SHOWN_TEXT; i++) {
        bool plain = at[i] >= ' ' && at[i] < 127 && at[i] != '"' && at[i] != '\\';
        buf_printf(out, plain ? "%c" : "\\%03o", at[i]);
    }
    buf_puts(out, "\"");
}

static int64_t read_integer(const struct type *t, const unsigned char *at)
{
    uint64_t bits = 0;
    memcpy(&bits, at, (size_t)t->size);
    return (int64_t)type_wrap(t, bits);
}

void differential_value_print(const struct type *t, const unsigned char *at, struct buf *out)
{
    float single;
    double wide;
    long double extended = 0;
    switch (t->kind) {
    case TYPE_FLOAT:
        memcpy(&single, at, sizeof single);
        buf_printf(out, "%.9g", (double)single);
        return;
    case TYPE_DOUBLE:
        memcpy(&wide, at, sizeof wide);
        buf_printf(out, "%.17g", wide);
        return;
    case TYPE_LDOUBLE:
        memcpy(&extended, at, 10);
        buf_printf(out, "%.21Lg", extended);
        return;
    case TYPE_POINTER:
        buf_printf(out, "0x%" PRIx64, read_integer(t, at));
        return;
    default:
        if (!type_is_integer(t))
            buf_printf(out, "{%" PRId64 " bytes}", t->size);
        else if (type_is_signed(t))
            buf_printf(out, "%" PRId64, read_integer(t, at));
        else
            buf_printf(out, "%" PRIu64, (uint64_t)read_integer(t, at));
    }
}

static void print_target(const struct type *t, const struct differential_input *input,
                         uint64_t address, int depth, struct buf *out);

/* Scalars, and what they point at; records field by field. */
static void print_object(const struct type *t, const struct differential_input *input,
                         const unsigned char *at, int depth, struct buf *out)
{
    if (t->kind == TYPE_POINTER) {
        print_target(t->base, input, (uint64_t)read_integer(t, at), depth + 1, out);
        return;
    }
    if (t->kind != TYPE_RECORD || t->is_union) {
        differential_value_print(t, at, out);
        return;
    }
    buf_puts(out, "{");
    for (int i = 0; i < t->n; i++) {
        buf_puts(out, i ? ", " : "");
        if (t->fields[i].bit_width < 0)
            print_object(t->fields[i].type, input, at + t->fields[i].offset, depth, out);
        else
            buf_puts(out, "bits");
    }
    buf_puts(out, "}");
}

static void print_target(const struct type *t, const struct differential_input *input,
                         uint64_t address, int depth, struct buf *out)
{
    uint64_t offset = address - DIFFERENTIAL_IMAGE_AT;
    if (!address) {
        buf_puts(out, "NULL");
        return;
    }
    if (offset >= DIFFERENTIAL_BUFFERS * DIFFERENTIAL_STRIDE || depth > DEPTH) {
        buf_puts(out, "...");
        return;
    }
    const unsigned char *page = input->buffers[offset / DIFFERENTIAL_STRIDE];
    int at = (int)(offset % DIFFERENTIAL_STRIDE);
    if (is_text(t) || type_is_void(t)) {
        print_text(page + at, DIFFERENTIAL_PAGE - at, out);
        return;
    }
    int n = t->size > 0 && at < DIFFERENTIAL_PAGE ? (DIFFERENTIAL_PAGE - at) / (int)t->size : 0;
    if (depth > 0 && n > 1)
        n = 1; /* how many there are is known of parameters only */
    buf_puts(out, "{");
    for (int i = 0; i < n && i < SHOWN_ELEMENTS; i++) {
        buf_puts(out, i ? ", " : "");
        print_object(t, input, page + at + i * t->size, depth, out);
    }
    buf_puts(out, n > SHOWN_ELEMENTS ? ", ...}" : "}");
}

void differential_datum_print(const char *name, const struct type *t,
                              const struct differential_input *input, const unsigned char *at,
                              struct buf *out)
{
    buf_printf(out, "%s = ", name);
    if (t->kind == TYPE_ARRAY)
        buf_printf(out, "{%" PRId64 " bytes}", t->size);
    else if (t->kind == TYPE_POINTER)
        print_target(t->base, input, (uint64_t)read_integer(t, at), 0, out);
    else
        print_object(t, input, at, 0, out);
}

void differential_vector_print(const char *name, const struct type *function,
                               const struct differential_input *input, struct buf *out)
{
    buf_printf(out, "%s(", name);
    for (int i = 0; i < function->n; i++) {
        const struct type *t = function->params[i];
        const unsigned char *at = input->arguments[i].bytes;
        buf_puts(out, i ? ", " : "");
        if (t->kind == TYPE_POINTER)
            print_target(t->base, input, (uint64_t)read_integer(t, at), 0, out);
        else
            differential_value_print(t, at, out);
    }
    buf_puts(out, ")");
}
