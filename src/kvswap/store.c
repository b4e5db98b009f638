/* store.c: see store.h. Data goes through the caller's aio; only the header is written here. */
#include "kvswap/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/mem.h"

/*
 * Header, little endian, at offset 0, padded with zeros to 4096 bytes:
 *
 *   0  8  magic "ASHLARKV"
 *   8  4  format version, 2
 *  12  4  state: 1 open (contents not to be trusted)
 *  16  8  model fingerprint
 *  24  4  layers          28  4  KV heads
 *  32  4  head_dim        36  4  element type (GGUF number)
 *  40  4  tokens a group  44  4  groups a layer
 *  48  8  bytes from a group to the next
 *  56  8  XXH3-64 of bytes 0..55
 */
enum { HEADER_BYTES = 4096, HEADER_VERSION = 2, STATE_OPEN = 1 };

/*
 * What is written between groups, and where what lies there is read to. Any number of transfers
 * under way may share the second: nobody looks at it.
 */
static const unsigned char zeros[AIO_ALIGN] __attribute__((aligned(AIO_ALIGN)));
static unsigned char unread[AIO_ALIGN] __attribute__((aligned(AIO_ALIGN)));

size_t store_token_bytes(const struct store_shape *shape)
{
    return 2 * (size_t)shape->n_head_kv * tensor_row_bytes(shape->type, shape->head_dim);
}

static size_t round_up(size_t bytes, size_t align)
{
    return (bytes + align - 1) / align * align;
}

size_t store_group_bytes(const struct store_shape *shape)
{
    return round_up(store_token_bytes(shape) * (size_t)shape->group_tokens, STORE_ALIGN);
}

static size_t stride_of(const struct store_shape *shape)
{
    return round_up(store_group_bytes(shape), AIO_ALIGN);
}

size_t store_pieces(const struct store_shape *shape, int n, bool apart)
{
    bool padded = stride_of(shape) > store_group_bytes(shape);
    return (size_t)n * (padded ? 2 : apart ? 1 : 0);
}

size_t store_resident_bytes(const struct store_shape *shape)
{
    return (size_t)shape->n_layer * (size_t)shape->max_groups * sizeof(uint32_t);
}

uint64_t store_file_bytes(const struct store_shape *shape)
{
    return HEADER_BYTES + (uint64_t)shape->n_layer * (uint64_t)shape->max_groups * stride_of(shape);
}

static void put(unsigned char *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        at[i] = (unsigned char)(value >> (8 * i));
}

static ashlar_status write_header(struct store *s, uint64_t fingerprint, ashlar_error *err)
{
    unsigned char *header = aligned_alloc(AIO_ALIGN, HEADER_BYTES);
    if (!header)
        return error_memory(err, HEADER_BYTES, "the KV file's header");
    memset(header, 0, HEADER_BYTES);
    memcpy(header, "ASHLARKV", 8);
    put(header + 8, HEADER_VERSION, 4);
    put(header + 12, STATE_OPEN, 4);
    put(header + 16, fingerprint, 8);
    put(header + 24, (uint64_t)s->shape.n_layer, 4);
    put(header + 28, (uint64_t)s->shape.n_head_kv, 4);
    put(header + 32, (uint64_t)s->shape.head_dim, 4);
    put(header + 36, (uint64_t)s->shape.type, 4);
    put(header + 40, (uint64_t)s->shape.group_tokens, 4);
    put(header + 44, (uint64_t)s->shape.max_groups, 4);
    put(header + 48, s->stride, 8);
    put(header + 56, XXH3_64bits(header, 56), 8);
    struct aio_request r = {.fd = s->fd, .write = true, .data = header, .bytes = HEADER_BYTES};
    aio_submit(s->aio, &r, 1);
    aio_wait(s->aio, &r);
    free(header);
    return r.error ? aio_error(&r, s->path, err) : ASHLAR_OK;
}

