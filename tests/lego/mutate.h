/*
 * mutate.h: planted mistakes for the mutation test: every change of one instruction, operand, width
 * or condition of a fragment, by number.
 */
#ifndef TESTS_MUTATE_H
#define TESTS_MUTATE_H

#include "lego/block.h"
#include "lego/fragment.h"

/**
 * Applies mistake number `wanted` to f in place and names it in what (64 bytes). False: f has no
 * such number (and is unchanged).
 */
bool mutate(struct fragment *f, const struct block *block, int wanted, char what[64]);

#endif
