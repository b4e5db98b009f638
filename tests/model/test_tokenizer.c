/*
 * test_tokenizer.c: the tokenizers on vocabularies small enough to know the answer: merging,
 * special tokens, bytes, ends, and files that are wrong.
 */
#include "vocab_builder.h"

#include "model/chat.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SPACE "▁" /* how SPM spells it */

static struct tokenizer *open_ok(struct bytes *y)
{
    struct tokenizer *t;
    ashlar_error err;

    if (vocab_open(y, &t, &err) != ASHLAR_OK)
        fail_msg("%s", err.message);
    bytes_fini(y);
    return t;
}

/* The ids of `text`, written as "1 2 3 ". */
static char *encode(const struct tokenizer *t, const char *text, size_t length, unsigned flags)
{
    static char line[4096];
    int32_t ids[512];
    size_t n, used = 0;
    ashlar_error err;

    if (tokenizer_encode(t, text, length, flags, ids, COUNT(ids), &n, &err) != ASHLAR_OK)
        fail_msg("%s", err.message);
    assert_true(n <= COUNT(ids));
    line[0] = '\0';
    for (size_t i = 0; i < n; i++)
        used += (size_t)snprintf(line + used, sizeof line - used, "%d ", (int)ids[i]);
    return line;
}

static void expect(const struct tokenizer *t, const char *text, unsigned flags, const char *ids)
{
    assert_string_equal(encode(t, text, strlen(text), flags), ids);
}

static void expect_piece(const struct tokenizer *t, int32_t id, bool special, const char *piece)
{
    size_t n;
    const char *bytes = tokenizer_piece(t, id, special, &n);

    assert_int_equal(n, strlen(piece));
    assert_memory_equal(bytes, piece, n);
}

/* ---- SPM ----------------------------------------------------------------------------------- */

/*        0        1      2       3      4    5    6    7     8     9            10           11 */
static const char *const spm_tokens[] = {
    "<unk>", "<s>", "</s>", SPACE, "a", "b", "c", "ab", "bc", SPACE "ab", SPACE SPACE, "<tool>",
    /* 12     13 */
    "<0xC3>", "<0x21>"};
static const int32_t spm_types[] = {2, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 4, 6, 6};
static const float spm_scores[] = {0, 0, 0, -3, -3, -3, -3, -2, -1, -1, -5, 0, 0, 0};

static void spm_init(struct bytes *y)
{
    bytes_init(y, 3);
    bytes_key_string(y, "tokenizer.ggml.model", "llama");
    vocab_strings(y, "tokenizer.ggml.tokens", spm_tokens, COUNT(spm_tokens));
    vocab_i32(y, "tokenizer.ggml.token_type", spm_types, COUNT(spm_types));
    vocab_f32(y, "tokenizer.ggml.scores", spm_scores, COUNT(spm_scores));
}

static struct tokenizer *spm_open(void)
{
    struct bytes y;

    spm_init(&y);
    return open_ok(&y);
}

static void spm_merges_the_best_score_first(void **state)
{
    (void)state;
    struct tokenizer *t = spm_open();
    expect(t, "abc", 0, "3 4 8 ");     /* "bc" scores more than "ab" */
    expect(t, "ab", 0, "9 ");          /* with the space before the text */
    expect(t, "abab", 0, "9 7 ");
    expect(t, "bcbc", 0, "3 8 8 ");
    expect(t, "", 0, "");
    tokenizer_close(t);
}

static void spm_puts_a_space_before_text(void **state)
{
    (void)state;
    struct tokenizer *t = spm_open();
    expect(t, " ab", 0, "3 9 "); /* better than the two spaces */
    expect(t, "a<tool>ab", 0, "3 4 11 9 ");
    tokenizer_close(t);
    struct bytes y;
    spm_init(&y);
    vocab_bool(&y, "tokenizer.ggml.add_space_prefix", false);
    t = open_ok(&y);
    expect(t, "ab ab", 0, "7 9 ");
    tokenizer_close(t);
}

