/*
 * amx_attend.c: attention of many query rows (prefill) with F16 keys and values on AMX tiles.
 *
 * Everything is computed transposed, so that a vector's 16 lanes are 16 query rows, (token, head)
 * pairs, throughout: scores are (key, row) = K Q^T with K as it lies in memory, the softmax's
 * maxima and sums are plain vector operations without any reduction across lanes, weights (key,
 * row) turn into the right operand of the second product by pairing neighbouring keys, and the
 * result is (dim, row) = V^T P. Only V is transposed, once for all rows. The softmax runs in one
 * pass over blocks of KEYS keys (Milakov and Gimelshein 2018, algorithm 3), in powers of two.
 *
 * Precision: queries and keys are split in two bfloat16 parts each and the three larger products
 * are added (16 bits). Weights and values are rounded to bfloat16; the sums of the weights are sums
 * of the rounded ones, so that rounding does not change what the weights add up to.
 */
#include "kernels/amx.h"

#if defined(__AMX_BF16__) && defined(__AVX512BF16__)

#include "kernels/amx_inline.h"

#include <math.h>

enum {
    TILE = 1024,    /* bytes */
    LANES = 16,     /* query rows in a tile */
    PAIR = 32,      /* query rows that pass together */
    KEYS = ATTN_RESUME, /* keys of a block, a multiple of ATTN_BLOCK */
    STEP = 32,      /* what a product sums over: dims, then keys */
    MIN_ROWS = 24,  /* fewer query rows are left to the vector kernel */
};

#define NOTHING (-1e30f) /* score of a key that a row may not see */
#define LOG2_E 1.44269504f /* scores are taken times this: the exponentials are powers of two */
#define LN_2 0.69314718f

/* The simpler table's entries, for shapes that are not for this one. Set once, with the table:
 * asking for a table asks the processor, which a virtual machine answers in tens of microseconds.
 */
static struct {
    void (*attend)(const struct attn_args *args);
    size_t (*scratch_bytes)(int head_dim, int n_group, int n_q);
} simpler;

/* 32 query rows. */
struct rows {
    float max[PAIR], sum[PAIR]; /* of the scores, in powers of two, rounded up */
    int32_t seen[PAIR];         /* keys that a row may see */
};

/* The scratch, in order: rows; queries, keys (two parts each), values, weights in tiles; scores and
 * results as floats. All (per pair of lanes) x (what it is made of). */
struct layout {
    size_t q, k, v, p, scores, acc, end;
    int pairs;
};

static struct layout scratch_layout(int head_dim, int rows)
{
    struct layout l = {.pairs = (rows + PAIR - 1) / PAIR};
    size_t dim = (size_t)head_dim, padded = (size_t)l.pairs * PAIR;
    l.q = ((size_t)l.pairs * sizeof(struct rows) + 63) / 64 * 64;
    l.k = l.q + padded * dim * 2 * 2;
    l.v = l.k + KEYS * dim * 2 * 2;
    l.p = l.v + KEYS * dim * 2;
    l.scores = l.p + KEYS * PAIR * 2;
    l.acc = l.scores + KEYS * PAIR * sizeof(float);
    l.end = l.acc + padded * dim * sizeof(float);
    return l;
}

static bool has_tiles(enum tensor_type type, int head_dim, int rows)
{
    return type == TENSOR_F16 && head_dim % STEP == 0 && rows >= MIN_ROWS;
}

static size_t scratch_bytes(int head_dim, int n_group, int n_q)
{
    size_t plain = simpler.scratch_bytes(head_dim, n_group, n_q);
    size_t own = scratch_layout(head_dim, n_group * n_q).end;
    return own > plain ? own : plain;
}

