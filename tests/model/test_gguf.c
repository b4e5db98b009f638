/* test_gguf.c: reading well-formed GGUF files: every value type, conversions, lookups, tensors. */
#include "model/gguf.h"

#include "gguf_bytes.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static struct gguf *open_bytes(const struct bytes *y)
{
    struct gguf *g;
    ashlar_error err;
    if (gguf_open_memory(y->b.data, y->b.length, "test", &g, &err) != ASHLAR_OK)
        fail_msg("%s", err.message);
    return g;
}

/* One key of every type; integers hold 200 or -100. */
static struct gguf *open_values(struct bytes *y)
{
    bytes_init(y, 2);
    bytes_key(y, "u8", GGUF_U8);
    buf_append(&y->b, "\xc8", 1);
    bytes_key(y, "i8", GGUF_I8);
    buf_append(&y->b, "\x9c", 1);
    bytes_key(y, "u16", GGUF_U16);
    buf_append(&y->b, "\xc8\0", 2);
    bytes_key(y, "i16", GGUF_I16);
    buf_append(&y->b, "\x9c\xff", 2);
    bytes_key_u32(y, "u32", 200);
    bytes_key(y, "i32", GGUF_I32);
    bytes_u32(y, (uint32_t)-100);
    bytes_key(y, "u64", GGUF_U64);
    bytes_u64(y, 200);
    bytes_key(y, "huge", GGUF_U64);
    bytes_u64(y, UINT64_MAX);
    bytes_key(y, "i64", GGUF_I64);
    bytes_u64(y, (uint64_t)-100);
    bytes_key_f32(y, "f32", 1.5f);
    bytes_key(y, "f64", GGUF_F64);
    buf_append(&y->b, &(double){2.5}, 8);
    bytes_key_f32(y, "nan", NAN);
    bytes_key(y, "wide", GGUF_F64);
    buf_append(&y->b, &(double){1e300}, 8);
    bytes_key(y, "yes", GGUF_BOOL);
    buf_append(&y->b, "\1", 1);
    bytes_key_string(y, "text", "hello");
    bytes_key_array(y, "words", GGUF_STRING, 3);
    bytes_string(y, "one");
    bytes_string(y, "");
    bytes_string(y, "three");
    bytes_key_array(y, "floats", GGUF_F32, 2);
    bytes_f32(y, 1);
    bytes_f32(y, -2);
    bytes_key_array(y, "ints", GGUF_I32, 2);
    bytes_u32(y, 7);
    bytes_u32(y, (uint32_t)-7);
    return open_bytes(y);
}

static void test_integers_convert(void **state)
{
    static const char *const unsigneds[] = {"u8", "u16", "u32", "u64"};
    static const char *const signeds[] = {"i8", "i16", "i32", "i64"};
    struct bytes y;
    struct gguf *g = open_values(&y);
    (void)state;
    for (int i = 0; i < 4; i++) {
        int64_t v;
        assert_int_equal(gguf_get_int(g, unsigneds[i], 0, 200, 0, &v, NULL), ASHLAR_OK);
        assert_int_equal(v, 200);
        assert_int_equal(gguf_get_int(g, signeds[i], -100, 0, 0, &v, NULL), ASHLAR_OK);
        assert_int_equal(v, -100);
    }
    gguf_close(g);
    bytes_fini(&y);
}

static void test_integer_out_of_range_is_refused(void **state)
{
    struct bytes y;
    struct gguf *g = open_values(&y);
    ashlar_error err;
    int64_t v;
    (void)state;
    assert_int_equal(gguf_get_int(g, "u32", 0, 199, 0, &v, &err), ASHLAR_BAD_INPUT);
    assert_non_null(strstr(err.message, "key u32"));
    assert_int_equal(gguf_get_int(g, "i32", -99, 0, 0, &v, &err), ASHLAR_BAD_INPUT);
    assert_int_equal(gguf_get_int(g, "huge", INT64_MIN, INT64_MAX, 0, &v, &err), ASHLAR_BAD_INPUT);
    gguf_close(g);
    bytes_fini(&y);
}

