/*
 * Fuzz target: fragments as translators answer them, through parser, printer and lint. What parses
 * is printed and parsed again to the same text; the lint must end whatever the jumps are.
 *
 * Sources: src/lego/fragment.c src/lego/fragment_print.c src/lego/lint.c src/lego/lint_flow.c
 * Sources: src/lego/lint_table.c src/lego/lint_form.c src/lego/lint_registers.c
 */
#include "lego/fragment.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct block_operand operands[] = {
    {.kind = OPERAND_SLOT, .type = IR_I32, .size = 4, .align = 4, .name = "v1"},
    {.kind = OPERAND_SLOT, .type = IR_BYTES, .size = 24, .align = 8, .name = "v2"},
    {.kind = OPERAND_SLOT, .type = IR_F80, .size = 16, .align = 16, .name = "v3"},
    {.kind = OPERAND_STATIC, .type = IR_PTR, .size = 8, .align = 8, .name = "g1"},
    {.kind = OPERAND_CONSTANT, .type = IR_F64, .size = 8, .align = 8, .name = "k1"},
    {.kind = OPERAND_FUNCTION, .type = IR_VOID, .name = "f1"},
    {.kind = OPERAND_LITERAL, .type = IR_I32, .size = 4, .align = 4, .name = "c1", .value = -7},
    {.kind = OPERAND_LITERAL,
     .type = IR_I64,
     .size = 8,
     .align = 8,
     .name = "c2",
     .value = INT64_MIN},
};

static const char *name(void *context, const char *operand)
{
    (void)context;
    return operand;
}

static void must(bool condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int exits[] = {1, 2};
    struct block block = {.operands = operands, .n_operands = 8, .exits = exits, .n_exits = 2,
                          .falls_through = size % 2 == 0};
    struct fragment f, again;
    ashlar_error err;
    if (fragment_parse((const char *)data, size, &f, &err) != ASHLAR_OK)
        return 0;
    struct buf text, second;
    buf_init(&text, 1 << 20);
    buf_init(&second, 1 << 20);
    must(fragment_print(&f, &text));
    if (text.length > 0) {
        must(fragment_parse(text.data, text.length, &again, &err) == ASHLAR_OK);
        must(fragment_print(&again, &second) && strcmp(text.data, second.data) == 0);
        bool accepted = fragment_lint(&f, &block, &err) == ASHLAR_OK;
        must(accepted == (fragment_lint(&again, &block, &err) == ASHLAR_OK));
        buf_clear(&second);
        must(fragment_instantiate(&f, name, NULL, 3, &second));
        fragment_fini(&again);
    }
    buf_fini(&text);
    buf_fini(&second);
    fragment_fini(&f);
    return 0;
}
