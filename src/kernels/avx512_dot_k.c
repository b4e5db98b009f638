/*
 * avx512_dot_k.c: decode products of the K formats: superblocks of 256 values with scales of their
 * own inside. As in avx512_dot.c, four rows and up to four tokens pass at once, weights are
 * unsigned and coming rows are prefetched. Q4_K, Q5_K and Q6_K have loops of their own; the rarer
 * Q2_K and Q3_K are unpacked to bytes first.
 */
#include "kernels/avx512.h"

#if defined(__AVX512F__) && defined(__AVX512VNNI__)

#include "kernels/avx2.h"
#include "kernels/avx512_inline.h"

enum { ROWS = 4, TOKENS = 4 };

/* Ask for a superblock further on. */
AVX512_INLINE void prefetch_block(const uint8_t *p, size_t ahead, size_t bytes)
{
    UNROLL for (size_t line = 0; line < bytes; line += 64)
        avx512_prefetch(p, ahead + line);
}

/* Lanes 0-7 take float 2j of v, lanes 8-15 float 2j + 2, for j = 0, 4; odd: one further. */
AVX512_INLINE __m512 spread_pair(__m512 v, int first, int second)
{
    __m512i each = _mm512_inserti64x4(_mm512_set1_epi32(first), _mm256_set1_epi32(second), 1);
    return _mm512_permutexvar_ps(each, v);
}

/* ---- Q4_K, Q5_K ---- */

/* A superblock of activations. Quarters are 64 values: groups 2i and 2i + 1. */
struct x_super {
    __m512i even[2], odd[2]; /* groups 0, 2 and 4, 6; groups 1, 3 and 5, 7 */
    __m512 factors;          /* the groups' scales, then their sums, negative */
};

AVX512_INLINE struct x_super load_x_super(bool fifth, const struct act_row *x, int at)
{
    /* Q4_K multiplies the odd groups' nibbles where they are, 4 bits up. */
    const __m256 undo = fifth ? _mm256_set1_ps(1)
                              : _mm256_setr_ps(1, 0.0625f, 1, 0.0625f, 1, 0.0625f, 1, 0.0625f);
    struct x_super super;
    UNROLL for (int i = 0; i < 2; i++) {
        __m512i a = _mm512_loadu_si512(x->q + at + 128 * i);
        __m512i b = _mm512_loadu_si512(x->q + at + 128 * i + 64);
        super.even[i] = _mm512_shuffle_i64x2(a, b, 0x44);
        super.odd[i] = _mm512_shuffle_i64x2(a, b, 0xee);
    }
    __m256 d = _mm256_mul_ps(_mm256_loadu_ps(x->d + at / ACT_BLOCK), undo);
    __m512 s = _mm512_loadu_ps(x->s + at / ACT_SUM_BLOCK);
    s = _mm512_add_ps(s, _mm512_permute_ps(s, 0xb1));
    s = _mm512_maskz_compress_ps(0x5555, _mm512_sub_ps(_mm512_setzero_ps(), s));
    super.factors = _mm512_insertf32x8(_mm512_castps256_ps512(d), _mm512_castps512_ps256(s), 1);
    return super;
}

/* The first 16 bytes of four rows' superblocks: per lane 8 scales and 8 minima as bytes; d and dmin
 * of each row. */
struct headers {
    __m512i scales;
    __m512 d;
};

AVX512_INLINE struct headers load_headers(int n_rows, const uint8_t *w, size_t row_bytes)
{
    const __m512i shifts = _mm512_set4_epi32(4, 0, 0, 0);
    const __m512i low_bits = _mm512_set4_epi32(0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f);
    const __m512i high_bits = _mm512_set4_epi32(0x30303030, 0, 0x30303030, 0);
    const __m512i lane_starts = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    __m512i h = n_rows == ROWS
                    ? avx512_load_4x16(w, row_bytes)
                    : _mm512_zextsi128_si512(_mm_loadu_si128((const void *)w));
    __m512i low = _mm512_srlv_epi32(_mm512_shuffle_epi32(h, (_MM_PERM_ENUM)0xed), shifts);
    __m512i high = _mm512_srli_epi32(_mm512_shuffle_epi32(h, (_MM_PERM_ENUM)0xa5), 2);
    __m512i halves = _mm512_permutexvar_epi32(lane_starts, h);
    return (struct headers){
        .scales = _mm512_or_si512(_mm512_and_si512(low, low_bits),
                                  _mm512_and_si512(high, high_bits)),
        .d = _mm512_castps256_ps512(_mm256_cvtph_ps(_mm512_castsi512_si128(halves)))};
}

