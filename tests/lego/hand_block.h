/*
 * hand_block.h: blocks made by hand for the verifier's tests: normalised text into struct block,
 * without reader or lowering.
 */
#ifndef TESTS_HAND_BLOCK_H
#define TESTS_HAND_BLOCK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lego/block_text.h"

struct hand_block {
    struct block block;
    struct block_text parsed;
    int exits[64];
};

/** The end of the text is reachable unless its last statement is a goto. */
static inline bool hand_falls_through(const struct block_text *t)
{
    const char *last = t->body + t->body_length;
    while (last > t->body && last[-1] == '\n')
        last--;
    const char *line = last;
    while (line > t->body && line[-1] != '\n')
        line--;
    return strncmp(line, "goto ", 5) != 0;
}

/** values: of the literals c1, c2, ... in order (0 for those left out). Free with hand_free. */
static inline struct block *hand_make(struct hand_block *h, const char *text, const int64_t *values,
                                      int n_values)
{
    ashlar_error err = {0};
    size_t used;
    memset(h, 0, sizeof *h);
    if (block_text_parse(text, strlen(text), &h->parsed, &used, &err) != ASHLAR_OK)
        fail_msg("%s in:\n%s", err.message, text);
    int literal = 0;
    for (int i = 0; i < h->parsed.n_operands; i++) {
        struct block_operand *o = &h->parsed.operands[i];
        char address[20];
        snprintf(address, sizeof address, "&%s", o->name);
        o->is_addressed = strstr(h->parsed.body, address) != NULL || o->type == IR_BYTES;
        if (o->kind == OPERAND_LITERAL && literal < n_values)
            o->value = values[literal++];
    }
    h->block = (struct block){
        .function = "hand", .granularity = GRANULARITY_STATEMENT, .operands = h->parsed.operands,
        .n_operands = h->parsed.n_operands, .exits = h->exits, .n_exits = h->parsed.n_exits,
        .falls_through = hand_falls_through(&h->parsed), .text = text, .text_length = strlen(text),
    };
    memcpy(h->block.key, h->parsed.key, sizeof h->block.key);
    return &h->block;
}

static inline void hand_free(struct hand_block *h)
{
    block_text_fini(&h->parsed);
}

#endif
