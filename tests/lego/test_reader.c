/*
 * test_reader.c: C through libclang into the tree of ast.h: operators, conversions, the parts of
 * statements, literals, and what is refused. Layouts and initialisers are compared with the host's
 * compiler: the same text stands here as code and as a string.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/buf.h"
#include "lego/ast.h"
#include "lego/constant.h"
#include "lego/type.h"

static struct unit *read_args(const char *source, const char *const *args, int n)
{
    ashlar_error err = {0};
    struct unit *u = NULL;
    if (reader_read("t.c", source, strlen(source), args, n, &u, &err) != ASHLAR_OK)
        fail_msg("%s", err.message);
    return u;
}

static struct unit *read_source(const char *source)
{
    return read_args(source, NULL, 0);
}

static struct decl *find(const struct unit *u, const char *name)
{
    for (int i = 0; i < u->n; i++) {
        if (strcmp(u->decls[i]->name, name) == 0)
            return u->decls[i];
    }
    return NULL;
}

static struct decl *must_find(const struct unit *u, const char *name)
{
    struct decl *d = find(u, name);
    if (!d)
        fail_msg("no %s in the unit", name);
    return d;
}

/* The printed tree holds this text. */
static void assert_tree(const char *source, const char *expected)
{
    struct unit *u = read_source(source);
    struct buf out;
    buf_init(&out, 1 << 24);
    ast_print(u, &out);
    assert_false(out.failed);
    if (!strstr(out.data, expected))
        fail_msg("the tree of\n%s\nlacks\n%s\nit is\n%s", source, expected, out.data);
    buf_fini(&out);
    unit_free(u);
}

/* The definition is refused with a message that holds this text; others in the file are not. */
static void assert_refused(const char *source, const char *name, const char *expected)
{
    struct unit *u = read_source(source);
    for (int i = 0; i < u->n; i++) {
        const struct decl *d = u->decls[i];
        if (strcmp(d->name, name) != 0) {
            assert_null(d->refused);
        } else if (!d->refused || !strstr(d->refused, expected)) {
            fail_msg("%s: refused with \"%s\", not \"%s\"", name,
                     d->refused ? d->refused : "nothing", expected);
        }
    }
    must_find(u, name);
    unit_free(u);
}

/* ---- expressions ---- */

static void every_binary_operator_is_recovered(void **state)
{
    (void)state;
    static const char *const operators[] = {"+", "-",  "*",  "/", "%",  "<<", ">>", "&",  "^",
                                            "|", "==", "!=", "<", "<=", ">",  ">=", "&&", "||"};
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        char source[120], tree[160];
        snprintf(source, sizeof source, "int f(int a, int b) { return (a)%s\n# 9 \"x.h\"\n-b; }",
                 operators[i]);
        snprintf(
            tree, sizeof tree,
            "      %s : int\n        name a : int\n        negate : int\n          name b : int\n",
            operators[i]);
        assert_tree(source, tree);
    }
}

static void every_assignment_operator_is_recovered(void **state)
{
    (void)state;
    static const char *const operators[] = {"+", "-", "*", "/", "%", "<<", ">>", "&", "^", "|"};
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        char source[120], tree[160];
        snprintf(source, sizeof source, "void f(short a, long b) { a %s= b; }", operators[i]);
        snprintf(tree, sizeof tree,
                 "op= %s : short\n        name a : short\n        name b : long\n", operators[i]);
        assert_tree(source, tree);
    }
}

static void unary_operators_keep_their_side(void **state)
{
    (void)state;
    assert_tree("void f(int a) { ++a; }", "++pre : int");
    assert_tree("void f(int a) { --a; }", "--pre : int");
    assert_tree("void f(int a) { a++; }", "post++ : int");
    assert_tree("void f(int a) { (a)--; }", "post-- : int");
    assert_tree("int f(char a) { return ~a; }", "complement : int\n        cast : int\n");
    assert_tree("int f(int *a) { return !a; }", "not : int\n        name a : int *\n");
    assert_tree("int f(short a) { return +a; }", "cast : int\n        name a : short\n");
}

static void conversions_are_casts(void **state)
{
    (void)state;
    assert_tree("long f(int a, unsigned b) { return a + b; }",
                "cast : long\n        + : unsigned int\n          cast : unsigned int\n"
                "            name a : int\n          name b : unsigned int\n");
    assert_tree("int f(char a, double b) { return a < b; }",
                "< : int\n        cast : double\n");
    assert_tree("void g(double); void f(float x) { g(x); }",
                "cast : double\n          name x : float\n");
    assert_tree(
        "int p(const char *, ...); void f(float x, char c) { p(\"\", x, c); }",
        "cast : double\n          name x : float\n        cast : int\n          name c : char\n");
    assert_tree("char f(void) { return 300; }", "return @1:16\n      int 44 : char\n");
    assert_tree("_Bool f(int *p) { return p; }", "cast : _Bool\n        name p : int *\n");
}

