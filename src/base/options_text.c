/*
 * options_text.c: an option table as --help text, man page source and completion words.
 *
 * The table is the only description of a program's options; these are its other renderings, so that
 * none of them can fall behind the parser. Nothing here depends on the values of options.
 */
#include "base/options.h"

#include <stdio.h>
#include <string.h>

#define COLUMNS 80
#define HELP_COLUMN 26 /* where the explanations of options start */

/*
 * Append text wrapped at COLUMNS, continuation lines indented; `column` is where the cursor is.
 * Newlines in the text are kept.
 */
static void wrap(struct buf *out, const char *text, int column, int indent)
{
    int start = column;
    while (*text) {
        if (*text == '\n') {
            buf_puts(out, "\n");
            text++;
            start = column = 0;
            continue;
        }
        size_t spaces = strspn(text, " ");
        size_t word = strcspn(text + spaces, " \n");
        if (column > start && column + (int)(spaces + word) > COLUMNS - 1) {
            buf_printf(out, "\n%*s", indent, "");
            start = column = indent;
            text += spaces;
            spaces = 0;
        }
        buf_append(out, text, spaces + word);
        column += (int)(spaces + word);
        text += spaces + word;
    }
    buf_puts(out, "\n");
}

static void help_line(struct buf *out, char letter, const char *name, const char *argument,
                      const char *help)
{
    char left[128], short_name[8] = "    ";
    if (letter)
        snprintf(short_name, sizeof short_name, "-%c, ", letter);
    int n = snprintf(left, sizeof left, "  %s--%s%s%s", short_name, name, argument ? " " : "",
                     argument ? argument : "");
    buf_puts(out, left);
    if (n > HELP_COLUMN - 2) {
        buf_puts(out, "\n");
        n = 0;
    }
    buf_printf(out, "%*s", HELP_COLUMN - n, "");
    wrap(out, help, HELP_COLUMN, HELP_COLUMN);
}

/* A table may bring its own --help or -h. */
static bool has_option(const struct command *command, const char *name, char letter)
{
    for (const struct option *o = option_next(command, NULL); o; o = option_next(command, o)) {
        if ((name && strcmp(o->name, name) == 0) || (letter && o->letter == letter))
            return true;
    }
    return false;
}

void options_help(const struct command *command, struct buf *out)
{
    buf_puts(out, "Usage: ");
    wrap(out, command->usage, 7, 9);
    buf_puts(out, "\n");
    wrap(out, command->summary, 0, 0);
    if (command->description) {
        buf_puts(out, "\n");
        wrap(out, command->description, 0, 0);
    }
    buf_puts(out, "\nOptions:\n");
    for (const struct option *o = option_next(command, NULL); o; o = option_next(command, o))
        help_line(out, o->letter, o->name, o->argument, o->help);
    if (!has_option(command, "help", 0))
        help_line(out, has_option(command, NULL, 'h') ? 0 : 'h', "help", NULL, "show this help");
}

void options_roff(struct buf *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        bool line_start = p == text || p[-1] == '\n';
        if (line_start && *p == '\n')
            buf_puts(out, ".PP");
        if (line_start && (*p == '.' || *p == '\''))
            buf_puts(out, "\\&");
        if (*p == '\\') {
            buf_puts(out, "\\e");
        } else if (*p == '-') {
            buf_puts(out, "\\-");
        } else {
            buf_append(out, p, 1);
        }
    }
}

void options_man(const struct command *command, struct buf *out)
{
    for (const struct option *o = option_next(command, NULL); o; o = option_next(command, o)) {
        buf_puts(out, ".TP\n");
        if (o->letter)
            buf_printf(out, "\\fB\\-%c\\fR, ", o->letter);
        buf_puts(out, "\\fB\\-\\-");
        options_roff(out, o->name);
        buf_puts(out, "\\fR");
        if (o->argument) {
            buf_puts(out, " \\fI");
            options_roff(out, o->argument);
            buf_puts(out, "\\fR");
        }
        buf_puts(out, "\n");
        options_roff(out, o->help);
        buf_puts(out, "\n");
    }
}

void options_words(const struct command *command, struct buf *out)
{
    for (const struct option *o = option_next(command, NULL); o; o = option_next(command, o)) {
        if (o->letter)
            buf_printf(out, "-%c ", o->letter);
        buf_printf(out, "--%s ", o->name);
        if (o->kind == OPTION_FLAG)
            buf_printf(out, "--no-%s ", o->name);
    }
    buf_puts(out, has_option(command, "help", 0) ? "" : "--help");
}
