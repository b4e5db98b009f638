/*
 * ir_build.h: makers of IR expressions. They fold what is constant, so that constant evaluation of
 * static initialisers is lowering whose result is an INT, a constant's READ or an ADDRESS. Folding
 * follows C on the target; what would trap or has no meaning at run time (division by zero, shifts
 * out of range) is left as it stands; signed overflow wraps.
 */
#ifndef LEGO_IR_BUILD_H
#define LEGO_IR_BUILD_H

#include "lego/ir.h"

/** Where expressions are made; constants of floating type are one object per value. */
struct ir_builder {
    struct heap *heap;
    struct ir_object **constants; /* IR_CONSTANT (n) */
    int n_constants;
    int *chains; /* hash: first constant of a bucket + 1 (CHAINS), then next of each */
    int *next;
    bool wraps; /* + - * of signed operands is that of unsigned ones: -fwrapv, unknown to blocks */
};

void ir_builder_init(struct ir_builder *b, struct heap *h);

struct ir_expr *ir_int(struct ir_builder *b, enum ir_type type, int64_t value); /* cut to type */
struct ir_expr *ir_float(struct ir_builder *b, enum ir_type type, long double value);
struct ir_expr *ir_read(struct ir_builder *b, struct ir_object *object);
struct ir_expr *ir_address(struct ir_builder *b, struct ir_object *object, int64_t offset);
struct ir_expr *ir_load(struct ir_builder *b, enum ir_type type, struct ir_expr *address,
                        bool is_volatile);
struct ir_expr *ir_convert(struct ir_builder *b, enum ir_type type, struct ir_expr *a);

/** NEGATE, COMPLEMENT of a's type; NOT: int. */
struct ir_expr *ir_unary(struct ir_builder *b, enum ir_op op, struct ir_expr *a);

/** Of x's type (comparisons and LOGICAL: int). PTR +- I64 too. Operands are converted already. */
struct ir_expr *ir_binary(struct ir_builder *b, enum ir_op op, struct ir_expr *x,
                          struct ir_expr *y);
struct ir_expr *ir_conditional(struct ir_builder *b, struct ir_expr *condition, struct ir_expr *x,
                               struct ir_expr *y);

/** As an int that is not zero when a is not: what BRANCH and LOGICAL_AND take. */
struct ir_expr *ir_condition(struct ir_builder *b, struct ir_expr *a);
struct ir_expr *ir_truth(struct ir_builder *b, struct ir_expr *a);     /* 0 or 1 */
struct ir_expr *ir_not(struct ir_builder *b, struct ir_expr *a);       /* of any scalar; 0 or 1 */

bool ir_is_comparison(enum ir_op op);
bool ir_is_simple(const struct ir_expr *e); /* READ, INT, ADDRESS */
bool ir_is_int(const struct ir_expr *e, int64_t value);
bool ir_float_value(const struct ir_expr *e, long double *value); /* of a READ of a constant */

/** value cut to an integer type's width, extended as its sign says; PTR: as it is. */
int64_t ir_wrap(enum ir_type type, int64_t value);

#endif
