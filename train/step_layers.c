/*
 * The layers of a step but for attention: norms, products, feed-forward, the weights' gradients.
 *
 * Between two attentions everything belongs to one row, so blocks of 32 rows go from the output
 * product of a layer to the queries of the next while their residual stream is in the nearest
 * cache. Products are bf16 with fp32 sums; the residual stream x and its gradient dx stay fp32.
 *
 * Backward, a layer leaves both operands of each weight's gradient by rows (dx_down and h, dx_out
 * and o, x2 and dgu, x1 and dqkv); step_add_gradient turns and packs them for the whole
 * micro-batch, so that a gradient is read and written once per micro-batch and not once per block.
 * Matrices behind a norm get raw gradients: step_weights.c takes the gain apart.
 */
#include "step_internal.h"

#include <math.h>

void step_normalise(const struct mason_step *s, const float *x, bf16 *y, float *r)
{
    __m512 sum = _mm512_setzero_ps();
    for (int i = 0; i < s->dim; i += 16) {
        __m512 v = _mm512_loadu_ps(x + i);
        sum = _mm512_fmadd_ps(v, v, sum);
    }
    *r = 1.0f / sqrtf(_mm512_reduce_add_ps(sum) / s->dim + s->shape.eps);
    __m512 by = _mm512_set1_ps(*r);
    for (int i = 0; i < s->dim; i += 32) {
        store_halves(y + i, _mm512_mul_ps(_mm512_loadu_ps(x + i), by),
                     _mm512_mul_ps(_mm512_loadu_ps(x + i + 16), by));
    }
}

void step_normalise_back(const struct mason_step *s, float *dx, const float *dy, const bf16 *y,
                         float r)
{
    __m512 sum = _mm512_setzero_ps();
    for (int i = 0; i < s->dim; i += 16) {
        sum = _mm512_fmadd_ps(_mm512_loadu_ps(dy + i), load_half(y + i), sum);
    }
    __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(sum) / s->dim), by = _mm512_set1_ps(r);
    for (int i = 0; i < s->dim; i += 16) {
        __m512 d = _mm512_fnmadd_ps(load_half(y + i), mean, _mm512_loadu_ps(dy + i));
        _mm512_storeu_ps(dx + i, _mm512_fmadd_ps(d, by, _mm512_loadu_ps(dx + i)));
    }
}

/* ---- forward: blocks of 32 rows from `row` on ---- */

static void forward_qkv(struct mason_step *s, int l, int row)
{
    struct step_layer *layer = &s->layer[l];
    float c[BLOCK * 32] __attribute__((aligned(64)));
    const bf16 *x1 = layer->x1 + (long)row * s->dim;
    for (int i = row; i < row + BLOCK; i++) {
        step_normalise(s, s->x + (long)i * s->dim, layer->x1 + (long)i * s->dim, &layer->r1[i]);
    }
    for (int n = 0; n < s->nqkv / 32; n++) {
        block_product(c, 32, x1, s->dim, s->packed[l].qkv, s->dim / 32, n);
        for (int i = 0; i < BLOCK; i++) {
            bf16 *to = layer->qkv + (long)(row + i) * s->nqkv + 32 * n;
            if (n < s->shape.heads + s->shape.kv_heads) {
                step_rotate(s, to, c + 32 * i, s->position[row + i], 0);
            } else {
                halves_of(to, c + 32 * i, 32);
            }
        }
    }
}

/* What follows attention in a layer: the heads' output product, and feed-forward. */
static void forward_rest(struct mason_step *s, int l, int row)
{
    struct step_layer *layer = &s->layer[l];
    const struct step_packed *p = &s->packed[l];
    float c[BLOCK * 32] __attribute__((aligned(64)));
    int dim = s->dim, ff = s->ff;
    float *x = s->x + (long)row * dim;
    bf16 *x2 = layer->x2 + (long)row * dim;
    for (int n = 0; n < dim / 32; n++) {
        block_add(x + 32 * n, dim, layer->o + (long)row * s->nq, s->nq, p->out, s->nq / 32, n);
    }
    for (int i = 0; i < BLOCK; i++) {
        step_normalise(s, x + i * dim, x2 + i * dim, &layer->r2[row + i]);
    }
    for (int n = 0; n < ff / 16; n++) {
        block_product(c, 32, x2, dim, p->gu, dim / 32, n);
        for (int i = 0; i < BLOCK; i++) {
            __m512 gate = _mm512_load_ps(c + 32 * i), up = _mm512_load_ps(c + 32 * i + 16);
            __m512 silu = _mm512_mul_ps(gate, sigmoid(gate));
            store_halves(layer->gu + (long)(row + i) * 2 * ff + 32 * n, gate, up);
            store_half(s->h + i * ff + 16 * n, _mm512_mul_ps(silu, up));
        }
    }
    for (int n = 0; n < dim / 32; n++) {
        block_add(x + 32 * n, dim, s->h, ff, p->down, ff / 32, n);
    }
}

