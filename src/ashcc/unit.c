/*
 * unit.c: see unit.h. Opens what the settings name (translators, cache), has lego compile, and
 * hands over the assembler text, the report and the explanation.
 */
#include "ashcc/unit.h"

#include "ashcc/differential.h"
#include "ashcc/process.h"
#include "ashcc/settings.h"
#include "ashcc/ui.h"
#include "base/os.h"
#include "base/output.h"
#include "lego/compile.h"
#include "lego/fallback.h"
#include "lego/share.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A bound for texts of ours, which come from files: far above any real source. */
enum { TEXT_MAX = 1 << 30 };

/* One file: as long-lived as the process that compiles it (driver.c). */
struct unit_job {
    const struct arguments *arguments;
    const struct input *input;
    int index;
    const char *folder, *cc;
    char text_path[4096], assembly_path[4096], report_path[4096];
    struct compile_options options;
    struct compilation *compilation;
    struct progress_bar bar;
    struct buf text, out;
    char model_path[4096];
    bool by_cc; /* the whole file */
};

void unit_path(char *path, size_t capacity, const char *folder, int index, const char *suffix)
{
    snprintf(path, capacity, "%s/%d%s", folder, index, suffix);
}

/* ---- who translates ---- */

static ashlar_status open_http(struct translator **out, ashlar_error *err)
{
    struct http_options o;
    int room = (int)(sizeof o.endpoints / sizeof *o.endpoints);
    http_options_init(&o);
    if (settings.endpoints.n > room)
        return error_set(err, ASHLAR_USAGE, "option --endpoint: at most %d of them", room);
    for (int i = 0; i < settings.endpoints.n; i++)
        o.endpoints[o.n_endpoints++] = settings.endpoints.items[i];
    /* servers of one model mostly take any name */
    o.model = settings.api_model ? settings.api_model : "default";
    o.key_variable = settings.api_key_variable;
    o.prompt = settings.prompt;
    o.jobs = settings.jobs;
    o.retries = settings.retries;
    o.temperature = settings.temperature;
    o.max_tokens = settings.max_tokens;
    o.timeout_seconds = (double)settings.timeout_seconds;
    return translator_http_open(&o, out, err);
}

static ashlar_status open_model(struct unit_job *job, struct translator **out, ashlar_error *err)
{
    const char *path = settings.model;
    if (!path && share_find("models/mason.gguf", job->model_path, sizeof job->model_path))
        path = job->model_path;
    if (!path) {
        error_set(err, ASHLAR_USAGE, "the model translator needs a model");
        error_hint(err, "name one with --model");
        return ASHLAR_USAGE;
    }
    return translator_model_open(path, settings.threads, settings.prompt, out, err);
}

static ashlar_status open_translator(struct unit_job *job, const char *name, ashlar_error *err)
{
    struct compile_options *o = &job->options;
    struct translator **out = &o->translators[o->n_translators];
    ashlar_status status;
    if (o->n_translators == COMPILE_TRANSLATORS_MAX)
        return error_set(err, ASHLAR_USAGE, "more than %d translators", COMPILE_TRANSLATORS_MAX);
    if (strcmp(name, "http") == 0)
        status = open_http(out, err);
    else if (strcmp(name, "model") == 0)
        status = open_model(job, out, err);
    else if (strncmp(name, "replay:", 7) == 0)
        status = translator_replay_open(name + 7, out, err);
    else
        return error_set(err, ASHLAR_USAGE,
                         "option --translator: '%s' is not model, http or replay:FILE", name);
    /* an interrupt ends a batch between two replies */
    if (status == ASHLAR_OK) {
        (*out)->stopped = process_interrupted;
        o->n_translators++;
    }
    return status;
}

/* Those named; else what the other options hint at; else the installed model; else the cache alone.
 */
static ashlar_status open_translators(struct unit_job *job, ashlar_error *err)
{
    ashlar_status status = ASHLAR_OK;
    for (int i = 0; i < settings.translators.n && status == ASHLAR_OK; i++)
        status = open_translator(job, settings.translators.items[i], err);
    if (settings.translators.n)
        return status;
    if (settings.endpoints.n)
        return open_translator(job, "http", err);
    if (settings.model || share_find("models/mason.gguf", job->model_path, sizeof job->model_path))
        return open_translator(job, "model", err);
    return ASHLAR_OK;
}

