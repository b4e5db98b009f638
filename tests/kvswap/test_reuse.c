/*
 * test_reuse.c: the reuse buffer's books: a group is in one slot, a slot holds one group, and what
 * goes is what was used least recently.
 */
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
};

static void start(struct books *b)
{
    b->r = (struct reuse){SLOTS, b->group_of, b->used_at, b->slot_of};
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

static void the_least_recently_used_goes(void **state)
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

/* Against a list kept in order of use. */
static void random_use_matches_a_plain_list(void **state)
{
    (void)state;
    struct books b;
    struct rng rng;
    int list[SLOTS + 1], n = 0; /* least recently used first */
    start(&b);
    rng_seed(&rng, SEED);
    for (int step = 0; step < 5000; step++) {
        int group = (int)rng_below(&rng, GROUPS), at = 0;
        while (at < n && list[at] != group)
            at++;
        assert_int_equal(reuse_find(&b.r, group, step) >= 0, at < n);
        if (at < n) {
            memmove(list + at, list + at + 1, (size_t)(n - at - 1) * sizeof *list);
            n--;
        } else {
            assert_true(reuse_take(&b.r, group, step) >= 0);
            if (n == SLOTS)
                memmove(list, list + 1, (size_t)--n * sizeof *list);
        }
        list[n++] = group;
        assert_books_balance(&b);
    }
}

int main(void)
{
    printf("seed %d\n", SEED);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_resident_at_first),
        cmocka_unit_test(free_slots_are_taken_in_order),
        cmocka_unit_test(the_least_recently_used_goes),
        cmocka_unit_test(what_this_step_uses_stays),
        cmocka_unit_test(truncating_forgets_the_newer_groups),
        cmocka_unit_test(random_use_matches_a_plain_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
