/*
 * pool.c: the thread pool: chunks claimed from one word, waits that spin briefly and then sleep.
 *
 * A decoded token is some 200 steps of 10 to 100 microseconds, so what counts is the cost of a
 * step's start and end, and what happens when a thread is not running because another process has
 * its core.
 *
 * Words shared by the threads, each on cache lines of its own:
 *
 *   claim    64 bits: epoch << 24 | unclaimed. The number of the step and how many of its chunks
 *            nobody has taken yet. A thread takes a chunk with one compare-and-swap that lowers it
 *            by 1; the chunk's index is n_chunks - unclaimed.
 *   step     fn, context, n_chunks of the step.
 *   pending  32 bits: 2 * (chunks not yet finished) + (1 when the caller sleeps on it).
 *   asleep, wake   asleep is 1 when a worker may sleep; wake is what it sleeps on.
 *   job      what pool_post left: none, posted, taken, awaited (taken; the caller sleeps on it).
 *
 * The caller waits for chunks, never for workers: pool_run returns when pending is 0, although a
 * worker may still be on its way in from the last step or an earlier one. So:
 *
 * 1. A late worker never runs a chunk of a step that is over, nor with another step's arguments.
 *    It reads claim = (e, u) with u > 0, then the step's arguments, then swaps (e, u) for
 *    (e, u - 1). If the swap succeeds, the word still had epoch e and an unclaimed chunk, so step e
 *    was not over: pending could not be 0, because this very chunk was in it. The caller overwrites
 *    the arguments only after it saw pending 0, that is after this chunk was finished: after the
 *    reads. So the arguments read are those of step e. If the swap fails, what was read is thrown
 *    away. When a step ends its word is (e, 0), which nobody can swap; that is why the word counts
 *    down: had it counted up, the test against n_chunks could see the next step's number between
 *    the caller's writes. The arguments are relaxed atomics: reads that are thrown away may race.
 *    The 40 bits of epoch do not come round again while a worker is between two instructions.
 *
 * 2. What chunks wrote is visible to the caller: each thread lowers pending with release order
 *    after its chunks, and the caller reads 0 with acquire order (a chain of read-modify-writes is
 *    one release sequence). What the caller wrote is visible to the chunks: claim is published
 *    after it with release order and every successful swap acquires, through the swaps before it.
 *
 * 3. The caller's sleep loses no wake-up: "the caller sleeps" and the count are one word, so
 *    whoever brings the count to 0 sees the bit or the caller sees the 0.
 *
 * 4. A worker's sleep loses no step. Worker: w = wake; asleep = 1; look at claim again; if nothing
 *    is there, sleep while wake == w. Caller: publish claim; if asleep: asleep = 0, wake += 1, wake
 *    all. All of these are sequentially consistent. If the worker's second look came before the
 *    publication, so did its asleep = 1, and the caller (which reads asleep afterwards) sees it and
 *    changes wake. If the caller's asleep = 0 wipes out a worker's 1, that worker read wake before
 *    the change and does not stay asleep. The caller pays for a system call only when a worker went
 *    to sleep since the last one, not for a worker that is awake but has no core. A posted job is
 *    published and looked for in the same way.
 *
 * 5. A job runs once: who swaps posted for taken runs it, a worker or the caller in pool_join. Its
 *    function and context are written before posted is (release) and read after the swap (acquire);
 *    they are written again only after the caller has read none (acquire), which is stored
 *    (release) when the job is done.
 *
 * Spinning is pointless, and harmful, when there are more threads than cores: then waits sleep at
 * once. Otherwise they spin for SPIN_NS, longer than the pauses inside a token and far shorter than
 * a scheduler's slice: with a busy neighbour on its core a worker that sleeps soon is no burden,
 * and a caller that sleeps soon leaves its core to a worker that was pushed off the other one.
 */
#include "base/pool.h"

#include "base/os.h"

#include <assert.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 128 /* two cache lines: some processors fetch them in pairs */
#define UNCLAIMED_BITS 24
#define MAX_CHUNKS ((1 << UNCLAIMED_BITS) - 1)

/* tests/base/test_pool_races.c puts delays into the gaps that the argument above is about. */
#ifndef POOL_GAP
#define POOL_GAP() ((void)0)
#endif
#ifndef SPIN_NS
#define SPIN_NS 20000
#endif

enum { JOB_NONE, JOB_POSTED, JOB_TAKEN, JOB_AWAITED };

struct worker {
    struct pool *pool;
    pthread_t thread;
    int index;
};

struct pool {
    alignas(LINE_BYTES) _Atomic uint64_t claim;
    alignas(LINE_BYTES) _Atomic uint32_t pending;
    alignas(LINE_BYTES) _Atomic uint32_t wake;
    alignas(LINE_BYTES) _Atomic uint32_t asleep;

    alignas(LINE_BYTES) _Atomic(pool_fn) fn;
    _Atomic(void *) context;
    atomic_int n_chunks;

