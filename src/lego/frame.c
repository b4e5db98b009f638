/*
 * frame.c: homes for everything that lives below a frame pointer, and the check that they are
 * right.
 *
 * Proposing and checking share no arithmetic: frame_check() takes the finished numbers and looks at
 * them alone, so that a mistake in the layout, or a layout made by someone else, is found before
 * code is written.
 */
#include "lego/target.h"

#include <stdlib.h>
#include <string.h>

/* Slots up to this size come first: with 8-bit displacements near the frame pointer code is
 * shorter. */
enum { SMALL = 16 };

int frame_add(struct heap *h, struct frame *f, const char *name, int64_t size, int64_t align,
              struct ir_object *object)
{
    heap_grow(h, &f->slots, f->n, sizeof *f->slots);
    f->slots[f->n] = (struct frame_slot){.name = name,
                                         .size = size > 0 ? size : 1,
                                         .align = align > 0 ? align : 1,
                                         .object = object};
    return f->n++;
}

static int64_t round_up(int64_t n, int64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static int64_t place(struct frame *f, bool small, int64_t depth)
{
    for (int i = 0; i < f->n; i++) {
        struct frame_slot *s = &f->slots[i];
        if ((s->size <= SMALL) != small)
            continue;
        depth = round_up(depth + s->size, s->align);
        s->offset = -depth;
        if (s->object)
            s->object->offset = -depth;
    }
    return depth;
}

void frame_place(struct frame *f)
{
    f->align = 16;
    for (int i = 0; i < f->n; i++)
        if (f->slots[i].align > f->align)
            f->align = f->slots[i].align;
    int64_t depth = place(f, false, place(f, true, 0));
    f->bytes = round_up(depth + f->outgoing, f->align);
}

static int by_offset(const void *a, const void *b)
{
    const struct frame_slot *x = *(struct frame_slot *const *)a,
                            *y = *(struct frame_slot *const *)b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

static const char *check_slot(struct heap *h, const struct frame *f, const struct frame_slot *s)
{
    if (s->offset < -f->bytes + f->outgoing || s->offset + s->size > 0)
        return heap_printf(h, "slot %s lies outside the frame", s->name);
    if (s->offset % s->align)
        return heap_printf(h, "slot %s is not aligned to %lld", s->name, (long long)s->align);
    const struct ir_object *o = s->object;
    if (o && (o->offset != s->offset || o->size > s->size || (o->align && s->offset % o->align)))
        return heap_printf(h, "object %s does not fit its slot", s->name);
    return NULL;
}

const char *frame_check(struct heap *h, const struct frame *f)
{
    if (f->align < 16 || f->align & (f->align - 1) || f->bytes < 0 || f->bytes % f->align)
        return "the frame's size or alignment is wrong";
    struct frame_slot **sorted = heap_take(h, (size_t)f->n * sizeof *sorted);
    for (int i = 0; i < f->n; i++) {
        const char *wrong = f->slots[i].align > f->align ? "a slot is aligned beyond the frame"
                                                         : check_slot(h, f, &f->slots[i]);
        if (wrong)
            return wrong;
        sorted[i] = &f->slots[i];
    }
    qsort(sorted, (size_t)f->n, sizeof *sorted, by_offset);
    for (int i = 1; i < f->n; i++)
        if (sorted[i - 1]->offset + sorted[i - 1]->size > sorted[i]->offset)
            return heap_printf(h, "slots %s and %s overlap", sorted[i - 1]->name, sorted[i]->name);
    return NULL;
}
