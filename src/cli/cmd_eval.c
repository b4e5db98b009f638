/*
 * cmd_eval.c: `ashlar eval recall`: does the model find what a long text says?
 *
 * The records come from recall.c.  A record's lines are evaluated once; then each of its questions
 * is appended, answered greedily and taken back by a rewind, so that every question sees the lines
 * and nothing else. An answer counts when it is the expected line to the letter. Everything passes
 * through text and the model's own tokenizer: the figures hold for any model, not only for the one
 * that was trained on such records.
 */
#include "base/mem.h"
#include "base/os.h"
#include "cli/cli.h"
#include "cli/engine_options.h"
#include "cli/json_text.h"
#include "cli/kv_report.h"
#include "cli/recall.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MAX_LENGTHS = 16,
    MAX_TASKS = 16,
    MAX_ROWS = MAX_LENGTHS * MAX_TASKS,
    TEXT_MAX = 1 << 28,
    CONTEXT_SPARE = 256, /* for tokenizers that need more tokens for a question than ours */
};

static struct {
    const char *model, *tasks;
    struct option_list lengths;
    int samples, questions, batch;
    bool json, quiet, misses;
    uint64_t seed;
} set;

static const struct option options[] = {
    {"model", 'm', OPTION_STRING, &set.model, 0, 0, "MODEL", "the model, a GGUF file"},
    {"tokens", 'n', OPTION_LIST, &set.lengths, 0, 0, "N[,N]",
     "length of a record with its question and answer; repeatable (2048)"},
    {"tasks", 0, OPTION_STRING, &set.tasks, 0, 0, "NAME[,NAME]",
     "needle, keyvalue, chain, multivalue, mixed (the first four)"},
    {"samples", 's', OPTION_INT, &set.samples, 1, 1e6, "N", "questions per task and length (64)"},
    {"questions", 0, OPTION_INT, &set.questions, 1, 256, "N",
     "questions about one record, each asked alone; a needle has one (8)"},
    {"seed", 0, OPTION_U64, &set.seed, 0, 0, "N", "seed of the records (1)"},
    {"misses", 0, OPTION_FLAG, &set.misses, 0, 0, NULL,
     "name each wrong answer on standard error"},
    {"batch", 'b', OPTION_INT, &set.batch, 1, 65536, "N",
     "prompt tokens evaluated in one pass (512)"},
    {"json", 0, OPTION_FLAG, &set.json, 0, 0, NULL, "print one JSON object instead of the table"},
    {"quiet", 'q', OPTION_FLAG, &set.quiet, 0, 0, NULL, "no progress and no warnings"},
    {0},
};

const struct command command_eval = {
    .name = "eval",
    .usage = "ashlar eval recall -m MODEL [options]",
    .summary = "measure how well a model answers questions about long records",
    .description =
        "Records are drawn from the seed: one fact in prose (needle), a fact among many "
        "(keyvalue), "
        "names that lead to names and at last to a value (chain), three values of one name "
        "(multivalue). An answer counts when it is right to the letter.",
    .options = options,
    .shared = engine_option_table,
    .operands = "recall",
    .min_operands = 1,
    .max_operands = 1,
};

/* One task at one length. */
struct row {
    enum recall_task task;
    int tokens;
    int records, asked, exact;
    uint64_t prompt_tokens; /* over all records: lines and the first question */
    double prefill_s, answer_s;
};

struct eval {
    ashlar_engine *engine;
    ashlar_session *session;
    struct progress_bar bar;
    struct buf text, answer;
    int32_t *tokens; /* (capacity) */
    size_t capacity;
    struct row rows[MAX_ROWS];
    int n_rows;
};

static void set_defaults(void)
{
    memset(&set, 0, sizeof set);
    engine_options_reset();
    set.tasks = "needle,keyvalue,chain,multivalue";
    set.samples = 64;
    set.questions = 8;
    set.seed = 1;
    set.batch = 512;
}

/* ---- what to measure ------------------------------------------------------------------------ */

static ashlar_status add_length(const char *list, int lengths[MAX_LENGTHS], int *n,
                                ashlar_error *err)
{
    for (const char *p = list;; p++) {
        char *end;
        long tokens = strtol(p, &end, 10);
        if (end == p || (*end && *end != ',') || tokens > RECALL_TOKENS_MAX)
            return error_set(err, ASHLAR_USAGE, "option --tokens: '%s' is not a list of lengths",
                             list);
        if (tokens < RECALL_TOKENS_MIN)
            return error_set(err, ASHLAR_USAGE, "option --tokens: a record takes at least %d",
                             RECALL_TOKENS_MIN);
        if (*n == MAX_LENGTHS)
            return error_set(err, ASHLAR_USAGE, "option --tokens: more than %d", MAX_LENGTHS);
        lengths[(*n)++] = (int)tokens;
        if (!*end)
            return ASHLAR_OK;
        p = end;
    }
}

