/*
 * test_lowrank.c: adapters keep the products of queries and keys they are fitted to, the queries
 * that were sampled decide which; rows score groups within the error that their quantisation
 * allows.
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
#include "kernels/formats.h"
#include "kvswap/lowrank.h"

enum { SEED = 20251127, WIDTH = 96, GROUP = 8, MOST_KEYS = 300 };

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
    struct adapters a = {
        .kernels = kernels_scalar(), .n_layer = n_layer, .width = WIDTH, .rank = rank};
    a.data = calloc((size_t)(n_layer * 2 * rank), adapters_row_bytes(WIDTH));
    a.ready = calloc((size_t)n_layer, sizeof *a.ready);
    a.n_samples = calloc((size_t)n_layer, sizeof *a.n_samples);
    a.act = aligned_alloc(64, adapters_act_bytes(WIDTH));
    a.fit_scratch = malloc(lowrank_fit_bytes(MOST_KEYS, WIDTH, rank));
    return a;
}

static void free_adapters(struct adapters *a)
{
    free(a->data);
    free(a->ready);
    free(a->n_samples);
    free(a->act);
    free(a->fit_scratch);
}

static void fit(struct adapters *a, int layer, int n, const float *keys)
{
    ashlar_error err = {0};
    if (adapters_fit(a, layer, n, keys, &err) != ASHLAR_OK)
        fail_msg("%s", err.message);
    assert_true(a->ready[layer]);
}

/* sum (q . k - Bq . Ak)^2 / sum (q . k)^2 over all pairs. */
static double share_lost(const struct adapters *a, int layer, int n, const float *keys, int n_q,
                         const float *q)
{
    int rank = a->rank;
    float *y = floats((size_t)(n * rank)), *p = floats((size_t)(n_q * rank));
    double lost = 0, all = 0;
    adapters_project(a, layer, ADAPTER_KEYS, n, keys, y);
    adapters_project(a, layer, ADAPTER_QUERIES, n_q, q, p);
    for (int i = 0; i < n_q; i++)
        for (int t = 0; t < n; t++) {
            double exact = 0, low = 0;
            for (int d = 0; d < WIDTH; d++)
                exact += (double)q[i * WIDTH + d] * keys[t * WIDTH + d];
            for (int r = 0; r < rank; r++)
                low += (double)p[i * rank + r] * y[t * rank + r];
            lost += (exact - low) * (exact - low);
            all += exact * exact;
        }
    free(y);
    free(p);
    return lost / all;
}

static const int counts[] = {8, 33, 95, 96, 97, 300}; /* below, at and above the width */

static void keys_of_low_rank_lose_nothing(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, SEED);
    for (int i = 1; i < 6; i++)
        for (int rank = 1; rank <= 32; rank *= 2) {
            struct adapters a = new_adapters(2, 32);
            float *keys = low_rank_keys(&rng, counts[i], rank), *q = normals(&rng, 20 * WIDTH);
            fit(&a, 1, counts[i], keys);
            assert_false(a.ready[0]);
            double lost = share_lost(&a, 1, counts[i], keys, 20, q);
            if (lost > 1e-3)
                fail_msg("%d keys of rank %d: %g lost", counts[i], rank, lost);
            free(keys);
            free(q);
            free_adapters(&a);
        }
}

static void more_rank_loses_less(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, SEED + 1);
    for (int i = 3; i < 6; i++) {
        float *keys = normals(&rng, (size_t)(counts[i] * WIDTH)), *q = normals(&rng, 20 * WIDTH);
        double before = 1.0;
        for (int rank = 8; rank <= 64; rank *= 2) {
            struct adapters a = new_adapters(1, rank);
            fit(&a, 0, counts[i], keys);
            double lost = share_lost(&a, 0, counts[i], keys, 20, q);
            assert_true(lost < before);
            before = lost;
            free_adapters(&a);
        }
        free(keys);
        free(q);
    }
}

