/*
 * model_text.h: the language in which the embedded block model is asked and answers: the same block
 * and the same assembly as elsewhere, spelled so that each thing is one token (models/mason.md).
 *
 * A word is a sign followed by letters; numbers are spelled with the letters a to p as hexadecimal
 * digits. The question is in prefix form, with a type before each operand:
 *
 *     v1 = v1 + c1;          ->   " Set int@a Add int@a int$a\n"
 *     addl $c1, v1(%rbp)     ->   " addl$a@a\n"
 *
 * Signs: @ slot, & static, # constant, ! function, $ literal, ~ number of the block's own (` as an
 * offset), > exit, ^ label, % register, + - a number as an immediate, : ; one as an offset.
 */
#ifndef LEGO_MODEL_TEXT_H
#define LEGO_MODEL_TEXT_H

#include "base/buf.h"
#include "lego/block.h"

/** The question for a block. False: it does not fit the language (too many operands). */
bool model_text_question(const struct block *block, struct buf *out);

/** A fragment as an answer to that question, for training; false: the language lacks something. */
bool model_text_answer(const struct block *block, const char *fragment, struct buf *out);

/** An answer as a fragment; false: it is not in the language. Untrusted text. */
bool model_text_fragment(const struct block *block, const char *answer, size_t length,
                         struct buf *out);

#endif
