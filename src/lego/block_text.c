/*
 * block_text.c: parser of normalised blocks. Text comes from files: everything is checked, names
 * must be v1, v2, ... without gaps, so that a text that parses is one that block_make() could have
 * written.
 */
#include "lego/block_text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/** Bounds on what a file may ask for. What ashcc cuts has about 1,200 operators at most; MAX_OBJECT
 * also keeps take_number's sum from overflowing. */
enum { MAX_OPERANDS = 4096, MAX_OBJECT = 1 << 30 };

/** A piece of the text: a line, or a word of one. */
struct span {
    const char *at;
    size_t n;
};

struct parser {
    const char *text, *end, *next; /* next: start of the line after `line` */
    struct span line;
    int number;
    struct block_text *out;
    int counts[OPERAND_LITERAL + 1];
    ashlar_error *err;
};

/** By enum operand_kind, which is also the order in which operands must stand. */
static const char letters[] = {'v', 'g', 'k', 'f', 'c'};

/** The word in the message is cut: it comes from the file, and may be a whole line. */
static ashlar_status bad(struct parser *p, const char *what, struct span word)
{
    int n = word.n < 40 ? (int)word.n : 40;
    return error_set(p->err, ASHLAR_BAD_INPUT, "line %d: %s%s%.*s%s", p->number, what,
                     n ? " '" : "", n, word.at ? word.at : "", n ? "'" : "");
}

static const struct span none = {NULL, 0};

/** The last line may lack its newline, as files written by hand do. */
static bool next_line(struct parser *p)
{
    if (p->next >= p->end)
        return false;
    const char *newline = memchr(p->next, '\n', (size_t)(p->end - p->next));
    const char *stop = newline ? newline : p->end;
    p->line = (struct span){p->next, (size_t)(stop - p->next)};
    p->next = newline ? newline + 1 : p->end;
    p->number++;
    return true;
}

static bool is_text(struct span s, const char *text)
{
    return s.n == strlen(text) && memcmp(s.at, text, s.n) == 0;
}

static bool take_prefix(struct span *s, const char *prefix)
{
    size_t n = strlen(prefix);
    if (s->n < n || memcmp(s->at, prefix, n) != 0)
        return false;
    s->at += n;
    s->n -= n;
    return true;
}

static bool take_number(struct span *s, int64_t *value)
{
    size_t n = 0;
    *value = 0;
    while (n < s->n && isdigit((unsigned char)s->at[n])) {
        *value = *value * 10 + (s->at[n++] - '0');
        if (*value > MAX_OBJECT)
            return false;
    }
    s->at += n;
    s->n -= n;
    return n > 0;
}

/** The name that the next operand of this kind must have. */
static bool take_name(struct parser *p, struct span *s, struct block_operand *o)
{
    snprintf(o->name, sizeof o->name, "%c%d", letters[o->kind], p->counts[o->kind] + 1);
    return take_prefix(s, o->name);
}

/** "TYPE NAME" with the longest type name that fits ("unsigned int" before "unsigned"). */
static bool take_scalar(struct parser *p, struct span s, struct block_operand *o)
{
    for (int t = IR_I8; t <= IR_PTR; t++) {
        struct span rest = s;
        if (!take_prefix(&rest, ir_type_name((enum ir_type)t)) || !take_prefix(&rest, " ") ||
            !take_name(p, &rest, o) || rest.n)
            continue;
        o->type = (enum ir_type)t;
        o->size = ir_type_size(o->type);
        o->align = o->size;
        return true;
    }
    return false;
}

/** 4096, a page, is the largest alignment that the image of states can give (state.c). */
static bool take_bytes(struct parser *p, struct span s, struct block_operand *o)
{
    o->type = IR_BYTES;
    return take_prefix(&s, "bytes ") && take_name(p, &s, o) && take_prefix(&s, "[") &&
           take_number(&s, &o->size) && take_prefix(&s, "] align ") && take_number(&s, &o->align) &&
           s.n == 0 && o->align > 0 && o->align <= 4096 && (o->align & (o->align - 1)) == 0;
}

static bool take_function(struct parser *p, struct span s, struct block_operand *o)
{
    o->type = IR_VOID;
    return take_name(p, &s, o) && s.n == 0;
}