static void spm_falls_back_to_bytes(void **state)
{
    (void)state;
    struct tokenizer *t = spm_open();
    expect(t, "a!", 0, "3 4 13 ");
    expect(t, "\xC3\xBC", 0, "3 0 ");      /* one of its bytes has no token: unknown */
    expect(t, "\xC3", 0, "3 12 ");         /* not UTF-8 */
    expect_piece(t, 12, false, "\xC3");
    tokenizer_close(t);
}

/* A token with a space inside rules out the short cut; the rest must come out the same. */
static void spm_words_are_merged_as_in_the_whole_text(void **state)
{
    (void)state;
    const char *tokens[COUNT(spm_tokens) + 1];
    int32_t types[COUNT(tokens)];
    float scores[COUNT(tokens)];
    struct bytes y;

    memcpy(tokens, spm_tokens, sizeof spm_tokens);
    memcpy(types, spm_types, sizeof spm_types);
    memcpy(scores, spm_scores, sizeof spm_scores);
    tokens[14] = "c" SPACE "c";
    types[14] = 1;
    scores[14] = -9;
    bytes_init(&y, 3);
    bytes_key_string(&y, "tokenizer.ggml.model", "llama");
    vocab_strings(&y, "tokenizer.ggml.tokens", tokens, COUNT(tokens));
    vocab_i32(&y, "tokenizer.ggml.token_type", types, COUNT(types));
    vocab_f32(&y, "tokenizer.ggml.scores", scores, COUNT(scores));
    struct tokenizer *whole = open_ok(&y), *words = spm_open();
    static const char *const texts[] = {"ab ab", "a  b   abc", "   ", " a ", "abcab bcab  "};
    for (size_t i = 0; i < COUNT(texts); i++) {
        char *expected = strdup(encode(whole, texts[i], strlen(texts[i]), 0));
        expect(words, texts[i], 0, expected);
        free(expected);
    }
    tokenizer_close(whole);
    tokenizer_close(words);
}

/* ---- BPE ----------------------------------------------------------------------------------- */

/*        0    1    2    3     4     5      6       7          8         9         10 */
static const char *const bpe_tokens[] = {
    "a", "b", "c", "ab", "bc", "abc", "Ġ", "Ġa", "<|x|>", "<tool>", "<tool>!",
    /* 11      12         13   14 */
    "<|im_end|>", "<|eot|>", "ï", "»"};
static const int32_t bpe_types[] = {1, 1, 1, 1, 1, 1, 1, 1, 4, 4, 4, 1, 3, 1, 1};
static const char *const bpe_merges[] = {"b c", "a b", "Ġ a", "zz a", "a zz"};

static void bpe_init(struct bytes *y, const char *pre)
{
    bytes_init(y, 3);
    bytes_key_string(y, "tokenizer.ggml.model", "gpt2");
    bytes_key_string(y, "tokenizer.ggml.pre", pre);
    vocab_strings(y, "tokenizer.ggml.tokens", bpe_tokens, COUNT(bpe_tokens));
    vocab_i32(y, "tokenizer.ggml.token_type", bpe_types, COUNT(bpe_types));
}

static struct tokenizer *bpe_open(const char *pre)
{
    struct bytes y;

    bpe_init(&y, pre);
    vocab_strings(&y, "tokenizer.ggml.merges", bpe_merges, COUNT(bpe_merges));
    return open_ok(&y);
}

static void bpe_merges_the_lowest_rank_first(void **state)
{
    (void)state;
    struct tokenizer *t = bpe_open("gpt-2");
    expect(t, "abc", 0, "0 4 ");
    expect(t, "ababc", 0, "3 0 4 ");
    expect(t, "a ab", 0, "0 6 3 "); /* "ab" goes before the space */
    expect(t, " a", 0, "7 ");
    assert_string_equal(tokenizer_kind(t), "BPE gpt-2");
    tokenizer_close(t);
}

static void bpe_words_that_are_tokens_need_no_merges(void **state)
{
    (void)state;
    struct tokenizer *t = bpe_open("llama-bpe");
    expect(t, "abc", 0, "5 ");
    expect(t, "abcab", 0, "0 4 3 ");
    tokenizer_close(t);
}

