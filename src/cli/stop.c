/*
 * stop.c: the stop string filter; see stop.h. What is searched is a token long and a bit, so the
 * plain search is enough.
 */
#include "cli/stop.h"

#include <string.h>

enum { HELD_MAX = 1 << 20 };

void stop_init(struct stop_filter *f, const char *const *stops, int n_stops)
{
    f->stops = stops;
    f->n_stops = n_stops;
    f->matched = false;
    buf_init(&f->held, HELD_MAX);
}

void stop_fini(struct stop_filter *f)
{
    buf_fini(&f->held);
}

void stop_reset(struct stop_filter *f)
{
    f->matched = false;
    buf_clear(&f->held);
}

/* Where the earliest stop string begins in the text, or its length when there is none. */
static size_t find_stop(const struct stop_filter *f, const char *text, size_t n)
{
    size_t first = n;

    for (int i = 0; i < f->n_stops; i++) {
        size_t length = strlen(f->stops[i]);
        const char *hit = length ? memmem(text, n, f->stops[i], length) : NULL;
        if (hit && (size_t)(hit - text) < first)
            first = (size_t)(hit - text);
    }
    return first;
}

/* Length of the longest end of the text that begins some stop string. */
static size_t possible_tail(const struct stop_filter *f, const char *text, size_t n)
{
    size_t longest = 0;

    for (int i = 0; i < f->n_stops; i++) {
        size_t length = strlen(f->stops[i]);
        size_t most = length > n ? n : length ? length - 1 : 0;
        for (size_t k = most; k > longest; k--)
            if (memcmp(text + n - k, f->stops[i], k) == 0)
                longest = k;
    }
    return longest;
}

bool stop_push(struct stop_filter *f, const char *bytes, size_t n, struct buf *out)
{
    if (f->matched)
        return true;
    if (!buf_append(&f->held, bytes, n))
        return false;
    size_t length = f->held.length;
    if (length == 0)
        return true;
    size_t pass = find_stop(f, f->held.data, length);
    if (pass < length)
        f->matched = true;
    else
        pass = length - possible_tail(f, f->held.data, length);
    if (!buf_append(out, f->held.data, pass))
        return false;
    memmove(f->held.data, f->held.data + pass, length - pass);
    f->held.length = f->matched ? 0 : length - pass;
    return true;
}

bool stop_flush(struct stop_filter *f, struct buf *out)
{
    bool ok = f->matched || f->held.length == 0 || buf_append(out, f->held.data, f->held.length);
    buf_clear(&f->held);
    return ok;
}
