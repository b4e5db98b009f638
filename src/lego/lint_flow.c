/*
 * lint_flow.c: what of the composability conditions depends on paths, as a forward dataflow over
 * the lines: no register, flag or scratch byte is read that the fragment has not written on every
 * path (b); the x87 stack and control word are at each exit as they were at entry (d); the end is
 * reached only where the block's is (e).
 *
 * A state is what is certainly defined; states meet by intersection, so they only shrink and the
 * iteration ends. Depth and control word must agree where paths meet, which holds for every
 * translation of C.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lego/lint_x86_64.h"

/** Parts of a general register: bits 0-7, 8-15, 16-31, 32-63. Of an xmm: bits 0-31, 32-63, 64-127.
 */
enum { GPR_ALL = 15, XMM_ALL = 7 };

enum { NO_SAVED_CW = -1000 };

/** Without padding: states are compared as bytes. */
struct flow_state {
    int reached, dirty; /* dirty: shrunk since its line was done */
    int depth;
    int cw_changed;
    int cw_saved; /* offset from rsp of a copy of entry's control word */
    unsigned flags;
    unsigned char gpr[16], xmm[16];
    unsigned char scratch[X86_SCRATCH_BYTES]; /* 1: written; [i] is -128+i(%rsp) */
};

struct flow {
    const struct fragment *fragment;
    const struct block *block;
    const struct x86_effect *effects;
    struct flow_state *states; /* (n + 1): before each line, and at the end */
    int *targets;              /* (n) line of a jump's label; -1: an exit, or no jump */
    ashlar_error *err;
};

#define REFUSE(f, ...) (error_set((f)->err, ASHLAR_BAD_INPUT, __VA_ARGS__), false)

static unsigned gpr_mask(enum x86_kind kind, int width)
{
    if (kind == X86_R8H)
        return 2;
    return width == 1 ? 1 : width == 2 ? 3 : width == 4 ? 7 : 15;
}

static unsigned xmm_mask(int width)
{
    return width <= 4 ? 1 : width <= 8 ? 3 : 7;
}

/* ---- reads ---- */

/** rsp, rbp and rip are defined throughout. */
static bool need_gpr(const struct flow *f, const struct fragment_line *line,
                     const struct flow_state *s, int reg, int width)
{
    char name[8];
    if (X86_KIND(reg) == X86_RIP || X86_INDEX(reg) == X86_SP || X86_INDEX(reg) == X86_BP)
        if (X86_KIND(reg) != X86_R8H)
            return true;
    unsigned mask = gpr_mask(X86_KIND(reg), width);
    if ((s->gpr[X86_INDEX(reg)] & mask) == mask)
        return true;
    return REFUSE(f, "line %d: rule b: %%%s is read before the fragment has written it%s",
                  line->number, x86_register_name(reg, name),
                  s->gpr[X86_INDEX(reg)] & mask ? " whole" : "");
}

static bool need_operand_registers(const struct flow *f, const struct fragment_line *line,
                                   const struct x86_effect *e, const struct flow_state *s, int i)
{
    const struct fragment_operand *o = &line->operands[i];
    char name[8];
    if (o->kind == FRAGMENT_MEMORY)
        return (o->base < 0 || need_gpr(f, line, s, o->base, 8)) &&
               (o->index < 0 || need_gpr(f, line, s, o->index, 8));
    /* xor of a register with itself (ZEROES) does not depend on what was in it */
    if (o->kind != FRAGMENT_REGISTER || !(e->access[i] & X86_READS) || e->special == X86_ZEROES ||
        X86_KIND(o->reg) == X86_ST)
        return true;
    if (X86_KIND(o->reg) != X86_XMM)
        return need_gpr(f, line, s, o->reg, e->width[i]);
    unsigned mask = xmm_mask(e->width[i]);
    if (e->special == X86_LANES || (s->xmm[X86_INDEX(o->reg)] & mask) == mask)
        return true;
    return REFUSE(f, "line %d: rule b: %%%s is read before the fragment has written it",
                  line->number, x86_register_name(o->reg, name));
}

static bool is_scratch(const struct fragment_operand *o)
{
    return o->kind == FRAGMENT_MEMORY && o->base == X86_REG(X86_R64, X86_SP);
}

/** Byte by byte, as what is written narrow may be read wide. That it lies inside the 128 bytes,
 * lint.c has checked. */
static bool need_scratch(const struct flow *f, const struct fragment_line *line,
                         const struct x86_effect *e, const struct flow_state *s, int i)
{
    const struct fragment_operand *o = &line->operands[i];
    if (!is_scratch(o) || !(e->access[i] & X86_READS))
        return true;
    for (int k = 0; k < e->width[i]; k++)
        if (!s->scratch[X86_SCRATCH_BYTES + o->value + k])
            return REFUSE(f, "line %d: rule b: scratch %d(%%rsp) is read before it is written",
                          line->number, (int)o->value + k);
    return true;
}

