/*
 * policy_swap.c: the on-disk policies. stream reads everything every step; kvswap reads the groups
 * that matter (KVSwap, arXiv 2511.11907) and falls back to streaming for passes of many tokens, so
 * that prompts are evaluated exactly.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "kernels/attention.h"
#include "kvswap/adapter_file.h"
#include "kvswap/swap.h"

/* ---- open and close ------------------------------------------------------------------------ */

static ashlar_status swap_estimate_for(const struct kv_config *c, bool metadata, uint64_t *bytes,
                                       ashlar_error *err)
{
    struct swap_plan plan;
    ashlar_status status = swap_plan_make(c, metadata, &plan, err);
    *bytes = plan.bytes;
    return status;
}

static ashlar_status kvswap_estimate(const struct kv_config *c, uint64_t *bytes, ashlar_error *err)
{
    return swap_estimate_for(c, true, bytes, err);
}

static ashlar_status stream_estimate(const struct kv_config *c, uint64_t *bytes, ashlar_error *err)
{
    return swap_estimate_for(c, false, bytes, err);
}

static void swap_close(struct kv *kv)
{
    if (!kv)
        return;
    if (kv->aio)
        swap_stage_drain(kv);
    for (int i = 0; kv->sequences && i < kv->config.n_sequences; i++)
        store_close(&kv->sequences[i].store);
    aio_close(kv->aio);
    swap_layout_free(kv);
    free(kv->folder);
    free(kv);
}

static ashlar_status open_io(struct kv *kv, ashlar_error *err)
{
    const ashlar_kv_options *o = &kv->options;
    struct aio *inner;
    ashlar_status status = aio_open(o->io, 64, &kv->aio, err);
    if (status != ASHLAR_OK)
        return status;
    kv->stats.io = kv->aio->ops->name;
    if (o->io_rate || o->io_latency > 0.0) {
        inner = kv->aio;
        status = aio_rate_open(inner, o->io_rate, o->io_latency, &kv->aio, err);
        if (status != ASHLAR_OK) {
            kv->aio = inner;
            return status;
        }
    }
    if (kv->config.fault) {
        inner = kv->aio;
        status = aio_fault_open(inner, kv->config.fault, &kv->aio, err);
        if (status != ASHLAR_OK)
            kv->aio = inner;
    }
    return status;
}

static ashlar_status swap_open(const struct kv_config *config, bool metadata, struct kv **out,
                               ashlar_error *err)
{
    *out = NULL;
    struct kv *kv = mem_array(1, sizeof *kv);
    if (!kv)
        return error_memory(err, sizeof *kv, "the KV cache");
    kv->config = *config;
    kv->options = *config->options;
    kv->metadata = metadata;
    if (kv->options.mass <= 0.0f)
        kv->options.mass = 1.0f;
    if (metadata)
        lowrank_init();
    ashlar_status status = swap_plan_make(config, metadata, &kv->plan, err);
    if (status == ASHLAR_OK && !(kv->folder = strdup(config->options->folder)))
        status = error_memory(err, strlen(config->options->folder) + 1, "the KV folder's name");
    if (status == ASHLAR_OK) {
        kv->adapters = (struct adapters){.kernels = config->kernels,
                                         .n_layer = config->n_layer,
                                         .width = kv->plan.width,
                                         .rank = kv->plan.rank};
        if (!swap_layout_allocate(kv))
            status = error_memory(err, kv->plan.bytes, "the KV cache");
    }
    if (status == ASHLAR_OK && metadata && config->adapter)
        status = adapter_file_read(config->adapter, config->fingerprint, &kv->adapters, err);
    if (status == ASHLAR_OK)
        status = open_io(kv, err);
    if (status != ASHLAR_OK) {
        swap_close(kv);
        return status;
    }
    kv->stats.policy = metadata ? "kvswap" : "stream";
    kv->stats.resident_bytes = kv->plan.bytes;
    kv->stats.group_tokens = kv->plan.shape.group_tokens;
    kv->stats.select_tokens = kv->plan.select_groups * kv->plan.shape.group_tokens;
    kv->stats.reuse_tokens = kv->plan.reuse_groups * kv->plan.shape.group_tokens;
    kv->stats.rank = kv->plan.rank;
    kv->stats.ranks = metadata ? kv->ranks : NULL;
    kv->stats.metadata = metadata ? lowrank_type_name(kv->plan.metadata) : NULL;
    kv->stats.memory = kv->plan.parts;
    kv->stats.adapter = metadata ? config->adapter : NULL;
    *out = kv;
    return ASHLAR_OK;
}

