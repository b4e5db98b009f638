/* Errors: what ends up in an ashlar_error. */
#include "base/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void message_is_formatted_and_status_returned(void **state)
{
    (void)state;
    ashlar_error err;
    strcpy(err.hint, "old");
    assert_int_equal(error_set(&err, ASHLAR_BAD_INPUT, "%s: %d", "file", 7), ASHLAR_BAD_INPUT);
    assert_int_equal(err.status, ASHLAR_BAD_INPUT);
    assert_string_equal(err.message, "file: 7");
    assert_string_equal(err.hint, "");
}

static void null_error_is_accepted(void **state)
{
    (void)state;
    assert_int_equal(error_set(NULL, ASHLAR_USAGE, "x"), ASHLAR_USAGE);
    assert_int_equal(error_errno(NULL, ASHLAR_FAILED, ENOENT, "x"), ASHLAR_FAILED);
    assert_int_equal(error_memory(NULL, 1, "x"), ASHLAR_NO_RESOURCE);
    error_hint(NULL, "x");
}

static void errno_text_follows_the_message(void **state)
{
    (void)state;
    ashlar_error err;
    error_errno(&err, ASHLAR_FAILED, ENOENT, "a.gguf");
    assert_string_equal(err.message, "a.gguf: No such file or directory");
}

static void memory_error_names_bytes_and_purpose(void **state)
{
    (void)state;
    ashlar_error err;
    error_memory(&err, 4096, "the tokens");
    assert_string_equal(err.message, "out of memory (4096 bytes for the tokens)");
}

static void hint_keeps_the_message(void **state)
{
    (void)state;
    ashlar_error err;
    error_set(&err, ASHLAR_USAGE, "wrong");
    error_hint(&err, "try %d", 2);
    assert_string_equal(err.message, "wrong");
    assert_string_equal(err.hint, "try 2");
}

static void control_characters_are_replaced(void **state)
{
    (void)state;
    ashlar_error err;
    error_set(&err, ASHLAR_BAD_INPUT, "tensor %s", "a\nb\x1b[31m\x7f");
    assert_string_equal(err.message, "tensor a?b?[31m?");
}

static void long_message_is_cut_between_characters(void **state)
{
    (void)state;
    for (int shift = 0; shift < 3; shift++) {
        char text[2000];
        memset(text, 'x', (size_t)shift);
        for (size_t i = (size_t)shift; i + 3 < sizeof text; i += 3) {
            memcpy(text + i, "\xe2\x82\xac", 4); /* the euro sign */
        }
        ashlar_error err;
        error_set(&err, ASHLAR_FAILED, "%s", text);
        size_t n = strlen(err.message);
        assert_true(n < sizeof err.message && n > sizeof err.message - 8);
        assert_string_equal(err.message + n - 3, "...");
        assert_int_equal((n - 3 - (size_t)shift) % 3, 0);
    }
}

static void errno_text_after_a_full_message_is_cut(void **state)
{
    (void)state;
    char text[600];
    memset(text, 'y', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    ashlar_error err;
    error_errno(&err, ASHLAR_FAILED, ENOENT, "%s", text);
    assert_true(strlen(err.message) < sizeof err.message);
    assert_string_equal(err.message + strlen(err.message) - 3, "...");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message_is_formatted_and_status_returned),
        cmocka_unit_test(null_error_is_accepted),
        cmocka_unit_test(errno_text_follows_the_message),
        cmocka_unit_test(memory_error_names_bytes_and_purpose),
        cmocka_unit_test(hint_keeps_the_message),
        cmocka_unit_test(control_characters_are_replaced),
        cmocka_unit_test(long_message_is_cut_between_characters),
        cmocka_unit_test(errno_text_after_a_full_message_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
