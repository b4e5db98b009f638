/* engine_options.c: see engine_options.h. */
#include "cli/engine_options.h"

#include "cli/kv_profile.h"

#include <stdlib.h>
#include <string.h>

static struct {
    int threads;
    const char *isa;
    bool map;
    const char *budget, *latency, *profile;
    ashlar_kv_options kv;
} set;

const struct option engine_option_table[] = {
    {"threads", 'j', OPTION_INT, &set.threads, 0, 1024, "N", "threads (0: one per free core)"},
    {"isa", 0, OPTION_STRING, &set.isa, 0, 0, "NAME",
     "kernels: scalar, avx2, avx512, amx or neon (the best here)"},
    {"map", 0, OPTION_FLAG, &set.map, 0, 0, NULL,
     "use the weights in the file mapping, not a copy in huge pages"},
    {"kv", 0, OPTION_STRING, &set.kv.policy, 0, 0, "POLICY",
     "KV cache: full (in memory), stream (on disk, all of it read), kvswap (on disk, what matters "
     "is "
     "read) or auto: full where it fits, else kvswap (auto)"},
    {"kv-budget", 0, OPTION_STRING, &set.budget, 0, 0, "SIZE|1/N",
     "most memory of the KV cache, in bytes (K, M, G) or as a fraction of the full cache"},
    {"kv-type", 0, OPTION_STRING, &set.kv.type, 0, 0, "TYPE",
     "type of stored keys and values: f16, q8_0 or q4_0 (f16)"},
    {"kv-dir", 0, OPTION_STRING, &set.kv.folder, 0, 0, "DIR",
     "folder of KV files ($TMPDIR or /var/tmp)"},
    {"kv-quota", 0, OPTION_SIZE, &set.kv.quota_bytes, 0, 0, "SIZE",
     "most disk space of a session's KV file"},
    {"kv-group", 0, OPTION_INT, &set.kv.group_tokens, 0, 64, "N",
     "tokens of one read: 4, 8, 16, 32 or 64 (by size: 16 KiB)"},
    {"kv-select", 0, OPTION_INT, &set.kv.select_tokens, 0, 1e8, "N",
     "tokens attended besides the recent ones (400)"},
    {"kv-reuse", 0, OPTION_INT, &set.kv.reuse_tokens, 0, 1e8, "N",
     "tokens kept in memory for reuse (what the budget allows)"},
    {"kv-recent", 0, OPTION_INT, &set.kv.recent_tokens, 0, 65536, "N",
     "newest tokens that are always attended (32)"},
    {"kv-metadata", 0, OPTION_STRING, &set.kv.metadata, 0, 0, "TYPE",
     "type of the metadata: int8, int4 or f16 (int8; int4 where the budget wants it)"},
    {"kv-sigma", 0, OPTION_INT, &set.kv.sigma, 0, 1024, "N",
     "compression of the metadata: width of the keys / rank (8), with ranks below 32 raised"},
    {"kv-rank", 0, OPTION_INT, &set.kv.rank, 0, 65536, "N",
     "rank of the metadata: values per token and layer, on average where the adapter's file says which layers "
     "need them (by --kv-sigma)"},
    {"kv-ranks", 0, OPTION_STRING, &set.kv.layer_ranks, 0, 0, "N[,N]",
     "rank of each layer's metadata, the last for all that follow; a layer of rank 0 attends to the first "
     "and the newest tokens (all the same, or as the adapter's file suggests)"},
    {"kv-scoring", 0, OPTION_STRING, &set.kv.scoring, 0, 0, "HOW",
     "groups are chosen by the mean query of all heads (mean), or each head predicts for itself, for "
     "n times the work (head) (mean)"},
    {"kv-mass", 0, OPTION_FLOAT, &set.kv.mass, 0, 1, "P",
     "select fewer tokens once they hold this share of the predicted attention (0: off)"},
    {"kv-profile", 0, OPTION_STRING, &set.profile, 0, 0, "FILE",
     "settings that ashlar tune chose; those given win"},
    {"kv-adapter", 0, OPTION_STRING, &set.kv.adapter, 0, 0, "FILE",
     "what predicts, made by ashlar calibrate, or none to take it from the prompt "
     "(MODEL.adapter.gguf beside "
     "the model, where it exists)"},
    {"kv-check", 0, OPTION_INT, &set.kv.check_every, 0, 1e9, "N",
     "every Nth step, measure the share of the true attention that the selected tokens hold (0: "
     "never)"},
    {"io", 0, OPTION_STRING, &set.kv.io, 0, 0, "KIND", "io_uring or threads (the best that works)"},
    {"io-rate", 0, OPTION_SIZE, &set.kv.io_rate, 0, 0, "SIZE",
     "slow the disk down to SIZE bytes per second, for experiments"},
    {"io-latency", 0, OPTION_STRING, &set.latency, 0, 0, "TIME",
     "let each transfer take at least TIME (200us, 1ms), for experiments"},
    {0},
};

void engine_options_reset(void)
{
    ashlar_options defaults;
    ashlar_options_init(&defaults);
    memset(&set, 0, sizeof set);
    set.threads = defaults.n_threads;
}

/* "1/13", "64M". */
static ashlar_status parse_budget(const char *text, ashlar_kv_options *kv, ashlar_error *err)
{
    char *end;
    if (strncmp(text, "1/", 2) == 0) {
        double n = strtod(text + 2, &end);
        if (*end == '\0' && end != text + 2 && n >= 1.0) {
            kv->budget_fraction = 1.0 / n;
            return ASHLAR_OK;
        }
    } else if (parse_size(text, &kv->budget_bytes) && kv->budget_bytes > 0) {
        return ASHLAR_OK;
    }
    error_set(err, ASHLAR_USAGE, "option --kv-budget: '%s' is neither a size nor a fraction", text);
    error_hint(err, "for example 256M, or 1/13 of the full cache");
    return ASHLAR_USAGE;
}

static ashlar_status parse_latency(const char *text, double *seconds, ashlar_error *err)
{
    static const struct {
        const char *unit;
        double seconds;
    } units[] = {{"us", 1e-6}, {"ms", 1e-3}, {"s", 1.0}};
    char *end;
    double value = strtod(text, &end);
    for (int i = 0; i < 3 && end != text && value >= 0.0; i++)
        if (strcmp(end, units[i].unit) == 0) {
            *seconds = value * units[i].seconds;
            return ASHLAR_OK;
        }
    return error_set(err, ASHLAR_USAGE,
                     "option --io-latency: '%s' is not a time such as 200us or 1ms", text);
}

ashlar_status engine_options_apply(ashlar_options *o, ashlar_error *err)
{
    ashlar_status status = ASHLAR_OK;
    o->n_threads = set.threads;
    o->isa = set.isa;
    o->map_weights = set.map;
    o->kv = set.kv;
    if (set.budget)
        status = parse_budget(set.budget, &o->kv, err);
    if (status == ASHLAR_OK && set.latency)
        status = parse_latency(set.latency, &o->kv.io_latency, err);
    if (status == ASHLAR_OK && set.profile)
        status = kv_profile_apply(set.profile, &o->kv, err);
    return status;
}
