/*
 * gguf.c: open a GGUF file and check all of it except the tensors' contents.
 *
 *   offset 0   "GGUF"
 *          4   u32 version (2 or 3)
 *          8   u64 number of tensors
 *         16   u64 number of keys
 *         24   keys: string name, u32 type, value
 *              strings are u64 length + bytes; arrays are u32 type, u64 n, values
 *              tensor table: string name, u32 n_dims, u64 shape[n_dims], u32 type, u64 offset
 *              padding to general.alignment
 *              tensor data; offsets in the table count from here
 *
 * A cursor walks the header once. Invariants:
 * 1. No byte is read before the cursor has checked that it lies inside the file.
 * 2. No memory is taken for a count before the smallest possible size of that many items has been
 *    checked against what is left of the file, so memory is bounded by a multiple of its size.
 * 3. The first violation ends the walk; the error names file, offset, and key or tensor.
 */
#include "model/gguf_internal.h"

#include "base/mem.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

enum {
    MIN_KEY_BYTES = 8 + 1 + 4 + 1,
    MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8,
    MAX_KEY_LENGTH = 65535, /* the specification's limit */
    MAX_TENSOR_NAME = 63,   /* struct tensor keeps names in 64 bytes */
    DEFAULT_ALIGNMENT = 32,
    MIN_ALIGNMENT = 8, /* floats in the mapping must be aligned */
    MAX_ALIGNMENT = 1 << 20,
};

/* Bytes of one value; 0 for strings and arrays. */
static const unsigned char scalar_bytes[GGUF_TYPE_COUNT] = {
    [GGUF_U8] = 1,  [GGUF_I8] = 1,   [GGUF_U16] = 2, [GGUF_I16] = 2, [GGUF_U32] = 4, [GGUF_I32] = 4,
    [GGUF_F32] = 4, [GGUF_BOOL] = 1, [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
};

struct cursor {
    struct gguf *g;
    uint64_t at;
    const char *kind;        /* "key", "tensor" or NULL: what is being read, for messages */
    struct gguf_string name; /* empty until known */
    ashlar_error *err;
};

/* ---- messages ------------------------------------------------------------------------------ */

int gguf_string_compare(struct gguf_string a, struct gguf_string b)
{
    size_t n = a.length < b.length ? a.length : b.length;
    int order = n ? memcmp(a.data, b.data, n) : 0;
    if (order)
        return order;
    return a.length < b.length ? -1 : a.length > b.length;
}

const char *gguf_name_text(struct gguf_string name, char out[GGUF_NAME_TEXT])
{
    size_t n = name.length < GGUF_NAME_TEXT - 4 ? name.length : GGUF_NAME_TEXT - 4;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)name.data[i];
        out[i] = c < 0x20 || c > 0x7e ? '?' : (char)c;
    }
    memcpy(out + n, n < name.length ? "..." : "", n < name.length ? 4 : 1);
    return out;
}

