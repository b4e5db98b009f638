/*
 * avx512_inline.h: small AVX-512 pieces that several files build on: loops that must be unrolled,
 * scales, prefetching, transposition, the exponential. Only for files compiled for AVX-512.
 */
#ifndef KERNELS_AVX512_INLINE_H
#define KERNELS_AVX512_INLINE_H

#include "kernels/formats.h"

#include <immintrin.h>

#define AVX512_INLINE static inline __attribute__((always_inline))

/** Before a short loop over an array of vectors: keeps the array in registers. */
#define UNROLL _Pragma("GCC unroll 32")

/** binary16 to float through the converter; h is the raw bits. */
AVX512_INLINE float avx512_scale(const void *p)
{
    return _cvtsh_ss(format_u16(p));
}

AVX512_INLINE uint64_t avx512_load_u64(const void *p)
{
    uint64_t bits;
    memcpy(&bits, p, 8);
    return bits;
}

AVX512_INLINE uint16_t avx512_load_u16(const void *p)
{
    uint16_t bits;
    memcpy(&bits, p, 2);
    return bits;
}

/** Ask for a cache line that may lie outside the array; the address is never dereferenced. */
AVX512_INLINE void avx512_prefetch(const void *p, size_t ahead)
{
    _mm_prefetch((const char *)((uintptr_t)p + ahead), _MM_HINT_T0);
}

/**
 * How far ahead of a group of rows to prefetch: a whole number of groups, so that what is asked for
 * are rows, and enough bytes to cover the memory's latency; a small part of the L1 cache.
 */
AVX512_INLINE size_t avx512_ahead(size_t group_bytes)
{
    const size_t enough = 8 << 10;
    return group_bytes >= enough ? group_bytes : enough / group_bytes * group_bytes;
}

/** Four 16-byte pieces, `step` bytes apart. */
AVX512_INLINE __m512i avx512_load_4x16(const uint8_t *p, size_t step)
{
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const void *)p));
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(p + step)), 1);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(p + 2 * step)), 2);
    return _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(p + 3 * step)), 3);
}

/** Four binary16 numbers, `step` bytes apart, as floats. */
AVX512_INLINE __m128 avx512_scales_4(const uint8_t *p, size_t step)
{
    uint64_t bits = avx512_load_u16(p) | (uint64_t)avx512_load_u16(p + step) << 16 |
                    (uint64_t)avx512_load_u16(p + 2 * step) << 32 |
                    (uint64_t)avx512_load_u16(p + 3 * step) << 48;
    return _mm_cvtph_ps(_mm_cvtsi64_si128((long long)bits));
}

/** Float i in lanes 4i to 4i + 3. */
AVX512_INLINE __m512 avx512_spread_4(__m128 v)
{
    const __m512i each = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    return _mm512_permutexvar_ps(each, _mm512_castps128_ps512(v));
}

/** 16 values of BF16. */
AVX512_INLINE __m512 avx512_bf16_ps(__m256i v)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16));
}

/**
 * e^x: 2^n * 2^f, |f| <= 1/2, the second factor by a polynomial of degree 6 (relative error below
 * 2e-7). Underflow gives 0, -infinity gives 0, overflow infinity, NaN NaN.
 */
AVX512_INLINE __m512 avx512_exp(__m512 x)
{
    const __m512 log2e = _mm512_set1_ps(1.44269504f);
    /* Keeps n within int32, and -infinity from becoming NaN; the scaling below saturates. */
    __m512 t = _mm512_min_ps(_mm512_set1_ps(200.0f), _mm512_max_ps(_mm512_set1_ps(-200.0f), x));
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(t, log2e), _MM_FROUND_TO_NEAREST_INT);
    /* ln 2 in two parts, so that the remainder is exact to the last bit */
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), t);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
    __m512 p = _mm512_set1_ps(1.3888889e-3f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.3333333e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.1666667e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.6666667e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, n);
}

/** Transpose a 16 x 16 matrix of 32-bit words: v[i] becomes column i. */
AVX512_INLINE void avx512_transpose(__m512i v[16])
{
    __m512i a[16], b[16];
    UNROLL for (int i = 0; i < 16; i += 2) {
        a[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    }
    UNROLL for (int i = 0; i < 16; i += 4) {
        b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
        b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
        b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
        b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
    }
    UNROLL for (int i = 0; i < 4; i++) {
        a[i] = _mm512_shuffle_i32x4(b[i], b[i + 4], 0x88);
        a[i + 4] = _mm512_shuffle_i32x4(b[i], b[i + 4], 0xdd);
        a[i + 8] = _mm512_shuffle_i32x4(b[i + 8], b[i + 12], 0x88);
        a[i + 12] = _mm512_shuffle_i32x4(b[i + 8], b[i + 12], 0xdd);
    }
    UNROLL for (int i = 0; i < 4; i++) {
        v[i] = _mm512_shuffle_i32x4(a[i], a[i + 8], 0x88);
        v[i + 8] = _mm512_shuffle_i32x4(a[i], a[i + 8], 0xdd);
        v[i + 4] = _mm512_shuffle_i32x4(a[i + 4], a[i + 12], 0x88);
        v[i + 12] = _mm512_shuffle_i32x4(a[i + 4], a[i + 12], 0xdd);
    }
}

/** The low n lanes, n from 0 to 16. */
AVX512_INLINE __mmask16 avx512_first(int n)
{
    return (__mmask16)((1u << n) - 1);
}

#endif
