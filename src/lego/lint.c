/*
 * lint.c: the composability conditions on a parsed fragment: its operands are the block's and stay
 * inside them (a), frame and callee-saved registers are left alone (c, d), it jumps to its own
 * labels and the block's exits only (e), its labels are fresh (f), it writes no constants (g).
 * Conditions b and the rest of d, which depend on paths, are lint_flow.c's; the parser refuses
 * directives (g).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lego/lint_x86_64.h"

enum { SP = X86_REG(X86_R64, X86_SP), BP = X86_REG(X86_R64, X86_BP), IP = X86_REG(X86_RIP, 0) };

/** The line being checked. */
struct lint {
    const struct fragment *fragment;
    const struct block *block;
    const struct fragment_line *line;
    const struct x86_effect *effect;
    ashlar_error *err;
};

#define REFUSE(l, ...) (error_set((l)->err, ASHLAR_BAD_INPUT, __VA_ARGS__), false)

static const struct block_operand *find_operand(const struct block *block, const char *name)
{
    for (int i = 0; i < block->n_operands; i++)
        if (strcmp(block->operands[i].name, name) == 0)
            return &block->operands[i];
    return NULL;
}

/** Position of exit "xN" in the block's exits; -1: it has none of that name. */
static int find_exit(const struct block *block, const char *name)
{
    if (name[0] != 'x')
        return -1;
    char *end;
    long i = strtol(name + 1, &end, 10);
    return *end == '\0' && name[1] > '0' && name[1] <= '9' && i <= block->n_exits ? (int)i - 1 : -1;
}

/* ---- registers (c, d) ---- */

/** rbx, r12 to r15 (System V ABI 3.2.1); rsp and rbp are rule c's. */
static bool is_callee_saved(int index)
{
    return index == X86_BX || index >= 12;
}

static bool check_register(const struct lint *l, int reg)
{
    char name[8];
    if (X86_KIND(reg) == X86_XMM || X86_KIND(reg) == X86_ST)
        return true;
    x86_register_name(reg, name);
    bool high = X86_KIND(reg) == X86_R8H; /* %ah is part of index 0, %bh of 3 */
    if (X86_KIND(reg) == X86_RIP ||
        (!high && (X86_INDEX(reg) == X86_SP || X86_INDEX(reg) == X86_BP)))
        return REFUSE(l, "line %d: rule c: %%%s may only be the base of an operand",
                      l->line->number, name);
    if (is_callee_saved(X86_INDEX(reg)))
        return REFUSE(
            l, "line %d: rule d: %%%s is callee-saved; use rax, rcx, rdx, rsi, rdi, r8 to r11",
            l->line->number, name);
    return true;
}

/* ---- memory (a) ---- */

static bool check_address_registers(const struct lint *l, const struct fragment_operand *o)
{
    char name[8];
    if (o->index >= 0) {
        if (X86_KIND(o->index) != X86_R64)
            return REFUSE(l, "line %d: index %%%s is not a 64-bit register", l->line->number,
                          x86_register_name(o->index, name));
        if (!check_register(l, o->index))
            return false;
    }
    if (o->base < 0 || o->base == SP || o->base == BP || o->base == IP)
        return true;
    if (X86_KIND(o->base) != X86_R64)
        return REFUSE(l, "line %d: base %%%s is not a 64-bit register", l->line->number,
                      x86_register_name(o->base, name));
    return check_register(l, o->base);
}

