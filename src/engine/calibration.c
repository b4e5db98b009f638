/* calibration.c: gathering keys for an adapter while the engine evaluates texts
 * (kvswap/calibrate.h). */
#include "engine/engine.h"
#include "kvswap/adapter_file.h"

ashlar_status ashlar_calibration_begin(ashlar_engine *e, ashlar_error *err)
{
    const ashlar_model_info *info = &e->info;
    calibration_free(e->calibration);
    ashlar_status status = calibration_new(info->n_layer, info->n_head_kv * info->head_dim,
                                           info->n_head * info->head_dim, &e->calibration, err);
    if (status == ASHLAR_OK)
        status = rank_sample_new(info->n_layer, info->n_head, info->n_head_kv, info->head_dim,
                                 &e->calibration->sample, err);
    return status;
}

/* Keys of a pass of one session for the comparison of layers; without memory there is none. */
static bool gather_sample(ashlar_engine *e, int layer)
{
    struct calibration *c = e->calibration;
    if (!c->sample || e->pass.n_items != 1)
        return false;
    if (rank_sample_keys(c->sample, layer, e->pass.position[0], e->pass.n_rows, e->act.k))
        return true;
    rank_sample_free(c->sample);
    c->sample = NULL;
    return false;
}

/* Every few rows one query, as the KV policy would predict it. */
void calibration_gather(ashlar_engine *e, int layer)
{
    enum { EVERY = 8 };
    const ashlar_model_info *info = &e->info;
    float *q = e->calibration->query;
    calibration_add(e->calibration, layer, e->pass.n_rows, e->act.k);
    bool sampled = gather_sample(e, layer);
    for (int row = 0; row < e->pass.n_rows; row += EVERY) {
        forward_project(e, layer, e->act.normed, (size_t)info->n_embd, &row, 1, q);
        if (sampled)
            rank_sample_query(e->calibration->sample, layer, e->pass.position[row], q);
        lowrank_average_heads(info->n_head, info->n_head_kv, info->head_dim, q);
        calibration_add_query(e->calibration, layer, q);
    }
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
