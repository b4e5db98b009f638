/*
 * block_cut.c: chooses the runs of instructions that become blocks. One pass from top to bottom:
 * what only the composer can emit is skeleton, everything between is cut at the granularity's
 * borders and wherever somebody outside jumps into it.
 *
 * Invariants:
 *  1. A block is entered at its first instruction only: whoever jumps to a label inside is inside.
 *  2. Labels and jumps at a block's borders are skeleton; so is a lone branch on a variable.
 *  3. A block has at most MAX_INSTRUCTIONS instructions and about MAX_NODES expression nodes,
 *     unless one instruction alone is larger.
 *  4. An access to a volatile object is alone with its instruction: no translation can merge two.
 *  5. What no path reaches is in no piece.
 *
 * Any instruction border is a sound place to cut: between instructions all values are in memory.
 */
#include "lego/block.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_INSTRUCTIONS = 200, MAX_NODES = 1200 };

/** Where a label stands and which instructions refer to it, as positions in the code that is cut.
 */
struct label_use {
    int label, at;
    int first, last; /* references; first > last: none */
};

struct cutter {
    struct heap *heap;
    struct ir_function *function;
    const struct ir_instr *code;
    int n;
    enum granularity granularity;
    bool is_flat;             /* code came from ir_flatten() */
    bool *border;             /* (n + 1) no run reaches over position i */
    struct label_use *labels; /* (n_labels) by label */
    int n_labels;
    int *label_at;            /* (n) index in labels, -1: not a label */
    struct piece *pieces;
    int n_pieces;
};

static bool is_hard(const struct ir_instr *i)
{
    return i->code == IR_CALL || i->code == IR_RETURN || i->code == IR_SWITCH ||
           i->code == IR_VA_START;
}

static bool is_lone_branch(const struct ir_instr *i)
{
    return i->code == IR_BRANCH && i->value->op == IR_READ;
}

static int compare_labels(const void *a, const void *b)
{
    const struct label_use *x = a, *y = b;
    return (x->label > y->label) - (x->label < y->label);
}

static struct label_use *find_label(struct cutter *c, int label)
{
    struct label_use wanted = {.label = label};
    return c->n_labels
               ? bsearch(&wanted, c->labels, (size_t)c->n_labels, sizeof wanted, compare_labels)
               : NULL;
}

static void note_reference(struct cutter *c, int label, int at)
{
    struct label_use *use = find_label(c, label);
    if (!use)
        return; /* defined outside: an exit */
    if (use->first > at)
        use->first = at;
    if (use->last < at)
        use->last = at;
}

static void find_labels(struct cutter *c)
{
    for (int i = 0; i < c->n; i++) {
        if (c->code[i].code != IR_LABEL)
            continue;
        heap_grow(c->heap, &c->labels, c->n_labels, sizeof *c->labels);
        c->labels[c->n_labels++] = (struct label_use){c->code[i].label, i, c->n, -1};
    }
    if (c->n_labels)
        qsort(c->labels, (size_t)c->n_labels, sizeof *c->labels, compare_labels);
    c->label_at = heap_take(c->heap, (size_t)(c->n + 1) * sizeof *c->label_at);
    for (int i = 0; i < c->n; i++) {
        const struct ir_instr *instr = &c->code[i];
        c->label_at[i] = -1;
        if (instr->code == IR_JUMP || instr->code == IR_BRANCH || instr->code == IR_SWITCH)
            note_reference(c, instr->label, i);
        for (int k = 0; instr->code == IR_SWITCH && k < instr->n_cases; k++)
            note_reference(c, instr->cases[k].label, i);
    }
    for (int l = 0; l < c->n_labels; l++)
        c->label_at[c->labels[l].at] = l;
}

/** Whether somebody outside [first, end) jumps to the label at position at. */
static bool is_entered(const struct cutter *c, int at, int first, int end)
{
    if (c->label_at[at] < 0)
        return false;
    const struct label_use *use = &c->labels[c->label_at[at]];
    return use->first <= use->last && (use->first < first || use->last >= end);
}

