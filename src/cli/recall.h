/*
 * recall.h: synthetic records: the text that recall.gguf learns to read, with questions and their answers.
 *
 * One generator serves training (tools/mkrecords) and measuring (ashlar eval recall), so the two
 * cannot drift apart. A record is a list of lines in plain English, a few of which hold facts;
 * questions about the facts follow. Everything is drawn from a seed: the same specification
 * gives the same bytes on every machine.
 *
 * The generator works in words of its own vocabulary. Each word is exactly one pre-token of the
 * llama-bpe pre-tokenizer, and the model file's tokenizer lists each word whole, so a record's
 * length in words is its length in tokens. It knows nothing of models or engines.
 */
#ifndef CLI_RECALL_H
#define CLI_RECALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a record asks for. The order is the order of the figures in reports. */
enum recall_task {
    RECALL_NEEDLE,     /* one fact among prose */
    RECALL_KEYVALUE,   /* one fact among as many others as fit */
    RECALL_CHAIN,      /* names that lead to names, and at last to a value */
    RECALL_MULTIVALUE, /* three values of one name, on lines far apart */
    RECALL_MIXED,      /* facts, chains and triples in one record */
    RECALL_TASKS
};

/* Records of the two sides never share a seed: the side is part of the generator's state. */
enum recall_side { RECALL_TRAIN, RECALL_EVAL };

struct recall_spec {
    enum recall_task task;
    enum recall_side side;
    uint64_t seed;    /* which series of records */
    uint64_t index;   /* which record of the series */
    size_t tokens;    /* the most tokens that lines, questions and answers may take together */
    size_t questions; /* the most questions; fewer where the record has fewer facts */
    bool apart;       /* each question will follow the lines alone: room for one is enough */
};

/* A question and its answer: ranges of recall_record.words. */
struct recall_question {
    size_t start;        /* the first word of the question */
    size_t answer_start; /* the first word of the answer; the question ends here */
    size_t end;          /* one past the answer's last word, which ends the line */
};

struct recall_record {
    uint16_t *words; /* (word_count) the lines, then the questions with their answers */
    size_t word_count;
    size_t body_count; /* words before the first question */
    struct recall_question *questions; /* (question_count) */
    size_t question_count;
};

/** Words in the vocabulary; a word's number lies below. */
size_t recall_vocab_size(void);

/** The text of a word with its leading space or trailing newline; lives as long as the process. */
const char *recall_vocab_text(size_t word);

/** The name of a task as the command line spells it; NULL above the last. */
const char *recall_task_name(enum recall_task task);

/** The task of that name, of `length` bytes. False: there is none. */
bool recall_task_parse(const char *name, size_t length, enum recall_task *task);

/* What recall_record_init accepts as spec.tokens: room for one question of any task, or more. */
#define RECALL_TOKENS_MIN 64
#define RECALL_TOKENS_MAX (1 << 24)

/**
 * Draws the record that `spec` describes. The caller owns it: recall_record_fini frees it.
 * False, with *record empty: out of memory, spec.tokens outside its bounds, or no question.
 */
bool recall_record_init(struct recall_record *record, const struct recall_spec *spec);

/** Frees what recall_record_init drew; an empty record is fine. */
void recall_record_fini(struct recall_record *record);

/**
 * Writes the text of `count` words to `text` (room for `capacity` bytes, the closing zero included)
 * and returns the bytes that the whole text takes without the zero, as snprintf does.
 */
size_t recall_words_text(const uint16_t *words, size_t count, char *text, size_t capacity);

#endif
