/*
 * reference_child.h: between the parent's side of the references (reference.c) and the child's
 * (reference_child.c): the shared memory and the entry of the child.
 */
#ifndef LEGO_REFERENCE_CHILD_H
#define LEGO_REFERENCE_CHILD_H

#include "lego/reference.h"

/** What both see. The parent writes a request, then one byte to the socket; the child answers
 * likewise. */
struct reference_exchange {
    int function;                     /* number of the block */
    int first, n;                     /* states to run: [first, n) */
    int done; /* states finished; the one after it killed a child that died */
    size_t image_bytes;
    const unsigned char *inputs; /* image i at inputs + i * image_bytes; the same address in both */
    unsigned char *outputs;
    char *at[STATE_MAX_OPERANDS];     /* addresses of operands; of literals: of literals[i] */
    int64_t literals[STATE_MAX_OPERANDS];
    struct reference_result results[REFERENCE_MAX_STATES];
};

typedef int (*reference_function)(char *const *at, long *fuel, unsigned long *seen);

/** A shared library by descriptor: functions ref_<first> .. ref_<first + n - 1>. */
struct reference_library {
    int fd, first, n;
};

/**
 * The life of the child: loads the libraries, gives up all rights, answers requests until the
 * socket closes. Never returns.
 */
_Noreturn void reference_child_main(int socket, struct reference_exchange *exchange,
                                    const struct reference_library *libraries, int n_libraries);

#endif
