/*
 * cmd_bench.c: `ashlar bench`: how fast a model prefills and decodes on this machine.
 *
 * For each depth the sessions are filled to that length once, by a prefill or with random keys and
 * values; a measured run appends its tokens and is taken back by a rewind, so that every run does
 * the same work. One run before the measured ones warms caches and clocks. Token ids are random
 * with a fixed seed. Prefill is one sequence; decode is `batch` sequences that get one token each
 * per step. What a row says of the KV cache is the difference of its counters over the measured
 * runs.
 */
#include "base/mem.h"
#include "base/os.h"
#include "base/rng.h"
#include "cli/bench_report.h"
#include "cli/cli.h"
#include "cli/engine_options.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTHS = 64, MAX_RUNS = 1000, MAX_BATCH = 256, TOKENS_MIN = 1 << 16, SEED = 42 };

static struct {
    const char *model, *fill;
    struct option_list depths;
    int prompt_tokens, gen_tokens, batch, pass, runs;
    bool json, quiet;
} set;

static const struct option options[] = {
    {"model", 'm', OPTION_STRING, &set.model, 0, 0, "MODEL", "the model, a GGUF file"},
    {"prompt-tokens", 'p', OPTION_INT, &set.prompt_tokens, 0, 1e8, "N",
     "tokens of a prefill run; 0 = no prefill (512)"},
    {"gen-tokens", 'n', OPTION_INT, &set.gen_tokens, 0, 1e8, "N",
     "steps of a decode run; 0 = no decode (64)"},
    {"depth", 'd', OPTION_LIST, &set.depths, 0, 0, "N[,N]",
     "tokens in the context before a run; repeatable (0)"},
    {"fill", 0, OPTION_STRING, &set.fill, 0, 0, "HOW",
     "how the context gets there: prompt (a prefill) or random (keys and values drawn at random, "
     "in "
     "seconds) (prompt)"},
    {"batch", 'b', OPTION_INT, &set.batch, 1, MAX_BATCH, "N", "sequences decoded side by side (1)"},
    {"pass", 0, OPTION_INT, &set.pass, 1, 65536, "N", "prompt tokens evaluated in one pass (512)"},
    {"runs", 'r', OPTION_INT, &set.runs, 1, MAX_RUNS, "N", "measured runs of each kind (5)"},
    {"json", 0, OPTION_FLAG, &set.json, 0, 0, NULL, "print one JSON object instead of the table"},
    {"quiet", 'q', OPTION_FLAG, &set.quiet, 0, 0, NULL, "no progress and no warnings"},
    {0},
};

const struct command command_bench = {
    .name = "bench",
    .usage = "ashlar bench -m MODEL [options]",
    .summary = "measure prefill and decode speed, and memory",
    .description =
        "Each speed is the median of the runs, with the slowest and the fastest, after one run "
        "that does not count. A run at depth N begins with N tokens in the context. A second table "
        "splits the mean time of a token: predicting what to read (predict), waiting for reads "
        "(wait), "
        "attention (attend), all else (rest); read is what came from disk for a token, hits is the "
        "share "
        "of chosen groups that were in memory.",
    .options = options,
    .shared = engine_option_table,
};

/* What a measurement works on. */
struct bench {
    ashlar_engine *engine;
    ashlar_session **sessions; /* (batch) */
    ashlar_batch_item *items;  /* (batch) */
    int32_t *tokens;           /* (n_tokens) random ids; contexts are the first of them */
    size_t n_tokens;
    double *samples;           /* (runs) tokens per second */
    bool random;               /* how contexts are filled */
    int n_ctx;
};

static void set_defaults(void)
{
    memset(&set, 0, sizeof set);
    engine_options_reset();
    set.fill = "prompt";
    set.prompt_tokens = 512;
    set.gen_tokens = 64;
    set.batch = 1;
    set.pass = 512;
    set.runs = 5;
}

/* "0,4096" and repetitions of it into depths[]. */
static ashlar_status parse_depths(int depths[MAX_DEPTHS], int *n, ashlar_error *err)
{
    *n = 0;
    if (set.depths.n == 0)
        depths[(*n)++] = 0;
    for (int i = 0; i < set.depths.n; i++) {
        const char *p = set.depths.items[i];
        for (;;) {
            char *end;
            long depth = strtol(p, &end, 10);
            if (end == p || (*end && *end != ',') || depth < 0 || depth > 100000000)
                return error_set(err, ASHLAR_USAGE, "option --depth: '%s' is not a list of lengths",
                                 set.depths.items[i]);
            if (*n == MAX_DEPTHS)
                return error_set(err, ASHLAR_USAGE, "option --depth: more than %d", MAX_DEPTHS);
            depths[(*n)++] = (int)depth;
            if (!*end)
                break;
            p = end + 1;
        }
    }
    return ASHLAR_OK;
}

