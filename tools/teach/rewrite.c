/*
 * rewrite.c: instructions over the host compiler's symbols become instructions over the block's
 * operands:
 *
 *   v1+8(%rip)     v1+8(%rbp)                       slots
 *   g1 k1 f1       as they are                      data and code by symbol
 *   c1(%rip)       $c1, through r11 where no immediate is possible
 *   .LC0(%rip)     an immediate through r11, and xmm15 where a vector is wanted
 *   -20(%rbp)      -20(%rsp)                        the compiler's own spills: scratch below the
 * stack
 *
 * The compiler was told to leave r10, r11, xmm14 and xmm15 alone (host.c).
 */
#include "teach.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCRATCH_AT = -128 }; /* x87 operands are built at the far end */

struct rewriter {
    const struct block_text *block;
    const struct listing *listing;
    struct items *in;
    struct item *out; /* (n) */
    int n;
};

static bool refuse(struct rewriter *r, const char *why)
{
    r->in->problem = why;
    return false;
}

static struct item *put(struct rewriter *r, const char *mnemonic, int n_operands, ...)
{
    heap_grow(r->in->heap, &r->out, r->n, sizeof *r->out);
    struct item *item = &r->out[r->n++];
    *item = (struct item){.kind = ITEM_INSTRUCTION, .n_operands = n_operands};
    snprintf(item->mnemonic, sizeof item->mnemonic, "%s", mnemonic);
    va_list args;
    va_start(args, n_operands);
    for (int i = 0; i < n_operands; i++)
        item->operands[i] = va_arg(args, const char *);
    va_end(args);
    return item;
}

static void put_item(struct rewriter *r, const struct item *item)
{
    heap_grow(r->in->heap, &r->out, r->n, sizeof *r->out);
    r->out[r->n++] = *item;
}

static bool is_register(const char *operand)
{
    return operand[0] == '%';
}

static bool is_any(const char *word, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(word, *list) == 0)
            return true;
    return false;
}

/** The symbol of "sym+off(%rip)"; empty for other operands. */
static struct span symbol_of(const char *operand)
{
    size_t n = 0;
    if (!strstr(operand, "(%rip)") || operand[0] == '*')
        return (struct span){operand, 0};
    while (isalnum((unsigned char)operand[n]) || operand[n] == '.' || operand[n] == '_')
        n++;
    return (struct span){operand, n};
}

static const struct block_operand *operand_of(const struct rewriter *r, const char *operand)
{
    struct span symbol = symbol_of(operand);
    return symbol.n ? block_text_find(r->block, symbol.at, symbol.n) : NULL;
}

const char *register_of_width(struct heap *h, const char *name, int bytes)
{
    static const char *const old[] = {"a", "b", "c", "d"};
    char letter[2] = {0}, base[4] = {0};
    const char *s = name + 1;
    if (isdigit((unsigned char)s[1]) && s[0] == 'r') {
        snprintf(base, sizeof base, "%.*s", isdigit((unsigned char)s[2]) ? 3 : 2, s);
        const char *suffix = bytes == 8 ? "" : bytes == 4 ? "d" : bytes == 2 ? "w" : "b";
        return heap_printf(h, "%%%s%s", base, suffix);
    }
    if (*s == 'r' || *s == 'e')
        s++;
    letter[0] = s[0];
    const char *prefix = bytes == 8 ? "r" : bytes == 4 ? "e" : "";
    if (strncmp(s, "si", 2) == 0 || strncmp(s, "di", 2) == 0)
        return heap_printf(h, "%%%s%.2s%s", prefix, s, bytes == 1 ? "l" : "");
    for (int i = 0; i < 4; i++)
        if (old[i][0] == letter[0])
            return heap_printf(h, "%%%s%s%s", prefix, letter, bytes == 1 ? "l" : "x");
    return NULL;
}

/* ------------------------------------------------------------------ slots and spills */

/** "v1+8(%rip)" to "v1+8(%rbp)", spills to scratch; other operands stay. NULL: cannot be expressed.
 */
static const char *rename_operand(struct rewriter *r, const char *operand)
{
    const char *rip = strstr(operand, "(%rip)"), *rbp = strstr(operand, "(%rbp");
    if (rbp) {
        long offset = strtol(operand, NULL, 10);
        if (rbp[5] != ')' || offset >= 0 || offset < SCRATCH_AT + 16)
            return NULL;
        return heap_printf(r->in->heap, "%ld(%%rsp)", offset);
    }
    if (strstr(operand, "%rsp") || strchr(operand, '@') ||
        (operand[0] == '$' && isalpha((unsigned char)operand[1])))
        return NULL;
    if (!rip)
        return operand;
    const struct block_operand *o = operand_of(r, operand);
    if (!o)
        return NULL;
    if (o->kind != OPERAND_SLOT)
        return operand;
    return heap_printf(r->in->heap, "%.*s(%%rbp)", (int)(rip - operand), operand);
}

/* ------------------------------------------------------------------ literals */

static const char *literal_name(struct rewriter *r, const struct block_operand *o)
{
    return heap_printf(r->in->heap, "$%s", o->name);
}

