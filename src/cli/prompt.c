/*
 * prompt.c: measure, allocate, fill; see prompt.h.
 */
#include "cli/prompt.h"

#include "base/error.h"
#include "base/mem.h"

#include <stdlib.h>

ashlar_status prompt_raw(const ashlar_engine *engine, const char *text, size_t length,
                         struct prompt *out, ashlar_error *err)
{
    const unsigned flags = ASHLAR_ADD_SPECIAL | ASHLAR_PARSE_SPECIAL;
    int32_t bos = ashlar_engine_info(engine)->bos;

    out->ids = NULL;
    ashlar_status status = ashlar_tokenize(engine, text, length, flags, NULL, 0, &out->n, err);
    if (status != ASHLAR_OK)
        return status;
    if (out->n == 0 && bos < 0) {
        error_set(err, ASHLAR_BAD_INPUT, "the prompt is empty");
        error_hint(err, "this model has no token that begins a text; give it some");
        return ASHLAR_BAD_INPUT;
    }
    out->ids = mem_array(out->n + 1, sizeof *out->ids);
    if (!out->ids)
        return error_memory(err, out->n * sizeof *out->ids, "the prompt's tokens");
    if (out->n == 0) {
        out->ids[out->n++] = bos;
        return ASHLAR_OK;
    }
    return ashlar_tokenize(engine, text, length, flags, out->ids, out->n, &out->n, err);
}

ashlar_status prompt_chat(const ashlar_engine *engine, const ashlar_message *messages, size_t n,
                          unsigned flags, struct prompt *out, ashlar_error *err)
{
    flags |= ASHLAR_CHAT_PROMPT;
    out->ids = NULL;
    ashlar_status status =
        ashlar_chat_tokenize(engine, messages, n, flags, NULL, 0, &out->n, err);
    if (status != ASHLAR_OK)
        return status;
    out->ids = mem_array(out->n, sizeof *out->ids);
    if (!out->ids)
        return error_memory(err, out->n * sizeof *out->ids, "the prompt's tokens");
    return ashlar_chat_tokenize(engine, messages, n, flags, out->ids, out->n, &out->n, err);
}
