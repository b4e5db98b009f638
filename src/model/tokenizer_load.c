/*
 * tokenizer_load.c: from a GGUF file's tokenizer.ggml.* keys to a tokenizer in memory.
 *
 * Everything in the file is untrusted. Arrays must have one entry a token, ids must be tokens,
 * scores must not be NaN; else the key and the index are named. Two oddities that real files have
 * are passed over: an id of -1 (also as an unsigned number) means none, and a merge of pieces that
 * are no tokens can never happen.
 */
#include "model/tokenizer_internal.h"

#include "base/mem.h"
#include "model/utf8.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define KEY(name) "tokenizer.ggml." name

static bool equals(struct gguf_string s, const char *text)
{
    return s.length == strlen(text) && memcmp(s.data, text, s.length) == 0;
}

/* ---- what kind of token -------------------------------------------------------------------- */

/* Models end a turn with one of these, whatever the file's metadata says. */
static const char *const end_names[] = {
    "</s>", "<eos>", "<EOT>", "<|EOT|>", "[EOT]", "[EOS]", "_<EOT>", "<|eot_id|>", "<|eom_id|>",
    "<|eot|>", "<|im_end|>", "<|end|>", "<|endoftext|>", "<|end_of_text|>", "<end_of_turn>",
    "<end_of_utterance>", "<|return|>", "<|call|>", "<|fim_pad|>", "<|repo_name|>",
    "<|file_sep|>", "<｜end▁of▁sentence｜>",
};

static bool is_end_name(struct gguf_string text)
{
    if (text.length < 4 || !memchr("<[_", text.data[0], 3))
        return false;
    for (size_t i = 0; i < sizeof end_names / sizeof end_names[0]; i++)
        if (equals(text, end_names[i]))
            return true;
    return false;
}

/* <|name|>, with ASCII or full-width bars: a turn's marker, never what a user may write. */
static bool is_marker_name(struct gguf_string text)
{
    static const char bar[] = "｜";

    if (text.length < 5 || text.data[0] != '<' || text.data[text.length - 1] != '>')
        return false;
    if (text.data[1] == '|' && text.data[text.length - 2] == '|')
        return true;
    return text.length > 8 && memcmp(text.data + 1, bar, 3) == 0 &&
           memcmp(text.data + text.length - 4, bar, 3) == 0;
}

/* Few and fixed: a file that has more ends than there is room for is not a real one. */
static void add_end(struct tokenizer *t, int32_t id)
{
    for (int i = 0; i < t->n_ends; i++)
        if (t->ends[i] == id)
            return;
    if (id >= 0 && t->n_ends < MAX_ENDS)
        t->ends[t->n_ends++] = id;
}

/*
 * The types as the file gives them, except that what ends or marks a turn is always a control
 * token: some files declare it as text, and then a user could type it.
 */
static ashlar_status load_types(struct tokenizer *t, const struct gguf *g,
                                const struct gguf_array *tokens, ashlar_error *err)
{
    struct gguf_array types;
    ashlar_status status = gguf_get_array(g, KEY("token_type"), GGUF_I32, &types, err);

    if (status != ASHLAR_OK)
        return status;
    if (types.data && types.n != tokens->n)
        return error_set(err, ASHLAR_BAD_INPUT, "%s: " KEY("token_type") ": %llu entries for %d "
                         "tokens", gguf_path(g), (unsigned long long)types.n, t->n_tokens);
    for (int32_t id = 0; id < t->n_tokens; id++) {
        struct gguf_string text = gguf_array_string(tokens, (uint64_t)id);
        int64_t type = types.data ? gguf_array_int(&types, (uint64_t)id) : TOKEN_NORMAL;
        if (type < 0 || type >= TOKEN_TYPE_COUNT)
            return error_set(err, ASHLAR_BAD_INPUT, "%s: " KEY("token_type") "[%d]: no such type: "
                             "%lld", gguf_path(g), (int)id, (long long)type);
        if (is_end_name(text)) {
            type = TOKEN_CONTROL;
            add_end(t, id);
        } else if (type == TOKEN_USER_DEFINED && is_marker_name(text)) {
            type = TOKEN_CONTROL;
        }
        t->types[id] = (unsigned char)type;
    }
    return ASHLAR_OK;
}

/* ---- pieces -------------------------------------------------------------------------------- */

