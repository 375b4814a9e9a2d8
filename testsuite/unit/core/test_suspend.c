/* test_suspend.c - nobody gets what a job gives away before all of its nodes have said that it is stopped
 *
 * Job 1 of queue "low" runs on n0 and n1, job 2 of queue "all" wants n0; the nodes say that ranks are stopped when the tests
 * have them say it.
 */
#include <errno.h>
#include <signal.h>

#include "same.h"
#include "world.h"

static struct world w;

static int push_pass(void *self, const struct tug_policy_view *v, const struct tug_policy_host *host,
                     struct tug_policy_pass *p)
{
    uint64_t victims[4];
    (void) self;
    for (size_t i = 0; i < v->n_waiting; i++) {
        uint64_t id = TUG_POLICY_WAITING(v, i)->id;
        int n = host->start(p, id) == 0 ? -1 : host->victims(p, id, victims, 4);
        if (n >= 0)
            host->preempt(p, id, victims, (size_t) n);
    }
    return 0;
}

static const struct tug_policy_ops push = {
    .size = sizeof push, .abi = TUG_POLICY_ABI, .name = "push", .pass = push_pass};

static void pass(void)
{
    w_pass_with(&w, &push, NULL);
}

static void ready(tug_job_id id)
{
    for (size_t i = 0; i < w_job(&w, id)->n_slices; i++)
        w_ready(&w, id, w_job(&w, id)->attempt, 0, w_job(&w, id)->slices[i].node);
    w_is(&w, id, RUNNING);
}

static void submit(tug_job_id id, const char *queue, uint32_t nodes, int requeue)
{
    struct tug_job_req r = w_req(nodes, 4);
    r.queue = queue;
    r.requeue = (uint8_t) requeue;
    w_submit(&w, id, r);
    pass();
}

/* Job 1 is about to be stopped for job 2. */
static void setup_with(int requeue)
{
    w_init(&w, 2, 4);
    w.slow_stops = 1;
    w.conf.preemption = TUG_PREEMPTION_TIER;
    w.queues[0].tier = 1;
    w.queues[2].preemptable = TUG_PREEMPT_SUSPEND;
    w_open(&w);
    w_up_all(&w);
    submit(1, "low", 2, requeue);
    ready(1);
    w.now += 1000;
    w_forget(&w);
    submit(2, "all", 1, 1);
}

static void setup(void)
{
    setup_with(1);
    ck_assert_str_eq(tug_job_shown_state(w_job(&w, 1)), "SUSPENDING");
    w_saw(&w, "SIGNAL 1.1.0 n0 19\nSIGNAL 1.1.0 n1 19\n");
}

static void stopped_on(uint32_t node)
{
    w_stopped(&w, 1, 1, 0, node, w_job(&w, 1)->stop_serial);
}

static void holds_all(void)
{
    struct tug_core_node n;
    for (uint32_t i = 0; i < 2; i++) {
        tug_core_node(w.c, i, &n);
        ck_assert_uint_eq(n.gpus_used, 15);
    }
    pass();
    w_is(&w, 2, PENDING);
}

START_TEST(what_it_holds_is_free_when_the_last_node_says_that_it_is_stopped)
{
    char text[256];
    setup();
    holds_all();
    stopped_on(1);
    stopped_on(1); /* said twice is said once */
    ck_assert_str_eq(tug_job_shown_state(w_job(&w, 1)), "SUSPENDING");
    ck_assert_msg(strstr(tug_core_explain(w.c, w_job(&w, 1), NULL, text, sizeof text), "1 of its 2 parts"), "%s", text);
    holds_all();
    w.now += 500;
    stopped_on(0);
    w_is(&w, 1, SUSPENDED);
    ck_assert_str_eq(tug_job_shown_state(w_job(&w, 1)), "SUSPENDED");
    ck_assert_int_eq(w_job(&w, 1)->sliced_ms, 1500); /* it ran, and is charged, until then */
    pass();
    w_is(&w, 2, CONFIGURING);
    w_clear(&w);
}
END_TEST

