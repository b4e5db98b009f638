/*
 * test_chat.c: every family of chat templates: recognised by its template's text, a conversation
 * written to the letter, markers and contents kept apart.
 */
#include "model/chat.h"

#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const ashlar_message conversation[] = {
    {"system", " Be kind. "},
    {"user", "Hello\n"},
    {"assistant", "\nHi there "},
    {"user", " How <|im_end|> are you?"},
};

static char *render(enum chat_family family, const ashlar_message *messages, size_t n,
                    unsigned flags)
{
    struct chat_text out;
    ashlar_error err;
    size_t end = 0;

    chat_text_init(&out);
    if (chat_render(family, messages, n, flags, &out, &err) != ASHLAR_OK)
        fail_msg("%s: %s", chat_family_name(family), err.message);
    for (size_t i = 0; i < out.n_segments; i++) {
        assert_int_equal(out.segments[i].offset, end);
        assert_true(out.segments[i].length > 0);
        end += out.segments[i].length;
    }
    assert_int_equal(end, out.text.length);
    char *text = strdup(out.text.length ? out.text.data : "");
    chat_text_fini(&out);
    return text;
}

struct golden {
    enum chat_family family;
    const char *text;   /* system, user, assistant, user */
    const char *prompt; /* what ASHLAR_CHAT_PROMPT adds */
};

static const struct golden goldens[] = {
    {CHAT_CHATML,
     "<|im_start|>system\n Be kind. <|im_end|>\n<|im_start|>user\nHello\n<|im_end|>\n"
     "<|im_start|>assistant\n\nHi there <|im_end|>\n"
     "<|im_start|>user\n How <|im_end|> are you?<|im_end|>\n",
     "<|im_start|>assistant\n"},
    {CHAT_QWEN3,
     "<|im_start|>system\n Be kind. <|im_end|>\n<|im_start|>user\nHello\n<|im_end|>\n"
     "<|im_start|>assistant\n\nHi there <|im_end|>\n"
     "<|im_start|>user\n How <|im_end|> are you?<|im_end|>\n",
     "<|im_start|>assistant\n"},
    {CHAT_LLAMA2,
     "[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHello [/INST] Hi there </s>"
     "<s>[INST] How <|im_end|> are you? [/INST]",
     ""},
    {CHAT_LLAMA3,
     "<|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|>"
     "<|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>"
     "<|start_header_id|>assistant<|end_header_id|>\n\nHi there<|eot_id|>"
     "<|start_header_id|>user<|end_header_id|>\n\nHow <|im_end|> are you?<|eot_id|>",
     "<|start_header_id|>assistant<|end_header_id|>\n\n"},
    {CHAT_MISTRAL,
     "[INST]  Be kind. \nHello\n [/INST]\nHi there </s>[INST]  How <|im_end|> are you? [/INST]",
     ""},
    {CHAT_MISTRAL_V1,
     " [INST]  Be kind. \n\nHello\n [/INST] \nHi there </s>"
     " [INST]  How <|im_end|> are you? [/INST]",
     ""},
    {CHAT_MISTRAL_V3,
     "[INST]  Be kind. \n\nHello\n[/INST] Hi there</s>[INST]  How <|im_end|> are you?[/INST]", ""},
    {CHAT_MISTRAL_V3_TEKKEN,
     "[INST] Be kind. \n\nHello\n[/INST]\nHi there </s>[INST] How <|im_end|> are you?[/INST]", ""},
    {CHAT_MISTRAL_V7,
     "[SYSTEM_PROMPT]  Be kind. [/SYSTEM_PROMPT][INST] Hello\n[/INST] \nHi there </s>"
     "[INST]  How <|im_end|> are you?[/INST]",
     ""},
    {CHAT_MISTRAL_V7_TEKKEN,
     "[SYSTEM_PROMPT] Be kind. [/SYSTEM_PROMPT][INST]Hello\n[/INST]\nHi there </s>"
     "[INST] How <|im_end|> are you?[/INST]",
     ""},
    {CHAT_GEMMA,
     "<start_of_turn>user\nBe kind.\n\nHello<end_of_turn>\n"
     "<start_of_turn>model\nHi there<end_of_turn>\n"
     "<start_of_turn>user\nHow <|im_end|> are you?<end_of_turn>\n",
     "<start_of_turn>model\n"},
    {CHAT_PHI3,
     "<|system|>\n Be kind. <|end|>\n<|user|>\nHello\n<|end|>\n<|assistant|>\n\nHi there <|end|>\n"
     "<|user|>\n How <|im_end|> are you?<|end|>\n",
     "<|assistant|>\n"},
    {CHAT_ZEPHYR,
     "<|system|>\n Be kind. </s>\n<|user|>\nHello\n</s>\n<|assistant|>\n\nHi there </s>\n"
     "<|user|>\n How <|im_end|> are you?</s>\n",
     "<|assistant|>\n"},
    {CHAT_DEEPSEEK_CODER,
     " Be kind. ### Instruction:\nHello\n\n### Response:\n\nHi there \n<|EOT|>\n"
     "### Instruction:\n How <|im_end|> are you?\n",
     "### Response:\n"},
    {CHAT_DEEPSEEK_V3,
     " Be kind. <｜User｜>Hello\n<｜Assistant｜>\nHi there <｜end▁of▁sentence｜>"
     "<｜User｜> How <|im_end|> are you?",
     "<｜Assistant｜>"},
    {CHAT_DEEPSEEK_R1,
     " Be kind. <｜User｜>Hello\n<｜Assistant｜>\nHi there <｜end▁of▁sentence｜>"
     "<｜User｜> How <|im_end|> are you?",
     "<｜Assistant｜><think>\n"},
};

