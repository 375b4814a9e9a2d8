/* test_onhold.c - jobs that somebody holds back: who may, what it does to their place and their age, and what ends it */
#include <errno.h>

#include "same.h"
#include "world.h"

static struct world w;

static void setup(void)
{
    w_init(&w, 2, 8);
    w_up_all(&w);
}

static int hold_as(tug_job_id job, const char *user, int admin, const char *why)
{
    return w_event(&w, (struct tug_event){.type = TUG_EV_JOB_HOLD,
                                          .job = job,
                                          .uid = admin ? 0 : 1000,
                                          .user = user,
                                          .force = (uint8_t) admin,
                                          .text = why});
}

static int hold(tug_job_id job)
{
    return hold_as(job, "ada", 0, NULL);
}

static int release_as(tug_job_id job, const char *user, int admin)
{
    return w_event(&w, (struct tug_event){
                           .type = TUG_EV_JOB_RELEASE, .job = job, .uid = 1000, .user = user, .force = (uint8_t) admin});
}

static int release(tug_job_id job)
{
    return release_as(job, "ada", 0);
}

static const char *why(tug_job_id job, int *reason)
{
    static char text[512];
    return tug_core_explain(w.c, w_job(&w, job), reason, text, sizeof text);
}

static void requeue(tug_job_id job)
{
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_REQUEUE, .job = job}), 0);
}

START_TEST(a_held_job_is_not_started_and_says_who_holds_it_until_it_is_released)
{
    int reason;
    setup();
    w.now = 1764482400000; /* 2025-11-30T06:00:00Z */
    w_submit(&w, 1, w_req(2, 8));
    w_forget(&w);
    ck_assert_int_eq(hold_as(1, "ada", 0, "waits for data"), 0);
    w_said_is(&w, "HISTORY 1 hold user by ada\nCHANGED 1\n");
    ck_assert_int_eq(w_pass(&w), 0);
    w_is(&w, 1, PENDING);
    ck_assert_str_eq(why(1, &reason), "held by ada since 2025-11-30T06:00:00Z (waits for data); tug release 1");
    ck_assert_int_eq(reason, TUG_REASON_HELD_USER);
    ck_assert_str_eq(tug_core_reason_name(reason), "JobHeldUser");
    ck_assert_int_eq(tug_core_next_wake(w.c), INT64_MAX);
    w.now += 60000;
    ck_assert_int_eq(release(1), 0);
    w_said_is(&w, "HISTORY 1 release user by ada\nCHANGED 1\n");
    ck_assert(tug_core_wants_pass(w.c));
    w_run(&w, 1);
    ck_assert_int_eq(w_job(&w, 1)->held_ms, 60000);
    w_clear(&w);
}
END_TEST

START_TEST(holding_or_releasing_twice_is_the_same_as_once)
{
    setup();
    w_submit(&w, 1, w_req(2, 8));
    ck_assert_int_eq(hold(1), 0);
    int64_t since_ms = w_job(&w, 1)->onhold.since_ms;
    w_forget(&w);
    w.now += 1000;
    ck_assert_int_eq(hold_as(1, "eve", 0, "again"), 0);
    w_said_is(&w, "");
    ck_assert_str_eq(w_job(&w, 1)->onhold.user, "ada");
    ck_assert_int_eq(w_job(&w, 1)->onhold.since_ms, since_ms);
    ck_assert_int_eq(release(1), 0);
    w_forget(&w);
    ck_assert_int_eq(release(1), 0);
    w_said_is(&w, "");
    ck_assert_int_eq(w_job(&w, 1)->held_ms, 1000);
    w_clear(&w);
}
END_TEST

START_TEST(an_administrators_hold_takes_the_place_of_the_owners_and_only_an_administrator_takes_it_back)
{
    int reason;
    setup();
    w_submit(&w, 1, w_req(2, 8));
    ck_assert_int_eq(hold(1), 0);
    w.now += 5000;
    w_forget(&w);
    ck_assert_int_eq(hold_as(1, "root", 1, "too wide"), 0);
    w_saw(&w, "HISTORY 1 hold admin by root");
    ck_assert_int_eq(hold(1), 0); /* it is held */
    ck_assert_int_eq(w_job(&w, 1)->onhold.by, TUG_ONHOLD_ADMIN);
    ck_assert(strstr(why(1, &reason), "held by root, an administrator, since ") && strstr(why(1, NULL), "(too wide); only an administrator releases it"));
    ck_assert_int_eq(reason, TUG_REASON_HELD_ADMIN);
    unit_fails(release(1), -EPERM, w.err, "job 1 is held by root, an administrator: too wide; only an administrator releases it");
    ck_assert_int_eq(w_job(&w, 1)->onhold.by, TUG_ONHOLD_ADMIN);
    w.now += 5000;
    ck_assert_int_eq(release_as(1, "root", 1), 0); /* and of the owner's nothing is left */
    ck_assert_int_eq(w_job(&w, 1)->held_ms, 10000);
    w_run(&w, 1);
    w_clear(&w);
}
END_TEST

