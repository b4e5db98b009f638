/*
 * tuner.h: choosing kvswap's settings for a model, a context, a budget and a disk. docs/tuner.md
 * states the cost model; the names here are its symbols.
 */
#ifndef KVSWAP_TUNER_H
#define KVSWAP_TUNER_H

#include "kvswap/kv.h"

enum { TUNE_BLOCKS = 5, TUNE_DEPTHS = 4, TUNE_CANDIDATES = 64 };

/** What a disk does: time of a burst of `depths` reads of `blocks` bytes submitted at once. */
struct tune_device {
    int blocks[TUNE_BLOCKS], depths[TUNE_DEPTHS];
    double seconds[TUNE_BLOCKS][TUNE_DEPTHS];
    double submit_seconds; /* the caller's time for one read */
    const char *io;        /* "io_uring" or "threads" */
    bool direct;           /* O_DIRECT; else the page cache was measured */
};

/**
 * Measure random reads on a temporary file in `folder` through the I/O that `o` asks for (its rate
 * limit too), in about `seconds` plus the time to write the file. Errors: FAILED, NO_RESOURCE,
 * CANCELLED (the progress callback of `log` said stop).
 */
ashlar_status tune_probe(const char *folder, const ashlar_kv_options *o, double seconds,
                         const struct log *log, struct tune_device *out, ashlar_error *err);

/** Time of n reads (a mean: may be a fraction) of `bytes` each, submitted at once; interpolated. */
double tune_io_seconds(const struct tune_device *d, size_t bytes, double n);

/** What computing costs on this machine, for one step of the whole batch. */
struct tune_costs {
    double layer_seconds;   /* one layer with nothing to attend to */
    double other_seconds;   /* embedding, output matrix, sampling: outside the layers */
    double attend_seconds[TENSOR_TYPE_COUNT]; /* one key of one sequence in one layer, by KV type */
    double query_seconds;   /* the predicted query of one layer */
    double score_seconds;   /* one byte of low-rank metadata */
    double select_seconds;  /* one group that may be selected */
    double handoff_seconds; /* giving the threads one piece of work */
};

/** Measure score_seconds, select_seconds and handoff_seconds; the rest stays. Errors: NO_RESOURCE.
 */
ashlar_status tune_measure_prediction(const struct kernels *kernels, struct pool *pool,
                                      struct tune_costs *costs, ashlar_error *err);

/** One setting and what it is expected to cost; times are of one layer in one step of the batch. */
struct tune_choice {
    enum tensor_type type; /* of keys and values */
    int group_tokens, select_tokens, reuse_tokens, sigma, rank;
    const char *metadata; /* its type; static */
    uint64_t bytes;   /* resident */
    double hit_share; /* of selected groups found in memory */
    double misses;    /* groups read per layer and step */
    double compute_seconds, predict_seconds, io_seconds;
    double step_seconds; /* the whole step */
};

/**
 * Expected share of selected groups in a reuse buffer of `reuse` groups, when the last `select`
 * alone give `base`.
 */
double tune_hit_share(double base, int select, int reuse, int n_groups);

/**
 * The KV types to choose from, into types (2): the one given in the options, or F16 and, where
 * heads are whole blocks of it, Q8_0, which loses no answers (docs/benchmarks.md). Returns how
 * many.
 */
int tune_types(const struct kv_config *c, enum tensor_type *types);

/**
 * Fill in candidates (room for TUNE_CANDIDATES) that keep c->options' budget, best first; settings
 * given in c->options are kept. `base_hits`: see tune_hit_share. Errors: NO_RESOURCE (nothing
 * fits), USAGE.
 */
ashlar_status tune_choose(const struct kv_config *c, const struct tune_costs *costs,
                          const struct tune_device *d, double base_hits,
                          struct tune_choice *candidates, int *n, ashlar_error *err);

#endif
