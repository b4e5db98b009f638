/*
 * tokenizer_bpe.c: byte-level BPE: the pre-tokenizer cuts the text into words, the bytes of each
 * word are merged in the order of the merge list.
 */
#include "model/tokenizer_internal.h"

static bool bpe_merge(const struct tokenizer *t, const char *word, const struct symbol *left,
                      const struct symbol *right, uint32_t *rank, int32_t *merged)
{
    const struct merge_slot *slot = merge_table_find(&t->merges, left->id, right->id);

    (void)word;
    if (!slot)
        return false;
    *rank = slot->rank;
    *merged = slot->merged;
    return true;
}

static bool encode_word(void *user, const char *word, size_t length)
{
    struct encoder *e = user;

    if (length == 1 || pretokenizer_traits(e->t->pre).ignore_merges) {
        int32_t id = piece_table_find(e->t, word, length);
        if (id >= 0) {
            encoder_emit(e, id);
            return true;
        }
    }
    if (!merger_reserve(&e->merger, length))
        return encoder_fail_memory(e, length);
    e->merger.n_symbols = 0;
    for (size_t i = 0; i < length; i++)
        merger_add(&e->merger, e->t->byte_ids[(unsigned char)word[i]], (uint32_t)i, 1);
    merger_run(&e->merger, e->t, word, bpe_merge);
    return encoder_emit_symbols(e, word);
}

bool bpe_encode(struct encoder *e, const char *text, size_t length)
{
    if (!e->scratch) {
        e->scratch = pretokenize_scratch_new(e->t->pre);
        if (!e->scratch)
            return encoder_fail_memory(e, 4096);
    }
    if (pretokenize(e->t->pre, e->scratch, text, length, encode_word, e))
        return true;
    /* A word that failed has set the status; the matching itself fails for want of memory alone. */
    return e->status == ASHLAR_OK ? encoder_fail_memory(e, length) : false;
}
