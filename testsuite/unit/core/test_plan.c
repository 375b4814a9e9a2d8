/* test_plan.c - what a policy is told of the future, and what it may book there */
#include <errno.h>

#include "core/world.h"
#include "tugline/policy.h"

static struct world w;
static int (*script)(const struct tug_policy_view *v, const struct tug_policy_host *h,
                     struct tug_policy_pass *p);

static int scripted_pass(void *self, const struct tug_policy_view *v,
                         const struct tug_policy_host *h, struct tug_policy_pass *p)
{
    (void) self;
    return script(v, h, p);
}
static const struct tug_policy_ops scripted = {
    .size = sizeof scripted, .abi = TUG_POLICY_ABI, .name = "scripted", .pass = scripted_pass};

static struct tug_job_req req(uint32_t nodes, uint32_t gpus, uint32_t limit_s)
{
    struct tug_job_req r = w_req(nodes, gpus);
    r.time_limit_s = limit_s;
    return r;
}

static void setup(uint32_t nodes)
{
    w_init(&w, nodes, 8);
    w_open(&w);
    w_up_all(&w);
}

static void pass(int (*s)(const struct tug_policy_view *, const struct tug_policy_host *,
                          struct tug_policy_pass *))
{
    script = s;
    ck_assert_msg(w_pass_with(&w, &scripted, NULL) >= 0, "%s", w.err.msg);
}

static uint32_t node_of(tug_job_id job)
{
    return w_job(&w, job)->slices[0].node;
}

static int reserves_the_wide_one(const struct tug_policy_view *v, const struct tug_policy_host *h,
                                 struct tug_policy_pass *p)
{
    int64_t at_ms = -1;
    ck_assert_int_eq(h->expected_end(p, 1), v->now_ms + 100000);
    ck_assert_int_eq(h->expected_end(p, 2), -1);
    ck_assert_int_eq(h->earliest(p, 2, &at_ms), 0);
    ck_assert_int_eq(at_ms, v->now_ms + 100000);
    ck_assert_int_eq(h->reserve(p, 2, &at_ms), 0);
    ck_assert_int_eq(at_ms, v->now_ms + 100000);
    ck_assert_int_eq(h->backfill(p, 3), -EBUSY); /* too long */
    ck_assert_int_eq(h->backfill(p, 4), 0);      /* over by then */
    ck_assert_int_eq(h->backfill(p, 5), -EAGAIN);
    ck_assert_int_eq(h->reserve(p, 5, &at_ms), 0);
    ck_assert_int_eq(at_ms, v->now_ms + 110000); /* behind the wide one */
    return 0;
}

START_TEST(a_job_is_let_past_a_reservation_only_when_it_is_over_by_then)
{
    setup(2);
    w_submit(&w, 1, req(1, 8, 100));
    w_pass(&w);
    w_submit(&w, 2, req(2, 8, 10));
    w_submit(&w, 3, req(1, 8, 101));
    w_submit(&w, 4, req(1, 8, 100));
    w_submit(&w, 5, req(1, 1, 1000));
    pass(reserves_the_wide_one);
    w_is(&w, 4, CONFIGURING);
    ck_assert_int_eq(tug_core_expected_start(w.c, w_job(&w, 2)), w.now + 100000);
    ck_assert_int_eq(tug_core_expected_start(w.c, w_job(&w, 5)), w.now + 110000);
    ck_assert_int_eq(tug_core_expected_start(w.c, w_job(&w, 3)), -1);
    w_clear(&w);
}
END_TEST

static int lets_past(const struct tug_policy_view *v, const struct tug_policy_host *h,
                     struct tug_policy_pass *p)
{
    int64_t at_ms;
    ck_assert_int_eq(h->reserve(p, 3, &at_ms), 0);
    ck_assert_int_eq(at_ms, v->now_ms + 50000);
    ck_assert_int_eq(h->backfill(p, 4), 0);
    ck_assert_int_eq(h->backfill(p, 5), -EBUSY);
    return 0;
}

START_TEST(a_job_goes_elsewhere_than_it_would_where_that_delays_nobody)
{
    setup(3);
    struct tug_job_req first = req(1, 4, 50);
    first.nodelist = "n0";
    w_submit(&w, 1, first);
    first.nodelist = "n1";
    first.time_limit_s = 500;
    w_submit(&w, 2, first);
    w_pass(&w);
    struct tug_job_req head = req(2, 8, 10);
    head.exclude = "n1";
    w_submit(&w, 3, head);
    w_submit(&w, 4, req(1, 4, 1000));
    w_submit(&w, 5, req(1, 4, 1000));
    pass(lets_past);
    ck_assert_uint_eq(node_of(4), 1); /* n0 was first, but is kept */
    w_clear(&w);
}
END_TEST

