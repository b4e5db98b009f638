/*
 * test_recall_meter.c: the share of attention that the meter reports is the one that the views of
 * the step hold, computed here in double precision from all keys.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "kvswap/aio.h"
#include "kvswap/kv.h"

enum {
    LAYERS = 3,
    HEADS = 4,
    HEADS_KV = 2,
    DIM = 32,
    GROUP = HEADS / HEADS_KV,
    CONTEXT = 512,
    STEPS = 300,
    Q_WIDTH = HEADS * DIM,
    K_WIDTH = HEADS_KV * DIM,
    SEED = 7
};

struct fixture {
    struct kv_config config;
    ashlar_kv_options options;
    struct aio_fault_plan fault;
    struct kv *kv;
    float *keys; /* (LAYERS, CONTEXT, K_WIDTH) as stored */
    double share[LAYERS];
    int checked;
};

/* The prediction's query is the input itself. */
static void project(void *user, int layer, const float *x, size_t x_stride, const int *rows,
                    int n_rows, float *q)
{
    (void)user, (void)layer;
    for (int i = 0; i < n_rows; i++)
        memcpy(q + (size_t)i * Q_WIDTH, x + (size_t)rows[i] * x_stride, Q_WIDTH * sizeof *q);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->keys = calloc((size_t)LAYERS * CONTEXT * K_WIDTH, sizeof(float));
    f->options = (ashlar_kv_options){.folder = "/tmp",
                                     .group_tokens = 4,
                                     .select_tokens = 48,
                                     .reuse_tokens = 64,
                                     .recent_tokens = 16,
                                     .check_every = 3,
                                     .mass = 1.0f};
    assert_int_equal(pool_new(2, &f->config.pool, NULL), ASHLAR_OK);
    static const struct log silent;
    f->config.kernels = kernels_select(NULL);
    f->config.log = &silent;
    f->config.options = &f->options;
    f->config.fault = &f->fault;
    f->config.type = TENSOR_F16;
    f->config.n_layer = LAYERS;
    f->config.n_head = HEADS;
    f->config.n_head_kv = HEADS_KV;
    f->config.head_dim = DIM;
    f->config.n_ctx = CONTEXT;
    f->config.n_sequences = f->config.max_items = 1;
    f->config.max_tokens = 8;
    f->config.project = project;
    ashlar_error err = {0};
    if (kv_policy_kvswap.open(&f->config, &f->kv, &err) != ASHLAR_OK)
        fail_msg("%s", err.message);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    kv_policy_kvswap.close(f->kv);
    pool_free(f->config.pool);
    free(f->keys);
    free(f);
    return 0;
}

static void fill(struct rng *rng, float *x, int n, float scale)
{
    for (int i = 0; i < n; i++)
        x[i] = scale * rng_normal(rng);
}

static double mass(const float *q, const float *k)
{
    double dot = 0.0;
    for (int d = 0; d < DIM; d++)
        dot += (double)q[d] * k[d];
    return exp(dot / sqrt(DIM));
}

/* Attended mass over all mass, mean over heads. */
static double share_of(const struct fixture *f, int layer, int length, const float *q,
                       const struct kv_view *view)
{
    double share = 0.0;
    for (int h = 0; h < HEADS; h++) {
        double all = 0.0, attended = 0.0;
        for (int t = 0; t < length; t++)
            all += mass(q + h * DIM, f->keys + ((size_t)layer * CONTEXT + (size_t)t) * K_WIDTH +
                                         h / GROUP * DIM);
        for (int s = 0; s < view->n_spans; s++) {
            const struct kv_span *span = &view->spans[h / GROUP * view->n_spans + s];
            for (int t = 0; t < span->n; t++) {
                float k[DIM];
                f->config.kernels->dequantize(TENSOR_F16, DIM, (const uint16_t *)span->k + t * DIM,
                                              k);
                attended += mass(q + h * DIM, k);
            }
        }
        share += attended / all / HEADS;
    }
    return share;
}

