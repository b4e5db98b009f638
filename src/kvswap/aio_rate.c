/*
 * aio_rate.c: makes a fast disk behave like a slow one (an eMMC, a UFS): transfers pass one after
 * another at bytes_per_second, and none finishes earlier than `latency` after its submission. A
 * model of a device with one channel: the busy time of the channel is kept, a request is due when
 * its own transfer has passed.
 */
#include "kvswap/aio.h"

#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "base/os.h"

struct rate {
    struct aio base;
    struct aio *inner;
    double seconds_per_byte, latency;
    double free_at; /* when the channel has passed everything submitted */
};

static void rate_submit(struct aio *aio, struct aio_request *requests, int n)
{
    struct rate *r = (struct rate *)aio;
    double now = os_time_seconds();
    if (r->free_at < now)
        r->free_at = now;
    for (int i = 0; i < n; i++) {
        r->free_at += (double)requests[i].bytes * r->seconds_per_byte;
        double earliest = now + r->latency;
        requests[i].due = r->free_at > earliest ? r->free_at : earliest;
    }
    aio_submit(r->inner, requests, n);
}

static bool rate_finished(struct aio *aio, struct aio_request *request)
{
    struct rate *r = (struct rate *)aio;
    return aio_finished(r->inner, request) && os_time_seconds() >= request->due;
}

static void rate_wait(struct aio *aio, struct aio_request *request)
{
    struct rate *r = (struct rate *)aio;
    aio_wait(r->inner, request);
    for (double left; (left = request->due - os_time_seconds()) > 0.0;) {
        struct timespec t = {(time_t)left, (long)((left - (double)(time_t)left) * 1e9)};
        nanosleep(&t, NULL);
    }
}

static void rate_close(struct aio *aio)
{
    struct rate *r = (struct rate *)aio;
    aio_close(r->inner);
    free(r);
}

static void rate_use_memory(struct aio *aio, void *base, size_t bytes)
{
    aio_use_memory(((struct rate *)aio)->inner, base, bytes);
}

static void rate_use_file(struct aio *aio, int fd, bool use)
{
    aio_use_file(((struct rate *)aio)->inner, fd, use);
}

static const struct aio_ops rate_ops = {
    .name = "rate-limited",
    .submit = rate_submit,
    .finished = rate_finished,
    .wait = rate_wait,
    .close = rate_close,
    .use_memory = rate_use_memory,
    .use_file = rate_use_file,
};

ashlar_status aio_rate_open(struct aio *inner, uint64_t bytes_per_second, double latency_seconds,
                            struct aio **out, ashlar_error *err)
{
    *out = NULL;
    struct rate *r = mem_array(1, sizeof *r);
    if (!r)
        return error_memory(err, sizeof *r, "the I/O rate limit");
    *r = (struct rate){{&rate_ops}, inner, bytes_per_second ? 1.0 / (double)bytes_per_second : 0.0,
                       latency_seconds, 0.0};
    *out = &r->base;
    return ASHLAR_OK;
}
