/*
 * reader_clang_cursor.c: cursors as lists of children, extents as offsets into the text, and tokens
 * read from the text itself: it is preprocessed, so what stands between two extents is what was
 * written.
 */
#include <ctype.h>
#include <string.h>

#include "lego/reader_clang.h"

struct collection {
    CXCursor *items;
    int n, capacity;
    bool failed;
};

/* Called from inside libclang: neither the heap (which may longjmp) nor recursion is allowed here.
 */
static enum CXChildVisitResult collect(CXCursor c, CXCursor parent, CXClientData data)
{
    struct collection *list = data;
    (void)parent;
    if (list->n < list->capacity)
        list->items[list->n] = c;
    list->n++;
    return CXChildVisit_Continue;
}

/* Most nodes have few children: they are taken in one visit, onto the stack; others are counted
 * first. */
struct children reader_children(struct reader *r, CXCursor c)
{
    CXCursor few[16];
    struct collection list = {.items = few, .capacity = 16};
    clang_visitChildren(c, collect, &list);
    int n = list.n;
    CXCursor *items = heap_take(r->heap, (size_t)n * sizeof *items);
    if (n <= 16) {
        memcpy(items, few, (size_t)n * sizeof *items);
        return (struct children){items, n};
    }
    list = (struct collection){.items = items, .capacity = n};
    clang_visitChildren(c, collect, &list);
    return (struct children){items, n};
}

/* Without what libclang lists beside them: types, and the names of types, in casts and sizeof. */
struct children reader_expressions(struct reader *r, CXCursor c)
{
    struct children all = reader_children(r, c);
    int n = 0;
    for (int i = 0; i < all.n; i++) {
        if (clang_isExpression(clang_getCursorKind(all.items[i])))
            all.items[n++] = all.items[i];
    }
    all.n = n;
    return all;
}

const char *reader_spelling(struct reader *r, CXCursor c)
{
    CXString s = clang_getCursorSpelling(c);
    const char *text = clang_getCString(s);
    char *copy = heap_copy(r->heap, text ? text : "", text ? strlen(text) : 0);
    clang_disposeString(s);
    return copy;
}

/* The file's own offsets, not the presumed ones of line markers: they index r->text. Macro
 * extents, which would differ, do not occur in preprocessed text. */
void reader_extent(struct reader *r, CXCursor c, size_t *start, size_t *end)
{
    CXSourceRange range = clang_getCursorExtent(c);
    unsigned from = 0, to = 0;
    clang_getFileLocation(clang_getRangeStart(range), NULL, NULL, NULL, &from);
    clang_getFileLocation(clang_getRangeEnd(range), NULL, NULL, NULL, &to);
    *start = from <= r->length ? from : r->length;
    *end = to <= r->length ? to : r->length;
    if (*end < *start)
        *end = *start;
}

/* libclang's own constant folding, for what the tree does not show (sizeof, offsetof). */
bool reader_evaluate(CXCursor c, int64_t *value)
{
    CXEvalResult result = clang_Cursor_Evaluate(c);
    if (!result)
        return false;
    bool known = clang_EvalResult_getKind(result) == CXEval_Int;
    if (known && clang_EvalResult_isUnsignedInt(result))
        *value = (int64_t)clang_EvalResult_getAsUnsigned(result);
    else if (known)
        *value = clang_EvalResult_getAsLongLong(result);
    clang_EvalResult_dispose(result);
    return known;
}

/* ---- tokens ---- */

static bool is_name_byte(unsigned char c)
{
    return isalnum(c) || c == '_' || c == '$' || c >= 0x80;
}

/* Behind a comment at `at`, or `at` when there is none. */
static size_t skip_comment(const struct reader *r, size_t at)
{
    if (at + 1 >= r->length || r->text[at] != '/')
        return at;
    if (r->text[at + 1] == '/') {
        while (at < r->length && r->text[at] != '\n')
            at++;
        return at;
    }
    if (r->text[at + 1] != '*')
        return at;
    for (at += 2; at + 1 < r->length; at++) {
        if (r->text[at] == '*' && r->text[at + 1] == '/')
            return at + 2;
    }
    return r->length;
}

