/*
 * amx.c: the AMX table: the AVX-512 one with tile matrix products for many tokens.
 */
#include "kernels/amx.h"

#if defined(__AMX_BF16__) && defined(__AVX512BF16__)

#include "kernels/cpu.h"

#include <pthread.h>

static struct kernels table;
static bool available; /* asked once: CPUID takes microseconds inside a virtual machine */

static void fill_table(void)
{
    available = cpu_has_amx();
    if (!available)
        return;
    table = *kernels_avx512();
    table.name = "amx";
    amx_fill_gemm(&table);
    amx_fill_attend(&table);
}

const struct kernels *kernels_amx(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill_table);
    return available ? &table : NULL;
}

#else

#include <stddef.h>

const struct kernels *kernels_amx(void)
{
    return NULL;
}

#endif
