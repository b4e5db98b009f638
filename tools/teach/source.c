/*
 * source.c: a block as a C function. Every operand is an external symbol of its own name, so that
 * the compiler's code refers to it as "v1(%rip)" and rewriting is a matter of names. Exits are asm
 * markers that the flow reader turns into jumps.
 *
 * Blocks share one file: macros give each block's symbols a name of their own in C, asm labels give
 * them their short name in the assembly.
 */
#include "teach.h"

#include <inttypes.h>

/** Size 0: unknown, so the compiler must not reason from it. */
static void declare_bytes(const struct block_operand *o, struct buf *out)
{
    buf_printf(out, "extern char %s[", o->name);
    if (o->size > 0)
        buf_printf(out, "%" PRId64, o->size);
    buf_printf(out, "] __asm__(\"%s\") __attribute__((aligned(%" PRId64 ")));\n", o->name,
               o->align);
}

static void declare(const struct block_operand *o, int index, struct buf *out)
{
    buf_printf(out, "#define %s b%d_%s\n", o->name, index, o->name);
    const char *constant =
        o->kind == OPERAND_CONSTANT || o->kind == OPERAND_LITERAL ? "const " : "";
    if (o->kind == OPERAND_FUNCTION)
        buf_printf(out, "extern void %s(void) __asm__(\"%s\");\n", o->name, o->name);
    else if (o->type == IR_BYTES)
        declare_bytes(o, out);
    else if (o->type == IR_PTR)
        buf_printf(out, "extern char *%s%s __asm__(\"%s\");\n", constant, o->name, o->name);
    else
        buf_printf(out, "extern %s%s %s __asm__(\"%s\");\n", constant, ir_type_name(o->type),
                   o->name, o->name);
}

void source_function(const struct block_text *block, int index, struct buf *out)
{
    for (int i = 0; i < block->n_operands; i++)
        declare(&block->operands[i], index, out);
    buf_printf(out, "void b%d(void)\n{\n__asm__ volatile(\"#START\" ::: \"memory\");\n", index);
    buf_printf(out, "# 1 \"b%d\"\n", index);
    buf_append(out, block->body, block->body_length);
    buf_puts(out, "__asm__ volatile(\"#END\" ::: \"memory\");\nreturn;\n");
    for (int x = 1; x <= block->n_exits; x++)
        buf_printf(out, "x%d: __asm__ volatile(\"#EXIT x%d\" ::: \"memory\"); return;\n", x, x);
    buf_puts(out, "}\n");
    for (int i = 0; i < block->n_operands; i++)
        buf_printf(out, "#undef %s\n", block->operands[i].name);
}
