/*
 * lint_table.c: the instructions a fragment may use, and what each does to registers, flags and the
 * x87 stack. A row is a name, a form (the operand shapes and which of them are read and written),
 * widths and flags; a form is one function that fills x86_effect. Sources: Intel SDM volume 2, and
 * AMD APM volume 3 where "undefined" differs: what either calls undefined counts as lost here.
 *
 * Left out on purpose: everything that touches rsp or rbp (push, pop, call, leave), string
 * instructions (DF), system and lock-prefixed instructions, results that depend on the processor
 * (bsf, rcp, fsin), anything beyond SSE2.
 */
#include "lego/lint_form.h"

#include <string.h>

enum {
    ARITH = X86_ALL,
    LOGIC = X86_ALL & ~X86_AF, /* and, or, xor, test: AF is undefined */
    COUNT = X86_ALL & ~X86_CF, /* inc and dec */
    RA = 1 << X86_AX, RD = 1 << X86_DX
};

/**
 * Columns: name, form, suffixes, a, b, flags written, lost (undefined from then on), read,
 * registers implied as read and as written. Names that are complete have no suffixes. mul, imul and
 * div of bytes are left out: they compute in ax alone, not in a pair.
 */
static const struct row rows[] = {
    {"mov", MOV, "bwlq", 0, 0, 0, 0, 0, 0, 0},
    {"movabs", MOVABS, "q", 8, 8, 0, 0, 0, 0, 0},
    {"add", ALU, "bwlq", 0, 0, ARITH, 0, 0, 0, 0},
    {"sub", ALU, "bwlq", 0, 0, ARITH, 0, 0, 0, 0},
    {"adc", ALU, "bwlq", 0, 0, ARITH, 0, X86_CF, 0, 0},
    {"sbb", ALU, "bwlq", 0, 0, ARITH, 0, X86_CF, 0, 0},
    {"and", ALU, "bwlq", 0, 0, LOGIC, X86_AF, 0, 0, 0},
    {"or", ALU, "bwlq", 0, 0, LOGIC, X86_AF, 0, 0, 0},
    {"xor", ALU, "bwlq", 0, 0, LOGIC, X86_AF, 0, 0, 0},
    {"cmp", COMPARE, "bwlq", 0, 0, ARITH, 0, 0, 0, 0},
    {"test", COMPARE, "bwlq", 0, 0, LOGIC, X86_AF, 0, 0, 0},
    {"inc", UNARY, "bwlq", 0, 0, COUNT, 0, 0, 0, 0},
    {"dec", UNARY, "bwlq", 0, 0, COUNT, 0, 0, 0, 0},
    {"neg", UNARY, "bwlq", 0, 0, ARITH, 0, 0, 0, 0},
    {"not", UNARY, "bwlq", 0, 0, 0, 0, 0, 0, 0},
    {"movzb", EXTEND, "wlq", 1, 0, 0, 0, 0, 0, 0},
    {"movzw", EXTEND, "lq", 2, 0, 0, 0, 0, 0, 0},
    {"movsb", EXTEND, "wlq", 1, 0, 0, 0, 0, 0, 0},
    {"movsw", EXTEND, "lq", 2, 0, 0, 0, 0, 0, 0},
    {"movsl", EXTEND, "q", 4, 0, 0, 0, 0, 0, 0},
    {"lea", LEA, "lq", 0, 0, 0, 0, 0, 0, 0},
    {"imul", IMUL, "wlq", 0, 0, X86_CF | X86_OF, X86_ALL & ~(X86_CF | X86_OF), 0, RA, RA | RD},
    {"mul", MULDIV, "wlq", 0, 0, X86_CF | X86_OF, X86_ALL & ~(X86_CF | X86_OF), 0, RA, RA | RD},
    {"div", MULDIV, "wlq", 0, 0, 0, X86_ALL, 0, RA | RD, RA | RD},
    {"idiv", MULDIV, "wlq", 0, 0, 0, X86_ALL, 0, RA | RD, RA | RD},
    {"shl", SHIFT, "bwlq", 0, 0, 0, 0, 0, 0, 0},
    {"sal", SHIFT, "bwlq", 0, 0, 0, 0, 0, 0, 0},
    {"shr", SHIFT, "bwlq", 0, 0, 0, 0, 0, 0, 0},
    {"sar", SHIFT, "bwlq", 0, 0, 0, 0, 0, 0, 0},
    /* read marks a rotation, which leaves all flags but CF and OF alone (form_shift) */
    {"rol", SHIFT, "bwlq", 0, 0, 0, 0, X86_CF, 0, 0},
    {"ror", SHIFT, "bwlq", 0, 0, 0, 0, X86_CF, 0, 0},
    /* sign extensions: of the accumulator into itself, or into dx (cwtd, cltd, cqto) */
    {"cbtw", IMPLIED, "", 1, 2, 0, 0, 0, RA, RA},
    {"cwtl", IMPLIED, "", 2, 4, 0, 0, 0, RA, RA},
    {"cltq", IMPLIED, "", 4, 8, 0, 0, 0, RA, RA},
    {"cwtd", IMPLIED, "", 2, 2, 0, 0, 0, RA, RD},
    {"cltd", IMPLIED, "", 4, 4, 0, 0, 0, RA, RD},
    {"cqto", IMPLIED, "", 8, 8, 0, 0, 0, RA, RD},
    {"jmp", JMP, "", 0, 0, 0, 0, 0, 0, 0},
    {"xchg", SWAP, "bwlq", 0, 0, 0, 0, 0, 0, 0},
    {"bswap", BSWAP, "lq", 0, 0, 0, 0, 0, 0, 0},
    {"nop", NOTHING, "", 0, 0, 0, 0, 0, 0, 0},

    /* between registers these keep the upper half of the destination, from memory they clear it */
    {"movss", SSE_SCALAR_MOVE, "", 4, 4, 0, 0, 0, 0, 0},
    {"movsd", SSE_SCALAR_MOVE, "", 8, 8, 0, 0, 0, 0, 0},
    /* these want memory at multiples of 16, which slots need not be: registers only
     * (form_sse_copy) */
    {"movaps", SSE_COPY, "", 16, 16, 0, 0, 0, 0, 0},
    {"movapd", SSE_COPY, "", 16, 16, 0, 0, 0, 0, 0},
    {"movdqa", SSE_COPY, "", 16, 16, 0, 0, 0, 0, 0},
    {"movups", SSE_UNALIGNED, "", 16, 16, 0, 0, 0, 0, 0},
    {"movupd", SSE_UNALIGNED, "", 16, 16, 0, 0, 0, 0, 0},
    {"movdqu", SSE_UNALIGNED, "", 16, 16, 0, 0, 0, 0, 0},
    {"addss", SSE_ARITH, "", 4, 4, 0, 0, 0, 0, 0},
    {"subss", SSE_ARITH, "", 4, 4, 0, 0, 0, 0, 0},
    {"mulss", SSE_ARITH, "", 4, 4, 0, 0, 0, 0, 0},
    {"divss", SSE_ARITH, "", 4, 4, 0, 0, 0, 0, 0},
    {"minss", SSE_ARITH, "", 4, 4, 0, 0, 0, 0, 0},
    {"maxss", SSE_ARITH, "", 4, 4, 0, 0, 0, 0, 0},
    {"addsd", SSE_ARITH, "", 8, 8, 0, 0, 0, 0, 0},
    {"subsd", SSE_ARITH, "", 8, 8, 0, 0, 0, 0, 0},
    {"mulsd", SSE_ARITH, "", 8, 8, 0, 0, 0, 0, 0},
    {"divsd", SSE_ARITH, "", 8, 8, 0, 0, 0, 0, 0},
    {"minsd", SSE_ARITH, "", 8, 8, 0, 0, 0, 0, 0},
    {"maxsd", SSE_ARITH, "", 8, 8, 0, 0, 0, 0, 0},
    {"sqrtss", SSE_FROM, "", 4, 4, 0, 0, 0, 0, 0},
    {"sqrtsd", SSE_FROM, "", 8, 8, 0, 0, 0, 0, 0},
    {"cvtss2sd", SSE_FROM, "", 4, 8, 0, 0, 0, 0, 0},
    {"cvtsd2ss", SSE_FROM, "", 8, 4, 0, 0, 0, 0, 0},
    /* ZF, PF and CF tell the result, OF, SF and AF are cleared: all are written */
    {"ucomiss", SSE_COMPARE, "", 4, 4, ARITH, 0, 0, 0, 0},
    {"ucomisd", SSE_COMPARE, "", 8, 8, ARITH, 0, 0, 0, 0},
    {"comiss", SSE_COMPARE, "", 4, 4, ARITH, 0, 0, 0, 0},
    {"comisd", SSE_COMPARE, "", 8, 8, ARITH, 0, 0, 0, 0},
    {"xorps", SSE_LOGIC, "", 16, 16, 0, 0, 0, 0, 0},
    {"xorpd", SSE_LOGIC, "", 16, 16, 0, 0, 0, 0, 0},
    {"pxor", SSE_LOGIC, "", 16, 16, 0, 0, 0, 0, 0},
    {"andps", SSE_LOGIC, "", 16, 16, 0, 0, 0, 0, 0},
    {"andpd", SSE_LOGIC, "", 16, 16, 0, 0, 0, 0, 0},
    {"pand", SSE_LOGIC, "", 16, 16, 0, 0, 0, 0, 0},
    {"andnps", SSE_LOGIC, "", 16, 16, 0, 0, 0, 0, 0},
    {"andnpd", SSE_LOGIC, "", 16, 16, 0, 0, 0, 0, 0},
    {"pandn", SSE_LOGIC, "", 16, 16, 0, 0, 0, 0, 0},
    {"orps", SSE_LOGIC, "", 16, 16, 0, 0, 0, 0, 0},
    {"orpd", SSE_LOGIC, "", 16, 16, 0, 0, 0, 0, 0},
    {"por", SSE_LOGIC, "", 16, 16, 0, 0, 0, 0, 0},
    {"cvtsi2ss", INT_TO_SSE, "lq", 0, 4, 0, 0, 0, 0, 0},
    {"cvtsi2sd", INT_TO_SSE, "lq", 0, 8, 0, 0, 0, 0, 0},
    /* truncation, as C converts; cvtss2si would follow the rounding mode */
    {"cvttss2si", SSE_TO_INT, "lq", 4, 0, 0, 0, 0, 0, 0},
    {"cvttsd2si", SSE_TO_INT, "lq", 8, 0, 0, 0, 0, 0, 0},
    {"movd", MOVD, "", 4, 4, 0, 0, 0, 0, 0},

    /* x87: a is the operand's bytes, b the change of the stack or POPS (lint_form.h) */
    {"flds", X87_LOAD, "", 4, 1, 0, 0, 0, 0, 0},
    {"fldl", X87_LOAD, "", 8, 1, 0, 0, 0, 0, 0},
    {"fldt", X87_LOAD, "", 10, 1, 0, 0, 0, 0, 0},
    {"filds", X87_LOAD, "", 2, 1, 0, 0, 0, 0, 0},
    {"fildl", X87_LOAD, "", 4, 1, 0, 0, 0, 0, 0},
    {"fildll", X87_LOAD, "", 8, 1, 0, 0, 0, 0, 0},
    {"fildq", X87_LOAD, "", 8, 1, 0, 0, 0, 0, 0},
    {"fsts", X87_STORE, "", 4, 0, 0, 0, 0, 0, 0},
    {"fstl", X87_STORE, "", 8, 0, 0, 0, 0, 0, 0},
    {"fstps", X87_STORE, "", 4, POPS, 0, 0, 0, 0, 0},
    {"fstpl", X87_STORE, "", 8, POPS, 0, 0, 0, 0, 0},
    /* ten bytes can only be stored by popping: there is no fstt */
    {"fstpt", X87_STORE, "", 10, POPS, 0, 0, 0, 0, 0},
    {"fists", X87_STORE, "", 2, 0, 0, 0, 0, 0, 0},
    {"fistl", X87_STORE, "", 4, 0, 0, 0, 0, 0, 0},
    {"fistps", X87_STORE, "", 2, POPS, 0, 0, 0, 0, 0},
    {"fistpl", X87_STORE, "", 4, POPS, 0, 0, 0, 0, 0},
    {"fistpll", X87_STORE, "", 8, POPS, 0, 0, 0, 0, 0},
    {"fistpq", X87_STORE, "", 8, POPS, 0, 0, 0, 0, 0},
    {"fadds", X87_MEMORY, "", 4, 0, 0, 0, 0, 0, 0},
    {"faddl", X87_MEMORY, "", 8, 0, 0, 0, 0, 0, 0},
    {"fsubs", X87_MEMORY, "", 4, 0, 0, 0, 0, 0, 0},
    {"fsubl", X87_MEMORY, "", 8, 0, 0, 0, 0, 0, 0},
    {"fsubrs", X87_MEMORY, "", 4, 0, 0, 0, 0, 0, 0},
    {"fsubrl", X87_MEMORY, "", 8, 0, 0, 0, 0, 0, 0},
    {"fmuls", X87_MEMORY, "", 4, 0, 0, 0, 0, 0, 0},
    {"fmull", X87_MEMORY, "", 8, 0, 0, 0, 0, 0, 0},
    {"fdivs", X87_MEMORY, "", 4, 0, 0, 0, 0, 0, 0},
    {"fdivl", X87_MEMORY, "", 8, 0, 0, 0, 0, 0, 0},
    {"fdivrs", X87_MEMORY, "", 4, 0, 0, 0, 0, 0, 0},
    {"fdivrl", X87_MEMORY, "", 8, 0, 0, 0, 0, 0, 0},
    {"fld1", X87_STACK, "", 0, 1, 0, 0, 0, 0, 0},
    {"fldz", X87_STACK, "", 0, 1, 0, 0, 0, 0, 0},
    {"fchs", X87_STACK, "", 1, 0, 0, 0, 0, 0, 0},
    {"fabs", X87_STACK, "", 1, 0, 0, 0, 0, 0, 0},
    {"fsqrt", X87_STACK, "", 1, 0, 0, 0, 0, 0, 0},
    {"fld", X87_REG, "", 0, 1, 0, 0, 0, 0, 0},
    {"fstp", X87_REG, "", 1, POPS, 0, 0, 0, 0, 0},
    {"fxch", X87_REG, "", 2, 0, 0, 0, 0, 0, 0},
    {"faddp", X87_POP, "", 0, 0, 0, 0, 0, 0, 0},
    {"fsubp", X87_POP, "", 0, 0, 0, 0, 0, 0, 0},
    {"fsubrp", X87_POP, "", 0, 0, 0, 0, 0, 0, 0},
    {"fmulp", X87_POP, "", 0, 0, 0, 0, 0, 0, 0},
    {"fdivp", X87_POP, "", 0, 0, 0, 0, 0, 0, 0},
    {"fdivrp", X87_POP, "", 0, 0, 0, 0, 0, 0, 0},
    {"fucomi", X87_COMPARE, "", 0, 0, X86_ZF | X86_PF | X86_CF, X86_OF | X86_SF | X86_AF, 0, 0, 0},
    {"fucomip", X87_COMPARE, "", 0, POPS, X86_ZF | X86_PF | X86_CF, X86_OF | X86_SF | X86_AF, 0, 0,
     0},
    {"fcomi", X87_COMPARE, "", 0, 0, X86_ZF | X86_PF | X86_CF, X86_OF | X86_SF | X86_AF, 0, 0, 0},
    {"fcomip", X87_COMPARE, "", 0, POPS, X86_ZF | X86_PF | X86_CF, X86_OF | X86_SF | X86_AF, 0, 0,
     0},
    /* rounding for conversions to integers; the flow sees to it that the word is restored
     * (rule d) */
    {"fnstcw", X87_CONTROL, "", 2, 0, 0, 0, 0, 0, 0},
    {"fldcw", X87_CONTROL, "", 2, 1, 0, 0, 0, 0, 0},
};

