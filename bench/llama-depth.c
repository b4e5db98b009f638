/*
 * llama-depth.c: the peer's speed with a long context, without the prefill that leads there. A short
 * text is evaluated; its keys and values are taken as llama.cpp saves a sequence's state, repeated until
 * there are as many as wanted, and given back as the state of a longer sequence. llama-bench does the
 * same with a state that it computed (its "cached" depth runs), after minutes of prefill for each depth.
 *
 * Built by bench/kv-policies against a built llama.cpp tree, never by make: nothing of Ashlar depends on
 * it, and it knows nothing of Ashlar.
 *
 *   llama-depth -m MODEL -d DEPTH [-p N] [-n N] [-r N] [-t N] [--fa on|off]
 *
 * Prints {"prefill": [tokens/s, ...], "decode": [tokens/s, ...]}: -r runs of a prompt of -p tokens and
 * of -n single tokens, each from DEPTH tokens on, after one that does not count.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "llama.h"

enum { SEED_TOKENS = 64, MAX_PROMPT = 512 };

struct settings {
    const char *model;
    int depth, prompt, gen, runs, n_threads;
    enum llama_flash_attn_type flash;
};

static void die(const char *what)
{
    fprintf(stderr, "llama-depth: %s\n", what);
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void quiet(enum ggml_log_level level, const char *text, void *user)
{
    (void)user;
    if (level == GGML_LOG_LEVEL_ERROR)
        fputs(text, stderr);
}

static struct settings read_arguments(int argc, char **argv)
{
    struct settings s = {.gen = 32, .runs = 3, .n_threads = 2, .flash = LLAMA_FLASH_ATTN_TYPE_DISABLED};
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *name = argv[i], *value = argv[i + 1];
        if (strcmp(name, "-m") == 0)
            s.model = value;
        else if (strcmp(name, "-d") == 0)
            s.depth = atoi(value);
        else if (strcmp(name, "-p") == 0)
            s.prompt = atoi(value);
        else if (strcmp(name, "-n") == 0)
            s.gen = atoi(value);
        else if (strcmp(name, "-r") == 0)
            s.runs = atoi(value);
        else if (strcmp(name, "-t") == 0)
            s.n_threads = atoi(value);
        else if (strcmp(name, "--fa") == 0)
            s.flash = strcmp(value, "on") == 0 ? LLAMA_FLASH_ATTN_TYPE_ENABLED
                                               : LLAMA_FLASH_ATTN_TYPE_DISABLED;
        else
            die("unknown option");
    }
    if (argc % 2 == 0 || !s.model || s.depth < 0 || s.prompt < 0 || s.prompt > MAX_PROMPT || s.gen < 0 ||
        s.runs < 1)
        die("usage: llama-depth -m MODEL -d DEPTH [-p N <= 512] [-n N] [-r N] [-t N] [--fa on|off]");
    return s;
}

static void evaluate(struct llama_context *c, int n_vocab, int n, int at_once)
{
    llama_token ids[MAX_PROMPT];
    for (int done = 0; done < n; done += at_once) {
        for (int i = 0; i < at_once; i++)
            ids[i] = rand() % n_vocab;
        if (llama_decode(c, llama_batch_get_one(ids, at_once)) != 0)
            die("evaluation failed");
    }
    llama_synchronize(c);
}

/* ---- a longer state from a short one --------------------------------------------------------------- */

/* The short state being read and the long one being written; long_at NULL: only counted. */
struct copy {
    const uint8_t *short_at, *short_end;
    uint8_t *long_at;
    size_t long_bytes;
};

static const uint8_t *take(struct copy *c, size_t n)
{
    if ((size_t)(c->short_end - c->short_at) < n)
        die("the saved state has another format than this program knows");
    const uint8_t *at = c->short_at;
    c->short_at += n;
    return at;
}

static void put(struct copy *c, const void *bytes, size_t n)
{
    if (c->long_at)
        memcpy(c->long_at + c->long_bytes, bytes, n);
    c->long_bytes += n;
}

static uint64_t pass_on(struct copy *c, size_t n)
{
    uint64_t value = 0;
    const uint8_t *at = take(c, n);
    memcpy(&value, at, n < sizeof value ? n : sizeof value);
    put(c, at, n);
    return value;
}

/* n_short cells of cell_bytes each become n_long. */
static void repeat_cells(struct copy *c, size_t cell_bytes, uint32_t n_short, uint32_t n_long)
{
    const uint8_t *cells = take(c, cell_bytes * n_short);
    for (uint32_t i = 0; i < n_long; i++)
        put(c, cells + (i % n_short) * cell_bytes, cell_bytes);
}

