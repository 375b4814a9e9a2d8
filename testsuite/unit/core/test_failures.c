/* test_failures.c - nodes that fail: what is remembered, who is drained for it, who gets them next */
#include "world.h"

static struct world w;
static struct tug_core_node node;

static const struct tug_core_node *look(uint32_t i)
{
    tug_core_node(w.c, i, &node);
    return &node;
}

/* n nodes with 8 GPUs; 3 losses within an hour drain, failures are kept for a day. */
static void nodes(uint32_t n)
{
    w_init(&w, n, 8);
    w.conf.flap_losses = 3;
    w.conf.flap_period_s = 3600;
    w.conf.failures_kept_ms = 86400000;
    w_open(&w);
    w_up_all(&w);
}

static void minutes_pass(int64_t n)
{
    w_tick(&w, w.now + n * 60000);
}

/* Lost, and back 2 minutes later. */
static void comes_and_goes(uint32_t i)
{
    w_down(&w, i);
    w_lease_over(&w, i);
    minutes_pass(2);
    w_up(&w, i, NULL, 0);
}

static void resumed(uint32_t i)
{
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_NODE_RESUME, .node = i}), 0);
    ck_assert(!look(i)->drained);
}

START_TEST(a_node_that_is_lost_and_comes_back_three_times_in_an_hour_is_drained_with_the_count)
{
    nodes(3);
    comes_and_goes(1);
    minutes_pass(20);
    comes_and_goes(1);
    ck_assert(!look(1)->drained);
    minutes_pass(20);
    w_forget(&w);
    comes_and_goes(1);
    w_saw(&w, "NODE_LOG n1 node n1 is drained: was lost or started anew and came back 3 times within 01:00:00\n");
    ck_assert_int_eq(look(1)->drains[0].by, TUG_DRAIN_FLAPPING);
    resumed(1); /* from now on it is counted anew */
    comes_and_goes(1);
    comes_and_goes(1);
    ck_assert(!look(1)->drained);
    comes_and_goes(1);
    ck_assert(look(1)->drained);
    w_clear(&w);
}
END_TEST

START_TEST(losses_that_are_further_apart_do_not_count_together)
{
    nodes(3);
    for (int i = 0; i < 6; i++) {
        comes_and_goes(1);
        minutes_pass(30);
    }
    ck_assert(!look(1)->drained);
    ck_assert_uint_eq(look(1)->n_failures, 6);
    w_clear(&w);
}
END_TEST

START_TEST(a_node_that_starts_anew_before_anybody_misses_it_flaps_as_well)
{
    nodes(3);
    struct tug_event up = {.type = TUG_EV_NODE_UP, .node = 1, .boot_changed = 1, .inventory = {16, 8, 64ULL << 30, "", NULL, 0}};
    for (int i = 0; i < 3; i++) {
        ck_assert(!look(1)->drained);
        ck_assert_int_eq(w_event(&w, up), 0);
    }
    ck_assert_int_eq(look(1)->drains[0].by, TUG_DRAIN_FLAPPING);
    ck_assert_int_eq(look(1)->failures[0].what, TUG_FAILURE_RESTART);
    w_clear(&w);
}
END_TEST

START_TEST(losses_of_most_nodes_at_once_and_of_a_node_in_repair_do_not_count)
{
    nodes(4);
    for (int i = 0; i < 4; i++) { /* the controller's network, rather */
        for (uint32_t k = 0; k < 3; k++)
            w_down(&w, k);
        minutes_pass(2);
        for (uint32_t k = 0; k < 3; k++)
            w_up(&w, k, NULL, 0);
    }
    for (uint32_t k = 0; k < 3; k++) {
        ck_assert(!look(k)->drained);
        ck_assert_uint_eq(look(k)->n_failures, 4); /* but remembered they are */
    }
    ck_assert_int_eq(
        w_event(&w, (struct tug_event){.type = TUG_EV_NODE_DRAIN, .node = 3, .text = "new fan"}), 0);
    for (int i = 0; i < 4; i++)
        comes_and_goes(3);
    ck_assert_uint_eq(look(3)->n_drains, 1);
    w_clear(&w);
}
END_TEST