    alignas(LINE_BYTES) _Atomic uint32_t job;
    void (*job_fn)(void *context);
    void *job_context;

    alignas(LINE_BYTES) atomic_bool stop;
    bool spin, running;
    int n_threads; /* with the caller */
    int n_started; /* workers that pool_free must join */
    struct worker workers[];
};

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb"); /* a pause of about the right length; `yield` does nothing */
#endif
}

static void futex_wait(_Atomic uint32_t *word, uint32_t value)
{
    /* Returning early (a signal, the value changed) is fine: every caller looks again. */
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int n)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint32_t unclaimed(uint64_t claim)
{
    return claim & MAX_CHUNKS;
}

/* Take and run chunks of the published step until none is left unclaimed. */
static void work(struct pool *pool, int thread)
{
    uint64_t claim = atomic_load_explicit(&pool->claim, memory_order_acquire);
    uint32_t finished = 0;
    while (unclaimed(claim)) {
        POOL_GAP();
        pool_fn fn = atomic_load_explicit(&pool->fn, memory_order_relaxed);
        void *context = atomic_load_explicit(&pool->context, memory_order_relaxed);
        int n_chunks = atomic_load_explicit(&pool->n_chunks, memory_order_relaxed);
        POOL_GAP();
        if (!atomic_compare_exchange_weak_explicit(&pool->claim, &claim, claim - 1,
                                                   memory_order_acq_rel, memory_order_acquire)) {
            if (finished) {
                continue; /* our chunks keep this step open: only its count can have changed */
            }
            relax();
            continue;
        }
        fn(context, n_chunks - (int)unclaimed(claim), n_chunks, thread);
        finished++;
        claim = atomic_load_explicit(&pool->claim, memory_order_acquire);
    }
    POOL_GAP();
    if (finished) {
        uint32_t before = atomic_fetch_sub_explicit(&pool->pending, 2 * finished,
                                                    memory_order_acq_rel);
        if (before - 2 * finished == 1)
            futex_wake(&pool->pending, 1);
    }
}

/* The caller's wait for chunks that workers still hold. */
static void wait_finished(struct pool *pool)
{
    if (pool->spin && atomic_load_explicit(&pool->pending, memory_order_acquire)) {
        uint64_t end = now_ns() + SPIN_NS;
        do {
            for (int i = 0; i < 16; i++) {
                if (!atomic_load_explicit(&pool->pending, memory_order_acquire))
                    return;
                relax();
            }
        } while (now_ns() < end);
    }
    if (atomic_load_explicit(&pool->pending, memory_order_acquire) == 0)
        return;
    uint32_t pending = atomic_fetch_or_explicit(&pool->pending, 1, memory_order_acq_rel) | 1;
    while (pending != 1) {
        POOL_GAP();
        futex_wait(&pool->pending, pending);
        pending = atomic_load_explicit(&pool->pending, memory_order_acquire);
    }
}

/* Run the posted job if nobody else has taken it. */
static void take_job(struct pool *pool)
{
    uint32_t posted = JOB_POSTED;
    if (atomic_load_explicit(&pool->job, memory_order_relaxed) != JOB_POSTED)
        return;
    POOL_GAP();
    if (!atomic_compare_exchange_strong_explicit(&pool->job, &posted, JOB_TAKEN,
                                                 memory_order_acquire, memory_order_relaxed))
        return;
    pool->job_fn(pool->job_context);
    POOL_GAP();
    if (atomic_exchange_explicit(&pool->job, JOB_NONE, memory_order_release) == JOB_AWAITED)
        futex_wake(&pool->job, 1);
}

static bool work_or_stop(struct pool *pool)
{
    return unclaimed(atomic_load(&pool->claim)) || atomic_load(&pool->job) == JOB_POSTED ||
           atomic_load(&pool->stop);
}

/* A worker's wait for the next step; true when there may be work, false when the pool ends. */
static bool wait_step(struct pool *pool)
{
    if (pool->spin) {
        uint64_t end = now_ns() + SPIN_NS;
        do {
            for (int i = 0; i < 16; i++) {
                if (unclaimed(atomic_load_explicit(&pool->claim, memory_order_relaxed)) ||
                    atomic_load_explicit(&pool->job, memory_order_relaxed) == JOB_POSTED)
                    return true;
                relax();
            }
        } while (now_ns() < end);
    }
    while (!work_or_stop(pool)) {
        uint32_t wake = atomic_load(&pool->wake);
        POOL_GAP();
        atomic_store(&pool->asleep, 1);
        if (work_or_stop(pool))
            break;
        POOL_GAP();
        futex_wait(&pool->wake, wake);
    }
    return !atomic_load(&pool->stop);
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    while (wait_step(worker->pool)) {
        take_job(worker->pool);
        work(worker->pool, worker->index);
    }
    return NULL;
}

