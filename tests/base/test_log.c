/* The log and progress callbacks. */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct heard {
    ashlar_log_level level;
    char line[2048];
    int n_lines;
    char what[32];
    uint64_t done, total;
    bool answer;
};

static void hear(void *user, ashlar_log_level level, const char *line)
{
    struct heard *heard = user;
    heard->level = level;
    heard->n_lines++;
    snprintf(heard->line, sizeof heard->line, "%s", line);
}

static bool watch(void *user, const char *what, uint64_t done, uint64_t total)
{
    struct heard *heard = user;
    snprintf(heard->what, sizeof heard->what, "%s", what);
    heard->done = done;
    heard->total = total;
    return heard->answer;
}

static void line_reaches_the_callback(void **state)
{
    (void)state;
    struct heard heard = {0};
    struct log log = {.fn = hear, .fn_user = &heard};
    log_write(&log, ASHLAR_LOG_WARN, "%s is %d", "n", 3);
    assert_int_equal(heard.level, ASHLAR_LOG_WARN);
    assert_string_equal(heard.line, "n is 3");
    assert_int_equal(heard.n_lines, 1);
}

static void line_breaks_and_escapes_are_replaced(void **state)
{
    (void)state;
    struct heard heard = {0};
    struct log log = {.fn = hear, .fn_user = &heard};
    log_write(&log, ASHLAR_LOG_INFO, "name %s", "a\nb\x1b[2J");
    assert_string_equal(heard.line, "name a?b?[2J");
}

static void long_line_is_cut(void **state)
{
    (void)state;
    struct heard heard = {0};
    struct log log = {.fn = hear, .fn_user = &heard};
    log_write(&log, ASHLAR_LOG_INFO, "%5000d", 1);
    assert_in_range(strlen(heard.line), 500, 1100);
}

static void silence_is_possible(void **state)
{
    (void)state;
    struct log log = {0};
    log_write(&log, ASHLAR_LOG_INFO, "x");
    log_write(NULL, ASHLAR_LOG_INFO, "x");
    assert_true(log_progress(&log, "load", 1, 2));
    assert_true(log_progress(NULL, "load", 1, 2));
}

static void progress_passes_and_can_cancel(void **state)
{
    (void)state;
    struct heard heard = {.answer = true};
    struct log log = {.progress = watch, .progress_user = &heard};
    assert_true(log_progress(&log, "prefill", 3, 9));
    assert_string_equal(heard.what, "prefill");
    assert_int_equal(heard.done, 3);
    assert_int_equal(heard.total, 9);
    heard.answer = false;
    assert_false(log_progress(&log, "prefill", 4, 9));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(line_reaches_the_callback),
        cmocka_unit_test(line_breaks_and_escapes_are_replaced),
        cmocka_unit_test(long_line_is_cut),
        cmocka_unit_test(silence_is_possible),
        cmocka_unit_test(progress_passes_and_can_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
