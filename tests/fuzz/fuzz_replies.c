/*
 * fuzz_replies.c: whatever a server says: a fragment that is part of it, or a reason in one line; a
 * key is never in the reason. And whatever a model says: the extracted fragment lies inside.
 *
 * Sources: src/lego/translate_http.c src/lego/prompt.c src/lego/json_line.c src/lego/share.c
 * Libraries: -lcurl -ljansson
 */
#include "lego/prompt.h"
#include "lego/translate_http.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                  \
    do {                                                                  \
        if (!(condition)) {                                               \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                      \
        }                                                                 \
    } while (0)

static const char key[] = "sk-fuzz-key";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *bytes = (const char *)data, *fragment;
    size_t length;
    char note[128] = "";
    struct buf answer;

    buf_init(&answer, 1 << 20);
    bool ok = http_reply_read(bytes, size, &answer, note);
    CHECK(ok ? answer.length > 0 && strlen(answer.data) == answer.length : note[0] != '\0');
    buf_fini(&answer);

    http_error_read(500, bytes, size, key, note);
    CHECK(strncmp(note, "HTTP 500", 8) == 0 && !strstr(note, key) && !strchr(note, '\n'));

    prompt_extract(bytes, size, &fragment, &length);
    CHECK(fragment >= bytes && fragment + length <= bytes + size);
    return 0;
}
