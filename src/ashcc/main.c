/*
 * main.c: ashcc, the C compiler whose translator is a language model: what kind of command line is
 * it?
 */
#include "ashcc/arguments.h"
#include "ashcc/driver.h"
#include "ashcc/maintain.h"
#include "ashcc/manual.h"
#include "ashcc/process.h"
#include "ashcc/settings.h"
#include "ashcc/ui.h"
#include "ashcc/unit.h"
#include "base/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HELP_MAX = 1 << 20 };

/* A closed standard stream would give its number to the next file that is opened. */
static void occupy_standard_streams(void)
{
    /* the wrong way round: to use it stays an error, as it was */
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)!open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

static int print(void (*make)(struct buf *out))
{
    struct buf b;
    ashlar_error err = {0};
    buf_init(&b, HELP_MAX);
    make(&b);
    ashlar_status status = output_write(STDOUT_FILENO, &b, "standard output", &err);
    buf_fini(&b);
    return status == ASHLAR_OK ? 0 : ui_fail(&err);
}

/* The command line as it is, less ashcc's own options, for cc to answer. */
static int hand_over(const struct arguments *a)
{
    struct words command = {0};
    ashlar_error err = {0};
    words_add(&command, settings.cc);
    words_add_all(&command, &a->forward);
    process_become(&command, &err);
    words_fini(&command);
    return ui_fail(&err);
}

/* cc's own words first: build systems look for a compiler that they know in them. */
static int print_version(void)
{
    struct words command = {0};
    ashlar_error err = {0};
    int code = 0;
    words_add(&command, settings.cc);
    words_add(&command, "--version");
    ashlar_status status = process_run(&command, (struct process_mode){0}, &code, &err);
    words_fini(&command);
    if (status != ASHLAR_OK)
        return ui_fail(&err);
    printf("ashcc %s: the compiler named above preprocesses, assembles and links\n",
           ASHLAR_VERSION);
    return code;
}

static void list_notes(const struct arguments *a)
{
    if (!a->verbose || a->notes.n == 0)
        return;
    fputs("ashcc: options that mean nothing here:", stderr);
    for (int i = 0; i < a->notes.n; i++)
        fprintf(stderr, " %s", a->notes.items[i]);
    fputc('\n', stderr);
}

static bool is_maintenance(void)
{
    return settings.cache_stats || settings.cache_export || settings.cache_import;
}

static int compile(const struct arguments *a, char **argv)
{
    ashlar_error err = {0};
    if (a->refused && strcmp(settings.fallback, "cc") != 0) {
        error_set(&err, ASHLAR_USAGE, "option %s is not supported", a->refused);
        error_hint(&err, "with --fallback=cc such files are left to cc");
        return ui_fail(&err);
    }
    if (a->refused) {
        ui_warn("option %s is not supported: all of this is left to cc", a->refused);
        return hand_over(a);
    }
    list_notes(a);
    return driver_run(a, argv);
}

/* The order decides what wins: questions about ashcc, questions to cc, the cache, then
 * compiling. */
static int run(const struct arguments *a, char **argv)
{
    ashlar_error err = {0};
    if (settings.man)
        return print(manual_man);
    if (settings.completion)
        return print(manual_completion);
    if (a->version)
        return print_version();
    if (a->ask || a->stage == STAGE_PREPROCESS || (a->n_inputs == 0 && a->verbose))
        return hand_over(a);
    if (is_maintenance() && a->n_inputs == 0)
        return maintain_cache();
    if (a->n_inputs == 0) {
        error_set(&err, ASHLAR_USAGE, "no input files");
        error_hint(&err, "ashcc --help lists the options");
        return ui_fail(&err);
    }
    return compile(a, argv);
}

/* "--ashcc-unit INDEX FOLDER DRIVER" before the command line: see unit.h. */
struct unit_call {
    const char *index, *folder, *driver;
};

static int run_unit(const struct arguments *a, const struct unit_call *call)
{
    ashlar_error err = {0};
    int index = atoi(call->index);
    if (index < 0 || index >= a->n_inputs) {
        error_set(&err, ASHLAR_USAGE, "no input %s", call->index);
        return ui_fail(&err);
    }
    /* Should the driver be killed, nobody else would stop us. */
    process_follow_parent(atoi(call->driver));
    return unit_run(a, index, call->folder);
}

/* What was printed but is only now written may still fail: a full disk. */
static int end_output(int code)
{
    ashlar_error err = {0};
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    error_errno(&err, ASHLAR_FAILED, errno, "cannot write standard output");
    int failed = ui_fail(&err);
    return code ? code : failed;
}

int main(int argc, char **argv)
{
    struct arguments a;
    struct unit_call call = {0};
    ashlar_error err = {0};
    bool help = false;
    int none, code;

    occupy_standard_streams();
    if (argc > 4 && strcmp(argv[1], "--ashcc-unit") == 0) {
        call = (struct unit_call){argv[2], argv[3], argv[4]};
        /* the rest is the driver's command line, to be parsed as it was parsed there */
        argv[4] = argv[0];
        argv += 4;
        argc -= 4;
    }
    process_catch_signals();
    ashlar_status status = arguments_parse(&a, argc, argv, &err);
    if (status == ASHLAR_OK)
        status =
            options_parse(&command_ashcc, a.own.n, (char **)a.own.items, NULL, &none, &help, &err);
    if (status == ASHLAR_OK)
        status = settings_check(&err);
    if (!settings.cc)
        settings.cc = getenv("ASHCC_CC");
    if (!settings.cc || !settings.cc[0])
        settings.cc = "cc";
    /* also beside a mistake, as who asks for help may not know the options */
    if (help || (status != ASHLAR_OK && a.help))
        code = print(manual_help);
    else if (status != ASHLAR_OK)
        code = ui_fail(&err);
    else
        code = call.index ? run_unit(&a, &call) : run(&a, argv);
    arguments_fini(&a);
    return end_output(code);
}
