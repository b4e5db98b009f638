/*
 * attention.c: cuts a layer's attention into units for the pool and merges partial results.
 *
 * Attending to some keys leaves (maximum, sum, weighted values) per row. Prefill: a unit is one KV
 * head x up to ATTN_MAX_Q query tokens x all keys; between the windows that the keys come in, `out`
 * and `running` hold its state. Decode (at most SPLIT_MAX_Q query tokens): a unit is one range of
 * keys, so that one sequence keeps several threads busy, and a second step merges the ranges in key
 * order. The cut
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
    SHARED_PRODUCTS = 1024, /* with fewer, a step is over before another thread has joined */
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
    return per_range <= RANGE_KEYS ? RANGE_KEYS : divide_up(per_range, ATTN_RESUME) * ATTN_RESUME;
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

/* The kernel's scratch for any number of query tokens. */
static size_t kernel_scratch(const struct kernels *kernels, const struct attention_shape *shape)
{
    int most_q = min_int(shape->max_tokens, ATTN_MAX_Q);
    size_t most = 0;
    for (int n_q = 1; n_q <= most_q; n_q++) {
        size_t need =
            kernels->attn_scratch_bytes(shape->head_dim, shape->n_head / shape->n_head_kv, n_q);
        most = need > most ? need : most;
    }
    return round_up64(most);
}

/* One range's keys and values in F16; none when they are F16 already. */
static size_t converted_bytes(const struct attention_shape *shape)
{
    size_t keys = shape->type == TENSOR_F16 ? 0 : (size_t)attention_range_keys(shape->max_keys);
    return round_up64(2 * keys * (size_t)shape->head_dim * sizeof(uint16_t));
}

static size_t unit_floats(int n_q, int n_group, int head_dim)
{
    return (size_t)n_q * (size_t)n_group * (size_t)(head_dim + 2);
}

/* Per thread: kernel's scratch, converted range, one unit's results. */
static size_t thread_scratch(const struct kernels *kernels, const struct attention_shape *shape)
{
    int most_q = min_int(shape->max_tokens, ATTN_MAX_Q);
    size_t results = unit_floats(most_q, shape->n_head / shape->n_head_kv, shape->head_dim);
    return kernel_scratch(kernels, shape) + converted_bytes(shape) +
           round_up64(results * sizeof(float));
}

static size_t partials_bytes(const struct attention_shape *shape)
{
    int64_t tokens = (int64_t)shape->max_items * SPLIT_MAX_Q;
    int split_tokens = tokens < shape->max_tokens ? (int)tokens : shape->max_tokens;
    int ranges = min_int(divide_up(shape->max_keys, RANGE_KEYS), RANGES_MAX);
    return unit_floats(split_tokens, shape->n_head, shape->head_dim) * (size_t)ranges *
           sizeof(float);
}

static size_t running_bytes(const struct attention_shape *shape)
{
    return 2 * (size_t)shape->max_tokens * (size_t)shape->n_head * sizeof(float);
}

size_t attention_bytes(const struct kernels *kernels, int n_threads,
                       const struct attention_shape *shape)
{
    return arena_piece(thread_scratch(kernels, shape) * (size_t)n_threads) +
           arena_piece(partials_bytes(shape)) + arena_piece(running_bytes(shape));
}

