/*
 * rng.c: xoshiro256** (Blackman and Vigna), its state filled by splitmix64.
 *
 * Only integer arithmetic and exact float operations are used, no libm: a seed gives the same
 * numbers on every machine and with every compiler, which records, models and tests rely on.
 */
#include "base/rng.h"

static uint64_t rotate_left(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

void rng_seed(struct rng *rng, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        seed += UINT64_C(0x9e3779b97f4a7c15);
        uint64_t z = seed;
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        rng->s[i] = z ^ (z >> 31);
    }
}

uint64_t rng_u64(struct rng *rng)
{
    uint64_t *s = rng->s;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint32_t rng_below(struct rng *rng, uint32_t bound)
{
    /* Lemire: the high half of a 32 x 32 product; the few low halves that would favour some
     * results are drawn again. */
    uint64_t product = (rng_u64(rng) >> 32) * bound;
    if ((uint32_t)product < bound) {
        uint32_t threshold = (uint32_t)(-bound) % bound;
        while ((uint32_t)product < threshold)
            product = (rng_u64(rng) >> 32) * bound;
    }
    return (uint32_t)(product >> 32);
}

float rng_float(struct rng *rng)
{
    return (float)(rng_u64(rng) >> 40) * 0x1p-24f;
}

float rng_normal(struct rng *rng)
{
    /* The sum of twelve uniforms has variance 1 and is normal to within what random weights can
     * tell (it ends at +-6). Each uniform is 16 bits: three draws, integer sum, one rounding. */
    int32_t sum = 0;
    for (int draw = 0; draw < 3; draw++) {
        uint64_t x = rng_u64(rng);
        sum += (int32_t)(x & 0xffff) + (int32_t)(x >> 16 & 0xffff) + (int32_t)(x >> 32 & 0xffff) +
               (int32_t)(x >> 48);
    }
    return (float)(2 * sum - 12 * 65535) * 0x1p-17f;
}
