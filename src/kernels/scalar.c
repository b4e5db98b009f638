/*
 * scalar.c: the reference table: every entry in plain C, written to be read. Other tables are
 * tested against it and fall back on it, so it must be right on any machine and for any input.
 */
#include "kernels/scalar.h"
#include "kernels/formats.h"
#include <math.h>

/* sum of 16 products of bytes */
static int dot_bytes(const int8_t *a, const int8_t *b)
{
    int sum = 0;
    for (int i = 0; i < 16; i++)
        sum += a[i] * b[i];
    return sum;
}

/* n values of one row, already integers, with activations from value `at` on */
static float dot_ints(int n, int group, const int8_t *q, const float *d, const float *m,
                      const struct act_row *x, int at)
{
    const int8_t *xq = x->q + at;
    const float *xd = x->d + at / ACT_BLOCK, *xs = x->s + at / ACT_SUM_BLOCK;
    float y = 0;
    if (group == 16) {
        for (int i = 0; i < n / 16; i++)
            y += d[i] * xd[i / 2] * (float)dot_bytes(q + 16 * i, xq + 16 * i) + m[i] * xs[i];
        return y;
    }
    for (int i = 0; i < n / 32; i++) {
        int sum = dot_bytes(q + 32 * i, xq + 32 * i) + dot_bytes(q + 32 * i + 16, xq + 32 * i + 16);
        y += d[i] * xd[i] * (float)sum + m[i] * (xs[2 * i] + xs[2 * i + 1]);
    }
    return y;
}

/* Rows of a type whose 256 values take super_bytes. */
static void dot_rows(unpack_fn unpack, int group, size_t super_bytes, int n_rows, int k,
                     const void *w, size_t row_bytes, const struct act_row *x, float *y)
{
    int8_t q[FORMAT_SUPER];
    float d[FORMAT_SUPER / 16], m[FORMAT_SUPER / 16];
    for (int r = 0; r < n_rows; r++) {
        const unsigned char *row = (const unsigned char *)w + (size_t)r * row_bytes;
        float sum = 0;
        for (int at = 0; at < k; at += FORMAT_SUPER, row += super_bytes) {
            int n = k - at < FORMAT_SUPER ? k - at : FORMAT_SUPER;
            unpack(n, row, q, d, m);
            sum += dot_ints(n, group, q, d, m, x, at);
        }
        y[r] = sum;
    }
}

static void dot_q4_0(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                     float *y)
{
    dot_rows(format_unpack_q4_0, 32, 8 * 18, n_rows, k, w, row_bytes, x, y);
}

static void dot_q4_1(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                     float *y)
{
    dot_rows(format_unpack_q4_1, 32, 8 * 20, n_rows, k, w, row_bytes, x, y);
}

static void dot_q5_0(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                     float *y)
{
    dot_rows(format_unpack_q5_0, 32, 8 * 22, n_rows, k, w, row_bytes, x, y);
}

static void dot_q5_1(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                     float *y)
{
    dot_rows(format_unpack_q5_1, 32, 8 * 24, n_rows, k, w, row_bytes, x, y);
}

static void dot_q8_0(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                     float *y)
{
    dot_rows(format_unpack_q8_0, 32, 8 * 34, n_rows, k, w, row_bytes, x, y);
}

static void dot_q2_k(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                     float *y)
{
    dot_rows(format_unpack_q2_k, 16, 84, n_rows, k, w, row_bytes, x, y);
}

static void dot_q3_k(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                     float *y)
{
    dot_rows(format_unpack_q3_k, 16, 110, n_rows, k, w, row_bytes, x, y);
}

static void dot_q4_k(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                     float *y)
{
    dot_rows(format_unpack_q4_k, 32, 144, n_rows, k, w, row_bytes, x, y);
}

static void dot_q5_k(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                     float *y)
{
    dot_rows(format_unpack_q5_k, 32, 176, n_rows, k, w, row_bytes, x, y);
}

static void dot_q6_k(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                     float *y)
{
    dot_rows(format_unpack_q6_k, 16, 210, n_rows, k, w, row_bytes, x, y);
}

