/*
 * aio.h: the I/O seam: reads and writes in flight while the CPU computes.
 *
 * A request belongs to the caller, who keeps it and its buffer unchanged from aio_submit until
 * aio_wait has returned for it. Implementations continue short transfers and retry what may pass
 * (aio_retry); what remains an error ends up in the request. With O_DIRECT buffers, offsets and
 * sizes are multiples of the device's sectors (store.h); AIO_ALIGN suits all devices. One thread
 * uses an aio at a time.
 *
 * Implementations: io_uring; a thread pool over pread and pwrite. Two more wrap another aio: a rate
 * limiter that makes a fast disk behave like a slow one, and a fault injector for tests.
 */
#ifndef KVSWAP_AIO_H
#define KVSWAP_AIO_H

#include <limits.h>
#include <sys/uio.h>

#include "base/error.h"

enum { AIO_ALIGN = 4096 };

struct aio_request {
    int fd;
    bool write;
    unsigned char *data; /* where the first byte goes or comes from */
    struct iovec *iov;   /* (n_iov) pieces of the transfer, used up; NULL: `data` is one piece */
    int n_iov;
    size_t bytes; /* of all pieces */
    uint64_t offset;
    /* out, valid after aio_wait */
    int error;     /* 0, an errno value, or AIO_SHORT: the file ended early */
    size_t done;   /* bytes transferred */
    bool finished;
    int failures; /* of the device, in a row */
    double due; /* set by the rate limiter */
    int fault;  /* set by the fault injector */
};

enum { AIO_SHORT = -1 };

struct aio;

struct aio_ops {
    const char *name; /* "io_uring", "threads", ... */
    /**
     * Start n requests; all are accepted (those beyond the queue's depth wait in the caller's
     * array).
     */
    void (*submit)(struct aio *aio, struct aio_request *requests, int n);
    /** True when this request is finished; does not wait. */
    bool (*finished)(struct aio *aio, struct aio_request *request);
    /** Return once this request is finished. */
    void (*wait)(struct aio *aio, struct aio_request *request);
    void (*close)(struct aio *aio);
    /* Optional, and never an error: see aio_use_memory and aio_use_file. */
    void (*use_memory)(struct aio *aio, void *base, size_t bytes);
    void (*use_file)(struct aio *aio, int fd, bool use);
};

/** First member of every implementation. */
struct aio {
    const struct aio_ops *ops;
};

/**
 * The best implementation that works here: io_uring where the kernel allows it, else threads.
 * `depth`: requests in flight at once. `kind`: NULL for the best, or "io_uring", "threads".
 * Errors: NO_RESOURCE, FAILED, USAGE (the kind asked for is not available).
 */
ashlar_status aio_open(const char *kind, int depth, struct aio **out, ashlar_error *err);

ashlar_status aio_uring_open(int depth, struct aio **out, ashlar_error *err);
ashlar_status aio_threads_open(int depth, struct aio **out, ashlar_error *err);

/**
 * Wrap (and own) `inner`: at most bytes_per_second, each request at least latency_seconds. 0 = no
 * limit.
 */
ashlar_status aio_rate_open(struct aio *inner, uint64_t bytes_per_second, double latency_seconds,
                            struct aio **out, ashlar_error *err);

/** What a fault injector does to the requests it lets through; counts from 0. */
enum aio_fault {
    AIO_FAULT_NONE, AIO_FAULT_EIO, AIO_FAULT_ENOSPC, AIO_FAULT_SHORT, AIO_FAULT_CORRUPT,
    AIO_FAULT_LATE
};

struct aio_fault_plan {
    enum aio_fault fault;
    bool writes;     /* of writes, else of reads */
    uint64_t first;  /* index of the first request of that direction that fails */
    uint64_t count;  /* how many in a row */
    uint64_t n_reads, n_writes; /* out: requests seen */
};

/** Wrap (and own) `inner`; the plan is borrowed and may be changed between requests. */
ashlar_status aio_fault_open(struct aio *inner, struct aio_fault_plan *plan, struct aio **out,
                             ashlar_error *err);

static inline void aio_submit(struct aio *aio, struct aio_request *requests, int n)
{
    aio->ops->submit(aio, requests, n);
}

static inline bool aio_finished(struct aio *aio, struct aio_request *request)
{
    return aio->ops->finished(aio, request);
}

static inline void aio_wait(struct aio *aio, struct aio_request *request)
{
    aio->ops->wait(aio, request);
}

/**
 * Most transfers will be to and from this memory: an implementation may pin it, so that the kernel
 * need not look its pages up each time. All of it is then resident. Until aio_close it stays
 * mapped.
 */
static inline void aio_use_memory(struct aio *aio, void *base, size_t bytes)
{
    if (aio->ops->use_memory)
        aio->ops->use_memory(aio, base, bytes);
}

/** Announce a file that will be used often (use), or that it is about to be closed (!use). */
static inline void aio_use_file(struct aio *aio, int fd, bool use)
{
    if (aio->ops->use_file)
        aio->ops->use_file(aio, fd, use);
}

static inline void aio_close(struct aio *aio)
{
    if (aio)
        aio->ops->close(aio);
}

/** How many of a request's pieces the kernel takes in one call. */
static inline int aio_pieces_at_once(const struct aio_request *request)
{
    return request->n_iov < IOV_MAX ? request->n_iov : IOV_MAX;
}

/** Note n more bytes as transferred (for implementations): true when that was all. */
bool aio_advance(struct aio_request *request, size_t n);

/**
 * Is a transfer that failed with this errno value to be tried again (for implementations)? After
 * EINTR and EAGAIN always; after EIO twice, for a cable or a controller may have better moments.
 */
bool aio_retry(struct aio_request *request, int error);

/**
 * A request's failure in words ("read of 16384 bytes at 4096: Input/output error"); FAILED or
 * NO_RESOURCE.
 */
ashlar_status aio_error(const struct aio_request *request, const char *path, ashlar_error *err);

#endif