static ashlar_status open_cache(struct unit_job *job, ashlar_error *err)
{
    if (settings.cache && strcmp(settings.cache, "off") == 0)
        return ASHLAR_OK;
    ashlar_status status = cache_open(settings.cache, &job->options.cache, err);
    /* A cache that nobody asked for may be out of reach (no home, read-only, a full disk): do
     * without. */
    if (!settings.cache && status != ASHLAR_OK && status != ASHLAR_BAD_INPUT) {
        ui_warn("%s; going on without a cache", err->message);
        return ASHLAR_OK;
    }
    return status;
}

static void set_options(struct unit_job *job)
{
    /* in the order of enum granularity */
    static const char *const sizes[] = {"operation", "statement", "block", "function"};
    struct compile_options *o = &job->options;
    compile_options_init(o);
    o->samples = settings.samples;
    o->repairs = settings.repairs;
    o->debug = job->arguments->debug;
    o->pic = job->arguments->pic;
    o->wraps = job->arguments->wraps;
    o->coarser = settings.coarser;
    o->automatic = strcmp(settings.granularity, "auto") == 0;
    for (int i = 0; i < 4; i++) {
        if (strcmp(settings.granularity, sizes[i]) == 0)
            o->granularity = (enum granularity)i;
    }
    o->verify.level = strcmp(settings.verify, "test") == 0 ? VERIFY_TESTED : VERIFY_ASSEMBLED;
    o->verify.vectors = settings.vectors;
    o->verify.seed = settings.seed;
    o->verify.cc = job->cc;
    o->log = ui_log(&job->bar);
}

/* ---- the fallback ---- */

/* cc's assembler text for the whole file, into job->out. */
static ashlar_status ask_cc(struct unit_job *job, ashlar_error *err)
{
    struct words command = {0};
    char path[4096];
    int code;
    unit_path(path, sizeof path, job->folder, job->index, ".cc.s");
    words_add(&command, job->cc);
    words_add_all(&command, &job->arguments->read);
    for (int i = 0; fallback_cc_options[i]; i++)
        words_add(&command, fallback_cc_options[i]);
    if (job->arguments->pic)
        words_add(&command, "-fPIC");
    /* the same text that we compiled: macros and headers cannot differ between the two halves */
    words_add(&command, "-x");
    words_add(&command, "cpp-output");
    words_add(&command, job->text_path);
    words_add(&command, "-o");
    words_add(&command, path);
    ashlar_status status =
        process_run(&command, (struct process_mode){.show = job->arguments->verbose}, &code, err);
    words_fini(&command);
    if (status == ASHLAR_OK && code != 0)
        status =
            error_set(err, ASHLAR_BAD_INPUT, "%s: cc does not compile it either", job->input->path);
    buf_clear(&job->out);
    return status == ASHLAR_OK ? os_read_file(path, &job->out, err) : status;
}

/* The whole file by cc: the reader did not understand it. */
static ashlar_status leave_file(struct unit_job *job, const ashlar_error *why, ashlar_error *err)
{
    ui_warn("%s; the whole file is compiled by cc", why->message);
    job->by_cc = true;
    return ask_cc(job, err);
}

/* Adds cc's text of the functions that failed to ours. */
static ashlar_status mix(struct unit_job *job, struct report *report, ashlar_error *err)
{
    /* job->out is cc's text meanwhile: ask_cc() fills it */
    struct buf ours = job->out, both;
    struct words names = {0};
    for (int i = 0; i < report->n_functions; i++) {
        if (report->functions[i].outcome == FUNCTION_OK)
            continue;
        words_add(&names, report->functions[i].symbol);
        ui_warn("%s; %s is compiled by cc", report->functions[i].why, report->functions[i].name);
        report->functions[i].by_cc = true;
    }
    buf_init(&job->out, TEXT_MAX);
    buf_init(&both, TEXT_MAX);
    ashlar_status status = names.failed ? error_memory(err, 0, "names") : ask_cc(job, err);
    if (status == ASHLAR_OK)
        status = fallback_join(ours.data, ours.length, job->out.data, job->out.length, names.items,
                               names.n, &both, err);
    words_fini(&names);
    buf_fini(&ours);
    buf_fini(&job->out);
    job->out = both;
    return status;
}