static void bit_fields_promote_by_width(void **state)
{
    (void)state;
    assert_tree("struct S { unsigned a : 3; } s; int f(void) { return -s.a < 0; }",
                "negate : int\n");
    assert_tree("struct S { unsigned a : 32; } s; int f(void) { return -s.a < 0; }",
                "negate : unsigned int\n");
    assert_tree("struct S { unsigned a : 3; } s; int f(void) { return (s.a = 1) - 2 < 0; }",
                "- : int\n");
}

static void subscripts_and_members_have_one_shape(void **state)
{
    (void)state;
    assert_tree("int f(int *a, unsigned i) { return i[a]; }",
                "deref : int\n        + : int *\n          name a : int *\n          cast : long\n"
                "            name i : unsigned int\n");
    assert_tree(
        "struct S { int x; struct { int y; union { int z; }; }; }; int f(struct S *p) { return "
        "p->z; }",
        "member z at 0 : int\n        member (anonymous) at 4 : union (anonymous)\n"
        "          member (anonymous) at 4 : struct (anonymous)\n            deref : struct S\n");
    assert_tree("int *f(int *p) { return &p[2]; }", "return @1:18\n      + : int *\n");
    assert_tree("void g(void); void f(void) { (***g)(); }",
                "call : void\n        cast : void (*)(void)\n          name g : void (void)\n");
}

static void gnu_forms_are_read(void **state)
{
    (void)state;
    assert_tree("int f(int a) { return a ?: 7; }",
                "?: : int\n        name a : int\n        int 7 : int\n");
    assert_tree("int f(int a) { return ({ int b = a; b; }); }", "statement : int\n        block");
    assert_tree("long f(void) { return __builtin_offsetof(struct { int a, b[3]; }, b[2]); }",
                "int 12 : ");
    assert_tree("int f(void) { return __builtin_types_compatible_p(int, int) + "
                "__builtin_choose_expr(1, 5, 6); }",
                "int 1 : int\n        int 5 : int\n");
    assert_tree("int f(int a) { return __builtin_constant_p(a) * 10 + __builtin_constant_p(3); }",
                "int 0 : int\n          int 10 : int\n        int 1 : int\n");
    assert_tree(
        "void f(int a) { __asm__ volatile (\"\" : \"=r\"(a) : \"0\"(a + 1) : \"memory\"); }",
        "= : int\n          name a : int\n          + : int\n");
}

static void values_become_unions(void **state)
{
    (void)state;
    assert_tree("union u { char a; int b; }; union u f(int i) { return (union u)i; }",
                "compound compound : union u\n        compound : union u auto");
    assert_tree("typedef union { int *a; char *b; } U __attribute__((transparent_union));"
                "void g(U); void f(char *p) { g(p); }",
                "at 0 : int *\n              cast : int *\n");
}

static void generic_takes_the_right_branch(void **state)
{
    (void)state;
    assert_tree("int f(float x) { return _Generic(x, int: 1, default: 2.0, float: \"s\") != 0; }",
                "string \"s");
    assert_tree("int f(char *x) { return _Generic(x, const char *: 1, char *: 2, default: 3); }",
                "int 2 : int");
    assert_tree(
        "int f(const char *x) { return _Generic(x, const char *: 1, char *: 2, default: 3); }",
        "int 1 : int");
    assert_tree("typedef struct A { int i; } B; int f(B x) { return _Generic(x, int: 1, B: 2); }",
                "int 2 : int");
    assert_tree("int f(long x) { return _Generic(x, int: 1, default: 9, unsigned long: 3); }",
                "int 9 : int");
}

static void variable_arguments_become_nodes(void **state)
{
    (void)state;
    const char *source = "typedef __builtin_va_list L; void g(L); int f(int n, ...) { L a, b; "
                         "__builtin_va_start(a, n);"
                         "__builtin_va_copy(b, a); g(b); int i = __builtin_va_arg(a, int); "
                         "__builtin_va_end(a); return i; }";
    assert_tree(source, "va_start : void\n        cast : struct __va_list_tag *\n");
    assert_tree(source, "va_copy : void\n");
    assert_tree(source, "va_arg : int\n            cast : struct __va_list_tag *\n");
    assert_tree("int f(int n, __builtin_va_list a) { return __builtin_va_arg(a, int); }",
                "va_arg : int\n        name a : struct __va_list_tag *\n");
}

