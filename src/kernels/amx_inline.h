/*
 * amx_inline.h: pieces that the AMX files share: the tile configuration, rounding to bfloat16 in
 * one or two parts, unpacking quantised weights to bfloat16. Only for files compiled for AMX.
 */
#ifndef KERNELS_AMX_INLINE_H
#define KERNELS_AMX_INLINE_H

#include "kernels/avx512_inline.h"

/**
 * n values of a quantised row (a multiple of 32, at most FORMAT_SUPER) to bfloat16, every 32 to a
 * cache line of their own, `step` bytes apart.
 */
typedef void (*amx_unpack_fn)(int n, const uint8_t *w, uint8_t *to, size_t step);

/** NULL for float types. */
amx_unpack_fn amx_unpack(enum tensor_type type);

/** All eight tiles: 16 rows of 64 bytes. Undone by _tile_release. */
AVX512_INLINE void amx_configure(void)
{
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        config.row_bytes[i] = 64;
        config.rows[i] = 16;
    }
    _tile_loadconfig(&config);
}

/**
 * Between vector and tile accesses to the same memory: the compiler's tile intrinsics do not say
 * what memory they touch.
 */
AVX512_INLINE void amx_barrier(void)
{
    __asm__ volatile("" ::: "memory");
}

/** 32 floats, a before b, to bfloat16. */
AVX512_INLINE __m512i amx_round(__m512 a, __m512 b)
{
    return (__m512i)_mm512_cvtne2ps_pbh(b, a);
}

/** What rounding a and b to `high` left over, rounded in turn. */
AVX512_INLINE __m512i amx_rest(__m512 a, __m512 b, __m512i high)
{
    __m512 high_a = avx512_bf16_ps(_mm512_castsi512_si256(high));
    __m512 high_b = avx512_bf16_ps(_mm512_extracti64x4_epi64(high, 1));
    return amx_round(_mm512_sub_ps(a, high_a), _mm512_sub_ps(b, high_b));
}

#endif
