/*
 * error.h: filling an ashlar_error. Every function accepts err == NULL and returns the status, so a
 * failing function ends with `return error_set(err, ASHLAR_BAD_INPUT, "%s: ...", path);`.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "ashlar.h"

/** Fill err with a formatted one-line message and no hint; returns status. */
ashlar_status error_set(ashlar_error *err, ashlar_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** As error_set, with ": " and strerror(errno_value) behind the message. */
ashlar_status error_errno(ashlar_error *err, ashlar_status status, int errno_value,
                          const char *format, ...) __attribute__((format(printf, 4, 5)));

/** NO_RESOURCE "out of memory (N bytes for WHAT)". */
ashlar_status error_memory(ashlar_error *err, size_t bytes, const char *what);

/** Add what the user can do about it, after the message was set. Nothing when err is NULL. */
void error_hint(ashlar_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
