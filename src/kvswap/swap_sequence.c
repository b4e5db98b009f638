/*
 * swap_sequence.c: where a sequence's tokens are, and how they move: tail and chunk into groups,
 * resident groups to disk, and back into the tail on a rewind.
 */
#include <string.h>

#include "base/mem.h"
#include "kvswap/swap.h"

static size_t row_bytes(const struct kv *kv)
{
    return tensor_row_bytes(kv->config.type, kv->config.head_dim);
}

unsigned char *swap_tail_row(const struct kv *kv, const struct swap_layer *l, int part, int head,
                             int token)
{
    size_t index = (size_t)part * (size_t)kv->config.n_head_kv + (size_t)head;
    return l->tail + (index * (size_t)kv->plan.tail_tokens + (size_t)token) * row_bytes(kv);
}

unsigned char *swap_chunk_row(const struct kv *kv, int part, int head, int token)
{
    size_t index = (size_t)part * (size_t)kv->config.n_head_kv + (size_t)head;
    return kv->chunk + (index * (size_t)kv->config.max_tokens + (size_t)token) * row_bytes(kv);
}

/* Row of a token inside a group's bytes: K of all heads, then V. */
static unsigned char *group_row(const struct kv *kv, unsigned char *group, int part, int head,
                                int token)
{
    size_t index = (size_t)part * (size_t)kv->config.n_head_kv + (size_t)head;
    index = index * (size_t)kv->plan.shape.group_tokens + (size_t)token;
    return group + index * row_bytes(kv);
}

static unsigned char *slot_data(const struct kv *kv, const struct swap_layer *l, int slot)
{
    return l->slots + (size_t)slot * store_group_bytes(&kv->plan.shape);
}

unsigned char *swap_window_data(const struct kv *kv, const struct swap_sequence *s, int buffer)
{
    size_t bytes = (size_t)kv->plan.window_groups * store_group_bytes(&kv->plan.shape);
    return kv->plan.slot_windows ? s->slots + (size_t)(buffer % kv->plan.n_windows) * bytes
                                 : kv->windows[buffer];
}

void swap_release_slots(const struct kv *kv, struct swap_sequence *s)
{
    for (int i = 0; kv->plan.slot_windows && i < kv->plan.shape.n_layer; i++)
        reuse_clear(&s->layers[i].reuse, kv->plan.shape.max_groups);
}

void swap_sequence_clear(struct kv *kv, struct swap_sequence *s)
{
    store_close(&s->store);
    s->swapped = s->broken = false;
    s->length = 0;
    for (int i = 0; i < kv->plan.shape.n_layer; i++) {
        s->layers[i].n_groups = s->layers[i].n_indexed = 0;
        reuse_clear(&s->layers[i].reuse, kv->plan.shape.max_groups);
    }
}

void swap_break(struct kv *kv, int sequence, const ashlar_error *error)
{
    struct swap_sequence *s = &kv->sequences[sequence];
    if (!s->broken) {
        s->broken = true;
        s->error = *error;
    }
    for (int i = 0; i < kv->n_items; i++)
        if (kv->items[i].sequence == sequence) {
            kv->items[i].status = s->error.status;
            swap_selection_drain(kv, i);
        }
}

/* A write-behind that failed has broken the sequence: why. */
static ashlar_status check_broken(const struct swap_sequence *s, ashlar_error *err)
{
    if (!s->broken)
        return ASHLAR_OK;
    if (err)
        *err = s->error;
    return s->error.status;
}

/* A token's key in a group's bytes, head by head, to (width) floats. */
static void flatten_key(const struct kv *kv, unsigned char *group, int token, float *key)
{
    int dim = kv->config.head_dim;
    for (int h = 0; h < kv->config.n_head_kv; h++, key += dim)
        kv->config.kernels->dequantize(kv->config.type, dim, group_row(kv, group, 0, h, token),
                                       key);
}

/*
 * Rows of groups [first, first + n): of those at `data`, token by token, so that no buffer grows
 * with n; or of the keys that an adapter was just fitted to (data NULL), whose bytes the fit has
 * overwritten.
 */
