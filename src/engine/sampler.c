/*
 * sampler.c: choosing the next token. The candidates form a heap by logit; tokens are popped until
 * a filter says stop, so that a vocabulary of 150,000 is never sorted.
 *
 * Order: repeat penalty (CTRL, arXiv 1909.05858, section 4.1), top-k, top-p (arXiv 1904.09751),
 * min-p (arXiv 2407.01082), temperature, draw. Mass is of the softmax at temperature 1.
 */
#include "engine/engine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

struct candidate {
    float logit;
    int32_t id;
};

struct ashlar_sampler {
    ashlar_sampler_options options;
    int n_vocab;
    struct rng rng;
    float *logits;           /* (n_vocab) after the penalty */
    struct candidate *heap;  /* (n_vocab) */
    struct candidate *taken; /* (n_vocab) in falling order */
    float *weights;          /* (n_vocab) */
    int32_t *recent;         /* (repeat_last) ring */
    int n_recent, next_recent;
    bool *penalised;         /* (n_vocab) scratch: each token is penalised once */
};

void ashlar_sampler_options_init(ashlar_sampler_options *o)
{
    *o = (ashlar_sampler_options){.repeat_penalty = 1.0f, .repeat_last = 64, .top_p = 1.0f};
}

static ashlar_status check_options(const ashlar_sampler_options *o, ashlar_error *err)
{
    if (!(o->repeat_penalty > 0.0f && isfinite(o->repeat_penalty)))
        return error_set(err, ASHLAR_USAGE, "repeat_penalty: %g is not positive",
                         o->repeat_penalty);
    if (o->repeat_last < 0 || o->repeat_last > (1 << 20))
        return error_set(err, ASHLAR_USAGE, "repeat_last: %d is not between 0 and 1048576",
                         o->repeat_last);
    if (o->top_k < 0)
        return error_set(err, ASHLAR_USAGE, "top_k: %d is negative", o->top_k);
    if (!(o->top_p > 0.0f && o->top_p <= 1.0f))
        return error_set(err, ASHLAR_USAGE, "top_p: %g is not in (0, 1]", o->top_p);
    if (!(o->min_p >= 0.0f && o->min_p <= 1.0f))
        return error_set(err, ASHLAR_USAGE, "min_p: %g is not in [0, 1]", o->min_p);
    if (!(o->temperature >= 0.0f && isfinite(o->temperature)))
        return error_set(err, ASHLAR_USAGE, "temperature: %g is not 0 or more", o->temperature);
    return ASHLAR_OK;
}

ashlar_status ashlar_sampler_new(const ashlar_engine *engine, const ashlar_sampler_options *options,
                                 ashlar_sampler **out, ashlar_error *err)
{
    *out = NULL;
    ashlar_status status = check_options(options, err);
    if (status != ASHLAR_OK)
        return status;
    size_t n = (size_t)engine->info.n_vocab;
    ashlar_sampler *s = mem_array(1, sizeof *s);
    if (!s)
        return error_memory(err, sizeof *s, "a sampler");
    s->options = *options;
    s->n_vocab = engine->info.n_vocab;
    rng_seed(&s->rng, options->seed);
    s->logits = mem_array(n, sizeof *s->logits);
    s->heap = mem_array(n, sizeof *s->heap);
    s->taken = mem_array(n, sizeof *s->taken);
    s->weights = mem_array(n, sizeof *s->weights);
    s->penalised = mem_array(n, sizeof *s->penalised);
    s->recent = mem_array((size_t)options->repeat_last, sizeof *s->recent);
    if (!s->logits || !s->heap || !s->taken || !s->weights || !s->penalised || !s->recent) {
        ashlar_sampler_free(s);
        return error_memory(err, n * 32, "a sampler");
    }
    *out = s;
    return ASHLAR_OK;
}

void ashlar_sampler_free(ashlar_sampler *s)
{
    if (!s)
        return;
    free(s->logits);
    free(s->heap);
    free(s->taken);
    free(s->weights);
    free(s->penalised);
    free(s->recent);
    free(s);
}

