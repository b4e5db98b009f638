/*
 * generate.c: the generation loop; see generate.h.
 *
 * A token's bytes pass three stages before they are printed: the UTF-8 stream (whole characters
 * only), the stop filter (no beginning of a stop string), the descriptor. All buffers are taken at
 * init or grow to a plateau; the loop itself allocates nothing.
 *
 * Invariant: a cancel request that arrives when nothing is being evaluated stops the next
 * evaluation. If the user had not asked for that one to stop (interrupt_seen is false), the request
 * is stale and the evaluation is continued.
 */
#include "cli/generate.h"

#include "base/mem.h"
#include "base/os.h"
#include "base/output.h"
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 1 << 30, FIRST_PIECE = 512 };

const char *stop_reason_name(enum stop_reason reason)
{
    static const char *const names[] = {
        [STOP_END] = "end",         [STOP_LENGTH] = "length",       [STOP_STRING] = "stop",
        [STOP_CONTEXT] = "context", [STOP_INTERRUPT] = "interrupt",
    };
    return names[reason];
}

static bool reserve_piece(struct generator *g, size_t n)
{
    if (n <= g->piece_capacity)
        return true;
    char *p = realloc(g->piece, n);
    if (!p)
        return false;
    g->piece = p;
    g->piece_capacity = n;
    return true;
}

ashlar_status generator_init(struct generator *g, ashlar_engine *engine,
                             const struct generator_options *options, ashlar_error *err)
{
    size_t n_ctx = (size_t)ashlar_engine_info(engine)->n_ctx;

    memset(g, 0, sizeof *g);
    g->engine = engine;
    g->max_tokens = options->max_tokens;
    g->out_fd = options->out_fd;
    stop_init(&g->stops, options->stops, options->n_stops);
    buf_init(&g->text, TEXT_MAX);
    buf_init(&g->fresh, TEXT_MAX);
    g->ids = mem_array(n_ctx + 1, sizeof *g->ids);
    if (!g->ids || !reserve_piece(g, FIRST_PIECE))
        return error_memory(err, n_ctx * sizeof *g->ids, "generated tokens");
    ashlar_status status = ashlar_sampler_new(engine, &options->sampler, &g->sampler, err);
    if (status != ASHLAR_OK)
        return status;
    return ashlar_session_open(engine, &g->session, err);
}

void generator_fini(struct generator *g)
{
    ashlar_session_close(g->session);
    ashlar_sampler_free(g->sampler);
    stop_fini(&g->stops);
    buf_fini(&g->text);
    buf_fini(&g->fresh);
    free(g->piece);
    free(g->ids);
    memset(g, 0, sizeof *g);
}

/* Append to the session, past stale cancel requests. */
static ashlar_status append(struct generator *g, const int32_t *ids, size_t n, ashlar_error *err)
{
    for (;;) {
        size_t before = ashlar_session_length(g->session);
        ashlar_status status = ashlar_session_append(g->session, ids, n, err);
        if (status != ASHLAR_CANCELLED || interrupt_seen())
            return status;
        size_t done = ashlar_session_length(g->session) - before;
        if (done >= n)
            return status;
        ids += done;
        n -= done;
    }
}

/* Give `fresh` to the reader and to the kept text. */
static ashlar_status pass_on(struct generator *g, ashlar_error *err)
{
    ashlar_status status = ASHLAR_OK;

    if (g->fresh.length == 0 && !g->fresh.failed && !g->stops.held.failed)
        return ASHLAR_OK;
    if (g->fresh.failed || g->stops.held.failed ||
        !buf_append(&g->text, g->fresh.data, g->fresh.length))
        return error_memory(err, g->text.length, "generated text");
    if (g->out_fd >= 0 && g->fresh.length > 0)
        status = output_bytes(g->out_fd, g->fresh.data, g->fresh.length, "standard output", err);
    buf_clear(&g->fresh);
    return status;
}

