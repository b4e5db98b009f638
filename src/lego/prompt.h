/*
 * prompt.h: the prompt of general models, read from a file (share/prompts/general.txt) and filled
 * in.
 *
 * The file: sections that begin with a line "%% NAME" and hold text up to the next one. "system" is
 * the shared prefix (rules, ABI, worked examples); "user" and "repair" are the last message and may
 * hold {block}, {previous} and {finding}. Lines that begin with "%#" are comments.
 */
#ifndef LEGO_PROMPT_H
#define LEGO_PROMPT_H

#include "base/buf.h"
#include "base/error.h"
#include "lego/translator.h"

struct prompt {
    struct buf text;               /* of the file */
    struct { const char *text; size_t length; } system, user, repair;
};

/** Errors: FAILED (cannot be read), BAD_INPUT (a section is missing). NULL: the installed general
 * prompt. */
ashlar_status prompt_open(const char *path, struct prompt *out, ashlar_error *err);
void prompt_close(struct prompt *p);

/** Appends the user's message for an item: first translation or repair. */
bool prompt_fill(const struct prompt *p, const struct translation *item, struct buf *out);

/**
 * The fragment in a model's reply: the last fenced code block, else the whole text, without what a
 * chat model puts before it (<think>...</think>) and blank lines at the ends. Points into reply.
 */
void prompt_extract(const char *reply, size_t length, const char **fragment,
                    size_t *fragment_length);

#endif
