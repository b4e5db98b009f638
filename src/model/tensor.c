/*
 * tensor.c: the table of weight types. The numbers, names and block sizes are GGUF's; a type whose
 * name is known here but whose geometry is not is one that the kernels cannot read.
 */
#include "model/tensor.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const struct tensor_type_info type_table[TENSOR_TYPE_COUNT] = {
    [TENSOR_F32] = {"F32", 1, 4},       [TENSOR_F16] = {"F16", 1, 2},
    [TENSOR_Q4_0] = {"Q4_0", 32, 18},   [TENSOR_Q4_1] = {"Q4_1", 32, 20},
    [TENSOR_Q5_0] = {"Q5_0", 32, 22},   [TENSOR_Q5_1] = {"Q5_1", 32, 24},
    [TENSOR_Q8_0] = {"Q8_0", 32, 34},   [TENSOR_Q2_K] = {"Q2_K", 256, 84},
    [TENSOR_Q3_K] = {"Q3_K", 256, 110}, [TENSOR_Q4_K] = {"Q4_K", 256, 144},
    [TENSOR_Q5_K] = {"Q5_K", 256, 176}, [TENSOR_Q6_K] = {"Q6_K", 256, 210},
    [TENSOR_BF16] = {"BF16", 1, 2},
};

/* Types that exist in GGUF but that we do not read: only for saying what a file holds. */
static const char *const foreign_names[] = {
    [9] = "Q8_1",      [15] = "Q8_K",    [16] = "IQ2_XXS", [17] = "IQ2_XS", [18] = "IQ3_XXS",
    [19] = "IQ1_S",    [20] = "IQ4_NL",  [21] = "IQ3_S",   [22] = "IQ2_S",  [23] = "IQ4_XS",
    [24] = "I8",       [25] = "I16",     [26] = "I32",     [27] = "I64",    [28] = "F64",
    [29] = "IQ1_M",    [34] = "TQ1_0",   [35] = "TQ2_0",   [39] = "MXFP4",
};

const struct tensor_type_info *tensor_type_info(uint32_t type)
{
    if (type >= TENSOR_TYPE_COUNT || !type_table[type].name)
        return NULL;
    return &type_table[type];
}

const char *tensor_type_name(uint32_t type)
{
    static _Thread_local char unknown[24];
    const struct tensor_type_info *info = tensor_type_info(type);
    if (info)
        return info->name;
    if (type < sizeof foreign_names / sizeof foreign_names[0] && foreign_names[type])
        return foreign_names[type];
    snprintf(unknown, sizeof unknown, "type %u", type);
    return unknown;
}

int tensor_type_from_name(const char *name)
{
    for (int t = 0; t < TENSOR_TYPE_COUNT; t++) {
        const char *known = type_table[t].name;
        if (!known)
            continue;
        if (!strcasecmp(name, known))
            return t;
        /* Mixtures are called after their main type: Q4_K_M, Q3_K_L. */
        size_t n = strlen(known);
        if (known[n - 1] == 'K' && !strncasecmp(name, known, n) && name[n] == '_' && name[n + 1] &&
            strchr("smlSML", name[n + 1]) && !name[n + 2])
            return t;
    }
    return -1;
}

size_t tensor_row_bytes(enum tensor_type type, int64_t n_cols)
{
    const struct tensor_type_info *info = tensor_type_info(type);
    if (!info || n_cols <= 0 || n_cols % info->block != 0)
        return 0;
    uint64_t blocks = (uint64_t)n_cols / (unsigned)info->block;
    size_t bytes;
    if (__builtin_mul_overflow(blocks, (size_t)info->bytes, &bytes))
        return 0;
    return bytes;
}
