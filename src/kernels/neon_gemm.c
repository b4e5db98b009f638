/*
 * neon_gemm.c: the packed matrix products of the NEON table.
 *
 * Quantised weights: 8 rows x 16 tokens of bytes, by SDOT with a lane. A panel is a sequence of
 * pieces of 32 columns: 16 vectors, vectors 2i and 2i + 1 holding columns 4i..4i+3 of rows 0-3 and
 * 4-7, then the rows' scales and minima. A block of activations is 4 groups of 4 tokens, with
 * pieces of 8 x 4 x 4 bytes, scales and sums.
 *
 * Float weights: 8 rows x 8 tokens, panel (k, 8), block (k, 8).
 */
#include "kernels/kernels.h"

#if defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)

#include "kernels/neon_inline.h"

enum {
    ROWS = 8,
    TOKENS = 16,
    QUAD = 4,      /* tokens in a micro-kernel */
    STRETCH = 16,  /* pieces of 32 columns between two visits to the tile */
    FLOAT_TOKENS = 8,
};

/* Activations of 32 columns of 4 tokens: bytes, then a float per token of each: scale, sum of the
 * first and of the last 16, sum of the 32. */
struct x_piece {
    int8_t q[8][QUAD][4];
    float d[QUAD], s[2][QUAD], s32[QUAD];
};

NEON_INLINE size_t piece_bytes(int group)
{
    return ROWS * 32 + (size_t)(32 / group) * 2 * ROWS * sizeof(float);
}

static size_t panel_bytes_32(int k)
{
    return (size_t)(k / 32) * piece_bytes(32);
}

static size_t panel_bytes_16(int k)
{
    return (size_t)(k / 32) * piece_bytes(16);
}

static size_t block_bytes(int k)
{
    return (size_t)(k / 32) * (TOKENS / QUAD) * sizeof(struct x_piece);
}

/* 32 columns of n tokens of a group of four. */
static void pack_x_piece(int n, const float *x, size_t x_stride, struct x_piece *piece)
{
    memset(piece, 0, sizeof *piece);
    for (int t = 0; t < n; t++) {
        int8_t q[32];
        float s[2];
        neon_act_quantize(32, x + (size_t)t * x_stride, q, &piece->d[t], s);
        for (int i = 0; i < 8; i++)
            memcpy(piece->q[i][t], q + 4 * i, 4);
        piece->s[0][t] = s[0];
        piece->s[1][t] = s[1];
        piece->s32[t] = s[0] + s[1];
    }
}

static void pack_x(int k, int n_tok, const float *x, size_t x_stride, void *block)
{
    struct x_piece *piece = block;
    for (int t = 0; t < n_tok; t += QUAD) {
        int n = n_tok - t < QUAD ? n_tok - t : QUAD;
        for (int i = 0; i < k / 32; i++)
            pack_x_piece(n, x + (size_t)t * x_stride + 32 * i, x_stride, piece++);
    }
}

/* Up to 256 columns of one row into column r of its pieces. */
static void pack_w_row(int n, int group, const int8_t *q, const float *d, const float *m, int r,
                       uint8_t *piece)
{
    int per_piece = 32 / group;
    for (int p = 0; p < n / 32; p++, piece += piece_bytes(group)) {
        float *scales = (float *)(void *)(piece + ROWS * 32), *mins = scales + per_piece * ROWS;
        for (int i = 0; i < 8; i++)
            memcpy(piece + i * 32 + r * 4, q + 32 * p + 4 * i, 4);
        for (int g = 0; g < per_piece; g++) {
            scales[g * ROWS + r] = d[p * per_piece + g];
            mins[g * ROWS + r] = m[p * per_piece + g];
        }
    }
}

static void pack_w(const struct tensor *w, int first_row, int n_rows, void *panel)
{
    unpack_fn unpack = neon_unpack(w->type);
    int group = format_group(w->type);
    size_t super_bytes = tensor_row_bytes(w->type, FORMAT_SUPER);
    int8_t q[FORMAT_SUPER];
    float d[FORMAT_SUPER / 16], m[FORMAT_SUPER / 16];
    if (n_rows < ROWS)
        memset(panel, 0, (size_t)(w->n_cols / 32) * piece_bytes(group));
    for (int r = 0; r < n_rows; r++) {
        const uint8_t *row = (const uint8_t *)w->data + (size_t)(first_row + r) * w->row_bytes;
        uint8_t *piece = panel;
        for (int at = 0; at < w->n_cols; at += FORMAT_SUPER, row += super_bytes) {
            int n = w->n_cols - at < FORMAT_SUPER ? w->n_cols - at : FORMAT_SUPER;
            unpack(n, row, q, d, m);
            pack_w_row(n, group, q, d, m, r, piece);
            piece += (size_t)(n / 32) * piece_bytes(group);
        }
    }
}

