/*
 * generate.c: continue a text.
 *
 *   generate MODEL.gguf "Once upon a time" [TOKENS]
 *
 * The whole of the library in one page: open an engine, turn text into tokens, append them to a
 * session, take the likeliest next token until the model ends the text. Needs only the installed
 * header:  cc generate.c $(pkg-config --cflags --libs ashlar)
 */
#include <ashlar.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(ashlar_status status, const ashlar_error *err)
{
    if (status == ASHLAR_OK)
        return;
    fprintf(stderr, "generate: %s\n", err->message);
    exit((int)status);
}

/* The prompt's tokens; the caller frees them. A first call measures, a second one fills. */
static int32_t *tokenize(const ashlar_engine *engine, const char *text, size_t *n)
{
    ashlar_error err = {0};
    const unsigned flags = ASHLAR_ADD_SPECIAL;

    check(ashlar_tokenize(engine, text, strlen(text), flags, NULL, 0, n, &err), &err);
    int32_t *tokens = malloc((*n + 1) * sizeof *tokens);
    if (!tokens)
        exit(ASHLAR_NO_RESOURCE);
    check(ashlar_tokenize(engine, text, strlen(text), flags, tokens, *n, n, &err), &err);
    return tokens;
}

static void print_token(const ashlar_engine *engine, int32_t token, ashlar_utf8_stream *utf8)
{
    char text[1024];
    size_t n;
    const char *piece = ashlar_token_piece(engine, token, false, &n);

    /* a token may hold part of a character: only whole ones come out */
    if (n > 0 && n + 4 <= sizeof text)
        fwrite(text, 1, ashlar_utf8_push(utf8, piece, n, text), stdout);
    fflush(stdout);
}

static void generate(ashlar_session *session, ashlar_engine *engine, int n_tokens)
{
    ashlar_sampler *sampler;
    ashlar_sampler_options options;
    ashlar_utf8_stream utf8 = {{0}, 0};
    ashlar_error err = {0};

    ashlar_sampler_options_init(&options); /* greedy; set temperature, top_p, seed to sample */
    check(ashlar_sampler_new(engine, &options, &sampler, &err), &err);
    for (int i = 0; i < n_tokens; i++) {
        int32_t token = ashlar_sampler_sample(sampler, ashlar_session_logits(session));
        if (ashlar_token_is_end(engine, token))
            break;
        ashlar_sampler_accept(sampler, token);
        print_token(engine, token, &utf8);
        check(ashlar_session_append(session, &token, 1, &err), &err);
    }
    putchar('\n');
    ashlar_sampler_free(sampler);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fputs("usage: generate MODEL.gguf TEXT [TOKENS]\n", stderr);
        return ASHLAR_USAGE;
    }
    int n_tokens = argc > 3 ? atoi(argv[3]) : 64;
    ashlar_options options;
    ashlar_engine *engine;
    ashlar_session *session;
    ashlar_error err = {0};
    size_t n_prompt;

    ashlar_options_init(&options);
    options.n_ctx = 4096;
    check(ashlar_engine_open(argv[1], &options, &engine, &err), &err);
    check(ashlar_session_open(engine, &session, &err), &err);
    int32_t *prompt = tokenize(engine, argv[2], &n_prompt);
    check(ashlar_session_append(session, prompt, n_prompt, &err), &err);
    generate(session, engine, n_tokens);
    free(prompt);
    ashlar_session_close(session);
    ashlar_engine_close(engine);
    return 0;
}
