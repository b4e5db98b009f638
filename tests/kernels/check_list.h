/* check_list.h: the checks themselves, by file. */
#ifndef TESTS_KERNELS_CHECK_LIST_H
#define TESTS_KERNELS_CHECK_LIST_H

#include "check.h"

/* check_products.c */
bool check_dot(struct check *c);
bool check_dot_extreme(struct check *c);
bool check_dots(struct check *c);
bool check_gemm(struct check *c);
bool check_gemm_extreme(struct check *c);
bool check_infinite(struct check *c);

/* check_rows.c */
bool check_unpack(struct check *c);
bool check_dequantize(struct check *c);
bool check_act_quantize(struct check *c);
bool check_rms_norm(struct check *c);
bool check_rope(struct check *c);
bool check_silu_mul(struct check *c);
bool check_add(struct check *c);
bool check_to_f16(struct check *c);
bool check_score(struct check *c);

/* check_attend.c */
bool check_attend(struct check *c);
bool check_attend_spans(struct check *c);

#endif
