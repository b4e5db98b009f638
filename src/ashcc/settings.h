/*
 * settings.h: ashcc's own options, those with two dashes, as one table for the parser, --help, the
 * manual and the completions.
 */
#ifndef ASHCC_SETTINGS_H
#define ASHCC_SETTINGS_H

#include "base/options.h"

#include <stdint.h>

struct settings {
    struct option_list translators, endpoints;
    const char *model, *api_model, *api_key_variable, *prompt;
    float temperature, timeout_seconds;
    int max_tokens, retries, threads;
    int samples, repairs, jobs, vectors, differential;
    const char *granularity, *verify, *cache, *fallback, *dump;
    uint64_t seed;
    const char *report, *check, *cc;
    bool coarser, explain, cache_stats, man, completion, quiet;
    const char *cache_export, *cache_import;
};

/** The values, set by options_parse(&command_ashcc, ...). */
extern struct settings settings;
extern const struct command command_ashcc;

/** Options that name one of several words, checked. Errors: USAGE, listing the words. */
ashlar_status settings_check(ashlar_error *err);

#endif
