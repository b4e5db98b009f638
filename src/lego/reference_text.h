/* reference_text.h: the C function that a block's reference is compiled from. */
#ifndef LEGO_REFERENCE_TEXT_H
#define LEGO_REFERENCE_TEXT_H

#include "lego/block.h"

/**
 * Appends function ref_<number>(a, fuel, seen); false when the text has no body or out is full.
 * Branch b (from 0, in the order of the text) sets bit 2 b of seen when taken and bit 2 b + 1 when
 * not, modulo REFERENCE_OUTCOMES bits.
 */
bool reference_print(const struct block *block, int number, struct buf *out);

/** Branches of a block: its "if" lines. */
int reference_branches(const struct block *block);

#endif