/* One row's scales (lanes 0-7) and minima (8-15). */
AVX512_INLINE __m512 row_factors(const struct headers *h, int r)
{
    __m512i each = _mm512_inserti64x4(_mm512_set1_epi32(2 * r), _mm256_set1_epi32(2 * r + 1), 1);
    __m128i bytes = r == 0   ? _mm512_castsi512_si128(h->scales)
                    : r == 1 ? _mm512_extracti32x4_epi32(h->scales, 1)
                    : r == 2 ? _mm512_extracti32x4_epi32(h->scales, 2)
                             : _mm512_extracti32x4_epi32(h->scales, 3);
    return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes)),
                         _mm512_permutexvar_ps(each, h->d));
}

/* Add bit `first` (lower half) and `second` (upper half) of the fifth-bit bytes to q. */
AVX512_INLINE __m512i add_fifth(__m512i q, __m512i bits, int first, int second)
{
    __m512i wanted = _mm512_inserti64x4(_mm512_set1_epi8((char)(1 << first)),
                                        _mm256_set1_epi8((char)(1 << second)), 1);
    return _mm512_mask_add_epi8(q, _mm512_test_epi8_mask(bits, wanted), q, _mm512_set1_epi8(16));
}

/* A superblock of one row, unpacked. */
struct w_super {
    __m512i even[2], odd[2]; /* as in x_super, unsigned */
    __m512 factors;
};

/* `fifth`: Q5_K. */
AVX512_INLINE struct w_super load_w_super(bool fifth, const uint8_t *w, __m512 factors)
{
    struct w_super super = {.factors = factors};
    const __m512i low = _mm512_set1_epi8(15), high = _mm512_set1_epi8((char)0xf0);
    const uint8_t *qs = w + (fifth ? 48 : 16);
    __m512i bits = _mm512_setzero_si512();
    if (fifth)
        bits = _mm512_broadcast_i64x4(_mm256_loadu_si256((const void *)(w + 16)));
    UNROLL for (int i = 0; i < 2; i++) {
        __m512i q = _mm512_loadu_si512(qs + 64 * i);
        __m512i even = _mm512_and_si512(q, low), odd = _mm512_and_si512(q, high);
        if (fifth) {
            even = add_fifth(even, bits, 4 * i, 4 * i + 2);
            odd = _mm512_and_si512(_mm512_srli_epi16(q, 4), low);
            odd = add_fifth(odd, bits, 4 * i + 1, 4 * i + 3);
        }
        super.even[i] = even;
        super.odd[i] = odd;
    }
    return super;
}

AVX512_INLINE __m512 four_bit_multiply(const struct w_super *w, const struct x_super *x,
                                       __m512 sum)
{
    const __m512i zero = _mm512_setzero_si512();
    __m512 factors = _mm512_mul_ps(w->factors, x->factors); /* and minima times sums */
    sum = _mm512_mask_add_ps(sum, 0xff00, sum, factors);
    UNROLL for (int i = 0; i < 2; i++) {
        __m512i even = _mm512_dpbusd_epi32(zero, w->even[i], x->even[i]);
        __m512i odd = _mm512_dpbusd_epi32(zero, w->odd[i], x->odd[i]);
        sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(even), spread_pair(factors, 4 * i, 4 * i + 2),
                              sum);
        sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(odd), spread_pair(factors, 4 * i + 1, 4 * i + 3),
                              sum);
    }
    return sum;
}

