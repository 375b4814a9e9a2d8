/* test_node.c - nodes go, come back with what they hold, shrink, are drained */
#include <errno.h>

#include "kinds.h"
#include "world.h"

static struct world w;
static struct tug_core_node node;

static const struct tug_core_node *look(uint32_t i)
{
    tug_core_node(w.c, i, &node);
    return &node;
}

static const char *state_of(uint32_t i)
{
    return tug_core_node_state(look(i));
}

/* Job 1 on n0 and n1, RUNNING; n2 and n3 free. */
static void a_gang_runs(void)
{
    w_init(&w, 4, 8);
    w_up_all(&w);
    w_submit(&w, 1, w_req(2, 8));
    w_run(&w, 1);
}

static struct tug_held_step held(uint32_t attempt, uint32_t step, enum tug_held_phase phase)
{
    return (struct tug_held_step){.job = 1, .attempt = attempt, .step = step, .phase = phase};
}

START_TEST(a_lost_node_ends_the_gang_elsewhere_and_keeps_its_own_part_until_the_lease_is_over)
{
    a_gang_runs();
    w_down(&w, 1);
    w_said_is(&w, "NODE_HISTORY n1 down: silent for 60 s\nNODE_CHANGED n1\nCHANGED 1\nHISTORY 1 requeue\n"
                  "KILL 1.1.0 n0 grace 5: node n1 was lost: silent for 60 s\n");
    w_is(&w, 1, REQUEUED);
    ck_assert_str_eq(state_of(1), "DOWN");
    w_gone(&w, 1, 1, 0, 0);
    w_is(&w, 1, REQUEUED);
    ck_assert_uint_eq(look(0)->gpus_used, 0xff);
    w_lease_over(&w, 1);
    w_is(&w, 1, PENDING);
    ck_assert_uint_eq(look(1)->gpus_used, 0);
    ck_assert_int_eq(w_pass(&w), 1);
    ck_assert_uint_eq(w_job(&w, 1)->attempt, 2);
    ck_assert_uint_eq(w_job(&w, 1)->slices[1].node, 2);
    w_clear(&w);
}
END_TEST

START_TEST(a_job_that_may_not_be_requeued_ends_as_NODE_FAIL)
{
    w_init(&w, 2, 8);
    w_up_all(&w);
    struct tug_job_req r = w_req(2, 8);
    r.requeue = 0;
    w_submit(&w, 1, r);
    w_run(&w, 1);
    w_down(&w, 0);
    w_gone(&w, 1, 1, 0, 1);
    w_is(&w, 1, COMPLETING);
    w_lease_over(&w, 0);
    w_is(&w, 1, NODE_FAIL);
    ck_assert_uint_eq(w_job(&w, 1)->cause.node, 0);
    w_clear(&w);
}
END_TEST

/* The step daemons of the others notice it before the controller does. */
static void a_part_is_gone_and_then_its_node(uint8_t requeue)
{
    w_init(&w, 2, 8);
    w_up_all(&w);
    struct tug_job_req r = w_req(2, 8);
    r.requeue = requeue;
    w_submit(&w, 1, r);
    w_run(&w, 1);
    struct tug_event ev = {.type = TUG_EV_STEP_FAILED,
                           .job = 1,
                           .attempt = 1,
                           .cause = {.kind = TUG_CAUSE_STEPD,
                                     .node = 1,
                                     .text = (char *) (uintptr_t) "the connection was lost"}};
    ck_assert_int_eq(w_event(&w, ev), 0);
    w_is(&w, 1, COMPLETING);
    w_gone(&w, 1, 1, 0, 0);
    w_down(&w, 1);
    ck_assert_int_eq(w_job(&w, 1)->cause.kind, TUG_CAUSE_NODE);
    ck_assert_uint_eq(w_job(&w, 1)->cause.node, 1);
}

START_TEST(a_gang_that_failed_by_the_loss_of_a_node_is_requeued_once_the_node_is_down)
{
    a_part_is_gone_and_then_its_node(1);
    w_is(&w, 1, REQUEUED);
    w_lease_over(&w, 1);
    w_is(&w, 1, PENDING);
    ck_assert_uint_eq(w_job(&w, 1)->attempt, 2);
    w_clear(&w);

    a_part_is_gone_and_then_its_node(0);
    w_is(&w, 1, COMPLETING);
    w_lease_over(&w, 1);
    w_is(&w, 1, NODE_FAIL);
    w_clear(&w);
}
END_TEST

