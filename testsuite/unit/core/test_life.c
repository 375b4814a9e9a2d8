/* test_life.c - the life of a job, event by event, at exact virtual times */
#include <errno.h>

#include "world.h"

static struct world w;

static void setup(uint32_t nodes, uint32_t gpus)
{
    w_init(&w, nodes, gpus);
    w_up_all(&w);
}

/* Job 1 on n0 and n1, RUNNING. */
static void two_nodes_run(struct tug_job_req r)
{
    setup(4, 8);
    w_submit(&w, 1, r);
    w_run(&w, 1);
}

START_TEST(a_gang_waits_is_set_up_runs_and_completes)
{
    setup(4, 8);
    w_submit(&w, 1, w_req(2, 8));
    w_said_is(&w, "CHANGED 1\nHISTORY 1 submit\n");
    w_is(&w, 1, PENDING);
    ck_assert_int_eq(tug_core_wants_pass(w.c), 1);
    w.now += 10;
    ck_assert_int_eq(w_pass(&w), 1);
    w_said_is(&w, "CHANGED 1\nLAUNCH 1.1.0 n0\nLAUNCH 1.1.0 n1\n");
    w_is(&w, 1, CONFIGURING);
    ck_assert_int_eq(w_job(&w, 1)->alloc_ms, 1000010);
    ck_assert_int_eq(tug_core_next_wake(w.c), 1030010);
    w.now += 5;
    w_ready(&w, 1, 1, 0, 1);
    w_said_is(&w, "CHANGED 1\n");
    w.now += 5;
    w_ready(&w, 1, 1, 0, 0);
    w_said_is(&w, "CHANGED 1\nHISTORY 1 start\nSTART 1.1.0 n0\nSTART 1.1.0 n1\n");
    w_is(&w, 1, RUNNING);
    ck_assert_int_eq(w_job(&w, 1)->launched_ms, 1000020);
    w.now += 100;
    w_done(&w, 1, 1, 0, 0, 0);
    w_said_is(&w, "CHANGED 1\nACK 1.1.0 n0\n");
    w_is(&w, 1, RUNNING);
    w_done(&w, 1, 1, 0, 1, 0);
    w_said_is(&w, "CHANGED 1\nHISTORY 1 end\nACK 1.1.0 n1\n");
    w_is(&w, 1, COMPLETED);
    ck_assert_int_eq(w_job(&w, 1)->end_ms, 1000120);
    ck_assert_int_eq(w_job(&w, 1)->steps[0].state, TUG_STEP_COMPLETED);
    ck_assert_int_eq(tug_core_wants_pass(w.c), 1);
    w_clear(&w);
}
END_TEST

START_TEST(a_rank_that_fails_ends_the_whole_gang_and_is_named)
{
    two_nodes_run(w_req(2, 8));
    w_done(&w, 1, 1, 0, 1, 3);
    w_saw(&w, "KILL 1.1.0 n0 grace 5: rank 1 on node n1 exited with code 3\n");
    w_is(&w, 1, COMPLETING);
    ck_assert_int_eq(w_job(&w, 1)->end_state, TUG_JOB_FAILED);
    w_gone(&w, 1, 1, 0, 0);
    w_is(&w, 1, FAILED);
    const struct tug_job *j = w_job(&w, 1);
    ck_assert_int_eq(j->cause.kind, TUG_CAUSE_RANK);
    ck_assert_uint_eq(j->cause.rank, 1);
    ck_assert_uint_eq(j->cause.node, 1);
    ck_assert_int_eq(j->exit.code, 3);
    w_clear(&w);
}
END_TEST

START_TEST(the_head_may_name_another_node_of_the_gang_but_not_for_what_counts_against_it)
{
    two_nodes_run(w_req(2, 8));
    struct tug_event ev = {.type = TUG_EV_STEP_FAILED,
                           .job = 1,
                           .attempt = 1,
                           .cause = {.kind = TUG_CAUSE_RANK, .rank = 1, .node = 1, .exit = {.code = 7},
                                     .text = (char *) (uintptr_t) "rank 1 exited with code 7"}};
    ck_assert_int_eq(w_event(&w, ev), 0);
    ck_assert_uint_eq(w_job(&w, 1)->cause.node, 1);
    w_clear(&w);

    two_nodes_run(w_req(2, 8));
    ev.cause.kind = TUG_CAUSE_STEPD; /* counts against a node before the barrier only */
    ck_assert_int_eq(w_event(&w, ev), 0);
    ck_assert_uint_eq(w_job(&w, 1)->cause.node, 1);
    w_clear(&w);

    w_init(&w, 2, 8);
    w_up_all(&w);
    w_submit(&w, 1, w_req(2, 8));
    w_pass(&w);
    ck_assert_int_eq(w_event(&w, ev), 0);
    ck_assert_uint_eq(w_job(&w, 1)->cause.node, 0);
    w_clear(&w);
}
END_TEST