/*
 * Byte-level BPE spells each byte as a printable character: those that are printable in Latin-1 as
 * themselves, the other 68, in order, as U+0100 and up.
 */
static int byte_of_point(uint32_t point)
{
    if ((point >= 0x21 && point <= 0x7E) || (point >= 0xA1 && point <= 0xAC) ||
        (point >= 0xAE && point <= 0xFF))
        return (int)point;
    if (point < 0x100 || point >= 0x100 + 68)
        return -1;
    point -= 0x100;
    if (point < 0x21)
        return (int)point;               /* 00..20 */
    point -= 0x21;
    return point < 0x22 ? 0x7F + (int)point : 0xAD; /* 7F..A0, AD */
}

/* The bytes that the text spells, into out (room for length); -1: not of that alphabet. */
static long decode_bpe(const char *text, size_t length, char *out)
{
    long n = 0;

    for (size_t i = 0; i < length;) {
        int bytes = utf8_char_length(text + i, length - i);
        int byte = bytes == 0 ? -1 : byte_of_point(utf8_code_point(text + i, bytes));
        if (byte < 0)
            return -1;
        out[n++] = (char)byte;
        i += (size_t)bytes;
    }
    return n;
}

/* SentencePiece writes a space as U+2581. Returns the length written to out (room for length). */
static size_t decode_spm(const char *text, size_t length, char *out)
{
    size_t n = 0;

    for (size_t i = 0; i < length;) {
        bool space = length - i >= 3 && memcmp(text + i, "▁", 3) == 0;
        out[n++] = space ? ' ' : text[i];
        i += space ? 3 : 1;
    }
    return n;
}

/* The byte that "<0x41>" names, or -1. */
static int decode_byte(struct gguf_string text)
{
    if (text.length != 6 || memcmp(text.data, "<0x", 3) != 0 || text.data[5] != '>' ||
        !isxdigit((unsigned char)text.data[3]) || !isxdigit((unsigned char)text.data[4]))
        return -1;
    char digits[3] = {text.data[3], text.data[4], 0};
    return (int)strtol(digits, NULL, 16);
}

/* Write a token's piece; returns its length, or -1 when a byte token names no byte. */
static long decode_piece(struct tokenizer *t, int32_t id, struct gguf_string text, char *out)
{
    int byte;
    long n;

    switch (t->types[id]) {
    case TOKEN_BYTE:
        byte = decode_byte(text);
        if (byte < 0)
            return -1;
        *out = (char)byte;
        t->byte_ids[byte] = id;
        return 1;
    case TOKEN_NORMAL:
    case TOKEN_UNUSED:
    case TOKEN_UNDEFINED:
        if (t->spm)
            return (long)decode_spm(text.data, text.length, out);
        n = decode_bpe(text.data, text.length, out);
        if (n >= 0)
            return n;
        t->types[id] = TOKEN_UNREACHABLE;
        break;
    case TOKEN_USER_DEFINED:
        if (t->spm)
            return (long)decode_spm(text.data, text.length, out);
        break;
    default:
        break;
    }
    memcpy(out, text.data, text.length);
    return (long)text.length;
}

/* True when no token has a space behind another character: then words can be merged apart. */
static bool spaces_only_lead(const struct tokenizer *t)
{
    for (int32_t id = 0; id < t->n_tokens; id++) {
        const char *piece = t->bytes + t->offsets[id];
        size_t length = piece_length(t, id), i = 0;
        if (t->types[id] == TOKEN_CONTROL || t->types[id] == TOKEN_UNKNOWN)
            continue;
        while (i < length && piece[i] == ' ')
            i++;
        if (i < length && memchr(piece + i, ' ', length - i))
            return false;
    }
    return true;
}

