/*
 * test_gguf_corpus.c: every file of tests/fuzz/corpus/gguf through the fuzz target's entry point:
 * what fuzzing once found stays found, with no fuzzer needed.
 */
#include "../fuzz/fuzz_gguf.c"

#include "base/os.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define FOLDER "tests/fuzz/corpus/gguf"

static void test_corpus(void **state)
{
    DIR *d = opendir(FOLDER);
    int n = 0;
    (void)state;
    assert_non_null(d); /* tests run from the top of the tree */
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[512];
        struct buf b;
        ashlar_error err;
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, FOLDER "/%s", e->d_name);
        buf_init(&b, 1 << 24);
        assert_int_equal(os_read_file(path, &b, &err), ASHLAR_OK);
        LLVMFuzzerTestOneInput((const uint8_t *)b.data, b.length);
        buf_fini(&b);
        n++;
    }
    closedir(d);
    assert_true(n >= 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_corpus)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
