/*
 * avx2_unpack.c: quantised rows taken apart into integers and scales, and rows of any type into
 * floats: what dequantising, GEMM packing and the plain dot products of avx2_dot.c stand on.
 */
#include "kernels/avx2.h"

#if defined(__AVX2__)

#include "kernels/avx2_inline.h"

static void store32(int8_t *q, __m256i bytes)
{
    _mm256_storeu_si256((void *)q, bytes);
}

static __m256i load32(const void *p)
{
    return _mm256_loadu_si256(p);
}

static void unpack_q4_0(int k, const void *w, int8_t *q, float *d, float *m)
{
    const struct block_q4_0 *b = w;
    for (int n = k / 32; n > 0; n--, b++, q += 32) {
        *d++ = avx2_scale(b->d);
        *m++ = 0;
        store32(q, _mm256_sub_epi8(avx2_nibbles(b->qs), _mm256_set1_epi8(8)));
    }
}

static void unpack_q4_1(int k, const void *w, int8_t *q, float *d, float *m)
{
    const struct block_q4_1 *b = w;
    for (int n = k / 32; n > 0; n--, b++, q += 32) {
        *d++ = avx2_scale(b->d);
        *m++ = avx2_scale(b->m);
        store32(q, avx2_nibbles(b->qs));
    }
}

static void unpack_q5_0(int k, const void *w, int8_t *q, float *d, float *m)
{
    const struct block_q5_0 *b = w;
    for (int n = k / 32; n > 0; n--, b++, q += 32) {
        *d++ = avx2_scale(b->d);
        *m++ = 0;
        __m256i high = avx2_spread_bits(format_u32(b->qh), 16);
        __m256i v = _mm256_or_si256(avx2_nibbles(b->qs), high);
        store32(q, _mm256_sub_epi8(v, _mm256_set1_epi8(16)));
    }
}

static void unpack_q5_1(int k, const void *w, int8_t *q, float *d, float *m)
{
    const struct block_q5_1 *b = w;
    for (int n = k / 32; n > 0; n--, b++, q += 32) {
        *d++ = avx2_scale(b->d);
        *m++ = avx2_scale(b->m);
        __m256i high = avx2_spread_bits(format_u32(b->qh), 16);
        store32(q, _mm256_or_si256(avx2_nibbles(b->qs), high));
    }
}

static void unpack_q8_0(int k, const void *w, int8_t *q, float *d, float *m)
{
    const struct block_q8_0 *b = w;
    for (int n = k / 32; n > 0; n--, b++, q += 32) {
        *d++ = avx2_scale(b->d);
        *m++ = 0;
        store32(q, load32(b->qs));
    }
}

/* Bits 2j and 2j + 1 of each byte. */
static __m256i crumbs(__m256i bytes, int j)
{
    return _mm256_and_si256(_mm256_srl_epi16(bytes, _mm_cvtsi32_si128(2 * j)), _mm256_set1_epi8(3));
}

static void unpack_q2_k(int k, const void *w, int8_t *q, float *d, float *m)
{
    const struct block_q2_k *b = w;
    for (int n = k / FORMAT_SUPER; n > 0; n--, b++, q += FORMAT_SUPER, d += 16, m += 16) {
        __m256 scale = _mm256_set1_ps(avx2_scale(b->d));
        __m256 min = _mm256_set1_ps(-avx2_scale(b->dmin));
        __m128i both = _mm_loadu_si128((const void *)b->scales), low = _mm_set1_epi8(15);
        __m128i s = _mm_and_si128(both, low), t = _mm_and_si128(_mm_srli_epi16(both, 4), low);
        _mm256_storeu_ps(d, _mm256_mul_ps(scale, avx2_float_u8(s)));
        _mm256_storeu_ps(d + 8, _mm256_mul_ps(scale, avx2_float_u8(_mm_srli_si128(s, 8))));
        _mm256_storeu_ps(m, _mm256_mul_ps(min, avx2_float_u8(t)));
        _mm256_storeu_ps(m + 8, _mm256_mul_ps(min, avx2_float_u8(_mm_srli_si128(t, 8))));
        for (int j = 0; j < 8; j++)
            store32(q + 32 * j, crumbs(load32(b->qs + j / 4 * 32), j % 4));
    }
}

