/* ui.h: what ashcc says besides data, all of it on stderr. */
#ifndef ASHCC_UI_H
#define ASHCC_UI_H

#include "base/buf.h"
#include "base/log.h"
#include "base/text.h"

enum { EXIT_NOT_ACCEPTED = 5 }; /* the rest are ashlar_status */

/** "ashcc: message", "hint: ..."; returns the exit code. */
int ui_fail(const ashlar_error *err);

/** "ashcc: warning: ..." unless quiet. */
void ui_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** Writes all of b to a descriptor. Errors: FAILED, NO_RESOURCE (b->failed). */
ashlar_status ui_write(int fd, const struct buf *b, const char *name, ashlar_error *err);

/** Writes b to a file that appears whole or not at all (a device: directly). Errors: FAILED,
 * NO_RESOURCE. */
ashlar_status ui_write_file(const char *path, const struct buf *b, ashlar_error *err);

/**
 * A name beside `path` to write to before ui_commit; "path" itself when it is a device. ui_discard
 * removes what there is under the name.
 */
void ui_draft(const char *path, char *draft, size_t capacity);
ashlar_status ui_commit(const char *draft, const char *path, ashlar_error *err);
void ui_discard(const char *draft, const char *path);

/** Whether `path` ("-": standard output) can be written later, as far as permissions tell. Errors:
 * FAILED. */
ashlar_status ui_check_output(const char *path, ashlar_error *err);

/** The progress bar and warnings of a compilation; `bar` must outlive the log. */
struct log ui_log(struct progress_bar *bar);

#endif
