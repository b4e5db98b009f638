/* driver.h: a whole command line of cc: every file through its steps, then the linker. */
#ifndef ASHCC_DRIVER_H
#define ASHCC_DRIVER_H

#include "ashcc/arguments.h"

/** Does what the command line says; returns the exit code. */
int driver_run(const struct arguments *a, char **argv);

#endif
