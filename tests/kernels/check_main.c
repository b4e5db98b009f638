/*
 * check_main.c: the kernel checks as a plain program, for machines that have only a C library.
 * Prints one line per check and table; exits 1 when one failed or the table named is not to be had.
 * Usage: check_main [TABLE [SEED]], "all" for every table
 */
#include "check.c"
#include "check_attend.c"
#include "check_products.c"
#include "check_rows.c"

/* Every check on one table; returns how many failed. */
static int run_table(const struct kernels *table, uint64_t seed)
{
    static struct check c;
    int failed = 0;
    for (const struct check_case *one = check_cases; one->name; one++) {
        bool ok = check_run(&c, one, table, seed);
        printf("%s %s: %s\n", table->name, one->name, ok ? "ok" : c.failure);
        fflush(stdout);
        failed += !ok;
    }
    return failed;
}

int main(int argc, char **argv)
{
    const char *wanted = argc > 1 ? argv[1] : "all";
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    const struct kernels *tables[8];
    int n = kernels_available(tables), failed = 0, run = 0;
    printf("seed %llu\n", (unsigned long long)seed);
    for (int i = 0; i < n; i++)
        if (strcmp(wanted, "all") == 0 || strcmp(wanted, tables[i]->name) == 0) {
            failed += run_table(tables[i], seed);
            run++;
        }
    return failed || !run ? 1 : 0;
}
