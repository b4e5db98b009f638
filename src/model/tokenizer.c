/*
 * tokenizer.c: the public side: text is parted into special tokens and raw text between them, and
 * raw text goes to SPM or BPE.
 *
 * A control token is recognised only where the caller says so (markers of a chat template); a
 * user-defined one everywhere. Raw text that stands together is encoded together even when it comes
 * from several segments, because tokens may span them; no merge ever gives a control token.
 */
#include "model/tokenizer_internal.h"

#include "model/chat.h"

#include <stdlib.h>
#include <string.h>

ashlar_status tokenizer_open(const struct gguf *g, struct tokenizer **out, ashlar_error *err)
{
    struct tokenizer *t = calloc(1, sizeof *t);

    *out = NULL;
    if (!t)
        return error_memory(err, sizeof *t, "tokenizer");
    ashlar_status status = tokenizer_load(t, g, err);
    if (status != ASHLAR_OK) {
        tokenizer_close(t);
        return status;
    }
    *out = t;
    return ASHLAR_OK;
}

void tokenizer_close(struct tokenizer *t)
{
    if (!t)
        return;
    pretokenizer_free(t->pre);
    free(t->specials.ids);
    free(t->merges.slots);
    free(t->pieces.slots);
    free(t->ranks);
    free(t->types);
    free(t->offsets);
    free(t->bytes);
    free(t);
}

/* ---- facts --------------------------------------------------------------------------------- */

int tokenizer_size(const struct tokenizer *t)
{
    return t->n_tokens;
}

const char *tokenizer_kind(const struct tokenizer *t)
{
    return t->kind;
}

int32_t tokenizer_bos(const struct tokenizer *t)
{
    return t->bos;
}

int32_t tokenizer_eos(const struct tokenizer *t)
{
    return t->eos;
}

bool tokenizer_add_bos(const struct tokenizer *t)
{
    return t->add_bos;
}

bool tokenizer_is_end(const struct tokenizer *t, int32_t id)
{
    for (int i = 0; i < t->n_ends; i++)
        if (t->ends[i] == id)
            return true;
    return false;
}

/* Control tokens first: they are what callers look for by name. */
int32_t tokenizer_find(const struct tokenizer *t, const char *text)
{
    int32_t id = special_table_find(t, text, strlen(text));

    return id >= 0 || *text == '\0' ? id : piece_table_find(t, text, strlen(text));
}

const char *tokenizer_piece(const struct tokenizer *t, int32_t id, bool special, size_t *length)
{
    *length = 0;
    if (id < 0 || id >= t->n_tokens)
        return "";
    if (special || (t->types[id] != TOKEN_CONTROL && t->types[id] != TOKEN_UNKNOWN))
        *length = piece_length(t, id);
    return t->bytes + t->offsets[id];
}

/* ---- emitting ------------------------------------------------------------------------------ */

/* Counts on when the caller's array is full, so that he learns the size. */
void encoder_emit(struct encoder *e, int32_t id)
{
    if (e->n_ids < e->capacity)
        e->ids[e->n_ids] = id;
    e->n_ids++;
}

bool encoder_fail_memory(struct encoder *e, size_t bytes)
{
    e->status = error_memory(e->err, bytes, "tokenizing");
    return false;
}

/* Emit the tokens of these single bytes; false, and nothing emitted, when one has none. */
static bool emit_bytes(struct encoder *e, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (e->t->byte_ids[(unsigned char)bytes[i]] < 0)
            return false;
    for (size_t i = 0; i < n; i++)
        encoder_emit(e, e->t->byte_ids[(unsigned char)bytes[i]]);
    return true;
}

/* What is no token: its bytes, else the unknown token, else U+FFFD. */
static bool emit_unknown(struct encoder *e, const char *bytes, size_t n)
{
    static const char replacement[3] = "\xEF\xBF\xBD";

    if (emit_bytes(e, bytes, n))
        return true;
    int32_t id = e->t->unknown >= 0 ? e->t->unknown : piece_table_find(e->t, replacement, 3);
    if (id >= 0) {
        encoder_emit(e, id);
        return true;
    }
    if (emit_bytes(e, replacement, 3))
        return true;
    e->status = error_set(e->err, ASHLAR_BAD_INPUT, "the vocabulary has no token for byte 0x%02X",
                          (unsigned char)bytes[0]);
    return false;
}

