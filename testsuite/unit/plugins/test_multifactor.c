/* test_multifactor.c - priorities, term by term, and the order that comes of them */
#include <errno.h>
#include <time.h>

#include "unit.h"

#include "plugins/plugworld.h"

#define DAY_MS 86400000LL

static double priority(const struct plug_job *j)
{
    const struct tug_policy_view *v = plug_view();
    plug_ops()->rekey(plug_self(), v);
    return -plug_ops()->key(plug_self(), v, &j->row);
}

/* Only this term counts, with weight 100. */
static void only(const char *weight)
{
    static const char *const all[] = {"weight_age", "weight_fairshare", "weight_queue",
                                      "weight_nice"};
    const char *w[4];
    for (size_t i = 0; i < 4; i++)
        w[i] = strcmp(all[i], weight) ? "0" : "100";
    plug_load("multifactor", all[0], w[0], all[1], w[1], all[2], w[2], all[3], w[3], NULL);
    plug_cluster(4, 8);
    plug.now_ms = 100 * DAY_MS;
}

START_TEST(age_grows_with_the_wait_up_to_max_age)
{
    only("weight_age");
    struct plug_job *j = plug_submit("ann", 1, 1, 1000);
    ck_assert_double_eq_tol(priority(j), 0, 1e-9);
    plug.now_ms += DAY_MS;
    ck_assert_double_eq_tol(priority(j), 100 / 7.0, 1e-9);
    plug.now_ms += 6 * DAY_MS;
    ck_assert_double_eq_tol(priority(j), 100, 1e-9);
    plug.now_ms += 20 * DAY_MS;
    ck_assert_double_eq_tol(priority(j), 100, 1e-9);
    j->row.eligible_ms = plug.now_ms - 7 * DAY_MS / 2; /* it might not begin before */
    ck_assert_double_eq_tol(priority(j), 50, 1e-9);
    plug_unload();
}
END_TEST

START_TEST(fair_share_is_the_factor_of_the_users_row)
{
    only("weight_fairshare");
    struct plug_job *j = plug_submit("ann", 1, 1, 1000);
    ck_assert_double_eq_tol(priority(j), 0, 1e-9); /* nobody that the tree knows */
    plug.n_shares = 2;
    plug.shares[1].factor = 0.25;
    j->row.share_row = 1;
    ck_assert_double_eq_tol(priority(j), 25, 1e-9);
    plug_unload();
}
END_TEST

START_TEST(the_size_factor_is_the_mean_of_the_parts_of_nodes_and_gpus)
{
    plug_load("multifactor", "weight_size", "100", "weight_age", "0", NULL);
    plug_cluster(4, 8);
    struct plug_job *j = plug_submit("ann", 2, 4, 1000);
    ck_assert_double_eq_tol(priority(j), 100 * (2.0 / 4 + 8.0 / 32) / 2, 1e-9);
    plug_unload();
    plug_load("multifactor", "weight_size", "100", "weight_age", "0", "favor", "small", NULL);
    plug_cluster(4, 8);
    j = plug_submit("ann", 2, 4, 1000);
    ck_assert_double_eq_tol(priority(j), 100 - 100 * (2.0 / 4 + 8.0 / 32) / 2, 1e-9);
    plug_unload();
    plug_load("multifactor", "weight_size", "100", "weight_age", "0", "favor", "neutral", NULL);
    plug_cluster(4, 8);
    j = plug_submit("ann", 2, 4, 1000);
    ck_assert_double_eq_tol(priority(j), 0, 1e-9);
    plug_unload();
}
END_TEST

START_TEST(the_queue_factor_goes_from_the_lowest_to_the_highest_priority)
{
    only("weight_queue");
    struct plug_job *j = plug_submit("ann", 1, 1, 1000);
    plug.n_queues = 3;
    plug.queues[0].priority = -10;
    plug.queues[1].priority = 10;
    plug.queues[2].priority = 0;
    ck_assert_double_eq_tol(priority(j), 0, 1e-9);
    j->row.queue_row = 1;
    plug.now_ms += 60000;
    ck_assert_double_eq_tol(priority(j), 100, 1e-9);
    j->row.queue_row = 2;
    ck_assert_double_eq_tol(priority(j), 50, 1e-9);
    plug_unload();
}
END_TEST

START_TEST(nice_takes_away)
{
    only("weight_nice");
    struct plug_job *j = plug_submit("ann", 1, 1, 1000);
    j->row.nice = 3;
    ck_assert_double_eq_tol(priority(j), -300, 1e-9);
    plug_unload();
}
END_TEST

START_TEST(a_job_that_came_later_is_compared_with_what_the_others_were_then)
{
    plug_load("multifactor", "weight_age", "1000000", NULL);
    plug_cluster(1, 8);
    struct plug_job *old = plug_submit("ann", 1, 8, 1000);
    plug_pass();
    plug.now_ms += 59999; /* not yet calculated anew */
    struct plug_job *new = plug_submit("ann", 1, 8, 1000);
    plug_pass();
    ck_assert_double_lt(old->row.key, new->row.key);
    plug_unload();
}
END_TEST

