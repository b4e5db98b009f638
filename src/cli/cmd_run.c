/*
 * cmd_run.c: `ashlar run`: settings, the prompt, one generation or the chat loop.
 *
 * The order of things: options, prompt (so that a mistake costs no loading), context length, memory
 * check, engine, tokens, text. stdout carries the text (or, with --json, the object) and nothing
 * else.
 */
#include "base/os.h"
#include "base/output.h"
#include "cli/chat_loop.h"
#include "cli/cli.h"
#include "cli/engine_options.h"
#include "cli/generate.h"
#include "cli/prompt.h"
#include "cli/report.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define NO_SEED UINT64_MAX

enum {
    PROMPT_MAX = 1 << 30,
    TEMPLATE_TOKENS = 512, /* more than any template's markers and default system text */
};

static struct {
    const char *model, *prompt, *file, *system;
    bool chat, raw, thinking, json, quiet, echo;
    int n, ctx, batch, top_k, repeat_last;
    float temp, top_p, min_p, repeat_penalty;
    uint64_t seed;
    struct option_list stops;
} set;

static const struct option options[] = {
    {"model", 'm', OPTION_STRING, &set.model, 0, 0, "MODEL", "the model, a GGUF file"},
    {"prompt", 'p', OPTION_STRING, &set.prompt, 0, 0, "TEXT", "the prompt; - reads stdin"},
    {"file", 'f', OPTION_STRING, &set.file, 0, 0, "FILE",
     "read the prompt from FILE, less one final newline; - reads stdin"},
    {"tokens", 'n', OPTION_INT, &set.n, 0, 1e9, "N",
     "generate at most N tokens (default: to the end token or a full context)"},
    {"system", 's', OPTION_STRING, &set.system, 0, 0, "TEXT", "system message; implies --chat"},
    {"chat", 0, OPTION_FLAG, &set.chat, 0, 0, NULL,
     "the prompt is a user's message (default when the model has a chat template)"},
    {"raw", 0, OPTION_FLAG, &set.raw, 0, 0, NULL,
     "the prompt is text to continue (default when it has none)"},
    {"thinking", 0, OPTION_FLAG, &set.thinking, 0, 0, NULL,
     "let a model with a thinking mode think (on; --no-thinking)"},
    {"echo", 0, OPTION_FLAG, &set.echo, 0, 0, NULL, "print the prompt before the text"},
    {"temp", 't', OPTION_FLOAT, &set.temp, 0, 100, "T",
     "temperature; 0 always takes the likeliest token (0)"},
    {"top-k", 0, OPTION_INT, &set.top_k, 0, 1e9, "K", "keep the K likeliest tokens; 0 = all (40)"},
    {"top-p", 0, OPTION_FLOAT, &set.top_p, 0, 1, "P",
     "keep the likeliest tokens with probability P together (0.95)"},
    {"min-p", 0, OPTION_FLOAT, &set.min_p, 0, 1, "P",
     "drop tokens below P times the likeliest (0.05)"},
    {"repeat-penalty", 0, OPTION_FLOAT, &set.repeat_penalty, 0.01, 100, "X",
     "above 1 discourages repetition (1)"},
    {"repeat-last", 0, OPTION_INT, &set.repeat_last, 0, 1e6, "N",
     "tokens that the penalty looks back (64)"},
    {"seed", 0, OPTION_U64, &set.seed, 0, 0, "N",
     "seed of the sampling (a fresh one, named in the statistics)"},
    {"stop", 0, OPTION_LIST, &set.stops, 0, 0, "TEXT", "end the text before TEXT; repeatable"},
    {"ctx", 'c', OPTION_INT, &set.ctx, 1, 1e9, "N",
     "tokens of context (the training length; less where memory is short)"},
    {"batch", 'b', OPTION_INT, &set.batch, 1, 65536, "N",
     "prompt tokens evaluated in one pass (512)"},
    {"json", 0, OPTION_FLAG, &set.json, 0, 0, NULL,
     "print one JSON object instead of streaming text"},
    {"quiet", 'q', OPTION_FLAG, &set.quiet, 0, 0, NULL, "no progress, warnings or statistics"},
    {0},
};

const struct command command_run = {
    .name = "run",
    .usage = "ashlar run -m MODEL [-p TEXT | -f FILE] [options]",
    .summary = "generate text from a prompt, or chat",
    .description =
        "Text goes to standard output as it is made, everything else to standard error. Without "
        "-p and -f the prompt is standard input; if that is a terminal, a chat begins. Ctrl-C "
        "stops the text; pressed again, the program.",
    .options = options,
    .shared = engine_option_table,
};

