/*
 * test_kv_policies.c: what a KV policy may change and what not. stream and, where it attends to
 * everything, kvswap equal full bit for bit through any history of appends, rewinds and batches;
 * results depend neither on threads nor on the kind of I/O; budgets are kept.
 */
#include "kv_world.h"

enum { SEED = 20251128, CTX = 1024, STEPS = 24 };

static uint64_t seed; /* of this run: ASHLAR_TEST_SEED, else SEED */

/* ---- schedules ----------------------------------------------------------------------------- */

/* One step of a schedule: a rewind of one session, or tokens for some. */
struct step {
    int rewind, length; /* session or -1 */
    int n[MOST_SESSIONS];
    int32_t tokens[MOST_SESSIONS][300];
};

/* What a schedule may do. */
struct limits {
    int most;      /* tokens of one item */
    int batch;     /* tokens of all items; 0: no limit */
    int single_at; /* longest session that may get a single token; -1: none, INT_MAX: any */
};

static int next_count(struct rng *rng, const struct limits *l, int length, int room, int left)
{
    int most = l->most < room ? l->most : room;
    most = l->batch && left < most ? left : most;
    if (most < 2 || rng_below(rng, 4) == 0)
        return 0;
    if (rng_below(rng, 2) == 0 && length <= l->single_at)
        return 1;
    return 2 + (int)rng_below(rng, (uint32_t)most - 1);
}

static struct step next_step(struct rng *rng, const struct limits *l, const struct world *w)
{
    struct step s = {.rewind = -1};
    if (rng_below(rng, 5) == 0) {
        s.rewind = (int)rng_below(rng, (uint32_t)w->n_sessions);
        size_t length = ashlar_session_length(w->s[s.rewind]);
        s.length = rng_below(rng, 6) == 0 ? 0 : (int)rng_below(rng, (uint32_t)length + 1);
        return s;
    }
    for (int i = 0, used = 0; i < w->n_sessions; i++) {
        int length = (int)ashlar_session_length(w->s[i]);
        s.n[i] = next_count(rng, l, length, CTX - length, l->batch - used);
        used += s.n[i];
        random_tokens(w->n_vocab, s.tokens[i], s.n[i], rng);
    }
    return s;
}

static void take_step(struct world *w, struct step *s)
{
    ashlar_batch_item items[MOST_SESSIONS];
    ashlar_error err = {0};
    size_t n = 0;
    if (s->rewind >= 0) {
        assert_int_equal(ashlar_session_rewind(w->s[s->rewind], (size_t)s->length, &err),
                         ASHLAR_OK);
        return;
    }
    for (int i = 0; i < w->n_sessions; i++)
        if (s->n[i] > 0)
            items[n++] = (ashlar_batch_item){w->s[i], s->tokens[i], (size_t)s->n[i], ASHLAR_OK};
    if (n > 0 && ashlar_batch_eval(w->e, items, n, &err) != ASHLAR_OK)
        fail_msg("%s", err.message);
}

/* Run one schedule in both worlds; after every step they must agree. */
static void compare_worlds(struct world *a, struct world *b, struct limits limits,
                           uint64_t schedule)
{
    struct rng rng;
    struct step *s = malloc(sizeof *s);
    char when[80];
    rng_seed(&rng, schedule);
    for (int i = 0; i < STEPS; i++) {
        *s = next_step(&rng, &limits, a);
        take_step(a, s);
        take_step(b, s);
        snprintf(when, sizeof when, "seed %llu, step %d", (unsigned long long)schedule, i);
        for (int k = 0; k < a->n_sessions; k++)
            assert_same_logits(a, b, k, when);
    }
    free(s);
}

static void compare_policies(const char *model, int batch, ashlar_kv_options kv,
                             struct limits limits, uint64_t schedule)
{
    struct world full, other;
    world_open(
        &full, model,
        options_for(2, 3, CTX, batch, (ashlar_kv_options){.policy = "full", .type = kv.type}));
    world_open(&other, model, options_for(2, 3, CTX, batch, kv));
    compare_worlds(&full, &other, limits, schedule);
    world_close(&full);
    world_close(&other);
}

static const char *const models[] = {"tiny-llama-f16", "tiny-qwen2-q8_0", "tiny-qwen3-q4_k",
                                     "deep-llama-f16"};

/* ---- exactness ----------------------------------------------------------------------------- */

static void stream_equals_full(void **state)
{
    (void)state;
    static const int groups[] = {0, 4, 8, 64};
    for (int m = 0; m < 4; m++)
        for (int batch = 64; batch <= 512; batch *= 8)
            compare_policies(models[m], batch,
                             (ashlar_kv_options){.policy = "stream",
                                                 .group_tokens = groups[m],
                                                 .recent_tokens = 1 + 20 * m},
                             (struct limits){300, 0, CTX}, seed + (uint64_t)(m * 1000 + batch));
}

