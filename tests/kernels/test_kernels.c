/*
 * test_kernels.c: every entry of every table that this machine runs, against exact arithmetic; the
 * checks are in check_*.c. CHECK_SEED=N tries other inputs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "check.c"
#include "check_attend.c"
#include "check_products.c"
#include "check_rows.c"
#include "model/quantize.h"

static void run_case(void **state)
{
    const char *text = getenv("CHECK_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 0) : 1;
    const struct kernels *tables[8];
    static struct check c;
    int n = kernels_available(tables);
    for (int i = 0; i < n; i++)
        if (!check_run(&c, *state, tables[i], seed))
            fail_msg("%s: %s (CHECK_SEED=%llu)", tables[i]->name, c.failure,
                     (unsigned long long)seed);
}

/* What the encoder of model/quantize.c writes comes back: the two know the formats independently.
 * The limits are a bit above half a quantisation step's share of normally distributed values. */
static void test_decodes_encoded(void **state)
{
    (void)state;
    enum { N = 4096 };
    static const struct {
        enum tensor_type type;
        double most; /* root mean square of the error over that of the values */
    } limits[] = {{TENSOR_F32, 0},     {TENSOR_F16, 4e-4},  {TENSOR_BF16, 3e-3},
                  {TENSOR_Q8_0, 0.01}, {TENSOR_Q6_K, 0.04}, {TENSOR_Q5_0, 0.07},
                  {TENSOR_Q5_1, 0.06}, {TENSOR_Q5_K, 0.06}, {TENSOR_Q4_0, 0.13},
                  {TENSOR_Q4_1, 0.11}, {TENSOR_Q4_K, 0.11}, {TENSOR_Q3_K, 0.3},
                  {TENSOR_Q2_K, 0.45}};
    static float x[N], y[N];
    static unsigned char row[4 * N];
    struct rng rng;
    rng_seed(&rng, 1);
    for (int i = 0; i < N; i++)
        x[i] = rng_normal(&rng);
    for (size_t t = 0; t < sizeof limits / sizeof limits[0]; t++) {
        double error = 0, size = 0;
        quantize_row(limits[t].type, N, x, row);
        kernels_scalar()->dequantize(limits[t].type, N, row, y);
        for (int i = 0; i < N; i++) {
            error += pow((double)y[i] - x[i], 2);
            size += pow(x[i], 2);
        }
        if (!(sqrt(error / size) <= limits[t].most))
            fail_msg("%s: error %g", tensor_type_name(limits[t].type), sqrt(error / size));
    }
}

static void test_select_by_name(void **state)
{
    (void)state;
    const struct kernels *tables[8];
    int n = kernels_available(tables);
    assert_true(n >= 1 && n <= 8);
    assert_string_equal(tables[0]->name, "scalar");
    for (int i = 0; i < n; i++)
        assert_ptr_equal(kernels_select(tables[i]->name), tables[i]);
    assert_ptr_equal(kernels_select(NULL), tables[n - 1]);
    assert_null(kernels_select("mmx"));
}

int main(void)
{
    enum { N = sizeof check_cases / sizeof check_cases[0] };
    struct CMUnitTest tests[N + 1];
    for (int i = 0; i < N - 1; i++)
        tests[i] = (struct CMUnitTest){.name = check_cases[i].name, .test_func = run_case,
                                       .initial_state = (void *)(uintptr_t)&check_cases[i]};
    tests[N - 1] = (struct CMUnitTest)cmocka_unit_test(test_select_by_name);
    tests[N] = (struct CMUnitTest)cmocka_unit_test(test_decodes_encoded);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
