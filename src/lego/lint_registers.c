/*
 * lint_registers.c: names of x86-64 registers and their numbers.
 */
#include "lego/lint_x86_64.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** In the order of the processor's encoding, which X86_INDEX is: ah is number 0 here, being part of
 * rax. */
static const char *const low_names[][8] = {
    [X86_R8] = {"al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil"},
    [X86_R8H] = {"ah", "ch", "dh", "bh", "", "", "", ""},
    [X86_R16] = {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di"},
    [X86_R32] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"},
    [X86_R64] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"},
};

/** r8 to r15 with their width's suffix. */
static int numbered(const char *name)
{
    static const char suffixes[] = {'b', 'w', 'd', '\0'};
    static const enum x86_kind kinds[] = {X86_R8, X86_R16, X86_R32, X86_R64};
    char *end;
    /* no sign, blank or leading zero, which strtol() would take */
    if (name[0] != 'r' || name[1] < '1' || name[1] > '9')
        return -1;
    long i = strtol(name + 1, &end, 10);
    if (i < 8 || i > 15)
        return -1;
    for (int k = 0; k < 4; k++)
        if (end[0] == suffixes[k] && (end[0] == '\0' || end[1] == '\0'))
            return X86_REG(kinds[k], (int)i);
    return -1;
}

int x86_register(const char *name)
{
    if (strcmp(name, "rip") == 0)
        return X86_REG(X86_RIP, 0);
    if (strcmp(name, "st") == 0)
        return X86_REG(X86_ST, 0);
    if (strncmp(name, "xmm", 3) == 0 && name[3] >= '0' && name[3] <= '9') {
        char *end;
        long i = strtol(name + 3, &end, 10);
        /* "xmm01" is no name */
        bool spelled_once = name[3] != '0' || name[4] == '\0';
        return *end == '\0' && i < 16 && spelled_once ? X86_REG(X86_XMM, (int)i) : -1;
    }
    for (int kind = X86_R8; kind <= X86_R64; kind++)
        for (int i = 0; i < 8; i++)
            if (name[0] && strcmp(name, low_names[kind][i]) == 0)
                return X86_REG(kind, i);
    return numbered(name);
}

const char *x86_register_name(int reg, char out[8])
{
    static const char *const suffixes[] = {
        [X86_R8] = "b", [X86_R16] = "w", [X86_R32] = "d", [X86_R64] = ""};
    enum x86_kind kind = X86_KIND(reg);
    int i = X86_INDEX(reg);
    if (kind == X86_RIP)
        snprintf(out, 8, "rip");
    else if (kind == X86_XMM)
        snprintf(out, 8, "xmm%d", i);
    else if (kind == X86_ST)
        snprintf(out, 8, i ? "st(%d)" : "st", i);
    else if (i < 8)
        snprintf(out, 8, "%s", low_names[kind][i]);
    else
        snprintf(out, 8, "r%d%s", i, suffixes[kind]);
    return out;
}
