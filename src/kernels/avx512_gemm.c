/*
 * avx512_gemm.c: the packed matrix product for quantised weights on VPDPBUSD; float weights use the
 * AVX2 one.
 *
 * Panel: 32 rows; every 32 columns are one piece: for each half of 16 rows 8 vectors, vector i
 * holding columns 4i to 4i + 3 of the 16 rows, then scales and minima of the rows. Weights are
 * stored as q + 128, unsigned; the accumulators start at -128 * (sum of the activations), which is
 * kept with the activations, so that the integer sums come out as if q were signed.
 *
 * Block of activations: 4 groups of 6 tokens; a piece of a group holds its bytes, so that four
 * columns of one token are one broadcast, then a float or integer per token of what scaling needs.
 *
 * The micro-kernel keeps 32 rows x 6 tokens of float sums in 12 registers over all of K.
 */
#include "kernels/avx512.h"

#if defined(__AVX512F__) && defined(__AVX512VNNI__)

#include "kernels/avx2.h"
#include "kernels/avx512_inline.h"

enum {
    HALF = 16,
    ROWS = 2 * HALF,
    SIX = 6,            /* tokens in a micro-kernel */
    GROUPS = 4,
    TOKENS = GROUPS * SIX,
    PIECE = 32,         /* columns */
    LOAD = 64,          /* columns transposed at once */
};

/* Activations of 32 columns of 6 tokens. */
struct x_piece {
    int8_t q[8][SIX][4];
    int32_t start[SIX], start16[2][SIX]; /* -128 * sum of the q: of all, of the first and last 16 */
    float d[SIX], s[SIX], s16[2][SIX];   /* scale; d times sums likewise */
};

/* Weights of 32 columns of 16 rows; a scale and a minimum per row and group. */
AVX512_INLINE size_t half_bytes(int group)
{
    return 8 * 64 + (size_t)(PIECE / group) * 2 * HALF * sizeof(float);
}

AVX512_INLINE size_t piece_bytes(int group)
{
    return 2 * half_bytes(group);
}

static size_t panel_bytes_32(int k)
{
    return (size_t)(k / PIECE) * piece_bytes(32);
}

static size_t panel_bytes_16(int k)
{
    return (size_t)(k / PIECE) * piece_bytes(16);
}

static size_t block_bytes(int k)
{
    return (size_t)(k / PIECE) * GROUPS * sizeof(struct x_piece);
}

/* ---- Packing ---- */

static void pack_x_token(const float *x, struct x_piece *to, int token)
{
    int8_t q[PIECE];
    float d, s[2];
    avx512_act_quantize(PIECE, x, q, &d, s);
    int sums[2] = {0, 0};
    for (int i = 0; i < PIECE; i++)
        sums[i / 16] += q[i];
    for (int i = 0; i < 8; i++)
        memcpy(to->q[i][token], q + 4 * i, 4);
    to->d[token] = d;
    to->s[token] = s[0] + s[1];
    to->start[token] = -128 * (sums[0] + sums[1]);
    for (int half = 0; half < 2; half++) {
        to->s16[half][token] = s[half];
        to->start16[half][token] = -128 * sums[half];
    }
}

/* (group of tokens, piece). Missing tokens are zero. */
static void pack_x(int k, int n_tok, const float *x, size_t x_stride, void *block)
{
    struct x_piece *pieces = block;
    for (int t = 0; t < TOKENS; t++)
        for (int i = 0; i < k / PIECE; i++) {
            struct x_piece *to = pieces + (size_t)(t / SIX) * (size_t)(k / PIECE) + i;
            if (t % SIX == 0)
                memset(to, 0, sizeof *to);
            if (t < n_tok)
                pack_x_token(x + (size_t)t * x_stride + i * PIECE, to, t % SIX);
        }
}

/* Up to 256 columns of 16 rows, unpacked. */
struct stretch {
    int8_t q[HALF][FORMAT_SUPER];
    float d[HALF][FORMAT_SUPER / 16], m[HALF][FORMAT_SUPER / 16];
};

