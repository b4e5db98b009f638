/*
 * reader_clang.h: what the files of the libclang reader share. Only reader_clang*.c include this:
 * that there is a libclang is known nowhere else.
 *
 * How the reader works: libclang parses and checks the text; we walk its cursors, and for what its
 * C API hides (operators, the parts of a `for`, literals) read the tokens between the extents of
 * its children. Types of expressions are computed here again by C's rules, the conversions become
 * casts, and libclang's type of each expression is the check.
 *
 * Invariants:
 *  1. No longjmp passes a frame of libclang: children are collected first, recursion is ours.
 *  2. What is not supported ends at reader_refuse(), which gives up one function or object, no
 * more.
 *  3. Recursion over the source is counted by reader_enter() and bounded.
 */
#ifndef LEGO_READER_CLANG_H
#define LEGO_READER_CLANG_H

#include <clang-c/Index.h>
#include <setjmp.h>

#include "lego/ast.h"
#include "lego/type.h"

/** From cursors (compared by identity) to anything of ours. */
struct cursor_map {
    struct cursor_slot {
        CXCursor key;
        void *value; /* NULL: free */
    } *slots;
    unsigned capacity, used;
};

struct children {
    CXCursor *items;
    int n;
};

/** A token of the source text: offsets into it. */
enum token_kind {
    TOKEN_END,
    TOKEN_NAME,
    TOKEN_NUMBER,
    TOKEN_STRING,
    TOKEN_CHARACTER,
    TOKEN_OPERATOR
};
struct token {
    enum token_kind kind;
    size_t start, end;
};

/** The declarations of one entity at file scope, in order. */
struct redeclarations {
    CXCursor *items;
    int n;
};

/** "user refers to used": what is reachable from what is emitted (is_used). */
struct reference {
    struct decl *user, *used;
};

/** A function whose body holds what libclang takes for an error: its place in top_level. */
struct broken {
    int declaration;
    const char *message;
};

struct reader {
    struct unit *unit;
    struct heap *heap; /* &unit->heap */
    CXTranslationUnit tu;
    const char *text; /* as libclang sees it: prelude and source */
    size_t length;
    struct children top_level; /* the declarations of file scope */
    struct type_table types;
    struct type_slot *type_slots; /* (type_capacity) libclang's types met so far */
    unsigned type_capacity, type_used;
    struct cursor_map records, spoiled, fields, decls, redeclarations;
    struct cursor_map vlas; /* variable-length arrays: reader_clang_vla.c */
    struct stmt **entry;    /* (n_entry) what the function being read does first */
    int n_entry;
    struct type **volatile_records; /* (n_volatile_records) completed at the end */
    int n_volatile_records;
    struct reference *references;
    int n_references;
    struct decl *user;     /* the function or object of file scope being read; NULL: none */
    struct decl *function; /* the function being read; NULL: file scope */
    struct type *switch_type; /* of the controlling expression of the innermost switch */
    bool gnu_inline;     /* inline as in GNU C89 */
    int depth;           /* of recursion over the source */
    int serial;          /* of static locals and compound literals */
    const char *file;    /* name of the last location */
    struct broken *broken; /* (n_broken) */
    int n_broken;
    jmp_buf *refusal;    /* where reader_refuse() goes */
    const char *refused; /* its message */
};

