/*
 * quantize.h: floats to GGUF's weight formats, row by row. For making models (tools, tests), not
 * for running them: round to nearest with each block's own scale, no search for better scales.
 */
#ifndef MODEL_QUANTIZE_H
#define MODEL_QUANTIZE_H

#include "model/tensor.h"

/**
 * Encode n values x to out (tensor_row_bytes(type, n) bytes). n is a whole number of blocks of the
 * type (asserted); values are finite. Any type of enum tensor_type.
 */
void quantize_row(enum tensor_type type, size_t n, const float *x, void *out);

/** IEEE half precision bits, round to nearest even; too large becomes infinity. */
uint16_t quantize_f16(float x);

/** bfloat16 bits, round to nearest even. */
uint16_t quantize_bf16(float x);

#endif
