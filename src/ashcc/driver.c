/*
 * driver.c: see driver.h. For each C file: cc -E, then this program again for the one file
 * (unit.h), then cc -c of the assembler text; at the end cc links. A file that fails does not keep
 * the others from being compiled; the worst code is the program's.
 *
 * Invariant: an output appears under its name only when it is whole. All else is in one folder,
 * which is also the TMPDIR of everything that we start, and which is removed at the end.
 */
#include "ashcc/driver.h"

#include "ashcc/folder.h"
#include "ashcc/process.h"
#include "ashcc/settings.h"
#include "ashcc/ui.h"
#include "ashcc/unit.h"
#include "base/os.h"
#include "base/output.h"
#include "lego/json_line.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_MOST = 4096, REPORT_MAX = 1 << 30 };

struct driver {
    const struct arguments *a;
    char **argv;
    const char *cc;
    struct folder folder;
    char saved_tmpdir[PATH_MOST];
    bool had_tmpdir;
    struct words names;    /* owns the paths of outputs */
    int code;              /* worst so far */
};

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* "dir/x.c" -> "x.o": cc's rule for outputs without -o. */
static void with_suffix(char *out, size_t capacity, const char *name, const char *suffix)
{
    const char *dot = strrchr(base_name(name), '.');
    int n = dot ? (int)(dot - name) : (int)strlen(name);
    snprintf(out, capacity, "%.*s%s", n, name, suffix);
}

/* One step by cc; takes `command`, and frees it. `blame`: what a failure of cc means, bad input
 * where it read the user's source. */
static ashlar_status run(const struct driver *d, struct words *command, const char *what,
                         const char *path, struct buf *output, ashlar_status blame,
                         ashlar_error *err)
{
    int code;
    struct process_mode mode = {
        .show = d->a->verbose, .dry = d->a->dry_run, .output = output};
    ashlar_status status = process_run(command, mode, &code, err);
    if (status == ASHLAR_OK && code != 0)
        status = error_set(err, blame, "%s: %s failed (%s, status %d)", path, what,
                           command->items[0], code);
    words_fini(command);
    return status;
}

/* ---- preprocessing ---- */

/* The file that -MD writes; where the user named none, gcc's name. */
static const char *dependencies_of(struct driver *d, const struct input *in)
{
    const struct arguments *a = d->a;
    char name[PATH_MOST], program[PATH_MOST];
    if (a->dependency_file)
        return a->dependency_file;
    if (a->output && (a->stage != STAGE_LINK || a->n_inputs == 1)) {
        with_suffix(name, sizeof name, a->output, ".d");
        return words_keep(&d->names, "%s", name);
    }
    with_suffix(name, sizeof name, base_name(in->path), ".d");
    if (a->stage != STAGE_LINK)
        return words_keep(&d->names, "%s", name);
    with_suffix(program, sizeof program, a->output ? a->output : "a.out", "");
    return words_keep(&d->names, "%s-%s", program, name);
}

static void add_dependencies(struct driver *d, const struct input *in, struct words *command)
{
    const struct arguments *a = d->a;
    char name[PATH_MOST];
    words_add(command, a->dependencies);
    words_add(command, "-MF");
    words_printf(command, "%s", dependencies_of(d, in));
    words_add_all(command, &a->dependency_targets);
    if (a->dependency_targets.n)
        return;
    with_suffix(name, sizeof name, base_name(in->path), ".o");
    /* cc -E would not know the name that -o gives the object; -MQ quotes it for make */
    words_add(command, "-MQ");
    words_printf(command, "%s", a->output ? a->output : name);
}

static ashlar_status preprocess(struct driver *d, const struct input *in, struct buf *text,
                                ashlar_error *err)
{
    struct words command = {0};
    /* a failure of cc is the source's, so that what is the system's has to be found before */
    if (!d->a->dry_run && strcmp(in->path, "-") != 0 && access(in->path, R_OK) != 0)
        return error_errno(err, ASHLAR_FAILED, errno, "%s", in->path);
    words_add(&command, d->cc);
    words_add(&command, "-E");
    words_add_all(&command, &d->a->preprocess);
    if (d->a->dependencies)
        add_dependencies(d, in, &command);
    words_add(&command, "-x");
    words_add(&command, "c");
    words_add(&command, in->path);
    return run(d, &command, "preprocessing", in->path, text, ASHLAR_BAD_INPUT, err);
}