/* 16 signed scales of a format without minima. */
static void store_scales(float scale, __m128i s, float *d, float *m)
{
    __m256 all = _mm256_set1_ps(scale);
    _mm256_storeu_ps(d, _mm256_mul_ps(all, avx2_float_s8(s)));
    _mm256_storeu_ps(d + 8, _mm256_mul_ps(all, avx2_float_s8(_mm_srli_si128(s, 8))));
    _mm256_storeu_ps(m, _mm256_setzero_ps());
    _mm256_storeu_ps(m + 8, _mm256_setzero_ps());
}

static void unpack_q3_k(int k, const void *w, int8_t *q, float *d, float *m)
{
    const struct block_q3_k *b = w;
    for (int n = k / FORMAT_SUPER; n > 0; n--, b++, q += FORMAT_SUPER, d += 16, m += 16) {
        __m256i high = load32(b->hmask), four = _mm256_set1_epi8(4);
        store_scales(avx2_scale(b->d), avx2_scales_q3(b->scales), d, m);
        for (int j = 0; j < 8; j++) {
            /* bit j of each byte to bit 2; bits of neighbours fall to the mask */
            __m128i down = _mm_cvtsi32_si128(j);
            __m256i h = _mm256_srl_epi16(_mm256_slli_epi16(high, 2), down);
            if (j > 5) /* slli lost the top bits of odd bytes */
                h = _mm256_srl_epi16(high, _mm_cvtsi32_si128(j - 2));
            __m256i v = _mm256_or_si256(crumbs(load32(b->qs + j / 4 * 32), j % 4),
                                        _mm256_and_si256(h, four));
            store32(q + 32 * j, _mm256_sub_epi8(v, four));
        }
    }
}

/* The scales and minima of Q4_K and Q5_K. */
static void scales_k4(const uint8_t *d16, const uint8_t *dmin16, const uint8_t *scales, float *d,
                      float *m)
{
    __m128i s = avx2_scales_k4(scales);
    __m256 scale = _mm256_set1_ps(avx2_scale(d16)), min = _mm256_set1_ps(-avx2_scale(dmin16));
    _mm256_storeu_ps(d, _mm256_mul_ps(scale, avx2_float_u8(s)));
    _mm256_storeu_ps(m, _mm256_mul_ps(min, avx2_float_u8(_mm_srli_si128(s, 8))));
}

static void unpack_q4_k(int k, const void *w, int8_t *q, float *d, float *m)
{
    const struct block_q4_k *b = w;
    const __m256i low = _mm256_set1_epi8(15);
    for (int n = k / FORMAT_SUPER; n > 0; n--, b++, q += FORMAT_SUPER, d += 8, m += 8) {
        scales_k4(b->d, b->dmin, b->scales, d, m);
        for (int j = 0; j < 4; j++) {
            __m256i bytes = load32(b->qs + 32 * j);
            store32(q + 64 * j, _mm256_and_si256(bytes, low));
            store32(q + 64 * j + 32, _mm256_and_si256(_mm256_srli_epi16(bytes, 4), low));
        }
    }
}

static void unpack_q5_k(int k, const void *w, int8_t *q, float *d, float *m)
{
    const struct block_q5_k *b = w;
    const __m256i low = _mm256_set1_epi8(15), bit = _mm256_set1_epi8(16);
    for (int n = k / FORMAT_SUPER; n > 0; n--, b++, q += FORMAT_SUPER, d += 8, m += 8) {
        scales_k4(b->d, b->dmin, b->scales, d, m);
        __m256i high = load32(b->qh);
        for (int j = 0; j < 4; j++) { /* bits 2j and 2j + 1 of each byte to bit 4 */
            __m256i bytes = load32(b->qs + 32 * j);
            __m256i h = _mm256_srl_epi16(high, _mm_cvtsi32_si128(2 * j));
            __m256i even = _mm256_and_si256(_mm256_slli_epi16(h, 4), bit);
            __m256i odd = _mm256_and_si256(_mm256_slli_epi16(h, 3), bit);
            __m256i top = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), low);
            store32(q + 64 * j, _mm256_or_si256(_mm256_and_si256(bytes, low), even));
            store32(q + 64 * j + 32, _mm256_or_si256(top, odd));
        }
    }
}

