/*
 * share.h: where the files are that are installed with the programs: prompts and models.
 */
#ifndef LEGO_SHARE_H
#define LEGO_SHARE_H

#include <stdbool.h>
#include <stddef.h>

/**
 * The path of a file that is installed with the program ("prompts/general.txt",
 * "models/mason.gguf"): under $ASHLAR_SHARE, beside the program (../share/ashlar; ../share and ..
 * of a source tree), /usr/local/share/ashlar, /usr/share/ashlar. False when it is nowhere.
 */
bool share_find(const char *name, char *path, size_t capacity);

#endif
