/*
 * avx2_dot.c: rows of weights times one row of activations. Q4_0, Q8_0, Q4_K, Q6_K and the float
 * types are taken four rows at a time, so that the activations are loaded once for the four, and
 * never leave registers; the rest is unpacked 256 values at a time into a buffer.
 *
 * The weights come from memory, everything else from the L1 cache: each group of rows asks for the
 * bytes of the next group while it works (prefetches may run past the end of the matrix).
 */
#include "kernels/avx2.h"

#if defined(__AVX2__)

#include "kernels/avx2_inline.h"

enum { ROWS = 4 };

#define EACH_ROW _Pragma("GCC unroll 4") for (int r = 0; r < rows; r++)

/* Products of `rows` rows (a constant: 1 or ROWS) that lie `stride` bytes apart. */
typedef void (*rows_fn)(int rows, int k, const uint8_t *w, size_t stride, const struct act_row *x,
                        float *y);

AVX2_INLINE void in_groups(rows_fn product, int n_rows, int k, const void *w, size_t row_bytes,
                           const struct act_row *x, float *y)
{
    const uint8_t *row = w;
    int r = 0;
    for (; r + ROWS <= n_rows; r += ROWS, row += ROWS * row_bytes)
        product(ROWS, k, row, row_bytes, x, y + r);
    for (; r < n_rows; r++, row += row_bytes)
        product(1, k, row, row_bytes, x, y + r);
}

AVX2_INLINE void prefetch(const void *p, size_t ahead)
{
    _mm_prefetch((const char *)((uintptr_t)p + ahead), _MM_HINT_T0);
}

AVX2_INLINE __m256i load32(const void *p)
{
    return _mm256_loadu_si256(p);
}

/* Sums of neighbours: the 16 sums per 16 values of a super-block to 8 per 32. */
AVX2_INLINE __m256 sums_per_32(const float *s)
{
    __m256 h = _mm256_hadd_ps(_mm256_loadu_ps(s), _mm256_loadu_ps(s + 8));
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(h), 0xd8));
}

/* The offset 8 is taken out at the end: sum d (q - 8) x = sum d q x - 8 sum d x. */
AVX2_INLINE void rows_q4_0(int rows, int k, const uint8_t *w, size_t stride,
                           const struct act_row *x, float *y)
{
    __m256 acc[ROWS];
    __m128 low[ROWS];
    EACH_ROW {
        acc[r] = _mm256_setzero_ps();
        low[r] = _mm_setzero_ps();
    }
    for (int b = 0; b < k / 32; b++) {
        __m256i xq = load32(x->q + 32 * b);
        __m128 xs = _mm_castsi128_ps(_mm_loadl_epi64((const void *)(x->s + 2 * b)));
        EACH_ROW {
            const struct block_q4_0 *block = (const void *)(w + (size_t)r * stride);
            float d = avx2_scale(block[b].d);
            __m256 sum = _mm256_cvtepi32_ps(avx2_dot_us(avx2_nibbles(block[b].qs), xq));
            prefetch(block + b, ROWS * stride);
            acc[r] = _mm256_fmadd_ps(_mm256_set1_ps(d * x->d[b]), sum, acc[r]);
            low[r] = _mm_fmadd_ps(_mm_set1_ps(d), xs, low[r]);
        }
    }
    EACH_ROW y[r] = avx2_sum8(acc[r]) - 8 * avx2_sum4(low[r]);
}

/* The signs of the weights move to the activations: one operand of the byte product is unsigned. */
AVX2_INLINE void rows_q8_0(int rows, int k, const uint8_t *w, size_t stride,
                           const struct act_row *x, float *y)
{
    __m256 acc[ROWS];
    EACH_ROW acc[r] = _mm256_setzero_ps();
    for (int b = 0; b < k / 32; b++) {
        __m256i xq = load32(x->q + 32 * b);
        EACH_ROW {
            const struct block_q8_0 *block = (const void *)(w + (size_t)r * stride);
            float d = avx2_scale(block[b].d) * x->d[b];
            __m256 sum = _mm256_cvtepi32_ps(avx2_dot_ss(load32(block[b].qs), xq));
            prefetch(block + b, ROWS * stride);
            acc[r] = _mm256_fmadd_ps(_mm256_set1_ps(d), sum, acc[r]);
        }
    }
    EACH_ROW y[r] = avx2_sum8(acc[r]);
}

