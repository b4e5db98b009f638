/* Stop strings in streamed text: what passes, what is held back, what ends the text. */
#include "cli/stop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { TEXT_MAX = 1 << 16 };

/* Push the text in pieces of `step` bytes; what came out stays in `out`. */
static void stream(struct stop_filter *f, const char *text, size_t step, struct buf *out)
{
    size_t n = strlen(text);

    buf_clear(out);
    stop_reset(f);
    for (size_t i = 0; i < n; i += step)
        assert_true(stop_push(f, text + i, i + step < n ? step : n - i, out));
}

static void expect(struct stop_filter *f, const char *text, const char *passed, bool matched)
{
    struct buf out;

    buf_init(&out, TEXT_MAX);
    for (size_t step = 1; step <= strlen(text); step++) {
        stream(f, text, step, &out);
        assert_true(stop_flush(f, &out));
        assert_string_equal(out.length ? out.data : "", passed);
        assert_int_equal(f->matched, matched);
    }
    buf_fini(&out);
}

static void text_without_a_stop_passes_whole(void **state)
{
    const char *stops[] = {"\n\n", "###"};
    struct stop_filter f;

    (void)state;
    stop_init(&f, stops, 2);
    expect(&f, "one\ntwo ## three\n", "one\ntwo ## three\n", false);
    stop_fini(&f);
}

static void text_ends_before_the_first_stop_however_it_is_cut(void **state)
{
    const char *stops[] = {"User:", "\n\n"};
    struct stop_filter f;

    (void)state;
    stop_init(&f, stops, 2);
    expect(&f, "an answer\nUser: more\n\nlast", "an answer\n", true);
    expect(&f, "\n\n", "", true);
    expect(&f, "a\n\nUser:", "a", true);
    stop_fini(&f);
}

static void a_stop_that_overlaps_itself_is_found(void **state)
{
    const char *stops[] = {"aab"};
    struct stop_filter f;

    (void)state;
    stop_init(&f, stops, 1);
    expect(&f, "xaaaab", "xaa", true);
    expect(&f, "aaaa", "aaaa", false);
    stop_fini(&f);
}

static void only_a_possible_beginning_is_held_back(void **state)
{
    const char *stops[] = {"STOP"};
    struct stop_filter f;
    struct buf out;

    (void)state;
    buf_init(&out, TEXT_MAX);
    stop_init(&f, stops, 1);
    assert_true(stop_push(&f, "go ST", 5, &out));
    assert_string_equal(out.data, "go ");
    assert_true(stop_push(&f, "ART", 3, &out));
    assert_string_equal(out.data, "go START");
    assert_true(stop_push(&f, " S", 2, &out));
    assert_string_equal(out.data, "go START ");
    assert_true(stop_flush(&f, &out));
    assert_string_equal(out.data, "go START S");
    stop_fini(&f);
    buf_fini(&out);
}

static void nothing_passes_after_a_match(void **state)
{
    const char *stops[] = {"."};
    struct stop_filter f;
    struct buf out;

    (void)state;
    buf_init(&out, TEXT_MAX);
    stop_init(&f, stops, 1);
    assert_true(stop_push(&f, "end. more", 9, &out));
    assert_true(stop_push(&f, "more", 4, &out));
    assert_true(stop_flush(&f, &out));
    assert_string_equal(out.data, "end");
    stop_reset(&f);
    assert_true(stop_push(&f, "again", 5, &out));
    assert_string_equal(out.data, "endagain");
    stop_fini(&f);
    buf_fini(&out);
}

static void empty_stops_and_none_do_nothing(void **state)
{
    const char *stops[] = {"", ""};
    struct stop_filter f;

    (void)state;
    stop_init(&f, stops, 2);
    expect(&f, "text", "text", false);
    stop_fini(&f);
    stop_init(&f, NULL, 0);
    expect(&f, "text", "text", false);
    stop_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_without_a_stop_passes_whole),
        cmocka_unit_test(text_ends_before_the_first_stop_however_it_is_cut),
        cmocka_unit_test(a_stop_that_overlaps_itself_is_found),
        cmocka_unit_test(only_a_possible_beginning_is_held_back),
        cmocka_unit_test(nothing_passes_after_a_match),
        cmocka_unit_test(empty_stops_and_none_do_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
