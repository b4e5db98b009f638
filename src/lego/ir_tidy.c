/*
 * ir_tidy.c: what lowering left behind: jumps to the next instruction and over a jump, labels
 * nobody uses, code that nothing reaches, results of calls that are only copied to a variable,
 * temporaries without a use. Regions are kept in step.
 */
#include "lego/lower.h"

struct tidy {
    struct ir_builder *build;
    struct heap *heap;
    struct ir_function *f;
    bool *dropped; /* (n_code) */
    int *uses;     /* of labels (n_labels) */
};

/* Jumps that are still there. */
static void count_labels(struct tidy *t)
{
    for (int i = 0; i < t->f->n_labels; i++)
        t->uses[i] = 0;
    for (int i = 0; i < t->f->n_code; i++) {
        const struct ir_instr *in = &t->f->code[i];
        if (t->dropped[i])
            continue;
        if (in->code == IR_JUMP || in->code == IR_BRANCH || in->code == IR_SWITCH)
            t->uses[in->label]++;
        for (int k = 0; in->code == IR_SWITCH && k < in->n_cases; k++)
            t->uses[in->cases[k].label]++;
    }
}

static int next_kept(const struct tidy *t, int at)
{
    do
        at++;
    while (at < t->f->n_code && t->dropped[at]);
    return at;
}

/* Whether `label` is set behind `at`, before any other instruction. */
static bool label_follows(const struct tidy *t, int at, int label)
{
    for (int i = next_kept(t, at); i < t->f->n_code; i = next_kept(t, i)) {
        if (t->f->code[i].code != IR_LABEL)
            return false;
        if (t->f->code[i].label == label)
            return true;
    }
    return false;
}

static bool leads_to_next(const struct tidy *t, int at)
{
    const struct ir_instr *in = &t->f->code[at];
    return (in->code == IR_JUMP || in->code == IR_BRANCH) && label_follows(t, at, in->label);
}

/* if (c) goto past; goto L; past: is if (!c) goto L; */
static bool turn_branch(struct tidy *t, int at)
{
    struct ir_instr *in = &t->f->code[at];
    int next = next_kept(t, at);
    if (in->code != IR_BRANCH || next >= t->f->n_code || t->f->code[next].code != IR_JUMP ||
        !label_follows(t, next, in->label))
        return false;
    in->value = ir_not(t->build, in->value);
    in->label = t->f->code[next].label;
    t->dropped[next] = true;
    return true;
}

/* One sweep; true: something was dropped. */
static bool drop_some(struct tidy *t)
{
    bool reached = true, changed = false;
    count_labels(t);
    for (int i = 0; i < t->f->n_code; i++) {
        const struct ir_instr *in = &t->f->code[i];
        if (t->dropped[i])
            continue;
        if (in->code == IR_LABEL && t->uses[in->label])
            reached = true;
        bool idle = in->code == IR_LABEL && !t->uses[in->label];
        if (!reached || idle || leads_to_next(t, i)) {
            t->dropped[i] = changed = true;
            continue;
        }
        changed |= turn_branch(t, i);
        if (in->code == IR_JUMP || in->code == IR_RETURN || in->code == IR_SWITCH)
            reached = false;
    }
    return changed;
}

static void count_expr(const struct ir_expr *e, int *counts)
{
    if (!e)
        return;
    if ((e->op == IR_READ || e->op == IR_ADDRESS) && e->object->id >= 0)
        counts[e->object->id]++;
    count_expr(e->a, counts);
    count_expr(e->b, counts);
    count_expr(e->c, counts);
}

static void count_instr(const struct ir_instr *in, int *counts)
{
    count_expr(in->address, counts);
    count_expr(in->value, counts);
    count_expr(in->callee, counts);
    for (int k = 0; k < in->n_args; k++)
        count_expr(in->args[k].value, counts);
}

/* t = f(); x = t; with no other use of t is x = f(); */
static void join_results(struct tidy *t)
{
    int *reads = heap_take(t->heap, (size_t)t->f->n_objects * sizeof *reads);
    for (int i = 0; i < t->f->n_code; i++)
        if (!t->dropped[i])
            count_instr(&t->f->code[i], reads);
    /* the two must be neighbours: anything between could read or write x */
    for (int i = 0; i + 1 < t->f->n_code; i++) {
        struct ir_instr *call = &t->f->code[i], *copy = call + 1;
        if (t->dropped[i] || t->dropped[i + 1] || call->code != IR_CALL || copy->code != IR_ASSIGN)
            continue;
        struct ir_object *result = call->object;
        if (result && result->place == IR_TEMPORARY && copy->value->op == IR_READ &&
            copy->value->object == result && reads[result->id] == 1 &&
            copy->object->type == result->type) {
            call->object = copy->object;
            t->dropped[i + 1] = true;
        }
    }
}

static void drop_temporaries(struct tidy *t)
{
    struct ir_function *f = t->f;
    int *uses = heap_take(t->heap, (size_t)f->n_objects * sizeof *uses), n = 0;
    for (int i = 0; i < f->n_code; i++) {
        count_instr(&f->code[i], uses);
        if (f->code[i].object && f->code[i].object->id >= 0)
            uses[f->code[i].object->id]++;
    }
    for (int i = 0; i < f->n_objects; i++) {
        struct ir_object *o = f->objects[i];
        if (o->place == IR_TEMPORARY && !uses[i])
            continue;
        /* numbers stay without gaps, so that equal sources give equal dumps */
        if (o->place == IR_TEMPORARY && o->type != IR_BYTES && o->id != n)
            o->name = heap_printf(t->heap, "t%d", n); /* as ir_temporary() would call it */
        o->id = n;
        f->objects[n++] = o;
    }
    struct ir_object **all = NULL; /* of a size that heap_grow() expects */
    for (int i = 0; i < n; i++) {
        heap_grow(t->heap, &all, i, sizeof(struct ir_object *));
        all[i] = f->objects[i];
    }
    f->objects = all;
    f->n_objects = n;
}

/* Moves what stays together, and the regions with it. */
static void compact(struct tidy *t)
{
    struct ir_function *f = t->f;
    int *moved = heap_take(t->heap, ((size_t)f->n_code + 1) * sizeof *moved), n = 0;
    for (int i = 0; i < f->n_code; i++) {
        moved[i] = n;
        if (!t->dropped[i])
            f->code[n++] = f->code[i];
    }
    /* a region may end with the function */
    moved[f->n_code] = n;
    for (int i = 0; i < f->n_regions; i++) {
        f->regions[i].first = moved[f->regions[i].first];
        f->regions[i].last = moved[f->regions[i].last];
    }
    f->n_code = n;
}

void ir_tidy(struct ir_builder *build, struct ir_function *f)
{
    struct heap *h = build->heap;
    struct tidy t = {.build = build, .heap = h, .f = f};
    t.dropped = heap_take(h, (size_t)f->n_code + 1);
    t.uses = heap_take(h, ((size_t)f->n_labels + 1) * sizeof *t.uses);
    while (drop_some(&t))
        ;
    join_results(&t);
    compact(&t);
    drop_temporaries(&t);
}