static ashlar_status parse_fill(bool *random, ashlar_error *err)
{
    *random = strcmp(set.fill, "random") == 0;
    if (*random || strcmp(set.fill, "prompt") == 0)
        return ASHLAR_OK;
    return error_set(err, ASHLAR_USAGE, "option --fill: '%s' is neither prompt nor random",
                     set.fill);
}

static int context_needed(const int *depths, int n)
{
    int deepest = 0, run = set.prompt_tokens > set.gen_tokens ? set.prompt_tokens : set.gen_tokens;

    for (int i = 0; i < n; i++)
        if (depths[i] > deepest)
            deepest = depths[i];
    return deepest + (run ? run : 1);
}

static ashlar_status take_memory(struct bench *b, ashlar_error *err)
{
    size_t n = (size_t)set.batch;
    int n_vocab = ashlar_engine_info(b->engine)->n_vocab;
    struct rng rng;

    b->sessions = mem_array(n, sizeof(ashlar_session *));
    b->items = mem_array(n, sizeof *b->items);
    b->n_tokens = (size_t)(b->n_ctx > TOKENS_MIN ? b->n_ctx : TOKENS_MIN);
    b->tokens = mem_array(b->n_tokens, sizeof *b->tokens);
    b->samples = mem_array((size_t)set.runs, sizeof *b->samples);
    if (!b->sessions || !b->items || !b->tokens || !b->samples)
        return error_memory(err, b->n_tokens * sizeof *b->tokens, "the measurement");
    rng_seed(&rng, SEED);
    for (size_t i = 0; i < b->n_tokens; i++)
        b->tokens[i] = (int32_t)rng_below(&rng, (uint32_t)n_vocab);
    for (size_t i = 0; i < n; i++) {
        ashlar_status status = ashlar_session_open(b->engine, &b->sessions[i], err);
        if (status != ASHLAR_OK)
            return status;
    }
    return ASHLAR_OK;
}

static void give_memory_back(struct bench *b)
{
    for (int i = 0; b->sessions && i < set.batch; i++)
        ashlar_session_close(b->sessions[i]);
    free(b->sessions);
    free(b->items);
    free(b->tokens);
    free(b->samples);
}

/* Bring session `index` to exactly `depth` tokens. */
static ashlar_status go_to_depth(struct bench *b, int index, int depth, ashlar_error *err)
{
    ashlar_session *s = b->sessions[index];
    size_t length = ashlar_session_length(s), wanted = (size_t)depth;

    if (length > wanted)
        return ashlar_session_rewind(s, wanted, err);
    if (length == wanted)
        return ASHLAR_OK;
    if (b->random)
        return ashlar_session_fill(s, wanted - length, SEED + (uint64_t)index, err);
    return ashlar_session_append(s, b->tokens + length, wanted - length, err);
}

/* One prefill: n tokens on the first session. */
static ashlar_status run_prefill(struct bench *b, int depth, ashlar_error *err)
{
    return ashlar_session_append(b->sessions[0], b->tokens + depth, (size_t)set.prompt_tokens, err);
}

/*
 * One decode: gen_tokens steps of one token for each session. Other tokens in each run and session:
 * a KV cache that keeps what it read must not find it there because a run before read it too.
 */
static ashlar_status run_decode(struct bench *b, int run, ashlar_error *err)
{
    size_t at = (size_t)(run + 1) * (size_t)set.gen_tokens * (size_t)set.batch;
    ashlar_status status = ASHLAR_OK;

    for (int step = 0; step < set.gen_tokens && status == ASHLAR_OK; step++) {
        for (int i = 0; i < set.batch; i++)
            b->items[i] = (ashlar_batch_item){
                .session = b->sessions[i], .tokens = b->tokens + at++ % b->n_tokens, .n_tokens = 1};
        status = ashlar_batch_eval(b->engine, b->items, (size_t)set.batch, err);
    }
    return status;
}

