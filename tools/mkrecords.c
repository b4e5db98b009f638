/*
 * mkrecords.c: writes the vocabulary and the records that recall.gguf is trained on, or one record
 * as text for people.  What the trainer reads is binary: a trainer wants tokens, not parsing.
 *
 *   mkrecords --vocab                    the words in JSON, one per line, in their order
 *   mkrecords --ids [options]            training records without end: (tokens) uint16 words in the
 *                                        machine's byte order, then (tokens) bytes of marks
 *   mkrecords --text [options]           one record and its question, up to "Answer:"
 *   mkrecords --answer [options]         the rest of that line
 *
 * Marks: 0 nothing, 1 a word of an answer, 2 the word that ends an answer, 3 padding.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/recall.h"

enum { LABEL_WORDS = 2 }; /* "Answer", ":" begin every answer */

struct settings {
    const char *mode;
    const char *tasks;
    struct recall_spec spec;
    uint64_t count; /* records; 0 for no end */
};

static int fail(const char *message, const char *detail)
{
    fprintf(stderr, "mkrecords: %s%s\n", message, detail);
    return 2;
}

static int write_vocab(void)
{
    for (size_t w = 0; w < recall_vocab_size(); w++) {
        putchar('"');
        for (const char *c = recall_vocab_text(w); *c != '\0'; c++) {
            if (*c == '\n')
                fputs("\\n", stdout);
            else
                putchar(*c);
        }
        puts("\"");
    }
    return 0;
}

static void mark_answers(const struct recall_record *record, uint8_t *marks, size_t tokens)
{
    memset(marks, 0, record->word_count);
    memset(marks + record->word_count, 3, tokens - record->word_count);
    for (size_t q = 0; q < record->question_count; q++) {
        const struct recall_question *question = &record->questions[q];
        for (size_t i = question->answer_start; i < question->end; i++)
            marks[i] = i + 1 == question->end ? 2 : 1;
    }
}

static bool write_record(const struct recall_spec *spec, uint16_t *words, uint8_t *marks)
{
    struct recall_record record;
    if (!recall_record_init(&record, spec))
        return false;
    memset(words, 0, spec->tokens * sizeof *words);
    memcpy(words, record.words, record.word_count * sizeof *words);
    mark_answers(&record, marks, spec->tokens);
    recall_record_fini(&record);
    return fwrite(words, sizeof *words, spec->tokens, stdout) == spec->tokens &&
           fwrite(marks, 1, spec->tokens, stdout) == spec->tokens;
}

/* The next name of a comma-separated list, round and round. */
static bool next_task(const char *list, const char **at, enum recall_task *task)
{
    if (**at == '\0')
        *at = list;
    size_t length = strcspn(*at, ",");
    bool known = recall_task_parse(*at, length, task);
    *at += length + ((*at)[length] == ',');
    return known;
}

static int write_ids(const struct settings *settings)
{
    struct recall_spec spec = settings->spec;
    uint16_t *words = calloc(spec.tokens, sizeof *words);
    uint8_t *marks = calloc(spec.tokens, 1);
    const char *at = settings->tasks;
    bool ok = words != NULL && marks != NULL;
    for (uint64_t i = 0; ok && (settings->count == 0 || i < settings->count); i++) {
        if (!next_task(settings->tasks, &at, &spec.task)) {
            ok = false;
            fail("no such task in: ", settings->tasks);
            break;
        }
        spec.index = settings->spec.index + i;
        ok = write_record(&spec, words, marks);
    }
    free(words);
    free(marks);
    return ok ? 0 : 1;
}

static int write_text(const struct settings *settings)
{
    struct recall_spec spec = settings->spec;
    struct recall_record record;
    const char *at = settings->tasks;
    if (!next_task(settings->tasks, &at, &spec.task))
        return fail("no such task in: ", settings->tasks);
    spec.questions = 1;
    if (!recall_record_init(&record, &spec))
        return fail("a record needs more tokens", "");
    struct recall_question *q = &record.questions[0];
    bool answer = strcmp(settings->mode, "--answer") == 0;
    size_t middle = q->answer_start + LABEL_WORDS;
    size_t start = answer ? middle : 0, end = answer ? q->end : middle;
    for (size_t i = start; i < end; i++)
        fputs(recall_vocab_text(record.words[i]), stdout);
    if (!answer)
        putchar('\n');
    recall_record_fini(&record);
    return 0;
}

static bool parse_option(struct settings *settings, const char *name, const char *value)
{
    uint64_t number = strtoull(value, NULL, 10);
    if (strcmp(name, "--tokens") == 0)
        settings->spec.tokens = number;
    else if (strcmp(name, "--questions") == 0)
        settings->spec.questions = number;
    else if (strcmp(name, "--seed") == 0)
        settings->spec.seed = number;
    else if (strcmp(name, "--index") == 0)
        settings->spec.index = number;
    else if (strcmp(name, "--count") == 0)
        settings->count = number;
    else if (strcmp(name, "--tasks") == 0)
        settings->tasks = value;
    else if (strcmp(name, "--side") == 0)
        settings->spec.side = strcmp(value, "eval") == 0 ? RECALL_EVAL : RECALL_TRAIN;
    else
        return false;
    return true;
}

int main(int argc, char **argv)
{
    struct settings settings = {.mode = argc > 1 ? argv[1] : "",
                                .tasks = "needle",
                                .spec = {.tokens = 2048, .questions = 1, .seed = 1}};
    for (int i = 2; i < argc; i += 2) {
        if (i + 1 == argc || !parse_option(&settings, argv[i], argv[i + 1]))
            return fail("what is ", argv[i]);
    }
    if (strcmp(settings.mode, "--vocab") == 0)
        return write_vocab();
    if (strcmp(settings.mode, "--ids") == 0)
        return write_ids(&settings);
    if (strcmp(settings.mode, "--text") == 0 || strcmp(settings.mode, "--answer") == 0)
        return write_text(&settings);
    return fail("say --vocab, --ids, --text or --answer", "");
}