enum { N_ROWS = sizeof rows / sizeof rows[0] };

/** Flags that a condition reads, all its spellings: what an instruction has left undefined must not
 * decide a branch (rule b). */
static const struct {
    const char *name;
    unsigned reads;
} conditions[] = {
    {"o", X86_OF},
    {"no", X86_OF},
    {"b", X86_CF},
    {"c", X86_CF},
    {"nae", X86_CF},
    {"ae", X86_CF},
    {"nb", X86_CF},
    {"nc", X86_CF},
    {"e", X86_ZF},
    {"z", X86_ZF},
    {"ne", X86_ZF},
    {"nz", X86_ZF},
    {"be", X86_CF | X86_ZF},
    {"na", X86_CF | X86_ZF},
    {"a", X86_CF | X86_ZF},
    {"nbe", X86_CF | X86_ZF},
    {"s", X86_SF},
    {"ns", X86_SF},
    {"p", X86_PF},
    {"pe", X86_PF},
    {"np", X86_PF},
    {"po", X86_PF},
    {"l", X86_SF | X86_OF},
    {"nge", X86_SF | X86_OF},
    {"ge", X86_SF | X86_OF},
    {"nl", X86_SF | X86_OF},
    {"le", X86_ZF | X86_SF | X86_OF},
    {"ng", X86_ZF | X86_SF | X86_OF},
    {"g", X86_ZF | X86_SF | X86_OF},
    {"nle", X86_ZF | X86_SF | X86_OF},
};

