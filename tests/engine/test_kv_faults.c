/*
 * test_kv_faults.c: a disk that fails. For every read and every write of a short run, and each kind
 * of failure: the sequence it hits is refused with file and offset, all others get the same bits as
 * without it, nothing stale is attended to, and an emptied sequence works again. And passes that
 * are cancelled in any layer leave everything as it was.
 */
#include "kv_world.h"

#include "engine/engine.h"
#include "kvswap/swap.h"

enum { SEED = 20251129, PASSES = 9, SESSIONS = 3, CTX = 256 };

/* Tokens of each session in each pass; the third stays in memory. All fit one pass of n_batch rows.
 */
static const int schedule[PASSES][SESSIONS] = {
    {30, 20, 8},             /* in memory */
    {40, 0, 1},              /* the first goes to disk */
    {0, 60, 1},              /* the second: its adapter is there */
    {1, 1, 1},               /* selected groups */
    {1, 1, 0},   {12, 1, 1}, /* one streams, one selects */
    {1, 9, 1},   {1, 1, 1},  {1, 1, 1},
};

/* ---- an aio that keeps books: a request is waited for before it is used again ---------------- */

struct strict {
    struct aio base;
    struct aio *inner;
    int n;
    const struct aio_request *flying[1024];
};

static int strict_find(const struct strict *s, const struct aio_request *r)
{
    for (int i = 0; i < s->n; i++)
        if (s->flying[i] == r)
            return i;
    return -1;
}

static void strict_submit(struct aio *aio, struct aio_request *requests, int n)
{
    struct strict *s = (struct strict *)aio;
    for (int i = 0; i < n; i++) {
        assert_int_equal(strict_find(s, &requests[i]), -1);
        assert_true(s->n < 1024);
        s->flying[s->n++] = &requests[i];
    }
    aio_submit(s->inner, requests, n);
}

static bool strict_finished(struct aio *aio, struct aio_request *request)
{
    return aio_finished(((struct strict *)aio)->inner, request);
}

static void strict_wait(struct aio *aio, struct aio_request *request)
{
    struct strict *s = (struct strict *)aio;
    int at = strict_find(s, request);
    if (at >= 0)
        s->flying[at] = s->flying[--s->n];
    aio_wait(s->inner, request);
}

static void strict_close(struct aio *aio)
{
    struct strict *s = (struct strict *)aio;
    assert_int_equal(s->n, 0);
    aio_close(s->inner);
    free(s);
}

static const struct aio_ops strict_ops = {
    .name = "strict",
    .submit = strict_submit,
    .finished = strict_finished,
    .wait = strict_wait,
    .close = strict_close,
};

/* ---- a short run --------------------------------------------------------------------------- */

struct trial {
    struct world w;
    struct aio_fault_plan plan;
    struct strict *strict;
    int32_t tokens[SESSIONS][CTX];
    float *wanted[PASSES][SESSIONS]; /* logits without faults; NULL: no tokens in this pass */
};

/* check_every: of the recall meter, which reads everything now and then. */
static void trial_open(struct trial *t, const char *policy, const char *io, int check_every)
{
    struct rng rng;
    ashlar_kv_options kv = {.policy = policy,
                            .io = io,
                            .group_tokens = 8,
                            .select_tokens = 32,
                            .recent_tokens = 8,
                            .check_every = check_every};
    memset(t, 0, sizeof *t);
    world_open(&t->w, "deep-llama-f16", options_for(2, SESSIONS, CTX, 128, kv));
    struct kv *state = t->w.e->kv; /* a policy on disk keeps this */
    assert_int_equal(aio_fault_open(state->aio, &t->plan, &state->aio, NULL), ASHLAR_OK);
    t->strict = calloc(1, sizeof *t->strict);
    *t->strict = (struct strict){{&strict_ops}, state->aio, 0, {NULL}};
    state->aio = &t->strict->base;
    rng_seed(&rng, SEED);
    for (int i = 0; i < SESSIONS; i++)
        random_tokens(t->w.n_vocab, t->tokens[i], CTX, &rng);
}

static void forget(struct trial *t)
{
    for (int p = 0; p < PASSES; p++)
        for (int i = 0; i < SESSIONS; i++) {
            free(t->wanted[p][i]);
            t->wanted[p][i] = NULL;
        }
}

static void trial_close(struct trial *t)
{
    forget(t);
    world_close(&t->w);
}

/* What became of a run: pass in which each session was refused first, or -1. */
struct outcome {
    int refused[SESSIONS];
    ashlar_error error[SESSIONS]; /* of that pass */
};

