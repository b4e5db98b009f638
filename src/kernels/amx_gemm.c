/*
 * amx_gemm.c: the packed matrix product on AMX tiles of bfloat16.
 *
 * A tile product adds 16 weight rows x 32 columns times 32 columns x 16 tokens to 16 x 16 float
 * sums. Weights of every format are unpacked to bfloat16, so there are no scales to apply inside
 * the product and activations keep 8 bits of their own each instead of sharing a scale. Where the
 * weights are wider than that, both sides are split in a high and a low part and the three larger
 * products are added, which keeps 16 bits: w = wh + wl, x = xh + xl, w x ~ wh xh + wh xl + wl xh.
 *
 * Layout, in tiles of 1 KiB. Panel: for each 32 rows, for each 32 columns: per part two tiles of 16
 * rows, a tile row being one weight row's 32 columns. Block of 32 tokens: for each 32 columns: per
 * part two tiles of 16 tokens, a tile row being columns 2i, 2i + 1 of each token. So both are read
 * front to back. What lies beyond the last row, token or column is zero.
 *
 * Four tiles of sums (32 rows x 32 tokens) need four loads for four products, the best ratio that
 * eight tile registers allow.
 */
#include "kernels/amx.h"

#if defined(__AMX_BF16__) && defined(__AVX512BF16__)

#include "kernels/amx_inline.h"
#include "kernels/avx2.h"

enum {
    HALF = 16,          /* rows or tokens of a tile */
    SPAN = 32,          /* rows of a group, tokens of a block, columns of a step */
    TILE = 1024,        /* bytes */
    ROWS = 256,         /* a panel of 2048 columns takes 1 MiB, half of the L2 cache */
    ROWS_SPLIT = 128,   /* the same with two parts */
};

AVX512_INLINE int steps(int k)
{
    return (k + SPAN - 1) / SPAN;
}

/* Bytes of one step of a row group or token block. */
AVX512_INLINE size_t step_bytes(int parts)
{
    return (size_t)parts * 2 * TILE;
}

AVX512_INLINE size_t span_bytes(int parts, int k)
{
    return (size_t)steps(k) * step_bytes(parts);
}

static size_t panel_bytes_1(int k)
{
    return ROWS / SPAN * span_bytes(1, k);
}

static size_t panel_bytes_2(int k)
{
    return ROWS_SPLIT / SPAN * span_bytes(2, k);
}

static size_t block_bytes_1(int k)
{
    return span_bytes(1, k);
}

static size_t block_bytes_2(int k)
{
    return span_bytes(2, k);
}

/* ---- Activations ---- */

/* 16 columns from x on, `left` of them there. */
AVX512_INLINE __m512 load_columns(const float *x, int left)
{
    if (left >= HALF)
        return _mm512_loadu_ps(x);
    return left <= 0 ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(avx512_first(left), x);
}

/* Tile (32 columns x 16 tokens) of the high and, with parts = 2, the low parts. */
AVX512_INLINE void pack_tile(int parts, int left, int n_tok, const float *x, size_t x_stride,
                             uint8_t *tile)
{
    __m512i high[HALF], low[HALF];
    UNROLL for (int t = 0; t < HALF; t++) {
        const float *row = x + (size_t)t * x_stride;
        bool there = t < n_tok;
        __m512 a = load_columns(row, there ? left : 0);
        __m512 b = load_columns(row + HALF, there ? left - HALF : 0);
        high[t] = amx_round(a, b);
        if (parts == 2)
            low[t] = amx_rest(a, b, high[t]);
    }
    avx512_transpose(high);
    for (int i = 0; i < HALF; i++)
        _mm512_store_si512(tile + 64 * i, high[i]);
    if (parts == 1)
        return;
    avx512_transpose(low);
    for (int i = 0; i < HALF; i++)
        _mm512_store_si512(tile + 2 * TILE + 64 * i, low[i]);
}

