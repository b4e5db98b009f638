/*
 * reference_text.c: a block's text as a C function over addresses: `int ref_N(a, fuel, seen)`.
 * Operand i is at a[i], so one compiled reference serves every frame and every literal. Each label
 * costs one unit of fuel, which ends endless loops at the same place on every machine; each branch
 * notes which way it went.
 */
#include "lego/reference_text.h"

#include "lego/reference.h"

#include <string.h>

static void define(const struct block_operand *o, int i, struct buf *out)
{
    bool is_value = o->type != IR_BYTES && o->kind != OPERAND_FUNCTION;
    if (is_value)
        buf_printf(out, "#define %s (*(%s *)a[%d])\n", o->name, ir_type_name(o->type), i);
    else
        buf_printf(out, "#define %s (a[%d])\n", o->name, i);
}

static bool is_label(const char *line, size_t n)
{
    const char *colon = memchr(line, ':', n);
    return colon && colon > line && line[0] == 'L' && !memchr(line, ' ', (size_t)(colon - line));
}

/** "if (CONDITION) goto L;" as a statement that notes the outcome. */
static void put_branch(const char *line, size_t n, int branch, struct buf *out)
{
    size_t jump = n;
    while (jump > 0 && strncmp(line + jump - 1, "goto ", 5) != 0)
        jump--;
    jump -= jump > 0;
    int taken = 2 * branch % REFERENCE_OUTCOMES, not_taken = taken + 1;
    buf_append(out, line, jump);
    buf_printf(out, "{ seen[%d] |= 1UL << %d; ", taken / 64, taken % 64);
    buf_append(out, line + jump, n - jump);
    buf_printf(out, " } seen[%d] |= 1UL << %d;\n", not_taken / 64, not_taken % 64);
}

static void put_body(const char *body, const char *end, struct buf *out)
{
    int branch = 0;
    while (body < end) {
        const char *newline = memchr(body, '\n', (size_t)(end - body));
        const char *stop = newline ? newline : end;
        while (body < stop && *body == ' ')
            body++;
        size_t n = (size_t)(stop - body);
        if (n > 4 && strncmp(body, "if (", 4) == 0) {
            put_branch(body, n, branch++, out);
        } else {
            buf_append(out, body, n);
            buf_puts(out, is_label(body, n) ? " if (--*fuel < 0) return -1;\n" : "\n");
        }
        body = newline ? newline + 1 : end;
    }
}

int reference_branches(const struct block *block)
{
    int n = 0;
    for (const char *p = block->text; (p = strstr(p, "\nif (")) != NULL; p++)
        n++;
    return n;
}

bool reference_print(const struct block *block, int number, struct buf *out)
{
    const char *begin = strstr(block->text, "\nbegin\n");
    const char *end = begin ? strstr(begin + 6, "\nend\n") : NULL;
    if (!end)
        return false;
    for (int i = 0; i < block->n_operands; i++)
        define(&block->operands[i], i, out);
    buf_printf(out, "int ref_%d(char *const *a, long *fuel, unsigned long *seen)\n{\n", number);
    if (end > begin + 6)
        put_body(begin + 7, end, out);
    buf_puts(out, "return 0;\n");
    for (int i = 1; i <= block->n_exits; i++)
        buf_printf(out, "x%d: return %d;\n", i, i);
    buf_puts(out, "}\n");
    for (int i = 0; i < block->n_operands; i++)
        buf_printf(out, "#undef %s\n", block->operands[i].name);
    return !out->failed;
}