/* Refused items stay in the batch, so that the others' rows are computed in the same company. */
static ashlar_status run_pass(struct trial *t, int pass, const int *at, ashlar_status *statuses,
                              ashlar_error *err)
{
    ashlar_batch_item items[SESSIONS];
    int owner[SESSIONS], n = 0;
    for (int i = 0; i < SESSIONS; i++) {
        if (schedule[pass][i] == 0)
            continue;
        owner[n] = i;
        items[n++] = (ashlar_batch_item){t->w.s[i], t->tokens[i] + at[i], (size_t)schedule[pass][i],
                                         ASHLAR_OK};
    }
    memset(err, 0, sizeof *err);
    ashlar_status status = ashlar_batch_eval(t->w.e, items, (size_t)n, err);
    for (int i = 0; i < n; i++)
        statuses[owner[i]] = items[i].status;
    return status;
}

static void check_or_keep(struct trial *t, int pass, int session, bool keep)
{
    const float *logits = ashlar_session_logits(t->w.s[session]);
    size_t bytes = (size_t)t->w.n_vocab * sizeof *logits;
    assert_non_null(logits);
    if (keep) {
        t->wanted[pass][session] = malloc(bytes);
        memcpy(t->wanted[pass][session], logits, bytes);
    } else if (memcmp(t->wanted[pass][session], logits, bytes) != 0) {
        fail_msg("fault %d of %s %llu: session %d differs in pass %d", (int)t->plan.fault,
                 t->plan.writes ? "write" : "read", (unsigned long long)t->plan.first, session,
                 pass);
    }
}

static struct outcome run(struct trial *t, bool keep)
{
    struct outcome o = {.refused = {-1, -1, -1}};
    int at[SESSIONS] = {0};
    t->plan.n_reads = t->plan.n_writes = 0;
    for (int i = 0; i < SESSIONS; i++)
        assert_int_equal(ashlar_session_rewind(t->w.s[i], 0, NULL), ASHLAR_OK);
    assert_int_equal(t->strict->n, 0);
    for (int p = 0; p < PASSES; p++) {
        ashlar_status statuses[SESSIONS] = {ASHLAR_OK, ASHLAR_OK, ASHLAR_OK};
        ashlar_error err;
        ashlar_status status = run_pass(t, p, at, statuses, &err);
        for (int i = 0; i < SESSIONS; i++) {
            at[i] += schedule[p][i];
            if (statuses[i] != ASHLAR_OK) {
                assert_int_not_equal(status, ASHLAR_OK);
                assert_null(ashlar_session_logits(t->w.s[i]));
                if (o.refused[i] < 0) {
                    o.refused[i] = p;
                    o.error[i] = err;
                }
            } else if (schedule[p][i] > 0) {
                assert_int_equal(o.refused[i], -1); /* once refused, always */
                check_or_keep(t, p, i, keep);
            }
        }
    }
    return o;
}

/* The run without faults; the second one, because the first fits the adapters, which outlive
 * sessions. */
static struct outcome reference(struct trial *t)
{
    t->plan = (struct aio_fault_plan){.fault = AIO_FAULT_NONE};
    run(t, true);
    forget(t);
    return run(t, true);
}

/* A fault is described: which file, where, what. */
static void check_description(const struct trial *t, const ashlar_error *err)
{
    static const char *const words[] = {[AIO_FAULT_EIO] = "Input/output error",
                                        [AIO_FAULT_ENOSPC] = "No space left",
                                        [AIO_FAULT_SHORT] = "the file ends after",
                                        [AIO_FAULT_CORRUPT] = "checksum mismatch"};
    bool full = t->plan.fault == AIO_FAULT_ENOSPC;
    const char *offset =
        strstr(err->message, t->plan.fault == AIO_FAULT_CORRUPT ? "offset " : "bytes at ");
    if (err->status != (full ? ASHLAR_NO_RESOURCE : ASHLAR_FAILED) ||
        !strstr(err->message, t->w.folder) || !strstr(err->message, words[t->plan.fault]) ||
        !offset)
        fail_msg("fault %d of %s %llu: status %d, message '%s'", (int)t->plan.fault,
                 t->plan.writes ? "write" : "read", (unsigned long long)t->plan.first,
                 (int)err->status, err->message);
}

