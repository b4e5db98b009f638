/* scalar.h: pieces of the scalar table that live in files of their own. */
#ifndef KERNELS_SCALAR_H
#define KERNELS_SCALAR_H

#include "kernels/kernels.h"

extern const struct gemm_kernel scalar_gemm_quant; /* every quantised type */
extern const struct gemm_kernel scalar_gemm_float; /* F32, F16, BF16 */

/** Row w of any type to floats. */
void scalar_dequantize(enum tensor_type type, int k, const void *w, float *y);
void scalar_act_quantize(int k, const float *x, int8_t *q, float *d, float *s);
unpack_fn scalar_unpack(enum tensor_type type);

void scalar_attend(const struct attn_args *args);
size_t scalar_attn_scratch_bytes(int head_dim, int n_group, int n_q);
void scalar_score_int8(const struct score_args *args);
void scalar_score_int4(const struct score_args *args);
void scalar_score_f16(const struct score_args *args);

#endif
