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
    bool known = f->lives && object && object->id >= 0;
    f->slots[f->n] = (struct frame_slot){.name = name,
                                         .size = size > 0 ? size : 1,
                                         .align = align > 0 ? align : 1,
                                         .life = known ? f->lives[object->id] : FRAME_ALWAYS,
                                         .object = object};
    return f->n++;
}

static int64_t round_up(int64_t n, int64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static bool lives_always(const struct frame_slot *s)
{
    return s->life.last == INT_MAX;
}

static int64_t place_slot(struct frame_slot *s, int64_t depth)
{
    depth = round_up(depth + s->size, s->align);
    s->offset = -depth;
    return depth;
}

static int64_t place(struct frame *f, bool small, int64_t depth)
{
    for (int i = 0; i < f->n; i++)
        if (lives_always(&f->slots[i]) && (f->slots[i].size <= SMALL) == small)
            depth = place_slot(&f->slots[i], depth);
    return depth;
}

/* ---- sharing ---- */

static int by_life(const void *a, const void *b)
{
    const struct frame_slot *x = *(struct frame_slot *const *)a,
                            *y = *(struct frame_slot *const *)b;
    int order = (x->life.first > y->life.first) - (x->life.first < y->life.first);
    return order ? order : (x > y) - (x < y); /* in the order they were added */
}

/** A place of the frame that one slot after the other lives in. */
struct shared {
    const struct frame_slot *now; /* the last one put there: of the same size and alignment */
};

static int64_t place_shared(struct frame_slot *s, struct shared *places, int *n, int64_t depth)
{
    for (int i = 0; i < *n; i++) {
        const struct frame_slot *now = places[i].now;
        if (now->size != s->size || now->align != s->align || now->life.last >= s->life.first)
            continue;
        s->offset = now->offset;
        places[i].now = s;
        return depth;
    }
    depth = place_slot(s, depth);
    places[(*n)++].now = s;
    return depth;
}

/**
 * Slots with a life, in the order in which they begin, each in the first place that is free.
 * Without memory for it they are placed one by one.
 */
static int64_t place_living(struct frame *f, int64_t depth)
{
    struct frame_slot **sorted = calloc((size_t)f->n + 1, sizeof *sorted);
    struct shared *places = calloc((size_t)f->n + 1, sizeof *places);
    int n = 0, n_places = 0;
    for (int i = 0; i < f->n; i++) {
        if (lives_always(&f->slots[i]))
            continue;
        if (sorted && places)
            sorted[n++] = &f->slots[i];
        else
            depth = place_slot(&f->slots[i], depth);
    }
    if (n)
        qsort(sorted, (size_t)n, sizeof *sorted, by_life);
    for (int i = 0; i < n; i++)
        depth = place_shared(sorted[i], places, &n_places, depth);
    free(sorted);
    free(places);
    return depth;
}

void frame_place(struct frame *f)
{
    f->align = 16;
    for (int i = 0; i < f->n; i++)
        if (f->slots[i].align > f->align)
            f->align = f->slots[i].align;
    int64_t depth = place(f, false, place_living(f, place(f, true, 0)));
    for (int i = 0; i < f->n; i++)
        if (f->slots[i].object)
            f->slots[i].object->offset = f->slots[i].offset;
    f->bytes = round_up(depth + f->outgoing, f->align);
}

static int by_offset(const void *a, const void *b)
{
    const struct frame_slot *x = *(struct frame_slot *const *)a,
                            *y = *(struct frame_slot *const *)b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

static bool live_together(const struct frame_slot *a, const struct frame_slot *b)
{
    return a->life.first <= b->life.last && b->life.first <= a->life.last;
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
    for (int i = 0; i < f->n; i++)
        for (int k = i + 1; k < f->n; k++) {
            if (sorted[k]->offset >= sorted[i]->offset + sorted[i]->size)
                break;
            if (live_together(sorted[i], sorted[k]))
                return heap_printf(h, "slots %s and %s overlap", sorted[i]->name, sorted[k]->name);
        }
    return NULL;
}
