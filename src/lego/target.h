/*
 * target.h: the seam to an instruction set: everything of the composer that is not text joining. One file per
 * target; x86-64 System V is the first.
 */
#ifndef LEGO_TARGET_H
#define LEGO_TARGET_H

#include "base/buf.h"
#include "lego/ir.h"

/** A function being composed: the frame it has and where its text goes. */
struct compose {
    const struct ir_function *function;
    int64_t frame_bytes;       /* below the frame pointer, 16-byte multiple; set by the target's layout */
    int serial;                /* of the function in the file: makes labels unique, .L<serial>_<label> */
    struct buf *out;
    struct heap *heap;
};

struct target {
    const char *name; /* "x86-64" */
    /** Gives every slot its offset, and the frame its size; parameters passed in memory keep their place. */
    void (*layout)(struct compose *c);
    void (*prologue)(struct compose *c);                             /* moves parameters to their slots */
    void (*skeleton)(struct compose *c, const struct ir_instr *i);   /* CALL RETURN SWITCH VA_START LABEL JUMP BRANCH */
    void (*epilogue)(struct compose *c);
};

extern const struct target target_x86_64;

/** Label text of a function's label; valid until the next call. */
const char *compose_label(const struct compose *c, int label, char out[32]);

/**
 * The unit as an assembler file: per function its prologue, pieces (every leaf block must have its fragment) and
 * epilogue; then data, constants and file-scope asms. `cuts` is parallel to unit->functions; a function with
 * refused set is left out. debug: .loc lines.
 */
struct cut;
ashlar_status compose_unit(const struct target *target, const struct ir_unit *unit,
                           const struct cut *cuts, bool debug, struct buf *out, ashlar_error *err);

#endif
