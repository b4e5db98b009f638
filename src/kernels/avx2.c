/*
 * avx2.c: the AVX2 table and its short loops: norms, rotation, gates, conversions.
 */
#include "kernels/avx2.h"

#if defined(__AVX2__)

#include "kernels/avx2_inline.h"
#include "kernels/cpu.h"
#include <math.h>
#include <pthread.h>

/* One block of 32; the same arithmetic, to the bit, as the scalar entry. */
static void quantize_block(const float *x, int8_t *q, float *d, float *s)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 v[4], most = _mm256_setzero_ps();
    __m256i n[4];
    for (int i = 0; i < 4; i++) {
        v[i] = _mm256_loadu_ps(x + 8 * i);
        most = _mm256_max_ps(_mm256_andnot_ps(sign, v[i]), most); /* most, where v is NaN */
    }
    float top = avx2_max8(most);
    bool zero = !(top > 1e-30f);
    __m256 inverse = _mm256_set1_ps(zero ? 0 : 127 / top);
    *d = zero ? 0 : top / 127;
    for (int i = 0; i < 4; i++)
        n[i] = _mm256_cvtps_epi32(_mm256_mul_ps(v[i], inverse));
    for (int half = 0; half < 2; half++) {
        __m256i pair = _mm256_add_epi32(n[2 * half], n[2 * half + 1]);
        __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(pair),
                                    _mm256_extracti128_si256(pair, 1));
        sum = _mm_add_epi32(sum, _mm_unpackhi_epi64(sum, sum));
        sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 1));
        s[half] = *d * (float)_mm_cvtsi128_si32(sum);
    }
    /* The packs work within 128-bit lanes; the permutation puts the quads back in order. */
    __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(n[0], n[1]),
                                       _mm256_packs_epi32(n[2], n[3]));
    bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((void *)q, bytes);
}

void avx2_act_quantize(int k, const float *x, int8_t *q, float *d, float *s)
{
    for (int i = 0; i < k / ACT_BLOCK; i++)
        quantize_block(x + 32 * i, q + 32 * i, d + i, s + 2 * i);
}

static void rms_norm(int n, const float *x, const float *w, float eps, float *y)
{
    __m256 a = _mm256_setzero_ps(), b = a;
    int i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256 u = _mm256_loadu_ps(x + i), v = _mm256_loadu_ps(x + i + 8);
        a = _mm256_fmadd_ps(u, u, a);
        b = _mm256_fmadd_ps(v, v, b);
    }
    float sum = avx2_sum8(_mm256_add_ps(a, b));
    for (; i < n; i++)
        sum += x[i] * x[i];
    float scale = 1 / sqrtf(sum / (float)n + eps);
    __m256 scales = _mm256_set1_ps(scale);
    for (i = 0; i + 8 <= n; i += 8) {
        __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x + i), scales);
        _mm256_storeu_ps(y + i, _mm256_mul_ps(v, _mm256_loadu_ps(w + i)));
    }
    for (; i < n; i++)
        y[i] = x[i] * scale * w[i];
}

/* Pairs i and i + half. */
static void rope_halves(int half, const float *cos, const float *sin, float *x)
{
    int i = 0;
    for (; i + 8 <= half; i += 8) {
        __m256 c = _mm256_loadu_ps(cos + i), s = _mm256_loadu_ps(sin + i);
        __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + i + half);
        _mm256_storeu_ps(x + i, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)));
        _mm256_storeu_ps(x + i + half, _mm256_fmadd_ps(a, s, _mm256_mul_ps(b, c)));
    }
    for (; i < half; i++) {
        float a = x[i], b = x[i + half];
        x[i] = a * cos[i] - b * sin[i];
        x[i + half] = a * sin[i] + b * cos[i];
    }
}

/* Pairs 2i and 2i + 1. */
static void rope_neighbours(int half, const float *cos, const float *sin, float *x)
{
    const __m256i twice = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    int i = 0;
    for (; i + 4 <= half; i += 4) {
        __m256 c = _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(cos + i)), twice);
        __m256 s = _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(sin + i)), twice);
        __m256 v = _mm256_loadu_ps(x + 2 * i), swapped = _mm256_permute_ps(v, 0xb1);
        _mm256_storeu_ps(x + 2 * i, _mm256_fmaddsub_ps(v, c, _mm256_mul_ps(swapped, s)));
    }
    for (; i < half; i++) {
        float a = x[2 * i], b = x[2 * i + 1];
        x[2 * i] = a * cos[i] - b * sin[i];
        x[2 * i + 1] = a * sin[i] + b * cos[i];
    }
}

static void rope(bool neox, int n_heads, int head_dim, int rope_dims, const float *cos,
                 const float *sin, float *x)
{
    for (int h = 0; h < n_heads; h++, x += head_dim)
        (neox ? rope_halves : rope_neighbours)(rope_dims / 2, cos, sin, x);
}

static void silu_mul(int n, const float *gate, const float *up, float *y)
{
    const __m256 one = _mm256_set1_ps(1), sign = _mm256_set1_ps(-0.0f);
    int i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 g = _mm256_loadu_ps(gate + i);
        __m256 e = avx2_exp(_mm256_xor_ps(g, sign));
        __m256 silu = _mm256_div_ps(g, _mm256_add_ps(one, e));
        _mm256_storeu_ps(y + i, _mm256_mul_ps(silu, _mm256_loadu_ps(up + i)));
    }
    for (; i < n; i++)
        y[i] = gate[i] / (1 + expf(-gate[i])) * up[i];
}

static void add(int n, const float *x, float *y)
{
    int i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_add_ps(_mm256_loadu_ps(y + i), _mm256_loadu_ps(x + i)));
    for (; i < n; i++)
        y[i] += x[i];
}

static void to_f16(int n, const float *x, uint16_t *y)
{
    int i = 0;
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((void *)(y + i), _mm256_cvtps_ph(_mm256_loadu_ps(x + i), 0));
    for (; i < n; i++)
        y[i] = format_float_f16(x[i]);
}

static struct kernels table;
static bool available; /* asked once: CPUID takes microseconds inside a virtual machine */

static void fill_table(void)
{
    available = cpu_has_avx2();
    if (!available)
        return;
    table = *kernels_scalar();
    table.name = "avx2";
    table.gemm_min_tokens = 6;
    table.act_quantize = avx2_act_quantize;
    table.rms_norm = rms_norm;
    table.rope = rope;
    table.silu_mul = silu_mul;
    table.add = add;
    table.to_f16 = to_f16;
    avx2_fill_dot(&table);
    avx2_fill_unpack(&table);
    avx2_fill_gemm(&table);
    avx2_fill_attend(&table);
    avx2_fill_score(&table);
}

const struct kernels *kernels_avx2(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill_table);
    return available ? &table : NULL;
}

#else

#include <stddef.h>

const struct kernels *kernels_avx2(void)
{
    return NULL;
}

#endif
