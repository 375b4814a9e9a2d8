/* test_drf.c - dominant resource fairness, held against progressive filling by hand */
#include <math.h>

#include "unit.h"

#include "base/rand.h"
#include "plugins/plugworld.h"

#define USERS_MAX 5

/* Equal users below the root. */
static void users(uint32_t n)
{
    plug.n_shares = n + 1;
    plug.shares[0] = (struct tug_policy_share){.name = "root", .parent = UINT32_MAX, .share = 1};
    for (uint32_t i = 1; i <= n; i++)
        plug.shares[i] = (struct tug_policy_share){
            .name = "u", .parent = 0, .is_user = 1, .weight = 1, .share = 1.0 / n};
}

static struct plug_job *task(uint32_t user, uint32_t gpus, uint32_t cpus)
{
    struct plug_job *j = plug_submit("u", 1, gpus, 1000);
    j->row.share_row = user;
    j->row.cpus_per_node = j->row.cpus_last = cpus;
    return j;
}

static void count(uint32_t n[USERS_MAX + 1])
{
    memset(n, 0, (USERS_MAX + 1) * sizeof *n);
    for (size_t i = 0; i < plug.n_jobs; i++)
        n[plug.jobs[i].row.share_row] += plug.jobs[i].state == PLUG_RUNS;
}

/* NSDI'11, figure 3, with CPUs and GPUs for CPUs and GB: A gets 3 tasks and B 2. */
START_TEST(the_example_of_the_paper)
{
    uint32_t n[USERS_MAX + 1];
    plug_load("drf", NULL);
    plug_cluster(1, 18);
    plug.nodes[0].cpus = plug.nodes[0].cpus_free = 9;
    users(2);
    for (int i = 0; i < 10; i++) {
        task(1, 4, 1);
        task(2, 1, 3);
    }
    plug_pass();
    count(n);
    ck_assert_uint_eq(n[1], 3);
    ck_assert_uint_eq(n[2], 2);
    plug_unload();
}
END_TEST

/* One node and tasks of one kind for each user: the allocation is that of progressive filling. */
START_TEST(tasks_are_handed_out_as_progressive_filling_does)
{
    struct tug_rand r = tug_rand_seed(unit_seed());
    for (int round = 0; round < unit_rounds(200); round++) {
        uint32_t k = 2 + (uint32_t) tug_rand_below(&r, USERS_MAX - 1), n[USERS_MAX + 1];
        uint32_t gpus[USERS_MAX], cpus[USERS_MAX], has[USERS_MAX] = {0};
        uint32_t all_gpus = 8 + (uint32_t) tug_rand_below(&r, 40),
                 all_cpus = 8 + (uint32_t) tug_rand_below(&r, 100);
        plug_load("drf", "blocked", "hold", NULL);
        plug_cluster(1, all_gpus);
        plug.nodes[0].cpus = plug.nodes[0].cpus_free = all_cpus;
        users(k);
        for (uint32_t u = 0; u < k; u++) {
            gpus[u] = 1 + (uint32_t) tug_rand_below(&r, 6);
            cpus[u] = 1 + (uint32_t) tug_rand_below(&r, 12);
            for (int i = 0; i < 50; i++)
                task(u + 1, gpus[u], cpus[u]);
        }
        uint32_t free_gpus = all_gpus, free_cpus = all_cpus;
        for (int held[USERS_MAX] = {0};;) {
            uint32_t best = k;
            double least = INFINITY;
            for (uint32_t u = 0; u < k; u++) {
                double part = fmax((double) has[u] * gpus[u] / all_gpus,
                                   (double) has[u] * cpus[u] / all_cpus);
                if (!held[u] && has[u] < 50 && part < least - 1e-12) {
                    least = part;
                    best = u;
                }
            }
            if (best == k)
                break;
            if (gpus[best] > free_gpus || cpus[best] > free_cpus) {
                held[best] = 1;
                continue;
            }
            free_gpus -= gpus[best];
            free_cpus -= cpus[best];
            has[best]++;
        }
        plug_pass();
        count(n);
        for (uint32_t u = 0; u < k; u++)
            ck_assert_uint_eq(n[u + 1], has[u]);
        plug_unload();
    }
}
END_TEST

