/*
 * kv.h: the KV-cache seam. A policy decides which keys and values a step attends to and where they
 * live; the forward pass only knows this table. Implementations: full (everything in memory),
 * stream (everything on disk, all of it read every step), kvswap (on disk, the groups that matter
 * are predicted one layer ahead and fetched while the layer before computes).
 *
 * One pass over a batch calls, in this order:
 *
 *   begin(items)                      room for the new tokens is made, or items are refused
 *   for each layer:
 *       predict(layer, x)             the layer's normed input: start fetching what layer + 1 needs
 *       append(layer, ...) per token  new keys (after RoPE) and values; from several threads
 *       for each window of windows(layer):
 *           window(layer, w, views)   wait; the resident spans to attend to, in position order
 *       end(layer)                    the spans may be reused; write-behind may start
 *   commit() or abort()               the new tokens stay, or never were
 *
 * An item that fails (its disk, its quota) gets a status and takes no further part; the others go
 * on. A sequence's length changes only in commit and rewind. Keys are post-RoPE.
 */
#ifndef KVSWAP_KV_H
#define KVSWAP_KV_H

#include "base/error.h"
#include "base/log.h"
#include "base/pool.h"
#include "kernels/kernels.h"

struct kv; /* a policy's state for one engine */

struct kv_config {
    const struct kernels *kernels;
    struct pool *pool;
    const struct log *log;
    const ashlar_kv_options *options; /* budget_fraction resolved to bytes, folder set */
    struct aio_fault_plan *fault;     /* tests: a disk that fails; NULL */
    uint64_t fingerprint; /* of the model */
    const char *adapter;  /* the adapters' file (adapter_file.h); NULL: fit them to the keys */
    enum tensor_type type; /* of keys and values: F16, Q8_0 or Q4_0 */
    int n_layer, n_head, n_head_kv, head_dim;
    int n_ctx;       /* tokens a sequence can hold */
    int n_sequences; /* sequences that can be open */
    int max_items;   /* sequences in one pass */
    int max_tokens;  /* tokens in one pass */
    /**
     * Queries of `layer` as if x were its normed input: for each of n_rows rows of the pass
     * (x + rows[i] * x_stride), q (n_head, head_dim) after bias, norm and RoPE, at q + i * n_head *
     * head_dim.
     */
    void (*project)(void *user, int layer, const float *x, size_t x_stride, const int *rows,
                    int n_rows, float *q);
    void *project_user;
};

/** One sequence's share of a pass: tokens at positions [position, position + n_tokens). */
struct kv_item {
    int sequence;
    int position;         /* equals the sequence's length */
    int n_tokens;
    int first_row;        /* of the pass */
    bool fill;            /* tokens are stored and nothing is attended to: no window is asked for */
    ashlar_status status; /* out: not OK takes the item out of the pass */
};

/** What one item attends to in one window; valid until the next call. */
struct kv_view {
    const struct kv_span *spans; /* KV head h's spans at spans + h * n_spans */
    int n_spans;
    int first_key; /* index of the window's first key among the keys attended */
    int n_keys;    /* in this window; 0: the item has no part in it */
    int total_keys; /* over all windows, the pass's own tokens last */
};

struct kv_policy {
    const char *name;

    /**
     * Resident bytes when every sequence is full, under config->options' budget.
     * Errors: NO_RESOURCE when nothing fits the budget; the hint names the smallest that would.
     */
    ashlar_status (*estimate)(const struct kv_config *config, uint64_t *bytes, ashlar_error *err);
    ashlar_status (*open)(const struct kv_config *config, struct kv **out, ashlar_error *err);
    void (*close)(struct kv *kv);

    /** Sequences are numbered [0, n_sequences) by the engine; rewind to 0 empties one. */
    void (*rewind)(struct kv *kv, int sequence, int length);

    /** Sets each item's status; err describes the first that failed. */
    void (*begin)(struct kv *kv, struct kv_item *items, int n_items, ashlar_error *err);
    void (*predict)(struct kv *kv, int layer, const float *x, size_t x_stride);
    /**
     * k, v: (n_head_kv, head_dim) of token `token` of item `item`. Safe for distinct tokens at
     * once.
     */
    void (*append)(struct kv *kv, int layer, int item, int token, const float *k, const float *v);
    /**
     * Optional: the queries q (n_head, head_dim) of a one-token item, after append and before
     * windows, for a policy that measures now and then how much of the attention its choice of keys
     * holds. Sets the item's status like begin.
     */
    void (*meter)(struct kv *kv, int layer, int item, const float *q, ashlar_error *err);
    int (*windows)(struct kv *kv, int layer);
    /** views: one per item. Sets items' status like begin. */
    void (*window)(struct kv *kv, int layer, int window, struct kv_view *views, ashlar_error *err);
    void (*end)(struct kv *kv, int layer, ashlar_error *err);
    void (*commit)(struct kv *kv, ashlar_error *err);
    void (*abort)(struct kv *kv);
    void (*stats)(const struct kv *kv, ashlar_kv_stats *out);
    /** Optional: what meter found in a layer; false when nothing yet. */
    bool (*recall)(const struct kv *kv, int layer, ashlar_kv_recall *out);
};

/**
 * Store a row (head_dim) as the configured type. Values that are not finite become 0 in the
 * quantised types, which cannot hold them.
 */
void kv_row_store(const struct kv_config *config, const float *x, void *row);

/** Everything in memory, exact attention. */
extern const struct kv_policy kv_policy_full;

/** Everything on disk; a step reads all of it through two windows. Exact. */
extern const struct kv_policy kv_policy_stream;

/**
 * On disk; a step reads the groups that matter, predicted one layer ahead (KVSwap, arXiv
 * 2511.11907). Exact until a sequence outgrows its reuse buffer, and for passes of many tokens
 * always.
 */
extern const struct kv_policy kv_policy_kvswap;

#endif
