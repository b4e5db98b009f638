/*
 * gguf_bytes.h: GGUF files as bytes in memory, right or wrong on purpose. Unlike gguf_writer.h it
 * checks nothing, so that tests can write what a hostile file holds. Counts in the header are kept
 * up to date as keys and tensors are added; a test may overwrite them.
 */
#ifndef TESTS_GGUF_BYTES_H
#define TESTS_GGUF_BYTES_H

#include "base/buf.h"
#include "model/gguf.h"

#include <stdio.h>
#include <string.h>

struct bytes {
    struct buf b;
    uint64_t data; /* where the next tensor begins, from the start of the data */
};

static inline void bytes_u32(struct bytes *y, uint32_t v)
{
    buf_append(&y->b, &v, sizeof v);
}

static inline void bytes_u64(struct bytes *y, uint64_t v)
{
    buf_append(&y->b, &v, sizeof v);
}

static inline void bytes_f32(struct bytes *y, float v)
{
    buf_append(&y->b, &v, sizeof v);
}

static inline void bytes_string(struct bytes *y, const char *s)
{
    bytes_u64(y, strlen(s));
    buf_append(&y->b, s, strlen(s));
}

static inline void bytes_init(struct bytes *y, uint32_t version)
{
    buf_init(&y->b, 1 << 20);
    y->data = 0;
    buf_append(&y->b, "GGUF", 4);
    bytes_u32(y, version);
    bytes_u64(y, 0);
    bytes_u64(y, 0);
}

static inline void bytes_fini(struct bytes *y)
{
    buf_fini(&y->b);
}

static inline void bytes_count(struct bytes *y, size_t at)
{
    uint64_t n;
    memcpy(&n, y->b.data + at, sizeof n);
    n++;
    memcpy(y->b.data + at, &n, sizeof n);
}

/* Name and type; the caller appends the value. */
static inline void bytes_key(struct bytes *y, const char *key, uint32_t type)
{
    bytes_count(y, 16);
    bytes_string(y, key);
    bytes_u32(y, type);
}

static inline void bytes_key_u32(struct bytes *y, const char *key, uint32_t v)
{
    bytes_key(y, key, GGUF_U32);
    bytes_u32(y, v);
}

static inline void bytes_key_f32(struct bytes *y, const char *key, float v)
{
    bytes_key(y, key, GGUF_F32);
    bytes_f32(y, v);
}

static inline void bytes_key_string(struct bytes *y, const char *key, const char *v)
{
    bytes_key(y, key, GGUF_STRING);
    bytes_string(y, v);
}

static inline void bytes_key_array(struct bytes *y, const char *key, uint32_t type, uint64_t n)
{
    bytes_key(y, key, GGUF_ARRAY);
    bytes_u32(y, type);
    bytes_u64(y, n);
}

static inline void bytes_tensor_at(struct bytes *y, const char *name, uint32_t type, uint64_t cols,
                                   uint64_t rows, uint64_t offset)
{
    bytes_count(y, 8);
    bytes_string(y, name);
    bytes_u32(y, rows == 1 ? 1 : 2);
    bytes_u64(y, cols);
    if (rows != 1)
        bytes_u64(y, rows);
    bytes_u32(y, type);
    bytes_u64(y, offset);
}

/* A tensor behind the one before it. */
static inline void bytes_tensor(struct bytes *y, const char *name, uint32_t type, uint64_t cols,
                                uint64_t rows)
{
    bytes_tensor_at(y, name, type, cols, rows, y->data);
    y->data += (tensor_row_bytes((enum tensor_type)type, (int64_t)cols) * rows + 31) / 32 * 32;
}

static inline void bytes_pad(struct bytes *y, size_t alignment)
{
    while (y->b.length % alignment != 0)
        buf_append(&y->b, "", 1);
}

/* Zeros for all tensors so far. */
static inline void bytes_data(struct bytes *y)
{
    bytes_pad(y, 32);
    for (uint64_t i = 0; i < y->data; i++)
        buf_append(&y->b, "", 1);
}

/* ---- a whole model ------------------------------------------------------------------------- */

/* What to get wrong; all zero: a llama of one layer, 32 wide, 2 heads and 1 KV head of 16. */
struct model_spec {
    const char *arch;       /* NULL: llama */
    const char *drop_key;   /* a suffix, without "<arch>." */
    const char *key;        /* an extra u32 key, or another value for one that is there */
    uint32_t value;
    const char *float_key;
    float float_value;
    const char *string_key, *string_value;
    const char *drop_tensor;
    const char *extra_tensor; /* of 32 F32 values */
    uint32_t extra_cols;      /* or so many */
    const char *tensor;       /* one that gets another type or shape */
    uint32_t type, cols, rows;
    bool tied, biases;
    bool matrices_q8;
};