static ashlar_status parse_operand(struct parser *p)
{
    static const struct {
        const char *word;
        enum operand_kind kind;
    } storage[] = {{"static ", OPERAND_STATIC}, {"const ", OPERAND_CONSTANT},
                   {"function ", OPERAND_FUNCTION}, {"literal ", OPERAND_LITERAL}};
    struct span s = p->line;
    struct block_operand o = {.kind = OPERAND_SLOT};
    for (int i = 0; i < 4 && o.kind == OPERAND_SLOT; i++)
        if (take_prefix(&s, storage[i].word))
            o.kind = storage[i].kind;
    bool aggregates = o.kind == OPERAND_SLOT || o.kind == OPERAND_STATIC;
    bool good = o.kind == OPERAND_FUNCTION
                    ? take_function(p, s, &o)
                    : take_scalar(p, s, &o) || (aggregates && take_bytes(p, s, &o));
    if (!good)
        return bad(p, "not an operand, or its name is not the next one:", p->line);
    struct block_text *b = p->out;
    if (b->n_operands >= MAX_OPERANDS)
        return bad(p, "too many operands", none);
    if (b->n_operands && b->operands[b->n_operands - 1].kind > o.kind)
        return bad(p, "operands stand in the order slots, statics, constants, functions, literals:",
                   p->line);
    struct block_operand *more = realloc(b->operands, (size_t)(b->n_operands + 1) * sizeof *more);
    if (!more)
        return error_memory(p->err, sizeof *more, "a block's operands");
    b->operands = more;
    b->operands[b->n_operands++] = o;
    p->counts[o.kind]++;
    return ASHLAR_OK;
}

static ashlar_status parse_exit(struct parser *p)
{
    struct span s = p->line;
    int64_t number = 0;
    if (!take_prefix(&s, "exit x") || !take_number(&s, &number) || s.n ||
        number != p->out->n_exits + 1)
        return bad(p, "exits are numbered x1, x2, ...:", p->line);
    struct block_text *b = p->out;
    int *more = realloc(b->exits, (size_t)(b->n_exits + 1) * sizeof *more);
    if (!more)
        return error_memory(p->err, sizeof *more, "a block's exits");
    b->exits = more;
    /* a block that was cut out of a function has label numbers here; alone it needs only distinct
     * ones */
    b->exits[b->n_exits] = b->n_exits;
    b->n_exits++;
    return ASHLAR_OK;
}

/** Operands, then exits, to the line "begin" (docs/blocks.md). */
static ashlar_status parse_header(struct parser *p)
{
    while (next_line(p)) {
        struct span s = p->line;
        if (is_text(s, "begin"))
            return ASHLAR_OK;
        ashlar_status status = ASHLAR_OK;
        if (take_prefix(&s, "exit "))
            status = parse_exit(p);
        else if (p->out->n_exits)
            status = bad(p, "an operand after the exits:", p->line);
        else
            status = parse_operand(p);
        if (status != ASHLAR_OK)
            return status;
    }
    return bad(p, "the text ends before 'begin'", none);
}

static bool is_numbered(struct span word, char letter)
{
    if (word.n < 2 || word.at[0] != letter || word.at[1] == '0')
        return false;
    for (size_t i = 1; i < word.n; i++)
        if (!isdigit((unsigned char)word.at[i]))
            return false;
    return true;
}

/** The words a body may use. Whatever is none of them could name something of the host compiler
 * that builds the reference: a function, a builtin, asm. */
static bool is_known_word(const struct block_text *b, struct span word)
{
    static const char *const keywords[] = {"if",  "goto", "signed", "unsigned", "char",    "short",
                                           "int", "long", "float",  "double",   "volatile"};
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (is_text(word, keywords[i]))
            return true;
    if (is_numbered(word, 'L'))
        return true;
    if (is_numbered(word, 'x') && word.n < 8) /* short enough for atoi */
        return atoi(word.at + 1) <= b->n_exits;
    return block_text_find(b, word.at, word.n) != NULL;
}

static size_t word_length(const char *at, const char *end)
{
    size_t n = 0;
    while (at + n < end && (isalnum((unsigned char)at[n]) || at[n] == '_'))
        n++;
    return n;
}

