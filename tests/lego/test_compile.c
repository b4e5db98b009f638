/*
 * The loop of a compilation with scripted translators: what is asked for how often, what becomes of
 * wrong answers, and that blocks which differ only in a constant's value are each verified with
 * their own.
 */
#include "lego/compile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- scripted translators
 * --------------------------------------------------------------------------- */

/* Answers for a block by what its text contains; the first rule that fits and was not used up. */
struct rule {
    const char *contains;
    const char *fragment;
    int sample;         /* -1: any first translation; -2: any repair */
};

struct script {
    struct translator base;
    const struct rule *rules;
    int n_rules, asked, repairs, calls;
    char finding[256];  /* of the last repair */
};

static ashlar_status play(struct translator *t, struct translation *items, int n, ashlar_error *err)
{
    struct script *s = (struct script *)t;
    (void)err;
    s->calls++;
    for (int i = 0; i < n; i++) {
        s->asked += !items[i].previous;
        s->repairs += items[i].previous != NULL;
        if (items[i].finding)
            snprintf(s->finding, sizeof s->finding, "%s", items[i].finding);
        for (int k = 0; k < s->n_rules; k++) {
            const struct rule *r = &s->rules[k];
            bool fits = items[i].previous ? r->sample == -2
                                          : r->sample == -1 || r->sample == items[i].sample;
            if (fits && strstr(items[i].block->text, r->contains)) {
                buf_puts(&items[i].answer, r->fragment);
                break;
            }
        }
    }
    return ASHLAR_OK;
}

static ashlar_status refuse(struct translator *t, struct translation *items, int n,
                            ashlar_error *err)
{
    (void)t;
    (void)items;
    (void)n;
    return error_set(err, ASHLAR_FAILED, "out of order");
}

static struct script script_of(const struct rule *rules, int n)
{
    return (struct script){
        .base = {.kind = "script", .at_once = 1, .good_at = GRANULARITY_BLOCK, .translate = play},
        .rules = rules,
        .n_rules = n};
}

/* ---- compiling
 * -------------------------------------------------------------------------------------- */

static struct compile_options options;

static int reset(void **state)
{
    (void)state;
    compile_options_init(&options);
    options.verify.vectors = 50;
    return 0;
}

static struct compilation *compile(const char *source, struct script *a, struct script *b)
{
    struct compilation *c;
    ashlar_error err = {0};
    options.translators[options.n_translators++] = &a->base;
    if (b)
        options.translators[options.n_translators++] = &b->base;
    ashlar_status status = compile_open(&options, "t.c", source, strlen(source), NULL, 0, &c, &err);
    if (status == ASHLAR_OK)
        status = compile_cut(c, &err);
    if (status == ASHLAR_OK)
        status = compile_translate(c, &err);
    if (status != ASHLAR_OK)
        fail_msg("%s", err.message);
    return c;
}

static struct report_totals totals_of(struct compilation *c)
{
    struct report_totals t;
    report_total(compile_report(c), &t);
    return t;
}

static const char right[] = "\tmovl\tv1(%rbp), %eax\n\taddl\t$c1, %eax\n\tmovl\t%eax, v1(%rbp)\n";
static const char wrong[] = "\tmovl\tv1(%rbp), %eax\n\tsubl\t$c1, %eax\n\tmovl\t%eax, v1(%rbp)\n";
static const char only_for_one[] = "\tincl\tv1(%rbp)\n";
static const char add[] = "void h(int); void f(int a) { a = a + 1; h(a); }\n";
static const char add_two[] =
    "void h(int); void f(int a) { a = a + 1; h(a); } void g(int a) { a = a + 2; h(a); }\n";

static void a_right_answer_is_accepted_and_composed(void **state)
{
    (void)state;
    static const struct rule rules[] = {{"v1 = v1 + c1", right, -1}};
    struct script s = script_of(rules, 1);
    struct compilation *c = compile(add, &s, NULL);
    struct report_totals t = totals_of(c);
    struct buf out;
    buf_init(&out, 1 << 20);
    assert_int_equal(t.accepted, 1);
    assert_int_equal(t.by_level[VERIFY_TESTED], 1);
    assert_int_equal(t.functions_failed, 0);
    assert_int_equal(s.asked, 1);
    assert_int_equal(compile_compose(c, &out, NULL), ASHLAR_OK);
    assert_non_null(strstr(out.data, "\nf:\n"));
    assert_non_null(strstr(out.data, "addl\t$1, %eax"));
    buf_fini(&out);
    compile_free(c);
}

static void a_later_sample_is_asked_for_when_the_first_is_wrong(void **state)
{
    (void)state;
    static const struct rule rules[] = {{"v1 = v1 + c1", right, 2}, {"v1 = v1 + c1", wrong, -1}};
    struct script s = script_of(rules, 2);
    struct compilation *c = compile(add, &s, NULL);
    assert_int_equal(totals_of(c).accepted, 1);
    assert_int_equal(s.asked, 3);
    assert_int_equal(s.repairs, 0);
    compile_free(c);
}

