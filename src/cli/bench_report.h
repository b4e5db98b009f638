/* bench_report.h: the figures of `ashlar bench` as a table, or as JSON for the scripts in bench/. */
#ifndef CLI_BENCH_REPORT_H
#define CLI_BENCH_REPORT_H

#include "ashlar.h"
#include "base/buf.h"
#include "cli/machine.h"

/** What a row's measured runs took, all together. */
struct bench_cost {
    double tokens, seconds;
    double predict_s, wait_s, attention_s;
    uint64_t bytes_read, hits, misses;
};

/** One kind of run at one depth; speeds in tokens per second over all sequences. */
struct bench_row {
    bool prefill;
    int depth, tokens, batch, threads;
    double median, min, max;
    struct bench_cost cost;
};

struct bench_report {
    const ashlar_engine *engine;
    const ashlar_model_info *info;
    const char *path;
    uint64_t file_hash; /* XXH3 */
    uint64_t peak_rss_bytes;
    double load_s;
    int runs, pass;
    bool random_fill; /* contexts hold random keys and values */
    struct bench_row *rows; /* (n_rows) */
    int n_rows;
};

/** Median, least and most of n samples, which are sorted in place. */
void bench_row_summarise(struct bench_row *row, double *samples, int n);

/** Add one run of `tokens` tokens in `seconds`; the KV cache's counters before and after it. */
void bench_cost_add(struct bench_cost *cost, const ashlar_kv_stats *before, const ashlar_kv_stats *after,
                    double tokens, double seconds);

void bench_report_table(const struct bench_report *r, struct buf *out);
void bench_report_json(const struct bench_report *r, struct buf *out);

#endif
