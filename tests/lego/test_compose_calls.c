/*
 * test_compose_calls.c: calls by the composer against the host compiler's: arguments and results
 * both ways, variadic functions, results that nobody takes, alloca. Each forwarding function spoils
 * the registers between its steps, so that nothing arrives by having been left where it was.
 * `test_compose_calls 50` tries 50 seeds more.
 */
#include "compose_bench.h"

/* ---- forwarding ---------------------------------------------------------------------------- */

enum flavour { FIXED, INDIRECT, VARIADIC, OLD_STYLE };

/* T fN(args) passes its arguments on to T sN(args) of the other side and its result back. */
static void add_forwarder(struct bench *b, enum flavour flavour, int64_t wide_align)
{
    struct heap *h = &b->unit.heap;
    int n = 1 + (int)below(b, MAX_ARGS - 1), id = b->ir.n_functions;
    struct type *types[MAX_ARGS], *result = any_type(b);
    struct ir_object *params[MAX_ARGS];
    const char *name = heap_printf(h, "f%d", id), *sink = heap_printf(h, "s%d", id);
    struct buf set, check, list, names;
    struct buf *all[] = {&set, &check, &list, &names};
    for (int i = 0; i < 4; i++)
        buf_init(all[i], 1 << 20);
    struct ir_function *f = open_function(b, name, make_function(b, result, flavour == VARIADIC));
    for (int i = 0; i < n; i++) {
        bool promoted = i > 0 && flavour != FIXED && flavour != INDIRECT;
        do /* what no prototype converts arrives promoted: only such types are passed */
            types[i] = any_type(b);
        while (promoted && !may_vary(types[i]));
        params[i] = add_param(b, f, types[i]);
        const char *p = heap_printf(h, "a%d", i);
        buf_printf(&list, "%s%s %s", i ? ", " : "", types[i]->name, p);
        buf_printf(&names, "%s%s", i ? ", " : "", p);
        buf_printf(&b->calls, i ? "" : "    {\n");
        fill(b, types[i], p, -1, name, &set, &check);
    }
    struct ir_object *value = add_object(b, f, IR_TEMPORARY, result);
    if (wide_align) {
        struct ir_object *wide = add_object(b, f, IR_LOCAL, make_scalar(b, 5));
        wide->align = wide_align;
    }
    spoil(b, f);
    struct type *callee = make_function(b, result, flavour == VARIADIC);
    callee->no_prototype = flavour == OLD_STYLE;
    struct ir_instr *call = add_call(b, f, sink, callee, value);
    for (int i = 0; i < n; i++)
        add_arg(b, call, params[i], types[i]);
    if (flavour == INDIRECT) {
        struct ir_object *pointer = add_param(b, f, make_scalar(b, 9));
        call->callee = value_of(b, pointer);
        buf_puts(&list, ", void *to");
        buf_printf(&names, ", (void *)%s", sink);
    }
    spoil(b, f);
    add_return(b, f, value, result);
    close_function(b, f);

    struct buf give, take;
    buf_init(&give, 1 << 20);
    buf_init(&take, 1 << 20);
    fill(b, result, "r", -1, name, &give, &take);
    if (flavour ==
        VARIADIC) { /* the forwarder has all of them by name, the sink takes them by va_arg */
        buf_printf(&b->c, "%s %s(%s a0, ...)\n{\n    va_list l; va_start(l, a0);\n", result->name,
                   sink, types[0]->name);
        for (int i = 1; i < n; i++)
            buf_printf(&b->c, "    %s a%d = va_arg(l, %s);\n", types[i]->name, i, types[i]->name);
    } else {
        buf_printf(&b->c, "%s %s(%s)\n{\n", result->name, sink, list.data);
    }
    buf_printf(&b->c, "    %s r;\n%s%s    return r;\n}\n", result->name, check.data, give.data);
    f->decl->type->variadic = false;
    buf_printf(&b->c, "%s %s(%s);\n", result->name, name, list.data);
    for (int i = 0; i < n; i++)
        buf_printf(&b->calls, "        %s a%d;\n", types[i]->name, i);
    buf_printf(&b->calls, "%s        %s r = %s(%s);\n%s    }\n", set.data, result->name, name,
               names.data, take.data);
    for (int i = 0; i < 4; i++)
        buf_fini(all[i]);
    buf_fini(&give);
    buf_fini(&take);
}

static void forward(enum flavour flavour, uint64_t seed, int64_t wide_align)
{
    struct bench *b = malloc(sizeof *b);
    assert_non_null(b);
    print_message("seed %llu\n", (unsigned long long)seed);
    bench_init(b, seed);
    for (int i = 0; i < MAX_FUNCTIONS; i++)
        add_forwarder(b, flavour, wide_align);
    bench_run(b);
    bench_fini(b);
    free(b);
}

