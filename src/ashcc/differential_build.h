/*
 * differential_build.h: the two programs that --differential runs, each the harness with one of
 * the two versions of the file.
 */
#ifndef ASHCC_DIFFERENTIAL_BUILD_H
#define ASHCC_DIFFERENTIAL_BUILD_H

#include "ashcc/differential.h"

struct differential_function {
    const struct ir_function *ir;
    const char *symbol;
    const char *left_out;    /* why it is not run; NULL: it is */
    int call;                /* number in the table; -1: not there */
};

struct differential_datum {
    const struct ir_data *ir;
    const char *symbol, *cc_symbol; /* of a static local cc's has another number */
    int64_t size;            /* bytes compared */
    bool is_made;            /* zero in the file: vectors may give it a value */
};

/** The file as --differential sees it. Calls are the first entries of the table, data follow. */
struct differential_plan {
    struct differential_function *functions;
    int n_functions, n_calls;
    struct differential_datum *data;
    int n_data;
    size_t statics_bytes;
    char ours[4096], theirs[4096]; /* the programs */
    struct words names;
};

/**
 * Makes both programs. Functions that cannot be called or that cc did not emit are in the plan with
 * the reason. Errors: FAILED (cc), NO_RESOURCE, CANCELLED. plan_fini in any case.
 */
ashlar_status differential_build(const struct differential_options *options,
                                 const struct ir_unit *unit, const struct report *report,
                                 const struct buf *assembly, struct differential_plan *plan,
                                 ashlar_error *err);
/** Is a function or datum of the C library known to depend on its arguments alone? */
bool differential_is_known(const char *symbol);
void differential_plan_fini(struct differential_plan *plan);

#endif