static void index_rows(struct kv *kv, struct swap_layer *l, int layer, int first, int n,
                       unsigned char *data)
{
    struct lowrank_format format = swap_format(kv, layer);
    size_t width = (size_t)kv->plan.width, rank = (size_t)format.rank;
    float *key = kv->keys;
    for (int g = 0; g < n; g++) {
        for (int t = 0; t < format.group_tokens; t++) {
            if (data)
                flatten_key(kv, data + (size_t)g * store_group_bytes(&kv->plan.shape), t, key);
            adapters_project(&kv->adapters, layer, ADAPTER_KEYS, 1, key,
                             kv->projected + (size_t)t * rank);
            key += data ? 0 : width;
        }
        lowrank_store(&format, &l->rows, first + g, 1, kv->projected);
    }
    l->n_indexed = first + n;
}

/* Rows of groups that are about to be written: if those before have theirs. */
static void index_groups(struct kv *kv, struct swap_layer *l, int layer, int first, int n,
                         unsigned char *data)
{
    if (kv->ranks[layer] > 0 && kv->adapters.ready[layer] && l->n_indexed == first)
        index_rows(kv, l, layer, first, n, data);
}

/* Fit a layer's adapter to the keys of n groups at `data`. */
static ashlar_status fit_layer(struct kv *kv, int layer, int n, unsigned char *data,
                               ashlar_error *err)
{
    int tokens = kv->plan.shape.group_tokens;
    float *key = kv->keys;
    for (int i = 0; i < n * tokens; i++, key += kv->plan.width)
        flatten_key(kv, data + (size_t)(i / tokens) * store_group_bytes(&kv->plan.shape),
                    i % tokens, key);
    return adapters_fit(&kv->adapters, layer, n * tokens, kv->keys, err);
}

bool swap_indexed(const struct kv *kv, const struct swap_sequence *s)
{
    for (int i = 0; i < kv->plan.shape.n_layer; i++)
        if (kv->ranks[i] > 0 && s->layers[i].n_indexed < s->layers[i].n_groups)
            return false;
    return true;
}

/* Read groups [first, first + n) into a window, checked. */
static ashlar_status read_groups(struct kv *kv, struct swap_sequence *s, int layer, int first,
                                 int n, unsigned char **data, ashlar_error *err)
{
    struct aio_request request;
    *data = swap_window_data(kv, s, 0);
    store_read(&s->store, layer, first, n, *data, kv->window_pieces[0], &request);
    aio_submit(kv->aio, &request, 1);
    aio_wait(kv->aio, &request);
    kv->stats.reads++;
    kv->stats.bytes_read += request.bytes;
    return store_check(&s->store, layer, first, n, *data, &request, err);
}

/* As many of a layer's groups that have no rows as are taken at once; 0: too few for a fit. */
static int groups_to_index(const struct kv *kv, const struct swap_layer *l, int layer)
{
    int n = l->n_groups - l->n_indexed, most = kv->plan.window_groups;
    bool ready = kv->adapters.ready[layer];
    if (kv->ranks[layer] == 0 || (!ready && n < kv->plan.fit_groups))
        return 0;
    most = ready || most < kv->plan.fit_groups ? most : kv->plan.fit_groups;
    return n < most ? n : most;
}

ashlar_status swap_index(struct kv *kv, int sequence, ashlar_error *err)
{
    struct swap_sequence *s = &kv->sequences[sequence];
    for (int i = 0, n; i < kv->plan.shape.n_layer; i++) {
        struct swap_layer *l = &s->layers[i];
        while ((n = groups_to_index(kv, l, i)) > 0) {
            unsigned char *data;
            ashlar_status status = read_groups(kv, s, i, l->n_indexed, n, &data, err);
            if (status != ASHLAR_OK)
                return status;
            bool fresh = !kv->adapters.ready[i];
            if (fresh && (status = fit_layer(kv, i, n, data, err)) != ASHLAR_OK)
                return status;
            index_rows(kv, l, i, l->n_indexed, n, fresh ? NULL : data);
        }
    }
    return ASHLAR_OK;
}

