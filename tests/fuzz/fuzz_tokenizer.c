/*
 * fuzz_tokenizer.c: any vocabulary, any text: no crash, and what must hold holds: ids are tokens,
 * counting gives the same number as writing, control tokens come only where they are asked for, and
 * with a token for every byte the pieces are the text again.
 *
 * Input: "GGUF..." is a file, tokenizing a fixed text. Anything else is read as
 *   byte   flags: 1 SPM, 2 a token for every byte, 4 named phi-3, 8 no space prefix, 16 unknown id
 *   byte   pre-tokenizer
 *   byte   n tokens, each: byte (upper 3 bits type, lower 5 length), bytes, byte score
 *   byte   n merges, each: byte, byte: indices of tokens
 *   byte   where the second segment starts
 *   rest   the text
 */
#include "../model/vocab_builder.h"
#include "model/chat.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                  \
    do {                                                                  \
        if (!(condition)) {                                               \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                      \
        }                                                                 \
    } while (0)

enum { SPM = 1, ALL_BYTES = 2, PHI3 = 4, NO_PREFIX = 8, UNKNOWN = 16, MOST_TOKENS = 64 };

struct input {
    const uint8_t *at;
    size_t left;
};

static unsigned take(struct input *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->at++;
}

struct fuzz_token {
    char text[64];
    size_t length;
    int32_t type;
    float score;
};

struct fuzz_vocab {
    unsigned flags;
    struct fuzz_token tokens[MOST_TOKENS + 256];
    int n_tokens;
};

/* A byte in the alphabet of byte-level BPE: the inverse of what the tokenizer does. */
static size_t spell_byte(unsigned byte, char *out)
{
    unsigned point = byte;

    if (byte <= 0x20)
        point = 0x100 + byte;
    else if (byte >= 0x7F && byte <= 0xA0)
        point = 0x121 + byte - 0x7F;
    else if (byte == 0xAD)
        point = 0x143;
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    out[0] = (char)(0xC0 | point >> 6);
    out[1] = (char)(0x80 | (point & 0x3F));
    return 2;
}

static void take_token(struct input *in, struct fuzz_vocab *v)
{
    struct fuzz_token *t = &v->tokens[v->n_tokens++];
    unsigned head = take(in);

    t->type = (int32_t)(head >> 5 == 7 ? 1 : head >> 5);
    t->length = 0;
    for (unsigned n = head & 31; n > 0; n--) {
        unsigned byte = take(in);
        if ((v->flags & SPM) || t->type != 1)
            t->text[t->length++] = (char)byte;
        else
            t->length += spell_byte(byte, t->text + t->length);
    }
    t->score = (float)(int)take(in);
}

static void add_byte_tokens(struct fuzz_vocab *v)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        struct fuzz_token *t = &v->tokens[v->n_tokens++];
        if (v->flags & SPM)
            t->length = (size_t)snprintf(t->text, sizeof t->text, "<0x%02X>", byte);
        else
            t->length = spell_byte(byte, t->text);
        t->type = v->flags & SPM ? 6 : 1;
        t->score = 0;
    }
}

static void write_merges(struct bytes *y, struct input *in, const struct fuzz_vocab *v)
{
    unsigned n = take(in);

    bytes_key_array(y, "tokenizer.ggml.merges", GGUF_STRING, n);
    for (unsigned i = 0; i < n; i++) {
        const struct fuzz_token *a = &v->tokens[take(in) % (unsigned)v->n_tokens];
        const struct fuzz_token *b = &v->tokens[take(in) % (unsigned)v->n_tokens];
        char text[130];
        memcpy(text, a->text, a->length);
        text[a->length] = ' ';
        memcpy(text + a->length + 1, b->text, b->length);
        vocab_bytes(y, text, a->length + 1 + b->length);
    }
}

static void write_vocab(struct bytes *y, const struct fuzz_vocab *v)
{
    bytes_key_array(y, "tokenizer.ggml.tokens", GGUF_STRING, (uint64_t)v->n_tokens);
    for (int i = 0; i < v->n_tokens; i++)
        vocab_bytes(y, v->tokens[i].text, v->tokens[i].length);
    bytes_key_array(y, "tokenizer.ggml.token_type", GGUF_I32, (uint64_t)v->n_tokens);
    for (int i = 0; i < v->n_tokens; i++)
        bytes_u32(y, (uint32_t)v->tokens[i].type);
    bytes_key_array(y, "tokenizer.ggml.scores", GGUF_F32, (uint64_t)v->n_tokens);
    for (int i = 0; i < v->n_tokens; i++)
        bytes_f32(y, v->tokens[i].score);
}

