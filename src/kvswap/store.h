/*
 * store.h: one sequence's keys and values on disk.
 *
 * A file holds, layer by layer, groups of `group_tokens` consecutive tokens. A group is the unit of
 * reading and writing: K of all heads, then V of all heads, each (head, token, head_dim) in the
 * store's element type. On disk each begins at a multiple of AIO_ALIGN; in memory it is padded to
 * STORE_ALIGN only. Neighbours are one request all the same: what lies between them on disk is
 * read into a page that nobody looks at, and written as zeros. docs/formats.md has the byte tables.
 *
 * Invariants:
 *  1. A group is readable only after its write finished without error; until then its state says
 *     so.
 *  2. The checksum (32 bits of XXH3-64 of the group's payload) of every written group is kept in
 *     memory and verified on every read: what was not written by this store, or changed since, is
 *     never used.
 *  3. A file is created anew, exclusively, mode 0600, and never opened by name again; its header
 *     says "open", so that what a killed process leaves is not trusted by anybody.
 *
 * Knows nothing of attention or prediction.
 */
#ifndef KVSWAP_STORE_H
#define KVSWAP_STORE_H

#include "base/error.h"
#include "kvswap/aio.h"
#include "model/tensor.h"

/*
 * Of groups in memory: what O_DIRECT asks of nearly every device. Groups in quantised types are no
 * powers of two, and whole pages would waste up to two fifths of the slots. A device with larger
 * sectors is read through the cache.
 */
enum { STORE_ALIGN = 512 };

struct store_shape {
    int n_layer, n_head_kv, head_dim;
    enum tensor_type type; /* of the elements on disk */
    int group_tokens;
    int max_groups; /* per layer */
};

struct store_options {
    const char *folder;
    uint64_t fingerprint;  /* of the model */
    uint64_t quota_bytes;  /* most bytes this file may take on disk; 0 = no limit */
    bool direct;           /* try O_DIRECT */
};

struct store {
    struct store_shape shape;
    struct aio *aio; /* borrowed */
    char path[512];
    int fd;
    bool direct;          /* O_DIRECT is in use */
    size_t payload_bytes; /* of a group */
    size_t group_bytes;   /* in memory: payload padded to STORE_ALIGN */
    size_t stride;        /* on disk, from one group to the next: padded to AIO_ALIGN */
    uint32_t *checksums;  /* (n_layer, max_groups); 0 = not written */
    uint64_t quota_bytes, used_bytes;
};

/** Bytes of one token's K and V of all heads in a layer. */
size_t store_token_bytes(const struct store_shape *shape);
/** Bytes of a group in memory, padded. */
size_t store_group_bytes(const struct store_shape *shape);
/**
 * Pieces of memory (iovec) that a transfer of n groups is made of, at most: of groups that lie one
 * behind the other in memory, or apart.
 */
size_t store_pieces(const struct store_shape *shape, int n, bool apart);
/** Resident bytes of an open store. */
size_t store_resident_bytes(const struct store_shape *shape);
/** Largest size of the file. */
uint64_t store_file_bytes(const struct store_shape *shape);

/** Errors: FAILED (cannot create, names the path), NO_RESOURCE (memory). */
ashlar_status store_open(struct store *s, const struct store_shape *shape,
                         const struct store_options *options, struct aio *aio, ashlar_error *err);
/** Close and remove the file. */
void store_close(struct store *s);

/**
 * Fill in a request that writes groups [group, group + n) of a layer from `data` (n * group_bytes,
 * padding zeroed by the caller) and record their checksums. `pieces`: as many as store_pieces says,
 * the request's until it is finished. Errors: NO_RESOURCE (quota).
 */
ashlar_status store_write(struct store *s, int layer, int group, int n, unsigned char *data,
                          struct iovec *pieces, struct aio_request *request, ashlar_error *err);

/** Fill in a request that reads groups [group, group + n) into `data`; pieces as in store_write. */
void store_read(const struct store *s, int layer, int group, int n, unsigned char *data,
                struct iovec *pieces, struct aio_request *request);

/** The same into n places of their own. */
void store_read_apart(const struct store *s, int layer, int group, int n,
                      unsigned char *const *places, struct iovec *pieces,
                      struct aio_request *request);

/** How many groups a request transfers. */
int store_groups_in(const struct store *s, const struct aio_request *request);

/**
 * Check a finished read of groups: I/O error, then checksums. Errors: FAILED, NO_RESOURCE; with
 * file and offset.
 */
ashlar_status store_check(const struct store *s, int layer, int group, int n,
                          const unsigned char *data, const struct aio_request *request,
                          ashlar_error *err);

/** Forget groups from `group` on, in all layers (rewind). */
void store_truncate(struct store *s, int group);

#endif
