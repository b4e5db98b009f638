/* The translator over a model in this process, with random tiny models: it answers or says why not,
 * and ends. */
#include "lego/translator.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct block block = {.text = "block x86-64\nint v1\nbegin\nv1 = -v1;\nend\n",
                             .key = "00ff00ff00ff00ff"};

static const char *model_path(void)
{
    static char path[4096];
    const char *folder = getenv("ASHLAR_TEST_MODELS");
    snprintf(path, sizeof path, "%s/tiny-llama-f16.gguf", folder ? folder : "build/tests/models");
    return access(path, R_OK) == 0 ? path : NULL;
}

/* A prompt as short as the model's context asks for. */
static const char *prompt_path(void)
{
    static char path[64];
    static const char text[] = "%% system\nS\n%% user\n{block}\n%% repair\n{previous}\n";
    strcpy(path, "/tmp/ashlar-prompt.XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, text, sizeof text - 1) > 0 && close(fd) == 0);
    return path;
}

static void a_file_that_is_no_model_is_refused(void **state)
{
    (void)state;
    struct translator *t;
    ashlar_error err;
    assert_int_not_equal(translator_model_open("/dev/null", 1, NULL, &t, &err), ASHLAR_OK);
    assert_null(t);
    assert_true(err.message[0] != '\0');
}

static void every_item_gets_an_answer_or_a_reason(void **state)
{
    (void)state;
    enum { ITEMS = 9 }; /* more than run side by side */
    const char *path = model_path();
    struct translator *t;
    struct translation items[ITEMS];
    ashlar_error err = {0};
    if (!path)
        skip();
    const char *prompt = prompt_path();
    block.text_length = strlen(block.text);
    if (translator_model_open(path, 1, prompt, &t, &err) != ASHLAR_OK)
        fail_msg("%s", err.message);
    assert_int_equal(t->good_at, GRANULARITY_STATEMENT);
    for (int i = 0; i < ITEMS; i++) {
        items[i] = (struct translation){.block = &block, .sample = i};
        buf_init(&items[i].answer, 1 << 20);
    }
    items[ITEMS - 1].previous = "\tnop";
    items[ITEMS - 1].finding = "wrong";
    assert_int_equal(t->translate(t, items, ITEMS, &err), ASHLAR_OK);
    for (int i = 0; i < ITEMS; i++) {
        assert_true(items[i].note[0] != '\0');
        buf_fini(&items[i].answer);
    }
    t->close(t);
    unlink(prompt);
}

static bool always(void)
{
    return true;
}

static void it_can_be_stopped(void **state)
{
    (void)state;
    const char *path = model_path();
    struct translator *t;
    struct translation item = {.block = &block};
    if (!path)
        skip();
    const char *prompt = prompt_path();
    assert_int_equal(translator_model_open(path, 1, prompt, &t, NULL), ASHLAR_OK);
    buf_init(&item.answer, 1000);
    t->stopped = always;
    assert_int_equal(t->translate(t, &item, 1, NULL), ASHLAR_CANCELLED);
    buf_fini(&item.answer);
    t->close(t);
    unlink(prompt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_that_is_no_model_is_refused),
        cmocka_unit_test(every_item_gets_an_answer_or_a_reason),
        cmocka_unit_test(it_can_be_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