/* ---- the compilation ---- */

static int count_failed(const struct report *report)
{
    struct report_totals totals;
    report_total(report, &totals);
    return totals.functions_failed;
}

/* Says which functions were not made and why; returns the exit code: 5 where a block was rejected,
 * else 3, as all that failed was refused. */
static int complain(const struct unit_job *job, const struct report *report)
{
    int code = ASHLAR_BAD_INPUT;
    for (int i = 0; i < report->n_functions; i++) {
        const struct report_function *f = &report->functions[i];
        if (f->outcome == FUNCTION_OK)
            continue;
        if (f->outcome == FUNCTION_REJECTED)
            code = EXIT_NOT_ACCEPTED;
        if (f->outcome == FUNCTION_REFUSED)
            fprintf(stderr, "ashcc: %s (in %s)\n", f->why, f->name);
        else
            fprintf(stderr, "ashcc: %s\n", f->why);
    }
    if (job->options.n_translators == 0 && code == EXIT_NOT_ACCEPTED)
        fprintf(stderr, "hint: there is no translator, only the cache: see --translator\n");
    else
        fprintf(stderr, "hint: --fallback=cc has cc compile such functions\n");
    return code;
}

static ashlar_status read_source(struct unit_job *job, ashlar_error *err)
{
    const struct words *args = &job->arguments->read;
    ashlar_status status = os_read_file(job->text_path, &job->text, err);
    if (status == ASHLAR_OK)
        status =
            compile_open(&job->options, job->input->path, job->text.length ? job->text.data : "",
                         job->text.length, args->items, args->n, &job->compilation, err);
    return status;
}

static bool dumps(const char *pass)
{
    return settings.dump && strcmp(settings.dump, pass) == 0;
}

/* --differential: the table on standard output. A difference is as a check that failed. */
static ashlar_status check_functions(struct unit_job *job, int *code, ashlar_error *err)
{
    struct differential_options o = {.source = job->input->path,
                                     .cc = job->cc,
                                     .folder = job->folder,
                                     .text_path = job->text_path,
                                     .read = &job->arguments->read,
                                     .show = job->arguments->verbose,
                                     .vectors = settings.differential,
                                     .seed = settings.seed};
    struct buf table;
    int differing;
    buf_init(&table, TEXT_MAX);
    ashlar_status status =
        differential_run(&o, compile_ir(job->compilation), compile_report(job->compilation),
                         &job->out, &table, &differing, err);
    if (status == ASHLAR_OK)
        status = output_write(STDOUT_FILENO, &table, "standard output", err);
    if (status == ASHLAR_OK && differing) {
        fprintf(stderr, "ashcc: %s: --differential: %d function%s from cc's\n",
                job->input->path, differing, differing == 1 ? " differs" : "s differ");
        *code = EXIT_NOT_ACCEPTED;
    }
    buf_fini(&table);
    return status;
}

/* The passes behind reading; *code is the exit code when the status is OK. */
static ashlar_status run_passes(struct unit_job *job, int *code, ashlar_error *err)
{
    struct compilation *c = job->compilation;
    if (dumps("ast") || dumps("ir")) {
        compile_dump(c, dumps("ast") ? COMPILE_AST : COMPILE_IR, &job->out);
        return ASHLAR_OK;
    }
    ashlar_status status = compile_cut(c, err);
    if (status == ASHLAR_OK && dumps("blocks")) {
        compile_dump(c, COMPILE_BLOCKS, &job->out);
        return ASHLAR_OK;
    }
    if (status == ASHLAR_OK)
        status = compile_translate(c, err);
    progress_clear(&job->bar);
    if (status == ASHLAR_OK && dumps("pairs"))
        compile_dump(c, COMPILE_PAIRS, &job->out);
    if (status != ASHLAR_OK || dumps("pairs"))
        return status;
    struct report *report = compile_report(c);
    bool failed = count_failed(report) > 0, mixing = strcmp(settings.fallback, "cc") == 0;
    if (failed && !mixing) {
        *code = complain(job, report);
        return ASHLAR_OK;
    }
    status = compile_compose(c, &job->out, err);
    if (status == ASHLAR_OK && failed)
        status = mix(job, report, err);
    if (status == ASHLAR_OK && settings.differential && !settings.dump)
        status = check_functions(job, code, err);
    return status;
}

