/*
 * translate_http.c: the translator that asks OpenAI-compatible endpoints (vLLM, SGLang, llama.cpp,
 * hosted ones).
 *
 * One thread and curl's multi interface: at most `jobs` requests are in flight over all endpoints;
 * each next item goes to the endpoint with the fewest. What may pass (429, 408, 5xx, a timeout, no
 * connection) is tried again later, elsewhere if possible; what will not pass (401, 404, ...) is
 * not, and while nothing was ever answered it ends the batch, since the next thousand blocks would
 * fail alike.
 *
 * Replies are untrusted: bounded in size, parsed as JSON, reduced to text. The key stays in one
 * header and is cut out of everything that is reported.
 */
#include "base/os.h"
#include "lego/json_line.h"
#include "lego/prompt.h"
#include "lego/translator.h"
#include "lego/translate_http.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* POLL_MS: how soon an interrupt is noticed. RETRY_AFTER_MAX, seconds: what a server may ask for
 * at most, so that a wrong answer does not stop a build for an hour. */
enum {
    REPLY_MAX = 4 << 20, BODY_MAX = 16 << 20, JOBS_MAX = 256, ENDPOINTS_MAX = 16, POLL_MS = 100,
    CONNECT_SECONDS = 20, RETRY_AFTER_MAX = 120
};

struct http;

/* A place for one request in flight. */
struct slot {
    CURL *easy;
    int item;          /* index in the batch; -1: free */
    int endpoint;
    struct buf body, reply;
};

/* What is known of an item of the batch. */
struct waiting {
    int attempts, last_endpoint;
    double not_before;
    enum { WAITING, IN_FLIGHT, ANSWERED, GIVEN_UP } state;
};

/* base comes first: a translator's pointer is one to its struct http. */
struct http {
    struct translator base;
    struct http_options options;
    char *urls[ENDPOINTS_MAX];
    int in_flight[ENDPOINTS_MAX];
    struct curl_slist *headers;
    char *key;
    struct prompt prompt;
    CURLM *multi;
    struct slot *slots; /* (options.jobs) */
    bool ever_answered;
    char *model;
};

/* One call of translate. */
struct batch {
    struct http *http;
    struct translation *items;
    struct waiting *waiting; /* (n) */
    int n, open;
    char first_failure[128];
    bool hopeless; /* nothing was ever answered, and this cannot be mended by trying again */
};

void http_options_init(struct http_options *options)
{
    *options = (struct http_options){.jobs = 8,
                                     .retries = 4,
                                     .temperature = 0.8f,
                                     .max_tokens = 4096,
                                     .timeout_seconds = 600,
                                     .backoff_seconds = 1};
}

/* ---- replies ---- */

/* choices[0].message.content. A finish_reason of "length": the answer ends where max_tokens did. */
static const char *content_of(const json_t *reply, size_t *length, bool *cut)
{
    const json_t *choice = json_array_get(json_object_get(reply, "choices"), 0);
    const char *reason = json_line_get(choice, "finish_reason", NULL);
    *cut = reason && strcmp(reason, "length") == 0;
    return json_line_get(json_object_get(choice, "message"), "content", length);
}

bool http_reply_read(const char *bytes, size_t n, struct buf *answer, char note[128])
{
    json_error_t why;
    json_t *reply = json_loadb(bytes, n, JSON_ALLOW_NUL, &why);
    size_t length = 0, fragment_length = 0;
    bool cut = false;
    const char *content = reply ? content_of(reply, &length, &cut) : NULL;
    bool ok = false;

    if (content) {
        const char *fragment;
        prompt_extract(content, length, &fragment, &fragment_length);
        /* fragments are terminated strings further on */
        ok = fragment_length > 0 && !memchr(fragment, '\0', fragment_length) &&
             buf_append(answer, fragment, fragment_length);
        snprintf(note, 128, "%s", ok ? "" : cut ? "the answer was cut off at the token limit"
                                                : "the answer holds no code");
    } else {
        snprintf(note, 128, "%s", reply ? "the reply holds no message" : "the reply is not JSON");
    }
    json_decref(reply);
    return ok;
}

