/*
 * torture.h: fail every allocation in turn and see whether the code under test gives up cleanly.
 *
 * A test program that is linked with torture.o and the --wrap options of TORTURE_WRAP (Makefile)
 * has its malloc, mmap, thread creation and PCRE2 allocation replaced by ones that can be told to
 * fail. Only calls from the program's own objects are replaced, not those inside shared libraries.
 */
#ifndef TESTS_TORTURE_H
#define TESTS_TORTURE_H

#include "ashlar.h"

/**
 * Something to do from beginning to end: open, use, close. It returns the first status that is not
 * OK, with that call's error, having given back everything it got. It must do the same each time.
 */
typedef ashlar_status (*torture_action)(void *context, ashlar_error *err);

/**
 * Run the action without failures, then with the first allocation failing, then the second, and so
 * on until the action is through without reaching the failure; and all that again with every
 * allocation after the failing one failing as well. Returns how many allocations the action makes.
 *
 * Each run must give OK (no failure) or NO_RESOURCE with a message (a failure), and leave no block,
 * mapped byte, or open file behind; otherwise the cmocka test fails, naming the run. TORTURE_AT=n
 * in the environment does run n alone: break on torture_hit in a debugger to see who asked.
 */
int torture(torture_action action, void *context);

/** As torture, but returns the complaint (NULL: none; valid until the next call), not failing. */
const char *torture_check(torture_action action, void *context, int *n_allocations);

/** Run the action once, undisturbed, and count its allocations; complaint as torture_check. */
const char *torture_count(torture_action action, void *context, int *n_allocations);

#endif
