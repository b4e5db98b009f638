/*
 * fallback.h: functions by the host compiler among ours (--fallback=cc): from cc's assembler text
 * of the same file those that are wanted are taken and put behind our own, so that both share one
 * set of data.
 */
#ifndef LEGO_FALLBACK_H
#define LEGO_FALLBACK_H

#include "base/buf.h"
#include "base/error.h"

/** What cc must be given for its text to be understood here: -S, no optimisation across functions.
 * Ends with NULL. */
extern const char *const fallback_cc_options[];

/**
 * Appends our text and from cc's: the functions named, its constants and static locals (renamed, so
 * that they cannot meet ours), and whatever else of it our text does not define. Errors: BAD_INPUT
 * (cc made no such function), NO_RESOURCE.
 */
ashlar_status fallback_join(const char *ours, size_t ours_length, const char *cc, size_t cc_length,
                            const char *const *functions, int n, struct buf *out,
                            ashlar_error *err);

#endif
