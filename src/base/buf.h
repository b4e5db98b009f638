/*
 * buf.h: a growable byte buffer with a maximum from birth, always NUL-terminated after a
 * successful append, so that data can be used as a string.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data;
    size_t length, capacity, max;
    bool failed; /* an append did not fit or memory ran out; sticky, checked once at the end */
};

void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b);
void buf_clear(struct buf *b); /* length 0, memory kept, failure forgotten */
bool buf_append(struct buf *b, const void *bytes, size_t n);
bool buf_puts(struct buf *b, const char *text);
bool buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