/* Warm up, then fill samples[] with tokens per second, and add up what the measured runs cost. */
static ashlar_status measure(struct bench *b, struct bench_row *row, ashlar_error *err)
{
    int n_sessions = row->prefill ? 1 : set.batch;
    double n_tokens = row->prefill ? set.prompt_tokens : (double)set.gen_tokens * set.batch;
    ashlar_kv_stats before, after;
    ashlar_status status = ASHLAR_OK;

    for (int run = -1; run < set.runs && status == ASHLAR_OK; run++) {
        for (int i = 0; i < n_sessions && status == ASHLAR_OK; i++)
            status = go_to_depth(b, i, row->depth, err);
        if (status != ASHLAR_OK)
            return status;
        ashlar_engine_kv_stats(b->engine, &before);
        double start = os_time_seconds();
        status = row->prefill ? run_prefill(b, row->depth, err) : run_decode(b, run, err);
        double seconds = os_time_seconds() - start;
        ashlar_engine_kv_stats(b->engine, &after);
        if (run < 0)
            continue;
        b->samples[run] = seconds > 0 ? n_tokens / seconds : 0;
        bench_cost_add(&row->cost, &before, &after, n_tokens, seconds);
    }
    if (status == ASHLAR_OK)
        bench_row_summarise(row, b->samples, set.runs);
    return status;
}

static ashlar_status measure_all(struct bench *b, const int *depths, int n, struct bench_row *rows,
                                 int *n_rows, ashlar_error *err)
{
    int threads = ashlar_engine_info(b->engine)->n_threads;
    ashlar_status status = ASHLAR_OK;

    *n_rows = 0;
    for (int i = 0; i < 2 * n && status == ASHLAR_OK; i++) {
        bool prefill = i % 2 == 0;
        int tokens = prefill ? set.prompt_tokens : set.gen_tokens;
        if (tokens == 0)
            continue;
        rows[*n_rows] = (struct bench_row){.prefill = prefill, .depth = depths[i / 2],
                                           .tokens = tokens, .batch = prefill ? 1 : set.batch,
                                           .threads = threads};
        status = measure(b, &rows[(*n_rows)++], err);
    }
    return status;
}

static ashlar_status bench_run(const int *depths, int n_depths, struct bench_report *report,
                               struct bench *b, ashlar_error *err)
{
    struct cli_ui ui;
    ashlar_options o;

    ashlar_options_init(&o);
    cli_ui_init(&ui, set.quiet, &o);
    o.n_ctx = b->n_ctx = context_needed(depths, n_depths);
    o.n_sessions = set.batch;
    o.n_batch = set.pass;
    ashlar_status status = engine_options_apply(&o, err);
    if (status == ASHLAR_OK)
        status = cli_check_memory(set.model, &o, err);
    if (status != ASHLAR_OK)
        return status;
    double start = os_time_seconds();
    status = ashlar_engine_open(set.model, &o, &b->engine, err);
    if (status != ASHLAR_OK)
        return status;
    report->load_s = os_time_seconds() - start;
    report->engine = b->engine;
    report->info = ashlar_engine_info(b->engine);
    interrupt_watch(b->engine);
    status = take_memory(b, err);
    if (status == ASHLAR_OK)
        status = measure_all(b, depths, n_depths, report->rows, &report->n_rows, err);
    interrupt_watch(NULL);
    progress_clear(&ui.bar);
    report->peak_rss_bytes = os_peak_rss_bytes();
    return status;
}

static int print_report(struct bench_report *report)
{
    struct buf out;
    int code;

    buf_init(&out, 1 << 20);
    if (set.json)
        bench_report_json(report, &out);
    else
        bench_report_table(report, &out);
    code = cli_print(&out);
    buf_fini(&out);
    return code;
}

int cmd_bench(int argc, char **argv)
{
    int depths[MAX_DEPTHS], n_depths = 0, code;
    struct bench_row rows[2 * MAX_DEPTHS];
    struct bench_report report = {.rows = rows};
    struct bench b = {0};
    ashlar_error err = {0};
    ashlar_status status;

    set_defaults();
    if (!cli_parse(&command_bench, argc, argv, NULL, NULL, &code))
        return code;
    interrupt_install();
    status = parse_depths(depths, &n_depths, &err);
    if (status == ASHLAR_OK)
        status = parse_fill(&b.random, &err);
    if (status == ASHLAR_OK && !set.model) {
        status = error_set(&err, ASHLAR_USAGE, "no model given");
        error_hint(&err, "-m MODEL names a GGUF file");
    }
    if (status == ASHLAR_OK)
        status = bench_run(depths, n_depths, &report, &b, &err);
    report.path = set.model;
    report.random_fill = b.random;
    report.runs = set.runs;
    report.pass = set.pass;
    if (status == ASHLAR_OK) /* after the peak was read: hashing must not raise it */
        status = machine_hash_file(set.model, &report.file_hash, &err);
    code = status == ASHLAR_OK ? print_report(&report) : cli_fail(&err);
    give_memory_back(&b);
    ashlar_engine_close(b.engine);
    return code;
}