START_TEST(the_first_failure_is_kept_and_the_killed_ranks_do_not_overwrite_it)
{
    two_nodes_run(w_req(2, 8));
    w_failed(&w, 1, 1, 0, 0, TUG_CAUSE_STEPD, "the step daemon is gone");
    w_said_is(&w, "CHANGED 1\nKILL 1.1.0 n0 grace 5: the step daemon is gone\nKILL 1.1.0 n1 grace "
                  "5: the step daemon is gone\n");
    w_failed(&w, 1, 1, 0, 1, TUG_CAUSE_IO, "something later");
    const struct tug_exit killed[] = {{.signal = 15}};
    struct tug_event ev = {
        .type = TUG_EV_STEP_DONE, .job = 1, .attempt = 1, .node = 1, .exits = killed, .n_exits = 1};
    ck_assert_int_eq(w_event(&w, ev), 0);
    w_is(&w, 1, COMPLETING);
    ev.node = 0;
    ck_assert_int_eq(w_event(&w, ev), 0);
    w_is(&w, 1, FAILED);
    ck_assert_int_eq(w_job(&w, 1)->cause.kind, TUG_CAUSE_STEPD);
    ck_assert_str_eq(w_job(&w, 1)->cause.text, "the step daemon is gone");
    ck_assert_uint_eq(w_job(&w, 1)->cause.node, 0);
    w_clear(&w);
}
END_TEST

START_TEST(resources_are_freed_only_when_every_part_is_gone)
{
    two_nodes_run(w_req(2, 8));
    w_submit(&w, 2, w_req(4, 8));
    w_done(&w, 1, 1, 0, 0, 1);
    ck_assert_int_eq(w_pass(&w), 0);
    w_is(&w, 2, PENDING);
    w_gone(&w, 1, 1, 0, 1);
    ck_assert_int_eq(w_pass(&w), 1);
    w_is(&w, 2, CONFIGURING);
    w_clear(&w);
}
END_TEST

START_TEST(a_rank_killed_for_memory_makes_the_job_OUT_OF_MEMORY)
{
    two_nodes_run(w_req(2, 8));
    const struct tug_exit oom[] = {{.signal = 9, .oom = 1}};
    struct tug_event ev = {
        .type = TUG_EV_STEP_DONE, .job = 1, .attempt = 1, .node = 1, .exits = oom, .n_exits = 1};
    ck_assert_int_eq(w_event(&w, ev), 0);
    w_gone(&w, 1, 1, 0, 0);
    w_is(&w, 1, OUT_OF_MEMORY);
    ck_assert_int_eq(w_job(&w, 1)->exit.signal, 9);
    ck_assert_int_eq(w_job(&w, 1)->exit.oom, 1);
    w_clear(&w);
}
END_TEST

START_TEST(memory_that_shows_only_in_the_result_after_the_early_word_counts_too)
{
    two_nodes_run(w_req(2, 8));
    w_failed(&w, 1, 1, 0, 1, TUG_CAUSE_RANK, "rank 1 was ended by signal 9");
    const struct tug_exit oom[] = {{.signal = 9, .oom = 1}};
    struct tug_event ev = {
        .type = TUG_EV_STEP_DONE, .job = 1, .attempt = 1, .node = 1, .exits = oom, .n_exits = 1};
    ev.cause = (struct tug_cause){.kind = TUG_CAUSE_RANK, .node = 1, .exit = oom[0], .text = (char *) "ask for more with --mem"};
    ck_assert_int_eq(w_event(&w, ev), 0);
    w_gone(&w, 1, 1, 0, 0);
    w_is(&w, 1, OUT_OF_MEMORY);
    ck_assert_str_eq(w_job(&w, 1)->cause.text, "ask for more with --mem");
    w_clear(&w);
}
END_TEST

