/*
 * chat_loop.h: the interactive side of `ashlar run`.
 */
#ifndef CLI_CHAT_LOOP_H
#define CLI_CHAT_LOOP_H

#include "cli/generate.h"
#include "cli/report.h"

struct chat_loop_options {
    bool chat;          /* a conversation by the template; else each line is text to continue */
    bool quiet;
    unsigned flags;     /* ASHLAR_CHAT_* besides ASHLAR_CHAT_PROMPT */
    const char *system; /* NULL: none */
};

/** Read lines from stdin until it ends or /quit; returns the exit code. */
int chat_loop(struct generator *g, const struct chat_loop_options *options,
              const struct report *report);

#endif
