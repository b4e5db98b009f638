/* compile_internal.h: the state of one compilation; between compile.c and compile_jobs.c only. */
#ifndef LEGO_COMPILE_INTERNAL_H
#define LEGO_COMPILE_INTERNAL_H

#include "lego/compile.h"
#include "lego/target.h"

enum job_state { JOB_OPEN, JOB_ACCEPTED, JOB_SPLIT, JOB_REJECTED, JOB_SKIPPED };

/** A place that a job's fragment will fill. */
struct holder {
    struct piece *piece;
    int function; /* index in the unit */
};

/**
 * A distinct block of the file, its literals' values included, with all its places. Jobs that
 * differ in those values only are siblings: they have one text, are asked for together, and each is
 * verified with its own values. `report` is the part that outlives the loop; its fragment and
 * verdict are the best attempt so far.
 */
struct job {
    struct block *block;
    int index;             /* in the compilation's jobs */
    enum job_state state;
    struct holder *holders;
    int n_holders;
    int next_sample;       /* of the translator that is being asked */
    bool answered;         /* by this translator, in this round */
    bool stored;           /* in the cache */
    struct report_block report;
    const struct job *parent; /* the coarser block it was first cut from; NULL: of the first cut */
    struct job *next;      /* in its hash chain */
};

enum { JOB_CHAINS = 1024 };

struct compilation {
    struct compile_options options;
    struct unit *unit;
    struct ir_unit *ir;
    struct cut *cuts;      /* parallel to ir->functions */
    struct job **jobs;     /* (n_jobs) in the order found; from the unit's heap */
    int n_jobs;
    struct job *chains[JOB_CHAINS];
    bool *failed;          /* per function: one of its blocks was rejected */
    struct verifier *verifier;
    struct report report;
    double started;
    int n_done;            /* jobs no longer open, for the progress bar */

    /* scratch of a round, kept so that a bail leaks nothing */
    struct translation *items;
    struct job **asked;    /* parallel to items */
    int n_items, items_capacity;
};

/**
 * Enters the block of a piece as a job, or as a holder of the one that is the same. `parent` is the
 * job it was cut from, or NULL. The heap must be able to bail.
 */
void job_enter(struct compilation *c, struct piece *piece, int function, const struct job *parent);

/** Is the job the first of those with its text? */
bool job_is_first(const struct compilation *c, const struct job *job);

/** The loop over all jobs; see compile_translate. */
ashlar_status jobs_run(struct compilation *c, ashlar_error *err);
void jobs_fini(struct compilation *c);

#endif