ashlar_status swap_spill(struct kv *kv, int sequence, ashlar_error *err)
{
    struct swap_sequence *s = &kv->sequences[sequence];
    struct store_options options = {.folder = kv->folder,
                                    .fingerprint = kv->config.fingerprint,
                                    .quota_bytes = kv->options.quota_bytes,
                                    .direct = true};
    ashlar_status status = store_open(&s->store, &kv->plan.shape, &options, kv->aio, err);
    if (status != ASHLAR_OK)
        return status;
    s->swapped = true;
    kv->stats.buffered |= !s->store.direct;
    size_t group_bytes = store_group_bytes(&kv->plan.shape);
    for (int i = 0; i < kv->plan.shape.n_layer && status == ASHLAR_OK; i++) {
        struct swap_layer *l = &s->layers[i];
        for (int g = 0; g < l->n_groups && status == ASHLAR_OK;) {
            int n =
                l->n_groups - g < kv->plan.stage_groups ? l->n_groups - g : kv->plan.stage_groups;
            unsigned char *data = swap_stage_room(kv, n);
            memcpy(data, slot_data(kv, l, g), (size_t)n * group_bytes); /* group g is in slot g */
            index_groups(kv, l, i, g, n, data);
            swap_stage_write(kv, sequence, i, g, n, data);
            status = check_broken(s, err);
            g += n;
        }
    }
    swap_stage_submit(kv);
    return status == ASHLAR_OK ? check_broken(s, err) : status;
}

/* Row of token `token` of the tail followed by the item's chunk. */
static unsigned char *pending_row(const struct kv *kv, const struct swap_layer *l, int item,
                                  int n_tail, int part, int head, int token)
{
    return token < n_tail
               ? swap_tail_row(kv, l, part, head, token)
               : swap_chunk_row(kv, part, head, kv->swap_items[item].chunk_first + token - n_tail);
}

/* Gather pending tokens [first, first + group) into a group's bytes. */
static void fill_group(const struct kv *kv, const struct swap_layer *l, int item, int n_tail,
                       int first, unsigned char *group)
{
    size_t bytes = row_bytes(kv);
    for (int part = 0; part < 2; part++)
        for (int h = 0; h < kv->config.n_head_kv; h++)
            for (int t = 0; t < kv->plan.shape.group_tokens; t++)
                memcpy(group_row(kv, group, part, h, t),
                       pending_row(kv, l, item, n_tail, part, h, first + t), bytes);
    size_t payload = store_token_bytes(&kv->plan.shape) * (size_t)kv->plan.shape.group_tokens;
    memset(group + payload, 0, store_group_bytes(&kv->plan.shape) - payload);
}

/* What is not in a group becomes the tail; rows move to lower places only, so order matters. */
static void keep_tail(const struct kv *kv, struct swap_layer *l, int item, int n_tail, int first,
                      int n)
{
    size_t bytes = row_bytes(kv);
    for (int part = 0; part < 2; part++)
        for (int h = 0; h < kv->config.n_head_kv; h++)
            for (int t = 0; t < n; t++)
                memmove(swap_tail_row(kv, l, part, h, t),
                        pending_row(kv, l, item, n_tail, part, h, first + t), bytes);
}

/* Pending tokens [0, n groups) of a swapped sequence become groups on disk, as many at once as a
 * stage holds. */
static ashlar_status absorb_to_disk(struct kv *kv, int item, int layer, int n_tail, int n,
                                    ashlar_error *err)
{
    struct swap_sequence *s = swap_of(kv, item);
    struct swap_layer *l = &s->layers[layer];
    int group = kv->plan.shape.group_tokens;
    size_t group_bytes = store_group_bytes(&kv->plan.shape);
    ashlar_status status = ASHLAR_OK;
    for (int done = 0, piece; done < n && status == ASHLAR_OK; done += piece) {
        piece = n - done < kv->plan.stage_groups ? n - done : kv->plan.stage_groups;
        unsigned char *data = swap_stage_room(kv, piece);
        for (int g = 0; g < piece; g++)
            fill_group(kv, l, item, n_tail, (done + g) * group, data + (size_t)g * group_bytes);
        index_groups(kv, l, layer, l->n_groups + done, piece, data);
        swap_stage_write(kv, kv->items[item].sequence, layer, l->n_groups + done, piece, data);
        status = check_broken(s, err);
    }
    return status;
}

/* The same of a resident one: into slots, of which free ones are taken in order. */
static void absorb_to_slots(struct kv *kv, int item, int layer, int n_tail, int n)
{
    struct swap_layer *l = &swap_of(kv, item)->layers[layer];
    for (int g = 0; g < n; g++) {
        fill_group(kv, l, item, n_tail, g * kv->plan.shape.group_tokens,
                   slot_data(kv, l, l->n_groups + g));
        reuse_take(&l->reuse, l->n_groups + g, kv->step);
    }
}

