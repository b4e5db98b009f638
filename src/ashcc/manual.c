/*
 * manual.c: see manual.h. Options are described in their tables; here stands what is about all of
 * them.
 */
#include "ashcc/manual.h"

#include "ashcc/cc_options.h"
#include "ashcc/settings.h"

#include <stdio.h>
#include <string.h>

enum { HELP_COLUMN = 26, COLUMNS = 80 };

/* roff source, as it goes into the man page: minus signs that are typed are \-, so that they can
 * be copied. */
static const char before_options[] =
    ".SH DESCRIPTION\n"
    "ashcc compiles C for x86\\-64 Linux. It takes the command line of \\fBcc\\fR, so that\n"
    "\\fBCC=ashcc make\\fR builds a project. What it does with a source file: \\fBcc\\fR "
    "preprocesses;\n"
    "every function is cut into blocks without calls; each block is translated into assembly by a\n"
    "language model, or taken from the cache of accepted fragments; each answer is checked; code "
    "that\n"
    "needs no model (frames, calls, jumps between blocks, data) is written exactly; \\fBcc\\fR "
    "assembles\n"
    "and links.\n"
    ".PP\n"
    "An answer is accepted when it obeys the rules by which blocks compose, is assembled, and "
    "leaves the\n"
    "same machine state as the block's C does from many starting states (\\fB\\-\\-verify\\fR,\n"
    "\\fB\\-\\-vectors\\fR). That is a test, not a proof. A block without an accepted answer is "
    "asked for\n"
    "again with the values that were wrong, then cut finer. What is left in the end is an error, "
    "with\n"
    "function, line and reason, or work for \\fBcc\\fR (\\fB\\-\\-fallback\\fR).\n"
    ".PP\n"
    "Constructs that are not supported are refused by name and place, as are options that would "
    "change\n"
    "what the code means. Each source file is compiled in a process of its own. Outputs appear "
    "whole or\n"
    "not at all.\n"
    ".SH OPTIONS OF ASHCC\n";

static const char after_options[] =
    ".SH EXIT STATUS\n"
    ".TP\n.B 0\nDone.\n"
    ".TP\n.B 1\nFailed: the system, the assembler, the linker, every translator.\n"
    ".TP\n.B 2\nUsage: a wrong option or argument.\n"
    ".TP\n.B 3\nBad input: not C, or C that is not supported; a damaged cache or transcript.\n"
    ".TP\n.B 4\nOut of a resource.\n"
    ".TP\n.B 5\nA block was not accepted, \\fB\\-\\-check\\fR failed, or "
    "\\fB\\-\\-differential\\fR found a difference.\n"
    ".TP\n.B 130\nInterrupted.\n"
    ".SH ENVIRONMENT\n"
    ".TP\n.B ASHCC_CC\nThe compiler that preprocesses, assembles and links, when \\fB\\-\\-cc\\fR "
    "does not say.\n"
    ".TP\n.B ASHLAR_SHARE\nThe folder that holds \\fIprompts\\fR and \\fImodels\\fR.\n"
    ".TP\n.B TMPDIR\nWhere the folder for intermediate files is made.\n"
    ".TP\n.B XDG_CACHE_HOME\nThe cache is in its folder \\fIashlar\\fR; without it, in "
    "\\fI~/.cache/ashlar\\fR.\n"
    ".SH EXAMPLES\n"
    ".nf\n"
    "ashcc hello.c \\-o hello\n"
    "ashcc \\-\\-endpoint http://localhost:8080/v1 \\-\\-explain \\-c sort.c\n"
    "make CC='ashcc \\-\\-fallback=cc \\-\\-report=report.json'\n"
    "ashcc \\-\\-cache\\-export blocks.jsonl\n"
    ".fi\n"
    ".SH SEE ALSO\n"
    ".BR ashlar (1),\n.BR cc (1)\n";

/* "-o FILE", "-std=STANDARD", "-W...". */
static void spell(const struct cc_option *o, char out[64])
{
    size_t n = strlen(o->name);
    bool joined = o->shape == CC_JOINED || (n > 0 && o->name[n - 1] == '=');
    snprintf(out, 64, "%s%s%s", o->name, o->argument && !joined ? " " : "",
             o->argument ? o->argument : "");
}

