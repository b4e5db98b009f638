/*
 * Weights in, gradients out: between Model's layout and that of the products, once per step.
 *
 * A norm's gain g is folded into the matrix W behind it: the pass sees only x / rms(x) and
 * diag(g) W. Of the raw gradient G of that product, dW = diag(g) G and dg = the rows of W . G.
 * So the gains cost nothing by row, and are taken apart when all micro-batches have added to G.
 *
 * `out` and `down` are stored transposed (so is the output matrix); queries, keys and values, like
 * gate and up, are one product, and their columns come from several matrices.
 * It knows the layout of the weights, and nothing of rows or sequences.
 */
#include "step_internal.h"

size_t step_weight_size(const struct mason_step *s, int which)
{
    const struct mason_shape *h = &s->shape;
    size_t dim = h->dim, layers = h->layers;
    switch (which) {
    case W_GAINS: return (2 * layers + 1) * dim;
    case W_Q:
    case W_OUT:   return layers * dim * s->nq;
    case W_KV:    return 2 * layers * dim * s->nkv;
    case W_FF:    return 3 * layers * dim * h->ff;
    default:      return h->vocab * dim;
    }
}

float *step_qkv_column(const struct mason_step *s, float *const *w, int l, int column, long *ld)
{
    size_t size = (size_t)s->dim * s->nkv;
    if (column < s->nq) {
        *ld = s->nq;
        return w[W_Q] + (size_t)l * s->dim * s->nq + column;
    }
    *ld = s->nkv;
    column -= s->nq;
    return column < s->nkv ? w[W_KV] + l * size + column
                           : w[W_KV] + (s->shape.layers + l) * size + column - s->nkv;
}

float *step_gu_column(const struct mason_step *s, float *const *w, int l, int n)
{
    size_t size = (size_t)s->dim * s->ff;
    return w[W_FF] + (n % 2 ? s->shape.layers + l : l) * size + n / 2 * 16;
}

/* ---- packing ---- */

/* A layer's weights as they are packed. */
struct source {
    float *const *w;
    int l;
    const float *g1, *g2;      /* gains before attention and feed-forward */
    const float *out, *down;   /* dim x nq, dim x ff */
};

static struct source source_of(const struct mason_step *s, float *const *w, int l)
{
    int layers = s->shape.layers;
    return (struct source){
        .w = w,
        .l = l,
        .g1 = w[W_GAINS] + l * s->dim,
        .g2 = w[W_GAINS] + (layers + l) * s->dim,
        .out = w[W_OUT] + (size_t)l * s->dim * s->nq,
        .down = w[W_FF] + (size_t)(2 * layers + l) * s->dim * s->ff,
    };
}

/* Products that go in over dim: the matrices' rows are rows of the right operand. */
static void pack_by_rows(const struct mason_step *s, const struct source *f)
{
    const struct step_packed *p = &s->packed[f->l];
    long depth = s->dim / 32, nq = s->nq, ff = s->ff, ld;
    for (long k = 0; k < depth; k++) {
        for (int n = 0; n < s->nqkv / 16; n++) {
            const float *from = step_qkv_column(s, f->w, f->l, n * 16, &ld) + 32 * k * ld;
            pack_floats(tile_at(p->qkv, depth, n, k), from, ld, f->g1 + 32 * k, NULL);
        }
        for (int n = 0; n < ff / 8; n++) {
            const float *from = step_gu_column(s, f->w, f->l, n) + 32 * k * ff;
            pack_floats(tile_at(p->gu, depth, n, k), from, ff, f->g2 + 32 * k, NULL);
        }
        for (int n = 0; n < nq / 16; n++) {
            const float *from = f->out + 32 * k * nq + n * 16;
            pack_floats(tile_at(p->out_back, depth, n, k), from, nq, NULL, NULL);
        }
        for (int n = 0; n < ff / 16; n++) {
            const float *from = f->down + 32 * k * ff + n * 16;
            pack_floats(tile_at(p->down_back, depth, n, k), from, ff, NULL, NULL);
        }
    }
}

/* Products that come out over dim: the same matrices, transposed. */
static void pack_by_columns(const struct mason_step *s, const struct source *f)
{
    const struct step_packed *p = &s->packed[f->l];
    long nq = s->nq, ff = s->ff, qkv_depth = s->nqkv / 32, ld;
    for (long n = 0; n < s->dim / 16; n++) {
        for (int k = 0; k < qkv_depth; k++) {
            const float *from = step_qkv_column(s, f->w, f->l, k * 32, &ld) + 16 * n * ld;
            pack_floats_transposed(tile_at(p->qkv_back, qkv_depth, n, k), from, from + 16, ld,
                                   f->g1 + 16 * n, NULL);
        }
        for (int k = 0; k < ff / 16; k++) {
            const float *gate = step_gu_column(s, f->w, f->l, 2 * k) + 16 * n * ff;
            const float *up = step_gu_column(s, f->w, f->l, 2 * k + 1) + 16 * n * ff;
            pack_floats_transposed(tile_at(p->gu_back, ff / 16, n, k), gate, up, ff,
                                   f->g2 + 16 * n, NULL);
        }
        for (int k = 0; k < nq / 32; k++) {
            const float *from = f->out + 16 * n * nq + 32 * k;
            pack_floats_transposed(tile_at(p->out, nq / 32, n, k), from, from + 16, nq, NULL, NULL);
        }
        for (int k = 0; k < ff / 32; k++) {
            const float *from = f->down + 16 * n * ff + 32 * k;
            pack_floats_transposed(tile_at(p->down, ff / 32, n, k), from, from + 16, ff, NULL,
                                   NULL);
        }
    }
}

