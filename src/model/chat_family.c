/*
 * chat_family.c: the families of chat templates and how a template's text tells them apart.
 *
 * Templates are programs (Jinja), but those of one family write the same text. What is looked for
 * are literal markers; the order of the questions matters, because later models borrowed earlier
 * markers. A template that answers none of them is not guessed at.
 */
#include "model/chat_family.h"

#include <string.h>

/* Full-width bars and U+2581, as DeepSeek's tokens have them. */
#define DS_USER "<｜User｜>"
#define DS_ASSISTANT "<｜Assistant｜>"
#define DS_END "<｜end▁of▁sentence｜>"

#define IM(role) {"<|im_start|>" role "\n", "<|im_end|>\n"}
#define HEADER(role) {"<|start_header_id|>" role "<|end_header_id|>\n\n", "<|eot_id|>"}
#define EMPTY_THOUGHT "<think>\n\n</think>\n\n"

/* Left out means empty, or no. */
static const struct chat_style styles[CHAT_FAMILY_COUNT] = {
    [CHAT_CHATML] = {
        .name = "chatml",
        .system = IM("system"), .user = IM("user"), .answer = IM("assistant"),
        .prompt = "<|im_start|>assistant\n",
    },
    [CHAT_QWEN3] = {
        .name = "qwen3",
        .system = IM("system"), .user = IM("user"), .answer = IM("assistant"),
        .prompt = "<|im_start|>assistant\n",
        .think = "", .do_not_think = EMPTY_THOUGHT,
    },
    [CHAT_LLAMA2] = {
        .name = "llama2",
        .system = {"<<SYS>>\n", "\n<</SYS>>\n\n"}, .system_in_user = true,
        .user = {"[INST] ", " [/INST]"}, .again = "<s>", .answer = {" ", " </s>"},
        .trim = TRIM_ALL,
    },
    [CHAT_LLAMA3] = {
        .name = "llama3",
        .system = HEADER("system"), .user = HEADER("user"), .answer = HEADER("assistant"),
        .prompt = "<|start_header_id|>assistant<|end_header_id|>\n\n",
        .trim = TRIM_ALL,
    },
    [CHAT_MISTRAL] = {
        .name = "mistral",
        .system = {"", "\n"}, .system_in_user = true,
        .user = {"[INST] ", " [/INST]"}, .answer = {"", "</s>"},
    },
    [CHAT_MISTRAL_V1] = {
        .name = "mistral-v1",
        .system = {"", "\n\n"}, .system_in_user = true,
        .user = {" [INST] ", " [/INST]"}, .answer = {" ", "</s>"},
    },
    [CHAT_MISTRAL_V3] = {
        .name = "mistral-v3",
        .system = {"", "\n\n"}, .system_in_user = true,
        .user = {"[INST] ", "[/INST]"}, .answer = {" ", "</s>"},
        .trim = TRIM_ANSWERS,
    },
    [CHAT_MISTRAL_V3_TEKKEN] = {
        .name = "mistral-v3-tekken",
        .system = {"", "\n\n"}, .system_in_user = true,
        .user = {"[INST]", "[/INST]"}, .answer = {"", "</s>"},
    },
    [CHAT_MISTRAL_V7] = {
        .name = "mistral-v7",
        .system = {"[SYSTEM_PROMPT] ", "[/SYSTEM_PROMPT]"},
        .user = {"[INST] ", "[/INST]"}, .answer = {" ", "</s>"},
    },
    [CHAT_MISTRAL_V7_TEKKEN] = {
        .name = "mistral-v7-tekken",
        .system = {"[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"},
        .user = {"[INST]", "[/INST]"}, .answer = {"", "</s>"},
    },
    [CHAT_GEMMA] = {
        .name = "gemma",
        .system = {"", "\n\n"}, .system_in_user = true,
        .user = {"<start_of_turn>user\n", "<end_of_turn>\n"},
        .answer = {"<start_of_turn>model\n", "<end_of_turn>\n"},
        .prompt = "<start_of_turn>model\n",
        .trim = TRIM_ALL,
    },
    [CHAT_PHI3] = {
        .name = "phi3",
        .system = {"<|system|>\n", "<|end|>\n"}, .user = {"<|user|>\n", "<|end|>\n"},
        .answer = {"<|assistant|>\n", "<|end|>\n"},
        .prompt = "<|assistant|>\n",
    },
    [CHAT_ZEPHYR] = {
        .name = "zephyr",
        .system = {"<|system|>\n", "</s>\n"}, .user = {"<|user|>\n", "</s>\n"},
        .answer = {"<|assistant|>\n", "</s>\n"},
        .prompt = "<|assistant|>\n",
    },
    [CHAT_DEEPSEEK_CODER] = {
        .name = "deepseek-coder",
        .system = {"", ""}, .user = {"### Instruction:\n", "\n"},
        .answer = {"### Response:\n", "\n<|EOT|>\n"},
        .prompt = "### Response:\n",
    },
    [CHAT_DEEPSEEK_V3] = {
        .name = "deepseek-v3",
        .system = {"", ""}, .user = {DS_USER, ""}, .answer = {DS_ASSISTANT, DS_END},
        .prompt = DS_ASSISTANT,
        .think = "", /* the first R1 models came with this template */
    },
    [CHAT_DEEPSEEK_R1] = {
        .name = "deepseek-r1",
        .system = {"", ""}, .user = {DS_USER, ""}, .answer = {DS_ASSISTANT, DS_END},
        .prompt = DS_ASSISTANT,
        .think = "<think>\n", .do_not_think = EMPTY_THOUGHT,
    },
};

