/*
 * fuzz_transcript.c: any file is a transcript or is refused with name and line; what it answers is
 * part of it.
 *
 * Sources: src/lego/translate_replay.c src/lego/cache.c src/lego/json_line.c
 * Libraries: -lsqlite3 -ljansson
 */
#include "lego/block_text.h"
#include "lego/translator.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct translator *t;
    ashlar_error err = {0};
    struct block block = {.text = "A\n", .text_length = 2};
    struct translation items[3] = {
        {.block = &block}, {.block = &block, .sample = 1}, {.block = &block, .sample = 7}};

    ashlar_status status = translator_replay_parse("t", (const char *)data, size, &t, &err);
    CHECK(status == ASHLAR_OK ||
          (status == ASHLAR_BAD_INPUT && strncmp(err.message, "t:", 2) == 0));
    CHECK((status == ASHLAR_OK) == (t != NULL));
    if (!t)
        return 0;
    block_text_key("A\n", 2, block.key);
    for (int i = 0; i < 3; i++)
        buf_init(&items[i].answer, 1 << 20);
    CHECK(t->translate(t, items, 3, NULL) == ASHLAR_OK);
    for (int i = 0; i < 3; i++) {
        CHECK(items[i].answer.length <= size);
        buf_fini(&items[i].answer);
    }
    t->close(t);
    return 0;
}
