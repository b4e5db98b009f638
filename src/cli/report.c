/*
 * report.c: the figures of a run; see report.h.
 */
#include "cli/report.h"

#include "base/os.h"
#include "base/text.h"
#include "cli/json_text.h"
#include "cli/kv_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double rate(size_t n, double seconds)
{
    return seconds > 0 ? (double)n / seconds : 0;
}

/* Notes that only matter when they are true. */
static void notes(const struct report *r, const struct generation *g)
{
    if (r->sampled)
        fprintf(stderr, ", seed %llu", (unsigned long long)r->seed);
    if (g->reason == STOP_INTERRUPT)
        fputs(", interrupted", stderr);
    fputc('\n', stderr);
    if (g->reason == STOP_CONTEXT)
        fprintf(stderr, "ashlar: note: the context of %d tokens is full%s\n", r->info->n_ctx,
                r->info->n_ctx < r->info->n_ctx_train ? "; --ctx N makes it longer" : "");
}

void report_line(const struct report *r, const struct generation *g)
{
    char rss[16];
    struct buf kv;

    buf_init(&kv, 1024);
    kv_report_line(r->engine, &kv);
    fprintf(stderr, "ashlar: prompt %zu tokens", g->n_prefill);
    if (g->n_prefill != g->n_prompt)
        fprintf(stderr, " (+%zu kept)", g->n_prompt - g->n_prefill);
    fprintf(stderr, " %.1f tok/s, generated %zu", rate(g->n_prefill, g->prefill_s),
            g->n_generated);
    if (g->n_decode > 0)
        fprintf(stderr, " %.1f tok/s", rate(g->n_decode, g->decode_s));
    fprintf(stderr, ", peak memory %s, KV for %d tokens%s: %s",
            text_bytes(os_peak_rss_bytes(), rss), r->info->n_ctx,
            r->default_context ? " (--ctx N)" : "", kv.failed ? "" : kv.data);
    buf_fini(&kv);
    notes(r, g);
}

static json_t *ids_value(const int32_t *ids, size_t n)
{
    json_t *array = json_array();

    for (size_t i = 0; array && i < n; i++)
        if (json_array_append_new(array, json_integer(ids[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

bool report_json(const struct report *r, const struct generation *g, const struct generator *gen,
                 struct buf *out)
{
    const ashlar_model_info *info = r->info;
    json_t *model = json_text_value(r->path, strlen(r->path));
    json_t *made = json_text_value(gen->text.data, gen->text.length);
    json_t *root = json_pack(
        "{s:s, s:o, s:s, s:o, s:o, s:s, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:i, s:i, s:s,"
        " s:I, s:I, s:I, s:o}",
        "version", ASHLAR_VERSION, "model", model, "mode", r->chat ? "chat" : "raw", "text", made,
        "tokens", ids_value(gen->ids, g->n_generated), "stop", stop_reason_name(g->reason),
        "prompt_tokens", (json_int_t)g->n_prompt, "generated_tokens", (json_int_t)g->n_generated,
        "load_ms", r->load_s * 1e3, "prefill_ms", g->prefill_s * 1e3, "prefill_tok_per_s",
        rate(g->n_prefill, g->prefill_s), "decode_ms", g->decode_s * 1e3, "decode_tok_per_s",
        rate(g->n_decode, g->decode_s), "context", info->n_ctx, "threads", info->n_threads,
        "kernels", info->kernels, "weights_bytes", (json_int_t)info->memory.weights_bytes,
        "kv_bytes", (json_int_t)info->memory.kv_bytes, "peak_rss_bytes",
        (json_int_t)os_peak_rss_bytes(), "kv", kv_report_json(r->engine));

    if (root && r->sampled)
        json_object_set_new(root, "seed", json_integer((json_int_t)r->seed));
    char *text = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    bool ok = text && buf_puts(out, text) && buf_puts(out, "\n");
    free(text);
    json_decref(root);
    return ok;
}
