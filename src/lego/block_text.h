/*
 * block_text.h: reading a normalised block (docs/blocks.md) back from its text: for the teacher,
 * for tests and for whoever makes prompts. The compiler itself has the block as a structure
 * (block.h).
 */
#ifndef LEGO_BLOCK_TEXT_H
#define LEGO_BLOCK_TEXT_H

#include "lego/block.h"

struct block_text {
    const char *text;            /* the block alone, with "block" and "end"; borrowed */
    size_t length;
    const char *body;            /* the statements between "begin" and "end"; borrowed */
    size_t body_length;
    struct block_operand *operands; /* (n_operands) in order of the header; object NULL, value 0 */
    int n_operands, n_exits;
    int *exits;                  /* (n_exits) 0, 1, ...: stand for the labels */
    char key[33];                /* XXH3-128 of text, hexadecimal: the key of a cache */
};

/**
 * Parses the first block of text; *used says how many bytes it and blank lines before it took, so
 * that concatenated blocks are read by calling again. *used == length and n_operands 0, text NULL:
 * no more blocks. BAD_INPUT "line N: ..." (lines count from text's start): what is wrong;
 * NO_RESOURCE. On failure out is empty. The body is checked for words only: C keywords of types,
 * if, goto, and declared names.
 */
ashlar_status block_text_parse(const char *text, size_t length, struct block_text *out,
                               size_t *used, ashlar_error *err);
void block_text_fini(struct block_text *b);

/** As a block without code, for the lint and the verifier; it borrows what t holds. */
void block_text_block(const struct block_text *t, struct block *out);

/** The key of a block's text, as block_make() gives it. */
void block_text_key(const char *text, size_t length, char key[33]);

/** The operand called name (n bytes), or NULL. */
const struct block_operand *block_text_find(const struct block_text *b, const char *name, size_t n);

#endif
