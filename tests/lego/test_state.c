/*
 * Entry states that are made for a purpose (lego/state_steer.h): conditions that random values do
 * not meet are met by a good part of them, alone and together.
 */
#include "hand_block.h"

#include "base/rng.h"
#include "lego/state_steer.h"

enum { STATES = 400 };

struct entry {
    const struct block *block;
    const struct state_layout *layout;
    const unsigned char *image;
};

static int64_t slot(const struct entry *e, int operand, size_t size)
{
    int64_t value = 0;
    memcpy(&value, e->image + e->layout->offsets[operand], size);
    return size == 4 ? (int32_t)value : value;
}

/** What a slot that is a pointer points at; false: not into the image. */
static bool behind(const struct entry *e, int operand, int64_t offset, void *out, size_t size)
{
    uint64_t at = (uint64_t)slot(e, operand, 8) + (uint64_t)offset - STATE_IMAGE_AT;
    if (at > e->layout->size || e->layout->size - at < size)
        return false;
    memcpy(out, e->image + at, size);
    return true;
}

/** In how many of STATES entry states of a block, steered or not, `holds` is true. */
static int count(const char *text, const int64_t *literals, bool steered,
                 bool (*holds)(const struct entry *))
{
    struct hand_block hand;
    struct block *block = hand_make(&hand, text, literals, 4);
    struct state_layout layout;
    struct state_hints hints;
    struct steer_program program;
    struct rng rng;
    ashlar_error err;
    int n = 0;
    rng_seed(&rng, 5);
    assert_int_equal(state_layout_init(&layout, block, &rng, &hints, &err), ASHLAR_OK);
    assert_true(steer_program_init(&program, block));
    unsigned char *background = calloc(1, layout.size), *image = calloc(1, layout.size);
    assert_non_null(background);
    assert_non_null(image);
    for (int i = 0; i < STATES; i++) {
        state_fill(&layout, block, &hints, i % STATE_MIXES, background, image, &rng);
        if (steered)
            state_steer(&program, &layout, block, image, &rng);
        n += holds(&(struct entry){block, &layout, image});
    }
    free(background);
    free(image);
    steer_program_fini(&program);
    state_layout_fini(&layout);
    hand_free(&hand);
    return n;
}

static void expect_steered(const char *text, const int64_t *literals,
                           bool (*holds)(const struct entry *))
{
    int random = count(text, literals, false, holds), steered = count(text, literals, true, holds);
    printf("# of %d states: %d, steered %d\n", STATES, random, steered);
    assert_true(random < STATES / 50);
    assert_true(steered > STATES / 20);
}

static bool both_loads(const struct entry *e)
{
    int64_t first;
    int32_t second;
    return behind(e, 0, 8, &first, 8) && first == 123456789012345 && behind(e, 0, 16, &second, 4) &&
           second == (int32_t)((uint32_t)slot(e, 1, 4) * 3u);
}

static void test_two_equalities_in_memory_hold_together(void **state)
{
    (void)state;
    expect_steered("block x86-64\nchar* v1\nint v2\nexit x1\nbegin\n"
                   "if (*(long *)(v1 + 8) != 123456789012345L) goto x1;\n"
                   "if (*(int *)(v1 + 16) != (v2 * 3)) goto x1;\nv2 = 1;\nend\n",
                   (const int64_t[4]){0}, both_loads);
}

static bool masked(const struct entry *e)
{
    uint32_t v = (uint32_t)slot(e, 0, 4);
    return ((((v ^ 0x5a5a5u) + 77u) & 0xfffffu) >> 3) == 4567u;
}

static void test_operators_are_inverted(void **state)
{
    (void)state;
    expect_steered("block x86-64\nunsigned int v1\nint v2\nliteral unsigned int c1\n"
                   "literal unsigned int c2\nliteral unsigned int c3\nliteral unsigned int c4\n"
                   "begin\nv2 = (((((v1 ^ c1) + c2) & c3) >> 3) == c4);\nend\n",
                   (const int64_t[4]){0x5a5a5, 77, 0xfffff, 4567}, masked);
}

static bool through_lines(const struct entry *e)
{
    return (int32_t)slot(e, 0, 8) == 90000 && (int32_t)slot(e, 1, 4) == 180001;
}

static void test_values_are_followed_through_earlier_lines(void **state)
{
    (void)state;
    expect_steered("block x86-64\nlong v1\nint v2\nint v3\nint v4\nexit x1\nbegin\n"
                   "v3 = (int)v1;\nv4 = v3 * 2;\nif (v3 != 90000) goto x1;\n"
                   "if ((v4 + 1) != v2) goto x1;\nv2 = 0;\nend\n",
                   (const int64_t[4]){0}, through_lines);
}

static bool in_the_loop(const struct entry *e)
{
    int32_t second;
    return slot(e, 1, 4) > 1 && behind(e, 2, 4, &second, 4) && second == 1234567;
}

static void test_the_second_round_of_a_loop_is_reached(void **state)
{
    (void)state;
    expect_steered("block x86-64\nint v1\nint v2\nchar* v3\nexit x1\nbegin\n"
                   "v1 = 0;\nL1:;\nif (v1 >= v2) goto x1;\n"
                   "if (*(int *)(v3 + ((long)v1 * 4L)) == 1234567) goto x1;\n"
                   "v1 = v1 + 1;\ngoto L1;\nend\n",
                   (const int64_t[4]){0}, in_the_loop);
}

static bool equal_floats(const struct entry *e)
{
    double v, w;
    memcpy(&v, e->image + e->layout->offsets[1], sizeof v);
    memcpy(&w, e->image + e->layout->offsets[2], sizeof w);
    return v - w == (double)slot(e, 0, 4) && slot(e, 0, 4) > 1000;
}

static void test_floats_meet_integers(void **state)
{
    (void)state;
    expect_steered("block x86-64\nint v1\ndouble v2\ndouble v3\nexit x1\nbegin\n"
                   "if (v1 < 1001) goto x1;\n"
                   "if ((v2 - v3) != (double)v1) goto x1;\nv1 = 0;\nend\n",
                   (const int64_t[4]){0}, equal_floats);
}

static void test_text_that_is_none_is_left_alone(void **state)
{
    (void)state;
    struct block block = {.text = "block x86-64\nint v1\nbegin\nv1 = (v1 +* 3);\nend\n"};
    struct block_operand operand = {.kind = OPERAND_SLOT, .type = IR_I32, .size = 4, .name = "v1"};
    struct steer_program program;
    block.operands = &operand;
    block.n_operands = 1;
    assert_false(steer_program_init(&program, &block));
    assert_int_equal(program.n_comparisons, 0);
    block.text = NULL;
    assert_false(steer_program_init(&program, &block));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_equalities_in_memory_hold_together),
        cmocka_unit_test(test_operators_are_inverted),
        cmocka_unit_test(test_values_are_followed_through_earlier_lines),
        cmocka_unit_test(test_the_second_round_of_a_loop_is_reached),
        cmocka_unit_test(test_floats_meet_integers),
        cmocka_unit_test(test_text_that_is_none_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