static void test_wrong_type_is_refused(void **state)
{
    struct bytes y;
    struct gguf *g = open_values(&y);
    struct gguf_string s;
    struct gguf_array a;
    ashlar_error err;
    int64_t i;
    float f;
    bool b;
    (void)state;
    assert_int_equal(gguf_get_int(g, "f32", 0, 9, 0, &i, &err), ASHLAR_BAD_INPUT);
    assert_int_equal(gguf_get_int(g, "text", 0, 9, 0, &i, &err), ASHLAR_BAD_INPUT);
    assert_int_equal(gguf_get_int(g, "ints", 0, 9, 0, &i, &err), ASHLAR_BAD_INPUT);
    assert_int_equal(gguf_get_float(g, "u32", 0, &f, &err), ASHLAR_BAD_INPUT);
    assert_int_equal(gguf_get_bool(g, "u8", false, &b, &err), ASHLAR_BAD_INPUT);
    assert_int_equal(gguf_get_string(g, "words", &s, &err), ASHLAR_BAD_INPUT);
    assert_int_equal(gguf_get_array(g, "text", GGUF_STRING, &a, &err), ASHLAR_BAD_INPUT);
    assert_int_equal(gguf_get_array(g, "words", GGUF_F32, &a, &err), ASHLAR_BAD_INPUT);
    assert_non_null(strstr(err.message, "array of string where one of f32 is wanted"));
    gguf_close(g);
    bytes_fini(&y);
}

static void test_floats(void **state)
{
    struct bytes y;
    struct gguf *g = open_values(&y);
    float v;
    (void)state;
    assert_int_equal(gguf_get_float(g, "f32", 0, &v, NULL), ASHLAR_OK);
    assert_true(v == 1.5f);
    assert_int_equal(gguf_get_float(g, "f64", 0, &v, NULL), ASHLAR_OK);
    assert_true(v == 2.5f);
    assert_int_equal(gguf_get_float(g, "nan", 0, &v, NULL), ASHLAR_BAD_INPUT);
    assert_int_equal(gguf_get_float(g, "wide", 0, &v, NULL), ASHLAR_BAD_INPUT);
    gguf_close(g);
    bytes_fini(&y);
}

static void test_absent_keys_fall_back(void **state)
{
    struct bytes y;
    struct gguf *g = open_values(&y);
    struct gguf_string s;
    struct gguf_array a;
    int64_t i;
    float f;
    bool b;
    (void)state;
    assert_int_equal(gguf_get_int(g, "none", 0, 1, 42, &i, NULL), ASHLAR_OK);
    assert_int_equal(i, 42);
    assert_int_equal(gguf_get_float(g, "none", 3.5f, &f, NULL), ASHLAR_OK);
    assert_true(f == 3.5f);
    assert_int_equal(gguf_get_bool(g, "none", true, &b, NULL), ASHLAR_OK);
    assert_true(b);
    assert_int_equal(gguf_get_string(g, "none", &s, NULL), ASHLAR_OK);
    assert_null(s.data);
    assert_int_equal(gguf_get_array(g, "none", GGUF_F32, &a, NULL), ASHLAR_OK);
    assert_int_equal(a.n, 0);
    assert_null(a.data);
    gguf_close(g);
    bytes_fini(&y);
}

static void test_strings_and_arrays(void **state)
{
    struct bytes y;
    struct gguf *g = open_values(&y);
    struct gguf_string s;
    struct gguf_array a;
    (void)state;
    assert_int_equal(gguf_get_string(g, "text", &s, NULL), ASHLAR_OK);
    assert_int_equal(s.length, 5);
    assert_memory_equal(s.data, "hello", 5);
    assert_int_equal(gguf_get_array(g, "words", GGUF_STRING, &a, NULL), ASHLAR_OK);
    assert_int_equal(a.n, 3);
    assert_int_equal(gguf_array_string(&a, 1).length, 0);
    assert_memory_equal(gguf_array_string(&a, 2).data, "three", 5);
    assert_int_equal(gguf_get_array(g, "floats", GGUF_F32, &a, NULL), ASHLAR_OK);
    assert_true(gguf_array_float(&a, 1) == -2);
    assert_int_equal(gguf_get_array(g, "ints", GGUF_I32, &a, NULL), ASHLAR_OK);
    assert_int_equal(gguf_array_int(&a, 1), -7);
    gguf_close(g);
    bytes_fini(&y);
}

static void test_keys_are_listed_in_file_order(void **state)
{
    struct bytes y;
    struct gguf *g = open_values(&y);
    (void)state;
    assert_int_equal(gguf_n_keys(g), 18);
    assert_memory_equal(gguf_key(g, 0).data, "u8", 2);
    assert_int_equal(gguf_key_type(g, 14), GGUF_STRING);
    assert_int_equal(gguf_find(g, "text"), 14);
    assert_int_equal(gguf_find(g, "tex"), -1);
    assert_int_equal(gguf_find(g, "text2"), -1);
    assert_int_equal(gguf_version(g), 2);
    gguf_close(g);
    bytes_fini(&y);
}

