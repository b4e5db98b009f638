/*
 * gguf_get.c: finding and converting what an open GGUF file holds. Everything was checked when the
 * file was opened; what can still be wrong is that a value has another type or range than the
 * caller wants.
 */
#include "model/gguf_internal.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* ---- plain facts --------------------------------------------------------------------------- */

const char *gguf_path(const struct gguf *g)
{
    return g->path;
}

int gguf_fd(const struct gguf *g)
{
    return g->map.fd;
}

uint64_t gguf_size(const struct gguf *g)
{
    return g->size;
}

uint32_t gguf_version(const struct gguf *g)
{
    return g->version;
}

const unsigned char *gguf_data(const struct gguf *g)
{
    return g->data;
}

int gguf_n_keys(const struct gguf *g)
{
    return g->n_keys;
}

struct gguf_string gguf_key(const struct gguf *g, int i)
{
    assert(i >= 0 && i < g->n_keys);
    return g->keys[i].name;
}

enum gguf_type gguf_key_type(const struct gguf *g, int i)
{
    assert(i >= 0 && i < g->n_keys);
    return g->keys[i].type;
}

int gguf_n_tensors(const struct gguf *g)
{
    return g->n_tensors;
}

const struct gguf_tensor *gguf_tensor(const struct gguf *g, int i)
{
    assert(i >= 0 && i < g->n_tensors);
    return &g->tensors[i];
}

/* ---- finding by name ----------------------------------------------------------------------- */

static int compare_to_key(const void *name, const void *item)
{
    const struct gguf_key *const *key = item;
    return gguf_string_compare(*(const struct gguf_string *)name, (*key)->name);
}

static int compare_to_tensor(const void *name, const void *item)
{
    const struct gguf_tensor *const *t = item;
    return gguf_string_compare(*(const struct gguf_string *)name, (*t)->name);
}

static const struct gguf_key *find_key(const struct gguf *g, const char *name)
{
    struct gguf_string wanted = {name, strlen(name)};
    if (!g->keys_by_name)
        return NULL;
    const struct gguf_key *const *hit = bsearch(&wanted, g->keys_by_name, (size_t)g->n_keys,
                                                sizeof *g->keys_by_name, compare_to_key);
    return hit ? *hit : NULL;
}

int gguf_find(const struct gguf *g, const char *key)
{
    const struct gguf_key *k = find_key(g, key);
    return k ? (int)(k - g->keys) : -1;
}

const struct gguf_tensor *gguf_find_tensor(const struct gguf *g, const char *name)
{
    struct gguf_string wanted = {name, strlen(name)};
    const struct gguf_tensor *const *hit =
        bsearch(&wanted, g->tensors_by_name, (size_t)g->n_tensors, sizeof *g->tensors_by_name,
                compare_to_tensor);
    return hit ? *hit : NULL;
}

/* ---- values -------------------------------------------------------------------------------- */

static const char *type_name(enum gguf_type type)
{
    static const char *const names[GGUF_TYPE_COUNT] = {
        "u8",  "i8",   "u16",    "i16",   "u32", "i32", "f32",
        "bool", "string", "array", "u64", "i64", "f64",
    };
    return names[type];
}

static ashlar_status wrong_type(const struct gguf *g, const struct gguf_key *k, const char *wanted,
                                ashlar_error *err)
{
    char name[GGUF_NAME_TEXT];
    return error_set(err, ASHLAR_BAD_INPUT, "%s: offset %llu: key %s: type %s where %s is wanted",
                     g->path, (unsigned long long)k->offset, gguf_name_text(k->name, name),
                     type_name(k->type), wanted);
}

/* One packed integer; false when the type is no integer or the value is above INT64_MAX. */
static bool load_int(enum gguf_type type, const unsigned char *at, int64_t *out)
{
    int16_t i16;
    uint16_t u16;
    switch (type) {
    case GGUF_U8:
        *out = at[0];
        return true;
    case GGUF_I8:
        *out = (int8_t)at[0];
        return true;
    case GGUF_U16:
        memcpy(&u16, at, 2);
        *out = u16;
        return true;
    case GGUF_I16:
        memcpy(&i16, at, 2);
        *out = i16;
        return true;
    case GGUF_U32:
        *out = gguf_load_u32(at);
        return true;
    case GGUF_I32:
        *out = (int32_t)gguf_load_u32(at);
        return true;
    case GGUF_I64:
    case GGUF_U64:
        *out = (int64_t)gguf_load_u64(at);
        return type == GGUF_I64 || *out >= 0;
    default:
        return false;
    }
}

