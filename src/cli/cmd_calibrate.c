/*
 * cmd_calibrate.c: `ashlar calibrate`: fit what kvswap predicts with to a model's keys on real
 * text.
 *
 * The texts are cut into sequences of --ctx tokens, each evaluated from an empty session with
 * everything in memory; the engine gathers the keys and writes the adapter file.
 */
#include "base/mem.h"
#include "base/os.h"
#include "base/output.h"
#include "cli/cli.h"
#include "cli/engine_options.h"
#include "cli/json_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TEXT_MAX = 1 << 30,
    DEFAULT_CTX = 4096,
    DEFAULT_TOKENS = 32768,
    DEFAULT_SIGMA =
        4, /* more columns than the usual 8 asks for: any higher sigma takes the first ones */
};

static struct {
    const char *model, *output;
    struct option_list files;
    int tokens, ctx, batch;
    bool json, quiet;
} set;

static const struct option options[] = {
    {"model", 'm', OPTION_STRING, &set.model, 0, 0, "MODEL", "the model, a GGUF file"},
    {"file", 'f', OPTION_LIST, &set.files, 0, 0, "FILE",
     "text to learn from; repeatable; - reads stdin"},
    {"output", 'o', OPTION_STRING, &set.output, 0, 0, "ADAPTER",
     "the adapter file; MODEL.adapter.gguf beside MODEL.gguf is found by itself"},
    {"tokens", 'n', OPTION_INT, &set.tokens, 1, 1e9, "N",
     "use at most N tokens of the texts (32768)"},
    {"ctx", 'c', OPTION_INT, &set.ctx, 1, 1e9, "N",
     "length of a sequence: long ones turn keys further (4096, or the training length)"},
    {"batch", 'b', OPTION_INT, &set.batch, 1, 65536, "N", "tokens evaluated in one pass (512)"},
    {"json", 0, OPTION_FLAG, &set.json, 0, 0, NULL, "print one JSON object instead of lines"},
    {"quiet", 'q', OPTION_FLAG, &set.quiet, 0, 0, NULL, "no progress and no warnings"},
    {0},
};

const struct command command_calibrate = {
    .name = "calibrate",
    .usage = "ashlar calibrate -m MODEL -f FILE -o ADAPTER [options]",
    .summary = "fit the predictions of --kv kvswap to a model and texts",
    .description = "Writes for each layer the directions that matter most to the products of its "
                   "queries and keys. --kv-sigma N sets how many: the keys' width / N (4); a run "
                   "with a higher sigma takes the first ones. Also measures on the first long text how much "
                   "attention each layer catches with how many of them, from which a run chooses a rank for "
                   "each layer. Without such a file a run fits the directions to the beginning of its own "
                   "prompt.",
    .options = options,
    .shared = engine_option_table,
};

struct calibrate {
    struct cli_ui ui;
    ashlar_engine *engine;
    ashlar_session *session;
    int sigma, n_ctx;
    size_t done; /* tokens evaluated */
    ashlar_calibration result;
};

static void set_defaults(void)
{
    memset(&set, 0, sizeof set);
    engine_options_reset();
    set.tokens = DEFAULT_TOKENS;
    set.batch = 512;
}

static ashlar_status check_settings(ashlar_error *err)
{
    const char *what = !set.model         ? "no model given"
                       : set.files.n == 0 ? "no text given"
                                          : "no output given";
    if (set.model && set.files.n > 0 && set.output)
        return ASHLAR_OK;
    error_set(err, ASHLAR_USAGE, "%s", what);
    error_hint(err, "ashlar calibrate -m MODEL.gguf -f TEXT -o MODEL.adapter.gguf");
    return ASHLAR_USAGE;
}

/* Open with everything in memory; the context is no longer than the model was trained for. */
static ashlar_status open_engine(struct calibrate *c, ashlar_error *err)
{
    ashlar_options o;
    ashlar_options_init(&o);
    cli_ui_init(&c->ui, set.quiet, &o);
    ashlar_status status = engine_options_apply(&o, err);
    c->sigma = o.kv.sigma ? o.kv.sigma : DEFAULT_SIGMA;
    o.kv = (ashlar_kv_options){.policy = "full"};
    o.n_batch = set.batch;
    o.n_ctx = set.ctx;
    if (status == ASHLAR_OK && set.ctx == 0)
        status = cli_default_context(set.model, &o, DEFAULT_CTX, &o.n_ctx, err);
    if (status == ASHLAR_OK)
        status = cli_check_memory(set.model, &o, err);
    if (status == ASHLAR_OK)
        status = ashlar_engine_open(set.model, &o, &c->engine, err);
    if (status != ASHLAR_OK)
        return status;
    c->n_ctx = ashlar_engine_info(c->engine)->n_ctx;
    interrupt_watch(c->engine);
    return ashlar_session_open(c->engine, &c->session, err);
}