/* Queries in a few directions only: with them sampled, those are kept. */
static float *narrow_queries(struct rng *rng, int n, int first, int directions)
{
    float *q = floats((size_t)(n * WIDTH));
    for (int i = 0; i < n; i++)
        for (int d = first; d < first + directions; d++)
            q[i * WIDTH + d] = rng_normal(rng);
    return q;
}

static void queries_decide_what_is_kept(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, SEED + 2);
    float *keys = normals(&rng, 300 * WIDTH), *q = narrow_queries(&rng, 120, 17, 6);
    struct adapters blind = new_adapters(1, 48), a = new_adapters(1, 48);
    for (int i = 0; i < 120; i++)
        adapters_sample(&a, 0, q + i * WIDTH);
    assert_int_equal(a.n_samples[0], 96); /* 2 * rank: more are not wanted */
    assert_int_equal(adapters_wanted(&a, 0), 0);
    fit(&a, 0, 300, keys);
    fit(&blind, 0, 300, keys);
    assert_true(share_lost(&a, 0, 300, keys, 120, q) < 0.02);
    assert_true(share_lost(&blind, 0, 300, keys, 120, q) > 0.15);
    free(keys);
    free(q);
    free_adapters(&a);
    free_adapters(&blind);
}

static void projected_keys_have_equal_mean_squares(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, SEED + 3);
    float *keys = normals(&rng, 300 * WIDTH), *y = floats(300 * 32), *q = normals(&rng, 30 * WIDTH);
    for (int i = 0; i < 300 * WIDTH; i++)
        keys[i] *=
            1.0f + (float)(i % WIDTH) / 10.0f; /* up to ten times as large in the last direction */
    struct adapters a = new_adapters(1, 32);
    for (int i = 0; i < 30; i++)
        adapters_sample(&a, 0, q + i * WIDTH);
    fit(&a, 0, 300, keys);
    adapters_project(&a, 0, ADAPTER_KEYS, 300, keys, y);
    for (int r = 0; r < 32; r++) {
        double square = 0;
        for (int t = 0; t < 300; t++)
            square += (double)y[t * 32 + r] * y[t * 32 + r] / 300;
        if (fabs(square - 1) > 0.05)
            fail_msg("value %d: mean square %g", r, square);
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
        float *keys = floats((size_t)(counts[i] * WIDTH)), *q = floats(WIDTH), y[32] = {1};
        fit(&a, 0, counts[i], keys); /* all zero */
        keys[5] = 3.0f;              /* one direction only */
        fit(&a, 0, counts[i], keys);
        q[5] = 2.0f;
        assert_true(share_lost(&a, 0, 1, keys, 1, q) < 1e-3);
        adapters_project(&a, 0, ADAPTER_KEYS, 1, keys, y);
        for (int j = 0; j < 32; j++)
            assert_true(isfinite(y[j]));
        free(keys);
        free(q);
        free_adapters(&a);
    }
}

static void what_is_no_number_is_refused(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, SEED + 4);
    for (int i = 0; i < 6; i += 5) {
        struct adapters a = new_adapters(1, 32);
        float *keys = normals(&rng, (size_t)(counts[i] * WIDTH)), *q = normals(&rng, WIDTH);
        ashlar_error err;
        q[3] = INFINITY;
        adapters_sample(&a, 0, q);
        assert_int_equal(a.n_samples[0], 0);
        keys[7] = NAN;
        assert_int_equal(adapters_fit(&a, 0, counts[i], keys, &err), ASHLAR_FAILED);
        assert_false(a.ready[0]);
        free(keys);
        free(q);
        free_adapters(&a);
    }
}

/* ---- rows ---------------------------------------------------------------------------------- */

struct stored {
    struct lowrank_format format;
    int n;            /* groups */
    float *projected; /* (n, GROUP, rank) */
    struct lowrank_rows rows;
};

