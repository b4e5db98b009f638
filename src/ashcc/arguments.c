/*
 * arguments.c: see arguments.h. One pass over the words: two dashes are looked for among ashcc's
 * own options first (settings.c), everything else in cc's table (cc_options.c).
 */
#include "ashcc/arguments.h"

#include "ashcc/cc_options.h"
#include "ashcc/settings.h"
#include "base/os.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* The depth ends a response file that names itself. */
enum { RESPONSE_MAX = 16 << 20, RESPONSE_DEPTH = 8 };

/* ---- response files ---- */

static void add_word(struct words *all, const struct buf *word)
{
    words_printf(all, "%s", word->data ? word->data : "");
}

/* Splits text as the shell would, quotes and backslashes kept simple. */
static bool split_words(struct words *all, const char *text)
{
    struct buf word;
    char quote = 0;
    bool begun = false;
    buf_init(&word, RESPONSE_MAX);
    for (; *text; text++) {
        bool space = !quote && isspace((unsigned char)*text);
        if (space && begun) {
            add_word(all, &word);
            buf_clear(&word);
        }
        if (space) {
            begun = false;
            continue;
        }
        begun = true;
        if (quote ? *text == quote : *text == '\'' || *text == '"')
            quote = quote ? 0 : *text;
        else if (*text == '\\' && text[1]) /* within quotes too, as gcc reads @FILE */
            buf_append(&word, ++text, 1);
        else
            buf_append(&word, text, 1);
    }
    if (begun)
        add_word(all, &word);
    bool ok = !word.failed;
    buf_fini(&word);
    return ok;
}

/* words_keep(): the words outlive `inner`, and everybody behind this borrows them from `all`. */
static ashlar_status expand(struct words *all, const char *word, int depth, ashlar_error *err)
{
    if (word[0] != '@' || !word[1]) {
        words_add(all, word);
        return ASHLAR_OK;
    }
    if (depth == RESPONSE_DEPTH)
        return error_set(err, ASHLAR_USAGE, "response files nest too deeply at %s", word);
    struct buf text;
    struct words inner = {0};
    buf_init(&text, RESPONSE_MAX);
    ashlar_status status = os_read_file(word + 1, &text, err);
    if (status == ASHLAR_OK && !split_words(&inner, text.length ? text.data : ""))
        status = error_memory(err, text.length, "a response file");
    for (int i = 0; i < inner.n && status == ASHLAR_OK; i++)
        status = expand(all, words_keep(all, "%s", inner.items[i]), depth + 1, err);
    words_fini(&inner);
    buf_fini(&text);
    return status;
}

/* ---- words ---- */

struct scan {
    struct arguments *a;
    const char *language; /* of -x; NULL: by suffix */
    int next;
    ashlar_error *err;
};

/* By suffix, as cc does; what is unknown is for the linker (a library, a linker script). */
static enum input_kind kind_by_suffix(const char *path)
{
    const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
    static const struct {
        const char *suffix;
        enum input_kind kind;
    } kinds[] = {{".c", INPUT_C}, {".i", INPUT_PREPROCESSED}, {".s", INPUT_ASSEMBLY},
                 {".S", INPUT_ASSEMBLY_CPP}, {".sx", INPUT_ASSEMBLY_CPP}};
    for (int i = 0; dot && i < 5; i++) {
        if (strcmp(dot, kinds[i].suffix) == 0)
            return kinds[i].kind;
    }
    return INPUT_LINKED;
}

/* -x wins over the suffix. Languages that cc would compile are refused instead of being linked as
 * text. */
static ashlar_status kind_of(const struct scan *scan, const char *path, enum input_kind *kind)
{
    static const char *const foreign[] = {".cc", ".cpp", ".cxx", ".C",  ".c++", ".m",
                                          ".mm", ".f",   ".f90", ".go", ".d",   ".h"};
    *kind = kind_by_suffix(path);
    const char *language = scan->language;
    if (language && strcmp(language, "c") == 0)
        *kind = INPUT_C;
    else if (language && strcmp(language, "cpp-output") == 0)
        *kind = INPUT_PREPROCESSED;
    else if (language && strcmp(language, "assembler") == 0)
        *kind = INPUT_ASSEMBLY;
    else if (language && strcmp(language, "assembler-with-cpp") == 0)
        *kind = INPUT_ASSEMBLY_CPP;
    else if (strcmp(path, "-") == 0)
        return error_set(scan->err, ASHLAR_USAGE, "standard input needs -x c or -E");
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && !language && i < sizeof foreign / sizeof foreign[0]; i++) {
        if (strcmp(dot, foreign[i]) == 0 && scan->a->stage != STAGE_PREPROCESS)
            return error_set(scan->err, ASHLAR_USAGE, "%s: only C and assembly are compiled here",
                             path);
    }
    return ASHLAR_OK;
}

