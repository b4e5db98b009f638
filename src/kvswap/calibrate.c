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

ashlar_status calibration_new(int n_layer, int width, struct calibration **out, ashlar_error *err)
{
    struct calibration *c = mem_array(1, sizeof *c);
    *out = NULL;
    lowrank_init();
    if (!c)
        return error_memory(err, sizeof *c, "the calibration");
    *c = (struct calibration){.n_layer = n_layer, .width = width};
    size_t bytes = gram_values(c) * sizeof *c->gram;
    c->gram = mem_array((size_t)n_layer, bytes);
    if (!c->gram) {
        free(c);
        return error_memory(err, (size_t)n_layer * bytes, "the calibration");
    }
    *out = c;
    return ASHLAR_OK;
}

void calibration_free(struct calibration *c)
{
    if (c)
        free(c->gram);
    free(c);
}

void calibration_add(struct calibration *c, int layer, int n, const float *keys)
{
    cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, c->width, n, 1.0f, keys, c->width, 1.0f,
                c->gram + (size_t)layer * gram_values(c), c->width);
    if (layer == 0)
        c->tokens += (uint64_t)n;
}

/* Columns in the order of falling eigenvalues. */
static void reverse_columns(int rows, int columns, const float *from, float *to)
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++)
            to[(size_t)i * (size_t)columns + (size_t)j] =
                from[(size_t)i * (size_t)columns + (size_t)(columns - 1 - j)];
}

static double trace(const float *matrix, int n)
{
    double sum = 0.0;
    for (int i = 0; i < n; i++)
        sum += matrix[(size_t)i * (size_t)n + (size_t)i];
    return sum;
}

ashlar_status calibration_fit(const struct calibration *c, int layer, int rank, float *a,
                              double *energy, ashlar_error *err)
{
    size_t n = gram_values(c), columns = (size_t)c->width * (size_t)rank;
    float *gram = mem_array(n, sizeof *gram); /* LAPACK destroys it */
    float *values = mem_array((size_t)c->width, sizeof *values);
    float *vectors = mem_array(columns, sizeof *vectors);
    ashlar_status status;
    if (!gram || !values || !vectors) {
        status = error_memory(err, (n + columns) * sizeof *gram, "the keys' SVD");
    } else {
        memcpy(gram, c->gram + (size_t)layer * n, n * sizeof *gram);
        double all = trace(gram, c->width), caught = 0.0;
        status = lowrank_eigenvectors(c->width, gram, rank, values, vectors, err);
        if (status == ASHLAR_OK)
            reverse_columns(c->width, rank, vectors, a);
        for (int i = 0; i < rank; i++)
            caught += values[i];
        *energy = all > 0.0 ? caught / all : 1.0;
    }
    free(gram);
    free(values);
    free(vectors);
    return status;
}
