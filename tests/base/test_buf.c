/* Buffers: growth, the maximum, sticky failure, always a string. */
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void appends_follow_each_other(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1000);
    assert_true(buf_puts(&b, "one"));
    assert_true(buf_append(&b, ", two\0x", 5));
    assert_true(buf_printf(&b, ", %d%s", 3, "!"));
    assert_string_equal(b.data, "one, two, 3!");
    assert_int_equal(b.length, 12);
    buf_fini(&b);
}

static void empty_append_makes_a_string(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 10);
    assert_true(buf_append(&b, NULL, 0));
    assert_string_equal(b.data, "");
    buf_fini(&b);
}

static void bytes_with_nul_are_kept(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 10);
    assert_true(buf_append(&b, "a\0b", 3));
    assert_memory_equal(b.data, "a\0b", 4);
    buf_fini(&b);
}

static void growth_keeps_the_contents(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < 5000; i++)
        assert_true(buf_printf(&b, "%04d,", i));
    assert_int_equal(b.length, 25000);
    assert_memory_equal(b.data + 5 * 4321, "4321,", 5);
    assert_int_equal(strlen(b.data), b.length);
    buf_fini(&b);
}

static void exactly_the_maximum_fits(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 5);
    assert_true(buf_puts(&b, "12345"));
    assert_false(b.failed);
    assert_true(b.capacity <= 6);
    assert_false(buf_puts(&b, "6"));
    buf_fini(&b);
}

static void failure_sticks_and_keeps_the_contents(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 4);
    assert_true(buf_puts(&b, "abc"));
    assert_false(buf_puts(&b, "de"));
    assert_false(buf_puts(&b, "d"));
    assert_false(buf_printf(&b, "%d", 1));
    assert_true(b.failed);
    assert_string_equal(b.data, "abc");
    buf_fini(&b);
}

static void printf_beyond_the_maximum_fails(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 4);
    assert_false(buf_printf(&b, "%d", 12345));
    assert_true(b.failed);
    assert_int_equal(b.length, 0);
    buf_fini(&b);
}

static void clear_forgets_the_failure(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 4);
    buf_puts(&b, "abc");
    buf_puts(&b, "too long");
    buf_clear(&b);
    assert_false(b.failed);
    assert_string_equal(b.data, "");
    assert_true(buf_puts(&b, "wxyz"));
    assert_string_equal(b.data, "wxyz");
    buf_fini(&b);
}

static void unlimited_and_closed_buffers_are_safe(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, SIZE_MAX);
    assert_true(buf_puts(&b, "x"));
    buf_fini(&b);
    assert_null(b.data);
    assert_int_equal(b.length, 0);
    buf_fini(&b);
    buf_clear(&b);
    buf_init(&b, 0);
    assert_true(buf_puts(&b, ""));
    assert_false(buf_puts(&b, "x"));
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_follow_each_other),
        cmocka_unit_test(empty_append_makes_a_string),
        cmocka_unit_test(bytes_with_nul_are_kept),
        cmocka_unit_test(growth_keeps_the_contents),
        cmocka_unit_test(exactly_the_maximum_fits),
        cmocka_unit_test(failure_sticks_and_keeps_the_contents),
        cmocka_unit_test(printf_beyond_the_maximum_fails),
        cmocka_unit_test(clear_forgets_the_failure),
        cmocka_unit_test(unlimited_and_closed_buffers_are_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
