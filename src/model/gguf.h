/*
 * gguf.h: the GGUF container, versions 2 and 3, read by mapping the file. Everything in the file is
 * untrusted: after gguf_open succeeds, every key, string, array and tensor lies inside the file,
 * names are unique, offsets aligned, shapes do not wrap, sizes match types, and tensors do not
 * overlap. Knows nothing of architectures.
 */
#ifndef MODEL_GGUF_H
#define MODEL_GGUF_H

#include "base/error.h"
#include "model/tensor.h"

enum gguf_type {
    GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL, GGUF_STRING,
    GGUF_ARRAY, GGUF_U64, GGUF_I64, GGUF_F64, GGUF_TYPE_COUNT
};

struct gguf_string {
    const char *data; /* not terminated; in the mapping */
    size_t length;
};

struct gguf_array {
    enum gguf_type type; /* never GGUF_ARRAY */
    uint64_t n;
    const unsigned char *data; /* packed; strings as u64 length + bytes */
    const uint64_t *string_offsets; /* (n) from data, for strings; owned by the gguf */
};

struct gguf_tensor {
    struct gguf_string name;
    uint32_t type;     /* may be one we do not read: then bytes is 0 */
    int n_dims;
    uint64_t shape[4]; /* GGUF order: shape[0] is the row length */
    uint64_t offset;   /* in the file */
    uint64_t bytes;
};

struct gguf;

/** Errors: BAD_INPUT with key or tensor and file offset; FAILED; NO_RESOURCE. */
ashlar_status gguf_open(const char *path, struct gguf **out, ashlar_error *err);
/** As gguf_open on bytes in memory (borrowed until gguf_close): tests, fuzzing, embedded models. */
ashlar_status gguf_open_memory(const void *data, size_t size, const char *name, struct gguf **out,
                               ashlar_error *err);
void gguf_close(struct gguf *g);

const char *gguf_path(const struct gguf *g);
int gguf_fd(const struct gguf *g); /* -1 when from memory */
uint64_t gguf_size(const struct gguf *g);
uint32_t gguf_version(const struct gguf *g);
const unsigned char *gguf_data(const struct gguf *g); /* whole file; add an offset */

int gguf_n_keys(const struct gguf *g);
struct gguf_string gguf_key(const struct gguf *g, int i);
enum gguf_type gguf_key_type(const struct gguf *g, int i);
int gguf_find(const struct gguf *g, const char *key); /* -1 when absent */

/*
 * Typed access: `fallback` when the key is absent; BAD_INPUT when present with a type that cannot
 * hold the value or out of [min, max]. Any integer type converts to integer.
 */
ashlar_status gguf_get_int(const struct gguf *g, const char *key, int64_t min, int64_t max,
                           int64_t fallback, int64_t *out, ashlar_error *err);
ashlar_status gguf_get_float(const struct gguf *g, const char *key, float fallback, float *out,
                             ashlar_error *err); /* finite, else BAD_INPUT */
ashlar_status gguf_get_bool(const struct gguf *g, const char *key, bool fallback, bool *out,
                            ashlar_error *err);
/** Absent: data NULL. */
ashlar_status gguf_get_string(const struct gguf *g, const char *key, struct gguf_string *out,
                              ashlar_error *err);
/** Absent: n 0, data NULL. Elements must be of type `type`. */
ashlar_status gguf_get_array(const struct gguf *g, const char *key, enum gguf_type type,
                             struct gguf_array *out, ashlar_error *err);
struct gguf_string gguf_array_string(const struct gguf_array *a, uint64_t i);
float gguf_array_float(const struct gguf_array *a, uint64_t i);   /* F32 */
int64_t gguf_array_int(const struct gguf_array *a, uint64_t i);   /* any integer type */

int gguf_n_tensors(const struct gguf *g);
const struct gguf_tensor *gguf_tensor(const struct gguf *g, int i);
const struct gguf_tensor *gguf_find_tensor(const struct gguf *g, const char *name);

/** XXH3-64 of the header, keys and tensor table: identifies a model cheaply. */
uint64_t gguf_fingerprint(const struct gguf *g);

#endif
