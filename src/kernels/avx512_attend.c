/*
 * avx512_attend.c: attention on F16 keys and values, made for decode, where the cache streams from
 * memory once and all query rows that share it are served together.
 *
 * Query rows, that is (token, head) pairs, pass in tiles of G = 4, 2 or 1. Scores of a block of
 * keys are kept as (key, row), so that a vector holds 16 / G keys of G rows: 16 dot products are
 * summed up across their lanes together, the softmax works on whole vectors, and the product with
 * the values broadcasts from memory. The softmax runs in one pass over blocks of keys (Milakov and
 * Gimelshein 2018, algorithm 3).
 *
 * Blocks whose keys lie in one span are read in place; the others, and the last one, are copied
 * together first and padded with zeros to 16 keys. With many query rows (prefill) each block is
 * converted to float once.
 */
#include "kernels/avx512.h"

#if defined(__AVX512F__) && defined(__AVX512VNNI__)

#include "kernels/avx2.h"
#include "kernels/avx512_inline.h"

#include <math.h>

enum {
    TILE_ROWS = 4,
    CHUNK = 64,         /* values of a row whose sums stay in registers */
    PAD = 16,           /* keys per block are padded to a multiple of this */
    CONVERT_ROWS = 16,  /* from how many query rows converting a block pays */
};

/* The simpler table's entries, for shapes that are not for this one. Set once, with the table:
 * asking for a table asks the processor, which a virtual machine answers in tens of microseconds.
 */
static struct {
    void (*attend)(const struct attn_args *args);
    size_t (*scratch_bytes)(int head_dim, int n_group, int n_q);
} simpler;

/* A tile of query rows. Lanes as in the scores, (key, row); those of one row are equal. */
struct tile {
    float max[16], sum[16];
    int32_t seen[16];             /* keys that the row of a lane may see */
    const float *q;               /* (TILE_ROWS, head_dim), scaled; zero where there is no row */
    float *acc[TILE_ROWS];        /* (head_dim) each */
    int rows;
    int32_t reserved;
};

struct block {
    int n, padded;
    bool in_place;
    const void *k, *v;     /* (padded, head_dim), F16 or float */
};

static size_t round64(size_t n)
{
    return (n + 63) / 64 * 64;
}

static int tile_count(int rows)
{
    return (rows + TILE_ROWS - 1) / TILE_ROWS;
}

/* The scratch: tiles, scaled queries, a row that nobody reads, copied and converted blocks. */
struct layout {
    size_t q, spare, copy, floats, end;
};

static struct layout scratch_layout(int head_dim, int rows)
{
    size_t block = (size_t)ATTN_BLOCK * (size_t)head_dim;
    struct layout l;
    l.q = round64((size_t)tile_count(rows) * sizeof(struct tile));
    l.spare = l.q + round64((size_t)tile_count(rows) * TILE_ROWS * (size_t)head_dim * 4);
    l.copy = l.spare + round64((size_t)head_dim * 4);
    l.floats = l.copy + round64(2 * block * 2);
    l.end = l.floats + (rows >= CONVERT_ROWS ? 2 * block * 4 : 0);
    return l;
}

static size_t scratch_bytes(int head_dim, int n_group, int n_q)
{
    size_t plain = simpler.scratch_bytes(head_dim, n_group, n_q);
    size_t own = scratch_layout(head_dim, n_group * n_q).end;
    return own > plain ? own : plain;
}

/* Rows per tile where `left` are left. */
static int tile_rows(int left)
{
    return left >= 3 ? 4 : left;
}

