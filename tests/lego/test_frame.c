/*
 * Frames whose temporaries share slots: who lives when (frame_life.c, on functions made by hand,
 * one instruction to a piece), and that sharing keeps apart what lives together (frame.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "lego/block.h"
#include "lego/target.h"

enum { MAX = 32 };

/** A function of instructions over temporaries t[0] .. and one variable. */
struct hand {
    struct heap heap;
    struct ir_function f;
    struct ir_instr code[MAX];
    struct piece pieces[MAX];
    struct ir_object *t[4], *variable;
    struct decl decl;
};

static struct ir_object *object(struct hand *h, enum ir_place place)
{
    struct ir_object *o = ir_new_object(&h->heap, &h->f, place);
    o->type = IR_I32;
    o->size = o->align = 4;
    o->name = heap_printf(&h->heap, "o%d", o->id);
    return o;
}

static void hand_init(struct hand *h)
{
    *h = (struct hand){0};
    heap_init(&h->heap);
    h->f.code = h->code;
    h->f.n_labels = 4;
    for (int i = 0; i < 4; i++)
        h->t[i] = object(h, IR_TEMPORARY);
    h->variable = object(h, IR_LOCAL);
}

static struct ir_instr *add(struct hand *h, enum ir_code code)
{
    struct ir_instr *i = &h->code[h->f.n_code];
    i->code = code;
    h->pieces[h->f.n_code++] = (struct piece){.kind = PIECE_SKELETON, .skeleton = i};
    return i;
}

static struct ir_expr *leaf(struct hand *h, enum ir_op op, struct ir_object *o)
{
    struct ir_expr *e = heap_take(&h->heap, sizeof *e);
    *e = (struct ir_expr){.op = op, .type = IR_I32, .object = o};
    return e;
}

/** to = from (NULL: a number). */
static void assign(struct hand *h, struct ir_object *to, struct ir_object *from)
{
    struct ir_instr *i = add(h, IR_ASSIGN);
    i->object = to;
    i->value = leaf(h, from ? IR_READ : IR_INT, from);
}

static void jump(struct hand *h, enum ir_code code, int label)
{
    add(h, code)->label = label;
}

static struct frame_life life(struct hand *h, const struct ir_object *o)
{
    struct cut cut = {h->pieces, h->f.n_code};
    return frame_lives(&h->heap, &h->f, &cut)[o->id];
}

static void assert_life(struct hand *h, const struct ir_object *o, int first, int last)
{
    struct frame_life l = life(h, o);
    assert_int_equal(l.first, first);
    assert_int_equal(l.last, last);
}

static void a_life_is_from_the_first_to_the_last_use(void **state)
{
    (void)state;
    struct hand h;
    hand_init(&h);
    assign(&h, h.t[0], NULL);
    assign(&h, h.t[1], h.t[0]);
    assign(&h, h.variable, h.t[1]);
    assign(&h, h.t[2], h.variable);
    assert_life(&h, h.t[0], 0, 1);
    assert_life(&h, h.t[1], 1, 2);
    assert_life(&h, h.t[2], 3, 3);
    assert_int_equal(life(&h, h.t[3]).last, -1);
    assert_int_equal(life(&h, h.variable).last, INT_MAX);
    heap_fini(&h.heap);
}

static void what_is_written_before_each_read_ends_inside_a_loop(void **state)
{
    (void)state;
    struct hand h;
    hand_init(&h);
    jump(&h, IR_LABEL, 0);
    assign(&h, h.t[0], h.variable);
    assign(&h, h.variable, h.t[0]);
    jump(&h, IR_JUMP, 0);
    assert_life(&h, h.t[0], 1, 2);
    heap_fini(&h.heap);
}

