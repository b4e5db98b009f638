/*
 * target_x86_64_abi.c: where arguments and results travel, after the System V ABI (AMD64
 * supplement, 3.2.3), where that is silent after gcc. Pure data: no code is written here.
 */
#include "lego/target_x86_64.h"

/* rdi, rsi, rdx, rcx, r8, r9; xmm0 to xmm7. */
enum { INT_REGISTERS = 6, SSE_REGISTERS = 8 };

/* 3.2.3's rules (a) to (f) for two classes in one eightbyte. */
static enum abi_class merge(enum abi_class a, enum abi_class b)
{
    if (a == b || b == ABI_NONE)
        return a;
    if (a == ABI_NONE)
        return b;
    if (a == ABI_MEMORY || b == ABI_MEMORY)
        return ABI_MEMORY;
    if (a == ABI_INTEGER || b == ABI_INTEGER)
        return ABI_INTEGER;
    if (a != ABI_SSE || b != ABI_SSE)
        return ABI_MEMORY; /* x87 beside something else */
    return ABI_SSE;
}

/* Beyond two eightbytes nothing of a value this size goes by registers. */
static void add(enum abi_class out[2], int64_t eightbyte, enum abi_class class)
{
    if (eightbyte >= 0 && eightbyte < 2)
        out[eightbyte] = merge(out[eightbyte], class);
    else
        out[0] = ABI_MEMORY;
}

static void classify_scalar(const struct type *t, int64_t offset, enum abi_class out[2])
{
    if (t->size > 0 && offset % t->size) { /* a scalar's size is its natural alignment */
        out[0] = ABI_MEMORY;
        return;
    }
    if (t->kind == TYPE_LDOUBLE) {
        add(out, offset / 8, ABI_X87);
        add(out, offset / 8 + 1, ABI_X87UP);
        return;
    }
    bool sse = t->kind == TYPE_FLOAT || t->kind == TYPE_DOUBLE;
    add(out, offset / 8, sse ? ABI_SSE : ABI_INTEGER);
    if (t->size == 16) /* __int128 */
        add(out, offset / 8 + 1, ABI_INTEGER);
}

static void classify_at(const struct type *t, int64_t offset, enum abi_class out[2]);

static void classify_fields(const struct type *t, int64_t offset, enum abi_class out[2])
{
    for (int i = 0; i < t->n; i++) {
        const struct field *f = &t->fields[i];
        if (f->bit_width < 0) {
            classify_at(f->type, offset + f->offset, out);
        } else if (f->name && f->bit_width > 0) { /* unnamed bit-fields are padding */
            int64_t first = (offset + f->offset) * 8 + f->bit_offset;
            for (int64_t e = first / 64; e <= (first + f->bit_width - 1) / 64; e++)
                add(out, e, ABI_INTEGER);
        }
    }
}

/* An aggregate is classed by itself, then merged with what surrounds it: the order shows in unions.
 */
static void classify_at(const struct type *t, int64_t offset, enum abi_class out[2])
{
    enum abi_class own[2] = {ABI_NONE, ABI_NONE};
    if (t->kind == TYPE_RECORD) {
        classify_fields(t, offset, own);
    } else if (t->kind == TYPE_COMPLEX) {
        classify_scalar(t->base, offset, own);
        classify_scalar(t->base, offset + t->base->size, own);
    } else if (t->kind == TYPE_ARRAY) {
        for (int64_t i = 0; i < t->length && own[0] != ABI_MEMORY; i++)
            classify_at(t->base, offset + i * t->base->size, own);
    } else if (t->kind == TYPE_VA_LIST_TAG) {
        own[0] = ABI_MEMORY; /* 24 bytes */
    } else {
        classify_scalar(t, offset, own);
    }
    /* 3.2.3, the post merger cleanup, rules (a) and (b) */
    if (own[1] == ABI_MEMORY || (own[1] == ABI_X87UP && own[0] != ABI_X87))
        own[0] = ABI_MEMORY;
    for (int i = 0; i < 2; i++)
        out[i] = merge(out[i], own[i]);
}

/* The classes of an aggregate's two eightbytes; of one that goes by memory the first is MEMORY. */
static void abi_classify(const struct type *t, enum abi_class out[2])
{
    out[0] = out[1] = ABI_NONE;
    if (t->size > 16) {
        out[0] = ABI_MEMORY;
        return;
    }
    if (t->size > 0) /* arrays of empty records have no end */
        classify_at(t, 0, out);
}

