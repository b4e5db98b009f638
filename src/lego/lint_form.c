/*
 * lint_form.c: the operand shapes of instructions: for each form, which operands it takes, which of
 * them it reads and writes and how wide, and what else it touches.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lego/lint_form.h"

/** The words are kept apart from their line number, which the caller knows (lint.c). */
bool x86_refuse(const struct match *m, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(m->why, m->room, format, args);
    va_end(args);
    return false;
}

int x86_suffix_width(char c)
{
    return c == 'b' ? 1 : c == 'w' ? 2 : c == 'l' ? 4 : 8;
}

/* ---- operand shapes ---- */

static const struct fragment_operand *operand(const struct match *m, int i)
{
    return &m->line->operands[i];
}

static bool is_memory(const struct match *m, int i)
{
    return operand(m, i)->kind == FRAGMENT_MEMORY;
}

static bool is_reg(const struct match *m, int i, enum x86_kind kind)
{
    return operand(m, i)->kind == FRAGMENT_REGISTER && X86_KIND(operand(m, i)->reg) == kind;
}

/** Bytes of a general register; 0: it is none. %ah and its kin count as one byte: which byte is the
 * flow's concern (lint_flow.c). */
static int gpr_width(int reg)
{
    switch (X86_KIND(reg)) {
    case X86_R8:
    case X86_R8H:
        return 1;
    case X86_R16:
        return 2;
    case X86_R32:
        return 4;
    case X86_R64:
        return 8;
    default:
        return 0;
    }
}

static void set_access(struct match *m, int i, int width, int access)
{
    m->effect->access[i] = (unsigned char)access;
    m->effect->width[i] = (unsigned char)width;
}

/* Messages go to whoever repairs the fragment, often a model: they say what would be right. */
static bool need_operands(const struct match *m, int low, int high)
{
    int n = m->line->n_operands;
    if (n >= low && n <= high)
        return true;
    if (low == high)
        return x86_refuse(m, "%s takes %d operand%s", m->line->mnemonic, low, low == 1 ? "" : "s");
    return x86_refuse(m, "%s takes %d to %d operands", m->line->mnemonic, low, high);
}

/** An operand that is a general register of the width or memory; immediates when allowed. */
static bool general(const struct match *m, int i, int width, bool memory, bool immediate)
{
    const struct fragment_operand *o = operand(m, i);
    switch (o->kind) {
    case FRAGMENT_REGISTER: {
        char name[8];
        if (gpr_width(o->reg) == 0)
            return x86_refuse(m, "%s does not take %%%s", m->line->mnemonic,
                          x86_register_name(o->reg, name));
        if (gpr_width(o->reg) != width)
            return x86_refuse(m, "%s works on %d byte%s, %%%s has %d", m->line->mnemonic, width,
                          width == 1 ? "" : "s", x86_register_name(o->reg, name),
                          gpr_width(o->reg));
        return true;
    }
    case FRAGMENT_MEMORY:
        return memory || x86_refuse(m, "operand %d of %s is not memory", i + 1, m->line->mnemonic);
    case FRAGMENT_IMMEDIATE:
        return immediate ||
               x86_refuse(m, "operand %d of %s is not an immediate", i + 1, m->line->mnemonic);
    default:
        return x86_refuse(m, "operand %d of %s is a bare name or number: %s", i + 1,
                          m->line->mnemonic,
                          "memory is name(%rbp) or name(%rip), an immediate has a $");
    }
}

static bool allows_width(const struct row *row, int width)
{
    for (const char *s = row->suffixes; *s; s++)
        if (x86_suffix_width(*s) == width)
            return true;
    return false;
}

/** The width by suffix, else by the last general register operand (a shift's %cl is not last). */
static bool find_width(struct match *m)
{
    for (int i = m->line->n_operands; m->width == 0 && i-- > 0;)
        if (operand(m, i)->kind == FRAGMENT_REGISTER)
            m->width = gpr_width(operand(m, i)->reg);
    if (m->width == 0)
        return x86_refuse(m, "%s needs a width suffix", m->line->mnemonic);
    return allows_width(&m->row, m->width) ||
           x86_refuse(m, "%s has no %d-byte form", m->line->mnemonic, m->width);
}

