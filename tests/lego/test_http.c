/*
 * The http translator against a server of a few lines, in a thread: what is sent, what of a reply
 * is taken, what is tried again, and that the key appears nowhere.
 */
#include "lego/cache.h"
#include "lego/prompt.h"
#include "lego/translate_http.h"
#include "lego/translator.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the server
 * ------------------------------------------------------------------------------------- */

enum { REQUEST_MAX = 1 << 20, KEPT = 64 };

struct server {
    int listener, port;
    pthread_t thread;
    atomic_int requests, most_at_once, at_once, failures;
    atomic_int connections;      /* whose threads still use this */
    int fail_first, fail_with;   /* so many requests are answered with this status */
    const char *extra_header;
    const char *content;         /* of the message; NULL: "```\nn<number>\n```" */
    const char *raw;             /* the whole body instead */
    int delay_ms;
    char last[REQUEST_MAX];      /* last request, headers and body */
    pthread_mutex_t lock;
};

static void read_request(int fd, char *text)
{
    size_t n = 0;
    while (n < REQUEST_MAX - 1) {
        ssize_t got = read(fd, text + n, REQUEST_MAX - 1 - n);
        if (got <= 0)
            break;
        n += (size_t)got;
        text[n] = '\0';
        char *body = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "content-length:");
        if (body && length && n >= (size_t)(body + 4 - text) + (size_t)atol(length + 15))
            break;
    }
    text[n] = '\0';
}

static void reply(struct server *s, int fd, int number)
{
    char content[256], *body = NULL, *text;
    int status = atomic_fetch_add(&s->failures, 1) < s->fail_first ? s->fail_with : 200;
    snprintf(content, sizeof content, "```\nn%d\n```", number);
    json_t *message = json_pack("{s:[{s:{s:s}}]}", "choices", "message", "content",
                                s->content ? s->content : content);
    if (status != 200)
        body = strdup("{\"error\":{\"message\":\"no, secret-key-1,\\n go away\"}}");
    else
        body = s->raw ? strdup(s->raw) : json_dumps(message, 0);
    int n = asprintf(&text, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n%sConnection: close\r\n\r\n%s",
                     status, strlen(body), s->extra_header ? s->extra_header : "", body);
    for (int done = 0; done < n;) {
        ssize_t wrote = send(fd, text + done, (size_t)(n - done), MSG_NOSIGNAL);
        if (wrote <= 0)
            break;
        done += (int)wrote;
    }
    free(text);
    free(body);
    json_decref(message);
}

struct connection {
    struct server *server;
    int fd;
};

static void *serve_one(void *argument)
{
    struct connection *c = argument;
    struct server *s = c->server;
    char *text = malloc(REQUEST_MAX);
    int now = atomic_fetch_add(&s->at_once, 1) + 1;
    if (now > atomic_load(&s->most_at_once))
        atomic_store(&s->most_at_once, now);
    read_request(c->fd, text);
    int number = atomic_fetch_add(&s->requests, 1);
    pthread_mutex_lock(&s->lock);
    strcpy(s->last, text);
    pthread_mutex_unlock(&s->lock);
    usleep((useconds_t)s->delay_ms * 1000);
    atomic_fetch_sub(&s->at_once, 1);
    reply(s, c->fd, number);
    shutdown(c->fd, SHUT_WR);
    close(c->fd);
    free(text);
    free(c);
    atomic_fetch_sub(&s->connections, 1);
    return NULL;
}

static void *serve(void *argument)
{
    struct server *s = argument;
    for (;;) {
        int fd = accept(s->listener, NULL, NULL);
        if (fd < 0)
            return NULL;
        struct connection *c = malloc(sizeof *c);
        pthread_t thread;
        *c = (struct connection){s, fd};
        atomic_fetch_add(&s->connections, 1);
        pthread_create(&thread, NULL, serve_one, c);
        pthread_detach(thread);
    }
}

static struct server *server_start(void)
{
    struct server *s = calloc(1, sizeof *s);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    pthread_mutex_init(&s->lock, NULL);
    s->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(s->listener, 64), 0);
    getsockname(s->listener, (struct sockaddr *)&address, &length);
    s->port = ntohs(address.sin_port);
    pthread_create(&s->thread, NULL, serve, s);
    return s;
}

static void server_stop(struct server *s)
{
    shutdown(s->listener, SHUT_RDWR);
    close(s->listener);
    pthread_join(s->thread, NULL);
    while (atomic_load(&s->connections))
        usleep(1000);
    free(s);
}

