/*
 * reader_clang_alignment.c: what stands in aligned(...) and _Alignas(...). libclang's C API shows
 * neither the alignment of a variable nor the expression, so it is read from the tokens: integer
 * constants, enumerators and sizes of types under C's operators. What is not understood is refused;
 * so is a name that is declared at file scope and again inside the function, as it could be either.
 */
#include <stdlib.h>
#include <string.h>

#include "lego/reader_clang.h"

struct reading {
    struct reader *r;
    CXCursor at;
    struct token t; /* the next one */
};

/* Of a type, in bytes. */
struct measure {
    int64_t size, align;
};

static int64_t conditional(struct reading *x);

_Noreturn static void give_up(struct reading *x)
{
    reader_refuse(x->r, x->at, "an alignment that is written like this");
}

static bool next_is(struct reading *x, const char *text)
{
    return reader_token_is(x->r, x->t, text);
}

static void advance(struct reading *x)
{
    x->t = reader_token(x->r, x->t.end);
}

static bool take(struct reading *x, const char *text)
{
    bool found = next_is(x, text);
    if (found)
        advance(x);
    return found;
}

static void expect(struct reading *x, const char *text)
{
    if (!take(x, text))
        give_up(x);
}

/* ---- names ---- */

struct search {
    const char *name;
    bool tag;       /* of a struct, union or enum; else a typedef or an enumerator */
    bool anything;  /* whatever has the name */
    bool found;
    CXCursor cursor;
};

static bool fits(const struct search *s, CXCursor c)
{
    enum CXCursorKind kind = clang_getCursorKind(c);
    bool tag = kind == CXCursor_StructDecl || kind == CXCursor_UnionDecl ||
               kind == CXCursor_EnumDecl;
    bool other = kind == CXCursor_TypedefDecl || kind == CXCursor_EnumConstantDecl;
    if (s->anything)
        return clang_isDeclaration(kind);
    return s->tag ? tag : other;
}

/* Called from inside libclang. */
static enum CXChildVisitResult look(CXCursor c, CXCursor parent, CXClientData data)
{
    struct search *s = data;
    (void)parent;
    if (fits(s, c)) {
        CXString spelling = clang_getCursorSpelling(c);
        const char *text = clang_getCString(spelling);
        if (text && strcmp(text, s->name) == 0) {
            s->found = true;
            s->cursor = c;
        }
        clang_disposeString(spelling);
    }
    enum CXCursorKind kind = clang_getCursorKind(c);
    /* enumerators are children of their enum; else only what stands at file scope itself counts */
    return s->anything || kind == CXCursor_EnumDecl ? CXChildVisit_Recurse : CXChildVisit_Continue;
}

/* The declaration at file scope that a name means here. */
static CXCursor declaration(struct reading *x, struct token name, bool tag)
{
    struct reader *r = x->r;
    struct search s = {.tag = tag};
    s.name = heap_copy(r->heap, r->text + name.start, name.end - name.start);
    clang_visitChildren(clang_getTranslationUnitCursor(r->tu), look, &s);
    struct search local = {.name = s.name, .anything = true};
    for (int i = 0; r->function && i < r->top_level.n; i++) {
        size_t start, end;
        reader_extent(r, r->top_level.items[i], &start, &end);
        if (start <= name.start && name.end <= end)
            clang_visitChildren(r->top_level.items[i], look, &local);
    }
    if (!s.found || local.found)
        give_up(x);
    return s.cursor;
}

/* ---- types ---- */

/* basic_type() knows them by their places here. */
static const char *const words[] = {"char",     "short",      "int",      "long",   "signed",
                                    "unsigned", "float",      "double",   "_Bool",  "void",
                                    "const",    "__signed__", "volatile", "__int128"};
enum { N_WORDS = sizeof words / sizeof *words };

static int word_of(struct reading *x)
{
    for (int i = 0; i < N_WORDS; i++)
        if (next_is(x, words[i]))
            return i;
    return -1;
}

static bool is_tag_word(struct reading *x)
{
    return next_is(x, "struct") || next_is(x, "union") || next_is(x, "enum");
}

static bool starts_type(struct reading *x)
{
    if (word_of(x) >= 0 || is_tag_word(x))
        return true;
    /* these are names to the tokenizer, and would be looked for among the declarations */
    if (x->t.kind != TOKEN_NAME || next_is(x, "sizeof") || next_is(x, "_Alignof") ||
        next_is(x, "__alignof__") || next_is(x, "__alignof"))
        return false;
    return clang_getCursorKind(declaration(x, x->t, false)) == CXCursor_TypedefDecl;
}