/* True of every instruction of the baseline but the string moves, which the table does not have. */
static bool not_both_memory(const struct match *m)
{
    return !(is_memory(m, 0) && is_memory(m, 1)) ||
           x86_refuse(m, "%s cannot have two memory operands", m->line->mnemonic);
}

/** What fits an immediate field: signed or unsigned in its width, signed 32 bits at most in 64. */
static bool immediate_fits(const struct match *m, int width)
{
    const struct fragment_operand *o = operand(m, 0);
    if (o->kind != FRAGMENT_IMMEDIATE || o->symbol[0])
        return true; /* literals: checked with their values by the lint */
    int64_t low = width == 1 ? INT8_MIN : width == 2 ? INT16_MIN : INT32_MIN;
    int64_t high = width == 1   ? UINT8_MAX
                   : width == 2 ? UINT16_MAX
                   : width == 4 ? UINT32_MAX
                                : INT32_MAX;
    bool wide_move = m->row.form == MOVABS ||
                     (m->row.form == MOV && width == 8 && operand(m, 1)->kind == FRAGMENT_REGISTER);
    return wide_move || (o->value >= low && o->value <= high) ||
           x86_refuse(m, "the immediate %lld does not fit %s", (long long)o->value,
                      m->line->mnemonic);
}

/* ---- forms: general registers ---- */

/** mov and its kin, and what only compares: the second operand is the destination or is read
 * too. */
static bool form_two(struct match *m, int destination)
{
    if (!need_operands(m, 2, 2) || !find_width(m) || !not_both_memory(m) ||
        !general(m, 0, m->width, true, true) || !general(m, 1, m->width, true, false) ||
        !immediate_fits(m, m->width))
        return false;
    set_access(m, 0, m->width, X86_READS);
    set_access(m, 1, m->width, destination);
    return true;
}

/* Immediates only: its other form has an absolute address, memory that is no operand (rule a). */
static bool form_movabs(struct match *m)
{
    if (!need_operands(m, 2, 2) || !general(m, 1, 8, false, false))
        return false;
    if (operand(m, 0)->kind != FRAGMENT_IMMEDIATE)
        return x86_refuse(m, "movabs takes an immediate");
    set_access(m, 0, 8, X86_READS);
    set_access(m, 1, 8, X86_WRITES);
    return true;
}

/* xorl %eax, %eax reads nothing that matters, and is how compilers write 0: without this the flow
 * would find an undefined register read. */
static bool form_alu(struct match *m)
{
    if (!form_two(m, X86_READS | X86_WRITES))
        return false;
    bool clears = strncmp(m->row.name, "xor", 3) == 0 || strncmp(m->row.name, "sub", 3) == 0;
    if (clears && operand(m, 0)->kind == FRAGMENT_REGISTER &&
        operand(m, 1)->kind == FRAGMENT_REGISTER && operand(m, 0)->reg == operand(m, 1)->reg)
        m->effect->special = X86_ZEROES;
    return true;
}

static bool form_unary(struct match *m)
{
    if (!need_operands(m, 1, 1) || !find_width(m) || !general(m, 0, m->width, true, false))
        return false;
    set_access(m, 0, m->width, X86_READS | X86_WRITES);
    return true;
}

/* "movzx" alone takes widths from its operands, which memory does not have: both are written. */
static bool form_extend(struct match *m)
{
    if (m->width == 0)
        return x86_refuse(m, "%s needs both widths: movzbl, movswq, ...", m->line->mnemonic);
    if (!need_operands(m, 2, 2) || !general(m, 0, m->row.a, true, false) ||
        !general(m, 1, m->width, false, false))
        return false;
    set_access(m, 0, m->row.a, X86_READS);
    set_access(m, 1, m->width, X86_WRITES);
    return true;
}