/* The preprocessed text, to where the unit looks for it. We write it, not cc, of which a full disk
 * could not be told from an error in the source. */
static ashlar_status put_text(struct driver *d, int index, ashlar_error *err)
{
    const struct input *in = &d->a->inputs[index];
    struct buf text;
    char path[PATH_MOST];
    buf_init(&text, REPORT_MAX);
    unit_path(path, sizeof path, d->folder.path, index, ".i");
    ashlar_status status = in->kind == INPUT_C ? preprocess(d, in, &text, err)
                                               : os_read_file(in->path, &text, err);
    if (status == ASHLAR_OK && !d->a->dry_run)
        status = output_write_file(path, &text, err);
    buf_fini(&text);
    return status;
}

/* ---- compiling ---- */

static ashlar_status run_unit(struct driver *d, int index, int *code, ashlar_error *err)
{
    struct words command = {0};
    /* this very program, whatever argv[0] and PATH say, and even if the file has been replaced */
    words_add(&command, "/proc/self/exe");
    words_add(&command, "--ashcc-unit");
    words_printf(&command, "%d", index);
    words_add(&command, d->folder.path);
    /* whom the unit follows into death (process_follow_parent) */
    words_printf(&command, "%d", (int)getpid());
    for (int i = 1; d->argv[i]; i++)
        words_add(&command, d->argv[i]);
    ashlar_status status =
        process_run(&command, (struct process_mode){.dry = d->a->dry_run}, code, err);
    words_fini(&command);
    /* 128 + signal, as a shell tells it */
    if (status == ASHLAR_OK && *code > 128 && *code != ASHLAR_CANCELLED) {
        status = error_set(err, ASHLAR_FAILED, "%s: the compiler crashed (%s)",
                           d->a->inputs[index].path, strsignal(*code - 128));
    }
    return status;
}

/* Output of a step under its final name: whole or not at all. */
static ashlar_status assemble(struct driver *d, const char *source, const char *language,
                              const char *name, const char *output, ashlar_error *err)
{
    struct words command = {0};
    char draft[PATH_MOST];
    output_draft(output, draft, sizeof draft);
    words_add(&command, d->cc);
    words_add(&command, "-c");
    words_add_all(&command, &d->a->assemble);
    if (strcmp(language, "assembler-with-cpp") == 0)
        words_add_all(&command, &d->a->preprocess);
    words_add(&command, "-x");
    words_add(&command, language);
    words_add(&command, source);
    words_add(&command, "-o");
    words_add(&command, draft);
    ashlar_status status = run(d, &command, "assembling", name, NULL, ASHLAR_FAILED, err);
    if (status == ASHLAR_OK && !d->a->dry_run)
        return output_commit(draft, output, err);
    output_discard(draft, output);
    return status;
}

/* A text of the unit's as the output; "-" is standard output, as for cc -S. */
static ashlar_status publish(struct driver *d, const char *path, const char *output,
                             ashlar_error *err)
{
    struct buf text;
    if (output && strcmp(output, "-") == 0)
        output = NULL;
    buf_init(&text, REPORT_MAX);
    ashlar_status status = d->a->dry_run ? ASHLAR_OK : os_read_file(path, &text, err);
    if (status == ASHLAR_OK && !d->a->dry_run)
        status = output ? output_write_file(output, &text, err)
                        : output_write(STDOUT_FILENO, &text, "standard output", err);
    buf_fini(&text);
    return status;
}

/* The name of what becomes of an input, in the stage that is asked for. */
static const char *output_of(struct driver *d, const struct input *in, int index)
{
    char name[PATH_MOST];
    if (d->a->stage == STAGE_LINK)
        return words_keep(&d->names, "%s/%d.o", d->folder.path, index);
    if (d->a->output)
        return d->a->output;
    with_suffix(name, sizeof name, base_name(in->path), d->a->stage == STAGE_OBJECT ? ".o" : ".s");
    return words_keep(&d->names, "%s", name);
}

static ashlar_status compile_c(struct driver *d, int index, int *code, ashlar_error *err)
{
    const struct input *in = &d->a->inputs[index];
    char path[PATH_MOST];
    ashlar_status status = put_text(d, index, err);
    if (status == ASHLAR_OK)
        status = run_unit(d, index, code, err);
    if (status != ASHLAR_OK || *code != 0)
        return status;
    unit_path(path, sizeof path, d->folder.path, index, ".s");
    if (settings.dump)
        return publish(d, path, d->a->output, err);
    if (d->a->stage == STAGE_ASSEMBLY)
        return publish(d, path, output_of(d, in, index), err);
    return assemble(d, path, "assembler", in->path, output_of(d, in, index), err);
}

