/* Figures: bytes that JSON cannot hold, medians. */
#include "cli/bench_report.h"
#include "cli/json_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define BAD "\xef\xbf\xbd"

static void expect_clean(const char *bytes, size_t n, const char *wanted)
{
    struct buf out;

    buf_init(&out, 4096);
    assert_true(json_text_clean(bytes, n, &out));
    assert_string_equal(out.length ? out.data : "", wanted);
    buf_fini(&out);
}

static void whole_characters_stay(void **state)
{
    const char *text = "a \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xef\xbf\xbf \xf4\x8f\xbf\xbf";

    (void)state;
    expect_clean(text, strlen(text), text);
    expect_clean("", 0, "");
}

static void each_stray_byte_becomes_a_replacement(void **state)
{
    (void)state;
    expect_clean("a\x80z", 3, "a" BAD "z");
    expect_clean("\xc3", 1, BAD);                    /* cut */
    expect_clean("\xe2\x82", 2, BAD BAD);            /* cut later */
    expect_clean("\xc0\xaf", 2, BAD BAD);            /* overlong */
    expect_clean("\xe0\x80\x80", 3, BAD BAD BAD);    /* overlong */
    expect_clean("\xed\xa0\x80", 3, BAD BAD BAD);    /* surrogate */
    expect_clean("\xf4\x90\x80\x80", 4, BAD BAD BAD BAD); /* above U+10FFFF */
    expect_clean("\xff\xfe", 2, BAD BAD);
    expect_clean("\xc3\x41", 2, BAD "A");
}

static void any_bytes_make_a_json_string(void **state)
{
    char bytes[256];

    (void)state;
    for (int i = 0; i < 256; i++)
        bytes[i] = (char)i;
    json_t *value = json_text_value(bytes, sizeof bytes);
    assert_non_null(value);
    assert_true(json_string_length(value) > sizeof bytes);
    json_decref(value);
    value = json_text_value(NULL, 0);
    assert_non_null(value);
    assert_int_equal(json_string_length(value), 0);
    json_decref(value);
}

static void a_row_holds_median_least_and_most(void **state)
{
    double odd[] = {5, 1, 3}, even[] = {4, 1, 2, 9}, one[] = {7};
    struct bench_row row = {0};

    (void)state;
    bench_row_summarise(&row, odd, 3);
    assert_true(row.median == 3 && row.min == 1 && row.max == 5);
    bench_row_summarise(&row, even, 4);
    assert_true(row.median == 3 && row.min == 1 && row.max == 9);
    bench_row_summarise(&row, one, 1);
    assert_true(row.median == 7 && row.min == 7 && row.max == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_characters_stay),
        cmocka_unit_test(each_stray_byte_becomes_a_replacement),
        cmocka_unit_test(any_bytes_make_a_json_string),
        cmocka_unit_test(a_row_holds_median_least_and_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