static void bpe_long_words_merge_like_short_ones(void **state)
{
    (void)state;
    struct tokenizer *t = bpe_open("gpt-2");
    enum { REPEATS = 20000 };
    char *text = malloc(3 * REPEATS);
    int32_t *ids = malloc(3 * REPEATS * sizeof *ids);
    size_t n;
    for (int i = 0; i < REPEATS; i++)
        memcpy(text + 3 * i, "abc", 3);
    assert_int_equal(tokenizer_encode(t, text, 3 * REPEATS, 0, ids, 3 * REPEATS, &n, NULL),
                     ASHLAR_OK);
    assert_int_equal(n, 2 * REPEATS);
    for (int i = 0; i < REPEATS; i++) {
        assert_int_equal(ids[2 * i], 0);
        assert_int_equal(ids[2 * i + 1], 4);
    }
    free(text);
    free(ids);
    tokenizer_close(t);
}

/* Bytes EF and BB have tokens here, BF has none: neither does U+FFFD. */
static void a_byte_without_token_is_an_error(void **state)
{
    (void)state;
    struct tokenizer *t = bpe_open("gpt-2");
    int32_t ids[8];
    size_t n;
    ashlar_error err;
    assert_int_equal(tokenizer_encode(t, "a\xEF\xBB", 3, 0, ids, 8, &n, &err), ASHLAR_OK);
    assert_int_equal(n, 3);
    assert_int_equal(tokenizer_encode(t, "ad", 2, 0, ids, 8, &n, &err), ASHLAR_BAD_INPUT);
    assert_string_equal(err.message, "the vocabulary has no token for byte 0x64");
    tokenizer_close(t);
}

/* ---- special tokens ------------------------------------------------------------------------ */

static void control_tokens_are_parsed_on_demand(void **state)
{
    (void)state;
    struct tokenizer *t = spm_open();
    size_t n;
    assert_string_equal(encode(t, "a</s>b", 6, ASHLAR_PARSE_SPECIAL), "3 4 2 3 5 ");
    assert_string_equal(encode(t, "a</s>b", 6, 0), "3 4 0 0 0 0 5 "); /* < / s > are unknown */
    expect_piece(t, 2, true, "</s>");
    tokenizer_piece(t, 2, false, &n);
    assert_int_equal(n, 0);
    tokenizer_close(t);
}

static void user_defined_tokens_are_always_parsed(void **state)
{
    (void)state;
    struct tokenizer *t = bpe_open("gpt-2");
    expect(t, "a<tool>b", 0, "0 9 1 ");
    expect(t, "a<tool>!b", 0, "0 10 1 "); /* the longest one */
    expect(t, "<tool>a<tool>", 0, "9 0 9 ");
    expect_piece(t, 9, false, "<tool>");
    tokenizer_close(t);
}

/* A turn's marker is a control token, however the file declares it. */
static void markers_are_control_tokens(void **state)
{
    (void)state;
    struct tokenizer *t = bpe_open("gpt-2");
    int32_t ids[8];
    size_t n;
    expect(t, "<|x|>", ASHLAR_PARSE_SPECIAL, "8 ");
    expect(t, "<|im_end|>", ASHLAR_PARSE_SPECIAL, "11 ");
    assert_int_equal(tokenizer_encode(t, "<|x|>", 5, 0, ids, 8, &n, NULL), ASHLAR_BAD_INPUT);
    assert_int_equal(tokenizer_find(t, "<|x|>"), 8);
    assert_int_equal(tokenizer_find(t, "ab"), 3);
    assert_int_equal(tokenizer_find(t, " a"), 7);
    assert_int_equal(tokenizer_find(t, "ba"), -1);
    assert_int_equal(tokenizer_find(t, ""), -1);
    tokenizer_close(t);
}

static void bos_and_eos_are_added_as_the_file_asks(void **state)
{
    (void)state;
    struct tokenizer *t = spm_open();
    expect(t, "ab", ASHLAR_ADD_SPECIAL, "1 9 ");
    assert_true(tokenizer_add_bos(t));
    assert_int_equal(tokenizer_bos(t), 1);
    assert_int_equal(tokenizer_eos(t), 2);
    tokenizer_close(t);
    struct bytes y;
    spm_init(&y);
    vocab_bool(&y, "tokenizer.ggml.add_bos_token", false);
    vocab_bool(&y, "tokenizer.ggml.add_eos_token", true);
    bytes_key_u32(&y, "tokenizer.ggml.eos_token_id", 6);
    t = open_ok(&y);
    expect(t, "ab", ASHLAR_ADD_SPECIAL, "9 6 ");
    tokenizer_close(t);
    t = bpe_open("gpt-2");
    assert_int_equal(tokenizer_bos(t), -1);
    expect(t, "ab", ASHLAR_ADD_SPECIAL, "3 ");
    tokenizer_close(t);
}

