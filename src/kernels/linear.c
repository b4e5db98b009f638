/*
 * linear.c: cuts matrix products into chunks of weight rows for the pool.
 *
 * Few tokens (decode): activations are quantised once, then every chunk of rows is read from
 * memory once and multiplied with each token while it is in the cache. Many tokens (prefill): phase
 * one packs the activations into the GEMM's blocks, phase two unpacks one panel of weight rows at a
 * time into the thread's scratch and passes all tokens over it. Long rows are cut into slices of
 * at most SLICE_MAX columns so that a panel fits the L2 cache; the slices add up in y.
 *
 * Invariant: chunk sizes depend on shapes and types only, never on the number of threads, and each
 * chunk owns its rows of y, so the result is the same for any number of threads.
 */
#include "kernels/linear.h"

#include <assert.h>
#include <string.h>

enum {
    SLICE_MAX = 2048,        /* columns of a GEMM slice, a multiple of SLICE_ALIGN */
    SLICE_ALIGN = 256,       /* the longest weight block */
    CHUNK_BYTES = 128 << 10, /* weights of one decode chunk: a few microseconds of reading */
    CHUNK_ROWS_MAX = 256,
    ROWS_ALIGN = 16,
    BATCH_ROWS = 32,         /* rows that stay in L1 while several tokens pass */
    TOKENS_AT_ONCE = 8,      /* BATCH_ROWS * TOKENS_AT_ONCE results are CHUNK_ROWS_MAX at most */
    JOBS_MAX = 8
};

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

static int divide_up(int a, int b)
{
    return (int)(((int64_t)a + b - 1) / b);
}

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* Layout of one token's quantised row: q (k), d (k / 32), s (k / 16), each 64-byte aligned. */
static size_t act_d_offset(int k)
{
    return round_up((size_t)k, 64);
}

static size_t act_s_offset(int k)
{
    return act_d_offset(k) + round_up((size_t)(k / ACT_BLOCK) * sizeof(float), 64);
}

static size_t act_bytes(int k)
{
    return act_s_offset(k) + round_up((size_t)(k / ACT_SUM_BLOCK) * sizeof(float), 64);
}

/* Columns per GEMM slice of a row of k: equal slices, so that none is short. */
static int slice_columns(int k)
{
    int n = divide_up(k, SLICE_MAX);
    return n == 1 ? k : (int)round_up((size_t)divide_up(k, n), SLICE_ALIGN);
}

static size_t gemm_packed_bytes(const struct gemm_kernel *gemm, int max_tokens, int max_k)
{
    /* No k up to max_k has more slices, or longer ones. */
    int longest = max_k < SLICE_MAX ? (int)round_up((size_t)max_k, SLICE_ALIGN) : SLICE_MAX;
    size_t slices = (size_t)divide_up(max_k, SLICE_MAX);
    size_t blocks = (size_t)divide_up(max_tokens, gemm->tokens);
    return slices * blocks * round_up(gemm->block_bytes(longest), 64);
}

static void scratch_sizes(const struct kernels *kernels, int max_tokens, int max_k, size_t *packed,
                          size_t *panel)
{
    *packed = (size_t)max_tokens * act_bytes((int)round_up((size_t)max_k, SLICE_ALIGN));
    *panel = 0;
    if (max_tokens < kernels->gemm_min_tokens)
        return;
    for (int type = 0; type < TENSOR_TYPE_COUNT; type++) {
        const struct gemm_kernel *gemm = kernels->gemm[type];
        if (!gemm)
            continue;
        size_t need = gemm_packed_bytes(gemm, max_tokens, max_k);
        if (need > *packed)
            *packed = need;
        int longest = max_k < SLICE_MAX ? (int)round_up((size_t)max_k, SLICE_ALIGN) : SLICE_MAX;
        need = round_up(gemm->panel_bytes(longest), 64);
        if (need > *panel)
            *panel = need;
    }
}

