/* preflight.c - what shall be tried on a gang's nodes before the gang starts, as people write it */
#include "base/preflight.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/duration.h"
#include "base/rate.h"
#include "base/str.h"

static int take_time(const char *text, struct tug_preflight *p, struct tug_err *err)
{
    int64_t s;
    int rc = tug_duration_parse(text, 0, &s, err);
    if (rc)
        return rc;
    if (s < 1 || s > TUG_PREFLIGHT_MAX_S)
        return tug_fail(err, -EINVAL, "'%.32s' is not from 1s to 1h", text);
    p->time_s = (uint32_t) s;
    return 0;
}

static int take_floor(const char *text, struct tug_preflight *p, struct tug_err *err)
{
    int64_t rate;
    int rc = tug_rate_parse(text, &rate, err);
    if (rc == 0)
        p->floor_bytes_s = (uint64_t) rate;
    return rc;
}

int tug_preflight_parse(const char *text, struct tug_preflight *out, struct tug_err *err)
{
    struct tug_preflight p = {.time_s = TUG_PREFLIGHT_S};
    char words[TUG_PREFLIGHT_WHAT_MAX];
    int rc = 0;
    if (strlen(text) >= sizeof words)
        return tug_fail(err, -EINVAL, "a preflight has at most %zu bytes", sizeof words - 1);
    tug_str_copy(words, sizeof words, text);
    char *at = strrchr(words, '@');
    if (at)
        *at++ = '\0';
    char *floor = strchr(words, ':');
    if (floor)
        *floor++ = '\0';
    if (strcmp(words, "allreduce") != 0 && words[0] != '/')
        return tug_fail(err, -EINVAL,
                        "'%.64s' is no preflight; write allreduce, allreduce:8GB/s, allreduce:8GB/s@2m, or "
                        "the absolute path of a program instead of allreduce",
                        text);
    if (at)
        rc = take_time(at, &p, err);
    if (rc == 0 && floor)
        rc = take_floor(floor, &p, err);
    if (rc)
        return rc;
    tug_str_copy(p.what, sizeof p.what, words);
    *out = p;
    return 0;
}

char *tug_preflight_format(const char *what, uint64_t floor_bytes_s, uint32_t time_s, char *out, size_t size_bytes)
{
    char rate[TUG_RATE_TEXT_MAX] = "", time[16] = "";
    if (floor_bytes_s)
        tug_rate_format((int64_t) floor_bytes_s, rate, sizeof rate);
    if (time_s)
        snprintf(time, sizeof time, time_s % 60 ? "%us" : "%um", time_s % 60 ? time_s : time_s / 60);
    snprintf(out, size_bytes, "%s%s%s%s%s", what, *rate ? ":" : "", rate, *time ? "@" : "", time);
    return out;
}
