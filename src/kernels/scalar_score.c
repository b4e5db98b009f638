/* scalar_score.c: scores of groups of tokens from their low-rank rows; see kernels.h. */
#include "kernels/formats.h"
#include "kernels/scalar.h"

#include <math.h>

void scalar_score_int8(const struct score_args *a)
{
    const uint8_t *row = a->rows;
    const int8_t *query = a->query;
    for (int g = 0; g < a->n_groups; g++) {
        int best = INT32_MIN;
        for (int t = 0; t < a->group_tokens; t++, row += a->rank) {
            int sum = -SCORE_BIAS8 * a->query_sum;
            for (int i = 0; i < a->rank; i++)
                sum += row[i] * query[i];
            best = sum > best ? sum : best;
        }
        a->scores[g] = (float)best * format_f16_float(a->scales[g]) * a->query_scale;
    }
}

void scalar_score_int4(const struct score_args *a)
{
    const uint8_t *row = a->rows;
    const int8_t *query = a->query;
    int half = a->rank / 2;
    for (int g = 0; g < a->n_groups; g++) {
        int best = INT32_MIN;
        for (int t = 0; t < a->group_tokens; t++, row += half) {
            int sum = -SCORE_BIAS4 * a->query_sum;
            for (int i = 0; i < half; i++)
                sum += (row[i] & 15) * query[i] + (row[i] >> 4) * query[half + i];
            best = sum > best ? sum : best;
        }
        a->scores[g] = (float)best * format_f16_float(a->scales[g]) * a->query_scale;
    }
}

void scalar_score_f16(const struct score_args *a)
{
    const uint16_t *row = a->rows;
    const float *query = a->query;
    for (int g = 0; g < a->n_groups; g++) {
        float best = -INFINITY;
        for (int t = 0; t < a->group_tokens; t++, row += a->rank) {
            float sum = 0.0f;
            for (int i = 0; i < a->rank; i++)
                sum += format_f16_float(row[i]) * query[i];
            best = sum > best ? sum : best;
        }
        a->scores[g] = best * a->query_scale;
    }
}