/* "unsigned long int" and the like: what is written how often decides. */
static struct measure basic_type(struct reading *x)
{
    int seen[N_WORDS] = {0};
    int64_t size = 4;
    for (int word; (word = word_of(x)) >= 0; advance(x))
        seen[word]++;
    /* char, _Bool; void has size 1 in GNU C */
    if (seen[0] || seen[8] || seen[9])
        size = 1;
    else if (seen[1])
        size = 2;
    else if (seen[7]) /* double, and with long the x87's in 16 bytes */
        size = seen[3] ? 16 : 8;
    else if (seen[13])
        size = 16;
    else if (seen[3])
        size = 8;
    return (struct measure){size, size};
}

static struct measure type_name(struct reading *x)
{
    struct measure m;
    while (take(x, "const") || take(x, "volatile"))
        continue;
    if (word_of(x) >= 0) {
        m = basic_type(x);
    } else {
        bool tag = is_tag_word(x);
        if (tag)
            advance(x);
        if (x->t.kind != TOKEN_NAME)
            give_up(x);
        CXType t = clang_getCursorType(declaration(x, x->t, tag));
        m = (struct measure){clang_Type_getSizeOf(t), clang_Type_getAlignOf(t)};
        advance(x);
    }
    while (take(x, "*") || take(x, "const") || take(x, "volatile"))
        m = (struct measure){8, 8};
    if (m.size < 0 || m.align < 1 || !next_is(x, ")"))
        give_up(x);
    return m;
}

/* ---- expressions ---- */

static int64_t number(struct reading *x)
{
    char *end;
    const char *text =
        heap_copy(x->r->heap, x->r->text + x->t.start, x->t.end - x->t.start);
    int64_t value = (int64_t)strtoull(text, &end, 0);
    if (strspn(end, "uUlL") != strlen(end))
        give_up(x);
    advance(x);
    return value;
}

static int64_t primary(struct reading *x)
{
    int64_t value;
    bool size = next_is(x, "sizeof");
    if (x->t.kind == TOKEN_NUMBER)
        return number(x);
    if (size || next_is(x, "_Alignof") || next_is(x, "__alignof__") || next_is(x, "__alignof")) {
        advance(x);
        expect(x, "(");
        if (!starts_type(x))
            give_up(x);
        struct measure m = type_name(x);
        expect(x, ")");
        return size ? m.size : m.align;
    }
    if (take(x, "(")) {
        value = conditional(x);
        expect(x, ")");
        return value;
    }
    if (x->t.kind != TOKEN_NAME)
        give_up(x);
    CXCursor c = declaration(x, x->t, false);
    if (clang_getCursorKind(c) != CXCursor_EnumConstantDecl)
        give_up(x);
    advance(x);
    return clang_getEnumConstantDeclValue(c);
}

static int64_t product(struct reading *x)
{
    int64_t value = primary(x);
    for (;;) {
        if (take(x, "*")) {
            value = (int64_t)((uint64_t)value * (uint64_t)primary(x));
        } else if (take(x, "/")) {
            int64_t by = primary(x);
            if (by <= 0)
                give_up(x);
            value /= by;
        } else {
            return value;
        }
    }
}

static int64_t sum(struct reading *x)
{
    int64_t value = product(x);
    for (;;) {
        if (take(x, "+"))
            value = (int64_t)((uint64_t)value + (uint64_t)product(x));
        else if (take(x, "-"))
            value = (int64_t)((uint64_t)value - (uint64_t)product(x));
        else
            return value;
    }
}

/* Shifts and one comparison, which is what macros such as "the larger of two" need; C has more
 * levels, and expressions that use them are refused for the token left over. */
static int64_t comparison(struct reading *x)
{
    int64_t value = sum(x);
    while (take(x, "<<")) {
        int64_t by = sum(x);
        /* far beyond any alignment: what overflows is not worth an opinion */
        if (by < 0 || by > 30 || value < 0 || value > 1 << 30)
            give_up(x);
        value <<= by;
    }
    if (take(x, ">"))
        return value > sum(x);
    if (take(x, "<"))
        return value < sum(x);
    return value;
}

static int64_t conditional(struct reading *x)
{
    int64_t value = comparison(x);
    if (!take(x, "?"))
        return value;
    int64_t yes = conditional(x);
    expect(x, ":");
    int64_t no = conditional(x);
    return value ? yes : no;
}

int64_t reader_alignment(struct reader *r, CXCursor attribute, size_t offset)
{
    struct reading x = {.r = r, .at = attribute, .t = reader_token(r, offset)};
    int64_t align = starts_type(&x) ? type_name(&x).align : conditional(&x);
    /* 0 is allowed, and has no effect (C11 6.7.5p6) */
    if (!next_is(&x, ")") || align < 0 || (align & (align - 1)))
        give_up(&x);
    return align;
}
