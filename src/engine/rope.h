/*
 * rope.h: rotary position embedding: the angles of every position, with the context-extension
 * scalings. RoFormer (arXiv 2104.09864); YaRN (arXiv 2309.00071, section 3). The rotation itself is a
 * kernel.
 */
#ifndef ENGINE_ROPE_H
#define ENGINE_ROPE_H

#include "model/model.h"

struct rope {
    int n_pairs;      /* rope_dims / 2 */
    double *frequency; /* (n_pairs) radians per position */
    float magnitude;  /* both cos and sin are multiplied by it; 1 unless yarn */
};

/** Errors: NO_RESOURCE, BAD_INPUT (rope_freqs with a divisor that is not positive and finite). */
ashlar_status rope_init(struct rope *rope, const struct model *model, ashlar_error *err);
void rope_fini(struct rope *rope);

/** cosine, sine: (n_pairs) for one position. */
void rope_angles(const struct rope *rope, int position, float *cosine, float *sine);

#endif
