/*
 * tuner_probe.c: how long a disk takes for a burst of random reads: as many at once as a layer's
 * misses, then a wait for all of them, because that is how kvswap reads.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/os.h"
#include "base/rng.h"
#include "kvswap/aio.h"
#include "kvswap/tuner.h"

enum {
    FILE_LEAST = 16 << 20,
    FILE_MOST = 256 << 20,      /* beyond most disks' own caches of hot blocks */
    FILE_PER_SECOND = 64 << 20, /* a short probe writes a small file */
    WRITE_BYTES = 1 << 20,
    MOST_BURSTS = 4096,
    LEAST_BURSTS = 3
};

static const int blocks[TUNE_BLOCKS] = {4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10};
static const int depths[TUNE_DEPTHS] = {1, 4, 16, 64};

struct probe {
    struct aio *aio;
    int fd;
    char path[512];
    bool direct;
    unsigned char *buffer; /* (largest depth * largest block) */
    uint64_t file_bytes;
    struct aio_request requests[64];
    struct rng rng;
    double submit_seconds, submitted; /* time in aio_submit, and requests */
    double times[MOST_BURSTS];
};

static int compare_times(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A file without a name: nothing is left behind however the program ends. */
static ashlar_status create(struct probe *p, const char *folder, ashlar_error *err)
{
    snprintf(p->path, sizeof p->path, "%s/ashlar-probe.XXXXXX", folder);
    p->fd = mkostemp(p->path, O_CLOEXEC);
    if (p->fd < 0)
        return error_errno(err, ASHLAR_FAILED, errno, "%s: cannot create", p->path);
    unlink(p->path);
    p->direct = fcntl(p->fd, F_SETFL, O_DIRECT) == 0;
    return ASHLAR_OK;
}

/* Random bytes: neither holes nor compression may make the disk look fast. */
static ashlar_status write_file(struct probe *p, const struct log *log, ashlar_error *err)
{
    for (uint64_t at = 0; at < p->file_bytes; at += WRITE_BYTES) {
        for (size_t i = 0; i < WRITE_BYTES; i += sizeof(uint64_t)) {
            uint64_t value = rng_u64(&p->rng);
            memcpy(p->buffer + i, &value, sizeof value);
        }
        struct aio_request r = {
            .fd = p->fd, .write = true, .data = p->buffer, .bytes = WRITE_BYTES, .offset = at};
        aio_submit(p->aio, &r, 1);
        aio_wait(p->aio, &r);
        if (r.error)
            return aio_error(&r, p->path, err);
        if (!log_progress(log, "probe", at + WRITE_BYTES, 2 * p->file_bytes))
            return error_set(err, ASHLAR_CANCELLED, "cancelled");
    }
    if (fdatasync(p->fd) != 0)
        return error_errno(err, ASHLAR_FAILED, errno, "%s: sync", p->path);
    return ASHLAR_OK;
}

static ashlar_status burst(struct probe *p, int block, int depth, ashlar_error *err)
{
    for (int i = 0; i < depth; i++)
        p->requests[i] = (struct aio_request){
            .fd = p->fd,
            .data = p->buffer + (size_t)i * (size_t)block,
            .bytes = (size_t)block,
            .offset = (uint64_t)rng_below(&p->rng, (uint32_t)(p->file_bytes / (uint64_t)block)) *
                      (uint64_t)block};
    double start = os_time_seconds();
    aio_submit(p->aio, p->requests, depth);
    p->submit_seconds += os_time_seconds() - start;
    p->submitted += depth;
    for (int i = 0; i < depth; i++)
        aio_wait(p->aio, &p->requests[i]);
    for (int i = 0; i < depth; i++)
        if (p->requests[i].error)
            return aio_error(&p->requests[i], p->path, err);
    return ASHLAR_OK;
}

/* Median time of a burst, after one that does not count: a stall says nothing of the others. */
static ashlar_status measure(struct probe *p, int block, int depth, double seconds, double *out,
                             ashlar_error *err)
{
    ashlar_status status = burst(p, block, depth, err);
    double start = os_time_seconds(), now = start;
    int n = 0;
    while (status == ASHLAR_OK && n < MOST_BURSTS && (n < LEAST_BURSTS || now - start < seconds)) {
        double before = now;
        status = burst(p, block, depth, err);
        now = os_time_seconds();
        p->times[n++] = now - before;
    }
    qsort(p->times, (size_t)n, sizeof *p->times, compare_times);
    *out = n ? p->times[n / 2] : 0.0;
    return status;
}

static ashlar_status measure_all(struct probe *p, double seconds, const struct log *log,
                                 struct tune_device *out, ashlar_error *err)
{
    int cells = TUNE_BLOCKS * TUNE_DEPTHS;
    ashlar_status status = ASHLAR_OK;
    for (int i = 0; i < cells && status == ASHLAR_OK; i++) {
        int b = i / TUNE_DEPTHS, d = i % TUNE_DEPTHS;
        status = measure(p, blocks[b], depths[d], seconds / cells, &out->seconds[b][d], err);
        if (status == ASHLAR_OK &&
            !log_progress(log, "probe", (uint64_t)(cells + i + 1), 2 * (uint64_t)cells))
            status = error_set(err, ASHLAR_CANCELLED, "cancelled");
    }
    return status;
}

static ashlar_status open_aio(struct probe *p, const ashlar_kv_options *o, ashlar_error *err)
{
    ashlar_status status = aio_open(o->io, depths[TUNE_DEPTHS - 1], &p->aio, err);
    if (status != ASHLAR_OK || (!o->io_rate && o->io_latency <= 0.0))
        return status;
    struct aio *inner = p->aio;
    status = aio_rate_open(inner, o->io_rate, o->io_latency, &p->aio, err);
    if (status != ASHLAR_OK)
        p->aio = inner;
    return status;
}

ashlar_status tune_probe(const char *folder, const ashlar_kv_options *o, double seconds,
                         const struct log *log, struct tune_device *out, ashlar_error *err)
{
    struct probe *p = mem_array(1, sizeof *p);
    if (!p)
        return error_memory(err, sizeof *p, "the probe of the disk");
    p->fd = -1;
    double wanted = fmin(fmax(seconds * FILE_PER_SECOND, FILE_LEAST), FILE_MOST);
    p->file_bytes = (uint64_t)wanted / WRITE_BYTES * WRITE_BYTES;
    ashlar_kv_options unlimited = {.io = o->io}; /* the file is written at full speed */
    size_t bytes = (size_t)depths[TUNE_DEPTHS - 1] * (size_t)blocks[TUNE_BLOCKS - 1];
    rng_seed(&p->rng, 1);
    memcpy(out->blocks, blocks, sizeof blocks);
    memcpy(out->depths, depths, sizeof depths);
    p->buffer = mem_pages(bytes);
    ashlar_status status = p->buffer ? open_aio(p, &unlimited, err)
                                     : error_memory(err, bytes, "the probe of the disk");
    if (status == ASHLAR_OK)
        status = create(p, folder, err);
    if (status == ASHLAR_OK)
        status = write_file(p, log, err);
    const char *io = p->aio ? p->aio->ops->name : NULL; /* a rate limiter has a name of its own */
    aio_close(p->aio);
    p->aio = NULL;
    if (status == ASHLAR_OK)
        status = open_aio(p, o, err);
    if (status == ASHLAR_OK) {
        out->io = io;
        out->direct = p->direct;
        status = measure_all(p, seconds, log, out, err);
        out->submit_seconds = p->submitted > 0 ? p->submit_seconds / p->submitted : 0.0;
    }
    aio_close(p->aio);
    if (p->fd >= 0)
        close(p->fd);
    mem_pages_free(p->buffer, bytes);
    free(p);
    return status;
}

/* Where x lies in rising values[0, n): index of the lower neighbour and the share of the way, in
 * logarithms. */
static int locate(const int *values, int n, double x, double *share)
{
    int i = 0;
    while (i + 2 < n && x >= values[i + 1])
        i++;
    *share = log(x / values[i]) / log((double)values[i + 1] / values[i]);
    return i;
}

double tune_io_seconds(const struct tune_device *d, size_t bytes, double n)
{
    double most_bytes = d->blocks[TUNE_BLOCKS - 1], most_depth = d->depths[TUNE_DEPTHS - 1],
           factor = 1.0;
    double block = fmax((double)bytes, d->blocks[0]), depth = n;
    if (n <= 0.0)
        return 0.0;
    if (depth < 1.0) { /* a read in some of the steps */
        factor *= depth;
        depth = 1.0;
    }
    if (depth > most_depth) { /* the queue stays full */
        factor *= depth / most_depth;
        depth = most_depth;
    }
    if (block > most_bytes) {
        factor *= block / most_bytes;
        block = most_bytes;
    }
    double x, y;
    int b = locate(d->blocks, TUNE_BLOCKS, block, &x),
        q = locate(d->depths, TUNE_DEPTHS, depth, &y);
    double low = (1 - y) * log(d->seconds[b][q]) + y * log(d->seconds[b][q + 1]);
    double high = (1 - y) * log(d->seconds[b + 1][q]) + y * log(d->seconds[b + 1][q + 1]);
    return factor * exp((1 - x) * low + x * high);
}
