/* Command lines: what is accepted, what is refused in which words, and the table's other forms. */
#include "base/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct {
    const char *model, *prompt;
    bool json, warm;
    int threads, count;
    uint64_t seed, memory;
    float temp, any;
    struct option_list stops;
} set;

static const struct option options[] = {
    {"model", 'm', OPTION_STRING, &set.model, 0, 0, "MODEL", "the model, a GGUF file"},
    {"prompt", 'p', OPTION_STRING, &set.prompt, 0, 0, "TEXT", "the prompt"},
    {"json", 'J', OPTION_FLAG, &set.json, 0, 0, NULL, "print one JSON object"},
    {"warm", 'w', OPTION_FLAG, &set.warm, 0, 0, NULL, "warm up"},
    {"threads", 'j', OPTION_INT, &set.threads, 1, 64, "N",
     "threads to use; this explanation is long enough that it has to go on in another line"},
    {"count", 0, OPTION_INT, &set.count, 0, 0, "N", "any whole number"},
    {"seed", 0, OPTION_U64, &set.seed, 0, 0, "N", "seed"},
    {"memory", 0, OPTION_SIZE, &set.memory, 0, 0, "SIZE", "memory"},
    {"temp", 't', OPTION_FLOAT, &set.temp, 0, 2, "T", "temperature"},
    {"any", 0, OPTION_FLOAT, &set.any, 0, 0, "X", "any number"},
    {"stop", 0, OPTION_LIST, &set.stops, 0, 0, "TEXT", "stop text"},
    {0},
};

static const struct command command = {
    .name = "run",
    .usage = "ashlar run -m MODEL [options]",
    .summary = "Continue a text.",
    .description = "First paragraph.\n\nSecond paragraph.",
    .options = options,
    .operands = "FILE",
    .min_operands = 0,
    .max_operands = 2,
};

static ashlar_error err;
static const char *operands[2];
static int n_operands;
static bool help;

/* Parse the arguments, up to NULL, with all settings at 0. */
static ashlar_status parse(const char *first, ...)
{
    char *argv[100] = {(char *)"run"};
    int argc = 1;
    va_list args;
    va_start(args, first);
    for (const char *a = first; a; a = va_arg(args, const char *))
        argv[argc++] = (char *)a;
    va_end(args);
    memset(&set, 0, sizeof set);
    memset(&err, 0, sizeof err);
    return options_parse(&command, argc, argv, operands, &n_operands, &help, &err);
}

#define ACCEPTED(...) assert_int_equal(parse(__VA_ARGS__, NULL), ASHLAR_OK)
#define REFUSED(words, ...)                                          \
    do {                                                             \
        assert_int_equal(parse(__VA_ARGS__, NULL), ASHLAR_USAGE);    \
        assert_string_equal(err.message, words);                     \
    } while (0)

static void values_follow_or_are_attached(void **state)
{
    (void)state;
    ACCEPTED("--model", "a.gguf", "--prompt=b=c", "-j", "3", "-t0.5");
    assert_string_equal(set.model, "a.gguf");
    assert_string_equal(set.prompt, "b=c");
    assert_int_equal(set.threads, 3);
    assert_true(set.temp == 0.5f);
    ACCEPTED("--prompt=", "-m", "");
    assert_string_equal(set.prompt, "");
    assert_string_equal(set.model, "");
}

static void values_may_start_with_a_dash(void **state)
{
    (void)state;
    ACCEPTED("-p", "--json", "--count", "-5", "-m", "-", "--any", "-1.5");
    assert_string_equal(set.prompt, "--json");
    assert_false(set.json);
    assert_int_equal(set.count, -5);
    assert_string_equal(set.model, "-");
    assert_true(set.any == -1.5f);
}

static void flags_switch_on_and_off(void **state)
{
    (void)state;
    ACCEPTED("--json");
    assert_true(set.json);
    ACCEPTED("--json", "--no-json");
    assert_false(set.json);
    ACCEPTED("--no-json", "--json");
    assert_true(set.json);
    REFUSED("option --json takes no value", "--json=yes");
    REFUSED("option --no-json takes no value", "--no-json=1");
    REFUSED("unknown option --no-model", "--no-model", "x");
}

static void letters_cluster(void **state)
{
    (void)state;
    ACCEPTED("-Jwj8");
    assert_true(set.json && set.warm);
    assert_int_equal(set.threads, 8);
    ACCEPTED("-wj", "9");
    assert_int_equal(set.threads, 9);
    REFUSED("unknown option -z", "-Jz");
}

static void repetition_overrides_but_lists_grow(void **state)
{
    (void)state;
    ACCEPTED("-j1", "-j2", "--stop", "a", "--stop=b");
    assert_int_equal(set.threads, 2);
    assert_int_equal(set.stops.n, 2);
    assert_string_equal(set.stops.items[0], "a");
    assert_string_equal(set.stops.items[1], "b");
}

