/* kv_world.h: an engine with sessions over some KV policy, its files in a folder of its own; for
 * test_kv_*.c. */
#ifndef TESTS_KV_WORLD_H
#define TESTS_KV_WORLD_H

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ashlar.h"
#include "base/rng.h"

enum { MOST_SESSIONS = 4 };

struct world {
    ashlar_engine *e;
    ashlar_session *s[MOST_SESSIONS];
    int n_sessions, n_vocab;
    char folder[4096]; /* of KV files; "" when the caller's */
};

static inline const char *model_path(const char *name)
{
    static char path[4096];
    const char *folder = getenv("ASHLAR_TEST_MODELS");
    snprintf(path, sizeof path, "%s/%s.gguf", folder ? folder : "build/tests/models", name);
    return path;
}

static inline void make_folder(char *folder, size_t size)
{
    const char *parent = getenv("TMPDIR");
    snprintf(folder, size, "%s/ashlar-test-XXXXXX", parent && *parent ? parent : "/var/tmp");
    assert_non_null(mkdtemp(folder));
}

static inline int count_files(const char *folder)
{
    int n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *entry; d && (entry = readdir(d));)
        n += entry->d_name[0] != '.';
    if (d)
        closedir(d);
    return n;
}

static inline ashlar_options options_for(int threads, int sessions, int n_ctx, int n_batch,
                                         ashlar_kv_options kv)
{
    ashlar_options o;
    ashlar_options_init(&o);
    o.n_threads = threads;
    o.n_sessions = sessions;
    o.n_ctx = n_ctx;
    o.n_batch = n_batch;
    o.kv = kv;
    return o;
}

static inline void world_open(struct world *w, const char *model, ashlar_options o)
{
    ashlar_error err = {0};
    *w = (struct world){.n_sessions = o.n_sessions};
    if (!o.kv.folder) {
        make_folder(w->folder, sizeof w->folder);
        o.kv.folder = w->folder;
    }
    if (ashlar_engine_open(model_path(model), &o, &w->e, &err) != ASHLAR_OK)
        fail_msg("%s (%s)", err.message, err.hint);
    w->n_vocab = ashlar_engine_info(w->e)->n_vocab;
    for (int i = 0; i < o.n_sessions; i++)
        assert_int_equal(ashlar_session_open(w->e, &w->s[i], NULL), ASHLAR_OK);
}

/* Nothing may be left in the folder. */
static inline void world_close(struct world *w)
{
    for (int i = 0; i < w->n_sessions; i++)
        ashlar_session_close(w->s[i]);
    ashlar_engine_close(w->e);
    if (w->folder[0]) {
        assert_int_equal(count_files(w->folder), 0);
        rmdir(w->folder);
    }
}

static inline void random_tokens(int n_vocab, int32_t *tokens, int n, struct rng *rng)
{
    for (int i = 0; i < n; i++)
        tokens[i] = (int32_t)rng_below(rng, (uint32_t)n_vocab);
}

static inline void assert_same_logits(const struct world *a, const struct world *b, int session,
                                      const char *when)
{
    const float *x = ashlar_session_logits(a->s[session]),
                *y = ashlar_session_logits(b->s[session]);
    assert_int_equal(ashlar_session_length(a->s[session]), ashlar_session_length(b->s[session]));
    assert_true(!x == !y);
    for (int i = 0; x && i < a->n_vocab; i++)
        if (memcmp(&x[i], &y[i], sizeof *x) != 0)
            fail_msg("%s: session %d at %zu tokens: logit %d is %.9g, not %.9g", when, session,
                     ashlar_session_length(a->s[session]), i, y[i], x[i]);
}

#endif
