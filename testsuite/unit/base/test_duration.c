/* test_duration.c - both families of durations, their edges, and that text reads back */
#include "unit.h"

#include <errno.h>

#include "base/duration.h"
#include "base/rand.h"

#define LIMIT (TUG_DURATION_BARE_MINUTES | TUG_DURATION_ALLOW_INFINITE)

static int64_t seconds(const char *text, unsigned flags)
{
    int64_t s = -1;
    struct tug_err err = { 0 };
    int rc = tug_duration_parse(text, flags, &s, &err);
    ck_assert_msg(rc == 0, "'%s': %s", text, err.msg);
    return s;
}

static void refused(const char *text, unsigned flags, int code, const char *words)
{
    int64_t s = -7;
    struct tug_err err = { 0 };
    unit_fails(tug_duration_parse(text, flags, &s, &err), code, err, words);
    ck_assert_int_eq(s, -7);
}

START_TEST(slurm_forms_mean_what_sbatch_says)
{
    ck_assert_int_eq(seconds("30", LIMIT), 30 * 60);
    ck_assert_int_eq(seconds("0", LIMIT), 0);
    ck_assert_int_eq(seconds("5:30", LIMIT), 330);
    ck_assert_int_eq(seconds("90:00", LIMIT), 5400);
    ck_assert_int_eq(seconds("1:02:03", LIMIT), 3723);
    ck_assert_int_eq(seconds("72:00:00", LIMIT), 259200);
    ck_assert_int_eq(seconds("2-3", LIMIT), 2 * 86400 + 3 * 3600);
    ck_assert_int_eq(seconds("2-03:04", LIMIT), 2 * 86400 + 3 * 3600 + 4 * 60);
    ck_assert_int_eq(seconds("2-03:04:05", LIMIT), 2 * 86400 + 3 * 3600 + 4 * 60 + 5);
    ck_assert_int_eq(seconds("0-48:00:00", LIMIT), 48 * 3600);
}
END_TEST

START_TEST(units_add_up_from_large_to_small)
{
    ck_assert_int_eq(seconds("90s", 0), 90);
    ck_assert_int_eq(seconds("5m", 0), 300);
    ck_assert_int_eq(seconds("2h", 0), 7200);
    ck_assert_int_eq(seconds("3d", 0), 259200);
    ck_assert_int_eq(seconds("1w", 0), 604800);
    ck_assert_int_eq(seconds("1h30m", 0), 5400);
    ck_assert_int_eq(seconds("1w2d3h4m5s", 0), 604800 + 2 * 86400 + 3 * 3600 + 4 * 60 + 5);
    ck_assert_int_eq(seconds("0s", 0), 0);
}
END_TEST

START_TEST(a_bare_number_needs_a_caller_that_knows_its_unit)
{
    refused("30", 0, -EINVAL, "'30' has no unit; write 30s or 30m");
    refused("30", TUG_DURATION_ALLOW_INFINITE, -EINVAL, "no unit");
}
END_TEST

START_TEST(infinite_is_taken_only_where_it_makes_sense)
{
    ck_assert_int_eq(seconds("infinite", LIMIT), TUG_DURATION_INFINITE);
    ck_assert_int_eq(seconds("UNLIMITED", TUG_DURATION_ALLOW_INFINITE), TUG_DURATION_INFINITE);
    refused("infinite", TUG_DURATION_BARE_MINUTES, -EINVAL, "a length that ends");
}
END_TEST

START_TEST(what_is_wrong_is_named_with_its_column)
{
    refused("", LIMIT, -EINVAL, "column 1: a number is missing");
    refused("soon", LIMIT, -EINVAL, "column 1: expected a form like 90s");
    refused("-5", LIMIT, -EINVAL, "column 1");
    refused("5x", LIMIT, -EINVAL, "column 2: expected a unit: w, d, h, m or s");
    refused("1h30", LIMIT, -EINVAL, "column 5: the last number has no unit");
    refused("1m1h", LIMIT, -EINVAL, "column 4: units go from large to small");
    refused("1h1h", LIMIT, -EINVAL, "each at most once");
    refused("1.5h", LIMIT, -EINVAL, "write 1h30m for 1.5h");
    refused("5 m", LIMIT, -EINVAL, "column 2");
    refused("1:60", LIMIT, -EINVAL, "column 3: minutes and seconds go to 59");
    refused("1:60:00", LIMIT, -EINVAL, "column 3: minutes and seconds go to 59");
    refused("1:2:3:4", LIMIT, -EINVAL, "column 6: too many fields");
    refused("1-2:3:4:5", LIMIT, -EINVAL, "column 8: too many fields");
    refused("1-", LIMIT, -EINVAL, "column 3: a number is missing");
    refused("1:2-3", LIMIT, -EINVAL, "column 4");
    refused("1-2-3", LIMIT, -EINVAL, "column 4");
    refused("1-2h", LIMIT, -EINVAL, "column 4");
    refused("1h:30", LIMIT, -EINVAL, "column 3");
}
END_TEST

START_TEST(lengths_over_63_bits_of_seconds_are_refused)
{
    refused("9223372036854775808s", LIMIT, -ERANGE, "63 bits");
    refused("9223372036854775807s", LIMIT, -ERANGE, "63 bits"); /* would read as infinite */
    ck_assert_int_eq(seconds("9223372036854775806s", 0), INT64_MAX - 1);
    refused("153722867280912931", LIMIT, -ERANGE, "63 bits");
    refused("106751991167301-00:00", LIMIT, -ERANGE, "63 bits");
    refused("15250284452472w", LIMIT, -ERANGE, "63 bits");
    refused("99999999999999999999999999999", LIMIT, -ERANGE, "63 bits");
}
END_TEST

START_TEST(formatted_lengths_have_days_only_when_there_are_some)
{
    char out[TUG_DURATION_TEXT_MAX];
    ck_assert_str_eq(tug_duration_format(0, out, sizeof out), "00:00:00");
    ck_assert_str_eq(tug_duration_format(3723, out, sizeof out), "01:02:03");
    ck_assert_str_eq(tug_duration_format(86399, out, sizeof out), "23:59:59");
    ck_assert_str_eq(tug_duration_format(86400, out, sizeof out), "1-00:00:00");
    ck_assert_str_eq(tug_duration_format(-61, out, sizeof out), "-00:01:01");
    ck_assert_str_eq(tug_duration_format(INT64_MIN, out, sizeof out), "-106751991167300-15:30:08");
    ck_assert_str_eq(tug_duration_format(TUG_DURATION_INFINITE, out, sizeof out), "infinite");
    ck_assert_str_eq(tug_duration_format(3723, out, 6), "01:02");
}
END_TEST

START_TEST(any_length_reads_back_from_its_text)
{
    struct tug_rand r = tug_rand_seed(unit_seed());
    for (int i = 0; i < unit_rounds(50000); i++) {
        int64_t s = (int64_t) (tug_rand_u64(&r) >> (1 + tug_rand_below(&r, 63)));
        char out[TUG_DURATION_TEXT_MAX];
        ck_assert_int_eq(seconds(tug_duration_format(s, out, sizeof out), LIMIT), s);
    }
}
END_TEST

UNIT_MAIN("base/duration",
          slurm_forms_mean_what_sbatch_says,
          units_add_up_from_large_to_small,
          a_bare_number_needs_a_caller_that_knows_its_unit,
          infinite_is_taken_only_where_it_makes_sense,
          what_is_wrong_is_named_with_its_column,
          lengths_over_63_bits_of_seconds_are_refused,
          formatted_lengths_have_days_only_when_there_are_some,
          any_length_reads_back_from_its_text)
