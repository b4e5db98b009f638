/*
 * test_linear.c: matrix products over the pool, with every table of this machine, against products
 * in double; what chunks, slices of long rows, biases, sums and thread counts could get wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "kernels/linear.h"
#include "model/quantize.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEED = 7, JOBS_MAX = 4, GAP = 3 /* floats between tokens, left alone */ };

#define UNTOUCHED 77.0f

/* A weight matrix with its values as floats. */
struct matrix {
    struct tensor tensor;
    unsigned char *data;
    float *values; /* (n_rows, n_cols) */
};

static float *random_floats(struct rng *rng, size_t n)
{
    float *x = malloc(n * sizeof(float));
    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = rng_normal(rng);
    return x;
}

static struct matrix matrix_new(struct rng *rng, enum tensor_type type, int n_rows, int n_cols)
{
    size_t row_bytes = tensor_row_bytes(type, n_cols), cols = (size_t)n_cols;
    struct matrix m = {.data = malloc((size_t)n_rows * row_bytes)};
    assert_non_null(m.data);
    m.values = random_floats(rng, (size_t)n_rows * cols);
    for (int r = 0; r < n_rows; r++) {
        unsigned char *row = m.data + (size_t)r * row_bytes;
        quantize_row(type, cols, m.values + (size_t)r * cols, row);
        kernels_scalar()->dequantize(type, n_cols, row, m.values + (size_t)r * cols);
    }
    m.tensor = (struct tensor){m.data, type, n_rows, n_cols, row_bytes, "w"};
    return m;
}

static void matrix_free(struct matrix *m)
{
    free(m->data);
    free(m->values);
}

/* One call with its own pool and scratch of exactly the promised size. */
static void run(const struct kernels *kernels, int n_threads, int n_tok, int k, const float *x,
                size_t x_stride, const struct linear_job *jobs, int n_jobs)
{
    struct pool *pool;
    struct arena arena;
    struct linear linear;
    assert_int_equal(pool_new(n_threads, &pool, NULL), ASHLAR_OK);
    assert_true(arena_init(&arena, linear_bytes(kernels, n_threads, n_tok, k)));
    assert_true(linear_init(&linear, kernels, pool, n_tok, k, &arena));
    linear_run(&linear, n_tok, x, x_stride, jobs, n_jobs);
    arena_fini(&arena);
    pool_free(pool);
}

/* The products of some jobs of one x, and what they should be. */
struct trial {
    int n_tok, k, n_jobs;
    struct matrix w[JOBS_MAX];
    float *bias[JOBS_MAX], *y[JOBS_MAX];
    size_t y_stride[JOBS_MAX];
    bool add;
    float *x;
    size_t x_stride;
};

static void trial_init(struct trial *t, struct rng *rng, int n_tok, int k, bool bias, bool add)
{
    *t = (struct trial){.n_tok = n_tok, .k = k, .add = add, .x_stride = (size_t)k + GAP};
    t->x = random_floats(rng, (size_t)n_tok * t->x_stride);
    t->bias[0] = bias ? random_floats(rng, 4096) : NULL;
}

static void trial_job(struct trial *t, struct rng *rng, enum tensor_type type, int n_rows)
{
    int i = t->n_jobs++;
    t->w[i] = matrix_new(rng, type, n_rows, t->k);
    t->y_stride[i] = (size_t)n_rows + GAP;
    t->y[i] = malloc((size_t)t->n_tok * t->y_stride[i] * sizeof(float));
    assert_non_null(t->y[i]);
    t->bias[i] = t->bias[0];
}

static void trial_run(struct trial *t, const struct kernels *kernels, int n_threads)
{
    struct linear_job jobs[JOBS_MAX];
    for (int i = 0; i < t->n_jobs; i++) {
        for (size_t j = 0; j < (size_t)t->n_tok * t->y_stride[i]; j++)
            t->y[i][j] = UNTOUCHED;
        jobs[i] = (struct linear_job){&t->w[i].tensor, t->bias[i], t->y[i], t->y_stride[i], t->add};
    }
    run(kernels, n_threads, t->n_tok, t->k, t->x, t->x_stride, jobs, t->n_jobs);
}

