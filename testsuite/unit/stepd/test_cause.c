/* test_cause.c - which of several failures is named, and by whose clock */
#include "unit.h"

#include "stepd/cause.h"
#include "stepd/skew.h"

static bool is_before(const char *kind, uint64_t us, const char *known_kind, uint64_t known_us)
{
    struct tug_cause c, known = {0};

    tug_cause_set(&c, kind, "n01", 1, NULL, "it failed");
    if (known_kind)
        tug_cause_set(&known, known_kind, "n02", 2, NULL, "it failed as well");
    return tug_cause_is_before(&c.pb, us, &known, known_us);
}

START_TEST(anything_is_named_when_nothing_is_known)
{
    ck_assert(is_before("rank", 5, NULL, 0));
}
END_TEST

START_TEST(of_two_ranks_the_first_is_named_whichever_is_heard_of_first)
{
    ck_assert(is_before("rank", 9, "rank", 10));
    ck_assert(!is_before("rank", 10, "rank", 10));
    ck_assert(!is_before("rank", 11, "rank", 10));
}
END_TEST

START_TEST(a_step_daemon_that_went_explains_what_ranks_did_just_before)
{
    ck_assert(is_before("node", 2000000, "rank", 0));
    ck_assert(!is_before("node", 4000000, "rank", 0));
    ck_assert(!is_before("rank", 0, "node", 2000000));
}
END_TEST

START_TEST(a_lost_link_explains_all_but_another_one)
{
    ck_assert(is_before("link", 17000000, "rank", 0));
    ck_assert(is_before("link", 17000000, "node", 0));
    ck_assert(!is_before("link", 0, "link", 1));
}
END_TEST

START_TEST(who_was_cancelled_did_not_fail)
{
    ck_assert(!is_before("rank", 0, "cancel", 1));
    ck_assert(!is_before("node", 1, "cancel", 1));
    ck_assert(!is_before("cancel", 0, "rank", 1));
}
END_TEST

/* A head whose clock is a day ahead: who fails 2 ms after another one there is second, whatever the wall clocks say. */
START_TEST(times_of_nodes_are_compared_by_the_heads_clock)
{
    const uint64_t day_us = 86400000000;
    struct tug_skew s = {0};

    ck_assert_uint_eq(tug_skew_head_us(&s, 1000), 0);
    tug_skew_take(&s, 1000, day_us + 1100, 1200); /* 100 us each way */
    ck_assert_uint_eq(tug_skew_head_us(&s, 5000), day_us + 5000);
}
END_TEST

START_TEST(the_quickest_answer_counts_until_clocks_may_have_drifted_apart)
{
    struct tug_skew s = {0};

    tug_skew_take(&s, 0, 1050, 100); /* ahead by 1000, give or take 50 */
    tug_skew_take(&s, 1000, 2900, 2000); /* a slow answer: 1400, give or take 500 */
    ck_assert_uint_eq(tug_skew_head_us(&s, 0), 1000);
    tug_skew_take(&s, 3000, 4020, 3020); /* a quicker one */
    ck_assert_uint_eq(tug_skew_head_us(&s, 0), 1010);
    tug_skew_take(&s, 10000000, 10001550, 10001000); /* 10 s later 500 us are good enough: 1 ms may be the drift */
    ck_assert_uint_eq(tug_skew_head_us(&s, 0), 1050);
}
END_TEST

UNIT_MAIN("stepd/cause", anything_is_named_when_nothing_is_known, of_two_ranks_the_first_is_named_whichever_is_heard_of_first,
          a_step_daemon_that_went_explains_what_ranks_did_just_before, a_lost_link_explains_all_but_another_one,
          who_was_cancelled_did_not_fail, times_of_nodes_are_compared_by_the_heads_clock,
          the_quickest_answer_counts_until_clocks_may_have_drifted_apart)