static int setup_tiles(const struct attn_args *a, unsigned char *scratch, const struct layout *l)
{
    struct tile *tiles = (struct tile *)(void *)scratch;
    float *q = (float *)(void *)(scratch + l->q), *spare = (float *)(void *)(scratch + l->spare);
    int rows = a->n_q * a->n_group, n = 0;
    size_t dim = (size_t)a->head_dim;
    memset(q, 0, l->spare - l->q);
    memset(spare, 0, dim * 4);
    if (!a->resume)
        memset(a->acc, 0, (size_t)rows * dim * 4);
    for (int first = 0; first < rows; first += tiles[n++].rows) {
        struct tile *t = tiles + n;
        t->rows = tile_rows(rows - first);
        t->q = q;
        for (int lane = 0; lane < 16; lane++) {
            int row = first + lane % t->rows;
            bool earlier = a->resume && row < rows;
            t->max[lane] = earlier ? a->max[row] : -INFINITY;
            t->sum[lane] = earlier ? a->sum[row] : 0;
            t->seen[lane] = row < rows ? a->n_visible + row / a->n_group : INT32_MAX;
        }
        for (int i = 0; i < t->rows; i++, q += dim) {
            int row = first + i;
            t->acc[i] = row < rows ? a->acc + (size_t)row * dim : spare;
            if (row >= rows)
                continue;
            const float *from = a->q + (size_t)(row / a->n_group) * a->q_stride +
                                (size_t)(row % a->n_group) * dim;
            for (size_t j = 0; j < dim; j++)
                q[j] = from[j] * a->scale;
        }
    }
    return n;
}

/* Ask for a run of rows of a span. */
static void prefetch_rows(const struct kv_span *span, int row, int n, size_t dim)
{
    size_t from = (size_t)row * dim * 2, end = from + (size_t)n * dim * 2;
    for (size_t i = from; i < end; i += 64) {
        avx512_prefetch(span->k, i);
        avx512_prefetch(span->v, i);
    }
}

/* Ask for the next n keys from row `row` of `span` on, as far as there are any. */
static void prefetch_keys(const struct attn_args *a, const struct kv_span **span, int *row, int n)
{
    const struct kv_span *end = a->spans + a->n_spans;
    while (n > 0 && *span < end) {
        if (*row >= (*span)->n) {
            *row -= (*span)++->n;
            continue;
        }
        int left = (*span)->n - *row, take = left < n ? left : n;
        prefetch_rows(*span, *row, take, (size_t)a->head_dim);
        *row += take;
        n -= take;
    }
}

/*
 * Copy keys [first, first + n) and their values together; zeros up to `padded`. Scattered spans are
 * too short for the processor to see where reading goes on, so the keys of the next block are asked
 * for meanwhile.
 */
static void copy_block(const struct attn_args *a, int first, int n, int padded, uint16_t *k,
                       uint16_t *v)
{
    size_t dim = (size_t)a->head_dim;
    const struct kv_span *span = a->spans, *ahead;
    int row = first, ahead_row;
    for (; row >= span->n; span++)
        row -= span->n;
    ahead = span;
    ahead_row = row + ATTN_BLOCK; /* prefetch_keys steps over spans that end before it */
    for (int done = 0; done < n; span++, row = 0) {
        int take = span->n - row < n - done ? span->n - row : n - done;
        prefetch_keys(a, &ahead, &ahead_row, take);
        size_t from = (size_t)row * dim * 2, to = (size_t)done * dim;
        memcpy(k + to, (const unsigned char *)span->k + from, (size_t)take * dim * 2);
        memcpy(v + to, (const unsigned char *)span->v + from, (size_t)take * dim * 2);
        done += take;
    }
    memset(k + (size_t)n * dim, 0, (size_t)(padded - n) * dim * 2);
    memset(v + (size_t)n * dim, 0, (size_t)(padded - n) * dim * 2);
}

/* The keys of a block, in place where possible. */
static struct block find_block(const struct attn_args *a, int first, int n, uint16_t *copy)
{
    struct block b = {.n = n, .padded = (n + PAD - 1) / PAD * PAD};
    size_t row_bytes = (size_t)a->head_dim * 2;
    const struct kv_span *span = a->spans;
    int at = first;
    while (at >= span->n)
        at -= span++->n;
    if (n == b.padded && at + n <= span->n) {
        b.k = (const unsigned char *)span->k + (size_t)at * row_bytes;
        b.v = (const unsigned char *)span->v + (size_t)at * row_bytes;
        b.in_place = true;
        return b;
    }
    uint16_t *k = copy, *v = copy + (size_t)ATTN_BLOCK * (size_t)a->head_dim;
    copy_block(a, first, n, b.padded, k, v);
    b.k = k;
    b.v = v;
    return b;
}

