/* constant.h: what can be said of an expression without running it. */
#ifndef LEGO_CONSTANT_H
#define LEGO_CONSTANT_H

#include "lego/ast.h"

/** The value of an integer constant expression; false when e is none (or divides by zero). */
bool constant_integer(const struct expr *e, int64_t *value);

/** Does evaluating e do more than give its value? Calls and volatile reads count. */
bool constant_has_effects(const struct expr *e);

#endif
