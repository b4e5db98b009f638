/*
 * cmd_inspect.c: `ashlar inspect`: what a model file holds, and what it would take to run it, from
 * its header alone. The weights are never read: the answer comes at once for a file of any size.
 *
 * The one command that looks at the model module directly: the engine's facts come only with an
 * opened engine, which would load the weights.
 */
#include "cli/cli.h"

#include "cli/json_text.h"
#include "model/chat.h"
#include "model/model.h"
#include "model/tokenizer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 1 << 16 };

static struct {
    int ctx;
    bool json;
} set;

static const struct option options[] = {
    {"ctx", 'c', OPTION_INT, &set.ctx, 0, 1 << 29, "N",
     "estimate memory for a context of N tokens (0: the training length)"},
    {"json", 0, OPTION_FLAG, &set.json, 0, 0, NULL, "print one JSON object"},
    {0},
};

const struct command command_inspect = {
    .name = "inspect",
    .usage = "ashlar inspect MODEL [options]",
    .summary = "show what a model file holds and the memory it needs",
    .description = "Only the header of the file is read, never the weights. The tokenizer of a "
                   "model may be one that is not supported; then inspect says so, and run refuses.",
    .options = options,
    .operands = "MODEL",
    .min_operands = 1,
    .max_operands = 1,
};

/* Tensors of one weight type. */
struct type_share {
    int n_tensors;
    uint64_t n_values, n_bytes;
};

struct facts {
    const struct model *model;
    struct tokenizer *tokenizer;  /* NULL: not supported */
    ashlar_error tokenizer_error; /* then why */
    struct gguf_string chat_template; /* data NULL: none */
    const char *family;               /* NULL: none, or one that is not known */
    struct type_share types[TENSOR_TYPE_COUNT];
    uint64_t n_values;
    int n_ctx;
    ashlar_memory memory;
};

/* ---- gathering ----------------------------------------------------------------------------- */

static void count_types(struct facts *f)
{
    for (int i = 0; i < f->model->n_tensors; i++) {
        const struct tensor *t = f->model->tensors[i];
        struct type_share *share = &f->types[t->type];
        uint64_t n = (uint64_t)t->n_rows * (uint64_t)t->n_cols;
        share->n_tensors++;
        share->n_values += n;
        share->n_bytes += (uint64_t)t->n_rows * t->row_bytes;
        f->n_values += n;
    }
}

static ashlar_status gather(struct facts *f, const char *path, ashlar_error *err)
{
    ashlar_options engine;
    const struct gguf *g = f->model->gguf;

    count_types(f);
    ashlar_status status =
        gguf_get_string(g, "tokenizer.chat_template", &f->chat_template, err);
    if (status != ASHLAR_OK)
        return status;
    if (f->chat_template.data)
        f->family = chat_family_name(chat_detect(f->chat_template.data, f->chat_template.length));
    status = tokenizer_open(g, &f->tokenizer, &f->tokenizer_error);
    if (status != ASHLAR_OK && status != ASHLAR_BAD_INPUT) {
        *err = f->tokenizer_error;
        return status;
    }
    ashlar_options_init(&engine);
    engine.n_ctx = f->n_ctx = set.ctx > 0 ? set.ctx : f->model->params.n_ctx_train;
    return ashlar_memory_estimate(path, &engine, &f->memory, err);
}

static const char *scaling_name(const struct model *m)
{
    static const char *const names[] = {"none", "linear", "yarn"};
    return m->rope_freqs.data ? "llama3" : names[m->params.rope_scaling];
}

static bool is_tied(const struct model *m)
{
    return m->output.data == m->token_embd.data;
}

/* ---- for people ---------------------------------------------------------------------------- */

