/*
 * attend_block.h: the walk over the keys of one unit of attention, shared by the tables: blocks of
 * ATTN_BLOCK keys as pointers, so that kernels need not know where spans begin and end. A "row" is
 * one query token of one head, numbered token * n_group + head. Half-precision keys only.
 */
#ifndef KERNELS_ATTEND_BLOCK_H
#define KERNELS_ATTEND_BLOCK_H

#include "kernels/kernels.h"
#include <math.h>
#include <string.h>

/** One block of keys; entries behind n repeat the last, so that kernels may round n up. */
struct attend_block {
    int first, n;
    const uint16_t *k[ATTN_BLOCK], *v[ATTN_BLOCK];
};

/** Where the next key lies: start with {args->spans, args->key_begin}. */
struct attend_cursor {
    const struct kv_span *span;
    int at;
};

/** The block of keys [first, first + ATTN_BLOCK), cut at key_end; the cursor moves behind it. */
static inline void attend_next_block(const struct attn_args *a, struct attend_cursor *c, int first,
                                     struct attend_block *b)
{
    b->first = first;
    b->n = a->key_end - first < ATTN_BLOCK ? a->key_end - first : ATTN_BLOCK;
    for (int i = 0; i < b->n; i++, c->at++) {
        while (c->at >= c->span->n)
            c->at -= c->span++->n;
        size_t offset = (size_t)c->at * (size_t)a->head_dim;
        b->k[i] = (const uint16_t *)c->span->k + offset;
        b->v[i] = (const uint16_t *)c->span->v + offset;
    }
    for (int i = b->n; i < ATTN_BLOCK; i++) {
        b->k[i] = b->k[b->n - 1];
        b->v[i] = b->v[b->n - 1];
    }
}

/** A row's query, (head_dim). */
static inline const float *attend_query(const struct attn_args *a, int row)
{
    size_t token = (size_t)(row / a->n_group), head = (size_t)(row % a->n_group);
    return a->q + token * a->q_stride + head * (size_t)a->head_dim;
}

/** How many of the block's keys a row sees, from its first on. */
static inline int attend_seen(const struct attn_args *a, const struct attend_block *b, int row)
{
    int seen = a->n_visible + row / a->n_group - b->first;
    return seen < 0 ? 0 : seen < b->n ? seen : b->n;
}

/** The first row that sees a key of the block at `first`; n_q * n_group or more when none does. */
static inline int attend_first_row(const struct attn_args *a, int first)
{
    int unseen = first - a->n_visible + 1; /* tokens that see nothing of it */
    return (unseen > 0 ? unseen : 0) * a->n_group;
}

/** Results before any key, unless there are earlier ones. */
static inline void attend_clear(const struct attn_args *a)
{
    if (a->resume)
        return;
    size_t n_rows = (size_t)a->n_q * (size_t)a->n_group;
    for (size_t i = 0; i < n_rows; i++) {
        a->max[i] = -INFINITY;
        a->sum[i] = 0;
    }
    memset(a->acc, 0, sizeof(float) * n_rows * (size_t)a->head_dim);
}

#endif
