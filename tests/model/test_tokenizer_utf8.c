/*
 * test_tokenizer_utf8.c: well-formed UTF-8 told from other bytes, streams that never cut a
 * character, and pre-tokenizers that lose no byte.
 */
#include "model/pretokenize.h"
#include "model/utf8.h"

#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void characters_have_their_length(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int length;
        uint32_t point;
    } cases[] = {
        {"a", 1, 'a'},           {"\x7F", 1, 0x7F},
        {"\xC2\x80", 2, 0x80},   {"\xDF\xBF", 2, 0x7FF},
        {"\xE0\xA0\x80", 3, 0x800}, {"\xED\x9F\xBF", 3, 0xD7FF},
        {"\xEF\xBF\xBF", 3, 0xFFFF}, {"\xF0\x90\x80\x80", 4, 0x10000},
        {"\xF4\x8F\xBF\xBF", 4, 0x10FFFF},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t n = strlen(cases[i].text);
        assert_int_equal(utf8_char_length(cases[i].text, n), cases[i].length);
        assert_int_equal(utf8_code_point(cases[i].text, cases[i].length), cases[i].point);
        assert_int_equal(utf8_char_length(cases[i].text, n - 1), 0);
    }
}

static void ill_formed_bytes_are_no_character(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC2" "a", "\xE0\x9F\xBF", "\xED\xA0\x80",
        "\xE2\x82" "a", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF",
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(utf8_char_length(cases[i], strlen(cases[i])), 0);
    assert_int_equal(utf8_valid_prefix("a\xC3\xBC\xFFz", 5), 3);
    assert_int_equal(utf8_invalid_prefix("\xFF\x80\xC3\xBCz", 5), 2);
}

/* What comes out of a stream for one byte after the other, with '|' between the pushes. */
static void expect_stream(const char *bytes, size_t n, const char *expected)
{
    ashlar_utf8_stream stream = {0};
    char out[64];
    size_t used = 0;

    for (size_t i = 0; i < n; i++) {
        used += utf8_stream_push(&stream, bytes + i, 1, out + used);
        out[used++] = '|';
    }
    used += utf8_stream_push(&stream, NULL, 0, out + used);
    assert_int_equal(used, strlen(expected));
    assert_memory_equal(out, expected, used);
    assert_int_equal(stream.n_pending, 0);
}

static void streams_hold_back_unfinished_characters(void **state)
{
    (void)state;
    expect_stream("a\xC3\xBC", 3, "a||\xC3\xBC|");
    expect_stream("\xF0\x9F\x99\x82z", 5, "|||\xF0\x9F\x99\x82|z|");
    expect_stream("\xE2\x82", 2, "||\xE2\x82");           /* flushed at the end */
    expect_stream("\xE2\x82" "a", 3, "||\xE2\x82" "a|");  /* cannot become a character */
    expect_stream("\xE2\xE2\x82\xAC", 4, "|\xE2||\xE2\x82\xAC|");
    expect_stream("\xED\xA0", 2, "|\xED\xA0|");
    expect_stream("\xFF\x80", 2, "\xFF|\x80|");
}

/* Random bytes in random pieces: nothing is lost, moved or held longer than three bytes. */
static void streams_lose_no_byte(void **state)
{
    (void)state;
    struct rng rng;
    char text[64], out[64 + 4 * 64];
    rng_seed(&rng, 20240607);
    for (int round = 0; round < 20000; round++) {
        static const unsigned char some[] = {'a', 0x80, 0xBF, 0xC3, 0xE2, 0x82, 0xAC, 0xED, 0xA0,
                                             0xF0, 0x9F, 0xF4, 0x90, 0xFF};
        ashlar_utf8_stream stream = {0};
        size_t used = 0;
        for (size_t i = 0; i < sizeof text; i++)
            text[i] = (char)some[rng_below(&rng, COUNT(some))];
        for (size_t i = 0; i < sizeof text;) {
            size_t n = 1 + rng_below(&rng, 9);
            n = n < sizeof text - i ? n : sizeof text - i;
            used += utf8_stream_push(&stream, text + i, n, out + used);
            i += n;
            assert_in_range(stream.n_pending, 0, 3);
            assert_int_equal(used + (size_t)stream.n_pending, i);
        }
        used += utf8_stream_push(&stream, NULL, 0, out + used);
        assert_int_equal(used, sizeof text);
        assert_memory_equal(out, text, used);
    }
}

/* ---- pre-tokenizers ------------------------------------------------------------------------ */

struct words {
    char line[512];
    size_t used;
};

static bool add_word(void *user, const char *word, size_t length)
{
    struct words *w = user;

    w->used += (size_t)snprintf(w->line + w->used, sizeof w->line - w->used, "[%.*s]", (int)length,
                                word);
    return true;
}