/* Every slot is there: nothing ever goes to disk. */
static void kvswap_equals_full_while_it_fits(void **state)
{
    (void)state;
    for (int m = 0; m < 4; m++)
        compare_policies(models[m], 128,
                         (ashlar_kv_options){.policy = "kvswap", .reuse_tokens = CTX},
                         (struct limits){300, 0, CTX}, seed + 10 + (uint64_t)m);
}

/* On disk; passes of many tokens stream, single ones come while the selection covers every group.
 */
static void kvswap_equals_full_when_it_attends_to_all(void **state)
{
    (void)state;
    for (int m = 0; m < 4; m++)
        for (int select = 64; select <= 256; select *= 2)
            compare_policies(models[m], 512,
                             (ashlar_kv_options){.policy = "kvswap",
                                                 .group_tokens = m % 2 ? 8 : 16,
                                                 .select_tokens = select,
                                                 .recent_tokens = 16},
                             (struct limits){300, 512, select + 16},
                             seed + 20 + (uint64_t)(m * 1000 + select));
}

/* Quantised keys and values: the same ones in memory and on disk. */
static void other_element_types_are_exact_too(void **state)
{
    (void)state;
    static const char *const types[] = {"q8_0", "q4_0"};
    for (int t = 0; t < 2; t++) {
        compare_policies("tiny-llama-f16", 128,
                         (ashlar_kv_options){.policy = "stream", .type = types[t]},
                         (struct limits){300, 0, CTX}, seed + 30 + (uint64_t)t);
        compare_policies(
            "deep-llama-f16", 512,
            (ashlar_kv_options){.policy = "kvswap", .type = types[t], .select_tokens = 64},
            (struct limits){300, 512, 64}, seed + 40 + (uint64_t)t);
    }
}

/* Random keys and values instead of a prompt: they are the same under every policy. */
static void filled_contexts_are_the_same(void **state)
{
    (void)state;
    static const ashlar_kv_options others[] = {{.policy = "stream"},
                                               {.policy = "kvswap", .select_tokens = 64},
                                               {.policy = "kvswap", .type = "q8_0"}};
    for (int i = 0; i < 3; i++) {
        struct world full, other;
        struct limits limits = {100, 128, -1};
        world_open(&full, "deep-llama-f16",
                   options_for(2, 2, CTX, 128,
                               (ashlar_kv_options){.policy = "full", .type = others[i].type}));
        world_open(&other, "deep-llama-f16", options_for(2, 2, CTX, 128, others[i]));
        for (int k = 0; k < 2; k++) {
            assert_int_equal(ashlar_session_fill(full.s[k], 500 + 77 * (size_t)k, 3, NULL),
                             ASHLAR_OK);
            assert_int_equal(ashlar_session_fill(other.s[k], 500 + 77 * (size_t)k, 3, NULL),
                             ASHLAR_OK);
        }
        compare_worlds(&full, &other, limits, seed + 45 + (uint64_t)i);
        world_close(&full);
        world_close(&other);
    }
}

/* Contexts so long that the ranges of attention grow: several windows of different sizes. */
static void streaming_long_contexts_is_exact(void **state)
{
    (void)state;
    enum { LONG = 20000, PIECE = 4000 };
    struct world full, stream;
    struct rng rng;
    if (getenv("ASHLAR_TEST_LONG") == NULL)
        skip(); /* half a minute */
    int32_t *tokens = malloc(PIECE * sizeof *tokens);
    ashlar_options o = options_for(2, 1, LONG + 64, 512, (ashlar_kv_options){.policy = "full"});
    world_open(&full, "tiny-llama-q4_0", o);
    o.kv.policy = "stream";
    world_open(&stream, "tiny-llama-q4_0", o);
    rng_seed(&rng, seed + 50);
    for (int at = 0; at < LONG; at += PIECE) {
        random_tokens(full.n_vocab, tokens, PIECE, &rng);
        assert_int_equal(ashlar_session_append(full.s[0], tokens, PIECE, NULL), ASHLAR_OK);
        assert_int_equal(ashlar_session_append(stream.s[0], tokens, PIECE, NULL), ASHLAR_OK);
        for (int i = 0; i < 5; i++) {
            assert_int_equal(ashlar_session_append(full.s[0], tokens + i, 1, NULL), ASHLAR_OK);
            assert_int_equal(ashlar_session_append(stream.s[0], tokens + i, 1, NULL), ASHLAR_OK);
            assert_same_logits(&full, &stream, 0, "a long context");
        }
    }
    world_close(&full);
    world_close(&stream);
    free(tokens);
}

/* ---- small budgets ------------------------------------------------------------------------- */

static ashlar_kv_options small(const char *io)
{
    return (ashlar_kv_options){
        .policy = "kvswap", .io = io, .group_tokens = 8, .select_tokens = 64, .recent_tokens = 16};
}