static void unpack_q6_k(int k, const void *w, int8_t *q, float *d, float *m)
{
    const struct block_q6_k *b = w;
    const __m256i low = _mm256_set1_epi8(15), offset = _mm256_set1_epi8(32);
    for (int n = k / FORMAT_SUPER; n > 0; n--, b++, q += FORMAT_SUPER, d += 16, m += 16) {
        store_scales(avx2_scale(b->d), _mm_loadu_si128((const void *)b->scales), d, m);
        for (int j = 0; j < 8; j++) {
            __m256i bytes = load32(b->ql + j / 4 * 64 + j % 2 * 32);
            __m256i nibble = _mm256_srl_epi16(bytes, _mm_cvtsi32_si128(j % 4 / 2 * 4));
            __m256i high = _mm256_slli_epi16(crumbs(load32(b->qh + j / 4 * 32), j % 4), 4);
            __m256i v = _mm256_or_si256(_mm256_and_si256(nibble, low), high);
            store32(q + 32 * j, _mm256_sub_epi8(v, offset));
        }
    }
}

unpack_fn avx2_unpack(enum tensor_type type)
{
    static const unpack_fn unpack[TENSOR_TYPE_COUNT] = {
        [TENSOR_Q4_0] = unpack_q4_0, [TENSOR_Q4_1] = unpack_q4_1, [TENSOR_Q5_0] = unpack_q5_0,
        [TENSOR_Q5_1] = unpack_q5_1, [TENSOR_Q8_0] = unpack_q8_0, [TENSOR_Q2_K] = unpack_q2_k,
        [TENSOR_Q3_K] = unpack_q3_k, [TENSOR_Q4_K] = unpack_q4_k, [TENSOR_Q5_K] = unpack_q5_k,
        [TENSOR_Q6_K] = unpack_q6_k};
    return unpack[type];
}

static void dequantize_ints(enum tensor_type type, int k, const void *w, float *y)
{
    unpack_fn unpack = avx2_unpack(type);
    int group = format_group(type);
    size_t super_bytes = tensor_row_bytes(type, FORMAT_SUPER);
    const unsigned char *row = w;
    int8_t q[FORMAT_SUPER];
    float d[FORMAT_SUPER / 16], m[FORMAT_SUPER / 16];
    for (int at = 0; at < k; at += FORMAT_SUPER, row += super_bytes) {
        int n = k - at < FORMAT_SUPER ? k - at : FORMAT_SUPER;
        unpack(n, row, q, d, m);
        for (int i = 0; i < n; i += 8) {
            __m256 v = avx2_float_s8(_mm_loadl_epi64((const void *)(q + i)));
            v = _mm256_fmadd_ps(v, _mm256_set1_ps(d[i / group]), _mm256_set1_ps(m[i / group]));
            _mm256_storeu_ps(y + at + i, v);
        }
    }
}

static void dequantize_halves(enum tensor_type type, int k, const unsigned char *w, float *y)
{
    int i = 0;
    for (; i + 8 <= k; i += 8, w += 16)
        _mm256_storeu_ps(y + i, type == TENSOR_F16 ? avx2_load_f16(w) : avx2_load_bf16(w));
    for (; i < k; i++, w += 2)
        y[i] = type == TENSOR_F16 ? avx2_scale(w) : format_bf16_float(format_u16(w));
}

void avx2_dequantize(enum tensor_type type, int k, const void *w, float *y)
{
    if (type == TENSOR_F32)
        memcpy(y, w, (size_t)k * sizeof(float));
    else if (type == TENSOR_F16 || type == TENSOR_BF16)
        dequantize_halves(type, k, w, y);
    else
        dequantize_ints(type, k, w, y);
}

void avx2_fill_unpack(struct kernels *table)
{
    for (int type = 0; type < TENSOR_TYPE_COUNT; type++)
        if (avx2_unpack(type))
            table->unpack[type] = avx2_unpack(type);
    table->dequantize = avx2_dequantize;
}

#endif
