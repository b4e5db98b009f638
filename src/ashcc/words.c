/* words.c: see words.h. */
#include "ashcc/words.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for `more` items behind n, of pointers. */
static bool grow(struct words *w, void *array, int n, int *capacity, int more)
{
    if (n + more <= *capacity)
        return !w->failed;
    int wanted = *capacity ? *capacity * 2 : 16;
    while (wanted < n + more)
        wanted *= 2;
    void *old, *grown;
    /* arrays of const char * and of char * come here: copying the pointer breaks no aliasing
     * rule */
    memcpy(&old, array, sizeof old);
    grown = realloc(old, (size_t)wanted * sizeof(char *));
    if (!grown) {
        w->failed = true;
        return false;
    }
    memcpy(array, &grown, sizeof grown);
    *capacity = wanted;
    return true;
}

/* Two: the list is always ended by a NULL, as execvp() wants it. */
void words_add(struct words *w, const char *text)
{
    if (!grow(w, &w->items, w->n, &w->capacity, 2))
        return;
    w->items[w->n++] = text;
    w->items[w->n] = NULL;
}

void words_add_all(struct words *w, const struct words *more)
{
    for (int i = 0; i < more->n; i++)
        words_add(w, more->items[i]);
}

/* A copy that lives as long as the list. After a failure "" is returned and the list remembers it,
 * so that callers ask once, before they use the list. */
static const char *keep(struct words *w, const char *format, va_list args)
{
    char *text = NULL;
    if (!grow(w, &w->owned, w->n_owned, &w->owned_capacity, 1) ||
        vasprintf(&text, format, args) < 0) {
        w->failed = true;
        return "";
    }
    w->owned[w->n_owned++] = text;
    return text;
}

const char *words_keep(struct words *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *text = keep(w, format, args);
    va_end(args);
    return text;
}

const char *words_printf(struct words *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *text = keep(w, format, args);
    va_end(args);
    words_add(w, text);
    return text;
}

void words_fini(struct words *w)
{
    for (int i = 0; i < w->n_owned; i++)
        free(w->owned[i]);
    free(w->owned);
    free(w->items);
    *w = (struct words){0};
}
