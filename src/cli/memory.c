/*
 * memory.c: does the model fit, and how long may the context be? Both are answered from the file's
 * header, before anything large is read or allocated.
 */
#include "base/os.h"
#include "cli/cli.h"

#include <math.h>

enum { CONTEXT_FLOOR = 4096, CONTEXT_CEILING = 1 << 20, CONTEXT_STEP = 256 };

ashlar_status cli_check_memory(const char *path, const ashlar_options *options, ashlar_error *err)
{
    ashlar_memory memory;
    char want[16], have[16], kv[16];

    ashlar_status status = ashlar_memory_estimate(path, options, &memory, err);
    if (status != ASHLAR_OK)
        return status;
    uint64_t needed = memory.total_bytes;
    if (options->map_weights) /* the kernel can drop mapped pages and read them again */
        needed -= memory.weights_bytes;
    uint64_t available = os_available_bytes();
    if (available == 0 || needed <= available)
        return ASHLAR_OK;
    status = error_set(err, ASHLAR_NO_RESOURCE, "%s: needs %s of memory, %s are free", path,
                       text_bytes(needed, want), text_bytes(available, have));
    if (memory.kv_bytes > needed / 4)
        error_hint(err, "the KV cache takes %s of it; lower --ctx",
                   text_bytes(memory.kv_bytes, kv));
    else
        error_hint(err, "use a smaller model or a more strongly quantised file, or --map");
    return status;
}

/* KV bytes with n_ctx tokens (0: the training length). */
static ashlar_status kv_bytes(const char *path, const ashlar_options *options, int n_ctx,
                              uint64_t *bytes, ashlar_error *err)
{
    ashlar_options probe = *options;
    ashlar_memory memory;

    probe.n_ctx = n_ctx;
    ashlar_status status = ashlar_memory_estimate(path, &probe, &memory, err);
    *bytes = status == ASHLAR_OK ? memory.kv_bytes : 0;
    return status;
}

ashlar_status cli_default_context(const char *path, const ashlar_options *options, size_t need,
                                  int *n_ctx, ashlar_error *err)
{
    uint64_t budget = os_available_bytes() / 4, full, floor;

    *n_ctx = 0;
    ashlar_status status = kv_bytes(path, options, 0, &full, err);
    if (status != ASHLAR_OK || (full <= budget && need == 0))
        return status;
    status = kv_bytes(path, options, CONTEXT_FLOOR, &floor, err);
    if (status != ASHLAR_OK)
        return status;
    /* The estimate does not name the training length; a length that costs as much reaches it. */
    double per_token = (double)floor / CONTEXT_FLOOR, trained = (double)full / per_token;
    if (full > budget) {
        int n = CONTEXT_CEILING;
        while (n > CONTEXT_FLOOR && n * per_token > (double)budget)
            n /= 2;
        if (n < trained)
            *n_ctx = n;
    }
    double wanted = ceil((double)need / CONTEXT_STEP) * CONTEXT_STEP;
    if (need > 0 && wanted < (*n_ctx ? *n_ctx : trained))
        *n_ctx = (int)wanted;
    return ASHLAR_OK;
}
