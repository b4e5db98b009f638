/* avx512_score.c: low-rank scores with VNNI: biased bytes times signed bytes, 64 at a time. */
#include "kernels/avx512.h"

#if defined(__AVX512VNNI__)

#include <immintrin.h>

/* Ranks up to 64: four tokens share one reduction tree. */
static __m128i sum_four(__m512i a, __m512i b, __m512i c, __m512i d)
{
    __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    __m512i abcd = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    __m256i half =
        _mm256_add_epi32(_mm512_castsi512_si256(abcd), _mm512_extracti64x4_epi64(abcd, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

static __m512i dot(int rank, const uint8_t *row, const int8_t *query)
{
    __m512i sum = _mm512_setzero_si512();
    for (int i = 0; i < rank; i += 64) {
        __mmask64 mask = rank - i >= 64 ? ~0ull : (1ull << (rank - i)) - 1;
        sum = _mm512_dpbusd_epi32(sum, _mm512_maskz_loadu_epi8(mask, row + i),
                                  _mm512_maskz_loadu_epi8(mask, query + i));
    }
    return sum;
}

static void score(int n_tokens, int rank, const uint8_t *rows, const float *scales,
                  const int8_t *query, int query_sum, float query_scale, float *scores)
{
    __m128i bias = _mm_set1_epi32(SCORE_BIAS * query_sum);
    __m128 scale = _mm_set1_ps(query_scale);
    int t = 0;
    for (; t + 4 <= n_tokens; t += 4, rows += 4 * (size_t)rank) {
        __m128i sums = sum_four(dot(rank, rows, query), dot(rank, rows + rank, query),
                                dot(rank, rows + 2 * (size_t)rank, query),
                                dot(rank, rows + 3 * (size_t)rank, query));
        __m128 values =
            _mm_mul_ps(_mm_cvtepi32_ps(_mm_sub_epi32(sums, bias)), _mm_loadu_ps(scales + t));
        _mm_storeu_ps(scores + t, _mm_mul_ps(values, scale));
    }
    for (; t < n_tokens; t++, rows += rank)
        scores[t] =
            (float)(_mm512_reduce_add_epi32(dot(rank, rows, query)) - SCORE_BIAS * query_sum) *
            scales[t] * query_scale;
}

void avx512_fill_score(struct kernels *table)
{
    table->score = score;
}

#endif