static void convert(size_t n, const void *from, float *to)
{
    for (size_t i = 0; i < n; i += 16)
        _mm512_storeu_ps(to + i, _mm512_cvtph_ps(_mm256_loadu_si256(
                                     (const void *)((const uint16_t *)from + i))));
}

AVX512_INLINE __m512 load_values(bool half, const void *base, size_t i)
{
    if (half)
        return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)((const uint16_t *)base + i)));
    return _mm512_loadu_ps((const float *)base + i);
}

/* Lane i is the sum over v[i]. */
AVX512_INLINE __m512 sum_each(__m512 v[16])
{
    __m512 a[8], b[4];
    UNROLL for (int i = 0; i < 8; i++) /* quads (2i, 2i+1, 2i, 2i+1) */
        a[i] = _mm512_add_ps(_mm512_unpacklo_ps(v[2 * i], v[2 * i + 1]),
                             _mm512_unpackhi_ps(v[2 * i], v[2 * i + 1]));
    UNROLL for (int i = 0; i < 4; i++) /* quads 4i to 4i + 3 */
        b[i] = _mm512_add_ps(_mm512_shuffle_ps(a[2 * i], a[2 * i + 1], 0x44),
                             _mm512_shuffle_ps(a[2 * i], a[2 * i + 1], 0xee));
    __m512 c = _mm512_add_ps(_mm512_shuffle_f32x4(b[0], b[1], 0x88),
                             _mm512_shuffle_f32x4(b[0], b[1], 0xdd));
    __m512 d = _mm512_add_ps(_mm512_shuffle_f32x4(b[2], b[3], 0x88),
                             _mm512_shuffle_f32x4(b[2], b[3], 0xdd));
    return _mm512_add_ps(_mm512_shuffle_f32x4(c, d, 0x88), _mm512_shuffle_f32x4(c, d, 0xdd));
}

/* Lane i becomes the greatest of the lanes of its row. */
AVX512_INLINE __m512 max_rows(int rows, __m512 v)
{
    v = _mm512_max_ps(v, _mm512_shuffle_f32x4(v, v, 0x4e));
    v = _mm512_max_ps(v, _mm512_shuffle_f32x4(v, v, 0xb1));
    if (rows <= 2)
        v = _mm512_max_ps(v, _mm512_permute_ps(v, 0x4e));
    if (rows == 1)
        v = _mm512_max_ps(v, _mm512_permute_ps(v, 0xb1));
    return v;
}

/* Lane i becomes the sum of the lanes of its row. */
AVX512_INLINE __m512 sum_rows(int rows, __m512 v)
{
    v = _mm512_add_ps(v, _mm512_shuffle_f32x4(v, v, 0x4e));
    v = _mm512_add_ps(v, _mm512_shuffle_f32x4(v, v, 0xb1));
    if (rows <= 2)
        v = _mm512_add_ps(v, _mm512_permute_ps(v, 0x4e));
    if (rows == 1)
        v = _mm512_add_ps(v, _mm512_permute_ps(v, 0xb1));
    return v;
}

/* Scores of 16 / rows keys of a tile, (key, row). */
AVX512_INLINE __m512 score_keys(bool half, int rows, size_t dim, const float *q, const void *k,
                                size_t at)
{
    const int keys = 16 / rows;
    __m512 sum[16];
    UNROLL for (int i = 0; i < 16; i++)
        sum[i] = _mm512_setzero_ps();
    for (size_t j = 0; j < dim; j += 16)
        UNROLL for (int i = 0; i < keys; i++) {
            __m512 key = load_values(half, k, (at + (size_t)i) * dim + j);
            UNROLL for (int r = 0; r < rows; r++)
                sum[i * rows + r] = _mm512_fmadd_ps(key, _mm512_loadu_ps(q + (size_t)r * dim + j),
                                                    sum[i * rows + r]);
        }
    return sum_each(sum);
}

