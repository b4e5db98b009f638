/* Memory: products that wrap, pages, arenas. */
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bool all_zero(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i])
            return false;
    }
    return true;
}

static void product_is_exact_or_refused(void **state)
{
    (void)state;
    size_t product = 1;
    assert_true(mem_mul(1u << 20, 1u << 20, &product));
    assert_true(product == (size_t)1 << 40);
    assert_true(mem_mul(0, SIZE_MAX, &product));
    assert_int_equal(product, 0);
    assert_false(mem_mul(SIZE_MAX / 2 + 1, 2, &product));
}

static void array_is_zeroed(void **state)
{
    (void)state;
    unsigned char *p = mem_array(1000, 3);
    assert_non_null(p);
    assert_true(all_zero(p, 3000));
    free(p);
}

static void array_of_wrapping_size_is_refused(void **state)
{
    (void)state;
    assert_null(mem_array(SIZE_MAX / 8 + 1, 8));
    assert_null(mem_array(SIZE_MAX, 1));
}

static void empty_array_is_a_pointer(void **state)
{
    (void)state;
    void *a = mem_array(0, 8), *b = mem_array(8, 0);
    assert_non_null(a);
    assert_non_null(b);
    assert_ptr_not_equal(a, b);
    free(a);
    free(b);
}

static void pages_are_zeroed_and_writable_to_the_end(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 4096, 5000, (2 << 20) - 1, 2 << 20, (5 << 20) + 3};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        unsigned char *p = mem_pages(sizes[i]);
        assert_non_null(p);
        assert_true(all_zero(p, sizes[i]));
        memset(p, 0xa5, sizes[i]);
        mem_pages_free(p, sizes[i]);
    }
    mem_pages_free(NULL, 100);
}

static void large_pages_are_aligned_to_2_mib(void **state)
{
    (void)state;
    void *p[4];
    for (int i = 0; i < 4; i++) {
        p[i] = mem_pages((2 << 20) + 4096 * (size_t)i);
        assert_int_equal((uintptr_t)p[i] % (2 << 20), 0);
    }
    for (int i = 0; i < 4; i++)
        mem_pages_free(p[i], (2 << 20) + 4096 * (size_t)i);
}

static void impossible_pages_are_refused(void **state)
{
    (void)state;
    assert_null(mem_pages(SIZE_MAX));
    assert_null(mem_pages(SIZE_MAX - 4096));
    assert_null(mem_pages(SIZE_MAX / 2));
}

static void arena_pieces_are_aligned_zeroed_and_apart(void **state)
{
    (void)state;
    struct arena a;
    assert_true(arena_init(&a, 640));
    unsigned char *x = arena_take(&a, 1), *y = arena_take(&a, 64), *z = arena_take(&a, 100);
    assert_int_equal((uintptr_t)x % 64, 0);
    assert_ptr_equal(y, x + 64);
    assert_ptr_equal(z, y + 64);
    assert_true(all_zero(z, 100));
    assert_int_equal(a.used, arena_piece(1) + arena_piece(64) + arena_piece(100));
    arena_fini(&a);
}

static void full_arena_gives_nothing(void **state)
{
    (void)state;
    struct arena a;
    assert_true(arena_init(&a, 128));
    assert_non_null(arena_take(&a, 65));
    assert_null(arena_take(&a, 1));
    assert_null(arena_take(&a, SIZE_MAX));
    assert_null(arena_take(&a, SIZE_MAX - 10));
    arena_fini(&a);
    assert_null(arena_take(&a, 1));
    arena_fini(&a);
}

static void arena_without_memory_is_empty(void **state)
{
    (void)state;
    struct arena a;
    assert_false(arena_init(&a, SIZE_MAX / 2));
    assert_null(arena_take(&a, 1));
    arena_fini(&a);
}

static void piece_is_rounded_up_to_64(void **state)
{
    (void)state;
    assert_int_equal(arena_piece(0), 0);
    assert_int_equal(arena_piece(1), 64);
    assert_int_equal(arena_piece(64), 64);
    assert_int_equal(arena_piece(65), 128);
    assert_true(arena_piece(SIZE_MAX) == SIZE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(product_is_exact_or_refused),
        cmocka_unit_test(array_is_zeroed),
        cmocka_unit_test(array_of_wrapping_size_is_refused),
        cmocka_unit_test(empty_array_is_a_pointer),
        cmocka_unit_test(pages_are_zeroed_and_writable_to_the_end),
        cmocka_unit_test(large_pages_are_aligned_to_2_mib),
        cmocka_unit_test(impossible_pages_are_refused),
        cmocka_unit_test(arena_pieces_are_aligned_zeroed_and_apart),
        cmocka_unit_test(full_arena_gives_nothing),
        cmocka_unit_test(arena_without_memory_is_empty),
        cmocka_unit_test(piece_is_rounded_up_to_64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
