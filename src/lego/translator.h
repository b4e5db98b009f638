/*
 * translator.h: the seam to whatever turns a block into assembly: the embedded model, an endpoint, a
 * recorded transcript; in tests, scripted mistakes. A translator is asked for many blocks at once and need not
 * answer all. Its answers are untrusted text.
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
    ashlar_status (*translate)(struct translator *t, struct translation *items, int n,
                               ashlar_error *err);
    void (*close)(struct translator *t); /* frees t */
};

/**
 * Answers from a transcript: JSON lines {"key": K or "block": TEXT, "fragment": F, "sample": N}; the n-th
 * sample of a block is its n-th line. BAD_INPUT names file and line.
 */
ashlar_status translator_replay_open(const char *path, struct translator **out, ashlar_error *err);

struct http_options {
    const char *endpoints[16]; /* base URLs, "http://host:8080/v1" */
    int n_endpoints;
    const char *model;
    const char *key_variable;  /* environment variable that holds the key; NULL: none */
    const char *prompt;        /* path of the prompt file; NULL: the installed one */
    int jobs;                  /* requests at once */
    int retries;
    float temperature;         /* of samples after the first */
};
/** OpenAI chat completions over libcurl. */
ashlar_status translator_http_open(const struct http_options *options, struct translator **out,
                                   ashlar_error *err);

/** A GGUF model run in process through ashlar.h; prompts are the normalised block alone. */
ashlar_status translator_model_open(const char *path, int threads, struct translator **out,
                                    ashlar_error *err);

#endif