static ashlar_status parse_lengths(int lengths[MAX_LENGTHS], int *n, ashlar_error *err)
{
    ashlar_status status = ASHLAR_OK;

    *n = 0;
    if (set.lengths.n == 0)
        lengths[(*n)++] = 2048;
    for (int i = 0; i < set.lengths.n && status == ASHLAR_OK; i++)
        status = add_length(set.lengths.items[i], lengths, n, err);
    return status;
}

static ashlar_status parse_tasks(enum recall_task tasks[MAX_TASKS], int *n, ashlar_error *err)
{
    *n = 0;
    for (const char *p = set.tasks;; p++) {
        size_t length = strcspn(p, ",");
        if (*n == MAX_TASKS)
            return error_set(err, ASHLAR_USAGE, "option --tasks: more than %d", MAX_TASKS);
        if (!recall_task_parse(p, length, &tasks[*n])) {
            error_set(err, ASHLAR_USAGE, "option --tasks: unknown task '%.*s'",
                      length > 64 ? 64 : (int)length, p);
            error_hint(err, "tasks are needle, keyvalue, chain, multivalue and mixed");
            return ASHLAR_USAGE;
        }
        (*n)++;
        p += length;
        if (!*p)
            return ASHLAR_OK;
    }
}

/* A row for each length and task. */
static ashlar_status plan(struct eval *e, int *longest, ashlar_error *err)
{
    int lengths[MAX_LENGTHS], n_lengths, n_tasks;
    enum recall_task tasks[MAX_TASKS];

    ashlar_status status = parse_lengths(lengths, &n_lengths, err);
    if (status == ASHLAR_OK)
        status = parse_tasks(tasks, &n_tasks, err);
    if (status != ASHLAR_OK)
        return status;
    *longest = 0;
    for (int i = 0; i < n_lengths; i++) {
        if (lengths[i] > *longest)
            *longest = lengths[i];
        for (int t = 0; t < n_tasks; t++)
            e->rows[e->n_rows++] = (struct row){.task = tasks[t], .tokens = lengths[i]};
    }
    return ASHLAR_OK;
}

/* ---- one question --------------------------------------------------------------------------- */

/* The words' text into e->text. */
static ashlar_status words_text(struct eval *e, const uint16_t *words, size_t n, ashlar_error *err)
{
    buf_clear(&e->text);
    for (size_t i = 0; i < n; i++)
        buf_puts(&e->text, recall_vocab_text(words[i]));
    return e->text.failed ? error_memory(err, n, "a record's text") : ASHLAR_OK;
}

/* Appends the words, as text, to the session. */
static ashlar_status append_words(struct eval *e, const uint16_t *words, size_t n, unsigned flags,
                                  ashlar_error *err)
{
    size_t n_tokens = 0;

    ashlar_status status = words_text(e, words, n, err);
    if (status == ASHLAR_OK)
        status = ashlar_tokenize(e->engine, e->text.data, e->text.length, flags, e->tokens,
                                 e->capacity, &n_tokens, err);
    if (status != ASHLAR_OK)
        return status;
    if (n_tokens > e->capacity)
        return error_set(err, ASHLAR_NO_RESOURCE,
                         "%s: its tokenizer makes %zu tokens of a record, more than the %zu of the "
                         "context", set.model, n_tokens, e->capacity);
    return ashlar_session_append(e->session, e->tokens, n_tokens, err);
}

