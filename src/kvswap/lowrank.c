/* lowrank.c: see lowrank.h: rows, queries, scores. The adapters are in lowrank_fit.c. */
#include "kvswap/lowrank.h"

#include <math.h>
#include <string.h>

#include "kernels/formats.h"

enum {
    SIGMA = 8,
    RANK_FLOOR = 32 /* below it recall breaks down, whatever sigma says */
};

static const char *const names[SCORE_TYPES] = {"int8", "int4", "f16"};
static const int levels[SCORE_TYPES] = {127, 7, 0}; /* of a sign */
static const float F16_MAX = 65504.0f;

int lowrank_rank(int width, int sigma)
{
    int divisor = sigma ? sigma : SIGMA, low = RANK_FLOOR < width ? RANK_FLOOR : width;
    int rank = ((width + divisor - 1) / divisor + 7) / 8 * 8;
    return rank < low ? low : rank > width ? width : rank;
}

bool lowrank_type_parse(const char *name, enum score_type *type)
{
    for (int i = 0; i < SCORE_TYPES; i++)
        if (strcmp(name, names[i]) == 0) {
            *type = (enum score_type)i;
            return true;
        }
    return false;
}

const char *lowrank_type_name(enum score_type type)
{
    return names[type];
}

size_t lowrank_scales(const struct lowrank_format *f, size_t groups)
{
    return f->type == SCORE_F16 ? 0 : groups;
}

size_t lowrank_query_bytes(const struct lowrank_format *f)
{
    return (size_t)f->rank * (f->type == SCORE_F16 ? sizeof(float) : 1);
}

/* Not a number becomes `low`, which any comparison with it gives. */
static float clamp(float x, float low, float high)
{
    return x > low ? x < high ? x : high : low;
}

static float largest(const float *x, int n)
{
    float most = 0.0f;
    for (int i = 0; i < n; i++)
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    return most;
}

/* ---- rows ---------------------------------------------------------------------------------- */

static void store_f16(const float *from, int n, unsigned char *to)
{
    for (int i = 0; i < n; i++) {
        uint16_t half = format_float_f16(clamp(from[i], -F16_MAX, F16_MAX));
        memcpy(to + 2 * i, &half, 2);
    }
}

static void store_int4(const float *from, int rank, float inverse, unsigned char *to)
{
    int half = rank / 2;
    for (int i = 0; i < half; i++) {
        long low = SCORE_BIAS4 + lrintf(clamp(from[i] * inverse, -7.0f, 7.0f));
        long high = SCORE_BIAS4 + lrintf(clamp(from[half + i] * inverse, -7.0f, 7.0f));
        to[i] = (unsigned char)(low | high << 4);
    }
}

static void store_int8(const float *from, int rank, float inverse, unsigned char *to)
{
    for (int i = 0; i < rank; i++)
        to[i] = (unsigned char)(SCORE_BIAS8 + lrintf(clamp(from[i] * inverse, -127.0f, 127.0f)));
}

/* One scale for the group: what is stored is rounded to the scale as it will be read. */
static void store_group(const struct lowrank_format *f, const float *from, unsigned char *to,
                        uint16_t *scale)
{
    int values = f->group_tokens * f->rank;
    size_t row_bytes = score_row_bytes(f->type, f->rank);
    float step = clamp(largest(from, values) / (float)levels[f->type], 0.0f, F16_MAX);
    *scale = format_float_f16(step);
    step = format_f16_float(*scale);
    float inverse = step > 0.0f ? 1.0f / step : 0.0f;
    for (int t = 0; t < f->group_tokens; t++, from += f->rank, to += row_bytes) {
        if (f->type == SCORE_INT4)
            store_int4(from, f->rank, inverse, to);
        else
            store_int8(from, f->rank, inverse, to);
    }
}

void lowrank_store(const struct lowrank_format *f, struct lowrank_rows *rows, int first, int n,
                   const float *projected)
{
    size_t values = (size_t)f->group_tokens * (size_t)f->rank;
    size_t bytes = (size_t)f->group_tokens * score_row_bytes(f->type, f->rank);
    for (int g = 0; g < n; g++) {
        const float *from = projected + (size_t)g * values;
        unsigned char *to = rows->rows + (size_t)(first + g) * bytes;
        if (f->type == SCORE_F16)
            store_f16(from, (int)values, to);
        else
            store_group(f, from, to, &rows->scales[first + g]);
    }
}

/* ---- queries and scores -------------------------------------------------------------------- */

void lowrank_query_set(const struct lowrank_format *f, const float *projected, float scale,
                       struct lowrank_query *q)
{
    *q = (struct lowrank_query){.row = q->row, .scale = scale};
    if (f->type == SCORE_F16) {
        memcpy(q->row, projected, (size_t)f->rank * sizeof *projected);
        return;
    }
    int8_t *row = q->row;
    float most = largest(projected, f->rank);
    float inverse = most > 0.0f ? 127.0f / most : 0.0f;
    for (int i = 0; i < f->rank; i++) {
        row[i] = (int8_t)lrintf(clamp(projected[i] * inverse, -127.0f, 127.0f));
        q->sum += row[i];
    }
    q->scale *= most / 127.0f;
}

void lowrank_score(const struct kernels *kernels, const struct lowrank_format *f,
                   const struct lowrank_rows *rows, const struct lowrank_query *q, int first, int n,
                   float *scores)
{
    size_t group = (size_t)f->group_tokens * score_row_bytes(f->type, f->rank);
    struct score_args args = {.n_groups = n,
                              .group_tokens = f->group_tokens,
                              .rank = f->rank,
                              .rows = rows->rows + (size_t)first * group,
                              .scales = rows->scales + first,
                              .query = q->row,
                              .query_sum = q->sum,
                              .query_scale = q->scale,
                              .scores = scores};
    kernels->score[f->type](&args);
}

void lowrank_average_heads(int n_head, int n_head_kv, int head_dim, float *q)
{
    int per_group = n_head / n_head_kv;
    for (int h = 0; h < n_head_kv; h++)
        for (int d = 0; d < head_dim; d++) {
            float sum = 0.0f;
            for (int g = 0; g < per_group; g++)
                sum += q[(size_t)(h * per_group + g) * (size_t)head_dim + (size_t)d];
            q[(size_t)h * (size_t)head_dim + (size_t)d] = sum / (float)per_group;
        }
}