static bool targets_inside(struct cutter *c, const struct ir_instr *jump, int first, int end)
{
    const struct label_use *use = find_label(c, jump->label);
    return use && use->at >= first && use->at < end;
}

static int count_nodes(const struct ir_expr *e)
{
    return e ? 1 + count_nodes(e->a) + count_nodes(e->b) + count_nodes(e->c) : 0;
}

static int instr_nodes(const struct ir_instr *i)
{
    return 1 + count_nodes(i->address) + count_nodes(i->value);
}

static bool has_volatile(const struct ir_expr *e)
{
    return e && (e->is_volatile || (e->object && e->object->is_volatile) || has_volatile(e->a) ||
                 has_volatile(e->b) || has_volatile(e->c));
}

static bool is_volatile(const struct ir_instr *i)
{
    return has_volatile(i->value) || has_volatile(i->address) ||
           (i->code == IR_ASSIGN && i->object->is_volatile);
}

/** A control statement that can be one block: nothing only the composer can emit, not entered, not
 * too long. */
static bool is_whole(const struct cutter *c, int first, int end)
{
    int nodes = 0;
    if (end - first > MAX_INSTRUCTIONS)
        return false;
    for (int i = first; i < end; i++) {
        nodes += instr_nodes(&c->code[i]);
        if (is_hard(&c->code[i]) || is_entered(c, i, first, end) || nodes > MAX_NODES)
            return false;
    }
    return true;
}

/** Granularity block: a border before and after every outermost control statement that can be a
 * block. */
static void mark_regions(struct cutter *c)
{
    const struct ir_function *f = c->function;
    ptrdiff_t base = c->code - f->code;
    bool *closed = heap_take(c->heap, (size_t)(f->n_regions + 1)); /* one block, or part of one */
    for (int r = 0; r < f->n_regions; r++) {
        const struct ir_region *region = &f->regions[r];
        ptrdiff_t first = region->first - base, end = region->last - base;
        closed[r] = region->parent >= 0 && closed[region->parent];
        if (closed[r] || first < 0 || end > c->n || first >= end)
            continue;
        c->border[first] = c->border[end] = true;
        closed[r] = end - first < c->n && is_whole(c, (int)first, (int)end);
    }
}

static bool in_function(const struct cutter *c)
{
    const struct ir_function *f = c->function;
    return c->code >= f->code && c->code + c->n <= f->code + f->n_code;
}

static void mark_borders(struct cutter *c)
{
    c->border = heap_take(c->heap, (size_t)c->n + 1);
    if (c->granularity == GRANULARITY_BLOCK && in_function(c))
        mark_regions(c);
    for (int i = 0; i < c->n; i++) {
        if (c->granularity <= GRANULARITY_STATEMENT && i > 0 &&
            c->code[i].statement != c->code[i - 1].statement)
            c->border[i] = true;
        if (c->is_flat || is_volatile(&c->code[i]))
            c->border[i] = c->border[i + 1] = true;
    }
}

static void add_skeleton(struct cutter *c, const struct ir_instr *instr)
{
    heap_grow(c->heap, &c->pieces, c->n_pieces, sizeof *c->pieces);
    c->pieces[c->n_pieces++] = (struct piece){.kind = PIECE_SKELETON, .skeleton = instr};
}

static void add_block(struct cutter *c, const struct ir_instr *code, int n)
{
    struct block *block = block_make(c->heap, c->function, code, n, c->granularity);
    heap_grow(c->heap, &c->pieces, c->n_pieces, sizeof *c->pieces);
    c->pieces[c->n_pieces++] = (struct piece){.kind = PIECE_BLOCK, .block = block};
}

/** Where the run that begins at first must end because of borders and length. */
static int run_limit(const struct cutter *c, int first)
{
    int end = first, nodes = 0, statement_end = 0;
    while (end < c->n && !is_hard(&c->code[end]) && (end == first || !c->border[end])) {
        if (end > first && c->code[end].statement != c->code[end - 1].statement)
            statement_end = end;
        nodes += instr_nodes(&c->code[end]);
        if (end > first && (end - first >= MAX_INSTRUCTIONS || nodes > MAX_NODES))
            return statement_end ? statement_end : end;
        end++;
    }
    return end;
}

