/*
 * test_attention.c: attention of batches over the pool, with every table of this machine, against
 * softmax in double; what the cut into units, the merge and thread counts could get wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "kernels/attention.h"
#include "model/quantize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SEED = 11, ITEMS_MAX = 6, GAP = 5 };

#define UNTOUCHED 77.0f

/* The shape of one item. */
struct shape {
    int n_q, n_keys;
};

/* A batch: queries, caches cut into spans, outputs. */
struct batch {
    int n_head, n_head_kv, head_dim, n_items, max_tokens, max_keys;
    struct attention_item items[ITEMS_MAX];
    uint16_t *k[ITEMS_MAX], *v[ITEMS_MAX]; /* (head, key, head_dim) */
    struct kv_span *spans[ITEMS_MAX];
    float *q[ITEMS_MAX], *out[ITEMS_MAX];
};

static void *must(void *p)
{
    assert_non_null(p);
    return p;
}

static uint16_t *random_halves(struct rng *rng, size_t n)
{
    uint16_t *x = must(malloc(n * sizeof *x));
    for (size_t i = 0; i < n; i++)
        x[i] = quantize_f16(rng_normal(rng));
    return x;
}

static void add_item(struct batch *b, struct rng *rng, struct shape shape)
{
    int i = b->n_items++, n_spans = 1 + shape.n_keys / 200;
    struct attention_item *item = &b->items[i];
    size_t dim = (size_t)b->head_dim, n_keys = (size_t)shape.n_keys;
    size_t stride = (size_t)b->n_head * dim + GAP;
    size_t elements = (size_t)b->n_head_kv * n_keys * dim;
    b->k[i] = random_halves(rng, elements);
    b->v[i] = random_halves(rng, elements);
    b->spans[i] = must(calloc((size_t)(b->n_head_kv * n_spans), sizeof *b->spans[i]));
    for (int h = 0; h < b->n_head_kv; h++)
        for (int s = 0; s < n_spans; s++) {
            size_t from = (size_t)(s * 200), at = ((size_t)h * n_keys + from) * dim;
            int n = s == n_spans - 1 ? shape.n_keys - s * 200 : 200;
            b->spans[i][h * n_spans + s] = (struct kv_span){b->k[i] + at, b->v[i] + at, n};
        }
    b->q[i] = must(malloc((size_t)shape.n_q * stride * sizeof(float)));
    b->out[i] = must(malloc((size_t)shape.n_q * stride * sizeof(float)));
    for (size_t j = 0; j < (size_t)shape.n_q * stride; j++)
        b->q[i][j] = 1.5f * rng_normal(rng);
    *item = (struct attention_item){shape.n_q,   b->q[i], stride,       b->out[i], stride,
                                    b->spans[i], n_spans, shape.n_keys, 0,         shape.n_keys};
    b->max_tokens += shape.n_q;
    b->max_keys = shape.n_keys > b->max_keys ? shape.n_keys : b->max_keys;
}

static void batch_init(struct batch *b, int n_head, int n_head_kv, int head_dim,
                       const struct shape *shapes)
{
    struct rng rng;
    rng_seed(&rng, SEED);
    *b = (struct batch){.n_head = n_head, .n_head_kv = n_head_kv, .head_dim = head_dim};
    for (; shapes->n_keys; shapes++)
        add_item(b, &rng, *shapes);
}

static void batch_free(struct batch *b)
{
    for (int i = 0; i < b->n_items; i++) {
        free(b->k[i]);
        free(b->v[i]);
        free(b->spans[i]);
        free(b->q[i]);
        free(b->out[i]);
    }
}

/* One item's spans cut to keys [first, end) of every head. */
static int cut_spans(const struct batch *b, const struct attention_item *item, int first, int end,
                     struct kv_span *out)
{
    int n_spans = 0;
    for (int h = 0; h < b->n_head_kv; h++) {
        int at = 0, n = 0;
        for (int s = 0; s < item->n_spans; s++) {
            struct kv_span span = item->spans[h * item->n_spans + s];
            int from = first > at ? first - at : 0, to = end - at < span.n ? end - at : span.n;
            at += span.n;
            if (from >= to)
                continue;
            size_t skip = (size_t)from * (size_t)b->head_dim;
            out[h * item->n_spans + n++] = (struct kv_span){(const uint16_t *)span.k + skip,
                                                            (const uint16_t *)span.v + skip,
                                                            to - from};
        }
        n_spans = n;
    }
    for (int h = 1; h < b->n_head_kv; h++)
        memmove(out + h * n_spans, out + h * item->n_spans, (size_t)n_spans * sizeof *out);
    return n_spans;
}