/* ---- asking
 * ----------------------------------------------------------------------------------------- */

static char prompt_path[] = "/tmp/ashlar-prompt.XXXXXX";

static int write_prompt(void **state)
{
    (void)state;
    int fd = mkstemp(prompt_path);
    static const char text[] = "%# a comment\n%% system\nBe exact.\n%% user\nDo:\n{block}{other}\n"
                               "%% repair\nDo:\n{block}Not:\n{previous}\nfor {finding}\n";
    return fd >= 0 && write(fd, text, sizeof text - 1) > 0 && close(fd) == 0 ? 0 : -1;
}

static int remove_prompt(void **state)
{
    (void)state;
    return unlink(prompt_path);
}

static struct block one = {.text = "block one\n", .text_length = 10, .key = "1"};

static struct http_options options_for(const struct server *s, char url[64])
{
    struct http_options o;
    http_options_init(&o);
    snprintf(url, 64, "http://127.0.0.1:%d/v1/", s->port);
    o.endpoints[o.n_endpoints++] = url;
    o.model = "m";
    o.prompt = prompt_path;
    o.backoff_seconds = 0.01;
    o.timeout_seconds = 10;
    return o;
}

/* Asks for n samples; the answers are in items (caller frees by free_items). */
static ashlar_status ask(const struct http_options *o, struct translation *items, int n,
                         ashlar_error *err)
{
    struct translator *t;
    ashlar_error why = {0};
    if (translator_http_open(o, &t, &why) != ASHLAR_OK)
        fail_msg("%s", why.message);
    for (int i = 0; i < n; i++) {
        items[i] = (struct translation){.block = &one, .sample = i, .previous = items[i].previous,
                                        .finding = items[i].finding};
        buf_init(&items[i].answer, 1 << 16);
    }
    ashlar_status status = t->translate(t, items, n, err);
    t->close(t);
    return status;
}

static void free_items(struct translation *items, int n)
{
    for (int i = 0; i < n; i++)
        buf_fini(&items[i].answer);
}

static void the_request_holds_model_prompt_and_key(void **state)
{
    (void)state;
    struct server *s = server_start();
    char url[64];
    struct translation item = {0};
    struct http_options o = options_for(s, url);
    setenv("ASHLAR_TEST_KEY", "secret-key-1", 1);
    o.key_variable = "ASHLAR_TEST_KEY";
    assert_int_equal(ask(&o, &item, 1, NULL), ASHLAR_OK);
    assert_string_equal(item.answer.data, "n0");
    assert_int_equal(strncmp(s->last, "POST /v1/chat/completions HTTP/1.1\r\n", 36), 0);
    assert_non_null(strstr(s->last, "Authorization: Bearer secret-key-1\r\n"));
    json_t *body = json_loads(strstr(s->last, "\r\n\r\n") + 4, 0, NULL);
    const char *role, *system, *user, *model;
    double temperature;
    assert_int_equal(json_unpack(body, "{s:s, s:F, s:[{s:s, s:s}, {s:s}]}", "model", &model,
                                 "temperature", &temperature, "messages", "role", &role, "content",
                                 &system, "content", &user),
                     0);
    assert_string_equal(model, "m");
    assert_string_equal(role, "system");
    assert_string_equal(system, "Be exact.");
    assert_string_equal(user, "Do:\nblock one\n{other}");
    assert_true(temperature == 0);
    json_decref(body);
    free_items(&item, 1);
    server_stop(s);
}

static void a_repair_shows_the_fragment_and_the_finding(void **state)
{
    (void)state;
    struct server *s = server_start();
    char url[64];
    struct translation item = {.previous = "movl", .finding = "no operand"};
    struct http_options o = options_for(s, url);
    assert_int_equal(ask(&o, &item, 1, NULL), ASHLAR_OK);
    assert_non_null(strstr(s->last, "Not:\\nmovl\\nfor no operand"));
    free_items(&item, 1);
    server_stop(s);
}

static void what_may_pass_is_tried_again(void **state)
{
    (void)state;
    static const int statuses[] = {429, 500, 503};
    for (int i = 0; i < 3; i++) {
        struct server *s = server_start();
        char url[64];
        struct translation item = {0};
        struct http_options o = options_for(s, url);
        s->fail_first = 2;
        s->fail_with = statuses[i];
        assert_int_equal(ask(&o, &item, 1, NULL), ASHLAR_OK);
        assert_string_equal(item.answer.data, "n2");
        assert_int_equal(s->requests, 3);
        free_items(&item, 1);
        server_stop(s);
    }
}

