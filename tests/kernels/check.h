/*
 * check.h: the checks of the kernel tables, free of any test framework, so that they also run where
 * there is only a C library: test_kernels.c calls them through cmocka, check_main.c by hand for
 * cross builds. Each check tries one entry of one table against exact arithmetic in double, or
 * against the scalar table, on random inputs. Inputs and outputs end at a page that faults.
 */
#ifndef TESTS_KERNELS_CHECK_H
#define TESTS_KERNELS_CHECK_H

#include "base/rng.h"
#include "kernels/kernels.h"

struct check {
    const struct kernels *table, *scalar;
    struct rng rng;
    char failure[256]; /* of the first failure: which case, what came out */
};

typedef bool (*check_fn)(struct check *c);

struct check_case {
    const char *name;
    check_fn run;
};

/** All checks, ended by name == NULL. */
extern const struct check_case check_cases[];

/** Run one check on one table with a seed; false when it failed, with c->failure filled. */
bool check_run(struct check *c, const struct check_case *one, const struct kernels *table,
               uint64_t seed);

/** Note a failure; returns false. */
bool check_failed(struct check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Memory whose end meets a page that faults, up to rounding its start down to `align`. Filled with
 * 0xff: NaN as floats. */
struct guarded {
    void *data;
    unsigned char *map;
    size_t map_bytes;
};

struct guarded guarded_new(size_t bytes, size_t align);
void guarded_free(struct guarded *g);

/** n random floats, normal, times size. */
struct guarded guarded_floats(struct check *c, size_t n, float size, size_t align);

/* How random weights are made. */
enum weight_kind {
    WEIGHTS_ANY,      /* random values, scales around 0.01 of either sign */
    WEIGHTS_EXTREME,  /* each byte of values 0x00, 0x80, 0x7f or 0xff throughout the row */
    WEIGHTS_TINY,     /* scales are subnormal halves */
    WEIGHTS_INFINITE, /* scales are infinite or NaN */
};

/** n_rows rows of k values, row after row, ending at the guard. */
struct guarded guarded_weights(struct check *c, enum tensor_type type, enum weight_kind kind,
                               int n_rows, int k);

/** Whether tables have to read this type. */
bool check_type(enum tensor_type type);

#endif
