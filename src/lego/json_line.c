/*
 * json_line.c: see json_line.h. Jansson refuses strings that are not UTF-8, and a path or a source
 * line may hold anything, so that such bytes are replaced first.
 */
#include "lego/json_line.h"

#include <stdint.h>
#include <string.h>

/* Bytes of the UTF-8 character at s (n left), 0 when it is none. */
static size_t character(const unsigned char *s, size_t n)
{
    /* By length, the least character that needs so many bytes: longer forms are not UTF-8. */
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (s[0] < 0x80)
        return 1;
    size_t length = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || length > n)
        return 0;
    uint32_t point = s[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (s[i] & 0x3f);
    }
    bool surrogate = point >= 0xd800 && point <= 0xdfff;
    return point < least[length] || point > 0x10ffff || surrogate ? 0 : length;
}

json_t *json_line_text(const char *bytes, size_t n)
{
    /* nearly always it is UTF-8 already */
    json_t *value = json_stringn(n ? bytes : "", n);
    if (value)
        return value;
    struct buf clean;
    buf_init(&clean, SIZE_MAX);
    for (size_t i = 0; i < n;) {
        size_t length = character((const unsigned char *)bytes + i, n - i);
        if (!(length ? buf_append(&clean, bytes + i, length) : buf_puts(&clean, "\xef\xbf\xbd")))
            break;
        /* a replacement character for each bad byte */
        i += length ? length : 1;
    }
    if (!clean.failed && clean.data)
        value = json_stringn(clean.data, clean.length);
    buf_fini(&clean);
    return value;
}

json_t *json_line_string(const char *text)
{
    return text ? json_line_text(text, strlen(text)) : json_null();
}

/* Both take NULL for either. */
void json_line_set(struct buf *b, json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) != 0)
        b->failed = true;
}

void json_line_add(struct buf *b, json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) != 0)
        b->failed = true;
}

static int append(const char *bytes, size_t n, void *b)
{
    return buf_append(b, bytes, n) ? 0 : -1;
}

void json_line_append(struct buf *b, json_t *object)
{
    if (!object || json_dump_callback(object, append, b, JSON_COMPACT) != 0)
        b->failed = true;
    buf_puts(b, "\n");
    json_decref(object);
}

ashlar_status json_line_each(const char *name, const char *text, size_t length, json_line_fn each,
                             void *context, ashlar_error *err)
{
    const char *end = text + length;
    ashlar_status status = ASHLAR_OK;
    for (int line = 1; text < end && status == ASHLAR_OK; line++) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *stop = newline ? newline : end;
        size_t blank = 0, n = (size_t)(stop - text);
        while (blank < n && strchr(" \t\r", text[blank]) && text[blank])
            blank++;
        if (blank < n) {
            json_error_t why;
            /* of two equal keys another reader may take the other one; zero bytes are left for the
             * caller to refuse */
            json_t *object = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
            if (!json_is_object(object)) {
                status = error_set(err, ASHLAR_BAD_INPUT, "%s:%d: not a JSON object: %s", name,
                                   line, object ? "another kind of value" : why.text);
            } else {
                status = each(context, object, line, err);
            }
            json_decref(object);
        }
        text = newline ? newline + 1 : end;
    }
    return status;
}

const char *json_line_get(const json_t *object, const char *key, size_t *length)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value))
        return NULL;
    if (length)
        *length = json_string_length(value);
    return json_string_value(value);
}
