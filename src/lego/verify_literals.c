/*
 * verify_literals.c: a fragment on other literals than this program's. It is cached and used for
 * every block of the same text, so it must be right for each value (docs/blocks.md), and some
 * mistakes do not show with the one at hand: half a word of a counter that starts at 0 is the
 * counter until 65,536 rounds later, an | with 4 changes no upper half.
 *
 * A variant is the block with one or a few literals changed, so that offsets and bounds mostly stay
 * what makes states defined. Its entry states are the block's, half of them steered: counters must
 * be solved for bounds, and pointers for addresses, that the new literals lead to.
 */
#include "lego/verify_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lego/lint_x86_64.h"
#include "lego/state_steer.h"

enum { VARIANTS_MOST = 16, PER_LITERAL = 3, STEERED = 2 };

/** Values of a type that its fragments can be written with: of 64-bit types those of a
 * sign-extended 32-bit immediate. */
static int64_t fit(enum ir_type t, int64_t value)
{
    switch (t) {
    case IR_I8: return (int8_t)value;
    case IR_U8: return (uint8_t)value;
    case IR_I16: return (int16_t)value;
    case IR_U16: return (uint16_t)value;
    case IR_U32: return (uint32_t)value;
    case IR_U64: return value & INT32_MAX;
    default: return (int32_t)value;
    }
}

/** Another value. A few below 0 first, from where a counter soon passes 0 and half a word does not
 * carry; then what no half word holds; then a neighbour, another sign, one bit, or any bits. */
static int64_t other_value(enum ir_type t, int64_t value, int round, struct rng *rng)
{
    uint64_t bits = rng_u64(rng);
    int length = 1 + (int)rng_below(rng, 32);
    if (round == 0)
        return fit(t, -1 - (int64_t)rng_below(rng, 4));
    if (round == 1)
        return fit(t, 65536 + (int64_t)rng_below(rng, 1 << 20));
    switch (rng_below(rng, 8)) {
    case 0: return fit(t, (int64_t)((uint64_t)value + 1 + rng_below(rng, 3)));
    case 1: return fit(t, (int64_t)-(uint64_t)value);
    case 2: return fit(t, (int64_t)(UINT64_C(1) << (length - 1)));
    case 3: return fit(t, INT32_MAX - (int64_t)rng_below(rng, 3));
    default: return fit(t, (int64_t)(bits & ((UINT64_C(1) << length) - 1)));
    }
}

/** Each round of variants changes every literal once; others with it now and then. */
static void vary(struct block_operand *operands, const struct block *block, const int *literals,
                 int n, int variant, struct rng *rng)
{
    memcpy(operands, block->operands, (size_t)block->n_operands * sizeof *operands);
    for (int i = 0; i < n; i++) {
        struct block_operand *o = &operands[literals[i]];
        if (i == variant % n)
            o->value = other_value(o->type, o->value, variant / n, rng);
        else if (rng_below(rng, 8) == 0)
            o->value = other_value(o->type, o->value, (int)rng_below(rng, 3), rng);
    }
}

/** "with c1=70000 c3=-1: " before what differs. */
static void name_literals(const struct block *variant, const struct block *block, const char *found,
                          char *message, size_t room)
{
    struct buf text;
    buf_init(&text, 4096);
    buf_puts(&text, "with");
    for (int i = 0; i < block->n_operands; i++)
        if (variant->operands[i].value != block->operands[i].value)
            buf_printf(&text, " %s=%" PRId64, block->operands[i].name, variant->operands[i].value);
    buf_printf(&text, ": %s", found);
    snprintf(message, room, "%s", text.failed ? found : text.data);
    buf_fini(&text);
}

