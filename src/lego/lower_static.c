/*
 * lower_static.c: data: initialisers as bytes and relocations. Constant evaluation is lowering in
 * which nothing may be emitted (lower->f is NULL): the result must be a constant or an address.
 */
#include <string.h>
#include <xxhash.h>

#include "lego/lower.h"
#include "lego/type.h"

/* Equal strings share one object (C11 6.4.5p7 allows it), as in gcc's output. */
struct lower_string {
    struct lower_string *next;
    struct ir_object *object;
    const char *bytes;
    int64_t n;
};

static struct ir_data *new_data(struct lower *l)
{
    heap_grow(l->heap, &l->out->data, l->out->n_data, sizeof *l->out->data);
    struct ir_data *d = &l->out->data[l->out->n_data++];
    *d = (struct ir_data){0};
    return d;
}

/* Symbols that begin with .L stay in the assembler: nobody else can mean them. */
static struct ir_object *anonymous(struct lower *l, int64_t size, int64_t align)
{
    struct ir_object *o = ir_new_object(l->heap, NULL, IR_STATIC);
    o->type = IR_BYTES;
    o->size = size;
    o->align = align > 0 ? align : 1;
    o->name = heap_printf(l->heap, ".LS%d", l->n_strings++);
    return o;
}

struct ir_object *lower_string(struct lower *l, const struct expr *e)
{
    /* that of its characters: 4 for wchar_t and char32_t */
    int64_t align = e->type->kind == TYPE_ARRAY ? e->type->base->align : 1;
    XXH64_hash_t hash = XXH3_64bits(e->bytes, (size_t)e->n_bytes);
    struct lower_string **chain = &l->strings[hash % LOWER_STRING_CHAINS];
    for (struct lower_string *s = *chain; s; s = s->next)
        if (s->n == e->n_bytes && s->object->align == align &&
            memcmp(s->bytes, e->bytes, (size_t)e->n_bytes) == 0)
            return s->object;
    struct lower_string *s = heap_take(l->heap, sizeof *s);
    *s = (struct lower_string){*chain, anonymous(l, e->n_bytes, align), e->bytes, e->n_bytes};
    *chain = s;
    struct ir_data *d = new_data(l);
    d->object = s->object;
    d->bytes = (const unsigned char *)e->bytes;
    d->read_only = true;
    return s->object;
}

/* ---- images ---- */

struct image {
    struct lower *l;
    unsigned char *bytes;
    int64_t size, last_relocation; /* -1: none */
    struct ir_relocation *relocations;
    int n_relocations;
    struct location at; /* of the item */
};

_Noreturn static void not_constant(struct image *m)
{
    lower_refuse(m->l, m->at, "initializer is not constant");
}

/* Addresses that a later item overwrites. */
static void forget_relocations(struct image *m, int64_t from, int64_t to)
{
    int kept = 0;
    /* nearly always: items come in rising order, and this keeps large tables from being searched
     * each time */
    if (from > m->last_relocation)
        return;
    for (int i = 0; i < m->n_relocations; i++) {
        int64_t offset = m->relocations[i].offset;
        if (offset + 8 <= from || offset >= to)
            m->relocations[kept++] = m->relocations[i];
    }
    /* heap_grow() knows the room by the count alone: never below what is there. */
    struct ir_relocation *copy = NULL;
    for (int i = 0; i < kept; i++) {
        heap_grow(m->l->heap, &copy, i, sizeof *copy);
        copy[i] = m->relocations[i];
    }
    m->relocations = copy;
    m->n_relocations = kept;
}

/* Where an item's bytes go, checked; what was there is overwritten whole, as the last initialiser
 * of a subobject wins (C11 6.7.9p19). */
static unsigned char *room(struct image *m, int64_t offset, int64_t n)
{
    if (offset < 0 || n < 0 || n > m->size || offset > m->size - n)
        lower_refuse(m->l, m->at, "initializer outside of its object");
    forget_relocations(m, offset, offset + n);
    return m->bytes + offset;
}

