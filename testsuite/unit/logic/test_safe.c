/* test_safe.c - a controller whose state is older than its cluster starts nothing twice
 *
 * Layer: tests.
 */
#include "unit.h"

#include "vworld.h"

static struct vworld *up(unsigned nodes)
{
    struct vworld *w = vw_new(nodes, 60, 300);

    vw_run(w, VW_T0 + 1000);
    return w;
}

static uint64_t submitted(struct vworld *w, const char *token, uint32_t nodes)
{
    uint32_t rid = vw_submit(w, token, nodes, 8, 1);

    vw_run(w, vw_now(w) + 2000);
    return vw_job(w, rid);
}

static const char *state_of(struct vworld *w, uint64_t job)
{
    return tug_job_state_name(vw_see(w, job)->state);
}

/* The controller dies, and its disk is what it was at the backup. */
static void go_back(struct vworld *w, enum vw_put_back how)
{
    vw_crash_control(w);
    vw_put_back(w, how);
    vw_start_control(w);
}

static const Tugpb__ResumeReply *resume(struct vworld *w, int now)
{
    uint32_t rid = vw_resume(w, now);

    vw_run(w, vw_now(w) + 100);
    ck_assert_uint_eq(vw_reply(w, rid)->number, TUG_MSG_RESUME_REPLY);
    return (const Tugpb__ResumeReply *) vw_reply(w, rid)->m;
}

START_TEST(after_a_restore_known_gangs_go_on_and_unknown_ones_are_left_alone_until_an_admin_ends_them)
{
    struct vworld *w = up(3);
    uint64_t known, unknown, fresh;
    const Tugpb__ResumeReply *r;

    vw_set_run_ms(w, INT64_MAX);
    known = submitted(w, "known", 1);
    vw_backup(w);
    unknown = submitted(w, "unknown", 1);
    ck_assert_uint_eq(vw_running(w, unknown, 0), 1);
    go_back(w, VW_RESTORED);
    vw_run(w, vw_now(w) + 5000);
    ck_assert_str_eq(state_of(w, known), "RUNNING");
    ck_assert_uint_eq(vw_see(w, known)->attempt, 1);
    ck_assert_ptr_null(vw_see(w, unknown));
    ck_assert_uint_eq(vw_running(w, unknown, 0), 1); /* all three nodes reported; this is what is waited for */
    fresh = submitted(w, "fresh", 1);
    ck_assert_uint_ge(fresh, 1000000);
    ck_assert_str_eq(state_of(w, fresh), "PENDING");
    r = resume(w, 0);
    ck_assert(!r->resumed);
    ck_assert_ptr_nonnull(strstr(r->text, "job 2 on n2"));
    ck_assert(!resume(w, 1)->resumed);
    vw_run(w, vw_now(w) + 5000);
    ck_assert_uint_eq(vw_running(w, unknown, 0), 0);
    ck_assert_str_eq(state_of(w, fresh), "RUNNING");
    ck_assert_str_eq(state_of(w, known), "RUNNING");
    ck_assert_uint_eq(vw_max_attempts_at_once(w, known), 1);
    ck_assert(resume(w, 0)->resumed);
    vw_free(w);
}
END_TEST

START_TEST(a_job_that_waited_at_the_backup_and_runs_now_is_not_started_again_before_that_gang_is_over)
{
    struct vworld *w = up(2);
    uint64_t first, waiting;

    vw_set_run_ms(w, 20000);
    first = submitted(w, "first", 2);
    waiting = submitted(w, "waiting", 2);
    ck_assert_str_eq(state_of(w, waiting), "PENDING");
    vw_backup(w);
    vw_run(w, vw_now(w) + 25000);
    ck_assert_str_eq(state_of(w, first), "COMPLETED");
    ck_assert_str_eq(state_of(w, waiting), "RUNNING");
    go_back(w, VW_RESTORED);
    vw_run(w, vw_now(w) + 5000);
    ck_assert_str_eq(state_of(w, waiting), "PENDING"); /* as far as this state goes */
    ck_assert_uint_eq(vw_running(w, waiting, 1), 2);
    vw_run(w, vw_now(w) + 120000); /* it ends, and then they are started by themselves */
    ck_assert_str_eq(state_of(w, first), "COMPLETED");
    ck_assert_str_eq(state_of(w, waiting), "COMPLETED");
    ck_assert_uint_gt(vw_see(w, waiting)->attempt, 1000); /* no number that a node has seen end */
    ck_assert_uint_eq(vw_max_attempts_at_once(w, first), 1);
    ck_assert_uint_eq(vw_max_attempts_at_once(w, waiting), 1);
    vw_free(w);
}
END_TEST

