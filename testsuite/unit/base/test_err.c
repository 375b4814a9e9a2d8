/* test_err.c - the sentence of a failure: kept whole, prefixed once, cut with care */
#include "unit.h"

#include <errno.h>
#include <signal.h>

START_TEST(a_failure_returns_its_code_and_keeps_its_sentence)
{
    struct tug_err err = { 0 };
    ck_assert_int_eq(tug_fail(&err, -EBUSY, "node %d: GPU %d is held by job %d", 3, 5, 71), -EBUSY);
    ck_assert_int_eq(err.code, -EBUSY);
    ck_assert_str_eq(err.msg, "node 3: GPU 5 is held by job 71");
    ck_assert_int_eq(tug_fail(NULL, -EINVAL, "nobody listens"), -EINVAL);
}
END_TEST

START_TEST(context_goes_in_front_and_keeps_the_code)
{
    struct tug_err err = { 0 };
    tug_fail(&err, -ENOENT, "no such node");
    ck_assert_int_eq(tug_fail_ctx(&err, -EIO, "job %d", 7), -ENOENT);
    ck_assert_str_eq(err.msg, "job 7: no such node");
    ck_assert_int_eq(tug_fail_ctx(NULL, -EIO, "job"), -EIO);
}
END_TEST

START_TEST(context_without_a_failure_below_is_the_failure)
{
    struct tug_err err = { 0 };
    ck_assert_int_eq(tug_fail_ctx(&err, -EIO, "reading the state"), -EIO);
    ck_assert_str_eq(err.msg, "reading the state");
    ck_assert_int_eq(err.code, -EIO);
}
END_TEST

START_TEST(a_sentence_may_quote_the_one_before)
{
    struct tug_err err = { 0 };
    tug_fail(&err, -EIO, "disk full");
    tug_fail(&err, -EIO, "commit failed (%s)", err.msg);
    ck_assert_str_eq(err.msg, "commit failed (disk full)");
}
END_TEST

START_TEST(a_long_sentence_is_cut_with_dots_and_never_inside_a_character)
{
    struct tug_err err = { 0 };
    char text[3 * TUG_ERR_MAX + 1] = "";
    for (size_t pad = 0; pad < 3; pad++) { /* every phase of a three-byte character at the cut */
        memset(text, 'x', pad);
        text[pad] = '\0';
        for (size_t i = pad; i + 3 < sizeof text; i += 3)
            memcpy(text + i, "\xe2\x82\xac", 4);
        tug_fail(&err, -EINVAL, "%s", text);
        size_t len = strlen(err.msg);
        ck_assert_uint_lt(len, TUG_ERR_MAX);
        ck_assert_uint_gt(len, TUG_ERR_MAX - 8);
        ck_assert_str_eq(err.msg + len - 3, "...");
        ck_assert_uint_eq((len - 3 - pad) % 3, 0);
    }
    tug_fail(&err, -EINVAL, "%s", "the reason");
    tug_fail_ctx(&err, -EINVAL, "%s", text);
    ck_assert_str_eq(err.msg + strlen(err.msg) - 3, "...");
}
END_TEST

START_TEST(a_sentence_that_just_fits_is_whole)
{
    struct tug_err err = { 0 };
    char text[TUG_ERR_MAX];
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = '\0';
    tug_fail(&err, -EINVAL, "%s", text);
    ck_assert_str_eq(err.msg, text);
}
END_TEST

START_TEST(an_assertion_that_holds_does_nothing)
{
    int n = 0;
    tug_assert(++n == 1);
    ck_assert_int_eq(n, 1); /* evaluated once */
}
END_TEST

UNIT_MAIN("base/err",
          a_failure_returns_its_code_and_keeps_its_sentence,
          context_goes_in_front_and_keeps_the_code,
          context_without_a_failure_below_is_the_failure,
          a_sentence_may_quote_the_one_before,
          a_long_sentence_is_cut_with_dots_and_never_inside_a_character,
          a_sentence_that_just_fits_is_whole,
          an_assertion_that_holds_does_nothing)