static ashlar_status kvswap_open(const struct kv_config *config, struct kv **out, ashlar_error *err)
{
    return swap_open(config, true, out, err);
}

static ashlar_status stream_open(const struct kv_config *config, struct kv **out, ashlar_error *err)
{
    return swap_open(config, false, out, err);
}

/* ---- sequences ----------------------------------------------------------------------------- */

static void swap_rewind(struct kv *kv, int sequence, int length)
{
    struct swap_sequence *s = &kv->sequences[sequence];
    ashlar_error error;
    if (length == 0) {
        swap_stage_drain(kv);
        swap_sequence_clear(kv, s);
    } else if (!s->broken && swap_restore(kv, sequence, length, &error) != ASHLAR_OK) {
        swap_break(kv, sequence, &error);
    }
}

/* Groups a layer will have once the item's tokens are in. */
static int groups_after(const struct kv *kv, const struct kv_item *item)
{
    int total = item->position + item->n_tokens;
    int kept = kv->plan.recent_tokens;
    return total > kept ? (total - kept) / kv->plan.shape.group_tokens : 0;
}

static void refuse(struct kv_item *item, const ashlar_error *error, ashlar_error *err)
{
    item->status = error->status;
    if (err && err->status == ASHLAR_OK)
        *err = *error;
}

/* Describe an item that a failed write-behind took out of the pass. */
static void report(struct kv *kv, ashlar_error *err)
{
    for (int i = 0; i < kv->n_items; i++)
        if (kv->items[i].status != ASHLAR_OK)
            refuse(&kv->items[i], &swap_of(kv, i)->error, err);
}

static void begin_item(struct kv *kv, int index, int *chunk_used, ashlar_error *err)
{
    struct kv_item *item = &kv->items[index];
    struct swap_item *own = &kv->swap_items[index];
    struct swap_sequence *s = &kv->sequences[item->sequence];
    ashlar_error error;
    item->status = ASHLAR_OK;
    if (!s->broken && !s->swapped && groups_after(kv, item) > kv->plan.reuse_groups) {
        aio_use_memory(kv->aio, kv->pages, kv->pages_bytes); /* the first time; then it is known */
        if (swap_spill(kv, item->sequence, &error) != ASHLAR_OK)
            swap_break(kv, item->sequence, &error);
    }
    if (s->broken) {
        refuse(item, &s->error, err);
        return;
    }
    own->mode = SWAP_RESIDENT; /* a swapped sequence's is known when its groups are (set_mode) */
    int in_tail = item->position - s->layers[0].n_groups * kv->plan.shape.group_tokens;
    own->chunked = in_tail + item->n_tokens > kv->plan.tail_tokens;
    own->chunk_first = *chunk_used;
    *chunk_used += own->chunked ? item->n_tokens : 0;
}

/* How a swapped sequence is attended; what has no rows yet gets them, when there is enough. */
static void set_mode(struct kv *kv, int index, ashlar_error *err)
{
    struct kv_item *item = &kv->items[index];
    struct swap_sequence *s = swap_of(kv, index);
    ashlar_error error;
    if (item->status != ASHLAR_OK || !s->swapped)
        return;
    if (kv->metadata && !swap_indexed(kv, s)) {
        swap_release_slots(kv, s);
        if (swap_index(kv, item->sequence, &error) != ASHLAR_OK) {
            swap_break(kv, item->sequence, &error);
            refuse(item, &error, err);
            return;
        }
    }
    bool select = kv->metadata && item->n_tokens == 1 && s->layers[0].n_groups > 0;
    kv->swap_items[index].mode = item->fill ? SWAP_RESIDENT /* nothing to read */
                                 : select && swap_indexed(kv, s) ? SWAP_SELECT
                                                                 : SWAP_STREAM;
    if (kv->swap_items[index].mode == SWAP_STREAM)
        swap_release_slots(kv, s);
}

