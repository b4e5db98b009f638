/*
 * lowrank.h: the in-memory metadata that predicts which groups matter (KVSwap, arXiv 2511.11907):
 * per layer an adapter A (width, rank), width = n_kv_heads * head_dim, and per token the row
 * K_lr[t] = flatten(K[t]) A in int8 with one scale, K after RoPE.
 *
 * A is the first `rank` right singular vectors of stacked keys, no centring. One adapter serves all
 * sequences of an engine; it comes from a file (ashlar calibrate) or from the first keys seen.
 */
#ifndef KVSWAP_LOWRANK_H
#define KVSWAP_LOWRANK_H

#include "base/error.h"
#include "kernels/kernels.h"

/**
 * Keep BLAS and LAPACK on the calling thread, in the whole process: their own threads would fight the
 * pool's for the cores, and make the results depend on how many they are.
 */
void lowrank_init(void);

/** Columns of an adapter: width / sigma (0: the usual 8), but no fewer than recall bears. */
int lowrank_rank(int width, int sigma);

/** All layers' adapters. */
struct adapters {
    int n_layer, width, rank;
    float *a;    /* (n_layer, width, rank) */
    bool *ready; /* (n_layer) */
};

/**
 * Fit layer `layer` to n keys (n, width): the top right singular vectors, by the eigenvectors of the
 * smaller Gram matrix (LAPACK ssyevr). Errors: NO_RESOURCE; FAILED (LAPACK did not converge).
 */
ashlar_status adapters_fit(struct adapters *a, int layer, int n, const float *keys, ashlar_error *err);

/**
 * Eigenvectors of the m largest eigenvalues of a symmetric n x n matrix (its upper triangle; destroyed), as
 * columns of vectors (n, m), the largest last; values (n): the eigenvalues. Errors: as adapters_fit.
 */
ashlar_status lowrank_eigenvectors(int n, float *matrix, int m, float *values, float *vectors,
                                   ashlar_error *err);

/** y (n, rank) = x (n, width) A. */
void adapters_project(const struct adapters *a, int layer, int n, const float *x, float *y);

/** One layer of one sequence. Rows are biased: byte = value + 128 (what the score kernel wants). */
struct lowrank_rows {
    uint8_t *rows; /* (max_tokens, rank) */
    float *scales; /* (max_tokens) */
};

size_t lowrank_rows_bytes(int max_tokens, int rank);

/** Quantise `projected` (n, rank) into rows [first, first + n). */
void lowrank_store(struct lowrank_rows *rows, int rank, int first, int n, const float *projected);

#endif
