/*
 * reader_clang_attribute.c: __attribute__, _Alignas and asm labels of declarations. libclang lists
 * attributes but does not name most of them: their text does.
 */
#include <stdlib.h>
#include <string.h>

#include "lego/reader_clang.h"

enum { DEFAULT_PRIORITY = 65535 }; /* gcc's: the last to begin, the first to end */

/* They change what a declaration means in ways that the compiler does not follow. */
static const char *const unsupported[] = {"weakref",  "ifunc",   "cleanup",    "naked",
                                          "symver",   "ms_abi",  "regcall",    "vectorcall",
                                          "interrupt", "init_priority", "ms_struct"};

/* The attribute's name without the underscores around it, in out. */
static void attribute_name(struct reader *r, struct token t, char out[40])
{
    size_t start = t.start, end = t.end;
    if (end - start > 4 && memcmp(r->text + start, "__", 2) == 0 &&
        memcmp(r->text + end - 2, "__", 2) == 0) {
        start += 2;
        end -= 2;
    }
    size_t n = end - start < 39 ? end - start : 39;
    memcpy(out, r->text + start, n);
    out[n] = '\0';
}

static const char *string_argument(struct reader *r, CXCursor c, struct token name)
{
    int64_t n;
    struct token open = reader_token(r, name.end);
    size_t at = open.end;
    if (!reader_token_is(r, open, "("))
        reader_refuse(r, c, "an attribute without its string");
    return reader_string_tokens(r, c, &at, 1, &n);
}

/* constructor, constructor(101) */
static int priority(struct reader *r, CXCursor c, struct token name)
{
    struct token open = reader_token(r, name.end), number = reader_token(r, open.end);
    if (!reader_token_is(r, open, "("))
        return DEFAULT_PRIORITY;
    char *end;
    long value = strtol(r->text + number.start, &end, 0);
    if (end != r->text + number.end || value < 1 || value > DEFAULT_PRIORITY)
        reader_refuse(r, c, "this priority of a constructor or destructor");
    return (int)value;
}

static void read_attribute(struct reader *r, CXCursor c, struct attributes *out)
{
    char name[40];
    struct token t = reader_first_token(r, c);
    if (t.kind != TOKEN_NAME)
        return;
    attribute_name(r, t, name);
    if (strcmp(name, "weak") == 0)
        out->is_weak = true;
    else if (strcmp(name, "used") == 0)
        out->is_used = true;
    else if (strcmp(name, "noreturn") == 0 || strcmp(name, "_Noreturn") == 0)
        out->is_noreturn = true;
    else if (strcmp(name, "gnu_inline") == 0)
        out->is_gnu_inline = true;
    else if (strcmp(name, "always_inline") == 0)
        out->is_always_inline = true;
    else if (strcmp(name, "section") == 0)
        out->section = string_argument(r, c, t);
    else if (strcmp(name, "alias") == 0)
        out->alias = string_argument(r, c, t);
    else if (strcmp(name, "constructor") == 0)
        out->before_main = priority(r, c, t);
    else if (strcmp(name, "destructor") == 0)
        out->after_main = priority(r, c, t);
    for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++) {
        if (strcmp(name, unsupported[i]) == 0)
            out->refused = unsupported[i];
    }
}

/* aligned, aligned(N), _Alignas(N), _Alignas(type) */
static void read_alignment(struct reader *r, CXCursor c, struct attributes *out)
{
    size_t start, end; /* of _Alignas libclang gives the keyword only */
    reader_extent(r, c, &start, &end);
    struct token open = reader_token(r, reader_token(r, start).end);
    int64_t align = 16; /* the largest that the target uses */
    if (reader_token_is(r, open, "("))
        align = reader_alignment(r, c, open.end);
    if (align > out->align)
        out->align = align;
}

void reader_attributes(struct reader *r, CXCursor declaration, struct attributes *out)
{
    struct children list = reader_children(r, declaration);
    for (int i = 0; i < list.n; i++) {
        CXCursor c = list.items[i];
        switch (clang_getCursorKind(c)) {
        case CXCursor_AsmLabelAttr:
            out->label = reader_spelling(r, c);
            break;
        case CXCursor_AlignedAttr:
            read_alignment(r, c, out);
            break;
        case CXCursor_UnexposedAttr:
            read_attribute(r, c, out);
            break;
        default:
            break;
        }
    }
}
