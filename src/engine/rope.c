/* rope.c: see rope.h. Angles are computed in double: at position 100,000 a float angle is off by
 * 0.004. */
#include "engine/rope.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* The pair index at which a wave turns `turns` times over the original context (YaRN, eq. 17
 * solved). */
static double yarn_pair(const struct model_params *p, double turns)
{
    return p->rope_dims * log(p->rope_ctx_orig / (turns * 2.0 * M_PI)) / (2.0 * log(p->rope_base));
}

/* 1: keep the frequency (many turns); 0: interpolate it; between them a ramp over the pairs. */
static double yarn_keep(const struct model_params *p, int pair)
{
    double low = fmax(0.0, floor(yarn_pair(p, p->yarn_beta_fast)));
    double high = fmin(p->rope_dims - 1, ceil(yarn_pair(p, p->yarn_beta_slow)));
    double y = (pair - low) / fmax(0.001, high - low);
    return 1.0 - fmin(1.0, fmax(0.0, y));
}

ashlar_status rope_init(struct rope *rope, const struct model *model, ashlar_error *err)
{
    const struct model_params *p = &model->params;
    rope->n_pairs = p->rope_dims / 2;
    rope->frequency = mem_array((size_t)rope->n_pairs, sizeof *rope->frequency);
    if (!rope->frequency)
        return error_memory(err, (size_t)rope->n_pairs * sizeof *rope->frequency, "RoPE");

    for (int i = 0; i < rope->n_pairs; i++) {
        double f = pow(p->rope_base, -2.0 * i / p->rope_dims);
        if (model->rope_freqs.data) {
            float divisor;
            memcpy(&divisor, (const char *)model->rope_freqs.data + 4 * (size_t)i, 4);
            if (!(divisor > 0.0f && isfinite(divisor))) {
                rope_fini(rope);
                return error_set(err, ASHLAR_BAD_INPUT,
                                 "%s: tensor %s: value %d is not a positive number",
                                 gguf_path(model->gguf), model->rope_freqs.name, i);
            }
            f /= divisor;
        }
        if (p->rope_scaling == ROPE_LINEAR) {
            f /= p->rope_factor;
        } else if (p->rope_scaling == ROPE_YARN) {
            double keep = yarn_keep(p, i) * p->yarn_ext_factor;
            f = f / p->rope_factor * (1.0 - keep) + f * keep;
        }
        rope->frequency[i] = f;
    }
    rope->magnitude = p->yarn_attn_factor;
    if (p->rope_scaling == ROPE_YARN && p->yarn_ext_factor != 0.0f)
        rope->magnitude *= 1.0f + 0.1f * logf(p->rope_factor);
    return ASHLAR_OK;
}

void rope_fini(struct rope *rope)
{
    free(rope->frequency);
    rope->frequency = NULL;
}

void rope_angles(const struct rope *rope, int position, float *cosine, float *sine)
{
    for (int i = 0; i < rope->n_pairs; i++) {
        double angle = position * rope->frequency[i];
        cosine[i] = (float)cos(angle) * rope->magnitude;
        sine[i] = (float)sin(angle) * rope->magnitude;
    }
}
