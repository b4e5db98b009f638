/*
 * commands.c: the table of subcommands, in the order of the manual.
 */
#include "cli/cli.h"

#include <string.h>

enum { COMMANDS_MAX = 16 };

const struct cli_command cli_commands[] = {
    {&command_run, cmd_run},
    {&command_bench, cmd_bench},
    {&command_eval, cmd_eval},
    {&command_calibrate, cmd_calibrate},
    {&command_tune, cmd_tune},
    {&command_inspect, cmd_inspect},
    {&command_version, cmd_version},
    {&command_help, cmd_help},
    {NULL, NULL},
};

const struct cli_command *cli_find(const char *name)
{
    for (const struct cli_command *c = cli_commands; c->command; c++)
        if (strcmp(c->command->name, name) == 0)
            return c;
    return NULL;
}

int cli_unknown(const char *name)
{
    const char *names[COMMANDS_MAX];
    int n = 0;
    ashlar_error err;

    for (const struct cli_command *c = cli_commands; c->command && n < COMMANDS_MAX; c++)
        names[n++] = c->command->name;
    error_set(&err, ASHLAR_USAGE, "unknown command %s", name);
    const char *near = nearest_word(name, names, n);
    if (near)
        error_hint(&err, "did you mean %s?", near);
    else
        error_hint(&err, "ashlar help lists the commands");
    return cli_fail(&err);
}