static struct stored store_random(struct rng *rng, enum score_type type, int rank, int n)
{
    struct stored s = {
        {type, rank, GROUP}, n, normals(rng, (size_t)(n * GROUP * rank)), {NULL, NULL}};
    s.rows.rows = malloc((size_t)(n * GROUP) * score_row_bytes(type, rank));
    s.rows.scales = calloc((size_t)n, sizeof *s.rows.scales);
    for (int t = 0; t < n * GROUP; t++) { /* sizes differ from token to token */
        float size = expf(rng_normal(rng));
        for (int i = 0; i < rank; i++)
            s.projected[t * rank + i] *= size;
    }
    lowrank_store(&s.format, &s.rows, 0, n, s.projected);
    return s;
}

static void free_stored(struct stored *s)
{
    free(s->projected);
    free(s->rows.rows);
    free(s->rows.scales);
}

/* Value i of token t as it was stored. */
static float stored_value(const struct stored *s, int t, int i)
{
    int rank = s->format.rank;
    const unsigned char *row = s->rows.rows + (size_t)t * score_row_bytes(s->format.type, rank);
    if (s->format.type == SCORE_F16)
        return format_f16_float(format_u16(row + 2 * i));
    float scale = format_f16_float(s->rows.scales[t / GROUP]);
    if (s->format.type == SCORE_INT8)
        return (float)(row[i] - SCORE_BIAS8) * scale;
    int byte = row[i % (rank / 2)];
    return (float)((i < rank / 2 ? byte & 15 : byte >> 4) - SCORE_BIAS4) * scale;
}

/* The largest error that storing may make. */
static float step_of(const struct stored *s, int t, float x)
{
    float scale = format_f16_float(s->rows.scales[t / GROUP]);
    float range = s->format.type == SCORE_INT4 ? 7.0f : 127.0f;
    if (s->format.type == SCORE_F16)
        return fabsf(x) * 0x1p-11f + 1e-7f;
    /* rounding the scale itself may cut the largest value a little */
    return 0.501f * scale + range * scale * 0x1p-11f;
}

static void rows_are_within_half_a_step(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, SEED + 5);
    for (int type = 0; type < SCORE_TYPES; type++) {
        struct stored s = store_random(&rng, (enum score_type)type, 40, 7);
        for (int t = 0; t < s.n * GROUP; t++)
            for (int i = 0; i < 40; i++) {
                float x = s.projected[t * 40 + i];
                if (fabsf(stored_value(&s, t, i) - x) > step_of(&s, t, x))
                    fail_msg("type %d, token %d, value %d: %g became %g", type, t, i, x,
                             stored_value(&s, t, i));
            }
        free_stored(&s);
    }
}

static void only_the_groups_asked_for_are_written(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, SEED + 6);
    for (int type = 0; type < SCORE_TYPES; type++) {
        struct stored s = store_random(&rng, (enum score_type)type, 24, 9);
        size_t bytes = GROUP * score_row_bytes((enum score_type)type, 24);
        unsigned char *before = malloc(9 * bytes);
        memcpy(before, s.rows.rows, 9 * bytes);
        float *other = normals(&rng, 24 * GROUP * 2);
        lowrank_store(&s.format, &s.rows, 4, 2, other);
        assert_memory_equal(s.rows.rows, before, 4 * bytes);
        assert_memory_equal(s.rows.rows + 6 * bytes, before + 6 * bytes, 3 * bytes);
        assert_memory_not_equal(s.rows.rows + 4 * bytes, before + 4 * bytes, 2 * bytes);
        free(other);
        free(before);
        free_stored(&s);
    }
}

static void extreme_rows_stay_finite(void **state)
{
    (void)state;
    static const float sizes[] = {0.0f, 1e-42f, 1e-30f, 1e30f, NAN};
    for (int type = 0; type < SCORE_TYPES; type++)
        for (int i = 0; i < 5; i++) {
            struct lowrank_format f = {(enum score_type)type, 8, 1};
            float projected[8] = {sizes[i], -sizes[i]}, score = NAN, query[8] = {3, -3, 5};
            unsigned char bytes[16], row[32];
            uint16_t scale = 0;
            struct lowrank_rows rows = {bytes, &scale};
            struct lowrank_query q = {.row = row};
            lowrank_store(&f, &rows, 0, 1, projected);
            lowrank_query_set(&f, query, 1.0f, &q);
            lowrank_score(kernels_scalar(), &f, &rows, &q, 0, 1, &score);
            if (!isfinite(score) || (sizes[i] < 1e-20f && fabsf(score) > 1e-6f))
                fail_msg("type %d, size %g: score %g", type, sizes[i], score);
        }
}

