/*
 * os_cgroup.c: what the control groups that we are in still allow.
 *
 * A container's limits are not in /proc/meminfo or the affinity mask but in files of its group, or
 * of one of that group's parents; the tightest of them counts. Version 1 has a tree per controller,
 * version 2 has one for all. Inside a container the path of our group may not exist below the mount
 * point, since that shows the group itself: the walk to the root then ends at the right files.
 * Whatever cannot be read is no limit. Nothing is allocated.
 */
#include "base/os.h"

#include "base/os_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How much one group, a folder, allows; UINT64_MAX without a limit. */
typedef uint64_t (*group_fn)(const char *folder, bool unified);

/* The start of folder/file; false when it cannot be read. */
static bool read_file(const char *folder, const char *file, char *out, size_t capacity)
{
    char name[4352];
    int n = snprintf(name, sizeof name, "%s/%s", folder, file);
    return n > 0 && (size_t)n < sizeof name && os_read_text(name, out, capacity);
}

/* The number in folder/file; false when absent or a word ("max"). */
static bool read_number(const char *folder, const char *file, uint64_t *value)
{
    char text[64], *end;
    if (!read_file(folder, file, text, sizeof text) || text[0] < '0' || text[0] > '9')
        return false;
    *value = strtoull(text, &end, 10);
    return true;
}

static uint64_t memory_room(const char *folder, bool unified)
{
    uint64_t limit, usage, cache = 0;
    if (!read_number(folder, unified ? "memory.max" : "memory.limit_in_bytes", &limit) ||
        !read_number(folder, unified ? "memory.current" : "memory.usage_in_bytes", &usage)) {
        return UINT64_MAX;
    }
    /* Cached file pages that were not used lately count as usage but go when memory is needed. */
    char text[8192];
    if (read_file(folder, "memory.stat", text, sizeof text))
        os_find_number(text, unified ? "inactive_file " : "total_inactive_file ", &cache);
    usage -= cache < usage ? cache : usage;
    return limit > usage ? limit - usage : 0;
}

/* Cores' worth of time per period, rounded up. */
static uint64_t core_quota(const char *folder, bool unified)
{
    char text[64];
    uint64_t quota, period;
    if (unified) { /* "200000 100000" or "max 100000" */
        if (!read_file(folder, "cpu.max", text, sizeof text) || text[0] < '0' || text[0] > '9')
            return UINT64_MAX;
        char *end;
        quota = strtoull(text, &end, 10);
        period = strtoull(end, NULL, 10);
    } else if (!read_number(folder, "cpu.cfs_quota_us", &quota) ||
               !read_number(folder, "cpu.cfs_period_us", &period)) {
        return UINT64_MAX;
    }
    return period && quota ? quota / period + (quota % period != 0) : UINT64_MAX;
}

/* The least that the group mount + path (changed) and its parents allow. */
static uint64_t least_to_root(const char *mount, char *path, bool unified, group_fn group)
{
    uint64_t least = UINT64_MAX;
    for (;;) {
        size_t length = strlen(path);
        while (length > 0 && path[length - 1] == '/')
            path[--length] = '\0';
        char folder[4352];
        int n = snprintf(folder, sizeof folder, "%s%s", mount, path);
        uint64_t here = n > 0 && (size_t)n < sizeof folder ? group(folder, unified) : UINT64_MAX;
        least = here < least ? here : least;
        char *slash = strrchr(path, '/');
        if (!slash)
            return least;
        *slash = '\0';
    }
}

/* Is `name` in the comma-separated list [list, end)? */
static bool has_controller(const char *list, const char *end, const char *name)
{
    size_t length = strlen(name);
    while (list < end) {
        const char *comma = memchr(list, ',', (size_t)(end - list));
        const char *stop = comma ? comma : end;
        if ((size_t)(stop - list) == length && memcmp(list, name, length) == 0)
            return true;
        list = stop + 1;
    }
    return false;
}

/* The least that the groups of a /proc/PID/cgroup file and their parents allow. */
static uint64_t least(const char *membership, const char *mount, const char *controller,
                      group_fn group)
{
    char text[8192], tree[512];
    if (!os_read_text(membership, text, sizeof text))
        return UINT64_MAX;
    uint64_t result = UINT64_MAX;
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));) {
        /* "hierarchy:controllers:/path"; version 2 names no controllers. */
        char *names = strchr(line, ':');
        char *path = names ? strchr(names + 1, ':') : NULL;
        if (!path)
            continue;
        bool unified = path == names + 1;
        if (!unified && !has_controller(names + 1, path, controller))
            continue;
        int n = snprintf(tree, sizeof tree, "%s%s%s", mount, unified ? "" : "/",
                         unified ? "" : controller);
        if (n > 0 && (size_t)n < sizeof tree) {
            uint64_t here = least_to_root(tree, path + 1, unified, group);
            result = here < result ? here : result;
        }
    }
    return result;
}

uint64_t os_cgroup_room(const char *membership, const char *mount)
{
    return least(membership, mount, "memory", memory_room);
}

uint64_t os_cgroup_cores(const char *membership, const char *mount)
{
    return least(membership, mount, "cpu", core_quota);
}
