/*
 * tokenizer.h: text to tokens and back, from the vocabulary inside a GGUF file: SPM
 * ("llama": merges by score, byte fallback) and byte-level BPE ("gpt2": merges by rank, with the
 * pre-tokenizers llama-bpe, qwen2, gpt-2, smollm, deepseek-coder, starcoder and "default").
 */
#ifndef MODEL_TOKENIZER_H
#define MODEL_TOKENIZER_H

#include "ashlar.h"
#include "model/gguf.h"

struct tokenizer;
struct chat_segment;

/** Copies what it needs; g may be closed afterwards. Errors: BAD_INPUT, NO_RESOURCE. */
ashlar_status tokenizer_open(const struct gguf *g, struct tokenizer **out, ashlar_error *err);
void tokenizer_close(struct tokenizer *t);

int tokenizer_size(const struct tokenizer *t);
const char *tokenizer_kind(const struct tokenizer *t); /* "SPM", "BPE llama-bpe", ... */
int32_t tokenizer_bos(const struct tokenizer *t);      /* -1 when none */
int32_t tokenizer_eos(const struct tokenizer *t);
bool tokenizer_add_bos(const struct tokenizer *t);
bool tokenizer_is_end(const struct tokenizer *t, int32_t id);

/** Id of a control or normal token spelled exactly `text`; -1 when none. */
int32_t tokenizer_find(const struct tokenizer *t, const char *text);

/** As ashlar_tokenize (flags ASHLAR_ADD_SPECIAL, ASHLAR_PARSE_SPECIAL). Time O(n log n). */
ashlar_status tokenizer_encode(const struct tokenizer *t, const char *text, size_t length,
                               unsigned flags, int32_t *ids, size_t capacity, size_t *n_ids,
                               ashlar_error *err);

/**
 * As tokenizer_encode for a rendered conversation: control tokens are parsed in marker segments and
 * in no others (ASHLAR_PARSE_SPECIAL is ignored), raw text is tokenized across segments as if it
 * stood in one piece. The segments are in order and cover the text. ASHLAR_ADD_SPECIAL adds BOS
 * where the model wants it, and never EOS: a conversation goes on.
 */
ashlar_status tokenizer_encode_segments(const struct tokenizer *t, const char *text, size_t length,
                                        const struct chat_segment *segments, size_t n_segments,
                                        unsigned flags, int32_t *ids, size_t capacity,
                                        size_t *n_ids, ashlar_error *err);

/** As ashlar_token_piece; length 0 for an id that is no token. */
const char *tokenizer_piece(const struct tokenizer *t, int32_t id, bool special, size_t *length);

#endif