START_TEST(a_word_about_an_order_of_before_counts_for_nothing)
{
    setup();
    stopped_on(0);
    w_stopped(&w, 1, 1, 0, 1, 0);
    w_stopped(&w, 1, 1, 0, 1, 2);
    w_stopped(&w, 1, 2, 0, 1, 1);
    w_stopped(&w, 9, 1, 0, 1, 1);
    holds_all();
    stopped_on(1);
    w_is(&w, 1, SUSPENDED);
    pass();
    ready(2);
    w_done(&w, 2, 1, 0, 0, 0);
    w_forget(&w);
    pass();
    w_is(&w, 1, RUNNING); /* goes on, order 2 */
    w_saw(&w, "START 1.1.0 n0\nSIGNAL 1.1.0 n0 18\n");
    w_stopped(&w, 1, 1, 0, 0, 1);
    w_stopped(&w, 1, 1, 0, 1, 1);
    w_is(&w, 1, RUNNING);
    ck_assert_str_eq(tug_job_shown_state(w_job(&w, 1)), "RUNNING");
    submit(3, "all", 1, 1);
    ck_assert_uint_eq(w_job(&w, 1)->stop_serial, 3);
    w_stopped(&w, 1, 1, 0, 0, 1); /* of the first time, late */
    w_stopped(&w, 1, 1, 0, 1, 1);
    pass();
    w_is(&w, 3, PENDING);
    stopped_on(0);
    stopped_on(1);
    w_is(&w, 1, SUSPENDED);
    w_clear(&w);
}
END_TEST

START_TEST(a_node_that_is_lost_meanwhile_ends_the_attempt)
{
    setup();
    stopped_on(0);
    w_down(&w, 1);
    w_is(&w, 1, REQUEUED);
    ck_assert_int_eq(w_job(&w, 1)->stopping_ms, -1);
    pass();
    w_is(&w, 2, PENDING); /* what is stopped on n0 is still there */
    stopped_on(1);
    w_gone(&w, 1, 1, 0, 0);
    w_is(&w, 1, REQUEUED);
    w_lease_over(&w, 1);
    w_is(&w, 1, PENDING);
    pass();
    w_is(&w, 2, CONFIGURING);
    w_clear(&w);
}
END_TEST

START_TEST(a_controller_that_comes_back_asks_again_and_gives_the_nodes_their_time_anew)
{
    struct tug_err err = {0};
    setup();
    stopped_on(0);
    struct tug_core *old = w.c;
    w.c = tug_core_new(&w.conf, &err);
    for (tug_job_id id = 1; id <= 2; id++)
        ck_assert_int_eq(tug_core_restore_job(w.c, tug_core_job(old, id), &err), 0);
    w.now += 3600000;
    tug_core_restored(w.c, w.now);
    tug_core_free(old);
    w_check(&w);
    w_tick(&w, w.now);
    ck_assert_str_eq(tug_job_shown_state(w_job(&w, 1)), "SUSPENDING");
    struct tug_held_step held = {.job = 1, .attempt = 1, .phase = TUG_HELD_RUNNING};
    for (uint32_t node = 0; node < 2; node++) {
        w_forget(&w);
        w_up(&w, node, &held, 1);
        w_saw(&w, node ? "SIGNAL 1.1.0 n1 19\n" : "SIGNAL 1.1.0 n0 19\n");
    }
    holds_all();
    stopped_on(1);
    stopped_on(0);
    w_is(&w, 1, SUSPENDED);
    w_clear(&w);
}
END_TEST

START_TEST(who_is_not_stopped_in_time_is_ended_and_the_node_is_named)
{
    for (int requeue = 0; requeue <= 1; requeue++) {
        setup_with(requeue);
        stopped_on(0);
        w_tick(&w, w.now + 34999); /* the grace of 5 s, and 30 */
        w_is(&w, 1, RUNNING);
        w_tick(&w, w.now + 1);
        ck_assert_int_eq(w_job(&w, 1)->state, requeue ? TUG_JOB_REQUEUED : TUG_JOB_COMPLETING);
        ck_assert_int_eq(w_job(&w, 1)->cause.kind, TUG_CAUSE_PREEMPT);
        ck_assert_msg(strstr(w_job(&w, 1)->cause.text, "its ranks on node n1 were not stopped in time"), "%s",
                      w_job(&w, 1)->cause.text);
        w_gone(&w, 1, 1, 0, 0);
        w_gone(&w, 1, 1, 0, 1);
        ck_assert_int_eq(w_job(&w, 1)->state, requeue ? TUG_JOB_PENDING : TUG_JOB_PREEMPTED);
        ck_assert_uint_eq(w_job(&w, 1)->failures, 0);
        pass();
        w_is(&w, 2, CONFIGURING);
        w_clear(&w);
    }
}
END_TEST

START_TEST(whose_ranks_end_by_themselves_meanwhile_need_not_be_stopped)
{
    setup();
    w_done(&w, 1, 1, 0, 0, 0);
    ck_assert_str_eq(tug_job_shown_state(w_job(&w, 1)), "SUSPENDING");
    stopped_on(1);
    w_is(&w, 1, SUSPENDED);
    w_clear(&w);
    setup();
    stopped_on(1);
    w_done(&w, 1, 1, 0, 0, 0); /* the other way round */
    w_is(&w, 1, SUSPENDED);
    w_clear(&w);
    setup();
    w_done(&w, 1, 1, 0, 0, 0);
    w_done(&w, 1, 1, 0, 1, 0);
    w_is(&w, 1, COMPLETED);
    stopped_on(1);
    w_clear(&w);
    setup();
    w_done(&w, 1, 1, 0, 0, 1); /* as asked to leave */
    w_is(&w, 1, REQUEUED);
    w_clear(&w);
}
END_TEST