static void a_repair_is_told_the_values(void **state)
{
    (void)state;
    static const struct rule rules[] = {{"v1 = v1 + c1", wrong, -1}, {"v1 = v1 + c1", right, -2}};
    struct script s = script_of(rules, 2);
    options.samples = 2;
    struct compilation *c = compile(add, &s, NULL);
    assert_int_equal(totals_of(c).accepted, 1);
    assert_int_equal(s.asked, 2);
    assert_int_equal(s.repairs, 1);
    assert_non_null(strstr(s.finding, "expected v1="));
    assert_int_equal(compile_report(c)->blocks[0]->repairs, 1);
    compile_free(c);
}

static void nothing_wrong_is_ever_accepted(void **state)
{
    (void)state;
    static const struct rule rules[] = {{"", wrong, -1}, {"", wrong, -2}};
    struct script s = script_of(rules, 2);
    struct compilation *c = compile(add, &s, NULL);
    const struct report *r = compile_report(c);
    assert_int_equal(totals_of(c).accepted, 0);
    assert_int_equal(totals_of(c).functions_failed, 1);
    assert_int_equal(r->functions[0].outcome, FUNCTION_REJECTED);
    assert_non_null(strstr(r->functions[0].why, "of f: "));
    compile_free(c);
}

static void the_second_translator_gets_what_the_first_leaves(void **state)
{
    (void)state;
    static const struct rule no[] = {{"", wrong, -1}}, yes[] = {{"v1 = v1 + c1", right, -1}};
    struct script a = script_of(no, 1), b = script_of(yes, 1);
    struct compilation *c = compile(add, &a, &b);
    assert_int_equal(totals_of(c).accepted, 1);
    assert_true(a.asked > 0);
    assert_int_equal(b.asked, 1);
    compile_free(c);
}

static void a_translator_out_of_order_is_passed_over(void **state)
{
    (void)state;
    static const struct rule yes[] = {{"v1 = v1 + c1", right, -1}};
    struct script a = script_of(NULL, 0), b = script_of(yes, 1);
    a.base.translate = refuse;
    struct compilation *c = compile(add, &a, &b);
    assert_int_equal(totals_of(c).accepted, 1);
    compile_free(c);
}

/* One text, two values: asked for once. */
static void equal_texts_are_asked_for_once(void **state)
{
    (void)state;
    static const struct rule rules[] = {{"v1 = v1 + c1", right, -1}};
    struct script s = script_of(rules, 1);
    struct compilation *c = compile(add_two, &s, NULL);
    assert_int_equal(totals_of(c).accepted, 2);
    assert_int_equal(s.asked, 1);
    compile_free(c);
}

/** A fragment that is right for one value only must not serve the block with the other one. In f
 * it is right, by chance: the answer may not know the literal. */
static void what_is_right_for_one_value_only_is_refused(void **state)
{
    (void)state;
    static const struct rule rules[] = {{"v1 = v1 + c1", only_for_one, -1}};
    struct script s = script_of(rules, 1);
    struct compilation *c = compile(add_two, &s, NULL);
    const struct report *r = compile_report(c);
    assert_int_equal(totals_of(c).accepted, 0);
    for (int i = 0; i < r->n_functions; i++)
        assert_int_equal(r->functions[i].outcome, FUNCTION_REJECTED);
    compile_free(c);
}

static void a_failing_block_goes_on_in_finer_ones(void **state)
{
    (void)state;
    static const char source[] =
        "void h(int); void f(int a, int b) { a = a + 1; b = b + 2; h(a + b); }\n";
    static const char sum[] =
        "\tmovl\tv2(%rbp), %eax\n\taddl\tv3(%rbp), %eax\n\tmovl\t%eax, v1(%rbp)\n";
    static const struct rule rules[] = {{"v2 = v2 + c2", wrong, -1}, {"v1 = v1 + c1", right, -1},
                                        {"v1 = v2 + v3", sum, -1}};
    struct script s = script_of(rules, 3);
    struct compilation *c = compile(source, &s, NULL);
    const struct report *r = compile_report(c);
    assert_int_equal(totals_of(c).functions_failed, 0);
    assert_int_equal(r->blocks[0]->outcome, REPORT_SPLIT);
    compile_free(c);
}

static void a_fixed_granularity_is_not_left(void **state)
{
    (void)state;
    static const char source[] =
        "void h(int); void f(int a, int b) { a = a + 1; b = b + 2; h(a + b); }\n";
    static const struct rule rules[] = {{"v1 = v1 + c1;\nend", right, -1}};
    struct script s = script_of(rules, 1);
    options.automatic = false;
    options.granularity = GRANULARITY_BLOCK;
    struct compilation *c = compile(source, &s, NULL);
    assert_int_equal(totals_of(c).functions_failed, 1);
    for (int i = 0; i < compile_report(c)->n_blocks; i++)
        assert_int_equal(compile_report(c)->blocks[i]->granularity, GRANULARITY_BLOCK);
    compile_free(c);
}

