/* log.c: formatting for the log and progress callbacks; one line each, nothing allocated. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

void log_write(const struct log *log, ashlar_log_level level, const char *format, ...)
{
    if (!log || !log->fn)
        return;
    char line[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (n < 0)
        return;
    for (char *p = line; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f) {
            *p = '?'; /* names from files are quoted here: no line breaks, no escape sequences */
        }
    }
    log->fn(log->fn_user, level, line);
}

bool log_progress(const struct log *log, const char *what, uint64_t done, uint64_t total)
{
    return !log || !log->progress || log->progress(log->progress_user, what, done, total);
}