/* One item's windows: keys between which attention can resume, then the rest. */
static void plan_item(struct kv *kv, int item)
{
    int resume = ATTN_RESUME / kv->plan.shape.group_tokens, per_window = kv->plan.window_groups;
    int n_groups = swap_of(kv, item)->layers[0].n_groups, whole = n_groups / resume * resume;
    for (int first = 0; first < whole; first += per_window) {
        int n = whole - first < per_window ? whole - first : per_window;
        kv->stream[kv->n_stream++] = (struct stream_window){item, first, n, false};
    }
    kv->stream[kv->n_stream++] = (struct stream_window){item, whole, n_groups - whole, true};
}

/* The groups that pass through the windows, item by item: the same list for every layer. */
static void plan_stream(struct kv *kv)
{
    kv->n_stream = kv->stream_submitted = kv->stream_used = 0;
    for (int i = 0; i < kv->n_items; i++)
        if (kv->items[i].status == ASHLAR_OK && kv->swap_items[i].mode == SWAP_STREAM)
            plan_item(kv, i);
}

/* Every Nth of the passes that select and do not stream is checked. */
static void plan_check(struct kv *kv)
{
    bool selects = false;
    for (int i = 0; i < kv->n_items; i++)
        selects |= kv->items[i].status == ASHLAR_OK && kv->swap_items[i].mode == SWAP_SELECT;
    kv->checking = kv->options.check_every && selects && kv->n_stream == 0 &&
                   ++kv->select_passes % kv->options.check_every == 0;
}

static void swap_begin(struct kv *kv, struct kv_item *items, int n_items, ashlar_error *err)
{
    int chunk_used = 0;
    if (err)
        err->status = ASHLAR_OK;
    kv->items = items;
    kv->n_items = n_items;
    kv->n_choosing = 0;
    kv->step++;
    swap_stage_drain(kv);
    for (int i = 0; i < n_items; i++)
        begin_item(kv, i, &chunk_used, err);
    swap_stage_drain(kv); /* what a spill wrote is read in this pass */
    for (int i = 0; i < n_items; i++)
        set_mode(kv, i, err);
    report(kv, err);
    plan_stream(kv);
    plan_check(kv);
}

/* ---- one layer ----------------------------------------------------------------------------- */

/* Start reading the next window of the pass, in the order in which they will be used. */
static void submit_window(struct kv *kv)
{
    if (kv->n_stream == 0 || kv->stream_submitted >= kv->n_stream * kv->config.n_layer)
        return;
    int layer = kv->stream_submitted / kv->n_stream, buffer = kv->stream_submitted & 1;
    const struct stream_window *w = &kv->stream[kv->stream_submitted % kv->n_stream];
    kv->stream_submitted++;
    struct aio_request *request = &kv->window_reads[buffer];
    *request = (struct aio_request){.finished = true};
    if (w->n == 0)
        return;
    store_read(&swap_of(kv, w->item)->store, layer, w->first, w->n,
               swap_window_data(kv, swap_of(kv, w->item), buffer), kv->window_pieces[buffer],
               request);
    aio_submit(kv->aio, request, 1);
    kv->stats.reads++;
    kv->stats.bytes_read += request->bytes;
}

static void swap_predict(struct kv *kv, int layer, const float *x, size_t x_stride)
{
    if (layer == 0)
        submit_window(kv);
    if (!kv->metadata)
        return;
    swap_sample(kv, layer, x, x_stride);
    if (layer <= 1) {
        swap_predict_queries(kv, layer, x, x_stride);
        swap_choice_start(kv, true);
    }
    if (layer >= 1 && layer + 1 < kv->config.n_layer) {
        swap_predict_queries(kv, layer + 1, x, x_stride);
        if (kv->n_stream > 0 || kv->checking)
            swap_choice_start(kv, true); /* the windows' reads want kv->aio */
    }
}