static void after_the_last_retry_it_is_an_error_without_the_key(void **state)
{
    (void)state;
    struct server *s = server_start();
    char url[64];
    struct translation item = {0};
    struct http_options o = options_for(s, url);
    ashlar_error err;
    setenv("ASHLAR_TEST_KEY", "secret-key-1", 1);
    o.key_variable = "ASHLAR_TEST_KEY";
    o.retries = 2;
    s->fail_first = 100;
    s->fail_with = 503;
    assert_int_equal(ask(&o, &item, 1, &err), ASHLAR_FAILED);
    assert_int_equal(s->requests, 3);
    assert_non_null(strstr(err.message, "HTTP 503: no, ************,  go away"));
    assert_null(strstr(err.message, "secret-key-1"));
    assert_null(strstr(item.note, "secret-key-1"));
    free_items(&item, 1);
    server_stop(s);
}

/* A wrong key would fail for every block: the batch ends at once. */
static void what_cannot_pass_ends_the_batch(void **state)
{
    (void)state;
    struct server *s = server_start();
    char url[64];
    struct translation items[50] = {{0}};
    struct http_options o = options_for(s, url);
    ashlar_error err;
    o.jobs = 2;
    s->fail_first = 1000;
    s->fail_with = 401;
    assert_int_equal(ask(&o, items, 50, &err), ASHLAR_FAILED);
    assert_true(s->requests <= 4);
    assert_non_null(strstr(err.message, "HTTP 401"));
    free_items(items, 50);
    server_stop(s);
}

static void requests_run_side_by_side_but_no_more_than_allowed(void **state)
{
    (void)state;
    struct server *s = server_start();
    char url[64];
    struct translation items[24] = {{0}};
    struct http_options o = options_for(s, url);
    o.jobs = 4;
    s->delay_ms = 20;
    assert_int_equal(ask(&o, items, 24, NULL), ASHLAR_OK);
    assert_int_equal(s->requests, 24);
    assert_in_range(s->most_at_once, 2, 4);
    for (int i = 0; i < 24; i++)
        assert_true(items[i].answer.length > 0);
    free_items(items, 24);
    server_stop(s);
}

static void endpoints_share_the_work(void **state)
{
    (void)state;
    struct server *a = server_start(), *b = server_start();
    char url_a[64], url_b[64];
    struct translation items[20] = {{0}};
    struct http_options o = options_for(a, url_a);
    options_for(b, url_b);
    o.endpoints[o.n_endpoints++] = url_b;
    o.jobs = 4;
    a->delay_ms = b->delay_ms = 5;
    assert_int_equal(ask(&o, items, 20, NULL), ASHLAR_OK);
    assert_true(a->requests >= 5 && b->requests >= 5);
    free_items(items, 20);
    server_stop(a);
    server_stop(b);
}

static void a_dead_endpoint_is_gone_around(void **state)
{
    (void)state;
    struct server *s = server_start();
    char url[64];
    struct translation items[6] = {{0}};
    struct http_options o = options_for(s, url);
    o.endpoints[1] = o.endpoints[0];
    o.endpoints[0] = "http://127.0.0.1:1/v1";
    o.n_endpoints = 2;
    assert_int_equal(ask(&o, items, 6, NULL), ASHLAR_OK);
    for (int i = 0; i < 6; i++)
        assert_true(items[i].answer.length > 0);
    free_items(items, 6);
    server_stop(s);
}

static void a_slow_server_is_a_timeout(void **state)
{
    (void)state;
    struct server *s = server_start();
    char url[64];
    struct translation item = {0};
    struct http_options o = options_for(s, url);
    ashlar_error err;
    o.timeout_seconds = 0.05;
    o.retries = 0;
    s->delay_ms = 300;
    assert_int_equal(ask(&o, &item, 1, &err), ASHLAR_FAILED);
    assert_non_null(strcasestr(err.message, "timeout"));
    free_items(&item, 1);
    server_stop(s);
}

static bool always(void)
{
    return true;
}

static void it_can_be_stopped(void **state)
{
    (void)state;
    struct server *s = server_start();
    char url[64];
    struct http_options o = options_for(s, url);
    struct translation item = {.block = &one};
    struct translator *t;
    buf_init(&item.answer, 100);
    assert_int_equal(translator_http_open(&o, &t, NULL), ASHLAR_OK);
    t->stopped = always;
    assert_int_equal(t->translate(t, &item, 1, NULL), ASHLAR_CANCELLED);
    t->close(t);
    buf_fini(&item.answer);
    server_stop(s);
}

