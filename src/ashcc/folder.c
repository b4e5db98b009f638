/*
 * folder.c: see folder.h. Who is killed cannot clear up, so a second process, the guard, does it
 * always: it holds one end of a pipe whose other end only we have, so that the pipe ends when we
 * do, by whatever way.
 *
 * Invariant: the guard holds nothing that others wait for (streams, a job server's pipe) and
 * belongs to no terminal, so that what ends us all at once does not end it.
 */
#include "ashcc/folder.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OPEN_FOLDERS = 16, TRIES = 100, PAUSE_US = 50000 };

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info;
    (void)type;
    (void)where;
    remove(path);
    return 0;
}

/* Programs that we had started may still be writing there: for a while it is tried again. */
static void clear(const char *path)
{
    for (int i = 0; i < TRIES && access(path, F_OK) == 0; i++) {
        if (i)
            usleep(PAUSE_US);
        nftw(path, remove_one, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS);
    }
}

static void guard(const char *path, int lifeline)
{
    sigset_t all;
    char none;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    setsid();
    dup2(lifeline, STDIN_FILENO);
    closefrom(STDIN_FILENO + 1);
    while (read(STDIN_FILENO, &none, 1) > 0)
        ;
    clear(path);
    _exit(0);
}

static ashlar_status start_guard(struct folder *f, ashlar_error *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return error_errno(err, ASHLAR_FAILED, errno, "cannot make a pipe");
    f->guard = fork();
    int why = errno;
    if (f->guard == 0) {
        close(ends[1]);
        guard(f->path, ends[0]);
    }
    close(ends[0]);
    f->lifeline = ends[1];
    if (f->guard < 0)
        return error_errno(err, ASHLAR_FAILED, why, "cannot start a process");
    return ASHLAR_OK;
}

ashlar_status folder_make(struct folder *f, ashlar_error *err)
{
    const char *base = getenv("TMPDIR");
    *f = (struct folder){.lifeline = -1, .guard = -1};
    int n = snprintf(f->path, sizeof f->path, "%s/ashcc.XXXXXX", base && base[0] ? base : "/tmp");
    if (n < 0 || (size_t)n >= sizeof f->path || !mkdtemp(f->path)) {
        int why = errno;
        f->path[0] = '\0';
        return error_errno(err, ASHLAR_FAILED, why, "cannot make a folder in %s",
                           base ? base : "/tmp");
    }
    return start_guard(f, err);
}

void folder_remove(struct folder *f)
{
    if (f->guard < 0 && f->path[0])
        clear(f->path);
    if (f->lifeline >= 0)
        close(f->lifeline);
    while (f->guard > 0 && waitpid(f->guard, NULL, 0) < 0 && errno == EINTR)
        ;
}