static void swap_append(struct kv *kv, int layer, int item, int token, const float *k,
                        const float *v)
{
    const struct kv_item *it = &kv->items[item];
    const struct swap_item *own = &kv->swap_items[item];
    if (it->status != ASHLAR_OK)
        return;
    const struct swap_layer *l = &swap_of(kv, item)->layers[layer];
    int dim = kv->config.head_dim;
    int at = own->chunked ? own->chunk_first + token
                          : it->position - l->n_groups * kv->plan.shape.group_tokens + token;
    for (int h = 0; h < kv->config.n_head_kv; h++)
        for (int part = 0; part < 2; part++)
            kv_row_store(&kv->config, (part ? v : k) + (size_t)h * (size_t)dim,
                         own->chunked ? swap_chunk_row(kv, part, h, at)
                                      : swap_tail_row(kv, l, part, h, at));
}

static int swap_windows(struct kv *kv, int layer)
{
    (void)layer;
    return kv->n_stream + 1; /* the last one: all that is not streamed */
}

static struct kv_span *item_spans(const struct kv *kv, int item, int head, int per_head)
{
    size_t base = (size_t)item * (size_t)kv->config.n_head_kv * (size_t)kv->plan.max_spans;
    return kv->spans + base + (size_t)head * (size_t)per_head;
}

/* A group at `data` as a span of head h. */
struct kv_span swap_group_span(const struct kv *kv, const unsigned char *data, int head)
{
    size_t rows = (size_t)kv->plan.shape.group_tokens *
                  tensor_row_bytes(kv->config.type, kv->config.head_dim);
    return (struct kv_span){data + (size_t)head * rows,
                            data + (size_t)(kv->config.n_head_kv + head) * rows,
                            kv->plan.shape.group_tokens};
}

/* What of an item is in memory: tokens of the tail, and of the chunk. */
static int tail_count(const struct kv *kv, int item, const struct swap_layer *l)
{
    const struct kv_item *it = &kv->items[item];
    int pending = it->position + it->n_tokens - l->n_groups * kv->plan.shape.group_tokens;
    return kv->swap_items[item].chunked ? pending - it->n_tokens : pending;
}

/* The tail and then the chunk as spans of head h; returns how many. */
static int show_newest(const struct kv *kv, int item, const struct swap_layer *l, int head,
                       struct kv_span *span)
{
    const struct swap_item *own = &kv->swap_items[item];
    int n_tail = tail_count(kv, item, l), n = 0;
    if (n_tail > 0)
        span[n++] = (struct kv_span){swap_tail_row(kv, l, 0, head, 0),
                                     swap_tail_row(kv, l, 1, head, 0), n_tail};
    if (own->chunked)
        span[n++] = (struct kv_span){swap_chunk_row(kv, 0, head, own->chunk_first),
                                     swap_chunk_row(kv, 1, head, own->chunk_first),
                                     kv->items[item].n_tokens};
    return n;
}

/* Keys that an item attends to in a layer, over all windows. */
static int key_count(const struct kv *kv, int item, int layer)
{
    const struct kv_item *it = &kv->items[item];
    int total = it->position + it->n_tokens;
    if (kv->swap_items[item].mode != SWAP_SELECT)
        return total;
    int skipped = swap_of(kv, item)->layers[layer].n_groups - kv->selections[layer & 1][item].n;
    return total - skipped * kv->plan.shape.group_tokens;
}

static void show_window(struct kv *kv, int layer, const struct stream_window *w,
                        const unsigned char *data, struct kv_view *view)
{
    const struct swap_layer *l = &swap_of(kv, w->item)->layers[layer];
    int group = kv->plan.shape.group_tokens, total = view->total_keys;
    int newest = w->last ? (tail_count(kv, w->item, l) > 0) + kv->swap_items[w->item].chunked : 0;
    for (int h = 0; h < kv->config.n_head_kv; h++) {
        struct kv_span *spans = item_spans(kv, w->item, h, w->n + newest);
        for (int g = 0; g < w->n; g++)
            spans[g] =
                swap_group_span(kv, data + (size_t)g * store_group_bytes(&kv->plan.shape), h);
        if (w->last)
            show_newest(kv, w->item, l, h, spans + w->n);
    }
    *view = (struct kv_view){item_spans(kv, w->item, 0, 0), w->n + newest, w->first * group,
                             w->last ? total - w->first * group : w->n * group, total};
}

