/*
 * test_reuse.c: the reuse buffer's books: a group is in one slot, a slot holds one group, and what
 * goes is what was used least, a use counting half after a while.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "kvswap/reuse.h"

enum { SEED = 20251124, SLOTS = 5, GROUPS = 12 };

struct books {
    struct reuse r;
    int group_of[SLOTS], used_at[SLOTS], slot_of[GROUPS];
    double heat[SLOTS];
};

static void start(struct books *b)
{
    b->r = (struct reuse){SLOTS, b->group_of, b->used_at, b->heat, b->slot_of};
    reuse_clear(&b->r, GROUPS);
}

static void assert_books_balance(const struct books *b)
{
    int resident = 0, taken = 0;
    for (int g = 0; g < GROUPS; g++)
        if (b->slot_of[g] >= 0) {
            resident++;
            assert_int_equal(b->group_of[b->slot_of[g]], g);
        }
    for (int s = 0; s < SLOTS; s++)
        if (b->group_of[s] >= 0) {
            taken++;
            assert_int_equal(b->slot_of[b->group_of[s]], s);
        }
    assert_int_equal(resident, taken);
}

static void nothing_is_resident_at_first(void **state)
{
    (void)state;
    struct books b;
    start(&b);
    for (int g = 0; g < GROUPS; g++)
        assert_int_equal(reuse_find(&b.r, g, 1), -1);
}

static void free_slots_are_taken_in_order(void **state)
{
    (void)state;
    struct books b;
    start(&b);
    for (int g = 0; g < SLOTS; g++)
        assert_int_equal(reuse_take(&b.r, g, 1), g);
    start(&b);
    for (int g = 0; g < SLOTS; g++)
        reuse_take(&b.r, g, g);
    reuse_drop(&b.r, 3);
    reuse_drop(&b.r, 1);
    assert_int_equal(reuse_take(&b.r, 8, SLOTS), 1);
    assert_int_equal(reuse_take(&b.r, 9, SLOTS), 3);
    assert_books_balance(&b);
}

static void of_groups_used_once_the_oldest_goes(void **state)
{
    (void)state;
    struct books b;
    start(&b);
    for (int g = 0; g < SLOTS; g++)
        reuse_take(&b.r, g, 1 + g);
    reuse_find(&b.r, 0, 10); /* 1 is now the oldest */
    assert_int_equal(reuse_take(&b.r, 7, 11), 1);
    assert_int_equal(b.slot_of[1], -1);
    assert_int_equal(reuse_find(&b.r, 0, 11), 0);
    assert_int_equal(reuse_find(&b.r, 7, 11), 1);
    assert_books_balance(&b);
}

static void what_this_step_uses_stays(void **state)
{
    (void)state;
    struct books b;
    start(&b);
    for (int g = 0; g < SLOTS; g++)
        assert_true(reuse_take(&b.r, g, 1) >= 0);
    assert_int_equal(reuse_take(&b.r, 9, 1), -1); /* all are in use now */
    assert_int_equal(b.slot_of[9], -1);
    for (int g = 0; g < SLOTS; g++)
        assert_int_equal(b.slot_of[g], g);
    reuse_drop(&b.r, 2);
    assert_int_equal(reuse_take(&b.r, 9, 1), 2); /* a failed read's slot is free at once */
    reuse_drop(&b.r, 11);                        /* not resident: nothing happens */
    assert_books_balance(&b);
}

static void truncating_forgets_the_newer_groups(void **state)
{
    (void)state;
    struct books b;
    start(&b);
    static const int groups[SLOTS] = {9, 2, 11, 4, 5};
    for (int i = 0; i < SLOTS; i++)
        reuse_take(&b.r, groups[i], i);
    reuse_truncate(&b.r, 5);
    for (int g = 0; g < GROUPS; g++)
        assert_int_equal(b.slot_of[g] >= 0, g == 2 || g == 4);
    assert_books_balance(&b);
    reuse_truncate(&b.r, 0);
    for (int g = 0; g < GROUPS; g++)
        assert_int_equal(b.slot_of[g], -1);
}

/* Group 0 was used in four steps, group 1 once, one step after the last of them. */
static void much_used_groups_outlive_newer_ones(void **state)
{
    (void)state;
    struct books b;
    start(&b);
    reuse_take(&b.r, 0, 1);
    for (int step = 2; step <= 4; step++)
        reuse_find(&b.r, 0, step);
    for (int g = 1; g < SLOTS; g++)
        reuse_take(&b.r, g, 5);
    assert_int_equal(reuse_take(&b.r, 7, 6), 1);
    assert_int_equal(b.slot_of[0], 0);
    assert_books_balance(&b);
}

/* The same, but group 0's uses are long ago. */
static void old_uses_fade(void **state)
{
    (void)state;
    struct books b;
    start(&b);
    reuse_take(&b.r, 0, 1);
    for (int step = 2; step <= 4; step++)
        reuse_find(&b.r, 0, step);
    for (int g = 1; g < SLOTS; g++)
        reuse_take(&b.r, g, 5 + 4 * REUSE_HALF_LIFE);
    assert_int_equal(reuse_take(&b.r, 7, 6 + 4 * REUSE_HALF_LIFE), 0);
}

/* Against counts that are halved step by step; equal ones may go in any order. */
static void random_use_matches_plain_counts(void **state)
{
    (void)state;
    struct books b;
    struct rng rng;
    double uses[GROUPS] = {0.0};
    start(&b);
    rng_seed(&rng, SEED);
    for (int step = 0; step < 20000; step++) {
        int group = (int)(rng_below(&rng, GROUPS) * rng_below(&rng, GROUPS)) / GROUPS;
        int n = 0, gone = -1;
        double least = 1e9;
        for (int g = 0; g < GROUPS; g++)
            uses[g] *= exp2(-1.0 / REUSE_HALF_LIFE);
        int before[SLOTS];
        memcpy(before, b.group_of, sizeof before);
        for (int i = 0; i < SLOTS; i++)
            if (before[i] >= 0 && ++n && uses[before[i]] < least)
                least = uses[before[i]];
        bool resident = b.slot_of[group] >= 0;
        assert_int_equal(reuse_find(&b.r, group, step) >= 0, resident);
        if (!resident) {
            int slot = reuse_take(&b.r, group, step);
            assert_in_range(slot, 0, SLOTS - 1);
            gone = before[slot];
            assert_int_equal(gone >= 0, n == SLOTS);
        }
        if (gone >= 0) {
            assert_true(uses[gone] <= least * (1.0 + 1e-6));
            uses[gone] = 0.0;
        }
        uses[group] += 1.0;
        assert_books_balance(&b);
    }
}

int main(void)
{
    printf("seed %d\n", SEED);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_resident_at_first),
        cmocka_unit_test(free_slots_are_taken_in_order),
        cmocka_unit_test(of_groups_used_once_the_oldest_goes),
        cmocka_unit_test(much_used_groups_outlive_newer_ones),
        cmocka_unit_test(old_uses_fade),
        cmocka_unit_test(what_this_step_uses_stays),
        cmocka_unit_test(truncating_forgets_the_newer_groups),
        cmocka_unit_test(random_use_matches_plain_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