const char *x86_instruction_name(int i)
{
    return i < N_ROWS ? rows[i].name : NULL;
}

static bool match_condition(const char *rest, int n, unsigned *reads)
{
    for (size_t i = 0; i < sizeof conditions / sizeof conditions[0]; i++)
        if ((int)strlen(conditions[i].name) == n &&
            strncmp(conditions[i].name, rest, (size_t)n) == 0) {
            *reads = conditions[i].reads;
            return true;
        }
    return false;
}

/** j, set, cmov and a condition. A cmov is tried as a whole first: the l of cmovl is "less", only
 * that of cmovll is the width. */
static bool find_conditional(struct match *m, const char *name)
{
    m->row = (struct row){.suffixes = ""};
    if (name[0] == 'j') {
        m->row.form = JCC;
        return match_condition(name + 1, (int)strlen(name + 1), &m->row.read);
    }
    if (strncmp(name, "set", 3) == 0) {
        m->row.form = SETCC;
        return match_condition(name + 3, (int)strlen(name + 3), &m->row.read);
    }
    if (strncmp(name, "cmov", 4) != 0)
        return false;
    int n = (int)strlen(name + 4);
    m->row.form = CMOV;
    m->row.suffixes = "wlq";
    if (match_condition(name + 4, n, &m->row.read))
        return true;
    char last = name[4 + (n ? n - 1 : 0)];
    if (n < 2 || !strchr("wlq", last))
        return false;
    m->width = x86_suffix_width(last);
    return match_condition(name + 4, n - 1, &m->row.read);
}

