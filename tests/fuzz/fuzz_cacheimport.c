/*
 * fuzz_cacheimport.c: any text is an export of a cache or is refused with name and line, and then
 * nothing of it comes in; what comes in can be exported and imported again without change.
 *
 * Sources: src/lego/cache.c src/lego/json_line.c
 * Libraries: -lsqlite3 -ljansson
 */
#include "lego/cache.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                  \
    do {                                                                  \
        if (!(condition)) {                                               \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                      \
        }                                                                 \
    } while (0)

/* One cache for the whole run, in memory where there is such a folder; emptied after every input.
 */
static struct cache *open_cache(void)
{
    char folder[] = "/dev/shm/ashlar-fuzz.XXXXXX", elsewhere[] = "/tmp/ashlar-fuzz.XXXXXX";
    struct cache *cache = NULL;
    char *made = mkdtemp(folder);
    CHECK(cache_open(made ? made : mkdtemp(elsewhere), &cache, NULL) == ASHLAR_OK);
    return cache;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cache *cache;
    struct cache_stats stats;
    struct buf first, second;
    ashlar_error err = {0};
    uint64_t n = 0, again = 0;

    if (!cache)
        cache = open_cache();
    CHECK(cache_clear(cache, NULL) == ASHLAR_OK);
    ashlar_status status = cache_import(cache, "e", (const char *)data, size, &n, &err);
    CHECK(cache_count(cache, 1, 1, &stats, NULL) == ASHLAR_OK && stats.entries == n);
    if (status != ASHLAR_OK) {
        CHECK(status == ASHLAR_BAD_INPUT && strncmp(err.message, "e:", 2) == 0 && n == 0);
        return 0;
    }
    buf_init(&first, 1 << 24);
    buf_init(&second, 1 << 24);
    CHECK(cache_export(cache, &first, NULL) == ASHLAR_OK);
    CHECK(cache_clear(cache, NULL) == ASHLAR_OK);
    CHECK(cache_import(cache, "e", first.length ? first.data : "", first.length, &again, &err) ==
          ASHLAR_OK);
    CHECK(again == n && cache_export(cache, &second, NULL) == ASHLAR_OK);
    CHECK(first.length == second.length &&
          (!n || memcmp(first.data, second.data, first.length) == 0));
    buf_fini(&first);
    buf_fini(&second);
    return 0;
}
