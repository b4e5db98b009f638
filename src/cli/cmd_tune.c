/*
 * cmd_tune.c: `ashlar tune`: choose the settings of --kv kvswap for a model, a context and this
 * machine.
 *
 * In this order: how fast the disk serves bursts of reads; what a decode step computes, with
 * everything in memory and a short context; the choice by the cost model of docs/tuner.md; a decode
 * at the chosen setting with a context filled at random, beside the prediction. The profile that it
 * writes is read by kv_profile.c for --kv-profile.
 */
#include "base/mem.h"
#include "base/os.h"
#include "base/output.h"
#include "base/rng.h"
#include "cli/cli.h"
#include "cli/engine_options.h"
#include "cli/json_text.h"
#include "cli/kv_profile.h"
#include "kvswap/tuner.h"
#include "model/model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_BATCH = 256,
    COMPUTE_DEPTH = 512, /* of the run that attention is measured with */
    COMPUTE_CONTEXT = 1024,
    LEAST_STEPS = 4,
    MOST_STEPS = 64, /* of a measured decode */
    WARM_STEPS = 8,  /* at the chosen setting: the reuse buffer fills */
    SEED = 42
};

static const double COMPUTE_SECONDS = 1.5; /* of each run, at least LEAST_STEPS */
static const double BUDGET_SHARE = 1.0 / 13;

static struct {
    const char *model, *output;
    int ctx, batch;
    float probe_seconds, hits;
    bool measure, json, quiet;
} set;

static const struct option options[] = {
    {"model", 'm', OPTION_STRING, &set.model, 0, 0, "MODEL", "the model, a GGUF file"},
    {"output", 'o', OPTION_STRING, &set.output, 0, 0, "PROFILE",
     "write the settings there, for --kv-profile"},
    {"ctx", 'c', OPTION_INT, &set.ctx, 1, 1e9, "N", "tokens of context (the training length)"},
    {"batch", 'b', OPTION_INT, &set.batch, 1, MAX_BATCH, "N", "sequences decoded side by side (1)"},
    {"probe-seconds", 0, OPTION_FLOAT, &set.probe_seconds, 0.01, 600, "S",
     "time spent on measuring the disk (5)"},
    {"hits", 0, OPTION_FLOAT, &set.hits, 0, 1, "P",
     "share of the selected tokens that the step before had selected (0.78, of published figures)"},
    {"measure", 0, OPTION_FLAG, &set.measure, 0, 0, NULL,
     "decode at the chosen setting, to check the prediction (on; --no-measure)"},
    {"json", 0, OPTION_FLAG, &set.json, 0, 0, NULL, "print the profile instead of the tables"},
    {"quiet", 'q', OPTION_FLAG, &set.quiet, 0, 0, NULL, "no progress and no warnings"},
    {0},
};

const struct command command_tune = {
    .name = "tune",
    .usage = "ashlar tune -m MODEL [-o PROFILE] [options]",
    .summary = "choose the settings of --kv kvswap for a model and this machine",
    .description = "Measures the disk of --kv-dir and the model's computing, and picks group size, "
                   "reuse buffer, rank and type of keys and values "
                   "by a cost model within --kv-budget (1/13 of the full cache). Settings that are "
                   "given are kept.",
    .options = options,
    .shared = engine_option_table,
};

/* A decode's figures, per step of the whole batch. */
struct decode {
    double step_seconds, predict_seconds, wait_seconds, attention_seconds;
    double hit_share;
};

struct tune {
    struct cli_ui ui;
    ashlar_options options; /* what the command line says */
    struct kv_config config;
    uint64_t fingerprint;
    struct tune_device device;
    struct tune_costs costs;
    struct tune_choice candidates[TUNE_CANDIDATES];
    int n_candidates;
    struct decode measured;
    bool has_measured;
};

static void set_defaults(void)
{
    memset(&set, 0, sizeof set);
    engine_options_reset();
    set.batch = 1;
    set.probe_seconds = 5;
    set.hits = 0.78f;
    set.measure = true;
}

