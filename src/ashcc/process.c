/*
 * process.c: see process.h. Children are in our process group, so that a terminal's Ctrl-C reaches
 * them too; a signal that came to us alone is handed on. Whatever happens, we wait for the child:
 * files that it was writing are removed by those who named them.
 */
#include "ashcc/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t n_signals;

/* The first signal is noted, and looked for between steps; the second one does not wait. */
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
    /* a write says EPIPE then, and is reported like any other failure */
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
    n_signals = 1;
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

/* Hands a signal that came since on, once. */
static void pass_on(pid_t pid, bool *told)
{
    if (n_signals && !*told)
        kill(pid, SIGTERM);
    *told = n_signals;
}

/* All that comes out of a pipe; what is too much for out is lost (out->failed). */
static void drain(int fd, pid_t pid, bool *told, struct buf *out)
{
    char bytes[16 << 10];
    ssize_t n;
    /* to the end also when out is full: the child must not block on a pipe that nobody empties */
    while ((n = read(fd, bytes, sizeof bytes)) > 0 || (n < 0 && errno == EINTR)) {
        pass_on(pid, told);
        if (n > 0)
            buf_append(out, bytes, (size_t)n);
    }
}

static ashlar_status wait_for(pid_t pid, bool told, int *code, ashlar_error *err)
{
    int state;
    while (waitpid(pid, &state, 0) < 0) {
        if (errno != EINTR)
            return error_errno(err, ASHLAR_FAILED, errno, "waiting for a program");
        pass_on(pid, &told);
    }
    /* as shells count */
    *code = WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
    if (n_signals)
        return error_set(err, ASHLAR_CANCELLED, "interrupted");
    return ASHLAR_OK;
}

/* output: a descriptor that becomes standard output, -1 for ours. */
static ashlar_status start(const struct words *command, int output, pid_t *pid, ashlar_error *err)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t defaults;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE); /* ignored here only */
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    if (output >= 0)
        posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    int failure = posix_spawnp(pid, command->items[0], &actions, &attributes,
                               (char **)command->items, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (failure)
        return error_errno(err, ASHLAR_FAILED, failure, "cannot run %s", command->items[0]);
    return ASHLAR_OK;
}

ashlar_status process_run(const struct words *command, struct process_mode mode, int *code,
                          ashlar_error *err)
{
    int ends[2] = {-1, -1};
    pid_t pid;
    bool told = false;

    *code = 0;
    if (command->failed)
        return error_memory(err, 0, "a command line");
    if (n_signals)
        return error_set(err, ASHLAR_CANCELLED, "interrupted");
    if (mode.show)
        show(command);
    if (mode.dry)
        return ASHLAR_OK;
    if (mode.output && pipe2(ends, O_CLOEXEC) != 0)
        return error_errno(err, ASHLAR_FAILED, errno, "cannot make a pipe");
    ashlar_status status = start(command, ends[1], &pid, err);
    if (mode.output)
        close(ends[1]);
    if (mode.output && status == ASHLAR_OK)
        drain(ends[0], pid, &told, mode.output);
    if (mode.output)
        close(ends[0]);
    return status == ASHLAR_OK ? wait_for(pid, told, code, err) : status;
}

ashlar_status process_become(const struct words *command, ashlar_error *err)
{
    if (command->failed)
        return error_memory(err, 0, "a command line");
    execvp(command->items[0], (char **)command->items);
    return error_errno(err, ASHLAR_FAILED, errno, "cannot run %s", command->items[0]);
}
