/*
 * test_model_load.c: making weights resident: copies and mappings hold the file's bytes, cancelling
 * and bad values leave the model usable or refused, never half loaded.
 */
#include "model/model.h"

#include "base/rng.h"
#include "gguf_bytes.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct file {
    char path[32];
    struct model *m;
};

/* A model on disk whose data bytes are small random floats. */
static void make_file(struct file *f, const struct model_spec *spec)
{
    struct bytes y;
    struct rng rng;
    bytes_model(&y, spec);
    rng_seed(&rng, 11);
    for (size_t i = y.b.length - y.data; i + 4 <= y.b.length; i += 4) {
        float x = rng_float(&rng) + 0.5f;
        memcpy(y.b.data + i, &x, sizeof x);
    }
    snprintf(f->path, sizeof f->path, "/tmp/ashlar-test-XXXXXX");
    int fd = mkstemp(f->path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, y.b.data, y.b.length), y.b.length);
    close(fd);
    bytes_fini(&y);
}

static void open_file(struct file *f)
{
    ashlar_error err;
    if (model_open(f->path, &f->m, &err) != ASHLAR_OK)
        fail_msg("%s", err.message);
}

static void done(struct file *f)
{
    model_close(f->m);
    unlink(f->path);
}

static void overwrite(const struct file *f, const void *at, float value)
{
    FILE *out = fopen(f->path, "r+b");
    assert_non_null(out);
    assert_int_equal(fseek(out, (const unsigned char *)at - gguf_data(f->m->gguf), SEEK_SET), 0);
    assert_int_equal(fwrite(&value, sizeof value, 1, out), 1);
    fclose(out);
}

static void test_copy_holds_the_files_bytes(void **state)
{
    struct file f;
    ashlar_error err;
    (void)state;
    make_file(&f, &(struct model_spec){0});
    open_file(&f);
    assert_int_equal(model_load(f.m, false, NULL, &err), ASHLAR_OK);
    assert_non_null(f.m->pages);
    for (int i = 0; i < f.m->n_tensors; i++) {
        const struct tensor *t = f.m->tensors[i];
        const struct gguf_tensor *from = gguf_find_tensor(f.m->gguf, t->name);
        assert_int_equal((uintptr_t)t->data % 64, 0);
        assert_in_range((uintptr_t)t->data, (uintptr_t)f.m->pages,
                        (uintptr_t)f.m->pages + f.m->pages_bytes - from->bytes);
        assert_memory_equal(t->data, gguf_data(f.m->gguf) + from->offset, from->bytes);
    }
    done(&f);
}

static void test_map_stays_in_the_file(void **state)
{
    struct file f;
    ashlar_error err;
    (void)state;
    make_file(&f, &(struct model_spec){.tied = true});
    open_file(&f);
    assert_int_equal(model_load(f.m, true, NULL, &err), ASHLAR_OK);
    assert_null(f.m->pages);
    assert_ptr_equal(f.m->token_embd.data,
                     gguf_data(f.m->gguf) +
                         gguf_find_tensor(f.m->gguf, "token_embd.weight")->offset);
    done(&f);
}

static void test_tied_output_moves_with_the_embedding(void **state)
{
    struct file f;
    ashlar_error err;
    (void)state;
    make_file(&f, &(struct model_spec){.tied = true});
    open_file(&f);
    assert_int_equal(model_load(f.m, false, NULL, &err), ASHLAR_OK);
    assert_ptr_equal(f.m->output.data, f.m->token_embd.data);
    assert_true((const char *)f.m->output.data >= (const char *)f.m->pages);
    done(&f);
}

static void test_memory_is_used_in_place(void **state)
{
    struct bytes y;
    struct model *m;
    ashlar_error err;
    struct model_spec spec = {0};
    (void)state;
    bytes_model(&y, &spec);
    assert_int_equal(model_open_memory(y.b.data, y.b.length, "m", &m, &err), ASHLAR_OK);
    assert_int_equal(model_load(m, false, NULL, &err), ASHLAR_OK);
    assert_null(m->pages);
    model_close(m);
    bytes_fini(&y);
}