/* ---- decoding ------------------------------------------------------------------------------- */

struct decoder {
    ashlar_engine *engine;
    ashlar_session *sessions[MAX_BATCH];
    ashlar_batch_item items[MAX_BATCH];
    int32_t tokens[MAX_BATCH];
    struct rng rng;
};

static ashlar_status decoder_open(struct decoder *d, const ashlar_options *o, ashlar_error *err)
{
    *d = (struct decoder){0};
    rng_seed(&d->rng, SEED);
    ashlar_status status = cli_check_memory(set.model, o, err);
    if (status == ASHLAR_OK)
        status = ashlar_engine_open(set.model, o, &d->engine, err);
    if (status != ASHLAR_OK)
        return status;
    interrupt_watch(d->engine);
    for (int i = 0; i < set.batch && status == ASHLAR_OK; i++)
        status = ashlar_session_open(d->engine, &d->sessions[i], err);
    return status;
}

static void decoder_close(struct decoder *d)
{
    interrupt_watch(NULL);
    for (int i = 0; i < set.batch; i++)
        ashlar_session_close(d->sessions[i]);
    ashlar_engine_close(d->engine);
}

static ashlar_status decoder_fill(struct decoder *d, size_t length, ashlar_error *err)
{
    ashlar_status status = ASHLAR_OK;
    for (int i = 0; i < set.batch && status == ASHLAR_OK; i++) {
        size_t have = ashlar_session_length(d->sessions[i]);
        if (have < length)
            status = ashlar_session_fill(d->sessions[i], length - have, SEED + (uint64_t)i, err);
    }
    return status;
}

static ashlar_status decoder_step(struct decoder *d, ashlar_error *err)
{
    uint32_t n_vocab = (uint32_t)ashlar_engine_info(d->engine)->n_vocab;
    for (int i = 0; i < set.batch; i++) {
        d->tokens[i] = (int32_t)rng_below(&d->rng, n_vocab);
        d->items[i] =
            (ashlar_batch_item){.session = d->sessions[i], .tokens = &d->tokens[i], .n_tokens = 1};
    }
    return ashlar_batch_eval(d->engine, d->items, (size_t)set.batch, err);
}

enum figure { STEP, PREDICT, WAIT, ATTENTION, FIGURES };

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double lower_quartile(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, compare_doubles);
    return n ? values[n / 4] : 0.0;
}

/*
 * Decode `warm` steps, then measure up to `most`, for COMPUTE_SECONDS. Lower quartiles: other
 * processes come and go.
 */
static ashlar_status decoder_measure(struct decoder *d, int warm, int most, struct decode *out,
                                     ashlar_error *err)
{
    ashlar_kv_stats first, a, b;
    double times[FIGURES][MOST_STEPS];
    ashlar_status status = ASHLAR_OK;
    int n = 0;
    for (int i = 0; i < warm && status == ASHLAR_OK; i++)
        status = decoder_step(d, err);
    ashlar_engine_kv_stats(d->engine, &first);
    b = first;
    double start = os_time_seconds(), now = start;
    while (status == ASHLAR_OK && n < most && (n < LEAST_STEPS || now - start < COMPUTE_SECONDS)) {
        double before = now;
        a = b;
        status = decoder_step(d, err);
        now = os_time_seconds();
        ashlar_engine_kv_stats(d->engine, &b);
        times[STEP][n] = now - before;
        times[PREDICT][n] = b.predict_seconds - a.predict_seconds;
        times[WAIT][n] = b.wait_seconds - a.wait_seconds;
        times[ATTENTION][n++] = b.attention_seconds - a.attention_seconds;
    }
    uint64_t hits = b.hits - first.hits, all = hits + b.misses - first.misses;
    *out = (struct decode){.step_seconds = lower_quartile(times[STEP], n),
                           .predict_seconds = lower_quartile(times[PREDICT], n),
                           .wait_seconds = lower_quartile(times[WAIT], n),
                           .attention_seconds = lower_quartile(times[ATTENTION], n),
                           .hit_share = all ? (double)hits / (double)all : 1.0};
    return status;
}

