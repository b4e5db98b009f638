/*
 * Causal attention of one layer over the sequences of a micro-batch, forward and backward.
 *
 * For each head of keys, the keys and values of a sequence are packed once as right operands and
 * serve all heads of queries of their group. Queries go by blocks of 32; a block sees only the
 * blocks of keys up to its own, so about half of a square is ever computed.
 *
 * Forward keeps of a softmax only lse, the log2 of its sum. Backward computes scores again by
 * blocks of 32 x 32 and takes p = 2^(score - lse); with delta = o . do of a row,
 * ds = p (dp - delta).
 * Softmaxes count in powers of two: LOG2E is folded into the scale of the scores.
 *
 * Inside, `padded` is the sequence's length rounded up to 32, and `start` its first row.
 */
#include "step_internal.h"

#include <math.h>

/* Bit i: whether key `first` + i is visible to query `query`. */
STEP_INLINE __mmask16 visible(int query, int first)
{
    int n = query + 1 - first;
    return n >= 16 ? 0xffff : n <= 0 ? 0 : (__mmask16)((1 << n) - 1);
}

/*
 * Keys and values of a sequence as right operands: transposed for products over a head's 32
 * columns, by rows for sums over keys. Forward and backward each want three of the four.
 */
static void pack_keys(struct mason_step *s, const struct step_layer *layer, int start, int padded,
                      int kv, int back)
{
    const bf16 *k = layer->qkv + (long)start * s->nqkv + s->nq + kv * HEAD, *v = k + s->nkv;
    long depth = padded / 32, ld = s->nqkv;
    for (long i = 0; i < depth * 2; i++) {
        pack_right_transposed(s->kt + i * TILE, k + 16 * i * ld, ld);
        if (back) {
            pack_right_transposed(s->vt + i * TILE, v + 16 * i * ld, ld);
        }
    }
    for (long i = 0; i < depth; i++) {
        for (int half = 0; half < 2; half++) {
            if (back) {
                pack_right(tile_at(s->kr, depth, half, i), k + 32 * i * ld + 16 * half, ld);
            } else {
                pack_right(tile_at(s->vr, depth, half, i), v + 32 * i * ld + 16 * half, ld);
            }
        }
    }
}

/* ---- forward ---- */

/*
 * The probabilities of a row of scores, not yet divided by their sum, in bf16; *lse: log2 of the
 * sum. Returns 1 / sum. Keys after the query get 0, up to `keys`.
 */
static float softmax_row(bf16 *to, const float *scores, int query, int keys, float *lse)
{
    __m512 scale = _mm512_set1_ps(LOG2E / sqrtf(HEAD)), top = _mm512_set1_ps(-1e30f);
    for (int k = 0; k <= query; k += 16) {
        top = _mm512_mask_max_ps(top, visible(query, k), top, _mm512_loadu_ps(scores + k));
    }
    float most = _mm512_reduce_max_ps(top) * LOG2E / sqrtf(HEAD);
    __m512 less = _mm512_set1_ps(most), sum = _mm512_setzero_ps();
    for (int k = 0; k < keys; k += 16) {
        __m512 e = _mm512_setzero_ps();
        if (k <= query) {
            e = exp2_fast(_mm512_fmsub_ps(_mm512_loadu_ps(scores + k), scale, less));
            e = _mm512_maskz_mov_ps(visible(query, k), e);
            sum = _mm512_add_ps(sum, e);
        }
        store_half(to + k, e);
    }
    float total = _mm512_reduce_add_ps(sum);
    *lse = most + log2f(total);
    return 1.0f / total;
}

/* p of the 32 queries from `row` of the sequence on, and inverse: 1 / their sums. */
static void probabilities(struct mason_step *s, struct step_layer *layer, int start, int row,
                          int length, int head, float *inverse)
{
    long padded = (length + 31) / 32 * 32;
    int keys = row + BLOCK;
    const bf16 *q = layer->qkv + (long)(start + row) * s->nqkv + head * HEAD;
    for (int k = 0; k < keys / 32; k++) {
        block_product(s->scores + 32 * k, padded, q, s->nqkv, s->kt, 1, k);
    }
    for (int i = 0; i < BLOCK; i++) {
        bf16 *p = s->p + i * padded;
        if (row + i < length) {
            float *lse = &layer->lse[(long)(start + row + i) * s->shape.heads + head];
            inverse[i] = softmax_row(p, s->scores + i * padded, row + i, keys, lse);
        } else {
            inverse[i] = 0.0f;
            memset(p, 0, keys * sizeof(bf16));
        }
    }
}

