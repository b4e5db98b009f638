/*
 * lowrank_fit.c: adapters and how they are fitted; see lowrank.h. BLAS and LAPACK run on the
 * calling thread only.
 *
 * First the keys' principal directions, a few times as many as the rank; then, among those, the
 * ones that matter to the queries. So a prompt's adapter costs an eigenvalue problem as large as
 * the number of its keys or their width, whichever is less, and a small one.
 */
#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kvswap/lowrank.h"
#include "model/quantize.h"

enum {
    DIRECTIONS = 2, /* looked at for each row of an adapter */
    WORK_FLOATS = 33,
    WORK_INTS = 10 /* of ssyevr, for each key: the least is 26, blocks want more */
};

/* Mean squares below this share of the largest are taken as this: nothing is divided by noise. */
static const float SMALLEST_SQUARE = 1e-4f;
/* So much of the queries' energy is spread over all directions: samples are few. */
static const float EVEN_SHARE = 0.01f;

void lowrank_init(void)
{
    openblas_set_num_threads(1);
}

/* ---- storage ------------------------------------------------------------------------------- */

static enum tensor_type row_type(int width)
{
    return tensor_row_bytes(TENSOR_Q8_0, width) ? TENSOR_Q8_0 : TENSOR_F16;
}

size_t adapters_row_bytes(int width)
{
    return tensor_row_bytes(row_type(width), width);
}

int adapters_rank(const struct adapters *a, int layer)
{
    return a->ranks ? a->ranks[layer] : a->rank;
}

static unsigned char *row_of(const struct adapters *a, int layer, int row)
{
    size_t first = 0;
    for (int i = 0; i < layer; i++)
        first += 2 * (size_t)adapters_rank(a, i);
    return a->data + (first + (size_t)row) * adapters_row_bytes(a->width);
}

static void store_row(const struct adapters *a, int layer, int row, const float *x)
{
    unsigned char *to = row_of(a, layer, row);
    if (row_type(a->width) == TENSOR_F16)
        a->kernels->to_f16(a->width, x, (uint16_t *)(void *)to);
    else
        quantize_row(TENSOR_Q8_0, (size_t)a->width, x, to);
}

static void load_rows(const struct adapters *a, int layer, int first, int n, float *x)
{
    for (int i = 0; i < n; i++)
        a->kernels->dequantize(row_type(a->width), a->width, row_of(a, layer, first + i),
                               x + (size_t)i * (size_t)a->width);
}

int adapters_wanted(const struct adapters *a, int layer)
{
    return a->ready[layer] ? 0 : 2 * adapters_rank(a, layer) - a->n_samples[layer];
}

void adapters_sample(struct adapters *a, int layer, const float *q)
{
    for (int i = 0; i < a->width; i++)
        if (!isfinite(q[i]))
            return;
    if (adapters_wanted(a, layer) > 0)
        store_row(a, layer, a->n_samples[layer]++, q);
}

void adapters_set(struct adapters *a, int layer, const float *keys, const float *queries)
{
    int rank = adapters_rank(a, layer);
    for (int i = 0; i < rank; i++) {
        store_row(a, layer, i, keys + (size_t)i * (size_t)a->width);
        store_row(a, layer, rank + i, queries + (size_t)i * (size_t)a->width);
    }
    a->ready[layer] = true;
}