static ashlar_status take_input(struct driver *d, int index, int *code, ashlar_error *err)
{
    const struct input *in = &d->a->inputs[index];
    *code = 0;
    switch (in->kind) {
    case INPUT_C:
    case INPUT_PREPROCESSED:
        return compile_c(d, index, code, err);
    case INPUT_ASSEMBLY:
    case INPUT_ASSEMBLY_CPP:
        if (d->a->stage == STAGE_ASSEMBLY || settings.dump)
            return ASHLAR_OK;
        return assemble(d, in->path,
                        in->kind == INPUT_ASSEMBLY ? "assembler" : "assembler-with-cpp", in->path,
                        output_of(d, in, index), err);
    case INPUT_LINKED:
        if (d->a->stage != STAGE_LINK)
            ui_warn("%s: not linked, since nothing is linked", in->path);
        return ASHLAR_OK;
    }
    return ASHLAR_OK;
}

/* ---- linking ---- */

/* Whether an object names functions of libatomic, as ashcc's do for atomic operations. */
static bool names_atomic(const char *path)
{
    struct buf bytes;
    buf_init(&bytes, (size_t)1 << 28);
    bool found = os_read_file(path, &bytes, NULL) == ASHLAR_OK && bytes.length > 0 &&
                 (memmem(bytes.data, bytes.length, "__atomic_", 9) ||
                  memmem(bytes.data, bytes.length, "atomic_thread_fence", 19));
    buf_fini(&bytes);
    return found;
}

static ashlar_status link_all(struct driver *d, ashlar_error *err)
{
    const struct arguments *a = d->a;
    const char *output = a->output ? a->output : "a.out";
    struct words command = {0};
    char draft[PATH_MOST];
    int next = 0;
    bool atomic = false;
    output_draft(output, draft, sizeof draft);
    words_add(&command, d->cc);
    for (int i = 0; i < a->link.n; i++) {
        bool input = next < a->n_inputs && a->inputs[next].place == i;
        if (input && a->inputs[next].kind != INPUT_LINKED)
            words_printf(&command, "%s/%d.o", d->folder.path, next);
        else
            words_add(&command, a->link.items[i]);
        /* inputs and link.items are in the same order */
        next += input;
        atomic |= input && !command.failed && names_atomic(command.items[command.n - 1]);
    }
    if (atomic && !a->dry_run)
        words_add(&command, "-latomic");
    words_add(&command, "-o");
    words_add(&command, draft);
    ashlar_status status = run(d, &command, "linking", output, NULL, ASHLAR_FAILED, err);
    if (status == ASHLAR_OK && !a->dry_run)
        return output_commit(draft, output, err);
    output_discard(draft, output);
    return status;
}

/* ---- the report, the check ---- */

/* What a unit left, onto files; nothing, where it failed before it could. */
static ashlar_status add_report(const struct driver *d, int index, json_t *files, struct buf *out,
                                ashlar_error *err)
{
    struct buf text;
    char path[PATH_MOST];
    unit_path(path, sizeof path, d->folder.path, index, ".json");
    if (access(path, F_OK) != 0)
        return ASHLAR_OK;
    buf_init(&text, REPORT_MAX);
    ashlar_status status = os_read_file(path, &text, err);
    /* a text of ours: what does not load does not fit into memory */
    if (status == ASHLAR_OK)
        json_line_add(out, files, json_loadb(text.data, text.length, 0, NULL));
    buf_fini(&text);
    return status;
}

/* {"ashcc": version, "files": [...]}. */
static ashlar_status write_report(struct driver *d, ashlar_error *err)
{
    struct buf out;
    json_t *files = json_array(), *all = json_object();
    ashlar_status status = ASHLAR_OK;
    buf_init(&out, REPORT_MAX);
    for (int i = 0; i < d->a->n_inputs && status == ASHLAR_OK; i++)
        status = add_report(d, i, files, &out, err);
    json_line_set(&out, all, "ashcc", json_string(ASHLAR_VERSION));
    json_line_set(&out, all, "files", files);
    json_line_append(&out, all);
    if (status == ASHLAR_OK)
        status = output_write_file(settings.report, &out, err);
    buf_fini(&out);
    return status;
}

/* The command runs outside our temporary folder, with the TMPDIR that the user has. An output that
 * fails it is removed, so that make does not take it for good. */
