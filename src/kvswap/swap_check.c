/*
 * swap_check.c: the recall meter: how much of the true attention do the attended keys hold?
 *
 * In a step that is checked, every group of a layer is read through a window and met by the step's
 * own queries, once as a whole and once only where it was selected. The attention kernel leaves
 * maximum and sum of the exponentials; the share is the quotient of the two sums, averaged over the
 * query heads. The selection itself, the reuse buffer and what is attended to do not change.
 *
 * Only passes without streamed items are checked: those have the windows to themselves.
 */
#include <math.h>
#include <string.h>

#include "kvswap/swap.h"

/* Exponentials of the scores seen so far: sum * exp(max). */
struct swap_mass {
    float max;
    double sum;
};

size_t swap_check_mass_bytes(const struct kv_config *c)
{
    return (size_t)c->n_head * 2 * sizeof(struct swap_mass);
}

/* Per KV head: the kernel's own scratch, maxima and sums, weighted values that nobody wants. */
size_t swap_check_scratch_bytes(const struct kv_config *c)
{
    int n_group = c->n_head / c->n_head_kv;
    size_t kernel = (c->kernels->attn_scratch_bytes(c->head_dim, n_group, 1) + 63) / 64 * 64;
    size_t floats = (size_t)n_group * (size_t)(c->head_dim + 2);
    return kernel + (floats * sizeof(float) + 63) / 64 * 64;
}

/* One step of the check: n groups at `data`, of which some were selected, or the tail. */
struct check {
    struct kv *kv;
    const struct swap_layer *layer;
    const struct selection *selection;
    const float *q;
    const unsigned char *data; /* NULL: the tail */
    int first, n;              /* groups, or tokens of the tail */
};

static void add_mass(struct swap_mass *mass, float max, float sum)
{
    if (max > mass->max) {
        mass->sum *= exp((double)mass->max - max);
        mass->max = max;
    }
    mass->sum += sum * exp((double)max - mass->max);
}

/* Attend KV head `head` to the spans; mass (n_group, stride 2) takes the result. */
static void attend_spans(const struct check *c, int head, const struct kv_span *spans, int n_spans,
                         struct swap_mass *mass)
{
    const struct kv_config *config = &c->kv->config;
    int n_group = config->n_head / config->n_head_kv, n_keys = 0;
    for (int i = 0; i < n_spans; i++)
        n_keys += spans[i].n;
    if (n_keys == 0)
        return;
    unsigned char *scratch = c->kv->check_scratch + (size_t)head * swap_check_scratch_bytes(config);
    size_t kernel =
        (config->kernels->attn_scratch_bytes(config->head_dim, n_group, 1) + 63) / 64 * 64;
    float *out = (float *)(void *)(scratch + kernel);
    struct attn_args args = {.type = c->kv->plan.shape.type,
                             .head_dim = config->head_dim,
                             .n_group = n_group,
                             .n_q = 1,
                             .q = c->q + (size_t)head * (size_t)n_group * (size_t)config->head_dim,
                             .scale = 1.0f / sqrtf((float)config->head_dim),
                             .spans = spans,
                             .n_spans = n_spans,
                             .key_end = n_keys,
                             .n_visible = n_keys,
                             .max = out,
                             .sum = out + n_group,
                             .acc = out + 2 * n_group,
                             .scratch = scratch};
    config->kernels->attend(&args);
    for (int g = 0; g < n_group; g++)
        add_mass(&mass[2 * g], args.max[g], args.sum[g]);
}

static bool is_selected(const struct selection *s, int group, int *at)
{
    while (*at < s->n && s->groups[*at] < group)
        (*at)++;
    return *at < s->n && s->groups[*at] == group;
}

static void check_head(void *context, int head, int n_heads, int thread)
{
    (void)n_heads, (void)thread;
    const struct check *c = context;
    struct kv *kv = c->kv;
    int n_group = kv->config.n_head / kv->config.n_head_kv, at = 0, n_chosen = 0;
    struct kv_span *spans = kv->check_spans + (size_t)head * 2 * (size_t)kv->plan.window_groups;
    struct kv_span *chosen = spans + kv->plan.window_groups;
    struct swap_mass *mass = kv->check_mass + (size_t)head * (size_t)n_group * 2;
    if (!c->data) {
        spans[0] = (struct kv_span){swap_tail_row(kv, c->layer, 0, head, 0),
                                    swap_tail_row(kv, c->layer, 1, head, 0), c->n};
        attend_spans(c, head, spans, 1, mass);
        attend_spans(c, head, spans, 1, mass + 1);
        return;
    }
    for (int g = 0; g < c->n; g++) {
        spans[g] =
            swap_group_span(kv, c->data + (size_t)g * store_group_bytes(&kv->plan.shape), head);
        if (is_selected(c->selection, c->first + g, &at))
            chosen[n_chosen++] = spans[g];
    }
    attend_spans(c, head, spans, c->n, mass);
    attend_spans(c, head, chosen, n_chosen, mass + 1);
}

static ashlar_status read_window(struct kv *kv, int item, int layer, int first, int n,
                                 ashlar_error *err)
{
    struct store *store = &swap_of(kv, item)->store;
    struct aio_request request;
    store_read(store, layer, first, n, kv->windows[0], kv->window_pieces[0], &request);
    aio_submit(kv->aio, &request, 1);
    aio_wait(kv->aio, &request);
    return store_check(store, layer, first, n, kv->windows[0], &request, err);
}

/* Enter the shares of all heads as one observation of the layer. */
static void record(struct kv *kv, int layer)
{
    ashlar_kv_recall *r = &kv->recall[layer];
    double share = 0.0;
    for (int h = 0; h < kv->config.n_head; h++) {
        const struct swap_mass *all = &kv->check_mass[2 * h], *chosen = all + 1;
        share += chosen->sum * exp((double)chosen->max - all->max) / all->sum;
    }
    share /= kv->config.n_head;
    r->least = r->steps == 0 || share < r->least ? share : r->least;
    r->mean += (share - r->mean) / (double)++r->steps;
}

ashlar_status swap_check(struct kv *kv, int layer, int item, const float *q, ashlar_error *err)
{
    const struct kv_item *it = &kv->items[item];
    const struct swap_layer *l = &swap_of(kv, item)->layers[layer];
    int window = kv->plan.window_groups;
    struct check c = {.kv = kv, .layer = l, .selection = &kv->selections[layer & 1][item], .q = q};
    for (int i = 0; i < 2 * kv->config.n_head; i++)
        kv->check_mass[i] = (struct swap_mass){-INFINITY, 0.0};
    for (c.first = 0; c.first < l->n_groups; c.first += window) {
        c.n = l->n_groups - c.first < window ? l->n_groups - c.first : window;
        ashlar_status status = read_window(kv, item, layer, c.first, c.n, err);
        if (status != ASHLAR_OK)
            return status;
        c.data = kv->windows[0];
        pool_run(kv->config.pool, kv->config.n_head_kv, check_head, &c);
    }
    c.data = NULL;
    c.n = it->position + it->n_tokens - l->n_groups * kv->plan.shape.group_tokens;
    pool_run(kv->config.pool, kv->config.n_head_kv, check_head, &c);
    record(kv, layer);
    return ASHLAR_OK;
}
