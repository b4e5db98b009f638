/*
 * kvsteady.c: decode from a long context and say how fast, piece by piece: is the speed stable, and
 * how much memory did it take? For bench/kv-headline, which runs it under a memory limit.
 *
 * Uses only include/ashlar.h: what it measures is what a program that embeds the library gets.
 *
 *   kvsteady -m MODEL -d DEPTH -n TOKENS -b BUDGET [-c CONTEXT] [-e EVERY] [-t THREADS] [-p PASS]
 *            [-k DIR] [-K POLICY] [--prefill] [--map]
 *
 * The context's DEPTH tokens are random keys and values, or with --prefill random tokens that are
 * evaluated. BUDGET is the bytes of KV memory, or 1/N of the full cache of CONTEXT tokens (default:
 * DEPTH + TOKENS). Greedy decoding; standard output gets one line of JSON. Exit codes are ashlar's.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ashlar.h"

enum { MAX_PIECES = 256 };

struct settings {
    const char *model, *budget, *folder, *policy;
    int depth, n_tokens, context, every, n_threads, pass;
    bool prefill, map;
};

static void check(ashlar_status status, const ashlar_error *err)
{
    if (status == ASHLAR_OK)
        return;
    fprintf(stderr, "kvsteady: %s%s%s\n", err->message, err->hint[0] ? "; " : "", err->hint);
    exit((int)status);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* A line of /proc/self/status in bytes; 0 when it is not there. */
static uint64_t status_bytes(const char *key)
{
    char line[256];
    uint64_t kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0)
            kib = strtoull(line + strlen(key), NULL, 10);
    if (f)
        fclose(f);
    return kib * 1024;
}

static void usage(void)
{
    fputs("usage: kvsteady -m MODEL -d DEPTH -n TOKENS -b BYTES|1/N [-c CONTEXT] [-e EVERY]\n"
          "                [-t THREADS] [-p PASS] [-k DIR] [-K POLICY] [--prefill] [--map]\n",
          stderr);
    exit(ASHLAR_USAGE);
}

static struct settings read_arguments(int argc, char **argv)
{
    struct settings s = {.policy = "kvswap", .every = 50, .n_threads = 2, .pass = 512};
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        if (strcmp(name, "--prefill") == 0)
            s.prefill = true;
        else if (strcmp(name, "--map") == 0)
            s.map = true;
        else if (name[0] != '-' || !name[1] || name[2] || ++i == argc)
            usage();
        else
            switch (name[1]) {
            case 'm': s.model = argv[i]; break;
            case 'b': s.budget = argv[i]; break;
            case 'k': s.folder = argv[i]; break;
            case 'K': s.policy = argv[i]; break;
            case 'd': s.depth = atoi(argv[i]); break;
            case 'n': s.n_tokens = atoi(argv[i]); break;
            case 'c': s.context = atoi(argv[i]); break;
            case 'e': s.every = atoi(argv[i]); break;
            case 't': s.n_threads = atoi(argv[i]); break;
            case 'p': s.pass = atoi(argv[i]); break;
            default: usage();
            }
    }
    if (!s.model || s.depth < 1 || s.n_tokens < 1 || s.every < 1)
        usage();
    if (s.context == 0)
        s.context = s.depth + s.n_tokens;
    return s;
}

static ashlar_engine *open_engine(const struct settings *s)
{
    ashlar_options o;
    ashlar_engine *engine;
    ashlar_error err = {0};
    ashlar_options_init(&o);
    o.n_threads = s->n_threads;
    o.n_ctx = s->context;
    o.n_batch = s->pass;
    o.map_weights = s->map;
    o.kv.policy = s->policy;
    o.kv.folder = s->folder;
    if (s->budget && strncmp(s->budget, "1/", 2) == 0)
        o.kv.budget_fraction = 1.0 / strtod(s->budget + 2, NULL);
    else if (s->budget)
        o.kv.budget_bytes = strtoull(s->budget, NULL, 10);
    check(ashlar_engine_open(s->model, &o, &engine, &err), &err);
    return engine;
}

