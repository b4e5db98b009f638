/* The fragment cache: kept, replaced, shared, shipped; damaged, foreign and forged files are
 * refused. */
#include "lego/block_text.h"
#include "lego/cache.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];
static struct cache *cache;
static const char block_a[] = "block x86-64\nint v1\nbegin\nv1 = 1;\nend\n";
static const char block_b[] = "block x86-64\nlong v1\nbegin\nv1 = 2;\nend\n";

static int open_cache(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/ashlar-cache.XXXXXX");
    return mkdtemp(folder) && cache_open(folder, &cache, NULL) == ASHLAR_OK ? 0 : -1;
}

static int close_cache(void **state)
{
    (void)state;
    char command[128];
    cache_close(cache);
    cache = NULL;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static ashlar_status put(struct cache *c, const char *block, const char *fragment, int version)
{
    char key[33];
    block_text_key(block, strlen(block), key);
    struct cache_entry entry = {.key = key,
                                .target = "x86-64",
                                .block = block,
                                .fragment = fragment,
                                .version = version,
                                .level = 3,
                                .vectors = 100,
                                .provenance = "test"};
    return cache_put(c, &entry, NULL);
}

/* The fragment of a block, "" when there is none. */
static const char *get(struct cache *c, const char *block, int version)
{
    static char text[256];
    char key[33];
    struct buf fragment, provenance;
    bool found = true;
    block_text_key(block, strlen(block), key);
    buf_init(&fragment, 200);
    buf_init(&provenance, 200);
    assert_int_equal(
        cache_get(c, key, block, "x86-64", version, &fragment, &provenance, &found, NULL),
        ASHLAR_OK);
    snprintf(text, sizeof text, "%s", found ? fragment.data : "");
    if (found)
        assert_string_equal(provenance.data, "test");
    buf_fini(&fragment);
    buf_fini(&provenance);
    return text;
}

static void what_is_put_is_found(void **state)
{
    (void)state;
    assert_string_equal(get(cache, block_a, 1), "");
    assert_int_equal(put(cache, block_a, "\tmovl\t$1, v1(%rbp)\n", 1), ASHLAR_OK);
    assert_string_equal(get(cache, block_a, 1), "\tmovl\t$1, v1(%rbp)\n");
    assert_string_equal(get(cache, block_b, 1), "");
    assert_string_equal(get(cache, block_a, 2), "");
}

static void entries_outlive_the_handle_and_are_shared(void **state)
{
    (void)state;
    struct cache *other;
    assert_int_equal(cache_open(folder, &other, NULL), ASHLAR_OK);
    assert_int_equal(put(other, block_a, "first", 1), ASHLAR_OK);
    assert_string_equal(get(cache, block_a, 1), "first");
    assert_int_equal(put(cache, block_a, "second", 1), ASHLAR_OK);
    assert_string_equal(get(other, block_a, 1), "second");
    cache_close(other);
}

static void a_cleared_cache_is_empty(void **state)
{
    (void)state;
    put(cache, block_a, "x", 1);
    assert_int_equal(cache_clear(cache, NULL), ASHLAR_OK);
    assert_string_equal(get(cache, block_a, 1), "");
}

/* A key that stands for another block in the file (a forgery, a collision) is no hit. */
static void the_block_text_decides(void **state)
{
    (void)state;
    char key[33];
    block_text_key(block_a, strlen(block_a), key);
    struct cache_entry entry = {.key = key,
                                .target = "x86-64",
                                .block = block_b,
                                .fragment = "x",
                                .version = 1,
                                .provenance = "test"};
    assert_int_equal(cache_put(cache, &entry, NULL), ASHLAR_OK);
    assert_string_equal(get(cache, block_a, 1), "");
}

static void counts(void **state)
{
    (void)state;
    struct cache_stats stats;
    put(cache, block_a, "x", 1);
    put(cache, block_a, "x", 2);
    put(cache, block_b, "y", 2);
    assert_int_equal(cache_count(cache, 2, 3, &stats, NULL), ASHLAR_OK);
    assert_int_equal(stats.entries, 3);
    assert_int_equal(stats.current, 2);
    assert_int_equal(stats.tested, 3);
    assert_true(stats.bytes > 0);
}

static void an_export_can_be_imported_elsewhere(void **state)
{
    (void)state;
    struct buf text, again;
    struct cache *other;
    uint64_t n;
    buf_init(&text, 1 << 20);
    buf_init(&again, 1 << 20);
    put(cache, block_a, "\tnop \"quoted\"\n", 1);
    put(cache, block_b, "y", 1);
    assert_int_equal(cache_export(cache, &text, NULL), ASHLAR_OK);
    assert_int_equal(cache_open(path_of("other/deeper"), &other, NULL), ASHLAR_OK);
    put(other, block_b, "kept", 1);
    assert_int_equal(cache_import(other, "e.jsonl", text.data, text.length, &n, NULL), ASHLAR_OK);
    assert_int_equal(n, 1);
    assert_string_equal(get(other, block_a, 1), "\tnop \"quoted\"\n");
    assert_string_equal(get(other, block_b, 1), "kept");
    cache_close(other);
    buf_fini(&text);
    buf_fini(&again);
}

/* One bad line: nothing of the file comes in. */
static void a_bad_import_changes_nothing(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "{\"key\":1}", "[]", "{",
        ("{\"key\":\"00000000000000000000000000000000\",\"target\":\"x86-64\","
        "\"version\":1,\"block\":\"b\",\"fragment\":\"f\",\"level\":3,\"vectors\":1,\"provenance\":"
        "\"p\",\"made\":1}"),
        "{\"key\":\"a\",\"target\":\"x\\u0000y\"}"};
    struct buf text;
    ashlar_error err;
    uint64_t n;
    buf_init(&text, 1 << 20);
    put(cache, block_a, "x", 1);
    assert_int_equal(cache_export(cache, &text, NULL), ASHLAR_OK);
    size_t good = text.length;
    cache_clear(cache, NULL);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        text.length = good;
        buf_puts(&text, lines[i]);
        assert_int_equal(cache_import(cache, "e.jsonl", text.data, text.length, &n, &err),
                         ASHLAR_BAD_INPUT);
        assert_non_null(strstr(err.message, "e.jsonl:2: "));
        assert_string_equal(get(cache, block_a, 1), "");
    }
    buf_fini(&text);
}

