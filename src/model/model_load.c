/*
 * model_load.c: make a bound model's weights resident. Copying reads the file with pread into one
 * block of huge pages: the weights are then in memory once (the file's cached pages belong to the
 * system, which may drop them), and decode walks them with few TLB misses. Mapping asks the system
 * to read ahead instead. Until everything has succeeded the tensors keep pointing into the mapping.
 */
#include "model/model.h"

#include "base/mem.h"
#include "base/os.h"
#include "base/pool.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    TENSOR_ALIGN = 64,       /* a cache line, and the widest vector */
    CHUNK_BYTES = 4 << 20,   /* one read: two huge pages */
    CHUNKS_PER_STEP = 32,    /* between two calls of the progress callback */
    MAX_READERS = 8,
};

struct chunk {
    unsigned char *to;
    uint64_t from; /* offset in the file */
    size_t bytes;
};

struct copy {
    const struct model *m;
    struct chunk *chunks;
    size_t n_chunks, first; /* first: of the step under way */
    atomic_bool failed;
    ashlar_status status; /* of the first failure */
    ashlar_error *err;
};

static size_t tensor_bytes(const struct tensor *t)
{
    return (size_t)t->n_rows * t->row_bytes;
}

static size_t aligned(size_t bytes)
{
    return (bytes + TENSOR_ALIGN - 1) & ~(size_t)(TENSOR_ALIGN - 1);
}

/* ---- copying ------------------------------------------------------------------------------- */

static void plan_chunks(struct copy *c, unsigned char *pages)
{
    const struct model *m = c->m;
    for (int i = 0; i < m->n_tensors; i++) {
        const struct tensor *t = m->tensors[i];
        uint64_t from = (uint64_t)((const unsigned char *)t->data - gguf_data(m->gguf));
        size_t bytes = tensor_bytes(t);
        for (size_t at = 0; at < bytes; at += CHUNK_BYTES) {
            size_t n = bytes - at < CHUNK_BYTES ? bytes - at : CHUNK_BYTES;
            c->chunks[c->n_chunks++] = (struct chunk){pages + at, from + at, n};
        }
        pages += aligned(bytes);
    }
}

static void read_chunk(void *context, int chunk, int n_chunks, int thread)
{
    struct copy *c = context;
    (void)n_chunks;
    (void)thread;
    if (atomic_load(&c->failed))
        return;
    const struct chunk *k = &c->chunks[c->first + (size_t)chunk];
    ashlar_error err;
    ashlar_status s = os_pread_full(gguf_fd(c->m->gguf), k->to, k->bytes, k->from,
                                    gguf_path(c->m->gguf), &err);
    if (s != ASHLAR_OK && !atomic_exchange(&c->failed, true)) {
        c->status = s;
        if (c->err)
            *c->err = err;
    }
}

static ashlar_status read_all(struct copy *c, struct pool *pool, const struct log *log)
{
    uint64_t done = 0, total = c->m->weights_bytes;
    while (c->first < c->n_chunks) {
        if (!log_progress(log, "load", done, total))
            return error_set(c->err, ASHLAR_CANCELLED, "%s: loading was cancelled",
                             gguf_path(c->m->gguf));
        size_t n = c->n_chunks - c->first;
        if (n > CHUNKS_PER_STEP)
            n = CHUNKS_PER_STEP;
        pool_run(pool, (int)n, read_chunk, c);
        if (c->status != ASHLAR_OK)
            return c->status;
        for (size_t i = 0; i < n; i++)
            done += c->chunks[c->first + i].bytes;
        c->first += n;
    }
    log_progress(log, "load", total, total);
    return ASHLAR_OK;
}

static void repoint(struct model *m, unsigned char *pages)
{
    bool tied = m->output.data == m->token_embd.data;
    for (int i = 0; i < m->n_tensors; i++) {
        m->tensors[i]->data = pages;
        pages += aligned(tensor_bytes(m->tensors[i]));
    }
    if (tied)
        m->output.data = m->token_embd.data;
}