START_TEST(what_was_held_does_not_count_for_its_age_and_its_place_by_submit_time_stays)
{
    setup();
    int64_t start_ms = w.now;
    w_submit(&w, 1, w_req(2, 8));
    w_submit(&w, 2, w_req(2, 8));
    w.now += 100000;
    ck_assert_int_eq(hold(1), 0);
    w.now += 30000;
    ck_assert_int_eq(release(1), 0);
    ck_assert_int_eq(w_job(&w, 1)->submit_ms, start_ms);
    ck_assert_int_eq(w_job(&w, 1)->eligible_ms, start_ms + 30000); /* 100 s old, as it was */
    ck_assert_int_eq(w_job(&w, 2)->eligible_ms, start_ms);
    w_run(&w, 1); /* it was here first */
    w_is(&w, 2, PENDING);
    w_clear(&w);
}
END_TEST

START_TEST(a_job_that_is_to_begin_later_and_is_held_does_so_when_both_are_over)
{
    setup();
    struct tug_job_req r = w_req(2, 8);
    r.begin_ms = w.now + 60000;
    int64_t begin_ms = r.begin_ms;
    w_submit(&w, 1, r);
    ck_assert_int_eq(hold(1), 0);
    w.now += 10000;
    ck_assert_int_eq(release(1), 0);
    ck_assert_int_eq(w_job(&w, 1)->eligible_ms, begin_ms); /* it was not to start anyway */
    ck_assert_int_eq(tug_core_next_wake(w.c), begin_ms);
    ck_assert_int_eq(hold(1), 0);
    w_tick(&w, begin_ms + 20000);
    ck_assert_int_eq(w_pass(&w), 0);
    ck_assert_int_eq(release(1), 0);
    ck_assert_int_eq(w_job(&w, 1)->eligible_ms, begin_ms + 20000);
    w_run(&w, 1);
    w_clear(&w);
}
END_TEST

START_TEST(a_held_job_is_in_nobodys_way_and_nothing_is_reserved_for_it)
{
    setup();
    w_submit(&w, 1, w_req(2, 8));
    w_run(&w, 1);
    w_submit(&w, 2, w_req(2, 8));
    w_submit(&w, 3, w_req(1, 8));
    ck_assert_int_eq(w_pass(&w), 0);
    ck_assert_int_eq(hold(2), 0); /* at which the order stopped */
    int reason;
    why(3, &reason);
    w_done(&w, 1, 1, 0, 0, 0);
    w_done(&w, 1, 1, 0, 1, 0);
    w_run(&w, 3);
    struct tug_core_standing s;
    char terms[64];
    tug_core_standing(w.c, w.now, w_job(&w, 2), &s, terms, sizeof terms);
    ck_assert_uint_eq(s.place, 0);
    ck_assert_int_eq(tug_core_expected_start(w.c, w_job(&w, 2)), -1);
    w_clear(&w);
}
END_TEST

START_TEST(what_runs_is_not_held_and_the_way_out_is_told)
{
    setup();
    struct tug_job_req r = w_req(2, 8);
    w_submit(&w, 1, r);
    w_run(&w, 1);
    unit_fails(hold(1), -EBUSY, w.err, "job 1 is RUNNING: only what waits is held; 'tug requeue --hold 1' ends the attempt and holds the job");
    ck_assert_int_eq(w_job(&w, 1)->onhold.by, TUG_ONHOLD_NOBODY);
    w_done(&w, 1, 1, 0, 0, 0);
    w_done(&w, 1, 1, 0, 1, 0);
    unit_fails(hold(1), -EALREADY, w.err, "job 1 is over already (COMPLETED)");
    r.requeue = 0;
    w_submit(&w, 2, r);
    w_run(&w, 2);
    unit_fails(hold(2), -EBUSY, w.err, "may not be requeued, so it cannot be held any more");
    unit_fails(hold(3), -ENOENT, w.err, "there is no job 3");
    w_clear(&w);
}
END_TEST

START_TEST(an_attempt_that_is_being_ended_may_be_held_and_the_job_is_when_it_waits_again)
{
    setup();
    w_submit(&w, 1, w_req(2, 8));
    w_run(&w, 1);
    requeue(1);
    ck_assert_int_eq(hold(1), 0);
    w_is(&w, 1, REQUEUED);
    w_gone(&w, 1, 1, 0, 0);
    w_gone(&w, 1, 1, 0, 1);
    w_is(&w, 1, PENDING);
    ck_assert_int_eq(w_pass(&w), 0);
    w.now += 7000;
    ck_assert_int_eq(release(1), 0);
    w_run(&w, 1);
    ck_assert_uint_eq(w_job(&w, 1)->attempt, 2);
    w_clear(&w);
}
END_TEST