static void assert_finite(const struct world *w)
{
    for (int k = 0; k < w->n_sessions; k++) {
        const float *l = ashlar_session_logits(w->s[k]);
        for (int i = 0; l && i < w->n_vocab; i++)
            assert_true(isfinite(l[i]));
    }
}

static void kvswap_runs_any_schedule(void **state)
{
    (void)state;
    static const float masses[] = {0, 0.9f, 0.5f, 0, 0.8f};
    for (int m = 0; m < 5; m++) {
        struct world w;
        struct rng rng;
        struct limits limits = {300, 0, CTX};
        ashlar_kv_options kv = small(NULL);
        struct step *s = malloc(sizeof *s);
        kv.mass = masses[m];
        kv.sigma = m == 3 ? 32 : 0;
        kv.reuse_tokens = m == 1 ? 200 : 0;
        kv.layer_ranks = m == 4 ? "0,16,8,0" : NULL;
        kv.scoring = m == 1 || m == 4 ? "head" : "mean";
        world_open(&w, m == 4 ? "deep-llama-f16" : models[m], options_for(2, 4, CTX, 200, kv));
        rng_seed(&rng, seed + 60 + (uint64_t)m);
        for (int i = 0; i < 2 * STEPS; i++) {
            *s = next_step(&rng, &limits, &w);
            take_step(&w, s);
            assert_finite(&w);
        }
        ashlar_kv_stats stats;
        ashlar_engine_kv_stats(w.e, &stats);
        assert_true(stats.misses > 0 && stats.hits > 0 && stats.bytes_read > 0 &&
                    stats.bytes_written > 0);
        world_close(&w);
        free(s);
    }
}

/* One thread and io_uring, two and the pool of threads, three and a slow disk: the same bits. */
static void threads_and_io_do_not_change_a_bit(void **state)
{
    (void)state;
    struct limits limits = {300, 0, CTX};
    static const char *const policies[] = {"kvswap", "stream"};
    for (int p = 0; p < 2; p++) {
        struct world one, other;
        ashlar_kv_options kv = small(NULL), slow = small("threads");
        kv.policy = slow.policy = policies[p];
        slow.io_latency = 1e-4;
        for (int threads = 2; threads <= 3; threads++) {
            world_open(&one, "deep-llama-f16", options_for(1, 3, CTX, 128, kv));
            world_open(&other, "deep-llama-f16",
                       options_for(threads, 3, CTX, 128, threads == 3 ? slow : small("threads")));
            if (threads == 2 && p == 1) {
                world_close(&other);
                world_open(&other, "deep-llama-f16", options_for(2, 3, CTX, 128, slow));
            }
            compare_worlds(&one, &other, limits, seed + 70 + (uint64_t)threads);
            world_close(&one);
            world_close(&other);
        }
    }
}

/* A session's text does not depend on what shares the engine: others may come, go and be rewound.
 */
static void a_rewound_session_repeats_itself(void **state)
{
    (void)state;
    enum { PROMPT = 400, DECODE = 30 };
    struct world w;
    struct rng rng;
    int32_t tokens[PROMPT + DECODE], other[PROMPT];
    float *first = NULL;
    world_open(&w, "deep-llama-f16", options_for(2, 2, CTX, 512, small(NULL)));
    rng_seed(&rng, seed + 80);
    random_tokens(w.n_vocab, tokens, PROMPT + DECODE, &rng);
    random_tokens(w.n_vocab, other, PROMPT, &rng);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(ashlar_session_append(w.s[0], tokens, PROMPT, NULL), ASHLAR_OK);
        if (round == 1)
            assert_int_equal(ashlar_session_append(w.s[1], other, PROMPT, NULL), ASHLAR_OK);
        for (int i = 0; i < DECODE; i++) {
            assert_int_equal(ashlar_session_append(w.s[0], tokens + PROMPT + i, 1, NULL),
                             ASHLAR_OK);
            if (round == 1 && i % 3 == 0)
                assert_int_equal(ashlar_session_append(w.s[1], other + i, 1, NULL), ASHLAR_OK);
        }
        const float *logits = ashlar_session_logits(w.s[0]);
        if (round == 0) {
            first = malloc((size_t)w.n_vocab * sizeof *first);
            memcpy(first, logits, (size_t)w.n_vocab * sizeof *first);
        }
        assert_memory_equal(first, logits, (size_t)w.n_vocab * sizeof *first);
        if (round == 1) /* from the middle first */
            assert_int_equal(ashlar_session_rewind(w.s[0], PROMPT - 100, NULL), ASHLAR_OK);
        assert_int_equal(ashlar_session_rewind(w.s[0], 0, NULL), ASHLAR_OK);
    }
    free(first);
    world_close(&w);
}