/* lea computes and touches nothing: its operand may lie outside the object, so its width is 0. */
static bool form_lea(struct match *m)
{
    if (!need_operands(m, 2, 2) || !find_width(m) || !general(m, 1, m->width, false, false))
        return false;
    if (!is_memory(m, 0))
        return x86_refuse(m, "lea takes an address");
    set_access(m, 0, 0, X86_ADDRESS);
    set_access(m, 1, m->width, X86_WRITES);
    return true;
}

/* The registers behind the one operand, rax and rdx, stand in the table's row. */
static bool form_muldiv(struct match *m)
{
    if (!need_operands(m, 1, 1) || !find_width(m) || !general(m, 0, m->width, true, false))
        return false;
    set_access(m, 0, m->width, X86_READS);
    m->effect->reads = m->row.in;
    m->effect->writes = m->row.out;
    m->effect->implied_width = (unsigned char)m->width;
    return true;
}

static bool form_imul(struct match *m)
{
    int n = m->line->n_operands;
    if (n == 1)
        return form_muldiv(m);
    if (!need_operands(m, 2, 3) || !find_width(m) || !general(m, n - 1, m->width, false, false) ||
        !general(m, 0, m->width, n == 2, true) || !immediate_fits(m, m->width))
        return false;
    set_access(m, 0, m->width, X86_READS);
    /* imul source, register */
    if (n == 2) {
        set_access(m, 1, m->width, X86_READS | X86_WRITES);
        return true;
    }
    if (operand(m, 0)->kind != FRAGMENT_IMMEDIATE || !general(m, 1, m->width, true, false))
        return x86_refuse(m, "imul with three operands is $number, source, register");
    set_access(m, 1, m->width, X86_READS);
    set_access(m, 2, m->width, X86_WRITES);
    return true;
}

/** By 1, by an immediate, by %cl. What a count of zero leaves and what others lose differ (SDM). */
static bool form_shift(struct match *m)
{
    int last = m->line->n_operands - 1;
    bool rotates = m->row.read != 0;
    if (!need_operands(m, 1, 2) || !find_width(m) || !general(m, last, m->width, true, false))
        return false;
    /* without a count operand: by 1 */
    int64_t count = 1;
    bool known = true;
    if (last == 1) {
        if (is_reg(m, 0, X86_R8) && X86_INDEX(operand(m, 0)->reg) == X86_CX)
            known = false;
        else if (operand(m, 0)->kind != FRAGMENT_IMMEDIATE)
            return x86_refuse(m, "%s counts by an immediate or %%cl", m->line->mnemonic);
        else if (operand(m, 0)->symbol[0])
            known = false;
        else if ((count = operand(m, 0)->value) < 0 || count > 63)
            return x86_refuse(m, "%s by %lld", m->line->mnemonic, (long long)count);
        set_access(m, 0, 1, X86_READS);
    }
    set_access(m, last, m->width, X86_READS | X86_WRITES);
    count &= m->width == 8 ? 63 : 31; /* as the processor does, for narrow operands too */
    /* shifts set SF, ZF and PF by their result, rotations do not */
    unsigned touched = rotates ? X86_CF | X86_OF : X86_ALL;
    unsigned lost = rotates ? 0 : X86_AF;
    /* OF is defined for a shift by 1 only, CF not once the count exceeds the width (SDM,
     * SAL/SHR) */
    if (!known || count != 1)
        lost |= X86_OF;
    if (!known || count >= m->width * 8)
        lost |= X86_CF;
    m->effect->flags_may_stay = !known; /* a count of 0 in %cl writes no flag */
    /* nothing is written at all */
    if (known && count == 0)
        touched = lost = 0;
    m->effect->flags_written = touched & ~lost;
    m->effect->flags_lost = lost;
    return true;
}

/* cltq, cltd and the like: from the narrower of two widths, as which the flow reads rax. */
static bool form_implied(struct match *m)
{
    if (!need_operands(m, 0, 0))
        return false;
    m->effect->reads = m->row.in;
    m->effect->writes = m->row.out;
    m->effect->implied_width = m->row.b > m->row.a ? m->row.a : m->row.b;
    return true;
}

