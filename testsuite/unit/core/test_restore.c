/* test_restore.c - a restart finds everything as it was, and asks no policy */
#include <errno.h>

#include "same.h"
#include "world.h"

static struct world w;

static void restart(void)
{
    struct tug_core *again = same_restart(w.c, &w.conf, w.now, &w.err);
    ck_assert_msg(again != NULL, "%s", w.err.msg);
    for (const struct tug_job *a = tug_core_job_after(w.c, 0); a;
         a = tug_core_job_after(w.c, a->id)) {
        const struct tug_job *b = tug_core_job(again, a->id);
        ck_assert_ptr_nonnull(b);
        const char *differs = same_job(a, b);
        ck_assert_msg(differs == NULL, "job %d: %s", (int) a->id, differs);
    }
    tug_core_free(w.c);
    w.c = again;
    w_check(&w);
    struct tug_action a;
    ck_assert_int_eq(tug_core_next_action(w.c, &a), 0);
}

static struct tug_held_step held(tug_job_id job, enum tug_held_phase phase)
{
    return (struct tug_held_step){.job = job, .attempt = 1, .phase = phase};
}

START_TEST(jobs_of_every_state_survive_a_restart)
{
    w_init(&w, 4, 8);
    w_up_all(&w);
    struct tug_job_req r = w_req(1, 4);
    r.time_limit_s = 100;
    w_submit(&w, 1, r);
    w_run(&w, 1);
    w_submit(&w, 2, w_req(2, 8));
    w_pass(&w);
    w_ready(&w, 2, 1, 0, 1);
    w_submit(&w, 3, w_req(1, 4));
    w_run(&w, 3);
    w_down(&w, 0); /* 1 and 3: REQUEUED, their parts lost */
    w_submit(&w, 4, w_req(4, 8));
    r.begin_ms = w.now + 100000;
    w_submit(&w, 5, r);
    w_submit(&w, 6, w_req(1, 1));
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 6}), 0);
    restart();
    w_is(&w, 1, REQUEUED);
    w_is(&w, 2, CONFIGURING);
    ck_assert_int_eq(tug_core_wants_pass(w.c), 1);
    w_lease_over(&w, 0);
    w_is(&w, 1, PENDING);
    w_is(&w, 3, PENDING);
    restart();
    w_is(&w, 5, PENDING);
    w_tick(&w, 1100000);
    ck_assert_int_eq(w_pass(&w), 0);
    w_clear(&w);
}
END_TEST

START_TEST(a_running_gang_goes_on_when_its_nodes_come_back_with_it)
{
    w_init(&w, 2, 8);
    w_up_all(&w);
    struct tug_job_req r = w_req(2, 8);
    r.time_limit_s = 100;
    w_submit(&w, 1, r);
    w_run(&w, 1);
    w.now += 5000;
    restart();
    struct tug_held_step h = held(1, TUG_HELD_RUNNING);
    w_up(&w, 0, &h, 1);
    w_up(&w, 1, &h, 1);
    w_said_is(&w, "NODE_CHANGED n0\nNODE_CHANGED n1\n");
    ck_assert_int_eq(tug_core_next_wake(w.c), 1100000); /* the time limit as it was */
    w_done(&w, 1, 1, 0, 0, 0);
    w_done(&w, 1, 1, 0, 1, 0);
    w_is(&w, 1, COMPLETED);
    w_clear(&w);
}
END_TEST

START_TEST(a_node_that_is_not_configured_any_more_keeps_its_gang_and_gets_no_other_one)
{
    w_init(&w, 3, 8);
    w_up_all(&w);
    w_submit(&w, 1, w_req(3, 4));
    w_run(&w, 1);
    w.conf.n_nodes = 2;
    restart();
    w_is(&w, 1, RUNNING);
    struct tug_held_step h = held(1, TUG_HELD_RUNNING);
    for (uint32_t i = 0; i < 3; i++)
        w_up(&w, i, &h, 1);
    struct tug_core_node n;
    tug_core_node(w.c, 2, &n);
    ck_assert_str_eq(n.reason, "is no longer in the configuration");
    w_submit(&w, 2, w_req(2, 4));
    w_run(&w, 2);
    w_submit(&w, 3, w_req(1, 4));
    ck_assert_int_eq(w_pass(&w), 0);
    for (uint32_t i = 0; i < 3; i++)
        w_done(&w, 1, 1, 0, i, 0);
    w_is(&w, 1, COMPLETED);
    ck_assert_int_eq(w_pass(&w), 1);
    ck_assert_uint_lt(w_job(&w, 3)->slices[0].node, 2);
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_NODE_UP, .node = 2}), -ENOENT);
    w.conf.n_nodes = 3; /* and back */
    ck_assert_int_eq(tug_core_configure(w.c, w.now, &w.conf, &w.err), 0);
    w_up(&w, 2, NULL, 0);
    w_submit(&w, 4, w_req(1, 8));
    w_run(&w, 4);
    w_clear(&w);
}
END_TEST

