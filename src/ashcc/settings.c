/*
 * settings.c: the table of ashcc's own options; see settings.h. cc's options are in cc_options.c.
 */
#include "ashcc/settings.h"

#include <string.h>

/* The defaults; the texts below and the man page repeat them in brackets, for the reader. */
struct settings settings = {
    .temperature = 0.8f, .timeout_seconds = 600, .max_tokens = 4096, .retries = 4,
    .samples = 5, .repairs = 3, .jobs = 8, .vectors = 1000,
    .granularity = "auto", .verify = "test", .fallback = "error", .seed = 1,
};

/* In the order of --help and of the man page. */
static const struct option options[] = {
    {"translator", 0, OPTION_LIST, &settings.translators, 0, 0, "NAME",
     "who translates: model, http or replay:FILE; repeat it to have several asked in order (http "
     "with --endpoint, else model)"},
    {"model", 0, OPTION_STRING, &settings.model, 0, 0, "FILE",
     "the model that runs in this process (GGUF; the one that is installed with ashcc)"},
    {"threads", 0, OPTION_INT, &settings.threads, 1, 1024, "N",
     "threads of the model (one per core)"},
    {"endpoint", 0, OPTION_LIST, &settings.endpoints, 0, 0, "URL",
     "an OpenAI-compatible server, http://host:port/v1; repeat it to use several at once"},
    {"api-model", 0, OPTION_STRING, &settings.api_model, 0, 0, "NAME", "the model's name there"},
    {"api-key-env", 0, OPTION_STRING, &settings.api_key_variable, 0, 0, "NAME",
     "the environment variable that holds the key"},
    {"prompt", 0, OPTION_STRING, &settings.prompt, 0, 0, "FILE",
     "a prompt of your own, for --endpoint and chat models"},
    {"temperature", 0, OPTION_FLOAT, &settings.temperature, 0, 5, "X",
     "of samples after the first, which is at 0 (0.8)"},
    {"max-tokens", 0, OPTION_INT, &settings.max_tokens, 16, 1 << 20, "N",
     "most tokens of an answer (4096)"},
    {"timeout", 0, OPTION_FLOAT, &settings.timeout_seconds, 0.1, 1e6, "SECONDS",
     "of one request (600)"},
    {"retries", 0, OPTION_INT, &settings.retries, 0, 100, "N",
     "tries again of a request that failed (4)"},
    {"samples", 0, OPTION_INT, &settings.samples, 1, 1000, "K", "answers to ask for per block (5)"},
    {"repairs", 0, OPTION_INT, &settings.repairs, 0, 1000, "N",
     "then answers that are told what was wrong (3)"},
    {"jobs", 0, OPTION_INT, &settings.jobs, 1, 256, "N", "requests at once (8)"},
    {"granularity", 0, OPTION_STRING, &settings.granularity, 0, 0, "SIZE",
     "function, block, statement, operation, or auto: start where the translator is good, go finer "
     "where it fails (auto)"},
    {"coarser", 0, OPTION_FLAG, &settings.coarser, 0, 0, NULL,
     "with auto: ask once for blocks a step larger than the translator is good at; larger blocks "
     "make faster code"},
    {"verify", 0, OPTION_STRING, &settings.verify, 0, 0, "LEVEL",
     "assemble: accept what assembles; test: what behaves as its C does (test)"},
    {"vectors", 0, OPTION_INT, &settings.vectors, 1, 1000000, "N",
     "machine states per block (1000)"},
    {"seed", 0, OPTION_U64, &settings.seed, 0, 0, "N", "of the machine states (1)"},
    {"cache", 0, OPTION_STRING, &settings.cache, 0, 0, "DIR",
     "where accepted fragments are kept, or off ($XDG_CACHE_HOME/ashlar)"},
    {"fallback", 0, OPTION_STRING, &settings.fallback, 0, 0, "WHO",
     "for a function that is not accepted: error, or cc compiles it (error)"},
    {"report", 0, OPTION_STRING, &settings.report, 0, 0, "FILE",
     "write what became of every block, as JSON"},
    {"explain", 0, OPTION_FLAG, &settings.explain, 0, 0, NULL,
     "print every block: source, fragment, verdict, failing values"},
    {"dump", 0, OPTION_STRING, &settings.dump, 0, 0, "PASS",
     "print what a pass made and stop: ast, ir, blocks, pairs, asm"},
    {"check", 0, OPTION_STRING, &settings.check, 0, 0, "COMMAND",
     "then run a shell command on the result ($ASHCC_OUTPUT); when it fails, so does the "
     "compilation"},
    {"differential", 0, OPTION_INT, &settings.differential, 1, 1000000, "N",
     "then call every function with N made argument vectors, beside the same function compiled by "
     "cc, and compare; a difference fails the compilation"},
    {"cache-stats", 0, OPTION_FLAG, &settings.cache_stats, 0, 0, NULL,
     "count what the cache holds"},
    {"cache-export", 0, OPTION_STRING, &settings.cache_export, 0, 0, "FILE",
     "write the cache as JSON lines (- for standard output)"},
    {"cache-import", 0, OPTION_STRING, &settings.cache_import, 0, 0, "FILE",
     "add such lines to the cache; they are verified when they are used"},
    {"cc", 0, OPTION_STRING, &settings.cc, 0, 0, "COMMAND",
     "who preprocesses, assembles and links ($ASHCC_CC, else cc)"},
    {"quiet", 0, OPTION_FLAG, &settings.quiet, 0, 0, NULL, "no progress, no summary, no warnings"},
    {"man", 0, OPTION_FLAG, &settings.man, 0, 0, NULL, "print the manual as man page source"},
    {"completion", 0, OPTION_FLAG, &settings.completion, 0, 0, NULL,
     "print a completion script for bash"},
    {0},
};