START_TEST(who_cancels_a_job_that_waited_at_the_backup_and_runs_now_ends_that_gang_too)
{
    struct vworld *w = up(2);
    uint64_t first, waiting;

    vw_set_run_ms(w, 20000);
    first = submitted(w, "first", 2);
    waiting = submitted(w, "waiting", 2);
    vw_backup(w);
    vw_set_run_ms(w, INT64_MAX);
    vw_run(w, vw_now(w) + 25000);
    ck_assert_str_eq(state_of(w, first), "COMPLETED");
    ck_assert_str_eq(state_of(w, waiting), "RUNNING");
    go_back(w, VW_RESTORED);
    vw_run(w, vw_now(w) + 5000);
    ck_assert_str_eq(state_of(w, waiting), "PENDING");
    vw_cancel(w, waiting);
    vw_run(w, vw_now(w) + 5000);
    ck_assert_str_eq(state_of(w, waiting), "CANCELLED");
    ck_assert_uint_eq(vw_running(w, waiting, 0), 0);
    vw_free(w);
}
END_TEST

START_TEST(after_a_restore_nothing_starts_before_the_last_node_has_said_what_it_holds)
{
    struct vworld *w = up(3);
    uint64_t id;
    const Tugpb__ResumeReply *r;

    vw_backup(w);
    vw_cut(w, 3);
    go_back(w, VW_RESTORED);
    id = submitted(w, "a", 1);
    vw_run(w, vw_now(w) + 30000);
    ck_assert_str_eq(state_of(w, id), "PENDING");
    r = resume(w, 0);
    ck_assert(!r->resumed);
    ck_assert_ptr_nonnull(strstr(r->text, "n3"));
    vw_crash_control(w); /* a restart changes nothing */
    vw_start_control(w);
    vw_run(w, vw_now(w) + 5000);
    ck_assert_str_eq(state_of(w, id), "PENDING");
    vw_mend(w, 3);
    vw_run(w, vw_now(w) + 5000);
    ck_assert_str_eq(state_of(w, id), "COMPLETED");
    vw_free(w);
}
END_TEST

START_TEST(an_admin_need_not_wait_for_a_node_that_will_not_come)
{
    struct vworld *w = up(2);
    uint64_t id;

    vw_backup(w);
    vw_cut(w, 2);
    go_back(w, VW_RESTORED);
    id = submitted(w, "a", 1);
    ck_assert_str_eq(state_of(w, id), "PENDING");
    ck_assert(resume(w, 1)->resumed);
    vw_run(w, vw_now(w) + 5000);
    ck_assert_str_eq(state_of(w, id), "COMPLETED");
    vw_free(w);
}
END_TEST

