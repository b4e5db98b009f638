/* kv_row.c: one head's key or value of one token in the cache's element type. */
#include <assert.h>
#include <math.h>

#include "kvswap/kv.h"
#include "model/quantize.h"

enum { MAX_DIM = 512 }; /* model_params.c admits no larger heads */

void kv_row_store(const struct kv_config *config, const float *x, void *row)
{
    int n = config->head_dim;
    if (config->type == TENSOR_F16) {
        config->kernels->to_f16(n, x, row);
        return;
    }
    float finite[MAX_DIM];
    assert(n <= MAX_DIM);
    for (int i = 0; i < n; i++)
        finite[i] = isfinite(x[i]) ? x[i] : 0.0f;
    quantize_row(config->type, (size_t)n, finite, row);
}
