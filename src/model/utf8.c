/*
 * utf8.c: well-formed UTF-8, one character at a time.
 *
 * The range of the second byte depends on the first (it excludes overlong forms, surrogates and
 * what lies above U+10FFFF); every later byte is 80..BF. Both the decoder and the stream ask the
 * same function, so they agree on every byte string.
 */
#include "model/utf8.h"

#include <string.h>

/* Bytes that a character starting with `lead` has; 0 when no character starts so. */
static int expected_length(unsigned char lead)
{
    if (lead < 0x80)
        return 1;
    if (lead < 0xC2 || lead > 0xF4)
        return 0;
    return lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

/* True when `byte` may stand at `position` (1 to 3) of a character that starts with `lead`. */
static bool may_follow(unsigned char lead, int position, unsigned char byte)
{
    unsigned char low = 0x80, high = 0xBF;

    if (position == 1) {
        if (lead == 0xE0)
            low = 0xA0;
        else if (lead == 0xED)
            high = 0x9F;
        else if (lead == 0xF0)
            low = 0x90;
        else if (lead == 0xF4)
            high = 0x8F;
    }
    return byte >= low && byte <= high;
}

int utf8_char_length(const char *text, size_t n)
{
    const unsigned char *bytes = (const unsigned char *)text;

    if (n == 0)
        return 0;
    int length = expected_length(bytes[0]);
    if ((size_t)length > n)
        return 0;
    for (int i = 1; i < length; i++)
        if (!may_follow(bytes[0], i, bytes[i]))
            return 0;
    return length;
}

/* Runs of ASCII, which most text is, cost no call. */
size_t utf8_valid_prefix(const char *text, size_t n)
{
    size_t i = 0;

    while (i < n) {
        if ((unsigned char)text[i] < 0x80) {
            i++;
            continue;
        }
        int length = utf8_char_length(text + i, n - i);
        if (length == 0)
            break;
        i += (size_t)length;
    }
    return i;
}

size_t utf8_invalid_prefix(const char *text, size_t n)
{
    size_t i = 0;

    while (i < n && utf8_char_length(text + i, n - i) == 0)
        i++;
    return i;
}

uint32_t utf8_code_point(const char *text, int length)
{
    static const unsigned char lead_mask[5] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    const unsigned char *bytes = (const unsigned char *)text;
    uint32_t point = bytes[0] & lead_mask[length];

    for (int i = 1; i < length; i++)
        point = point << 6 | (bytes[i] & 0x3F);
    return point;
}

/* Copy what is pending to out; returns how many bytes that were. */
static size_t flush(ashlar_utf8_stream *stream, char *out)
{
    size_t n = (size_t)stream->n_pending;

    memcpy(out, stream->pending, n);
    stream->n_pending = 0;
    return n;
}

/*
 * Pending is always a proper prefix of some character, so at most three bytes wait. A byte that
 * cannot continue it sets it free and starts anew; one that cannot start anything passes at once.
 */
size_t utf8_stream_push(ashlar_utf8_stream *stream, const char *bytes, size_t length, char *out)
{
    size_t n = 0;

    if (length == 0)
        return flush(stream, out);
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)bytes[i];

        /* A pending start that this byte does not continue will never be a character. */
        if (stream->n_pending > 0 && !may_follow(stream->pending[0], stream->n_pending, byte))
            n += flush(stream, out + n);
        stream->pending[stream->n_pending++] = byte;
        if (stream->n_pending >= expected_length(stream->pending[0]))
            n += flush(stream, out + n);
    }
    return n;
}
