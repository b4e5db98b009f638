/*
 * json_line.h: JSON as transcripts, cache exports and reports hold it: one object a line, strings
 * that may have come from anywhere.
 */
#ifndef LEGO_JSON_LINE_H
#define LEGO_JSON_LINE_H

#include "base/buf.h"
#include "base/error.h"

#include <jansson.h>

/** A new string of n bytes (any bytes): what is not UTF-8 becomes U+FFFD. NULL when out of memory.
 */
json_t *json_line_text(const char *bytes, size_t n);

/** json_line_text of a terminated string; JSON null for NULL. */
json_t *json_line_string(const char *text);

/**
 * Puts the value under the key, or behind an array's last one; takes the reference. Without memory
 * for object or value: b->failed, of the buffer that the text is for, so that one look at its end
 * tells whether all is there.
 */
void json_line_set(struct buf *b, json_t *object, const char *key, json_t *value);
void json_line_add(struct buf *b, json_t *array, json_t *value);

/** Appends the object in one line, newline included; takes the reference, also of NULL (then
 * b->failed). */
void json_line_append(struct buf *b, json_t *object);

/**
 * Calls `each` for every line of text that is not blank. Stops at its first status that is not OK.
 * Errors: BAD_INPUT "NAME:LINE: ..." for a line that is no JSON object.
 */
typedef ashlar_status (*json_line_fn)(void *context, json_t *object, int line, ashlar_error *err);
ashlar_status json_line_each(const char *name, const char *text, size_t length, json_line_fn each,
                             void *context, ashlar_error *err);

/** The object's string under key and its length (may be NULL); NULL when absent or of another type.
 */
const char *json_line_get(const json_t *object, const char *key, size_t *length);

#endif
