/*
 * kernels.h: arithmetic on activations: one table of functions per instruction set. The scalar
 * table is the reference; every other table starts as a copy of the next simpler one and overrides
 * what it does faster. tests/kernels checks each override against the scalar entry.
 *
 * Shapes are written (rows, columns), row-major. Activations are float. K is a row's length: a
 * multiple of the weight type's block. No function here allocates, locks or starts threads; the
 * drivers that cut work into chunks for the pool are linear.h and attention.h.
 */
#ifndef KERNELS_KERNELS_H
#define KERNELS_KERNELS_H

#include "model/tensor.h"

/* Activations are quantised in blocks of 32 along K, sums kept per 16 for types with minima. */
enum { ACT_BLOCK = 32, ACT_SUM_BLOCK = 16 };

/** One row of activations in the forms that dot products want. Arrays are 64-byte aligned. */
struct act_row {
    const float *f;   /* (K) */
    const int8_t *q;  /* (K) x is about q * d, |q| <= 127; NULL when K is not a multiple of 32 */
    const float *d;   /* (K / 32) */
    const float *s;   /* (K / 16) d times the sum of the q of 16 values */
};

/**
 * Decode: y[r] = sum_k w[r][k] * x[k] for n_rows rows, row_bytes apart. Memory-bound: each weight
 * byte is read once. Quantised types use x->q, the others x->f.
 */
typedef void (*dot_fn)(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                       float *y);

/**
 * The same for n_tok tokens, of which x has as many: y[t * y_stride + r], each bit for bit what a
 * dot_fn gives for the token alone. A weight's bits are unpacked once for several tokens.
 */
typedef void (*dots_fn)(int n_rows, int n_tok, int k, const void *w, size_t row_bytes,
                        const struct act_row *x, float *y, size_t y_stride);

/**
 * A quantised row as integers: w[i] = d[i / group] * q[i] + m[i / group], group = 16 for Q2_K,
 * Q3_K, Q6_K, else 32; q fits int8. The one description of each format; dequantising, GEMM packing
 * and the plain dot product are built on it.
 */
typedef void (*unpack_fn)(int k, const void *w, int8_t *q, float *d, float *m);

/**
 * Prefill GEMM for one family of weight types, in an instruction set's own packed forms:
 * y[t][r] = sum_k w[r][k] * x[t][k].
 *
 * Activations are packed once per call in blocks of `tokens` tokens; weights are packed one panel
 * of `rows` rows at a time into per-thread scratch (at most panel_bytes(k)) that stays in the L2
 * cache while all tokens pass over it. Short last blocks and panels are zero-filled.
 */
struct gemm_kernel {
    int rows, tokens;
    size_t (*panel_bytes)(int k);                /* one panel of weights */
    size_t (*block_bytes)(int k);                /* one block of activations */
    void (*pack_x)(int k, int n_tok, const float *x, size_t x_stride, void *block);
    void (*pack_w)(const struct tensor *w, int first_row, int n_rows, void *panel);
    /* y + t * y_stride + r; adds to y when `add` */
    void (*run)(int k, int n_rows, int n_tok, const void *panel, const void *block, float *y,
                size_t y_stride, bool add);
};

/** A run of consecutive keys and values of one KV head, elements of type `attn_args.type`. */
struct kv_span {
    const void *k, *v; /* (n, head_dim) each, rows contiguous */
    int n;
};

/**
 * One unit of attention: n_q query tokens x n_group query heads that share one KV head, against the
 * keys [key_begin, key_end) of the spans' concatenation. Query token i may see keys
 * [0, n_visible + i). Results are partial: for each (query token, head) the running maximum, the
 * sum of exp(score - maximum), and the unnormalised weighted sum of values, to be merged by
 * attention.c. Keys are processed in blocks of ATTN_BLOCK counted from key_begin, whatever the
 * spans' lengths, so the result does not depend on how the cache is cut into spans. Nor does it
 * depend on how the keys are cut into calls that resume each other, as long as each but the last
 * takes a multiple of ATTN_RESUME keys.
 */
enum { ATTN_BLOCK = 64, ATTN_RESUME = 128 };

