/*
 * output.c: standard output without a buffer of its own, so that every token appears when it is
 * made and every failure to write is seen at once.
 */
#include "cli/cli.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

ashlar_status output_write(int fd, const char *bytes, size_t n, ashlar_error *err)
{
    while (n > 0) {
        ssize_t written = write(fd, bytes, n);
        if (written >= 0) {
            bytes += written;
            n -= (size_t)written;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            /* somebody shares the pipe and made it non-blocking: wait for room */
            struct pollfd wait = {.fd = fd, .events = POLLOUT};
            poll(&wait, 1, -1);
        } else if (errno != EINTR) {
            return error_errno(err, ASHLAR_FAILED, errno, "cannot write standard output");
        }
    }
    return ASHLAR_OK;
}
