/*
 * check_products.c: dot products and matrix products of every type, against sums in double of the
 * dequantised weights.
 *
 * Tolerances are fractions of B = sum |w x|. Float dots: 2e-6 B, rounding of sums in single
 * precision. Quantised dots: 1e-5 B of the product with the quantised activations (the offsets of a
 * format, summed apart, cancel); none between several tokens at once and each alone. Matrix products
 * may also keep activations and weights in bfloat16: then 4e-3 B of the product with the
 * unquantised activations.
 */
#include "check_list.h"
#include "kernels/formats.h"
#include <math.h>
#include <stdio.h>

enum { MOST_TOKENS = 9 }; /* of dots: twice four, and one */

/* Activations of n_tok tokens, and what the quantised ones stand for. */
struct acts {
    int k, n_tok;
    size_t stride;
    struct guarded x, q, d, s, seen;
};

static struct acts acts_new(struct check *c, int n_tok, int k, bool extreme)
{
    struct acts a = {.k = k, .n_tok = n_tok, .stride = (size_t)k + 3};
    size_t n = (size_t)(n_tok - 1) * a.stride + (size_t)k;
    a.x = guarded_floats(c, n, 1, n_tok == 1 ? 64 : 4);
    for (size_t i = 0; extreme && i < n; i++)
        ((float *)a.x.data)[i] = rng_below(&c->rng, 8) ? 1 : -1;
    a.q = guarded_new((size_t)k, 64);
    a.d = guarded_new((size_t)k / 32 * 4 + 4, 64);
    a.s = guarded_new((size_t)k / 16 * 4 + 4, 64);
    a.seen = guarded_new((size_t)n_tok * (size_t)k * 4, 4);
    for (int t = 0; t < n_tok && k % 32 == 0; t++) {
        float *seen = (float *)a.seen.data + (size_t)t * (size_t)k;
        c->scalar->act_quantize(k, (float *)a.x.data + (size_t)t * a.stride, a.q.data, a.d.data,
                                a.s.data);
        for (int i = 0; i < k; i++)
            seen[i] = (float)((int8_t *)a.q.data)[i] * ((float *)a.d.data)[i / 32];
    }
    return a;
}

static void acts_free(struct acts *a)
{
    guarded_free(&a->x);
    guarded_free(&a->q);
    guarded_free(&a->d);
    guarded_free(&a->s);
    guarded_free(&a->seen);
}

/* sum w x, and the sum of the terms' sizes */
static double exact(int k, const float *w, const float *x, double *bound)
{
    double sum = 0, sizes = 0;
    for (int i = 0; i < k; i++) {
        sum += (double)w[i] * x[i];
        sizes += fabs((double)w[i] * x[i]);
    }
    *bound = sizes;
    return sum;
}

/* Tables whose matrix products may round to bfloat16. */
static bool keeps_bf16(const struct check *c)
{
    return strcmp(c->table->name, "avx512") == 0 || strcmp(c->table->name, "amx") == 0;
}

static bool dot_rows(struct check *c, enum tensor_type type, enum weight_kind kind, int n_rows,
                     int k)
{
    struct acts a = acts_new(c, 1, k, kind == WEIGHTS_EXTREME);
    struct guarded w = guarded_weights(c, type, kind, n_rows, k);
    struct guarded y = guarded_new((size_t)n_rows * 4, 4), row = guarded_new((size_t)k * 4, 4);
    bool quantised = format_group(type) != 0, ok = true;
    struct act_row x = {a.x.data, quantised ? a.q.data : NULL, a.d.data, a.s.data};
    size_t row_bytes = tensor_row_bytes(type, k);
    c->table->dot[type](n_rows, k, w.data, row_bytes, &x, y.data);
    for (int r = 0; ok && r < n_rows; r++) {
        double bound, want, got = ((float *)y.data)[r];
        c->scalar->dequantize(type, k, (uint8_t *)w.data + (size_t)r * row_bytes, row.data);
        want = exact(k, row.data, quantised ? a.seen.data : a.x.data, &bound);
        double tolerance = (quantised ? 1e-5 : 2e-6) * bound + 1e-30;
        if (!(fabs(got - want) <= tolerance))
            ok = check_failed(c, "%s rows %d k %d row %d: %.9g, want %.9g +- %.2g",
                              tensor_type_name(type), n_rows, k, r, got, want, tolerance);
    }
    acts_free(&a);
    guarded_free(&w);
    guarded_free(&y);
    guarded_free(&row);
    return ok;
}

/* Row lengths to try, ended by 0: up to 2048, so that rows take several of every step. */
static const int *product_lengths(enum tensor_type type)
{
    static const int supers[] = {256, 768, 2048, 0}, blocks[] = {32, 64, 224, 608, 2048, 0};
    static const int any[] = {1, 7, 16, 32, 100, 172, 256, 515, 1024, 0};
    int block = tensor_type_info(type)->block;
    return block == 256 ? supers : block == 32 ? blocks : any;
}

