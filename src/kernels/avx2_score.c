/*
 * avx2_score.c: low-rank scores. Bytes are multiplied in 16-bit pairs (255 * 127 * 2 fits 32 bits,
 * not 16); halves of bytes directly (15 * 127 * 2 fits 16 bits), low ones in one lane and high ones
 * in the other. Where rows are whole vectors and groups whole fours, four tokens' sums are added
 * across lanes together, which costs as much as the products do.
 */
#include "kernels/avx2.h"

#if defined(__AVX2__)

#include "kernels/avx2_inline.h"

#include <math.h>

static int sum_lanes(__m256i v)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    return _mm_cvtsi128_si32(s);
}

static int dot_int8(int rank, const uint8_t *row, const int8_t *query)
{
    __m256i sums = _mm256_setzero_si256();
    int i = 0, rest = 0;
    for (; i + 16 <= rank; i += 16) {
        __m256i r = _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)(row + i)));
        __m256i q = _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)(query + i)));
        sums = _mm256_add_epi32(sums, _mm256_madd_epi16(r, q));
    }
    for (; i < rank; i++)
        rest += row[i] * query[i];
    return sum_lanes(sums) + rest;
}

/* Eight bytes of a row, or sixteen, times the two queries that their halves belong to. */
AVX2_INLINE __m256i products(__m128i bytes, __m128i q_low, __m128i q_high)
{
    __m256i nibbles =
        _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(bytes, 4), bytes), _mm256_set1_epi8(15));
    __m256i pairs = _mm256_maddubs_epi16(nibbles, _mm256_set_m128i(q_high, q_low));
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

AVX2_INLINE __m256i sums_int4(int half, const uint8_t *row, const int8_t *query)
{
    __m256i sums = _mm256_setzero_si256();
    for (int i = 0; i < half; i += 16)
        sums = _mm256_add_epi32(sums, products(_mm_loadu_si128((const void *)(row + i)),
                                               _mm_loadu_si128((const void *)(query + i)),
                                               _mm_loadu_si128((const void *)(query + half + i))));
    return sums;
}

AVX2_INLINE __m256i sums_int8(int rank, const uint8_t *row, const int8_t *query)
{
    __m256i sums = _mm256_setzero_si256();
    for (int i = 0; i < rank; i += 16) {
        __m256i r = _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)(row + i)));
        __m256i q = _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)(query + i)));
        sums = _mm256_add_epi32(sums, _mm256_madd_epi16(r, q));
    }
    return sums;
}

/* The four sums of four vectors' lanes. */
AVX2_INLINE __m128i sum_four(__m256i a, __m256i b, __m256i c, __m256i d)
{
    __m256i v = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    return _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}

AVX2_INLINE int largest_lane(__m128i v)
{
    v = _mm_max_epi32(v, _mm_shuffle_epi32(v, 0x4e));
    v = _mm_max_epi32(v, _mm_shuffle_epi32(v, 0xb1));
    return _mm_cvtsi128_si32(v);
}

/* Rows of whole vectors (16 bytes), groups of whole fours. */
AVX2_INLINE void score_fours(const struct score_args *a, bool half, int bytes)
{
    const uint8_t *row = a->rows;
    const int8_t *q = a->query;
    int bias = (half ? SCORE_BIAS4 : SCORE_BIAS8) * a->query_sum;
    for (int g = 0; g < a->n_groups; g++) {
        __m128i best = _mm_set1_epi32(INT32_MIN);
        for (int t = 0; t < a->group_tokens; t += 4, row += 4 * bytes) {
            __m256i sums[4];
            for (int j = 0; j < 4; j++)
                sums[j] = half ? sums_int4(bytes, row + j * bytes, q)
                               : sums_int8(bytes, row + j * bytes, q);
            best = _mm_max_epi32(best, sum_four(sums[0], sums[1], sums[2], sums[3]));
        }
        float value = (float)(largest_lane(best) - bias);
        a->scores[g] = value * avx2_scale(&a->scales[g]) * a->query_scale;
    }
}

