/*
 * engine.c: opening and closing an engine, and the estimate of its memory. One function, plan(),
 * says how large everything is; the estimate adds it up and open allocates it.
 */
#include "engine/engine.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/os.h"
#include "base/pool.h"
#include "kvswap/adapter_file.h"
#include "kvswap/lowrank.h"

enum { DEFAULT_BATCH = 512, MAX_SESSIONS = 4096, MAX_BATCH = 65536, MAX_THREADS = 1024 };

/* Sizes that follow from a model and resolved options. */
struct plan {
    size_t rows;      /* of a pass */
    size_t max_items; /* sessions in a pass */
    int max_k;        /* longest row of any matrix */
    struct kv_config kv;
};

void ashlar_options_init(ashlar_options *options)
{
    *options = (ashlar_options){.n_sessions = 1, .n_batch = DEFAULT_BATCH};
}

static ashlar_status check_range(const char *name, int value, int max, ashlar_error *err)
{
    if (value >= 0 && value <= max)
        return ASHLAR_OK;
    return error_set(err, ASHLAR_USAGE, "%s: %d is not between 0 and %d", name, value, max);
}

/* Fill in the defaults that depend on the model and the machine. */
static ashlar_status resolve(ashlar_options *o, const struct model *model, ashlar_error *err)
{
    ashlar_status status = check_range("n_threads", o->n_threads, MAX_THREADS, err);
    if (status == ASHLAR_OK)
        status = check_range("n_ctx", o->n_ctx, INT_MAX / 4, err);
    if (status == ASHLAR_OK)
        status = check_range("n_sessions", o->n_sessions, MAX_SESSIONS, err);
    if (status == ASHLAR_OK)
        status = check_range("n_batch", o->n_batch, MAX_BATCH, err);
    if (status != ASHLAR_OK)
        return status;
    if (o->n_threads == 0)
        o->n_threads = os_cores();
    if (o->n_ctx == 0)
        o->n_ctx = model->params.n_ctx_train;
    if (o->n_sessions == 0)
        o->n_sessions = 1;
    if (o->n_batch == 0)
        o->n_batch = DEFAULT_BATCH;
    return ASHLAR_OK;
}

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

static struct plan make_plan(const struct model *model, const ashlar_options *o,
                             const struct kernels *kernels)
{
    const struct model_params *p = &model->params;
    struct plan plan = {0};
    plan.rows = (size_t)(o->n_batch < o->n_sessions * o->n_ctx ? o->n_batch
                                                               : o->n_sessions * o->n_ctx);
    plan.max_items = (size_t)o->n_sessions < plan.rows ? (size_t)o->n_sessions : plan.rows;
    plan.max_k = max_int(max_int(p->n_embd, p->n_ff), p->n_head * p->head_dim);
    plan.kv = (struct kv_config){
        .kernels = kernels,
        .n_layer = p->n_layer,
        .n_head = p->n_head,
        .n_head_kv = p->n_head_kv,
        .head_dim = p->head_dim,
        .n_ctx = o->n_ctx,
        .n_sequences = o->n_sessions,
        .max_items = (int)plan.max_items,
        .max_tokens = (int)plan.rows,
    };
    return plan;
}

/*
 * Take every piece of the arena in one place: with a NULL engine only the sizes are added up, so
 * that the estimate and the allocation cannot disagree.
 */
static void *take(ashlar_engine *e, size_t *total, size_t n, size_t item_bytes)
{
    *total += arena_piece(n * item_bytes);
    return e ? arena_take(&e->arena, n * item_bytes) : NULL;
}

static size_t lay_out(ashlar_engine *e, const struct plan *plan, const struct model_params *p)
{
    size_t total = 0, t = plan->rows;
    size_t q_width = (size_t)p->n_head * (size_t)p->head_dim;
    size_t kv_width = (size_t)p->n_head_kv * (size_t)p->head_dim;
    size_t pairs = (size_t)p->rope_dims / 2, f = sizeof(float);
    struct activations a;
    struct pass s = {0};
    a.x = take(e, &total, t * (size_t)p->n_embd, f);
    a.normed = take(e, &total, t * (size_t)p->n_embd, f);
    a.q = take(e, &total, t * q_width, f);
    a.k = take(e, &total, t * kv_width, f);
    a.v = take(e, &total, t * kv_width, f);
    a.attended = take(e, &total, t * q_width, f);
    a.gate = take(e, &total, t * (size_t)p->n_ff, f);
    a.up = take(e, &total, t * (size_t)p->n_ff, f);
    a.cosine = take(e, &total, t * pairs, f);
    a.sine = take(e, &total, t * pairs, f);
    a.logits = take(e, &total, plan->max_items * (size_t)p->n_vocab, f);
    a.probe = take(e, &total, plan->max_items * (size_t)p->n_embd, f);
    s.items = take(e, &total, plan->max_items, sizeof *s.items);
    s.kv_items = take(e, &total, plan->max_items, sizeof *s.kv_items);
    s.views = take(e, &total, plan->max_items, sizeof *s.views);
    s.attention_items = take(e, &total, plan->max_items, sizeof *s.attention_items);
    s.token = take(e, &total, t, sizeof *s.token);
    s.position = take(e, &total, t, sizeof *s.position);
    s.item = take(e, &total, t, sizeof *s.item);
    if (e) {
        e->act = a;
        e->pass = s;
    }
    return total;
}

