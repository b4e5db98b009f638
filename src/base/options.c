/*
 * options.c: parsing a command line against a table of options.
 *
 * One pass over argv. A value is whatever follows, even when it starts with a dash (a prompt or a
 * negative number may); options and operands may be mixed; nothing is reordered. What the table
 * says in other forms (help text, man page, completion) is in options_text.c.
 */
#include "base/options.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Where the pass stands. */
struct scan {
    const struct command *command;
    int argc, next;
    char **argv;
    bool help;
    ashlar_error *err;
};

bool parse_size(const char *text, uint64_t *bytes)
{
    static const char letters[] = "KMGT";
    const char *p = text;
    uint64_t whole = 0;
    if (*p < '0' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (__builtin_mul_overflow(whole, (uint64_t)10, &whole) ||
            __builtin_add_overflow(whole, (uint64_t)(*p - '0'), &whole)) {
            return false;
        }
    }
    double fraction = 0, place = 0.1;
    bool fractional = *p == '.';
    if (fractional) {
        for (p++; *p >= '0' && *p <= '9'; p++, place /= 10)
            fraction += place * (*p - '0');
        if (p[-1] == '.')
            return false;
    }
    uint64_t unit = 1;
    if (*p) {
        char upper = *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
        const char *letter = strchr(letters, upper);
        if (!letter)
            return false;
        unit <<= 10 * (letter - letters + 1);
        p++;
        if (strcmp(p, "iB") == 0)
            p += 2;
    }
    if (*p || (fractional && unit == 1) || __builtin_mul_overflow(whole, unit, &whole))
        return false;
    return !__builtin_add_overflow(whole, (uint64_t)(fraction * (double)unit), bytes);
}

#define WORD_MAX 40

/* Levenshtein distance by rows; words longer than WORD_MAX are far from everything. */
static int edit_distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    int row[WORD_MAX + 1];
    if (n > WORD_MAX || m > WORD_MAX)
        return WORD_MAX;
    for (size_t j = 0; j <= m; j++)
        row[j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int replace = diagonal + (a[i - 1] != b[j - 1]);
            int shorter = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = replace < shorter ? replace : shorter;
        }
    }
    return row[m];
}

const char *nearest_word(const char *word, const char *const *candidates, int n)
{
    const char *best = NULL;
    int best_distance = 4;
    int length = (int)strnlen(word, WORD_MAX + 1);
    for (int i = 0; i < n; i++) {
        int distance = edit_distance(word, candidates[i]);
        /* Three edits make any short word of any other: something must be left in common. */
        if (distance < best_distance && distance * 2 <= length + 1) {
            best = candidates[i];
            best_distance = distance;
        }
    }
    return best;
}

static const struct option *first_of(const struct option *table)
{
    return table && table->name ? table : NULL;
}

const struct option *option_next(const struct command *command, const struct option *option)
{
    if (!option) {
        const struct option *first = first_of(command->options);
        return first ? first : first_of(command->shared);
    }
    if (option[1].name)
        return option + 1;
    /* The end of a table: of the shared one when `option` lies in it. */
    for (const struct option *o = first_of(command->shared); o && o->name; o++) {
        if (o == option)
            return NULL;
    }
    return first_of(command->shared);
}

static ashlar_status unknown_option(struct scan *scan, const char *name, size_t length)
{
    const char *names[128];
    int n = 0;
    for (const struct option *o = option_next(scan->command, NULL); o && n < 127;
         o = option_next(scan->command, o)) {
        names[n++] = o->name;
    }
    names[n++] = "help";
    char word[WORD_MAX + 2];
    size_t copied = length < sizeof word - 1 ? length : sizeof word - 1;
    memcpy(word, name, copied);
    word[copied] = '\0';
    const char *nearest = nearest_word(word, names, n);
    error_set(scan->err, ASHLAR_USAGE, "unknown option --%.*s", (int)length, name);
    if (nearest) {
        error_hint(scan->err, "did you mean --%s?", nearest);
    } else {
        error_hint(scan->err, "--help lists the options");
    }
    return ASHLAR_USAGE;
}