static void print_shape(const struct facts *f, struct buf *out)
{
    const struct model *m = f->model;
    const struct model_params *p = &m->params;

    buf_printf(out, "  name          %s\n", p->name[0] ? p->name : "(none)");
    buf_printf(out, "  architecture  %s\n", p->arch_name);
    buf_printf(out, "  file          GGUF v%u, header xxh3 %016" PRIx64 "\n",
               gguf_version(m->gguf), gguf_fingerprint(m->gguf));
    buf_printf(out, "  shape         %d layers, %d wide, feed-forward %d, vocabulary %d%s\n",
               p->n_layer, p->n_embd, p->n_ff, p->n_vocab, is_tied(m) ? ", output tied" : "");
    buf_printf(out, "  attention     %d heads of %d, %d for keys and values\n", p->n_head,
               p->head_dim, p->n_head_kv);
    buf_printf(out, "  context       %d tokens in training\n", p->n_ctx_train);
    buf_printf(out, "  rope          base %g, %d dimensions, scaling %s", (double)p->rope_base,
               p->rope_dims, scaling_name(m));
    if (p->rope_factor != 1)
        buf_printf(out, " by %g from %d tokens", (double)p->rope_factor, p->rope_ctx_orig);
    buf_puts(out, "\n");
}

static void print_tokenizer(const struct facts *f, struct buf *out)
{
    const struct tokenizer *t = f->tokenizer;

    if (t)
        buf_printf(out, "  tokenizer     %s, %d tokens, BOS %d, EOS %d\n", tokenizer_kind(t),
                   tokenizer_size(t), (int)tokenizer_bos(t), (int)tokenizer_eos(t));
    else
        buf_printf(out, "  tokenizer     not supported: %s\n", f->tokenizer_error.message);
    buf_printf(out, "  chat          %s\n",
               f->family ? f->family : f->chat_template.data ? "unknown template" : "no template");
}

static void print_types(const struct facts *f, struct buf *out)
{
    char size[16];

    buf_printf(out, "  weights       %.1f M values in %d tensors, %s, %.2f bits each\n",
               (double)f->n_values / 1e6, f->model->n_tensors,
               text_bytes(f->model->weights_bytes, size),
               (double)f->model->weights_bytes * 8 / (double)f->n_values);
    for (uint32_t type = 0; type < TENSOR_TYPE_COUNT; type++) {
        const struct type_share *share = &f->types[type];
        if (share->n_tensors > 0)
            buf_printf(out, "    %-6s %6d tensors %12s\n", tensor_type_name(type),
                       share->n_tensors, text_bytes(share->n_bytes, size));
    }
}

static void print_memory(const struct facts *f, struct buf *out)
{
    char weights[16], kv[16], activations[16], total[16];

    buf_printf(out, "  memory        %s for %d tokens: weights %s, KV %s, activations %s\n",
               text_bytes(f->memory.total_bytes, total), f->n_ctx,
               text_bytes(f->memory.weights_bytes, weights), text_bytes(f->memory.kv_bytes, kv),
               text_bytes(f->memory.activation_bytes, activations));
}

static void print_text(const struct facts *f, const char *path, struct buf *out)
{
    buf_printf(out, "%s\n", path);
    print_shape(f, out);
    print_tokenizer(f, out);
    print_types(f, out);
    print_memory(f, out);
}

/* ---- for programs -------------------------------------------------------------------------- */

static json_t *tokenizer_value(const struct facts *f)
{
    const struct tokenizer *t = f->tokenizer;

    if (!t)
        return json_null();
    return json_pack("{s:s, s:i, s:i, s:i, s:b}", "kind", tokenizer_kind(t), "size",
                     tokenizer_size(t), "bos", (int)tokenizer_bos(t), "eos",
                     (int)tokenizer_eos(t), "add_bos", (int)tokenizer_add_bos(t));
}

