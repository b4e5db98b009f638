/*
 * kernelbench: one thread's speed of the kernel tables on this machine, apart from any model: dot
 * products in GB/s of weights (from memory: the matrix is 48 MiB), matrix products in Gop/s
 * including the packing of weights, attention in GB/s of keys and values (decode) and Gop/s
 * (prefill). The best of three runs of about 0.1 s of processor time each, so that other processes
 * on the machine disturb little. Scores of low-rank rows (kvswap/lowrank.h) in GB/s of 256 MiB of rows,
 * beside a plain read of the same memory: medians of rounds that alternate.
 *
 * Usage: kernelbench [TABLE [TYPE]], "all" for any, "score" for the scores: kernelbench avx2 Q4_0
 */
#include "base/mem.h"
#include "base/rng.h"
#include "kernels/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { SCORE_BYTES = 256 << 20, SCORE_ROUNDS = 7 };
enum { K = 2048, MATRIX_BYTES = 48 << 20, TOKENS = 128, PANELS = 16 };

/* What is measured, with its arguments. */
struct job {
    const struct kernels *table;
    enum tensor_type type;
    struct tensor w;
    float *x, *y; /* (TOKENS, K), enough for every product */
    struct act_row act;
    unsigned char *panel, *blocks;
    struct attn_args attend;
    struct score_args score;
    enum score_type score_type;
    uint64_t sink; /* what the plain read found: it must not be optimised away */
};

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

typedef void (*job_fn)(struct job *job);

static double best_seconds(job_fn run, struct job *job)
{
    double best = 1e9;
    run(job);
    for (int i = 0; i < 3; i++) {
        double start = cpu_seconds(), now;
        int n = 0;
        do {
            run(job);
            n++;
            now = cpu_seconds();
        } while (now - start < 0.1);
        if ((now - start) / n < best)
            best = (now - start) / n;
    }
    return best;
}

static void run_dot(struct job *job)
{
    job->table->dot[job->type](job->w.n_rows, K, job->w.data, job->w.row_bytes, &job->act, job->y);
}

/* PANELS panels times TOKENS tokens, as linear.c cuts it. */
static void run_gemm(struct job *job)
{
    const struct gemm_kernel *g = job->table->gemm[job->type];
    size_t block_bytes = (g->block_bytes(K) + 63) / 64 * 64;
    for (int p = 0; p < PANELS; p++) {
        g->pack_w(&job->w, p * g->rows, g->rows, job->panel);
        for (int t = 0; t < TOKENS; t += g->tokens) {
            int n = TOKENS - t < g->tokens ? TOKENS - t : g->tokens;
            unsigned char *block = job->blocks + (size_t)(t / g->tokens) * block_bytes;
            if (p == 0)
                g->pack_x(K, n, job->x + (size_t)t * K, K, block);
            g->run(K, g->rows, n, job->panel, block, job->y, (size_t)g->rows, false);
        }
    }
}

static void run_pack_w(struct job *job)
{
    const struct gemm_kernel *g = job->table->gemm[job->type];
    for (int p = 0; p < PANELS; p++)
        g->pack_w(&job->w, p * g->rows, g->rows, job->panel);
}

static void run_attend(struct job *job)
{
    job->table->attend(&job->attend);
}

static void bench_type(struct job *job)
{
    size_t row_bytes = tensor_row_bytes(job->type, K);
    job->w.type = job->type;
    job->w.n_cols = K;
    job->w.row_bytes = row_bytes;
    job->w.n_rows = (int)(MATRIX_BYTES / row_bytes);
    double dot = (double)row_bytes * job->w.n_rows / best_seconds(run_dot, job);
    const struct gemm_kernel *g = job->table->gemm[job->type];
    double ops = 2.0 * PANELS * g->rows * TOKENS * K;
    double gemm = ops / best_seconds(run_gemm, job);
    double pack = (double)PANELS * g->rows * K / best_seconds(run_pack_w, job);
    printf("%-8s %-5s dot %6.1f GB/s  gemm %7.1f Gop/s  pack %5.2f Gvalue/s\n", job->table->name,
           tensor_type_name(job->type), dot * 1e-9, gemm * 1e-9, pack * 1e-9);
    fflush(stdout);
}

typedef uint64_t vector __attribute__((vector_size(64)));

static void run_read(struct job *job)
{
    const vector *at = job->score.rows;
    vector sum[4] = {{0}};
    for (size_t i = 0; i < SCORE_BYTES / sizeof *at; i += 4)
        for (int j = 0; j < 4; j++)
            sum[j] ^= at[i + (size_t)j];
    for (int j = 0; j < 4; j++)
        job->sink ^= sum[j][0] ^ sum[j][7];
}