/* One token of one job; every table rounds activations to 8 bits or better. */
static void check_token(const struct trial *t, const char *name, int job, int token)
{
    const struct matrix *m = &t->w[job];
    const float *x = t->x + (size_t)token * t->x_stride;
    const float *y = t->y[job] + (size_t)token * t->y_stride[job];
    for (int r = 0; r < m->tensor.n_rows; r++) {
        double want = t->add ? (double)UNTOUCHED : 0, squares = 0;
        for (int i = 0; i < t->k; i++) {
            double product = (double)m->values[(size_t)r * (size_t)t->k + (size_t)i] * (double)x[i];
            want += product;
            squares += product * product;
        }
        want += t->bias[job] ? (double)t->bias[job][r] : 0;
        /* Rounding errors add up like the terms' own random signs. */
        if (!(fabs((double)y[r] - want) <= 0.05 * sqrt(squares) + 1e-4))
            fail_msg("%s %s job %d row %d token %d of %d: %g, want %g (seed %d)", name,
                     tensor_type_name(m->tensor.type), job, r, token, t->n_tok, (double)y[r], want,
                     SEED);
    }
    for (size_t i = (size_t)m->tensor.n_rows; i < t->y_stride[job]; i++)
        assert_true(y[i] == UNTOUCHED);
}

static void trial_check(const struct trial *t, const char *name)
{
    for (int i = 0; i < t->n_jobs; i++)
        for (int token = 0; token < t->n_tok; token++)
            check_token(t, name, i, token);
}

static void trial_free(struct trial *t)
{
    for (int i = 0; i < t->n_jobs; i++) {
        matrix_free(&t->w[i]);
        free(t->y[i]);
    }
    free(t->bias[0]);
    free(t->x);
}

/* All tables on a trial made by `make`. */
static void try_tables(void (*make)(struct trial *, struct rng *, int), int variant)
{
    const struct kernels *tables[8];
    int n = kernels_available(tables);
    struct rng rng;
    struct trial t;
    rng_seed(&rng, SEED);
    make(&t, &rng, variant);
    for (int i = 0; i < n; i++) {
        trial_run(&t, tables[i], 2);
        trial_check(&t, tables[i]->name);
    }
    trial_free(&t);
}

static const enum tensor_type types[] = {
    TENSOR_F32,  TENSOR_F16,  TENSOR_BF16, TENSOR_Q4_0, TENSOR_Q4_1, TENSOR_Q5_0, TENSOR_Q5_1,
    TENSOR_Q8_0, TENSOR_Q2_K, TENSOR_Q3_K, TENSOR_Q4_K, TENSOR_Q5_K, TENSOR_Q6_K};

enum { N_TYPES = sizeof types / sizeof types[0] };

static void make_decode(struct trial *t, struct rng *rng, int variant)
{
    trial_init(t, rng, 1, 256, false, false);
    trial_job(t, rng, types[variant], 300);
}

static void test_one_token(void **state)
{
    (void)state;
    for (int i = 0; i < N_TYPES; i++)
        try_tables(make_decode, i);
}

static void make_few(struct trial *t, struct rng *rng, int variant)
{
    trial_init(t, rng, 2 + variant % 4, 512, false, false);
    trial_job(t, rng, types[variant], 45);
}

static void test_few_tokens(void **state)
{
    (void)state;
    for (int i = 0; i < N_TYPES; i++)
        try_tables(make_few, i);
}

static void make_many(struct trial *t, struct rng *rng, int variant)
{
    trial_init(t, rng, 40, 512, false, false);
    trial_job(t, rng, types[variant], 45);
}

static void test_many_tokens(void **state)
{
    (void)state;
    for (int i = 0; i < N_TYPES; i++)
        try_tables(make_many, i);
}

