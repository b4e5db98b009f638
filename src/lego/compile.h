/*
 * compile.h: one source file, from preprocessed text to an assembler file: the order of the passes,
 * and the loop that gets every block translated and accepted.
 */
#ifndef LEGO_COMPILE_H
#define LEGO_COMPILE_H

#include "base/log.h"
#include "lego/cache.h"
#include "lego/report.h"
#include "lego/translator.h"
#include "lego/verify.h"

enum { COMPILE_TRANSLATORS_MAX = 8 };

struct compile_options {
    struct translator *translators[COMPILE_TRANSLATORS_MAX]; /* asked in order; borrowed */
    int n_translators;                                        /* 0: only the cache answers */
    struct cache *cache;         /* borrowed; NULL: none */
    struct verify_options verify;
    bool automatic;              /* start where the first translator is good, go finer on failure */
    bool coarser;                /* automatic: ask once for blocks a step coarser than that */
    enum granularity granularity; /* when not automatic: this one only */
    int samples, repairs;        /* per block and translator; samples >= 1 */
    bool debug;                  /* .loc lines */
    bool pic;                    /* code for shared objects (-fPIC) */
    bool wraps;                  /* signed overflow wraps (-fwrapv) */
    struct log log;              /* progress "blocks"; returning false cancels */
};
void compile_options_init(struct compile_options *options);

struct compilation;

/**
 * Reads and lowers text. The options are copied, what they point to is borrowed until compile_free.
 * Errors: BAD_INPUT (not C: the first error, "file:line:column: ..."), NO_RESOURCE.
 */
ashlar_status compile_open(const struct compile_options *options, const char *source_name,
                           const char *text, size_t length, const char *const *reader_args,
                           int n_args, struct compilation **out, ashlar_error *err);
void compile_free(struct compilation *c);

/**
 * What --dump shows: "ast", "ir" (after compile_open), "blocks" (after compile_cut), "pairs" (after
 * compile_translate: accepted blocks and fragments as the block model is trained on them, JSON
 * lines).
 */
enum compile_dump { COMPILE_AST, COMPILE_IR, COMPILE_BLOCKS, COMPILE_PAIRS };
void compile_dump(const struct compilation *c, enum compile_dump what, struct buf *out);

/** Cuts every function at the starting granularity. Errors: BAD_INPUT, NO_RESOURCE. */
ashlar_status compile_cut(struct compilation *c, ashlar_error *err);

/**
 * Gets a fragment for every block: cache, samples, repairs, finer blocks. OK also when some
 * function is not accepted: compile_report says which. Errors: failures of the machinery; FAILED
 * (every translator failed), CANCELLED.
 */
ashlar_status compile_translate(struct compilation *c, ashlar_error *err);

/** The report so far; valid until compile_free. Its functions' by_cc may be set by the caller. */
struct report *compile_report(struct compilation *c);

/** Joins the accepted functions (the others are left out) and all data into an assembler file. */
ashlar_status compile_compose(struct compilation *c, struct buf *out, ashlar_error *err);

/** The lowered file, with its tree; valid until compile_free. */
const struct ir_unit *compile_ir(const struct compilation *c);

#endif