/* n_rows rows times n_tok tokens, both constants: y[t * y_stride + r]. */
AVX512_INLINE void four_bit_group(bool fifth, int n_rows, int n_tok, int k, const uint8_t *w,
                                  size_t row_bytes, const struct act_row *x, float *y,
                                  size_t y_stride)
{
    const size_t bytes = fifth ? sizeof(struct block_q5_k) : sizeof(struct block_q4_k);
    size_t ahead = avx512_ahead(row_bytes * (size_t)n_rows);
    __m512 sum[TOKENS][ROWS];
    struct x_super super[TOKENS];
    UNROLL for (int t = 0; t < n_tok; t++)
        UNROLL for (int r = 0; r < n_rows; r++)
            sum[t][r] = _mm512_setzero_ps();
    for (int at = 0; at < k; at += FORMAT_SUPER, w += bytes) {
        UNROLL for (int t = 0; t < n_tok; t++)
            super[t] = load_x_super(fifth, &x[t], at);
        struct headers h = load_headers(n_rows, w, row_bytes);
        UNROLL for (int r = 0; r < n_rows; r++) {
            const uint8_t *row = w + (size_t)r * row_bytes;
            prefetch_block(row, ahead, bytes);
            struct w_super weights = load_w_super(fifth, row, row_factors(&h, r));
            UNROLL for (int t = 0; t < n_tok; t++)
                sum[t][r] = four_bit_multiply(&weights, &super[t], sum[t][r]);
        }
    }
    UNROLL for (int t = 0; t < n_tok; t++)
        UNROLL for (int r = 0; r < n_rows; r++)
            y[(size_t)t * y_stride + (size_t)r] = _mm512_reduce_add_ps(sum[t][r]);
}

/* ---- Q6_K ---- */

/* A superblock of activations in memory order. */
struct x_six {
    __m512i q[4], start[4]; /* 64 values each; -32 times their sums */
    __m512 d;               /* per group of 16 */
};

AVX512_INLINE struct x_six load_x_six(const struct act_row *x, int at)
{
    const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    const __m512i zero = _mm512_setzero_si512();
    struct x_six six;
    UNROLL for (int i = 0; i < 4; i++) {
        six.q[i] = _mm512_loadu_si512(x->q + at + 64 * i);
        six.start[i] = _mm512_sub_epi32(
            zero, _mm512_dpbusd_epi32(zero, _mm512_set1_epi8(32), six.q[i]));
    }
    six.d = _mm512_permutexvar_ps(
        twice, _mm512_castps256_ps512(_mm256_loadu_ps(x->d + at / ACT_BLOCK)));
    return six;
}

/* Lanes 4j to 4j + 3 take float 4i + j. */
AVX512_INLINE __m512 spread_four(__m512 v, int i)
{
    const __m512i each = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    return _mm512_permutexvar_ps(_mm512_add_epi32(each, _mm512_set1_epi32(4 * i)), v);
}

/* A superblock of one row, unpacked. */
struct w_six {
    __m512i q[4]; /* as in x_six, unsigned */
    __m512 factors;
};

AVX512_INLINE struct w_six load_w_six(const uint8_t *w)
{
    struct w_six six;
    const __m512i four_bits = _mm512_set1_epi8(15), high_bits = _mm512_set1_epi8(0x30);
    /* Left shifts for values 0-31 and 32-63 of a half, right shifts for 64-95 and 96-127. */
    const __m512i left = _mm512_inserti64x4(_mm512_set1_epi16(4), _mm256_set1_epi16(2), 1);
    const __m512i right = _mm512_inserti64x4(_mm512_set1_epi16(0), _mm256_set1_epi16(2), 1);
    __m128i bytes = _mm_loadu_si128((const void *)(w + 192));
    six.factors = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)),
                                _mm512_set1_ps(avx512_scale(w + 208)));
    UNROLL for (int i = 0; i < 2; i++) {
        __m512i low = _mm512_loadu_si512(w + 64 * i);
        __m512i high = _mm512_broadcast_i64x4(
            _mm256_loadu_si256((const void *)(w + 128 + 32 * i)));
        six.q[2 * i] = _mm512_or_si512(
            _mm512_and_si512(low, four_bits),
            _mm512_and_si512(_mm512_sllv_epi16(high, left), high_bits));
        six.q[2 * i + 1] = _mm512_or_si512(
            _mm512_and_si512(_mm512_srli_epi16(low, 4), four_bits),
            _mm512_and_si512(_mm512_srlv_epi16(high, right), high_bits));
    }
    return six;
}