START_TEST(the_time_limit_runs_from_the_barrier_and_ends_the_gang_with_grace)
{
    setup(4, 8);
    struct tug_job_req r = w_req(2, 8);
    r.time_limit_s = 60;
    w_submit(&w, 1, r);
    w_pass(&w);
    w.now += 7000;
    w_ready(&w, 1, 1, 0, 0);
    w_ready(&w, 1, 1, 0, 1);
    w_forget(&w);
    ck_assert_int_eq(tug_core_next_wake(w.c), 1067000);
    ck_assert_int_eq(w_job(&w, 1)->limit_ms, 1067000);
    w_tick(&w, 1066999);
    w_is(&w, 1, RUNNING);
    w_tick(&w, 1067000);
    w_said_is(&w, "CHANGED 1\nKILL 1.1.0 n0 grace 5: ran into its time limit of 60 s\n"
                  "KILL 1.1.0 n1 grace 5: ran into its time limit of 60 s\n");
    w_is(&w, 1, COMPLETING);
    w_gone(&w, 1, 1, 0, 0);
    w_gone(&w, 1, 1, 0, 1);
    w_is(&w, 1, TIMEOUT);
    ck_assert_int_eq(w_job(&w, 1)->cause.kind, TUG_CAUSE_TIMELIMIT);
    w_clear(&w);
}
END_TEST

START_TEST(a_waiting_job_is_cancelled_at_once)
{
    setup(1, 8);
    w_submit(&w, 1, w_req(1, 8));
    w_forget(&w);
    ck_assert_int_eq(
        w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 1, .text = "by ann"}), 0);
    w_said_is(&w, "CHANGED 1\nHISTORY 1 end\n");
    w_is(&w, 1, CANCELLED);
    ck_assert_str_eq(w_job(&w, 1)->cause.text, "by ann");
    unit_fails(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 1}), -EALREADY,
               w.err, "job 1 is over already (CANCELLED)");
    unit_fails(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 9}), -ENOENT, w.err,
               "there is no job 9");
    w_clear(&w);
}
END_TEST

START_TEST(a_job_is_cancelled_while_it_is_set_up_runs_or_is_being_requeued)
{
    for (int when = 0; when < 3; when++) {
        setup(2, 8);
        w_submit(&w, 1, w_req(2, 8));
        if (when == 0)
            w_pass(&w);
        else
            w_run(&w, 1);
        if (when == 2)
            w_down(&w, 1);
        w_forget(&w);
        struct tug_event cancel = {.type = TUG_EV_JOB_CANCEL, .job = 1, .text = "by ann"};
        ck_assert_int_eq(w_event(&w, cancel), 0);
        w_is(&w, 1, COMPLETING);
        unit_fails(w_event(&w, cancel), -EALREADY, w.err, "is being ended already (CANCELLED)");
        if (when == 0) /* nobody runs yet: no grace */
            w_saw(&w, "KILL 1.1.0 n0 grace 0: by ann\n");
        if (when == 1)
            w_saw(&w, "KILL 1.1.0 n0 grace 5: by ann\n");
        w_gone(&w, 1, 1, 0, 0);
        w_is(&w, 1, COMPLETING);
        if (when == 2)
            w_lease_over(&w, 1);
        else
            w_gone(&w, 1, 1, 0, 1);
        w_is(&w, 1, CANCELLED);
        ck_assert_int_eq(w_job(&w, 1)->requeues, 0);
        w_clear(&w);
    }
}
END_TEST

START_TEST(a_launch_that_fails_puts_the_job_back_says_why_and_gives_everything_back)
{
    setup(2, 8);
    w_submit(&w, 1, w_req(2, 8));
    w_pass(&w);
    w_ready(&w, 1, 1, 0, 0);
    w_forget(&w);
    w_failed(&w, 1, 1, 0, 1, TUG_CAUSE_LAUNCH, "cannot make its cgroup");
    w_said_is(&w, "NODE_CHANGED n1\nCHANGED 1\nHISTORY 1 requeue\nKILL 1.1.0 n0 grace 0: cannot make its cgroup\n"
                  "KILL 1.1.0 n1 grace 0: cannot make its cgroup\n");
    w_is(&w, 1, REQUEUED);
    int reason;
    char text[256];
    tug_core_explain(w.c, w_job(&w, 1), &reason, text, sizeof text);
    ck_assert_int_eq(reason, TUG_REASON_CLEANING);
    w_gone(&w, 1, 1, 0, 1);
    w_is(&w, 1, REQUEUED);
    w_gone(&w, 1, 1, 0, 0);
    w_is(&w, 1, PENDING);
    ck_assert_uint_eq(w_job(&w, 1)->attempt, 2);
    ck_assert_uint_eq(w_job(&w, 1)->launch_failures, 1);
    tug_core_explain(w.c, w_job(&w, 1), &reason, text, sizeof text);
    ck_assert_ptr_nonnull(strstr(text, "attempt 1 ended early on node n1: cannot make its cgroup"));
    struct tug_core_counts n;
    tug_core_count(w.c, &n);
    ck_assert_uint_eq(n.gpus_used, 0);
    w_forget(&w);
    w_pass(&w);
    w_said_is(&w, "CHANGED 1\nLAUNCH 1.2.0 n0\nLAUNCH 1.2.0 n1\n");
    w_clear(&w);
}
END_TEST

