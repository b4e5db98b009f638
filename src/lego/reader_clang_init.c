/*
 * reader_clang_init.c: initialisers as pieces at offsets. libclang lists an initialiser as it is
 * written, so designators and left-out braces are worked out here, by C11 6.7.9.
 *
 * A list is consumed by a recursion over the type: `fill` walks the parts of an aggregate and takes
 * elements of the list that encloses it. Without braces of its own an aggregate stops when it is
 * full, or at a designator, which belongs to the next enclosing braces.
 */
#include <string.h>

#include "lego/constant.h"
#include "lego/reader_clang.h"

/* A range [0 ... 1000000] is one line of source: what it may cost has a bound. */
enum { MAX_PIECES = 1 << 22, MAX_DESIGNATORS = 64 };

struct filling {
    struct reader *r;
    struct initializer *out;
    int64_t low, high; /* the bytes given so far lie between: outside nothing can be overridden */
};

/* The elements between a pair of braces, and how far they are used up. */
struct list {
    struct children elements;
    int next;
};

/* One step of a designator: a field, or an index and the end of its range. */
struct designator {
    CXCursor field;
    int64_t first, last;
    bool is_field;
};

struct designation {
    struct designator steps[MAX_DESIGNATORS];
    int n;
    CXCursor value;
};

static void fill(struct filling *f, struct type *t, int64_t at, struct list *list, bool braced);
static void fill_designated(struct filling *f, struct type *t, int64_t at, struct list *list,
                            const struct designation *d, int step);
static void fill_braced(struct filling *f, struct type *t, int64_t at, struct field *bits,
                        CXCursor braces);

/* ---- pieces ---- */

/* Forgets what earlier designators gave to these bytes. */
static void forget(struct filling *f, int64_t from, int64_t to)
{
    struct initializer *out = f->out;
    int n = 0;
    if (from >= f->high || to <= f->low)
        return;
    for (int i = 0; i < out->n; i++) {
        const struct init *p = &out->items[i];
        bool inside = p->offset >= from && p->offset + p->type->size <= to;
        if (!inside)
            out->items[n++] = *p;
    }
    /* heap_grow() derives the capacity from n: keep the array as large as it says. */
    if (n != out->n) {
        struct init *kept = NULL;
        int count = 0;
        for (int i = 0; i < n; i++, count++) {
            heap_grow(f->r->heap, &kept, count, sizeof *kept);
            kept[count] = out->items[i];
        }
        out->items = kept;
        out->n = n;
    }
}

static void put(struct filling *f, CXCursor from, struct type *t, int64_t at, struct field *bits,
                struct expr *value)
{
    struct initializer *out = f->out;
    int64_t end = at + (t->size > 0 ? t->size : 0);
    if (out->n >= MAX_PIECES)
        reader_refuse(f->r, from, "an initialiser of more than %d pieces", MAX_PIECES);
    /* a bit-field's neighbours lie in the same bytes: lowering merges them in their order */
    if (!bits)
        forget(f, at, end);
    heap_grow(f->r->heap, &out->items, out->n, sizeof *out->items);
    out->items[out->n++] =
        (struct init){.offset = at, .bits = bits, .type = t, .value = value};
    if (out->n == 1 || at < f->low)
        f->low = at;
    if (end > f->high)
        f->high = end;
    if (end > out->extent)
        out->extent = end;
}

/* ---- elements ---- */

static CXCursor without_parentheses(struct reader *r, CXCursor c)
{
    while (clang_getCursorKind(c) == CXCursor_ParenExpr) {
        struct children inner = reader_expressions(r, c);
        if (inner.n != 1)
            break;
        c = inner.items[0];
    }
    return c;
}

static bool is_list(CXCursor c)
{
    return clang_getCursorKind(c) == CXCursor_InitListExpr;
}

/* A designated element is an unnamed expression of type void: no value can have that type. */
static bool is_designated(CXCursor c)
{
    return clang_getCursorKind(c) == CXCursor_UnexposedExpr &&
           clang_getCanonicalType(clang_getCursorType(c)).kind == CXType_Void;
}

/* Of char, wchar_t, char16_t and char32_t: integers of 1, 2 or 4 bytes. */
static bool is_character(const struct type *t)
{
    return type_is_integer(t) && t->kind != TYPE_BOOL && t->size <= 4;
}

/* Does this element, a string literal, fill the whole array t? */
static bool fills_array(struct reader *r, struct type *t, CXCursor c)
{
    if (t->kind != TYPE_ARRAY || !is_character(t->base))
        return false;
    c = without_parentheses(r, c);
    if (clang_getCursorKind(c) == CXCursor_UnexposedExpr) { /* __func__, __extension__ "" */
        struct children inner = reader_expressions(r, c);
        if (inner.n == 1)
            c = inner.items[0];
    }
    if (clang_getCursorKind(c) != CXCursor_StringLiteral)
        return false;
    return reader_type_of(r, c)->base->size == t->base->size;
}

