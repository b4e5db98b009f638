/*
 * Muon's Newton-Schulz steps (train/muon.py) on stacked matrices, with AMX: bf16 operands, fp32
 * between.
 *
 * A step is a = g g^T, g = 3.4445 g + (-4.775 a + 2.0315 a a) g. The steps push the singular values
 * towards 1, from wherever between 0 and 1 they start, and need no more than bf16's digits for it.
 * a and its polynomial are symmetric, so one row-major copy serves as left operand of either side.
 * It knows nothing of the model.
 */
#include "mason_step.h"

#include <stdlib.h>

#include "step_tiles.h"

#define STEPS 5

struct workspace {
    float *a, *b;      /* rows x rows */
    float *product;    /* rows x columns */
    bf16 *ga, *aa;     /* g and a (or its polynomial) as left operands, row-major */
    bf16 *right;       /* a right operand */
};

/* c [m x n] = a [m x k], row-major, times the packed right operand. */
static void multiply(float *c, const bf16 *a, const bf16 *right, int m, int n, int k)
{
    for (long i = 0; i < m; i += 32) {
        for (int j = 0; j < n / 32; j++) {
            block_product(c + i * n + 32 * j, n, a + i * k, k, right, k / 32, j);
        }
    }
}

/* The right operand of x [k x n], row-major bf16. */
static void pack(bf16 *right, const bf16 *x, int k, int n)
{
    for (int i = 0; i < k / 32; i++) {
        for (int j = 0; j < n / 16; j++) {
            pack_right(tile_at(right, k / 32, j, i), x + 32l * i * n + 16 * j, n);
        }
    }
}

/* The right operand of the transpose of x [n x k]. */
static void pack_transpose(bf16 *right, const bf16 *x, int k, int n)
{
    for (int i = 0; i < k / 32; i++) {
        for (int j = 0; j < n / 16; j++) {
            pack_right_transposed(tile_at(right, k / 32, j, i), x + 16l * j * k + 32 * i, k);
        }
    }
}

/* z = s x + t y */
static void combine(float *z, float s, const float *x, float t, const float *y, long n)
{
    __m512 first = _mm512_set1_ps(s), second = _mm512_set1_ps(t);
    for (long i = 0; i < n; i += 16) {
        __m512 v = _mm512_mul_ps(first, _mm512_loadu_ps(x + i));
        _mm512_storeu_ps(z + i, _mm512_fmadd_ps(second, _mm512_loadu_ps(y + i), v));
    }
}

static void newton_schulz(const struct workspace *w, float *g, int rows, int columns)
{
    long size = (long)rows * columns, square = (long)rows * rows;
    halves_of(w->ga, g, size);
    pack_transpose(w->right, w->ga, columns, rows);
    multiply(w->a, w->ga, w->right, rows, rows, columns);
    halves_of(w->aa, w->a, square);
    pack(w->right, w->aa, rows, rows);
    multiply(w->b, w->aa, w->right, rows, rows, rows);
    combine(w->b, -4.7750f, w->a, 2.0315f, w->b, square);
    halves_of(w->aa, w->b, square);
    pack(w->right, w->ga, rows, columns);
    multiply(w->product, w->aa, w->right, rows, columns, rows);
    combine(g, 3.4445f, g, 1.0f, w->product, size);
}

/* One allocation, whose start is a. 0 when memory is short. */
static int workspace_new(struct workspace *w, size_t rows, size_t columns)
{
    size_t size = rows * columns, square = rows * rows, most = size > square ? size : square;
    w->a = aligned_alloc(64, (2 * square + size) * sizeof(float)
                                 + (size + square + most) * sizeof(bf16));
    if (!w->a) {
        return 0;
    }
    w->b = w->a + square;
    w->product = w->b + square;
    w->ga = (bf16 *)(w->product + size);
    w->aa = w->ga + size;
    w->right = w->aa + square;
    return 1;
}

int mason_orthogonal(float *g, int32_t n, int32_t rows, int32_t columns)
{
    struct workspace w;
    if (rows < 32 || rows % 32 || columns < 32 || columns % 32
        || !workspace_new(&w, rows, columns)) {
        return -1;
    }
    tiles_configure();
    for (int i = 0; i < n; i++) {
        for (int step = 0; step < STEPS; step++) {
            newton_schulz(&w, g + (size_t)i * rows * columns, rows, columns);
        }
    }
    _tile_release();
    free(w.a);
    return 0;
}
