/*
 * layer_ranks.c: see layer_ranks.h. The measure is what the recall meter's is (swap_check.c), for
 * many ranks at once: exact attention of each head, and of it the share in the groups that the
 * low-rank scores choose. A score of rank r + 1 is that of rank r and one product more, so all
 * ranks cost what the largest does.
 */
#include "kvswap/layer_ranks.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kvswap/lowrank.h"
#include "kvswap/select.h"

enum {
    MOST_KEYS = 8192,
    ENOUGH_KEYS = 2048,  /* of a sequence: another one need not replace it */
    LEAST_KEYS = 256,    /* with fewer, nearly all would be chosen */
    QUERIES = 128,       /* the newest are kept: they look back farthest */
    GROUP = 8,
    RECENT = 32,         /* always attended, like group 0 */
    CHOSEN_SHARE = 64,   /* of the tokens this part is chosen, within these bounds: */
    LEAST_CHOSEN = 64, MOST_CHOSEN = 400,
    LEAST_RANK = 16      /* fewer rows choose worse than "the newest" does (docs/tuner.md) */
};

/* A layer must gain so much per row: less is noise of the sample. */
static const float LEAST_GAIN = 1e-3f;
static const float LEAST_SHARE = 1e-3f; /* caught: below it all is one */

struct rank_sample_layer {
    float *keys;     /* (room, width) */
    int n_keys, room;
    bool full;       /* another sequence has begun */
    float *queries;  /* (QUERIES, n_head * head_dim), a ring */
    int *positions;  /* (QUERIES) */
    int n_queries;
};

static size_t width_of(const struct rank_sample *s)
{
    return (size_t)s->n_head_kv * (size_t)s->head_dim;
}

static size_t query_values(const struct rank_sample *s)
{
    return (size_t)s->n_head * (size_t)s->head_dim;
}

ashlar_status rank_sample_new(int n_layer, int n_head, int n_head_kv, int head_dim,
                              struct rank_sample **out, ashlar_error *err)
{
    struct rank_sample *s = mem_array(1, sizeof *s);
    *out = s;
    lowrank_init();
    if (!s)
        return error_memory(err, sizeof *s, "a sample of keys");
    *s = (struct rank_sample){n_layer, n_head, n_head_kv, head_dim, NULL};
    s->layers = mem_array((size_t)n_layer, sizeof *s->layers);
    bool enough = s->layers != NULL;
    for (int i = 0; i < n_layer && enough; i++) {
        s->layers[i].queries = mem_array(QUERIES, query_values(s) * sizeof(float));
        s->layers[i].positions = mem_array(QUERIES, sizeof(int));
        enough = s->layers[i].queries && s->layers[i].positions;
    }
    if (enough)
        return ASHLAR_OK;
    rank_sample_free(s);
    *out = NULL;
    return error_memory(err, (size_t)n_layer * QUERIES * query_values(s) * sizeof(float),
                        "a sample of queries");
}

void rank_sample_free(struct rank_sample *s)
{
    for (int i = 0; s && s->layers && i < s->n_layer; i++) {
        free(s->layers[i].keys);
        free(s->layers[i].queries);
        free(s->layers[i].positions);
    }
    if (s)
        free(s->layers);
    free(s);
}

static bool make_room(struct rank_sample_layer *l, int wanted, size_t width)
{
    if (wanted <= l->room)
        return true;
    int room = wanted > 2 * l->room ? wanted : 2 * l->room;
    room = room < MOST_KEYS ? room : MOST_KEYS;
    float *keys = realloc(l->keys, (size_t)room * width * sizeof *keys);
    if (!keys)
        return false;
    l->keys = keys;
    l->room = room;
    return true;
}

bool rank_sample_keys(struct rank_sample *s, int layer, int position, int n, const float *keys)
{
    struct rank_sample_layer *l = &s->layers[layer];
    size_t width = width_of(s);
    if (position == 0) {
        l->full |= l->n_keys >= ENOUGH_KEYS;
        if (!l->full)
            l->n_keys = l->n_queries = 0;
    }
    if (l->full || position != l->n_keys)
        return true;
    n = n < MOST_KEYS - position ? n : MOST_KEYS - position;
    if (!make_room(l, position + n, width))
        return false;
    memcpy(l->keys + (size_t)position * width, keys, (size_t)n * width * sizeof *keys);
    l->n_keys += n;
    return true;
}