/* Decoding never makes a text longer, so the sum of the lengths is room enough for all pieces. */
static ashlar_status load_pieces(struct tokenizer *t, const struct gguf *g,
                                 const struct gguf_array *tokens, ashlar_error *err)
{
    uint64_t total = 0;
    uint32_t used = 0;

    for (uint64_t i = 0; i < tokens->n; i++)
        total += gguf_array_string(tokens, i).length;
    if (total > UINT32_MAX)
        return error_set(err, ASHLAR_BAD_INPUT, "%s: " KEY("tokens") ": more than 4 GiB of text",
                         gguf_path(g));
    t->bytes = malloc((size_t)total + 1);
    if (!t->bytes)
        return error_memory(err, (size_t)total, "token texts");
    for (int32_t id = 0; id < t->n_tokens; id++) {
        struct gguf_string text = gguf_array_string(tokens, (uint64_t)id);
        long n = text.length ? decode_piece(t, id, text, t->bytes + used) : 0;
        if (n < 0)
            return error_set(err, ASHLAR_BAD_INPUT, "%s: " KEY("tokens") "[%d]: a byte token that "
                             "is not <0x00> to <0xFF>", gguf_path(g), (int)id);
        t->offsets[id] = used;
        used += (uint32_t)n;
    }
    t->offsets[t->n_tokens] = used;
    if (!piece_table_build(t))
        return error_memory(err, (size_t)t->n_tokens * sizeof(struct piece_slot), "token table");
    t->words_start_at_space = spaces_only_lead(t);
    return ASHLAR_OK;
}

/* Single bytes: byte tokens first, else tokens that are one byte of text. */
static void find_bytes(struct tokenizer *t)
{
    for (int byte = 0; byte < 256; byte++) {
        char text = (char)byte;
        int32_t id = piece_table_find(t, &text, 1);
        if (id >= 0 && (t->byte_ids[byte] < 0 || !t->spm))
            t->byte_ids[byte] = id;
    }
}

/* ---- SPM: scores; BPE: merges -------------------------------------------------------------- */

struct scored {
    float score;
    int32_t id;
};

static int compare_scores(const void *a, const void *b)
{
    float sa = ((const struct scored *)a)->score, sb = ((const struct scored *)b)->score;

    return (sa < sb) - (sa > sb); /* best first */
}

/* Ranks instead of scores: the merge loop compares whole numbers, for SPM as for BPE. */
static ashlar_status load_scores(struct tokenizer *t, const struct gguf *g, ashlar_error *err)
{
    struct gguf_array scores;
    ashlar_status status = gguf_get_array(g, KEY("scores"), GGUF_F32, &scores, err);

    if (status != ASHLAR_OK || !scores.data)
        return status; /* without scores all ranks are 0 */
    if (scores.n != (uint64_t)t->n_tokens)
        return error_set(err, ASHLAR_BAD_INPUT, "%s: " KEY("scores") ": %llu entries for %d tokens",
                         gguf_path(g), (unsigned long long)scores.n, t->n_tokens);
    struct scored *order = mem_array((size_t)t->n_tokens, sizeof *order);
    if (!order)
        return error_memory(err, (size_t)t->n_tokens * sizeof *order, "token scores");
    for (int32_t id = 0; id < t->n_tokens; id++) {
        order[id] = (struct scored){gguf_array_float(&scores, (uint64_t)id), id};
        if (isnan(order[id].score)) {
            free(order);
            return error_set(err, ASHLAR_BAD_INPUT, "%s: " KEY("scores") "[%d]: not a number",
                             gguf_path(g), (int)id);
        }
    }
    qsort(order, (size_t)t->n_tokens, sizeof *order, compare_scores);
    for (int i = 1; i < t->n_tokens; i++)
        t->ranks[order[i].id] =
            t->ranks[order[i - 1].id] + (order[i].score < order[i - 1].score);
    free(order);
    return ASHLAR_OK;
}

/* Add "left right" in the byte alphabet; parts that are no tokens never meet. False: no space. */
static bool add_merge(struct tokenizer *t, struct gguf_string text, uint32_t rank, char *scratch,
                      size_t room)
{
    const char *space = text.length > 2 ? memchr(text.data + 1, ' ', text.length - 1) : NULL;

    if (!space)
        return false;
    if (text.length > room)
        return true;
    size_t left_length = (size_t)(space - text.data);
    long left = decode_bpe(text.data, left_length, scratch);
    long right = left < 0 ? -1 : decode_bpe(space + 1, text.length - left_length - 1,
                                            scratch + left);
    if (left <= 0 || right <= 0)
        return true;
    int32_t left_id = piece_table_find(t, scratch, (size_t)left);
    int32_t right_id = piece_table_find(t, scratch + left, (size_t)right);
    int32_t merged = piece_table_find(t, scratch, (size_t)(left + right));
    if (left_id >= 0 && right_id >= 0 && merged >= 0)
        merge_table_add(&t->merges, left_id, right_id, rank, merged);
    return true;
}