bool encoder_emit_symbols(struct encoder *e, const char *word)
{
    const struct symbol *s = e->merger.symbols;

    if (e->merger.n_symbols == 0)
        return true;
    for (uint32_t i = 0; i != NO_SYMBOL; i = s[i].next) {
        if (s[i].id >= 0)
            encoder_emit(e, s[i].id);
        else if (!emit_unknown(e, word + s[i].start, s[i].length))
            return false;
    }
    return true;
}

/* ---- special tokens and the raw text between them ------------------------------------------- */

struct partition {
    struct encoder *e;
    const char *text;
    size_t length;
    size_t done;        /* text before this is encoded */
    bool after_special; /* nothing or a special token was emitted last */
};

/* Encode the raw text from what is done up to `end`. */
static bool encode_raw(struct partition *p, size_t end)
{
    const struct tokenizer *t = p->e->t;
    size_t length = end - p->done;
    const char *raw = p->text + p->done;

    if (length == 0)
        return true;
    bool prefix = t->add_space_prefix && p->after_special;
    p->done = end;
    p->after_special = false;
    return t->spm ? spm_encode(p->e, raw, length, prefix) : bpe_encode(p->e, raw, length);
}

/* Where the text goes on behind special token id, which ends at `end`. */
static size_t skip_stripped(const struct partition *p, int32_t id, size_t end)
{
    const struct special_table *s = &p->e->t->specials;

    if (!s->strip_right || id == s->plain[0] || id == s->plain[1] || id == s->plain[2])
        return end;
    while (end < p->length && memchr(" \t\n\v\f\r", p->text[end], 6))
        end++;
    return end;
}

/* Find special tokens in one segment; raw text up to its end may stay for the next one. */
static bool part_segment(struct partition *p, size_t start, size_t end, bool control)
{
    const struct tokenizer *t = p->e->t;

    if (!control && t->specials.n_user == 0)
        return true;
    for (size_t i = start > p->done ? start : p->done; i < end;) {
        const uint32_t *first = &t->specials.first[(unsigned char)p->text[i]];
        int32_t id = first[0] == first[1]
                         ? -1 /* for speed: no special token starts with this byte */
                         : special_table_match(t, p->text + i, end - i, control);
        if (id < 0) {
            i++;
            continue;
        }
        if (!encode_raw(p, i))
            return false;
        encoder_emit(p->e, id);
        p->after_special = true;
        p->done = skip_stripped(p, id, i + piece_length(t, id));
        i = p->done;
    }
    return true;
}

/* bos and eos have been decided; the segments cover the text. */
static void encode_all(struct encoder *e, const char *text, size_t length,
                       const struct chat_segment *segments, size_t n_segments, bool bos, bool eos)
{
    struct partition p = {e, text, length, 0, true};
    bool going = true;

    if (bos)
        encoder_emit(e, e->t->bos);
    for (size_t i = 0; going && i < n_segments; i++)
        going = part_segment(&p, segments[i].offset, segments[i].offset + segments[i].length,
                             segments[i].marker);
    going = going && encode_raw(&p, length);
    if (going && eos)
        encoder_emit(e, e->t->eos);
}

/* Give the working memory back; what was counted is reported even after a failure. */
static ashlar_status finish(struct encoder *e, size_t *n_ids)
{
    merger_fini(&e->merger);
    pretokenize_scratch_free(e->scratch);
    free(e->joined);
    *n_ids = e->n_ids;
    return e->status;
}

ashlar_status tokenizer_encode_segments(const struct tokenizer *t, const char *text, size_t length,
                                        const struct chat_segment *segments, size_t n_segments,
                                        unsigned flags, int32_t *ids, size_t capacity,
                                        size_t *n_ids, ashlar_error *err)
{
    struct encoder e = {.t = t, .ids = ids, .capacity = capacity, .err = err};
    bool special = (flags & ASHLAR_ADD_SPECIAL) != 0;

    encode_all(&e, text, length, segments, n_segments, special && t->add_bos, false);
    return finish(&e, n_ids);
}

ashlar_status tokenizer_encode(const struct tokenizer *t, const char *text, size_t length,
                               unsigned flags, int32_t *ids, size_t capacity, size_t *n_ids,
                               ashlar_error *err)
{
    const struct chat_segment whole = {0, length, (flags & ASHLAR_PARSE_SPECIAL) != 0};
    struct encoder e = {.t = t, .ids = ids, .capacity = capacity, .err = err};
    bool special = (flags & ASHLAR_ADD_SPECIAL) != 0;

    encode_all(&e, text, length, &whole, 1, special && t->add_bos, special && t->add_eos);
    return finish(&e, n_ids);
}