/* ---- what computing costs ------------------------------------------------------------------- */

/* Split a step between layers and the rest, and a query from a layer, by number of weights. */
static void split_compute(struct tune *t, const ashlar_model_info *info, const struct decode *empty)
{
    double embd = info->n_embd, q = (double)info->n_head * info->head_dim;
    double kv = (double)info->n_head_kv * info->head_dim;
    double query = embd * q, layer = 2 * query + 2 * embd * kv + 3.0 * embd * info->n_ff;
    double layers = layer * info->n_layer, all = layers + embd * info->n_vocab;
    double bare = empty->step_seconds - empty->attention_seconds;
    t->costs.layer_seconds = bare * layer / all;
    t->costs.other_seconds = bare * (all - layers) / all;
    t->costs.query_seconds = bare * query / all;
}

/* With all keys and values in memory, as `type`. */
static ashlar_status measure_type(struct tune *t, enum tensor_type type, ashlar_error *err)
{
    struct decoder d;
    struct decode empty, deep;
    ashlar_options o = t->options;
    o.kv = (ashlar_kv_options){.policy = "full", .type = tensor_type_name(type)};
    o.n_ctx = COMPUTE_CONTEXT;
    ashlar_status status = decoder_open(&d, &o, err);
    if (status == ASHLAR_OK)
        status = decoder_measure(&d, 2, MOST_STEPS, &empty, err);
    if (status == ASHLAR_OK)
        status = decoder_fill(&d, COMPUTE_DEPTH, err);
    if (status == ASHLAR_OK)
        status = decoder_measure(&d, 2, MOST_STEPS, &deep, err);
    if (status == ASHLAR_OK) {
        double attended = deep.attention_seconds - empty.attention_seconds;
        double keys = (double)t->config.n_layer * set.batch * COMPUTE_DEPTH;
        split_compute(t, ashlar_engine_info(d.engine), &empty);
        t->costs.attend_seconds[type] = attended > 0 ? attended / keys : 0;
    }
    decoder_close(&d);
    return status;
}

static ashlar_status measure_compute(struct tune *t, ashlar_error *err)
{
    enum tensor_type types[2];
    ashlar_status status = ASHLAR_OK;
    for (int i = tune_types(&t->config, types) - 1; i >= 0 && status == ASHLAR_OK; i--)
        status = measure_type(t, types[i], err);
    return status;
}

static ashlar_status measure_prediction(struct tune *t, ashlar_error *err)
{
    struct pool *pool;
    int threads = t->options.n_threads ? t->options.n_threads : os_cores();
    ashlar_status status = pool_new(threads, &pool, err);
    if (status != ASHLAR_OK)
        return status;
    status = tune_measure_prediction(t->config.kernels, pool, &t->costs, err);
    pool_free(pool);
    return status;
}

/* ---- the choice ----------------------------------------------------------------------------- */

/* The shape of the cache that an engine with these options would open. */
static ashlar_status describe_cache(struct tune *t, ashlar_error *err)
{
    struct model *model;
    ashlar_kv_options *o = &t->options.kv;
    ashlar_status status = model_open(set.model, &model, err);
    if (status != ASHLAR_OK)
        return status;
    const struct model_params *p = &model->params;
    int type = o->type ? tensor_type_from_name(o->type) : TENSOR_F16;
    t->fingerprint = gguf_fingerprint(model->gguf);
    t->options.n_ctx = set.ctx ? set.ctx : p->n_ctx_train;
    t->config = (struct kv_config){.kernels = kernels_select(t->options.isa),
                                   .options = o,
                                   .type = type < 0 ? TENSOR_F16 : (enum tensor_type)type,
                                   .n_layer = p->n_layer,
                                   .n_head = p->n_head,
                                   .n_head_kv = p->n_head_kv,
                                   .head_dim = p->head_dim,
                                   .n_ctx = t->options.n_ctx,
                                   .n_sequences = set.batch,
                                   .max_items = set.batch,
                                   .max_tokens = t->options.n_batch};
    model_close(model);
    uint64_t full = (uint64_t)t->config.n_layer * (uint64_t)set.batch * 4 *
                    (uint64_t)t->config.n_ctx * (uint64_t)t->config.n_head_kv *
                    (uint64_t)t->config.head_dim;
    if (!o->budget_bytes)
        o->budget_bytes =
            (uint64_t)((o->budget_fraction > 0 ? o->budget_fraction : BUDGET_SHARE) * (double)full);
    o->budget_fraction = 0;
    if (!t->config.kernels)
        return error_set(err, ASHLAR_USAGE, "kernel set %s: not available on this machine",
                         t->options.isa);
    return ASHLAR_OK;
}

