/*
 * attention.c: cuts a layer's attention into units for the pool and merges partial results.
 *
 * Keys are attended in ranges of a fixed number, each leaving (maximum, sum, weighted values) per row.
 * Prefill: a unit is one KV head x up to ATTN_MAX_Q query tokens; it folds its ranges into the rows
 * of `out` in key order. Decode (at most SPLIT_MAX_Q query tokens): a unit is one range, so that one
 * sequence keeps several threads busy, and a second step merges the ranges in key order. The cut
 * depends on the item's shape only: not on the number of threads, nor on the windows that the keys
 * come in, and neither does the result.
 */
#include "kernels/attention.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum {
    SPLIT_MAX_Q = 4,   /* items with more query tokens have enough units without cutting keys */
    RANGE_KEYS = 256,  /* shortest range, a multiple of ATTN_BLOCK */
    RANGES_MAX = 64    /* longer contexts get longer ranges, so that partials stay small */
};

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

static int divide_up(int a, int b)
{
    return (int)(((int64_t)a + b - 1) / b);
}

int attention_range_keys(int n_keys)
{
    int per_range = divide_up(n_keys, RANGES_MAX);
    return per_range <= RANGE_KEYS ? RANGE_KEYS : divide_up(per_range, ATTN_BLOCK) * ATTN_BLOCK;
}

/* Key ranges of an item: 1 when each unit sees all its keys. */
static int range_count(int n_q, int n_keys)
{
    return n_q == 0 || n_q > SPLIT_MAX_Q ? 1 : divide_up(n_keys, attention_range_keys(n_keys));
}

static size_t round_up64(size_t n)
{
    return (n + 63) / 64 * 64;
}

/* Per thread: the kernel's scratch, then one unit's maxima, sums and accumulators. */
static size_t kernel_scratch(const struct kernels *kernels, int head_dim, int n_group,
                             int max_tokens)
{
    int most_q = min_int(max_tokens, ATTN_MAX_Q);
    size_t most = 0;
    for (int n_q = 1; n_q <= most_q; n_q++) {
        size_t need = kernels->attn_scratch_bytes(head_dim, n_group, n_q);
        most = need > most ? need : most;
    }
    return round_up64(most);
}

static size_t unit_floats(int n_q, int n_group, int head_dim)
{
    return (size_t)n_q * (size_t)n_group * (size_t)(head_dim + 2);
}

static size_t thread_scratch(const struct kernels *kernels, int n_group, int head_dim,
                             int max_tokens)
{
    int most_q = min_int(max_tokens, ATTN_MAX_Q);
    return kernel_scratch(kernels, head_dim, n_group, max_tokens) +
           round_up64(unit_floats(most_q, n_group, head_dim) * sizeof(float));
}

static size_t partial_floats(int n_head, int head_dim, int max_items, int max_tokens, int max_keys)
{
    int64_t tokens = (int64_t)max_items * SPLIT_MAX_Q;
    int split_tokens = tokens < max_tokens ? (int)tokens : max_tokens;
    int ranges = min_int(divide_up(max_keys, RANGE_KEYS), RANGES_MAX);
    return unit_floats(split_tokens, n_head, head_dim) * (size_t)ranges;
}

static size_t running_floats(int n_head, int max_tokens)
{
    return 2 * (size_t)max_tokens * (size_t)n_head;
}

size_t attention_bytes(const struct kernels *kernels, int n_threads, int n_head, int n_head_kv,
                       int head_dim, int max_items, int max_tokens, int max_keys)
{
    size_t scratch = thread_scratch(kernels, n_head / n_head_kv, head_dim, max_tokens);
    size_t partials = partial_floats(n_head, head_dim, max_items, max_tokens, max_keys);
    return arena_piece(scratch * (size_t)n_threads) + arena_piece(partials * sizeof(float)) +
           arena_piece(running_floats(n_head, max_tokens) * sizeof(float));
}

