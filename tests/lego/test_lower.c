/*
 * test_lower.c: lowering keeps a program's meaning. Each program of tests/lego/programs is read,
 * lowered, printed as C over its lowered objects, built by the host's cc and run, as it is and
 * flattened to single operations; it returns 0 when all its checks hold, else the number of the
 * failing one.
 */
#include "lowered.h"

static void runs_to_0(const struct ir_unit *ir, const char *how)
{
    char output[LOWERED_OUTPUT_MAX];
    int status = lowered_run(ir, 20, output);
    if (status != 0)
        fail_msg("%s: check %d fails", how, status);
}

static void keeps_meaning(const char *source)
{
    char *text = lowered_preprocess(source, "-P");
    struct ir_unit *ir = lowered_unit(text);
    free(text);
    if (lowered_refusal(ir))
        fail_msg("refused: %s", lowered_refusal(ir));
    runs_to_0(ir, "lowered");
    lowered_flatten(ir);
    runs_to_0(ir, "flattened");
    unit_free(ir->unit);
}

/* A program of tests/lego/programs. */
static void keeps_meaning_of(const char *name)
{
    char path[100];
    static char source[1 << 16];
    snprintf(path, sizeof path, "tests/lego/programs/%s.c", name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    source[fread(source, 1, sizeof source - 1, file)] = '\0';
    fclose(file);
    keeps_meaning(source);
}

/* The text of one function of a unit. */
static char *text_of(const char *source, const char *name)
{
    struct ir_unit *ir = lowered_unit(source);
    struct buf text;
    char start[64];
    buf_init(&text, 1 << 22);
    ir_print_unit(ir, &text);
    snprintf(start, sizeof start, " f_%s(", name);
    char *at = strstr(text.data, "\n\n") + 1; /* behind the declarations */
    at = strstr(at, start);
    assert_non_null(at);
    char *end = strstr(at, "\n}\n");
    char *copy = strndup(at, (size_t)(end - at));
    buf_fini(&text);
    unit_free(ir->unit);
    return copy;
}

#define PROGRAM(name, file)        \
    static void name(void **state) \
    {                              \
        (void)state;               \
        keeps_meaning_of(file);    \
    }

PROGRAM(bit_fields_keep_their_neighbours_and_their_signs, "bit_fields")
PROGRAM(packed_bit_fields_cross_their_units, "packed_bit_fields")
PROGRAM(a_place_is_evaluated_once, "assignments")
PROGRAM(what_is_skipped_has_no_effects, "conditions")
PROGRAM(conversions_are_those_of_c, "conversions")
PROGRAM(records_travel_by_value, "records")
PROGRAM(initialisers_fill_what_they_name, "initialisers")
PROGRAM(switches_find_their_case, "switches")
PROGRAM(jumps_go_where_they_say, "jumps")
PROGRAM(variable_arguments_are_fetched, "varargs")
PROGRAM(pointers_count_in_elements, "pointers")
PROGRAM(earlier_values_survive_later_effects, "sequence")
PROGRAM(builtins_compute, "builtins")
PROGRAM(complex_numbers_compute, "complex")
PROGRAM(numbers_of_128_bits_compute, "int128")
PROGRAM(each_thread_has_its_own_objects, "threads")
PROGRAM(arrays_have_the_length_they_are_given, "vlas")
PROGRAM(atomic_operations_are_calls, "atomics")

/* ---- what the text shows ------------------------------------------------------------------- */

static void main_without_return_gives_0(void **state)
{
    (void)state;
    char *text = text_of("int main(void) { }", "main");
    assert_non_null(strstr(text, "return (0);"));
    free(text);
    keeps_meaning("int x = 3; int main() { x--; }");
}

static void a_packed_field_is_stored_no_wider_than_it_is(void **state)
{
    (void)state;
    char *text = text_of(
        "struct __attribute__((packed)) p { char a; int b : 13; } s; void f(int v) { s.b = v; }",
        "f");
    assert_null(strstr(text, "*(unsigned int *)g_s"));
    assert_non_null(strstr(text, "*(unsigned short *)(g_s + 1) ="));
    free(text);
}

static void a_pure_condition_is_one_branch(void **state)
{
    (void)state;
    char *text =
        text_of("int f(int *p, int k) { if (p && (*p > 3 || !k)) return 1; return 2; }", "f");
    assert_non_null(
        strstr(text, "if (!((v_p != (char *)0L) && ((*(int *)v_p > 3) || !v_k))) goto"));
    free(text);
}

static void a_loop_has_no_idle_jumps(void **state)
{
    (void)state;
    char *text = text_of("int f(int n) { int s = 0; for (int i = 0; i < n; i++) { if (i == 3) "
                         "continue; s += i; } return s; }",
                         "f");
    int gotos = 0;
    for (char *at = text; (at = strstr(at, "goto")); at++)
        gotos++;
    assert_int_equal(gotos, 3);
    free(text);
}

static int count_functions(const char *source)
{
    struct ir_unit *ir = lowered_unit(source);
    int n = ir->n_functions;
    unit_free(ir->unit);
    return n;
}

static void unused_static_functions_are_dropped(void **state)
{
    (void)state;
    assert_int_equal(
        count_functions("static inline int a(void) { return 1; } static int b(void) { return a(); }"
                        "int c(void) { return 2; }"),
        1);
    assert_int_equal(
        count_functions("static int a(void) { return 1; } static int b(void) { return a(); }"
                        "int (*p)(void) = b;"),
        2);
}

static void equal_literals_are_one_object(void **state)
{
    (void)state;
    struct ir_unit *ir = lowered_unit(
        "const char *a = \"x\", *b = \"x\"; double f(double d) { return d * 0.1 + 0.1; }"
        "float g(void) { return 0.1f; }");
    int texts = 0;
    for (int i = 0; i < ir->n_data; i++)
        texts += ir->data[i].decl == NULL;
    assert_int_equal(texts, 1);
    assert_int_equal(ir->n_constants, 2);
    unit_free(ir->unit);
}

static void a_function_that_is_refused_leaves_the_others(void **state)
{
    (void)state;
    struct ir_unit *ir = lowered_unit(
        "int a(int n) { return (int)(_Float128)n; }\nint b(void) { return 1; }\n");
    int refused = 0;
    for (int i = 0; i < ir->n_functions; i++)
        if (ir->functions[i].refused) {
            refused++;
            assert_non_null(strstr(ir->functions[i].refused, "test.c:1:"));
            assert_string_equal(ir->functions[i].decl->name, "a");
        }
    assert_int_equal(refused, 1);
    assert_int_equal(ir->n_functions, 2);
    unit_free(ir->unit);
}

/* The message of a unit's refused definition of this name; NULL: it is lowered or not there. */
static const char *why_refused(const struct ir_unit *ir, const char *name)
{
    for (int i = 0; i < ir->n_functions; i++)
        if (strcmp(ir->functions[i].decl->name, name) == 0)
            return ir->functions[i].refused;
    return NULL;
}

static void data_that_are_refused_leave_the_others(void **state)
{
    (void)state;
    struct ir_unit *ir = lowered_unit("_Float128 big = 1;\nint small = 2;\n"
                                      "int user(void) { return big > 0; }\n"
                                      "int owner(void) { static _Float128 z; return z > 0; }\n"
                                      "int other(void) { return small; }\n");
    assert_non_null(strstr(why_refused(ir, "big"), "test.c:1:11: _Float128"));
    assert_non_null(strstr(why_refused(ir, "user"), "test.c:3:"));
    assert_non_null(strstr(why_refused(ir, "owner"), "test.c:4:"));
    assert_null(why_refused(ir, "other"));
    assert_int_equal(ir->n_data, 1);
    unit_free(ir->unit);
}

/* What the result's type cannot hold is refused: exact arithmetic would overflow, -1L would not. */
static void overflow_with_a_literal_of_the_other_sign(void **state)
{
    (void)state;
    struct ir_unit *ir = lowered_unit(
        "int f(long x, long *r) { return __builtin_add_overflow(x, 0xffffffffffffffffUL, r); }\n"
        "int g(unsigned long x, unsigned long *r) { return __builtin_add_overflow(x, -1L, r); }\n"
        "int h(long x, long *r) { return __builtin_add_overflow(x, 5UL, r); }\n");
    assert_non_null(strstr(why_refused(ir, "f"), "mixed 64-bit types"));
    assert_non_null(strstr(why_refused(ir, "g"), "mixed 64-bit types"));
    assert_null(why_refused(ir, "h"));
    unit_free(ir->unit);
}

static void regions_are_nested_statements(void **state)
{
    (void)state;
    struct ir_unit *ir =
        lowered_unit("int f(int n) { int s = 0; while (n--) { if (n & 1) s += n; } return s; }");
    const struct ir_function *f = &ir->functions[0];
    assert_true(f->n_regions >= 3);
    assert_int_equal(f->regions[0].parent, -1);
    assert_int_equal(f->regions[0].first, 0);
    assert_int_equal(f->regions[0].last, f->n_code);
    unit_free(ir->unit);
}

/* Its reason names a file whose name ends a comment. */
static void a_refusal_stays_within_its_comment(void **state)
{
    (void)state;
    struct ir_unit *ir = lowered_unit("# 1 \"a*/ int nonsense[-1]; /*/b.c\"\n"
                                      "int f(void) { __asm__(\"nop\"); return 1; }\n"
                                      "int main(void) { return 3; }\n");
    struct buf text;
    assert_non_null(lowered_refusal(ir));
    buf_init(&text, LOWERED_TEXT_MAX);
    ir_print_unit(ir, &text);
    assert_false(text.failed);
    assert_non_null(strstr(text.data, "nonsense"));
    char output[1];
    assert_int_equal(lowered_build_and_run(text.data, text.length, "", 10, output), 3);
    buf_fini(&text);
    unit_free(ir->unit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bit_fields_keep_their_neighbours_and_their_signs),
        cmocka_unit_test(packed_bit_fields_cross_their_units),
        cmocka_unit_test(a_place_is_evaluated_once),
        cmocka_unit_test(what_is_skipped_has_no_effects),
        cmocka_unit_test(conversions_are_those_of_c),
        cmocka_unit_test(records_travel_by_value),
        cmocka_unit_test(initialisers_fill_what_they_name),
        cmocka_unit_test(switches_find_their_case),
        cmocka_unit_test(jumps_go_where_they_say),
        cmocka_unit_test(variable_arguments_are_fetched),
        cmocka_unit_test(pointers_count_in_elements),
        cmocka_unit_test(earlier_values_survive_later_effects),
        cmocka_unit_test(builtins_compute),
        cmocka_unit_test(complex_numbers_compute),
        cmocka_unit_test(numbers_of_128_bits_compute),
        cmocka_unit_test(each_thread_has_its_own_objects),
        cmocka_unit_test(arrays_have_the_length_they_are_given),
        cmocka_unit_test(atomic_operations_are_calls),
        cmocka_unit_test(main_without_return_gives_0),
        cmocka_unit_test(a_packed_field_is_stored_no_wider_than_it_is),
        cmocka_unit_test(a_pure_condition_is_one_branch),
        cmocka_unit_test(a_loop_has_no_idle_jumps),
        cmocka_unit_test(unused_static_functions_are_dropped),
        cmocka_unit_test(equal_literals_are_one_object),
        cmocka_unit_test(a_function_that_is_refused_leaves_the_others),
        cmocka_unit_test(data_that_are_refused_leave_the_others),
        cmocka_unit_test(overflow_with_a_literal_of_the_other_sign),
        cmocka_unit_test(regions_are_nested_statements),
        cmocka_unit_test(a_refusal_stays_within_its_comment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