static void stream_window(struct kv *kv, int layer, struct kv_view *views, ashlar_error *err)
{
    int buffer = kv->stream_used & 1;
    const struct stream_window *w = &kv->stream[kv->stream_used % kv->n_stream];
    double start = os_time_seconds();
    if (kv->stream_submitted == kv->stream_used++)
        submit_window(kv); /* the only window there is */
    aio_wait(kv->aio, &kv->window_reads[buffer]);
    kv->stats.wait_seconds += os_time_seconds() - start;
    if (kv->plan.n_windows > 1)
        submit_window(kv); /* into the other buffer, whose window is done */
    ashlar_error error;
    unsigned char *data = swap_window_data(kv, swap_of(kv, w->item), buffer);
    if (kv->items[w->item].status != ASHLAR_OK)
        return;
    if (store_check(&swap_of(kv, w->item)->store, layer, w->first, w->n, data,
                    &kv->window_reads[buffer], &error) != ASHLAR_OK) {
        swap_break(kv, kv->items[w->item].sequence, &error);
        refuse(&kv->items[w->item], &error, err);
        return;
    }
    show_window(kv, layer, w, data, &views[w->item]);
}

/* A resident item's groups, or the selected ones, then what is newest. */
static void show_resident(struct kv *kv, int item, int layer, struct kv_view *view)
{
    const struct swap_layer *l = &swap_of(kv, item)->layers[layer];
    const struct selection *sel = &kv->selections[layer & 1][item];
    bool select = kv->swap_items[item].mode == SWAP_SELECT;
    int n_groups = select ? sel->n : l->n_groups, keys = view->total_keys;
    int per_head = n_groups + (tail_count(kv, item, l) > 0) + kv->swap_items[item].chunked;
    for (int h = 0; h < kv->config.n_head_kv; h++) {
        struct kv_span *spans = item_spans(kv, item, h, per_head);
        for (int g = 0; g < n_groups; g++) {
            int slot = l->reuse.slot_of[select ? sel->groups[g] : g];
            spans[g] = swap_group_span(
                kv, l->slots + (size_t)slot * store_group_bytes(&kv->plan.shape), h);
        }
        show_newest(kv, item, l, h, spans + n_groups);
    }
    *view = (struct kv_view){item_spans(kv, item, 0, 0), per_head, 0, keys, keys};
}

static void swap_window(struct kv *kv, int layer, int window, struct kv_view *views,
                        ashlar_error *err)
{
    swap_choice_join(kv); /* this layer's, when it is not done yet */
    for (int i = 0; i < kv->n_items; i++)
        views[i] = (struct kv_view){.total_keys = key_count(kv, i, layer)};
    if (window < kv->n_stream) {
        stream_window(kv, layer, views, err);
        return;
    }
    if (kv->n_choosing > 0 && !swap_reads_finished(kv, layer))
        swap_choice_start(kv, true); /* the disk is behind: give it more before waiting */
    double start = os_time_seconds();
    for (int i = 0; i < kv->n_items; i++) {
        ashlar_error error;
        if (kv->items[i].status != ASHLAR_OK || kv->swap_items[i].mode == SWAP_STREAM)
            continue;
        if (kv->swap_items[i].mode == SWAP_SELECT &&
            swap_selection_wait(kv, i, layer, &error) != ASHLAR_OK) {
            swap_break(kv, kv->items[i].sequence, &error);
            refuse(&kv->items[i], &error, err);
            continue;
        }
        show_resident(kv, i, layer, &views[i]);
    }
    kv->stats.wait_seconds += os_time_seconds() - start;
    swap_choice_start(kv, false); /* of the next layer, beside this one's attention */
}

