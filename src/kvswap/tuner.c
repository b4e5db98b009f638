/*
 * tuner.c: the cost model of docs/tuner.md and the search over settings: few enough to try them
 * all. What fits a budget is asked of the same plan that an engine is opened with (swap_layout.c).
 */
#include "kvswap/tuner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "base/rng.h"
#include "kvswap/select.h"
#include "kvswap/swap.h"

enum {
    SCORE_RANK = 64,
    SCORE_TOKENS = 1 << 19, /* 32 MiB of rows: beyond the caches of most machines */
    SCORE_CHUNK = 1024,
    SCORE_GROUP = 8,
    SELECT_GROUPS = 4096,
    SELECT_BEST = 50,
    LEAST_SELECTED = 16, /* groups: a prediction that chooses fewer misses more of what matters */
    REPEATS = 5,
    HANDOFFS = 2000,
    PREDICT_HANDOFFS = 3 /* of a prediction: the query, its rotation, the scores */
};

/* Quality first: these are tried in order, and the first that fits the budget is taken. */
static const int sigmas[] = {8, 16, 32};
static const int select_tokens[] = {400, 256, 128};
static const int groups[] = {4, 8, 16, 32, 64};
enum { N_SIGMAS = 3, N_SELECTS = 3, N_GROUPS = 5 };

static const double NEARLY = 1.05; /* settings within this of the fastest count as equally fast */

/* ---- what prediction costs ------------------------------------------------------------------ */

struct score_bench {
    const struct kernels *kernels;
    uint8_t *rows;
    uint16_t *scales;
    float *scores;
};

static void score_chunk(void *context, int chunk, int n_chunks, int thread)
{
    (void)n_chunks, (void)thread;
    const struct score_bench *b = context;
    static const int8_t query[SCORE_RANK] = {1};
    size_t first = (size_t)chunk * SCORE_CHUNK;
    size_t group = first / SCORE_GROUP;
    struct score_args args = {
        SCORE_CHUNK / SCORE_GROUP, SCORE_GROUP, SCORE_RANK, b->rows + first * SCORE_RANK,
        b->scales + group,         query,       1,          1.0f,
        b->scores + group};
    b->kernels->score[SCORE_INT8](&args);
}

static double time_score(struct score_bench *b, struct pool *pool)
{
    double best = INFINITY;
    for (int i = 0; i < REPEATS; i++) {
        double start = os_time_seconds();
        pool_run(pool, SCORE_TOKENS / SCORE_CHUNK, score_chunk, b);
        best = fmin(best, os_time_seconds() - start);
    }
    return best / ((double)SCORE_TOKENS * SCORE_RANK);
}

static void no_work(void *context, int chunk, int n_chunks, int thread)
{
    (void)context, (void)chunk, (void)n_chunks, (void)thread;
}

static double time_handoff(struct pool *pool)
{
    double start = os_time_seconds();
    for (int i = 0; i < HANDOFFS; i++)
        pool_run(pool, pool_threads(pool), no_work, NULL);
    return (os_time_seconds() - start) / HANDOFFS;
}

static double time_select(float *scores)
{
    int order[SELECT_GROUPS], chosen[SELECT_BEST];
    struct rng rng;
    double best = INFINITY;
    rng_seed(&rng, 1);
    for (int i = 0; i < REPEATS; i++) {
        for (int g = 0; g < SELECT_GROUPS; g++)
            scores[g] = rng_normal(&rng);
        double start = os_time_seconds();
        select_groups(scores, SELECT_GROUPS, 1, SELECT_BEST, SELECT_BEST / 4, 1.0f, order, chosen);
        best = fmin(best, os_time_seconds() - start);
    }
    return best / SELECT_GROUPS;
}

ashlar_status tune_measure_prediction(const struct kernels *kernels, struct pool *pool,
                                      struct tune_costs *costs, ashlar_error *err)
{
    size_t n_groups = SCORE_TOKENS / SCORE_GROUP;
    size_t scores = (size_t)SELECT_GROUPS > n_groups ? (size_t)SELECT_GROUPS : n_groups;
    size_t bytes = (size_t)SCORE_TOKENS * SCORE_RANK + n_groups * 2 + scores * sizeof(float);
    unsigned char *pages = mem_pages(bytes);
    if (!pages)
        return error_memory(err, bytes, "the measurement");
    memset(pages, 0, bytes); /* untouched pages would all be one page of zeros */
    struct score_bench b = {.kernels = kernels, .rows = pages};
    b.scales = (uint16_t *)(void *)(pages + (size_t)SCORE_TOKENS * SCORE_RANK);
    b.scores = (float *)(void *)(b.scales + n_groups);
    costs->score_seconds = time_score(&b, pool);
    costs->select_seconds = time_select(b.scores);
    costs->handoff_seconds = time_handoff(pool);
    mem_pages_free(pages, bytes);
    return ASHLAR_OK;
}

/* ---- the cost of a setting ------------------------------------------------------------------ */

double tune_hit_share(double base, int select, int reuse, int n_groups)
{
    if (reuse >= n_groups)
        return 1.0;
    double beyond = n_groups > select ? (double)(reuse - select) / (n_groups - select) : 1.0;
    return 1.0 - (1.0 - base) * sqrt((double)select / reuse) * (1.0 - beyond);
}