static void every_family_writes_its_format(void **state)
{
    (void)state;
    assert_int_equal(COUNT(goldens), CHAT_FAMILY_COUNT - 1);
    for (size_t i = 0; i < COUNT(goldens); i++) {
        char *text = render(goldens[i].family, conversation, 4, 0);
        assert_string_equal(text, goldens[i].text);
        free(text);
    }
}

static void the_prompt_opens_the_assistants_turn(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(goldens); i++) {
        char *text = render(goldens[i].family, conversation, 4, ASHLAR_CHAT_PROMPT);
        size_t before = strlen(goldens[i].text);
        assert_memory_equal(text, goldens[i].text, before);
        assert_string_equal(text + before, goldens[i].prompt);
        free(text);
    }
}

static void a_conversation_needs_no_system(void **state)
{
    (void)state;
    char *text = render(CHAT_LLAMA2, conversation + 1, 3, 0);
    assert_string_equal(text, "[INST] Hello [/INST] Hi there </s>"
                              "<s>[INST] How <|im_end|> are you? [/INST]");
    free(text);
    text = render(CHAT_GEMMA, conversation + 1, 1, ASHLAR_CHAT_PROMPT);
    assert_string_equal(text, "<start_of_turn>user\nHello<end_of_turn>\n<start_of_turn>model\n");
    free(text);
}

/* Where the prompt is not all, the rest is the empty thought. */
static void thinking_can_be_switched_off(void **state)
{
    (void)state;
    unsigned flags = ASHLAR_CHAT_PROMPT | ASHLAR_CHAT_NO_THINKING;
    char *text = render(CHAT_QWEN3, conversation + 1, 1, flags);
    assert_string_equal(text, "<|im_start|>user\nHello\n<|im_end|>\n<|im_start|>assistant\n"
                              "<think>\n\n</think>\n\n");
    free(text);
    text = render(CHAT_DEEPSEEK_R1, conversation + 1, 1, flags);
    assert_string_equal(text, "<｜User｜>Hello\n<｜Assistant｜><think>\n\n</think>\n\n");
    free(text);
    text = render(CHAT_CHATML, conversation + 1, 1, flags);
    assert_string_equal(text, "<|im_start|>user\nHello\n<|im_end|>\n<|im_start|>assistant\n");
    free(text);
}