/* Evaluate a text's tokens, sequence by sequence, as far as --tokens goes. */
static ashlar_status evaluate(struct calibrate *c, const int32_t *tokens, size_t n,
                              ashlar_error *err)
{
    ashlar_status status = ASHLAR_OK;
    size_t wanted = (size_t)set.tokens;
    for (size_t at = 0; at < n && c->done < wanted && status == ASHLAR_OK;) {
        size_t piece = n - at < (size_t)c->n_ctx ? n - at : (size_t)c->n_ctx;
        piece = piece < wanted - c->done ? piece : wanted - c->done;
        status = ashlar_session_rewind(c->session, 0, err);
        if (status == ASHLAR_OK)
            status = ashlar_session_append(c->session, tokens + at, piece, err);
        at += piece;
        c->done += piece;
    }
    return status;
}

static ashlar_status read_tokens(struct calibrate *c, const char *path, int32_t **tokens, size_t *n,
                                 ashlar_error *err)
{
    struct buf text;
    *tokens = NULL;
    *n = 0;
    buf_init(&text, TEXT_MAX);
    ashlar_status status = os_read_file(path, &text, err);
    const char *bytes = text.length ? text.data : "";
    if (status == ASHLAR_OK)
        status =
            ashlar_tokenize(c->engine, bytes, text.length, ASHLAR_ADD_SPECIAL, NULL, 0, n, err);
    if (status == ASHLAR_OK && !(*tokens = mem_array(*n, sizeof **tokens)))
        status = error_memory(err, *n * sizeof **tokens, "a text's tokens");
    if (status == ASHLAR_OK)
        status =
            ashlar_tokenize(c->engine, bytes, text.length, ASHLAR_ADD_SPECIAL, *tokens, *n, n, err);
    buf_fini(&text);
    return status;
}

static ashlar_status calibrate_run(struct calibrate *c, ashlar_error *err)
{
    ashlar_status status = open_engine(c, err);
    if (status == ASHLAR_OK)
        status = ashlar_calibration_begin(c->engine, err);
    for (int i = 0; i < set.files.n && status == ASHLAR_OK; i++) {
        int32_t *tokens;
        size_t n;
        status = read_tokens(c, set.files.items[i], &tokens, &n, err);
        if (status == ASHLAR_OK)
            status = evaluate(c, tokens, n, err);
        free(tokens);
    }
    if (status == ASHLAR_OK && c->done == 0)
        status = error_set(err, ASHLAR_BAD_INPUT, "the texts are empty");
    if (status == ASHLAR_OK)
        status = ashlar_calibration_write(c->engine, set.output, c->sigma, &c->result, err);
    interrupt_watch(NULL);
    progress_clear(&c->ui.bar);
    return status;
}

static void write_json(const struct calibrate *c, struct buf *out)
{
    const ashlar_calibration *r = &c->result;
    json_t *root =
        json_pack("{s:o, s:o, s:I, s:i, s:i, s:i, s:f, s:f, s:s}", "adapter",
                  json_text_value(set.output, strlen(set.output)), "model",
                  json_text_value(set.model, strlen(set.model)), "tokens", (json_int_t)r->tokens,
                  "sequence", c->n_ctx, "width", r->width, "rank", r->rank, "energy_mean",
                  r->energy_mean, "energy_least", r->energy_least, "version", ASHLAR_VERSION);
    char *text = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    if (!text || !buf_puts(out, text))
        out->failed = true;
    buf_puts(out, "\n");
    free(text);
    json_decref(root);
}

static int print_result(const struct calibrate *c)
{
    const ashlar_calibration *r = &c->result;
    struct buf out;
    buf_init(&out, 1 << 20);
    if (set.json)
        write_json(c, &out);
    else
        buf_printf(
            &out,
            "%s: rank %d of %d, fitted to %llu tokens; holds %.1f %% of the scores' squares (least "
            "of a layer %.1f %%)\n",
            set.output, r->rank, r->width, (unsigned long long)r->tokens, 100 * r->energy_mean,
            100 * r->energy_least);
    int code = cli_print(&out);
    buf_fini(&out);
    return code;
}

int cmd_calibrate(int argc, char **argv)
{
    struct calibrate c = {0};
    ashlar_error err = {0};
    int code;

    set_defaults();
    if (!cli_parse(&command_calibrate, argc, argv, NULL, NULL, &code))
        return code;
    interrupt_install();
    ashlar_status status = check_settings(&err);
    if (status == ASHLAR_OK)
        status = output_check(set.output, &err);
    if (status == ASHLAR_OK)
        status = calibrate_run(&c, &err);
    code = status == ASHLAR_OK ? print_result(&c) : cli_fail(&err);
    ashlar_session_close(c.session);
    ashlar_engine_close(c.engine);
    return code;
}
