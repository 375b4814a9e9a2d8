/* test_preflight.c - nodes are tried out before a job starts on them. Layer: tests. */
#include "unit.h"

#include <errno.h>

#include "core/same.h"
#include "core/world.h"

static struct tug_job_req tried(uint32_t nodes, uint32_t gpus)
{
    struct tug_job_req r = w_req(nodes, gpus);
    r.preflight = "allreduce";
    r.preflight_floor = 8000000000;
    r.preflight_s = 60;
    return r;
}

/* A gang of three nodes whose preflight runs. */
static void fly(struct world *w, struct tug_job_req r)
{
    w_init(w, 5, 8);
    w_up_all(w);
    w_submit(w, 1, r);
    w_pass(w);
    w_is(w, 1, CONFIGURING);
    for (uint32_t i = 0; i < r.nodes; i++)
        w_ready(w, 1, 1, 1, i);
    w_is(w, 1, CONFIGURING);
    w_forget(w);
}

static void wired(struct world *w, uint32_t attempt, uint32_t node)
{
    struct tug_event ev = {
        .type = TUG_EV_STEP_WIRED, .job = 1, .attempt = attempt, .step = 1, .node = node};
    ck_assert_int_eq(w_event(w, ev), 0);
}

/* The head says that node 'of' is slow. */
static void blame(struct world *w, uint32_t attempt, uint32_t of)
{
    struct tug_event ev = {.type = TUG_EV_STEP_FAILED,
                           .job = 1,
                           .attempt = attempt,
                           .step = 1,
                           .node = w_job(w, 1)->slices[0].node,
                           .cause = {.kind = TUG_CAUSE_PREFLIGHT,
                                     .node = of,
                                     .text = (char *) "all-reduce 3.1 GB/s, floor 8.0 GB/s"}};
    ck_assert_int_eq(w_event(w, ev), 0);
}

static void all_gone(struct world *w, uint32_t attempt)
{
    uint32_t nodes[16];
    size_t n = w_job(w, 1)->n_slices;
    for (size_t i = 0; i < n; i++)
        nodes[i] = w_job(w, 1)->slices[i].node;
    for (size_t i = 0; i < n; i++)
        w_gone(w, 1, attempt, 1, nodes[i]);
}

static int holds(struct world *w, uint32_t node)
{
    for (size_t i = 0; i < w_job(w, 1)->n_slices; i++)
        if (w_job(w, 1)->slices[i].node == node)
            return 1;
    return 0;
}

START_TEST(the_preflight_is_a_step_on_all_nodes_and_the_main_step_comes_after_it)
{
    struct world w;
    w_init(&w, 3, 8);
    w_up_all(&w);
    w_submit(&w, 1, tried(2, 4));
    w_forget(&w);
    w_pass(&w);
    w_saw(&w, "LAUNCH 1.1.1 n0\nLAUNCH 1.1.1 n1\n");
    ck_assert_uint_eq(w_job(&w, 1)->n_steps, 1);
    ck_assert_uint_eq(w_job(&w, 1)->steps[0].ntasks, 8); /* one rank for each GPU */
    ck_assert_uint_eq(w_job(&w, 1)->steps[0].parts[1].first_rank, 4);
    w_ready(&w, 1, 1, 1, 0);
    w_forget(&w);
    w_ready(&w, 1, 1, 1, 1);
    w_saw(&w, "START 1.1.1 n0\nSTART 1.1.1 n1\n");
    w_is(&w, 1, CONFIGURING);
    ck_assert_int_lt(w_job(&w, 1)->launched_ms, 0);
    w_done(&w, 1, 1, 1, 0, 0);
    w_forget(&w);
    w_done(&w, 1, 1, 1, 1, 0);
    w_saw(&w, "LAUNCH 1.1.0 n0\nLAUNCH 1.1.0 n1\n");
    w_is(&w, 1, CONFIGURING);
    ck_assert_uint_eq(w_job(&w, 1)->steps[0].id, 0);
    w_ready(&w, 1, 1, 0, 0);
    w_ready(&w, 1, 1, 0, 1);
    w_is(&w, 1, RUNNING);
    uint32_t step = 0; /* the job's own steps begin behind it */
    w_event(&w, (struct tug_event){.type = TUG_EV_STEP_SUBMIT, .job = 1, .step_out = &step});
    ck_assert_uint_eq(step, 2);
    w_clear(&w);
}
END_TEST

