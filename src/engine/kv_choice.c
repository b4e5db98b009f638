/*
 * kv_choice.c: which KV policy an engine gets, and with what budget. Everything in memory is
 * fastest and exact, so it is taken whenever it fits what is allowed or, without a budget, what is
 * free.
 */
#include "engine/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "base/text.h"
#include "kvswap/lowrank.h"

static ashlar_status check_options(const ashlar_kv_options *o, ashlar_error *err)
{
    static const char *const names[] = {"auto", "full", "stream", "kvswap"};
    for (int i = 0; i < 4 && o->policy; i++)
        if (strcmp(o->policy, names[i]) == 0)
            break;
        else if (i == 3)
            return error_set(err, ASHLAR_USAGE, "KV policy %s: not auto, full, stream or kvswap",
                             o->policy);
    if (!(o->budget_fraction >= 0.0 && o->budget_fraction <= 1.0))
        return error_set(err, ASHLAR_USAGE,
                         "KV budget: %g of the full cache is not between 0 and 1",
                         o->budget_fraction);
    if (!(o->io_latency >= 0.0 && o->io_latency <= 10.0))
        return error_set(err, ASHLAR_USAGE, "I/O latency of %g s is not between 0 and 10",
                         o->io_latency);
    if (!(o->mass >= 0.0f && o->mass <= 1.0f))
        return error_set(err, ASHLAR_USAGE, "selected mass %g is not between 0 and 1", o->mass);
    enum score_type type;
    if (o->metadata && !lowrank_type_parse(o->metadata, &type))
        return error_set(err, ASHLAR_USAGE, "KV metadata %s: not int8, int4 or f16", o->metadata);
    if (o->scoring && strcmp(o->scoring, "mean") != 0 && strcmp(o->scoring, "head") != 0)
        return error_set(err, ASHLAR_USAGE, "KV scoring %s: not mean or head", o->scoring);
    if (o->group_tokens < 0 || o->rank < 0 || o->select_tokens < 0 || o->reuse_tokens < 0 ||
        o->recent_tokens < 0 || o->sigma < 0 || o->check_every < 0 || o->recent_tokens > 65536 ||
        o->sigma > 1024)
        return error_set(err, ASHLAR_USAGE, "KV settings: a size is negative or absurd");
    return ASHLAR_OK;
}

ashlar_status kv_type(const ashlar_kv_options *o, int head_dim, enum tensor_type *type,
                      ashlar_error *err)
{
    int number = o->type ? tensor_type_from_name(o->type) : TENSOR_F16;
    if (number != TENSOR_F16 && number != TENSOR_Q8_0 && number != TENSOR_Q4_0)
        return error_set(err, ASHLAR_USAGE, "KV type %s: not f16, q8_0 or q4_0", o->type);
    *type = (enum tensor_type)number;
    if (tensor_row_bytes(*type, head_dim) == 0)
        return error_set(err, ASHLAR_USAGE,
                         "KV type %s: needs heads of whole blocks of 32, this model's have %d",
                         o->type, head_dim);
    return ASHLAR_OK;
}

static bool named(const ashlar_kv_options *o, const char *policy)
{
    return strcmp(o->policy ? o->policy : "auto", policy) == 0;
}

/* KV files go to disk, not to /tmp, which is often memory. */
static const char *default_folder(void)
{
    const char *folder = getenv("TMPDIR");
    return folder && *folder ? folder : "/var/tmp";
}

static ashlar_status refuse_full(uint64_t full, uint64_t budget, ashlar_error *err)
{
    char need[16], have[16];
    error_set(err, ASHLAR_NO_RESOURCE, "KV budget of %s is too small for everything in memory",
              text_bytes(budget, have));
    error_hint(err, "it takes %s (%llu bytes); --kv kvswap works with less", text_bytes(full, need),
               (unsigned long long)full);
    return ASHLAR_NO_RESOURCE;
}

ashlar_status kv_choose(const struct kv_config *config, ashlar_kv_options *o, uint64_t other_bytes,
                        const struct kv_policy **out, char *why, size_t why_size, ashlar_error *err)
{
    uint64_t full, reference;
    char full_text[16], limit_text[16];
    struct kv_config in_f16 = *config;
    in_f16.type = TENSOR_F16;
    ashlar_status status = check_options(o, err);
    if (status == ASHLAR_OK)
        status = kv_policy_full.estimate(&in_f16, &reference, err);
    if (status == ASHLAR_OK)
        status = kv_policy_full.estimate(config, &full, err);
    if (status != ASHLAR_OK)
        return status;
    if (!o->folder)
        o->folder = default_folder();
    if (o->budget_fraction > 0.0)
        o->budget_bytes =
            1 + (uint64_t)(o->budget_fraction * (double)reference); /* 0 would be none */
    uint64_t free_bytes = os_available_bytes();
    uint64_t left = free_bytes > other_bytes ? free_bytes - other_bytes : 0;
    uint64_t limit = o->budget_bytes ? o->budget_bytes : free_bytes ? left : UINT64_MAX;
    text_bytes(full, full_text);
    text_bytes(limit, limit_text);

    if (named(o, "full") && o->budget_bytes && full > o->budget_bytes)
        return refuse_full(full, o->budget_bytes, err);
    bool fits = o->budget_bytes || named(o, "auto") ? full <= limit : false;
    if (named(o, "full") || (!named(o, "stream") && fits)) {
        *out = &kv_policy_full;
        snprintf(why, why_size, "KV cache: full (%s fit %s)", full_text,
                 o->budget_bytes ? "the budget" : "what is free");
    } else if (named(o, "stream")) {
        *out = &kv_policy_stream;
        snprintf(why, why_size, "KV cache: stream (%s on disk)", full_text);
    } else {
        *out = &kv_policy_kvswap;
        if (named(o, "auto") && !o->budget_bytes)
            o->budget_bytes = left / 2; /* leave room for others, and for the page cache */
        snprintf(why, why_size, "KV cache: kvswap (%s in memory would exceed %s)", full_text,
                 limit_text);
    }
    return ASHLAR_OK;
}
