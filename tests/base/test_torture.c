/*
 * Base under failing allocations; and the torture itself: it must notice a leak, a wrong status and
 * a forgotten message, or the tests that rely on it prove nothing.
 */
#include "../torture.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static ashlar_status use_pool(void *context, ashlar_error *err)
{
    (void)context;
    struct pool *pool;
    ashlar_status status = pool_new(3, &pool, err);
    pool_free(pool);
    return status;
}

static void pool_gives_up_cleanly(void **state)
{
    (void)state;
    assert_int_equal(torture(use_pool, NULL), 3); /* itself and two threads */
}

static ashlar_status use_memory(void *context, ashlar_error *err)
{
    (void)context;
    struct arena arena;
    ashlar_status status = ASHLAR_OK;
    void *array = mem_array(10, 100), *pages = mem_pages(5 << 20);
    if (!arena_init(&arena, 3 << 20) || !array || !pages)
        status = error_memory(err, 0, "the test");
    arena_fini(&arena);
    mem_pages_free(pages, 5 << 20);
    free(array);
    return status;
}

static void memory_gives_up_cleanly(void **state)
{
    (void)state;
    assert_int_equal(torture(use_memory, NULL), 3);
}

static ashlar_status use_files(void *context, ashlar_error *err)
{
    (void)context;
    struct os_map map;
    struct buf b;
    buf_init(&b, 1 << 20);
    ashlar_status status = os_map_open(&map, "/proc/self/exe", err);
    if (status == ASHLAR_OK)
        status = os_read_file("/proc/self/maps", &b, err);
    if (status == ASHLAR_OK && !buf_printf(&b, "%100000d", 1))
        status = error_memory(err, 100000, "the test");
    buf_fini(&b);
    os_map_close(&map);
    return status;
}

static void files_give_up_cleanly(void **state)
{
    (void)state;
    assert_in_range(torture(use_files, NULL), 3, 100);
}

static void *volatile leaked; /* volatile: malloc with free may be optimised away */

static ashlar_status leak(void *context, ashlar_error *err)
{
    (void)context;
    leaked = malloc(10);
    void *second = leaked ? malloc(10) : NULL;
    ashlar_status status = leaked && second ? ASHLAR_OK : error_memory(err, 10, "the test");
    if (second) {
        free(leaked); /* forgotten when the second allocation fails */
    }
    free(second);
    return status;
}

static ashlar_status hide(void *context, ashlar_error *err)
{
    (void)context;
    (void)err;
    leaked = malloc(10);
    free(leaked);
    return ASHLAR_OK;
}

static ashlar_status say_nothing(void *context, ashlar_error *err)
{
    (void)context;
    (void)err;
    leaked = malloc(10);
    free(leaked);
    return leaked ? ASHLAR_OK : ASHLAR_NO_RESOURCE;
}

static void check_caught(torture_action action, const char *words)
{
    int n;
    const char *complaint = torture_check(action, NULL, &n);
    assert_non_null(complaint);
    assert_non_null(strstr(complaint, words));
}

static void bad_actions_are_caught(void **state)
{
    (void)state;
    check_caught(leak, "allocation 2 (malloc of 10 bytes): status 4, expected 4, message "
                       "\"out of memory (10 bytes for the test)\"; left behind: 1 blocks");
    free(leaked);
    check_caught(hide, "allocation 1 (malloc of 10 bytes): status 0, expected 4");
    check_caught(say_nothing, "status 4, expected 4, message \"\"; left behind: 0 blocks");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pool_gives_up_cleanly),
        cmocka_unit_test(memory_gives_up_cleanly),
        cmocka_unit_test(files_give_up_cleanly),
        cmocka_unit_test(bad_actions_are_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
