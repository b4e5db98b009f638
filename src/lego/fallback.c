/*
 * fallback.c: see fallback.h. gcc's assembler text at -O0 is cut into entities: a symbol with the
 * directives that name it, the section it is in and the lines from its label to the next symbol (of
 * a function: to its .size). Both texts define the file's globals and statics under the same names;
 * ours stay.
 *
 * Renamed in what is taken: labels ".L..." and symbols with a number behind a dot ("count.0":
 * static locals and the like, which each compiler numbers in its own way).
 */
#include "lego/fallback.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* -O0: functions stay apart (no clones, no inlining), so that each can be taken alone. The other
 * options keep out what would name other parts of the file or need sections of its own. */
const char *const fallback_cc_options[] = {"-S",
                                           "-O0",
                                           "-w",
                                           "-fno-asynchronous-unwind-tables",
                                           "-fcf-protection=none",
                                           "-fno-stack-protector",
                                           "-fno-common",
                                           "-fno-ident",
                                           NULL};

enum { NAME_MAX_BYTES = 256, TEXT_MAX = 1 << 30 };

struct entity {
    char name[NAME_MAX_BYTES];
    char section[NAME_MAX_BYTES]; /* the directive that opened its section */
    struct buf attributes;        /* .globl, .type, .size, .comm ... lines */
    struct buf body;              /* from its label on */
    bool is_function, has_label, wanted;
};

struct join {
    struct entity *entities;
    int n, capacity;
    char section[NAME_MAX_BYTES], align[NAME_MAX_BYTES];
    int inside;         /* index of the entity whose body is being read; -1: none */
    const char *ours;
    bool failed;
};

/* ---- lines ---- */

static bool is_symbol_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '$';
}

static size_t symbol_length(const char *s)
{
    size_t n = 0;
    while (is_symbol_char(s[n]))
        n++;
    return n;
}

static struct entity *entity_of(struct join *j, const char *name, size_t length)
{
    if (length >= NAME_MAX_BYTES) {
        j->failed = true;
        return NULL;
    }
    for (int i = 0; i < j->n; i++) {
        if (strncmp(j->entities[i].name, name, length) == 0 && !j->entities[i].name[length])
            return &j->entities[i];
    }
    if (j->n == j->capacity) {
        int capacity = j->capacity ? j->capacity * 2 : 64;
        struct entity *grown = realloc(j->entities, (size_t)capacity * sizeof *grown);
        if (!grown) {
            j->failed = true;
            return NULL;
        }
        j->entities = grown;
        j->capacity = capacity;
    }
    struct entity *e = &j->entities[j->n++];
    memset(e, 0, sizeof *e);
    memcpy(e->name, name, length);
    buf_init(&e->attributes, TEXT_MAX);
    buf_init(&e->body, TEXT_MAX);
    return e;
}

static void put(struct join *j, struct buf *b, const char *line, size_t n)
{
    buf_append(b, line, n);
    if (!buf_puts(b, "\n"))
        j->failed = true;
}

static void keep_line(char out[NAME_MAX_BYTES], const char *line, size_t n)
{
    n = n < NAME_MAX_BYTES ? n : NAME_MAX_BYTES - 1;
    memcpy(out, line, n);
    out[n] = '\0';
}

/* Does the line (tab, directive, ...) hold one of the directives? Returns what follows it, NULL
 * otherwise. */
static const char *directive(const char *line, size_t n, const char *const *names)
{
    size_t at = 0;
    while (at < n && (line[at] == '\t' || line[at] == ' '))
        at++;
    for (int i = 0; names[i]; i++) {
        size_t length = strlen(names[i]);
        if (n - at < length || strncmp(line + at, names[i], length) != 0)
            continue;
        if (at + length == n)
            return line + n;
        if (line[at + length] == '\t' || line[at + length] == ' ')
            return line + at + length + 1;
    }
    return NULL;
}