/* 16 query rows x 32 dims to the right operand's form, (pair of dims, row), high and low part. */
static void pack_query_tile(const float *const row[LANES], int dim, float scale, uint8_t *high_tile,
                            uint8_t *low_tile)
{
    const __m512 factor = _mm512_set1_ps(scale), zero = _mm512_setzero_ps();
    __m512i high[LANES], low[LANES];
    UNROLL for (int i = 0; i < LANES; i++) {
        __m512 a = row[i] ? _mm512_mul_ps(_mm512_loadu_ps(row[i] + dim), factor) : zero;
        __m512 b = row[i] ? _mm512_mul_ps(_mm512_loadu_ps(row[i] + dim + 16), factor) : zero;
        high[i] = amx_round(a, b);
        low[i] = amx_rest(a, b, high[i]);
    }
    avx512_transpose(high);
    avx512_transpose(low);
    for (int i = 0; i < LANES; i++) {
        _mm512_store_si512(high_tile + 64 * i, high[i]);
        _mm512_store_si512(low_tile + 64 * i, low[i]);
    }
}

/* Row-major results to (pair, dim, 32 rows). */
static void load_results(const struct attn_args *a, float *acc)
{
    size_t dim = (size_t)a->head_dim;
    int n_rows = a->n_q * a->n_group;
    for (int first = 0; first < n_rows; first += LANES) {
        float *to = acc + (size_t)(first / PAIR) * dim * PAIR + first % PAIR;
        for (size_t j = 0; j < dim; j += 16) {
            __m512i v[16];
            UNROLL for (int i = 0; i < 16; i++)
                v[i] = first + i < n_rows
                           ? _mm512_loadu_si512(a->acc + (size_t)(first + i) * dim + j)
                           : _mm512_setzero_si512();
            avx512_transpose(v);
            UNROLL for (size_t i = 0; i < 16; i++)
                _mm512_store_si512(to + (j + i) * PAIR, v[i]);
        }
    }
}

/* Queries of each pair: for each 32 dims two high tiles, two low ones. */
static void setup(const struct attn_args *a, unsigned char *scratch, const struct layout *l)
{
    struct rows *all = (struct rows *)(void *)scratch;
    uint8_t *to = scratch + l->q;
    float scale = a->scale * LOG2_E;
    int n_rows = a->n_q * a->n_group;
    for (int first = 0; first < n_rows; first += PAIR, all++) {
        const float *row[PAIR];
        for (int i = 0; i < PAIR; i++) {
            int r = first + i, token = r / a->n_group;
            row[i] = r >= n_rows ? NULL
                                 : a->q + (size_t)token * a->q_stride +
                                       (size_t)(r % a->n_group) * (size_t)a->head_dim;
            bool earlier = a->resume && r < n_rows && a->sum[r] > 0;
            all->max[i] = earlier ? rintf(a->max[r] * LOG2_E) : NOTHING;
            all->sum[i] = earlier ? a->sum[r] : 0;
            all->seen[i] = a->n_visible + (r < n_rows ? token : a->n_q - 1);
        }
        for (int dim = 0; dim < a->head_dim; dim += STEP, to += 4 * TILE)
            for (int half = 0; half < 2; half++)
                pack_query_tile(row + half * LANES, dim, scale, to + half * TILE,
                                to + (2 + half) * TILE);
    }
    memset(scratch + l->acc, 0, l->end - l->acc);
    if (a->resume)
        load_results(a, (float *)(void *)(scratch + l->acc));
}

/* Where the keys of a block lie; beyond the last one, NULL. */
struct block {
    int first, n, padded; /* padded: a multiple of 32 */
    const uint16_t *k[KEYS], *v[KEYS];
};

static void find_block(const struct attn_args *a, int first, int n, struct block *b)
{
    size_t dim = (size_t)a->head_dim;
    const struct kv_span *span = a->spans;
    int at = first;
    b->first = first;
    b->n = n;
    b->padded = (n + STEP - 1) / STEP * STEP;
    for (int i = 0; i < n; i++, at++) {
        while (at >= span->n)
            at -= span++->n;
        b->k[i] = (const uint16_t *)span->k + (size_t)at * dim;
        b->v[i] = (const uint16_t *)span->v + (size_t)at * dim;
    }
    for (int i = n; i < b->padded; i++)
        b->k[i] = b->v[i] = NULL;
}