START_TEST(a_node_that_is_not_ready_in_time_is_named_and_the_job_waits_again)
{
    setup(3, 8);
    w_submit(&w, 1, w_req(3, 8));
    w_pass(&w);
    w_ready(&w, 1, 1, 0, 0);
    w_forget(&w);
    w_tick(&w, 1029999);
    w_is(&w, 1, CONFIGURING);
    w_tick(&w, 1030000);
    w_is(&w, 1, REQUEUED);
    w_saw(&w, "KILL 1.1.0 n2 grace 0: node n1 was not ready within 30 s, nor 1 more\n");
    for (uint32_t i = 0; i < 3; i++)
        w_gone(&w, 1, 1, 0, i);
    w_is(&w, 1, PENDING);
    ck_assert_uint_eq(w_job(&w, 1)->cause.node, 1);
    w_clear(&w);
}
END_TEST

static void fail_launch(uint32_t attempt, enum tug_cause_kind kind)
{
    w_pass(&w);
    w_failed(&w, 1, attempt, 0, w_job(&w, 1)->slices[0].node, kind, "no");
    if (w_job(&w, 1)->n_slices)
        w_gone(&w, 1, attempt, 0, w_job(&w, 1)->slices[0].node);
}

START_TEST(three_failed_launches_in_a_row_are_BOOT_FAIL_and_a_start_in_between_counts_anew)
{
    setup(1, 8);
    w.conf.node_bad_launches = 0;
    w_open(&w);
    w_up_all(&w);
    w_submit(&w, 1, w_req(1, 8));
    fail_launch(1, TUG_CAUSE_LAUNCH);
    fail_launch(2, TUG_CAUSE_LAUNCH);
    w_run(&w, 1);
    ck_assert_uint_eq(w_job(&w, 1)->launch_failures, 0);
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_REQUEUE, .job = 1}), 0);
    w_gone(&w, 1, 3, 0, 0);
    fail_launch(4, TUG_CAUSE_LAUNCH);
    fail_launch(5, TUG_CAUSE_STEPD);
    w_is(&w, 1, PENDING);
    fail_launch(6, TUG_CAUSE_LAUNCH);
    w_is(&w, 1, BOOT_FAIL);
    w_clear(&w);
}
END_TEST

START_TEST(an_output_path_that_cannot_be_written_is_the_users_and_never_tried_again)
{
    setup(1, 8);
    w_submit(&w, 1, w_req(1, 8));
    w_pass(&w);
    w_failed(&w, 1, 1, 0, 0, TUG_CAUSE_OUTPUT, "cannot write /nope/out: No such file or directory");
    w_gone(&w, 1, 1, 0, 0);
    w_is(&w, 1, FAILED);
    ck_assert_str_eq(w_job(&w, 1)->cause.text, "cannot write /nope/out: No such file or directory");
    w_clear(&w);
}
END_TEST

START_TEST(an_interactive_job_fails_instead_of_waiting_again)
{
    setup(2, 8);
    struct tug_job_req r = w_req(1, 8);
    r.interactive = 1;
    w_submit(&w, 1, r);
    w_pass(&w);
    w_failed(&w, 1, 1, 0, 0, TUG_CAUSE_LAUNCH, "no");
    w_gone(&w, 1, 1, 0, 0);
    w_is(&w, 1, FAILED);
    w_submit(&w, 2, r);
    w_run(&w, 2);
    unit_fails(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_REQUEUE, .job = 2}), -EPERM, w.err,
               "interactive");
    w_down(&w, 0);
    w_lease_over(&w, 0);
    w_is(&w, 2, NODE_FAIL);
    w_clear(&w);
}
END_TEST