/* The lengths of rank 32, 64, 128 are constants, so that their loops unroll; false: neither. */
static bool score_even(const struct score_args *a, bool half)
{
    int bytes = half ? a->rank / 2 : a->rank;
    if (bytes % 16 != 0 || bytes == 0 || a->group_tokens % 4 != 0)
        return false;
    if (bytes == 16)
        score_fours(a, half, 16);
    else if (bytes == 32)
        score_fours(a, half, 32);
    else if (bytes == 64)
        score_fours(a, half, 64);
    else
        score_fours(a, half, bytes);
    return true;
}

static void score_int8(const struct score_args *a)
{
    const uint8_t *row = a->rows;
    if (score_even(a, false))
        return;
    for (int g = 0; g < a->n_groups; g++) {
        int best = INT32_MIN;
        for (int t = 0; t < a->group_tokens; t++, row += a->rank) {
            int sum = dot_int8(a->rank, row, a->query);
            best = sum > best ? sum : best;
        }
        best -= SCORE_BIAS8 * a->query_sum;
        a->scores[g] = (float)best * avx2_scale(&a->scales[g]) * a->query_scale;
    }
}

static int dot_int4(int half, const uint8_t *row, const int8_t *query)
{
    __m256i sums = _mm256_setzero_si256();
    const int8_t *high = query + half;
    int i = 0, rest = 0;
    for (; i + 16 <= half; i += 16)
        sums = _mm256_add_epi32(sums, products(_mm_loadu_si128((const void *)(row + i)),
                                               _mm_loadu_si128((const void *)(query + i)),
                                               _mm_loadu_si128((const void *)(high + i))));
    for (; i + 8 <= half; i += 8)
        sums = _mm256_add_epi32(sums, products(_mm_loadl_epi64((const void *)(row + i)),
                                               _mm_loadl_epi64((const void *)(query + i)),
                                               _mm_loadl_epi64((const void *)(high + i))));
    for (; i < half; i++)
        rest += (row[i] & 15) * query[i] + (row[i] >> 4) * high[i];
    return sum_lanes(sums) + rest;
}

static void score_int4(const struct score_args *a)
{
    const uint8_t *row = a->rows;
    int half = a->rank / 2;
    if (score_even(a, true))
        return;
    for (int g = 0; g < a->n_groups; g++) {
        int best = INT32_MIN;
        for (int t = 0; t < a->group_tokens; t++, row += half) {
            int sum = dot_int4(half, row, a->query);
            best = sum > best ? sum : best;
        }
        best -= SCORE_BIAS4 * a->query_sum;
        a->scores[g] = (float)best * avx2_scale(&a->scales[g]) * a->query_scale;
    }
}

static float dot_f16(int rank, const uint16_t *row, const float *query)
{
    __m256 sums = _mm256_setzero_ps();
    float part[8], rest = 0.0f;
    int i = 0;
    for (; i + 8 <= rank; i += 8)
        sums = _mm256_fmadd_ps(avx2_load_f16(row + i), _mm256_loadu_ps(query + i), sums);
    for (; i < rank; i++)
        rest += avx2_scale(row + i) * query[i];
    _mm256_storeu_ps(part, sums);
    for (int j = 0; j < 8; j++)
        rest += part[j];
    return rest;
}

static void score_f16(const struct score_args *a)
{
    const uint16_t *row = a->rows;
    for (int g = 0; g < a->n_groups; g++) {
        float best = -INFINITY;
        for (int t = 0; t < a->group_tokens; t++, row += a->rank) {
            float sum = dot_f16(a->rank, row, a->query);
            best = sum > best ? sum : best;
        }
        a->scores[g] = best * a->query_scale;
    }
}

void avx2_fill_score(struct kernels *table)
{
    table->score[SCORE_INT8] = score_int8;
    table->score[SCORE_INT4] = score_int4;
    table->score[SCORE_F16] = score_f16;
}

#endif
