/*
 * json_text.c: paths, names and generated text may hold any bytes; JSON may not. See json_text.h.
 */
#include "cli/json_text.h"

#include <stdint.h>

/* Length of the UTF-8 character at s (n bytes left), or 0 when it is not one. */
static size_t character(const unsigned char *s, size_t n)
{
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    unsigned point = s[0] & (0xffu >> (length + 1));

    if (length == 1)
        return 1;
    if (s[0] < 0xc2 || s[0] > 0xf4 || length > n)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (s[i] & 0x3f);
    }
    bool bad = point < least[length] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff);
    return bad ? 0 : length;
}

bool json_text_clean(const char *bytes, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n;) {
        size_t length = character((const unsigned char *)bytes + i, n - i);
        bool ok = length ? buf_append(out, bytes + i, length) : buf_puts(out, "\xef\xbf\xbd");
        if (!ok)
            return false;
        i += length ? length : 1;
    }
    return true;
}

json_t *json_text_value(const char *bytes, size_t n)
{
    struct buf clean;
    json_t *value = NULL;

    buf_init(&clean, SIZE_MAX);
    if (json_text_clean(bytes, n, &clean))
        value = json_stringn(clean.length ? clean.data : "", clean.length);
    buf_fini(&clean);
    return value;
}
