/*
 * fuzz_chat.c: any template is recognised or refused, any conversation rendered or refused; the
 * segments are the whole text, in order, and what is not marker came from the messages.
 *
 * Input: byte family, byte flags, then messages that end with byte 0x1E (the last need not), each a
 * byte role and its content; all of it is also given to the detection.
 */
#include "model/chat.h"

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

enum { MOST_MESSAGES = 16, MESSAGE_END = 0x1E };

/* Cut `text` (writable, terminated) into messages. */
static size_t split_messages(char *text, size_t length, ashlar_message *messages)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool"};
    size_t n = 0, used = 0;

    while (used < length && n < MOST_MESSAGES) {
        char *end = memchr(text + used, MESSAGE_END, length - used);
        size_t stop = end ? (size_t)(end - text) : length;
        text[stop] = '\0';
        messages[n].role = roles[(unsigned char)text[used] % 4];
        messages[n++].content = stop > used ? text + used + 1 : "";
        used = stop + 1;
    }
    return n;
}

/* Every stretch of content lies in some message: the rest is ours. */
static void check_contents(const struct chat_text *out, const ashlar_message *messages, size_t n)
{
    size_t end = 0, contents = 0, given = 0;

    for (size_t i = 0; i < out->n_segments; i++) {
        const struct chat_segment *s = &out->segments[i];
        CHECK(s->offset == end && s->length > 0);
        CHECK(i == 0 || s->marker != out->segments[i - 1].marker);
        end += s->length;
        contents += s->marker ? 0 : s->length;
    }
    CHECK(end == out->text.length);
    for (size_t i = 0; i < n; i++)
        given += strlen(messages[i].content);
    CHECK(contents <= given);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ashlar_message messages[MOST_MESSAGES];
    struct chat_text out;
    ashlar_error err;

    CHECK(chat_detect((const char *)data, size) < CHAT_FAMILY_COUNT);
    if (size < 2)
        return 0;
    char *text = malloc(size - 1);
    CHECK(text);
    memcpy(text, data + 2, size - 2);
    text[size - 2] = '\0';
    size_t n = split_messages(text, size - 2, messages);
    chat_text_init(&out);
    ashlar_status status = chat_render((enum chat_family)(data[0] % (CHAT_FAMILY_COUNT + 1)),
                                       messages, n, data[1], &out, &err);
    CHECK(status == ASHLAR_OK || status == ASHLAR_BAD_INPUT);
    if (status == ASHLAR_OK)
        check_contents(&out, messages, n);
    chat_text_fini(&out);
    free(text);
    return 0;
}
