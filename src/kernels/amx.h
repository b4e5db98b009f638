/* amx.h: pieces of the AMX table that live in files of their own. */
#ifndef KERNELS_AMX_H
#define KERNELS_AMX_H

#include "kernels/kernels.h"

/** Enter this file's entries into a table that holds simpler ones. */
void amx_fill_gemm(struct kernels *table);
void amx_fill_attend(struct kernels *table);

#endif
