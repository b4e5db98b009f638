/*
 * state.c: the memory image of a block: hints from its text, places of its operands, and values as
 * text. What the values are is state_value.c's.
 */
#include "lego/state.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

enum {
    GAP = 16,                /* at least between operands */
    ZONE_BYTES = 192,        /* at least */
    MAX_DISPLACEMENT = 32 << 10, /* constants up to this may be offsets into what pointers reach */
    UNKNOWN_BYTES = 256,     /* laid out for an object of unknown size */
    BELOW_RSP = 512, ABOVE_RBP = 64
};

/* ---- hints ---- */

/** A set: a constant that stands twice is no likelier to matter. */
static void add_constant(struct state_hints *h, int64_t value)
{
    enum { MAX = sizeof h->constants / sizeof h->constants[0] };
    for (int i = 0; i < h->n_constants; i++)
        if (h->constants[i] == value)
            return;
    if (h->n_constants < MAX)
        h->constants[h->n_constants++] = value;
}

/** Operand at p ("v12 + ..."), behind parentheses and &; -1: none. */
static int operand_at(const struct block *block, const char *p)
{
    while (*p == '(' || *p == '&')
        p++;
    for (int i = 0; i < block->n_operands; i++) {
        size_t n = strlen(block->operands[i].name);
        if (strncmp(p, block->operands[i].name, n) == 0 && !isalnum((unsigned char)p[n]))
            return i;
    }
    return -1;
}

/** Is an address, which begins at p, one inside operand `base` (-1: none)? Else it comes from a
 * pointer, and so it may where the line chooses between addresses. */
static bool is_inside(const struct block *block, const char *p, int base)
{
    size_t line = strcspn(p, "\n");
    return base >= 0 && block->operands[base].type == IR_BYTES && !memchr(p, '?', line);
}

/** An access of type t at p, "(v2 + 8)" or "v2": keeps where it is when that is a number. */
static void note_place(struct state_hints *h, const struct block *block, const char *p, int base,
                       enum ir_type t)
{
    enum { MAX = sizeof h->places / sizeof h->places[0] };
    const struct block_operand *o = &block->operands[base];
    uint64_t offset = 0;
    p += strspn(p, "(&") + strlen(o->name);
    if (strncmp(p, " + ", 3) == 0 && isdigit((unsigned char)p[3])) {
        char *end;
        offset = strtoull(p + 3, &end, 10);
        if (*end != ')')
            return;
    } else if (*p == ' ') {
        return;
    }
    if (o->type == IR_BYTES && o->size >= ir_type_size(t) && h->n_places < MAX &&
        offset <= (uint64_t)(o->size - ir_type_size(t)))
        h->places[h->n_places++] = (struct state_place){base, (uint32_t)offset, t};
}

/** "*(int *)", "*(char **)": a load or store through a pointer; p is behind "*(". */
static void note_access(struct state_hints *h, struct state_layout *l, const struct block *block,
                        const char *p, bool stores)
{
    if (strncmp(p, "volatile ", 9) == 0)
        p += 9;
    for (int t = IR_I8; t <= IR_PTR; t++) {
        const char *name = t == IR_PTR ? "char **)" : ir_type_name((enum ir_type)t);
        const char *close = t == IR_PTR ? "" : " *)";
        size_t n = strlen(name);
        if (strncmp(p, name, n) != 0 || strncmp(p + n, close, strlen(close)) != 0)
            continue;
        int base = operand_at(block, p + n + strlen(close));
        if (base >= 0) {
            l->accesses[base] |= 1u << t;
            note_place(h, block, p + n + strlen(close), base, (enum ir_type)t);
        }
        if (!is_inside(block, p + n + strlen(close), base))
            h->reaches = true;
        h->types |= 1u << t;
        if (stores)
            h->stored |= 1u << t;
    }
}

