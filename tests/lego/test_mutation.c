/*
 * How many planted mistakes the verifier finds. Accepted pairs of block and fragment
 * (verify_pairs.txt, made by the teacher) get one mistake each time; a mutant that is accepted with
 * the usual number of states is tried with many times more, of other seeds: told apart then, it was
 * missed, else it counts as equivalent.
 *
 * VERIFY_PAIRS=FILE takes other pairs. By default a random sample of the mutants; MUTATIONS=all
 * tries every one (minutes), MUTATIONS=N that many per pair. MUTATION_LOG=FILE lists the survivors.
 */
#include "hand_block.h"

#include <sys/resource.h>
#include <time.h>

#include "base/os.h"
#include "base/rng.h"
#include "lego/verify.h"
#include "mutate.inc"

enum { MAX_PAIRS = 4000, SAMPLE = 3, N_DEEP = 2, DEEP_VECTORS = 8000 };


struct pair {
    struct hand_block block;
    const char *fragment;
    size_t length;
};

static struct buf file;
static struct pair pairs[MAX_PAIRS];
static int n_pairs;
static struct verifier *usual, *deep[N_DEEP];

static void load_pairs(void)
{
    static const int64_t literals[] = {1, 6, 4, 1, 8, 2, 3, 5, 7, 16,
                                       1, 6, 4, 1, 8, 2, 3, 5, 7, 16};
    ashlar_error err = {0};
    buf_init(&file, 4 << 20);
    const char *path = getenv("VERIFY_PAIRS");
    if (os_read_file(path ? path : "tests/lego/verify_pairs.txt", &file, &err) != ASHLAR_OK)
        return;
    char *at = file.data;
    while (at && *at && n_pairs < MAX_PAIRS) {
        char *fragment = strstr(at, "\nend\n"), *end = strstr(at, "\n--\n");
        assert_non_null(fragment);
        assert_non_null(end);
        struct pair *p = &pairs[n_pairs++];
        char *text = strndup(at, (size_t)(fragment + 5 - at));
        assert_non_null(text);
        hand_make(&p->block, text, literals, 20);
        p->fragment = fragment + 5;
        p->length = (size_t)(end + 1 - p->fragment);
        at = end + 4;
    }
}

static struct verifier *new_verifier(int vectors, uint64_t seed)
{
    struct verifier *v = NULL;
    struct block *blocks[MAX_PAIRS];
    ashlar_error err = {0};
    struct verify_options options = {
        .level = VERIFY_TESTED, .vectors = vectors, .seed = seed, .cc = "cc"};
    for (int i = 0; i < n_pairs; i++)
        blocks[i] = &pairs[i].block.block;
    if (verifier_new(&options, &v, &err) != ASHLAR_OK ||
        verifier_prepare(v, blocks, n_pairs, &err) != ASHLAR_OK)
        fprintf(stderr, "%s\n", err.message);
    return v;
}

static int setup(void **state)
{
    (void)state;
    load_pairs();
    usual = new_verifier(1000, 7);
    struct rusage used;
    getrusage(RUSAGE_CHILDREN, &used);
    printf("# the compiler took %ld.%02ld s for the references of %d blocks\n",
           (long)used.ru_utime.tv_sec, (long)used.ru_utime.tv_usec / 10000, n_pairs);
    for (int i = 0; i < N_DEEP; i++)
        deep[i] = new_verifier(DEEP_VECTORS, 1000 + (uint64_t)i);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    verifier_free(usual);
    for (int i = 0; i < N_DEEP; i++)
        verifier_free(deep[i]);
    for (int i = 0; i < n_pairs; i++) {
        free((char *)pairs[i].block.block.text);
        hand_free(&pairs[i].block);
    }
    buf_fini(&file);
    return 0;
}

static struct verdict check(struct verifier *v, const struct pair *p, const char *fragment,
                            size_t length)
{
    struct verdict verdict;
    ashlar_error err = {0};
    if (verifier_check(v, &p->block.block, fragment, length, &verdict, &err) != ASHLAR_OK)
        fail_msg("%s", err.message);
    return verdict;
}

/* A wild pointer of the reference may hit the sanitizer's terabytes of shadow memory and not fault:
 * then the fragment, which does, is not to blame. */
static bool met_shadow(const struct verdict *verdict)
{
#ifdef __SANITIZE_ADDRESS__
    return !verdict->accepted && strstr(verdict->message, "UNMAPPED");
#else
    (void)verdict;
    return false;
#endif
}

