/*
 * report.h: the figures of a run: one line for people, one JSON object for programs.
 */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include "cli/generate.h"

/** What a report says besides the generation itself. Borrowed strings. */
struct report {
    const ashlar_engine *engine;
    const ashlar_model_info *info;
    const char *path;      /* the model file, as given */
    bool chat;             /* the prompt was wrapped by the template */
    bool default_context;  /* nobody asked for this context length */
    bool sampled;          /* temperature above 0: the seed matters */
    uint64_t seed;
    double load_s;
};

/** One line on stderr: speeds, memory, and why the text ended where that is not plain. */
void report_line(const struct report *r, const struct generation *g);

/** Append the object and a newline. False when memory ran out. */
bool report_json(const struct report *r, const struct generation *g, const struct generator *gen,
                 struct buf *out);

#endif