/* 4 columns of 8 rows times 4 tokens; low: rows 0-3, high: rows 4-7 */
NEON_INLINE void add_products(const int8_t *w, const int8_t *x, int32x4_t low[QUAD],
                              int32x4_t high[QUAD])
{
    int8x16_t a = vld1q_s8(w), b = vld1q_s8(w + 16), xv = vld1q_s8(x);
    low[0] = vdotq_laneq_s32(low[0], a, xv, 0);
    low[1] = vdotq_laneq_s32(low[1], a, xv, 1);
    low[2] = vdotq_laneq_s32(low[2], a, xv, 2);
    low[3] = vdotq_laneq_s32(low[3], a, xv, 3);
    high[0] = vdotq_laneq_s32(high[0], b, xv, 0);
    high[1] = vdotq_laneq_s32(high[1], b, xv, 1);
    high[2] = vdotq_laneq_s32(high[2], b, xv, 2);
    high[3] = vdotq_laneq_s32(high[3], b, xv, 3);
}

#define EACH_TOKEN _Pragma("GCC unroll 4") for (int t = 0; t < QUAD; t++)

/* acc += scales x dots + minima x sums, for four rows and token t */
NEON_INLINE float32x4_t finish(float32x4_t acc, int32x4_t dots, const float *scales,
                               const float *mins, float d, float s)
{
    acc = vfmaq_f32(acc, vmulq_n_f32(vld1q_f32(scales), d), vcvtq_f32_s32(dots));
    return vfmaq_n_f32(acc, vld1q_f32(mins), s);
}

/* 8 rows x 4 tokens over n pieces; tile: (4 tokens, ROWS) */
NEON_INLINE void micro(int group, int n, const uint8_t *w, const struct x_piece *x, float *tile)
{
    const int groups = 32 / group;
    float32x4_t low[QUAD], high[QUAD];
    EACH_TOKEN {
        low[t] = vld1q_f32(tile + t * ROWS);
        high[t] = vld1q_f32(tile + t * ROWS + 4);
    }
    for (int p = 0; p < n; p++, x++, w += piece_bytes(group)) {
        const float *d = (const float *)(const void *)(w + ROWS * 32), *m = d + groups * ROWS;
        for (int g = 0; g < groups; g++) {
            int32x4_t a[QUAD], b[QUAD];
            EACH_TOKEN a[t] = b[t] = vdupq_n_s32(0);
            for (int i = g * 8 / groups; i < (g + 1) * 8 / groups; i++)
                add_products((const int8_t *)w + 32 * i, x->q[i][0], a, b);
            EACH_TOKEN {
                float s = groups == 1 ? x->s32[t] : x->s[g][t];
                low[t] = finish(low[t], a[t], d + g * ROWS, m + g * ROWS, x->d[t], s);
                high[t] = finish(high[t], b[t], d + g * ROWS + 4, m + g * ROWS + 4, x->d[t], s);
            }
        }
    }
    EACH_TOKEN {
        vst1q_f32(tile + t * ROWS, low[t]);
        vst1q_f32(tile + t * ROWS + 4, high[t]);
    }
}

static void store_tile(const float *tile, int n_rows, int n_tok, float *y, size_t y_stride,
                       bool plus)
{
    for (int t = 0; t < n_tok; t++, y += y_stride, tile += ROWS)
        for (int r = 0; r < n_rows; r++)
            y[r] = tile[r] + (plus ? y[r] : 0);
}

NEON_INLINE void run_group(int group, int k, int n_rows, int n_tok, const void *panel,
                           const void *block, float *y, size_t y_stride, bool plus)
{
    float tile[TOKENS * ROWS] = {0};
    int n_pieces = k / 32;
    for (int p = 0; p < n_pieces; p += STRETCH)
        for (int t = 0; t < n_tok; t += QUAD) {
            int n = n_pieces - p < STRETCH ? n_pieces - p : STRETCH;
            const struct x_piece *x = (const struct x_piece *)block + t / QUAD * n_pieces + p;
            micro(group, n, (const uint8_t *)panel + (size_t)p * piece_bytes(group), x,
                  tile + t * ROWS);
        }
    store_tile(tile, n_rows, n_tok, y, y_stride, plus);
}

