/*
 * block.h: the unit of translation: a run of IR without calls, in at the top, out at the end or by
 * its exits; and its normalised text, the contract between compiler and translators
 * (docs/blocks.md).
 *
 * Text: header lines, one per operand in order of first use, then the body as C statements:
 *
 *     block x86-64
 *     int v1                    a slot (local, parameter or temporary): v1(%rbp)
 *     bytes v2[24] align 8      an aggregate's slot: v2(%rbp), v2+8(%rbp)
 *     static int g1             data by symbol: g1(%rip); also "static bytes g2[40] align 8"
 *     const double k1           a constant in read-only data: k1(%rip)
 *     function f1               code by symbol: its address only
 *     literal int c1            an integer constant: $c1
 *     exit x1                   a label that the block may jump to; the other exit is its end
 *     begin
 *     v1 = v1 + c1;
 *     if (v1 < c2) goto x1;
 *     end
 *
 * An object whose address the block takes (&v1) is declared as the others are. Integer constants of
 * 8, 16 and 32-bit types, and of 64-bit types when they fit a sign-extended 32-bit immediate, are
 * literals; others stand as digits. The same block in two programs has the same text, whatever its
 * names, places and literals.
 */
#ifndef LEGO_BLOCK_H
#define LEGO_BLOCK_H

#include "base/buf.h"
#include "lego/ir.h"

enum granularity {
    GRANULARITY_OPERATION,
    GRANULARITY_STATEMENT,
    GRANULARITY_BLOCK,
    GRANULARITY_FUNCTION
};

enum operand_kind {
    OPERAND_SLOT,
    OPERAND_STATIC,
    OPERAND_CONSTANT,
    OPERAND_FUNCTION,
    OPERAND_LITERAL
};

struct block_operand {
    enum operand_kind kind;
    enum ir_type type;
    int64_t size, align;
    char name[16];            /* "v1", "g1", "k1", "f1", "c1" */
    struct ir_object *object; /* NULL: a literal */
    int64_t value;            /* literal */
    bool is_read, is_written; /* directly, not through pointers */
    bool is_addressed;        /* its address is taken */
};

struct block {
    const char *function;       /* name, for messages */
    struct location at;         /* of its first instruction */
    enum granularity granularity;
    const struct ir_instr *code; /* (n_code) ASSIGN STORE LABEL JUMP BRANCH only */
    int n_code;
    struct block_operand *operands;
    int n_operands;
    int *exits;                 /* (n_exits) labels outside, in order of first use: x1, x2, ... */
    int n_exits;
    bool falls_through;         /* the end of the text can be reached */
    const char *text;           /* normalised */
    size_t text_length;
    char key[33];               /* XXH3-128 of text, hexadecimal */
};

/**
 * A function cut into pieces in order: blocks and what the composer emits itself (calls, returns,
 * switches, labels and jumps between blocks). A piece's block can be replaced by finer pieces.
 */
enum piece_kind { PIECE_BLOCK, PIECE_SKELETON };

struct piece {
    enum piece_kind kind;
    struct block *block;            /* BLOCK */
    const struct ir_instr *skeleton; /* SKELETON: not ASSIGN or STORE; BRANCH on a READ */
    struct piece *finer;            /* (n_finer) NULL: not split */
    int n_finer;
    const char *fragment;           /* BLOCK: the accepted one, NULL so far */
};

struct cut {
    struct piece *pieces;
    int n;
};

/**
 * Cuts f at a granularity: the largest runs that are no coarser than it, hold no call, return,
 * switch or va_start and are entered only at the top. From the heap.
 */
void block_cut(struct heap *h, struct ir_function *f, enum granularity granularity,
               struct cut *out);

/** Cuts a block one step finer into piece->finer; false when it is an operation already. */
bool block_split(struct heap *h, struct ir_function *f, struct piece *piece);

/** Makes the normalised form of a run of instructions. */
struct block *block_make(struct heap *h, struct ir_function *f, const struct ir_instr *code, int n,
                         enum granularity granularity);

const char *granularity_name(enum granularity g); /* "operation", ... */

#endif