static void builtins_become_calls_by_name(void **state)
{
    (void)state;
    assert_tree("int f(unsigned x) { return __builtin_popcount(x); }",
                "name __builtin_popcount : int (unsigned int)\n");
    assert_tree("int f(float x) { return __builtin_isnormal(x); }",
                "name __builtin_isnormal : int ()\n        name x : float\n");
}

/* ---- literals ---- */

static void literals_have_their_values(void **state)
{
    (void)state;
    assert_tree("unsigned long long x = 0xFFFFFFFFFFFFFFFFULL;", "int -1 : unsigned long long");
    assert_tree("long x = 0b101, y = 017, z = 2147483648;", "int 2147483648 : long");
    assert_tree("int x = '\\377';", "int -1 : int");
    assert_tree("int x = 'ab';", "int 24930 : int");
    assert_tree("int x = L'\\u20ac';", "int 8364 : int");
    assert_tree("float x = 0.1f;", "float 0xc.ccccdp-7 : float");
    assert_tree("double x = 0x1.8p3;", "float 0xcp+0 : double");
    assert_tree("long double x = 0.1L;", "float 0xc.ccccccccccccccdp-7 : long double");
}

static void strings_have_their_bytes(void **state)
{
    (void)state;
    assert_tree("char *s = \"a\\x41\" \"1\\0\\n\\\"\\?\";", "string \"aA1\\000\\012\\042?\\000\"");
    assert_tree("char *s = \"\\u00e9\";", "string \"\\303\\251\\000\"");
    assert_tree("unsigned short s[] = u\"\\U0001F600\";", "string \"=\\330\\000\\336\\000\\000\"");
    assert_tree("int s[] = L\"a\" \"b\";",
                "string \"a\\000\\000\\000b\\000\\000\\000\\000\\000\\000\\000\"");
    assert_tree("const char *f(void) { return __func__; }", "string \"f\\000\"");
}

/* ---- statements ---- */

static void parts_of_for_are_told_apart(void **state)
{
    (void)state;
    for (int parts = 0; parts < 8; parts++) {
        char source[160];
        snprintf(source, sizeof source, "void f(int a) { for (%s;%s;%s) ; }",
                 parts & 1 ? "int i = 0" : "", parts & 2 ? "a" : "", parts & 4 ? "a++" : "");
        struct unit *u = read_source(source);
        const struct stmt *s = must_find(u, "f")->body->items[0];
        assert_int_equal(s->kind, STMT_FOR);
        assert_int_equal(s->init != NULL, parts & 1);
        assert_int_equal(s->expr != NULL, (parts & 2) != 0);
        assert_int_equal(s->step != NULL, (parts & 4) != 0);
        assert_int_equal(s->body->kind, STMT_EMPTY);
        unit_free(u);
    }
}

static void labels_of_one_statement_follow_each_other(void **state)
{
    (void)state;
    assert_tree("int f(unsigned char c) { switch (c) { case 1: case 2 ... 5: default: x: return c; "
                "} return 0; }",
                "case 1 @1:39\n          empty @1:47\n        case 2 ... 5 @1:47\n");
    assert_tree("void f(long c) { switch (c) { case -1: ; } }", "case -1 @1:31");
    assert_tree("void f(unsigned c) { switch (c) { case -1: ; } }", "case 4294967295 @");
}

static void main_returns_zero(void **state)
{
    (void)state;
    struct unit *u = read_source("int main(void) { }");
    const struct stmt *body = must_find(u, "main")->body;
    assert_int_equal(body->n, 1);
    assert_int_equal(body->items[0]->kind, STMT_RETURN);
    unit_free(u);
}

/* ---- declarations ---- */

static void redeclarations_are_one_entity(void **state)
{
    (void)state;
    struct unit *u = read_source(
        "extern int a[]; int f(void) { extern int a[]; return a[1]; } int a[3]; int a[3];"
        "int f(void) __attribute__((weak)); int t; int t = 4; int t;"
        "int g(void) { extern int far; return far; } int h(void) { extern int far; return far; }");
    int n = 0;
    for (int i = 0; i < u->n; i++)
        n += strcmp(u->decls[i]->name, "a") == 0 || strcmp(u->decls[i]->name, "far") == 0;
    assert_int_equal(n, 2);
    assert_int_equal(must_find(u, "a")->type->size, 12);
    assert_true(must_find(u, "a")->is_tentative);
    assert_true(must_find(u, "f")->is_weak);
    assert_false(must_find(u, "t")->is_tentative);
    assert_non_null(must_find(u, "t")->init);
    assert_int_equal(must_find(u, "far")->storage, STORAGE_EXTERN);
    unit_free(u);
}