static struct attention_shape attention_shape(const struct plan *plan)
{
    const struct kv_config *kv = &plan->kv;
    return (struct attention_shape){kv->n_head, kv->n_head_kv, kv->head_dim,   kv->type,
                                    kv->max_items, kv->max_tokens, kv->n_ctx};
}

static size_t arena_bytes(const struct plan *plan, const struct model_params *p, int n_threads)
{
    struct attention_shape shape = attention_shape(plan);
    return lay_out(NULL, plan, p) +
           linear_bytes(plan->kv.kernels, n_threads, (int)plan->rows, plan->max_k) +
           attention_bytes(plan->kv.kernels, n_threads, &shape);
}

static uint64_t session_bytes(const ashlar_options *o, const struct model_params *p)
{
    return (uint64_t)o->n_sessions *
           ((uint64_t)o->n_ctx * sizeof(int32_t) + (uint64_t)p->n_vocab * sizeof(float));
}

/* The adapter file: the one asked for, else the one beside the model; *path is the caller's. */
static ashlar_status find_adapter(const struct model *model, const ashlar_kv_options *o,
                                  char **path, ashlar_error *err)
{
    const char *file = gguf_path(model->gguf);
    *path = NULL;
    if (o->adapter && strcmp(o->adapter, "none") == 0)
        return ASHLAR_OK;
    *path = o->adapter ? strdup(o->adapter) : adapter_file_beside(file);
    if (!*path)
        return error_memory(err, strlen(o->adapter ? o->adapter : file), "a file name");
    if (!o->adapter && access(*path, F_OK) != 0) {
        free(*path);
        *path = NULL;
    }
    return ASHLAR_OK;
}

/* Ranks by layer that the adapter's file suggests, where none are asked for; *list is the caller's. */
static ashlar_status suggest_ranks(const struct model *model, const char *adapter,
                                   const struct kv_policy *policy, ashlar_kv_options *o,
                                   char **list, ashlar_error *err)
{
    const struct model_params *p = &model->params;
    int width = p->n_head_kv * p->head_dim, rank = o->rank ? o->rank : lowrank_rank(width, o->sigma);
    *list = NULL;
    if (!adapter || policy != &kv_policy_kvswap || o->layer_ranks)
        return ASHLAR_OK;
    ashlar_status status = adapter_file_ranks(adapter, gguf_fingerprint(model->gguf), p->n_layer,
                                              width, rank, list, err);
    o->layer_ranks = *list;
    return status;
}

/* Settings that were chosen for another model are refused: they would be accepted, and bad. */
static ashlar_status check_made_for(const struct model *model, const ashlar_kv_options *o,
                                    ashlar_error *err)
{
    uint64_t own = gguf_fingerprint(model->gguf);
    if (!o->made_for || o->made_for == own)
        return ASHLAR_OK;
    error_set(err, ASHLAR_BAD_INPUT, "%s: the KV profile was made for another model (%016" PRIx64
              ", this is %016" PRIx64 ")", gguf_path(model->gguf), o->made_for, own);
    error_hint(err, "ashlar tune -m MODEL -o PROFILE makes one for this model");
    return ASHLAR_BAD_INPUT;
}

/* Memory of an engine with these options, whose KV settings are resolved on the way. */
static ashlar_status estimate(const struct model *model, ashlar_options *o,
                              const struct kernels *kernels, const struct kv_policy **policy,
                              ashlar_memory *out, char *why, size_t why_size, ashlar_error *err)
{
    struct plan plan = make_plan(model, o, kernels);
    ashlar_status status = kv_type(&o->kv, model->params.head_dim, &plan.kv.type, err);
    if (status != ASHLAR_OK)
        return status;
    out->weights_bytes = model->weights_bytes;
    out->activation_bytes =
        arena_bytes(&plan, &model->params, o->n_threads) + session_bytes(o, &model->params);
    uint64_t other = out->activation_bytes + (o->map_weights ? 0 : out->weights_bytes);
    char *adapter = NULL;
    plan.kv.options = &o->kv;
    status = check_made_for(model, &o->kv, err);
    if (status == ASHLAR_OK)
        status = kv_choose(&plan.kv, &o->kv, other, policy, why, why_size, err);
    if (status == ASHLAR_OK)
        status = find_adapter(model, &o->kv, &adapter, err);
    char *ranks = NULL;
    ashlar_kv_options with_ranks = o->kv;
    plan.kv.adapter = adapter;
    plan.kv.options = &with_ranks;
    if (status == ASHLAR_OK)
        status = suggest_ranks(model, adapter, *policy, &with_ranks, &ranks, err);
    if (status == ASHLAR_OK)
        status = (*policy)->estimate(&plan.kv, &out->kv_bytes, err);
    free(adapter);
    free(ranks);
    out->total_bytes = out->weights_bytes + out->kv_bytes + out->activation_bytes;
    return status;
}