static void classify_ir(enum ir_type t, enum abi_class out[2])
{
    out[0] = t == IR_F32 || t == IR_F64 ? ABI_SSE : t == IR_F80 ? ABI_X87
             : t == IR_VOID             ? ABI_NONE : ABI_INTEGER;
    out[1] = t == IR_F80 ? ABI_X87UP : ABI_NONE;
}

/* The classes of a value in registers as parts, without register numbers. */
static void fill_parts(const enum abi_class class[2], int64_t size, struct abi_place *out)
{
    for (int i = 0; i < 2; i++) {
        if (class[i] == ABI_NONE || class[i] == ABI_X87UP)
            continue;
        int64_t left = size - 8 * i;
        int bytes = class[i] == ABI_X87 ? 16 : left < 8 ? (int)left : 8;
        out->parts[out->n_parts++] =
            (struct abi_part){.class = class[i], .offset = 8 * i, .bytes = bytes};
    }
    out->kind = out->n_parts ? ABI_REGISTERS : ABI_NOWHERE;
}

static int64_t size_of(const struct type *aggregate, enum ir_type scalar)
{
    return aggregate ? aggregate->size : scalar == IR_VOID ? 0 : ir_type_size(scalar);
}

/* Each argument begins at a multiple of 8, of 16 when its type asks for that. */
static void pass_on_stack(struct abi_walk *w, int64_t size, int64_t align, struct abi_place *out)
{
    if (align >= 16)
        w->stack = (w->stack + 15) / 16 * 16;
    *out = (struct abi_place){.kind = ABI_STACK, .stack = w->stack};
    w->stack += (size + 7) / 8 * 8;
}

void abi_pass(struct abi_walk *w, const struct type *aggregate, enum ir_type scalar,
              struct abi_place *out)
{
    enum abi_class class[2];
    if (aggregate)
        abi_classify(aggregate, class);
    else
        classify_ir(scalar, class);
    int64_t size = size_of(aggregate, scalar);
    *out = (struct abi_place){0};
    /* x87 values come back in st(0), but are passed in memory */
    if (class[0] == ABI_MEMORY || class[0] == ABI_X87) {
        pass_on_stack(w, size, aggregate ? aggregate->align : 16, out);
        return;
    }
    fill_parts(class, size, out);
    int n_int = 0, n_sse = 0;
    for (int i = 0; i < out->n_parts; i++) {
        struct abi_part *p = &out->parts[i];
        p->reg = p->class == ABI_SSE ? w->n_sse + n_sse++ : w->n_int + n_int++;
    }
    /* A value goes by registers whole or not at all. */
    if ((n_int && w->n_int + n_int > INT_REGISTERS) ||
        (n_sse && w->n_sse + n_sse > SSE_REGISTERS)) {
        pass_on_stack(w, size, aggregate ? aggregate->align : 8, out);
        return;
    }
    w->n_int += n_int;
    w->n_sse += n_sse;
}

static bool is_complex_x87(const struct type *t)
{
    return t && t->kind == TYPE_COMPLEX && t->base->kind == TYPE_LDOUBLE;
}

void abi_result(const struct type *aggregate, enum ir_type scalar, struct abi_place *out)
{
    static const enum x86_register general[] = {X86_RAX, X86_RDX};
    enum abi_class class[2];
    if (aggregate)
        abi_classify(aggregate, class);
    else
        classify_ir(scalar, class);
    *out = (struct abi_place){0};
    if (is_complex_x87(aggregate)) { /* in st0 and st1 */
        out->kind = ABI_REGISTERS;
        out->n_parts = 2;
        out->parts[0] = (struct abi_part){.class = ABI_X87, .bytes = 16};
        out->parts[1] = (struct abi_part){.class = ABI_X87, .offset = 16, .bytes = 16};
        return;
    }
    /* by a pointer from the caller, in rdi */
    if (class[0] == ABI_MEMORY) {
        out->kind = ABI_STACK;
        return;
    }
    fill_parts(class, size_of(aggregate, scalar), out);
    int n_int = 0, n_sse = 0;
    for (int i = 0; i < out->n_parts; i++) {
        struct abi_part *p = &out->parts[i];
        p->reg =
            p->class == ABI_SSE ? n_sse++ : (int)general[p->class == ABI_INTEGER ? n_int++ : 0];
    }
}
