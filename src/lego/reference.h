/*
 * reference.h: what a block means: its C text compiled by the host compiler, run on memory images
 * in a sandboxed child. States on which the C is undefined are found by trapping checks (UBSan) and
 * faults. Internal to the verifier.
 */
#ifndef LEGO_REFERENCE_H
#define LEGO_REFERENCE_H

#include "lego/block.h"
#include "lego/state.h"

struct references;

enum reference_outcome {
    REFERENCE_LEFT,      /* by exit `exit`: 0 the end, N label xN */
    REFERENCE_UNDEFINED, /* a trap: overflow, division by zero, shift count, conversion */
    REFERENCE_FAULT,     /* memory outside of the image */
    REFERENCE_ENDLESS,   /* more than REFERENCE_FUEL labels passed */
    REFERENCE_CRASHED    /* the child died of it */
};

enum { REFERENCE_FUEL = 3000, REFERENCE_MAX_STATES = 8192 };
enum { REFERENCE_OUTCOMES = 256 }; /* of branches that are told apart (reference_text.h) */

struct reference_result {
    enum reference_outcome outcome;
    int exit;
    int labels; /* passed */
    unsigned long seen[REFERENCE_OUTCOMES / 64]; /* branch outcomes */
};

/** cc: the host compiler. keep: leave the C files in the temporary folder (debugging). */
ashlar_status references_new(const char *cc, bool keep, struct references **out, ashlar_error *err);
void references_free(struct references *r);

/**
 * Compiles those of blocks that are not known yet. Errors: FAILED: the compiler cannot be run or
 * rejects a block (its message); NO_RESOURCE.
 */
ashlar_status references_add(struct references *r, struct block *const *blocks, int n,
                             ashlar_error *err);
bool references_has(const struct references *r, const char *key);

/**
 * Memory shared with the child, reference_room() bytes: put entry images there and let the child
 * write final ones.
 */
unsigned char *references_memory(struct references *r);
size_t references_room(void);

/**
 * Runs the block on n entry images (n <= REFERENCE_MAX_STATES), image i at inputs + i *
 * layout->size, its final image at outputs + the same. inputs and outputs lie in
 * references_memory(). Errors: FAILED: no child can be started, or it hangs.
 */
ashlar_status references_run(struct references *r, const struct block *block,
                             const struct state_layout *layout, int n, const unsigned char *inputs,
                             unsigned char *outputs, struct reference_result *results,
                             ashlar_error *err);

#endif
