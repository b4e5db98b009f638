/* avx2_score.c: low-rank scores, 16 products at a time in 16-bit pairs (no saturation: 255 * 127 *
 * 2 fits 32 bits). */
#include "kernels/avx2.h"

#if defined(__AVX2__)

#include <immintrin.h>

static int sum_lanes(__m256i v)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    return _mm_cvtsi128_si32(s);
}

static void score(int n_tokens, int rank, const uint8_t *rows, const float *scales,
                  const int8_t *query, int query_sum, float query_scale, float *scores)
{
    for (int t = 0; t < n_tokens; t++, rows += rank) {
        __m256i sums = _mm256_setzero_si256();
        int i = 0, rest = 0;
        for (; i + 16 <= rank; i += 16) {
            __m256i row = _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)(rows + i)));
            __m256i q = _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)(query + i)));
            sums = _mm256_add_epi32(sums, _mm256_madd_epi16(row, q));
        }
        for (; i < rank; i++)
            rest += rows[i] * query[i];
        scores[t] =
            (float)(sum_lanes(sums) + rest - SCORE_BIAS * query_sum) * scales[t] * query_scale;
    }
}

void avx2_fill_score(struct kernels *table)
{
    table->score = score;
}

#endif
