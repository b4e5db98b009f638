/*
 * main.c: the program `ashlar`: find the subcommand, run it, hand on its exit code.
 */
#include "cli/cli.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/*
 * A program started with a standard stream closed would give that number to the next file it opens,
 * and text meant for the user would end up in it. Occupy the numbers with something that fails.
 */
static void occupy_standard_streams(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)!open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

static const char *canonical(const char *word)
{
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return "help";
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
        return "version";
    return word;
}

int main(int argc, char **argv)
{
    char *help[] = {"help", NULL};

    occupy_standard_streams();
    if (argc < 2) {
        ashlar_error err = {.status = ASHLAR_USAGE, .message = "no command given",
                            .hint = "ashlar help lists the commands"};
        return cli_fail(&err);
    }
    const struct cli_command *entry = cli_find(canonical(argv[1]));
    if (!entry)
        return cli_unknown(argv[1]);
    if (entry->run == cmd_help && argv[1][0] == '-')
        return cmd_help(1, help);
    return entry->run(argc - 1, argv + 1);
}
