/* os.h: what the operating system knows: files, time, memory, cores. Linux first. */
#ifndef BASE_OS_H
#define BASE_OS_H

#include "base/buf.h"
#include "base/error.h"

/** A whole file mapped read-only. */
struct os_map {
    const unsigned char *data;
    size_t size;
    int fd;
};

/** Errors: FAILED (cannot open or map), BAD_INPUT (not a regular file, empty), NO_RESOURCE. */
ashlar_status os_map_open(struct os_map *map, const char *path, ashlar_error *err);
void os_map_close(struct os_map *map);

/** Read exactly n bytes at offset, continuing short reads and EINTR. Errors: FAILED with offset. */
ashlar_status os_pread_full(int fd, void *out, size_t n, uint64_t offset, const char *path,
                            ashlar_error *err);

/** Append a whole file, or standard input for "-", to b. Errors: FAILED, NO_RESOURCE (b->max). */
ashlar_status os_read_file(const char *path, struct buf *b, ashlar_error *err);

double os_time_seconds(void);       /* monotonic */
uint64_t os_peak_rss_bytes(void);   /* of this process */
uint64_t os_rss_bytes(void);
uint64_t os_available_bytes(void);  /* the least of MemAvailable and what our cgroup still allows */

/**
 * What the memory cgroups (v1 or v2) of a process and their parents still allow: limit minus usage,
 * cached file pages not counted; UINT64_MAX without a limit. `membership` is a /proc/PID/cgroup
 * file, `mount` where the cgroup file system is; separate so that tests can bring their own.
 */
uint64_t os_cgroup_room(const char *membership, const char *mount);

/** As os_cgroup_room: cores' worth of time per period, rounded up. */
uint64_t os_cgroup_cores(const char *membership, const char *mount);

int os_cores(void);                 /* cores this process may run on: affinity, cgroup quota */
bool os_is_terminal(int fd);
int os_terminal_columns(int fd);    /* 80 when unknown */

#endif
