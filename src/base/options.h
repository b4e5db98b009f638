/*
 * options.h: command-line options as data. One table per subcommand makes the parser, --help, the
 * man page's option list and the shell completions. GNU long options, `--name VALUE` or
 * `--name=VALUE`, short aliases, K/M/G sizes; a repeated option overrides, except lists.
 */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#include "base/error.h"
#include "base/buf.h"

enum option_kind {
    OPTION_FLAG,   /* bool: --name sets true, --no-name sets false */
    OPTION_INT,    /* int, in [min, max] */
    OPTION_U64,    /* uint64_t, decimal or 0x hex */
    OPTION_SIZE,   /* uint64_t bytes with optional K, M, G, T suffix (powers of 1024) */
    OPTION_FLOAT,  /* float, finite, in [min, max] */
    OPTION_STRING, /* const char *, points into argv */
    OPTION_LIST,   /* struct option_list: every occurrence is kept */
};

struct option_list {
    const char *items[64];
    int n;
};

struct option {
    const char *name;     /* long name without dashes */
    char letter;          /* short alias, 0 = none */
    enum option_kind kind;
    void *target;
    double min, max;      /* INT and FLOAT; both 0 = unbounded */
    const char *argument; /* "N", "FILE", ...; NULL for flags */
    const char *help;     /* one line */
};

struct command {
    const char *name;            /* "run" */
    const char *usage;           /* "ashlar run -m MODEL [options]" */
    const char *summary;         /* one line */
    const char *description;     /* paragraphs for help and man page; may be NULL */
    const struct option *options; /* ended by name == NULL */
    const struct option *shared;  /* more of them, common to several commands; may be NULL */
    const char *operands;        /* "MODEL", NULL when none are taken */
    int min_operands, max_operands;
};

/**
 * Parse argv[1..argc) into the targets. Operands are left in argv order in operands[] (borrowed;
 * room for max_operands). `--` ends options; `-` alone is an operand or a value.
 * Sets *help when -h/--help was seen (then nothing else is checked).
 * Errors: USAGE naming the option and what is wrong, with the nearest known name as hint.
 */
ashlar_status options_parse(const struct command *command, int argc, char **argv,
                            const char **operands, int *n_operands, bool *help, ashlar_error *err);

/** Walk a command's options, its own and then the shared ones: NULL gives the first, the last gives NULL. */
const struct option *option_next(const struct command *command, const struct option *option);

/** Append the --help text (80 columns). */
void options_help(const struct command *command, struct buf *out);

/** Append the options as man page source (.TP items); as bash completion words. */
void options_man(const struct command *command, struct buf *out);
void options_words(const struct command *command, struct buf *out);

/** Plain text as man page source: backslashes, dashes, leading dots escaped; blank lines end paragraphs. */
void options_roff(struct buf *out, const char *text);

/** "1.5G" -> bytes. False when malformed or above UINT64_MAX. */
bool parse_size(const char *text, uint64_t *bytes);

/** Edit distance suggestion: the candidate nearest to word within 3 edits, or NULL. */
const char *nearest_word(const char *word, const char *const *candidates, int n);

#endif