START_TEST(a_lost_node_that_comes_back_without_the_part_frees_it_before_the_lease_is_over)
{
    a_gang_runs();
    w_down(&w, 1);
    w_gone(&w, 1, 1, 0, 0);
    w_up(&w, 1, NULL, 0);
    w_is(&w, 1, PENDING);
    ck_assert_str_eq(state_of(1), "IDLE");
    w_clear(&w);
}
END_TEST

START_TEST(a_lost_node_that_comes_back_with_the_part_is_told_to_end_it)
{
    a_gang_runs();
    w_down(&w, 1);
    w_gone(&w, 1, 1, 0, 0);
    w_forget(&w);
    struct tug_held_step h = held(1, 0, TUG_HELD_RUNNING);
    w_up(&w, 1, &h, 1);
    w_said_is(&w, "NODE_HISTORY n1 up\nNODE_CHANGED n1\n" /* the record says no longer that the part is lost */
                  "CHANGED 1\nKILL 1.1.0 n1 grace 0: node n1 was lost: silent for 60 s\n");
    w_is(&w, 1, REQUEUED);
    w_gone(&w, 1, 1, 0, 1);
    w_is(&w, 1, PENDING);
    w_clear(&w);
}
END_TEST

START_TEST(a_node_that_reconnects_with_its_part_keeps_the_gang_running)
{
    a_gang_runs();
    struct tug_held_step h = held(1, 0, TUG_HELD_RUNNING);
    w_up(&w, 1, &h, 1);
    w_said_is(&w, "NODE_CHANGED n1\n");
    w_is(&w, 1, RUNNING);
    h.phase = TUG_HELD_READY; /* the start was lost */
    w_up(&w, 1, &h, 1);
    w_said_is(&w, "NODE_CHANGED n1\nSTART 1.1.0 n1\n");
    w_clear(&w);
}
END_TEST

START_TEST(a_node_that_reconnects_without_its_running_part_has_lost_it)
{
    a_gang_runs();
    w_up(&w, 1, NULL, 0);
    w_is(&w, 1, REQUEUED);
    ck_assert_str_eq(w_job(&w, 1)->cause.text,
                     "node n1 was lost: it came back without its part of the gang");
    w_gone(&w, 1, 1, 0, 0);
    w_is(&w, 1, PENDING);
    w_clear(&w);
}
END_TEST

START_TEST(a_launch_that_may_have_been_lost_is_said_again)
{
    w_init(&w, 2, 8);
    w_up_all(&w);
    w_submit(&w, 1, w_req(2, 8));
    w_pass(&w);
    w_forget(&w);
    w_up(&w, 1, NULL, 0);
    w_said_is(&w, "NODE_CHANGED n1\nLAUNCH 1.1.0 n1\n");
    struct tug_held_step h = held(1, 0, TUG_HELD_STARTING);
    w_up(&w, 1, &h, 1);
    w_said_is(&w, "NODE_CHANGED n1\n");
    w_ready(&w, 1, 1, 0, 0);
    h.phase = TUG_HELD_READY; /* counts for the barrier */
    w_up(&w, 1, &h, 1);
    w_is(&w, 1, RUNNING);
    w_clear(&w);
}
END_TEST

START_TEST(a_result_that_a_node_brings_along_is_taken_and_acknowledged)
{
    a_gang_runs();
    const struct tug_exit exits[] = {{.code = 0}};
    struct tug_held_step h = held(1, 0, TUG_HELD_DONE);
    h.exits = exits;
    h.n_exits = 1;
    w_up(&w, 1, &h, 1);
    w_saw(&w, "ACK 1.1.0 n1\n");
    w_done(&w, 1, 1, 0, 0, 0);
    w_is(&w, 1, COMPLETED);
    w_forget(&w);
    w_up(&w, 1, &h, 1); /* it did not get the acknowledgement */
    w_said_is(&w, "NODE_CHANGED n1\nACK 1.1.0 n1\n");
    w_clear(&w);
}
END_TEST