/*
 * Groups that are no whole pages need a device that transfers single sectors: tried where the
 * header has zeros. One that does not is read and written through the page cache.
 */
static void use_sectors(struct store *s)
{
    if (!s->direct || s->group_bytes % AIO_ALIGN == 0)
        return;
    if (pwrite(s->fd, zeros, STORE_ALIGN, STORE_ALIGN) >= 0 || errno != EINVAL)
        return;
    s->direct = false;
    fcntl(s->fd, F_SETFL, 0);
}

static ashlar_status create_file(struct store *s, const struct store_options *o, ashlar_error *err)
{
    int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;
    for (int attempt = 0; attempt < 16; attempt++) {
        uint64_t name;
        if (getrandom(&name, sizeof name, 0) != sizeof name)
            return error_errno(err, ASHLAR_FAILED, errno, "random bytes for a file name");
        int length = snprintf(s->path, sizeof s->path, "%s/ashlar-%016llx.kv", o->folder,
                              (unsigned long long)name);
        if (length >= (int)sizeof s->path)
            return error_set(err, ASHLAR_FAILED, "the KV folder's name is too long (%zu bytes)",
                             strlen(o->folder));
        s->direct = o->direct;
        s->fd = open(s->path, flags | (o->direct ? O_DIRECT : 0), 0600);
        if (s->fd < 0 && errno == EINVAL && o->direct) { /* tmpfs before Linux 6.6, some FUSE */
            unlink(s->path);
            s->direct = false;
            s->fd = open(s->path, flags, 0600);
        }
        if (s->fd >= 0 || errno != EEXIST)
            break;
    }
    if (s->fd >= 0) {
        use_sectors(s);
        return ASHLAR_OK;
    }
    error_errno(err, ASHLAR_FAILED, errno, "%s: cannot create the KV file", s->path);
    error_hint(err, "--kv-dir names a folder on a disk with room");
    return ASHLAR_FAILED;
}

ashlar_status store_open(struct store *s, const struct store_shape *shape,
                         const struct store_options *options, struct aio *aio, ashlar_error *err)
{
    *s = (struct store){.shape = *shape,
                        .aio = aio,
                        .fd = -1,
                        .quota_bytes = options->quota_bytes,
                        .used_bytes = HEADER_BYTES};
    s->payload_bytes = store_token_bytes(shape) * (size_t)shape->group_tokens;
    s->group_bytes = store_group_bytes(shape);
    s->stride = stride_of(shape);
    s->checksums =
        mem_array((size_t)shape->n_layer * (size_t)shape->max_groups, sizeof *s->checksums);
    if (!s->checksums)
        return error_memory(err, store_resident_bytes(shape), "KV checksums");
    ashlar_status status = create_file(s, options, err);
    if (status == ASHLAR_OK)
        aio_use_file(s->aio, s->fd, true);
    if (status == ASHLAR_OK)
        status = write_header(s, options->fingerprint, err);
    if (status != ASHLAR_OK)
        store_close(s);
    return status;
}

void store_close(struct store *s)
{
    if (s->fd >= 0) {
        aio_use_file(s->aio, s->fd, false); /* or it would keep the file on the disk */
        unlink(s->path);
        close(s->fd);
    }
    free(s->checksums);
    *s = (struct store){.fd = -1};
}

static uint32_t *checksum_of(const struct store *s, int layer, int group)
{
    return s->checksums + (size_t)layer * (size_t)s->shape.max_groups + (size_t)group;
}

static uint64_t offset_of(const struct store *s, int layer, int group)
{
    uint64_t index = (uint64_t)layer * (uint64_t)s->shape.max_groups + (uint64_t)group;
    return HEADER_BYTES + index * s->stride;
}

/* Never 0, which means "not written". */
static uint32_t checksum(const unsigned char *data, size_t n)
{
    uint32_t sum = (uint32_t)XXH3_64bits(data, n);
    return sum ? sum : 1;
}

