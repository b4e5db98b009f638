/*
 * adapter_file.h: adapters (lowrank.h) as a GGUF file beside the model they were fitted to.
 *
 *   key                               type     value
 *   general.architecture              string   "ashlar-adapter"
 *   ashlar.adapter.version            u32      2
 *   ashlar.adapter.model_fingerprint  string   16 hex digits: gguf_fingerprint of the model
 *   ashlar.adapter.block_count        u32      layers
 *   ashlar.adapter.width              u32      KV heads * head_dim
 *   ashlar.adapter.rank               u32      rows of the matrices, the most useful first
 *   ashlar.adapter.tokens             u32      keys that each layer was fitted to
 *
 *   tensor kvswap.blk.N.keys          F32      (rank, width), for N in [0, block_count)
 *   tensor kvswap.blk.N.queries       F32      (rank, width)
 *   tensor kvswap.caught              F32      (block_count, rank / 4 + 1), optional: layer_ranks.h
 */
#ifndef KVSWAP_ADAPTER_FILE_H
#define KVSWAP_ADAPTER_FILE_H

#include "kvswap/calibrate.h"
#include "kvswap/lowrank.h"

/**
 * Fit every layer and write the file; *energy_mean and *energy_least: the share of the mean square
 * of q . k that the adapter keeps, over the layers. Errors: FAILED (I/O, LAPACK), NO_RESOURCE.
 */
ashlar_status adapter_file_write(const char *path, uint64_t fingerprint,
                                 const struct calibration *c, int rank, double *energy_mean,
                                 double *energy_least, ashlar_error *err);

/**
 * Fill in all layers of `a` (allocated, its shape set) with the first a->rank rows.
 * Errors: BAD_INPUT (not an adapter, another model's, another shape, too few rows: the key or
 * tensor is named), FAILED, NO_RESOURCE.
 */
ashlar_status adapter_file_read(const char *path, uint64_t fingerprint, struct adapters *a,
                                ashlar_error *err);

/**
 * Ranks by layer that sum to at most n_layer * mean_rank, by the file's table of what each layer
 * catches: "N,N,...", which the caller frees; *list NULL when the file has no table. Errors: as
 * adapter_file_read.
 */
ashlar_status adapter_file_ranks(const char *path, uint64_t fingerprint, int n_layer, int width,
                                 int mean_rank, char **list, ashlar_error *err);

/**
 * Where a model's adapter is looked for: MODEL.gguf -> MODEL.adapter.gguf. The caller frees it;
 * NULL when memory ran out.
 */
char *adapter_file_beside(const char *model_path);

#endif
