/* folder.h: the folder for what lies between the passes. It is gone when we are, however we end. */
#ifndef ASHCC_FOLDER_H
#define ASHCC_FOLDER_H

#include "ashlar.h"

#include <sys/types.h>

enum { FOLDER_PATH = 4096 };

struct folder {
    char path[FOLDER_PATH];
    int lifeline; /* the end of a pipe that closes with us */
    pid_t guard;  /* waits for that */
};

/** A new folder in $TMPDIR. `f` goes to folder_remove, also after an error. Errors: FAILED. */
ashlar_status folder_make(struct folder *f, ashlar_error *err);

/** Removes it with all in it; nothing of it is left when this returns. */
void folder_remove(struct folder *f);

#endif
