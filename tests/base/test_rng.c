/* The random generator: the same numbers everywhere, and evenly spread. */
#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Computed with the authors' published recurrences from seed 42, independently of rng.c. */
static void known_sequence(void **state)
{
    (void)state;
    static const uint64_t expected[] = {
        UINT64_C(0x15780b2e0c2ec716),
        UINT64_C(0x6104d9866d113a7e),
        UINT64_C(0xae17533239e499a1),
        UINT64_C(0xecb8ad4703b360a1),
    };
    struct rng rng;
    rng_seed(&rng, 42);
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        assert_true(rng_u64(&rng) == expected[i]);
}

static void seeds_give_different_sequences(void **state)
{
    (void)state;
    struct rng a, b;
    rng_seed(&a, 1);
    rng_seed(&b, 2);
    int equal = 0;
    for (int i = 0; i < 100; i++)
        equal += rng_u64(&a) == rng_u64(&b);
    assert_int_equal(equal, 0);
}

static void below_is_in_range_and_even(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 3);
    int counts[7] = {0};
    for (int i = 0; i < 70000; i++) {
        uint32_t x = rng_below(&rng, 7);
        assert_in_range(x, 0, 6);
        counts[x]++;
    }
    for (int i = 0; i < 7; i++) {
        assert_in_range(counts[i], 9600, 10400); /* 4 standard deviations */
    }
    assert_int_equal(rng_below(&rng, 1), 0);
}

static void below_is_unbiased_for_large_bounds(void **state)
{
    (void)state;
    /* Without rejection a bound of 3 * 2^30 favours every third result. */
    struct rng rng;
    rng_seed(&rng, 4);
    int low = 0;
    for (int i = 0; i < 30000; i++)
        low += rng_below(&rng, 3u << 30) % 3 == 0;
    assert_in_range(low, 9600, 10400);
}

static void floats_are_uniform_in_unit_interval(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 5);
    double sum = 0, least = 1, most = 0;
    for (int i = 0; i < 100000; i++) {
        float x = rng_float(&rng);
        assert_true(x >= 0 && x < 1);
        sum += (double)x;
        least = fmin(least, (double)x);
        most = fmax(most, (double)x);
    }
    assert_true(fabs(sum / 100000 - 0.5) < 0.004);
    assert_true(least < 0.001 && most > 0.999);
}

static void normals_have_mean_0_and_deviation_1(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 6);
    double sum = 0, squares = 0;
    int beyond_two = 0;
    const int n = 100000;
    for (int i = 0; i < n; i++) {
        double x = (double)rng_normal(&rng);
        sum += x;
        squares += x * x;
        beyond_two += fabs(x) > 2;
    }
    assert_true(fabs(sum / n) < 0.013);
    assert_true(fabs(squares / n - 1) < 0.02);
    assert_in_range(beyond_two, 4100, 4900); /* 4.55 % of a normal distribution */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_sequence),
        cmocka_unit_test(seeds_give_different_sequences),
        cmocka_unit_test(below_is_in_range_and_even),
        cmocka_unit_test(below_is_unbiased_for_large_bounds),
        cmocka_unit_test(floats_are_uniform_in_unit_interval),
        cmocka_unit_test(normals_have_mean_0_and_deviation_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