static bool starts_line(const struct reader *r, size_t at)
{
    while (at > 0 && (r->text[at - 1] == ' ' || r->text[at - 1] == '\t'))
        at--;
    return at == 0 || r->text[at - 1] == '\n';
}

/* Behind blanks, comments, and the lines of markers and pragmas. */
static size_t skip_blanks(const struct reader *r, size_t at)
{
    while (at < r->length) {
        char c = r->text[at];
        size_t behind = skip_comment(r, at);
        /* a zero byte is white space to libclang as well */
        if (isspace((unsigned char)c) || c == '\0') {
            at++;
        } else if (c == '\\' && at + 1 < r->length && r->text[at + 1] == '\n') {
            at += 2;
        } else if (c == '#' && starts_line(r, at)) {
            while (at < r->length && r->text[at] != '\n')
                at++;
        } else if (behind != at) {
            at = behind;
        } else {
            break;
        }
    }
    return at;
}

static size_t quoted_end(const struct reader *r, size_t at)
{
    char quote = r->text[at++];
    while (at < r->length && r->text[at] != quote) {
        if (r->text[at] == '\\')
            at++;
        at++;
    }
    return at < r->length ? at + 1 : r->length;
}

/* A preprocessing number: digits, letters, dots, and signs behind exponents. */
static size_t number_end(const struct reader *r, size_t at)
{
    for (; at < r->length; at++) {
        char c = r->text[at], before = r->text[at - 1];
        bool sign = (c == '+' || c == '-') &&
                    (before == 'e' || before == 'E' || before == 'p' || before == 'P');
        if (!is_name_byte((unsigned char)c) && c != '.' && !sign)
            break;
    }
    return at;
}

/* The first that fits wins, so the longer ones stand before their beginnings (C11 6.4p4). */
static size_t operator_end(const struct reader *r, size_t at)
{
    static const char *const operators[] = {
        "<<=", ">>=", "...", "->", "++", "--", "<<", ">>", "<=", ">=", "==", "!=", "&&", "||",
        "*=",  "/=",  "%=",  "+=", "-=", "&=", "^=", "|=", "<:", ":>", "<%", "%>"};
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        size_t n = strlen(operators[i]);
        if (at + n <= r->length && memcmp(r->text + at, operators[i], n) == 0)
            return at + n;
    }
    return at + 1;
}

/* The prefix of a literal (L, u, U, u8) that starts at `at`: its length, 0 when there is none. */
static size_t prefix_length(const struct reader *r, size_t at)
{
    size_t n = 0;
    if (r->text[at] == 'L' || r->text[at] == 'U')
        n = 1;
    else if (r->text[at] == 'u')
        n = at + 1 < r->length && r->text[at + 1] == '8' ? 2 : 1;
    if (n == 0 || at + n >= r->length)
        return 0;
    return r->text[at + n] == '"' || r->text[at + n] == '\'' ? n : 0;
}

struct token reader_token(const struct reader *r, size_t offset)
{
    size_t at = skip_blanks(r, offset);
    if (at >= r->length)
        return (struct token){TOKEN_END, r->length, r->length};
    size_t body = at + prefix_length(r, at);
    unsigned char c = (unsigned char)r->text[body];
    if (c == '"')
        return (struct token){TOKEN_STRING, at, quoted_end(r, body)};
    if (c == '\'')
        return (struct token){TOKEN_CHARACTER, at, quoted_end(r, body)};
    bool fraction = c == '.' && at + 1 < r->length && isdigit((unsigned char)r->text[at + 1]);
    if (isdigit(c) || fraction)
        return (struct token){TOKEN_NUMBER, at, number_end(r, at + 1)};
    if (is_name_byte(c)) {
        size_t end = at;
        while (end < r->length && is_name_byte((unsigned char)r->text[end]))
            end++;
        return (struct token){TOKEN_NAME, at, end};
    }
    return (struct token){TOKEN_OPERATOR, at, operator_end(r, at)};
}