static void arguments_and_results_go_both_ways(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++)
        forward(FIXED, seed, 0);
}

static void calls_through_pointers(void **state)
{
    (void)state;
    forward(INDIRECT, 21, 0);
}

static void variadic_callees_find_their_arguments(void **state)
{
    (void)state;
    for (uint64_t seed = 31; seed <= 32; seed++)
        forward(VARIADIC, seed, 0);
}

static void calls_without_prototype(void **state)
{
    (void)state;
    forward(OLD_STYLE, 41, 0);
}

static void frames_aligned_beyond_16(void **state)
{
    (void)state;
    forward(FIXED, 51, 64);
}

/* ---- variadic definitions ------------------------------------------------------------------- */

/* int fN(named..., ...) hands its list to the other side, which takes the rest with va_arg. */
static void add_collector(struct bench *b, int64_t wide_align)
{
    struct heap *h = &b->unit.heap;
    static struct type tag = {.kind = TYPE_VA_LIST_TAG, .size = 24, .align = 8};
    int n = 2 + (int)below(b, MAX_ARGS - 2), named = 1 + (int)below(b, (uint32_t)n - 1);
    int id = b->ir.n_functions;
    const char *name = heap_printf(h, "f%d", id), *sink = heap_printf(h, "s%d", id);
    struct type *integer = make_scalar(b, 5);
    struct ir_function *f = open_function(b, name, make_function(b, integer, true));
    struct buf set, check;
    buf_init(&set, 1 << 20);
    buf_init(&check, 1 << 20);
    buf_puts(&b->calls, "    {\n");
    struct buf callee, prototype;
    buf_init(&callee, 1 << 20);
    buf_init(&prototype, 1 << 20);
    for (int i = 0; i < n; i++) {
        struct type *t;
        do
            t = any_type(b);
        while (i >= named && !may_vary(t));
        const char *p = heap_printf(h, "a%d", i);
        if (i < named) {
            add_param(b, f, t);
            buf_printf(&prototype, "%s, ", t->name);
            struct buf ignored;
            buf_init(&ignored, 1 << 20);
            fill(b, t, p, -1, name, &set, &ignored);
            buf_fini(&ignored);
        } else {
            buf_printf(&callee, "    %s %s = va_arg(*l, %s);\n", t->name, p, t->name);
            fill(b, t, p, -1, name, &set, &check);
        }
        buf_printf(&b->calls, "        %s %s;\n", t->name, p);
    }
    struct ir_object *list = add_object(b, f, IR_LOCAL, &tag);
    struct ir_object *value = add_object(b, f, IR_TEMPORARY, integer);
    if (wide_align)
        add_object(b, f, IR_LOCAL, integer)->align = wide_align;
    spoil(b, f);
    add_code(f, IR_VA_START)->address = make_expr(b, IR_ADDRESS, IR_PTR, list, 0);
    struct ir_instr *call = add_call(b, f, sink, make_function(b, integer, false), value);
    call->args[call->n_args++] =
        (struct ir_argument){make_expr(b, IR_ADDRESS, IR_PTR, list, 0), NULL};
    spoil(b, f);
    add_return(b, f, value, integer);
    close_function(b, f);
    buf_printf(&b->c, "int %s(%s...);\nint %s(va_list *l)\n{\n%s%s    return %d;\n}\n", name,
               prototype.data, sink, callee.data, check.data, id);
    buf_printf(&b->calls, "%s        CHECK(\"%s\", \"result\", %s(", set.data, name, name);
    for (int i = 0; i < n; i++)
        buf_printf(&b->calls, "%sa%d", i ? ", " : "", i);
    buf_printf(&b->calls, ") == %d);\n    }\n", id);
    struct buf *all[] = {&set, &check, &callee, &prototype};
    for (int i = 0; i < 4; i++)
        buf_fini(all[i]);
}

static void collect(uint64_t seed, int64_t wide_align)
{
    struct bench *b = malloc(sizeof *b);
    assert_non_null(b);
    print_message("seed %llu\n", (unsigned long long)seed);
    bench_init(b, seed);
    for (int i = 0; i < MAX_FUNCTIONS; i++)
        add_collector(b, wide_align);
    bench_run(b);
    bench_fini(b);
    free(b);
}

static void variadic_definitions_keep_their_registers(void **state)
{
    (void)state;
    collect(61, 0);
    collect(62, 0);
}