AVX512_INLINE void pack_x(int parts, int k, int n_tok, const float *x, size_t x_stride,
                          uint8_t *block)
{
    for (int s = 0; s < steps(k); s++, block += step_bytes(parts))
        for (int half = 0; half < 2; half++) {
            int n = n_tok - half * HALF; /* without tokens the rows are not looked at */
            const float *from = x + (n > 0 ? (size_t)(half * HALF) * x_stride : 0) + s * SPAN;
            pack_tile(parts, k - s * SPAN, n, from, x_stride, block + half * TILE);
        }
}

static void pack_x_1(int k, int n_tok, const float *x, size_t x_stride, void *block)
{
    pack_x(1, k, n_tok, x, x_stride, block);
}

static void pack_x_2(int k, int n_tok, const float *x, size_t x_stride, void *block)
{
    pack_x(2, k, n_tok, x, x_stride, block);
}

/* ---- Weights ---- */

/* Where row r's part of a step lies in a panel. */
AVX512_INLINE uint8_t *panel_row(int parts, int k, void *panel, int r)
{
    return (uint8_t *)panel + (size_t)(r / SPAN) * span_bytes(parts, k) +
           (size_t)(r / HALF % 2) * TILE + (size_t)(r % HALF) * 64;
}

static void clear_row(int parts, int k, uint8_t *to)
{
    for (int s = 0; s < steps(k); s++, to += step_bytes(parts))
        for (int p = 0; p < parts; p++)
            _mm512_store_si512(to + (size_t)p * 2 * TILE, _mm512_setzero_si512());
}

/* Rows up to a whole group are multiplied, so they must be zero. */
static void clear_rest(int parts, int k, void *panel, int n_rows)
{
    for (int r = n_rows; r % SPAN; r++)
        clear_row(parts, k, panel_row(parts, k, panel, r));
}

static void pack_w_quant(const struct tensor *w, int first_row, int n_rows, void *panel)
{
    int k = w->n_cols;
    amx_unpack_fn unpack = amx_unpack(w->type);
    size_t super_bytes = tensor_row_bytes(w->type, FORMAT_SUPER);
    const uint8_t *data = (const uint8_t *)w->data + (size_t)first_row * w->row_bytes;
    /* Half a group at a time, so that the lines written lie together. */
    for (int r0 = 0; r0 < n_rows; r0 += HALF) {
        int end = n_rows - r0 < HALF ? n_rows : r0 + HALF;
        for (int at = 0; at < k; at += FORMAT_SUPER) {
            int n = k - at < FORMAT_SUPER ? k - at : FORMAT_SUPER;
            const uint8_t *from = data + (size_t)(at / FORMAT_SUPER) * super_bytes;
            for (int r = r0; r < end; r++)
                unpack(n, from + (size_t)r * w->row_bytes,
                       panel_row(1, k, panel, r) + (size_t)(at / SPAN) * step_bytes(1),
                       step_bytes(1));
        }
    }
    clear_rest(1, k, panel, n_rows);
}

AVX512_INLINE __m512 load_weights(enum tensor_type type, const uint8_t *row, int at, int left)
{
    __mmask16 mask = left >= HALF ? 0xffff : left <= 0 ? 0 : avx512_first(left);
    const uint8_t *from = row + (size_t)(left > 0 ? at : 0) * (type == TENSOR_F32 ? 4 : 2);
    if (type == TENSOR_F32)
        return _mm512_maskz_loadu_ps(mask, from);
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, from));
}