/* One block of 256 of one row; xs: the activations' sums per 32 */
AVX2_INLINE __m256 block_q4_k(const struct block_q4_k *b, const int8_t *xq, __m256 xd, __m256 xs,
                              __m256 acc)
{
    const __m256i low = _mm256_set1_epi8(15);
    float scale[8] __attribute__((aligned(32)));
    __m128i s = avx2_scales_k4(b->scales);
    __m256 d = _mm256_mul_ps(_mm256_set1_ps(avx2_scale(b->d)), avx2_float_u8(s));
    __m256 min = avx2_float_u8(_mm_srli_si128(s, 8));
    _mm256_store_ps(scale, _mm256_mul_ps(d, xd));
    min = _mm256_mul_ps(_mm256_set1_ps(-avx2_scale(b->dmin)), min);
    acc = _mm256_fmadd_ps(min, xs, acc);
    for (int j = 0; j < 4; j++) {
        __m256i bytes = load32(b->qs + 32 * j);
        __m256i high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), low);
        __m256i p = avx2_dot_us(_mm256_and_si256(bytes, low), load32(xq + 64 * j));
        __m256i q = avx2_dot_us(high, load32(xq + 64 * j + 32));
        acc = _mm256_fmadd_ps(_mm256_set1_ps(scale[2 * j]), _mm256_cvtepi32_ps(p), acc);
        acc = _mm256_fmadd_ps(_mm256_set1_ps(scale[2 * j + 1]), _mm256_cvtepi32_ps(q), acc);
    }
    return acc;
}

/* A block has eight scales of its own, so products turn to floats every 32 values. */
AVX2_INLINE void rows_q4_k(int rows, int k, const uint8_t *w, size_t stride,
                           const struct act_row *x, float *y)
{
    __m256 acc[ROWS];
    EACH_ROW acc[r] = _mm256_setzero_ps();
    for (int b = 0; b < k / FORMAT_SUPER; b++) {
        __m256 xd = _mm256_loadu_ps(x->d + 8 * b), xs = sums_per_32(x->s + 16 * b);
        EACH_ROW {
            const struct block_q4_k *block = (const void *)(w + (size_t)r * stride);
            prefetch(block + b, ROWS * stride);
            prefetch(block + b, ROWS * stride + 64);
            prefetch(block + b, ROWS * stride + 128);
            acc[r] = block_q4_k(block + b, x->q + FORMAT_SUPER * b, xd, xs, acc[r]);
        }
    }
    EACH_ROW y[r] = avx2_sum8(acc[r]);
}

/* 32 values: quarter j % 4 of half j / 4 of the block, 0..63 */
AVX2_INLINE __m256i values_q6_k(const struct block_q6_k *b, int j)
{
    const __m256i low = _mm256_set1_epi8(15), high = _mm256_set1_epi8(48);
    __m256i ql = load32(b->ql + j / 4 * 64 + j % 2 * 32), qh = load32(b->qh + j / 4 * 32);
    if (j % 4 / 2)
        ql = _mm256_srli_epi16(ql, 4);
    switch (j % 4) {
    case 0: qh = _mm256_slli_epi16(qh, 4); break;
    case 1: qh = _mm256_slli_epi16(qh, 2); break;
    case 2: break;
    default: qh = _mm256_srli_epi16(qh, 2); break;
    }
    return _mm256_or_si256(_mm256_and_si256(ql, low), _mm256_and_si256(qh, high));
}

/* One block of 256 of one row. Scales multiply as 16-bit integers; the offset 32 goes out through
 * the activations' sums. */
