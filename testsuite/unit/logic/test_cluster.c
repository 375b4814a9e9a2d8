/* test_cluster.c - a controller and three nodes in one process, under a virtual clock
 *
 * Layer: tests.
 */
#include "unit.h"

#include "base/mem.h"
#include "core/core.h"
#include "proto/machine.h"
#include "vworld.h"

static struct vworld *up(unsigned nodes)
{
    struct vworld *w = vw_new(nodes, 60, 300);

    vw_run(w, VW_T0 + 1000);
    return w;
}

START_TEST(a_gang_of_three_nodes_runs_to_its_end_at_exact_times)
{
    struct vworld *w = up(3);
    uint32_t rid = vw_submit(w, "t1", 3, 8, 1);
    int64_t t = vw_now(w);
    const struct tug_job *job;
    uint64_t id;

    vw_run(w, t + 5000);
    id = vw_job(w, rid);
    job = vw_see(w, id);
    /* one hop, one commit, one hop back */
    ck_assert_int_eq(vw_reply(w, rid)->at_ms - t, HOP_MS + DISK_MS + HOP_MS);
    ck_assert_str_eq(tug_job_state_name(job->state), "COMPLETED");
    ck_assert_int_eq(job->n_slices, 3);
    ck_assert_int_ge(job->end_ms - job->launched_ms, 1000);
    ck_assert_int_le(job->end_ms - job->launched_ms, 1000 + 40);
    ck_assert_uint_eq(vw_running(w, id, 0), 0);
    vw_free(w);
}
END_TEST

START_TEST(no_reply_leaves_before_the_job_is_durable)
{
    struct vworld *w = up(1);
    uint32_t rid = vw_submit(w, "t1", 1, 1, 1);
    int64_t t = vw_now(w);

    vw_run(w, t + HOP_MS + DISK_MS - 1);
    ck_assert_ptr_null(vw_reply(w, rid));
    ck_assert(!vw_durable(w, "job", 1));
    vw_run(w, t + HOP_MS + DISK_MS + HOP_MS);
    ck_assert_uint_eq(vw_job(w, rid), 1);
    ck_assert(vw_durable(w, "job", 1));
    vw_free(w);
}
END_TEST

START_TEST(the_same_token_gives_the_same_job)
{
    struct vworld *w = up(1);
    uint32_t a = vw_submit(w, "once", 1, 1, 1), b, c;

    vw_run(w, vw_now(w) + 100);
    b = vw_submit(w, "once", 1, 1, 1);
    c = vw_submit(w, "twice", 1, 1, 1);
    vw_run(w, vw_now(w) + 100);
    ck_assert_uint_eq(vw_job(w, a), vw_job(w, b));
    ck_assert_uint_ne(vw_job(w, a), vw_job(w, c));
    ck_assert(((Tugpb__SubmitReply *) vw_reply(w, b)->m)->existed);
    vw_free(w);
}
END_TEST

START_TEST(a_failed_rank_ends_the_gang_and_is_named)
{
    struct vworld *w = up(3);
    uint32_t rid;
    const struct tug_job *job;

    vw_set_exit(w, 2, 7);
    rid = vw_submit(w, "t", 3, 8, 1);
    vw_run(w, vw_now(w) + 5000);
    job = vw_see(w, vw_job(w, rid));
    ck_assert_str_eq(tug_job_state_name(job->state), "FAILED");
    ck_assert_int_eq(job->cause.kind, TUG_CAUSE_RANK);
    ck_assert_uint_eq(job->cause.rank, 1);
    ck_assert_uint_eq(job->cause.node, 1);
    ck_assert_int_eq(job->cause.exit.code, 7);
    ck_assert_int_eq(job->exit.code, 7);
    vw_free(w);
}
END_TEST

START_TEST(a_node_that_never_gets_ready_gives_everything_back_and_is_named)
{
    struct vworld *w = up(3);
    uint32_t rid;
    const struct tug_job *job;

    vw_set_ready(w, 3, INT64_MAX);
    rid = vw_submit(w, "t", 3, 8, 1);
    vw_run(w, vw_now(w) + 11500); /* the barrier's deadline is 10 s */
    job = vw_see(w, vw_job(w, rid));
    ck_assert_uint_ge(job->attempt, 2);
    ck_assert_uint_eq(job->cause.node, 2);
    ck_assert(strstr(job->cause.text, "n3"));
    vw_set_ready(w, 3, READY_MS);
    vw_run(w, vw_now(w) + 30000);
    job = vw_see(w, vw_job(w, rid));
    ck_assert_str_eq(tug_job_state_name(job->state), "COMPLETED");
    vw_free(w);
}
END_TEST

START_TEST(a_restarted_controller_finds_its_gang_running_and_keeps_it)
{
    struct vworld *w = up(3);
    uint32_t rid;
    const struct tug_job *job;
    uint64_t id;

    vw_set_run_ms(w, 20000);
    rid = vw_submit(w, "t", 3, 8, 1);
    vw_run(w, vw_now(w) + 2000);
    id = vw_job(w, rid);
    ck_assert_uint_eq(vw_running(w, id, 1), 3);
    vw_crash_control(w);
    vw_run(w, vw_now(w) + 3000);
    ck_assert_uint_eq(vw_running(w, id, 1), 3);
    vw_start_control(w);
    vw_run(w, vw_now(w) + 1000);
    job = vw_see(w, id);
    ck_assert_str_eq(tug_job_state_name(job->state), "RUNNING");
    ck_assert_uint_eq(job->attempt, 1);
    vw_run(w, vw_now(w) + 30000);
    job = vw_see(w, id);
    ck_assert_str_eq(tug_job_state_name(job->state), "COMPLETED");
    vw_free(w);
}
END_TEST

/* Waiting jobs before their environments, what holds a node before the node, ... */
START_TEST(a_restarted_controller_takes_its_records_in_any_order)
{
    struct vworld *w = up(3);
    uint64_t id[14];
    uint32_t rid[14];

    vw_set_run_ms(w, INT64_MAX);
    for (int i = 0; i < 14; i++) { /* two run, twelve wait; 10 sorts before 2 */
        rid[i] = vw_submit(w, i == 5 ? "" : (char[]){'t', (char) ('a' + i), '\0'}, i ? 2 : 1, 8, 1);
        vw_run(w, vw_now(w) + 500);
    }
    for (int i = 0; i < 14; i++)
        id[i] = vw_job(w, rid[i]);
    for (int backwards = 0; backwards < 2; backwards++) {
        vw_crash_control(w);
        vw_sort_disk(w, backwards);
        vw_start_control(w);
        vw_run(w, vw_now(w) + 1000);
        for (int i = 0; i < 14; i++)
            ck_assert_str_eq(tug_job_state_name(vw_see(w, id[i])->state), i < 2 ? "RUNNING" : "PENDING");
        ck_assert_uint_eq(vw_running(w, id[1], 1), 2);
        rid[3] = vw_submit(w, "td", 2, 8, 1); /* sent again */
        vw_run(w, vw_now(w) + 500);
        ck_assert_uint_eq(vw_job(w, rid[3]), id[3]);
    }
    vw_cancel(w, id[1]);
    vw_run(w, vw_now(w) + 5000);
    ck_assert_str_eq(tug_job_state_name(vw_see(w, id[2])->state), "RUNNING");
    vw_free(w);
}
END_TEST

