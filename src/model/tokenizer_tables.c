/*
 * tokenizer_tables.c: finding tokens: by their bytes, by the pair they are merged from, and as
 * special tokens inside raw text. All tables are built once and only read afterwards.
 */
#include "model/tokenizer_internal.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* A power of two that n entries fill by two thirds at most; n is below 2^30. */
static uint32_t table_size(size_t n)
{
    uint32_t size = 16;

    while (size < n + n / 2 + 1)
        size *= 2;
    return size;
}

/* ---- pieces -------------------------------------------------------------------------------- */

/* What text may turn into: never control tokens, and byte tokens only one by one. */
static bool is_text(unsigned char type)
{
    return type == TOKEN_NORMAL || type == TOKEN_USER_DEFINED || type == TOKEN_UNUSED ||
           type == TOKEN_UNDEFINED;
}

/* The slot that holds the piece, or the free slot where it belongs. */
static struct piece_slot *piece_slot(const struct tokenizer *t, const char *text, size_t length,
                                     uint32_t *tag)
{
    uint64_t hash = XXH3_64bits(text, length);
    uint32_t i = (uint32_t)hash & t->pieces.mask;

    *tag = (uint32_t)(hash >> 32);
    for (;; i = (i + 1) & t->pieces.mask) {
        struct piece_slot *slot = &t->pieces.slots[i];
        if (slot->id < 0)
            return slot;
        if (slot->tag == *tag && piece_length(t, slot->id) == length &&
            memcmp(t->bytes + t->offsets[slot->id], text, length) == 0)
            return slot;
    }
}

bool piece_table_build(struct tokenizer *t)
{
    uint32_t size = table_size((size_t)t->n_tokens), tag;

    t->pieces.slots = mem_array(size, sizeof *t->pieces.slots);
    if (!t->pieces.slots)
        return false;
    t->pieces.mask = size - 1;
    for (uint32_t i = 0; i < size; i++)
        t->pieces.slots[i].id = -1;
    for (int32_t id = 0; id < t->n_tokens; id++) {
        size_t length = piece_length(t, id);
        if (length == 0 || !is_text(t->types[id]))
            continue;
        struct piece_slot *slot = piece_slot(t, t->bytes + t->offsets[id], length, &tag);
        if (slot->id >= 0)
            continue;
        slot->tag = tag;
        slot->id = id;
        if (length > t->longest)
            t->longest = length;
    }
    return true;
}

int32_t piece_table_find(const struct tokenizer *t, const char *text, size_t length)
{
    uint32_t tag;

    return length > t->longest ? -1 : piece_slot(t, text, length, &tag)->id;
}

/* ---- merges -------------------------------------------------------------------------------- */

/* As piece_slot; the multiplier is 2^64 over the golden ratio: the upper half is well mixed. */
static struct merge_slot *merge_slot(const struct merge_table *table, int32_t left, int32_t right)
{
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    uint32_t i = (uint32_t)((pair * 0x9E3779B97F4A7C15u) >> 32) & table->mask;

    for (;; i = (i + 1) & table->mask) {
        struct merge_slot *slot = &table->slots[i];
        if (slot->left < 0 || (slot->left == left && slot->right == right))
            return slot;
    }
}

bool merge_table_init(struct merge_table *table, size_t n)
{
    uint32_t size = table_size(n);

    table->slots = mem_array(size, sizeof *table->slots);
    if (!table->slots)
        return false;
    table->mask = size - 1;
    for (uint32_t i = 0; i < size; i++)
        table->slots[i].left = -1;
    return true;
}

void merge_table_add(struct merge_table *table, int32_t left, int32_t right, uint32_t rank,
                     int32_t merged)
{
    struct merge_slot *slot = merge_slot(table, left, right);

    if (slot->left < 0)
        *slot = (struct merge_slot){left, right, rank, merged};
}

const struct merge_slot *merge_table_find(const struct merge_table *table, int32_t left,
                                          int32_t right)
{
    if (left < 0 || right < 0)
        return NULL;
    const struct merge_slot *slot = merge_slot(table, left, right);
    return slot->left < 0 ? NULL : slot;
}

/* ---- special tokens ------------------------------------------------------------------------ */

static bool is_control(unsigned char type)
{
    return type == TOKEN_CONTROL || type == TOKEN_UNKNOWN;
}