size_t linear_bytes(const struct kernels *kernels, int n_threads, int max_tokens, int max_k)
{
    size_t packed, panel;
    scratch_sizes(kernels, max_tokens, max_k, &packed, &panel);
    return arena_piece(packed) + arena_piece(panel * (size_t)n_threads);
}

bool linear_init(struct linear *l, const struct kernels *kernels, struct pool *pool, int max_tokens,
                 int max_k, struct arena *arena)
{
    *l = (struct linear){
        .kernels = kernels, .pool = pool, .max_tokens = max_tokens, .max_k = max_k};
    scratch_sizes(kernels, max_tokens, max_k, &l->packed_bytes, &l->panel_bytes);
    l->packed = arena_take(arena, l->packed_bytes);
    l->panels = arena_take(arena, l->panel_bytes * (size_t)pool_threads(pool));
    return l->packed && l->panels;
}

/* What one call works on; the chunks of all jobs are numbered one after another. */
struct work {
    struct linear *l;
    int k, n_tok;
    const float *x;
    size_t x_stride;
    const struct gemm_kernel *gemm; /* NULL: dot products */
    int slice, n_slices, n_blocks;
    size_t block_bytes;
    int n_jobs;
    const struct linear_job *jobs[JOBS_MAX];
    int chunk_rows[JOBS_MAX];
    int chunk_end[JOBS_MAX]; /* number of the first chunk behind job i */
};

static void add_job(struct work *work, const struct linear_job *job, int chunk_rows)
{
    int i = work->n_jobs++;
    int before = i ? work->chunk_end[i - 1] : 0;
    work->jobs[i] = job;
    work->chunk_rows[i] = chunk_rows;
    work->chunk_end[i] = before + divide_up(job->w->n_rows, chunk_rows);
}

static int chunk_count(const struct work *work)
{
    return work->n_jobs ? work->chunk_end[work->n_jobs - 1] : 0;
}

/* The job and rows of chunk `chunk`. */
static const struct linear_job *find_chunk(const struct work *work, int chunk, int *row,
                                           int *n_rows)
{
    int i = 0;
    while (chunk >= work->chunk_end[i])
        i++;
    if (i)
        chunk -= work->chunk_end[i - 1];
    *row = chunk * work->chunk_rows[i];
    *n_rows = min_int(work->chunk_rows[i], work->jobs[i]->w->n_rows - *row);
    return work->jobs[i];
}

/* ---- Few tokens: dot products ---- */

static struct act_row act_row_at(const struct work *work, int token)
{
    struct act_row row = {.f = work->x + (size_t)token * work->x_stride};
    if (work->k % ACT_BLOCK == 0) {
        unsigned char *at = work->l->packed + (size_t)token * act_bytes(work->k);
        row.q = (const int8_t *)at;
        row.d = (const float *)(const void *)(at + act_d_offset(work->k));
        row.s = (const float *)(const void *)(at + act_s_offset(work->k));
    }
    return row;
}

static void quantize_token(void *context, int token, int n_chunks, int thread)
{
    struct work *work = context;
    (void)n_chunks;
    (void)thread;
    unsigned char *at = work->l->packed + (size_t)token * act_bytes(work->k);
    work->l->kernels->act_quantize(work->k, work->x + (size_t)token * work->x_stride, (int8_t *)at,
                                   (float *)(void *)(at + act_d_offset(work->k)),
                                   (float *)(void *)(at + act_s_offset(work->k)));
}

/* Products of rows [row, row + n) and tokens [token, token + n_tok). */
static void multiply_rows(const struct work *work, const struct tensor *w, int row, int n,
                          int token, int n_tok, float *y, size_t y_stride)
{
    const struct kernels *kernels = work->l->kernels;
    const unsigned char *data = (const unsigned char *)w->data + (size_t)row * w->row_bytes;
    struct act_row x[TOKENS_AT_ONCE];
    for (int t = 0; t < n_tok; t++)
        x[t] = act_row_at(work, token + t);
    if (n_tok > 1 && kernels->dots[w->type]) {
        kernels->dots[w->type](n, n_tok, work->k, data, w->row_bytes, x, y, y_stride);
        return;
    }
    for (int t = 0; t < n_tok; t++)
        kernels->dot[w->type](n, work->k, data, w->row_bytes, &x[t], y + (size_t)t * y_stride);
}