const struct chat_style *chat_style(enum chat_family family)
{
    if (family <= CHAT_UNKNOWN || family >= CHAT_FAMILY_COUNT)
        return NULL;
    return &styles[family];
}

const char *chat_family_name(enum chat_family family)
{
    const struct chat_style *style = chat_style(family);

    return style ? style->name : NULL;
}

/* ---- detection ----------------------------------------------------------------------------- */

struct source {
    const char *text;
    size_t length;
};

static bool has(const struct source *t, const char *marker)
{
    return memmem(t->text, t->length, marker, strlen(marker)) != NULL;
}

/* Whoever can think says so, by the switch or by the tag. */
static enum chat_family detect_im(const struct source *t)
{
    if (has(t, "<|im_sep|>") || has(t, "<end_of_utterance>"))
        return CHAT_UNKNOWN; /* phi-4, SmolVLM: the same markers in another format */
    return has(t, "enable_thinking") || has(t, "<think>") ? CHAT_QWEN3 : CHAT_CHATML;
}

/* Mistral's versions differ in nothing but spaces, which their templates show. */
static enum chat_family detect_inst(const struct source *t)
{
    if (has(t, "[SYSTEM_PROMPT]"))
        return has(t, "[SYSTEM_PROMPT] ") ? CHAT_MISTRAL_V7 : CHAT_MISTRAL_V7_TEKKEN;
    if (has(t, "' [INST] ' + system_message") || has(t, "[AVAILABLE_TOOLS]")) {
        if (has(t, " [INST]"))
            return CHAT_MISTRAL_V1;
        return has(t, "\"[INST]\"") ? CHAT_MISTRAL_V3_TEKKEN : CHAT_MISTRAL_V3;
    }
    return has(t, "<<SYS>>") ? CHAT_LLAMA2 : CHAT_MISTRAL;
}

/* R1's later templates open the thought themselves; its first ones are those of V3. */
static enum chat_family detect_deepseek(const struct source *t)
{
    return has(t, DS_ASSISTANT "<think>") ? CHAT_DEEPSEEK_R1 : CHAT_DEEPSEEK_V3;
}

enum chat_family chat_detect(const char *template_text, size_t length)
{
    const struct source t = {template_text, length};

    if (!template_text)
        return CHAT_UNKNOWN;
    if (has(&t, "<|im_start|>"))
        return detect_im(&t);
    if (has(&t, "[INST]"))
        return detect_inst(&t);
    if (has(&t, "<|assistant|>") && has(&t, "<|end|>"))
        return CHAT_PHI3;
    if (has(&t, "<|assistant|>") && has(&t, "<|user|>") && has(&t, "eos_token"))
        return CHAT_ZEPHYR;
    if (has(&t, "<start_of_turn>"))
        return CHAT_GEMMA;
    if (has(&t, "### Instruction:") && has(&t, "<|EOT|>"))
        return CHAT_DEEPSEEK_CODER;
    if (has(&t, "<|start_header_id|>") && has(&t, "<|end_header_id|>"))
        return CHAT_LLAMA3;
    if (has(&t, DS_ASSISTANT) && has(&t, DS_USER) && has(&t, DS_END))
        return detect_deepseek(&t);
    return CHAT_UNKNOWN;
}
