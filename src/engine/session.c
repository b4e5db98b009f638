/*
 * session.c: sessions, and batches of them cut into passes of at most n_batch rows.
 */
#include "engine/engine.h"

#include <string.h>

ashlar_status ashlar_session_open(ashlar_engine *e, ashlar_session **out, ashlar_error *err)
{
    *out = NULL;
    for (int i = 0; i < e->options.n_sessions; i++) {
        struct ashlar_session *s = &e->sessions[i];
        if (s->open)
            continue;
        s->open = true;
        s->length = 0;
        s->has_logits = false;
        e->policy->rewind(e->kv, s->sequence, 0);
        *out = s;
        return ASHLAR_OK;
    }
    return error_set(err, ASHLAR_NO_RESOURCE, "all %d sessions of this engine are open",
                     e->options.n_sessions);
}

void ashlar_session_close(ashlar_session *s)
{
    if (!s)
        return;
    s->engine->policy->rewind(s->engine->kv, s->sequence, 0);
    s->open = false;
}

size_t ashlar_session_length(const ashlar_session *s)
{
    return (size_t)s->length;
}

const int32_t *ashlar_session_tokens(const ashlar_session *s)
{
    return s->tokens;
}

const float *ashlar_session_logits(const ashlar_session *s)
{
    return s->has_logits ? s->logits : NULL;
}

ashlar_status ashlar_session_rewind(ashlar_session *s, size_t length, ashlar_error *err)
{
    if (length > (size_t)s->length)
        return error_set(err, ASHLAR_USAGE, "rewind to %zu: the session has %d tokens", length,
                         s->length);
    if (length < (size_t)s->length) {
        s->engine->policy->rewind(s->engine->kv, s->sequence, (int)length);
        s->length = (int)length;
        s->has_logits = false;
    }
    return ASHLAR_OK;
}

ashlar_status ashlar_session_append(ashlar_session *s, const int32_t *tokens, size_t n_tokens,
                                    ashlar_error *err)
{
    ashlar_batch_item item = {.session = s, .tokens = tokens, .n_tokens = n_tokens};
    return ashlar_batch_eval(s->engine, &item, 1, err);
}

static ashlar_status check_item(const ashlar_engine *e, const ashlar_batch_item *item,
                                ashlar_error *err)
{
    const struct ashlar_session *s = item->session;
    if (s->engine != e || !s->open)
        return error_set(err, ASHLAR_USAGE, "a batch item's session is not open in this engine");
    if (item->n_tokens == 0)
        return error_set(err, ASHLAR_USAGE, "a batch item has no tokens");
    if (item->n_tokens > (size_t)(e->options.n_ctx - s->length)) {
        error_set(err, ASHLAR_NO_RESOURCE, "context full: %d tokens + %zu more exceed %d",
                  s->length, item->n_tokens, e->options.n_ctx);
        error_hint(err, "open the engine with a longer context");
        return ASHLAR_NO_RESOURCE;
    }
    for (size_t i = 0; i < item->n_tokens; i++)
        if (item->tokens[i] < 0 || item->tokens[i] >= e->info.n_vocab)
            return error_set(err, ASHLAR_USAGE, "token id %d at %zu: the vocabulary has %d",
                             item->tokens[i], i, e->info.n_vocab);
    return ASHLAR_OK;
}

static ashlar_status check_batch(const ashlar_engine *e, const ashlar_batch_item *items,
                                 size_t n_items, ashlar_error *err)
{
    for (size_t i = 0; i < n_items; i++) {
        ashlar_status status = check_item(e, &items[i], err);
        for (size_t j = 0; j < i && status == ASHLAR_OK; j++)
            if (items[j].session == items[i].session)
                status =
                    error_set(err, ASHLAR_USAGE, "batch items %zu and %zu share a session", j, i);
        if (status != ASHLAR_OK)
            return status;
    }
    return ASHLAR_OK;
}

/* Tokens of an item that are evaluated: what the session gained since the batch began. */
static size_t left_of(const ashlar_batch_item *item, size_t length_before)
{
    return item->n_tokens - ((size_t)item->session->length - length_before);
}

static void add_rows(struct pass *p, ashlar_session *s, const int32_t *tokens, int n,
                     bool wants_logits)
{
    int index = p->n_items++;
    p->items[index] = (struct pass_item){s, p->n_rows, n, wants_logits};
    for (int i = 0; i < n; i++, p->n_rows++) {
        p->token[p->n_rows] = tokens[i];
        p->position[p->n_rows] = s->length + i;
        p->item[p->n_rows] = index;
    }
}