/** Entry states for the variant out of v's, as many as there is room for, into s. */
static int make_states(struct verifier *v, const struct block *variant, struct rng *rng,
                       struct vectors *s)
{
    const struct vectors *usual = &v->vectors;
    struct steer_program program;
    size_t size = s->layout.size;
    const unsigned char *end = references_memory(v->references) + references_room();
    size_t room = (size_t)(end - usual->free) / size / 2;
    int n = room < VECTORS_VARIANT ? (int)room : VECTORS_VARIANT;
    bool steers = steer_program_init(&program, variant);
    s->inputs = usual->free;
    s->outputs = s->inputs + size * (size_t)n;
    for (int i = 0; i < n; i++) {
        unsigned char *image = s->inputs + size * (size_t)i;
        uint32_t from = rng_below(rng, (uint32_t)usual->n);
        memcpy(image, usual->inputs + size * (size_t)from, size);
        if (steers && i % STEERED == 0)
            state_steer(&program, &s->layout, variant, image, rng);
    }
    steer_program_fini(&program);
    return n;
}

/** The states of a variant on which its C is defined; s->results are the caller's. */
static ashlar_status collect(struct verifier *v, const struct block *variant, struct rng *rng,
                             struct vectors *s, ashlar_error *err)
{
    size_t size = s->layout.size;
    int n = make_states(v, variant, rng, s);
    s->n = 0;
    ashlar_status status = references_run(v->references, variant, &s->layout, n, s->inputs,
                                          s->outputs, s->results, err);
    for (int i = 0; status == ASHLAR_OK && i < n; i++) {
        if (s->results[i].outcome != REFERENCE_LEFT)
            continue;
        memmove(s->inputs + size * (size_t)s->n, s->inputs + size * (size_t)i, size);
        memmove(s->outputs + size * (size_t)s->n, s->outputs + size * (size_t)i, size);
        s->results[s->n++] = s->results[i];
    }
    return status;
}

static ashlar_status try_variant(struct verifier *v, const struct fragment *f,
                                 const struct block *variant, struct rng *rng, bool *agrees,
                                 char *found, size_t room, ashlar_error *err)
{
    struct reference_result results[VECTORS_VARIANT];
    struct vectors usual = v->vectors;
    ashlar_error inner = {0};
    int ran = 0;
    if (fragment_lint(f, variant, &inner) != ASHLAR_OK)
        return ASHLAR_OK; /* this literal does not fit: the lint will say so where it occurs */
    struct vectors states = usual;
    states.results = results;
    ashlar_status status = collect(v, variant, rng, &states, err);
    if (status != ASHLAR_OK || states.n == 0)
        return status;
    v->vectors = states;
    status = verify_run(v, f, variant, agrees, &ran, found, room, err);
    v->vectors = usual;
    if (status != ASHLAR_BAD_INPUT)
        return status;
    *agrees = true; /* nor does the assembler take it */
    return ASHLAR_OK;
}

ashlar_status verify_literals(struct verifier *v, const struct fragment *f,
                              const struct block *block, bool *agrees, char *message, size_t room,
                              ashlar_error *err)
{
    int n = 0;
    ashlar_status status = ASHLAR_OK;
    struct rng rng;
    int *literals = calloc((size_t)block->n_operands + 1, sizeof *literals);
    struct block_operand *operands = calloc((size_t)block->n_operands + 1, sizeof *operands);
    if (!literals || !operands)
        status = error_memory(err, (size_t)block->n_operands * sizeof *operands, "literals");
    *agrees = true;
    rng_seed(&rng, v->options.seed + 2);
    for (int i = 0; status == ASHLAR_OK && i < block->n_operands; i++)
        if (block->operands[i].kind == OPERAND_LITERAL)
            literals[n++] = i;
    struct block variant = *block;
    variant.operands = operands;
    char found[512] = "";
    int n_variants = n * PER_LITERAL < VARIANTS_MOST ? n * PER_LITERAL : VARIANTS_MOST;
    for (int i = 0; i < n_variants && *agrees; i++) {
        vary(operands, block, literals, n, i, &rng);
        status = try_variant(v, f, &variant, &rng, agrees, found, sizeof found, err);
        if (status != ASHLAR_OK)
            break;
    }
    if (!*agrees)
        name_literals(&variant, block, found, message, room);
    free(literals);
    free(operands);
    return status;
}
