/*
 * lowrank.h: the in-memory metadata that predicts which groups matter (KVSwap, arXiv 2511.11907):
 * per token and layer a row of `rank` values that stands for the token's key, after RoPE.
 *
 * An adapter is a pair of matrices (rank, width), width = n_kv_heads * head_dim: A projects keys, B
 * queries, and (B q) . (A k) stands for q . k. The paper takes the singular vectors of the keys for
 * both; here A and B are the pair that keeps most of the squares of q . k over the queries and keys
 * they are fitted to:
 *
 *     Sigma_k, Sigma_q  mean outer products of keys and of queries
 *     V                 leading eigenvectors of Sigma_k^1/2 Sigma_q Sigma_k^1/2, the largest first
 *     A = V^T Sigma_k^-1/2      B = V^T Sigma_k^1/2
 *
 * so that directions no query looks at cost no rank, and every value of A k has the same mean
 * square, which few bits want. The queries are the means over all query heads of a KV head, as in
 * prediction. One adapter serves all sequences of an engine; it comes from a file (ashlar
 * calibrate) or from the first prompt.
 *
 * Rows are stored as integers with one scale for each group of tokens, or in F16.
 */
#ifndef KVSWAP_LOWRANK_H
#define KVSWAP_LOWRANK_H

#include "base/error.h"
#include "kernels/kernels.h"

/**
 * Keep BLAS and LAPACK on the calling thread, in the whole process: their own threads would fight
 * the pool's for the cores, and make the results depend on how many they are.
 */
void lowrank_init(void);

/** Rows of an adapter: width / sigma (0: the usual 8), but no fewer than recall bears. */
int lowrank_rank(int width, int sigma);

/* ---- rows ---------------------------------------------------------------------------------- */

/** What an engine's rows are. */
struct lowrank_format {
    enum score_type type;
    int rank, group_tokens;
};

/** One layer of one sequence. */
struct lowrank_rows {
    unsigned char *rows; /* (groups, group_tokens) rows of score_row_bytes */
    uint16_t *scales;    /* (groups) binary16; unused in F16 */
};

/** A query among its rows. */
struct lowrank_query {
    void *row; /* lowrank_query_bytes */
    int sum;
    float scale;
};

/** "int8", "int4", "f16"; false when it is none of them. */
bool lowrank_type_parse(const char *name, enum score_type *type);
const char *lowrank_type_name(enum score_type type);

/** Scales that `groups` groups have. */
size_t lowrank_scales(const struct lowrank_format *f, size_t groups);
size_t lowrank_query_bytes(const struct lowrank_format *f);

/** Store `projected` (n, group_tokens, rank) as groups [first, first + n). */
void lowrank_store(const struct lowrank_format *f, struct lowrank_rows *rows, int first, int n,
                   const float *projected);

/** Prepare a projected query (rank); its scores are multiplied by `scale`. */
void lowrank_query_set(const struct lowrank_format *f, const float *projected, float scale,
                       struct lowrank_query *q);

/** Scores (n) of groups [first, first + n): the best of each group's tokens. */
void lowrank_score(const struct kernels *kernels, const struct lowrank_format *f,
                   const struct lowrank_rows *rows, const struct lowrank_query *q, int first, int n,
                   float *scores);

/**
 * Mean over the query heads that share a KV head: (n_head_kv, head_dim), in place at the front of
 * q.
 */
void lowrank_average_heads(int n_head, int n_head_kv, int head_dim, float *q);

/* ---- adapters ------------------------------------------------------------------------------ */

enum adapter_side { ADAPTER_KEYS, ADAPTER_QUERIES };

/** All layers' adapters. Until a layer's is fitted, its memory holds the queries sampled for it. */
struct adapters {
    const struct kernels *kernels;
    int n_layer, width;
    int rank;         /* the largest of all layers */
    const int *ranks; /* (n_layer) of each; NULL: the same */
    unsigned char *data; /* for each layer 2 * rank rows of adapters_row_bytes: Q8_0, or F16 */
    bool *ready;         /* (n_layer) */
    int *n_samples;      /* (n_layer) */
    unsigned char *act;  /* adapters_act_bytes(width) scratch, 64-byte aligned */
    float *fit_scratch;  /* lowrank_fit_bytes of the most keys fitted to; for adapters_fit only */
};

size_t adapters_row_bytes(int width);
/** Of the scratch in which a projected row is rounded. */
size_t adapters_act_bytes(int width);
int adapters_rank(const struct adapters *a, int layer);

/** Queries of a layer that are still welcome: at most 2 * its rank are kept. */
int adapters_wanted(const struct adapters *a, int layer);
/** Keep a query (width), the mean over its heads; one that is not finite is not kept. */
void adapters_sample(struct adapters *a, int layer, const float *q);

/**
 * Fit layer `layer` to n keys (n, width) and the queries sampled; without any, all directions of a
 * query count the same. Errors: NO_RESOURCE; FAILED (LAPACK did not converge).
 */
ashlar_status adapters_fit(struct adapters *a, int layer, int n, const float *keys,
                           ashlar_error *err);

/** Bytes of a->fit_scratch for n keys; LAPACK's own, which it allocates, are among them. */
size_t lowrank_fit_bytes(int n, int width, int rank);

/** Take a layer's matrices, of which the first rows, as many as its rank: (rank, width). */
void adapters_set(struct adapters *a, int layer, const float *keys, const float *queries);

/**
 * y (n, the layer's rank) = x (n, width) times the transpose of one of the layer's matrices, row by
 * row: BLAS would want both sides packed in memory that no budget counts. With Q8_0 rows x is
 * rounded to 8 bits too.
 */
void adapters_project(const struct adapters *a, int layer, enum adapter_side side, int n,
                      const float *x, float *y);

/* ---- fitting ------------------------------------------------------------------------------- */

/** Directions among which adapters of `rank` are looked for. */
int lowrank_directions(int n, int width, int rank);

/**
 * Eigenvectors of the m largest eigenvalues of a symmetric n x n matrix (its upper triangle;
 * destroyed), as rows of vectors (m, n), the largest last; values (n): the eigenvalues. Errors: as
 * adapters_fit.
 */
ashlar_status lowrank_eigenvectors(int n, float *matrix, int m, float *values, float *vectors,
                                   ashlar_error *err);

/**
 * From the keys' principal directions v (m, width), mean squares along them (m), and the queries'
 * mean outer product in those directions c (m, m; destroyed; its upper triangle; all 0: no queries)
 * the matrices keys, queries (rank, width). work: lowrank_weigh_floats. *captured: the mean square
 * of (B q) . (A k). Errors: as adapters_fit.
 */
size_t lowrank_weigh_floats(int m, int rank);
ashlar_status lowrank_weigh(int width, int m, int rank, const float *v, const float *squares,
                            float *c, float *work, float *keys, float *queries, double *captured,
                            ashlar_error *err);

#endif
