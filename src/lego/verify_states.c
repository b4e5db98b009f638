/*
 * verify_states.c: gathers entry states on which the block's C is defined. States are made in
 * rounds. The classes
 * ("mixes") that gave defined states are chosen more often in the next round, and none is given up,
 * so that a block of array accesses is tested mostly with small indices and still with wild ones.
 * Where an outcome of a branch was seen rarely or never, part of the next states are small changes
 * of states that took it, or that took the branch the other way.
 */
#include "lego/verify_internal.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "lego/reference_text.h"
#include "lego/state_steer.h"

enum { FIRST_ROUND = 80, ROUNDS = 8, LEAST = 32, TRIES_PER_STATE = 10, EXAMPLES = 4 };

/*
 * Filling memory takes most of the time of a state. So a number of states of each mix are made in
 * full and kept, and the others are made out of them (state_renew), where so many fit these bytes.
 */
enum { BASES = 16, BASES_BYTES = 16 << 20 };

/** Of the states of a block that compares, one in so many is steered (state_steer.h). */
enum { STEERED = 6 };

/** Of the states of a block with pointers, in one of so many an access is moved to the border of
 * memory (state_edge), as long as there are accesses that were there too rarely. */
enum { EDGED = 8, EDGED_FROM = 3 };

int vectors_least(int wanted)
{
    return wanted < LEAST ? wanted : LEAST;
}

void vectors_fini(struct vectors *vectors)
{
    state_layout_fini(&vectors->layout);
    free(vectors->results);
    *vectors = (struct vectors){0};
}

/** Of everything that states and results depend on. */
static uint64_t identify(const struct block *block)
{
    uint64_t id = XXH3_64bits(block->text, block->text_length);
    for (int i = 0; i < block->n_operands; i++) {
        const struct block_operand *o = &block->operands[i];
        id = XXH3_64bits_withSeed(&o->value, sizeof o->value, id);
        int place = o->object ? (int)o->object->place : -1;
        id = XXH3_64bits_withSeed(&place, sizeof place, id);
        if (o->object && o->object->bytes)
            id = XXH3_64bits_withSeed(o->object->bytes, (size_t)o->object->size, id);
    }
    return id ? id : 1;
}

/** Rates of defined states by mix. */
struct rates {
    int tried[STATE_MIXES], defined[STATE_MIXES];
};

static int choose_mix(const struct rates *r, int tries, struct rng *rng)
{
    if (tries < FIRST_ROUND)
        return tries % STATE_MIXES;
    uint32_t weights[STATE_MIXES], total = 0;
    for (int m = 0; m < STATE_MIXES; m++) {
        weights[m] = 8 + 256 * (uint32_t)r->defined[m] / (uint32_t)(r->tried[m] + 1);
        total += weights[m];
    }
    uint32_t at = rng_below(rng, total);
    int m = 0;
    while (at >= weights[m])
        at -= weights[m++];
    return m;
}

/** States that took one outcome of a branch. */
struct outcome {
    int count;
    int examples[EXAMPLES]; /* kept states, the newest */
};

struct gathering {
    struct verifier *v;
    const struct block *block;
    struct rng rng;
    struct rates rates;
    struct steer_program program;
    unsigned char *background;
    unsigned char *bases; /* (STATE_MIXES, BASES, size); NULL: every state is made in full */
    int n_bases[STATE_MIXES];
    struct reference_result *results; /* (capacity) of a round */
    unsigned char *mixes;             /* (capacity) of a round */
    int *edges;                       /* (capacity) of a round: state_edge's, -1 */
    unsigned char *edged;             /* (program.n_exprs) state_edge's `tried` */
    int capacity, tries;
    int n_outcomes;
    struct outcome outcomes[REFERENCE_OUTCOMES];
};

static int round_size(int wanted)
{
    return wanted / ROUNDS > FIRST_ROUND ? wanted / ROUNDS : FIRST_ROUND;
}

