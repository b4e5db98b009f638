/*
 * fragment.c: the parser of fragments: AT&T lines over the block's operand names into
 * fragment_line. It knows the shape of a line and the names of registers, not what instructions
 * exist nor what they do (lint_table.c). The text is untrusted; every length and number is bounded
 * here.
 *
 * Refused by the grammar itself: directives, several instructions on a line (`;`), strings,
 * indirect jumps (`*`), relocation operators (`@`), symbols that are neither an operand's, an
 * exit's nor `.L...`.
 */
#include "lego/fragment.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "lego/lint_x86_64.h"

/** The rest of the line being read. */
struct scan {
    const char *at, *end;
    int number;
    ashlar_error *err;
};

/** The message shows where the line stopped making sense; its text may be read by a model, so
 * little of the rest is quoted. */
static bool fail(const struct scan *s, const char *what)
{
    int shown = (int)(s->end - s->at > 24 ? 24 : s->end - s->at);
    error_set(s->err, ASHLAR_BAD_INPUT, "line %d: %s%s%.*s%s", s->number, what,
              shown ? " at '" : "", shown, s->at, shown ? "'" : "");
    return false;
}

static void skip_blanks(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t'))
        s->at++;
}

static bool take(struct scan *s, char c)
{
    skip_blanks(s);
    if (s->at == s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.';
}

/** A word of at most 15 characters; false with nothing taken when there is none or it is longer. */
static bool take_word(struct scan *s, char out[16])
{
    skip_blanks(s);
    const char *p = s->at;
    while (p < s->end && is_word(*p))
        p++;
    size_t n = (size_t)(p - s->at);
    /* no mnemonic, register or operand name is longer; a label that is, is refused */
    if (n == 0 || n > 15)
        return false;
    memcpy(out, s->at, n);
    out[n] = '\0';
    s->at = p;
    return true;
}

/** Decimal or hexadecimal, up to 64 bits unsigned; the caller applies the sign. */
static bool take_number(struct scan *s, uint64_t *out)
{
    char digits[32] = "";
    size_t n = 0;
    const char *p = s->at;
    while (p < s->end && isalnum((unsigned char)*p) && n < sizeof digits - 1)
        digits[n++] = *p++;
    digits[n] = '\0';
    bool hex = digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X');
    /* an assembler would read it in base 8, a model hardly meant it */
    if (!hex && n > 1 && digits[0] == '0')
        return fail(s, "octal number");
    char *stop;
    *out = strtoull(digits, &stop, hex ? 16 : 10);
    bool wraps = !hex && n >= 20; /* below 10^19 always fits */
    if (n == 0 || *stop || wraps || (hex && n > 18))
        return fail(s, "bad number");
    s->at = p;
    return true;
}

/** [symbol] { (+|-) number }: one symbol at most, sum modulo 2^64. */
static bool take_sum(struct scan *s, struct fragment_operand *o)
{
    uint64_t sum = 0;
    bool first = true;
    for (;;) {
        bool minus = take(s, '-');
        bool plus = !minus && take(s, '+');
        if (!first && !minus && !plus)
            break;
        skip_blanks(s);
        if (s->at == s->end)
            return fail(s, "number or name expected");
        if (isdigit((unsigned char)*s->at)) {
            uint64_t value;
            if (!take_number(s, &value))
                return false;
            /* both $-1 and $0xffffffffffffffff are the same 64 bits; the lint asks whether they
             * fit */
            sum += minus ? -value : value;
        } else {
            /* a difference of names has no place to be relocated to */
            if (minus || o->symbol[0])
                return fail(s, "a sum holds one name, added");
            if (!take_word(s, o->symbol))
                return fail(s, "number or name expected");
        }
        first = false;
    }
    o->value = (int64_t)sum;
    return true;
}

static bool take_register(struct scan *s, int *reg)
{
    char name[16];
    if (!take(s, '%') || !take_word(s, name))
        return fail(s, "register expected");
    if (strcmp(name, "st") == 0 && take(s, '(')) {
        uint64_t i;
        skip_blanks(s);
        if (!take_number(s, &i) || i > 7 || !take(s, ')'))
            return fail(s, "%st(0) to %st(7) expected");
        *reg = X86_REG(X86_ST, (int)i);
        return true;
    }
    *reg = x86_register(name);
    if (*reg < 0) {
        error_set(s->err, ASHLAR_BAD_INPUT, "line %d: there is no register %%%s", s->number, name);
        return false;
    }
    return true;
}

/** ( base [, index [, scale]] ) after its opening parenthesis. */
static bool take_address(struct scan *s, struct fragment_operand *o)
{
    o->kind = FRAGMENT_MEMORY;
    o->scale = 1;
    skip_blanks(s);
    if (s->at < s->end && *s->at != ',' && !take_register(s, &o->base))
        return false;
    if (take(s, ',')) {
        if (!take_register(s, &o->index))
            return false;
        if (take(s, ',')) {
            uint64_t scale;
            skip_blanks(s);
            if (!take_number(s, &scale))
                return false;
            if (scale != 1 && scale != 2 && scale != 4 && scale != 8)
                return fail(s, "scale is 1, 2, 4 or 8");
            o->scale = (int)scale;
        }
    }
    return take(s, ')') || fail(s, "')' expected");
}

/** %reg, $sum, or sum and address in parentheses, each of which may be missing. A sum alone is
 * where a jump leads; the lint refuses it as memory (no absolute addresses). */
static bool take_operand(struct scan *s, struct fragment_operand *o)
{
    *o = (struct fragment_operand){.reg = -1, .base = -1, .index = -1};
    skip_blanks(s);
    if (s->at < s->end && *s->at == '%') {
        o->kind = FRAGMENT_REGISTER;
        return take_register(s, &o->reg);
    }
    if (take(s, '$')) {
        o->kind = FRAGMENT_IMMEDIATE;
        return take_sum(s, o);
    }
    o->kind = FRAGMENT_TARGET;
    if (s->at < s->end && *s->at != '(' && !take_sum(s, o))
        return false;
    return take(s, '(') ? take_address(s, o) : true;
}

static bool is_local_label(const char *name)
{
    return name[0] == '.' && name[1] == 'L' && name[2];
}

/** One line without its comment. True with an empty line->label and mnemonic: nothing on it. */
static bool parse_line(struct scan *s, struct fragment_line *line)
{
    char word[16];
    skip_blanks(s);
    if (s->at == s->end)
        return true;
    if (!take_word(s, word))
        return fail(s, "instruction or label expected");
    if (take(s, ':')) {
        if (!is_local_label(word))
            return fail(s, "labels of a fragment are called .L..., the label before");
        memcpy(line->label, word, sizeof word);
        skip_blanks(s);
        if (s->at == s->end)
            return true;
        if (!take_word(s, word))
            return fail(s, "instruction expected");
    }
    if (word[0] == '.') {
        error_set(s->err, ASHLAR_BAD_INPUT,
                  "line %d: rule g: directive %s (a fragment emits no data)", s->number, word);
        return false;
    }
    memcpy(line->mnemonic, word, sizeof word);
    for (char *c = line->mnemonic; *c; c++)
        *c = (char)tolower((unsigned char)*c); /* assemblers take mnemonics in either case */
    skip_blanks(s);
    while (s->at < s->end) {
        if (line->n_operands == 3)
            return fail(s, "more than three operands");
        if (!take_operand(s, &line->operands[line->n_operands++]))
            return false;
        skip_blanks(s);
        if (s->at == s->end)
            break;
        if (!take(s, ',') || s->at == s->end)
            return fail(s, "end of the instruction expected");
        skip_blanks(s);
    }
    return true;
}

static struct fragment_line *add_line(struct fragment *f)
{
    if ((f->n & (f->n - 1)) == 0) { /* room doubles at powers of two */
        size_t room = f->n ? (size_t)f->n * 2 : 1;
        struct fragment_line *lines = realloc(f->lines, room * sizeof *lines);
        if (!lines)
            return NULL;
        f->lines = lines;
    }
    f->lines[f->n] = (struct fragment_line){0};
    return &f->lines[f->n++];
}

static ashlar_status parse_lines(const char *text, size_t length, struct fragment *out,
                                 ashlar_error *err)
{
    const char *end = text + length;
    for (int number = 1; text < end; number++) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *stop = newline ? newline : end;
        /* strings, in which it would be text, do not exist here */
        const char *comment = memchr(text, '#', (size_t)(stop - text));
        struct scan s = {text, comment ? comment : stop, number, err};
        while (s.end > s.at && isspace((unsigned char)s.end[-1]))
            s.end--;
        struct fragment_line line = {.number = number};
        if (!parse_line(&s, &line))
            return ASHLAR_BAD_INPUT;
        if (line.label[0] || line.mnemonic[0]) {
            if (out->n == FRAGMENT_MAX_LINES)
                return error_set(err, ASHLAR_BAD_INPUT, "line %d: more than %d lines", number,
                                 FRAGMENT_MAX_LINES);
            struct fragment_line *kept = add_line(out);
            if (!kept)
                return error_memory(err, sizeof line, "a fragment");
            *kept = line;
        }
        text = newline ? newline + 1 : end;
    }
    return ASHLAR_OK;
}

ashlar_status fragment_parse(const char *text, size_t length, struct fragment *out,
                             ashlar_error *err)
{
    *out = (struct fragment){0};
    if (length > FRAGMENT_MAX_BYTES)
        return error_set(err, ASHLAR_BAD_INPUT, "line 1: the fragment is longer than %d bytes",
                         FRAGMENT_MAX_BYTES);
    ashlar_status status = parse_lines(text, length, out, err);
    if (status != ASHLAR_OK)
        fragment_fini(out);
    return status;
}

void fragment_fini(struct fragment *f)
{
    free(f->lines);
    *f = (struct fragment){0};
}
