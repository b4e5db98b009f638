/*
 * mkmodel: writes a GGUF model with seeded random weights, so that tests and benches of any shape
 * and weight type need no download. The same options give the same bytes on every machine.
 *
 * Matrices are N(0, 1 / fan-in), norms near 1, biases small: activations stay of order one and
 * logits have a deviation of about three, so that sampling has something to choose from. The
 * tokenizer is a byte-level BPE vocabulary made up to the wanted size.
 *
 * The file is streamed: a few megabytes of rows at a time are filled and encoded by all cores. What
 * a chunk of rows holds depends on the seed, the tensor and the chunk alone, never on the threads.
 */
#include "base/mem.h"
#include "base/options.h"
#include "base/os.h"
#include "base/pool.h"
#include "base/rng.h"
#include "base/text.h"
#include "model/gguf_writer.h"
#include "model/quantize.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what to make -------------------------------------------------------------------------- */

struct shape {
    const char *preset, *arch, *scaling;
    int layers, embd, heads, kv_heads, head_dim, ff, vocab, ctx;
    bool tied;
    float rope_base, eps;
};

static const struct shape presets[] = {
    {"tiny", "llama", "none", 2, 256, 4, 2, 64, 512, 512, 2048, true, 10000, 1e-5f},
    {"qwen2.5-0.5b", "qwen2", "none", 24, 896, 14, 2, 64, 4864, 151936, 32768, true, 1e6f, 1e-6f},
    {"llama3.2-1b", "llama", "llama3", 16, 2048, 32, 8, 64, 8192, 128256, 131072, true, 5e5f,
     1e-5f},
    {"llama3-8b", "llama", "none", 32, 4096, 32, 8, 128, 14336, 128256, 8192, false, 5e5f, 1e-5f},
};

/* Command line; 0 and NULL mean "as the preset says". */
static struct {
    const char *preset, *arch, *type, *embd_type, *scaling, *out;
    int layers, embd, heads, kv_heads, head_dim, ff, vocab, ctx;
    bool untied, quiet;
    uint64_t seed;
} arg = {.preset = "tiny", .type = "F16", .seed = 1};

static const struct option options[] = {
    {"output", 'o', OPTION_STRING, &arg.out, 0, 0, "FILE", "where to write the model"},
    {"preset", 0, OPTION_STRING, &arg.preset, 0, 0, "NAME",
     "tiny (default), qwen2.5-0.5b, llama3.2-1b or llama3-8b"},
    {"type", 't', OPTION_STRING, &arg.type, 0, 0, "TYPE",
     "type of the matrices: F32, F16 (default), BF16, Q8_0, Q4_0, Q4_K, ..."},
    {"embd-type", 0, OPTION_STRING, &arg.embd_type, 0, 0, "TYPE",
     "type of embedding and output (Q6_K below 8 bits, else as --type)"},
    {"arch", 0, OPTION_STRING, &arg.arch, 0, 0, "ARCH", "llama, qwen2 or qwen3"},
    {"layers", 0, OPTION_INT, &arg.layers, 1, 1024, "N", "number of layers"},
    {"embd", 0, OPTION_INT, &arg.embd, 2, 65536, "N", "embedding length"},
    {"heads", 0, OPTION_INT, &arg.heads, 1, 1024, "N", "query heads"},
    {"kv-heads", 0, OPTION_INT, &arg.kv_heads, 1, 1024, "N", "key and value heads"},
    {"head-dim", 0, OPTION_INT, &arg.head_dim, 2, 512, "N", "length of a head"},
    {"ff", 0, OPTION_INT, &arg.ff, 1, 1 << 20, "N", "feed-forward length"},
    {"vocab", 0, OPTION_INT, &arg.vocab, 320, 1 << 20, "N", "vocabulary size"},
    {"ctx", 0, OPTION_INT, &arg.ctx, 16, 1 << 30, "N", "training context length"},
    {"untied", 0, OPTION_FLAG, &arg.untied, 0, 0, NULL, "an output matrix of its own"},
    {"rope-scaling", 0, OPTION_STRING, &arg.scaling, 0, 0, "KIND", "none, linear, yarn or llama3"},
    {"seed", 0, OPTION_U64, &arg.seed, 0, 0, "N", "seed of the weights (1)"},
    {"quiet", 'q', OPTION_FLAG, &arg.quiet, 0, 0, NULL, "no summary on standard error"},
    {0},
};

