/*
 * scalar_attend.c: attention of a few queries over a range of keys, in plain C: softmax in one pass
 * (Milakov and Gimelshein 2018, algorithm 3) over blocks of ATTN_BLOCK keys.
 *
 * For each query: m the maximum so far, s the sum of exp(score - m), acc the sum of
 * exp(score - m) * v. A block raises m to m', scales s and acc by exp(m - m'), and adds its own.
 */
#include "kernels/formats.h"
#include "kernels/scalar.h"
#include <math.h>

size_t scalar_attn_scratch_bytes(int head_dim, int n_group, int n_q)
{
    (void)n_group;
    (void)n_q;
    return 2 * sizeof(float) * ATTN_BLOCK * (size_t)head_dim;
}

/* Keys [first, first + n) of the spans' concatenation, and their values, as floats. */
static void gather(const struct attn_args *a, int first, int n, float *k, float *v)
{
    const struct kv_span *span = a->spans, *end = a->spans + a->n_spans;
    for (; span < end && first >= span->n; span++)
        first -= span->n;
    size_t row_bytes = tensor_row_bytes(a->type, a->head_dim);
    for (int i = 0; i < n; i++, first++) {
        for (; first >= span->n; span++)
            first = 0;
        size_t offset = (size_t)first * row_bytes;
        scalar_dequantize(a->type, a->head_dim, (const char *)span->k + offset, k);
        scalar_dequantize(a->type, a->head_dim, (const char *)span->v + offset, v);
        k += a->head_dim;
        v += a->head_dim;
    }
}

/* Take n keys into one query's running softmax. */
static void absorb(int head_dim, float scale, const float *q, int n, const float *k, const float *v,
                   float *max, float *sum, float *acc)
{
    float scores[ATTN_BLOCK], most = *max;
    for (int i = 0; i < n; i++) {
        float score = 0;
        for (int j = 0; j < head_dim; j++)
            score += q[j] * k[(size_t)i * (size_t)head_dim + (size_t)j];
        scores[i] = score * scale;
        most = fmaxf(most, scores[i]);
    }
    float shrink = expf(*max - most);
    *sum *= shrink;
    for (int j = 0; j < head_dim; j++)
        acc[j] *= shrink;
    for (int i = 0; i < n; i++, v += head_dim) {
        float p = expf(scores[i] - most);
        *sum += p;
        for (int j = 0; j < head_dim; j++)
            acc[j] += p * v[j];
    }
    *max = most;
}

static void clear(const struct attn_args *a)
{
    for (int i = 0; i < a->n_q * a->n_group; i++) {
        a->max[i] = -INFINITY;
        a->sum[i] = 0;
    }
    memset(a->acc, 0, sizeof(float) * (size_t)a->n_q * (size_t)a->n_group * (size_t)a->head_dim);
}

void scalar_attend(const struct attn_args *a)
{
    float *k = a->scratch, *v = k + (size_t)ATTN_BLOCK * (size_t)a->head_dim;
    if (!a->resume)
        clear(a);
    for (int first = a->key_begin; first < a->key_end; first += ATTN_BLOCK) {
        int n = a->key_end - first < ATTN_BLOCK ? a->key_end - first : ATTN_BLOCK;
        gather(a, first, n, k, v);
        for (int i = 0; i < a->n_q * a->n_group; i++) {
            int token = i / a->n_group, head = i % a->n_group;
            int seen = a->n_visible + token - first;
            const float *q = a->q + (size_t)token * a->q_stride + (size_t)head * a->head_dim;
            if (seen > 0)
                absorb(a->head_dim, a->scale, q, seen < n ? seen : n, k, v, a->max + i, a->sum + i,
                       a->acc + (size_t)i * (size_t)a->head_dim);
        }
    }
}