START_TEST(who_holds_a_gang_up_is_known_after_a_restart_and_heard_again_from_its_head)
{
    struct vworld *w = up(3);
    uint32_t rid;
    uint64_t id;

    vw_set_run_ms(w, 60000);
    rid = vw_submit(w, "t", 3, 8, 1);
    vw_run(w, vw_now(w) + 2000);
    id = vw_job(w, rid);
    vw_say_hang(w, 1, id, "rank 1 on node n2 is stopped");
    vw_run(w, vw_now(w) + 100);
    ck_assert_str_eq(vw_see(w, id)->hang.text, "rank 1 on node n2 is stopped");
    ck_assert_uint_eq(vw_see(w, id)->hang.node, 1);
    vw_crash_control(w);
    vw_say_hang(w, 1, id, "rank 1 on node n2 is stopped again"); /* nobody is there to hear it */
    vw_run(w, vw_now(w) + 100);
    vw_start_control(w);
    ck_assert_str_eq(vw_see(w, id)->hang.text, "rank 1 on node n2 is stopped");
    vw_run(w, vw_now(w) + 2000);
    ck_assert_str_eq(vw_see(w, id)->hang.text, "rank 1 on node n2 is stopped again");
    vw_say_hang(w, 1, id, "");
    vw_run(w, vw_now(w) + 100);
    ck_assert_str_eq(vw_see(w, id)->hang.kind, "");
    vw_free(w);
}
END_TEST

static double usage_of(struct vworld *w, const char *name)
{
    size_t n;
    const struct tug_policy_share *rows =
        tug_core_share_tree((struct tug_core *) (uintptr_t) vw_core(w), vw_now(w), &n);
    for (size_t i = 0; i < n; i++)
        if (rows[i].is_user && !strcmp(rows[i].name, name))
            return rows[i].usage_gpu_s;
    return -1;
}

START_TEST(a_restarted_controller_knows_what_was_used_by_what_ended_and_by_what_runs)
{
    struct vworld *w = up(3);
    double before;

    vw_set_run_ms(w, 20000);
    vw_submit(w, "t", 2, 8, 1);
    vw_run(w, vw_now(w) + 30000);
    ck_assert_double_eq_tol(usage_of(w, "ada"), 16 * 20, 1); /* GPUs x s; setting up and ending too */
    vw_submit(w, "u", 3, 8, 1);
    vw_run(w, vw_now(w) + 10000);
    before = usage_of(w, "ada");
    ck_assert_double_eq_tol(before, 16 * 20 + 24 * 10, 2);
    vw_crash_control(w);
    vw_start_control(w);
    ck_assert_double_eq_tol(usage_of(w, "ada"), before, 1e-6);
    vw_run(w, vw_now(w) + 30000);
    ck_assert_double_eq_tol(usage_of(w, "ada"), 16 * 20 + 24 * 20, 3);
    before = usage_of(w, "ada");
    vw_crash_control(w);
    vw_start_control(w);
    ck_assert_double_eq_tol(usage_of(w, "ada"), before, 1e-6);
    vw_free(w);
}
END_TEST

START_TEST(a_restarted_controller_keeps_the_smaller_last_slice_of_a_gang)
{
    struct vworld *w = up(2);
    uint32_t rid;
    const struct tug_job *job;
    uint64_t id;

    vw_set_run_ms(w, 20000);
    rid = vw_submit(w, "t", 0, 12, 1);
    vw_run(w, vw_now(w) + 2000);
    id = vw_job(w, rid);
    vw_crash_control(w);
    vw_start_control(w);
    vw_run(w, vw_now(w) + 1000);
    job = vw_see(w, id);
    ck_assert_str_eq(tug_job_state_name(job->state), "RUNNING");
    ck_assert_uint_eq(job->req.gpus_last, 4);
    ck_assert_uint_eq(job->slices[0].gpus, 0xff);
    ck_assert_uint_eq(job->slices[1].gpus, 0xf);
    vw_run(w, vw_now(w) + 30000);
    ck_assert_str_eq(tug_job_state_name(vw_see(w, id)->state), "COMPLETED");
    vw_free(w);
}
END_TEST

START_TEST(a_gang_that_ends_while_the_controller_is_away_is_accounted_once)
{
    struct vworld *w = up(2);
    uint32_t rid;
    const struct tug_job *job;
    uint64_t id;

    rid = vw_submit(w, "t", 2, 8, 1);
    vw_run(w, vw_now(w) + 500);
    id = vw_job(w, rid);
    vw_crash_control(w);
    vw_run(w, vw_now(w) + 5000);
    vw_start_control(w);
    vw_run(w, vw_now(w) + 2000);
    job = vw_see(w, id);
    ck_assert_str_eq(tug_job_state_name(job->state), "COMPLETED");
    ck_assert_uint_eq(job->attempt, 1);
    vw_free(w);
}
END_TEST

START_TEST(a_controller_killed_at_any_moment_of_a_launch_neither_loses_nor_doubles_the_gang)
{
    for (int64_t when = 0; when < 40; when++) {
        struct vworld *w = up(3);
        uint32_t rid = vw_submit(w, "t", 3, 8, 1);
        int64_t t = vw_now(w);
        const struct tug_job *job;

        vw_run(w, t + when);
        vw_crash_control(w);
        vw_run(w, t + when + 200);
        vw_start_control(w);
        vw_run(w, vw_now(w) + 60000);
        job = vw_see(w, 1);
        if (vw_reply(w, rid)) {
            ck_assert_ptr_nonnull(job);
            ck_assert_str_eq(tug_job_state_name(job->state), "COMPLETED");
        }
        ck_assert_uint_le(vw_max_attempts_at_once(w, 1), 1);
        ck_assert_uint_eq(vw_running(w, 1, 0), 0);
        vw_free(w);
    }
}
END_TEST

START_TEST(a_new_controller_starts_nobody_before_it_knows_where_the_head_is)
{
    struct vworld *w = up(3);
    uint32_t rid;
    uint64_t id;

    vw_set_ready(w, 3, 400);
    rid = vw_submit(w, "t", 3, 8, 1);
    vw_run(w, vw_now(w) + 100); /* n1, the head, and n2 are ready, and that is kept */
    id = vw_job(w, rid);
    vw_crash_control(w);
    vw_cut(w, 1);
    vw_start_control(w);
    vw_run(w, vw_now(w) + 1000); /* n3 is ready too: the barrier opens */
    ck_assert_str_eq(tug_job_state_name(vw_see(w, id)->state), "RUNNING");
    ck_assert_uint_eq(vw_running(w, id, 1), 0);
    vw_mend(w, 1);
    vw_run(w, vw_now(w) + 60000);
    ck_assert_uint_eq(vw_blind_starts(w), 0);
    ck_assert_str_eq(tug_job_state_name(vw_see(w, id)->state), "COMPLETED");
    vw_free(w);
}
END_TEST

