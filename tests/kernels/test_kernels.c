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
    struct CMUnitTest tests[N];
    for (int i = 0; i < N - 1; i++)
        tests[i] = (struct CMUnitTest){.name = check_cases[i].name, .test_func = run_case,
                                       .initial_state = (void *)(uintptr_t)&check_cases[i]};
    tests[N - 1] = (struct CMUnitTest)cmocka_unit_test(test_select_by_name);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