START_TEST(a_part_that_ends_before_the_barrier_is_a_failed_launch)
{
    setup(2, 8);
    w_submit(&w, 1, w_req(2, 8));
    w_pass(&w);
    w_ready(&w, 1, 1, 0, 0);
    w_done(&w, 1, 1, 0, 0, 0); /* gone while it should wait for the other */
    w_is(&w, 1, REQUEUED);
    w_gone(&w, 1, 1, 0, 1);
    w_is(&w, 1, PENDING);
    ck_assert_str_eq(w_job(&w, 1)->cause.text, "ended before the gang started");
    w_clear(&w);
}
END_TEST

START_TEST(an_admin_or_owner_requeues_a_job_that_may_be)
{
    two_nodes_run(w_req(2, 8));
    struct tug_event requeue = {.type = TUG_EV_JOB_REQUEUE, .job = 1, .text = "maintenance"};
    ck_assert_int_eq(w_event(&w, requeue), 0);
    w_is(&w, 1, REQUEUED);
    unit_fails(w_event(&w, requeue), -EALREADY, w.err, "job 1 waits already");
    w_gone(&w, 1, 1, 0, 0);
    w_gone(&w, 1, 1, 0, 1);
    w_is(&w, 1, PENDING);
    unit_fails(w_event(&w, requeue), -EALREADY, w.err, "job 1 waits already");
    ck_assert_uint_eq(w_job(&w, 1)->requeues, 1);
    struct tug_job_req r = w_req(1, 1);
    r.requeue = 0;
    w_submit(&w, 2, r);
    w_pass(&w);
    requeue.job = 2;
    unit_fails(w_event(&w, requeue), -EPERM, w.err, "job 2 was submitted not to be requeued");
    w_clear(&w);
}
END_TEST

START_TEST(a_job_with_a_begin_time_waits_for_it_and_no_pass_looks_at_it)
{
    setup(1, 8);
    struct tug_job_req r = w_req(1, 8);
    r.begin_ms = w.now + 5000;
    w_submit(&w, 1, r);
    ck_assert_int_eq(w_pass(&w), 0);
    ck_assert_uint_eq(w.stats.looked_at, 0);
    ck_assert_int_eq(tug_core_next_wake(w.c), 1005000);
    int reason;
    char text[256];
    tug_core_explain(w.c, w_job(&w, 1), &reason, text, sizeof text);
    ck_assert_int_eq(reason, TUG_REASON_BEGIN_TIME);
    w_tick(&w, 1005000);
    ck_assert_int_eq(tug_core_wants_pass(w.c), 1);
    ck_assert_int_eq(w_pass(&w), 1);
    w_clear(&w);
}
END_TEST

START_TEST(a_job_that_is_over_is_forgotten_after_its_time)
{
    setup(1, 8);
    w_submit(&w, 1, w_req(1, 8));
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 1}), 0);
    w_forget(&w);
    w_tick(&w, 1000000 + 3600 * 1000 - 1);
    ck_assert_ptr_nonnull(tug_core_job(w.c, 1));
    w_tick(&w, 1000000 + 3600 * 1000);
    w_said_is(&w, "FORGOTTEN 1\n");
    ck_assert_ptr_null(tug_core_job(w.c, 1));
    ck_assert_int_eq(tug_core_next_wake(w.c), INT64_MAX);
    w_clear(&w);
}
END_TEST

START_TEST(signals_reach_every_started_part_and_nothing_else)
{
    two_nodes_run(w_req(2, 8));
    w_done(&w, 1, 1, 0, 0, 0);
    w_forget(&w);
    struct tug_event ev = {.type = TUG_EV_JOB_SIGNAL, .job = 1, .signal = 10};
    ck_assert_int_eq(w_event(&w, ev), 0);
    w_said_is(&w, "SIGNAL 1.1.0 n1 10\n");
    ev.step = 4;
    unit_fails(w_event(&w, ev), -ENOENT, w.err, "there is no step 4 in job 1");
    w_submit(&w, 2, w_req(1, 1));
    w_pass(&w);
    ev = (struct tug_event){.type = TUG_EV_JOB_SIGNAL, .job = 2, .signal = 10};
    unit_fails(w_event(&w, ev), -EINVAL, w.err, "step 0 of job 2 does not run");
    w_clear(&w);
}
END_TEST

