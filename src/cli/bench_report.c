/*
 * bench_report.c: the figures of `ashlar bench`; see bench_report.h.
 */
#include "cli/bench_report.h"

#include "base/text.h"
#include "cli/json_text.h"
#include "cli/kv_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void bench_row_summarise(struct bench_row *row, double *samples, int n)
{
    qsort(samples, (size_t)n, sizeof *samples, compare_doubles);
    row->min = samples[0];
    row->max = samples[n - 1];
    row->median = n % 2 ? samples[n / 2] : (samples[n / 2 - 1] + samples[n / 2]) / 2;
}

void bench_cost_add(struct bench_cost *c, const ashlar_kv_stats *before,
                    const ashlar_kv_stats *after, double tokens, double seconds)
{
    c->tokens += tokens;
    c->seconds += seconds;
    c->predict_s += after->predict_seconds - before->predict_seconds;
    c->wait_s += after->wait_seconds - before->wait_seconds;
    c->attention_s += after->attention_seconds - before->attention_seconds;
    c->bytes_read += after->bytes_read - before->bytes_read;
    c->hits += after->hits - before->hits;
    c->misses += after->misses - before->misses;
}

/* Milliseconds of a token. */
static double per_token(const struct bench_cost *c, double seconds)
{
    return c->tokens > 0 ? seconds * 1e3 / c->tokens : 0;
}

static double rest_seconds(const struct bench_cost *c)
{
    double rest = c->seconds - c->predict_s - c->wait_s - c->attention_s;
    return rest > 0 ? rest : 0;
}

static double read_per_token(const struct bench_cost *c)
{
    return c->tokens > 0 ? (double)c->bytes_read / c->tokens : 0;
}

/* Share of the chosen groups that were in memory; below 0: none were chosen. */
static double hit_share(const struct bench_cost *c)
{
    uint64_t chosen = c->hits + c->misses;
    return chosen ? (double)c->hits / (double)chosen : -1;
}

/* Where the time of a token went. */
static void cost_table(const struct bench_report *r, struct buf *out)
{
    buf_printf(out, "\n%-8s %7s %6s %9s %9s %9s %9s %9s %10s %6s\n", "kind", "depth", "batch",
               "ms/token", "predict", "wait", "attend", "rest", "read", "hits");
    for (int i = 0; i < r->n_rows; i++) {
        const struct bench_row *row = &r->rows[i];
        const struct bench_cost *c = &row->cost;
        char read[16], hits[16] = "-";
        if (hit_share(c) >= 0)
            snprintf(hits, sizeof hits, "%.0f %%", 100 * hit_share(c));
        buf_printf(out, "%-8s %7d %6d %9.3f %9.3f %9.3f %9.3f %9.3f %10s %6s\n",
                   row->prefill ? "prefill" : "decode", row->depth, row->batch,
                   per_token(c, c->seconds), per_token(c, c->predict_s), per_token(c, c->wait_s),
                   per_token(c, c->attention_s), per_token(c, rest_seconds(c)),
                   text_bytes((uint64_t)read_per_token(c), read), hits);
    }
}