/* With coarser: one try for the whole function's run, then the usual size. */
static void coarser_blocks_are_tried_once(void **state)
{
    (void)state;
    static const char source[] =
        "void h(int); void f(int a) { if (a > 3) a = a + 1; a = a + 2; h(a); }\n";
    static const struct rule rules[] = {{"goto", wrong, -1}};
    struct script s = script_of(rules, 1);
    options.coarser = true;
    struct compilation *c = compile(source, &s, NULL);
    const struct report_block *b = compile_report(c)->blocks[0];
    assert_int_equal(b->granularity, GRANULARITY_FUNCTION);
    assert_int_equal(b->samples, 1);
    assert_int_equal(b->repairs, 0);
    assert_int_equal(b->outcome, REPORT_SPLIT);
    compile_free(c);
}

static bool at_once_no(void *user, const char *what, uint64_t done, uint64_t total)
{
    (void)user;
    (void)what;
    (void)done;
    (void)total;
    return false;
}

static void it_can_be_cancelled(void **state)
{
    (void)state;
    static const struct rule rules[] = {{"v1 = v1 + c1", right, -1}};
    struct script s = script_of(rules, 1);
    struct compilation *c;
    options.log.progress = at_once_no;
    options.translators[options.n_translators++] = &s.base;
    assert_int_equal(compile_open(&options, "t.c", add, strlen(add), NULL, 0, &c, NULL), ASHLAR_OK);
    assert_int_equal(compile_cut(c, NULL), ASHLAR_OK);
    assert_int_equal(compile_translate(c, NULL), ASHLAR_CANCELLED);
    compile_free(c);
}

static void the_cache_answers_and_is_not_believed(void **state)
{
    (void)state;
    char folder[] = "/tmp/ashlar-compile.XXXXXX", command[128];
    static const struct rule good[] = {{"v1 = v1 + c1", right, -1}};
    struct script first = script_of(good, 1), second = script_of(good, 1),
                  third = script_of(good, 1);
    struct compile_options fresh = options;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(cache_open(folder, &options.cache, NULL), ASHLAR_OK);
    fresh.cache = options.cache;
    compile_free(compile(add, &first, NULL));
    assert_int_equal(first.asked, 1);

    options = fresh;
    struct compilation *c = compile(add, &second, NULL);
    assert_int_equal(totals_of(c).from_cache, 1);
    assert_int_equal(second.asked, 0);
    struct cache_entry forged = {.key = compile_report(c)->blocks[0]->key,
                                 .target = "x86-64",
                                 .block = compile_report(c)->blocks[0]->text,
                                 .fragment = wrong,
                                 .version = VERIFY_VERSION,
                                 .level = VERIFY_TESTED,
                                 .vectors = 9,
                                 .provenance = "x"};
    assert_int_equal(cache_put(options.cache, &forged, NULL), ASHLAR_OK);
    compile_free(c);

    options = fresh;
    c = compile(add, &third, NULL);
    assert_int_equal(totals_of(c).from_cache, 0);
    assert_int_equal(totals_of(c).accepted, 1);
    assert_int_equal(third.asked, 1);
    compile_free(c);
    cache_close(fresh.cache);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
}

/* The bytes of d are data; 1.5 is what g() returns. */
static void only_constants_that_code_names_are_written(void **state)
{
    (void)state;
    static const char source[] = "double d = 2.5; float z[2] = {3.5f, 4.5f};\n"
                                 "double g(void) { return 1.5; }\n";
    struct script none = script_of(NULL, 0);
    struct compilation *c = compile(source, &none, NULL);
    struct buf text;
    ashlar_error err = {0};
    int labels = 0;
    buf_init(&text, 1 << 20);
    assert_int_equal(compile_compose(c, &text, &err), ASHLAR_OK);
    for (const char *at = text.data; (at = strstr(at, "\n.Lk")); at++)
        labels++;
    assert_int_equal(labels, 1);
    buf_fini(&text);
    compile_free(c);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, reset)
    const struct CMUnitTest tests[] = {
        TEST(a_right_answer_is_accepted_and_composed),
        TEST(a_later_sample_is_asked_for_when_the_first_is_wrong),
        TEST(a_repair_is_told_the_values),
        TEST(nothing_wrong_is_ever_accepted),
        TEST(the_second_translator_gets_what_the_first_leaves),
        TEST(a_translator_out_of_order_is_passed_over),
        TEST(equal_texts_are_asked_for_once),
        TEST(what_is_right_for_one_value_only_is_refused),
        TEST(a_failing_block_goes_on_in_finer_ones),
        TEST(a_fixed_granularity_is_not_left),
        TEST(it_can_be_cancelled), TEST(coarser_blocks_are_tried_once),
        TEST(the_cache_answers_and_is_not_believed),
        TEST(only_constants_that_code_names_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