/* "m.gguf: offset 1234: key general.name: WHAT" */
static ashlar_status bad_at(const struct cursor *c, uint64_t offset, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static ashlar_status bad_at(const struct cursor *c, uint64_t offset, const char *format, ...)
{
    char what[224], name[GGUF_NAME_TEXT];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    gguf_name_text(c->name, name);
    error_set(c->err, ASHLAR_BAD_INPUT, "%s: offset %llu: %s%s%s%s%s", c->g->path,
              (unsigned long long)offset, c->kind ? c->kind : "", name[0] ? " " : "", name,
              c->kind ? ": " : "", what);
    return ASHLAR_BAD_INPUT;
}

/* ---- the cursor ---------------------------------------------------------------------------- */

static uint64_t left(const struct cursor *c)
{
    return c->g->size - c->at;
}

/* The next n > 0 bytes; NULL, with the error set, when the file ends before. */
static const unsigned char *take(struct cursor *c, uint64_t n, const char *what)
{
    if (n > left(c)) {
        bad_at(c, c->at, "the file ends in the middle of %s", what);
        return NULL;
    }
    const unsigned char *bytes = c->g->data + c->at;
    c->at += n;
    return bytes;
}

static ashlar_status take_u32(struct cursor *c, const char *what, uint32_t *out)
{
    const unsigned char *p = take(c, 4, what);
    *out = p ? gguf_load_u32(p) : 0;
    return p ? ASHLAR_OK : ASHLAR_BAD_INPUT;
}

static ashlar_status take_u64(struct cursor *c, const char *what, uint64_t *out)
{
    const unsigned char *p = take(c, 8, what);
    *out = p ? gguf_load_u64(p) : 0;
    return p ? ASHLAR_OK : ASHLAR_BAD_INPUT;
}

static ashlar_status take_string(struct cursor *c, const char *what, struct gguf_string *out)
{
    uint64_t start = c->at, length;
    ashlar_status s = take_u64(c, what, &length);
    if (s != ASHLAR_OK)
        return s;
    if (length > left(c))
        return bad_at(c, start, "%s length %llu runs past the end of the file", what,
                      (unsigned long long)length);
    out->data = (const char *)c->g->data + c->at;
    out->length = (size_t)length;
    c->at += length;
    return ASHLAR_OK;
}

/* Names of keys and tensors: 1 to max bytes without NUL. */
static ashlar_status take_name(struct cursor *c, uint64_t max, struct gguf_string *out)
{
    uint64_t start = c->at;
    ashlar_status s = take_string(c, "name", out);
    if (s != ASHLAR_OK)
        return s;
    if (out->length == 0 || out->length > max)
        return bad_at(c, start, "a name of %llu bytes (1 to %llu are allowed)",
                      (unsigned long long)out->length, (unsigned long long)max);
    if (memchr(out->data, 0, out->length))
        return bad_at(c, start, "a zero byte in a name");
    c->name = *out;
    return ASHLAR_OK;
}

/* ---- keys ---------------------------------------------------------------------------------- */

static ashlar_status read_string_array(struct cursor *c, struct gguf_array *a)
{
    uint64_t start = c->at;
    if (a->n > left(c) / 8)
        return bad_at(c, start, "%llu strings do not fit in the rest of the file",
                      (unsigned long long)a->n);
    uint64_t *offsets = mem_array((size_t)a->n, sizeof *offsets);
    if (!offsets)
        return error_memory(c->err, (size_t)a->n * sizeof *offsets, "a string array's index");
    a->string_offsets = offsets;
    for (uint64_t i = 0; i < a->n; i++) {
        struct gguf_string ignored;
        offsets[i] = c->at - start;
        ashlar_status s = take_string(c, "string", &ignored);
        if (s != ASHLAR_OK)
            return s;
    }
    return ASHLAR_OK;
}

static ashlar_status check_bools(struct cursor *c, uint64_t offset, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (c->g->data[offset + i] > 1)
            return bad_at(c, offset + i, "%d is not a truth value", c->g->data[offset + i]);
    return ASHLAR_OK;
}

static ashlar_status read_array(struct cursor *c, struct gguf_array *a)
{
    uint64_t start = c->at;
    uint32_t type;
    ashlar_status s = take_u32(c, "an array's type", &type);
    if (s == ASHLAR_OK)
        s = take_u64(c, "an array's length", &a->n);
    if (s != ASHLAR_OK)
        return s;
    if (type >= GGUF_TYPE_COUNT)
        return bad_at(c, start, "array of unknown type %u", type);
    if (type == GGUF_ARRAY)
        return bad_at(c, start, "an array of arrays");
    a->type = (enum gguf_type)type;
    a->data = c->g->data + c->at;
    if (type == GGUF_STRING)
        return read_string_array(c, a);
    if (a->n > left(c) / scalar_bytes[type])
        return bad_at(c, start, "array of %llu items runs past the end of the file",
                      (unsigned long long)a->n);
    uint64_t first = c->at;
    c->at += a->n * scalar_bytes[type];
    return type == GGUF_BOOL ? check_bools(c, first, a->n) : ASHLAR_OK;
}

static ashlar_status read_value(struct cursor *c, struct gguf_key *key)
{
    uint64_t start = c->at;
    if (key->type == GGUF_STRING)
        return take_string(c, "string", &key->string);
    if (key->type == GGUF_ARRAY)
        return read_array(c, &key->array);
    key->at = take(c, scalar_bytes[key->type], "a value");
    if (!key->at)
        return ASHLAR_BAD_INPUT;
    return key->type == GGUF_BOOL ? check_bools(c, start, 1) : ASHLAR_OK;
}

static ashlar_status read_key(struct cursor *c, struct gguf_key *key)
{
    uint32_t type;
    c->kind = "key";
    c->name = (struct gguf_string){"", 0};
    key->offset = c->at;
    ashlar_status s = take_name(c, MAX_KEY_LENGTH, &key->name);
    if (s != ASHLAR_OK)
        return s;
    uint64_t type_at = c->at;
    if ((s = take_u32(c, "a type", &type)) != ASHLAR_OK)
        return s;
    if (type >= GGUF_TYPE_COUNT)
        return bad_at(c, type_at, "unknown value type %u", type);
    key->type = (enum gguf_type)type;
    return read_value(c, key);
}

static int compare_keys(const void *a, const void *b)
{
    const struct gguf_key *const *x = a, *const *y = b;
    return gguf_string_compare((*x)->name, (*y)->name);
}

static ashlar_status index_keys(struct cursor *c)
{
    struct gguf *g = c->g;
    g->keys_by_name = mem_array((size_t)g->n_keys, sizeof *g->keys_by_name);
    if (!g->keys_by_name)
        return error_memory(c->err, (size_t)g->n_keys * sizeof *g->keys_by_name, "the key index");
    for (int i = 0; i < g->n_keys; i++)
        g->keys_by_name[i] = &g->keys[i];
    qsort(g->keys_by_name, (size_t)g->n_keys, sizeof *g->keys_by_name, compare_keys);
    for (int i = 1; i < g->n_keys; i++) {
        const struct gguf_key *a = g->keys_by_name[i - 1], *b = g->keys_by_name[i];
        if (gguf_string_compare(a->name, b->name) == 0) {
            c->name = b->name;
            return bad_at(c, a->offset > b->offset ? a->offset : b->offset, "appears twice");
        }
    }
    return ASHLAR_OK;
}

static ashlar_status read_keys(struct cursor *c, uint64_t n)
{
    struct gguf *g = c->g;
    if (n > left(c) / MIN_KEY_BYTES || n > INT_MAX)
        return bad_at(c, 16, "%llu keys do not fit in the file", (unsigned long long)n);
    g->keys = mem_array((size_t)n, sizeof *g->keys);
    if (!g->keys)
        return error_memory(c->err, (size_t)n * sizeof *g->keys, "the key table");
    for (uint64_t i = 0; i < n; i++) {
        g->n_keys = (int)i + 1; /* so that close frees a half-read array */
        ashlar_status s = read_key(c, &g->keys[i]);
        if (s != ASHLAR_OK)
            return s;
    }
    return index_keys(c);
}

/* ---- tensors ------------------------------------------------------------------------------- */

/* Number of elements, and from it the bytes, of a shape that the file claims. */
static ashlar_status measure_tensor(const struct cursor *c, uint64_t at, struct gguf_tensor *t)
{
    uint64_t n = 1;
    for (int i = 0; i < t->n_dims; i++) {
        if (t->shape[i] == 0)
            return bad_at(c, at, "dimension %d is zero", i);
        if (__builtin_mul_overflow(n, t->shape[i], &n) || n > INT64_MAX)
            return bad_at(c, at, "shape wraps 64 bits");
    }
    const struct tensor_type_info *info = tensor_type_info(t->type);
    if (!info)
        return ASHLAR_OK;
    uint64_t block = (uint64_t)info->block;
    if (t->shape[0] % block != 0)
        return bad_at(c, at, "rows of %llu values are not whole blocks of %s (%d)",
                      (unsigned long long)t->shape[0], info->name, info->block);
    if (__builtin_mul_overflow(n / block, (uint64_t)info->bytes, &t->bytes))
        return bad_at(c, at, "size wraps 64 bits");
    return ASHLAR_OK;
}

static ashlar_status read_tensor(struct cursor *c, struct gguf_tensor *t)
{
    uint32_t n_dims;
    uint64_t start = c->at;
    c->kind = "tensor";
    c->name = (struct gguf_string){"", 0};
    ashlar_status s = take_name(c, MAX_TENSOR_NAME, &t->name);
    if (s == ASHLAR_OK)
        s = take_u32(c, "the number of dimensions", &n_dims);
    if (s != ASHLAR_OK)
        return s;
    if (n_dims < 1 || n_dims > 4)
        return bad_at(c, start, "%u dimensions (1 to 4 are allowed)", n_dims);
    t->n_dims = (int)n_dims;
    for (int i = 0; i < 4; i++)
        t->shape[i] = 1;
    for (int i = 0; i < t->n_dims && s == ASHLAR_OK; i++)
        s = take_u64(c, "a shape", &t->shape[i]);
    if (s == ASHLAR_OK)
        s = take_u32(c, "a type", &t->type);
    if (s == ASHLAR_OK)
        s = take_u64(c, "an offset", &t->offset);
    return s == ASHLAR_OK ? measure_tensor(c, start, t) : s;
}

static int compare_tensors(const void *a, const void *b)
{
    const struct gguf_tensor *const *x = a, *const *y = b;
    return gguf_string_compare((*x)->name, (*y)->name);
}

static int compare_places(const void *a, const void *b)
{
    const struct gguf_tensor *x = *(const struct gguf_tensor *const *)a;
    const struct gguf_tensor *y = *(const struct gguf_tensor *const *)b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

static ashlar_status check_alignment(struct cursor *c, uint64_t *alignment)
{
    int64_t value;
    ashlar_status s = gguf_get_int(c->g, "general.alignment", MIN_ALIGNMENT, MAX_ALIGNMENT,
                                   DEFAULT_ALIGNMENT, &value, c->err);
    if (s != ASHLAR_OK)
        return s;
    if (value & (value - 1))
        return error_set(c->err, ASHLAR_BAD_INPUT,
                         "%s: key general.alignment: %lld is not a power of two", c->g->path,
                         (long long)value);
    *alignment = (uint64_t)value;
    return ASHLAR_OK;
}

/* Turn offsets into offsets in the file, each tensor inside it. */
static ashlar_status place_tensors(struct cursor *c, uint64_t alignment)
{
    struct gguf *g = c->g;
    uint64_t base = (c->at + alignment - 1) & ~(alignment - 1);
    for (int i = 0; i < g->n_tensors; i++) {
        struct gguf_tensor *t = &g->tensors[i];
        c->name = t->name;
        if (t->offset % alignment != 0)
            return bad_at(c, base, "data offset %llu is not a multiple of %llu",
                          (unsigned long long)t->offset, (unsigned long long)alignment);
        uint64_t room = base <= g->size ? g->size - base : 0;
        if (base > g->size || t->offset > room || t->bytes > room - t->offset)
            return bad_at(c, base, "data (%llu bytes at +%llu) runs past the end of the file",
                          (unsigned long long)t->bytes, (unsigned long long)t->offset);
        t->offset += base;
    }
    return ASHLAR_OK;
}

/* Leaves tensors_by_name sorted by name; before that it serves to find overlaps and duplicates. */
static ashlar_status index_tensors(struct cursor *c)
{
    struct gguf *g = c->g;
    size_t n = (size_t)g->n_tensors;
    const struct gguf_tensor **index = mem_array(n, sizeof *index);
    if (!index)
        return error_memory(c->err, n * sizeof *index, "the tensor index");
    g->tensors_by_name = index;
    for (size_t i = 0; i < n; i++)
        index[i] = &g->tensors[i];

    qsort(index, n, sizeof *index, compare_places);
    for (size_t i = 1; i < n; i++) {
        if (index[i - 1]->offset + index[i - 1]->bytes > index[i]->offset) {
            char other[GGUF_NAME_TEXT];
            c->name = index[i]->name;
            return bad_at(c, index[i]->offset, "overlaps tensor %s",
                          gguf_name_text(index[i - 1]->name, other));
        }
    }
    qsort(index, n, sizeof *index, compare_tensors);
    for (size_t i = 1; i < n; i++) {
        if (gguf_string_compare(index[i - 1]->name, index[i]->name) == 0) {
            c->name = index[i]->name;
            return bad_at(c, index[i]->offset, "appears twice");
        }
    }
    return ASHLAR_OK;
}

static ashlar_status read_tensors(struct cursor *c, uint64_t n)
{
    struct gguf *g = c->g;
    uint64_t alignment = 0;
    c->kind = NULL;
    c->name = (struct gguf_string){"", 0};
    if (n > left(c) / MIN_TENSOR_BYTES || n > INT_MAX)
        return bad_at(c, 8, "%llu tensors do not fit in the file", (unsigned long long)n);
    g->tensors = mem_array((size_t)n, sizeof *g->tensors);
    if (!g->tensors)
        return error_memory(c->err, (size_t)n * sizeof *g->tensors, "the tensor table");
    for (uint64_t i = 0; i < n; i++) {
        ashlar_status s = read_tensor(c, &g->tensors[i]);
        if (s != ASHLAR_OK)
            return s;
    }
    g->n_tensors = (int)n;
    g->header_bytes = c->at;
    ashlar_status s = check_alignment(c, &alignment);
    if (s == ASHLAR_OK)
        s = place_tensors(c, alignment);
    return s == ASHLAR_OK ? index_tensors(c) : s;
}

/* ---- open and close ------------------------------------------------------------------------ */

static ashlar_status read_header(struct cursor *c, uint64_t *n_tensors, uint64_t *n_keys)
{
    const unsigned char *magic = take(c, 4, "the magic number");
    if (!magic)
        return ASHLAR_BAD_INPUT;
    if (memcmp(magic, "GGUF", 4) != 0)
        return bad_at(c, 0, "not a GGUF file");
    uint32_t version;
    ashlar_status s = take_u32(c, "the version", &version);
    if (s != ASHLAR_OK)
        return s;
    if (version != 0 && (version & 0xffff) == 0)
        return bad_at(c, 4, "a big-endian GGUF file is not supported");
    if (version != 2 && version != 3)
        return bad_at(c, 4, "GGUF version %u is not supported (2 and 3 are)", version);
    c->g->version = version;
    s = take_u64(c, "the number of tensors", n_tensors);
    return s == ASHLAR_OK ? take_u64(c, "the number of keys", n_keys) : s;
}

static ashlar_status parse(struct gguf *g, ashlar_error *err)
{
    struct cursor c = {.g = g, .name = {"", 0}, .err = err};
    uint64_t n_tensors = 0, n_keys = 0;
    ashlar_status s = read_header(&c, &n_tensors, &n_keys);
    if (s == ASHLAR_OK)
        s = read_keys(&c, n_keys);
    return s == ASHLAR_OK ? read_tensors(&c, n_tensors) : s;
}

/* Takes over map; on failure everything is closed. */
static ashlar_status open_bytes(const unsigned char *data, uint64_t size, const char *name,
                                struct os_map *map, struct gguf **out, ashlar_error *err)
{
    struct gguf *g = calloc(1, sizeof *g);
    char *path = strdup(name);
    if (!g || !path) {
        free(g);
        free(path);
        if (map)
            os_map_close(map);
        return error_memory(err, sizeof *g + strlen(name), "a GGUF file");
    }
    if (map)
        g->map = *map;
    else
        g->map.fd = -1;
    g->path = path;
    g->data = data;
    g->size = size;
    ashlar_status s = parse(g, err);
    if (s != ASHLAR_OK) {
        gguf_close(g);
        return s;
    }
    *out = g;
    return ASHLAR_OK;
}

ashlar_status gguf_open(const char *path, struct gguf **out, ashlar_error *err)
{
    struct os_map map;
    *out = NULL;
    ashlar_status s = os_map_open(&map, path, err);
    if (s != ASHLAR_OK)
        return s;
    return open_bytes(map.data, map.size, path, &map, out, err);
}

ashlar_status gguf_open_memory(const void *data, size_t size, const char *name, struct gguf **out,
                               ashlar_error *err)
{
    *out = NULL;
    return open_bytes(data, size, name, NULL, out, err);
}

void gguf_close(struct gguf *g)
{
    if (!g)
        return;
    for (int i = 0; i < g->n_keys; i++)
        free((void *)g->keys[i].array.string_offsets);
    free(g->keys);
    free(g->keys_by_name);
    free(g->tensors);
    free(g->tensors_by_name);
    if (g->map.data)
        os_map_close(&g->map);
    free(g->path);
    free(g);
}

uint64_t gguf_fingerprint(const struct gguf *g)
{
    return XXH3_64bits(g->data, (size_t)g->header_bytes);
}
