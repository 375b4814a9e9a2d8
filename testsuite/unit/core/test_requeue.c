/* test_requeue.c - when a job is run again, how often, after which wait, and what is kept of its attempts */
#include <errno.h>
#include <signal.h>

#include "world.h"

static struct world w;

/* Two nodes of four, and three more to go to. */
static struct tug_job_req again_on(const char *exits)
{
    struct tug_job_req r = w_req(2, 8);
    r.batch = 0;
    r.requeue_on = exits;
    return r;
}

static void setup(struct tug_job_req r)
{
    w_init(&w, 4, 8);
    w_up_all(&w);
    w_submit(&w, 1, r);
    w_run(&w, 1);
    w_forget(&w);
}

static uint32_t node_of(size_t slice)
{
    return w_job(&w, 1)->slices[slice].node;
}

/* The main step's second rank ends so, and all is gone. */
static void end_with(int code, int signal)
{
    uint32_t attempt = w_job(&w, 1)->attempt, first = node_of(0);
    struct tug_exit x = {.code = code, .signal = signal};
    struct tug_event ev = {.type = TUG_EV_STEP_DONE, .job = 1, .attempt = attempt, .node = node_of(1), .exits = &x,
                           .n_exits = 1, .cause.node = TUG_NO_NODE};
    ck_assert_int_eq(w_event(&w, ev), 0);
    w_gone(&w, 1, attempt, 0, first);
}

static void lose_node(void)
{
    uint32_t attempt = w_job(&w, 1)->attempt, node = node_of(1), first = node_of(0);
    w_down(&w, node);
    w_gone(&w, 1, attempt, 0, first);
    w_lease_over(&w, node);
    w_up(&w, node, NULL, 0);
}

static void run_again(void)
{
    if (w_job(&w, 1)->retry_ms > w.now)
        w_tick(&w, w_job(&w, 1)->retry_ms);
    w_run(&w, 1);
}

static const char *why(int *reason)
{
    static char text[512];
    return tug_core_explain(w.c, w_job(&w, 1), reason, text, sizeof text);
}

START_TEST(an_exit_code_that_was_asked_for_queues_the_job_again_and_any_other_ends_it)
{
    setup(again_on("75,SIGBUS"));
    end_with(75, 0);
    w_is(&w, 1, PENDING);
    w_saw(&w, "HISTORY 1 requeue");
    ck_assert_uint_eq(w_job(&w, 1)->attempt, 2);
    ck_assert_uint_eq(w_job(&w, 1)->failures, 1);
    run_again();
    end_with(0, SIGBUS);
    w_is(&w, 1, PENDING);
    run_again();
    end_with(135, 0); /* as a shell says SIGBUS */
    w_is(&w, 1, PENDING);
    run_again();
    end_with(76, 0);
    w_is(&w, 1, FAILED);
    ck_assert_int_eq(w_job(&w, 1)->exit.code, 76);
    ck_assert_uint_eq(w_job(&w, 1)->requeues, 3);
    w_clear(&w);
}
END_TEST

START_TEST(without_a_list_no_exit_code_does_and_without_requeue_no_list_does)
{
    setup(w_req(2, 8));
    end_with(75, 0);
    w_is(&w, 1, FAILED);
    w_clear(&w);
    struct tug_job_req r = again_on("any");
    r.requeue = 0;
    setup(r);
    end_with(75, 0);
    w_is(&w, 1, FAILED);
    w_clear(&w);
    r.requeue = 1;
    r.interactive = 1;
    setup(r);
    end_with(75, 0);
    w_is(&w, 1, FAILED);
    w_clear(&w);
}
END_TEST

START_TEST(what_was_cancelled_or_ran_out_of_time_is_not_run_again)
{
    struct tug_job_req r = again_on("any");
    r.time_limit_s = 60;
    setup(r);
    w_tick(&w, w.now + 60000);
    w_is(&w, 1, COMPLETING);
    end_with(0, SIGTERM);
    w_is(&w, 1, TIMEOUT);
    w_clear(&w);
    setup(again_on("any"));
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 1}), 0);
    end_with(0, SIGTERM);
    w_is(&w, 1, CANCELLED);
    w_clear(&w);
}
END_TEST

START_TEST(lost_nodes_and_exits_count_to_one_limit_and_the_cause_says_so)
{
    struct tug_job_req r = again_on("75");
    r.max_requeues = 2;
    setup(r);
    end_with(75, 0);
    run_again();
    lose_node();
    w_is(&w, 1, PENDING);
    ck_assert_uint_eq(w_job(&w, 1)->failures, 2);
    run_again();
    lose_node();
    w_is(&w, 1, NODE_FAIL);
    const struct tug_job *j = w_job(&w, 1);
    ck_assert_int_eq(j->cause.kind, TUG_CAUSE_NODE);
    ck_assert_msg(strstr(j->cause.text, "was lost") && strstr(j->cause.text, "run again 2 times already"), "%s", j->cause.text);
    w_clear(&w);
    setup(r);
    for (int i = 0; i < 2; i++) {
        end_with(75, 0);
        run_again();
    }
    end_with(75, 0);
    w_is(&w, 1, FAILED);
    ck_assert_msg(strstr(w_job(&w, 1)->cause.text, "is not once more"), "%s", w_job(&w, 1)->cause.text);
    w_clear(&w);
}
END_TEST

