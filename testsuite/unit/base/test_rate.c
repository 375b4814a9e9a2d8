/* test_rate.c - bandwidths are bytes or bits as the b says, and come back as they went in */
#include <errno.h>

#include "base/rate.h"
#include "unit.h"

START_TEST(bytes_and_bits_are_told_by_the_case_of_the_b)
{
    static const struct {
        const char *text;
        int64_t bytes_s;
    } good[] = {{"50GB/s", 50000000000},
                {"400Gb/s", 50000000000},
                {"400Gbit/s", 50000000000},
                {"12.5GB/s", 12500000000},
                {"1.8TB/s", 1800000000000},
                {"0.001KB/s", 1},
                {"7B/s", 7},
                {"100mb/s", 12500000}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int64_t v = -1;
        ck_assert_int_eq(tug_rate_parse(good[i].text, &v, NULL), 0);
        ck_assert_int_eq(v, good[i].bytes_s);
    }
}
END_TEST

START_TEST(what_is_no_bandwidth_is_refused_with_how_to_write_one)
{
    static const char *const bad[] = {"",       "50",     "50G",    "50GB",       "GB/s",
                                      "5.GB/s", ".5GB/s", "5 GB/s", "1.2345GB/s", "-5GB/s",
                                      "5XB/s",  "5GB/s ", "5GiB/s", "1.2.3GB/s"};
    int64_t v = 9;
    struct tug_err err = {0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        unit_fails(tug_rate_parse(bad[i], &v, &err), -EINVAL, err, "write it like 50GB/s");
    unit_fails(tug_rate_parse("99999999999TB/s", &v, &err), -ERANGE, err, "too much");
    ck_assert_int_eq(v, 9);
}
END_TEST

START_TEST(what_is_printed_reads_back_the_same)
{
    static const int64_t values[] = {0,       1,           999,         1000,          1500,
                                     1234567, 12500000000, 50000000000, 1800000000000, 50000000001};
    char text[TUG_RATE_TEXT_MAX];
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        int64_t v = -1;
        ck_assert_int_eq(tug_rate_parse(tug_rate_format(values[i], text, sizeof text), &v, NULL),
                         0);
        ck_assert_int_eq(v, values[i]);
    }
    ck_assert_str_eq(tug_rate_format(12500000000, text, sizeof text), "12.5GB/s");
    ck_assert_str_eq(tug_milli_format(2000, text, sizeof text), "2");
    ck_assert_str_eq(tug_milli_format(1250, text, sizeof text), "1.25");
}
END_TEST

START_TEST(what_was_measured_has_three_figures_in_the_unit_that_fits)
{
    static const struct { double n; const char *text; } rows[] = {
        {0, "0 B/s"},           {999, "999 B/s"},        {1000, "1.00 KB/s"}, {999600, "1.00 MB/s"},
        {12345678, "12.3 MB/s"}, {9.996e9, "10.0 GB/s"}, {480e9, "480 GB/s"}, {7.2e12, "7.20 TB/s"},
    };
    char out[32];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert_str_eq(tug_rate_short(rows[i].n, out, sizeof out), rows[i].text);
}
END_TEST

UNIT_MAIN("base/rate", bytes_and_bits_are_told_by_the_case_of_the_b,
          what_is_no_bandwidth_is_refused_with_how_to_write_one,
          what_is_printed_reads_back_the_same,
          what_was_measured_has_three_figures_in_the_unit_that_fits)
