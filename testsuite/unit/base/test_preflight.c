/* test_preflight.c - how people write what is tried before a gang starts */
#include "unit.h"

#include "base/preflight.h"

START_TEST(a_floor_and_a_time_may_be_left_out)
{
    static const struct {
        const char *text, *what;
        uint64_t floor;
        uint32_t time_s;
    } rows[] = {
        {"allreduce", "allreduce", 0, TUG_PREFLIGHT_S},
        {"allreduce:8GB/s", "allreduce", 8000000000, TUG_PREFLIGHT_S},
        {"allreduce:64Gb/s@90s", "allreduce", 8000000000, 90},
        {"allreduce@2m", "allreduce", 0, 120},
        {"/opt/site/check:500MB/s@1h", "/opt/site/check", 500000000, 3600},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tug_preflight p;
        struct tug_err err = {0};
        ck_assert_msg(tug_preflight_parse(rows[i].text, &p, &err) == 0, "%s: %s", rows[i].text, err.msg);
        ck_assert_str_eq(p.what, rows[i].what);
        ck_assert_uint_eq(p.floor_bytes_s, rows[i].floor);
        ck_assert_uint_eq(p.time_s, rows[i].time_s);
    }
}
END_TEST

START_TEST(what_is_none_is_refused_and_nothing_changes)
{
    static const char *const bad[] = {"",   "broadcast", "allreduce:", "allreduce:8", "allreduce:8GB/s@",
                                      "allreduce:8GB/s@0s", "allreduce:8GB/s@2h", "check", "allreduce:@2m", ":8GB/s"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct tug_preflight p = {.what = "before", .time_s = 7};
        struct tug_err err = {0};
        ck_assert_msg(tug_preflight_parse(bad[i], &p, &err) < 0, "%s", bad[i]);
        ck_assert(err.msg[0] && p.time_s == 7 && !strcmp(p.what, "before"));
    }
}
END_TEST

UNIT_MAIN("base/preflight", a_floor_and_a_time_may_be_left_out, what_is_none_is_refused_and_nothing_changes)