static const char *probe_folder(const struct tune *t)
{
    const char *folder = t->options.kv.folder ? t->options.kv.folder : getenv("TMPDIR");
    return folder && *folder ? folder : "/var/tmp";
}

/* Decode at the best candidate, at the end of a full context. */
static ashlar_status measure_choice(struct tune *t, ashlar_error *err)
{
    const struct tune_choice *best = &t->candidates[0];
    struct decoder d;
    ashlar_options o = t->options;
    int steps = MOST_STEPS + WARM_STEPS;
    o.kv.policy = "kvswap";
    o.kv.type = tensor_type_name(best->type);
    o.kv.group_tokens = best->group_tokens;
    o.kv.select_tokens = best->select_tokens;
    o.kv.reuse_tokens = best->reuse_tokens;
    o.kv.sigma = best->sigma;
    o.kv.metadata = best->metadata;
    ashlar_status status = decoder_open(&d, &o, err);
    if (status == ASHLAR_OK)
        status = decoder_fill(&d, o.n_ctx > steps ? (size_t)(o.n_ctx - steps) : 0, err);
    if (status == ASHLAR_OK)
        status =
            decoder_measure(&d, WARM_STEPS < o.n_ctx / 2 ? WARM_STEPS : 0,
                            MOST_STEPS < o.n_ctx / 2 ? MOST_STEPS : o.n_ctx / 2, &t->measured, err);
    t->has_measured = status == ASHLAR_OK;
    decoder_close(&d);
    return status;
}

static ashlar_status tune_run(struct tune *t, ashlar_error *err)
{
    struct log log = {t->options.log, t->options.log_user, t->options.progress,
                      t->options.progress_user};
    ashlar_status status = describe_cache(t, err);
    if (status == ASHLAR_OK)
        status = tune_probe(probe_folder(t), &t->options.kv, (double)set.probe_seconds, &log,
                            &t->device, err);
    if (status == ASHLAR_OK)
        status = measure_compute(t, err);
    if (status == ASHLAR_OK)
        status = measure_prediction(t, err);
    if (status == ASHLAR_OK)
        status = tune_choose(&t->config, &t->costs, &t->device, (double)set.hits, t->candidates,
                             &t->n_candidates, err);
    if (status == ASHLAR_OK && set.measure)
        status = measure_choice(t, err);
    progress_clear(&t->ui.bar);
    return status;
}

/* ---- the profile ---------------------------------------------------------------------------- */

static json_t *device_value(const struct tune *t)
{
    json_t *bursts = json_array();
    for (int i = 0; bursts && i < TUNE_BLOCKS * TUNE_DEPTHS; i++) {
        int b = i / TUNE_DEPTHS, d = i % TUNE_DEPTHS;
        if (json_array_append_new(bursts, json_pack("{s:i, s:i, s:f}", "bytes", t->device.blocks[b],
                                                    "depth", t->device.depths[d], "seconds",
                                                    t->device.seconds[b][d]))) {
            json_decref(bursts);
            return NULL;
        }
    }
    const char *folder = probe_folder(t);
    return json_pack("{s:o, s:s, s:b, s:f, s:o}", "folder", json_text_value(folder, strlen(folder)),
                     "io", t->device.io, "direct", t->device.direct, "submit_s",
                     t->device.submit_seconds, "bursts", bursts);
}

