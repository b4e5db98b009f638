/*
 * test_recall.c: records keep the promises of recall.h: within their length, the same from the same
 * seed, different on the two sides, each answer to be found in the lines and nowhere contradicted.
 */
#include "cli/recall.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { RECORDS = 40, TEXT_MAX = 1 << 20 };

static struct recall_spec spec_of(enum recall_task task, size_t tokens, uint64_t index)
{
    return (struct recall_spec){.task = task, .side = RECALL_EVAL, .seed = 5, .index = index,
                                .tokens = tokens, .questions = 4};
}

/* The text of words [start, end) of a record; the caller frees it. */
static char *text_of(const struct recall_record *record, size_t start, size_t end)
{
    char *text = malloc(TEXT_MAX);

    assert_non_null(text);
    assert_true(recall_words_text(record->words + start, end - start, text, TEXT_MAX) < TEXT_MAX);
    return text;
}

static size_t occurrences(const char *text, const char *part)
{
    size_t n = 0;

    for (const char *p = strstr(text, part); p; p = strstr(p + 1, part))
        n++;
    return n;
}

static void words_differ_from_each_other(void **state)
{
    (void)state;
    for (size_t a = 0; a < recall_vocab_size(); a++)
        for (size_t b = 0; b < a; b++)
            assert_string_not_equal(recall_vocab_text(a), recall_vocab_text(b));
    assert_null(recall_vocab_text(recall_vocab_size()));
}

static void task_names_are_read_back(void **state)
{
    (void)state;
    for (int t = 0; t < RECALL_TASKS; t++) {
        const char *name = recall_task_name((enum recall_task)t);
        enum recall_task task = RECALL_TASKS;
        assert_true(recall_task_parse(name, strlen(name), &task));
        assert_int_equal(task, t);
        assert_false(recall_task_parse(name, strlen(name) - 1, &task));
    }
    assert_null(recall_task_name(RECALL_TASKS));
}

static void records_fit_their_length(void **state)
{
    static const size_t lengths[] = {RECALL_TOKENS_MIN, 100, 512, 3000, 16384};

    (void)state;
    for (int t = 0; t < RECALL_TASKS; t++)
        for (size_t n = 0; n < sizeof lengths / sizeof *lengths; n++)
            for (uint64_t i = 0; i < RECORDS; i++) {
                struct recall_spec spec = spec_of((enum recall_task)t, lengths[n], i);
                struct recall_record record;
                spec.side = i % 2 ? RECALL_TRAIN : RECALL_EVAL;
                assert_true(recall_record_init(&record, &spec));
                assert_in_range(record.question_count, 1, 4);
                assert_in_range(record.word_count, lengths[n] - 12, lengths[n]);
                recall_record_fini(&record);
            }
}

static void room_for_one_question_is_kept_when_asked_apart(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < RECORDS; i++) {
        struct recall_spec spec = spec_of(RECALL_MIXED, 400, i);
        struct recall_record record;
        size_t longest = 0;
        spec.apart = true;
        spec.questions = 8;
        assert_true(recall_record_init(&record, &spec));
        for (size_t q = 0; q < record.question_count; q++) {
            size_t turn = record.questions[q].end - record.questions[q].start;
            longest = turn > longest ? turn : longest;
        }
        assert_in_range(record.body_count + longest, 400 - 12, 400);
        recall_record_fini(&record);
    }
}

static void too_short_a_record_is_refused(void **state)
{
    struct recall_spec spec = spec_of(RECALL_NEEDLE, RECALL_TOKENS_MIN - 1, 0);
    struct recall_record record;

    (void)state;
    assert_false(recall_record_init(&record, &spec));
    assert_null(record.words);
    recall_record_fini(&record);
}

static void the_same_seed_gives_the_same_record(void **state)
{
    struct recall_spec spec = spec_of(RECALL_MIXED, 1000, 3);
    struct recall_record a, b;

    (void)state;
    assert_true(recall_record_init(&a, &spec));
    assert_true(recall_record_init(&b, &spec));
    assert_int_equal(a.word_count, b.word_count);
    assert_memory_equal(a.words, b.words, a.word_count * sizeof *a.words);
    recall_record_fini(&a);
    recall_record_fini(&b);
}