START_TEST(ranks_that_wired_up_everywhere_give_the_time_once)
{
    two_nodes_run(w_req(2, 8));
    struct tug_event ev = {.type = TUG_EV_STEP_WIRED, .job = 1, .attempt = 1, .node = 0};
    w.now += 3;
    ck_assert_int_eq(w_event(&w, ev), 0);
    ck_assert_int_eq(w_event(&w, ev), 0);
    ck_assert_int_eq(w_job(&w, 1)->wired_ms, -1);
    ev.node = 1;
    ck_assert_int_eq(w_event(&w, ev), 0);
    ck_assert_int_eq(w_job(&w, 1)->wired_ms, 1000003);
    w_clear(&w);
}
END_TEST

START_TEST(who_holds_a_gang_up_is_known_while_its_head_says_so)
{
    two_nodes_run(w_req(2, 8));
    struct tug_hang hang = {.kind = "stopped", .rank = 1, .node = 1, .ranks = 1, .since_ms = 1000000,
                            .text = (char *) (uintptr_t) "rank 1 on node n1 is stopped"};
    const struct tug_hang nobody = {.node = TUG_NO_NODE};
    struct tug_event ev = {.type = TUG_EV_STEP_WATCH, .job = 1, .attempt = 1, .node = 1, .hang = &hang};
    ck_assert_int_eq(w_event(&w, ev), 0); /* not the head */
    w_said_is(&w, "");
    ev.node = 0;
    ck_assert_int_eq(w_event(&w, ev), 0);
    w_said_is(&w, "CHANGED 1\nHISTORY 1 hang\n");
    ck_assert_str_eq(w_job(&w, 1)->hang.text, "rank 1 on node n1 is stopped");
    ck_assert_uint_eq(w_job(&w, 1)->hang.node, 1);
    ck_assert_int_eq(w_event(&w, ev), 0); /* said again */
    w_said_is(&w, "");
    hang.text = (char *) (uintptr_t) "ranks 0 and 1 are stopped";
    ck_assert_int_eq(w_event(&w, ev), 0);
    w_said_is(&w, "CHANGED 1\n");
    ev.hang = &nobody;
    ck_assert_int_eq(w_event(&w, ev), 0);
    w_said_is(&w, "CHANGED 1\nHISTORY 1 hang-over\n");
    ck_assert_str_eq(w_job(&w, 1)->hang.kind, "");
    ck_assert_int_eq(w_event(&w, ev), 0);
    w_said_is(&w, "");
    w_clear(&w);
}
END_TEST

/* Job 1 runs on n0 and n1 and its head says that it hung. */
static void it_hangs(uint32_t attempt)
{
    struct tug_event ev = {.type = TUG_EV_STEP_FAILED,
                           .job = 1,
                           .attempt = attempt,
                           .cause = {.kind = TUG_CAUSE_HANG, .rank = 1, .node = 1,
                                     .text = (char *) (uintptr_t) "the gang hung: rank 1 on node n1 is stopped"}};
    ck_assert_int_eq(w_event(&w, ev), 0);
}

START_TEST(a_gang_that_hung_and_wants_it_is_run_again_three_times)
{
    two_nodes_run(w_req(2, 8));
    for (uint32_t attempt = 1; attempt <= 3; attempt++) {
        it_hangs(attempt);
        w_is(&w, 1, REQUEUED);
        ck_assert_int_eq(w_job(&w, 1)->cause.kind, TUG_CAUSE_HANG);
        ck_assert_uint_eq(w_job(&w, 1)->cause.node, 1);
        w_gone(&w, 1, attempt, 0, 0);
        w_gone(&w, 1, attempt, 0, 1);
        w_is(&w, 1, PENDING);
        w_run(&w, 1);
        ck_assert_uint_eq(w_job(&w, 1)->attempt, attempt + 1);
    }
    it_hangs(4);
    w_is(&w, 1, COMPLETING);
    ck_assert_int_eq(w_job(&w, 1)->end_state, TUG_JOB_FAILED);
    w_clear(&w);
}
END_TEST

START_TEST(a_gang_that_hung_and_may_not_be_run_again_has_failed)
{
    struct tug_job_req r = w_req(2, 8);
    r.requeue = 0;
    two_nodes_run(r);
    it_hangs(1);
    w_is(&w, 1, COMPLETING);
    ck_assert_int_eq(w_job(&w, 1)->end_state, TUG_JOB_FAILED);
    ck_assert_int_eq(w_job(&w, 1)->cause.kind, TUG_CAUSE_HANG);
    w_clear(&w);
}
END_TEST

