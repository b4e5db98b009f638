/*
 * test_fill.c: contexts filled with random keys and values (ashlar_session_fill) are contexts like any
 * other: under each KV policy tokens can follow, be taken back and follow again, and the same seed gives
 * the same context.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ashlar.h"

enum { N_CTX = 1024, FILLED = 800, N_VOCAB = 512, SEED = 20251122 };

static const int32_t tokens[] = {3, 141, 59, 26, 5, 35, 89, 79, 32, 38};
enum { N_TOKENS = sizeof tokens / sizeof *tokens };

static ashlar_engine *open_engine(const char *policy, int batch)
{
    const char *folder = getenv("ASHLAR_TEST_MODELS");
    char path[4096];
    ashlar_options o;
    ashlar_engine *e;
    ashlar_error err = {0};
    snprintf(path, sizeof path, "%s/tiny-llama-f16.gguf", folder ? folder : "build/tests/models");
    ashlar_options_init(&o);
    o.n_threads = 2;
    o.n_ctx = N_CTX;
    o.n_batch = batch;
    o.kv = (ashlar_kv_options){.policy = policy, .group_tokens = 8, .select_tokens = 64, .reuse_tokens = 96};
    if (ashlar_engine_open(path, &o, &e, &err) != ASHLAR_OK)
        fail_msg("%s: %s", err.message, err.hint);
    return e;
}

static ashlar_session *open_session(ashlar_engine *e)
{
    ashlar_session *s;
    assert_int_equal(ashlar_session_open(e, &s, NULL), ASHLAR_OK);
    return s;
}

static void fill(ashlar_session *s, size_t n, uint64_t seed)
{
    ashlar_error err = {0};
    if (ashlar_session_fill(s, n, seed, &err) != ASHLAR_OK)
        fail_msg("fill: %s", err.message);
}

static void append(ashlar_session *s, const int32_t *ids, size_t n)
{
    ashlar_error err = {0};
    if (ashlar_session_append(s, ids, n, &err) != ASHLAR_OK)
        fail_msg("append: %s", err.message);
}

/* Logits of tokens[] after FILLED random ones: one after the other, or in one pass. The caller frees. */
static float *logits_after_fill(const char *policy, int batch, uint64_t seed, bool one_by_one)
{
    ashlar_engine *e = open_engine(policy, batch);
    ashlar_session *s = open_session(e);
    size_t bytes = (size_t)ashlar_engine_info(e)->n_vocab * sizeof(float);
    assert_int_equal(bytes, N_VOCAB * sizeof(float));
    fill(s, FILLED, seed);
    for (int i = 0; i < N_TOKENS; i += one_by_one ? 1 : N_TOKENS)
        append(s, tokens + i, one_by_one ? 1 : N_TOKENS);
    assert_int_equal(ashlar_session_length(s), FILLED + N_TOKENS);
    float *logits = malloc(bytes);
    memcpy(logits, ashlar_session_logits(s), bytes);
    for (size_t i = 0; i < bytes / sizeof(float); i++)
        assert_true(isfinite(logits[i]));
    ashlar_session_close(s);
    ashlar_engine_close(e);
    return logits;
}

/* Do the logits of two runs differ in a bit? Both are freed. */
static bool differ(float *a, float *b)
{
    bool differs = memcmp(a, b, N_VOCAB * sizeof *a) != 0;
    free(a);
    free(b);
    return differs;
}

static void stream_equals_full_after_a_fill(void **state)
{
    (void)state;
    for (int one = 0; one < 2; one++)
        assert_false(differ(logits_after_fill("full", 512, SEED, one),
                            logits_after_fill("stream", 512, SEED, one)));
}

static void a_pass_of_kvswap_equals_full_after_a_fill(void **state)
{
    (void)state;
    assert_false(differ(logits_after_fill("full", 512, SEED, false),
                            logits_after_fill("kvswap", 512, SEED, false)));
}

static void kvswap_decodes_from_disk_after_a_fill(void **state)
{
    (void)state;
    ashlar_engine *e = open_engine("kvswap", 128);
    ashlar_session *s = open_session(e);
    ashlar_kv_stats before, after;
    fill(s, FILLED, SEED);
    ashlar_engine_kv_stats(e, &before);
    /* A fill attends to nothing: what is read, once, is keys that had no adapter yet. */
    assert_int_equal(before.hits + before.misses, 0);
    assert_true(before.bytes_read < before.bytes_written);
    assert_true(before.bytes_written > 0);
    for (int i = 0; i < N_TOKENS; i++)
        append(s, tokens + i, 1);
    ashlar_engine_kv_stats(e, &after);
    assert_true(after.misses > 0 && after.bytes_read > before.bytes_read);
    assert_true(after.predict_seconds > 0 && after.attention_seconds > 0);
    ashlar_session_close(s);
    ashlar_engine_close(e);
}

