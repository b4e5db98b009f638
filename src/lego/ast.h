/*
 * ast.h: a C translation unit, parsed and typed: what a reader makes and lowering takes. Nothing
 * here knows which parser was used. Everything lives in the unit's heap.
 *
 * Normal form, so that lowering meets each thing in one shape:
 *  - every conversion is an EXPR_CAST, the implicit ones too (array and function decay, promotions,
 *    conversions of operands, arguments, returned and assigned values). Only compound assignment
 *    keeps its operands as written (C11 6.5.16.2): lowering applies the usual conversions. Where
 *    one side of + - * or the left side of / is complex, the other may stay real.
 *  - conditions and operands of && || ! are neither complex nor of 128 bits (those are compared
 *    with 0), and constants of 128 bits are casts of narrower ones.
 *  - a[i] is DEREF(ADD(a, i)), p->m is MEMBER(DEREF(p)), sizeof, _Alignof, offsetof, enumeration
 *    constants and __builtin_constant_p are EXPR_INT, parentheses, _Generic and __extension__ are
 *    gone.
 *  - types are canonical: no typedefs, enums are their integer type; of qualifiers only volatile is
 *    kept.
 */
#ifndef LEGO_AST_H
#define LEGO_AST_H

#include <stdbool.h>
#include <stdint.h>

#include "lego/heap.h"

enum type_kind {
    TYPE_VOID, TYPE_BOOL,
    TYPE_CHAR, TYPE_SCHAR, TYPE_UCHAR, TYPE_SHORT, TYPE_USHORT, TYPE_INT, TYPE_UINT,
    TYPE_LONG, TYPE_ULONG, TYPE_LLONG, TYPE_ULLONG, TYPE_INT128, TYPE_UINT128,
    TYPE_FLOAT, TYPE_DOUBLE, TYPE_LDOUBLE,
    TYPE_COMPLEX, /* of base; its fields are the real and the imaginary part */
    TYPE_POINTER, TYPE_ARRAY, TYPE_RECORD, TYPE_FUNCTION,
    TYPE_VA_LIST_TAG /* the target's struct __va_list_tag; va_list is an array of one */
};

struct field {
    const char *name; /* NULL: anonymous */
    struct type *type;
    int64_t offset;   /* bytes from the record's start; of a bit-field: of the storage unit of its
                         type that holds its first bit */
    int bit_offset;   /* within that unit, from the least significant bit; may reach over the unit's
                         end in a packed record */
    int bit_width;    /* -1: not a bit-field */
};

struct type {
    enum type_kind kind;
    bool is_volatile;
    int64_t size, align;   /* bytes; size -1: incomplete */
    struct type *base;     /* POINTER target, ARRAY element, FUNCTION result, COMPLEX part */
    int64_t length;        /* ARRAY; -1: incomplete, flexible or variable */
    bool is_variable;      /* ARRAY of a length known at run time only; size -1 */
    struct decl *bytes;    /* of such an array: the variable with its size; NULL: not known here */
    const char *name;      /* RECORD's tag or typedef's name, for messages; may be NULL */
    bool is_union;         /* RECORD */
    struct field *fields;  /* RECORD, COMPLEX (n) */
    struct type **params;  /* FUNCTION (n) */
    int n;
    bool variadic;         /* FUNCTION */
    bool no_prototype;     /* FUNCTION declared with () */
    struct type *plain;    /* the same type without volatile; itself when it has none. Records
                              compare by it */
};

enum storage { STORAGE_AUTO, STORAGE_PARAMETER, STORAGE_STATIC, STORAGE_EXTERN };

/** One scalar (or string, or whole record from an expression) placed into an object's bytes. */
struct init {
    int64_t offset;       /* bytes into the object */
    struct field *bits;   /* not NULL: the bit-field to fill (offset is then its unit's) */
    struct type *type;
    struct expr *value;   /* EXPR_STRING into a char array: its bytes, cut or zero-filled to the
                             type */
};

/** What fills an object: the listed pieces in order, the rest zero. */
struct initializer {
    struct init *items;
    int n;
    int64_t extent;       /* bytes of the object: its type's, more where a flexible array member is
                             filled */
};

/** A variable or a function. One per entity: redeclarations are merged. */
struct decl {
    const char *name;      /* as written */
    const char *symbol;    /* assembler name of statics and functions (asm labels applied; a static
                              local's is made unique, "name.N") */
    struct type *type;
    enum storage storage;
    bool is_local;         /* declared in a function (also static locals) */
    bool is_internal;      /* internal linkage: static */
    bool is_tentative, is_defined, is_weak, is_inline, is_noreturn, is_used;
    bool is_const;         /* an object, or every element of an array, declared const */
    bool is_thread_local;
    const char *section;   /* NULL: by kind */
    const char *alias;     /* not NULL: another name, made here, of what has this symbol */
    int before_main, after_main; /* of a function that runs then: its priority; 0: it does not */
    int64_t align;         /* at least; 0: the type's */
    struct initializer *init; /* NULL: none */
    struct decl **params;  /* of a function definition (n_params) */
    int n_params;
    const char **taken;    /* of a function: labels whose addresses are taken (n_taken); such an
                              address is the label's place in this list, from 1 */
    int n_taken;
    struct stmt *body;     /* of a function definition */
    const char *refused;   /* not NULL: the definition holds what is not supported; the message with
                              its place */
    struct location at;
    void *lowered;         /* lowering's own */
};

