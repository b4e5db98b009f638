/*
 * aio_uring.c: requests through io_uring, one system call per submission. The only file that knows
 * liburing; without it (ASHLAR_NO_URING) opening fails and the thread pool serves.
 *
 * Requests beyond the queue's depth wait in a ring of pointers until completions make room; they
 * are put into the kernel's queue whenever the caller submits or waits.
 */
#include "kvswap/aio.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#ifdef ASHLAR_NO_URING

ashlar_status aio_uring_open(int depth, struct aio **out, ashlar_error *err)
{
    (void)depth;
    *out = NULL;
    return error_set(err, ASHLAR_USAGE, "io_uring: this build has no liburing");
}

#else

#include <liburing.h>

struct uring {
    struct aio base;
    struct io_uring ring;
    int depth, in_flight;
    struct aio_request **queue; /* ring of waiting requests */
    size_t queue_size, queue_first, queue_count;
};

static void prepare(struct uring *u, struct aio_request *r)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
    unsigned char *data = r->data + r->done;
    unsigned left = (unsigned)(r->bytes - r->done);
    uint64_t offset = r->offset + r->done;
    if (r->iov && r->write)
        io_uring_prep_writev(sqe, r->fd, r->iov, (unsigned)r->n_iov, offset);
    else if (r->iov)
        io_uring_prep_readv(sqe, r->fd, r->iov, (unsigned)r->n_iov, offset);
    else if (r->write)
        io_uring_prep_write(sqe, r->fd, data, left, offset);
    else
        io_uring_prep_read(sqe, r->fd, data, left, offset);
    io_uring_sqe_set_data(sqe, r);
    u->in_flight++;
}

static void finish(struct aio_request *r, int error)
{
    r->error = error;
    r->finished = true;
}

/* A completion: done, failed, or to be continued behind the waiting ones. */
static struct aio_request *complete(struct uring *u, struct io_uring_cqe *cqe)
{
    struct aio_request *r = io_uring_cqe_get_data(cqe);
    int result = cqe->res;
    io_uring_cqe_seen(&u->ring, cqe);
    u->in_flight--;
    if (result == -EINTR || result == -EAGAIN)
        return r;
    if (result < 0)
        finish(r, -result);
    else if (result == 0)
        finish(r, AIO_SHORT);
    else if (aio_advance(r, (size_t)result))
        finish(r, 0);
    return r->finished ? NULL : r;
}

/* Move waiting requests into the kernel's queue while there is room. */
static void feed(struct uring *u)
{
    while (u->queue_count > 0 && u->in_flight < u->depth) {
        prepare(u, u->queue[u->queue_first]);
        u->queue_first = (u->queue_first + 1) % u->queue_size;
        u->queue_count--;
    }
}


static bool grow_queue(struct uring *u, size_t need)
{
    size_t size = u->queue_size;
    while (size < need)
        size *= 2;
    struct aio_request **queue = mem_array(size, sizeof *queue);
    if (!queue)
        return false;
    for (size_t i = 0; i < u->queue_count; i++)
        queue[i] = u->queue[(u->queue_first + i) % u->queue_size];
    free(u->queue);
    u->queue = queue;
    u->queue_size = size;
    u->queue_first = 0;
    return true;
}

static void reap(struct uring *u)
{
    struct io_uring_cqe *cqe;
    while (io_uring_peek_cqe(&u->ring, &cqe) == 0) {
        struct aio_request *again = complete(u, cqe);
        if (again)
            prepare(u, again);
    }
}

static void uring_submit(struct aio *aio, struct aio_request *requests, int n)
{
    struct uring *u = (struct uring *)aio;
    bool room = u->queue_count + (size_t)n <= u->queue_size ||
                grow_queue(u, u->queue_count + (size_t)n);
    for (int i = 0; i < n; i++) {
        requests[i].done = 0;
        requests[i].error = 0;
        requests[i].finished = false;
        if (room) {
            u->queue[(u->queue_first + u->queue_count) % u->queue_size] = &requests[i];
            u->queue_count++;
        } else {
            finish(&requests[i], ENOMEM);
        }
    }
    reap(u);
    feed(u);
    io_uring_submit(&u->ring);
}

static bool uring_finished(struct aio *aio, struct aio_request *request)
{
    struct uring *u = (struct uring *)aio;
    if (!request->finished) {
        reap(u);
        feed(u);
        io_uring_submit(&u->ring);
    }
    return request->finished;
}

static void uring_wait(struct aio *aio, struct aio_request *request)
{
    struct uring *u = (struct uring *)aio;
    while (!request->finished) {
        int result = io_uring_submit_and_wait(&u->ring, 1);
        if (result < 0 && result != -EINTR && result != -EAGAIN && result != -EBUSY) {
            finish(request, -result);
            return;
        }
        reap(u);
        feed(u);
    }
}

static void uring_close(struct aio *aio)
{
    struct uring *u = (struct uring *)aio;
    io_uring_queue_exit(&u->ring);
    free(u->queue);
    free(u);
}

static const struct aio_ops uring_ops = {"io_uring", uring_submit, uring_finished, uring_wait,
                                         uring_close};

ashlar_status aio_uring_open(int depth, struct aio **out, ashlar_error *err)
{
    *out = NULL;
    struct uring *u = mem_array(1, sizeof *u);
    if (!u)
        return error_memory(err, sizeof *u, "io_uring");
    u->base.ops = &uring_ops;
    u->depth = depth;
    u->queue_size = 4096;
    u->queue = mem_array(u->queue_size, sizeof *u->queue);
    if (!u->queue) {
        free(u);
        return error_memory(err, 4096 * sizeof(void *), "io_uring");
    }
    int result = io_uring_queue_init((unsigned)depth, &u->ring, 0);
    if (result < 0) {
        free(u->queue);
        free(u);
        return error_errno(err, ASHLAR_FAILED, -result, "io_uring");
    }
    *out = &u->base;
    return ASHLAR_OK;
}

#endif