static void test_pairs_are_accepted(void **state)
{
    (void)state;
    if (n_pairs == 0)
        skip();
    clock_t start = clock();
    int rejected = 0, outcomes = 0, seen = 0;
    bool foreign = getenv("VERIFY_PAIRS") != NULL;
    for (int i = 0; i < n_pairs; i++) {
        struct verdict verdict = check(usual, &pairs[i], pairs[i].fragment, pairs[i].length);
        outcomes += verdict.outcomes;
        seen += verdict.outcomes_seen;
        if (verdict.accepted)
            continue;
        bool undefined = foreign && strncmp(verdict.message, "no defined", 10) == 0;
        if (undefined || met_shadow(&verdict)) {
            pairs[i].length = 0; /* with the test's literals, or memory, it has no meaning */
            continue;
        }
        rejected++;
        printf("# rejected: %s\n%s%.*s\n", verdict.message, pairs[i].block.block.text,
               (int)pairs[i].length, pairs[i].fragment);
    }
    printf("# %d pairs, %.1f ms of processor time each\n", n_pairs,
           (double)(clock() - start) / CLOCKS_PER_SEC / n_pairs * 1e3);
    printf("# of %d branch outcomes the states took %d\n", outcomes, seen);
    assert_int_equal(rejected, 0);
}

struct score {
    int caught, missed, equivalent, unchanged;
    FILE *log;
};

static void judge(const struct pair *p, const char *mutant, size_t length, const char *what,
                  struct score *score)
{
    struct verdict verdict = check(usual, p, mutant, length);
    if (!verdict.accepted) {
        score->caught++;
        return;
    }
    bool told_apart = false;
    for (int i = 0; i < N_DEEP && !told_apart; i++) {
        verdict = check(deep[i], p, mutant, length);
        told_apart = !verdict.accepted && !met_shadow(&verdict);
    }
    if (told_apart)
        score->missed++;
    else
        score->equivalent++;
    if (told_apart)
        printf("# missed: %s in\n# %s\n", what, mutant);
    if (score->log)
        fprintf(score->log, "%s: %s\n%s-- was\n%.*s-- is\n%s\n",
                told_apart ? "MISSED" : "EQUIVALENT", what, p->block.block.text, (int)p->length,
                p->fragment, mutant);
}

/** One mistake of a pair; false: there is none of that number. */
static bool try_mutant(const struct pair *p, int number, struct score *score)
{
    struct fragment f;
    struct buf before, after;
    char what[64];
    ashlar_error err = {0};
    if (fragment_parse(p->fragment, p->length, &f, &err) != ASHLAR_OK)
        fail_msg("%s", err.message);
    buf_init(&before, 1 << 20);
    buf_init(&after, 1 << 20);
    fragment_print(&f, &before);
    bool exists = mutate(&f, &p->block.block, number, what);
    fragment_print(&f, &after);
    if (exists && strcmp(before.data, after.data) == 0)
        score->unchanged++;
    else if (exists)
        judge(p, after.data, after.length, what, score);
    buf_fini(&before);
    buf_fini(&after);
    fragment_fini(&f);
    return exists;
}

static int count_mutants(const struct pair *p)
{
    struct fragment f;
    char what[64];
    int low = 0, high = 1 << 16;
    while (low < high) {
        int middle = (low + high) / 2;
        if (fragment_parse(p->fragment, p->length, &f, NULL) != ASHLAR_OK)
            return 0;
        bool exists = mutate(&f, &p->block.block, middle, what);
        fragment_fini(&f);
        if (exists)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void test_mistakes_are_caught(void **state)
{
    (void)state;
    if (n_pairs == 0)
        skip();
    const char *wish = getenv("MUTATIONS"), *log = getenv("MUTATION_LOG");
    bool all = wish && strcmp(wish, "all") == 0;
    int sample = wish && !all ? atoi(wish) : SAMPLE;
    struct score score = {.log = log ? fopen(log, "w") : NULL};
    struct rng rng;
    double start = os_time_seconds();
    rng_seed(&rng, 99);
    for (int i = 0; i < n_pairs; i++) {
        int n = pairs[i].length ? count_mutants(&pairs[i]) : 0;
        for (int k = 0; k < (all ? n : sample) && n; k++)
            try_mutant(&pairs[i], all ? k : (int)rng_below(&rng, (uint32_t)n), &score);
    }
    int wrong = score.caught + score.missed;
    double share = wrong ? 100.0 * score.caught / wrong : 0;
    printf("# %d mutants in %.0f s: %d caught, %d missed, %d not told apart by %d more states: "
           "%.2f %% caught\n",
           wrong + score.equivalent, os_time_seconds() - start, score.caught, score.missed,
           score.equivalent, N_DEEP * DEEP_VECTORS, share);
    if (score.log)
        fclose(score.log);
    assert_true(share >= 99.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs_are_accepted),
        cmocka_unit_test(test_mistakes_are_caught),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
