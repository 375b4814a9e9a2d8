/* rate.c - bandwidths as people write them. Layer: base. */
#include "base/rate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int tug_milli_parse(const char *text, size_t len, int64_t max, int64_t *out)
{
    int64_t v = 0;
    int decimals = -1; /* -1: no point yet */
    size_t digits = 0;

    for (size_t i = 0; i < len; i++) {
        if (text[i] == '.' && decimals < 0 && digits) {
            decimals = 0;
            continue;
        }
        if (text[i] < '0' || text[i] > '9' || (decimals >= 0 && ++decimals > 3))
            return -EINVAL;
        digits++;
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, text[i] - '0', &v))
            return -ERANGE;
    }
    if (!digits || decimals == 0)
        return -EINVAL;
    for (int i = decimals < 0 ? 0 : decimals; i < 3; i++)
        if (__builtin_mul_overflow(v, 10, &v))
            return -ERANGE;
    if (v > max)
        return -ERANGE;
    *out = v;
    return 0;
}

char *tug_milli_format(int64_t milli, char *out, size_t size_bytes)
{
    int n = snprintf(out, size_bytes, "%" PRId64 ".%03d", milli / 1000, (int) (milli % 1000));

    if (n < 0 || (size_t) n >= size_bytes)
        return out;
    while (out[n - 1] == '0')
        out[--n] = '\0';
    if (out[n - 1] == '.')
        out[n - 1] = '\0';
    return out;
}

static const struct {
    const char *letter;
    int64_t bytes;
} units[] = {{"T", 1000000000000}, {"G", 1000000000}, {"M", 1000000}, {"K", 1000}, {"", 1}};

int tug_rate_parse(const char *text, int64_t *out_bytes_s, struct tug_err *err)
{
    size_t len = strspn(text, "0123456789.");
    const char *rest = text + len;
    int64_t milli, v;

    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t letter = strlen(units[i].letter);
        if (letter && (*rest & ~0x20) != *units[i].letter)
            continue;
        const char *per = rest + letter;
        int bits = !strcmp(per, "b/s") || !strcmp(per, "bit/s");
        if (!bits && strcmp(per, "B/s") != 0)
            break;
        int rc = tug_milli_parse(text, len, INT64_MAX, &milli);
        if (rc == -EINVAL)
            break;
        if (rc || __builtin_mul_overflow(milli, units[i].bytes, &v))
            return tug_fail(err, -ERANGE, "'%.40s' is too much", text);
        *out_bytes_s = v / (bits ? 8000 : 1000);
        return 0;
    }
    return tug_fail(err, -EINVAL,
                    "'%.40s' is not a bandwidth; write it like 50GB/s (bytes) or 400Gb/s (bits)",
                    text);
}

char *tug_rate_format(int64_t bytes_s, char *out, size_t size_bytes)
{
    size_t i = 0;
    char number[TUG_RATE_TEXT_MAX];

    while (units[i].bytes > 1 &&
           (bytes_s < units[i].bytes || bytes_s % (units[i].bytes / 1000) != 0))
        i++;
    int64_t whole = bytes_s / units[i].bytes, left = bytes_s % units[i].bytes;
    tug_milli_format(whole * 1000 + (units[i].bytes > 1 ? left / (units[i].bytes / 1000) : 0),
                     number, sizeof number);
    snprintf(out, size_bytes, "%s%sB/s", number, units[i].letter);
    return out;
}

char *tug_rate_short(double bytes_s, char *out, size_t size_bytes)
{
    static const char prefixes[] = " KMGT";
    size_t u = 0;
    while (bytes_s >= 999.5 && u < sizeof prefixes - 2) {
        bytes_s /= 1000;
        u++;
    }
    if (u == 0)
        snprintf(out, size_bytes, "%.0f B/s", bytes_s);
    else
        snprintf(out, size_bytes, "%.*f %cB/s", bytes_s < 9.995 ? 2 : bytes_s < 99.95 ? 1 : 0, bytes_s, prefixes[u]);
    return out;
}