/** What stands at the start of a line before "=" is stored to; every other access is a load. */
static void read_text(struct state_hints *h, struct state_layout *l, const struct block *block,
                      const char *text)
{
    bool line_start = true;
    for (const char *p = text; *p; p++) {
        if (p[0] == '*' && p[1] == '(')
            note_access(h, l, block, p + 2, line_start);
        bool starts_number =
            isdigit((unsigned char)*p) && p > text && !isalnum((unsigned char)p[-1]);
        if (*p == '\n')
            line_start = true;
        else if (*p != ' ')
            line_start = false;
        if (starts_number) {
            char *end;
            add_constant(h, (int64_t)strtoull(p, &end, 0));
            p = end - 1;
        }
    }
}

static void read_hints(struct state_hints *h, struct state_layout *l, const struct block *block)
{
    const char *body = block->text ? strstr(block->text, "begin\n") : NULL;
    if (body) {
        read_text(h, l, block, body);
        h->rounds = strstr(body, "(float)") || strstr(body, "(double)");
    }
    for (int i = 0; i < block->n_operands; i++)
        if (block->operands[i].kind == OPERAND_LITERAL)
            add_constant(h, block->operands[i].value);
}

/* ---- places ---- */

/** Of an incomplete object only the start is reached, by constant offsets; an F80 slot has 16
 * bytes. */
static int64_t laid_size(const struct block_operand *o)
{
    int64_t size = o->size > 0 ? o->size : UNKNOWN_BYTES;
    return o->type == IR_F80 && size < 16 ? 16 : size;
}

static size_t align_up(size_t n, size_t align)
{
    return (n + align - 1) / align * align;
}

/** Places the operands of the given kinds in random order from *at on, with gaps. */
static void place(struct state_layout *l, const struct block *block, unsigned kinds, size_t *at,
                  struct rng *rng, int *order)
{
    int n = 0;
    for (int i = 0; i < block->n_operands; i++)
        if (kinds >> block->operands[i].kind & 1)
            order[n++] = i;
    for (int i = n - 1; i > 0; i--) {
        int k = (int)rng_below(rng, (uint32_t)i + 1);
        int swapped = order[i];
        order[i] = order[k];
        order[k] = swapped;
    }
    for (int i = 0; i < n; i++) {
        const struct block_operand *o = &block->operands[order[i]];
        size_t align = o->align > 0 && o->align <= STATE_PAGE ? (size_t)o->align : 1;
        *at = align_up(*at + GAP + rng_below(rng, 3) * 8, align);
        l->offsets[order[i]] = (uint32_t)*at;
        *at += (size_t)l->sizes[order[i]];
    }
    *at += GAP;
}

/** Is a literal added or multiplied somewhere, as offsets are? */
static bool is_scaled(const struct block *block, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = block->text; p && (p = strstr(p, name)) != NULL; p += n) {
        bool behind = p > block->text + 1 && p[-1] == ' ' && strchr("+-*", p[-2]);
        bool before = p[n] == ' ' && p[n + 1] && strchr("+-*", p[n + 1]);
        if (before || (behind && !isalnum((unsigned char)p[n])))
            return true;
    }
    return false;
}

/** Numbers that can be byte offsets (long) make the arena larger, so that p + offset is inside. */
static size_t zone_size(const struct state_hints *h, const struct block *block)
{
    int64_t reach = 0;
    for (int i = 0; i < h->n_constants && h->reaches; i++) {
        bool is_offset = true;
        for (int k = 0; k < block->n_operands; k++)
            if (block->operands[k].kind == OPERAND_LITERAL &&
                block->operands[k].value == h->constants[i])
                is_offset = ir_type_size(block->operands[k].type) == 8 &&
                            is_scaled(block, block->operands[k].name);
        if (is_offset && h->constants[i] > reach && h->constants[i] <= MAX_DISPLACEMENT)
            reach = h->constants[i];
    }
    return align_up(ZONE_BYTES + (size_t)reach / 2, 64);
}