START_TEST(a_killed_node_daemon_finds_its_step_again)
{
    struct vworld *w = up(3);
    uint32_t rid;
    const struct tug_job *job;
    uint64_t id;

    vw_set_run_ms(w, 10000);
    rid = vw_submit(w, "t", 3, 8, 1);
    vw_run(w, vw_now(w) + 2000);
    id = vw_job(w, rid);
    vw_restart_agent(w, 2);
    vw_run(w, vw_now(w) + 2000);
    job = vw_see(w, id);
    ck_assert_str_eq(tug_job_state_name(job->state), "RUNNING");
    ck_assert_uint_eq(vw_running(w, id, 1), 3);
    vw_run(w, vw_now(w) + 20000);
    job = vw_see(w, id);
    ck_assert_str_eq(tug_job_state_name(job->state), "COMPLETED");
    ck_assert_uint_eq(job->attempt, 1);
    vw_free(w);
}
END_TEST

START_TEST(a_lost_node_ends_the_gang_and_it_runs_again_only_after_the_lease)
{
    struct vworld *w = up(4);
    uint32_t rid;
    const struct tug_job *job;
    int64_t cut;
    uint64_t id;

    vw_set_run_ms(w, INT64_MAX);
    rid = vw_submit(w, "t", 3, 8, 1);
    vw_run(w, vw_now(w) + 2000);
    id = vw_job(w, rid);
    cut = vw_now(w);
    vw_cut(w, 1);
    vw_run(w, cut + 61000 + 5000); /* silent for node_timeout: ended elsewhere */
    ck_assert_uint_eq(vw_running(w, id, 1), 1);
    job = vw_see(w, id);
    ck_assert_str_eq(tug_job_state_name(job->state), "REQUEUED");
    vw_run(w, cut + 290000);
    ck_assert_uint_eq(vw_running(w, id, 2), 0);
    vw_run(w, cut + 330000); /* its lease is over: the node has ended it, the controller may run it again */
    ck_assert_uint_eq(vw_running(w, id, 1), 0);
    job = vw_see(w, id);
    ck_assert_uint_eq(job->attempt, 2);
    ck_assert_str_eq(tug_job_state_name(job->state), "RUNNING");
    ck_assert_uint_eq(vw_running(w, id, 2), 3);
    ck_assert_uint_le(vw_max_attempts_at_once(w, id), 1);
    vw_free(w);
}
END_TEST

START_TEST(an_order_that_waits_for_its_commit_is_not_sent_to_a_node_that_was_given_up_on_meanwhile)
{
    struct vworld *w = vw_new(1, 15, 300);
    struct tug_core_node k;

    vw_run(w, VW_T0 + 1000);
    vw_set_mute(w, 1, 1);
    vw_set_disk(w, 16000);
    vw_submit(w, "t", 1, 8, 1);
    vw_run(w, VW_T0 + 10000);
    ck_assert_str_eq(tug_job_state_name(vw_see(w, 1)->state), "CONFIGURING");
    vw_run(w, VW_T0 + 16500);
    tug_core_node(vw_core(w), 0, &k);
    ck_assert(!k.up);
    ck_assert(!vw_durable(w, "job", 1));
    vw_run(w, VW_T0 + 60000);
    ck_assert(vw_durable(w, "job", 1));
    ck_assert_str_eq(vw_command(w), ""); /* nothing was launched */
    vw_free(w);
}
END_TEST

START_TEST(a_hello_that_was_long_on_its_way_takes_nothing_back)
{
    struct vworld *w = up(3);
    tug_peer_id older = vw_connect_again(w, 1);
    uint64_t id;

    vw_cut(w, 1); /* the node dials again, and says the same */
    vw_mend(w, 1);
    vw_run(w, vw_now(w) + 1000);
    vw_set_run_ms(w, INT64_MAX);
    uint32_t rid = vw_submit(w, "t", 3, 8, 1);
    vw_run(w, vw_now(w) + 2000);
    id = vw_job(w, rid);
    ck_assert_uint_eq(vw_running(w, id, 1), 3);
    vw_hello_again(w, 1, 0);     /* twice on one connection: that it holds nothing is no longer so */
    vw_run(w, vw_now(w) + 2000);
    vw_hello_again(w, 1, older); /* a connection that it had before this one */
    vw_run(w, vw_now(w) + 2000);
    ck_assert_str_eq(tug_job_state_name(vw_see(w, id)->state), "RUNNING");
    ck_assert_uint_eq(vw_see(w, id)->attempt, 1);
    ck_assert_uint_eq(vw_running(w, id, 1), 3);
    vw_free(w);
}
END_TEST

START_TEST(without_leases_a_lost_nodes_gang_waits_for_its_node)
{
    struct vworld *w = vw_new(4, 60, 0);
    uint32_t rid;
    uint64_t id;

    vw_run(w, vw_now(w) + 1000);
    vw_set_run_ms(w, INT64_MAX);
    rid = vw_submit(w, "t", 3, 8, 1);
    vw_run(w, vw_now(w) + 2000);
    id = vw_job(w, rid);
    vw_cut(w, 1);
    vw_run(w, vw_now(w) + 24 * 3600000LL);
    ck_assert_str_eq(tug_job_state_name(vw_see(w, id)->state), "REQUEUED");
    ck_assert_uint_eq(vw_running(w, id, 1), 1);
    vw_mend(w, 1);
    vw_run(w, vw_now(w) + 10000);
    ck_assert_uint_eq(vw_see(w, id)->attempt, 2);
    ck_assert_uint_eq(vw_running(w, id, 2), 3);
    ck_assert_uint_le(vw_max_attempts_at_once(w, id), 1);
    vw_free(w);
}
END_TEST

/* Node 1 is cut off by a lease of before; then another controller comes, with another one. */
static void change_lease(uint32_t from_s, uint32_t to_s, int64_t not_before_ms)
{
    struct vworld *w = vw_new(4, 60, from_s);
    int64_t cut;
    uint32_t rid;
    uint64_t id;

    vw_run(w, vw_now(w) + 1000);
    vw_set_run_ms(w, INT64_MAX);
    rid = vw_submit(w, "t", 3, 8, 1);
    vw_run(w, vw_now(w) + 2000);
    id = vw_job(w, rid);
    cut = vw_now(w);
    vw_cut(w, 1);
    vw_crash_control(w);
    vw_set_lease(w, to_s);
    vw_start_control(w);
    vw_run(w, cut + not_before_ms);
    ck_assert_str_eq(tug_job_state_name(vw_see(w, id)->state), "REQUEUED");
    ck_assert_uint_le(vw_max_attempts_at_once(w, id), 1);
    vw_crash_control(w); /* also the one after that knows */
    vw_start_control(w);
    vw_run(w, vw_now(w) + to_s * 1020LL + 62000);
    ck_assert_str_eq(tug_job_state_name(vw_see(w, id)->state), "REQUEUED");
    vw_mend(w, 1);
    vw_run(w, vw_now(w) + 20000);
    ck_assert_uint_eq(vw_see(w, id)->attempt, 2);
    ck_assert_uint_eq(vw_running(w, id, 2), 3);
    ck_assert_uint_le(vw_max_attempts_at_once(w, id), 1);
    vw_free(w);
}