static void run_32(int k, int n_rows, int n_tok, const void *panel, const void *block, float *y,
                   size_t y_stride, bool plus)
{
    run_group(32, k, n_rows, n_tok, panel, block, y, y_stride, plus);
}

static void run_16(int k, int n_rows, int n_tok, const void *panel, const void *block, float *y,
                   size_t y_stride, bool plus)
{
    run_group(16, k, n_rows, n_tok, panel, block, y, y_stride, plus);
}

static size_t float_bytes(int k)
{
    return (size_t)k * ROWS * sizeof(float);
}

static void float_pack_x(int k, int n_tok, const float *x, size_t x_stride, void *block)
{
    float *to = block;
    for (int i = 0; i < k; i++)
        for (int t = 0; t < FLOAT_TOKENS; t++)
            *to++ = t < n_tok ? x[(size_t)t * x_stride + (size_t)i] : 0;
}

static void float_pack_w(const struct tensor *w, int first_row, int n_rows, void *panel)
{
    float row[FORMAT_SUPER];
    size_t value_bytes = w->type == TENSOR_F32 ? 4 : 2;
    memset(panel, 0, float_bytes(w->n_cols));
    for (int r = 0; r < n_rows; r++)
        for (int at = 0; at < w->n_cols; at += FORMAT_SUPER) {
            int n = w->n_cols - at < FORMAT_SUPER ? w->n_cols - at : FORMAT_SUPER;
            const uint8_t *from = w->data;
            from += (size_t)(first_row + r) * w->row_bytes + (size_t)at * value_bytes;
            float *to = (float *)panel + (size_t)at * ROWS + r;
            neon_dequantize(w->type, n, from, row);
            for (int i = 0; i < n; i++)
                to[i * ROWS] = row[i];
        }
}

#define EACH_FLOAT_TOKEN _Pragma("GCC unroll 8") for (int t = 0; t < FLOAT_TOKENS; t++)

static void float_run(int k, int n_rows, int n_tok, const void *panel, const void *block, float *y,
                      size_t y_stride, bool plus)
{
    float tile[FLOAT_TOKENS * ROWS];
    const float *w = panel, *x = block;
    float32x4_t low[FLOAT_TOKENS], high[FLOAT_TOKENS];
    EACH_FLOAT_TOKEN low[t] = high[t] = vdupq_n_f32(0);
    for (int i = 0; i < k; i++, w += ROWS, x += FLOAT_TOKENS) {
        float32x4_t a = vld1q_f32(w), b = vld1q_f32(w + 4);
        EACH_FLOAT_TOKEN {
            low[t] = vfmaq_n_f32(low[t], a, x[t]);
            high[t] = vfmaq_n_f32(high[t], b, x[t]);
        }
    }
    EACH_FLOAT_TOKEN {
        vst1q_f32(tile + t * ROWS, low[t]);
        vst1q_f32(tile + t * ROWS + 4, high[t]);
    }
    store_tile(tile, n_rows, n_tok, y, y_stride, plus);
}

static const struct gemm_kernel gemm_32 = {
    .rows = ROWS, .tokens = TOKENS, .panel_bytes = panel_bytes_32, .block_bytes = block_bytes,
    .pack_x = pack_x, .pack_w = pack_w, .run = run_32,
};

static const struct gemm_kernel gemm_16 = {
    .rows = ROWS, .tokens = TOKENS, .panel_bytes = panel_bytes_16, .block_bytes = block_bytes,
    .pack_x = pack_x, .pack_w = pack_w, .run = run_16,
};

static const struct gemm_kernel gemm_float = {
    .rows = ROWS, .tokens = FLOAT_TOKENS, .panel_bytes = float_bytes, .block_bytes = float_bytes,
    .pack_x = float_pack_x, .pack_w = float_pack_w, .run = float_run,
};

void neon_fill_gemm(struct kernels *table)
{
    for (int type = 0; type < TENSOR_TYPE_COUNT; type++)
        if (table->gemm[type])
            table->gemm[type] = format_group(type) == 32   ? &gemm_32
                                : format_group(type) == 16 ? &gemm_16
                                                           : &gemm_float;
}

#endif
