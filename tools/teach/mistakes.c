/*
 * mistakes.c: plants one mistake of a given kind into a good fragment, at a place chosen by the
 * seed. For tests of the verifier: a spoilt fragment must not be accepted (some are equivalent by
 * chance, which a test has to allow for: an inverted condition whose two ways do the same).
 */
#include "teach.h"

#include <stdio.h>
#include <string.h>

const char *const mistake_kinds[] = {"width", "condition", "clobber", "store", "syntax", NULL};

/** An instruction's line in parts; operands as written. */
struct parts {
    char mnemonic[16];
    char first[64], last[64]; /* of two operands */
    int n;
};

/** Writes the line that replaces `line`; false: this line offers no place for the mistake. */
typedef bool (*spoil_fn)(struct heap *h, struct rng *rng, const struct parts *p, struct span line,
                         struct buf *out);

static bool split(struct span line, struct parts *p)
{
    char copy[256];
    if (line.n == 0 || line.at[0] != '\t' || line.n >= sizeof copy)
        return false;
    snprintf(copy, sizeof copy, "%.*s", (int)line.n, line.at);
    p->n = sscanf(copy, " %15s %63[^\n]", p->mnemonic, p->first);
    char *comma = p->n == 2 ? strstr(p->first, ", ") : NULL;
    if (!comma)
        return p->n >= 1;
    snprintf(p->last, sizeof p->last, "%s", comma + 2);
    *comma = '\0';
    p->n = strstr(p->last, ", ") ? 4 : 3;
    return true;
}

static bool is_memory(const char *operand)
{
    return strchr(operand, '(') != NULL;
}

/** Bytes that a plain mov moves; 0: another instruction. */
static int width_of(const char *mnemonic)
{
    static const char *const movs[] = {"movb", "movw", "movl", "movq"};
    for (int i = 0; i < 4; i++)
        if (strcmp(mnemonic, movs[i]) == 0)
            return 1 << i;
    return 0;
}

/** Stores half or twice as much. */
static bool spoil_store_width(struct heap *h, struct rng *rng, const struct parts *p,
                              struct buf *out)
{
    int bytes = width_of(p->mnemonic);
    int other = bytes == 8 || (bytes > 1 && rng_below(rng, 2)) ? bytes / 2 : bytes * 2;
    const char *renamed = register_of_width(h, p->first, other);
    char letter = other == 8 ? 'q' : other == 4 ? 'l' : other == 2 ? 'w' : 'b';
    return renamed && buf_printf(out, "\tmov%c\t%s, %s\n", letter, renamed, p->last);
}

/** Loads half as much, with zeros above. */
static bool spoil_load_width(struct heap *h, const struct parts *p, struct buf *out)
{
    const char *renamed = register_of_width(h, p->last, 4);
    int bytes = width_of(p->mnemonic);
    return renamed && bytes >= 4 &&
           buf_printf(out, "\t%s\t%s, %s\n", bytes == 8 ? "movl" : "movzwl", p->first, renamed);
}

static bool spoil_width(struct heap *h, struct rng *rng, const struct parts *p, struct span line,
                        struct buf *out)
{
    (void)line;
    if (p->n != 3)
        return false;
    if (strcmp(p->mnemonic, "movsd") == 0 || strcmp(p->mnemonic, "movss") == 0)
        return buf_printf(out, "\tmovs%c\t%s, %s\n", p->mnemonic[4] == 'd' ? 's' : 'd', p->first,
                          p->last);
    if (width_of(p->mnemonic) == 0)
        return false;
    bool store = is_memory(p->last) && p->first[0] == '%' && p->first[1] != 'x';
    bool load = is_memory(p->first) && p->last[0] == '%' && p->last[1] != 'x';
    return store ? spoil_store_width(h, rng, p, out) : load && spoil_load_width(h, p, out);
}