/* What may not be queued again outlives its node's lease. */
START_TEST(an_admin_who_does_not_wait_waits_for_a_gang_that_no_lease_ends_if_its_job_would_be_started_again)
{
    struct vworld *w = up(2);
    uint64_t first, waiting;
    uint32_t node, rid;

    vw_set_run_ms(w, 20000);
    first = submitted(w, "first", 2);
    rid = vw_submit(w, "waiting", 1, 8, 0);
    vw_run(w, vw_now(w) + 2000);
    waiting = vw_job(w, rid);
    vw_backup(w);
    vw_run(w, vw_now(w) + 12000);
    vw_set_run_ms(w, INT64_MAX);
    vw_run(w, vw_now(w) + 10000);
    ck_assert_str_eq(state_of(w, first), "COMPLETED");
    ck_assert_uint_eq(vw_running(w, waiting, 1), 1);
    node = vw_see(w, waiting)->slices[0].node + 1;
    go_back(w, 1);
    vw_run(w, vw_now(w) + 5000);
    vw_cut(w, node); /* what it holds is known */
    vw_run(w, vw_now(w) + 420000);
    ck_assert_str_eq(state_of(w, waiting), "PENDING");
    const Tugpb__ResumeReply *r = resume(w, 1);
    ck_assert(!r->resumed);
    ck_assert_ptr_nonnull(strstr(r->text, "job 2 on n"));
    vw_run(w, vw_now(w) + 5000);
    ck_assert_uint_eq(vw_running(w, waiting, 0), 1);
    vw_set_run_ms(w, 5000);
    vw_mend(w, node);
    vw_run(w, vw_now(w) + 60000);
    ck_assert_str_eq(state_of(w, waiting), "COMPLETED");
    ck_assert_uint_eq(vw_max_attempts_at_once(w, waiting), 1);
    vw_free(w);
}
END_TEST

START_TEST(the_epoch_and_the_ids_rise_above_all_that_nodes_have_seen)
{
    struct vworld *w = up(2);
    uint64_t seen, last = 0;

    vw_set_run_ms(w, INT64_MAX);
    vw_backup(w);
    for (int i = 0; i < 5; i++) {
        vw_crash_control(w);
        vw_start_control(w);
        vw_run(w, vw_now(w) + 1000);
    }
    last = submitted(w, "a", 2);
    seen = vw_node_epoch(w, 1);
    ck_assert_uint_ge(seen, 6);
    go_back(w, VW_RESTORED_UNREAD);
    vw_run(w, vw_now(w) + 5000);
    ck_assert_uint_gt(vw_epoch(w), seen);
    ck_assert_uint_eq(vw_node_epoch(w, 1), vw_epoch(w));
    ck_assert_uint_eq(vw_running(w, last, 0), 2);
    ck_assert_uint_gt(submitted(w, "b", 1), last);
    seen = vw_epoch(w);
    go_back(w, VW_RESTORED_UNREAD); /* the same backup again: what was given out meanwhile is on the nodes only */
    vw_run(w, vw_now(w) + 5000);
    ck_assert_uint_gt(vw_epoch(w), seen);
    ck_assert_uint_eq(vw_node_epoch(w, 2), vw_epoch(w));
    vw_free(w);
}
END_TEST

START_TEST(a_state_that_was_put_back_by_hand_is_noticed_and_nothing_is_taken_until_an_admin_says_so)
{
    struct vworld *w = up(2);
    uint64_t running, seen;
    uint32_t rid;

    vw_set_run_ms(w, INT64_MAX);
    running = submitted(w, "a", 1);
    vw_backup(w);
    for (int i = 0; i < 3; i++) {
        vw_crash_control(w);
        vw_start_control(w);
        vw_run(w, vw_now(w) + 1000);
    }
    seen = vw_node_epoch(w, 1);
    go_back(w, VW_BY_HAND);
    vw_run(w, vw_now(w) + 5000);
    ck_assert_uint_lt(vw_epoch(w), seen);
    ck_assert_uint_eq(vw_running(w, running, 1), 1); /* it got no word */
    rid = vw_submit(w, "b", 1, 8, 1);
    vw_run(w, vw_now(w) + 1000);
    ck_assert_uint_eq(vw_reply(w, rid)->number, TUG_MSG_ERROR);
    ck_assert_ptr_nonnull(strstr(((Tugpb__Error *) vw_reply(w, rid)->m)->text, "resume-scheduling"));
    ck_assert(!resume(w, 0)->resumed);
    vw_run(w, vw_now(w) + 5000);
    ck_assert_uint_gt(vw_epoch(w), seen);
    ck_assert_str_eq(state_of(w, running), "RUNNING");
    ck_assert_uint_eq(vw_see(w, running)->attempt, 1);
    ck_assert(resume(w, 0)->resumed);
    running = submitted(w, "c", 1);
    ck_assert_uint_ge(running, 1000000);
    ck_assert_str_eq(state_of(w, running), "RUNNING");
    vw_free(w);
}
END_TEST

