/*
 * forward.c: the forward pass of a decoder-only transformer, in reading order.
 *
 * Rows are tokens of any number of sessions. Row-wise steps run over the pool in chunks of
 * ROW_CHUNK rows. In the last layer only the rows whose logits are wanted go on after their keys
 * and values are stored.
 */
#include "engine/engine.h"

#include <string.h>

#include "base/os.h"

enum { ROW_CHUNK = 8 };

/* What the row-wise steps need: set once per step, read by all threads. */
struct row_step {
    ashlar_engine *e;
    const struct model_layer *layer;
    int index;               /* of the layer */
    const struct tensor *norm;
};

static void run_rows(struct row_step *step, pool_fn fn)
{
    int n_chunks = (step->e->pass.n_rows + ROW_CHUNK - 1) / ROW_CHUNK;
    pool_run(step->e->pool, n_chunks, fn, step);
}

static int chunk_end(const ashlar_engine *e, int chunk)
{
    int end = (chunk + 1) * ROW_CHUNK;
    return end < e->pass.n_rows ? end : e->pass.n_rows;
}

static float *row(float *matrix, int index, int width)
{
    return matrix + (size_t)index * (size_t)width;
}

static void embed_rows(void *context, int chunk, int n_chunks, int thread)
{
    (void)n_chunks, (void)thread;
    ashlar_engine *e = ((struct row_step *)context)->e;
    const struct tensor *t = &e->model->token_embd;
    int n_pairs = e->rope.n_pairs;
    for (int r = chunk * ROW_CHUNK; r < chunk_end(e, chunk); r++) {
        const char *source = (const char *)t->data + (size_t)e->pass.token[r] * t->row_bytes;
        e->kernels->dequantize(t->type, t->n_cols, source, row(e->act.x, r, t->n_cols));
        rope_angles(&e->rope, e->pass.position[r], row(e->act.cosine, r, n_pairs),
                    row(e->act.sine, r, n_pairs));
    }
}

static void norm_rows(void *context, int chunk, int n_chunks, int thread)
{
    (void)n_chunks, (void)thread;
    struct row_step *s = context;
    int n = s->e->info.n_embd;
    for (int r = chunk * ROW_CHUNK; r < chunk_end(s->e, chunk); r++)
        s->e->kernels->rms_norm(n, row(s->e->act.x, r, n), s->norm->data,
                                s->e->model->params.rms_eps, row(s->e->act.normed, r, n));
}

/* Per-head norm where the model has one, then RoPE. */
static void rotate_heads(const ashlar_engine *e, const struct tensor *head_norm, int r, int n_heads,
                         float *heads)
{
    const struct model_params *p = &e->model->params;
    if (head_norm->data)
        for (int h = 0; h < n_heads; h++)
            e->kernels->rms_norm(p->head_dim, row(heads, h, p->head_dim), head_norm->data,
                                 p->rms_eps, row(heads, h, p->head_dim));
    e->kernels->rope(p->rope_neox, n_heads, p->head_dim, p->rope_dims,
                     row(e->act.cosine, r, e->rope.n_pairs), row(e->act.sine, r, e->rope.n_pairs),
                     heads);
}

static void store_key_rows(void *context, int chunk, int n_chunks, int thread)
{
    (void)n_chunks, (void)thread;
    struct row_step *s = context;
    ashlar_engine *e = s->e;
    int width = e->info.n_head_kv * e->info.head_dim;
    for (int r = chunk * ROW_CHUNK; r < chunk_end(e, chunk); r++) {
        float *k = row(e->act.k, r, width);
        rotate_heads(e, &s->layer->k_norm, r, e->info.n_head_kv, k);
        int item = e->pass.item[r];
        e->policy->append(e->kv, s->index, item, r - e->pass.items[item].first_row, k,
                          row(e->act.v, r, width));
    }
}

static void rotate_query_rows(void *context, int chunk, int n_chunks, int thread)
{
    (void)n_chunks, (void)thread;
    struct row_step *s = context;
    int width = s->e->info.n_head * s->e->info.head_dim;
    for (int r = chunk * ROW_CHUNK; r < chunk_end(s->e, chunk); r++)
        rotate_heads(s->e, &s->layer->q_norm, r, s->e->info.n_head, row(s->e->act.q, r, width));
}

static void silu_rows(void *context, int chunk, int n_chunks, int thread)
{
    (void)n_chunks, (void)thread;
    struct row_step *s = context;
    int n = s->e->info.n_ff;
    for (int r = chunk * ROW_CHUNK; r < chunk_end(s->e, chunk); r++) {
        float *gate = row(s->e->act.gate, r, n);
        s->e->kernels->silu_mul(n, gate, row(s->e->act.up, r, n), gate);
    }
}