static struct expr *string_value(struct reader *r, CXCursor c)
{
    c = without_parentheses(r, c);
    if (clang_getCursorKind(c) == CXCursor_UnexposedExpr)
        c = reader_expressions(r, c).items[0];
    struct expr *e = reader_string(r, c);
    e->type = type_array_of(r->heap, e->type->base, e->n_bytes / e->type->base->size);
    return e;
}

/* A flexible array takes the size of what fills it. */
static void put_string(struct filling *f, struct type *t, int64_t at, CXCursor c)
{
    struct expr *value = string_value(f->r, c);
    put(f, c, t->length < 0 ? value->type : t, at, NULL, value);
}

/* An expression of record type that fills the whole record t. */
static bool fills_record(struct reader *r, struct type *t, CXCursor c)
{
    CXType type = clang_getCanonicalType(clang_getCursorType(c));
    if (t->kind != TYPE_RECORD || type.kind != CXType_Record)
        return false;
    return type_same(t, reader_type(r, type, c));
}

/* The braces of a compound literal that fills the whole of t; a null cursor when c is none. */
static CXCursor literal_braces(struct reader *r, struct type *t, CXCursor c)
{
    c = without_parentheses(r, c);
    if (clang_getCursorKind(c) ==
        CXCursor_UnexposedExpr) { /* its value, by an implicit conversion */
        struct children inner = reader_expressions(r, c);
        c = inner.n == 1 ? without_parentheses(r, inner.items[0]) : c;
    }
    if (clang_getCursorKind(c) != CXCursor_CompoundLiteralExpr || !type_is_aggregate(t))
        return clang_getNullCursor();
    struct type *type = reader_type_of(r, c);
    bool same_element =
        t->kind == TYPE_ARRAY && type->kind == TYPE_ARRAY && type_same(t->base, type->base);
    struct children inner = reader_expressions(r, c);
    bool fits = type_same(t, type) || same_element;
    return fits && inner.n ? inner.items[inner.n - 1] : clang_getNullCursor();
}

/* One element, or as many as an aggregate without braces takes, into a part of type t. */
static void fill_part(struct filling *f, struct type *t, int64_t at, struct field *bits,
                      struct list *list)
{
    CXCursor c = list->elements.items[list->next], literal = literal_braces(f->r, t, c);
    if (!clang_Cursor_isNull(literal))
        c = literal; /* filled in place: a static object has no other to be copied from */
    if (is_list(c)) {
        list->next++;
        fill_braced(f, t, at, bits, c);
    } else if (fills_array(f->r, t, c)) {
        list->next++;
        put_string(f, t, at, c);
    } else if (type_is_aggregate(t) && !fills_record(f->r, t, c)) {
        fill(f, t, at, list, false);
    } else {
        list->next++;
        struct expr *value = reader_cast(f->r, reader_rvalue(f->r, c), t);
        put(f, c, t, at, bits, value);
    }
}

/* The value behind designators is a list of one element for the part that they name. */
static void fill_value(struct filling *f, struct type *t, int64_t at, struct field *bits,
                       CXCursor c)
{
    struct list one = {.elements = {&c, 1}};
    fill_part(f, t, at, bits, &one);
}

/* ---- aggregates ---- */

static struct field *bits_of(struct field *field)
{
    return field->bit_width >= 0 ? field : NULL;
}

/* Designated elements are taken by the level with braces only: see fill_rest(). */
static bool more(const struct list *list)
{
    return list->next < list->elements.n && !is_designated(list->elements.items[list->next]);
}

static void read_designation(struct reader *r, CXCursor c, struct designation *d)
{
    struct children parts = reader_children(r, c);
    *d = (struct designation){0};
    if (parts.n < 2)
        reader_refuse(r, c, "a designator of unknown structure");
    d->value = parts.items[parts.n - 1];
    for (int i = 0; i < parts.n - 1; i++) {
        if (d->n == MAX_DESIGNATORS)
            reader_refuse(r, c, "more than %d designators", MAX_DESIGNATORS);
        struct designator *step = &d->steps[d->n++];
        step->is_field = clang_getCursorKind(parts.items[i]) == CXCursor_MemberRef;
        if (step->is_field) {
            step->field = clang_getCursorReferenced(parts.items[i]);
            continue;
        }
        if (!reader_constant(r, parts.items[i], &step->first))
            reader_refuse(r, c, "a designator that is no constant");
        step->last = step->first;
        struct token t = reader_token_after(r, parts.items[i]);
        if (i + 1 < parts.n - 1 && reader_token_is(r, t, "...") &&
            !reader_constant(r, parts.items[++i], &step->last))
            reader_refuse(r, c, "a designator that is no constant");
    }
}

static void fill_array_from(struct filling *f, struct type *t, int64_t at, struct list *list,
                            int64_t index)
{
    struct type *element = t->base;
    while (more(list) && (t->length < 0 || index < t->length)) {
        if (element->size <= 0)
            list->next++; /* elements without bytes */
        else
            fill_part(f, element, at + index++ * element->size, NULL, list);
    }
}

static void fill_record_from(struct filling *f, struct type *t, int64_t at, struct list *list,
                             int index)
{
    const struct type *plain = type_plain(t);
    while (more(list) && index < plain->n) {
        struct field *field = &plain->fields[index++];
        fill_part(f, field->type, at + field->offset, bits_of(field), list);
        /* only its first member is filled without a designator (C11 6.7.9p17) */
        if (plain->is_union)
            break;
    }
}

