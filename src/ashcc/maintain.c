/* maintain.c: see maintain.h. */
#include "ashcc/maintain.h"

#include "ashcc/settings.h"
#include "ashcc/ui.h"
#include "base/os.h"
#include "base/output.h"
#include "lego/cache.h"
#include "lego/verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* An export is made whole in memory before any of it is written; this is its bound. */
enum { TEXT_MAX = 1 << 30 };

/* Imported entries are believed as little as any others: they are verified when they are used. */
static ashlar_status import(struct cache *cache, ashlar_error *err)
{
    struct buf text;
    uint64_t n = 0;
    buf_init(&text, TEXT_MAX);
    ashlar_status status = os_read_file(settings.cache_import, &text, err);
    if (status == ASHLAR_OK)
        status = cache_import(cache, settings.cache_import, text.length ? text.data : "",
                              text.length, &n, err);
    if (status == ASHLAR_OK && !settings.quiet)
        fprintf(stderr, "ashcc: %" PRIu64 " new entries from %s\n", n, settings.cache_import);
    buf_fini(&text);
    return status;
}

static ashlar_status export(struct cache *cache, ashlar_error *err)
{
    struct buf text;
    buf_init(&text, TEXT_MAX);
    ashlar_status status = cache_export(cache, &text, err);
    if (status == ASHLAR_OK && strcmp(settings.cache_export, "-") == 0)
        status = output_write(STDOUT_FILENO, &text, "standard output", err);
    else if (status == ASHLAR_OK)
        status = output_write_file(settings.cache_export, &text, err);
    buf_fini(&text);
    return status;
}

/* Entries of other versions of the verifier are counted apart: this build never uses them; they
 * stay for those that made them. */
static ashlar_status print_stats(struct cache *cache, ashlar_error *err)
{
    struct cache_stats stats;
    char size[16];
    ashlar_status status = cache_count(cache, VERIFY_VERSION, VERIFY_TESTED, &stats, err);
    if (status == ASHLAR_OK)
        printf("%s\n%" PRIu64 " fragments, %" PRIu64
               " of them of this verifier (version %d), %" PRIu64 " tested, %s\n",
               stats.path, stats.entries, stats.current, VERIFY_VERSION, stats.tested,
               text_bytes(stats.bytes, size));
    return status;
}

/* Import before export, so that one call merges; figures last, of what is there then. */
int maintain_cache(void)
{
    struct cache *cache;
    ashlar_error err = {0};
    ashlar_status status;
    if (settings.cache && strcmp(settings.cache, "off") == 0) {
        error_set(&err, ASHLAR_USAGE, "there is no cache with --cache=off");
        return ui_fail(&err);
    }
    status = cache_open(settings.cache, &cache, &err);
    if (status == ASHLAR_OK && settings.cache_import)
        status = import(cache, &err);
    if (status == ASHLAR_OK && settings.cache_export)
        status = export(cache, &err);
    if (status == ASHLAR_OK && settings.cache_stats)
        status = print_stats(cache, &err);
    cache_close(cache);
    return status == ASHLAR_OK ? 0 : ui_fail(&err);
}
