/*
 * reuse.h: one layer's reuse buffer of one sequence: which groups are in which slots. Bookkeeping only;
 * the slots' bytes belong to the caller. Least recently used slots are given away first.
 */
#ifndef KVSWAP_REUSE_H
#define KVSWAP_REUSE_H

#include <stdbool.h>

struct reuse {
    int n_slots;
    int *group_of;  /* (n_slots) -1: free */
    int *used_at;   /* (n_slots) step of the last use */
    int *slot_of;   /* (max_groups) -1: not resident */
};

void reuse_clear(struct reuse *r, int max_groups);

/** The slot of a resident group, marked as used in `step`; -1 when it is not resident. */
int reuse_find(struct reuse *r, int group, int step);

/**
 * A slot for a group that is not resident: a free one, else the least recently used that was not used in
 * `step`. -1 when all were: more groups are wanted at once than there are slots.
 */
int reuse_take(struct reuse *r, int group, int step);

/** Forget one group, or all from `group` on. */
void reuse_drop(struct reuse *r, int group);
void reuse_truncate(struct reuse *r, int group);

#endif
