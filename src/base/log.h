/*
 * log.h: where a library's words go: the two callbacks of ashlar_options, carried as one value.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "ashlar.h"

struct log {
    ashlar_log_fn fn; /* NULL: silent */
    void *fn_user;
    ashlar_progress_fn progress; /* NULL: none */
    void *progress_user;
};

void log_write(const struct log *log, ashlar_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** False when the callback asks to cancel. */
bool log_progress(const struct log *log, const char *what, uint64_t done, uint64_t total);

#endif
