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

enum { VERSION = 1 };

/* Singular vectors have length 1; rounding may exceed it a little. */
static const float LARGEST_VALUE = 1.01f;

static void tensor_name(int layer, char name[64])
{
    snprintf(name, 64, "kvswap.blk.%d.adapter", layer);
}

/* ---- writing ------------------------------------------------------------------------------- */

static ashlar_status write_header(struct gguf_writer *w, uint64_t fingerprint,
                                  const struct calibration *c, int rank, ashlar_error *err)
{
    char text[64];
    uint64_t shape[2] = {(uint64_t)rank, (uint64_t)c->width};
    snprintf(text, sizeof text, "%016" PRIx64, fingerprint);
    gguf_writer_string(w, "general.architecture", ARCHITECTURE);
    gguf_writer_u32(w, KEY("version"), VERSION);
    gguf_writer_string(w, KEY("model_fingerprint"), text);
    gguf_writer_u32(w, KEY("block_count"), (uint32_t)c->n_layer);
    gguf_writer_u32(w, KEY("width"), (uint32_t)c->width);
    gguf_writer_u32(w, KEY("rank"), (uint32_t)rank);
    gguf_writer_u32(w, KEY("tokens"), c->tokens < UINT32_MAX ? (uint32_t)c->tokens : UINT32_MAX);
    for (int i = 0; i < c->n_layer; i++) {
        tensor_name(i, text);
        gguf_writer_tensor(w, text, TENSOR_F32, 2, shape);
    }
    return gguf_writer_begin_data(w, err);
}

static ashlar_status write_layers(struct gguf_writer *w, const struct calibration *c, int rank,
                                  float *a, double *energy_mean, double *energy_least,
                                  ashlar_error *err)
{
    ashlar_status status = ASHLAR_OK;
    double energy = 0.0;
    *energy_mean = 0.0;
    *energy_least = 1.0;
    for (int i = 0; i < c->n_layer && status == ASHLAR_OK; i++) {
        status = calibration_fit(c, i, rank, a, &energy, err);
        if (status == ASHLAR_OK)
            status = gguf_writer_data(w, a, (size_t)c->width * (size_t)rank * sizeof *a, err);
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
    float *a = mem_array((size_t)c->width * (size_t)rank, sizeof *a);
    if (!a)
        return error_memory(err, (size_t)c->width * (size_t)rank * sizeof *a, "an adapter");
    ashlar_status status = gguf_writer_new(path, &w, err);
    if (status == ASHLAR_OK)
        status = write_header(w, fingerprint, c, rank, err);
    if (status == ASHLAR_OK)
        status = write_layers(w, c, rank, a, energy_mean, energy_least, err);
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
    error_set(err, ASHLAR_BAD_INPUT, "%s: key %s: %lld columns, but %d are wanted", gguf_path(g),
              KEY("rank"), (long long)found, a->rank);
    error_hint(err,
               "a higher --kv-sigma wants fewer; ashlar calibrate with a lower one makes more");
    return ASHLAR_BAD_INPUT;
}

static ashlar_status read_layer(const struct gguf *g, int layer, int file_rank, struct adapters *a,
                                ashlar_error *err)
{
    char name[64];
    tensor_name(layer, name);
    const struct gguf_tensor *t = gguf_find_tensor(g, name);
    if (!t)
        return error_set(err, ASHLAR_BAD_INPUT, "%s: tensor %s is missing", gguf_path(g), name);
    if (t->type != TENSOR_F32 || t->n_dims != 2 || t->shape[0] != (uint64_t)file_rank ||
        t->shape[1] != (uint64_t)a->width)
        return error_set(err, ASHLAR_BAD_INPUT,
                         "%s: tensor %s: not an F32 matrix of %d rows and %d columns", gguf_path(g),
                         name, a->width, file_rank);
    const unsigned char *from = gguf_data(g) + t->offset;
    float *to = a->a + (size_t)layer * (size_t)a->width * (size_t)a->rank;
    for (int i = 0; i < a->width; i++, from += (size_t)file_rank * sizeof *to, to += a->rank) {
        memcpy(to, from, (size_t)a->rank * sizeof *to);
        for (int j = 0; j < a->rank; j++)
            if (!(fabsf(to[j]) <= LARGEST_VALUE))
                return error_set(err, ASHLAR_BAD_INPUT,
                                 "%s: tensor %s: value %g in row %d column %d is not "
                                 "that of a unit vector",
                                 gguf_path(g), name, (double)to[j], i, j);
    }
    return ASHLAR_OK;
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
    for (int i = 0; i < a->n_layer && status == ASHLAR_OK; i++)
        status = read_layer(g, i, rank, a, err);
    for (int i = 0; i < a->n_layer; i++)
        a->ready[i] = status == ASHLAR_OK;
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