static void forward_head(struct mason_step *s, struct step_layer *layer, int start, int length,
                         int head)
{
    float c[BLOCK * 32] __attribute__((aligned(64))), inverse[BLOCK];
    long padded = (length + 31) / 32 * 32, depth = padded / 32;
    for (int row = 0; row < length; row += BLOCK) {
        probabilities(s, layer, start, row, length, head, inverse);
        tiles_zero();
        tiles_multiply(s->p, s->p + 16 * padded, padded, 32, s->vr, tile_at(s->vr, depth, 1, 0),
                       row / 32 + 1);
        tiles_store(c, c + 16, 32);
        for (int i = 0; i < BLOCK && row + i < length; i++) {
            __m512 by = _mm512_set1_ps(inverse[i]);
            store_halves(layer->o + (long)(start + row + i) * s->nq + head * HEAD,
                         _mm512_mul_ps(_mm512_load_ps(c + 32 * i), by),
                         _mm512_mul_ps(_mm512_load_ps(c + 32 * i + 16), by));
        }
    }
}

void step_attention_forward(struct mason_step *s, struct step_layer *layer)
{
    int group = s->shape.heads / s->shape.kv_heads;
    for (int i = 0; i < s->n_sequences; i++) {
        int padded = (s->length[i] + 31) / 32 * 32;
        for (int kv = 0; kv < s->shape.kv_heads; kv++) {
            pack_keys(s, layer, s->start[i], padded, kv, 0);
            for (int head = kv * group; head < (kv + 1) * group; head++) {
                forward_head(s, layer, s->start[i], s->length[i], head);
            }
        }
    }
}

/* ---- backward ---- */

/* What the 32 queries of a block need of themselves. */
struct queries {
    bf16 qt[2 * TILE], dot[2 * TILE];   /* left operands: 32 columns of the head x 32 rows */
    float lse[BLOCK];
    float delta[BLOCK];                 /* the product of a row's output and its gradient */
    float dq[BLOCK * HEAD];
} __attribute__((aligned(64)));

/* A block of 32 queries x 32 keys. */
struct square {
    float scores[BLOCK * 32];
    float dp[BLOCK * 32];
    bf16 p_right[2 * TILE], ds_right[2 * TILE];   /* right operands: rows in pairs */
    bf16 ds_rows[2 * TILE];                       /* a left operand */
} __attribute__((aligned(64)));

/* Fills q for the 32 rows from `start` on, of which the first `valid` are of the sequence. */
static void queries_of(const struct mason_step *s, const struct step_layer *layer, int start,
                       int valid, int head, struct queries *q)
{
    const bf16 *query = layer->qkv + (long)start * s->nqkv + head * HEAD;
    const bf16 *dout = s->dout + (long)start * s->nq + head * HEAD;
    const bf16 *o = layer->o + (long)start * s->nq + head * HEAD;
    for (int half = 0; half < 2; half++) {
        pack_left_transposed(q->qt + half * TILE, query + 16 * half, s->nqkv);
        pack_left_transposed(q->dot + half * TILE, dout + 16 * half, s->nq);
    }
    memset(q->dq, 0, sizeof q->dq);
    for (int i = 0; i < BLOCK; i++) {
        const bf16 *a = dout + (long)i * s->nq, *b = o + (long)i * s->nq;
        __m512 sum = _mm512_mul_ps(load_half(a), load_half(b));
        sum = _mm512_fmadd_ps(load_half(a + 16), load_half(b + 16), sum);
        q->delta[i] = _mm512_reduce_add_ps(sum);
        q->lse[i] = i < valid ? layer->lse[(long)(start + i) * s->shape.heads + head] : 0.0f;
    }
}

/*
 * p and ds of a square, from its scores and dp. Its queries are those from `row` on, its keys those
 * from `key` on; queries from `valid` on give zero.
 */
static void square_back(const struct queries *q, struct square *b, int row, int key, int valid)
{
    const float by = 1.0f / sqrtf(HEAD);
    __m512 scale = _mm512_set1_ps(LOG2E * by), factor = _mm512_set1_ps(by);
    for (int i = 0; i < BLOCK; i += 2) {
        for (int half = 0; half < 2; half++) {
            __m512 p[2], ds[2];
            for (int j = 0; j < 2; j++) {
                int query = row + i + j;
                __mmask16 seen = query < valid ? visible(query, key + 16 * half) : 0;
                long at = (i + j) * 32 + half * 16;
                __m512 lse = _mm512_set1_ps(q->lse[i + j]), delta = _mm512_set1_ps(q->delta[i + j]);
                p[j] = exp2_fast(_mm512_fmsub_ps(_mm512_load_ps(b->scores + at), scale, lse));
                p[j] = _mm512_maskz_mov_ps(seen, p[j]);
                __m512 d = _mm512_sub_ps(_mm512_load_ps(b->dp + at), delta);
                ds[j] = _mm512_maskz_mul_ps(seen, _mm512_mul_ps(p[j], factor), d);
                store_half(b->ds_rows + at, ds[j]);
            }
            long at = half * TILE + 16 * i;
            _mm512_store_si512(b->p_right + at, pair_floats(p[0], p[1]));
            _mm512_store_si512(b->ds_right + at, pair_floats(ds[0], ds[1]));
        }
    }
}