static int32_t likeliest(const float *logits, int n)
{
    int32_t best = 0;

    for (int32_t i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

/*
 * Generates greedily into e->answer as long as the text agrees with `wanted`, and a little more for
 * the report of a miss: at most the expected length.
 */
static ashlar_status answer_question(struct eval *e, const char *wanted, bool *exact,
                                     ashlar_error *err)
{
    int n_vocab = ashlar_engine_info(e->engine)->n_vocab;
    size_t length = strlen(wanted);

    buf_clear(&e->answer);
    *exact = false;
    for (;;) {
        size_t n;
        int32_t token = likeliest(ashlar_session_logits(e->session), n_vocab);
        if (ashlar_token_is_end(e->engine, token))
            return ASHLAR_OK;
        const char *piece = ashlar_token_piece(e->engine, token, true, &n);
        if (n == 0 || !buf_append(&e->answer, piece, n))
            return ASHLAR_OK;
        bool agrees = e->answer.length <= length &&
                      memcmp(e->answer.data, wanted, e->answer.length) == 0;
        *exact = agrees && e->answer.length == length;
        if (*exact || e->answer.length >= length || (!agrees && !set.misses))
            return ASHLAR_OK;
        ashlar_status status = ashlar_session_append(e->session, &token, 1, err);
        if (status != ASHLAR_OK)
            return status;
    }
}

static void report_miss(struct eval *e, const struct row *row, const struct recall_spec *spec,
                        const char *wanted)
{
    progress_clear(&e->bar);
    fprintf(stderr, "%s, %d tokens, record %" PRIu64 ":\n  wanted %s  got    %s\n",
            recall_task_name(row->task), row->tokens, spec->index, wanted,
            e->answer.length ? e->answer.data : "nothing");
}

/* Asks one question of the record whose lines the session holds, and takes it back. */
static ashlar_status ask(struct eval *e, struct row *row, const struct recall_spec *spec,
                         const struct recall_record *record, size_t q, ashlar_error *err)
{
    const struct recall_question *question = &record->questions[q];
    size_t lines = ashlar_session_length(e->session);
    char wanted[512];
    bool exact = false;

    recall_words_text(record->words + question->answer_start,
                      question->end - question->answer_start, wanted, sizeof wanted);
    double start = os_time_seconds();
    ashlar_status status = append_words(e, record->words + question->start,
                                        question->answer_start - question->start, 0, err);
    if (q == 0)
        row->prompt_tokens += ashlar_session_length(e->session);
    if (status == ASHLAR_OK)
        status = answer_question(e, wanted, &exact, err);
    row->answer_s += os_time_seconds() - start;
    if (status != ASHLAR_OK)
        return status;
    row->asked++;
    row->exact += exact;
    if (set.misses && !exact)
        report_miss(e, row, spec, wanted);
    return ashlar_session_rewind(e->session, lines, err);
}

/* ---- rows ----------------------------------------------------------------------------------- */

static ashlar_status run_record(struct eval *e, struct row *row, const struct recall_spec *spec,
                                ashlar_error *err)
{
    struct recall_record record;

    if (!recall_record_init(&record, spec))
        return error_memory(err, spec->tokens * sizeof(uint16_t), "a record");
    double start = os_time_seconds();
    ashlar_status status = ashlar_session_rewind(e->session, 0, err);
    if (status == ASHLAR_OK)
        status = append_words(e, record.words, record.body_count, ASHLAR_ADD_SPECIAL, err);
    row->prefill_s += os_time_seconds() - start;
    for (size_t q = 0; q < record.question_count && row->asked < set.samples; q++) {
        if (status == ASHLAR_OK)
            status = ask(e, row, spec, &record, q, err);
    }
    row->records++;
    recall_record_fini(&record);
    return status;
}

static ashlar_status run_row(struct eval *e, struct row *row, ashlar_error *err)
{
    /* One token less: most models put one of their own before the text. */
    struct recall_spec spec = {.task = row->task, .side = RECALL_EVAL, .seed = set.seed,
                               .tokens = (size_t)row->tokens - 1,
                               .questions = (size_t)set.questions, .apart = true};
    ashlar_status status = ASHLAR_OK;
    char what[24];

    snprintf(what, sizeof what, "%s %d", recall_task_name(row->task), row->tokens);
    while (status == ASHLAR_OK && row->asked < set.samples) {
        if (!set.quiet)
            progress_update(&e->bar, what, (uint64_t)row->asked, (uint64_t)set.samples);
        status = run_record(e, row, &spec, err);
        spec.index++;
    }
    progress_clear(&e->bar);
    return status;
}

/* The bar shows questions, not passes of a prefill; Ctrl-C ends either. */
static bool on_progress(void *user, const char *what, uint64_t done, uint64_t total)
{
    (void)user, (void)what, (void)done, (void)total;
    return !interrupt_seen();
}

static ashlar_status open_all(struct eval *e, struct cli_ui *ui, int longest, ashlar_error *err)
{
    ashlar_options o;

    ashlar_options_init(&o);
    cli_ui_init(ui, set.quiet, &o);
    o.progress = on_progress;
    o.n_ctx = longest + CONTEXT_SPARE;
    o.n_batch = set.batch;
    ashlar_status status = engine_options_apply(&o, err);
    if (status == ASHLAR_OK)
        status = cli_check_memory(set.model, &o, err);
    if (status == ASHLAR_OK)
        status = ashlar_engine_open(set.model, &o, &e->engine, err);
    if (status != ASHLAR_OK)
        return status;
    interrupt_watch(e->engine);
    e->capacity = (size_t)o.n_ctx;
    e->tokens = mem_array(e->capacity, sizeof *e->tokens);
    if (!e->tokens)
        return error_memory(err, e->capacity * sizeof *e->tokens, "the measurement");
    return ashlar_session_open(e->engine, &e->session, err);
}

static ashlar_status eval_run(struct eval *e, ashlar_error *err)
{
    struct cli_ui ui;
    int longest;

    ashlar_status status = plan(e, &longest, err);
    if (status == ASHLAR_OK)
        status = open_all(e, &ui, longest, err);
    for (int i = 0; i < e->n_rows && status == ASHLAR_OK; i++)
        status = run_row(e, &e->rows[i], err);
    interrupt_watch(NULL);
    return status;
}

/* ---- the report ----------------------------------------------------------------------------- */

static double share(const struct row *row)
{
    return row->asked ? (double)row->exact / row->asked : 0;
}

static double mean_tokens(const struct row *row)
{
    return row->records ? (double)row->prompt_tokens / row->records : 0;
}

static void write_table(const struct eval *e, struct buf *out)
{
    buf_printf(out, "%8s  %-12s %8s %10s %7s %7s %9s\n", "tokens", "task", "records", "prompt",
               "asked", "exact", "share");
    for (int i = 0; i < e->n_rows; i++) {
        const struct row *row = &e->rows[i];
        buf_printf(out, "%8d  %-12s %8d %10.0f %7d %7d %8.1f%%\n", row->tokens,
                   recall_task_name(row->task), row->records, mean_tokens(row), row->asked,
                   row->exact, 100 * share(row));
    }
    buf_puts(out, "\nKV cache: ");
    kv_report_line(e->engine, out);
    buf_puts(out, "\n");
}

static json_t *row_value(const struct row *row)
{
    return json_pack("{s:i, s:s, s:i, s:f, s:i, s:i, s:f, s:f, s:f}", "tokens", row->tokens, "task",
                     recall_task_name(row->task), "records", row->records, "prompt_tokens_mean",
                     mean_tokens(row), "asked", row->asked, "exact", row->exact, "share",
                     share(row), "prefill_s", row->prefill_s, "answer_s", row->answer_s);
}

static json_t *rows_value(const struct eval *e)
{
    json_t *array = json_array();

    for (int i = 0; array && i < e->n_rows; i++) {
        if (json_array_append_new(array, row_value(&e->rows[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static void write_json(const struct eval *e, struct buf *out)
{
    const ashlar_model_info *info = ashlar_engine_info(e->engine);
    json_t *root = json_pack("{s:o, s:s, s:I, s:s, s:i, s:s, s:o, s:o}", "model",
                             json_text_value(set.model, strlen(set.model)), "suite", "recall",
                             "seed", (json_int_t)(set.seed & INT64_MAX), "kernels", info->kernels,
                             "threads", info->n_threads, "version", ASHLAR_VERSION, "rows",
                             rows_value(e), "kv", kv_report_json(e->engine));
    char *text = root ? json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) : NULL;

    if (!text || !buf_puts(out, text))
        out->failed = true;
    buf_puts(out, "\n");
    free(text);
    json_decref(root);
}

static int print_report(const struct eval *e)
{
    struct buf out;

    buf_init(&out, 1 << 20);
    if (set.json)
        write_json(e, &out);
    else
        write_table(e, &out);
    int code = cli_print(&out);
    buf_fini(&out);
    return code;
}

static ashlar_status check_settings(const char *suite, ashlar_error *err)
{
    if (strcmp(suite, "recall") != 0) {
        error_set(err, ASHLAR_USAGE, "no suite is called '%.64s'", suite);
        error_hint(err, "the suite is recall");
        return ASHLAR_USAGE;
    }
    if (set.model)
        return ASHLAR_OK;
    error_set(err, ASHLAR_USAGE, "no model given");
    error_hint(err, "-m MODEL names a GGUF file");
    return ASHLAR_USAGE;
}

int cmd_eval(int argc, char **argv)
{
    struct eval e = {0};
    const char *operands[1];
    ashlar_error err = {0};
    int n_operands = 0, code;

    set_defaults();
    if (!cli_parse(&command_eval, argc, argv, operands, &n_operands, &code))
        return code;
    interrupt_install();
    buf_init(&e.text, TEXT_MAX);
    buf_init(&e.answer, TEXT_MAX);
    progress_init(&e.bar, STDERR_FILENO);
    ashlar_status status = check_settings(operands[0], &err);
    if (status == ASHLAR_OK)
        status = eval_run(&e, &err);
    code = status == ASHLAR_OK ? print_report(&e) : cli_fail(&err);
    ashlar_session_close(e.session);
    ashlar_engine_close(e.engine);
    free(e.tokens);
    buf_fini(&e.text);
    buf_fini(&e.answer);
    return code;
}
