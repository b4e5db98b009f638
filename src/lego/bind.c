/*
 * bind.c: symbols that code cannot name relative to itself: functions and weak data of other files,
 * and in shared objects everything that another object may replace. Their addresses are taken from
 * the global offset table, which to blocks is a static pointer like any other: the object
 * "f@GOTPCREL".
 *
 *     p = &f           p = READ(f@GOTPCREL)
 *     x = g            x = LOAD(READ(g@GOTPCREL))
 *     g = x            STORE(READ(g@GOTPCREL), x)
 *
 * Runs after lowering and before blocks are cut. What the skeleton itself reads (arguments,
 * results) is left as it is: the target goes by the table there (compose_by_table).
 */
#include "lego/target.h"

#include <string.h>

struct binder {
    struct heap *heap;
    struct ir_unit *unit;
    struct bound {
        const struct ir_object *object, *entry;
    } *bound;
    int n;
};

static bool is_defined(const struct decl *d)
{
    return d->is_defined || d->is_tentative || d->body;
}

bool bind_by_table(const struct ir_object *o, bool pic)
{
    const struct decl *d = o->decl;
    if (!d || d->is_internal || (o->place != IR_STATIC && o->place != IR_FUNCTION))
        return false;
    if (d->storage != STORAGE_STATIC && d->storage != STORAGE_EXTERN)
        return false;
    if (is_defined(d))
        return pic && !d->is_local;
    /* Data of a shared object is copied into an executable that names it; functions are not. */
    return pic || d->is_weak || o->place == IR_FUNCTION;
}

/* The table's entry for o, made at its first use. */
static struct ir_object *entry_of(struct binder *b, const struct ir_object *o)
{
    for (int i = 0; i < b->n; i++)
        if (b->bound[i].object == o || strcmp(b->bound[i].object->name, o->name) == 0)
            return (struct ir_object *)b->bound[i].entry;
    struct ir_object *entry = ir_new_object(b->heap, NULL, IR_STATIC);
    entry->type = IR_PTR;
    entry->size = entry->align = 8;
    entry->name = heap_printf(b->heap, "%s@GOTPCREL", o->name);
    entry->id = -1;
    heap_grow(b->heap, &b->bound, b->n, sizeof *b->bound);
    b->bound[b->n++] = (struct bound){o, entry};
    return entry;
}

static struct ir_expr *address(struct binder *b, const struct ir_object *o)
{
    struct ir_expr *e = heap_take(b->heap, sizeof *e);
    *e = (struct ir_expr){.op = IR_READ, .type = IR_PTR, .object = entry_of(b, o)};
    return e;
}

static void bind_address(struct binder *b, struct ir_expr *e)
{
    int64_t offset = e->value;
    struct ir_expr *start = address(b, e->object);
    if (offset == 0) {
        *e = *start;
        return;
    }
    struct ir_expr *number = heap_take(b->heap, sizeof *number);
    *number = (struct ir_expr){.op = IR_INT, .type = IR_I64, .value = offset};
    *e = (struct ir_expr){.op = IR_ADD, .type = IR_PTR, .a = start, .b = number};
}

static void bind_expr(struct binder *b, struct ir_expr *e)
{
    if (!e)
        return;
    bind_expr(b, e->a);
    bind_expr(b, e->b);
    bind_expr(b, e->c);
    if (!e->object || !bind_by_table(e->object, b->unit->pic))
        return;
    if (e->op == IR_ADDRESS)
        bind_address(b, e);
    else if (e->op == IR_READ)
        *e = (struct ir_expr){.op = IR_LOAD, .type = e->type, .a = address(b, e->object),
                              .is_volatile = e->object->is_volatile};
}

static void bind_instr(struct binder *b, struct ir_instr *i)
{
    if (i->code != IR_ASSIGN && i->code != IR_STORE && i->code != IR_BRANCH)
        return;
    bind_expr(b, i->address);
    bind_expr(b, i->value);
    if (i->code == IR_ASSIGN && bind_by_table(i->object, b->unit->pic)) {
        i->code = IR_STORE;
        i->address = address(b, i->object);
        i->object = NULL;
    }
}

static void bind_all(void *context)
{
    struct binder *b = context;
    for (int f = 0; f < b->unit->n_functions; f++)
        for (int i = 0; i < b->unit->functions[f].n_code; i++)
            bind_instr(b, &b->unit->functions[f].code[i]);
}

ashlar_status bind_unit(struct ir_unit *unit, bool pic, ashlar_error *err)
{
    struct binder b = {.heap = &unit->unit->heap, .unit = unit};
    unit->pic = pic;
    return heap_run(b.heap, bind_all, &b, err);
}
