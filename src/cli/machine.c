/*
 * machine.c: processor, memory, build and file hash for reports; see machine.h.
 */
#include "cli/machine.h"

#include "base/error.h"
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

enum { HASH_CHUNK = 1 << 20 };

/* The value behind "key<blanks>:" on the first line of the file that has it. */
static bool read_field(const char *path, const char *key, char *out, size_t size)
{
    char line[512];
    bool found = false;
    FILE *f = fopen(path, "r");

    while (f && !found && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (!colon || strncmp(line, key, strlen(key)) != 0)
            continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(out, size, "%s", colon + 1 + strspn(colon + 1, " \t"));
        found = true;
    }
    if (f)
        fclose(f);
    return found;
}

void machine_describe(struct machine *m)
{
    char text[64];

    if (!read_field("/proc/cpuinfo", "model name", m->cpu, sizeof m->cpu) &&
        !read_field("/proc/cpuinfo", "CPU part", m->cpu, sizeof m->cpu))
        snprintf(m->cpu, sizeof m->cpu, "unknown");
    m->cores = os_cores();
    m->memory_bytes = 0;
    if (read_field("/proc/meminfo", "MemTotal", text, sizeof text))
        m->memory_bytes = strtoull(text, NULL, 10) << 10;
}

const char *machine_build(void)
{
#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif
#if defined(__OPTIMIZE__)
    return COMPILER ", optimised";
#else
    return COMPILER ", not optimised";
#endif
}

ashlar_status machine_hash_file(const char *path, uint64_t *hash, ashlar_error *err)
{
    ashlar_status status = ASHLAR_OK;
    ssize_t n = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *chunk = malloc(HASH_CHUNK);
    XXH3_state_t *state = XXH3_createState();

    if (fd < 0) {
        status = error_errno(err, ASHLAR_FAILED, errno, "%s", path);
    } else if (!chunk || !state) {
        status = error_memory(err, HASH_CHUNK, "hashing");
    } else {
        XXH3_64bits_reset(state);
        while ((n = read(fd, chunk, HASH_CHUNK)) > 0 || (n < 0 && errno == EINTR))
            if (n > 0)
                XXH3_64bits_update(state, chunk, (size_t)n);
        if (n < 0)
            status = error_errno(err, ASHLAR_FAILED, errno, "%s", path);
        *hash = XXH3_64bits_digest(state);
    }
    XXH3_freeState(state);
    free(chunk);
    if (fd >= 0)
        close(fd);
    return status;
}
