/*
 * test_adapter_file.c: adapters written are read back with their first rows; what is not this
 * model's adapter is refused by the name of its key or tensor, whatever bytes the file holds.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/os.h"
#include "base/rng.h"
#include "kvswap/adapter_file.h"
#include "model/gguf_writer.h"

enum { LAYERS = 2, WIDTH = 16, RANK = 8, KEYS = 200, FINGERPRINT = 0x5eed, SEED = 3 };

static char path[64];

static int set_up(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/ashlar-adapter-%d.gguf", (int)getpid());
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

/* Keys, and queries, lie near the first dimensions, the more the lower the index. */
static void draw_rows(struct rng *rng, int n, float *rows)
{
    for (int t = 0; t < n; t++)
        for (int i = 0; i < WIDTH; i++)
            rows[t * WIDTH + i] = rng_normal(rng) * 8.0f / (float)(1 + i * i);
}

static struct calibration *gather(void)
{
    struct calibration *c;
    struct rng rng;
    float keys[KEYS * WIDTH];
    assert_int_equal(calibration_new(LAYERS, WIDTH, WIDTH, &c, NULL), ASHLAR_OK);
    rng_seed(&rng, SEED);
    for (int l = 0; l < LAYERS; l++) {
        draw_rows(&rng, KEYS, keys);
        calibration_add(c, l, KEYS / 2, keys); /* in pieces, as passes bring them */
        calibration_add(c, l, KEYS - KEYS / 2, keys + KEYS / 2 * WIDTH);
        for (int q = 0; q < KEYS / 4; q++) {
            draw_rows(&rng, 1, c->query);
            calibration_add_query(c, l, c->query);
        }
    }
    return c;
}

static void write_file(double *mean, double *least)
{
    struct calibration *c = gather();
    ashlar_error err = {0};
    if (adapter_file_write(path, FINGERPRINT, c, RANK, mean, least, &err) != ASHLAR_OK)
        fail_msg("%s", err.message);
    calibration_free(c);
}

/* An adapter with memory for `rank` rows. */
struct room {
    struct adapters a;
    unsigned char data[LAYERS * 2 * WIDTH * WIDTH * 2];
    unsigned char act[WIDTH * sizeof(float) + 128] __attribute__((aligned(64)));
    bool ready[LAYERS];
    int n_samples[LAYERS];
};

static ashlar_status read_into(struct room *room, int layers, int width, int rank,
                               uint64_t fingerprint, ashlar_error *err)
{
    *room = (struct room){
        .a = {.kernels = kernels_scalar(), .n_layer = layers, .width = width, .rank = rank}};
    room->a.data = room->data;
    room->a.ready = room->ready;
    room->a.n_samples = room->n_samples;
    room->a.act = room->act;
    return adapter_file_read(path, fingerprint, &room->a, err);
}

/* Row i of one of a layer's matrices. */
static void get_row(const struct room *room, int layer, enum adapter_side side, int i, float *row)
{
    float one[WIDTH], y[WIDTH];
    for (int d = 0; d < room->a.width; d++) {
        memset(one, 0, sizeof one);
        one[d] = 1.0f;
        adapters_project(&room->a, layer, side, 1, one, y);
        row[d] = y[i];
    }
}

/* A B^T is the identity, and the first row looks where keys and queries are. */
static void matrices_are_inverse_and_in_order(void **state)
{
    (void)state;
    double mean, least;
    struct room room;
    float k[WIDTH], q[WIDTH];
    write_file(&mean, &least);
    assert_true(least <= mean && mean <= 1.0 + 1e-6 && least > 0.99);
    assert_int_equal(read_into(&room, LAYERS, WIDTH, RANK, FINGERPRINT, NULL), ASHLAR_OK);
    for (int l = 0; l < LAYERS; l++) {
        assert_true(room.ready[l]);
        for (int i = 0; i < RANK; i++)
            for (int j = 0; j < RANK; j++) {
                double dot = 0.0;
                get_row(&room, l, ADAPTER_KEYS, i, k);
                get_row(&room, l, ADAPTER_QUERIES, j, q);
                for (int d = 0; d < WIDTH; d++)
                    dot += (double)k[d] * q[d];
                if (fabs(dot - (i == j)) > 0.02)
                    fail_msg("rows %d and %d: %g", i, j, dot);
            }
        get_row(&room, l, ADAPTER_QUERIES, 0, q);
        for (int d = 1; d < WIDTH; d++)
            assert_true(fabsf(q[d]) < 0.2f * fabsf(q[0]));
    }
}

static void fewer_rows_are_the_first_ones(void **state)
{
    (void)state;
    double mean, least;
    struct room all, some;
    float a[WIDTH], b[WIDTH];
    write_file(&mean, &least);
    assert_int_equal(read_into(&all, LAYERS, WIDTH, RANK, FINGERPRINT, NULL), ASHLAR_OK);
    assert_int_equal(read_into(&some, LAYERS, WIDTH, 3, FINGERPRINT, NULL), ASHLAR_OK);
    for (int i = 0; i < LAYERS * 2 * 3; i++) {
        get_row(&all, i / 6, i / 3 % 2 ? ADAPTER_QUERIES : ADAPTER_KEYS, i % 3, a);
        get_row(&some, i / 6, i / 3 % 2 ? ADAPTER_QUERIES : ADAPTER_KEYS, i % 3, b);
        assert_memory_equal(a, b, sizeof a);
    }
}

