/*
 * neon_attend.c: attention over half-precision keys and values; see scalar_attend.c for the method.
 * Keys and values are converted as they are read, once per group of four rows (a row is one
 * query of one head), so that the group's products share them. Masked keys have weight zero; keys
 * and values are finite.
 */
#include "kernels/kernels.h"

#if defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)

#include "kernels/attend_block.h"
#include "kernels/neon_inline.h"
#include "kernels/scalar.h"

enum { GROUP = 4, COLUMNS = 16 };

/* Raw scores of one row to weights exp(score - max), zero from `seen` on (seen > 0). Updates max
 * and sum; returns what the sums so far have to be multiplied with. */
static float weigh_scores(float *scores, int seen, float scale, float *max, float *sum)
{
    float top = *max;
    for (int i = 0; i < seen; i++) {
        scores[i] *= scale;
        top = fmaxf(top, scores[i]);
    }
    for (int i = seen; i < ATTN_BLOCK; i++)
        scores[i] = -INFINITY;
    float32x4_t total = vdupq_n_f32(0);
    for (int i = 0; i < ATTN_BLOCK; i += 4) {
        float32x4_t p = neon_exp(vsubq_f32(vld1q_f32(scores + i), vdupq_n_f32(top)));
        vst1q_f32(scores + i, p);
        total = vaddq_f32(total, p);
    }
    float shrink = expf(*max - top);
    *max = top;
    *sum = *sum * shrink + vaddvq_f32(total);
    return shrink;
}

#define EACH_ROW _Pragma("GCC unroll 4") for (int r = 0; r < rows; r++)

/* Scores of `rows` rows for all keys of the block. */
NEON_INLINE void score_keys(int rows, int head_dim, const float *const *q,
                            const struct attend_block *b, float (*scores)[ATTN_BLOCK])
{
    for (int i = 0; i < b->n; i++) {
        float32x4_t even[GROUP], odd[GROUP];
        EACH_ROW even[r] = odd[r] = vdupq_n_f32(0);
        for (int c = 0; c < head_dim; c += 8) {
            float32x4_t low = neon_load_f16(b->k[i] + c), high = neon_load_f16(b->k[i] + c + 4);
            EACH_ROW {
                even[r] = vfmaq_f32(even[r], low, vld1q_f32(q[r] + c));
                odd[r] = vfmaq_f32(odd[r], high, vld1q_f32(q[r] + c + 4));
            }
        }
        EACH_ROW scores[r][i] = vaddvq_f32(vaddq_f32(even[r], odd[r]));
    }
}

/* acc = acc * shrink + weights x values, for COLUMNS columns from column c on */
NEON_INLINE void add_values(int rows, int head_dim, const struct attend_block *b, int c,
                            const float (*weights)[ATTN_BLOCK], const float *shrink, float *acc)
{
    enum { VECTORS = COLUMNS / 4 };
    float32x4_t sum[GROUP][VECTORS];
    EACH_ROW _Pragma("GCC unroll 4") for (int j = 0; j < VECTORS; j++)
        sum[r][j] = vmulq_n_f32(vld1q_f32(acc + r * head_dim + c + 4 * j), shrink[r]);
    for (int i = 0; i < b->n; i++)
        _Pragma("GCC unroll 4") for (int j = 0; j < VECTORS; j++) {
            float32x4_t v = neon_load_f16(b->v[i] + c + 4 * j);
            EACH_ROW sum[r][j] = vfmaq_n_f32(sum[r][j], v, weights[r][i]);
        }
    EACH_ROW _Pragma("GCC unroll 4") for (int j = 0; j < VECTORS; j++)
        vst1q_f32(acc + r * head_dim + c + 4 * j, sum[r][j]);
}

/* One block for `rows` rows from `row` on. */
NEON_INLINE void some_rows(int rows, const struct attn_args *a, const struct attend_block *b,
                           int row)
{
    float scores[GROUP][ATTN_BLOCK], shrink[GROUP];
    const float *q[GROUP];
    for (int r = 0; r < rows; r++)
        q[r] = attend_query(a, row + r);
    score_keys(rows, a->head_dim, q, b, scores);
    for (int r = 0; r < rows; r++) {
        int seen = attend_seen(a, b, row + r);
        shrink[r] = 1;
        if (seen > 0)
            shrink[r] = weigh_scores(scores[r], seen, a->scale, a->max + row + r, a->sum + row + r);
        else
            memset(scores[r], 0, sizeof scores[r]);
    }
    for (int c = 0; c < a->head_dim; c += COLUMNS)
        add_values(rows, a->head_dim, b, c, scores, shrink,
                   a->acc + (size_t)row * (size_t)a->head_dim);
}

static void rows_of_block(const struct attn_args *a, const struct attend_block *b, int row)
{
    int end = a->n_q * a->n_group;
    for (; row + GROUP <= end; row += GROUP)
        some_rows(GROUP, a, b, row);
    for (; row < end; row++)
        some_rows(1, a, b, row);
}

static void attend(const struct attn_args *a)
{
    int n_rows = a->n_q * a->n_group;
    if (a->type != TENSOR_F16 || a->head_dim % COLUMNS != 0) {
        scalar_attend(a);
        return;
    }
    attend_clear(a);
    struct attend_cursor cursor = {a->spans, a->key_begin};
    struct attend_block block;
    for (int first = a->key_begin; first < a->key_end; first += ATTN_BLOCK) {
        int row = attend_first_row(a, first);
        if (row >= n_rows)
            break;
        attend_next_block(a, &cursor, first, &block);
        rows_of_block(a, &block, row);
    }
}

void neon_fill_attend(struct kernels *table)
{
    table->attend = attend;
}

#endif
