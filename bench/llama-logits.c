/*
 * llama-logits.c: the peer's half of bench/vs-llama-logits. Loads a GGUF with libllama, evaluates
 * token ids and writes the logits as raw float32 rows. tools/logits.c is our half: same options,
 * same file format, so that the two outputs can be compared byte for byte in position.
 *
 * Built by bench/vs-llama-logits and bench/vs-llama against a built llama.cpp tree, never by make:
 * nothing of Ashlar depends on it, and it knows nothing of Ashlar.
 *
 *   llama-logits -m MODEL -i FILE -o FILE [-t N] [-c N] [--kv f16|f32] [--fa on|off] [--plain]
 *
 * -i holds decimal ids separated by white space; they are evaluated -c at a time (0 = all at once),
 * and one row (n_vocab) is written after each chunk: the logits of its last token. So -c 1 walks
 * the decode path and gives every position; a larger -c walks the prefill path. --plain keeps the
 * peer from repacking weights, which selects its other set of matrix kernels.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "llama.h"

struct settings {
    const char *model, *ids, *out;
    int n_threads, chunk;
    enum ggml_type kv_type;
    enum llama_flash_attn_type flash;
    bool repack;
};

static void die(const char *what, const char *name)
{
    fprintf(stderr, "llama-logits: %s: %s\n", name ? name : "-", what);
    exit(1);
}

static void usage(void)
{
    fputs("usage: llama-logits -m MODEL -i IDS -o OUT [-t N] [-c N] [--kv f16|f32] "
          "[--fa on|off] [--plain]\n", stderr);
    exit(2);
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void quiet(enum ggml_log_level level, const char *text, void *user)
{
    (void)user;
    if (level == GGML_LOG_LEVEL_ERROR)
        fputs(text, stderr);
}

static struct settings read_arguments(int argc, char **argv)
{
    struct settings s = {.n_threads = 2, .kv_type = GGML_TYPE_F16, .repack = true,
                         .flash = LLAMA_FLASH_ATTN_TYPE_DISABLED};

    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        if (strcmp(name, "--plain") == 0) {
            s.repack = false;
            continue;
        }
        if (++i == argc)
            usage();
        const char *value = argv[i];
        if (strcmp(name, "-m") == 0)
            s.model = value;
        else if (strcmp(name, "-i") == 0)
            s.ids = value;
        else if (strcmp(name, "-o") == 0)
            s.out = value;
        else if (strcmp(name, "-t") == 0)
            s.n_threads = atoi(value);
        else if (strcmp(name, "-c") == 0)
            s.chunk = atoi(value);
        else if (strcmp(name, "--kv") == 0)
            s.kv_type = strcmp(value, "f32") == 0 ? GGML_TYPE_F32 : GGML_TYPE_F16;
        else if (strcmp(name, "--fa") == 0)
            s.flash = strcmp(value, "on") == 0 ? LLAMA_FLASH_ATTN_TYPE_ENABLED
                                               : LLAMA_FLASH_ATTN_TYPE_DISABLED;
        else
            usage();
    }
    if (!s.model || !s.ids || !s.out || s.n_threads < 1 || s.chunk < 0)
        usage();
    return s;
}

/* All ids of the file; the caller frees them. */
static llama_token *read_ids(const char *path, int *n)
{
    FILE *f = fopen(path, "r");
    if (!f)
        die("cannot open", path);
    llama_token *ids = NULL;
    int capacity = 0, id;
    *n = 0;
    while (fscanf(f, "%d", &id) == 1) {
        if (*n == capacity) {
            capacity = capacity ? 2 * capacity : 256;
            ids = realloc(ids, (size_t)capacity * sizeof *ids);
            if (!ids)
                die("out of memory", path);
        }
        ids[(*n)++] = id;
    }
    fclose(f);
    if (*n == 0)
        die("no token ids", path);
    return ids;
}

static struct llama_context *open_context(struct llama_model *model, const struct settings *s,
                                          int n_tokens, int chunk)
{
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = (uint32_t)n_tokens;
    params.n_batch = (uint32_t)chunk;
    params.n_ubatch = (uint32_t)(chunk < 512 ? chunk : 512);
    params.n_threads = s->n_threads;
    params.n_threads_batch = s->n_threads;
    params.type_k = s->kv_type;
    params.type_v = s->kv_type;
    params.flash_attn_type = s->flash;
    struct llama_context *context = llama_init_from_model(model, params);
    if (!context)
        die("cannot make a context", s->model);
    return context;
}

/* Evaluate ids chunk by chunk, one row of logits (n_vocab) to `out` after each. */
static void evaluate(struct llama_context *context, llama_token *ids, int n_ids, int chunk,
                     int n_vocab, FILE *out)
{
    for (int at = 0; at < n_ids; at += chunk) {
        int n = n_ids - at < chunk ? n_ids - at : chunk;
        if (llama_decode(context, llama_batch_get_one(ids + at, n)) != 0)
            die("evaluation failed", NULL);
        const float *logits = llama_get_logits_ith(context, -1);
        if (!logits || fwrite(logits, sizeof *logits, (size_t)n_vocab, out) != (size_t)n_vocab)
            die("cannot write the logits", NULL);
    }
}

int main(int argc, char **argv)
{
    struct settings s = read_arguments(argc, argv);
    int n_ids;
    llama_token *ids = read_ids(s.ids, &n_ids);
    int chunk = s.chunk == 0 || s.chunk > n_ids ? n_ids : s.chunk;

    llama_log_set(quiet, NULL);
    llama_backend_init();
    double start = now_ms();
    struct llama_model_params params = llama_model_default_params();
    params.use_extra_bufts = s.repack;
    struct llama_model *model = llama_model_load_from_file(s.model, params);
    if (!model)
        die("cannot load", s.model);
    double loaded = now_ms();

    struct llama_context *context = open_context(model, &s, n_ids, chunk);
    int n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(model));
    for (int i = 0; i < n_ids; i++)
        if (ids[i] < 0 || ids[i] >= n_vocab)
            die("an id is not in the vocabulary", s.ids);

    FILE *out = fopen(s.out, "wb");
    if (!out)
        die("cannot create", s.out);
    evaluate(context, ids, n_ids, chunk, n_vocab, out);
    if (fclose(out) != 0)
        die("cannot write", s.out);
    fprintf(stderr, "{\"n_vocab\":%d,\"load_ms\":%.1f,\"eval_ms\":%.1f}\n", n_vocab, loaded - start,
            now_ms() - loaded);

    llama_free(context);
    llama_model_free(model);
    free(ids);
    return 0;
}
