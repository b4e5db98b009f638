/*
 * fragment_print.c: a parsed fragment as text again: canonical, or with places for its operands'
 * names. Both walk the same lines; they differ in what they write for a symbol.
 */
#include "lego/fragment.h"

#include <inttypes.h>
#include <string.h>

#include "lego/lint_x86_64.h"

struct writer {
    fragment_name_fn name; /* NULL: canonical */
    void *context;
    int serial;
    struct buf *out;
};

/** ".L7" is ".L" serial "_7" in a function: fresh among all its fragments. */
static void put_symbol(const struct writer *w, const char *symbol)
{
    if (!w->name)
        buf_puts(w->out, symbol);
    else if (symbol[0] == '.')
        buf_printf(w->out, ".LB%d_%s", w->serial, symbol + 2);
    else
        buf_puts(w->out, w->name(w->context, symbol));
}

static void put_sum(const struct writer *w, const struct fragment_operand *o, bool zero_shown)
{
    if (o->symbol[0]) {
        put_symbol(w, o->symbol);
        if (o->value)
            buf_printf(w->out, "%+" PRId64, o->value);
    } else if (o->value || zero_shown) {
        buf_printf(w->out, "%" PRId64, o->value);
    }
}

static void put_operand(const struct writer *w, const struct fragment_operand *o)
{
    char name[8];
    switch (o->kind) {
    case FRAGMENT_REGISTER:
        buf_printf(w->out, "%%%s", x86_register_name(o->reg, name));
        break;
    case FRAGMENT_IMMEDIATE:
        buf_puts(w->out, "$");
        put_sum(w, o, true);
        break;
    case FRAGMENT_TARGET:
        put_sum(w, o, true);
        break;
    case FRAGMENT_MEMORY:
        put_sum(w, o, false);
        buf_puts(w->out, "(");
        if (o->base >= 0)
            buf_printf(w->out, "%%%s", x86_register_name(o->base, name));
        if (o->index >= 0)
            buf_printf(w->out, ",%%%s,%d", x86_register_name(o->index, name), o->scale);
        buf_puts(w->out, ")");
        break;
    }
}

/** A line each for a label and an instruction: source_line() in verify.c counts them so. */
static bool put_lines(const struct writer *w, const struct fragment *f)
{
    for (int i = 0; i < f->n; i++) {
        const struct fragment_line *line = &f->lines[i];
        if (line->label[0]) {
            put_symbol(w, line->label);
            buf_puts(w->out, ":\n");
        }
        if (!line->mnemonic[0])
            continue;
        buf_printf(w->out, "\t%s", line->mnemonic);
        for (int k = 0; k < line->n_operands; k++) {
            buf_puts(w->out, k ? ", " : "\t");
            put_operand(w, &line->operands[k]);
        }
        buf_puts(w->out, "\n");
    }
    return !w->out->failed;
}

bool fragment_print(const struct fragment *f, struct buf *out)
{
    struct writer w = {.out = out};
    return put_lines(&w, f);
}

bool fragment_instantiate(const struct fragment *f, fragment_name_fn name, void *context,
                          int serial, struct buf *out)
{
    struct writer w = {name, context, serial, out};
    return put_lines(&w, f);
}