/* Too few keys yet to fit an adapter to: exact, however short the passes; so for another session. */
static void short_passes_are_exact_until_an_adapter_is_fitted(void **state)
{
    (void)state;
    struct world swap, full;
    struct rng rng;
    int32_t tokens[1200];
    world_open(&full, "deep-llama-f16",
               options_for(2, 2, 1200, 40, (ashlar_kv_options){.policy = "full"}));
    world_open(&swap, "deep-llama-f16", options_for(2, 2, 1200, 40, small(NULL)));
    rng_seed(&rng, seed + 95);
    random_tokens(full.n_vocab, tokens, 1200, &rng);
    struct world *worlds[2] = {&swap, &full};
    for (int i = 0; i < 2; i++)
        for (int pass = 0; pass < 15; pass++) {
            static const size_t sizes[] = {40, 1, 6};
            for (int w = 0; w < 2; w++)
                assert_int_equal(ashlar_session_append(worlds[w]->s[i], tokens + 40 * pass,
                                                       sizes[pass % 3], NULL),
                                 ASHLAR_OK);
            assert_same_logits(&full, &swap, i, "before an adapter");
        }
    ashlar_kv_stats stats;
    ashlar_engine_kv_stats(swap.e, &stats);
    assert_true(stats.bytes_read > 0 && stats.hits + stats.misses == 0);
    assert_int_equal(ashlar_session_append(swap.s[0], tokens, 200, NULL), ASHLAR_OK);
    for (int i = 0; i < 2; i++) /* the first fits the adapter, the second has it from then on */
        assert_int_equal(ashlar_session_append(swap.s[i], tokens, 1, NULL), ASHLAR_OK);
    ashlar_engine_kv_stats(swap.e, &stats);
    assert_int_equal(stats.hits + stats.misses, 2 * 4 * 8);
    world_close(&swap);
    world_close(&full);
}

/* The recall meter: all of the attention while all is attended to, less later; the text does not
 * change. */
static void the_recall_is_measured(void **state)
{
    (void)state;
    struct world metered, plain;
    int32_t tokens[400];
    struct rng rng;
    ashlar_kv_recall before, after;
    ashlar_kv_options kv = small(NULL);
    world_open(&plain, "deep-llama-f16", options_for(2, 1, CTX, 512, kv));
    kv.check_every = 3;
    world_open(&metered, "deep-llama-f16", options_for(2, 1, CTX, 512, kv));
    rng_seed(&rng, seed + 85);
    random_tokens(plain.n_vocab, tokens, 400, &rng);
    struct world *worlds[2] = {&metered, &plain};
    for (int w = 0; w < 2; w++) {
        assert_int_equal(ashlar_session_append(worlds[w]->s[0], tokens, 300, NULL), ASHLAR_OK);
        assert_int_equal(ashlar_session_append(worlds[w]->s[0], tokens, 1, NULL), ASHLAR_OK);
        assert_int_equal(ashlar_session_rewind(worlds[w]->s[0], 50, NULL),
                         ASHLAR_OK); /* on disk, all selected */
    }
    for (int step = 0; step < 90; step++) {
        for (int w = 0; w < 2; w++) {
            size_t n = step == 20 ? 200 : 1;
            assert_int_equal(ashlar_session_append(worlds[w]->s[0], tokens + step, n, NULL),
                             ASHLAR_OK);
        }
        assert_same_logits(&plain, &metered, 0, "metered");
        if (step == 19)
            assert_true(ashlar_engine_kv_recall(metered.e, 3, &before));
    }
    assert_int_equal(before.steps, 7);
    assert_true(fabs(before.mean - 1) < 1e-5 && fabs(before.least - 1) < 1e-5);
    for (int layer = 0; layer < 4; layer++) {
        assert_true(ashlar_engine_kv_recall(metered.e, layer, &after));
        assert_true(after.steps > 20 && after.least > 0 && after.least < after.mean &&
                    after.mean < 1 - 1e-4);
    }
    assert_false(ashlar_engine_kv_recall(metered.e, 4, &after));
    assert_false(ashlar_engine_kv_recall(metered.e, -1, &after));
    assert_false(ashlar_engine_kv_recall(plain.e, 0, &after));
    world_close(&metered);
    world_close(&plain);
}

/* ---- budgets and names --------------------------------------------------------------------- */

static ashlar_status try_open(ashlar_options o, ashlar_kv_stats *stats, ashlar_memory *memory,
                              ashlar_error *err)
{
    ashlar_engine *e;
    ashlar_status status = ashlar_engine_open(model_path("deep-llama-f16"), &o, &e, err);
    if (status != ASHLAR_OK)
        return status;
    if (stats)
        ashlar_engine_kv_stats(e, stats);
    if (memory)
        *memory = ashlar_engine_info(e)->memory;
    ashlar_engine_close(e);
    return ASHLAR_OK;
}