static ashlar_status parse_int(const struct option *o, const char *value, ashlar_error *err)
{
    char *end;
    errno = 0;
    long long n = strtoll(value, &end, 10);
    bool bounded = o->min != 0 || o->max != 0;
    if (end == value || *end || value[0] == ' ') {
        return error_set(err, ASHLAR_USAGE, "option --%s: '%s' is not a whole number", o->name,
                         value);
    }
    if (bounded && (double)n < o->min) {
        return error_set(err, ASHLAR_USAGE, "option --%s: %s is below %.0f", o->name, value,
                         o->min);
    }
    if (bounded && (double)n > o->max) {
        return error_set(err, ASHLAR_USAGE, "option --%s: %s is above %.0f", o->name, value,
                         o->max);
    }
    if (errno == ERANGE || n < INT32_MIN || n > INT32_MAX)
        return error_set(err, ASHLAR_USAGE, "option --%s: %s is out of range", o->name, value);
    *(int *)o->target = (int)n;
    return ASHLAR_OK;
}

static ashlar_status parse_u64(const struct option *o, const char *value, ashlar_error *err)
{
    char *end = NULL;
    errno = 0;
    bool hex = value[0] == '0' && (value[1] == 'x' || value[1] == 'X');
    const char *digits = hex ? value + 2 : value;
    bool plain = (*digits >= '0' && *digits <= '9') ||
                 (hex && strchr("abcdefABCDEF", *digits) && *digits);
    unsigned long long n = plain ? strtoull(digits, &end, hex ? 16 : 10) : 0;
    if (!plain || *end) {
        return error_set(err, ASHLAR_USAGE,
                         "option --%s: '%s' is not a whole number of 0 or more", o->name, value);
    }
    if (errno == ERANGE)
        return error_set(err, ASHLAR_USAGE, "option --%s: %s does not fit 64 bits", o->name, value);
    *(uint64_t *)o->target = n;
    return ASHLAR_OK;
}

static ashlar_status parse_float(const struct option *o, const char *value, ashlar_error *err)
{
    char *end;
    float x = strtof(value, &end);
    bool bounded = o->min != 0 || o->max != 0;
    if (end == value || *end || value[0] == ' ' || !isfinite(x))
        return error_set(err, ASHLAR_USAGE, "option --%s: '%s' is not a number", o->name, value);
    /* Compared as float: an upper bound of 0.1 admits "0.1". */
    if (bounded && x < (float)o->min)
        return error_set(err, ASHLAR_USAGE, "option --%s: %s is below %g", o->name, value, o->min);
    if (bounded && x > (float)o->max)
        return error_set(err, ASHLAR_USAGE, "option --%s: %s is above %g", o->name, value, o->max);
    *(float *)o->target = x;
    return ASHLAR_OK;
}

static ashlar_status store(const struct option *o, const char *value, ashlar_error *err)
{
    struct option_list *list;
    switch (o->kind) {
    case OPTION_INT:
        return parse_int(o, value, err);
    case OPTION_U64:
        return parse_u64(o, value, err);
    case OPTION_FLOAT:
        return parse_float(o, value, err);
    case OPTION_SIZE:
        if (!parse_size(value, o->target)) {
            error_set(err, ASHLAR_USAGE, "option --%s: '%s' is not a size", o->name, value);
            error_hint(err, "a number of bytes, or one with K, M, G or T: 512M, 1.5G");
            return ASHLAR_USAGE;
        }
        return ASHLAR_OK;
    case OPTION_STRING:
        *(const char **)o->target = value;
        return ASHLAR_OK;
    case OPTION_LIST:
        list = o->target;
        if (list->n == (int)(sizeof list->items / sizeof list->items[0])) {
            return error_set(err, ASHLAR_USAGE, "option --%s: given more than %d times", o->name,
                             list->n);
        }
        list->items[list->n++] = value;
        return ASHLAR_OK;
    case OPTION_FLAG:
        break;
    }
    assert(!"an option kind without a value");
    return ASHLAR_OK;
}

/* Store the value that is attached (not NULL) or else the next argument. */
static ashlar_status take_value(struct scan *scan, const struct option *o, const char *attached)
{
    if (!attached && scan->next == scan->argc) {
        return error_set(scan->err, ASHLAR_USAGE, "option --%s needs a value (%s)", o->name,
                         o->argument);
    }
    return store(o, attached ? attached : scan->argv[scan->next++], scan->err);
}

