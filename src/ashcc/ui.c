/* ui.c: see ui.h. */
#include "ashcc/ui.h"

#include "ashcc/process.h"
#include "ashcc/settings.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

/* The exit code of a status is its number: ashlar.h chose them so. */
int ui_fail(const ashlar_error *err)
{
    fprintf(stderr, "ashcc: %s\n", err->message[0] ? err->message : "failed");
    if (err->hint[0])
        fprintf(stderr, "hint: %s\n", err->hint);
    return (int)err->status;
}

void ui_warn(const char *format, ...)
{
    char text[1024];
    va_list args;
    if (settings.quiet)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "ashcc: warning: %s\n", text);
}

/* The bar is taken off the line first; the next progress draws it again. */
static void on_log(void *user, ashlar_log_level level, const char *line)
{
    if (level < ASHLAR_LOG_WARN)
        return;
    progress_clear(user);
    ui_warn("%s", line);
}

/* Its answer is how an interrupt reaches a model that is running. */
static bool on_progress(void *user, const char *what, uint64_t done, uint64_t total)
{
    if (!settings.quiet) {
        progress_update(user, what, done, total);
        if (done >= total)
            progress_clear(user);
    }
    return !process_interrupted();
}

struct log ui_log(struct progress_bar *bar)
{
    progress_init(bar, STDERR_FILENO);
    return (struct log){
        .fn = on_log, .fn_user = bar, .progress = on_progress, .progress_user = bar};
}