/* reader_clang.c: the walk */
struct location reader_location(struct reader *r, CXCursor c);
_Noreturn void reader_refuse(struct reader *r, CXCursor at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
_Noreturn void reader_refuse_again(struct reader *r, const char *message);
void reader_enter(struct reader *r,
                  CXCursor at); /* one level deeper; refuses when it is too deep */
void reader_leave(struct reader *r);

/* reader_clang_error.c */
/** Whether libclang found errors that end the file: the first is set in the heap's error. */
bool reader_has_errors(struct reader *r, const struct children *top);
const char *reader_broken(const struct reader *r, int declaration); /* why; NULL: it is sound */

/* reader_clang_cursor.c: cursors, text and tokens */
struct children reader_children(struct reader *r, CXCursor c);    /* all */
struct children reader_expressions(struct reader *r, CXCursor c); /* those that are expressions */
const char *reader_spelling(struct reader *r, CXCursor c);
void reader_extent(struct reader *r, CXCursor c, size_t *start, size_t *end);
struct token reader_token(const struct reader *r,
                          size_t offset); /* the first at or behind offset */
struct token reader_first_token(struct reader *r, CXCursor c);
struct token reader_token_after(struct reader *r, CXCursor c);
bool reader_token_is(const struct reader *r, struct token t, const char *text);
void reader_adapt_text(const struct reader *r,
                       char *text);               /* r's text, writable: makes gcc's C libclang's */
bool reader_evaluate(CXCursor c, int64_t *value); /* integer constant expressions, by libclang */
void *cursor_map_get(const struct cursor_map *map, CXCursor key);
void cursor_map_put(struct heap *h, struct cursor_map *map, CXCursor key, void *value);

/* reader_clang_literal.c */
struct expr *reader_integer(struct reader *r, CXCursor c);
struct expr *reader_floating(struct reader *r, CXCursor c);
struct expr *reader_character(struct reader *r, CXCursor c);
struct expr *reader_string(struct reader *r, CXCursor c);
const char *
reader_string_tokens(struct reader *r, CXCursor at, size_t *offset, int64_t unit_bytes,
                     int64_t *n_bytes); /* adjacent literals from offset on, which moves */

/* reader_clang_type.c */
struct type *reader_type(struct reader *r, CXType t, CXCursor at);
struct type *reader_type_of(struct reader *r, CXCursor c); /* of an expression or declaration */
/** Of an expression known to be a value: where a parameter declared as an array is involved,
   libclang shows the array, not the pointer that it is. */
struct type *reader_value_type(struct reader *r, CXCursor c);
/** The path of fields from record to the field of this cursor, through anonymous members; its
 * length. */
enum { MAX_FIELD_PATH = 32 };
int reader_field_path(struct reader *r, struct type *record, CXCursor field,
                      struct field *path[MAX_FIELD_PATH]);

/* reader_clang_convert.c: nodes and C's conversions */
struct expr *reader_node(struct reader *r, enum expr_kind kind, struct type *type,
                         struct location at);
struct expr *reader_int_node(struct reader *r, struct type *type, uint64_t value,
                             struct location at);
struct expr *reader_cast(struct reader *r, struct expr *e,
                         struct type *type);                   /* e itself when it has it */
struct expr *reader_value(struct reader *r, struct expr *e);   /* arrays and functions decay */
struct expr *reader_truth(struct reader *r, struct expr *e);   /* what a condition takes */
struct expr *reader_promote(struct reader *r, struct expr *e); /* integer promotions */
struct expr *reader_promote_argument(struct reader *r,
                                     struct expr *e); /* default argument promotions */
struct expr *reader_unary(struct reader *r, enum expr_kind kind, struct expr *a,
                          struct location at);
struct expr *reader_binary(struct reader *r, CXCursor at, enum expr_kind kind, struct expr *a,
                           struct expr *b);
struct expr *reader_deref(struct reader *r, struct expr *pointer, struct location at);
struct expr *reader_address(struct reader *r, struct expr *object, struct location at);
struct expr *reader_member(struct reader *r, struct expr *record, struct field *f,
                           struct location at);
struct expr *reader_name(struct reader *r, struct decl *d, struct location at);

/* reader_clang_expr.c, reader_clang_call.c, reader_clang_generic.c, reader_clang_builtin.c */
struct expr *reader_expr(struct reader *r, CXCursor c);
struct expr *reader_rvalue(struct reader *r, CXCursor c); /* reader_value(reader_expr()) */
bool reader_constant(struct reader *r, CXCursor c, int64_t *value); /* an integer constant */
struct expr *reader_call(struct reader *r, CXCursor c);
struct expr *reader_generic(struct reader *r, CXCursor c); /* _Generic: the chosen branch */
struct expr *reader_builtin(struct reader *r, CXCursor call, const char *name,
                            struct children args);

/* reader_clang_atomic.c: __sync_ and __atomic_ calls; the other form (NULL: it is none) */
struct expr *reader_atomic_call(struct reader *r, CXCursor at, const char *name,
                                struct children args);
struct expr *reader_atomic_form(struct reader *r, CXCursor at, struct children list);

/* reader_clang_init.c: what fills an object of this type, from its initialiser's cursor */
struct initializer *reader_initializer(struct reader *r, struct type *type, CXCursor c);

/* reader_clang_vla.c */
bool reader_is_vla(CXCursor variable);
bool reader_is_variable(CXType t); /* an array of variable length, or what points to one */
struct type *reader_vla_type(struct reader *r, CXType t, CXCursor at);
/** What a declaration of a variable or typedef does: a BLOCK that sizes its types, takes memory. */
struct stmt *reader_vla_sizes(struct reader *r, CXCursor declaration);
void reader_vla_parameter(struct reader *r, CXCursor parameter); /* its size's, on entry */
struct expr *reader_vla_name(struct reader *r, CXCursor use_at, CXCursor variable);
struct expr *reader_vla_cast(struct reader *r, CXCursor cast, struct expr *value);
struct expr *reader_vla_sizeof(struct reader *r, CXCursor sizeof_expr); /* NULL: of no VLA */

/* reader_clang_stmt.c */
struct stmt *reader_body(struct reader *r, CXCursor compound); /* as a BLOCK */

/* reader_clang_asm.c */
struct stmt *reader_asm(struct reader *r, CXCursor c);

/* reader_clang_decl.c */
struct decl *reader_decl(struct reader *r,
                         CXCursor c); /* the entity that a declaration or use names */
void reader_top_level(struct reader *r, CXCursor c);
struct stmt *reader_local(struct reader *r, CXCursor c); /* a DECL statement; NULL: nothing to do */
void reader_refused_definition(struct reader *r, CXCursor c, const char *message);
struct decl *reader_temporary(struct reader *r, struct type *type, const char *name,
                              struct location at);
struct decl *reader_library_function(struct reader *r, const char *symbol, struct type *type);
void reader_add_decl(struct reader *r, struct decl *d);
void reader_mark_used(struct reader *r);
void reader_drop_unused(struct reader *r);

/* reader_clang_alignment.c: of aligned() and _Alignas(), from behind its parenthesis */
int64_t reader_alignment(struct reader *r, CXCursor attribute, size_t offset);

/* reader_clang_attribute.c */
struct attributes {
    bool is_weak, is_used, is_noreturn, is_gnu_inline, is_always_inline;
    const char *section, *label, *alias; /* NULL: none */
    int64_t align;                       /* 0: none */
    int before_main, after_main;         /* as in struct decl */
    const char *refused; /* an attribute that changes meaning and is not supported; NULL: none */
};
void reader_attributes(struct reader *r, CXCursor declaration,
                       struct attributes *out); /* adds to out */

#endif
