/*
 * swap_predict.c: which groups a layer will need (KVSwap, arXiv 2511.11907, prediction and
 * selection).
 *
 * The query of the layer is computed from an input that is at hand early: its own for layers 0 and
 * 1, that of the layer before for the others. Its heads are averaged over each KV head's group,
 * projected by the adapter's rows of that head and averaged over heads: one vector of `rank`
 * values. A token's score is its dot product with the token's low-rank row; a group's, the largest
 * of its tokens'. Group 0 holds the attention sinks and is always taken.
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

/* Mean over the query heads that share a KV head: (n_head_kv, head_dim), in place at the front of
 * q. */
static void average_heads(const struct kv *kv, float *q)
{
    int per_group = kv->config.n_head / kv->config.n_head_kv, dim = kv->config.head_dim;
    for (int h = 0; h < kv->config.n_head_kv; h++)
        for (int d = 0; d < dim; d++) {
            float sum = 0.0f;
            for (int g = 0; g < per_group; g++)
                sum += q[(size_t)(h * per_group + g) * (size_t)dim + (size_t)d];
            q[(size_t)h * (size_t)dim + (size_t)d] = sum / (float)per_group;
        }
}

/* The projected query in int8; its scale takes in 1 / heads and 1 / sqrt(head_dim). */
static void quantise_query(struct kv *kv, int index, const float *projected)
{
    int rank = kv->plan.rank, sum = 0;
    int8_t *row = kv->query_rows + (size_t)index * (size_t)rank;
    float most = 0.0f;
    for (int i = 0; i < rank; i++)
        most = fmaxf(most, fabsf(projected[i]));
    float inverse = most > 0.0f ? 127.0f / most : 0.0f;
    for (int i = 0; i < rank; i++) {
        row[i] = (int8_t)lrintf(projected[i] * inverse);
        sum += row[i];
    }
    kv->query_sums[index] = sum;
    kv->query_scales[index] =
        most / 127.0f / (float)kv->config.n_head_kv / sqrtf((float)kv->config.head_dim);
}

struct scoring {
    struct kv *kv;
    int layer;
    int chunks_per_item;
    const int *items; /* of the pass, by index */
};

static void score_chunk(void *context, int chunk, int n_chunks, int thread)
{
    (void)n_chunks, (void)thread;
    const struct scoring *s = context;
    struct kv *kv = s->kv;
    int index = chunk / s->chunks_per_item, rank = kv->plan.rank;
    int per_group = kv->plan.shape.group_tokens;
    const struct swap_layer *l = &swap_of(kv, s->items[index])->layers[s->layer];
    int group = chunk % s->chunks_per_item * SCORE_GROUPS;
    int end = group + SCORE_GROUPS < l->n_groups ? group + SCORE_GROUPS : l->n_groups;
    float *scores = kv->scores + (size_t)index * (size_t)kv->plan.shape.max_groups;
    float token_scores[ATTN_BLOCK];
    for (; group < end; group++) {
        size_t token = (size_t)group * (size_t)per_group;
        kv->config.kernels->score(per_group, rank, l->rows.rows + token * (size_t)rank,
                                  l->rows.scales + token,
                                  kv->query_rows + (size_t)index * (size_t)rank,
                                  kv->query_sums[index], kv->query_scales[index], token_scores);
        float best = token_scores[0];
        for (int t = 1; t < per_group; t++)
            best = fmaxf(best, token_scores[t]);
        scores[group] = best;
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

void swap_select(struct kv *kv, int layer, const float *x, size_t x_stride)
{
    double start = os_time_seconds();
    int *items = kv->select_items, n = 0;
    struct selection *selections = kv->selections[layer & 1];
    for (int i = 0; i < kv->n_items; i++) {
        if (kv->items[i].status != ASHLAR_OK || kv->swap_items[i].mode != SWAP_SELECT)
            continue;
        kv->rows[n] = kv->items[i].first_row;
        items[n++] = i;
    }
    if (n == 0)
        return;
    size_t q_width = (size_t)kv->config.n_head * (size_t)kv->config.head_dim;
    kv->config.project(kv->config.project_user, layer, x, x_stride, kv->rows, n, kv->queries);
    int most_groups = 0;
    for (int i = 0; i < n; i++) {
        float *q = kv->queries + (size_t)i * q_width;
        average_heads(kv, q);
        adapters_project(&kv->adapters, layer, 1, q, kv->projected);
        quantise_query(kv, i, kv->projected);
        int groups = swap_of(kv, items[i])->layers[layer].n_groups;
        most_groups = groups > most_groups ? groups : most_groups;
    }
    struct scoring scoring = {kv, layer, (most_groups + SCORE_GROUPS - 1) / SCORE_GROUPS, items};
    pool_run(kv->config.pool, n * scoring.chunks_per_item, score_chunk, &scoring);
    struct aio_request *reads = kv->reads[layer & 1];
    int n_reads = 0;
    for (int i = 0; i < n; i++) {
        struct selection *sel = &selections[items[i]];
        choose(kv, sel, items[i], layer,
               kv->scores + (size_t)i * (size_t)kv->plan.shape.max_groups);
        n_reads += plan_reads(sel, &swap_of(kv, items[i])->store, layer, reads + n_reads);
    }
    aio_submit(kv->aio, reads, n_reads); /* one submission for the whole batch */
    kv->stats.reads += (uint64_t)n_reads;
    kv->stats.predict_seconds += os_time_seconds() - start;
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
    for (int parity = 0; parity < 2; parity++) {
        struct selection *sel = &kv->selections[parity][item];
        for (int i = 0; i < sel->n_reads; i++)
            aio_wait(kv->aio, &sel->reads[i]);
        sel->n_reads = 0;
    }
}
