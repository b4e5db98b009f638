/*
 * cmd_help.c: `ashlar help`: the commands, one command's options, or all of it as man page source
 * or bash completion (manual.c). man/ashlar.1 and completions/ashlar.bash in the source tree are
 * this program's output; tests/cli/manual.sh keeps them so.
 */
#include "cli/cli.h"
#include "cli/manual.h"

enum { HELP_MAX = 1 << 20 };

static bool man, completion;

static const struct option options[] = {
    {"man", 0, OPTION_FLAG, &man, 0, 0, NULL, "print the manual as man page source"},
    {"completion", 0, OPTION_FLAG, &completion, 0, 0, NULL, "print a completion script for bash"},
    {0},
};

const struct command command_help = {
    .name = "help",
    .usage = "ashlar help [COMMAND]",
    .summary = "list the commands, or the options of one",
    .options = options,
    .operands = "COMMAND",
    .max_operands = 1,
};

static void list_commands(struct buf *b)
{
    buf_puts(b, "Usage: ashlar COMMAND [options]\n\n"
                "Run language models (GGUF files) on this computer's processor.\n\nCommands:\n");
    for (const struct cli_command *c = cli_commands; c->command; c++)
        buf_printf(b, "  %-10s %s\n", c->command->name, c->command->summary);
    buf_puts(b, "\n  ashlar help COMMAND lists a command's options.\n");
}

int cmd_help(int argc, char **argv)
{
    const char *name = NULL;
    struct buf b;
    int n = 0, code;

    man = completion = false;
    if (!cli_parse(&command_help, argc, argv, &name, &n, &code))
        return code;
    const struct cli_command *entry = n ? cli_find(name) : NULL;
    if (n && !entry)
        return cli_unknown(name);
    buf_init(&b, HELP_MAX);
    if (man)
        manual_man(&b);
    else if (completion)
        manual_completion(&b);
    else if (entry)
        options_help(entry->command, &b);
    else
        list_commands(&b);
    code = cli_print(&b);
    buf_fini(&b);
    return code;
}