enum expr_kind {
    EXPR_INT,        /* integer */
    EXPR_FLOAT,      /* real */
    EXPR_COMPLEX,    /* a + b i, of their parts */
    EXPR_STRING,     /* bytes, n_bytes (with the final zero; of any width); an array lvalue */
    EXPR_NAME,       /* decl; a function's name too */
    EXPR_MEMBER,     /* a . field; __real__ and __imag__ too */
    EXPR_DEREF, EXPR_ADDRESS,
    EXPR_CAST,       /* to ->type; to void too; arrays and functions become pointers with it */
    EXPR_NEGATE, EXPR_COMPLEMENT, EXPR_NOT,
    EXPR_ADD, EXPR_SUBTRACT, EXPR_MULTIPLY, EXPR_DIVIDE, EXPR_REMAINDER, /* ADD: a pointer is a */
    EXPR_SHIFT_LEFT, EXPR_SHIFT_RIGHT, EXPR_AND, EXPR_XOR, EXPR_OR,
    EXPR_EQUAL, EXPR_UNEQUAL, EXPR_LESS, EXPR_LESS_EQUAL, EXPR_GREATER, EXPR_GREATER_EQUAL,
    EXPR_LOGICAL_AND, EXPR_LOGICAL_OR,
    EXPR_CONDITIONAL, /* a ? b : c; b NULL: GNU a ?: c, whose value is a converted to type */
    EXPR_ASSIGN,      /* a = b */
    EXPR_ASSIGN_OP,   /* a op= b; op is one of ADD..OR */
    EXPR_PRE_INCREMENT, EXPR_PRE_DECREMENT, EXPR_POST_INCREMENT, EXPR_POST_DECREMENT,
    EXPR_COMMA,
    EXPR_CALL,        /* a (args) ; a is a pointer to function */
    EXPR_COMPOUND,    /* compound literal: decl with its initializer; an lvalue */
    EXPR_VA_START, EXPR_VA_ARG, EXPR_VA_END,
    EXPR_VA_COPY,     /* of these four a is a pointer to the tag; of COPY b too */
    EXPR_STATEMENT    /* GNU ({ }) : body */
};

struct expr {
    enum expr_kind kind;
    struct type *type;
    struct location at;
    struct expr *a, *b, *c;
    uint64_t integer;        /* sign-extended to 64 bits where the type is signed */
    long double real;
    const char *bytes;
    int64_t n_bytes;
    struct decl *decl;
    struct field *field;
    enum expr_kind op;       /* of ASSIGN_OP */
    struct expr **args;
    int n_args;
    struct stmt *body;
};

enum stmt_kind {
    STMT_EMPTY, STMT_EXPR, STMT_DECL, STMT_BLOCK, STMT_IF, STMT_WHILE, STMT_DO, STMT_FOR,
    STMT_SWITCH, STMT_CASE, STMT_DEFAULT, STMT_LABEL, STMT_GOTO, STMT_BREAK, STMT_CONTINUE,
    STMT_RETURN
};

struct stmt {
    enum stmt_kind kind;
    struct location at;
    struct expr *expr;        /* value, condition; may be NULL (for(;;), return;) */
    struct expr *step;        /* FOR */
    struct stmt *init;        /* FOR */
    struct stmt *body, *otherwise; /* body: also what LABEL, CASE and DEFAULT label */
    struct stmt **items;      /* BLOCK (n) */
    int n;
    struct decl *decl;        /* DECL: an auto or static local */
    int64_t low, high;        /* CASE: GNU ranges have low < high */
    const char *label;        /* LABEL, GOTO; of a computed goto NULL, and expr is its target */
};

struct unit {
    struct heap heap;
    const char *source;       /* the main file's name as given */
    struct decl **decls;      /* every function and object of static storage, in order of first
                                 appearance (n); static locals and file-scope literals too */
    int n;
    const char **asms;        /* file-scope asm texts (n_asms) */
    int n_asms;
    bool wraps;               /* signed arithmetic wraps (-fwrapv), by whoever had it read */
};

/** Source names of types for messages and dumps, as C would write them; from the heap. */
const char *type_text(struct heap *h, const struct type *t);

/** The unit as indented text, one node a line (--dump=ast). */
struct buf;
void ast_print(const struct unit *unit, struct buf *out);

/**
 * Reads preprocessed C (line markers kept) from text. Everything is in unit->heap: unit_free().
 * Errors BAD_INPUT: "file:line:column: message" of the first error of the language; the count is in
 * the hint. A function that holds an unsupported construct is kept with `refused` set.
 */
ashlar_status reader_read(const char *source_name, const char *text, size_t length,
                          const char *const *clang_args, int n_args, struct unit **out,
                          ashlar_error *err);
void unit_free(struct unit *unit);

#endif