/* Eight running sums: closer to the exact sum than one, and quicker. */
static float dot_floats(int k, const float *a, const float *b)
{
    float sum[8] = {0};
    int i = 0;
    for (; i + 8 <= k; i += 8)
        for (int j = 0; j < 8; j++)
            sum[j] += a[i + j] * b[i + j];
    for (; i < k; i++)
        sum[i % 8] += a[i] * b[i];
    return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

/* Rows of F32, F16 or BF16, 256 values at a time through a buffer. */
static void dot_float_rows(enum tensor_type type, size_t value_bytes, int n_rows, int k,
                           const void *w, size_t row_bytes, const struct act_row *x, float *y)
{
    float buffer[FORMAT_SUPER];
    for (int r = 0; r < n_rows; r++) {
        const unsigned char *row = (const unsigned char *)w + (size_t)r * row_bytes;
        float sum = 0;
        for (int at = 0; at < k; at += FORMAT_SUPER) {
            int n = k - at < FORMAT_SUPER ? k - at : FORMAT_SUPER;
            scalar_dequantize(type, n, row + (size_t)at * value_bytes, buffer);
            sum += dot_floats(n, buffer, x->f + at);
        }
        y[r] = sum;
    }
}

static void dot_f32(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                    float *y)
{
    dot_float_rows(TENSOR_F32, 4, n_rows, k, w, row_bytes, x, y);
}

static void dot_f16(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                    float *y)
{
    dot_float_rows(TENSOR_F16, 2, n_rows, k, w, row_bytes, x, y);
}

static void dot_bf16(int n_rows, int k, const void *w, size_t row_bytes, const struct act_row *x,
                     float *y)
{
    dot_float_rows(TENSOR_BF16, 2, n_rows, k, w, row_bytes, x, y);
}

static void dequantize_ints(enum tensor_type type, int k, const void *w, float *y)
{
    unpack_fn unpack = scalar_unpack(type);
    int group = format_group(type);
    size_t super_bytes = tensor_row_bytes(type, FORMAT_SUPER);
    const unsigned char *row = w;
    int8_t q[FORMAT_SUPER];
    float d[FORMAT_SUPER / 16], m[FORMAT_SUPER / 16];
    for (int at = 0; at < k; at += FORMAT_SUPER, row += super_bytes) {
        int n = k - at < FORMAT_SUPER ? k - at : FORMAT_SUPER;
        unpack(n, row, q, d, m);
        for (int i = 0; i < n; i++)
            y[at + i] = d[i / group] * (float)q[i] + m[i / group];
    }
}

void scalar_dequantize(enum tensor_type type, int k, const void *w, float *y)
{
    const unsigned char *bytes = w;
    if (type == TENSOR_F32)
        memcpy(y, w, (size_t)k * 4);
    else if (type == TENSOR_F16)
        for (int i = 0; i < k; i++)
            y[i] = format_scale(bytes + 2 * (size_t)i);
    else if (type == TENSOR_BF16)
        for (int i = 0; i < k; i++)
            y[i] = format_bf16_float(format_u16(bytes + 2 * (size_t)i));
    else
        dequantize_ints(type, k, w, y);
}

/* One block of 32. Blocks too small to divide by (below 1e-30) are zero. */
static void quantize_block(const float *x, int8_t *q, float *d, float *s)
{
    float most = 0;
    for (int i = 0; i < ACT_BLOCK; i++)
        most = fmaxf(most, fabsf(x[i]));
    bool zero = !(most > 1e-30f);
    float inverse = zero ? 0 : 127 / most;
    *d = zero ? 0 : most / 127;
    for (int half = 0; half < 2; half++) {
        int sum = 0;
        for (int i = 16 * half; i < 16 * half + 16; i++) {
            q[i] = (int8_t)lrintf(x[i] * inverse);
            sum += q[i];
        }
        s[half] = *d * (float)sum;
    }
}

void scalar_act_quantize(int k, const float *x, int8_t *q, float *d, float *s)
{
    for (int i = 0; i < k / ACT_BLOCK; i++)
        quantize_block(x + 32 * i, q + 32 * i, d + i, s + 2 * i);
}

static void rms_norm(int n, const float *x, const float *w, float eps, float *y)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (double)x[i] * x[i];
    float scale = (float)(1 / sqrt(sum / n + (double)eps));
    for (int i = 0; i < n; i++)
        y[i] = x[i] * scale * w[i];
}

