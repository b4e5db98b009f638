/*
 * aio_fault.c: a device that fails on request, for tests: the chosen reads or writes are passed on
 * and then reported as failed, cut short, silently corrupted, or late.
 */
#include "kvswap/aio.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"

struct fault {
    struct aio base;
    struct aio *inner;
    struct aio_fault_plan *plan;
};

/* A byte of the request's data; of the first piece when there are several. */
static unsigned char *middle(const struct aio_request *r)
{
    return r->data + (r->iov ? 0 : r->bytes / 2);
}

static void fault_submit(struct aio *aio, struct aio_request *requests, int n)
{
    struct fault *f = (struct fault *)aio;
    for (int i = 0; i < n; i++) {
        uint64_t index = requests[i].write ? f->plan->n_writes++ : f->plan->n_reads++;
        bool chosen = requests[i].write == f->plan->writes && index >= f->plan->first &&
                      index - f->plan->first < f->plan->count;
        requests[i].fault = chosen ? f->plan->fault : AIO_FAULT_NONE;
        if (chosen && requests[i].write && f->plan->fault == AIO_FAULT_CORRUPT)
            *middle(&requests[i]) ^= 0x10; /* before it reaches the disk */
    }
    aio_submit(f->inner, requests, n);
}

static void strike(struct aio_request *r)
{
    int fault = r->fault;
    r->fault = AIO_FAULT_NONE;
    if (r->error != 0)
        return;
    if (fault == AIO_FAULT_EIO)
        r->error = EIO;
    else if (fault == AIO_FAULT_ENOSPC)
        r->error = ENOSPC;
    else if (fault == AIO_FAULT_SHORT) {
        r->error = AIO_SHORT;
        r->done = r->bytes / 2;
    } else if (fault == AIO_FAULT_CORRUPT && !r->write)
        *middle(r) ^= 0x10;
    else if (fault == AIO_FAULT_LATE)
        nanosleep(&(struct timespec){0, 20000000}, NULL);
}

static bool fault_finished(struct aio *aio, struct aio_request *request)
{
    struct fault *f = (struct fault *)aio;
    if (request->fault == AIO_FAULT_LATE || !aio_finished(f->inner, request))
        return false;
    strike(request);
    return true;
}

static void fault_wait(struct aio *aio, struct aio_request *request)
{
    struct fault *f = (struct fault *)aio;
    aio_wait(f->inner, request);
    strike(request);
}

static void fault_close(struct aio *aio)
{
    struct fault *f = (struct fault *)aio;
    aio_close(f->inner);
    free(f);
}

static void fault_use_memory(struct aio *aio, void *base, size_t bytes)
{
    aio_use_memory(((struct fault *)aio)->inner, base, bytes);
}

static void fault_use_file(struct aio *aio, int fd, bool use)
{
    aio_use_file(((struct fault *)aio)->inner, fd, use);
}

static const struct aio_ops fault_ops = {
    .name = "faulty",
    .submit = fault_submit,
    .finished = fault_finished,
    .wait = fault_wait,
    .close = fault_close,
    .use_memory = fault_use_memory,
    .use_file = fault_use_file,
};

ashlar_status aio_fault_open(struct aio *inner, struct aio_fault_plan *plan, struct aio **out,
                             ashlar_error *err)
{
    *out = NULL;
    struct fault *f = mem_array(1, sizeof *f);
    if (!f)
        return error_memory(err, sizeof *f, "the fault injector");
    *f = (struct fault){{&fault_ops}, inner, plan};
    *out = &f->base;
    return ASHLAR_OK;
}