/** Who may be pointed at: what has or may have its address taken, and data. Never temporaries. */
static bool may_be_target(const struct block_operand *o)
{
    if (o->kind == OPERAND_STATIC || o->is_addressed)
        return true;
    return o->kind == OPERAND_SLOT && o->object && o->object->place != IR_TEMPORARY;
}

/** All by operand. One more than there are, so that no size is 0. */
static bool allocate(struct state_layout *l, int n)
{
    l->offsets = calloc((size_t)n + 1, sizeof *l->offsets);
    l->addresses = calloc((size_t)n + 1, sizeof *l->addresses);
    l->sizes = calloc((size_t)n + 1, sizeof *l->sizes);
    l->targets = calloc((size_t)n + 1, sizeof *l->targets);
    l->accesses = calloc((size_t)n + 1, sizeof *l->accesses);
    return l->offsets && l->addresses && l->sizes && l->targets && l->accesses;
}

/** Moves the arena up so that the multiple of 4 GiB lies in a zone of a type that is accessed, near
 * the zone's start, where pointers point; unless statics are there already. */
static void place_carry(struct state_layout *l, const struct state_hints *hints, struct rng *rng)
{
    enum { BEHIND_START = 16 };
    size_t zone = l->arena_bytes / STATE_ZONES, before = BEHIND_START;
    uint32_t n_types = (uint32_t)__builtin_popcount(hints->types);
    if (n_types)
        before += zone * rng_below(rng, n_types < STATE_ZONES ? n_types : STATE_ZONES);
    if (l->arena + before > STATE_PAGE)
        before = BEHIND_START;
    if (l->arena + before > STATE_PAGE)
        return;
    l->arena = STATE_PAGE - before;
    l->carry = STATE_PAGE;
}

/*
 * From low to high: statics and constants, the arena that pointers lead to, the red zone below the
 * stack pointer (System V x86-64, 3.2.2), the frame's slots, the frame pointer. The order inside
 * each is random, so that a fragment that relies on neighbours is found out.
 */
static void place_all(struct state_layout *l, const struct block *block,
                      const struct state_hints *hints, struct rng *rng, int *order)
{
    size_t at = 64;
    place(l, block, 1u << OPERAND_STATIC | 1u << OPERAND_CONSTANT, &at, rng, order);
    l->arena = align_up(at + 64, 64);
    l->arena_bytes = zone_size(hints, block) * STATE_ZONES;
    if (hints->reaches)
        place_carry(l, hints, rng);
    at = align_up(l->arena + l->arena_bytes + 64 + BELOW_RSP, 16);
    l->rsp = at;
    place(l, block, 1u << OPERAND_SLOT, &at, rng, order);
    l->rbp = align_up(at + 16 * rng_below(rng, 4), 16);
    l->size = align_up(l->rbp + ABOVE_RBP, STATE_PAGE);
}

static void find_addresses(struct state_layout *l, const struct block *block)
{
    for (int i = 0; i < block->n_operands; i++) {
        const struct block_operand *o = &block->operands[i];
        /* never read or called, so that it need not be mapped */
        if (o->kind == OPERAND_FUNCTION)
            l->addresses[i] = STATE_FUNCTIONS_AT + 64 * (uint64_t)(i + 1);
        else if (o->kind != OPERAND_LITERAL)
            l->addresses[i] = STATE_IMAGE_AT + l->offsets[i];
        if (may_be_target(o))
            l->targets[l->n_targets++] = i;
    }
}