const struct command command_ashcc = {
    .name = "ashcc",
    .usage = "ashcc [options] file...",
    .summary = "compile C, with a language model as the code generator",
    .options = options,
    .operands = "file",
    .max_operands = 0,
};

/* A word of a list, or nothing given. The list in the message is made of the words, so that it
 * cannot lag behind. */
static ashlar_status one_of(const char *option, const char *value, const char *const *words, int n,
                            ashlar_error *err)
{
    char list[128] = "";
    for (int i = 0; i < n; i++) {
        if (!value || strcmp(value, words[i]) == 0)
            return ASHLAR_OK;
        size_t used = strlen(list);
        const char *before = i == 0 ? "" : i == n - 1 ? " or " : ", ";
        if (used + strlen(before) + strlen(words[i]) < sizeof list)
            strcat(strcat(list, before), words[i]);
    }
    error_set(err, ASHLAR_USAGE, "option --%s: '%s' is not %s", option, value, list);
    const char *near = nearest_word(value, words, n);
    if (near)
        error_hint(err, "did you mean %s?", near);
    return ASHLAR_USAGE;
}

/* What the table's ranges cannot say. unit.c compares these words again, trusting that they are
 * among them. */
ashlar_status settings_check(ashlar_error *err)
{
    static const char *const sizes[] = {"auto", "function", "block", "statement", "operation"};
    static const char *const levels[] = {"test", "assemble"};
    static const char *const fallbacks[] = {"error", "cc"};
    static const char *const passes[] = {"ast", "ir", "blocks", "pairs", "asm"};
    ashlar_status status = one_of("granularity", settings.granularity, sizes, 5, err);
    if (status == ASHLAR_OK)
        status = one_of("verify", settings.verify, levels, 2, err);
    if (status == ASHLAR_OK)
        status = one_of("fallback", settings.fallback, fallbacks, 2, err);
    if (status == ASHLAR_OK)
        status = one_of("dump", settings.dump, passes, 5, err);
    return status;
}
