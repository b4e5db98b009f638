/*
 * block.c: the normalised form of a run of instructions: names by order of first use, literals out
 * of the text, the key (docs/blocks.md is the contract). The body is printed first, names being
 * given as the printer asks for them; the header lines are then known.
 *
 * It must not know how the run was chosen (block_cut.c), nor what a name stands for in assembly.
 */
#include "lego/block.h"
#include "lego/block_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { MAX_TEXT = 1 << 20, N_OPERAND_KINDS = OPERAND_LITERAL + 1 };

/** A label that the run defines or jumps to. */
struct norm_label {
    int label;
    bool is_defined, is_target;
    char name[16]; /* "" until it is printed */
};

/** A block while its text is made: counts give operands their numbers, labels theirs. */
struct norm {
    struct heap *heap;
    struct block *block;
    int counts[N_OPERAND_KINDS];
    struct norm_label *labels;
    int n_labels, n_local; /* n_local: L names given */
};

const char *granularity_name(enum granularity g)
{
    static const char *const names[] = {"operation", "statement", "block", "function"};
    return names[g];
}

static struct norm_label *find_label(struct norm *s, int label)
{
    for (int i = 0; i < s->n_labels; i++)
        if (s->labels[i].label == label)
            return &s->labels[i];
    heap_grow(s->heap, &s->labels, s->n_labels, sizeof *s->labels);
    struct norm_label *new = &s->labels[s->n_labels++];
    *new = (struct norm_label){.label = label};
    return new;
}

/** Before printing: a jump forward must know whether its label is inside (L) or an exit (x). */
static void collect_labels(struct norm *s)
{
    for (int i = 0; i < s->block->n_code; i++) {
        const struct ir_instr *instr = &s->block->code[i];
        if (instr->code == IR_LABEL)
            find_label(s, instr->label)->is_defined = true;
        else if (instr->code == IR_JUMP || instr->code == IR_BRANCH)
            find_label(s, instr->label)->is_target = true;
    }
}

static enum operand_kind kind_of(const struct ir_object *object)
{
    switch (object->place) {
    case IR_STATIC:
        return OPERAND_STATIC;
    case IR_CONSTANT:
        return OPERAND_CONSTANT;
    case IR_FUNCTION:
        return OPERAND_FUNCTION;
    default:
        return OPERAND_SLOT;
    }
}

static struct block_operand *add_operand(struct norm *s, enum operand_kind kind)
{
    static const char letters[N_OPERAND_KINDS] = {'v', 'g', 'k', 'f', 'c'};
    struct block *b = s->block;
    heap_grow(s->heap, &b->operands, b->n_operands, sizeof *b->operands);
    struct block_operand *o = &b->operands[b->n_operands++];
    *o = (struct block_operand){.kind = kind};
    snprintf(o->name, sizeof o->name, "%c%d", letters[kind], ++s->counts[kind]);
    return o;
}

static struct block_operand *new_operand_of(struct norm *s, const struct ir_object *object)
{
    struct block_operand *o = add_operand(s, kind_of(object));
    o->object =
        (struct ir_object *)object; /* the block's owner may change it, the printer may not */
    o->type = object->type;
    o->size = object->size;
    o->align = object->align;
    return o;
}

static struct block_operand *operand_of(struct norm *s, const struct ir_object *object)
{
    struct block *b = s->block;
    for (int i = 0; i < b->n_operands; i++)
        if (b->operands[i].object == object)
            return &b->operands[i];
    return new_operand_of(s, object);
}

/* A constant is named anew at each use, like a literal: that two are equal is no part of the text.
 */
static const char *name_object(void *context, const struct ir_object *object)
{
    if (object->place == IR_CONSTANT)
        return new_operand_of(context, object)->name;
    return operand_of(context, object)->name;
}

/** Fits the sign-extended 32-bit immediate of a 64-bit instruction, or is narrower anyway. */
static bool is_immediate(const struct ir_expr *e)
{
    return ir_type_size(e->type) < 8 || e->value == (int32_t)e->value;
}

static const char *name_literal(void *context, const struct ir_expr *literal)
{
    struct norm *s = context;
    if (!is_immediate(literal))
        return NULL; /* digits */
    struct block_operand *o = add_operand(s, OPERAND_LITERAL);
    o->type = literal->type;
    o->size = o->align = ir_type_size(literal->type);
    o->value = literal->value;
    return o->name;
}

static const char *name_label(void *context, int label)
{
    struct norm *s = context;
    struct norm_label *l = find_label(s, label);
    if (l->name[0])
        return l->name;
    if (l->is_defined) {
        snprintf(l->name, sizeof l->name, "L%d", ++s->n_local);
        return l->name;
    }
    struct block *b = s->block;
    heap_grow(s->heap, &b->exits, b->n_exits, sizeof *b->exits);
    /* the n-th exit is what xn means in fragments; the composer looks it up here */
    b->exits[b->n_exits++] = label;
    snprintf(l->name, sizeof l->name, "x%d", b->n_exits);
    return l->name;
}