START_TEST(none_at_all_and_the_clusters_limit_are_told_apart)
{
    struct tug_job_req r = w_req(2, 8);
    r.max_requeues = UINT32_MAX;
    setup(r);
    lose_node();
    w_is(&w, 1, NODE_FAIL);
    ck_assert_msg(strstr(w_job(&w, 1)->cause.text, "max_requeues is 0"), "%s", w_job(&w, 1)->cause.text);
    w_clear(&w);
    setup(w_req(2, 8));
    for (int i = 0; i < 10; i++) {
        lose_node();
        w_is(&w, 1, PENDING);
        run_again();
    }
    lose_node();
    w_is(&w, 1, NODE_FAIL);
    w_clear(&w);
}
END_TEST

START_TEST(each_back_off_is_twice_the_one_before_up_to_ten_minutes)
{
    static const int64_t waits_s[] = {100, 200, 400, 600, 600};
    struct tug_job_req r = again_on("75");
    int reason;
    r.requeue_delay_s = 100;
    setup(r);
    for (size_t i = 0; i < sizeof waits_s / sizeof *waits_s; i++) {
        int64_t failed_ms = w.now;
        end_with(75, 0);
        ck_assert_int_eq(w_job(&w, 1)->retry_ms, failed_ms + waits_s[i] * 1000);
        ck_assert_int_eq(tug_core_next_wake(w.c), failed_ms + waits_s[i] * 1000);
        w_pass(&w);
        w_is(&w, 1, PENDING);
        ck_assert_msg(strstr(why(&reason), "at the soonest"), "%s", why(&reason));
        ck_assert_str_eq(tug_core_reason_name(reason), "BackOff");
        w_tick(&w, w_job(&w, 1)->retry_ms - 1);
        w_pass(&w);
        w_is(&w, 1, PENDING);
        run_again();
        ck_assert_int_eq(w_job(&w, 1)->retry_ms, -1);
    }
    ck_assert_int_eq(w_job(&w, 1)->eligible_ms, w_job(&w, 1)->submit_ms); /* its place in the queue is as before */
    w_clear(&w);
}
END_TEST

START_TEST(an_attempt_that_ran_for_ten_minutes_has_the_back_off_begin_anew)
{
    struct tug_job_req r = again_on("75");
    r.requeue_delay_s = 30;
    setup(r);
    end_with(75, 0);
    run_again();
    end_with(75, 0);
    ck_assert_int_eq(w_job(&w, 1)->retry_ms, w.now + 60000);
    run_again();
    w_tick(&w, w.now + 600000);
    end_with(75, 0);
    ck_assert_int_eq(w_job(&w, 1)->retry_ms, w.now + 30000);
    ck_assert_uint_eq(w_job(&w, 1)->failures, 3);
    w_clear(&w);
}
END_TEST

START_TEST(a_longer_delay_than_ten_minutes_stays_what_it_is_and_none_is_none)
{
    struct tug_job_req r = again_on("75");
    r.requeue_delay_s = 3600;
    setup(r);
    for (int i = 0; i < 3; i++) {
        end_with(75, 0);
        ck_assert_int_eq(w_job(&w, 1)->retry_ms, w.now + 3600000);
        run_again();
    }
    w_clear(&w);
    w_init(&w, 4, 8);
    w.conf.requeue_delay_s = 60; /* the cluster's */
    w_open(&w);
    w_up_all(&w);
    r.requeue_delay_s = UINT32_MAX;
    w_submit(&w, 1, r);
    w_run(&w, 1);
    end_with(75, 0);
    ck_assert_int_eq(w_job(&w, 1)->retry_ms, -1);
    r.requeue_delay_s = 0;
    w_submit(&w, 2, r);
    ck_assert_uint_eq(tug_core_requeue_delay_s(w.c, w_job(&w, 2)), 60);
    w_clear(&w);
}
END_TEST

START_TEST(a_job_that_is_cancelled_in_its_back_off_ends_at_once)
{
    struct tug_job_req r = again_on("75");
    r.requeue_delay_s = 3600;
    setup(r);
    end_with(75, 0);
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 1}), 0);
    w_is(&w, 1, CANCELLED);
    w_clear(&w);
}
END_TEST