static ashlar_status select_kernels(const char *isa, const struct kernels **out, ashlar_error *err)
{
    *out = kernels_select(isa);
    if (*out)
        return ASHLAR_OK;
    error_set(err, ASHLAR_USAGE, "kernel set %s: not available on this machine", isa);
    error_hint(err, "leave it out to use the best one");
    return ASHLAR_USAGE;
}

ashlar_status ashlar_memory_estimate(const char *path, const ashlar_options *options,
                                     ashlar_memory *out, ashlar_error *err)
{
    struct model *model;
    const struct kernels *kernels;
    const struct kv_policy *policy;
    char why[128];
    ashlar_options o = *options;
    ashlar_status status = select_kernels(o.isa, &kernels, err);
    if (status == ASHLAR_OK)
        status = model_open(path, &model, err);
    if (status != ASHLAR_OK)
        return status;
    status = resolve(&o, model, err);
    if (status == ASHLAR_OK)
        status = estimate(model, &o, kernels, &policy, out, why, sizeof why, err);
    model_close(model);
    return status;
}

static ashlar_status open_sessions(ashlar_engine *e, ashlar_error *err)
{
    size_t n = (size_t)e->options.n_sessions;
    e->sessions = mem_array(n, sizeof *e->sessions);
    e->length_before = mem_array(n, sizeof *e->length_before);
    if (!e->sessions || !e->length_before)
        return error_memory(err, n * sizeof *e->sessions, "sessions");
    for (size_t i = 0; i < n; i++) {
        struct ashlar_session *s = &e->sessions[i];
        s->engine = e;
        s->sequence = (int)i;
        s->tokens = mem_array((size_t)e->options.n_ctx, sizeof *s->tokens);
        s->logits = mem_array((size_t)e->info.n_vocab, sizeof *s->logits);
        if (!s->tokens || !s->logits)
            return error_memory(err, session_bytes(&e->options, &e->model->params), "sessions");
    }
    return ASHLAR_OK;
}

static ashlar_status open_memory(ashlar_engine *e, ashlar_error *err)
{
    const struct model_params *p = &e->model->params;
    struct plan plan = make_plan(e->model, &e->options, e->kernels);
    ashlar_status status = kv_type(&e->options.kv, p->head_dim, &plan.kv.type, err);
    if (status != ASHLAR_OK)
        return status;
    plan.kv.log = &e->log;
    plan.kv.pool = e->pool;
    plan.kv.options = &e->options.kv;
    plan.kv.fingerprint = gguf_fingerprint(e->model->gguf);
    plan.kv.project = forward_project;
    plan.kv.project_user = e;
    struct attention_shape shape = attention_shape(&plan);
    size_t bytes = arena_bytes(&plan, p, e->options.n_threads);
    if (!arena_init(&e->arena, bytes)) {
        error_memory(err, bytes, "activations");
        error_hint(err, "a smaller batch needs less");
        return ASHLAR_NO_RESOURCE;
    }
    lay_out(e, &plan, p);
    if (!linear_init(&e->linear, e->kernels, e->pool, (int)plan.rows, plan.max_k, &e->arena) ||
        !attention_init(&e->attention, e->kernels, e->pool, &shape, &e->arena))
        return error_memory(err, bytes, "activations");
    if (e->policy == &kv_policy_kvswap)
        status = find_adapter(e->model, &e->options.kv, &e->adapter_path, err);
    plan.kv.adapter = e->adapter_path;
    if (status == ASHLAR_OK)
        status = suggest_ranks(e->model, e->adapter_path, e->policy, &e->options.kv, &e->layer_ranks, err);
    if (e->layer_ranks)
        log_write(&e->log, ASHLAR_LOG_INFO, "KV metadata: ranks %s by layer, as %s suggests",
                  e->layer_ranks, e->adapter_path);
    if (status == ASHLAR_OK)
        status = e->policy->open(&plan.kv, &e->kv, err);
    return status == ASHLAR_OK ? open_sessions(e, err) : status;
}

