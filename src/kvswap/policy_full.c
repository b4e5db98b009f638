/*
 * policy_full.c: the whole KV cache in memory, exact attention.
 *
 * Layout: (layer, sequence, K or V, kv head, n_ctx, head_dim), so that a head's keys are one span
 * that attention streams through. The pages are reserved at open and become resident as tokens
 * arrive: a session that stays short costs little.
 */
#include "kvswap/kv.h"

#include <stdlib.h>

#include "base/mem.h"

struct kv {
    struct kv_config config;
    unsigned char *cells;
    size_t cells_bytes;
    size_t row_bytes, head_bytes; /* of one token of a head; of n_ctx of them */
    struct kv_item *items; /* (max_items) of the pass under way */
    int n_items;
    struct kv_span *spans; /* (max_items, n_head_kv) of the layer under way */
};

static uint64_t full_bytes(const struct kv_config *c)
{
    return (uint64_t)c->n_layer * (uint64_t)c->n_sequences * 2 * (uint64_t)c->n_head_kv *
           (uint64_t)c->n_ctx * (uint64_t)tensor_row_bytes(c->type, c->head_dim);
}

static ashlar_status full_estimate(const struct kv_config *config, uint64_t *bytes,
                                   ashlar_error *err)
{
    (void)err;
    *bytes = full_bytes(config);
    return ASHLAR_OK;
}

static void full_close(struct kv *kv)
{
    if (!kv)
        return;
    mem_pages_free(kv->cells, kv->cells_bytes);
    free(kv->items);
    free(kv->spans);
    free(kv);
}

static ashlar_status full_open(const struct kv_config *config, struct kv **out, ashlar_error *err)
{
    *out = NULL;
    struct kv *kv = mem_array(1, sizeof *kv);
    if (!kv)
        return error_memory(err, sizeof *kv, "the KV cache");
    kv->config = *config;
    kv->row_bytes = tensor_row_bytes(config->type, config->head_dim);
    kv->head_bytes = (size_t)config->n_ctx * kv->row_bytes;
    kv->cells_bytes = full_bytes(config);
    kv->cells = mem_pages(kv->cells_bytes);
    size_t n = (size_t)config->max_items;
    kv->items = mem_array(n, sizeof *kv->items);
    kv->spans = mem_array(n * (size_t)config->n_head_kv, sizeof *kv->spans);
    if (!kv->cells || !kv->items || !kv->spans) {
        full_close(kv);
        error_memory(err, full_bytes(config), "the KV cache");
        error_hint(err, "a shorter --ctx or fewer sessions need less");
        return ASHLAR_NO_RESOURCE;
    }
    *out = kv;
    return ASHLAR_OK;
}

/* Rows of one head: part 0 holds keys, part 1 values. */
static unsigned char *full_head(struct kv *kv, int layer, int sequence, int part, int head)
{
    const struct kv_config *c = &kv->config;
    size_t index = (size_t)layer * (size_t)c->n_sequences + (size_t)sequence;
    index = (index * 2 + (size_t)part) * (size_t)c->n_head_kv + (size_t)head;
    return kv->cells + index * kv->head_bytes;
}

static void full_rewind(struct kv *kv, int sequence, int length)
{
    /* Cells beyond a sequence's length are never read: nothing to do. */
    (void)kv, (void)sequence, (void)length;
}

static void full_begin(struct kv *kv, struct kv_item *items, int n_items, ashlar_error *err)
{
    (void)err;
    kv->n_items = n_items;
    for (int i = 0; i < n_items; i++) {
        items[i].status = ASHLAR_OK;
        kv->items[i] = items[i];
    }
}

static void full_predict(struct kv *kv, int layer, const float *x, size_t x_stride)
{
    (void)kv, (void)layer, (void)x, (void)x_stride;
}

static void full_append(struct kv *kv, int layer, int item, int token, const float *k,
                        const float *v)
{
    const struct kv_item *it = &kv->items[item];
    size_t dim = (size_t)kv->config.head_dim;
    size_t row = (size_t)(it->position + token) * kv->row_bytes;
    for (int h = 0; h < kv->config.n_head_kv; h++) {
        size_t from = (size_t)h * dim;
        kv_row_store(&kv->config, k + from, full_head(kv, layer, it->sequence, 0, h) + row);
        kv_row_store(&kv->config, v + from, full_head(kv, layer, it->sequence, 1, h) + row);
    }
}

static int full_windows(struct kv *kv, int layer)
{
    (void)kv, (void)layer;
    return 1;
}

static void full_window(struct kv *kv, int layer, int window, struct kv_view *views,
                        ashlar_error *err)
{
    (void)window, (void)err;
    for (int i = 0; i < kv->n_items; i++) {
        const struct kv_item *it = &kv->items[i];
        struct kv_span *spans = kv->spans + (size_t)i * (size_t)kv->config.n_head_kv;
        int n_keys = it->position + it->n_tokens;
        for (int h = 0; h < kv->config.n_head_kv; h++)
            spans[h] = (struct kv_span){full_head(kv, layer, it->sequence, 0, h),
                                        full_head(kv, layer, it->sequence, 1, h), n_keys};
        views[i] = (struct kv_view){spans, 1, 0, n_keys, n_keys};
    }
}

static void full_end(struct kv *kv, int layer, ashlar_error *err)
{
    (void)kv, (void)layer, (void)err;
}

static void full_commit(struct kv *kv, ashlar_error *err)
{
    (void)kv, (void)err;
}

static void full_abort(struct kv *kv)
{
    (void)kv;
}

static void full_stats(const struct kv *kv, ashlar_kv_stats *out)
{
    *out = (ashlar_kv_stats){.policy = "full", .resident_bytes = kv->cells_bytes};
}

const struct kv_policy kv_policy_full = {
    .name = "full",
    .estimate = full_estimate,
    .open = full_open,
    .close = full_close,
    .rewind = full_rewind,
    .begin = full_begin,
    .predict = full_predict,
    .append = full_append,
    .windows = full_windows,
    .window = full_window,
    .end = full_end,
    .commit = full_commit,
    .abort = full_abort,
    .stats = full_stats,
};