START_TEST(a_held_job_is_cancelled_like_any_other_also_while_its_attempt_is_being_ended)
{
    setup();
    w_submit(&w, 1, w_req(2, 8));
    ck_assert_int_eq(hold(1), 0);
    w.now += 3000;
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 1}), 0);
    w_is(&w, 1, CANCELLED);
    ck_assert_int_eq(w_job(&w, 1)->onhold.by, TUG_ONHOLD_NOBODY);
    ck_assert_int_eq(w_job(&w, 1)->held_ms, 3000);
    w_submit(&w, 2, w_req(2, 8));
    w_run(&w, 2);
    requeue(2);
    ck_assert_int_eq(hold(2), 0);
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 2}), 0);
    w_gone(&w, 2, 1, 0, 0);
    w_gone(&w, 2, 1, 0, 1);
    w_is(&w, 2, CANCELLED);
    ck_assert_int_eq(w_job(&w, 2)->onhold.by, TUG_ONHOLD_NOBODY);
    w_clear(&w);
}
END_TEST

START_TEST(a_held_job_stays_so_over_a_restart_whatever_the_clock_shows_then)
{
    setup();
    w_submit(&w, 1, w_req(2, 8));
    w.now += 50000;
    ck_assert_int_eq(hold_as(1, "root", 1, "why not"), 0);
    w.now -= 3600000; /* it was set back */
    struct tug_core *again = same_restart(w.c, &w.conf, w.now, &w.err);
    ck_assert_msg(again != NULL, "%s", w.err.msg);
    ck_assert_ptr_null(same_job(w_job(&w, 1), tug_core_job(again, 1)));
    tug_core_free(w.c);
    w.c = again;
    w_up_all(&w);
    ck_assert_str_eq(w_job(&w, 1)->onhold.user, "root");
    ck_assert_str_eq(w_job(&w, 1)->onhold.why, "why not");
    ck_assert_int_eq(w_pass(&w), 0);
    ck_assert_int_eq(release_as(1, "root", 1), 0);
    ck_assert_int_eq(w_job(&w, 1)->held_ms, 0);
    w_run(&w, 1); /* and does not wait for the hour */
    w_clear(&w);
}
END_TEST

START_TEST(one_that_was_released_late_is_not_kept_when_the_clock_is_set_back)
{
    setup();
    w_submit(&w, 1, w_req(2, 8));
    ck_assert_int_eq(hold(1), 0);
    w.now += 3600000;
    ck_assert_int_eq(release(1), 0);
    w.now -= 1800000;
    struct tug_core *again = same_restart(w.c, &w.conf, w.now, &w.err);
    ck_assert_msg(again != NULL, "%s", w.err.msg);
    tug_core_free(w.c);
    w.c = again;
    w_up_all(&w);
    w_run(&w, 1);
    w_clear(&w);
}
END_TEST

START_TEST(a_record_that_says_of_a_job_with_nodes_that_it_is_held_is_refused)
{
    setup();
    w_submit(&w, 1, w_req(2, 8));
    w_run(&w, 1);
    struct tug_job bad = *w_job(&w, 1);
    bad.onhold = (struct tug_onhold){.by = TUG_ONHOLD_OWNER, .user = "ada", .why = ""};
    struct tug_core *again = tug_core_new(&w.conf, &w.err);
    unit_fails(tug_core_restore_job(again, &bad, &w.err), -EINVAL, w.err, "record of job 1: RUNNING, and held");
    tug_core_free(again);
    w_clear(&w);
}
END_TEST

START_TEST(names_of_whose_hold_it_is_read_back_and_an_unknown_one_is_an_administrators)
{
    for (int i = 0; i <= TUG_ONHOLD_ADMIN; i++)
        ck_assert_int_eq(tug_onhold_parse(tug_onhold_name((enum tug_onhold_by) i)), i);
    ck_assert_int_eq(tug_onhold_parse("a later version's"), TUG_ONHOLD_ADMIN);
}
END_TEST

UNIT_MAIN("core/onhold", a_held_job_is_not_started_and_says_who_holds_it_until_it_is_released,
          holding_or_releasing_twice_is_the_same_as_once,
          an_administrators_hold_takes_the_place_of_the_owners_and_only_an_administrator_takes_it_back,
          what_was_held_does_not_count_for_its_age_and_its_place_by_submit_time_stays,
          a_job_that_is_to_begin_later_and_is_held_does_so_when_both_are_over,
          a_held_job_is_in_nobodys_way_and_nothing_is_reserved_for_it, what_runs_is_not_held_and_the_way_out_is_told,
          an_attempt_that_is_being_ended_may_be_held_and_the_job_is_when_it_waits_again,
          a_held_job_is_cancelled_like_any_other_also_while_its_attempt_is_being_ended,
          a_held_job_stays_so_over_a_restart_whatever_the_clock_shows_then,
          one_that_was_released_late_is_not_kept_when_the_clock_is_set_back,
          a_record_that_says_of_a_job_with_nodes_that_it_is_held_is_refused,
          names_of_whose_hold_it_is_read_back_and_an_unknown_one_is_an_administrators)