static void sides_and_indexes_give_other_records(void **state)
{
    struct recall_spec spec = spec_of(RECALL_KEYVALUE, 1000, 3), side = spec, index = spec;
    struct recall_record a, b, c;

    (void)state;
    side.side = RECALL_TRAIN;
    index.index++;
    assert_true(recall_record_init(&a, &spec));
    assert_true(recall_record_init(&b, &side));
    assert_true(recall_record_init(&c, &index));
    assert_memory_not_equal(a.words, b.words, 900 * sizeof *a.words);
    assert_memory_not_equal(a.words, c.words, 900 * sizeof *a.words);
    recall_record_fini(&a);
    recall_record_fini(&b);
    recall_record_fini(&c);
}

/* "Answer: The trail runs A B C value.\n": each pair stands in the lines once, before a full stop. */
static void check_pairs(const char *lines, char *answer)
{
    char pair[128];
    char *previous = NULL;

    answer[strcspn(answer, ".")] = '\0';
    for (char *word = strtok(answer, " "); word; word = strtok(NULL, " ")) {
        bool name = word[0] >= 'A' && word[0] <= 'Z';
        if (previous) {
            snprintf(pair, sizeof pair, " %s %s.\n", previous, word);
            assert_int_equal(occurrences(lines, pair), 1);
            snprintf(pair, sizeof pair, " %s ", previous);
            assert_int_equal(occurrences(lines, pair), 1);
        }
        previous = name && strcmp(word, "Answer:") != 0 && strcmp(word, "The") != 0 &&
                           strcmp(word, "They") != 0
                       ? word : NULL;
    }
}

static void answers_follow_from_the_lines_alone(void **state)
{
    static const enum recall_task tasks[] = {RECALL_NEEDLE, RECALL_KEYVALUE, RECALL_CHAIN};

    (void)state;
    for (size_t t = 0; t < 3; t++)
        for (uint64_t i = 0; i < RECORDS; i++) {
            struct recall_spec spec = spec_of(tasks[t], 1500, i);
            struct recall_record record;
            assert_true(recall_record_init(&record, &spec));
            char *lines = text_of(&record, 0, record.body_count);
            for (size_t q = 0; q < record.question_count; q++) {
                char *answer = text_of(&record, record.questions[q].answer_start,
                                       record.questions[q].end);
                check_pairs(lines, answer);
                free(answer);
            }
            free(lines);
            recall_record_fini(&record);
        }
}

static void three_values_stand_on_lines_of_their_own(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < RECORDS; i++) {
        struct recall_spec spec = spec_of(RECALL_MULTIVALUE, 1500, i);
        struct recall_record record;
        assert_true(recall_record_init(&record, &spec));
        char *lines = text_of(&record, 0, record.body_count);
        char *answer = text_of(&record, record.questions[0].answer_start, record.questions[0].end);
        char line[64];
        const char *part = answer + strlen("Answer: They served");
        for (int n = 0; n < 3; n++) {
            snprintf(line, sizeof line, "%.*s.\n", (int)strcspn(part, ",."), part);
            assert_int_equal(occurrences(lines, line), 1);
            part += strcspn(part, ",.") + 1;
        }
        free(answer);
        free(lines);
        recall_record_fini(&record);
    }
}

static void a_needle_lies_alone_in_prose(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < RECORDS; i++) {
        struct recall_spec spec = spec_of(RECALL_NEEDLE, 1000, i);
        struct recall_record record;
        size_t facts = 0;
        assert_true(recall_record_init(&record, &spec));
        assert_int_equal(record.question_count, 1);
        uint16_t name = record.words[record.questions[0].answer_start - 2];
        for (size_t w = 0; w < record.body_count; w++)
            facts += record.words[w] == name;
        assert_int_equal(facts, 1);
        recall_record_fini(&record);
    }
}

static void text_is_cut_to_its_room(void **state)
{
    uint16_t words[3] = {0, 1, 2};
    char text[6];

    (void)state;
    assert_int_equal(recall_words_text(words, 3, text, sizeof text), strlen("The clerk gave"));
    assert_string_equal(text, "The c");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_differ_from_each_other),
        cmocka_unit_test(task_names_are_read_back),
        cmocka_unit_test(records_fit_their_length),
        cmocka_unit_test(room_for_one_question_is_kept_when_asked_apart),
        cmocka_unit_test(too_short_a_record_is_refused),
        cmocka_unit_test(the_same_seed_gives_the_same_record),
        cmocka_unit_test(sides_and_indexes_give_other_records),
        cmocka_unit_test(answers_follow_from_the_lines_alone),
        cmocka_unit_test(three_values_stand_on_lines_of_their_own),
        cmocka_unit_test(a_needle_lies_alone_in_prose),
        cmocka_unit_test(text_is_cut_to_its_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
