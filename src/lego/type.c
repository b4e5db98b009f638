/*
 * type.c: types as values. A volatile type is a copy that points at its plain form, so that records
 * keep one identity: the plain one's.
 */
#include "lego/type.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"

/* Sizes of the x86-64 System V ABI; those of the other 64-bit targets differ in long double's
 * format only. */
static const struct {
    const char *name;
    int8_t size, rank;
    bool is_signed;
} basics[] = {
    /* alignment only: void is incomplete (C11 6.2.5p19), its size is set to -1 below */
    [TYPE_VOID] = {"void", 1, 0, false},
    [TYPE_BOOL] = {"_Bool", 1, 1, false},
    [TYPE_CHAR] = {"char", 1, 2, true},
    [TYPE_SCHAR] = {"signed char", 1, 2, true},
    [TYPE_UCHAR] = {"unsigned char", 1, 2, false},
    [TYPE_SHORT] = {"short", 2, 3, true},
    [TYPE_USHORT] = {"unsigned short", 2, 3, false},
    [TYPE_INT] = {"int", 4, 4, true},
    [TYPE_UINT] = {"unsigned int", 4, 4, false},
    [TYPE_LONG] = {"long", 8, 5, true},
    [TYPE_ULONG] = {"unsigned long", 8, 5, false},
    [TYPE_LLONG] = {"long long", 8, 6, true},
    [TYPE_ULLONG] = {"unsigned long long", 8, 6, false},
    [TYPE_INT128] = {"__int128", 16, 7, true},
    [TYPE_UINT128] = {"unsigned __int128", 16, 7, false},
    [TYPE_FLOAT] = {"float", 4, 0, true},
    [TYPE_DOUBLE] = {"double", 8, 0, true},
    [TYPE_LDOUBLE] = {"long double", 16, 0, true},
};

void type_table_init(struct type_table *table, struct heap *h)
{
    table->heap = h;
    for (int kind = TYPE_VOID; kind <= TYPE_LDOUBLE; kind++) {
        struct type *t = heap_take(h, sizeof *t);
        t->kind = (enum type_kind)kind;
        t->size = kind == TYPE_VOID ? -1 : basics[kind].size;
        t->align = basics[kind].size;
        t->plain = t;
        table->basic[kind] = t;
    }
}

/* Pointers are not looked up for reuse: type_same() compares by structure, and the heap is freed
 * whole. */
struct type *type_pointer_to(struct heap *h, struct type *base)
{
    struct type *t = heap_take(h, sizeof *t);
    t->kind = TYPE_POINTER;
    t->size = t->align = 8;
    t->base = base;
    t->plain = t;
    return t;
}

struct type *type_array_of(struct heap *h, struct type *element, int64_t length)
{
    struct type *t = heap_take(h, sizeof *t);
    t->kind = TYPE_ARRAY;
    t->base = element;
    t->length = length;
    t->size = length < 0 ? -1 : length * element->size;
    t->align = element->align;
    t->plain = t;
    return t;
}

/* Laid out as an array of two parts (C11 6.2.5p13); __real__ and __imag__ are its fields. */
struct type *type_complex_of(struct heap *h, struct type *part)
{
    struct type *t = heap_take(h, sizeof *t);
    t->kind = TYPE_COMPLEX;
    t->base = type_plain(part);
    t->size = 2 * part->size;
    t->align = part->align;
    t->n = 2;
    t->fields = heap_take(h, 2 * sizeof *t->fields);
    t->fields[0] = (struct field){.name = "__real__", .type = t->base, .bit_width = -1};
    t->fields[1] = (struct field){
        .name = "__imag__", .type = t->base, .offset = part->size, .bit_width = -1};
    t->plain = t;
    return t;
}

/* A qualifier of an array is its elements' (C11 6.7.3p9). The fields of a record become volatile
 * in the reader, which knows when they are complete. */
struct type *type_with_volatile(struct heap *h, struct type *t)
{
    if (t->is_volatile)
        return t;
    struct type *copy = heap_take(h, sizeof *copy);
    *copy = *t;
    copy->is_volatile = true;
    if (t->kind == TYPE_ARRAY)
        copy->base = type_with_volatile(h, t->base);
    copy->plain = t;
    return copy;
}

struct type *type_plain(const struct type *t)
{
    return t->plain;
}

bool type_is_integer(const struct type *t)
{
    return t->kind >= TYPE_BOOL && t->kind <= TYPE_UINT128;
}

bool type_is_float(const struct type *t)
{
    return t->kind >= TYPE_FLOAT && t->kind <= TYPE_LDOUBLE;
}

bool type_is_arithmetic(const struct type *t)
{
    return t->kind >= TYPE_BOOL && t->kind <= TYPE_COMPLEX;
}

bool type_is_scalar(const struct type *t)
{
    return type_is_arithmetic(t) || t->kind == TYPE_POINTER;
}

bool type_is_signed(const struct type *t)
{
    return t->kind <= TYPE_LDOUBLE && basics[t->kind].is_signed;
}