static const char *const section_names[] = {".text", ".data", ".bss", ".section", NULL};
static const char *const align_names[] = {".align", ".p2align", ".balign", NULL};
static const char *const symbol_names[] = {".globl",     ".type", ".size",   ".local",
                                           ".comm",      ".weak", ".hidden", ".internal",
                                           ".protected", ".set",  NULL};
static const char *const size_names[] = {".size", NULL};
static const char *const type_names[] = {".type", NULL};
static const char *const quad_names[] = {".quad", NULL};

/* A line outside any function: what does it speak of? */
static void read_outer(struct join *j, const char *line, size_t n)
{
    size_t label = symbol_length(line);
    const char *operand;
    struct entity *e = NULL;
    if (label > 0 && label < n && line[label] == ':') {
        e = entity_of(j, line, label);
        if (!e)
            return;
        e->has_label = true;
        strcpy(e->section, j->section);
        /* an alignment stands before the label that it is for */
        put(j, &e->body, j->align, strlen(j->align));
        put(j, &e->body, line, n);
        j->inside = (int)(e - j->entities);
        j->align[0] = '\0';
        return;
    }
    if ((operand = directive(line, n, symbol_names))) {
        e = entity_of(j, operand, symbol_length(operand));
        if (!e)
            return;
        put(j, &e->attributes, line, n);
        e->is_function |= directive(line, n, type_names) && memmem(line, n, "@function", 9);
        j->inside = -1;
    } else if (directive(line, n, section_names)) {
        keep_line(j->section, line, n);
        j->align[0] = '\0';
        j->inside = -1;
    } else if (directive(line, n, align_names)) {
        keep_line(j->align, line, n);
        j->inside = -1;
    } else if (j->inside >= 0) {
        put(j, &j->entities[j->inside].body, line, n);
    } else if (strstr(j->section, "_array") && (operand = directive(line, n, quad_names))) {
        /* A constructor's entry has no label of its own: it goes with the function it names. */
        e = entity_of(j, operand, symbol_length(operand));
        if (e) {
            put(j, &e->attributes, j->section, strlen(j->section));
            put(j, &e->attributes, j->align, strlen(j->align));
            put(j, &e->attributes, line, n);
        }
    }
}

static void read_line(struct join *j, const char *line, size_t n)
{
    struct entity *e = j->inside >= 0 ? &j->entities[j->inside] : NULL;
    if (!e || !e->is_function) {
        read_outer(j, line, n);
        return;
    }
    /* A function's lines are its own up to its .size, sections inside it (jump tables) too. */
    put(j, &e->body, line, n);
    const char *operand = directive(line, n, size_names);
    size_t length = strlen(e->name);
    if (operand && strncmp(operand, e->name, length) == 0 && !is_symbol_char(operand[length]))
        j->inside = -1;
}

/* ---- choosing ---- */

/* "count.0", not ".L5" nor ".5": a name, a dot, digits. */
static bool is_numbered(const char *name, size_t n)
{
    size_t digits = 0;
    while (digits < n && isdigit((unsigned char)name[n - 1 - digits]))
        digits++;
    return digits > 0 && digits + 1 < n && name[n - 1 - digits] == '.' && name[0] != '.';
}

/* Is there a label or a .comm of that name in our text? */
static bool ours_defines(const struct join *j, const char *name)
{
    size_t n = strlen(name);
    for (const char *hit = j->ours; (hit = strstr(hit, name)); hit += n) {
        bool starts = hit == j->ours || hit[-1] == '\n';
        bool common = hit - j->ours >= 6 &&
                      (strncmp(hit - 6, ".comm\t", 6) == 0 || strncmp(hit - 6, ".comm ", 6) == 0);
        if ((starts && hit[n] == ':') || (common && !is_symbol_char(hit[n])))
            return true;
    }
    return false;
}