START_TEST(keys_are_asked_anew_once_a_period_and_when_the_configuration_changes)
{
    plug_load("multifactor", NULL);
    plug_cluster(1, 8);
    const struct tug_policy_ops *ops = plug_ops();
    const struct tug_policy_event conf = {.type = TUG_POLICY_EV_CONFIG},
                                  start = {.type = TUG_POLICY_EV_START};
    ck_assert_int_eq(ops->rekey(plug_self(), plug_view()), 1);
    plug.now_ms = 59999;
    ck_assert_int_eq(ops->rekey(plug_self(), plug_view()), 0);
    plug.now_ms = 60000;
    ck_assert_int_eq(ops->rekey(plug_self(), plug_view()), 1);
    ops->observe(plug_self(), plug_view(), &start, 1, sizeof start);
    ck_assert_int_eq(ops->rekey(plug_self(), plug_view()), 0);
    ops->observe(plug_self(), plug_view(), &conf, 1, sizeof conf);
    ck_assert_int_eq(ops->rekey(plug_self(), plug_view()), 1);
    plug_unload();
}
END_TEST

START_TEST(a_hundred_thousand_keys_take_milliseconds)
{
    struct timespec from, to;
    plug_load("multifactor", "weight_size", "1000", NULL);
    plug_cluster(4, 8);
    plug.n_queues = 3;
    plug.n_shares = 10;
    struct plug_job *j = plug_submit("ann", 1, 1, 1000);
    const struct tug_policy_view *v = plug_view();
    double sum = 0;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    for (int i = 0; i < 100000; i++) {
        j->row.share_row = (uint32_t) i % 10;
        sum += plug_ops()->key(plug_self(), v, &j->row);
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
    double ms =
        (double) (to.tv_sec - from.tv_sec) * 1e3 + (double) (to.tv_nsec - from.tv_nsec) / 1e6;
    printf("# %.2f ms, sum %g\n", ms, sum);
    ck_assert_double_lt(ms, 100); /* 3 ms on a quiet machine; sanitizers are slow */
    plug_unload();
}
END_TEST

START_TEST(whoever_asks_reads_the_terms_that_count)
{
    char text[241];
    plug_load("multifactor", "weight_age", "700", "weight_nice", "10", NULL);
    plug_cluster(4, 8);
    plug.now_ms = 100 * DAY_MS;
    struct plug_job *j = plug_submit("ann", 1, 1, 1000);
    ck_assert_int_eq(plug_ops()->why(plug_self(), plug_view(), &j->row, text, sizeof text),
                     -EAGAIN); /* no key was asked for */
    plug.n_shares = 4;
    for (int i = 1; i < 4; i++) {
        plug.shares[i].is_user = 1;
        plug.shares[i].factor = i / 3.0;
    }
    j->row.share_row = 2;
    plug.now_ms += DAY_MS;
    double p = priority(j);
    plug.now_ms += DAY_MS; /* keys are of the day before, and so is the age */
    ck_assert_int_eq(plug_ops()->why(plug_self(), plug_view(), &j->row, text, sizeof text), 0);
    ck_assert_str_eq(text, "priority 6767: age 100 + fair share 6667 (rank 2 of 3) + queue 0");
    ck_assert_double_eq_tol(p, 6766.6667, 0.001);
    j->row.nice = 20;
    j->row.share_row = UINT32_MAX;
    plug_ops()->why(plug_self(), plug_view(), &j->row, text, sizeof text);
    ck_assert_str_eq(text, "priority -100: age 100 + fair share 0 + queue 0 - nice 200");
    j->row.submit_ms = j->row.eligible_ms = plug.now_ms + DAY_MS; /* came since, as it were */
    plug_ops()->why(plug_self(), plug_view(), &j->row, text, sizeof text);
    ck_assert_ptr_nonnull(strstr(text, ": age -200 + fair share 0 + queue 0 - nice 200"));
    plug_unload();
}
END_TEST

START_TEST(what_it_cannot_read_is_refused)
{
    plug_load_fails("multifactor", "favor", "huge", "is neither large nor small nor neutral");
    plug_load_fails("multifactor", "weight_age", "-1", "weight_age");
    plug_load_fails("multifactor", "max_age", "0s", "max_age");
}
END_TEST

UNIT_MAIN("plugins/multifactor", whoever_asks_reads_the_terms_that_count,
          age_grows_with_the_wait_up_to_max_age, fair_share_is_the_factor_of_the_users_row,
          the_size_factor_is_the_mean_of_the_parts_of_nodes_and_gpus,
          the_queue_factor_goes_from_the_lowest_to_the_highest_priority, nice_takes_away,
          a_job_that_came_later_is_compared_with_what_the_others_were_then,
          keys_are_asked_anew_once_a_period_and_when_the_configuration_changes,
          a_hundred_thousand_keys_take_milliseconds, what_it_cannot_read_is_refused)