/* Pieces of the scratch, each at a multiple of 64 bytes. */
static size_t piece_bytes(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

size_t adapters_act_bytes(int width)
{
    size_t k = (size_t)width, blocks = k / ACT_BLOCK, sums = k / ACT_SUM_BLOCK;
    if (row_type(width) == TENSOR_F16)
        return piece_bytes(k * sizeof(float));
    return piece_bytes(k) + piece_bytes(blocks * sizeof(float)) + piece_bytes(sums * sizeof(float));
}

/* A row as the products want it. */
static struct act_row round_row(const struct adapters *a, const float *x)
{
    size_t k = (size_t)a->width;
    if (row_type(a->width) == TENSOR_F16) {
        memcpy(a->act, x, k * sizeof *x);
        return (struct act_row){.f = (const float *)(const void *)a->act};
    }
    unsigned char *d = a->act + piece_bytes(k);
    unsigned char *s = d + piece_bytes(k / ACT_BLOCK * sizeof(float));
    struct act_row row = {
        .q = (int8_t *)a->act, .d = (const float *)(void *)d, .s = (const float *)(void *)s};
    a->kernels->act_quantize(a->width, x, (int8_t *)a->act, (float *)(void *)d, (float *)(void *)s);
    return row;
}

void adapters_project(const struct adapters *a, int layer, enum adapter_side side, int n,
                      const float *x, float *y)
{
    int rank = adapters_rank(a, layer);
    const unsigned char *rows = row_of(a, layer, side == ADAPTER_QUERIES ? rank : 0);
    for (int i = 0; i < n; i++, x += a->width, y += rank) {
        struct act_row row = round_row(a, x);
        a->kernels->dot[row_type(a->width)](rank, a->width, rows, adapters_row_bytes(a->width),
                                            &row, y);
    }
}

/* ---- fitting ------------------------------------------------------------------------------- */

int lowrank_directions(int n, int width, int rank)
{
    int most = n < width ? n : width;
    return DIRECTIONS * rank < most ? DIRECTIONS * rank : most;
}

/* Rows are LAPACK's columns: what is upper here is lower there, and eigenvectors come as rows. */
ashlar_status lowrank_eigenvectors(int n, float *matrix, int m, float *values, float *vectors,
                                   ashlar_error *err)
{
    int found = 0, info = 0, first = n - m + 1, n_floats = WORK_FLOATS * n, n_ints = WORK_INTS * n;
    float none = 0.0f;
    size_t bytes = (size_t)n_floats * sizeof(float) + (size_t)(n_ints + 2 * m) * sizeof(int);
    float *work = malloc(bytes);
    if (!work)
        return error_memory(err, bytes, "an eigenvector problem");
    int *ints = (int *)(void *)(work + n_floats), *support = ints + n_ints;
    LAPACK_ssyevr("V", "I", "L", &n, matrix, &n, &none, &none, &first, &n, &none, &found, values,
                  vectors, &n, support, work, &n_floats, ints, &n_ints, &info);
    free(work);
    if (info != 0 || found != m)
        return error_set(err, ASHLAR_FAILED, "SVD of %d keys did not converge (LAPACK ssyevr: %d)",
                         n, info);
    return ASHLAR_OK;
}

/* c_ij = sqrt(squares_i squares_j) (c_ij + a little on the diagonal). */
static void scale_queries(int m, const float *squares, float *c)
{
    float sum = 0.0f;
    for (int i = 0; i < m; i++)
        sum += c[(size_t)i * (size_t)m + (size_t)i];
    float even = sum > 0.0f ? EVEN_SHARE * sum / (float)m : 1.0f;
    for (int i = 0; i < m; i++) {
        c[(size_t)i * (size_t)m + (size_t)i] += even;
        for (int j = i; j < m; j++)
            c[(size_t)i * (size_t)m + (size_t)j] *= sqrtf(squares[i]) * sqrtf(squares[j]);
    }
}

/* out (rank, width), of which n rows, the largest first = vectors (n, m; largest last) diag(scale)
 * v. */
static void combine(int width, int m, int n, const float *vectors, const float *scale,
                    const float *v, float *scratch, float *out)
{
    for (int j = 0; j < n; j++)
        for (int i = 0; i < m; i++)
            scratch[(size_t)j * (size_t)m + (size_t)i] =
                vectors[(size_t)(n - 1 - j) * (size_t)m + (size_t)i] * scale[i];
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, width, m, 1.0f, scratch, m, v, width,
                0.0f, out, width);
}

size_t lowrank_weigh_floats(int m, int rank)
{
    return 3 * (size_t)m + 2 * (size_t)(rank < m ? rank : m) * (size_t)m;
}

ashlar_status lowrank_weigh(int width, int m, int rank, const float *v, const float *squares,
                            float *c, float *work, float *keys, float *queries, double *captured,
                            ashlar_error *err)
{
    int n = rank < m ? rank : m;
    size_t columns = (size_t)n * (size_t)m;
    float *values = work, *vectors = values + m, *scratch = vectors + columns;
    float *square = scratch + columns, *scale = square + m, most = 0.0f;
    for (int i = 0; i < m; i++)
        most = fmaxf(most, squares[i]);
    for (int i = 0; i < m; i++)
        square[i] = most > 0.0f ? fmaxf(squares[i], SMALLEST_SQUARE * most) : 1.0f;
    scale_queries(m, square, c);
    ashlar_status status = lowrank_eigenvectors(m, c, n, values, vectors, err);
    if (status == ASHLAR_OK) {
        memset(keys, 0, (size_t)rank * (size_t)width * sizeof *keys);
        memset(queries, 0, (size_t)rank * (size_t)width * sizeof *queries);
        for (int i = 0; i < m; i++)
            scale[i] = 1.0f / sqrtf(square[i]);
        combine(width, m, n, vectors, scale, v, scratch, keys);
        for (int i = 0; i < m; i++)
            scale[i] = sqrtf(square[i]);
        combine(width, m, n, vectors, scale, v, scratch, queries);
        *captured = 0.0;
        for (int i = 0; i < n; i++)
            *captured += values[i];
    }
    return status;
}