/* Report, explanation and summary: also of a compilation that failed. */
static ashlar_status tell(struct unit_job *job, ashlar_error *err)
{
    struct report nothing = {.source = job->input->path,
                             .refused_file = "the reader did not understand it"};
    const struct report *report = job->compilation ? compile_report(job->compilation) : &nothing;
    struct buf b;
    ashlar_status status = ASHLAR_OK;
    buf_init(&b, TEXT_MAX);
    if (settings.report) {
        report_json(report, &b);
        status = output_write_file(job->report_path, &b, err);
        buf_clear(&b);
    }
    if (status == ASHLAR_OK && settings.explain) {
        report_explain(report, &b);
        status = output_write(STDOUT_FILENO, &b, "standard output", err);
        buf_clear(&b);
    }
    bool watched = os_is_terminal(STDERR_FILENO) && !settings.quiet;
    if (status == ASHLAR_OK && (watched || job->arguments->verbose)) {
        report_line(report, &b);
        fprintf(stderr, "ashcc: %s\n", b.data && !b.failed ? b.data : "?");
    }
    buf_fini(&b);
    return status;
}

static ashlar_status compile(struct unit_job *job, int *code, ashlar_error *err)
{
    ashlar_error why = {0};
    ashlar_status status = open_translators(job, err);
    if (status == ASHLAR_OK)
        status = open_cache(job, err);
    if (status != ASHLAR_OK)
        return status;
    status = read_source(job, &why);
    /* what the reader does not understand as C is left to cc, but not our own failures */
    if (status == ASHLAR_BAD_INPUT && strcmp(settings.fallback, "cc") == 0 && !settings.dump) {
        status = leave_file(job, &why, err);
    } else if (status == ASHLAR_OK) {
        status = run_passes(job, code, err);
    } else {
        *err = why;
    }
    if (status == ASHLAR_OK && !(settings.dump && !dumps("asm")))
        status = tell(job, err);
    /* also when --differential found a difference: then nothing is to be assembled */
    if (status == ASHLAR_OK && *code == 0)
        status = output_write_file(job->assembly_path, &job->out, err);
    return status;
}

/* A job has paths of some 20 KB: on the heap, not the stack. */
int unit_run(const struct arguments *a, int index, const char *folder)
{
    struct unit_job *job = calloc(1, sizeof *job);
    ashlar_error err = {0};
    int code = 0;
    if (!job) {
        error_memory(&err, sizeof *job, "the compiler");
        return ui_fail(&err);
    }
    *job = (struct unit_job){.arguments = a,
                             .input = &a->inputs[index],
                             .index = index,
                             .folder = folder,
                             .cc = settings.cc};
    unit_path(job->text_path, sizeof job->text_path, folder, index, ".i");
    unit_path(job->assembly_path, sizeof job->assembly_path, folder, index, ".s");
    unit_path(job->report_path, sizeof job->report_path, folder, index, ".json");
    buf_init(&job->text, TEXT_MAX);
    buf_init(&job->out, TEXT_MAX);
    set_options(job);
    ashlar_status status = compile(job, &code, &err);
    progress_clear(&job->bar);
    if (status != ASHLAR_OK)
        code = ui_fail(&err);
    compile_free(job->compilation);
    for (int i = 0; i < job->options.n_translators; i++)
        job->options.translators[i]->close(job->options.translators[i]);
    cache_close(job->options.cache);
    buf_fini(&job->text);
    buf_fini(&job->out);
    free(job);
    return code;
}