static int nobody_knows(const struct tug_policy_view *v, const struct tug_policy_host *h,
                        struct tug_policy_pass *p)
{
    int64_t at_ms = 0;
    ck_assert_int_eq(h->expected_end(p, 1), INT64_MAX);
    ck_assert_int_eq(h->earliest(p, 2, &at_ms), -ENOSPC);
    ck_assert_int_eq(h->reserve(p, 2, &at_ms), -ENOSPC);
    ck_assert_int_eq(at_ms, INT64_MAX);
    ck_assert_int_eq(h->backfill(p, 3), -EBUSY); /* may never end */
    ck_assert_int_eq(h->backfill(p, 4), 0);
    (void) v;
    return 0;
}

START_TEST(a_run_whose_end_nobody_knows_blocks_forever_and_does_not_pass_a_job_that_waits_for_one)
{
    setup(2);
    w_submit(&w, 1, req(1, 8, 0));
    w_pass(&w);
    w_submit(&w, 2, req(2, 8, 10));
    w_submit(&w, 3, req(1, 8, 0));
    w_submit(&w, 4, req(1, 8, 100000));
    pass(nobody_knows);
    w_clear(&w);
}
END_TEST

static int no_further_than_told(const struct tug_policy_view *v, const struct tug_policy_host *h,
                                struct tug_policy_pass *p)
{
    int64_t at_ms;
    ck_assert_int_eq(h->horizon(p, 50000, 0), 0);
    ck_assert_int_eq(h->reserve(p, 2, &at_ms), -ENOSPC);
    ck_assert_int_eq(h->reserve(p, 3, &at_ms), 0);
    ck_assert_int_eq(at_ms, v->now_ms);
    ck_assert_int_eq(h->horizon(p, 50000, 0), -EINVAL);
    return 0;
}

START_TEST(the_horizon_bounds_starts_and_is_set_before_the_first_reservation)
{
    setup(2);
    w_submit(&w, 1, req(1, 8, 51));
    w_pass(&w);
    w_submit(&w, 2, req(2, 8, 10));
    w_submit(&w, 3, req(1, 8, 1000));
    pass(no_further_than_told);
    ck_assert_uint_eq(w.stats.refused, 1);
    w_clear(&w);
}
END_TEST

static int overdue(const struct tug_policy_view *v, const struct tug_policy_host *h,
                   struct tug_policy_pass *p)
{
    int64_t at_ms;
    ck_assert_int_eq(h->expected_end(p, 1), v->now_ms + 1000);
    ck_assert_int_eq(h->reserve(p, 2, &at_ms), 0);
    ck_assert_int_eq(at_ms, v->now_ms + 1000);
    return 0;
}

START_TEST(a_run_that_should_have_ended_is_expected_to_end_in_a_second)
{
    setup(1);
    struct tug_job_req r = req(1, 8, 0);
    r.expected_ms = 5000;
    w_submit(&w, 1, r);
    w_pass(&w);
    w.now += 60000;
    w_submit(&w, 2, req(1, 8, 10));
    pass(overdue);
    w_clear(&w);
}
END_TEST

static int whole_nodes(const struct tug_policy_view *v, const struct tug_policy_host *h,
                       struct tug_policy_pass *p)
{
    int64_t at_ms;
    ck_assert_int_eq(h->reserve(p, 2, &at_ms), 0);
    ck_assert_int_eq(at_ms, v->now_ms + 30000);
    ck_assert_int_eq(h->reserve(p, 3, &at_ms), 0);
    ck_assert_int_eq(at_ms, v->now_ms + 40000);
    return 0;
}

START_TEST(an_exclusive_job_waits_until_nobody_is_there_and_keeps_all_away)
{
    setup(1);
    w_submit(&w, 1, req(1, 1, 30));
    w_pass(&w);
    struct tug_job_req r = req(1, 1, 10);
    r.exclusive = 1;
    w_submit(&w, 2, r);
    w_submit(&w, 3, req(1, 1, 100));
    pass(whole_nodes);
    w_clear(&w);
}
END_TEST

static int leaves_out(const struct tug_policy_view *v, const struct tug_policy_host *h,
                      struct tug_policy_pass *p)
{
    int64_t at_ms;
    ck_assert_uint_eq(h->next(p, 0), 0);
    ck_assert_int_eq(h->start(p, 2), -EAGAIN);
    ck_assert_int_eq(h->reserve(p, 2, &at_ms), 0);
    ck_assert_uint_eq(h->next(p, 0), 2);         /* 3 is as wide as 2 */
    ck_assert_int_eq(h->backfill(p, 4), -EBUSY); /* too long */
    ck_assert_uint_eq(h->next(p, 2), 4);         /* 5 is longer still, 6 is not */
    ck_assert_int_eq(h->backfill(p, 6), 0);
    ck_assert_uint_eq(h->next(p, 4), 5); /* needs less of a node */
    ck_assert_int_eq(h->backfill(p, 7), -EAGAIN);
    ck_assert_uint_eq(h->next(p, 0), v->n_waiting);
    return 0;
}

