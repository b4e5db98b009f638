/*
 * The thread pool: every chunk runs exactly once, with its own step's arguments, and is finished
 * when pool_run returns, whatever the workers' timing. Threads are delayed at random, so that late
 * workers, sleeping callers and empty steps all happen; built with SAN=thread this is the proof of
 * the argument at the top of pool.c.
 */
#include "base/os.h"
#include "base/pool.h"
#include "base/rng.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define MAX_TEST_CHUNKS 300

/* Plain (not atomic) counters: a chunk that runs twice or late is a data race that TSan reports. */
struct step {
    unsigned number;
    unsigned seen[MAX_TEST_CHUNKS];
    int expected_chunks;
    int thread_of[MAX_TEST_CHUNKS];
    atomic_int wrong;
    unsigned delay; /* of threads other than 0: 0 none, 1 spin a little, 2 sleep now and then */
};

static void sleep_us(long us)
{
    nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

static void count_chunk(void *context, int chunk, int n_chunks, int thread)
{
    struct step *step = context;
    if (n_chunks != step->expected_chunks || chunk < 0 || chunk >= n_chunks) {
        atomic_fetch_add(&step->wrong, 1);
        return;
    }
    if (thread > 0 && step->delay == 1) {
        for (volatile int i = 0; i < 300; i++) {
        }
    } else if (thread > 0 && step->delay == 2 && (chunk + step->number) % 7 == 0) {
        sleep_us(30);
    }
    step->seen[chunk]++;
    step->thread_of[chunk] = thread;
}

static struct pool *open_pool(int n_threads)
{
    ashlar_error err;
    struct pool *pool;
    assert_int_equal(pool_new(n_threads, &pool, &err), ASHLAR_OK);
    assert_int_equal(pool_threads(pool), n_threads);
    return pool;
}

/* Run steps of random sizes with random pauses between them and check each. */
static void run_steps(int n_threads, int n_steps, uint64_t seed)
{
    struct pool *pool = open_pool(n_threads);
    struct rng rng;
    rng_seed(&rng, seed);
    struct step *steps[2] = {test_calloc(1, sizeof(struct step)),
                             test_calloc(1, sizeof(struct step))};
    for (int i = 0; i < n_steps; i++) {
        /* Two contexts in turn, the one not in use poisoned: a late chunk would be seen. */
        struct step *step = steps[i % 2], *other = steps[(i + 1) % 2];
        memset(step, 0, sizeof *step);
        other->expected_chunks = -1;
        step->number = (unsigned)i;
        step->expected_chunks = (int)rng_below(&rng, i % 16 == 0 ? MAX_TEST_CHUNKS + 1 : 9);
        step->delay = rng_below(&rng, 3);
        pool_run(pool, step->expected_chunks, count_chunk, step);
        for (int c = 0; c < step->expected_chunks; c++) {
            assert_int_equal(step->seen[c], 1);
            assert_in_range(step->thread_of[c], 0, n_threads - 1);
        }
        assert_int_equal(atomic_load(&step->wrong), 0);
        assert_int_equal(atomic_load(&other->wrong), 0);
        if (rng_below(&rng, 50) == 0) {
            sleep_us(60); /* long enough for the workers to go to sleep */
        }
    }
    test_free(steps[0]);
    test_free(steps[1]);
    pool_free(pool);
}

static uint64_t seed_of_run;

static void every_chunk_runs_once_with_one_thread(void **state)
{
    (void)state;
    run_steps(1, 500, seed_of_run);
}

static void every_chunk_runs_once_with_two_threads(void **state)
{
    (void)state;
    run_steps(2, 20000, seed_of_run + 1);
}

static void every_chunk_runs_once_with_more_threads_than_cores(void **state)
{
    (void)state;
    run_steps(os_cores() + 3, 2000, seed_of_run + 2);
}

static void stubborn_chunk(void *context, int chunk, int n_chunks, int thread)
{
    (void)chunk;
    (void)n_chunks;
    atomic_int *worker_ran = context;
    if (thread == 0) {
        for (int i = 0; i < 2000 && !atomic_load(worker_ran); i++) {
            sleep_us(1000); /* the caller holds its chunk until a worker has come */
        }
    } else {
        atomic_store(worker_ran, 1);
    }
}

/* A worker that went to sleep must be woken by the next step. */
static void sleeping_workers_are_woken(void **state)
{
    (void)state;
    struct pool *pool = open_pool(2);
    for (int i = 0; i < 20; i++) {
        atomic_int worker_ran = 0;
        sleep_us(300);
        pool_run(pool, 2, stubborn_chunk, &worker_ran);
        assert_int_equal(atomic_load(&worker_ran), 1);
    }
    pool_free(pool);
}

static void slow_worker_chunk(void *context, int chunk, int n_chunks, int thread)
{
    (void)chunk;
    (void)n_chunks;
    if (thread > 0)
        sleep_us(3000);
    atomic_fetch_add((atomic_int *)context, 1);
}

/* The caller sleeps while a worker holds the last chunk, and is woken when it is done. */
static void caller_waits_for_a_slow_worker(void **state)
{
    (void)state;
    struct pool *pool = open_pool(2);
    for (int i = 0; i < 20; i++) {
        atomic_int done = 0;
        pool_run(pool, 64, slow_worker_chunk, &done);
        assert_int_equal(atomic_load(&done), 64);
    }
    pool_free(pool);
}

static void empty_step_returns(void **state)
{
    (void)state;
    struct pool *pool = open_pool(2);
    pool_run(pool, 0, NULL, NULL);
    pool_free(pool);
}

static void pools_open_and_close_without_work(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++)
        pool_free(open_pool(1 + i % 4));
    pool_free(NULL);
}