static void put_int(struct image *m, int64_t offset, int64_t n, uint64_t value)
{
    unsigned char *at = room(m, offset, n);
    for (int64_t i = 0; i < n; i++)
        at[i] = (unsigned char)(value >> 8 * i);
}

/* Bit by bit: a bit-field may lie across bytes, and in packed records across its unit's end. */
static void put_bits(struct image *m, int64_t offset, const struct field *bits, uint64_t value)
{
    int64_t first = offset * 8 + bits->bit_offset, last = first + bits->bit_width;
    room(m, first / 8, (last + 7) / 8 - first / 8);
    for (int64_t bit = first; bit < last; bit++) {
        unsigned char one = (unsigned char)(1u << bit % 8);
        bool set = value >> (bit - first) & 1;
        m->bytes[bit / 8] =
            (unsigned char)(set ? m->bytes[bit / 8] | one : m->bytes[bit / 8] & ~one);
    }
}

static void put_address(struct image *m, int64_t offset, const struct ir_expr *address)
{
    const struct ir_object *o = address->object;
    /* a local's address is known at run time only */
    if (o->place != IR_STATIC && o->place != IR_FUNCTION)
        not_constant(m);
    /* the addend is in the relocation (RELA) */
    memset(room(m, offset, 8), 0, 8);
    heap_grow(m->l->heap, &m->relocations, m->n_relocations, sizeof *m->relocations);
    m->relocations[m->n_relocations++] = (struct ir_relocation){offset, o->name, address->value};
    if (offset > m->last_relocation)
        m->last_relocation = offset;
}

/* An address may be hidden under a cast to a 64-bit integer: relocations fill 8 bytes, no fewer. */
static void put_scalar(struct image *m, const struct init *item, int64_t offset)
{
    struct ir_expr *v = lower_value(m->l, item->value);
    if (!v)
        not_constant(m);
    v = lower_convert(m->l, v, item->value->type, item->type);
    const struct ir_expr *address = v;
    if (v->op == IR_CONVERT && ir_type_size(v->type) == 8 && !ir_is_float(v->type))
        address = v->a;
    int64_t size = ir_type_size(ir_type_of(item->type));
    if (v->op == IR_INT && item->bits)
        put_bits(m, offset, item->bits, (uint64_t)v->value);
    else if (v->op == IR_INT)
        put_int(m, offset, size, (uint64_t)v->value);
    else if (v->op == IR_READ && v->object->place == IR_CONSTANT)
        memcpy(room(m, offset, size), v->object->bytes, (size_t)size);
    else if (address->op == IR_ADDRESS && !item->bits)
        put_address(m, offset, address);
    else
        not_constant(m);
}

/* Both words of a complex number, or of one of 128 bits. */
static void put_pair(struct image *m, const struct init *item, int64_t offset)
{
    struct number v = lower_number(m->l, item->value);
    int64_t size = item->type->size / 2;
    for (int i = 0; i < 2; i++) {
        const struct ir_expr *word = v.part[i];
        if (word->op == IR_INT)
            put_int(m, offset + i * size, size, (uint64_t)word->value);
        else if (word->op == IR_READ && word->object->place == IR_CONSTANT)
            memcpy(room(m, offset + i * size, size), word->object->bytes, (size_t)size);
        else
            not_constant(m);
    }
}

static void put_items(struct image *m, const struct initializer *init, int64_t base);

/* A constant compound literal as the value of an item: its own items. It has no object of its own
   to be copied from, as data cannot be filled by a copy. */
static const struct expr *literal_in(const struct expr *e)
{
    while (e->kind == EXPR_CAST && e->a->type->kind != TYPE_ARRAY)
        e = e->a;
    return e->kind == EXPR_COMPOUND ? e : NULL;
}