static const char *why(tug_job_id job)
{
    static char text[300];
    int reason;
    return tug_core_explain(w.c, w_job(&w, job), &reason, text, sizeof text);
}

START_TEST(jobs_that_cannot_start_as_others_could_not_are_left_out_and_still_explained)
{
    setup(2);
    w_submit(&w, 1, req(1, 8, 100));
    w_pass(&w);
    w_submit(&w, 2, req(2, 8, 10));
    w_submit(&w, 3, req(2, 8, 10));
    w_submit(&w, 4, req(1, 8, 101));
    w_submit(&w, 5, req(1, 8, 200));
    w_submit(&w, 6, req(1, 8, 50));
    w_submit(&w, 7, req(1, 1, 50));
    pass(leaves_out);
    ck_assert_str_eq(why(2),
                     "needs 2 nodes with 8 GPUs and 1 CPU free on each; 0 have that now; is "
                     "expected to start at 1970-01-01T00:18:20Z");
    ck_assert_str_eq(why(3), "needs 2 nodes with 8 GPUs and 1 CPU free on each; 0 have that now");
    ck_assert_str_eq(why(5), "would delay job 2, which starts at 1970-01-01T00:18:20Z");
    w_clear(&w);
}
END_TEST

static int only_delays(const struct tug_policy_view *v, const struct tug_policy_host *h,
                       struct tug_policy_pass *p)
{
    int64_t at_ms;
    ck_assert_int_eq(h->reserve(p, 2, &at_ms), 0);
    ck_assert_int_eq(h->backfill(p, 3), -EBUSY);
    ck_assert_uint_eq(h->next(p, 1), v->n_waiting);
    return 0;
}

START_TEST(a_job_left_out_is_told_whom_it_would_delay)
{
    setup(2);
    w_submit(&w, 1, req(1, 8, 100));
    w_pass(&w);
    w_submit(&w, 2, req(2, 8, 10));
    w_submit(&w, 3, req(1, 8, 101));
    w_submit(&w, 4, req(1, 8, 200));
    pass(only_delays);
    ck_assert_str_eq(why(4), "would delay job 2, which starts at 1970-01-01T00:18:20Z");
    w_clear(&w);
}
END_TEST

static int shares_until(const struct tug_policy_view *v, const struct tug_policy_host *h,
                        struct tug_policy_pass *p)
{
    int64_t at_ms;
    ck_assert_int_eq(h->reserve(p, 3, &at_ms), 0);
    ck_assert_int_eq(at_ms, v->now_ms + 100000);
    ck_assert_int_eq(h->backfill(p, 4), 0);      /* the GPU is in parts for longer */
    ck_assert_int_eq(h->backfill(p, 5), -EBUSY); /* it would be for too long */
    ck_assert_int_eq(h->backfill(p, 6), 0);      /* likewise, when the plan knows of 4 */
    ck_assert_int_eq(h->reserve(p, 7, &at_ms), 0);
    ck_assert_int_eq(at_ms, v->now_ms + 110000);
    return 0;
}

START_TEST(a_gpu_in_parts_comes_free_with_the_last_of_them)
{
    static const uint32_t limit_s[] = {0, 50, 100, 10, 100, 101, 80, 10};
    w_init(&w, 1, 1);
    w_up_all(&w);
    for (tug_job_id id = 1; id <= 7; id++) {
        struct tug_job_req r = req(1, 1, limit_s[id]);
        r.gpu_milli = id == 3 || id == 7 ? 0 : id < 3 ? 400 : 100;
        w_submit(&w, id, r);
        if (id == 2)
            ck_assert_int_eq(w_pass(&w), 2);
    }
    pass(shares_until);
    w_clear(&w);
}
END_TEST

UNIT_MAIN("core/plan", a_gpu_in_parts_comes_free_with_the_last_of_them,
          a_job_is_let_past_a_reservation_only_when_it_is_over_by_then,
          a_job_goes_elsewhere_than_it_would_where_that_delays_nobody,
          a_run_whose_end_nobody_knows_blocks_forever_and_does_not_pass_a_job_that_waits_for_one,
          the_horizon_bounds_starts_and_is_set_before_the_first_reservation,
          a_run_that_should_have_ended_is_expected_to_end_in_a_second,
          an_exclusive_job_waits_until_nobody_is_there_and_keeps_all_away,
          jobs_that_cannot_start_as_others_could_not_are_left_out_and_still_explained,
          a_job_left_out_is_told_whom_it_would_delay)
