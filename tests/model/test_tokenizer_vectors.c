/*
 * test_tokenizer_vectors.c: real vocabularies against the token ids that llama.cpp publishes with
 * them. Skips where ../shared/data is absent.
 */
#include "model/tokenizer.h"

#include "base/os.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FOLDER "../shared/data/tokenizers/ggml-vocab-"
#define SEPARATOR "\n__ggml_vocab_test__\n"

struct vectors {
    struct buf texts, ids;
    struct tokenizer *t;
};

static void open_vectors(struct vectors *v, const char *name)
{
    char path[256];
    struct gguf *g;
    ashlar_error err;

    snprintf(path, sizeof path, FOLDER "%s.gguf", name);
    FILE *probe = fopen(path, "rb");
    if (!probe)
        skip();
    fclose(probe);
    if (gguf_open(path, &g, &err) != ASHLAR_OK || tokenizer_open(g, &v->t, &err) != ASHLAR_OK)
        fail_msg("%s", err.message);
    gguf_close(g);
    buf_init(&v->texts, 1 << 20);
    buf_init(&v->ids, 1 << 20);
    snprintf(path, sizeof path, FOLDER "%s.gguf.inp", name);
    assert_int_equal(os_read_file(path, &v->texts, &err), ASHLAR_OK);
    snprintf(path, sizeof path, FOLDER "%s.gguf.out", name);
    assert_int_equal(os_read_file(path, &v->ids, &err), ASHLAR_OK);
}

static void close_vectors(struct vectors *v)
{
    tokenizer_close(v->t);
    buf_fini(&v->texts);
    buf_fini(&v->ids);
}

/* Compare with one line of ids, which ends at *line afterwards. */
static void check_ids(const char *text, size_t length, const int32_t *ids, size_t n, char **line)
{
    size_t i = 0;
    char *end = strchr(*line, '\n');

    while (*line < end) {
        long expected = strtol(*line, line, 10);
        if (i >= n || ids[i] != expected)
            fail_msg("token %zu of %zu is %d, not %ld, of \"%.*s\"", i, n, i < n ? (int)ids[i] : -1,
                     expected, (int)length, text);
        i++;
    }
    if (i != n)
        fail_msg("%zu tokens, not %zu, of \"%.*s\"", n, i, (int)length, text);
    *line = end + 1;
}

/* The pieces, put together, are the text (behind the space that SPM puts before it). */
static void check_round_trip(const struct tokenizer *t, const char *text, size_t length,
                             const int32_t *ids, size_t n)
{
    char joined[8192] = {0};
    size_t used = 0, skipped = 0;

    for (size_t i = 0; i < n; i++) {
        size_t bytes;
        const char *piece = tokenizer_piece(t, ids[i], false, &bytes);
        assert_true(used + bytes < sizeof joined);
        memcpy(joined + used, piece, bytes);
        used += bytes;
    }
    if (strcmp(tokenizer_kind(t), "SPM") == 0 && n > 0)
        skipped = 1;
    assert_int_equal(used - skipped, length);
    assert_memory_equal(joined + skipped, text, length);
}

static int check_vectors(const char *name)
{
    struct vectors v;
    int count = 0;

    open_vectors(&v, name);
    char *line = v.ids.data, *text = v.texts.data, *all_end = text + v.texts.length;
    while (text < all_end) {
        char *end = strstr(text, SEPARATOR); /* stands behind the last text too */
        assert_non_null(end);
        size_t length = (size_t)(end - text), n;
        int32_t ids[4096];
        ashlar_error err;
        assert_int_equal(tokenizer_encode(v.t, text, length, 0, ids, 4096, &n, &err), ASHLAR_OK);
        check_ids(text, length, ids, n, &line);
        check_round_trip(v.t, text, length, ids, n);
        text = end + strlen(SEPARATOR);
        count++;
    }
    assert_ptr_equal(line, v.ids.data + v.ids.length);
    close_vectors(&v);
    return count;
}

#define VECTOR_TEST(function, name)               \
    static void function(void **state)            \
    {                                             \
        (void)state;                              \
        assert_int_equal(check_vectors(name), 46); \
    }

VECTOR_TEST(llama_bpe, "llama-bpe")
VECTOR_TEST(qwen2, "qwen2")
VECTOR_TEST(gpt_2, "gpt-2")
VECTOR_TEST(llama_spm, "llama-spm")
VECTOR_TEST(phi_3, "phi-3")
VECTOR_TEST(deepseek_coder, "deepseek-coder")
VECTOR_TEST(starcoder, "starcoder")

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama_bpe),      cmocka_unit_test(qwen2),     cmocka_unit_test(gpt_2),
        cmocka_unit_test(llama_spm),      cmocka_unit_test(phi_3),
        cmocka_unit_test(deepseek_coder), cmocka_unit_test(starcoder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
