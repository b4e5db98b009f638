/*
 * differential_vectors.h: arguments for a function, made from its parameters' types alone.
 */
#ifndef ASHCC_DIFFERENTIAL_VECTORS_H
#define ASHCC_DIFFERENTIAL_VECTORS_H

#include "../../share/differential/exchange.h"
#include "base/buf.h"
#include "base/rng.h"
#include "lego/ast.h"

enum { DIFFERENTIAL_MIXES = 3 }; /* from tame to wild */

/** Why a function of this type cannot be called with made arguments; NULL: it can. */
const char *differential_obstacle(const struct type *function);

/**
 * Arguments and buffers for one call. A pointer gets a buffer that ends where a page ends that
 * faults behind: elements of what it points at, or a terminated string, pointers within filled
 * likewise. Integers are small numbers, corner cases, or near the number of elements of a buffer
 * beside them. mix: 0 .. DIFFERENTIAL_MIXES - 1.
 */
void differential_vector_make(const struct type *function, int mix, struct rng *rng,
                              struct differential_input *out);

/**
 * A value of a datum of the file, at `at`; what it points at goes into the last buffer, of which
 * *room bytes are left (at first DIFFERENTIAL_PAGE).
 */
void differential_datum_make(const struct type *t, int mix, struct rng *rng,
                             struct differential_input *out, int *room, unsigned char *at);

/** "name = {1, 2}" */
void differential_datum_print(const char *name, const struct type *t,
                              const struct differential_input *input, const unsigned char *at,
                              struct buf *out);

/** "f(3, {1, 2, 3}, \"ab\")" */
void differential_vector_print(const char *name, const struct type *function,
                               const struct differential_input *input, struct buf *out);

/** A scalar value as text. */
void differential_value_print(const struct type *type, const unsigned char *at, struct buf *out);

#endif
