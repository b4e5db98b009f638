/* manual.h: help, man page and completions of ashcc, made from its two tables of options. */
#ifndef ASHCC_MANUAL_H
#define ASHCC_MANUAL_H

#include "base/buf.h"

void manual_help(struct buf *out);

/** Appends man/ashcc.1. */
void manual_man(struct buf *out);

/** Appends completions/ashcc.bash. */
void manual_completion(struct buf *out);

#endif