/* Needs the piece table: merges are kept as ids. The rank is the position in the list. */
static ashlar_status load_merges(struct tokenizer *t, const struct gguf *g, ashlar_error *err)
{
    struct gguf_array merges;
    ashlar_status status = gguf_get_array(g, KEY("merges"), GGUF_STRING, &merges, err);

    if (status != ASHLAR_OK)
        return status;
    if (!merges.data || merges.n > UINT32_MAX / 4)
        return error_set(err, ASHLAR_BAD_INPUT, "%s: " KEY("merges") ": %s", gguf_path(g),
                         merges.data ? "too many" : "missing");
    size_t room = 2 * t->longest + 1; /* a character of the alphabet is two bytes at most */
    char *scratch = malloc(room);
    if (!scratch || !merge_table_init(&t->merges, (size_t)merges.n)) {
        free(scratch);
        return error_memory(err, (size_t)merges.n * sizeof(struct merge_slot), "merge table");
    }
    for (uint64_t i = 0; i < merges.n && status == ASHLAR_OK; i++)
        if (!add_merge(t, gguf_array_string(&merges, i), (uint32_t)i, scratch, room))
            status = error_set(err, ASHLAR_BAD_INPUT, "%s: " KEY("merges") "[%llu]: not two "
                               "parts with a space between", gguf_path(g), (unsigned long long)i);
    free(scratch);
    return status;
}

/* ---- metadata ------------------------------------------------------------------------------ */

/* An id, or the fallback when the key is absent; -1 means none. */
static ashlar_status load_id(const struct tokenizer *t, const struct gguf *g, const char *key,
                             int32_t fallback, int32_t *id, ashlar_error *err)
{
    int64_t value;
    ashlar_status status = gguf_get_int(g, key, -1, UINT32_MAX,
                                        fallback < t->n_tokens ? fallback : -1, &value, err);

    *id = -1;
    if (status != ASHLAR_OK || value == -1 || value == UINT32_MAX)
        return status;
    if (value >= t->n_tokens)
        return error_set(err, ASHLAR_BAD_INPUT, "%s: %s: token %lld of %d", gguf_path(g), key,
                         (long long)value, t->n_tokens);
    *id = (int32_t)value;
    return ASHLAR_OK;
}

/* llama.cpp's defaults for SPM files that name no ids; BPE files always do. */
static ashlar_status load_ids(struct tokenizer *t, const struct gguf *g, ashlar_error *err)
{
    int32_t eot = -1, eom = -1;
    ashlar_status status = load_id(t, g, KEY("bos_token_id"), t->spm ? 1 : -1, &t->bos, err);

    if (status == ASHLAR_OK)
        status = load_id(t, g, KEY("eos_token_id"), t->spm ? 2 : -1, &t->eos, err);
    if (status == ASHLAR_OK)
        status = load_id(t, g, KEY("unknown_token_id"), t->spm ? 0 : -1, &t->unknown, err);
    if (status == ASHLAR_OK)
        status = load_id(t, g, KEY("eot_token_id"), -1, &eot, err);
    if (status == ASHLAR_OK)
        status = load_id(t, g, KEY("eom_token_id"), -1, &eom, err);
    add_end(t, t->eos);
    add_end(t, eot);
    add_end(t, eom);
    return status;
}

/* Needs the ids: what has none is not added. */
static ashlar_status load_flags(struct tokenizer *t, const struct gguf *g, ashlar_error *err)
{
    bool bos = t->spm || pretokenizer_traits(t->pre).add_bos;
    ashlar_status status = gguf_get_bool(g, KEY("add_bos_token"), bos, &t->add_bos, err);

    if (status == ASHLAR_OK)
        status = gguf_get_bool(g, KEY("add_eos_token"), false, &t->add_eos, err);
    if (status == ASHLAR_OK)
        status = gguf_get_bool(g, KEY("add_space_prefix"), true, &t->add_space_prefix, err);
    t->add_bos = t->add_bos && t->bos >= 0;
    t->add_eos = t->add_eos && t->eos >= 0;
    return status;
}

