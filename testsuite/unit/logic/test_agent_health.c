/* test_agent_health.c - when the health check is run, what is told of it, and who waits for it */
#include "unit.h"

#include "agent_world.h"

#define K     TUG_PEER_CHECKER
#define L     TUG_PEER_LAUNCHER
#define GOOD  TUGPB__HEALTH_STATE__HEALTH_GOOD
#define SICK  TUGPB__HEALTH_STATE__HEALTH_SICK
#define EPOCH 3

static struct world w;
static struct tug_agent_check check;

static void is_asked(const char *why)
{
    const Tugpb__HcRun *m = world_next(&w, K, TUG_MSG_HC_RUN);
    ck_assert_str_eq(m->program, "/sbin/check");
    ck_assert_uint_eq(m->timeout_s, 20);
    ck_assert_str_eq(m->why, why);
}

static void ends(bool failed, bool trouble, const char *text)
{
    Tugpb__HcDone m = TUGPB__HC_DONE__INIT;
    m.failed = failed;
    m.trouble = trouble;
    m.text = (char *) (uintptr_t) text;
    tug_agent_message(w.agent, K, TUG_MSG_HC_DONE, 0, &m.base);
}

static void is_told(Tugpb__HealthState state, const char *text)
{
    const Tugpb__NodeHealth *m = world_next(&w, CONTROLLER, TUG_MSG_NODE_HEALTH);
    ck_assert_int_eq(m->state, state);
    ck_assert_str_eq(m->text, text);
}

/* The controller says a word now and then, so that nobody hangs up. */
static void time_passes(int64_t ms)
{
    world_to(&w, w.now_ms + ms);
    world_skip(&w, TUG_MSG_LEASE_REQUEST);
    world_ack(&w, EPOCH, 999, 1);
}

static void hello(void)
{
    tug_agent_controller_up(w.agent, CONTROLLER);
    world_next(&w, CONTROLLER, TUG_MSG_NODE_HELLO);
    world_welcome(&w, EPOCH);
}

/* Up, with a lease for ever, and found healthy by a check that takes 10 s of rest. */
static void a_node(enum tug_check_when when, bool before_job, bool after_job)
{
    check = (struct tug_agent_check){.program = "/sbin/check",
                                     .period_s = 10,
                                     .timeout_s = 20,
                                     .when = when,
                                     .before_job = before_job,
                                     .after_job = after_job};
    w = (struct world){.now_ms = 1000000,
                       .boot_id = "000102030405060708090a0b0c0d0e0f",
                       .check = &check,
                       .takes_health = true};
    world_boot(&w);
    world_held(&w, NULL);
    world_to(&w, w.now_ms);
    if (when != TUG_CHECK_NEVER) {
        is_asked("period");
        ends(false, false, "");
    }
    hello();
    if (when != TUG_CHECK_NEVER)
        is_told(GOOD, "");
    world_grant(&w, world_next(&w, CONTROLLER, TUG_MSG_LEASE_REQUEST), 0, EPOCH);
    world_next(&w, L, TUG_MSG_LN_LEASE);
    world_quiet(&w);
}

static void a_job_ends(uint64_t job)
{
    world_gone(&w, job, 1, 0);
    world_skip(&w, TUG_MSG_STEP_FAILED);
    world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    world_to(&w, w.now_ms);
}

START_TEST(it_is_run_at_once_then_a_period_after_its_end_and_never_twice_at_once)
{
    a_node(TUG_CHECK_ALWAYS, false, false);
    time_passes(9999);
    world_quiet(&w);
    time_passes(1);
    is_asked("period");
    time_passes(15000); /* it takes its time */
    world_quiet(&w);
    ends(false, false, "all is well");
    world_quiet(&w); /* as before: nobody need hear that */
    time_passes(9999);
    world_quiet(&w);
    time_passes(1);
    is_asked("period");
    world_end(&w);
}
END_TEST

START_TEST(a_failure_is_kept_before_it_is_told_and_told_again_after_every_restart_and_welcome)
{
    a_node(TUG_CHECK_ALWAYS, false, false);
    time_passes(10000);
    is_asked("period");
    w.slow_disk = true;
    ends(true, false, "disk full");
    world_quiet(&w);
    world_sync(&w);
    is_told(SICK, "disk full");
    w.slow_disk = false;
    world_crash(&w);
    world_boot(&w);
    world_held(&w, NULL);
    world_to(&w, w.now_ms);
    is_asked("period");
    hello();
    const Tugpb__NodeHealth *m = world_next(&w, CONTROLLER, TUG_MSG_NODE_HEALTH);
    ck_assert_str_eq(m->text, "disk full");
    ck_assert_int_eq(m->since_ms, 1010000);
    world_next(&w, CONTROLLER, TUG_MSG_LEASE_REQUEST);
    ends(true, false, "disk full"); /* an admin may have insisted that it is well */
    is_told(SICK, "disk full");
    time_passes(10000);
    is_asked("period");
    ends(false, false, "");
    is_told(GOOD, "");
    world_end(&w);
}
END_TEST

