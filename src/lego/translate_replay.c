/*
 * translate_replay.c: the translator that answers from a transcript: a model's recorded answers,
 * the teacher's, or a test's mistakes. The file is read whole and indexed by block; it never
 * learns. Which answer is right is not its business.
 */
#include "base/os.h"
#include "lego/block_text.h"
#include "lego/json_line.h"
#include "lego/translator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bounds on untrusted input: a file, an answer (far above FRAGMENT_MAX_BYTES, which the parser
 * will tell about), a sample's number. */
enum { TRANSCRIPT_MAX = 1 << 30, ANSWER_MAX = 1 << 20, SAMPLE_MAX = 1 << 20 };

struct answer {
    char key[33];
    int sample;     /* as the line says, -1: by order */
    int line;
    char *fragment; /* NULL: the line records that there was none */
    size_t length;
};

struct replay {
    struct translator base;
    struct answer *answers; /* (n), ordered by key, then line */
    size_t n, capacity;
};

static ashlar_status add(struct replay *r, const struct answer *answer, ashlar_error *err)
{
    if (r->n == r->capacity) {
        size_t capacity = r->capacity ? r->capacity * 2 : 256;
        struct answer *grown = realloc(r->answers, capacity * sizeof *grown);
        if (!grown)
            return error_memory(err, capacity * sizeof *grown, "the transcript");
        r->answers = grown;
        r->capacity = capacity;
    }
    r->answers[r->n++] = *answer;
    return ASHLAR_OK;
}

static bool is_key(const char *text, size_t length)
{
    return length == 32 && strspn(text, "0123456789abcdef") == 32;
}

struct reading {
    struct replay *replay;
    const char *path;
};

static ashlar_status refuse(const struct reading *in, int line, const char *what, ashlar_error *err)
{
    return error_set(err, ASHLAR_BAD_INPUT, "%s:%d: %s", in->path, line, what);
}

/* A line of a transcript: {"key" or "block", "fragment": text or null, "sample": optional}. Other
 * members are notes of whoever wrote it. */
static ashlar_status read_line(void *context, json_t *object, int line, ashlar_error *err)
{
    struct reading *in = context;
    struct answer answer = {.sample = -1, .line = line};
    size_t key_length, block_length, length;
    const char *key = json_line_get(object, "key", &key_length);
    const char *block = json_line_get(object, "block", &block_length);
    const char *fragment = json_line_get(object, "fragment", &length);
    const json_t *sample = json_object_get(object, "sample");

    if (!key && !block)
        return refuse(in, line, "neither \"key\" nor \"block\"", err);
    if (key && !is_key(key, key_length))
        return refuse(in, line, "\"key\" is not 32 hexadecimal digits", err);
    /* a line may have the block's text only, as hand-written transcripts do */
    if (key)
        memcpy(answer.key, key, sizeof answer.key);
    else
        block_text_key(block, block_length, answer.key);
    if (sample) {
        json_int_t n = json_integer_value(sample);
        if (!json_is_integer(sample) || n < 0 || n > SAMPLE_MAX)
            return refuse(in, line, "\"sample\" is not a number of 0 or more", err);
        answer.sample = (int)n;
    }
    /* null is an answer too: a model that gave none */
    if (!fragment && !json_is_null(json_object_get(object, "fragment")))
        return refuse(in, line, "no \"fragment\"", err);
    if (fragment && (length > ANSWER_MAX || strlen(fragment) != length))
        return refuse(in, line, "\"fragment\" is too long or holds a zero byte", err);
    if (fragment) {
        answer.fragment = strdup(fragment);
        answer.length = length;
        if (!answer.fragment)
            return error_memory(err, length, "the transcript");
    }
    ashlar_status status = add(in->replay, &answer, err);
    if (status != ASHLAR_OK)
        free(answer.fragment);
    return status;
}

/* By line within a block: qsort() is not stable, and "the n-th sample" means the n-th line. */
static int compare(const void *a, const void *b)
{
    const struct answer *x = a, *y = b;
    int order = strcmp(x->key, y->key);
    return order ? order : (x->line > y->line) - (x->line < y->line);
}

/* The answers of a block: the first one, and how many follow it. */
static const struct answer *find(const struct replay *r, const char *key, size_t *n)
{
    size_t low = 0, high = r->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(r->answers[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    size_t end = low;
    while (end < r->n && strcmp(r->answers[end].key, key) == 0)
        end++;
    *n = end - low;
    return *n ? r->answers + low : NULL;
}

/* Lines that name their sample are found by it, the others by their order among the block's. */
static const struct answer *pick(const struct answer *answers, size_t n, int sample)
{
    for (size_t i = 0; i < n; i++) {
        if (answers[i].sample == sample)
            return &answers[i];
    }
    bool by_order = sample >= 0 && (size_t)sample < n && answers[sample].sample < 0;
    return by_order ? &answers[sample] : NULL;
}

static ashlar_status translate(struct translator *t, struct translation *items, int n,
                               ashlar_error *err)
{
    struct replay *r = (struct replay *)t;
    for (int i = 0; i < n; i++) {
        struct translation *item = &items[i];
        size_t count;
        const struct answer *first = find(r, item->block->key, &count);
        const struct answer *answer = pick(first, count, item->sample);
        buf_clear(&item->answer);
        if (!answer || !answer->fragment) {
            snprintf(item->note, sizeof item->note, "%s",
                     count == 0 ? "not in the transcript" : "no further sample in the transcript");
            continue;
        }
        snprintf(item->note, sizeof item->note, "replay %s, line %d", r->base.name, answer->line);
        if (!buf_append(&item->answer, answer->fragment, answer->length))
            return error_memory(err, answer->length, "an answer");
    }
    return ASHLAR_OK;
}

static void close_replay(struct translator *t)
{
    struct replay *r = (struct replay *)t;
    for (size_t i = 0; i < r->n; i++)
        free(r->answers[i].fragment);
    free(r->answers);
    free(r);
}

ashlar_status translator_replay_parse(const char *name, const char *text, size_t length,
                                      struct translator **out, ashlar_error *err)
{
    *out = NULL;
    struct replay *r = calloc(1, sizeof *r);
    if (!r)
        return error_memory(err, sizeof *r, "the transcript");
    r->base = (struct translator){.kind = "replay", .good_at = GRANULARITY_BLOCK, .at_once = 1,
                                  .translate = translate, .close = close_replay};
    const char *slash = strrchr(name, '/');
    snprintf(r->base.name, sizeof r->base.name, "%s", slash ? slash + 1 : name);
    struct reading in = {.replay = r, .path = name};
    ashlar_status status = json_line_each(name, text, length, read_line, &in, err);
    if (status != ASHLAR_OK) {
        close_replay(&r->base);
        return status;
    }
    if (r->n)
        qsort(r->answers, r->n, sizeof *r->answers, compare);
    *out = &r->base;
    return ASHLAR_OK;
}

ashlar_status translator_replay_open(const char *path, struct translator **out, ashlar_error *err)
{
    struct buf text;
    buf_init(&text, TRANSCRIPT_MAX);
    *out = NULL;
    ashlar_status status = os_read_file(path, &text, err);
    if (status == ASHLAR_OK)
        status = translator_replay_parse(path, text.length ? text.data : "", text.length, out, err);
    buf_fini(&text);
    return status;
}