ashlar_status gguf_get_int(const struct gguf *g, const char *key, int64_t min, int64_t max,
                           int64_t fallback, int64_t *out, ashlar_error *err)
{
    const struct gguf_key *k = find_key(g, key);
    *out = fallback;
    if (!k)
        return ASHLAR_OK;
    int64_t value = 0;
    bool fits = load_int(k->type, k->at, &value);
    if (!fits && k->type != GGUF_U64)
        return wrong_type(g, k, "an integer", err);
    if (!fits || value < min || value > max)
        return error_set(err, ASHLAR_BAD_INPUT,
                         "%s: offset %llu: key %s: %llu is outside [%lld, %lld]", g->path,
                         (unsigned long long)k->offset, key, (unsigned long long)value,
                         (long long)min, (long long)max);
    *out = value;
    return ASHLAR_OK;
}

ashlar_status gguf_get_float(const struct gguf *g, const char *key, float fallback, float *out,
                             ashlar_error *err)
{
    const struct gguf_key *k = find_key(g, key);
    *out = fallback;
    if (!k)
        return ASHLAR_OK;
    float value;
    if (k->type == GGUF_F32) {
        memcpy(&value, k->at, sizeof value);
    } else if (k->type == GGUF_F64) {
        double wide;
        memcpy(&wide, k->at, sizeof wide);
        value = fabs(wide) <= 3.402823e38 ? (float)wide : INFINITY;
    } else {
        return wrong_type(g, k, "a float", err);
    }
    if (!isfinite(value))
        return error_set(err, ASHLAR_BAD_INPUT, "%s: offset %llu: key %s: not a finite number",
                         g->path, (unsigned long long)k->offset, key);
    *out = value;
    return ASHLAR_OK;
}

ashlar_status gguf_get_bool(const struct gguf *g, const char *key, bool fallback, bool *out,
                            ashlar_error *err)
{
    const struct gguf_key *k = find_key(g, key);
    *out = fallback;
    if (!k)
        return ASHLAR_OK;
    if (k->type != GGUF_BOOL)
        return wrong_type(g, k, "a bool", err);
    *out = k->at[0] != 0;
    return ASHLAR_OK;
}

ashlar_status gguf_get_string(const struct gguf *g, const char *key, struct gguf_string *out,
                              ashlar_error *err)
{
    const struct gguf_key *k = find_key(g, key);
    *out = (struct gguf_string){NULL, 0};
    if (!k)
        return ASHLAR_OK;
    if (k->type != GGUF_STRING)
        return wrong_type(g, k, "a string", err);
    *out = k->string;
    return ASHLAR_OK;
}

ashlar_status gguf_get_array(const struct gguf *g, const char *key, enum gguf_type type,
                             struct gguf_array *out, ashlar_error *err)
{
    const struct gguf_key *k = find_key(g, key);
    memset(out, 0, sizeof *out);
    if (!k)
        return ASHLAR_OK;
    if (k->type != GGUF_ARRAY)
        return wrong_type(g, k, "an array", err);
    if (k->array.type != type)
        return error_set(err, ASHLAR_BAD_INPUT,
                         "%s: offset %llu: key %s: array of %s where one of %s is wanted", g->path,
                         (unsigned long long)k->offset, key, type_name(k->array.type),
                         type_name(type));
    *out = k->array;
    return ASHLAR_OK;
}

/* ---- items of arrays ----------------------------------------------------------------------- */

struct gguf_string gguf_array_string(const struct gguf_array *a, uint64_t i)
{
    assert(a->type == GGUF_STRING && i < a->n);
    const unsigned char *at = a->data + a->string_offsets[i];
    return (struct gguf_string){(const char *)at + 8, (size_t)gguf_load_u64(at)};
}

float gguf_array_float(const struct gguf_array *a, uint64_t i)
{
    float value;
    assert(a->type == GGUF_F32 && i < a->n);
    memcpy(&value, a->data + 4 * i, sizeof value);
    return value;
}

int64_t gguf_array_int(const struct gguf_array *a, uint64_t i)
{
    static const unsigned char bytes[GGUF_TYPE_COUNT] = {
        [GGUF_U8] = 1,  [GGUF_I8] = 1,  [GGUF_U16] = 2, [GGUF_I16] = 2,
        [GGUF_U32] = 4, [GGUF_I32] = 4, [GGUF_U64] = 8, [GGUF_I64] = 8,
    };
    int64_t value = 0;
    assert(bytes[a->type] != 0 && i < a->n);
    load_int(a->type, a->data + bytes[a->type] * i, &value);
    return value;
}