START_TEST(without_GPUs_there_are_as_many_ranks_as_the_job_has_and_a_script_is_tried_on_all_its_nodes)
{
    struct world w;
    struct tug_job_req r = tried(2, 0);
    r.ntasks = 6;
    r.batch = 1;
    w_init(&w, 3, 8);
    w_up_all(&w);
    w_submit(&w, 1, r);
    w_pass(&w);
    ck_assert_uint_eq(w_job(&w, 1)->steps[0].ntasks, 6);
    ck_assert_uint_eq(w_job(&w, 1)->steps[0].n_parts, 2);
    w_ready(&w, 1, 1, 1, 0);
    w_ready(&w, 1, 1, 1, 1);
    w_done(&w, 1, 1, 1, 0, 0);
    w_forget(&w);
    w_done(&w, 1, 1, 1, 1, 0);
    w_saw(&w, "LAUNCH 1.1.0 n0\n");
    ck_assert_uint_eq(w_job(&w, 1)->steps[0].n_parts, 1);
    w_clear(&w);
}
END_TEST

START_TEST(a_slow_node_is_drained_with_the_figure_where_the_queue_says_so_and_others_take_its_place)
{
    struct world w;
    struct tug_job_req r = tried(3, 8);
    struct tug_core_node n;
    r.preflight_drains = 1;
    fly(&w, r);
    blame(&w, 1, 1);
    w_saw(&w, "NODE_LOG n1 node n1 is drained: preflight of job 1: all-reduce 3.1 GB/s, floor 8.0 GB/s");
    tug_core_node(w.c, 1, &n);
    ck_assert_str_eq(n.reason, "preflight of job 1: all-reduce 3.1 GB/s, floor 8.0 GB/s");
    w_is(&w, 1, REQUEUED);
    all_gone(&w, 1);
    w_is(&w, 1, PENDING);
    ck_assert_int_eq(w_job(&w, 1)->cause.kind, TUG_CAUSE_PREFLIGHT);
    ck_assert_uint_eq(w_job(&w, 1)->cause.node, 1);
    ck_assert_str_eq(w_job(&w, 1)->cause.text, "preflight: all-reduce 3.1 GB/s, floor 8.0 GB/s");
    w_pass(&w);
    w_is(&w, 1, CONFIGURING);
    ck_assert(!holds(&w, 1) && holds(&w, 3));
    ck_assert_uint_eq(w_job(&w, 1)->steps[0].id, 1); /* tried out again */
    w_clear(&w);
}
END_TEST

START_TEST(else_this_job_does_without_it_and_others_do_not)
{
    struct world w;
    struct tug_core_node n;
    fly(&w, tried(3, 8));
    blame(&w, 1, 0);
    w_saw(&w, "NODE_LOG n0 node n0 is not given to job 1 again: preflight of job 1: all-reduce 3.1 GB/s");
    tug_core_node(w.c, 0, &n);
    ck_assert(!n.drained);
    ck_assert_str_eq(w_job(&w, 1)->req.exclude, "n0");
    all_gone(&w, 1);
    w_submit(&w, 2, w_req(1, 8));
    w_pass(&w);
    ck_assert(!holds(&w, 0) && holds(&w, 1) && holds(&w, 2) && holds(&w, 3));
    ck_assert_uint_eq(w_job(&w, 2)->slices[0].node, 0);
    w_clear(&w);
}
END_TEST

