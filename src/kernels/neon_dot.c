/*
 * neon_dot.c: dot products and conversions of whole rows. Q4_0, Q8_0 and the float types multiply
 * as they are read, two rows at a time; the rest is unpacked 256 values at a time into a buffer.
 */
#include "kernels/kernels.h"

#if defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)

#include "kernels/neon_inline.h"

enum { ROWS = 2 };

#define EACH_ROW _Pragma("GCC unroll 2") for (int r = 0; r < rows; r++)

/* Products of `rows` rows (a constant: 1 or ROWS) that lie `stride` bytes apart. */
typedef void (*rows_fn)(int rows, int k, const uint8_t *w, size_t stride, const struct act_row *x,
                        float *y);

NEON_INLINE void in_groups(rows_fn product, int n_rows, int k, const void *w, size_t row_bytes,
                           const struct act_row *x, float *y)
{
    const uint8_t *row = w;
    int r = 0;
    for (; r + ROWS <= n_rows; r += ROWS, row += ROWS * row_bytes)
        product(ROWS, k, row, row_bytes, x, y + r);
    for (; r < n_rows; r++, row += row_bytes)
        product(1, k, row, row_bytes, x, y + r);
}

NEON_INLINE void prefetch(const void *p, size_t ahead)
{
    __builtin_prefetch((const void *)((uintptr_t)p + ahead));
}

/* 32 signed values times 32 activations */
NEON_INLINE float32x4_t dot32(int8x16_t low, int8x16_t high, const int8_t *x)
{
    int32x4_t sum = vdotq_s32(vdupq_n_s32(0), low, vld1q_s8(x));
    return vcvtq_f32_s32(vdotq_s32(sum, high, vld1q_s8(x + 16)));
}

/* The block's 32 values less the offset: values 0-15 in the low nibbles. */
NEON_INLINE void nibbles_q4_0(const struct block_q4_0 *b, int8x16_t *low, int8x16_t *high)
{
    const int8x16_t eight = vdupq_n_s8(8);
    uint8x16_t bytes = vld1q_u8(b->qs);
    *low = vsubq_s8(vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(15))), eight);
    *high = vsubq_s8(vreinterpretq_s8_u8(vshrq_n_u8(bytes, 4)), eight);
}

NEON_INLINE void rows_q4_0(int rows, int k, const uint8_t *w, size_t stride,
                           const struct act_row *x, float *y)
{
    float32x4_t acc[ROWS];
    EACH_ROW acc[r] = vdupq_n_f32(0);
    for (int b = 0; b < k / 32; b++)
        EACH_ROW {
            const struct block_q4_0 *block = (const void *)(w + (size_t)r * stride);
            int8x16_t low, high;
            nibbles_q4_0(block + b, &low, &high);
            prefetch(block + b, ROWS * stride);
            acc[r] = vfmaq_n_f32(acc[r], dot32(low, high, x->q + 32 * b),
                                 neon_scale(block[b].d) * x->d[b]);
        }
    EACH_ROW y[r] = vaddvq_f32(acc[r]);
}

NEON_INLINE void rows_q8_0(int rows, int k, const uint8_t *w, size_t stride,
                           const struct act_row *x, float *y)
{
    float32x4_t acc[ROWS];
    EACH_ROW acc[r] = vdupq_n_f32(0);
    for (int b = 0; b < k / 32; b++)
        EACH_ROW {
            const struct block_q8_0 *block = (const void *)(w + (size_t)r * stride);
            int8x16_t low = vld1q_s8(block[b].qs), high = vld1q_s8(block[b].qs + 16);
            prefetch(block + b, ROWS * stride);
            acc[r] = vfmaq_n_f32(acc[r], dot32(low, high, x->q + 32 * b),
                                 neon_scale(block[b].d) * x->d[b]);
        }
    EACH_ROW y[r] = vaddvq_f32(acc[r]);
}

/* Four values of a float type, and one. */
NEON_INLINE float32x4_t load4(enum tensor_type type, const uint8_t *p)
{
    if (type == TENSOR_F16)
        return neon_load_f16(p);
    return type == TENSOR_BF16 ? neon_load_bf16(p) : vreinterpretq_f32_u8(vld1q_u8(p));
}

NEON_INLINE float load1(enum tensor_type type, const uint8_t *p)
{
    float f;
    if (type == TENSOR_F16)
        return neon_scale(p);
    if (type == TENSOR_BF16)
        return format_bf16_float(format_u16(p));
    memcpy(&f, p, sizeof f);
    return f;
}

