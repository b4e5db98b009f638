/* test_tuner.c: the cost model does what docs/tuner.md says, and the choice keeps its budget. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kvswap/tuner.h"

/* A disk of 100 us and 1 GB/s, that serves 4 reads at once. */
static struct tune_device disk(void)
{
    struct tune_device d = {.io = "none", .direct = true};
    for (int b = 0; b < TUNE_BLOCKS; b++)
        for (int q = 0; q < TUNE_DEPTHS; q++) {
            d.blocks[b] = 4096 << b;
            d.depths[q] = 1 << 2 * q;
            d.seconds[b][q] = fmax(1e-4, d.depths[q] * 1e-4 / 4) + d.depths[q] * d.blocks[b] * 1e-9;
        }
    return d;
}

static struct tune_costs costs(void)
{
    return (struct tune_costs){.layer_seconds = 1e-3,
                               .other_seconds = 1e-3,
                               .attend_seconds = {[TENSOR_F16] = 1e-7, [TENSOR_Q8_0] = 1.2e-7},
                               .query_seconds = 1e-4,
                               .score_seconds = 1e-10,
                               .select_seconds = 5e-9};
}

/* The shape of a 1B model: 8 KV heads of 64, 16 layers. */
static struct kv_config config(ashlar_kv_options *o, uint64_t budget)
{
    static const struct kernels *kernels;
    kernels = kernels_select("scalar");
    *o = (ashlar_kv_options){.budget_bytes = budget};
    return (struct kv_config){.kernels = kernels,
                              .options = o,
                              .type = TENSOR_F16,
                              .n_layer = 16,
                              .n_head = 32,
                              .n_head_kv = 8,
                              .head_dim = 64,
                              .n_ctx = 16384,
                              .n_sequences = 1,
                              .max_items = 1,
                              .max_tokens = 512};
}

static void bursts_are_interpolated(void **state)
{
    (void)state;
    struct tune_device d = disk();
    for (int b = 0; b < TUNE_BLOCKS; b++)
        for (int q = 0; q < TUNE_DEPTHS; q++) {
            double t = tune_io_seconds(&d, (size_t)d.blocks[b], d.depths[q]);
            assert_true(fabs(t / d.seconds[b][q] - 1) < 1e-9);
        }
    assert_true(tune_io_seconds(&d, 16384, 0) == 0);
    assert_true(fabs(tune_io_seconds(&d, 16384, 0.5) / tune_io_seconds(&d, 16384, 1) - 0.5) < 1e-9);
    assert_true(fabs(tune_io_seconds(&d, 16384, 640) / tune_io_seconds(&d, 16384, 64) - 10) < 1e-9);
    double last = 0;
    for (double n = 0.25; n < 1000; n *= 1.3) {
        double t = tune_io_seconds(&d, 24000, n);
        assert_true(t > last && t > tune_io_seconds(&d, 16384, n) &&
                    t < tune_io_seconds(&d, 32768, n));
        last = t;
    }
}

static void hits_rise_from_the_base_to_all(void **state)
{
    (void)state;
    assert_true(fabs(tune_hit_share(0.78, 50, 50, 2048) - 0.78) < 1e-9);
    double last = 0;
    for (int reuse = 50; reuse <= 2048; reuse += 37) {
        double h = tune_hit_share(0.78, 50, reuse, 2048);
        assert_true(h > last && h <= 1.0);
        last = h;
    }
    assert_true(tune_hit_share(0.78, 50, 2048, 2048) == 1.0);
    assert_true(tune_hit_share(0.5, 2048, 2048, 2048) == 1.0);
}

static void quality_gives_way_only_to_the_budget(void **state)
{
    (void)state;
    struct tune_device d = disk();
    struct tune_costs c = costs();
    struct tune_choice x[TUNE_CANDIDATES];
    ashlar_kv_options o;
    int n, last_sigma = 0;
    for (uint64_t budget = 200ull << 20; budget > 2ull << 20; budget -= 2ull << 20) {
        struct kv_config k = config(&o, budget);
        ashlar_error err = {0};
        if (tune_choose(&k, &c, &d, 0.78, x, &n, &err) != ASHLAR_OK) {
            assert_int_equal(err.status, ASHLAR_NO_RESOURCE);
            break;
        }
        for (int i = 0; i < n; i++) {
            assert_true(x[i].bytes <= budget && x[i].reuse_tokens >= x[i].select_tokens &&
                        x[i].rank >= 32);
            assert_true(x[0].step_seconds <= 1.05 * x[i].step_seconds);
        }
        assert_true(x[0].sigma >= last_sigma);
        last_sigma = x[0].sigma;
    }
    assert_true(last_sigma >= 16); /* the loop came to where it matters */
}

