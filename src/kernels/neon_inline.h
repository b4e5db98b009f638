/*
 * neon_inline.h: small NEON pieces that several files build on, and the parts of the NEON table.
 * Only for AArch64 with the dot product extension.
 */
#ifndef KERNELS_NEON_INLINE_H
#define KERNELS_NEON_INLINE_H

#include "kernels/formats.h"
#include <arm_neon.h>

#define NEON_INLINE static inline __attribute__((always_inline))

/** Enter a file's entries into a table that holds simpler ones. */
void neon_fill_dot(struct kernels *table);
void neon_fill_gemm(struct kernels *table);
void neon_fill_attend(struct kernels *table);
void neon_fill_score(struct kernels *table);

void neon_dequantize(enum tensor_type type, int k, const void *w, float *y);
void neon_act_quantize(int k, const float *x, int8_t *q, float *d, float *s);
unpack_fn neon_unpack(enum tensor_type type);

/** The binary16 at p. */
NEON_INLINE float neon_scale(const void *p)
{
    return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(format_u16(p)))), 0);
}

NEON_INLINE float32x4_t neon_load_f16(const void *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
}

NEON_INLINE float32x4_t neon_load_bf16(const void *p)
{
    return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p)), 16));
}

/** exp(x) within 2 ulp; 0 below about -87.3, largest near 88.7; the method of avx2_exp. */
NEON_INLINE float32x4_t neon_exp(float32x4_t x)
{
    const float32x4_t low = vdupq_n_f32(-87.33654f), high = vdupq_n_f32(88.37626f);
    uint32x4_t dead = vcltq_f32(x, low);
    x = vmaxq_f32(low, vminq_f32(high, x));
    float32x4_t n = vrndnq_f32(vmulq_n_f32(x, 1.44269504f));
    float32x4_t r = vfmsq_f32(x, n, vdupq_n_f32(0.693359375f));
    r = vfmsq_f32(r, n, vdupq_n_f32(-2.12194440e-4f));
    float32x4_t p = vdupq_n_f32(1.9875691500e-4f);
    p = vfmaq_f32(vdupq_n_f32(1.3981999507e-3f), p, r);
    p = vfmaq_f32(vdupq_n_f32(8.3334519073e-3f), p, r);
    p = vfmaq_f32(vdupq_n_f32(4.1665795894e-2f), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.6666665459e-1f), p, r);
    p = vfmaq_f32(vdupq_n_f32(5.0000001201e-1f), p, r);
    p = vfmaq_f32(vaddq_f32(r, vdupq_n_f32(1)), p, vmulq_f32(r, r));
    int32x4_t power = vshlq_n_s32(vcvtq_s32_f32(n), 23);
    int32x4_t y = vaddq_s32(vreinterpretq_s32_f32(p), power);
    return vreinterpretq_f32_s32(vbicq_s32(y, vreinterpretq_s32_u32(dead)));
}

#endif
