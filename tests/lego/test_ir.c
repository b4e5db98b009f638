/* test_ir.c: IR expressions fold as the target computes; printing, flattening, checking. */
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "lego/ir_build.h"

static struct heap heap;
static struct ir_builder build;
static struct ir_function function;
static jmp_buf bail;
static ashlar_error error;

static int set_up(void **state)
{
    (void)state;
    heap_init(&heap);
    heap.bail = &bail;
    heap.error = &error;
    function = (struct ir_function){0};
    if (setjmp(bail))
        return 1;
    ir_builder_init(&build, &heap);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    heap_fini(&heap);
    return 0;
}

static struct ir_expr *integer(enum ir_type t, int64_t v)
{
    return ir_int(&build, t, v);
}

static struct ir_object *variable(const char *name, enum ir_type t)
{
    struct ir_object *o = ir_new_object(&heap, &function, IR_LOCAL);
    o->name = name;
    o->type = t;
    o->size = t == IR_BYTES ? 16 : ir_type_size(t);
    o->align = 8;
    return o;
}

static struct ir_expr *read(const char *name, enum ir_type t)
{
    return ir_read(&build, variable(name, t));
}

static int64_t folded(enum ir_op op, enum ir_type t, int64_t x, int64_t y)
{
    bool shift = op == IR_SHIFT_LEFT || op == IR_SHIFT_RIGHT;
    struct ir_expr *e = ir_binary(&build, op, integer(t, x), integer(shift ? IR_I32 : t, y));
    assert_int_equal(e->op, IR_INT);
    return e->value;
}

static void integers_fold_in_their_width(void **state)
{
    (void)state;
    assert_int_equal(folded(IR_ADD, IR_U32, 4294967295, 1), 0);
    assert_int_equal(folded(IR_ADD, IR_I32, INT_MAX, 1), INT_MIN);
    assert_int_equal(folded(IR_SUBTRACT, IR_U64, 0, 1), -1);
    assert_int_equal(folded(IR_MULTIPLY, IR_U32, 65536, 65537), 65536);
    assert_int_equal(folded(IR_DIVIDE, IR_I32, -7, 2), -3);
    assert_int_equal(folded(IR_DIVIDE, IR_U32, 4294967289, 2), 2147483644);
    assert_int_equal(folded(IR_REMAINDER, IR_I64, -7, 2), -1);
    assert_int_equal(folded(IR_REMAINDER, IR_U64, -1, 10), 5);
    assert_int_equal(folded(IR_SHIFT_RIGHT, IR_I32, -8, 1), -4);
    assert_int_equal(folded(IR_SHIFT_RIGHT, IR_U32, 4294967288, 1), 2147483644);
    assert_int_equal(folded(IR_SHIFT_LEFT, IR_I32, 1, 31), INT_MIN);
    assert_int_equal(folded(IR_LESS, IR_I32, -1, 1), 1);
    assert_int_equal(folded(IR_LESS, IR_U64, -1, 1), 0);
    assert_int_equal(folded(IR_GREATER_EQUAL, IR_U32, 4294967295, 1), 1);
}

static void what_traps_is_not_folded(void **state)
{
    (void)state;
    struct ir_expr *zero = integer(IR_I32, 0), *one = integer(IR_I32, 1);
    assert_int_equal(ir_binary(&build, IR_DIVIDE, one, zero)->op, IR_DIVIDE);
    assert_int_equal(
        ir_binary(&build, IR_REMAINDER, integer(IR_I32, INT_MIN), integer(IR_I32, -1))->op,
        IR_REMAINDER);
    assert_int_equal(ir_binary(&build, IR_SHIFT_LEFT, one, integer(IR_I32, 32))->op, IR_SHIFT_LEFT);
    assert_int_equal(ir_binary(&build, IR_SHIFT_LEFT, integer(IR_U64, 1), integer(IR_I32, 32))->op,
                     IR_INT);
    assert_int_equal(ir_binary(&build, IR_SHIFT_RIGHT, one, integer(IR_I32, -1))->op,
                     IR_SHIFT_RIGHT);
}