static void the_cut_into_passes_does_not_change_a_fill(void **state)
{
    (void)state;
    static const char *const policies[] = {"full", "stream"};
    for (int p = 0; p < 2; p++)
        assert_false(differ(logits_after_fill(policies[p], 512, SEED, true),
                            logits_after_fill(policies[p], 33, SEED, true)));
}

static void another_seed_gives_another_context(void **state)
{
    (void)state;
    assert_true(differ(logits_after_fill("full", 512, SEED, true),
                       logits_after_fill("full", 512, SEED + 1, true)));
}

static void a_fill_can_be_taken_back_and_made_again(void **state)
{
    (void)state;
    static const char *const policies[] = {"full", "stream", "kvswap"};
    for (int p = 0; p < 3; p++) {
        ashlar_engine *e = open_engine(policies[p], 64);
        ashlar_session *s = open_session(e);
        size_t bytes = (size_t)ashlar_engine_info(e)->n_vocab * sizeof(float);
        float *first = malloc(bytes);
        append(s, tokens, 4); /* real tokens first, a fill after them */
        fill(s, 500, SEED);
        append(s, tokens, N_TOKENS);
        memcpy(first, ashlar_session_logits(s), bytes);
        assert_int_equal(ashlar_session_rewind(s, 4, NULL), ASHLAR_OK);
        fill(s, 200, SEED);
        assert_null(ashlar_session_logits(s));
        fill(s, 300, SEED);
        append(s, tokens, N_TOKENS);
        assert_memory_equal(first, ashlar_session_logits(s), bytes);
        free(first);
        ashlar_session_close(s);
        ashlar_engine_close(e);
    }
}

static void a_fill_beyond_the_context_is_refused(void **state)
{
    (void)state;
    ashlar_engine *e = open_engine("full", 64);
    ashlar_session *s = open_session(e);
    ashlar_error err;
    assert_int_equal(ashlar_session_fill(s, N_CTX + 1, SEED, &err), ASHLAR_NO_RESOURCE);
    assert_non_null(strstr(err.message, "context full"));
    assert_int_equal(ashlar_session_length(s), 0);
    assert_int_equal(ashlar_session_fill(s, 0, SEED, &err), ASHLAR_OK);
    assert_int_equal(ashlar_session_fill(s, N_CTX, SEED, &err), ASHLAR_OK);
    assert_int_equal(ashlar_session_length(s), N_CTX);
    ashlar_session_close(s);
    ashlar_engine_close(e);
}

static bool stop_in_the_middle(void *user, const char *what, uint64_t done, uint64_t total)
{
    (void)user, (void)total;
    return strcmp(what, "fill") != 0 || done < 128;
}

static void a_cancelled_fill_keeps_whole_passes(void **state)
{
    (void)state;
    const char *folder = getenv("ASHLAR_TEST_MODELS");
    char path[4096];
    ashlar_options o;
    ashlar_engine *e;
    snprintf(path, sizeof path, "%s/tiny-llama-f16.gguf", folder ? folder : "build/tests/models");
    ashlar_options_init(&o);
    o.n_ctx = N_CTX;
    o.n_batch = 64;
    o.progress = stop_in_the_middle;
    assert_int_equal(ashlar_engine_open(path, &o, &e, NULL), ASHLAR_OK);
    ashlar_session *s = open_session(e);
    assert_int_equal(ashlar_session_fill(s, 500, SEED, NULL), ASHLAR_CANCELLED);
    assert_int_equal(ashlar_session_length(s), 128);
    append(s, tokens, N_TOKENS);
    ashlar_session_close(s);
    ashlar_engine_close(e);
}

int main(void)
{
    printf("seed %d\n", SEED);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stream_equals_full_after_a_fill),
        cmocka_unit_test(a_pass_of_kvswap_equals_full_after_a_fill),
        cmocka_unit_test(kvswap_decodes_from_disk_after_a_fill),
        cmocka_unit_test(the_cut_into_passes_does_not_change_a_fill),
        cmocka_unit_test(another_seed_gives_another_context),
        cmocka_unit_test(a_fill_can_be_taken_back_and_made_again),
        cmocka_unit_test(a_fill_beyond_the_context_is_refused),
        cmocka_unit_test(a_cancelled_fill_keeps_whole_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