/* Rows so long that they are cut in slices, the last one short or not a whole block of 64. */
static void make_long(struct trial *t, struct rng *rng, int variant)
{
    static const int lengths[] = {2080, 4384, 6176};
    trial_init(t, rng, variant % 2 ? 9 : 33, lengths[variant / 2 % 3], variant % 3 == 0,
               variant % 4 < 2);
    trial_job(t, rng, variant % 2 ? TENSOR_Q8_0 : TENSOR_F16, 20);
}

static void test_long_rows(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++)
        try_tables(make_long, i);
}

/* Several types of weights in one call: variant 0 decode, 1 prefill. */
static void make_mixed(struct trial *t, struct rng *rng, int variant)
{
    trial_init(t, rng, variant ? 21 : 1, 256, false, false);
    trial_job(t, rng, TENSOR_Q4_K, 70);
    trial_job(t, rng, TENSOR_Q6_K, 33);
    trial_job(t, rng, TENSOR_F32, 2);
    trial_job(t, rng, TENSOR_BF16, 5);
}

static void test_mixed_types(void **state)
{
    (void)state;
    try_tables(make_mixed, 0);
    try_tables(make_mixed, 1);
}

static void make_bias(struct trial *t, struct rng *rng, int variant)
{
    trial_init(t, rng, variant & 1 ? 12 : 1, 64, variant & 2, variant & 4);
    trial_job(t, rng, TENSOR_Q8_0, 300);
    trial_job(t, rng, TENSOR_Q8_0, 17);
}

static void test_bias_and_add(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++)
        try_tables(make_bias, i);
}

static void make_odd(struct trial *t, struct rng *rng, int variant)
{
    trial_init(t, rng, variant, 173, false, false);
    trial_job(t, rng, TENSOR_F16, 19);
    trial_job(t, rng, TENSOR_F32, 19);
}

/* Float weights need no whole blocks. */
static void test_odd_columns(void **state)
{
    (void)state;
    try_tables(make_odd, 1);
    try_tables(make_odd, 35);
}

static void make_threads(struct trial *t, struct rng *rng, int variant)
{
    trial_init(t, rng, variant, 2304, false, true);
    trial_job(t, rng, TENSOR_Q4_0, 600);
    trial_job(t, rng, TENSOR_Q4_K, 70);
    trial_job(t, rng, TENSOR_F16, 130);
}

/* The same bits for any number of threads. */
static void test_threads(void **state)
{
    (void)state;
    const struct kernels *tables[8];
    int n = kernels_available(tables);
    for (int variant = 0; variant < 3; variant++) {
        struct rng rng;
        struct trial t;
        rng_seed(&rng, SEED);
        make_threads(&t, &rng, variant == 0 ? 1 : variant == 1 ? 3 : 34);
        for (int i = n > 2 ? n - 2 : 0; i < n; i++) {
            float *first[JOBS_MAX];
            trial_run(&t, tables[i], 1);
            for (int j = 0; j < t.n_jobs; j++) {
                size_t bytes = (size_t)t.n_tok * t.y_stride[j] * sizeof(float);
                first[j] = malloc(bytes);
                assert_non_null(first[j]);
                memcpy(first[j], t.y[j], bytes);
            }
            trial_run(&t, tables[i], 5);
            for (int j = 0; j < t.n_jobs; j++) {
                size_t bytes = (size_t)t.n_tok * t.y_stride[j] * sizeof(float);
                assert_memory_equal(first[j], t.y[j], bytes);
                free(first[j]);
            }
        }
        trial_free(&t);
    }
}

static void test_nothing_to_do(void **state)
{
    (void)state;
    float x[32] = {0};
    run(kernels_select(NULL), 2, 1, 32, x, 32, NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_token),    cmocka_unit_test(test_few_tokens),
        cmocka_unit_test(test_many_tokens),  cmocka_unit_test(test_long_rows),
        cmocka_unit_test(test_mixed_types),  cmocka_unit_test(test_bias_and_add),
        cmocka_unit_test(test_odd_columns),  cmocka_unit_test(test_threads),
        cmocka_unit_test(test_nothing_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