static bool form_set(struct match *m)
{
    if (!need_operands(m, 1, 1) || !general(m, 0, 1, true, false))
        return false;
    set_access(m, 0, 1, X86_WRITES);
    return true;
}

/* The source is read also when the condition does not hold, and a 32-bit cmov clears the upper half
 * either way. */
static bool form_cmov(struct match *m)
{
    if (!need_operands(m, 2, 2) || !find_width(m) || !general(m, 0, m->width, true, false) ||
        !general(m, 1, m->width, false, false))
        return false;
    set_access(m, 0, m->width, X86_READS);
    set_access(m, 1, m->width, X86_READS | X86_WRITES);
    return true;
}

static bool form_jump(struct match *m, bool conditional)
{
    if (!need_operands(m, 1, 1))
        return false;
    if (operand(m, 0)->kind != FRAGMENT_TARGET || !operand(m, 0)->symbol[0] || operand(m, 0)->value)
        return x86_refuse(m, "rule e: %s goes to an exit or a local label only", m->line->mnemonic);
    m->effect->is_jump = true;
    m->effect->is_conditional = conditional;
    return true;
}

/* Registers only: with memory xchg is locked, an atomic access that no block asks for. */
static bool form_swap(struct match *m)
{
    if (!need_operands(m, 2, 2) || !find_width(m) || !general(m, 0, m->width, false, false) ||
        !general(m, 1, m->width, false, false))
        return false;
    set_access(m, 0, m->width, X86_READS | X86_WRITES);
    set_access(m, 1, m->width, X86_READS | X86_WRITES);
    return true;
}

static bool form_bswap(struct match *m)
{
    return form_unary(m) && (!is_memory(m, 0) || x86_refuse(m, "bswap takes a register"));
}

/* ---- forms: SSE ---- */

static bool xmm_or_memory(const struct match *m, int i)
{
    return is_reg(m, i, X86_XMM) || is_memory(m, i) ||
           x86_refuse(m, "operand %d of %s is an xmm register or memory", i + 1, m->line->mnemonic);
}

static bool xmm(const struct match *m, int i)
{
    return is_reg(m, i, X86_XMM) ||
           x86_refuse(m, "operand %d of %s is an xmm register", i + 1, m->line->mnemonic);
}

/** merges: the upper part of the destination stays, so it is as defined as it was before. */
static bool form_sse_two(struct match *m, int source, int destination, int access, bool merges)
{
    if (!need_operands(m, 2, 2) || !xmm_or_memory(m, 0) || !xmm(m, 1))
        return false;
    set_access(m, 0, source, X86_READS);
    set_access(m, 1, destination, access);
    m->effect->keeps_upper[1] = merges;
    return true;
}

/** Loads clear the rest of the register, register moves merge into it. */
static bool form_sse_scalar_move(struct match *m)
{
    if (!need_operands(m, 2, 2) || !xmm_or_memory(m, 0) || !xmm_or_memory(m, 1) ||
        !not_both_memory(m))
        return false;
    set_access(m, 0, m->row.a, X86_READS);
    set_access(m, 1, m->row.b, X86_WRITES);
    m->effect->keeps_upper[1] = !is_memory(m, 0);
    return true;
}

static bool form_sse_copy(struct match *m, bool memory)
{
    if (!need_operands(m, 2, 2) || !xmm_or_memory(m, 0) || !xmm_or_memory(m, 1) ||
        !not_both_memory(m))
        return false;
    if (!memory && (is_memory(m, 0) || is_memory(m, 1)))
        return x86_refuse(m, "%s needs aligned memory, which slots are not: use movups",
                      m->line->mnemonic);
    set_access(m, 0, 16, X86_READS);
    set_access(m, 1, 16, X86_WRITES);
    if (!is_memory(m, 0) && !is_memory(m, 1))
        m->effect->special = X86_LANES;
    return true;
}

/* Masks for signs and absolute values. xorps of a register with itself is 0, whatever it held; else
 * what is undefined above the scalar stays so, lane by lane. */
