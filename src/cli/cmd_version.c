/*
 * cmd_version.c: `ashlar version`: the version on a line of its own, then how it was built and
 * which kernels this machine can run.
 */
#include "cli/cli.h"
#include "cli/machine.h"
#include "kernels/kernels.h"

enum { VERSION_MAX = 4096, KERNEL_TABLES = 8 };

static const struct option options[] = {{0}};

const struct command command_version = {
    .name = "version",
    .usage = "ashlar version",
    .summary = "print the version, the compiler and the kernels that run here",
    .options = options,
};

int cmd_version(int argc, char **argv)
{
    const struct kernels *tables[KERNEL_TABLES];
    struct buf b;
    int code;

    if (!cli_parse(&command_version, argc, argv, NULL, NULL, &code))
        return code;
    buf_init(&b, VERSION_MAX);
    buf_printf(&b, "ashlar %s\nbuilt with %s\nkernels:", ASHLAR_VERSION, machine_build());
    int n = kernels_available(tables);
    for (int i = 0; i < n; i++)
        buf_printf(&b, " %s", tables[i]->name);
    buf_puts(&b, "\n");
    code = cli_print(&b);
    buf_fini(&b);
    return code;
}
