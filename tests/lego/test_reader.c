/*
 * test_reader.c: C through libclang into the tree of ast.h: operators, conversions, literals, the
 * parts of statements.
 */
#include "read.h"

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

static void numbers_of_two_words_are_explicit(void **state)
{
    (void)state;
    /* a real operand stays real, though libclang widens it */
    assert_tree("double _Complex f(double _Complex z) { return 2 * z; }",
                "* : _Complex double\n"
                "        cast : double\n"
                "          int 2 : int\n"
                "        name z : _Complex double\n");
    assert_tree("double _Complex f(double _Complex z) { return 2 / z; }",
                "/ : _Complex double\n        cast : _Complex double\n");
    assert_tree("float f(float _Complex z) { return __imag__ z; }",
                "member __imag__ at 4 : float\n");
    assert_tree("int f(double _Complex z) { return !z; }",
                "not : int\n        != : int\n          name z : _Complex double\n");
    assert_tree("unsigned __int128 f(void) { return -1; }",
                "cast : unsigned __int128\n        negate : int\n");
}

static void sizes_of_arrays_are_variables(void **state)
{
    (void)state;
    assert_tree("long f(int n, int a[n][n]) { return sizeof a[1]; }", "name bytes.");
    assert_tree("int f(int n) { int a[n][3]; return a[1][2]; }", "deref : int [*][3]\n");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_binary_operator_is_recovered),
        cmocka_unit_test(every_assignment_operator_is_recovered),
        cmocka_unit_test(unary_operators_keep_their_side),
        cmocka_unit_test(conversions_are_casts),
        cmocka_unit_test(numbers_of_two_words_are_explicit),
        cmocka_unit_test(sizes_of_arrays_are_variables),
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