static void overwrite(const char *path, off_t at, const char *bytes, size_t n)
{
    int fd = open(path, O_RDWR | O_CREAT, 0666);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, n, at), (ssize_t)n);
    close(fd);
}

static void another_kind_of_file_is_refused(void **state)
{
    (void)state;
    struct cache *other = NULL;
    ashlar_error err;
    mkdir(path_of("foreign"), 0777);
    overwrite(path_of("foreign/fragments.db"), 0,
              "this is certainly not a database, but long enough", 49);
    assert_int_equal(cache_open(path_of("foreign"), &other, &err), ASHLAR_BAD_INPUT);
    assert_null(other);
    assert_non_null(strstr(err.message, "damaged"));
    assert_non_null(strstr(err.hint, "delete"));
}

/* Every page of the file in turn is overwritten: never a crash, never a fragment that was not put.
 */
static void damage_is_noticed_or_harmless(void **state)
{
    (void)state;
    char block[64], junk[512], copy[128];
    for (int i = 0; i < 100; i++) {
        snprintf(block, sizeof block, "block x86-64\nint v1\nbegin\nv1 = %d;\nend\n", i);
        assert_int_equal(put(cache, block, "good", 1), ASHLAR_OK);
    }
    cache_close(cache);
    cache = NULL;
    struct stat info;
    assert_int_equal(stat(path_of("fragments.db"), &info), 0);
    mkdir(path_of("c"), 0777);
    strcpy(copy, path_of("c/fragments.db"));
    memset(junk, 0xa5, sizeof junk);
    int refused = 0;
    for (off_t at = 0; at < info.st_size; at += 512) {
        char command[300];
        struct cache *other;
        struct buf fragment, provenance;
        bool found = false;
        char key[33];
        snprintf(command, sizeof command, "cp %s/fragments.db %s", folder, copy);
        assert_int_equal(system(command), 0);
        overwrite(copy, at, junk, sizeof junk);
        buf_init(&fragment, 1000);
        buf_init(&provenance, 1000);
        ashlar_status status = cache_open(path_of("c"), &other, NULL);
        for (int i = 0; i < 100 && status == ASHLAR_OK; i++) {
            snprintf(block, sizeof block, "block x86-64\nint v1\nbegin\nv1 = %d;\nend\n", i);
            block_text_key(block, strlen(block), key);
            buf_clear(&fragment);
            status =
                cache_get(other, key, block, "x86-64", 1, &fragment, &provenance, &found, NULL);
            assert_true(status == ASHLAR_OK || status == ASHLAR_BAD_INPUT);
        }
        refused += status == ASHLAR_BAD_INPUT;
        cache_close(other);
        buf_fini(&fragment);
        buf_fini(&provenance);
    }
    assert_true(refused > 0);
}

static void a_folder_that_cannot_be_made_is_an_error(void **state)
{
    (void)state;
    struct cache *other;
    ashlar_error err;
    overwrite(path_of("file"), 0, "x", 1);
    assert_int_equal(cache_open(path_of("file/x"), &other, &err), ASHLAR_FAILED);
    assert_null(other);
}

static void keys_are_the_hash_of_the_text(void **state)
{
    (void)state;
    char key[33];
    block_text_key("", 0, key);
    assert_string_equal(key, "99aa06d3014798d86001c324468d497f"); /* XXH3-128 of nothing */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_cache, close_cache)
    const struct CMUnitTest tests[] = {
        TEST(what_is_put_is_found),
        TEST(entries_outlive_the_handle_and_are_shared),
        TEST(a_cleared_cache_is_empty),
        TEST(the_block_text_decides),
        TEST(counts),
        TEST(an_export_can_be_imported_elsewhere),
        TEST(a_bad_import_changes_nothing),
        TEST(another_kind_of_file_is_refused),
        TEST(damage_is_noticed_or_harmless),
        TEST(a_folder_that_cannot_be_made_is_an_error),
        cmocka_unit_test(keys_are_the_hash_of_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