AVX512_INLINE __m512 load_half(const uint16_t *row, size_t i)
{
    if (!row)
        return _mm512_setzero_ps();
    return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)(row + i)));
}

/* Keys: for each 32 keys, for each 32 dims: two high tiles of 16 keys, two low ones. */
static void pack_keys(const struct block *b, size_t dim, uint8_t *to)
{
    for (int key = 0; key < b->padded; key++) {
        uint8_t *line = to + (size_t)(key / STEP) * dim / STEP * 4 * TILE +
                        (size_t)(key / LANES % 2) * TILE + (size_t)(key % LANES) * 64;
        for (size_t j = 0; j < dim; j += STEP, line += 4 * TILE) {
            __m512 low = load_half(b->k[key], j), high = load_half(b->k[key], j + 16);
            __m512i rounded = amx_round(low, high);
            _mm512_store_si512(line, rounded);
            _mm512_store_si512(line + 2 * TILE, amx_rest(low, high, rounded));
        }
    }
}

/* Two vectors of 16 floats to 16 pairs of bfloat16. */
AVX512_INLINE __m512i pair_up(__m512 first, __m512 second)
{
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9,
                                           24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1,
                                           16, 0);
    return _mm512_permutexvar_epi16(order, amx_round(first, second));
}

/* Values, transposed: for each 32 keys, for each 16 dims a tile (dim, key). */
static void pack_values(const struct block *b, size_t dim, uint8_t *to)
{
    for (int key = 0; key < b->padded; key += STEP)
        for (size_t j = 0; j < dim; j += LANES, to += TILE) {
            __m512i v[LANES];
            UNROLL for (int i = 0; i < LANES; i++)
                v[i] = pair_up(load_half(b->v[key + 2 * i], j),
                               load_half(b->v[key + 2 * i + 1], j));
            avx512_transpose(v);
            for (int i = 0; i < LANES; i++)
                _mm512_store_si512(to + 64 * i, v[i]);
        }
}

