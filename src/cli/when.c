/* when.c - points in time as people write them
 *
 * Layer: cli.
 */
#include "cli/when.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/duration.h"
#include "base/str.h"

static int bad(const char *text, struct tug_err *err)
{
    return tug_fail(err, -EINVAL,
                    "'%.64s' is not a time; write 18:00, 2026-11-30, 2026-11-30T18:00, now+2h, "
                    "today or tomorrow",
                    text);
}

/* "+2h", "-1day", "+90": what stands behind "now". */
static int parse_offset(const char *text, const char *at, int64_t *out_s, struct tug_err *err)
{
    static const struct {
        const char *word;
        int64_t s;
    } units[] = {
        {"second", 1},    {"seconds", 1},    {"minute", 60}, {"minutes", 60},
        {"hour", 3600},   {"hours", 3600},   {"day", 86400}, {"days", 86400},
        {"week", 604800}, {"weeks", 604800}, {"", 1},
    };
    int64_t sign = *at == '-' ? -1 : 1, s = 0;
    char *end;
    if ((*at != '+' && *at != '-') || at[1] < '0' || at[1] > '9')
        return bad(text, err);
    long long n = strtoll(at + 1, &end, 10);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (!strcmp(end, units[i].word)) {
            if (n > 1000000000)
                return bad(text, err);
            *out_s = sign * n * units[i].s;
            return 0;
        }
    if (tug_duration_parse(at + 1, 0, &s, NULL) || s > 100000000000)
        return bad(text, err);
    *out_s = sign * s;
    return 0;
}

static int64_t to_ms(struct tm tm)
{
    tm.tm_isdst = -1;
    return (int64_t) mktime(&tm) * 1000;
}

/* "18:00" or "18:00:30" into tm; false: not of that form. */
static bool clock_time(const char *s, struct tm *tm)
{
    int h, m, sec = 0, n = 0;
    if (sscanf(s, "%2d:%2d%n", &h, &m, &n) != 2 || n == 0)
        return false;
    if (s[n] == ':') {
        int more = 0;
        if (sscanf(s + n, ":%2d%n", &sec, &more) != 1)
            return false;
        n += more;
    }
    if (s[n] || h < 0 || m < 0 || sec < 0 || h > 23 || m > 59 || sec > 59)
        return false;
    tm->tm_hour = h;
    tm->tm_min = m;
    tm->tm_sec = sec;
    return true;
}

static bool date_time(const char *s, struct tm *tm)
{
    int y, mon, d, n = 0;
    if (sscanf(s, "%4d-%2d-%2d%n", &y, &mon, &d, &n) != 3 || n == 0)
        return false;
    if (y < 1970 || mon < 1 || mon > 12 || d < 1 || d > 31)
        return false;
    tm->tm_year = y - 1900;
    tm->tm_mon = mon - 1;
    tm->tm_mday = d;
    tm->tm_hour = tm->tm_min = tm->tm_sec = 0;
    struct tm there = *tm;
    there.tm_isdst = -1;
    if (mktime(&there) == -1 || there.tm_mday != d) /* 31 April */
        return false;
    return s[n] == '\0' || ((s[n] == 'T' || s[n] == ' ') && clock_time(s + n + 1, tm));
}

int tug_when_parse(const char *text, int64_t now_ms, bool ahead, int64_t *out_ms,
                   struct tug_err *err)
{
    if (tug_str_has_prefix(text, "now")) {
        int64_t s = 0;
        int rc = text[3] ? parse_offset(text, text + 3, &s, err) : 0;
        if (rc == 0)
            *out_ms = now_ms + s * 1000;
        return rc;
    }
    time_t now_s = (time_t) (now_ms / 1000);
    struct tm tm;
    localtime_r(&now_s, &tm);
    if (strchr(text, '-')) {
        if (!date_time(text, &tm))
            return bad(text, err);
        *out_ms = to_ms(tm);
        return 0;
    }
    struct tm at = tm;
    at.tm_hour = at.tm_min = at.tm_sec = 0;
    bool of_clock = clock_time(text, &at);
    if (!strcmp(text, "tomorrow"))
        at.tm_mday++;
    else if (!strcmp(text, "yesterday"))
        at.tm_mday--;
    else if (!strcmp(text, "noon"))
        of_clock = (at.tm_hour = 12);
    else if (!strcmp(text, "midnight"))
        of_clock = true;
    else if (!of_clock && strcmp(text, "today") != 0)
        return bad(text, err);
    int64_t ms = to_ms(at);
    if (of_clock && ahead && ms <= now_ms) {
        at.tm_mday++;
        ms = to_ms(at);
    }
    *out_ms = ms;
    return 0;
}