/* Fill a pass from the items that still have tokens, in order; returns its number of rows. */
static int gather_pass(ashlar_engine *e, const ashlar_batch_item *items, size_t n_items,
                       const int *length_before)
{
    struct pass *p = &e->pass;
    p->n_rows = p->n_items = 0;
    for (size_t i = 0; i < n_items; i++) {
        if (items[i].status != ASHLAR_OK)
            continue;
        size_t left = left_of(&items[i], (size_t)length_before[i]);
        size_t room = (size_t)(e->options.n_batch - p->n_rows);
        size_t n = left < room ? left : room;
        if (n > 0)
            add_rows(p, items[i].session, items[i].tokens + (items[i].n_tokens - left), (int)n,
                     n == left);
    }
    return p->n_rows;
}

static void commit_pass(ashlar_engine *e)
{
    /* The forward pass has compacted the rows: the KV items still hold each item's token count. */
    for (int i = 0; i < e->pass.n_items; i++) {
        struct ashlar_session *s = e->pass.items[i].session;
        if (e->pass.kv_items[i].status != ASHLAR_OK)
            continue;
        s->length += e->pass.kv_items[i].n_tokens;
        s->has_logits = e->pass.items[i].wants_logits;
    }
}

/* Items that the KV policy refused in this pass are out of the batch; the first status met is
 * returned. */
static ashlar_status drop_refused(ashlar_engine *e, ashlar_batch_item *items, size_t n_items)
{
    ashlar_status first = ASHLAR_OK;
    for (int i = 0; i < e->pass.n_items; i++) {
        ashlar_status status = e->pass.kv_items[i].status;
        for (size_t j = 0; j < n_items && status != ASHLAR_OK; j++)
            if (items[j].session == e->pass.items[i].session)
                items[j].status = status;
        if (first == ASHLAR_OK)
            first = status;
    }
    return first;
}

/* Tokens go into the sessions before the passes; they count only once the length covers them. */
static void record_tokens(ashlar_batch_item *items, size_t n_items, int *length_before)
{
    for (size_t i = 0; i < n_items; i++) {
        struct ashlar_session *s = items[i].session;
        length_before[i] = s->length;
        s->has_logits = false;
        memcpy(s->tokens + s->length, items[i].tokens, items[i].n_tokens * sizeof *s->tokens);
        items[i].status = ASHLAR_OK;
    }
}

static void mark_unfinished(ashlar_batch_item *items, size_t n_items, const int *length_before,
                            ashlar_status status)
{
    for (size_t i = 0; i < n_items; i++)
        if (left_of(&items[i], (size_t)length_before[i]) > 0)
            items[i].status = status;
}

ashlar_status ashlar_batch_eval(ashlar_engine *e, ashlar_batch_item *items, size_t n_items,
                                ashlar_error *err)
{
    for (size_t i = 0; i < n_items; i++)
        items[i].status = ASHLAR_USAGE;
    ashlar_status status = check_batch(e, items, n_items, err);
    if (status != ASHLAR_OK) {
        for (size_t i = 0; i < n_items; i++)
            items[i].status = status;
        return status;
    }
    int *length_before = e->length_before;
    record_tokens(items, n_items, length_before);
    uint64_t total = 0, done = 0;
    for (size_t i = 0; i < n_items; i++)
        total += items[i].n_tokens;
    bool prefill = total > n_items;
    ashlar_status refused = ASHLAR_OK;

    while (gather_pass(e, items, n_items, length_before) > 0) {
        int n_rows = e->pass.n_rows;
        ashlar_error error = {0};
        if (prefill && !log_progress(&e->log, "prefill", done, total))
            status = error_set(&error, ASHLAR_CANCELLED, "cancelled");
        else
            status = forward_pass(e, &error);
        if (err && (status != ASHLAR_OK || (refused == ASHLAR_OK && error.status != ASHLAR_OK)))
            *err = error; /* of several refused items, the first is described */
        if (status != ASHLAR_OK) {
            mark_unfinished(items, n_items, length_before, status);
            return status;
        }
        commit_pass(e);
        ashlar_status dropped = drop_refused(e, items, n_items);
        refused = refused == ASHLAR_OK ? dropped : refused;
        done += (uint64_t)n_rows;
    }
    if (prefill)
        log_progress(&e->log, "prefill", total, total);
    return refused;
}
