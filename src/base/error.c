/*
 * error.c: filling an ashlar_error.
 *
 * Messages often quote names that come from a file (a tensor, a key) or from the command line. What
 * is stored here is one printable line: control characters become '?', so that a hostile file can
 * neither forge further lines nor send escape sequences to a terminal.
 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Make text[0..capacity) one clean line; `wanted` is the length that formatting asked for. */
static void clean_line(char *text, size_t capacity, int wanted)
{
    if (wanted < 0) {
        text[0] = '\0';
        return;
    }
    for (char *p = text; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    }
    if ((size_t)wanted >= capacity) {
        size_t end = capacity - 4;
        while (end > 0 && ((unsigned char)text[end] & 0xc0) == 0x80) {
            end--; /* do not cut a UTF-8 character in half */
        }
        memcpy(text + end, "...", 4);
    }
}

/* The message up to here, followed by more text; both end up in the same buffer. */
static void append(ashlar_error *err, const char *separator, const char *text)
{
    size_t used = strlen(err->message);
    int n = snprintf(err->message + used, sizeof err->message - used, "%s%s", separator, text);
    clean_line(err->message, sizeof err->message, n < 0 ? (int)used : (int)used + n);
}

static void fill(ashlar_error *err, ashlar_status status, const char *format, va_list args)
{
    err->status = status;
    err->hint[0] = '\0';
    int n = vsnprintf(err->message, sizeof err->message, format, args);
    clean_line(err->message, sizeof err->message, n);
}

ashlar_status error_set(ashlar_error *err, ashlar_status status, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        fill(err, status, format, args);
        va_end(args);
    }
    return status;
}

ashlar_status error_errno(ashlar_error *err, ashlar_status status, int errno_value,
                          const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        fill(err, status, format, args);
        va_end(args);
        char reason[128];
        /* The GNU variant, which may return a static string instead of filling `reason`. */
        append(err, ": ", strerror_r(errno_value, reason, sizeof reason));
    }
    return status;
}

ashlar_status error_memory(ashlar_error *err, size_t bytes, const char *what)
{
    return error_set(err, ASHLAR_NO_RESOURCE, "out of memory (%zu bytes for %s)", bytes, what);
}

void error_hint(ashlar_error *err, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        int n = vsnprintf(err->hint, sizeof err->hint, format, args);
        va_end(args);
        clean_line(err->hint, sizeof err->hint, n);
    }
}