static void test_values_that_are_not_finite_are_refused(void **state)
{
    static const float values[] = {NAN, INFINITY, -INFINITY};
    (void)state;
    for (int i = 0; i < 6; i++) {
        struct file f;
        ashlar_error err;
        make_file(&f, &(struct model_spec){0});
        open_file(&f);
        overwrite(&f, (const float *)f.m->layers[0].ffn_norm.data + 3, values[i % 3]);
        assert_int_equal(model_load(f.m, i < 3, NULL, &err), ASHLAR_BAD_INPUT);
        assert_non_null(strstr(err.message, "tensor blk.0.ffn_norm.weight: value 3 is "));
        done(&f);
    }
}

static void test_rope_divisors_must_be_positive(void **state)
{
    static const float values[] = {0, -1, NAN, 8};
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct file f;
        ashlar_error err;
        make_file(&f, &(struct model_spec){.extra_tensor = "rope_freqs.weight", .extra_cols = 8});
        open_file(&f);
        assert_int_equal(f.m->rope_freqs.n_cols, 8);
        overwrite(&f, f.m->rope_freqs.data, values[i]);
        assert_int_equal(model_load(f.m, false, NULL, &err),
                         values[i] > 0 ? ASHLAR_OK : ASHLAR_BAD_INPUT);
        done(&f);
    }
}

struct watcher {
    int calls, stop_at;
    uint64_t last, total;
};

static bool watch(void *user, const char *what, uint64_t so_far, uint64_t total)
{
    struct watcher *w = user;
    assert_string_equal(what, "load");
    assert_true(so_far >= w->last && so_far <= total);
    w->last = so_far;
    w->total = total;
    return ++w->calls != w->stop_at;
}

static void test_progress_reaches_the_end(void **state)
{
    (void)state;
    for (int map = 0; map < 2; map++) {
        struct file f;
        ashlar_error err;
        struct watcher w = {0};
        struct log log = {.progress = watch, .progress_user = &w};
        make_file(&f, &(struct model_spec){0});
        open_file(&f);
        assert_int_equal(model_load(f.m, map, &log, &err), ASHLAR_OK);
        assert_int_equal(w.total, f.m->weights_bytes);
        assert_int_equal(w.last, w.total);
        done(&f);
    }
}

static void test_cancelling_leaves_the_model_mapped(void **state)
{
    struct file f;
    ashlar_error err;
    struct watcher w = {.stop_at = 1};
    struct log log = {.progress = watch, .progress_user = &w};
    (void)state;
    make_file(&f, &(struct model_spec){0});
    open_file(&f);
    const void *before = f.m->token_embd.data;
    assert_int_equal(model_load(f.m, false, &log, &err), ASHLAR_CANCELLED);
    assert_null(f.m->pages);
    assert_ptr_equal(f.m->token_embd.data, before);
    assert_int_equal(model_load(f.m, false, NULL, &err), ASHLAR_OK);
    done(&f);
}

static void test_file_that_shrank_is_an_error(void **state)
{
    struct file f;
    ashlar_error err;
    (void)state;
    make_file(&f, &(struct model_spec){0});
    open_file(&f);
    assert_int_equal(truncate(f.path, (off_t)gguf_size(f.m->gguf) - 64), 0);
    assert_int_equal(model_load(f.m, false, NULL, &err), ASHLAR_FAILED);
    assert_null(f.m->pages);
    done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy_holds_the_files_bytes),
        cmocka_unit_test(test_map_stays_in_the_file),
        cmocka_unit_test(test_tied_output_moves_with_the_embedding),
        cmocka_unit_test(test_memory_is_used_in_place),
        cmocka_unit_test(test_values_that_are_not_finite_are_refused),
        cmocka_unit_test(test_rope_divisors_must_be_positive),
        cmocka_unit_test(test_progress_reaches_the_end),
        cmocka_unit_test(test_cancelling_leaves_the_model_mapped),
        cmocka_unit_test(test_file_that_shrank_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
