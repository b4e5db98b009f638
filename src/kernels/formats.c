/*
 * formats.c: each quantised format taken apart into integers, scales and minima, in plain C. The
 * reference for every faster unpacking and, through the scalar table, for every dot product.
 */
#include "kernels/formats.h"

void format_unpack_q4_0(int k, const void *w, int8_t *q, float *d, float *m)
{
    const struct block_q4_0 *b = w;
    for (int n = k / 32; n > 0; n--, b++, q += 32) {
        *d++ = format_scale(b->d);
        *m++ = 0;
        for (int i = 0; i < 16; i++) {
            q[i] = (int8_t)((b->qs[i] & 15) - 8);
            q[i + 16] = (int8_t)((b->qs[i] >> 4) - 8);
        }
    }
}

void format_unpack_q4_1(int k, const void *w, int8_t *q, float *d, float *m)
{
    const struct block_q4_1 *b = w;
    for (int n = k / 32; n > 0; n--, b++, q += 32) {
        *d++ = format_scale(b->d);
        *m++ = format_scale(b->m);
        for (int i = 0; i < 16; i++) {
            q[i] = (int8_t)(b->qs[i] & 15);
            q[i + 16] = (int8_t)(b->qs[i] >> 4);
        }
    }
}

/* The 32 five-bit numbers of a Q5_0 or Q5_1 block, less `offset`. */
static void unpack_five_bits(const uint8_t *qs, uint32_t high, int offset, int8_t *q)
{
    for (int i = 0; i < 16; i++) {
        q[i] = (int8_t)((qs[i] & 15) + (int)(high >> i & 1) * 16 - offset);
        q[i + 16] = (int8_t)((qs[i] >> 4) + (int)(high >> (i + 16) & 1) * 16 - offset);
    }
}

void format_unpack_q5_0(int k, const void *w, int8_t *q, float *d, float *m)
{
    const struct block_q5_0 *b = w;
    for (int n = k / 32; n > 0; n--, b++, q += 32) {
        *d++ = format_scale(b->d);
        *m++ = 0;
        unpack_five_bits(b->qs, format_u32(b->qh), 16, q);
    }
}

void format_unpack_q5_1(int k, const void *w, int8_t *q, float *d, float *m)
{
    const struct block_q5_1 *b = w;
    for (int n = k / 32; n > 0; n--, b++, q += 32) {
        *d++ = format_scale(b->d);
        *m++ = format_scale(b->m);
        unpack_five_bits(b->qs, format_u32(b->qh), 0, q);
    }
}

void format_unpack_q8_0(int k, const void *w, int8_t *q, float *d, float *m)
{
    const struct block_q8_0 *b = w;
    for (int n = k / 32; n > 0; n--, b++, q += 32) {
        *d++ = format_scale(b->d);
        *m++ = 0;
        memcpy(q, b->qs, 32);
    }
}

void format_unpack_q2_k(int k, const void *w, int8_t *q, float *d, float *m)
{
    const struct block_q2_k *b = w;
    for (int n = k / FORMAT_SUPER; n > 0; n--, b++, q += FORMAT_SUPER, d += 16, m += 16) {
        float scale = format_scale(b->d), min = format_scale(b->dmin);
        for (int g = 0; g < 16; g++) {
            d[g] = scale * (float)(b->scales[g] & 15);
            m[g] = -min * (float)(b->scales[g] >> 4);
        }
        for (int j = 0; j < 8; j++)
            for (int i = 0; i < 32; i++)
                q[32 * j + i] = (int8_t)(b->qs[j / 4 * 32 + i] >> 2 * (j % 4) & 3);
    }
}

void format_unpack_q3_k(int k, const void *w, int8_t *q, float *d, float *m)
{
    const struct block_q3_k *b = w;
    for (int n = k / FORMAT_SUPER; n > 0; n--, b++, q += FORMAT_SUPER, d += 16, m += 16) {
        float scale = format_scale(b->d);
        for (int g = 0; g < 16; g++) {
            d[g] = scale * (float)format_scale_q3(b->scales, g);
            m[g] = 0;
        }
        for (int j = 0; j < 8; j++)
            for (int i = 0; i < 32; i++) {
                int low = b->qs[j / 4 * 32 + i] >> 2 * (j % 4) & 3;
                q[32 * j + i] = (int8_t)(low + (b->hmask[i] >> j & 1) * 4 - 4);
            }
    }
}

/* The eight scales and minima that Q4_K and Q5_K share. */
static void unpack_scales(const uint8_t scales[12], float scale, float min, float *d, float *m)
{
    for (int g = 0; g < 8; g++) {
        int s, t;
        format_scale_min(scales, g, &s, &t);
        d[g] = scale * (float)s;
        m[g] = -min * (float)t;
    }
}

void format_unpack_q4_k(int k, const void *w, int8_t *q, float *d, float *m)
{
    const struct block_q4_k *b = w;
    for (int n = k / FORMAT_SUPER; n > 0; n--, b++, q += FORMAT_SUPER, d += 8, m += 8) {
        unpack_scales(b->scales, format_scale(b->d), format_scale(b->dmin), d, m);
        for (int j = 0; j < 4; j++)
            for (int i = 0; i < 32; i++) {
                q[64 * j + i] = (int8_t)(b->qs[32 * j + i] & 15);
                q[64 * j + 32 + i] = (int8_t)(b->qs[32 * j + i] >> 4);
            }
    }
}

void format_unpack_q5_k(int k, const void *w, int8_t *q, float *d, float *m)
{
    const struct block_q5_k *b = w;
    for (int n = k / FORMAT_SUPER; n > 0; n--, b++, q += FORMAT_SUPER, d += 8, m += 8) {
        unpack_scales(b->scales, format_scale(b->d), format_scale(b->dmin), d, m);
        for (int j = 0; j < 4; j++)
            for (int i = 0; i < 32; i++) {
                int byte = b->qs[32 * j + i], high = b->qh[i] >> 2 * j;
                q[64 * j + i] = (int8_t)((byte & 15) | (high & 1) << 4);
                q[64 * j + 32 + i] = (int8_t)(byte >> 4 | (high >> 1 & 1) << 4);
            }
    }
}

void format_unpack_q6_k(int k, const void *w, int8_t *q, float *d, float *m)
{
    const struct block_q6_k *b = w;
    for (int n = k / FORMAT_SUPER; n > 0; n--, b++, q += FORMAT_SUPER, d += 16, m += 16) {
        float scale = format_scale(b->d);
        for (int g = 0; g < 16; g++) {
            d[g] = scale * (float)b->scales[g];
            m[g] = 0;
        }
        for (int j = 0; j < 8; j++) { /* 32 values: half j / 4, quarter j % 4 of it */
            const uint8_t *ql = b->ql + j / 4 * 64 + j % 2 * 32;
            const uint8_t *qh = b->qh + j / 4 * 32;
            for (int i = 0; i < 32; i++) {
                int low = ql[i] >> (j % 4 / 2 * 4) & 15, high = qh[i] >> 2 * (j % 4) & 3;
                q[32 * j + i] = (int8_t)((low | high << 4) - 32);
            }
        }
    }
}
