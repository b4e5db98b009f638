/*
 * calibrate.h: what an adapter is fitted to: each layer's Gram matrix K^T K of all keys seen, which holds
 * all that the right singular vectors of K need, in memory that does not grow with the number of keys.
 */
#ifndef KVSWAP_CALIBRATE_H
#define KVSWAP_CALIBRATE_H

#include "base/error.h"

struct calibration {
    int n_layer, width;
    uint64_t tokens; /* counted in the first layer */
    float *gram;     /* (n_layer, width, width): the upper triangles */
};

/** Errors: NO_RESOURCE. */
ashlar_status calibration_new(int n_layer, int width, struct calibration **out, ashlar_error *err);
void calibration_free(struct calibration *c);

/** Add n keys (n, width) of a layer, after RoPE. */
void calibration_add(struct calibration *c, int layer, int n, const float *keys);

/**
 * The first `rank` right singular vectors of a layer's keys as the columns of a (width, rank), the largest
 * singular value first. *energy: their share of the keys' squares. Errors: NO_RESOURCE, FAILED (LAPACK).
 */
ashlar_status calibration_fit(const struct calibration *c, int layer, int rank, float *a, double *energy,
                              ashlar_error *err);

#endif
