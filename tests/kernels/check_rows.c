/* check_rows.c: entries that work on one row: unpacking, conversions, norms, rotation, gates. */
#include "check_list.h"
#include "kernels/formats.h"
#include <math.h>
#include <stdlib.h>

/* Row lengths that a type allows, ended by 0. */
static const int *row_lengths(enum tensor_type type)
{
    static const int supers[] = {256, 512, 1280, 0}, blocks[] = {32, 96, 256, 608, 1024, 0};
    static const int any[] = {1, 7, 8, 19, 32, 100, 256, 261, 0};
    int block = tensor_type_info(type)->block;
    return block == 256 ? supers : block == 32 ? blocks : any;
}

static bool near(double a, double b, double tolerance)
{
    return fabs(a - b) <= tolerance; /* false for NaN */
}

static bool unpack_row(struct check *c, enum tensor_type type, enum weight_kind kind, int k)
{
    int n_groups = k / format_group(type);
    struct guarded w = guarded_weights(c, type, kind, 1, k);
    struct guarded q = guarded_new((size_t)k, 1), d = guarded_new((size_t)n_groups * 4, 4);
    struct guarded m = guarded_new((size_t)n_groups * 4, 4), q2 = guarded_new((size_t)k, 1);
    struct guarded d2 = guarded_new((size_t)n_groups * 4, 4);
    struct guarded m2 = guarded_new((size_t)n_groups * 4, 4);
    c->scalar->unpack[type](k, w.data, q.data, d.data, m.data);
    c->table->unpack[type](k, w.data, q2.data, d2.data, m2.data);
    bool ok = true;
    if (memcmp(q.data, q2.data, (size_t)k) != 0)
        ok = check_failed(c, "%s k %d: integers differ", tensor_type_name(type), k);
    for (int i = 0; ok && i < n_groups; i++) {
        float a = ((float *)d.data)[i], b = ((float *)d2.data)[i];
        float low = ((float *)m.data)[i], low2 = ((float *)m2.data)[i];
        if (!near(a, b, 1e-6f * fabsf(a)) || !near(low, low2, 1e-6f * fabsf(low)))
            ok = check_failed(c, "%s k %d group %d: scale %g, want %g; min %g, want %g",
                              tensor_type_name(type), k, i, b, a, low2, low);
    }
    struct guarded *all[] = {&w, &q, &d, &m, &q2, &d2, &m2};
    for (int i = 0; i < 7; i++)
        guarded_free(all[i]);
    return ok;
}

bool check_unpack(struct check *c)
{
    for (int type = 0; type < TENSOR_TYPE_COUNT; type++) {
        if (!check_type(type) || !format_group(type))
            continue;
        if (!c->table->unpack[type])
            return check_failed(c, "%s: no entry", tensor_type_name(type));
        for (const int *k = row_lengths(type); *k; k++)
            for (int kind = WEIGHTS_ANY; kind <= WEIGHTS_TINY; kind++)
                if (!unpack_row(c, type, kind, *k))
                    return false;
    }
    return true;
}

static bool dequantize_row(struct check *c, enum tensor_type type, int k)
{
    struct guarded w = guarded_weights(c, type, WEIGHTS_ANY, 1, k);
    struct guarded a = guarded_new((size_t)k * 4, 4), b = guarded_new((size_t)k * 4, 4);
    c->scalar->dequantize(type, k, w.data, a.data);
    c->table->dequantize(type, k, w.data, b.data);
    bool ok = true;
    for (int i = 0; ok && i < k; i++) {
        /* d q + m may cancel: the tolerance is that of the terms, not of the sum */
        float want = ((float *)a.data)[i], got = ((float *)b.data)[i];
        if (!near(want, got, format_group(type) ? 1e-5 : 0))
            ok = check_failed(c, "%s k %d value %d: %g, want %g", tensor_type_name(type), k, i, got,
                              want);
    }
    guarded_free(&w);
    guarded_free(&a);
    guarded_free(&b);
    return ok;
}