/* F16 or F32, in two parts. */
AVX512_INLINE void pack_w_float(enum tensor_type type, const struct tensor *w, int first_row,
                                int n_rows, void *panel)
{
    int k = w->n_cols;
    const uint8_t *data = (const uint8_t *)w->data + (size_t)first_row * w->row_bytes;
    for (int r0 = 0; r0 < n_rows; r0 += HALF) {
        int end = n_rows - r0 < HALF ? n_rows : r0 + HALF;
        for (int s = 0; s < steps(k); s++)
            for (int r = r0; r < end; r++) {
                const uint8_t *row = data + (size_t)r * w->row_bytes;
                uint8_t *to = panel_row(2, k, panel, r) + (size_t)s * step_bytes(2);
                __m512 a = load_weights(type, row, s * SPAN, k - s * SPAN);
                __m512 b = load_weights(type, row, s * SPAN + HALF, k - s * SPAN - HALF);
                __m512i high = amx_round(a, b);
                _mm512_store_si512(to, high);
                _mm512_store_si512(to + 2 * TILE, amx_rest(a, b, high));
            }
    }
    clear_rest(2, k, panel, n_rows);
}

static void pack_w_f32(const struct tensor *w, int first_row, int n_rows, void *panel)
{
    pack_w_float(TENSOR_F32, w, first_row, n_rows, panel);
}

static void pack_w_f16(const struct tensor *w, int first_row, int n_rows, void *panel)
{
    pack_w_float(TENSOR_F16, w, first_row, n_rows, panel);
}

static void pack_w_bf16(const struct tensor *w, int first_row, int n_rows, void *panel)
{
    int k = w->n_cols;
    const uint8_t *data = (const uint8_t *)w->data + (size_t)first_row * w->row_bytes;
    for (int r = 0; r < n_rows; r++)
        for (int s = 0; s < steps(k); s++) {
            int left = k - s * SPAN;
            __mmask32 mask = left >= SPAN ? ~(__mmask32)0 : ((__mmask32)1 << left) - 1;
            const uint8_t *from = data + (size_t)r * w->row_bytes + (size_t)s * SPAN * 2;
            _mm512_store_si512(panel_row(1, k, panel, r) + (size_t)s * step_bytes(1),
                               _mm512_maskz_loadu_epi16(mask, from));
        }
    clear_rest(1, k, panel, n_rows);
}

/* ---- Product ---- */

/* Tiles 0 to 3: sums of rows 0-15, tokens 0-15; 0-15, 16-31; 16-31, 0-15; 16-31, 16-31.
 * Tiles 4, 5: weights; 6, 7: activations. */