/* Tiles 0 to 3 are sums of left x right: 0 x 0, 0 x 1, 1 x 0, 1 x 1. */
AVX512_INLINE void multiply(const uint8_t *left, const uint8_t *right)
{
    _tile_loadd(4, left, 64);
    _tile_loadd(6, right, 64);
    _tile_loadd(5, left + TILE, 64);
    _tile_loadd(7, right + TILE, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
}

/* Scores of all keys of a block: floats (key, 32 rows). */
static void score(const struct block *b, size_t dim, const uint8_t *k, const uint8_t *q,
                  float *scores)
{
    for (int key = 0; key < b->padded; key += STEP, scores += STEP * PAIR) {
        const uint8_t *right = q;
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        for (size_t j = 0; j < dim; j += STEP, k += 4 * TILE, right += 4 * TILE) {
            multiply(k + 2 * TILE, right);
            multiply(k, right + 2 * TILE);
            multiply(k, right);
        }
        _tile_stored(0, scores, PAIR * 4);
        _tile_stored(1, scores + LANES, PAIR * 4);
        _tile_stored(2, scores + LANES * PAIR, PAIR * 4);
        _tile_stored(3, scores + LANES * PAIR + LANES, PAIR * 4);
    }
}

/* Hide the keys that a row may not see. */
static void hide(const struct block *b, const int32_t *seen, float *scores)
{
    __m512i limit = _mm512_sub_epi32(_mm512_loadu_si512(seen), _mm512_set1_epi32(b->first));
    limit = _mm512_min_epi32(limit, _mm512_set1_epi32(b->n));
    for (int key = 0; key < b->padded; key++, scores += PAIR)
        _mm512_mask_store_ps(scores, _mm512_cmple_epi32_mask(limit, _mm512_set1_epi32(key)),
                             _mm512_set1_ps(NOTHING));
}

/* 2^x for x <= 0, to the precision that is left after rounding to bfloat16 (relative 4e-6). */
AVX512_INLINE __m512 power_of_two(__m512 x)
{
    __m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_sub_ps(x, n);
    __m512 p = _mm512_set1_ps(9.6181291e-3f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.5504109e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(2.4022651e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(6.9314718e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, n);
}

/* Softmax of 16 rows: scores to weights, (pair of keys, row); returns the factor for older sums. */
static __m512 weigh(int padded, const float *scores, float *max, float *sum, uint8_t *p)
{
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000u);
    __m512 before = _mm512_load_ps(max), most = before, other = before;
    for (int key = 0; key < padded; key += 2) {
        most = _mm512_max_ps(most, _mm512_load_ps(scores + key * PAIR));
        other = _mm512_max_ps(other, _mm512_load_ps(scores + (key + 1) * PAIR));
    }
    /* Whole numbers, so that they come back unchanged from natural logarithms, and shrinking is
     * exact. */
    most = _mm512_roundscale_ps(_mm512_max_ps(most, other),
                                _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
    /* A row that has seen nothing yet: far above NOTHING, so that its weights become 0. */
    __m512 base = _mm512_max_ps(most, _mm512_set1_ps(NOTHING / 10));
    __m512 even = _mm512_setzero_ps(), odd = even;
    for (int key = 0; key < padded; key += 2, p += 64) {
        __m512 a = power_of_two(_mm512_sub_ps(_mm512_load_ps(scores + key * PAIR), base));
        __m512 b = power_of_two(_mm512_sub_ps(_mm512_load_ps(scores + (key + 1) * PAIR), base));
        __m512i pairs = pair_up(a, b);
        _mm512_store_si512(p, pairs);
        even = _mm512_add_ps(even, _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)));
        odd = _mm512_add_ps(odd, _mm512_castsi512_ps(_mm512_and_si512(pairs, upper)));
    }
    __m512 shrink = power_of_two(_mm512_sub_ps(before, base));
    _mm512_store_ps(max, most);
    _mm512_store_ps(sum, _mm512_fmadd_ps(_mm512_load_ps(sum), shrink, _mm512_add_ps(even, odd)));
    return shrink;
}

/* Results of 16 rows, (dim, 32 rows), times a factor per row. */
static void shrink_rows(size_t dim, __m512 shrink, float *acc)
{
    if (_mm512_cmp_ps_mask(shrink, _mm512_set1_ps(1), _CMP_NEQ_OQ) == 0)
        return;
    for (size_t j = 0; j < dim; j++, acc += PAIR)
        _mm512_store_ps(acc, _mm512_mul_ps(_mm512_load_ps(acc), shrink));
}

/* acc, (dim, 32 rows), += V^T P. Weights: for each 32 keys two tiles of 16 rows. */
static void add_values(int padded, size_t dim, const uint8_t *v, const uint8_t *p, float *acc)
{
    for (size_t j = 0; j < dim; j += STEP, acc += STEP * PAIR) {
        const uint8_t *left = v + j / LANES * TILE, *right = p;
        _tile_loadd(0, acc, PAIR * 4);
        _tile_loadd(1, acc + LANES, PAIR * 4);
        _tile_loadd(2, acc + LANES * PAIR, PAIR * 4);
        _tile_loadd(3, acc + LANES * PAIR + LANES, PAIR * 4);
        for (int key = 0; key < padded; key += STEP) {
            _tile_loadd(4, left, 64);
            _tile_loadd(6, right, 64);
            _tile_loadd(5, left + TILE, 64);
            _tile_loadd(7, right + KEYS / STEP * TILE, 64);
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 4, 7);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
            left += dim / LANES * TILE;
            right += TILE;
        }
        _tile_stored(0, acc, PAIR * 4);
        _tile_stored(1, acc + LANES, PAIR * 4);
        _tile_stored(2, acc + LANES * PAIR, PAIR * 4);
        _tile_stored(3, acc + LANES * PAIR + LANES, PAIR * 4);
    }
}