static const struct command command = {
    .name = "mkmodel",
    .usage = "mkmodel [options] -o FILE",
    .summary = "write a GGUF model with random weights",
    .description =
        "A row length that is no multiple of the type's block takes another type for that tensor: "
        "Q2_K, Q3_K -> Q4_0, Q4_K -> Q5_0, Q5_K -> Q5_1, Q6_K -> Q8_0, and F16 where 32 does not "
        "divide it either.",
    .options = options,
};

static int choose(int given, int preset)
{
    return given ? given : preset;
}

static bool known(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (!strcmp(word, *words))
            return true;
    return false;
}

/* The preset with the command line's changes. */
static ashlar_status choose_shape(struct shape *s, ashlar_error *err)
{
    static const char *const archs[] = {"llama", "qwen2", "qwen3", NULL};
    static const char *const scalings[] = {"none", "linear", "yarn", "llama3", NULL};
    size_t i = 0, n = sizeof presets / sizeof presets[0];
    while (i < n && strcmp(presets[i].preset, arg.preset))
        i++;
    if (i == n)
        return error_set(err, ASHLAR_USAGE, "unknown preset \"%s\"", arg.preset);
    *s = presets[i];
    s->arch = arg.arch ? arg.arch : s->arch;
    s->scaling = arg.scaling ? arg.scaling : s->scaling;
    if (!known(s->arch, archs))
        return error_set(err, ASHLAR_USAGE, "unknown architecture \"%s\"", s->arch);
    if (!known(s->scaling, scalings))
        return error_set(err, ASHLAR_USAGE, "unknown rope scaling \"%s\"", s->scaling);
    if (!strcmp(s->scaling, "llama3") && strcmp(s->arch, "llama"))
        return error_set(err, ASHLAR_USAGE, "rope scaling llama3 needs architecture llama");
    s->layers = choose(arg.layers, s->layers);
    s->embd = choose(arg.embd, s->embd);
    s->heads = choose(arg.heads, s->heads);
    s->kv_heads = choose(arg.kv_heads, s->kv_heads);
    s->head_dim = choose(arg.head_dim, s->head_dim);
    s->ff = choose(arg.ff, s->ff);
    s->vocab = choose(arg.vocab, s->vocab);
    s->ctx = choose(arg.ctx, s->ctx);
    s->tied = s->tied && !arg.untied;
    if (s->heads % s->kv_heads || s->head_dim % 2)
        return error_set(err, ASHLAR_USAGE, "%d heads, %d kv heads of %d do not fit", s->heads,
                         s->kv_heads, s->head_dim);
    return ASHLAR_OK;
}

/* ---- the tensors --------------------------------------------------------------------------- */

enum content { NORMAL, ROPE_FREQS };

struct plan {
    char name[64];
    enum tensor_type type;
    enum content content;
    int rows, cols;
    float mean, deviation;
};

struct plans {
    struct plan *items;
    int n;
    enum tensor_type type, embd_type;
    int n_fallback;
};

/* The type for rows of `cols` values, as llama.cpp's quantiser falls back. */
static enum tensor_type type_for(enum tensor_type type, int cols)
{
    if (tensor_row_bytes(type, cols))
        return type;
    switch (type) {
    case TENSOR_Q2_K:
    case TENSOR_Q3_K:
        type = TENSOR_Q4_0;
        break;
    case TENSOR_Q4_K:
        type = TENSOR_Q5_0;
        break;
    case TENSOR_Q5_K:
        type = TENSOR_Q5_1;
        break;
    case TENSOR_Q6_K:
        type = TENSOR_Q8_0;
        break;
    default:
        break;
    }
    return tensor_row_bytes(type, cols) ? type : TENSOR_F16;
}