AVX512_INLINE __m512 six_bit_multiply(const struct w_six *w, const struct x_six *x, __m512 sum)
{
    __m512 factors = _mm512_mul_ps(w->factors, x->d);
    UNROLL for (int i = 0; i < 4; i++) {
        __m512i dot = _mm512_dpbusd_epi32(x->start[i], w->q[i], x->q[i]);
        sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), spread_four(factors, i), sum);
    }
    return sum;
}

AVX512_INLINE void six_bit_group(int n_rows, int n_tok, int k, const uint8_t *w, size_t row_bytes,
                                 const struct act_row *x, float *y, size_t y_stride)
{
    const size_t bytes = sizeof(struct block_q6_k);
    size_t ahead = avx512_ahead(row_bytes * (size_t)n_rows);
    __m512 sum[TOKENS][ROWS];
    struct x_six six[TOKENS];
    UNROLL for (int t = 0; t < n_tok; t++)
        UNROLL for (int r = 0; r < n_rows; r++)
            sum[t][r] = _mm512_setzero_ps();
    for (int at = 0; at < k; at += FORMAT_SUPER, w += bytes) {
        UNROLL for (int t = 0; t < n_tok; t++)
            six[t] = load_x_six(&x[t], at);
        UNROLL for (int r = 0; r < n_rows; r++) {
            const uint8_t *row = w + (size_t)r * row_bytes;
            prefetch_block(row, ahead, bytes);
            struct w_six weights = load_w_six(row);
            UNROLL for (int t = 0; t < n_tok; t++)
                sum[t][r] = six_bit_multiply(&weights, &six[t], sum[t][r]);
        }
    }
    UNROLL for (int t = 0; t < n_tok; t++)
        UNROLL for (int r = 0; r < n_rows; r++)
            y[(size_t)t * y_stride + (size_t)r] = _mm512_reduce_add_ps(sum[t][r]);
}

/* ---- Any number of rows and tokens ---- */

AVX512_INLINE void dot_group(enum tensor_type type, int n_rows, int n_tok, int k, const uint8_t *w,
                             size_t row_bytes, const struct act_row *x, float *y, size_t y_stride)
{
    if (type == TENSOR_Q6_K)
        six_bit_group(n_rows, n_tok, k, w, row_bytes, x, y, y_stride);
    else
        four_bit_group(type == TENSOR_Q5_K, n_rows, n_tok, k, w, row_bytes, x, y, y_stride);
}

AVX512_INLINE void dot_rows(enum tensor_type type, int n_rows, int n_tok, int k, const void *w,
                            size_t row_bytes, const struct act_row *x, float *y, size_t y_stride)
{
    const uint8_t *row = w;
    int r = 0;
    for (; r + ROWS <= n_rows; r += ROWS, row += ROWS * row_bytes)
        dot_group(type, ROWS, n_tok, k, row, row_bytes, x, y + r, y_stride);
    for (; r < n_rows; r++, row += row_bytes)
        dot_group(type, 1, n_tok, k, row, row_bytes, x, y + r, y_stride);
}

/* Four tokens at a time, then two, then one. */
AVX512_INLINE void dots_rows(enum tensor_type type, int n_rows, int n_tok, int k, const void *w,
                             size_t row_bytes, const struct act_row *x, float *y, size_t y_stride)
{
    int t = 0;
    for (; t + TOKENS <= n_tok; t += TOKENS, y += TOKENS * y_stride)
        dot_rows(type, n_rows, TOKENS, k, w, row_bytes, x + t, y, y_stride);
    for (; t + 2 <= n_tok; t += 2, y += 2 * y_stride)
        dot_rows(type, n_rows, 2, k, w, row_bytes, x + t, y, y_stride);
    if (t < n_tok)
        dot_rows(type, n_rows, 1, k, w, row_bytes, x + t, y, y_stride);
}

