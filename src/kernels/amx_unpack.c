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

UNPACK_ANY(unpack_q4_0, TENSOR_Q4_0, 32)
UNPACK_ANY(unpack_q4_1, TENSOR_Q4_1, 32)
UNPACK_ANY(unpack_q5_0, TENSOR_Q5_0, 32)
UNPACK_ANY(unpack_q5_1, TENSOR_Q5_1, 32)
UNPACK_ANY(unpack_q8_0, TENSOR_Q8_0, 32)
UNPACK_ANY(unpack_q2_k, TENSOR_Q2_K, 16)
UNPACK_ANY(unpack_q3_k, TENSOR_Q3_K, 16)
UNPACK_ANY(unpack_q4_k, TENSOR_Q4_K, 32)
UNPACK_ANY(unpack_q5_k, TENSOR_Q5_K, 32)
UNPACK_ANY(unpack_q6_k, TENSOR_Q6_K, 16)

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
