/* text.c: the public face of tokenizer and chat templates. */
#include "engine/engine.h"
#include "model/utf8.h"

ashlar_status ashlar_tokenize(const ashlar_engine *e, const char *text, size_t length,
                              unsigned flags, int32_t *tokens, size_t capacity, size_t *n_tokens,
                              ashlar_error *err)
{
    return tokenizer_encode(e->tokenizer, text, length, flags, tokens, capacity, n_tokens, err);
}

const char *ashlar_token_piece(const ashlar_engine *e, int32_t token, bool special, size_t *length)
{
    return tokenizer_piece(e->tokenizer, token, special, length);
}

bool ashlar_token_is_end(const ashlar_engine *e, int32_t token)
{
    return tokenizer_is_end(e->tokenizer, token);
}

size_t ashlar_utf8_push(ashlar_utf8_stream *stream, const char *bytes, size_t length, char *out)
{
    return utf8_stream_push(stream, bytes, length, out);
}

ashlar_status ashlar_chat_tokenize(const ashlar_engine *e, const ashlar_message *messages,
                                   size_t n_messages, unsigned flags, int32_t *tokens,
                                   size_t capacity, size_t *n_tokens, ashlar_error *err)
{
    *n_tokens = 0;
    if (e->chat == CHAT_UNKNOWN) {
        struct gguf_string text;
        bool has = gguf_get_string(e->model->gguf, "tokenizer.chat_template", &text, NULL) ==
                       ASHLAR_OK && text.data;
        error_set(err, ASHLAR_BAD_INPUT, "%s: %s", gguf_path(e->model->gguf),
                  has ? "its chat template is of no known family" : "it has no chat template");
        error_hint(err, "use the model as plain text (--raw)");
        return ASHLAR_BAD_INPUT;
    }
    struct chat_text chat;
    chat_text_init(&chat);
    ashlar_status status = chat_render(e->chat, messages, n_messages, flags, &chat, err);
    if (status == ASHLAR_OK)
        status = tokenizer_encode_segments(e->tokenizer, chat.text.data, chat.text.length,
                                           chat.segments, chat.n_segments, ASHLAR_ADD_SPECIAL,
                                           tokens, capacity, n_tokens, err);
    chat_text_fini(&chat);
    return status;
}
