/*
 * What the files of the training step share: the state of a step, and the few calls between them.
 *
 *   mason_step.c       a batch: micro-batches, forward, loss, backward
 *   step_layers.c      a layer but for its attention, forward and backward
 *   step_attention.c   causal attention of one layer, forward and backward
 *   step_weights.c     weights to packed tiles before a step, gradients to their layout after it
 *   step_memory.c      buffers, rotary tables, what the processor must have
 *   step_tiles.h       tiles, and products of 32 x 32 (also orthogonal.c's)
 *
 * Invariants, for all of them:
 * 1. A micro-batch is `rows` rows: whole sequences one after another, each without its last word.
 *    `padded` is `rows` rounded up to 32.
 * 2. Rows from `rows` to `padded` are zero in x and in every gradient, so they add nothing.
 * 3. A buffer by rows has SLACK rows more than `capacity`: a block of 32 that starts at the last
 *    row of a sequence may be read whole.
 * 4. Gate and up lie interleaved by 16 columns, so that a block of 32 holds both halves of 16
 *    outputs.
 * 5. tiles_configure() has been called before any product.
 */
#ifndef STEP_INTERNAL_H
#define STEP_INTERNAL_H

#include "mason_step.h"
#include "step_tiles.h"

#define HEAD 32      /* columns of a head: one tile deep, one block wide */
#define BLOCK 32     /* rows that go through a layer together */
#define SLACK 32     /* see invariant 3 */
#define POOL 600     /* buffers, of up to 64 layers */
#define LOG2E 1.44269504f

/* What the backward pass wants of a layer. */
struct step_layer {
    bf16 *x1, *x2;   /* normalised inputs of attention and feed-forward: rows x dim */
    float *r1, *r2;  /* 1 / rms of those inputs, by row */
    bf16 *qkv;       /* queries and keys rotated, values: rows x nqkv */
    bf16 *o;         /* heads' outputs: rows x nq */
    float *lse;      /* log2 of the sum of a softmax: rows x heads */
    bf16 *gu;        /* gate and up: rows x 2 ff */
};

/* Packed weights of a layer: right operands of the forward and of the backward products. */
struct step_packed {
    bf16 *qkv, *out, *gu, *down;
    bf16 *qkv_back, *out_back, *gu_back, *down_back;
};

/* Memory that is freed together. */
struct step_pool {
    void *items[POOL];
    int n;
};

struct mason_step {
    struct mason_shape shape;
    int dim, ff, nq, nkv, nqkv;
    int vocab;                       /* rounded up to 32 */
    int target;                      /* rows of a micro-batch, at least */
    int capacity;                    /* rows that the buffers hold */
    struct step_packed *packed;      /* by layer */
    bf16 *head, *head_back;          /* the output matrix as a right operand */
    float *head_gradient;            /* transposed: dim x vocab */
    float *cos, *sin;                /* context x 16 */
    struct step_pool fixed;

    /* buffers of a micro-batch */
    struct step_pool by_rows;
    struct step_layer *layer;        /* by layer */
    float *x, *dx;                   /* the residual stream and its gradient: rows x dim */
    float *wide;                     /* a block's gradient before its norm: 32 x dim */
    float *rf;                       /* 1 / rms before the output, by answer */
    bf16 *h, *dgu;                   /* silu(gate) up: rows x ff; gradients of gu: rows x 2 ff */
    bf16 *dx_down, *dx_out;          /* dx behind feed-forward and behind attention: rows x dim */
    bf16 *dout, *dqkv;               /* gradients of o and qkv, by rows */
    bf16 *left, *right;              /* operands of the gradients' products */
    bf16 *answers, *dlogits;         /* answer rows x dim, x vocab */
    float *logits;                   /* 32 x vocab */
    float *scores;                   /* 32 x padded keys */
    bf16 *p;                         /* probabilities of scores */
    bf16 *kt, *vt, *kr, *vr;         /* keys, values as right operands: transposed, by rows */
    float *dkt, *dvt;                /* gradients of keys and values: 32 x padded keys */
    int *position;                   /* of a row in its sequence */
    int *asked, *wanted;             /* rows to answer, and the words wanted there */
    int32_t *token;                  /* by row */

    /* the micro-batch */
    int rows, padded, n_asked, n_sequences;
    int *start, *length;             /* rows of its sequences */
};

/* Other libraries in the process must not see these, and calls need no table. */
#pragma GCC visibility push(hidden)

/* ---- step_memory.c ---- */

/*
 * Makes room for micro-batches of `rows` rows; what the buffers held is lost. 0 when memory is
 * short.
 */
int step_reserve(struct mason_step *s, int rows);

/* ---- step_weights.c ---- */

/* Floats of weight `which` (W_EMBED ...), and of its gradient. */
size_t step_weight_size(const struct mason_step *s, int which);

/*
 * Row 0 of column `column` (a multiple of 16) of queries, keys and values of layer l side by side,
 * in weights or gradients w. *ld: floats from one row to the next.
 */
float *step_qkv_column(const struct mason_step *s, float *const *w, int l, int column, long *ld);

/* Row 0 of the 16 columns of tile n of gate and up interleaved; rows are ff floats apart. */
float *step_gu_column(const struct mason_step *s, float *const *w, int l, int n);

/* Packs the weights w, norms' gains folded in, for the products of a step. */
void step_pack(const struct mason_step *s, float *const *w);

/*
 * Takes the raw gradients of matrices behind a norm apart, into those of gain and matrix; g's gains
 * must be zero. Fills g[W_HEAD] from head_gradient.
 */
void step_unfold(const struct mason_step *s, float *const *w, float *const *g);

/* ---- step_attention.c ---- */

/* layer->o and layer->lse of every sequence, from layer->qkv. */
void step_attention_forward(struct mason_step *s, struct step_layer *layer);

/* dqkv, unrotated, from dout and what the forward pass left in layer. */
void step_attention_backward(struct mason_step *s, const struct step_layer *layer);

/* ---- step_layers.c ---- */

/* y (dim) = x / rms(x); *r = 1 / rms. */
void step_normalise(const struct mason_step *s, const float *x, bf16 *y, float *r);

/* dx += the gradient of a norm's input, from dy, that of its output y; r is step_normalise's. */
void step_normalise_back(const struct mason_step *s, float *dx, const float *dy, const bf16 *y,
                         float r);

/* `to` (dim x columns) += x^T y; x is rows x dim, y rows x columns, rows a multiple of 32. */
void step_add_gradient(struct mason_step *s, float *to, const bf16 *x, const bf16 *y, int columns,
                       int rows);

/* The micro-batch through all layers, embedding first: x, and each layer's record. */
void step_forward(struct mason_step *s, float *const *w);

/* dx back through all layers; adds to the gradients g, those behind a norm raw. */
void step_backward(struct mason_step *s, float *const *g);

#pragma GCC visibility pop

/* The 32 floats at c turned to their position (back: the other way), as bf16. */
STEP_INLINE void step_rotate(const struct mason_step *s, bf16 *to, const float *c, int position,
                             int back)
{
    __m512 a = _mm512_loadu_ps(c), b = _mm512_loadu_ps(c + 16);
    __m512 cosine = _mm512_loadu_ps(s->cos + position * 16);
    __m512 sine = _mm512_loadu_ps(s->sin + position * 16);
    if (back) {
        sine = _mm512_sub_ps(_mm512_setzero_ps(), sine);
    }
    store_halves(to, _mm512_fmsub_ps(a, cosine, _mm512_mul_ps(b, sine)),
                 _mm512_fmadd_ps(a, sine, _mm512_mul_ps(b, cosine)));
}

#endif