static ashlar_status check_result(struct driver *d, int *code, ashlar_error *err)
{
    const char *output = d->a->output ? d->a->output : d->a->stage == STAGE_LINK ? "a.out" : "";
    struct words command = {0};
    words_add(&command, "sh");
    words_add(&command, "-c");
    words_add(&command, settings.check);
    setenv("ASHCC_OUTPUT", output, 1);
    if (d->had_tmpdir)
        setenv("TMPDIR", d->saved_tmpdir, 1);
    else
        unsetenv("TMPDIR");
    int result;
    struct process_mode mode = {.show = d->a->verbose, .dry = d->a->dry_run};
    ashlar_status status = process_run(&command, mode, &result, err);
    words_fini(&command);
    if (status == ASHLAR_OK && result != 0) {
        fprintf(stderr, "ashcc: the check failed (status %d): %s\n", result, settings.check);
        if (output[0])
            unlink(output);
        *code = EXIT_NOT_ACCEPTED;
    }
    return status;
}

/* ---- the whole ---- */

/* Is there an output that could not be written in the end? Asked before a model works on it. */
static ashlar_status check_outputs(struct driver *d, ashlar_error *err)
{
    const struct arguments *a = d->a;
    bool makes_each = a->stage != STAGE_LINK && !settings.dump;
    ashlar_status status = ASHLAR_OK;
    for (int i = 0; i < a->n_inputs && status == ASHLAR_OK; i++) {
        const struct input *in = &a->inputs[i];
        if (in->kind == INPUT_C && a->dependencies)
            status = output_check(dependencies_of(d, in), err);
        if (status == ASHLAR_OK && in->kind != INPUT_LINKED && makes_each)
            status = output_check(output_of(d, in, i), err);
    }
    if (status == ASHLAR_OK && a->output)
        status = output_check(a->output, err);
    else if (status == ASHLAR_OK && a->stage == STAGE_LINK && !settings.dump)
        status = output_check("a.out", err);
    if (status == ASHLAR_OK && settings.report)
        status = output_check(settings.report, err);
    return status;
}

/* The worst code is the highest (0 to 5); an interrupt beats them all. */
static void note_code(struct driver *d, int code)
{
    if (code > d->code || code == ASHLAR_CANCELLED)
        d->code = code;
}

/* TMPDIR for all that we start: what cc leaves behind when it is killed goes with the folder. */
static ashlar_status begin(struct driver *d, ashlar_error *err)
{
    const char *tmpdir = getenv("TMPDIR");
    d->had_tmpdir = tmpdir != NULL;
    snprintf(d->saved_tmpdir, sizeof d->saved_tmpdir, "%s", tmpdir ? tmpdir : "");
    ashlar_status status = folder_make(&d->folder, err);
    if (status == ASHLAR_OK && setenv("TMPDIR", d->folder.path, 1) != 0)
        status = error_memory(err, sizeof d->folder.path, "the environment");
    return status;
}

static void run_all(struct driver *d)
{
    ashlar_error err = {0};
    int code = 0;
    for (int i = 0; i < d->a->n_inputs && d->code != ASHLAR_CANCELLED; i++) {
        err = (ashlar_error){0};
        ashlar_status status = take_input(d, i, &code, &err);
        note_code(d, status == ASHLAR_OK ? code : ui_fail(&err));
    }
    bool stopped = d->code == ASHLAR_CANCELLED || settings.dump;
    ashlar_status status = ASHLAR_OK;
    if (settings.report && !d->a->dry_run && d->code != ASHLAR_CANCELLED)
        status = write_report(d, &err);
    if (status == ASHLAR_OK && d->code == 0 && !stopped && d->a->stage == STAGE_LINK)
        status = link_all(d, &err);
    code = 0;
    if (status == ASHLAR_OK && d->code == 0 && !stopped && settings.check)
        status = check_result(d, &code, &err);
    note_code(d, status == ASHLAR_OK ? code : ui_fail(&err));
}

int driver_run(const struct arguments *a, char **argv)
{
    struct driver d = {.a = a, .argv = argv, .cc = settings.cc};
    ashlar_error err = {0};
    if ((a->dry_run || check_outputs(&d, &err) == ASHLAR_OK) && begin(&d, &err) == ASHLAR_OK)
        run_all(&d);
    else
        d.code = ui_fail(&err);
    folder_remove(&d.folder);
    words_fini(&d.names);
    return d.code;
}