static ashlar_status emit_token(struct generator *g, int32_t id, ashlar_error *err)
{
    size_t n;
    const char *bytes = ashlar_token_piece(g->engine, id, false, &n);

    if (!reserve_piece(g, n + 4))
        return error_memory(err, n + 4, "a token's text");
    if (n == 0) /* a control token; length 0 would flush the stream */
        return ASHLAR_OK;
    n = ashlar_utf8_push(&g->utf8, bytes, n, g->piece);
    stop_push(&g->stops, g->piece, n, &g->fresh);
    return pass_on(g, err);
}

/* The text has ended: what the stages hold back comes out. */
static ashlar_status emit_end(struct generator *g, ashlar_error *err)
{
    size_t n = ashlar_utf8_push(&g->utf8, "", 0, g->piece);

    stop_push(&g->stops, g->piece, n, &g->fresh);
    stop_flush(&g->stops, &g->fresh);
    return pass_on(g, err);
}

/* Bring the session to exactly `prompt`, with logits of its last token. */
static ashlar_status prefill(struct generator *g, const int32_t *prompt, size_t n,
                             struct generation *result, ashlar_error *err)
{
    const int32_t *held = ashlar_session_tokens(g->session);
    size_t keep = 0, n_held = ashlar_session_length(g->session);
    size_t n_ctx = (size_t)ashlar_engine_info(g->engine)->n_ctx;

    result->n_prompt = n;
    if (n > n_ctx) {
        error_set(err, ASHLAR_NO_RESOURCE, "the prompt has %zu tokens, the context %zu", n, n_ctx);
        error_hint(err, "give --ctx %zu or more, or a shorter prompt", n + 256);
        return ASHLAR_NO_RESOURCE;
    }
    while (keep < n_held && keep < n - 1 && held[keep] == prompt[keep])
        keep++;
    ashlar_status status = ashlar_session_rewind(g->session, keep, err);
    if (status != ASHLAR_OK)
        return status;
    result->n_prefill = n - keep;
    double start = os_time_seconds();
    status = append(g, prompt + keep, n - keep, err);
    result->prefill_s = os_time_seconds() - start;
    return status;
}

/* Sample, print and evaluate until *reason is known. */
static ashlar_status decode(struct generator *g, struct generation *result, ashlar_error *err)
{
    size_t n_ctx = (size_t)ashlar_engine_info(g->engine)->n_ctx;
    size_t limit = g->max_tokens < 0 ? SIZE_MAX : (size_t)g->max_tokens;
    ashlar_status status;

    for (;;) {
        result->reason = STOP_LENGTH;
        if (result->n_generated >= limit)
            return ASHLAR_OK;
        result->reason = STOP_INTERRUPT;
        if (interrupt_seen())
            return ASHLAR_OK;
        int32_t id = ashlar_sampler_sample(g->sampler, ashlar_session_logits(g->session));
        result->reason = STOP_END;
        if (ashlar_token_is_end(g->engine, id))
            return ASHLAR_OK;
        ashlar_sampler_accept(g->sampler, id);
        g->ids[result->n_generated++] = id;
        status = emit_token(g, id, err);
        result->reason = STOP_STRING;
        if (status != ASHLAR_OK || g->stops.matched)
            return status;
        result->reason = STOP_CONTEXT;
        if (ashlar_session_length(g->session) >= n_ctx)
            return ASHLAR_OK;
        if (result->n_generated < limit) {
            status = append(g, &id, 1, err);
            if (status != ASHLAR_OK)
                return status;
            result->n_decode++;
        }
    }
}

ashlar_status generate(struct generator *g, const int32_t *prompt, size_t n,
                       struct generation *result, ashlar_error *err)
{
    memset(result, 0, sizeof *result);
    memset(&g->utf8, 0, sizeof g->utf8);
    stop_reset(&g->stops);
    buf_clear(&g->text);
    buf_clear(&g->fresh);

    ashlar_status status = prefill(g, prompt, n, result, err);
    if (status == ASHLAR_OK) {
        for (size_t i = 0; i < n; i++)
            ashlar_sampler_accept(g->sampler, prompt[i]);
        double start = os_time_seconds();
        status = decode(g, result, err);
        result->decode_s = os_time_seconds() - start;
    }
    if (status == ASHLAR_CANCELLED) {
        result->reason = STOP_INTERRUPT;
        status = ASHLAR_OK;
    }
    return status == ASHLAR_OK ? emit_end(g, err) : status;
}