START_TEST(nodes_that_are_not_configured_any_more_may_be_many)
{
    struct tug_core *c;
    char name[16];
    w_init(&w, 3, 8);
    c = tug_core_new(&w.conf, &w.err);
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "old%d", i);
        tug_core_restore_ghost(c, name);
        ck_assert_msg(tug_core_check(c, &w.err) == 0, "%s", w.err.msg);
    }
    tug_core_restored(c, w.now);
    ck_assert_msg(tug_core_check(c, &w.err) == 0, "%s", w.err.msg);
    tug_core_free(c);
    w_clear(&w);
}
END_TEST

START_TEST(a_gang_that_was_being_set_up_gets_a_new_deadline_and_its_launches_again)
{
    w_init(&w, 2, 8);
    w_up_all(&w);
    w_submit(&w, 1, w_req(2, 8));
    w_pass(&w);
    w_forget(&w);
    w.now += 29000;
    restart();
    ck_assert_int_eq(tug_core_next_wake(w.c), 1059000);
    struct tug_held_step h = held(1, TUG_HELD_READY);
    w_up(&w, 0, &h, 1);
    w_up(&w, 1, NULL, 0);
    w_said_is(&w, "NODE_CHANGED n0\nCHANGED 1\nNODE_CHANGED n1\nLAUNCH 1.1.0 n1\n");
    w_ready(&w, 1, 1, 0, 1);
    w_is(&w, 1, RUNNING);
    w_clear(&w);
}
END_TEST

START_TEST(a_node_that_does_not_come_back_after_a_restart_is_lost_like_any_other)
{
    w_init(&w, 2, 8);
    w_up_all(&w);
    w_submit(&w, 1, w_req(2, 8));
    w_run(&w, 1);
    restart();
    struct tug_held_step h = held(1, TUG_HELD_RUNNING);
    w_up(&w, 0, &h, 1);
    w_down(&w, 1);
    w_is(&w, 1, REQUEUED);
    w_gone(&w, 1, 1, 0, 0);
    w_lease_over(&w, 1);
    w_is(&w, 1, PENDING);
    w_clear(&w);
}
END_TEST

START_TEST(drained_nodes_stay_drained_and_sizes_are_known_before_nodes_come)
{
    w_init(&w, 2, 8);
    w_up_all(&w);
    ck_assert_int_eq(
        w_event(&w, (struct tug_event){.type = TUG_EV_NODE_DRAIN, .node = 1, .text = "new fan", .uid = 7, .user = "ann"}),
        0);
    ck_assert_int_eq(
        w_event(&w, (struct tug_event){.type = TUG_EV_NODE_HEALTH, .node = 1, .text = "disk full"}), 0);
    int64_t then = w.now;
    restart();
    struct tug_core_node n;
    tug_core_node(w.c, 1, &n);
    ck_assert_int_eq(n.drained, 1);
    ck_assert_str_eq(n.reason, "new fan; disk full");
    ck_assert_str_eq(n.drains[0].user, "ann");
    ck_assert_uint_eq(n.drains[0].uid, 7);
    ck_assert_int_eq(n.drains[0].at_ms, then);
    ck_assert_int_eq(n.drains[1].by, TUG_DRAIN_HEALTH);
    ck_assert_int_eq(n.known, 1);
    ck_assert_int_eq(n.up, 0);
    const struct tug_core_node_past nothing = {0};
    unit_fails(tug_core_restore_node(w.c, "n7", &nothing, &w.err), -ENOENT, w.err,
               "node 'n7' is not configured");
    w_clear(&w);
}
END_TEST

