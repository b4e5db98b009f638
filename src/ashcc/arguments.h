/*
 * arguments.h: a command line of cc, taken apart: what to make, from which files, with which
 * options for whom.
 */
#ifndef ASHCC_ARGUMENTS_H
#define ASHCC_ARGUMENTS_H

#include "ashcc/words.h"
#include "base/error.h"

enum stage { STAGE_LINK, STAGE_OBJECT, STAGE_ASSEMBLY, STAGE_PREPROCESS };

enum input_kind {
    INPUT_C, INPUT_PREPROCESSED, INPUT_ASSEMBLY, INPUT_ASSEMBLY_CPP,
    INPUT_LINKED /* object, archive, shared object, linker script: anything else */
};

struct input {
    const char *path;
    enum input_kind kind;
    int place; /* in the linker's words: the word that its object replaces */
};

struct arguments {
    enum stage stage;
    const char *output;         /* NULL: by the input's name */
    struct input *inputs;
    int n_inputs, inputs_capacity;
    struct words preprocess, read, assemble,
        link;                   /* options for each; link holds the inputs too, in order */
    struct words notes;         /* options that mean nothing here */
    const char *refused;        /* first option that cannot be honoured; NULL: none */
    struct words forward;       /* everything but ashcc's own options: for cc */
    struct words own;           /* ashcc's own, argv[0] first: for options_parse */
    const char *dependencies;   /* "-MD", "-MMD", NULL */
    const char *dependency_file;
    struct words dependency_targets; /* "-MT", target pairs */
    bool ask, version, verbose, dry_run, debug, pic, wraps, help;
    struct words all;           /* the command line with response files read; owns strings */
};

/**
 * Takes argv[1..argc) apart. Errors: USAGE (unknown option, missing value, several files with -o),
 * FAILED (a response file). fini in any case.
 */
ashlar_status arguments_parse(struct arguments *a, int argc, char **argv, ashlar_error *err);
void arguments_fini(struct arguments *a);

#endif