void rank_sample_query(struct rank_sample *s, int layer, int position, const float *query)
{
    struct rank_sample_layer *l = &s->layers[layer];
    if (l->full || position >= l->n_keys)
        return;
    int at = l->n_queries++ % QUERIES;
    memcpy(l->queries + (size_t)at * query_values(s), query, query_values(s) * sizeof *query);
    l->positions[at] = position;
}

/* ---- what is caught ------------------------------------------------------------------------- */

/* One layer under measurement. */
struct measure {
    const struct rank_sample *s;
    const struct rank_sample_layer *l;
    int rank, n_groups, n_chosen;
    float *rows;    /* (n_keys, rank): the keys along the adapter */
    float *scores;  /* (n_keys) */
    float *weights; /* (groups) attention of all heads; what is recent is in *recent */
    float *best;    /* (groups) */
    float *query;   /* (n_head, head_dim) */
    float *along;   /* (rank) */
    int *order, *chosen;
    double recent;
};

/* The exact attention of each head, group by group. */
static void weigh_groups(struct measure *m, int n_keys, const float *query)
{
    const struct rank_sample *s = m->s;
    int per_group = s->n_head / s->n_head_kv, dim = s->head_dim, width = (int)width_of(s);
    memset(m->weights, 0, (size_t)m->n_groups * sizeof *m->weights);
    m->recent = 0.0;
    for (int h = 0; h < s->n_head; h++) {
        float most = -INFINITY, sum = 0.0f;
        cblas_sgemv(CblasRowMajor, CblasNoTrans, n_keys, dim, 1.0f / sqrtf((float)dim),
                    m->l->keys + (size_t)(h / per_group * dim), width, query + (size_t)(h * dim),
                    1, 0.0f, m->scores, 1);
        for (int t = 0; t < n_keys; t++)
            most = fmaxf(most, m->scores[t]);
        for (int t = 0; t < n_keys; t++)
            sum += m->scores[t] = expf(m->scores[t] - most);
        for (int t = 0; t < n_keys; t++) {
            float share = m->scores[t] / sum / (float)s->n_head;
            if (t / GROUP < m->n_groups)
                m->weights[t / GROUP] += share;
            else
                m->recent += share;
        }
    }
}

/* What group 0, the chosen groups and the recent tokens hold together. */
static double caught_by(const struct measure *m, int n)
{
    double sum = m->recent + m->weights[0];
    for (int i = 0; i < n; i++)
        sum += m->weights[m->chosen[i]];
    return sum;
}

/* Scores grow by the next rows of the adapter; then the best groups by them. */
static double catch_more(struct measure *m, int first)
{
    for (int t = 0; t < m->n_groups * GROUP; t++)
        for (int i = first; i < first + LAYER_RANK_STEP; i++)
            m->scores[t] += m->rows[(size_t)t * (size_t)m->rank + (size_t)i] * m->along[i];
    for (int g = 0; g < m->n_groups; g++) {
        m->best[g] = m->scores[g * GROUP];
        for (int t = 1; t < GROUP; t++)
            m->best[g] = fmaxf(m->best[g], m->scores[g * GROUP + t]);
    }
    return caught_by(m, select_groups(m->best, m->n_groups, 1, m->n_chosen, m->n_chosen, 1.0f,
                                      m->order, m->chosen));
}

static void measure_query(struct measure *m, int index, const float *queries, float *caught)
{
    const struct rank_sample *s = m->s;
    const float *query = m->l->queries + (size_t)index * query_values(s);
    int n_keys = m->l->positions[index] + 1, width = (int)width_of(s);
    m->n_groups = (n_keys - RECENT) / GROUP;
    weigh_groups(m, n_keys, query);
    memcpy(m->query, query, query_values(s) * sizeof *query);
    lowrank_average_heads(s->n_head, s->n_head_kv, s->head_dim, m->query);
    cblas_sgemv(CblasRowMajor, CblasNoTrans, m->rank, width, 1.0f, queries, width, m->query, 1,
                0.0f, m->along, 1);
    memset(m->scores, 0, (size_t)n_keys * sizeof *m->scores);
    int near = m->n_chosen < m->n_groups - 1 ? m->n_chosen : m->n_groups - 1;
    for (int i = 0; i < near; i++) /* rank 0: the newest groups */
        m->chosen[i] = m->n_groups - 1 - i;
    caught[0] += (float)caught_by(m, near);
    for (int i = 1; i <= m->rank / LAYER_RANK_STEP; i++)
        caught[i] += (float)catch_more(m, (i - 1) * LAYER_RANK_STEP);
}

