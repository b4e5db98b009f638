/*
 * formats.h: how weights lie in a GGUF file, byte by byte, and half-precision conversion.
 *
 * Blocks are structs of bytes, so they have no alignment and no padding and may be laid over mapped
 * memory. A nibble array holds the low nibbles' values first: value i and value i + n share byte i.
 * All numbers are little-endian. "value i" counts within the block.
 */
#ifndef KERNELS_FORMATS_H
#define KERNELS_FORMATS_H

#include "kernels/kernels.h"
#include <string.h>

enum { FORMAT_SUPER = 256 }; /* values in a block of the K formats; dots work in steps of it */

/*  bytes  Q4_0: 32 values in 18 bytes; w = d * (q - 8)
 *   0- 1  d, binary16
 *   2-17  q: byte i = value i | value i+16 << 4                                               */
struct block_q4_0 {
    uint8_t d[2], qs[16];
};

/*  bytes  Q4_1: 32 values in 20 bytes; w = d * q + m
 *   0- 3  d, m, binary16
 *   4-19  q as Q4_0                                                                           */
struct block_q4_1 {
    uint8_t d[2], m[2], qs[16];
};

/*  bytes  Q5_0: 32 values in 22 bytes; w = d * (q - 16)
 *   0- 1  d
 *   2- 5  bit i of this 32-bit number is bit 4 of value i
 *   6-21  the low four bits, as Q4_0                                                          */
struct block_q5_0 {
    uint8_t d[2], qh[4], qs[16];
};

/*  bytes  Q5_1: 32 values in 24 bytes; w = d * q + m
 *   0- 3  d, m
 *   4-23  qh and qs as Q5_0                                                                   */
struct block_q5_1 {
    uint8_t d[2], m[2], qh[4], qs[16];
};

/*  bytes  Q8_0: 32 values in 34 bytes; w = d * q
 *   0- 1  d
 *   2-33  q, signed bytes                                                                     */
struct block_q8_0 {
    uint8_t d[2];
    int8_t qs[32];
};

/*  bytes  Q2_K: 256 values in 84 bytes, groups of 16; w = d * scale * q - dmin * min
 *   0-15  byte g: scale of group g in the low nibble, min in the high one
 *  16-79  two halves of 32 bytes, 128 values each: byte i, bits 2j, 2j+1 = value 32j + i
 *  80-83  d, dmin                                                                             */
struct block_q2_k {
    uint8_t scales[16], qs[64], d[2], dmin[2];
};

/*  bytes  Q3_K: 256 values in 110 bytes, groups of 16; w = d * (scale - 32) * (q - 4)
 *   0-31  byte i, bit j = bit 2 of value 32j + i
 *  32-95  low two bits, as Q2_K
 *  96-107 scale g, 6 bits: low four in byte g % 8, nibble g / 8; high two in byte 8 + g % 4,
 *         bits 2(g / 4) and up
 * 108-109 d                                                                                   */
struct block_q3_k {
    uint8_t hmask[32], qs[64], scales[12], d[2];
};

/*  bytes  Q4_K: 256 values in 144 bytes, groups of 32; w = d * scale * q - dmin * min
 *   0- 3  d, dmin
 *   4-15  scale and min g, 6 bits each; g < 4: low six bits of byte g, byte g + 4;
 *         g >= 4: low and high nibble of byte g + 4, over the top two bits of byte g - 4, byte g
 *  16-143 four quarters of 32 bytes: byte i = value i | value i+32 << 4 of the quarter's 64    */
struct block_q4_k {
    uint8_t d[2], dmin[2], scales[12], qs[128];
};

/*  bytes  Q5_K: 256 values in 176 bytes, groups of 32; w = d * scale * q - dmin * min
 *   0-15  d, dmin, scales as Q4_K
 *  16-47  byte i, bit g = bit 4 of value 32g + i
 *  48-175 low four bits, as Q4_K                                                              */
struct block_q5_k {
    uint8_t d[2], dmin[2], scales[12], qh[32], qs[128];
};

/*  bytes  Q6_K: 256 values in 210 bytes, groups of 16; w = d * scale * (q - 32)
 *   0-127 two halves of 64 bytes, 128 values each: byte i = low four bits of value i | those of
 *         value i+64 << 4
 * 128-191 two halves of 32 bytes: byte i, bits 2j, 2j+1 = bits 4, 5 of value 32j + i of the half
 * 192-207 scale g, signed bytes
 * 208-209 d                                                                                   */
struct block_q6_k {
    uint8_t ql[128], qh[64];
    int8_t scales[16];
    uint8_t d[2];
};