START_TEST(
    what_runs_on_a_node_that_was_given_up_is_killed_and_the_node_is_not_used_until_it_is_gone)
{
    a_gang_runs();
    w_down(&w, 1);
    w_gone(&w, 1, 1, 0, 0);
    w_lease_over(&w, 1);
    w_down(&w, 2);
    w_down(&w, 3);
    w_forget(&w);
    struct tug_held_step h = held(1, 0, TUG_HELD_RUNNING);
    w_up(&w, 1, &h, 1);
    w_saw(&w, "KILL 1.1.0 n1 grace 0: is not expected here\n");
    ck_assert_int_eq(w_pass(&w), 0);
    ck_assert_str_eq(look(1)->reason, "something that should not run there is being ended");
    w_gone(&w, 1, 1, 0, 1);
    w_saw(&w, "ACK 1.1.0 n1\n");
    ck_assert_int_eq(w_pass(&w), 1);
    ck_assert_uint_eq(w_job(&w, 1)->slices[1].node, 1);
    w_clear(&w);
}
END_TEST

/* Reboots faster than anybody misses it, or was past its lease: the node says so itself. */
START_TEST(a_node_that_says_that_it_lost_the_part_costs_an_attempt_and_not_the_job)
{
    a_gang_runs();
    w_failed(&w, 1, 1, 0, 1, TUG_CAUSE_NODE, "n1 was started anew while the step ran");
    w_is(&w, 1, REQUEUED);
    w_gone(&w, 1, 1, 0, 1);
    w_gone(&w, 1, 1, 0, 0);
    w_is(&w, 1, PENDING);
    ck_assert_uint_eq(w_job(&w, 1)->attempt, 2);
    ck_assert_int_eq(w_job(&w, 1)->cause.kind, TUG_CAUSE_NODE);
    w_clear(&w);

    w_init(&w, 1, 8);
    w_up_all(&w);
    struct tug_job_req r = w_req(1, 8);
    r.requeue = 0;
    w_submit(&w, 1, r);
    w_run(&w, 1);
    w_failed(&w, 1, 1, 0, 0, TUG_CAUSE_NODE, "n0 was started anew while the step ran");
    w_gone(&w, 1, 1, 0, 0);
    w_is(&w, 1, NODE_FAIL);
    w_clear(&w);
}
END_TEST

/* The node's own word, in its failure or with its end, comes after the other step daemons' word that its part is gone. */
static void the_others_were_faster(int with_its_end)
{
    w_init(&w, 2, 8);
    w_up_all(&w);
    struct tug_job_req r = w_req(2, 8);
    r.requeue = 1;
    w_submit(&w, 1, r);
    w_run(&w, 1);
    struct tug_event ev = {.type = TUG_EV_STEP_FAILED,
                           .job = 1,
                           .attempt = 1,
                           .cause = {.kind = TUG_CAUSE_STEPD,
                                     .node = 1,
                                     .text = (char *) (uintptr_t) "node n1 was lost"}};
    ck_assert_int_eq(w_event(&w, ev), 0);
    w_is(&w, 1, COMPLETING);
    ev.type = with_its_end ? TUG_EV_STEP_DONE : TUG_EV_STEP_FAILED;
    ev.node = 1;
    ev.cause.kind = TUG_CAUSE_NODE;
    ev.cause.text = (char *) (uintptr_t) "n1 was started anew while the step ran";
    ck_assert_int_eq(w_event(&w, ev), 0);
    w_is(&w, 1, REQUEUED);
    ck_assert_int_eq(w_job(&w, 1)->cause.kind, TUG_CAUSE_NODE);
    if (!with_its_end)
        w_gone(&w, 1, 1, 0, 1);
    w_gone(&w, 1, 1, 0, 0);
    w_is(&w, 1, PENDING);
    ck_assert_uint_eq(w_job(&w, 1)->attempt, 2);
    w_clear(&w);
}

START_TEST(a_node_that_says_so_after_the_others_saw_its_part_go_costs_an_attempt_all_the_same)
{
    the_others_were_faster(0);
    the_others_were_faster(1);
}
END_TEST

/* Its disk is another one, so that it knows nothing of it. */
START_TEST(a_node_that_comes_back_without_the_part_whose_loss_ended_the_gang_costs_an_attempt_and_not_the_job)
{
    w_init(&w, 2, 8);
    w_up_all(&w);
    struct tug_job_req r = w_req(2, 8);
    r.requeue = 1;
    w_submit(&w, 1, r);
    w_run(&w, 1);
    struct tug_event ev = {.type = TUG_EV_STEP_FAILED,
                           .job = 1,
                           .attempt = 1,
                           .cause = {.kind = TUG_CAUSE_STEPD, .node = 1, .text = (char *) (uintptr_t) "it was lost"}};
    ck_assert_int_eq(w_event(&w, ev), 0);
    w_gone(&w, 1, 1, 0, 0);
    w_is(&w, 1, COMPLETING);
    w_up(&w, 1, NULL, 0);
    w_is(&w, 1, PENDING);
    ck_assert_uint_eq(w_job(&w, 1)->attempt, 2);
    ck_assert_int_eq(w_job(&w, 1)->cause.kind, TUG_CAUSE_NODE);
    w_clear(&w);
}
END_TEST

