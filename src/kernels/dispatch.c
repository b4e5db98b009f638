/*
 * dispatch.c: which tables this machine can run. Tables are looked for from the plainest to the
 * best; the last one found is the default.
 */
#include "kernels/cpu.h"
#include "kernels/kernels.h"
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

#if defined(__x86_64__)

bool cpu_has_avx2(void)
{
    unsigned a, b, c, d; /* clang 14 does not know "f16c" by name */
    bool f16c = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
    return f16c && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

bool cpu_has_avx512(void)
{
    return cpu_has_avx2() && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}

bool cpu_has_avx512_bf16(void)
{
    return cpu_has_avx512() && __builtin_cpu_supports("avx512bf16");
}

bool cpu_has_amx(void)
{
    const unsigned wanted = 1u << 22 | 1u << 24 | 1u << 25; /* AMX-BF16, AMX-TILE, AMX-INT8 */
    enum { ARCH_REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    unsigned a, b, c, d;
    if (!cpu_has_avx512_bf16() || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return false;
    if ((d & wanted) != wanted)
        return false;
    /* The kernel saves the 8 KiB of tiles only for processes that ask; threads inherit it. */
    return syscall(SYS_arch_prctl, ARCH_REQUEST_PERMISSION, TILE_DATA) == 0;
}

bool cpu_has_dotprod(void)
{
    return false;
}

#else

bool cpu_has_avx2(void)
{
    return false;
}

bool cpu_has_avx512(void)
{
    return false;
}

bool cpu_has_avx512_bf16(void)
{
    return false;
}

bool cpu_has_amx(void)
{
    return false;
}

bool cpu_has_dotprod(void)
{
#if defined(__aarch64__)
    enum { DOTPROD = 1 << 20, HALF = 1 << 10 }; /* HWCAP_ASIMDDP, HWCAP_ASIMDHP */
    return (getauxval(AT_HWCAP) & (DOTPROD | HALF)) == (DOTPROD | HALF);
#else
    return false;
#endif
}

#endif

int kernels_available(const struct kernels *tables[8])
{
    const struct kernels *all[] = {kernels_scalar(), kernels_neon(), kernels_avx2(),
                                   kernels_avx512(), kernels_amx()};
    int n = 0;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i])
            tables[n++] = all[i];
    return n;
}

const struct kernels *kernels_select(const char *isa)
{
    const struct kernels *tables[8];
    int n = kernels_available(tables);
    if (!isa)
        return tables[n - 1];
    for (int i = 0; i < n; i++)
        if (strcmp(tables[i]->name, isa) == 0)
            return tables[i];
    return NULL;
}
