/*
 * amx_unpack.c: quantised weights to bfloat16 for the tile products.
 *
 * Each value is computed in float, scale * q + minimum, and rounded once.
 */
#include "kernels/amx.h"

#if defined(__AMX_BF16__) && defined(__AVX512BF16__)

#include "kernels/amx_inline.h"
#include "kernels/avx2.h"

/* 16 signed bytes as floats. */
AVX512_INLINE __m512 bytes_ps(__m128i q)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(q));
}

/* 32 values: low and high half each with its scale and minimum. */
AVX512_INLINE void store_32(__m128i low, __m128i high, __m512 d0, __m512 m0, __m512 d1, __m512 m1,
                            uint8_t *to)
{
    __m512 a = _mm512_fmadd_ps(bytes_ps(low), d0, m0), b = _mm512_fmadd_ps(bytes_ps(high), d1, m1);
    _mm512_store_si512(to, amx_round(a, b));
}

/* Any format, by way of bytes. */
AVX512_INLINE void unpack_any(unpack_fn unpack, int group, int n, const uint8_t *w, uint8_t *to,
                              size_t step)
{
    int8_t q[FORMAT_SUPER];
    float d[FORMAT_SUPER / 16], m[FORMAT_SUPER / 16];
    unpack(n, w, q, d, m);
    for (int i = 0; i < n / 32; i++, to += step) {
        int first = group == 16 ? 2 * i : i, second = group == 16 ? 2 * i + 1 : i;
        store_32(_mm_loadu_si128((const void *)(q + 32 * i)),
                 _mm_loadu_si128((const void *)(q + 32 * i + 16)), _mm512_set1_ps(d[first]),
                 _mm512_set1_ps(m[first]), _mm512_set1_ps(d[second]), _mm512_set1_ps(m[second]),
                 to);
    }
}

#define UNPACK_ANY(name, type, group)                                                              \
    static void name(int n, const uint8_t *w, uint8_t *to, size_t step)                            \
    {                                                                                              \
        unpack_any(avx2_unpack(type), group, n, w, to, step);                                      \
    }

UNPACK_ANY(unpack_q4_1, TENSOR_Q4_1, 32)
UNPACK_ANY(unpack_q5_0, TENSOR_Q5_0, 32)
UNPACK_ANY(unpack_q5_1, TENSOR_Q5_1, 32)
UNPACK_ANY(unpack_q2_k, TENSOR_Q2_K, 16)
UNPACK_ANY(unpack_q3_k, TENSOR_Q3_K, 16)
UNPACK_ANY(unpack_q5_k, TENSOR_Q5_K, 32)
UNPACK_ANY(unpack_q6_k, TENSOR_Q6_K, 16)

/* The commonest formats go straight from the file's bytes to floats. */

static __m128i load_16(const uint8_t *p)
{
    return _mm_loadu_si128((const void *)p);
}

static __m128i low_nibbles(__m128i q)
{
    return _mm_and_si128(q, _mm_set1_epi8(15));
}

static __m128i high_nibbles(__m128i q)
{
    return _mm_and_si128(_mm_srli_epi16(q, 4), _mm_set1_epi8(15));
}

static void unpack_q4_0(int n, const uint8_t *w, uint8_t *to, size_t step)
{
    for (int i = 0; i < n; i += 32, w += sizeof(struct block_q4_0), to += step) {
        __m128i q = load_16(w + 2);
        __m512 d = _mm512_set1_ps(avx512_scale(w)), m = _mm512_mul_ps(d, _mm512_set1_ps(-8));
        store_32(low_nibbles(q), high_nibbles(q), d, m, d, m, to);
    }
}

static void unpack_q8_0(int n, const uint8_t *w, uint8_t *to, size_t step)
{
    const __m512 zero = _mm512_setzero_ps();
    for (int i = 0; i < n; i += 32, w += sizeof(struct block_q8_0), to += step) {
        __m512 d = _mm512_set1_ps(avx512_scale(w));
        store_32(load_16(w + 2), load_16(w + 18), d, zero, d, zero, to);
    }
}

/* The eight scales and (negative) minima of Q4_K. */
static void scales_minima(const uint8_t *w, float *d, float *m)
{
    const uint64_t six_bits = 0x3f3f3f3f, four_bits = 0x0f0f0f0f, two_bits = 0x03030303;
    uint64_t a = format_u32(w + 4), b = format_u32(w + 8), c = format_u32(w + 12);
    uint64_t scale = (a & six_bits) | ((c & four_bits) | (a >> 6 & two_bits) << 4) << 32;
    uint64_t min = (b & six_bits) | ((c >> 4 & four_bits) | (b >> 6 & two_bits) << 4) << 32;
    __m256 scales = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)scale)));
    __m256 minima = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)min)));
    _mm256_storeu_ps(d, _mm256_mul_ps(scales, _mm256_set1_ps(avx512_scale(w))));
    _mm256_storeu_ps(m, _mm256_mul_ps(minima, _mm256_set1_ps(-avx512_scale(w + 2))));
}

static void unpack_q4_k(int n, const uint8_t *w, uint8_t *to, size_t step)
{
    float d[8], m[8];
    (void)n; /* always a whole superblock */
    scales_minima(w, d, m);
    w += 16;
    for (int g = 0; g < 8; g += 2, w += 32, to += 2 * step) {
        __m128i q0 = load_16(w), q1 = load_16(w + 16);
        __m512 d0 = _mm512_set1_ps(d[g]), m0 = _mm512_set1_ps(m[g]);
        __m512 d1 = _mm512_set1_ps(d[g + 1]), m1 = _mm512_set1_ps(m[g + 1]);
        store_32(low_nibbles(q0), low_nibbles(q1), d0, m0, d0, m0, to);
        store_32(high_nibbles(q0), high_nibbles(q1), d1, m1, d1, m1, to + step);
    }
}

amx_unpack_fn amx_unpack(enum tensor_type type)
{
    static const amx_unpack_fn unpack[TENSOR_TYPE_COUNT] = {
        [TENSOR_Q4_0] = unpack_q4_0, [TENSOR_Q4_1] = unpack_q4_1, [TENSOR_Q5_0] = unpack_q5_0,
        [TENSOR_Q5_1] = unpack_q5_1, [TENSOR_Q8_0] = unpack_q8_0, [TENSOR_Q2_K] = unpack_q2_k,
        [TENSOR_Q3_K] = unpack_q3_k, [TENSOR_Q4_K] = unpack_q4_k, [TENSOR_Q5_K] = unpack_q5_k,
        [TENSOR_Q6_K] = unpack_q6_k};
    return unpack[type];
}

#endif
