/* words.h: growing lists of strings: command lines. The strings are borrowed, or owned by the list.
 */
#ifndef ASHCC_WORDS_H
#define ASHCC_WORDS_H

#include <stdbool.h>

struct words {
    const char **items; /* (n), items[n] is NULL once anything was added */
    int n, capacity;
    char **owned;       /* (n_owned) freed with the list */
    int n_owned, owned_capacity;
    bool failed;        /* memory ran out; sticky, looked at once */
};

void words_add(struct words *w, const char *text);
void words_add_all(struct words *w, const struct words *more);
/** Adds a new string that the list owns; returns it, "" when memory ran out. */
const char *words_printf(struct words *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** As words_printf, but the string is only kept, not added. */
const char *words_keep(struct words *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void words_fini(struct words *w);

#endif
