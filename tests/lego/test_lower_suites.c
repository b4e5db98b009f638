/*
 * test_lower_suites.c: real programs keep their meaning through reading, lowering and flattening:
 * functions of humaneval-c with their asserts, and programs that csmith makes, whose checksums must
 * be those of the host's cc. A few of each; all with LOWER_ALL=1, csmith's seeds from CSMITH_SEED
 * (1) on.
 */
#include "lowered.h"

#include <jansson.h>

static const char *const humaneval = "../shared/data/humaneval-c.jsonl";

enum { ONE_OF = 24, CSMITH_FEW = 2, CSMITH_ALL = 60, SECONDS = 60 };

static bool all(void)
{
    return getenv("LOWER_ALL") != NULL;
}

/* The program must end with `status` and write `output` (NULL: anything); else what is wrong. */
static const char *difference(const char *source, const char *flags, int status, const char *output)
{
    static char message[200], got[LOWERED_OUTPUT_MAX];
    char *text = lowered_preprocess(source, flags);
    struct ir_unit *ir = lowered_unit(text);
    free(text);
    const char *wrong = NULL;
    if (lowered_refusal(ir)) {
        snprintf(message, sizeof message, "refused: %.180s", lowered_refusal(ir));
        wrong = message;
    }
    for (int flat = 0; flat < 2 && !wrong; flat++) {
        if (flat)
            lowered_flatten(ir);
        int ended = lowered_run(ir, SECONDS, got);
        if (ended == status && (!output || strcmp(got, output) == 0))
            continue;
        snprintf(message, sizeof message, "%s: status %d instead of %d, or another output",
                 flat ? "flattened" : "lowered", ended, status);
        wrong = message;
    }
    unit_free(ir->unit);
    return wrong;
}

static char *program_of(const char *line)
{
    json_t *record = json_loads(line, 0, NULL);
    const char *c = json_string_value(json_object_get(record, "c"));
    const char *test = json_string_value(json_object_get(record, "test"));
    assert_non_null(c);
    assert_non_null(test);
    char *source = malloc(strlen(c) + strlen(test) + 3);
    assert_non_null(source);
    sprintf(source, "%s\n%s\n", c, test);
    json_decref(record);
    return source;
}

static void functions_pass_their_asserts(void **state)
{
    (void)state;
    FILE *file = fopen(humaneval, "r");
    if (!file)
        skip();
    char *line = NULL;
    size_t size = 0;
    int bad = 0, refused = 0;
    for (int n = 0; getline(&line, &size, file) > 0; n++) {
        if (n % ONE_OF && !all())
            continue;
        char *source = program_of(line);
        const char *wrong = difference(source, "", 0, NULL);
        bool is_refusal = wrong && strncmp(wrong, "refused", 7) == 0;
        if (wrong)
            print_message("line %d: %s\n", n + 1, wrong);
        refused += is_refusal;
        bad += wrong && !is_refusal;
        free(source);
    }
    free(line);
    fclose(file);
    assert_int_equal(bad, 0);
    assert_true(refused <= 2);
}

static void programs_of_csmith_keep_their_checksum(void **state)
{
    (void)state;
    static char source[LOWERED_TEXT_MAX], want[LOWERED_OUTPUT_MAX];
    const char *flags = "-I/usr/include/csmith", *first = getenv("CSMITH_SEED");
    if (system("command -v csmith >/dev/null 2>&1") != 0 ||
        access("/usr/include/csmith/csmith.h", R_OK) != 0)
        skip();
    int seed = first ? atoi(first) : 1, bad = 0;
    for (int end = seed + (all() ? CSMITH_ALL : CSMITH_FEW); seed < end; seed++) {
        char command[100];
        snprintf(command, sizeof command, "d=$(mktemp -d) && cd $d && csmith --seed %d; rm -r $d",
                 seed);
        assert_int_equal(lowered_command(command, source, sizeof source), 0);
        int status = lowered_build_and_run(source, strlen(source), flags, 10, want);
        if (status == 124)
            continue; /* csmith does not promise that its programs end */
        const char *wrong = difference(source, flags, status, want);
        if (wrong)
            print_message("csmith --seed %d: %s\n", seed, wrong);
        bad += wrong != NULL;
    }
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_pass_their_asserts),
        cmocka_unit_test(programs_of_csmith_keep_their_checksum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