/* One request fails in one way; returns how many sessions it hit. */
static int strike(struct trial *t, enum aio_fault fault, bool writes, uint64_t index,
                  uint64_t count)
{
    int hit = 0;
    t->plan =
        (struct aio_fault_plan){.fault = fault, .writes = writes, .first = index, .count = count};
    struct outcome o = run(t, false);
    for (int i = 0; i < SESSIONS; i++)
        if (o.refused[i] >= 0) {
            check_description(t, &o.error[i]);
            hit++;
        }
    assert_int_equal(o.refused[2], -1);
    return hit;
}

/* Under ThreadSanitizer a run takes twenty times as long, and all requests half an hour. */
#ifdef __SANITIZE_THREAD__
enum { STRIDE = 16 };
#else
enum { STRIDE = 1 };
#endif

/* Every Nth request only; ASHLAR_TEST_STRIDE=N sets another. */
static uint64_t stride(void)
{
    const char *given = getenv("ASHLAR_TEST_STRIDE");
    uint64_t n = given ? strtoull(given, NULL, 10) : STRIDE;
    return n ? n : STRIDE;
}

static const enum aio_fault faults[] = {AIO_FAULT_EIO, AIO_FAULT_ENOSPC, AIO_FAULT_SHORT,
                                        AIO_FAULT_CORRUPT};

/* Every request of one direction, each fault; requests are counted by a run without faults before.
 */
static void strike_all(struct trial *t, bool writes)
{
    int refused = 0;
    struct outcome clean = reference(t);
    uint64_t n = writes ? t->plan.n_writes : t->plan.n_reads;
    for (int i = 0; i < SESSIONS; i++)
        assert_int_equal(clean.refused[i], -1);
    assert_true(n > 10);
    for (uint64_t i = 0; i < n; i += stride()) {
        for (int f = 0; f < 4; f++) {
            int hit = strike(t, faults[f], writes, i, 1);
            assert_true(hit <= 1);
            if (!writes && hit != 1)
                fail_msg("fault %d of read %llu was not noticed", (int)faults[f],
                         (unsigned long long)i);
            refused += hit;
        }
        if (i / stride() % 8 == 0)
            assert_int_equal(strike(t, AIO_FAULT_LATE, writes, i, 1), 0);
    }
    assert_true(refused >
                (int)(n / stride())); /* writes of the last pass are never looked at again */
    strike(t, AIO_FAULT_NONE, writes, 0, 0);
}

static void each_read_may_fail(void **state)
{
    (void)state;
    struct trial t;
    trial_open(&t, "kvswap", NULL, 2);
    strike_all(&t, false);
    trial_close(&t);
}

static void each_write_may_fail(void **state)
{
    (void)state;
    struct trial t;
    trial_open(&t, "kvswap", "threads", 0);
    strike_all(&t, true);
    trial_close(&t);
}

static void each_streamed_read_may_fail(void **state)
{
    (void)state;
    struct trial t;
    trial_open(&t, "stream", "threads", 0);
    reference(&t);
    uint64_t n = t.plan.n_reads;
    assert_true(n > 10);
    for (uint64_t i = 0; i < n; i += stride()) {
        t.plan = (struct aio_fault_plan){.fault = faults[i % 4], .first = i, .count = 1};
        struct outcome o = run(&t, false);
        assert_int_equal((o.refused[0] >= 0) + (o.refused[1] >= 0) + (o.refused[2] >= 0), 1);
        for (int k = 0; k < SESSIONS; k++)
            if (o.refused[k] >= 0)
                check_description(&t, &o.error[k]);
    }
    trial_close(&t);
}

/* From some request on nothing works any more: both sequences on disk are refused, the third goes
 * on. */
static void a_dead_disk_stops_only_who_needs_it(void **state)
{
    (void)state;
    struct trial t;
    trial_open(&t, "kvswap", NULL, 0);
    reference(&t);
    for (int writes = 0; writes < 2; writes++)
        for (uint64_t first = 0; first < 30; first += 3) {
            int hit = strike(&t, AIO_FAULT_EIO, writes, first, UINT64_MAX);
            assert_true(first == 0 ? hit == 2 : hit >= 1); /* later on one may have all it needs */
        }
    strike(&t, AIO_FAULT_NONE, false, 0, 0);
    trial_close(&t);
}

