/*
 * reader_clang_generic.c: _Generic. libclang does not say which branch it chose, but gives the
 * whole the type of that branch: mostly one branch has it. Where several have, the type names
 * before the branches are read: specifiers, tags and typedef names behind which stand only stars.
 */
#include <string.h>

#include "lego/reader_clang.h"

/* More levels of pointers than anybody writes in _Generic; beyond, the name is not understood. */
enum { MAX_STARS = 8 };

/* A type name as far as it is understood: what the stars point at, and the qualifiers of each
 * level. */
struct type_name {
    struct type *base; /* NULL: not understood */
    int n_stars;
    bool is_const[MAX_STARS + 1], is_volatile[MAX_STARS + 1]; /* [0]: of the base */
    bool is_default;
};

/* The words of a type name counted, from which C makes its basic types. */
struct words {
    int n, is_long, is_short, is_signed, is_unsigned, is_char, is_int, is_void, is_bool, is_float,
        is_double;
};

/* The order of the words does not matter in C (6.7.2p2), so that counts are all there is to
 * know. */
static bool count_word(struct reader *r, struct token t, struct words *w)
{
    const struct {
        const char *text;
        int *count;
    } table[] = {{"long", &w->is_long},     {"short", &w->is_short}, {"signed", &w->is_signed},
                 {"unsigned", &w->is_unsigned}, {"char", &w->is_char}, {"int", &w->is_int},
                 {"void", &w->is_void},     {"_Bool", &w->is_bool},  {"float", &w->is_float},
                 {"double", &w->is_double}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (reader_token_is(r, t, table[i].text)) {
            ++*table[i].count;
            w->n++;
            return true;
        }
    }
    return false;
}

static struct type *basic_type(struct reader *r, const struct words *w)
{
    enum type_kind kind;
    bool u = w->is_unsigned > 0;
    if (w->is_void)
        kind = TYPE_VOID;
    else if (w->is_bool)
        kind = TYPE_BOOL;
    else if (w->is_float)
        kind = TYPE_FLOAT;
    else if (w->is_double)
        kind = w->is_long ? TYPE_LDOUBLE : TYPE_DOUBLE;
    else if (w->is_char)
        kind = u ? TYPE_UCHAR : w->is_signed ? TYPE_SCHAR : TYPE_CHAR;
    else if (w->is_short)
        kind = u ? TYPE_USHORT : TYPE_SHORT;
    else if (w->is_long)
        kind = (w->is_long == 2 ? TYPE_LLONG : TYPE_LONG) + u;
    else
        kind = TYPE_INT + u;
    return r->types.basic[kind];
}

/* The type that a tag or typedef name of file scope means. libclang does not list those inside
 * _Generic. */
static struct type *named_type(struct reader *r, struct token t, bool is_tag)
{
    /* from the last: an earlier declaration of a tag may be incomplete */
    for (int i = r->top_level.n - 1; i >= 0; i--) {
        CXCursor c = r->top_level.items[i];
        enum CXCursorKind kind = clang_getCursorKind(c);
        bool tag =
            kind == CXCursor_StructDecl || kind == CXCursor_UnionDecl || kind == CXCursor_EnumDecl;
        if ((is_tag && tag) || (!is_tag && kind == CXCursor_TypedefDecl)) {
            if (reader_token_is(r, t, reader_spelling(r, c)))
                return reader_type_of(r, c);
        }
    }
    return NULL;
}

static bool qualifier(struct reader *r, struct token t, struct type_name *name)
{
    if (reader_token_is(r, t, "const"))
        name->is_const[name->n_stars] = true;
    else if (reader_token_is(r, t, "volatile"))
        name->is_volatile[name->n_stars] = true;
    else
        return reader_token_is(r, t, "restrict") || reader_token_is(r, t, "__restrict");
    return true;
}

static struct type_name read_type_name(struct reader *r, size_t from, size_t to)
{
    struct type_name name = {0};
    struct words words = {0};
    bool understood = true, is_tag = false;
    for (struct token t = reader_token(r, from); t.start < to; t = reader_token(r, t.end)) {
        if (reader_token_is(r, t, "struct") || reader_token_is(r, t, "union") ||
            reader_token_is(r, t, "enum"))
            is_tag = true;
        else if (reader_token_is(r, t, "default"))
            name.is_default = true;
        else if (reader_token_is(r, t, "*") && name.n_stars < MAX_STARS)
            name.n_stars++;
        else if (!qualifier(r, t, &name) && !count_word(r, t, &words)) {
            name.base = understood && !name.base ? named_type(r, t, is_tag) : NULL;
            understood &= name.base != NULL;
        }
    }
    if (words.n && !name.base)
        name.base = basic_type(r, &words);
    if (!understood)
        name.base = NULL;
    return name;
}

/* Is this the type of a value of type t? Qualifiers count behind pointers, not at the top. */
static bool matches(struct reader *r, const struct type_name *name, CXType t, CXCursor at)
{
    for (int level = name->n_stars; level >= 0; level--) {
        bool same = clang_isConstQualifiedType(t) == name->is_const[level] &&
                    clang_isVolatileQualifiedType(t) == name->is_volatile[level];
        if (level < name->n_stars && !same)
            return false;
        if (level > 0 && t.kind != CXType_Pointer)
            return false;
        if (level > 0)
            t = clang_getCanonicalType(clang_getPointeeType(t));
    }
    return type_same(reader_type(r, t, at), name->base);
}

/* The text between two branches is a comma, a type name and a colon. The branch is chosen as C11
 * 6.5.1.1p3 says; where a name is not understood the answer could be wrong, so it is refused. */
static CXCursor by_type_name(struct reader *r, CXCursor c, const struct children *list)
{
    CXType control = clang_getCanonicalType(clang_getCursorType(list->items[0]));
    CXCursor otherwise = clang_getNullCursor();
    bool understood = true;
    for (int i = 1; i < list->n; i++) {
        size_t from, to, unused;
        reader_extent(r, list->items[i - 1], &unused, &from);
        reader_extent(r, list->items[i], &to, &unused);
        from = reader_token(r, from).end; /* the comma; the colon is understood as nothing */
        while (to > from && r->text[to - 1] != ':')
            to--;
        struct type_name name = read_type_name(r, from, to ? to - 1 : to);
        if (name.is_default)
            otherwise = list->items[i];
        else if (name.base && matches(r, &name, control, c))
            return list->items[i];
        understood &= name.is_default || name.base;
    }
    if (!understood || clang_Cursor_isNull(otherwise))
        reader_refuse(r, c, "_Generic with branches of one type and type names of this form");
    return otherwise;
}

struct expr *reader_generic(struct reader *r, CXCursor c)
{
    struct children list = reader_expressions(r, c);
    CXType type = clang_getCanonicalType(clang_getCursorType(c));
    CXCursor chosen = clang_getNullCursor();
    int candidates = 0;
    for (int i = 1; i < list.n; i++) {
        if (clang_equalTypes(type, clang_getCanonicalType(clang_getCursorType(list.items[i])))) {
            chosen = list.items[i];
            candidates++;
        }
    }
    if (list.n > 0 && candidates > 1)
        chosen = by_type_name(r, c, &list);
    if (candidates == 0 ||
        !clang_equalTypes(type, clang_getCanonicalType(clang_getCursorType(chosen))))
        reader_refuse(r, c, "_Generic of unknown structure");
    return reader_expr(r, chosen);
}