/* Every half-precision number, exactly; NaN to some NaN. */
static bool halves_exact(struct check *c)
{
    struct guarded h = guarded_new(0x10000 * 2, 2), y = guarded_new(0x10000 * 4, 4);
    bool ok = true;
    for (int i = 0; i < 0x10000; i++)
        ((uint16_t *)h.data)[i] = (uint16_t)i;
    c->table->dequantize(TENSOR_F16, 0x10000, h.data, y.data);
    for (int i = 0; ok && i < 0x10000; i++) {
        int exponent = i >> 10 & 31, fraction = i & 0x3ff;
        double size = exponent ? ldexp(0x400 + fraction, exponent - 25) : ldexp(fraction, -24);
        float got = ((float *)y.data)[i];
        if (exponent == 31)
            size = INFINITY;
        if (exponent == 31 && fraction ? !isnan(got) : got != (i & 0x8000 ? -size : size))
            ok = check_failed(c, "half 0x%04x became %g", i, got);
    }
    guarded_free(&h);
    guarded_free(&y);
    return ok;
}

bool check_dequantize(struct check *c)
{
    if (!halves_exact(c))
        return false;
    for (int type = 0; type < TENSOR_TYPE_COUNT; type++) {
        if (!check_type(type))
            continue;
        for (const int *k = row_lengths(type); *k; k++)
            if (!dequantize_row(c, type, *k))
                return false;
    }
    return true;
}

static bool act_block_right(struct check *c, const float *x, const int8_t *q, float d,
                            const float *s)
{
    float most = 0;
    for (int i = 0; i < 32; i++)
        most = fmaxf(most, fabsf(x[i]));
    if (most > 1e-30f && !near(d, most / 127, 1e-6f * most / 127))
        return check_failed(c, "scale %g for a maximum of %g", d, most);
    for (int half = 0; half < 2; half++) {
        int sum = 0;
        for (int i = 16 * half; i < 16 * half + 16; i++) {
            sum += q[i];
            if (abs(q[i]) > 127 || !near((double)q[i] * d, x[i], 0.50001 * d + 1e-30))
                return check_failed(c, "%g became %d * %g", x[i], q[i], d);
        }
        if (!near(s[half], (double)d * sum, 1e-6 * fabs((double)d * sum)))
            return check_failed(c, "sum %g, want %g", s[half], (double)d * sum);
    }
    return true;
}

bool check_act_quantize(struct check *c)
{
    static const float sizes[] = {1, 1e-3f, 1e4f, 0, 1e-33f, 1e30f};
    for (int n = 1; n <= 9; n += 2)
        for (int i = 0; i < 6; i++) {
            struct guarded x = guarded_floats(c, (size_t)n * 32, sizes[i], 4);
            struct guarded q = guarded_new((size_t)n * 32, 64);
            struct guarded d = guarded_new((size_t)n * 4, 4), s = guarded_new((size_t)n * 8, 4);
            bool ok = true;
            c->table->act_quantize(n * 32, x.data, q.data, d.data, s.data);
            for (int b = 0; ok && b < n; b++)
                ok = act_block_right(c, (float *)x.data + 32 * b, (int8_t *)q.data + 32 * b,
                                     ((float *)d.data)[b], (float *)s.data + 2 * b);
            guarded_free(&x);
            guarded_free(&q);
            guarded_free(&d);
            guarded_free(&s);
            if (!ok)
                return false;
        }
    return true;
}

/* Compare n floats; the tolerance is relative, with `floor` added. */
static bool same_floats(struct check *c, const char *what, int n, const float *got,
                        const float *want, double relative, double floor)
{
    for (int i = 0; i < n; i++)
        if (!near(got[i], want[i], relative * fabs((double)want[i]) + floor))
            return check_failed(c, "%s n %d value %d: %.9g, want %.9g", what, n, i, got[i],
                                want[i]);
    return true;
}

bool check_rms_norm(struct check *c)
{
    static const int lengths[] = {1, 5, 8, 31, 64, 100, 288, 2048, 4099};
    for (int i = 0; i < 9; i++) {
        int n = lengths[i];
        struct guarded x = guarded_floats(c, (size_t)n, 3, 4);
        struct guarded w = guarded_floats(c, (size_t)n, 1, 4);
        struct guarded a = guarded_new((size_t)n * 4, 4), b = guarded_new((size_t)n * 4, 4);
        c->scalar->rms_norm(n, x.data, w.data, 1e-5f, a.data);
        c->table->rms_norm(n, x.data, w.data, 1e-5f, b.data);
        bool ok = same_floats(c, "rms_norm", n, b.data, a.data, 2e-6, 1e-30);
        c->table->rms_norm(n, x.data, w.data, 1e-5f, x.data);
        ok = ok && same_floats(c, "rms_norm in place", n, x.data, a.data, 2e-6, 1e-30);
        guarded_free(&x);
        guarded_free(&w);
        guarded_free(&a);
        guarded_free(&b);
        if (!ok)
            return false;
    }
    return true;
}

