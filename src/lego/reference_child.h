/*
 * reference_child.h: between the parent's side of the references (reference.c) and the child's
 * (reference_child.c): the shared memory and the entry of the child.
 */
#ifndef LEGO_REFERENCE_CHILD_H
#define LEGO_REFERENCE_CHILD_H

#include "lego/reference.h"

typedef int (*reference_function)(char *const *at, long *fuel, unsigned long *seen);

/** What both see. The parent writes a request, then one byte to the socket; the child answers
 * likewise. */
struct reference_exchange {
    reference_function function;      /* the block: loaded before the fork, so at one address */
    int first, n;                     /* states to run: [first, n) */
    int done; /* states finished; the one after it killed a child that died */
    size_t image_bytes;
    const unsigned char *inputs; /* image i at inputs + i * image_bytes; the same address in both */
    unsigned char *outputs;
    char *at[STATE_MAX_OPERANDS];     /* addresses of operands; of literals: of literals[i] */
    int64_t literals[STATE_MAX_OPERANDS];
    struct reference_result results[REFERENCE_MAX_STATES];
};

/**
 * The life of the child: gives up all rights, answers requests until the socket closes. Never
 * returns. Runs behind a fork() of a process that may have threads, so it does nothing but system
 * calls and the blocks: it may not allocate, print or load.
 */
_Noreturn void reference_child_main(int socket, struct reference_exchange *exchange);

#endif