/* The same of one job, with bias and add. */
static void dot_rows(const struct work *work, const struct linear_job *job, int row, int n,
                     int token, int n_tok)
{
    float *y = job->y + (size_t)token * job->y_stride + row, sum[CHUNK_ROWS_MAX];
    if (!job->add)
        multiply_rows(work, job->w, row, n, token, n_tok, y, job->y_stride);
    else
        multiply_rows(work, job->w, row, n, token, n_tok, sum, (size_t)n);
    for (int t = 0; t < n_tok; t++, y += job->y_stride)
        for (int i = 0; i < n && (job->add || job->bias); i++)
            y[i] += (job->add ? sum[t * n + i] : 0.0f) + (job->bias ? job->bias[row + i] : 0.0f);
}

static void dot_chunk(void *context, int chunk, int n_chunks, int thread)
{
    const struct work *work = context;
    (void)n_chunks;
    (void)thread;
    int row, n_rows;
    const struct linear_job *job = find_chunk(work, chunk, &row, &n_rows);
    int batch = work->n_tok > 1 ? BATCH_ROWS : n_rows;
    for (int i = 0; i < n_rows; i += batch)
        for (int t = 0; t < work->n_tok; t += TOKENS_AT_ONCE)
            dot_rows(work, job, row + i, min_int(batch, n_rows - i), t,
                     min_int(TOKENS_AT_ONCE, work->n_tok - t));
}

static int dot_chunk_rows(const struct tensor *w)
{
    size_t rows = CHUNK_BYTES / (w->row_bytes ? w->row_bytes : 1) / ROWS_ALIGN * ROWS_ALIGN;
    if (rows < ROWS_ALIGN)
        return ROWS_ALIGN;
    return rows > CHUNK_ROWS_MAX ? CHUNK_ROWS_MAX : (int)rows;
}

static void run_dots(struct work *work, const struct linear_job *const *jobs, int n_jobs)
{
    struct linear *l = work->l;
    bool quantized = false;
    for (int i = 0; i < n_jobs; i++) {
        add_job(work, jobs[i], dot_chunk_rows(jobs[i]->w));
        quantized |= l->kernels->unpack[jobs[i]->w->type] != NULL;
    }
    if (quantized && work->n_tok == 1)
        quantize_token(work, 0, 1, 0); /* cheaper than waking the pool */
    else if (quantized)
        pool_run(l->pool, work->n_tok, quantize_token, work);
    pool_run(l->pool, chunk_count(work), dot_chunk, work);
}

/* ---- Many tokens: packed GEMM ---- */

static unsigned char *packed_block(const struct work *work, int slice, int block)
{
    return work->l->packed + ((size_t)slice * (size_t)work->n_blocks + (size_t)block) *
                                 work->block_bytes;
}

static int slice_length(const struct work *work, int slice)
{
    return min_int(work->slice, work->k - slice * work->slice);
}

static int block_tokens(const struct work *work, int block)
{
    return min_int(work->gemm->tokens, work->n_tok - block * work->gemm->tokens);
}

static void pack_chunk(void *context, int chunk, int n_chunks, int thread)
{
    const struct work *work = context;
    (void)n_chunks;
    (void)thread;
    int slice = chunk / work->n_blocks, block = chunk % work->n_blocks;
    size_t first = (size_t)block * (size_t)work->gemm->tokens;
    work->gemm->pack_x(slice_length(work, slice), block_tokens(work, block),
                       work->x + first * work->x_stride + (size_t)slice * (size_t)work->slice,
                       work->x_stride, packed_block(work, slice, block));
}