/* A group's score is its best token's product, within what quantising the row and the query costs.
 */
static void scores_are_the_best_products(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, SEED + 7);
    for (int type = 0; type < SCORE_TYPES; type++)
        for (int rank = 8; rank <= 512; rank *= 2) {
            struct stored s = store_random(&rng, (enum score_type)type, rank, 13);
            float *q = normals(&rng, (size_t)rank), scores[13], most = 0.0f;
            struct lowrank_query query = {.row = malloc(lowrank_query_bytes(&s.format))};
            lowrank_query_set(&s.format, q, 0.25f, &query);
            lowrank_score(kernels_select(NULL), &s.format, &s.rows, &query, 2, 11, scores);
            for (int i = 0; i < rank; i++)
                most = fmaxf(most, fabsf(q[i]));
            for (int g = 2; g < 13; g++) {
                double best = -INFINITY, error = 0;
                for (int t = g * GROUP; t < (g + 1) * GROUP; t++) {
                    double exact = 0, bound = 1e-6;
                    for (int i = 0; i < rank; i++) {
                        float x = s.projected[t * rank + i];
                        exact += 0.25 * q[i] * x;
                        bound += 0.25 * fabsf(q[i]) * step_of(&s, t, x) +
                                 0.25 * most / 254 * fabsf(stored_value(&s, t, i));
                    }
                    best = exact > best ? exact : best;
                    error = bound > error ? bound : error;
                }
                if (fabs(scores[g - 2] - best) > error)
                    fail_msg("type %d, rank %d, group %d: %g, exactly %g", type, rank, g,
                             scores[g - 2], best);
            }
            free(q);
            free(query.row);
            free_stored(&s);
        }
}

static void heads_are_averaged_over_their_group(void **state)
{
    (void)state;
    float q[8] = {1, 2, 3, 4, 10, 20, 30, 40};
    lowrank_average_heads(4, 2, 2, q);
    assert_true(q[0] == 2 && q[1] == 3 && q[2] == 20 && q[3] == 30);
}

static void the_rank_has_a_floor(void **state)
{
    (void)state;
    assert_int_equal(lowrank_rank(512, 8), 64);
    assert_int_equal(lowrank_rank(512, 0), 64);
    assert_int_equal(lowrank_rank(512, 32), 32); /* not 16 */
    assert_int_equal(lowrank_rank(1024, 32), 32);
    assert_int_equal(lowrank_rank(1024, 1), 1024);
    assert_int_equal(lowrank_rank(16, 8), 16);    /* no more rows than there are values */
    assert_int_equal(lowrank_rank(1024, 20), 56); /* whole eights */
}

static void types_have_names(void **state)
{
    (void)state;
    enum score_type type;
    for (int i = 0; i < SCORE_TYPES; i++) {
        assert_true(lowrank_type_parse(lowrank_type_name((enum score_type)i), &type));
        assert_int_equal(type, i);
    }
    assert_false(lowrank_type_parse("int2", &type));
}

int main(void)
{
    printf("seed %d\n", SEED);
    lowrank_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_low_rank_lose_nothing),
        cmocka_unit_test(more_rank_loses_less),
        cmocka_unit_test(queries_decide_what_is_kept),
        cmocka_unit_test(projected_keys_have_equal_mean_squares),
        cmocka_unit_test(keys_without_a_direction_are_accepted),
        cmocka_unit_test(what_is_no_number_is_refused),
        cmocka_unit_test(rows_are_within_half_a_step),
        cmocka_unit_test(only_the_groups_asked_for_are_written),
        cmocka_unit_test(extreme_rows_stay_finite),
        cmocka_unit_test(scores_are_the_best_products),
        cmocka_unit_test(heads_are_averaged_over_their_group),
        cmocka_unit_test(the_rank_has_a_floor),
        cmocka_unit_test(types_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