START_TEST(a_longer_lease_of_before_is_waited_out)
{
    change_lease(3600, 60, 3590000);
    change_lease(0, 60, 24 * 3600000LL);
}
END_TEST

START_TEST(a_shorter_lease_counts_once_the_node_has_taken_it)
{
    struct vworld *w = vw_new(4, 60, 0);
    int64_t cut;
    uint32_t rid;
    uint64_t id;

    vw_run(w, vw_now(w) + 1000);
    vw_set_run_ms(w, INT64_MAX);
    rid = vw_submit(w, "t", 3, 8, 1);
    vw_run(w, vw_now(w) + 2000);
    id = vw_job(w, rid);
    vw_crash_control(w);
    vw_set_lease(w, 300);
    vw_start_control(w);
    vw_run(w, vw_now(w) + 15000);
    cut = vw_now(w);
    vw_cut(w, 1);
    vw_run(w, cut + 290000);
    ck_assert_uint_eq(vw_running(w, id, 1), 1);
    vw_run(w, cut + 330000);
    ck_assert_uint_eq(vw_running(w, id, 1), 0); /* the node has ended it, and the controller knows when */
    ck_assert_uint_eq(vw_running(w, id, 2), 3);
    ck_assert_uint_le(vw_max_attempts_at_once(w, id), 1);
    vw_free(w);
}
END_TEST

START_TEST(a_job_that_may_not_be_requeued_fails_with_its_node)
{
    struct vworld *w = up(3);
    uint32_t rid;
    const struct tug_job *job;
    uint64_t id;

    vw_set_run_ms(w, INT64_MAX);
    rid = vw_submit(w, "t", 3, 8, 0);
    vw_run(w, vw_now(w) + 2000);
    id = vw_job(w, rid);
    vw_cut(w, 2);
    vw_run(w, vw_now(w) + 400000);
    job = vw_see(w, id);
    ck_assert_str_eq(tug_job_state_name(job->state), "NODE_FAIL");
    ck_assert_int_eq(job->cause.kind, TUG_CAUSE_NODE);
    ck_assert_uint_eq(job->cause.node, 1);
    vw_free(w);
}
END_TEST

START_TEST(cancel_ends_a_running_gang_everywhere)
{
    struct vworld *w = up(3);
    uint32_t rid, wait;
    const struct tug_job *job;
    uint64_t id;

    vw_set_run_ms(w, INT64_MAX);
    rid = vw_submit(w, "t", 3, 8, 1);
    vw_run(w, vw_now(w) + 2000);
    id = vw_job(w, rid);
    wait = vw_wait_end(w, id);
    vw_cancel(w, id);
    vw_run(w, vw_now(w) + 1000);
    job = vw_see(w, id);
    ck_assert_str_eq(tug_job_state_name(job->state), "CANCELLED");
    ck_assert_uint_eq(vw_running(w, id, 0), 0);
    ck_assert_ptr_nonnull(vw_reply(w, wait));
    ck_assert_str_eq(((Tugpb__WaitReply *) vw_reply(w, wait)->m)->job->state, "CANCELLED");
    vw_free(w);
}
END_TEST

START_TEST(a_job_that_starts_too_many_steps_is_stopped_there_and_its_record_stays_readable)
{
    struct vworld *w = up(1);
    uint32_t rid, last = 0;
    uint64_t id;
    unsigned taken = 0;

    vw_set_run_ms(w, INT64_MAX);
    rid = vw_submit(w, "t", 1, 1, 1);
    vw_run(w, vw_now(w) + 1000);
    id = vw_job(w, rid);
    for (int i = 0; i < 100; i++) {
        last = vw_submit_step(w, id, 120000);
        vw_run(w, vw_now(w) + 20);
        taken += vw_reply(w, last)->number == TUG_MSG_SUBMIT_REPLY;
    }
    ck_assert_uint_eq(taken, 69); /* of a bit more than 120,000 bytes each in 8 MiB */
    ck_assert_uint_eq(vw_reply(w, last)->number, TUG_MSG_ERROR);
    ck_assert(strstr(((Tugpb__Error *) vw_reply(w, last)->m)->text, "wait until a step has ended"));
    vw_crash_control(w);
    vw_start_control(w);
    vw_run(w, vw_now(w) + 2000);
    ck_assert_str_eq(tug_job_state_name(vw_see(w, id)->state), "RUNNING");
    ck_assert_uint_eq(vw_see(w, id)->n_steps, 1 + 69);
    vw_free(w);
}
END_TEST

START_TEST(a_gang_meets_where_its_first_node_says_whoever_else_says_what)
{
    struct vworld *w = up(3);

    vw_set_ready(w, 3, 2000);
    vw_submit(w, "t", 3, 8, 1);
    vw_run(w, vw_now(w) + 2900);
    ck_assert_uint_eq(vw_master_port(w), 61001);
    vw_free(w);
}
END_TEST

START_TEST(a_token_is_known_for_a_day_after_its_job_was_forgotten_and_then_costs_nothing)
{
    struct vworld *w = up(1);
    uint32_t rid = vw_submit(w, "once", 1, 1, 1), late;
    uint64_t id;

    vw_run(w, vw_now(w) + 5000);
    id = vw_job(w, rid);
    vw_run(w, vw_now(w) + 23 * 3600 * 1000LL);
    ck_assert_ptr_null(vw_see(w, id));
    ck_assert_uint_eq(vw_durable_tokens(w), 1);
    vw_crash_control(w);
    vw_start_control(w);
    vw_run(w, vw_now(w) + 1000);
    late = vw_submit(w, "once", 1, 1, 1);
    vw_run(w, vw_now(w) + 1000);
    ck_assert_uint_eq(vw_job(w, late), id);
    vw_run(w, vw_now(w) + 2 * 3600 * 1000LL);
    late = vw_submit(w, "twice", 1, 1, 1);
    vw_run(w, vw_now(w) + 2 * 3600 * 1000LL); /* its job is forgotten: time to look at the old tokens */
    ck_assert_ptr_null(vw_see(w, vw_job(w, late)));
    ck_assert_uint_eq(vw_durable_tokens(w), 1);
    vw_free(w);
}
END_TEST

static const char *state_of(struct vworld *w, uint64_t id)
{
    return tug_job_state_name(vw_see(w, id)->state);
}

START_TEST(a_controller_killed_during_a_notice_keeps_its_word_and_nobody_else_has_to_go)
{
    struct vworld *w = up(2);
    uint64_t low, other, high;
    int64_t told_ms;

    vw_let_give_way(w, TUG_PREEMPT_REQUEUE, 20);
    vw_set_run_ms(w, INT64_MAX);
    vw_run(w, vw_now(w) + 2000);
    uint32_t a = vw_submit(w, "a", 1, 8, 1);
    vw_run(w, vw_now(w) + 2000);
    uint32_t b = vw_submit(w, "b", 1, 8, 1);
    vw_run(w, vw_now(w) + 2000);
    other = vw_job(w, a);
    low = vw_job(w, b);
    told_ms = vw_now(w);
    uint32_t c = vw_submit_to(w, "urgent", "c", 1, 8, 1);
    vw_run(w, told_ms + 3000);
    high = vw_job(w, c);
    ck_assert_int_ne(vw_see(w, low)->gives_way, 0);
    vw_crash_control(w);
    vw_run(w, vw_now(w) + 5000);
    vw_start_control(w);
    vw_run(w, told_ms + 19000);
    ck_assert_str_eq(state_of(w, low), "RUNNING");
    ck_assert_uint_eq(vw_see(w, low)->preemptor, high);
    vw_run(w, told_ms + 23000);
    ck_assert_str_eq(state_of(w, low), "PENDING");
    ck_assert_uint_eq(vw_see(w, low)->preemptions, 1);
    ck_assert_int_ge(vw_see(w, low)->ran_ms, 20000);
    ck_assert_str_eq(state_of(w, other), "RUNNING");
    ck_assert_str_eq(state_of(w, high), "RUNNING");
    vw_free(w);
}
END_TEST

