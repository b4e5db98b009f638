/*
 * reader_clang_literal.c: constants from their spelling. libclang's C API has no values of floating
 * literals and gives strings escaped its own way, so all literals are read from the text.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "lego/reader_clang.h"

/* ---- numbers ---- */

/* The digits of a literal as a NUL-terminated string in out, cut when it is longer. */
static void literal_text(struct reader *r, struct token t, char *out, size_t size)
{
    size_t n = t.end - t.start < size - 1 ? t.end - t.start : size - 1;
    memcpy(out, r->text + t.start, n);
    out[n] = '\0';
}

struct expr *reader_integer(struct reader *r, CXCursor c)
{
    char text[128];
    literal_text(r, reader_first_token(r, c), text, sizeof text);
    bool binary = text[0] == '0' && (text[1] == 'b' || text[1] == 'B');
    uint64_t value = strtoull(binary ? text + 2 : text, NULL, binary ? 2 : 0);
    return reader_int_node(r, reader_type_of(r, c), value, reader_location(r, c));
}

struct expr *reader_floating(struct reader *r, CXCursor c)
{
    struct token t = reader_first_token(r, c);
    struct type *type = reader_type_of(r, c);
    char *text = heap_copy(r->heap, r->text + t.start, t.end - t.start);
    struct expr *e = reader_node(r, EXPR_FLOAT, type, reader_location(r, c));
    if (type->kind == TYPE_FLOAT)
        e->real = strtof(text, NULL);
    else if (type->kind == TYPE_DOUBLE)
        e->real = strtod(text, NULL);
    else
        e->real = strtold(text, NULL);
    return e;
}

/* ---- characters ---- */

static unsigned digit_value(char c)
{
    return isdigit((unsigned char)c) ? (unsigned)(c - '0')
                                     : (unsigned)(tolower((unsigned char)c) - 'a' + 10);
}

static uint32_t digits(const struct reader *r, size_t *at, size_t end, unsigned base, int most)
{
    uint32_t value = 0;
    while (most-- > 0 && *at < end && isxdigit((unsigned char)r->text[*at]) &&
           digit_value(r->text[*at]) < base)
        value = value * base + digit_value(r->text[(*at)++]);
    return value;
}

/* The escape behind a backslash; *is_point: a code point (\u) rather than a unit. */
static uint32_t escape(const struct reader *r, size_t *at, size_t end, bool *is_point)
{
    static const char letters[] = "abefnrtvE", values[] = "\a\b\033\f\n\r\t\v\033";
    char c = r->text[*at];
    *is_point = c == 'u' || c == 'U';
    if (c >= '0' && c <= '7')
        return digits(r, at, end, 8, 3);
    ++*at;
    if (c == 'x')
        return digits(r, at, end, 16, 1 << 20);
    if (*is_point)
        return digits(r, at, end, 16, c == 'u' ? 4 : 8);
    const char *letter = strchr(letters, c);
    return letter && c ? (unsigned char)values[letter - letters] : (unsigned char)c;
}

/* One UTF-8 sequence; a byte that begins none stands for itself. */
static uint32_t code_point(const struct reader *r, size_t *at, size_t end)
{
    unsigned char c = (unsigned char)r->text[(*at)++];
    int more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : c >= 0xC0 ? 1 : 0;
    uint32_t value = more ? c & (0x3Fu >> more) : c;
    while (more-- > 0 && *at < end && ((unsigned char)r->text[*at] & 0xC0) == 0x80)
        value = value << 6 | ((unsigned char)r->text[(*at)++] & 0x3F);
    return value;
}

struct units {
    struct heap *heap;
    char *bytes;
    int n;            /* bytes */
    int64_t unit;     /* bytes of one character */
};

static void put_unit(struct units *u, uint32_t value)
{
    for (int64_t i = 0; i < u->unit; i++) {
        heap_grow(u->heap, &u->bytes, u->n, 1);
        u->bytes[u->n++] = (char)(value >> (8 * i));
    }
}

