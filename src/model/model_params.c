/*
 * model_params.c: a transformer's hyperparameters from GGUF keys. Names and defaults are those that
 * llama.cpp reads; what would change the arithmetic in a way the engine does not know is refused by
 * name rather than ignored. The limits keep every product of two hyperparameters inside an int.
 */
#include "model/model_params.h"

#include <stdio.h>
#include <string.h>

enum {
    MAX_LAYERS = 1024,
    MAX_EMBD = 1 << 17,
    MAX_HEADS = 1024,
    MAX_HEAD_DIM = 512,
    MAX_FF = 1 << 20,
    MAX_VOCAB = 1 << 24,
    MAX_CTX = 1 << 30,
};

static const struct {
    const char *name;
    enum model_arch arch;
    bool rope_neox;
} architectures[] = {
    {"llama", MODEL_LLAMA, false},
    {"qwen2", MODEL_QWEN2, true},
    {"qwen3", MODEL_QWEN3, true},
};

/* Reads keys "<arch>.<suffix>"; the first failure sticks, so that no read needs its own check. */
struct reader {
    const struct gguf *g;
    const char *arch;
    char key[96];
    ashlar_status status;
    ashlar_error *err;
};

static const char *full_key(struct reader *r, const char *suffix)
{
    snprintf(r->key, sizeof r->key, "%s.%s", r->arch, suffix);
    return r->key;
}

static bool has(struct reader *r, const char *suffix)
{
    return gguf_find(r->g, full_key(r, suffix)) >= 0;
}

static void refuse(struct reader *r, const char *suffix, const char *what)
{
    if (r->status == ASHLAR_OK)
        r->status = error_set(r->err, ASHLAR_BAD_INPUT, "%s: key %s: %s", gguf_path(r->g),
                              full_key(r, suffix), what);
}

static int optional_int(struct reader *r, const char *suffix, int min, int max, int fallback)
{
    int64_t value = fallback;
    if (r->status == ASHLAR_OK)
        r->status = gguf_get_int(r->g, full_key(r, suffix), min, max, fallback, &value, r->err);
    return (int)value;
}

static int required_int(struct reader *r, const char *suffix, int min, int max)
{
    if (!has(r, suffix))
        refuse(r, suffix, "missing");
    return optional_int(r, suffix, min, max, min);
}

static float optional_float(struct reader *r, const char *suffix, float min, float max,
                            float fallback)
{
    float value = fallback;
    char what[80];
    if (r->status == ASHLAR_OK)
        r->status = gguf_get_float(r->g, full_key(r, suffix), fallback, &value, r->err);
    if (r->status == ASHLAR_OK && has(r, suffix) && (value < min || value > max)) {
        snprintf(what, sizeof what, "%g is outside [%g, %g]", (double)value, (double)min,
                 (double)max);
        refuse(r, suffix, what);
    }
    return value;
}

/* ---- architecture and name ----------------------------------------------------------------- */

static ashlar_status read_arch(const struct gguf *g, struct model_params *p, ashlar_error *err)
{
    struct gguf_string name;
    ashlar_status s = gguf_get_string(g, "general.architecture", &name, err);
    if (s != ASHLAR_OK)
        return s;
    if (!name.data)
        return error_set(err, ASHLAR_BAD_INPUT, "%s: key general.architecture: missing",
                         gguf_path(g));
    for (size_t i = 0; i < sizeof architectures / sizeof architectures[0]; i++) {
        if (strlen(architectures[i].name) == name.length &&
            !memcmp(architectures[i].name, name.data, name.length)) {
            p->arch = architectures[i].arch;
            p->rope_neox = architectures[i].rope_neox;
            snprintf(p->arch_name, sizeof p->arch_name, "%s", architectures[i].name);
            return ASHLAR_OK;
        }
    }
    char text[32] = "";
    for (size_t i = 0; i < name.length && i < sizeof text - 1; i++)
        text[i] = name.data[i] < 0x20 || name.data[i] > 0x7e ? '?' : name.data[i];
    error_set(err, ASHLAR_BAD_INPUT, "%s: key general.architecture: \"%s\" is not supported",
              gguf_path(g), text);
    error_hint(err, "llama, qwen2 and qwen3 are");
    return ASHLAR_BAD_INPUT;
}

