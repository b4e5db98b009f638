/*
 * swap_layout.c: what the on-disk policies hold in memory. One function, place_all(), takes every
 * piece; run on no memory it measures, so that the budget, the estimate and the allocation cannot
 * disagree.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "kernels/attention.h"
#include "kvswap/swap.h"

enum {
    SELECT_TOKENS = 400,    /* attended besides sinks and recent ones: the published setting */
    RECENT_TOKENS = 32,     /* StreamingLLM (arXiv 2309.17453) keeps such a window and 4 sinks */
    GROUP_BYTES = 16 << 10, /* a read that NVMe and eMMC serve at a good rate */
    GROUP_TOKENS_MAX = 16,  /* larger groups catch less of the attention at small budgets */
    FIT_TOKENS = 256,       /* keys that a prompt's adapter is fitted to; so many wait for it */
    FIT_SHARE = 4,          /* ... but no more than this part of a short context */
    FIT_LEAST = 128,
    RANKS_MOST = 4096, /* of a list of ranks: more layers than any model has */
    WINDOW_TOKENS = 2048, /* a window's begin is then 2 % of its time */
    STAGE_LEAST = 1 /* groups of a write-behind buffer where the budget is tight */
};

static int divide_up(int a, int b)
{
    return (a + b - 1) / b;
}