static void embed(struct mason_step *s, const float *embedding)
{
    for (int i = 0; i < s->padded; i++) {
        float *x = s->x + (long)i * s->dim;
        if (i < s->rows) {
            memcpy(x, embedding + (long)s->token[i] * s->dim, s->dim * sizeof(float));
        } else {
            memset(x, 0, s->dim * sizeof(float));
        }
    }
}

void step_forward(struct mason_step *s, float *const *w)
{
    embed(s, w[W_EMBED]);
    for (int l = 0; l < s->shape.layers; l++) {
        for (int row = 0; row < s->padded; row += BLOCK) {
            if (l > 0) {
                forward_rest(s, l - 1, row);
            }
            forward_qkv(s, l, row);
        }
        step_attention_forward(s, &s->layer[l]);
    }
    for (int row = 0; row < s->padded; row += BLOCK) {
        forward_rest(s, s->shape.layers - 1, row);
    }
}

/* ---- gradients of weights ---- */

/* left = the transpose of x (rows x dim), as a left operand; depth: rows / 32. */
static void pack_left_rows(struct mason_step *s, const bf16 *x, long depth)
{
    for (long k = 0; k < depth; k++) {
        for (int m = 0; m < s->dim / 16; m++) {
            const bf16 *from = x + 32 * k * s->dim + 16 * m;
            pack_left_transposed(tile_at(s->left, depth, m, k), from, s->dim);
        }
    }
}

/* right = y (rows x n), as a right operand. */
static void pack_right_rows(struct mason_step *s, const bf16 *y, long n, long depth)
{
    for (long k = 0; k < depth; k++) {
        for (long m = 0; m < n / 16; m++) {
            pack_right(tile_at(s->right, depth, m, k), y + 32 * k * n + 16 * m, n);
        }
    }
}

/* Columns of left x right, tiles n and n + 1, added to those at c0 and c1 of a gradient. */
static void add_columns(struct mason_step *s, int n, float *c0, float *c1, long ld, long depth)
{
    const bf16 *b = tile_at(s->right, depth, n, 0);
    for (int m = 0; m < s->dim / 16; m += 2) {
        const bf16 *a = tile_at(s->left, depth, m, 0);
        tiles_load(c0 + 16 * m * ld, c1 + 16 * m * ld, ld);
        tiles_multiply(a, a + depth * TILE, 32, TILE, b, b + depth * TILE, depth);
        tiles_store(c0 + 16 * m * ld, c1 + 16 * m * ld, ld);
    }
}

void step_add_gradient(struct mason_step *s, float *to, const bf16 *x, const bf16 *y, int columns,
                       int rows)
{
    long depth = rows / 32;
    pack_left_rows(s, x, depth);
    pack_right_rows(s, y, columns, depth);
    for (int n = 0; n < columns / 16; n += 2) {
        add_columns(s, n, to + 16 * n, to + 16 * n + 16, columns, depth);
    }
}

static void layer_gradients(struct mason_step *s, float *const *g, int l)
{
    const struct step_layer *layer = &s->layer[l];
    long depth = s->padded / 32, ld;
    float *down = g[W_FF] + (size_t)(2 * s->shape.layers + l) * s->dim * s->ff;
    float *out = g[W_OUT] + (size_t)l * s->dim * s->nq;
    step_add_gradient(s, down, s->dx_down, s->h, s->ff, s->padded);
    step_add_gradient(s, out, s->dx_out, layer->o, s->nq, s->padded);
    pack_left_rows(s, layer->x2, depth);
    pack_right_rows(s, s->dgu, 2 * s->ff, depth);
    for (int n = 0; n < s->ff / 8; n += 2) {
        add_columns(s, n, step_gu_column(s, g, l, n), step_gu_column(s, g, l, n + 1), s->ff, depth);
    }
    pack_left_rows(s, layer->x1, depth);
    pack_right_rows(s, s->dqkv, s->nqkv, depth);
    for (int n = 0; n < s->nqkv / 16; n += 2) {
        float *to = step_qkv_column(s, g, l, 16 * n, &ld);
        add_columns(s, n, to, to + 16, ld, depth);
    }
}

/* ---- backward: blocks of 32 rows from `row` on ---- */

