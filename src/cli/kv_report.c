/* kv_report.c: see kv_report.h. */
#include "cli/kv_report.h"

#include "base/text.h"

static double hit_share(const ashlar_kv_stats *s)
{
    uint64_t all = s->hits + s->misses;
    return all ? (double)s->hits / (double)all : 0.0;
}

/* Mean over the layers, and each layer's own. */
static void report_recall(const ashlar_engine *engine, struct buf *out)
{
    ashlar_kv_recall r;
    double sum = 0.0;
    int n_layer = ashlar_engine_info(engine)->n_layer, n = 0;
    for (int i = 0; i < n_layer; i++)
        if (ashlar_engine_kv_recall(engine, i, &r))
            sum += r.mean, n++;
    if (n == 0)
        return;
    buf_printf(out, ", attention caught %.1f %% (by layer:", 100.0 * sum / n);
    for (int i = 0; i < n_layer; i++)
        if (ashlar_engine_kv_recall(engine, i, &r))
            buf_printf(out, " %.1f", 100.0 * r.mean);
    buf_puts(out, ")");
}

/* " 32", or " 0,20,16,0" where layers differ. */
static void report_ranks(const ashlar_engine *engine, const ashlar_kv_stats *s, struct buf *out)
{
    int n = ashlar_engine_info(engine)->n_layer, shown = 1;
    for (int i = 1; i < n; i++)
        if (s->ranks[i] != s->ranks[0])
            shown = n;
    for (int i = 0; i < shown; i++)
        buf_printf(out, "%s%d", i ? "," : " ", s->ranks[i]);
}

/* The same as numbers; NULL without metadata: the member is left out. */
static json_t *ranks_json(const ashlar_engine *engine, const ashlar_kv_stats *s)
{
    json_t *array = s->ranks ? json_array() : NULL;
    for (int i = 0; array && i < ashlar_engine_info(engine)->n_layer; i++)
        json_array_append_new(array, json_integer(s->ranks[i]));
    return array;
}

void kv_report_line(const ashlar_engine *engine, struct buf *out)
{
    ashlar_kv_stats s;
    char resident[16], disk[16], read[16];
    ashlar_engine_kv_stats(engine, &s);
    buf_printf(out, "%s, %s in memory", s.policy, text_bytes(s.resident_bytes, resident));
    if (!s.io)
        return;
    buf_printf(out, ", %s on disk, %s read (%s%s, groups of %d)", text_bytes(s.disk_bytes, disk),
               text_bytes(s.bytes_read, read), s.io,
               s.buffered ? " through the page cache" : "", s.group_tokens);
    if (s.rank)
        buf_printf(out, ", select %d, reuse %d, rank", s.select_tokens, s.reuse_tokens);
    if (s.rank)
        report_ranks(engine, &s, out);
    if (s.rank)
        buf_printf(out, " in %s, hits %.0f %%", s.metadata, 100.0 * hit_share(&s));
    buf_printf(out, ", predict %.2f s, wait %.2f s", s.predict_seconds, s.wait_seconds);
    if (s.adapter)
        buf_printf(out, ", adapter %s", s.adapter);
    report_recall(engine, out);
}

/* One object per layer that was checked. */
static json_t *recall_json(const ashlar_engine *engine)
{
    json_t *array = json_array();
    ashlar_kv_recall r;
    for (int i = 0; array && i < ashlar_engine_info(engine)->n_layer; i++)
        if (ashlar_engine_kv_recall(engine, i, &r) &&
            json_array_append_new(array, json_pack("{s:i, s:I, s:f, s:f}", "layer", i, "steps",
                                                   (json_int_t)r.steps, "mean", r.mean, "least",
                                                   r.least))) {
            json_decref(array);
            return NULL;
        }
    return array;
}

/* Where the resident bytes are. */
static json_t *memory_json(const ashlar_kv_memory *m)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "metadata",
                     (json_int_t)m->metadata, "adapters", (json_int_t)m->adapters, "reuse",
                     (json_int_t)m->reuse, "recent", (json_int_t)m->recent, "windows",
                     (json_int_t)m->windows, "chunk", (json_int_t)m->chunk, "stages",
                     (json_int_t)m->stages, "checksums", (json_int_t)m->checksums, "other",
                     (json_int_t)m->other);
}

json_t *kv_report_json(const ashlar_engine *engine)
{
    ashlar_kv_stats s;
    ashlar_engine_kv_stats(engine, &s);
    return json_pack("{s:s, s:s?, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:i, s:i, s:i, s:i, "
                     "s:s?, s:s?, s:o, s:o, s:b, s:o*}",
                     "policy", s.policy, "io", s.io, "resident_bytes", (json_int_t)s.resident_bytes,
                     "disk_bytes", (json_int_t)s.disk_bytes, "bytes_read", (json_int_t)s.bytes_read,
                     "bytes_written", (json_int_t)s.bytes_written, "reads", (json_int_t)s.reads,
                     "hits", (json_int_t)s.hits, "misses", (json_int_t)s.misses, "predict_s",
                     s.predict_seconds, "wait_s", s.wait_seconds, "group_tokens", s.group_tokens,
                     "select_tokens", s.select_tokens, "reuse_tokens", s.reuse_tokens, "rank",
                     s.rank, "metadata", s.metadata, "adapter", s.adapter, "memory",
                     memory_json(&s.memory), "recall", recall_json(engine),
                     "buffered", s.buffered, "ranks", ranks_json(engine, &s));
}
