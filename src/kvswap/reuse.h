/*
 * reuse.h: one layer's reuse buffer of one sequence: which groups are in which slots. Bookkeeping
 * only; the slots' bytes belong to the caller.
 *
 * The slot that is given away first is the one used least, where a use counts half after
 * REUSE_HALF_LIFE steps: a group that was used in many steps outlives one that was used once, a
 * little later. It finds more than least recently used does, on a real record as on synthetic keys
 * (docs/benchmarks.md).
 */
#ifndef KVSWAP_REUSE_H
#define KVSWAP_REUSE_H

#include <stdbool.h>

enum { REUSE_HALF_LIFE = 5 };

struct reuse {
    int n_slots;
    int *group_of;  /* (n_slots) -1: free */
    int *used_at;   /* (n_slots) step of the last use */
    double *heat;   /* (n_slots) log2 of the uses, halved with age, as if seen at step 0 */
    int *slot_of;   /* (max_groups) -1: not resident */
};

void reuse_clear(struct reuse *r, int max_groups);

/** The slot of a resident group, marked as used in `step`; -1 when it is not resident. */
int reuse_find(struct reuse *r, int group, int step);

/**
 * A slot for a group that is not resident: a free one, else the least used of those that were not
 * used in `step`. -1 when all were: more groups are wanted at once than there are slots.
 */
int reuse_take(struct reuse *r, int group, int step);

/** Forget one group, or all from `group` on. */
void reuse_drop(struct reuse *r, int group);
void reuse_truncate(struct reuse *r, int group);

#endif