static bool gathering_init(struct gathering *g, struct verifier *v, const struct block *block)
{
    struct vectors *s = &v->vectors;
    size_t size = s->layout.size;
    size_t capacity = references_room() / 2 / size;
    capacity -= capacity / 8 < VECTORS_VARIANT ? capacity / 8 : VECTORS_VARIANT;
    *g = (struct gathering){.v = v, .block = block};
    size_t enough = (size_t)(v->options.vectors + round_size(v->options.vectors));
    if (capacity > enough)
        capacity = enough; /* the states of all blocks in the same memory, warm in caches */
    g->capacity = capacity < REFERENCE_MAX_STATES ? (int)capacity : REFERENCE_MAX_STATES;
    int outcomes = 2 * reference_branches(block);
    g->n_outcomes = outcomes < REFERENCE_OUTCOMES ? outcomes : REFERENCE_OUTCOMES;
    rng_seed(&g->rng, v->options.seed ^ s->identity);
    steer_program_init(&g->program, block);
    g->background = malloc(size);
    bool has_bases = size <= BASES_BYTES / (STATE_MIXES * BASES);
    g->bases = has_bases ? malloc(size * STATE_MIXES * BASES) : NULL;
    g->results = calloc((size_t)g->capacity, sizeof *g->results);
    g->mixes = malloc((size_t)g->capacity);
    g->edges = calloc((size_t)g->capacity, sizeof *g->edges);
    g->edged = calloc((size_t)g->program.n_exprs + 1, 1);
    s->results = calloc((size_t)g->capacity, sizeof *s->results);
    for (size_t i = 0; g->background && i < size; i += 8) {
        uint64_t bits = rng_u64(&g->rng);
        memcpy(g->background + i, &bits, 8);
    }
    s->inputs = references_memory(v->references);
    s->outputs = s->inputs + size * (size_t)g->capacity;
    s->free = s->outputs + size * (size_t)g->capacity;
    return g->background && g->results && g->mixes && g->edges && g->edged && s->results;
}

static void gathering_fini(struct gathering *g)
{
    steer_program_fini(&g->program);
    free(g->background);
    free(g->bases);
    free(g->results);
    free(g->mixes);
    free(g->edges);
    free(g->edged);
}

static void note_outcomes(struct gathering *g, int kept)
{
    const unsigned long *seen = g->v->vectors.results[kept].seen;
    for (int i = 0; i < g->n_outcomes; i++) {
        struct outcome *o = &g->outcomes[i];
        if (seen[i / 64] >> i % 64 & 1)
            o->examples[o->count++ % EXAMPLES] = kept;
    }
}

/** An outcome to see more of: a random one that is rare; -1: none. */
static int choose_rare(struct gathering *g)
{
    int chosen = -1, n = 0, rare = g->v->vectors.n / 16;
    for (int i = 0; i < g->n_outcomes; i++)
        if (g->outcomes[i].count < rare && g->outcomes[i].count + g->outcomes[i ^ 1].count > 0)
            if (rng_below(&g->rng, (uint32_t)++n) == 0)
                chosen = i;
    return chosen;
}

/** A new entry state: in full, or out of a base. */
static void make_new(struct gathering *g, int mix, unsigned char *image)
{
    const struct vectors *s = &g->v->vectors;
    size_t size = s->layout.size;
    unsigned char *bases = g->bases ? g->bases + size * (size_t)(mix * BASES) : NULL;
    if (bases && g->n_bases[mix] == BASES) {
        memcpy(image, bases + size * rng_below(&g->rng, BASES), size);
        state_renew(&s->layout, g->block, &s->hints, mix, image, &g->rng);
        return;
    }
    state_fill(&s->layout, g->block, &s->hints, mix, g->background, image, &g->rng);
    if (bases)
        memcpy(bases + size * (size_t)g->n_bases[mix]++, image, size);
}

/** Most states fault: the block adds offsets larger than the arena (members of large records, far
 * elements). Pointers solved for these offsets are the remedy. */
static bool is_out_of_reach(const struct gathering *g)
{
    return g->tries >= FIRST_ROUND && g->v->vectors.reasons[REFERENCE_FAULT] > g->tries / 4 * 3;
}

/** Makes one entry state: a new one, or one near a state that took a rare outcome or its opposite.
 */
static void make_state(struct gathering *g, int mix, unsigned char *image)
{
    const struct vectors *s = &g->v->vectors;
    int rare = g->tries % 2 ? choose_rare(g) : -1;
    bool steered = (g->program.n_comparisons && g->tries % STEERED == 0) || is_out_of_reach(g);
    if (rare < 0 || steered) {
        make_new(g, mix, image);
        if (steered)
            state_steer(&g->program, &s->layout, g->block, image, &g->rng);
        return;
    }
    const struct outcome *o = &g->outcomes[g->outcomes[rare].count ? rare : rare ^ 1];
    uint32_t n = o->count < EXAMPLES ? (uint32_t)o->count : EXAMPLES;
    size_t size = s->layout.size;
    memcpy(image, s->inputs + size * (size_t)o->examples[rng_below(&g->rng, n)], size);
    state_change(&s->layout, g->block, &s->hints, mix, image, &g->rng);
}

/** Moves an access of some states to the border; returns which, -1: none. */
static int move_to_edge(struct gathering *g, unsigned char *image)
{
    const struct vectors *s = &g->v->vectors;
    if (!s->hints.reaches || g->program.n == 0 || g->tries % EDGED != EDGED_FROM)
        return -1;
    return state_edge(&g->program, &s->layout, g->block, g->edged, image, &g->rng);
}

