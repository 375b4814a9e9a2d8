/* test_step.c - further steps inside a running job: their own barrier, their own end */
#include <errno.h>

#include "world.h"

static struct world w;

/* Job 1, 3 nodes, 6 tasks, RUNNING. */
static void a_job_runs(uint8_t batch)
{
    w_init(&w, 3, 8);
    w_up_all(&w);
    struct tug_job_req r = w_req(3, 8);
    r.ntasks = 6;
    r.batch = batch;
    w_submit(&w, 1, r);
    w_run(&w, 1);
}

static uint32_t step(uint32_t ntasks)
{
    uint32_t id = 0;
    struct tug_event ev = {.type = TUG_EV_STEP_SUBMIT, .job = 1, .ntasks = ntasks, .step_out = &id};
    ck_assert_msg(w_event(&w, ev) == 0, "%s", w.err.msg);
    return id;
}

START_TEST(a_batch_script_is_one_process_on_the_first_node_and_its_end_ends_the_job)
{
    a_job_runs(1);
    const struct tug_step *s = tug_core_step(w.c, 1, 0);
    ck_assert_uint_eq(s->n_parts, 1);
    ck_assert_uint_eq(s->ntasks, 1);
    ck_assert_uint_eq(w_job(&w, 1)->n_slices, 3);
    w_done(&w, 1, 1, 0, 0, 2);
    w_is(&w, 1, FAILED);
    ck_assert_int_eq(w_job(&w, 1)->exit.code, 2);
    w_clear(&w);
}
END_TEST

START_TEST(a_step_spreads_its_tasks_over_the_allocation_as_the_job_does)
{
    a_job_runs(1);
    ck_assert_uint_eq(step(0), 1);
    w_said_is(&w, "CHANGED 1\nLAUNCH 1.1.1 n0\nLAUNCH 1.1.1 n1\nLAUNCH 1.1.1 n2\n");
    const struct tug_step *s = tug_core_step(w.c, 1, 1);
    ck_assert_uint_eq(s->ntasks, 6);
    ck_assert_uint_eq(s->parts[2].first_rank, 4);
    ck_assert_uint_eq(s->parts[2].ntasks, 2);
    ck_assert_uint_eq(step(4), 2);
    s = tug_core_step(w.c, 1, 2);
    ck_assert_uint_eq(s->parts[0].ntasks, 2);
    ck_assert_uint_eq(s->parts[1].ntasks, 1);
    ck_assert_uint_eq(s->parts[2].first_rank, 3);
    w_forget(&w);
    ck_assert_uint_eq(step(2), 3);
    w_said_is(&w, "CHANGED 1\nLAUNCH 1.1.3 n0\nLAUNCH 1.1.3 n1\n");
    w_clear(&w);
}
END_TEST

START_TEST(a_step_has_its_own_barrier_and_leaves_when_it_is_done)
{
    a_job_runs(0);
    step(2);
    w_forget(&w);
    w_ready(&w, 1, 1, 1, 1);
    w_said_is(&w, "CHANGED 1\n");
    w_ready(&w, 1, 1, 1, 0);
    w_said_is(&w, "CHANGED 1\nSTART 1.1.1 n0\nSTART 1.1.1 n1\n");
    w_done(&w, 1, 1, 1, 0, 0);
    w_done(&w, 1, 1, 1, 1, 0);
    w_saw(&w, "STEP_ENDED 1.1 COMPLETED\n");
    ck_assert_ptr_null(tug_core_step(w.c, 1, 1));
    w_is(&w, 1, RUNNING);
    ck_assert_uint_eq(step(1), 2);
    w_clear(&w);
}
END_TEST

START_TEST(a_step_that_fails_is_ended_everywhere_and_the_job_goes_on)
{
    a_job_runs(0);
    step(2);
    w_ready(&w, 1, 1, 1, 0);
    w_ready(&w, 1, 1, 1, 1);
    w_forget(&w);
    w_done(&w, 1, 1, 1, 1, 7);
    w_said_is(
        &w,
        "CHANGED 1\nKILL 1.1.1 n0 grace 5: rank 1 on node n1 exited with code 7\nACK 1.1.1 n1\n");
    w_gone(&w, 1, 1, 1, 0);
    w_said_is(&w, "CHANGED 1\nSTEP_ENDED 1.1 FAILED\nACK 1.1.1 n0\n");
    w_is(&w, 1, RUNNING);
    ck_assert_int_eq(w_job(&w, 1)->cause.kind, TUG_CAUSE_NONE);
    w_clear(&w);
}
END_TEST

