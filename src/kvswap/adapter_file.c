/* adapter_file.c: see adapter_file.h. What is read is untrusted: gguf_open checks the container,
 * this file the keys, shapes and values. */
#include "kvswap/adapter_file.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/gguf.h"
#include "model/gguf_writer.h"

#define ARCHITECTURE "ashlar-adapter"
#define KEY(name) "ashlar.adapter." name

enum { VERSION = 2, SIDES = 2 };

static const char CAUGHT[] = "kvswap.caught";
static const char *const sides[SIDES] = {"keys", "queries"}; /* in the order of enum adapter_side */
static const float LARGEST_VALUE = 65504.0f; /* adapters are kept in binary16 or less */

static void tensor_name(int layer, int side, char name[64])
{
    snprintf(name, 64, "kvswap.blk.%d.%s", layer, sides[side]);
}

/* Columns of the table of what is caught. */
static int caught_steps(int rank)
{
    return rank / LAYER_RANK_STEP + 1;
}

/* ---- writing ------------------------------------------------------------------------------- */

static ashlar_status write_header(struct gguf_writer *w, uint64_t fingerprint,
                                  const struct calibration *c, int rank, ashlar_error *err)
{
    char text[64];
    uint64_t shape[2] = {(uint64_t)c->width, (uint64_t)rank};
    snprintf(text, sizeof text, "%016" PRIx64, fingerprint);
    gguf_writer_string(w, "general.architecture", ARCHITECTURE);
    gguf_writer_u32(w, KEY("version"), VERSION);
    gguf_writer_string(w, KEY("model_fingerprint"), text);
    gguf_writer_u32(w, KEY("block_count"), (uint32_t)c->n_layer);
    gguf_writer_u32(w, KEY("width"), (uint32_t)c->width);
    gguf_writer_u32(w, KEY("rank"), (uint32_t)rank);
    gguf_writer_u32(w, KEY("tokens"), c->tokens < UINT32_MAX ? (uint32_t)c->tokens : UINT32_MAX);
    for (int i = 0; i < SIDES * c->n_layer; i++) {
        tensor_name(i / SIDES, i % SIDES, text);
        gguf_writer_tensor(w, text, TENSOR_F32, 2, shape);
    }
    uint64_t table[2] = {(uint64_t)caught_steps(rank), (uint64_t)c->n_layer};
    if (c->sample)
        gguf_writer_tensor(w, CAUGHT, TENSOR_F32, 2, table);
    return gguf_writer_begin_data(w, err);
}

static ashlar_status write_layers(struct gguf_writer *w, const struct calibration *c, int rank,
                                  float *a, float *caught, double *energy_mean,
                                  double *energy_least, ashlar_error *err)
{
    ashlar_status status = ASHLAR_OK;
    double energy = 0.0;
    *energy_mean = 0.0;
    *energy_least = 1.0;
    for (int i = 0; i < c->n_layer && status == ASHLAR_OK; i++) {
        size_t values = (size_t)c->width * (size_t)rank;
        status = calibration_fit(c, i, rank, a, a + values, &energy, err);
        for (int side = 0; side < SIDES && status == ASHLAR_OK; side++)
            status = gguf_writer_data(w, a + (size_t)side * values, values * sizeof *a, err);
        if (status == ASHLAR_OK && c->sample)
            status = rank_sample_measure(c->sample, i, rank, a, a + values,
                                         caught + i * caught_steps(rank), err);
        *energy_mean += energy / c->n_layer;
        *energy_least = fmin(*energy_least, energy);
    }
    return status;
}

ashlar_status adapter_file_write(const char *path, uint64_t fingerprint,
                                 const struct calibration *c, int rank, double *energy_mean,
                                 double *energy_least, ashlar_error *err)
{
    struct gguf_writer *w = NULL;
    size_t values = SIDES * (size_t)c->width * (size_t)rank;
    size_t table = (size_t)c->n_layer * (size_t)caught_steps(rank);
    float *a = mem_array(values + table, sizeof *a), *caught = a + values;
    if (!a)
        return error_memory(err, (values + table) * sizeof *a, "an adapter");
    ashlar_status status = gguf_writer_new(path, &w, err);
    if (status == ASHLAR_OK)
        status = write_header(w, fingerprint, c, rank, err);
    if (status == ASHLAR_OK)
        status = write_layers(w, c, rank, a, caught, energy_mean, energy_least, err);
    if (status == ASHLAR_OK && c->sample)
        status = gguf_writer_data(w, caught, table * sizeof *caught, err);
    if (status == ASHLAR_OK)
        status = gguf_writer_finish(w, err);
    gguf_writer_free(w);
    free(a);
    return status;
}