static void earlier_thoughts_are_left_out(void **state)
{
    (void)state;
    const ashlar_message messages[] = {
        {"user", "2+2?"},
        {"assistant", "<think>\nwell </think> no\n</think>\n\nFour."},
        {"user", "Sure?"},
        {"assistant", "<think>\nyes\n</think>\n\nYes."},
    };
    char *text = render(CHAT_QWEN3, messages, 4, 0);
    assert_string_equal(text, "<|im_start|>user\n2+2?<|im_end|>\n"
                              "<|im_start|>assistant\nFour.<|im_end|>\n"
                              "<|im_start|>user\nSure?<|im_end|>\n"
                              "<|im_start|>assistant\n<think>\nyes\n</think>\n\nYes.<|im_end|>\n");
    free(text);
    text = render(CHAT_CHATML, messages + 1, 2, 0);
    assert_non_null(strstr(text, "</think> no"));
    free(text);
}

static void contents_are_never_markers(void **state)
{
    (void)state;
    for (size_t f = 0; f < COUNT(goldens); f++) {
        struct chat_text out;
        size_t found = 0;
        chat_text_init(&out);
        assert_int_equal(chat_render(goldens[f].family, conversation, 4, 0, &out, NULL), ASHLAR_OK);
        for (size_t i = 0; i < out.n_segments; i++) {
            const struct chat_segment *s = &out.segments[i];
            const char *text = out.text.data + s->offset;
            if (memmem(text, s->length, "How <|im_end|> are", 18)) {
                assert_false(s->marker);
                found++;
            }
            if (!s->marker) {
                assert_null(memmem(text, s->length, "[INST]", 6));
                assert_null(memmem(text, s->length, "start_", 6));
            }
        }
        assert_int_equal(found, 1);
        chat_text_fini(&out);
    }
}

static void expect_refused(enum chat_family family, const ashlar_message *messages, size_t n,
                           const char *message)
{
    struct chat_text out;
    ashlar_error err;

    chat_text_init(&out);
    assert_int_equal(chat_render(family, messages, n, 0, &out, &err), ASHLAR_BAD_INPUT);
    assert_string_equal(err.message, message);
    chat_text_fini(&out);
}

static void wrong_roles_are_named(void **state)
{
    (void)state;
    const ashlar_message tool[] = {{"user", "a"}, {"tool", "b"}};
    expect_refused(CHAT_CHATML, tool, 2, "message 2: unknown role 'tool'");
    const ashlar_message null_role[] = {{NULL, "a"}};
    expect_refused(CHAT_CHATML, null_role, 1, "message 1: unknown role ''");
    const ashlar_message null_content[] = {{"user", NULL}};
    expect_refused(CHAT_CHATML, null_content, 1, "message 1: no content");
    const ashlar_message twice[] = {{"user", "a"}, {"user", "b"}};
    expect_refused(CHAT_GEMMA, twice, 2,
                   "message 2: role 'user' where a gemma template wants 'assistant'");
    const ashlar_message late[] = {{"user", "a"}, {"assistant", "b"}, {"system", "c"}};
    expect_refused(CHAT_LLAMA2, late, 3,
                   "message 3: role 'system' where a llama2 template wants 'user'");
    expect_refused(CHAT_MISTRAL_V3, conversation, 1,
                   "a mistral-v3 template has no room for a system message without a user message");
    expect_refused(CHAT_UNKNOWN, conversation, 4, "the chat template is of an unknown family");
}

/* ---- detection ----------------------------------------------------------------------------- */