static void attributes_and_labels_are_applied(void **state)
{
    (void)state;
    struct unit *u = read_source("int a __attribute__((aligned(64), section(\".mine\"))); typedef "
                                 "int T __attribute__((aligned(32)));"
                                 "T t; _Alignas(16) char c; int far(void) __asm__(\"near\"); int "
                                 "f(void) { static int s; return far() + s++; }"
                                 "_Noreturn void dies(void) { for (;;) ; } __asm__(\".globl q\"); "
                                 "static int unused(void) { return 1; }");
    assert_int_equal(must_find(u, "a")->align, 64);
    assert_string_equal(must_find(u, "a")->section, ".mine");
    assert_int_equal(must_find(u, "t")->align, 32);
    assert_int_equal(must_find(u, "c")->align, 16);
    assert_string_equal(must_find(u, "far")->symbol, "near");
    assert_non_null(strchr(must_find(u, "s")->symbol, '.'));
    assert_true(must_find(u, "dies")->is_noreturn);
    assert_int_equal(u->n_asms, 1);
    assert_string_equal(u->asms[0], ".globl q");
    assert_null(find(u, "unused"));
    unit_free(u);
}

static void inline_definitions_follow_the_standard(void **state)
{
    (void)state;
    static const char source[] =
        "inline int a(void) { return 1; } extern inline int b(void) { return 2; }"
        "inline int c(void) { return 3; } int c(void);"
        "static inline int d(void) { return 4; } int f(void) { return a() + b() + c() + d(); }";
    struct unit *u = read_source(source);
    assert_null(must_find(u, "a")->body);
    assert_non_null(must_find(u, "b")->body);
    assert_non_null(must_find(u, "c")->body);
    assert_non_null(must_find(u, "d")->body);
    unit_free(u);
    u = read_args(source, (const char *const[]){"-std=gnu89"}, 1);
    assert_non_null(must_find(u, "a")->body);
    assert_null(must_find(u, "b")->body);
    unit_free(u);
}

static void old_style_parameters_arrive_promoted(void **state)
{
    (void)state;
    struct unit *u = read_source("int f(a, b, p) float a; char b; int *p; { return a + b + *p; }");
    const struct decl *f = must_find(u, "f");
    assert_int_equal(f->type->n, 3);
    assert_int_equal(f->params[0]->type->kind, TYPE_DOUBLE);
    assert_int_equal(f->params[1]->type->kind, TYPE_INT);
    assert_int_equal(f->body->items[0]->kind, STMT_DECL);
    assert_int_equal(f->body->items[0]->decl->type->kind, TYPE_FLOAT);
    assert_int_equal(f->body->items[1]->decl->type->kind, TYPE_CHAR);
    unit_free(u);
}

/* ---- layout and initialisers against the host's compiler ---- */

#define TEXT(...) #__VA_ARGS__
#define AS_TEXT(...) TEXT(__VA_ARGS__)

#define RECORDS                                                                                    \
    struct plain {                                                                                 \
        char a;                                                                                    \
        double b;                                                                                  \
        short c[3];                                                                                \
        long double d;                                                                             \
    };                                                                                             \
    struct __attribute__((packed)) tight {                                                         \
        char a;                                                                                    \
        int b;                                                                                     \
        short c;                                                                                   \
        long long d;                                                                               \
    };                                                                                             \
    union either {                                                                                 \
        char a[5];                                                                                 \
        int b;                                                                                     \
        double c;                                                                                  \
    };                                                                                             \
    struct outer {                                                                                 \
        char a;                                                                                    \
        struct {                                                                                   \
            int b;                                                                                 \
            union {                                                                                \
                char c;                                                                            \
                long d;                                                                            \
            };                                                                                     \
        };                                                                                         \
        struct tight e;                                                                            \
        union either f;                                                                            \
    };                                                                                             \
    struct __attribute__((aligned(32))) wide {                                                     \
        int a;                                                                                     \
    };                                                                                             \
    struct tail {                                                                                  \
        int a;                                                                                     \
        char b[];                                                                                  \
    };

RECORDS