static int64_t converted(enum ir_type to, enum ir_type from, int64_t v)
{
    struct ir_expr *e = ir_convert(&build, to, integer(from, v));
    assert_int_equal(e->op, IR_INT);
    assert_int_equal(e->type, to);
    return e->value;
}

static void constants_convert_as_their_types_say(void **state)
{
    (void)state;
    assert_int_equal(converted(IR_I8, IR_I32, 200), -56);
    assert_int_equal(converted(IR_U8, IR_I32, -1), 255);
    assert_int_equal(converted(IR_U64, IR_I32, -1), -1);
    assert_int_equal(converted(IR_I64, IR_U32, 4294967295), 4294967295);
    assert_int_equal(converted(IR_PTR, IR_I32, 0), 0);
    struct ir_expr *e = ir_convert(&build, IR_F64, integer(IR_U64, -1));
    long double v;
    assert_true(ir_float_value(e, &v) && v == 18446744073709551616.0L);
    e = ir_convert(&build, IR_F32, integer(IR_I32, 16777217));
    assert_true(ir_float_value(e, &v) && v == 16777216.0L);
    assert_int_equal(ir_convert(&build, IR_I32, ir_float(&build, IR_F64, -2.9))->value, -2);
    assert_int_equal(ir_convert(&build, IR_U64, ir_float(&build, IR_F80, 0x1.8p63L))->value,
                     (int64_t)0xc000000000000000);
    assert_int_equal(ir_convert(&build, IR_I32, ir_float(&build, IR_F64, 1e20))->value, INT_MAX);
}

static void floats_fold_in_their_type(void **state)
{
    (void)state;
    long double v;
    struct ir_expr *tenth = ir_float(&build, IR_F32, 0.1f), *three = ir_float(&build, IR_F32, 3);
    assert_true(ir_float_value(ir_binary(&build, IR_MULTIPLY, tenth, three), &v) &&
                v == 0.1f * 3.0f);
    struct ir_expr *nan = ir_float(&build, IR_F64, NAN), *one = ir_float(&build, IR_F64, 1);
    assert_true(ir_is_int(ir_binary(&build, IR_LESS, nan, one), 0));
    assert_true(ir_is_int(ir_binary(&build, IR_UNEQUAL, nan, nan), 1));
    struct ir_expr *minus = ir_unary(&build, IR_NEGATE, ir_float(&build, IR_F64, 0));
    assert_true(ir_float_value(minus, &v) && signbit(v));
    assert_ptr_equal(ir_float(&build, IR_F64, 1)->object, one->object);
    assert_ptr_not_equal(ir_float(&build, IR_F64, 0)->object, minus->object);
}

static void a_float_comparison_is_not_inverted(void **state)
{
    (void)state;
    struct ir_expr *x = read("x", IR_F64), *y = read("y", IR_F64), *i = read("i", IR_I32);
    assert_int_equal(ir_not(&build, ir_binary(&build, IR_LESS, x, y))->op, IR_NOT);
    assert_int_equal(ir_not(&build, ir_binary(&build, IR_EQUAL, x, y))->op, IR_UNEQUAL);
    assert_int_equal(ir_not(&build, ir_binary(&build, IR_LESS, i, i))->op, IR_GREATER_EQUAL);
}

static void offsets_gather_in_the_address(void **state)
{
    (void)state;
    struct ir_object *a = variable("a", IR_BYTES);
    struct ir_expr *e = ir_binary(&build, IR_ADD, ir_address(&build, a, 4), integer(IR_I64, 8));
    assert_int_equal(e->op, IR_ADDRESS);
    assert_int_equal(e->value, 12);
    struct ir_expr *index = ir_binary(&build, IR_ADD, ir_address(&build, a, 0), read("i", IR_I64));
    e = ir_binary(&build, IR_ADD, index, integer(IR_I64, 8));
    assert_int_equal(e->a->op, IR_ADDRESS);
    assert_int_equal(e->a->value, 8);
    struct ir_expr *p = read("p", IR_PTR);
    e = ir_binary(&build, IR_SUBTRACT, ir_binary(&build, IR_ADD, p, integer(IR_I64, 8)),
                  integer(IR_I64, 8));
    assert_ptr_equal(e, p);
}

