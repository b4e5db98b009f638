/*
 * verify.c: the levels in order: parse, lint, assemble, test. A fragment that fails one goes no
 * further, so nothing is assembled that was not linted and nothing runs, even in the emulator, that
 * was not assembled from linted lines. Doubt is rejection: an instruction that Unicorn does not
 * know, a block without defined states, a run that does not end.
 */
#include "lego/verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lego/fragment.h"
#include "lego/lint_x86_64.h"
#include "lego/verify_internal.h"

/** A fragment has at most 4,000 lines; its code must leave room for the exits in the emulator's
 * pages. */
enum { MAX_ASSEMBLY = 1 << 20, MAX_CODE = 128 << 10 };

const char *verify_level_name(enum verify_level level)
{
    static const char *const names[] = {"rejected", "linted", "assembled", "tested", "proved"};
    return names[level];
}

ashlar_status verifier_new(const struct verify_options *options, struct verifier **out,
                           ashlar_error *err)
{
    *out = NULL;
    struct verifier *v = calloc(1, sizeof *v);
    if (!v)
        return error_memory(err, sizeof *v, "the verifier");
    v->options = *options;
    v->options.cc = NULL; /* borrowed for the call only */
    ashlar_status status = assembler_new(&v->assembler, err);
    if (status == ASHLAR_OK && options->level >= VERIFY_TESTED)
        status = emulator_new(&v->emulator, err);
    if (status == ASHLAR_OK && options->level >= VERIFY_TESTED)
        status =
            references_new(options->cc ? options->cc : "cc", options->keep, &v->references, err);
    if (status != ASHLAR_OK) {
        verifier_free(v);
        return status;
    }
    *out = v;
    return ASHLAR_OK;
}

void verifier_free(struct verifier *v)
{
    if (!v)
        return;
    vectors_fini(&v->vectors);
    references_free(v->references);
    emulator_free(v->emulator);
    assembler_free(v->assembler);
    free(v);
}

ashlar_status verifier_prepare(struct verifier *v, struct block *const *blocks, int n,
                               ashlar_error *err)
{
    return v->references ? references_add(v->references, blocks, n, err) : ASHLAR_OK;
}

/* ---- assembling ---- */

struct naming {
    const struct block *block;
    const struct state_layout *layout; /* NULL: places do not matter */
    char text[32];
};

static int find_operand(const struct block *block, const char *name)
{
    for (int i = 0; i < block->n_operands; i++)
        if (strcmp(block->operands[i].name, name) == 0)
            return i;
    return -1;
}

/** Slots become their offset from rbp, literals their value; symbols stay for relocation. */
static const char *name_operand(void *context, const char *name)
{
    struct naming *s = context;
    int i = find_operand(s->block, name);
    if (i < 0)
        return name;
    const struct block_operand *o = &s->block->operands[i];
    if (o->kind == OPERAND_LITERAL)
        snprintf(s->text, sizeof s->text, "%" PRId64, o->value);
    else if (o->kind == OPERAND_SLOT)
        snprintf(s->text, sizeof s->text, "%" PRId64,
                 s->layout ? (int64_t)s->layout->offsets[i] - (int64_t)s->layout->rbp
                           : -8 * (i + 1));
    else
        return name;
    return s->text;
}

static bool find_symbol(void *context, const char *name, uint64_t *address)
{
    const struct naming *s = context;
    int i = find_operand(s->block, name);
    if (i < 0)
        return emulate_symbol(name, address);
    /* any address in reach does, to see whether it assembles */
    *address = s->layout ? s->layout->addresses[i] : STATE_IMAGE_AT;
    return true;
}

/** Line of the fragment that became line `wanted` of its instantiation. */
static int source_line(const struct fragment *f, int wanted)
{
    int line = 0;
    for (int i = 0; i < f->n; i++) {
        line += (f->lines[i].label[0] != 0) + (f->lines[i].mnemonic[0] != 0);
        if (line >= wanted)
            return f->lines[i].number;
    }
    return f->n ? f->lines[f->n - 1].number : 1;
}

static ashlar_status assemble_fragment(struct verifier *v, const struct fragment *f,
                                       const struct block *block, const struct state_layout *layout,
                                       struct buf *code, ashlar_error *err)
{
    struct naming naming = {.block = block, .layout = layout};
    struct buf text;
    buf_init(&text, MAX_ASSEMBLY);
    ashlar_status status = ASHLAR_OK;
    if (!fragment_instantiate(f, name_operand, &naming, 0, &text) ||
        !emulate_exits(block->n_exits, &text))
        status = error_memory(err, text.max, "a fragment's text");
    int line = 0;
    ashlar_error inner = {0};
    if (status == ASHLAR_OK) {
        status = assemble(v->assembler, text.data, STATE_CODE_AT, find_symbol, &naming, code, &line,
                          &inner);
        if (status == ASHLAR_BAD_INPUT)
            error_set(err, status, "line %d: %s", line ? source_line(f, line) : 1, inner.message);
        else if (status != ASHLAR_OK)
            error_set(err, status, "%s", inner.message);
    }
    buf_fini(&text);
    return status;
}

