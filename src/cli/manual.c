/*
 * manual.c: the manual; see manual.h. What belongs to one command stands in that command's table;
 * here is what the commands share: defaults that need a paragraph, exit codes, environment.
 */
#include "cli/manual.h"

#include "cli/cli.h"

#include <ctype.h>
#include <string.h>

static const char before_commands[] =
    ".SH DESCRIPTION\n"
    "ashlar runs language models stored as GGUF files on the processor of this computer.\n"
    "Standard output carries data only: the generated text, a table, or one JSON object with\n"
    "\\fB\\-\\-json\\fR. Messages, progress and statistics go to standard error; progress is\n"
    "shown on a terminal only.\n"
    ".PP\n"
    "Long options may be written \\fB\\-\\-name VALUE\\fR or \\fB\\-\\-name=VALUE\\fR. The last\n"
    "of a repeated option counts, except where it makes a list. Flags are switched off by\n"
    "\\fB\\-\\-no\\-name\\fR.\n"
    ".SH COMMANDS\n";

static const char after_commands[] =
    ".SH PROMPTS AND CHAT\n"
    "A model with a chat template that ashlar knows takes the prompt of \\fBashlar run\\fR as a\n"
    "user's message (\\fB\\-\\-chat\\fR); any other model continues it as text\n"
    "(\\fB\\-\\-raw\\fR). In a message the model's control tokens are plain text, so that a user\n"
    "cannot forge a turn; in raw text they are recognised. A prompt from a file or from standard\n"
    "input loses one final newline.\n"
    ".PP\n"
    "In a chat a line that ends in a backslash goes on in the next one. \\fB/reset\\fR forgets\n"
    "the conversation, \\fB/quit\\fR or end of file leaves, \\fB/help\\fR lists the commands.\n"
    "Ctrl\\-C stops an answer; twice at the prompt it leaves.\n"
    ".PP\n"
    "Text ends at one of the model's end tokens, before a \\fB\\-\\-stop\\fR string, after the\n"
    "tokens that \\fB\\-n\\fR allows, or when the context is full.\n"
    ".SH CONTEXT LENGTH\n"
    "Memory for keys and values is reserved when the model is opened. Without \\fB\\-\\-ctx\\fR,\n"
    "\\fBashlar run\\fR takes the model's training length if its memory fits a quarter of what is\n"
    "free, else the largest power of two that does, at least 4096. When \\fB\\-n\\fR is given, it\n"
    "takes no more than the prompt and N tokens can need. A longer prompt is refused with exit\n"
    "status 4 and the length it would take.\n"
    ".SH EXIT STATUS\n"
    ".TP\n.B 0\nDone.\n"
    ".TP\n.B 1\nFailed: the system refused something, for example writing the output.\n"
    ".TP\n.B 2\nUsage: a wrong option or argument.\n"
    ".TP\n.B 3\nBad input: the contents of a file are not acceptable.\n"
    ".TP\n.B 4\nOut of a resource: memory or context.\n"
    ".TP\n.B 130\nInterrupted by Ctrl\\-C (SIGINT). Text made so far has been printed.\n"
    ".SH ENVIRONMENT\n"
    ".TP\n.B TERM\nWhen unset or \\fBdumb\\fR, no progress bar is drawn.\n"
    ".TP\n.B NO_COLOR\nHonoured: nothing is ever printed in colour.\n"
    ".SH EXAMPLES\n"
    ".nf\n"
    "ashlar run \\-m model.gguf \\-p 'Once upon a time' \\-n 100\n"
    "ashlar run \\-m model.gguf \\-\\-system 'Answer in one word.' < question.txt\n"
    "ashlar run \\-m model.gguf\n"
    "ashlar bench \\-m model.gguf \\-\\-depth 0,4096 \\-\\-json\n"
    ".fi\n";

static void paragraphs(struct buf *out, const char *text)
{
    options_roff(out, text);
    buf_puts(out, "\n");
}

static void man_command(const struct command *c, struct buf *out)
{
    buf_puts(out, ".SS ");
    paragraphs(out, c->usage);
    char first[2] = {(char)toupper((unsigned char)c->summary[0]), '\0'};
    buf_puts(out, first);
    paragraphs(out, c->summary + 1);
    /* the summary has no full stop, being a table entry; in running text it ends a sentence */
    if (out->length > 0 && !out->failed)
        out->data[out->length - 1] = '.';
    buf_puts(out, "\n");
    if (c->description) {
        buf_puts(out, ".PP\n");
        paragraphs(out, c->description);
    }
    options_man(c, out);
}

void manual_man(struct buf *out)
{
    buf_puts(out, ".\\\" Made by `ashlar help --man`; see src/cli/manual.c.\n");
    buf_printf(out, ".TH ASHLAR 1 \"\" \"ashlar %s\" \"User Commands\"\n", ASHLAR_VERSION);
    buf_puts(out, ".SH NAME\nashlar \\- run language models on the CPU\n.SH SYNOPSIS\n");
    for (const struct cli_command *c = cli_commands; c->command; c++) {
        if (c != cli_commands)
            buf_puts(out, ".br\n");
        buf_puts(out, ".B ");
        paragraphs(out, c->command->usage);
    }
    buf_puts(out, before_commands);
    for (const struct cli_command *c = cli_commands; c->command; c++)
        man_command(c->command, out);
    buf_puts(out, after_commands);
}

static void list_names(struct buf *out)
{
    for (const struct cli_command *c = cli_commands; c->command; c++)
        buf_printf(out, "%s%s", c == cli_commands ? "" : " ", c->command->name);
}

void manual_completion(struct buf *out)
{
    buf_puts(out, "# bash completion for ashlar, made by `ashlar help --completion`\n"
                  "_ashlar()\n{\n"
                  "    local cur=${COMP_WORDS[COMP_CWORD]} commands=\"");
    list_names(out);
    buf_puts(out, "\" words=\n"
                  "    COMPREPLY=()\n"
                  "    if ((COMP_CWORD == 1)); then\n"
                  "        COMPREPLY=($(compgen -W \"$commands\" -- \"$cur\"))\n"
                  "        return\n"
                  "    fi\n"
                  "    case ${COMP_WORDS[1]} in\n");
    for (const struct cli_command *c = cli_commands; c->command; c++) {
        buf_printf(out, "    %s) words=\"", c->command->name);
        if (strcmp(c->command->name, "help") == 0)
            buf_puts(out, "$commands ");
        options_words(c->command, out);
        buf_puts(out, "\" ;;\n");
    }
    buf_puts(out, "    esac\n"
                  "    if [[ $cur == -* || ${COMP_WORDS[1]} == help ]]; then\n"
                  "        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
                  "    else\n"
                  "        COMPREPLY=($(compgen -f -- \"$cur\"))\n"
                  "    fi\n"
                  "}\n"
                  "complete -o filenames -F _ashlar ashlar\n");
}