/* 32 columns from `at` on: the transposed bytes come in v, 8 vectors. */
AVX512_INLINE void store_piece(int group, const struct stretch *s, int at, const __m512i *v,
                               uint8_t *to)
{
    const __m512i sign = _mm512_set1_epi8((char)0x80);
    UNROLL for (int i = 0; i < 8; i++)
        _mm512_store_si512(to + 64 * i, _mm512_xor_si512(v[i], sign));
    float *scales = (float *)(void *)(to + 8 * 64);
    for (int g = 0; g < PIECE / group; g++, scales += 2 * HALF)
        for (int r = 0; r < HALF; r++) {
            scales[r] = s->d[r][at / group + g];
            scales[HALF + r] = s->m[r][at / group + g];
        }
}

/* n columns (a multiple of 32) of one half into consecutive pieces. */
AVX512_INLINE void store_stretch(int group, const struct stretch *s, int n, uint8_t *to)
{
    for (int at = 0; at < n; at += LOAD) {
        __m512i v[HALF];
        UNROLL for (int r = 0; r < HALF; r++)
            v[r] = _mm512_loadu_si512(s->q[r] + at);
        avx512_transpose(v);
        store_piece(group, s, at, v, to);
        to += piece_bytes(group);
        if (at + PIECE < n)
            store_piece(group, s, at + PIECE, v + 8, to);
        to += piece_bytes(group);
    }
}

AVX512_INLINE void pack_w(int group, const struct tensor *w, int first_row, int n_rows, void *panel)
{
    unpack_fn unpack = avx2_unpack(w->type);
    size_t super_bytes = tensor_row_bytes(w->type, FORMAT_SUPER);
    const uint8_t *data = (const uint8_t *)w->data + (size_t)first_row * w->row_bytes;
    struct stretch s;
    for (int half = 0; half < 2; half++) {
        int there = n_rows - half * HALF;
        memset(&s, 0, sizeof s); /* rows that are missing */
        for (int at = 0; at < w->n_cols; at += FORMAT_SUPER) {
            int n = w->n_cols - at < FORMAT_SUPER ? w->n_cols - at : FORMAT_SUPER;
            for (int r = 0; r < HALF && r < there; r++)
                unpack(n, data + (size_t)(half * HALF + r) * w->row_bytes +
                              (size_t)(at / FORMAT_SUPER) * super_bytes,
                       s.q[r], s.d[r], s.m[r]);
            uint8_t *to = (uint8_t *)panel + (size_t)(at / PIECE) * piece_bytes(group);
            store_stretch(group, &s, n, to + (size_t)half * half_bytes(group));
        }
    }
}

static void pack_w_32(const struct tensor *w, int first_row, int n_rows, void *panel)
{
    pack_w(32, w, first_row, n_rows, panel);
}

static void pack_w_16(const struct tensor *w, int first_row, int n_rows, void *panel)
{
    pack_w(16, w, first_row, n_rows, panel);
}

/* ---- Product ---- */

/* One group of columns (vectors [first, first + n) of a piece) for 32 rows x 6 tokens. */
AVX512_INLINE void add_group(int group, bool minima, int g, const uint8_t *w,
                             const struct x_piece *x, __m512 sum[2][SIX])
{
    const int n = group / 4, first = g * n;
    const int32_t *start = group == 32 ? x->start : x->start16[g];
    const float *s = group == 32 ? x->s : x->s16[g];
    __m512i dot[2][SIX];
    UNROLL for (int t = 0; t < SIX; t++)
        dot[0][t] = dot[1][t] = _mm512_set1_epi32(start[t]);
    UNROLL for (int i = first; i < first + n; i++) {
        __m512i w0 = _mm512_load_si512(w + 64 * i);
        __m512i w1 = _mm512_load_si512(w + half_bytes(group) + 64 * i);
        UNROLL for (int t = 0; t < SIX; t++) {
            int32_t four;
            memcpy(&four, x->q[i][t], 4);
            dot[0][t] = _mm512_dpbusd_epi32(dot[0][t], w0, _mm512_set1_epi32(four));
            dot[1][t] = _mm512_dpbusd_epi32(dot[1][t], w1, _mm512_set1_epi32(four));
        }
    }
    UNROLL for (int h = 0; h < 2; h++) {
        const float *scales = (const float *)(const void *)(w + (size_t)h * half_bytes(group) +
                                                            8 * 64) + g * 2 * HALF;
        __m512 d = _mm512_load_ps(scales), m = _mm512_load_ps(scales + HALF);
        UNROLL for (int t = 0; t < SIX; t++) {
            __m512 scale = _mm512_mul_ps(d, _mm512_set1_ps(x->d[t]));
            sum[h][t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[h][t]), scale, sum[h][t]);
            if (minima)
                sum[h][t] = _mm512_fmadd_ps(m, _mm512_set1_ps(s[t]), sum[h][t]);
        }
    }
}

