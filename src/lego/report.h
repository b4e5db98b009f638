/*
 * report.h: what became of every function and every block of a source file, as JSON (--report), as
 * text for people (--explain) and as one line. Filled by compile.c; the strings belong to the
 * compilation.
 */
#ifndef LEGO_REPORT_H
#define LEGO_REPORT_H

#include "base/buf.h"
#include "lego/block.h"
#include "lego/verify.h"

enum report_outcome { REPORT_ACCEPTED, REPORT_SPLIT, REPORT_REJECTED, REPORT_SKIPPED };

struct report_block {
    const char *function;        /* the first that holds it */
    struct location at;
    enum granularity granularity;
    const char *key, *text;
    int copies;                  /* places in this file that it serves */
    enum report_outcome
        outcome; /* SPLIT: went on in finer blocks; SKIPPED: its function had failed already */
    struct verdict verdict;      /* of the accepted fragment, else of the best rejected one */
    bool from_cache;
    const char *translator;      /* kind of who wrote it; NULL: nobody */
    char provenance[160];
    int samples, repairs;        /* asked for */
    double translate_seconds, verify_seconds;
    const char *fragment;        /* accepted, or the best rejected; NULL: none was proposed */
};

enum report_function_outcome { FUNCTION_OK, FUNCTION_REFUSED, FUNCTION_REJECTED };

struct report_function {
    const char *name, *symbol;
    struct location at;
    enum report_function_outcome outcome;
    const char *why; /* REFUSED: construct with place; REJECTED: the first block and its finding */
    bool by_cc;                  /* the fallback compiled it */
};

struct report {
    const char *source;
    struct report_block **blocks; /* (n_blocks), finer ones behind the one they come from */
    int n_blocks;
    struct report_function *functions;
    int n_functions;
    const char *refused_file;     /* not NULL: the whole file was left to cc, and why */
    double seconds;
};

/** Sums over a report. */
struct report_totals {
    int functions, functions_by_cc, functions_failed;
    int blocks, pieces;          /* distinct; with copies */
    int accepted, from_cache, rejected;
    int by_level[VERIFY_PROVED + 1]; /* of the accepted */
    int least_vectors;           /* of the TESTED; 0: none */
    int samples, repairs;
};
void report_total(const struct report *report, struct report_totals *out);

/** One JSON object, "{...}\n". Without memory for all of it: out->failed. */
void report_json(const struct report *report, struct buf *out);

/** Per block: source line, normalised block, fragment, verdict, failing values. */
void report_explain(const struct report *report, struct buf *out);

/** "hello.c: 3 functions, 12 blocks (9 distinct): ..." without newline. */
void report_line(const struct report *report, struct buf *out);

#endif
