/* Counts words with a chained hash table. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    struct entry *next;
    int count;
    char word[16];
};

static struct entry *table[64];

static unsigned hash(const char *s)
{
    unsigned h = 5381;
    while (*s)
        h = h * 33 ^ (unsigned char)*s++;
    return h;
}

static int count_word(const char *word)
{
    struct entry **slot = &table[hash(word) % 64];
    for (struct entry *e = *slot; e; e = e->next) {
        if (strcmp(e->word, word) == 0)
            return ++e->count;
    }
    struct entry *e = malloc(sizeof *e);
    if (!e)
        exit(1);
    strncpy(e->word, word, 15);
    e->word[15] = 0;
    e->count = 1;
    e->next = *slot;
    *slot = e;
    return 1;
}

int main(void)
{
    static const char text[] = "the mason lays the stone and the stone bears the wall and the wall stands";
    char word[16];
    int n = 0, distinct = 0, most = 0;
    for (const char *p = text;; p++) {
        if (*p >= 'a' && *p <= 'z' && n < 15) {
            word[n++] = *p;
            continue;
        }
        word[n] = 0;
        if (n) {
            int count = count_word(word);
            distinct += count == 1;
            most = count > most ? count : most;
        }
        n = 0;
        if (!*p)
            break;
    }
    printf("%d different words, the commonest %d times, \"stone\" %d times\n", distinct, most,
           count_word("stone") - 1);
    return 0;
}