static void write_file(struct bytes *y, struct input *in, struct fuzz_vocab *v)
{
    static const char *const pres[] = {"default", "llama-bpe", "qwen2", "gpt-2", "smollm",
                                       "deepseek-coder", "tekken", ""};

    v->n_tokens = 0;
    v->flags = take(in);
    bytes_init(y, 3);
    bytes_key_string(y, "tokenizer.ggml.model", v->flags & SPM ? "llama" : "gpt2");
    bytes_key_string(y, "tokenizer.ggml.pre", pres[take(in) % 8]);
    if (v->flags & PHI3)
        bytes_key_string(y, "general.name", "Phi-3");
    if (v->flags & NO_PREFIX)
        vocab_bool(y, "tokenizer.ggml.add_space_prefix", false);
    bytes_key_u32(y, "tokenizer.ggml.unknown_token_id", v->flags & UNKNOWN ? 0 : UINT32_MAX);
    for (unsigned n = take(in) % (MOST_TOKENS + 1); n > 0; n--)
        take_token(in, v);
    if ((v->flags & ALL_BYTES) || v->n_tokens == 0)
        add_byte_tokens(v);
    write_vocab(y, v);
    write_merges(y, in, v);
}

/* ---- what must hold ------------------------------------------------------------------------ */

static bool is_hidden(const struct tokenizer *t, int32_t id)
{
    size_t hidden, shown;

    tokenizer_piece(t, id, false, &hidden);
    tokenizer_piece(t, id, true, &shown);
    return hidden == 0 && shown > 0;
}

static void check_ids(const struct tokenizer *t, const int32_t *ids, size_t n, bool control)
{
    for (size_t i = 0; i < n; i++) {
        CHECK(ids[i] >= 0 && ids[i] < tokenizer_size(t));
        CHECK(control || ids[i] == 0 || !is_hidden(t, ids[i])); /* 0 may be the unknown token */
    }
}

static void check_round_trip(const struct tokenizer *t, const int32_t *ids, size_t n,
                             const char *text, size_t length)
{
    size_t done = 0;

    for (size_t i = 0; i < n; i++) {
        size_t bytes;
        const char *piece = tokenizer_piece(t, ids[i], true, &bytes);
        CHECK(bytes <= length - done && memcmp(piece, text + done, bytes) == 0);
        done += bytes;
    }
    CHECK(done == length);
}

static void check_text(const struct tokenizer *t, unsigned vocab_flags, const char *text,
                       size_t length, size_t cut)
{
    const struct chat_segment segments[] = {{0, cut, true}, {cut, length - cut, false}};
    size_t capacity = 3 * length + 16, n = 0, counted = 0;
    int32_t *ids = malloc(capacity * sizeof *ids);
    ashlar_error err;

    CHECK(ids);
    for (unsigned flags = 0; flags < 4; flags++) {
        ashlar_status status = tokenizer_encode(t, text, length, flags, ids, capacity, &n, &err);
        CHECK(status == ASHLAR_OK || status == ASHLAR_BAD_INPUT);
        if (status != ASHLAR_OK)
            continue;
        CHECK(n <= capacity);
        check_ids(t, ids, n, flags != 0);
        CHECK(tokenizer_encode(t, text, length, flags, NULL, 0, &counted, NULL) == ASHLAR_OK);
        CHECK(counted == n);
        /* The space prefix and phi-3's stripping change the text on purpose. */
        if (!(flags & ASHLAR_ADD_SPECIAL) && (vocab_flags & ALL_BYTES) && !(vocab_flags & PHI3) &&
            (!(vocab_flags & SPM) || (vocab_flags & NO_PREFIX)))
            check_round_trip(t, ids, n, text, length);
    }
    if (tokenizer_encode_segments(t, text, length, segments, 2, 1, ids, capacity, &n, &err) ==
        ASHLAR_OK)
        check_ids(t, ids, n, true);
    free(ids);
}

static void fuzz_file(const uint8_t *data, size_t size)
{
    static const char text[] = " Hello,\n\n  w\xC3\xB6rld 1234 \xFF\xC3 <|im_end|></s>";
    struct gguf *g;
    struct tokenizer *t;
    ashlar_error err;

    if (gguf_open_memory(data, size, "fuzz", &g, &err) != ASHLAR_OK)
        return;
    if (tokenizer_open(g, &t, &err) == ASHLAR_OK)
        check_text(t, PHI3, text, sizeof text - 1, 5);
    else
        t = NULL;
    tokenizer_close(t);
    gguf_close(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct fuzz_vocab vocab;
    struct bytes file;
    struct tokenizer *t;
    ashlar_error err;

    if (size > 4 && memcmp(data, "GGUF", 4) == 0) {
        fuzz_file(data, size);
        return 0;
    }
    write_file(&file, &in, &vocab);
    size_t cut = take(&in);
    ashlar_status status = vocab_open(&file, &t, &err);
    CHECK(status == ASHLAR_OK || status == ASHLAR_BAD_INPUT);
    if (status == ASHLAR_OK) {
        check_text(t, vocab.flags, (const char *)in.at, in.left, cut < in.left ? cut : in.left);
        tokenizer_find(t, "<|im_end|>");
    }
    tokenizer_close(t);
    bytes_fini(&file);
    return 0;
}
