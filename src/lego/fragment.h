/*
 * fragment.h: an assembly fragment as a translator answers it, parsed: labels and instructions over
 * the block's operand names. x86-64 in AT&T syntax; the names of registers and instructions are the
 * target's. Untrusted input: a parsed fragment that passed the lint is the only thing that is ever
 * assembled.
 */
#ifndef LEGO_FRAGMENT_H
#define LEGO_FRAGMENT_H

#include "base/buf.h"
#include "lego/block.h"

enum { FRAGMENT_MAX_BYTES = 64 << 10, FRAGMENT_MAX_LINES = 4000 };

enum fragment_operand_kind {
    FRAGMENT_REGISTER,  /* %eax */
    FRAGMENT_IMMEDIATE, /* $5, $c1, $c1+4 */
    FRAGMENT_MEMORY,    /* v1+8(%rbp,%rax,4), g1(%rip), 8(%rcx) */
    FRAGMENT_TARGET     /* x1 or a local label */
};

struct fragment_operand {
    enum fragment_operand_kind kind;
    char symbol[16];     /* block operand, exit or local label; "" none */
    int64_t value;       /* number added to it */
    int reg, base, index; /* target's register numbers; -1 none */
    int scale;
};

struct fragment_line {
    char label[16];      /* a local label defined here; "" none */
    char mnemonic[16];   /* "" only a label */
    struct fragment_operand operands[3];
    int n_operands;
    int number;          /* of the text, from 1 */
};

struct fragment {
    struct fragment_line *lines;
    int n;
};

/** Parses text; BAD_INPUT with "line N: ..." when it is not a fragment. Comments (#) and blank
 * lines go. */
ashlar_status fragment_parse(const char *text, size_t length, struct fragment *out,
                             ashlar_error *err);
void fragment_fini(struct fragment *f);

/** Canonical text: one instruction a line, tab after the mnemonic, labels at the margin. */
bool fragment_print(const struct fragment *f, struct buf *out);

/**
 * The composability conditions (docs/verify.md) on a parsed fragment: known instructions with known
 * effects, only the block's operands and exits, no callee-saved or stack register written, no data,
 * no flags or registers needed at entry, labels defined once and used inside. BAD_INPUT with the
 * line and rule.
 */
ashlar_status fragment_lint(const struct fragment *f, const struct block *block, ashlar_error *err);

/**
 * The fragment as part of a function: operands as `name` gives them ("v1" -> "-36", "g1" ->
 * "table", "x1" -> ".L4"), local labels made unique with `serial`.
 */
typedef const char *(*fragment_name_fn)(void *context, const char *operand);
bool fragment_instantiate(const struct fragment *f, fragment_name_fn name, void *context,
                          int serial, struct buf *out);

#endif
