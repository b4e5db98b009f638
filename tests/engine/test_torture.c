/*
 * The engine with every allocation failing in turn: opening, a session, a chat's tokens, a prompt
 * and some sampled tokens. Each failure is NO_RESOURCE with a message, and nothing is left behind.
 * Evaluation itself must not allocate at all.
 */
#include "../torture.h"

#include "ashlar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PROMPT_TOKENS 20

static const char *model_path(const char *name)
{
    static char path[4096];
    const char *folder = getenv("ASHLAR_TEST_MODELS");
    snprintf(path, sizeof path, "%s/%s.gguf", folder ? folder : "build/tests/models", name);
    return path;
}

static void choose_options(ashlar_options *options, int n_threads, bool map)
{
    ashlar_options_init(options);
    options->n_threads = n_threads;
    options->n_ctx = 128;
    options->n_sessions = 2;
    options->n_batch = 16;
    options->map_weights = map;
}

/* A prompt of 20 tokens (two passes) and n sampled ones. */
static ashlar_status generate(ashlar_engine *engine, int n, ashlar_error *err)
{
    ashlar_session *session = NULL;
    ashlar_sampler *sampler = NULL;
    ashlar_sampler_options how;
    ashlar_sampler_options_init(&how);
    how.temperature = 0.8f;
    how.repeat_penalty = 1.1f;
    int32_t ids[PROMPT_TOKENS];
    size_t n_ids;
    ashlar_status status = ashlar_tokenize(engine, "bababa bebaba, don't!", 21, 0, ids,
                                           PROMPT_TOKENS, &n_ids, err);
    if (status == ASHLAR_OK) {
        for (int i = 0; i < PROMPT_TOKENS; i++) {
            ids[i] = i;
        }
        status = ashlar_session_open(engine, &session, err);
    }
    if (status == ASHLAR_OK) {
        status = ashlar_sampler_new(engine, &how, &sampler, err);
    }
    if (status == ASHLAR_OK) {
        status = ashlar_session_append(session, ids, PROMPT_TOKENS, err);
    }
    for (int i = 0; i < n && status == ASHLAR_OK; i++) {
        int32_t id = ashlar_sampler_sample(sampler, ashlar_session_logits(session));
        ashlar_sampler_accept(sampler, id);
        status = ashlar_session_append(session, &id, 1, err);
    }
    ashlar_sampler_free(sampler);
    ashlar_session_close(session);
    return status;
}

struct job {
    const char *path;
    int n_threads, n_tokens;
    bool map;
};

static ashlar_status open_and_generate(void *context, ashlar_error *err)
{
    const struct job *job = context;
    ashlar_options options;
    choose_options(&options, job->n_threads, job->map);
    ashlar_engine *engine;
    ashlar_status status = ashlar_engine_open(job->path, &options, &engine, err);
    if (status == ASHLAR_OK) {
        status = generate(engine, job->n_tokens, err);
        ashlar_engine_close(engine);
    }
    return status;
}

static void one_thread_gives_up_cleanly(void **state)
{
    (void)state;
    struct job job = {.path = model_path("tiny-llama-q4_0"), .n_threads = 1, .n_tokens = 3};
    assert_in_range(torture(open_and_generate, &job), 5, 5000);
}

static void mapped_weights_give_up_cleanly(void **state)
{
    (void)state;
    struct job job = {
        .path = model_path("tiny-qwen2-q8_0"), .n_threads = 1, .n_tokens = 1, .map = true};
    assert_in_range(torture(open_and_generate, &job), 5, 5000);
}

static void three_threads_give_up_cleanly(void **state)
{
    (void)state;
    struct job job = {.path = model_path("tiny-qwen3-q4_k"), .n_threads = 3, .n_tokens = 1};
    assert_in_range(torture(open_and_generate, &job), 5, 5000);
}

static ashlar_status estimate(void *context, ashlar_error *err)
{
    ashlar_options options;
    ashlar_memory memory;
    choose_options(&options, 1, false);
    return ashlar_memory_estimate(context, &options, &memory, err);
}

static void estimate_gives_up_cleanly(void **state)
{
    (void)state;
    assert_in_range(torture(estimate, (void *)model_path("tiny-llama-f16")), 2, 5000);
}

/* More tokens must not mean more allocations. */
static void nothing_is_allocated_per_token(void **state)
{
    (void)state;
    struct job job = {.path = model_path("tiny-llama-f16"), .n_threads = 2, .n_tokens = 1};
    int few, many;
    assert_null(torture_count(open_and_generate, &job, &few));
    job.n_tokens = 40;
    assert_null(torture_count(open_and_generate, &job, &many));
    assert_int_equal(few, many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_gives_up_cleanly),
        cmocka_unit_test(mapped_weights_give_up_cleanly),
        cmocka_unit_test(three_threads_give_up_cleanly),
        cmocka_unit_test(estimate_gives_up_cleanly),
        cmocka_unit_test(nothing_is_allocated_per_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