START_TEST(a_state_that_is_one_start_behind_is_noticed_too)
{
    struct vworld *w = up(2);
    uint64_t seen;

    vw_set_run_ms(w, INT64_MAX);
    submitted(w, "a", 1);
    vw_backup(w);
    vw_crash_control(w);
    vw_start_control(w);
    vw_run(w, vw_now(w) + 5000);
    seen = vw_node_epoch(w, 1);
    go_back(w, VW_BY_HAND);
    ck_assert_uint_eq(vw_epoch(w), seen); /* the next one, as it was for the life that is not known here */
    vw_run(w, vw_now(w) + 5000);
    ck_assert(!resume(w, 0)->resumed);
    vw_run(w, vw_now(w) + 5000);
    ck_assert_uint_gt(vw_epoch(w), seen);
    ck_assert(resume(w, 0)->resumed);
    vw_free(w);
}
END_TEST

/* Nothing but the commits since tells that copy from what a restart finds. */
START_TEST(a_copy_by_hand_from_the_very_run_that_was_interrupted_is_noticed_by_a_commit_that_a_node_has_heard_of)
{
    struct vworld *w = up(2);
    uint64_t running, seen;
    const Tugpb__ResumeReply *r;

    vw_set_run_ms(w, INT64_MAX);
    submitted(w, "a", 1);
    vw_backup(w);
    running = submitted(w, "b", 1);
    ck_assert_uint_eq(vw_running(w, running, 1), 1);
    seen = vw_node_epoch(w, 1);
    go_back(w, VW_BY_HAND);
    ck_assert_uint_eq(vw_epoch(w), seen + 1); /* as after any restart */
    vw_run(w, vw_now(w) + 5000);
    r = resume(w, 0);
    ck_assert(!r->resumed);
    ck_assert_uint_eq(vw_running(w, running, 1), 1);
    vw_run(w, vw_now(w) + 5000);
    ck_assert_uint_ge(vw_epoch(w), seen + 1000);
    ck_assert(!resume(w, 1)->resumed); /* it is ended first */
    vw_run(w, vw_now(w) + 5000);
    ck_assert(resume(w, 0)->resumed);
    ck_assert_uint_ge(submitted(w, "c", 1), 1000000);
    vw_free(w);
}
END_TEST

START_TEST(a_node_that_came_before_the_doubt_is_heard_again)
{
    struct vworld *w = up(2);

    vw_set_run_ms(w, 20000);
    submitted(w, "a", 1);
    vw_backup(w);
    submitted(w, "b", 1);
    vw_cut(w, 2); /* who has it */
    go_back(w, VW_BY_HAND);
    vw_run(w, vw_now(w) + 2000);
    ck_assert(resume(w, 0)->resumed); /* nobody has noticed */
    vw_mend(w, 2);
    vw_run(w, vw_now(w) + 3000);
    ck_assert(!resume(w, 0)->resumed);
    vw_run(w, vw_now(w) + 40000);
    ck_assert(resume(w, 0)->resumed);
    ck_assert_uint_ge(submitted(w, "c", 1), 1000000);
    vw_free(w);
}
END_TEST

START_TEST(a_copy_by_hand_of_a_state_that_is_in_safe_mode_is_noticed_too_and_uses_no_attempt_again)
{
    struct vworld *w = up(2);
    uint64_t job;
    uint32_t first;

    vw_set_run_ms(w, 20000);
    submitted(w, "first", 2);
    job = submitted(w, "waiting", 2);
    vw_backup(w);
    vw_cut(w, 2);
    go_back(w, VW_RESTORED);
    vw_run(w, vw_now(w) + 5000);
    vw_backup(w); /* it hears one node */
    vw_mend(w, 2);
    vw_run(w, vw_now(w) + 120000);
    ck_assert_str_eq(state_of(w, job), "COMPLETED");
    first = vw_see(w, job)->attempt;
    for (int i = 0; i < 2; i++) {
        go_back(w, VW_BY_HAND);
        vw_run(w, vw_now(w) + 5000);
        ck_assert(!resume(w, 0)->resumed ^ (i > 0)); /* the second time by the epochs that nodes have seen by then */
        vw_run(w, vw_now(w) + 120000);
        ck_assert_str_eq(state_of(w, job), "COMPLETED");
        ck_assert_uint_gt(vw_see(w, job)->attempt, first);
        first = vw_see(w, job)->attempt;
    }
    vw_free(w);
}
END_TEST

