/*
 * os_memory.c: how much memory this process uses and may still take.
 *
 * Read from /proc and the cgroup file system with plain reads into the stack: these functions are
 * called when memory is short, so they allocate nothing. Whatever cannot be read is treated as
 * absent: a machine without cgroups has no cgroup limit.
 */
#include "base/os.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* The start of a small text file, NUL-terminated; false when it cannot be read. */
static bool read_text(const char *path, char *out, size_t capacity)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    size_t used = 0;
    ssize_t got;
    while (used < capacity - 1 && (got = read(fd, out + used, capacity - 1 - used)) > 0) {
        used += (size_t)got;
    }
    close(fd);
    out[used] = '\0';
    return used > 0;
}

/* The number after `key` at the start of a line; false when there is none. */
static bool find_number(const char *text, const char *key, uint64_t *value)
{
    size_t n = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, n) == 0) {
            *value = strtoull(line + n, NULL, 10);
            return true;
        }
        if (*line == '\0') {
            break;
        }
    }
    return false;
}

static uint64_t status_bytes(const char *key)
{
    char text[4096];
    uint64_t kib;
    if (!read_text("/proc/self/status", text, sizeof text) || !find_number(text, key, &kib)) {
        return 0;
    }
    return kib * 1024;
}

uint64_t os_rss_bytes(void)
{
    return status_bytes("VmRSS:");
}

uint64_t os_peak_rss_bytes(void)
{
    /* VmHWM, not getrusage: that one carries the peak of the program which started us over exec. */
    uint64_t peak = status_bytes("VmHWM:");
    struct rusage usage;
    if (peak == 0 && getrusage(RUSAGE_SELF, &usage) == 0) {
        peak = (uint64_t)usage.ru_maxrss * 1024;
    }
    return peak;
}

/* A file of one number below folder/path; false when absent or "max". */
static bool read_number(const char *folder, const char *path, const char *file, uint64_t *value)
{
    char name[4352], text[64];
    int n = snprintf(name, sizeof name, "%s%s/%s", folder, path, file);
    if (n < 0 || (size_t)n >= sizeof name || !read_text(name, text, sizeof text)) {
        return false;
    }
    char *end;
    *value = strtoull(text, &end, 10);
    return end != text;
}

/* The names that the two versions of the memory controller give to the same things. */
struct controller {
    const char *limit, *usage, *reclaimable;
};

static const struct controller version1 = {"memory.limit_in_bytes", "memory.usage_in_bytes",
                                           "total_inactive_file "};
static const struct controller version2 = {"memory.max", "memory.current", "inactive_file "};

/* What one group still allows; UINT64_MAX without a limit. */
static uint64_t group_room(const struct controller *c, const char *folder, const char *path)
{
    uint64_t limit, usage, cache = 0;
    if (!read_number(folder, path, c->limit, &limit) ||
        !read_number(folder, path, c->usage, &usage)) {
        return UINT64_MAX;
    }
    /* Cached file pages that were not used lately count as usage but go when memory is needed. */
    char name[4352], text[8192];
    int n = snprintf(name, sizeof name, "%s%s/memory.stat", folder, path);
    if (n > 0 && (size_t)n < sizeof name && read_text(name, text, sizeof text)) {
        find_number(text, c->reclaimable, &cache);
    }
    usage -= cache < usage ? cache : usage;
    return limit > usage ? limit - usage : 0;
}

/* The least room of the group at `path` (changed) and all its parents. */
static uint64_t path_room(const struct controller *c, const char *folder, char *path)
{
    uint64_t room = UINT64_MAX;
    for (;;) {
        size_t n = strlen(path);
        while (n > 0 && path[n - 1] == '/') {
            path[--n] = '\0';
        }
        uint64_t here = group_room(c, folder, path);
        room = here < room ? here : room;
        char *slash = strrchr(path, '/');
        if (!slash) {
            return room;
        }
        *slash = '\0';
    }
}

/* Is "memory" among the comma-separated controllers in [list, end)? */
static bool has_memory(const char *list, const char *end)
{
    while (list < end) {
        const char *comma = memchr(list, ',', (size_t)(end - list));
        const char *stop = comma ? comma : end;
        if (stop - list == 6 && memcmp(list, "memory", 6) == 0) {
            return true;
        }
        list = stop + 1;
    }
    return false;
}

uint64_t os_cgroup_room(const char *membership, const char *mount)
{
    char text[8192], folder[512];
    if (!read_text(membership, text, sizeof text)) {
        return UINT64_MAX;
    }
    uint64_t room = UINT64_MAX;
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));) {
        /* "hierarchy:controllers:/path"; version 2 is hierarchy 0 without controllers. */
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path) {
            continue;
        }
        bool unified = path == controllers + 1;
        if (!unified && !has_memory(controllers + 1, path)) {
            continue;
        }
        int n = snprintf(folder, sizeof folder, "%s%s", mount, unified ? "" : "/memory");
        if (n < 0 || (size_t)n >= sizeof folder) {
            continue;
        }
        uint64_t here = path_room(unified ? &version2 : &version1, folder, path + 1);
        room = here < room ? here : room;
    }
    return room;
}

uint64_t os_available_bytes(void)
{
    char text[4096];
    uint64_t kib, available = UINT64_MAX;
    if (read_text("/proc/meminfo", text, sizeof text) && find_number(text, "MemAvailable:", &kib)) {
        available = kib * 1024;
    }
    uint64_t room = os_cgroup_room("/proc/self/cgroup", "/sys/fs/cgroup");
    return room < available ? room : available;
}
