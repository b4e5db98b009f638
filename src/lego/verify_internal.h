/*
 * verify_internal.h: the verifier in four files: verify.c (levels), verify_states.c (entry states
 * with what the C makes of them), verify_compare.c (is a run the same, and if not, in which words),
 * verify_literals.c (the same again with other literals).
 */
#ifndef LEGO_VERIFY_INTERNAL_H
#define LEGO_VERIFY_INTERNAL_H

#include "lego/assemble.h"
#include "lego/emulate.h"
#include "lego/fragment.h"
#include "lego/reference.h"
#include "lego/state.h"
#include "lego/verify.h"

/**
 * Entry states of one block on which its C is defined, with the final images. Kept for the last
 * block, since samples and repairs of a block are checked one after the other.
 */
struct vectors {
    uint64_t identity; /* of block text, literals and constants; 0: none */
    struct state_layout layout;
    struct state_hints hints;
    struct reference_result *results; /* (n) */
    int n, discarded;
    int reasons[REFERENCE_CRASHED + 1]; /* discarded, by outcome */
    int outcomes, outcomes_seen;        /* of branches */
    unsigned char *inputs, *outputs; /* (n, layout.size) in the references' memory */
    unsigned char *free;             /* the rest of that memory */
};

struct verifier {
    struct verify_options options;
    struct references *references;
    struct assembler *assembler;
    struct emulator *emulator;
    struct vectors vectors;
};

/** Makes v->vectors those of block. Errors: of references_run; NO_RESOURCE when it is too large to
 * run. */
ashlar_status vectors_collect(struct verifier *v, const struct block *block, ashlar_error *err);
void vectors_fini(struct vectors *vectors);

/** States of a variant of the block (verify_literals.c); room for them is behind the others. */
enum { VECTORS_VARIANT = 24 };

/** Least number of states that count as tested, of `wanted`. */
int vectors_least(int wanted);

/**
 * Whether the run on state i ended as the C did, in `image`; if not, message (room bytes) says how
 * it differs. *nan_differences counts NaN bits let pass.
 */
bool compare_run(const struct verifier *v, const struct block *block, int i,
                 const struct emulate_registers *entry, const struct emulate_result *result,
                 const unsigned char *image, char *message, size_t room);

/**
 * Assembles a linted fragment for block and v->vectors, loads it, runs it on every state. *agrees:
 * none differed; else message (room bytes) tells of the first that did, and *ran counts it. Errors:
 * BAD_INPUT: the assembler's, in err; those of the emulator.
 */
ashlar_status verify_run(struct verifier *v, const struct fragment *f, const struct block *block,
                         bool *agrees, int *ran, char *message, size_t room, ashlar_error *err);

/**
 * A fragment that agreed with the literals of this block, with others, as it will be used for.
 * *agrees and message as above. Where no state is defined, or the fragment cannot be
 * written with such a literal, nothing is said against it. v->vectors stay the block's.
 */
ashlar_status verify_literals(struct verifier *v, const struct fragment *f,
                              const struct block *block, bool *agrees, char *message, size_t room,
                              ashlar_error *err);

#endif
