/*
 * translate_model.c: the translator that runs a GGUF model in this process, through ashlar.h alone.
 *
 * A pool of sessions works through the items: every pass of the engine extends all busy sessions by
 * one token (or by a prompt), and one that ends takes the next item. A session keeps the common
 * beginning of its last prompt and the next, so that the shared prefix of a chat model's prompt is
 * evaluated once per session.
 *
 * Two kinds of model: one with a chat template is asked with the general prompt (prompt.h); one
 * without is a block model and is asked in its own language (model_text.h). The latter is not told
 * of failures: a repair is another sample.
 */
#include "base/os.h"
#include "lego/model_text.h"
#include "lego/prompt.h"
#include "lego/translator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As many sessions as share a pass well: eight rows cost little more than one, as the weights are
 * read once. */
enum { SESSIONS = 8, CONTEXT_MOST = 8192, TEXT_MAX = 1 << 20, ANSWER_TOKENS_MOST = 4096 };

/* What samples after the first are drawn at: rising by item. */
static const float temperatures[] = {0, 0.3f, 0.5f, 0.7f, 0.9f, 1.0f};

struct lane {
    ashlar_session *session;
    ashlar_sampler *sampler;
    int item;              /* -1: idle */
    int32_t *prompt;       /* (n_prompt), capacity n_ctx */
    size_t n_prompt, n_answer;
    int32_t next;          /* the token to append once the prompt is in */
    bool started;
    struct buf text;       /* answer so far */
};

struct model_translator {
    struct translator base;
    ashlar_engine *engine;
    const ashlar_model_info *info;
    struct prompt prompt;
    bool chat;
    struct lane lanes[SESSIONS];
    int n_lanes;
    ashlar_batch_item batch[SESSIONS];
};

/* ---- prompts ---- */

static ashlar_status chat_prompt(struct model_translator *m, const struct translation *item,
                                 struct lane *lane, ashlar_error *err)
{
    struct buf user, system;
    buf_init(&user, TEXT_MAX);
    buf_init(&system, TEXT_MAX);
    ashlar_status status = ASHLAR_OK;
    if (!prompt_fill(&m->prompt, item, &user) ||
        !buf_append(&system, m->prompt.system.text, m->prompt.system.length)) {
        status = error_memory(err, user.length + system.length, "a prompt");
    } else {
        ashlar_message messages[] = {{"system", system.data}, {"user", user.data}};
        status = ashlar_chat_tokenize(m->engine, messages, 2,
                                      ASHLAR_CHAT_PROMPT | ASHLAR_CHAT_NO_THINKING, lane->prompt,
                                      (size_t)m->info->n_ctx, &lane->n_prompt, err);
    }
    buf_fini(&user);
    buf_fini(&system);
    return status;
}

static ashlar_status block_prompt(struct model_translator *m, const struct translation *item,
                                  struct lane *lane, ashlar_error *err)
{
    struct buf text;
    buf_init(&text, TEXT_MAX);
    ashlar_status status = ASHLAR_OK;
    lane->n_prompt = 0;
    if (model_text_question(item->block, &text))
        status = ashlar_tokenize(m->engine, text.data, text.length, ASHLAR_ADD_SPECIAL,
                                 lane->prompt, (size_t)m->info->n_ctx, &lane->n_prompt, err);
    buf_fini(&text);
    return status;
}

static ashlar_status new_sampler(struct model_translator *m, const struct translation *item,
                                 struct lane *lane, ashlar_error *err)
{
    ashlar_sampler_options options;
    int most = (int)(sizeof temperatures / sizeof temperatures[0]) - 1;
    int step = item->sample + (item->previous && !m->chat ? 1 : 0);
    ashlar_sampler_options_init(&options);
    options.temperature = temperatures[step < most ? step : most];
    /* Another draw for every sample and block, the same ones in every run. */
    char digits[13];
    snprintf(digits, sizeof digits, "%.12s", item->block->key);
    options.seed = strtoull(digits, NULL, 16) * 31 + (uint64_t)item->sample;
    ashlar_sampler_free(lane->sampler);
    lane->sampler = NULL;
    return ashlar_sampler_new(m->engine, &options, &lane->sampler, err);
}

/* Gives an idle lane an item. The lane stays idle when the item cannot be asked; its note says why.
 */