START_TEST(a_node_that_is_not_ready_in_time_three_times_is_drained_by_its_name)
{
    nodes(2);
    w.conf.launch_retries = 9;
    w_open(&w);
    w_up_all(&w);
    w_submit(&w, 1, w_req(2, 8));
    for (uint32_t attempt = 1; attempt <= 3; attempt++) {
        ck_assert(!look(1)->drained);
        ck_assert_int_eq(w_pass(&w), 1);
        w_ready(&w, 1, attempt, 0, 0);
        w_tick(&w, w.now + 30000);
        ck_assert_int_eq(w_job(&w, 1)->cause.node, 1);
        w_gone(&w, 1, attempt, 0, 0);
        w_gone(&w, 1, attempt, 0, 1);
    }
    ck_assert_str_eq(look(1)->reason, "3 launches in a row failed here; the last one: it was not ready within 30 s");
    ck_assert_int_eq(look(1)->failures[2].what, TUG_FAILURE_LATE);
    ck_assert_uint_eq(look(1)->failures[2].job, 1);
    ck_assert_uint_eq(look(0)->n_failures, 0);
    w_clear(&w);
}
END_TEST

START_TEST(failures_are_remembered_over_a_restart_and_forgotten_when_they_are_old)
{
    nodes(3);
    comes_and_goes(1);
    minutes_pass(60);
    comes_and_goes(1);
    int64_t first_ms = look(1)->failures[0].at_ms;
    struct tug_core_failure kept[2] = {look(1)->failures[0], look(1)->failures[1]};
    const struct tug_core_node_past past = {.failures = kept, .n_failures = 2};
    w_open(&w);
    ck_assert_int_eq(tug_core_restore_node(w.c, "n1", &past, &w.err), 0);
    tug_core_restored(w.c, w.now);
    w_check(&w);
    ck_assert_uint_eq(look(1)->n_failures, 2);
    ck_assert_int_eq(tug_core_next_wake(w.c), first_ms + 86400000);
    w_tick(&w, first_ms + 86400000);
    ck_assert_uint_eq(look(1)->n_failures, 1);
    w_tick(&w, w.now + 86400000);
    ck_assert_uint_eq(look(1)->n_failures, 0);
    ck_assert_int_eq(tug_core_next_wake(w.c), INT64_MAX);
    for (int i = 0; i < TUG_FAILURES_MAX + 3; i++) {
        w_up(&w, 1, NULL, 0);
        w_down(&w, 1);
    }
    ck_assert_uint_eq(look(1)->n_failures, TUG_FAILURES_MAX);
    w_clear(&w);
}
END_TEST

/* The job's first attempt ran there and ended with that node. */
static void the_gang_loses(uint32_t lost)
{
    w_submit(&w, 1, w_req(2, 8));
    w_run(&w, 1);
    w_down(&w, lost);
    w_gone(&w, 1, 1, 0, !lost);
    w_lease_over(&w, lost);
    w_up(&w, lost, NULL, 0);
    w_is(&w, 1, PENDING);
}

