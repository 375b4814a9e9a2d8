/* test_str.c - text shown safely, split without copies, and guessed at */
#include "unit.h"

#include <errno.h>

#include "base/str.h"

static void shows(const char *raw, size_t n, const char *shown)
{
    struct tug_buf b = { 0 };
    tug_str_escape(&b, raw, n);
    ck_assert_str_eq(tug_buf_str(&b), shown);
    tug_buf_clear(&b);
}
#define SHOWS(raw, shown) shows(raw, sizeof raw - 1, shown)

START_TEST(control_bytes_are_shown_escaped)
{
    SHOWS("plain \\ text", "plain \\ text");
    SHOWS("a\nb\tc\r", "a\\nb\\tc\\r");
    SHOWS("\033[31mred\x7f", "\\x1b[31mred\\x7f");
    SHOWS("a\0b", "a\\x00b");
    SHOWS("\xc2\x9b" "31m", "\\x9b31m"); /* C1 CSI as UTF-8 */
}
END_TEST

START_TEST(utf8_stays_and_what_is_not_utf8_is_escaped)
{
    SHOWS("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x95", "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x95");
    SHOWS("\xff\xfe", "\\xff\\xfe");
    SHOWS("\xc0\xaf", "\\xc0\\xaf");                 /* overlong */
    SHOWS("\xe0\x80\xaf", "\\xe0\\x80\\xaf");        /* overlong */
    SHOWS("\xed\xa0\x80", "\\xed\\xa0\\x80");        /* surrogate */
    SHOWS("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"); /* over U+10FFFF */
    SHOWS("cut \xe2\x82", "cut \\xe2\\x82");
}
END_TEST

START_TEST(characters_that_turn_or_break_lines_are_escaped)
{
    SHOWS("a\xe2\x80\xae" "b", "a\\u202eb");
    SHOWS("a\xe2\x80\xa8" "b", "a\\u2028b");
}
END_TEST

START_TEST(prefixes_and_suffixes_may_be_empty_or_the_whole)
{
    ck_assert(tug_str_has_prefix("train.sh", "train") && tug_str_has_suffix("train.sh", ".sh"));
    ck_assert(tug_str_has_prefix("a", "") && tug_str_has_suffix("a", ""));
    ck_assert(tug_str_has_prefix("a", "a") && tug_str_has_suffix("a", "a"));
    ck_assert(!tug_str_has_prefix("a", "ab") && !tug_str_has_suffix("a", "ba"));
}
END_TEST

START_TEST(every_separator_makes_a_field)
{
    const char *rest = "a,,bc,", *at;
    size_t len;
    char seen[64] = "";
    while (tug_str_split(&rest, ',', &at, &len))
        sprintf(seen + strlen(seen), "<%.*s>", (int) len, at);
    ck_assert_str_eq(seen, "<a><><bc><>");
    rest = "";
    ck_assert(tug_str_split(&rest, ',', &at, &len));
    ck_assert_uint_eq(len, 0);
    ck_assert(!tug_str_split(&rest, ',', &at, &len));
}
END_TEST

START_TEST(the_nearest_name_is_what_was_meant)
{
    static const char *const names[] = { "gpus-per-node", "gpus-per-task", "nodes", "nodelist", "time", "mem" };
#define NEAREST(word) tug_str_nearest(word, names, 6)
    ck_assert_str_eq(NEAREST("gpu-per-node"), "gpus-per-node");
    ck_assert_str_eq(NEAREST("gpus_per_node"), "gpus-per-node");
    ck_assert_str_eq(NEAREST("ndoes"), "nodes"); /* swapped neighbours are one mistake */
    ck_assert_str_eq(NEAREST("NODES"), "nodes");
    ck_assert_str_eq(NEAREST("nodes"), "nodes");
    ck_assert_str_eq(NEAREST("tiem"), "time");
    ck_assert_str_eq(NEAREST("men"), "mem");
}
END_TEST

START_TEST(nothing_is_suggested_when_nothing_is_near)
{
    static const char *const names[] = { "nodes", "mem", "" };
    char longest[80];
    memset(longest, 'n', sizeof longest);
    longest[79] = '\0';
    ck_assert_ptr_null(tug_str_nearest("colour", names, 3));
    ck_assert_ptr_null(tug_str_nearest("", names, 3));
    ck_assert_ptr_null(tug_str_nearest("x", names, 3));
    ck_assert_ptr_null(tug_str_nearest(longest, names, 3));
    ck_assert_ptr_null(tug_str_nearest("nodes", names, 0));
}
END_TEST

START_TEST(a_copy_is_cut_between_characters_and_says_so)
{
    char out[8];
    ck_assert(tug_str_copy(out, sizeof out, "1234567"));
    ck_assert_str_eq(out, "1234567");
    ck_assert(!tug_str_copy(out, sizeof out, "12345678"));
    ck_assert_str_eq(out, "1234567");
    ck_assert(!tug_str_copy(out, sizeof out, "12345\xe2\x82\xac"));
    ck_assert_str_eq(out, "12345");
    ck_assert(!tug_str_copy(out, 0, "x"));
}
END_TEST

START_TEST(a_number_is_digits_only_and_under_its_maximum)
{
    uint64_t n = 7;
    ck_assert_int_eq(tug_str_u64("18446744073709551615", UINT64_MAX, &n), 0);
    ck_assert_uint_eq(n, UINT64_MAX);
    ck_assert_int_eq(tug_str_u64("007", 7, &n), 0);
    ck_assert_uint_eq(n, 7);
    ck_assert_int_eq(tug_str_u64("8", 7, &n), -ERANGE);
    ck_assert_int_eq(tug_str_u64("18446744073709551616", UINT64_MAX, &n), -ERANGE);
    ck_assert_int_eq(tug_str_u64("", 7, &n), -EINVAL);
    ck_assert_int_eq(tug_str_u64("+1", 7, &n), -EINVAL);
    ck_assert_int_eq(tug_str_u64(" 1", 7, &n), -EINVAL);
    ck_assert_int_eq(tug_str_u64("1 ", 7, &n), -EINVAL);
    ck_assert_int_eq(tug_str_u64("99x", 7, &n), -EINVAL);
    ck_assert_uint_eq(n, 7);
}
END_TEST

UNIT_MAIN("base/str",
          control_bytes_are_shown_escaped,
          utf8_stays_and_what_is_not_utf8_is_escaped,
          characters_that_turn_or_break_lines_are_escaped,
          prefixes_and_suffixes_may_be_empty_or_the_whole,
          every_separator_makes_a_field,
          the_nearest_name_is_what_was_meant,
          nothing_is_suggested_when_nothing_is_near,
          a_copy_is_cut_between_characters_and_says_so,
          a_number_is_digits_only_and_under_its_maximum)
