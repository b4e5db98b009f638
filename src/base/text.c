/*
 * text.c: sizes for people, and a progress bar.
 *
 * The bar is drawn only on a terminal that can erase a line, at most ten times a second, in the
 * width there is. It uses no colour, so NO_COLOR holds by itself.
 */
#include "base/text.h"

#include "base/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REDRAW_SECONDS 0.1
#define ERASE_LINE "\r\x1b[K"

char *text_bytes(uint64_t bytes, char out[16])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1024) {
        snprintf(out, 16, "%u B", (unsigned)bytes);
        return out;
    }
    double value = (double)bytes / 1024;
    size_t unit = 0;
    /* 1023.95 would be printed as 1024.0 of the smaller unit. */
    while (value >= 1023.95 && unit < sizeof units / sizeof units[0] - 1) {
        value /= 1024;
        unit++;
    }
    snprintf(out, 16, "%.1f %s", value, units[unit]);
    return out;
}

void progress_init(struct progress_bar *bar, int fd)
{
    const char *term = getenv("TERM");
    bool capable = os_is_terminal(fd) && term && strcmp(term, "dumb") != 0;
    *bar = (struct progress_bar){.fd = capable ? fd : -1};
}

/* Best effort: a terminal that went away must not stop the work. */
static void put(int fd, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t written = write(fd, text, n);
        if (written <= 0)
            return;
        text += written;
        n -= (size_t)written;
    }
}

/* "[====    ] " of the given width between the brackets; nothing below 4 columns. */
static size_t format_bar(char *out, int width, double share)
{
    if (width < 4)
        return 0;
    int filled = (int)(share * width);
    out[0] = '[';
    memset(out + 1, '=', (size_t)filled);
    memset(out + 1 + filled, ' ', (size_t)(width - filled));
    memcpy(out + 1 + width, "] ", 2);
    return (size_t)width + 3;
}

static void draw(struct progress_bar *bar, uint64_t done, uint64_t total, double seconds)
{
    char figures[96], line[256];
    int n = snprintf(figures, sizeof figures, "%llu/%llu", (unsigned long long)done,
                     (unsigned long long)total);
    if (total > 9999999) { /* bytes of a file rather than tokens or samples */
        char a[16], b[16];
        n = snprintf(figures, sizeof figures, "%s/%s", text_bytes(done, a), text_bytes(total, b));
    } else if (seconds > 0.2) {
        bool tokens = strcmp(bar->what, "prefill") == 0;
        n += snprintf(figures + n, sizeof figures - (size_t)n, "  %.0f%s", (double)done / seconds,
                      tokens ? " tok/s" : "/s");
    }
    int columns = os_terminal_columns(bar->fd);
    /* The last column stays free: a full line would wrap and could not be erased. */
    int room = columns - 1 - (int)strlen(bar->what) - 1 - n - 3;
    double share = total ? (double)done / (double)total : 0;
    size_t used = (size_t)snprintf(line, sizeof line, ERASE_LINE "%s ", bar->what);
    used += format_bar(line + used, room < 40 ? room : 40, share < 1 ? share : 1);
    used += (size_t)snprintf(line + used, sizeof line - used, "%s", figures);
    size_t limit = sizeof ERASE_LINE - 1 + (size_t)(columns > 1 ? columns - 1 : 1);
    put(bar->fd, line, used < limit ? used : limit);
}

void progress_update(struct progress_bar *bar, const char *what, uint64_t done, uint64_t total)
{
    if (bar->fd < 0)
        return;
    double now = os_time_seconds();
    bool changed = strncmp(bar->what, what, sizeof bar->what - 1) != 0;
    if (changed) {
        snprintf(bar->what, sizeof bar->what, "%s", what);
        bar->started = now;
    }
    if (!changed && bar->drawn > 0 && now - bar->drawn < REDRAW_SECONDS)
        return;
    bar->drawn = now;
    bar->shown = true;
    draw(bar, done, total, now - bar->started);
}

void progress_clear(struct progress_bar *bar)
{
    if (bar->shown)
        put(bar->fd, ERASE_LINE, sizeof ERASE_LINE - 1);
    bar->shown = false;
    bar->drawn = 0;
    bar->what[0] = '\0';
}
