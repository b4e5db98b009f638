/*
 * vocab_builder.h: small vocabularies as GGUF files in memory, for the tests and the fuzz target of
 * the tokenizer, on top of gguf_bytes.h.
 */
#ifndef TESTS_VOCAB_BUILDER_H
#define TESTS_VOCAB_BUILDER_H

#include "gguf_bytes.h"
#include "model/tokenizer.h"

static inline void vocab_bytes(struct bytes *y, const char *text, size_t length)
{
    bytes_u64(y, length);
    buf_append(&y->b, text, length);
}

static inline void vocab_bool(struct bytes *y, const char *key, bool value)
{
    bytes_key(y, key, GGUF_BOOL);
    buf_append(&y->b, &(char){value}, 1);
}

static inline void vocab_strings(struct bytes *y, const char *key, const char *const *values,
                                 size_t n)
{
    bytes_key_array(y, key, GGUF_STRING, n);
    for (size_t i = 0; i < n; i++)
        bytes_string(y, values[i]);
}

static inline void vocab_i32(struct bytes *y, const char *key, const int32_t *values, size_t n)
{
    bytes_key_array(y, key, GGUF_I32, n);
    buf_append(&y->b, values, n * sizeof *values);
}

static inline void vocab_f32(struct bytes *y, const char *key, const float *values, size_t n)
{
    bytes_key_array(y, key, GGUF_F32, n);
    buf_append(&y->b, values, n * sizeof *values);
}

static inline ashlar_status vocab_open(const struct bytes *y, struct tokenizer **out,
                                       ashlar_error *err)
{
    struct gguf *g;

    *out = NULL;
    if (y->b.failed)
        return error_set(err, ASHLAR_NO_RESOURCE, "too large for a test");
    ashlar_status status = gguf_open_memory(y->b.data, y->b.length, "vocabulary", &g, err);
    if (status == ASHLAR_OK) {
        status = tokenizer_open(g, out, err);
        gguf_close(g);
    }
    return status;
}

#endif