START_TEST(records_that_contradict_each_other_are_refused_with_both_jobs)
{
    w_init(&w, 2, 8);
    w_up_all(&w);
    w_submit(&w, 1, w_req(2, 8));
    w_run(&w, 1);
    struct tug_job other = *w_job(&w, 1);
    other.id = 2;
    unit_fails(
        tug_core_restore_job(w.c, &other, &w.err), -EBUSY, w.err,
        "the records of job 2 and another contradict each other: node 0: GPU 0 is held by job 1");
    w_check(&w);
    ck_assert_ptr_null(tug_core_job(w.c, 2));
    unit_fails(tug_core_restore_job(w.c, w_job(&w, 1), &w.err), -EEXIST, w.err,
               "there are two records of job 1");
    other.n_slices = 1;
    unit_fails(tug_core_restore_job(w.c, &other, &w.err), -EINVAL, w.err, "with 1 of 2 nodes");
    other = *w_job(&w, 1);
    other.id = 3;
    other.attempt = 0;
    unit_fails(tug_core_restore_job(w.c, &other, &w.err), -EINVAL, w.err,
               "record of job 3 does not make sense");
    struct tug_slice far[2] = {other.slices[0], other.slices[1]};
    far[1].node = 9;
    other.attempt = 1;
    other.slices = far;
    unit_fails(tug_core_restore_job(w.c, &other, &w.err), -ENOENT, w.err,
               "a node that it holds is not configured");
    w_check(&w);
    w_clear(&w);
}
END_TEST

START_TEST(jobs_whose_queue_is_gone_end_but_do_not_start)
{
    w_init(&w, 1, 8);
    w_up_all(&w);
    struct tug_job_req r = w_req(1, 8);
    r.queue = "low";
    w_submit(&w, 1, r);
    w_run(&w, 1);
    w_submit(&w, 2, r);
    w.queues[2].name = "new";
    restart();
    struct tug_held_step h = held(1, TUG_HELD_RUNNING);
    w_up(&w, 0, &h, 1);
    w_done(&w, 1, 1, 0, 0, 0);
    w_is(&w, 1, COMPLETED);
    ck_assert_int_eq(w_pass(&w), 0);
    char text[128];
    ck_assert_str_eq(tug_core_explain(w.c, w_job(&w, 2), NULL, text, sizeof text),
                     "queue 'low' is no longer configured");
    ck_assert_uint_eq(tug_core_queues(w.c), 4);
    w_clear(&w);
}
END_TEST

START_TEST(what_waits_after_a_restart_says_that_nodes_are_missing_and_no_pass_looks_at_it_before_they_are_back)
{
    w_init(&w, 2, 8);
    w_submit(&w, 1, w_req(2, 8));
    w_submit(&w, 2, w_req(1, 8));
    w_submit(&w, 3, w_req(1, 8));
    restart();
    char text[128];
    int reason;
    for (int i = 0; i < 2; i++) {
        tug_core_explain(w.c, w_job(&w, 1), &reason, text, sizeof text);
        ck_assert_int_eq(reason, TUG_REASON_NODES_DOWN);
        ck_assert_str_eq(text, "needs 2 nodes with 8 GPUs and 1 CPU; of the 2 nodes that it may use, 0 are up "
                               "and not drained");
        ck_assert_int_eq(w_pass(&w), 0);
        ck_assert_uint_eq(w.stats.looked_at, 0);
    }
    w_up(&w, 0, NULL, 0);
    ck_assert_int_eq(tug_core_wants_pass(w.c), 1);
    ck_assert_int_eq(w_pass(&w), 1);
    w_is(&w, 2, CONFIGURING);
    tug_core_explain(w.c, w_job(&w, 1), &reason, text, sizeof text);
    ck_assert_int_eq(reason, TUG_REASON_NODES_DOWN);
    tug_core_explain(w.c, w_job(&w, 3), &reason, text, sizeof text);
    ck_assert_int_eq(reason, TUG_REASON_RESOURCES);
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 2}), 0);
    w_gone(&w, 2, 1, 0, 0);
    w_up(&w, 1, NULL, 0);
    ck_assert_int_eq(w_pass(&w), 1); /* 1 stands before 3 again */
    w_is(&w, 1, CONFIGURING);
    w_is(&w, 3, PENDING);
    w_clear(&w);
}
END_TEST

UNIT_MAIN("core/restore", jobs_of_every_state_survive_a_restart,
          a_running_gang_goes_on_when_its_nodes_come_back_with_it,
          a_node_that_is_not_configured_any_more_keeps_its_gang_and_gets_no_other_one,
          nodes_that_are_not_configured_any_more_may_be_many,
          a_gang_that_was_being_set_up_gets_a_new_deadline_and_its_launches_again,
          a_node_that_does_not_come_back_after_a_restart_is_lost_like_any_other,
          drained_nodes_stay_drained_and_sizes_are_known_before_nodes_come,
          records_that_contradict_each_other_are_refused_with_both_jobs,
          jobs_whose_queue_is_gone_end_but_do_not_start,
          what_waits_after_a_restart_says_that_nodes_are_missing_and_no_pass_looks_at_it_before_they_are_back)
