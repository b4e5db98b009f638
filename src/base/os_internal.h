/* os_internal.h: reading the small text files of /proc and /sys; between os_*.c only. */
#ifndef BASE_OS_INTERNAL_H
#define BASE_OS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The start of a small text file, NUL-terminated, in `out`; false when it cannot be read. */
bool os_read_text(const char *path, char *out, size_t capacity);

/** The number behind `key` at the start of a line of text; false when there is none. */
bool os_find_number(const char *text, const char *key, uint64_t *value);

#endif
