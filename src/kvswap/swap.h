/*
 * swap.h: the state of the on-disk policies, for the files swap_*.c and policy_swap.c only.
 *
 * A layer of a sequence keeps its tokens in three places:
 *
 *   groups [0, n_groups)   whole groups: on disk when the sequence is swapped, in slots otherwise;
 *                          a swapped sequence's slots are the reuse buffer
 *   tail                   the newest tokens: at least the recent window, less than a group more
 *   chunk                  during a pass of many tokens, the pass's own (one layer at a time)
 *
 * Invariants:
 *  1. Until all its slots are full a sequence is not swapped: group g is in slot g, nothing is on
 *     disk, attention is exact.
 *  2. Of a swapped sequence every group below n_groups is on disk (or in the write-behind stage,
 *     which begin() drains). Groups below n_indexed have their low-rank rows; while some have not,
 *     because there are too few keys yet to fit an adapter to, attention is exact.
 *  3. Groups are moved out of the tail only when their layer's attention is done. A pass that fails
 *     in between leaves layers with different n_groups; rewind brings them back to one length.
 *  4. What is read is checked (store.h) before a view points to it.
 */
#ifndef KVSWAP_SWAP_H
#define KVSWAP_SWAP_H

#include "kvswap/aio.h"
#include "kvswap/kv.h"
#include "kvswap/lowrank.h"
#include "kvswap/reuse.h"
#include "kvswap/store.h"

/** Sizes chosen for an engine: what the options leave open is filled in from the budget. */
struct swap_plan {
    struct store_shape shape;
    int width;         /* n_head_kv * head_dim */
    int rank;          /* of the layer that has most; 0: no metadata (stream) */
    const char *layer_ranks; /* the options', while an engine is opened; NULL: all have `rank` */
    bool per_head;     /* each query head scores for itself */
    enum score_type metadata;
    int select_groups; /* M */
    int reuse_groups;  /* C, at least M */
    int recent_tokens; /* always kept in the tail */
    int tail_tokens;   /* room of the tail */
    int n_windows;     /* streaming windows: 2, so that one is read while the other is used, or 1 */
    bool slot_windows; /* the windows are the slots of the sequence that streams, whose reuse buffer
                          is lost */
    int window_groups; /* of one streaming window: whole ATTN_RESUME keys */
    size_t fit_bytes;  /* of fitting adapters to a prompt; 0: a file brings them */
    int stage_groups;  /* of one write-behind buffer */
    int fit_groups;    /* an adapter is fitted to so many; 0: a file brings them */
    int max_spans;     /* of one head in a view */
    uint64_t bytes;    /* resident, everything counted */
    ashlar_kv_memory parts;
};

struct swap_layer {
    int n_groups;
    int n_indexed;            /* groups that have rows; all, in a layer of rank 0 */
    unsigned char *tail;      /* (2, n_head_kv, tail_tokens, head_dim): K then V */
    unsigned char *slots;     /* (reuse_groups, group_bytes) */
    struct reuse reuse;
    struct lowrank_rows rows;
};

struct swap_sequence {
    struct swap_layer *layers; /* (n_layer) */
    unsigned char *slots;      /* of all layers, one after the other */
    struct store store;
    bool swapped;
    int length;
    bool broken;        /* its disk failed: refused until emptied */
    ashlar_error error; /* why */
};

/** How an item of the pass is attended. */
enum swap_mode {
    SWAP_RESIDENT, /* everything is in memory: exact */
    SWAP_SELECT,   /* one token of a swapped sequence: predicted groups */
    SWAP_STREAM    /* all groups pass through the windows: exact */
};

struct swap_item {
    enum swap_mode mode;
    bool chunked;    /* its tokens go to the chunk, not straight to the tail */
    int chunk_first; /* its first token in the chunk */
};

/** The groups one item attends to in one layer, and their reads. */
struct selection {
    int layer;   /* -1: none */
    int n;
    int *groups; /* (select_groups + 1) rising */
    int n_missing;
    int *missing;               /* (select_groups + 1) groups being read, rising */
    unsigned char **places;     /* (select_groups + 1) their slots */
    struct iovec *pieces;       /* of the reads */
    int n_reads;                /* neighbours share one */
    struct aio_request *reads;  /* among kv->reads */
};

