/*
 * output.h: what a program writes for its user: standard output, every byte at once, and files,
 * whole or not at all. What is there already stays until its successor is complete.
 */
#ifndef BASE_OUTPUT_H
#define BASE_OUTPUT_H

#include "base/buf.h"
#include "base/error.h"

/**
 * Writes all bytes to a descriptor, unbuffered, past interruptions and short writes. Errors: FAILED
 * (closed pipe, full disk), said as "cannot write NAME: why".
 */
ashlar_status output_bytes(int fd, const char *bytes, size_t n, const char *name,
                           ashlar_error *err);

/** The same of a buffer. Errors: also NO_RESOURCE (b->failed). */
ashlar_status output_write(int fd, const struct buf *b, const char *name, ashlar_error *err);

/**
 * Writes b to a file that appears whole or not at all (a device: directly). Errors: FAILED,
 * NO_RESOURCE.
 */
ashlar_status output_write_file(const char *path, const struct buf *b, ashlar_error *err);

/**
 * A name beside `path` to write to before output_commit; `path` itself when it is a device.
 * output_discard removes what there is under the name.
 */
void output_draft(const char *path, char *draft, size_t capacity);
ashlar_status output_commit(const char *draft, const char *path, ashlar_error *err);
void output_discard(const char *draft, const char *path);

/**
 * Whether `path` ("-": standard output) can be written later, as far as permissions tell. Errors:
 * FAILED.
 */
ashlar_status output_check(const char *path, ashlar_error *err);

#endif