/* 32 x 32 of the output matrix, [vocab x dim]; rows beyond the vocabulary are zero. */
static void head_block(const struct mason_step *s, float *const *w, int v, int k, float *rows)
{
    for (int i = 0; i < 32; i++) {
        if (v + i < s->shape.vocab) {
            const float *from = w[W_HEAD] + (long)(v + i) * s->dim + k;
            memcpy(rows + 32 * i, from, 32 * sizeof(float));
        } else {
            memset(rows + 32 * i, 0, 32 * sizeof(float));
        }
    }
}

static void pack_head(const struct mason_step *s, float *const *w)
{
    const float *gain = w[W_GAINS] + 2 * s->shape.layers * s->dim;
    long depth = s->dim / 32, depth_back = s->vocab / 32;
    float rows[32 * 32];
    for (int v = 0; v < s->vocab; v += 32) {
        for (int k = 0; k < s->dim; k += 32) {
            head_block(s, w, v, k, rows);
            for (int half = 0; half < 2; half++) {
                const float *from = rows + 16 * 32 * half;
                pack_floats_transposed(tile_at(s->head, depth, v / 16 + half, k / 32),
                                       from, from + 16, 32, NULL, gain + k);
                pack_floats(tile_at(s->head_back, depth_back, k / 16 + half, v / 32),
                            rows + 16 * half, 32, NULL, gain + k + 16 * half);
            }
        }
    }
}

void step_pack(const struct mason_step *s, float *const *w)
{
    for (int l = 0; l < s->shape.layers; l++) {
        struct source from = source_of(s, w, l);
        pack_by_rows(s, &from);
        pack_by_columns(s, &from);
    }
    pack_head(s, w);
}

/* ---- taking the gains apart ---- */

/*
 * Of the raw gradient dw of diag(gain) w, rows x columns: that of the gain is added to dgain, that
 * of w replaces dw.
 */
static void unfold(float *dgain, const float *gain, const float *w, float *dw, int rows,
                   int columns)
{
    for (int i = 0; i < rows; i++) {
        __m512 sum = _mm512_setzero_ps(), by = _mm512_set1_ps(gain[i]);
        for (int k = 0; k < columns; k += 16) {
            long at = (long)i * columns + k;
            __m512 d = _mm512_loadu_ps(dw + at);
            sum = _mm512_fmadd_ps(d, _mm512_loadu_ps(w + at), sum);
            _mm512_storeu_ps(dw + at, _mm512_mul_ps(d, by));
        }
        dgain[i] += _mm512_reduce_add_ps(sum);
    }
}

static void unfold_layer(const struct mason_step *s, float *const *w, float *const *g, int l)
{
    int layers = s->shape.layers, dim = s->dim;
    float *d1 = g[W_GAINS] + l * dim, *d2 = g[W_GAINS] + (layers + l) * dim;
    const float *g1 = w[W_GAINS] + l * dim, *g2 = w[W_GAINS] + (layers + l) * dim;
    size_t q = (size_t)l * dim * s->nq;
    unfold(d1, g1, w[W_Q] + q, g[W_Q] + q, dim, s->nq);
    for (int half = 0; half < 2; half++) {
        size_t kv = (size_t)(half * layers + l) * dim * s->nkv;
        size_t ff = (size_t)(half * layers + l) * dim * s->ff;
        unfold(d1, g1, w[W_KV] + kv, g[W_KV] + kv, dim, s->nkv);
        unfold(d2, g2, w[W_FF] + ff, g[W_FF] + ff, dim, s->ff);
    }
}

/*
 * 16 columns from k on of 16 words from v on: head_gradient is transposed, so its rows are turned
 * on their way. Returns dgain and what these words add to it.
 */
static __m512 unfold_words(const struct mason_step *s, const float *head, float *dhead, int v,
                           int k, __m512 gain, __m512 dgain)
{
    __m512i r[16];
    for (int i = 0; i < 16; i++) {
        r[i] = _mm512_loadu_si512(s->head_gradient + (long)(k + i) * s->vocab + v);
    }
    transpose16(r);
    for (int i = 0; i < 16 && v + i < s->shape.vocab; i++) {
        long at = (long)(v + i) * s->dim + k;
        __m512 d = _mm512_castsi512_ps(r[i]);
        dgain = _mm512_fmadd_ps(d, _mm512_loadu_ps(head + at), dgain);
        _mm512_storeu_ps(dhead + at, _mm512_mul_ps(d, gain));
    }
    return dgain;
}

void step_unfold(const struct mason_step *s, float *const *w, float *const *g)
{
    for (int l = 0; l < s->shape.layers; l++) {
        unfold_layer(s, w, g, l);
    }
    long last = 2l * s->shape.layers * s->dim;
    for (int k = 0; k < s->dim; k += 16) {
        __m512 gain = _mm512_loadu_ps(w[W_GAINS] + last + k), dgain = _mm512_setzero_ps();
        for (int v = 0; v < s->shape.vocab; v += 16) {
            dgain = unfold_words(s, w[W_HEAD], g[W_HEAD], v, k, gain, dgain);
        }
        _mm512_storeu_ps(g[W_GAINS] + last + k, dgain);
    }
}