static void rotate(float *a, float *b, float c, float s)
{
    float x = *a, y = *b;
    *a = x * c - y * s;
    *b = x * s + y * c;
}

static void rope(bool neox, int n_heads, int head_dim, int rope_dims, const float *cos,
                 const float *sin, float *x)
{
    int half = rope_dims / 2;
    for (int h = 0; h < n_heads; h++, x += head_dim)
        for (int i = 0; i < half; i++)
            if (neox)
                rotate(x + i, x + i + half, cos[i], sin[i]);
            else
                rotate(x + 2 * i, x + 2 * i + 1, cos[i], sin[i]);
}

static void silu_mul(int n, const float *gate, const float *up, float *y)
{
    for (int i = 0; i < n; i++)
        y[i] = gate[i] / (1 + expf(-gate[i])) * up[i];
}

static void add(int n, const float *x, float *y)
{
    for (int i = 0; i < n; i++)
        y[i] += x[i];
}

static void to_f16(int n, const float *x, uint16_t *y)
{
    for (int i = 0; i < n; i++)
        y[i] = format_float_f16(x[i]);
}

static const struct kernels table = {
    .name = "scalar",
    .dot = {[TENSOR_F32] = dot_f32, [TENSOR_F16] = dot_f16, [TENSOR_BF16] = dot_bf16,
            [TENSOR_Q4_0] = dot_q4_0, [TENSOR_Q4_1] = dot_q4_1, [TENSOR_Q5_0] = dot_q5_0,
            [TENSOR_Q5_1] = dot_q5_1, [TENSOR_Q8_0] = dot_q8_0, [TENSOR_Q2_K] = dot_q2_k,
            [TENSOR_Q3_K] = dot_q3_k, [TENSOR_Q4_K] = dot_q4_k, [TENSOR_Q5_K] = dot_q5_k,
            [TENSOR_Q6_K] = dot_q6_k},
    .unpack = {[TENSOR_Q4_0] = format_unpack_q4_0, [TENSOR_Q4_1] = format_unpack_q4_1,
               [TENSOR_Q5_0] = format_unpack_q5_0, [TENSOR_Q5_1] = format_unpack_q5_1,
               [TENSOR_Q8_0] = format_unpack_q8_0, [TENSOR_Q2_K] = format_unpack_q2_k,
               [TENSOR_Q3_K] = format_unpack_q3_k, [TENSOR_Q4_K] = format_unpack_q4_k,
               [TENSOR_Q5_K] = format_unpack_q5_k, [TENSOR_Q6_K] = format_unpack_q6_k},
    .gemm = {[TENSOR_F32] = &scalar_gemm_float, [TENSOR_F16] = &scalar_gemm_float,
             [TENSOR_BF16] = &scalar_gemm_float, [TENSOR_Q4_0] = &scalar_gemm_quant,
             [TENSOR_Q4_1] = &scalar_gemm_quant, [TENSOR_Q5_0] = &scalar_gemm_quant,
             [TENSOR_Q5_1] = &scalar_gemm_quant, [TENSOR_Q8_0] = &scalar_gemm_quant,
             [TENSOR_Q2_K] = &scalar_gemm_quant, [TENSOR_Q3_K] = &scalar_gemm_quant,
             [TENSOR_Q4_K] = &scalar_gemm_quant, [TENSOR_Q5_K] = &scalar_gemm_quant,
             [TENSOR_Q6_K] = &scalar_gemm_quant},
    .gemm_min_tokens = 8,
    .dequantize = scalar_dequantize,
    .act_quantize = scalar_act_quantize,
    .rms_norm = rms_norm,
    .rope = rope,
    .silu_mul = silu_mul,
    .add = add,
    .to_f16 = to_f16,
    .score = {scalar_score_int8, scalar_score_int4, scalar_score_f16},
    .attend = scalar_attend,
    .attn_scratch_bytes = scalar_attn_scratch_bytes,
};

unpack_fn scalar_unpack(enum tensor_type type)
{
    return table.unpack[type];
}

const struct kernels *kernels_scalar(void)
{
    return &table;
}