START_TEST(a_step_that_hung_takes_its_job_along)
{
    two_nodes_run(w_req(2, 8));
    uint32_t step = 0;
    struct tug_event start = {.type = TUG_EV_STEP_SUBMIT, .job = 1, .step_out = &step};
    struct tug_event hung = {.type = TUG_EV_STEP_FAILED, .job = 1, .attempt = 1, .step = 1,
                             .cause = {.kind = TUG_CAUSE_HANG, .node = 0, .text = (char *) (uintptr_t) "it hung"}};
    ck_assert_int_eq(w_event(&w, start), 0);
    ck_assert_uint_eq(step, 1);
    w_ready(&w, 1, 1, 1, 0);
    w_ready(&w, 1, 1, 1, 1);
    ck_assert_int_eq(w_event(&w, hung), 0);
    w_is(&w, 1, REQUEUED);
    ck_assert_str_eq(w_job(&w, 1)->cause.text, "it hung");
    w_clear(&w);
}
END_TEST

START_TEST(a_new_attempt_is_not_held_up_by_who_held_up_the_one_before)
{
    two_nodes_run(w_req(2, 8));
    const struct tug_hang hang = {.kind = "stuck", .rank = 1, .node = 1, .ranks = 1,
                                  .text = (char *) (uintptr_t) "rank 1 on node n1 sleeps"};
    struct tug_event ev = {.type = TUG_EV_STEP_WATCH, .job = 1, .attempt = 1, .node = 0, .hang = &hang};
    struct tug_event again = {.type = TUG_EV_JOB_REQUEUE, .job = 1};
    ck_assert_int_eq(w_event(&w, ev), 0);
    ck_assert_int_eq(w_event(&w, again), 0);
    w_gone(&w, 1, 1, 0, 0);
    w_gone(&w, 1, 1, 0, 1);
    w_is(&w, 1, PENDING);
    ck_assert_str_eq(w_job(&w, 1)->hang.kind, "");
    ck_assert_int_eq(w_event(&w, ev), 0); /* a late word */
    ck_assert_str_eq(w_job(&w, 1)->hang.kind, "");
    w_clear(&w);
}
END_TEST

START_TEST(words_about_what_the_core_does_not_know_are_answered_with_what_puts_the_node_right)
{
    two_nodes_run(w_req(2, 8));
    w_done(&w, 77, 1, 0, 2, 0);
    w_said_is(&w, "ACK 77.1.0 n2\n");
    w_done(&w, 1, 9, 0, 0, 0);
    w_said_is(&w, "ACK 1.9.0 n0\n");
    w_done(&w, 1, 1, 0, 3, 0); /* a node that is not in the gang */
    w_said_is(&w, "ACK 1.1.0 n3\n");
    w_failed(&w, 77, 1, 0, 2, TUG_CAUSE_LAUNCH, "x");
    w_said_is(&w, "KILL 77.1.0 n2 grace 0: is not expected here\n");
    w_ready(&w, 77, 1, 0, 2);
    w_said_is(&w, "KILL 77.1.0 n2 grace 0: is not expected here\n");
    w_done(&w, 1, 1, 0, 0, 0);
    w_forget(&w);
    w_done(&w, 1, 1, 0, 0, 0); /* said again, as the acknowledgement was lost */
    w_said_is(&w, "ACK 1.1.0 n0\n");
    w_is(&w, 1, RUNNING);
    w_ready(&w, 1, 1, 0, 1); /* the start was lost */
    w_said_is(&w, "START 1.1.0 n1\n");
    w_clear(&w);
}
END_TEST

START_TEST(a_running_part_that_says_nothing_of_its_ranks_has_failed)
{
    two_nodes_run(w_req(2, 8));
    w_gone(&w, 1, 1, 0, 1);
    w_is(&w, 1, COMPLETING);
    ck_assert_str_eq(w_job(&w, 1)->cause.text, "node n1 said nothing of its ranks");
    w_clear(&w);
}
END_TEST

START_TEST(a_request_that_did_not_go_through_admission_is_refused)
{
    setup(1, 8);
    struct tug_job_req r = w_req(1, 8);
    w_submit(&w, 1, r);
    struct tug_event ev = {.type = TUG_EV_JOB_SUBMIT, .job = 1, .req = &r};
    unit_fails(w_event(&w, ev), -EEXIST, w.err, "there is a job 1 already");
    ev.job = 2;
    r.queue = "gone";
    unit_fails(w_event(&w, ev), -ENOENT, w.err, "queue 'gone' is not configured");
    r.queue = "all";
    r.nodes = 0;
    unit_fails(w_event(&w, ev), -EINVAL, w.err, "did not go through admission");
    w_clear(&w);
}
END_TEST