static const char *const mov_names[] = {"movb", "movw", "movl", "movq", NULL};
static const char *const extension_names[] = {"movzbl", "movsbl", "movzwl", "movswl",
                                              "movsbw", "movzbw", "movsbq", "movswq",
                                              "movslq", "movzbq", "movzwq", NULL};
static const char *const arithmetic_names[] = {
    "addb", "addw", "addl", "addq", "subb", "subw", "subl", "subq", "andb", "andw", "andl", "andq",
    "orb", "orw", "orl", "orq", "xorb", "xorw", "xorl", "xorq", "cmpb", "cmpw", "cmpl", "cmpq",
    "testb", "testw", "testl", "testq", "adcq", "sbbq", NULL};

static const char *mov_of_width(int bytes)
{
    return bytes == 8 ? "movq" : "movl";
}

/** Into r11; its name at the literal's width. */
static const char *load_literal(struct rewriter *r, const struct block_operand *o)
{
    int bytes = (int)o->size;
    put(r, mov_of_width(bytes), 2, literal_name(r, o), bytes == 8 ? "%r11" : "%r11d");
    return register_of_width(r->in->heap, "%r11", bytes);
}

/** movzbl, movslq...: an extension of the literal's own kind is its value in the wider register. */
static bool extend_literal(struct rewriter *r, const struct item *item,
                           const struct block_operand *o)
{
    bool sign = item->mnemonic[3] == 's';
    char last = item->mnemonic[strlen(item->mnemonic) - 1];
    if (sign != ir_is_signed(o->type)) {
        const char *narrow = load_literal(r, o);
        put(r, item->mnemonic, 2, narrow, item->operands[1]);
        return true;
    }
    int bytes = last == 'q' && sign ? 8 : 4;
    const char *reg = register_of_width(r->in->heap, item->operands[1], bytes);
    if (!reg)
        return refuse(r, "a literal extended into no general register");
    put(r, mov_of_width(bytes), 2, literal_name(r, o), reg);
    return true;
}

/** x87 takes memory only: the literal goes to the scratch area. */
static void scratch_literal(struct rewriter *r, const struct item *item,
                            const struct block_operand *o)
{
    const char *place = heap_printf(r->in->heap, "%d(%%rsp)", SCRATCH_AT);
    const char *mov = o->size == 8   ? "movq"
                      : o->size == 4 ? "movl"
                      : o->size == 2 ? "movw"
                                     : "movb";
    put(r, mov, 2, literal_name(r, o), place);
    put(r, item->mnemonic, 1, place);
}

static bool rewrite_literal(struct rewriter *r, struct item *item, int at)
{
    const struct block_operand *o = operand_of(r, item->operands[at]);
    bool to_register = at == 0 && item->n_operands == 2 && is_register(item->operands[1]);
    if (to_register && is_any(item->mnemonic, extension_names))
        return extend_literal(r, item, o);
    if (to_register && strncmp(item->mnemonic, "imul", 4) == 0) {
        put(r, item->mnemonic, 3, literal_name(r, o), item->operands[1], item->operands[1]);
        return true;
    }
    bool immediate =
        to_register && item->operands[1][1] != 'x' &&
        (is_any(item->mnemonic, mov_names) || is_any(item->mnemonic, arithmetic_names));
    if (item->mnemonic[0] == 'f') {
        scratch_literal(r, item, o);
        return true;
    }
    struct item changed = *item;
    changed.operands[at] = immediate ? literal_name(r, o) : load_literal(r, o);
    for (int k = 0; k < item->n_operands; k++) {
        if (k == at)
            continue;
        changed.operands[k] = rename_operand(r, item->operands[k]);
        if (!changed.operands[k])
            return refuse(r, "an operand beside a literal that has no symbolic form");
    }
    put_item(r, &changed);
    return true;
}

/* ------------------------------------------------------------------ the compiler's constants */

static uint64_t constant_word(const struct constant *c, int at, int bytes)
{
    uint64_t value = 0;
    memcpy(&value, c->bytes + at, (size_t)bytes);
    return value;
}

static void put_bits(struct rewriter *r, uint64_t bits)
{
    if (bits <= UINT32_MAX)
        put(r, "movl", 2, heap_printf(r->in->heap, "$%" PRIu64, bits), "%r11d");
    else
        put(r, "movabsq", 2, heap_printf(r->in->heap, "$%" PRId64, (int64_t)bits), "%r11");
}

/** The first `bytes` of the constant into an xmm register. */
static void load_vector(struct rewriter *r, const struct constant *c, int bytes, const char *xmm)
{
    put_bits(r, constant_word(c, 0, bytes < 8 ? bytes : 8));
    put(r, "movq", 2, "%r11", xmm);
    if (bytes <= 8 || constant_word(c, 8, 8) == 0)
        return;
    put_bits(r, constant_word(c, 8, 8));
    put(r, "movq", 2, "%r11", "%xmm14");
    put(r, "punpcklqdq", 2, "%xmm14", xmm);
}