#define DOTS(name, type)                                                                           \
    static void dot_##name(int n_rows, int k, const void *w, size_t row_bytes,                     \
                           const struct act_row *x, float *y)                                      \
    {                                                                                              \
        dot_rows(type, n_rows, 1, k, w, row_bytes, x, y, 0);                                       \
    }                                                                                              \
    static void dots_##name(int n_rows, int n_tok, int k, const void *w, size_t row_bytes,         \
                            const struct act_row *x, float *y, size_t y_stride)                    \
    {                                                                                              \
        dots_rows(type, n_rows, n_tok, k, w, row_bytes, x, y, y_stride);                           \
    }

DOTS(q4_k, TENSOR_Q4_K)
DOTS(q5_k, TENSOR_Q5_K)
DOTS(q6_k, TENSOR_Q6_K)

/* ---- Q2_K, Q3_K: groups of 16 through a buffer ---- */

AVX512_INLINE void dot_unpacked(unpack_fn unpack, size_t bytes, int n_rows, int k, const void *w,
                                size_t row_bytes, const struct act_row *x, float *y)
{
    const __m512i sign = _mm512_set1_epi8((char)0x80);
    const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    for (int r = 0; r < n_rows; r++) {
        const uint8_t *row = (const uint8_t *)w + (size_t)r * row_bytes;
        __m512 sum = _mm512_setzero_ps();
        for (int at = 0; at < k; at += FORMAT_SUPER, row += bytes) {
            int8_t q[FORMAT_SUPER];
            float d[16], m[16];
            unpack(FORMAT_SUPER, row, q, d, m);
            __m256 xd = _mm256_loadu_ps(x->d + at / ACT_BLOCK);
            __m512 factors = _mm512_permutexvar_ps(twice, _mm512_castps256_ps512(xd));
            factors = _mm512_mul_ps(factors, _mm512_loadu_ps(d));
            sum = _mm512_fmadd_ps(_mm512_loadu_ps(m), _mm512_loadu_ps(x->s + at / ACT_SUM_BLOCK),
                                  sum);
            UNROLL for (int i = 0; i < 4; i++) {
                __m512i xq = _mm512_loadu_si512(x->q + at + 64 * i), zero = _mm512_setzero_si512();
                __m512i wq = _mm512_xor_si512(_mm512_loadu_si512(q + 64 * i), sign);
                __m512i dot = _mm512_sub_epi32(_mm512_dpbusd_epi32(zero, wq, xq),
                                               _mm512_dpbusd_epi32(zero, sign, xq));
                sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), spread_four(factors, i), sum);
            }
        }
        y[r] = _mm512_reduce_add_ps(sum);
    }
}

static void dot_q2_k(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                     float *y)
{
    dot_unpacked(avx2_unpack(TENSOR_Q2_K), sizeof(struct block_q2_k), n_rows, k, w, row_bytes, x,
                 y);
}

static void dot_q3_k(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                     float *y)
{
    dot_unpacked(avx2_unpack(TENSOR_Q3_K), sizeof(struct block_q3_k), n_rows, k, w, row_bytes, x,
                 y);
}

void avx512_fill_dot_k(struct kernels *table)
{
    table->dot[TENSOR_Q2_K] = dot_q2_k;
    table->dot[TENSOR_Q3_K] = dot_q3_k;
    table->dot[TENSOR_Q4_K] = dot_q4_k;
    table->dot[TENSOR_Q5_K] = dot_q5_k;
    table->dot[TENSOR_Q6_K] = dot_q6_k;
    table->dots[TENSOR_Q4_K] = dots_q4_k;
    table->dots[TENSOR_Q5_K] = dots_q5_k;
    table->dots[TENSOR_Q6_K] = dots_q6_k;
}

#endif
