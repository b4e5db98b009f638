/*
 * test_lowrank.c: adapters are what they claim to be (the leading right singular vectors), and the
 * int8 rows score tokens within the error that quantisation allows; every kernel set scores like
 * the scalar.
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
#include "kvswap/lowrank.h"

enum { SEED = 20251127, WIDTH = 96 };

static float *floats(size_t n)
{
    return calloc(n, sizeof(float));
}

static float *normals(struct rng *rng, size_t n)
{
    float *x = floats(n);
    for (size_t i = 0; i < n; i++)
        x[i] = rng_normal(rng);
    return x;
}

/* (n, width) = mix (n, rank) * directions (rank, width). */
static float *low_rank_keys(struct rng *rng, int n, int rank)
{
    float *mix = normals(rng, (size_t)(n * rank)),
          *directions = normals(rng, (size_t)(rank * WIDTH));
    float *keys = floats((size_t)(n * WIDTH));
    for (int t = 0; t < n; t++)
        for (int r = 0; r < rank; r++)
            for (int i = 0; i < WIDTH; i++)
                keys[t * WIDTH + i] += mix[t * rank + r] * directions[r * WIDTH + i];
    free(mix);
    free(directions);
    return keys;
}

static struct adapters new_adapters(int n_layer, int rank)
{
    return (struct adapters){n_layer, WIDTH, rank, floats((size_t)(n_layer * WIDTH * rank)),
                             calloc((size_t)n_layer, sizeof(bool))};
}

static void free_adapters(struct adapters *a)
{
    free(a->a);
    free(a->ready);
}

static void fit(struct adapters *a, int layer, int n, const float *keys)
{
    ashlar_error err = {0};
    if (adapters_fit(a, layer, n, keys, &err) != ASHLAR_OK)
        fail_msg("%s", err.message);
    assert_true(a->ready[layer]);
}

static double column_product(const struct adapters *a, int layer, int i, int j)
{
    const float *m = a->a + layer * WIDTH * a->rank;
    double sum = 0;
    for (int k = 0; k < WIDTH; k++)
        sum += (double)m[k * a->rank + i] * m[k * a->rank + j];
    return sum;
}

/* Columns have length 1 and are at right angles; columns beyond the keys' own rank may be zero. */
static void assert_orthonormal(const struct adapters *a, int layer, int full_columns)
{
    int full = 0;
    for (int i = 0; i < a->rank; i++) {
        double length = column_product(a, layer, i, i);
        full += fabs(length - 1) < 1e-3;
        if (fabs(length - 1) > 1e-3 && length > 1e-3)
            fail_msg("column %d has length %g", i, sqrt(length));
        for (int j = 0; j < i; j++)
            if (fabs(column_product(a, layer, i, j)) > 1e-3)
                fail_msg("columns %d and %d: %g", i, j, column_product(a, layer, i, j));
    }
    if (full < full_columns)
        fail_msg("%d columns of length 1, not %d", full, full_columns);
}

/* The share of the keys' energy that the adapter keeps: sum |K A|^2 / sum |K|^2. */
static double energy_kept(const struct adapters *a, int layer, int n, const float *keys)
{
    float *y = floats((size_t)(n * a->rank));
    double kept = 0, all = 0;
    adapters_project(a, layer, n, keys, y);
    for (int i = 0; i < n * a->rank; i++)
        kept += (double)y[i] * y[i];
    for (int i = 0; i < n * WIDTH; i++)
        all += (double)keys[i] * keys[i];
    free(y);
    return kept / all;
}

static const int counts[] = {8, 33, 95, 96, 97, 300}; /* below, at and above the width */

static void columns_are_orthonormal(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, SEED);
    for (int i = 0; i < 6; i++) {
        struct adapters a = new_adapters(2, 32);
        float *keys = normals(&rng, (size_t)(counts[i] * WIDTH));
        fit(&a, 1, counts[i], keys);
        assert_orthonormal(&a, 1, counts[i] < 32 ? counts[i] : 32);
        assert_false(a.ready[0]);
        free(keys);
        free_adapters(&a);
    }
}

static void a_low_rank_matrix_is_captured_whole(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, SEED + 1);
    for (int i = 1; i < 6; i++)
        for (int rank = 1; rank <= 32; rank *= 2) {
            struct adapters a = new_adapters(1, 32);
            float *keys = low_rank_keys(&rng, counts[i], rank);
            fit(&a, 0, counts[i], keys);
            assert_orthonormal(&a, 0, rank);
            double kept = energy_kept(&a, 0, counts[i], keys);
            if (fabs(kept - 1) > 1e-3)
                fail_msg("%d keys of rank %d: %g of their energy", counts[i], rank, kept);
            free(keys);
            free_adapters(&a);
        }
}