static const struct option *find_long(const struct command *c, const char *name, size_t length)
{
    for (const struct option *o = option_next(c, NULL); o; o = option_next(c, o)) {
        if (strlen(o->name) == length && memcmp(o->name, name, length) == 0)
            return o;
    }
    return NULL;
}

/* `text` is what follows "--". */
static ashlar_status parse_long(struct scan *scan, const char *text)
{
    size_t length = strcspn(text, "=");
    const char *attached = text[length] ? text + length + 1 : NULL;
    const struct option *o = find_long(scan->command, text, length);
    bool on = true;
    if (!o && length > 3 && memcmp(text, "no-", 3) == 0) {
        o = find_long(scan->command, text + 3, length - 3);
        on = false;
        if (o && o->kind != OPTION_FLAG)
            o = NULL;
    }
    if (!o && length == 4 && memcmp(text, "help", 4) == 0) {
        scan->help = true;
        return ASHLAR_OK;
    }
    if (!o)
        return unknown_option(scan, text, length);
    if (o->kind != OPTION_FLAG)
        return take_value(scan, o, attached);
    if (attached) {
        return error_set(scan->err, ASHLAR_USAGE, "option --%.*s takes no value", (int)length,
                         text);
    }
    *(bool *)o->target = on;
    return ASHLAR_OK;
}

/* Letters behind one dash: flags, then at most one option with its value attached or following. */
static ashlar_status parse_short(struct scan *scan, const char *letters)
{
    for (; *letters; letters++) {
        const struct option *o = option_next(scan->command, NULL);
        while (o && o->letter != *letters)
            o = option_next(scan->command, o);
        if (!o && *letters == 'h') {
            scan->help = true;
            return ASHLAR_OK;
        }
        if (!o) {
            error_set(scan->err, ASHLAR_USAGE, "unknown option -%c", *letters);
            error_hint(scan->err, "--help lists the options");
            return ASHLAR_USAGE;
        }
        if (o->kind != OPTION_FLAG)
            return take_value(scan, o, letters[1] ? letters + 1 : NULL);
        *(bool *)o->target = true;
    }
    return ASHLAR_OK;
}

static ashlar_status parse_all(struct scan *scan, const char **operands, int *n_operands)
{
    const struct command *c = scan->command;
    bool options_ended = false;
    while (scan->next < scan->argc && !scan->help) {
        const char *argument = scan->argv[scan->next++];
        ashlar_status status = ASHLAR_OK;
        if (!options_ended && strcmp(argument, "--") == 0) {
            options_ended = true;
        } else if (!options_ended && strncmp(argument, "--", 2) == 0) {
            status = parse_long(scan, argument + 2);
        } else if (!options_ended && argument[0] == '-' && argument[1]) {
            status = parse_short(scan, argument + 1);
        } else if (*n_operands == c->max_operands) {
            status = error_set(scan->err, ASHLAR_USAGE, "unexpected argument '%s'", argument);
            error_hint(scan->err, "usage: %s", c->usage);
        } else {
            operands[(*n_operands)++] = argument;
        }
        if (status != ASHLAR_OK)
            return status;
    }
    if (!scan->help && *n_operands < c->min_operands) {
        error_set(scan->err, ASHLAR_USAGE, "missing argument: %s", c->operands);
        error_hint(scan->err, "usage: %s", c->usage);
        return ASHLAR_USAGE;
    }
    return ASHLAR_OK;
}

/* After a mistake: was help asked for in what was not read? Then help is the best answer. */
static bool help_follows(const struct scan *scan)
{
    for (int i = scan->next; i < scan->argc && strcmp(scan->argv[i], "--") != 0; i++) {
        if (strcmp(scan->argv[i], "--help") == 0 || strcmp(scan->argv[i], "-h") == 0)
            return true;
    }
    return false;
}

ashlar_status options_parse(const struct command *command, int argc, char **argv,
                            const char **operands, int *n_operands, bool *help, ashlar_error *err)
{
    struct scan scan = {.command = command, .argc = argc, .next = 1, .argv = argv, .err = err};
    *n_operands = 0;
    ashlar_status status = parse_all(&scan, operands, n_operands);
    *help = scan.help || (status != ASHLAR_OK && help_follows(&scan));
    return *help ? ASHLAR_OK : status;
}
