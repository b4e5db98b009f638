/*
 * avx512_score.c: low-rank scores with VNNI: biased bytes, or halves of bytes, times signed bytes.
 *
 * Rows of 4, 8, 16, 32 or 64 bytes are taken 64 bytes at a time, several tokens in one vector:
 * their sums end up in all lanes of each token, and the maximum over the group's tokens is the
 * maximum over lanes. Longer and odd rows are summed token by token. F16 rows are left to AVX2.
 */
#include "kernels/avx512.h"

#if defined(__AVX512VNNI__)

#include "kernels/avx512_inline.h"

enum { AHEAD = 4 << 10 }; /* bytes: covers the memory's latency; rows follow one another */

AVX512_INLINE __mmask64 first_bytes(int n)
{
    return n >= 64 ? ~0ull : (1ull << n) - 1;
}

/* A vector of row bytes times its queries: of the bytes, or of their low and high halves. */
AVX512_INLINE __m512i multiply(bool half, __m512i sum, __m512i bytes, __m512i q_low, __m512i q_high)
{
    const __m512i low = _mm512_set1_epi8(15);
    if (!half)
        return _mm512_dpbusd_epi32(sum, bytes, q_low);
    sum = _mm512_dpbusd_epi32(sum, _mm512_and_si512(bytes, low), q_low);
    return _mm512_dpbusd_epi32(sum, _mm512_and_si512(_mm512_srli_epi16(bytes, 4), low), q_high);
}

/* Sum the lanes of each token, of row_bytes / 4 lanes, into all of them. */
AVX512_INLINE __m512i sum_tokens(__m512i v, int row_bytes)
{
    if (row_bytes >= 8)
        v = _mm512_add_epi32(v, _mm512_shuffle_epi32(v, _MM_PERM_CDAB));
    if (row_bytes >= 16)
        v = _mm512_add_epi32(v, _mm512_shuffle_epi32(v, _MM_PERM_BADC));
    if (row_bytes >= 32)
        v = _mm512_add_epi32(v, _mm512_shuffle_i64x2(v, v, 0xb1));
    if (row_bytes >= 64)
        v = _mm512_add_epi32(v, _mm512_shuffle_i64x2(v, v, 0x4e));
    return v;
}

/* The query over and over, as often as rows fit into a vector. */
AVX512_INLINE __m512i repeat(const int8_t *query, int row_bytes)
{
    int8_t bytes[64];
    for (int i = 0; i < 64; i++)
        bytes[i] = query[i % row_bytes];
    return _mm512_loadu_si512(bytes);
}

AVX512_INLINE void score_packed(const struct score_args *a, bool half, int row_bytes)
{
    const uint8_t *row = a->rows;
    const int8_t *query = a->query;
    __m512i q_low = repeat(query, row_bytes),
            q_high = repeat(query + (half ? row_bytes : 0), row_bytes);
    int bytes = a->group_tokens * row_bytes,
        bias = (half ? SCORE_BIAS4 : SCORE_BIAS8) * a->query_sum;
    for (int g = 0; g < a->n_groups; g++, row += bytes) {
        __m512i best = _mm512_set1_epi32(INT32_MIN);
        for (int i = 0; i < bytes; i += 64) {
            int n = bytes - i < 64 ? bytes - i : 64;
            avx512_prefetch(row + i, AHEAD);
            __m512i v = _mm512_maskz_loadu_epi8(first_bytes(n), row + i);
            v = multiply(half, _mm512_setzero_si512(), v, q_low, q_high);
            v = sum_tokens(v, row_bytes);
            best = _mm512_mask_max_epi32(best, (__mmask16)((1u << n / 4) - 1), best, v);
        }
        float value = (float)(_mm512_reduce_max_epi32(best) - bias);
        a->scores[g] = value * avx512_scale(&a->scales[g]) * a->query_scale;
    }
}

static int dot(bool half, int row_bytes, const uint8_t *row, const int8_t *query)
{
    __m512i sum = _mm512_setzero_si512(), high = sum;
    for (int i = 0; i < row_bytes; i += 64) {
        __mmask64 mask = first_bytes(row_bytes - i);
        if (half)
            high = _mm512_maskz_loadu_epi8(mask, query + row_bytes + i);
        sum = multiply(half, sum, _mm512_maskz_loadu_epi8(mask, row + i),
                       _mm512_maskz_loadu_epi8(mask, query + i), high);
    }
    return _mm512_reduce_add_epi32(sum);
}

static void score_rows(const struct score_args *a, bool half, int row_bytes)
{
    const uint8_t *row = a->rows;
    int bias = (half ? SCORE_BIAS4 : SCORE_BIAS8) * a->query_sum;
    for (int g = 0; g < a->n_groups; g++) {
        int best = INT32_MIN;
        for (int t = 0; t < a->group_tokens; t++, row += row_bytes) {
            for (int i = 0; i < row_bytes; i += 64)
                avx512_prefetch(row + i, AHEAD);
            int sum = dot(half, row_bytes, row, a->query);
            best = sum > best ? sum : best;
        }
        a->scores[g] = (float)(best - bias) * avx512_scale(&a->scales[g]) * a->query_scale;
    }
}

AVX512_INLINE void score(const struct score_args *a, bool half)
{
    int row_bytes = half ? a->rank / 2 : a->rank;
    switch (row_bytes) { /* constants, so that each length gets a loop of its own */
    case 4:
        score_packed(a, half, 4);
        break;
    case 8:
        score_packed(a, half, 8);
        break;
    case 16:
        score_packed(a, half, 16);
        break;
    case 32:
        score_packed(a, half, 32);
        break;
    case 64:
        score_packed(a, half, 64);
        break;
    default:
        score_rows(a, half, row_bytes);
    }
}

static void score_int8(const struct score_args *a)
{
    score(a, false);
}

static void score_int4(const struct score_args *a)
{
    score(a, true);
}

void avx512_fill_score(struct kernels *table)
{
    table->score[SCORE_INT8] = score_int8;
    table->score[SCORE_INT4] = score_int4;
}

#endif