/* Move the rows whose logits are wanted to the front; they alone are left in the pass. */
static void keep_wanted_rows(ashlar_engine *e)
{
    struct pass *p = &e->pass;
    int n_embd = e->info.n_embd, n_pairs = e->rope.n_pairs, kept = 0;
    for (int i = 0; i < p->n_items; i++) {
        struct pass_item *item = &p->items[i];
        int from = item->first_row + item->n_rows - 1;
        item->first_row = kept;
        item->n_rows = item->wants_logits ? 1 : 0;
        if (!item->wants_logits)
            continue;
        memmove(row(e->act.x, kept, n_embd), row(e->act.x, from, n_embd),
                (size_t)n_embd * sizeof(float));
        memmove(row(e->act.normed, kept, n_embd), row(e->act.normed, from, n_embd),
                (size_t)n_embd * sizeof(float));
        memmove(row(e->act.cosine, kept, n_pairs), row(e->act.cosine, from, n_pairs),
                (size_t)n_pairs * sizeof(float));
        memmove(row(e->act.sine, kept, n_pairs), row(e->act.sine, from, n_pairs),
                (size_t)n_pairs * sizeof(float));
        p->item[kept++] = i;
    }
    p->n_rows = kept;
}

static const float *vector(const struct tensor *t)
{
    return t->data;
}

/* One window of keys: the items that have a part in it and still have rows. */
static void attend(ashlar_engine *e, int layer, int window, ashlar_error *err)
{
    struct pass *p = &e->pass;
    size_t width = (size_t)e->info.n_head * (size_t)e->info.head_dim;
    e->policy->window(e->kv, layer, window, p->views, err);
    int n = 0;
    for (int i = 0; i < p->n_items; i++) {
        const struct pass_item *item = &p->items[i];
        const struct kv_view *view = &p->views[i];
        if (item->n_rows == 0 || p->kv_items[i].status != ASHLAR_OK)
            continue;
        p->attention_items[n++] = (struct attention_item){
            .n_q = item->n_rows,
            .q = e->act.q + (size_t)item->first_row * width,
            .q_stride = width,
            .out = e->act.attended + (size_t)item->first_row * width,
            .out_stride = width,
            .spans = view->spans,
            .n_spans = view->n_spans,
            .n_keys = view->total_keys,
            .first_key = view->first_key,
            .window_keys = view->n_keys,
        };
    }
    double start = os_time_seconds();
    attention_run(&e->attention, p->attention_items, n);
    e->attention_seconds += os_time_seconds() - start;
}

/* Let the policy compare its choice of keys with the queries of single tokens. */
static void meter(ashlar_engine *e, int layer, ashlar_error *err)
{
    const struct pass *p = &e->pass;
    for (int i = 0; i < p->n_items && e->policy->meter; i++)
        if (p->items[i].n_rows == 1 && p->kv_items[i].status == ASHLAR_OK)
            e->policy->meter(e->kv, layer, i, row(e->act.q, p->items[i].first_row,
                                                  e->info.n_head * e->info.head_dim), err);
}

/* A prediction's rows: which row of the pass each came from, for its angles. */
struct probe_step {
    ashlar_engine *e;
    const struct model_layer *layer;
    const int *rows;
    int n_rows;
    float *q;
};

static void rotate_probe(void *context, int chunk, int n_chunks, int thread)
{
    (void)n_chunks, (void)thread;
    const struct probe_step *s = context;
    int width = s->e->info.n_head * s->e->info.head_dim;
    int end = (chunk + 1) * ROW_CHUNK < s->n_rows ? (chunk + 1) * ROW_CHUNK : s->n_rows;
    for (int i = chunk * ROW_CHUNK; i < end; i++)
        rotate_heads(s->e, &s->layer->q_norm, s->rows[i], s->e->info.n_head, row(s->q, i, width));
}

void forward_project(void *engine, int layer, const float *x, size_t x_stride, const int *rows,
                     int n_rows, float *q)
{
    ashlar_engine *e = engine;
    const struct model_layer *w = &e->model->layers[layer];
    size_t n_embd = (size_t)e->info.n_embd;
    for (int i = 0; i < n_rows; i++)
        memcpy(e->act.probe + (size_t)i * n_embd, x + (size_t)rows[i] * x_stride,
               n_embd * sizeof(float));
    const struct linear_job job = {.w = &w->wq,
                                   .bias = vector(&w->bq),
                                   .y = q,
                                   .y_stride = (size_t)e->info.n_head * (size_t)e->info.head_dim};
    linear_run(&e->linear, n_rows, e->act.probe, n_embd, &job, 1);
    struct probe_step step = {e, w, rows, n_rows, q};
    pool_run(e->pool, (n_rows + ROW_CHUNK - 1) / ROW_CHUNK, rotate_probe, &step);
}