#define PLACE(record, member)                                                                      \
    {                                                                                              \
#record, #member, offsetof(record, member), sizeof(record), _Alignof(record)               \
    }

static void layout_is_the_hosts(void **state)
{
    (void)state;
    static const struct {
        const char *record, *member;
        size_t offset, size, align;
    } places[] = {PLACE(struct plain, b), PLACE(struct plain, c), PLACE(struct plain, d),
                  PLACE(struct tight, b), PLACE(struct tight, d), PLACE(union either, c),
                  PLACE(struct outer, e), PLACE(struct outer, f), PLACE(struct wide, a),
                  PLACE(struct tail, b)};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char source[1200];
        snprintf(source, sizeof source, "%s %s object;", AS_TEXT(RECORDS), places[i].record);
        struct unit *u = read_source(source);
        const struct type *t = must_find(u, "object")->type;
        assert_int_equal(t->size, places[i].size);
        assert_int_equal(t->align, places[i].align);
        bool found = false;
        for (int k = 0; k < t->n; k++) {
            if (t->fields[k].name && strcmp(t->fields[k].name, places[i].member) == 0) {
                assert_int_equal(t->fields[k].offset, places[i].offset);
                found = true;
            }
        }
        assert_true(found);
        unit_free(u);
    }
}

/* Unsigned as bytes in memory: `bits` of them from bit `first` of the unit at `at`. */
static void put_bits(unsigned char *at, int first, int bits, uint64_t value)
{
    for (int i = 0; i < bits; i++) {
        int bit = first + i;
        unsigned char mask = (unsigned char)(1u << bit % 8);
        at[bit / 8] = (unsigned char)((at[bit / 8] & ~mask) | (value >> i & 1 ? mask : 0));
    }
}

static long double real_value(const struct expr *e)
{
    int64_t i;
    if (e->kind == EXPR_FLOAT)
        return e->real;
    if (e->kind == EXPR_NEGATE)
        return -real_value(e->a);
    if (e->kind == EXPR_CAST && type_is_float(e->a->type))
        return real_value(e->a);
    assert_int_equal(e->kind, EXPR_CAST);
    assert_true(constant_integer(e->a, &i));
    return i;
}

static void put_item(unsigned char *bytes, const struct init *item)
{
    unsigned char *at = bytes + item->offset;
    int64_t integer = 0;
    if (item->value->kind == EXPR_STRING) {
        int64_t n =
            item->value->n_bytes < item->type->size ? item->value->n_bytes : item->type->size;
        memset(at, 0, (size_t)item->type->size);
        memcpy(at, item->value->bytes, (size_t)n);
    } else if (type_is_float(item->type)) {
        long double l = real_value(item->value);
        double d = (double)l;
        float f = (float)l;
        memcpy(at, item->type->size == 4 ? (void *)&f : (void *)&d, (size_t)item->type->size);
    } else {
        assert_true(constant_integer(item->value, &integer));
        if (item->bits)
            put_bits(at, item->bits->bit_offset, item->bits->bit_width, (uint64_t)integer);
        else
            memcpy(at, &integer, (size_t)item->type->size);
    }
}

static void assert_object(const char *declarations, const char *name, const void *expected,
                          size_t size)
{
    struct unit *u = read_source(declarations);
    const struct decl *d = must_find(u, name);
    assert_null(d->refused);
    unsigned char *bytes = calloc(1, size + 16);
    assert_non_null(bytes);
    assert_true(d->init->extent <= (int64_t)size);
    for (int i = 0; i < d->init->n; i++)
        put_item(bytes, &d->init->items[i]);
    if (memcmp(bytes, expected, size) != 0)
        fail_msg("%s does not have the bytes that the host gives it in\n%s", name, declarations);
    free(bytes);
    unit_free(u);
}

/* The object and its source. Padding is zero in both: storage is static. */
#define OBJECT(name, ...)                                  \
    static __VA_ARGS__;                                    \
    static const char name##_source[] = #__VA_ARGS__ ";"
#define ASSERT_OBJECT(name) assert_object(name##_source, #name, &name, sizeof name)

