/*
 * swap_predict.c: which groups a layer will need (KVSwap, arXiv 2511.11907, prediction and
 * selection).
 *
 * The query of the layer is computed from an input that is at hand early: its own for layers 0 and
 * 1, that of the layer before for the others. Its heads are averaged over each KV head's group,
 * projected by the adapter's rows of that head and averaged over heads: one vector of `rank`
 * values. A token's score is its dot product with the token's low-rank row; a group's, the largest
 * of its tokens'. Group 0 holds the attention sinks and is always taken.
 *
 * The projection by the query weights is a step of the whole pool. All that follows is one job for
 * one thread, beside the layer's attention and feed-forward on the others: those steps are cut
 * small, so that nobody waits for it. (A batch is scored by the whole pool first.) It submits
 * reads, so the pass's own thread does not touch kv->aio before swap_choice_join.
 */
#include <math.h>
#include <string.h>

#include "base/os.h"
#include "kvswap/select.h"
#include "kvswap/swap.h"

enum {
    SCORE_GROUPS = 256, /* groups of one chunk of scoring */
    READ_GROUPS = 64    /* neighbours of one read */
};

static float *item_scores(const struct kv *kv, int index)
{
    return kv->scores + (size_t)index * (size_t)kv->plan.shape.max_groups;
}

/* Chunks of scoring of one item: enough for the item with most groups. */
static int chunks_per_item(const struct kv *kv)
{
    int most = 0;
    for (int i = 0; i < kv->n_choosing; i++) {
        int item = kv->select_items[i];
        int n = item < 0 ? 0 : swap_of(kv, item)->layers[kv->choosing_layer].n_groups;
        most = n > most ? n : most;
    }
    return (most + SCORE_GROUPS - 1) / SCORE_GROUPS;
}

/* Scores of SCORE_GROUPS groups of one item: the best of each group's tokens. */
static void score_chunk(void *context, int chunk, int n_chunks, int thread)
{
    (void)thread;
    const struct kv *kv = context;
    int per_item = n_chunks / kv->n_choosing, index = chunk / per_item;
    if (kv->select_items[index] < 0)
        return;
    const struct swap_layer *l =
        &swap_of(kv, kv->select_items[index])->layers[kv->choosing_layer];
    int group = chunk % per_item * SCORE_GROUPS;
    int end = group + SCORE_GROUPS < l->n_groups ? group + SCORE_GROUPS : l->n_groups;
    struct lowrank_format format = swap_format(&kv->plan);
    if (group >= end)
        return;
    lowrank_score(kv->config.kernels, &format, &l->rows, &kv->query_rows[index], group,
                  end - group, item_scores(kv, index) + group);
}

/* From queries to vectors of `rank` bytes, and to scores: by the pool or by this thread alone. */
static void score_all(struct kv *kv, bool shared)
{
    size_t q_width = (size_t)kv->config.n_head * (size_t)kv->config.head_dim;
    struct lowrank_format format = swap_format(&kv->plan);
    float scale = 1.0f / (float)kv->config.n_head_kv / sqrtf((float)kv->config.head_dim);
    for (int i = 0; i < kv->n_choosing; i++) {
        float *q = kv->queries + (size_t)i * q_width;
        lowrank_average_heads(kv->config.n_head, kv->config.n_head_kv, kv->config.head_dim, q);
        adapters_project(&kv->adapters, kv->choosing_layer, ADAPTER_QUERIES, 1, q, kv->projected);
        lowrank_query_set(&format, kv->projected, scale, &kv->query_rows[i]);
    }
    int n_chunks = kv->n_choosing * chunks_per_item(kv);
    if (shared)
        pool_run(kv->config.pool, n_chunks, score_chunk, kv);
    for (int i = 0; i < n_chunks && !shared; i++)
        score_chunk(kv, i, n_chunks, 0);
    kv->scored = true;
}

/* Give every chosen group that is not in memory a slot. */
static void take_slots(struct kv *kv, struct selection *sel, struct swap_layer *l)
{
    size_t group_bytes = store_group_bytes(&kv->plan.shape);
    sel->n_missing = 0;
    for (int i = 0; i < sel->n; i++) /* mark what is there before anything is given away */
        kv->stats.hits += reuse_find(&l->reuse, sel->groups[i], kv->step) >= 0;
    for (int i = 0; i < sel->n; i++) {
        int group = sel->groups[i];
        if (l->reuse.slot_of[group] >= 0)
            continue;
        int slot = reuse_take(&l->reuse, group, kv->step);
        sel->missing[sel->n_missing] = group;
        sel->pieces[sel->n_missing++] =
            (struct iovec){l->slots + (size_t)slot * group_bytes, group_bytes};
    }
    kv->stats.misses += (uint64_t)sel->n_missing;
    kv->stats.bytes_read += (uint64_t)sel->n_missing * group_bytes;
}

/* Requests for the missing groups, neighbours together; returns how many. */
static int plan_reads(struct selection *sel, const struct store *store, int layer,
                      struct aio_request *reads)
{
    sel->reads = reads;
    sel->n_reads = 0;
    for (int i = 0, n; i < sel->n_missing; i += n) {
        for (n = 1; i + n < sel->n_missing && n < READ_GROUPS; n++)
            if (sel->missing[i + n] != sel->missing[i] + n)
                break;
        struct aio_request *r = &reads[sel->n_reads++];
        store_read(store, layer, sel->missing[i], n, sel->pieces[i].iov_base, r);
        r->iov = &sel->pieces[i];
        r->n_iov = n;
    }
    return sel->n_reads;
}

