/*
 * os_memory.c: how much memory this process uses and may still take.
 *
 * Read from /proc with plain reads into the stack: these functions are called when memory is short,
 * so they allocate nothing. Whatever cannot be read is treated as absent.
 */
#include "base/os.h"

#include "base/os_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

bool os_read_text(const char *path, char *out, size_t capacity)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t used = 0;
    ssize_t got;
    while (used < capacity - 1 && (got = read(fd, out + used, capacity - 1 - used)) > 0)
        used += (size_t)got;
    close(fd);
    out[used] = '\0';
    return used > 0;
}

bool os_find_number(const char *text, const char *key, uint64_t *value)
{
    size_t n = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, n) == 0) {
            *value = strtoull(line + n, NULL, 10);
            return true;
        }
        if (*line == '\0')
            break;
    }
    return false;
}

static uint64_t status_bytes(const char *key)
{
    char text[4096];
    uint64_t kib;
    if (!os_read_text("/proc/self/status", text, sizeof text) ||
        !os_find_number(text, key, &kib)) {
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
    if (peak == 0 && getrusage(RUSAGE_SELF, &usage) == 0)
        peak = (uint64_t)usage.ru_maxrss * 1024;
    return peak;
}

uint64_t os_available_bytes(void)
{
    char text[4096];
    uint64_t kib, available = UINT64_MAX;
    if (os_read_text("/proc/meminfo", text, sizeof text) &&
        os_find_number(text, "MemAvailable:", &kib)) {
        available = kib * 1024;
    }
    uint64_t room = os_cgroup_room("/proc/self/cgroup", "/sys/fs/cgroup");
    return room < available ? room : available;
}