static bool form_sse_logic(struct match *m)
{
    if (!need_operands(m, 2, 2) || !xmm(m, 1))
        return false;
    if (!is_reg(m, 0, X86_XMM))
        return x86_refuse(m, "%s needs aligned memory: load into a register first",
                          m->line->mnemonic);
    set_access(m, 0, 16, X86_READS);
    set_access(m, 1, 16, X86_READS | X86_WRITES);
    bool clears = strstr(m->row.name, "xor") != NULL;
    m->effect->special =
        clears && operand(m, 0)->reg == operand(m, 1)->reg ? X86_ZEROES : X86_LANES;
    return true;
}

/* From memory only the suffix tells 4 bytes from 8, and assemblers take 4 without asking. */
static bool form_int_to_sse(struct match *m)
{
    if (!need_operands(m, 2, 2) || !xmm(m, 1))
        return false;
    if (m->width == 0 && operand(m, 0)->kind == FRAGMENT_REGISTER)
        m->width = gpr_width(operand(m, 0)->reg);
    if (m->width == 0)
        return x86_refuse(m, "%s needs the suffix l or q", m->line->mnemonic);
    if (!allows_width(&m->row, m->width) || !general(m, 0, m->width, true, false))
        return x86_refuse(m, "%s takes 4 or 8 bytes by its suffix", m->line->mnemonic);
    set_access(m, 0, m->width, X86_READS);
    set_access(m, 1, m->row.b, X86_WRITES);
    m->effect->keeps_upper[1] = true;
    return true;
}

/** find_width() passes over the xmm register: only general ones have a width of their own. */
static bool form_sse_to_int(struct match *m)
{
    if (!need_operands(m, 2, 2) || !xmm_or_memory(m, 0) || !find_width(m) ||
        !general(m, 1, m->width, false, false))
        return false;
    set_access(m, 0, m->row.a, X86_READS);
    set_access(m, 1, m->width, X86_WRITES);
    return true;
}

/** movd and movq between xmm, general registers and memory: into xmm they clear the rest. */
static bool form_movd(struct match *m)
{
    int width = m->row.a;
    if (!need_operands(m, 2, 2))
        return false;
    /* of two xmm registers the destination; the source is then `other` */
    int vector = is_reg(m, 1, X86_XMM) ? 1 : 0;
    int other = 1 - vector;
    if (!xmm(m, vector))
        return false;
    bool both = is_reg(m, other, X86_XMM);
    if (both && width == 4)
        return x86_refuse(m, "movd moves to or from a general register or memory");
    if (!both && !general(m, other, width, true, false))
        return false;
    set_access(m, 0, width, X86_READS);
    set_access(m, 1, width, X86_WRITES);
    return true;
}

/* ---- forms: x87 ---- */

static bool x87_memory(struct match *m, int access)
{
    if (!need_operands(m, 1, 1))
        return false;
    if (!is_memory(m, 0))
        return x86_refuse(m, "%s takes memory", m->line->mnemonic);
    set_access(m, 0, m->row.a, access);
    return true;
}

/* Depths of the x87 stack are exact on each path: delta is what an instruction adds, needs what
 * must be there. */
static bool form_x87_load(struct match *m)
{
    m->effect->x87_delta = 1;
    return x87_memory(m, X86_READS);
}

static bool form_x87_store(struct match *m)
{
    m->effect->x87_needs = 1;
    m->effect->x87_delta = m->row.b == POPS ? -1 : 0;
    return x87_memory(m, X86_WRITES);
}

static bool st(const struct match *m, int i)
{
    return is_reg(m, i, X86_ST) || x86_refuse(m, "%s takes %%st registers", m->line->mnemonic);
}

/** fxch alone means st(0) and st(1); fld copies a register to the top, fstp moves the top
 * into one. */
static bool form_x87_reg(struct match *m)
{
    int n = m->line->n_operands;
    if (!need_operands(m, m->row.a == 2 ? 0 : 1, 1) || (n == 1 && !st(m, 0)))
        return false;
    m->effect->x87_needs = n == 1 ? X86_INDEX(operand(m, 0)->reg) + 1 : 2;
    m->effect->x87_delta = m->row.b == POPS ? -1 : m->row.b;
    return true;
}

