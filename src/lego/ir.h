/*
 * ir.h: a function after lowering: a straight list of instructions over scalars in memory. The
 * control skeleton, calls and layout are explicit; what remains of C is assignments of expressions
 * without side effects. Contiguous runs of it become blocks (block.h).
 *
 * Semantics are C's on the target's types: signed overflow is undefined, conversions are those of
 * C11 6.3, shifts have the promoted left type, comparisons give int. No strict aliasing: any object
 * may be read through a pointer of any type.
 *
 * Invariants (ir_check):
 *  1. Operands have been converted: both sides of a binary operator have its type, except that a
 *     shift's count is int or unsigned (I32, U32), and that PTR +- takes an I64.
 *  2. Expressions have no side effects and no calls; && || ?: stay as trees only when that holds.
 *  3. Every object has one home in memory for the whole function.
 *  4. Integer arithmetic is done in I32, U32, I64 or U64 (C promotes); I8..U16 appear in reads,
 *     loads, conversions and stores only (of a constant: an INT of that type).
 *  5. An INT of type PTR is a null pointer or a fixed address. LOGICAL_AND, LOGICAL_OR,
 *     CONDITIONAL's a, NOT and BRANCH take int. Comparisons compare two operands of one type, PTR
 *     and floats included.
 *  6. A volatile object or place is read once, by an ASSIGN to a temporary that does nothing else.
 */
#ifndef LEGO_IR_H
#define LEGO_IR_H

#include "lego/ast.h"

enum ir_type {
    IR_I8, IR_U8, IR_I16, IR_U16, IR_I32, IR_U32, IR_I64, IR_U64,
    IR_F32, IR_F64, IR_F80,
    IR_PTR,
    IR_BYTES, /* of objects only: an aggregate */
    IR_VOID   /* no value */
};

enum ir_place {
    IR_LOCAL,     /* a variable's slot */
    IR_PARAMETER, /* a slot filled by the prologue */
    IR_TEMPORARY, /* a slot of the compiler's */
    IR_STATIC,    /* data by its symbol */
    IR_CONSTANT,  /* read-only data that the composer emits: a floating constant */
    IR_FUNCTION   /* code by its symbol */
};

struct ir_object {
    enum ir_place place;
    enum ir_type type;      /* BYTES: an aggregate of size bytes; of a FUNCTION: VOID */
    int64_t size, align;
    const char *name;       /* unique in the function ("x", "x.2", "t7"); of statics the symbol */
    struct decl *decl;      /* NULL: the compiler's own */
    const unsigned char *bytes; /* CONSTANT (size) */
    bool is_volatile;
    int64_t offset;         /* from the frame pointer; set by frame_layout() */
    int id;                 /* index in the function's objects, -1 of the unit's */
};

enum ir_op {
    IR_INT,     /* value */
    IR_READ,    /* the value of a scalar object */
    IR_ADDRESS, /* of object + value bytes: PTR */
    IR_LOAD,    /* of type, at address a */
    IR_CONVERT, /* a to type */
    IR_NEGATE, IR_COMPLEMENT, IR_NOT, /* NOT: int, 1 when a is zero */
    IR_ADD, IR_SUBTRACT, IR_MULTIPLY, IR_DIVIDE, IR_REMAINDER, IR_SHIFT_LEFT, IR_SHIFT_RIGHT,
    IR_AND, IR_XOR, IR_OR,
    IR_EQUAL, IR_UNEQUAL, IR_LESS, IR_LESS_EQUAL, IR_GREATER, IR_GREATER_EQUAL,
    IR_LOGICAL_AND, IR_LOGICAL_OR,
    IR_CONDITIONAL /* a ? b : c */
};

struct ir_expr {
    enum ir_op op;
    enum ir_type type;
    struct ir_expr *a, *b, *c;
    struct ir_object *object;
    int64_t value;
    bool is_volatile; /* LOAD */
};

enum ir_code {
    IR_ASSIGN,  /* object = value */
    IR_STORE,   /* *(value->type *)address = value */
    IR_LABEL,   /* label */
    IR_JUMP,    /* to label */
    IR_BRANCH,  /* to label when value (an int) is not zero */
    IR_SWITCH,  /* on value (I32, U32, I64 or U64, a READ): the case that holds it, else label */
    IR_CALL,    /* callee(args), result to object when it is not NULL; see ir_is_thread_address() */
    IR_RETURN,  /* value (READ, INT or ADDRESS; aggregates: ADDRESS with aggregate set), or NULL */
    IR_VA_START /* fills the tag at address (READ or ADDRESS) from the frame */
};

/** A value passed or returned: simple (READ, INT, ADDRESS), or an aggregate at an address. */
struct ir_argument {
    struct ir_expr *value;
    struct type *aggregate; /* NULL: scalar */
};

struct ir_case {
    int64_t low, high;
    int label;
};

