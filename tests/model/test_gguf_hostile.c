/*
 * test_gguf_hostile.c: malformed GGUF files are refused with BAD_INPUT and a message that names the
 * offset and the key or tensor; none may crash or take memory beyond a multiple of its own size.
 */
#include "model/gguf.h"

#include "gguf_bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* Opens a copy of exactly `size` bytes, so that a sanitizer sees any read beyond. */
static ashlar_status open_exact(const void *data, size_t size, ashlar_error *err)
{
    struct gguf *g;
    void *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, data, size);
    ashlar_status s = gguf_open_memory(copy, size, "m.gguf", &g, err);
    gguf_close(g);
    free(copy);
    return s;
}

/* The file is refused and the message holds `words`. */
static void check_refused(struct bytes *y, const char *words)
{
    ashlar_error err = {0};
    ashlar_status s = open_exact(y->b.data, y->b.length, &err);
    if (s != ASHLAR_BAD_INPUT || !strstr(err.message, words) || strncmp(err.message, "m.gguf: ", 8))
        fail_msg("status %d, message \"%s\", wanted \"%s\"", (int)s, err.message, words);
    bytes_fini(y);
}

static void set_u64(struct bytes *y, size_t at, uint64_t v)
{
    memcpy(y->b.data + at, &v, sizeof v);
}

static void test_truncated_at_every_byte(void **state)
{
    struct bytes y;
    struct model_spec spec = {.matrices_q8 = true};
    ashlar_error err;
    (void)state;
    bytes_model(&y, &spec);
    assert_int_equal(open_exact(y.b.data, y.b.length, &err), ASHLAR_OK);
    for (size_t n = 0; n < y.b.length; n++) { /* the last tensor ends with the file, unpadded */
        ashlar_status s = open_exact(y.b.data, n, &err);
        if (s != ASHLAR_BAD_INPUT)
            fail_msg("cut to %zu bytes: status %d", n, (int)s);
        assert_non_null(strstr(err.message, "m.gguf: offset "));
    }
    bytes_fini(&y);
}

static void test_magic_and_versions(void **state)
{
    static const struct {
        uint32_t version;
        const char *words;
    } cases[] = {
        {0, "version 0"},
        {1, "version 1 is not supported"},
        {4, "version 4"},
        {0x02000000, "big-endian"},
        {0x03000000, "big-endian"},
    };
    struct bytes y;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bytes_init(&y, cases[i].version);
        check_refused(&y, cases[i].words);
    }
    bytes_init(&y, 3);
    y.b.data[0] = 'g';
    check_refused(&y, "offset 0: not a GGUF file");
}

static void test_huge_counts(void **state)
{
    static const uint64_t counts[] = {1, 1u << 20, UINT32_MAX, INT64_MAX, UINT64_MAX};
    struct bytes y;
    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        bytes_init(&y, 3);
        set_u64(&y, 8, counts[i]);
        check_refused(&y, "tensors do not fit");
        bytes_init(&y, 3);
        set_u64(&y, 16, counts[i]);
        check_refused(&y, "keys do not fit");
    }
}

static void test_huge_lengths(void **state)
{
    static const uint64_t lengths[] = {1000, INT64_MAX, UINT64_MAX - 7, UINT64_MAX};
    struct bytes y;
    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        bytes_init(&y, 3);
        bytes_key_string(&y, "general.name", "x");
        set_u64(&y, 24 + 8 + 12 + 4, lengths[i]);
        check_refused(&y, "key general.name: string length");
        bytes_init(&y, 3);
        bytes_key_array(&y, "list", GGUF_F64, lengths[i]);
        check_refused(&y, "key list: array of");
        bytes_init(&y, 3);
        bytes_key_array(&y, "list", GGUF_STRING, lengths[i]);
        check_refused(&y, "key list: ");
    }
}

static void test_string_in_array_names_its_offset(void **state)
{
    struct bytes y;
    char words[96];
    (void)state;
    bytes_init(&y, 3);
    bytes_key_array(&y, "tokenizer.ggml.tokens", GGUF_STRING, 2);
    bytes_string(&y, "one");
    size_t at = y.b.length;
    bytes_u64(&y, 99999);
    snprintf(words, sizeof words,
             "m.gguf: offset %zu: key tokenizer.ggml.tokens: string length 99999 runs past", at);
    check_refused(&y, words);
}