static enum tensor_type default_embd_type(enum tensor_type type)
{
    switch (type) {
    case TENSOR_F32:
    case TENSOR_F16:
    case TENSOR_BF16:
    case TENSOR_Q8_0:
        return type;
    default:
        return TENSOR_Q6_K;
    }
}

static struct plan *add(struct plans *p, enum tensor_type type, int rows, int cols, float mean,
                        float deviation, const char *name)
{
    struct plan *item = &p->items[p->n++];
    *item = (struct plan){.rows = rows, .cols = cols, .mean = mean, .deviation = deviation};
    item->type = type_for(type, cols);
    p->n_fallback += item->type != type;
    snprintf(item->name, sizeof item->name, "%s", name);
    return item;
}

static void add_matrix(struct plans *p, int layer, const char *part, int rows, int cols)
{
    char name[64];
    snprintf(name, sizeof name, "blk.%d.%s.weight", layer, part);
    add(p, p->type, rows, cols, 0, 1 / sqrtf((float)cols), name);
}

static void add_vector(struct plans *p, int layer, const char *part, int n, float mean)
{
    char name[64];
    snprintf(name, sizeof name, "blk.%d.%s", layer, part);
    add(p, TENSOR_F32, 1, n, mean, 0.1f, name);
}

static void add_layer(struct plans *p, const struct shape *s, int i)
{
    int n_q = s->heads * s->head_dim, n_kv = s->kv_heads * s->head_dim;
    add_vector(p, i, "attn_norm.weight", s->embd, 1);
    add_matrix(p, i, "attn_q", n_q, s->embd);
    add_matrix(p, i, "attn_k", n_kv, s->embd);
    add_matrix(p, i, "attn_v", n_kv, s->embd);
    if (!strcmp(s->arch, "qwen2")) {
        add_vector(p, i, "attn_q.bias", n_q, 0);
        add_vector(p, i, "attn_k.bias", n_kv, 0);
        add_vector(p, i, "attn_v.bias", n_kv, 0);
    }
    if (!strcmp(s->arch, "qwen3")) {
        add_vector(p, i, "attn_q_norm.weight", s->head_dim, 1);
        add_vector(p, i, "attn_k_norm.weight", s->head_dim, 1);
    }
    add_matrix(p, i, "attn_output", s->embd, n_q);
    add_vector(p, i, "ffn_norm.weight", s->embd, 1);
    add_matrix(p, i, "ffn_gate", s->ff, s->embd);
    add_matrix(p, i, "ffn_up", s->ff, s->embd);
    add_matrix(p, i, "ffn_down", s->embd, s->ff);
}

static ashlar_status plan_tensors(struct plans *p, const struct shape *s, ashlar_error *err)
{
    size_t n = 4 + 12 * (size_t)s->layers;
    p->items = mem_array(n, sizeof *p->items);
    if (!p->items)
        return error_memory(err, n * sizeof *p->items, "the list of tensors");
    float spread = 3 / sqrtf((float)s->embd);
    add(p, p->embd_type, s->vocab, s->embd, 0, s->tied ? spread : 1, "token_embd.weight");
    add(p, TENSOR_F32, 1, s->embd, 1, 0.1f, "output_norm.weight");
    if (!s->tied)
        add(p, p->embd_type, s->vocab, s->embd, 0, spread, "output.weight");
    if (!strcmp(s->scaling, "llama3"))
        add(p, TENSOR_F32, 1, s->head_dim / 2, 0, 0, "rope_freqs.weight")->content = ROPE_FREQS;
    for (int i = 0; i < s->layers; i++)
        add_layer(p, s, i);
    return ASHLAR_OK;
}

/* ---- the tokenizer ------------------------------------------------------------------------- */

/* Byte-level BPE spells bytes that are not printable as characters from U+0100 on. */
static void spell_byte(int rank, char out[4])
{
    int code;
    if (rank < 94)
        code = 33 + rank;
    else if (rank < 106)
        code = 161 + rank - 94;
    else if (rank < 188)
        code = 174 + rank - 106;
    else
        code = 256 + rank - 188;
    if (code < 0x80) {
        out[0] = (char)code;
        out[1] = '\0';
    } else {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 63));
        out[2] = '\0';
    }
}

