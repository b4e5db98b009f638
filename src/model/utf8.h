/*
 * utf8.h: decoding UTF-8 that may be invalid, and holding back unfinished characters in a stream.
 * Well-formed means Unicode's table 3-7: no surrogates, nothing above U+10FFFF, shortest form only.
 */
#ifndef MODEL_UTF8_H
#define MODEL_UTF8_H

#include "ashlar.h"

/** Bytes (1 to 4) of the well-formed character at text[0..n); 0 when there is none. n may be 0. */
int utf8_char_length(const char *text, size_t n);

/** Length of the longest well-formed prefix of text[0..n). */
size_t utf8_valid_prefix(const char *text, size_t n);

/** Length of the prefix of text[0..n) in which no well-formed character starts. */
size_t utf8_invalid_prefix(const char *text, size_t n);

/** Code point of the character of `length` bytes (from utf8_char_length) at text. */
uint32_t utf8_code_point(const char *text, int length);

/** As ashlar_utf8_push. */
size_t utf8_stream_push(ashlar_utf8_stream *stream, const char *bytes, size_t length, char *out);

#endif