struct token reader_first_token(struct reader *r, CXCursor c)
{
    size_t start, end;
    reader_extent(r, c, &start, &end);
    return reader_token(r, start);
}

struct token reader_token_after(struct reader *r, CXCursor c)
{
    size_t start, end;
    reader_extent(r, c, &start, &end);
    return reader_token(r, end);
}

bool reader_token_is(const struct reader *r, struct token t, const char *text)
{
    size_t n = strlen(text);
    return t.end - t.start == n && memcmp(r->text + t.start, text, n) == 0;
}

/* ---- what gcc accepts and libclang does not ---- */

static bool is_one_of(const struct reader *r, struct token t, const char *a, const char *b)
{
    return reader_token_is(r, t, a) || reader_token_is(r, t, b);
}

/* Behind the parenthesis that closes the one at t. */
static size_t group_end(const struct reader *r, struct token t)
{
    int depth = 0;
    for (; t.kind != TOKEN_END; t = reader_token(r, t.end)) {
        depth += reader_token_is(r, t, "(");
        depth -= reader_token_is(r, t, ")");
        if (depth == 0)
            return t.end;
    }
    return r->length;
}

/* __attribute__((malloc(free, 1))): libclang 14 knows malloc without arguments only. */
static void adapt_attribute(const struct reader *r, char *text, size_t at, size_t end)
{
    struct token t = reader_token(r, at);
    for (; t.kind != TOKEN_END && t.start < end; t = reader_token(r, t.end)) {
        struct token open = reader_token(r, t.end);
        if (!is_one_of(r, t, "malloc", "__malloc__") || !reader_token_is(r, open, "("))
            continue;
        size_t stop = group_end(r, open);
        /* blanks of the same length: offsets and lines must stay what they are */
        for (size_t i = open.start; i < stop; i++)
            text[i] = text[i] == '\n' ? '\n' : ' ';
    }
}

void reader_adapt_text(const struct reader *r, char *text)
{
    struct token t = reader_token(r, 0);
    while (t.kind != TOKEN_END) {
        struct token open = {0};
        if (t.kind == TOKEN_NAME && is_one_of(r, t, "__attribute__", "__attribute"))
            open = reader_token(r, t.end);
        if (open.end && reader_token_is(r, open, "(")) {
            size_t end = group_end(r, open);
            adapt_attribute(r, text, open.end, end);
            t = reader_token(r, end);
        } else {
            t = reader_token(r, t.end);
        }
    }
}

/* ---- maps ---- */

/* As in reader_clang_type.c: open addressing, at most half full. A value of NULL marks a free
 * slot, so nobody may put one. */
static struct cursor_slot *find(const struct cursor_map *map, CXCursor key)
{
    unsigned i = clang_hashCursor(key) & (map->capacity - 1);
    while (map->slots[i].value && !clang_equalCursors(map->slots[i].key, key))
        i = (i + 1) & (map->capacity - 1);
    return &map->slots[i];
}

void *cursor_map_get(const struct cursor_map *map, CXCursor key)
{
    return map->capacity ? find(map, key)->value : NULL;
}

void cursor_map_put(struct heap *h, struct cursor_map *map, CXCursor key, void *value)
{
    if (map->used * 2 >= map->capacity) {
        struct cursor_map larger = {.capacity = map->capacity ? map->capacity * 2 : 256,
                                    .used = map->used};
        larger.slots = heap_take(h, larger.capacity * sizeof *larger.slots);
        for (unsigned i = 0; i < map->capacity; i++) {
            if (map->slots[i].value)
                *find(&larger, map->slots[i].key) = map->slots[i];
        }
        *map = larger;
    }
    struct cursor_slot *slot = find(map, key);
    map->used += slot->value == NULL;
    *slot = (struct cursor_slot){key, value};
}
