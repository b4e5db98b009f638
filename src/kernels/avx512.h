/* avx512.h: pieces of the AVX-512 table that live in files of their own. */
#ifndef KERNELS_AVX512_H
#define KERNELS_AVX512_H

#include "kernels/kernels.h"

/** Enter this file's entries into a table that holds simpler ones. */
void avx512_fill_dot(struct kernels *table);
void avx512_fill_dot_k(struct kernels *table);
void avx512_fill_score(struct kernels *table);
void avx512_fill_gemm(struct kernels *table);
void avx512_fill_attend(struct kernels *table);

/** As kernels.act_quantize. */
void avx512_act_quantize(int k, const float *x, int8_t *q, float *d, float *s);

#endif