static void expect_refused(int layers, int width, int rank, uint64_t fingerprint, const char *name)
{
    struct room room;
    ashlar_error err = {0};
    assert_int_equal(read_into(&room, layers, width, rank, fingerprint, &err), ASHLAR_BAD_INPUT);
    if (!strstr(err.message, name) || !strstr(err.message, path))
        fail_msg("the message does not name %s: %s", name, err.message);
    for (int l = 0; l < LAYERS; l++)
        assert_false(room.ready[l]);
}

static void other_models_are_refused_by_key(void **state)
{
    (void)state;
    double mean, least;
    write_file(&mean, &least);
    expect_refused(LAYERS, WIDTH, RANK, FINGERPRINT + 1, "key ashlar.adapter.model_fingerprint");
    expect_refused(LAYERS - 1, WIDTH, RANK, FINGERPRINT, "key ashlar.adapter.block_count");
    expect_refused(LAYERS, WIDTH - 2, RANK, FINGERPRINT, "key ashlar.adapter.width");
    expect_refused(LAYERS, WIDTH, RANK + 1, FINGERPRINT, "key ashlar.adapter.rank");
}

/* An adapter file with one thing wrong. */
struct wrong {
    const char *architecture;
    uint32_t version, rank;
    enum tensor_type type;
    uint64_t rows;
    int layers;
    float value;
    const char *name; /* in the message */
};

static void write_wrong(const struct wrong *x)
{
    struct gguf_writer *w;
    uint64_t shape[2] = {WIDTH, x->rows};
    size_t value_bytes = x->type == TENSOR_F16 ? 2 : 4, bytes = x->rows * WIDTH * value_bytes;
    unsigned char *data = calloc(1, bytes);
    assert_int_equal(gguf_writer_new(path, &w, NULL), ASHLAR_OK);
    gguf_writer_string(w, "general.architecture", x->architecture);
    gguf_writer_u32(w, "ashlar.adapter.version", x->version);
    gguf_writer_string(w, "ashlar.adapter.model_fingerprint", "0000000000005eed");
    gguf_writer_u32(w, "ashlar.adapter.block_count", LAYERS);
    gguf_writer_u32(w, "ashlar.adapter.width", WIDTH);
    gguf_writer_u32(w, "ashlar.adapter.rank", x->rank);
    for (int i = 0; i < 2 * x->layers; i++) {
        char name[64];
        snprintf(name, sizeof name, "kvswap.blk.%d.%s", i / 2, i % 2 ? "queries" : "keys");
        gguf_writer_tensor(w, name, x->type, 2, shape);
    }
    ashlar_error err = {0};
    if (gguf_writer_begin_data(w, &err) != ASHLAR_OK)
        fail_msg("%s", err.message);
    memcpy(data + bytes - 4, &x->value, 4);
    for (int i = 0; i < 2 * x->layers; i++)
        assert_int_equal(gguf_writer_data(w, data, bytes, NULL), ASHLAR_OK);
    assert_int_equal(gguf_writer_finish(w, NULL), ASHLAR_OK);
    gguf_writer_free(w);
    free(data);
}

static void wrong_files_are_refused_by_name(void **state)
{
    (void)state;
    const struct wrong right = {"ashlar-adapter", 2, RANK, TENSOR_F32, RANK, LAYERS, 0.5f, NULL};
    struct wrong cases[8];
    for (int i = 0; i < 8; i++)
        cases[i] = right;
    cases[0].architecture = "llama", cases[0].name = "key general.architecture";
    cases[1].version = 1, cases[1].name = "key ashlar.adapter.version";
    cases[2].rank = WIDTH + 1, cases[2].name = "key ashlar.adapter.rank";
    cases[3].type = TENSOR_F16, cases[3].name = "tensor kvswap.blk.0.keys";
    cases[4].rows = RANK - 1, cases[4].name = "tensor kvswap.blk.0.keys";
    cases[5].layers = LAYERS - 1, cases[5].name = "tensor kvswap.blk.1.keys";
    cases[6].value = NAN, cases[6].name = "tensor kvswap.blk.0.keys";
    cases[7].value = -1e30f, cases[7].name = "tensor kvswap.blk.0.keys";
    struct room room;
    write_wrong(&right);
    assert_int_equal(read_into(&room, LAYERS, WIDTH, RANK, FINGERPRINT, NULL), ASHLAR_OK);
    for (int i = 0; i < 8; i++) {
        write_wrong(&cases[i]);
        expect_refused(LAYERS, WIDTH, RANK, FINGERPRINT, cases[i].name);
    }
}

