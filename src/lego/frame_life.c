/*
 * frame_life.c: between which pieces of a function its temporaries hold a value, so that those that
 * never do at the same time can share a slot.
 *
 * Pieces are numbered in the order in which they are emitted, and a life is a range of them: all
 * operands of one block live in it together, since a fragment may read and write them in any order.
 * A temporary that every read finds written above it without a label in between never carries a
 * value into or around a loop: it lives from its first to its last piece. Any other lives on
 * through every loop that it touches. Variables, whatever has its address taken, and all of a
 * function that may be returned into twice live always.
 */
#include "lego/block.h"
#include "lego/target.h"

#include <stdlib.h>
#include <string.h>

/** Pieces [first, last] of a backward jump. */
struct loop {
    int first, last;
};

struct lives {
    const struct ir_function *function;
    struct heap *heap;
    struct frame_life *of; /* (n_objects) by id; last -1: not seen yet */
    bool *exposed;         /* (n_objects) some read may be of a value from across a label */
    bool *fixed;           /* (n_objects) lives always */
    int *written_in;       /* (n_objects) the run without labels that wrote it last */
    int *label_at;         /* (n_labels) pieces */
    struct loop *loops;
    int n_loops;
    int piece, run; /* that are being looked at */
};

/** Pieces are walked in order, so the first touch begins the life and the latest one ends it. */
static void touch(struct lives *l, const struct ir_object *o)
{
    struct frame_life *life = &l->of[o->id];
    if (life->last < 0)
        life->first = l->piece;
    life->last = l->piece;
}

/**
 * Statics and constants have no slot; parameters and variables keep theirs (C11 6.2.4: by scope).
 */
static bool is_ours(const struct ir_object *o)
{
    return o && o->place == IR_TEMPORARY && o->id >= 0;
}

/**
 * Any other use than a read takes the address: then stores through pointers may write it, unseen.
 */
static void read_expr(struct lives *l, const struct ir_expr *e)
{
    if (!e)
        return;
    if (is_ours(e->object)) {
        touch(l, e->object);
        l->fixed[e->object->id] |= e->op != IR_READ;
        l->exposed[e->object->id] |= l->written_in[e->object->id] != l->run;
    }
    read_expr(l, e->a);
    read_expr(l, e->b);
    read_expr(l, e->c);
}

/** Operands before the result: "t = t + 1" reads the value that came from above. A label begins a
 * new run, since control may arrive there without having passed what is written above. */
static void look_at(struct lives *l, const struct ir_instr *i)
{
    if (i->code == IR_LABEL)
        l->run++;
    read_expr(l, i->address);
    read_expr(l, i->value);
    read_expr(l, i->callee);
    for (int k = 0; k < i->n_args; k++)
        read_expr(l, i->args[k].value);
    if (is_ours(i->object)) {
        touch(l, i->object);
        l->written_in[i->object->id] = l->run;
    }
}

/** Forward jumps only skip pieces: what lives across them is in the range already. */
static void note_jump(struct lives *l, int label)
{
    if (l->label_at[label] < 0 || l->label_at[label] >= l->piece)
        return;
    heap_grow(l->heap, &l->loops, l->n_loops, sizeof *l->loops);
    l->loops[l->n_loops++] = (struct loop){l->label_at[label], l->piece};
}

/** Labels come before the jumps back to them, so one walk sees every loop. */
static void note_control(struct lives *l, const struct ir_instr *i)
{
    if (i->code == IR_LABEL)
        l->label_at[i->label] = l->piece;
    if (i->code == IR_JUMP || i->code == IR_BRANCH || i->code == IR_SWITCH)
        note_jump(l, i->label);
    for (int k = 0; i->code == IR_SWITCH && k < i->n_cases; k++)
        note_jump(l, i->cases[k].label);
}

/** What is emitted: a piece with a fragment, else its finer pieces. */
static void walk(struct lives *l, const struct piece *pieces, int n)
{
    for (int i = 0; i < n; i++) {
        const struct piece *p = &pieces[i];
        bool is_block = p->kind == PIECE_BLOCK;
        if (is_block && !p->fragment && p->n_finer) {
            walk(l, p->finer, p->n_finer);
            continue;
        }
        const struct ir_instr *code = is_block ? p->block->code : p->skeleton;
        int n_code = is_block ? p->block->n_code : 1;
        for (int k = 0; k < n_code; k++) {
            look_at(l, &code[k]);
            note_control(l, &code[k]);
        }
        l->piece++;
    }
}

static int by_first(const void *a, const void *b)
{
    const struct loop *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

/** Loops that have pieces in common become one. */
static void merge_loops(struct lives *l)
{
    int n = 0;
    if (l->n_loops)
        qsort(l->loops, (size_t)l->n_loops, sizeof *l->loops, by_first);
    for (int i = 0; i < l->n_loops; i++) {
        struct loop *before = n ? &l->loops[n - 1] : NULL;
        if (before && l->loops[i].first <= before->last)
            before->last = before->last > l->loops[i].last ? before->last : l->loops[i].last;
        else
            l->loops[n++] = l->loops[i];
    }
    l->n_loops = n;
}

/** A life that touches a loop lasts as long as the loop. Loops are disjoint and in order. */
static void extend(const struct lives *l, struct frame_life *life)
{
    for (int i = 0; i < l->n_loops; i++) {
        if (l->loops[i].first > life->last || l->loops[i].last < life->first)
            continue;
        if (l->loops[i].first < life->first)
            life->first = l->loops[i].first;
        if (l->loops[i].last > life->last)
            life->last = l->loops[i].last;
    }
}

/** Does it call what may return a second time, when slots have been used for something else? */
static bool returns_twice(const struct ir_function *f)
{
    static const char *const names[] = {"setjmp", "vfork", "getcontext", "swapcontext"};
    for (int i = 0; i < f->n_code; i++) {
        const struct ir_expr *callee = f->code[i].code == IR_CALL ? f->code[i].callee : NULL;
        const struct ir_object *o = callee ? callee->object : NULL;
        for (size_t k = 0; o && o->name && k < sizeof names / sizeof *names; k++)
            if (strstr(o->name, names[k]))
                return true;
    }
    return false;
}

/** Aggregates are written in parts, so that no single write begins their life. */
static bool lives_always(const struct lives *l, int id)
{
    const struct ir_object *o = l->function->objects[id];
    return o->place != IR_TEMPORARY || o->type == IR_BYTES || o->is_volatile || l->fixed[id];
}

const struct frame_life *frame_lives(struct heap *h, const struct ir_function *f,
                                     const struct cut *cut)
{
    size_t n = (size_t)f->n_objects + 1, labels = (size_t)f->n_labels + 1;
    struct lives l = {.function = f, .heap = h, .run = 1};
    l.of = heap_take(h, n * sizeof *l.of);
    l.exposed = heap_take(h, n);
    l.fixed = heap_take(h, n);
    l.written_in = heap_take(h, n * sizeof *l.written_in);
    l.label_at = heap_take(h, labels * sizeof *l.label_at);
    for (int i = 0; i < f->n_objects; i++)
        l.of[i] = (struct frame_life){0, -1};
    for (int i = 0; i < f->n_labels; i++)
        l.label_at[i] = -1;
    walk(&l, cut->pieces, cut->n);
    merge_loops(&l);
    bool twice = returns_twice(f);
    for (int i = 0; i < f->n_objects; i++) {
        if (twice || lives_always(&l, i))
            l.of[i] = FRAME_ALWAYS;
        else if (l.exposed[i] && l.of[i].last >= 0)
            extend(&l, &l.of[i]);
    }
    return l.of;
}