/* ---- text ---------------------------------------------------------------------------------- */

static const char *name_of(void *context, const struct ir_object *o)
{
    (void)context;
    return o->name;
}

static void prints_as(const struct ir_expr *e, const char *want)
{
    struct buf out;
    buf_init(&out, 1000);
    struct ir_printer p = {.name = name_of, .out = &out};
    ir_print_expr(&p, e);
    assert_string_equal(out.data, want);
    buf_fini(&out);
}

static void text_means_what_the_tree_does(void **state)
{
    (void)state;
    struct ir_expr *i = read("i", IR_I32), *c = read("c", IR_U8), *p = read("p", IR_PTR);
    struct ir_object *a = variable("a", IR_BYTES), *s = variable("s", IR_I64);
    prints_as(ir_binary(&build, IR_MULTIPLY, ir_binary(&build, IR_ADD, i, integer(IR_I32, -5)), i),
              "(i + (-5)) * i");
    prints_as(ir_unary(&build, IR_NEGATE, ir_unary(&build, IR_NEGATE, i)), "-(-i)");
    prints_as(ir_convert(&build, IR_U64, ir_convert(&build, IR_I32, c)), "(unsigned long)c");
    prints_as(ir_load(&build, IR_PTR, ir_address(&build, a, 8), false), "*(char **)(a + 8)");
    prints_as(ir_load(&build, IR_I16, ir_address(&build, s, 0), false), "*(short *)&s");
    prints_as(ir_load(&build, IR_U8, ir_address(&build, s, -1), true),
              "*(volatile unsigned char *)((char *)&s - 1)");
    prints_as(ir_binary(&build, IR_UNEQUAL, p, integer(IR_PTR, 0)), "p != (char *)0L");
    prints_as(integer(IR_I32, INT_MIN), "(-2147483647 - 1)");
    prints_as(integer(IR_U64, -1), "18446744073709551615UL");
    prints_as(ir_conditional(&build, i, p, ir_address(&build, a, 0)), "i ? p : a");
}

/* ---- flattening and checking --------------------------------------------------------------- */

static struct ir_instr assignment(struct ir_object *o, struct ir_expr *value)
{
    return (struct ir_instr){.code = IR_ASSIGN, .object = o, .value = value};
}

static bool is_single(const struct ir_expr *e)
{
    return ir_is_simple(e) || (ir_is_simple(e->a) && (!e->b || ir_is_simple(e->b)) && !e->c);
}

static void flattened_code_is_single_operations(void **state)
{
    (void)state;
    struct ir_object *x = variable("x", IR_I32);
    struct ir_expr *i = read("i", IR_I32), *j = read("j", IR_I32);
    struct ir_expr *sum = ir_binary(&build, IR_ADD, ir_binary(&build, IR_MULTIPLY, i, j),
                                    ir_unary(&build, IR_COMPLEMENT, j));
    struct ir_expr *both = ir_binary(&build, IR_LOGICAL_AND, ir_binary(&build, IR_LESS, i, j), sum);
    struct ir_instr code[] = {assignment(x, ir_conditional(&build, both, sum, ir_read(&build, x))),
                              {.code = IR_BRANCH, .value = both, .label = ir_label(&function)},
                              {.code = IR_LABEL, .label = 0},
                              {.code = IR_RETURN}};
    struct ir_list out;
    ir_flatten(&heap, &function, code, 4, &out);
    int writes = 0;
    for (int k = 0; k < out.n; k++) {
        assert_true(!out.code[k].value || is_single(out.code[k].value));
        writes += out.code[k].object == x;
    }
    assert_int_equal(writes, 2); /* once on each way */
    function.code = out.code;
    function.n_code = out.n;
    assert_null(ir_check(&heap, &function));
}

