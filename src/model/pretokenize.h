/*
 * pretokenize.h: cutting text into words before BPE merges, by the regular expressions that a
 * vocabulary was trained with. Knows nothing of tokens.
 */
#ifndef MODEL_PRETOKENIZE_H
#define MODEL_PRETOKENIZE_H

#include "base/error.h"

struct pretokenizer;
struct pretokenize_scratch; /* what one thread needs while it cuts; made once per text */

/** How a vocabulary with this pre-tokenizer behaves otherwise, where the file does not say. */
struct pretokenizer_traits {
    bool ignore_merges; /* a word that is a token is that token, whatever the merges say */
    bool add_bos;
};

/** By the name in tokenizer.ggml.pre; "" is "default". Errors: BAD_INPUT, NO_RESOURCE. */
ashlar_status pretokenizer_new(const char *name, size_t name_length, struct pretokenizer **out,
                               ashlar_error *err);
void pretokenizer_free(struct pretokenizer *p);
struct pretokenizer_traits pretokenizer_traits(const struct pretokenizer *p);

/** NULL when out of memory. */
struct pretokenize_scratch *pretokenize_scratch_new(const struct pretokenizer *p);
void pretokenize_scratch_free(struct pretokenize_scratch *scratch);

/** Receives the words in order; together they are the text. Returns false to stop. */
typedef bool (*pretokenize_fn)(void *user, const char *word, size_t length);

/**
 * Cut text[0..length), which need not be valid UTF-8: bytes outside of characters are words of
 * their own. Time is linear in the length. Returns false when fn stopped it.
 */
bool pretokenize(const struct pretokenizer *p, struct pretokenize_scratch *scratch,
                 const char *text, size_t length, pretokenize_fn fn, void *user);

#endif
