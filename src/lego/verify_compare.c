/*
 * verify_compare.c: whether a run of a fragment ended as the block's C did, and the words for it
 * when not. Everything is compared: the exit, all bytes of the image but the scratch below rsp, the
 * registers that a fragment has to leave alone, flags and control words. Let pass: NaNs with other
 * bits where floats are stored (C says nothing about them), and bytes 10 to 15 of a long double.
 */
#include "lego/verify_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "lego/lint_x86_64.h"

/** DF is bit 10 of rflags. Of MXCSR the low six bits are sticky exception flags, which any
 * arithmetic sets: not compared. The other two are the control words that the ABI has at entry. */
enum {
    DF = 0x400,
    MXCSR_CONTROL = 0xffc0,
    MXCSR = 0x1f80,
    X87_CONTROL = 0x37f,
    X87_EMPTY = 0xffff
};
enum { MAX_SHOWN = 4 };

struct comparison {
    const struct verifier *v;
    const struct block *block;
    const struct state_layout *layout;
    const unsigned char *input, *expected, *got;
    int state;
    struct buf *out;
};

/* ---- NaNs ---- */

static bool is_nan(enum ir_type type, const unsigned char *at)
{
    float single;
    double wide;
    long double extended = 0;
    switch (type) {
    case IR_F32: return memcpy(&single, at, 4), single != single;
    case IR_F64: return memcpy(&wide, at, 8), wide != wide;
    case IR_F80: return memcpy(&extended, at, 10), extended != extended;
    default: return false;
    }
}

static bool both_nan(const struct comparison *c, enum ir_type type, size_t offset)
{
    return is_nan(type, c->expected + offset) && is_nan(type, c->got + offset);
}

/** A float that the block stores into memory without a type, around a differing byte: at any place,
 * as pointers may be misaligned and lead to the image's borders. */
static bool nan_in_memory(const struct comparison *c, size_t offset)
{
    static const enum ir_type floats[] = {IR_F32, IR_F64, IR_F80};
    for (int t = 0; t < 3; t++) {
        size_t size = floats[t] == IR_F80 ? 10 : (size_t)ir_type_size(floats[t]);
        if (!(c->v->vectors.hints.stored >> floats[t] & 1))
            continue;
        for (size_t at = offset < size ? 0 : offset - size + 1; at <= offset; at++)
            if (at + size <= c->layout->size && both_nan(c, floats[t], at))
                return true;
    }
    return false;
}

/** The operand whose bytes hold this one; -1: arena, scratch or a gap between. */
static int operand_at(const struct comparison *c, size_t offset)
{
    for (int i = 0; i < c->block->n_operands; i++) {
        const struct block_operand *o = &c->block->operands[i];
        bool placed = o->kind != OPERAND_LITERAL && o->kind != OPERAND_FUNCTION;
        if (placed && offset >= c->layout->offsets[i] &&
            offset < c->layout->offsets[i] + (size_t)c->layout->sizes[i])
            return i;
    }
    return -1;
}

/** A scalar operand has its type. Bytes, and memory behind pointers, may hold what the block stores
 * there. */
static bool may_differ(const struct comparison *c, size_t offset)
{
    int i = operand_at(c, offset);
    if (i < 0 || c->block->operands[i].type == IR_BYTES)
        return nan_in_memory(c, offset);
    enum ir_type type = c->block->operands[i].type;
    size_t start = c->layout->offsets[i];
    /* padding: fstpt writes ten bytes, a copy by words sixteen */
    if (type == IR_F80 && offset - start >= 10)
        return true;
    return both_nan(c, type, start);
}

/* ---- memory ---- */

static void describe_operand(const struct comparison *c, int i, size_t offset, size_t *next)
{
    const struct block_operand *o = &c->block->operands[i];
    size_t start = c->layout->offsets[i], size = (size_t)c->layout->sizes[i];
    if (o->type != IR_BYTES) {
        buf_printf(c->out, "expected %s=", o->name);
        state_print_value(c->layout, c->block, o->type, c->expected + start, c->out);
        buf_printf(c->out, ", got %s=", o->name);
        state_print_value(c->layout, c->block, o->type, c->got + start, c->out);
        *next = start + size;
        return;
    }
    buf_printf(c->out, "expected bytes at %s+%zu:", o->name, offset - start);
    size_t n = start + size - offset < 8 ? start + size - offset : 8;
    for (size_t k = 0; k < n; k++)
        buf_printf(c->out, " %02x", c->expected[offset + k]);
    buf_puts(c->out, ", got");
    for (size_t k = 0; k < n; k++)
        buf_printf(c->out, " %02x", c->got[offset + k]);
    *next = offset + n;
}

/** Memory behind pointers, as the widest integer types that C programs use. */
static void describe_arena(const struct comparison *c, size_t offset, size_t *next)
{
    size_t word = offset / 8 * 8;
    int64_t expected, got;
    memcpy(&expected, c->expected + word, 8);
    memcpy(&got, c->got + word, 8);
    buf_printf(c->out, "expected 8 bytes at arena+%zu=0x%" PRIx64 ", got 0x%" PRIx64,
               word - c->layout->arena, (uint64_t)expected, (uint64_t)got);
    *next = word + 8;
}

/** Bytes of nobody: which operand ends before them. */
static void describe_gap(const struct comparison *c, size_t offset, size_t *next)
{
    int nearest = -1;
    size_t end = 0;
    for (int i = 0; i < c->block->n_operands; i++) {
        const struct block_operand *o = &c->block->operands[i];
        size_t stop = c->layout->offsets[i] + (size_t)c->layout->sizes[i];
        if (o->kind != OPERAND_LITERAL && o->kind != OPERAND_FUNCTION && stop <= offset &&
            stop >= end) {
            nearest = i;
            end = stop;
        }
    }
    if (nearest >= 0)
        buf_printf(c->out,
                   "memory that belongs to no operand was written, %zu bytes behind the end of %s"
                   " (a store too wide or misplaced)",
                   offset - end, c->block->operands[nearest].name);
    else
        buf_puts(c->out, "memory that belongs to no operand was written");
    *next = offset + 8;
}

