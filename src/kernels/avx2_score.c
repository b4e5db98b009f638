/*
 * avx2_score.c: low-rank scores. Bytes are split into odd and even ones, as 16-bit values, because
 * 255 * 127 * 2 fits 32 bits and not 16; halves of bytes are multiplied directly (15 * 127 * 2
 * fits) and added up in 16 bits as far as these last. Rows of 16, 32, 64 and 128 bytes are taken 32
 * bytes at a time, and the sums of four vectors are added across lanes together, which costs as
 * much as the products do. Rows are asked for early: they follow one another, and there is little
 * to do for each.
 */
#include "kernels/avx2.h"

#if defined(__AVX2__)

#include "kernels/avx2_inline.h"
#include "kernels/score_rows.h"

enum {
    AHEAD = 4 << 10,   /* bytes: covers the memory's latency */
    MOST_VECTORS = 4   /* of a row: with more, 16 bits would not last for halves of bytes */
};

static int sum_lanes(__m256i v)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    return _mm_cvtsi128_si32(s);
}

/* ---- rows of whole vectors ----------------------------------------------------------------- */

/* A query as the rows' vectors want it: odd and even values, or those of high and low halves. */
struct query {
    __m256i low[MOST_VECTORS], high[MOST_VECTORS];
};

/* Rows of 16 bytes lie two in a vector: the query twice. */
AVX2_INLINE __m256i load_query(const int8_t *query, int bytes, int vector)
{
    if (bytes == 16)
        return _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)query));
    return _mm256_loadu_si256((const void *)(query + 32 * vector));
}

AVX2_INLINE struct query prepare(const int8_t *query, bool half, int bytes)
{
    struct query q;
    for (int i = 0; i < (bytes + 31) / 32; i++) {
        __m256i v = load_query(query, bytes, i);
        q.low[i] = half ? v : _mm256_srai_epi16(_mm256_slli_epi16(v, 8), 8);
        q.high[i] = half ? load_query(query + bytes, bytes, i) : _mm256_srai_epi16(v, 8);
    }
    return q;
}

/* Products of one row, or of two of 16 bytes, in eight lanes. */
AVX2_INLINE __m256i multiply(const uint8_t *row, const struct query *q, bool half, int bytes)
{
    const __m256i low = _mm256_set1_epi16(half ? 0x0f0f : 0x00ff);
    __m256i sums = _mm256_setzero_si256(); /* of 16 bits when `half`, else of 32 */
    for (int i = 0; i < (bytes + 31) / 32; i++) {
        __m256i v = _mm256_loadu_si256((const void *)(row + 32 * i));
        __m256i even = _mm256_and_si256(v, low);
        if (half) {
            __m256i odd = _mm256_and_si256(_mm256_srli_epi16(v, 4), low);
            sums = _mm256_add_epi16(sums, _mm256_maddubs_epi16(even, q->low[i]));
            sums = _mm256_add_epi16(sums, _mm256_maddubs_epi16(odd, q->high[i]));
        } else {
            sums = _mm256_add_epi32(sums, _mm256_madd_epi16(even, q->low[i]));
            sums = _mm256_add_epi32(sums,
                                    _mm256_madd_epi16(_mm256_srli_epi16(v, 8), q->high[i]));
        }
    }
    return half ? _mm256_madd_epi16(sums, _mm256_set1_epi16(1)) : sums;
}

/* The best of a group, in all its lanes: tokens are sums of eight lanes, or of four. */
AVX2_INLINE __m128i best_of_group(const uint8_t *row, const struct query *q, int tokens, bool half,
                                  int bytes)
{
    __m128i best = _mm_set1_epi32(INT32_MIN);
    int step = bytes == 16 ? 32 : bytes, four = bytes == 16 ? 8 : 4;
    for (int t = 0; t < tokens; t += four, row += 4 * step) {
        __m256i sums[4];
        for (int j = 0; j < 4; j++)
            sums[j] = multiply(row + j * step, q, half, bytes);
        for (int j = 0; j < 4 * step; j += 64)
            _mm_prefetch((const char *)((uintptr_t)row + (uintptr_t)j + AHEAD), _MM_HINT_T0);
        __m256i v = _mm256_hadd_epi32(_mm256_hadd_epi32(sums[0], sums[1]),
                                      _mm256_hadd_epi32(sums[2], sums[3]));
        __m128i a = _mm256_castsi256_si128(v), b = _mm256_extracti128_si256(v, 1);
        best = _mm_max_epi32(best, bytes == 16 ? _mm_max_epi32(a, b) : _mm_add_epi32(a, b));
    }
    best = _mm_max_epi32(best, _mm_shuffle_epi32(best, 0x4e));
    return _mm_max_epi32(best, _mm_shuffle_epi32(best, 0xb1));
}

AVX2_INLINE void score_vectors(const struct score_args *a, bool half, int bytes)
{
    const uint8_t *row = a->rows;
    struct query q = prepare(a->query, half, bytes);
    int bias = (half ? SCORE_BIAS4 : SCORE_BIAS8) * a->query_sum;
    for (int g = 0; g < a->n_groups; g++, row += a->group_tokens * bytes) {
        __m128i best = best_of_group(row, &q, a->group_tokens, half, bytes);
        a->scores[g] = (float)(_mm_cvtsi128_si32(best) - bias) * avx2_scale(&a->scales[g]) *
                       a->query_scale;
    }
}

/* Lengths are constants, so that their loops unroll; false: not one of them. */
static bool score_even(const struct score_args *a, bool half)
{
    int bytes = half ? a->rank / 2 : a->rank;
    if (a->group_tokens % (bytes == 16 ? 8 : 4) != 0)
        return false;
    if (bytes == 16)
        score_vectors(a, half, 16);
    else if (bytes == 32)
        score_vectors(a, half, 32);
    else if (bytes == 64)
        score_vectors(a, half, 64);
    else if (bytes == 128)
        score_vectors(a, half, 128);
    else
        return false;
    return true;
}

/* ---- other rows, one by one ---------------------------------------------------------------- */

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

static void score_int8(const struct score_args *a)
{
    if (!score_even(a, false))
        score_rows(a, a->rank, SCORE_BIAS8, dot_int8, avx2_scale);
}

static void score_int4(const struct score_args *a)
{
    if (!score_even(a, true))
        score_rows(a, a->rank / 2, SCORE_BIAS4, dot_int4, avx2_scale);
}

static void score_f16(const struct score_args *a)
{
    score_rows_f16(a, dot_f16);
}

void avx2_fill_score(struct kernels *table)
{
    table->score[SCORE_INT8] = score_int8;
    table->score[SCORE_INT4] = score_int4;
    table->score[SCORE_F16] = score_f16;
}

#endif
