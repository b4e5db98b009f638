/* manual.h: the whole program as man page and as completion script, made from the option tables. */
#ifndef CLI_MANUAL_H
#define CLI_MANUAL_H

#include "base/buf.h"

/** Append man/ashlar.1. */
void manual_man(struct buf *out);

/** Append completions/ashlar.bash. */
void manual_completion(struct buf *out);

#endif