static void ends_come_from_ids_and_names(void **state)
{
    (void)state;
    struct bytes y;
    bpe_init(&y, "gpt-2");
    vocab_strings(&y, "tokenizer.ggml.merges", bpe_merges, 1);
    bytes_key_u32(&y, "tokenizer.ggml.eos_token_id", 2);
    bytes_key_u32(&y, "tokenizer.ggml.eot_token_id", 1);
    struct tokenizer *t = open_ok(&y);
    for (int32_t id = -1; id <= (int32_t)COUNT(bpe_tokens); id++)
        assert_int_equal(tokenizer_is_end(t, id), id == 1 || id == 2 || id == 11 || id == 12);
    tokenizer_close(t);
}

static void phi3_special_tokens_take_the_space_behind_them(void **state)
{
    (void)state;
    struct bytes y;
    spm_init(&y);
    bytes_key_string(&y, "general.name", "My PHI-3 mini");
    struct tokenizer *t = open_ok(&y);
    expect(t, "<tool> \n ab", 0, "11 9 ");
    expect(t, "<s> ab", ASHLAR_PARSE_SPECIAL, "1 3 9 ");
    tokenizer_close(t);
}

/* ---- segments ------------------------------------------------------------------------------ */

static void expect_segments(const struct tokenizer *t, const char *text, size_t cut,
                            const char *expected)
{
    const struct chat_segment segments[] = {{0, cut, true}, {cut, strlen(text) - cut, false}};
    char line[256] = "";
    int32_t ids[32];
    size_t n;

    assert_int_equal(tokenizer_encode_segments(t, text, strlen(text), segments, 2, 0, ids, 32, &n,
                                               NULL), ASHLAR_OK);
    for (size_t i = 0; i < n; i++)
        snprintf(line + strlen(line), sizeof line - strlen(line), "%d ", (int)ids[i]);
    assert_string_equal(line, expected);
}

static void segments_join_text_but_not_markers(void **state)
{
    (void)state;
    struct tokenizer *t = spm_open();
    expect_segments(t, "<s>abab", 3, "1 9 7 ");
    expect_segments(t, "<s>abab", 4, "1 9 7 ");       /* "a" and "bab" merge */
    expect_segments(t, "<s>a</s>", 4, "1 3 4 0 0 0 0 "); /* content stays text */
    expect_segments(t, "<s>", 2, "3 0 0 0 ");         /* half a marker is none */
    tokenizer_close(t);
}

/* ---- the call ------------------------------------------------------------------------------ */

static void capacity_bounds_what_is_written(void **state)
{
    (void)state;
    struct tokenizer *t = bpe_open("gpt-2");
    int32_t ids[4] = {-7, -7, -7, -7};
    size_t n;
    assert_int_equal(tokenizer_encode(t, "cababc", 6, 0, ids, 2, &n, NULL), ASHLAR_OK);
    assert_int_equal(n, 4);
    assert_int_equal(ids[0], 2);
    assert_int_equal(ids[1], 3);
    assert_int_equal(ids[2], -7);
    assert_int_equal(tokenizer_encode(t, "cababc", 6, 0, NULL, 0, &n, NULL), ASHLAR_OK);
    assert_int_equal(n, 4);
    tokenizer_close(t);
}