/* In windows of `length` keys; items that have ended wait. */
static void run_windows(const struct batch *b, struct attention *attention, int length)
{
    struct attention_item items[ITEMS_MAX];
    struct kv_span *spans[ITEMS_MAX];
    bool more = true;
    for (int i = 0; i < b->n_items; i++)
        spans[i] = must(malloc((size_t)(b->n_head_kv * b->items[i].n_spans) * sizeof *spans[i]));
    for (int window = 0; more; window++) {
        more = false;
        for (int i = 0; i < b->n_items; i++) {
            int n_keys = b->items[i].n_keys, first = window * length;
            int end = first + length < n_keys ? first + length : n_keys;
            items[i] = b->items[i];
            items[i].first_key = first;
            items[i].window_keys = first < n_keys ? end - first : 0;
            items[i].spans = spans[i];
            if (first < n_keys)
                items[i].n_spans = cut_spans(b, &b->items[i], first, end, spans[i]);
            more |= end < n_keys && first < n_keys;
        }
        attention_run(attention, items, b->n_items);
    }
    for (int i = 0; i < b->n_items; i++)
        free(spans[i]);
}

/* `length` keys in a window; 0: all keys at once. */
static void batch_run(struct batch *b, const struct kernels *kernels, int n_threads, int length)
{
    struct pool *pool;
    struct arena arena;
    struct attention attention;
    for (int i = 0; i < b->n_items; i++)
        for (size_t j = 0; j < (size_t)b->items[i].n_q * b->items[i].out_stride; j++)
            b->out[i][j] = UNTOUCHED;
    assert_int_equal(pool_new(n_threads, &pool, NULL), ASHLAR_OK);
    struct attention_shape shape = {b->n_head,  b->n_head_kv,  b->head_dim, TENSOR_F16,
                                    b->n_items, b->max_tokens, b->max_keys};
    assert_true(arena_init(&arena, attention_bytes(kernels, n_threads, &shape)));
    assert_true(attention_init(&attention, kernels, pool, &shape, &arena));
    if (length)
        run_windows(b, &attention, length);
    else
        attention_run(&attention, b->items, b->n_items);
    arena_fini(&arena);
    pool_free(pool);
}

static double half(uint16_t bits)
{
    float f;
    kernels_scalar()->dequantize(TENSOR_F16, 1, &bits, &f);
    return (double)f;
}

/* One head of one token, in double. */
static void reference(const struct batch *b, int item, int token, int head, double *want)
{
    const struct attention_item *it = &b->items[item];
    int dim = b->head_dim, seen = it->n_keys - it->n_q + 1 + token;
    size_t first = (size_t)(head / (b->n_head / b->n_head_kv)) * (size_t)it->n_keys * (size_t)dim;
    const float *q = it->q + (size_t)token * it->q_stride + (size_t)(head * dim);
    double *p = must(malloc((size_t)seen * sizeof *p)), most = -INFINITY, sum = 0;
    memset(want, 0, (size_t)dim * sizeof *want);
    for (int i = 0; i < seen; i++) {
        p[i] = 0;
        for (int j = 0; j < dim; j++)
            p[i] += (double)q[j] * half(b->k[item][first + (size_t)(i * dim + j)]);
        p[i] /= sqrt(dim);
        most = fmax(most, p[i]);
    }
    for (int i = 0; i < seen; i++) {
        double weight = exp(p[i] - most);
        sum += weight;
        for (int j = 0; j < dim; j++)
            want[j] += weight * half(b->v[item][first + (size_t)(i * dim + j)]);
    }
    for (int j = 0; j < dim; j++)
        want[j] /= sum;
    free(p);
}

/* The AMX table keeps eight bits of weights and values of size 1 to 4; the others are exact. */
static double tolerance(const char *name)
{
    return strcmp(name, "amx") == 0 ? 1e-2 : 1e-4;
}

/* First, last and some other tokens. */
static void batch_check(const struct batch *b, const char *name)
{
    double want[256];
    for (int i = 0; i < b->n_items; i++) {
        const struct attention_item *it = &b->items[i];
        for (int t = 0; t < it->n_q; t += t + 8 < it->n_q ? 7 : 1)
            for (int h = 0; h < b->n_head; h++) {
                const float *out = it->out + (size_t)t * it->out_stride + (size_t)(h * b->head_dim);
                reference(b, i, t, h, want);
                for (int j = 0; j < b->head_dim; j++)
                    if (!(fabs((double)out[j] - want[j]) <= tolerance(name)))
                        fail_msg("%s item %d token %d head %d: %g, want %g (seed %d)", name, i, t,
                                 h, (double)out[j], want[j], SEED);
            }
        for (int t = 0; t < it->n_q; t++)
            for (size_t j = (size_t)(b->n_head * b->head_dim); j < it->out_stride; j++)
                assert_true(it->out[(size_t)t * it->out_stride + j] == UNTOUCHED);
    }
}

