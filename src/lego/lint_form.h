/*
 * lint_form.h: between the table of instructions (lint_table.c) and the operand shapes they take
 * (lint_form.c).
 */
#ifndef LEGO_LINT_FORM_H
#define LEGO_LINT_FORM_H

#include "lego/lint_x86_64.h"

enum form {
    MOV,
    MOVABS,
    ALU,
    COMPARE,
    UNARY,
    EXTEND,
    LEA,
    IMUL,
    MULDIV,
    SHIFT,
    IMPLIED,
    SETCC,
    CMOV,
    JMP,
    JCC,
    SWAP,
    BSWAP,
    NOTHING,
    SSE_SCALAR_MOVE,
    SSE_COPY,
    SSE_UNALIGNED,
    SSE_ARITH,
    SSE_FROM,
    SSE_COMPARE,
    SSE_LOGIC,
    INT_TO_SSE,
    SSE_TO_INT,
    MOVD,
    MOVQ,
    X87_LOAD,
    X87_STORE,
    X87_MEMORY,
    X87_STACK,
    X87_REG,
    X87_POP,
    X87_COMPARE,
    X87_CONTROL
};

struct row {
    const char *name;
    enum form form;
    const char *suffixes; /* of "bwlq"; "" the name is complete */
    unsigned char a, b;   /* widths where the name fixes them: source, destination; X87: operand,
                             change of the stack */
    unsigned written, lost, read; /* flags */
    unsigned in, out;     /* implied registers */
};

enum { POPS = 16 }; /* X87_STORE: of b */

/** A line being matched against its row. */
struct match {
    const struct fragment_line *line;
    struct row row;
    int width; /* by suffix; 0: none written */
    struct x86_effect *effect;
    char *why;
    size_t room;
};

/** Fills the effect of a line whose row and suffix are known; false: its operands do not fit. */
bool x86_fill(struct match *m);

/** Writes why; always false. */
bool x86_refuse(const struct match *m, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

int x86_suffix_width(char suffix);

#endif
