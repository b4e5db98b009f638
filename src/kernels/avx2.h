/* avx2.h: pieces of the AVX2 table in files of their own, for it and for richer tables. */
#ifndef KERNELS_AVX2_H
#define KERNELS_AVX2_H

#include "kernels/kernels.h"

/** Enter this file's entries into a table that holds simpler ones. */
void avx2_fill_dot(struct kernels *table);
void avx2_fill_unpack(struct kernels *table);
void avx2_fill_gemm(struct kernels *table);
void avx2_fill_attend(struct kernels *table);
void avx2_fill_score(struct kernels *table);

/** unpack_fn of a quantised type. */
unpack_fn avx2_unpack(enum tensor_type type);

/** Row w of any type to floats. */
void avx2_dequantize(enum tensor_type type, int k, const void *w, float *y);
void avx2_act_quantize(int k, const float *x, int8_t *q, float *d, float *s);

#endif