START_TEST(a_controller_killed_while_a_gang_is_suspended_lets_it_go_on_where_it_was)
{
    struct vworld *w = up(2);
    uint64_t low, high;

    vw_let_give_way(w, TUG_PREEMPT_SUSPEND, 0);
    vw_set_run_ms(w, INT64_MAX);
    vw_run(w, vw_now(w) + 2000);
    uint32_t a = vw_submit(w, "a", 2, 8, 1);
    vw_run(w, vw_now(w) + 2000);
    low = vw_job(w, a);
    uint32_t b = vw_submit_to(w, "urgent", "b", 1, 8, 1);
    vw_run(w, vw_now(w) + 2000);
    high = vw_job(w, b);
    ck_assert_str_eq(state_of(w, low), "SUSPENDED");
    ck_assert_str_eq(state_of(w, high), "RUNNING");
    ck_assert_uint_eq(vw_stopped(w, low), 2);
    vw_crash_control(w);
    vw_start_control(w);
    vw_run(w, vw_now(w) + 5000);
    ck_assert_str_eq(state_of(w, low), "SUSPENDED");
    vw_restart_agent(w, 1);
    vw_cut(w, 2);
    vw_cancel(w, high);
    vw_run(w, vw_now(w) + 5000);
    vw_mend(w, 2);
    vw_run(w, vw_now(w) + 5000);
    ck_assert_str_eq(state_of(w, low), "RUNNING");
    ck_assert_uint_eq(vw_see(w, low)->attempt, 1);
    ck_assert_uint_eq(vw_running(w, low, 1), 2);
    ck_assert_uint_eq(vw_stopped(w, low), 0); /* also where the word was lost with the connection */
    vw_free(w);
}
END_TEST

START_TEST(a_back_off_is_waited_out_over_a_restart_and_requeue_ends_it)
{
    struct vworld *w = up(2);
    const struct vw_reply *r;

    vw_set_again(w, "75,SIGBUS", 100);
    vw_set_exit(w, 1, 75);
    vw_set_run_ms(w, 1000);
    uint32_t rid = vw_submit(w, "a", 2, 8, 1);
    vw_run(w, vw_now(w) + 2000);
    uint64_t job = vw_job(w, rid);
    ck_assert_str_eq(state_of(w, job), "PENDING");
    int64_t retry_ms = vw_see(w, job)->retry_ms;
    ck_assert_int_gt(retry_ms, vw_now(w) + 98000);
    vw_crash_control(w);
    vw_start_control(w);
    ck_assert_int_eq(vw_see(w, job)->retry_ms, retry_ms);
    ck_assert_uint_eq(vw_see(w, job)->n_attempts, 1);
    ck_assert_int_eq(vw_see(w, job)->attempts[0].cause.exit.code, 75);
    vw_run(w, retry_ms - 1);
    ck_assert_str_eq(state_of(w, job), "PENDING");
    ck_assert_uint_eq(vw_running(w, job, 0), 0);
    vw_run(w, retry_ms + 500);
    ck_assert_uint_eq(vw_running(w, job, 2), 2);
    vw_run(w, retry_ms + 2000);
    ck_assert_int_gt(vw_see(w, job)->retry_ms, vw_now(w) + 198000);
    rid = vw_requeue(w, job);
    vw_run(w, vw_now(w) + 500);
    r = vw_reply(w, rid);
    ck_assert(r && r->number == TUG_MSG_REQUEUE_REPLY);
    ck_assert_uint_eq(((const Tugpb__RequeueReply *) r->m)->n_done, 1);
    ck_assert_uint_eq(vw_running(w, job, 3), 2);
    vw_set_exit(w, 1, 0);
    rid = vw_requeue(w, job); /* one that runs */
    vw_run(w, vw_now(w) + 500);
    ck_assert_uint_eq(vw_running(w, job, 4), 2);
    ck_assert_uint_eq(vw_see(w, job)->failures, 0);
    vw_run(w, vw_now(w) + 2000);
    ck_assert_str_eq(state_of(w, job), "COMPLETED");
    rid = vw_requeue(w, job);
    vw_run(w, vw_now(w) + 500);
    r = vw_reply(w, rid);
    ck_assert_str_eq(((const Tugpb__RequeueReply *) r->m)->failed[0]->text, "job 1 is over already (COMPLETED)");
    ck_assert_uint_eq(vw_max_attempts_at_once(w, job), 1);
    vw_free(w);
}
END_TEST

START_TEST(a_list_of_exits_that_makes_no_sense_is_refused)
{
    struct vworld *w = up(1);
    const struct vw_reply *r;
    static const struct {
        const char *exits, *says;
        int requeue;
    } bad[] = {{"75,SIGFOO", "'SIGFOO' is neither", 1}, {"300", "exit codes are 1 to 255", 1}, {"75", "contradict", 0}};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        vw_set_again(w, bad[i].exits, 0);
        uint32_t rid = vw_submit(w, "", 1, 8, bad[i].requeue);
        vw_run(w, vw_now(w) + 500);
        r = vw_reply(w, rid);
        ck_assert(r && r->number == TUG_MSG_ERROR);
        ck_assert_msg(strstr(((const Tugpb__Error *) r->m)->text, bad[i].says), "%s", ((const Tugpb__Error *) r->m)->text);
    }
    vw_free(w);
}
END_TEST

/* How many jobs "tug queue -t STATE" lists. */
static size_t listed_as(struct vworld *w, const char *state)
{
    Tugpb__JobsRequest m = TUGPB__JOBS_REQUEST__INIT;
    char *states[] = {(char *) state};

    m.states = states;
    m.n_states = 1;
    uint32_t rid = vw_ask(w, TUG_MSG_JOBS_REQUEST, &m.base);
    vw_run(w, vw_now(w) + 10);
    const struct vw_reply *r = vw_reply(w, rid);
    ck_assert(r && r->number == TUG_MSG_JOBS_REPLY);
    return ((const Tugpb__JobsReply *) r->m)->n_jobs;
}