/* Start rows [row, row + n) of y with the bias, so that the products may add to it. */
static void apply_bias(const struct work *work, const struct linear_job *job, int row, int n)
{
    for (int t = 0; t < work->n_tok; t++) {
        float *y = job->y + (size_t)t * job->y_stride + row;
        for (int i = 0; i < n; i++)
            y[i] = (job->add ? y[i] : 0.0f) + job->bias[row + i];
    }
}

static void gemm_chunk(void *context, int chunk, int n_chunks, int thread)
{
    const struct work *work = context;
    const struct gemm_kernel *gemm = work->gemm;
    (void)n_chunks;
    int row, n_rows;
    const struct linear_job *job = find_chunk(work, chunk, &row, &n_rows);
    unsigned char *panel = work->l->panels + (size_t)thread * work->l->panel_bytes;
    const struct tensor_type_info *info = tensor_type_info(job->w->type);
    if (job->bias)
        apply_bias(work, job, row, n_rows);
    for (int s = 0; s < work->n_slices; s++) {
        int first = s * work->slice;
        struct tensor view = *job->w;
        view.data = (const unsigned char *)view.data +
                    (size_t)(first / info->block) * (size_t)info->bytes;
        view.n_cols = slice_length(work, s);
        gemm->pack_w(&view, row, n_rows, panel);
        for (int b = 0; b < work->n_blocks; b++) {
            size_t token = (size_t)b * (size_t)gemm->tokens;
            gemm->run(view.n_cols, n_rows, block_tokens(work, b), panel, packed_block(work, s, b),
                      job->y + token * job->y_stride + row, job->y_stride,
                      job->add || job->bias || s > 0);
        }
    }
}

static void run_gemm(struct work *work, const struct linear_job *const *jobs, int n_jobs)
{
    struct linear *l = work->l;
    for (int i = 0; i < n_jobs; i++)
        add_job(work, jobs[i], work->gemm->rows);
    work->slice = slice_columns(work->k);
    work->n_slices = divide_up(work->k, work->slice);
    work->n_blocks = divide_up(work->n_tok, work->gemm->tokens);
    work->block_bytes = round_up(work->gemm->block_bytes(work->slice), 64);
    pool_run(l->pool, work->n_slices * work->n_blocks, pack_chunk, work);
    pool_run(l->pool, chunk_count(work), gemm_chunk, work);
}

/* The GEMM that job runs on with n_tok tokens; NULL: dot products. */
static const struct gemm_kernel *job_gemm(const struct kernels *kernels, int n_tok,
                                          const struct linear_job *job)
{
    int least = kernels->dots[job->w->type] ? kernels->gemm_min_dots : kernels->gemm_min_tokens;
    return n_tok < least ? NULL : kernels->gemm[job->w->type];
}

/* Jobs of one call share a step when they want the activations in the same form. */
static bool same_form(const struct gemm_kernel *a, const struct gemm_kernel *b)
{
    return a == b;
}

void linear_run(struct linear *l, int n_tok, const float *x, size_t x_stride,
                const struct linear_job *jobs, int n_jobs)
{
    if (n_tok == 0 || n_jobs == 0)
        return;
    int k = jobs[0].w->n_cols;
    assert(n_jobs <= JOBS_MAX && n_tok <= l->max_tokens && k <= l->max_k);
    bool done[JOBS_MAX] = {false};
    for (int first = 0; first < n_jobs; first++) {
        if (done[first])
            continue;
        struct work work = {.l = l, .k = k, .n_tok = n_tok, .x = x, .x_stride = x_stride};
        const struct linear_job *alike[JOBS_MAX];
        int n_alike = 0;
        work.gemm = job_gemm(l->kernels, n_tok, &jobs[first]);
        for (int i = first; i < n_jobs; i++) {
            if (done[i] || !same_form(work.gemm, job_gemm(l->kernels, n_tok, &jobs[i])))
                continue;
            assert(jobs[i].w->n_cols == k);
            done[i] = true;
            alike[n_alike++] = &jobs[i];
        }
        if (work.gemm)
            run_gemm(&work, alike, n_alike);
        else
            run_dots(&work, alike, n_alike);
    }
}