static ashlar_status begin(struct model_translator *m, struct lane *lane, struct translation *items,
                           int i, ashlar_error *err)
{
    struct translation *item = &items[i];
    ashlar_status status =
        m->chat ? chat_prompt(m, item, lane, err) : block_prompt(m, item, lane, err);
    if (status != ASHLAR_OK)
        return status;
    size_t n_ctx = (size_t)m->info->n_ctx;
    if (lane->n_prompt == 0 || lane->n_prompt >= n_ctx) {
        snprintf(item->note, sizeof item->note, "%s",
                 lane->n_prompt ? "the block is longer than the model's context"
                                : "the block does not fit the model's language");
        return ASHLAR_OK;
    }
    const int32_t *held = ashlar_session_tokens(lane->session);
    size_t keep = 0, n_held = ashlar_session_length(lane->session);
    /* the last token is evaluated again in any case: its logits are wanted */
    while (keep < n_held && keep < lane->n_prompt - 1 && held[keep] == lane->prompt[keep])
        keep++;
    status = ashlar_session_rewind(lane->session, keep, err);
    if (status == ASHLAR_OK)
        status = new_sampler(m, item, lane, err);
    lane->item = i;
    lane->started = false;
    lane->n_answer = 0;
    buf_clear(&lane->text);
    return status;
}

/* ---- answers ---- */

static void end(struct model_translator *m, struct lane *lane, struct translation *items)
{
    struct translation *item = &items[lane->item];
    const char *text = lane->text.data ? lane->text.data : "", *fragment;
    size_t length;
    bool ok;
    if (m->chat) {
        prompt_extract(text, lane->text.length, &fragment, &length);
        ok = length > 0 && !memchr(fragment, '\0', length) &&
             buf_append(&item->answer, fragment, length);
    } else {
        ok = lane->text.length > 0 &&
             model_text_fragment(item->block, text, lane->text.length, &item->answer);
    }
    if (!ok)
        buf_clear(&item->answer);
    snprintf(item->note, sizeof item->note, "%s",
             ok ? m->base.name : "the answer is not in the language");
    lane->item = -1;
}

/* Draws the next token of a lane whose logits are fresh; true when the answer has ended. */
static bool draw(struct model_translator *m, struct lane *lane)
{
    int32_t id = ashlar_sampler_sample(lane->sampler, ashlar_session_logits(lane->session));
    size_t n, limit = ANSWER_TOKENS_MOST;
    bool full = ashlar_session_length(lane->session) >= (size_t)m->info->n_ctx;
    if (ashlar_token_is_end(m->engine, id) || ++lane->n_answer > limit || full)
        return true;
    const char *piece = ashlar_token_piece(m->engine, id, false, &n);
    ashlar_sampler_accept(lane->sampler, id);
    lane->next = id;
    lane->started = true;
    return !buf_append(&lane->text, piece, n);
}

/* One pass over all busy lanes. */
static ashlar_status step(struct model_translator *m, struct translation *items, ashlar_error *err)
{
    size_t n = 0;
    struct lane *busy[SESSIONS];
    for (int i = 0; i < m->n_lanes; i++) {
        struct lane *lane = &m->lanes[i];
        if (lane->item < 0)
            continue;
        size_t held = ashlar_session_length(lane->session);
        m->batch[n] = (ashlar_batch_item){
            .session = lane->session, .tokens = lane->started ? &lane->next : lane->prompt + held,
            .n_tokens = lane->started ? 1 : lane->n_prompt - held};
        busy[n++] = lane;
    }
    ashlar_status status = ashlar_batch_eval(m->engine, m->batch, n, err);
    for (size_t i = 0; i < n && status == ASHLAR_OK; i++) {
        if (draw(m, busy[i]))
            end(m, busy[i], items);
    }
    return status;
}

static ashlar_status translate(struct translator *t, struct translation *items, int n,
                               ashlar_error *err)
{
    struct model_translator *m = (struct model_translator *)t;
    int next = 0, busy = 1;
    for (int i = 0; i < n; i++)
        buf_clear(&items[i].answer);
    for (int i = 0; i < m->n_lanes; i++)
        m->lanes[i].item = -1;
    while (busy) {
        busy = 0;
        for (int i = 0; i < m->n_lanes; i++) {
            while (m->lanes[i].item < 0 && next < n) {
                ashlar_status status = begin(m, &m->lanes[i], items, next++, err);
                if (status != ASHLAR_OK)
                    return status;
            }
            busy += m->lanes[i].item >= 0;
        }
        if (t->stopped && t->stopped())
            return error_set(err, ASHLAR_CANCELLED, "interrupted");
        ashlar_status status = busy ? step(m, items, err) : ASHLAR_OK;
        if (status != ASHLAR_OK)
            return status;
    }
    return ASHLAR_OK;
}

