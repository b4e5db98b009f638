/*
 * type.h: making, comparing and classifying the types of ast.h. Facts of C and of the x86-64 System
 * V data model only; where records come from is the reader's affair.
 */
#ifndef LEGO_TYPE_H
#define LEGO_TYPE_H

#include "lego/ast.h"

/** The types that have no parts, one object each. */
struct type_table {
    struct heap *heap;
    struct type *basic[TYPE_LDOUBLE + 1];
};

void type_table_init(struct type_table *table, struct heap *h);

/** A new type; pointers to one base may be several objects: compare with type_same(). */
struct type *type_pointer_to(struct heap *h, struct type *base);
struct type *type_array_of(struct heap *h, struct type *element, int64_t length);
struct type *type_with_volatile(struct heap *h, struct type *t);
struct type *type_complex_of(struct heap *h, struct type *part);

/** t without volatile at its top: what a value has, as opposed to an object. */
struct type *type_plain(const struct type *t);

bool type_is_integer(const struct type *t); /* _Bool and char too */
bool type_is_float(const struct type *t);      /* real */
bool type_is_arithmetic(const struct type *t); /* complex too */
bool type_is_scalar(const struct type *t);
bool type_is_signed(const struct type *t);  /* of an integer type; plain char is signed on x86-64 */
bool type_is_aggregate(const struct type *t); /* array, record, va_list's tag */
bool type_is_void(const struct type *t);
bool type_is_pair(const struct type *t); /* complex or of 128 bits: a number of two words */
int type_rank(const struct type *t);        /* of an integer type: C11 6.3.1.1 */

/** Same type, volatile at the top apart; records by identity, functions by structure. */
bool type_same(const struct type *a, const struct type *b);

/** value cut to t's width and extended to 64 bits as t's signedness says (_Bool: 0 or 1). */
uint64_t type_wrap(const struct type *t, uint64_t value);

#endif