/* "HTTP 429: what the server says", one line; `key` (may be NULL) is blotted out. */
void http_error_read(long status, const char *bytes, size_t n, const char *key, char note[128])
{
    json_error_t why;
    json_t *reply = n ? json_loadb(bytes, n, 0, &why) : NULL;
    const json_t *error = json_object_get(reply, "error");
    const char *said =
        json_is_string(error) ? json_string_value(error) : json_line_get(error, "message", NULL);
    if (!said)
        said = json_line_get(reply, "message", NULL);
    char text[1024];
    snprintf(text, sizeof text, "%s", said ? said : "");
    size_t key_length = key ? strlen(key) : 0;
    for (char *hit = text; key_length && (hit = strstr(hit, key)); hit += key_length)
        memset(hit, '*', key_length);
    for (char *p = text; *p; p++) {
        if ((unsigned char)*p < 0x20)
            *p = ' ';
    }
    snprintf(note, 128, "HTTP %ld%s%.100s", status, text[0] ? ": " : "", text);
    json_decref(reply);
}

/* ---- requests ---- */

/* Fewer bytes than given: curl ends the transfer. So a reply cannot grow beyond REPLY_MAX. */
static size_t receive(char *bytes, size_t size, size_t n, void *user)
{
    struct slot *slot = user;
    return buf_append(&slot->reply, bytes, size * n) ? size * n : 0;
}

static json_t *message(const char *role, const char *text, size_t length)
{
    return json_pack("{s:s, s:o}", "role", role, "content", json_line_text(text, length));
}

static bool write_body(const struct http *h, const struct translation *item, struct buf *body)
{
    struct buf user;
    buf_init(&user, BODY_MAX);
    buf_clear(body);
    bool ok = prompt_fill(&h->prompt, item, &user);
    /* the first answer is the likeliest one; variety is for those after it */
    float temperature = item->sample == 0 ? 0 : h->options.temperature;
    json_t *request =
        !ok ? NULL
            : json_pack("{s:s, s:[o, o], s:f, s:i, s:b}", "model", h->model, "messages",
                        message("system", h->prompt.system.text, h->prompt.system.length),
                        message("user", user.data ? user.data : "", user.length), "temperature",
                        (double)temperature, "max_tokens", h->options.max_tokens, "stream", 0);
    json_line_append(body, request);
    buf_fini(&user);
    return !body->failed;
}

/* The endpoint with the fewest requests; the one that just failed only when it is alone. */
static int choose_endpoint(const struct http *h, int avoid)
{
    int best = -1;
    for (int i = 0; i < h->options.n_endpoints; i++) {
        if (i == avoid && h->options.n_endpoints > 1)
            continue;
        if (best < 0 || h->in_flight[i] < h->in_flight[best])
            best = i;
    }
    return best;
}

static ashlar_status send_item(struct batch *b, struct slot *slot, int item, ashlar_error *err)
{
    struct http *h = b->http;
    struct waiting *w = &b->waiting[item];
    if (!write_body(h, &b->items[item], &slot->body))
        return error_memory(err, slot->body.length, "a request");
    buf_clear(&slot->reply);
    slot->item = item;
    slot->endpoint = choose_endpoint(h, w->last_endpoint);
    w->last_endpoint = slot->endpoint;
    w->state = IN_FLIGHT;
    w->attempts++;
    curl_easy_setopt(slot->easy, CURLOPT_URL, h->urls[slot->endpoint]);
    curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDS, slot->body.data);
    curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)slot->body.length);
    CURLMcode code = curl_multi_add_handle(h->multi, slot->easy);
    if (code != CURLM_OK) {
        slot->item = -1;
        return error_set(err, ASHLAR_FAILED, "cannot start a request: %s",
                         curl_multi_strerror(code));
    }
    h->in_flight[slot->endpoint]++;
    return ASHLAR_OK;
}

static void release(struct http *h, struct slot *slot)
{
    curl_multi_remove_handle(h->multi, slot->easy);
    h->in_flight[slot->endpoint]--;
    slot->item = -1;
}

/* Worth another try: overload, conflicts, the server's own errors, and what happens to
 * connections. */
