/*
 * state_steer.h: entry states made for a purpose: the comparisons that a block makes, read from
 * its text, hold, fail by one, or hold several together. Random memory does not get there: that
 * *(long *)(v1 + c1) is c2 has a chance of one in 2^64. Internal to the verifier.
 *
 * A block is parsed into lines of expression trees (state_text.c), run from an entry state with a
 * record of what each line wrote (state_path.c), and its comparisons are solved backwards through
 * that record for values of the entry state (state_solve.c), as are addresses (state_edge.c). All
 * of this may be wrong without harm: a state is a suggestion, what the block does with it is found
 * by the reference.
 */
#ifndef LEGO_STATE_STEER_H
#define LEGO_STATE_STEER_H

#include "lego/state.h"

/** READ, LOAD and ADDRESS name an operand (of bytes: its address); INT is value. */
struct steer_expr {
    enum ir_op op;
    enum ir_type type;
    const struct steer_expr *a, *b, *c;
    int operand;
    int64_t value;
};

struct steer_line {
    enum ir_code code;                /* ASSIGN STORE LABEL JUMP BRANCH */
    enum ir_type type;                /* of what is written */
    int operand;                      /* ASSIGN */
    const struct steer_expr *address; /* STORE */
    const struct steer_expr *value;   /* ASSIGN STORE BRANCH */
    int label; /* LABEL: its number; JUMP BRANCH: index of the line, -1 an exit */
};

struct steer_program {
    struct steer_line *lines; /* (n) */
    int n;
    struct steer_expr *exprs; /* (n_exprs, room) */
    int n_exprs, room;
    int n_comparisons;
};

/** Parses the block's text. False: it is not understood or memory ran out; the program is empty
 * then. */
bool steer_program_init(struct steer_program *p, const struct block *block);
void steer_program_fini(struct steer_program *p);

/* ---- between state_path.c and state_solve.c ---- */

/** A value of any scalar type: integers and addresses extended to 64 bits, floats in `real`. */
struct steer_value {
    int64_t integer;
    long double real;
};

enum { STEER_WRITES = 96, STEER_GOALS = 48, STEER_PINS = 24, STEER_STEPS = 240 };
enum { STEER_ACCESSES = 64 };

struct steer_write {
    const struct steer_line *line;
    uint32_t at, size; /* in the image */
    unsigned char bytes[16];
};

/** A comparison that was made, after `time` writes. */
struct steer_goal {
    const struct steer_expr *comparison;
    int time;
};

/** A load or store inside the image that was made, after `time` writes. */
struct steer_access {
    const struct steer_expr *address;
    uint32_t size;
    int time;
};

struct steer_path {
    const struct steer_program *program;
    const struct block *block;
    const struct state_layout *layout;
    unsigned char *image; /* (layout->size) the entry state */
    struct rng *rng;
    struct steer_write writes[STEER_WRITES];
    int n_writes;
    struct steer_goal goals[STEER_GOALS];
    int n_goals;
    struct steer_access accesses[STEER_ACCESSES];
    int n_accesses;
    const struct steer_expr *fault; /* the load whose address is outside the image; NULL: none */
    int fault_time;
    struct { uint32_t at, size; } pins[STEER_PINS]; /* of the entry state: not changed again */
    int n_pins;
};

/** Runs the program from the image; writes, goals and accesses are those of this run. */
void steer_trace(struct steer_path *p);

/** The value of e after `time` writes; false where it has none (a fault, a division by zero). */
bool steer_evaluate(const struct steer_path *p, const struct steer_expr *e, int time,
                    struct steer_value *out);

/** value brought into t's range. */
int64_t steer_wrap(enum ir_type t, int64_t value);
void steer_load(enum ir_type t, const unsigned char *at, struct steer_value *out);
void steer_store(enum ir_type t, struct steer_value value, unsigned char *at);

/** Where an access at this address is in the image; false: not inside it. */
bool steer_place(const struct steer_path *p, int64_t address, size_t size, uint32_t *at);

/** Changes the entry state so that e will have the value after `time` writes. */
bool steer_solve(struct steer_path *p, const struct steer_expr *e, struct steer_value wanted,
                 int time, int depth);

/* ---- for verify_states.c ---- */

/** Makes some comparisons of the block hold, or just fail, in an entry state. */
void state_steer(const struct steer_program *program, const struct state_layout *l,
                 const struct block *block, unsigned char *image, struct rng *rng);

/** What `tried` counts for an attempt on which the block was defined, and where it is enough. */
enum { STEER_EDGE_DEFINED = 5, STEER_EDGE_ENOUGH = 64 };

/**
 * Moves one load or store that goes through a pointer to the border of the memory that is there, so
 * that a byte more faults, or to the layout's carry: the one on the state's path that was tried
 * least. `tried` (n_exprs, by address) gets one attempt more; the caller adds to it when the state
 * turns out to be defined. Returns the index of the address, -1 when it did not get there (the
 * state may still differ).
 */
int state_edge(const struct steer_program *program, const struct state_layout *l,
               const struct block *block, unsigned char *tried, unsigned char *image,
               struct rng *rng);

#endif
