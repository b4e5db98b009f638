/*
 * quantize.c: encoders for GGUF's weight formats. The layouts are those of the format; the scales
 * are the simplest that cover a block's range. All multi-byte fields are little endian.
 *
 *   block of 32        bytes                                     value of q
 *   Q4_0  d16 q[16]                                              (q - 8) d
 *   Q4_1  d16 m16 q[16]                                          q d + m
 *   Q5_0  d16 high32 q[16]                                       (q - 16) d
 *   Q5_1  d16 m16 high32 q[16]                                   q d + m
 *   Q8_0  d16 i8[32]                                             q d
 *   In q[16] byte j holds value j in the low and value j + 16 in the high half; bit j of high32 is
 *   the fifth bit of value j.
 *
 *   block of 256       bytes                                     value of q in sub-block s
 *   Q2_K  scales[16] q[64] d16 min16                             q d sc[s] - min m[s]   (16 each)
 *   Q3_K  high[32] q[64] scales[12] d16                          (q - 4) d (sc[s] - 32) (16 each)
 *   Q4_K  d16 min16 scales[12] q[128]                            q d sc[s] - min m[s]   (32 each)
 *   Q5_K  d16 min16 scales[12] high[32] q[128]                   q d sc[s] - min m[s]   (32 each)
 *   Q6_K  low[128] high[64] i8 scales[16] d16                    (q - 32) d sc[s]       (16 each)
 */
#include "model/quantize.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* ---- 16-bit floats ------------------------------------------------------------------------- */

uint16_t quantize_f16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000)
        return sign | 0x7e00; /* NaN */
    if (magnitude >= 0x477ff000)
        return sign | 0x7c00; /* rounds to infinity */
    if (magnitude < 0x38800000) {
        /* Subnormal: adding 0.5 leaves the value in units of 2^-24 in the low bits, rounded. */
        float shifted;
        memcpy(&shifted, &magnitude, sizeof shifted);
        shifted += 0.5f;
        uint32_t low;
        memcpy(&low, &shifted, sizeof low);
        return sign | (uint16_t)(low - 0x3f000000);
    }
    uint32_t odd = magnitude >> 13 & 1;
    return sign | (uint16_t)((magnitude - 0x38000000 + 0xfff + odd) >> 13);
}

uint16_t quantize_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* Store x as a half and return what was stored: quantising against that hides its rounding. */
static float put_f16(unsigned char *at, float x)
{
    uint16_t half = quantize_f16(x);
    memcpy(at, &half, sizeof half);
    int exponent = half >> 10 & 31, fraction = half & 1023;
    float magnitude = exponent ? ldexpf((float)(1024 + fraction), exponent - 25)
                               : (float)fraction * 0x1p-24f;
    return half & 0x8000 ? -magnitude : magnitude;
}

/* ---- shared arithmetic --------------------------------------------------------------------- */

/* Nearest integer in [low, high]. Truncating a positive number is what every CPU does fast. */
static int quantum(float x, int low, int high)
{
    x = x < (float)low ? (float)low : x > (float)high ? (float)high : x;
    return (int)(x + 1024.5f) - 1024;
}

static float inverse(float d)
{
    return d != 0 ? 1 / d : 0;
}

/* The value of largest magnitude, with its sign. */
static float extreme(size_t n, const float *x)
{
    float most = 0;
    for (size_t i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(most))
            most = x[i];
    return most;
}

static void range(size_t n, const float *x, float *low, float *high)
{
    *low = *high = x[0];
    for (size_t i = 1; i < n; i++) {
        *low = x[i] < *low ? x[i] : *low;
        *high = x[i] > *high ? x[i] : *high;
    }
}

/* ---- blocks of 32 -------------------------------------------------------------------------- */

static void encode_q8_0(const float *x, unsigned char *out)
{
    float id = inverse(put_f16(out, fabsf(extreme(32, x)) / 127));
    for (int i = 0; i < 32; i++)
        out[2 + i] = (unsigned char)(int8_t)quantum(x[i] * id, -127, 127);
}

/* Values are -8..7 times d with the extreme one at -8, so that its sign chooses that of d. */
static void encode_q4_0(const float *x, unsigned char *out)
{
    float id = inverse(put_f16(out, extreme(32, x) / -8));
    for (int i = 0; i < 16; i++) {
        int low = quantum(x[i] * id, -8, 7) + 8, high = quantum(x[i + 16] * id, -8, 7) + 8;
        out[2 + i] = (unsigned char)(low | high << 4);
    }
}

static void encode_q4_1(const float *x, unsigned char *out)
{
    float low, high;
    range(32, x, &low, &high);
    float id = inverse(put_f16(out, (high - low) / 15));
    low = put_f16(out + 2, low);
    for (int i = 0; i < 16; i++) {
        int a = quantum((x[i] - low) * id, 0, 15), b = quantum((x[i + 16] - low) * id, 0, 15);
        out[4 + i] = (unsigned char)(a | b << 4);
    }
}

