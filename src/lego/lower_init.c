/*
 * lower_init.c: initialisers of automatic objects and compound literals: what is not listed is
 * cleared first, then the items are stored in their order. Long constant ones are copied from
 * read-only data.
 */
#include "lego/lower.h"
#include "lego/type.h"

#include <string.h>

/* An image pays where it has many items, at least one per 16 bytes; larger objects than
 * COUNTED_BYTES are cleared without counting what is filled. */
enum { MANY_ITEMS = 16, COUNTED_BYTES = 4096 };

/* Whether the items, bit-fields apart, fill every byte. */
static bool covers(struct lower *l, const struct initializer *init, int64_t size)
{
    if (size > COUNTED_BYTES)
        return false;
    bool *filled = heap_take(l->heap, (size_t)size);
    for (int i = 0; i < init->n; i++) {
        const struct init *item = &init->items[i];
        int64_t end = item->offset + item->type->size;
        if (item->offset < 0 || end > size)
            return false;
        for (int64_t at = item->offset; !item->bits && at < end; at++)
            filled[at] = true;
    }
    for (int64_t at = 0; at < size; at++)
        if (!filled[at])
            return false;
    return true;
}

static uint64_t little_endian(const char *bytes, int64_t n, int64_t take)
{
    uint64_t value = 0;
    for (int64_t i = 0; i < take && i < n; i++)
        value |= (uint64_t)(unsigned char)bytes[i] << 8 * i;
    return value;
}

/* size bytes of a string, zeros behind its end, as stores of constants. */
static void store_text(struct lower *l, struct place to, const struct expr *text, int64_t size)
{
    for (int64_t at = 0; at < size;) {
        int64_t left = size - at;
        enum ir_type t = left >= 8 ? IR_U64 : left >= 4 ? IR_U32 : left >= 2 ? IR_U16 : IR_U8;
        int64_t n = ir_type_size(t);
        uint64_t value =
            at < text->n_bytes ? little_endian(text->bytes + at, text->n_bytes - at, n) : 0;
        memory_write(l, to, at, t, ir_int(&l->build, t, (int64_t)value));
        at += n;
    }
}

static void init_text(struct lower *l, struct place to, const struct type *type,
                      const struct expr *text, bool cleared)
{
    int64_t size = type->size, used = text->n_bytes < size ? text->n_bytes : size;
    /* zeros and all in one go */
    if (size <= LOWER_INLINE_BYTES && !cleared) {
        store_text(l, to, text, size);
        return;
    }
    if (!cleared && used < size)
        memory_clear(l, to, size);
    if (used <= LOWER_INLINE_BYTES)
        store_text(l, to, text, used);
    else
        memory_copy(l, to, place_of_object(lower_string(l, text)), used);
}

/* The record of an item by itself: the whole object from one call needs no copy. */
static void init_record(struct lower *l, struct place to, const struct init *item)
{
    bool whole =
        to.object && to.offset == 0 && to.object->size == item->type->size && !to.is_volatile;
    if (whole && item->value->kind == EXPR_CALL)
        lower_call_record(l, item->value, to.object);
    else
        memory_copy(l, to, lower_place(l, item->value), item->type->size);
}

static void init_item(struct lower *l, struct ir_object *o, const struct init *item, bool cleared)
{
    struct place to = place_of_object(o);
    to.offset = item->offset;
    if (item->bits) {
        /* bits are counted from their record's start (lower_place.c) */
        to.offset -= item->bits->offset;
        to.bits = item->bits;
        to.limit = o->size - to.offset;
    }
    if (item->value->kind == EXPR_STRING && item->type->kind == TYPE_ARRAY) {
        init_text(l, to, item->type, item->value, cleared);
    } else if (type_is_pair(item->type) && item->value->kind != EXPR_CALL) {
        number_write(l, to, lower_number(l, item->value));
    } else if (ir_type_of(item->type) == IR_BYTES) {
        init_record(l, to, item);
    } else {
        struct ir_expr *v = lower_value(l, item->value);
        if (!v)
            lower_refuse(l, item->value->at, "initializer without a value");
        place_write(l, to, item->type, lower_convert(l, v, item->value->type, item->type));
    }
}

/* Copies a long constant initialiser from an image; false: it is short, sparse or no constant. */
static bool init_from_image(struct lower *l, struct ir_object *o, const struct initializer *init)
{
    if (o->size <= LOWER_INLINE_BYTES || init->n < MANY_ITEMS ||
        (int64_t)init->n * MANY_ITEMS < o->size || o->is_volatile)
        return false;
    struct ir_object *image = lower_image(l, init, o->size, o->align);
    if (image)
        memory_copy(l, place_of_object(o), place_of_object(image), o->size);
    return image != NULL;
}

void lower_init(struct lower *l, struct ir_object *o, const struct initializer *init,
                struct location at)
{
    if (init && init->extent > o->size)
        lower_refuse(l, at, "flexible array member filled in an automatic object");
    /* {}, or nothing that is listed: all zero */
    if (!init || init->n == 0) {
        if (o->type == IR_BYTES)
            memory_clear(l, place_of_object(o), o->size);
        else
            memory_write(l, place_of_object(o), 0, o->type,
                         ir_is_float(o->type) ? ir_float(&l->build, o->type, 0)
                                              : ir_int(&l->build, o->type, 0));
        return;
    }
    if (init_from_image(l, o, init))
        return;
    bool clear = o->type == IR_BYTES && !covers(l, init, o->size);
    if (clear)
        memory_clear(l, place_of_object(o), o->size);
    for (int i = 0; i < init->n; i++)
        init_item(l, o, &init->items[i], clear);
}
