/* test_life.c - the life of a job, event by event, at exact virtual times */
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

UNIT_MAIN("core/life", a_gang_waits_is_set_up_runs_and_completes, a_rank_that_fails_ends_the_whole_gang_and_is_named)