/* The number of bytes in "... (N bytes)". */
static uint64_t hinted_bytes(const ashlar_error *err)
{
    const char *open = strrchr(err->hint, '(');
    assert_non_null(open);
    assert_non_null(strstr(open, "bytes)"));
    return strtoull(open + 1, NULL, 10);
}

static void too_small_a_budget_names_the_smallest(void **state)
{
    (void)state;
    static const char *const policies[] = {"kvswap", "stream", "full"};
    for (int p = 0; p < 3; p++) {
        ashlar_options o = options_for(
            1, 2, 8192, 64, (ashlar_kv_options){.policy = policies[p], .budget_bytes = 1000});
        ashlar_error err;
        ashlar_kv_stats stats;
        assert_int_equal(try_open(o, NULL, NULL, &err), ASHLAR_NO_RESOURCE);
        assert_non_null(strstr(err.message, "too small"));
        uint64_t least = hinted_bytes(&err);
        o.kv.budget_bytes = least - 1;
        assert_int_equal(try_open(o, NULL, NULL, &err), ASHLAR_NO_RESOURCE);
        assert_int_equal(hinted_bytes(&err), least);
        o.kv.budget_bytes = least;
        if (try_open(o, &stats, NULL, &err) != ASHLAR_OK)
            fail_msg("%s: %s", policies[p], err.message);
        assert_string_equal(stats.policy, policies[p]);
        assert_true(stats.resident_bytes <= least);
    }
}

/* An adapter's file, fitted to random tokens; in memory the fit would take what windows take. */
static void write_adapter(const char *model, const char *path)
{
    struct world w;
    struct rng rng;
    ashlar_calibration result;
    int32_t tokens[600];
    world_open(&w, model, options_for(2, 1, 2048, 256, (ashlar_kv_options){.policy = "full"}));
    rng_seed(&rng, seed + 95);
    random_tokens(w.n_vocab, tokens, 600, &rng);
    assert_int_equal(ashlar_calibration_begin(w.e, NULL), ASHLAR_OK);
    assert_int_equal(ashlar_session_append(w.s[0], tokens, 600, NULL), ASHLAR_OK);
    assert_int_equal(ashlar_calibration_write(w.e, path, 4, &result, NULL), ASHLAR_OK);
    world_close(&w);
}

/* A budget so small that the windows are short and lie in the slots: long passes stay exact. */
static void windows_in_the_slots(const char *type, const char *adapter)
{
    struct world swap, full;
    struct rng rng;
    struct limits limits = {120, 30, 2000};
    ashlar_error err;
    ashlar_options o = options_for(2, 2, 2048, 32, small(NULL));
    o.kv.type = type;
    o.kv.layer_ranks = "0,8,0,0";
    o.kv.adapter = adapter;
    o.kv.budget_bytes = 1000;
    assert_int_equal(try_open(o, NULL, NULL, &err), ASHLAR_NO_RESOURCE);
    o.kv.budget_bytes = hinted_bytes(&err);
    world_open(&swap, "deep-llama-f16", o);
    world_open(&full, "deep-llama-f16",
               options_for(2, 2, 2048, 32, (ashlar_kv_options){.policy = "full", .type = type}));
    ashlar_kv_stats stats;
    ashlar_engine_kv_stats(swap.e, &stats);
    assert_int_equal(stats.memory.windows, 0);
    rng_seed(&rng, seed + 96);
    struct step *s = malloc(sizeof *s);
    for (int i = 0; i < STEPS; i++) {
        *s = next_step(&rng, &limits, &full);
        take_step(&full, s);
        take_step(&swap, s);
    }
    free(s);
    int32_t tokens[1000];
    random_tokens(full.n_vocab, tokens, 1000, &rng);
    for (int i = 0; i < 2; i++) {
        struct world *worlds[2] = {&swap, &full};
        for (int w = 0; w < 2; w++) {
            assert_int_equal(ashlar_session_rewind(worlds[w]->s[i], 0, NULL), ASHLAR_OK);
            assert_int_equal(ashlar_session_append(worlds[w]->s[i], tokens, 900, NULL), ASHLAR_OK);
        }
        assert_same_logits(&full, &swap, i, "a prompt");
        for (int t = 0; t < 20; t++) /* the reuse buffer fills, and gives way to the next windows */
            assert_int_equal(ashlar_session_append(swap.s[i], tokens, 1, NULL), ASHLAR_OK);
        assert_int_equal(ashlar_session_rewind(swap.s[i], 850, NULL), ASHLAR_OK);
        assert_int_equal(ashlar_session_rewind(full.s[i], 850, NULL), ASHLAR_OK);
        for (int w = 0; w < 2; w++)
            assert_int_equal(ashlar_session_append(worlds[w]->s[i], tokens, 64, NULL), ASHLAR_OK);
        assert_same_logits(&full, &swap, i, "after a rewind");
    }
    world_close(&swap);
    world_close(&full);
}