static json_t *costs_value(const struct tune *t)
{
    const struct tune_costs *c = &t->costs;
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "layer_s", c->layer_seconds, "other_s",
                     c->other_seconds, "attend_s_per_key",
                     c->attend_seconds[t->candidates[0].type], "query_s", c->query_seconds,
                     "score_s_per_byte", c->score_seconds, "select_s_per_group", c->select_seconds,
                     "handoff_s", c->handoff_seconds);
}

static json_t *predicted_value(const struct tune *t)
{
    const struct tune_choice *x = &t->candidates[0];
    int n_layer = t->config.n_layer;
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:I}", "step_s", x->step_seconds, "tok_per_s",
                     set.batch / x->step_seconds, "predict_s", x->predict_seconds * n_layer,
                     "compute_s", x->compute_seconds * n_layer, "io_s", x->io_seconds * n_layer,
                     "hit_share", x->hit_share, "resident_bytes", (json_int_t)x->bytes);
}

static json_t *measured_value(const struct tune *t)
{
    const struct decode *m = &t->measured;
    if (!t->has_measured)
        return json_null();
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "step_s", m->step_seconds, "tok_per_s",
                     set.batch / m->step_seconds, "predict_s", m->predict_seconds, "wait_s",
                     m->wait_seconds, "attention_s", m->attention_seconds, "hit_share",
                     m->hit_share);
}

static void write_profile(const struct tune *t, struct buf *out)
{
    const struct tune_choice *x = &t->candidates[0];
    char fingerprint[24];
    snprintf(fingerprint, sizeof fingerprint, "%016" PRIx64, t->fingerprint);
    json_t *kv = json_pack(
        "{s:s, s:s, s:i, s:i, s:i, s:i, s:I}", "type", tensor_type_name(x->type), "metadata",
        x->metadata, "group_tokens", x->group_tokens, "select_tokens", x->select_tokens,
        "reuse_tokens", x->reuse_tokens, "sigma", x->sigma, "budget_bytes",
        (json_int_t)t->options.kv.budget_bytes);
    json_t *root = json_pack(
        "{s:s, s:i, s:s, s:o, s:s, s:i, s:i, s:o, s:o, s:o, s:o, s:o}", "format", KV_PROFILE_FORMAT,
        "profile_version", KV_PROFILE_VERSION, "version", ASHLAR_VERSION, "model",
        json_text_value(set.model, strlen(set.model)), "model_fingerprint", fingerprint, "context",
        t->options.n_ctx, "batch", set.batch, "kv", kv, "predicted", predicted_value(t), "measured",
        measured_value(t), "costs", costs_value(t), "device", device_value(t));
    char *text = root ? json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) : NULL;
    if (!text || !buf_puts(out, text) || !buf_puts(out, "\n"))
        out->failed = true;
    free(text);
    json_decref(root);
}

static ashlar_status save_profile(const struct tune *t, ashlar_error *err)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    write_profile(t, &out);
    ashlar_status status = output_write_file(set.output, &out, err);
    buf_fini(&out);
    return status;
}

/* ---- the tables ----------------------------------------------------------------------------- */

static void write_device(const struct tune *t, struct buf *out)
{
    buf_printf(out, "disk       %s, %s%s: MiB/s of bursts of reads\n", probe_folder(t),
               t->device.io, t->device.direct ? "" : ", through the page cache (no O_DIRECT here)");
    buf_printf(out, "%10s", "at once");
    for (int b = 0; b < TUNE_BLOCKS; b++)
        buf_printf(out, " %5d KiB", t->device.blocks[b] >> 10);
    for (int d = 0; d < TUNE_DEPTHS; d++) {
        buf_printf(out, "\n%10d", t->device.depths[d]);
        for (int b = 0; b < TUNE_BLOCKS; b++)
            buf_printf(out, " %9.1f",
                       t->device.depths[d] * (double)t->device.blocks[b] / t->device.seconds[b][d] /
                           1048576);
    }
    buf_puts(out, "\n\n");
}