bool attention_init(struct attention *a, const struct kernels *kernels, struct pool *pool,
                    const struct attention_shape *shape, struct arena *arena)
{
    *a = (struct attention){.kernels = kernels, .pool = pool, .shape = *shape};
    a->kernel_bytes = kernel_scratch(kernels, shape);
    a->converted_bytes = converted_bytes(shape);
    a->scratch_bytes = thread_scratch(kernels, shape);
    a->scratch = arena_take(arena, a->scratch_bytes * (size_t)pool_threads(pool));
    a->partials = arena_take(arena, partials_bytes(shape));
    a->running = arena_take(arena, running_bytes(shape));
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
    int n_head_kv = work->a->shape.n_head_kv;
    size_t partials = 0, first_row = 0;
    for (int n; chunk >= (n = cut_count(item) * n_head_kv); item++) {
        int ranges = range_count(item->n_q, item->n_keys);
        if (ranges > 1)
            partials += (size_t)ranges * unit_floats(item->n_q, work->a->shape.n_head,
                                                     work->a->shape.head_dim);
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
    size_t floats = unit_floats(unit->n_q, work->n_group, work->a->shape.head_dim);
    size_t index = (size_t)range * (size_t)work->a->shape.n_head_kv + (size_t)unit->head;
    return work->a->partials + unit->partials + index * floats;
}

static float *out_row(const struct work *work, const struct unit *unit, int token, int group)
{
    size_t head = (size_t)unit->head * (size_t)work->n_group + (size_t)group;
    return unit->item->out + (size_t)(unit->first_q + token) * unit->item->out_stride +
           head * (size_t)work->a->shape.head_dim;
}

/* Running maximum and sum of a row that folds ranges. */
static float *running_row(const struct work *work, const struct unit *unit, int token, int group)
{
    size_t row = unit->first_row + (size_t)unit->first_q + (size_t)token;
    size_t head = (size_t)unit->head * (size_t)work->n_group + (size_t)group;
    return work->a->running + 2 * (row * (size_t)work->a->shape.n_head + head);
}

static bool last_window(const struct attention_item *item)
{
    return item->first_key + item->window_keys == item->n_keys;
}

/* What a unit knows after a window: maxima and sums in `running`, accumulators in `out`. */
static void save_rows(const struct work *work, const struct unit *unit,
                      const struct attn_args *args)
{
    size_t dim = (size_t)work->a->shape.head_dim;
    for (int i = 0; i < unit->n_q * work->n_group; i++) {
        float *running = running_row(work, unit, i / work->n_group, i % work->n_group);
        running[0] = args->max[i];
        running[1] = args->sum[i];
        memcpy(out_row(work, unit, i / work->n_group, i % work->n_group),
               args->acc + (size_t)i * dim, dim * sizeof(float));
    }
}

static void load_rows(const struct work *work, const struct unit *unit,
                      const struct attn_args *args)
{
    size_t dim = (size_t)work->a->shape.head_dim;
    for (int i = 0; i < unit->n_q * work->n_group; i++) {
        const float *running = running_row(work, unit, i / work->n_group, i % work->n_group);
        args->max[i] = running[0];
        args->sum[i] = running[1];
        memcpy(args->acc + (size_t)i * dim,
               out_row(work, unit, i / work->n_group, i % work->n_group), dim * sizeof(float));
    }
}

static void finish_rows(const struct work *work, const struct unit *unit,
                        const struct attn_args *args)
{
    int dim = work->a->shape.head_dim;
    for (int i = 0; i < unit->n_q * work->n_group; i++) {
        float *out = out_row(work, unit, i / work->n_group, i % work->n_group);
        const float *acc = args->acc + (size_t)i * (size_t)dim;
        float factor = 1.0f / args->sum[i];
        for (int j = 0; j < dim; j++)
            out[j] = acc[j] * factor;
    }
}

/* The kernel's arguments for keys [begin, end) of a unit, less what is not in this window or not
 * seen; results go to `results`. */
static struct attn_args unit_args(const struct work *work, const struct unit *unit, int begin,
                                  int end, float *results, void *scratch)
{
    const struct attention *a = work->a;
    const struct attention_item *item = unit->item;
    size_t rows = (size_t)unit->n_q * (size_t)work->n_group;
    int n_visible = item->n_keys - item->n_q + 1 + unit->first_q;
    end = min_int(min_int(end, item->first_key + item->window_keys), n_visible + unit->n_q - 1);
    return (struct attn_args){
        .type = TENSOR_F16,
        .head_dim = a->shape.head_dim,
        .n_group = work->n_group,
        .n_q = unit->n_q,
        .q = item->q + (size_t)unit->first_q * item->q_stride +
             (size_t)unit->head * (size_t)work->n_group * (size_t)a->shape.head_dim,
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

/* Where key `key` of the spans is: its span, and its row in it. */
static const struct kv_span *find_key(const struct kv_span *span, int *key)
{
    for (; *key >= span->n; span++)
        *key -= span->n;
    return span;
}

/* Rows of a run of one span to F16. */
static void convert_rows(const struct attention *a, const void *rows, int n, uint16_t *out)
{
    float row[512]; /* the longest head (model_params.c) */
    int dim = a->shape.head_dim;
    size_t row_bytes = tensor_row_bytes(a->shape.type, dim);
    for (int i = 0; i < n; i++, out += dim) {
        a->kernels->dequantize(a->shape.type, dim, (const char *)rows + (size_t)i * row_bytes, row);
        a->kernels->to_f16(dim, row, out);
    }
}

/* The keys of the arguments' range as one span in F16, in scratch, to which the arguments then
 * refer. */
static void convert_range(const struct attention *a, struct attn_args *args,
                          struct kv_span *converted, unsigned char *scratch)
{
    int n = args->key_end - args->key_begin, key = args->key_begin;
    size_t dim = (size_t)a->shape.head_dim, row_bytes = tensor_row_bytes(a->shape.type, (int)dim);
    uint16_t *k = (uint16_t *)(void *)(scratch + a->kernel_bytes), *v = k + (size_t)n * dim;
    *converted = (struct kv_span){k, v, n};
    const struct kv_span *span = find_key(args->spans, &key);
    for (int done = 0; done < n; span++, key = 0) {
        int run = min_int(span->n - key, n - done);
        size_t from = (size_t)key * row_bytes;
        convert_rows(a, (const char *)span->k + from, run, k + (size_t)done * dim);
        convert_rows(a, (const char *)span->v + from, run, v + (size_t)done * dim);
        done += run;
    }
    args->n_visible -= args->key_begin;
    args->key_begin = 0;
    args->key_end = n;
    args->spans = converted;
    args->n_spans = 1;
}

static void attend_range(const struct attention *a, struct attn_args *args, unsigned char *scratch)
{
    struct kv_span converted;
    if (a->shape.type != TENSOR_F16)
        convert_range(a, args, &converted, scratch);
    a->kernels->attend(args);
}

/* Prefill: take the window's keys into the rows. */
static void take_window(const struct work *work, const struct unit *unit, unsigned char *scratch)
{
    const struct attention_item *item = unit->item;
    bool converts = work->a->shape.type != TENSOR_F16;
    int window_end = item->first_key + item->window_keys;
    int per_call = converts ? attention_range_keys(item->n_keys) : item->window_keys;
    float *results = (float *)(void *)(scratch + work->a->kernel_bytes + work->a->converted_bytes);
    struct attn_args args = unit_args(work, unit, 0, 0, results, scratch);
    if (item->first_key > 0)
        load_rows(work, unit, &args);
    for (int begin = item->first_key; begin < window_end; begin += per_call) {
        args = unit_args(work, unit, begin, begin + per_call, results, scratch);
        args.resume = begin > 0;
        if (args.key_begin >= args.key_end)
            break;
        attend_range(work->a, &args, scratch);
    }
    if (last_window(item))
        finish_rows(work, unit, &args);
    else
        save_rows(work, unit, &args);
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
        take_window(work, &unit, scratch);
        return;
    }
    int per_range = attention_range_keys(unit.item->n_keys), first = unit.range * per_range;
    int begin = first > unit.item->first_key ? first : unit.item->first_key;
    struct attn_args args = unit_args(work, &unit, begin, first + per_range,
                                      unit_partials(work, &unit, unit.range), scratch);
    args.resume = begin > first; /* an earlier window held the range's first keys */
    if (args.key_begin < args.key_end) /* in this window */
        attend_range(work->a, &args, scratch);
}

/* Merge one (query token, head) of all ranges, in key order, into its row of out. */
static void merge_row(const struct work *work, const struct unit *unit, int row)
{
    int head_dim = work->a->shape.head_dim;
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
    int head = chunk % work->a->shape.n_head_kv, first = 0;
    const struct attention_item *item = work->items + chunk / work->a->shape.n_head_kv;
    if (range_count(item->n_q, item->n_keys) == 1 || item->window_keys == 0 || !last_window(item))
        return;
    for (const struct attention_item *i = work->items; i < item; i++)
        first += cut_count(i) * work->a->shape.n_head_kv;
    struct unit unit = find_unit(work, first + head);
    for (int row = 0; row < unit.n_q * work->n_group; row++)
        merge_row(work, &unit, row);
}

void attention_run(struct attention *a, const struct attention_item *items, int n_items)
{
    struct work work = {.a = a,
                        .items = items,
                        .n_items = n_items,
                        .n_group = a->shape.n_head / a->shape.n_head_kv,
                        .scale = 1.0f / sqrtf((float)a->shape.head_dim)};
    int n_chunks = 0, n_tokens = 0;
    int64_t n_products = 0; /* of queries and keys */
    bool merge = false;
    for (int i = 0; i < n_items; i++) {
        assert(items[i].n_q <= items[i].n_keys && items[i].n_keys <= a->shape.max_keys);
        n_chunks += cut_count(&items[i]) * a->shape.n_head_kv;
        n_tokens += items[i].n_q;
        n_products += (int64_t)items[i].n_q * items[i].window_keys * a->shape.n_head;
        merge |= range_count(items[i].n_q, items[i].n_keys) > 1 && last_window(&items[i]);
    }
    assert(n_items <= a->shape.max_items && n_tokens <= a->shape.max_tokens);
    (void)n_tokens;
    void (*run)(struct pool *, int, pool_fn, void *) =
        n_products < SHARED_PRODUCTS ? pool_run_alone : pool_run;
    run(a->pool, n_chunks, attend_chunk, &work);
    if (merge)
        run(a->pool, n_items * a->shape.n_head_kv, merge_chunk, &work);
}
