/*
 * test_quantize.c: the encoders against decoders written here from the format tables, in another
 * shape than the encoders (one value at a time), so that a mistake in one does not hide in the
 * other.
 */
#include "model/quantize.h"

#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 2048, MAX_BYTES = N * 4 };

static float half(const unsigned char *at)
{
    int bits = at[0] | at[1] << 8, exponent = bits >> 10 & 31, fraction = bits & 1023;
    float x = exponent == 0 ? ldexpf((float)fraction, -24)
              : exponent == 31 ? (fraction ? NAN : INFINITY)
                               : ldexpf((float)(1024 + fraction), exponent - 25);
    return bits & 0x8000 ? -x : x;
}

static int nibble(const unsigned char *q, int i)
{
    return i < 16 ? q[i] & 15 : q[i - 16] >> 4;
}

static int high_bit(const unsigned char *bits, int i)
{
    return bits[i / 8] >> i % 8 & 1;
}

/* The 6-bit scale (or minimum) j of Q4_K and Q5_K. */
static int scale6(const unsigned char *s, int j, bool minimum)
{
    if (j < 4)
        return s[minimum ? j + 4 : j] & 63;
    int low = minimum ? s[j + 4] >> 4 : s[j + 4] & 15;
    return low | s[minimum ? j : j - 4] >> 6 << 4;
}

