/*
 * heap.h: memory of one compilation, taken piece by piece and freed as a whole; and the way out of
 * a deep recursion when a pass meets what it cannot do.
 */
#ifndef LEGO_HEAP_H
#define LEGO_HEAP_H

#include <setjmp.h>
#include <stddef.h>

#include "base/error.h"

/** A place in the source as the user wrote it (line markers applied). Borrowed from the heap. */
struct location {
    const char *file; /* NULL: none */
    int line, column;
};

struct heap_chunk;

/**
 * Grows by chunks. Not for threads. `bail` and `error` are those of the pass that runs (heap_run):
 * heap_fail() and exhausted memory end it with `error` filled.
 */
struct heap {
    struct heap_chunk *chunks;
    size_t used; /* of the newest chunk */
    jmp_buf *bail;
    ashlar_error *error;
};

void heap_init(struct heap *h);
void heap_fini(struct heap *h);

/**
 * Runs pass(context), which may take from the heap and may be left (heap_leave). OK: it came to its
 * end; else the status of the error it was left with, which err gets (may be NULL). Passes may
 * nest: what the outer one had set is back afterwards.
 */
typedef void heap_pass(void *context);
ashlar_status heap_run(struct heap *h, heap_pass *pass, void *context, ashlar_error *err);

/** Zeroed bytes aligned for any type. Never NULL: without memory the pass ends. */
void *heap_take(struct heap *h, size_t bytes);
char *heap_copy(struct heap *h, const char *text, size_t length); /* NUL-terminated */
char *heap_printf(struct heap *h, const char *format, ...) __attribute__((format(printf, 2, 3)));

/**
 * Makes *items (n of them, item_bytes each) able to hold one more, moving them when needed:
 * capacities are powers of two from 8 on, so that n alone tells whether there is room.
 */
void heap_grow(struct heap *h, void *items, int n, size_t item_bytes);

/**
 * Ends the pass: "file:line:column: message". Status BAD_INPUT: the source is not (supported) C.
 */
_Noreturn void heap_fail(struct heap *h, struct location at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Ends the pass with this error, or with h->error, which is filled already. */
_Noreturn void heap_leave(struct heap *h, const ashlar_error *error);

#endif