bool attention_init(struct attention *a, const struct kernels *kernels, struct pool *pool,
                    int n_head, int n_head_kv, int head_dim, enum tensor_type type, int max_items,
                    int max_tokens, int max_keys, struct arena *arena)
{
    *a = (struct attention){.kernels = kernels,
                            .pool = pool,
                            .n_head = n_head,
                            .n_head_kv = n_head_kv,
                            .head_dim = head_dim,
                            .type = type,
                            .max_items = max_items,
                            .max_tokens = max_tokens,
                            .max_keys = max_keys};
    a->kernel_bytes = kernel_scratch(kernels, head_dim, n_head / n_head_kv, max_tokens);
    a->scratch_bytes = thread_scratch(kernels, n_head / n_head_kv, head_dim, max_tokens);
    a->partials_floats = partial_floats(n_head, head_dim, max_items, max_tokens, max_keys);
    a->scratch = arena_take(arena, a->scratch_bytes * (size_t)pool_threads(pool));
    a->partials = arena_take(arena, a->partials_floats * sizeof(float));
    a->running = arena_take(arena, running_floats(n_head, max_tokens) * sizeof(float));
    return a->scratch && a->partials && a->running;
}

/* One call's items; units of an item are numbered head by head within a cut of queries or keys. */
struct work {
    const struct attention *a;
    const struct attention_item *items;
    int n_items, n_group;
    float scale;
};

/* One unit of an item: where its queries and keys lie. */
struct unit {
    const struct attention_item *item;
    int head; /* KV head */
    int first_q, n_q;
    int range, n_ranges;
    size_t first_row; /* the item's, in the batch */
    size_t partials;  /* offset of the item's partial results */
};

static int cut_count(const struct attention_item *item)
{
    int ranges = range_count(item->n_q, item->n_keys);
    return ranges > 1 ? ranges : divide_up(item->n_q, ATTN_MAX_Q);
}

static struct unit find_unit(const struct work *work, int chunk)
{
    const struct attention_item *item = work->items;
    int n_head_kv = work->a->n_head_kv;
    size_t partials = 0, first_row = 0;
    for (int n; chunk >= (n = cut_count(item) * n_head_kv); item++) {
        int ranges = range_count(item->n_q, item->n_keys);
        if (ranges > 1)
            partials += unit_floats(item->n_q, work->a->n_head, work->a->head_dim) * (size_t)ranges;
        chunk -= n;
        first_row += (size_t)item->n_q;
    }
    struct unit unit = {
        .item = item, .head = chunk % n_head_kv, .first_row = first_row, .partials = partials};
    int cuts = cut_count(item), cut = chunk / n_head_kv;
    unit.n_ranges = range_count(item->n_q, item->n_keys);
    if (unit.n_ranges > 1) {
        unit.range = cut;
        unit.n_q = item->n_q;
    } else { /* last queries first: they see most keys, and long units should not start last */
        unit.first_q = (cuts - 1 - cut) * ATTN_MAX_Q;
        unit.n_q = min_int(ATTN_MAX_Q, item->n_q - unit.first_q);
    }
    return unit;
}

/* A unit's maxima, then sums, then accumulators, at `at`. */
static float *unit_partials(const struct work *work, const struct unit *unit, int range)
{
    size_t floats = unit_floats(unit->n_q, work->n_group, work->a->head_dim);
    size_t index = (size_t)range * (size_t)work->a->n_head_kv + (size_t)unit->head;
    return work->a->partials + unit->partials + index * floats;
}

static float *out_row(const struct work *work, const struct unit *unit, int token, int group)
{
    size_t head = (size_t)unit->head * (size_t)work->n_group + (size_t)group;
    return unit->item->out + (size_t)(unit->first_q + token) * unit->item->out_stride +
           head * (size_t)work->a->head_dim;
}

/* Running maximum and sum of a row that folds ranges. */
static float *running_row(const struct work *work, const struct unit *unit, int token, int group)
{
    size_t row = unit->first_row + (size_t)unit->first_q + (size_t)token;
    size_t head = (size_t)unit->head * (size_t)work->n_group + (size_t)group;
    return work->a->running + 2 * (row * (size_t)work->a->n_head + head);
}