static void describe_difference(const struct comparison *c, size_t offset, size_t *next)
{
    int i = operand_at(c, offset);
    if (i >= 0)
        describe_operand(c, i, offset, next);
    else if (offset >= c->layout->arena && offset < c->layout->arena + c->layout->arena_bytes)
        describe_arena(c, offset, next);
    else
        describe_gap(c, offset, next);
}

/** Scratch below rsp may hold anything. */
static bool is_scratch(const struct comparison *c, size_t offset)
{
    return offset < c->layout->rsp && offset >= c->layout->rsp - X86_SCRATCH_BYTES;
}

/** Two memcmp() decide nearly every run; only a difference is looked at byte by byte, as it may be
 * let pass. */
static bool same_fast(const struct comparison *c)
{
    size_t low = c->layout->rsp - X86_SCRATCH_BYTES, high = c->layout->rsp;
    return memcmp(c->expected, c->got, low) == 0 &&
           memcmp(c->expected + high, c->got + high, c->layout->size - high) == 0;
}

/** The values of the entry state, as far as they leave room for what went wrong. */
static void put_entry(const struct comparison *c)
{
    const char *before = ": ";
    buf_printf(c->out, "state %d", c->state);
    for (int i = 0; i < c->block->n_operands && c->out->length < 400; i++) {
        const struct block_operand *o = &c->block->operands[i];
        if (o->type == IR_BYTES || o->kind == OPERAND_FUNCTION)
            continue;
        buf_printf(c->out, "%s%s=", before, o->name);
        before = " ";
        if (o->kind == OPERAND_LITERAL)
            buf_printf(c->out, "%" PRId64, o->value);
        else
            state_print_value(c->layout, c->block, o->type, c->input + c->layout->offsets[i],
                              c->out);
    }
    buf_puts(c->out, ": ");
}

/** True when memory agrees; else the first differences are appended. */
static bool compare_memory(const struct comparison *c)
{
    if (same_fast(c))
        return true;
    int shown = 0;
    size_t next;
    for (size_t i = 0; i < c->layout->size; i++) {
        if (c->expected[i] == c->got[i] || is_scratch(c, i) || may_differ(c, i))
            continue;
        if (shown == 0)
            put_entry(c);
        if (shown++ == MAX_SHOWN) {
            buf_puts(c->out, "; and more");
            break;
        }
        buf_puts(c->out, shown > 1 ? "; " : "");
        describe_difference(c, i, &next);
        i = next - 1;
    }
    return shown == 0;
}

/* ---- registers and exits ---- */

static const char *exit_name(int exit, char out[24])
{
    if (exit == 0)
        return "the end";
    snprintf(out, 24, "x%d", exit);
    return out;
}

static bool compare_machine(const struct comparison *c, const struct emulate_registers *entry,
                            const struct emulate_result *r)
{
    /* System V ABI 3.2.1; the numbers above 7 are the registers' own */
    static const unsigned char kept[] = {X86_BX, X86_SP, X86_BP, 12, 13, 14, 15};
    char name[8];
    for (size_t i = 0; i < sizeof kept; i++)
        if (entry->gpr[kept[i]] != r->registers.gpr[kept[i]]) {
            buf_printf(c->out, "state %d: %%%s was changed", c->state,
                       x86_register_name(X86_REG(X86_R64, kept[i]), name));
            return false;
        }
    const char *what = NULL;
    if (r->registers.flags & DF)
        what = "the direction flag is set at exit";
    else if (r->x87_tags != X87_EMPTY)
        what = "the x87 stack is not empty at exit";
    else if (r->x87_control != X87_CONTROL)
        what = "the x87 control word was changed";
    else if ((r->mxcsr & MXCSR_CONTROL) != (MXCSR & MXCSR_CONTROL))
        what = "MXCSR was changed";
    if (what)
        buf_printf(c->out, "state %d: %s", c->state, what);
    return !what;
}

static bool compare_exit(const struct comparison *c, const struct emulate_result *r, int expected)
{
    char want[24], have[24];
    if (r->outcome == EMULATE_LEFT && r->exit == expected)
        return true;
    put_entry(c);
    if (r->outcome == EMULATE_FAULT)
        buf_printf(c->out, "the fragment faults (%s), expected to leave by %s", r->fault,
                   exit_name(expected, want));
    else if (r->outcome == EMULATE_ENDLESS)
        buf_printf(c->out, "the fragment does not end, expected to leave by %s",
                   exit_name(expected, want));
    else
        buf_printf(c->out, "expected to leave by %s, left by %s", exit_name(expected, want),
                   exit_name(r->exit, have));
    return false;
}

bool compare_run(const struct verifier *v, const struct block *block, int i,
                 const struct emulate_registers *entry, const struct emulate_result *result,
                 const unsigned char *image, char *message, size_t room)
{
    const struct vectors *s = &v->vectors;
    struct buf out;
    buf_init(&out, 4096);
    struct comparison c = {v, block, &s->layout, s->inputs + s->layout.size * (size_t)i,
                           s->outputs + s->layout.size * (size_t)i, image, i, &out};
    /* the exit first: memory of another path says nothing */
    bool same = compare_exit(&c, result, s->results[i].exit) && compare_memory(&c) &&
                compare_machine(&c, entry, result);
    if (!same)
        snprintf(message, room, "%s", out.data ? out.data : "it differs");
    buf_fini(&out);
    return same;
}
