/*
 * logits.c: evaluate token ids and write the logits as raw float32 rows. Our half of
 * bench/vs-llama-logits (bench/llama-logits.c is the peer's): same options, same file format.
 *
 * Uses only include/ashlar.h: what it measures is what a program that embeds the library gets.
 *
 *   logits -m MODEL -i FILE -o FILE [-t N] [-c N] [--isa NAME] [--map]
 *
 * -i holds decimal ids separated by white space; they are evaluated -c at a time (0 = all at once),
 * and one row (n_vocab) is written after each chunk: the logits of its last token. So -c 1 walks
 * the decode path and gives every position; a larger -c walks the prefill path.
 * Standard error gets one line of JSON. Exit codes are ashlar's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ashlar.h"

struct settings {
    const char *model, *ids, *out, *isa;
    int n_threads, chunk;
    bool map;
};

static void die(ashlar_status status, const char *what, const char *name)
{
    fprintf(stderr, "logits: %s%s%s\n", name ? name : "", name ? ": " : "", what);
    exit((int)status);
}

static void check(ashlar_status status, const ashlar_error *err)
{
    if (status != ASHLAR_OK)
        die(status, err->message, NULL);
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void usage(void)
{
    fputs("usage: logits -m MODEL -i IDS -o OUT [-t N] [-c N] [--isa NAME] [--map]\n", stderr);
    exit(ASHLAR_USAGE);
}

static struct settings read_arguments(int argc, char **argv)
{
    struct settings s = {.n_threads = 2};

    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        if (strcmp(name, "--map") == 0) {
            s.map = true;
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
        else if (strcmp(name, "--isa") == 0)
            s.isa = value;
        else
            usage();
    }
    if (!s.model || !s.ids || !s.out || s.n_threads < 1 || s.chunk < 0)
        usage();
    return s;
}

/* All ids of the file; the caller frees them. */
static int32_t *read_ids(const char *path, size_t *n)
{
    FILE *f = fopen(path, "r");
    if (!f)
        die(ASHLAR_FAILED, "cannot open", path);
    int32_t *ids = NULL;
    size_t capacity = 0;
    int id;
    *n = 0;
    while (fscanf(f, "%d", &id) == 1) {
        if (*n == capacity) {
            capacity = capacity ? 2 * capacity : 256;
            int32_t *grown = realloc(ids, capacity * sizeof *ids);
            if (!grown)
                die(ASHLAR_NO_RESOURCE, "out of memory", path);
            ids = grown;
        }
        ids[(*n)++] = id;
    }
    fclose(f);
    if (*n == 0)
        die(ASHLAR_BAD_INPUT, "no token ids", path);
    return ids;
}

/* Evaluate ids chunk by chunk, one row of logits (n_vocab) to `out` after each. */
static void evaluate(ashlar_session *session, const int32_t *ids, size_t n_ids, size_t chunk,
                     size_t n_vocab, FILE *out)
{
    ashlar_error err;

    for (size_t at = 0; at < n_ids; at += chunk) {
        size_t n = n_ids - at < chunk ? n_ids - at : chunk;
        check(ashlar_session_append(session, ids + at, n, &err), &err);
        const float *logits = ashlar_session_logits(session);
        if (!logits || fwrite(logits, sizeof *logits, n_vocab, out) != n_vocab)
            die(ASHLAR_FAILED, "cannot write the logits", NULL);
    }
}

int main(int argc, char **argv)
{
    struct settings s = read_arguments(argc, argv);
    size_t n_ids;
    int32_t *ids = read_ids(s.ids, &n_ids);
    ashlar_options options;
    ashlar_options_init(&options);
    options.n_threads = s.n_threads;
    options.n_ctx = (int)n_ids;
    options.isa = s.isa;
    options.map_weights = s.map;

    ashlar_error err;
    ashlar_engine *engine;
    ashlar_session *session;
    double start = now_ms();
    check(ashlar_engine_open(s.model, &options, &engine, &err), &err);
    double loaded = now_ms();
    check(ashlar_session_open(engine, &session, &err), &err);
    const ashlar_model_info *info = ashlar_engine_info(engine);

    FILE *out = fopen(s.out, "wb");
    if (!out)
        die(ASHLAR_FAILED, "cannot create", s.out);
    size_t chunk = s.chunk == 0 ? n_ids : (size_t)s.chunk;
    evaluate(session, ids, n_ids, chunk, (size_t)info->n_vocab, out);
    if (fclose(out) != 0)
        die(ASHLAR_FAILED, "cannot write", s.out);
    fprintf(stderr, "{\"n_vocab\":%d,\"kernels\":\"%s\",\"load_ms\":%.1f,\"eval_ms\":%.1f}\n",
            info->n_vocab, info->kernels, loaded - start, now_ms() - loaded);

    ashlar_session_close(session);
    ashlar_engine_close(engine);
    free(ids);
    return ASHLAR_OK;
}