/* ---- running ---- */

/** Code without a jump backwards ends by itself, and Unicorn is faster when it need not count. */
static bool has_loop(const struct fragment *f)
{
    for (int i = 0; i < f->n; i++)
        for (int k = 0; k <= i && f->lines[i].mnemonic[0] == 'j'; k++)
            if (f->lines[k].label[0] &&
                strcmp(f->lines[k].label, f->lines[i].operands[0].symbol) == 0)
                return true;
    return false;
}

/** Does any line name or imply an xmm or x87 register? */
static bool uses_floats(const struct fragment *f)
{
    for (int i = 0; i < f->n; i++) {
        if (f->lines[i].mnemonic[0] == 'f') /* x87's, and no others */
            return true;
        for (int k = 0; k < f->lines[i].n_operands; k++) {
            int reg = f->lines[i].operands[k].reg;
            if (f->lines[i].operands[k].kind == FRAGMENT_REGISTER && X86_KIND(reg) >= X86_XMM)
                return true;
        }
    }
    return false;
}

/** Registers hold what a fragment must not depend on: new bits for each state. */
static void random_entry(const struct verifier *v, struct rng *rng, struct emulate_registers *entry)
{
    enum { ARITHMETIC_FLAGS = 0x8d5, ALWAYS = 0x2 };
    for (int i = 0; i < 16; i++) {
        entry->gpr[i] = rng_u64(rng);
        if (!entry->floats)
            continue;
        entry->xmm[i][0] = rng_u64(rng);
        /* the upper half need not be good randomness, only unlike what a fragment expects */
        entry->xmm[i][1] = entry->gpr[i] ^ 0x5555555555555555u;
    }
    entry->flags = (rng_u64(rng) & ARITHMETIC_FLAGS) | ALWAYS;
    entry->gpr[X86_SP] = STATE_IMAGE_AT + v->vectors.layout.rsp;
    entry->gpr[X86_BP] = STATE_IMAGE_AT + v->vectors.layout.rbp;
}

static ashlar_status run_states(struct verifier *v, const struct fragment *f,
                                const struct block *block, bool *agrees, int *ran, char *message,
                                size_t room, ashlar_error *err)
{
    const struct vectors *s = &v->vectors;
    struct emulate_registers entry;
    struct emulate_result result;
    struct rng rng;
    bool loops = has_loop(f), floats = uses_floats(f);
    *agrees = false;
    /* not the states' seed: registers must not repeat what is in memory */
    rng_seed(&rng, v->options.seed + 1);
    for (int i = 0; i < s->n; i++) {
        unsigned char *image = emulator_image(v->emulator);
        /* basic blocks: what the reference's loops allow, four times over, as a fragment may have
         * more labels */
        size_t limit = loops ? (size_t)(f->n + 16) * (size_t)(s->results[i].labels + 2) * 4 : 0;
        memcpy(image, s->inputs + s->layout.size * (size_t)i, s->layout.size);
        /* writing xmm and x87 registers takes time; once sets them for a fragment that names
         * none */
        entry.floats = floats || i == 0;
        random_entry(v, &rng, &entry);
        ashlar_status status = emulator_run(v->emulator, &entry, limit, &result, err);
        if (status != ASHLAR_OK)
            return status;
        *ran = i + 1;
        if (!compare_run(v, block, i, &entry, &result, image, message, room))
            return ASHLAR_OK;
    }
    *agrees = true;
    return ASHLAR_OK;
}

ashlar_status verify_run(struct verifier *v, const struct fragment *f, const struct block *block,
                         bool *agrees, int *ran, char *message, size_t room, ashlar_error *err)
{
    struct buf code;
    buf_init(&code, MAX_CODE);
    *agrees = false;
    ashlar_status status = assemble_fragment(v, f, block, &v->vectors.layout, &code, err);
    if (status == ASHLAR_OK)
        status = emulator_load(v->emulator, code.data, code.length, v->vectors.layout.size, err);
    if (status == ASHLAR_OK)
        status = run_states(v, f, block, agrees, ran, message, room, err);
    buf_fini(&code);
    return status;
}

