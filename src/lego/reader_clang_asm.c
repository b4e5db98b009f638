/*
 * reader_clang_asm.c: asm statements without instructions, which programs use as barriers: asm("" :
 * "+r"(x)). They mean the evaluation of their operands, and an assignment where an input is tied to
 * an output. Everything is in memory between blocks, so there is nothing else to keep apart. Other
 * asm is refused.
 */
#include <ctype.h>
#include <string.h>

#include "lego/reader_clang.h"

struct operands {
    struct children list; /* outputs, then inputs */
    int n_outputs, next;
    int tied, tied_to;    /* the input that is tied to an output, -1: none */
};

static struct stmt *evaluation(struct reader *r, struct expr *e)
{
    struct stmt *s = heap_take(r->heap, sizeof *s);
    s->kind = STMT_EXPR;
    s->at = e->at;
    s->expr = e;
    return s;
}

/* One operand from its constraint on; returns the token behind it. */
static struct token read_operand(struct reader *r, CXCursor c, struct operands *o, struct token t,
                                 bool output)
{
    char first = r->text[t.start + 1];
    struct token open = reader_token(r, t.end);
    if (o->next >= o->list.n || !reader_token_is(r, open, "("))
        reader_refuse(r, c, "inline assembly with operands of this form");
    if (!output && (isdigit((unsigned char)first) || first == '[')) {
        if (o->tied >= 0 || first == '[' || first - '0' >= o->n_outputs || t.end - t.start != 3)
            reader_refuse(r, c, "inline assembly with several tied operands");
        o->tied = o->next;
        o->tied_to = first - '0';
    }
    o->n_outputs += output;
    struct token close = reader_token_after(r, o->list.items[o->next++]);
    return reader_token(r, close.end);
}

/* The sections behind the template: outputs, inputs, clobbers. */
static void read_operands(struct reader *r, CXCursor c, struct operands *o, struct token t)
{
    int section = -1;
    while (t.kind != TOKEN_END && !reader_token_is(r, t, ")")) {
        if (reader_token_is(r, t, ":")) {
            section++;
            t = reader_token(r, t.end);
        } else if (t.kind == TOKEN_STRING && section >= 0 && section < 2) {
            t = read_operand(r, c, o, t, section == 0);
        } else {
            t = reader_token(r, t.end); /* commas, [names], clobbers */
        }
    }
    if (section > 2 || o->next != o->list.n)
        reader_refuse(r, c, "inline assembly with operands of this form");
}

static void append_evaluations(struct reader *r, struct stmt *block, const struct operands *o)
{
    for (int i = 0; i < o->list.n; i++) {
        if (i == o->tied || i == o->tied_to)
            continue;
        heap_grow(r->heap, &block->items, block->n, sizeof *block->items);
        block->items[block->n++] = evaluation(r, reader_rvalue(r, o->list.items[i]));
    }
}

struct stmt *reader_asm(struct reader *r, CXCursor c)
{
    struct operands o = {.list = reader_expressions(r, c), .tied = -1, .tied_to = -1};
    struct token t = reader_first_token(r, c);
    while (t.kind != TOKEN_END && t.kind != TOKEN_STRING) {
        if (reader_token_is(r, t, "goto"))
            reader_refuse(r, c, "asm goto");
        t = reader_token(r, t.end);
    }
    size_t at = t.start;
    int64_t n;
    reader_string_tokens(r, c, &at, 1, &n);
    if (n != 1)
        reader_refuse(r, c, "inline assembly");
    if (o.list.n > 0 && clang_getCursorKind(o.list.items[0]) == CXCursor_StringLiteral)
        reader_refuse(r, c, "inline assembly with operands of this form");
    read_operands(r, c, &o, reader_token(r, at));
    struct stmt *block = heap_take(r->heap, sizeof *block);
    block->kind = STMT_BLOCK;
    block->at = reader_location(r, c);
    append_evaluations(r, block, &o);
    if (o.tied >= 0) {
        struct expr *to = reader_expr(r, o.list.items[o.tied_to]);
        struct expr *e = reader_node(r, EXPR_ASSIGN, type_plain(to->type), block->at);
        e->a = to;
        e->b = reader_cast(r, reader_rvalue(r, o.list.items[o.tied]), to->type);
        heap_grow(r->heap, &block->items, block->n, sizeof *block->items);
        block->items[block->n++] = evaluation(r, e);
    }
    return block;
}
