/*
 * state.h: entry states of a block: where its operands lie in the memory image in which reference
 * and fragment both run, and what values the image holds. Internal to the verifier.
 *
 * The image is one run of bytes mapped at IMAGE_AT in the emulator and in the reference's process:
 *
 *     guard | data and constants | guard | arena | guard, scratch | rsp ... slots ... rbp | guard
 *
 * Operands lie in random order with random bytes of at least 16 between them, so that a store that
 * is too wide or misplaced changes bytes that nobody may change. Pointers hold addresses of the
 * arena, now and then of an operand. The arena has zones: each holds values of one type that the
 * block accesses, the last a mixture; pointers mostly point at a zone of the type that they are
 * used for, so that chains p->next->x work.
 */
#ifndef LEGO_STATE_H
#define LEGO_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/rng.h"
#include "lego/block.h"

/** Far above 32 bits: a pointer cut to 32 bits faults. Code and image are within 2 GiB of each
 * other. The image's second page begins at a multiple of 4 GiB: where the upper half of a pointer
 * has to change when it moves on. */
#define STATE_CODE_AT 0x6a5ad0000000u
#define STATE_FUNCTIONS_AT 0x6a5ad8000000u /* unmapped; function N is at + 64 N */
#define STATE_IMAGE_AT 0x6a5afffff000u

enum { STATE_MAX_IMAGE = 64 << 20, STATE_MAX_OPERANDS = 4096, STATE_PAGE = 4096 };

enum { STATE_ZONES = 8 }; /* of the arena, of equal size */
enum { STATE_MIXES = 5 }; /* classes of states, from tame to wild */

/** A place inside a large operand that the block accesses by a number: *(int *)(v2 + 8). */
struct state_place {
    int operand;
    uint32_t offset;
    enum ir_type type;
};

/** What the block's text tells about the values worth trying. */
struct state_hints {
    unsigned types;       /* bit per ir_type: what is loaded and stored through pointers */
    int64_t constants[64]; /* integers of the text and literals */
    int n_constants;
    unsigned stored;      /* of them, those that are stored */
    bool reaches;         /* loads or stores through pointers, not only inside operands by name */
    struct state_place places[64];
    int n_places;
    bool rounds;          /* converts to float or double */
};

struct state_layout {
    size_t size;          /* of the image, in whole pages */
    size_t arena, arena_bytes;
    size_t carry;         /* offset of a multiple of 4 GiB in the arena; 0: there is none */
    size_t rbp, rsp;      /* offsets in the image */
    uint32_t *offsets;    /* (n_operands) of slots, statics and constants in the image */
    uint64_t *addresses;  /* (n_operands) of everything but literals */
    int64_t *sizes;       /* (n_operands) as laid out: at least 1 where the block's is unknown */
    unsigned *accesses;   /* (n_operands) bit per ir_type: accessed as *(T *)(operand ...) */
    int n_targets;        /* operands that a pointer may point at */
    int *targets;
};

/**
 * Reads the hints and lays the operands out. Errors: NO_RESOURCE (memory, or the operands are
 * larger than an image can be). Free with state_layout_fini.
 */
ashlar_status state_layout_init(struct state_layout *l, const struct block *block, struct rng *rng,
                                struct state_hints *hints, ashlar_error *err);
void state_layout_fini(struct state_layout *l);

/**
 * Fills image (layout->size) with an entry state of class `mix` (0 .. STATE_MIXES - 1).
 * `background` are the bytes that nothing is put into (layout->size), filled once by the caller.
 */
void state_fill(const struct state_layout *l, const struct block *block,
                const struct state_hints *hints, int mix, const unsigned char *background,
                unsigned char *image, struct rng *rng);

/**
 * Makes an entry state of class `mix` out of another one of that class, in image: operands get new
 * values, large objects and the arena in part. Nearly as different as a new one, for a fraction of
 * the time.
 */
void state_renew(const struct state_layout *l, const struct block *block,
                 const struct state_hints *hints, int mix, unsigned char *image, struct rng *rng);

/**
 * Changes an entry state a little: a value or two of operands or of the arena get new values, often
 * those of others or one more or less. For states near one that took a rare path.
 */
void state_change(const struct state_layout *l, const struct block *block,
                  const struct state_hints *hints, int mix, unsigned char *image, struct rng *rng);

/** A value of a type at a place as text: "-5", "0x1p+3", "arena+24", "&v2". */
struct buf;
void state_print_value(const struct state_layout *l, const struct block *block, enum ir_type type,
                       const unsigned char *at, struct buf *out);

#endif
