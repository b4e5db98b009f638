/*
 * teach.h: the teacher's parts. A batch of normalised blocks becomes one C file (source.c), the
 * host compiler makes assembly of it (host.c), the assembly is read (listing.c) and each function
 * rewritten into a fragment in symbolic form (flow.c, rewrite.c). mistakes.c spoils fragments for
 * tests.
 *
 * The teacher makes training pairs and transcripts for tests; ashcc never uses it.
 */
#ifndef TEACH_H
#define TEACH_H

#include "base/buf.h"
#include "base/rng.h"
#include "lego/block_text.h"
#include "lego/heap.h"

/** A piece of text in somebody else's buffer. */
struct span {
    const char *at;
    size_t n;
};

/** A block to be translated, and what came of it. */
struct lesson {
    struct block_text block;
    char *fragment;      /* malloc; NULL: none */
    const char *attempt; /* which compiler setting made it */
    char reason[160];    /* no fragment: why the last attempt failed */
};

/** One way of running the host compiler; tried in order until a fragment comes out. */
struct attempt {
    const char *name;
    const char *flags[48]; /* ended by NULL */
};
extern const struct attempt attempts[];
extern const int n_attempts;

/** The C of a block as function b<index>: markers, body, exits. */
void source_function(const struct block_text *block, int index, struct buf *out);

/**
 * Compiles source with the attempt's flags; assembly replaces what out holds. The lessons whose
 * text the compiler rejects get a reason, and *rejected says so: the source must be made anew
 * without them.
 */
ashlar_status host_compile(const char *cc, const struct attempt *attempt, const struct buf *source,
                           struct lesson **lessons, int n, struct buf *out, bool *rejected,
                           ashlar_error *err);

/** Read-only data that the compiler made up: .LC labels. */
struct constant {
    struct span name;
    unsigned char bytes[16];
    int n;
};

struct function {
    int index;
    struct span *lines; /* (n) trimmed */
    int n;
};

struct listing {
    struct function *functions;
    int n_functions;
    struct constant *constants; /* by name */
    int n_constants;
};

/** Splits assembly into functions b<N> and constants; all in h. */
void listing_read(struct heap *h, const struct buf *assembly, struct listing *out);
const struct constant *listing_constant(const struct listing *l, struct span name);

enum item_kind { ITEM_INSTRUCTION, ITEM_LABEL };

/** A line of a fragment in the making. */
struct item {
    enum item_kind kind;
    char label[24];          /* LABEL; a jump's target: a local label or an exit */
    char mnemonic[16];
    const char *operands[3]; /* in the heap */
    int n_operands;
    bool is_jump, is_conditional, is_gone;
};

struct items {
    struct heap *heap;
    struct item *at;
    int n;
    const char *problem; /* not NULL: why no fragment can be made */
};

/** Instructions between the markers, as control flow without detours, dead code and unused labels.
 */
void flow_read(const struct function *f, struct items *items);

/** Operands into symbolic form; returns false with items->problem. */
bool rewrite_items(const struct block_text *block, const struct listing *listing,
                   struct items *items);

/** A general register's name for a width, from its name at any width; NULL: not one. In h. */
const char *register_of_width(struct heap *h, const char *name, int bytes);

/** The text of a fragment. */
void flow_print(const struct items *items, struct buf *out);

/** Kinds of planted mistakes: "width", "condition", "clobber", "store", "syntax". NULL at the end.
 */
extern const char *const mistake_kinds[];

/** Plants one mistake of a kind into fragment; false when it offers no place. */
bool mistake_plant(struct heap *h, const char *kind, struct rng *rng, const char *fragment,
                   struct buf *out);

struct span span_trim(struct span s);
bool span_is(struct span s, const char *text);
bool span_starts(struct span s, const char *prefix);

#endif
