/* ui.c: see ui.h. */
#include "ashcc/ui.h"

#include "ashcc/process.h"
#include "ashcc/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The exit code of a status is its number: ashlar.h chose them so. */
int ui_fail(const ashlar_error *err)
{
    fprintf(stderr, "ashcc: %s\n", err->message[0] ? err->message : "failed");
    if (err->hint[0])
        fprintf(stderr, "hint: %s\n", err->hint);
    return (int)err->status;
}

void ui_warn(const char *format, ...)
{
    char text[1024];
    va_list args;
    if (settings.quiet)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "ashcc: warning: %s\n", text);
}

ashlar_status ui_write(int fd, const struct buf *b, const char *name, ashlar_error *err)
{
    const char *at = b->data;
    size_t left = b->length;
    if (b->failed)
        return error_memory(err, b->length, name);
    while (left > 0) {
        ssize_t n = write(fd, at, left);
        /* a signal that only asked us to stop later */
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, ASHLAR_FAILED, errno, "cannot write %s", name);
        at += n;
        left -= (size_t)n;
    }
    return ASHLAR_OK;
}

/* /dev/null, a terminal, a pipe: what cannot be replaced by renaming a file over it. */
static bool is_special(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && !S_ISREG(info.st_mode);
}

/* Beside the output, as rename() does not cross file systems. The process's number keeps two
 * compilations of one file apart. */
void ui_draft(const char *path, char *draft, size_t capacity)
{
    int n = is_special(path) ? -1 : snprintf(draft, capacity, "%s.%ld.tmp", path, (long)getpid());
    if (n < 0 || (size_t)n >= capacity)
        snprintf(draft, capacity, "%s", path);
}

/* A file is replaced, so that its folder has to be writable, not the file. */
ashlar_status ui_check_output(const char *path, ashlar_error *err)
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

ashlar_status ui_commit(const char *draft, const char *path, ashlar_error *err)
{
    if (strcmp(draft, path) == 0 || rename(draft, path) == 0)
        return ASHLAR_OK;
    int why = errno;
    unlink(draft);
    return error_errno(err, ASHLAR_FAILED, why, "cannot write %s", path);
}

void ui_discard(const char *draft, const char *path)
{
    if (strcmp(draft, path) != 0)
        unlink(draft);
}

ashlar_status ui_write_file(const char *path, const struct buf *b, ashlar_error *err)
{
    char draft[4096];
    ui_draft(path, draft, sizeof draft);
    int fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return error_errno(err, ASHLAR_FAILED, errno, "cannot write %s", path);
    ashlar_status status = ui_write(fd, b, path, err);
    /* network file systems say only here that the disk is full */
    if (close(fd) != 0 && status == ASHLAR_OK)
        status = error_errno(err, ASHLAR_FAILED, errno, "cannot write %s", path);
    if (status == ASHLAR_OK)
        return ui_commit(draft, path, err);
    ui_discard(draft, path);
    return status;
}

/* The bar is taken off the line first; the next progress draws it again. */
static void on_log(void *user, ashlar_log_level level, const char *line)
{
    if (level < ASHLAR_LOG_WARN)
        return;
    progress_clear(user);
    ui_warn("%s", line);
}

/* Its answer is how an interrupt reaches a model that is running. */
static bool on_progress(void *user, const char *what, uint64_t done, uint64_t total)
{
    if (!settings.quiet) {
        progress_update(user, what, done, total);
        if (done >= total)
            progress_clear(user);
    }
    return !process_interrupted();
}

struct log ui_log(struct progress_bar *bar)
{
    progress_init(bar, STDERR_FILENO);
    return (struct log){
        .fn = on_log, .fn_user = bar, .progress = on_progress, .progress_user = bar};
}