/* ---- an adapter from a prompt -------------------------------------------------------------- */

/* What a fit takes, in one piece. */
struct fit {
    float *gram, *values;  /* (side, side), (side): of keys by keys, or width by width */
    float *vectors;        /* (m, side) */
    float *v, *c;          /* (m, width), (m, m) */
    float *samples;        /* (2 rank, m) sampled queries along v */
    float *loaded;         /* (rank, width) some of them as they were */
    float *keys, *queries; /* (rank, width) */
    float *weigh;
};

/* Pieces of one block; NULL: only its size, in floats. */
static size_t fit_layout(float *base, int n, int width, int rank, struct fit *f)
{
    size_t side = (size_t)(n < width ? n : width), m = (size_t)lowrank_directions(n, width, rank);
    size_t used = 0, w = (size_t)width, r = (size_t)rank;
    float **pieces[] = {&f->gram,    &f->values, &f->vectors, &f->v,       &f->c,
                        &f->samples, &f->loaded, &f->keys,    &f->queries, &f->weigh};
    size_t sizes[] = {side * side, side,  m * side, m * w, m * m,
                      2 * r * m,   r * w, r * w,    r * w, lowrank_weigh_floats((int)m, rank)};
    for (int i = 0; i < 10; i++) {
        *pieces[i] = base ? base + used : NULL;
        used += sizes[i];
    }
    return used;
}

size_t lowrank_fit_bytes(int n, int width, int rank)
{
    struct fit f;
    size_t lapack = (WORK_FLOATS + WORK_INTS + 2) * (size_t)(n < width ? n : width);
    return (fit_layout(NULL, n, width, rank, &f) + lapack) * sizeof(float);
}

/* Principal directions v (m, width) of n keys and the sums of squares along them (f->values,
 * rising). */
static ashlar_status find_directions(struct fit *f, int n, int width, int m, const float *keys,
                                     ashlar_error *err)
{
    bool by_rows = n < width;
    int side = by_rows ? n : width;
    cblas_ssyrk(CblasRowMajor, CblasUpper, by_rows ? CblasNoTrans : CblasTrans, side,
                by_rows ? width : n, 1.0f, keys, width, 0.0f, f->gram, side);
    ashlar_status status = lowrank_eigenvectors(side, f->gram, m, f->values, f->vectors, err);
    if (status != ASHLAR_OK)
        return status;
    if (!by_rows) {
        memcpy(f->v, f->vectors, (size_t)m * (size_t)width * sizeof *f->v);
        return ASHLAR_OK;
    }
    float least =
        1e-6f * fmaxf(f->values[m - 1], 0.0f); /* below it is rounding, and no direction */
    for (int j = 0; j < m; j++)
        cblas_sscal(n, f->values[j] > least ? 1.0f / sqrtf(f->values[j]) : 0.0f,
                    f->vectors + (size_t)j * (size_t)n, 1);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, width, n, 1.0f, f->vectors, n, keys,
                width, 0.0f, f->v, width);
    return ASHLAR_OK;
}

/* Mean outer product, along v, of the queries sampled; zeros when there are none. */
static void find_queries(const struct adapters *a, int layer, int m, struct fit *f)
{
    int n = a->n_samples[layer], rank = adapters_rank(a, layer), half = n < rank ? n : rank;
    memset(f->c, 0, (size_t)m * (size_t)m * sizeof *f->c);
    for (int first = 0, some; first < n; first += some) { /* the scratch holds as many */
        some = n - first < half ? n - first : half;
        load_rows(a, layer, first, some, f->loaded);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, some, m, a->width, 1.0f, f->loaded,
                    a->width, f->v, a->width, 0.0f, f->samples + (size_t)first * (size_t)m, m);
    }
    if (n > 0)
        cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, m, n, 1.0f / (float)n, f->samples, m,
                    0.0f, f->c, m);
}

ashlar_status adapters_fit(struct adapters *a, int layer, int n, const float *keys,
                           ashlar_error *err)
{
    struct fit f;
    int rank = adapters_rank(a, layer), m = lowrank_directions(n, a->width, rank);
    double captured;
    fit_layout(a->fit_scratch, n, a->width, rank, &f);
    ashlar_status status = find_directions(&f, n, a->width, m, keys, err);
    if (status == ASHLAR_OK) {
        find_queries(a, layer, m, &f);
        cblas_sscal(m, 1.0f / (float)n, f.values, 1);
        status = lowrank_weigh(a->width, m, rank, f.v, f.values, f.c, f.weigh, f.keys, f.queries,
                               &captured, err);
    }
    if (status == ASHLAR_OK)
        adapters_set(a, layer, f.keys, f.queries);
    return status;
}