static ashlar_status run_layer(struct fixture *f, struct kv_item *item, int layer, struct rng *rng)
{
    float q[Q_WIDTH], k[K_WIDTH], v[K_WIDTH];
    uint16_t half[K_WIDTH];
    struct kv_view view;
    fill(rng, q, Q_WIDTH, 1.5f);
    fill(rng, k, K_WIDTH, 1.0f);
    fill(rng, v, K_WIDTH, 1.0f);
    float *stored = f->keys + ((size_t)layer * CONTEXT + (size_t)item->position) * K_WIDTH;
    f->config.kernels->to_f16(K_WIDTH, k, half);
    f->config.kernels->dequantize(TENSOR_F16, K_WIDTH, half, stored);
    kv_policy_kvswap.predict(f->kv, layer, q, Q_WIDTH);
    kv_policy_kvswap.append(f->kv, layer, 0, 0, k, v);
    ashlar_kv_recall before = {0}, after = {0};
    kv_policy_kvswap.recall(f->kv, layer, &before);
    kv_policy_kvswap.meter(f->kv, layer, 0, q, NULL);
    kv_policy_kvswap.recall(f->kv, layer, &after);
    int n = kv_policy_kvswap.windows(f->kv, layer);
    for (int w = 0; w < n; w++)
        kv_policy_kvswap.window(f->kv, layer, w, &view, NULL);
    if (after.steps > before.steps && item->status == ASHLAR_OK) {
        double wanted = share_of(f, layer, item->position + 1, q, &view);
        double found = after.mean * (double)after.steps - before.mean * (double)before.steps;
        if (fabs(wanted - found) > 0.01)
            fail_msg("seed %d, step %d, layer %d: meter says %f, true share is %f", SEED,
                     item->position, layer, found, wanted);
        assert_true(after.least <= found + 1e-9 && after.least <= after.mean + 1e-9);
        f->checked++;
    }
    kv_policy_kvswap.end(f->kv, layer, NULL);
    return item->status;
}

static ashlar_status run_steps(struct fixture *f, int from, int to, struct rng *rng)
{
    ashlar_status status = ASHLAR_OK;
    for (int t = from; t < to && status == ASHLAR_OK; t++) {
        struct kv_item item = {.position = t, .n_tokens = 1};
        kv_policy_kvswap.begin(f->kv, &item, 1, NULL);
        for (int l = 0; l < LAYERS && status == ASHLAR_OK; l++)
            status = run_layer(f, &item, l, rng);
        kv_policy_kvswap.commit(f->kv, NULL);
    }
    return status;
}

static void the_meter_agrees_with_all_keys(void **state)
{
    struct fixture *f = *state;
    struct rng rng;
    rng_seed(&rng, SEED);
    assert_int_equal(run_steps(f, 0, STEPS, &rng), ASHLAR_OK);
    assert_true(f->checked > STEPS / 2);
    ashlar_kv_recall r;
    assert_true(kv_policy_kvswap.recall(f->kv, 1, &r));
    assert_true(r.mean > 0.05 && r.mean < 0.99); /* neither nothing nor everything */
}

static void a_disk_that_fails_while_metered_refuses_the_sequence(void **state)
{
    struct fixture *f = *state;
    struct rng rng;
    rng_seed(&rng, SEED);
    assert_int_equal(run_steps(f, 0, 150, &rng), ASHLAR_OK);
    f->fault = (struct aio_fault_plan){.fault = AIO_FAULT_CORRUPT,
                                       .first = f->fault.n_reads,
                                       .count = 1u << 30,
                                       .n_reads = f->fault.n_reads,
                                       .n_writes = f->fault.n_writes};
    assert_int_equal(run_steps(f, 150, 160, &rng), ASHLAR_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_meter_agrees_with_all_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_disk_that_fails_while_metered_refuses_the_sequence,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