/* Four sums per row: enough chains to hide the latency of the multiply-add. */
NEON_INLINE void rows_float(enum tensor_type type, int rows, int k, const uint8_t *w, size_t stride,
                            const struct act_row *x, float *y)
{
    const size_t bytes = type == TENSOR_F32 ? 4 : 2;
    float32x4_t acc[ROWS][4];
    int i = 0;
    EACH_ROW acc[r][0] = acc[r][1] = acc[r][2] = acc[r][3] = vdupq_n_f32(0);
    for (; i + 16 <= k; i += 16)
        EACH_ROW {
            const uint8_t *at = w + (size_t)r * stride + (size_t)i * bytes;
            prefetch(at, ROWS * stride);
            _Pragma("GCC unroll 4") for (int j = 0; j < 4; j++)
                acc[r][j] = vfmaq_f32(acc[r][j], load4(type, at + (size_t)(4 * j) * bytes),
                                      vld1q_f32(x->f + i + 4 * j));
        }
    EACH_ROW {
        float32x4_t sum = vaddq_f32(vaddq_f32(acc[r][0], acc[r][1]),
                                    vaddq_f32(acc[r][2], acc[r][3]));
        y[r] = vaddvq_f32(sum);
        for (int j = i; j < k; j++)
            y[r] += load1(type, w + (size_t)r * stride + (size_t)j * bytes) * x->f[j];
    }
}

NEON_INLINE void rows_f32(int rows, int k, const uint8_t *w, size_t stride,
                          const struct act_row *x, float *y)
{
    rows_float(TENSOR_F32, rows, k, w, stride, x, y);
}

NEON_INLINE void rows_f16(int rows, int k, const uint8_t *w, size_t stride,
                          const struct act_row *x, float *y)
{
    rows_float(TENSOR_F16, rows, k, w, stride, x, y);
}

NEON_INLINE void rows_bf16(int rows, int k, const uint8_t *w, size_t stride,
                           const struct act_row *x, float *y)
{
    rows_float(TENSOR_BF16, rows, k, w, stride, x, y);
}

static void dot_f32(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                    float *y)
{
    in_groups(rows_f32, n_rows, k, w, row_bytes, x, y);
}

static void dot_f16(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                    float *y)
{
    in_groups(rows_f16, n_rows, k, w, row_bytes, x, y);
}

static void dot_bf16(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                     float *y)
{
    in_groups(rows_bf16, n_rows, k, w, row_bytes, x, y);
}

static void dot_q4_0(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                     float *y)
{
    in_groups(rows_q4_0, n_rows, k, w, row_bytes, x, y);
}

static void dot_q8_0(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                     float *y)
{
    in_groups(rows_q8_0, n_rows, k, w, row_bytes, x, y);
}

static void unpack_q4_0(int k, const void *w, int8_t *q, float *d, float *m)
{
    const struct block_q4_0 *b = w;
    for (int n = k / 32; n > 0; n--, b++, q += 32) {
        int8x16_t low, high;
        nibbles_q4_0(b, &low, &high);
        *d++ = neon_scale(b->d);
        *m++ = 0;
        vst1q_s8(q, low);
        vst1q_s8(q + 16, high);
    }
}

static void unpack_q8_0(int k, const void *w, int8_t *q, float *d, float *m)
{
    const struct block_q8_0 *b = w;
    for (int n = k / 32; n > 0; n--, b++, q += 32) {
        *d++ = neon_scale(b->d);
        *m++ = 0;
        vst1q_s8(q, vld1q_s8(b->qs));
        vst1q_s8(q + 16, vld1q_s8(b->qs + 16));
    }
}

static void unpack_q4_k(int k, const void *w, int8_t *q, float *d, float *m)
{
    const struct block_q4_k *b = w;
    for (int n = k / FORMAT_SUPER; n > 0; n--, b++, q += FORMAT_SUPER, d += 8, m += 8) {
        float scale = neon_scale(b->d), min = neon_scale(b->dmin);
        for (int g = 0; g < 8; g++) {
            int s, t;
            format_scale_min(b->scales, g, &s, &t);
            d[g] = scale * (float)s;
            m[g] = -min * (float)t;
        }
        for (int i = 0; i < 8; i++) { /* 16 bytes: half i % 2 of quarter i / 2 */
            uint8x16_t bytes = vld1q_u8(b->qs + 16 * i);
            int8_t *to = q + i / 2 * 64 + i % 2 * 16;
            vst1q_s8(to, vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(15))));
            vst1q_s8(to + 32, vreinterpretq_s8_u8(vshrq_n_u8(bytes, 4)));
        }
    }
}