/** One write-behind buffer. */
struct stage {
    unsigned char *data;
    int n_groups, n_requests;
    struct aio_request *requests; /* (stage_groups) */
    struct iovec *pieces;         /* of the requests */
    int *owners;                  /* (stage_groups) sequence of each request */
    bool submitted;
};

/**
 * One streaming window: groups [first, first + n) of an item; the item's last one is followed by
 * what is in memory (tail and chunk), because attention resumes after ATTN_RESUME keys only.
 */
struct stream_window {
    int item, first, n;
    bool last;
};

struct kv {
    struct kv_config config;
    ashlar_kv_options options;
    char *folder; /* a copy: files are made when a sequence outgrows memory */
    struct swap_plan plan;
    bool metadata; /* kvswap; else stream */
    struct aio *aio;
    struct adapters adapters;
    int *ranks;           /* (n_layer) of the metadata */
    unsigned char *pages; /* everything large, one block */
    size_t pages_bytes;
    struct swap_sequence *sequences;
    ashlar_kv_stats stats;
    int step;

    /* the pass under way */
    struct kv_item *items; /* the engine's */
    int n_items;
    struct swap_item *swap_items;    /* (max_items) */
    struct selection *selections[2]; /* (max_items) of odd and even layers */
    struct aio_request *reads[2]; /* (max_items * (select_groups + 1)) of their items, in order */
    unsigned char *chunk;            /* (2, n_head_kv, max_tokens, head_dim) */
    struct stream_window *stream;    /* (max_items * windows of a full sequence) of every layer */
    int n_stream;
    unsigned char *windows[2]; /* the same twice when there is one; NULL with plan.slot_windows */
    struct aio_request window_reads[2];
    struct iovec *window_pieces[2]; /* of those reads; the same twice when there is one window */
    int stream_submitted, stream_used; /* over all layers */
    struct stage stages[2];
    int stage;
    struct kv_span *spans; /* (max_items, n_head_kv, max_spans) */

    /* scratch */
    float *keys;              /* (tokens an adapter is fitted to, or 1; width) */
    float *projected;         /* (a group's tokens, rank) */
    int *rows, *select_items; /* (max_items) of the items whose queries are below; select_items -1:
                                 broken */
    int n_choosing, choosing_layer;
    bool scored;              /* those items' groups have scores */
    bool choosing;            /* swap_choice_start's job is not joined */
    float *queries;           /* (max_items, n_head, head_dim) */
    int n_vectors;            /* queries that score for an item: 1, or all heads */
    struct lowrank_query *query_rows; /* (max_items, n_vectors) */
    int vector;               /* of the n_vectors, being scored */
    float *scores;            /* (max_items, max_groups) */
    float *head_scores;       /* the same of one head; NULL: one vector */
    float *padded;            /* (n_head, width) */
    int *order;               /* (max_groups) */

    /* recall meter, when options.check_every is set */
    bool checking;     /* this pass */
    int select_passes; /* passes that could be checked */
    ashlar_kv_recall *recall;      /* (n_layer) */
    struct swap_mass *check_mass;  /* (n_head, 2) of all keys and of the attended ones */
    struct kv_span *check_spans;   /* (n_head_kv, 2, window_groups) */
    unsigned char *check_scratch;  /* (n_head_kv) */
};

/* swap_layout.c: sizes and memory. */
/** Errors: NO_RESOURCE (budget too small; the hint names the smallest that would do), USAGE. */
ashlar_status swap_plan_make(const struct kv_config *config, bool metadata, struct swap_plan *plan,
                             ashlar_error *err);
/**
 * Allocate everything the plan counts; false when out of memory (swap_layout_free still to be
 * called).
 */
bool swap_layout_allocate(struct kv *kv);
void swap_layout_free(struct kv *kv);