/* Scores of a block into p; where the tile may not see the key, -infinity. Returns the maxima. */
AVX512_INLINE __m512 score_block(bool half, int rows, size_t dim, const struct tile *t,
                                 const struct block *b, int first, float *p)
{
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const int keys = 16 / rows, shift = rows == 4 ? 2 : rows == 2 ? 1 : 0;
    __m512 most = _mm512_set1_ps(-INFINITY);
    __m512i seen = _mm512_sub_epi32(_mm512_loadu_si512(t->seen), _mm512_set1_epi32(first));
    seen = _mm512_min_epi32(seen, _mm512_set1_epi32(b->n));
    size_t ahead = (size_t)ATTN_BLOCK * dim * 2;
    for (int at = 0; at < b->padded; at += keys) {
        if (half && b->in_place)
            for (size_t i = 0; i < (size_t)keys * dim * 2; i += 64) {
                avx512_prefetch((const uint16_t *)b->k + (size_t)at * dim, ahead + i);
                avx512_prefetch((const uint16_t *)b->v + (size_t)at * dim, ahead + i);
            }
        __m512 score = score_keys(half, rows, dim, t->q, b->k, (size_t)at);
        __m512i key = _mm512_add_epi32(_mm512_srli_epi32(lanes, (unsigned)shift),
                                       _mm512_set1_epi32(at));
        score = _mm512_mask_blend_ps(_mm512_cmplt_epi32_mask(key, seen),
                                     _mm512_set1_ps(-INFINITY), score);
        _mm512_store_ps(p + at * rows, score);
        most = _mm512_max_ps(most, score);
    }
    return max_rows(rows, most);
}

