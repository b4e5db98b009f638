/*
 * gguf_writer.c: GGUF v3, written front to back. Keys and tensor headers are gathered in memory;
 * begin_data writes them, after which tensor data goes straight to the file, so that a model of any
 * size needs no more memory than its header.
 *
 * The file is built as NAME.XXXXXX in the same folder and renamed after fsync: a reader sees the
 * old file or the whole new one. States: declaring -> (begin_data) -> data -> (finish) -> done;
 * freeing in any state but done removes the temporary file.
 */
#include "model/gguf_writer.h"

#include "base/buf.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    ALIGNMENT = 32,
    MAX_HEADER_BYTES = 1 << 30,
    MAX_NAME = 63,
};

enum state { DECLARING, DATA, DONE };

struct gguf_writer {
    char *path, *temporary;
    int fd; /* -1 when there is no temporary file */
    enum state state;
    struct buf keys, tensors;
    uint64_t n_keys;
    const char *misuse; /* first wrong declaration */
    uint64_t *sizes;    /* (n_tensors) */
    size_t n_tensors, max_tensors;
    uint64_t data_bytes; /* declared so far, padded: where the next tensor begins */
    size_t current;      /* tensor being written */
    uint64_t written;    /* bytes of it */
};

/* ---- the file ------------------------------------------------------------------------------ */

static ashlar_status open_temporary(struct gguf_writer *w, ashlar_error *err)
{
    size_t n = strlen(w->path) + 8;
    w->temporary = malloc(n);
    if (!w->temporary)
        return error_memory(err, n, "a file name");
    snprintf(w->temporary, n, "%s.XXXXXX", w->path);
    w->fd = mkostemp(w->temporary, O_CLOEXEC);
    if (w->fd < 0)
        return error_errno(err, ASHLAR_FAILED, errno, "%s: cannot create", w->temporary);
    return ASHLAR_OK;
}

ashlar_status gguf_writer_new(const char *path, struct gguf_writer **out, ashlar_error *err)
{
    struct gguf_writer *w = calloc(1, sizeof *w);
    *out = NULL;
    if (!w)
        return error_memory(err, sizeof *w, "a GGUF writer");
    w->fd = -1;
    buf_init(&w->keys, MAX_HEADER_BYTES);
    buf_init(&w->tensors, MAX_HEADER_BYTES);
    w->path = strdup(path);
    ashlar_status s = w->path ? open_temporary(w, err) : error_memory(err, strlen(path), "a name");
    if (s != ASHLAR_OK) {
        gguf_writer_free(w);
        return s;
    }
    *out = w;
    return ASHLAR_OK;
}

void gguf_writer_free(struct gguf_writer *w)
{
    if (!w)
        return;
    if (w->fd >= 0) {
        close(w->fd);
        unlink(w->temporary);
    }
    buf_fini(&w->keys);
    buf_fini(&w->tensors);
    free(w->sizes);
    free(w->temporary);
    free(w->path);
    free(w);
}

