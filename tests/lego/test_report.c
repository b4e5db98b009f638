/* test_report.c: a report is whole or marked as failed, whichever allocation of its JSON fails. */
#include "lego/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

static long allocations, fails_at; /* fails_at: number of the one that fails; 0: none */

static void *allocate(size_t bytes)
{
    return ++allocations == fails_at ? NULL : malloc(bytes);
}

static int use_counted(void **state)
{
    (void)state;
    json_set_alloc_funcs(allocate, free);
    return 0;
}

static int use_own(void **state)
{
    (void)state;
    json_set_alloc_funcs(malloc, free);
    return 0;
}

/* The report of a compilation with everything in it once; false: marked as failed. */
static bool print(struct buf *out, long failing)
{
    struct report_block block = {.function = "f", .at = {"a.c", 3, 4}, .key = "key",
                                 .text = "block(void)\n", .outcome = REPORT_REJECTED,
                                 .verdict = {.message = "v1: \xff"}, .translator = "replay"};
    struct report_block *blocks[] = {&block};
    struct report_function function = {.name = "f", .at = {"a.c", 1, 1}, .why = "goto",
                                       .outcome = FUNCTION_REJECTED};
    struct report report = {.source = "a.c", .blocks = blocks, .n_blocks = 1,
                            .functions = &function, .n_functions = 1, .refused_file = "why"};
    buf_clear(out);
    allocations = 0;
    fails_at = failing;
    report_json(&report, out);
    fails_at = 0;
    return !out->failed;
}

static void a_report_is_whole_or_failed(void **state)
{
    (void)state;
    struct buf whole, out;
    buf_init(&whole, 1 << 20);
    buf_init(&out, 1 << 20);
    assert_true(print(&whole, 0));
    long all = allocations, failed = 0;
    assert_true(all > 50);
    for (long i = 1; i <= all; i++) {
        if (print(&out, i))
            assert_string_equal(out.data, whole.data);
        else
            failed++;
    }
    /* an allocation that is no part of the text may fail unnoticed, but not many are such */
    assert_true(failed > all / 2);
    buf_fini(&out);
    buf_fini(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_report_is_whole_or_failed)};
    return cmocka_run_group_tests(tests, use_counted, use_own);
}