static void write_candidates(const struct tune *t, struct buf *out)
{
    int n_layer = t->config.n_layer;
    char bytes[16];
    buf_printf(out, "candidates, ms per step of %d sequence%s at %d tokens, within %s\n", set.batch,
               set.batch == 1 ? "" : "s", t->options.n_ctx,
               text_bytes(t->options.kv.budget_bytes, bytes));
    buf_printf(out, "%5s %7s %7s %7s %5s %6s %9s %9s %9s %9s %9s\n", "type", "group", "select",
               "reuse", "rank", "hits", "predict", "compute", "I/O", "step", "tok/s");
    for (int i = 0; i < t->n_candidates; i++) {
        const struct tune_choice *x = &t->candidates[i];
        buf_printf(out, "%5s %7d %7d %7d %5d %5.0f%% %9.2f %9.2f %9.2f %9.2f %9.1f%s\n",
                   tensor_type_name(x->type), x->group_tokens, x->select_tokens, x->reuse_tokens,
                   x->rank, 100 * x->hit_share, 1e3 * n_layer * x->predict_seconds,
                   1e3 * n_layer * x->compute_seconds, 1e3 * n_layer * x->io_seconds,
                   1e3 * x->step_seconds, set.batch / x->step_seconds, i ? "" : "  chosen");
    }
}

static void write_comparison(const struct tune *t, struct buf *out)
{
    const struct tune_choice *x = &t->candidates[0];
    const struct decode *m = &t->measured;
    int n_layer = t->config.n_layer;
    if (!t->has_measured)
        return;
    buf_printf(out, "\n%-12s %10s %10s\n", "chosen", "predicted", "measured");
    buf_printf(out, "%-12s %10.2f %10.2f\n", "step, ms", 1e3 * x->step_seconds,
               1e3 * m->step_seconds);
    buf_printf(out, "%-12s %10.2f %10.2f\n", "predict, ms", 1e3 * n_layer * x->predict_seconds,
               1e3 * m->predict_seconds);
    double waited = x->step_seconds - t->costs.other_seconds -
                    n_layer * (x->predict_seconds + x->compute_seconds);
    buf_printf(out, "%-12s %10.2f %10.2f\n", "wait, ms", 1e3 * waited, 1e3 * m->wait_seconds);
    buf_printf(out, "%-12s %9.0f%% %9.0f%%\n", "hits", 100 * x->hit_share, 100 * m->hit_share);
    buf_printf(out, "%-12s %10.1f %10.1f\n", "tok/s", set.batch / x->step_seconds,
               set.batch / m->step_seconds);
}

static int print_result(const struct tune *t)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    if (set.json) {
        write_profile(t, &out);
    } else {
        write_device(t, &out);
        write_candidates(t, &out);
        write_comparison(t, &out);
    }
    int code = cli_print(&out);
    buf_fini(&out);
    return code;
}

int cmd_tune(int argc, char **argv)
{
    struct tune *t;
    ashlar_error err = {0};
    int code;

    set_defaults();
    if (!cli_parse(&command_tune, argc, argv, NULL, NULL, &code))
        return code;
    interrupt_install();
    t = mem_array(1, sizeof *t);
    ashlar_status status = t ? ASHLAR_OK : error_memory(&err, sizeof *t, "the tuner");
    if (status == ASHLAR_OK && !set.model) {
        status = error_set(&err, ASHLAR_USAGE, "no model given");
        error_hint(&err, "-m MODEL names a GGUF file");
    }
    if (status == ASHLAR_OK) {
        ashlar_options_init(&t->options);
        cli_ui_init(&t->ui, set.quiet, &t->options);
        t->options.n_sessions = set.batch;
        status = engine_options_apply(&t->options, &err);
    }
    if (status == ASHLAR_OK && set.output)
        status = output_check(set.output, &err);
    if (status == ASHLAR_OK)
        status = tune_run(t, &err);
    if (status == ASHLAR_OK && set.output)
        status = save_profile(t, &err);
    code = status == ASHLAR_OK ? print_result(t) : cli_fail(&err);
    free(t);
    return code;
}
