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

/** The progress bar and warnings of a compilation; `bar` must outlive the log. */
struct log ui_log(struct progress_bar *bar);

#endif