/* Reads into pages; the model is not changed. */
static ashlar_status fill_pages(const struct model *m, unsigned char *pages, const struct log *log,
                                ashlar_error *err)
{
    size_t max_chunks = (size_t)(m->weights_bytes / CHUNK_BYTES) + (size_t)m->n_tensors;
    struct copy c = {.m = m, .chunks = mem_array(max_chunks, sizeof *c.chunks), .err = err};
    if (!c.chunks)
        return error_memory(err, max_chunks * sizeof *c.chunks, "the list of reads");
    plan_chunks(&c, pages);
    struct pool *pool;
    int cores = os_cores();
    ashlar_status s = pool_new(cores < MAX_READERS ? cores : MAX_READERS, &pool, err);
    if (s == ASHLAR_OK) {
        s = read_all(&c, pool, log);
        pool_free(pool);
    }
    free(c.chunks);
    return s;
}

static ashlar_status copy_weights(struct model *m, const struct log *log, ashlar_error *err)
{
    size_t bytes = 0;
    for (int i = 0; i < m->n_tensors; i++)
        bytes += aligned(tensor_bytes(m->tensors[i]));
    void *pages = mem_pages(bytes);
    if (!pages)
        return error_memory(err, bytes, "the weights");
    ashlar_status s = fill_pages(m, pages, log, err);
    if (s != ASHLAR_OK) {
        mem_pages_free(pages, bytes);
        return s;
    }
    repoint(m, pages);
    m->pages = pages;
    m->pages_bytes = bytes;
    return ASHLAR_OK;
}

/* ---- mapping ------------------------------------------------------------------------------- */

static ashlar_status read_ahead(const struct model *m, const struct log *log, ashlar_error *err)
{
    const unsigned char *data = gguf_data(m->gguf);
    uint64_t first = gguf_size(m->gguf), page = (uint64_t)sysconf(_SC_PAGESIZE);
    if (!log_progress(log, "load", 0, m->weights_bytes))
        return error_set(err, ASHLAR_CANCELLED, "%s: loading was cancelled", gguf_path(m->gguf));
    for (int i = 0; i < m->n_tensors; i++) {
        uint64_t at = (uint64_t)((const unsigned char *)m->tensors[i]->data - data);
        first = at < first ? at : first;
    }
    first -= first % page;
    /* Advice only: where it is refused, pages come in when they are touched. */
    if (gguf_fd(m->gguf) >= 0)
        madvise((void *)(data + first), (size_t)(gguf_size(m->gguf) - first), MADV_WILLNEED);
    log_progress(log, "load", m->weights_bytes, m->weights_bytes);
    return ASHLAR_OK;
}

/* ---- checking ------------------------------------------------------------------------------ */

/* One NaN in a norm makes every logit NaN. Matrices are not read here: that would cost seconds. */
static ashlar_status check_vectors(const struct model *m, ashlar_error *err)
{
    for (int i = 0; i < m->n_tensors; i++) {
        const struct tensor *t = m->tensors[i];
        if (t->n_rows != 1 || t->type != TENSOR_F32)
            continue;
        const float *x = t->data;
        for (int k = 0; k < t->n_cols; k++) {
            bool fits = isfinite(x[k]) && (t != &m->rope_freqs || x[k] > 0);
            if (!fits)
                return error_set(err, ASHLAR_BAD_INPUT, "%s: tensor %s: value %d is %g",
                                 gguf_path(m->gguf), t->name, k, (double)x[k]);
        }
    }
    return ASHLAR_OK;
}

ashlar_status model_load(struct model *m, bool map, const struct log *log, ashlar_error *err)
{
    ashlar_status s;
    if (map || gguf_fd(m->gguf) < 0)
        s = read_ahead(m, log, err);
    else
        s = copy_weights(m, log, err);
    return s == ASHLAR_OK ? check_vectors(m, err) : s;
}