/* magic, sequence, streams, cells; (position, 1, sequence) of each; then K and V of each layer. */
static void stretch(struct copy *c, uint32_t n_long)
{
    pass_on(c, 4);
    pass_on(c, 4);
    if (pass_on(c, 4) != 1)
        die("the saved state has several streams");
    uint32_t n_short;
    memcpy(&n_short, take(c, 4), 4);
    put(c, &n_long, 4);
    if (n_short != SEED_TOKENS)
        die("the saved state has another number of cells");
    const uint8_t *cells = take(c, (size_t)n_short * 12);
    for (int32_t i = 0; i < (int32_t)n_long; i++) {
        put(c, &i, 4);
        put(c, cells + 4, 8);
    }
    bool transposed = pass_on(c, 4) != 0;
    uint32_t n_layer = (uint32_t)pass_on(c, 4);
    for (uint32_t l = 0; l < n_layer; l++) {
        pass_on(c, 4);
        repeat_cells(c, pass_on(c, 8), n_short, n_long);
    }
    for (uint32_t l = 0; l < n_layer; l++) {
        pass_on(c, 4);
        if (!transposed) {
            repeat_cells(c, pass_on(c, 8), n_short, n_long);
            continue;
        }
        size_t element = pass_on(c, 4);
        uint32_t rows = (uint32_t)pass_on(c, 4);
        for (uint32_t r = 0; r < rows; r++)
            repeat_cells(c, element, n_short, n_long);
    }
    if (c->short_at != c->short_end)
        die("the saved state has another format than this program knows");
}

/* The state of a sequence of s->depth tokens; the caller frees. */
static uint8_t *long_state(struct llama_context *context, int n_vocab, const struct settings *s, size_t *bytes)
{
    evaluate(context, n_vocab, SEED_TOKENS, SEED_TOKENS);
    size_t short_bytes = llama_state_seq_get_size(context, 0);
    uint8_t *source = malloc(short_bytes);
    if (!source || llama_state_seq_get_data(context, source, short_bytes, 0) != short_bytes)
        die("cannot save a state");
    struct copy count = {source, source + short_bytes, NULL, 0};
    stretch(&count, (uint32_t)s->depth);
    struct copy write = {source, source + short_bytes, malloc(count.long_bytes), 0};
    if (!write.long_at)
        die("out of memory");
    stretch(&write, (uint32_t)s->depth);
    free(source);
    *bytes = write.long_bytes;
    return write.long_at;
}

/* ---- runs ------------------------------------------------------------------------------------------ */

static void go_to_depth(struct llama_context *c, const struct settings *s, const uint8_t *state, size_t bytes)
{
    llama_memory_clear(llama_get_memory(c), false);
    if (s->depth > 0 && llama_state_seq_set_data(c, state, bytes, 0) != bytes)
        die("the longer state was not accepted");
    if (llama_memory_seq_pos_max(llama_get_memory(c), 0) != s->depth - 1)
        die("the longer state has another length");
}

static void measure(struct llama_context *c, int n_vocab, const struct settings *s, const uint8_t *state,
                    size_t bytes, bool prefill)
{
    int n = prefill ? s->prompt : s->gen;
    printf("\"%s\": [", prefill ? "prefill" : "decode");
    for (int run = -1; run < s->runs && n > 0; run++) {
        go_to_depth(c, s, state, bytes);
        if (run < 0) { /* a few tokens warm up as well as many */
            evaluate(c, n_vocab, prefill ? 32 : 2, prefill ? 32 : 1);
            continue;
        }
        double start = now();
        evaluate(c, n_vocab, n, prefill ? n : 1);
        printf("%s%.4f", run ? ", " : "", n / (now() - start));
    }
    printf("]");
}

int main(int argc, char **argv)
{
    struct settings s = read_arguments(argc, argv);
    llama_log_set(quiet, NULL);
    llama_backend_init();
    struct llama_model *model = llama_model_load_from_file(s.model, llama_model_default_params());
    if (!model)
        die("cannot load the model");
    int n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(model));
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = (uint32_t)(s.depth + (s.prompt > s.gen ? s.prompt : s.gen) + SEED_TOKENS);
    params.n_batch = 2048;
    params.n_ubatch = 512;
    params.n_threads = params.n_threads_batch = s.n_threads;
    params.flash_attn_type = s.flash;
    struct llama_context *context = llama_init_from_model(model, params);
    if (!context)
        die("cannot make a context");
    size_t bytes = 0;
    uint8_t *state = s.depth > 0 ? long_state(context, n_vocab, &s, &bytes) : NULL;
    printf("{");
    measure(context, n_vocab, &s, state, bytes, true);
    printf(", ");
    measure(context, n_vocab, &s, state, bytes, false);
    printf("}\n");
    free(state);
    llama_free(context);
    llama_model_free(model);
    return 0;
}