/** Every word of a body line must be a number, a keyword or a declared name. */
static ashlar_status check_words(struct parser *p)
{
    const char *at = p->line.at, *end = at + p->line.n;
    while (at < end) {
        struct span word = {at, word_length(at, end)};
        if (word.n == 0) {
            /* no quotes, braces, commas or #: neither strings nor calls with arguments nor
             * preprocessing */
            if (!strchr(" \t()*&+-/%<>=!~^|?:;", *at) || *at == '\0')
                return bad(p, "not a character of a block:", (struct span){at, 1});
            at++;
            continue;
        }
        if (!isdigit((unsigned char)*at) && !is_known_word(p->out, word))
            return bad(p, "not declared:", word);
        at += word.n;
    }
    return ASHLAR_OK;
}

static ashlar_status parse_body(struct parser *p)
{
    p->out->body = p->next;
    while (next_line(p)) {
        if (is_text(p->line, "end")) {
            p->out->body_length = (size_t)(p->line.at - p->out->body);
            return ASHLAR_OK;
        }
        ashlar_status status = check_words(p);
        if (status != ASHLAR_OK)
            return status;
    }
    return bad(p, "the text ends before 'end'", none);
}

static ashlar_status parse_block(struct parser *p)
{
    if (!is_text(p->line, "block x86-64"))
        return bad(p, "expected 'block x86-64', not", p->line);
    const char *start = p->line.at;
    ashlar_status status = parse_header(p);
    if (status == ASHLAR_OK)
        status = parse_body(p);
    if (status != ASHLAR_OK)
        return status;
    p->out->text = start;
    p->out->length = (size_t)(p->next - start);
    /* over the very bytes of the text, "block" to "end": what block_make() hashes as well */
    block_text_key(p->out->text, p->out->length, p->out->key);
    return ASHLAR_OK;
}

ashlar_status block_text_parse(const char *text, size_t length, struct block_text *out,
                               size_t *used, ashlar_error *err)
{
    *out = (struct block_text){0};
    struct parser p = {.text = text, .end = text + length, .next = text, .out = out, .err = err};
    bool found = false;
    while (!found && next_line(&p))
        found = p.line.n > 0;
    ashlar_status status = found ? parse_block(&p) : ASHLAR_OK;
    *used = (size_t)(p.next - text);
    if (status != ASHLAR_OK)
        block_text_fini(out);
    return status;
}

void block_text_fini(struct block_text *b)
{
    free(b->operands);
    free(b->exits);
    *b = (struct block_text){0};
}

/** Whether the last line of the body leaves for good: "goto L1;". */
static bool ends_in_goto(const struct block_text *t)
{
    struct span body = {t->body, t->body_length};
    while (body.n && (body.at[body.n - 1] == '\n' || body.at[body.n - 1] == ' '))
        body.n--;
    size_t last = body.n;
    while (last && body.at[last - 1] != '\n')
        last--;
    struct span line = {body.at + last, body.n - last};
    return take_prefix(&line, "goto ");
}

void block_text_block(const struct block_text *t, struct block *out)
{
    *out = (struct block){.function = "", .operands = t->operands, .n_operands = t->n_operands,
                          .exits = t->exits, .n_exits = t->n_exits, .text = t->text,
                          .text_length = t->length, .falls_through = !ends_in_goto(t)};
    memcpy(out->key, t->key, sizeof out->key);
}

/* Canonical byte order: caches go with projects from machine to machine. */
void block_text_key(const char *text, size_t length, char key[33])
{
    XXH128_canonical_t bytes;
    XXH128_canonicalFromHash(&bytes, XXH3_128bits(text, length));
    for (int i = 0; i < 16; i++)
        snprintf(key + 2 * i, 3, "%02x", bytes.digest[i]);
}

const struct block_operand *block_text_find(const struct block_text *b, const char *name, size_t n)
{
    /* at most a few dozen: no index */
    for (int i = 0; i < b->n_operands; i++)
        if (strlen(b->operands[i].name) == n && memcmp(b->operands[i].name, name, n) == 0)
            return &b->operands[i];
    return NULL;
}
