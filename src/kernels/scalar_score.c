/*
 * scalar_score.c: scores of groups of tokens from their low-rank rows; see kernels.h. The
 * reference: one product after the other, so that a faster table can be held against it.
 */
#include "kernels/formats.h"
#include "kernels/scalar.h"
#include "kernels/score_rows.h"

static float load_scale(const void *p)
{
    return format_f16_float(*(const uint16_t *)p);
}

/* Integers add up exactly in any order: other tables have to give the same bits. */
static int dot_int8(int rank, const uint8_t *row, const int8_t *query)
{
    int sum = 0;
    for (int i = 0; i < rank; i++)
        sum += row[i] * query[i];
    return sum;
}

static int dot_int4(int half, const uint8_t *row, const int8_t *query)
{
    int sum = 0;
    for (int i = 0; i < half; i++)
        sum += (row[i] & 15) * query[i] + (row[i] >> 4) * query[half + i];
    return sum;
}

/* Floats do not: other tables are compared with a tolerance. */
static float dot_f16(int rank, const uint16_t *row, const float *query)
{
    float sum = 0.0f;
    for (int i = 0; i < rank; i++)
        sum += format_f16_float(row[i]) * query[i];
    return sum;
}

void scalar_score_int8(const struct score_args *a)
{
    score_rows(a, a->rank, SCORE_BIAS8, dot_int8, load_scale);
}

void scalar_score_int4(const struct score_args *a)
{
    score_rows(a, a->rank / 2, SCORE_BIAS4, dot_int4, load_scale);
}

void scalar_score_f16(const struct score_args *a)
{
    score_rows_f16(a, dot_f16);
}
