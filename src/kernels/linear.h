/*
 * linear.h: matrix products over the pool: y = x W^T (+ bias), few tokens by dot products
 * (decode, memory-bound), many by the packed GEMM (prefill, compute-bound).
 */
#ifndef KERNELS_LINEAR_H
#define KERNELS_LINEAR_H

#include "base/mem.h"
#include "base/pool.h"
#include "kernels/kernels.h"

/** One product; several that share x run as one parallel step. */
struct linear_job {
    const struct tensor *w; /* (n, k) */
    const float *bias;      /* (n) or NULL */
    float *y;               /* token t at y + t * y_stride */
    size_t y_stride;
    bool add;               /* y += instead of y = */
};

/** Scratch for products of up to max_tokens tokens and rows up to max_k, for all threads. */
struct linear {
    const struct kernels *kernels;
    struct pool *pool;
    int max_tokens, max_k;
    unsigned char *packed;   /* activations: quantised rows or GEMM blocks */
    unsigned char *panels;   /* (threads) weight panels */
    size_t packed_bytes, panel_bytes;
};

/** Bytes that linear_init takes from the arena. */
size_t linear_bytes(const struct kernels *kernels, int n_threads, int max_tokens, int max_k);
bool linear_init(struct linear *l, const struct kernels *kernels, struct pool *pool, int max_tokens,
                 int max_k, struct arena *arena);

/**
 * Run n_jobs products of the same x: n_tok rows, x_stride floats apart, K = w->n_cols of every job.
 * The result does not depend on the number of threads.
 */
void linear_run(struct linear *l, int n_tok, const float *x, size_t x_stride,
                const struct linear_job *jobs, int n_jobs);

#endif
