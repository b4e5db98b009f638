/*
 * batch.c: continue several texts side by side.
 *
 *   batch MODEL.gguf "One day" "The little girl" "Once upon a time"
 *
 * Every text is a session; one ashlar_batch_eval gives each of them its next token, so the weights
 * are read from memory once per step, not once per text. Texts of different lengths are fine, and a
 * text that has ended leaves the batch. Needs only the installed header:
 * cc batch.c $(pkg-config --cflags --libs ashlar)
 */
#include <ashlar.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TEXTS = 16, MAX_TOKENS = 48, CONTEXT = 2048 };

/* One text and what became of it. */
struct text {
    const char *prompt;
    ashlar_session *session;
    int32_t tokens[CONTEXT]; /* the prompt's tokens, then each new one */
    size_t n_prompt, n;
    bool ended;
};

static struct text texts[MAX_TEXTS];

static void check(ashlar_status status, const ashlar_error *err)
{
    if (status == ASHLAR_OK)
        return;
    fprintf(stderr, "batch: %s\n", err->message);
    exit((int)status);
}

static void begin(struct text *t, ashlar_engine *engine, const char *prompt)
{
    ashlar_error err = {0};

    t->prompt = prompt;
    check(ashlar_session_open(engine, &t->session, &err), &err);
    check(ashlar_tokenize(engine, prompt, strlen(prompt), ASHLAR_ADD_SPECIAL, t->tokens,
                          CONTEXT - MAX_TOKENS, &t->n_prompt, &err),
          &err);
    if (t->n_prompt == 0 || t->n_prompt > CONTEXT - MAX_TOKENS) {
        fprintf(stderr, "batch: a prompt must have 1 to %d tokens\n", CONTEXT - MAX_TOKENS);
        exit(ASHLAR_USAGE);
    }
    t->n = t->n_prompt;
}

/* Evaluate what each running text has not evaluated yet: first its prompt, later one token. */
static size_t step(ashlar_engine *engine, int n_texts)
{
    ashlar_batch_item items[MAX_TEXTS];
    ashlar_error err = {0};
    size_t n_items = 0;

    for (int i = 0; i < n_texts; i++) {
        struct text *t = &texts[i];
        size_t done = ashlar_session_length(t->session);
        if (!t->ended && t->n > done)
            items[n_items++] = (ashlar_batch_item){t->session, t->tokens + done, t->n - done,
                                                   ASHLAR_OK};
    }
    if (n_items > 0)
        check(ashlar_batch_eval(engine, items, n_items, &err), &err);
    return n_items;
}

static void choose(struct text *t, const ashlar_engine *engine, ashlar_sampler *sampler)
{
    if (t->ended)
        return;
    int32_t token = ashlar_sampler_sample(sampler, ashlar_session_logits(t->session));
    t->ended = ashlar_token_is_end(engine, token) || t->n - t->n_prompt == MAX_TOKENS;
    if (!t->ended)
        t->tokens[t->n++] = token;
}

static void print_text(const struct text *t, const ashlar_engine *engine)
{
    fputs(t->prompt, stdout);
    for (size_t i = t->n_prompt; i < t->n; i++) {
        size_t length;
        const char *piece = ashlar_token_piece(engine, t->tokens[i], false, &length);
        fwrite(piece, 1, length, stdout);
    }
    putchar('\n');
}

int main(int argc, char **argv)
{
    int n_texts = argc - 2;
    if (n_texts < 1 || n_texts > MAX_TEXTS) {
        fprintf(stderr, "usage: batch MODEL.gguf TEXT... (at most %d)\n", MAX_TEXTS);
        return ASHLAR_USAGE;
    }
    ashlar_options options;
    ashlar_sampler_options greedy;
    ashlar_engine *engine;
    ashlar_sampler *sampler; /* greedy, and no repeat penalty: one can serve all texts */
    ashlar_error err = {0};

    ashlar_options_init(&options);
    options.n_ctx = CONTEXT;
    options.n_sessions = n_texts;
    check(ashlar_engine_open(argv[1], &options, &engine, &err), &err);
    ashlar_sampler_options_init(&greedy);
    check(ashlar_sampler_new(engine, &greedy, &sampler, &err), &err);
    for (int i = 0; i < n_texts; i++)
        begin(&texts[i], engine, argv[2 + i]);
    while (step(engine, n_texts) > 0)
        for (int i = 0; i < n_texts; i++)
            choose(&texts[i], engine, sampler);
    for (int i = 0; i < n_texts; i++) {
        print_text(&texts[i], engine);
        ashlar_session_close(texts[i].session);
    }
    ashlar_sampler_free(sampler);
    ashlar_engine_close(engine);
    return 0;
}
