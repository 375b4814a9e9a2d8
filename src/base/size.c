/* size.c - amounts of memory as people write them
 *
 * Layer: base.
 */
#include "base/size.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char letters[] = "BKMGTP";

/* The power of 1024 that a whole suffix stands for, -1 when it is none. */
static int power_of(const char *suffix)
{
    if (!strcasecmp(suffix, "B"))
        return 0;
    const char *at = *suffix ? strchr(letters + 1, *suffix & ~0x20) : NULL;
    if (!at || !*at)
        return -1;
    if (suffix[1] && strcasecmp(suffix + 1, "B") && strcasecmp(suffix + 1, "iB"))
        return -1;
    return (int) (at - letters);
}

int tug_size_parse(const char *text, uint64_t bare_unit_bytes, uint64_t *out_bytes,
                   struct tug_err *err)
{
    const char *p = text;
    uint64_t value = 0;
    if (*p < '0' || *p > '9')
        return tug_fail(err, -EINVAL, "size '%.64s': column 1: expected a number, as in 512M or 16G",
                        text);
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t) (*p - '0'), &value))
            goto too_large;
    uint64_t unit = bare_unit_bytes;
    if (*p) {
        int power = power_of(p);
        if (power < 0)
            return tug_fail(err, -EINVAL, "size '%.64s': column %zu: %s", text,
                            (size_t) (p - text) + 1,
                            *p == '.' ? "a fraction is not taken; write 1536M for 1.5G"
                                      : "expected a unit: K, M, G, T or P (powers of 1024), or B");
        unit = 1ULL << (10 * power);
    } else if (unit == 0) {
        return tug_fail(err, -EINVAL, "size '%.64s' has no unit; write %.64sM or %.64sG", text, text,
                        text);
    }
    if (__builtin_mul_overflow(value, unit, &value))
        goto too_large;
    *out_bytes = value;
    return 0;

too_large:
    return tug_fail(err, -ERANGE, "size '%.64s' does not fit into 64 bits of bytes", text);
}

char *tug_size_format(uint64_t bytes, char *out, size_t size_bytes)
{
    int power = 0;
    while (power < 5 && bytes >> (10 * (power + 1)))
        power++;
    uint64_t unit = 1ULL << (10 * power);
    /* Tenths of the unit, to nearest; in two steps so that nothing overflows. */
    uint64_t tenths = bytes / unit * 10 + (bytes % unit * 10 + unit / 2) / unit;
    if (tenths >= 10240 && power < 5) {
        tenths = 10; /* 1023.97M is nearer to 1G */
        power++;
    }
    if (power == 0)
        snprintf(out, size_bytes, "%" PRIu64 "B", bytes);
    else if (tenths % 10)
        snprintf(out, size_bytes, "%" PRIu64 ".%" PRIu64 "%c", tenths / 10, tenths % 10,
                 letters[power]);
    else
        snprintf(out, size_bytes, "%" PRIu64 "%c", tenths / 10, letters[power]);
    return out;
}

char *tug_size_format_exact(uint64_t bytes, char *out, size_t size_bytes)
{
    int power = 0;
    while (power < 5 && bytes && bytes % (1ULL << (10 * (power + 1))) == 0)
        power++;
    snprintf(out, size_bytes, "%" PRIu64 "%c", bytes >> (10 * power), letters[power]);
    return out;
}