static bool last_window(const struct attention_item *item)
{
    return item->first_key + item->window_keys == item->n_keys;
}

/* Fold one range's results of a row into its running state; the row of `out` is the accumulator. */
static void fold_row(int head_dim, float max, float sum, const float *acc, float *running, float *out)
{
    if (sum <= 0.0f)
        return; /* saw no key */
    float most = fmaxf(running[0], max), keep = expf(running[0] - most), scale = expf(max - most);
    running[0] = most;
    running[1] = running[1] * keep + sum * scale;
    for (int j = 0; j < head_dim; j++)
        out[j] = out[j] * keep + acc[j] * scale;
}

static void fold_range(const struct work *work, const struct unit *unit, const struct attn_args *args)
{
    int head_dim = work->a->head_dim;
    for (int i = 0; i < unit->n_q * work->n_group; i++) {
        int token = i / work->n_group, group = i % work->n_group;
        fold_row(head_dim, args->max[i], args->sum[i], args->acc + (size_t)i * (size_t)head_dim,
                 running_row(work, unit, token, group), out_row(work, unit, token, group));
    }
}

static void start_rows(const struct work *work, const struct unit *unit)
{
    for (int i = 0; i < unit->n_q * work->n_group; i++) {
        float *running = running_row(work, unit, i / work->n_group, i % work->n_group);
        running[0] = -INFINITY;
        running[1] = 0.0f;
        memset(out_row(work, unit, i / work->n_group, i % work->n_group), 0,
               (size_t)work->a->head_dim * sizeof(float));
    }
}

static void finish_rows(const struct work *work, const struct unit *unit)
{
    for (int i = 0; i < unit->n_q * work->n_group; i++) {
        float *out = out_row(work, unit, i / work->n_group, i % work->n_group);
        float factor = 1.0f / running_row(work, unit, i / work->n_group, i % work->n_group)[1];
        for (int j = 0; j < work->a->head_dim; j++)
            out[j] *= factor;
    }
}

/* The kernel's arguments for one range of a unit; results go to `results`. */
static struct attn_args range_args(const struct work *work, const struct unit *unit, int range,
                                   float *results, void *scratch)
{
    const struct attention *a = work->a;
    const struct attention_item *item = unit->item;
    size_t rows = (size_t)unit->n_q * (size_t)work->n_group;
    int n_visible = item->n_keys - item->n_q + 1 + unit->first_q;
    int per_range = attention_range_keys(item->n_keys), begin = range * per_range;
    int end = min_int(min_int(begin + per_range, item->first_key + item->window_keys),
                      n_visible + unit->n_q - 1);
    return (struct attn_args){
        .type = a->type,
        .head_dim = a->head_dim,
        .n_group = work->n_group,
        .n_q = unit->n_q,
        .q = item->q + (size_t)unit->first_q * item->q_stride +
             (size_t)unit->head * (size_t)work->n_group * (size_t)a->head_dim,
        .q_stride = item->q_stride,
        .scale = work->scale,
        .spans = item->spans + (size_t)unit->head * (size_t)item->n_spans,
        .n_spans = item->n_spans,
        .key_begin = begin - item->first_key,
        .key_end = end - item->first_key,
        .n_visible = n_visible - item->first_key,
        .max = results,
        .sum = results + rows,
        .acc = results + 2 * rows,
        .scratch = scratch,
    };
}

/* Prefill: fold the window's ranges that the unit's queries can see. */
static void fold_window(const struct work *work, const struct unit *unit, unsigned char *scratch)
{
    const struct attention_item *item = unit->item;
    int per_range = attention_range_keys(item->n_keys);
    float *results = (float *)(void *)(scratch + work->a->kernel_bytes);
    if (item->first_key == 0)
        start_rows(work, unit);
    for (int range = item->first_key / per_range;; range++) {
        struct attn_args args = range_args(work, unit, range, results, scratch);
        if (args.key_begin >= args.key_end)
            break;
        work->a->kernels->attend(&args);
        fold_range(work, unit, &args);
    }
    if (last_window(item))
        finish_rows(work, unit);
}