/* The best r directions keep at least as much as any other r, and more columns keep more. */
static void the_leading_directions_are_kept(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, SEED + 2);
    for (int i = 1; i < 6; i++) {
        float *keys = low_rank_keys(&rng, counts[i], 4),
              *noise = normals(&rng, (size_t)(counts[i] * WIDTH));
        for (int j = 0; j < counts[i] * WIDTH; j++)
            keys[j] += 0.05f * noise[j];
        struct adapters four = new_adapters(1, 4), eight = new_adapters(1, 8),
                        other = new_adapters(1, 4);
        fit(&four, 0, counts[i], keys);
        fit(&eight, 0, counts[i], keys);
        fit(&other, 0, counts[i], noise);
        double kept = energy_kept(&four, 0, counts[i], keys);
        assert_true(kept > 0.99 && kept < 1.0);
        assert_true(energy_kept(&eight, 0, counts[i], keys) > kept);
        assert_true(energy_kept(&other, 0, counts[i], keys) < 0.9 * kept);
        free(keys);
        free(noise);
        free_adapters(&four);
        free_adapters(&eight);
        free_adapters(&other);
    }
}

/* Dot products of keys and of queries in their space survive the projection. */
static void products_survive_the_projection(void **state)
{
    (void)state;
    enum { N = 200, RANK = 16 };
    struct rng rng;
    rng_seed(&rng, SEED + 3);
    struct adapters a = new_adapters(1, RANK);
    float *keys = low_rank_keys(&rng, N, RANK), *y = floats(N * RANK), *q = normals(&rng, WIDTH),
          yq[RANK];
    fit(&a, 0, N, keys);
    adapters_project(&a, 0, N, keys, y);
    adapters_project(&a, 0, 1, q, yq);
    for (int t = 0; t < N; t++) {
        double exact = 0, low = 0, size = 0;
        for (int i = 0; i < WIDTH; i++) {
            exact += (double)keys[t * WIDTH + i] * q[i];
            size += fabs((double)keys[t * WIDTH + i] * q[i]);
        }
        for (int i = 0; i < RANK; i++)
            low += (double)y[t * RANK + i] * yq[i];
        assert_true(fabs(exact - low) <= 1e-3 * size);
    }
    free(keys);
    free(y);
    free(q);
    free_adapters(&a);
}

static void keys_without_a_direction_are_accepted(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        struct adapters a = new_adapters(1, 32);
        float *keys = floats((size_t)(counts[i] * WIDTH)), y[32] = {1};
        fit(&a, 0, counts[i], keys); /* all zero */
        assert_orthonormal(&a, 0, 0);
        keys[5] = 3.0f; /* one direction only */
        fit(&a, 0, counts[i], keys);
        assert_true(fabs(energy_kept(&a, 0, counts[i], keys) - 1) < 1e-5);
        adapters_project(&a, 0, 1, keys, y);
        for (int j = 0; j < 32; j++)
            assert_true(isfinite(y[j]));
        free(keys);
        free_adapters(&a);
    }
}

static void keys_that_are_no_numbers_are_refused(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, SEED + 4);
    for (int i = 0; i < 6; i += 5) {
        struct adapters a = new_adapters(1, 32);
        float *keys = normals(&rng, (size_t)(counts[i] * WIDTH));
        ashlar_error err;
        keys[7] = NAN;
        assert_int_equal(adapters_fit(&a, 0, counts[i], keys, &err), ASHLAR_FAILED);
        assert_false(a.ready[0]);
        free(keys);
        free_adapters(&a);
    }
}

/* ---- int8 rows ----------------------------------------------------------------------------- */

struct stored {
    int rank, n;
    float *projected; /* (n, rank) */
    struct lowrank_rows rows;
};

static struct stored store_random(struct rng *rng, int rank, int n)
{
    struct stored s = {
        rank, n, normals(rng, (size_t)(n * rank)), {malloc((size_t)(n * rank)), floats((size_t)n)}};
    for (int t = 0; t < n; t++) { /* sizes differ from token to token */
        float size = expf(2.0f * rng_normal(rng));
        for (int i = 0; i < rank; i++)
            s.projected[t * rank + i] *= size;
    }
    lowrank_store(&s.rows, rank, 0, n, s.projected);
    return s;
}

static void free_stored(struct stored *s)
{
    free(s->projected);
    free(s->rows.rows);
    free(s->rows.scales);
}

static void rows_are_within_half_a_step(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, SEED + 5);
    struct stored s = store_random(&rng, 40, 50);
    for (int t = 0; t < s.n; t++)
        for (int i = 0; i < s.rank; i++) {
            float value = (float)(s.rows.rows[t * s.rank + i] - SCORE_BIAS) * s.rows.scales[t];
            assert_true(fabsf(value - s.projected[t * s.rank + i]) <= 0.501f * s.rows.scales[t]);
        }
    free_stored(&s);
}

static void only_the_rows_asked_for_are_written(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, SEED + 6);
    struct stored s = store_random(&rng, 24, 9);
    uint8_t before[24 * 9];
    memcpy(before, s.rows.rows, sizeof before);
    float *other = normals(&rng, 24 * 2);
    lowrank_store(&s.rows, 24, 4, 2, other);
    assert_memory_equal(s.rows.rows, before, 24 * 4);
    assert_memory_equal(s.rows.rows + 24 * 6, before + 24 * 6, 24 * 3);
    assert_memory_not_equal(s.rows.rows + 24 * 4, before + 24 * 4, 24 * 2);
    free(other);
    free_stored(&s);
}