/* Wrapped at COLUMNS, whatever the terminal's width: golden texts compare it. */
static void help_row(struct buf *out, const char *left, const char *text)
{
    int column = buf_printf(out, "  %s", left) ? (int)strlen(left) + 2 : 0;
    /* the option is too long for its column: the text begins on the next line */
    if (column > HELP_COLUMN - 2) {
        buf_puts(out, "\n");
        column = 0;
    }
    buf_printf(out, "%*s", HELP_COLUMN - column, "");
    column = HELP_COLUMN;
    while (*text) {
        size_t space = strspn(text, " "), word = strcspn(text + space, " ");
        if (column + (int)(space + word) > COLUMNS - 1 && column > HELP_COLUMN) {
            buf_printf(out, "\n%*s", HELP_COLUMN, "");
            column = HELP_COLUMN;
            text += space;
            space = 0;
        }
        buf_append(out, text, space + word);
        column += (int)(space + word);
        text += space + word;
    }
    buf_puts(out, "\n");
}

void manual_help(struct buf *out)
{
    char left[64];
    options_help(&command_ashcc, out);
    buf_puts(out, "\nOptions of cc:\n");
    for (const struct cc_option *o = cc_options; o->name; o++) {
        if (!o->help)
            continue;
        spell(o, left);
        help_row(out, left, o->help);
    }
}

static void man_refused(struct buf *out)
{
    buf_puts(out, ".TP\nRefused, since they change what the code means:\n");
    bool first = true;
    for (const struct cc_option *o = cc_options; o->name; o++) {
        if (!(o->roles & CC_REFUSE))
            continue;
        buf_puts(out, first ? "" : ",\n");
        buf_puts(out, "\\fB");
        options_roff(out, o->name);
        buf_puts(out, "\\fR");
        first = false;
    }
    buf_puts(out, ".\n");
}

void manual_man(struct buf *out)
{
    char left[64];
    buf_puts(out, ".\\\" Made by `ashcc --man`; see src/ashcc/manual.c.\n");
    buf_printf(out, ".TH ASHCC 1 \"\" \"ashlar %s\" \"User Commands\"\n", ASHLAR_VERSION);
    buf_puts(out, ".SH NAME\nashcc \\- ");
    options_roff(out, command_ashcc.summary);
    buf_puts(out, "\n.SH SYNOPSIS\n.B ");
    options_roff(out, command_ashcc.usage);
    buf_puts(out, "\n");
    buf_puts(out, before_options);
    options_man(&command_ashcc, out);
    buf_puts(out, ".SH OPTIONS OF CC\n");
    for (const struct cc_option *o = cc_options; o->name; o++) {
        if (!o->help)
            continue;
        spell(o, left);
        buf_puts(out, ".TP\n\\fB");
        options_roff(out, left);
        buf_puts(out, "\\fR\n");
        options_roff(out, o->help);
        buf_puts(out, "\n");
    }
    man_refused(out);
    buf_puts(out, after_options);
}

/* Words of ashcc's own options come from the table; those of their values stand here, and in
 * settings_check(), which refuses others. */
void manual_completion(struct buf *out)
{
    buf_puts(out,
             "# bash completion for ashcc, made by `ashcc --completion`\n"
             "_ashcc()\n{\n"
             "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=\"");
    options_words(&command_ashcc, out);
    for (const struct cc_option *o = cc_options; o->name; o++) {
        /* what is refused or means nothing is not worth offering */
        if (!(o->roles & (CC_REFUSE | CC_NOTE)))
            buf_printf(out, " %s", o->name);
    }
    buf_puts(out, "\"\n"
                  "    case $prev in\n"
                  "    --granularity) words=\"auto function block statement operation\" ;;\n"
                  "    --verify) words=\"test assemble\" ;;\n"
                  "    --fallback) words=\"error cc\" ;;\n"
                  "    --dump) words=\"ast ir blocks pairs asm\" ;;\n"
                  "    --translator) words=\"model http replay:\" ;;\n"
                  "    *) [[ $cur == -* ]] || words= ;;\n"
                  "    esac\n"
                  "    if [[ $words ]]; then\n"
                  "        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
                  "    else\n"
                  "        COMPREPLY=($(compgen -f -- \"$cur\"))\n"
                  "    fi\n"
                  "}\n"
                  "complete -o filenames -F _ashcc ashcc\n");
}
