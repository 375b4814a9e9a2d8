/* duration.c - lengths of time as people write them
 *
 * Which family a text is of is decided by its second word: ':' '-' or nothing is Slurm's, a letter
 * is a unit.
 * Layer: base.
 */
#include "base/duration.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define DURATION_FORMS "expected a form like 90s, 5m, 2h, 1h30m, 3d, HH:MM:SS or D-HH:MM:SS"

static const struct unit {
    char letter;
    int64_t s;
} units[] = { { 'w', 604800 }, { 'd', 86400 }, { 'h', 3600 }, { 'm', 60 }, { 's', 1 } };

#define N_UNITS (sizeof units / sizeof *units)

struct scan {
    const char *text;
    const char *at;
    struct tug_err *err;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int bad(const struct scan *sc, const char *at, const char *why)
{
    return tug_fail(sc->err, -EINVAL, "duration '%.64s': column %zu: %s", sc->text,
                    (size_t) (at - sc->text) + 1, why);
}

static int too_long(const struct scan *sc)
{
    return tug_fail(sc->err, -ERANGE, "duration '%.64s' does not fit into 63 bits of seconds",
                    sc->text);
}

/* Read digits at sc->at and step over them. */
static int number(struct scan *sc, int64_t *out)
{
    int64_t value = 0;
    if (!is_digit(*sc->at))
        return bad(sc, sc->at, *sc->at ? DURATION_FORMS : "a number is missing at the end");
    for (; is_digit(*sc->at); sc->at++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *sc->at - '0', &value))
            return too_long(sc);
    *out = value;
    return 0;
}

static int add(const struct scan *sc, int64_t *sum, int64_t count, int64_t each_s)
{
    int64_t part;
    if (__builtin_mul_overflow(count, each_s, &part) || __builtin_add_overflow(*sum, part, sum))
        return too_long(sc);
    /* The largest value is the word "infinite": nothing that was counted may look like it. */
    return *sum == TUG_DURATION_INFINITE ? too_long(sc) : 0;
}

/* 1h30m: each unit at most once, from large to small. The first number is already read. */
static int parse_units(struct scan *sc, int64_t count, int64_t *out_s)
{
    int64_t sum = 0;
    size_t next = 0;
    for (;;) {
        size_t u = 0;
        while (u < N_UNITS && units[u].letter != *sc->at)
            u++;
        if (u == N_UNITS)
            return bad(sc, sc->at, *sc->at == '.' ? "a fraction is not taken; write 1h30m for 1.5h"
                                   : *sc->at      ? "expected a unit: w, d, h, m or s"
                                                  : "the last number has no unit (w d h m s)");
        if (u < next)
            return bad(sc, sc->at, "units go from large to small (w d h m s), each at most once");
        next = u + 1;
        sc->at++;
        int rc = add(sc, &sum, count, units[u].s);
        if (rc)
            return rc;
        if (!*sc->at)
            break;
        if ((rc = number(sc, &count)))
            return rc;
    }
    *out_s = sum;
    return 0;
}

/* The fields after the first number: D-HH[:MM[:SS]], HH:MM:SS, MM:SS. */
static int parse_clock(struct scan *sc, int64_t first, int64_t *out_s)
{
    int64_t field[4] = { first };
    size_t n = 1;
    bool days = *sc->at == '-';
    while (*sc->at) {
        if (*sc->at != (n == 1 && days ? '-' : ':'))
            return bad(sc, sc->at, DURATION_FORMS);
        if (n == (days ? 4u : 3u))
            return bad(sc, sc->at, "too many fields; the longest form is D-HH:MM:SS");
        const char *start = ++sc->at;
        int rc = number(sc, &field[n]);
        if (rc)
            return rc;
        if (field[n] > 59 && !(days && n == 1))
            return bad(sc, start, "minutes and seconds go to 59");
        n++;
    }
    /* Where the fields sit: days start at D, three are H M S, two are M S. */
    static const int64_t each_s[] = { 86400, 3600, 60, 1 };
    size_t from = days ? 0 : 4 - n;
    int64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        int rc = add(sc, &sum, field[i], each_s[from + i]);
        if (rc)
            return rc;
    }
    *out_s = sum;
    return 0;
}

int tug_duration_parse(const char *text, unsigned flags, int64_t *out_s, struct tug_err *err)
{
    struct scan sc = { text, text, err };
    if (!strcasecmp(text, "infinite") || !strcasecmp(text, "unlimited")) {
        if (!(flags & TUG_DURATION_ALLOW_INFINITE))
            return tug_fail(err, -EINVAL, "duration '%s': a length that ends is needed here", text);
        *out_s = TUG_DURATION_INFINITE;
        return 0;
    }
    int64_t first = 0;
    int rc = number(&sc, &first);
    if (rc)
        return rc;
    if (*sc.at == ':' || *sc.at == '-')
        return parse_clock(&sc, first, out_s);
    if (*sc.at)
        return parse_units(&sc, first, out_s);
    if (!(flags & TUG_DURATION_BARE_MINUTES))
        return tug_fail(err, -EINVAL, "duration '%s' has no unit; write %ss or %sm", text, text,
                        text);
    int64_t sum = 0;
    rc = add(&sc, &sum, first, 60);
    if (rc == 0)
        *out_s = sum;
    return rc;
}

char *tug_duration_format(int64_t s, char *out, size_t size_bytes)
{
    const char *sign = s < 0 ? "-" : "";
    uint64_t left = s < 0 ? -(uint64_t) s : (uint64_t) s;
    uint64_t days = left / 86400;
    unsigned h = (unsigned) (left / 3600 % 24), m = (unsigned) (left / 60 % 60);
    unsigned sec = (unsigned) (left % 60);
    if (s == TUG_DURATION_INFINITE)
        snprintf(out, size_bytes, "infinite");
    else if (days)
        snprintf(out, size_bytes, "%s%" PRIu64 "-%02u:%02u:%02u", sign, days, h, m, sec);
    else
        snprintf(out, size_bytes, "%s%02u:%02u:%02u", sign, h, m, sec);
    return out;
}