static bool rope_heads(struct check *c, bool neox, int n_heads, int head_dim, int rope_dims)
{
    int n = n_heads * head_dim, half = rope_dims / 2;
    struct guarded a = guarded_floats(c, (size_t)n, 1, 4), b = guarded_new((size_t)n * 4, 4);
    struct guarded cosine = guarded_new((size_t)half * 4, 4);
    struct guarded sine = guarded_new((size_t)half * 4, 4);
    for (int i = 0; i < half; i++) {
        float angle = 6.2831853f * rng_float(&c->rng);
        ((float *)cosine.data)[i] = cosf(angle);
        ((float *)sine.data)[i] = sinf(angle);
    }
    memcpy(b.data, a.data, (size_t)n * 4);
    c->scalar->rope(neox, n_heads, head_dim, rope_dims, cosine.data, sine.data, a.data);
    c->table->rope(neox, n_heads, head_dim, rope_dims, cosine.data, sine.data, b.data);
    bool ok = same_floats(c, neox ? "rope neox" : "rope", n, b.data, a.data, 1e-6, 1e-6);
    guarded_free(&a);
    guarded_free(&b);
    guarded_free(&cosine);
    guarded_free(&sine);
    return ok;
}

bool check_rope(struct check *c)
{
    static const int shapes[][3] = {{1, 8, 8},     {3, 64, 64}, {4, 128, 128}, {2, 80, 80},
                                    {5, 96, 48},   {2, 64, 20}, {1, 128, 32},  {3, 10, 6},
                                    {2, 256, 256}, {1, 2, 2}};
    for (int i = 0; i < 10; i++)
        for (int neox = 0; neox < 2; neox++)
            if (!rope_heads(c, neox, shapes[i][0], shapes[i][1], shapes[i][2]))
                return false;
    return true;
}

bool check_silu_mul(struct check *c)
{
    static const int lengths[] = {1, 7, 16, 33, 172, 1000};
    static const float sizes[] = {1, 10, 100, 1000, 1e-4f};
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 5; j++) {
            int n = lengths[i];
            struct guarded g = guarded_floats(c, (size_t)n, sizes[j], 4);
            struct guarded up = guarded_floats(c, (size_t)n, 1, 4);
            struct guarded a = guarded_new((size_t)n * 4, 4), b = guarded_new((size_t)n * 4, 4);
            c->scalar->silu_mul(n, g.data, up.data, a.data);
            c->table->silu_mul(n, g.data, up.data, b.data);
            bool ok = same_floats(c, "silu_mul", n, b.data, a.data, 2e-6, 1e-30);
            guarded_free(&g);
            guarded_free(&up);
            guarded_free(&a);
            guarded_free(&b);
            if (!ok)
                return false;
        }
    return true;
}

bool check_add(struct check *c)
{
    for (int n = 1; n < 300; n += n < 40 ? 1 : 37) {
        struct guarded x = guarded_floats(c, (size_t)n, 1, 4);
        struct guarded y = guarded_floats(c, (size_t)n, 1, 4);
        struct guarded a = guarded_new((size_t)n * 4, 4);
        memcpy(a.data, y.data, (size_t)n * 4);
        c->scalar->add(n, x.data, a.data);
        c->table->add(n, x.data, y.data);
        bool ok = same_floats(c, "add", n, y.data, a.data, 0, 0);
        guarded_free(&x);
        guarded_free(&y);
        guarded_free(&a);
        if (!ok)
            return false;
    }
    return true;
}