bool check_dot(struct check *c)
{
    static const int rows[] = {1, 2, 3, 4, 5, 8, 17, 0};
    for (int type = 0; type < TENSOR_TYPE_COUNT; type++) {
        if (!check_type(type))
            continue;
        if (!c->table->dot[type])
            return check_failed(c, "%s: no entry", tensor_type_name(type));
        for (const int *k = product_lengths(type); *k; k++)
            for (const int *n = rows; *n; n++)
                if (!dot_rows(c, type, *n % 4 == 3 ? WEIGHTS_TINY : WEIGHTS_ANY, *n, *k))
                    return false;
    }
    return true;
}

bool check_dot_extreme(struct check *c)
{
    for (int type = 0; type < TENSOR_TYPE_COUNT; type++)
        if (check_type(type))
            for (int n = 4; n <= 5; n++)
                if (!dot_rows(c, type, WEIGHTS_EXTREME, n, 512))
                    return false;
    return true;
}

/* Several tokens at once against each alone. */
static bool dots_rows(struct check *c, enum tensor_type type, int n_rows, int n_tok, int k)
{
    struct guarded w = guarded_weights(c, type, WEIGHTS_ANY, n_rows, k);
    struct guarded alone = guarded_new((size_t)n_rows * 4, 4);
    size_t y_stride = (size_t)n_rows + 3, row_bytes = tensor_row_bytes(type, k);
    struct guarded y = guarded_new((((size_t)n_tok - 1) * y_stride + (size_t)n_rows) * 4, 4);
    struct acts acts[MOST_TOKENS];
    struct act_row x[MOST_TOKENS];
    bool ok = true;
    for (int t = 0; t < n_tok; t++) {
        acts[t] = acts_new(c, 1, k, false);
        x[t] = (struct act_row){acts[t].x.data, acts[t].q.data, acts[t].d.data, acts[t].s.data};
    }
    c->table->dots[type](n_rows, n_tok, k, w.data, row_bytes, x, y.data, y_stride);
    for (int t = 0; t < n_tok; t++) {
        c->table->dot[type](n_rows, k, w.data, row_bytes, &x[t], alone.data);
        for (int r = 0; ok && r < n_rows; r++) {
            float got = ((float *)y.data)[(size_t)t * y_stride + (size_t)r];
            float want = ((float *)alone.data)[r];
            if (memcmp(&got, &want, sizeof got) != 0)
                ok = check_failed(c, "%s rows %d tokens %d k %d row %d token %d: %.9g, alone %.9g",
                                  tensor_type_name(type), n_rows, n_tok, k, r, t, got, want);
        }
        acts_free(&acts[t]);
    }
    guarded_free(&w);
    guarded_free(&y);
    guarded_free(&alone);
    return ok;
}

bool check_dots(struct check *c)
{
    static const int rows[] = {1, 2, 3, 4, 5, 8, 17, 0};
    for (int type = 0; type < TENSOR_TYPE_COUNT; type++) {
        if (!check_type(type) || !c->table->dots[type])
            continue;
        for (const int *k = product_lengths(type); *k; k++)
            for (const int *n = rows; *n; n++)
                for (int n_tok = 1; n_tok <= MOST_TOKENS; n_tok++)
                    if (!dots_rows(c, type, *n, n_tok, *k))
                        return false;
    }
    return true;
}

/* One product through pack_w, pack_x and run. */
struct product {
    enum tensor_type type;
    enum weight_kind kind;
    int k, n_rows, n_tok;
    bool add;
};

static bool output_right(struct check *c, const struct product *p, const struct acts *a,
                         const uint8_t *w, const float *y, size_t y_stride)
{
    float row[2048];
    size_t row_bytes = tensor_row_bytes(p->type, p->k);
    for (int r = 0; r < p->n_rows; r++) {
        c->scalar->dequantize(p->type, p->k, w + (size_t)r * row_bytes, row);
        for (int t = 0; t < p->n_tok; t++) {
            double bound, got = y[(size_t)t * y_stride + (size_t)r] - (p->add ? 1.0f : 0.0f);
            double want = exact(p->k, row, (float *)a->x.data + (size_t)t * a->stride, &bound);
            double slack = p->add ? 1e-6 : 1e-30;
            bool ok = fabs(got - want) <= (keeps_bf16(c) ? 4e-3 : 2e-6) * bound + slack;
            if (format_group(p->type) && !ok) {
                want = exact(p->k, row, (float *)a->seen.data + (size_t)t * (size_t)p->k, &bound);
                ok = fabs(got - want) <= 1e-5 * bound + slack;
            }
            if (!ok)
                return check_failed(c, "%s k %d rows %d tokens %d row %d token %d%s: %.9g, want "
                                    "%.9g", tensor_type_name(p->type), p->k, p->n_rows, p->n_tok,
                                    r, t, p->add ? " add" : "", got, want);
        }
    }
    return true;
}