/* swap_sequence.c: where a sequence's tokens are. */
void swap_sequence_clear(struct kv *kv, struct swap_sequence *s);
/** Refuse the sequence from now on, and this pass's item. */
void swap_break(struct kv *kv, int sequence, const ashlar_error *error);
/** Put a resident sequence on disk. */
ashlar_status swap_spill(struct kv *kv, int sequence, ashlar_error *err);
/** Move what the pass added in `layer` into groups, and keep the rest as the tail. */
ashlar_status swap_absorb(struct kv *kv, int item, int layer, ashlar_error *err);
/**
 * Give rows to groups on disk that have none, and fit the adapters first when there are none; too
 * few keys for that: nothing. Only while no read is under way.
 */
ashlar_status swap_index(struct kv *kv, int sequence, ashlar_error *err);
/** Have all groups of all layers their rows? */
bool swap_indexed(const struct kv *kv, const struct swap_sequence *s);
/** The streaming window `buffer` (0, 1) for a sequence. */
unsigned char *swap_window_data(const struct kv *kv, const struct swap_sequence *s, int buffer);
/** Before a swapped sequence's slots are used as windows, where they are: forget what they hold. */
void swap_release_slots(const struct kv *kv, struct swap_sequence *s);
/** Bring every layer to `length` tokens. */
ashlar_status swap_restore(struct kv *kv, int sequence, int length, ashlar_error *err);
unsigned char *swap_tail_row(const struct kv *kv, const struct swap_layer *l, int part, int head,
                             int token);
unsigned char *swap_chunk_row(const struct kv *kv, int part, int head, int token);

/* swap_stage.c: write-behind. */
unsigned char *swap_stage_room(struct kv *kv, int n_groups);
/** Queue groups for writing; what cannot be written breaks the sequence. */
void swap_stage_write(struct kv *kv, int sequence, int layer, int group, int n,
                      unsigned char *data);
void swap_stage_submit(struct kv *kv);
void swap_stage_drain(struct kv *kv);

/* swap_sample.c: queries that adapters are fitted to. */
/**
 * Keep some queries of a prompt for the layer's adapter, from its normed input x, unless it has
 * one.
 */
void swap_sample(struct kv *kv, int layer, const float *x, size_t x_stride);

/* swap_predict.c: which groups a layer will need. */
/** Project the layer's queries from x (rows of the pass). */
void swap_predict_queries(struct kv *kv, int layer, const float *x, size_t x_stride);
/**
 * Choose groups by the queries projected last and submit their reads: here, or as a job for a
 * thread of the pool that is free. Until swap_choice_join, kv->aio and the selections of that layer
 * are the job's.
 */
void swap_choice_start(struct kv *kv, bool here);
void swap_choice_join(struct kv *kv);
/** True when no read of a layer's selections is under way. */
bool swap_reads_finished(struct kv *kv, int layer);
/** Wait for an item's reads of a layer and check them. */
ashlar_status swap_selection_wait(struct kv *kv, int item, int layer, ashlar_error *err);
/** Wait for all reads of an item whose sequence is broken: nobody will look at them. */
void swap_selection_drain(struct kv *kv, int item);

/* policy_swap.c */
/** A group's bytes as a span of one KV head. */
struct kv_span swap_group_span(const struct kv *kv, const unsigned char *data, int head);

/* swap_check.c: the recall meter. */
size_t swap_check_mass_bytes(const struct kv_config *c);
size_t swap_check_scratch_bytes(const struct kv_config *c); /* per KV head */
/**
 * Compare what an item attends to in a layer with all its keys, by its own queries q (n_head,
 * head_dim). Reads everything through the first window. Errors: as store_check.
 */
ashlar_status swap_check(struct kv *kv, int layer, int item, const float *q, ashlar_error *err);

/** What the rows of a layer's metadata are. */
static inline struct lowrank_format swap_format(const struct kv *kv, int layer)
{
    return (struct lowrank_format){kv->plan.metadata, kv->ranks[layer],
                                   kv->plan.shape.group_tokens};
}

static inline struct swap_sequence *swap_of(const struct kv *kv, int item)
{
    return &kv->sequences[kv->items[item].sequence];
}

#endif