START_TEST(nobody_gets_less_than_an_equal_part_but_for_one_gang)
{
    struct tug_rand r = tug_rand_seed(unit_seed());
    for (int round = 0; round < unit_rounds(100); round++) {
        uint32_t k = 2 + (uint32_t) tug_rand_below(&r, USERS_MAX - 1), has[USERS_MAX + 1] = {0};
        plug_load("drf", "blocked", "skip", NULL);
        plug_cluster(16, 8);
        users(k);
        for (int i = 0; i < 400; i++)
            task(1 + (uint32_t) tug_rand_below(&r, k), 1u << tug_rand_below(&r, 4), 1);
        plug_pass();
        for (size_t i = 0; i < plug.n_jobs; i++)
            if (plug.jobs[i].state == PLUG_RUNS)
                has[plug.jobs[i].row.share_row] += plug.jobs[i].row.gpus;
        for (uint32_t u = 1; u <= k; u++)
            ck_assert_uint_ge(has[u] + 8, 128 / k);
        plug_unload();
    }
}
END_TEST

START_TEST(who_has_a_larger_share_of_the_tree_gets_more)
{
    uint32_t n[USERS_MAX + 1];
    plug_load("drf", NULL);
    plug_cluster(1, 40);
    users(2);
    plug.shares[1].share = 0.75;
    plug.shares[2].share = 0.25;
    for (int i = 0; i < 80; i++)
        task(1 + (uint32_t) i % 2, 1, 1);
    plug_pass();
    count(n);
    ck_assert_uint_eq(n[1], 30);
    ck_assert_uint_eq(n[2], 10);
    plug_unload();
}
END_TEST

START_TEST(what_runs_counts_and_accounts_are_those_of_their_users)
{
    uint32_t n[USERS_MAX + 1];
    plug_load("drf", "over", "account", NULL);
    plug_cluster(1, 12);
    plug.n_shares = 5;
    for (uint32_t i = 0; i < 5; i++) /* accounts 1 and 2, users 3 below 1, 4 below 2 */
        plug.shares[i] = (struct tug_policy_share){.parent = i == 0  ? UINT32_MAX
                                                             : i < 3 ? 0
                                                                     : i - 2,
                                                   .share = i == 1 || i == 2 ? 0.5 : 1};
    for (int i = 0; i < 4; i++)
        task(3, 1, 1);
    plug_pass();
    for (int i = 0; i < 20; i++)
        task(3 + (uint32_t) i % 2, 1, 1);
    plug_pass();
    count(n);
    ck_assert_uint_eq(n[3], 6);
    ck_assert_uint_eq(n[4], 6);
    plug_unload();
}
END_TEST

static struct plug_job *queued(uint32_t queue, uint32_t gpus)
{
    struct plug_job *j = plug_submit("u", 1, gpus, 1000);
    j->row.queue_row = queue;
    return j;
}

static void queue(uint32_t row, uint32_t parent, double weight, uint32_t guarantee, int is_leaf)
{
    plug.queues[row] = (struct tug_policy_queue){.parent = parent,
                                                 .weight = weight,
                                                 .guarantee_gpus = guarantee,
                                                 .cap_gpus = UINT32_MAX,
                                                 .is_leaf = (uint32_t) is_leaf};
    if (row >= plug.n_queues)
        plug.n_queues = row + 1;
}

static uint32_t in_queue(uint32_t row)
{
    uint32_t n = 0;
    for (size_t i = 0; i < plug.n_jobs; i++)
        n += plug.jobs[i].state == PLUG_RUNS && plug.jobs[i].row.queue_row == row;
    return n;
}

START_TEST(queues_get_by_weight_and_what_one_does_not_want_is_for_the_others)
{
    plug_load("drf", "over", "queue", NULL);
    plug_cluster(1, 40);
    queue(0, UINT32_MAX, 1, 0, 1);
    queue(1, UINT32_MAX, 2, 0, 1);
    queue(2, UINT32_MAX, 1, 0, 1);
    for (int i = 0; i < 40; i++) {
        queued(0, 1);
        queued(1, 1);
    }
    for (int i = 0; i < 4; i++)
        queued(2, 1);
    plug_pass();
    ck_assert_uint_eq(in_queue(2), 4);
    ck_assert_uint_eq(in_queue(0), 12);
    ck_assert_uint_eq(in_queue(1), 24);
    plug_unload();
}
END_TEST