START_TEST(a_cancel_meanwhile_ends_it)
{
    setup();
    stopped_on(0);
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 1}), 0);
    stopped_on(1);
    w_is(&w, 1, COMPLETING);
    w_gone(&w, 1, 1, 0, 0);
    w_gone(&w, 1, 1, 0, 1);
    w_is(&w, 1, CANCELLED);
    w_clear(&w);
}
END_TEST

START_TEST(a_step_at_its_barrier_stays_there_and_its_deadline_waits_as_well)
{
    uint32_t step;
    setup_with(1);
    struct tug_event more = {.type = TUG_EV_STEP_SUBMIT, .job = 1, .step_out = &step};
    unit_fails(w_event(&w, more), -EINVAL, w.err, "job 1 is SUSPENDING");
    w_clear(&w);
    setup_with(1);
    w_done(&w, 2, 1, 0, 0, 0); /* not there yet: ignored */
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 2}), 0);
    stopped_on(0);
    stopped_on(1);
    pass();
    w_is(&w, 1, RUNNING);
    ck_assert_int_eq(w_event(&w, more), 0);
    w_ready(&w, 1, 1, step, 0);
    submit(3, "all", 1, 1);
    w_forget(&w);
    w_ready(&w, 1, 1, step, 1); /* the last one */
    ck_assert_ptr_null(strstr(w_said(&w), "START"));
    w_tick(&w, w.now + 30001); /* past its deadline */
    w_is(&w, 1, RUNNING);
    ck_assert_str_eq(tug_job_shown_state(w_job(&w, 1)), "SUSPENDING");
    stopped_on(0);
    stopped_on(1);
    w_is(&w, 1, SUSPENDED);
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 3}), 0);
    w_forget(&w);
    pass();
    w_is(&w, 1, RUNNING);
    w_saw(&w, "START 1.1.1 n0\nSTART 1.1.1 n1\n");
    w_clear(&w);
}
END_TEST

START_TEST(a_step_that_is_being_ended_is_waited_for)
{
    uint32_t step;
    w_init(&w, 2, 4);
    w_clear(&w);
    setup_with(1);
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 2}), 0);
    stopped_on(0);
    stopped_on(1);
    pass();
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_STEP_SUBMIT, .job = 1, .step_out = &step}), 0);
    w_ready(&w, 1, 1, step, 0);
    w_ready(&w, 1, 1, step, 1);
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_STEP_CANCEL, .job = 1, .step = step}), 0);
    submit(3, "all", 1, 1);
    stopped_on(0);
    stopped_on(1);
    ck_assert_str_eq(tug_job_shown_state(w_job(&w, 1)), "SUSPENDING");
    w_gone(&w, 1, 1, step, 0);
    ck_assert_str_eq(tug_job_shown_state(w_job(&w, 1)), "SUSPENDING");
    w_gone(&w, 1, 1, step, 1);
    w_is(&w, 1, SUSPENDED);
    w_clear(&w);
}
END_TEST

START_TEST(a_node_that_never_heard_to_start_is_told_to_and_then_to_stop)
{
    setup();
    stopped_on(0);
    w_forget(&w);
    w_ready(&w, 1, 1, 0, 1);
    w_said_is(&w, "START 1.1.0 n1\nSIGNAL 1.1.0 n1 19\n");
    holds_all();
    stopped_on(1);
    w_is(&w, 1, SUSPENDED);
    w_clear(&w);
}
END_TEST

UNIT_MAIN("core/suspend", what_it_holds_is_free_when_the_last_node_says_that_it_is_stopped,
          a_word_about_an_order_of_before_counts_for_nothing, a_node_that_is_lost_meanwhile_ends_the_attempt,
          a_controller_that_comes_back_asks_again_and_gives_the_nodes_their_time_anew,
          who_is_not_stopped_in_time_is_ended_and_the_node_is_named,
          whose_ranks_end_by_themselves_meanwhile_need_not_be_stopped, a_cancel_meanwhile_ends_it,
          a_step_at_its_barrier_stays_there_and_its_deadline_waits_as_well, a_step_that_is_being_ended_is_waited_for,
          a_node_that_never_heard_to_start_is_told_to_and_then_to_stop)