START_TEST(a_step_that_cannot_be_launched_or_is_late_fails_and_the_job_goes_on)
{
    a_job_runs(0);
    step(2);
    w_failed(&w, 1, 1, 1, 0, TUG_CAUSE_LAUNCH, "no");
    w_gone(&w, 1, 1, 1, 0);
    w_gone(&w, 1, 1, 1, 1);
    w_saw(&w, "STEP_ENDED 1.1 FAILED\n");
    step(2);
    w_ready(&w, 1, 1, 2, 0);
    ck_assert_int_eq(tug_core_next_wake(w.c), 1030000);
    w_forget(&w);
    w_tick(&w, 1030000);
    w_saw(&w, "KILL 1.1.2 n1 grace 0: node n1 was not ready within 30 s\n");
    w_gone(&w, 1, 1, 2, 0);
    w_gone(&w, 1, 1, 2, 1);
    w_saw(&w, "STEP_ENDED 1.2 FAILED\n");
    w_is(&w, 1, RUNNING);
    w_clear(&w);
}
END_TEST

START_TEST(a_step_is_cancelled_alone_and_step_0_is_the_job)
{
    a_job_runs(0);
    step(1);
    struct tug_event cancel = {.type = TUG_EV_STEP_CANCEL, .job = 1, .step = 1, .text = "by ann"};
    ck_assert_int_eq(w_event(&w, cancel), 0);
    unit_fails(w_event(&w, cancel), -EALREADY, w.err, "step 1 of job 1 is being ended already");
    w_gone(&w, 1, 1, 1, 0);
    w_saw(&w, "STEP_ENDED 1.1 CANCELLED\n");
    unit_fails(w_event(&w, cancel), -ENOENT, w.err, "there is no step 1 in job 1");
    w_is(&w, 1, RUNNING);
    cancel.step = 0;
    ck_assert_int_eq(w_event(&w, cancel), 0);
    w_is(&w, 1, COMPLETING);
    w_clear(&w);
}
END_TEST

START_TEST(when_the_main_step_ends_all_others_are_killed_and_awaited)
{
    a_job_runs(1);
    step(3);
    for (uint32_t i = 0; i < 3; i++)
        w_ready(&w, 1, 1, 1, i);
    w_forget(&w);
    w_done(&w, 1, 1, 0, 0, 0);
    w_saw(&w, "KILL 1.1.1 n2 grace 5: its job is being ended\n");
    w_is(&w, 1, COMPLETING);
    for (uint32_t i = 0; i < 3; i++)
        w_gone(&w, 1, 1, 1, i);
    w_saw(&w, "STEP_ENDED 1.1 CANCELLED\n");
    w_is(&w, 1, COMPLETED);
    w_clear(&w);
}
END_TEST

START_TEST(a_step_runs_on_the_nodes_that_it_names_and_on_no_other)
{
    a_job_runs(1);
    const uint32_t on[] = {0, 2}, twice[] = {1, 1}, off[] = {3};
    uint32_t id = 0;
    struct tug_event ev = {.type = TUG_EV_STEP_SUBMIT,
                           .job = 1,
                           .ntasks = 3,
                           .on = on,
                           .n_on = 2,
                           .step_out = &id};
    ck_assert_int_eq(w_event(&w, ev), 0);
    w_said_is(&w, "CHANGED 1\nLAUNCH 1.1.1 n0\nLAUNCH 1.1.1 n2\n");
    const struct tug_step *s = tug_core_step(w.c, 1, id);
    ck_assert_uint_eq(s->n_parts, 2);
    ck_assert_uint_eq(s->parts[1].slice, 2);
    ck_assert_uint_eq(s->parts[1].first_rank, 2);
    ev.ntasks = 1;
    unit_fails(w_event(&w, ev), -EINVAL, w.err, "1 ranks cannot be on 2 nodes: each has one at least");
    ev.ntasks = 2;
    ev.on = twice;
    unit_fails(w_event(&w, ev), -EINVAL, w.err, "the step's nodes are not nodes of job 1, each once");
    ev.on = off;
    ev.n_on = 1;
    unit_fails(w_event(&w, ev), -EINVAL, w.err, "the step's nodes are not nodes of job 1, each once");
    w_clear(&w);
}
END_TEST

START_TEST(steps_are_refused_in_a_job_that_does_not_run)
{
    w_init(&w, 1, 8);
    w_up_all(&w);
    w_submit(&w, 1, w_req(1, 8));
    struct tug_event ev = {.type = TUG_EV_STEP_SUBMIT, .job = 1, .ntasks = 1};
    unit_fails(w_event(&w, ev), -EINVAL, w.err,
               "job 1 is PENDING: steps are started inside a job that runs");
    ev.job = 2;
    unit_fails(w_event(&w, ev), -ENOENT, w.err, "there is no job 2");
    w_clear(&w);
}
END_TEST

UNIT_MAIN("core/step", a_batch_script_is_one_process_on_the_first_node_and_its_end_ends_the_job,
          a_step_spreads_its_tasks_over_the_allocation_as_the_job_does,
          a_step_has_its_own_barrier_and_leaves_when_it_is_done,
          a_step_that_fails_is_ended_everywhere_and_the_job_goes_on,
          a_step_that_cannot_be_launched_or_is_late_fails_and_the_job_goes_on,
          a_step_is_cancelled_alone_and_step_0_is_the_job,
          when_the_main_step_ends_all_others_are_killed_and_awaited,
          a_step_runs_on_the_nodes_that_it_names_and_on_no_other,
          steps_are_refused_in_a_job_that_does_not_run)