ashlar_status swap_absorb(struct kv *kv, int item, int layer, ashlar_error *err)
{
    const struct kv_item *it = &kv->items[item];
    struct swap_layer *l = &swap_of(kv, item)->layers[layer];
    int group = kv->plan.shape.group_tokens;
    int total = it->position + it->n_tokens - l->n_groups * group;
    int n_tail = kv->swap_items[item].chunked ? total - it->n_tokens : total;
    int n = total > kv->plan.recent_tokens ? (total - kv->plan.recent_tokens) / group : 0;
    if (n > 0 && swap_of(kv, item)->swapped) {
        ashlar_status status = absorb_to_disk(kv, item, layer, n_tail, n, err);
        if (status != ASHLAR_OK)
            return status;
    } else if (n > 0) {
        absorb_to_slots(kv, item, layer, n_tail, n);
    }
    l->n_groups += n > 0 ? n : 0;
    keep_tail(kv, l, item, n_tail, n * group, total - n * group);
    return ASHLAR_OK;
}

/* A group's bytes: its slot, or read from disk into a window buffer. */
static ashlar_status fetch_group(struct kv *kv, struct swap_sequence *s, int layer, int group,
                                 unsigned char **data, ashlar_error *err)
{
    struct swap_layer *l = &s->layers[layer];
    int slot = l->reuse.slot_of[group];
    if (slot >= 0) {
        *data = slot_data(kv, l, slot);
        return ASHLAR_OK;
    }
    return read_groups(kv, s, layer, group, 1, data, err);
}

/* The tail that a layer of `length` tokens has: tokens from group `keep` on. */
static ashlar_status restore_layer(struct kv *kv, struct swap_sequence *s, int layer, int length,
                                   int keep, ashlar_error *err)
{
    struct swap_layer *l = &s->layers[layer];
    int group = kv->plan.shape.group_tokens, old = l->n_groups;
    size_t bytes = row_bytes(kv);
    int moved = old * group < length ? length - old * group : 0; /* tail tokens that stay */
    for (int part = 0; part < 2; part++)
        for (int h = 0; h < kv->config.n_head_kv; h++)
            memmove(swap_tail_row(kv, l, part, h, (old - keep) * group),
                    swap_tail_row(kv, l, part, h, 0), (size_t)moved * bytes);
    for (int g = keep; g < old && g * group < length; g++) {
        unsigned char *data;
        ashlar_status status = fetch_group(kv, s, layer, g, &data, err);
        if (status != ASHLAR_OK)
            return status;
        for (int part = 0; part < 2; part++)
            for (int h = 0; h < kv->config.n_head_kv; h++)
                memcpy(swap_tail_row(kv, l, part, h, (g - keep) * group),
                       group_row(kv, data, part, h, 0), (size_t)group * bytes);
    }
    reuse_truncate(&l->reuse, keep);
    l->n_groups = keep;
    l->n_indexed = l->n_indexed < keep ? l->n_indexed : keep;
    return ASHLAR_OK;
}

ashlar_status swap_restore(struct kv *kv, int sequence, int length, ashlar_error *err)
{
    struct swap_sequence *s = &kv->sequences[sequence];
    int group = kv->plan.shape.group_tokens;
    int whole = length > kv->plan.recent_tokens ? (length - kv->plan.recent_tokens) / group : 0;
    int least = kv->plan.shape.max_groups;
    swap_stage_drain(kv);
    if (s->broken)
        return check_broken(s, err);
    if (s->swapped)
        swap_release_slots(kv, s);
    for (int i = 0; i < kv->plan.shape.n_layer; i++) {
        int keep = whole < s->layers[i].n_groups ? whole : s->layers[i].n_groups;
        if (keep < s->layers[i].n_groups) {
            ashlar_status status = restore_layer(kv, s, i, length, keep, err);
            if (status != ASHLAR_OK)
                return status;
        }
        least = keep < least ? keep : least;
    }
    if (s->swapped)
        store_truncate(&s->store, least);
    s->length = length;
    return ASHLAR_OK;
}