AVX512_INLINE void multiply(const uint8_t *w, const uint8_t *x)
{
    _tile_loadd(4, w, 64);
    _tile_loadd(6, x, 64);
    _tile_loadd(5, w + TILE, 64);
    _tile_loadd(7, x + TILE, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
}

/* With the high weights in tiles 4 and 5 and the high activations in 6 and 7 after it. */
AVX512_INLINE void multiply_parts(int w_parts, const uint8_t *w, const uint8_t *x)
{
    _tile_loadd(4, w, 64);
    _tile_loadd(6, x + 2 * TILE, 64);
    _tile_loadd(5, w + TILE, 64);
    _tile_loadd(7, x + 3 * TILE, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
    _tile_loadd(6, x, 64);
    _tile_loadd(7, x + TILE, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
    if (w_parts == 1)
        return;
    _tile_loadd(4, w + 2 * TILE, 64);
    _tile_loadd(5, w + 3 * TILE, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
}

/* One tile of sums, (row, token), to y, (token, row). */
AVX512_INLINE void store_tile(const float *sums, int n_rows, int n_tok, float *y, size_t y_stride,
                              bool add)
{
    if (n_rows <= 0 || n_tok <= 0)
        return;
    __mmask16 mask = avx512_first(n_rows < HALF ? n_rows : HALF);
    __m512i v[HALF];
    UNROLL for (int i = 0; i < HALF; i++)
        v[i] = _mm512_load_si512(sums + 16 * i);
    avx512_transpose(v);
    UNROLL for (int t = 0; t < HALF; t++) {
        if (t >= n_tok)
            break;
        float *to = y + (size_t)t * y_stride;
        __m512 value = _mm512_castsi512_ps(v[t]);
        if (add)
            value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, to));
        _mm512_mask_storeu_ps(to, mask, value);
    }
}

static void store_sums(int n_rows, int n_tok, float *y, size_t y_stride, bool add)
{
    float sums[4][HALF * HALF] __attribute__((aligned(64)));
    _tile_stored(0, sums[0], 64);
    _tile_stored(1, sums[1], 64);
    _tile_stored(2, sums[2], 64);
    _tile_stored(3, sums[3], 64);
    for (int i = 0; i < 4; i++) {
        int row = i / 2 * HALF, token = i % 2 * HALF;
        if (row < n_rows && token < n_tok)
            store_tile(sums[i], n_rows - row, n_tok - token, y + (size_t)token * y_stride + row,
                       y_stride, add);
    }
}

AVX512_INLINE void run(int w_parts, int x_parts, int k, int n_rows, int n_tok, const uint8_t *panel,
                       const uint8_t *block, float *y, size_t y_stride, bool add)
{
    amx_configure();
    for (int r = 0; r < n_rows; r += SPAN) {
        const uint8_t *w = panel + (size_t)(r / SPAN) * span_bytes(w_parts, k), *x = block;
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        for (int s = 0; s < steps(k); s++, w += step_bytes(w_parts), x += step_bytes(x_parts))
            if (x_parts == 1)
                multiply(w, x);
            else
                multiply_parts(w_parts, w, x);
        store_sums(n_rows - r, n_tok, y + r, y_stride, add);
    }
    _tile_release();
}

static void run_1_1(int k, int n_rows, int n_tok, const void *panel, const void *block, float *y,
                    size_t y_stride, bool add)
{
    run(1, 1, k, n_rows, n_tok, panel, block, y, y_stride, add);
}

static void run_1_2(int k, int n_rows, int n_tok, const void *panel, const void *block, float *y,
                    size_t y_stride, bool add)
{
    run(1, 2, k, n_rows, n_tok, panel, block, y, y_stride, add);
}

static void run_2_2(int k, int n_rows, int n_tok, const void *panel, const void *block, float *y,
                    size_t y_stride, bool add)
{
    run(2, 2, k, n_rows, n_tok, panel, block, y, y_stride, add);
}

static const struct gemm_kernel gemm_quant = {
    .rows = ROWS, .tokens = SPAN, .panel_bytes = panel_bytes_1, .block_bytes = block_bytes_1,
    .pack_x = pack_x_1, .pack_w = pack_w_quant, .run = run_1_1,
};

static const struct gemm_kernel gemm_bf16 = {
    .rows = ROWS, .tokens = SPAN, .panel_bytes = panel_bytes_1, .block_bytes = block_bytes_2,
    .pack_x = pack_x_2, .pack_w = pack_w_bf16, .run = run_1_2,
};

static const struct gemm_kernel gemm_f16 = {
    .rows = ROWS_SPLIT, .tokens = SPAN, .panel_bytes = panel_bytes_2, .block_bytes = block_bytes_2,
    .pack_x = pack_x_2, .pack_w = pack_w_f16, .run = run_2_2,
};

static const struct gemm_kernel gemm_f32 = {
    .rows = ROWS_SPLIT, .tokens = SPAN, .panel_bytes = panel_bytes_2, .block_bytes = block_bytes_2,
    .pack_x = pack_x_2, .pack_w = pack_w_f32, .run = run_2_2,
};

void amx_fill_gemm(struct kernels *table)
{
    for (int type = 0; type < TENSOR_TYPE_COUNT; type++)
        if (table->unpack[type])
            table->gemm[type] = &gemm_quant;
    table->gemm[TENSOR_BF16] = &gemm_bf16;
    table->gemm[TENSOR_F16] = &gemm_f16;
    table->gemm[TENSOR_F32] = &gemm_f32;
}

#endif