#define SPACE "\xc4\xa0" /* how a space is spelled */

/* Each makes the token that is its two halves joined. */
static const char *const merges[] = {
    SPACE " t",  "h e",   SPACE "t he", "i n",   "o n",   "e r",       "a n",   "r e",
    SPACE " a",  "an d",  "in g",       "e n",   "o r",   SPACE " " SPACE, "o u", SPACE " w",
    "e s",       "i t",   "a t",        "e d",   SPACE " s", SPACE " o", SPACE "o f", "l l",
};
static const char *const controls[] = {
    "<|begin_of_text|>", "<|end_of_text|>", "<|im_start|>", "<|im_end|>",
};
enum {
    N_MERGES = sizeof merges / sizeof merges[0],
    N_CONTROLS = sizeof controls / sizeof controls[0],
    TOKEN_TEXT = 24,
    TYPE_NORMAL = 1,
    TYPE_CONTROL = 3,
};

/* A word of three syllables that no merge makes: " bakelo". */
static void spell_filler(int i, char *out)
{
    static const char consonants[] = "bcdfghjklmnprstvwxyz", vowels[] = "aeiou";
    int at = snprintf(out, TOKEN_TEXT, "%s", SPACE);
    for (int k = 0; k < 3; k++, i /= 100)
        at += snprintf(out + at, TOKEN_TEXT - (size_t)at, "%c%c", consonants[i % 100 / 5],
                       vowels[i % 5]);
    if (i > 0)
        snprintf(out + at, TOKEN_TEXT - (size_t)at, "%d", i);
}

static void spell_token(int id, int n_vocab, char *out)
{
    int control = id - (n_vocab - N_CONTROLS);
    if (id < 256) {
        spell_byte(id, out);
    } else if (id < 256 + N_MERGES) {
        const char *merge = merges[id - 256], *gap = strchr(merge, ' ');
        snprintf(out, TOKEN_TEXT, "%.*s%s", (int)(gap - merge), merge, gap + 1);
    } else if (control >= 0) {
        snprintf(out, TOKEN_TEXT, "%s", controls[control]);
    } else {
        spell_filler(id - 256 - N_MERGES, out);
    }
}

static const char chat_template[] =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ '<|im_end|>' + '\\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

static ashlar_status put_tokenizer(struct gguf_writer *w, const struct shape *s, ashlar_error *err)
{
    size_t n = (size_t)s->vocab;
    char(*text)[TOKEN_TEXT] = mem_array(n, sizeof *text);
    const char **tokens = mem_array(n, sizeof *tokens);
    int32_t *types = mem_array(n, sizeof *types);
    uint32_t first_control = (uint32_t)(s->vocab - N_CONTROLS);
    ashlar_status status = ASHLAR_OK;
    if (text && tokens && types) {
        for (int i = 0; i < s->vocab; i++) {
            spell_token(i, s->vocab, text[i]);
            tokens[i] = text[i];
            types[i] = (uint32_t)i >= first_control ? TYPE_CONTROL : TYPE_NORMAL;
        }
        gguf_writer_string(w, "tokenizer.ggml.model", "gpt2");
        gguf_writer_string(w, "tokenizer.ggml.pre", "llama-bpe");
        gguf_writer_strings(w, "tokenizer.ggml.tokens", tokens, n);
        gguf_writer_array(w, "tokenizer.ggml.token_type", GGUF_I32, types, n);
        gguf_writer_strings(w, "tokenizer.ggml.merges", merges, N_MERGES);
        gguf_writer_u32(w, "tokenizer.ggml.bos_token_id", first_control);
        gguf_writer_u32(w, "tokenizer.ggml.eos_token_id", first_control + 1);
        gguf_writer_u32(w, "tokenizer.ggml.eot_token_id", first_control + 3);
        gguf_writer_bool(w, "tokenizer.ggml.add_bos_token", !strcmp(s->arch, "llama"));
        gguf_writer_string(w, "tokenizer.chat_template", chat_template);
    } else {
        status = error_memory(err, n * (sizeof *text + sizeof *tokens + sizeof *types), "tokens");
    }
    free(text);
    free(tokens);
    free(types);
    return status;
}