static bool is_special(const struct tokenizer *t, int32_t id)
{
    return piece_length(t, id) > 0 &&
           (is_control(t->types[id]) || t->types[id] == TOKEN_USER_DEFINED);
}

/* As strings of bytes; a prefix comes before what it starts. */
static int compare_pieces(const struct tokenizer *t, int32_t a, int32_t b)
{
    size_t a_length = piece_length(t, a), b_length = piece_length(t, b);
    int order = memcmp(t->bytes + t->offsets[a], t->bytes + t->offsets[b],
                       a_length < b_length ? a_length : b_length);

    return order ? order : (a_length > b_length) - (a_length < b_length);
}

/* By bytes, then control tokens first, then by id. */
static int compare_specials(const void *pa, const void *pb, void *tokenizer)
{
    const struct tokenizer *t = tokenizer;
    int32_t a = *(const int32_t *)pa, b = *(const int32_t *)pb;
    int order = compare_pieces(t, a, b);

    if (order == 0)
        order = is_control(t->types[b]) - is_control(t->types[a]);
    return order ? order : (a > b) - (a < b);
}

/* Tokens spelled alike could make matching slow: the first of each sort is enough. */
static void drop_repeated(struct tokenizer *t)
{
    struct special_table *s = &t->specials;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < s->n; i++) {
        int32_t id = s->ids[i];
        if (kept > 0 && compare_pieces(t, s->ids[kept - 1], id) == 0 &&
            is_control(t->types[s->ids[kept - 1]]) == is_control(t->types[id]))
            continue;
        s->ids[kept++] = id;
        s->n_user += !is_control(t->types[id]);
    }
    s->n = kept;
}

/*
 * Sorted, the tokens that share a prefix stand together: matching is a binary search for each byte
 * of the text, in an interval that shrinks, instead of a search of the text for each token.
 */
bool special_table_build(struct tokenizer *t)
{
    struct special_table *s = &t->specials;
    size_t n = 0;

    for (int32_t id = 0; id < t->n_tokens; id++)
        n += is_special(t, id);
    s->ids = mem_array(n, sizeof *s->ids);
    if (!s->ids)
        return false;
    for (int32_t id = 0; id < t->n_tokens; id++)
        if (is_special(t, id))
            s->ids[s->n++] = id;
    if (s->n > 1)
        qsort_r(s->ids, s->n, sizeof *s->ids, compare_specials, t);
    drop_repeated(t);
    for (uint32_t i = 0, b = 0; b <= 256; b++) {
        while (i < s->n && (unsigned char)t->bytes[t->offsets[s->ids[i]]] < b)
            i++;
        s->first[b] = i;
    }
    return true;
}

/* The first of ids[low..high), all longer than depth, whose byte at `depth` is at least `byte`. */
static uint32_t narrow(const struct tokenizer *t, uint32_t low, uint32_t high, size_t depth,
                       unsigned byte)
{
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if ((unsigned char)t->bytes[t->offsets[t->specials.ids[middle]] + depth] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int32_t special_table_match(const struct tokenizer *t, const char *text, size_t length,
                            bool control)
{
    const struct special_table *s = &t->specials;
    int32_t best = -1;

    /* Most texts end here: only control tokens, and they are not asked for. */
    if (length == 0 || (!control && s->n_user == 0))
        return -1;
    uint32_t low = s->first[(unsigned char)text[0]], high = s->first[(unsigned char)text[0] + 1];
    /* Here all of ids[low..high) start with the first `depth` bytes of the text. */
    for (size_t depth = 1; low < high; depth++) {
        for (; low < high && piece_length(t, s->ids[low]) == depth; low++)
            if (control || !is_control(t->types[s->ids[low]]))
                best = s->ids[low];
        if (depth == length)
            break;
        unsigned byte = (unsigned char)text[depth];
        low = narrow(t, low, high, depth, byte);
        high = narrow(t, low, high, depth, byte + 1);
    }
    return best;
}

int32_t special_table_find(const struct tokenizer *t, const char *text, size_t length)
{
    const struct special_table *s = &t->specials;

    if (length == 0)
        return -1;
    for (uint32_t i = s->first[(unsigned char)text[0]]; i < s->first[(unsigned char)text[0] + 1];
         i++)
        if (is_control(t->types[s->ids[i]]) && piece_length(t, s->ids[i]) == length &&
            memcmp(t->bytes + t->offsets[s->ids[i]], text, length) == 0)
            return s->ids[i];
    return -1;
}
