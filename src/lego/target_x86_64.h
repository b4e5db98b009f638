/*
 * target_x86_64.h: what the files of the x86-64 target share: the System V calling convention as
 * data, and moves between registers and memory. Nothing outside target_x86_64*.c includes this.
 */
#ifndef LEGO_TARGET_X86_64_H
#define LEGO_TARGET_X86_64_H

#include "lego/target.h"

/* General registers by number: the six of arguments in their order first. */
enum x86_register { X86_RDI, X86_RSI, X86_RDX, X86_RCX, X86_R8, X86_R9, X86_RAX, X86_R10, X86_R11 };

enum abi_class { ABI_NONE, ABI_INTEGER, ABI_SSE, ABI_X87, ABI_X87UP, ABI_MEMORY };

/** Where an argument or a result travels. */
struct abi_place {
    enum { ABI_NOWHERE, ABI_REGISTERS, ABI_STACK } kind; /* NOWHERE: an empty record */
    struct abi_part {
        enum abi_class class; /* INTEGER, SSE, X87 */
        int reg;              /* enum x86_register, or the number of an xmm */
        int64_t offset;       /* in the value */
        int bytes;            /* 1..8; of X87: 16 */
    } parts[2];
    int n_parts;
    int64_t stack; /* from the first stack argument */
};

/** What the arguments so far have taken. */
struct abi_walk {
    int n_int, n_sse;
    int64_t stack;
};

/** The place of the next argument; aggregate NULL: a scalar. */
void abi_pass(struct abi_walk *w, const struct type *aggregate, enum ir_type scalar,
              struct abi_place *out);

/** The place of a result; STACK: behind the hidden pointer. */
void abi_result(const struct type *aggregate, enum ir_type scalar, struct abi_place *out);

/** symbol + offset(base) */
struct x86_memory {
    const char *symbol; /* NULL: none */
    int64_t offset;
    const char *base;
};

/** One parameter of the function being composed. */
struct x86_param {
    struct abi_place place;
    struct ir_object *object; /* NULL: the function never uses it */
    enum ir_type passed;      /* what the caller gives: F64 for an unprototyped float */
    bool stays;               /* on the stack, where the caller put it */
    struct location at;
};

/** What the target knows of the function's frame: slot indices, -1: none. */
struct x86_state {
    struct x86_param *params;
    int n_params;
    struct abi_walk named;  /* after the named parameters */
    struct abi_place result;
    int result_pointer;     /* the hidden pointer, kept */
    int save_area;          /* of a variadic function: 6 general and 8 xmm registers */
    int discarded;          /* for results by memory that nobody takes */
    int entry;              /* the stack pointer at entry less 8, when the frame is realigned */
};

enum { X86_SAVE_GENERAL = 48, X86_SAVE_BYTES = 176 };

__attribute__((format(printf, 2, 3))) void x86_emit(struct compose *c, const char *format, ...);
_Noreturn void x86_internal(struct compose *c, const char *what);

const char *x86_text(struct compose *c, struct x86_memory m, int64_t add);

/** An object as an operand; r10 is used to get at it when it is reached by the table. */
struct x86_memory x86_object(struct compose *c, const struct ir_object *o);

/** What an aggregate's address expression points at; r10 may be used. */
struct x86_memory x86_pointed(struct compose *c, const struct ir_expr *address);

/** A simple integer or pointer into r, extended to at least 32 bits by its type. */
void x86_load(struct compose *c, const struct ir_expr *value, enum x86_register r);

/**
 * 1..8 bytes exactly, zero-extended; rax is used for sizes that are no power of two (r must not be
 * rax then).
 */
void x86_load_bytes(struct compose *c, struct x86_memory m, int bytes, enum x86_register r);
/** 1..8 bytes exactly; r loses its value. */
void x86_store_bytes(struct compose *c, enum x86_register r, struct x86_memory m, int bytes);

/** An xmm register from or to memory, 4 or 8 bytes. */
void x86_load_sse(struct compose *c, struct x86_memory m, int bytes, int xmm);
void x86_store_sse(struct compose *c, int xmm, struct x86_memory m, int bytes);

/** size bytes; rax and for long ones rdi, rsi, rcx are used. */
void x86_copy(struct compose *c, struct x86_memory to, struct x86_memory from, int64_t size);

/** Stack bytes that a call's arguments need, a multiple of 16. */
int64_t x86_call_stack(struct compose *c, const struct ir_instr *i);
void x86_call(struct compose *c, const struct ir_instr *i);
void x86_switch(struct compose *c, const struct ir_instr *i);

#endif
