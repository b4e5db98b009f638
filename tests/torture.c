/*
 * torture.c: allocators that fail on demand, and the loop that demands it; see torture.h.
 *
 * Every wrapped function asks `refuse` first. What is live is kept in a table of block addresses
 * and a count of mapped bytes (mapped regions are trimmed from both ends, so pairs do not match up,
 * but bytes do). Threads of the code under test may allocate too: one lock guards it all.
 */
#include "torture.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>
#include <pcre2.h>

#define TABLE_SIZE (1 << 16) /* live blocks at once; a power of 2 */
#define MAX_RUNS 20000

static struct {
    pthread_mutex_t lock;
    bool armed, persistent;
    int count, fail_at;      /* allocations so far; the one to fail, 0 = none */
    bool failed;             /* fail_at was reached */
    char what[96];           /* the allocation that failed first */
    uintptr_t blocks[TABLE_SIZE];
    int n_blocks;
    long long mapped_bytes;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* For breakpoints: called when an allocation is made to fail. */
__attribute__((noinline)) void torture_hit(void);
void torture_hit(void)
{
    __asm__ volatile("");
}

static bool refuse(const char *function, size_t bytes)
{
    pthread_mutex_lock(&state.lock);
    bool fail = false;
    if (state.armed) {
        state.count++;
        fail = state.fail_at && (state.count == state.fail_at ||
                                 (state.persistent && state.count > state.fail_at));
        if (fail && !state.failed) {
            state.failed = true;
            snprintf(state.what, sizeof state.what, "%s of %zu bytes", function, bytes);
        }
    }
    pthread_mutex_unlock(&state.lock);
    if (fail) {
        torture_hit();
        errno = ENOMEM;
    }
    return fail;
}

static uint32_t slot_of(uintptr_t address)
{
    return (uint32_t)((address >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 40) & (TABLE_SIZE - 1);
}

/* Remember a block that was allocated while armed; returns it. */
static void *keep(void *block)
{
    pthread_mutex_lock(&state.lock);
    if (block && state.armed && state.n_blocks < TABLE_SIZE / 2) {
        uint32_t slot = slot_of((uintptr_t)block);
        while (state.blocks[slot])
            slot = (slot + 1) & (TABLE_SIZE - 1);
        state.blocks[slot] = (uintptr_t)block;
        state.n_blocks++;
    }
    pthread_mutex_unlock(&state.lock);
    return block;
}

/* Take a block out of the table, if it is there, and close the gap in its run of slots. */
static void forget(const void *block)
{
    pthread_mutex_lock(&state.lock);
    uint32_t slot = slot_of((uintptr_t)block);
    while (state.blocks[slot] && state.blocks[slot] != (uintptr_t)block)
        slot = (slot + 1) & (TABLE_SIZE - 1);
    if (block && state.blocks[slot]) {
        state.n_blocks--;
        uint32_t gap = slot;
        for (uint32_t i = (slot + 1) & (TABLE_SIZE - 1); state.blocks[i];
             i = (i + 1) & (TABLE_SIZE - 1)) {
            uint32_t home = slot_of(state.blocks[i]);
            if (((i - home) & (TABLE_SIZE - 1)) >= ((i - gap) & (TABLE_SIZE - 1))) {
                state.blocks[gap] = state.blocks[i];
                gap = i;
            }
        }
        state.blocks[gap] = 0;
    }
    pthread_mutex_unlock(&state.lock);
}

static void count_mapped(long long bytes)
{
    pthread_mutex_lock(&state.lock);
    if (state.armed)
        state.mapped_bytes += bytes;
    pthread_mutex_unlock(&state.lock);
}

/* The wrapped functions: the linker sends calls of f to __wrap_f; __real_f is the original. */
#define WRAP(type, function, ...)          \
    type __real_##function(__VA_ARGS__);   \
    type __wrap_##function(__VA_ARGS__);   \
    type __wrap_##function(__VA_ARGS__)

WRAP(void, free, void *block)
{
    forget(block);
    __real_free(block);
}

WRAP(void *, malloc, size_t bytes)
{
    return refuse("malloc", bytes) ? NULL : keep(__real_malloc(bytes));
}

WRAP(void *, calloc, size_t n, size_t bytes)
{
    return refuse("calloc", n * bytes) ? NULL : keep(__real_calloc(n, bytes));
}

WRAP(void *, realloc, void *block, size_t bytes)
{
    if (refuse("realloc", bytes))
        return NULL;
    forget(block); /* before: the address may belong to another thread afterwards */
    void *moved = __real_realloc(block, bytes);
    return keep(moved ? moved : block), moved;
}

WRAP(void *, aligned_alloc, size_t alignment, size_t bytes)
{
    return refuse("aligned_alloc", bytes) ? NULL : keep(__real_aligned_alloc(alignment, bytes));
}

WRAP(int, posix_memalign, void **out, size_t alignment, size_t bytes)
{
    if (refuse("posix_memalign", bytes))
        return ENOMEM;
    int failure = __real_posix_memalign(out, alignment, bytes);
    if (failure == 0)
        keep(*out);
    return failure;
}

WRAP(char *, strdup, const char *text)
{
    return refuse("strdup", strlen(text) + 1) ? NULL : keep(__real_strdup(text));
}

WRAP(char *, strndup, const char *text, size_t n)
{
    return refuse("strndup", n + 1) ? NULL : keep(__real_strndup(text, n));
}

static long long whole_pages(size_t bytes)
{
    return (long long)((bytes + 4095) / 4096 * 4096);
}

WRAP(void *, mmap, void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    if (refuse("mmap", bytes))
        return MAP_FAILED;
    void *p = __real_mmap(at, bytes, protection, flags, fd, offset);
    count_mapped(p == MAP_FAILED ? 0 : whole_pages(bytes));
    return p;
}

WRAP(int, munmap, void *p, size_t bytes)
{
    count_mapped(-whole_pages(bytes));
    return __real_munmap(p, bytes);
}

WRAP(int, pthread_create, pthread_t *thread, const pthread_attr_t *attributes,
     void *(*start)(void *), void *argument)
{
    if (refuse("pthread_create", 0))
        return EAGAIN;
    return __real_pthread_create(thread, attributes, start, argument);
}

WRAP(pcre2_code *, pcre2_compile_8, PCRE2_SPTR pattern, PCRE2_SIZE length, uint32_t options,
     int *error, PCRE2_SIZE *offset, pcre2_compile_context *context)
{
    if (refuse("pcre2_compile", 0)) {
        *error = PCRE2_ERROR_HEAP_FAILED;
        *offset = 0;
        return NULL;
    }
    return keep(__real_pcre2_compile_8(pattern, length, options, error, offset, context));
}

WRAP(void, pcre2_code_free_8, pcre2_code *code)
{
    forget(code);
    __real_pcre2_code_free_8(code);
}

WRAP(pcre2_match_data *, pcre2_match_data_create_8, uint32_t pairs, pcre2_general_context *context)
{
    return refuse("pcre2_match_data_create", 0)
               ? NULL
               : keep(__real_pcre2_match_data_create_8(pairs, context));
}

WRAP(pcre2_match_data *, pcre2_match_data_create_from_pattern_8, const pcre2_code *code,
     pcre2_general_context *context)
{
    return refuse("pcre2_match_data_create_from_pattern", 0)
               ? NULL
               : keep(__real_pcre2_match_data_create_from_pattern_8(code, context));
}

WRAP(void, pcre2_match_data_free_8, pcre2_match_data *data)
{
    forget(data);
    __real_pcre2_match_data_free_8(data);
}

WRAP(pcre2_match_context *, pcre2_match_context_create_8, pcre2_general_context *context)
{
    return refuse("pcre2_match_context_create", 0)
               ? NULL
               : keep(__real_pcre2_match_context_create_8(context));
}

WRAP(void, pcre2_match_context_free_8, pcre2_match_context *context)
{
    forget(context);
    __real_pcre2_match_context_free_8(context);
}

WRAP(int, pcre2_match_8, const pcre2_code *code, PCRE2_SPTR subject, PCRE2_SIZE length,
     PCRE2_SIZE start, uint32_t options, pcre2_match_data *data, pcre2_match_context *context)
{
    if (refuse("pcre2_match", 0))
        return PCRE2_ERROR_NOMEMORY;
    return __real_pcre2_match_8(code, subject, length, start, options, data, context);
}

static int open_files(void)
{
    int n = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (folder && readdir(folder))
        n++;
    if (folder)
        closedir(folder);
    return n;
}

static void begin_run(int fail_at, bool persistent)
{
    pthread_mutex_lock(&state.lock);
    memset(state.blocks, 0, sizeof state.blocks);
    state.n_blocks = 0;
    state.mapped_bytes = 0;
    state.count = 0;
    state.fail_at = fail_at;
    state.persistent = persistent;
    state.failed = false;
    state.what[0] = '\0';
    state.armed = true;
    pthread_mutex_unlock(&state.lock);
}

/* One run; what is wrong with how it went, or NULL. state.failed tells whether it was disturbed. */
static const char *run(torture_action action, void *context, int fail_at, bool persistent)
{
    static char complaint[1024];
    ashlar_error err = {0};
    int files = open_files();
    begin_run(fail_at, persistent);
    ashlar_status status = action(context, &err);
    state.armed = false;
    files = open_files() - files;

    ashlar_status wanted = state.failed ? ASHLAR_NO_RESOURCE : ASHLAR_OK;
    bool unsaid = state.failed && !err.message[0];
    if (status == wanted && !unsaid && !state.n_blocks && !state.mapped_bytes && !files)
        return NULL;
    snprintf(complaint, sizeof complaint,
             "allocation %d%s (%s): status %d, expected %d, message \"%s\"; left behind: %d "
             "blocks, %lld mapped bytes, %d files. Again: TORTURE_AT=%d, break on torture_hit",
             fail_at, persistent ? " and all after it" : "", state.what, status, wanted,
             err.message, state.n_blocks, state.mapped_bytes, files, fail_at);
    return complaint;
}

const char *torture_count(torture_action action, void *context, int *n_allocations)
{
    const char *complaint = run(action, context, 0, false);
    *n_allocations = state.count;
    return complaint;
}

const char *torture_check(torture_action action, void *context, int *n_allocations)
{
    const char *only = getenv("TORTURE_AT");
    if (only)
        return run(action, context, atoi(only), false);
    /* The first run also lets libraries make what they keep for good. */
    const char *complaint = torture_count(action, context, n_allocations);
    for (int persistent = 0; persistent < 2 && !complaint; persistent++) {
        for (int n = 1; n <= MAX_RUNS && !complaint; n++) {
            complaint = run(action, context, n, persistent);
            if (!state.failed)
                break;
        }
    }
    return complaint;
}

int torture(torture_action action, void *context)
{
    int n_allocations = 0;
    const char *complaint = torture_check(action, context, &n_allocations);
    if (complaint)
        fail_msg("%s", complaint);
    return n_allocations;
}
