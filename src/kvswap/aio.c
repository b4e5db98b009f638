/* aio.c: choosing an implementation, and a failed request in words. */
#include "kvswap/aio.h"

#include <errno.h>
#include <string.h>

enum { MOST_FAILURES = 2 }; /* of the device, before it is believed */

ashlar_status aio_open(const char *kind, int depth, struct aio **out, ashlar_error *err)
{
    *out = NULL;
    if (kind && strcmp(kind, "threads") != 0 && strcmp(kind, "io_uring") != 0)
        return error_set(err, ASHLAR_USAGE, "I/O kind %s: not io_uring or threads", kind);
    if (!kind || strcmp(kind, "io_uring") == 0) {
        ashlar_status status = aio_uring_open(depth, out, err);
        if (status == ASHLAR_OK || kind)
            return status;
    }
    return aio_threads_open(depth, out, err);
}

bool aio_retry(struct aio_request *r, int error)
{
    return error == EINTR || error == EAGAIN || (error == EIO && ++r->failures <= MOST_FAILURES);
}

bool aio_advance(struct aio_request *r, size_t n)
{
    r->done += n;
    r->failures = 0;
    for (; r->n_iov > 0 && n >= r->iov->iov_len; r->iov++, r->n_iov--)
        n -= r->iov->iov_len;
    if (r->n_iov > 0) {
        r->iov->iov_base = (char *)r->iov->iov_base + n;
        r->iov->iov_len -= n;
    }
    return r->done >= r->bytes;
}

ashlar_status aio_error(const struct aio_request *r, const char *path, ashlar_error *err)
{
    const char *what = r->write ? "write" : "read";
    if (r->error == AIO_SHORT)
        return error_set(err, ASHLAR_FAILED, "%s: %s of %zu bytes at %llu: the file ends after %zu",
                         path, what, r->bytes, (unsigned long long)r->offset, r->done);
    ashlar_status status =
        r->error == ENOSPC || r->error == EDQUOT ? ASHLAR_NO_RESOURCE : ASHLAR_FAILED;
    return error_errno(err, status, r->error, "%s: %s of %zu bytes at %llu", path, what, r->bytes,
                       (unsigned long long)r->offset);
}
