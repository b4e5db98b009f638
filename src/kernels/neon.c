/*
 * neon.c: the NEON table for AArch64 with the dot product extension, and its short loops: norms,
 * rotation, gates, conversions.
 */
#include "kernels/kernels.h"

#if defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)

#include "kernels/cpu.h"
#include "kernels/neon_inline.h"
#include "kernels/scalar.h"
#include <math.h>
#include <pthread.h>

/* One block of 32; the same arithmetic, to the bit, as the scalar entry. */
static void quantize_block(const float *x, int8_t *q, float *d, float *s)
{
    float32x4_t v[8], most = vdupq_n_f32(0);
    int16x8_t n[4];
    for (int i = 0; i < 8; i++) {
        v[i] = vld1q_f32(x + 4 * i);
        most = vmaxnmq_f32(most, vabsq_f32(v[i]));
    }
    float top = vmaxvq_f32(most);
    bool zero = !(top > 1e-30f);
    float inverse = zero ? 0 : 127 / top;
    *d = zero ? 0 : top / 127;
    for (int i = 0; i < 4; i++) {
        int32x4_t a = vcvtnq_s32_f32(vmulq_n_f32(v[2 * i], inverse));
        int32x4_t b = vcvtnq_s32_f32(vmulq_n_f32(v[2 * i + 1], inverse));
        n[i] = vcombine_s16(vqmovn_s32(a), vqmovn_s32(b));
    }
    for (int half = 0; half < 2; half++) {
        s[half] = *d * (float)vaddlvq_s16(vaddq_s16(n[2 * half], n[2 * half + 1]));
        vst1q_s8(q + 16 * half, vcombine_s8(vqmovn_s16(n[2 * half]), vqmovn_s16(n[2 * half + 1])));
    }
}

void neon_act_quantize(int k, const float *x, int8_t *q, float *d, float *s)
{
    for (int i = 0; i < k / ACT_BLOCK; i++)
        quantize_block(x + 32 * i, q + 32 * i, d + i, s + 2 * i);
}

static void rms_norm(int n, const float *x, const float *w, float eps, float *y)
{
    float32x4_t a = vdupq_n_f32(0), b = a;
    int i = 0;
    for (; i + 8 <= n; i += 8) {
        float32x4_t u = vld1q_f32(x + i), v = vld1q_f32(x + i + 4);
        a = vfmaq_f32(a, u, u);
        b = vfmaq_f32(b, v, v);
    }
    float sum = vaddvq_f32(vaddq_f32(a, b));
    for (; i < n; i++)
        sum += x[i] * x[i];
    float scale = 1 / sqrtf(sum / (float)n + eps);
    for (i = 0; i + 4 <= n; i += 4)
        vst1q_f32(y + i, vmulq_f32(vmulq_n_f32(vld1q_f32(x + i), scale), vld1q_f32(w + i)));
    for (; i < n; i++)
        y[i] = x[i] * scale * w[i];
}

static void rotate(float32x4_t *a, float32x4_t *b, float32x4_t c, float32x4_t s)
{
    float32x4_t x = *a, y = *b;
    *a = vfmsq_f32(vmulq_f32(x, c), y, s);
    *b = vfmaq_f32(vmulq_f32(y, c), x, s);
}

/* Four pairs at a time; returns how many pairs are done. */
static int rope_fours(bool neox, int half, const float *cos, const float *sin, float *x)
{
    int i = 0;
    for (; i + 4 <= half; i += 4) {
        float32x4_t c = vld1q_f32(cos + i), s = vld1q_f32(sin + i);
        if (neox) {
            float32x4_t a = vld1q_f32(x + i), b = vld1q_f32(x + i + half);
            rotate(&a, &b, c, s);
            vst1q_f32(x + i, a);
            vst1q_f32(x + i + half, b);
        } else {
            float32x4x2_t v = vld2q_f32(x + 2 * i);
            rotate(&v.val[0], &v.val[1], c, s);
            vst2q_f32(x + 2 * i, v);
        }
    }
    return i;
}

static void rope(bool neox, int n_heads, int head_dim, int rope_dims, const float *cos,
                 const float *sin, float *x)
{
    int half = rope_dims / 2;
    for (int h = 0; h < n_heads; h++, x += head_dim)
        for (int i = rope_fours(neox, half, cos, sin, x); i < half; i++) {
            float *a = neox ? x + i : x + 2 * i, *b = neox ? x + i + half : x + 2 * i + 1;
            float u = *a, v = *b;
            *a = u * cos[i] - v * sin[i];
            *b = u * sin[i] + v * cos[i];
        }
}

static void silu_mul(int n, const float *gate, const float *up, float *y)
{
    int i = 0;
    for (; i + 4 <= n; i += 4) {
        float32x4_t g = vld1q_f32(gate + i);
        float32x4_t e = vaddq_f32(vdupq_n_f32(1), neon_exp(vnegq_f32(g)));
        vst1q_f32(y + i, vmulq_f32(vdivq_f32(g, e), vld1q_f32(up + i)));
    }
    for (; i < n; i++)
        y[i] = gate[i] / (1 + expf(-gate[i])) * up[i];
}

static void add(int n, const float *x, float *y)
{
    int i = 0;
    for (; i + 4 <= n; i += 4)
        vst1q_f32(y + i, vaddq_f32(vld1q_f32(y + i), vld1q_f32(x + i)));
    for (; i < n; i++)
        y[i] += x[i];
}

static void to_f16(int n, const float *x, uint16_t *y)
{
    int i = 0;
    for (; i + 4 <= n; i += 4)
        vst1_u16(y + i, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(x + i))));
    for (; i < n; i++)
        y[i] = format_float_f16(x[i]);
}

static struct kernels table;
static bool available; /* asked once: CPUID takes microseconds inside a virtual machine */

static void fill_table(void)
{
    available = cpu_has_dotprod();
    if (!available)
        return;
    table = *kernels_scalar();
    table.name = "neon";
    table.gemm_min_tokens = 6;
    table.act_quantize = neon_act_quantize;
    table.rms_norm = rms_norm;
    table.rope = rope;
    table.silu_mul = silu_mul;
    table.add = add;
    table.to_f16 = to_f16;
    neon_fill_dot(&table);
    neon_fill_gemm(&table);
    neon_fill_attend(&table);
    neon_fill_score(&table);
}

const struct kernels *kernels_neon(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill_table);
    return available ? &table : NULL;
}

#else

#include <stddef.h>

const struct kernels *kernels_neon(void)
{
    return NULL;
}

#endif