static void windows_in_the_slots_are_exact(void **state)
{
    (void)state;
    char folder[4000], adapter[4096];
    make_folder(folder, sizeof folder);
    snprintf(adapter, sizeof adapter, "%s/adapter.gguf", folder);
    write_adapter("deep-llama-f16", adapter);
    windows_in_the_slots("f16", adapter);
    windows_in_the_slots("q8_0", adapter); /* groups that are no whole pages */
    unlink(adapter);
    rmdir(folder);
}

static void the_smallest_budget_works(void **state)
{
    (void)state;
    struct world w;
    struct rng rng;
    int32_t tokens[4096];
    ashlar_options o =
        options_for(2, 2, 2048, 64, (ashlar_kv_options){.policy = "kvswap", .budget_bytes = 1000});
    ashlar_error err;
    assert_int_equal(try_open(o, NULL, NULL, &err), ASHLAR_NO_RESOURCE);
    o.kv.budget_bytes = hinted_bytes(&err);
    world_open(&w, "deep-llama-f16", o);
    rng_seed(&rng, seed + 90);
    random_tokens(w.n_vocab, tokens, 4096, &rng);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ashlar_session_append(w.s[i], tokens, 2000, &err), ASHLAR_OK);
        for (int t = 0; t < 48; t++)
            assert_int_equal(ashlar_session_append(w.s[i], tokens + t, 1, &err), ASHLAR_OK);
    }
    assert_finite(&w);
    world_close(&w);
}

static void resident_bytes_stay_within_the_budget(void **state)
{
    (void)state;
    ashlar_options o =
        options_for(1, 3, 8192, 64, (ashlar_kv_options){.policy = "kvswap", .budget_bytes = 1000});
    ashlar_error err;
    assert_int_equal(try_open(o, NULL, NULL, &err), ASHLAR_NO_RESOURCE);
    uint64_t least = hinted_bytes(&err);
    int slots = 0;
    for (uint64_t budget = least; budget < 4 * least; budget += least / 3) {
        ashlar_kv_stats stats;
        ashlar_memory memory;
        o.kv.budget_bytes = budget;
        if (try_open(o, &stats, &memory, &err) != ASHLAR_OK)
            fail_msg("%s", err.message);
        assert_true(stats.resident_bytes <= budget);
        assert_true(memory.kv_bytes <= budget);
        if (strcmp(stats.policy, "kvswap") != 0)
            break; /* all of it fits */
        assert_int_equal(memory.kv_bytes, stats.resident_bytes);
        assert_true(stats.reuse_tokens >= slots && stats.reuse_tokens >= stats.select_tokens);
        slots = stats.reuse_tokens;
    }
    assert_true(slots > 0);
}

static void a_fraction_is_of_the_full_cache(void **state)
{
    (void)state;
    ashlar_kv_stats full, part;
    ashlar_options o = options_for(1, 1, 65536, 64, (ashlar_kv_options){.policy = "full"});
    assert_int_equal(try_open(o, &full, NULL, NULL), ASHLAR_OK);
    o.kv = (ashlar_kv_options){.policy = "kvswap", .budget_fraction = 0.25};
    assert_int_equal(try_open(o, &part, NULL, NULL), ASHLAR_OK);
    assert_true(part.resident_bytes <= full.resident_bytes / 4);
    assert_true(part.resident_bytes > full.resident_bytes / 5); /* it is used */
    o.kv.budget_fraction = 1.0;
    assert_int_equal(try_open(o, &part, NULL, NULL), ASHLAR_OK);
    assert_string_equal(part.policy, "full"); /* all fits: nothing else is as good */
}

static void policies_go_by_their_names(void **state)
{
    (void)state;
    static const char *const names[] = {"full", "stream", "kvswap"};
    ashlar_kv_stats stats;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(
            try_open(options_for(1, 1, 256, 64, (ashlar_kv_options){.policy = names[i]}), &stats,
                     NULL, NULL),
            ASHLAR_OK);
        assert_string_equal(stats.policy, names[i]);
    }
    assert_int_equal(try_open(options_for(1, 1, 256, 64, (ashlar_kv_options){.policy = "auto"}),
                              &stats, NULL, NULL),
                     ASHLAR_OK);
    assert_string_equal(stats.policy, "full");
    assert_int_equal(
        try_open(options_for(1, 1, 256, 64, (ashlar_kv_options){0}), &stats, NULL, NULL),
        ASHLAR_OK);
    assert_string_equal(stats.policy, "full");
    /* auto with a budget that everything does not fit */
    assert_int_equal(
        try_open(options_for(1, 1, 65536, 64, (ashlar_kv_options){.budget_fraction = 0.5}), &stats,
                 NULL, NULL),
        ASHLAR_OK);
    assert_string_equal(stats.policy, "kvswap");
}

