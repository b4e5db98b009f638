/*
 * The thread pool with delays where they hurt: pool.c is compiled into this test with a random
 * pause in every gap between looking at a shared word and acting on it. A worker then often wakes
 * up with what it read several steps ago, and sleeps are entered at the worst moment. Every chunk
 * must still run exactly once, with its own step's arguments, before pool_run returns, and nothing
 * may hang (an alarm ends the test program).
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static void gap(void);
static _Atomic uint64_t spin_ns;
#define POOL_GAP() gap()
#define SPIN_NS atomic_load(&spin_ns)
#include "base/pool.c"

#include "base/rng.h"

static uint64_t seed_of_run;
static atomic_uint gap_seeds;
static _Thread_local struct rng gap_rng;
static _Thread_local bool gap_ready;

static void gap(void)
{
    if (!gap_ready) {
        rng_seed(&gap_rng, seed_of_run + atomic_fetch_add(&gap_seeds, 1));
        gap_ready = true;
    }
    uint32_t dice = rng_below(&gap_rng, 200);
    if (dice == 0) {
        nanosleep(&(struct timespec){.tv_nsec = rng_below(&gap_rng, 200000)}, NULL);
    } else if (dice < 10) {
        sched_yield();
    } else if (dice < 60) {
        for (volatile uint32_t i = rng_below(&gap_rng, 400); i > 0; i--) {
        }
    }
}

#define N_CONTEXTS 4
#define N_CHUNKS 12

/* One function per context, so that a function called with another step's context is seen. */
struct step {
    int n_chunks, which;
    bool open;            /* plain on purpose: touching it late is a race that TSan reports */
    unsigned seen[N_CHUNKS];
    atomic_int wrong;
};

static void check_chunk(struct step *step, int which, int chunk, int n_chunks)
{
    if (step->which != which || !step->open || n_chunks != step->n_chunks || chunk < 0 ||
        chunk >= n_chunks) {
        atomic_fetch_add(&step->wrong, 1);
        return;
    }
    step->seen[chunk]++;
}

#define CHECKER(n)                                                        \
    static void chunk_##n(void *context, int chunk, int count, int thread) \
    {                                                                     \
        (void)thread;                                                     \
        check_chunk(context, n, chunk, count);                            \
    }
CHECKER(0)
CHECKER(1)
CHECKER(2)
CHECKER(3)

/* A job posted before each step and joined after it; plain, as above. */
static void count_job(void *context)
{
    ++*(unsigned *)context;
}

static void run(int n_threads, unsigned spin, int n_steps)
{
    static const pool_fn functions[N_CONTEXTS] = {chunk_0, chunk_1, chunk_2, chunk_3};
    struct pool *pool;
    atomic_store(&spin_ns, spin);
    assert_int_equal(pool_new(n_threads, &pool, NULL), ASHLAR_OK);
    struct step steps[N_CONTEXTS] = {0};
    struct rng rng;
    unsigned jobs = 0;
    rng_seed(&rng, seed_of_run);
    for (int i = 0; i < n_steps; i++) {
        int which = i % N_CONTEXTS;
        if (i % 2)
            pool_post(pool, count_job, &jobs);
        struct step *step = &steps[which];
        memset(step->seen, 0, sizeof step->seen);
        step->which = which;
        step->n_chunks = 2 + (int)rng_below(&rng, N_CHUNKS - 1);
        step->open = true;
        pool_run(pool, step->n_chunks, functions[which], step);
        step->open = false;
        pool_join(pool);
        assert_int_equal(jobs, (i + 1) / 2);
        for (int c = 0; c < step->n_chunks; c++)
            assert_int_equal(step->seen[c], 1);
        assert_int_equal(atomic_load(&step->wrong), 0);
    }
    for (int i = 0; i < N_CONTEXTS; i++)
        assert_int_equal(atomic_load(&steps[i].wrong), 0);
    pool_free(pool);
}

static void two_threads_that_spin(void **state)
{
    (void)state;
    run(2, 20000, 3000);
}

static void two_threads_that_sleep(void **state)
{
    (void)state;
    run(2, 0, 3000);
}

static void five_threads_that_sleep(void **state)
{
    (void)state;
    run(5, 0, 2000);
}

/* Two chunks that wait for each other: the step ends only if a worker comes for one of them. */
static void meet(void *context, int chunk, int n_chunks, int thread)
{
    (void)chunk;
    (void)thread;
    atomic_int *arrived = context;
    atomic_fetch_add(arrived, 1);
    while (atomic_load(arrived) < n_chunks)
        sched_yield();
}

static void nothing(void *context, int chunk, int n_chunks, int thread)
{
    (void)context;
    (void)chunk;
    (void)n_chunks;
    (void)thread;
}

/*
 * A worker that sleeps through a step would hang it. The empty steps between let workers finish
 * and lie down while the caller is still waking them.
 */
static void every_step_wakes_the_workers(void **state)
{
    (void)state;
    struct pool *pool;
    for (int run = 0; run < 4; run++) {
        int n_threads = 2 + run / 2;
        atomic_store(&spin_ns, run % 2 ? 20000 : 0);
        assert_int_equal(pool_new(n_threads, &pool, NULL), ASHLAR_OK);
        for (int i = 0; i < 3000; i++) {
            atomic_int arrived = 0;
            pool_run(pool, 2, nothing, NULL);
            pool_run(pool, n_threads, meet, &arrived);
            assert_int_equal(atomic_load(&arrived), n_threads);
        }
        pool_free(pool);
    }
}

int main(void)
{
    const char *given = getenv("SEED");
    seed_of_run = given ? strtoull(given, NULL, 0) : 1;
    print_message("SEED=%llu\n", (unsigned long long)seed_of_run);
    alarm(200); /* a lost wake-up hangs */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_threads_that_spin),
        cmocka_unit_test(two_threads_that_sleep),
        cmocka_unit_test(five_threads_that_sleep),
        cmocka_unit_test(every_step_wakes_the_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