/* c (32 x 32) += the left operand a, two tiles, times the two tiles b0 and b1. */
STEP_INLINE void square_add(float *c, long ldc, const bf16 *a, const bf16 *b0, const bf16 *b1)
{
    tiles_load(c, c + 16, ldc);
    tiles_multiply(a, a + TILE, 32, TILE, b0, b1, 1);
    tiles_store(c, c + 16, ldc);
}

/* Adds to dkt and dvt, by the queries of one head. */
static void backward_head(struct mason_step *s, const struct step_layer *layer, int start,
                          int length, int head)
{
    struct queries q;
    struct square b;
    long padded = (length + 31) / 32 * 32, depth = padded / 32;
    for (int row = 0; row < length; row += BLOCK) {
        const bf16 *query = layer->qkv + (long)(start + row) * s->nqkv + head * HEAD;
        const bf16 *dout = s->dout + (long)(start + row) * s->nq + head * HEAD;
        queries_of(s, layer, start + row, length - row, head, &q);
        for (int k = 0; k <= row / 32; k++) {
            block_product(b.scores, 32, query, s->nqkv, s->kt, 1, k);
            block_product(b.dp, 32, dout, s->nq, s->vt, 1, k);
            square_back(&q, &b, row, 32 * k, length);
            square_add(s->dvt + 32 * k, padded, q.dot, b.p_right, b.p_right + TILE);
            square_add(s->dkt + 32 * k, padded, q.qt, b.ds_right, b.ds_right + TILE);
            /* ds_rows lies row-major: 16 of its rows of 32 are a tile. */
            square_add(q.dq, 32, b.ds_rows, tile_at(s->kr, depth, 0, k),
                       tile_at(s->kr, depth, 1, k));
        }
        for (int i = 0; i < BLOCK && row + i < length; i++) {
            bf16 *to = s->dqkv + (long)(start + row + i) * s->nqkv + head * HEAD;
            step_rotate(s, to, q.dq + 32 * i, row + i, 1);
        }
    }
}

/* 16 columns of `from`, 32 rows ld floats apart, as the 16 rows of c. */
static void turn_keys(float *c, const float *from, long ld)
{
    for (int half = 0; half < 2; half++) {
        __m512i r[16];
        for (int i = 0; i < 16; i++) {
            r[i] = _mm512_loadu_si512(from + (16 * half + i) * ld);
        }
        transpose16(r);
        for (int i = 0; i < 16; i++) {
            _mm512_store_si512(c + 32 * i + 16 * half, r[i]);
        }
    }
}

/* The gradients of keys and values, 32 x padded, to their rows of dqkv. */
static void store_keys(struct mason_step *s, int start, int length, int kv)
{
    float c[16 * 32] __attribute__((aligned(64)));
    long padded = (length + 31) / 32 * 32;
    for (int value = 0; value < 2; value++) {
        const float *from = value ? s->dvt : s->dkt;
        for (int key = 0; key < length; key += 16) {
            turn_keys(c, from + key, padded);
            for (int i = 0; i < 16 && key + i < length; i++) {
                bf16 *to = s->dqkv + (long)(start + key + i) * s->nqkv + s->nq + kv * HEAD;
                if (value) {
                    halves_of(to + s->nkv, c + 32 * i, 32);
                } else {
                    step_rotate(s, to, c + 32 * i, key + i, 1);
                }
            }
        }
    }
}

void step_attention_backward(struct mason_step *s, const struct step_layer *layer)
{
    int group = s->shape.heads / s->shape.kv_heads;
    for (int i = 0; i < s->n_sequences; i++) {
        int padded = (s->length[i] + 31) / 32 * 32;
        for (int kv = 0; kv < s->shape.kv_heads; kv++) {
            pack_keys(s, layer, s->start[i], padded, kv, 1);
            memset(s->dkt, 0, (size_t)padded * HEAD * sizeof(float));
            memset(s->dvt, 0, (size_t)padded * HEAD * sizeof(float));
            for (int head = kv * group; head < (kv + 1) * group; head++) {
                backward_head(s, layer, s->start[i], s->length[i], head);
            }
            store_keys(s, s->start[i], s->length[i], kv);
        }
    }
    size_t beyond = (size_t)(s->padded - s->rows) * s->nqkv;
    memset(s->dqkv + (long)s->rows * s->nqkv, 0, beyond * sizeof(bf16));
}
