/*
 * gguf_internal.h: what an open GGUF file looks like inside; shared by gguf.c (opening, checking)
 * and gguf_get.c (typed access). Not for others.
 */
#ifndef MODEL_GGUF_INTERNAL_H
#define MODEL_GGUF_INTERNAL_H

#include "base/os.h"
#include "model/gguf.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "GGUF values are read in place");

struct gguf_key {
    struct gguf_string name;
    enum gguf_type type;
    uint64_t offset;         /* of the key, in the file: for messages */
    const unsigned char *at; /* the value; for strings and arrays see below */
    struct gguf_string string;
    struct gguf_array array;
};

struct gguf {
    struct os_map map; /* data NULL when from memory */
    const unsigned char *data;
    uint64_t size;
    char *path;
    uint32_t version;
    uint64_t header_bytes; /* up to the end of the tensor table */

    struct gguf_key *keys; /* in file order */
    int n_keys;
    const struct gguf_key **keys_by_name;

    struct gguf_tensor *tensors; /* in file order */
    int n_tensors;
    const struct gguf_tensor **tensors_by_name;
};

/** Order of names: by bytes, a prefix first. */
int gguf_string_compare(struct gguf_string a, struct gguf_string b);

enum { GGUF_NAME_TEXT = 72 };

/** A name from a file made fit for a message: cut short, strange bytes as '?'. Returns out. */
const char *gguf_name_text(struct gguf_string name, char out[GGUF_NAME_TEXT]);

static inline uint32_t gguf_load_u32(const unsigned char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t gguf_load_u64(const unsigned char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

#endif
