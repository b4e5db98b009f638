/*
 * swap_predict.c: which groups a layer will need (KVSwap, arXiv 2511.11907, prediction and
 * selection).
 *
 * The query of the layer is computed from an input that is at hand early: its own for layers 0 and
 * 1, that of the layer before for the others. Its heads are averaged over each KV head's group,
 * projected by the adapter's rows of that head and averaged over heads: one vector of `rank`
 * values. A token's score is its dot product with the token's low-rank row; a group's, the largest
 * of its tokens'. Group 0 holds the attention sinks and is always taken. In a layer of rank 0,
 * where little depends on what is far away, the newest groups are taken.
 *
 * With scoring by head, every query head scores for itself, and a group's score is the logarithm of
 * the sum over heads of its predicted share of the head's attention.
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

/* The same of one head. */
static float *head_scores(const struct kv *kv, int index)
{
    return kv->head_scores + (size_t)index * (size_t)kv->plan.shape.max_groups;
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
    struct lowrank_format format = swap_format(kv, kv->choosing_layer);
    if (group >= end)
        return;
    float *scores = kv->head_scores ? head_scores(kv, index) : item_scores(kv, index);
    lowrank_score(kv->config.kernels, &format, &l->rows,
                  &kv->query_rows[index * kv->n_vectors + kv->vector], group, end - group,
                  scores + group);
}

/* Every head's query (n_head, head_dim) as a vector of all KV heads' width, 0 but in its own. */
static void pad_heads(const struct kv *kv, const float *q)
{
    size_t dim = (size_t)kv->config.head_dim, width = (size_t)kv->plan.width;
    int per_group = kv->config.n_head / kv->config.n_head_kv;
    memset(kv->padded, 0, (size_t)kv->config.n_head * width * sizeof *kv->padded);
    for (int h = 0; h < kv->config.n_head; h++)
        memcpy(kv->padded + (size_t)h * width + (size_t)(h / per_group) * dim,
               q + (size_t)h * dim, dim * sizeof *q);
}

/* An item's queries as vectors of `rank` values that rows are multiplied with. */
static void set_queries(struct kv *kv, int index)
{
    const struct kv_config *c = &kv->config;
    float *q = kv->queries + (size_t)index * (size_t)c->n_head * (size_t)c->head_dim;
    struct lowrank_format format = swap_format(kv, kv->choosing_layer);
    float scale = 1.0f / sqrtf((float)c->head_dim);
    if (kv->padded) {
        pad_heads(kv, q);
    } else {
        lowrank_average_heads(c->n_head, c->n_head_kv, c->head_dim, q);
        scale /= (float)c->n_head_kv;
    }
    adapters_project(&kv->adapters, kv->choosing_layer, ADAPTER_QUERIES, kv->n_vectors,
                     kv->padded ? kv->padded : q, kv->projected);
    for (int v = 0; v < kv->n_vectors; v++)
        lowrank_query_set(&format, kv->projected + (size_t)v * (size_t)format.rank, scale,
                          &kv->query_rows[index * kv->n_vectors + v]);
}

/* Add a head's predicted shares to an item's scores; after the last head, their logarithms. */
static void add_shares(struct kv *kv, int index)
{
    int item = kv->select_items[index];
    int n = item < 0 ? 0 : swap_of(kv, item)->layers[kv->choosing_layer].n_groups;
    const float *head = head_scores(kv, index);
    float *scores = item_scores(kv, index), most = -INFINITY, sum = 0.0f;
    for (int g = 0; g < n; g++)
        most = fmaxf(most, head[g]);
    for (int g = 0; g < n; g++)
        sum += expf(head[g] - most);
    for (int g = 0; g < n; g++) {
        float share = expf(head[g] - most) / sum + (kv->vector > 0 ? scores[g] : 0.0f);
        scores[g] = kv->vector + 1 < kv->n_vectors ? share : logf(share);
    }
}

/* From queries to scores: by the pool or by this thread alone. */
static void score_all(struct kv *kv, bool shared)
{
    kv->scored = true;
    if (kv->ranks[kv->choosing_layer] == 0)
        return;
    for (int i = 0; i < kv->n_choosing; i++)
        set_queries(kv, i);
    int n_chunks = kv->n_choosing * chunks_per_item(kv);
    for (kv->vector = 0; kv->vector < kv->n_vectors; kv->vector++) {
        if (shared)
            pool_run(kv->config.pool, n_chunks, score_chunk, kv);
        for (int i = 0; i < n_chunks && !shared; i++)
            score_chunk(kv, i, n_chunks, 0);
        for (int i = 0; i < kv->n_choosing && kv->head_scores; i++)
            add_shares(kv, i);
    }
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
        sel->places[sel->n_missing++] = l->slots + (size_t)slot * group_bytes;
    }
    kv->stats.misses += (uint64_t)sel->n_missing;
}

/* Requests for the missing groups, neighbours together; returns how many. */
static int plan_reads(struct kv *kv, struct selection *sel, const struct store *store, int layer,
                      struct aio_request *reads)
{
    sel->reads = reads;
    sel->n_reads = 0;
    for (int i = 0, n; i < sel->n_missing; i += n) {
        for (n = 1; i + n < sel->n_missing && n < READ_GROUPS; n++)
            if (sel->missing[i + n] != sel->missing[i] + n)
                break;
        store_read_apart(store, layer, sel->missing[i], n, sel->places + i,
                         sel->pieces + store_pieces(&store->shape, i, true), &reads[sel->n_reads]);
        kv->stats.bytes_read += reads[sel->n_reads++].bytes;
    }
    kv->stats.reads += (uint64_t)sel->n_reads;
    return sel->n_reads;
}

/* Group 0 and the newest others, at most `most` together; returns how many. */
static int newest_groups(int n_groups, int most, int *groups)
{
    int n = n_groups < most ? n_groups : most;
    for (int i = 1; i < n; i++)
        groups[i] = n_groups - n + i;
    return n;
}

static void choose(struct kv *kv, struct selection *sel, int item, int layer, const float *scores)
{
    struct swap_layer *l = &swap_of(kv, item)->layers[layer];
    sel->layer = layer;
    sel->groups[0] = 0;
    if (kv->ranks[layer] == 0)
        sel->n = newest_groups(l->n_groups, kv->plan.select_groups, sel->groups);
    else
        sel->n = 1 + select_groups(scores, l->n_groups, 1, kv->plan.select_groups - 1,
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
    if (kv->n_choosing > 0 && kv->ranks[layer] > 0)
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
        n_reads += plan_reads(kv, sel, &swap_of(kv, item)->store, layer, reads + n_reads);
    }
    if (n_reads > 0)
        aio_submit(kv->aio, reads, n_reads); /* one submission for the whole batch */
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
    ashlar_status status = ASHLAR_OK;
    const int *groups = sel->missing;
    swap_choice_join(kv);
    for (int i = 0; i < sel->n_reads; i++) {
        struct aio_request *read = &sel->reads[i];
        int n = store_groups_in(&swap_of(kv, item)->store, read);
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
