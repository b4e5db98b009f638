/*
 * heap.c: chunks in a list, newest first; a piece that does not fit opens a chunk at least its
 * size.
 */
#include "lego/heap.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 64 << 10, ALIGN = alignof(max_align_t) };

struct heap_chunk {
    struct heap_chunk *next;
    size_t size;
    alignas(max_align_t) unsigned char bytes[];
};

void heap_init(struct heap *h)
{
    *h = (struct heap){0};
}

void heap_fini(struct heap *h)
{
    while (h->chunks) {
        struct heap_chunk *next = h->chunks->next;
        free(h->chunks);
        h->chunks = next;
    }
}

/* Passes over a unit do not check each node they make: a heap that is full, or a refusal, leaves
 * the whole pass. */
_Noreturn void heap_leave(struct heap *h, const ashlar_error *error)
{
    if (!h->bail)
        abort(); /* a pass without an entry: our own bug */
    if (h->error && h->error != error)
        *h->error = *error;
    longjmp(*h->bail, 1);
}

/* A function of its own: none of its locals changes between setjmp() and longjmp(). */
static bool run(struct heap *h, heap_pass *pass, void *context)
{
    jmp_buf here;
    h->bail = &here;
    if (setjmp(here) != 0)
        return false;
    pass(context);
    return true;
}

ashlar_status heap_run(struct heap *h, heap_pass *pass, void *context, ashlar_error *err)
{
    ashlar_error error = {0}, *outer_error = h->error;
    jmp_buf *outer = h->bail;
    h->error = &error;
    bool whole = run(h, pass, context);
    h->bail = outer;
    h->error = outer_error;
    if (whole) /* an error that it met and got over may be left */
        return ASHLAR_OK;
    if (err)
        *err = error;
    return error.status;
}

static void open_chunk(struct heap *h, size_t least)
{
    size_t size = least > CHUNK_BYTES ? least : CHUNK_BYTES;
    /* zeroed, and no piece is ever given out twice: nodes begin as {0} */
    struct heap_chunk *chunk = calloc(1, sizeof *chunk + size);
    if (!chunk) {
        error_memory(h->error, size, "the compilation");
        heap_leave(h, h->error);
    }
    chunk->size = size;
    chunk->next = h->chunks;
    h->chunks = chunk;
    h->used = 0;
}

void *heap_take(struct heap *h, size_t bytes)
{
    /* sizes come from declarations of the source; this also keeps the sums below from wrapping */
    if (bytes > (size_t)1 << 40) {
        error_memory(h->error, bytes, "the compilation");
        heap_leave(h, h->error);
    }
    bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    if (!h->chunks || h->chunks->size - h->used < bytes)
        open_chunk(h, bytes);
    void *piece = h->chunks->bytes + h->used;
    h->used += bytes;
    return piece;
}

char *heap_copy(struct heap *h, const char *text, size_t length)
{
    char *copy = heap_take(h, length + 1);
    memcpy(copy, text, length);
    return copy;
}

char *heap_printf(struct heap *h, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = heap_take(h, (size_t)n + 1);
    va_start(args, format);
    vsnprintf(text, (size_t)n + 1, format, args);
    va_end(args);
    return text;
}

/* The room is told by n alone: 8, then doubled, so that a list needs no field for it. Lists may
 * only grow; the old array stays behind in the heap. */
void heap_grow(struct heap *h, void *items, int n, size_t item_bytes)
{
    bool full = n == 0 || (n >= 8 && (n & (n - 1)) == 0);
    if (!full)
        return;
    size_t capacity = n == 0 ? 8 : (size_t)n * 2;
    void *old, *new = heap_take(h, capacity * item_bytes);
    memcpy(&old, items, sizeof old);
    if (n)
        memcpy(new, old, (size_t)n * item_bytes);
    memcpy(items, &new, sizeof new);
}

void heap_fail(struct heap *h, struct location at, const char *format, ...)
{
    char message[400];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    if (at.file)
        error_set(h->error, ASHLAR_BAD_INPUT, "%s:%d:%d: %s", at.file, at.line, at.column, message);
    else
        error_set(h->error, ASHLAR_BAD_INPUT, "%s", message);
    heap_leave(h, h->error);
}