static bool check_reads(const struct flow *f, int at, const struct flow_state *s)
{
    const struct fragment_line *line = &f->fragment->lines[at];
    const struct x86_effect *e = &f->effects[at];
    for (int i = 0; i < line->n_operands; i++)
        if (!need_operand_registers(f, line, e, s, i) || !need_scratch(f, line, e, s, i))
            return false;
    for (int r = 0; r < 16; r++)
        if ((e->reads >> r & 1) && !need_gpr(f, line, s, X86_REG(X86_R64, r), e->implied_width))
            return false;
    if (e->flags_read & ~s->flags)
        return REFUSE(f, "line %d: rule b: %s reads flags that the fragment has not set",
                      line->number, line->mnemonic);
    if (s->depth < e->x87_needs || s->depth + e->x87_delta > 8)
        return REFUSE(f, "line %d: rule d: %s with %d value%s on the x87 stack", line->number,
                      line->mnemonic, s->depth, s->depth == 1 ? "" : "s");
    if (e->special == X86_SAVES_CW || e->special == X86_LOADS_CW) {
        if (!is_scratch(&line->operands[0]))
            return REFUSE(f, "line %d: rule d: %s works on scratch: -2(%%rsp)", line->number,
                          line->mnemonic);
    }
    return true;
}

/* ---- writes ---- */

/** A 32-bit result clears the upper half, narrower ones keep what is above them (SDM 3.4.1.1). */
static void write_gpr(struct flow_state *s, int reg, int width)
{
    unsigned char *parts = &s->gpr[X86_INDEX(reg)];
    *parts = width >= 4 ? GPR_ALL : (unsigned char)(*parts | gpr_mask(X86_KIND(reg), width));
}

static void write_xmm(const struct fragment_line *line, const struct x86_effect *e,
                      struct flow_state *s, int i)
{
    unsigned char *parts = &s->xmm[X86_INDEX(line->operands[i].reg)];
    unsigned char source = XMM_ALL;
    if (e->special == X86_LANES && line->operands[0].kind == FRAGMENT_REGISTER)
        source = s->xmm[X86_INDEX(line->operands[0].reg)];
    if (e->special == X86_LANES)
        *parts = (e->access[i] & X86_READS) ? *parts & source : source;
    else if (e->special == X86_ZEROES || !e->keeps_upper[i])
        *parts = XMM_ALL;
    else
        *parts |= (unsigned char)xmm_mask(e->width[i]);
}

static void write_scratch(struct flow_state *s, const struct x86_effect *e,
                          const struct fragment_operand *o, int i)
{
    int at = (int)o->value;
    for (int k = 0; k < e->width[i]; k++)
        s->scratch[X86_SCRATCH_BYTES + at + k] = 1;
    if (s->cw_saved < at + e->width[i] && at < s->cw_saved + 2)
        s->cw_saved = NO_SAVED_CW;
}

/** What is lost stays lost until written again. A shift by %cl may write nothing (a count of 0):
 * then a flag is defined only if it was before, too. */
static void apply_flags(const struct x86_effect *e, struct flow_state *s)
{
    unsigned touched = e->flags_written | e->flags_lost;
    unsigned after = (s->flags & ~touched) | e->flags_written;
    s->flags = e->flags_may_stay ? after & (s->flags | ~touched) : after;
}

static void apply(const struct fragment_line *line, const struct x86_effect *e,
                  struct flow_state *s)
{
    for (int i = 0; i < line->n_operands; i++) {
        const struct fragment_operand *o = &line->operands[i];
        if (!(e->access[i] & X86_WRITES))
            continue;
        if (o->kind == FRAGMENT_REGISTER && X86_KIND(o->reg) == X86_XMM)
            write_xmm(line, e, s, i);
        else if (o->kind == FRAGMENT_REGISTER && X86_KIND(o->reg) != X86_ST)
            write_gpr(s, o->reg, e->width[i]);
        else if (is_scratch(o))
            write_scratch(s, e, o, i);
    }
    for (int r = 0; r < 16; r++)
        if (e->writes >> r & 1)
            write_gpr(s, X86_REG(X86_R64, r), e->implied_width == 1 ? 2 : e->implied_width);
    apply_flags(e, s);
    s->depth += e->x87_delta;
    /* a copy of the changed word restores nothing */
    if (e->special == X86_SAVES_CW && !s->cw_changed)
        s->cw_saved = (int)line->operands[0].value;
    if (e->special == X86_LOADS_CW)
        s->cw_changed = line->operands[0].value != s->cw_saved;
}

