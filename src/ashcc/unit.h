/*
 * unit.h: one source file, in a process of its own: preprocessed text to assembler text. The driver
 * starts it as "ashcc --ashcc-unit INDEX FOLDER PID" (the driver's own) followed by its command
 * line, so that a crash costs one file.
 */
#ifndef ASHCC_UNIT_H
#define ASHCC_UNIT_H

#include "ashcc/arguments.h"

/** The files of input `index` in the folder: "INDEX.i" is read; "INDEX.s" and "INDEX.json" (report)
 * are written. */
void unit_path(char *path, size_t capacity, const char *folder, int index, const char *suffix);

/** Compiles; returns the exit code, the reasons are on stderr. */
int unit_run(const struct arguments *a, int index, const char *folder);

#endif