AVX2_INLINE __m256 block_q6_k(const struct block_q6_k *b, const int8_t *xq, const float *xd,
                              const float *xs, __m256 acc)
{
    const __m128i two = _mm_set1_epi8(2);
    __m128i scales = _mm_loadu_si128((const void *)b->scales);
    __m128i pick = _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    __m256 sum = _mm256_mul_ps(avx2_float_s8(scales), _mm256_loadu_ps(xs));
    sum = _mm256_fmadd_ps(avx2_float_s8(_mm_srli_si128(scales, 8)), _mm256_loadu_ps(xs + 8), sum);
    sum = _mm256_mul_ps(sum, _mm256_set1_ps(-32));
    _Pragma("GCC unroll 8") for (int j = 0; j < 8; j++, pick = _mm_add_epi8(pick, two)) {
        __m256i pairs = _mm256_maddubs_epi16(values_q6_k(b, j), load32(xq + 32 * j));
        __m256i scale = _mm256_cvtepi8_epi16(_mm_shuffle_epi8(scales, pick));
        __m256 scaled = _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, scale));
        sum = _mm256_fmadd_ps(_mm256_set1_ps(xd[j]), scaled, sum);
    }
    return _mm256_fmadd_ps(_mm256_set1_ps(avx2_scale(b->d)), sum, acc);
}

AVX2_INLINE void rows_q6_k(int rows, int k, const uint8_t *w, size_t stride,
                           const struct act_row *x, float *y)
{
    __m256 acc[ROWS];
    EACH_ROW acc[r] = _mm256_setzero_ps();
    for (int b = 0; b < k / FORMAT_SUPER; b++)
        EACH_ROW {
            const struct block_q6_k *block = (const void *)(w + (size_t)r * stride);
            for (size_t line = 0; line < sizeof *block; line += 64)
                prefetch(block + b, ROWS * stride + line);
            acc[r] = block_q6_k(block + b, x->q + FORMAT_SUPER * b, x->d + 8 * b, x->s + 16 * b,
                                acc[r]);
        }
    EACH_ROW y[r] = avx2_sum8(acc[r]);
}

/* Eight values of a float type, and one. */
AVX2_INLINE __m256 load8(enum tensor_type type, const uint8_t *p)
{
    if (type == TENSOR_F16)
        return avx2_load_f16(p);
    return type == TENSOR_BF16 ? avx2_load_bf16(p) : _mm256_loadu_ps((const void *)p);
}

AVX2_INLINE float load1(enum tensor_type type, const uint8_t *p)
{
    float f;
    if (type == TENSOR_F16)
        return avx2_scale(p);
    if (type == TENSOR_BF16)
        return format_bf16_float(format_u16(p));
    memcpy(&f, p, sizeof f);
    return f;
}

/* Two sums per row: enough chains to hide the latency of the multiply-add. */
AVX2_INLINE void rows_float(enum tensor_type type, int rows, int k, const uint8_t *w, size_t stride,
                            const struct act_row *x, float *y)
{
    const size_t bytes = type == TENSOR_F32 ? 4 : 2;
    __m256 even[ROWS], odd[ROWS];
    int i = 0;
    EACH_ROW even[r] = odd[r] = _mm256_setzero_ps();
    for (; i + 16 <= k; i += 16) {
        __m256 a = _mm256_loadu_ps(x->f + i), b = _mm256_loadu_ps(x->f + i + 8);
        EACH_ROW {
            const uint8_t *at = w + (size_t)r * stride + (size_t)i * bytes;
            prefetch(at, ROWS * stride);
            even[r] = _mm256_fmadd_ps(load8(type, at), a, even[r]);
            odd[r] = _mm256_fmadd_ps(load8(type, at + 8 * bytes), b, odd[r]);
        }
    }
    EACH_ROW {
        y[r] = avx2_sum8(_mm256_add_ps(even[r], odd[r]));
        for (int j = i; j < k; j++)
            y[r] += load1(type, w + (size_t)r * stride + (size_t)j * bytes) * x->f[j];
    }
}

AVX2_INLINE void rows_f32(int rows, int k, const uint8_t *w, size_t stride,
                          const struct act_row *x, float *y)
{
    rows_float(TENSOR_F32, rows, k, w, stride, x, y);
}

AVX2_INLINE void rows_f16(int rows, int k, const uint8_t *w, size_t stride,
                          const struct act_row *x, float *y)
{
    rows_float(TENSOR_F16, rows, k, w, stride, x, y);
}

AVX2_INLINE void rows_bf16(int rows, int k, const uint8_t *w, size_t stride,
                           const struct act_row *x, float *y)
{
    rows_float(TENSOR_BF16, rows, k, w, stride, x, y);
}

/* n unpacked values of one row, at most 256, times activations from value `at` on. Formats with
 * minima have unsigned values. */
