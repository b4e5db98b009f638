/*
 * share.c: see share.h. The program's own place comes first, so that a source tree and an
 * installation beside each other each find their own files.
 */
#include "lego/share.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_MOST = 4096 };

bool share_find(const char *name, char *path, size_t capacity)
{
    char exe[PATH_MOST];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(exe, '/');
    if (slash)
        *slash = '\0';
    const char *share = getenv("ASHLAR_SHARE");
    static const char *const folders[] = {"", "/../share/ashlar", "/../share", "/..", NULL, NULL};
    static const char *const fixed[] = {
        NULL, NULL, NULL, NULL, "/usr/local/share/ashlar", "/usr/share/ashlar"};
    for (int i = 0; i < 6; i++) {
        const char *base = i == 0 ? share : fixed[i] ? fixed[i] : exe;
        if (!base || !base[0])
            continue;
        int length = snprintf(path, capacity, "%s%s/%s", base, folders[i] ? folders[i] : "", name);
        if (length > 0 && (size_t)length < capacity && access(path, R_OK) == 0)
            return true;
    }
    return false;
}
