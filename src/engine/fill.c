/*
 * fill.c: for benchmarks, a context of any length without the hours of a prefill: keys and values
 * are drawn, not computed, and go to the KV policy as a forward pass would hand them over.
 *
 * What is drawn depends on the seed, the layer and the position alone, never on passes or threads,
 * so that two policies filled alike hold the same bits. Three properties of real keys matter to a
 * policy that predicts, and are imitated:
 *
 *   few directions   a key is mostly a mix of a few directions of its layer, plus noise: low-rank
 *                    metadata can tell keys apart (KVSwap, arXiv 2511.11907, section 3)
 *   passages         neighbouring tokens are important together: the sizes of keys vary by passage
 *   persistence      what was attended to in one step mostly is in the next (75 to 81 % of the
 * chosen groups, says the paper of real models): follows from the sizes, whose power law makes it
 * about the same for contexts of any length
 */
#include "engine/engine.h"

#include <math.h>
#include <stdlib.h>

#include "base/rng.h"

enum {
    DIRECTIONS = 12,
    PASSAGE = 16,      /* tokens */
    NOISE = 1 << 16,   /* normals drawn once; rows are pieces of them */
    ROWS = 8           /* tokens of one chunk of work */
};

static const float SIGNAL = 0.9f, FAINT = 0.44f; /* of unit variance together */
static const float BASE = 0.1f, MOST = 25.0f;    /* sizes of passages */
static const float TAIL = 1.0f; /* their power law: size = BASE * u^-TAIL, u uniform */

struct fill {
    ashlar_engine *e;
    uint64_t seed;
    float *noise;      /* (NOISE + width) */
    int width;         /* n_head_kv * head_dim */
    int layer, position, n_tokens; /* of the pass */
};

/* A generator of its own for each (purpose, layer, index). */
static void seed_for(const struct fill *f, struct rng *rng, int purpose, int index)
{
    uint64_t place = (uint64_t)purpose << 56 ^ (uint64_t)f->layer << 32 ^ (uint64_t)index;
    rng_seed(rng, f->seed ^ place * UINT64_C(0x9e3779b97f4a7c15));
}

static const float *piece(const struct fill *f, struct rng *rng)
{
    return f->noise + rng_below(rng, NOISE);
}

static void draw_key(const struct fill *f, int position, float *k)
{
    struct rng layer, passage, token;
    float mix[DIRECTIONS];
    seed_for(f, &layer, 1, 0);
    seed_for(f, &passage, 2, position / PASSAGE);
    seed_for(f, &token, 3, position);
    float size = fminf(BASE * powf(rng_float(&passage) + 0x1p-24f, -TAIL), MOST);
    const float *noise = piece(f, &token);
    for (int i = 0; i < f->width; i++)
        k[i] = size * FAINT * noise[i];
    for (int d = 0; d < DIRECTIONS; d++)
        mix[d] = size * SIGNAL / sqrtf(DIRECTIONS) * rng_normal(&token);
    for (int d = 0; d < DIRECTIONS; d++) {
        const float *direction = piece(f, &layer);
        for (int i = 0; i < f->width; i++)
            k[i] += mix[d] * direction[i];
    }
}

static void fill_rows(void *context, int chunk, int n_chunks, int thread)
{
    (void)n_chunks, (void)thread;
    const struct fill *f = context;
    ashlar_engine *e = f->e;
    int end = (chunk + 1) * ROWS < f->n_tokens ? (chunk + 1) * ROWS : f->n_tokens;
    for (int t = chunk * ROWS; t < end; t++) {
        struct rng rng;
        float *k = e->act.k + (size_t)t * (size_t)f->width;
        draw_key(f, f->position + t, k);
        seed_for(f, &rng, 4, f->position + t);
        e->policy->append(e->kv, f->layer, 0, t, k, piece(f, &rng));
    }
}

/* One pass: what forward_pass does to the KV policy, without the model. */
static ashlar_status fill_pass(struct fill *f, struct ashlar_session *s, int n_tokens,
                               ashlar_error *err)
{
    ashlar_engine *e = f->e;
    struct kv_item *item = &e->pass.kv_items[0];
    *item = (struct kv_item){.sequence = s->sequence, .position = s->length, .n_tokens = n_tokens,
                             .fill = true};
    f->position = s->length;
    f->n_tokens = n_tokens;
    e->policy->begin(e->kv, item, 1, err);
    for (f->layer = 0; f->layer < e->info.n_layer; f->layer++) {
        pool_run(e->pool, (n_tokens + ROWS - 1) / ROWS, fill_rows, f);
        e->policy->end(e->kv, f->layer, err);
    }
    e->policy->commit(e->kv, err);
    return item->status;
}

static ashlar_status fill_passes(struct fill *f, struct ashlar_session *s, size_t n_tokens,
                                 ashlar_error *err)
{
    struct rng rng;
    rng_seed(&rng, f->seed);
    for (int i = 0; i < NOISE + f->width; i++)
        f->noise[i] = rng_normal(&rng);
    for (size_t done = 0, n; done < n_tokens; done += n) {
        if (!log_progress(&f->e->log, "fill", done, n_tokens))
            return error_set(err, ASHLAR_CANCELLED, "cancelled");
        size_t most = (size_t)f->e->options.n_batch;
        n = n_tokens - done < most ? n_tokens - done : most;
        for (size_t i = 0; i < n; i++)
            s->tokens[(size_t)s->length + i] =
                (int32_t)rng_below(&rng, (uint32_t)f->e->info.n_vocab);
        ashlar_status status = fill_pass(f, s, (int)n, err);
        if (status != ASHLAR_OK)
            return status;
        s->length += (int)n;
    }
    log_progress(&f->e->log, "fill", n_tokens, n_tokens);
    return ASHLAR_OK;
}

ashlar_status ashlar_session_fill(ashlar_session *s, size_t n_tokens, uint64_t seed,
                                  ashlar_error *err)
{
    ashlar_engine *e = s->engine;
    struct fill f = {.e = e, .seed = seed, .width = e->info.n_head_kv * e->info.head_dim};
    if (n_tokens > (size_t)(e->options.n_ctx - s->length))
        return error_set(err, ASHLAR_NO_RESOURCE, "context full: %d tokens + %zu more exceed %d",
                         s->length, n_tokens, e->options.n_ctx);
    if (n_tokens == 0)
        return ASHLAR_OK;
    f.noise = mem_array(NOISE + (size_t)f.width, sizeof *f.noise);
    if (!f.noise)
        return error_memory(err, (NOISE + (size_t)f.width) * sizeof *f.noise, "random keys");
    s->has_logits = false;
    ashlar_status status = fill_passes(&f, s, n_tokens, err);
    free(f.noise);
    return status;
}