/* Every byte value, each after each, through a vocabulary of single bytes. */
static void any_bytes_come_back(void **state)
{
    (void)state;
    char names[256][8], *text = malloc(65536 * 2), *back = malloc(65536 * 2);
    const char *tokens[256];
    int32_t types[256], *ids = malloc(65536 * 2 * sizeof *ids);
    size_t n, done = 0;
    struct bytes y;

    for (int i = 0; i < 256; i++) {
        snprintf(names[i], sizeof names[i], "<0x%02X>", (unsigned)i);
        tokens[i] = names[i];
        types[i] = 6;
    }
    for (int i = 0; i < 65536; i++) {
        text[2 * i] = (char)(i >> 8);
        text[2 * i + 1] = (char)i;
    }
    bytes_init(&y, 3);
    bytes_key_string(&y, "tokenizer.ggml.model", "llama");
    vocab_bool(&y, "tokenizer.ggml.add_space_prefix", false);
    vocab_strings(&y, "tokenizer.ggml.tokens", tokens, 256);
    vocab_i32(&y, "tokenizer.ggml.token_type", types, 256);
    struct tokenizer *t = open_ok(&y);
    assert_int_equal(tokenizer_encode(t, text, 131072, 0, ids, 131072, &n, NULL), ASHLAR_OK);
    assert_int_equal(n, 131072);
    for (size_t i = 0; i < n; i++) {
        size_t bytes;
        back[done] = *tokenizer_piece(t, ids[i], false, &bytes);
        done += bytes;
    }
    assert_int_equal(done, 131072);
    assert_memory_equal(back, text, 131072);
    tokenizer_close(t);
    free(text);
    free(back);
    free(ids);
}

static void pieces_of_no_token_are_empty(void **state)
{
    (void)state;
    struct tokenizer *t = spm_open();
    size_t n = 9;
    tokenizer_piece(t, -1, true, &n);
    assert_int_equal(n, 0);
    n = 9;
    tokenizer_piece(t, tokenizer_size(t), true, &n);
    assert_int_equal(n, 0);
    expect_piece(t, 9, false, " ab");
    tokenizer_close(t);
}

/* ---- wrong files --------------------------------------------------------------------------- */

static void expect_refused(struct bytes *y, const char *message)
{
    struct tokenizer *t;
    ashlar_error err;

    assert_int_equal(vocab_open(y, &t, &err), ASHLAR_BAD_INPUT);
    assert_null(t);
    if (!strstr(err.message, message))
        fail_msg("\"%s\" is not in \"%s\"", message, err.message);
    bytes_fini(y);
}

static void unknown_kinds_are_named(void **state)
{
    (void)state;
    struct bytes y;
    bytes_init(&y, 3);
    expect_refused(&y, "tokenizer.ggml.model: missing");
    bytes_init(&y, 3);
    bytes_key_string(&y, "tokenizer.ggml.model", "bert");
    expect_refused(&y, "tokenizer 'bert' is not supported");
    bpe_init(&y, "klingon");
    expect_refused(&y, "unknown pre-tokenizer 'klingon'");
    bytes_init(&y, 3);
    bytes_key_string(&y, "tokenizer.ggml.model", "llama");
    expect_refused(&y, "tokenizer.ggml.tokens: missing");
}

static void arrays_of_another_length_are_refused(void **state)
{
    (void)state;
    struct bytes y;
    const float scores[] = {0, 1};
    const int32_t types[] = {1};
    bytes_init(&y, 3);
    bytes_key_string(&y, "tokenizer.ggml.model", "llama");
    vocab_strings(&y, "tokenizer.ggml.tokens", spm_tokens, 3);
    vocab_f32(&y, "tokenizer.ggml.scores", scores, 2);
    expect_refused(&y, "tokenizer.ggml.scores: 2 entries for 3 tokens");
    bytes_init(&y, 3);
    bytes_key_string(&y, "tokenizer.ggml.model", "llama");
    vocab_strings(&y, "tokenizer.ggml.tokens", spm_tokens, 3);
    vocab_i32(&y, "tokenizer.ggml.token_type", types, 1);
    expect_refused(&y, "tokenizer.ggml.token_type: 1 entries for 3 tokens");
}