static bool may_pass(CURLcode code, long status)
{
    if (code == CURLE_OK)
        return status == 408 || status == 409 || status == 429 || status >= 500;
    return code == CURLE_OPERATION_TIMEDOUT || code == CURLE_COULDNT_CONNECT ||
           code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR || code == CURLE_GOT_NOTHING ||
           code == CURLE_PARTIAL_FILE || code == CURLE_COULDNT_RESOLVE_HOST ||
           code == CURLE_HTTP2 || code == CURLE_HTTP2_STREAM;
}

static void give_up(struct batch *b, int item)
{
    struct translation *t = &b->items[item];
    b->waiting[item].state = GIVEN_UP;
    b->open--;
    buf_clear(&t->answer);
    if (!b->first_failure[0])
        snprintf(b->first_failure, sizeof b->first_failure, "%s", t->note);
}

/* Later: 1, 2, 4, ... times the backoff, or what the server asked for. */
static void postpone(struct batch *b, struct slot *slot)
{
    struct waiting *w = &b->waiting[slot->item];
    curl_off_t asked = 0;
    curl_easy_getinfo(slot->easy, CURLINFO_RETRY_AFTER, &asked);
    double wait =
        b->http->options.backoff_seconds * (double)(1 << (w->attempts < 7 ? w->attempts - 1 : 6));
    if ((double)asked > wait)
        wait = asked < RETRY_AFTER_MAX ? (double)asked : RETRY_AFTER_MAX;
    w->not_before = os_time_seconds() + wait;
    w->state = WAITING;
}

static void finish(struct batch *b, struct slot *slot, CURLcode code)
{
    struct http *h = b->http;
    struct translation *item = &b->items[slot->item];
    struct waiting *w = &b->waiting[slot->item];
    long status = 0;
    curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status);
    bool answered = code == CURLE_OK && status == 200;

    if (answered) {
        h->ever_answered = true;
        buf_clear(&item->answer);
        bool ok = http_reply_read(slot->reply.data ? slot->reply.data : "", slot->reply.length,
                                  &item->answer, item->note);
        if (ok)
            snprintf(item->note, sizeof item->note, "%s", h->base.name);
        w->state = ANSWERED;
        b->open--;
    } else {
        if (code == CURLE_OK)
            http_error_read(status, slot->reply.data, slot->reply.length, h->key, item->note);
        else
            snprintf(item->note, sizeof item->note, "%s",
                     slot->reply.failed ? "the reply is too long" : curl_easy_strerror(code));
        bool again = may_pass(code, status) && !slot->reply.failed;
        /* of one request: too long, or with something that this server refuses; others may pass */
        bool too_much = code == CURLE_OK && (status == 400 || status == 413 || status == 422);
        b->hopeless |= !again && !too_much && !slot->reply.failed && !h->ever_answered;
        if (again && w->attempts <= h->options.retries)
            postpone(b, slot);
        else
            give_up(b, slot->item);
    }
    release(h, slot);
}

/* Fills free slots with items whose time has come. */
static ashlar_status start_some(struct batch *b, ashlar_error *err)
{
    struct http *h = b->http;
    double now = os_time_seconds();
    int item = 0;
    for (int s = 0; s < h->options.jobs; s++) {
        if (h->slots[s].item >= 0)
            continue;
        while (item < b->n &&
               (b->waiting[item].state != WAITING || b->waiting[item].not_before > now))
            item++;
        if (item == b->n)
            break;
        ashlar_status status = send_item(b, &h->slots[s], item, err);
        if (status != ASHLAR_OK)
            return status;
    }
    return ASHLAR_OK;
}

static void finish_some(struct batch *b)
{
    struct http *h = b->http;
    CURLMsg *news;
    int left;
    while ((news = curl_multi_info_read(h->multi, &left))) {
        if (news->msg != CURLMSG_DONE)
            continue;
        CURLcode code = news->data.result;
        for (int s = 0; s < h->options.jobs; s++) {
            if (h->slots[s].item >= 0 && h->slots[s].easy == news->easy_handle) {
                finish(b, &h->slots[s], code);
                break;
            }
        }
    }
}

