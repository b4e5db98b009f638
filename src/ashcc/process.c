/*
 * process.c: see process.h. Children are in our process group, so that a terminal's Ctrl-C reaches
 * them too; a signal that came to us alone is handed on. Whatever happens, we wait for the child:
 * files that it was writing are removed by those who named them.
 */
#include "ashcc/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static volatile sig_atomic_t n_signals, orphaned;

static void on_signal(int number)
{
    (void)number;
    if (n_signals)
        _exit(ASHLAR_CANCELLED);
    n_signals = 1;
}

void process_catch_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
    action.sa_handler = on_signal;
    for (int i = 0; i < 3; i++) {
        struct sigaction old;
        /* Somebody may have had us ignore it (nohup). */
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL);
    }
}

/* Unlike a user's second signal it asks for no haste. */
static void on_orphaned(int number)
{
    (void)number;
    orphaned = n_signals = 1;
}

void process_follow_parent(pid_t parent)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = on_orphaned;
    sigaction(SIGUSR1, &action, NULL);
    prctl(PR_SET_PDEATHSIG, SIGUSR1);
    if (getppid() != parent)
        on_orphaned(0); /* it was killed before we asked to be told */
}

bool process_orphaned(void)
{
    return orphaned != 0;
}

bool process_interrupted(void)
{
    return n_signals != 0;
}

static void show(const struct words *command)
{
    for (int i = 0; i < command->n; i++) {
        const char *word = command->items[i];
        bool plain = word[0] && !word[strcspn(word, " \t\n'\"\\$&|;<>()*?[]`#~")];
        fprintf(stderr, plain ? " %s" : " '%s'", word);
    }
    fputc('\n', stderr);
}

static ashlar_status wait_for(pid_t pid, int *code, ashlar_error *err)
{
    int state;
    bool told = false;
    while (waitpid(pid, &state, 0) < 0) {
        if (errno != EINTR)
            return error_errno(err, ASHLAR_FAILED, errno, "waiting for a program");
        if (n_signals && !told) {
            kill(pid, SIGTERM);
            told = true;
        }
    }
    *code = WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
    if (n_signals)
        return error_set(err, ASHLAR_CANCELLED, "interrupted");
    return ASHLAR_OK;
}

ashlar_status process_run(const struct words *command, struct process_mode mode, int *code,
                          ashlar_error *err)
{
    pid_t pid;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t defaults;

    *code = 0;
    if (command->failed)
        return error_memory(err, 0, "a command line");
    if (n_signals)
        return error_set(err, ASHLAR_CANCELLED, "interrupted");
    if (mode.show)
        show(command);
    if (mode.dry)
        return ASHLAR_OK;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE); /* ignored here only */
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    if (mode.output)
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, mode.output,
                                         O_WRONLY | O_CREAT | O_TRUNC, 0666);
    int failure = posix_spawnp(&pid, command->items[0], &actions, &attributes,
                               (char **)command->items, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (failure)
        return error_errno(err, ASHLAR_FAILED, failure, "cannot run %s", command->items[0]);
    return wait_for(pid, code, err);
}

ashlar_status process_become(const struct words *command, ashlar_error *err)
{
    if (command->failed)
        return error_memory(err, 0, "a command line");
    execvp(command->items[0], (char **)command->items);
    return error_errno(err, ASHLAR_FAILED, errno, "cannot run %s", command->items[0]);
}

ashlar_status process_folder_make(char *path, size_t capacity, ashlar_error *err)
{
    const char *base = getenv("TMPDIR");
    int n = snprintf(path, capacity, "%s/ashcc.XXXXXX", base && base[0] ? base : "/tmp");
    if (n < 0 || (size_t)n >= capacity || !mkdtemp(path)) {
        int why = errno;
        path[0] = '\0';
        return error_errno(err, ASHLAR_FAILED, why, "cannot make a folder in %s",
                           base ? base : "/tmp");
    }
    return ASHLAR_OK;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info;
    (void)type;
    (void)where;
    remove(path);
    return 0;
}

void process_folder_remove(const char *path)
{
    if (path[0])
        nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