static void test_wrong_types(void **state)
{
    struct bytes y;
    (void)state;
    bytes_init(&y, 3);
    bytes_key(&y, "k", GGUF_TYPE_COUNT);
    bytes_u64(&y, 0);
    check_refused(&y, "key k: unknown value type 13");
    bytes_init(&y, 3);
    bytes_key_array(&y, "k", 99, 0);
    check_refused(&y, "key k: array of unknown type 99");
    bytes_init(&y, 3);
    bytes_key_array(&y, "k", GGUF_ARRAY, 1);
    bytes_u32(&y, GGUF_U8);
    bytes_u64(&y, 0);
    check_refused(&y, "key k: an array of arrays");
    bytes_init(&y, 3);
    bytes_key(&y, "k", GGUF_BOOL);
    buf_append(&y.b, "\2", 1);
    check_refused(&y, "key k: 2 is not a truth value");
    bytes_init(&y, 3);
    bytes_key_array(&y, "k", GGUF_BOOL, 2);
    buf_append(&y.b, "\1\xff", 2);
    check_refused(&y, "key k: 255 is not a truth value");
}

static void test_names(void **state)
{
    struct bytes y;
    char longest[80];
    (void)state;
    bytes_init(&y, 3);
    bytes_key_u32(&y, "", 1);
    bytes_u64(&y, 0); /* so that a key fits */
    check_refused(&y, "a name of 0 bytes");
    bytes_init(&y, 3);
    bytes_key_u32(&y, "abc", 1);
    y.b.data[24 + 8 + 1] = '\0';
    check_refused(&y, "a zero byte in a name");
    memset(longest, 'x', sizeof longest);
    longest[64] = '\0';
    bytes_init(&y, 3);
    bytes_tensor(&y, longest, TENSOR_F32, 8, 1);
    bytes_data(&y);
    check_refused(&y, "a name of 64 bytes");
}

static void test_duplicates(void **state)
{
    struct bytes y;
    (void)state;
    bytes_init(&y, 3);
    bytes_key_u32(&y, "a", 1);
    bytes_key_u32(&y, "b", 1);
    bytes_key_string(&y, "a", "again");
    check_refused(&y, "key a: appears twice");
    bytes_init(&y, 3);
    bytes_tensor(&y, "t", TENSOR_F32, 8, 1);
    bytes_tensor(&y, "u", TENSOR_F32, 8, 1);
    bytes_tensor(&y, "t", TENSOR_F32, 8, 1);
    bytes_data(&y);
    check_refused(&y, "tensor t: appears twice");
}

static void test_dimensions(void **state)
{
    static const struct {
        uint64_t cols, rows;
        const char *words;
    } cases[] = {
        {0, 2, "dimension 0 is zero"},
        {32, 0, "dimension 1 is zero"},
        {UINT64_MAX, 2, "shape wraps 64 bits"},
        {1ull << 32, 1ull << 32, "shape wraps 64 bits"},
        {1ull << 62, 1ull << 2, "shape wraps 64 bits"},
        {1ull << 62, 1, "size wraps 64 bits"},
        {1ull << 40, 1ull << 10, "runs past the end"},
        {8, 1000, "runs past the end"},
    };
    struct bytes y;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bytes_init(&y, 3);
        bytes_tensor_at(&y, "t", TENSOR_F32, cases[i].cols, cases[i].rows, 0);
        bytes_pad(&y, 32);
        check_refused(&y, cases[i].words);
    }
}

static void test_number_of_dimensions(void **state)
{
    static const uint32_t counts[] = {0, 5, UINT32_MAX};
    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct bytes y;
        bytes_init(&y, 3);
        bytes_tensor(&y, "t", TENSOR_F32, 8, 1);
        bytes_data(&y);
        memcpy(y.b.data + 24 + 8 + 1, &counts[i], sizeof counts[i]);
        check_refused(&y, "tensor t: ");
    }
}

static void test_rows_that_are_no_whole_blocks(void **state)
{
    static const struct {
        uint32_t type;
        uint64_t cols;
    } cases[] = {{TENSOR_Q4_0, 33}, {TENSOR_Q8_0, 16}, {TENSOR_Q4_K, 128}, {TENSOR_Q6_K, 257}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bytes y;
        bytes_init(&y, 3);
        bytes_tensor(&y, "t", cases[i].type, cases[i].cols, 2);
        bytes_data(&y);
        check_refused(&y, "not whole blocks");
    }
}

