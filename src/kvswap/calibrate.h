/*
 * calibrate.h: what an adapter is fitted to: for each layer the sums of outer products of all keys
 * seen, and of the queries, which hold all that the fit needs, in memory that does not grow with
 * their number.
 */
#ifndef KVSWAP_CALIBRATE_H
#define KVSWAP_CALIBRATE_H

#include "base/error.h"
#include "kvswap/layer_ranks.h"

struct calibration {
    int n_layer, width;
    uint64_t tokens, queries; /* counted in the first layer */
    float *keys_gram;         /* (n_layer, width, width): the upper triangles */
    float *queries_gram;
    float *query; /* room for one query of all heads, the caller's */
    struct rank_sample *sample; /* what layers are compared by; NULL: they are not */
};

/** Errors: NO_RESOURCE. */
ashlar_status calibration_new(int n_layer, int width, int query_values, struct calibration **out,
                              ashlar_error *err);
void calibration_free(struct calibration *c);

/** Add n keys (n, width) of a layer, after RoPE. */
void calibration_add(struct calibration *c, int layer, int n, const float *keys);
/** Add a query (width), the mean over the heads of each KV head, after RoPE. */
void calibration_add_query(struct calibration *c, int layer, const float *query);

/**
 * A layer's adapter (lowrank.h), keys and queries (rank, width). *share: of the mean square of q .
 * k, how much the adapter keeps. Errors: NO_RESOURCE, FAILED (LAPACK).
 */
ashlar_status calibration_fit(const struct calibration *c, int layer, int rank, float *keys,
                              float *queries, double *share, ashlar_error *err);

#endif