/* What is tested is what these warn of. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wmissing-braces"
OBJECT(
    nested, struct {
        int a, b[2][2];
        struct {
            short x, y;
        } c[2];
    } nested = {1, {{2}, 3, 4}, {{5, 6}, 7}});
OBJECT(elided, int elided[3][2] = {1, 2, {3}, 4});
OBJECT(
    chosen, struct {
        int a;
        struct {
            int b, c[3];
        } d;
        int e;
    } chosen = {.d.c[1] = 4, 5, 6, .a = 7});
OBJECT(turned, struct { int a, b, c; } turned = {.c = 1, .a = 2, 3});
OBJECT(
    taken_back, struct {
        int a[4];
        int b;
    } taken_back = {.a = {1, 2, 3, 4}, .b = 5, .a = {[2] = 9}});
OBJECT(indexed, int indexed[8] = {[5] = 1, 2, [1] = 3, 4, [6] = 5});
OBJECT(ranges, short ranges[3][4] = {[0 ... 1] = {[1 ... 2] = 7, 8}, [2][0 ... 3] = 9});
OBJECT(
    anonymous, struct {
        int a;
        struct {
            int b;
            union {
                int c;
                float d;
            };
        };
        int e;
    } anonymous = {1, .d = 2.5f, 6});
OBJECT(
    bits, struct {
        unsigned a : 3;
        int b : 7;
        unsigned : 4;
        unsigned c : 20;
        int d : 2;
    } bits = {5, -3, 99999, .d = 1});
OBJECT(
    packed_bits, struct __attribute__((packed)) {
        char x;
        unsigned a : 13;
        long b : 40;
        int c : 30;
    } packed_bits = {1, 5000, -2, -12345});
OBJECT(choice, union { char a[8]; long b; } choice = {.b = 0x1122334455667788});
OBJECT(first_member, union { char a[8]; long b; } first_member = {{1, 2, [7] = 3}});
OBJECT(strings, struct { char a[4], b[3], c[2][4]; } strings = {"ab", "xyz", {"p", {'q', 'r'}}});
OBJECT(
    braced_string, struct {
        char a[6];
        unsigned char b[3];
    } braced_string = {{"hello"}, ("no")});
OBJECT(reals, struct { float a; double b; float c; float d; } reals = {1, -2.5, 3.25L, -0.0f});
OBJECT(
    expressions, struct {
        long a;
        char b;
        unsigned short c;
        int d;
    } expressions = {sizeof(int) * 3, 'a' + 1, -1, 1 ? 5 : 6});
OBJECT(partial, struct { int a[3]; int b; } partial = {.a = 1, 2, 3, 4});
OBJECT(
    literal, struct {
        struct plain_pair {
            int a, b;
        } p[2];
        int n;
    } literal = {{(struct plain_pair){1, 2}, {.b = 3}}, 4});
OBJECT(deduced, int deduced[] = {[3] = 1, 2});
#pragma GCC diagnostic pop

static void initialisers_fill_as_the_hosts_do(void **state)
{
    (void)state;
    ASSERT_OBJECT(nested);
    ASSERT_OBJECT(elided);
    ASSERT_OBJECT(chosen);
    ASSERT_OBJECT(turned);
    ASSERT_OBJECT(taken_back);
    ASSERT_OBJECT(indexed);
    ASSERT_OBJECT(ranges);
    ASSERT_OBJECT(anonymous);
    ASSERT_OBJECT(bits);
    ASSERT_OBJECT(packed_bits);
    ASSERT_OBJECT(choice);
    ASSERT_OBJECT(first_member);
    ASSERT_OBJECT(strings);
    ASSERT_OBJECT(braced_string);
    ASSERT_OBJECT(reals);
    assert_object("struct { long a; double b; } braces = {{7}, {1}};", "braces", &(struct {
                      long a;
                      double b;
                  }){7, 1},
                  16);
    ASSERT_OBJECT(expressions);
    ASSERT_OBJECT(partial);
    ASSERT_OBJECT(literal);
    ASSERT_OBJECT(deduced);
}

static void flexible_arrays_extend_their_object(void **state)
{
    (void)state;
    struct unit *u =
        read_source("struct S { int n; char c[]; } s = {3, \"abc\"}, t = {1, {1, 2, 3, 4, 5}};");
    assert_int_equal(must_find(u, "s")->init->extent, 8);
    assert_int_equal(must_find(u, "t")->init->extent, 9);
    unit_free(u);
}

static void addresses_stay_expressions(void **state)
{
    (void)state;
    assert_tree("int a[4]; int *p = &a[2];",
                "+ : int *\n      cast : int *\n        name a : int [4]\n      int 2");
    assert_tree("struct S { int x; } *p = &(struct S){5};", "compound compound : struct S\n");
    assert_tree("int f(void); int (*p)(void) = f;",
                "cast : int (*)(void)\n      name f : int (void)\n");
}

/* ---- refusals ---- */

