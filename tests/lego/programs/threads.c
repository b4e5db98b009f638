/* thread-local objects: each thread has its own */
#include <pthread.h>
#include <stddef.h>

#define CHECK(n, x)                                                                                \
    if (!(x))                                                                                      \
    return n

struct record {
    char c;
    long n;
};

__thread int counter = 5;
static _Thread_local struct record record = {'x', 7};
_Thread_local long table[4] = {1, 2, 3};
static __thread char zeros[40];
extern __thread int later;
static _Thread_local volatile int vol = 3;
static _Thread_local int *pointer;
static _Thread_local _Alignas(64) int aligned = 9;
__thread int later = 11;

static int count(void)
{
    static _Thread_local int calls = 100;
    return ++calls;
}

static int used_late(int n)
{
    if (n == 0)
        return 0;
again:
    if (counter < n) {
        counter++;
        goto again;
    }
    return counter;
}

static int *address(void)
{
    return &counter;
}

/* The same checks in every thread: none sees what another has done. */
static long check(void)
{
    CHECK(1, counter == 5 && record.c == 'x' && record.n == 7 && later == 11);
    CHECK(2, table[0] == 1 && table[2] == 3 && table[3] == 0 && zeros[39] == 0);
    counter += 2;
    record.n *= 3;
    table[3] = counter;
    zeros[2] = record.c++;
    CHECK(3, counter == 7 && record.n == 21 && table[3] == 7 && zeros[2] == 'x');
    pointer = &counter;
    *pointer = 40;
    CHECK(4, counter == 40 && address() == pointer && used_late(0) == 0 && used_late(43) == 43);
    vol++;
    vol += vol;
    CHECK(5, vol == 8 && count() == 101 && count() == 102);
    struct record copy = record;
    long *last = table + 3;
    CHECK(6, copy.n == 21 && *last-- == 7 && *last == 3 && sizeof table == 32);
    CHECK(7, (unsigned long)&aligned % 64 == 0 && aligned == 9);
    later = aligned = 0;
    return 0;
}

static void *in_thread(void *where)
{
    *(int **)where = &counter;
    return (void *)check();
}

int main(void)
{
    pthread_t thread;
    void *result;
    int *other;
    CHECK(10, check() == 0);
    for (int i = 0; i < 3; i++) {
        CHECK(11, pthread_create(&thread, NULL, in_thread, &other) == 0);
        CHECK(12, pthread_join(thread, &result) == 0 && result == NULL);
        CHECK(13, other != &counter && counter == 43);
    }
    return 0;
}