/* Low-rank scores of one type and shape; extreme bytes among the random. */
static bool score_shape(struct check *c, enum score_type type, int rank, int group)
{
    int n = 1 + (int)rng_below(&c->rng, 9);
    bool f16 = type == SCORE_F16;
    size_t bytes = (size_t)(n * group) * score_row_bytes(type, rank);
    struct guarded rows = guarded_new(bytes, 2), q = guarded_new((size_t)rank * (f16 ? 4 : 1), 4);
    struct guarded scales = guarded_new((size_t)n * 2, 2);
    struct guarded a = guarded_new((size_t)n * 4, 4), b = guarded_new((size_t)n * 4, 4);
    struct score_args args = {n, group, rank, rows.data, scales.data, q.data, 0, 0.7f, a.data};
    for (size_t i = 0; i < bytes; i++)
        ((uint8_t *)rows.data)[i] = (uint8_t)(i % 3 ? rng_below(&c->rng, 256) : 255);
    for (size_t i = 0; f16 && i < bytes / 2; i++)
        ((uint16_t *)rows.data)[i] = format_float_f16(rng_normal(&c->rng));
    for (int i = 0; i < n; i++)
        ((uint16_t *)scales.data)[i] = format_float_f16(fabsf(rng_normal(&c->rng)));
    for (int i = 0; i < rank; i++) {
        int v = i % 3 ? (int)rng_below(&c->rng, 255) - 127 : 127;
        args.query_sum += v;
        if (f16)
            ((float *)q.data)[i] = rng_normal(&c->rng);
        else
            ((int8_t *)q.data)[i] = (int8_t)v;
    }
    c->scalar->score[type](&args);
    args.scores = b.data;
    c->table->score[type](&args);
    bool ok = same_floats(c, "score", n, b.data, a.data, 1e-6, f16 ? 1e-4 : 0);
    struct guarded *all[] = {&rows, &q, &scales, &a, &b};
    for (int i = 0; i < 5; i++)
        guarded_free(all[i]);
    return ok;
}

/* All ranks up to 40, then some larger ones. */
bool check_score(struct check *c)
{
    static const int ranks[] = {64, 72, 96, 128, 200, 256, 300}, groups[] = {1, 4, 5, 8, 16, 64};
    for (int type = 0; type < SCORE_TYPES; type++)
        for (int r = 1; r <= 47; r++)
            for (int g = 0; g < 6; g++) {
                int rank = r <= 40 ? r : ranks[r - 41];
                if ((type != SCORE_INT4 || rank % 2 == 0) &&
                    !score_shape(c, (enum score_type)type, rank, groups[g]))
                    return check_failed(c, "score: type %d, rank %d, groups of %d", type, rank,
                                        groups[g]);
            }
    return true;
}

static bool halves_right(struct check *c, int n, const float *x)
{
    struct guarded in = guarded_new((size_t)n * 4, 4), out = guarded_new((size_t)n * 2, 2);
    memcpy(in.data, x, (size_t)n * 4);
    c->table->to_f16(n, in.data, out.data);
    bool ok = true;
    for (int i = 0; ok && i < n; i++) {
        uint16_t got = ((uint16_t *)out.data)[i], want = format_float_f16(x[i]);
        bool nan = isnan(x[i]) && (got & 0x7fff) > 0x7c00;
        if (got != want && !nan)
            ok = check_failed(c, "%.9g became 0x%04x, want 0x%04x", x[i], got, want);
    }
    guarded_free(&in);
    guarded_free(&out);
    return ok;
}

/* Every half-precision number, what lies halfway to the next, and its neighbours. */
bool check_to_f16(struct check *c)
{
    enum { N = 3 * 0x7c00 };
    float *x = malloc(2 * N * sizeof *x);
    if (!x)
        return check_failed(c, "out of memory");
    for (uint16_t h = 0; h < 0x7c00; h++) {
        float f = format_f16_float(h), next = format_f16_float((uint16_t)(h + 1));
        float middle = h == 0x7bff ? 65520 : f / 2 + next / 2;
        x[3 * h] = middle;
        x[3 * h + 1] = nextafterf(middle, 0);
        x[3 * h + 2] = nextafterf(middle, INFINITY);
    }
    for (int i = 0; i < N; i++)
        x[N + i] = -x[i];
    bool ok = halves_right(c, 2 * N, x);
    free(x);
    static const float special[] = {0,         -0.0f, 65504, 65519.99f, 65520, 1e30f,  INFINITY,
                                    -INFINITY, NAN,   6e-8f, 2.9e-8f,   3e-8f, 1e-40f, 1};
    for (int n = 1; ok && n <= 14; n++)
        ok = halves_right(c, n, special + 14 - n);
    return ok;
}