static json_t *types_value(const struct facts *f)
{
    json_t *array = json_array();

    for (uint32_t type = 0; array && type < TENSOR_TYPE_COUNT; type++) {
        const struct type_share *share = &f->types[type];
        if (share->n_tensors == 0)
            continue;
        json_t *item = json_pack("{s:s, s:i, s:I, s:I}", "type", tensor_type_name(type), "tensors",
                                 share->n_tensors, "values", (json_int_t)share->n_values, "bytes",
                                 (json_int_t)share->n_bytes);
        if (json_array_append_new(array, item) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static json_t *shape_value(const struct model_params *p, bool tied)
{
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:b}", "layers", p->n_layer, "embd",
                     p->n_embd, "heads", p->n_head, "kv_heads", p->n_head_kv, "head_dim",
                     p->head_dim, "ff", p->n_ff, "vocab", p->n_vocab, "context_train",
                     p->n_ctx_train, "tied", (int)tied);
}

static json_t *rope_value(const struct model *m)
{
    const struct model_params *p = &m->params;

    return json_pack("{s:f, s:i, s:s, s:f, s:i}", "base", (double)p->rope_base, "dimensions",
                     p->rope_dims, "scaling", scaling_name(m), "factor", (double)p->rope_factor,
                     "original_context", p->rope_ctx_orig);
}

static json_t *memory_value(const struct facts *f)
{
    return json_pack("{s:i, s:I, s:I, s:I, s:I}", "context", f->n_ctx, "weights_bytes",
                     (json_int_t)f->memory.weights_bytes, "kv_bytes",
                     (json_int_t)f->memory.kv_bytes, "activation_bytes",
                     (json_int_t)f->memory.activation_bytes, "total_bytes",
                     (json_int_t)f->memory.total_bytes);
}

static bool print_json(const struct facts *f, const char *path, struct buf *out)
{
    const struct model *m = f->model;
    char hash[20];

    snprintf(hash, sizeof hash, "%016" PRIx64, gguf_fingerprint(m->gguf));
    json_t *root = json_pack(
        "{s:s, s:o, s:o, s:s, s:i, s:s, s:o, s:o, s:o, s:s?, s:b, s:I, s:I, s:o, s:o}", "version",
        ASHLAR_VERSION, "model", json_text_value(path, strlen(path)), "name",
        json_text_value(m->params.name, strlen(m->params.name)), "architecture",
        m->params.arch_name, "gguf_version", (int)gguf_version(m->gguf), "header_hash", hash,
        "shape", shape_value(&m->params, is_tied(m)), "rope", rope_value(m), "tokenizer",
        tokenizer_value(f), "chat_family", f->family, "chat_template",
        (int)(f->chat_template.data != NULL), "values", (json_int_t)f->n_values, "weights_bytes",
        (json_int_t)m->weights_bytes, "types", types_value(f), "memory", memory_value(f));
    char *text = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(7)) : NULL;
    bool ok = text && buf_puts(out, text) && buf_puts(out, "\n");
    free(text);
    json_decref(root);
    return ok;
}

/* ---- the command --------------------------------------------------------------------------- */

static int print_facts(const struct facts *f, const char *path)
{
    struct buf out;
    bool ok = true;
    int code;

    buf_init(&out, TEXT_MAX);
    if (set.json)
        ok = print_json(f, path, &out);
    else
        print_text(f, path, &out);
    if (ok && !out.failed) {
        code = cli_print(&out);
    } else {
        ashlar_error err;
        error_memory(&err, TEXT_MAX, "the report");
        code = cli_fail(&err);
    }
    buf_fini(&out);
    return code;
}

int cmd_inspect(int argc, char **argv)
{
    const char *path;
    int n_operands, code;
    struct model *model;
    ashlar_error err;

    memset(&set, 0, sizeof set);
    if (!cli_parse(&command_inspect, argc, argv, &path, &n_operands, &code))
        return code;
    if (model_open(path, &model, &err) != ASHLAR_OK)
        return cli_fail(&err);
    struct facts f = {.model = model};
    if (gather(&f, path, &err) == ASHLAR_OK)
        code = print_facts(&f, path);
    else
        code = cli_fail(&err);
    tokenizer_close(f.tokenizer);
    model_close(model);
    return code;
}