START_TEST(a_node_lost_before_the_barrier_counts_as_a_failed_launch)
{
    w_init(&w, 3, 8);
    w_up_all(&w);
    struct tug_job_req r = w_req(2, 8);
    r.requeue = 0; /* nobody has run yet, so it may wait again all the same */
    w_submit(&w, 1, r);
    w_pass(&w);
    w_ready(&w, 1, 1, 0, 1);
    w_down(&w, 1);
    w_is(&w, 1, REQUEUED);
    w_gone(&w, 1, 1, 0, 0);
    w_lease_over(&w, 1);
    w_is(&w, 1, PENDING);
    ck_assert_uint_eq(w_job(&w, 1)->launch_failures, 1);
    ck_assert_int_eq(w_pass(&w), 1);
    w_clear(&w);
}
END_TEST

START_TEST(a_drained_node_finishes_what_it_has_and_gets_nothing_new)
{
    a_gang_runs();
    struct tug_event drain = {.type = TUG_EV_NODE_DRAIN, .node = 1, .text = "new fan", .uid = 7};
    ck_assert_int_eq(w_event(&w, drain), 0);
    ck_assert_str_eq(state_of(1), "DRAINING");
    ck_assert_str_eq(look(1)->reason, "new fan");
    ck_assert_uint_eq(look(1)->drains[0].uid, 7);
    w_is(&w, 1, RUNNING);
    w_done(&w, 1, 1, 0, 0, 0);
    w_done(&w, 1, 1, 0, 1, 0);
    w_is(&w, 1, COMPLETED);
    ck_assert_str_eq(state_of(1), "DRAINED");
    w_submit(&w, 2, w_req(4, 1));
    ck_assert_int_eq(w_pass(&w), 0);
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_NODE_RESUME, .node = 1}), 0);
    ck_assert_str_eq(state_of(1), "IDLE");
    ck_assert_int_eq(tug_core_wants_pass(w.c), 1);
    ck_assert_int_eq(w_pass(&w), 1);
    w_clear(&w);
}
END_TEST

static struct tug_event drained(const char *why)
{
    return (struct tug_event){.type = TUG_EV_NODE_DRAIN, .node = 1, .text = why, .uid = 7, .user = "ann"};
}

static struct tug_event found_sick(const char *why)
{
    return (struct tug_event){.type = TUG_EV_NODE_HEALTH, .node = 1, .text = why};
}

START_TEST(a_reason_is_taken_back_by_its_owner_only_and_the_node_is_back_with_the_last)
{
    struct tug_event resume = {.type = TUG_EV_NODE_RESUME, .node = 1, .uid = 8, .user = "bob"};
    w_init(&w, 2, 8);
    w_up_all(&w);
    w.now += 1000;
    ck_assert_int_eq(w_event(&w, found_sick("disk full")), 0);
    ck_assert_str_eq(state_of(1), "DRAINED");
    w.now += 1000;
    ck_assert_int_eq(w_event(&w, drained("new fan")), 0);
    ck_assert_str_eq(look(1)->reason, "new fan; disk full");
    ck_assert_int_eq(look(1)->drains[0].at_ms, w.now);
    ck_assert_int_eq(look(1)->drains[1].at_ms, w.now - 1000);
    w_forget(&w);
    ck_assert_int_eq(w_event(&w, resume), 0); /* an admin's word is not the check's */
    w_said_is(&w, "NODE_HISTORY n1 resume admin by bob: new fan\nNODE_CHANGED n1\n");
    ck_assert_str_eq(look(1)->reason, "disk full");
    w_submit(&w, 1, w_req(2, 8));
    ck_assert_int_eq(w_pass(&w), 0);
    ck_assert_int_eq(w_event(&w, drained("new fan")), 0);
    w_forget(&w);
    ck_assert_int_eq(w_event(&w, found_sick("")), 0); /* nor the other way round */
    w_said_is(&w, "NODE_HISTORY n1 resume health: disk full\n"
                  "NODE_LOG n1 node n1 is healthy again, and drained still: new fan\nNODE_CHANGED n1\n");
    ck_assert_int_eq(w_pass(&w), 0);
    ck_assert_int_eq(w_event(&w, resume), 0);
    ck_assert_str_eq(state_of(1), "IDLE");
    ck_assert_int_eq(w_pass(&w), 1);
    w_clear(&w);
}
END_TEST

