/* scalar_score.c: scores of tokens from their low-rank rows; see kernels.h. */
#include "kernels/scalar.h"

void scalar_score(int n_tokens, int rank, const uint8_t *rows, const float *scales,
                  const int8_t *query, int query_sum, float query_scale, float *scores)
{
    for (int t = 0; t < n_tokens; t++, rows += rank) {
        int sum = 0;
        for (int i = 0; i < rank; i++)
            sum += rows[i] * query[i];
        scores[t] = (float)(sum - SCORE_BIAS * query_sum) * scales[t] * query_scale;
    }
}