/* A block with nothing but the access has no state in which it is defined. */
static void a_fixed_address_is_an_operation_of_its_own(void **state)
{
    (void)state;
    struct ir_object *x = variable("x", IR_I32);
    struct ir_expr load = {.op = IR_LOAD, .type = IR_I32, .a = integer(IR_PTR, 4096)};
    struct ir_instr code[] = {assignment(x, &load),
                              {.code = IR_STORE,
                               .address = integer(IR_PTR, 0),
                               .value = integer(IR_I32, 1)}};
    struct ir_list out;
    ir_flatten(&heap, &function, code, 2, &out);
    assert_int_equal(out.n, 4);
    assert_int_equal(out.code[0].value->value, 4096);
    assert_ptr_equal(out.code[1].value->a->object, out.code[0].object);
    assert_int_equal(out.code[3].address->op, IR_READ);
    assert_ptr_equal(out.code[3].address->object, out.code[2].object);
}

static void an_undefined_operation_reads_a_slot(void **state)
{
    (void)state;
    struct ir_object *x = variable("x", IR_I32);
    struct ir_expr *i = read("i", IR_I32), *most = integer(IR_I32, INT_MAX);
    struct {
        enum ir_op op;
        struct ir_expr *a, *b;
        bool undefined;
    } cases[] = {{IR_DIVIDE, i, integer(IR_I32, 0), true},
                 {IR_DIVIDE, i, integer(IR_I32, 3), false},
                 {IR_SHIFT_LEFT, i, integer(IR_I32, 32), true},
                 {IR_SHIFT_LEFT, i, integer(IR_I32, 31), false},
                 {IR_ADD, most, integer(IR_I32, 1), true},
                 {IR_ADD, i, most, false},
                 {IR_NEGATE, integer(IR_I32, INT_MIN), NULL, true}};
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        struct ir_expr e = {.op = cases[k].op, .type = IR_I32, .a = cases[k].a, .b = cases[k].b};
        struct ir_instr code = assignment(x, &e);
        struct ir_list out;
        ir_flatten(&heap, &function, &code, 1, &out);
        assert_int_equal(out.n, cases[k].undefined ? 2 : 1);
    }
}

static const char *check(struct ir_instr first)
{
    static struct ir_instr code[2];
    code[0] = first;
    code[1] = (struct ir_instr){.code = IR_RETURN};
    function.code = code;
    function.n_code = 2;
    return ir_check(&heap, &function);
}

static void the_check_finds_what_is_wrong(void **state)
{
    (void)state;
    struct ir_object *x = variable("x", IR_I32), *v = variable("v", IR_I32);
    struct ir_expr *l = read("l", IR_I64), *i = read("i", IR_I32);
    assert_null(check(assignment(x, i)));
    assert_non_null(check(assignment(x, l)));
    struct ir_expr mixed = {.op = IR_ADD, .type = IR_I32, .a = i, .b = l};
    assert_non_null(check(assignment(x, &mixed)));
    struct ir_expr narrow = {.op = IR_INT, .type = IR_I8, .value = 300};
    assert_non_null(check(assignment(variable("c", IR_I8), &narrow)));
    v->is_volatile = true;
    assert_null(check(assignment(x, ir_read(&build, v))));
    assert_non_null(check(assignment(x, ir_binary(&build, IR_ADD, ir_read(&build, v), i))));
    assert_non_null(check((struct ir_instr){.code = IR_JUMP, .label = ir_label(&function)}));
    assert_non_null(check((struct ir_instr){.code = IR_BRANCH, .value = l, .label = 0}));
    struct ir_object stranger = {.place = IR_LOCAL, .type = IR_I32, .id = 0};
    assert_non_null(check(assignment(&stranger, i)));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(integers_fold_in_their_width),
        TEST(what_traps_is_not_folded),
        TEST(constants_convert_as_their_types_say),
        TEST(floats_fold_in_their_type),
        TEST(a_float_comparison_is_not_inverted),
        TEST(offsets_gather_in_the_address),
        TEST(text_means_what_the_tree_does),
        TEST(flattened_code_is_single_operations),
        TEST(a_fixed_address_is_an_operation_of_its_own),
        TEST(an_undefined_operation_reads_a_slot),
        TEST(the_check_finds_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
