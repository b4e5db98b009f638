/*
 * translator.h: the seam to whatever turns a block into assembly: the embedded model, an endpoint,
 * a recorded transcript; in tests, scripted mistakes. A translator is asked for many blocks at once
 * and need not answer all. Its answers are untrusted text.
 */
#ifndef LEGO_TRANSLATOR_H
#define LEGO_TRANSLATOR_H

#include "base/buf.h"
#include "lego/block.h"

struct translation {
    const struct block *block;
    int sample;             /* 0: the most likely answer; later ones at rising temperature */
    const char *previous;   /* repair: the rejected fragment; NULL: a first translation */
    const char *finding;    /* repair: why it was rejected, with values */
    struct buf answer;      /* out: the fragment; initialised by the caller; empty: none */
    char note[128];         /* out: provenance or why there is no answer */
};

struct translator {
    const char *kind;                    /* "model", "http", "replay" */
    char name[96];                       /* of the model or file: recorded as provenance */
    enum granularity good_at;            /* coarsest granularity its card recommends */
    int at_once;                         /* translations it works on side by side */
    bool (*stopped)(void);               /* not NULL: asked while waiting; true ends it with
                                            CANCELLED. Set by whoever opened the translator */
    ashlar_status (*translate)(struct translator *t, struct translation *items, int n,
                               ashlar_error *err);
    void (*close)(struct translator *t); /* frees t */
};

/**
 * Answers from a transcript: JSON lines {"key": K or "block": TEXT, "fragment": F, "sample": N};
 * the n-th sample of a block is its n-th line. BAD_INPUT names file and line.
 */
ashlar_status translator_replay_open(const char *path, struct translator **out, ashlar_error *err);

/** The same from text; `name` for messages and provenance. */
ashlar_status translator_replay_parse(const char *name, const char *text, size_t length,
                                      struct translator **out, ashlar_error *err);

struct http_options {
    const char *endpoints[16]; /* base URLs, "http://host:8080/v1" */
    int n_endpoints;
    const char *model;
    const char *key_variable;  /* environment variable that holds the key; NULL: none */
    const char *prompt;        /* path of the prompt file; NULL: the installed one */
    int jobs;                  /* requests at once, over all endpoints */
    int retries;               /* of one request, on another endpoint where there is one */
    float temperature;         /* of samples after the first */
    int max_tokens;            /* of an answer */
    double timeout_seconds;    /* of one request */
    double backoff_seconds;    /* before the first retry; doubles with each */
};
void http_options_init(struct http_options *options);

/**
 * OpenAI chat completions over libcurl: POST endpoint/chat/completions. An item whose request
 * failed for good has no answer and says why in its note. Errors of translate: FAILED when no
 * request at all was answered (the first one's reason; the key is never in it), CANCELLED. Errors
 * of open: USAGE, FAILED (prompt file), BAD_INPUT (prompt file).
 */
ashlar_status translator_http_open(const struct http_options *options, struct translator **out,
                                   ashlar_error *err);

/**
 * A GGUF model run in process through ashlar.h. A model with a chat template gets the general
 * prompt (the file `prompt`; NULL: the installed one); another is asked in the language of
 * model_text.h. good_at comes from the card beside it (MODEL.md, a line "granularity: NAME");
 * STATEMENT without one. threads 0: one per core. Errors: as ashlar_engine_open and prompt_open.
 */
ashlar_status translator_model_open(const char *path, int threads, const char *prompt,
                                    struct translator **out, ashlar_error *err);

#endif
