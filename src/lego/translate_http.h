/* translate_http.h: what the http translator makes of a server's words; for its tests and the
 * fuzzer. */
#ifndef LEGO_TRANSLATE_HTTP_H
#define LEGO_TRANSLATE_HTTP_H

#include "base/buf.h"

/** The fragment of a chat completion (n untrusted bytes) into answer; false: none, `note` says why.
 */
bool http_reply_read(const char *bytes, size_t n, struct buf *answer, char note[128]);

/** "HTTP STATUS: what the server said" in one line, `key` (may be NULL) blotted out. */
void http_error_read(long status, const char *bytes, size_t n, const char *key, char note[128]);

#endif