/** Shrinks [first, end) until nobody outside jumps into it. */
static int run_unentered(const struct cutter *c, int first, int end)
{
    for (int i = first + 1; i < end; i++) {
        if (is_entered(c, i, first, end)) {
            end = i; /* jumps from behind i are outside now: look again */
            i = first;
        }
    }
    return end;
}

/** Leaves trailing labels, and jumps out of the run, to the skeleton. */
static int run_strip(struct cutter *c, int first, int end)
{
    while (end > first + 1) {
        const struct ir_instr *last = &c->code[end - 1];
        bool out = last->code == IR_JUMP && !targets_inside(c, last, first, end - 1);
        if (last->code != IR_LABEL && !out)
            break;
        end--;
    }
    return end;
}

static void cut_code(struct cutter *c);

/** The pieces of code at operation granularity, appended to c's. */
static void add_operations(struct cutter *c, const struct ir_instr *code, int n)
{
    struct ir_list flat = {0};
    ir_flatten(c->heap, c->function, code, n, &flat);
    struct cutter inner = {.heap = c->heap, .function = c->function, .code = flat.code, .n = flat.n,
                           .granularity = GRANULARITY_OPERATION, .is_flat = true,
                           .pieces = c->pieces, .n_pieces = c->n_pieces};
    cut_code(&inner);
    c->pieces = inner.pieces;
    c->n_pieces = inner.n_pieces;
}

static void add_run(struct cutter *c, int first, int end)
{
    const struct ir_instr *code = c->code + first;
    int n = end - first;
    if (n == 1 && is_lone_branch(code))
        add_skeleton(c, code);
    else if (c->granularity == GRANULARITY_OPERATION && !c->is_flat)
        add_operations(c, code, n);
    else
        add_block(c, code, n);
}

static int skip_unreachable(const struct cutter *c, int i)
{
    while (i < c->n && c->code[i].code != IR_LABEL)
        i++;
    return i;
}

static bool never_falls_through(const struct ir_instr *i)
{
    return i->code == IR_JUMP || i->code == IR_RETURN || i->code == IR_SWITCH;
}

static void cut_code(struct cutter *c)
{
    find_labels(c);
    mark_borders(c);
    int i = 0;
    while (i < c->n) {
        const struct ir_instr *instr = &c->code[i];
        int end = i + 1;
        if (is_hard(instr) || instr->code == IR_LABEL || instr->code == IR_JUMP) {
            add_skeleton(c, instr);
        } else {
            end = run_strip(c, i, run_unentered(c, i, run_limit(c, i)));
            add_run(c, i, end);
        }
        i = never_falls_through(&c->code[end - 1]) ? skip_unreachable(c, end) : end;
    }
}

void block_cut(struct heap *h, struct ir_function *f, enum granularity granularity, struct cut *out)
{
    struct cutter c = {.heap = h, .function = f, .code = f->code, .n = f->n_code,
                       .granularity = granularity};
    cut_code(&c);
    *out = (struct cut){c.pieces, c.n_pieces};
}

static bool is_same(const struct cutter *c, const struct block *block)
{
    return c->n_pieces == 1 && c->pieces[0].kind == PIECE_BLOCK &&
           strcmp(c->pieces[0].block->key, block->key) == 0;
}

bool block_split(struct heap *h, struct ir_function *f, struct piece *piece)
{
    const struct block *block = piece->block;
    for (int g = (int)block->granularity - 1; g >= GRANULARITY_OPERATION; g--) {
        struct cutter c = {.heap = h, .function = f, .code = block->code, .n = block->n_code,
                           .granularity = (enum granularity)g};
        cut_code(&c);
        if (is_same(&c, block))
            continue;
        piece->finer = c.pieces;
        piece->n_finer = c.n_pieces;
        return true;
    }
    return false;
}