void ashlar_sampler_accept(ashlar_sampler *s, int32_t token)
{
    if (s->options.repeat_last == 0 || token < 0 || token >= s->n_vocab)
        return;
    s->recent[s->next_recent] = token;
    s->next_recent = (s->next_recent + 1) % s->options.repeat_last;
    if (s->n_recent < s->options.repeat_last)
        s->n_recent++;
}

/* The logits to choose from: the caller's, or a copy with the penalty applied. */
static const float *penalise(ashlar_sampler *s, const float *logits)
{
    float penalty = s->options.repeat_penalty;
    if (penalty == 1.0f || s->n_recent == 0)
        return logits;
    memcpy(s->logits, logits, (size_t)s->n_vocab * sizeof *logits);
    for (int i = 0; i < s->n_recent; i++) {
        int32_t id = s->recent[i];
        if (s->penalised[id])
            continue;
        s->penalised[id] = true;
        s->logits[id] = s->logits[id] > 0 ? s->logits[id] / penalty : s->logits[id] * penalty;
    }
    for (int i = 0; i < s->n_recent; i++)
        s->penalised[s->recent[i]] = false;
    return s->logits;
}

static int32_t argmax(const float *logits, int n)
{
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

static bool ahead(struct candidate a, struct candidate b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

static void sift_down(struct candidate *heap, int n, int i)
{
    struct candidate moving = heap[i];
    for (;;) {
        int child = 2 * i + 1;
        if (child >= n)
            break;
        if (child + 1 < n && ahead(heap[child + 1], heap[child]))
            child++;
        if (!ahead(heap[child], moving))
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = moving;
}

static struct candidate pop(struct candidate *heap, int *n)
{
    struct candidate top = heap[0];
    heap[0] = heap[--*n];
    if (*n > 0)
        sift_down(heap, *n, 0);
    return top;
}

/* Fill taken[] with the tokens that pass the filters, likeliest first; at least one. */
static int take_candidates(ashlar_sampler *s, const float *logits)
{
    const ashlar_sampler_options *o = &s->options;
    int n_heap = 0, n_taken = 0;
    float best = logits[argmax(logits, s->n_vocab)];
    float floor_logit = o->min_p > 0.0f ? best + logf(o->min_p) : -INFINITY;
    double total = 0.0, mass = 0.0;
    for (int32_t i = 0; i < s->n_vocab; i++) {
        if (o->top_p < 1.0f)
            total += expf(logits[i] - best);
        if (logits[i] >= floor_logit)
            s->heap[n_heap++] = (struct candidate){logits[i], i};
    }
    for (int i = n_heap / 2 - 1; i >= 0; i--)
        sift_down(s->heap, n_heap, i);
    while (n_heap > 0) {
        struct candidate c = pop(s->heap, &n_heap);
        s->taken[n_taken++] = c;
        if (o->top_p < 1.0f && (mass += expf(c.logit - best)) >= o->top_p * total)
            break;
        if (o->top_k > 0 && n_taken == o->top_k)
            break;
    }
    return n_taken;
}

static int32_t draw(ashlar_sampler *s, int n)
{
    double sum = 0.0;
    for (int i = 0; i < n; i++) {
        s->weights[i] = expf((s->taken[i].logit - s->taken[0].logit) / s->options.temperature);
        sum += s->weights[i];
    }
    double point = rng_float(&s->rng) * sum;
    for (int i = 0; i < n; i++)
        if ((point -= s->weights[i]) < 0.0)
            return s->taken[i].id;
    return s->taken[n - 1].id;
}

int32_t ashlar_sampler_sample(ashlar_sampler *s, const float *logits)
{
    const float *from = penalise(s, logits);
    if (s->options.temperature == 0.0f || s->options.top_k == 1)
        return argmax(from, s->n_vocab);
    int n = take_candidates(s, from);
    return n > 0 ? draw(s, n) : argmax(from, s->n_vocab);
}
