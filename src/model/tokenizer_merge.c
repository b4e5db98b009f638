/*
 * tokenizer_merge.c: the merge loop of both tokenizers.
 *
 * A word starts as a list of symbols (characters, or bytes). Of all neighbours that merge, those of
 * the lowest rank are merged, the leftmost first, until none is left. Candidates wait in a binary
 * heap; one whose symbols have changed since is recognised when it is taken out, by the number of
 * bytes that it would join: symbols only grow, so a pair that spans as many is still the same.
 *
 * Invariants: a merge removes one symbol, one candidate, and adds two candidates at most, so 2 n
 * candidates are room enough for n symbols, and the time is O(n log n) whatever the text is.
 */
#include "model/tokenizer_internal.h"

#include "base/mem.h"

#include <stdlib.h>

bool merger_reserve(struct merger *m, size_t n)
{
    size_t wanted = n < 64 ? 64 : n;

    if (n <= m->capacity)
        return true;
    if (n > INT32_MAX / 2)
        return false;
    merger_fini(m); /* nothing in it is worth copying between words */
    m->symbols = mem_array(wanted, sizeof *m->symbols);
    m->heap = mem_array(2 * wanted, sizeof *m->heap);
    if (!m->symbols || !m->heap) {
        merger_fini(m);
        return false;
    }
    m->capacity = wanted;
    return true;
}

void merger_fini(struct merger *m)
{
    free(m->symbols);
    free(m->heap);
    *m = (struct merger){0};
}

void merger_add(struct merger *m, int32_t id, uint32_t start, uint32_t length)
{
    uint32_t i = (uint32_t)m->n_symbols++;

    m->symbols[i] = (struct symbol){id, start, length, i ? i - 1 : NO_SYMBOL, NO_SYMBOL};
    if (i > 0)
        m->symbols[i - 1].next = i;
}

/* ---- the heap: smallest key on top --------------------------------------------------------- */

static void heap_push(struct merger *m, struct candidate c)
{
    size_t i = m->n_heap++;

    while (i > 0 && m->heap[(i - 1) / 2].key > c.key) {
        m->heap[i] = m->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    m->heap[i] = c;
}

static struct candidate heap_pop(struct merger *m)
{
    struct candidate top = m->heap[0], last = m->heap[--m->n_heap];
    size_t i = 0;

    for (size_t child; (child = 2 * i + 1) < m->n_heap; i = child) {
        if (child + 1 < m->n_heap && m->heap[child + 1].key < m->heap[child].key)
            child++;
        if (last.key <= m->heap[child].key)
            break;
        m->heap[i] = m->heap[child];
    }
    m->heap[i] = last;
    return top;
}

/* ---- merging ------------------------------------------------------------------------------- */

/* Push the merge of symbol `left` with its right neighbour, when there is one. */
static void propose(struct merger *m, const struct tokenizer *t, const char *word, merge_fn merge,
                    uint32_t left)
{
    uint32_t rank;
    int32_t merged;

    if (left == NO_SYMBOL || m->symbols[left].next == NO_SYMBOL)
        return;
    const struct symbol *a = &m->symbols[left], *b = &m->symbols[a->next];
    if (merge(t, word, a, b, &rank, &merged))
        heap_push(m, (struct candidate){.key = (uint64_t)rank << 32 | left,
                                        .length = a->length + b->length,
                                        .merged = merged});
}

void merger_run(struct merger *m, const struct tokenizer *t, const char *word, merge_fn merge)
{
    m->n_heap = 0;
    for (size_t i = 0; i + 1 < m->n_symbols; i++)
        propose(m, t, word, merge, (uint32_t)i);
    while (m->n_heap > 0) {
        struct candidate c = heap_pop(m);
        struct symbol *left = &m->symbols[(uint32_t)c.key];
        if (left->length == 0 || left->next == NO_SYMBOL)
            continue; /* merged into another, or now the last */
        struct symbol *right = &m->symbols[left->next];
        if (left->length + right->length != c.length)
            continue; /* one of the two has grown */
        left->id = c.merged;
        left->length = c.length;
        left->next = right->next;
        right->length = 0;
        if (left->next != NO_SYMBOL)
            m->symbols[left->next].previous = (uint32_t)c.key;
        propose(m, t, word, merge, left->previous);
        propose(m, t, word, merge, (uint32_t)c.key);
    }
}