/* ---- opening ---- */

/* "granularity: NAME" in the model's card. */
static enum granularity card_granularity(const char *path)
{
    char card[4096];
    struct buf text;
    enum granularity found = GRANULARITY_STATEMENT;
    size_t n = strlen(path);
    n -= n > 5 && strcmp(path + n - 5, ".gguf") == 0 ? 5 : 0;
    if (snprintf(card, sizeof card, "%.*s.md", (int)n, path) >= (int)sizeof card)
        return found;
    buf_init(&text, TEXT_MAX);
    static const char mark[] = "granularity: ";
    const char *at = os_read_file(card, &text, NULL) == ASHLAR_OK && text.length
                         ? strstr(text.data, mark)
                         : NULL;
    for (int g = GRANULARITY_OPERATION; at && g <= GRANULARITY_FUNCTION; g++) {
        const char *name = granularity_name((enum granularity)g);
        if (strncmp(at + sizeof mark - 1, name, strlen(name)) == 0)
            found = (enum granularity)g;
    }
    buf_fini(&text);
    return found;
}

static void close_model(struct translator *t)
{
    struct model_translator *m = (struct model_translator *)t;
    for (int i = 0; i < m->n_lanes; i++) {
        ashlar_sampler_free(m->lanes[i].sampler);
        ashlar_session_close(m->lanes[i].session);
        free(m->lanes[i].prompt);
        buf_fini(&m->lanes[i].text);
    }
    ashlar_engine_close(m->engine);
    prompt_close(&m->prompt);
    free(m);
}

static ashlar_status open_lanes(struct model_translator *m, ashlar_error *err)
{
    size_t n_ctx = (size_t)m->info->n_ctx;
    ashlar_status status = ASHLAR_OK;
    while (m->n_lanes < SESSIONS && status == ASHLAR_OK) {
        struct lane *lane = &m->lanes[m->n_lanes++];
        buf_init(&lane->text, TEXT_MAX);
        lane->prompt = calloc(n_ctx, sizeof *lane->prompt);
        status = lane->prompt ? ashlar_session_open(m->engine, &lane->session, err)
                              : error_memory(err, n_ctx * sizeof *lane->prompt, "a prompt");
    }
    return status;
}

/* The engine at its training length, or again shorter when that is long: 8 sessions are to fit. */
static ashlar_status open_engine(struct model_translator *m, const char *path, int threads,
                                 ashlar_error *err)
{
    ashlar_options options;
    ashlar_options_init(&options);
    options.n_threads = threads;
    options.n_sessions = SESSIONS;
    options.n_ctx = CONTEXT_MOST;
    ashlar_status status = ashlar_engine_open(path, &options, &m->engine, err);
    if (status != ASHLAR_OK)
        return status;
    m->info = ashlar_engine_info(m->engine);
    if (m->info->n_ctx_train < CONTEXT_MOST) {
        ashlar_engine_close(m->engine);
        options.n_ctx = 0;
        status = ashlar_engine_open(path, &options, &m->engine, err);
    }
    if (status == ASHLAR_OK)
        m->info = ashlar_engine_info(m->engine);
    return status;
}

ashlar_status translator_model_open(const char *path, int threads, const char *prompt,
                                    struct translator **out, ashlar_error *err)
{
    *out = NULL;
    struct model_translator *m = calloc(1, sizeof *m);
    if (!m)
        return error_memory(err, sizeof *m, "the model translator");
    m->base = (struct translator){.kind = "model",
                                  .good_at = card_granularity(path),
                                  .at_once = SESSIONS,
                                  .translate = translate,
                                  .close = close_model};
    const char *slash = strrchr(path, '/');
    snprintf(m->base.name, sizeof m->base.name, "%s", slash ? slash + 1 : path);
    ashlar_status status = open_engine(m, path, threads, err);
    if (status == ASHLAR_OK) {
        m->chat = m->info->chat_template != NULL;
        status = m->chat ? prompt_open(prompt, &m->prompt, err) : ASHLAR_OK;
    }
    if (status == ASHLAR_OK)
        status = open_lanes(m, err);
    if (status != ASHLAR_OK) {
        close_model(&m->base);
        return status;
    }
    *out = &m->base;
    return ASHLAR_OK;
}
