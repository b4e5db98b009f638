/* Transcripts: which line answers which sample of which block, and what is no transcript. */
#include "lego/block_text.h"
#include "lego/translator.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct block block_a = {.text = "A\n"}, block_b = {.text = "B\n"}, block_c = {.text = "C\n"};

static int make_keys(void **state)
{
    (void)state;
    struct block *blocks[] = {&block_a, &block_b, &block_c};
    for (int i = 0; i < 3; i++) {
        blocks[i]->text_length = 2;
        block_text_key(blocks[i]->text, 2, blocks[i]->key);
    }
    return 0;
}

static struct translator *open_text(const char *text)
{
    struct translator *t;
    ashlar_error err = {0};
    if (translator_replay_parse("dir/t.jsonl", text, strlen(text), &t, &err) != ASHLAR_OK)
        fail_msg("%s", err.message);
    return t;
}

/* The answer to one sample; "-" when there is none. */
static const char *answer(struct translator *t, const struct block *block, int sample)
{
    static char text[64];
    struct translation item = {.block = block, .sample = sample};
    buf_init(&item.answer, 1000);
    assert_int_equal(t->translate(t, &item, 1, NULL), ASHLAR_OK);
    snprintf(text, sizeof text, "%s", item.answer.length ? item.answer.data : "-");
    buf_fini(&item.answer);
    return text;
}

static void samples_are_lines_in_order(void **state)
{
    (void)state;
    struct translator *t = open_text("{\"block\":\"A\\n\",\"fragment\":\"a0\"}\n"
                                     "\n"
                                     "{\"block\":\"B\\n\",\"fragment\":\"b0\"}\n"
                                     "{\"block\":\"A\\n\",\"fragment\":\"a1\"}");
    assert_string_equal(t->kind, "replay");
    assert_string_equal(t->name, "t.jsonl");
    assert_string_equal(answer(t, &block_a, 0), "a0");
    assert_string_equal(answer(t, &block_a, 1), "a1");
    assert_string_equal(answer(t, &block_a, 2), "-");
    assert_string_equal(answer(t, &block_b, 0), "b0");
    assert_string_equal(answer(t, &block_c, 0), "-");
    t->close(t);
}

static void keys_stand_for_texts(void **state)
{
    (void)state;
    char text[200];
    snprintf(text, sizeof text, "{\"key\":\"%s\",\"fragment\":\"b\"}", block_b.key);
    struct translator *t = open_text(text);
    assert_string_equal(answer(t, &block_b, 0), "b");
    assert_string_equal(answer(t, &block_a, 0), "-");
    t->close(t);
}

static void a_line_may_name_its_sample(void **state)
{
    (void)state;
    struct translator *t = open_text("{\"block\":\"A\\n\",\"fragment\":\"a2\",\"sample\":2}\n"
                                     "{\"block\":\"A\\n\",\"fragment\":\"a0\",\"sample\":0}\n");
    assert_string_equal(answer(t, &block_a, 0), "a0");
    assert_string_equal(answer(t, &block_a, 1), "-");
    assert_string_equal(answer(t, &block_a, 2), "a2");
    t->close(t);
}

static void a_recorded_silence_is_a_sample(void **state)
{
    (void)state;
    struct translator *t = open_text("{\"block\":\"A\\n\",\"fragment\":null}\n"
                                     "{\"block\":\"A\\n\",\"fragment\":\"a1\"}\n");
    assert_string_equal(answer(t, &block_a, 0), "-");
    assert_string_equal(answer(t, &block_a, 1), "a1");
    t->close(t);
}

static void bad_lines_are_named(void **state)
{
    (void)state;
    static const char *const texts[] = {"{\"block\":\"A\"}",
                                        "{\"fragment\":\"f\"}",
                                        "{\"key\":\"xyz\",\"fragment\":\"f\"}",
                                        "nonsense",
                                        "{\"block\":\"A\",\"fragment\":\"f\",\"sample\":-1}",
                                        "{\"block\":\"A\",\"fragment\":\"f\",\"sample\":\"0\"}",
                                        "{\"block\":\"A\",\"fragment\":\"f\\u0000\"}",
                                        "\"A\"",
                                        "{\"block\":\"A\",\"fragment\":7}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char text[200];
        ashlar_error err;
        struct translator *t;
        int n = snprintf(text, sizeof text, "{\"block\":\"B\",\"fragment\":\"f\"}\n%s\n", texts[i]);
        assert_int_equal(translator_replay_parse("t", text, (size_t)n, &t, &err), ASHLAR_BAD_INPUT);
        assert_null(t);
        assert_non_null(strstr(err.message, "t:2: "));
    }
}

static void an_empty_transcript_answers_nothing(void **state)
{
    (void)state;
    struct translator *t = open_text("");
    assert_string_equal(answer(t, &block_a, 0), "-");
    t->close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_are_lines_in_order),
        cmocka_unit_test(keys_stand_for_texts),
        cmocka_unit_test(a_line_may_name_its_sample),
        cmocka_unit_test(a_recorded_silence_is_a_sample),
        cmocka_unit_test(bad_lines_are_named),
        cmocka_unit_test(an_empty_transcript_answers_nothing),
    };
    return cmocka_run_group_tests(tests, make_keys, NULL);
}
