/*
 * avx512_dot.c: decode products of the formats with blocks of 32, and of float weights.
 *
 * Decode reads each weight once, so the aim is to keep up with the memory: about 5 bytes per cycle
 * and core. Four rows pass at once so that loads of the activations are shared; the next four
 * rows are prefetched, because the hardware's own prefetcher stops at the end of each page. With
 * several tokens up to four pass at once too, so that what a weight's bits mean is found out once.
 *
 * VPDPBUSD multiplies unsigned by signed bytes. Weights are taken as stored, unsigned; formats that
 * mean q - offset start the accumulator at -offset * sum(x), which all rows share. A step is four
 * blocks: in the 16 lanes of an int32 accumulator, lanes 4i to 4i + 3 belong to block i.
 */
#include "kernels/avx512.h"

#if defined(__AVX512F__) && defined(__AVX512VNNI__)

#include "kernels/avx512_inline.h"

enum { ROWS = 4, TOKENS = 4, STEP = 128 /* values */, Q8_BYTES = 34 };

/* Four blocks of activations as all rows of a step use them. */
struct x_step {
    __m512i low, high; /* lane i: values 0-15 and 16-31 of block i */
    __m512i start;     /* the accumulator: -offset * sum */
    __m512 d, s;       /* scale in each of a block's lanes; sum of the block over its lanes */
};

AVX512_INLINE struct x_step load_x(const int8_t *q, const float *d, const float *s, int offset)
{
    __m512i a = _mm512_loadu_si512(q), b = _mm512_loadu_si512(q + 64);
    __m512i start = _mm512_setzero_si512();
    struct x_step x = {.low = _mm512_shuffle_i64x2(a, b, 0x88),
                       .high = _mm512_shuffle_i64x2(a, b, 0xdd)};
    if (offset) {
        __m512i offsets = _mm512_set1_epi8((char)offset);
        start = _mm512_dpbusd_epi32(start, offsets, x.low);
        start = _mm512_dpbusd_epi32(start, offsets, x.high);
    }
    x.start = _mm512_sub_epi32(_mm512_setzero_si512(), start);
    x.d = avx512_spread_4(_mm_loadu_ps(d));
    /* The two half sums of block i in lanes 4i and 4i + 1, zero in the others. */
    x.s = _mm512_maskz_expand_ps(0x3333, _mm512_castps256_ps512(_mm256_loadu_ps(s)));
    return x;
}

/* What a format's block looks like. */
struct form {
    int bytes, qs, qh, m; /* size; offsets of nibbles, fifth bits and minimum, -1 when absent */
    int offset;
};

#define FORM_Q4_0 ((struct form){18, 2, -1, -1, 8})
#define FORM_Q4_1 ((struct form){20, 4, -1, 2, 0})
#define FORM_Q5_0 ((struct form){22, 6, 2, -1, 16})
#define FORM_Q5_1 ((struct form){24, 8, 4, 2, 0})
#define FORM_Q8_0 ((struct form){Q8_BYTES, 2, -1, -1, 128})

/* Bits of the fifth-bit words of four blocks: those of values 0-15, or with at = 2, of 16-31. */
AVX512_INLINE __mmask64 fifth_bits(const uint8_t *qh, size_t bytes, int at)
{
    return avx512_load_u16(qh + at) | (uint64_t)avx512_load_u16(qh + bytes + at) << 16 |
           (uint64_t)avx512_load_u16(qh + 2 * bytes + at) << 32 |
           (uint64_t)avx512_load_u16(qh + 3 * bytes + at) << 48;
}

/* Four blocks of one row, unpacked. */
struct w_step {
    __m512i low, high; /* lane i: values 0-15 and 16-31 of block i, unsigned */
    __m512 d, m;       /* scale and minimum in each of a block's lanes */
};