/** A defined state at a border is worth more than an attempt. */
static void note_edge(struct gathering *g, int edge)
{
    enum { MORE = STEER_EDGE_DEFINED - 1 };
    if (edge >= 0)
        g->edged[edge] = (unsigned char)(g->edged[edge] < STEER_EDGE_ENOUGH - MORE
                                             ? g->edged[edge] + MORE
                                             : STEER_EDGE_ENOUGH);
}

/** Keeps the defined states of a round at the end of those already kept. */
static void keep_defined(struct gathering *g, int n)
{
    struct vectors *s = &g->v->vectors;
    size_t size = s->layout.size;
    int base = s->n;
    for (int i = 0; i < n; i++) {
        int mix = g->mixes[i];
        g->rates.tried[mix]++;
        if (g->results[i].outcome != REFERENCE_LEFT) {
            s->discarded++;
            s->reasons[g->results[i].outcome]++;
            continue;
        }
        g->rates.defined[mix]++;
        note_edge(g, g->edges[i]);
        if (s->n != base + i) {
            memcpy(s->inputs + size * (size_t)s->n, s->inputs + size * (size_t)(base + i), size);
            memcpy(s->outputs + size * (size_t)s->n, s->outputs + size * (size_t)(base + i), size);
        }
        s->results[s->n] = g->results[i];
        note_outcomes(g, s->n++);
    }
}

static ashlar_status run_round(struct gathering *g, int n, ashlar_error *err)
{
    struct vectors *s = &g->v->vectors;
    size_t size = s->layout.size;
    unsigned char *inputs = s->inputs + size * (size_t)s->n;
    for (int i = 0; i < n; i++) {
        g->mixes[i] = (unsigned char)choose_mix(&g->rates, g->tries++, &g->rng);
        make_state(g, g->mixes[i], inputs + size * (size_t)i);
        g->edges[i] = move_to_edge(g, inputs + size * (size_t)i);
    }
    ashlar_status status = references_run(g->v->references, g->block, &s->layout, n, inputs,
                                          s->outputs + size * (size_t)s->n, g->results, err);
    if (status == ASHLAR_OK)
        keep_defined(g, n);
    return status;
}

/**
 * Nothing found, and little to hope for: until the first defined state nothing is adapted, and a
 * rate that left these tries without one would not give the least number in all of them (e^-12). A
 * loop that is too long for every state is the costliest way to find nothing: it ends sooner.
 */
static bool is_hopeless(const struct vectors *s)
{
    enum { ENOUGH = 4000, ENOUGH_ENDLESS = 1500 };
    bool endless = s->reasons[REFERENCE_ENDLESS] == s->discarded;
    return s->n == 0 && s->discarded >= (endless ? ENOUGH_ENDLESS : ENOUGH);
}

static ashlar_status gather(struct gathering *g, ashlar_error *err)
{
    struct vectors *s = &g->v->vectors;
    int wanted = g->v->options.vectors;
    if (wanted > g->capacity)
        wanted = g->capacity; /* objects of many pages: fewer states fit */
    int most = wanted * TRIES_PER_STATE + FIRST_ROUND;
    ashlar_status status = ASHLAR_OK;
    while (status == ASHLAR_OK && s->n < wanted && g->tries < most && !is_hopeless(s)) {
        int n = round_size(wanted);
        bool learned = s->n && !s->discarded && !g->n_outcomes; /* there is nothing to adapt to */
        if (learned || (s->discarded <= s->n && n > wanted - s->n))
            n = wanted - s->n;
        if (n > g->capacity - s->n)
            n = g->capacity - s->n;
        status = run_round(g, n, err);
    }
    s->outcomes = g->n_outcomes;
    for (int i = 0; i < g->n_outcomes; i++)
        s->outcomes_seen += g->outcomes[i].count > 0;
    return status;
}

ashlar_status vectors_collect(struct verifier *v, const struct block *block, ashlar_error *err)
{
    uint64_t identity = identify(block);
    if (v->vectors.identity == identity)
        return ASHLAR_OK;
    vectors_fini(&v->vectors);
    struct rng rng;
    rng_seed(&rng, v->options.seed ^ identity);
    ashlar_status status =
        state_layout_init(&v->vectors.layout, block, &rng, &v->vectors.hints, err);
    if (status != ASHLAR_OK)
        return status;
    struct gathering g;
    v->vectors.identity = identity;
    status = gathering_init(&g, v, block)
                 ? gather(&g, err)
                 : error_memory(err, v->vectors.layout.size, "entry states");
    gathering_fini(&g);
    if (status != ASHLAR_OK)
        vectors_fini(&v->vectors);
    return status;
}
