/*
 * score_rows.h: the walk over groups of low-rank rows, shared by the tables: the best of each
 * group's tokens, scaled. A table brings the product of one row with the query, which is inlined;
 * kernels.h says what a row is.
 */
#ifndef KERNELS_SCORE_ROWS_H
#define KERNELS_SCORE_ROWS_H

#include <math.h>

#include "kernels/kernels.h"

#define SCORE_INLINE static inline __attribute__((always_inline))

/** sum_i row[i] * query[i] over a row of n bytes, or of n times two halves. */
typedef int (*score_dot_fn)(int n, const uint8_t *row, const int8_t *query);
/** The same of n binary16. */
typedef float (*score_dot_f16_fn)(int n, const uint16_t *row, const float *query);
/** Binary16 to float. */
typedef float (*score_scale_fn)(const void *p);

/** Rows of `bytes` integers; `bias`: what a product has too much, for each 1 of the query's sum. */
SCORE_INLINE void score_rows(const struct score_args *a, int bytes, int bias, score_dot_fn dot,
                             score_scale_fn scale)
{
    const uint8_t *row = a->rows;
    for (int g = 0; g < a->n_groups; g++) {
        int best = INT32_MIN;
        for (int t = 0; t < a->group_tokens; t++, row += bytes) {
            int sum = dot(bytes, row, a->query);
            best = sum > best ? sum : best;
        }
        a->scores[g] = (float)(best - bias * a->query_sum) * scale(&a->scales[g]) * a->query_scale;
    }
}

SCORE_INLINE void score_rows_f16(const struct score_args *a, score_dot_f16_fn dot)
{
    const uint16_t *row = a->rows;
    for (int g = 0; g < a->n_groups; g++) {
        float best = -INFINITY;
        for (int t = 0; t < a->group_tokens; t++, row += a->rank) {
            float sum = dot(a->rank, row, a->query);
            best = sum > best ? sum : best;
        }
        a->scores[g] = best * a->query_scale;
    }
}

#endif