static void expect_words(const char *name, const char *text, const char *expected)
{
    struct pretokenizer *p;
    struct words w = {"", 0};

    assert_int_equal(pretokenizer_new(name, strlen(name), &p, NULL), ASHLAR_OK);
    struct pretokenize_scratch *scratch = pretokenize_scratch_new(p);
    assert_true(pretokenize(p, scratch, text, strlen(text), add_word, &w));
    assert_string_equal(w.line, expected);
    pretokenize_scratch_free(scratch);
    pretokenizer_free(p);
}

static void each_pretokenizer_cuts_in_its_way(void **state)
{
    (void)state;
    const char *text = "I'M  x=12345\n\n  y";
    expect_words("gpt-2", text, "[I]['][M][ ][ x][=][12345][\n\n ][ y]");
    expect_words("llama-bpe", text, "[I]['M][ ][ x][=][123][45][\n\n][ ][ y]");
    expect_words("qwen2", text, "[I]['M][ ][ x][=][1][2][3][4][5][\n\n][ ][ y]");
    expect_words("smollm", text, "[I]['][M][ ][ x][=][1][2][3][4][5][\n\n ][ y]");
    expect_words("starcoder", text, "[I]['][M][ ][ x][=][1][2][3][4][5][\n\n ][ y]");
    expect_words("deepseek-coder", text, "[I]['][M][ ][ x][=][1][2][3][4][5][\n][\n][ ][ y]");
    expect_words("default", text, "[I]['][M][ ][ x][=][123][45][\n\n ][ y]");
    expect_words("", text, "[I]['][M][ ][ x][=][123][45][\n\n ][ y]");
    expect_words("tekken", text, "[I]['M][ ][ x][=][1][2][3][4][5][\n\n][ ][ y]");
}

static void unicode_classes_are_used(void **state)
{
    (void)state;
    expect_words("gpt-2", "\xC3\x9Cn\xC3\xAF \xC2\xBD!", "[\xC3\x9Cn\xC3\xAF][ \xC2\xBD][!]");
    expect_words("gpt-2", "a\xE3\x80\x80\xE3\x80\x80z", "[a][\xE3\x80\x80][\xE3\x80\x80][z]");
    expect_words("qwen2", "a\xE3\x80\x80z", "[a][\xE3\x80\x80z]"); /* any mark may lead a word */
    expect_words("deepseek-coder", "\xE6\x88\x91x", "[\xE6\x88\x91][x]"); /* CJK stands apart */
}

static void ill_formed_bytes_are_words_of_their_own(void **state)
{
    (void)state;
    expect_words("qwen2", "ab\xFF\xC3zz", "[ab][\xFF][\xC3][zz]");
    expect_words("qwen2", "\xE2\x82", "[\xE2][\x82]");
}

static bool refuse(void *user, const char *word, size_t length)
{
    (void)word;
    (void)length;
    return ++*(int *)user < 2;
}

static void cutting_stops_when_told(void **state)
{
    (void)state;
    struct pretokenizer *p;
    int calls = 0;
    assert_int_equal(pretokenizer_new("smollm", 6, &p, NULL), ASHLAR_OK);
    struct pretokenize_scratch *scratch = pretokenize_scratch_new(p);
    assert_false(pretokenize(p, scratch, "1 2 3 4", 7, refuse, &calls));
    assert_int_equal(calls, 2);
    pretokenize_scratch_free(scratch);
    pretokenizer_free(p);
}

static void names_must_match_whole(void **state)
{
    (void)state;
    static const char *const wrong[] = {"qwen", "wen2", "llama-bpe llama3", " ", "gpt-2 ",
                                        "a-name-that-is-longer-than-any-known-pre-tokenizer"};
    struct pretokenizer *p;
    for (size_t i = 0; i < COUNT(wrong); i++)
        assert_int_equal(pretokenizer_new(wrong[i], strlen(wrong[i]), &p, NULL), ASHLAR_BAD_INPUT);
    assert_int_equal(pretokenizer_new("qwen2\0", 6, &p, NULL), ASHLAR_BAD_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters_have_their_length),
        cmocka_unit_test(ill_formed_bytes_are_no_character),
        cmocka_unit_test(streams_hold_back_unfinished_characters),
        cmocka_unit_test(streams_lose_no_byte),
        cmocka_unit_test(each_pretokenizer_cuts_in_its_way),
        cmocka_unit_test(unicode_classes_are_used),
        cmocka_unit_test(ill_formed_bytes_are_words_of_their_own),
        cmocka_unit_test(cutting_stops_when_told),
        cmocka_unit_test(names_must_match_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
