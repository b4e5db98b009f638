/* text.h: formatting for people: "1.2 GiB", "3.4 s"; progress bars; JSON strings. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/buf.h"
#include <stdint.h>

/** "812 B", "16.0 KiB", "1.2 GiB" into out (at least 16 bytes); returns out. */
char *text_bytes(uint64_t bytes, char out[16]);

/**
 * "prefill [=====     ] 512/2048  312 tok/s", redrawn in place; nothing at all unless fd is a
 * terminal whose TERM is not "dumb". Large totals are shown as bytes.
 */
struct progress_bar {
    int fd;
    bool shown;
    double started, drawn;
    char what[24];
};

void progress_init(struct progress_bar *bar, int fd);
void progress_update(struct progress_bar *bar, const char *what, uint64_t done, uint64_t total);
void progress_clear(struct progress_bar *bar);

#endif