/* ---- reading ------------------------------------------------------------------------------- */

static ashlar_status expect_text(const struct gguf *g, const char *key, const char *wanted,
                                 const char *meaning, ashlar_error *err)
{
    struct gguf_string found;
    ashlar_status status = gguf_get_string(g, key, &found, err);
    if (status != ASHLAR_OK)
        return status;
    if (found.data && found.length == strlen(wanted) &&
        memcmp(found.data, wanted, found.length) == 0)
        return ASHLAR_OK;
    error_set(err, ASHLAR_BAD_INPUT, "%s: key %s: %s", gguf_path(g), key, meaning);
    error_hint(err, "ashlar calibrate makes one; --kv-adapter none does without");
    return ASHLAR_BAD_INPUT;
}

static ashlar_status expect_int(const struct gguf *g, const char *key, int64_t wanted,
                                ashlar_error *err)
{
    int64_t found;
    ashlar_status status = gguf_get_int(g, key, 0, INT_MAX, 0, &found, err);
    if (status != ASHLAR_OK || found == wanted)
        return status;
    return error_set(err, ASHLAR_BAD_INPUT, "%s: key %s: %lld, but %lld is wanted", gguf_path(g),
                     key, (long long)found, (long long)wanted);
}

static ashlar_status check_keys(const struct gguf *g, uint64_t fingerprint,
                                const struct adapters *a, int *rank, ashlar_error *err)
{
    char text[17];
    int64_t found = 0;
    snprintf(text, sizeof text, "%016" PRIx64, fingerprint);
    ashlar_status status =
        expect_text(g, "general.architecture", ARCHITECTURE, "the file is not an adapter", err);
    if (status == ASHLAR_OK)
        status = expect_int(g, KEY("version"), VERSION, err);
    if (status == ASHLAR_OK)
        status = expect_text(g, KEY("model_fingerprint"), text,
                             "the adapter was made for another model", err);
    if (status == ASHLAR_OK)
        status = expect_int(g, KEY("block_count"), a->n_layer, err);
    if (status == ASHLAR_OK)
        status = expect_int(g, KEY("width"), a->width, err);
    if (status == ASHLAR_OK)
        status = gguf_get_int(g, KEY("rank"), 1, a->width, 0, &found, err);
    if (status != ASHLAR_OK)
        return status;
    *rank = (int)found;
    if (found >= a->rank)
        return ASHLAR_OK;
    error_set(err, ASHLAR_BAD_INPUT, "%s: key %s: %lld rows, but %d are wanted", gguf_path(g),
              KEY("rank"), (long long)found, a->rank);
    error_hint(err,
               "a higher --kv-sigma wants fewer; ashlar calibrate with a lower one makes more");
    return ASHLAR_BAD_INPUT;
}

/* The first rows of one matrix. */
static ashlar_status read_matrix(const struct gguf *g, int layer, int side, int file_rank,
                                 const struct adapters *a, float *to, ashlar_error *err)
{
    char name[64];
    tensor_name(layer, side, name);
    const struct gguf_tensor *t = gguf_find_tensor(g, name);
    if (!t)
        return error_set(err, ASHLAR_BAD_INPUT, "%s: tensor %s is missing", gguf_path(g), name);
    if (t->type != TENSOR_F32 || t->n_dims != 2 || t->shape[0] != (uint64_t)a->width ||
        t->shape[1] != (uint64_t)file_rank)
        return error_set(err, ASHLAR_BAD_INPUT,
                         "%s: tensor %s: not an F32 matrix of %d rows and %d columns", gguf_path(g),
                         name, file_rank, a->width);
    size_t values = (size_t)a->rank * (size_t)a->width;
    memcpy(to, gguf_data(g) + t->offset, values * sizeof *to);
    for (size_t i = 0; i < values; i++)
        if (!(fabsf(to[i]) <= LARGEST_VALUE))
            return error_set(err, ASHLAR_BAD_INPUT, "%s: tensor %s: value %g in row %zu column %zu",
                             gguf_path(g), name, (double)to[i], i / (size_t)a->width,
                             i % (size_t)a->width);
    return ASHLAR_OK;
}

