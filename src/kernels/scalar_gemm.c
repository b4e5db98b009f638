/*
 * scalar_gemm.c: the packed matrix product in plain C, for quantised and for float weights. A panel
 * holds unpacked rows one after the other, a block of activations its tokens likewise; every group
 * of a quantised row is brought to 16 values, so that one loop serves all formats.
 */
#include "kernels/formats.h"
#include "kernels/scalar.h"

enum { ROWS = 4, TOKENS = 4 };

/* A packed quantised row, weights or activations: k bytes, then k / 16 scales, then k / 16 minima
 * (weights) or sums (activations). k is a multiple of 32, so the floats are aligned. */
static size_t quant_row_bytes(int k)
{
    return (size_t)k + (size_t)k / 16 * 2 * sizeof(float);
}

static size_t quant_bytes(int k)
{
    return ROWS * quant_row_bytes(k);
}

static float *quant_scales(int k, void *row)
{
    return (float *)((unsigned char *)row + k);
}

static void quant_pack_x(int k, int n_tok, const float *x, size_t x_stride, void *block)
{
    unsigned char *row = block;
    for (int t = 0; t < n_tok; t++, row += quant_row_bytes(k)) {
        float *d = quant_scales(k, row);
        scalar_act_quantize(k, x + (size_t)t * x_stride, (int8_t *)row, d, d + k / 16);
        for (int i = k / 16 - 1; i >= 0; i--) /* one scale per 32 to one per 16, from the end */
            d[i] = d[i / 2];
    }
    memset(row, 0, (size_t)(TOKENS - n_tok) * quant_row_bytes(k));
}

static void quant_pack_w(const struct tensor *w, int first_row, int n_rows, void *panel)
{
    int k = w->n_cols, group = format_group(w->type);
    unsigned char *row = panel;
    for (int r = 0; r < n_rows; r++, row += quant_row_bytes(k)) {
        const unsigned char *from = (const unsigned char *)w->data;
        float *d = quant_scales(k, row), *m = d + k / 16;
        from += (size_t)(first_row + r) * w->row_bytes;
        scalar_unpack(w->type)(k, from, (int8_t *)row, d, m);
        for (int i = k / 16 - 1; group == 32 && i >= 0; i--) {
            d[i] = d[i / 2];
            m[i] = m[i / 2];
        }
    }
    memset(row, 0, (size_t)(ROWS - n_rows) * quant_row_bytes(k));
}

static float quant_dot(int k, const unsigned char *w, const unsigned char *x)
{
    const int8_t *wq = (const int8_t *)w, *xq = (const int8_t *)x;
    const float *wd = (const float *)(w + k), *xd = (const float *)(x + k);
    const float *wm = wd + k / 16, *xs = xd + k / 16;
    float y = 0;
    for (int i = 0; i < k / 16; i++) {
        int sum = 0;
        for (int j = 16 * i; j < 16 * i + 16; j++)
            sum += wq[j] * xq[j];
        y += wd[i] * xd[i] * (float)sum + wm[i] * xs[i];
    }
    return y;
}

static void quant_run(int k, int n_rows, int n_tok, const void *panel, const void *block, float *y,
                      size_t y_stride, bool plus)
{
    for (int t = 0; t < n_tok; t++)
        for (int r = 0; r < n_rows; r++) {
            const unsigned char *w = (const unsigned char *)panel + (size_t)r * quant_row_bytes(k);
            const unsigned char *x = (const unsigned char *)block + (size_t)t * quant_row_bytes(k);
            float *to = y + (size_t)t * y_stride + r;
            *to = quant_dot(k, w, x) + (plus ? *to : 0);
        }
}

static size_t float_bytes(int k)
{
    return ROWS * (size_t)k * sizeof(float);
}

static void float_pack_x(int k, int n_tok, const float *x, size_t x_stride, void *block)
{
    float *to = block;
    for (int t = 0; t < n_tok; t++, to += k)
        memcpy(to, x + (size_t)t * x_stride, (size_t)k * sizeof(float));
    memset(to, 0, (size_t)(TOKENS - n_tok) * (size_t)k * sizeof(float));
}

static void float_pack_w(const struct tensor *w, int first_row, int n_rows, void *panel)
{
    const unsigned char *from = (const unsigned char *)w->data + (size_t)first_row * w->row_bytes;
    float *to = panel;
    for (int r = 0; r < n_rows; r++, to += w->n_cols)
        scalar_dequantize(w->type, w->n_cols, from + (size_t)r * w->row_bytes, to);
    memset(to, 0, (size_t)(ROWS - n_rows) * (size_t)w->n_cols * sizeof(float));
}

static void float_run(int k, int n_rows, int n_tok, const void *panel, const void *block, float *y,
                      size_t y_stride, bool plus)
{
    for (int t = 0; t < n_tok; t++)
        for (int r = 0; r < n_rows; r++) {
            const float *w = (const float *)panel + (size_t)r * (size_t)k;
            const float *x = (const float *)block + (size_t)t * (size_t)k;
            float *to = y + (size_t)t * y_stride + r, sum[4] = {0};
            for (int i = 0; i < k; i++)
                sum[i % 4] += w[i] * x[i];
            *to = (sum[0] + sum[1]) + (sum[2] + sum[3]) + (plus ? *to : 0);
        }
}

const struct gemm_kernel scalar_gemm_quant = {
    .rows = ROWS, .tokens = TOKENS, .panel_bytes = quant_bytes, .block_bytes = quant_bytes,
    .pack_x = quant_pack_x, .pack_w = quant_pack_w, .run = quant_run,
};

const struct gemm_kernel scalar_gemm_float = {
    .rows = ROWS, .tokens = TOKENS, .panel_bytes = float_bytes, .block_bytes = float_bytes,
    .pack_x = float_pack_x, .pack_w = float_pack_w, .run = float_run,
};