static ashlar_status run(struct batch *b, ashlar_error *err)
{
    struct http *h = b->http;
    while (b->open > 0 && !b->hopeless) {
        int running;
        if (h->base.stopped && h->base.stopped())
            return error_set(err, ASHLAR_CANCELLED, "interrupted");
        ashlar_status status = start_some(b, err);
        if (status != ASHLAR_OK)
            return status;
        CURLMcode code = curl_multi_perform(h->multi, &running);
        if (code == CURLM_OK)
            code = curl_multi_poll(h->multi, NULL, 0, POLL_MS, NULL);
        if (code != CURLM_OK)
            return error_set(err, ASHLAR_FAILED, "waiting for replies: %s",
                             curl_multi_strerror(code));
        finish_some(b);
    }
    return ASHLAR_OK;
}

static ashlar_status translate(struct translator *t, struct translation *items, int n,
                               ashlar_error *err)
{
    struct http *h = (struct http *)t;
    struct batch b = {.http = h, .items = items, .n = n, .open = n};
    b.waiting = calloc((size_t)n + 1, sizeof *b.waiting);
    if (!b.waiting)
        return error_memory(err, (size_t)n * sizeof *b.waiting, "requests");
    for (int i = 0; i < n; i++) {
        b.waiting[i].last_endpoint = -1;
        snprintf(items[i].note, sizeof items[i].note, "not asked");
        buf_clear(&items[i].answer);
    }
    ashlar_status status = run(&b, err);
    int answered = 0;
    for (int s = 0; s < h->options.jobs; s++) {
        if (h->slots[s].item >= 0)
            release(h, &h->slots[s]);
    }
    for (int i = 0; i < n; i++)
        answered += b.waiting[i].state == ANSWERED;
    if (status == ASHLAR_OK && n > 0 && answered == 0)
        status = error_set(err, ASHLAR_FAILED, "%s: %s", h->options.endpoints[0], b.first_failure);
    free(b.waiting);
    return status;
}

/* ---- opening ---- */

static void close_http(struct translator *t)
{
    struct http *h = (struct http *)t;
    for (int i = 0; h->slots && i < h->options.jobs; i++) {
        curl_easy_cleanup(h->slots[i].easy);
        buf_fini(&h->slots[i].body);
        buf_fini(&h->slots[i].reply);
    }
    free(h->slots);
    if (h->multi)
        curl_multi_cleanup(h->multi);
    curl_slist_free_all(h->headers);
    for (int i = 0; i < h->options.n_endpoints; i++)
        free(h->urls[i]);
    if (h->key)
        explicit_bzero(h->key, strlen(h->key));
    free(h->key);
    free(h->model);
    prompt_close(&h->prompt);
    free(h);
}

static ashlar_status check(const struct http_options *o, ashlar_error *err)
{
    if (o->n_endpoints < 1 || o->n_endpoints > ENDPOINTS_MAX)
        return error_set(err, ASHLAR_USAGE, "the http translator needs 1 to %d endpoints",
                         ENDPOINTS_MAX);
    if (!o->model)
        return error_set(err, ASHLAR_USAGE, "the http translator needs a model's name");
    if (o->jobs < 1 || o->jobs > JOBS_MAX)
        return error_set(err, ASHLAR_USAGE, "requests at once: 1 to %d", JOBS_MAX);
    for (int i = 0; i < o->n_endpoints; i++) {
        if (strncmp(o->endpoints[i], "http://", 7) != 0 &&
            strncmp(o->endpoints[i], "https://", 8) != 0)
            return error_set(err, ASHLAR_USAGE,
                             "endpoint '%s' is not an http:// or https:// address",
                             o->endpoints[i]);
    }
    return ASHLAR_OK;
}