static void print_body(struct norm *s, struct buf *out)
{
    struct ir_printer printer = {name_object, name_literal, name_label, s, out};
    for (int i = 0; i < s->block->n_code; i++) {
        const struct ir_instr *instr = &s->block->code[i];
        if (instr->code == IR_LABEL && !find_label(s, instr->label)->is_target)
            continue; /* nobody jumps there: no part of the meaning */
        ir_print_instr(&printer, instr);
    }
}

static bool is_used_inside(const struct ir_expr *e, const struct ir_object *object)
{
    return e && (e->object == object || is_used_inside(e->a, object) ||
                 is_used_inside(e->b, object) || is_used_inside(e->c, object));
}

/** Whether an object is met only as a whole value, "p = g1;": nothing is read of it or computed
 * with it. */
static bool is_only_pointed_at(const struct block *b, const struct ir_object *object)
{
    for (int i = 0; i < b->n_code; i++) {
        const struct ir_expr *value = b->code[i].value;
        bool whole =
            value && value->op == IR_ADDRESS && value->object == object && value->value == 0;
        if (is_used_inside(b->code[i].address, object) || (!whole && is_used_inside(value, object)))
            return false;
    }
    return true;
}

/** How long a string is does not matter to who stores its address: one text for all lengths. */
static void forget_sizes(struct block *b)
{
    for (int i = 0; i < b->n_operands; i++) {
        struct block_operand *o = &b->operands[i];
        if (o->kind == OPERAND_STATIC && o->type == IR_BYTES && is_only_pointed_at(b, o->object)) {
            o->size = 0;
            o->align = 1;
        }
    }
}

static void print_operand(const struct block_operand *o, struct buf *out)
{
    static const char *const storage[N_OPERAND_KINDS] = {"", "static ", "const ", "function ",
                                                         "literal "};
    buf_puts(out, storage[o->kind]);
    if (o->kind == OPERAND_FUNCTION)
        buf_printf(out, "%s\n", o->name);
    else if (o->type != IR_BYTES)
        buf_printf(out, "%s %s\n", ir_type_name(o->type), o->name);
    else
        buf_printf(out, "bytes %s[%" PRId64 "] align %" PRId64 "\n", o->name,
                   o->size > 0 ? o->size : 0, o->align > 0 ? o->align : 1);
}

static void print_header(const struct block *b, struct buf *out)
{
    buf_puts(out, "block x86-64\n");
    for (int i = 0; i < b->n_operands; i++)
        print_operand(&b->operands[i], out);
    for (int i = 1; i <= b->n_exits; i++)
        buf_printf(out, "exit x%d\n", i);
}

static void note_uses(struct norm *s, const struct ir_expr *e)
{
    if (!e)
        return;
    if (e->op == IR_READ)
        operand_of(s, e->object)->is_read = true;
    else if (e->op == IR_ADDRESS)
        operand_of(s, e->object)->is_addressed = true;
    note_uses(s, e->a);
    note_uses(s, e->b);
    note_uses(s, e->c);
}

/** After printing, so that every operand has its name already. */
static void note_accesses(struct norm *s)
{
    for (int i = 0; i < s->block->n_code; i++) {
        const struct ir_instr *instr = &s->block->code[i];
        note_uses(s, instr->address);
        note_uses(s, instr->value);
        if (instr->code == IR_ASSIGN)
            operand_of(s, instr->object)->is_written = true;
    }
}

/** Into the order of the header lines: by kind, then by first use. */
static void sort_operands(struct norm *s)
{
    struct block *b = s->block;
    struct block_operand *sorted = heap_take(s->heap, (size_t)(b->n_operands + 1) * sizeof *sorted);
    int n = 0;
    for (int kind = 0; kind < N_OPERAND_KINDS; kind++)
        for (int i = 0; i < b->n_operands; i++)
            if ((int)b->operands[i].kind == kind)
                sorted[n++] = b->operands[i];
    b->operands = sorted;
}

static void make_text(struct norm *s)
{
    struct block *b = s->block;
    struct buf body, text;
    buf_init(&body, MAX_TEXT);
    buf_init(&text, MAX_TEXT);
    print_body(s, &body);
    sort_operands(s);
    forget_sizes(b);
    print_header(b, &text);
    buf_printf(&text, "begin\n%send\n", body.data ? body.data : "");
    bool complete = !body.failed && !text.failed;
    if (complete) {
        b->text_length = text.length;
        b->text = heap_copy(s->heap, text.data, text.length);
    }
    buf_fini(&body);
    buf_fini(&text);
    if (!complete)
        heap_fail(s->heap, b->at, "a block of this function is too long to be translated");
}

struct block *block_make(struct heap *h, struct ir_function *f, const struct ir_instr *code, int n,
                         enum granularity granularity)
{
    struct block *b = heap_take(h, sizeof *b);
    b->function = f->decl ? f->decl->name : "";
    b->at = code[0].at;
    b->granularity = granularity;
    b->code = code;
    b->n_code = n;
    /* a branch at the end may fall through, a jump may not */
    b->falls_through = code[n - 1].code != IR_JUMP;
    struct norm s = {.heap = h, .block = b};
    collect_labels(&s);
    make_text(&s);
    note_accesses(&s);
    block_text_key(b->text, b->text_length, b->key);
    return b;
}