static void variadic_definitions_in_aligned_frames(void **state)
{
    (void)state;
    collect(63, 32);
}

/* ---- results that nobody takes, alloca ----------------------------------------------------------
 */

static void discarded_results_leave_nothing_behind(void **state)
{
    (void)state;
    struct bench *b = malloc(sizeof *b);
    assert_non_null(b);
    bench_init(b, 71);
    struct type *real = make_scalar(b, 14), *integer = make_scalar(b, 5);
    struct type *record = any_record(b, 0);
    struct type *large = make_array(b, integer, 30);
    record->fields[0] = (struct field){"m0", large, 0, 0, -1};
    record->n = 1;
    record->size = 120;
    record->align = 4;
    record->name = "struct large";
    struct ir_function *f = open_function(b, "f", make_function(b, real, false));
    struct ir_object *value = add_object(b, f, IR_TEMPORARY, real);
    for (int i = 0; i < 12; i++) /* more than the x87 stack holds */
        add_call(b, f, "real", make_function(b, real, false), i < 11 ? NULL : value);
    add_call(b, f, "large", make_function(b, record, false), NULL);
    add_return(b, f, value, real);
    close_function(b, f);
    buf_puts(&b->c, "long double f(void);\nlong double real(void) { static int n; return ++n; }\n"
                    "struct large { int m[30]; };\nstruct large large(void)\n"
                    "{ struct large l; for (int i = 0; i < 30; i++) l.m[i] = i; return l; }\n");
    buf_puts(&b->calls, "    CHECK(\"f\", \"r\", f() == 12);\n");
    bench_run(b);
    bench_fini(b);
    free(b);
}

static void alloca_lies_between_frame_and_arguments(void **state)
{
    (void)state;
    struct bench *b = malloc(sizeof *b);
    assert_non_null(b);
    bench_init(b, 72);
    struct type *size = make_scalar(b, 8), *pointer = make_scalar(b, 9),
                *integer = make_scalar(b, 5);
    struct ir_function *f = open_function(b, "f", make_function(b, integer, false));
    struct ir_object *n = add_param(b, f, size);
    struct ir_object *p = add_object(b, f, IR_TEMPORARY, pointer),
                     *q = add_object(b, f, IR_TEMPORARY, pointer);
    struct ir_object *r = add_object(b, f, IR_TEMPORARY, integer);
    add_arg(b, add_call(b, f, "alloca", make_function(b, pointer, false), p), n, size);
    add_arg(b, add_call(b, f, "alloca", make_function(b, pointer, false), q), n, size);
    struct ir_instr *call = add_call(b, f, "use", make_function(b, integer, false), r);
    for (int i = 0; i < 9; i++)
        add_arg(b, call, i == 0 ? n : i == 8 ? q : p, i == 0 ? size : pointer);
    add_return(b, f, r, integer);
    close_function(b, f);
    buf_puts(&b->c, "int f(unsigned long);\nint use(unsigned long n, char *a, char *b, char *c, "
                    "char *d, char *e,"
                    " char *g, char *h, char *q)\n{\n    memset(a, 1, n); memset(q, 2, n);\n"
                    "    return a == h && a[0] == 1 && a[n - 1] == 1 && ((size_t)a | (size_t)q) % "
                    "16 == 0;\n}\n");
    buf_puts(&b->calls, "    for (int i = 1; i < 300; i++) CHECK(\"f\", \"r\", f(i) == 1);\n");
    bench_run(b);
    bench_fini(b);
    free(b);
}

/* Seeds beyond the usual: as many rounds as the first argument says. */
static int rounds;

static void many_seeds(void **state)
{
    (void)state;
    for (uint64_t seed = 1000; seed < 1000 + (uint64_t)rounds; seed++) {
        forward((enum flavour)(seed % 4), seed, seed % 3 ? 0 : 32);
        collect(seed, seed % 3 ? 0 : 64);
    }
}

int main(int argc, char **argv)
{
    rounds = argc > 1 ? atoi(argv[1]) : 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(discarded_results_leave_nothing_behind),
        cmocka_unit_test(alloca_lies_between_frame_and_arguments),
        cmocka_unit_test(arguments_and_results_go_both_ways),
        cmocka_unit_test(calls_through_pointers),
        cmocka_unit_test(variadic_callees_find_their_arguments),
        cmocka_unit_test(calls_without_prototype),
        cmocka_unit_test(frames_aligned_beyond_16),
        cmocka_unit_test(variadic_definitions_keep_their_registers),
        cmocka_unit_test(variadic_definitions_in_aligned_frames),
        cmocka_unit_test(many_seeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