/* A rewind that does not empty a broken session does not mend it; the error is told each time. */
static void a_broken_session_is_refused_until_emptied(void **state)
{
    (void)state;
    struct trial t;
    ashlar_error first, again;
    trial_open(&t, "kvswap", NULL, 0);
    assert_int_equal(ashlar_session_append(t.w.s[0], t.tokens[0], 100, NULL), ASHLAR_OK);
    t.plan = (struct aio_fault_plan){.fault = AIO_FAULT_EIO, .first = t.plan.n_reads, .count = 1};
    assert_int_equal(ashlar_session_append(t.w.s[0], t.tokens[0], 1, &first), ASHLAR_FAILED);
    assert_int_equal(ashlar_session_length(t.w.s[0]), 100);
    for (size_t length = 100; length > 0; length -= 50) {
        assert_int_equal(ashlar_session_rewind(t.w.s[0], length, NULL), ASHLAR_OK);
        assert_int_equal(ashlar_session_append(t.w.s[0], t.tokens[0], 1, &again), ASHLAR_FAILED);
        assert_string_equal(again.message, first.message);
    }
    assert_int_equal(ashlar_session_rewind(t.w.s[0], 0, NULL), ASHLAR_OK);
    assert_int_equal(ashlar_session_append(t.w.s[0], t.tokens[0], 100, NULL), ASHLAR_OK);
    assert_int_equal(ashlar_session_append(t.w.s[0], t.tokens[0], 1, NULL), ASHLAR_OK);
    trial_close(&t);
}

/* A rewind into the groups reads them back; when that fails the next append says so. */
static void a_rewind_that_cannot_read_breaks_the_session(void **state)
{
    (void)state;
    struct trial t;
    ashlar_error err;
    trial_open(&t, "kvswap", NULL, 0);
    assert_int_equal(ashlar_session_append(t.w.s[0], t.tokens[0], 120, NULL), ASHLAR_OK);
    t.plan =
        (struct aio_fault_plan){.fault = AIO_FAULT_CORRUPT, .first = t.plan.n_reads, .count = 1};
    assert_int_equal(ashlar_session_rewind(t.w.s[0], 90, NULL), ASHLAR_OK);
    assert_true(t.plan.n_reads > t.plan.first);
    assert_int_equal(ashlar_session_append(t.w.s[0], t.tokens[0], 1, &err), ASHLAR_FAILED);
    assert_non_null(strstr(err.message, "checksum mismatch"));
    trial_close(&t);
}

/* A byte that changes on disk behind the engine's back: refused, with file and offset. */
static void bytes_changed_on_disk_are_noticed(void **state)
{
    (void)state;
    struct trial t;
    ashlar_error err = {0};
    trial_open(&t, "stream", NULL, 0);
    assert_int_equal(ashlar_session_append(t.w.s[0], t.tokens[0], 100, NULL), ASHLAR_OK);
    assert_int_equal(ashlar_session_append(t.w.s[0], t.tokens[0], 1, NULL), ASHLAR_OK);
    const struct store *store = &((struct kv *)t.w.e->kv)->sequences[0].store;
    FILE *f = fopen(store->path, "r+b");
    assert_non_null(f);
    fseek(f, 4096 + 5 * (long)store->group_bytes + 77, SEEK_SET);
    int byte = fgetc(f);
    fseek(f, -1, SEEK_CUR);
    fputc(byte ^ 1, f);
    fclose(f);
    assert_int_equal(ashlar_session_append(t.w.s[0], t.tokens[0], 1, &err), ASHLAR_FAILED);
    assert_non_null(strstr(err.message, store->path));
    assert_non_null(strstr(err.message, "checksum mismatch"));
    trial_close(&t);
}

/* Of several refused items in several passes, the call describes the first. */
static void the_first_refusal_is_described(void **state)
{
    (void)state;
    struct trial t;
    ashlar_error err;
    trial_open(&t, "kvswap", NULL, 0);
    ashlar_batch_item items[2] = {{t.w.s[0], t.tokens[0], 60, ASHLAR_OK},
                                  {t.w.s[1], t.tokens[1], 60, ASHLAR_OK}};
    assert_int_equal(ashlar_batch_eval(t.w.e, items, 2, NULL), ASHLAR_OK);
    char path[512];
    strcpy(path, ((struct kv *)t.w.e->kv)->sequences[0].store.path);
    t.plan = (struct aio_fault_plan){.fault = AIO_FAULT_EIO, .first = t.plan.n_reads, .count = 1};
    items[0].n_tokens = 20; /* fails; the other one's prompt takes two passes */
    items[1].n_tokens = 190;
    assert_int_equal(ashlar_batch_eval(t.w.e, items, 2, &err), ASHLAR_FAILED);
    assert_int_equal(err.status, ASHLAR_FAILED);
    assert_non_null(strstr(err.message, path));
    assert_int_equal(items[0].status, ASHLAR_FAILED);
    assert_int_equal(items[1].status, ASHLAR_OK);
    assert_int_equal(ashlar_session_length(t.w.s[0]), 60);
    assert_int_equal(ashlar_session_length(t.w.s[1]), 250);
    trial_close(&t);
}

