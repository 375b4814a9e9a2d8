/* test_qssf.c - what is predicted from which history */
#include "unit.h"

#include "base/rand.h"
#include "plugins/plugworld.h"

/* A run that ended. */
static void ran(const char *user, const char *name, const char *queue, uint32_t gpus, int64_t s)
{
    const struct tug_policy_event e = {
        .type = TUG_POLICY_EV_END,
        .ok = 1,
        .job = {.user = user, .name = name, .queue = queue, .gpus = gpus, .ran_ms = s * 1000}};
    ck_assert_int_eq(plug_ops()->observe(plug_self(), plug_view(), &e, 1, sizeof e), 0);
}

/* Seconds for one GPU. */
static double predicted(const char *user, const char *name, const char *queue, uint32_t gpus)
{
    const struct tug_policy_job job = {
        .user = user, .name = name, .queue = queue, .gpus = gpus, .time_limit_ms = -1};
    return plug_ops()->key(plug_self(), plug_view(), &job) / gpus;
}

START_TEST(the_most_alike_of_a_users_runs_decide)
{
    plug_load("qssf", NULL);
    ran("ann", "train-1", "a", 8, 1000);
    ran("ann", "eval", "a", 1, 10);
    ran("ann", "train-2", "a", 1, 400);
    ck_assert_double_eq_tol(predicted("ann", "train-77", "a", 8), 1000, 1e-3);
    ck_assert_double_eq_tol(predicted("ann", "train-77", "a", 1), 400, 1e-3);
    ck_assert_double_eq_tol(predicted("ann", "train-77", "a", 4), 400, 1e-3); /* the last one */
    ck_assert_double_eq_tol(predicted("ann", "train-x", "a", 8), 1000, 1e-3); /* similar */
    ck_assert_double_eq_tol(predicted("ann", "eval", "a", 1), 10, 1e-3);
    plug_unload();
}
END_TEST

START_TEST(without_such_runs_the_user_then_the_queue_then_the_cluster_are_asked)
{
    plug_load("qssf", NULL);
    ck_assert_double_eq_tol(predicted("ann", "x", "a", 2), 3600, 1e-3); /* unknown: 1h */
    struct tug_policy_job limited = {
        .user = "ann", .queue = "a", .gpus = 2, .time_limit_ms = 60000};
    ck_assert_double_eq_tol(plug_ops()->key(plug_self(), plug_view(), &limited), 120, 1e-3);
    ran("bob", "y", "b", 1, 30);
    ck_assert_double_eq_tol(predicted("ann", "x", "a", 2), 30, 1e-3);
    ran("bob", "y", "a", 1, 50);
    ck_assert_double_eq_tol(predicted("ann", "x", "a", 2), 50, 1e-3);
    ck_assert_double_eq_tol(predicted("ann", "x", "c", 2), 40, 1e-3);
    ran("ann", "abc", "a", 1, 100);
    ran("ann", "def", "a", 1, 300);
    ck_assert_double_eq_tol(predicted("ann", "x", "a", 2), 200, 1e-3);
    plug_unload();
}
END_TEST

START_TEST(only_the_last_runs_count)
{
    plug_load("qssf", "runs", "3", NULL);
    for (int i = 1; i <= 40; i++) {
        ran("ann", "x", "a", 1, 100 * i);
        ck_assert_double_eq_tol(predicted("ann", "x", "a", 1),
                                i == 1   ? 100
                                : i == 2 ? 150
                                         : 100 * (i - 1),
                                1e-2);
    }
    plug_unload();
}
END_TEST

START_TEST(memory_is_bounded_and_who_was_idle_longest_is_forgotten)
{
    char user[16];
    plug_load("qssf", "users", "3", "names", "2", NULL);
    for (int i = 0; i < 3; i++) {
        snprintf(user, sizeof user, "u%d", i);
        ran(user, "x", "a", 1, 100 * (i + 1));
    }
    ran("u0", "x", "a", 1, 100);
    ran("u3", "x", "a", 1, 900); /* u1 goes */
    ck_assert_double_eq_tol(predicted("u0", "x", "a", 1), 100, 1e-3);
    ck_assert_double_eq_tol(predicted("u2", "x", "a", 1), 300, 1e-3);
    ck_assert_double_eq_tol(predicted("u1", "x", "a", 1), (100 + 200 + 300 + 100 + 900) / 5.0,
                            1e-3);
    ran("u0", "yy", "a", 1, 20);
    ran("u0", "zz", "a", 1, 60); /* x goes */
    ck_assert_double_eq_tol(predicted("u0", "yy", "a", 1), 20, 1e-3);
    ck_assert_double_eq_tol(predicted("u0", "x", "a", 1), (100 + 100 + 20 + 60) / 4.0, 1e-3);
    plug_unload();
}
END_TEST