/** No symbol: an address computed in registers, or scratch below rsp. */
static bool check_bare_memory(const struct lint *l, const struct fragment_operand *o, int width,
                              bool is_address)
{
    int line = l->line->number;
    if (o->value != (int32_t)o->value)
        return REFUSE(l, "line %d: the offset %" PRId64 " does not fit 32 bits", line, o->value);
    if (o->base == SP) {
        bool inside = o->value >= -X86_SCRATCH_BYTES && o->value + width <= 0;
        /* an address of scratch could be kept, an index could lead out of it */
        if (is_address || o->index >= 0 || !inside)
            return REFUSE(
                l, "line %d: rule c: of rsp only -%d(%%rsp) to -1(%%rsp) are usable, as scratch",
                line, X86_SCRATCH_BYTES);
        return true;
    }
    /* digits would be right in one frame, or at one address, only */
    if (o->base == BP || o->base == IP)
        return REFUSE(
            l, "line %d: rule a: a place in the frame or in data is named: v1(%%rbp), g1(%%rip)",
            line);
    if (o->base < 0 && !is_address)
        return REFUSE(l, "line %d: rule a: an absolute address", line);
    if (o->base < 0 && o->index < 0)
        return REFUSE(l, "line %d: rule a: an absolute address", line);
    return true;
}

/** Slots lie in the frame. Data, constants and functions are reached from rip, where the encoding
 * has no place for an index. */
static bool check_base(const struct lint *l, const struct fragment_operand *o,
                       const struct block_operand *operand)
{
    int line = l->line->number;
    if (operand->kind == OPERAND_SLOT) {
        if (o->base != BP)
            return REFUSE(l, "line %d: rule a: slot %s is %s(%%rbp)", line, o->symbol, o->symbol);
    } else if (o->base != IP || o->index >= 0) {
        return REFUSE(l, "line %d: rule a: %s is addressed as %s(%%rip), without an index", line,
                      o->symbol, o->symbol);
    }
    return true;
}

/** Inside the operand when that can be seen; with an index register the emulator's guards look. */
static bool check_bounds(const struct lint *l, const struct fragment_operand *o,
                         const struct block_operand *operand, int width, int access)
{
    int line = l->line->number;
    if (operand->kind == OPERAND_FUNCTION && (access != X86_ADDRESS || o->value))
        return REFUSE(l,
                      "line %d: rule a: function %s: leaq %s(%%rip), register is all that it takes",
                      line, o->symbol, o->symbol);
    if (operand->kind == OPERAND_CONSTANT && (access & X86_WRITES))
        return REFUSE(l, "line %d: rule g: constant %s is read-only", line, o->symbol);
    if (operand->size <= 0 || operand->kind == OPERAND_FUNCTION)
        return true; /* data of unknown size: "extern int a[]" */
    int64_t last = operand->size - width;
    if (o->index < 0 && access != X86_ADDRESS && (o->value < 0 || o->value > last))
        return REFUSE(
            l, "line %d: rule a: %d-byte access at %s%+" PRId64 ", which has %" PRId64 " bytes",
            line, width, o->symbol, o->value, operand->size);
    if (o->value != (int32_t)o->value)
        return REFUSE(l, "line %d: the offset %" PRId64 " does not fit 32 bits", line, o->value);
    return true;
}

static bool check_memory(const struct lint *l, const struct fragment_operand *o, int width,
                         int access)
{
    if (!check_address_registers(l, o))
        return false;
    if (!o->symbol[0])
        return check_bare_memory(l, o, width, access == X86_ADDRESS);
    const struct block_operand *operand = find_operand(l->block, o->symbol);
    if (!operand)
        return REFUSE(l, "line %d: rule a: the block has no operand %s", l->line->number,
                      o->symbol);
    /* as a displacement, c1(%rax): with this use's value it is an offset like any other */
    if (operand->kind == OPERAND_LITERAL) {
        struct fragment_operand plain = *o;
        plain.symbol[0] = '\0';
        plain.value = (int64_t)((uint64_t)o->value + (uint64_t)operand->value);
        if (o->base == SP)
            return REFUSE(l, "line %d: rule c: scratch below rsp is addressed by digits",
                          l->line->number);
        return check_bare_memory(l, &plain, width, access == X86_ADDRESS);
    }
    return check_base(l, o, operand) && check_bounds(l, o, operand, width, access);
}

/* ---- immediates and targets ---- */

/** The value that is encoded must be the value that is written: assemblers would cut some silently.
 */
