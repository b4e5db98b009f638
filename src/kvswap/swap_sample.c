/*
 * swap_sample.c: queries that a layer's adapter is fitted to, when no file brings one (lowrank.h).
 *
 * They are taken from passes of many tokens, evenly spread, before the pass's keys become groups.
 * The keys that the adapter is fitted to come from the first groups; a prompt asks about itself all
 * along.
 */
#include "kvswap/swap.h"

enum {
    LEAST_ROWS = 16, /* of a pass: single tokens of an answer are no sample */
    FIT_ROWS = 256 /* so many keys wait for an adapter: short passes give their share of queries */
};

void swap_sample(struct kv *kv, int layer, const float *x, size_t x_stride)
{
    int n_rows = 0, wanted = adapters_wanted(&kv->adapters, layer);
    for (int i = 0; i < kv->n_items; i++)
        n_rows += kv->items[i].n_tokens;
    if (wanted <= 0 || n_rows < LEAST_ROWS)
        return;
    int share = (2 * kv->ranks[layer] * n_rows + FIT_ROWS - 1) / FIT_ROWS;
    wanted = wanted < share ? wanted : share;
    swap_choice_join(kv); /* the queries' memory is its */
    int step = n_rows > wanted ? n_rows / wanted : 1;
    for (int row = step - 1; row < n_rows; row += step) {
        kv->config.project(kv->config.project_user, layer, x, x_stride, &row, 1, kv->queries);
        lowrank_average_heads(kv->config.n_head, kv->config.n_head_kv, kv->config.head_dim,
                              kv->queries);
        adapters_sample(&kv->adapters, layer, kv->queries);
    }
}