static void describe(ashlar_engine *e)
{
    const struct model_params *p = &e->model->params;
    e->info = (ashlar_model_info){
        .architecture = p->arch_name,
        .name = p->name,
        .kernels = e->kernels->name,
        .n_layer = p->n_layer,
        .n_embd = p->n_embd,
        .n_head = p->n_head,
        .n_head_kv = p->n_head_kv,
        .head_dim = p->head_dim,
        .n_ff = p->n_ff,
        .n_vocab = p->n_vocab,
        .n_ctx_train = p->n_ctx_train,
        .n_ctx = e->options.n_ctx,
        .n_threads = e->options.n_threads,
        .bos = tokenizer_bos(e->tokenizer),
        .eos = tokenizer_eos(e->tokenizer),
        .add_bos = tokenizer_add_bos(e->tokenizer),
        .chat_template = chat_family_name(e->chat),
    };
}

static ashlar_status open_text(ashlar_engine *e, ashlar_error *err)
{
    ashlar_status status = tokenizer_open(e->model->gguf, &e->tokenizer, err);
    if (status != ASHLAR_OK)
        return status;
    if (tokenizer_size(e->tokenizer) > e->model->params.n_vocab)
        return error_set(err, ASHLAR_BAD_INPUT, "%s: %d tokens but %d rows of token_embd.weight",
                         gguf_path(e->model->gguf), tokenizer_size(e->tokenizer),
                         e->model->params.n_vocab);
    struct gguf_string text;
    status = gguf_get_string(e->model->gguf, "tokenizer.chat_template", &text, err);
    if (status == ASHLAR_OK && text.data)
        e->chat = chat_detect(text.data, text.length);
    return status;
}

static ashlar_status open_steps(ashlar_engine *e, const char *path, ashlar_error *err)
{
    ashlar_status status = select_kernels(e->options.isa, &e->kernels, err);
    if (status == ASHLAR_OK)
        status = model_open(path, &e->model, err);
    if (status == ASHLAR_OK)
        status = resolve(&e->options, e->model, err);
    if (status == ASHLAR_OK)
        status = open_text(e, err);
    if (status == ASHLAR_OK)
        status = rope_init(&e->rope, e->model, err);
    if (status != ASHLAR_OK)
        return status;
    describe(e);
    char why[128];
    status = estimate(e->model, &e->options, e->kernels, &e->policy, &e->info.memory, why,
                      sizeof why, err);
    if (status != ASHLAR_OK)
        return status;
    log_write(&e->log, ASHLAR_LOG_INFO, "%s", why);
    status = pool_new(e->options.n_threads, &e->pool, err);
    if (status == ASHLAR_OK)
        status = open_memory(e, err);
    if (status == ASHLAR_OK)
        status = model_load(e->model, e->options.map_weights, &e->log, err);
    return status;
}

ashlar_status ashlar_engine_open(const char *path, const ashlar_options *options,
                                 ashlar_engine **out, ashlar_error *err)
{
    *out = NULL;
    ashlar_engine *e = mem_array(1, sizeof *e);
    if (!e)
        return error_memory(err, sizeof *e, "the engine");
    e->options = *options;
    e->log = (struct log){options->log, options->log_user, options->progress,
                          options->progress_user};
    ashlar_status status = open_steps(e, path, err);
    if (status != ASHLAR_OK) {
        ashlar_engine_close(e);
        return status;
    }
    *out = e;
    return ASHLAR_OK;
}

void ashlar_engine_close(ashlar_engine *e)
{
    if (!e)
        return;
    for (int i = 0; e->sessions && i < e->options.n_sessions; i++) {
        free(e->sessions[i].tokens);
        free(e->sessions[i].logits);
    }
    free(e->sessions);
    free(e->length_before);
    if (e->kv)
        e->policy->close(e->kv);
    calibration_free(e->calibration);
    free(e->adapter_path);
    free(e->layer_ranks);
    arena_fini(&e->arena);
    pool_free(e->pool);
    rope_fini(&e->rope);
    tokenizer_close(e->tokenizer);
    model_close(e->model);
    free(e);
}

const ashlar_model_info *ashlar_engine_info(const ashlar_engine *e)
{
    return &e->info;
}

void ashlar_engine_kv_stats(const ashlar_engine *e, ashlar_kv_stats *out)
{
    e->policy->stats(e->kv, out);
    out->attention_seconds = e->attention_seconds;
}

bool ashlar_engine_kv_recall(const ashlar_engine *e, int layer, ashlar_kv_recall *out)
{
    return layer >= 0 && layer < e->info.n_layer && e->policy->recall &&
           e->policy->recall(e->kv, layer, out);
}

void ashlar_engine_cancel(ashlar_engine *e)
{
    atomic_store(&e->cancel, 1);
}
