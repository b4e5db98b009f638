/*
 * exchange.h: what ashcc --differential and its harness (harness.c) share: one file mapped by both.
 * ashcc writes a batch of inputs, the harness writes what a function made of each. Offsets of the
 * part with variable size are written out below.
 *
 *     struct differential_exchange
 *     uint64_t addresses[n_entries]             of the program's table, by the harness
 *     unsigned char statics[BATCH][statics_bytes]   behind each other in the table's order: by
 *                                               ashcc where `made` says so, then by the harness
 */
#ifndef DIFFERENTIAL_EXCHANGE_H
#define DIFFERENTIAL_EXCHANGE_H

#include <stdint.h>

/* The image: buffers of one page each, then what malloc gives out; behind each a page that faults.
 * The last buffer is what pointers in the file's data point at. */
#define DIFFERENTIAL_IMAGE_AT 0x6a5b10000000u

enum {
    DIFFERENTIAL_PARAMS = 16,   /* of a function, at most */
    DIFFERENTIAL_BUFFERS = 9,   /* parameters that are pointers, at most, and one */
    DIFFERENTIAL_PAGE = 4096,
    DIFFERENTIAL_HEAP = 4 * DIFFERENTIAL_PAGE,
    DIFFERENTIAL_TEXT = 2048,   /* of what is printed */
    DIFFERENTIAL_POINTED = 128, /* of the text behind a pointer that is returned */
    DIFFERENTIAL_BATCH = 32,
    DIFFERENTIAL_STRIDE = 2 * DIFFERENTIAL_PAGE
};

enum differential_outcome {
    DIFFERENTIAL_UNRUN,
    DIFFERENTIAL_RETURNED,
    DIFFERENTIAL_TRAPPED, /* undefined behaviour, or a function that is not known here */
    DIFFERENTIAL_FAULTED,
    DIFFERENTIAL_ENDLESS,
    DIFFERENTIAL_DIED     /* any other way: a system call, abort */
};

/* A value of any scalar type, from its first byte on. */
struct differential_value {
    unsigned char bytes[16];
} __attribute__((aligned(16)));

struct differential_input {
    struct differential_value arguments[DIFFERENTIAL_PARAMS];
    unsigned char buffers[DIFFERENTIAL_BUFFERS][DIFFERENTIAL_PAGE];
};

struct differential_result {
    int32_t outcome;
    int32_t preserved;     /* not 0: the registers that belong to the caller */
    int32_t printed;       /* bytes, also those that text has no room for */
    struct differential_value value;
    uint64_t heap_used;
    unsigned char buffers[DIFFERENTIAL_BUFFERS][DIFFERENTIAL_PAGE];
    unsigned char heap[DIFFERENTIAL_HEAP];
    char text[DIFFERENTIAL_TEXT];
    char pointed[DIFFERENTIAL_POINTED]; /* what the returned pointer to char points at, cut */
};

struct differential_exchange {
    int32_t function, n;   /* run inputs[0 .. n) */
    int32_t garbage;       /* fills stack and heap before each call */
    int32_t milliseconds;  /* of processor time for each */
    uint64_t image_begin, image_end; /* of the program, by the harness */
    uint64_t stack_begin, stack_end;
    unsigned char skip[DIFFERENTIAL_BATCH]; /* 1: this one need not run */
    unsigned char made[DIFFERENTIAL_BATCH]; /* 1: data begin with the values in statics */
    struct differential_input inputs[DIFFERENTIAL_BATCH];
    struct differential_result results[DIFFERENTIAL_BATCH];
};

#endif
