/* test_config.c - queues and nodes are edited while jobs wait and run */
#include <errno.h>

#include "world.h"

static struct world w;

static int configure(void)
{
    memset(&w.err, 0, sizeof w.err);
    int rc = tug_core_configure(w.c, w.now, &w.conf, &w.err);
    w_check(&w);
    return rc;
}

START_TEST(wrong_configurations_are_refused_as_a_whole)
{
    w_init(&w, 3, 8);
    w.queues[1].name = "all";
    unit_fails(configure(), -EINVAL, w.err, "queue 'all' is configured twice");
    w.queues[1].name = "short";
    w.queues[1].is_default = 1;
    unit_fails(configure(), -EINVAL, w.err, "queue 'short' is the second default queue");
    w.queues[1].is_default = 0;
    w.queues[3].nodes = "n[0-9]";
    unit_fails(configure(), -EINVAL, w.err, "queue 'left': node 'n3' is not configured");
    w.queues[3].nodes = "n[";
    unit_fails(configure(), -EINVAL, w.err, "queue 'left': ");
    w.queues[3].nodes = "";
    w.rows[2].name = "n0";
    unit_fails(configure(), -EINVAL, w.err, "node 'n0' is configured twice");
    w.rows[2].name = "n2";
    w.rows[2].gpus = 65;
    unit_fails(configure(), -EINVAL, w.err, "node 'n2': 65 GPUs are over the 64");
    w.rows[2].gpus = 8;
    w.conf.n_queues = 0;
    unit_fails(configure(), -EINVAL, w.err, "no queue is configured");
    w.conf.n_queues = 4;
    ck_assert_int_eq(configure(), 0);
    w_clear(&w);
}
END_TEST

START_TEST(what_jobs_need_cannot_be_taken_away)
{
    w_init(&w, 2, 8);
    w_up_all(&w);
    struct tug_job_req r = w_req(2, 8);
    r.queue = "left";
    w_submit(&w, 1, r);
    w.conf.n_queues = 3;
    unit_fails(configure(), -EBUSY, w.err, "queue 'left' still has 1 jobs");
    w.conf.n_queues = 4;
    w_run(&w, 1);
    w.conf.n_nodes = 1;
    w.queues[3].nodes = "n0";
    unit_fails(configure(), -EBUSY, w.err, "node 'n1' is held by job 1");
    w_done(&w, 1, 1, 0, 0, 0);
    w_done(&w, 1, 1, 0, 1, 0);
    ck_assert_int_eq(configure(), 0);
    struct tug_core_node n;
    tug_core_node(w.c, 1, &n); /* keeps its index, and nothing can use it */
    ck_assert_str_eq(n.reason, "is no longer in the configuration");
    w_submit(&w, 2, w_req(2, 8));
    ck_assert_int_eq(w_pass(&w), 0);
    w.conf.n_nodes = 2;
    ck_assert_int_eq(configure(), 0);
    ck_assert_int_eq(w_pass(&w), 1);
    w_clear(&w);
}
END_TEST

START_TEST(waiting_jobs_follow_their_queue)
{
    w_init(&w, 4, 8);
    w_up_all(&w);
    struct tug_job_req r = w_req(2, 8), other = w_req(4, 8);
    r.queue = "left";
    w_submit(&w, 1, other);
    w_submit(&w, 2, r);
    w.queues[3].priority = 5;
    w.queues[3].nodes = "n[2-3]";
    w.queues[0].is_down = 1;
    ck_assert_int_eq(configure(), 0);
    ck_assert_int_eq(w_pass(&w), 1);
    ck_assert_uint_eq(w_job(&w, 2)->slices[0].node, 2);
    ck_assert_int_eq(w_job(&w, 2)->priority, 5);
    w.queues[0].is_down = 0;
    ck_assert_int_eq(configure(), 0);
    ck_assert_int_eq(tug_core_wants_pass(w.c), 1);
    w_clear(&w);
}
END_TEST

START_TEST(nodes_join_live_and_change_their_size)
{
    w_init(&w, 2, 8);
    w_up_all(&w);
    w_submit(&w, 1, w_req(3, 8));
    w_pass(&w);
    snprintf(w.names[2], sizeof w.names[2], "n2");
    w.rows[2] = (struct tug_core_node_row){w.names[2], 16, 8, 64ULL << 30, "", NULL};
    w.conf.n_nodes = 3;
    ck_assert_int_eq(configure(), 0);
    ck_assert_int_eq(w_pass(&w), 0);
    w_up(&w, 2, NULL, 0);
    ck_assert_int_eq(w_pass(&w), 1);
    w_clear(&w);
}
END_TEST

UNIT_MAIN("core/config", wrong_configurations_are_refused_as_a_whole,
          what_jobs_need_cannot_be_taken_away, waiting_jobs_follow_their_queue,
          nodes_join_live_and_change_their_size)
