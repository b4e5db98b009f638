/*
 * generate.h: from prompt tokens to text: evaluate what the session does not hold yet, then sample,
 * print and evaluate until something ends it. `ashlar run` and the chat loop are built on it.
 */
#ifndef CLI_GENERATE_H
#define CLI_GENERATE_H

#include "ashlar.h"
#include "cli/stop.h"

enum stop_reason {
    STOP_END,       /* the model made an end token */
    STOP_LENGTH,    /* max_tokens are made */
    STOP_STRING,    /* a stop string appeared */
    STOP_CONTEXT,   /* the context is full */
    STOP_INTERRUPT, /* Ctrl-C */
};

/** "end", "length", "stop", "context", "interrupt". */
const char *stop_reason_name(enum stop_reason reason);

/** What one call of generate did. */
struct generation {
    size_t n_prompt;    /* tokens of the prompt */
    size_t n_prefill;   /* of these, evaluated now (the others were in the session) */
    size_t n_generated; /* tokens made, the end token not counted */
    size_t n_decode;    /* of these, evaluated one by one */
    double prefill_s, decode_s;
    enum stop_reason reason;
};

/** Everything that lives across the turns of one conversation. */
struct generator {
    ashlar_engine *engine;
    ashlar_session *session;
    ashlar_sampler *sampler;
    int max_tokens;  /* -1: no limit but the context */
    int out_fd;      /* where text is streamed to; -1: only kept */
    struct stop_filter stops;
    ashlar_utf8_stream utf8;
    struct buf text;    /* all text of the last generation */
    struct buf fresh;   /* text that one token let through */
    char *piece;        /* (piece_capacity) whole characters of one token */
    size_t piece_capacity;
    int32_t *ids;       /* (n_ctx) tokens of the last generation */
};

struct generator_options {
    ashlar_sampler_options sampler;
    int max_tokens;
    int out_fd;
    const char *const *stops; /* (n_stops), borrowed until generator_fini */
    int n_stops;
};

/**
 * Open a session and a sampler, take all memory. Errors: USAGE (sampling options), NO_RESOURCE.
 * After a failure generator_fini is still allowed, and needed.
 */
ashlar_status generator_init(struct generator *g, ashlar_engine *engine,
                             const struct generator_options *options, ashlar_error *err);
void generator_fini(struct generator *g);

/**
 * Make the session hold exactly `prompt` (n ids, at least one), keeping the part that it holds
 * already, then generate. Ctrl-C is not an error: the reason says so, text so far is kept.
 * Errors: NO_RESOURCE (the prompt does not fit), FAILED (output), those of ashlar_session_append.
 */
ashlar_status generate(struct generator *g, const int32_t *prompt, size_t n,
                       struct generation *result, ashlar_error *err);

#endif