static int vector_width(const char *mnemonic)
{
    size_t n = strlen(mnemonic);
    if (strcmp(mnemonic, "movd") == 0)
        return 4;
    if (strcmp(mnemonic, "movq") == 0)
        return 8;
    if (n > 2 && mnemonic[n - 2] == 's')
        return mnemonic[n - 1] == 's' ? 4 : 8;
    return 16;
}

static void scratch_constant(struct rewriter *r, const struct item *item, const struct constant *c)
{
    for (int at = 0; at < c->n; at += 8) {
        int bytes = c->n - at < 8 ? 4 : 8;
        put_bits(r, constant_word(c, at, bytes));
        put(r, bytes == 8 ? "movq" : "movl", 2, bytes == 8 ? "%r11" : "%r11d",
            heap_printf(r->in->heap, "%d(%%rsp)", SCRATCH_AT + at));
    }
    put(r, item->mnemonic, 1, heap_printf(r->in->heap, "%d(%%rsp)", SCRATCH_AT));
}

static bool rewrite_constant(struct rewriter *r, struct item *item, int at)
{
    const struct constant *c = listing_constant(r->listing, symbol_of(item->operands[at]));
    if (!c || c->n == 0)
        return refuse(r, "a constant of the compiler's that was not found");
    if (item->mnemonic[0] == 'f') {
        scratch_constant(r, item, c);
        return true;
    }
    if (at != 0 || item->n_operands != 2 || !is_register(item->operands[1]))
        return refuse(r, "a constant of the compiler's in an unusual place");
    const char *to = item->operands[1];
    if (strncmp(to, "%xmm", 4) == 0) {
        bool is_load = strncmp(item->mnemonic, "mov", 3) == 0;
        load_vector(r, c, vector_width(item->mnemonic), is_load ? to : "%xmm15");
        if (!is_load)
            put(r, item->mnemonic, 2, "%xmm15", to);
        return true;
    }
    bool is_long = item->mnemonic[strlen(item->mnemonic) - 1] == 'q';
    put_bits(r, constant_word(c, 0, is_long ? 8 : 4));
    put(r, item->mnemonic, 2, is_long ? "%r11" : "%r11d", to);
    return true;
}

/* ------------------------------------------------------------------ one instruction */

/**
 * setp and its like write one byte and the compiler goes on with the whole register, whose other
 * bytes it will not look at; a fragment must not even read them. mov leaves the flags alone.
 */
static void clear_for_set(struct rewriter *r, const struct item *item)
{
    const char *whole =
        strncmp(item->mnemonic, "setp", 4) == 0 || strncmp(item->mnemonic, "setnp", 5) == 0
            ? register_of_width(r->in->heap, item->operands[0], 4)
            : NULL;
    if (whole)
        put(r, "movl", 2, "$0", whole);
}

static bool is_forbidden(const char *mnemonic)
{
    static const char *const names[] = {"call", "ret", "leave", "pushq",
                                        "popq", "ud2", "rep",   NULL};
    return is_any(mnemonic, names) || strncmp(mnemonic, "rep", 3) == 0;
}

/** fadd or fmul of two stack entries, which a fragment does by copy and pop. */
static bool is_x87_product(const struct item *item)
{
    return (strcmp(item->mnemonic, "fadd") == 0 || strcmp(item->mnemonic, "fmul") == 0) &&
           item->n_operands == 2 && strcmp(item->operands[1], "%st") == 0;
}

static bool rewrite_plain(struct rewriter *r, struct item *item)
{
    struct item changed = *item;
    for (int k = 0; k < item->n_operands; k++) {
        changed.operands[k] = rename_operand(r, item->operands[k]);
        if (!changed.operands[k])
            return refuse(r, heap_printf(r->in->heap, "%s: %s has no symbolic form", item->mnemonic,
                                         item->operands[k]));
    }
    put_item(r, &changed);
    return true;
}

static bool rewrite_item(struct rewriter *r, struct item *item)
{
    if (is_forbidden(item->mnemonic))
        return refuse(r, "a call, a stack operation or a string operation");
    for (int k = 0; k < item->n_operands; k++) {
        const struct block_operand *o = operand_of(r, item->operands[k]);
        if (o && o->kind == OPERAND_LITERAL)
            return rewrite_literal(r, item, k);
        if (span_starts(symbol_of(item->operands[k]), ".LC"))
            return rewrite_constant(r, item, k);
    }
    if (is_x87_product(item)) {
        put(r, "fld", 1, item->operands[0]);
        put(r, item->mnemonic[1] == 'a' ? "faddp" : "fmulp", 2, "%st", "%st(1)");
        return true;
    }
    clear_for_set(r, item);
    return rewrite_plain(r, item);
}

bool rewrite_items(const struct block_text *block, const struct listing *listing,
                   struct items *items)
{
    struct rewriter r = {.block = block, .listing = listing, .in = items};
    for (int i = 0; i < items->n; i++) {
        struct item *item = &items->at[i];
        if (item->is_gone)
            continue;
        if (item->kind == ITEM_LABEL || item->is_jump)
            put_item(&r, item);
        else if (!rewrite_item(&r, item))
            return false;
    }
    items->at = r.out;
    items->n = r.n;
    return true;
}