START_TEST(a_guarantee_comes_before_weights_and_children_share_what_is_their_parents)
{
    plug_load("drf", "over", "queue", NULL);
    plug_cluster(1, 40);
    queue(0, UINT32_MAX, 1, 0, 0);
    queue(1, UINT32_MAX, 1, 30, 1);
    queue(2, 0, 1, 0, 1);
    queue(3, 0, 4, 0, 1);
    for (int i = 0; i < 40; i++)
        for (uint32_t q = 1; q < 4; q++)
            queued(q, 1);
    plug_pass();
    ck_assert_uint_eq(in_queue(1), 30);
    ck_assert_uint_eq(in_queue(2), 2);
    ck_assert_uint_eq(in_queue(3), 8);
    plug_unload();
}
END_TEST

START_TEST(a_blocked_job_reserves_and_others_go_past_it_if_they_do_not_delay_it)
{
    plug_load("drf", NULL);
    plug_cluster(2, 8);
    users(2);
    task(1, 8, 8);
    plug_pass();
    struct plug_job *wide = plug_submit("u", 2, 8, 1000);
    wide->row.share_row = 2;
    task(2, 1, 1);
    plug.delays = 3;
    task(1, 1, 1);
    plug_pass();
    ck_assert_str_eq(tug_buf_str(&plug.said), "reserve 2, start 4, ");
    plug_unload();
}
END_TEST

START_TEST(a_blocked_job_is_passed_or_holds_up_its_users_others)
{
    for (int hold = 0; hold < 2; hold++) {
        plug_load("drf", "blocked", hold ? "hold" : "skip", NULL);
        plug_cluster(2, 8);
        users(2);
        task(1, 8, 8);
        plug_pass();
        struct plug_job *wide = plug_submit("u", 2, 8, 1000);
        wide->row.share_row = 2;
        task(2, 1, 1);
        task(1, 1, 1);
        plug_pass();
        ck_assert_str_eq(tug_buf_str(&plug.said), hold ? "start 4, " : "start 3, start 4, ");
        plug_unload();
    }
}
END_TEST

START_TEST(a_higher_tier_goes_first_and_a_user_reads_what_is_due_to_him)
{
    plug_load("drf", NULL);
    plug_cluster(1, 8);
    users(2);
    task(1, 8, 8);
    task(2, 8, 8)->row.tier = 1;
    plug_pass();
    ck_assert_str_eq(tug_buf_str(&plug.said), "start 2, reserve 1, ");
    ck_assert_uint_eq(plug.explained, 1);
    ck_assert_str_eq(plug.text,
                     "does not fit now; its user has 0.0 % of the cluster, 50.0 % is due");
    plug_unload();
}
END_TEST

START_TEST(words_that_it_does_not_know_are_refused)
{
    plug_load_fails("drf", "over", "team", "'team' is neither queue nor account nor user");
    plug_load_fails("drf", "blocked", "no", "'no' is neither reserve nor skip nor hold");
}
END_TEST

START_TEST(whoever_asks_reads_what_the_user_has_and_is_due)
{
    char text[241];
    plug_load("drf", NULL);
    plug_cluster(1, 8);
    users(2);
    task(1, 4, 1);
    task(1, 4, 1);
    plug_pass();
    task(2, 8, 1);
    task(1, 8, 1);
    struct plug_job *j = task(1, 8, 1);
    ck_assert_int_eq(plug_ops()->why(plug_self(), plug_view(), &j->row, text, sizeof text), 0);
    ck_assert_str_eq(text, "its user has 100.0 % of the cluster and 50.0 % is due: place 2 of 2, "
                           "and 1 of its jobs goes first");
    plug_unload();
}
END_TEST

UNIT_MAIN("plugins/drf", whoever_asks_reads_what_the_user_has_and_is_due, the_example_of_the_paper,
          tasks_are_handed_out_as_progressive_filling_does,
          nobody_gets_less_than_an_equal_part_but_for_one_gang,
          who_has_a_larger_share_of_the_tree_gets_more,
          what_runs_counts_and_accounts_are_those_of_their_users,
          queues_get_by_weight_and_what_one_does_not_want_is_for_the_others,
          a_guarantee_comes_before_weights_and_children_share_what_is_their_parents,
          a_blocked_job_reserves_and_others_go_past_it_if_they_do_not_delay_it,
          a_blocked_job_is_passed_or_holds_up_its_users_others,
          a_higher_tier_goes_first_and_a_user_reads_what_is_due_to_him,
          words_that_it_does_not_know_are_refused)