START_TEST(a_submit_after_the_copy_is_enough_once_a_node_has_asked_for_its_lease)
{
    struct vworld *w = up(2);

    vw_backup(w);
    vw_cut(w, 1);
    submitted(w, "a", 2); /* it has to wait, so no node gets an order */
    vw_run(w, vw_now(w) + 10000);
    go_back(w, VW_BY_HAND);
    vw_run(w, vw_now(w) + 20000);
    ck_assert_ptr_nonnull(strstr(resume(w, 0)->text, "safe mode"));
    vw_free(w);
}
END_TEST

START_TEST(restarts_of_the_controller_and_of_nodes_are_no_old_state_also_many_and_with_a_node_that_was_away)
{
    struct vworld *w = up(3);
    uint64_t id = 0;

    vw_set_run_ms(w, INT64_MAX);
    vw_cut(w, 3);
    for (int i = 0; i < 40; i++) {
        char token[16];
        snprintf(token, sizeof token, "t%d", i);
        if (i % 3)
            id = submitted(w, token, 1);
        vw_restart_agent(w, (unsigned) i % 2 + 1);
        vw_crash_control(w);
        vw_start_control(w);
        vw_run(w, vw_now(w) + 6000);
    }
    vw_mend(w, 3);
    vw_run(w, vw_now(w) + 30000);
    ck_assert(resume(w, 0)->resumed);
    ck_assert_uint_ne(id, 0);
    vw_free(w);
}
END_TEST

START_TEST(the_copy_is_noticed_also_when_its_controller_was_started_again_before_that_node_came)
{
    struct vworld *w = up(2);

    vw_set_run_ms(w, INT64_MAX);
    vw_backup(w);
    submitted(w, "a", 2);
    vw_cut(w, 1);
    vw_cut(w, 2);
    go_back(w, VW_BY_HAND);
    for (int i = 0; i < 3; i++) {
        char token[16];
        snprintf(token, sizeof token, "t%d", i);
        submitted(w, token, 1); /* its own commits come to more than the node has heard of */
        submitted(w, token + 1, 1);
        submitted(w, "more", 1);
        vw_crash_control(w);
        vw_start_control(w);
    }
    vw_mend(w, 2);
    vw_run(w, vw_now(w) + 30000);
    ck_assert_ptr_nonnull(strstr(resume(w, 0)->text, "safe mode"));
    vw_free(w);
}
END_TEST

START_TEST(a_gang_that_is_suspended_keeps_its_attempt_and_goes_on_after_a_restore)
{
    struct vworld *w = vw_new(2, 60, 300);
    uint64_t low, high;

    vw_let_give_way(w, TUG_PREEMPT_SUSPEND, 0);
    vw_set_run_ms(w, INT64_MAX);
    vw_run(w, VW_T0 + 2000);
    low = submitted(w, "low", 2);
    uint32_t rid = vw_submit_to(w, "urgent", "high", 2, 8, 1);
    vw_run(w, vw_now(w) + 2000);
    high = vw_job(w, rid);
    ck_assert_str_eq(state_of(w, low), "SUSPENDED");
    vw_backup(w);
    go_back(w, VW_RESTORED);
    vw_run(w, vw_now(w) + 5000);
    ck_assert(resume(w, 0)->resumed);
    ck_assert_str_eq(state_of(w, low), "SUSPENDED");
    ck_assert_uint_eq(vw_see(w, low)->attempt, 1);
    vw_cancel(w, high);
    vw_run(w, vw_now(w) + 5000);
    ck_assert_str_eq(state_of(w, low), "RUNNING");
    ck_assert_uint_eq(vw_running(w, low, 1), 2);
    ck_assert_uint_eq(vw_max_attempts_at_once(w, low), 1);
    vw_free(w);
}
END_TEST