/* A code point in UTF-8, UTF-16 or UTF-32, by the unit. */
static void put_point(struct units *u, uint32_t value)
{
    if (u->unit == 4 || value < 0x80 || (u->unit == 2 && value < 0x10000)) {
        put_unit(u, value);
    } else if (u->unit == 2) {
        put_unit(u, 0xD800 + ((value - 0x10000) >> 10));
        put_unit(u, 0xDC00 + ((value - 0x10000) & 0x3FF));
    } else {
        int more = value < 0x800 ? 1 : value < 0x10000 ? 2 : 3;
        put_unit(u, (uint32_t)(0xFF00 >> (more + 1) & 0xFF) | value >> (6 * more));
        while (more-- > 0)
            put_unit(u, 0x80 | (value >> (6 * more) & 0x3F));
    }
}

/* The characters of one literal token, prefix and quotes left out, behind those in u. */
static void put_literal(struct reader *r, struct token t, struct units *u)
{
    size_t at = t.start, end = t.end;
    while (at < end && r->text[at] != '"' && r->text[at] != '\'')
        at++;
    char quote = at < end ? r->text[at++] : '\0';
    if (end > at && r->text[end - 1] == quote)
        end--;
    while (at < end) {
        bool is_point = true;
        if (r->text[at] != '\\') {
            if (u->unit == 1)
                put_unit(u, (unsigned char)r->text[at++]);
            else
                put_point(u, code_point(r, &at, end));
            continue;
        }
        if (++at >= end)
            break;
        if (r->text[at] == '\n') { /* a spliced line */
            at++;
            continue;
        }
        uint32_t value = escape(r, &at, end, &is_point);
        if (is_point)
            put_point(u, value);
        else
            put_unit(u, value);
    }
}

struct expr *reader_character(struct reader *r, CXCursor c)
{
    struct token t = reader_first_token(r, c);
    struct type *type = reader_type_of(r, c);
    bool is_plain = r->text[t.start] == '\'';
    struct units u = {.heap = r->heap, .unit = is_plain ? 1 : type->size};
    put_literal(r, t, &u);
    uint64_t value = 0;
    if (is_plain && u.n == 1) {
        value = (uint64_t)(int64_t)(signed char)u.bytes[0];
    } else if (is_plain) { /* several characters: the last is the lowest byte, as gcc has it */
        for (int i = 0; i < u.n; i++)
            value = value << 8 | (unsigned char)u.bytes[i];
    } else {
        for (int64_t i = 0; i < u.unit && i < u.n; i++)
            value |= (uint64_t)(unsigned char)u.bytes[i] << (8 * i);
    }
    return reader_int_node(r, type, value, reader_location(r, c));
}

/* ---- strings ---- */

const char *reader_string_tokens(struct reader *r, CXCursor at, size_t *offset, int64_t unit_bytes,
                                 int64_t *n_bytes)
{
    struct units u = {.heap = r->heap, .unit = unit_bytes};
    struct token t = reader_token(r, *offset);
    if (t.kind != TOKEN_STRING)
        reader_refuse(r, at, "a string that is not written as a literal");
    for (; t.kind == TOKEN_STRING; t = reader_token(r, t.end)) {
        put_literal(r, t, &u);
        *offset = t.end;
    }
    put_unit(&u, 0);
    *n_bytes = u.n;
    return u.bytes;
}

/* __func__ and its kin: libclang shows a string literal whose spelling is the function's name in
 * quotes. */
static const char *function_name(struct reader *r, CXCursor c, int64_t *n_bytes)
{
    const char *name = reader_spelling(r, c);
    size_t n = strlen(name);
    *n_bytes = n >= 2 ? (int64_t)n - 1 : 1;
    return n >= 2 ? heap_copy(r->heap, name + 1, n - 2) : "";
}

struct expr *reader_string(struct reader *r, CXCursor c)
{
    struct type *type = reader_type_of(r, c);
    struct expr *e = reader_node(r, EXPR_STRING, type, reader_location(r, c));
    struct token first = reader_first_token(r, c);
    size_t offset = first.start;
    if (first.kind == TOKEN_STRING)
        e->bytes = reader_string_tokens(r, c, &offset, type->base->size, &e->n_bytes);
    else
        e->bytes = function_name(r, c, &e->n_bytes);
    return e;
}
