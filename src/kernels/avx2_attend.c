/*
 * avx2_attend.c: attention over half-precision keys and values; see scalar_attend.c for the
 * method. A query's keys are taken in blocks of ATTN_BLOCK; a "row" is one query of one head.
 *
 * Few rows (decode): keys and values are converted as they are read, once per group of four rows.
 * Many rows (prefill): the block's keys, transposed, and its values are converted once into strips
 * of 16 columns, and both products are 6 x 16 multiply-add kernels.
 *
 * Each row's arithmetic is independent of the rows beside it. Masked keys have weight zero; keys
 * and values are finite.
 */
#include "kernels/avx2.h"

#if defined(__AVX2__)

#include "kernels/attend_block.h"
#include "kernels/avx2_inline.h"
#include "kernels/scalar.h"

enum {
    FEW_ROWS = 12,  /* fewer rows than this do not pay for conversion */
    ROWS_MAX = 48,  /* rows whose scores are held at once */
    SIX = 6,        /* rows of the multiply-add kernel */
    STRIP = 16,     /* its columns */
};

static size_t strips_floats(int head_dim)
{
    return (size_t)ATTN_BLOCK * (size_t)head_dim;
}

static size_t scratch_bytes(int head_dim, int n_group, int n_q)
{
    size_t scalar = scalar_attn_scratch_bytes(head_dim, n_group, n_q);
    size_t own = (2 * strips_floats(head_dim) + ROWS_MAX * ATTN_BLOCK) * sizeof(float);
    return own > scalar ? own : scalar;
}

/*
 * Raw scores of one row to weights exp(score - max), zero from `seen` on (seen > 0). Updates max
 * and sum; returns what the sums so far have to be multiplied with.
 */
static float weigh_scores(float *scores, int seen, float scale, float *max, float *sum)
{
    const __m256 lane = _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7);
    __m256 most = _mm256_set1_ps(*max), total = _mm256_setzero_ps();
    for (int i = 0; i < seen; i += 8) {
        __m256 in = _mm256_cmp_ps(lane, _mm256_set1_ps((float)(seen - i)), _CMP_LT_OQ);
        __m256 s = _mm256_mul_ps(_mm256_loadu_ps(scores + i), _mm256_set1_ps(scale));
        s = _mm256_blendv_ps(_mm256_set1_ps(-INFINITY), s, in);
        _mm256_storeu_ps(scores + i, s);
        most = _mm256_max_ps(most, s);
    }
    float top = avx2_max8(most), shrink = expf(*max - top);
    for (int i = 0; i < ATTN_BLOCK; i += 8) {
        __m256 p = _mm256_setzero_ps();
        if (i < seen)
            p = avx2_exp(_mm256_sub_ps(_mm256_loadu_ps(scores + i), _mm256_set1_ps(top)));
        _mm256_storeu_ps(scores + i, p);
        total = _mm256_add_ps(total, p);
    }
    *max = top;
    *sum = *sum * shrink + avx2_sum8(total);
    return shrink;
}

/* ---- Few rows ---- */

/* Scores of `rows` rows and 8 / rows keys from key i on; rows is 1, 2 or 4. */
AVX2_INLINE void score_keys(int rows, int head_dim, const float *const *q,
                            const struct attend_block *b, int i, float (*scores)[ATTN_BLOCK])
{
    const int keys = 8 / rows;
    __m256 acc[8];
    float sums[8] __attribute__((aligned(32)));
    _Pragma("GCC unroll 8") for (int j = 0; j < 8; j++) acc[j] = _mm256_setzero_ps();
    for (int c = 0; c < head_dim; c += 8) {
        _Pragma("GCC unroll 8") for (int j = 0; j < keys; j++) {
            __m256 k = avx2_load_f16(b->k[i + j] + c);
            _Pragma("GCC unroll 4") for (int r = 0; r < rows; r++) {
                int at = r * keys + j;
                acc[at] = _mm256_fmadd_ps(k, _mm256_loadu_ps(q[r] + c), acc[at]);
            }
        }
    }
    _mm256_store_ps(sums, avx2_sum_each(acc));
    _Pragma("GCC unroll 4") for (int r = 0; r < rows; r++)
        memcpy(scores[r] + i, sums + r * keys, (size_t)keys * sizeof(float));
}