static void a_reply_without_end_is_cut(void **state)
{
    (void)state;
    struct server *s = server_start();
    char url[64];
    struct translation item = {0};
    struct http_options o = options_for(s, url);
    ashlar_error err;
    char *huge = malloc((5 << 20) + 1);
    memset(huge, ' ', 5 << 20);
    huge[5 << 20] = '\0';
    s->raw = huge;
    o.retries = 0;
    assert_int_equal(ask(&o, &item, 1, &err), ASHLAR_FAILED);
    assert_non_null(strstr(item.note, "too long"));
    free_items(&item, 1);
    server_stop(s);
    free(huge);
}

/* ---- replies
 * ---------------------------------------------------------------------------------------- */

static const char *read_content(const char *content)
{
    static char text[256];
    char note[128];
    struct buf answer;
    json_t *o = json_pack("{s:[{s:{s:s}}]}", "choices", "message", "content", content);
    char *reply_text = json_dumps(o, 0);
    buf_init(&answer, 1000);
    bool ok = http_reply_read(reply_text, strlen(reply_text), &answer, note);
    snprintf(text, sizeof text, "%s", ok ? answer.data : note);
    buf_fini(&answer);
    free(reply_text);
    json_decref(o);
    return text;
}

static void the_last_code_block_is_the_answer(void **state)
{
    (void)state;
    assert_string_equal(read_content("plain\n"), "plain");
    assert_string_equal(read_content("so:\n```asm\n\tnop\n\tnop\n```\nDone."), "\tnop\n\tnop");
    assert_string_equal(read_content("```\nfirst\n```\nbetter:\n```\nsecond\n```"), "second");
    assert_string_equal(read_content("<think>```\nno\n```</think>\n\n\tyes\n"), "\tyes");
    assert_string_equal(read_content("```\ncut off"), "cut off");
    assert_string_equal(read_content("  ```\nindented fence\n  ```\n"), "indented fence");
    assert_string_equal(read_content("```\n```"), "the answer holds no code");
    assert_string_equal(read_content(""), "the answer holds no code");
}

static void nonsense_is_no_answer(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "x",
        "{}",
        "[]",
        "{\"choices\":7}",
        "{\"choices\":[]}",
        "{\"choices\":[{\"message\":{\"content\":null}}]}",
        "{\"choices\":[{\"message\":{\"content\":\"a\\u0000b\"}}]}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char note[128] = "";
        struct buf answer;
        buf_init(&answer, 100);
        assert_false(http_reply_read(texts[i], strlen(texts[i]), &answer, note));
        assert_true(note[0] != '\0');
        buf_fini(&answer);
    }
}

static void what_is_wrong_with_the_options_is_said(void **state)
{
    (void)state;
    struct http_options o;
    struct translator *t;
    ashlar_error err;
    http_options_init(&o);
    o.model = "m";
    assert_int_equal(translator_http_open(&o, &t, &err), ASHLAR_USAGE);
    o.endpoints[0] = "file:///etc/passwd";
    o.n_endpoints = 1;
    assert_int_equal(translator_http_open(&o, &t, &err), ASHLAR_USAGE);
    o.endpoints[0] = "http://127.0.0.1:1";
    o.key_variable = "ASHLAR_TEST_NO_SUCH_KEY";
    o.prompt = prompt_path;
    assert_int_equal(translator_http_open(&o, &t, &err), ASHLAR_USAGE);
    assert_non_null(strstr(err.message, "ASHLAR_TEST_NO_SUCH_KEY"));
    assert_null(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_request_holds_model_prompt_and_key),
        cmocka_unit_test(a_repair_shows_the_fragment_and_the_finding),
        cmocka_unit_test(what_may_pass_is_tried_again),
        cmocka_unit_test(after_the_last_retry_it_is_an_error_without_the_key),
        cmocka_unit_test(what_cannot_pass_ends_the_batch),
        cmocka_unit_test(requests_run_side_by_side_but_no_more_than_allowed),
        cmocka_unit_test(endpoints_share_the_work),
        cmocka_unit_test(a_dead_endpoint_is_gone_around),
        cmocka_unit_test(a_slow_server_is_a_timeout),
        cmocka_unit_test(it_can_be_stopped),
        cmocka_unit_test(a_reply_without_end_is_cut),
        cmocka_unit_test(the_last_code_block_is_the_answer),
        cmocka_unit_test(nonsense_is_no_answer),
        cmocka_unit_test(what_is_wrong_with_the_options_is_said),
    };
    return cmocka_run_group_tests(tests, write_prompt, remove_prompt);
}