START_TEST(what_the_health_check_found_is_told_once_and_an_admin_may_insist)
{
    w_init(&w, 2, 8);
    w_up_all(&w);
    ck_assert_int_eq(w_event(&w, found_sick("disk full")), 0);
    w_said_is(&w, "NODE_HISTORY n1 drain health: disk full\nNODE_CHANGED n1\n"
                  "NODE_LOG n1 node n1 is drained: disk full\n");
    ck_assert_int_eq(w_event(&w, found_sick("disk full")), 0);
    w_said_is(&w, "");
    ck_assert_int_eq(w_event(&w, found_sick("GPU 3 is gone")), 0);
    ck_assert_str_eq(look(1)->reason, "GPU 3 is gone");
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_NODE_RESUME, .node = 1, .force = 1}), 0);
    ck_assert_str_eq(state_of(1), "IDLE");
    w_forget(&w);
    ck_assert_int_eq(w_event(&w, found_sick("")), 0);
    w_said_is(&w, "");
    ck_assert_int_eq(w_event(&w, found_sick("GPU 3 is gone")), 0);
    ck_assert_str_eq(state_of(1), "DRAINED");
    w_clear(&w);
}
END_TEST

START_TEST(a_node_on_which_launches_keep_failing_is_drained_with_the_reason)
{
    w_init(&w, 2, 8);
    w.conf.launch_retries = 9;
    w_open(&w);
    w_up_all(&w);
    w_submit(&w, 1, w_req(1, 8));
    for (uint32_t attempt = 1; attempt <= 3; attempt++) {
        ck_assert_int_eq(w_pass(&w), 1);
        w_failed(&w, 1, attempt, 0, 0, TUG_CAUSE_LAUNCH, "no cgroup");
        ck_assert_str_eq(state_of(0), attempt < 3 ? "ALLOCATED" : "DRAINING");
        w_gone(&w, 1, attempt, 0, 0);
    }
    ck_assert_str_eq(look(0)->reason, "3 launches in a row failed here; the last one: no cgroup");
    w_saw(&w, "NODE_LOG n0 node n0 is drained: 3 launches in a row failed here; the last one: no "
              "cgroup\n");
    w_pass(&w);
    ck_assert_uint_eq(w_job(&w, 1)->slices[0].node, 1);
    w_clear(&w);
}
END_TEST

static struct tug_event up_with(uint32_t cpus, uint32_t gpus, uint64_t mem_bytes, const char *model)
{
    return (struct tug_event){
        .type = TUG_EV_NODE_UP, .node = 0, .inventory = {cpus, gpus, mem_bytes, model}};
}

/* The node comes with that machine, or with none, and with those GPUs lost. */
static void comes_with(uint32_t gpus, const struct tug_machine *m, tug_gpuset lost)
{
    struct tug_event ev = up_with(16, gpus, 64ULL << 30, "v100");
    ev.inventory.machine = m;
    ev.inventory.gpus_lost = lost;
    ck_assert_int_eq(w_event(&w, ev), 0);
}

static void resumed(void)
{
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_NODE_RESUME, .node = 0}), 0);
    ck_assert(!look(0)->drained);
}

/* One node of which nothing is configured but its name. */
static void an_unknown_node(void)
{
    w_init(&w, 1, 0);
    w.rows[0].cpus = 0;
    w.rows[0].mem_bytes = 0;
    w_open(&w);
}

START_TEST(a_lost_gpu_is_given_to_nobody_and_the_others_keep_their_numbers)
{
    an_unknown_node();
    comes_with(8, NULL, 1u << 2);
    ck_assert(!look(0)->drained); /* nobody has ever seen more */
    ck_assert_uint_eq(look(0)->gpus, 7);
    ck_assert_uint_eq(look(0)->gpus_lost, 1u << 2);
    w_submit(&w, 1, w_req(1, 7));
    w_run(&w, 1);
    ck_assert_uint_eq(w_job(&w, 1)->slices[0].gpus, 0xfb);
    w_clear(&w);
}
END_TEST

