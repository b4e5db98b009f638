/*
 * test_layer_ranks.c: which layers need metadata. Made attention, of which is known what each layer
 * looks for: what is caught, and the ranks that follow from it.
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
#include "kvswap/layer_ranks.h"

enum {
    SEED = 20251130,
    HEADS = 4,
    KV_HEADS = 2,
    DIM = 16,
    WIDTH = KV_HEADS * DIM,
    RANK = 16,
    KEYS = 3000
};
enum { STEPS = RANK / LAYER_RANK_STEP + 1, LAYERS = 3 };

/*
 * Layer 0 attends to what is near, layer 1 to one far key in 500 along direction 10 of its adapter,
 * layer 2 to all alike.
 */
static struct rank_sample *made_sample(int n_keys)
{
    struct rank_sample *s;
    struct rng rng;
    float key[WIDTH], query[HEADS * DIM];
    rng_seed(&rng, SEED);
    assert_int_equal(rank_sample_new(LAYERS, HEADS, KV_HEADS, DIM, &s, NULL), ASHLAR_OK);
    for (int layer = 0; layer < LAYERS; layer++)
        for (int t = 0; t < n_keys; t++) {
            for (int i = 0; i < WIDTH; i++)
                key[i] = 0.05f * rng_normal(&rng);
            if (layer == 0)
                key[0] = key[DIM] = (float)t / 10.0f;
            if (layer == 1)
                key[10] = key[DIM + 10] = t % 500 == 250 ? 10.0f : 0.0f;
            assert_true(rank_sample_keys(s, layer, t, 1, key));
            memset(query, 0, sizeof query);
            for (int h = 0; h < HEADS; h++)
                query[h * DIM + (layer == 0 ? 0 : 10)] = layer == 2 ? 0.0f : 8.0f;
            if (t % 8 == 0)
                rank_sample_query(s, layer, t, query);
        }
    return s;
}

/* An adapter whose row i is value i of each head. */
static void plain_adapter(float *a)
{
    memset(a, 0, RANK * WIDTH * sizeof *a);
    for (int r = 0; r < RANK; r++)
        a[r * WIDTH + r] = a[r * WIDTH + DIM + r] = 1.0f;
}

static void what_is_caught_is_measured(void **state)
{
    (void)state;
    struct rank_sample *s = made_sample(KEYS);
    float a[RANK * WIDTH], caught[LAYERS][STEPS];
    plain_adapter(a);
    for (int l = 0; l < LAYERS; l++)
        assert_int_equal(rank_sample_measure(s, l, RANK, a, a, caught[l], NULL), ASHLAR_OK);
    assert_true(caught[0][0] > 0.95f);                           /* all is near */
    assert_true(caught[1][2] < 0.3f && caught[1][3] > 0.95f);    /* rows 8 to 11 find it */
    assert_true(fabsf(caught[2][4] - caught[2][0]) < 0.02f);     /* nothing to find */
    assert_true(caught[2][0] > 0.02f && caught[2][0] < 0.06f);   /* 64 + 32 + 8 of 3,000 */
    rank_sample_free(s);
}

static void the_layer_that_finds_gets_the_rank(void **state)
{
    (void)state;
    struct rank_sample *s = made_sample(KEYS);
    float a[RANK * WIDTH], caught[LAYERS][STEPS];
    int ranks[LAYERS];
    plain_adapter(a);
    for (int l = 0; l < LAYERS; l++)
        assert_int_equal(rank_sample_measure(s, l, RANK, a, a, caught[l], NULL), ASHLAR_OK);
    layer_ranks_choose(caught[0], LAYERS, STEPS, 16, ranks);
    assert_int_equal(ranks[1], 16);
    assert_int_equal(ranks[0] + ranks[2], 0);
    layer_ranks_choose(caught[0], LAYERS, STEPS, 15, ranks); /* so few rows mislead */
    assert_int_equal(ranks[0] + ranks[1] + ranks[2], 0);
    rank_sample_free(s);
}

static void ranks_keep_the_total(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, SEED + 1);
    for (int trial = 0; trial < 200; trial++) {
        float caught[LAYERS * STEPS];
        int ranks[LAYERS], total = (int)rng_below(&rng, LAYERS * RANK + 9), sum = 0;
        for (int i = 0; i < LAYERS * STEPS; i++)
            caught[i] = (float)rng_below(&rng, 1000) / 1000.0f;
        layer_ranks_choose(caught, LAYERS, STEPS, total, ranks);
        for (int l = 0; l < LAYERS; l++) {
            assert_true(ranks[l] >= 0 && ranks[l] <= RANK && ranks[l] % LAYER_RANK_STEP == 0);
            sum += ranks[l];
        }
        assert_true(sum <= total);
    }
}

/* A sequence long enough is kept; a shorter one gives way to the next; too short a one tells
 * nothing. */
static void the_first_long_sequence_is_the_sample(void **state)
{
    (void)state;
    float a[RANK * WIDTH], before[STEPS], after[STEPS], key[WIDTH] = {0};
    plain_adapter(a);
    struct rank_sample *s = made_sample(KEYS);
    assert_int_equal(rank_sample_measure(s, 1, RANK, a, a, before, NULL), ASHLAR_OK);
    for (int t = 0; t < 600; t++)
        assert_true(rank_sample_keys(s, 1, t, 1, key));
    assert_int_equal(rank_sample_measure(s, 1, RANK, a, a, after, NULL), ASHLAR_OK);
    assert_memory_equal(before, after, sizeof before);
    rank_sample_free(s);
    s = made_sample(100);
    assert_int_equal(rank_sample_measure(s, 1, RANK, a, a, after, NULL), ASHLAR_OK);
    for (int i = 0; i < STEPS; i++)
        assert_true(after[i] == 1.0f);
    rank_sample_free(s);
}

int main(void)
{
    printf("seed %d\n", SEED);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_caught_is_measured),
        cmocka_unit_test(the_layer_that_finds_gets_the_rank),
        cmocka_unit_test(ranks_keep_the_total),
        cmocka_unit_test(the_first_long_sequence_is_the_sample),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