START_TEST(requeue_ends_a_back_off_and_counts_anew)
{
    struct tug_job_req r = again_on("75");
    struct tug_event ev = {.type = TUG_EV_JOB_REQUEUE, .job = 1, .text = "requeued by ann"};
    r.requeue_delay_s = 3600;
    r.max_requeues = 1;
    setup(r);
    end_with(75, 0);
    ck_assert_int_eq(w_event(&w, ev), 0);
    ck_assert_int_eq(w_job(&w, 1)->retry_ms, -1);
    unit_fails(w_event(&w, ev), -EALREADY, w.err, "waits already");
    w_run(&w, 1);
    ck_assert_int_eq(w_event(&w, ev), 0); /* of one that runs */
    w_is(&w, 1, REQUEUED);
    w_done(&w, 1, 2, 0, node_of(0), 3);
    w_gone(&w, 1, 2, 0, node_of(1));
    w_is(&w, 1, PENDING);
    ck_assert_uint_eq(w_job(&w, 1)->failures, 0);
    ck_assert_int_eq(w_job(&w, 1)->attempts[1].cause.kind, TUG_CAUSE_CANCEL);
    ck_assert_int_eq(w_job(&w, 1)->attempts[1].cause.exit.code, 3); /* how it ended all the same, for its epilogs */
    w_run(&w, 1);
    end_with(75, 0);
    w_is(&w, 1, PENDING); /* once more */
    w_clear(&w);
}
END_TEST

START_TEST(failed_launches_have_a_limit_of_their_own)
{
    struct tug_job_req r = w_req(2, 8);
    r.max_requeues = 1;
    w_init(&w, 4, 8);
    w_up_all(&w);
    w_submit(&w, 1, r);
    for (uint32_t attempt = 1; attempt <= 2; attempt++) {
        w_pass(&w);
        uint32_t first = node_of(0), second = node_of(1);
        w_failed(&w, 1, attempt, 0, first, TUG_CAUSE_LAUNCH, "no room");
        w_gone(&w, 1, attempt, 0, first);
        w_gone(&w, 1, attempt, 0, second);
        w_is(&w, 1, PENDING);
    }
    ck_assert_uint_eq(w_job(&w, 1)->failures, 0);
    ck_assert_uint_eq(w_job(&w, 1)->n_attempts, 2);
    ck_assert_int_eq(w_job(&w, 1)->attempts[0].counts, 0);
    ck_assert_int_eq(w_job(&w, 1)->attempts[0].launched_ms, -1);
    w_clear(&w);
}
END_TEST

START_TEST(the_last_eight_attempts_are_kept_with_what_ended_them)
{
    struct tug_job_req r = again_on("1-255");
    r.max_requeues = 20;
    setup(r);
    for (int i = 1; i <= 11; i++) {
        w_tick(&w, w.now + 1000);
        end_with(i, 0);
        run_again();
    }
    const struct tug_job *j = w_job(&w, 1);
    ck_assert_uint_eq(j->n_attempts, TUG_ATTEMPTS_MAX);
    for (size_t i = 0; i < j->n_attempts; i++) {
        const struct tug_attempt *a = &j->attempts[i];
        ck_assert_uint_eq(a->attempt, i + 4);
        ck_assert_int_eq(a->cause.exit.code, (int) i + 4);
        ck_assert_uint_eq(a->cause.node, node_of(1));
        ck_assert_int_eq(a->counts, 1);
        ck_assert_int_ge(a->end_ms, a->launched_ms + 1000);
    }
    w_clear(&w);
}
END_TEST

START_TEST(back_off_and_attempts_come_through_a_restart_and_a_clock_that_was_set_back_does_not_prolong_it)
{
    struct tug_job_req r = again_on("75");
    r.requeue_delay_s = 30;
    setup(r);
    end_with(75, 0);
    struct tug_core *old = w.c;
    const struct tug_job *j = tug_core_job(old, 1);
    for (int back = 0; back <= 1; back++) {
        struct tug_err err = {0};
        int64_t now_ms = back ? j->retry_ms - 600000 : j->retry_ms - 10000;
        struct tug_core *c = tug_core_new(&w.conf, &err);
        ck_assert_int_eq(tug_core_restore_job(c, j, &err), 0);
        tug_core_restored(c, now_ms);
        ck_assert_int_eq(tug_core_next_wake(c), now_ms + (back ? 30000 : 10000));
        ck_assert_uint_eq(tug_core_job(c, 1)->n_attempts, 1);
        ck_assert_str_eq(tug_core_job(c, 1)->attempts[0].cause.text, j->attempts[0].cause.text);
        ck_assert_int_eq(tug_core_check(c, &err), 0);
        tug_core_free(c);
    }
    w_clear(&w);
}
END_TEST

UNIT_MAIN("core/requeue", an_exit_code_that_was_asked_for_queues_the_job_again_and_any_other_ends_it,
          without_a_list_no_exit_code_does_and_without_requeue_no_list_does,
          what_was_cancelled_or_ran_out_of_time_is_not_run_again,
          lost_nodes_and_exits_count_to_one_limit_and_the_cause_says_so, none_at_all_and_the_clusters_limit_are_told_apart,
          each_back_off_is_twice_the_one_before_up_to_ten_minutes,
          an_attempt_that_ran_for_ten_minutes_has_the_back_off_begin_anew,
          a_longer_delay_than_ten_minutes_stays_what_it_is_and_none_is_none,
          a_job_that_is_cancelled_in_its_back_off_ends_at_once, requeue_ends_a_back_off_and_counts_anew,
          failed_launches_have_a_limit_of_their_own, the_last_eight_attempts_are_kept_with_what_ended_them,
          back_off_and_attempts_come_through_a_restart_and_a_clock_that_was_set_back_does_not_prolong_it)