START_TEST(a_node_that_comes_back_with_less_is_drained_until_an_admin_takes_it_so)
{
    struct tug_machine *m = kind_mesh();
    an_unknown_node();
    comes_with(8, m, 0);
    ck_assert(!look(0)->drained);
    comes_with(8, m, 0);
    ck_assert(!look(0)->drained);
    m->link[0][3].nvlinks = m->link[3][0].nvlinks = 1;
    comes_with(8, m, 0);
    ck_assert(look(0)->drained);
    ck_assert_str_eq(look(0)->reason, "GPU 0 to GPU 3 was NV2 and is NV1");
    w_saw(&w, "NODE_LOG n0 node n0 is drained: GPU 0 to GPU 3 was NV2 and is NV1\n");
    comes_with(8, m, 0);
    ck_assert_str_eq(look(0)->reason, "GPU 0 to GPU 3 was NV2 and is NV1");
    resumed();
    comes_with(8, m, 0);
    ck_assert(!look(0)->drained); /* taken so */
    comes_with(8, m, 1u << 5);
    ck_assert_str_eq(look(0)->reason, "GPU 5 cannot be used any more");
    resumed();
    comes_with(7, NULL, 0); /* after a reset the driver does not even list it: no less than was taken */
    ck_assert(!look(0)->drained);
    comes_with(0, NULL, 0);
    ck_assert_str_eq(look(0)->reason, "7 GPUs before, 0 now");
    free(m);
    w_clear(&w);
}
END_TEST

START_TEST(a_node_with_more_or_other_hardware_is_taken_and_said_so)
{
    struct tug_machine *m = kind_mesh();
    an_unknown_node();
    comes_with(8, m, 1u << 7);
    w_forget(&w);
    m->link[0][3].nvlinks = m->link[3][0].nvlinks = 4;
    m->link[0][3].mbs = m->link[3][0].mbs = 100000;
    comes_with(8, m, 0);
    ck_assert(!look(0)->drained);
    w_saw(&w, "NODE_LOG n0 node n0 has other hardware than before: GPU 0 to GPU 3 was NV2 and is NV4\n");
    free(m);
    w_clear(&w);
}
END_TEST

START_TEST(a_node_that_falls_short_of_its_kind_is_drained_each_time_it_comes)
{
    struct tug_machine *kind = kind_mesh(), *m = kind_mesh();
    w_init(&w, 1, 8);
    w.rows[0].machine = kind;
    w_open(&w);
    comes_with(8, m, 0);
    ck_assert(!look(0)->drained);
    w_clear(&w);
    w_init(&w, 1, 8);
    w.rows[0].machine = kind;
    w_open(&w);
    m->link[1][2].nvlinks = m->link[2][1].nvlinks = 1;
    comes_with(8, m, 0);
    ck_assert_str_eq(look(0)->reason, "GPU 1 to GPU 2 is NV1, NV2 is configured");
    resumed();
    comes_with(8, m, 0);
    ck_assert(look(0)->drained);
    free(kind);
    free(m);
    w_clear(&w);
}
END_TEST

START_TEST(a_loss_of_a_node_that_is_drained_already_stands_behind_its_reason)
{
    struct tug_event drain = {.type = TUG_EV_NODE_DRAIN, .node = 0, .text = "new fan", .uid = 7};
    an_unknown_node();
    comes_with(8, NULL, 0);
    ck_assert_int_eq(w_event(&w, drain), 0);
    comes_with(8, NULL, 3);
    comes_with(8, NULL, 3);
    ck_assert_str_eq(look(0)->reason, "new fan; GPU 0-1 cannot be used any more");
    ck_assert_uint_eq(look(0)->drains[0].uid, 7);
    w_clear(&w);
}
END_TEST