/* Printable text in a fixed array: cut at a character's border, control characters replaced. */
static void copy_name(struct gguf_string from, char *to, size_t size)
{
    size_t n = from.length < size - 1 ? from.length : size - 1;
    while (n > 0 && n < from.length && ((unsigned char)from.data[n] & 0xc0) == 0x80)
        n--;
    for (size_t i = 0; i < n; i++)
        to[i] = (unsigned char)from.data[i] < 0x20 || from.data[i] == 0x7f ? '?' : from.data[i];
    to[n] = '\0';
}

static void read_name(struct reader *r, struct model_params *p)
{
    struct gguf_string name;
    if (r->status == ASHLAR_OK)
        r->status = gguf_get_string(r->g, "general.name", &name, r->err);
    if (r->status == ASHLAR_OK && name.data)
        copy_name(name, p->name, sizeof p->name);
}

/* ---- shapes -------------------------------------------------------------------------------- */

static void read_heads(struct reader *r, struct model_params *p)
{
    p->n_head = required_int(r, "attention.head_count", 1, MAX_HEADS);
    p->n_head_kv = optional_int(r, "attention.head_count_kv", 1, MAX_HEADS, p->n_head);
    if (p->n_head % p->n_head_kv != 0)
        refuse(r, "attention.head_count_kv", "does not divide the number of heads");
    if (!has(r, "attention.key_length") && p->n_embd % p->n_head != 0)
        refuse(r, "attention.head_count", "does not divide the embedding length");
    int fallback = p->n_embd / p->n_head;
    p->head_dim = optional_int(r, "attention.key_length", 2, MAX_HEAD_DIM, fallback);
    if (p->head_dim < 2 || p->head_dim > MAX_HEAD_DIM || p->head_dim % 2 != 0)
        refuse(r, "attention.key_length", "a head must have an even length from 2 to 512");
    if (optional_int(r, "attention.value_length", 2, MAX_HEAD_DIM, fallback) != p->head_dim)
        refuse(r, "attention.value_length", "differs from the key length");
}

static void read_vocab(struct reader *r, struct model_params *p)
{
    struct gguf_array tokens = {.n = 0};
    if (r->status == ASHLAR_OK)
        r->status = gguf_get_array(r->g, "tokenizer.ggml.tokens", GGUF_STRING, &tokens, r->err);
    if (tokens.n > MAX_VOCAB && r->status == ASHLAR_OK)
        r->status = error_set(r->err, ASHLAR_BAD_INPUT,
                              "%s: key tokenizer.ggml.tokens: %llu tokens", gguf_path(r->g),
                              (unsigned long long)tokens.n);
    p->n_vocab = optional_int(r, "vocab_size", 1, MAX_VOCAB, 0);
    if (tokens.n > 0)
        p->n_vocab = (int)tokens.n;
}

static void read_shapes(struct reader *r, struct model_params *p)
{
    p->n_layer = required_int(r, "block_count", 1, MAX_LAYERS);
    p->n_embd = required_int(r, "embedding_length", 1, MAX_EMBD);
    p->n_ff = required_int(r, "feed_forward_length", 1, MAX_FF);
    p->n_ctx_train = required_int(r, "context_length", 1, MAX_CTX);
    if (r->status != ASHLAR_OK)
        return; /* read_heads divides by these */
    read_heads(r, p);
    read_vocab(r, p);
    if (!has(r, "attention.layer_norm_rms_epsilon"))
        refuse(r, "attention.layer_norm_rms_epsilon", "missing");
    p->rms_eps = optional_float(r, "attention.layer_norm_rms_epsilon", 0, 1, 0);
}

/* ---- rotary positions ---------------------------------------------------------------------- */

