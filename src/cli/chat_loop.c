/*
 * chat_loop.c: the interactive side of `ashlar run`; see chat_loop.h.
 *
 * The conversation is kept as messages and rendered anew each turn; generate() keeps the part of
 * the session that is still right, so a turn costs its own tokens. The terminal does the line
 * editing; a backslash at the end of a line continues it. The prompt sign and all remarks go to
 * stderr: stdout holds only what the model says.
 */
#include "cli/chat_loop.h"

#include "base/os.h"
#include "base/output.h"
#include "cli/cli.h"
#include "cli/prompt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 1 << 24 };

enum line_kind { LINE_TEXT, LINE_END, LINE_INTERRUPT };

struct conversation {
    ashlar_message *messages; /* (n); contents are ours, roles are constants */
    size_t n, capacity;
};

static void conversation_reset(struct conversation *c, size_t keep)
{
    while (c->n > keep)
        free((char *)c->messages[--c->n].content);
}

static bool conversation_add(struct conversation *c, const char *role, const char *text, size_t n)
{
    if (c->n == c->capacity) {
        size_t capacity = c->capacity ? 2 * c->capacity : 16;
        ashlar_message *grown = realloc(c->messages, capacity * sizeof *grown);
        if (!grown)
            return false;
        c->messages = grown;
        c->capacity = capacity;
    }
    char *copy = strndup(n ? text : "", n);
    if (!copy)
        return false;
    c->messages[c->n++] = (ashlar_message){.role = role, .content = copy};
    return true;
}

/* One input, its continuation lines joined; without the newline. */
static enum line_kind read_input(struct buf *input)
{
    char *line = NULL;
    size_t capacity = 0;
    enum line_kind kind = LINE_TEXT;

    buf_clear(input);
    for (;;) {
        fputs(input->length ? ". " : "> ", stderr);
        errno = 0;
        ssize_t n = getline(&line, &capacity, stdin);
        if (n < 0) {
            kind = errno == EINTR || interrupt_seen() ? LINE_INTERRUPT : LINE_END;
            clearerr(stdin);
            break;
        }
        if (n > 0 && line[n - 1] == '\n')
            n--;
        bool more = n > 0 && line[n - 1] == '\\';
        buf_append(input, line, (size_t)(more ? n - 1 : n));
        if (!more)
            break;
        buf_puts(input, "\n");
    }
    free(line);
    return kind;
}

static void print_commands(void)
{
    fputs("/reset  forget the conversation\n"
          "/quit   leave (also Ctrl-D)\n"
          "/help   this list\n"
          "A line that ends with \\ goes on in the next one. Ctrl-C stops an answer.\n",
          stderr);
}

/* Evaluate one input; a failed turn is taken back. */
static ashlar_status turn(struct generator *g, const struct chat_loop_options *options,
                          const struct report *report, struct conversation *c,
                          const struct buf *input, ashlar_error *err)
{
    struct prompt prompt = {0};
    struct generation result;
    size_t before = c->n;
    ashlar_status status;

    if (!options->chat)
        status = prompt_raw(g->engine, input->data, input->length, &prompt, err);
    else if (!conversation_add(c, "user", input->data, input->length))
        status = error_memory(err, input->length, "the conversation");
    else
        status = prompt_chat(g->engine, c->messages, c->n, options->flags, &prompt, err);
    if (status == ASHLAR_OK)
        status = generate(g, prompt.ids, prompt.n, &result, err);
    free(prompt.ids);
    if (status != ASHLAR_OK) {
        conversation_reset(c, before);
        if (status == ASHLAR_NO_RESOURCE && options->chat)
            error_hint(err, "/reset begins anew; --ctx N has room for a longer conversation");
        return status;
    }
    if (options->chat && !conversation_add(c, "assistant", g->text.data, g->text.length))
        return error_memory(err, g->text.length, "the conversation");
    status = output_bytes(STDOUT_FILENO, "\n", 1, "standard output", err);
    if (!options->quiet)
        report_line(report, &result);
    return status;
}

/* True when the input was a command of the loop; *quit when it ends it. */
static bool loop_command(const char *text, struct conversation *c, size_t keep, bool *quit)
{
    *quit = strcmp(text, "/quit") == 0 || strcmp(text, "/exit") == 0;
    if (*quit)
        return true;
    if (strcmp(text, "/reset") == 0) {
        conversation_reset(c, keep);
        return true;
    }
    if (strcmp(text, "/help") == 0) {
        print_commands();
        return true;
    }
    return text[0] == '\0';
}

/* Answer one input; returns the exit code when it ends the loop, else 0. */
static int answer(struct generator *g, const struct chat_loop_options *options,
                  const struct report *report, struct conversation *c, const struct buf *input)
{
    ashlar_error err = {0};

    ashlar_status status = turn(g, options, report, c, input, &err);
    interrupt_clear();
    if (status != ASHLAR_OK)
        cli_fail(&err);
    /* nobody reads us any more, or the disk is full; all else concerns this input only */
    return status == ASHLAR_FAILED ? (int)status : ASHLAR_OK;
}

static int read_and_answer(struct generator *g, const struct chat_loop_options *options,
                           const struct report *report, struct conversation *c, struct buf *input)
{
    size_t keep = c->n;
    int code = ASHLAR_OK, n_interrupts = 0;
    bool quit = false;

    while (code == ASHLAR_OK && !quit) {
        enum line_kind kind = read_input(input);
        interrupt_clear();
        if (kind == LINE_END)
            break;
        if (interrupt_seen()) /* SIGTERM or SIGHUP: nothing clears them */
            return ASHLAR_CANCELLED;
        if (kind == LINE_INTERRUPT) {
            if (n_interrupts++)
                code = ASHLAR_CANCELLED;
            fputs(code ? "\n" : "\n(/quit, Ctrl-D or Ctrl-C again leaves)\n", stderr);
            continue;
        }
        n_interrupts = 0;
        if (input->failed)
            fputs("ashlar: this input is too long\n", stderr);
        else if (!loop_command(input->data, c, keep, &quit))
            code = answer(g, options, report, c, input);
    }
    return code;
}

int chat_loop(struct generator *g, const struct chat_loop_options *options,
              const struct report *report)
{
    struct conversation c = {0};
    struct buf input;
    ashlar_error err = {0};
    int code;

    buf_init(&input, LINE_MAX_BYTES);
    if (options->chat && options->system &&
        !conversation_add(&c, "system", options->system, strlen(options->system))) {
        error_memory(&err, strlen(options->system), "the conversation");
        code = cli_fail(&err);
    } else {
        if (!options->quiet)
            fputs(options->chat ? "chat; /help lists the commands\n"
                                : "each line is text to continue; /help lists the commands\n",
                  stderr);
        code = read_and_answer(g, options, report, &c, &input);
    }
    conversation_reset(&c, 0);
    free(c.messages);
    buf_fini(&input);
    return code;
}