static void choose(struct kv *kv, struct selection *sel, int item, int layer, const float *scores)
{
    struct swap_layer *l = &swap_of(kv, item)->layers[layer];
    sel->layer = layer;
    sel->groups[0] = 0;
    sel->n =
        1 + select_groups(scores, l->n_groups, 1, kv->plan.select_groups - 1,
                          kv->plan.select_groups / 4, kv->options.mass, kv->order, sel->groups + 1);
    take_slots(kv, sel, l);
}

void swap_predict_queries(struct kv *kv, int layer, const float *x, size_t x_stride)
{
    double start = os_time_seconds();
    swap_choice_join(kv);
    kv->n_choosing = 0;
    kv->choosing_layer = layer;
    for (int i = 0; i < kv->n_items; i++) {
        if (kv->items[i].status != ASHLAR_OK || kv->swap_items[i].mode != SWAP_SELECT)
            continue;
        kv->rows[kv->n_choosing] = kv->items[i].first_row;
        kv->select_items[kv->n_choosing++] = i;
    }
    if (kv->n_choosing > 0)
        kv->config.project(kv->config.project_user, layer, x, x_stride, kv->rows, kv->n_choosing,
                           kv->queries);
    kv->scored = false;
    if (kv->n_choosing > 1) /* too much for one thread beside a layer's work */
        score_all(kv, true);
    kv->stats.predict_seconds += os_time_seconds() - start;
}

/* Score, choose and submit for all items whose queries were projected: one job, on any thread. */
static void choose_all(void *context)
{
    struct kv *kv = context;
    int layer = kv->choosing_layer, n_reads = 0;
    struct aio_request *reads = kv->reads[layer & 1];
    if (!kv->scored)
        score_all(kv, false);
    for (int i = 0; i < kv->n_choosing; i++) {
        int item = kv->select_items[i];
        if (item < 0)
            continue;
        struct selection *sel = &kv->selections[layer & 1][item];
        choose(kv, sel, item, layer, item_scores(kv, i));
        n_reads += plan_reads(sel, &swap_of(kv, item)->store, layer, reads + n_reads);
    }
    if (n_reads > 0)
        aio_submit(kv->aio, reads, n_reads); /* one submission for the whole batch */
    kv->stats.reads += (uint64_t)n_reads;
}

void swap_choice_start(struct kv *kv, bool here)
{
    if (kv->n_choosing == 0 || kv->choosing)
        return;
    double start = os_time_seconds();
    for (int i = 0; i < kv->n_choosing; i++)
        if (kv->items[kv->select_items[i]].status != ASHLAR_OK)
            kv->select_items[i] = -1; /* broken since */
    if (here) {
        if (!kv->scored)
            score_all(kv, true);
        choose_all(kv);
        kv->n_choosing = 0;
    } else {
        kv->choosing = true;
        pool_post(kv->config.pool, choose_all, kv);
    }
    kv->stats.predict_seconds += os_time_seconds() - start;
}

void swap_choice_join(struct kv *kv)
{
    if (!kv->choosing)
        return;
    pool_join(kv->config.pool);
    kv->choosing = false;
    kv->n_choosing = 0;
}

bool swap_reads_finished(struct kv *kv, int layer)
{
    for (int i = 0; i < kv->n_items; i++) {
        const struct selection *sel = &kv->selections[layer & 1][i];
        if (kv->items[i].status != ASHLAR_OK || kv->swap_items[i].mode != SWAP_SELECT)
            continue;
        for (int r = 0; r < sel->n_reads; r++)
            if (!aio_finished(kv->aio, &sel->reads[r]))
                return false;
    }
    return true;
}

/* Check the n groups that one finished read brought; what is not right is not resident. */
static ashlar_status check_read(struct kv *kv, int item, int layer, const struct aio_request *read,
                                const int *groups, int n, ashlar_error *err)
{
    struct swap_sequence *s = swap_of(kv, item);
    struct swap_layer *l = &s->layers[layer];
    ashlar_status status = ASHLAR_OK;
    for (int i = 0; i < n; i++) {
        unsigned char *data =
            l->slots + (size_t)l->reuse.slot_of[groups[i]] * store_group_bytes(&kv->plan.shape);
        ashlar_status one = store_check(&s->store, layer, groups[i], 1, data, read,
                                        status == ASHLAR_OK ? err : NULL);
        if (one != ASHLAR_OK)
            reuse_drop(&l->reuse, groups[i]);
        status = status == ASHLAR_OK ? one : status;
    }
    return status;
}

ashlar_status swap_selection_wait(struct kv *kv, int item, int layer, ashlar_error *err)
{
    struct selection *sel = &kv->selections[layer & 1][item];
    size_t group_bytes = store_group_bytes(&kv->plan.shape);
    ashlar_status status = ASHLAR_OK;
    const int *groups = sel->missing;
    swap_choice_join(kv);
    for (int i = 0; i < sel->n_reads; i++) {
        struct aio_request *read = &sel->reads[i];
        int n = (int)(read->bytes / group_bytes);
        aio_wait(kv->aio, read);
        ashlar_status one =
            check_read(kv, item, layer, read, groups, n, status == ASHLAR_OK ? err : NULL);
        status = status == ASHLAR_OK ? one : status;
        groups += n;
    }
    sel->n_reads = 0;
    return status;
}

void swap_selection_drain(struct kv *kv, int item)
{
    swap_choice_join(kv);
    for (int parity = 0; parity < 2; parity++) {
        struct selection *sel = &kv->selections[parity][item];
        for (int i = 0; i < sel->n_reads; i++)
            aio_wait(kv->aio, &sel->reads[i]);
        sel->n_reads = 0;
    }
}