void bench_report_table(const struct bench_report *r, struct buf *out)
{
    const ashlar_model_info *info = r->info;
    char size[16], rss[16], kv[16], memory[16];
    struct machine machine;

    machine_describe(&machine);
    buf_printf(out, "machine  %s, %d cores, %s\n", machine.cpu, machine.cores,
               text_bytes(machine.memory_bytes, memory));
    buf_printf(out, "program  ashlar %s, %s, kernels %s, %d threads, passes of %d\n",
               ASHLAR_VERSION, machine_build(), info->kernels, info->n_threads, r->pass);
    buf_printf(out, "model    %s, %s, %s, xxh3 %016" PRIx64 "\n", r->path, info->architecture,
               text_bytes(info->memory.weights_bytes, size), r->file_hash);
    buf_printf(out, "memory   peak %s, KV %s for %d tokens; loaded in %.0f ms\n",
               text_bytes(r->peak_rss_bytes, rss), text_bytes(info->memory.kv_bytes, kv),
               info->n_ctx, r->load_s * 1e3);
    buf_puts(out, "kv       ");
    kv_report_line(r->engine, out);
    if (r->random_fill)
        buf_puts(
            out,
            "\nfill     contexts hold random keys and values: no prefill was run to get there");
    buf_puts(out, "\n\n");
    buf_printf(out, "%-8s %7s %7s %6s %10s %10s %10s\n", "kind", "depth", "tokens", "batch",
               "tok/s", "min", "max");
    for (int i = 0; i < r->n_rows; i++) {
        const struct bench_row *row = &r->rows[i];
        buf_printf(out, "%-8s %7d %7d %6d %10.1f %10.1f %10.1f\n",
                   row->prefill ? "prefill" : "decode", row->depth, row->tokens, row->batch,
                   row->median, row->min, row->max);
    }
    cost_table(r, out);
    buf_printf(out, "\nspeeds: median of %d runs; times: mean\n", r->runs);
}

static json_t *cost_value(const struct bench_cost *c)
{
    double hits = hit_share(c);
    json_t *value =
        json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "ms_per_token", per_token(c, c->seconds),
                  "predict_ms", per_token(c, c->predict_s), "wait_ms", per_token(c, c->wait_s),
                  "attention_ms", per_token(c, c->attention_s), "rest_ms",
                  per_token(c, rest_seconds(c)), "read_bytes", read_per_token(c));
    json_t *share = hits < 0 ? json_null() : json_real(hits);
    if (!value || json_object_set_new(value, "hit_rate", share) != 0) {
        json_decref(value);
        return NULL;
    }
    return value;
}

static json_t *rows_value(const struct bench_report *r)
{
    json_t *array = json_array();

    for (int i = 0; array && i < r->n_rows; i++) {
        const struct bench_row *row = &r->rows[i];
        json_t *value =
            json_pack("{s:s, s:i, s:i, s:i, s:i, s:f, s:f, s:f, s:o}", "kind",
                      row->prefill ? "prefill" : "decode", "depth", row->depth, "tokens",
                      row->tokens, "batch", row->batch, "threads", row->threads, "tok_per_s_median",
                      row->median, "tok_per_s_min", row->min, "tok_per_s_max", row->max,
                      "per_token", cost_value(&row->cost));
        if (!value || json_array_append_new(array, value) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

void bench_report_json(const struct bench_report *r, struct buf *out)
{
    const ashlar_model_info *info = r->info;
    struct machine machine;
    char hash[24];

    machine_describe(&machine);
    snprintf(hash, sizeof hash, "%016" PRIx64, r->file_hash);
    json_t *root = json_pack(
        "{s:o, s:s, s:o, s:s, s:o, s:i, s:I, s:I, s:I, s:f, s:s, s:i, s:s, s:s, s:i, s:I, s:s, "
        "s:o}",
        "model", json_text_value(r->path, strlen(r->path)), "file_hash", hash, "name",
        json_text_value(info->name, strlen(info->name)), "architecture", info->architecture, "runs",
        rows_value(r), "repeats", r->runs, "peak_rss_bytes", (json_int_t)r->peak_rss_bytes,
        "kv_bytes", (json_int_t)info->memory.kv_bytes, "weights_bytes",
        (json_int_t)info->memory.weights_bytes, "load_ms", r->load_s * 1e3, "kernels",
        info->kernels, "context", info->n_ctx, "version", ASHLAR_VERSION, "cpu", machine.cpu,
        "cores", machine.cores, "memory_bytes", (json_int_t)machine.memory_bytes, "fill",
        r->random_fill ? "random" : "prompt", "kv", kv_report_json(r->engine));
    char *text = root ? json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) : NULL;

    if (!text || !buf_puts(out, text))
        out->failed = true;
    buf_puts(out, "\n");
    free(text);
    json_decref(root);
}
