/*
 * test_fuzz_corpus.c: every input in tests/fuzz/corpus through the function that the fuzzer calls.
 * A finding of the fuzzer aborts the program, which counts as a failure.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* All targets export the same name: here each gets its own. */
#define LLVMFuzzerTestOneInput fuzz_tokenizer_input
#include "../fuzz/fuzz_tokenizer.c"
#undef LLVMFuzzerTestOneInput
#undef CHECK
#define LLVMFuzzerTestOneInput fuzz_chat_input
#include "../fuzz/fuzz_chat.c"
#undef LLVMFuzzerTestOneInput
#undef CHECK
#define LLVMFuzzerTestOneInput fuzz_gguf_input
#include "../fuzz/fuzz_gguf.c"
#undef LLVMFuzzerTestOneInput
#undef CHECK

#define CORPUS "tests/fuzz/corpus/"

/* One file, in memory of exactly its size so that a sanitizer sees a read beyond it. */
static void replay_file(int (*target)(const uint8_t *, size_t), const char *path)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long size = ftell(file);
    rewind(file);
    uint8_t *data = malloc(size > 0 ? (size_t)size : 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, (size_t)size, file), size);
    fclose(file);
    target(data, (size_t)size);
    free(data);
}

static void replay(int (*target)(const uint8_t *, size_t), const char *folder)
{
    char path[512];
    int count = 0;
    DIR *dir = opendir(folder);
    if (!dir)
        fail_msg("no folder %s: run from the top of the tree", folder);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        replay_file(target, path);
        count++;
    }
    closedir(dir);
    assert_true(count > 0);
}

static void tokenizer_corpus(void **state)
{
    (void)state;
    replay(fuzz_tokenizer_input, CORPUS "tokenizer");
}

static void chat_corpus(void **state)
{
    (void)state;
    replay(fuzz_chat_input, CORPUS "chat");
}

static void gguf_corpus(void **state)
{
    (void)state;
    replay(fuzz_gguf_input, CORPUS "gguf");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokenizer_corpus),
        cmocka_unit_test(chat_corpus),
        cmocka_unit_test(gguf_corpus),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
