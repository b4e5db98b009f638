/*
 * chat.c: writing a conversation in a family's format.
 *
 * One walk over the messages; what differs between families is data (chat_family.c). Every piece
 * is appended either as marker or as content, and neighbours of the same sort become one segment.
 */
#include "model/chat_family.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

#define MAX_TEXT ((size_t)1 << 31) /* longer than any context */

struct renderer {
    const struct chat_style *style;
    const ashlar_message *messages;
    size_t n_messages;
    struct chat_text *out;
    ashlar_error *err;
    bool failed; /* a segment could not be added */
};

void chat_text_init(struct chat_text *text)
{
    memset(text, 0, sizeof *text);
    buf_init(&text->text, MAX_TEXT);
}

void chat_text_fini(struct chat_text *text)
{
    buf_fini(&text->text);
    free(text->segments);
    text->segments = NULL;
    text->n_segments = text->capacity = 0;
}

/* ---- appending ----------------------------------------------------------------------------- */

/* Bytes that follow what is there: part of the last segment when of its sort, else a new one. */
static bool add_segment(struct chat_text *text, size_t offset, size_t length, bool marker)
{
    if (text->n_segments > 0 && text->segments[text->n_segments - 1].marker == marker) {
        text->segments[text->n_segments - 1].length += length;
        return true;
    }
    if (text->n_segments == text->capacity) {
        size_t capacity = text->capacity ? 2 * text->capacity : 16;
        void *grown = realloc(text->segments, capacity * sizeof *text->segments);
        if (!grown)
            return false;
        text->segments = grown;
        text->capacity = capacity;
    }
    text->segments[text->n_segments++] = (struct chat_segment){offset, length, marker};
    return true;
}

static void add(struct renderer *r, const char *bytes, size_t length, bool marker)
{
    size_t offset = r->out->text.length;

    if (length == 0 || r->failed)
        return;
    if (!buf_append(&r->out->text, bytes, length) ||
        !add_segment(r->out, offset, length, marker))
        r->failed = true;
}

/* What a style leaves out is NULL and adds nothing. */
static void add_marker(struct renderer *r, const char *text)
{
    if (text)
        add(r, text, strlen(text), true);
}

/* ASCII only, as the templates' trim in practice; and not by the user's locale. */
static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void add_content(struct renderer *r, const char *text, bool trim)
{
    size_t length = strlen(text);

    while (trim && length > 0 && is_space(text[length - 1]))
        length--;
    while (trim && length > 0 && is_space(*text)) {
        text++;
        length--;
    }
    add(r, text, length, false);
}

static void add_around(struct renderer *r, struct chat_around around, const char *text, bool trim)
{
    add_marker(r, around.before);
    add_content(r, text, trim);
    add_marker(r, around.after);
}

/* ---- messages ------------------------------------------------------------------------------ */

enum role { ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT, ROLE_UNKNOWN };

static enum role role_of(const ashlar_message *message)
{
    static const char *const names[] = {"system", "user", "assistant"};

    for (int i = 0; message->role && i < ROLE_UNKNOWN; i++)
        if (strcmp(message->role, names[i]) == 0)
            return (enum role)i;
    return ROLE_UNKNOWN;
}

/* Messages are counted from 1 in what the user reads. */
static ashlar_status check_roles(const struct renderer *r)
{
    for (size_t i = 0; i < r->n_messages; i++) {
        const ashlar_message *m = &r->messages[i];
        if (role_of(m) == ROLE_UNKNOWN) {
            error_set(r->err, ASHLAR_BAD_INPUT, "message %zu: unknown role '%.40s'", i + 1,
                      m->role ? m->role : "");
            error_hint(r->err, "roles are system, user and assistant");
            return ASHLAR_BAD_INPUT;
        }
        if (!m->content)
            return error_set(r->err, ASHLAR_BAD_INPUT, "message %zu: no content", i + 1);
    }
    return ASHLAR_OK;
}

/* Where the system's text stands inside a user turn, roles can only come in one order. */
static ashlar_status check_order(const struct renderer *r)
{
    size_t first = r->n_messages > 0 && role_of(&r->messages[0]) == ROLE_SYSTEM ? 1 : 0;

    if (!r->style->system_in_user)
        return ASHLAR_OK;
    for (size_t i = first; i < r->n_messages; i++) {
        enum role wanted = (i - first) % 2 == 0 ? ROLE_USER : ROLE_ASSISTANT;
        if (role_of(&r->messages[i]) != wanted)
            return error_set(r->err, ASHLAR_BAD_INPUT, "message %zu: role '%s' where a %s template "
                             "wants '%s'", i + 1, r->messages[i].role, r->style->name,
                             wanted == ROLE_USER ? "user" : "assistant");
    }
    if (first == 1 && r->n_messages == 1)
        return error_set(r->err, ASHLAR_BAD_INPUT, "a %s template has no room for a system message "
                         "without a user message", r->style->name);
    return ASHLAR_OK;
}

/* What an earlier answer says behind its thoughts, in a family that thinks. */
static const char *spoken(const struct renderer *r, const char *answer)
{
    static const char end[] = "</think>";
    const char *said = NULL;

    if (!r->style->think)
        return answer;
    for (const char *at = answer; (at = strstr(at, end)) != NULL;)
        said = at += strlen(end);
    if (!said)
        return answer;
    return said + strspn(said, "\n");
}

/* A folded system message is written when its user turn comes. */
static void render_message(struct renderer *r, size_t i, size_t last_user)
{
    const struct chat_style *style = r->style;
    const char *content = r->messages[i].content;
    bool trim_all = style->trim == TRIM_ALL;

    switch (role_of(&r->messages[i])) {
    case ROLE_SYSTEM:
        if (!style->system_in_user)
            add_around(r, style->system, content, trim_all);
        break;
    case ROLE_USER:
        if (i > 1)
            add_marker(r, style->again);
        add_marker(r, style->user.before);
        if (style->system_in_user && i == 1)
            add_around(r, style->system, r->messages[0].content, trim_all);
        add_content(r, content, trim_all);
        add_marker(r, style->user.after);
        break;
    default:
        add_around(r, style->answer, i < last_user ? spoken(r, content) : content,
                   style->trim != TRIM_NOTHING);
        break;
    }
}

static void render_prompt(struct renderer *r, unsigned flags)
{
    bool silent = (flags & ASHLAR_CHAT_NO_THINKING) != 0;

    if (!(flags & ASHLAR_CHAT_PROMPT))
        return;
    add_marker(r, r->style->prompt);
    add_marker(r, silent ? r->style->do_not_think : r->style->think);
}

ashlar_status chat_render(enum chat_family family, const ashlar_message *messages,
                          size_t n_messages, unsigned flags, struct chat_text *out,
                          ashlar_error *err)
{
    struct renderer r = {chat_style(family), messages, n_messages, out, err, false};
    size_t last_user = 0;

    if (!r.style)
        return error_set(err, ASHLAR_BAD_INPUT, "the chat template is of an unknown family");
    ashlar_status status = check_roles(&r);
    if (status == ASHLAR_OK)
        status = check_order(&r);
    if (status != ASHLAR_OK)
        return status;
    for (size_t i = 0; i < n_messages; i++)
        if (role_of(&messages[i]) == ROLE_USER)
            last_user = i;
    for (size_t i = 0; i < n_messages; i++)
        render_message(&r, i, last_user);
    render_prompt(&r, flags);
    if (r.failed)
        return error_memory(err, out->text.length, "conversation");
    return ASHLAR_OK;
}