START_TEST(a_gpu_that_is_lost_while_a_gang_has_it_drains_the_node_and_the_gang_goes_on)
{
    an_unknown_node();
    struct tug_event ev = up_with(16, 8, 64ULL << 30, "v100");
    ev.type = TUG_EV_NODE_CHANGED;
    ck_assert_int_eq(w_event(&w, ev), -ENOENT); /* it is not up */
    comes_with(8, NULL, 0);
    ck_assert_int_eq(w_event(&w, ev), 0);
    ck_assert(!look(0)->drained);
    w_submit(&w, 1, w_req(1, 8));
    w_run(&w, 1);
    ev.inventory.gpus_lost = 1u << 5;
    w_forget(&w);
    ck_assert_int_eq(w_event(&w, ev), 0);
    ck_assert_str_eq(look(0)->reason, "GPU 5 cannot be used any more");
    w_saw(&w, "NODE_LOG n0 node n0 is drained: GPU 5 cannot be used any more\n");
    w_is(&w, 1, RUNNING);
    w_clear(&w);
}
END_TEST

START_TEST(fewer_gpus_that_are_configured_so_are_no_loss)
{
    w_init(&w, 1, 8);
    w.rows[0].gpus = 6;
    w_open(&w);
    comes_with(8, NULL, 0);
    comes_with(8, NULL, 3);
    ck_assert(!look(0)->drained);
    ck_assert_uint_eq(look(0)->gpus, 6);
    w_clear(&w);
}
END_TEST

START_TEST(a_node_with_less_than_is_configured_is_drained_with_both_numbers)
{
    const struct {
        uint32_t cpus, gpus;
        uint64_t gib;
        const char *model, *says;
    } less[] = {
        {16, 7, 64, "NVIDIA H200", "reports 7 GPUs, 8 are configured"},
        {15, 8, 64, "NVIDIA H200", "reports 15 CPUs, 16 are configured"},
        {16, 8, 57, "NVIDIA H200", "reports 58368 MiB of memory, 65536 are configured"},
        {16, 8, 64, "NVIDIA A10", "reports GPU model 'NVIDIA A10', 'h200' is configured"},
        {16, 8, 58, "NVIDIA H200", ""},
        {99, 9, 99, "NVIDIA H200", ""},
    };
    for (size_t i = 0; i < sizeof less / sizeof *less; i++) {
        w_init(&w, 1, 8);
        w.rows[0].gpu_model = "h200";
        w_open(&w);
        ck_assert_int_eq(
            w_event(&w, up_with(less[i].cpus, less[i].gpus, less[i].gib << 30, less[i].model)), 0);
        ck_assert_str_eq(look(0)->reason, less[i].says);
        ck_assert_int_eq(look(0)->drained, *less[i].says != 0);
        ck_assert_uint_le(look(0)->gpus, 8);
        if (!*less[i].says)
            ck_assert_uint_eq(look(0)->mem_bytes, 64ULL << 30);
        w_clear(&w);
    }
}
END_TEST

START_TEST(a_node_that_shrinks_while_it_is_held_never_loses_what_is_held)
{
    w_init(&w, 1, 0);
    w.rows[0] = (struct tug_core_node_row){.name = "n0"}; /* nothing configured: as it says */
    w_open(&w);
    ck_assert_int_eq(w_event(&w, up_with(8, 8, 64, "")), 0);
    struct tug_job_req r = w_req(1, 6);
    r.cpus_per_node = 6;
    r.mem_per_node_bytes = 60;
    w_submit(&w, 1, r);
    w_run(&w, 1);
    struct tug_event ev = up_with(4, 4, 32, "");
    struct tug_held_step h = held(1, 0, TUG_HELD_RUNNING);
    ev.held = &h;
    ev.n_held = 1;
    ck_assert_int_eq(w_event(&w, ev), 0);
    w_is(&w, 1, RUNNING);
    ck_assert_uint_eq(look(0)->gpus_used, 0x3f);
    ck_assert_uint_eq(look(0)->gpus, 4);
    w_submit(&w, 2, w_req(1, 1));
    ck_assert_int_eq(w_pass(&w), 0);
    w_done(&w, 1, 1, 0, 0, 0);
    ck_assert_str_eq(look(0)->reason, "8 GPUs before, 4 now");
    resumed();
    ck_assert_int_eq(w_pass(&w), 1);
    w_clear(&w);
}
END_TEST

START_TEST(nodes_that_are_not_configured_or_do_not_exist_are_refused)
{
    w_init(&w, 1, 8);
    struct tug_event ev = up_with(1, 1, 1, "");
    ev.node = 5;
    unit_fails(w_event(&w, ev), -ENOENT, w.err, "node 5 is not configured");
    ev = (struct tug_event){.type = TUG_EV_NODE_DRAIN, .node = 5};
    unit_fails(w_event(&w, ev), -EINVAL, w.err, "there is no node 5");
    ck_assert_str_eq(state_of(0), "UNKNOWN");
    ck_assert_uint_eq(tug_core_node_find(w.c, "n0"), 0);
    ck_assert_uint_eq(tug_core_node_find(w.c, "n1"), TUG_NO_NODE);
    w_clear(&w);
}
END_TEST