static void read_rope_type(struct reader *r, struct model_params *p)
{
    struct gguf_string type = {NULL, 0};
    if (r->status == ASHLAR_OK)
        r->status = gguf_get_string(r->g, full_key(r, "rope.scaling.type"), &type, r->err);
    if (!type.data || (type.length == 6 && !memcmp(type.data, "linear", 6))) {
        p->rope_scaling = p->rope_factor == 1 ? ROPE_NONE : ROPE_LINEAR;
    } else if (type.length == 4 && !memcmp(type.data, "yarn", 4)) {
        p->rope_scaling = ROPE_YARN;
    } else if (type.length == 4 && !memcmp(type.data, "none", 4)) {
        p->rope_scaling = ROPE_NONE;
        p->rope_factor = 1;
    } else {
        char text[24], what[64];
        copy_name(type, text, sizeof text);
        snprintf(what, sizeof what, "\"%s\" is not supported", text);
        refuse(r, "rope.scaling.type", what);
    }
}

static void read_rope(struct reader *r, struct model_params *p)
{
    p->rope_dims = optional_int(r, "rope.dimension_count", 2, MAX_HEAD_DIM, p->head_dim);
    if (p->rope_dims > p->head_dim || p->rope_dims % 2 != 0)
        refuse(r, "rope.dimension_count", "must be even and at most a head's length");
    p->rope_base = optional_float(r, "rope.freq_base", 2, 1e12f, 10000);

    const char *factor_key = has(r, "rope.scaling.factor") ? "rope.scaling.factor"
                                                           : "rope.scale_linear";
    p->rope_factor = optional_float(r, factor_key, 0, 1e6f, 1);
    if (p->rope_factor == 0) /* how some converters say "not scaled" */
        p->rope_factor = 1;
    if (p->rope_factor < 1)
        refuse(r, factor_key, "a factor below 1 is not supported");
    read_rope_type(r, p);

    p->rope_ctx_orig = optional_int(r, "rope.scaling.original_context_length", 1, MAX_CTX,
                                    p->n_ctx_train);
    float ext = p->rope_scaling == ROPE_YARN ? 1 : 0;
    p->yarn_ext_factor = optional_float(r, "rope.scaling.yarn_ext_factor", -1, 1, ext);
    if (p->yarn_ext_factor < 0)
        p->yarn_ext_factor = ext; /* "not set" */
    p->yarn_attn_factor = optional_float(r, "rope.scaling.attn_factor", 0, 1e3f, 1);
    p->yarn_beta_fast = optional_float(r, "rope.scaling.yarn_beta_fast", 1e-3f, 1e6f, 32);
    p->yarn_beta_slow = optional_float(r, "rope.scaling.yarn_beta_slow", 1e-3f, 1e6f, 1);
    if (optional_float(r, "rope.scaling.yarn_log_multiplier", -1e6f, 1e6f, 0) != 0)
        refuse(r, "rope.scaling.yarn_log_multiplier", "is not supported");
}

/* ---- what we do not do --------------------------------------------------------------------- */

static void refuse_unknown(struct reader *r)
{
    int64_t n_files = 1;
    bool causal = true;
    if (optional_int(r, "expert_count", 0, 1 << 20, 0) != 0)
        refuse(r, "expert_count", "mixtures of experts are not supported");
    if (r->status == ASHLAR_OK)
        r->status = gguf_get_bool(r->g, full_key(r, "attention.causal"), true, &causal, r->err);
    if (!causal)
        refuse(r, "attention.causal", "encoders are not supported");
    if (r->status == ASHLAR_OK)
        r->status = gguf_get_int(r->g, "split.count", 0, 65535, 1, &n_files, r->err);
    if (r->status == ASHLAR_OK && n_files > 1) {
        r->status = error_set(r->err, ASHLAR_BAD_INPUT,
                              "%s: key split.count: one of %d files of a split model",
                              gguf_path(r->g), (int)n_files);
        error_hint(r->err, "merge them, for example with llama-gguf-split --merge");
    }
}

ashlar_status model_params_read(const struct gguf *g, struct model_params *p, ashlar_error *err)
{
    memset(p, 0, sizeof *p);
    ashlar_status s = read_arch(g, p, err);
    if (s != ASHLAR_OK)
        return s;
    struct reader r = {.g = g, .arch = p->arch_name, .err = err};
    refuse_unknown(&r);
    read_name(&r, p);
    read_shapes(&r, p);
    if (r.status == ASHLAR_OK)
        read_rope(&r, p);
    return r.status;
}
