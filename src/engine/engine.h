/*
 * engine.h: what an engine and a session are made of, for the files of this folder only.
 *
 * Invariants:
 *  1. All memory of an evaluation is taken at open: the arena (activations), the KV policy's pages,
 *     the session table. Nothing is allocated per token.
 *  2. A session's length and its KV sequence's length are equal between calls. Both move only after
 *     a whole pass (every layer) succeeded.
 *  3. What is computed for a row depends on the row's session and the way its tokens were cut into
 *     passes, never on the number of threads.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <stdatomic.h>

#include "ashlar.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/rope.h"
#include "kernels/attention.h"
#include "kernels/linear.h"
#include "kvswap/calibrate.h"
#include "kvswap/kv.h"
#include "model/chat.h"
#include "model/model.h"
#include "model/tokenizer.h"

struct ashlar_session {
    ashlar_engine *engine;
    bool open;
    int sequence;      /* index in the engine's table and in the KV policy */
    int length;
    int32_t *tokens;   /* (n_ctx) */
    float *logits;     /* (n_vocab) of the last token, when has_logits */
    bool has_logits;
};

/** One session's rows in a pass: consecutive rows, consecutive positions. */
struct pass_item {
    struct ashlar_session *session;
    int first_row, n_rows;
    bool wants_logits; /* of its last row */
};

/** The batch being evaluated. Row arrays are (n_rows). */
struct pass {
    int n_rows, n_items;
    struct pass_item *items;     /* (max_items) */
    struct kv_item *kv_items;    /* (max_items) */
    struct kv_view *views;       /* (max_items) */
    struct attention_item *attention_items; /* (max_items) */
    int32_t *token;
    int *position, *item;
};

/** Activations of one pass; T = n_batch rows. */
struct activations {
    float *x;          /* (T, n_embd) residual stream */
    float *normed;     /* (T, n_embd) */
    float *q;          /* (T, n_head * head_dim) */
    float *k, *v;      /* (T, n_head_kv * head_dim) */
    float *attended;   /* (T, n_head * head_dim) */
    float *gate, *up;  /* (T, n_ff) */
    float *cosine, *sine; /* (T, rope pairs) */
    float *logits;     /* (max_items, n_vocab) */
    float *probe;      /* (max_items, n_embd) inputs of the KV policy's predictions */
};

struct ashlar_engine {
    ashlar_options options; /* defaults resolved */
    ashlar_model_info info;
    struct log log;
    struct model *model;
    struct tokenizer *tokenizer;
    enum chat_family chat;
    const struct kernels *kernels;
    struct pool *pool;
    struct rope rope;
    const struct kv_policy *policy;
    struct kv *kv;
    struct arena arena;
    struct linear linear;
    struct attention attention;
    struct activations act;
    struct pass pass;
    struct ashlar_session *sessions; /* (n_sessions) */
    int *length_before;              /* (n_sessions) scratch of ashlar_batch_eval */
    double attention_seconds;        /* since open */
    struct calibration *calibration; /* gathers keys; NULL: nobody asked */
    char *adapter_path;              /* of the KV policy; NULL: none */
    char *layer_ranks;               /* that the adapter's file suggests; NULL: none */
    atomic_int cancel;
};

/**
 * Evaluate e->pass; logits go to the sessions that want them. Errors: CANCELLED. What the KV policy
 * refuses is in kv_items[].status and described in err; the other items are evaluated.
 */
ashlar_status forward_pass(ashlar_engine *e, ashlar_error *err);

/** kv_config.project: queries of `layer` from rows of x. `engine` is the ashlar_engine. */
void forward_project(void *engine, int layer, const float *x, size_t x_stride, const int *rows,
                     int n_rows, float *q);

/** Add the pass's keys of a layer, and some of its queries, to e->calibration. */
void calibration_gather(ashlar_engine *e, int layer);

/** The element type that `o` names. Errors: USAGE (unknown, or head_dim is not whole blocks of it). */
ashlar_status kv_type(const ashlar_kv_options *o, int head_dim, enum tensor_type *type, ashlar_error *err);

/**
 * Choose the KV policy for `o` and resolve its budget and folder; `other_bytes` is what weights and
 * activations take. `why` says which and why, for the log. Errors: USAGE, NO_RESOURCE.
 */
ashlar_status kv_choose(const struct kv_config *config, ashlar_kv_options *o, uint64_t other_bytes,
                        const struct kv_policy **out, char *why, size_t why_size, ashlar_error *err);

#endif