static void unsupported_constructs_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *source, *name, *expected;
    } cases[] = {
        {"int ok(void) { return 1; }\nvoid f(int n) {\n  __int128 a;\n}", "f",
         "t.c:3:12: __int128"},
        {"void f(void) { _Complex double d; }", "f", "_Complex"},
        {"__int128 f(void) { return 1; }", "f", "__int128"},
        {"_Atomic int x; ", "x", "_Atomic"},
        {"void f(void) { __asm__(\"nop\"); }", "f", "inline assembly"},
        {"__thread int t; ", "t", "thread-local"},
        {"typedef int v __attribute__((vector_size(16))); v f(v a) { return a; }", "f",
         "a vector type"},
        {"void f(int *p) { __sync_fetch_and_add(p, 1); }", "f", "__sync_fetch_and_add"},
        {"void f(int *p) { __atomic_store_n(p, 1, 0); }", "f", "__atomic_store_n"},
        {"int a; extern int f(void) __attribute__((alias(\"g\"))); int g(void) { return f(); }",
         "g", "alias"},
        {"void f(void) { register int x __asm__(\"rbx\") = 1; (void)x; }", "f", "register"},
        {"int n(void); int x[] = {[0 ... 3] = 1}; void f(void) { int y[] = {[0 ... 3] = n()}; }",
         "f", "side effects"},
        {"struct S { __int128 a; } ; int f(struct S *s) { return s->a != 0; }", "f", "__int128"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_refused(cases[i].source, cases[i].name, cases[i].expected);
    }
}

static void errors_of_the_language_end_the_file(void **state)
{
    (void)state;
    struct unit *u = NULL;
    ashlar_error err = {0};
    const char *source = "# 7 \"dir/x.c\"\nint f(void) { return y; }\nint g(void) { return z; }\n";
    assert_int_equal(reader_read("t.i", source, strlen(source), NULL, 0, &u, &err),
                     ASHLAR_BAD_INPUT);
    assert_null(u);
    assert_string_equal(err.message, "dir/x.c:7:22: use of undeclared identifier 'y'");
    assert_non_null(strstr(err.hint, "2 errors"));
    source = "int f(void) { int g(void) { return 1; } return g(); }";
    assert_int_equal(reader_read("t.i", source, strlen(source), NULL, 0, &u, NULL),
                     ASHLAR_BAD_INPUT);
}

/* `open`, n times `piece`, `close`. */
static char *deep(const char *open, const char *piece, int n, const char *close)
{
    size_t length = strlen(piece), total = strlen(open) + length * (size_t)n + strlen(close) + 1;
    char *text = malloc(total);
    assert_non_null(text);
    char *at = stpcpy(text, open);
    for (int i = 0; i < n; i++)
        at = stpcpy(at, piece);
    strcpy(at, close);
    return text;
}

static void deep_nesting_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *open, *piece, *close;
    } shapes[] = {{"int f(int a) { return ", "- ", "a; }"},
                  {"int f(int a) { return a", "+a", "; }"},
                  {"int f(int a) { ", "if (a) ; else ", "; return a; }"},
                  {"void f(int a) { int *", "*", "p; }"},
                  {"int f(int a) { return ", "a ? a : ", "a; }"}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        char *text = deep(shapes[i].open, shapes[i].piece, 3000, shapes[i].close);
        assert_refused(text, "f", "nesting deeper");
        free(text);
        text = deep(shapes[i].open, shapes[i].piece, 300, shapes[i].close);
        struct unit *u = read_source(text);
        assert_null(must_find(u, "f")->refused);
        unit_free(u);
        free(text);
    }
}

static void any_bytes_are_survived(void **state)
{
    (void)state;
    static const char *const sources[] = {
        "",  "\"",     "'",  "/*",           "__attribute__((", "int x = '\\",   "#",  "# 1 \"",
        "{", "int f(", "\\", "int a[] = {[", "_Generic(",       "asm(\"\" : \"", ";;;"};
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        struct unit *u = NULL;
        ashlar_error err;
        if (reader_read("t.c", sources[i], strlen(sources[i]), NULL, 0, &u, &err) == ASHLAR_OK)
            unit_free(u);
        else
            assert_null(u);
    }
}

/* ---- whole programs ---- */

