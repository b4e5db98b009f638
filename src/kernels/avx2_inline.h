/*
 * avx2_inline.h: small AVX2 pieces that several files build on: horizontal sums, byte dot products,
 * nibbles, the exponential. Only for files compiled with -mavx2 -mfma -mf16c.
 */
#ifndef KERNELS_AVX2_INLINE_H
#define KERNELS_AVX2_INLINE_H

#include "kernels/formats.h"
#include <immintrin.h>

#define AVX2_INLINE static inline __attribute__((always_inline))

AVX2_INLINE float avx2_sum4(__m128 v)
{
    v = _mm_add_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_add_ss(v, _mm_movehdup_ps(v)));
}

AVX2_INLINE float avx2_sum8(__m256 v)
{
    return avx2_sum4(_mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1)));
}

AVX2_INLINE float avx2_max8(__m256 v)
{
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

/** Lane i is the sum of v[i]. */
AVX2_INLINE __m256 avx2_sum_each(const __m256 v[8])
{
    __m256 a = _mm256_hadd_ps(_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[3]));
    __m256 b = _mm256_hadd_ps(_mm256_hadd_ps(v[4], v[5]), _mm256_hadd_ps(v[6], v[7]));
    return _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
}

/** Transpose an 8 x 8 matrix of 32-bit words: v[i] becomes column i. */
AVX2_INLINE void avx2_transpose(__m256 v[8])
{
    __m256 a[8], b[8];
    _Pragma("GCC unroll 8") for (int i = 0; i < 8; i += 2) {
        a[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
        a[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
    }
    _Pragma("GCC unroll 8") for (int i = 0; i < 8; i += 4) {
        b[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
        b[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xee);
        b[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44);
        b[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xee);
    }
    _Pragma("GCC unroll 8") for (int i = 0; i < 4; i++) {
        v[i] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
        v[i + 4] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
    }
}

/** The binary16 at p. */
AVX2_INLINE float avx2_scale(const void *p)
{
    return _cvtsh_ss(format_u16(p));
}

AVX2_INLINE __m256 avx2_load_f16(const void *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128(p));
}

AVX2_INLINE __m256 avx2_load_bf16(const void *p)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(p)), 16));
}

/** Products of 32 unsigned and 32 signed bytes, summed in eight int32. Pairs fit 16 bits. */
AVX2_INLINE __m256i avx2_dot_us(__m256i u, __m256i s)
{
    return _mm256_madd_epi16(_mm256_maddubs_epi16(u, s), _mm256_set1_epi16(1));
}

/** As avx2_dot_us for two signed vectors; w may hold -128, x may not. */
AVX2_INLINE __m256i avx2_dot_ss(__m256i w, __m256i x)
{
    return avx2_dot_us(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
}

/** 16 bytes to 32: low nibbles, then high nibbles. */
AVX2_INLINE __m256i avx2_nibbles(const uint8_t *p)
{
    __m128i low = _mm_loadu_si128((const void *)p);
    __m256i both = _mm256_set_m128i(_mm_srli_epi16(low, 4), low);
    return _mm256_and_si256(both, _mm256_set1_epi8(15));
}

/** Byte i is `value` where bit i of `bits` is set, else 0. */
AVX2_INLINE __m256i avx2_spread_bits(uint32_t bits, char value)
{
    const __m256i byte = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202,
                                            0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201ull);
    __m256i b = _mm256_shuffle_epi8(_mm256_set1_epi32((int)bits), byte);
    b = _mm256_cmpeq_epi8(_mm256_and_si256(b, bit), bit);
    return _mm256_and_si256(b, _mm256_set1_epi8(value));
}

/** Scales (0-7) and minima (8-15) of a Q4_K or Q5_K block as 16 bytes. */
AVX2_INLINE __m128i avx2_scales_k4(const uint8_t s[12])
{
    uint32_t a = format_u32(s), b = format_u32(s + 4), c = format_u32(s + 8);
    uint32_t scales = (c & 0x0f0f0f0fu) | (a >> 6 & 0x03030303u) << 4;
    uint32_t mins = (c >> 4 & 0x0f0f0f0fu) | (b >> 6 & 0x03030303u) << 4;
    return _mm_setr_epi32((int)(a & 0x3f3f3f3fu), (int)scales, (int)(b & 0x3f3f3f3fu), (int)mins);
}

/** The 16 scales of a Q3_K block, -32..31. */
AVX2_INLINE __m128i avx2_scales_q3(const uint8_t s[12])
{
    uint32_t a = format_u32(s), b = format_u32(s + 4), c = format_u32(s + 8);
    __m128i low = _mm_setr_epi32((int)a, (int)b, (int)(a >> 4), (int)(b >> 4));
    __m128i high = _mm_setr_epi32((int)c, (int)(c >> 2), (int)(c >> 4), (int)(c >> 6));
    low = _mm_and_si128(low, _mm_set1_epi8(15));
    high = _mm_slli_epi16(_mm_and_si128(high, _mm_set1_epi8(3)), 4);
    return _mm_sub_epi8(_mm_or_si128(low, high), _mm_set1_epi8(32));
}

/** Eight unsigned (signed) bytes at the low end as floats. */
AVX2_INLINE __m256 avx2_float_u8(__m128i bytes)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
}

AVX2_INLINE __m256 avx2_float_s8(__m128i bytes)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
}

/**
 * exp(x) within 2 ulp; 0 below about -87.3, largest near 88.7, NaN stays NaN. x = n ln 2 + r with
 * |r| <= ln 2 / 2; e^r by a polynomial of degree 6 (Cephes' expf), 2^n through the exponent.
 */
AVX2_INLINE __m256 avx2_exp(__m256 x)
{
    const __m256 low = _mm256_set1_ps(-87.33654f), high = _mm256_set1_ps(88.37626f);
    __m256 alive = _mm256_cmp_ps(x, low, _CMP_NLT_UQ);
    x = _mm256_max_ps(low, _mm256_min_ps(high, x));
    __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)),
                               _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), r);
    __m256 p = _mm256_set1_ps(1.9875691500e-4f);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.3981999507e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(8.3334519073e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(4.1665795894e-2f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.6666665459e-1f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(5.0000001201e-1f));
    p = _mm256_fmadd_ps(p, _mm256_mul_ps(r, r), _mm256_add_ps(r, _mm256_set1_ps(1)));
    __m256i power = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
    __m256 y = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), power));
    return _mm256_and_ps(y, alive);
}

#endif