static void wrong_entries_are_named_with_their_index(void **state)
{
    (void)state;
    struct bytes y;
    const float scores[] = {0, NAN, 0};
    const int32_t types[] = {1, 1, 7}, bytes_types[] = {1, 1, 1, 6};
    static const char *const merges[] = {"a b", "ab"};
    bytes_init(&y, 3);
    bytes_key_string(&y, "tokenizer.ggml.model", "llama");
    vocab_strings(&y, "tokenizer.ggml.tokens", spm_tokens, 3);
    vocab_f32(&y, "tokenizer.ggml.scores", scores, 3);
    expect_refused(&y, "tokenizer.ggml.scores[1]: not a number");
    bytes_init(&y, 3);
    bytes_key_string(&y, "tokenizer.ggml.model", "llama");
    vocab_strings(&y, "tokenizer.ggml.tokens", spm_tokens, 3);
    vocab_i32(&y, "tokenizer.ggml.token_type", types, 3);
    expect_refused(&y, "tokenizer.ggml.token_type[2]: no such type: 7");
    bytes_init(&y, 3);
    bytes_key_string(&y, "tokenizer.ggml.model", "llama");
    vocab_strings(&y, "tokenizer.ggml.tokens", spm_tokens, 4);
    vocab_i32(&y, "tokenizer.ggml.token_type", bytes_types, 4);
    expect_refused(&y, "tokenizer.ggml.tokens[3]: a byte token that is not");
    bpe_init(&y, "gpt-2");
    vocab_strings(&y, "tokenizer.ggml.merges", merges, 2);
    expect_refused(&y, "tokenizer.ggml.merges[1]: not two parts");
    bpe_init(&y, "gpt-2");
    expect_refused(&y, "tokenizer.ggml.merges: missing");
}

static void ids_must_be_tokens_or_none(void **state)
{
    (void)state;
    struct bytes y;
    spm_init(&y);
    bytes_key_u32(&y, "tokenizer.ggml.bos_token_id", 14);
    expect_refused(&y, "tokenizer.ggml.bos_token_id: token 14 of 14");
    spm_init(&y);
    bytes_key_u32(&y, "tokenizer.ggml.eos_token_id", UINT32_MAX);
    struct tokenizer *t = open_ok(&y);
    assert_int_equal(tokenizer_eos(t), -1);
    tokenizer_close(t);
}

static void empty_tokens_are_never_produced(void **state)
{
    (void)state;
    struct bytes y;
    static const char *const tokens[] = {"", "a", "", "b"};
    const int32_t types[] = {3, 1, 4, 1};
    bytes_init(&y, 3);
    bytes_key_string(&y, "tokenizer.ggml.model", "llama");
    vocab_bool(&y, "tokenizer.ggml.add_space_prefix", false);
    vocab_strings(&y, "tokenizer.ggml.tokens", tokens, 4);
    vocab_i32(&y, "tokenizer.ggml.token_type", types, 4);
    struct tokenizer *t = open_ok(&y);
    expect(t, "abba", ASHLAR_PARSE_SPECIAL, "1 3 3 1 ");
    expect_piece(t, 2, true, "");
    tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spm_merges_the_best_score_first),
        cmocka_unit_test(spm_puts_a_space_before_text),
        cmocka_unit_test(spm_falls_back_to_bytes),
        cmocka_unit_test(spm_words_are_merged_as_in_the_whole_text),
        cmocka_unit_test(bpe_merges_the_lowest_rank_first),
        cmocka_unit_test(bpe_words_that_are_tokens_need_no_merges),
        cmocka_unit_test(bpe_long_words_merge_like_short_ones),
        cmocka_unit_test(a_byte_without_token_is_an_error),
        cmocka_unit_test(control_tokens_are_parsed_on_demand),
        cmocka_unit_test(user_defined_tokens_are_always_parsed),
        cmocka_unit_test(markers_are_control_tokens),
        cmocka_unit_test(bos_and_eos_are_added_as_the_file_asks),
        cmocka_unit_test(ends_come_from_ids_and_names),
        cmocka_unit_test(phi3_special_tokens_take_the_space_behind_them),
        cmocka_unit_test(segments_join_text_but_not_markers),
        cmocka_unit_test(capacity_bounds_what_is_written),
        cmocka_unit_test(any_bytes_come_back),
        cmocka_unit_test(pieces_of_no_token_are_empty),
        cmocka_unit_test(unknown_kinds_are_named),
        cmocka_unit_test(arrays_of_another_length_are_refused),
        cmocka_unit_test(wrong_entries_are_named_with_their_index),
        cmocka_unit_test(ids_must_be_tokens_or_none),
        cmocka_unit_test(empty_tokens_are_never_produced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