AVX512_INLINE void run_six(int group, bool minima, int k, int n_rows, int n_tok, const uint8_t *w,
                           const struct x_piece *x, float *y, size_t y_stride, bool add)
{
    __m512 sum[2][SIX];
    UNROLL for (int t = 0; t < SIX; t++)
        sum[0][t] = sum[1][t] = _mm512_setzero_ps();
    for (int i = 0; i < k / PIECE; i++, x++, w += piece_bytes(group))
        for (int g = 0; g < PIECE / group; g++)
            add_group(group, minima, g, w, x, sum);
    UNROLL for (int h = 0; h < 2; h++) {
        int left = n_rows - h * HALF;
        __mmask16 mask = left <= 0 ? 0 : avx512_first(left < HALF ? left : HALF);
        UNROLL for (int t = 0; t < SIX; t++) {
            if (t >= n_tok || left <= 0)
                break;
            float *to = y + (size_t)t * y_stride + h * HALF;
            __m512 value = sum[h][t];
            if (add)
                value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, to));
            _mm512_mask_storeu_ps(to, mask, value);
        }
    }
}

AVX512_INLINE void run(int group, bool minima, int k, int n_rows, int n_tok, const void *panel,
                       const void *block, float *y, size_t y_stride, bool add)
{
    const struct x_piece *x = block;
    for (int t = 0; t < n_tok; t += SIX, x += k / PIECE)
        run_six(group, minima, k, n_rows, n_tok - t, panel, x, y + (size_t)t * y_stride, y_stride,
                add);
}

static void run_32(int k, int n_rows, int n_tok, const void *panel, const void *block, float *y,
                   size_t y_stride, bool add)
{
    run(32, false, k, n_rows, n_tok, panel, block, y, y_stride, add);
}

static void run_32_min(int k, int n_rows, int n_tok, const void *panel, const void *block, float *y,
                       size_t y_stride, bool add)
{
    run(32, true, k, n_rows, n_tok, panel, block, y, y_stride, add);
}

static void run_16(int k, int n_rows, int n_tok, const void *panel, const void *block, float *y,
                   size_t y_stride, bool add)
{
    run(16, false, k, n_rows, n_tok, panel, block, y, y_stride, add);
}

static void run_16_min(int k, int n_rows, int n_tok, const void *panel, const void *block, float *y,
                       size_t y_stride, bool add)
{
    run(16, true, k, n_rows, n_tok, panel, block, y, y_stride, add);
}

static const struct gemm_kernel gemm_32 = {
    .rows = ROWS, .tokens = TOKENS, .panel_bytes = panel_bytes_32, .block_bytes = block_bytes,
    .pack_x = pack_x, .pack_w = pack_w_32, .run = run_32,
};

static const struct gemm_kernel gemm_32_min = {
    .rows = ROWS, .tokens = TOKENS, .panel_bytes = panel_bytes_32, .block_bytes = block_bytes,
    .pack_x = pack_x, .pack_w = pack_w_32, .run = run_32_min,
};

static const struct gemm_kernel gemm_16 = {
    .rows = ROWS, .tokens = TOKENS, .panel_bytes = panel_bytes_16, .block_bytes = block_bytes,
    .pack_x = pack_x, .pack_w = pack_w_16, .run = run_16,
};

static const struct gemm_kernel gemm_16_min = {
    .rows = ROWS, .tokens = TOKENS, .panel_bytes = panel_bytes_16, .block_bytes = block_bytes,
    .pack_x = pack_x, .pack_w = pack_w_16, .run = run_16_min,
};

void avx512_fill_gemm(struct kernels *table)
{
    for (int type = 0; type < TENSOR_TYPE_COUNT; type++) {
        bool minima = format_has_min(type);
        if (format_group(type) == 32)
            table->gemm[type] = minima ? &gemm_32_min : &gemm_32;
        else if (format_group(type) == 16)
            table->gemm[type] = minima ? &gemm_16_min : &gemm_16;
    }
}

#endif