/* The context; returns how long it took. */
static double go_to_depth(const struct settings *s, ashlar_session *session, int n_vocab)
{
    double start = now();
    ashlar_error err = {0};
    if (!s->prefill) {
        check(ashlar_session_fill(session, (size_t)s->depth, 42, &err), &err);
        return now() - start;
    }
    int32_t *tokens = malloc((size_t)s->depth * sizeof *tokens);
    if (!tokens)
        exit(ASHLAR_NO_RESOURCE);
    uint32_t state = 42;
    for (int i = 0; i < s->depth; i++)
        tokens[i] = (int32_t)((state = state * 1664525u + 1013904223u) >> 8) % n_vocab;
    check(ashlar_session_append(session, tokens, (size_t)s->depth, &err), &err);
    free(tokens);
    return now() - start;
}

static int32_t best(const float *logits, int n)
{
    int32_t most = 0;
    for (int32_t i = 1; i < n; i++)
        most = logits[i] > logits[most] ? i : most;
    return most;
}

static void report(const struct settings *s, ashlar_engine *engine, double fill_seconds,
                   const double *speeds, int n_pieces)
{
    const ashlar_memory *memory = &ashlar_engine_info(engine)->memory;
    ashlar_kv_stats stats;
    ashlar_engine_kv_stats(engine, &stats);
    printf("{\"policy\": \"%s\", \"io\": \"%s\", \"depth\": %d, \"fill_s\": %.2f, \"every\": %d, "
           "\"tok_per_s\": [", stats.policy, stats.io ? stats.io : "", s->depth, fill_seconds,
           s->every);
    for (int i = 0; i < n_pieces; i++)
        printf("%s%.2f", i ? ", " : "", speeds[i]);
    printf("], \"weights_bytes\": %llu, \"kv_bytes\": %llu, \"activation_bytes\": %llu, "
           "\"peak_rss_bytes\": %llu, \"rss_bytes\": %llu, \"rss_anon_bytes\": %llu, "
           "\"bytes_read\": %llu, \"hits\": %llu, \"misses\": %llu}\n",
           (unsigned long long)memory->weights_bytes, (unsigned long long)memory->kv_bytes,
           (unsigned long long)memory->activation_bytes,
           (unsigned long long)status_bytes("VmHWM:"), (unsigned long long)status_bytes("VmRSS:"),
           (unsigned long long)status_bytes("RssAnon:"), (unsigned long long)stats.bytes_read,
           (unsigned long long)stats.hits, (unsigned long long)stats.misses);
}

int main(int argc, char **argv)
{
    struct settings s = read_arguments(argc, argv);
    ashlar_engine *engine = open_engine(&s);
    ashlar_session *session;
    ashlar_error err = {0};
    double speeds[MAX_PIECES];
    int n_vocab = ashlar_engine_info(engine)->n_vocab, n_pieces = 0;
    check(ashlar_session_open(engine, &session, &err), &err);
    double fill_seconds = go_to_depth(&s, session, n_vocab);
    const float *logits = ashlar_session_logits(session); /* none after a random context */
    int32_t token = logits ? best(logits, n_vocab) : 1;
    for (int done = 0; done < s.n_tokens && n_pieces < MAX_PIECES;) {
        int n = s.n_tokens - done < s.every ? s.n_tokens - done : s.every;
        double start = now();
        for (int i = 0; i < n; i++, done++) {
            check(ashlar_session_append(session, &token, 1, &err), &err);
            token = best(ashlar_session_logits(session), n_vocab);
        }
        speeds[n_pieces++] = n / (now() - start);
    }
    report(&s, engine, fill_seconds, speeds, n_pieces);
    ashlar_session_close(session);
    ashlar_engine_close(engine);
    return 0;
}