static bool try_product(struct check *c, const struct product *p)
{
    const struct gemm_kernel *g = c->table->gemm[p->type];
    size_t y_stride = (size_t)p->n_rows + 1;
    size_t row_bytes = tensor_row_bytes(p->type, p->k);
    struct acts a = acts_new(c, p->n_tok, p->k, p->kind == WEIGHTS_EXTREME);
    struct guarded w = guarded_weights(c, p->type, p->kind, p->n_rows + 2, p->k);
    struct guarded panel = guarded_new(g->panel_bytes(p->k), 64);
    struct guarded block = guarded_new(g->block_bytes(p->k), 64);
    size_t y_floats = (size_t)(p->n_tok - 1) * y_stride + (size_t)p->n_rows;
    struct guarded y = guarded_new(y_floats * 4, 4);
    struct tensor tensor = {w.data, p->type, p->n_rows + 2, p->k, row_bytes, "w"};
    float *out = y.data;
    for (size_t i = 0; i < y_floats; i++)
        out[i] = i % y_stride == y_stride - 1 ? 77.0f : p->add ? 1.0f : NAN;
    g->pack_x(p->k, p->n_tok, a.x.data, a.stride, block.data);
    g->pack_w(&tensor, 2, p->n_rows, panel.data);
    g->run(p->k, p->n_rows, p->n_tok, panel.data, block.data, out, y_stride, p->add);
    bool ok = p->kind == WEIGHTS_INFINITE ||
              output_right(c, p, &a, (uint8_t *)w.data + 2 * row_bytes, out, y_stride);
    for (size_t i = y_stride - 1; ok && i < y_floats; i += y_stride)
        if (out[i] != 77.0f)
            ok = check_failed(c, "%s k %d rows %d: wrote between rows of y",
                              tensor_type_name(p->type), p->k, p->n_rows);
    acts_free(&a);
    guarded_free(&w);
    guarded_free(&panel);
    guarded_free(&block);
    guarded_free(&y);
    return ok;
}

bool check_gemm(struct check *c)
{
    for (int type = 0; type < TENSOR_TYPE_COUNT; type++) {
        const struct gemm_kernel *g = c->table->gemm[type];
        if (!g && check_type(type))
            return check_failed(c, "%s: no entry", tensor_type_name(type));
        if (!g)
            continue;
        int rows[] = {1, 3, g->rows / 2 + 1, g->rows - 1, g->rows};
        int tokens[] = {1, 3, g->tokens / 2 + 1, g->tokens - 1, g->tokens};
        for (const int *k = product_lengths(type); *k; k++)
            for (int i = 0; i < 10; i++) {
                struct product p = {type, WEIGHTS_ANY, *k, rows[i % 5], tokens[(i * 2 + i / 5) % 5],
                                    i % 3 == 1};
                if (p.n_rows < 1 || p.n_tok < 1)
                    continue;
                if (!try_product(c, &p))
                    return false;
            }
    }
    return true;
}

bool check_gemm_extreme(struct check *c)
{
    for (int type = 0; type < TENSOR_TYPE_COUNT; type++) {
        const struct gemm_kernel *g = c->table->gemm[type];
        if (!check_type(type))
            continue;
        struct product p = {type, WEIGHTS_EXTREME, 512, g->rows, g->tokens, false};
        if (!try_product(c, &p))
            return false;
    }
    return true;
}

/* Scales that are infinite or NaN must not crash anything; what comes out does not matter. */
bool check_infinite(struct check *c)
{
    for (int type = 0; type < TENSOR_TYPE_COUNT; type++) {
        if (!check_type(type) || !format_group(type))
            continue;
        struct product p = {type, WEIGHTS_INFINITE, 256, 3, 2, false};
        struct guarded w = guarded_weights(c, type, WEIGHTS_INFINITE, 5, 256);
        struct guarded y = guarded_new(256 * 4, 4);
        struct acts a = acts_new(c, 1, 256, false);
        struct act_row x = {a.x.data, a.q.data, a.d.data, a.s.data};
        c->table->dot[type](5, 256, w.data, tensor_row_bytes(type, 256), &x, y.data);
        c->table->dequantize(type, 256, w.data, y.data);
        acts_free(&a);
        guarded_free(&w);
        guarded_free(&y);
        if (!try_product(c, &p))
            return false;
    }
    return true;
}