ashlar_status state_layout_init(struct state_layout *l, const struct block *block, struct rng *rng,
                                struct state_hints *hints, ashlar_error *err)
{
    *l = (struct state_layout){0};
    *hints = (struct state_hints){0};
    if (block->n_operands > STATE_MAX_OPERANDS)
        return error_set(err, ASHLAR_NO_RESOURCE, "the block has more than %d operands",
                         STATE_MAX_OPERANDS);
    int *order = calloc((size_t)block->n_operands + 1, sizeof *order);
    if (!order || !allocate(l, block->n_operands)) {
        free(order);
        state_layout_fini(l);
        return error_memory(err, (size_t)block->n_operands * 32, "a block's layout");
    }
    read_hints(hints, l, block);
    uint64_t total = 0;
    for (int i = 0; i < block->n_operands; i++) {
        l->sizes[i] = laid_size(&block->operands[i]);
        if (block->operands[i].kind != OPERAND_LITERAL &&
            block->operands[i].kind != OPERAND_FUNCTION)
            total += (uint64_t)l->sizes[i] + STATE_PAGE;
        if (total > STATE_MAX_IMAGE / 2) {
            free(order);
            state_layout_fini(l);
            return error_set(err, ASHLAR_NO_RESOURCE, "the block's objects have more than %d MiB",
                             STATE_MAX_IMAGE >> 21);
        }
    }
    place_all(l, block, hints, rng, order);
    find_addresses(l, block);
    free(order);
    return ASHLAR_OK;
}

void state_layout_fini(struct state_layout *l)
{
    free(l->offsets);
    free(l->addresses);
    free(l->sizes);
    free(l->targets);
    free(l->accesses);
    *l = (struct state_layout){0};
}

/* ---- text ---- */

/* "arena+24", "v2+4", "0x1234". */
static void print_address(const struct state_layout *l, const struct block *block,
                          uint64_t address, struct buf *out)
{
    for (int i = 0; i < block->n_operands; i++) {
        uint64_t start = l->addresses[i];
        const struct block_operand *o = &block->operands[i];
        bool is_code = o->kind == OPERAND_FUNCTION;
        if (o->kind == OPERAND_LITERAL || address < start ||
            address - start >= (uint64_t)(is_code ? 1 : l->sizes[i]))
            continue;
        buf_printf(out, address == start ? "&%s" : "&%s+%" PRIu64, o->name, address - start);
        return;
    }
    uint64_t arena = STATE_IMAGE_AT + l->arena;
    if (address >= arena && address - arena <= l->arena_bytes)
        buf_printf(out, "arena+%" PRIu64, address - arena);
    else if (address < 4096)
        buf_printf(out, "%" PRIu64, address);
    else
        buf_printf(out, "0x%" PRIx64, address);
}

static int64_t read_integer(enum ir_type type, const unsigned char *at)
{
    int8_t i8;
    int16_t i16;
    int32_t i32;
    int64_t i64;
    switch (type) {
    case IR_I8: return memcpy(&i8, at, 1), i8;
    case IR_U8: return *at;
    case IR_I16: return memcpy(&i16, at, 2), i16;
    case IR_U16: return memcpy(&i16, at, 2), (uint16_t)i16;
    case IR_I32: return memcpy(&i32, at, 4), i32;
    case IR_U32: return memcpy(&i32, at, 4), (uint32_t)i32;
    default: return memcpy(&i64, at, 8), i64;
    }
}

void state_print_value(const struct state_layout *l, const struct block *block, enum ir_type type,
                       const unsigned char *at, struct buf *out)
{
    float single;
    double wide;
    long double extended = 0;
    switch (type) {
    case IR_F32:
        memcpy(&single, at, sizeof single);
        buf_printf(out, "%.9g", (double)single);
        break;
    case IR_F64:
        memcpy(&wide, at, sizeof wide);
        buf_printf(out, "%.17g", wide);
        break;
    case IR_F80:
        memcpy(&extended, at, 10);
        buf_printf(out, "%.21Lg", extended);
        break;
    case IR_U64:
        buf_printf(out, "%" PRIu64, (uint64_t)read_integer(type, at));
        break;
    case IR_PTR:
        print_address(l, block, (uint64_t)read_integer(IR_U64, at), out);
        break;
    default:
        buf_printf(out, "%" PRId64, read_integer(type, at));
    }
}