static void test_overlaps(void **state)
{
    struct bytes y;
    (void)state;
    bytes_init(&y, 3);
    bytes_tensor_at(&y, "t", TENSOR_F32, 16, 1, 32);
    bytes_tensor_at(&y, "u", TENSOR_F32, 16, 1, 0);
    y.data = 256;
    bytes_data(&y);
    check_refused(&y, "tensor t: overlaps tensor u");
    bytes_init(&y, 3);
    bytes_tensor_at(&y, "t", TENSOR_F32, 16, 1, 64);
    bytes_tensor_at(&y, "u", TENSOR_F32, 16, 1, 64);
    y.data = 256;
    bytes_data(&y);
    check_refused(&y, "overlaps tensor");
}

static void test_offsets(void **state)
{
    static const uint64_t offsets[] = {16, 33, 1ull << 40, UINT64_MAX - 31, UINT64_MAX};
    (void)state;
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        struct bytes y;
        bytes_init(&y, 3);
        bytes_tensor_at(&y, "t", TENSOR_F32, 8, 1, offsets[i]);
        y.data = 256;
        bytes_data(&y);
        check_refused(&y, i < 2 || offsets[i] % 32 ? "not a multiple of 32" : "runs past the end");
    }
}

static void test_alignments(void **state)
{
    static const uint32_t alignments[] = {0, 1, 4, 24, 33, 1u << 21, UINT32_MAX};
    (void)state;
    for (size_t i = 0; i < sizeof alignments / sizeof alignments[0]; i++) {
        struct bytes y;
        bytes_init(&y, 3);
        bytes_key_u32(&y, "general.alignment", alignments[i]);
        bytes_tensor(&y, "t", TENSOR_F32, 8, 1);
        bytes_data(&y);
        check_refused(&y, "key general.alignment: ");
    }
}

static void test_names_in_messages_are_printable(void **state)
{
    struct bytes y;
    ashlar_error err;
    (void)state;
    bytes_init(&y, 3);
    bytes_key(&y, "evil\033[2Jname\n", 99);
    bytes_u64(&y, 0);
    assert_int_equal(open_exact(y.b.data, y.b.length, &err), ASHLAR_BAD_INPUT);
    assert_non_null(strstr(err.message, "key evil?[2Jname?: "));
    bytes_fini(&y);
}

/* Every single byte of a small file set to several values: any outcome but a crash. */
static void test_flipped_bytes(void **state)
{
    static const unsigned char values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    struct bytes y;
    struct model_spec spec = {.tied = true};
    ashlar_error err;
    size_t refused = 0;
    (void)state;
    bytes_model(&y, &spec);
    size_t header = y.b.length - (size_t)y.data;
    for (size_t i = 0; i < header; i++) {
        char old = y.b.data[i];
        for (size_t k = 0; k < sizeof values; k++) {
            y.b.data[i] = (char)values[k];
            ashlar_status s = open_exact(y.b.data, y.b.length, &err);
            assert_true(s == ASHLAR_OK || s == ASHLAR_BAD_INPUT);
            refused += s == ASHLAR_BAD_INPUT;
        }
        y.b.data[i] = old;
    }
    assert_true(refused > header); /* most are found out; values and names may be anything */
    bytes_fini(&y);
}

static void test_files_that_cannot_be_opened(void **state)
{
    struct gguf *g = (struct gguf *)&g;
    ashlar_error err;
    (void)state;
    assert_int_equal(gguf_open("tests/no such file.gguf", &g, &err), ASHLAR_FAILED);
    assert_null(g);
    assert_int_equal(gguf_open("/", &g, &err), ASHLAR_BAD_INPUT);
    assert_int_equal(gguf_open("/dev/null", &g, &err), ASHLAR_BAD_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_truncated_at_every_byte),
        cmocka_unit_test(test_magic_and_versions),
        cmocka_unit_test(test_huge_counts),
        cmocka_unit_test(test_huge_lengths),
        cmocka_unit_test(test_string_in_array_names_its_offset),
        cmocka_unit_test(test_wrong_types),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_dimensions),
        cmocka_unit_test(test_number_of_dimensions),
        cmocka_unit_test(test_rows_that_are_no_whole_blocks),
        cmocka_unit_test(test_overlaps),
        cmocka_unit_test(test_offsets),
        cmocka_unit_test(test_alignments),
        cmocka_unit_test(test_names_in_messages_are_printable),
        cmocka_unit_test(test_flipped_bytes),
        cmocka_unit_test(test_files_that_cannot_be_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
