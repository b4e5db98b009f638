/*
 * model.h: one decoder-only transformer read from a GGUF file: hyperparameters and weights bound by
 * name, shapes checked. Data only: no arithmetic on activations here.
 */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include "base/log.h"
#include "model/gguf.h"
#include "model/tensor.h"

enum model_arch { MODEL_LLAMA, MODEL_QWEN2, MODEL_QWEN3 };

enum rope_scaling { ROPE_NONE, ROPE_LINEAR, ROPE_YARN };

struct model_params {
    enum model_arch arch;
    char arch_name[16];
    char name[96];
    int n_layer, n_embd, n_head, n_head_kv, head_dim, n_ff, n_vocab, n_ctx_train;
    float rms_eps;
    bool rope_neox;      /* pairs (i, i + d/2): qwen; else pairs (2i, 2i+1): llama */
    int rope_dims;       /* leading dimensions of a head that rotate */
    float rope_base;
    enum rope_scaling rope_scaling; /* llama3's scaling comes as the tensor rope_freqs */
    float rope_factor;   /* context extension factor, >= 1 */
    int rope_ctx_orig;   /* original context, for yarn */
    float yarn_ext_factor; /* 1 with yarn, else 0, unless the file says so */
    float yarn_attn_factor; /* multiplies cos and sin with any scaling, beside the
                             * 1 + 0.1 ln(rope_factor) that yarn_ext_factor != 0 brings */
    float yarn_beta_fast, yarn_beta_slow;
};

/** Absent tensors (biases, q/k norms) have data == NULL. Shapes are (rows, cols). */
struct model_layer {
    struct tensor attn_norm;        /* (1, n_embd) F32 */
    struct tensor wq;               /* (n_head * head_dim, n_embd) */
    struct tensor wk, wv;           /* (n_head_kv * head_dim, n_embd) */
    struct tensor bq, bk, bv;       /* (1, rows of wq, wk, wv) F32: qwen2 */
    struct tensor q_norm, k_norm;   /* (1, head_dim) F32: qwen3 */
    struct tensor wo;               /* (n_embd, n_head * head_dim) */
    struct tensor ffn_norm;         /* (1, n_embd) F32 */
    struct tensor w_gate, w_up;     /* (n_ff, n_embd) */
    struct tensor w_down;           /* (n_embd, n_ff) */
};

struct model {
    struct gguf *gguf;
    struct model_params params;
    struct tensor token_embd;       /* (n_vocab, n_embd) */
    struct tensor output_norm;      /* (1, n_embd) F32 */
    struct tensor output;           /* (n_vocab, n_embd); the same data as token_embd when tied */
    struct tensor rope_freqs;       /* (1, rope_dims / 2) F32 divisors, may be absent */
    struct model_layer *layers;     /* (n_layer) */
    struct tensor **tensors;        /* (n_tensors) every bound tensor above, a tied one once */
    int n_tensors;
    void *pages;                    /* huge-page copy of the weights; NULL while mapped */
    size_t pages_bytes;
    uint64_t weights_bytes;         /* all bound tensors, tied ones once */
};

/**
 * Parse and bind without touching the weights' bytes: tensors point into the mapping.
 * Norms and biases in F16/BF16 are refused by name (no known file has them).
 * Errors: BAD_INPUT (unsupported architecture, type, shape, missing tensor: named), FAILED,
 * NO_RESOURCE.
 */
ashlar_status model_open(const char *path, struct model **out, ashlar_error *err);
/**
 * As model_open on bytes in memory, 8-byte aligned and borrowed until model_close; `name` stands
 * for the path in messages.
 */
ashlar_status model_open_memory(const void *data, size_t size, const char *name, struct model **out,
                                ashlar_error *err);
void model_close(struct model *m);

/**
 * Make the weights resident: either copied once into huge pages by reading the file (the mapping's
 * pages are not touched, so that there is one copy), or, with `map`, read ahead in place.
 * Also checks small F32 tensors for NaN and infinity.
 * Errors: FAILED, NO_RESOURCE, CANCELLED, BAD_INPUT; the model is then as it was before.
 */
ashlar_status model_load(struct model *m, bool map, const struct log *log, ashlar_error *err);

#endif