START_TEST(random_histories_never_lose_a_user_that_is_remembered)
{
    struct tug_rand r = tug_rand_seed(unit_seed());
    int64_t last[64] = {0};
    char user[16];
    plug_load("qssf", "users", "64", "runs", "1", NULL);
    for (int i = 0; i < 20000; i++) {
        size_t u = tug_rand_below(&r, 64);
        last[u] = 1 + (int64_t) tug_rand_below(&r, 100000);
        snprintf(user, sizeof user, "user%zu", u);
        ran(user, "x", "a", 1, last[u]);
    }
    for (size_t u = 0; u < 64; u++) {
        snprintf(user, sizeof user, "user%zu", u);
        ck_assert_double_eq_tol(predicted(user, "x", "a", 1), (double) last[u], 1e-2);
    }
    plug_unload();
}
END_TEST

START_TEST(keys_are_asked_anew_when_a_job_has_ended_but_not_too_often)
{
    plug_load("qssf", NULL);
    const struct tug_policy_ops *ops = plug_ops();
    ck_assert_int_eq(ops->rekey(plug_self(), plug_view()), 0);
    ran("ann", "x", "a", 1, 10);
    ck_assert_int_eq(ops->rekey(plug_self(), plug_view()), 1);
    ran("ann", "x", "a", 1, 10);
    plug.now_ms = 59999;
    ck_assert_int_eq(ops->rekey(plug_self(), plug_view()), 0);
    plug.now_ms = 60000;
    ck_assert_int_eq(ops->rekey(plug_self(), plug_view()), 1);
    plug.now_ms = 200000;
    ck_assert_int_eq(ops->rekey(plug_self(), plug_view()), 0);
    plug_unload();
}
END_TEST

START_TEST(who_waited_too_long_goes_first_in_the_order_of_submission)
{
    plug_load("qssf", "max_wait", "1d", NULL);
    plug_cluster(1, 8);
    ran("ann", "long", "main", 8, 100000);
    ran("ann", "short", "main", 8, 1);
    struct plug_job *first = plug_submit("ann", 1, 8, 1000), *second;
    plug.now_ms = 1000;
    second = plug_submit("ann", 1, 8, 1000);
    first->row.name = second->row.name = "long";
    plug.now_ms = 86400000; /* a day, and no more */
    plug_submit("ann", 1, 8, 1000)->row.name = "short";
    plug_pass();
    ck_assert_str_eq(tug_buf_str(&plug.said), "start 3, ");
    plug.now_ms += 60000;
    plug_submit("ann", 1, 8, 1000)->row.name = "short";
    plug_end(&plug.jobs[2]);
    plug_pass();
    ck_assert_str_eq(tug_buf_str(&plug.said), "start 1, ");
    ck_assert_double_lt(first->row.key, second->row.key);
    ck_assert_double_lt(second->row.key, 0);
    plug_unload();
}
END_TEST

static const char *why(const char *user, const char *name, const char *queue, int64_t limit_ms)
{
    static char text[241];
    const struct tug_policy_job job = {
        .user = user, .name = name, .queue = queue, .gpus = 2, .time_limit_ms = limit_ms};
    ck_assert_int_eq(plug_ops()->why(plug_self(), plug_view(), &job, text, sizeof text), 0);
    return text;
}

START_TEST(whoever_asks_reads_what_is_predicted_and_from_what)
{
    plug_load("qssf", NULL);
    ck_assert_str_eq(why("ann", "x", "a", -1), "predicted to need 7200 GPU-seconds: 3600 s "
                                               "(nothing has ended yet) x 2 GPUs");
    ck_assert_str_eq(why("ann", "x", "a", 60000),
                     "predicted to need 120 GPU-seconds: 60 s (its time limit) x 2 GPUs");
    ran("bob", "y", "b", 1, 30);
    ck_assert(strstr(why("ann", "x", "b", -1), ": 30 s (the mean of all that ended in its queue)"));
    ck_assert(
        strstr(why("ann", "x", "a", -1), ": 30 s (the mean of all that ended in the cluster)"));
    ran("ann", "train-1", "a", 2, 10);
    ran("ann", "train-2", "a", 2, 20);
    ck_assert(strstr(why("ann", "train-3", "a", -1),
                     ": 15 s (the mean of ann's last 2 runs like 'train-#')"));
    ck_assert(strstr(why("ann", "zzz", "a", -1), ": 15 s (the mean of ann's last 2 runs)"));
    plug.now_ms = 40LL * 86400 * 1000;
    ck_assert_str_eq(why("ann", "zzz", "a", -1),
                     "has waited longer than max_wait (2592000 s) and goes before all others");
    plug_unload();
}
END_TEST

UNIT_MAIN("plugins/qssf", whoever_asks_reads_what_is_predicted_and_from_what,
          the_most_alike_of_a_users_runs_decide,
          without_such_runs_the_user_then_the_queue_then_the_cluster_are_asked,
          only_the_last_runs_count, memory_is_bounded_and_who_was_idle_longest_is_forgotten,
          random_histories_never_lose_a_user_that_is_remembered,
          keys_are_asked_anew_when_a_job_has_ended_but_not_too_often,
          who_waited_too_long_goes_first_in_the_order_of_submission)
