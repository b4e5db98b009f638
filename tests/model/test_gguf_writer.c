/*
 * test_gguf_writer.c: what is written is read back the same; a file appears only when finished;
 * misuse and a missing folder are reported.
 */
#include "model/gguf_writer.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct folder {
    char path[40], file[64];
    struct gguf_writer *w;
};

static int make_folder(void **state)
{
    struct folder *f = calloc(1, sizeof *f);
    ashlar_error err;
    if (!f)
        return -1;
    strcpy(f->path, "/tmp/ashlar-test-XXXXXX");
    if (!mkdtemp(f->path))
        return -1;
    snprintf(f->file, sizeof f->file, "%s/m.gguf", f->path);
    if (gguf_writer_new(f->file, &f->w, &err) != ASHLAR_OK)
        return -1;
    *state = f;
    return 0;
}

static int n_files(const struct folder *f)
{
    int n = 0;
    DIR *d = opendir(f->path);
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

/* After every test the folder must be empty but for the finished file. */
static int remove_folder(void **state)
{
    struct folder *f = *state;
    gguf_writer_free(f->w);
    unlink(f->file);
    int failed = rmdir(f->path);
    free(f);
    return failed;
}

static const float norm[5] = {1, 2, 3, 4, 5};
static const unsigned char matrix[3 * 34] = {[0] = 9, [101] = 8};

static void declare(struct gguf_writer *w)
{
    gguf_writer_string(w, "general.architecture", "llama");
    gguf_writer_u32(w, "n", 77);
    gguf_writer_f32(w, "f", 0.25f);
    gguf_writer_bool(w, "b", true);
    gguf_writer_strings(w, "words", (const char *const[]){"a", "", "ccc"}, 3);
    gguf_writer_array(w, "ints", GGUF_I32, (const int32_t[]){-1, 5}, 2);
    gguf_writer_tensor(w, "norm", TENSOR_F32, 1, (const uint64_t[]){5});
    gguf_writer_tensor(w, "matrix", TENSOR_Q8_0, 2, (const uint64_t[]){32, 3});
}

static void check_keys(const struct gguf *g)
{
    struct gguf_string s;
    struct gguf_array a;
    int64_t i;
    float x;
    bool b;
    assert_int_equal(gguf_get_string(g, "general.architecture", &s, NULL), ASHLAR_OK);
    assert_memory_equal(s.data, "llama", 5);
    assert_int_equal(gguf_get_int(g, "n", 0, 100, 0, &i, NULL), ASHLAR_OK);
    assert_int_equal(i, 77);
    assert_int_equal(gguf_get_float(g, "f", 0, &x, NULL), ASHLAR_OK);
    assert_true(x == 0.25f);
    assert_int_equal(gguf_get_bool(g, "b", false, &b, NULL), ASHLAR_OK);
    assert_true(b);
    assert_int_equal(gguf_get_array(g, "words", GGUF_STRING, &a, NULL), ASHLAR_OK);
    assert_int_equal(a.n, 3);
    assert_memory_equal(gguf_array_string(&a, 2).data, "ccc", 3);
    assert_int_equal(gguf_get_array(g, "ints", GGUF_I32, &a, NULL), ASHLAR_OK);
    assert_int_equal(gguf_array_int(&a, 0), -1);
}

static void test_round_trip(void **state)
{
    struct folder *f = *state;
    struct gguf *g;
    ashlar_error err;
    struct stat info;
    declare(f->w);
    assert_int_equal(gguf_writer_begin_data(f->w, &err), ASHLAR_OK);
    assert_int_equal(gguf_writer_data(f->w, norm, sizeof norm, &err), ASHLAR_OK);
    assert_int_equal(gguf_writer_data(f->w, matrix, sizeof matrix, &err), ASHLAR_OK);
    assert_int_equal(gguf_writer_finish(f->w, &err), ASHLAR_OK);
    assert_int_equal(n_files(f), 1);
    if (gguf_open(f->file, &g, &err) != ASHLAR_OK)
        fail_msg("%s", err.message);
    check_keys(g);
    const struct gguf_tensor *t = gguf_find_tensor(g, "norm");
    assert_memory_equal(gguf_data(g) + t->offset, norm, sizeof norm);
    t = gguf_find_tensor(g, "matrix");
    assert_int_equal(t->bytes, sizeof matrix);
    assert_memory_equal(gguf_data(g) + t->offset, matrix, sizeof matrix);
    gguf_close(g);
    assert_int_equal(stat(f->file, &info), 0);
    assert_int_equal(info.st_mode & 0400, 0400);
}

static void test_data_may_come_in_any_pieces(void **state)
{
    struct folder *f = *state;
    struct gguf *g;
    ashlar_error err;
    unsigned char all[sizeof norm + sizeof matrix];
    memcpy(all, norm, sizeof norm);
    memcpy(all + sizeof norm, matrix, sizeof matrix);
    declare(f->w);
    assert_int_equal(gguf_writer_begin_data(f->w, &err), ASHLAR_OK);
    for (size_t at = 0; at < sizeof all; at += 7) {
        size_t n = sizeof all - at < 7 ? sizeof all - at : 7;
        assert_int_equal(gguf_writer_data(f->w, all + at, n, &err), ASHLAR_OK);
    }
    assert_int_equal(gguf_writer_finish(f->w, &err), ASHLAR_OK);
    assert_int_equal(gguf_open(f->file, &g, &err), ASHLAR_OK);
    const struct gguf_tensor *t = gguf_find_tensor(g, "matrix");
    assert_memory_equal(gguf_data(g) + t->offset, matrix, sizeof matrix);
    gguf_close(g);
}

static void test_nothing_appears_before_finish(void **state)
{
    struct folder *f = *state;
    ashlar_error err;
    declare(f->w);
    assert_int_equal(gguf_writer_begin_data(f->w, &err), ASHLAR_OK);
    assert_int_equal(gguf_writer_data(f->w, norm, sizeof norm, &err), ASHLAR_OK);
    assert_int_not_equal(access(f->file, F_OK), 0);
    gguf_writer_free(f->w);
    f->w = NULL;
    assert_int_equal(n_files(f), 0);
}

static void test_missing_data_is_refused(void **state)
{
    struct folder *f = *state;
    ashlar_error err;
    declare(f->w);
    assert_int_equal(gguf_writer_begin_data(f->w, &err), ASHLAR_OK);
    assert_int_equal(gguf_writer_data(f->w, norm, sizeof norm, &err), ASHLAR_OK);
    assert_int_equal(gguf_writer_finish(f->w, &err), ASHLAR_USAGE);
    assert_non_null(strstr(err.message, "1 of 2 tensors"));
}

static void test_too_much_data_is_refused(void **state)
{
    struct folder *f = *state;
    ashlar_error err;
    gguf_writer_tensor(f->w, "norm", TENSOR_F32, 1, (const uint64_t[]){4});
    assert_int_equal(gguf_writer_begin_data(f->w, &err), ASHLAR_OK);
    assert_int_equal(gguf_writer_data(f->w, norm, sizeof norm, &err), ASHLAR_USAGE);
}

static void test_misuse_is_reported_by_begin(void **state)
{
    struct folder *f = *state;
    ashlar_error err;
    gguf_writer_tensor(f->w, "t", TENSOR_Q4_K, 1, (const uint64_t[]){100});
    assert_int_equal(gguf_writer_begin_data(f->w, &err), ASHLAR_USAGE);
}

static void test_folder_that_does_not_exist(void **state)
{
    struct gguf_writer *w;
    ashlar_error err;
    (void)state;
    assert_int_equal(gguf_writer_new("/nonexistent folder/x.gguf", &w, &err), ASHLAR_FAILED);
    assert_null(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_data_may_come_in_any_pieces, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(test_nothing_appears_before_finish, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(test_missing_data_is_refused, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_too_much_data_is_refused, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_misuse_is_reported_by_begin, make_folder,
                                        remove_folder),
        cmocka_unit_test(test_folder_that_does_not_exist),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