/** movq is the general move unless a register operand is an xmm. */
static bool is_sse_movq(const struct fragment_line *line)
{
    for (int i = 0; i < line->n_operands; i++)
        if (line->operands[i].kind == FRAGMENT_REGISTER &&
            X86_KIND(line->operands[i].reg) == X86_XMM)
            return strcmp(line->mnemonic, "movq") == 0;
    return false;
}

/** SSE2's cmpeqsd and its kin: arithmetic by shape, a mask by value. */
static bool find_sse_compare(struct match *m, const char *name)
{
    static const char *const kinds[] = {"eq", "lt", "le", "unord", "neq", "nlt", "nle", "ord"};
    size_t n = strlen(name);
    if (strncmp(name, "cmp", 3) != 0 || n < 7)
        return false;
    bool is_single = strcmp(name + n - 2, "ss") == 0;
    if (!is_single && strcmp(name + n - 2, "sd") != 0)
        return false;
    for (int i = 0; i < 8; i++)
        if (strlen(kinds[i]) == n - 5 && strncmp(kinds[i], name + 3, n - 5) == 0) {
            unsigned char width = is_single ? 4 : 8;
            m->row = (struct row){.form = SSE_ARITH, .suffixes = "", .a = width, .b = width};
            return true;
        }
    return false;
}