/** faddp; faddp %st, %st(i): the result replaces st(i), then st is popped. */
static bool form_x87_pop(struct match *m)
{
    int n = m->line->n_operands, into = 1;
    if (n == 1)
        return x86_refuse(m, "%s takes no operands or %%st, %%st(i)", m->line->mnemonic);
    if (!need_operands(m, 0, 2) || (n == 2 && (!st(m, 0) || !st(m, 1))))
        return false;
    if (n == 2) {
        into = X86_INDEX(operand(m, 1)->reg);
        if (X86_INDEX(operand(m, 0)->reg) != 0 || into == 0)
            return x86_refuse(m, "%s is %%st, %%st(i) with i above 0", m->line->mnemonic);
    }
    m->effect->x87_needs = into + 1;
    m->effect->x87_delta = -1;
    return true;
}

/** In AT&T order the top is the second operand, and must be: the instruction has no other form. */
static bool form_x87_compare(struct match *m)
{
    if (!need_operands(m, 2, 2) || !st(m, 0) || !st(m, 1))
        return false;
    if (X86_INDEX(operand(m, 1)->reg) != 0)
        return x86_refuse(m, "%s is %%st(i), %%st", m->line->mnemonic);
    m->effect->x87_needs = X86_INDEX(operand(m, 0)->reg) + 1;
    m->effect->x87_delta = m->row.b == POPS ? -1 : 0;
    return true;
}

/* Conversions to integers truncate by changing the rounding mode: the flow holds each fldcw of
 * another mode against the word that fnstcw saved (rule d). */
static bool form_x87_control(struct match *m)
{
    bool loads = m->row.b == 1;
    m->effect->special = loads ? X86_LOADS_CW : X86_SAVES_CW;
    return x87_memory(m, loads ? X86_READS : X86_WRITES);
}

bool x86_fill(struct match *m)
{
    switch (m->row.form) {
    case MOV: return form_two(m, X86_WRITES);
    case MOVABS: return form_movabs(m);
    case ALU: return form_alu(m);
    case COMPARE: return form_two(m, X86_READS);
    case UNARY: return form_unary(m);
    case EXTEND: return form_extend(m);
    case LEA: return form_lea(m);
    case IMUL: return form_imul(m);
    case MULDIV: return form_muldiv(m);
    case SHIFT: return form_shift(m);
    case IMPLIED: return form_implied(m);
    case SETCC: return form_set(m);
    case CMOV: return form_cmov(m);
    case JMP: return form_jump(m, false);
    case JCC: return form_jump(m, true);
    case SWAP: return form_swap(m);
    case BSWAP: return form_bswap(m);
    case NOTHING: return need_operands(m, 0, 0);
    case SSE_SCALAR_MOVE: return form_sse_scalar_move(m);
    case SSE_COPY: return form_sse_copy(m, false);
    case SSE_UNALIGNED: return form_sse_copy(m, true);
    case SSE_ARITH: return form_sse_two(m, m->row.a, m->row.b, X86_READS | X86_WRITES, true);
    case SSE_FROM: return form_sse_two(m, m->row.a, m->row.b, X86_WRITES, true);
    case SSE_COMPARE: return form_sse_two(m, m->row.a, m->row.b, X86_READS, true);
    case SSE_LOGIC: return form_sse_logic(m);
    case INT_TO_SSE: return form_int_to_sse(m);
    case SSE_TO_INT: return form_sse_to_int(m);
    case MOVD:
    case MOVQ: return form_movd(m);
    case X87_LOAD: return form_x87_load(m);
    case X87_STORE: return form_x87_store(m);
    case X87_MEMORY: m->effect->x87_needs = 1; return x87_memory(m, X86_READS);
    case X87_STACK:
        m->effect->x87_needs = m->row.a;
        m->effect->x87_delta = m->row.b;
        return need_operands(m, 0, 0);
    case X87_REG: return form_x87_reg(m);
    case X87_POP: return form_x87_pop(m);
    case X87_COMPARE: return form_x87_compare(m);
    case X87_CONTROL: return form_x87_control(m);
    }
    return false;
}