START_TEST(a_check_that_cannot_be_run_says_so_and_nothing_of_the_node)
{
    a_node(TUG_CHECK_ALWAYS, true, false);
    time_passes(10000);
    is_asked("period");
    ends(false, true, "the health check cannot be run: /sbin/check: No such file or directory");
    is_told(TUGPB__HEALTH_STATE__HEALTH_BROKEN,
            "the health check cannot be run: /sbin/check: No such file or directory");
    world_launch(&w, EPOCH, 5, 1, true);
    is_asked("before");
    ends(false, true, "the health check cannot be run: /sbin/check: No such file or directory");
    world_next(&w, L, TUG_MSG_LN_START); /* jobs are not held up by that */
    world_quiet(&w);
    world_end(&w);
}
END_TEST

START_TEST(a_node_that_has_no_check_any_more_takes_back_what_it_said)
{
    a_node(TUG_CHECK_ALWAYS, false, false);
    time_passes(10000);
    is_asked("period");
    ends(true, false, "disk full");
    is_told(SICK, "disk full");
    world_crash(&w);
    w.check = NULL;
    world_boot(&w);
    world_held(&w, NULL);
    hello();
    is_told(TUGPB__HEALTH_STATE__HEALTH_NONE, "");
    world_crash(&w);
    w.takes_health = false; /* an older controller would not know what to do with it */
    world_boot(&w);
    world_held(&w, NULL);
    hello();
    world_next(&w, CONTROLLER, TUG_MSG_LEASE_REQUEST);
    world_quiet(&w);
    world_end(&w);
}
END_TEST

START_TEST(an_idle_check_waits_until_nothing_is_here)
{
    a_node(TUG_CHECK_IDLE, false, false);
    world_launch(&w, EPOCH, 5, 1, true);
    world_next(&w, L, TUG_MSG_LN_START);
    world_started(&w, 5, 1, 500, 1000);
    time_passes(15000);
    world_quiet(&w);
    a_job_ends(5);
    is_asked("period");
    world_end(&w);
}
END_TEST

START_TEST(after_a_job_it_is_run_whether_a_period_is_over_or_not)
{
    a_node(TUG_CHECK_NEVER, false, true);
    world_launch(&w, EPOCH, 5, 1, true);
    world_next(&w, L, TUG_MSG_LN_START);
    world_started(&w, 5, 1, 500, 1000);
    time_passes(15000);
    world_quiet(&w);
    a_job_ends(5);
    is_asked("after");
    world_launch(&w, EPOCH, 6, 1, true);
    world_next(&w, L, TUG_MSG_LN_START);
    world_started(&w, 6, 1, 501, 1000);
    a_job_ends(6);
    world_quiet(&w); /* that one first */
    ends(false, false, "");
    is_told(GOOD, "");
    world_to(&w, w.now_ms);
    is_asked("after");
    ends(false, false, "");
    time_passes(15000);
    world_quiet(&w);
    world_end(&w);
}
END_TEST

START_TEST(a_job_waits_for_a_run_before_it_starts_and_is_refused_by_a_bad_one)
{
    a_node(TUG_CHECK_NEVER, true, false);
    world_launch(&w, EPOCH, 5, 1, true);
    world_launch(&w, EPOCH, 6, 1, false); /* of two jobs one run */
    is_asked("before");
    world_quiet(&w);
    ends(false, false, "");
    is_told(GOOD, "");
    ck_assert_uint_eq(((const Tugpb__LnStart *) world_next(&w, L, TUG_MSG_LN_START))->key->job, 6);
    ck_assert_uint_eq(((const Tugpb__LnStart *) world_next(&w, L, TUG_MSG_LN_START))->key->job, 5);
    world_quiet(&w);

    world_launch(&w, EPOCH, 7, 1, true);
    is_asked("before");
    ends(true, false, "GPU 3 is gone");
    is_told(SICK, "GPU 3 is gone"); /* before the job is looked at again */
    const Tugpb__StepFailed *failed = world_next(&w, CONTROLLER, TUG_MSG_STEP_FAILED);
    ck_assert_str_eq(failed->cause->kind, "launch");
    ck_assert_str_eq(failed->cause->text, "health check of gpu03: GPU 3 is gone");
    ck_assert_uint_eq(((const Tugpb__StepDone *) world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE))->result->key->job, 7);
    world_quiet(&w);

    world_launch(&w, EPOCH, 8, 1, true);
    is_asked("before");
    world_kill(&w, EPOCH, 8, 1, 30); /* cancelled meanwhile */
    world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    ends(false, false, "");
    is_told(GOOD, "");
    world_quiet(&w);
    world_end(&w);
}
END_TEST

UNIT_MAIN("logic/agent_health", it_is_run_at_once_then_a_period_after_its_end_and_never_twice_at_once,
          a_failure_is_kept_before_it_is_told_and_told_again_after_every_restart_and_welcome,
          a_check_that_cannot_be_run_says_so_and_nothing_of_the_node,
          a_node_that_has_no_check_any_more_takes_back_what_it_said,
          an_idle_check_waits_until_nothing_is_here,
          after_a_job_it_is_run_whether_a_period_is_over_or_not,
          a_job_waits_for_a_run_before_it_starts_and_is_refused_by_a_bad_one)