static bool check_immediate(const struct lint *l, const struct fragment_operand *o, int width,
                            int number)
{
    int line = l->line->number;
    if (!o->symbol[0])
        return true;
    const struct block_operand *operand = find_operand(l->block, o->symbol);
    if (!operand || operand->kind != OPERAND_LITERAL)
        return REFUSE(l, "line %d: rule a: $%s is not a literal of the block%s", line, o->symbol,
                      operand ? " (an address is taken with leaq)" : "");
    int64_t value = (int64_t)((uint64_t)operand->value + (uint64_t)o->value);
    /* both readings of a narrow number, as assemblers take $255 and $-1 for a byte; at 64 bits the
     * field has 32 and is extended by its sign */
    int64_t low = width == 1 ? INT8_MIN : width == 2 ? INT16_MIN : INT32_MIN;
    int64_t high = width == 1   ? UINT8_MAX
                   : width == 2 ? UINT16_MAX
                   : width == 4 ? UINT32_MAX
                                : INT32_MAX;
    /* assembled as movabs where it must be */
    bool wide_move = width == 8 && strncmp(l->line->mnemonic, "mov", 3) == 0 && number == 0 &&
                     l->line->operands[1].kind == FRAGMENT_REGISTER;
    if (!wide_move && (value < low || value > high))
        return REFUSE(l, "line %d: $%s is %" PRId64 " here, which does not fit %s", line, o->symbol,
                      value, l->line->mnemonic);
    return true;
}

static bool check_target(const struct lint *l, const struct fragment_operand *o)
{
    if (find_exit(l->block, o->symbol) >= 0)
        return true;
    for (int i = 0; i < l->fragment->n; i++)
        if (strcmp(l->fragment->lines[i].label, o->symbol) == 0)
            return true;
    return REFUSE(
        l, "line %d: rule %c: %s is neither an exit of the block nor a label of the fragment",
        l->line->number, o->symbol[0] == '.' ? 'f' : 'e', o->symbol);
}

static bool check_operand(const struct lint *l, int i)
{
    const struct fragment_operand *o = &l->line->operands[i];
    switch (o->kind) {
    case FRAGMENT_REGISTER:
        return check_register(l, o->reg);
    case FRAGMENT_IMMEDIATE:
        return check_immediate(l, o, l->effect->width[i], i);
    case FRAGMENT_MEMORY:
        return check_memory(l, o, l->effect->width[i], l->effect->access[i]);
    case FRAGMENT_TARGET:
        return check_target(l, o);
    }
    return false;
}

static bool check_label(const struct lint *l, int at)
{
    const char *label = l->fragment->lines[at].label;
    for (int i = 0; label[0] && i < at; i++)
        if (strcmp(l->fragment->lines[i].label, label) == 0)
            return REFUSE(l, "line %d: rule f: label %s is defined twice", l->line->number, label);
    return true;
}

static bool check_lines(const struct fragment *f, const struct block *block,
                        struct x86_effect *effects, ashlar_error *err)
{
    for (int i = 0; i < f->n; i++) {
        struct lint l = {f, block, &f->lines[i], &effects[i], err};
        char why[200];
        if (!check_label(&l, i))
            return false;
        if (!f->lines[i].mnemonic[0])
            continue;
        /* the instruction's shape first: it tells the widths that operands are checked with */
        if (!x86_effect(&f->lines[i], &effects[i], why, sizeof why))
            return REFUSE(&l, "line %d: %s", f->lines[i].number, why);
        for (int k = 0; k < f->lines[i].n_operands; k++)
            if (!check_operand(&l, k))
                return false;
    }
    return true;
}

ashlar_status fragment_lint(const struct fragment *f, const struct block *block, ashlar_error *err)
{
    struct x86_effect *effects = calloc((size_t)f->n + 1, sizeof *effects);
    if (!effects)
        return error_memory(err, ((size_t)f->n + 1) * sizeof *effects, "the lint");
    ashlar_status status = ASHLAR_BAD_INPUT;
    if (check_lines(f, block, effects, err))
        status = x86_lint_flow(f, block, effects, err);
    free(effects);
    return status;
}