static ashlar_status write_all(struct gguf_writer *w, const void *data, size_t n, ashlar_error *err)
{
    const char *at = data;
    while (n > 0) {
        ssize_t done = write(w->fd, at, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return error_errno(err, ASHLAR_FAILED, errno, "%s: cannot write", w->temporary);
        at += done;
        n -= (size_t)done;
    }
    return ASHLAR_OK;
}

static ashlar_status write_padding(struct gguf_writer *w, uint64_t at, ashlar_error *err)
{
    static const char zeros[ALIGNMENT];
    return write_all(w, zeros, (ALIGNMENT - at % ALIGNMENT) % ALIGNMENT, err);
}

/* ---- declarations -------------------------------------------------------------------------- */

static void put_u32(struct buf *b, uint32_t value)
{
    buf_append(b, &value, sizeof value);
}

static void put_u64(struct buf *b, uint64_t value)
{
    buf_append(b, &value, sizeof value);
}

static void put_string(struct buf *b, const char *text)
{
    put_u64(b, strlen(text));
    buf_append(b, text, strlen(text));
}

static void put_key(struct gguf_writer *w, const char *key, enum gguf_type type)
{
    if (w->state != DECLARING)
        w->misuse = "a key after the data began";
    put_string(&w->keys, key);
    put_u32(&w->keys, type);
    w->n_keys++;
}

void gguf_writer_u32(struct gguf_writer *w, const char *key, uint32_t value)
{
    put_key(w, key, GGUF_U32);
    put_u32(&w->keys, value);
}

void gguf_writer_f32(struct gguf_writer *w, const char *key, float value)
{
    put_key(w, key, GGUF_F32);
    buf_append(&w->keys, &value, sizeof value);
}

void gguf_writer_bool(struct gguf_writer *w, const char *key, bool value)
{
    put_key(w, key, GGUF_BOOL);
    buf_append(&w->keys, &(char){value}, 1);
}

void gguf_writer_string(struct gguf_writer *w, const char *key, const char *value)
{
    put_key(w, key, GGUF_STRING);
    put_string(&w->keys, value);
}

void gguf_writer_strings(struct gguf_writer *w, const char *key, const char *const *values,
                         size_t n)
{
    put_key(w, key, GGUF_ARRAY);
    put_u32(&w->keys, GGUF_STRING);
    put_u64(&w->keys, n);
    for (size_t i = 0; i < n; i++)
        put_string(&w->keys, values[i]);
}

void gguf_writer_array(struct gguf_writer *w, const char *key, enum gguf_type type,
                       const void *values, size_t n)
{
    if (type != GGUF_I32 && type != GGUF_U32 && type != GGUF_F32)
        w->misuse = "an array of a type that is not I32, U32 or F32";
    put_key(w, key, GGUF_ARRAY);
    put_u32(&w->keys, type);
    put_u64(&w->keys, n);
    buf_append(&w->keys, values, n * 4);
}

static bool remember_size(struct gguf_writer *w, uint64_t bytes)
{
    if (w->n_tensors == w->max_tensors) {
        size_t max = w->max_tensors ? 2 * w->max_tensors : 64;
        uint64_t *sizes = realloc(w->sizes, max * sizeof *sizes);
        if (!sizes)
            return false;
        w->sizes = sizes;
        w->max_tensors = max;
    }
    w->sizes[w->n_tensors++] = bytes;
    return true;
}

/* Bytes of the whole tensor; 0 when the shape is not one that we write. */
static uint64_t measure(enum tensor_type type, int n_dims, const uint64_t *shape)
{
    if (n_dims < 1 || n_dims > 4 || shape[0] > INT64_MAX)
        return 0;
    uint64_t bytes = tensor_row_bytes(type, (int64_t)shape[0]);
    for (int i = 1; i < n_dims; i++)
        if (__builtin_mul_overflow(bytes, shape[i], &bytes))
            return 0;
    return bytes <= INT64_MAX ? bytes : 0;
}

void gguf_writer_tensor(struct gguf_writer *w, const char *name, enum tensor_type type, int n_dims,
                        const uint64_t *shape)
{
    uint64_t bytes = measure(type, n_dims, shape);
    if (bytes == 0 || strlen(name) > MAX_NAME || w->state != DECLARING) {
        w->misuse = "a tensor whose name, shape or type cannot be written";
        return;
    }
    put_string(&w->tensors, name);
    put_u32(&w->tensors, (uint32_t)n_dims);
    for (int i = 0; i < n_dims; i++)
        put_u64(&w->tensors, shape[i]);
    put_u32(&w->tensors, (uint32_t)type);
    put_u64(&w->tensors, w->data_bytes);
    if (!remember_size(w, bytes))
        w->tensors.failed = true;
    w->data_bytes += (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* ---- data ---------------------------------------------------------------------------------- */

ashlar_status gguf_writer_begin_data(struct gguf_writer *w, ashlar_error *err)
{
    struct buf head;
    if (w->misuse || w->state != DECLARING)
        return error_set(err, ASHLAR_USAGE, "%s: %s", w->path,
                         w->misuse ? w->misuse : "data begun twice");
    if (w->keys.failed || w->tensors.failed)
        return error_memory(err, w->keys.length + w->tensors.length, "a GGUF header");
    buf_init(&head, 64);
    buf_append(&head, "GGUF", 4);
    put_u32(&head, 3);
    put_u64(&head, w->n_tensors);
    put_u64(&head, w->n_keys);
    ashlar_status s = ASHLAR_OK;
    if (head.failed)
        s = error_memory(err, 64, "a GGUF header");
    uint64_t bytes = head.length + w->keys.length + w->tensors.length;
    if (s == ASHLAR_OK)
        s = write_all(w, head.data, head.length, err);
    if (s == ASHLAR_OK)
        s = write_all(w, w->keys.data, w->keys.length, err);
    if (s == ASHLAR_OK)
        s = write_all(w, w->tensors.data, w->tensors.length, err);
    if (s == ASHLAR_OK)
        s = write_padding(w, bytes, err);
    buf_fini(&head);
    w->state = DATA;
    return s;
}

ashlar_status gguf_writer_data(struct gguf_writer *w, const void *data, size_t bytes,
                               ashlar_error *err)
{
    const char *at = data;
    while (bytes > 0) {
        if (w->state != DATA || w->current == w->n_tensors)
            return error_set(err, ASHLAR_USAGE, "%s: more data than the tensors hold", w->path);
        uint64_t room = w->sizes[w->current] - w->written;
        size_t n = bytes < room ? bytes : (size_t)room;
        ashlar_status s = write_all(w, at, n, err);
        at += n;
        bytes -= n;
        w->written += n;
        if (s == ASHLAR_OK && w->written == w->sizes[w->current]) {
            s = write_padding(w, w->written, err);
            w->current++;
            w->written = 0;
        }
        if (s != ASHLAR_OK)
            return s;
    }
    return ASHLAR_OK;
}

/* mkostemp makes the file private; give it the permissions that creat() would. */
static void open_permissions(int fd)
{
    mode_t mask = umask(0);
    umask(mask);
    (void)fchmod(fd, 0666 & ~mask);
}

ashlar_status gguf_writer_finish(struct gguf_writer *w, ashlar_error *err)
{
    if (w->state != DATA || w->current != w->n_tensors)
        return error_set(err, ASHLAR_USAGE, "%s: %zu of %zu tensors were written", w->path,
                         w->current, w->n_tensors);
    open_permissions(w->fd);
    if (fsync(w->fd) != 0)
        return error_errno(err, ASHLAR_FAILED, errno, "%s: cannot write", w->temporary);
    if (rename(w->temporary, w->path) != 0)
        return error_errno(err, ASHLAR_FAILED, errno, "%s: cannot rename", w->temporary);
    close(w->fd);
    w->fd = -1;
    w->state = DONE;
    return ASHLAR_OK;
}