static void feed_forward(ashlar_engine *e, const struct model_layer *w)
{
    size_t n_embd = (size_t)e->info.n_embd, n_ff = (size_t)e->info.n_ff;
    struct row_step step = {.e = e, .norm = &w->ffn_norm};
    run_rows(&step, norm_rows);
    const struct linear_job in[2] = {
        {.w = &w->w_gate, .y = e->act.gate, .y_stride = n_ff},
        {.w = &w->w_up, .y = e->act.up, .y_stride = n_ff},
    };
    linear_run(&e->linear, e->pass.n_rows, e->act.normed, n_embd, in, 2);
    run_rows(&step, silu_rows);
    const struct linear_job out = {.w = &w->w_down, .y = e->act.x, .y_stride = n_embd, .add = true};
    linear_run(&e->linear, e->pass.n_rows, e->act.gate, n_ff, &out, 1);
}

static void run_layer(ashlar_engine *e, int index, ashlar_error *err)
{
    const struct model_layer *w = &e->model->layers[index];
    struct activations *a = &e->act;
    size_t n_embd = (size_t)e->info.n_embd;
    size_t q_width = (size_t)e->info.n_head * (size_t)e->info.head_dim;
    size_t kv_width = (size_t)e->info.n_head_kv * (size_t)e->info.head_dim;
    bool last = index == e->info.n_layer - 1;
    struct row_step step = {.e = e, .layer = w, .index = index, .norm = &w->attn_norm};

    run_rows(&step, norm_rows);
    e->policy->predict(e->kv, index, a->normed, n_embd);

    const struct linear_job jobs[3] = {
        {.w = &w->wk, .bias = vector(&w->bk), .y = a->k, .y_stride = kv_width},
        {.w = &w->wv, .bias = vector(&w->bv), .y = a->v, .y_stride = kv_width},
        {.w = &w->wq, .bias = vector(&w->bq), .y = a->q, .y_stride = q_width},
    };
    linear_run(&e->linear, e->pass.n_rows, a->normed, n_embd, jobs, last ? 2 : 3);
    run_rows(&step, store_key_rows);
    if (e->calibration)
        calibration_gather(e, index);
    if (last) {
        keep_wanted_rows(e);
        linear_run(&e->linear, e->pass.n_rows, a->normed, n_embd, &jobs[2], 1);
    }
    run_rows(&step, rotate_query_rows);

    meter(e, index, err);
    int n_windows = e->policy->windows(e->kv, index);
    for (int i = 0; i < n_windows; i++)
        attend(e, index, i, err);
    e->policy->end(e->kv, index, err);

    const struct linear_job out = {.w = &w->wo, .y = a->x, .y_stride = n_embd, .add = true};
    linear_run(&e->linear, e->pass.n_rows, a->attended, q_width, &out, 1);
    feed_forward(e, w);
}

/* The rows left are one per item that wants logits; each goes straight into its session. */
static void compute_logits(ashlar_engine *e)
{
    struct row_step step = {.e = e, .norm = &e->model->output_norm};
    run_rows(&step, norm_rows);
    size_t n_embd = (size_t)e->info.n_embd, n_vocab = (size_t)e->info.n_vocab;
    struct linear_job job = {.w = &e->model->output, .y = e->act.logits, .y_stride = n_vocab};
    linear_run(&e->linear, e->pass.n_rows, e->act.normed, n_embd, &job, 1);
    for (int r = 0; r < e->pass.n_rows; r++)
        memcpy(e->pass.items[e->pass.item[r]].session->logits, e->act.logits + (size_t)r * n_vocab,
               n_vocab * sizeof(float));
}

/* True once per request. */
static bool cancelled(ashlar_engine *e)
{
    return atomic_load_explicit(&e->cancel, memory_order_relaxed) && atomic_exchange(&e->cancel, 0);
}

ashlar_status forward_pass(ashlar_engine *e, ashlar_error *err)
{
    struct pass *p = &e->pass;
    for (int i = 0; i < p->n_items; i++)
        p->kv_items[i] = (struct kv_item){.sequence = p->items[i].session->sequence,
                                          .position = p->items[i].session->length,
                                          .n_tokens = p->items[i].n_rows,
                                          .first_row = p->items[i].first_row};
    e->policy->begin(e->kv, p->kv_items, p->n_items, err);

    struct row_step step = {.e = e};
    run_rows(&step, embed_rows);
    for (int l = 0; l < e->info.n_layer; l++) {
        if (cancelled(e)) {
            e->policy->abort(e->kv);
            return error_set(err, ASHLAR_CANCELLED, "cancelled");
        }
        run_layer(e, l, err);
    }
    compute_logits(e);
    e->policy->commit(e->kv, err);
    return ASHLAR_OK;
}