AVX512_INLINE struct w_step load_nibbles(struct form form, const uint8_t *w)
{
    const __m512i four_bits = _mm512_set1_epi8(15), fifth = _mm512_set1_epi8(16);
    size_t bytes = (size_t)form.bytes;
    __m512i q = avx512_load_4x16(w + form.qs, bytes);
    __m512i low = _mm512_and_si512(q, four_bits);
    __m512i high = _mm512_and_si512(_mm512_srli_epi16(q, 4), four_bits);
    if (form.qh >= 0) {
        low = _mm512_mask_add_epi8(low, fifth_bits(w + form.qh, bytes, 0), low, fifth);
        high = _mm512_mask_add_epi8(high, fifth_bits(w + form.qh, bytes, 2), high, fifth);
    }
    struct w_step step = {low, high, avx512_spread_4(avx512_scales_4(w, bytes)),
                          _mm512_setzero_ps()};
    if (form.m >= 0)
        step.m = avx512_spread_4(avx512_scales_4(w + form.m, bytes));
    return step;
}

/* Of Q8_0; adding 128 makes the bytes unsigned. */
AVX512_INLINE struct w_step load_bytes(const uint8_t *w)
{
    const __m512i sign = _mm512_set1_epi8((char)0x80);
    return (struct w_step){_mm512_xor_si512(avx512_load_4x16(w + 2, 34), sign),
                           _mm512_xor_si512(avx512_load_4x16(w + 18, 34), sign),
                           avx512_spread_4(avx512_scales_4(w, 34)), _mm512_setzero_ps()};
}

AVX512_INLINE struct w_step load_w(struct form form, const uint8_t *w)
{
    return form.bytes == Q8_BYTES ? load_bytes(w) : load_nibbles(form, w);
}

AVX512_INLINE __m512 multiply(struct form form, const struct w_step *w, const struct x_step *x,
                              __m512 sum)
{
    __m512i dot = _mm512_dpbusd_epi32(x->start, w->low, x->low);
    dot = _mm512_dpbusd_epi32(dot, w->high, x->high);
    sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), _mm512_mul_ps(w->d, x->d), sum);
    return form.m >= 0 ? _mm512_fmadd_ps(w->m, x->s, sum) : sum;
}

/* The blocks behind the last whole step, copied to where zeros follow them. */
AVX512_INLINE struct x_step load_x_tail(int n, const struct act_row *x, int at, int offset)
{
    int8_t q[STEP] = {0};
    float d[4] = {0}, s[8] = {0};
    memcpy(q, x->q + at, (size_t)n * ACT_BLOCK);
    memcpy(d, x->d + at / ACT_BLOCK, (size_t)n * sizeof *d);
    memcpy(s, x->s + at / ACT_SUM_BLOCK, (size_t)n * 2 * sizeof *s);
    return load_x(q, d, s, offset);
}

AVX512_INLINE struct w_step load_w_tail(struct form form, int n, const uint8_t *w)
{
    uint8_t blocks[4 * Q8_BYTES] = {0};
    memcpy(blocks, w, (size_t)n * (size_t)form.bytes);
    return load_w(form, blocks);
}

/* n_rows rows times n_tok tokens, both constants: y[t * y_stride + r]. */
AVX512_INLINE void dot_group(struct form form, int n_rows, int n_tok, int k, const uint8_t *w,
                             size_t row_bytes, const struct act_row *x, float *y, size_t y_stride)
{
    __m512 sum[TOKENS][ROWS];
    struct x_step step[TOKENS];
    size_t step_bytes = 4 * (size_t)form.bytes, ahead = avx512_ahead(row_bytes * (size_t)n_rows);
    int at = 0;
    UNROLL for (int t = 0; t < n_tok; t++)
        UNROLL for (int r = 0; r < n_rows; r++)
            sum[t][r] = _mm512_setzero_ps();
    for (; at + STEP <= k; at += STEP, w += step_bytes) {
        UNROLL for (int t = 0; t < n_tok; t++)
            step[t] = load_x(x[t].q + at, x[t].d + at / ACT_BLOCK, x[t].s + at / ACT_SUM_BLOCK,
                             form.offset);
        UNROLL for (int r = 0; r < n_rows; r++) {
            const uint8_t *row = w + (size_t)r * row_bytes;
            UNROLL for (size_t line = 0; line < step_bytes; line += 64)
                avx512_prefetch(row, ahead + line);
            struct w_step weights = load_w(form, row);
            UNROLL for (int t = 0; t < n_tok; t++)
                sum[t][r] = multiply(form, &weights, &step[t], sum[t][r]);
        }
    }
    if (at < k) {
        int n = (k - at) / ACT_BLOCK;
        UNROLL for (int t = 0; t < n_tok; t++)
            step[t] = load_x_tail(n, &x[t], at, form.offset);
        UNROLL for (int r = 0; r < n_rows; r++) {
            struct w_step weights = load_w_tail(form, n, w + (size_t)r * row_bytes);
            UNROLL for (int t = 0; t < n_tok; t++)
                sum[t][r] = multiply(form, &weights, &step[t], sum[t][r]);
        }
    }
    UNROLL for (int t = 0; t < n_tok; t++)
        UNROLL for (int r = 0; r < n_rows; r++)
            y[(size_t)t * y_stride + (size_t)r] = _mm512_reduce_add_ps(sum[t][r]);
}

