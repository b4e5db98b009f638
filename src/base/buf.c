/*
 * buf.c: a growable byte buffer with a maximum.
 *
 * Invariants: length <= max; data is NULL or has capacity > length bytes and a NUL at
 * data[length]; after a failure the contents stay as they were and every append fails until
 * buf_clear, so that callers check once at the end.
 */
#include "base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max < SIZE_MAX / 2 ? max : SIZE_MAX / 2};
}

void buf_fini(struct buf *b)
{
    free(b->data);
    *b = (struct buf){.max = b->max};
}

void buf_clear(struct buf *b)
{
    b->length = 0;
    b->failed = false;
    if (b->data)
        b->data[0] = '\0';
}

/* Make room for n more bytes and the NUL. */
static bool reserve(struct buf *b, size_t n)
{
    if (b->failed || n > b->max - b->length) {
        b->failed = true;
        return false;
    }
    size_t needed = b->length + n + 1;
    if (needed <= b->capacity)
        return true;
    size_t grown = b->capacity ? b->capacity * 2 : 64;
    if (grown > b->max + 1)
        grown = b->max + 1;
    if (grown < needed)
        grown = needed;
    char *data = realloc(b->data, grown);
    if (!data) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->capacity = grown;
    return true;
}

bool buf_append(struct buf *b, const void *bytes, size_t n)
{
    if (!reserve(b, n))
        return false;
    if (n)
        memcpy(b->data + b->length, bytes, n);
    b->length += n;
    b->data[b->length] = '\0';
    return true;
}

bool buf_puts(struct buf *b, const char *text)
{
    return buf_append(b, text, strlen(text));
}

bool buf_printf(struct buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0 || !reserve(b, (size_t)n)) {
        b->failed = true;
        return false;
    }
    va_start(args, format);
    vsnprintf(b->data + b->length, (size_t)n + 1, format, args);
    va_end(args);
    b->length += (size_t)n;
    return true;
}