static inline bool same(const char *a, const char *b)
{
    return a && b && !strcmp(a, b);
}

static inline void spec_key(struct bytes *y, const struct model_spec *s, const char *suffix,
                            uint32_t value)
{
    char key[96];
    if (same(s->drop_key, suffix) || same(s->key, suffix) || same(s->float_key, suffix))
        return;
    snprintf(key, sizeof key, "%s.%s", s->arch ? s->arch : "llama", suffix);
    bytes_key_u32(y, key, value);
}

static inline void spec_extra_keys(struct bytes *y, const struct model_spec *s)
{
    char key[96];
    const char *arch = s->arch ? s->arch : "llama";
    if (s->key) {
        snprintf(key, sizeof key, "%s.%s", arch, s->key);
        bytes_key_u32(y, key, s->value);
    }
    if (s->float_key) {
        snprintf(key, sizeof key, "%s.%s", arch, s->float_key);
        bytes_key_f32(y, key, s->float_value);
    }
    if (s->string_key) {
        snprintf(key, sizeof key, "%s.%s", arch, s->string_key);
        bytes_key_string(y, key, s->string_value);
    }
    if (!same(s->drop_key, "attention.layer_norm_rms_epsilon") &&
        !same(s->float_key, "attention.layer_norm_rms_epsilon")) {
        snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
        bytes_key_f32(y, key, 1e-5f);
    }
}

static inline void spec_tensor(struct bytes *y, const struct model_spec *s, const char *name,
                               uint32_t cols, uint32_t rows)
{
    uint32_t type = rows > 1 && s->matrices_q8 ? TENSOR_Q8_0 : TENSOR_F32;
    if (same(s->drop_tensor, name))
        return;
    if (same(s->tensor, name))
        bytes_tensor(y, name, s->type, s->cols ? s->cols : cols, s->rows ? s->rows : rows);
    else
        bytes_tensor(y, name, type, cols, rows);
}

static inline void spec_layer(struct bytes *y, const struct model_spec *s)
{
    spec_tensor(y, s, "blk.0.attn_norm.weight", 32, 1);
    spec_tensor(y, s, "blk.0.attn_q.weight", 32, 32);
    spec_tensor(y, s, "blk.0.attn_k.weight", 32, 16);
    spec_tensor(y, s, "blk.0.attn_v.weight", 32, 16);
    if (s->biases) {
        spec_tensor(y, s, "blk.0.attn_q.bias", 32, 1);
        spec_tensor(y, s, "blk.0.attn_k.bias", 16, 1);
        spec_tensor(y, s, "blk.0.attn_v.bias", 16, 1);
    }
    if (same(s->arch, "qwen3")) {
        spec_tensor(y, s, "blk.0.attn_q_norm.weight", 16, 1);
        spec_tensor(y, s, "blk.0.attn_k_norm.weight", 16, 1);
    }
    spec_tensor(y, s, "blk.0.attn_output.weight", 32, 32);
    spec_tensor(y, s, "blk.0.ffn_norm.weight", 32, 1);
    spec_tensor(y, s, "blk.0.ffn_gate.weight", 32, 64);
    spec_tensor(y, s, "blk.0.ffn_up.weight", 32, 64);
    spec_tensor(y, s, "blk.0.ffn_down.weight", 64, 32);
}

static inline void bytes_model(struct bytes *y, const struct model_spec *s)
{
    bytes_init(y, 3);
    bytes_key_string(y, "general.architecture", s->arch ? s->arch : "llama");
    bytes_key_string(y, "general.name", "small");
    spec_key(y, s, "block_count", 1);
    spec_key(y, s, "context_length", 64);
    spec_key(y, s, "embedding_length", 32);
    spec_key(y, s, "feed_forward_length", 64);
    spec_key(y, s, "attention.head_count", 2);
    spec_key(y, s, "attention.head_count_kv", 1);
    spec_key(y, s, "rope.dimension_count", 16);
    spec_extra_keys(y, s);
    spec_tensor(y, s, "token_embd.weight", 32, 10);
    spec_tensor(y, s, "output_norm.weight", 32, 1);
    if (!s->tied)
        spec_tensor(y, s, "output.weight", 32, 10);
    spec_layer(y, s);
    if (s->extra_tensor)
        bytes_tensor(y, s->extra_tensor, TENSOR_F32, s->extra_cols ? s->extra_cols : 32, 1);
    bytes_data(y);
}

#endif
