/*
 * Tile products and layouts for the training step and orthogonal.c: AMX on bf16, AVX-512 around it.
 *
 * A "tile" is 1 KiB: 16 rows of 32 bf16 (left operand, row-major), or 16 pairs of rows by 16
 * columns (right operand: entry (p, c) holds rows 2p and 2p+1 of column c). A packed matrix is an
 * array of tiles; of a right operand [K x N], tile (n, k) is number n * (K/32) + k; of a left
 * operand [M x K], tile (m, k) is number m * (K/32) + k. Left operands may also lie row-major, as
 * they are.
 *
 * Products go 32 x 32 at a time into tile registers 0..3; 4 and 5 hold the left operand, 6 and 7
 * the right one, so each tile that is loaded serves two products.
 *
 * Everything here is inlined by force: a call would cost as much as the block that it handles.
 * It knows nothing of the model.
 */
#ifndef STEP_TILES_H
#define STEP_TILES_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define TILE 512   /* bf16 of a tile */
#define STEP_INLINE static inline __attribute__((always_inline, unused))

typedef uint16_t bf16;

/* The compiler's tile intrinsics do not say what memory they touch. */
STEP_INLINE void tiles_barrier(void)
{
    __asm__ volatile("" ::: "memory");
}

/* All 8 registers to 16 rows of 64 bytes. Once per thread, and again after _tile_release(). */
STEP_INLINE void tiles_configure(void)
{
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } __attribute__((aligned(64))) config = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        config.bytes[i] = 64;
        config.rows[i] = 16;
    }
    tiles_barrier();
    _tile_loadconfig(&config);
}

/* ---- products ---- */

STEP_INLINE void tiles_zero(void)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

/* 32 rows of 16 + 16 floats at left and right, rows ld floats apart. */
STEP_INLINE void tiles_load(const float *left, const float *right, long ld)
{
    tiles_barrier();
    _tile_loadd(0, left, ld * 4);
    _tile_loadd(1, right, ld * 4);
    _tile_loadd(2, left + 16 * ld, ld * 4);
    _tile_loadd(3, right + 16 * ld, ld * 4);
}

STEP_INLINE void tiles_store(float *left, float *right, long ld)
{
    _tile_stored(0, left, ld * 4);
    _tile_stored(1, right, ld * 4);
    _tile_stored(2, left + 16 * ld, ld * 4);
    _tile_stored(3, right + 16 * ld, ld * 4);
    tiles_barrier();
}

/*
 * Registers 0..3 += [a0; a1] [b0 b1], n tiles deep. Left tiles: rows `ld` elements apart, `step`
 * elements from one to the next. Right tiles lie one after another.
 */
STEP_INLINE void tiles_multiply(const bf16 *a0, const bf16 *a1, long ld, long step,
                                const bf16 *b0, const bf16 *b1, long n)
{
    tiles_barrier();
    for (long i = 0; i < n; i++) {
        _tile_loadd(4, a0, ld * 2);
        _tile_loadd(6, b0, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(5, a1, ld * 2);
        _tile_dpbf16ps(2, 5, 6);
        _tile_loadd(7, b1, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(3, 5, 7);
        a0 += step;
        a1 += step;
        b0 += TILE;
        b1 += TILE;
    }
}

/* Tile (n, k) of a packed matrix, `depth` tiles deep. */
STEP_INLINE bf16 *tile_at(bf16 *packed, long depth, long n, long k)
{
    return packed + (n * depth + k) * TILE;
}

/*
 * c (32 x 32) = 32 rows of a, row-major, times the columns from 32 n on of the packed matrix b;
 * both are `depth` tiles deep.
 */
STEP_INLINE void block_product(float *c, long ldc, const bf16 *a, long lda, const bf16 *b,
                               long depth, long n)
{
    b += 2 * n * depth * TILE;
    tiles_zero();
    tiles_multiply(a, a + 16 * lda, lda, 32, b, b + depth * TILE, depth);
    tiles_store(c, c + 16, ldc);
}

/* The same, added to c. */
STEP_INLINE void block_add(float *c, long ldc, const bf16 *a, long lda, const bf16 *b, long depth,
                           long n)
{
    b += 2 * n * depth * TILE;
    tiles_load(c, c + 16, ldc);
    tiles_multiply(a, a + 16 * lda, lda, 32, b, b + depth * TILE, depth);
    tiles_store(c, c + 16, ldc);
}

/* ---- between floats and bf16 ---- */

STEP_INLINE void store_half(bf16 *to, __m512 x)
{
    _mm256_storeu_si256((__m256i *)to, (__m256i)_mm512_cvtneps_pbh(x));
}

STEP_INLINE void store_halves(bf16 *to, __m512 low, __m512 high)
{
    _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(high, low));
}

STEP_INLINE __m512 load_half(const bf16 *from)
{
    __m512i x = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(x, 16));
}

/* n floats as bf16; n is a multiple of 32. */
STEP_INLINE void halves_of(bf16 *to, const float *from, long n)
{
    for (long i = 0; i < n; i += 32) {
        store_halves(to + i, _mm512_loadu_ps(from + i), _mm512_loadu_ps(from + i + 16));
    }
}

/* Entry c: (a[c], b[c]) as bf16. */
STEP_INLINE __m512i pair_floats(__m512 a, __m512 b)
{
    __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(a));
    __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(b));
    return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}

/* ---- layouts ---- */

