/*
 * chat.h: chat templates. The Jinja text in a GGUF file is recognised as one of the common families
 * by the markers it contains; the family's format is then written by us. Text is made of segments:
 * markers (parsed as control tokens) and contents (never parsed): a user cannot forge turns.
 *
 * A rendered text does not start with BOS: the tokenizer adds it where the model wants it
 * (tokenizer_encode_segments with ASHLAR_ADD_SPECIAL).
 */
#ifndef MODEL_CHAT_H
#define MODEL_CHAT_H

#include "ashlar.h"
#include "base/buf.h"

enum chat_family {
    CHAT_UNKNOWN,
    CHAT_CHATML,
    CHAT_QWEN3,             /* ChatML that can think first */
    CHAT_LLAMA2,
    CHAT_LLAMA3,
    CHAT_MISTRAL,           /* [INST] without anything that tells the version */
    CHAT_MISTRAL_V1,
    CHAT_MISTRAL_V3,
    CHAT_MISTRAL_V3_TEKKEN,
    CHAT_MISTRAL_V7,
    CHAT_MISTRAL_V7_TEKKEN,
    CHAT_GEMMA,
    CHAT_PHI3,
    CHAT_ZEPHYR,            /* TinyLlama */
    CHAT_DEEPSEEK_CODER,    /* ### Instruction: */
    CHAT_DEEPSEEK_V3,       /* turns marked by tokens with full-width bars */
    CHAT_DEEPSEEK_R1,       /* as V3, thinks first */
    CHAT_FAMILY_COUNT
};

enum chat_family chat_detect(const char *template_text, size_t length);
const char *chat_family_name(enum chat_family family); /* "chatml", ...; NULL for CHAT_UNKNOWN */

struct chat_segment {
    size_t offset, length; /* in the rendered text */
    bool marker;           /* parse control tokens in it */
};

/** Segments are in order, not empty, and together the whole text. */
struct chat_text {
    struct buf text;
    struct chat_segment *segments;
    size_t n_segments, capacity;
};

/**
 * Append the conversation to `out`, freshly initialised; flags ASHLAR_CHAT_*. Thoughts in earlier
 * answers are left out where the family's template does so.
 * Errors: BAD_INPUT (CHAT_UNKNOWN; a role that is not system, user or assistant; an order of roles
 * that the family cannot express), NO_RESOURCE. After a failure `out` is only good for
 * chat_text_fini.
 */
ashlar_status chat_render(enum chat_family family, const ashlar_message *messages,
                          size_t n_messages, unsigned flags, struct chat_text *out,
                          ashlar_error *err);
void chat_text_init(struct chat_text *text);
void chat_text_fini(struct chat_text *text);

#endif