/* acc of each row of the tile = acc * shrink + p v, for CHUNK values from j on. */
AVX512_INLINE void add_values(bool half, int rows, int vectors, size_t dim, const struct tile *t,
                              const struct block *b, size_t j, const float *p, const float *shrink)
{
    __m512 acc[TILE_ROWS][CHUNK / 16];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int i = 0; i < vectors; i++)
            acc[r][i] = _mm512_mul_ps(_mm512_loadu_ps(t->acc[r] + j + 16 * i),
                                      _mm512_set1_ps(shrink[r]));
    for (int key = 0; key < b->padded; key++) {
        __m512 v[CHUNK / 16];
        UNROLL for (int i = 0; i < vectors; i++)
            v[i] = load_values(half, b->v, (size_t)key * dim + j + 16 * (size_t)i);
        UNROLL for (int r = 0; r < rows; r++) {
            __m512 weight = _mm512_set1_ps(p[key * rows + r]);
            UNROLL for (int i = 0; i < vectors; i++)
                acc[r][i] = _mm512_fmadd_ps(v[i], weight, acc[r][i]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int i = 0; i < vectors; i++)
            _mm512_storeu_ps(t->acc[r] + j + 16 * i, acc[r][i]);
}

AVX512_INLINE void absorb_rows(bool half, int rows, size_t dim, struct tile *t,
                               const struct block *b, int first)
{
    float p[ATTN_BLOCK * TILE_ROWS] __attribute__((aligned(64)));
    float shrink[16] __attribute__((aligned(64)));
    __m512 before = _mm512_loadu_ps(t->max), sum = _mm512_setzero_ps();
    __m512 most = _mm512_max_ps(before, score_block(half, rows, dim, t, b, first, p));
    /* Where nothing was seen yet the maximum is -infinity; any finite number gives exp = 0. */
    __m512 base = _mm512_max_ps(most, _mm512_set1_ps(-1e30f));
    __m512 factor = avx512_exp(_mm512_sub_ps(before, base));
    for (int i = 0; i < b->padded * rows; i += 16) {
        __m512 e = avx512_exp(_mm512_sub_ps(_mm512_load_ps(p + i), base));
        _mm512_store_ps(p + i, e);
        sum = _mm512_add_ps(sum, e);
    }
    _mm512_storeu_ps(t->max, most);
    _mm512_storeu_ps(t->sum, _mm512_fmadd_ps(_mm512_loadu_ps(t->sum), factor, sum_rows(rows, sum)));
    _mm512_store_ps(shrink, factor);
    size_t j = 0;
    for (; j + CHUNK <= dim; j += CHUNK)
        add_values(half, rows, CHUNK / 16, dim, t, b, j, p, shrink);
    for (; j < dim; j += 16)
        add_values(half, rows, 1, dim, t, b, j, p, shrink);
}

/* The common widths have loops of their own. */
AVX512_INLINE void absorb_dim(bool half, size_t dim, struct tile *t, const struct block *b,
                              int first)
{
    if (t->rows == 4)
        absorb_rows(half, 4, dim, t, b, first);
    else if (t->rows == 2)
        absorb_rows(half, 2, dim, t, b, first);
    else
        absorb_rows(half, 1, dim, t, b, first);
}

static void absorb_half(size_t dim, struct tile *t, const struct block *b, int first)
{
    if (dim == 64)
        absorb_dim(true, 64, t, b, first);
    else if (dim == 128)
        absorb_dim(true, 128, t, b, first);
    else
        absorb_dim(true, dim, t, b, first);
}

static void absorb_float(size_t dim, struct tile *t, const struct block *b, int first)
{
    if (dim == 64)
        absorb_dim(false, 64, t, b, first);
    else if (dim == 128)
        absorb_dim(false, 128, t, b, first);
    else
        absorb_dim(false, dim, t, b, first);
}

static void store_results(const struct attn_args *a, const struct tile *tiles, int n_tiles)
{
    int row = 0, rows = a->n_q * a->n_group;
    for (const struct tile *t = tiles; t < tiles + n_tiles; t++)
        for (int i = 0; i < t->rows && row < rows; i++, row++) {
            a->max[row] = t->max[i];
            a->sum[row] = t->sum[i];
        }
}

static void attend(const struct attn_args *a)
{
    if (a->type != TENSOR_F16 || a->head_dim % 16) {
        simpler.attend(a);
        return;
    }
    int rows = a->n_q * a->n_group;
    size_t dim = (size_t)a->head_dim;
    unsigned char *scratch = a->scratch;
    struct layout l = scratch_layout(a->head_dim, rows);
    struct tile *tiles = (struct tile *)(void *)scratch;
    uint16_t *copy = (uint16_t *)(void *)(scratch + l.copy);
    int n_tiles = setup_tiles(a, scratch, &l);
    for (int first = a->key_begin; first < a->key_end; first += ATTN_BLOCK) {
        int n = a->key_end - first < ATTN_BLOCK ? a->key_end - first : ATTN_BLOCK;
        struct block b = find_block(a, first, n, copy);
        bool floats = rows >= CONVERT_ROWS;
        if (floats) {
            float *k = (float *)(void *)(scratch + l.floats), *v = k + (size_t)ATTN_BLOCK * dim;
            convert((size_t)b.padded * dim, b.k, k);
            convert((size_t)b.padded * dim, b.v, v);
            b.k = k;
            b.v = v;
        }
        for (struct tile *t = tiles; t < tiles + n_tiles; t++) {
            if (t->seen[t->rows - 1] <= first)
                continue; /* all keys lie ahead of these rows; seen grows along the rows */
            if (floats)
                absorb_float(dim, t, &b, first);
            else
                absorb_half(dim, t, &b, first);
        }
    }
    store_results(a, tiles, n_tiles);
}

void avx512_fill_attend(struct kernels *table)
{
    simpler.attend = table->attend;
    simpler.scratch_bytes = table->attn_scratch_bytes;
    table->attend = attend;
    table->attn_scratch_bytes = scratch_bytes;
}

#endif