START_TEST(a_node_that_does_not_wire_up_while_others_do_is_named_when_the_time_is_over)
{
    struct world w;
    fly(&w, tried(3, 8));
    wired(&w, 1, 0);
    wired(&w, 1, 2);
    ck_assert_int_eq(tug_core_next_wake(w.c), w.now + 60000);
    w_tick(&w, w.now + 59999);
    w_is(&w, 1, CONFIGURING);
    w_forget(&w);
    w_tick(&w, w.now + 1);
    w_saw(&w, "node n1 is not given to job 1 again: preflight of job 1: did not answer within 60 s");
    ck_assert_str_eq(w_job(&w, 1)->req.exclude, "n1");
    w_is(&w, 1, REQUEUED);
    all_gone(&w, 1);
    ck_assert_str_eq(w_job(&w, 1)->cause.text, "preflight: node n1 did not answer within 60 s");
    w_clear(&w);
}
END_TEST

START_TEST(one_that_hangs_on_all_nodes_blames_none_and_is_given_up_after_as_many_times_as_launches)
{
    struct world w;
    fly(&w, tried(3, 8));
    for (uint32_t attempt = 1;; attempt++) {
        for (size_t i = 0; i < 3; i++)
            wired(&w, attempt, w_job(&w, 1)->slices[i].node);
        w_tick(&w, w.now + 60000);
        all_gone(&w, attempt);
        ck_assert_str_eq(w_job(&w, 1)->cause.text,
                         "preflight: it was not over within 60 s, and which node held it up is not known");
        if (attempt == 3)
            break;
        w_is(&w, 1, PENDING);
        ck_assert_str_eq(w_job(&w, 1)->req.exclude, "");
        w_pass(&w);
        for (size_t i = 0; i < 3; i++)
            w_ready(&w, 1, attempt + 1, 1, w_job(&w, 1)->slices[i].node);
    }
    w_is(&w, 1, BOOT_FAIL);
    w_clear(&w);
}
END_TEST

START_TEST(a_prober_that_crashes_blames_no_node_and_fails_no_job_at_once)
{
    struct world w;
    fly(&w, tried(3, 8));
    w_failed(&w, 1, 1, 1, 2, TUG_CAUSE_RANK, "rank 2 on node n2 exited with code 127");
    w_is(&w, 1, REQUEUED);
    all_gone(&w, 1);
    w_is(&w, 1, PENDING);
    ck_assert_str_eq(w_job(&w, 1)->req.exclude, "");
    ck_assert_uint_eq(w_job(&w, 1)->cause.node, TUG_NO_NODE);
    ck_assert_str_eq(w_job(&w, 1)->cause.text, "preflight: rank 2 on node n2 exited with code 127");
    w_clear(&w);
}
END_TEST

START_TEST(a_head_cannot_blame_a_node_that_is_not_of_the_gang)
{
    struct world w;
    fly(&w, tried(3, 8));
    blame(&w, 1, 4);
    ck_assert_str_eq(w_job(&w, 1)->req.exclude, "n0"); /* whoever says such a thing */
    w_clear(&w);
}
END_TEST

START_TEST(an_interactive_job_fails_with_the_sentence)
{
    struct world w;
    struct tug_job_req r = tried(3, 8);
    r.interactive = 1;
    r.requeue = 0;
    fly(&w, r);
    blame(&w, 1, 1);
    all_gone(&w, 1);
    w_is(&w, 1, FAILED);
    ck_assert_str_eq(w_job(&w, 1)->cause.text, "preflight: all-reduce 3.1 GB/s, floor 8.0 GB/s");
    w_clear(&w);
}
END_TEST