static void run_score(struct job *job)
{
    job->table->score[job->score_type](&job->score);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Groups of 8 rows of `rank` values. */
static void bench_score(struct job *job, enum score_type type, int rank)
{
    static const char *const names[] = {"int8", "int4", "f16"};
    static const job_fn jobs[2] = {run_score, run_read};
    double times[2][SCORE_ROUNDS];
    int group_bytes = 8 * (int)score_row_bytes(type, rank);
    job->score_type = type;
    job->score.group_tokens = 8;
    job->score.rank = rank;
    job->score.n_groups = SCORE_BYTES / group_bytes;
    for (int round = 0; round < SCORE_ROUNDS; round++)
        for (int i = 0; i < 2; i++) {
            double start = cpu_seconds();
            jobs[i](job);
            times[i][round] = cpu_seconds() - start;
        }
    for (int i = 0; i < 2; i++)
        qsort(times[i], SCORE_ROUNDS, sizeof(double), compare_doubles);
    double score = times[0][SCORE_ROUNDS / 2], read = times[1][SCORE_ROUNDS / 2];
    printf("%-8s score %-4s rank %3d: %6.1f GB/s, plain read %6.1f GB/s, %3.0f %%\n",
           job->table->name, names[type], rank, 1e-9 * SCORE_BYTES / score,
           1e-9 * SCORE_BYTES / read, 100 * read / score);
    fflush(stdout);
}

static bool bench_scores(struct job *job)
{
    size_t most_groups = SCORE_BYTES / (8 * score_row_bytes(SCORE_INT4, 16)), rank_most = 128;
    unsigned char *rows = mem_pages(SCORE_BYTES);
    uint16_t *scales = mem_pages(most_groups * sizeof *scales);
    float *scores = mem_pages(most_groups * sizeof *scores);
    if (!rows || !scales || !scores)
        return false;
    for (size_t i = 0; i < SCORE_BYTES; i++)
        rows[i] = (unsigned char)(i * 37);
    for (size_t i = 0; i < most_groups; i++)
        scales[i] = 0x3c00; /* 1 */
    memset(job->blocks, 3, rank_most);
    job->score = (struct score_args){.rows = rows, .scales = scales, .query = job->blocks,
                                     .query_sum = 0, .query_scale = 1.0f, .scores = scores};
    for (int type = SCORE_INT8; type <= SCORE_INT4; type++)
        for (int rank = 32; rank <= (int)rank_most; rank *= 2)
            bench_score(job, type, rank);
    mem_pages_free(rows, SCORE_BYTES);
    mem_pages_free(scales, most_groups * sizeof *scales);
    mem_pages_free(scores, most_groups * sizeof *scores);
    return true;
}

/* n_q queries of 4 heads against 2048 keys. */
static void bench_attend(struct job *job, int head_dim, int n_q)
{
    enum { KEYS = 2048, GROUP = 4 };
    size_t rows = (size_t)n_q * GROUP;
    const uint16_t *halves = job->w.data;
    struct kv_span span = {halves, halves + (size_t)KEYS * (size_t)head_dim, KEYS};
    float *out = job->y;
    job->attend = (struct attn_args){
        .type = TENSOR_F16, .head_dim = head_dim, .n_group = GROUP, .n_q = n_q, .q = job->x,
        .q_stride = GROUP * (size_t)head_dim, .scale = 0.1f, .spans = &span, .n_spans = 1,
        .key_end = KEYS, .n_visible = KEYS - n_q + 1, .max = out, .sum = out + rows,
        .acc = out + 2 * rows, .scratch = job->panel};
    double seconds = best_seconds(run_attend, job);
    printf("%-8s attend dim %3d, %2d x %d queries: %6.1f GB/s %7.1f Gop/s\n", job->table->name,
           head_dim, n_q, GROUP, 4e-9 * KEYS * head_dim / seconds,
           4e-9 * KEYS * head_dim * (double)rows / seconds);
    fflush(stdout);
}

/* Random bytes 0x20 to 0x3f: neither subnormal nor infinite in any float type. */
static bool fill(struct job *job)
{
    struct rng rng;
    rng_seed(&rng, 1);
    size_t scratch = 64 << 20;
    uint32_t *words = mem_pages(MATRIX_BYTES);
    unsigned char *other = mem_pages(scratch);
    if (!words || !other)
        return false;
    for (size_t i = 0; i < MATRIX_BYTES / 4; i++)
        words[i] = ((uint32_t)rng_u64(&rng) & 0x1f1f1f1fu) | 0x20202020u;
    job->w.data = words;
    job->x = (float *)(void *)other;
    for (int i = 0; i < TOKENS * K; i++)
        job->x[i] = rng_normal(&rng);
    float *d = job->x + TOKENS * K;
    int8_t *q = (int8_t *)(d + K);
    kernels_scalar()->act_quantize(K, job->x, q, d, d + K / 2);
    job->act = (struct act_row){job->x, q, d, d + K / 2};
    job->y = d + 2 * K;
    job->panel = other + (8 << 20);
    job->blocks = other + (24 << 20);
    return true;
}

int main(int argc, char **argv)
{
    const char *table = argc > 1 ? argv[1] : "all", *type = argc > 2 ? argv[2] : "all";
    const struct kernels *tables[8];
    int n = kernels_available(tables);
    struct job job = {0};
    if (argc > 3 || !fill(&job)) {
        fprintf(stderr, "usage: kernelbench [TABLE [TYPE]]\n");
        return 2;
    }
    for (int i = 0; i < n; i++) {
        job.table = tables[i];
        if (strcmp(table, "all") != 0 && strcmp(table, tables[i]->name) != 0)
            continue;
        for (int t = 0; t < TENSOR_TYPE_COUNT; t++) {
            job.type = t;
            bool wanted = !strcmp(type, "all") || !strcasecmp(type, tensor_type_name(t));
            if (wanted && tensor_type_info(t))
                bench_type(&job);
        }
        for (int dim = 64; dim <= 128 && strcasecmp(type, "all") == 0; dim *= 2)
            for (int n_q = 1; n_q <= ATTN_MAX_Q; n_q *= ATTN_MAX_Q)
                bench_attend(&job, dim, n_q);
        if ((!strcasecmp(type, "all") || !strcasecmp(type, "score")) && !bench_scores(&job))
            return 2;
    }
    return 0;
}