AVX2_INLINE __m256 dot_ints(int group, bool has_min, int n, const int8_t *q, const float *d,
                            const float *m, const struct act_row *x, int at, __m256 acc)
{
    const float *xd = x->d + at / 32, *xs = x->s + at / 16;
    for (int i = 0; i < n / 32; i++) {
        __m256i w = load32(q + 32 * i), xq = load32(x->q + at + 32 * i);
        __m256i dots = has_min ? avx2_dot_us(w, xq) : avx2_dot_ss(w, xq);
        __m128 first = _mm_set1_ps(group == 32 ? d[i] : d[2 * i]);
        __m128 second = group == 32 ? first : _mm_set1_ps(d[2 * i + 1]);
        __m256 scale = _mm256_mul_ps(_mm256_set_m128(second, first), _mm256_set1_ps(xd[i]));
        acc = _mm256_fmadd_ps(scale, _mm256_cvtepi32_ps(dots), acc);
    }
    /* The minima meet the activations' sums. */
    if (has_min && n < FORMAT_SUPER) {
        float low = 0;
        for (int i = 0; i < n / 16; i++)
            low += m[i / 2] * xs[i]; /* such short rows have groups of 32 */
        acc = _mm256_add_ps(acc, _mm256_setr_ps(low, 0, 0, 0, 0, 0, 0, 0));
    } else if (has_min && group == 32) {
        acc = _mm256_fmadd_ps(_mm256_loadu_ps(m), sums_per_32(xs), acc);
    } else if (has_min) {
        acc = _mm256_fmadd_ps(_mm256_loadu_ps(m), _mm256_loadu_ps(xs), acc);
        acc = _mm256_fmadd_ps(_mm256_loadu_ps(m + 8), _mm256_loadu_ps(xs + 8), acc);
    }
    return acc;
}

/* Rows by way of a buffer; `type` is a constant, so that dot_ints is made for its group size. */
AVX2_INLINE void dot_unpacked(enum tensor_type type, size_t super_bytes, int n_rows, int k,
                              const void *w, size_t row_bytes, const struct act_row *x, float *y)
{
    int8_t q[FORMAT_SUPER];
    float d[FORMAT_SUPER / 16], m[FORMAT_SUPER / 16];
    unpack_fn unpack = avx2_unpack(type);
    for (int r = 0; r < n_rows; r++) {
        const uint8_t *at = (const uint8_t *)w + (size_t)r * row_bytes;
        __m256 acc = _mm256_setzero_ps();
        for (int i = 0; i < k; i += FORMAT_SUPER, at += super_bytes) {
            int n = k - i < FORMAT_SUPER ? k - i : FORMAT_SUPER;
            for (size_t line = 0; line < super_bytes; line += 64)
                prefetch(at, row_bytes + line);
            unpack(n, at, q, d, m);
            acc = dot_ints(format_group(type), format_has_min(type), n, q, d, m, x, i, acc);
        }
        y[r] = avx2_sum8(acc);
    }
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

static void dot_q4_k(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                     float *y)
{
    in_groups(rows_q4_k, n_rows, k, w, row_bytes, x, y);
}

static void dot_q6_k(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                     float *y)
{
    in_groups(rows_q6_k, n_rows, k, w, row_bytes, x, y);
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

static void dot_q5_k(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                     float *y)
{
    dot_unpacked(TENSOR_Q5_K, sizeof(struct block_q5_k), n_rows, k, w, row_bytes, x, y);
}

void avx2_fill_dot(struct kernels *table)
{
    static const dot_fn dot[TENSOR_TYPE_COUNT] = {
        [TENSOR_F32] = dot_f32, [TENSOR_F16] = dot_f16, [TENSOR_BF16] = dot_bf16,
        [TENSOR_Q4_0] = dot_q4_0, [TENSOR_Q4_1] = dot_q4_1, [TENSOR_Q5_0] = dot_q5_0,
        [TENSOR_Q5_1] = dot_q5_1, [TENSOR_Q8_0] = dot_q8_0, [TENSOR_Q2_K] = dot_q2_k,
        [TENSOR_Q3_K] = dot_q3_k, [TENSOR_Q4_K] = dot_q4_k, [TENSOR_Q5_K] = dot_q5_k,
        [TENSOR_Q6_K] = dot_q6_k};
    memcpy(table->dot, dot, sizeof dot);
}

#endif