/* 16 columns of a row: h again, and the gradients of gate and up (in that order) from dh, h's. */
STEP_INLINE void gate_back(bf16 *h, bf16 *dgu, __m512 dh, const bf16 *gu)
{
    __m512 gate = load_half(gu), up = load_half(gu + 16);
    __m512 sigma = sigmoid(gate), silu = _mm512_mul_ps(gate, sigma);
    __m512 less = _mm512_sub_ps(_mm512_set1_ps(1.0f), sigma);
    __m512 slope = _mm512_fmadd_ps(silu, less, sigma);
    store_half(h, _mm512_mul_ps(silu, up));
    store_halves(dgu, _mm512_mul_ps(_mm512_mul_ps(dh, up), slope), _mm512_mul_ps(dh, silu));
}

/* dx of the feed-forward's input, and dx_down, h and dgu. */
static void backward_ff(struct mason_step *s, int l, int row)
{
    const struct step_layer *layer = &s->layer[l];
    const struct step_packed *p = &s->packed[l];
    float c[BLOCK * 32] __attribute__((aligned(64)));
    int dim = s->dim, ff = s->ff;
    float *dx = s->dx + (long)row * dim;
    bf16 *d = s->dx_down + (long)row * dim, *dgu = s->dgu + (long)row * 2 * ff;
    halves_of(d, dx, (long)BLOCK * dim);
    for (int n = 0; n < ff / 32; n++) {
        block_product(c, 32, d, dim, p->down_back, dim / 32, n);
        for (int i = 0; i < 2 * BLOCK; i++) {   /* halves of rows */
            long at = (long)(i / 2) * ff + 32 * n + i % 2 * 16;
            gate_back(s->h + (long)row * ff + at, dgu + 2 * at, _mm512_load_ps(c + 16 * i),
                      layer->gu + (long)row * 2 * ff + 2 * at);
        }
    }
    for (int n = 0; n < dim / 32; n++) {
        block_product(s->wide + 32 * n, dim, dgu, 2 * ff, p->gu_back, ff / 16, n);
    }
    for (int i = 0; i < BLOCK; i++) {
        step_normalise_back(s, dx + i * dim, s->wide + i * dim,
                            layer->x2 + (long)(row + i) * dim, layer->r2[row + i]);
    }
}

/* dx_out, and dout for attention. */
static void backward_out(struct mason_step *s, int l, int row)
{
    float c[BLOCK * 32] __attribute__((aligned(64)));
    int dim = s->dim;
    bf16 *d = s->dx_out + (long)row * dim;
    halves_of(d, s->dx + (long)row * dim, (long)BLOCK * dim);
    for (int n = 0; n < s->nq / 32; n++) {
        block_product(c, 32, d, dim, s->packed[l].out_back, dim / 32, n);
        for (int i = 0; i < BLOCK; i++) {
            halves_of(s->dout + (long)(row + i) * s->nq + 32 * n, c + 32 * i, 32);
        }
    }
}

/* dx of attention's input. */
static void backward_qkv(struct mason_step *s, int l, int row)
{
    const struct step_layer *layer = &s->layer[l];
    const bf16 *dqkv = s->dqkv + (long)row * s->nqkv;
    for (int n = 0; n < s->dim / 32; n++) {
        block_product(s->wide + 32 * n, s->dim, dqkv, s->nqkv, s->packed[l].qkv_back,
                      s->nqkv / 32, n);
    }
    for (int i = 0; i < BLOCK; i++) {
        step_normalise_back(s, s->dx + (long)(row + i) * s->dim, s->wide + i * s->dim,
                            layer->x1 + (long)(row + i) * s->dim, layer->r1[row + i]);
    }
}

static void embed_back(struct mason_step *s, float *gradient)
{
    for (int i = 0; i < s->rows; i++) {
        float *to = gradient + (long)s->token[i] * s->dim;
        const float *dx = s->dx + (long)i * s->dim;
        for (int d = 0; d < s->dim; d += 16) {
            __m512 sum = _mm512_add_ps(_mm512_loadu_ps(to + d), _mm512_loadu_ps(dx + d));
            _mm512_storeu_ps(to + d, sum);
        }
    }
}

void step_backward(struct mason_step *s, float *const *g)
{
    for (int l = s->shape.layers - 1; l >= 0; l--) {
        for (int row = 0; row < s->padded; row += BLOCK) {
            backward_ff(s, l, row);
            backward_out(s, l, row);
        }
        step_attention_backward(s, &s->layer[l]);
        for (int row = 0; row < s->padded; row += BLOCK) {
            backward_qkv(s, l, row);
        }
        layer_gradients(s, g, l);
    }
    embed_back(s, g[W_EMBED]);
}