/* Pieces of one block; NULL: only its size, in bytes. */
static size_t measure_layout(struct measure *m, unsigned char *base)
{
    size_t n = (size_t)m->l->n_keys, groups = n / GROUP + 1, used = 0;
    void **pieces[] = {(void **)&m->rows,  (void **)&m->scores, (void **)&m->weights,
                       (void **)&m->best,  (void **)&m->query,  (void **)&m->along,
                       (void **)&m->order, (void **)&m->chosen};
    size_t values[] = {n * (size_t)m->rank, n,      groups, groups, query_values(m->s),
                       (size_t)m->rank,     groups, groups};
    for (int i = 0; i < 8; i++) { /* floats and ints alike */
        *pieces[i] = base ? base + used : NULL;
        used += values[i] * sizeof(float);
    }
    return used;
}

ashlar_status rank_sample_measure(const struct rank_sample *s, int layer, int rank,
                                  const float *keys, const float *queries, float *caught,
                                  ashlar_error *err)
{
    struct measure m = {.s = s, .l = &s->layers[layer], .rank = rank};
    int n_keys = m.l->n_keys, width = (int)width_of(s), used = 0;
    int kept = m.l->n_queries < QUERIES ? m.l->n_queries : QUERIES;
    size_t steps = (size_t)(rank / LAYER_RANK_STEP) + 1, bytes = measure_layout(&m, NULL);
    memset(caught, 0, steps * sizeof *caught);
    unsigned char *block = malloc(bytes + 1);
    if (!block)
        return error_memory(err, bytes, "the attention caught");
    measure_layout(&m, block);
    int chosen = n_keys / CHOSEN_SHARE;
    chosen = chosen < LEAST_CHOSEN ? LEAST_CHOSEN : chosen > MOST_CHOSEN ? MOST_CHOSEN : chosen;
    m.n_chosen = chosen / GROUP;
    if (n_keys > 0)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n_keys, rank, width, 1.0f,
                    m.l->keys, width, keys, width, 0.0f, m.rows, rank);
    for (int i = 0; i < kept; i++)
        if (m.l->positions[i] >= LEAST_KEYS) {
            measure_query(&m, i, queries, caught);
            used++;
        }
    for (size_t i = 0; i < steps; i++) /* keys that are no numbers tell nothing either */
        caught[i] = used && isfinite(caught[i]) ? caught[i] / (float)used : 1.0f;
    free(block);
    return ASHLAR_OK;
}

/* ---- the choice ----------------------------------------------------------------------------- */

/*
 * Of 1 / share: how many times what is caught the attention asked for. A layer that catches 20 % in
 * place of 2 has found its purpose, one that catches 55 in place of 37 only more of the same
 * (docs/tuner.md).
 */
static float gain_of(const float *caught, int from, int to)
{
    return 1.0f / fmaxf(caught[from], LEAST_SHARE) - 1.0f / fmaxf(caught[to], LEAST_SHARE);
}

/*
 * The number of steps from `from`, at most `most`, that gains most for each: curves may be flat
 * first. From 0 it is a leap over ranks that mislead.
 */
static int best_stride(const float *caught, int n_steps, int from, int most, float *gain)
{
    int best = 0, floor = LEAST_RANK / LAYER_RANK_STEP;
    floor = floor < n_steps - 1 ? floor : n_steps - 1;
    *gain = LEAST_GAIN * LAYER_RANK_STEP;
    for (int n = from == 0 && floor > 1 ? floor : 1; n <= most && from + n < n_steps; n++) {
        float each = gain_of(caught, from, from + n) / (float)n;
        if (each > *gain) {
            *gain = each;
            best = n;
        }
    }
    return best;
}

void layer_ranks_choose(const float *caught, int n_layer, int n_steps, int total, int *ranks)
{
    int left = total / LAYER_RANK_STEP;
    memset(ranks, 0, (size_t)n_layer * sizeof *ranks);
    while (left > 0) {
        int layer = -1, stride = 0;
        float most = 0.0f;
        for (int i = 0; i < n_layer; i++) {
            float gain;
            int n = best_stride(caught + (size_t)i * (size_t)n_steps, n_steps,
                                ranks[i] / LAYER_RANK_STEP, left, &gain);
            if (n > 0 && gain > most) {
                most = gain;
                layer = i;
                stride = n;
            }
        }
        if (layer < 0)
            return;
        ranks[layer] += stride * LAYER_RANK_STEP;
        left -= stride;
    }
}
