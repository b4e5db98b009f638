/*
 * lint_x86_64.h: what the fragment checks know of x86-64: registers by number, and for each allowed
 * instruction what it reads and writes. Internal to the verifier and its tests.
 *
 * The instructions are those of the x86-64 baseline (SSE2, x87), so that an accepted fragment runs
 * on every such processor; anything else is unknown here and therefore refused.
 */
#ifndef LEGO_LINT_X86_64_H
#define LEGO_LINT_X86_64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lego/fragment.h"

/** A register number is its kind and its index: the same index in 8, 16, 32 and 64 bits is one
 * register. */
enum x86_kind { X86_R8, X86_R8H, X86_R16, X86_R32, X86_R64, X86_XMM, X86_ST, X86_RIP };
#define X86_REG(kind, index) ((kind) << 4 | (index))
#define X86_KIND(reg) ((enum x86_kind)((reg) >> 4))
#define X86_INDEX(reg) ((reg) & 15)

enum { X86_AX, X86_CX, X86_DX, X86_BX, X86_SP, X86_BP, X86_SI, X86_DI };

/** Number of a register by its name without %; -1: none. %st is %st(0). */
int x86_register(const char *name);
const char *x86_register_name(int reg, char out[8]);

enum { X86_CF = 1, X86_PF = 2, X86_AF = 4, X86_ZF = 8, X86_SF = 16, X86_OF = 32, X86_ALL = 63 };

enum { X86_READS = 1, X86_WRITES = 2, X86_ADDRESS = 4 /* lea: the address only */ };

/** How far from rsp a fragment may use memory as scratch: System V's red zone. */
enum { X86_SCRATCH_BYTES = 128 };

enum x86_special {
    X86_PLAIN,
    X86_ZEROES,   /* xor r,r: the destination does not depend on what it held */
    X86_LANES,    /* bitwise or whole-register move: an undefined lane gives an undefined lane */
    X86_SAVES_CW, /* fnstcw */
    X86_LOADS_CW  /* fldcw */
};

/** What one line does. Widths in bytes. Operand numbers as in the line. */
struct x86_effect {
    enum x86_special special;
    unsigned char access[3];
    unsigned char width[3];
    bool keeps_upper[3];     /* a written xmm keeps the lanes above the width */
    unsigned reads, writes;  /* implied general registers, bit per index */
    unsigned char implied_width;
    unsigned flags_read, flags_written, flags_lost; /* lost: undefined afterwards */
    bool flags_may_stay;     /* written or lost only when the count is not zero */
    int x87_needs, x87_delta; /* stack entries that must be there; entries added */
    bool is_jump, is_conditional;
};

/**
 * The effect of a line with a mnemonic; false: no such instruction or it does not take these
 * operands, with the reason in why (at least 160 bytes).
 */
bool x86_effect(const struct fragment_line *line, struct x86_effect *out, char *why, size_t room);

/** The dataflow part of the lint: definedness of registers, flags, scratch; x87 depth; control
 * word. */
ashlar_status x86_lint_flow(const struct fragment *f, const struct block *block,
                            const struct x86_effect *effects, ashlar_error *err);

/** The names of all instructions for documentation and tests: NULL past the end. */
const char *x86_instruction_name(int i);

#endif
