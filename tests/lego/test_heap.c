/* test_heap.c: passes over a heap: how they end, and what they leave behind. */
#include "lego/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct scene {
    struct heap heap;
    ashlar_status inner; /* what a pass within the pass ended with */
    int reached;
};

static int set_up(void **state)
{
    static struct scene scene;
    scene = (struct scene){.inner = ASHLAR_OK};
    heap_init(&scene.heap);
    *state = &scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *s = *state;
    heap_fini(&s->heap);
    return 0;
}

static void take(void *context)
{
    struct scene *s = context;
    memset(heap_take(&s->heap, 100), 1, 100);
    s->reached++;
}

static void take_too_much(void *context)
{
    struct scene *s = context;
    heap_take(&s->heap, SIZE_MAX / 4);
    s->reached++;
}

static void refuse(void *context)
{
    struct scene *s = context;
    heap_fail(&s->heap, (struct location){"a.c", 3, 4}, "no %s", "goto");
}

static void get_over_a_refusal(void *context)
{
    struct scene *s = context;
    ashlar_error why;
    s->inner = heap_run(&s->heap, refuse, s, &why);
    s->reached++;
    if (s->inner == ASHLAR_BAD_INPUT)
        refuse(s);
}

static void meet_an_error(void *context)
{
    struct scene *s = context;
    error_set(s->heap.error, ASHLAR_FAILED, "the first server is down");
    s->reached++;
}

static void a_pass_that_ends_leaves_nothing(void **state)
{
    struct scene *s = *state;
    ashlar_error err = {0};
    assert_int_equal(heap_run(&s->heap, take, s, &err), ASHLAR_OK);
    assert_int_equal(s->reached, 1);
    assert_null(s->heap.bail);
    assert_null(s->heap.error);
    assert_int_equal(err.status, ASHLAR_OK);
}

static void a_pass_that_is_left_says_why(void **state)
{
    struct scene *s = *state;
    ashlar_error err = {0};
    assert_int_equal(heap_run(&s->heap, refuse, s, &err), ASHLAR_BAD_INPUT);
    assert_string_equal(err.message, "a.c:3:4: no goto");
    assert_null(s->heap.bail);
    assert_null(s->heap.error);
    assert_int_equal(heap_run(&s->heap, take_too_much, s, NULL), ASHLAR_NO_RESOURCE);
    assert_int_equal(s->reached, 0);
    assert_null(s->heap.bail);
}

static void a_pass_within_a_pass_gives_it_back_its_way_out(void **state)
{
    struct scene *s = *state;
    ashlar_error err = {0};
    assert_int_equal(heap_run(&s->heap, get_over_a_refusal, s, &err), ASHLAR_BAD_INPUT);
    assert_int_equal(s->inner, ASHLAR_BAD_INPUT);
    assert_int_equal(s->reached, 1);
    assert_null(s->heap.bail);
}

/* As the job loop does, which goes on with the next translator. */
static void an_error_that_was_got_over_is_none(void **state)
{
    struct scene *s = *state;
    ashlar_error err = {0};
    assert_int_equal(heap_run(&s->heap, meet_an_error, s, &err), ASHLAR_OK);
    assert_int_equal(s->reached, 1);
    assert_int_equal(err.status, ASHLAR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_pass_that_ends_leaves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_pass_that_is_left_says_why, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_pass_within_a_pass_gives_it_back_its_way_out, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_error_that_was_got_over_is_none, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