/* 32 five-bit numbers: a word of their high bits, then their low nibbles. */
static void put_q5(const unsigned char *q, unsigned char *out)
{
    uint32_t high = 0;
    for (int i = 0; i < 32; i++)
        high |= (uint32_t)(q[i] >> 4) << i;
    memcpy(out, &high, sizeof high);
    for (int i = 0; i < 16; i++)
        out[4 + i] = (unsigned char)((q[i] & 15) | (q[i + 16] & 15) << 4);
}

static void encode_q5_0(const float *x, unsigned char *out)
{
    unsigned char q[32];
    float id = inverse(put_f16(out, extreme(32, x) / -16));
    for (int i = 0; i < 32; i++)
        q[i] = (unsigned char)(quantum(x[i] * id, -16, 15) + 16);
    put_q5(q, out + 2);
}

static void encode_q5_1(const float *x, unsigned char *out)
{
    unsigned char q[32];
    float low, high;
    range(32, x, &low, &high);
    float id = inverse(put_f16(out, (high - low) / 31));
    low = put_f16(out + 2, low);
    for (int i = 0; i < 32; i++)
        q[i] = (unsigned char)quantum((x[i] - low) * id, 0, 31);
    put_q5(q, out + 4);
}

/* ---- blocks of 256 with minima: Q2_K, Q4_K, Q5_K ------------------------------------------- */

/* A block as integers: value = q * d * scale[s] - min * minimum[s]. */
struct with_minima {
    unsigned char scale[16], minimum[16], q[256];
};

/* Stores d and min at `at`. Minima are at most 0, so that they are kept without sign. */
static void quantize_minima(const float *x, int n_sub, int max_scale, int max_q,
                            struct with_minima *b, unsigned char *at)
{
    float step[16], low[16], most_step = 0, most_low = 0;
    int length = 256 / n_sub;
    for (int s = 0; s < n_sub; s++) {
        float least, high;
        range((size_t)length, x + s * length, &least, &high);
        low[s] = least < 0 ? -least : 0;
        step[s] = high + low[s] > 0 ? (high + low[s]) / (float)max_q : 0;
        most_step = step[s] > most_step ? step[s] : most_step;
        most_low = low[s] > most_low ? low[s] : most_low;
    }
    float block_d = put_f16(at, most_step / (float)max_scale);
    float block_min = put_f16(at + 2, most_low / (float)max_scale);
    float id = inverse(block_d), imin = inverse(block_min);
    for (int s = 0; s < n_sub; s++) {
        b->scale[s] = (unsigned char)quantum(step[s] * id, 0, max_scale);
        b->minimum[s] = (unsigned char)quantum(low[s] * imin, 0, max_scale);
        float m = block_min * b->minimum[s], i = inverse(block_d * b->scale[s]);
        for (int k = s * length; k < (s + 1) * length; k++)
            b->q[k] = (unsigned char)quantum((x[k] + m) * i, 0, max_q);
    }
}

/*
 * Eight 6-bit scales and minima in 12 bytes: scales 0-3 and minima 0-3 in the low six bits of bytes
 * 0-3 and 4-7; byte 8 + j has the low halves of scale and minimum 4 + j, whose high two bits sit
 * above those of the first four.
 */
static void put_scales(const unsigned char *scale, const unsigned char *minimum, unsigned char *out)
{
    for (int j = 0; j < 4; j++) {
        out[j] = (unsigned char)(scale[j] | scale[j + 4] >> 4 << 6);
        out[j + 4] = (unsigned char)(minimum[j] | minimum[j + 4] >> 4 << 6);
        out[j + 8] = (unsigned char)((scale[j + 4] & 15) | (minimum[j + 4] & 15) << 4);
    }
}

/* Nibbles of 64 values in 32 bytes: the first 32 values low, the next 32 high. */
static void put_nibbles(const unsigned char *q, unsigned char *out)
{
    for (int g = 0; g < 4; g++)
        for (int i = 0; i < 32; i++)
            out[g * 32 + i] =
                (unsigned char)((q[g * 64 + i] & 15) | (q[g * 64 + 32 + i] & 15) << 4);
}

/* Two-bit parts of 128 values in 32 bytes: value i of quarter j in bits 2j of byte i. */
static void put_pairs(const unsigned char *q, unsigned char *out)
{
    for (int h = 0; h < 2; h++)
        for (int i = 0; i < 32; i++) {
            const unsigned char *p = q + h * 128 + i;
            out[h * 32 + i] = (unsigned char)((p[0] & 3) | (p[32] & 3) << 2 | (p[64] & 3) << 4 |
                                              (p[96] & 3) << 6);
        }
}

static void encode_q2_k(const float *x, unsigned char *out)
{
    struct with_minima b;
    quantize_minima(x, 16, 15, 3, &b, out + 80);
    for (int s = 0; s < 16; s++)
        out[s] = (unsigned char)(b.scale[s] | b.minimum[s] << 4);
    put_pairs(b.q, out + 16);
}

static void encode_q4_k(const float *x, unsigned char *out)
{
    struct with_minima b;
    quantize_minima(x, 8, 63, 15, &b, out);
    put_scales(b.scale, b.minimum, out + 4);
    put_nibbles(b.q, out + 16);
}