/* `at_once`: rows that pass together. */
AVX512_INLINE void dot_blocks(struct form form, int at_once, int n_tok, int n_rows, int k,
                              const void *w, size_t row_bytes, const struct act_row *x, float *y,
                              size_t y_stride)
{
    const uint8_t *row = w;
    int r = 0;
    for (; r + at_once <= n_rows; r += at_once, row += (size_t)at_once * row_bytes)
        dot_group(form, at_once, n_tok, k, row, row_bytes, x, y + r, y_stride);
    for (; r < n_rows; r++, row += row_bytes)
        dot_group(form, 1, n_tok, k, row, row_bytes, x, y + r, y_stride);
}

/* Four tokens at a time, then two, then one. */
AVX512_INLINE void dots_blocks(struct form form, int n_rows, int n_tok, int k, const void *w,
                               size_t row_bytes, const struct act_row *x, float *y,
                               size_t y_stride)
{
    int t = 0;
    for (; t + TOKENS <= n_tok; t += TOKENS, y += TOKENS * y_stride)
        dot_blocks(form, ROWS, TOKENS, n_rows, k, w, row_bytes, x + t, y, y_stride);
    for (; t + 2 <= n_tok; t += 2, y += 2 * y_stride)
        dot_blocks(form, ROWS, 2, n_rows, k, w, row_bytes, x + t, y, y_stride);
    if (t < n_tok)
        dot_blocks(form, ROWS, 1, n_rows, k, w, row_bytes, x + t, y, y_stride);
}

/* A format's two products. Q8_0 passes two rows at once with one token: with four, so many lines
 * are asked for at once that they queue up. */
#define DOTS(name, form)                                                                           \
    static void dot_##name(int n_rows, int k, const void *w, size_t row_bytes,                     \
                           const struct act_row *x, float *y)                                      \
    {                                                                                              \
        const int at_once = (form).bytes == Q8_BYTES ? 2 : ROWS;                                   \
        dot_blocks(form, at_once, 1, n_rows, k, w, row_bytes, x, y, 0);                            \
    }                                                                                              \
    static void dots_##name(int n_rows, int n_tok, int k, const void *w, size_t row_bytes,         \
                            const struct act_row *x, float *y, size_t y_stride)                    \
    {                                                                                              \
        dots_blocks(form, n_rows, n_tok, k, w, row_bytes, x, y, y_stride);                         \
    }

DOTS(q4_0, FORM_Q4_0)
DOTS(q4_1, FORM_Q4_1)
DOTS(q5_0, FORM_Q5_0)
DOTS(q5_1, FORM_Q5_1)
DOTS(q8_0, FORM_Q8_0)

/* ---- Float weights ---- */

AVX512_INLINE __m512 load_16(enum tensor_type type, const uint8_t *w)
{
    if (type == TENSOR_F32)
        return _mm512_loadu_ps(w);
    __m256i half = _mm256_loadu_si256((const void *)w);
    return type == TENSOR_F16 ? _mm512_cvtph_ps(half) : avx512_bf16_ps(half);
}