START_TEST(a_gang_is_suspended_when_its_nodes_say_that_it_is_stopped_and_no_sooner)
{
    struct vworld *w = up(2);
    uint64_t low, high;

    vw_let_give_way(w, TUG_PREEMPT_SUSPEND, 0);
    vw_set_run_ms(w, INT64_MAX);
    vw_run(w, vw_now(w) + 2000);
    uint32_t a = vw_submit(w, "a", 2, 8, 1);
    vw_run(w, vw_now(w) + 2000);
    low = vw_job(w, a);
    vw_set_deaf(w, 2, 1);
    uint32_t b = vw_submit_to(w, "urgent", "b", 1, 8, 1);
    vw_run(w, vw_now(w) + 5000);
    high = vw_job(w, b);
    ck_assert_str_eq(tug_job_shown_state(vw_see(w, low)), "SUSPENDING");
    ck_assert_str_eq(state_of(w, high), "PENDING");
    ck_assert_uint_eq(listed_as(w, "SUSPENDING"), 1); /* as it is shown, so it is found */
    ck_assert_uint_eq(listed_as(w, "SG"), 1);
    ck_assert_uint_eq(listed_as(w, "RUNNING"), 0);
    ck_assert_uint_eq(listed_as(w, "PD"), 1);
    vw_crash_control(w);
    vw_start_control(w);
    vw_run(w, vw_now(w) + 5000);
    ck_assert_str_eq(tug_job_shown_state(vw_see(w, low)), "SUSPENDING");
    ck_assert_str_eq(state_of(w, high), "PENDING");
    vw_set_deaf(w, 2, 0);
    vw_cut(w, 2); /* it is asked again when it comes back */
    vw_run(w, vw_now(w) + 1000);
    vw_mend(w, 2);
    vw_run(w, vw_now(w) + 5000);
    ck_assert_str_eq(state_of(w, low), "SUSPENDED");
    ck_assert_str_eq(state_of(w, high), "RUNNING");
    vw_cancel(w, high);
    vw_run(w, vw_now(w) + 5000);
    ck_assert_str_eq(state_of(w, low), "RUNNING");
    ck_assert_uint_eq(vw_stopped(w, low), 0);
    vw_set_deaf(w, 1, 1);
    b = vw_submit_to(w, "urgent", "c", 1, 8, 1);
    vw_run(w, vw_now(w) + 30000);
    ck_assert_str_eq(tug_job_shown_state(vw_see(w, low)), "SUSPENDING");
    vw_run(w, vw_now(w) + 5000); /* the grace of 1 s, and 30 */
    ck_assert_str_eq(state_of(w, low), "PENDING");
    ck_assert_str_eq(state_of(w, vw_job(w, b)), "RUNNING");
    vw_free(w);
}
END_TEST

/* A job with a limit of 100 s has run for 30 when the controller dies; the wall clock is put by ahead_ms; when does it end? */
static int64_t ends_after_ms(struct vworld *w, int64_t ahead_ms, int other_boot)
{
    vw_set_run_ms(w, INT64_MAX);
    vw_set_time(w, 100, 0);
    uint32_t rid = vw_submit(w, "a", 2, 8, 1);
    vw_run(w, vw_now(w) + 30000);
    uint64_t job = vw_job(w, rid);
    ck_assert_str_eq(state_of(w, job), "RUNNING");
    int64_t started_ms = vw_see(w, job)->launched_ms;
    vw_crash_control(w);
    vw_put_wall(w, ahead_ms);
    if (other_boot)
        vw_reboot_control(w);
    vw_start_control(w);
    for (int i = 0; i < 200 && strcmp(state_of(w, job), "TIMEOUT") != 0; i++)
        vw_run(w, vw_now(w) + 1000);
    ck_assert_str_eq(state_of(w, job), "TIMEOUT");
    return vw_now(w) - started_ms;
}

START_TEST(a_time_limit_is_what_really_passed_whatever_the_wall_clock_was_put_to)
{
    static const int64_t ahead_ms[] = {24 * 3600000LL, -600000, 60000, -20000, 1};

    for (size_t i = 0; i < sizeof ahead_ms / sizeof *ahead_ms; i++) {
        struct vworld *w = up(2);
        int64_t ms = ends_after_ms(w, ahead_ms[i], 0);

        ck_assert_int_ge(ms, 100000);
        ck_assert_int_le(ms, 102500); /* the grace, and how often we look */
        vw_free(w);
    }
}
END_TEST

START_TEST(after_another_boot_the_wall_clock_counts)
{
    struct vworld *w = up(2);

    ck_assert_int_le(ends_after_ms(w, 80000, 1), 33000); /* at once: 110 s by the wall clock */
    vw_free(w);
}
END_TEST

START_TEST(a_clock_that_is_put_twice_moves_each_record_by_what_it_lacks)
{
    struct vworld *w = up(2);

    vw_set_run_ms(w, INT64_MAX);
    vw_set_time(w, 100, 0);
    uint32_t a = vw_submit(w, "a", 1, 8, 1);
    vw_run(w, vw_now(w) + 10000);
    int64_t a_ms = vw_see(w, vw_job(w, a))->launched_ms;
    vw_crash_control(w);
    vw_put_wall(w, 3600000);
    vw_start_control(w);
    vw_run(w, vw_now(w) + 10000);
    uint64_t first = vw_job(w, a); /* its record may be of before, this one's is not */
    uint32_t b = vw_submit(w, "b", 1, 8, 1);
    vw_run(w, vw_now(w) + 10000);
    uint64_t second = vw_job(w, b);
    int64_t b_ms = vw_see(w, second)->launched_ms - 3600000;
    vw_crash_control(w);
    vw_put_wall(w, -500000);
    vw_start_control(w);
    vw_run(w, vw_now(w) + 1000);
    ck_assert_int_eq(vw_see(w, first)->launched_ms, a_ms - 500000);
    ck_assert_int_eq(vw_see(w, second)->launched_ms, b_ms - 500000);
    ck_assert_int_eq(vw_see(w, second)->limit_ms, b_ms - 500000 + 100000);
    vw_run(w, a_ms + 99000);
    ck_assert_str_eq(state_of(w, first), "RUNNING");
    vw_run(w, a_ms + 102000);
    ck_assert_str_eq(state_of(w, first), "TIMEOUT");
    vw_run(w, b_ms + 99000);
    ck_assert_str_eq(state_of(w, second), "RUNNING");
    vw_run(w, b_ms + 102000);
    ck_assert_str_eq(state_of(w, second), "TIMEOUT");
    vw_free(w);
}
END_TEST

START_TEST(a_time_to_begin_is_wall_clock_and_a_back_off_is_not)
{
    struct vworld *w = up(2);

    vw_set_run_ms(w, INT64_MAX);
    vw_set_time(w, 0, vw_now(w) + 600000);
    uint32_t a = vw_submit(w, "a", 1, 8, 1);
    vw_set_time(w, 0, 0);
    vw_set_again(w, "75", 500);
    vw_set_exit(w, 1, 75);
    vw_set_exit(w, 2, 75);
    vw_set_run_ms(w, 1000);
    uint32_t b = vw_submit(w, "b", 1, 8, 1);
    vw_run(w, vw_now(w) + 5000);
    uint64_t begins = vw_job(w, a), backs = vw_job(w, b);
    int64_t retry_ms = vw_see(w, backs)->retry_ms;
    ck_assert_str_eq(state_of(w, begins), "PENDING");
    vw_set_run_ms(w, INT64_MAX);
    vw_crash_control(w);
    vw_put_wall(w, 620000);
    vw_start_control(w);
    vw_run(w, vw_now(w) + 2000);
    ck_assert_str_eq(state_of(w, begins), "RUNNING");
    ck_assert_str_eq(state_of(w, backs), "PENDING");
    vw_run(w, retry_ms - 100);
    ck_assert_str_eq(state_of(w, backs), "PENDING");
    vw_run(w, retry_ms + 1000);
    ck_assert_str_eq(state_of(w, backs), "RUNNING");
    vw_free(w);
}
END_TEST