/*
 * A request for groups [group, group + n): at `data` one after the other, or at `places`. The
 * padding behind the last one is not transferred. Groups of whole pages have nothing between them.
 */
static struct aio_request run_request(const struct store *s, int layer, int group, int n,
                                      unsigned char *data, unsigned char *const *places,
                                      const unsigned char *between, struct iovec *pieces)
{
    size_t gap = s->stride - s->group_bytes;
    struct aio_request r = {.fd = s->fd,
                            .data = places ? places[0] : data,
                            .bytes = (size_t)n * s->stride - gap,
                            .offset = offset_of(s, layer, group)};
    if (n == 1 || (gap == 0 && !places))
        return r;
    r.iov = pieces;
    for (int i = 0; i < n; i++) {
        unsigned char *place = places ? places[i] : data + (size_t)i * s->group_bytes;
        pieces[r.n_iov++] = (struct iovec){place, s->group_bytes};
        if (gap > 0 && i + 1 < n)
            pieces[r.n_iov++] = (struct iovec){(void *)between, gap};
    }
    return r;
}

ashlar_status store_write(struct store *s, int layer, int group, int n, unsigned char *data,
                          struct iovec *pieces, struct aio_request *request, ashlar_error *err)
{
    uint64_t fresh = 0;
    for (int i = 0; i < n; i++)
        fresh += *checksum_of(s, layer, group + i) == 0 ? s->stride : 0;
    if (s->quota_bytes && s->used_bytes + fresh > s->quota_bytes) {
        error_set(err, ASHLAR_NO_RESOURCE, "%s: disk quota of %llu bytes is used up", s->path,
                  (unsigned long long)s->quota_bytes);
        error_hint(err, "a higher --kv-quota allows more");
        return ASHLAR_NO_RESOURCE;
    }
    s->used_bytes += fresh;
    for (int i = 0; i < n; i++)
        *checksum_of(s, layer, group + i) =
            checksum(data + (size_t)i * s->group_bytes, s->payload_bytes);
    *request = run_request(s, layer, group, n, data, NULL, zeros, pieces);
    request->write = true;
    return ASHLAR_OK;
}

void store_read(const struct store *s, int layer, int group, int n, unsigned char *data,
                struct iovec *pieces, struct aio_request *request)
{
    *request = run_request(s, layer, group, n, data, NULL, unread, pieces);
}

void store_read_apart(const struct store *s, int layer, int group, int n,
                      unsigned char *const *places, struct iovec *pieces,
                      struct aio_request *request)
{
    *request = run_request(s, layer, group, n, NULL, places, unread, pieces);
}

int store_groups_in(const struct store *s, const struct aio_request *request)
{
    return (int)((request->bytes + s->stride - 1) / s->stride);
}

ashlar_status store_check(const struct store *s, int layer, int group, int n,
                          const unsigned char *data, const struct aio_request *request,
                          ashlar_error *err)
{
    if (request->error)
        return aio_error(request, s->path, err);
    for (int i = 0; i < n; i++) {
        uint32_t found = checksum(data + (size_t)i * s->group_bytes, s->payload_bytes);
        if (found != *checksum_of(s, layer, group + i))
            return error_set(err, ASHLAR_FAILED,
                             "%s: offset %llu: layer %d group %d: checksum mismatch (read %08x, "
                             "written %08x)", s->path,
                             (unsigned long long)offset_of(s, layer, group + i), layer, group + i,
                             found, *checksum_of(s, layer, group + i));
    }
    return ASHLAR_OK;
}

void store_truncate(struct store *s, int group)
{
    for (int l = 0; l < s->shape.n_layer; l++)
        for (int g = group; g < s->shape.max_groups; g++) {
            if (*checksum_of(s, l, g))
                s->used_bytes -= s->stride;
            *checksum_of(s, l, g) = 0;
        }
}
