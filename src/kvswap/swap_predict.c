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
 * small, so that nobody waits for it. It submits reads, so the pass's own thread does not touch
 * kv->aio before swap_choice_join.
 */
#include <math.h>
#include <string.h>

#include "base/os.h"
#include "kvswap/select.h"
#include "kvswap/swap.h"

enum { READ_GROUPS = 64 }; /* neighbours of one read */

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

/* A group's score is the best of its tokens'. */
static void score_groups(const struct kv *kv, int index, const struct swap_layer *l, float *scores)
{
    enum { RUN = 256 }; /* tokens of one call of the kernel; whole groups */
    int rank = kv->plan.rank, per_group = kv->plan.shape.group_tokens;
    float token_scores[RUN];
    for (int group = 0, n; group < l->n_groups; group += n) {
        n = RUN / per_group < l->n_groups - group ? RUN / per_group : l->n_groups - group;
        size_t token = (size_t)group * (size_t)per_group;
        kv->config.kernels->score(n * per_group, rank, l->rows.rows + token * (size_t)rank,
                                  l->rows.scales + token,
                                  kv->query_rows + (size_t)index * (size_t)rank,
                                  kv->query_sums[index], kv->query_scales[index], token_scores);
        for (int g = 0; g < n; g++) {
            const float *s = token_scores + g * per_group;
            float best = s[0];
            for (int t = 1; t < per_group; t++)
                best = s[t] > best ? s[t] : best;
            scores[group + g] = best;
        }
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

/* Project the queries of the items that select; what follows is choose_all's. */
void swap_predict_queries(struct kv *kv, int layer, const float *x, size_t x_stride)
{
    double start = os_time_seconds();
    swap_choice_join(kv);
    kv->n_choosing = 0;
    for (int i = 0; i < kv->n_items; i++) {
        if (kv->items[i].status != ASHLAR_OK || kv->swap_items[i].mode != SWAP_SELECT)
            continue;
        kv->rows[kv->n_choosing] = kv->items[i].first_row;
        kv->select_items[kv->n_choosing++] = i;
    }
    kv->choosing_layer = layer;
    if (kv->n_choosing > 0)
        kv->config.project(kv->config.project_user, layer, x, x_stride, kv->rows, kv->n_choosing,
                           kv->queries);
    kv->stats.predict_seconds += os_time_seconds() - start;
}

/* Score, choose and submit for all items whose queries were projected: one job, on any thread. */
static void choose_all(void *context)
{
    struct kv *kv = context;
    int layer = kv->choosing_layer, n_reads = 0;
    size_t q_width = (size_t)kv->config.n_head * (size_t)kv->config.head_dim;
    struct aio_request *reads = kv->reads[layer & 1];
    for (int i = 0; i < kv->n_choosing; i++) {
        int item = kv->select_items[i];
        float *q = kv->queries + (size_t)i * q_width;
        if (item < 0)
            continue;
        average_heads(kv, q);
        adapters_project(&kv->adapters, layer, 1, q, kv->projected);
        quantise_query(kv, i, kv->projected);
        score_groups(kv, i, &swap_of(kv, item)->layers[layer], kv->scores);
        struct selection *sel = &kv->selections[layer & 1][item];
        choose(kv, sel, item, layer, kv->scores);
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