static void set_defaults(void)
{
    ashlar_options engine;
    ashlar_sampler_options sampler;

    ashlar_options_init(&engine);
    ashlar_sampler_options_init(&sampler);
    memset(&set, 0, sizeof set);
    engine_options_reset();
    set.thinking = true;
    set.n = -1;
    set.batch = engine.n_batch;
    set.top_k = 40; /* the usual filters; they change nothing at temperature 0 */
    set.top_p = 0.95f;
    set.min_p = 0.05f;
    set.temp = sampler.temperature;
    set.repeat_penalty = sampler.repeat_penalty;
    set.repeat_last = sampler.repeat_last;
    set.seed = NO_SEED;
}

static void draw_seed(void)
{
    if (getrandom(&set.seed, sizeof set.seed, 0) != sizeof set.seed)
        set.seed = (uint64_t)(os_time_seconds() * 1e6);
    set.seed >>= 32; /* short enough to type again */
}

static ashlar_status check_settings(bool interactive, ashlar_error *err)
{
    if (!set.model) {
        error_set(err, ASHLAR_USAGE, "no model given");
        error_hint(err, "-m MODEL names a GGUF file");
        return ASHLAR_USAGE;
    }
    if (set.prompt && set.file)
        return error_set(err, ASHLAR_USAGE, "-p and -f exclude each other");
    if (set.raw && (set.chat || set.system))
        return error_set(err, ASHLAR_USAGE, "--raw excludes --chat and --system");
    if (interactive && (set.json || set.echo))
        return error_set(err, ASHLAR_USAGE, "--json and --echo need a prompt");
    if (set.seed > INT64_MAX && set.seed != NO_SEED) /* JSON integers are signed */
        return error_set(err, ASHLAR_USAGE, "option --seed: does not fit 63 bits");
    return ASHLAR_OK;
}

/* The prompt's bytes; text given on the command line is taken as it is. */
static ashlar_status read_prompt(struct buf *text, ashlar_error *err)
{
    const char *path = set.file;

    if (set.prompt && strcmp(set.prompt, "-") != 0) {
        if (!buf_puts(text, set.prompt))
            return error_memory(err, strlen(set.prompt), "the prompt");
        return ASHLAR_OK;
    }
    ashlar_status status = os_read_file(path ? path : "-", text, err);
    if (status == ASHLAR_OK && text->length > 0 && text->data[text->length - 1] == '\n')
        text->data[--text->length] = '\0';
    return status;
}

static ashlar_status open_engine(struct cli_ui *ui, const struct buf *text, struct report *report,
                                 ashlar_engine **engine, ashlar_error *err)
{
    ashlar_options o;
    size_t need = 0;

    ashlar_options_init(&o);
    cli_ui_init(ui, set.quiet, &o);
    o.n_batch = set.batch;
    o.n_ctx = set.ctx;
    if (text && set.n >= 0) /* a token has at least one byte */
        need = text->length + (set.system ? strlen(set.system) : 0) + TEMPLATE_TOKENS +
               (size_t)set.n;
    ashlar_status status = engine_options_apply(&o, err);
    if (status == ASHLAR_OK && set.ctx == 0)
        status = cli_default_context(set.model, &o, need, &o.n_ctx, err);
    if (status == ASHLAR_OK)
        status = cli_check_memory(set.model, &o, err);
    if (status != ASHLAR_OK)
        return status;
    double start = os_time_seconds();
    status = ashlar_engine_open(set.model, &o, engine, err);
    progress_clear(&ui->bar);
    if (status != ASHLAR_OK)
        return status;
    *report = (struct report){.engine = *engine,
                              .info = ashlar_engine_info(*engine),
                              .path = set.model,
                              .default_context = set.ctx == 0,
                              .sampled = set.temp > 0,
                              .seed = set.seed,
                              .load_s = os_time_seconds() - start};
    report->chat = set.chat || set.system || (!set.raw && report->info->chat_template);
    return ASHLAR_OK;
}

static ashlar_status init_generator(struct generator *g, ashlar_engine *engine, ashlar_error *err)
{
    struct generator_options o = {
        .max_tokens = set.n, .out_fd = set.json ? -1 : STDOUT_FILENO,
        .stops = set.stops.items, .n_stops = set.stops.n};

    ashlar_sampler_options_init(&o.sampler);
    o.sampler.temperature = set.temp;
    o.sampler.top_k = set.top_k;
    o.sampler.top_p = set.top_p;
    o.sampler.min_p = set.min_p;
    o.sampler.repeat_penalty = set.repeat_penalty;
    o.sampler.repeat_last = set.repeat_last;
    o.sampler.seed = set.seed;
    return generator_init(g, engine, &o, err);
}