bool type_is_aggregate(const struct type *t)
{
    return t->kind == TYPE_ARRAY || t->kind == TYPE_RECORD || t->kind == TYPE_VA_LIST_TAG;
}

bool type_is_void(const struct type *t)
{
    return t->kind == TYPE_VOID;
}

bool type_is_pair(const struct type *t)
{
    return t->kind == TYPE_COMPLEX || t->kind == TYPE_INT128 || t->kind == TYPE_UINT128;
}

/* Conversion rank (C11 6.3.1.1p1): only its order matters. long long ranks above long though both
 * have 64 bits; 0 stands for what has none. */
int type_rank(const struct type *t)
{
    return type_is_integer(t) ? basics[t->kind].rank : 0;
}

/* () and (void) are different types here: calls through them are made differently (%al,
 * promotions). */
static bool functions_same(const struct type *a, const struct type *b)
{
    if (a->n != b->n || a->variadic != b->variadic || a->no_prototype != b->no_prototype)
        return false;
    for (int i = 0; i < a->n; i++) {
        if (!type_same(a->params[i], b->params[i]))
            return false;
    }
    return type_same(a->base, b->base);
}

/* Arrays of variable length are the same only when one declaration made them: their sizes are
   variables, and stepping by another one's would be wrong. */
bool type_same(const struct type *a, const struct type *b)
{
    if (a->plain == b->plain)
        return true;
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case TYPE_COMPLEX:
        return type_same(a->base, b->base);
    case TYPE_POINTER:
        /* how the target may be accessed is part of a pointer's type, the pointer's own qualifiers
         * are not */
        return a->base->is_volatile == b->base->is_volatile && type_same(a->base, b->base);
    case TYPE_ARRAY:
        return a->length == b->length && a->bytes == b->bytes && type_same(a->base, b->base);
    case TYPE_FUNCTION:
        return functions_same(a, b);
    /* two records that look alike are two types; one that is the same was found above */
    case TYPE_RECORD:
        return false;
    default:
        return true;
    }
}

/* Values travel as 64 bits extended by their sign, so that equal values have equal bits. */
uint64_t type_wrap(const struct type *t, uint64_t value)
{
    if (t->kind == TYPE_BOOL)
        return value != 0;
    if (t->size >= 8 || t->size < 1)
        return value;
    int unused = 64 - 8 * (int)t->size;
    if (type_is_signed(t))
        return (uint64_t)((int64_t)(value << unused) >> unused);
    return value << unused >> unused;
}

static const char *record_text(struct heap *h, const struct type *t)
{
    const char *kind = t->is_union ? "union" : "struct";
    return heap_printf(h, "%s %s", kind, t->name ? t->name : "(anonymous)");
}

static const char *parameters_text(struct heap *h, const struct type *t)
{
    if (t->no_prototype)
        return "()";
    if (t->n == 0)
        return t->variadic ? "(...)" : "(void)";
    const char *text = "(";
    for (int i = 0; i < t->n; i++)
        text = heap_printf(h, "%s%s%s", text, i ? ", " : "", type_text(h, t->params[i]));
    return heap_printf(h, "%s%s)", text, t->variadic ? ", ..." : "");
}

/* Declarators read from the inside out: `inner` is what has been written so far. */
static const char *declarator_text(struct heap *h, const struct type *t, const char *inner)
{
    /* an array's volatile is printed with its elements */
    const char *qualifier = t->is_volatile && t->kind != TYPE_ARRAY ? "volatile " : "";
    const char *base;
    switch (t->kind) {
    case TYPE_POINTER: {
        /* (*p)[3] and (*f)(void): without parentheses * would bind later than what follows */
        bool wrap = t->base->kind == TYPE_ARRAY || t->base->kind == TYPE_FUNCTION;
        const char *space = t->is_volatile && *inner ? " " : "";
        const char *star =
            heap_printf(h, "*%s%s%s", t->is_volatile ? "volatile" : "", space, inner);
        return declarator_text(h, t->base, wrap ? heap_printf(h, "(%s)", star) : star);
    }
    case TYPE_ARRAY:
        if (t->is_variable)
            return declarator_text(h, t->base, heap_printf(h, "%s[*]", inner));
        if (t->length < 0)
            return declarator_text(h, t->base, heap_printf(h, "%s[]", inner));
        return declarator_text(h, t->base,
                               heap_printf(h, "%s[%lld]", inner, (long long)t->length));
    case TYPE_FUNCTION:
        return declarator_text(h, t->base, heap_printf(h, "%s%s", inner, parameters_text(h, t)));
    case TYPE_RECORD:
        base = record_text(h, t);
        break;
    case TYPE_VA_LIST_TAG:
        base = "struct __va_list_tag";
        break;
    case TYPE_COMPLEX:
        base = heap_printf(h, "_Complex %s", basics[t->base->kind].name);
        break;
    default:
        base = basics[t->kind].name;
    }
    return heap_printf(h, "%s%s%s%s", qualifier, base, *inner ? " " : "", inner);
}

const char *type_text(struct heap *h, const struct type *t)
{
    return declarator_text(h, t, "");
}