static void test_tensors_lie_where_the_table_says(void **state)
{
    struct bytes y;
    (void)state;
    bytes_init(&y, 3);
    bytes_tensor(&y, "b", TENSOR_Q4_0, 64, 3);
    bytes_tensor(&y, "a", TENSOR_F32, 5, 1);
    bytes_tensor_at(&y, "c", 20, 256, 1, 0); /* IQ4_NL: a type we do not read */
    bytes_data(&y);
    struct gguf *g = open_bytes(&y);
    const struct gguf_tensor *a = gguf_find_tensor(g, "a"), *b = gguf_find_tensor(g, "b");
    assert_int_equal(gguf_n_tensors(g), 3);
    assert_int_equal(b->bytes, 3 * 2 * 18);
    assert_int_equal(b->offset % 32, 0);
    assert_int_equal(a->offset, b->offset + 128);
    assert_int_equal(a->shape[1], 1);
    assert_int_equal(gguf_find_tensor(g, "c")->bytes, 0);
    assert_null(gguf_find_tensor(g, "d"));
    gguf_close(g);
    bytes_fini(&y);
}

static void test_alignment_key_moves_the_data(void **state)
{
    struct bytes y;
    (void)state;
    bytes_init(&y, 3);
    bytes_key_u32(&y, "general.alignment", 256);
    bytes_tensor(&y, "a", TENSOR_F32, 8, 1);
    bytes_pad(&y, 256);
    bytes_data(&y);
    struct gguf *g = open_bytes(&y);
    assert_int_equal(gguf_tensor(g, 0)->offset, 256);
    gguf_close(g);
    bytes_fini(&y);
}

static void test_fingerprint_sees_the_header_only(void **state)
{
    struct bytes y;
    (void)state;
    bytes_init(&y, 3);
    bytes_key_u32(&y, "k", 1);
    bytes_tensor(&y, "a", TENSOR_F32, 8, 1);
    size_t header = y.b.length;
    bytes_data(&y);
    struct gguf *g = open_bytes(&y);
    uint64_t before = gguf_fingerprint(g);
    y.b.data[y.b.length - 1] = 1;
    assert_int_equal(gguf_fingerprint(g), before);
    y.b.data[header - 1] = 1;
    assert_int_not_equal(gguf_fingerprint(g), before);
    gguf_close(g);
    bytes_fini(&y);
}

static void test_file_without_keys_and_tensors(void **state)
{
    struct bytes y;
    (void)state;
    bytes_init(&y, 3);
    struct gguf *g = open_bytes(&y);
    assert_int_equal(gguf_n_keys(g), 0);
    assert_int_equal(gguf_find(g, "x"), -1);
    assert_null(gguf_find_tensor(g, "x"));
    gguf_close(g);
    bytes_fini(&y);
}

static void test_real_file(void **state)
{
    static const char path[] = "../shared/data/stories260K.gguf";
    struct gguf *g;
    ashlar_error err;
    FILE *f = fopen(path, "rb");
    (void)state;
    if (!f)
        skip();
    fclose(f);
    if (gguf_open(path, &g, &err) != ASHLAR_OK)
        fail_msg("%s", err.message);
    assert_string_equal(gguf_path(g), path);
    assert_true(gguf_fd(g) >= 0);
    assert_int_equal(gguf_size(g), 1185376);
    assert_int_equal(gguf_find_tensor(g, "blk.4.ffn_down.weight")->shape[0], 172);
    gguf_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers_convert),
        cmocka_unit_test(test_integer_out_of_range_is_refused),
        cmocka_unit_test(test_wrong_type_is_refused),
        cmocka_unit_test(test_floats),
        cmocka_unit_test(test_absent_keys_fall_back),
        cmocka_unit_test(test_strings_and_arrays),
        cmocka_unit_test(test_keys_are_listed_in_file_order),
        cmocka_unit_test(test_tensors_lie_where_the_table_says),
        cmocka_unit_test(test_alignment_key_moves_the_data),
        cmocka_unit_test(test_fingerprint_sees_the_header_only),
        cmocka_unit_test(test_file_without_keys_and_tensors),
        cmocka_unit_test(test_real_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