static void try_tables(int n_head, int n_head_kv, int head_dim, const struct shape *shapes)
{
    const struct kernels *tables[8];
    int n = kernels_available(tables);
    struct batch b;
    batch_init(&b, n_head, n_head_kv, head_dim, shapes);
    for (int i = 0; i < n; i++) {
        batch_run(&b, tables[i], 2, 0);
        batch_check(&b, tables[i]->name);
    }
    batch_free(&b);
}

static void test_decode_short(void **state)
{
    (void)state;
    try_tables(8, 2, 64, (struct shape[]){{1, 1}, {1, 50}, {1, 512}, {0}});
}

/* Long enough to be cut into ranges of keys and merged, also where ranges grow beyond 512. */
static void test_decode_long(void **state)
{
    (void)state;
    try_tables(4, 1, 64, (struct shape[]){{1, 513}, {4, 1025}, {2, 1026}, {0}});
    try_tables(1, 1, 32, (struct shape[]){{1, 17000}, {0}});
}

static void test_prefill(void **state)
{
    (void)state;
    try_tables(4, 1, 64, (struct shape[]){{150, 150}, {0}});
    try_tables(4, 2, 32, (struct shape[]){{65, 420}, {0}});
}

static void test_mixed_items(void **state)
{
    (void)state;
    try_tables(4, 2, 64, (struct shape[]){{1, 700}, {66, 300}, {1, 3}, {4, 900}, {5, 5}, {0}});
}

/* No tokens of an item: its turn is skipped. */
static void test_empty_item(void **state)
{
    (void)state;
    try_tables(2, 2, 32, (struct shape[]){{0, 700}, {1, 20}, {0}});
}

static void test_head_widths(void **state)
{
    (void)state;
    static const int widths[] = {16, 20, 80, 96, 128, 256};
    for (int i = 0; i < 6; i++)
        try_tables(3, 1, widths[i], (struct shape[]){{1, 70}, {20, 90}, {0}});
}

/* The same bits as the first run, for other threads or windows. */
static void try_again(struct batch *b, const struct kernels *kernels, int n_threads, int length)
{
    float *first[ITEMS_MAX];
    batch_run(b, kernels, 1, 0);
    for (int j = 0; j < b->n_items; j++) {
        size_t bytes = (size_t)b->items[j].n_q * b->items[j].out_stride * sizeof(float);
        first[j] = must(malloc(bytes));
        memcpy(first[j], b->out[j], bytes);
    }
    batch_run(b, kernels, n_threads, length);
    for (int j = 0; j < b->n_items; j++) {
        size_t bytes = (size_t)b->items[j].n_q * b->items[j].out_stride * sizeof(float);
        assert_memory_equal(first[j], b->out[j], bytes);
        free(first[j]);
    }
}

static void test_threads(void **state)
{
    (void)state;
    const struct kernels *tables[8];
    int n = kernels_available(tables);
    struct batch b;
    batch_init(&b, 4, 2, 64, (struct shape[]){{1, 2000}, {70, 300}, {3, 600}, {0}});
    for (int i = n > 2 ? n - 2 : 0; i < n; i++)
        try_again(&b, tables[i], 5, 0);
    batch_free(&b);
}

static void test_windows(void **state)
{
    (void)state;
    const struct kernels *tables[8];
    int n = kernels_available(tables);
    struct batch b;
    batch_init(&b, 4, 2, 64, (struct shape[]){{1, 2000}, {70, 900}, {7, 1300}, {5, 30}, {0}});
    for (int i = 0; i < n; i++)
        for (int resumes = 1; resumes <= 6; resumes++) /* ranges are 256 keys: some are cut */
            try_again(&b, tables[i], 2, resumes * ATTN_RESUME);
    batch_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode_short), cmocka_unit_test(test_decode_long),
        cmocka_unit_test(test_prefill),      cmocka_unit_test(test_mixed_items),
        cmocka_unit_test(test_empty_item),   cmocka_unit_test(test_head_widths),
        cmocka_unit_test(test_threads),      cmocka_unit_test(test_windows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
