/*
 * check_attend.c: one unit of attention against a softmax in double over all visible keys at once.
 * Compared are what merging keeps: the logarithm of the sum of exponentials, and the weighted mean
 * of the values; for a query that sees no key, the exact empty result.
 */
#include "check_list.h"
#include "kernels/formats.h"
#include <math.h>

enum { SPANS_MAX = 400 };

struct unit {
    struct attn_args args;
    int n_keys;
    struct kv_span spans[SPANS_MAX];
    struct guarded q, keys[SPANS_MAX], values[SPANS_MAX];
    struct guarded max, sum, acc, scratch;
};

static void random_halves(struct check *c, size_t n, float size, uint16_t *to)
{
    for (size_t i = 0; i < n; i++)
        to[i] = format_float_f16(size * rng_normal(&c->rng));
}

/* Cut n_keys keys into spans of 1 to longest keys, empty ones between them. */
static void add_spans(struct check *c, struct unit *u, int n_keys, int longest)
{
    size_t head_dim = (size_t)u->args.head_dim;
    int left = n_keys;
    while (left > 0) {
        int i = u->args.n_spans++, n = 1 + (int)rng_below(&c->rng, (uint32_t)longest);
        if (n > left || i == SPANS_MAX - 1)
            n = left;
        if (i % 7 == 3 && i < SPANS_MAX - 1)
            n = 0;
        u->keys[i] = guarded_new((size_t)n * head_dim * 2, 2);
        u->values[i] = guarded_new((size_t)n * head_dim * 2, 2);
        random_halves(c, (size_t)n * head_dim, 1, u->keys[i].data);
        random_halves(c, (size_t)n * head_dim, 1, u->values[i].data);
        u->spans[i] = (struct kv_span){u->keys[i].data, u->values[i].data, n};
        left -= n;
    }
}

static void unit_outputs(struct check *c, struct unit *u)
{
    struct attn_args *a = &u->args;
    size_t rows = (size_t)a->n_q * (size_t)a->n_group;
    u->max = guarded_new(rows * 4, 4);
    u->sum = guarded_new(rows * 4, 4);
    u->acc = guarded_new(rows * (size_t)a->head_dim * 4, 4);
    u->scratch = guarded_new(c->table->attn_scratch_bytes(a->head_dim, a->n_group, a->n_q), 64);
    a->max = u->max.data;
    a->sum = u->sum.data;
    a->acc = u->acc.data;
    a->scratch = u->scratch.data;
}

static void free_outputs(struct unit *u)
{
    guarded_free(&u->max);
    guarded_free(&u->sum);
    guarded_free(&u->acc);
    guarded_free(&u->scratch);
}

static void unit_init(struct check *c, struct unit *u, int head_dim, int n_group, int n_q,
                      int n_keys, int longest_span)
{
    *u = (struct unit){.n_keys = n_keys};
    struct attn_args *a = &u->args;
    *a = (struct attn_args){.type = TENSOR_F16, .head_dim = head_dim, .n_group = n_group,
                            .n_q = n_q, .spans = u->spans};
    a->q_stride = (size_t)n_group * (size_t)head_dim + 5;
    a->scale = 1 / sqrtf((float)head_dim);
    size_t q_floats = (size_t)(n_q - 1) * a->q_stride + (size_t)(n_group * head_dim);
    u->q = guarded_floats(c, q_floats, 1.5f, 4);
    a->q = u->q.data;
    add_spans(c, u, n_keys, longest_span);
    a->key_end = n_keys;
    a->n_visible = n_keys - n_q + 1;
    unit_outputs(c, u);
}

static void unit_free(struct unit *u)
{
    guarded_free(&u->q);
    for (int i = 0; i < u->args.n_spans; i++) {
        guarded_free(&u->keys[i]);
        guarded_free(&u->values[i]);
    }
    free_outputs(u);
}

/* Key (or value) i of the concatenation of the spans. */
static const uint16_t *element(const struct unit *u, int i, bool value)
{
    const struct kv_span *s = u->spans;
    while (i >= s->n)
        i -= s++->n;
    return (const uint16_t *)(value ? s->v : s->k) + (size_t)i * (size_t)u->args.head_dim;
}

/* Softmax of one row over keys [begin, end): log of the sum of exponentials, mean of the values. */
static double reference(const struct unit *u, const float *q, int begin, int end, double *mean)
{
    const struct attn_args *a = &u->args;
    double max = -INFINITY, sum = 0, score[4096];
    for (int j = 0; j < a->head_dim; j++)
        mean[j] = 0;
    for (int i = begin; i < end; i++) {
        const uint16_t *k = element(u, i, false);
        score[i] = 0;
        for (int j = 0; j < a->head_dim; j++)
            score[i] += (double)q[j] * format_f16_float(k[j]);
        score[i] *= a->scale;
        max = fmax(max, score[i]);
    }
    for (int i = begin; i < end; i++) {
        const uint16_t *v = element(u, i, true);
        double p = exp(score[i] - max);
        sum += p;
        for (int j = 0; j < a->head_dim; j++)
            mean[j] += p * format_f16_float(v[j]);
    }
    for (int j = 0; j < a->head_dim; j++)
        mean[j] /= sum;
    return max + log(sum);
}

/* Tables that may round to bfloat16 keep eight bits of each query, key, weight and value: 2^-8 of
 * sums of terms around 1 to 4. */
static double tolerance(const struct check *c)
{
    const char *name = c->table->name;
    return strcmp(name, "avx512") == 0 || strcmp(name, "amx") == 0 ? 2e-2 : 2e-5;
}