static ashlar_status add_input(struct scan *scan, const char *path)
{
    struct arguments *a = scan->a;
    enum input_kind kind;
    ashlar_status status = kind_of(scan, path, &kind);
    if (status != ASHLAR_OK)
        return status;
    if (a->n_inputs == a->inputs_capacity) {
        int capacity = a->inputs_capacity ? a->inputs_capacity * 2 : 16;
        struct input *grown = realloc(a->inputs, (size_t)capacity * sizeof *grown);
        if (!grown)
            return error_memory(scan->err, (size_t)capacity * sizeof *grown, "the command line");
        a->inputs = grown;
        a->inputs_capacity = capacity;
    }
    /* the linker sees inputs and options in their order, so that libraries come behind what needs
     * them */
    a->inputs[a->n_inputs++] = (struct input){.path = path, .kind = kind, .place = a->link.n};
    words_add(&a->link, path);
    return ASHLAR_OK;
}

/* Is "--name" one of ashcc's own? *takes_value: and does its value follow as a word? */
static bool is_own(const char *word, bool *takes_value)
{
    *takes_value = false;
    if (strncmp(word, "--", 2) != 0)
        return false;
    size_t length = strcspn(word + 2, "=");
    /* gcc's --help=CLASS is not ours */
    if (length == 4 && strncmp(word + 2, "help", 4) == 0 && word[6] == '\0')
        return true;
    for (const struct option *o = option_next(&command_ashcc, NULL); o;
         o = option_next(&command_ashcc, o)) {
        bool flag = o->kind == OPTION_FLAG;
        if (strlen(o->name) == length && strncmp(o->name, word + 2, length) == 0) {
            *takes_value = !flag && !word[2 + length];
            return true;
        }
        if (flag && strncmp(word + 2, "no-", 3) == 0 && strcmp(o->name, word + 5) == 0)
            return true;
    }
    return false;
}

/* Only names with two dashes are likened to ours: cc's are too short and too many to guess at. */
static ashlar_status unknown(struct scan *scan, const char *word)
{
    const char *names[512];
    int n = 0;
    for (const struct option *o = option_next(&command_ashcc, NULL); o;
         o = option_next(&command_ashcc, o))
        names[n++] = o->name;
    const char *near = word[1] == '-' ? nearest_word(word + 2, names, n) : NULL;
    error_set(scan->err, ASHLAR_USAGE, "unknown option %s", word);
    if (near)
        error_hint(scan->err, "did you mean --%s?", near);
    else
        error_hint(scan->err, "ashcc --help lists the options");
    return ASHLAR_USAGE;
}

static ashlar_status set_language(struct scan *scan, const char *value)
{
    static const char *const known[] = {"c", "cpp-output", "assembler", "assembler-with-cpp"};
    scan->language = NULL;
    if (strcmp(value, "none") == 0)
        return ASHLAR_OK;
    for (int i = 0; i < 4; i++) {
        if (strcmp(value, known[i]) == 0)
            scan->language = known[i];
    }
    if (!scan->language)
        return error_set(scan->err, ASHLAR_USAGE, "option -x: language %s is not compiled here",
                         value);
    return ASHLAR_OK;
}

static ashlar_status act(struct scan *scan, const struct cc_option *o, const char *value)
{
    struct arguments *a = scan->a;
    switch (o->action) {
    case CC_OUTPUT:
        a->output = value;
        break;
    case CC_COMPILE:
        /* the earliest stop wins, as in cc: -S -c gives assembly */
        a->stage = a->stage > STAGE_OBJECT ? a->stage : STAGE_OBJECT;
        break;
    case CC_ASSEMBLY:
        a->stage = a->stage > STAGE_ASSEMBLY ? a->stage : STAGE_ASSEMBLY;
        break;
    case CC_ONLY_PREPROCESS:
        a->stage = STAGE_PREPROCESS;
        break;
    case CC_LANGUAGE:
        return set_language(scan, value);
    case CC_DEBUG:
    case CC_NO_DEBUG:
        a->debug = o->action == CC_DEBUG;
        break;
    case CC_PIC:
    case CC_NO_PIC:
        a->pic = o->action == CC_PIC;
        break;
    case CC_WRAPS:
    case CC_NO_WRAPS:
        a->wraps = o->action == CC_WRAPS;
        break;
    case CC_VERBOSE:
        a->verbose = true;
        break;
    case CC_DRY_RUN:
        a->verbose = a->dry_run = true;
        break;
    case CC_DEPENDENCIES:
        a->dependencies = o->name;
        break;
    case CC_DEPENDENCY_FILE:
        a->dependency_file = value;
        break;
    case CC_DEPENDENCY_TARGET:
        words_add(&a->dependency_targets, o->name);
        words_add(&a->dependency_targets, value);
        break;
    case CC_VERSION:
        a->version = true;
        break;
    case CC_NOTHING:
        break;
    }
    return ASHLAR_OK;
}

