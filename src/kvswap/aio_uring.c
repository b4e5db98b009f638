/*
 * aio_uring.c: requests through io_uring, one system call per submission. The only file that knows
 * liburing; without it (ASHLAR_NO_URING) opening fails and the thread pool serves.
 *
 * Requests beyond the queue's depth wait in a ring of pointers until completions make room; they
 * are put into the kernel's queue whenever the caller submits or waits.
 *
 * Files and the memory that transfers use are registered where the kernel lets us (the memory
 * counts against RLIMIT_MEMLOCK): it then looks neither up for each request. Whatever is not
 * registered, or comes in several pieces, goes the plain way.
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

enum {
    FILES = 32,        /* registered at once */
    PIECE_SHIFT = 30   /* the kernel registers at most 1 GiB at a time */
};

struct uring {
    struct aio base;
    struct io_uring ring;
    int depth, in_flight;
    struct aio_request **queue; /* ring of waiting requests */
    size_t queue_size, queue_first, queue_count;
    unsigned char *memory; /* registered; NULL: none */
    size_t memory_bytes;
    bool has_files;
    int files[FILES]; /* -1: free */
};

/* The number of the registered piece that holds [data, data + n); -1: none. */
static int find_memory(const struct uring *u, const unsigned char *data, size_t n)
{
    uintptr_t at = (uintptr_t)data - (uintptr_t)u->memory;
    if (!u->memory || at >= u->memory_bytes || n > u->memory_bytes - at ||
        at >> PIECE_SHIFT != (at + n - 1) >> PIECE_SHIFT)
        return -1;
    return (int)(at >> PIECE_SHIFT);
}

static int find_file(const struct uring *u, int fd)
{
    for (int i = 0; i < FILES && u->has_files; i++)
        if (u->files[i] == fd)
            return i;
    return -1;
}

static void prepare(struct uring *u, struct aio_request *r)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
    unsigned char *data = r->iov ? r->iov->iov_base : r->data + r->done;
    unsigned left = (unsigned)(r->bytes - r->done);
    uint64_t offset = r->offset + r->done;
    int file = find_file(u, r->fd), fd = file < 0 ? r->fd : file;
    int piece = r->iov && r->n_iov > 1 ? -1 : find_memory(u, data, left);
    if (piece >= 0 && r->write)
        io_uring_prep_write_fixed(sqe, fd, data, left, offset, piece);
    else if (piece >= 0)
        io_uring_prep_read_fixed(sqe, fd, data, left, offset, piece);
    else if (r->iov && r->write)
        io_uring_prep_writev(sqe, fd, r->iov, (unsigned)aio_pieces_at_once(r), offset);
    else if (r->iov)
        io_uring_prep_readv(sqe, fd, r->iov, (unsigned)aio_pieces_at_once(r), offset);
    else if (r->write)
        io_uring_prep_write(sqe, fd, data, left, offset);
    else
        io_uring_prep_read(sqe, fd, data, left, offset);
    if (file >= 0)
        sqe->flags |= IOSQE_FIXED_FILE;
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
    if (result < 0 && aio_retry(r, -result))
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
        requests[i].failures = 0;
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

static void uring_use_memory(struct aio *aio, void *base, size_t bytes)
{
    struct uring *u = (struct uring *)aio;
    struct iovec pieces[64];
    unsigned n = 0;
    if (u->memory || bytes > (size_t)64 << PIECE_SHIFT)
        return;
    for (size_t at = 0, size; at < bytes; at += size) {
        size = bytes - at < (size_t)1 << PIECE_SHIFT ? bytes - at : (size_t)1 << PIECE_SHIFT;
        pieces[n++] = (struct iovec){(unsigned char *)base + at, size};
    }
    if (io_uring_register_buffers(&u->ring, pieces, n) == 0) {
        u->memory = base;
        u->memory_bytes = bytes;
    }
}

static void uring_use_file(struct aio *aio, int fd, bool use)
{
    struct uring *u = (struct uring *)aio;
    int slot = find_file(u, use ? -1 : fd), value = use ? fd : -1;
    if (use && find_file(u, fd) >= 0)
        return;
    if (slot >= 0 && io_uring_register_files_update(&u->ring, (unsigned)slot, &value, 1) == 1)
        u->files[slot] = value;
}

static void open_files(struct uring *u)
{
    for (int i = 0; i < FILES; i++)
        u->files[i] = -1;
    u->has_files = io_uring_register_files(&u->ring, u->files, FILES) == 0;
}

static const struct aio_ops uring_ops = {
    .name = "io_uring",
    .submit = uring_submit,
    .finished = uring_finished,
    .wait = uring_wait,
    .close = uring_close,
    .use_memory = uring_use_memory,
    .use_file = uring_use_file,
};

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
    open_files(u);
    *out = &u->base;
    return ASHLAR_OK;
}

#endif