/* The transpose of 16 x 16 dwords. */
STEP_INLINE void transpose16(__m512i r[16])
{
    __m512i t[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 4; i++) {
        r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
        r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

/* 16 columns of two rows of bf16, interleaved. */
STEP_INLINE __m512i pair_halves(const bf16 *a, const bf16 *b)
{
    __m512i low = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)a));
    __m512i high = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)b));
    return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}

/* The right tile of 32 rows by 16 columns at x. */
STEP_INLINE void pack_right(bf16 *to, const bf16 *x, long ld)
{
    for (int p = 0; p < 16; p++) {
        _mm512_storeu_si512(to + 32 * p, pair_halves(x + 2 * p * ld, x + (2 * p + 1) * ld));
    }
}

/* The left tile of the transpose: 16 columns of x by its 32 rows. */
STEP_INLINE void pack_left_transposed(bf16 *to, const bf16 *x, long ld)
{
    __m512i r[16];
#pragma GCC unroll 16
    for (int p = 0; p < 16; p++) {
        r[p] = pair_halves(x + 2 * p * ld, x + (2 * p + 1) * ld);
    }
    transpose16(r);
#pragma GCC unroll 16
    for (int p = 0; p < 16; p++) {
        _mm512_storeu_si512(to + 32 * p, r[p]);
    }
}

/* The right tile of the transpose: 16 rows of x, 32 columns each, become 32 rows of 16 columns. */
STEP_INLINE void pack_right_transposed(bf16 *to, const bf16 *x, long ld)
{
    __m512i r[16];
#pragma GCC unroll 16
    for (int p = 0; p < 16; p++) {
        r[p] = _mm512_loadu_si512(x + p * ld);
    }
    transpose16(r);
#pragma GCC unroll 16
    for (int p = 0; p < 16; p++) {
        _mm512_storeu_si512(to + 32 * p, r[p]);
    }
}

/* The right tile of 32 rows by 16 columns of floats, times factors by row and column (or NULL). */
STEP_INLINE void pack_floats(bf16 *to, const float *x, long ld, const float *by_row,
                             const float *by_column)
{
    __m512 columns = by_column ? _mm512_loadu_ps(by_column) : _mm512_set1_ps(1.0f);
    for (int p = 0; p < 16; p++) {
        __m512 first = _mm512_mul_ps(columns, _mm512_set1_ps(by_row ? by_row[2 * p] : 1.0f));
        __m512 second = _mm512_mul_ps(columns, _mm512_set1_ps(by_row ? by_row[2 * p + 1] : 1.0f));
        __m512 a = _mm512_mul_ps(_mm512_loadu_ps(x + 2 * p * ld), first);
        __m512 b = _mm512_mul_ps(_mm512_loadu_ps(x + (2 * p + 1) * ld), second);
        _mm512_storeu_si512(to + 32 * p, pair_floats(a, b));
    }
}

/*
 * The right tile of the transpose of 16 rows of 16 + 16 floats at low and high; factors as above,
 * those by column for the low and the high half.
 */
STEP_INLINE void pack_floats_transposed(bf16 *to, const float *low, const float *high, long ld,
                                        const float *by_row, const float *by_column)
{
    __m512i r[16];
    __m512 one = _mm512_set1_ps(1.0f);
    __m512 first = by_column ? _mm512_loadu_ps(by_column) : one;
    __m512 second = by_column ? _mm512_loadu_ps(by_column + 16) : one;
#pragma GCC unroll 16
    for (int p = 0; p < 16; p++) {
        __m512 by = _mm512_set1_ps(by_row ? by_row[p] : 1.0f);
        __m512 a = _mm512_mul_ps(_mm512_loadu_ps(low + p * ld), _mm512_mul_ps(first, by));
        __m512 b = _mm512_mul_ps(_mm512_loadu_ps(high + p * ld), _mm512_mul_ps(second, by));
        r[p] = (__m512i)_mm512_cvtne2ps_pbh(b, a);
    }
    transpose16(r);
#pragma GCC unroll 16
    for (int p = 0; p < 16; p++) {
        _mm512_storeu_si512(to + 32 * p, r[p]);
    }
}

/* ---- functions ---- */

/* 2^x, to about 1e-6; very small x give 0. A polynomial of x less its nearest whole number. */
STEP_INLINE __m512 exp2_fast(__m512 x)
{
    __m512 n = _mm512_roundscale_ps(x, 0);
    __m512 f = _mm512_sub_ps(x, n);
    __m512 p = _mm512_set1_ps(1.33336e-3f);
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(9.618129e-3f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(5.550411e-2f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(2.402265e-1f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(6.931472e-1f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, n);
}

/* 1 / (1 + e^-x). Below -60 it stays: e^-x would overflow, and its reciprocal be no number. */
STEP_INLINE __m512 sigmoid(__m512 x)
{
    __m512 most = _mm512_max_ps(x, _mm512_set1_ps(-60.0f));
    __m512 e = exp2_fast(_mm512_mul_ps(most, _mm512_set1_ps(-1.44269504f)));
    __m512 one = _mm512_set1_ps(1.0f), y = _mm512_add_ps(one, e);
    __m512 r = _mm512_rcp14_ps(y);   /* 14 bits, doubled by one Newton step */
    return _mm512_mul_ps(r, _mm512_fnmadd_ps(y, r, _mm512_set1_ps(2.0f)));
}

#endif
