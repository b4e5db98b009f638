/* atomic operations: what they return and leave behind, alone and from several threads */
#include <pthread.h>
#include <stddef.h>

#define CHECK(n, x)                                                                                \
    if (!(x))                                                                                      \
    return n

struct wide {
    long a, b, c;
};

static int shared, lock;
static unsigned char flag;
static long total;

static void *work(void *unused)
{
    for (int i = 0; i < 2000; i++) {
        __atomic_fetch_add(&shared, 3, __ATOMIC_RELAXED);
        __sync_fetch_and_sub(&shared, 1);
        while (__sync_lock_test_and_set(&lock, 1))
            ;
        total++;
        __sync_lock_release(&lock);
    }
    return unused;
}

static int sync_forms(void)
{
    int n = 5;
    short s = -1;
    char c = 'a';
    long l = 0xf0, *p = &l, *q = p;
    CHECK(1, __sync_fetch_and_add(&n, 2) == 5 && n == 7 && __sync_add_and_fetch(&n, 2) == 9);
    CHECK(2, __sync_sub_and_fetch(&s, 1) == -2 && s == -2 && __sync_fetch_and_or(&s, 1) == -2 && s == -1);
    CHECK(3, __sync_fetch_and_and(&l, 0x3c) == 0xf0 && l == 0x30 && __sync_xor_and_fetch(&l, 0x11) == 0x21);
    CHECK(4, __sync_fetch_and_nand(&c, 'a') == 'a' && c == ~'a');
    CHECK(5, __sync_bool_compare_and_swap(&n, 9, 10) && n == 10 && !__sync_bool_compare_and_swap(&n, 9, 11) && n == 10);
    CHECK(6, __sync_val_compare_and_swap(&n, 10, 12) == 10 && __sync_val_compare_and_swap(&n, 10, 13) == 12 && n == 12);
    CHECK(7, __sync_bool_compare_and_swap(&q, p, NULL) && q == NULL && __sync_lock_test_and_set(&q, p) == NULL && q == p);
    __sync_lock_release(&n);
    __sync_synchronize();
    CHECK(8, n == 0);
    return 0;
}

static int atomic_forms(void)
{
    int n = 5, m = 6, out;
    unsigned long u = 1;
    signed char c = -3;
    double d = 1.5, e;
    struct wide w = {1, 2, 3}, v = {4, 5, 6}, got;
    int *p = &n, *q;
    CHECK(11, __atomic_load_n(&n, __ATOMIC_ACQUIRE) == 5 && __atomic_load_n(&c, 0) == -3);
    __atomic_store_n(&n, 7, __ATOMIC_SEQ_CST);
    __atomic_store_n(&c, n, __ATOMIC_RELEASE);
    CHECK(12, n == 7 && c == 7 && __atomic_exchange_n(&n, 8, 5) == 7 && n == 8);
    CHECK(13, __atomic_fetch_or(&u, 6, 5) == 1 && u == 7 && __atomic_and_fetch(&u, 3, 5) == 3);
    CHECK(14, __atomic_fetch_xor(&u, 1, 5) == 3 && __atomic_sub_fetch(&u, 4, 5) == -2ul && __atomic_nand_fetch(&u, 1, 5) == -1ul);
    CHECK(15, !__atomic_compare_exchange_n(&n, &m, 9, 0, 5, 5) && m == 8 && n == 8);
    CHECK(16, __atomic_compare_exchange_n(&n, &m, 9, 1, 5, 2) && n == 9 && m == 8);
    __atomic_load(&d, &e, 5);
    d = 2.5;
    __atomic_store(&e, &d, 5);
    CHECK(17, e == 2.5);
    __atomic_exchange(&w, &v, &got, 5);
    CHECK(18, got.a == 1 && got.c == 3 && w.b == 5);
    CHECK(19, !__atomic_compare_exchange(&w, &got, &v, 0, 5, 5) && got.c == 6);
    CHECK(20, __atomic_load_n(&p, 0) == &n && (__atomic_store_n(&p, &m, 0), p == &m));
    __atomic_load(&p, &q, 0);
    CHECK(21, q == &m && !__atomic_test_and_set(&flag, 5) && __atomic_test_and_set(&flag, 5));
    __atomic_clear(&flag, 0);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    out = __atomic_always_lock_free(sizeof(int), 0);
    CHECK(22, !flag && out == 1);
    return 0;
}

int main(void)
{
    pthread_t threads[3];
    int failed = sync_forms();
    CHECK(failed, !failed);
    failed = atomic_forms();
    CHECK(failed, !failed);
    for (int i = 0; i < 3; i++)
        CHECK(30, pthread_create(&threads[i], NULL, work, NULL) == 0);
    for (int i = 0; i < 3; i++)
        CHECK(31, pthread_join(threads[i], NULL) == 0);
    CHECK(32, shared == 12000 && total == 6000 && lock == 0);
    return 0;
}