/* A quota that one sequence exceeds stops that one. */
static void a_quota_stops_only_its_session(void **state)
{
    (void)state;
    struct world w;
    int32_t tokens[200] = {0};
    ashlar_error err = {0};
    ashlar_kv_options kv = {.policy = "kvswap",
                            .group_tokens = 8,
                            .select_tokens = 32,
                            .recent_tokens = 8,
                            .quota_bytes = 4096 + 4 * 15 * 4096}; /* 120 tokens of 4 layers */
    world_open(&w, "deep-llama-f16", options_for(2, 2, CTX, 512, kv));
    ashlar_batch_item items[2] = {{w.s[0], tokens, 100, ASHLAR_OK},
                                  {w.s[1], tokens, 100, ASHLAR_OK}};
    assert_int_equal(ashlar_batch_eval(w.e, items, 2, &err), ASHLAR_OK);
    items[0].n_tokens = 60;
    items[1].n_tokens = 10;
    assert_int_equal(ashlar_batch_eval(w.e, items, 2, &err), ASHLAR_NO_RESOURCE);
    assert_non_null(strstr(err.message, "quota"));
    assert_non_null(strstr(err.hint, "--kv-quota"));
    assert_int_equal(items[0].status, ASHLAR_NO_RESOURCE);
    assert_int_equal(items[1].status, ASHLAR_OK);
    assert_int_equal(ashlar_session_length(w.s[0]), 100);
    world_close(&w);
}

/* ---- cancelling ---------------------------------------------------------------------------- */

static struct {
    ashlar_engine *e;
    const struct kv_policy *inner;
    int layer; /* cancel at the end of this layer; -1: not */
} hook;

static void cancelling_end(struct kv *kv, int layer, ashlar_error *err)
{
    hook.inner->end(kv, layer, err);
    if (layer == hook.layer) {
        hook.layer = -1;
        ashlar_engine_cancel(hook.e);
    }
}

static void a_cancelled_pass_leaves_no_trace(void **state)
{
    (void)state;
    static const char *const policies[] = {"kvswap", "stream"};
    for (int k = 0; k < 2; k++) {
        struct trial t;
        trial_open(&t, policies[k], NULL, 0);
        reference(&t);
        struct kv_policy hooked = *t.w.e->policy;
        hook.e = t.w.e;
        hook.inner = t.w.e->policy;
        hooked.end = cancelling_end;
        t.w.e->policy = &hooked;
        int at[SESSIONS] = {0};
        for (int i = 0; i < SESSIONS; i++)
            ashlar_session_rewind(t.w.s[i], 0, NULL);
        for (int p = 0; p < PASSES; p++) {
            ashlar_status statuses[SESSIONS];
            ashlar_error err;
            for (hook.layer = 0; hook.layer < 3; hook.layer++) {
                int layer = hook.layer;
                assert_int_equal(run_pass(&t, p, at, statuses, &err), ASHLAR_CANCELLED);
                for (int i = 0; i < SESSIONS; i++)
                    assert_int_equal(ashlar_session_length(t.w.s[i]), at[i]);
                hook.layer = layer;
            }
            hook.layer = -1;
            if (run_pass(&t, p, at, statuses, &err) != ASHLAR_OK)
                fail_msg("%s, pass %d: %s", policies[k], p, err.message);
            for (int i = 0; i < SESSIONS; i++) {
                at[i] += schedule[p][i];
                if (schedule[p][i] > 0)
                    check_or_keep(&t, p, i, false);
            }
        }
        trial_close(&t);
    }
}

int main(void)
{
    printf("seed %d\n", SEED);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_read_may_fail),
        cmocka_unit_test(each_write_may_fail),
        cmocka_unit_test(each_streamed_read_may_fail),
        cmocka_unit_test(a_dead_disk_stops_only_who_needs_it),
        cmocka_unit_test(a_broken_session_is_refused_until_emptied),
        cmocka_unit_test(a_rewind_that_cannot_read_breaks_the_session),
        cmocka_unit_test(bytes_changed_on_disk_are_noticed),
        cmocka_unit_test(the_first_refusal_is_described),
        cmocka_unit_test(a_quota_stops_only_its_session),
        cmocka_unit_test(a_cancelled_pass_leaves_no_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
