/* test_failures.c - nodes fail at random, the same way every time */
#include "unit.h"

#include "sim/failures.h"

START_TEST(every_failure_is_followed_by_its_repair)
{
    struct tug_failures *f = tug_failures_new(5, 100, 1000, 30, 1);
    int64_t failed_at[5] = {0}, last = 100;
    int fails;
    uint32_t away = 0;
    for (int i = 0; i < 1000; i++) {
        int64_t at = tug_failures_next(f);
        uint32_t node = tug_failures_take(f, &fails);
        ck_assert_uint_lt(node, 5);
        ck_assert_int_ge(at, last);
        ck_assert_int_eq(fails, failed_at[node] == 0);
        if (!fails)
            ck_assert_int_eq(at, failed_at[node] + 30);
        failed_at[node] = fails ? at : 0;
        away += fails ? 1 : -1U;
        ck_assert_uint_eq(tug_failures_away(f), away);
        last = at;
    }
    tug_failures_free(f);
}
END_TEST

START_TEST(the_mean_time_between_failures_is_what_was_asked_for)
{
    struct tug_failures *f = tug_failures_new(1, 0, 100000, 1, 3);
    int fails, n = 20000;
    for (int i = 0; i < 2 * n; i++)
        tug_failures_take(f, &fails);
    ck_assert_double_eq_tol((double) tug_failures_next(f) / n, 100000, 3000);
    tug_failures_free(f);
}
END_TEST

START_TEST(what_happens_to_a_node_does_not_depend_on_how_many_there_are)
{
    struct tug_failures *one = tug_failures_new(1, 0, 1000, 10, 9),
                        *many = tug_failures_new(50, 0, 1000, 10, 9);
    int fails;
    for (int i = 0; i < 20; i++) {
        int64_t at = tug_failures_next(one);
        tug_failures_take(one, &fails);
        while (tug_failures_next(many) < at)
            ck_assert_uint_ne(tug_failures_take(many, &fails), 0);
        ck_assert_int_eq(tug_failures_next(many), at);
        ck_assert_uint_eq(tug_failures_take(many, &fails), 0);
    }
    tug_failures_free(one);
    tug_failures_free(many);
}
END_TEST

UNIT_MAIN("sim/failures", every_failure_is_followed_by_its_repair,
          the_mean_time_between_failures_is_what_was_asked_for,
          what_happens_to_a_node_does_not_depend_on_how_many_there_are)