START_TEST(names_of_states_are_slurms_and_read_back)
{
    for (int i = 0; i < TUG_JOB_STATES; i++) {
        enum tug_job_state st = (enum tug_job_state) i;
        ck_assert_int_eq(tug_job_state_parse(tug_job_state_name(st)), i);
        ck_assert_int_eq(tug_job_state_parse(tug_job_state_code(st)), i);
    }
    for (int i = 0; i < TUG_JOB_STATES; i++)
        ck_assert_int_eq(tug_job_shown_parse(tug_job_state_code((enum tug_job_state) i)), i);
    ck_assert_int_eq(tug_job_shown_parse("SUSPENDING"), TUG_JOB_SHOWN_SUSPENDING);
    ck_assert_int_eq(tug_job_shown_parse("SG"), TUG_JOB_SHOWN_SUSPENDING);
    ck_assert_int_eq(tug_job_state_parse("SUSPENDING"), -1); /* nothing ever is, it is only shown so */
    ck_assert_int_eq(tug_job_shown_parse("SLEEPING"), -1);
    ck_assert_int_eq(tug_job_state_parse("SLEEPING"), -1);
    ck_assert_str_eq(tug_job_state_code(TUG_JOB_CONFIGURING), "CF");
    for (int k = TUG_CAUSE_NONE; k <= TUG_CAUSE_IO; k++)
        ck_assert_int_eq(tug_cause_kind_parse(tug_cause_kind_name((enum tug_cause_kind) k)), k);
    for (int k = TUG_STEP_STARTING; k <= TUG_STEP_CANCELLED; k++)
        ck_assert_int_eq(tug_step_state_parse(tug_step_state_name((enum tug_step_state) k)), k);
    ck_assert_int_eq(tug_step_state_parse("x"), -1);
}
END_TEST

UNIT_MAIN("core/life", a_gang_waits_is_set_up_runs_and_completes,
          a_rank_that_fails_ends_the_whole_gang_and_is_named,
          the_head_may_name_another_node_of_the_gang_but_not_for_what_counts_against_it,
          the_first_failure_is_kept_and_the_killed_ranks_do_not_overwrite_it,
          resources_are_freed_only_when_every_part_is_gone,
          a_rank_killed_for_memory_makes_the_job_OUT_OF_MEMORY,
          memory_that_shows_only_in_the_result_after_the_early_word_counts_too,
          the_time_limit_runs_from_the_barrier_and_ends_the_gang_with_grace,
          a_waiting_job_is_cancelled_at_once,
          a_job_is_cancelled_while_it_is_set_up_runs_or_is_being_requeued,
          a_launch_that_fails_puts_the_job_back_says_why_and_gives_everything_back,
          a_node_that_is_not_ready_in_time_is_named_and_the_job_waits_again,
          three_failed_launches_in_a_row_are_BOOT_FAIL_and_a_start_in_between_counts_anew,
          an_output_path_that_cannot_be_written_is_the_users_and_never_tried_again,
          an_interactive_job_fails_instead_of_waiting_again,
          a_part_that_ends_before_the_barrier_is_a_failed_launch,
          an_admin_or_owner_requeues_a_job_that_may_be,
          a_job_with_a_begin_time_waits_for_it_and_no_pass_looks_at_it,
          a_job_that_is_over_is_forgotten_after_its_time,
          signals_reach_every_started_part_and_nothing_else,
          ranks_that_wired_up_everywhere_give_the_time_once,
          who_holds_a_gang_up_is_known_while_its_head_says_so,
          a_gang_that_hung_and_wants_it_is_run_again_three_times,
          a_gang_that_hung_and_may_not_be_run_again_has_failed,
          a_step_that_hung_takes_its_job_along,
          a_new_attempt_is_not_held_up_by_who_held_up_the_one_before,
          words_about_what_the_core_does_not_know_are_answered_with_what_puts_the_node_right,
          a_running_part_that_says_nothing_of_its_ranks_has_failed,
          a_request_that_did_not_go_through_admission_is_refused,
          names_of_states_are_slurms_and_read_back)