static int clamp(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

/* Memory being handed out; base NULL: only the sums count. */
struct cursor {
    unsigned char *base;
    size_t used;
    ashlar_kv_memory parts;
};

static void *take(struct cursor *c, size_t n, size_t item_bytes, size_t align)
{
    c->used = (c->used + align - 1) / align * align;
    void *piece = c->base ? c->base + c->used : NULL;
    c->used += n * item_bytes;
    return piece;
}

/* The same, counted as one of the parts that are named in reports; what is not is "other". */
static void *take_part(struct cursor *c, uint64_t *part, size_t n, size_t item_bytes, size_t align)
{
    size_t before = c->used;
    void *piece = take(c, n, item_bytes, align);
    *part += c->used - before;
    return piece;
}

/* Even, and not more than the keys have values. */
static int whole_rank(const struct swap_plan *p, int rank)
{
    return rank == 0 ? 0 : clamp(rank, 2, p->width) / 2 * 2;
}

/* The rank of a layer: its place in the list, whose last one goes on. */
static int layer_rank(const struct swap_plan *p, int layer)
{
    const char *at = p->layer_ranks;
    if (!at || p->rank == 0)
        return p->rank;
    for (const char *next; layer > 0 && (next = strchr(at, ',')); layer--)
        at = next + 1;
    return whole_rank(p, (int)strtol(at, NULL, 10));
}

static size_t layer_slots_bytes(const struct swap_plan *p)
{
    return (size_t)p->reuse_groups * store_group_bytes(&p->shape);
}

static void place_layer(const struct swap_plan *p, int rank, struct cursor *c, struct swap_layer *l)
{
    size_t slots = (size_t)p->reuse_groups, groups = (size_t)p->shape.max_groups;
    l->tail =
        take_part(c, &c->parts.recent, (size_t)p->tail_tokens, store_token_bytes(&p->shape), 64);
    l->reuse.n_slots = p->reuse_groups;
    l->reuse.group_of = take(c, slots, sizeof(int), 64);
    l->reuse.used_at = take(c, slots, sizeof(int), 64);
    l->reuse.heat = take(c, slots, sizeof(double), 64);
    l->reuse.slot_of = take(c, groups, sizeof(int), 64);
    struct lowrank_format format = {p->metadata, rank, p->shape.group_tokens};
    size_t tokens = rank ? groups * (size_t)p->shape.group_tokens : 0;
    l->rows.rows = take_part(c, &c->parts.metadata, tokens, score_row_bytes(p->metadata, rank), 64);
    l->rows.scales = take_part(c, &c->parts.metadata, rank ? lowrank_scales(&format, groups) : 0,
                               sizeof(uint16_t), 64);
}

/* Of what the disk transfers: whole pages where groups are, so that any device is content. */
static size_t io_align(const struct swap_plan *p)
{
    return store_group_bytes(&p->shape) % AIO_ALIGN == 0 ? AIO_ALIGN : STORE_ALIGN;
}

/* A sequence, whose slots are at `slots`. */
static void place_sequence(const struct kv *kv, struct cursor *c, unsigned char *slots,
                           struct swap_sequence *s)
{
    const struct swap_plan *p = &kv->plan;
    size_t n_layer = (size_t)p->shape.n_layer;
    s->layers = take(c, n_layer, sizeof *s->layers, 64);
    s->slots = slots;
    for (size_t i = 0; i < n_layer; i++) {
        struct swap_layer none = {0}, *l = c->base ? &s->layers[i] : &none;
        place_layer(p, layer_rank(p, (int)i), c, l);
        l->slots = c->base ? slots + i * layer_slots_bytes(p) : NULL;
    }
}

static void place_selection(const struct swap_plan *p, struct cursor *c, struct selection *sel)
{
    size_t n = (size_t)p->select_groups + 1;
    sel->groups = take(c, n, sizeof(int), 64);
    sel->missing = take(c, n, sizeof(int), 64);
    sel->places = take(c, n, sizeof *sel->places, 64);
    sel->pieces = take(c, store_pieces(&p->shape, (int)n, true), sizeof *sel->pieces, 64);
}

/*
 * What the disk reads into and writes from: whole groups, first of all, so that nothing is lost to
 * their alignment. Returns the slots of all sequences.
 */
static unsigned char *place_groups(struct kv *kv, struct cursor *c)
{
    const struct swap_plan *p = &kv->plan;
    size_t group = store_group_bytes(&p->shape);
    size_t n_groups = p->slot_windows ? 0 : (size_t)(p->n_windows * p->window_groups);
    size_t sequences = (size_t)kv->config.n_sequences, n_layer = (size_t)p->shape.n_layer;
    for (int i = 0; i < 2; i++)
        kv->stages[i].data =
            take_part(c, &c->parts.stages, (size_t)p->stage_groups, group, io_align(p));
    unsigned char *slots = take_part(c, &c->parts.reuse, sequences * n_layer, layer_slots_bytes(p),
                                     io_align(p));
    unsigned char *windows = take_part(c, &c->parts.windows, n_groups, group, io_align(p));
    kv->adapters.fit_scratch = (void *)windows; /* fitted when nothing is read (swap_index) */
    if (p->fit_bytes > n_groups * group)
        take_part(c, &c->parts.adapters, p->fit_bytes - n_groups * group, 1, 1);
    for (int i = 0; i < 2; i++) {
        size_t first = (size_t)(i % p->n_windows * p->window_groups);
        kv->windows[i] = windows && n_groups > 0 ? windows + first * group : NULL;
    }
    return slots;
}

static void place_requests(struct kv *kv, struct cursor *c)
{
    const struct swap_plan *p = &kv->plan;
    size_t stage = (size_t)p->stage_groups;
    for (int i = 0; i < 2; i++) {
        kv->stages[i].requests = take(c, stage, sizeof *kv->stages[i].requests, 64);
        kv->stages[i].pieces =
            take(c, store_pieces(&p->shape, p->stage_groups, false), sizeof(struct iovec), 64);
        size_t pieces = store_pieces(&p->shape, p->window_groups, false);
        kv->window_pieces[i] = i < p->n_windows ? take(c, pieces, sizeof(struct iovec), 64)
                                                : kv->window_pieces[0];
        kv->stages[i].owners = take(c, stage, sizeof(int), 64);
    }
}

static void place_chunk(struct kv *kv, struct cursor *c)
{
    const struct swap_plan *p = &kv->plan;
    kv->chunk = take_part(c, &c->parts.chunk, (size_t)kv->config.max_tokens,
                          store_token_bytes(&p->shape), 64);
}

static void place_scratch(struct kv *kv, struct cursor *c)
{
    const struct swap_plan *p = &kv->plan;
    const struct kv_config *config = &kv->config;
    size_t items = (size_t)config->max_items, groups = (size_t)p->shape.max_groups;
    size_t keys = (size_t)(p->fit_groups * p->shape.group_tokens);
    size_t windows = (size_t)divide_up(p->shape.max_groups, p->window_groups) + 1;
    size_t vectors = p->per_head ? (size_t)config->n_head : 1;
    size_t group = p->rank ? (size_t)p->shape.group_tokens : 0;
    size_t rows = group < vectors && p->rank ? vectors : group;
    kv->swap_items = take(c, items, sizeof *kv->swap_items, 64);
    kv->stream = take(c, items * windows, sizeof *kv->stream, 64);
    kv->spans =
        take(c, items * (size_t)config->n_head_kv * (size_t)p->max_spans, sizeof *kv->spans, 64);
    keys = p->rank && keys == 0 ? 1 : keys;
    kv->keys = take(c, keys, (size_t)p->width * sizeof(float), 64);
    kv->projected = take(c, rows, (size_t)p->rank * sizeof(float), 64);
    kv->rows = take(c, items, sizeof(int), 64);
    kv->select_items = take(c, items, sizeof(int), 64);
    kv->order = take(c, groups, sizeof(int), 64);
    if (!p->rank)
        return;
    struct lowrank_format format = {p->metadata, p->rank, p->shape.group_tokens};
    size_t q_width = (size_t)config->n_head * (size_t)config->head_dim;
    kv->n_vectors = (int)vectors;
    kv->queries = take(c, items * q_width, sizeof(float), 64);
    kv->query_rows = take(c, items * vectors, sizeof *kv->query_rows, 64);
    for (size_t i = 0; i < items * vectors; i++) {
        void *row = take(c, 1, lowrank_query_bytes(&format), 64);
        if (c->base)
            kv->query_rows[i].row = row;
    }
    kv->scores = take(c, items * groups, sizeof(float), 64);
    if (p->per_head) {
        kv->head_scores = take(c, items * groups, sizeof(float), 64);
        kv->padded = take(c, vectors * (size_t)p->width, sizeof(float), 64);
    }
}

static void place_adapters(struct kv *kv, struct cursor *c)
{
    const struct swap_plan *p = &kv->plan;
    size_t n_layer = (size_t)p->shape.n_layer, rows = 0;
    uint64_t *part = &c->parts.adapters;
    struct adapters *a = &kv->adapters;
    kv->ranks = take_part(c, part, n_layer, sizeof *kv->ranks, 64);
    for (size_t i = 0; i < n_layer; i++) {
        int of_layer = layer_rank(p, (int)i);
        if (c->base)
            kv->ranks[i] = of_layer;
        rows += 2 * (size_t)of_layer;
    }
    a->ranks = kv->ranks;
    a->data = take_part(c, part, rows, adapters_row_bytes(p->width), 64);
    a->ready = take_part(c, part, n_layer, sizeof *a->ready, 64);
    a->n_samples = take_part(c, part, n_layer, sizeof *a->n_samples, 64);
    a->act = take_part(c, part, p->rank ? adapters_act_bytes(p->width) : 0, 1, 64);
}

static void place_meter(struct kv *kv, struct cursor *c)
{
    const struct kv_config *config = &kv->config;
    if (!kv->plan.rank || !config->options->check_every)
        return;
    size_t heads = (size_t)config->n_head_kv;
    kv->recall = take(c, (size_t)config->n_layer, sizeof *kv->recall, 64);
    kv->check_mass = take(c, 1, swap_check_mass_bytes(config), 64);
    kv->check_spans =
        take(c, heads * 2 * (size_t)kv->plan.window_groups, sizeof *kv->check_spans, 64);
    kv->check_scratch = take(c, heads, swap_check_scratch_bytes(config), 64);
}

/* Everything; sequences NULL: as many as the configuration has, measured only. */
static void place_all(struct kv *kv, struct cursor *c)
{
    unsigned char *slots = place_groups(kv, c);
    size_t slots_bytes = (size_t)kv->plan.shape.n_layer * layer_slots_bytes(&kv->plan);
    place_requests(kv, c);
    place_chunk(kv, c);
    place_scratch(kv, c);
    place_adapters(kv, c);
    place_meter(kv, c);
    for (int parity = 0; parity < 2; parity++) {
        size_t reads = (size_t)kv->config.max_items * ((size_t)kv->plan.select_groups + 1);
        kv->reads[parity] = take(c, reads, sizeof *kv->reads[0], 64);
        kv->selections[parity] =
            take(c, (size_t)kv->config.max_items, sizeof *kv->selections[0], 64);
        for (int i = 0; i < kv->config.max_items; i++) {
            struct selection none;
            place_selection(&kv->plan, c, c->base ? &kv->selections[parity][i] : &none);
        }
    }
    kv->sequences = take(c, (size_t)kv->config.n_sequences, sizeof *kv->sequences, 64);
    for (int s = 0; s < kv->config.n_sequences; s++) {
        struct swap_sequence none = {0};
        place_sequence(kv, c, c->base ? slots + (size_t)s * slots_bytes : NULL,
                       c->base ? &kv->sequences[s] : &none);
    }
}

/* An adapter that no file brings is fitted to the prompt. */
static bool fits_adapters(const struct kv_config *config, const struct swap_plan *plan)
{
    return plan->rank > 0 && !config->adapter;
}

/* What an adapter is fitted to. */
static int fit_groups(const struct kv_config *config, const struct swap_plan *plan, bool tight)
{
    int share = divide_up(config->n_ctx, FIT_SHARE), tokens = tight ? FIT_LEAST : FIT_TOKENS;
    if (!fits_adapters(config, plan))
        return 0;
    return divide_up(tokens < share ? tokens : share, plan->shape.group_tokens);
}

/* BLAS packs both sides of a product into memory of its own: in a fit, an adapter and the keys. */
static uint64_t packed_bytes(const struct kv_config *config, const struct swap_plan *plan)
{
    uint64_t keys = (uint64_t)(plan->fit_groups * plan->shape.group_tokens);
    return fits_adapters(config, plan)
               ? (keys + (uint64_t)plan->rank) * (uint64_t)plan->width * sizeof(float)
               : 0;
}

static uint64_t measure(const struct kv_config *config, struct swap_plan *plan)
{
    struct kv kv = {.config = *config, .plan = *plan};
    struct cursor c = {0};
    ashlar_kv_memory *m = &plan->parts;
    int fit_tokens = plan->fit_groups * plan->shape.group_tokens;
    plan->fit_bytes =
        fits_adapters(config, plan) ? lowrank_fit_bytes(fit_tokens, plan->width, plan->rank) : 0;
    kv.plan.fit_bytes = plan->fit_bytes;
    place_all(&kv, &c);
    *m = c.parts;
    m->checksums = (uint64_t)config->n_sequences * store_resident_bytes(&plan->shape);
    uint64_t packed = packed_bytes(config, plan);
    m->adapters += packed;
    plan->bytes = c.used + m->checksums + packed;
    m->other = plan->bytes - m->metadata - m->adapters - m->reuse - m->recent - m->windows -
               m->chunk - m->stages - m->checksums;
    return plan->bytes;
}

/* The smallest power of two of tokens that makes a group of GROUP_BYTES. */
static int default_group(const struct store_shape *shape)
{
    int tokens = 4;
    while (tokens < GROUP_TOKENS_MAX && store_token_bytes(shape) * (size_t)tokens < GROUP_BYTES)
        tokens *= 2;
    return tokens;
}

static void set_reuse(struct swap_plan *p, int groups)
{
    p->reuse_groups = groups;
    int most = groups > p->window_groups ? groups : p->window_groups;
    p->max_spans = (most > p->select_groups + 1 ? most : p->select_groups + 1) + 2;
}

static ashlar_status refuse_budget(const struct kv_config *c, uint64_t least, ashlar_error *err)
{
    uint64_t budget = c->options->budget_bytes;
    char need[16], have[16];
    error_set(err, ASHLAR_NO_RESOURCE, "KV budget of %s is too small for %d tokens in %d session%s",
              text_bytes(budget, have), c->n_ctx, c->n_sequences, c->n_sequences == 1 ? "" : "s");
    error_hint(err, "the smallest that works is %s (%llu bytes)", text_bytes(least, need),
               (unsigned long long)least);
    return ASHLAR_NO_RESOURCE;
}

/*
 * Put the window into a sequence's slots, with so many of them that it fits, where that is less.
 * Not for the recall meter, which reads while the reuse buffer is in use.
 */
static void share_slots(const struct kv_config *c, struct swap_plan *p)
{
    uint64_t apart = measure(c, p);
    struct swap_plan own = *p;
    int least = divide_up(p->n_windows * p->window_groups, c->n_layer);
    if (!p->rank || c->options->check_every || least > p->shape.max_groups)
        return;
    p->slot_windows = true;
    set_reuse(p, least > p->reuse_groups ? least : p->reuse_groups);
    if (measure(c, p) >= apart)
        *p = own;
}

/* Windows as short as attention bears, apart or in the slots, where that is less. */
static void shorten_windows(const struct kv_config *c, struct swap_plan *p)
{
    struct swap_plan own = *p;
    uint64_t longer = measure(c, p);
    p->window_groups = ATTN_RESUME / p->shape.group_tokens;
    p->slot_windows = false;
    set_reuse(p, p->select_groups);
    share_slots(c, p);
    if (measure(c, p) >= longer) /* memory of the windows serves the fit of an adapter, too */
        *p = own;
}

/*
 * Until the least fits the budget, in this order: smaller write-behind buffers (a prompt waits for
 * the disk a little more), metadata in four bits (next to nothing is lost: docs/benchmarks.md), one
 * window (a prompt waits for every read), an adapter fitted to fewer keys, the window in the slots
 * (after a prompt the reuse buffer is read anew), a shorter window (a prompt waits more often).
 */
static ashlar_status shrink(const struct kv_config *c, struct swap_plan *p, ashlar_error *err)
{
    uint64_t budget = c->options->budget_bytes;
    int low = p->stage_groups < STAGE_LEAST ? p->stage_groups : STAGE_LEAST, high = p->stage_groups;
    if (!budget || measure(c, p) <= budget)
        return ASHLAR_OK;
    p->stage_groups = low;
    if (measure(c, p) > budget && p->rank && !c->options->metadata)
        p->metadata = SCORE_INT4;
    if (measure(c, p) > budget)
        p->n_windows = 1;
    if (measure(c, p) > budget)
        p->fit_groups = fit_groups(c, p, true);
    if (measure(c, p) > budget)
        share_slots(c, p);
    if (measure(c, p) > budget)
        shorten_windows(c, p);
    uint64_t least = measure(c, p);
    if (least > budget)
        return refuse_budget(c, least, err);
    while (low < high) { /* as large as they may be */
        p->stage_groups = low + (high - low + 1) / 2;
        if (measure(c, p) > budget)
            high = p->stage_groups - 1;
        else
            low = p->stage_groups;
    }
    p->stage_groups = low;
    return ASHLAR_OK;
}

/*
 * The most slots from `least` on that the budget and the options allow, by bisection: the size
 * rises with their number. False: not even so many.
 */
static bool grow_reuse(const struct kv_config *c, struct swap_plan *p, int least)
{
    uint64_t budget = c->options->budget_bytes;
    int low = least, high = p->shape.max_groups;
    if (!p->rank || (!budget && !c->options->reuse_tokens))
        high = low;
    else if (c->options->reuse_tokens)
        high = clamp(divide_up(c->options->reuse_tokens, p->shape.group_tokens), low, high);
    while (low < high) {
        int middle = low + (high - low + 1) / 2;
        set_reuse(p, middle);
        if (budget && measure(c, p) > budget)
            high = middle - 1;
        else
            low = middle;
    }
    set_reuse(p, low);
    return measure(c, p) <= budget || !budget;
}

/*
 * Windows in the slots of the sequence that streams, where they can be longer there: at each
 * window's begin attention packs its queries and takes up its results anew, a tenth of a prompt's
 * time with the shortest windows. What the windows had becomes slots.
 */
static void lengthen_windows(const struct kv_config *c, struct swap_plan *p)
{
    struct swap_plan own = *p;
    int group = p->shape.group_tokens, resume = ATTN_RESUME / group;
    int slots = p->reuse_groups * p->shape.n_layer / 8 * 7; /* some are given up for longer views */
    int longest = slots / p->n_windows < WINDOW_TOKENS / group ? slots / p->n_windows
                                                               : WINDOW_TOKENS / group;
    if (!p->rank || c->options->check_every || longest / resume * resume <= p->window_groups)
        return;
    p->window_groups = longest / resume * resume;
    p->slot_windows = true;
    int least = divide_up(p->n_windows * p->window_groups, p->shape.n_layer);
    if (!grow_reuse(c, p, least > p->select_groups ? least : p->select_groups))
        *p = own;
}

static ashlar_status spend_budget(const struct kv_config *c, struct swap_plan *p, ashlar_error *err)
{
    ashlar_status status = shrink(c, p, err);
    if (status != ASHLAR_OK)
        return status;
    grow_reuse(c, p, p->reuse_groups);
    lengthen_windows(c, p);
    return ASHLAR_OK;
}

/* What the options ask of the metadata. */
static void plan_metadata(const struct kv_config *c, struct swap_plan *p)
{
    const ashlar_kv_options *o = c->options;
    int group = p->shape.group_tokens;
    int tokens = o->select_tokens ? o->select_tokens : SELECT_TOKENS;
    p->metadata = SCORE_INT8;
    if (o->metadata)
        lowrank_type_parse(o->metadata, &p->metadata);
    p->rank = o->rank ? whole_rank(p, o->rank) : lowrank_rank(p->width, o->sigma);
    p->per_head = o->scoring && strcmp(o->scoring, "head") == 0;
    p->select_groups = clamp(divide_up(tokens, group), 2, p->shape.max_groups);
}

/* A list of ranks: numbers between commas, one of them not 0. */
static ashlar_status plan_ranks(const struct kv_config *c, struct swap_plan *p, ashlar_error *err)
{
    const char *list = c->options->layer_ranks, *at = list;
    if (!list)
        return ASHLAR_OK;
    if (strspn(list, "0123456789,") != strlen(list) || strlen(list) > RANKS_MOST)
        return error_set(err, ASHLAR_USAGE, "KV ranks '%s': not numbers with commas between them",
                         list);
    int most = 0, rank;
    for (int i = 0; i < c->n_layer && at; i++) {
        char *end;
        long value = strtol(at, &end, 10);
        if (end == at || value > 65536)
            return error_set(err, ASHLAR_USAGE, "KV ranks '%s': a number is missing or absurd",
                             list);
        rank = whole_rank(p, (int)value);
        most = rank > most ? rank : most;
        at = *end == ',' ? end + 1 : NULL;
    }
    if (most == 0)
        return error_set(err, ASHLAR_USAGE, "KV ranks '%s': no layer has any", list);
    p->rank = most;
    p->layer_ranks = list;
    return ASHLAR_OK;
}

ashlar_status swap_plan_make(const struct kv_config *c, bool metadata, struct swap_plan *p,
                             ashlar_error *err)
{
    const ashlar_kv_options *o = c->options;
    *p = (struct swap_plan){.width = c->n_head_kv * c->head_dim};
    p->shape = (struct store_shape){c->n_layer, c->n_head_kv, c->head_dim, c->type, 0, 0};
    int group = o->group_tokens ? o->group_tokens : default_group(&p->shape);
    if (group < 4 || group > ATTN_BLOCK || ATTN_BLOCK % group != 0)
        return error_set(err, ASHLAR_USAGE, "KV groups of %d tokens: not 4, 8, 16, 32 or 64",
                         group);
    p->shape.group_tokens = group;
    p->shape.max_groups = divide_up(c->n_ctx, group);
    int recent = clamp(o->recent_tokens ? o->recent_tokens : RECENT_TOKENS, 1, c->n_ctx);
    p->recent_tokens = divide_up(recent, group) * group;
    p->tail_tokens = p->recent_tokens + group;
    p->n_windows = 2;
    p->window_groups = attention_range_keys(c->n_ctx) / group;
    p->stage_groups = divide_up(c->max_tokens + p->tail_tokens, group);
    if (metadata) {
        plan_metadata(c, p);
        ashlar_status status = plan_ranks(c, p, err);
        if (status != ASHLAR_OK)
            return status;
    }
    p->fit_groups = fit_groups(c, p, false);
    set_reuse(p, p->select_groups);
    return spend_budget(c, p, err);
}

bool swap_layout_allocate(struct kv *kv)
{
    struct cursor measured = {0};
    place_all(kv, &measured);
    kv->sequences = NULL;
    kv->pages_bytes = measured.used;
    kv->pages = mem_pages(kv->pages_bytes);
    if (!kv->pages)
        return false;
    struct cursor cursor = {.base = kv->pages};
    place_all(kv, &cursor);
    for (int s = 0; s < kv->config.n_sequences; s++) {
        kv->sequences[s].store.fd = -1;
        swap_sequence_clear(kv, &kv->sequences[s]);
    }
    return true;
}

void swap_layout_free(struct kv *kv)
{
    mem_pages_free(kv->pages, kv->pages_bytes);
    kv->pages = NULL;
    kv->sequences = NULL;
}