static void list_has_a_limit(void **state)
{
    (void)state;
    char *argv[66] = {(char *)"run"};
    for (int i = 1; i < 66; i++)
        argv[i] = (char *)"--stop=x";
    memset(&set, 0, sizeof set);
    assert_int_equal(options_parse(&command, 65, argv, operands, &n_operands, &help, &err),
                     ASHLAR_OK);
    memset(&set, 0, sizeof set);
    assert_int_equal(options_parse(&command, 66, argv, operands, &n_operands, &help, &err),
                     ASHLAR_USAGE);
    assert_string_equal(err.message, "option --stop: given more than 64 times");
}

static void operands_mix_with_options(void **state)
{
    (void)state;
    ACCEPTED("one", "--json", "-");
    assert_int_equal(n_operands, 2);
    assert_string_equal(operands[0], "one");
    assert_string_equal(operands[1], "-");
    REFUSED("unexpected argument 'three'", "one", "two", "three");
    assert_string_equal(err.hint, "usage: ashlar run -m MODEL [options]");
}

static void two_dashes_end_the_options(void **state)
{
    (void)state;
    ACCEPTED("--json", "--", "--warm", "--help");
    assert_int_equal(n_operands, 2);
    assert_string_equal(operands[0], "--warm");
    assert_false(set.warm || help);
}

static void too_few_operands_are_refused(void **state)
{
    (void)state;
    struct command needs = command;
    needs.min_operands = 1;
    char *argv[] = {(char *)"run", (char *)"--json"};
    assert_int_equal(options_parse(&needs, 2, argv, operands, &n_operands, &help, &err),
                     ASHLAR_USAGE);
    assert_string_equal(err.message, "missing argument: FILE");
}

static void missing_values_are_named(void **state)
{
    (void)state;
    REFUSED("option --threads needs a value (N)", "--threads");
    REFUSED("option --threads needs a value (N)", "-j");
    REFUSED("option --model needs a value (MODEL)", "--json", "-m");
}

static void whole_numbers_are_checked(void **state)
{
    (void)state;
    REFUSED("option --threads: 0 is below 1", "--threads", "0");
    REFUSED("option --threads: 65 is above 64", "-j65");
    REFUSED("option --threads: 'x' is not a whole number", "-j", "x");
    REFUSED("option --threads: '' is not a whole number", "--threads=");
    REFUSED("option --threads: '3x' is not a whole number", "-j3x");
    REFUSED("option --threads: '1.5' is not a whole number", "-j1.5");
    REFUSED("option --threads: 99999999999999999999 is above 64", "-j99999999999999999999");
    REFUSED("option --count: 2147483648 is out of range", "--count", "2147483648");
    REFUSED("option --count: 99999999999999999999 is out of range", "--count",
            "99999999999999999999");
    ACCEPTED("--count", "-2147483648", "-j64");
    assert_int_equal(set.count, INT32_MIN);
}

static void seeds_are_64_bits(void **state)
{
    (void)state;
    ACCEPTED("--seed", "18446744073709551615");
    assert_true(set.seed == UINT64_MAX);
    ACCEPTED("--seed=0xff");
    assert_int_equal(set.seed, 255);
    ACCEPTED("--seed=010");
    assert_int_equal(set.seed, 10);
    REFUSED("option --seed: 18446744073709551616 does not fit 64 bits", "--seed",
            "18446744073709551616");
    REFUSED("option --seed: '-1' is not a whole number of 0 or more", "--seed", "-1");
    REFUSED("option --seed: '0x' is not a whole number of 0 or more", "--seed", "0x");
    REFUSED("option --seed: '' is not a whole number of 0 or more", "--seed", "");
}

static void numbers_are_checked(void **state)
{
    (void)state;
    REFUSED("option --temp: -0.1 is below 0", "-t", "-0.1");
    REFUSED("option --temp: 2.5 is above 2", "-t", "2.5");
    REFUSED("option --temp: 'nan' is not a number", "-t", "nan");
    REFUSED("option --temp: 'inf' is not a number", "-t", "inf");
    REFUSED("option --temp: '' is not a number", "--temp=");
    REFUSED("option --any: '1e99' is not a number", "--any", "1e99");
    ACCEPTED("--any", "1e3", "-t", "2");
    assert_true(set.any == 1000);
}

static void sizes_are_checked(void **state)
{
    (void)state;
    ACCEPTED("--memory", "1.5G");
    assert_true(set.memory == UINT64_C(3) << 29);
    REFUSED("option --memory: '5Q' is not a size", "--memory", "5Q");
    assert_non_null(strstr(err.hint, "1.5G"));
}

