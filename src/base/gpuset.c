/* gpuset.c - a set of GPUs of one node
 *
 * Text is "0-3,7": indexes and ranges; written sorted, read in any order.
 * Layer: base.
 */
#include "base/gpuset.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

tug_gpuset tug_gpuset_take_low(tug_gpuset s, unsigned n)
{
    if (tug_gpuset_count(s) < n)
        return 0;
    tug_gpuset taken = 0;
    while (n--) {
        tug_gpuset lowest = s & -s;
        taken |= lowest;
        s ^= lowest;
    }
    return taken;
}

char *tug_gpuset_format(tug_gpuset s, char *out, size_t size_bytes)
{
    size_t len = 0;
    if (size_bytes)
        out[0] = '\0';
    for (unsigned lo = 0; lo < TUG_GPUS_MAX && len < size_bytes; lo++) {
        if (!(s >> lo & 1))
            continue;
        unsigned hi = lo;
        while (hi + 1 < TUG_GPUS_MAX && (s >> (hi + 1) & 1))
            hi++;
        const char *sep = len ? "," : "";
        int n = hi == lo ? snprintf(out + len, size_bytes - len, "%s%u", sep, lo)
                         : snprintf(out + len, size_bytes - len, "%s%u-%u", sep, lo, hi);
        len += (size_t) n;
        lo = hi;
    }
    return out;
}

/* Read one index at *at and step over it. */
static int parse_index(const char *text, const char **at, unsigned *out, struct tug_err *err)
{
    const char *p = *at;
    unsigned value = 0;
    if (*p < '0' || *p > '9')
        return tug_fail(err, -EINVAL, "GPUs '%s': column %zu: expected a number, as in \"0-3,7\"",
                        text, (size_t) (p - text) + 1);
    for (; *p >= '0' && *p <= '9'; p++)
        if (value < TUG_GPUS_MAX)
            value = value * 10 + (unsigned) (*p - '0');
    if (value >= TUG_GPUS_MAX)
        return tug_fail(err, -ERANGE, "GPUs '%s': column %zu: %.*s is over the highest index, %d",
                        text, (size_t) (*at - text) + 1, (int) (p - *at), *at, TUG_GPUS_MAX - 1);
    *at = p;
    *out = value;
    return 0;
}

int tug_gpuset_parse(const char *text, tug_gpuset *out, struct tug_err *err)
{
    tug_gpuset set = 0;
    const char *p = text;
    while (*p || p != text) {
        const char *start = p;
        unsigned lo, hi;
        int rc = parse_index(text, &p, &lo, err);
        if (rc)
            return rc;
        hi = lo;
        if (*p == '-') {
            p++;
            if ((rc = parse_index(text, &p, &hi, err)))
                return rc;
        }
        if (hi < lo)
            return tug_fail(err, -EINVAL, "GPUs '%s': column %zu: range %u-%u runs backwards", text,
                            (size_t) (start - text) + 1, lo, hi);
        set |= tug_gpuset_first_n(hi - lo + 1) << lo;
        if (!*p)
            break;
        if (*p != ',')
            return tug_fail(err, -EINVAL, "GPUs '%s': column %zu: expected ',' or '-'", text,
                            (size_t) (p - text) + 1);
        p++;
    }
    *out = set;
    return 0;
}
