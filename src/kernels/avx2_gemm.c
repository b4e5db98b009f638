/*
 * avx2_gemm.c: the packed matrix products of the AVX2 table.
 *
 * Quantised weights: 16 rows x 16 tokens of bytes. A panel is two halves of 8 rows; in each, every
 * 32 columns are one piece: 8 vectors, vector i holding columns 4i..4i+3 of the 8 rows, then the
 * rows' scales and minima. Weights are stored unsigned (offset by the least value of the format;
 * the offset joins the minimum), so that VPMADDUBSW takes them as they are and narrow formats can
 * add up several products in 16 bits. Q8_0 has no room for that: it stays signed and moves its
 * signs to the activations. A block of activations is 4 groups of 4 tokens, with pieces of
 * 8 x 4 x 4 bytes, scales and sums.
 *
 * Float weights: 16 rows x 24 tokens, panel (k, 16), block 4 x (k, 6).
 *
 * `run` cuts K so that a stretch of the panel stays in the L1 cache while all tokens of the block
 * pass; the running sums wait in a tile on the stack.
 */
#include "kernels/avx2.h"

#if defined(__AVX2__)

#include "kernels/avx2_inline.h"

enum {
    ROWS = 16,
    HALF = 8,            /* rows in a vector */
    TOKENS = 16,
    QUAD = 4,            /* tokens in a micro-kernel */
    STRETCH = 16,        /* pieces of 32 columns between two visits to the tile */
    FLOAT_TOKENS = 24,
    FLOAT_SIX = 6,       /* tokens in a micro-kernel */
    FLOAT_STRETCH = 256, /* columns */
};

/* Activations of 32 columns of 4 tokens: bytes, then a float per token of each: scale, sum of the
 * first and of the last 16, sum of the 32. */
struct x_piece {
    int8_t q[8][QUAD][4];
    float d[QUAD], s[2][QUAD], s32[QUAD];
};

/* What one kernel for quantised types is made for. */
struct form {
    int group; /* columns per scale: 16 or 32 */
    int steps; /* vectors that can be added up in 16 bits */
    bool is_signed;
};

/* Bytes of 32 columns of half a panel: 8 vectors, a scale and a minimum per row and group. */
AVX2_INLINE size_t piece_bytes(int group)
{
    return 8 * 32 + (size_t)(32 / group) * 2 * HALF * sizeof(float);
}

static size_t panel_bytes_32(int k)
{
    return (size_t)(k / 32) * 2 * piece_bytes(32);
}