static void size_syntax(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},          {"812", 812},        {"1k", 1024},
                {"2M", 2 << 20},   {"0.5G", 1 << 29},   {"16MiB", 16 << 20},
                {"1T", UINT64_C(1) << 40},              {"1.25K", 1280},
                {"18446744073709551615", UINT64_MAX}};
    static const char *const bad[] = {"", "K", "-1", "+1", " 1", "1 ", "1.5", "1.K", "1KB", "1Ki",
                                      ".5G", "1e3", "18446744073709551616", "16777216T", "1..5K"};
    uint64_t bytes;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(parse_size(good[i].text, &bytes));
        assert_true(bytes == good[i].bytes);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(parse_size(bad[i], &bytes));
}

static void unknown_option_suggests_the_nearest(void **state)
{
    (void)state;
    REFUSED("unknown option --thread", "--thread", "3");
    assert_string_equal(err.hint, "did you mean --threads?");
    REFUSED("unknown option --promt", "--promt=x");
    assert_string_equal(err.hint, "did you mean --prompt?");
    REFUSED("unknown option --zebra", "--zebra");
    assert_string_equal(err.hint, "--help lists the options");
}

static void help_wins_over_everything(void **state)
{
    (void)state;
    ACCEPTED("--help");
    assert_true(help);
    ACCEPTED("-h", "--bogus");
    assert_true(help);
    ACCEPTED("--bogus", "--help");
    assert_true(help);
    ACCEPTED("-j0", "-h");
    assert_true(help);
    ACCEPTED("-p", "-h");
    assert_false(help);
    assert_int_equal(parse("--bogus", "--", "--help", NULL), ASHLAR_USAGE);
    assert_false(help);
}

static void nearest_word_wants_something_in_common(void **state)
{
    (void)state;
    static const char *const words[] = {"run", "inspect", "bench"};
    assert_string_equal(nearest_word("rnu", words, 3), "run");
    assert_string_equal(nearest_word("inspct", words, 3), "inspect");
    assert_string_equal(nearest_word("benches", words, 3), "bench");
    assert_null(nearest_word("xyz", words, 3));
    assert_null(nearest_word("", words, 3));
    assert_null(nearest_word("run", words, 0));
    char longer[200];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_null(nearest_word(longer, words, 3));
}

static void help_text_is_complete_and_narrow(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 1 << 16);
    options_help(&command, &out);
    assert_false(out.failed);
    static const char start[] = "Usage: ashlar run -m MODEL [options]\n\nContinue a text.\n\n"
                                "First paragraph.\n\nSecond paragraph.\n\nOptions:\n"
                                "  -m, --model MODEL       the model, a GGUF file\n";
    assert_memory_equal(out.data, start, sizeof start - 1);
    assert_non_null(strstr(out.data, "\n      --count N           any whole number\n"));
    assert_non_null(strstr(out.data, "\n  -h, --help              show this help\n"));
    for (const char *line = out.data; *line; line = strchr(line, '\n') + 1)
        assert_in_range(strcspn(line, "\n"), 0, 79);
    for (const struct option *o = options; o->name; o++)
        assert_non_null(strstr(out.data, o->name));
    buf_fini(&out);
}

static void man_source_escapes_dashes(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 1 << 16);
    options_man(&command, &out);
    static const char start[] = ".TP\n\\fB\\-m\\fR, \\fB\\-\\-model\\fR \\fIMODEL\\fR\n"
                                "the model, a GGUF file\n.TP\n";
    assert_memory_equal(out.data, start, sizeof start - 1);
    assert_non_null(strstr(out.data, ".TP\n\\fB\\-\\-seed\\fR \\fIN\\fR\nseed\n"));
    buf_fini(&out);
}

static void completion_words_have_the_negations(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 1 << 16);
    options_words(&command, &out);
    static const char start[] = "-m --model -p --prompt -J --json --no-json -w --warm --no-warm ";
    assert_memory_equal(out.data, start, sizeof start - 1);
    assert_string_equal(out.data + out.length - 13, "--stop --help");
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_follow_or_are_attached),
        cmocka_unit_test(values_may_start_with_a_dash),
        cmocka_unit_test(flags_switch_on_and_off),
        cmocka_unit_test(letters_cluster),
        cmocka_unit_test(repetition_overrides_but_lists_grow),
        cmocka_unit_test(list_has_a_limit),
        cmocka_unit_test(operands_mix_with_options),
        cmocka_unit_test(two_dashes_end_the_options),
        cmocka_unit_test(too_few_operands_are_refused),
        cmocka_unit_test(missing_values_are_named),
        cmocka_unit_test(whole_numbers_are_checked),
        cmocka_unit_test(seeds_are_64_bits),
        cmocka_unit_test(numbers_are_checked),
        cmocka_unit_test(sizes_are_checked),
        cmocka_unit_test(size_syntax),
        cmocka_unit_test(unknown_option_suggests_the_nearest),
        cmocka_unit_test(help_wins_over_everything),
        cmocka_unit_test(nearest_word_wants_something_in_common),
        cmocka_unit_test(help_text_is_complete_and_narrow),
        cmocka_unit_test(man_source_escapes_dashes),
        cmocka_unit_test(completion_words_have_the_negations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