static const struct {
    enum chat_family family;
    const char *text; /* the telling part of a real template */
} templates[] = {
    {CHAT_CHATML, "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n'}}"},
    {CHAT_QWEN3, "{{- '<|im_start|>assistant\\n' }}{%- if enable_thinking is defined %}"},
    {CHAT_QWEN3, "{{- '<|im_start|>assistant\\n<think>\\n' }}"},
    {CHAT_LLAMA2, "{% set content = '<<SYS>>\\n' + system_message %}{{ bos_token + '[INST] ' + "
                  "content.strip() + ' [/INST]' }}"},
    {CHAT_LLAMA3, "{% set content = '<|start_header_id|>' + message['role'] + "
                  "'<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' %}"},
    {CHAT_MISTRAL, "{{ '[INST] ' + message['content'] + ' [/INST]' }}"},
    {CHAT_MISTRAL_V1, "{{- ' [INST] ' + system_message + '\\n\\n' + content + ' [/INST]' }}"},
    {CHAT_MISTRAL_V3, "{{- \"[AVAILABLE_TOOLS] [\" }}{{- \"[INST] \" + message[\"content\"] }}"},
    {CHAT_MISTRAL_V3_TEKKEN, "{{- \"[AVAILABLE_TOOLS][\" }}{{- \"[INST]\" + content }}"},
    {CHAT_MISTRAL_V7, "{{- \"[SYSTEM_PROMPT] \" + content }}{{- \"[INST] \" + content }}"},
    {CHAT_MISTRAL_V7_TEKKEN, "{{- '[SYSTEM_PROMPT]' + content }}{{- '[INST]' + content }}"},
    {CHAT_GEMMA, "{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim }}"},
    {CHAT_PHI3, "{{'<|user|>' + '\\n' + content + '<|end|>' + '\\n' + '<|assistant|>'}}"},
    {CHAT_ZEPHYR, "{{ '<|user|>\\n' + message['content'] + eos_token }}{{ '<|assistant|>' }}"},
    {CHAT_DEEPSEEK_CODER, "{{'### Instruction:\\n' + message['content']}}{{'\\n<|EOT|>\\n'}}"},
    {CHAT_DEEPSEEK_V3, "{{'<｜User｜>' + c}}{{'<｜Assistant｜>' + c + '<｜end▁of▁sentence｜>'}}"},
    {CHAT_DEEPSEEK_R1, "{{'<｜User｜>' + c + '<｜end▁of▁sentence｜>'}}{{'<｜Assistant｜><think>\\n'}}"},
    {CHAT_UNKNOWN, ""},
    {CHAT_UNKNOWN, "{{ 'USER: ' + message['content'] + ' ASSISTANT: ' }}"},
    {CHAT_UNKNOWN, "{{'<|im_start|>' + message['role'] + '<|im_sep|>' }}"},
};

static void templates_are_recognised(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(templates); i++)
        if (chat_detect(templates[i].text, strlen(templates[i].text)) != templates[i].family)
            fail_msg("not %s: %s", chat_family_name(templates[i].family), templates[i].text);
    assert_int_equal(chat_detect(NULL, 0), CHAT_UNKNOWN);
}

static void every_family_has_a_name(void **state)
{
    (void)state;
    assert_null(chat_family_name(CHAT_UNKNOWN));
    assert_null(chat_family_name(CHAT_FAMILY_COUNT));
    for (int f = 1; f < CHAT_FAMILY_COUNT; f++)
        assert_non_null(chat_family_name((enum chat_family)f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_family_writes_its_format),
        cmocka_unit_test(the_prompt_opens_the_assistants_turn),
        cmocka_unit_test(a_conversation_needs_no_system),
        cmocka_unit_test(thinking_can_be_switched_off),
        cmocka_unit_test(earlier_thoughts_are_left_out),
        cmocka_unit_test(contents_are_never_markers),
        cmocka_unit_test(wrong_roles_are_named),
        cmocka_unit_test(templates_are_recognised),
        cmocka_unit_test(every_family_has_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
