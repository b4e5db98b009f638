/*
 * test_select.c: the selection of groups is that of a full sort: highest scores first, older groups
 * first among equals; adaptive selection stops at the wanted share of the mass.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "kvswap/select.h"

enum { SEED = 20251125, MOST = 400 };

struct entry {
    float score;
    int id;
};

static int better(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->id - y->id;
}

static int by_id(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* What select_groups should give, by sorting everything. */
static int expected(const float *scores, int n_groups, int first, int most, int least, float mass,
                    int *out)
{
    struct entry sorted[MOST];
    int n = n_groups - first > 0 ? n_groups - first : 0, k = n < most ? n : most;
    double total = 0, sum = 0;
    for (int i = 0; i < n; i++)
        sorted[i] = (struct entry){scores[first + i], first + i};
    qsort(sorted, (size_t)n, sizeof *sorted, better);
    for (int i = 0; i < n; i++)
        total += exp((double)(sorted[i].score - sorted[0].score));
    for (int i = 0; mass < 1.0f && i < k && k > least; i++)
        if ((sum += exp((double)(sorted[i].score - sorted[0].score))) >= mass * total)
            k = i + 1 > least ? i + 1 : least;
    for (int i = 0; i < k; i++)
        out[i] = sorted[i].id;
    qsort(out, (size_t)k, sizeof *out, by_id);
    return k;
}

static void compare(const float *scores, int n, int first, int most, int least, float mass)
{
    int order[MOST], chosen[MOST], want[MOST];
    int n_want = expected(scores, n, first, most, least, mass, want);
    int got = select_groups(scores, n, first, most, least, mass, order, chosen);
    if (got != n_want)
        fail_msg("%d of %d groups from %d on: chose %d, not %d (mass %g)", most, n, first, got,
                 n_want, mass);
    assert_memory_equal(chosen, want, (size_t)got * sizeof *want);
}

static void the_best_groups_are_chosen(void **state)
{
    (void)state;
    struct rng rng;
    float scores[MOST];
    rng_seed(&rng, SEED);
    for (int round = 0; round < 2000; round++) {
        int n = 1 + (int)rng_below(&rng, MOST), first = (int)rng_below(&rng, 3);
        for (int i = 0; i < n; i++)
            scores[i] = rng_normal(&rng);
        compare(scores, n, first, 1 + (int)rng_below(&rng, (uint32_t)n + 5), 0, 1.0f);
    }
}

static void equal_scores_prefer_older_groups(void **state)
{
    (void)state;
    struct rng rng;
    float scores[MOST];
    rng_seed(&rng, SEED + 1);
    for (int round = 0; round < 2000; round++) { /* few distinct values, or one */
        int n = 1 + (int)rng_below(&rng, MOST), values = 1 + (int)rng_below(&rng, 4);
        for (int i = 0; i < n; i++)
            scores[i] = (float)rng_below(&rng, (uint32_t)values);
        compare(scores, n, 1, 1 + (int)rng_below(&rng, (uint32_t)n), 0, 1.0f);
    }
}

static void sorted_scores_are_no_special_case(void **state)
{
    (void)state;
    float rising[MOST], falling[MOST], organ[MOST];
    for (int i = 0; i < MOST; i++) {
        rising[i] = (float)i;
        falling[i] = (float)-i;
        organ[i] = (float)(i < MOST / 2 ? i : MOST - i);
    }
    for (int k = 1; k <= MOST; k += 7) {
        compare(rising, MOST, 1, k, 0, 1.0f);
        compare(falling, MOST, 1, k, 0, 1.0f);
        compare(organ, MOST, 0, k, 0, 1.0f);
    }
}

static void nothing_to_choose_from(void **state)
{
    (void)state;
    float scores[2] = {1, 2};
    int order[2], chosen[2];
    assert_int_equal(select_groups(scores, 0, 1, 5, 1, 1.0f, order, chosen), 0);
    assert_int_equal(select_groups(scores, 1, 1, 5, 1, 1.0f, order, chosen), 0);
    assert_int_equal(select_groups(scores, 2, 0, 0, 0, 1.0f, order, chosen), 0);
    assert_int_equal(select_groups(scores, 2, 1, 5, 1, 0.5f, order, chosen), 1);
    assert_int_equal(chosen[0], 1);
}

static void mass_stops_early_within_its_bounds(void **state)
{
    (void)state;
    struct rng rng;
    float scores[MOST];
    rng_seed(&rng, SEED + 2);
    for (int round = 0; round < 2000; round++) {
        int n = 2 + (int)rng_below(&rng, MOST - 1), most = 1 + (int)rng_below(&rng, (uint32_t)n);
        for (int i = 0; i < n; i++)
            scores[i] = 3.0f * rng_normal(&rng);
        /* masses away from what rounding could decide */
        compare(scores, n, 1, most, (int)rng_below(&rng, (uint32_t)most + 1),
                0.1f + 0.2f * (float)(round % 4));
    }
}

static void one_group_may_hold_all_the_mass(void **state)
{
    (void)state;
    float scores[MOST] = {0};
    int order[MOST], chosen[MOST];
    scores[77] = 60.0f;
    assert_int_equal(select_groups(scores, MOST, 1, 50, 1, 0.9f, order, chosen), 1);
    assert_int_equal(chosen[0], 77);
    assert_int_equal(select_groups(scores, MOST, 1, 50, 12, 0.9f, order, chosen), 12);
    scores[77] = 0.0f; /* all equal: the share is the count */
    assert_int_equal(select_groups(scores, MOST, 0, MOST, 1, 0.25f, order, chosen), MOST / 4);
}

/* A broken model's scores may be anything; the choice stays within the groups. */
static void scores_that_are_no_numbers_do_no_harm(void **state)
{
    (void)state;
    struct rng rng;
    float scores[MOST];
    int order[MOST], chosen[MOST];
    rng_seed(&rng, SEED + 3);
    for (int round = 0; round < 500; round++) {
        int n = 2 + (int)rng_below(&rng, MOST - 1), k = 1 + (int)rng_below(&rng, (uint32_t)n);
        for (int i = 0; i < n; i++)
            scores[i] = i % 3 == round % 3 ? NAN : round % 2 ? INFINITY : rng_normal(&rng);
        int got = select_groups(scores, n, 1, k, 1, round % 5 ? 1.0f : 0.5f, order, chosen);
        assert_true(got >= 1 && got <= k);
        for (int i = 0; i < got; i++)
            assert_true(chosen[i] >= 1 && chosen[i] < n && (i == 0 || chosen[i] > chosen[i - 1]));
    }
}

int main(void)
{
    printf("seed %d\n", SEED);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_groups_are_chosen),
        cmocka_unit_test(equal_scores_prefer_older_groups),
        cmocka_unit_test(sorted_scores_are_no_special_case),
        cmocka_unit_test(nothing_to_choose_from),
        cmocka_unit_test(mass_stops_early_within_its_bounds),
        cmocka_unit_test(one_group_may_hold_all_the_mass),
        cmocka_unit_test(scores_that_are_no_numbers_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