static bool is_defined(const struct entity *e)
{
    return e->has_label || (e->attributes.data && strstr(e->attributes.data, ".comm")) ||
           (e->attributes.data && strstr(e->attributes.data, ".set"));
}

/* What ours does not define: the functions asked for, what only cc needs for them (strings,
 * numbered statics), nothing twice. */
static void choose(struct join *j, const char *const *functions, int n)
{
    for (int i = 0; i < j->n; i++) {
        struct entity *e = &j->entities[i];
        bool own = e->name[0] == '.' || is_numbered(e->name, strlen(e->name));
        e->wanted = is_defined(e) && (own || !ours_defines(j, e->name));
        for (int k = 0; k < n && !e->wanted; k++)
            e->wanted = e->has_label && strcmp(e->name, functions[k]) == 0;
    }
}

/* ---- writing ---- */

/* The text with its private names changed; strings are left alone. */
static void write_renamed(const struct buf *text, struct buf *out)
{
    const char *at = text->data, *end = at ? at + text->length : at;
    while (at < end) {
        size_t n = symbol_length(at);
        if (*at == '"') {
            const char *start = at++;
            while (at < end && *at != '"' && *at != '\n')
                at += *at == '\\' && at + 1 < end ? 2 : 1;
            at += at < end;
            buf_append(out, start, (size_t)(at - start));
        } else if (n == 0) {
            buf_append(out, at++, 1);
        } else {
            bool local = n > 2 && at[0] == '.' && at[1] == 'L';
            buf_printf(out, "%s%.*s%s", local ? ".Lcc" : "", (int)(local ? n - 2 : n),
                       local ? at + 2 : at, !local && is_numbered(at, n) ? ".cc" : "");
            at += n;
        }
    }
}

static void write_entity(const struct entity *e, struct buf *out)
{
    struct buf text;
    buf_init(&text, TEXT_MAX);
    if (e->has_label)
        buf_printf(&text, "%s\n", e->section);
    if (e->has_label && e->body.data)
        buf_append(&text, e->body.data, e->body.length);
    /* .size NAME, .-NAME stands in the body; an object's constant size may stand behind it. */
    if (e->attributes.data)
        buf_append(&text, e->attributes.data, e->attributes.length);
    write_renamed(&text, out);
    out->failed |= text.failed;
    buf_fini(&text);
}

static ashlar_status check_found(const struct join *j, const char *const *functions, int n,
                                 ashlar_error *err)
{
    for (int k = 0; k < n; k++) {
        bool found = false;
        for (int i = 0; i < j->n; i++)
            found |= j->entities[i].has_label && strcmp(j->entities[i].name, functions[k]) == 0;
        if (!found)
            return error_set(err, ASHLAR_BAD_INPUT, "the fallback: cc made no function %s",
                             functions[k]);
    }
    return ASHLAR_OK;
}

ashlar_status fallback_join(const char *ours, size_t ours_length, const char *cc, size_t cc_length,
                            const char *const *functions, int n, struct buf *out, ashlar_error *err)
{
    struct join j = {.inside = -1, .section = "\t.text", .ours = ours};
    for (const char *line = cc, *end = cc + cc_length; line < end && !j.failed;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        size_t length = newline ? (size_t)(newline - line) : (size_t)(end - line);
        read_line(&j, line, length);
        line += length + 1;
    }
    ashlar_status status = check_found(&j, functions, n, err);
    if (status == ASHLAR_OK) {
        choose(&j, functions, n);
        buf_append(out, ours, ours_length);
        for (int i = 0; i < j.n; i++) {
            if (j.entities[i].wanted)
                write_entity(&j.entities[i], out);
        }
        if (j.failed || out->failed)
            status = error_memory(err, ours_length + cc_length, "the fallback");
    }
    for (int i = 0; i < j.n; i++) {
        buf_fini(&j.entities[i].attributes);
        buf_fini(&j.entities[i].body);
    }
    free(j.entities);
    return status;
}
