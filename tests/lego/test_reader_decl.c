/*
 * test_reader_decl.c: declarations in the tree of ast.h: entities, attributes, parameters, types
 * and initialisers. Layouts and initialisers are compared with the host's compiler: the same text
 * stands here as code and as a string.
 */
#include "read.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(redeclarations_are_one_entity),
        cmocka_unit_test(attributes_and_labels_are_applied),
        cmocka_unit_test(inline_definitions_follow_the_standard),
        cmocka_unit_test(old_style_parameters_arrive_promoted),
        cmocka_unit_test(layout_is_the_hosts),
        cmocka_unit_test(initialisers_fill_as_the_hosts_do),
        cmocka_unit_test(flexible_arrays_extend_their_object),
        cmocka_unit_test(addresses_stay_expressions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