static void settings_out_of_range_are_refused(void **state)
{
    (void)state;
    static const struct {
        ashlar_kv_options kv;
        const char *word;
    } wrong[] = {
        {{.policy = "fulll"}, "fulll"},
        {{.policy = ""}, "KV policy"},
        {{.policy = "kvswap", .type = "q2_k"}, "q2_k"},
        {{.policy = "kvswap", .io = "floppy"}, "floppy"},
        {{.policy = "kvswap", .group_tokens = 5}, "5 tokens"},
        {{.policy = "kvswap", .group_tokens = 128}, "128 tokens"},
        {{.policy = "kvswap", .group_tokens = -8}, "size"},
        {{.policy = "kvswap", .select_tokens = -1}, "size"},
        {{.policy = "kvswap", .reuse_tokens = -1}, "size"},
        {{.policy = "kvswap", .recent_tokens = -1}, "size"},
        {{.policy = "kvswap", .recent_tokens = 1 << 30}, "size"},
        {{.policy = "kvswap", .sigma = -2}, "size"},
        {{.policy = "kvswap", .sigma = 1 << 30}, "size"},
        {{.policy = "kvswap", .mass = 1.5f}, "mass"},
        {{.policy = "kvswap", .mass = -0.5f}, "mass"},
        {{.policy = "kvswap", .mass = NAN}, "mass"},
        {{.policy = "kvswap", .budget_fraction = 1.5}, "budget"},
        {{.policy = "kvswap", .budget_fraction = -0.1}, "budget"},
        {{.policy = "kvswap", .budget_fraction = NAN}, "budget"},
        {{.policy = "kvswap", .metadata = "int2"}, "metadata"},
        {{.policy = "kvswap", .rank = -1}, "size"},
        {{.policy = "kvswap", .layer_ranks = "8;8"}, "commas"},
        {{.policy = "kvswap", .layer_ranks = "8,"}, "missing"},
        {{.policy = "kvswap", .layer_ranks = ""}, "missing"},
        {{.policy = "kvswap", .layer_ranks = "99999999999999999999"}, "absurd"},
        {{.policy = "kvswap", .layer_ranks = "0"}, "no layer"},
        {{.policy = "kvswap", .scoring = "median"}, "scoring"},
        {{.policy = "kvswap", .io_latency = -1}, "latency"},
        {{.policy = "kvswap", .io_latency = INFINITY}, "latency"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ashlar_error err = {0};
        ashlar_status status = try_open(options_for(1, 1, 256, 64, wrong[i].kv), NULL, NULL, &err);
        if (status != ASHLAR_USAGE || !strstr(err.message, wrong[i].word))
            fail_msg("setting %zu: status %d, %s", i, (int)status, err.message);
    }
}

/* Settings beyond the context, the smallest context, many sessions: clamped, not refused. */
static void extreme_settings_work(void **state)
{
    (void)state;
    static const struct {
        int ctx, sessions, batch;
        ashlar_kv_options kv;
    } cases[] = {
        {1, 1, 1, {.policy = "kvswap"}},
        {5, 1, 1, {.policy = "stream"}},
        {64, 2, 1, {.policy = "kvswap", .group_tokens = 64, .recent_tokens = 1}},
        {200,
         2,
         3,
         {.policy = "kvswap", .group_tokens = 4, .select_tokens = 1, .recent_tokens = 1}},
        {200, 1, 512, {.policy = "kvswap", .select_tokens = 1 << 30, .reuse_tokens = 1 << 30}},
        {200, 1, 512, {.policy = "kvswap", .recent_tokens = 65536}},
        {200, 1, 64, {.policy = "kvswap", .sigma = 1024, .mass = 1e-6f, .select_tokens = 40}},
        {200, 1, 64, {.policy = "kvswap", .sigma = 1, .select_tokens = 40}},
        {200, 1, 64, {.policy = "kvswap", .metadata = "int4", .rank = 1, .select_tokens = 40}},
        {200, 1, 64, {.policy = "kvswap", .metadata = "int4", .rank = 1 << 20, .select_tokens = 40}},
        {200, 2, 64, {.policy = "kvswap", .metadata = "f16", .group_tokens = 4, .select_tokens = 8}},
        {200, 1, 3, {.policy = "kvswap", .layer_ranks = "0,1000,0", .select_tokens = 8}},
        {200, 2, 64, {.policy = "kvswap", .layer_ranks = "2,4,6,8,10,12", .scoring = "head"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world w;
        struct rng rng;
        int32_t tokens[256];
        ashlar_error err = {0};
        world_open(&w, "deep-llama-f16",
                   options_for(2, cases[i].sessions, cases[i].ctx, cases[i].batch, cases[i].kv));
        rng_seed(&rng, seed + 100);
        random_tokens(w.n_vocab, tokens, 256, &rng);
        size_t half = (size_t)cases[i].ctx / 2;
        if (half > 0 && ashlar_session_append(w.s[0], tokens, half, &err) != ASHLAR_OK)
            fail_msg("case %zu: %s", i, err.message);
        for (size_t t = half; t < (size_t)cases[i].ctx; t++)
            if (ashlar_session_append(w.s[0], tokens + t, 1, &err) != ASHLAR_OK)
                fail_msg("case %zu, token %zu: %s", i, t, err.message);
        assert_finite(&w);
        world_close(&w);
    }
}

static void a_folder_that_does_not_exist_is_reported(void **state)
{
    (void)state;
    struct world w;
    int32_t tokens[200] = {0};
    ashlar_error err;
    ashlar_kv_options kv = small(NULL);
    kv.folder = "/nonexistent/folder";
    world_open(&w, "deep-llama-f16", options_for(1, 1, CTX, 64, kv));
    assert_int_equal(ashlar_session_append(w.s[0], tokens, 60, &err),
                     ASHLAR_OK); /* fits in memory */
    assert_int_equal(ashlar_session_append(w.s[0], tokens, 200, &err), ASHLAR_FAILED);
    assert_int_equal(err.status, ASHLAR_FAILED);
    assert_non_null(strstr(err.message, "/nonexistent/folder"));
    assert_non_null(strstr(err.hint, "--kv-dir"));
    assert_true(ashlar_session_length(w.s[0]) >= 60);
    world_close(&w);
}

static void files_exist_only_while_sessions_need_them(void **state)
{
    (void)state;
    struct world w;
    int32_t tokens[300] = {0};
    ashlar_kv_stats stats;
    world_open(&w, "deep-llama-f16", options_for(1, 3, CTX, 512, small(NULL)));
    assert_int_equal(ashlar_session_append(w.s[0], tokens, 40, NULL), ASHLAR_OK);
    assert_int_equal(count_files(w.folder), 0); /* below the budget nothing touches the disk */
    assert_int_equal(ashlar_session_append(w.s[0], tokens, 300, NULL), ASHLAR_OK);
    assert_int_equal(ashlar_session_append(w.s[1], tokens, 300, NULL), ASHLAR_OK);
    assert_int_equal(count_files(w.folder), 2);
    ashlar_engine_kv_stats(w.e, &stats);
    uint64_t before = stats.disk_bytes;
    assert_int_equal(ashlar_session_rewind(w.s[0], 200, NULL), ASHLAR_OK);
    ashlar_engine_kv_stats(w.e, &stats);
    assert_true(stats.disk_bytes > before / 2 && stats.disk_bytes < before);
    assert_int_equal(ashlar_session_rewind(w.s[0], 0, NULL), ASHLAR_OK);
    assert_int_equal(count_files(w.folder), 1);
    ashlar_session_close(w.s[1]);
    assert_int_equal(count_files(w.folder), 0);
    ashlar_engine_kv_stats(w.e, &stats);
    assert_int_equal(stats.disk_bytes, 0);
    assert_int_equal(ashlar_session_open(w.e, &w.s[1], NULL), ASHLAR_OK);
    world_close(&w);
}

int main(void)
{
    const char *given = getenv("ASHLAR_TEST_SEED");
    seed = given ? strtoull(given, NULL, 10) : SEED;
    printf("seed %llu (ASHLAR_TEST_SEED sets another)\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stream_equals_full),
        cmocka_unit_test(kvswap_equals_full_while_it_fits),
        cmocka_unit_test(kvswap_equals_full_when_it_attends_to_all),
        cmocka_unit_test(other_element_types_are_exact_too),
        cmocka_unit_test(filled_contexts_are_the_same),
        cmocka_unit_test(streaming_long_contexts_is_exact),
        cmocka_unit_test(kvswap_runs_any_schedule),
        cmocka_unit_test(threads_and_io_do_not_change_a_bit),
        cmocka_unit_test(a_rewound_session_repeats_itself),
        cmocka_unit_test(short_passes_are_exact_until_an_adapter_is_fitted),
        cmocka_unit_test(windows_in_the_slots_are_exact),
        cmocka_unit_test(the_recall_is_measured),
        cmocka_unit_test(too_small_a_budget_names_the_smallest),
        cmocka_unit_test(the_smallest_budget_works),
        cmocka_unit_test(resident_bytes_stay_within_the_budget),
        cmocka_unit_test(a_fraction_is_of_the_full_cache),
        cmocka_unit_test(policies_go_by_their_names),
        cmocka_unit_test(settings_out_of_range_are_refused),
        cmocka_unit_test(extreme_settings_work),
        cmocka_unit_test(a_folder_that_does_not_exist_is_reported),
        cmocka_unit_test(files_exist_only_while_sessions_need_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