static ashlar_status read_layers(const struct gguf *g, int file_rank, struct adapters *a,
                                 ashlar_error *err)
{
    size_t values = (size_t)a->rank * (size_t)a->width;
    float *both = mem_array(SIDES * values, sizeof *both);
    if (!both)
        return error_memory(err, SIDES * values * sizeof *both, "an adapter");
    ashlar_status status = ASHLAR_OK;
    for (int i = 0; i < a->n_layer && status == ASHLAR_OK; i++) {
        for (int side = 0; side < SIDES && status == ASHLAR_OK; side++)
            status = read_matrix(g, i, side, file_rank, a, both + (size_t)side * values, err);
        if (status == ASHLAR_OK)
            adapters_set(a, i, both, both + values);
    }
    free(both);
    return status;
}

ashlar_status adapter_file_read(const char *path, uint64_t fingerprint, struct adapters *a,
                                ashlar_error *err)
{
    struct gguf *g;
    int rank = 0;
    ashlar_status status = gguf_open(path, &g, err);
    if (status != ASHLAR_OK)
        return status;
    status = check_keys(g, fingerprint, a, &rank, err);
    if (status == ASHLAR_OK)
        status = read_layers(g, rank, a, err);
    for (int i = 0; i < a->n_layer; i++)
        a->ready[i] = status == ASHLAR_OK;
    gguf_close(g);
    return status;
}

/* The table as it is in the file, or NULL. Errors: BAD_INPUT (its shape or a value). */
static ashlar_status find_caught(const struct gguf *g, int n_layer, int steps,
                                 const float **caught, ashlar_error *err)
{
    const struct gguf_tensor *t = gguf_find_tensor(g, CAUGHT);
    *caught = NULL;
    if (!t)
        return ASHLAR_OK;
    if (t->type != TENSOR_F32 || t->n_dims != 2 || t->shape[0] != (uint64_t)steps ||
        t->shape[1] != (uint64_t)n_layer)
        return error_set(err, ASHLAR_BAD_INPUT,
                         "%s: tensor %s: not an F32 matrix of %d rows and %d columns", gguf_path(g),
                         CAUGHT, n_layer, steps);
    *caught = (const float *)(const void *)(gguf_data(g) + t->offset); /* aligned: gguf_open */
    for (size_t i = 0; i < (size_t)n_layer * (size_t)steps; i++)
        if (!((*caught)[i] >= 0.0f && (*caught)[i] <= 1.001f))
            return error_set(err, ASHLAR_BAD_INPUT, "%s: tensor %s: value %g is no share",
                             gguf_path(g), CAUGHT, (double)(*caught)[i]);
    return ASHLAR_OK;
}

/* "N,N,..."; NULL when memory ran out. */
static char *write_ranks(const int *ranks, int n)
{
    enum { DIGITS = 12 };
    char *text = malloc((size_t)n * DIGITS), *at = text;
    for (int i = 0; i < n && text; i++)
        at += sprintf(at, "%s%d", i ? "," : "", ranks[i]);
    return text;
}

ashlar_status adapter_file_ranks(const char *path, uint64_t fingerprint, int n_layer, int width,
                                 int mean_rank, char **list, ashlar_error *err)
{
    struct gguf *g;
    struct adapters wanted = {.n_layer = n_layer, .width = width, .rank = 1};
    const float *caught = NULL;
    int steps, *ranks = NULL, most = 0, file_rank = 0;
    *list = NULL;
    ashlar_status status = gguf_open(path, &g, err);
    if (status != ASHLAR_OK)
        return status;
    status = check_keys(g, fingerprint, &wanted, &file_rank, err);
    if (status == ASHLAR_OK)
        status = find_caught(g, n_layer, caught_steps(file_rank), &caught, err);
    steps = caught_steps(file_rank);
    if (status == ASHLAR_OK && caught && !(ranks = mem_array((size_t)n_layer, sizeof *ranks)))
        status = error_memory(err, (size_t)n_layer * sizeof *ranks, "ranks by layer");
    if (ranks) {
        layer_ranks_choose(caught, n_layer, steps, n_layer * mean_rank, ranks);
        for (int i = 0; i < n_layer; i++)
            most = ranks[i] > most ? ranks[i] : most;
        if (most > 0) /* else none is better than another */
            *list = write_ranks(ranks, n_layer);
        if (most > 0 && !*list)
            status = error_memory(err, (size_t)n_layer, "ranks by layer");
    }
    free(ranks);
    gguf_close(g);
    return status;
}

char *adapter_file_beside(const char *model_path)
{
    static const char ending[] = ".gguf", added[] = ".adapter.gguf";
    size_t n = strlen(model_path), cut = sizeof ending - 1;
    if (n > cut && strcmp(model_path + n - cut, ending) == 0)
        n -= cut;
    char *path = malloc(n + sizeof added);
    if (path) {
        memcpy(path, model_path, n);
        memcpy(path + n, added, sizeof added);
    }
    return path;
}
