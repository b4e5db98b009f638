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
 * Grows by chunks. Not for threads. `bail` is set (setjmp) by the entry of the pass that runs;
 * heap_fail() and exhausted memory return there with `error` filled.
 */
struct heap {
    struct heap_chunk *chunks;
    size_t used; /* of the newest chunk */
    jmp_buf *bail;
    ashlar_error *error;
};

void heap_init(struct heap *h);
void heap_fini(struct heap *h);

/** Zeroed bytes aligned for any type. Never NULL: without memory the pass ends at h->bail. */
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

#endif