static bool row_right(struct check *c, const struct unit *u, int row)
{
    const struct attn_args *a = &u->args;
    int token = row / a->n_group, head = row % a->n_group;
    const float *q = a->q + (size_t)token * a->q_stride + (size_t)head * (size_t)a->head_dim;
    const float *acc = a->acc + (size_t)row * (size_t)a->head_dim;
    int end = a->n_visible + token < a->key_end ? a->n_visible + token : a->key_end;
    double mean[256], want;
    if (end <= a->key_begin) {
        bool empty = a->max[row] == -INFINITY && a->sum[row] == 0;
        for (int j = 0; j < a->head_dim; j++)
            empty = empty && acc[j] == 0;
        return empty || check_failed(c, "dim %d group %d q %d row %d sees no key: max %g sum %g",
                                     a->head_dim, a->n_group, a->n_q, row, a->max[row],
                                     a->sum[row]);
    }
    want = reference(u, q, a->key_begin, end, mean);
    double got = a->max[row] + log(a->sum[row]), worst = 0;
    for (int j = 0; j < a->head_dim; j++) {
        double off = fabs((double)acc[j] / a->sum[row] - mean[j]);
        worst = isnan(off) ? INFINITY : fmax(worst, off);
    }
    bool ok = fabs(got - want) <= tolerance(c) * fmax(1, fabs(want)) && worst <= tolerance(c);
    return ok || check_failed(c, "dim %d group %d q %d keys [%d, %d) visible %d row %d: log sum "
                              "%g, want %g; mean off by %g", a->head_dim, a->n_group, a->n_q,
                              a->key_begin, a->key_end, a->n_visible, row, got, want, worst);
}

static bool unit_right(struct check *c, struct unit *u)
{
    c->table->attend(&u->args);
    for (int row = 0; row < u->args.n_q * u->args.n_group; row++)
        if (!row_right(c, u, row))
            return false;
    return true;
}

/* One shape: all keys; then a range of them; then a mask that hides all of the range from some. */
static bool try_shape(struct check *c, int head_dim, int n_group, int n_q, int n_keys)
{
    struct unit u;
    unit_init(c, &u, head_dim, n_group, n_q, n_keys, n_keys > 60 ? 90 : 9);
    bool ok = unit_right(c, &u);
    if (ok && n_keys > 3) {
        u.args.key_begin = (int)rng_below(&c->rng, (uint32_t)n_keys / 2);
        u.args.key_end = u.args.key_begin + 1 + (int)rng_below(&c->rng, (uint32_t)n_keys / 2);
        ok = unit_right(c, &u);
    }
    if (ok && n_q > 1 && n_keys > 3) {
        u.args.key_end = n_keys;
        u.args.n_visible = u.args.key_begin - n_q / 2;
        ok = unit_right(c, &u);
    }
    unit_free(&u);
    return ok;
}

bool check_attend(struct check *c)
{
    static const int dims[] = {32, 64, 80, 96, 128, 256, 8, 20};
    static const int groups[] = {1, 3, 4, 7, 8};
    static const int tokens[] = {1, 2, 5, 17, 64};
    for (int d = 0; d < 8; d++)
        for (int g = 0; g < 5; g++)
            for (int t = 0; t < 5; t++) {
                int n_q = tokens[t];
                int n_keys = n_q + (int)rng_below(&c->rng, n_q == 64 ? 40 : 230);
                if (n_q == 64 && (d + g) % 5 != 0)
                    continue;
                if (!try_shape(c, dims[d], groups[g], n_q, n_keys))
                    return false;
            }
    return try_shape(c, 64, 1, 1, 1) && try_shape(c, 64, 4, 1, 64) && try_shape(c, 64, 4, 1, 65);
}

/* The same keys in one span and in many give the same bits. */
bool check_attend_spans(struct check *c)
{
    static const int tokens[] = {1, 3, 40};
    for (int i = 0; i < 3; i++) {
        struct unit u;
        unit_init(c, &u, 64, 4, tokens[i], 200, 5);
        c->table->attend(&u.args);
        struct guarded k = guarded_new(200 * 64 * 2, 2), v = guarded_new(200 * 64 * 2, 2);
        struct guarded sum = u.sum, max = u.max, acc = u.acc, scratch = u.scratch;
        for (int j = 0; j < 200; j++) {
            memcpy((uint16_t *)k.data + 64 * j, element(&u, j, false), 128);
            memcpy((uint16_t *)v.data + 64 * j, element(&u, j, true), 128);
        }
        struct kv_span whole = {k.data, v.data, 200};
        int n_spans = u.args.n_spans;
        u.args.spans = &whole;
        u.args.n_spans = 1;
        unit_outputs(c, &u);
        c->table->attend(&u.args);
        u.args.n_spans = n_spans;
        size_t rows = (size_t)tokens[i] * 4;
        bool same = memcmp(u.sum.data, sum.data, rows * 4) == 0 &&
                    memcmp(u.max.data, max.data, rows * 4) == 0 &&
                    memcmp(u.acc.data, acc.data, rows * 64 * 4) == 0;
        struct guarded *spare[] = {&k, &v, &sum, &max, &acc, &scratch};
        for (int j = 0; j < 6; j++)
            guarded_free(spare[j]);
        unit_free(&u);
        if (!same)
            return check_failed(c, "%d tokens: one span and many differ", tokens[i]);
    }
    return true;
}
