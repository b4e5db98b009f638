/* lowrank.c: see lowrank.h. BLAS and LAPACK run on the calling thread only. */
#include "kvswap/lowrank.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
    SIGMA = 8,
    RANK_FLOOR = 32 /* below it recall breaks down, whatever sigma says */
};

void lowrank_init(void)
{
    openblas_set_num_threads(1);
}

int lowrank_rank(int width, int sigma)
{
    int divisor = sigma ? sigma : SIGMA, low = RANK_FLOOR < width ? RANK_FLOOR : width;
    int rank = ((width + divisor - 1) / divisor + 7) / 8 * 8;
    return rank < low ? low : rank > width ? width : rank;
}

static float *adapter(const struct adapters *a, int layer)
{
    return a->a + (size_t)layer * (size_t)a->width * (size_t)a->rank;
}

ashlar_status lowrank_eigenvectors(int n, float *matrix, int m, float *values, float *vectors,
                                   ashlar_error *err)
{
    int found = 0;
    int *support = mem_array(2 * (size_t)m, sizeof *support);
    if (!support)
        return error_memory(err, 2 * (size_t)m * sizeof *support, "an eigenvector problem");
    int info = LAPACKE_ssyevr(LAPACK_ROW_MAJOR, 'V', 'I', 'U', n, matrix, n, 0.0f, 0.0f, n - m + 1,
                              n, 0.0f, &found, values, vectors, m, support);
    free(support);
    if (info != 0 || found != m)
        return error_set(err, ASHLAR_FAILED, "SVD of %d keys did not converge (LAPACK ssyevr: %d)",
                         n, info);
    return ASHLAR_OK;
}

/* A = K^T U S^-1 from the n x n Gram matrix K K^T = U S^2 U^T: cheaper when there are few keys. */
static ashlar_status fit_rows(struct adapters *a, int layer, int n, const float *keys, float *gram,
                              float *values, float *vectors, ashlar_error *err)
{
    int m = a->rank < n ? a->rank : n;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, n, a->width, 1.0f, keys, a->width, keys,
                a->width, 0.0f, gram, n);
    ashlar_status status = lowrank_eigenvectors(n, gram, m, values, vectors, err);
    if (status != ASHLAR_OK)
        return status;
    float *out = adapter(a, layer);
    memset(out, 0, (size_t)a->width * (size_t)a->rank * sizeof *out);
    float floor_value =
        1e-6f * fmaxf(values[m - 1], 0.0f); /* below it is rounding, and no direction */
    for (int j = 0; j < m; j++) {
        float scale = values[j] > floor_value ? 1.0f / sqrtf(values[j]) : 0.0f;
        for (int i = 0; i < n; i++)
            vectors[(size_t)i * (size_t)m + (size_t)j] *= scale;
    }
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, a->width, m, n, 1.0f, keys, a->width,
                vectors, m, 0.0f, out, a->rank);
    return ASHLAR_OK;
}

/* A = the eigenvectors of K^T K. */
static ashlar_status fit_columns(struct adapters *a, int layer, int n, const float *keys,
                                 float *gram, float *values, float *vectors, ashlar_error *err)
{
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, a->width, a->width, n, 1.0f, keys,
                a->width, keys, a->width, 0.0f, gram, a->width);
    ashlar_status status = lowrank_eigenvectors(a->width, gram, a->rank, values, vectors, err);
    if (status == ASHLAR_OK)
        memcpy(adapter(a, layer), vectors, (size_t)a->width * (size_t)a->rank * sizeof *vectors);
    return status;
}

ashlar_status adapters_fit(struct adapters *a, int layer, int n, const float *keys,
                           ashlar_error *err)
{
    size_t side = (size_t)(n < a->width ? n : a->width);
    float *gram = mem_array(side * side, sizeof *gram);
    float *values = mem_array(side, sizeof *values);
    float *vectors = mem_array(side * (size_t)a->rank, sizeof *vectors);
    ashlar_status status;
    if (!gram || !values || !vectors)
        status =
            error_memory(err, side * (side + (size_t)a->rank) * sizeof(float), "the prompt's SVD");
    else if (n < a->width)
        status = fit_rows(a, layer, n, keys, gram, values, vectors, err);
    else
        status = fit_columns(a, layer, n, keys, gram, values, vectors, err);
    free(gram);
    free(values);
    free(vectors);
    a->ready[layer] = status == ASHLAR_OK;
    return status;
}

void adapters_project(const struct adapters *a, int layer, int n, const float *x, float *y)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, a->rank, a->width, 1.0f, x, a->width,
                adapter(a, layer), a->rank, 0.0f, y, a->rank);
}

size_t lowrank_rows_bytes(int max_tokens, int rank)
{
    return (size_t)max_tokens * ((size_t)rank + sizeof(float));
}

void lowrank_store(struct lowrank_rows *rows, int rank, int first, int n, const float *projected)
{
    for (int t = 0; t < n; t++) {
        const float *from = projected + (size_t)t * (size_t)rank;
        uint8_t *to = rows->rows + (size_t)(first + t) * (size_t)rank;
        float most = 0.0f;
        for (int i = 0; i < rank; i++)
            most = fmaxf(most, fabsf(from[i]));
        float inverse = most > 0.0f ? 127.0f / most : 0.0f;
        for (int i = 0; i < rank; i++)
            to[i] = (uint8_t)(SCORE_BIAS + lrintf(from[i] * inverse));
        rows->scales[first + t] = most / 127.0f;
    }
}