AVX512_INLINE __m512 load_tail(enum tensor_type type, const uint8_t *w, __mmask16 mask)
{
    if (type == TENSOR_F32)
        return _mm512_maskz_loadu_ps(mask, w);
    __m256i half = _mm256_maskz_loadu_epi16(mask, w);
    return type == TENSOR_F16 ? _mm512_cvtph_ps(half) : avx512_bf16_ps(half);
}

/* Two sums per row, so that the additions of one do not wait for each other. */
AVX512_INLINE void dot_float_group(enum tensor_type type, int n_rows, int k, const uint8_t *w,
                                   size_t row_bytes, const float *x, float *y)
{
    const size_t size = type == TENSOR_F32 ? 4 : 2;
    __m512 even[ROWS], odd[ROWS];
    size_t ahead = avx512_ahead(row_bytes * (size_t)n_rows);
    int at = 0;
    UNROLL for (int r = 0; r < n_rows; r++)
        even[r] = odd[r] = _mm512_setzero_ps();
    for (; at + 32 <= k; at += 32, w += 32 * size) {
        __m512 x0 = _mm512_loadu_ps(x + at), x1 = _mm512_loadu_ps(x + at + 16);
        UNROLL for (int r = 0; r < n_rows; r++) {
            const uint8_t *row = w + (size_t)r * row_bytes;
            avx512_prefetch(row, ahead);
            if (size == 4)
                avx512_prefetch(row, ahead + 64);
            even[r] = _mm512_fmadd_ps(load_16(type, row), x0, even[r]);
            odd[r] = _mm512_fmadd_ps(load_16(type, row + 16 * size), x1, odd[r]);
        }
    }
    for (; at < k; at += 16, w += 16 * size) {
        __mmask16 mask = avx512_first(k - at < 16 ? k - at : 16);
        __m512 x0 = _mm512_maskz_loadu_ps(mask, x + at);
        UNROLL for (int r = 0; r < n_rows; r++)
            even[r] = _mm512_fmadd_ps(load_tail(type, w + (size_t)r * row_bytes, mask), x0,
                                      even[r]);
    }
    UNROLL for (int r = 0; r < n_rows; r++)
        y[r] = _mm512_reduce_add_ps(_mm512_add_ps(even[r], odd[r]));
}

AVX512_INLINE void dot_floats(enum tensor_type type, int n_rows, int k, const void *w,
                              size_t row_bytes, const struct act_row *x, float *y)
{
    const uint8_t *row = w;
    int r = 0;
    for (; r + ROWS <= n_rows; r += ROWS, row += ROWS * row_bytes)
        dot_float_group(type, ROWS, k, row, row_bytes, x->f, y + r);
    for (; r < n_rows; r++, row += row_bytes)
        dot_float_group(type, 1, k, row, row_bytes, x->f, y + r);
}

static void dot_f32(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                    float *y)
{
    dot_floats(TENSOR_F32, n_rows, k, w, row_bytes, x, y);
}

static void dot_f16(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                    float *y)
{
    dot_floats(TENSOR_F16, n_rows, k, w, row_bytes, x, y);
}

static void dot_bf16(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                     float *y)
{
    dot_floats(TENSOR_BF16, n_rows, k, w, row_bytes, x, y);
}

void avx512_fill_dot(struct kernels *table)
{
    table->dot[TENSOR_F32] = dot_f32;
    table->dot[TENSOR_F16] = dot_f16;
    table->dot[TENSOR_BF16] = dot_bf16;
    table->dot[TENSOR_Q4_0] = dot_q4_0;
    table->dot[TENSOR_Q4_1] = dot_q4_1;
    table->dot[TENSOR_Q5_0] = dot_q5_0;
    table->dot[TENSOR_Q5_1] = dot_q5_1;
    table->dot[TENSOR_Q8_0] = dot_q8_0;
    table->dots[TENSOR_Q4_0] = dots_q4_0;
    table->dots[TENSOR_Q4_1] = dots_q4_1;
    table->dots[TENSOR_Q5_0] = dots_q5_0;
    table->dots[TENSOR_Q5_1] = dots_q5_1;
    table->dots[TENSOR_Q8_0] = dots_q8_0;
}

#endif