/** The first row that fits wins: a name with one suffix, or complete. Conditions come last, since
 * jmp begins like a jump on a condition. */
static bool find_row(struct match *m)
{
    const char *name = m->line->mnemonic;
    if (is_sse_movq(m->line)) {
        m->row = (struct row){.name = "movq", .form = MOVQ, .suffixes = "", .a = 8, .b = 8};
        return true;
    }
    for (int i = 0; i < N_ROWS; i++) {
        size_t n = strlen(rows[i].name);
        if (strncmp(name, rows[i].name, n) != 0)
            continue;
        bool bare = name[n] == '\0';
        bool suffixed = !bare && name[n + 1] == '\0' && strchr(rows[i].suffixes, name[n]);
        if (!bare && !suffixed)
            continue;
        m->row = rows[i];
        m->width = suffixed ? x86_suffix_width(name[n]) : 0;
        return true;
    }
    return find_conditional(m, name) || find_sse_compare(m, name);
}

bool x86_effect(const struct fragment_line *line, struct x86_effect *out, char *why, size_t room)
{
    *out = (struct x86_effect){0};
    struct match m = {.line = line, .effect = out, .why = why, .room = room};
    if (!find_row(&m))
        return x86_refuse(&m, "%s is not an instruction that a fragment may use", line->mnemonic);
    out->flags_read = m.row.form == SHIFT ? 0 : m.row.read;
    out->flags_written = m.row.written;
    out->flags_lost = m.row.lost;
    return x86_fill(&m);
}