static void swap_meter(struct kv *kv, int layer, int item, const float *q, ashlar_error *err)
{
    ashlar_error error;
    if (!kv->checking || kv->items[item].status != ASHLAR_OK ||
        kv->swap_items[item].mode != SWAP_SELECT)
        return;
    if (swap_check(kv, layer, item, q, &error) != ASHLAR_OK) {
        swap_break(kv, kv->items[item].sequence, &error);
        refuse(&kv->items[item], &error, err);
    }
}

static bool swap_recall(const struct kv *kv, int layer, ashlar_kv_recall *out)
{
    if (!kv->recall || kv->recall[layer].steps == 0)
        return false;
    *out = kv->recall[layer];
    return true;
}

static void absorb(struct kv *kv, int item, int layer, ashlar_error *err)
{
    ashlar_error error;
    if (kv->items[item].status != ASHLAR_OK)
        return;
    if (swap_absorb(kv, item, layer, &error) != ASHLAR_OK) {
        swap_break(kv, kv->items[item].sequence, &error);
        refuse(&kv->items[item], &error, err);
    }
}

static void swap_end(struct kv *kv, int layer, ashlar_error *err)
{
    for (int i = 0; i < kv->n_items; i++)
        if (kv->swap_items[i].chunked) {
            swap_choice_join(kv); /* indexing shares its scratch */
            absorb(kv, i, layer, err);
        }
    swap_stage_submit(kv); /* written while the next layer computes */
    report(kv, err);
}

static void swap_commit(struct kv *kv, ashlar_error *err)
{
    swap_choice_join(kv);
    for (int i = 0; i < kv->n_items; i++) {
        for (int l = 0; l < kv->config.n_layer && !kv->swap_items[i].chunked; l++)
            absorb(kv, i, l, err);
        if (kv->items[i].status == ASHLAR_OK)
            swap_of(kv, i)->length = kv->items[i].position + kv->items[i].n_tokens;
    }
    swap_stage_submit(kv);
    report(kv, err);
    kv->n_items = 0;
}

/* Reads that nobody will wait for any more. */
static void drain_reads(struct kv *kv)
{
    ashlar_error ignored;
    for (int i = 0; i < kv->n_items; i++)
        for (int parity = 0; parity < 2 && kv->items[i].status == ASHLAR_OK; parity++)
            if (kv->swap_items[i].mode == SWAP_SELECT)
                swap_selection_wait(kv, i, kv->selections[parity][i].layer, &ignored);
    while (kv->stream_used < kv->stream_submitted)
        aio_wait(kv->aio, &kv->window_reads[kv->stream_used++ & 1]);
}

static void swap_abort(struct kv *kv)
{
    ashlar_error error;
    swap_choice_join(kv);
    drain_reads(kv);
    for (int i = 0; i < kv->n_items; i++)
        if (!swap_of(kv, i)->broken &&
            swap_restore(kv, kv->items[i].sequence, kv->items[i].position, &error) != ASHLAR_OK)
            swap_break(kv, kv->items[i].sequence, &error);
    kv->n_items = 0;
}

static void swap_stats(const struct kv *kv, ashlar_kv_stats *out)
{
    *out = kv->stats;
    for (int i = 0; i < kv->config.n_sequences; i++)
        out->disk_bytes += kv->sequences[i].store.used_bytes;
}

const struct kv_policy kv_policy_kvswap = {
    .name = "kvswap",
    .estimate = kvswap_estimate,
    .open = kvswap_open,
    .close = swap_close,
    .rewind = swap_rewind,
    .begin = swap_begin,
    .predict = swap_predict,
    .append = swap_append,
    .meter = swap_meter,
    .windows = swap_windows,
    .window = swap_window,
    .end = swap_end,
    .commit = swap_commit,
    .abort = swap_abort,
    .stats = swap_stats,
    .recall = swap_recall,
};

const struct kv_policy kv_policy_stream = {
    .name = "stream",
    .estimate = stream_estimate,
    .open = stream_open,
    .close = swap_close,
    .rewind = swap_rewind,
    .begin = swap_begin,
    .predict = swap_predict,
    .append = swap_append,
    .windows = swap_windows,
    .window = swap_window,
    .end = swap_end,
    .commit = swap_commit,
    .abort = swap_abort,
    .stats = swap_stats,
};