/* After something was published: wake the workers if one may sleep. */
static void wake_workers(struct pool *pool)
{
    if (!atomic_load(&pool->asleep))
        return;
    POOL_GAP();
    atomic_store(&pool->asleep, 0);
    POOL_GAP();
    atomic_fetch_add(&pool->wake, 1);
    futex_wake(&pool->wake, pool->n_threads);
}

static void run_here(int n_chunks, pool_fn fn, void *context)
{
    for (int chunk = 0; chunk < n_chunks; chunk++)
        fn(context, chunk, n_chunks, 0);
}

void pool_run_alone(struct pool *pool, int n_chunks, pool_fn fn, void *context)
{
    assert(!pool->running);
    run_here(n_chunks, fn, context);
}

void pool_run(struct pool *pool, int n_chunks, pool_fn fn, void *context)
{
    assert(n_chunks >= 0 && n_chunks <= MAX_CHUNKS && !pool->running);
    pool->running = true;
    if (n_chunks <= 1 || pool->n_threads == 1) {
        run_here(n_chunks, fn, context);
    } else {
        atomic_store_explicit(&pool->fn, fn, memory_order_relaxed);
        POOL_GAP();
        atomic_store_explicit(&pool->context, context, memory_order_relaxed);
        atomic_store_explicit(&pool->n_chunks, n_chunks, memory_order_relaxed);
        atomic_store_explicit(&pool->pending, 2 * (uint32_t)n_chunks, memory_order_relaxed);
        uint64_t epoch = atomic_load_explicit(&pool->claim, memory_order_relaxed) >> UNCLAIMED_BITS;
        atomic_store(&pool->claim, (epoch + 1) << UNCLAIMED_BITS | (uint64_t)n_chunks);
        wake_workers(pool);
        work(pool, 0);
        wait_finished(pool);
    }
    pool->running = false;
}

void pool_post(struct pool *pool, void (*fn)(void *context), void *context)
{
    assert(atomic_load(&pool->job) == JOB_NONE && !pool->running);
    if (pool->n_threads == 1) {
        fn(context);
        return;
    }
    pool->job_fn = fn;
    pool->job_context = context;
    atomic_store(&pool->job, JOB_POSTED);
    wake_workers(pool);
}

void pool_join(struct pool *pool)
{
    take_job(pool);
    uint64_t end = pool->spin ? now_ns() + SPIN_NS : 0;
    uint32_t taken = atomic_load_explicit(&pool->job, memory_order_acquire);
    while (taken == JOB_TAKEN && pool->spin && now_ns() < end) {
        relax();
        taken = atomic_load_explicit(&pool->job, memory_order_acquire);
    }
    while (taken != JOB_NONE) {
        POOL_GAP();
        if (atomic_compare_exchange_strong_explicit(&pool->job, &taken, JOB_AWAITED,
                                                    memory_order_acquire, memory_order_acquire))
            taken = JOB_AWAITED;
        if (taken != JOB_NONE) {
            POOL_GAP();
            futex_wait(&pool->job, JOB_AWAITED);
            taken = atomic_load_explicit(&pool->job, memory_order_acquire);
        }
    }
}

/* Start the workers with all signals blocked, so that handlers run on the program's own threads. */
static int start_workers(struct pool *pool)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = 0;
    for (int i = 0; i < pool->n_threads - 1 && !failure; i++) {
        struct worker *worker = &pool->workers[i];
        *worker = (struct worker){.pool = pool, .index = i + 1};
        failure = pthread_create(&worker->thread, NULL, worker_main, worker);
        if (!failure) {
            pool->n_started++;
            char name[16];
            snprintf(name, sizeof name, "ashlar-%d", (i + 1) % 10000);
            pthread_setname_np(worker->thread, name);
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failure;
}

ashlar_status pool_new(int n_threads, struct pool **out, ashlar_error *err)
{
    assert(n_threads >= 1);
    *out = NULL;
    size_t bytes = sizeof(struct pool) + (size_t)(n_threads - 1) * sizeof(struct worker);
    bytes = (bytes + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
    struct pool *pool = aligned_alloc(LINE_BYTES, bytes);
    if (!pool)
        return error_memory(err, bytes, "the thread pool");
    memset(pool, 0, bytes);
    pool->n_threads = n_threads;
    pool->spin = n_threads <= os_cores();
    int failure = start_workers(pool);
    if (failure) {
        int started = pool->n_started;
        pool_free(pool);
        return error_errno(err, failure == EAGAIN ? ASHLAR_NO_RESOURCE : ASHLAR_FAILED, failure,
                           "cannot start thread %d of %d", started + 2, n_threads);
    }
    *out = pool;
    return ASHLAR_OK;
}

void pool_free(struct pool *pool)
{
    if (!pool)
        return;
    atomic_store(&pool->stop, true);
    atomic_fetch_add(&pool->wake, 1);
    futex_wake(&pool->wake, pool->n_threads);
    for (int i = 0; i < pool->n_started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    free(pool);
}

int pool_threads(const struct pool *pool)
{
    return pool->n_threads;
}
