/*
 * fuzz_gguf.c: libFuzzer target: bytes as a GGUF file, then as a model. Opens, reads every key by
 * every getter and every tensor's bounds, binds and checks the weights. Nothing may crash, leak or
 * take memory out of proportion. tests/model/test_gguf_corpus.c replays the corpus in the tests.
 */
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_array(const struct gguf *g, const char *key, enum gguf_type type)
{
    struct gguf_array a;
    if (gguf_get_array(g, key, type, &a, NULL) != ASHLAR_OK)
        return;
    for (uint64_t i = 0; i < a.n; i++) {
        if (type == GGUF_STRING) {
            struct gguf_string s = gguf_array_string(&a, i);
            if (s.length > 0 && memchr(s.data, 0, s.length) == s.data + s.length)
                abort();
        } else if (type == GGUF_F32) {
            (void)gguf_array_float(&a, i);
        } else if (type != GGUF_F64 && type != GGUF_BOOL) {
            (void)gguf_array_int(&a, i);
        }
    }
}

static void read_key(const struct gguf *g, struct gguf_string name)
{
    char key[256];
    struct gguf_string s;
    ashlar_error err;
    int64_t i;
    float f;
    bool b;
    if (name.length >= sizeof key)
        return;
    memcpy(key, name.data, name.length);
    key[name.length] = '\0';
    if (gguf_find(g, key) < 0)
        abort();
    gguf_get_int(g, key, -1000, 1000, 0, &i, &err);
    gguf_get_float(g, key, 0, &f, &err);
    gguf_get_bool(g, key, false, &b, &err);
    gguf_get_string(g, key, &s, &err);
    for (int type = 0; type < GGUF_TYPE_COUNT; type++)
        if (type != GGUF_ARRAY)
            read_array(g, key, (enum gguf_type)type);
}

static void read_container(const void *data, size_t size)
{
    struct gguf *g;
    ashlar_error err;
    if (gguf_open_memory(data, size, "fuzz", &g, &err) != ASHLAR_OK) {
        if (err.status != ASHLAR_BAD_INPUT || !err.message[0])
            abort();
        return;
    }
    for (int i = 0; i < gguf_n_keys(g); i++)
        read_key(g, gguf_key(g, i));
    for (int i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor(g, i);
        if (t->offset > size || t->bytes > size - t->offset)
            abort();
    }
    (void)gguf_fingerprint(g);
    gguf_close(g);
}

static void read_model(const void *data, size_t size)
{
    struct model *m;
    ashlar_error err;
    if (model_open_memory(data, size, "fuzz", &m, &err) != ASHLAR_OK)
        return;
    if (m->params.n_head % m->params.n_head_kv != 0 || m->weights_bytes > size)
        abort();
    (void)model_load(m, true, NULL, &err);
    model_close(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    void *copy = malloc(size ? size : 1); /* aligned as a mapping would be, bounds exact */
    if (!copy)
        return 0;
    memcpy(copy, data, size);
    read_container(copy, size);
    read_model(copy, size);
    free(copy);
    return 0;
}
