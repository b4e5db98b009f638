/*
 * neon_score.c: low-rank scores with the dot product extension. Rows and queries are signed there:
 * bytes lose their bias by flipping the highest bit, halves of bytes keep theirs, and it is taken
 * off the sum. Ends of rows that fill no vector are summed one by one.
 */
#include "kernels/kernels.h"

#if defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)

#include "kernels/neon_inline.h"
#include "kernels/score_rows.h"

static int dot_int8(int rank, const uint8_t *row, const int8_t *query)
{
    const uint8x16_t bias = vdupq_n_u8(SCORE_BIAS8);
    int32x4_t even = vdupq_n_s32(0), odd = even;
    int i = 0, rest = 0;
    for (; i + 32 <= rank; i += 32) {
        int8x16_t low = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(row + i), bias));
        int8x16_t high = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(row + i + 16), bias));
        even = vdotq_s32(even, low, vld1q_s8(query + i));
        odd = vdotq_s32(odd, high, vld1q_s8(query + i + 16));
    }
    for (; i + 8 <= rank; i += 8) {
        int8x8_t some = vreinterpret_s8_u8(veor_u8(vld1_u8(row + i), vget_low_u8(bias)));
        int32x2_t sums = vdot_s32(vdup_n_s32(0), some, vld1_s8(query + i));
        even = vaddq_s32(even, vcombine_s32(sums, vdup_n_s32(0)));
    }
    for (; i < rank; i++)
        rest += (row[i] - SCORE_BIAS8) * query[i];
    return vaddvq_s32(vaddq_s32(even, odd)) + rest;
}

static int dot_int4(int half, const uint8_t *row, const int8_t *query)
{
    const int8_t *high = query + half;
    int32x4_t sums = vdupq_n_s32(0);
    int i = 0, rest = 0;
    for (; i + 16 <= half; i += 16) {
        uint8x16_t bytes = vld1q_u8(row + i);
        int8x16_t lows = vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(15)));
        int8x16_t highs = vreinterpretq_s8_u8(vshrq_n_u8(bytes, 4));
        sums = vdotq_s32(sums, lows, vld1q_s8(query + i));
        sums = vdotq_s32(sums, highs, vld1q_s8(high + i));
    }
    for (; i + 8 <= half; i += 8) {
        uint8x8_t bytes = vld1_u8(row + i);
        int8x16_t both =
            vreinterpretq_s8_u8(vcombine_u8(vand_u8(bytes, vdup_n_u8(15)), vshr_n_u8(bytes, 4)));
        sums = vdotq_s32(sums, both, vcombine_s8(vld1_s8(query + i), vld1_s8(high + i)));
    }
    for (; i < half; i++)
        rest += (row[i] & 15) * query[i] + (row[i] >> 4) * high[i];
    return vaddvq_s32(sums) + rest;
}

static float dot_f16(int rank, const uint16_t *row, const float *query)
{
    float32x4_t even = vdupq_n_f32(0), odd = even;
    float rest = 0.0f;
    int i = 0;
    for (; i + 8 <= rank; i += 8) {
        even = vfmaq_f32(even, neon_load_f16(row + i), vld1q_f32(query + i));
        odd = vfmaq_f32(odd, neon_load_f16(row + i + 4), vld1q_f32(query + i + 4));
    }
    for (; i < rank; i++)
        rest += neon_scale(row + i) * query[i];
    return vaddvq_f32(vaddq_f32(even, odd)) + rest;
}

static void score_int8(const struct score_args *a)
{
    score_rows(a, a->rank, 0, dot_int8, neon_scale);
}

static void score_int4(const struct score_args *a)
{
    score_rows(a, a->rank / 2, SCORE_BIAS4, dot_int4, neon_scale);
}

static void score_f16(const struct score_args *a)
{
    score_rows_f16(a, dot_f16);
}

void neon_fill_score(struct kernels *table)
{
    table->score[SCORE_INT8] = score_int8;
    table->score[SCORE_INT4] = score_int4;
    table->score[SCORE_F16] = score_f16;
}

#endif