struct ir_instr {
    enum ir_code code;
    struct location at;
    int statement;            /* rising number of the C statement it comes from */
    struct ir_object *object; /* ASSIGN, CALL */
    struct ir_expr *address;  /* STORE, VA_START */
    struct ir_expr *value;
    int label;                /* LABEL, JUMP, BRANCH, SWITCH's default */
    struct ir_case *cases;
    int n_cases;
    struct ir_expr *callee;   /* CALL: ADDRESS of a FUNCTION object, or a READ of a PTR */
    struct type *callee_type; /* FUNCTION type: result, variadic */
    struct ir_argument *args;
    int n_args;
    struct type *aggregate;   /* CALL: type of a result that is an aggregate (object receives it);
                                 RETURN: of the value */
};

/** A structured C statement (if, loop, switch, block, whole body) as the instructions it became. */
struct ir_region {
    int first, last; /* [first, last) */
    int parent;      /* index, -1: the body; parents come before children */
};

struct ir_function {
    struct decl *decl;
    struct ir_instr *code;
    int n_code;
    struct ir_object **objects;
    int n_objects;
    int n_labels; /* labels are 0 .. n_labels - 1 */
    struct ir_region *regions;
    int n_regions;
    const char *refused; /* not NULL: why it is not lowered, and where; decl may be an object */
};

/** An initialised or zero object of static storage, ready to be written out. */
struct ir_relocation {
    int64_t offset;
    const char *symbol;
    int64_t addend;
};

struct ir_data {
    struct ir_object *object;
    struct decl *decl;          /* NULL: a string literal */
    const unsigned char *bytes; /* (object->size); NULL: all zero */
    struct ir_relocation *relocations; /* 8-byte addresses */
    int n_relocations;
    bool read_only;
};

struct ir_unit {
    struct unit *unit; /* borrowed; its heap holds all this */
    struct ir_function *functions;
    int n_functions;
    struct ir_data *data;
    int n_data;
    struct ir_object **constants; /* every IR_CONSTANT, equal ones once (n_constants) */
    int n_constants;
    bool pic; /* for a shared object: external symbols may be replaced at run time; the driver's */
};

/**
 * Lowers every function and datum. A function that holds something unsupported gets `refused`; such
 * a datum is left out and listed among the functions, with `refused`.
 */
ashlar_status lower_unit(struct unit *unit, struct ir_unit **out, ashlar_error *err);

/** Whether a CALL only finds where the running thread has its first argument's object. */
bool ir_is_thread_address(const struct ir_instr *i);

enum ir_type ir_type_of(const struct type *t); /* of a value or object; arrays and records: BYTES */

/** A new object, of f when it is not NULL, else of the unit; the caller fills in the rest. */
struct ir_object *ir_new_object(struct heap *h, struct ir_function *f, enum ir_place place);

/** A new temporary of f; from the heap. */
struct ir_object *ir_temporary(struct heap *h, struct ir_function *f, enum ir_type type);
int ir_label(struct ir_function *f); /* a new one */

/**
 * An instruction range as single operations: one operator, conversion, load or store each, through
 * new temporaries; && || ?: become branches. The result is a list with the same meaning
 * (--granularity=operation).
 */
struct ir_list {
    struct ir_instr *code;
    int n;
};
void ir_flatten(struct heap *h, struct ir_function *f, const struct ir_instr *code, int n,
                struct ir_list *out);

/** What breaks an invariant of a lowered function (flattened ones too); NULL: nothing. From h. */
const char *ir_check(struct heap *h, const struct ir_function *f);

int64_t ir_type_size(enum ir_type t);
const char *ir_type_name(enum ir_type t); /* "signed char", ..., "char*" */
bool ir_is_float(enum ir_type t);
bool ir_is_signed(enum ir_type t);

/**
 * An expression as C text over its objects' names. The names are those of `name(context, object)`;
 * `literal` may be NULL or give NULL: digits; what it gives must bind like a name.
 */
typedef const char *(*ir_name_fn)(void *context, const struct ir_object *object);
typedef const char *(*ir_literal_fn)(void *context, const struct ir_expr *literal);
struct ir_printer {
    ir_name_fn name;
    ir_literal_fn literal;
    const char *(*label)(void *context, int label);
    void *context;
    struct buf *out;
};
void ir_print_expr(const struct ir_printer *p, const struct ir_expr *e);
/** One line with its newline; ASSIGN STORE LABEL JUMP BRANCH only. */
void ir_print_instr(const struct ir_printer *p, const struct ir_instr *i);

/**
 * The whole unit as a C program that any C compiler takes, over the lowered objects (--dump=ir).
 * Compiled and run it must behave as the source does: that is the check of reading and lowering.
 */
void ir_print_unit(const struct ir_unit *unit, struct buf *out);

#endif