/* acc = acc * shrink + weights x values for 8 * vectors columns from column c on */
AVX2_INLINE void add_values(int rows, int vectors, int head_dim, const struct attend_block *b,
                            int c, const float (*weights)[ATTN_BLOCK], const float *shrink,
                            float *acc)
{
    __m256 sum[8];
    _Pragma("GCC unroll 4") for (int r = 0; r < rows; r++)
        _Pragma("GCC unroll 8") for (int j = 0; j < vectors; j++)
            sum[r * vectors + j] = _mm256_mul_ps(_mm256_loadu_ps(acc + r * head_dim + c + 8 * j),
                                                 _mm256_set1_ps(shrink[r]));
    for (int i = 0; i < b->n; i++)
        _Pragma("GCC unroll 8") for (int j = 0; j < vectors; j++) {
            __m256 v = avx2_load_f16(b->v[i] + c + 8 * j);
            _Pragma("GCC unroll 4") for (int r = 0; r < rows; r++)
                sum[r * vectors + j] = _mm256_fmadd_ps(_mm256_broadcast_ss(&weights[r][i]), v,
                                                       sum[r * vectors + j]);
        }
    _Pragma("GCC unroll 4") for (int r = 0; r < rows; r++)
        _Pragma("GCC unroll 8") for (int j = 0; j < vectors; j++)
            _mm256_storeu_ps(acc + r * head_dim + c + 8 * j, sum[r * vectors + j]);
}

/* One block for `rows` rows from `row` on. */
AVX2_INLINE void few_rows(int rows, const struct attn_args *a, const struct attend_block *b,
                          int row)
{
    const int vectors = 8 / rows;
    float scores[4][ATTN_BLOCK], shrink[4];
    const float *q[4];
    float *acc = a->acc + (size_t)row * (size_t)a->head_dim;
    for (int r = 0; r < rows; r++)
        q[r] = attend_query(a, row + r);
    for (int i = 0; i < b->n; i += 8 / rows)
        score_keys(rows, a->head_dim, q, b, i, scores);
    for (int r = 0; r < rows; r++) {
        int seen = attend_seen(a, b, row + r);
        shrink[r] = 1;
        if (seen > 0)
            shrink[r] = weigh_scores(scores[r], seen, a->scale, a->max + row + r, a->sum + row + r);
        else
            memset(scores[r], 0, sizeof scores[r]);
    }
    int c = 0;
    for (; c + 8 * vectors <= a->head_dim; c += 8 * vectors)
        add_values(rows, vectors, a->head_dim, b, c, scores, shrink, acc);
    for (; c < a->head_dim; c += 8)
        add_values(rows, 1, a->head_dim, b, c, scores, shrink, acc);
}

/* Ask for the block's values while its keys are being read. */
static void prefetch_values(const struct attend_block *b, int head_dim)
{
    for (int i = 0; i < b->n; i++)
        for (int c = 0; c < head_dim; c += 32)
            _mm_prefetch((const char *)(b->v[i] + c), _MM_HINT_T0);
}

static void attend_few(const struct attn_args *a, const struct attend_block *b, int row)
{
    int end = a->n_q * a->n_group;
    prefetch_values(b, a->head_dim);
    for (; row + 4 <= end; row += 4)
        few_rows(4, a, b, row);
    for (; row + 2 <= end; row += 2)
        few_rows(2, a, b, row);
    for (; row < end; row++)
        few_rows(1, a, b, row);
}

/* ---- Many rows ---- */

/* Keys to strips (key / 16, head_dim, 16), values to strips (column / 16, ATTN_BLOCK, 16). */
static void convert_block(const struct attend_block *b, int head_dim, float *keys, float *values)
{
    for (int i = 0; i < ATTN_BLOCK; i += 8)
        for (int c = 0; c < head_dim; c += 8) {
            float *to = keys + (size_t)(i / STRIP) * STRIP * (size_t)head_dim + i % STRIP;
            __m256 m[8];
            _Pragma("GCC unroll 8") for (int j = 0; j < 8; j++)
                m[j] = avx2_load_f16(b->k[i + j] + c);
            avx2_transpose(m);
            _Pragma("GCC unroll 8") for (int j = 0; j < 8; j++)
                _mm256_storeu_ps(to + (c + j) * STRIP, m[j]);
        }
    for (int i = 0; i < b->n; i++)
        for (int c = 0; c < head_dim; c += 8)
            _mm256_storeu_ps(values + (c / STRIP * ATTN_BLOCK + i) * STRIP + c % STRIP,
                             avx2_load_f16(b->v[i] + c));
}

/*
 * c[r] = c[r] * shrink[r] + a[r] x strip: `rows` rows of `depth` values times a strip (depth, 16).
 * Without shrink, c is not read.
 */