START_TEST(what_a_node_tells_of_its_links_counts_else_what_is_configured_for_it)
{
    struct tug_machine *mesh = kind_mesh(), *switched = kind_switched(8, 300000), *four = kind_switched(4, 300000);
    w_init(&w, 2, 8);
    w.rows[0].machine = mesh;
    w_open(&w);
    ck_assert_int_eq(tug_machine_equal(look(0)->machine, mesh), 1); /* before it came */
    ck_assert_ptr_null(look(1)->machine);
    w_up_all(&w);
    ck_assert_int_eq(tug_machine_equal(look(0)->machine, mesh), 1);
    w.machines[0] = switched;
    w_up(&w, 0, NULL, 0);
    ck_assert_int_eq(tug_machine_equal(look(0)->machine, switched), 1);
    w.rows[0].machine = four; /* a machine with fewer GPUs than it has says nothing */
    w.rows[1].machine = mesh;
    ck_assert_int_eq(tug_core_configure(w.c, w.now, &w.conf, &w.err), 0);
    w_check(&w);
    ck_assert_int_eq(tug_machine_equal(look(0)->machine, switched), 1);
    ck_assert_int_eq(tug_machine_equal(look(1)->machine, mesh), 1);
    w.machines[0] = NULL;
    w_up(&w, 0, NULL, 0);
    ck_assert_ptr_null(look(0)->machine);
    w_clear(&w);
    free(mesh);
    free(switched);
    free(four);
}
END_TEST

UNIT_MAIN("core/node",
          a_lost_node_ends_the_gang_elsewhere_and_keeps_its_own_part_until_the_lease_is_over,
          a_job_that_may_not_be_requeued_ends_as_NODE_FAIL,
          a_gang_that_failed_by_the_loss_of_a_node_is_requeued_once_the_node_is_down,
          a_lost_node_that_comes_back_without_the_part_frees_it_before_the_lease_is_over,
          a_lost_node_that_comes_back_with_the_part_is_told_to_end_it,
          a_node_that_reconnects_with_its_part_keeps_the_gang_running,
          a_node_that_reconnects_without_its_running_part_has_lost_it,
          a_launch_that_may_have_been_lost_is_said_again,
          a_result_that_a_node_brings_along_is_taken_and_acknowledged,
          what_runs_on_a_node_that_was_given_up_is_killed_and_the_node_is_not_used_until_it_is_gone,
          a_node_that_says_that_it_lost_the_part_costs_an_attempt_and_not_the_job,
          a_node_that_says_so_after_the_others_saw_its_part_go_costs_an_attempt_all_the_same,
          a_node_that_comes_back_without_the_part_whose_loss_ended_the_gang_costs_an_attempt_and_not_the_job,
          a_node_lost_before_the_barrier_counts_as_a_failed_launch,
          a_drained_node_finishes_what_it_has_and_gets_nothing_new,
          a_reason_is_taken_back_by_its_owner_only_and_the_node_is_back_with_the_last,
          what_the_health_check_found_is_told_once_and_an_admin_may_insist,
          a_node_on_which_launches_keep_failing_is_drained_with_the_reason,
          a_lost_gpu_is_given_to_nobody_and_the_others_keep_their_numbers,
          a_node_that_comes_back_with_less_is_drained_until_an_admin_takes_it_so,
          a_node_with_more_or_other_hardware_is_taken_and_said_so,
          a_node_that_falls_short_of_its_kind_is_drained_each_time_it_comes,
          a_loss_of_a_node_that_is_drained_already_stands_behind_its_reason,
          a_gpu_that_is_lost_while_a_gang_has_it_drains_the_node_and_the_gang_goes_on,
          fewer_gpus_that_are_configured_so_are_no_loss,
          a_node_with_less_than_is_configured_is_drained_with_both_numbers,
          a_node_that_shrinks_while_it_is_held_never_loses_what_is_held,
          nodes_that_are_not_configured_or_do_not_exist_are_refused,
          what_a_node_tells_of_its_links_counts_else_what_is_configured_for_it)
