/*
 * tensor.h: weight types and the view of one weight tensor. The type numbers are GGUF's.
 * A tensor is row-major: `n_rows` rows of `n_cols` values, each row a whole number of blocks.
 */
#ifndef MODEL_TENSOR_H
#define MODEL_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tensor_type {
    TENSOR_F32 = 0,
    TENSOR_F16 = 1,
    TENSOR_Q4_0 = 2,
    TENSOR_Q4_1 = 3,
    TENSOR_Q5_0 = 6,
    TENSOR_Q5_1 = 7,
    TENSOR_Q8_0 = 8,
    TENSOR_Q2_K = 10,
    TENSOR_Q3_K = 11,
    TENSOR_Q4_K = 12,
    TENSOR_Q5_K = 13,
    TENSOR_Q6_K = 14,
    TENSOR_BF16 = 30,
    TENSOR_TYPE_COUNT = 31,
};

/** Geometry of a type: `block` values stored in `bytes` bytes. */
struct tensor_type_info {
    const char *name; /* "Q4_0"; NULL for numbers we do not read */
    int block, bytes;
};

/** NULL for types we do not read. */
const struct tensor_type_info *tensor_type_info(uint32_t type);

/** Name of any GGUF type number, known or not ("IQ2_XXS", "type 77"), for error messages. */
const char *tensor_type_name(uint32_t type);

/** Number from a name such as "q4_0" (any case); -1 when unknown. "Q4_K_M" is Q4_K, and so on. */
int tensor_type_from_name(const char *name);

struct tensor {
    const void *data; /* NULL: absent */
    enum tensor_type type;
    int n_rows, n_cols;
    size_t row_bytes;
    char name[64];
};

/** Bytes of a row of n_cols values; 0 when n_cols is not a whole number of blocks. */
size_t tensor_row_bytes(enum tensor_type type, int64_t n_cols);

#endif