/** binary16 to float, exact; subnormals, infinities and NaN included. */
static inline float format_f16_float(uint16_t h)
{
    uint32_t magnitude = h & 0x7fffu, bits = magnitude << 13;
    float f;
    if (magnitude >= 0x7c00u) {
        bits |= 0x7f800000u;
        memcpy(&f, &bits, 4);
    } else {
        memcpy(&f, &bits, 4);
        f *= 0x1p112f; /* rebias the exponent; also scales subnormals right */
    }
    return h & 0x8000u ? -f : f;
}

/** float to binary16, to nearest even; overflow gives infinity, NaN stays NaN. */
static inline uint16_t format_float_f16(float f)
{
    uint32_t bits, sign, magnitude;
    memcpy(&bits, &f, 4);
    sign = bits >> 16 & 0x8000u;
    magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u);
    if (magnitude >= 0x477ff000u) /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7c00u);
    if (magnitude < 0x38800000u) { /* below 2^-14: let the adder round at 2^-24 */
        float m;
        memcpy(&m, &magnitude, 4);
        m += 0.5f;
        memcpy(&magnitude, &m, 4);
        return (uint16_t)(sign | (magnitude - 0x3f000000u));
    }
    magnitude += 0xfffu + (magnitude >> 13 & 1) - 0x38000000u;
    return (uint16_t)(sign | magnitude >> 13);
}

static inline float format_bf16_float(uint16_t h)
{
    uint32_t bits = (uint32_t)h << 16;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

/** float to bfloat16, to nearest even; NaN stays NaN. */
static inline uint16_t format_float_bf16(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, 4);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

/** Unaligned little-endian loads. */
static inline uint16_t format_u16(const void *p)
{
    const uint8_t *b = p;
    return (uint16_t)(b[0] | b[1] << 8);
}

static inline uint32_t format_u32(const void *p)
{
    const uint8_t *b = p;
    return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

/** The binary16 at p as float. */
static inline float format_scale(const void *p)
{
    return format_f16_float(format_u16(p));
}

/** Scale and min of group g of Q4_K and Q5_K from their 12 bytes. */
static inline void format_scale_min(const uint8_t s[12], int g, int *scale, int *min)
{
    if (g < 4) {
        *scale = s[g] & 63;
        *min = s[g + 4] & 63;
    } else {
        *scale = (s[g + 4] & 15) | (s[g - 4] >> 6) << 4;
        *min = s[g + 4] >> 4 | (s[g] >> 6) << 4;
    }
}

/** Scale of group g of Q3_K, -32..31, from its 12 bytes. */
static inline int format_scale_q3(const uint8_t s[12], int g)
{
    int low = g < 8 ? s[g] & 15 : s[g - 8] >> 4;
    return (low | (s[8 + g % 4] >> 2 * (g / 4) & 3) << 4) - 32;
}

/** Values that share one scale: 16 or 32; 0 for float types and types that we do not read. */
static inline int format_group(enum tensor_type type)
{
    switch (type) {
    case TENSOR_Q2_K:
    case TENSOR_Q3_K:
    case TENSOR_Q6_K:
        return 16;
    case TENSOR_Q4_0:
    case TENSOR_Q4_1:
    case TENSOR_Q5_0:
    case TENSOR_Q5_1:
    case TENSOR_Q8_0:
    case TENSOR_Q4_K:
    case TENSOR_Q5_K:
        return 32;
    default:
        return 0;
    }
}

/** Whether the type's m (see unpack_fn) is ever nonzero. */
static inline bool format_has_min(enum tensor_type type)
{
    return type == TENSOR_Q4_1 || type == TENSOR_Q5_1 || type == TENSOR_Q2_K ||
           type == TENSOR_Q4_K || type == TENSOR_Q5_K;
}

/* Plain C unpack_fn of each quantised type. q ranges: Q4_0 -8..7, Q4_1 and Q4_K 0..15,
 * Q5_0 -16..15, Q5_1 and Q5_K 0..31, Q8_0 -128..127, Q2_K 0..3, Q3_K -4..3, Q6_K -32..31. */
void format_unpack_q4_0(int k, const void *w, int8_t *q, float *d, float *m);
void format_unpack_q4_1(int k, const void *w, int8_t *q, float *d, float *m);
void format_unpack_q5_0(int k, const void *w, int8_t *q, float *d, float *m);
void format_unpack_q5_1(int k, const void *w, int8_t *q, float *d, float *m);
void format_unpack_q8_0(int k, const void *w, int8_t *q, float *d, float *m);
void format_unpack_q2_k(int k, const void *w, int8_t *q, float *d, float *m);
void format_unpack_q3_k(int k, const void *w, int8_t *q, float *d, float *m);
void format_unpack_q4_k(int k, const void *w, int8_t *q, float *d, float *m);
void format_unpack_q5_k(int k, const void *w, int8_t *q, float *d, float *m);
void format_unpack_q6_k(int k, const void *w, int8_t *q, float *d, float *m);

#endif
