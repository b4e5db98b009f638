/*
 * ir_fold.h: C's arithmetic on constants of the target's types, for the makers of expressions
 * (ir_build.c).
 */
#ifndef LEGO_IR_FOLD_H
#define LEGO_IR_FOLD_H

#include "lego/ir.h"

/** x op y in type; for comparisons type is that of the operands. False: undefined or trapping. */
bool fold_int(enum ir_op op, enum ir_type type, int64_t x, int64_t y, int64_t *out);
bool fold_float(enum ir_op op, enum ir_type type, long double x, long double y, long double *out);
bool fold_compare_float(enum ir_op op, long double x, long double y, int64_t *out);

/** Cut to an integer; what C leaves undefined as gcc has it: out of range the end, of a NaN 0. */
int64_t fold_float_to_int(enum ir_type type, long double value);
long double fold_int_to_float(enum ir_type from, int64_t value);

#endif
