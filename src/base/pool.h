/*
 * pool.h: a thread pool for many short parallel steps.
 *
 * A step is cut into a fixed number of chunks that does not depend on the number of threads;
 * workers claim chunks from a shared counter. What a chunk computes depends on its index alone, so
 * the result is the same for any number of threads, and a thread that loses its core (a busy
 * neighbour) only delays the chunk it holds. Waiting spins briefly, then sleeps on a futex.
 */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include "base/error.h"

struct pool;

/** Work on chunk `chunk` of `n_chunks`; `thread` in [0, pool_threads) is for its own scratch. */
typedef void (*pool_fn)(void *context, int chunk, int n_chunks, int thread);

/** Start n_threads - 1 workers (the caller is thread 0). Errors: FAILED, NO_RESOURCE. */
ashlar_status pool_new(int n_threads, struct pool **out, ashlar_error *err);
void pool_free(struct pool *pool);
int pool_threads(const struct pool *pool);

/**
 * Run fn on all chunks (fewer than 2^24) and return when all are done. Only one thread may call it
 * at a time, and not from within fn.
 */
void pool_run(struct pool *pool, int n_chunks, pool_fn fn, void *context);

/** As pool_run, but on the caller alone: for a step so small that sharing it costs more than it saves. */
void pool_run_alone(struct pool *pool, int n_chunks, pool_fn fn, void *context);

/**
 * Leave one job to whichever worker is free first; meanwhile the caller goes on, steps included, which
 * the other threads share. With one thread it runs at once. fn must not use the pool. One job at a
 * time: pool_join comes before the next pool_post, and before pool_free.
 */
void pool_post(struct pool *pool, void (*fn)(void *context), void *context);

/** Return when the posted job is done (at once when there is none); runs it if no worker has begun. */
void pool_join(struct pool *pool);

#endif