/* ---- the keys ------------------------------------------------------------------------------ */

static void put_u32(struct gguf_writer *w, const struct shape *s, const char *suffix, int value)
{
    char key[96];
    snprintf(key, sizeof key, "%s.%s", s->arch, suffix);
    gguf_writer_u32(w, key, (uint32_t)value);
}

static void put_f32(struct gguf_writer *w, const struct shape *s, const char *suffix, float value)
{
    char key[96];
    snprintf(key, sizeof key, "%s.%s", s->arch, suffix);
    gguf_writer_f32(w, key, value);
}

static void put_scaling(struct gguf_writer *w, const struct shape *s)
{
    char key[96];
    if (strcmp(s->scaling, "linear") && strcmp(s->scaling, "yarn"))
        return;
    snprintf(key, sizeof key, "%s.rope.scaling.type", s->arch);
    gguf_writer_string(w, key, s->scaling);
    put_f32(w, s, "rope.scaling.factor", 4);
    put_u32(w, s, "rope.scaling.original_context_length", s->ctx / 4);
}

static void put_keys(struct gguf_writer *w, const struct shape *s)
{
    char name[64];
    snprintf(name, sizeof name, "random %s", s->preset);
    gguf_writer_string(w, "general.architecture", s->arch);
    gguf_writer_string(w, "general.name", name);
    gguf_writer_u32(w, "general.quantization_version", 2);
    put_u32(w, s, "block_count", s->layers);
    put_u32(w, s, "context_length", s->ctx);
    put_u32(w, s, "embedding_length", s->embd);
    put_u32(w, s, "feed_forward_length", s->ff);
    put_u32(w, s, "attention.head_count", s->heads);
    put_u32(w, s, "attention.head_count_kv", s->kv_heads);
    put_u32(w, s, "attention.key_length", s->head_dim);
    put_u32(w, s, "attention.value_length", s->head_dim);
    put_f32(w, s, "attention.layer_norm_rms_epsilon", s->eps);
    put_u32(w, s, "rope.dimension_count", s->head_dim);
    put_f32(w, s, "rope.freq_base", s->rope_base);
    put_u32(w, s, "vocab_size", s->vocab);
    put_scaling(w, s);
}

/* ---- the weights --------------------------------------------------------------------------- */

enum { CHUNK_VALUES = 1 << 16, CHUNKS_PER_STEP = 64 };

struct fill {
    const struct plan *plan;
    const struct shape *shape;
    int tensor;            /* its number */
    int chunk_rows, first; /* first: chunk number where this step begins */
    size_t row_bytes;
    float **rows;       /* one row of floats per thread */
    unsigned char *out; /* encoded rows of one step */
};

/*
 * The sum of four 16-bit uniforms, scaled to deviation 1: near enough to normal (the tails end at
 * 3.46) and one word of random bits each.
 */
static void fill_normal(struct rng *rng, float mean, float deviation, int n, float *x)
{
    const float unit = 1.7320508f / 65536 * deviation;
    for (int i = 0; i < n; i++) {
        uint64_t r = rng_u64(rng);
        int sum = (int)(r & 0xffff) + (int)(r >> 16 & 0xffff) + (int)(r >> 32 & 0xffff) +
                  (int)(r >> 48);
        x[i] = mean + (float)(sum - 131070) * unit;
    }
}

/* Llama 3's scaling as divisors: slow waves by the factor, fast ones not, a ramp between. */
static void fill_rope_freqs(const struct shape *s, float *x)
{
    bool real = !strcmp(s->preset, "llama3.2-1b") && s->ctx > 8192;
    float old_ctx = real ? 8192 : (float)(s->ctx / 4), factor = real ? 32 : 8;
    for (int i = 0; i < s->head_dim / 2; i++) {
        float wave = 6.2831853f * powf(s->rope_base, 2 * (float)i / (float)s->head_dim);
        float share = (old_ctx / wave - 1) / (4 - 1);
        share = share < 0 ? 0 : share > 1 ? 1 : share;
        x[i] = 1 / ((1 - share) / factor + share);
    }
}

