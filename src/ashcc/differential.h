/*
 * differential.h: --differential: every function of a compiled file runs on made arguments, beside
 * the same function compiled by cc without optimisation and with traps on undefined behaviour.
 */
#ifndef ASHCC_DIFFERENTIAL_H
#define ASHCC_DIFFERENTIAL_H

#include "ashcc/words.h"
#include "base/buf.h"
#include "lego/ir.h"
#include "lego/report.h"

struct differential_options {
    const char *source;      /* name, for messages */
    const char *cc, *folder; /* the compiler; a folder for files, removed by the caller */
    const char *text_path;   /* preprocessed C */
    const struct words *read; /* cc's options for it */
    bool show;               /* the commands */
    int vectors;             /* per function */
    uint64_t seed;
};

/**
 * Compares assembly, the file's composed text, with cc's code for it. Appends a table to out, one
 * line per function. *differing: functions with a difference. Errors: FAILED (cc fails, the
 * sandbox cannot be set up), NO_RESOURCE, CANCELLED.
 */
ashlar_status differential_run(const struct differential_options *options,
                               const struct ir_unit *unit, const struct report *report,
                               const struct buf *assembly, struct buf *out, int *differing,
                               ashlar_error *err);

#endif