START_TEST(a_backup_that_is_put_back_twice_uses_no_attempt_of_the_first_time_again)
{
    struct vworld *w = up(2);
    uint64_t job;
    uint32_t first;

    vw_set_run_ms(w, 20000);
    submitted(w, "first", 2);
    job = submitted(w, "waiting", 2);
    vw_backup(w);
    go_back(w, VW_RESTORED);
    vw_run(w, vw_now(w) + 120000);
    ck_assert_str_eq(state_of(w, job), "COMPLETED");
    first = vw_see(w, job)->attempt;
    go_back(w, VW_RESTORED);
    vw_run(w, vw_now(w) + 120000);
    ck_assert_str_eq(state_of(w, job), "COMPLETED");
    ck_assert_uint_gt(vw_see(w, job)->attempt, first);
    vw_free(w);
}
END_TEST

START_TEST(who_ran_at_the_backup_and_is_queued_again_uses_no_attempt_that_came_since)
{
    struct vworld *w = up(2);
    uint64_t job;

    vw_set_run_ms(w, INT64_MAX);
    job = submitted(w, "a", 1);
    vw_backup(w);
    vw_cut(w, vw_see(w, job)->slices[0].node + 1);
    vw_run(w, vw_now(w) + 420000);
    ck_assert_uint_eq(vw_running(w, job, 2), 1); /* elsewhere */
    vw_cancel(w, job);
    vw_run(w, vw_now(w) + 5000);
    go_back(w, 1);
    vw_run(w, vw_now(w) + 5000);
    ck_assert(resume(w, 1)->resumed); /* the node that has the first attempt, as this state knows, will not come */
    ck_assert_uint_eq(vw_see(w, job)->attempt, 1);
    vw_crash_control(w);
    vw_start_control(w);
    vw_run(w, vw_now(w) + 420000);
    ck_assert_str_eq(state_of(w, job), "RUNNING");
    ck_assert_uint_gt(vw_see(w, job)->attempt, 1000);
    vw_free(w);
}
END_TEST

UNIT_MAIN("logic/safe",
          after_a_restore_known_gangs_go_on_and_unknown_ones_are_left_alone_until_an_admin_ends_them,
          a_job_that_waited_at_the_backup_and_runs_now_is_not_started_again_before_that_gang_is_over,
          who_cancels_a_job_that_waited_at_the_backup_and_runs_now_ends_that_gang_too,
          after_a_restore_nothing_starts_before_the_last_node_has_said_what_it_holds,
          an_admin_need_not_wait_for_a_node_that_will_not_come,
          an_admin_who_does_not_wait_waits_for_a_gang_that_no_lease_ends_if_its_job_would_be_started_again,
          the_epoch_and_the_ids_rise_above_all_that_nodes_have_seen,
          a_state_that_was_put_back_by_hand_is_noticed_and_nothing_is_taken_until_an_admin_says_so,
          a_state_that_is_one_start_behind_is_noticed_too,
          a_copy_by_hand_from_the_very_run_that_was_interrupted_is_noticed_by_a_commit_that_a_node_has_heard_of,
          a_node_that_came_before_the_doubt_is_heard_again,
          a_copy_by_hand_of_a_state_that_is_in_safe_mode_is_noticed_too_and_uses_no_attempt_again,
          a_submit_after_the_copy_is_enough_once_a_node_has_asked_for_its_lease,
          restarts_of_the_controller_and_of_nodes_are_no_old_state_also_many_and_with_a_node_that_was_away,
          the_copy_is_noticed_also_when_its_controller_was_started_again_before_that_node_came,
          a_gang_that_is_suspended_keeps_its_attempt_and_goes_on_after_a_restore,
          a_backup_that_is_put_back_twice_uses_no_attempt_of_the_first_time_again,
          who_ran_at_the_backup_and_is_queued_again_uses_no_attempt_that_came_since)