/** Whether the block can be tested: states are gathered and enough are defined; else the message.
 */
static ashlar_status gather_states(struct verifier *v, const struct block *block, bool *testable,
                                   struct verdict *verdict, ashlar_error *err)
{
    *testable = false;
    if (!references_has(v->references, block->key))
        return error_set(err, ASHLAR_FAILED, "verifier_check: the block was not prepared");
    ashlar_error inner = {0};
    ashlar_status status = vectors_collect(v, block, &inner);
    const struct vectors *s = &v->vectors;
    /* too large for an image: a finding about this block, not the end of the compilation */
    if (status == ASHLAR_NO_RESOURCE) {
        snprintf(verdict->message, sizeof verdict->message, "cannot be tested: %s", inner.message);
        return ASHLAR_OK;
    }
    if (status != ASHLAR_OK)
        return error_set(err, status, "%s", inner.message);
    verdict->discarded = s->discarded;
    verdict->outcomes = s->outcomes;
    verdict->outcomes_seen = s->outcomes_seen;
    *testable = s->n >= vectors_least(v->options.vectors);
    if (!*testable)
        snprintf(verdict->message, sizeof verdict->message,
                 "no defined entry state found: of %d tried %d were defined (%d undefined "
                 "operations, %d faults, %d endless, %d crashes)",
                 s->n + s->discarded, s->n, s->reasons[REFERENCE_UNDEFINED],
                 s->reasons[REFERENCE_FAULT], s->reasons[REFERENCE_ENDLESS],
                 s->reasons[REFERENCE_CRASHED]);
    return ASHLAR_OK;
}

/* ---- levels ---- */

/** Without states: does it assemble? */
static ashlar_status assemble_only(struct verifier *v, const struct fragment *f,
                                   const struct block *block, ashlar_error *err)
{
    struct buf code;
    buf_init(&code, MAX_CODE);
    ashlar_status status = assemble_fragment(v, f, block, NULL, &code, err);
    buf_fini(&code);
    return status;
}

/** From a linted fragment on. BAD_INPUT: a finding, in err. */
static ashlar_status assemble_and_test(struct verifier *v, const struct fragment *f,
                                       const struct block *block, struct verdict *verdict,
                                       ashlar_error *err)
{
    bool testable = false, agrees = false;
    ashlar_status status = ASHLAR_OK;
    /* set ahead: where an error leaves, this is the level that it failed at */
    verdict->failed_at = VERIFY_ASSEMBLED;
    if (v->options.level >= VERIFY_TESTED)
        status = gather_states(v, block, &testable, verdict, err);
    if (status == ASHLAR_OK && !testable)
        status = assemble_only(v, f, block, err);
    else if (status == ASHLAR_OK)
        status = verify_run(v, f, block, &agrees, &verdict->vectors, verdict->message,
                            sizeof verdict->message, err);
    if (status != ASHLAR_OK)
        return status;
    verdict->level = VERIFY_ASSEMBLED;
    verdict->failed_at = VERIFY_TESTED;
    if (agrees)
        status = verify_literals(v, f, block, &agrees, verdict->message, sizeof verdict->message,
                                 err);
    if (agrees)
        verdict->level = VERIFY_TESTED;
    return status;
}

static ashlar_status check_levels(struct verifier *v, const struct block *block,
                                  const char *fragment, size_t length, struct verdict *verdict,
                                  ashlar_error *err)
{
    struct fragment f;
    ashlar_status status = fragment_parse(fragment, length, &f, err);
    if (status != ASHLAR_OK)
        return status;
    status = fragment_lint(&f, block, err);
    if (status == ASHLAR_OK) {
        verdict->level = VERIFY_LINTED;
        status = assemble_and_test(v, &f, block, verdict, err);
    }
    fragment_fini(&f);
    return status;
}

ashlar_status verifier_check(struct verifier *v, const struct block *block, const char *fragment,
                             size_t length, struct verdict *verdict, ashlar_error *err)
{
    ashlar_error finding = {0};
    *verdict = (struct verdict){.failed_at = VERIFY_LINTED};
    ashlar_status status = check_levels(v, block, fragment, length, verdict, &finding);
    if (status == ASHLAR_BAD_INPUT) { /* the fragment's fault: a verdict, not an error */
        snprintf(verdict->message, sizeof verdict->message, "%s", finding.message);
        return ASHLAR_OK;
    }
    if (status != ASHLAR_OK)
        return error_set(err, status, "%s", finding.message);
    verdict->accepted = verdict->level >= v->options.level;
    return ASHLAR_OK;
}
