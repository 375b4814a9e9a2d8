/* test_gpuset.c - sets of GPUs: the lowest first, and text that reads back */
#include "unit.h"

#include <errno.h>

#include "base/gpuset.h"
#include "base/rand.h"

static tug_gpuset parse(const char *text)
{
    tug_gpuset s = 7;
    struct tug_err err = { 0 };
    int rc = tug_gpuset_parse(text, &s, &err);
    ck_assert_msg(rc == 0, "'%s': %s", text, err.msg);
    return s;
}

static void refused(const char *text, int code, const char *words)
{
    tug_gpuset s = 7;
    struct tug_err err = { 0 };
    unit_fails(tug_gpuset_parse(text, &s, &err), code, err, words);
    ck_assert_uint_eq(s, 7);
}

START_TEST(the_first_n_and_their_count_agree)
{
    for (unsigned n = 0; n <= 64; n++)
        ck_assert_uint_eq(tug_gpuset_count(tug_gpuset_first_n(n)), n);
    ck_assert_uint_eq(tug_gpuset_first_n(3), 7);
    ck_assert_uint_eq(tug_gpuset_first_n(64), ~0ull);
}
END_TEST

START_TEST(the_lowest_are_taken_or_none_when_there_are_too_few)
{
    ck_assert_uint_eq(tug_gpuset_take_low(0xF0, 2), 0x30);
    ck_assert_uint_eq(tug_gpuset_take_low(0xF0, 4), 0xF0);
    ck_assert_uint_eq(tug_gpuset_take_low(0xF0, 5), 0);
    ck_assert_uint_eq(tug_gpuset_take_low(0xF0, 0), 0);
    ck_assert_uint_eq(tug_gpuset_take_low(1ull << 63, 1), 1ull << 63);
    ck_assert_uint_eq(tug_gpuset_take_low(~0ull, 64), ~0ull);
}
END_TEST

START_TEST(text_has_ranges_and_reads_in_any_order)
{
    char out[256];
    ck_assert_str_eq(tug_gpuset_format(0x8F, out, sizeof out), "0-3,7");
    ck_assert_str_eq(tug_gpuset_format(0, out, sizeof out), "");
    ck_assert_str_eq(tug_gpuset_format(~0ull, out, sizeof out), "0-63");
    ck_assert_str_eq(tug_gpuset_format(3, out, sizeof out), "0-1");
    ck_assert_str_eq(tug_gpuset_format(0x8F, out, 4), "0-3");
    ck_assert_str_eq(tug_gpuset_format(0x8F, out, 1), "");
    ck_assert_uint_eq(parse("7,0-3"), 0x8F);
    ck_assert_uint_eq(parse("0-63"), ~0ull);
    ck_assert_uint_eq(parse("2,2,1-2"), 6);
    ck_assert_uint_eq(parse(""), 0);
}
END_TEST

START_TEST(what_is_wrong_is_named_with_its_column)
{
    refused("a", -EINVAL, "column 1: expected a number");
    refused("0-", -EINVAL, "column 3: expected a number");
    refused("0,", -EINVAL, "column 3: expected a number");
    refused("0 1", -EINVAL, "column 2: expected ',' or '-'");
    refused("1-2-3", -EINVAL, "column 4: expected ',' or '-'");
    refused("0,3-1", -EINVAL, "column 3: range 3-1 runs backwards");
    refused("64", -ERANGE, "64 is over the highest index, 63");
    refused("0-99999999999999999999", -ERANGE, "column 3: 99999999999999999999 is over");
}
END_TEST

START_TEST(any_set_reads_back_from_its_text)
{
    struct tug_rand r = tug_rand_seed(unit_seed());
    char out[256];
    for (int i = 0; i < unit_rounds(20000); i++) {
        tug_gpuset s = tug_rand_u64(&r) & tug_rand_u64(&r);
        ck_assert_uint_eq(parse(tug_gpuset_format(s, out, sizeof out)), s);
        unsigned n = (unsigned) tug_rand_below(&r, tug_gpuset_count(s) + 1u);
        tug_gpuset low = tug_gpuset_take_low(s, n);
        ck_assert_uint_eq(tug_gpuset_count(low), n);
        ck_assert((low & ~s) == 0 && (n == 0 || (s & ~low) == 0 || low < (s & ~low)));
    }
}
END_TEST

UNIT_MAIN("base/gpuset",
          the_first_n_and_their_count_agree,
          the_lowest_are_taken_or_none_when_there_are_too_few,
          text_has_ranges_and_reads_in_any_order,
          what_is_wrong_is_named_with_its_column,
          any_set_reads_back_from_its_text)
