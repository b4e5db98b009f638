/*
 * Model, tokenizer, chat rendering and the GGUF writer with every allocation failing in turn: each
 * failure is NO_RESOURCE with a message, and nothing is left behind.
 */
#include "../torture.h"

#include "base/os.h"
#include "model/chat.h"
#include "model/gguf_writer.h"
#include "model/model.h"
#include "model/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char *model_path(const char *name)
{
    static char path[4096];
    const char *folder = getenv("ASHLAR_TEST_MODELS");
    snprintf(path, sizeof path, "%s/%s.gguf", folder ? folder : "build/tests/models", name);
    return path;
}

struct load {
    const char *path;
    bool map;
};

static ashlar_status open_and_load(void *context, ashlar_error *err)
{
    const struct load *load = context;
    struct model *m;
    ashlar_status status = model_open(load->path, &m, err);
    if (status == ASHLAR_OK) {
        status = model_load(m, load->map, NULL, err);
        model_close(m);
    }
    return status;
}

static void model_loads_or_gives_up_cleanly(void **state)
{
    (void)state;
    struct load load = {.path = model_path("tiny-qwen2-q8_0")};
    assert_in_range(torture(open_and_load, &load), 3, 5000);
    load.map = true;
    assert_in_range(torture(open_and_load, &load), 3, 5000);
}

/* Words, spaces, digits, capitals, several scripts, bytes that are no UTF-8. */
static const char text[] = "Hello, World! 12345 don't\n\n  bababa bebaba \xce\xb1\xce\xb2 "
                           "\xe6\xbc\xa2\xe5\xad\x97 \xf0\x9f\x98\x80 \xff\xfe ...";

static ashlar_status tokenize(void *context, ashlar_error *err)
{
    struct gguf *g;
    struct tokenizer *t = NULL;
    const unsigned flags = ASHLAR_ADD_SPECIAL | ASHLAR_PARSE_SPECIAL;
    int32_t ids[256];
    size_t n;
    ashlar_status status = gguf_open(context, &g, err);
    if (status != ASHLAR_OK) {
        return status;
    }
    status = tokenizer_open(g, &t, err);
    gguf_close(g);
    for (int i = 0; i < 2 && status == ASHLAR_OK; i++) {
        status = tokenizer_encode(t, text, sizeof text - 1, flags, ids, 256, &n, err);
    }
    tokenizer_close(t);
    return status;
}

static void bpe_tokenizer_works_or_gives_up_cleanly(void **state)
{
    (void)state;
    assert_in_range(torture(tokenize, (void *)model_path("tiny-llama-q4_0")), 5, 5000);
}

static void spm_tokenizer_works_or_gives_up_cleanly(void **state)
{
    (void)state;
    static const char path[] = "../shared/data/stories260K.gguf";
    if (access(path, R_OK) != 0) {
        skip();
    }
    assert_in_range(torture(tokenize, (void *)path), 5, 5000);
}

static ashlar_status render(void *context, ashlar_error *err)
{
    static const ashlar_message messages[] = {{"system", "Be brief."},
                                              {"user", "What is 2 + 2?"},
                                              {"assistant", "4"},
                                              {"user", "And 3 + 3?"}};
    struct chat_text out;
    chat_text_init(&out);
    ashlar_status status = chat_render(*(enum chat_family *)context, messages, 4,
                                       ASHLAR_CHAT_PROMPT, &out, err);
    chat_text_fini(&out);
    return status;
}

static void conversations_render_or_give_up_cleanly(void **state)
{
    (void)state;
    for (int family = CHAT_UNKNOWN + 1; family < CHAT_FAMILY_COUNT; family++) {
        enum chat_family chosen = (enum chat_family)family;
        assert_in_range(torture(render, &chosen), 1, 500);
    }
}

static ashlar_status write_file(void *context, ashlar_error *err)
{
    struct gguf_writer *w;
    static const char *const words[] = {"one", "two", "three"};
    static const float values[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    ashlar_status status = gguf_writer_new(context, &w, err);
    if (status != ASHLAR_OK) {
        return status;
    }
    gguf_writer_string(w, "general.architecture", "llama");
    gguf_writer_u32(w, "llama.block_count", 1);
    gguf_writer_strings(w, "tokenizer.ggml.tokens", words, 3);
    gguf_writer_array(w, "tokenizer.ggml.scores", GGUF_F32, values, 8);
    for (int i = 0; i < 40; i++) {
        char name[32];
        snprintf(name, sizeof name, "tensor.%d", i);
        gguf_writer_tensor(w, name, TENSOR_F32, 1, (uint64_t[]){8});
    }
    status = gguf_writer_begin_data(w, err);
    for (int i = 0; i < 40 && status == ASHLAR_OK; i++) {
        status = gguf_writer_data(w, values, sizeof values, err);
    }
    if (status == ASHLAR_OK) {
        status = gguf_writer_finish(w, err);
    }
    gguf_writer_free(w);
    return status;
}

static void files_are_written_or_left_out(void **state)
{
    (void)state;
    char folder[] = "/tmp/ashlar-test-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/out.gguf", folder);
    int n_allocations = torture(write_file, path);
    assert_in_range(n_allocations, 3, 5000);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0); /* no unfinished files */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(model_loads_or_gives_up_cleanly),
        cmocka_unit_test(bpe_tokenizer_works_or_gives_up_cleanly),
        cmocka_unit_test(spm_tokenizer_works_or_gives_up_cleanly),
        cmocka_unit_test(conversations_render_or_give_up_cleanly),
        cmocka_unit_test(files_are_written_or_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
