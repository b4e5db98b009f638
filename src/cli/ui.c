/*
 * ui.c: what the user sees besides data: errors, help, warnings, the progress bar. All of it goes
 * to stderr, except help that was asked for.
 */
#include "base/output.h"
#include "cli/cli.h"

#include <stdio.h>
#include <unistd.h>

enum { HELP_MAX = 1 << 20 };

int cli_fail(const ashlar_error *err)
{
    const char *message = err->message[0] ? err->message : "failed";

    fprintf(stderr, "ashlar: %s\n", message);
    if (err->hint[0])
        fprintf(stderr, "hint: %s\n", err->hint);
    return (int)err->status;
}

int cli_print(const struct buf *b)
{
    ashlar_error err = {0};

    if (b->failed)
        error_memory(&err, b->length, "output");
    else
        output_bytes(STDOUT_FILENO, b->data, b->length, "standard output", &err);
    return err.status == ASHLAR_OK ? ASHLAR_OK : cli_fail(&err);
}

static int print_help(const struct command *command)
{
    struct buf b;

    buf_init(&b, HELP_MAX);
    options_help(command, &b);
    int code = cli_print(&b);
    buf_fini(&b);
    return code;
}

bool cli_parse(const struct command *command, int argc, char **argv, const char **operands,
               int *n_operands, int *exit_code)
{
    ashlar_error err = {0};
    bool help = false;
    int none;

    if (!n_operands)
        n_operands = &none;
    if (options_parse(command, argc, argv, operands, n_operands, &help, &err) != ASHLAR_OK) {
        if (!err.hint[0])
            error_hint(&err, "ashlar help %s lists the options", command->name);
        *exit_code = cli_fail(&err);
        return false;
    }
    if (help) {
        *exit_code = print_help(command);
        return false;
    }
    return true;
}

static void on_log(void *user, ashlar_log_level level, const char *line)
{
    struct cli_ui *ui = user;

    if (ui->quiet || level < ASHLAR_LOG_WARN)
        return;
    progress_clear(&ui->bar);
    fprintf(stderr, "ashlar: warning: %s\n", line);
}

static bool on_progress(void *user, const char *what, uint64_t done, uint64_t total)
{
    struct cli_ui *ui = user;

    if (!ui->quiet) {
        progress_update(&ui->bar, what, done, total);
        if (done >= total)
            progress_clear(&ui->bar);
    }
    return !interrupt_seen();
}

void cli_ui_init(struct cli_ui *ui, bool quiet, ashlar_options *options)
{
    ui->quiet = quiet;
    progress_init(&ui->bar, STDERR_FILENO);
    options->log = on_log;
    options->log_user = ui;
    options->progress = on_progress;
    options->progress_user = ui;
}
