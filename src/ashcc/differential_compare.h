/*
 * differential_compare.h: did two programs make the same of one input?
 */
#ifndef ASHCC_DIFFERENTIAL_COMPARE_H
#define ASHCC_DIFFERENTIAL_COMPARE_H

#include "ashcc/differential_build.h"
#include "ashcc/differential_vectors.h"

/** What one program made of a batch: the exchange with its addresses and statics behind it. */
struct differential_run {
    const struct differential_exchange *exchange;
    const uint64_t *addresses;     /* (n_calls + n_data) */
    const unsigned char *statics;  /* (BATCH, statics_bytes) */
};

enum differential_verdict { DIFFERENTIAL_SAME, DIFFERENTIAL_DISCARD, DIFFERENTIAL_DIFFERENT };

/**
 * Vector i of function f in three runs: cc's version twice, with different garbage and at
 * different addresses, and ours. What the first two do not agree on is undetermined: in a returned
 * value or output the vector is discarded, in memory these bytes are not compared. Addresses of
 * the same thing are the same value. DIFFERENT: why says what, "returned 3, cc's returns 4".
 */
enum differential_verdict differential_compare(const struct differential_plan *plan,
                                               const struct differential_function *f,
                                               const struct differential_run *theirs,
                                               const struct differential_run *again,
                                               const struct differential_run *ours, int i,
                                               struct buf *why);

#endif
