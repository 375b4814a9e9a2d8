/* test_size.c - amounts of memory: powers of 1024, their edges, and that exact text reads back */
#include "unit.h"

#include <errno.h>
#include <inttypes.h>

#include "base/rand.h"
#include "base/size.h"

#define MIB 1048576u

static uint64_t bytes(const char *text, uint64_t unit)
{
    uint64_t n = 7;
    struct tug_err err = { 0 };
    int rc = tug_size_parse(text, unit, &n, &err);
    ck_assert_msg(rc == 0, "'%s': %s", text, err.msg);
    return n;
}

static void refused(const char *text, uint64_t unit, int code, const char *words)
{
    uint64_t n = 7;
    struct tug_err err = { 0 };
    unit_fails(tug_size_parse(text, unit, &n, &err), code, err, words);
    ck_assert_uint_eq(n, 7);
}

START_TEST(suffixes_are_powers_of_1024_however_they_are_written)
{
    static const char *const gib[] = { "16G", "16g", "16GB", "16GiB", "16gib", "16384M", "16777216K" };
    for (size_t i = 0; i < sizeof gib / sizeof *gib; i++)
        ck_assert_uint_eq(bytes(gib[i], 0), 16ull << 30);
    ck_assert_uint_eq(bytes("512B", 0), 512);
    ck_assert_uint_eq(bytes("1k", 0), 1024);
    ck_assert_uint_eq(bytes("2T", 0), 2ull << 40);
    ck_assert_uint_eq(bytes("3P", 0), 3ull << 50);
    ck_assert_uint_eq(bytes("0", MIB), 0);
}
END_TEST

START_TEST(a_bare_number_is_in_the_callers_unit_or_refused)
{
    ck_assert_uint_eq(bytes("4000", MIB), 4000ull * MIB);
    ck_assert_uint_eq(bytes("4000", 1), 4000);
    refused("4000", 0, -EINVAL, "'4000' has no unit; write 4000M or 4000G");
}
END_TEST

START_TEST(what_is_wrong_is_named_with_its_column)
{
    refused("", MIB, -EINVAL, "column 1: expected a number");
    refused("G", MIB, -EINVAL, "column 1: expected a number");
    refused("-1G", MIB, -EINVAL, "column 1");
    refused("1.5G", MIB, -EINVAL, "column 2: a fraction is not taken; write 1536M");
    refused("16X", MIB, -EINVAL, "column 3: expected a unit");
    refused("16 G", MIB, -EINVAL, "column 3: expected a unit");
    refused("16Gb/s", MIB, -EINVAL, "column 3: expected a unit");
    refused("16iB", MIB, -EINVAL, "column 3: expected a unit");
    refused("16BB", MIB, -EINVAL, "column 3: expected a unit");
}
END_TEST

START_TEST(sizes_over_64_bits_are_refused)
{
    ck_assert_uint_eq(bytes("18446744073709551615", 1), UINT64_MAX);
    ck_assert_uint_eq(bytes("16383P", 0), 16383ull << 50);
    refused("18446744073709551616", 1, -ERANGE, "64 bits");
    refused("16384P", 0, -ERANGE, "64 bits");
    refused("17592186044416", MIB, -ERANGE, "64 bits");
}
END_TEST

START_TEST(short_text_is_rounded_to_a_tenth)
{
    char out[TUG_SIZE_TEXT_MAX];
    ck_assert_str_eq(tug_size_format(0, out, sizeof out), "0B");
    ck_assert_str_eq(tug_size_format(1023, out, sizeof out), "1023B");
    ck_assert_str_eq(tug_size_format(1024, out, sizeof out), "1K");
    ck_assert_str_eq(tug_size_format(1536, out, sizeof out), "1.5K");
    ck_assert_str_eq(tug_size_format(16ull << 30, out, sizeof out), "16G");
    ck_assert_str_eq(tug_size_format((16ull << 30) + 1, out, sizeof out), "16G");
    ck_assert_str_eq(tug_size_format((1ull << 30) - 1, out, sizeof out), "1G");
    ck_assert_str_eq(tug_size_format(UINT64_MAX, out, sizeof out), "16384P");
}
END_TEST

START_TEST(exact_text_uses_the_largest_unit_that_divides_and_reads_back)
{
    struct tug_rand r = tug_rand_seed(unit_seed());
    char out[TUG_SIZE_TEXT_MAX];
    ck_assert_str_eq(tug_size_format_exact(1536ull * MIB, out, sizeof out), "1536M");
    ck_assert_str_eq(tug_size_format_exact(0, out, sizeof out), "0B");
    ck_assert_str_eq(tug_size_format_exact(1025, out, sizeof out), "1025B");
    for (int i = 0; i < unit_rounds(50000); i++) {
        uint64_t n = tug_rand_u64(&r) >> tug_rand_below(&r, 64) << tug_rand_below(&r, 64);
        ck_assert_uint_eq(bytes(tug_size_format_exact(n, out, sizeof out), 0), n);
    }
}
END_TEST

UNIT_MAIN("base/size",
          suffixes_are_powers_of_1024_however_they_are_written,
          a_bare_number_is_in_the_callers_unit_or_refused,
          what_is_wrong_is_named_with_its_column,
          sizes_over_64_bits_are_refused,
          short_text_is_rounded_to_a_tenth,
          exact_text_uses_the_largest_unit_that_divides_and_reads_back)
