/*
 * tokenizer_spm.c: SentencePiece: characters are merged to the token with the best score; what is
 * no token in the end is written as bytes.
 *
 * Real vocabularies have spaces only at the start of a token. There, no merge crosses from a letter
 * to the space behind it, so words are merged one by one: the same tokens as from the whole text,
 * found in memory that stays in the cache.
 */
#include "model/tokenizer_internal.h"

#include "model/utf8.h"

#include <stdlib.h>
#include <string.h>

static bool spm_merge(const struct tokenizer *t, const char *word, const struct symbol *left,
                      const struct symbol *right, uint32_t *rank, int32_t *merged)
{
    *merged = piece_table_find(t, word + left->start, left->length + right->length);
    if (*merged < 0)
        return false;
    *rank = t->ranks[*merged];
    return true;
}

static bool encode_word(struct encoder *e, const char *word, size_t length)
{
    if (!merger_reserve(&e->merger, length))
        return encoder_fail_memory(e, length);
    e->merger.n_symbols = 0;
    for (size_t i = 0; i < length;) {
        int n = utf8_char_length(word + i, length - i);
        size_t bytes = n > 0 ? (size_t)n : 1;
        merger_add(&e->merger, piece_table_find(e->t, word + i, bytes), (uint32_t)i,
                   (uint32_t)bytes);
        i += bytes;
    }
    merger_run(&e->merger, e->t, word, spm_merge);
    return encoder_emit_symbols(e, word);
}

/* Spaces and the other characters behind them, up to the next space. */
static size_t word_length(const char *text, size_t length)
{
    size_t i = 0;

    while (i < length && text[i] == ' ')
        i++;
    const char *space = memchr(text + i, ' ', length - i);
    return space ? (size_t)(space - text) : length;
}

/* The text with a space before it, in the encoder's memory; NULL when out of memory. */
static const char *join_space(struct encoder *e, const char *text, size_t length)
{
    if (length + 1 > e->joined_capacity) {
        free(e->joined);
        e->joined_capacity = 0;
        e->joined = malloc(length + 1);
        if (!e->joined)
            return NULL;
        e->joined_capacity = length + 1;
    }
    e->joined[0] = ' ';
    memcpy(e->joined + 1, text, length);
    return e->joined;
}

bool spm_encode(struct encoder *e, const char *text, size_t length, bool space_prefix)
{
    if (length == 0)
        return true;
    if (space_prefix) {
        text = join_space(e, text, length);
        if (!text)
            return encoder_fail_memory(e, length + 1);
        length++;
    }
    if (!e->t->words_start_at_space)
        return encode_word(e, text, length);
    while (length > 0) {
        size_t n = word_length(text, length);
        if (!encode_word(e, text, n))
            return false;
        text += n;
        length -= n;
    }
    return true;
}
