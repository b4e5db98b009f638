/*
 * os.c: files, time, terminals and cores. Memory is in os_memory.c, containers in os_cgroup.c.
 *
 * The library must not print and must survive anything a path can be: a directory, a device, a file
 * that shrinks. (A mapped file that is truncated by somebody else while it is in use still ends
 * the process with SIGBUS; nothing a library may do prevents that.)
 */
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static ashlar_status map_file(struct os_map *map, const char *path, ashlar_error *err)
{
    struct stat info;
    if (fstat(map->fd, &info) != 0)
        return error_errno(err, ASHLAR_FAILED, errno, "%s", path);
    if (!S_ISREG(info.st_mode)) {
        return error_set(err, ASHLAR_BAD_INPUT, "%s: %s", path,
                         S_ISDIR(info.st_mode) ? "is a folder" : "is not a regular file");
    }
    if (info.st_size == 0)
        return error_set(err, ASHLAR_BAD_INPUT, "%s: the file is empty", path);
    if ((uint64_t)info.st_size > SIZE_MAX / 2)
        return error_set(err, ASHLAR_NO_RESOURCE, "%s: too large for this machine", path);
    void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, map->fd, 0);
    if (data == MAP_FAILED) {
        return error_errno(err, errno == ENOMEM ? ASHLAR_NO_RESOURCE : ASHLAR_FAILED, errno,
                           "%s: cannot map the file", path);
    }
    map->data = data;
    map->size = (size_t)info.st_size;
    return ASHLAR_OK;
}

ashlar_status os_map_open(struct os_map *map, const char *path, ashlar_error *err)
{
    *map = (struct os_map){.fd = -1};
    /* O_NONBLOCK: opening a FIFO must not wait for a writer before we can refuse it. */
    map->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (map->fd < 0)
        return error_errno(err, ASHLAR_FAILED, errno, "%s", path);
    ashlar_status status = map_file(map, path, err);
    if (status != ASHLAR_OK)
        os_map_close(map);
    return status;
}

void os_map_close(struct os_map *map)
{
    if (map->data)
        munmap((void *)map->data, map->size);
    if (map->fd >= 0)
        close(map->fd);
    *map = (struct os_map){.fd = -1};
}

ashlar_status os_pread_full(int fd, void *out, size_t n, uint64_t offset, const char *path,
                            ashlar_error *err)
{
    unsigned char *p = out;
    while (n > 0) {
        ssize_t got = offset > INT64_MAX ? 0 : pread(fd, p, n, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            return error_errno(err, ASHLAR_FAILED, errno, "%s: reading at offset %llu", path,
                               (unsigned long long)offset);
        }
        if (got == 0) {
            return error_set(err, ASHLAR_FAILED, "%s: ends at offset %llu, %zu bytes short", path,
                             (unsigned long long)offset, n);
        }
        p += got;
        n -= (size_t)got;
        offset += (uint64_t)got;
    }
    return ASHLAR_OK;
}

static ashlar_status read_all(int fd, const char *name, struct buf *b, ashlar_error *err)
{
    char chunk[1 << 14];
    for (;;) {
        ssize_t got = read(fd, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_errno(err, ASHLAR_FAILED, errno, "%s: cannot read", name);
        if ((size_t)got > b->max - b->length)
            return error_set(err, ASHLAR_NO_RESOURCE, "%s: more than %zu bytes", name, b->max);
        if (!buf_append(b, chunk, (size_t)got))
            return error_memory(err, b->length + (size_t)got, name);
        if (got == 0)
            return ASHLAR_OK;
    }
}

ashlar_status os_read_file(const char *path, struct buf *b, ashlar_error *err)
{
    if (strcmp(path, "-") == 0)
        return read_all(STDIN_FILENO, "standard input", b, err);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, ASHLAR_FAILED, errno, "%s", path);
    ashlar_status status = read_all(fd, path, b, err);
    close(fd);
    return status;
}

double os_time_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Cores in the affinity mask; machines with more than CPU_SETSIZE cores need a larger mask. */
static int affinity_cores(void)
{
    for (int n_cpus = CPU_SETSIZE; n_cpus <= 1 << 16; n_cpus *= 4) {
        cpu_set_t *set = CPU_ALLOC((size_t)n_cpus);
        if (!set)
            break;
        size_t bytes = CPU_ALLOC_SIZE((size_t)n_cpus);
        bool known = sched_getaffinity(0, bytes, set) == 0;
        int count = known ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (known)
            return count;
    }
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

int os_cores(void)
{
    int cores = affinity_cores();
    uint64_t quota = os_cgroup_cores("/proc/self/cgroup", "/sys/fs/cgroup");
    if (cores > 0 && quota < (uint64_t)cores)
        cores = (int)quota;
    return cores > 0 ? cores : 1;
}

bool os_is_terminal(int fd)
{
    return isatty(fd) == 1;
}

int os_terminal_columns(int fd)
{
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 80;
}
