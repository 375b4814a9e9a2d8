/* test_when.c - points in time as people write them. Layer: tests. */
#include "unit.h"

#include <errno.h>

#include "cli/when.h"

#define NOW      1795225801000LL /* 2026-11-21T01:50:01 UTC */
#define DAY      86400000LL
#define MIDNIGHT (NOW - 6601000)

static struct tug_err err;

static int64_t at(const char *text, bool ahead)
{
    int64_t ms = -1;
    setenv("TZ", "UTC", 1);
    ck_assert_msg(tug_when_parse(text, NOW, ahead, &ms, &err) == 0, "%s: %s", text, err.msg);
    return ms;
}

START_TEST(now_and_what_is_added_to_it)
{
    ck_assert_int_eq(at("now", true), NOW);
    ck_assert_int_eq(at("now+30", true), NOW + 30000);
    ck_assert_int_eq(at("now+2h", true), NOW + 7200000);
    ck_assert_int_eq(at("now+1hour", true), NOW + 3600000);
    ck_assert_int_eq(at("now+3days", true), NOW + 3 * DAY);
    ck_assert_int_eq(at("now-1d", false), NOW - DAY);
}
END_TEST

START_TEST(a_clock_time_is_the_next_one_ahead_and_todays_else)
{
    ck_assert_int_eq(at("01:00", false), MIDNIGHT + 3600000);
    ck_assert_int_eq(at("01:00", true), MIDNIGHT + 3600000 + DAY);
    ck_assert_int_eq(at("18:00:30", true), MIDNIGHT + 18 * 3600000LL + 30000);
    ck_assert_int_eq(at("midnight", true), MIDNIGHT + DAY);
    ck_assert_int_eq(at("noon", true), MIDNIGHT + 12 * 3600000LL);
    ck_assert_int_eq(at("today", false), MIDNIGHT);
    ck_assert_int_eq(at("yesterday", false), MIDNIGHT - DAY);
    ck_assert_int_eq(at("tomorrow", true), MIDNIGHT + DAY);
}
END_TEST

START_TEST(dates_are_iso)
{
    ck_assert_int_eq(at("2026-11-21", false), MIDNIGHT);
    ck_assert_int_eq(at("2026-11-22T10:30", true), MIDNIGHT + DAY + 37800000);
    ck_assert_int_eq(at("2026-11-22 10:30:05", true), MIDNIGHT + DAY + 37805000);
}
END_TEST

START_TEST(what_is_no_time_is_refused)
{
    static const char *const bad[] = {
        "",      "soon",       "now+",       "now+x",       "now*2",  "25:00",
        "12:60", "2026-13-01", "2026-04-31", "2026-11-21T", "12:00x", "now+99999999999999999999"};
    int64_t ms = 42;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(tug_when_parse(bad[i], NOW, true, &ms, &err) == -EINVAL && ms == 42,
                      "'%s' was taken", bad[i]);
}
END_TEST

UNIT_MAIN("cli/when", now_and_what_is_added_to_it,
          a_clock_time_is_the_next_one_ahead_and_todays_else, dates_are_iso,
          what_is_no_time_is_refused)