static struct tune_choice estimate(const struct kv_config *c, const struct swap_plan *p,
                                   const struct tune_costs *costs, const struct tune_device *d,
                                   double base_hits)
{
    int group = p->shape.group_tokens, n_layer = c->n_layer;
    double batch = c->max_items, tokens = (double)p->shape.max_groups * group;
    struct tune_choice x = {.type = c->type,
                            .group_tokens = group,
                            .select_tokens = p->select_groups * group,
                            .reuse_tokens = p->reuse_groups * group,
                            .rank = p->rank,
                            .metadata = lowrank_type_name(p->metadata),
                            .bytes = p->bytes};
    x.hit_share = tune_hit_share(base_hits, p->select_groups, p->reuse_groups, p->shape.max_groups);
    x.misses = batch * p->select_groups * (1.0 - x.hit_share);
    x.io_seconds = tune_io_seconds(d, store_group_bytes(&p->shape), x.misses);
    double attended = (double)x.select_tokens + p->recent_tokens + group;
    x.compute_seconds = costs->layer_seconds + batch * attended * costs->attend_seconds[c->type];
    x.predict_seconds =
        costs->query_seconds + PREDICT_HANDOFFS * costs->handoff_seconds +
        x.misses * d->submit_seconds +
        batch * (tokens * (double)score_row_bytes(p->metadata, p->rank) * costs->score_seconds +
                 p->shape.max_groups * costs->select_seconds);
    /* The reads of layers 0 and 1 are waited for; the others' overlap the layer before. */
    int waited = n_layer < 2 ? n_layer : 2;
    x.step_seconds = costs->other_seconds + n_layer * (x.predict_seconds + x.compute_seconds) +
                     waited * x.io_seconds +
                     (n_layer - waited) * fmax(0.0, x.io_seconds - x.compute_seconds);
    return x;
}

int tune_types(const struct kv_config *c, enum tensor_type *types)
{
    types[0] = c->type;
    types[1] = TENSOR_Q8_0;
    return c->options->type || tensor_row_bytes(TENSOR_Q8_0, c->head_dim) == 0 ? 1 : 2;
}

/* Candidates of one KV type, sigma and selection, one for each group size that fits. */
static int try_groups(const struct kv_config *c, enum tensor_type type, int sigma, int select,
                      const struct tune_costs *costs, const struct tune_device *d, double base_hits,
                      struct tune_choice *out, ashlar_error *err)
{
    ashlar_kv_options o = *c->options;
    struct kv_config config = *c;
    struct swap_plan plan;
    int n = 0;
    config.options = &o;
    config.type = type;
    o.sigma = sigma;
    o.select_tokens = select;
    for (int i = 0; i < N_GROUPS; i++) {
        o.group_tokens = c->options->group_tokens ? c->options->group_tokens : groups[i];
        bool coarse = !c->options->group_tokens && n > 0 && groups[i] * LEAST_SELECTED > select;
        if (!coarse && swap_plan_make(&config, true, &plan, err) == ASHLAR_OK) {
            out[n] = estimate(&config, &plan, costs, d, base_hits);
            out[n++].sigma = sigma;
        }
        if (c->options->group_tokens)
            break;
    }
    return n;
}

/* Of all KV types. */
static int try_types(const struct kv_config *c, int sigma, int select,
                     const struct tune_costs *costs, const struct tune_device *d, double base_hits,
                     struct tune_choice *out, ashlar_error *err)
{
    enum tensor_type types[2];
    int n = 0, n_types = tune_types(c, types);
    for (int i = 0; i < n_types; i++)
        n += try_groups(c, types[i], sigma, select, costs, d, base_hits, out + n, err);
    return n;
}

/*
 * Fastest first; among the nearly fastest, the smallest groups, which choose most precisely, and of
 * these the first type, which keeps what was computed.
 */
static void order(struct tune_choice *x, int n)
{
    double best = INFINITY;
    int chosen = -1;
    for (int i = 0; i < n; i++)
        best = fmin(best, x[i].step_seconds);
    for (int i = 0; i < n; i++)
        if (x[i].step_seconds <= NEARLY * best &&
            (chosen < 0 || x[i].group_tokens < x[chosen].group_tokens))
            chosen = i;
    struct tune_choice first = x[chosen];
    memmove(x + 1, x, (size_t)chosen * sizeof *x);
    x[0] = first;
}

ashlar_status tune_choose(const struct kv_config *c, const struct tune_costs *costs,
                          const struct tune_device *d, double base_hits,
                          struct tune_choice *candidates, int *n, ashlar_error *err)
{
    const ashlar_kv_options *o = c->options;
    ashlar_error last = {0};
    *n = 0;
    for (int m = 0; m < N_SELECTS && *n == 0; m++) {
        for (int s = 0; s < N_SIGMAS && *n == 0; s++) {
            *n = try_types(c, o->sigma ? o->sigma : sigmas[s],
                           o->select_tokens ? o->select_tokens : select_tokens[m], costs, d,
                           base_hits, candidates, &last);
            if (o->sigma)
                break;
        }
        if (o->select_tokens)
            break;
    }
    if (*n == 0) {
        if (err)
            *err = last;
        return last.status;
    }
    order(candidates, *n);
    return ASHLAR_OK;
}
