/*
 * The KV policies on disk with every allocation failing in turn: opening, a prompt that goes to
 * disk, tokens with selected groups, a rewind. Each failure is NO_RESOURCE with a message; no file,
 * thread or block is left behind. Once a sequence is on disk its tokens allocate nothing.
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

enum { PROMPT_TOKENS = 120 };

static const char *model_path(const char *name)
{
    static char path[4096];
    const char *folder = getenv("ASHLAR_TEST_MODELS");
    snprintf(path, sizeof path, "%s/%s.gguf", folder ? folder : "build/tests/models", name);
    return path;
}

struct job {
    const char *policy, *io, *type;
    int n_tokens;
};

static ashlar_status generate(ashlar_engine *engine, int n, ashlar_error *err)
{
    ashlar_session *session;
    int32_t ids[PROMPT_TOKENS];
    for (int i = 0; i < PROMPT_TOKENS; i++)
        ids[i] = i;
    ashlar_status status = ashlar_session_open(engine, &session, err);
    if (status == ASHLAR_OK)
        status = ashlar_session_append(session, ids, PROMPT_TOKENS, err);
    for (int i = 0; i < n && status == ASHLAR_OK; i++)
        status = ashlar_session_append(session, ids + i, 1, err);
    if (status == ASHLAR_OK)
        status = ashlar_session_rewind(session, 90, err);
    if (status == ASHLAR_OK)
        status = ashlar_session_append(session, ids, 2, err);
    ashlar_session_close(session);
    return status;
}

static ashlar_status open_and_generate(void *context, ashlar_error *err)
{
    const struct job *job = context;
    ashlar_options o;
    ashlar_options_init(&o);
    o.n_threads = 1;
    o.n_ctx = 256;
    o.n_batch = 64;
    o.kv = (ashlar_kv_options){.policy = job->policy,
                               .io = job->io,
                               .type = job->type,
                               .group_tokens = 8,
                               .select_tokens = 32,
                               .recent_tokens = 8};
    ashlar_engine *engine;
    ashlar_status status = ashlar_engine_open(model_path("deep-llama-f16"), &o, &engine, err);
    if (status == ASHLAR_OK) {
        status = generate(engine, job->n_tokens, err);
        ashlar_engine_close(engine);
    }
    return status;
}

/* The pool of threads would make do with fewer: it succeeds where something failed. */
static void need_io_uring(void)
{
    struct job job = {"kvswap", "io_uring", NULL, 1};
    if (open_and_generate(&job, NULL) != ASHLAR_OK)
        skip();
}

static void kvswap_gives_up_cleanly(void **state)
{
    (void)state;
    struct job job = {"kvswap", "io_uring", NULL, 3};
    need_io_uring();
    assert_in_range(torture(open_and_generate, &job), 5, 5000);
}

static void stream_gives_up_cleanly(void **state)
{
    (void)state;
    struct job job = {"stream", "io_uring", "q8_0", 3};
    need_io_uring();
    assert_in_range(torture(open_and_generate, &job), 5, 5000);
}

static void nothing_is_allocated_per_token(void **state)
{
    (void)state;
    static const char *const policies[] = {"kvswap", "stream"};
    for (int p = 0; p < 2; p++) {
        struct job job = {policies[p], NULL, NULL, 1};
        int few, many;
        assert_null(torture_count(open_and_generate, &job, &few));
        job.n_tokens = 60;
        assert_null(torture_count(open_and_generate, &job, &many));
        assert_int_equal(few, many);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kvswap_gives_up_cleanly),
        cmocka_unit_test(stream_gives_up_cleanly),
        cmocka_unit_test(nothing_is_allocated_per_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
