/* rng.h: a small seeded generator (xoshiro256**): the same numbers on every machine. */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

struct rng {
    uint64_t s[4];
};

void rng_seed(struct rng *rng, uint64_t seed);
uint64_t rng_u64(struct rng *rng);
uint32_t rng_below(struct rng *rng, uint32_t bound); /* uniform in [0, bound), bound > 0 */
float rng_float(struct rng *rng);                    /* uniform in [0, 1) */
float rng_normal(struct rng *rng);                   /* mean 0, deviation 1 */

#endif