static void a_value_carried_around_a_loop_lives_through_it(void **state)
{
    (void)state;
    struct hand h;
    hand_init(&h);
    assign(&h, h.variable, NULL);
    jump(&h, IR_LABEL, 0);
    assign(&h, h.variable, h.t[0]);
    assign(&h, h.t[0], h.variable);
    assign(&h, h.t[1], h.variable);
    jump(&h, IR_BRANCH, 0);
    assert_life(&h, h.t[0], 1, 5);
    assert_life(&h, h.t[1], 4, 4);
    heap_fini(&h.heap);
}

/** Read behind a label, as what ?: computes is: the loops around it count. */
static void a_value_that_crosses_a_label_lives_through_nested_loops(void **state)
{
    (void)state;
    struct hand h;
    hand_init(&h);
    jump(&h, IR_LABEL, 0);
    assign(&h, h.variable, NULL);
    jump(&h, IR_LABEL, 1);
    assign(&h, h.t[0], NULL);
    jump(&h, IR_LABEL, 2);
    assign(&h, h.variable, h.t[0]);
    jump(&h, IR_BRANCH, 1);
    jump(&h, IR_BRANCH, 0);
    assign(&h, h.variable, NULL);
    assert_life(&h, h.t[0], 0, 7);
    heap_fini(&h.heap);
}

static void addressed_temporaries_live_always(void **state)
{
    (void)state;
    struct hand h;
    hand_init(&h);
    assign(&h, h.t[0], NULL);
    add(&h, IR_ASSIGN)->object = h.variable;
    h.code[1].value = leaf(&h, IR_ADDRESS, h.t[0]);
    assert_int_equal(life(&h, h.t[0]).last, INT_MAX);
    heap_fini(&h.heap);
}

static void functions_that_return_twice_share_nothing(void **state)
{
    (void)state;
    struct hand h;
    hand_init(&h);
    assign(&h, h.t[0], NULL);
    struct ir_object *setjmp_ = object(&h, IR_FUNCTION);
    setjmp_->name = "_setjmp";
    add(&h, IR_CALL)->callee = leaf(&h, IR_ADDRESS, setjmp_);
    assert_int_equal(life(&h, h.t[0]).last, INT_MAX);
    heap_fini(&h.heap);
}

/* ---- places --------------------------------------------------------------------------------- */

static void lives_that_do_not_meet_share_a_place(void **state)
{
    (void)state;
    struct heap h;
    heap_init(&h);
    struct frame f = {0};
    for (int i = 0; i < 100; i++) {
        frame_add(&h, &f, "s", 8, 8, NULL);
        f.slots[i].life = (struct frame_life){i, i + 1};
    }
    frame_place(&f);
    assert_null(frame_check(&h, &f));
    assert_int_equal(f.bytes, 16);
    f.slots[1].offset = f.slots[0].offset;
    assert_non_null(frame_check(&h, &f));
    heap_fini(&h);
}

static void random_lives_are_kept_apart(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 17);
    for (int round = 0; round < 200; round++) {
        struct heap h;
        heap_init(&h);
        struct frame f = {0};
        int n = (int)rng_below(&rng, 60);
        for (int i = 0; i < n; i++) {
            int64_t size = 1ll << rng_below(&rng, 6);
            frame_add(&h, &f, "s", size, size, NULL);
            int first = (int)rng_below(&rng, 100), last = first + (int)rng_below(&rng, 20);
            if (rng_below(&rng, 4))
                f.slots[i].life = (struct frame_life){first, last};
        }
        frame_place(&f);
        assert_null(frame_check(&h, &f));
        heap_fini(&h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_life_is_from_the_first_to_the_last_use),
        cmocka_unit_test(what_is_written_before_each_read_ends_inside_a_loop),
        cmocka_unit_test(a_value_carried_around_a_loop_lives_through_it),
        cmocka_unit_test(a_value_that_crosses_a_label_lives_through_nested_loops),
        cmocka_unit_test(addressed_temporaries_live_always),
        cmocka_unit_test(functions_that_return_twice_share_nothing),
        cmocka_unit_test(lives_that_do_not_meet_share_a_place),
        cmocka_unit_test(random_lives_are_kept_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