/* ---- paths ---- */

static int find_label(const struct fragment *f, const char *name)
{
    for (int i = 0; i < f->n; i++)
        if (strcmp(f->lines[i].label, name) == 0)
            return i;
    return -1;
}

/** Meets `from` into the state before line `to`, which is to be done again when that shrank it. */
static bool meet(const struct flow *f, const struct flow_state *from, int to, int line)
{
    struct flow_state *s = &f->states[to];
    if (!s->reached) {
        *s = *from;
        s->dirty = 1;
        return true;
    }
    if (s->depth != from->depth)
        return REFUSE(f, "line %d: rule d: paths meet with %d and %d values on the x87 stack", line,
                      s->depth, from->depth);
    struct flow_state old = *s;
    for (int i = 0; i < 16; i++) {
        s->gpr[i] &= from->gpr[i];
        s->xmm[i] &= from->xmm[i];
    }
    s->flags &= from->flags;
    for (int i = 0; i < X86_SCRATCH_BYTES; i++)
        s->scratch[i] &= from->scratch[i];
    if (s->cw_saved != from->cw_saved)
        s->cw_saved = NO_SAVED_CW;
    s->cw_changed |= from->cw_changed;
    if (memcmp(&old, s, sizeof old) != 0)
        s->dirty = 1;
    return true;
}

/** What must hold where the fragment is left. */
static bool check_exit(const struct flow *f, const struct flow_state *s, int line)
{
    if (s->depth != 0)
        return REFUSE(f, "line %d: rule d: the fragment is left with %d value%s on the x87 stack",
                      line, s->depth, s->depth == 1 ? "" : "s");
    if (s->cw_changed)
        return REFUSE(f, "line %d: rule d: the x87 control word is not restored", line);
    return true;
}

/** One line on one state: its reads, its effect, its successors. */
static bool step(const struct flow *f, int at)
{
    const struct fragment_line *line = &f->fragment->lines[at];
    const struct x86_effect *e = &f->effects[at];
    struct flow_state s = f->states[at];
    if (line->mnemonic[0]) {
        if (!check_reads(f, at, &s))
            return false;
        apply(line, e, &s);
    }
    if (e->is_jump) {
        int target = f->targets[at];
        if (target < 0 && !check_exit(f, &s, line->number))
            return false;
        if (target >= 0 && !meet(f, &s, target, line->number))
            return false;
        if (!e->is_conditional)
            return true;
    }
    return meet(f, &s, at + 1, line->number);
}

/** To the fixed point: a state only shrinks, so each line is done a bounded number of times. */
static bool iterate(const struct flow *f)
{
    int n = f->fragment->n;
    f->states[0].reached = f->states[0].dirty = 1;
    f->states[0].cw_saved = NO_SAVED_CW;
    for (bool changed = true; changed;) {
        changed = false;
        for (int i = 0; i < n; i++) {
            if (!f->states[i].dirty)
                continue;
            f->states[i].dirty = 0;
            changed = true;
            if (!step(f, i))
                return false;
        }
    }
    return true;
}

static bool check_end(const struct flow *f)
{
    const struct flow_state *end = &f->states[f->fragment->n];
    int last = f->fragment->n ? f->fragment->lines[f->fragment->n - 1].number : 1;
    if (!end->reached)
        return true;
    if (!f->block->falls_through)
        return REFUSE(f, "line %d: rule e: the end is reached, but the block is left by %s only",
                      last, f->block->n_exits ? "its exits" : "an endless loop");
    return check_exit(f, end, last);
}

static void find_targets(const struct flow *f)
{
    for (int i = 0; i < f->fragment->n; i++)
        f->targets[i] = f->effects[i].is_jump
                            ? find_label(f->fragment, f->fragment->lines[i].operands[0].symbol)
                            : -1;
}

ashlar_status x86_lint_flow(const struct fragment *fragment, const struct block *block,
                            const struct x86_effect *effects, ashlar_error *err)
{
    struct flow f = {.fragment = fragment, .block = block, .effects = effects, .err = err};
    size_t n = (size_t)fragment->n + 1;
    f.states = calloc(n, sizeof *f.states);
    f.targets = calloc(n, sizeof *f.targets);
    bool ok = f.states && f.targets;
    ashlar_status status =
        ok ? ASHLAR_BAD_INPUT : error_memory(err, n * sizeof *f.states, "the lint");
    if (ok) {
        find_targets(&f);
        if (iterate(&f) && check_end(&f))
            status = ASHLAR_OK;
    }
    free(f.states);
    free(f.targets);
    return status;
}
