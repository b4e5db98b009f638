/*
 * verify.h: is a fragment a right translation of its block? Levels, each including those before it
 * (docs/verify.md says what each means, and what it does not):
 *
 *   LINTED     obeys the composability conditions
 *   ASSEMBLED  and is assembled by LLVM
 *   TESTED     and agreed with the block's C on n entry states in an emulator
 *   (PROVED    for every state, by a solver: a later level)
 */
#ifndef LEGO_VERIFY_H
#define LEGO_VERIFY_H

#include "lego/block.h"

enum verify_level {
    VERIFY_REJECTED,
    VERIFY_LINTED,
    VERIFY_ASSEMBLED,
    VERIFY_TESTED,
    VERIFY_PROVED
};

enum { VERIFY_VERSION = 2 }; /* part of the cache's key: rises when acceptance changes */

struct verdict {
    enum verify_level level;    /* the highest reached */
    bool accepted;              /* reached what was asked for */
    int vectors;                /* states compared */
    int discarded;              /* states on which the C is undefined */
    int outcomes, outcomes_seen; /* of the block's branches (two each, 256 told apart): how many
                                   there are, and how many the states compared took */
    enum verify_level failed_at; /* when not accepted: the level that failed */
    char message[1024]; /* then: the lint's finding, the assembler's message, or entry state,
                           expected and got values, as a repair prompt and --explain show it */
};

struct verify_options {
    enum verify_level level;    /* ASSEMBLED or TESTED */
    int vectors;                /* states wanted per block */
    uint64_t seed;
    const char *cc;             /* host compiler of the reference: "cc" */
    bool keep;                  /* keep the reference's files (debugging) */
};

struct verifier;

ashlar_status verifier_new(const struct verify_options *options, struct verifier **out,
                           ashlar_error *err);
void verifier_free(struct verifier *v);

/**
 * Builds the references of blocks (those not yet known by key), all in one run of the host
 * compiler, and loads them into the sandboxed child. Called with as many blocks at once as are
 * known.
 */
ashlar_status verifier_prepare(struct verifier *v, struct block *const *blocks, int n,
                               ashlar_error *err);

/**
 * Checks one fragment of a prepared block. OK also when it is not accepted: see the verdict. Other
 * statuses are failures of the machinery.
 */
ashlar_status verifier_check(struct verifier *v, const struct block *block, const char *fragment,
                             size_t length, struct verdict *verdict, ashlar_error *err);

const char *verify_level_name(enum verify_level level); /* "tested", ... */

#endif