static float value_2_k(const unsigned char *b, int i)
{
    int q = b[16 + i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3, s = b[i / 16];
    return half(b + 80) * (float)((s & 15) * q) - half(b + 82) * (float)(s >> 4);
}

static float value_3_k(const unsigned char *b, int i)
{
    int q = b[32 + i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3, s = i / 16;
    q -= b[i % 32] >> i / 32 & 1 ? 0 : 4;
    int low = s < 8 ? b[96 + s] & 15 : b[96 + s - 8] >> 4;
    int scale = low | (b[104 + s % 4] >> s / 4 * 2 & 3) << 4;
    return half(b + 108) * (float)(scale - 32) * (float)q;
}

static float value_45_k(const unsigned char *b, int i, bool five)
{
    const unsigned char *qs = b + (five ? 48 : 16);
    int byte = qs[i / 64 * 32 + i % 32], q = i % 64 < 32 ? byte & 15 : byte >> 4;
    if (five)
        q |= (b[16 + i % 32] >> i / 32 & 1) << 4;
    return half(b) * (float)(scale6(b + 4, i / 32, false) * q) -
           half(b + 2) * (float)scale6(b + 4, i / 32, true);
}

static float value_6_k(const unsigned char *b, int i)
{
    int h = i / 128, j = i % 128 / 32, l = i % 32;
    int low = b[h * 64 + l + j % 2 * 32] >> j / 2 * 4 & 15;
    int q = (low | (b[128 + h * 32 + l] >> j * 2 & 3) << 4) - 32;
    return half(b + 208) * (float)(signed char)b[192 + i / 16] * (float)q;
}

/* Value i of one block. */
static float value(enum tensor_type type, const unsigned char *b, int i)
{
    uint32_t bits;
    float x;
    switch (type) {
    case TENSOR_F32:
        memcpy(&x, b, sizeof x);
        return x;
    case TENSOR_F16:
        return half(b);
    case TENSOR_BF16:
        bits = (uint32_t)b[0] << 16 | (uint32_t)b[1] << 24;
        memcpy(&x, &bits, sizeof x);
        return x;
    case TENSOR_Q4_0:
        return half(b) * (float)(nibble(b + 2, i) - 8);
    case TENSOR_Q4_1:
        return half(b) * (float)nibble(b + 4, i) + half(b + 2);
    case TENSOR_Q5_0:
        return half(b) * (float)((nibble(b + 6, i) | high_bit(b + 2, i) << 4) - 16);
    case TENSOR_Q5_1:
        return half(b) * (float)(nibble(b + 8, i) | high_bit(b + 4, i) << 4) + half(b + 2);
    case TENSOR_Q8_0:
        return half(b) * (float)(signed char)b[2 + i];
    case TENSOR_Q2_K:
        return value_2_k(b, i);
    case TENSOR_Q3_K:
        return value_3_k(b, i);
    case TENSOR_Q4_K:
        return value_45_k(b, i, false);
    case TENSOR_Q5_K:
        return value_45_k(b, i, true);
    default:
        return value_6_k(b, i);
    }
}

/* Root mean square error of a round trip, relative to that of the values. */
static double relative_error(enum tensor_type type, const float *x)
{
    static unsigned char out[MAX_BYTES + 1];
    const struct tensor_type_info *info = tensor_type_info(type);
    size_t bytes = tensor_row_bytes(type, N);
    double error = 0, size = 0;
    out[bytes] = 0xa5;
    quantize_row(type, N, x, out);
    assert_int_equal(out[bytes], 0xa5);
    for (int i = 0; i < N; i++) {
        double y = value(type, out + i / info->block * info->bytes, i % info->block);
        error += (y - x[i]) * (y - x[i]);
        size += (double)x[i] * x[i];
    }
    return size > 0 ? sqrt(error / size) : error;
}

/* A little above what normal values give; an error in one bit of the layout gives 0.5 and more. */
static const struct {
    enum tensor_type type;
    double bound;
} types[] = {
    {TENSOR_F32, 0},       {TENSOR_F16, 0.0004},  {TENSOR_BF16, 0.002}, {TENSOR_Q8_0, 0.006},
    {TENSOR_Q4_0, 0.095},  {TENSOR_Q4_1, 0.085},  {TENSOR_Q5_0, 0.047}, {TENSOR_Q5_1, 0.042},
    {TENSOR_Q2_K, 0.36},   {TENSOR_Q3_K, 0.17},   {TENSOR_Q4_K, 0.086}, {TENSOR_Q5_K, 0.042},
    {TENSOR_Q6_K, 0.021},
};
enum { N_TYPES = sizeof types / sizeof types[0] };

static void test_normal_values_come_back(void **state)
{
    static const float deviations[] = {0.004f, 0.02f, 1, 50};
    float x[N];
    struct rng rng;
    (void)state;
    rng_seed(&rng, 3);
    for (int k = 0; k < 4; k++) {
        for (int i = 0; i < N; i++)
            x[i] = deviations[k] * rng_normal(&rng);
        for (int t = 0; t < N_TYPES; t++) {
            double e = relative_error(types[t].type, x);
            if (e > types[t].bound)
                fail_msg("seed 3: %s: relative error %.4f at deviation %g, at most %.4f",
                         tensor_type_name(types[t].type), e, (double)deviations[k], types[t].bound);
        }
    }
}

/* Sub-blocks of very different size: scales of sub-blocks matter. */
static void test_uneven_values_come_back(void **state)
{
    float x[N];
    struct rng rng;
    (void)state;
    rng_seed(&rng, 4);
    for (int i = 0; i < N; i++)
        x[i] = rng_normal(&rng) * (float)(1 + i / 16 % 7);
    for (int t = 0; t < N_TYPES; t++) {
        double e = relative_error(types[t].type, x), bound = 1.5 * types[t].bound;
        if (e > bound)
            fail_msg("seed 4: %s: relative error %.4f", tensor_type_name(types[t].type), e);
    }
}

static void test_values_of_one_sign(void **state)
{
    float x[N];
    struct rng rng;
    (void)state;
    rng_seed(&rng, 5);
    for (int sign = -1; sign <= 1; sign += 2) {
        for (int i = 0; i < N; i++)
            x[i] = (float)sign * (rng_float(&rng) + 0.25f);
        for (int t = 0; t < N_TYPES; t++) {
            double e = relative_error(types[t].type, x);
            if (e > 1.5 * types[t].bound)
                fail_msg("seed 5: %s: relative error %.4f, sign %d",
                         tensor_type_name(types[t].type), e, sign);
        }
    }
}

static void test_constant_rows(void **state)
{
    static const float constants[] = {0, 1, -1, 1e-6f, 1e-30f, -100};
    float x[N];
    (void)state;
    for (int k = 0; k < 6; k++) {
        for (int i = 0; i < N; i++)
            x[i] = constants[k];
        for (int t = 0; t < N_TYPES; t++) {
            double e = relative_error(types[t].type, x);
            /* What is below half precision's range becomes zero: an error of all of it. */
            assert_true(isfinite(e) && e <= (fabsf(x[0]) < 1e-4f ? 1.2 : 0.07));
        }
    }
}

static void test_half_precision_borders(void **state)
{
    static const struct {
        float x;
        uint16_t bits;
    } cases[] = {
        {0, 0}, {-0.0f, 0x8000}, {1, 0x3c00}, {-2, 0xc000}, {65504, 0x7bff}, {65519, 0x7bff},
        {65520, 0x7c00}, {INFINITY, 0x7c00}, {-INFINITY, 0xfc00}, {0x1p-14f, 0x0400},
        {0x1p-24f, 0x0001}, {0x1p-25f, 0x0000}, {0x1.8p-25f, 0x0001}, {0x1.ff8p-15f, 0x03ff},
        {0x1.ffcp-15f, 0x0400}, {0x1.002p0f, 0x3c00}, {0x1.006p0f, 0x3c02}, {0x1.0021p0f, 0x3c01},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(quantize_f16(cases[i].x), cases[i].bits);
    assert_int_equal(quantize_f16(NAN) & 0x7c00, 0x7c00);
    assert_int_not_equal(quantize_f16(NAN) & 0x3ff, 0);
}

static void test_bfloat_borders(void **state)
{
    (void)state;
    assert_int_equal(quantize_bf16(1), 0x3f80);
    assert_int_equal(quantize_bf16(0x1.01p0f), 0x3f80);
    assert_int_equal(quantize_bf16(0x1.03p0f), 0x3f82);
    assert_int_equal(quantize_bf16(-INFINITY), 0xff80);
    assert_int_not_equal(quantize_bf16(NAN) & 0x7f, 0);
}

static void test_type_names(void **state)
{
    (void)state;
    for (int t = 0; t < N_TYPES; t++)
        assert_int_equal(tensor_type_from_name(tensor_type_name(types[t].type)), types[t].type);
    assert_int_equal(tensor_type_from_name("q4_k_m"), TENSOR_Q4_K);
    assert_int_equal(tensor_type_from_name("Q3_K_L"), TENSOR_Q3_K);
    assert_int_equal(tensor_type_from_name("Q4_K_"), -1);
    assert_int_equal(tensor_type_from_name("Q4_0_M"), -1);
    assert_int_equal(tensor_type_from_name("IQ4_NL"), -1);
    assert_string_equal(tensor_type_name(77), "type 77");
    assert_string_equal(tensor_type_name(16), "IQ2_XXS");
    assert_null(tensor_type_info(16));
}

static void test_row_bytes(void **state)
{
    (void)state;
    assert_int_equal(tensor_row_bytes(TENSOR_Q4_K, 512), 288);
    assert_int_equal(tensor_row_bytes(TENSOR_Q4_K, 500), 0);
    assert_int_equal(tensor_row_bytes(TENSOR_F16, 3), 6);
    assert_int_equal(tensor_row_bytes(TENSOR_F32, 0), 0);
    assert_int_equal(tensor_row_bytes(TENSOR_F32, -4), 0);
    assert_int_equal(tensor_row_bytes(TENSOR_F32, INT64_MAX), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_normal_values_come_back),
        cmocka_unit_test(test_uneven_values_come_back),
        cmocka_unit_test(test_values_of_one_sign),
        cmocka_unit_test(test_constant_rows),
        cmocka_unit_test(test_half_precision_borders),
        cmocka_unit_test(test_bfloat_borders),
        cmocka_unit_test(test_type_names),
        cmocka_unit_test(test_row_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
