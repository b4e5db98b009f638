/*
 * attention.h: attention of a batch over the pool. Work is cut into units of one KV head x up to
 * ATTN_MAX_Q query tokens x (decode) a fixed range of keys, so that the cut, and with it the
 * result, does not depend on the number of threads; partial results are merged in key order.
 */
#ifndef KERNELS_ATTENTION_H
#define KERNELS_ATTENTION_H

#include "base/mem.h"
#include "base/pool.h"
#include "kernels/kernels.h"

/** One sequence's attention in one layer. */
struct attention_item {
    int n_q;                     /* query tokens, the last n_q of the sequence */
    const float *q;              /* (n_q, n_head, head_dim), q_stride floats per token */
    size_t q_stride;
    float *out;                  /* (n_q, n_head, head_dim), out_stride floats per token */
    size_t out_stride;
    const struct kv_span *spans; /* head h's spans at spans + h * n_spans */
    int n_spans;
    int n_keys;                  /* all of a head; query i sees the first n_keys - n_q + 1 + i */
    int first_key, window_keys;  /* the part of them in these spans; no keys: the item waits */
};

/** What an engine's attention has to be ready for. */
struct attention_shape {
    int n_head, n_head_kv, head_dim;
    enum tensor_type type; /* of keys and values; other than F16 is converted range by range */
    int max_items, max_tokens, max_keys;
};

struct attention {
    const struct kernels *kernels;
    struct pool *pool;
    struct attention_shape shape;
    unsigned char *scratch;  /* (threads) */
    size_t scratch_bytes;    /* per thread */
    size_t kernel_bytes;     /* the kernel's share of it; converted keys and results follow */
    size_t converted_bytes;
    float *partials;
    float *running;          /* (max_tokens, n_head, 2) maximum and sum of rows that fold ranges */
};

/**
 * Keys are attended in ranges of this many, counted from the first key of `n_keys`; a multiple of
 * ATTN_BLOCK, and at most its value for any longer sequence.
 */
int attention_range_keys(int n_keys);

/** Bytes that attention_init takes from the arena. */
size_t attention_bytes(const struct kernels *kernels, int n_threads,
                       const struct attention_shape *shape);
bool attention_init(struct attention *a, const struct kernels *kernels, struct pool *pool,
                    const struct attention_shape *shape, struct arena *arena);

/**
 * Attend all items of one layer. The sum of n_q is at most max_tokens.
 *
 * The keys may come in several windows, one call each, in key order and with the same items: each
 * window begins at a multiple of ATTN_RESUME keys.
 * `out` is valid after an item's last window. The result does not depend on how keys are cut into
 * windows.
 */
void attention_run(struct attention *a, const struct attention_item *items, int n_items);

#endif
