/*
 * target.h: the seam to an instruction set: everything of the composer that is not text joining.
 * One file per target; x86-64 System V is the first. Also the frame, which all targets lay out
 * alike: slots below the frame pointer, the area of outgoing stack arguments at the bottom.
 */
#ifndef LEGO_TARGET_H
#define LEGO_TARGET_H

#include <limits.h>

#include "base/buf.h"
#include "lego/ir.h"

/** The pieces of a function, in the order of emission, in which a slot may hold a value that
 * counts. */
struct frame_life {
    int first, last; /* last -1: none */
};
#define FRAME_ALWAYS ((struct frame_life){0, INT_MAX})

/** A home below the frame pointer: an object's, or one of the target's own. */
struct frame_slot {
    const char *name;
    int64_t size, align;
    int64_t offset;           /* from the frame pointer; set by frame_place() */
    struct frame_life life;
    struct ir_object *object; /* NULL: the target's own */
};

struct frame {
    struct frame_slot *slots;
    int n;
    const struct frame_life *lives; /* by an object's id; NULL: every slot lives always */
    int64_t align;    /* of the frame pointer: 16, or more when a slot asks for it */
    int64_t outgoing; /* bytes at the bottom for arguments passed on the stack */
    int64_t bytes;    /* below the frame pointer; a multiple of align; set by frame_place() */
};

/** A function being composed: the frame it has and where its text goes. */
struct compose {
    const struct ir_function *function;
    struct frame frame;
    const char **homes; /* symbols of the objects below the frame pointer, by id: their offsets */
    int serial; /* of the function in the file: makes labels unique, .L<serial>_<label> */
    int next_local;            /* serial of the next label or fragment of the composer's own */
    struct buf *out;
    struct heap *heap;
    bool *constants_named; /* (the unit's n_constants) those that stand in the text by now */
    bool pic; /* external symbols may be replaced at run time: reach them by the GOT */
    void *state;               /* the target's own, of this function */
};

struct target {
    const char *name; /* "x86-64" */
    /**
     * Gives every slot its offset, and the frame its size; parameters passed in memory keep their
     * place.
     */
    void (*layout)(struct compose *c);
    void (*prologue)(struct compose *c); /* moves parameters to their slots */
    void (*skeleton)(struct compose *c,
                     const struct ir_instr *i); /* CALL RETURN SWITCH VA_START LABEL JUMP BRANCH */
    void (*epilogue)(struct compose *c);
};

extern const struct target target_x86_64;

struct cut;

/**
 * Lives of f's objects (n_objects, by id), given the pieces that are emitted: blocks with their
 * fragment, else their finer pieces. From the heap.
 */
const struct frame_life *frame_lives(struct heap *h, const struct ir_function *f,
                                     const struct cut *cut);

/** Asks for a slot; returns its index in frame->slots. */
int frame_add(struct heap *h, struct frame *f, const char *name, int64_t size, int64_t align,
              struct ir_object *object);

/**
 * Gives the slots their offsets (small ones nearest to the frame pointer; slots that never live at
 * the same time may share theirs), and those to their objects.
 */
void frame_place(struct frame *f);

/**
 * Checks what frame_place() (or whoever) proposed, without its help: slots inside the frame,
 * aligned, disjoint when they live at the same time, clear of the outgoing area, objects at their
 * slots. NULL when right, else what is wrong.
 */
const char *frame_check(struct heap *h, const struct frame *f);

/** Label text of a function's label; returns out. */
const char *compose_label(const struct compose *c, int label, char out[32]);

/**
 * What stands for an object in assembly: "-36" from the frame pointer, a symbol, a constant's
 * label.
 */
const char *compose_name(struct compose *c, const struct ir_object *o);

/** A symbol as the assembler takes it; fails at `at` when it takes no such name. */
const char *compose_symbol(struct heap *h, const char *symbol, struct location at);

/** Whether code must reach o's symbol through the global offset table. */
bool bind_by_table(const struct ir_object *o, bool pic);

/**
 * Rewrites the unit's code so that blocks name no symbol that bind_by_table() holds for; pic: code
 * of a shared object. After lower_unit(), before block_cut(). Errors: NO_RESOURCE.
 */
ashlar_status bind_unit(struct ir_unit *unit, bool pic, ashlar_error *err);

/** Writes the unit's static data, then the constants that the code names. */
void data_emit(const struct ir_unit *unit, const bool *constants_named, struct buf *out);

/**
 * The unit as an assembler file: per function its prologue, pieces (every leaf block must have its
 * fragment) and epilogue; then data, constants and file-scope asms. `cuts` is parallel to
 * unit->functions; a function with refused set is left out. debug: .loc lines. Errors: BAD_INPUT
 * for what the target refuses (with its place), FAILED ("internal error") for a cut that does not
 * fit its function.
 */
ashlar_status compose_unit(const struct target *target, const struct ir_unit *unit,
                           const struct cut *cuts, bool debug, struct buf *out, ashlar_error *err);

#endif
