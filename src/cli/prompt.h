/*
 * prompt.h: the tokens of a prompt, in memory of the right size.
 */
#ifndef CLI_PROMPT_H
#define CLI_PROMPT_H

#include "ashlar.h"

/** Token ids that belong to the caller: free(ids). */
struct prompt {
    int32_t *ids;
    size_t n;
};

/**
 * The tokens of text to be continued as it is; control tokens written in it are recognised.
 * Errors: BAD_INPUT (no tokens at all), NO_RESOURCE.
 */
ashlar_status prompt_raw(const ashlar_engine *engine, const char *text, size_t length,
                         struct prompt *out, ashlar_error *err);

/** The tokens of a conversation up to the assistant's next turn. Errors: ashlar_chat_tokenize's. */
ashlar_status prompt_chat(const ashlar_engine *engine, const ashlar_message *messages, size_t n,
                          unsigned flags, struct prompt *out, ashlar_error *err);

#endif
