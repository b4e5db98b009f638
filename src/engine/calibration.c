/* calibration.c: gathering keys for an adapter while the engine evaluates texts
 * (kvswap/calibrate.h). */
#include "engine/engine.h"
#include "kvswap/adapter_file.h"

ashlar_status ashlar_calibration_begin(ashlar_engine *e, ashlar_error *err)
{
    calibration_free(e->calibration);
    return calibration_new(e->info.n_layer, e->info.n_head_kv * e->info.head_dim, &e->calibration,
                           err);
}

ashlar_status ashlar_calibration_write(ashlar_engine *e, const char *path, int sigma,
                                       ashlar_calibration *out, ashlar_error *err)
{
    *out = (ashlar_calibration){0};
    if (!e->calibration || e->calibration->tokens == 0)
        return error_set(err, ASHLAR_USAGE, "calibration: no tokens were evaluated");
    if (sigma < 0 || sigma > 1024)
        return error_set(err, ASHLAR_USAGE, "calibration: sigma %d is not between 0 and 1024",
                         sigma);
    out->tokens = e->calibration->tokens;
    out->width = e->calibration->width;
    out->rank = lowrank_rank(out->width, sigma);
    return adapter_file_write(path, gguf_fingerprint(e->model->gguf), e->calibration, out->rank,
                              &out->energy_mean, &out->energy_least, err);
}