static void attend_chunk(void *context, int chunk, int n_chunks, int thread)
{
    const struct work *work = context;
    (void)n_chunks;
    struct unit unit = find_unit(work, chunk);
    unsigned char *scratch = work->a->scratch + (size_t)thread * work->a->scratch_bytes;
    if (unit.item->window_keys == 0)
        return;
    if (unit.n_ranges == 1) {
        fold_window(work, &unit, scratch);
        return;
    }
    struct attn_args args = range_args(work, &unit, unit.range,
                                       unit_partials(work, &unit, unit.range), scratch);
    if (args.key_begin >= 0 && args.key_begin < args.key_end) /* in this window */
        work->a->kernels->attend(&args);
}

/* Merge one (query token, head) of all ranges, in key order, into its row of out. */
static void merge_row(const struct work *work, const struct unit *unit, int row)
{
    int head_dim = work->a->head_dim;
    size_t rows = (size_t)unit->n_q * (size_t)work->n_group;
    float *out = out_row(work, unit, row / work->n_group, row % work->n_group);
    float most = -INFINITY, sum = 0.0f;
    for (int r = 0; r < unit->n_ranges; r++)
        most = fmaxf(most, unit_partials(work, unit, r)[row]);
    memset(out, 0, (size_t)head_dim * sizeof(float));
    for (int r = 0; r < unit->n_ranges; r++) {
        const float *partial = unit_partials(work, unit, r);
        if (partial[rows + (size_t)row] <= 0.0f)
            continue; /* saw no key */
        float factor = expf(partial[row] - most);
        const float *acc = partial + 2 * rows + (size_t)row * (size_t)head_dim;
        sum += partial[rows + (size_t)row] * factor;
        for (int j = 0; j < head_dim; j++)
            out[j] += acc[j] * factor;
    }
    for (int j = 0; j < head_dim; j++)
        out[j] /= sum;
}

/* Chunk: one KV head of one item. */
static void merge_chunk(void *context, int chunk, int n_chunks, int thread)
{
    const struct work *work = context;
    (void)n_chunks;
    (void)thread;
    int head = chunk % work->a->n_head_kv, first = 0;
    const struct attention_item *item = work->items + chunk / work->a->n_head_kv;
    if (range_count(item->n_q, item->n_keys) == 1 || item->window_keys == 0 || !last_window(item))
        return;
    for (const struct attention_item *i = work->items; i < item; i++)
        first += cut_count(i) * work->a->n_head_kv;
    struct unit unit = find_unit(work, first + head);
    for (int row = 0; row < unit.n_q * work->n_group; row++)
        merge_row(work, &unit, row);
}

void attention_run(struct attention *a, const struct attention_item *items, int n_items)
{
    struct work work = {.a = a,
                        .items = items,
                        .n_items = n_items,
                        .n_group = a->n_head / a->n_head_kv,
                        .scale = 1.0f / sqrtf((float)a->head_dim)};
    int n_chunks = 0, n_tokens = 0;
    bool merge = false;
    for (int i = 0; i < n_items; i++) {
        assert(items[i].n_q <= items[i].n_keys && items[i].n_keys <= a->max_keys);
        n_chunks += cut_count(&items[i]) * a->n_head_kv;
        n_tokens += items[i].n_q;
        merge |= range_count(items[i].n_q, items[i].n_keys) > 1 && last_window(&items[i]);
    }
    assert(n_items <= a->max_items && n_tokens <= a->max_tokens);
    (void)n_tokens;
    pool_run(a->pool, n_chunks, attend_chunk, &work);
    if (merge)
        pool_run(a->pool, n_items * a->n_head_kv, merge_chunk, &work);
}