static void record_mask(void *context, int chunk, int n_chunks, int thread)
{
    (void)n_chunks;
    sigset_t set;
    pthread_sigmask(SIG_BLOCK, NULL, &set);
    int *blocked = context;
    blocked[chunk] = thread == 0 ? -1 : sigismember(&set, SIGINT);
    sleep_us(500);
}

/* Ctrl-C must interrupt the program's own thread, not a worker. */
static void workers_block_signals(void **state)
{
    (void)state;
    struct pool *pool = open_pool(2);
    int blocked[8];
    pool_run(pool, 8, record_mask, blocked);
    for (int i = 0; i < 8; i++)
        assert_int_not_equal(blocked[i], 0);
    sigset_t set;
    pthread_sigmask(SIG_BLOCK, NULL, &set);
    assert_int_equal(sigismember(&set, SIGINT), 0);
    pool_free(pool);
}

struct job {
    unsigned ran; /* plain: run twice or late is a race that TSan reports */
    unsigned delay;
};

static void run_job(void *context)
{
    struct job *job = context;
    if (job->delay == 1)
        sleep_us(50);
    job->ran++;
}

/* Jobs beside steps: each runs once, and is done when pool_join returns. */
static void jobs_run_once_beside_steps(int n_threads)
{
    struct pool *pool = open_pool(n_threads);
    struct rng rng;
    rng_seed(&rng, seed_of_run + 3);
    struct step *step = test_calloc(1, sizeof *step);
    for (int i = 0; i < 2000; i++) {
        struct job job = {.delay = rng_below(&rng, 4)};
        pool_post(pool, run_job, &job);
        for (int s = (int)rng_below(&rng, 3); s > 0; s--) {
            memset(step, 0, sizeof *step);
            step->expected_chunks = (int)rng_below(&rng, 9);
            pool_run(pool, step->expected_chunks, count_chunk, step);
            for (int c = 0; c < step->expected_chunks; c++)
                assert_int_equal(step->seen[c], 1);
        }
        if (rng_below(&rng, 50) == 0)
            sleep_us(60);
        pool_join(pool);
        assert_int_equal(job.ran, 1);
        pool_join(pool); /* nothing is posted: returns at once */
    }
    test_free(step);
    pool_free(pool);
}

static void jobs_run_once_with_one_thread(void **state)
{
    (void)state;
    jobs_run_once_beside_steps(1);
}

static void jobs_run_once_with_two_threads(void **state)
{
    (void)state;
    jobs_run_once_beside_steps(2);
}

static void jobs_run_once_with_more_threads_than_cores(void **state)
{
    (void)state;
    jobs_run_once_beside_steps(os_cores() + 2);
}

static void set_flag(void *context)
{
    atomic_store((atomic_int *)context, 1);
}

/* A sleeping worker is woken for a job while the caller does something else. */
static void sleeping_worker_takes_a_job(void **state)
{
    (void)state;
    struct pool *pool = open_pool(2);
    for (int i = 0; i < 20; i++) {
        atomic_int done = 0;
        sleep_us(300);
        pool_post(pool, set_flag, &done);
        for (int wait = 0; wait < 2000 && !atomic_load(&done); wait++)
            sleep_us(1000);
        assert_int_equal(atomic_load(&done), 1);
        pool_join(pool);
    }
    pool_free(pool);
}

int main(void)
{
    const char *given = getenv("SEED");
    seed_of_run = given ? strtoull(given, NULL, 0) : 1;
    print_message("SEED=%llu\n", (unsigned long long)seed_of_run);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_chunk_runs_once_with_one_thread),
        cmocka_unit_test(every_chunk_runs_once_with_two_threads),
        cmocka_unit_test(every_chunk_runs_once_with_more_threads_than_cores),
        cmocka_unit_test(sleeping_workers_are_woken),
        cmocka_unit_test(caller_waits_for_a_slow_worker),
        cmocka_unit_test(empty_step_returns),
        cmocka_unit_test(pools_open_and_close_without_work),
        cmocka_unit_test(workers_block_signals),
        cmocka_unit_test(jobs_run_once_with_one_thread),
        cmocka_unit_test(jobs_run_once_with_two_threads),
        cmocka_unit_test(jobs_run_once_with_more_threads_than_cores),
        cmocka_unit_test(sleeping_worker_takes_a_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
