/*
 * Fuzz target: answers of the block model (lego/model_text.h), as fragments. What is one and parses is put
 * into the model's language and back, twice, and must be the same fragment then.
 *
 * Sources: src/lego/model_text.c src/lego/fragment.c src/lego/fragment_print.c src/lego/ir.c src/lego/heap.c
 * Sources: src/lego/lint_registers.c
 */
#include "lego/fragment.h"
#include "lego/model_text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
    if (!condition)
        abort();
}

/* v1 = 5000000000 + *(long *)(v2 + 24): two numbers of the block's own. */
static struct block *make_block(void)
{
    static struct ir_object slot = {.place = IR_LOCAL, .type = IR_I64, .size = 8, .align = 8, .name = "x"},
                            bytes = {.place = IR_LOCAL, .type = IR_BYTES, .size = 40, .align = 8, .name = "y"};
    static struct ir_expr address = {.op = IR_ADDRESS, .type = IR_PTR, .object = &bytes, .value = 24},
                          load = {.op = IR_LOAD, .type = IR_I64, .a = &address},
                          number = {.op = IR_INT, .type = IR_I64, .value = 5000000000},
                          sum = {.op = IR_ADD, .type = IR_I64, .a = &number, .b = &load};
    static struct ir_instr code = {.code = IR_ASSIGN, .object = &slot, .value = &sum};
    static struct block_operand operands[] = {
        {.kind = OPERAND_SLOT, .type = IR_I64, .size = 8, .align = 8, .name = "v1", .object = &slot},
        {.kind = OPERAND_SLOT, .type = IR_BYTES, .size = 40, .align = 8, .name = "v2", .object = &bytes},
    };
    static int exits[] = {1, 2};
    static struct block block = {.code = &code, .n_code = 1, .operands = operands, .n_operands = 2,
                                 .exits = exits, .n_exits = 2, .falls_through = true};
    return &block;
}

/* The fragment in the printer's form; false: it does not parse. */
static bool normalise(const struct buf *text, struct buf *out)
{
    struct fragment f;
    ashlar_error err;
    if (fragment_parse(text->data ? text->data : "", text->length, &f, &err) != ASHLAR_OK)
        return false;
    must(fragment_print(&f, out));
    fragment_fini(&f);
    return true;
}

/* A fragment in the printer's form through the language; false: the language lacks something in it. */
static bool there_and_back(const struct block *block, const struct buf *first, struct buf *second)
{
    struct buf answer, fragment;
    buf_init(&answer, 1 << 20);
    buf_init(&fragment, 1 << 20);
    bool said = model_text_answer(block, first->data ? first->data : "", &answer);
    if (said) {
        must(model_text_fragment(block, answer.data ? answer.data : "", answer.length, &fragment));
        must(normalise(&fragment, second));
    }
    buf_fini(&answer);
    buf_fini(&fragment);
    return said;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct block *block = make_block();
    struct buf texts[4];
    for (int i = 0; i < 4; i++)
        buf_init(&texts[i], 1 << 20);
    if (model_text_fragment(block, (const char *)data, size, &texts[0]) &&
        normalise(&texts[0], &texts[1]) && there_and_back(block, &texts[1], &texts[2])) {
        /* labels have been numbered anew by now: from here on nothing changes */
        must(there_and_back(block, &texts[2], &texts[3]));
        must(texts[2].length == texts[3].length &&
             (texts[2].length == 0 ||
              memcmp(texts[2].data, texts[3].data, texts[2].length) == 0));
    }
    for (int i = 0; i < 4; i++)
        buf_fini(&texts[i]);
    return 0;
}