static void unpack_q6_k(int k, const void *w, int8_t *q, float *d, float *m)
{
    const struct block_q6_k *b = w;
    const uint8x16_t low = vdupq_n_u8(15), high = vdupq_n_u8(48);
    for (int n = k / FORMAT_SUPER; n > 0; n--, b++, q += FORMAT_SUPER, d += 16, m += 16) {
        float scale = neon_scale(b->d);
        for (int g = 0; g < 16; g++) {
            d[g] = scale * (float)b->scales[g];
            m[g] = 0;
        }
        for (int g = 0; g < 16; g++) { /* 16 values: quarter g / 2 % 4 of half g / 8 */
            int j = g / 2 % 4;
            uint8x16_t ql = vld1q_u8(b->ql + g / 8 * 64 + j % 2 * 32 + g % 2 * 16);
            uint8x16_t qh = vld1q_u8(b->qh + g / 8 * 32 + g % 2 * 16);
            ql = vandq_u8(vshlq_u8(ql, vdupq_n_s8((int8_t)(j / 2 * -4))), low);
            qh = vandq_u8(vshlq_u8(qh, vdupq_n_s8((int8_t)(4 - 2 * j))), high);
            vst1q_s8(q + 16 * g, vsubq_s8(vreinterpretq_s8_u8(vorrq_u8(ql, qh)), vdupq_n_s8(32)));
        }
    }
}

unpack_fn neon_unpack(enum tensor_type type)
{
    static const unpack_fn unpack[TENSOR_TYPE_COUNT] = {
        [TENSOR_Q4_0] = unpack_q4_0, [TENSOR_Q4_1] = format_unpack_q4_1,
        [TENSOR_Q5_0] = format_unpack_q5_0, [TENSOR_Q5_1] = format_unpack_q5_1,
        [TENSOR_Q8_0] = unpack_q8_0, [TENSOR_Q2_K] = format_unpack_q2_k,
        [TENSOR_Q3_K] = format_unpack_q3_k, [TENSOR_Q4_K] = unpack_q4_k,
        [TENSOR_Q5_K] = format_unpack_q5_k, [TENSOR_Q6_K] = unpack_q6_k};
    return unpack[type];
}

/* n unpacked values of one row, at most 256, times activations from value `at` on. */
NEON_INLINE float32x4_t dot_ints(int group, int n, const int8_t *q, const float *d, const float *m,
                                 const struct act_row *x, int at, float32x4_t acc)
{
    const float *xd = x->d + at / 32, *xs = x->s + at / 16;
    const int8_t *xq = x->q + at;
    float low = 0; /* the minima times the activations' sums */
    for (int i = 0; i < n / 16; i++, q += 16, xq += 16) {
        int32x4_t sum = vdotq_s32(vdupq_n_s32(0), vld1q_s8(q), vld1q_s8(xq));
        int g = i * 16 / group;
        acc = vfmaq_n_f32(acc, vcvtq_f32_s32(sum), d[g] * xd[i / 2]);
        low += m[g] * xs[i];
    }
    return vaddq_f32(acc, vsetq_lane_f32(low, vdupq_n_f32(0), 0));
}

/* Rows by way of a buffer; `type` is a constant, so that dot_ints is made for its group size. */
NEON_INLINE void dot_unpacked(enum tensor_type type, size_t super_bytes, int n_rows, int k,
                              const void *w, size_t row_bytes, const struct act_row *x, float *y)
{
    int8_t q[FORMAT_SUPER];
    float d[FORMAT_SUPER / 16], m[FORMAT_SUPER / 16];
    unpack_fn unpack = neon_unpack(type);
    for (int r = 0; r < n_rows; r++) {
        const uint8_t *at = (const uint8_t *)w + (size_t)r * row_bytes;
        float32x4_t acc = vdupq_n_f32(0);
        for (int i = 0; i < k; i += FORMAT_SUPER, at += super_bytes) {
            int n = k - i < FORMAT_SUPER ? k - i : FORMAT_SUPER;
            for (size_t line = 0; line < super_bytes; line += 64)
                prefetch(at, row_bytes + line);
            unpack(n, at, q, d, m);
            acc = dot_ints(format_group(type), n, q, d, m, x, i, acc);
        }
        y[r] = vaddvq_f32(acc);
    }
}