static void fill_chunk(void *context, int chunk, int n_chunks, int thread)
{
    const struct fill *f = context;
    const struct plan *p = f->plan;
    struct rng rng;
    (void)n_chunks;
    uint64_t number = (uint64_t)f->tensor << 32 | (uint32_t)(f->first + chunk);
    rng_seed(&rng, arg.seed * 0x9e3779b97f4a7c15u ^ number);
    int begin = (f->first + chunk) * f->chunk_rows, end = begin + f->chunk_rows;
    unsigned char *out = f->out + (size_t)chunk * (size_t)f->chunk_rows * f->row_bytes;
    for (int r = begin; r < end && r < p->rows; r++, out += f->row_bytes) {
        float *x = f->rows[thread];
        if (p->content == ROPE_FREQS)
            fill_rope_freqs(f->shape, x);
        else
            fill_normal(&rng, p->mean, p->deviation, p->cols, x);
        quantize_row(p->type, (size_t)p->cols, x, out);
    }
}

static ashlar_status write_tensor(struct gguf_writer *w, struct pool *pool, struct fill *f,
                                  ashlar_error *err)
{
    const struct plan *p = f->plan;
    f->row_bytes = tensor_row_bytes(p->type, p->cols);
    f->chunk_rows = p->cols >= CHUNK_VALUES ? 1 : CHUNK_VALUES / p->cols;
    int n_chunks = (p->rows + f->chunk_rows - 1) / f->chunk_rows;
    ashlar_status s = ASHLAR_OK;
    for (f->first = 0; f->first < n_chunks && s == ASHLAR_OK; f->first += CHUNKS_PER_STEP) {
        int n = n_chunks - f->first < CHUNKS_PER_STEP ? n_chunks - f->first : CHUNKS_PER_STEP;
        int rows = p->rows - f->first * f->chunk_rows;
        rows = rows < n * f->chunk_rows ? rows : n * f->chunk_rows;
        pool_run(pool, n, fill_chunk, f);
        s = gguf_writer_data(w, f->out, (size_t)rows * f->row_bytes, err);
    }
    return s;
}

/* Scratch for the longest row and the widest type. */
static ashlar_status fill_init(struct fill *f, const struct plans *plans, int n_threads,
                               ashlar_error *err)
{
    size_t longest = 0, values = 0;
    for (int i = 0; i < plans->n; i++) {
        size_t cols = (size_t)plans->items[i].cols;
        longest = cols > longest ? cols : longest;
    }
    values = longest > CHUNK_VALUES ? longest : CHUNK_VALUES;
    f->out = mem_array(values * CHUNKS_PER_STEP, sizeof(float));
    f->rows = mem_array((size_t)n_threads, sizeof *f->rows);
    for (int t = 0; f->rows && t < n_threads; t++) {
        f->rows[t] = mem_array(longest, sizeof(float));
        if (!f->rows[t])
            return error_memory(err, longest * sizeof(float), "a row");
    }
    if (!f->out || !f->rows)
        return error_memory(err, values * CHUNKS_PER_STEP * sizeof(float), "rows");
    return ASHLAR_OK;
}

static void fill_fini(struct fill *f, int n_threads)
{
    for (int t = 0; f->rows && t < n_threads; t++)
        free(f->rows[t]);
    free(f->rows);
    free(f->out);
}

static ashlar_status write_weights(struct gguf_writer *w, const struct plans *plans,
                                   const struct shape *shape, ashlar_error *err)
{
    struct pool *pool;
    struct fill f = {.shape = shape};
    int n_threads = os_cores();
    ashlar_status s = pool_new(n_threads, &pool, err);
    if (s != ASHLAR_OK)
        return s;
    s = fill_init(&f, plans, n_threads, err);
    for (int i = 0; i < plans->n && s == ASHLAR_OK; i++) {
        f.plan = &plans->items[i];
        f.tensor = i;
        s = write_tensor(w, pool, &f, err);
    }
    fill_fini(&f, n_threads);
    pool_free(pool);
    return s;
}

