/* output.c: see output.h. */
#include "base/output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

ashlar_status output_bytes(int fd, const char *bytes, size_t n, const char *name, ashlar_error *err)
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
            return error_errno(err, ASHLAR_FAILED, errno, "cannot write %s", name);
        }
    }
    return ASHLAR_OK;
}

ashlar_status output_write(int fd, const struct buf *b, const char *name, ashlar_error *err)
{
    return b->failed ? error_memory(err, b->length, name)
                     : output_bytes(fd, b->data, b->length, name, err);
}

/* /dev/null, a terminal, a pipe: what cannot be replaced by renaming a file over it. */
static bool is_special(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && !S_ISREG(info.st_mode);
}

/* Beside the output, as rename() does not cross file systems. The process's number keeps two that
 * write one file apart. */
void output_draft(const char *path, char *draft, size_t capacity)
{
    int n = is_special(path) ? -1 : snprintf(draft, capacity, "%s.%ld.tmp", path, (long)getpid());
    if (n < 0 || (size_t)n >= capacity)
        snprintf(draft, capacity, "%s", path);
}

/* A file is replaced, so that its folder has to be writable, not the file. */
ashlar_status output_check(const char *path, ashlar_error *err)
{
    char folder[4096] = ".";
    const char *slash = strrchr(path, '/');
    struct stat info;
    int why = 0;
    if (strcmp(path, "-") == 0)
        return ASHLAR_OK;
    if (slash)
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - path) + 1, path);
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        why = EISDIR;
    else if (is_special(path) ? access(path, W_OK) != 0 : access(folder, W_OK | X_OK) != 0)
        why = errno;
    return why ? error_errno(err, ASHLAR_FAILED, why, "cannot write %s", path) : ASHLAR_OK;
}

ashlar_status output_commit(const char *draft, const char *path, ashlar_error *err)
{
    if (strcmp(draft, path) == 0 || rename(draft, path) == 0)
        return ASHLAR_OK;
    int why = errno;
    unlink(draft);
    return error_errno(err, ASHLAR_FAILED, why, "cannot write %s", path);
}

void output_discard(const char *draft, const char *path)
{
    if (strcmp(draft, path) != 0)
        unlink(draft);
}

ashlar_status output_write_file(const char *path, const struct buf *b, ashlar_error *err)
{
    char draft[4096];
    output_draft(path, draft, sizeof draft);
    int fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return error_errno(err, ASHLAR_FAILED, errno, "cannot write %s", path);
    ashlar_status status = output_write(fd, b, path, err);
    /* network file systems say only here that the disk is full */
    if (close(fd) != 0 && status == ASHLAR_OK)
        status = error_errno(err, ASHLAR_FAILED, errno, "cannot write %s", path);
    if (status == ASHLAR_OK)
        return output_commit(draft, path, err);
    output_discard(draft, path);
    return status;
}