static size_t panel_bytes_16(int k)
{
    return (size_t)(k / 32) * 2 * piece_bytes(16);
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
        avx2_act_quantize(32, x + (size_t)t * x_stride, q, &piece->d[t], s);
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

/* Up to 256 columns of 8 rows, unpacked; rows that are missing stay zero. */
struct unpacked {
    int8_t q[HALF][FORMAT_SUPER];
    float d[HALF][FORMAT_SUPER / 16], m[HALF][FORMAT_SUPER / 16];
};

/* Piece i of the unpacked columns; `offset` makes the values unsigned. */
static void pack_w_piece(const struct unpacked *u, int i, int group, int offset, uint8_t *piece)
{
    __m256 v[8];
    float *d = (float *)(void *)(piece + 256), *m = d + 32 / group * HALF;
    for (int r = 0; r < HALF; r++)
        v[r] = _mm256_loadu_ps((const void *)(u->q[r] + 32 * i));
    avx2_transpose(v);
    for (int c = 0; c < 8; c++) {
        __m256i bytes = _mm256_add_epi8(_mm256_castps_si256(v[c]), _mm256_set1_epi8((char)offset));
        _mm256_storeu_si256((void *)(piece + 32 * c), bytes);
    }
    for (int g = 0; g < 32 / group; g++)
        for (int r = 0; r < HALF; r++) {
            int at = i * 32 / group + g;
            d[g * HALF + r] = u->d[r][at];
            m[g * HALF + r] = u->m[r][at] - (float)offset * u->d[r][at];
        }
}

/* What the type's least value has to be raised by. */
static int value_offset(enum tensor_type type)
{
    switch (type) {
    case TENSOR_Q4_0: return 8;
    case TENSOR_Q5_0: return 16;
    case TENSOR_Q3_K: return 4;
    case TENSOR_Q6_K: return 32;
    default: return 0; /* unsigned already, or Q8_0 */
    }
}

static void pack_w_half(const struct tensor *w, int first_row, int n_rows, uint8_t *piece)
{
    unpack_fn unpack = avx2_unpack(w->type);
    int group = format_group(w->type), offset = value_offset(w->type);
    size_t super_bytes = tensor_row_bytes(w->type, FORMAT_SUPER);
    const uint8_t *row = (const uint8_t *)w->data + (size_t)first_row * w->row_bytes;
    struct unpacked u;
    memset(&u, 0, sizeof u);
    for (int at = 0; at < w->n_cols; at += FORMAT_SUPER, row += super_bytes) {
        int n = w->n_cols - at < FORMAT_SUPER ? w->n_cols - at : FORMAT_SUPER;
        for (int r = 0; r < n_rows; r++)
            unpack(n, row + (size_t)r * w->row_bytes, u.q[r], u.d[r], u.m[r]);
        for (int i = 0; i < n / 32; i++, piece += piece_bytes(group))
            pack_w_piece(&u, i, group, offset, piece);
    }
}

static void pack_w(const struct tensor *w, int first_row, int n_rows, void *panel)
{
    size_t half_bytes = (size_t)(w->n_cols / 32) * piece_bytes(format_group(w->type));
    pack_w_half(w, first_row, n_rows < HALF ? n_rows : HALF, panel);
    if (n_rows > HALF)
        pack_w_half(w, first_row + HALF, n_rows - HALF, (uint8_t *)panel + half_bytes);
}

AVX2_INLINE __m256i broadcast4(const int8_t *p)
{
    int v;
    memcpy(&v, p, 4);
    return _mm256_set1_epi32(v);
}

/* Keeps the compiler from regrouping a long sum, which takes more registers than there are. */
AVX2_INLINE __m256i in_order(__m256i v)
{
    __asm__("" : "+x"(v));
    return v;
}

#define EACH_TOKEN _Pragma("GCC unroll 4") for (int t = 0; t < QUAD; t++)

/* Products of n vectors of columns with the four tokens, in 16 bits, then added to sum. */
AVX2_INLINE void add_products(struct form f, int n, const uint8_t *w, const int8_t (*x)[QUAD][4],
                              __m256i sum[QUAD])
{
    __m256i pairs[QUAD];
    _Pragma("GCC unroll 8") for (int i = 0; i < n; i++) {
        __m256i wv = _mm256_loadu_si256((const void *)(w + 32 * i));
        __m256i size = f.is_signed ? _mm256_abs_epi8(wv) : wv;
        EACH_TOKEN {
            __m256i xv = broadcast4(x[i][t]);
            xv = _mm256_maddubs_epi16(size, f.is_signed ? _mm256_sign_epi8(xv, wv) : xv);
            pairs[t] = in_order(i ? _mm256_add_epi16(pairs[t], xv) : xv);
        }
    }
    EACH_TOKEN {
        __m256i quads = _mm256_madd_epi16(pairs[t], _mm256_set1_epi16(1));
        sum[t] = _mm256_add_epi32(sum[t], quads);
    }
}

/* 8 rows x 4 tokens over n pieces; tile: (4 tokens, ROWS) */
AVX2_INLINE void micro(struct form f, int n, const uint8_t *w, const struct x_piece *x, float *tile)
{
    const int groups = 32 / f.group, vectors = 8 / groups;
    __m256 acc[QUAD];
    EACH_TOKEN acc[t] = _mm256_loadu_ps(tile + t * ROWS);
    for (int p = 0; p < n; p++, x++, w += piece_bytes(f.group)) {
        const float *d = (const float *)(const void *)(w + 256), *m = d + groups * HALF;
        _Pragma("GCC unroll 2") for (int g = 0; g < groups; g++) {
            __m256 dv = _mm256_loadu_ps(d + g * HALF), mv = _mm256_loadu_ps(m + g * HALF);
            __m256i sum[QUAD];
            EACH_TOKEN sum[t] = _mm256_setzero_si256();
            if (f.steps == vectors)
                add_products(f, vectors, w + 32 * vectors * g, x->q + vectors * g, sum);
            else
                _Pragma("GCC unroll 8") for (int i = 0; i < vectors; i += f.steps) {
                    int at = vectors * g + i;
                    add_products(f, f.steps, w + 32 * at, x->q + at, sum);
                }
            EACH_TOKEN {
                __m256 scale = _mm256_mul_ps(dv, _mm256_broadcast_ss(&x->d[t]));
                const float *s = groups == 1 ? x->s32 : x->s[g];
                acc[t] = _mm256_fmadd_ps(scale, _mm256_cvtepi32_ps(sum[t]), acc[t]);
                if (!f.is_signed)
                    acc[t] = _mm256_fmadd_ps(mv, _mm256_broadcast_ss(s + t), acc[t]);
            }
        }
    }
    EACH_TOKEN _mm256_storeu_ps(tile + t * ROWS, acc[t]);
}

/* The finished tile, (tokens, ROWS), to y. */
static void store_tile(const float *tile, int n_rows, int n_tok, float *y, size_t y_stride,
                       bool plus)
{
    for (int t = 0; t < n_tok; t++, y += y_stride, tile += ROWS) {
        if (n_rows == ROWS) {
            __m256 a = _mm256_loadu_ps(tile), b = _mm256_loadu_ps(tile + 8);
            if (plus) {
                a = _mm256_add_ps(a, _mm256_loadu_ps(y));
                b = _mm256_add_ps(b, _mm256_loadu_ps(y + 8));
            }
            _mm256_storeu_ps(y, a);
            _mm256_storeu_ps(y + 8, b);
        } else {
            for (int r = 0; r < n_rows; r++)
                y[r] = tile[r] + (plus ? y[r] : 0);
        }
    }
}

AVX2_INLINE void run_form(struct form f, int k, int n_rows, int n_tok, const void *panel,
                          const void *block, float *y, size_t y_stride, bool plus)
{
    float tile[TOKENS * ROWS] = {0};
    int n_pieces = k / 32;
    for (int p = 0; p < n_pieces; p += STRETCH) {
        int n = n_pieces - p < STRETCH ? n_pieces - p : STRETCH;
        for (int half = 0; half * HALF < n_rows; half++)
            for (int t = 0; t < n_tok; t += QUAD) {
                const struct x_piece *x = (const struct x_piece *)block + t / QUAD * n_pieces + p;
                const uint8_t *w = panel;
                w += ((size_t)half * (size_t)n_pieces + (size_t)p) * piece_bytes(f.group);
                micro(f, n, w, x, tile + t * ROWS + half * HALF);
            }
    }
    store_tile(tile, n_rows, n_tok, y, y_stride, plus);
}

/* Values 0..15: 8 x 2 x 15 x 127 fits 16 bits. */
static void run_4_bits(int k, int n_rows, int n_tok, const void *panel, const void *block, float *y,
                       size_t y_stride, bool plus)
{
    run_form((struct form){32, 8, false}, k, n_rows, n_tok, panel, block, y, y_stride, plus);
}

static void run_5_bits(int k, int n_rows, int n_tok, const void *panel, const void *block, float *y,
                       size_t y_stride, bool plus)
{
    run_form((struct form){32, 4, false}, k, n_rows, n_tok, panel, block, y, y_stride, plus);
}

static void run_8_bits(int k, int n_rows, int n_tok, const void *panel, const void *block, float *y,
                       size_t y_stride, bool plus)
{
    run_form((struct form){32, 1, true}, k, n_rows, n_tok, panel, block, y, y_stride, plus);
}

/* Q2_K and Q3_K: groups of 16 are four vectors. */
static void run_3_bits(int k, int n_rows, int n_tok, const void *panel, const void *block, float *y,
                       size_t y_stride, bool plus)
{
    run_form((struct form){16, 4, false}, k, n_rows, n_tok, panel, block, y, y_stride, plus);
}

static void run_6_bits(int k, int n_rows, int n_tok, const void *panel, const void *block, float *y,
                       size_t y_stride, bool plus)
{
    run_form((struct form){16, 2, false}, k, n_rows, n_tok, panel, block, y, y_stride, plus);
}

static size_t float_panel_bytes(int k)
{
    return (size_t)k * ROWS * sizeof(float);
}

static size_t float_block_bytes(int k)
{
    return (size_t)k * FLOAT_TOKENS * sizeof(float);
}

static void float_pack_x(int k, int n_tok, const float *x, size_t x_stride, void *block)
{
    float *to = block;
    for (int t = 0; t < n_tok; t += FLOAT_SIX)
        for (int i = 0; i < k; i++)
            for (int j = 0; j < FLOAT_SIX; j++)
                *to++ = t + j < n_tok ? x[(size_t)(t + j) * x_stride + (size_t)i] : 0;
}

/* n columns, at most 256, of 16 rows to (n, 16). */
static void float_pack_columns(int n, float rows[ROWS][FORMAT_SUPER], float *to)
{
    int i = 0;
    for (; i + 8 <= n; i += 8, to += 8 * ROWS)
        for (int r = 0; r < ROWS; r += 8) {
            __m256 v[8];
            for (int j = 0; j < 8; j++)
                v[j] = _mm256_loadu_ps(rows[r + j] + i);
            avx2_transpose(v);
            for (int j = 0; j < 8; j++)
                _mm256_storeu_ps(to + j * ROWS + r, v[j]);
        }
    for (; i < n; i++, to += ROWS)
        for (int r = 0; r < ROWS; r++)
            to[r] = rows[r][i];
}

static void float_pack_w(const struct tensor *w, int first_row, int n_rows, void *panel)
{
    float rows[ROWS][FORMAT_SUPER];
    size_t value_bytes = w->type == TENSOR_F32 ? 4 : 2;
    memset(rows, 0, sizeof rows);
    for (int at = 0; at < w->n_cols; at += FORMAT_SUPER) {
        int n = w->n_cols - at < FORMAT_SUPER ? w->n_cols - at : FORMAT_SUPER;
        for (int r = 0; r < n_rows; r++) {
            const uint8_t *from = w->data;
            from += (size_t)(first_row + r) * w->row_bytes + (size_t)at * value_bytes;
            avx2_dequantize(w->type, n, from, rows[r]);
        }
        float_pack_columns(n, rows, (float *)panel + (size_t)at * ROWS);
    }
}

#define EACH_SIX _Pragma("GCC unroll 6") for (int t = 0; t < FLOAT_SIX; t++)

/* 16 rows x 6 tokens over n columns */
static void float_micro(int n, const float *w, const float *x, float *tile)
{
    __m256 a[FLOAT_SIX], b[FLOAT_SIX];
    EACH_SIX {
        a[t] = _mm256_loadu_ps(tile + t * ROWS);
        b[t] = _mm256_loadu_ps(tile + t * ROWS + 8);
    }
    for (int i = 0; i < n; i++, w += ROWS, x += FLOAT_SIX) {
        __m256 u = _mm256_loadu_ps(w), v = _mm256_loadu_ps(w + 8);
        EACH_SIX {
            __m256 xv = _mm256_broadcast_ss(x + t);
            a[t] = _mm256_fmadd_ps(u, xv, a[t]);
            b[t] = _mm256_fmadd_ps(v, xv, b[t]);
        }
    }
    EACH_SIX {
        _mm256_storeu_ps(tile + t * ROWS, a[t]);
        _mm256_storeu_ps(tile + t * ROWS + 8, b[t]);
    }
}

static void float_run(int k, int n_rows, int n_tok, const void *panel, const void *block, float *y,
                      size_t y_stride, bool plus)
{
    float tile[FLOAT_TOKENS * ROWS] = {0};
    for (int at = 0; at < k; at += FLOAT_STRETCH) {
        int n = k - at < FLOAT_STRETCH ? k - at : FLOAT_STRETCH;
        for (int t = 0; t < n_tok; t += FLOAT_SIX) {
            const float *x = block;
            x += (size_t)t * (size_t)k + (size_t)at * FLOAT_SIX;
            float_micro(n, (const float *)panel + (size_t)at * ROWS, x, tile + t * ROWS);
        }
    }
    store_tile(tile, n_rows, n_tok, y, y_stride, plus);
}

static const struct gemm_kernel gemm_4_bits = {
    .rows = ROWS, .tokens = TOKENS, .panel_bytes = panel_bytes_32, .block_bytes = block_bytes,
    .pack_x = pack_x, .pack_w = pack_w, .run = run_4_bits,
};

static const struct gemm_kernel gemm_5_bits = {
    .rows = ROWS, .tokens = TOKENS, .panel_bytes = panel_bytes_32, .block_bytes = block_bytes,
    .pack_x = pack_x, .pack_w = pack_w, .run = run_5_bits,
};

static const struct gemm_kernel gemm_8_bits = {
    .rows = ROWS, .tokens = TOKENS, .panel_bytes = panel_bytes_32, .block_bytes = block_bytes,
    .pack_x = pack_x, .pack_w = pack_w, .run = run_8_bits,
};

static const struct gemm_kernel gemm_3_bits = {
    .rows = ROWS, .tokens = TOKENS, .panel_bytes = panel_bytes_16, .block_bytes = block_bytes,
    .pack_x = pack_x, .pack_w = pack_w, .run = run_3_bits,
};

static const struct gemm_kernel gemm_6_bits = {
    .rows = ROWS, .tokens = TOKENS, .panel_bytes = panel_bytes_16, .block_bytes = block_bytes,
    .pack_x = pack_x, .pack_w = pack_w, .run = run_6_bits,
};

static const struct gemm_kernel gemm_float = {
    .rows = ROWS, .tokens = FLOAT_TOKENS, .panel_bytes = float_panel_bytes,
    .block_bytes = float_block_bytes, .pack_x = float_pack_x, .pack_w = float_pack_w,
    .run = float_run,
};

void avx2_fill_gemm(struct kernels *table)
{
    static const struct gemm_kernel *const gemm[TENSOR_TYPE_COUNT] = {
        [TENSOR_F32] = &gemm_float, [TENSOR_F16] = &gemm_float, [TENSOR_BF16] = &gemm_float,
        [TENSOR_Q4_0] = &gemm_4_bits, [TENSOR_Q4_1] = &gemm_4_bits, [TENSOR_Q4_K] = &gemm_4_bits,
        [TENSOR_Q5_0] = &gemm_5_bits, [TENSOR_Q5_1] = &gemm_5_bits, [TENSOR_Q5_K] = &gemm_5_bits,
        [TENSOR_Q8_0] = &gemm_8_bits, [TENSOR_Q2_K] = &gemm_3_bits, [TENSOR_Q3_K] = &gemm_3_bits,
        [TENSOR_Q6_K] = &gemm_6_bits};
    memcpy(table->gemm, gemm, sizeof gemm);
}

#endif
