/*
 * avx512.c: the AVX-512 table: the AVX2 one with wider products and short loops.
 */
#include "kernels/avx512.h"

#if defined(__AVX512F__) && defined(__AVX512VNNI__)

#include "kernels/avx512_inline.h"
#include "kernels/cpu.h"

#include <math.h>
#include <pthread.h>

/* One block of 32; the same arithmetic, to the bit, as the scalar entry. */
static inline void quantize_block(const float *x, int8_t *q, float *d, float *s)
{
    __m512 a = _mm512_loadu_ps(x), b = _mm512_loadu_ps(x + 16), zero = _mm512_setzero_ps();
    /* The second operand of a maximum is the result where one is NaN. */
    __m512 most = _mm512_max_ps(_mm512_abs_ps(b), _mm512_max_ps(_mm512_abs_ps(a), zero));
    float top = _mm512_reduce_max_ps(most);
    bool tiny = !(top > 1e-30f);
    __m512 inverse = _mm512_set1_ps(tiny ? 0 : 127 / top);
    *d = tiny ? 0 : top / 127;
    __m512i low = _mm512_cvtps_epi32(_mm512_mul_ps(a, inverse));
    __m512i high = _mm512_cvtps_epi32(_mm512_mul_ps(b, inverse));
    s[0] = *d * (float)_mm512_reduce_add_epi32(low);
    s[1] = *d * (float)_mm512_reduce_add_epi32(high);
    _mm_storeu_si128((void *)q, _mm512_cvtsepi32_epi8(low));
    _mm_storeu_si128((void *)(q + 16), _mm512_cvtsepi32_epi8(high));
}

void avx512_act_quantize(int k, const float *x, int8_t *q, float *d, float *s)
{
    for (int i = 0; i < k / ACT_BLOCK; i++)
        quantize_block(x + 32 * i, q + 32 * i, d + i, s + 2 * i);
}

static void rms_norm(int n, const float *x, const float *w, float eps, float *y)
{
    __m512 sum[4], scales;
    UNROLL for (int j = 0; j < 4; j++)
        sum[j] = _mm512_setzero_ps();
    int i = 0;
    for (; i + 64 <= n; i += 64)
        UNROLL for (int j = 0; j < 4; j++) {
            __m512 v = _mm512_loadu_ps(x + i + 16 * j);
            sum[j] = _mm512_fmadd_ps(v, v, sum[j]);
        }
    for (; i < n; i += 16) {
        __m512 v = _mm512_maskz_loadu_ps(avx512_first(n - i < 16 ? n - i : 16), x + i);
        sum[0] = _mm512_fmadd_ps(v, v, sum[0]);
    }
    float total = _mm512_reduce_add_ps(
        _mm512_add_ps(_mm512_add_ps(sum[0], sum[1]), _mm512_add_ps(sum[2], sum[3])));
    scales = _mm512_set1_ps(1 / sqrtf(total / (float)n + eps));
    for (i = 0; i < n; i += 16) {
        __mmask16 mask = avx512_first(n - i < 16 ? n - i : 16);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), scales);
        _mm512_mask_storeu_ps(y + i, mask, _mm512_mul_ps(v, _mm512_maskz_loadu_ps(mask, w + i)));
    }
}

static void silu_mul(int n, const float *gate, const float *up, float *y)
{
    const __m512 one = _mm512_set1_ps(1), zero = _mm512_setzero_ps();
    for (int i = 0; i < n; i += 16) {
        __mmask16 mask = avx512_first(n - i < 16 ? n - i : 16);
        __m512 g = _mm512_maskz_loadu_ps(mask, gate + i);
        __m512 e = avx512_exp(_mm512_sub_ps(zero, g));
        __m512 v = _mm512_mul_ps(_mm512_div_ps(g, _mm512_add_ps(one, e)),
                                 _mm512_maskz_loadu_ps(mask, up + i));
        _mm512_mask_storeu_ps(y + i, mask, v);
    }
}

static void add(int n, const float *x, float *y)
{
    for (int i = 0; i < n; i += 16) {
        __mmask16 mask = avx512_first(n - i < 16 ? n - i : 16);
        __m512 v = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, y + i),
                                 _mm512_maskz_loadu_ps(mask, x + i));
        _mm512_mask_storeu_ps(y + i, mask, v);
    }
}

static void to_f16(int n, const float *x, uint16_t *y)
{
    for (int i = 0; i < n; i += 16) {
        __mmask16 mask = avx512_first(n - i < 16 ? n - i : 16);
        __m256i v = _mm512_cvtps_ph(_mm512_maskz_loadu_ps(mask, x + i), _MM_FROUND_TO_NEAREST_INT);
        _mm256_mask_storeu_epi16(y + i, mask, v);
    }
}

/* Pairs i and i + half. */
static void rope_halves(int half, const float *cos, const float *sin, float *x)
{
    for (int i = 0; i < half; i += 16) {
        __mmask16 mask = avx512_first(half - i < 16 ? half - i : 16);
        __m512 c = _mm512_maskz_loadu_ps(mask, cos + i), s = _mm512_maskz_loadu_ps(mask, sin + i);
        __m512 a = _mm512_maskz_loadu_ps(mask, x + i);
        __m512 b = _mm512_maskz_loadu_ps(mask, x + i + half);
        _mm512_mask_storeu_ps(x + i, mask, _mm512_fmsub_ps(a, c, _mm512_mul_ps(b, s)));
        _mm512_mask_storeu_ps(x + i + half, mask, _mm512_fmadd_ps(a, s, _mm512_mul_ps(b, c)));
    }
}

/* Pairs 2i and 2i + 1. */
static void rope_neighbours(int half, const float *cos, const float *sin, float *x)
{
    const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    for (int i = 0; i < half; i += 8) {
        int n = half - i < 8 ? half - i : 8;
        __mmask16 mask = avx512_first(2 * n), angles = avx512_first(n);
        __m512 c = _mm512_permutexvar_ps(twice, _mm512_maskz_loadu_ps(angles, cos + i));
        __m512 s = _mm512_permutexvar_ps(twice, _mm512_maskz_loadu_ps(angles, sin + i));
        __m512 v = _mm512_maskz_loadu_ps(mask, x + 2 * i), swapped = _mm512_permute_ps(v, 0xb1);
        _mm512_mask_storeu_ps(x + 2 * i, mask,
                              _mm512_fmaddsub_ps(v, c, _mm512_mul_ps(swapped, s)));
    }
}

static void rope(bool neox, int n_heads, int head_dim, int rope_dims, const float *cos,
                 const float *sin, float *x)
{
    for (int h = 0; h < n_heads; h++, x += head_dim)
        (neox ? rope_halves : rope_neighbours)(rope_dims / 2, cos, sin, x);
}

static struct kernels table;
static bool available; /* asked once: CPUID takes microseconds inside a virtual machine */

static void fill_table(void)
{
    available = cpu_has_avx512();
    if (!available)
        return;
    table = *kernels_avx2();
    table.name = "avx512";
    table.gemm_min_dots = 13;
    table.act_quantize = avx512_act_quantize;
    table.rms_norm = rms_norm;
    table.rope = rope;
    table.silu_mul = silu_mul;
    table.add = add;
    table.to_f16 = to_f16;
    avx512_fill_dot(&table);
    avx512_fill_dot_k(&table);
    avx512_fill_gemm(&table);
    avx512_fill_attend(&table);
    avx512_fill_score(&table);
}

const struct kernels *kernels_avx512(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill_table);
    return available ? &table : NULL;
}

#else

#include <stddef.h>

const struct kernels *kernels_avx512(void)
{
    return NULL;
}

#endif
