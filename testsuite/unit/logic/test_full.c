/* test_full.c - the controller's store has no room: nothing is acknowledged, nothing stops, all goes on by itself
 *
 * Layer: tests.
 */
#include "unit.h"

#include <errno.h>

#include "vworld.h"

#define WHY "/var/lib/x/state.db cannot be written"

static struct vworld *up(unsigned nodes)
{
    struct vworld *w = vw_new(nodes, 60, 300);

    vw_run(w, VW_T0 + 1000);
    return w;
}

/* A gang that runs, then no room, found by the submit of another job: its request. */
static uint64_t fill(struct vworld *w, uint32_t *in_flight)
{
    uint32_t rid;

    vw_set_run_ms(w, INT64_MAX);
    rid = vw_submit(w, "runs", 1, 8, 1);
    vw_run(w, vw_now(w) + 1000);
    vw_fill(w, WHY);
    *in_flight = vw_submit(w, "in flight", 1, 8, 1);
    vw_run(w, vw_now(w) + 1000);
    return vw_job(w, rid);
}

static void is_refused(struct vworld *w, uint32_t rid)
{
    const Tugpb__Error *e;

    vw_run(w, vw_now(w) + 10);
    ck_assert_ptr_nonnull(vw_reply(w, rid));
    ck_assert_uint_eq(vw_reply(w, rid)->number, TUG_MSG_ERROR);
    e = (const Tugpb__Error *) vw_reply(w, rid)->m;
    ck_assert_int_eq(e->code, ENOSPC);
    ck_assert_ptr_nonnull(strstr(e->text, "STATE_FULL: "));
    ck_assert_ptr_nonnull(strstr(e->text, WHY));
}

static const void *answer(struct vworld *w, enum tug_msg number, const ProtobufCMessage *m, enum tug_msg want)
{
    uint32_t rid = vw_ask(w, number, m);

    vw_run(w, vw_now(w) + 2 * HOP_MS);
    ck_assert_ptr_nonnull(vw_reply(w, rid));
    ck_assert_uint_eq(vw_reply(w, rid)->number, want);
    return vw_reply(w, rid)->m;
}

START_TEST(without_room_nothing_is_acknowledged_and_what_was_under_way_is_once_there_is_room)
{
    struct vworld *w = up(2);
    uint32_t in_flight, again;

    fill(w, &in_flight);
    vw_run(w, vw_now(w) + 3600000);
    ck_assert_ptr_null(vw_reply(w, in_flight));
    ck_assert(!vw_durable(w, "job", 2));
    again = vw_submit(w, "in flight", 1, 8, 1); /* its client asks once more: the answer waits like the first one */
    vw_run(w, vw_now(w) + 10000);
    ck_assert_ptr_null(vw_reply(w, again));
    vw_fill(w, NULL);
    vw_run(w, vw_now(w) + ROOM_MS + 1000);
    ck_assert_uint_eq(vw_job(w, in_flight), 2);
    ck_assert_uint_eq(vw_job(w, again), 2);
    ck_assert(vw_durable(w, "job", 2));
    ck_assert_uint_eq(vw_running(w, 2, 1), 1);
    vw_free(w);
}
END_TEST

START_TEST(what_would_change_the_state_is_refused_with_the_place_and_the_way_out)
{
    struct vworld *w = up(2);
    Tugpb__DrainRequest drain = TUGPB__DRAIN_REQUEST__INIT;
    uint32_t in_flight;
    uint64_t job = fill(w, &in_flight);

    is_refused(w, vw_submit(w, "new", 1, 8, 1));
    is_refused(w, vw_cancel(w, job));
    is_refused(w, vw_hold(w, job, 0));
    drain.nodes = (char *) "n1";
    drain.reason = (char *) "looked after";
    is_refused(w, vw_ask(w, TUG_MSG_DRAIN_REQUEST, &drain.base));
    is_refused(w, vw_resume(w, 0));
    vw_fill(w, NULL);
    vw_run(w, vw_now(w) + 5000);
    ck_assert_ptr_null(vw_see(w, 3));
    ck_assert_str_eq(tug_job_state_name(vw_see(w, job)->state), "RUNNING");
    vw_free(w);
}
END_TEST

START_TEST(what_is_only_looked_at_is_answered_at_once)
{
    static const Tugpb__JobsRequest jobs = TUGPB__JOBS_REQUEST__INIT;
    static const Tugpb__NodesRequest nodes = TUGPB__NODES_REQUEST__INIT;
    static const Tugpb__PingRequest ping = TUGPB__PING_REQUEST__INIT;
    Tugpb__ShowRequest show = TUGPB__SHOW_REQUEST__INIT;
    struct vworld *w = up(2);
    const Tugpb__ShowReply *shown;
    uint32_t in_flight;

    show.job = fill(w, &in_flight);
    shown = answer(w, TUG_MSG_SHOW_REQUEST, &show.base, TUG_MSG_SHOW_REPLY);
    ck_assert_str_eq(shown->job->state, "RUNNING");
    answer(w, TUG_MSG_JOBS_REQUEST, &jobs.base, TUG_MSG_JOBS_REPLY);
    answer(w, TUG_MSG_NODES_REQUEST, &nodes.base, TUG_MSG_NODES_REPLY);
    ck_assert_str_eq(
        ((const Tugpb__PingReply *) answer(w, TUG_MSG_PING_REQUEST, &ping.base, TUG_MSG_PING_REPLY))->state_full, WHY);
    vw_fill(w, NULL);
    vw_run(w, vw_now(w) + 5000);
    ck_assert_str_eq(
        ((const Tugpb__PingReply *) answer(w, TUG_MSG_PING_REQUEST, &ping.base, TUG_MSG_PING_REPLY))->state_full, "");
    vw_free(w);
}
END_TEST

