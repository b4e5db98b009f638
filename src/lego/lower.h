/*
 * lower.h: what the files of the lowering (ast.h to ir.h) share.
 *
 * Order of evaluation is left to right. A lowered value is a tree without side effects that reads
 * memory when it is used, so it holds only until the next instruction that has an effect: whoever
 * lowers a second operand that has_effects() makes the first one stable (lower_stable) before.
 * Volatile reads are effects and are done at once.
 */
#ifndef LEGO_LOWER_H
#define LEGO_LOWER_H

#include "lego/ir_build.h"

/** The largest aggregate that is copied or cleared by stores; larger ones by memcpy and memset. */
enum { LOWER_INLINE_BYTES = 64 };
enum { LOWER_STRING_CHAINS = 256 };

struct lower_switch {
    struct stmt **marks; /* CASE and DEFAULT in order of their text (n) */
    int *labels;
    int n, next;
};

struct lower {
    struct heap *heap;
    struct ir_builder build;
    struct unit *unit;
    struct ir_unit *out;
    struct decl **queue;      /* functions and data to lower, each once (n_queue) */
    int n_queue;
    struct lower_string *strings[LOWER_STRING_CHAINS]; /* by hash */
    int n_strings;

    /* Of the function being lowered; f NULL: of a static initialiser, which may emit nothing. */
    struct ir_function *f;
    struct location at;
    int statement, region;
    bool unreachable;         /* nothing gets here: what is emitted is dropped */
    int break_label, continue_label; /* -1: none */
    struct lower_switch *in_switch;
    struct lower_label {
        const char *name;
        int label;
    } *labels;                /* of goto (n_labels) */
    int n_labels;
    struct lower_thread {
        const struct decl *decl;
        struct ir_object *pointer; /* where the running thread has it */
    } *threads;                /* thread-local objects that the function uses (n_threads) */
    int n_threads;
};

/**
 * Where a value is: offset bytes into object, or behind address. Of a bit-field: the place of its
 * record, of which `limit` bytes from there may be touched.
 */
struct place {
    struct ir_object *object; /* NULL: at address */
    int64_t offset;
    struct ir_expr *address;
    bool is_volatile;
    const struct field *bits; /* NULL: no bit-field */
    int64_t limit;
};

/**
 * An arithmetic value: of a complex type its parts, of 128 bits its low and high word (U64), of
 * other types part[0] alone (part[1] NULL).
 */
struct number {
    const struct type *type;
    struct ir_expr *part[2];
};

/* lower.c: the unit, its objects, instructions. */
_Noreturn void lower_refuse(struct lower *l, struct location at, const char *what);
struct ir_object *lower_object(struct lower *l,
                               struct decl *decl); /* its home; made on first use */
/** The address of a thread-local object: a temporary that is set when the function begins. */
struct ir_expr *lower_thread_address(struct lower *l, struct decl *decl);
struct ir_object *lower_bytes(struct lower *l, const char *name, int64_t size, int64_t align);
struct ir_object *lower_function(struct lower *l, const char *symbol); /* of the runtime library */
struct ir_instr *lower_emit(struct lower *l, enum ir_code code); /* valid until the next one */
void lower_assign(struct lower *l, struct ir_object *object, struct ir_expr *value);
void lower_jump(struct lower *l, int label);
void lower_label(struct lower *l, int label);
struct ir_expr *lower_temporary(struct lower *l, struct ir_expr *value); /* its READ */
struct ir_expr *lower_simple(struct lower *l, struct ir_expr *value);    /* READ, INT or ADDRESS */
struct ir_expr *lower_stable(struct lower *l,
                             struct ir_expr *value); /* no later effect changes it */

/* lower_effects.c */
bool has_effects(const struct expr *e);

/* lower_expr.c: values. */
struct ir_expr *lower_value(struct lower *l, struct expr *e); /* of scalar type; void: NULL */
void lower_effects(struct lower *l, struct expr *e);          /* value not wanted */
/** Jumps to label when e's truth is `when`, else falls through. */
void lower_branch(struct lower *l, struct expr *e, int label, bool when);
struct ir_expr *lower_convert(struct lower *l, struct ir_expr *v, const struct type *from,
                              const struct type *to);
/** x op y for operands of types a and b, after the usual conversions to `in`; pointers too. */
struct ir_expr *lower_arithmetic(struct lower *l, enum expr_kind op, struct ir_expr *x,
                                 const struct type *a, struct ir_expr *y, const struct type *b,
                                 struct location at);

/* lower_place.c: lvalues and records; memory. */
struct place lower_place(struct lower *l, struct expr *e);
struct place place_of_object(struct ir_object *object);
struct place place_at(struct ir_expr *address);
struct place place_stable(struct lower *l, struct place p);
struct ir_expr *place_address(struct lower *l, struct place p);
struct ir_expr *place_read(struct lower *l, struct place p, const struct type *t);
void place_write(struct lower *l, struct place p, const struct type *t, struct ir_expr *value);
struct ir_expr *memory_read(struct lower *l, struct place p, int64_t offset, enum ir_type t);
void memory_write(struct lower *l, struct place p, int64_t offset, enum ir_type t,
                  struct ir_expr *value);
