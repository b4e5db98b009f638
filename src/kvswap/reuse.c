/*
 * reuse.c: see reuse.h. The use counts of all slots halve at the same pace, so their order changes
 * only where one is used: kept as logarithms, seen from step 0, they need no touching in between. A
 * scan for the least costs less than keeping order among some 50 to 150 slots.
 */
#include "kvswap/reuse.h"

#include <math.h>

void reuse_clear(struct reuse *r, int max_groups)
{
    for (int i = 0; i < r->n_slots; i++)
        r->group_of[i] = r->used_at[i] = -1;
    for (int g = 0; g < max_groups; g++)
        r->slot_of[g] = -1;
}

/* What one use in `step` is worth. */
static double heat_of_use(int step)
{
    return (double)step / REUSE_HALF_LIFE;
}

int reuse_find(struct reuse *r, int group, int step)
{
    int slot = r->slot_of[group];
    if (slot >= 0 && r->used_at[slot] != step) {
        double use = heat_of_use(step);
        r->heat[slot] = use + log2(1.0 + exp2(r->heat[slot] - use));
        r->used_at[slot] = step;
    }
    return slot;
}

int reuse_take(struct reuse *r, int group, int step)
{
    int least = -1;
    for (int i = 0; i < r->n_slots; i++) {
        if (r->group_of[i] < 0) {
            least = i;
            break;
        }
        if (r->used_at[i] != step && (least < 0 || r->heat[i] < r->heat[least]))
            least = i;
    }
    if (least < 0)
        return -1;
    if (r->group_of[least] >= 0)
        r->slot_of[r->group_of[least]] = -1;
    r->group_of[least] = group;
    r->used_at[least] = step;
    r->heat[least] = heat_of_use(step);
    r->slot_of[group] = least;
    return least;
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