AVX2_INLINE void multiply(int rows, int depth, const float *const *a, const float *strip,
                          const float *shrink, float *const *c)
{
    __m256 left[SIX], right[SIX];
    _Pragma("GCC unroll 6") for (int r = 0; r < rows; r++) {
        left[r] = right[r] = _mm256_setzero_ps();
        if (shrink) {
            left[r] = _mm256_mul_ps(_mm256_loadu_ps(c[r]), _mm256_set1_ps(shrink[r]));
            right[r] = _mm256_mul_ps(_mm256_loadu_ps(c[r] + 8), _mm256_set1_ps(shrink[r]));
        }
    }
    for (int i = 0; i < depth; i++) {
        __m256 u = _mm256_loadu_ps(strip + STRIP * i), v = _mm256_loadu_ps(strip + STRIP * i + 8);
        _Pragma("GCC unroll 6") for (int r = 0; r < rows; r++) {
            __m256 x = _mm256_broadcast_ss(a[r] + i);
            left[r] = _mm256_fmadd_ps(x, u, left[r]);
            right[r] = _mm256_fmadd_ps(x, v, right[r]);
        }
    }
    _Pragma("GCC unroll 6") for (int r = 0; r < rows; r++) {
        _mm256_storeu_ps(c[r], left[r]);
        _mm256_storeu_ps(c[r] + 8, right[r]);
    }
}

static void multiply_6(int depth, const float *const *a, const float *strip, const float *shrink,
                       float *const *c)
{
    if (shrink)
        multiply(SIX, depth, a, strip, shrink, c);
    else
        multiply(SIX, depth, a, strip, NULL, c);
}

/* All strips of one product: (n, depth) x (depth, n_strips * 16). Missing rows of the last six are
 * computed into `spare`. */
static void product(int n, int depth, int strip_depth, const float **a, const float *strips,
                    int n_strips, const float *shrink, float **c, float *spare)
{
    for (int s = 0; s < n_strips; s++, strips += strip_depth * STRIP)
        for (int r = 0; r < n; r += SIX) {
            const float *from[SIX];
            float *to[SIX], factor[SIX];
            for (int i = 0; i < SIX; i++) {
                bool missing = r + i >= n;
                from[i] = a[missing ? r : r + i];
                to[i] = missing ? spare : c[r + i] + s * STRIP;
                factor[i] = missing || !shrink ? 0 : shrink[r + i];
            }
            multiply_6(depth, from, strips, shrink ? factor : NULL, to);
        }
}

/* One block for rows [row, row + n), n at most ROWS_MAX. */
static void many_rows(const struct attn_args *a, const struct attend_block *b, int row, int n,
                      const float *keys, const float *values, float *scores)
{
    const float *from[ROWS_MAX];
    float *to[ROWS_MAX], shrink[ROWS_MAX], spare[STRIP] = {0};
    for (int r = 0; r < n; r++) {
        from[r] = attend_query(a, row + r);
        to[r] = scores + r * ATTN_BLOCK;
    }
    int n_strips = (b->n + STRIP - 1) / STRIP;
    product(n, a->head_dim, a->head_dim, from, keys, n_strips, NULL, to, spare);
    for (int r = 0; r < n; r++) {
        shrink[r] = weigh_scores(to[r], attend_seen(a, b, row + r), a->scale, a->max + row + r,
                                 a->sum + row + r);
        from[r] = to[r];
        to[r] = a->acc + (size_t)(row + r) * (size_t)a->head_dim;
    }
    product(n, b->n, ATTN_BLOCK, from, values, a->head_dim / STRIP, shrink, to, spare);
}

static void attend_many(const struct attn_args *a, const struct attend_block *b, int row)
{
    float *keys = a->scratch, *values = keys + strips_floats(a->head_dim);
    int end = a->n_q * a->n_group;
    convert_block(b, a->head_dim, keys, values);
    for (; row < end; row += ROWS_MAX)
        many_rows(a, b, row, end - row < ROWS_MAX ? end - row : ROWS_MAX, keys, values,
                  values + strips_floats(a->head_dim));
}

static void attend(const struct attn_args *a)
{
    int n_rows = a->n_q * a->n_group;
    if (a->type != TENSOR_F16 || a->head_dim % STRIP != 0) {
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
        if (n_rows < FEW_ROWS)
            attend_few(a, &block, row);
        else
            attend_many(a, &block, row);
    }
}

void avx2_fill_attend(struct kernels *table)
{
    table->attend = attend;
    table->attn_scratch_bytes = scratch_bytes;
}

#endif
