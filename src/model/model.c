/*
 * model.c: weights bound by name. Each tensor that the architecture has is looked up, its shape and
 * type checked against the hyperparameters; a tensor that is left over is refused, because ignoring
 * it would compute something else than the file's author meant. The weights' bytes are not touched.
 */
#include "model/model.h"

#include "base/mem.h"
#include "model/model_params.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum wanted { REQUIRED, OPTIONAL };

/* Binds tensors one after the other; the first failure sticks. */
struct binder {
    struct model *m;
    bool *bound; /* (gguf_n_tensors) */
    ashlar_status status;
    ashlar_error *err;
};

static void refuse(struct binder *b, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void refuse(struct binder *b, const char *name, const char *format, ...)
{
    char what[160];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    b->status = error_set(b->err, ASHLAR_BAD_INPUT, "%s: tensor %s: %s", gguf_path(b->m->gguf),
                          name, what);
}

static bool check_shape(struct binder *b, const char *name, const struct gguf_tensor *t, int rows,
                        int cols)
{
    if (t->shape[0] == (uint64_t)cols && t->shape[1] == (uint64_t)rows && t->shape[2] == 1 &&
        t->shape[3] == 1)
        return true;
    refuse(b, name, "%llu rows of %llu values where %d of %d are wanted",
           (unsigned long long)t->shape[1], (unsigned long long)t->shape[0], rows, cols);
    return false;
}

/* A tensor of `rows` rows; rows == 1 means a vector, which must be F32. */
static void bind(struct binder *b, struct tensor *to, enum wanted wanted, int rows, int cols,
                 const char *name)
{
    struct model *m = b->m;
    if (b->status != ASHLAR_OK)
        return;
    const struct gguf_tensor *t = gguf_find_tensor(m->gguf, name);
    if (!t) {
        if (wanted == REQUIRED)
            refuse(b, name, "missing");
        return;
    }
    if (!tensor_type_info(t->type)) {
        refuse(b, name, "type %s is not supported", tensor_type_name(t->type));
        return;
    }
    if (rows == 1 && t->type != TENSOR_F32) {
        refuse(b, name, "type %s where F32 is wanted", tensor_type_name(t->type));
        return;
    }
    if (!check_shape(b, name, t, rows, cols))
        return;
    to->data = gguf_data(m->gguf) + t->offset;
    to->type = (enum tensor_type)t->type;
    to->n_rows = rows;
    to->n_cols = cols;
    to->row_bytes = tensor_row_bytes(to->type, cols);
    snprintf(to->name, sizeof to->name, "%s", name);
    m->tensors[m->n_tensors++] = to;
    m->weights_bytes += t->bytes;
    b->bound[t - gguf_tensor(m->gguf, 0)] = true;
}

static void bind_layer(struct binder *b, int i)
{
    const struct model_params *p = &b->m->params;
    struct model_layer *l = &b->m->layers[i];
    int n_q = p->n_head * p->head_dim, n_kv = p->n_head_kv * p->head_dim;
    enum wanted qk_norm = p->arch == MODEL_QWEN3 ? REQUIRED : OPTIONAL;
    const struct {
        struct tensor *to;
        const char *suffix;
        enum wanted wanted;
        int rows, cols;
    } parts[] = {
        {&l->attn_norm, "attn_norm.weight", REQUIRED, 1, p->n_embd},
        {&l->wq, "attn_q.weight", REQUIRED, n_q, p->n_embd},
        {&l->wk, "attn_k.weight", REQUIRED, n_kv, p->n_embd},
        {&l->wv, "attn_v.weight", REQUIRED, n_kv, p->n_embd},
        {&l->bq, "attn_q.bias", OPTIONAL, 1, n_q},
        {&l->bk, "attn_k.bias", OPTIONAL, 1, n_kv},
        {&l->bv, "attn_v.bias", OPTIONAL, 1, n_kv},
        {&l->wo, "attn_output.weight", REQUIRED, p->n_embd, n_q},
        {&l->ffn_norm, "ffn_norm.weight", REQUIRED, 1, p->n_embd},
        {&l->w_gate, "ffn_gate.weight", REQUIRED, p->n_ff, p->n_embd},
        {&l->w_up, "ffn_up.weight", REQUIRED, p->n_ff, p->n_embd},
        {&l->w_down, "ffn_down.weight", REQUIRED, p->n_embd, p->n_ff},
        {&l->q_norm, "attn_q_norm.weight", qk_norm, 1, p->head_dim},
        {&l->k_norm, "attn_k_norm.weight", qk_norm, 1, p->head_dim},
    };
    size_t n = sizeof parts / sizeof parts[0];
    if (p->arch != MODEL_QWEN3)
        n -= 2; /* only qwen3 has q and k norms: elsewhere they are left over, and refused */
    for (size_t k = 0; k < n; k++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%d.%s", i, parts[k].suffix);
        bind(b, parts[k].to, parts[k].wanted, parts[k].rows, parts[k].cols, name);
    }
}

static void bind_all(struct binder *b)
{
    struct model *m = b->m;
    struct model_params *p = &m->params;
    const struct gguf_tensor *embd = gguf_find_tensor(m->gguf, "token_embd.weight");
    if (p->n_vocab == 0 && embd && embd->shape[1] <= 1 << 24)
        p->n_vocab = (int)embd->shape[1];
    bind(b, &m->token_embd, REQUIRED, p->n_vocab, p->n_embd, "token_embd.weight");
    bind(b, &m->output_norm, REQUIRED, 1, p->n_embd, "output_norm.weight");
    bind(b, &m->output, OPTIONAL, p->n_vocab, p->n_embd, "output.weight");
    if (p->arch == MODEL_LLAMA)
        bind(b, &m->rope_freqs, OPTIONAL, 1, p->rope_dims / 2, "rope_freqs.weight");
    for (int i = 0; i < p->n_layer; i++)
        bind_layer(b, i);
    if (!m->output.data)
        m->output = m->token_embd;
}

static void refuse_left_over(struct binder *b)
{
    const struct gguf *g = b->m->gguf;
    for (int i = 0; i < gguf_n_tensors(g) && b->status == ASHLAR_OK; i++) {
        if (b->bound[i])
            continue;
        struct gguf_string from = gguf_tensor(g, i)->name;
        char name[64];
        for (size_t k = 0; k < from.length; k++)
            name[k] = from.data[k] < 0x20 || from.data[k] > 0x7e ? '?' : from.data[k];
        name[from.length] = '\0';
        refuse(b, name, "is not part of a dense %s model", b->m->params.arch_name);
    }
}

/* Takes over g. */
static ashlar_status open_gguf(struct gguf *g, struct model **out, ashlar_error *err)
{
    struct model *m = calloc(1, sizeof *m);
    if (!m) {
        gguf_close(g);
        return error_memory(err, sizeof *m, "a model");
    }
    m->gguf = g;
    ashlar_status s = model_params_read(g, &m->params, err);
    if (s != ASHLAR_OK) {
        model_close(m);
        return s;
    }
    size_t n = (size_t)gguf_n_tensors(g);
    struct binder b = {.m = m, .bound = mem_array(n, sizeof *b.bound), .err = err};
    m->layers = mem_array((size_t)m->params.n_layer, sizeof *m->layers);
    m->tensors = mem_array(n, sizeof *m->tensors);
    if (b.bound && m->layers && m->tensors) {
        bind_all(&b);
        refuse_left_over(&b);
        s = b.status;
    } else {
        s = error_memory(err, (size_t)m->params.n_layer * sizeof *m->layers, "the tensor table");
    }
    free(b.bound);
    if (s != ASHLAR_OK) {
        if (n == 0)
            error_hint(err, "the file holds a vocabulary without weights");
        model_close(m);
        return s;
    }
    *out = m;
    return ASHLAR_OK;
}

ashlar_status model_open(const char *path, struct model **out, ashlar_error *err)
{
    struct gguf *g;
    *out = NULL;
    ashlar_status s = gguf_open(path, &g, err);
    return s == ASHLAR_OK ? open_gguf(g, out, err) : s;
}

ashlar_status model_open_memory(const void *data, size_t size, const char *name, struct model **out,
                                ashlar_error *err)
{
    struct gguf *g;
    *out = NULL;
    ashlar_status s = gguf_open_memory(data, size, name, &g, err);
    return s == ASHLAR_OK ? open_gguf(g, out, err) : s;
}

void model_close(struct model *m)
{
    if (!m)
        return;
    if (m->pages)
        mem_pages_free(m->pages, m->pages_bytes);
    free(m->layers);
    free(m->tensors);
    gguf_close(m->gguf);
    free(m);
}