START_TEST(what_was_used_decays_by_what_really_passed)
{
    struct vworld *w = up(1);
    size_t n;
    double before, after;

    vw_set_run_ms(w, 60000);
    vw_submit(w, "a", 1, 8, 1);
    vw_run(w, vw_now(w) + 70000);
    before = tug_core_share_tree((struct tug_core *) (uintptr_t) vw_core(w), vw_now(w), &n)[0].usage_gpu_s;
    ck_assert(before > 400);
    vw_crash_control(w);
    vw_put_wall(w, 7 * 24 * 3600000LL); /* half of it would be gone */
    vw_start_control(w);
    after = tug_core_share_tree((struct tug_core *) (uintptr_t) vw_core(w), vw_now(w) + 7 * 24 * 3600000LL, &n)[0].usage_gpu_s;
    ck_assert_msg(after > before * 0.999 && after < before * 1.001, "%g, then %g", before, after);
    vw_free(w);
}
END_TEST

static const struct tug_machine *machine_of(const struct vworld *w, uint32_t node)
{
    struct tug_core_node n;

    tug_core_node(vw_core(w), node, &n);
    return n.machine;
}

START_TEST(what_a_node_says_of_its_links_outlives_the_controller_and_nonsense_is_left_alone)
{
    struct tug_machine *m = tug_new(struct tug_machine);
    struct tug_arena a = {.budget_bytes = 1 << 20};
    struct vworld *w = up(2);

    m->n_gpus = 8;
    m->n_numa = 1;
    for (uint32_t i = 0; i < 8; i++)
        for (uint32_t k = 0; k < 8; k++)
            m->link[i][k].class = i == k ? TUG_LINK_SELF : TUG_LINK_SYS;
    ck_assert_ptr_null(machine_of(w, 0));
    vw_set_links(w, 1, tug_machine_pb(&a, m));
    vw_set_links(w, 2, tug_machine_pb(&a, m));
    vw_restart_agent(w, 1);
    vw_restart_agent(w, 2);
    vw_run(w, vw_now(w) + 5000);
    ck_assert_int_eq(tug_machine_equal(machine_of(w, 0), m), 1);
    ck_assert_ptr_eq(machine_of(w, 0), machine_of(w, 1));
    vw_cut(w, 1);
    vw_crash_control(w);
    vw_start_control(w);
    ck_assert_int_eq(tug_machine_equal(machine_of(w, 0), m), 1);
    m->n_gpus = 7;
    vw_set_links(w, 2, tug_machine_pb(&a, m));
    vw_restart_agent(w, 2);
    vw_run(w, vw_now(w) + 5000);
    ck_assert_ptr_null(machine_of(w, 1));
    vw_free(w);
    tug_arena_clear(&a);
    free(m);
}
END_TEST

/* Two links between 0-2, 2-1 and so on: the ring is 0 2 1 3. */
static struct tug_machine *four_across(void)
{
    static const uint8_t ring[] = {0, 2, 1, 3};
    struct tug_machine *m = tug_new(struct tug_machine);

    m->n_gpus = 8;
    m->n_numa = 1;
    for (uint32_t i = 0; i < 8; i++)
        for (uint32_t k = 0; k < 8; k++)
            m->link[i][k] = (struct tug_machine_link){.class = i == k ? TUG_LINK_SELF : TUG_LINK_SYS, .mbs = i == k ? 0 : 5000};
    for (size_t i = 0; i < 4; i++)
        m->link[ring[i]][ring[(i + 1) % 4]].mbs = m->link[ring[(i + 1) % 4]][ring[i]].mbs = 50000;
    return m;
}

static uint64_t started(struct vworld *w, uint32_t gpus)
{
    char token[16];

    snprintf(token, sizeof token, "gpus%u", gpus);
    uint32_t rid = vw_submit(w, token, 1, gpus, 1);
    vw_run(w, vw_now(w) + 500);
    return vw_job(w, rid);
}

START_TEST(the_node_is_told_the_order_of_its_ring)
{
    struct tug_machine *m = four_across();
    struct tug_arena a = {.budget_bytes = 1 << 20};
    struct vworld *w = up(1);

    vw_set_links(w, 1, tug_machine_pb(&a, m));
    vw_restart_agent(w, 1);
    vw_run(w, vw_now(w) + 5000);
    uint64_t job = started(w, 4);
    ck_assert_uint_eq(vw_see(w, job)->slices[0].gpus, 0xf);
    ck_assert_str_eq(vw_gpu_order(w), "0 2 1 3");
    uint64_t other = started(w, 2); /* of what is left: rising is not said */
    ck_assert_uint_eq(vw_see(w, other)->slices[0].gpus, 0x30);
    ck_assert_str_eq(vw_gpu_order(w), "");
    vw_free(w);
    tug_arena_clear(&a);
    free(m);
}
END_TEST

START_TEST(a_preflight_runs_on_all_nodes_before_the_job_does)
{
    struct vworld *w = up(3);
    uint32_t rid;
    int64_t t;
    const struct tug_job *job;

    vw_set_preflight(w, "allreduce");
    rid = vw_submit(w, "t", 3, 8, 1);
    t = vw_now(w);
    vw_run(w, t + 500);
    job = vw_see(w, vw_job(w, rid));
    ck_assert_str_eq(tug_job_state_name(job->state), "CONFIGURING");
    ck_assert_str_eq(vw_command(w), "PREFLIGHT tug-probe-mpi --floor 8000000000 --time 30"); /* emulated GPUs: no NCCL */
    ck_assert_uint_eq(vw_running(w, 1, 1), 3);
    vw_run(w, t + 1500);
    job = vw_see(w, 1);
    ck_assert_str_eq(tug_job_state_name(job->state), "RUNNING");
    ck_assert_str_eq(vw_command(w), "train");
    vw_run(w, t + 5000);
    job = vw_see(w, 1);
    ck_assert_str_eq(tug_job_state_name(job->state), "COMPLETED");
    ck_assert_uint_eq(job->attempt, 1);
    vw_free(w);
}
END_TEST