static void dot_q4_1(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                     float *y)
{
    dot_unpacked(TENSOR_Q4_1, 8 * sizeof(struct block_q4_1), n_rows, k, w, row_bytes, x, y);
}

static void dot_q5_0(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                     float *y)
{
    dot_unpacked(TENSOR_Q5_0, 8 * sizeof(struct block_q5_0), n_rows, k, w, row_bytes, x, y);
}

static void dot_q5_1(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                     float *y)
{
    dot_unpacked(TENSOR_Q5_1, 8 * sizeof(struct block_q5_1), n_rows, k, w, row_bytes, x, y);
}

static void dot_q2_k(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                     float *y)
{
    dot_unpacked(TENSOR_Q2_K, sizeof(struct block_q2_k), n_rows, k, w, row_bytes, x, y);
}

static void dot_q3_k(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                     float *y)
{
    dot_unpacked(TENSOR_Q3_K, sizeof(struct block_q3_k), n_rows, k, w, row_bytes, x, y);
}

static void dot_q4_k(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                     float *y)
{
    dot_unpacked(TENSOR_Q4_K, sizeof(struct block_q4_k), n_rows, k, w, row_bytes, x, y);
}

static void dot_q5_k(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                     float *y)
{
    dot_unpacked(TENSOR_Q5_K, sizeof(struct block_q5_k), n_rows, k, w, row_bytes, x, y);
}

static void dot_q6_k(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                     float *y)
{
    dot_unpacked(TENSOR_Q6_K, sizeof(struct block_q6_k), n_rows, k, w, row_bytes, x, y);
}

static void dequantize_ints(enum tensor_type type, int k, const uint8_t *row, float *y)
{
    unpack_fn unpack = neon_unpack(type);
    int group = format_group(type);
    size_t super_bytes = tensor_row_bytes(type, FORMAT_SUPER);
    int8_t q[FORMAT_SUPER];
    float d[FORMAT_SUPER / 16], m[FORMAT_SUPER / 16];
    for (int at = 0; at < k; at += FORMAT_SUPER, row += super_bytes) {
        int n = k - at < FORMAT_SUPER ? k - at : FORMAT_SUPER;
        unpack(n, row, q, d, m);
        for (int i = 0; i < n; i += 8) {
            int16x8_t wide = vmovl_s8(vld1_s8(q + i));
            float32x4_t min = vdupq_n_f32(m[i / group]);
            float32x4_t a = vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
            float32x4_t b = vcvtq_f32_s32(vmovl_s16(vget_high_s16(wide)));
            vst1q_f32(y + at + i, vfmaq_n_f32(min, a, d[i / group]));
            vst1q_f32(y + at + i + 4, vfmaq_n_f32(min, b, d[i / group]));
        }
    }
}

void neon_dequantize(enum tensor_type type, int k, const void *w, float *y)
{
    const uint8_t *row = w;
    int i = 0;
    if (format_group(type)) {
        dequantize_ints(type, k, w, y);
        return;
    }
    size_t bytes = type == TENSOR_F32 ? 4 : 2;
    for (; i + 4 <= k; i += 4, row += 4 * bytes)
        vst1q_f32(y + i, load4(type, row));
    for (; i < k; i++, row += bytes)
        y[i] = load1(type, row);
}

void neon_fill_dot(struct kernels *table)
{
    static const dot_fn dot[TENSOR_TYPE_COUNT] = {
        [TENSOR_F32] = dot_f32, [TENSOR_F16] = dot_f16, [TENSOR_BF16] = dot_bf16,
        [TENSOR_Q4_0] = dot_q4_0, [TENSOR_Q4_1] = dot_q4_1, [TENSOR_Q5_0] = dot_q5_0,
        [TENSOR_Q5_1] = dot_q5_1, [TENSOR_Q8_0] = dot_q8_0, [TENSOR_Q2_K] = dot_q2_k,
        [TENSOR_Q3_K] = dot_q3_k, [TENSOR_Q4_K] = dot_q4_k, [TENSOR_Q5_K] = dot_q5_k,
        [TENSOR_Q6_K] = dot_q6_k};
    memcpy(table->dot, dot, sizeof dot);
    for (int type = 0; type < TENSOR_TYPE_COUNT; type++)
        table->unpack[type] = neon_unpack(type);
    table->dequantize = neon_dequantize;
}

#endif