/* What is left in braces when the aggregate is full: designated elements go on, others are excess.
 */
static void fill_rest(struct filling *f, struct type *t, int64_t at, struct list *list)
{
    struct designation d;
    while (list->next < list->elements.n) {
        CXCursor c = list->elements.items[list->next++];
        if (is_designated(c)) {
            read_designation(f->r, c, &d);
            fill_designated(f, t, at, list, &d, 0);
        }
    }
}

static void fill(struct filling *f, struct type *t, int64_t at, struct list *list, bool braced)
{
    reader_enter(f->r, list->elements.items[list->next < list->elements.n ? list->next : 0]);
    int before = list->next;
    if (t->kind == TYPE_ARRAY)
        fill_array_from(f, t, at, list, 0);
    else if (t->kind == TYPE_RECORD)
        fill_record_from(f, t, at, list, 0);
    if (braced)
        fill_rest(f, t, at, list);
    else if (list->next == before && t->size > 0)
        reader_refuse(f->r, list->elements.items[before], "an element that fills nothing");
    reader_leave(f->r);
}

/* ---- designators ---- */

/* The value takes the place of its designated element: without braces it may be the first of
 * several. */
static void fill_named(struct filling *f, struct type *t, int64_t at, struct field *bits,
                       struct list *list, const struct designation *d, int step)
{
    if (step + 1 < d->n) {
        fill_designated(f, t, at, list, d, step + 1);
        return;
    }
    list->elements.items[--list->next] = d->value;
    fill_part(f, t, at, bits, list);
}

static void fill_range(struct filling *f, struct type *t, int64_t at, struct list *list,
                       const struct designation *d, int step)
{
    const struct designator *s = &d->steps[step];
    int64_t size = t->base->size, before = f->out->n;
    if (s->first < 0 || s->last < s->first || s->last - s->first >= MAX_PIECES)
        reader_refuse(f->r, d->value, "a designated range of this size");
    for (int64_t i = s->first; i < s->last; i++) {
        CXCursor alone = d->value;
        /* behind its only element, as fill_named() steps back to it */
        struct list one = {.elements = {&alone, 1}, .next = 1};
        fill_named(f, t->base, at + i * size, NULL, &one, d, step);
    }
    /* the last one may go on with what follows in the list */
    fill_named(f, t->base, at + s->last * size, NULL, list, d, step);
    for (int64_t i = before; s->first < s->last && i < f->out->n; i++) {
        if (constant_has_effects(f->out->items[i].value))
            reader_refuse(f->r, d->value, "a designated range of a value with side effects");
    }
}

/* Fills the part that d names from its step on, then what follows it in t. */
static void fill_designated(struct filling *f, struct type *t, int64_t at, struct list *list,
                            const struct designation *d, int step)
{
    const struct designator *s = &d->steps[step];
    reader_enter(f->r, d->value);
    if (s->is_field && t->kind == TYPE_RECORD) {
        /* libclang lists the anonymous members on the way as steps of their own. */
        struct field *field = cursor_map_get(&f->r->fields, s->field),
                     *fields = type_plain(t)->fields;
        int n = type_plain(t)->n;
        if (!field || field < fields || field >= fields + n)
            reader_refuse(f->r, d->value, "a designator that does not fit its record");
        fill_named(f, field->type, at + field->offset, bits_of(field), list, d, step);
        if (!type_plain(t)->is_union)
            fill_record_from(f, t, at, list, (int)(field - fields) + 1);
    } else if (!s->is_field && t->kind == TYPE_ARRAY) {
        fill_range(f, t, at, list, d, step);
        fill_array_from(f, t, at, list, s->last + 1);
    } else {
        reader_refuse(f->r, d->value, "a designator that does not fit its type");
    }
    reader_leave(f->r);
}

/* ---- entry ---- */

static void fill_braced(struct filling *f, struct type *t, int64_t at, struct field *bits,
                        CXCursor braces)
{
    struct list list = {.elements = reader_expressions(f->r, braces)};
    bool single = list.elements.n == 1 && !is_designated(list.elements.items[0]);
    reader_enter(f->r, braces);
    if (single && fills_array(f->r, t, list.elements.items[0]))
        put_string(f, t, at, list.elements.items[0]);
    else if (type_is_aggregate(t)) {
        if (t->size > 0)
            forget(f, at, at + t->size);
        if (list.elements.n > 0)
            fill(f, t, at, &list, true);
    } else if (list.elements.n > 0) {
        fill_part(f, t, at, bits, &list);
    }
    reader_leave(f->r);
}

struct initializer *reader_initializer(struct reader *r, struct type *type, CXCursor c)
{
    struct initializer *out = heap_take(r->heap, sizeof *out);
    struct filling f = {.r = r, .out = out};
    out->extent = type->size > 0 ? type->size : 0;
    if (is_list(c))
        fill_braced(&f, type, 0, NULL, c);
    else
        fill_value(&f, type, 0, NULL, c);
    return out;
}
