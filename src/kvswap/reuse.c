/* reuse.c: see reuse.h. A scan for the oldest slot costs less than keeping a list for some 50
 * slots. */
#include "kvswap/reuse.h"

void reuse_clear(struct reuse *r, int max_groups)
{
    for (int i = 0; i < r->n_slots; i++)
        r->group_of[i] = r->used_at[i] = -1;
    for (int g = 0; g < max_groups; g++)
        r->slot_of[g] = -1;
}

int reuse_find(struct reuse *r, int group, int step)
{
    int slot = r->slot_of[group];
    if (slot >= 0)
        r->used_at[slot] = step;
    return slot;
}

int reuse_take(struct reuse *r, int group, int step)
{
    int oldest = -1;
    for (int i = 0; i < r->n_slots; i++) {
        if (r->used_at[i] == step && r->group_of[i] >= 0)
            continue;
        if (oldest < 0 || r->used_at[i] < r->used_at[oldest])
            oldest = i;
    }
    if (oldest < 0)
        return -1;
    if (r->group_of[oldest] >= 0)
        r->slot_of[r->group_of[oldest]] = -1;
    r->group_of[oldest] = group;
    r->used_at[oldest] = step;
    r->slot_of[group] = oldest;
    return oldest;
}

void reuse_drop(struct reuse *r, int group)
{
    int slot = r->slot_of[group];
    if (slot < 0)
        return;
    r->slot_of[group] = -1;
    r->group_of[slot] = r->used_at[slot] = -1;
}

void reuse_truncate(struct reuse *r, int group)
{
    for (int i = 0; i < r->n_slots; i++)
        if (r->group_of[i] >= group)
            reuse_drop(r, r->group_of[i]);
}