/* ---- all of it ----------------------------------------------------------------------------- */

static ashlar_status choose_types(struct plans *p, ashlar_error *err)
{
    int type = tensor_type_from_name(arg.type);
    if (type < 0)
        return error_set(err, ASHLAR_USAGE, "unknown type \"%s\"", arg.type);
    int embd = arg.embd_type ? tensor_type_from_name(arg.embd_type)
                             : (int)default_embd_type((enum tensor_type)type);
    if (embd < 0)
        return error_set(err, ASHLAR_USAGE, "unknown type \"%s\"", arg.embd_type);
    p->type = (enum tensor_type)type;
    p->embd_type = (enum tensor_type)embd;
    return ASHLAR_OK;
}

static ashlar_status write_model(const struct shape *shape, const struct plans *plans,
                                 ashlar_error *err)
{
    struct gguf_writer *w;
    ashlar_status s = gguf_writer_new(arg.out, &w, err);
    if (s != ASHLAR_OK)
        return s;
    put_keys(w, shape);
    s = put_tokenizer(w, shape, err);
    for (int i = 0; i < plans->n; i++) {
        const struct plan *p = &plans->items[i];
        uint64_t dims[2] = {(uint64_t)p->cols, (uint64_t)p->rows};
        gguf_writer_tensor(w, p->name, p->type, p->rows == 1 ? 1 : 2, dims);
    }
    if (s == ASHLAR_OK)
        s = gguf_writer_begin_data(w, err);
    if (s == ASHLAR_OK)
        s = write_weights(w, plans, shape, err);
    if (s == ASHLAR_OK)
        s = gguf_writer_finish(w, err);
    gguf_writer_free(w);
    return s;
}

static void report(const struct plans *plans, double seconds)
{
    char text[16];
    double parameters = 0;
    uint64_t bytes = 0;
    for (int i = 0; i < plans->n; i++) {
        const struct plan *p = &plans->items[i];
        parameters += (double)p->rows * p->cols;
        bytes += (uint64_t)p->rows * tensor_row_bytes(p->type, p->cols);
    }
    fprintf(stderr, "%s: %.1f M parameters, %d tensors, %s of weights in %.1f s\n", arg.out,
            parameters / 1e6, plans->n, text_bytes(bytes, text), seconds);
    if (plans->n_fallback > 0)
        fprintf(stderr, "%s: %d tensors have rows that their type cannot hold and took another\n",
                arg.out, plans->n_fallback);
}

static ashlar_status make(ashlar_error *err)
{
    struct shape shape;
    struct plans plans = {0};
    double started = os_time_seconds();
    if (!arg.out)
        return error_set(err, ASHLAR_USAGE, "no output file (-o FILE)");
    ashlar_status s = choose_shape(&shape, err);
    if (s == ASHLAR_OK)
        s = choose_types(&plans, err);
    if (s == ASHLAR_OK)
        s = plan_tensors(&plans, &shape, err);
    if (s == ASHLAR_OK)
        s = write_model(&shape, &plans, err);
    if (s == ASHLAR_OK && !arg.quiet)
        report(&plans, os_time_seconds() - started);
    free(plans.items);
    return s;
}

int main(int argc, char **argv)
{
    ashlar_error err = {0};
    bool help = false;
    int n_operands = 0;
    ashlar_status s = options_parse(&command, argc, argv, NULL, &n_operands, &help, &err);
    if (s == ASHLAR_OK && help) {
        struct buf text;
        buf_init(&text, 1 << 20);
        options_help(&command, &text);
        fputs(text.data ? text.data : "", stdout);
        buf_fini(&text);
        return 0;
    }
    if (s == ASHLAR_OK)
        s = make(&err);
    if (s != ASHLAR_OK) {
        fprintf(stderr, "mkmodel: %s\n", err.message);
        if (err.hint[0])
            fprintf(stderr, "hint: %s\n", err.hint);
    }
    return (int)s;
}