START_TEST(a_controller_killed_at_any_moment_of_a_preflight_neither_leaves_it_out_nor_doubles_the_gang)
{
    for (int64_t when = 0; when < 1100; when += when < 50 || when > 1000 ? 1 : 97) {
        struct vworld *w = up(3);
        uint32_t rid;
        int64_t t = vw_now(w);
        const struct tug_job *job;

        vw_set_preflight(w, "/opt/check");
        rid = vw_submit(w, "t", 3, 8, 1);
        vw_run(w, t + when);
        vw_crash_control(w);
        vw_run(w, t + when + 200);
        vw_start_control(w);
        vw_run(w, vw_now(w) + 60000);
        job = vw_see(w, 1);
        if (vw_reply(w, rid)) {
            ck_assert_ptr_nonnull(job);
            ck_assert_str_eq(tug_job_state_name(job->state), "COMPLETED");
            ck_assert_str_eq(job->req.preflight, "/opt/check");
            ck_assert_uint_eq(job->req.preflight_s, 30);
        }
        ck_assert_uint_le(vw_max_attempts_at_once(w, 1), 1);
        ck_assert_uint_eq(vw_running(w, 1, 0), 0);
        vw_free(w);
    }
}
END_TEST

START_TEST(a_preflight_that_does_not_work_is_tried_again_and_then_given_up_with_its_words)
{
    struct vworld *w = up(3);
    const struct tug_job *job;

    vw_set_preflight(w, "/opt/check");
    vw_set_exit(w, 2, 127);
    vw_submit(w, "t", 3, 8, 1);
    vw_run(w, vw_now(w) + 60000);
    job = vw_see(w, 1);
    ck_assert_str_eq(tug_job_state_name(job->state), "BOOT_FAIL");
    ck_assert_int_eq(job->cause.kind, TUG_CAUSE_PREFLIGHT);
    ck_assert_ptr_nonnull(strstr(job->cause.text, "preflight: "));
    ck_assert_str_eq(job->req.exclude, "");
    vw_free(w);
}
END_TEST

START_TEST(a_controller_that_was_stopped_hears_its_nodes_before_it_calls_them_down)
{
    struct vworld *w = up(2);
    uint32_t rid;
    uint64_t job;

    vw_set_run_ms(w, INT64_MAX);
    vw_run(w, vw_now(w) + 2000);
    rid = vw_submit(w, "a", 2, 8, 0);
    vw_run(w, vw_now(w) + 2000);
    job = vw_job(w, rid);
    vw_freeze(w, 200000); /* a node_timeout is 60 s */
    vw_run(w, vw_now(w) + 30000);
    ck_assert_str_eq(state_of(w, job), "RUNNING");
    vw_cut(w, 2); /* and who is really gone is so a node_timeout later */
    vw_run(w, vw_now(w) + 55000);
    ck_assert_str_eq(state_of(w, job), "RUNNING");
    vw_run(w, vw_now(w) + 10000);
    ck_assert_str_ne(state_of(w, job), "RUNNING");
    vw_free(w);
}
END_TEST

START_TEST(what_is_known_of_a_node_that_a_gang_holds_is_known_again_although_it_is_not_configured_any_more)
{
    struct vworld *w = vw_new(2, 60, 300);
    Tugpb__DrainRequest drain = TUGPB__DRAIN_REQUEST__INIT;
    struct tug_core_node k;

    vw_set_run_ms(w, INT64_MAX);
    vw_run(w, VW_T0 + 1000);
    vw_submit(w, "a", 2, 8, 1);
    drain.nodes = (char *) "n2";
    drain.reason = (char *) "fans";
    vw_run(w, vw_now(w) + 1000);
    vw_ask(w, TUG_MSG_DRAIN_REQUEST, &drain.base);
    vw_run(w, vw_now(w) + 1000);
    vw_crash_control(w);
    vw_take_out(w, 1);
    vw_start_control(w);
    uint32_t node = tug_core_node_find(vw_core(w), "n2");
    ck_assert_uint_ne(node, TUG_NO_NODE);
    tug_core_node(vw_core(w), node, &k);
    ck_assert_uint_eq(k.gpus, 8);
    ck_assert_uint_eq(k.n_drains, 1);
    ck_assert_str_eq(k.drains[0].reason, "fans");
    vw_run(w, vw_now(w) + 5000);
    ck_assert_uint_eq(vw_running(w, 1, 1), 2);
    vw_free(w);
}
END_TEST

UNIT_MAIN("logic/cluster", what_is_known_of_a_node_that_a_gang_holds_is_known_again_although_it_is_not_configured_any_more, a_controller_that_was_stopped_hears_its_nodes_before_it_calls_them_down,
          a_gang_of_three_nodes_runs_to_its_end_at_exact_times, no_reply_leaves_before_the_job_is_durable,
          the_same_token_gives_the_same_job, a_failed_rank_ends_the_gang_and_is_named,
          a_node_that_never_gets_ready_gives_everything_back_and_is_named,
          a_restarted_controller_finds_its_gang_running_and_keeps_it,
          a_restarted_controller_takes_its_records_in_any_order,
          who_holds_a_gang_up_is_known_after_a_restart_and_heard_again_from_its_head,
          a_restarted_controller_knows_what_was_used_by_what_ended_and_by_what_runs,
          a_restarted_controller_keeps_the_smaller_last_slice_of_a_gang,
          a_gang_that_ends_while_the_controller_is_away_is_accounted_once,
          a_controller_killed_at_any_moment_of_a_launch_neither_loses_nor_doubles_the_gang,
          a_new_controller_starts_nobody_before_it_knows_where_the_head_is,
          a_killed_node_daemon_finds_its_step_again, a_lost_node_ends_the_gang_and_it_runs_again_only_after_the_lease,
          an_order_that_waits_for_its_commit_is_not_sent_to_a_node_that_was_given_up_on_meanwhile,
          a_hello_that_was_long_on_its_way_takes_nothing_back, without_leases_a_lost_nodes_gang_waits_for_its_node,
          a_longer_lease_of_before_is_waited_out, a_shorter_lease_counts_once_the_node_has_taken_it,
          a_job_that_may_not_be_requeued_fails_with_its_node,
          a_gang_is_suspended_when_its_nodes_say_that_it_is_stopped_and_no_sooner,
          a_time_limit_is_what_really_passed_whatever_the_wall_clock_was_put_to, after_another_boot_the_wall_clock_counts,
          a_clock_that_is_put_twice_moves_each_record_by_what_it_lacks, a_time_to_begin_is_wall_clock_and_a_back_off_is_not,
          what_was_used_decays_by_what_really_passed,
          a_back_off_is_waited_out_over_a_restart_and_requeue_ends_it, a_list_of_exits_that_makes_no_sense_is_refused, cancel_ends_a_running_gang_everywhere,
          a_job_that_starts_too_many_steps_is_stopped_there_and_its_record_stays_readable,
          a_gang_meets_where_its_first_node_says_whoever_else_says_what,
          a_token_is_known_for_a_day_after_its_job_was_forgotten_and_then_costs_nothing,
          a_controller_killed_during_a_notice_keeps_its_word_and_nobody_else_has_to_go,
          a_controller_killed_while_a_gang_is_suspended_lets_it_go_on_where_it_was,
          what_a_node_says_of_its_links_outlives_the_controller_and_nonsense_is_left_alone,
          the_node_is_told_the_order_of_its_ring,
          a_preflight_runs_on_all_nodes_before_the_job_does,
          a_controller_killed_at_any_moment_of_a_preflight_neither_leaves_it_out_nor_doubles_the_gang,
          a_preflight_that_does_not_work_is_tried_again_and_then_given_up_with_its_words)