static void save(const char *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

/* A file whose layers were compared: one sequence, of which only layer 1 wants to know. */
static void write_compared(void)
{
    struct calibration *c = gather();
    struct rng rng;
    double mean, least;
    float key[WIDTH], query[WIDTH];
    assert_int_equal(rank_sample_new(LAYERS, 1, 1, WIDTH, &c->sample, NULL), ASHLAR_OK);
    rng_seed(&rng, SEED);
    for (int l = 0; l < LAYERS; l++)
        for (int t = 0; t < 2000; t++) {
            draw_rows(&rng, 1, key);
            draw_rows(&rng, 1, query);
            for (int i = 0; i < WIDTH; i++)
                query[i] *= l == 1 ? 1.0f : 0.0f;
            assert_true(rank_sample_keys(c->sample, l, t, 1, key));
            if (t % 8 == 0)
                rank_sample_query(c->sample, l, t, query);
        }
    assert_int_equal(adapter_file_write(path, FINGERPRINT, c, RANK, &mean, &least, NULL),
                     ASHLAR_OK);
    calibration_free(c);
}

static ashlar_status ranks_from_file(int mean_rank, char **list, ashlar_error *err)
{
    return adapter_file_ranks(path, FINGERPRINT, LAYERS, WIDTH, mean_rank, list, err);
}

/* A changed byte is refused or leaves usable values; a cut file is refused. */
static void any_damage_is_survived(void **state)
{
    (void)state;
    struct buf file;
    struct rng rng;
    struct room room;
    write_compared();
    buf_init(&file, 1 << 20);
    assert_int_equal(os_read_file(path, &file, NULL), ASHLAR_OK);
    rng_seed(&rng, SEED);
    for (size_t i = 0; i < file.length; i += 1 + rng_below(&rng, 3)) {
        char kept = file.data[i];
        file.data[i] = (char)(kept ^ (1 << rng_below(&rng, 8)));
        save(file.data, file.length);
        if (read_into(&room, LAYERS, WIDTH, RANK, FINGERPRINT, NULL) == ASHLAR_OK)
            for (int r = 0; r < RANK; r++) {
                float row[WIDTH];
                get_row(&room, 0, ADAPTER_KEYS, r, row);
                for (int v = 0; v < WIDTH; v++)
                    assert_true(isfinite(row[v]));
            }
        char *list;
        if (ranks_from_file(RANK, &list, NULL) == ASHLAR_OK)
            free(list);
        else
            assert_null(list);
        file.data[i] = kept;
    }
    for (size_t n = 1; n < file.length; n += 37) {
        save(file.data, n);
        assert_int_equal(read_into(&room, LAYERS, WIDTH, RANK, FINGERPRINT, NULL),
                         ASHLAR_BAD_INPUT);
    }
    buf_fini(&file);
}

static void ranks_by_layer_come_from_the_file(void **state)
{
    (void)state;
    struct room room;
    struct buf file;
    ashlar_error err = {0};
    double mean, least;
    char *list;
    write_compared();
    assert_int_equal(read_into(&room, LAYERS, WIDTH, RANK, FINGERPRINT, NULL), ASHLAR_OK);
    assert_int_equal(ranks_from_file(RANK / LAYERS, &list, NULL), ASHLAR_OK);
    assert_string_equal(list, "0,8");
    free(list);
    assert_int_equal(adapter_file_ranks(path, FINGERPRINT + 1, LAYERS, WIDTH, RANK, &list, &err),
                     ASHLAR_BAD_INPUT);
    assert_non_null(strstr(err.message, "key ashlar.adapter.model_fingerprint"));
    buf_init(&file, 1 << 20);
    assert_int_equal(os_read_file(path, &file, NULL), ASHLAR_OK);
    float nan = NAN; /* the table is the last tensor: 2 layers of 3 values, padded to 32 bytes */
    memcpy(file.data + file.length - 32, &nan, sizeof nan);
    save(file.data, file.length);
    assert_int_equal(ranks_from_file(RANK, &list, &err), ASHLAR_BAD_INPUT);
    assert_non_null(strstr(err.message, "is no share"));
    assert_null(list);
    buf_fini(&file);
    write_file(&mean, &least); /* one without a table */
    assert_int_equal(ranks_from_file(RANK, &list, NULL), ASHLAR_OK);
    assert_null(list);
}

static void the_default_name_replaces_the_ending(void **state)
{
    (void)state;
    const char *names[][2] = {{"a/b.gguf", "a/b.adapter.gguf"},
                              {"model", "model.adapter.gguf"},
                              {"x.GGUF", "x.GGUF.adapter.gguf"}};
    for (int i = 0; i < 3; i++) {
        char *beside = adapter_file_beside(names[i][0]);
        assert_string_equal(beside, names[i][1]);
        free(beside);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matrices_are_inverse_and_in_order),
        cmocka_unit_test(fewer_rows_are_the_first_ones),
        cmocka_unit_test(other_models_are_refused_by_key),
        cmocka_unit_test(wrong_files_are_refused_by_name),
        cmocka_unit_test(any_damage_is_survived),
        cmocka_unit_test(ranks_by_layer_come_from_the_file),
        cmocka_unit_test(the_default_name_replaces_the_ending),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
