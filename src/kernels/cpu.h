/*
 * cpu.h: what this machine's processor and kernel offer. Asked before any code of an instruction
 * set runs, so the answers live in dispatch.c, which is built for the baseline.
 */
#ifndef KERNELS_CPU_H
#define KERNELS_CPU_H

#include <stdbool.h>

bool cpu_has_avx2(void);        /* AVX2, FMA, F16C */
bool cpu_has_avx512(void);      /* F, BW, DQ, VL, VNNI, and cpu_has_avx2 */
bool cpu_has_avx512_bf16(void); /* BF16, and cpu_has_avx512 */
/** TILE, BF16, INT8, the permission granted to this process, and cpu_has_avx512_bf16. */
bool cpu_has_amx(void);
bool cpu_has_dotprod(void);     /* AArch64: SDOT and half-precision arithmetic */

#endif