static void put_item(struct image *m, const struct init *item, int64_t base)
{
    const struct expr *literal = literal_in(item->value);
    int64_t offset = base + item->offset;
    m->at = item->value->at;
    if (item->value->kind == EXPR_STRING && item->type->kind == TYPE_ARRAY) {
        const struct expr *text = item->value;
        int64_t size = item->type->size, used = text->n_bytes < size ? text->n_bytes : size;
        unsigned char *at = room(m, offset, size);
        memset(at, 0, (size_t)size);
        memcpy(at, text->bytes, (size_t)used);
    } else if (type_is_pair(item->type)) {
        put_pair(m, item, offset);
    } else if (literal && ir_type_of(item->type) == IR_BYTES) {
        memset(room(m, offset, item->type->size), 0, (size_t)item->type->size);
        if (literal->decl->init)
            put_items(m, literal->decl->init, offset);
    } else if (ir_type_of(item->type) == IR_BYTES) {
        not_constant(m);
    } else {
        put_scalar(m, item, offset);
    }
}

static void put_items(struct image *m, const struct initializer *init, int64_t base)
{
    for (int i = 0; i < init->n; i++)
        put_item(m, &init->items[i], base);
}

/* Fills d with the image; what is not constant is refused. */
static void make_image(struct lower *l, const struct initializer *init, int64_t size,
                       struct ir_data *d)
{
    struct image m = {.l = l, .size = size, .last_relocation = -1, .at = l->at};
    m.bytes = heap_take(l->heap, (size_t)size);
    put_items(&m, init, 0);
    bool zero = m.n_relocations == 0;
    for (int64_t i = 0; zero && i < size; i++)
        zero = m.bytes[i] == 0;
    /* NULL lets data.c put it into .bss */
    d->bytes = zero ? NULL : m.bytes;
    d->relocations = m.relocations;
    d->n_relocations = m.n_relocations;
}

void lower_datum(struct lower *l, struct decl *decl)
{
    struct ir_object *o = decl->lowered;
    struct ir_data d = {.object = o, .decl = decl};
    if (decl->type->size < 0 && decl->type->kind == TYPE_ARRAY && decl->type->base->size > 0)
        o->size = decl->type->base->size; /* tentative and never completed: one element */
    else if (decl->type->size < 0)
        lower_refuse(l, decl->at, "object of incomplete type");
    if (decl->refused)
        heap_fail(l->heap, (struct location){0}, "%s", decl->refused); /* with its place */
    if (decl->init && decl->init->extent > o->size)
        o->size = decl->init->extent;
    if (decl->init)
        make_image(l, decl->init, o->size, &d);
    struct ir_data *out = new_data(l);
    *out = d;
}

struct attempt {
    struct lower *l;
    const struct initializer *init;
    int64_t size;
    struct ir_data *out;
};

static void attempt_image(void *context)
{
    const struct attempt *a = context;
    make_image(a->l, a->init, a->size, a->out);
}

/* False, and nothing said, when the initialiser is not constant. */
static bool try_image(struct lower *l, const struct initializer *init, int64_t size,
                      struct ir_data *d)
{
    struct attempt attempt = {l, init, size, d};
    struct ir_function *f = l->f;
    struct location at = l->at;
    ashlar_error error;
    l->f = NULL; /* while it is NULL nothing can be emitted */
    ashlar_status status = heap_run(l->heap, attempt_image, &attempt, &error);
    l->f = f;
    l->at = at;
    if (status != ASHLAR_OK && status != ASHLAR_BAD_INPUT)
        heap_leave(l->heap, &error);
    return status == ASHLAR_OK;
}

struct ir_object *lower_image(struct lower *l, const struct initializer *init, int64_t size,
                              int64_t align)
{
    struct ir_data d = {0};
    for (int i = 0; i < init->n; i++)
        if (has_effects(init->items[i].value) && !literal_in(init->items[i].value))
            return NULL;
    if (!try_image(l, init, size, &d))
        return NULL;
    d.object = anonymous(l, size, align);
    d.read_only = true;
    *new_data(l) = d;
    return d.object;
}