static bool spoil_condition(struct heap *h, struct rng *rng, const struct parts *p,
                            struct span line, struct buf *out)
{
    static const char *const wrong[][3] = {
        {"l", "g", "b"}, {"g", "l", "a"}, {"le", "ge", "be"}, {"ge", "le", "ae"}, {"e", "ne", "ne"},
        {"ne", "e", "e"}, {"b", "a", "l"}, {"a", "b", "g"}, {"be", "ae", "le"}, {"ae", "be", "ge"},
        {"s", "ns", "e"}, {"ns", "s", "ne"}};
    (void)h;
    size_t head = p->mnemonic[0] == 'j' ? 1 : strncmp(p->mnemonic, "set", 3) == 0 ? 3 : 0;
    const char *rest = strchr(line.at + 1, '\t');
    for (size_t i = 0; head && rest && i < sizeof wrong / sizeof *wrong; i++)
        if (strcmp(p->mnemonic + head, wrong[i][0]) == 0)
            return buf_printf(out, "\t%.*s%s%.*s\n", (int)head, p->mnemonic,
                              wrong[i][1 + rng_below(rng, 2)], (int)(line.at + line.n - rest),
                              rest);
    return false;
}

static bool spoil_clobber(struct heap *h, struct rng *rng, const struct parts *p, struct span line,
                          struct buf *out)
{
    static const char *const registers[] = {"%rbx", "%r12", "%r13", "%r14", "%r15", "%rbp", "%rsp"};
    (void)h;
    (void)p;
    return buf_printf(out, "%.*s\n\tmovq\t$0, %s\n", (int)line.n, line.at,
                      registers[rng_below(rng, 7)]);
}

static bool spoil_store(struct heap *h, struct rng *rng, const struct parts *p, struct span line,
                        struct buf *out)
{
    (void)h;
    (void)rng;
    (void)line;
    (void)out;
    return p->n == 3 && strncmp(p->mnemonic, "mov", 3) == 0 && is_memory(p->last);
}

static bool spoil_syntax(struct heap *h, struct rng *rng, const struct parts *p, struct span line,
                         struct buf *out)
{
    (void)h;
    size_t cut = 2 + rng_below(rng, (uint32_t)strlen(p->mnemonic));
    if (rng_below(rng, 2) && p->n >= 3)
        return buf_printf(out, "\t%s\t%s,, %s\n", p->mnemonic, p->first, p->last);
    return buf_printf(out, "%.*sqx%.*s\n", (int)cut, line.at, (int)(line.n - cut), line.at + cut);
}

static const spoil_fn spoilers[] = {spoil_width, spoil_condition, spoil_clobber, spoil_store,
                                    spoil_syntax};

static struct span line_at(const char *at)
{
    return (struct span){at, strcspn(at, "\n")};
}

static const char *after(struct span line)
{
    return line.at + line.n + (line.at[line.n] == '\n');
}

static bool spoil_line(struct heap *h, spoil_fn spoil, struct rng *rng, struct span line,
                       struct buf *out)
{
    struct parts parts = {0};
    return split(line, &parts) && spoil(h, rng, &parts, line, out);
}

bool mistake_plant(struct heap *h, const char *kind, struct rng *rng, const char *fragment,
                   struct buf *out)
{
    spoil_fn spoil = NULL;
    for (int i = 0; mistake_kinds[i]; i++)
        if (strcmp(kind, mistake_kinds[i]) == 0)
            spoil = spoilers[i];
    struct buf unused;
    buf_init(&unused, 1 << 16);
    uint32_t places = 0, place = 0;
    for (const char *at = fragment; spoil && *at; at = after(line_at(at)))
        places += spoil_line(h, spoil, rng, line_at(at), &unused);
    buf_fini(&unused);
    if (places == 0)
        return false;
    uint32_t chosen = rng_below(rng, places);
    for (const char *at = fragment; *at; at = after(line_at(at))) {
        struct span line = line_at(at);
        size_t before = out->length;
        bool fits = spoil_line(h, spoil, rng, line, out);
        if (fits && place++ == chosen)
            continue;
        out->length = before; /* not this one: the line as it was */
        buf_printf(out, "%.*s\n", (int)line.n, line.at);
    }
    return true;
}
