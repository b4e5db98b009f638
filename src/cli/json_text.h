/* json_text.h: text from outside as a JSON string. */
#ifndef CLI_JSON_TEXT_H
#define CLI_JSON_TEXT_H

#include "base/buf.h"

#include <jansson.h>

/** Append the bytes with each one that is not UTF-8 replaced by U+FFFD. */
bool json_text_clean(const char *bytes, size_t n, struct buf *out);

/** A new string of n bytes, cleaned (bytes may be NULL when n is 0); NULL when out of memory. */
json_t *json_text_value(const char *bytes, size_t n);

#endif