/* The source through the preprocessor of cc; freed by the caller. */
static char *preprocess(const char *source, const char *flags)
{
    char name[] = "/tmp/ashlar-reader-XXXXXX", command[400];
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    assert_non_null(file);
    fputs(source, file);
    fclose(file);
    snprintf(command, sizeof command, "cc -w %s -x c -E %s", flags, name);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    struct buf text;
    buf_init(&text, 1 << 26);
    char block[1 << 14];
    for (size_t n; (n = fread(block, 1, sizeof block, pipe)) > 0;)
        assert_true(buf_append(&text, block, n));
    assert_int_equal(pclose(pipe), 0);
    unlink(name);
    return text.data;
}

static int count_refused(const struct unit *u, const char *allowed)
{
    int n = 0;
    for (int i = 0; i < u->n; i++) {
        const char *why = u->decls[i]->refused;
        if (why && !(allowed && strstr(why, allowed))) {
            print_message("%s: %s\n", u->decls[i]->name, why);
            n++;
        }
    }
    return n;
}

static void system_headers_are_read(void **state)
{
    (void)state;
    static const char *const headers[] = {
        "stdio.h",    "stdlib.h",     "string.h",     "math.h",   "ctype.h",    "stdint.h",
        "errno.h",    "time.h",       "unistd.h",     "signal.h", "setjmp.h",   "pthread.h",
        "sys/stat.h", "sys/socket.h", "netinet/in.h", "wchar.h",  "inttypes.h", "float.h",
        "stddef.h",   "assert.h",     "locale.h",     "dirent.h", "fcntl.h"};
    for (int flags = 0; flags < 2; flags++) {
        char source[2000] = "";
        for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
            sprintf(source + strlen(source), "#include <%s>\n", headers[i]);
        strcat(source, "int main(void) { struct stat s; errno = 0; return stat(\"\", &s) + "
                       "isalpha('a') + (int)floor(1.5); }");
        char *text = preprocess(source, flags ? "-D_GNU_SOURCE -O2" : "");
        struct unit *u = read_source(text);
        assert_int_equal(count_refused(u, NULL), 0);
        unit_free(u);
        free(text);
    }
}

/* The only construct in the set that is not supported is one program's variable-length array. */
static void humaneval_is_read_whole(void **state)
{
    (void)state;
    static char line[1 << 20];
    FILE *file = fopen("../shared/data/humaneval-c.jsonl", "r");
    if (!file)
        skip();
    while (fgets(line, sizeof line, file)) {
        json_t *record = json_loads(line, 0, NULL);
        const char *c = json_string_value(json_object_get(record, "c"));
        const char *test = json_string_value(json_object_get(record, "test"));
        assert_true(c && test);
        char *source = malloc(strlen(c) + strlen(test) + 3);
        assert_non_null(source);
        sprintf(source, "%s\n%s\n", c, test);
        char *text = preprocess(source, "");
        struct unit *u = read_source(text);
        assert_int_equal(count_refused(u, "variable-length array"), 0);
        unit_free(u);
        free(text);
        free(source);
        json_decref(record);
    }
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_binary_operator_is_recovered),
        cmocka_unit_test(every_assignment_operator_is_recovered),
        cmocka_unit_test(unary_operators_keep_their_side),
        cmocka_unit_test(conversions_are_casts),
        cmocka_unit_test(bit_fields_promote_by_width),
        cmocka_unit_test(subscripts_and_members_have_one_shape),
        cmocka_unit_test(gnu_forms_are_read),
        cmocka_unit_test(values_become_unions),
        cmocka_unit_test(generic_takes_the_right_branch),
        cmocka_unit_test(variable_arguments_become_nodes),
        cmocka_unit_test(builtins_become_calls_by_name),
        cmocka_unit_test(literals_have_their_values),
        cmocka_unit_test(strings_have_their_bytes),
        cmocka_unit_test(parts_of_for_are_told_apart),
        cmocka_unit_test(labels_of_one_statement_follow_each_other),
        cmocka_unit_test(main_returns_zero),
        cmocka_unit_test(redeclarations_are_one_entity),
        cmocka_unit_test(attributes_and_labels_are_applied),
        cmocka_unit_test(inline_definitions_follow_the_standard),
        cmocka_unit_test(old_style_parameters_arrive_promoted),
        cmocka_unit_test(layout_is_the_hosts),
        cmocka_unit_test(initialisers_fill_as_the_hosts_do),
        cmocka_unit_test(flexible_arrays_extend_their_object),
        cmocka_unit_test(addresses_stay_expressions),
        cmocka_unit_test(unsupported_constructs_are_named),
        cmocka_unit_test(errors_of_the_language_end_the_file),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(any_bytes_are_survived),
        cmocka_unit_test(system_headers_are_read),
        cmocka_unit_test(humaneval_is_read_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
