/*
 * stop.h: stop strings in streamed text. A stop string may be spread over several tokens, so the
 * end of the text is held back for as long as it could still become one.
 */
#ifndef CLI_STOP_H
#define CLI_STOP_H

#include "base/buf.h"

struct stop_filter {
    const char *const *stops; /* (n_stops), borrowed; empty strings are ignored */
    int n_stops;
    struct buf held; /* text not passed on yet */
    bool matched;    /* a stop string was seen: nothing passes any more */
};

void stop_init(struct stop_filter *f, const char *const *stops, int n_stops);
void stop_fini(struct stop_filter *f);
void stop_reset(struct stop_filter *f); /* for a new text */

/**
 * Add n bytes; append to `out` what can be passed on: all text before the first stop string, less a
 * tail that may be the beginning of one. False when memory ran out (see held.failed, out->failed).
 */
bool stop_push(struct stop_filter *f, const char *bytes, size_t n, struct buf *out);

/** The text has ended: append what was held back (nothing after a match). */
bool stop_flush(struct stop_filter *f, struct buf *out);

#endif
