/* process.h: running other programs, and Ctrl-C. */
#ifndef ASHCC_PROCESS_H
#define ASHCC_PROCESS_H

#include "ashcc/words.h"
#include "base/buf.h"
#include "base/error.h"

#include <stddef.h>
#include <sys/types.h>

/** SIGINT, SIGTERM and SIGHUP set a flag from here on; a second one leaves at once. SIGPIPE is
 * ignored. */
void process_catch_signals(void);
bool process_interrupted(void);

/** From here on the end of the process that started us, whose number is `parent`, counts as an
 * interruption. (getppid() alone does not tell: while a killed parent's threads end one by one, its
 * number stays.) */
void process_follow_parent(pid_t parent);

struct process_mode {
    bool show;        /* print the command on stderr first */
    bool dry;         /* and do not run it */
    struct buf *output; /* not NULL: standard output is appended to it */
};

/**
 * Runs command->items[0] (looked for in PATH) and waits. *code is its exit status, 128 + N when
 * signal N ended it, 0 in a dry run. Errors: FAILED (cannot be run), CANCELLED (interrupted
 * meanwhile).
 */
ashlar_status process_run(const struct words *command, struct process_mode mode, int *code,
                          ashlar_error *err);

/** Becomes the command; returns only on failure. */
ashlar_status process_become(const struct words *command, ashlar_error *err);

#endif
