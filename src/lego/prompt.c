/*
 * prompt.c: see prompt.h. Knows neither HTTP nor the engine: text in, text out.
 */
#include "lego/prompt.h"

#include "base/os.h"
#include "lego/share.h"

#include <stdio.h>
#include <string.h>

enum { PROMPT_MAX = 1 << 20, PATH_MOST = 4096 };

/* Cuts comments out of the text, in place. */
static void drop_comments(struct buf *b)
{
    size_t kept = 0;
    for (size_t i = 0; i < b->length;) {
        const char *newline = memchr(b->data + i, '\n', b->length - i);
        size_t n = newline ? (size_t)(newline - b->data) + 1 - i : b->length - i;
        if (n < 2 || memcmp(b->data + i, "%#", 2) != 0) {
            memmove(b->data + kept, b->data + i, n);
            kept += n;
        }
        i += n;
    }
    b->length = kept;
    if (b->data)
        b->data[kept] = '\0';
}

/* "%% name" on a line of its own, at the start of the text or behind a newline. A section goes up
 * to the next one; blank lines at its end are the file's layout, not the prompt's. */
static bool find_section(const struct buf *b, const char *name, const char **text, size_t *length)
{
    char mark[32];
    int n = snprintf(mark, sizeof mark, "%%%% %s\n", name);
    const char *start = strncmp(b->data, mark, (size_t)n) == 0 ? b->data : NULL;
    if (!start) {
        snprintf(mark, sizeof mark, "\n%%%% %s\n", name);
        start = strstr(b->data, mark);
        n++;
    }
    if (!start)
        return false;
    *text = start + n;
    const char *end = strncmp(*text, "%% ", 3) == 0 ? *text : strstr(*text, "\n%% ");
    *length = end ? (size_t)(end - *text) : strlen(*text);
    while (*length && (*text)[*length - 1] == '\n')
        --*length;
    return *length > 0;
}

ashlar_status prompt_open(const char *path, struct prompt *out, ashlar_error *err)
{
    char found[PATH_MOST];
    memset(out, 0, sizeof *out);
    buf_init(&out->text, PROMPT_MAX);
    if (!path && !share_find("prompts/general.txt", found, sizeof found)) {
        error_set(err, ASHLAR_FAILED, "the prompt file prompts/general.txt is not installed");
        error_hint(err, "name one with --prompt, or its folder's parent in ASHLAR_SHARE");
        return ASHLAR_FAILED;
    }
    ashlar_status status = os_read_file(path ? path : found, &out->text, err);
    if (status == ASHLAR_OK) {
        drop_comments(&out->text);
        const char *missing = NULL;
        if (!out->text.length ||
            !find_section(&out->text, "system", &out->system.text, &out->system.length))
            missing = "system";
        else if (!find_section(&out->text, "user", &out->user.text, &out->user.length))
            missing = "user";
        else if (!find_section(&out->text, "repair", &out->repair.text, &out->repair.length))
            missing = "repair";
        if (missing)
            status = error_set(err, ASHLAR_BAD_INPUT, "%s: no section \"%%%% %s\"",
                               path ? path : found, missing);
    }
    if (status != ASHLAR_OK)
        prompt_close(out);
    return status;
}

void prompt_close(struct prompt *p)
{
    buf_fini(&p->text);
}

/* What a name in braces stands for; NULL: nothing, the brace is text (blocks' C and prompts about
 * it are full of braces). */
static const char *value_of(const struct translation *item, const char *at, size_t *length)
{
    static const char *const names[] = {"{block}", "{previous}", "{finding}"};
    const char *values[] = {item->block->text, item->previous, item->finding};
    for (int i = 0; i < 3; i++) {
        *length = strlen(names[i]);
        if (strncmp(at, names[i], *length) == 0)
            return values[i] ? values[i] : "";
    }
    return NULL;
}

/* Inserted text is not searched for names again: a block or a finding cannot bring in another. */
bool prompt_fill(const struct prompt *p, const struct translation *item, struct buf *out)
{
    const char *text = item->previous ? p->repair.text : p->user.text;
    const char *end = text + (item->previous ? p->repair.length : p->user.length);
    while (text < end) {
        const char *brace = memchr(text, '{', (size_t)(end - text));
        size_t length = 0;
        if (!brace)
            return buf_append(out, text, (size_t)(end - text));
        const char *value = value_of(item, brace, &length);
        buf_append(out, text, (size_t)(brace - text));
        if (value)
            buf_puts(out, value);
        else
            buf_append(out, brace, length = 1);
        text = brace + length;
    }
    return !out->failed;
}

/* The text behind the last "</think>", or all of it. */
static void skip_thinking(const char **text, size_t *length)
{
    static const char mark[] = "</think>";
    const char *from = *text, *end = *text + *length, *hit;
    while ((hit = memmem(from, (size_t)(end - from), mark, sizeof mark - 1)))
        from = hit + sizeof mark - 1;
    *length = (size_t)(end - from);
    *text = from;
}

static const char *next_line(const char *at, const char *end)
{
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    return newline ? newline + 1 : end;
}

static bool is_fence(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    return end - at >= 3 && memcmp(at, "```", 3) == 0;
}

/* The last fenced block counts: models first think aloud, or quote the question, and answer at the
 * end. Without a fence the whole reply is taken; the parser of fragments judges it. */
void prompt_extract(const char *reply, size_t length, const char **fragment,
                    size_t *fragment_length)
{
    skip_thinking(&reply, &length);
    const char *end = reply + length, *open = NULL;
    const char *text = reply, *stop = end;
    for (const char *line = reply; line < end; line = next_line(line, end)) {
        if (!is_fence(line, end))
            continue;
        if (!open) {
            open = next_line(line, end);
            text = open;
            stop = end; /* an answer that was cut off has no closing fence */
        } else {
            stop = line;
            open = NULL;
        }
    }
    while (text < stop && strchr("\r\n", *text) && *text)
        text++;
    while (stop > text && strchr(" \t\r\n", stop[-1]) && stop[-1])
        stop--;
    *fragment = text;
    *fragment_length = (size_t)(stop - text);
}