START_TEST(a_lost_node_and_a_cancellation_end_it_like_a_launch)
{
    struct world w;
    fly(&w, tried(3, 8));
    w_down(&w, 2);
    w_is(&w, 1, REQUEUED);
    w_clear(&w);
    fly(&w, tried(3, 8));
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_STEP_CANCEL, .job = 1, .step = 1}), -EPERM);
    ck_assert_ptr_nonnull(strstr(w.err.msg, "is its preflight"));
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 1}), 0);
    w_saw(&w, "KILL 1.1.1 n0");
    all_gone(&w, 1);
    w_is(&w, 1, CANCELLED);
    w_clear(&w);
}
END_TEST

START_TEST(a_restart_in_the_middle_goes_on_and_gives_it_its_time_again)
{
    struct world w;
    struct tug_err err = {0};
    fly(&w, tried(3, 8));
    blame(&w, 1, 1);
    all_gone(&w, 1);
    w_pass(&w);
    for (size_t i = 0; i < 3; i++)
        w_ready(&w, 1, 2, 1, w_job(&w, 1)->slices[i].node);
    w.now += 30000;
    struct tug_core *again = same_restart(w.c, &w.conf, w.now, &err);
    ck_assert_msg(again != NULL, "%s", err.msg);
    ck_assert_int_eq(tug_core_check(again, &err), 0);
    ck_assert_int_eq(tug_core_next_wake(again), w.now + 60000);
    const char *differs = same_job(tug_core_job(w.c, 1), tug_core_job(again, 1));
    ck_assert_msg(!differs, "%s", differs);
    tug_core_free(again);
    w_clear(&w);
}
END_TEST

START_TEST(what_the_queue_says_is_for_jobs_that_say_nothing_and_only_that_drains)
{
    struct world w;
    struct tug_core_ask ask = {.nodes = 1};
    struct tug_job_req r = {.user = "ann"}, own = {.user = "ann", .preflight = "allreduce", .preflight_floor = 5};
    w_init(&w, 2, 8);
    w.queues[0].preflight = "allreduce";
    w.queues[0].preflight_floor = 8000000000;
    w.queues[0].preflight_s = 90;
    w.queues[0].preflight_drains = 1;
    w_open(&w);
    ck_assert_int_eq(tug_core_admit(w.c, &ask, &r, &w.err), 0);
    ck_assert_str_eq(r.preflight, "allreduce");
    ck_assert_uint_eq(r.preflight_floor, 8000000000);
    ck_assert_uint_eq(r.preflight_s, 90);
    ck_assert_uint_eq(r.preflight_drains, 1);
    ck_assert_int_eq(tug_core_admit(w.c, &ask, &own, &w.err), 0);
    ck_assert_uint_eq(own.preflight_floor, 5);
    ck_assert_uint_eq(own.preflight_s, 120);
    ck_assert_uint_eq(own.preflight_drains, 0);
    struct tug_job_req none = {.user = "ann", .queue = "short"};
    ck_assert_int_eq(tug_core_admit(w.c, &ask, &none, &w.err), 0);
    ck_assert_uint_eq(none.preflight_s, 0);
    w_clear(&w);
}
END_TEST

UNIT_MAIN("core/preflight", the_preflight_is_a_step_on_all_nodes_and_the_main_step_comes_after_it,
          without_GPUs_there_are_as_many_ranks_as_the_job_has_and_a_script_is_tried_on_all_its_nodes,
          a_slow_node_is_drained_with_the_figure_where_the_queue_says_so_and_others_take_its_place,
          else_this_job_does_without_it_and_others_do_not,
          a_node_that_does_not_wire_up_while_others_do_is_named_when_the_time_is_over,
          one_that_hangs_on_all_nodes_blames_none_and_is_given_up_after_as_many_times_as_launches,
          a_prober_that_crashes_blames_no_node_and_fails_no_job_at_once,
          a_head_cannot_blame_a_node_that_is_not_of_the_gang, an_interactive_job_fails_with_the_sentence,
          a_lost_node_and_a_cancellation_end_it_like_a_launch,
          a_restart_in_the_middle_goes_on_and_gives_it_its_time_again,
          what_the_queue_says_is_for_jobs_that_say_nothing_and_only_that_drains)