START_TEST(who_looked_just_before_the_disk_was_found_full_is_answered_too)
{
    static const Tugpb__PingRequest ping = TUGPB__PING_REQUEST__INIT;
    struct vworld *w = up(2);
    uint32_t submit, look;

    vw_fill(w, WHY);
    submit = vw_submit(w, "in flight", 1, 8, 1);
    look = vw_ask(w, TUG_MSG_PING_REQUEST, &ping.base);
    vw_run(w, vw_now(w) + HOP_MS + DISK_MS + HOP_MS);
    ck_assert_ptr_nonnull(vw_reply(w, look));
    ck_assert_ptr_null(vw_reply(w, submit));
    vw_free(w);
}
END_TEST

START_TEST(leases_go_on_for_hours_also_of_a_node_that_comes_back_meanwhile)
{
    struct vworld *w = up(2);
    uint32_t in_flight;
    uint64_t job = fill(w, &in_flight);

    for (int h = 0; h < 6; h++) {
        vw_run(w, vw_now(w) + 3600000);
        ck_assert_uint_eq(vw_running(w, job, 1), 1);
        vw_cut(w, 1);
        vw_cut(w, 2);
        vw_run(w, vw_now(w) + 20000);
        vw_mend(w, 1);
        vw_mend(w, 2);
    }
    vw_run(w, vw_now(w) + 3600000);
    ck_assert_uint_eq(vw_running(w, job, 1), 1);
    vw_fill(w, NULL);
    vw_run(w, vw_now(w) + 60000);
    ck_assert_str_eq(tug_job_state_name(vw_see(w, job)->state), "RUNNING");
    ck_assert_uint_eq(vw_see(w, job)->attempt, 1);
    vw_free(w);
}
END_TEST

START_TEST(what_a_gang_ended_with_stays_on_its_node_until_it_is_durable)
{
    struct vworld *w = up(1);
    uint32_t rid, waits;
    uint64_t job;

    vw_set_run_ms(w, 10000);
    rid = vw_submit(w, "t", 1, 8, 1);
    vw_run(w, vw_now(w) + 5000);
    job = vw_job(w, rid);
    vw_fill(w, WHY);
    waits = vw_wait_end(w, job);
    vw_run(w, vw_now(w) + 60000);
    ck_assert_ptr_null(vw_reply(w, waits));
    vw_crash_control(w); /* and all that it had in memory is gone */
    vw_fill(w, NULL);
    vw_start_control(w);
    waits = vw_wait_end(w, job);
    vw_run(w, vw_now(w) + 5000);
    ck_assert_uint_eq(vw_reply(w, waits)->number, TUG_MSG_WAIT_REPLY);
    ck_assert_str_eq(((const Tugpb__WaitReply *) vw_reply(w, waits)->m)->job->state, "COMPLETED");
    ck_assert_uint_eq(vw_max_attempts_at_once(w, job), 1);
    vw_free(w);
}
END_TEST

START_TEST(under_an_epoch_that_is_not_durable_no_node_is_welcomed)
{
    struct vworld *w = up(1);
    uint64_t epoch = vw_epoch(w);

    vw_crash_control(w);
    vw_fill(w, WHY);
    vw_start_control(w);
    vw_run(w, vw_now(w) + 30000);
    ck_assert_uint_eq(vw_epoch(w), epoch + 1);
    ck_assert_uint_eq(vw_node_epoch(w, 1), epoch);
    vw_fill(w, NULL);
    vw_run(w, vw_now(w) + 30000);
    ck_assert_uint_eq(vw_node_epoch(w, 1), epoch + 1);
    vw_free(w);
}
END_TEST

START_TEST(who_asks_for_more_than_can_wait_is_refused_too)
{
    struct vworld *w = up(2);
    uint32_t in_flight, last = 0;

    fill(w, &in_flight);
    for (int i = 0; i < 400 && !(last && vw_reply(w, last)); i++) { /* 40 bytes or so each */
        for (int k = 0; k < 1000; k++)
            last = vw_submit(w, "in flight", 1, 8, 1);
        vw_run(w, vw_now(w) + 2 * HOP_MS);
    }
    is_refused(w, last);
    vw_free(w);
}
END_TEST

UNIT_MAIN("logic/full", without_room_nothing_is_acknowledged_and_what_was_under_way_is_once_there_is_room,
          what_would_change_the_state_is_refused_with_the_place_and_the_way_out,
          what_is_only_looked_at_is_answered_at_once,
          who_looked_just_before_the_disk_was_found_full_is_answered_too,
          leases_go_on_for_hours_also_of_a_node_that_comes_back_meanwhile,
          what_a_gang_ended_with_stays_on_its_node_until_it_is_durable,
          under_an_epoch_that_is_not_durable_no_node_is_welcomed, who_asks_for_more_than_can_wait_is_refused_too)