void memory_copy(struct lower *l, struct place to, struct place from, int64_t size);
void memory_clear(struct lower *l, struct place to, int64_t size);

/* lower_pair.c: numbers of two words; what they have in common. */
struct number lower_number(struct lower *l, struct expr *e);
struct place lower_pair_place(struct lower *l, struct expr *e); /* of a value of pair type */
struct place lower_pair_assign(struct lower *l, struct expr *e);
struct ir_expr *lower_pair_compare(struct lower *l, struct expr *e);
/** a op= b of a scalar a and a pair b: the new value. */
struct ir_expr *lower_pair_compound(struct lower *l, struct expr *e);
struct number number_convert(struct lower *l, struct number v, const struct type *to);
struct number number_simple(struct lower *l, struct number v); /* may be used more than once */
void number_write(struct lower *l, struct place p, struct number v); /* of a pair */
struct number number_call(struct lower *l, const char *symbol, const struct number *args, int n,
                          const struct type *result);

/* lower_complex.c: operands have a common type, but one of them may be real. */
struct number complex_arithmetic(struct lower *l, enum expr_kind op, struct number x,
                                 struct number y, const struct type *type, struct location at);
struct number complex_unary(struct lower *l, enum expr_kind op, struct number x);
struct ir_expr *complex_compare(struct lower *l, enum expr_kind op, struct number x,
                                struct number y);

/* lower_int128.c: operands have one type. */
struct number int128_arithmetic(struct lower *l, enum expr_kind kind, struct number x,
                                struct number y);
struct number int128_unary(struct lower *l, enum expr_kind kind, struct number x);
struct number int128_shift(struct lower *l, enum expr_kind kind, struct number x,
                           struct ir_expr *count);
struct ir_expr *int128_compare(struct lower *l, enum expr_kind kind, struct number x,
                               struct number y);
struct number int128_to_float(struct lower *l, struct number x, const struct type *to);
struct number int128_of_float(struct lower *l, struct number x, const struct type *to);

/* lower_bits.c: bit-fields. */
struct ir_expr *bits_read(struct lower *l, struct place p, enum ir_type t);
void bits_write(struct lower *l, struct place p, struct ir_expr *value);
struct ir_expr *bits_converted(struct lower *l, const struct field *bits, struct ir_expr *value);
bool bits_is_signed(const struct field *bits);
/**
 * Whether a unary or binary expression has one value where a bit-field wider than int keeps its
 * width in arithmetic (gcc), another where it has its declared type (clang): C leaves it open.
 */
bool bits_are_ambiguous(const struct expr *e);

/* lower_assign.c: each gives the new (POST_: old) value when `wanted`, else NULL. */
struct ir_expr *lower_assignment(struct lower *l, struct expr *e, bool wanted);
struct ir_expr *lower_compound(struct lower *l, struct expr *e, bool wanted);
struct ir_expr *lower_step(struct lower *l, struct expr *e, bool wanted);

/* lower_call.c */
struct ir_expr *lower_call(struct lower *l, struct expr *e, bool wanted);
/** The result goes to `result`, NULL: to a temporary. */
struct place lower_call_record(struct lower *l, struct expr *e, struct ir_object *result);
void lower_library(struct lower *l, const char *symbol, struct ir_expr *const *args, int n,
                   struct ir_object *result);

/* lower_builtin.c: true: the call is of a builtin and done here; value in *out (NULL: void). */
bool lower_builtin(struct lower *l, struct expr *call, struct ir_expr **out);
const char *builtin_library_name(const char *name); /* "__builtin_memcpy" -> "memcpy"; NULL: none */
/** Refuses the call of a builtin that names no function of the library. */
void builtin_must_be_known(struct lower *l, const struct expr *call);

/* lower_varargs.c */
struct ir_expr *lower_va_arg(struct lower *l, struct expr *e);
struct place lower_va_arg_record(struct lower *l, struct expr *e);
void lower_va_other(struct lower *l, struct expr *e);

/* lower_init.c: fills an automatic object. */
void lower_init(struct lower *l, struct ir_object *object, const struct initializer *init,
                struct location at);

/* lower_static.c: data. */
struct ir_object *lower_string(struct lower *l, const struct expr *e);
void lower_datum(struct lower *l, struct decl *decl); /* what it holds may refuse it */
/** The constant bytes of an initialiser as read-only data of the unit; NULL: it is not constant. */
struct ir_object *lower_image(struct lower *l, const struct initializer *init, int64_t size,
                              int64_t align);

/* lower_stmt.c */
void lower_body(struct lower *l, struct stmt *body);
/** The statements of ({ }): the last one's value, when it has one and is wanted. */
struct expr *lower_statement_expr(struct lower *l, struct expr *e);

/* ir_tidy.c: drops jumps to the next instruction, labels nobody uses, code nothing reaches. */
void ir_tidy(struct ir_builder *build, struct ir_function *f);

#endif