struct attn_args {
    enum tensor_type type;      /* F16 (later Q8_0, Q4_0) */
    int head_dim, n_group, n_q;
    const float *q;             /* query token i, head g at q + i * q_stride + g * head_dim */
    size_t q_stride;
    float scale;                /* 1 / sqrt(head_dim) */
    const struct kv_span *spans;
    int n_spans;
    int key_begin, key_end;
    int n_visible;
    bool resume;                /* start from the results of an earlier call, for earlier keys */
    float *max, *sum;           /* (n_q, n_group) out */
    float *acc;                 /* (n_q, n_group, head_dim) out */
    void *scratch;              /* attn_scratch_bytes, 64-byte aligned */
};

/**
 * Rows that stand for keys, `rank` values each. Integers are stored with a bias, so that they are
 * unsigned: SCORE_INT8 a byte each, SCORE_INT4 (even ranks) half a byte: byte i of a row holds
 * value i in its low and value rank / 2 + i in its high bits. SCORE_F16: binary16.
 */
enum score_type { SCORE_INT8, SCORE_INT4, SCORE_F16, SCORE_TYPES };
enum { SCORE_BIAS8 = 128, SCORE_BIAS4 = 8 };

/**
 * scores[g] = query_scale * scales[g] * max over the group's tokens t of sum_i row[t][i] *
 * query[i], the bias taken off the rows; scales are not negative, and 1 for SCORE_F16.
 */
struct score_args {
    int n_groups, group_tokens, rank;
    const void *rows;       /* (n_groups, group_tokens) rows of score_row_bytes */
    const uint16_t *scales; /* (n_groups) binary16; unused for SCORE_F16 */
    const void *query;      /* (rank) int8_t from -127 to 127; float for SCORE_F16 */
    int query_sum;          /* of an integer query */
    float query_scale;
    float *scores;          /* (n_groups) out */
};

static inline size_t score_row_bytes(enum score_type type, int rank)
{
    return type == SCORE_F16    ? 2 * (size_t)rank
           : type == SCORE_INT8 ? (size_t)rank
                                : (size_t)rank / 2;
}

struct kernels {
    const char *name; /* "scalar", "avx2", "avx512", "amx", "neon" */

    dot_fn dot[TENSOR_TYPE_COUNT];       /* NULL for types we do not read */
    unpack_fn unpack[TENSOR_TYPE_COUNT]; /* NULL for float types */
    const struct gemm_kernel *gemm[TENSOR_TYPE_COUNT];
    int gemm_min_tokens;                 /* from how many tokens the GEMM beats repeated dots */
    dots_fn dots[TENSOR_TYPE_COUNT];     /* NULL: token by token */
    int gemm_min_dots;                   /* from how many tokens the GEMM beats dots, if there */

    void (*dequantize)(enum tensor_type type, int k, const void *w, float *y);
    /* q (k), d (k/32), s (k/16) from x (k) */
    void (*act_quantize)(int k, const float *x, int8_t *q, float *d, float *s);

    /* y = x / rms(x) * w; y may be x */
    void (*rms_norm)(int n, const float *x, const float *w, float eps, float *y);
    /* rotate n_heads heads of head_dim in place; cos, sin: (rope_dims / 2) */
    void (*rope)(bool neox, int n_heads, int head_dim, int rope_dims, const float *cos,
                 const float *sin, float *x);
    void (*silu_mul)(int n, const float *gate, const float *up, float *y); /* silu(gate) * up */
    void (*add)(int n, const float *x, float *y);                          /* y += x */
    void (*to_f16)(int n, const float *x, uint16_t *y);

    /* Which groups of keys matter: kvswap/lowrank.h. */
    void (*score[SCORE_TYPES])(const struct score_args *args);

    /* For n_q from 1 (decode) to ATTN_MAX_Q (prefill). */
    void (*attend)(const struct attn_args *args);
    size_t (*attn_scratch_bytes)(int head_dim, int n_group, int n_q);
};

enum { ATTN_MAX_Q = 64 };

/**
 * The best table for this machine, or the one called `isa`; NULL when the machine or build lacks
 * it. Safe to call more than once.
 */
const struct kernels *kernels_select(const char *isa);

/** All tables this machine can run, scalar first; returns how many (tests, bench). */
int kernels_available(const struct kernels *tables[8]);

/* One per file; each returns NULL when the build or the machine lacks the instruction set. */
const struct kernels *kernels_scalar(void);
const struct kernels *kernels_avx2(void);
const struct kernels *kernels_avx512(void); /* needs F, BW, DQ, VL, VNNI; uses BF16 where present */
const struct kernels *kernels_amx(void); /* needs AMX-TILE, AMX-BF16 and the kernel's permission */
const struct kernels *kernels_neon(void);   /* AArch64; uses dot product where present */

#endif
