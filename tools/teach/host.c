/*
 * host.c: runs the host compiler on a batch. Files live in a folder of their own under TMPDIR,
 * removed in any case. A block that the compiler rejects is found by the file name in its message.
 */
#include "teach.h"

#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Registers that a fragment must not write are out of the compiler's reach; r10, r11, xmm14 and
   xmm15 are for rewriting. */
#define COMMON                                                                                     \
    "-S", "-w", "-std=gnu11", "-fPIE", "-fvisibility=hidden", "-fno-strict-aliasing", "-fwrapv",   \
        "-ffp-contract=off", "-fno-delete-null-pointer-checks", "-fno-stack-protector",            \
        "-fcf-protection=none", "-fno-asynchronous-unwind-tables", "-fno-jump-tables",             \
        "-fno-omit-frame-pointer", "-fno-builtin", "-fno-tree-vectorize",                          \
        "-fno-tree-loop-distribute-patterns", "-ffixed-rbx", "-ffixed-r10", "-ffixed-r11",         \
        "-ffixed-r12", "-ffixed-r13", "-ffixed-r14", "-ffixed-r15", "-ffixed-xmm14",               \
        "-ffixed-xmm15"

const struct attempt attempts[] = {
    {"O0", {COMMON, "-O0", NULL}},
    {"Og", {COMMON, "-Og", NULL}},
    {"O1", {COMMON, "-O1", NULL}},
};
const int n_attempts = sizeof attempts / sizeof *attempts;

extern char **environ;

static ashlar_status write_file(const char *path, const char *bytes, size_t n, ashlar_error *err)
{
    FILE *f = fopen(path, "w");
    bool good = f && fwrite(bytes, 1, n, f) == n;
    if (f && fclose(f) != 0)
        good = false;
    return good ? ASHLAR_OK : error_errno(err, ASHLAR_FAILED, errno, "%s: cannot write", path);
}

/** Runs cc in the folder, its messages into messages.txt there; *code is its exit code. */
static ashlar_status run_compiler(const char *cc, const char *folder, const struct attempt *attempt,
                                  int *code, ashlar_error *err)
{
    const char *argv[64] = {cc};
    int n = 1;
    for (int i = 0; attempt->flags[i]; i++)
        argv[n++] = attempt->flags[i];
    argv[n++] = "-o";
    argv[n++] = "batch.s";
    argv[n++] = "batch.c";
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, folder);
    posix_spawn_file_actions_addopen(&actions, 2, "messages.txt", O_WRONLY | O_CREAT | O_TRUNC,
                                     0600);
    pid_t pid;
    int failed = posix_spawnp(&pid, cc, &actions, NULL, (char **)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed)
        return error_errno(err, ASHLAR_FAILED, failed, "%s: cannot run", cc);
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return error_errno(err, ASHLAR_FAILED, errno, "%s: lost", cc);
    *code = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
    return ASHLAR_OK;
}

/** Gives the reason to every lesson named in the messages; how many there were. */
static int note_rejected(const char *messages, struct lesson **lessons, int n)
{
    int found = 0;
    for (const char *line = messages; line;
         line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        int index, row, column;
        if (sscanf(line, "b%d:%d:%d: error:", &index, &row, &column) != 3 || index < 0 ||
            index >= n || lessons[index]->reason[0])
            continue;
        const char *what = strstr(line, "error: ") + 7;
        snprintf(lessons[index]->reason, sizeof lessons[index]->reason, "line %d of the body: %.*s",
                 row, (int)strcspn(what, "\n"), what);
        found++;
    }
    return found;
}

static ashlar_status compile_in(const char *folder, const char *cc, const struct attempt *attempt,
                                const struct buf *source, struct lesson **lessons, int n,
                                struct buf *out, bool *rejected, ashlar_error *err)
{
    char path[300];
    snprintf(path, sizeof path, "%s/batch.c", folder);
    ashlar_status status = write_file(path, source->data, source->length, err);
    int code = 0;
    if (status == ASHLAR_OK)
        status = run_compiler(cc, folder, attempt, &code, err);
    if (status != ASHLAR_OK)
        return status;
    buf_clear(out);
    snprintf(path, sizeof path, "%s/%s", folder, code ? "messages.txt" : "batch.s");
    status = os_read_file(path, out, err);
    if (status != ASHLAR_OK || code == 0)
        return status;
    *rejected = true;
    if (note_rejected(out->data ? out->data : "", lessons, n) == 0)
        return error_set(err, ASHLAR_FAILED, "%s failed: %.200s", cc, out->data ? out->data : "");
    return ASHLAR_OK;
}

static void remove_folder(const char *folder)
{
    static const char *const names[] = {"batch.c", "batch.s", "messages.txt"};
    char path[300];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

ashlar_status host_compile(const char *cc, const struct attempt *attempt, const struct buf *source,
                           struct lesson **lessons, int n, struct buf *out, bool *rejected,
                           ashlar_error *err)
{
    const char *base = getenv("TMPDIR");
    char folder[256];
    snprintf(folder, sizeof folder, "%.200s/teacher.XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(folder))
        return error_errno(err, ASHLAR_FAILED, errno, "%s: cannot create", folder);
    *rejected = false;
    ashlar_status status = compile_in(folder, cc, attempt, source, lessons, n, out, rejected, err);
    remove_folder(folder);
    return status;
}
