/*
 * tokenizer_internal.h: what the tokenizer's files share: the vocabulary in memory, its two hash
 * tables, and the merge loop that both kinds of tokenizer run. For src/model/tokenizer*.c only.
 *
 * Every token is kept once, as the bytes that it stands for (its piece): SPM's U+2581 is already a
 * space, byte-level BPE's alphabet is already bytes, <0x41> is already "A". Text is therefore
 * matched as it is, and what comes out of the tokenizer is byte for byte what went in.
 */
#ifndef MODEL_TOKENIZER_INTERNAL_H
#define MODEL_TOKENIZER_INTERNAL_H

#include "model/pretokenize.h"
#include "model/tokenizer.h"

/* The numbers of tokenizer.ggml.token_type. */
enum token_type {
    TOKEN_UNDEFINED, TOKEN_NORMAL, TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_USER_DEFINED, TOKEN_UNUSED,
    TOKEN_BYTE, TOKEN_TYPE_COUNT,
    TOKEN_UNREACHABLE = TOKEN_TYPE_COUNT /* ours: spelled in a way that no text can produce */
};

/* The tokens of text, by their bytes: open addressing, linear probing, at most two thirds full. */
struct piece_slot {
    uint32_t tag; /* the hash's upper half: most misses end here */
    int32_t id;   /* -1 = free */
};

struct piece_table {
    struct piece_slot *slots; /* (mask + 1) */
    uint32_t mask;
};

/* BPE merges: (left, right) -> rank and result. Open addressing as above. */
struct merge_slot {
    int32_t left, right; /* left -1 = free */
    uint32_t rank;
    int32_t merged;
};

struct merge_table {
    struct merge_slot *slots; /* (mask + 1) */
    uint32_t mask;
};

/* Tokens matched in raw text before anything else, ordered by their bytes. */
struct special_table {
    int32_t *ids;        /* (n) */
    uint32_t n, n_user;  /* all; those that are matched always */
    uint32_t first[257]; /* those that start with byte b: ids[first[b]..first[b + 1]) */
    bool strip_right;    /* phi-3: white space behind a special token belongs to it ... */
    int32_t plain[3];    /* ... but for these (-1 = none) */
};

enum { MAX_ENDS = 40 };

struct tokenizer {
    int n_tokens;
    bool spm;                  /* else BPE */
    char kind[64];
    int32_t bos, eos, unknown; /* -1 = none */
    bool add_bos, add_eos;
    bool add_space_prefix;     /* SPM: text after a special token starts with a space */
    bool words_start_at_space; /* SPM: no token has a space behind another character */
    int32_t ends[MAX_ENDS];    /* tokens that end a generation */
    int n_ends;

    char *bytes;               /* all pieces, one after the other */
    uint32_t *offsets;         /* (n_tokens + 1) into bytes */
    unsigned char *types;      /* (n_tokens) enum token_type or TOKEN_UNREACHABLE */
    uint32_t *ranks;           /* SPM (n_tokens): 0 = merged first; equal scores, equal ranks */
    size_t longest;            /* bytes of the longest piece in `pieces` */

    struct piece_table pieces; /* everything but control, unknown, byte and empty tokens */
    struct merge_table merges; /* BPE */
    struct special_table specials;
    struct pretokenizer *pre;  /* BPE */
    int32_t byte_ids[256];     /* the token of each single byte, -1 = none */
};

static inline size_t piece_length(const struct tokenizer *t, int32_t id)
{
    return t->offsets[id + 1] - t->offsets[id];
}

/* ---- tokenizer_tables.c -------------------------------------------------------------------- */

/** Fill t->pieces; of equal pieces the first token counts. False when out of memory. */
bool piece_table_build(struct tokenizer *t);
int32_t piece_table_find(const struct tokenizer *t, const char *text, size_t length); /* or -1 */

/** Room for n merges. False when out of memory. */
bool merge_table_init(struct merge_table *table, size_t n);
/** Of equal pairs the first counts. */
void merge_table_add(struct merge_table *table, int32_t left, int32_t right, uint32_t rank,
                     int32_t merged);
/** NULL when the two do not merge. */
const struct merge_slot *merge_table_find(const struct merge_table *table, int32_t left,
                                          int32_t right);

/** Fill t->specials from the types. False when out of memory. */
bool special_table_build(struct tokenizer *t);
/** The longest special token that starts text, -1 when none; control ones only with `control`. */
int32_t special_table_match(const struct tokenizer *t, const char *text, size_t length,
                            bool control);
/** The control or unknown token spelled exactly so, or -1. */
int32_t special_table_find(const struct tokenizer *t, const char *text, size_t length);

/* ---- tokenizer_load.c ---------------------------------------------------------------------- */

/** Fill a zeroed tokenizer from the file. On failure the caller closes it. */
ashlar_status tokenizer_load(struct tokenizer *t, const struct gguf *g, ashlar_error *err);

/* ---- tokenizer_merge.c --------------------------------------------------------------------- */

/* A run of the text that is one token so far; a word's symbols are a linked list in order. */
struct symbol {
    int32_t id;            /* -1: no token */
    uint32_t start, length; /* bytes of the word; length 0 once merged into the one before */
    uint32_t previous, next; /* indices, NO_SYMBOL at the ends */
};

#define NO_SYMBOL UINT32_MAX

/* A merge that was possible when it was pushed: rank << 32 | left symbol, smallest first. */
struct candidate {
    uint64_t key;
    uint32_t length; /* of both symbols together; when it no longer fits, the merge is stale */
    int32_t merged;
};

struct merger {
    struct symbol *symbols; /* (capacity) */
    struct candidate *heap; /* (2 * capacity) */
    size_t n_symbols, n_heap, capacity; /* capacity is below 2^31 */
};

/** What merging two neighbours gives; false when they do not merge. */
typedef bool (*merge_fn)(const struct tokenizer *t, const char *word, const struct symbol *left,
                         const struct symbol *right, uint32_t *rank, int32_t *merged);

/** Room for n symbols. False when out of memory or n is too large. */
bool merger_reserve(struct merger *m, size_t n);
void merger_fini(struct merger *m);
/** Append to the symbols; the first of a word sets n_symbols to 0 before. */
void merger_add(struct merger *m, int32_t id, uint32_t start, uint32_t length);
/** Merge neighbours, lowest rank first and leftmost among equals, until none is left. */
void merger_run(struct merger *m, const struct tokenizer *t, const char *word, merge_fn merge);

/* ---- encoding: tokenizer.c, tokenizer_spm.c, tokenizer_bpe.c --------------------------------- */

/* Everything one call of tokenizer_encode needs. */
struct encoder {
    const struct tokenizer *t;
    int32_t *ids;
    size_t capacity, n_ids; /* n_ids counts on behind capacity */
    struct merger merger;
    struct pretokenize_scratch *scratch; /* BPE */
    char *joined; /* SPM: a space before the text, where the two are not neighbours in memory */
    size_t joined_capacity;
    ashlar_status status;
    ashlar_error *err;
};

void encoder_emit(struct encoder *e, int32_t id);
/** The merger's symbols, those that are no token as bytes. False when a byte has no token. */
bool encoder_emit_symbols(struct encoder *e, const char *word);
bool encoder_fail_memory(struct encoder *e, size_t bytes); /* sets the status; false */

/** Encode raw text without special tokens in it. False when e->status is set. */
bool spm_encode(struct encoder *e, const char *text, size_t length, bool space_prefix);
bool bpe_encode(struct encoder *e, const char *text, size_t length);

#endif
