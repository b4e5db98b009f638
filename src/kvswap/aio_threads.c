/*
 * aio_threads.c: requests served by a few threads over pread and pwrite, for kernels or sandboxes
 * without io_uring. Requests wait in a ring of pointers; one lock guards everything.
 */
#include "kvswap/aio.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"

enum { MAX_THREADS = 16 };

struct threads {
    struct aio base;
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    struct aio_request **queue; /* ring */
    size_t size, first, count;
    bool stop;
    int n_threads;
    pthread_t threads[MAX_THREADS];
};

/* Transfer everything, continuing short transfers; returns the request's error. */
static int transfer(struct aio_request *r)
{
    while (r->done < r->bytes) {
        off_t at = (off_t)(r->offset + r->done);
        struct iovec whole = {r->data + r->done, r->bytes - r->done};
        struct iovec *iov = r->iov ? r->iov : &whole;
        int n_iov = r->iov ? aio_pieces_at_once(r) : 1;
        ssize_t n = r->write ? pwritev(r->fd, iov, n_iov, at) : preadv(r->fd, iov, n_iov, at);
        if (n < 0 && aio_retry(r, errno))
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            return AIO_SHORT;
        aio_advance(r, (size_t)n);
    }
    return 0;
}

static void *serve(void *argument)
{
    struct threads *t = argument;
    pthread_mutex_lock(&t->lock);
    for (;;) {
        while (t->count == 0 && !t->stop)
            pthread_cond_wait(&t->work, &t->lock);
        if (t->count == 0)
            break;
        struct aio_request *r = t->queue[t->first];
        t->first = (t->first + 1) % t->size;
        t->count--;
        pthread_mutex_unlock(&t->lock);
        int error = transfer(r);
        pthread_mutex_lock(&t->lock);
        r->error = error;
        r->finished = true;
        pthread_cond_broadcast(&t->done);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

/* Under the lock. */
static bool grow(struct threads *t, size_t need)
{
    size_t size = t->size;
    while (size < need)
        size *= 2;
    struct aio_request **queue = mem_array(size, sizeof *queue);
    if (!queue)
        return false;
    for (size_t i = 0; i < t->count; i++)
        queue[i] = t->queue[(t->first + i) % t->size];
    free(t->queue);
    t->queue = queue;
    t->size = size;
    t->first = 0;
    return true;
}

static void threads_submit(struct aio *aio, struct aio_request *requests, int n)
{
    struct threads *t = (struct threads *)aio;
    pthread_mutex_lock(&t->lock);
    bool room = t->count + (size_t)n <= t->size || grow(t, t->count + (size_t)n);
    for (int i = 0; i < n; i++) {
        requests[i].done = 0;
        requests[i].failures = 0;
        requests[i].error = room ? 0 : ENOMEM;
        requests[i].finished = !room;
        if (room)
            t->queue[(t->first + t->count++) % t->size] = &requests[i];
    }
    pthread_cond_broadcast(&t->work);
    pthread_mutex_unlock(&t->lock);
}

static bool threads_finished(struct aio *aio, struct aio_request *request)
{
    struct threads *t = (struct threads *)aio;
    pthread_mutex_lock(&t->lock);
    bool finished = request->finished;
    pthread_mutex_unlock(&t->lock);
    return finished;
}

static void threads_wait(struct aio *aio, struct aio_request *request)
{
    struct threads *t = (struct threads *)aio;
    pthread_mutex_lock(&t->lock);
    while (!request->finished)
        pthread_cond_wait(&t->done, &t->lock);
    pthread_mutex_unlock(&t->lock);
}

static void threads_close(struct aio *aio)
{
    struct threads *t = (struct threads *)aio;
    pthread_mutex_lock(&t->lock);
    t->stop = true;
    pthread_cond_broadcast(&t->work);
    pthread_mutex_unlock(&t->lock);
    for (int i = 0; i < t->n_threads; i++)
        pthread_join(t->threads[i], NULL);
    pthread_mutex_destroy(&t->lock);
    pthread_cond_destroy(&t->work);
    pthread_cond_destroy(&t->done);
    free(t->queue);
    free(t);
}

static const struct aio_ops threads_ops = {
    .name = "threads",
    .submit = threads_submit,
    .finished = threads_finished,
    .wait = threads_wait,
    .close = threads_close,
};

ashlar_status aio_threads_open(int depth, struct aio **out, ashlar_error *err)
{
    *out = NULL;
    struct threads *t = mem_array(1, sizeof *t);
    if (!t)
        return error_memory(err, sizeof *t, "I/O threads");
    t->base.ops = &threads_ops;
    t->size = 1024;
    t->queue = mem_array(t->size, sizeof *t->queue);
    if (!t->queue) {
        free(t);
        return error_memory(err, 1024 * sizeof(void *), "I/O threads");
    }
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->work, NULL);
    pthread_cond_init(&t->done, NULL);

    sigset_t all, before; /* signals belong to the program's own threads */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = 0;
    for (int want = depth < MAX_THREADS ? depth : MAX_THREADS; t->n_threads < want && !failure;) {
        failure = pthread_create(&t->threads[t->n_threads], NULL, serve, t);
        t->n_threads += !failure;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (t->n_threads == 0) {
        threads_close(&t->base);
        return error_errno(err, ASHLAR_FAILED, failure, "I/O threads");
    }
    *out = &t->base;
    return ASHLAR_OK;
}
