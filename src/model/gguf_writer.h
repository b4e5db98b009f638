/*
 * gguf_writer.h: writing GGUF v3 files: keys first, then tensor headers, then tensor data streamed
 * in the order declared. The file appears under its name only when finished (written beside it,
 * then renamed); an abandoned one leaves nothing behind.
 */
#ifndef MODEL_GGUF_WRITER_H
#define MODEL_GGUF_WRITER_H

#include "model/gguf.h"

struct gguf_writer;

ashlar_status gguf_writer_new(const char *path, struct gguf_writer **out, ashlar_error *err);
void gguf_writer_free(struct gguf_writer *w); /* abandons an unfinished file */

/* Failures of these stick and are reported by gguf_writer_begin_data. */
void gguf_writer_u32(struct gguf_writer *w, const char *key, uint32_t value);
void gguf_writer_f32(struct gguf_writer *w, const char *key, float value);
void gguf_writer_bool(struct gguf_writer *w, const char *key, bool value);
void gguf_writer_string(struct gguf_writer *w, const char *key, const char *value);
void gguf_writer_strings(struct gguf_writer *w, const char *key, const char *const *values,
                         size_t n);
void gguf_writer_array(struct gguf_writer *w, const char *key, enum gguf_type type,
                       const void *values, size_t n); /* I32, U32 or F32 */
/** Declare a tensor; shape in GGUF order. */
void gguf_writer_tensor(struct gguf_writer *w, const char *name, enum tensor_type type, int n_dims,
                        const uint64_t *shape);

ashlar_status gguf_writer_begin_data(struct gguf_writer *w, ashlar_error *err);
/** Append bytes of tensor data; tensors in the order declared, padding is done here. */
ashlar_status gguf_writer_data(struct gguf_writer *w, const void *data, size_t bytes,
                               ashlar_error *err);
/** Check that all data came, sync and rename into place. */
ashlar_status gguf_writer_finish(struct gguf_writer *w, ashlar_error *err);

#endif
