/*
 * test_compose.c: the composer and the x86-64 target without any fragment: switches, frames, and
 * pieces that do not fit their function.
 */
#include "compose_bench.h"

/* ---- switches ------------------------------------------------------------------------------ */

static struct ir_expr *number(struct bench *b, int value)
{
    return make_expr(b, IR_INT, IR_I32, NULL, value);
}

/* int fN(T v): 1000 + the case's number, 7 by default; the other side tests the same ranges with
 * if. */
static void add_switch(struct bench *b, int scalar, const int64_t (*ranges)[2], int n)
{
    struct heap *h = &b->unit.heap;
    struct type *t = make_scalar(b, scalar), *integer = make_scalar(b, 5);
    int id = b->ir.n_functions;
    const char *name = heap_printf(h, "f%d", id);
    struct ir_function *f = open_function(b, name, make_function(b, integer, false));
    f->code = heap_take(h, (size_t)(2 * n + 4) * sizeof *f->code);
    struct ir_object *v = add_param(b, f, t);
    struct ir_instr *s = &f->code[f->n_code++];
    *s = (struct ir_instr){.code = IR_SWITCH, .value = value_of(b, v), .label = n, .n_cases = n};
    s->cases = heap_take(h, (size_t)n * sizeof *s->cases);
    buf_printf(&b->c, "int %s(%s);\nstatic int t%d(%s v)\n{\n", name, t->name, id, t->name);
    for (int i = 0; i < n; i++) {
        s->cases[i] = (struct ir_case){ranges[i][0], ranges[i][1], i};
        buf_printf(&b->c, "    if (v >= (%s)%lldl && v <= (%s)%lldl) return %d;\n", t->name,
                   (long long)ranges[i][0], t->name, (long long)ranges[i][1], 1000 + i);
    }
    buf_puts(&b->c, "    return 7;\n}\n");
    for (int i = 0; i <= n; i++) {
        f->code[f->n_code++] = (struct ir_instr){.code = IR_LABEL, .label = i};
        f->code[f->n_code++] =
            (struct ir_instr){.code = IR_RETURN, .value = number(b, i < n ? 1000 + i : 7)};
    }
    f->n_labels = n + 1;
    close_function(b, f);
    for (int i = 0; i < n; i++)
        for (int d = -2; d <= 2; d++)
            for (int end = 0; end < 2; end++)
                buf_printf(&b->calls,
                           "    CHECK(\"%s\", \"case\", %s((%s)(%lluul + %dl)) == t%d((%s)(%lluul "
                           "+ %dl)));\n",
                           name, name, t->name, (unsigned long long)ranges[i][end], d, id, t->name,
                           (unsigned long long)ranges[i][end], d);
}

static void switches_find_their_case(void **state)
{
    (void)state;
    struct bench *b = malloc(sizeof *b);
    assert_non_null(b);
    bench_init(b, 81);
    static const int64_t few[][2] = {{1, 1}, {0, 0}, {-1, -1}};
    static const int64_t many[][2] = {{-2147483647 - 1, -2147483647 - 1},
                                      {5, 5},
                                      {7, 90},
                                      {100, 100},
                                      {2147483647, 2147483647},
                                      {-5, -3},
                                      {-1, -1},
                                      {101, 101},
                                      {1000, 2000},
                                      {3000, 3000},
                                      {3002, 3002},
                                      {3004, 3004}};
    static const int64_t wide[][2] = {{INT64_MIN, INT64_MIN + 5}, {INT64_MAX - 5, INT64_MAX},
                                      {1l << 34, 1l << 34}, {(1l << 31) + 5, (1l << 33) - 1},
                                      {0, 0}, {(1l << 31) - 1, (1l << 31) - 1}, {-4, -4}};
    static const int64_t high[][2] = {
        {4294967295, 4294967295}, {0, 0}, {2147483648, 2147483649}, {5, 9}};
    add_switch(b, 5, few, 3);
    add_switch(b, 5, many, 12);
    add_switch(b, 7, many, 12);
    add_switch(b, 7, wide, 7);
    add_switch(b, 6, high, 4);
    add_switch(b, 5, few, 0);
    bench_run(b);
    bench_fini(b);
    free(b);
}

/* ---- frames -------------------------------------------------------------------------------- */

static void frames_are_laid_out_right(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 91);
    for (int round = 0; round < 200; round++) {
        struct heap h;
        heap_init(&h);
        struct frame f = {.outgoing = 16 * (int64_t)rng_below(&rng, 4)};
        int n = (int)rng_below(&rng, 40);
        for (int i = 0; i < n; i++)
            frame_add(&h, &f, "s", (int64_t)rng_below(&rng, 100), 1ll << rng_below(&rng, 7), NULL);
        frame_place(&f);
        assert_null(frame_check(&h, &f));
        heap_fini(&h);
    }
}

static void wrong_frames_are_found(void **state)
{
    (void)state;
    struct heap h;
    heap_init(&h);
    struct ir_object object = {.name = "x", .size = 8, .align = 8};
    struct frame f = {0};
    for (int i = 0; i < 4; i++)
        frame_add(&h, &f, "s", 8, 8, NULL);
    frame_add(&h, &f, "x", 8, 8, &object);
    frame_place(&f);
    assert_null(frame_check(&h, &f));
    int64_t right = f.slots[0].offset;
    static const int64_t wrong[] = {-16, -7, 0, 8, -800, -44};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        f.slots[0].offset = wrong[i]; /* another's, unaligned, above, below */
        assert_non_null(frame_check(&h, &f));
    }
    f.slots[0].offset = right;
    object.offset -= 8; /* an object that is not where its slot is */
    assert_non_null(frame_check(&h, &f));
    object.offset += 8;
    f.outgoing = f.bytes; /* arguments over the slots */
    assert_non_null(frame_check(&h, &f));
    heap_fini(&h);
}

static void a_piece_without_fragment_is_named(void **state)
{
    (void)state;
    struct bench *b = malloc(sizeof *b);
    assert_non_null(b);
    bench_init(b, 1);
    struct ir_function *f = open_function(b, "lonely", make_function(b, make_scalar(b, 5), false));
    struct block block = {.function = "lonely"};
    struct piece piece = {.kind = PIECE_BLOCK, .block = &block};
    b->cuts[0] = (struct cut){&piece, 1};
    struct buf out;
    buf_init(&out, 1 << 20);
    assert_int_equal(compose_unit(&target_x86_64, &b->ir, b->cuts, false, &out, &b->error),
                     ASHLAR_FAILED);
    assert_non_null(strstr(b->error.message, "lonely"));
    add_return(b, f, NULL, NULL); /* an instruction that no piece holds */
    b->cuts[0].n = 0;
    assert_int_equal(compose_unit(&target_x86_64, &b->ir, b->cuts, false, &out, &b->error),
                     ASHLAR_FAILED);
    buf_fini(&out);
    bench_fini(b);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_laid_out_right),
        cmocka_unit_test(wrong_frames_are_found),
        cmocka_unit_test(a_piece_without_fragment_is_named),
        cmocka_unit_test(switches_find_their_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