static unsigned chat_flags(void)
{
    return set.thinking ? 0 : ASHLAR_CHAT_NO_THINKING;
}

static ashlar_status make_prompt(const ashlar_engine *engine, bool chat, const struct buf *text,
                                 struct prompt *prompt, ashlar_error *err)
{
    const char *content = text->length ? text->data : "";
    ashlar_message messages[2];
    size_t n = 0;

    if (!chat)
        return prompt_raw(engine, content, text->length, prompt, err);
    if (strlen(content) != text->length)
        return error_set(err, ASHLAR_BAD_INPUT, "the prompt has a NUL byte; a message cannot");
    if (set.system)
        messages[n++] = (ashlar_message){.role = "system", .content = set.system};
    messages[n++] = (ashlar_message){.role = "user", .content = content};
    return prompt_chat(engine, messages, n, chat_flags(), prompt, err);
}

static int print_json(const struct generator *g, const struct report *report,
                      const struct generation *result)
{
    ashlar_error err = {0};
    struct buf json;
    int code;

    buf_init(&json, SIZE_MAX);
    if (report_json(report, result, g, &json)) {
        code = cli_print(&json);
    } else {
        error_memory(&err, g->text.length, "JSON output");
        code = cli_fail(&err);
    }
    buf_fini(&json);
    return code;
}

/* What follows the generation: the JSON object, or a newline for the terminal; the statistics. */
static int finish(const struct generator *g, const struct report *report,
                  const struct generation *result)
{
    int code = ASHLAR_OK;

    if (set.json)
        code = print_json(g, report, result);
    else if (os_is_terminal(STDOUT_FILENO) && g->text.length > 0 &&
             g->text.data[g->text.length - 1] != '\n')
        output_bytes(STDOUT_FILENO, "\n", 1, "standard output", NULL);
    if (!set.quiet)
        report_line(report, result);
    if (code == ASHLAR_OK && result->reason == STOP_INTERRUPT)
        code = ASHLAR_CANCELLED;
    return code;
}

static int run_once(struct generator *g, const struct report *report, const struct buf *text)
{
    ashlar_error err = {0};
    struct prompt prompt = {0};
    struct generation result;

    ashlar_status status = make_prompt(g->engine, report->chat, text, &prompt, &err);
    if (status == ASHLAR_OK && set.echo && !set.json)
        status = output_bytes(STDOUT_FILENO, text->data, text->length, "standard output", &err);
    if (status == ASHLAR_OK)
        status = generate(g, prompt.ids, prompt.n, &result, &err);
    free(prompt.ids);
    return status == ASHLAR_OK ? finish(g, report, &result) : cli_fail(&err);
}

/* Everything from the open engine on; text == NULL means a chat on the terminal. */
static int run_engine(ashlar_engine *engine, const struct report *report, const struct buf *text)
{
    struct generator g;
    ashlar_error err = {0};
    int code;

    interrupt_watch(engine);
    if (init_generator(&g, engine, &err) != ASHLAR_OK) {
        code = cli_fail(&err);
    } else if (text) {
        code = run_once(&g, report, text);
    } else {
        struct chat_loop_options o = {.chat = report->chat, .quiet = set.quiet,
                                      .flags = chat_flags(), .system = set.system};
        code = chat_loop(&g, &o, report);
    }
    interrupt_watch(NULL);
    generator_fini(&g);
    return code;
}

int cmd_run(int argc, char **argv)
{
    ashlar_error err = {0};
    ashlar_engine *engine = NULL;
    struct report report;
    struct cli_ui ui;
    struct buf text;
    int code;

    set_defaults();
    if (!cli_parse(&command_run, argc, argv, NULL, NULL, &code))
        return code;
    bool interactive = !set.prompt && !set.file && os_is_terminal(STDIN_FILENO);
    buf_init(&text, PROMPT_MAX);
    ashlar_status status = check_settings(interactive, &err);
    if (set.seed == NO_SEED)
        draw_seed();
    if (status == ASHLAR_OK && !interactive)
        status = read_prompt(&text, &err);
    interrupt_install(); /* until here Ctrl-C simply ends the program */
    if (status == ASHLAR_OK)
        status = open_engine(&ui, interactive ? NULL : &text, &report, &engine, &err);
    code = status == ASHLAR_OK ? run_engine(engine, &report, interactive ? NULL : &text)
                               : cli_fail(&err);
    ashlar_engine_close(engine);
    buf_fini(&text);
    return code;
}
