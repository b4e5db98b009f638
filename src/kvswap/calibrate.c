/* calibrate.c: see calibrate.h. */
#include "kvswap/calibrate.h"

#include <cblas.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kvswap/lowrank.h"

static size_t gram_values(const struct calibration *c)
{
    return (size_t)c->width * (size_t)c->width;
}

ashlar_status calibration_new(int n_layer, int width, int query_values, struct calibration **out,
                              ashlar_error *err)
{
    struct calibration *c = mem_array(1, sizeof *c);
    *out = NULL;
    lowrank_init();
    if (!c)
        return error_memory(err, sizeof *c, "the calibration");
    *c = (struct calibration){.n_layer = n_layer, .width = width};
    size_t bytes = gram_values(c) * sizeof *c->keys_gram;
    c->keys_gram = mem_array((size_t)n_layer, bytes);
    c->queries_gram = mem_array((size_t)n_layer, bytes);
    c->query = mem_array((size_t)query_values, sizeof *c->query);
    if (!c->keys_gram || !c->queries_gram || !c->query) {
        calibration_free(c);
        return error_memory(err, 2 * (size_t)n_layer * bytes, "the calibration");
    }
    *out = c;
    return ASHLAR_OK;
}

void calibration_free(struct calibration *c)
{
    if (c) {
        free(c->keys_gram);
        free(c->queries_gram);
        free(c->query);
        rank_sample_free(c->sample);
    }
    free(c);
}

static void add_rows(const struct calibration *c, float *grams, int layer, int n, const float *x)
{
    cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, c->width, n, 1.0f, x, c->width, 1.0f,
                grams + (size_t)layer * gram_values(c), c->width);
}

void calibration_add(struct calibration *c, int layer, int n, const float *keys)
{
    add_rows(c, c->keys_gram, layer, n, keys);
    if (layer == 0)
        c->tokens += (uint64_t)n;
}

void calibration_add_query(struct calibration *c, int layer, const float *query)
{
    add_rows(c, c->queries_gram, layer, 1, query);
    if (layer == 0)
        c->queries++;
}

/* Sum of a_ij b_ij of two symmetric matrices given by their upper triangles: tr(ab). */
static double trace_of_product(const float *a, const float *b, int n)
{
    double sum = 0.0;
    for (int i = 0; i < n; i++)
        for (int j = i; j < n; j++) {
            size_t at = (size_t)i * (size_t)n + (size_t)j;
            sum += (i == j ? 1.0 : 2.0) * a[at] * b[at];
        }
    return sum;
}

ashlar_status calibration_fit(const struct calibration *c, int layer, int rank, float *keys,
                              float *queries, double *share, ashlar_error *err)
{
    int width = c->width, m = lowrank_directions(width, width, rank);
    size_t n = gram_values(c), side = (size_t)m, columns = side * (size_t)width;
    size_t floats = n + (size_t)width + 2 * columns + side * side + lowrank_weigh_floats(m, rank);
    float *gram = mem_array(floats, sizeof *gram); /* LAPACK destroys it */
    if (!gram)
        return error_memory(err, floats * sizeof *gram, "the keys' SVD");
    float *values = gram + n, *v = values + width, *product = v + columns,
          *along = product + columns;
    float *work = along + side * side;
    const float *k = c->keys_gram + (size_t)layer * n, *q = c->queries_gram + (size_t)layer * n;
    double n_keys = (double)c->tokens, n_queries = c->queries ? (double)c->queries : 1.0;
    double captured = 0.0, all = trace_of_product(k, q, width) / n_keys / n_queries;
    memcpy(gram, k, n * sizeof *gram);
    ashlar_status status = lowrank_eigenvectors(width, gram, m, values, v, err);
    if (status == ASHLAR_OK) {
        cblas_sscal(m, (float)(1.0 / n_keys), values, 1);
        cblas_ssymm(CblasRowMajor, CblasRight, CblasUpper, m, width, (float)(1.0 / n_queries), q,
                    width, v, width, 0.0f, product, width);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, m, width, 1.0f, product, width, v,
                    width, 0.0f, along, m);
        status =
            lowrank_weigh(width, m, rank, v, values, along, work, keys, queries, &captured, err);
    }
    *share = all > 0.0 && captured < all ? captured / all : 1.0;
    free(gram);
    return status;
}
