/*
 * layer_ranks.h: which layers need metadata, and of what rank.
 *
 * Layers differ: some attend to what is near and need no prediction, one may find what is asked.
 * How much of the attention the chosen groups hold, layer by layer and rank by rank, is measured on
 * text when adapters are fitted (ashlar calibrate), and kept with them. From such a table ranks
 * follow for any size: what all layers together may take is spent where it catches most.
 */
#ifndef KVSWAP_LAYER_RANKS_H
#define KVSWAP_LAYER_RANKS_H

#include <stdint.h>

#include "base/error.h"

enum { LAYER_RANK_STEP = 4 }; /* between the ranks of a table */

/** Keys of one sequence, and some of its last queries, of every layer. */
struct rank_sample {
    int n_layer, n_head, n_head_kv, head_dim;
    struct rank_sample_layer *layers;
};

/** Errors: NO_RESOURCE. Keys take memory as they come: at most some thousands of each layer. */
ashlar_status rank_sample_new(int n_layer, int n_head, int n_head_kv, int head_dim,
                              struct rank_sample **out, ashlar_error *err);
void rank_sample_free(struct rank_sample *s);

/**
 * Show a layer's keys (n, n_head_kv * head_dim) of positions [position, position + n), after RoPE.
 * Position 0 begins another sequence, which replaces one that was shorter than a sample should be,
 * and else is not looked at. Returns false when memory ran out.
 */
bool rank_sample_keys(struct rank_sample *s, int layer, int position, int n, const float *keys);
/** Show a query (n_head, head_dim) at a position whose key was shown. */
void rank_sample_query(struct rank_sample *s, int layer, int position, const float *query);

/**
 * The share of a layer's attention that is caught with the first 0, LAYER_RANK_STEP, ... rows of
 * its adapter (keys, queries: rank, width): caught (rank / LAYER_RANK_STEP + 1). All 1 when the
 * sample is too short to tell. Errors: NO_RESOURCE.
 */
ashlar_status rank_sample_measure(const struct rank_sample *s, int layer, int rank,
                                  const float *keys, const float *queries, float *caught,
                                  ashlar_error *err);

/**
 * Ranks (n_layer), 0 or 16 and more, whose sum is at most `total`, from a table caught (n_layer,
 * n_steps): always where 1 / caught falls most for each row.
 */
void layer_ranks_choose(const float *caught, int n_layer, int n_steps, int total, int *ranks);

#endif
