/* kv_profile.c: see kv_profile.h. A profile is a file like any other: untrusted. */
#include "cli/kv_profile.h"

#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/os.h"

enum { PROFILE_MAX = 1 << 20 };

/* kv.KEY into *target unless that was set; absent is fine. */
static ashlar_status take_int(const char *path, const json_t *kv, const char *key, int most,
                              int *target, ashlar_error *err)
{
    const json_t *value = json_object_get(kv, key);
    if (!value)
        return ASHLAR_OK;
    json_int_t n = json_integer_value(value);
    if (!json_is_integer(value) || n < 0 || n > most)
        return error_set(err, ASHLAR_BAD_INPUT, "%s: kv.%s is not a number between 0 and %d", path,
                         key, most);
    if (*target == 0)
        *target = (int)n;
    return ASHLAR_OK;
}

static ashlar_status take_budget(const char *path, const json_t *kv, ashlar_kv_options *o,
                                 ashlar_error *err)
{
    const json_t *value = json_object_get(kv, "budget_bytes");
    if (!value)
        return ASHLAR_OK;
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return error_set(err, ASHLAR_BAD_INPUT, "%s: kv.budget_bytes is not a size", path);
    if (o->budget_bytes == 0 && o->budget_fraction == 0.0)
        o->budget_bytes = (uint64_t)json_integer_value(value);
    return ASHLAR_OK;
}

static ashlar_status take_type(const char *path, const json_t *kv, ashlar_kv_options *o,
                               ashlar_error *err)
{
    static const char *const types[] = {"f16", "q8_0", "q4_0"};
    const char *name = json_string_value(json_object_get(kv, "type"));
    if (!json_object_get(kv, "type") || o->type)
        return ASHLAR_OK;
    for (int i = 0; i < 3 && name; i++)
        if (strcasecmp(name, types[i]) == 0) {
            o->type = types[i];
            return ASHLAR_OK;
        }
    return error_set(err, ASHLAR_BAD_INPUT, "%s: kv.type is not f16, q8_0 or q4_0", path);
}

static ashlar_status take_metadata(const char *path, const json_t *kv, ashlar_kv_options *o,
                                   ashlar_error *err)
{
    static const char *const types[] = {"int8", "int4", "f16"};
    const char *name = json_string_value(json_object_get(kv, "metadata"));
    if (!json_object_get(kv, "metadata") || o->metadata)
        return ASHLAR_OK;
    for (int i = 0; i < 3 && name; i++)
        if (strcmp(name, types[i]) == 0) {
            o->metadata = types[i];
            return ASHLAR_OK;
        }
    return error_set(err, ASHLAR_BAD_INPUT, "%s: kv.metadata is not int8, int4 or f16", path);
}

/* The model that the profile was made for; the engine refuses another. A profile written by hand
 * may name none. */
static ashlar_status take_fingerprint(const char *path, const json_t *root, ashlar_kv_options *o,
                                      ashlar_error *err)
{
    const json_t *value = json_object_get(root, "model_fingerprint");
    const char *digits = json_string_value(value);
    if (!value)
        return ASHLAR_OK;
    if (!digits || strlen(digits) != 16 || strspn(digits, "0123456789abcdef") != 16)
        return error_set(err, ASHLAR_BAD_INPUT,
                         "%s: model_fingerprint is not 16 hexadecimal digits", path);
    o->made_for = strtoull(digits, NULL, 16);
    return ASHLAR_OK;
}

static ashlar_status apply(const char *path, const json_t *root, ashlar_kv_options *o,
                           ashlar_error *err)
{
    const char *format = json_string_value(json_object_get(root, "format"));
    const json_t *kv = json_object_get(root, "kv");
    if (!format || strcmp(format, KV_PROFILE_FORMAT) != 0 || !json_is_object(kv) ||
        json_integer_value(json_object_get(root, "profile_version")) != KV_PROFILE_VERSION) {
        error_set(err, ASHLAR_BAD_INPUT, "%s: not a KV profile of version %d", path,
                  KV_PROFILE_VERSION);
        error_hint(err, "ashlar tune -o PROFILE writes one");
        return ASHLAR_BAD_INPUT;
    }
    ashlar_status status = take_int(path, kv, "group_tokens", 64, &o->group_tokens, err);
    if (status == ASHLAR_OK)
        status = take_int(path, kv, "select_tokens", INT_MAX / 4, &o->select_tokens, err);
    if (status == ASHLAR_OK)
        status = take_int(path, kv, "reuse_tokens", INT_MAX / 4, &o->reuse_tokens, err);
    if (status == ASHLAR_OK)
        status = take_int(path, kv, "sigma", 1024, &o->sigma, err);
    if (status == ASHLAR_OK)
        status = take_budget(path, kv, o, err);
    if (status == ASHLAR_OK)
        status = take_metadata(path, kv, o, err);
    if (status == ASHLAR_OK)
        status = take_type(path, kv, o, err);
    return status == ASHLAR_OK ? take_fingerprint(path, root, o, err) : status;
}

ashlar_status kv_profile_apply(const char *path, ashlar_kv_options *o, ashlar_error *err)
{
    struct buf text;
    json_error_t where;
    buf_init(&text, PROFILE_MAX);
    ashlar_status status = os_read_file(path, &text, err);
    if (status == ASHLAR_OK) {
        json_t *root = json_loadb(text.length ? text.data : "", text.length, 0, &where);
        status = root ? apply(path, root, o, err)
                      : error_set(err, ASHLAR_BAD_INPUT, "%s: line %d: %s", path, where.line,
                                  where.text);
        json_decref(root);
    }
    buf_fini(&text);
    return status;
}