static void given_settings_are_kept(void **state)
{
    (void)state;
    struct tune_device d = disk();
    struct tune_costs c = costs();
    struct tune_choice x[TUNE_CANDIDATES];
    ashlar_kv_options o;
    struct kv_config k = config(&o, 400ull << 20);
    int n;
    o.group_tokens = 32;
    o.select_tokens = 128;
    o.sigma = 4;
    o.type = "f16";
    assert_int_equal(tune_choose(&k, &c, &d, 0.78, x, &n, NULL), ASHLAR_OK);
    assert_int_equal(n, 1);
    assert_int_equal(x[0].type, TENSOR_F16);
    assert_int_equal(x[0].group_tokens, 32);
    assert_int_equal(x[0].select_tokens, 128);
    assert_int_equal(x[0].rank, 8 * 64 / 4);
}

/* F16 as long as nothing speaks for Q8_0: a budget that only it keeps, or a disk that it spares. */
static void the_type_follows_budget_and_disk(void **state)
{
    (void)state;
    struct tune_device d = disk(), slow = disk();
    struct tune_costs c = costs();
    struct tune_choice x[TUNE_CANDIDATES];
    ashlar_kv_options o;
    struct kv_config k = config(&o, 200ull << 20);
    int n;
    assert_int_equal(tune_choose(&k, &c, &d, 0.78, x, &n, NULL), ASHLAR_OK);
    assert_int_equal(x[0].type, TENSOR_F16);
    for (int b = 0; b < TUNE_BLOCKS; b++)
        for (int q = 0; q < TUNE_DEPTHS; q++)
            slow.seconds[b][q] = 1e-6 * slow.blocks[b] * slow.depths[q]; /* 1 MB/s */
    assert_int_equal(tune_choose(&k, &c, &slow, 0.78, x, &n, NULL), ASHLAR_OK);
    assert_int_equal(x[0].type, TENSOR_Q8_0);
    k.head_dim = 80; /* no whole blocks: F16 whatever the disk */
    assert_int_equal(tune_choose(&k, &c, &slow, 0.78, x, &n, NULL), ASHLAR_OK);
    for (int i = 0; i < n; i++)
        assert_int_equal(x[i].type, TENSOR_F16);
    bool smaller = false;
    for (uint64_t budget = 40ull << 20; budget > 10ull << 20; budget -= 1ull << 20) {
        k = config(&o, budget);
        if (tune_choose(&k, &c, &d, 0.78, x, &n, NULL) != ASHLAR_OK)
            break;
        smaller |= x[0].type == TENSOR_Q8_0;
    }
    assert_true(smaller);
}

static void a_slow_disk_wants_larger_groups(void **state)
{
    (void)state;
    struct tune_device fast = disk(), slow = disk();
    struct tune_costs c = costs();
    struct tune_choice x[TUNE_CANDIDATES];
    ashlar_kv_options o;
    struct kv_config k = config(&o, 100ull << 20);
    int n;
    for (int b = 0; b < TUNE_BLOCKS; b++)
        for (int q = 0; q < TUNE_DEPTHS; q++) {
            fast.seconds[b][q] = 1e-9 * fast.depths[q];
            slow.seconds[b][q] = 2e-3 * slow.depths[q]; /* each read costs the same, of any size */
        }
    assert_int_equal(tune_choose(&k, &c, &fast, 0.78, x, &n, NULL), ASHLAR_OK);
    int small = x[0].group_tokens;
    double quick = x[0].step_seconds;
    assert_int_equal(tune_choose(&k, &c, &slow, 0.78, x, &n, NULL), ASHLAR_OK);
    assert_true(x[0].group_tokens > small && x[0].step_seconds > quick);
}

static void nothing_that_fits_is_an_error_with_a_hint(void **state)
{
    (void)state;
    struct tune_device d = disk();
    struct tune_costs c = costs();
    struct tune_choice x[TUNE_CANDIDATES];
    ashlar_kv_options o;
    ashlar_error err = {0};
    struct kv_config k = config(&o, 1 << 20);
    int n;
    assert_int_equal(tune_choose(&k, &c, &d, 0.78, x, &n, &err), ASHLAR_NO_RESOURCE);
    assert_int_equal(n, 0);
    assert_non_null(strstr(err.hint, "smallest"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bursts_are_interpolated),
        cmocka_unit_test(hits_rise_from_the_base_to_all),
        cmocka_unit_test(quality_gives_way_only_to_the_budget),
        cmocka_unit_test(given_settings_are_kept),
        cmocka_unit_test(the_type_follows_budget_and_disk),
        cmocka_unit_test(a_slow_disk_wants_larger_groups),
        cmocka_unit_test(nothing_that_fits_is_an_error_with_a_hint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