/* The key from its variable into the one header that carries it. */
static ashlar_status take_key(struct http *h, ashlar_error *err)
{
    const char *key = h->options.key_variable ? getenv(h->options.key_variable) : NULL;
    if (h->options.key_variable && (!key || !key[0]))
        return error_set(err, ASHLAR_USAGE, "the environment variable %s (the key) is not set",
                         h->options.key_variable);
    h->headers = curl_slist_append(NULL, "Content-Type: application/json");
    if (!h->headers)
        return error_memory(err, 64, "a request");
    if (!key)
        return ASHLAR_OK;
    if (strpbrk(key, "\r\n"))
        return error_set(err, ASHLAR_USAGE, "the key in %s holds a line break",
                         h->options.key_variable);
    char *header = NULL;
    h->key = strdup(key);
    int n = asprintf(&header, "Authorization: Bearer %s", key);
    struct curl_slist *longer = n > 0 ? curl_slist_append(h->headers, header) : NULL;
    /* the copy in `longer` is curl's; ours holds the key and goes at once */
    if (n > 0) {
        explicit_bzero(header, (size_t)n);
        free(header);
    }
    if (!h->key || !longer)
        return error_memory(err, strlen(key), "a request");
    h->headers = longer;
    return ASHLAR_OK;
}

static ashlar_status make_urls(struct http *h, ashlar_error *err)
{
    for (int i = 0; i < h->options.n_endpoints; i++) {
        const char *base = h->options.endpoints[i];
        int n = (int)strlen(base);
        while (n && base[n - 1] == '/')
            n--;
        if (asprintf(&h->urls[i], "%.*s/chat/completions", n, base) < 0) {
            h->urls[i] = NULL;
            return error_memory(err, (size_t)n, "an address");
        }
    }
    return ASHLAR_OK;
}

static ashlar_status make_slots(struct http *h, ashlar_error *err)
{
    h->multi = curl_multi_init();
    h->slots = calloc((size_t)h->options.jobs, sizeof *h->slots);
    if (!h->multi || !h->slots)
        return error_memory(err, (size_t)h->options.jobs * sizeof *h->slots, "requests");
    for (int i = 0; i < h->options.jobs; i++) {
        struct slot *slot = &h->slots[i];
        slot->item = -1;
        buf_init(&slot->body, BODY_MAX);
        buf_init(&slot->reply, REPLY_MAX);
        slot->easy = curl_easy_init();
        if (!slot->easy)
            return error_memory(err, sizeof *slot, "requests");
        curl_easy_setopt(slot->easy, CURLOPT_HTTPHEADER, h->headers);
        curl_easy_setopt(slot->easy, CURLOPT_WRITEFUNCTION, receive);
        curl_easy_setopt(slot->easy, CURLOPT_WRITEDATA, slot);
        curl_easy_setopt(slot->easy, CURLOPT_TIMEOUT_MS, (long)(h->options.timeout_seconds * 1000));
        curl_easy_setopt(slot->easy, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
        /* timeouts of name look-ups without SIGALRM, which belongs to the program */
        curl_easy_setopt(slot->easy, CURLOPT_NOSIGNAL, 1L);
        /* A redirect would carry the key to another host. */
        curl_easy_setopt(slot->easy, CURLOPT_FOLLOWLOCATION, 0L);
        curl_easy_setopt(slot->easy, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(slot->easy, CURLOPT_USERAGENT, "ashcc/" ASHLAR_VERSION);
    }
    return ASHLAR_OK;
}

/* Once per process, as curl asks; pthread_once since translators may be opened by several
 * threads. */
static void start_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

ashlar_status translator_http_open(const struct http_options *options, struct translator **out,
                                   ashlar_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    *out = NULL;
    ashlar_status status = check(options, err);
    if (status != ASHLAR_OK)
        return status;
    struct http *h = calloc(1, sizeof *h);
    if (!h)
        return error_memory(err, sizeof *h, "the http translator");
    pthread_once(&once, start_curl);
    h->options = *options;
    h->model = strdup(options->model);
    h->base = (struct translator){.kind = "http",
                                  .good_at = GRANULARITY_BLOCK,
                                  .at_once = options->jobs,
                                  .translate = translate,
                                  .close = close_http};
    snprintf(h->base.name, sizeof h->base.name, "%s", options->model);
    status =
        h->model ? prompt_open(options->prompt, &h->prompt, err) : error_memory(err, 1, "a name");
    if (status == ASHLAR_OK)
        status = take_key(h, err);
    if (status == ASHLAR_OK)
        status = make_urls(h, err);
    if (status == ASHLAR_OK)
        status = make_slots(h, err);
    if (status != ASHLAR_OK) {
        close_http(&h->base);
        return status;
    }
    *out = &h->base;
    return ASHLAR_OK;
}