static void rows_of_zeros_and_tiny_values_score_nothing(void **state)
{
    (void)state;
    float projected[3][8] = {{0}, {1e-42f, -1e-42f}, {1e-30f}}, scores[3];
    uint8_t bytes[24];
    float scales[3];
    int8_t query[8] = {127, -127, 5};
    struct lowrank_rows rows = {bytes, scales};
    lowrank_store(&rows, 8, 0, 3, &projected[0][0]);
    kernels_scalar()->score(3, 8, bytes, scales, query, 5, 1.0f, scores);
    for (int i = 0; i < 3; i++)
        assert_true(isfinite(scores[i]) && fabsf(scores[i]) < 1e-20f);
}

static int8_t *random_query(struct rng *rng, int rank, int *sum)
{
    int8_t *q = malloc((size_t)rank);
    *sum = 0;
    for (int i = 0; i < rank; i++) {
        q[i] = (int8_t)((int)rng_below(rng, 255) - 127);
        *sum += q[i];
    }
    return q;
}

static void scores_are_products_within_the_quantisation_error(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, SEED + 7);
    for (int rank = 8; rank <= 512; rank *= 2) {
        int sum;
        struct stored s = store_random(&rng, rank, 31);
        int8_t *q = random_query(&rng, rank, &sum);
        float scores[31];
        kernels_select(NULL)->score(s.n, rank, s.rows.rows, s.rows.scales, q, sum, 0.01f, scores);
        for (int t = 0; t < s.n; t++) {
            double exact = 0, bound = 0, size = 0;
            for (int i = 0; i < rank; i++) {
                exact += 0.01 * q[i] * s.projected[t * rank + i];
                bound += 0.01 * abs(q[i]) * 0.5 * s.rows.scales[t];
                size += 0.01 * fabs(q[i] * (double)s.projected[t * rank + i]);
            }
            assert_true(fabs(scores[t] - exact) <= bound * 1.01 + 1e-5 * size);
        }
        free(q);
        free_stored(&s);
    }
}

static void check_against_scalar(struct rng *rng, const struct kernels *k, int rank, int n)
{
    int sum;
    struct stored s = store_random(rng, rank, n);
    int8_t *q = random_query(rng, rank, &sum);
    float *a = floats((size_t)n), *b = floats((size_t)n);
    for (int i = 0; i < rank; i++) /* the extremes: 16-bit sums must not wrap */
        s.rows.rows[i] = q[i] > 0 ? 255 : 1;
    kernels_scalar()->score(n, rank, s.rows.rows, s.rows.scales, q, sum, 0.3f, a);
    k->score(n, rank, s.rows.rows, s.rows.scales, q, sum, 0.3f, b);
    for (int t = 0; t < n; t++)
        if (fabsf(a[t] - b[t]) > 1e-6f * fabsf(a[t]))
            fail_msg("%s: rank %d, token %d of %d: %.9g, scalar %.9g", k->name, rank, t, n, b[t],
                     a[t]);
    free(a);
    free(b);
    free(q);
    free_stored(&s);
}

static void every_table_scores_like_the_scalar(void **state)
{
    (void)state;
    const struct kernels *tables[8];
    static const int tokens[] = {1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 64};
    struct rng rng;
    int n_tables = kernels_available(tables);
    rng_seed(&rng, SEED + 8);
    for (int k = 0; k < n_tables; k++)
        for (int rank = 8; rank <= 512; rank += rank < 96 ? 8 : 32)
            for (int i = 0; i < 12; i++)
                check_against_scalar(&rng, tables[k], rank, tokens[i]);
}

static void the_rank_has_a_floor(void **state)
{
    (void)state;
    assert_int_equal(lowrank_rank(512, 8), 64);
    assert_int_equal(lowrank_rank(512, 0), 64);
    assert_int_equal(lowrank_rank(512, 32), 32); /* not 16 */
    assert_int_equal(lowrank_rank(1024, 32), 32);
    assert_int_equal(lowrank_rank(1024, 1), 1024);
    assert_int_equal(lowrank_rank(16, 8), 16);    /* no more columns than there are values */
    assert_int_equal(lowrank_rank(1024, 20), 56); /* whole eights */
}

int main(void)
{
    printf("seed %d\n", SEED);
    lowrank_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_orthonormal),
        cmocka_unit_test(a_low_rank_matrix_is_captured_whole),
        cmocka_unit_test(the_leading_directions_are_kept),
        cmocka_unit_test(products_survive_the_projection),
        cmocka_unit_test(keys_without_a_direction_are_accepted),
        cmocka_unit_test(keys_that_are_no_numbers_are_refused),
        cmocka_unit_test(rows_are_within_half_a_step),
        cmocka_unit_test(only_the_rows_asked_for_are_written),
        cmocka_unit_test(rows_of_zeros_and_tiny_values_score_nothing),
        cmocka_unit_test(scores_are_products_within_the_quantisation_error),
        cmocka_unit_test(every_table_scores_like_the_scalar),
        cmocka_unit_test(the_rank_has_a_floor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