static void absorb(const struct block *b, size_t dim, unsigned char *scratch,
                   const struct layout *l, int pair)
{
    struct rows *rows = (struct rows *)(void *)scratch + pair;
    float *scores = (float *)(void *)(scratch + l->scores);
    float *acc = (float *)(void *)(scratch + l->acc) + (size_t)pair * dim * PAIR;
    uint8_t *p = scratch + l->p;
    if (rows->seen[PAIR - 1] <= b->first)
        return; /* all keys lie ahead of these rows; seen grows along the rows */
    score(b, dim, scratch + l->k, scratch + l->q + (size_t)pair * dim / STEP * 4 * TILE, scores);
    amx_barrier();
    for (int half = 0; half < 2; half++) {
        if (b->n < b->padded || rows->seen[half * LANES] < b->first + b->n)
            hide(b, rows->seen + half * LANES, scores + half * LANES);
        __m512 shrink = weigh(b->padded, scores + half * LANES, rows->max + half * LANES,
                              rows->sum + half * LANES, p + half * (KEYS / STEP) * TILE);
        shrink_rows(dim, shrink, acc + half * LANES);
    }
    amx_barrier();
    add_values(b->padded, dim, scratch + l->v, p, acc);
}

/* Row-major results, maxima in natural logarithms. */
static void store_results(const struct attn_args *a, const unsigned char *scratch,
                          const struct layout *l)
{
    const struct rows *all = (const struct rows *)(const void *)scratch;
    const float *acc = (const float *)(const void *)(scratch + l->acc);
    size_t dim = (size_t)a->head_dim;
    int n_rows = a->n_q * a->n_group;
    for (int first = 0; first < n_rows; first += LANES) {
        const struct rows *rows = all + first / PAIR;
        const float *from = acc + (size_t)(first / PAIR) * dim * PAIR + first % PAIR;
        int n = n_rows - first < LANES ? n_rows - first : LANES;
        for (int i = 0; i < n; i++) {
            float max = rows->max[first % PAIR + i];
            a->max[first + i] = max > NOTHING ? max * LN_2 : -INFINITY;
            a->sum[first + i] = rows->sum[first % PAIR + i];
        }
        for (size_t j = 0; j < dim; j += 16) {
            __m512i v[16];
            UNROLL for (size_t i = 0; i < 16; i++)
                v[i] = _mm512_load_si512(from + (j + i) * PAIR);
            avx512_transpose(v);
            UNROLL for (int i = 0; i < 16; i++)
                if (i < n)
                    _mm512_storeu_si512(a->acc + (size_t)(first + i) * dim + j, v[i]);
        }
    }
}

static void attend(const struct attn_args *a)
{
    int n_rows = a->n_q * a->n_group;
    if (!has_tiles(a->type, a->head_dim, n_rows)) {
        simpler.attend(a);
        return;
    }
    size_t dim = (size_t)a->head_dim;
    unsigned char *scratch = a->scratch;
    struct layout l = scratch_layout(a->head_dim, n_rows);
    amx_configure();
    setup(a, scratch, &l);
    for (int first = a->key_begin; first < a->key_end; first += KEYS) {
        struct block b;
        find_block(a, first, a->key_end - first < KEYS ? a->key_end - first : KEYS, &b);
        pack_keys(&b, dim, scratch + l.k);
        pack_values(&b, dim, scratch + l.v);
        amx_barrier();
        for (int pair = 0; pair < l.pairs; pair++)
            absorb(&b, dim, scratch, &l, pair);
    }
    _tile_release();
    store_results(a, scratch, &l);
}

void amx_fill_attend(struct kernels *table)
{
    simpler.attend = table->attend;
    simpler.scratch_bytes = table->attn_scratch_bytes;
    table->attend = attend;
    table->attn_scratch_bytes = scratch_bytes;
}

#endif
