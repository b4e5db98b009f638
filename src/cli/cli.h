/*
 * cli.h: what the subcommands of `ashlar` share: the table of commands, how errors and help leave
 * the program, standard output that notices a closed pipe, Ctrl-C, the prefill bar.
 *
 * A subcommand is one file cmd_NAME.c with two names: `const struct command command_NAME` (its
 * option table; the targets are file-level statics, so that help, man page and completions are made
 * from the same table) and `int cmd_NAME(int argc, char **argv)`, where argv[0] is the command's
 * name. It returns the exit code. main.c holds nothing but main, so that tests and tools can link
 * the rest.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "ashlar.h"
#include "base/options.h"
#include "base/text.h"

/* ---- the commands (commands.c) ------------------------------------------------------------- */

struct cli_command {
    const struct command *command;
    int (*run)(int argc, char **argv);
};

/** Every subcommand in the order of the manual; ended by command == NULL. */
extern const struct cli_command cli_commands[];

/** The entry of that name, or NULL. */
const struct cli_command *cli_find(const char *name);

/** USAGE "unknown command NAME", with the nearest name as hint; returns the exit code. */
int cli_unknown(const char *name);

extern const struct command command_run, command_bench, command_inspect, command_eval,
    command_calibrate, command_tune, command_version, command_help;

int cmd_run(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_eval(int argc, char **argv);
int cmd_calibrate(int argc, char **argv);
int cmd_tune(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_help(int argc, char **argv);

/* ---- errors, help (ui.c) ------------------------------------------------------------------- */

/** Print "ashlar: message" and, when there is one, "hint: ..." to stderr; returns the exit code. */
int cli_fail(const ashlar_error *err);

/**
 * options_parse plus its consequences. True: go on. False: *exit_code says how the program ends (0
 * after printing --help to stdout, 2 after a usage error). A command without operands may give
 * NULL for both.
 */
bool cli_parse(const struct command *command, int argc, char **argv, const char **operands,
               int *n_operands, int *exit_code);

/** Write the buffer to stdout; returns the exit code: 1, with a message, when that fails. */
int cli_print(const struct buf *b);

/* ---- Ctrl-C (interrupt.c) ------------------------------------------------------------------ */

/** Ignore SIGPIPE, catch SIGINT: the first stops the evaluation, a second one leaves with 130. */
void interrupt_install(void);

/** From here on Ctrl-C cancels this engine's evaluation (NULL: it only sets the flag). */
void interrupt_watch(ashlar_engine *engine);

/** Was Ctrl-C pressed since the last interrupt_clear? */
bool interrupt_seen(void);
void interrupt_clear(void);

/* ---- log and progress (ui.c) --------------------------------------------------------------- */

/** Where the library's words go. Must outlive the engine. */
struct cli_ui {
    bool quiet;
    struct progress_bar bar;
};

/** Set the callbacks of `options`: warnings and the bar on stderr; Ctrl-C cancels a long step. */
void cli_ui_init(struct cli_ui *ui, bool quiet, ashlar_options *options);

/* ---- memory before opening (memory.c) ------------------------------------------------------- */

/**
 * Check that the estimate for `options` fits the memory that is free now.
 * Errors: as ashlar_memory_estimate; NO_RESOURCE with both figures, and what to lower as hint.
 */
ashlar_status cli_check_memory(const char *path, const ashlar_options *options, ashlar_error *err);

/**
 * A context length for a user who named none: the model's training length if its KV cache fits a
 * quarter of the free memory, else the largest power of two that does, at least 4096; and no more
 * than `need` tokens when need > 0 (rounded up to 256).
 */
ashlar_status cli_default_context(const char *path, const ashlar_options *options, size_t need,
                                  int *n_ctx, ashlar_error *err);

#endif
