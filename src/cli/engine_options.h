/*
 * engine_options.h: the options that every command which opens an engine takes: threads, kernels,
 * weights and the KV cache. One table and one set of targets.
 */
#ifndef CLI_ENGINE_OPTIONS_H
#define CLI_ENGINE_OPTIONS_H

#include "ashlar.h"
#include "base/options.h"

/** For struct command's `shared`. */
extern const struct option engine_option_table[];

/** Set the targets to their defaults: before parsing. */
void engine_options_reset(void);

/** Carry the parsed values over. Errors: USAGE (--kv-budget is neither a size nor a fraction). */
ashlar_status engine_options_apply(ashlar_options *options, ashlar_error *err);

#endif
