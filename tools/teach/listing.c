/*
 * listing.c: the host compiler's assembly as functions of trimmed lines, and the constants that it
 * put into read-only data.
 */
#include "teach.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct span span_trim(struct span s)
{
    while (s.n && isspace((unsigned char)*s.at))
        s.at++, s.n--;
    while (s.n && isspace((unsigned char)s.at[s.n - 1]))
        s.n--;
    return s;
}

bool span_is(struct span s, const char *text)
{
    return s.n == strlen(text) && memcmp(s.at, text, s.n) == 0;
}

bool span_starts(struct span s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.n >= n && memcmp(s.at, prefix, n) == 0;
}

/** "b12:" at the margin. */
static bool is_function(struct span line, int *index)
{
    if (line.n < 3 || line.at[0] != 'b' || !isdigit((unsigned char)line.at[1]) ||
        line.at[line.n - 1] != ':')
        return false;
    *index = atoi(line.at + 1);
    return true;
}

/** A data directive's bytes behind those that the constant has. */
static bool add_data(struct constant *c, struct span line)
{
    static const struct {
        const char *directive;
        int size;
    } data[] = {{".long", 4}, {".quad", 8}, {".value", 2}, {".byte", 1}};
    for (int i = 0; i < 4; i++) {
        if (!span_starts(line, data[i].directive))
            continue;
        uint64_t value = strtoull(line.at + strlen(data[i].directive), NULL, 0);
        if (c->n + data[i].size <= 16) {
            memcpy(c->bytes + c->n, &value, (size_t)data[i].size);
            c->n += data[i].size;
        }
        return true;
    }
    return false;
}

static void add_line(struct heap *h, struct listing *l, struct span line)
{
    struct function *f = &l->functions[l->n_functions - 1];
    heap_grow(h, &f->lines, f->n, sizeof *f->lines);
    f->lines[f->n++] = line;
}

static struct constant *open_constant(struct heap *h, struct listing *l, struct span line)
{
    heap_grow(h, &l->constants, l->n_constants, sizeof *l->constants);
    struct constant *c = &l->constants[l->n_constants++];
    *c = (struct constant){.name = {line.at, line.n - 1}};
    return c;
}

void listing_read(struct heap *h, const struct buf *assembly, struct listing *out)
{
    *out = (struct listing){0};
    struct constant *constant = NULL;
    bool inside = false;
    for (const char *at = assembly->data, *end = at + assembly->length; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline ? newline : end;
        struct span line = span_trim((struct span){at, (size_t)(stop - at)});
        at = stop + 1;
        int index;
        if (is_function(line, &index)) {
            heap_grow(h, &out->functions, out->n_functions, sizeof *out->functions);
            out->functions[out->n_functions++] = (struct function){.index = index};
            inside = true;
        } else if (span_starts(line, ".size")) {
            inside = false;
        } else if (span_starts(line, ".LC") && line.at[line.n - 1] == ':') {
            constant = open_constant(h, out, line);
        } else if (constant && !add_data(constant, line)) {
            constant = NULL;
        }
        if (inside && line.n)
            add_line(h, out, line);
    }
}

const struct constant *listing_constant(const struct listing *l, struct span name)
{
    for (int i = 0; i < l->n_constants; i++)
        if (l->constants[i].name.n == name.n &&
            memcmp(l->constants[i].name.at, name.at, name.n) == 0)
            return &l->constants[i];
    return NULL;
}