/* phi-3's special tokens take the white space behind them, which files do not say: by name. */
static ashlar_status load_strip(struct tokenizer *t, const struct gguf *g, ashlar_error *err)
{
    struct gguf_string name;
    ashlar_status status = gguf_get_string(g, "general.name", &name, err);

    for (size_t i = 0; status == ASHLAR_OK && name.data && i + 4 <= name.length; i++)
        if (strncasecmp(name.data + i, "phi3", 4) == 0 ||
            (i + 5 <= name.length && strncasecmp(name.data + i, "phi-3", 5) == 0))
            t->specials.strip_right = true;
    t->specials.plain[0] = special_table_find(t, "<unk>", 5);
    t->specials.plain[1] = special_table_find(t, "<s>", 3);
    t->specials.plain[2] = special_table_find(t, "<|endoftext|>", 13);
    return status;
}

/* SPM or BPE, and which words BPE has. */
static ashlar_status load_kind(struct tokenizer *t, const struct gguf *g, ashlar_error *err)
{
    struct gguf_string model, pre;
    ashlar_status status = gguf_get_string(g, KEY("model"), &model, err);

    if (status == ASHLAR_OK)
        status = gguf_get_string(g, KEY("pre"), &pre, err);
    if (status != ASHLAR_OK)
        return status;
    if (!model.data)
        return error_set(err, ASHLAR_BAD_INPUT, "%s: " KEY("model") ": missing", gguf_path(g));
    if (equals(model, "llama")) {
        t->spm = true;
        memcpy(t->kind, "SPM", 4);
        return ASHLAR_OK;
    }
    if (!equals(model, "gpt2"))
        return error_set(err, ASHLAR_BAD_INPUT, "%s: " KEY("model") ": tokenizer '%.*s' is not "
                         "supported", gguf_path(g), (int)(model.length < 64 ? model.length : 64),
                         model.data);
    if (!pre.data || pre.length == 0)
        pre = (struct gguf_string){"default", 7};
    status = pretokenizer_new(pre.data, pre.length, &t->pre, err);
    if (status == ASHLAR_OK) { /* a known name fits */
        memcpy(t->kind, "BPE ", 4);
        memcpy(t->kind + 4, pre.data, pre.length);
    }
    return status;
}

/* Types come before pieces, because a control token's text is not decoded. */
static ashlar_status load_vocabulary(struct tokenizer *t, const struct gguf *g, ashlar_error *err)
{
    struct gguf_array tokens;
    ashlar_status status = gguf_get_array(g, KEY("tokens"), GGUF_STRING, &tokens, err);

    if (status != ASHLAR_OK)
        return status;
    if (!tokens.data || tokens.n == 0 || tokens.n > INT32_MAX / 4)
        return error_set(err, ASHLAR_BAD_INPUT, "%s: " KEY("tokens") ": %s", gguf_path(g),
                         tokens.data && tokens.n ? "too many" : "missing");
    t->n_tokens = (int)tokens.n;
    t->types = malloc((size_t)tokens.n);
    t->offsets = mem_array((size_t)tokens.n + 1, sizeof *t->offsets);
    t->ranks = mem_array(t->spm ? (size_t)tokens.n : 1, sizeof *t->ranks);
    if (!t->types || !t->offsets || !t->ranks)
        return error_memory(err, (size_t)tokens.n * 9, "vocabulary");
    status = load_types(t, g, &tokens, err);
    return status == ASHLAR_OK ? load_pieces(t, g, &tokens, err) : status;
}

ashlar_status tokenizer_load(struct tokenizer *t, const struct gguf *g, ashlar_error *err)
{
    memset(t->byte_ids, 0xFF, sizeof t->byte_ids); /* -1 */
    ashlar_status status = load_kind(t, g, err);

    if (status == ASHLAR_OK)
        status = load_vocabulary(t, g, err);
    if (status != ASHLAR_OK)
        return status;
    find_bytes(t);
    if (!special_table_build(t))
        return error_memory(err, (size_t)t->n_tokens * sizeof(int32_t), "special tokens");
    status = t->spm ? load_scores(t, g, err) : load_merges(t, g, err);
    if (status == ASHLAR_OK)
        status = load_ids(t, g, err);
    if (status == ASHLAR_OK)
        status = load_flags(t, g, err);
    return status == ASHLAR_OK ? load_strip(t, g, err) : status;
}