START_TEST(a_gang_gets_a_node_that_failed_it_again_only_when_it_does_not_fit_without)
{
    nodes(3);
    the_gang_loses(0);
    ck_assert_str_eq(w_job(&w, 1)->failed_on, "n0");
    w_run(&w, 1);
    ck_assert_uint_eq(w_job(&w, 1)->slices[0].node, 1);
    ck_assert_uint_eq(w_job(&w, 1)->slices[1].node, 2);
    w_clear(&w);

    nodes(2);
    the_gang_loses(0);
    w_run(&w, 1);
    ck_assert_uint_eq(w_job(&w, 1)->slices[0].node, 0);
    w_clear(&w);

    nodes(3); /* the job knows it after a restart, too */
    the_gang_loses(0);
    struct tug_job was = *w_job(&w, 1);
    struct tug_core *before = w.c;
    w.c = NULL;
    w_open(&w);
    ck_assert_int_eq(tug_core_restore_job(w.c, &was, &w.err), 0);
    tug_core_free(before);
    tug_core_restored(w.c, w.now);
    w_up_all(&w);
    w_run(&w, 1);
    ck_assert_uint_eq(w_job(&w, 1)->slices[0].node, 1);
    w_clear(&w);
}
END_TEST

START_TEST(a_gang_whose_launch_failed_goes_elsewhere_next)
{
    nodes(3);
    w_submit(&w, 1, w_req(1, 8));
    w_pass(&w);
    w_failed(&w, 1, 1, 0, 0, TUG_CAUSE_LAUNCH, "no cgroup");
    w_gone(&w, 1, 1, 0, 0);
    w_pass(&w);
    w_failed(&w, 1, 2, 0, 1, TUG_CAUSE_LAUNCH, "no cgroup");
    w_gone(&w, 1, 2, 0, 1);
    ck_assert_str_eq(w_job(&w, 1)->failed_on, "n0,n1");
    w_run(&w, 1);
    ck_assert_uint_eq(w_job(&w, 1)->slices[0].node, 2);
    w_clear(&w);
}
END_TEST

static void prefers_others(enum tug_placement placement)
{
    nodes(4);
    w.conf.placement = placement;
    w_open(&w);
    w_up_all(&w);
    comes_and_goes(0);
    comes_and_goes(2);
    w_submit(&w, 1, w_req(1, 8));
    w_run(&w, 1);
    ck_assert_uint_eq(w_job(&w, 1)->slices[0].node, 1);
    w_submit(&w, 2, w_req(2, 8)); /* one of them it must take; ranks stand in the order of the nodes */
    w_run(&w, 2);
    ck_assert_uint_eq(w_job(&w, 2)->slices[0].node, 0);
    ck_assert_uint_eq(w_job(&w, 2)->slices[1].node, 3);
    w_clear(&w);
}

START_TEST(of_nodes_that_are_as_good_those_that_failed_lately_come_last)
{
    prefers_others(TUG_PLACEMENT_FIRST_FIT);
    prefers_others(TUG_PLACEMENT_CONSOLIDATE);
    prefers_others(TUG_PLACEMENT_TOPOLOGY);
    nodes(2); /* a fuller node is better, whatever it did */
    w.conf.placement = TUG_PLACEMENT_CONSOLIDATE;
    w_open(&w);
    w_up_all(&w);
    comes_and_goes(1);
    struct tug_job_req r = w_req(1, 4);
    r.nodelist = "n1";
    w_submit(&w, 1, r);
    w_run(&w, 1);
    w_submit(&w, 2, w_req(1, 4));
    w_run(&w, 2);
    ck_assert_uint_eq(w_job(&w, 2)->slices[0].node, 1);
    w_clear(&w);
}
END_TEST

UNIT_MAIN("core/failures",
          a_node_that_is_lost_and_comes_back_three_times_in_an_hour_is_drained_with_the_count,
          losses_that_are_further_apart_do_not_count_together,
          a_node_that_starts_anew_before_anybody_misses_it_flaps_as_well,
          losses_of_most_nodes_at_once_and_of_a_node_in_repair_do_not_count,
          a_node_that_is_not_ready_in_time_three_times_is_drained_by_its_name,
          failures_are_remembered_over_a_restart_and_forgotten_when_they_are_old,
          a_gang_gets_a_node_that_failed_it_again_only_when_it_does_not_fit_without,
          a_gang_whose_launch_failed_goes_elsewhere_next,
          of_nodes_that_are_as_good_those_that_failed_lately_come_last)