/* One option of cc and, where it has one, its value: to whom they concern. */
static ashlar_status take_option(struct scan *scan, const char *word)
{
    struct arguments *a = scan->a;
    const struct cc_option *o = cc_option_find(word);
    if (!o)
        return unknown(scan, word);
    size_t length = strlen(o->name);
    const char *value = o->shape != CC_SEPARATE && word[length] ? word + length : NULL,
               *following = NULL;
    if (!value && (o->shape == CC_SEPARATE || o->shape == CC_EITHER)) {
        if (scan->next == a->all.n)
            return error_set(scan->err, ASHLAR_USAGE, "option %s needs a value", word);
        following = value = a->all.items[scan->next++];
    }
    /* in the order of the role bits (cc_options.h) */
    struct words *lists[] = {&a->preprocess, &a->read, &a->assemble, &a->link, &a->notes};
    for (int i = 0; i < 5; i++) {
        if (!(o->roles & 1u << i))
            continue;
        words_add(lists[i], word);
        /* notes are for a message that names options, not values */
        if (following && lists[i] != &a->notes)
            words_add(lists[i], following);
    }
    words_add(&a->forward, word);
    if (following)
        words_add(&a->forward, following);
    a->ask |= (o->roles & CC_ASK) != 0;
    /* not an error yet: with -E, or a question to cc, cc gets the whole line */
    if ((o->roles & CC_REFUSE) && !a->refused)
        a->refused = word;
    return act(scan, o, value);
}

static ashlar_status take_word(struct scan *scan, const char *word)
{
    struct arguments *a = scan->a;
    bool takes_value;
    if (is_own(word, &takes_value)) {
        words_add(&a->own, word);
        a->help |= strcmp(word, "--help") == 0;
        if (takes_value && scan->next < a->all.n)
            words_add(&a->own, a->all.items[scan->next++]);
        return ASHLAR_OK;
    }
    /* "-" alone is standard input */
    if (word[0] == '-' && word[1])
        return take_option(scan, word);
    words_add(&a->forward, word);
    return add_input(scan, word);
}

/* -E reads standard input whatever it is; so the stage must be known before the inputs are looked
 * at. */
static void find_stage(struct arguments *a)
{
    for (int i = 0; i < a->all.n; i++) {
        if (strcmp(a->all.items[i], "-E") == 0)
            a->stage = STAGE_PREPROCESS;
    }
}

ashlar_status arguments_parse(struct arguments *a, int argc, char **argv, ashlar_error *err)
{
    *a = (struct arguments){.stage = STAGE_LINK};
    ashlar_status status = ASHLAR_OK;
    for (int i = 1; i < argc && status == ASHLAR_OK; i++)
        status = expand(&a->all, argv[i], 0, err);
    words_add(&a->own, argv[0]);
    find_stage(a);
    struct scan scan = {.a = a, .err = err};
    if (a->stage == STAGE_PREPROCESS)
        scan.language = "c";
    while (scan.next < a->all.n && status == ASHLAR_OK)
        status = take_word(&scan, a->all.items[scan.next++]);
    /* a list that could not grow remembers it; asked once, here */
    bool failed = a->all.failed || a->preprocess.failed || a->read.failed || a->assemble.failed ||
                  a->link.failed || a->notes.failed || a->forward.failed || a->own.failed ||
                  a->dependency_targets.failed;
    if (status == ASHLAR_OK && failed)
        status = error_memory(err, 0, "the command line");
    /* each would overwrite the one before */
    if (status == ASHLAR_OK && a->output && a->n_inputs > 1 && a->stage != STAGE_LINK)
        status = error_set(err, ASHLAR_USAGE,
                           "-o with several files needs linking: without -c, -S and -E");
    return status;
}

void arguments_fini(struct arguments *a)
{
    struct words *lists[] = {&a->preprocess, &a->read, &a->assemble, &a->link, &a->notes,
                             &a->forward, &a->own, &a->dependency_targets, &a->all};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        words_fini(lists[i]);
    free(a->inputs);
    *a = (struct arguments){0};
}