static void encode_q5_k(const float *x, unsigned char *out)
{
    struct with_minima b;
    quantize_minima(x, 8, 63, 31, &b, out);
    put_scales(b.scale, b.minimum, out + 4);
    memset(out + 16, 0, 32);
    for (int s = 0; s < 8; s++)
        for (int i = 0; i < 32; i++)
            out[16 + i] |= (unsigned char)(b.q[s * 32 + i] >> 4 << s);
    put_nibbles(b.q, out + 48);
}

/* ---- blocks of 256 without minima: Q3_K, Q6_K ---------------------------------------------- */

/* A block as integers: value = q * d * scale[s], sub-blocks of 16, q in -half..half - 1. */
struct symmetric {
    signed char scale[16], q[256];
};

/* Stores d at `at`. */
static void quantize_symmetric(const float *x, int half, int max_scale, struct symmetric *b,
                               unsigned char *at)
{
    float step[16];
    for (int s = 0; s < 16; s++)
        step[s] = extreme(16, x + s * 16) / (float)-half;
    float d = put_f16(at, fabsf(extreme(16, step)) / (float)max_scale), id = inverse(d);
    for (int s = 0; s < 16; s++) {
        b->scale[s] = (signed char)quantum(step[s] * id, -max_scale, max_scale);
        float i = inverse(d * b->scale[s]);
        for (int k = s * 16; k < (s + 1) * 16; k++)
            b->q[k] = (signed char)quantum(x[k] * i, -half, half - 1);
    }
}

/*
 * Q3_K: the third bit of value i of group g (32 values each) is bit g of high[i]; 6-bit scales have
 * their low halves in bytes 0-7 (scales 0-7 low, 8-15 high), their top pairs in bytes 8-11.
 */
static void encode_q3_k(const float *x, unsigned char *out)
{
    struct symmetric b;
    unsigned char q[256];
    quantize_symmetric(x, 4, 31, &b, out + 108);
    memset(out, 0, 108);
    for (int k = 0; k < 256; k++) {
        q[k] = (unsigned char)(b.q[k] + 4);
        out[k % 32] |= (unsigned char)(q[k] >> 2 << k / 32);
    }
    put_pairs(q, out + 32);
    for (int s = 0; s < 16; s++) {
        int scale = b.scale[s] + 32;
        out[96 + s % 8] |= (unsigned char)((scale & 15) << (s / 8 * 4));
        out[104 + s % 4] |= (unsigned char)(scale >> 4 << (s / 4 * 2));
    }
}

/* Q6_K: halves of 128: value i of quarter j has its low nibble in byte i (j even) or i + 32. */
static void encode_q6_k(const float *x, unsigned char *out)
{
    struct symmetric b;
    quantize_symmetric(x, 32, 127, &b, out + 208);
    for (int h = 0; h < 2; h++) {
        unsigned char *low = out + h * 64, *high = out + 128 + h * 32;
        for (int i = 0; i < 32; i++) {
            int q[4];
            for (int j = 0; j < 4; j++)
                q[j] = b.q[h * 128 + j * 32 + i] + 32;
            low[i] = (unsigned char)((q[0] & 15) | (q[2] & 15) << 4);
            low[i + 32] = (unsigned char)((q[1] & 15) | (q[3] & 15) << 4);
            high[i] = (unsigned char)(q[0] >> 4 | q[1] >> 4 << 2 | q[2] >> 4 << 4 | q[3] >> 4 << 6);
        }
    }
    memcpy(out + 192, b.scale, 16);
}

/* ---- rows ---------------------------------------------------------------------------------- */

static void floats_row(enum tensor_type type, size_t n, const float *x, unsigned char *out)
{
    for (size_t i = 0; i < n && type != TENSOR_F32; i++, out += 2) {
        uint16_t bits = type == TENSOR_F16 ? quantize_f16(x[i]) : quantize_bf16(x[i]);
        memcpy(out, &bits, sizeof bits);
    }
    if (type == TENSOR_F32)
        memcpy(out, x, n * sizeof *x);
}

void quantize_row(enum tensor_type type, size_t n, const float *x, void *out)
{
    static void (*const encoders[TENSOR_TYPE_COUNT])(const float *, unsigned char *) = {
        [TENSOR_Q4_0] = encode_q4_0, [TENSOR_Q4_1] = encode_q4_1, [TENSOR_Q5_0] = encode_q5_0,
        [TENSOR_Q5_1] = encode_q5_1, [TENSOR_Q8_0] = encode_q8_0, [TENSOR_Q2_K] = encode_q2_k,
        [TENSOR_Q3_K] = encode_q3_k, [TENSOR_Q4_K] = encode_q4_k, [TENSOR_Q5_K] = encode_q5_k,
        [TENSOR_Q6_K] = encode_q6_k,
    };
    const struct tensor_type_info *info = tensor_type_info(type);
    assert(info && n % (size_t)info->block == 0);
    unsigned char *at = out;
    if (!encoders[type]) {
        floats_row(type, n, x, at);
        return;
    }
    for (size_t i = 0; i < n; i += (size_t)info->block, at += info->bytes)
        encoders[type](x + i, at);
}
