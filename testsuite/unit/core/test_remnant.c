/* test_remnant.c - processes that SIGKILL does not end: the gang ends without them, and what they had on their node stays held */
#include <errno.h>

#include "same.h"
#include "world.h"

static struct world w;

static const struct tug_core_node *look(uint32_t node)
{
    static struct tug_core_node n;
    tug_core_node(w.c, node, &n);
    return &n;
}

static void cancel(tug_job_id job)
{
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = job}), 0);
}

static void restart(void)
{
    struct tug_core *again = same_restart(w.c, &w.conf, w.now, &w.err);
    ck_assert_msg(again != NULL, "%s", w.err.msg);
    tug_core_free(w.c);
    w.c = again;
    w_check(&w);
}

static struct tug_held_step ending(tug_job_id job, uint32_t attempt)
{
    return (struct tug_held_step){.job = job, .attempt = attempt, .phase = TUG_HELD_ENDING};
}

/* Job 1, 2 nodes with 4 of 8 GPUs each, was cancelled and is stuck on n0. */
static void a_gang_is_stuck(void)
{
    w_init(&w, 3, 8);
    w.conf.cleaning_timeout_s = 60;
    w_open(&w);
    w_up_all(&w);
    w_submit(&w, 1, w_req(2, 4));
    w_run(&w, 1);
    cancel(1);
    w_gone(&w, 1, 1, 0, 1);
    w_is(&w, 1, COMPLETING);
    w_forget(&w);
    w_stuck(&w, 1, 1, 0, 0, "pid 7 in D");
}

START_TEST(the_gang_ends_and_its_part_of_that_node_stays_held)
{
    a_gang_is_stuck();
    w_saw(&w, "NODE_CHANGED n0\n");
    w_is(&w, 1, CANCELLED);
    ck_assert_uint_eq(look(0)->gpus_used, 0xf);
    ck_assert_uint_eq(look(1)->gpus_used, 0);
    ck_assert_str_eq(tug_core_node_state(look(0)), "CLEANING");
    ck_assert_str_eq(look(0)->reason, "pid 7 in D");
    ck_assert_uint_eq(look(0)->remnants[0].job, 1);
    ck_assert_int_eq(look(0)->remnants[0].since_ms, w.now);
    struct tug_job_req r = w_req(1, 4);
    r.nodelist = "n0";
    w_submit(&w, 2, r);
    w_run(&w, 2);
    ck_assert_uint_eq(look(0)->gpus_used, 0xff);
    w_submit(&w, 3, r);
    ck_assert_int_eq(w_pass(&w), 0); /* the former's GPUs are not given out */
    w_forget(&w);
    w_gone(&w, 1, 1, 0, 0);
    w_saw(&w, "ACK 1.1.0 n0\n");
    ck_assert_uint_eq(look(0)->gpus_used, 0xf0);
    ck_assert_int_eq(w_pass(&w), 1);
    ck_assert_uint_eq(look(0)->n_remnants, 0);
    w_clear(&w);
}
END_TEST

START_TEST(a_gang_that_is_run_again_starts_elsewhere_meanwhile)
{
    w_init(&w, 2, 8);
    w_up_all(&w);
    w_submit(&w, 1, w_req(1, 8));
    w_run(&w, 1);
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_REQUEUE, .job = 1}), 0);
    w_stuck(&w, 1, 1, 0, 0, "pid 7 in D");
    w_is(&w, 1, PENDING);
    w_run(&w, 1);
    ck_assert_uint_eq(w_job(&w, 1)->attempt, 2);
    ck_assert_uint_eq(w_job(&w, 1)->slices[0].node, 1);
    w_done(&w, 1, 2, 0, 1, 0);
    w_is(&w, 1, COMPLETED);
    ck_assert_uint_eq(look(0)->gpus_used, 0xff);
    w_gone(&w, 1, 1, 0, 0);
    ck_assert_uint_eq(look(0)->gpus_used, 0);
    w_clear(&w);
}
END_TEST

START_TEST(after_the_timeout_the_node_is_drained_until_they_have_gone)
{
    a_gang_is_stuck();
    int64_t since_ms = w.now;
    ck_assert_int_eq(tug_core_next_wake(w.c), since_ms + 60000);
    w_tick(&w, since_ms + 59999);
    ck_assert_str_eq(tug_core_node_state(look(0)), "CLEANING");
    w_forget(&w);
    w_tick(&w, since_ms + 60000);
    w_saw(&w, "NODE_HISTORY n0 drain cleaning: job 1 does not end here for 60 s: pid 7 in D\n");
    ck_assert_str_eq(tug_core_node_state(look(0)), "DRAINING");
    struct tug_event resume = {.type = TUG_EV_NODE_RESUME, .node = 0, .user = "bob"};
    ck_assert_int_eq(w_event(&w, resume), 0); /* it is not his to take back, ... */
    ck_assert_str_eq(tug_core_node_state(look(0)), "DRAINING");
    restart();
    w_up(&w, 0, (struct tug_held_step[]){ending(1, 1)}, 1);
    ck_assert_str_eq(tug_core_node_state(look(0)), "DRAINING");
    w_forget(&w);
    w_gone(&w, 1, 1, 0, 0);
    w_saw(&w, "NODE_HISTORY n0 resume cleaning: job 1 does not end here for 60 s: pid 7 in D\n");
    ck_assert_str_eq(tug_core_node_state(look(0)), "IDLE");
    w_clear(&w);
}
END_TEST

START_TEST(an_admin_who_insists_gets_the_rest_of_the_node_back_for_good)
{
    a_gang_is_stuck();
    w_tick(&w, w.now + 60000);
    struct tug_event resume = {.type = TUG_EV_NODE_RESUME, .node = 0, .user = "bob", .force = 1};
    ck_assert_int_eq(w_event(&w, resume), 0);
    ck_assert_str_eq(tug_core_node_state(look(0)), "CLEANING");
    restart();
    w_up(&w, 0, (struct tug_held_step[]){ending(1, 1)}, 1);
    w_tick(&w, w.now + 600000);
    ck_assert_str_eq(tug_core_node_state(look(0)), "CLEANING");
    ck_assert_uint_eq(look(0)->gpus_used, 0xf);
    w_clear(&w);
}
END_TEST

START_TEST(what_is_held_survives_a_restart_a_loss_of_the_node_and_the_end_of_its_lease)
{
    a_gang_is_stuck();
    restart();
    ck_assert_uint_eq(look(0)->gpus_used, 0xf);
    ck_assert_str_eq(look(0)->remnants[0].text, "pid 7 in D");
    w_up(&w, 0, (struct tug_held_step[]){ending(1, 1)}, 1);
    ck_assert_str_eq(tug_core_node_state(look(0)), "CLEANING"); /* and no stray: the rest can be used */
    struct tug_job_req r = w_req(1, 4);
    r.nodelist = "n0";
    w_submit(&w, 2, r);
    w_run(&w, 2);
    w_down(&w, 0);
    w_lease_over(&w, 0);
    ck_assert_uint_eq(look(0)->gpus_used, 0xf);
    w_up(&w, 0, (struct tug_held_step[]){ending(1, 1)}, 1);
    ck_assert_uint_eq(look(0)->gpus_used, 0xf);
    w_up(&w, 0, NULL, 0); /* it was started anew, say */
    ck_assert_uint_eq(look(0)->gpus_used, 0);
    ck_assert_str_eq(tug_core_node_state(look(0)), "IDLE");
    w_clear(&w);
}
END_TEST

START_TEST(all_ranks_exited_and_what_they_left_is_stuck_is_a_job_that_completed)
{
    w_init(&w, 1, 8);
    w_up_all(&w);
    w_submit(&w, 1, w_req(1, 8));
    w_run(&w, 1);
    const struct tug_exit good = {0};
    struct tug_event ev = {
        .type = TUG_EV_STEP_STUCK, .job = 1, .attempt = 1, .node = 0, .exits = &good, .n_exits = 1, .text = "pid 8 in D"};
    ck_assert_int_eq(w_event(&w, ev), 0);
    w_is(&w, 1, COMPLETED);
    ck_assert_uint_eq(look(0)->gpus_used, 0xff);
    w_clear(&w);
}
END_TEST

START_TEST(a_step_that_is_stuck_leaves_the_job_running_and_its_slice_held_after_it)
{
    uint32_t id = 0;
    w_init(&w, 1, 8);
    w_up_all(&w);
    w_submit(&w, 1, w_req(1, 8));
    w_run(&w, 1);
    for (int i = 0; i < 2; i++) { /* steps 1 and 2 */
        struct tug_event ev = {.type = TUG_EV_STEP_SUBMIT, .job = 1, .ntasks = 1, .step_out = &id};
        ck_assert_int_eq(w_event(&w, ev), 0);
        w_ready(&w, 1, 1, id, 0);
        ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_STEP_CANCEL, .job = 1, .step = id}), 0);
        w_stuck(&w, 1, 1, id, 0, "pid 9 in D");
        ck_assert_ptr_null(tug_core_step(w.c, 1, id));
    }
    w_is(&w, 1, RUNNING);
    restart();
    w_up(&w, 0, (struct tug_held_step[]){{.job = 1, .attempt = 1, .phase = TUG_HELD_RUNNING}, {.job = 1, .attempt = 1, .step = 1, .phase = TUG_HELD_ENDING},
                                         {.job = 1, .attempt = 1, .step = 2, .phase = TUG_HELD_ENDING}}, 3);
    w_done(&w, 1, 1, 0, 0, 0);
    w_is(&w, 1, COMPLETED);
    ck_assert_uint_eq(look(0)->gpus_used, 0xff);
    w_gone(&w, 1, 1, 1, 0);
    ck_assert_uint_eq(look(0)->gpus_used, 0xff); /* the other one has it now */
    restart();
    ck_assert_uint_eq(look(0)->gpus_used, 0xff);
    w_up(&w, 0, (struct tug_held_step[]){{.job = 1, .attempt = 1, .step = 2, .phase = TUG_HELD_ENDING}}, 1);
    w_gone(&w, 1, 1, 2, 0);
    ck_assert_uint_eq(look(0)->gpus_used, 0);
    w_clear(&w);
}
END_TEST

START_TEST(an_epilog_waits_for_them_and_the_job_does_not)
{
    w_init(&w, 1, 8);
    w.conf.cleaning_timeout_s = 60;
    w.epilog_s[0] = 20;
    w_open(&w);
    w_up_all(&w);
    w_submit(&w, 1, w_req(1, 8));
    w_pass(&w);
    w_ready(&w, 1, 1, TUG_VISIT_STEP, 0);
    w_ready(&w, 1, 1, 0, 0);
    w_is(&w, 1, RUNNING);
    cancel(1);
    w_forget(&w);
    w_stuck(&w, 1, 1, 0, 0, "pid 7 in D");
    w_saw(&w, "KILL 1.1.4294967295 n0");
    w_is(&w, 1, CANCELLED);
    restart();
    const struct tug_held_step held[] = {ending(1, 1), {.job = 1, .attempt = 1, .step = TUG_VISIT_STEP, .phase = TUG_HELD_RUNNING}};
    w_forget(&w);
    w_up(&w, 0, held, 2);
    w_saw(&w, "KILL 1.1.4294967295 n0");
    w_tick(&w, w.now + 60000);
    ck_assert_uint_eq(look(0)->n_drains, 1); /* for the processes, which an admin has to see: the epilog cannot help it */
    ck_assert_str_eq(look(0)->reason, "job 1 does not end here for 60 s: pid 7 in D");
    w_gone(&w, 1, 1, 0, 0);
    ck_assert_uint_eq(look(0)->gpus_used, 0xff);
    ck_assert_str_eq(tug_core_node_state(look(0)), "DRAINING");
    w_gone(&w, 1, 1, TUG_VISIT_STEP, 0);
    ck_assert_uint_eq(look(0)->gpus_used, 0);
    ck_assert_str_eq(tug_core_node_state(look(0)), "IDLE");
    w_clear(&w);
}
END_TEST

START_TEST(the_next_attempt_comes_to_that_node_only_after_the_epilog_of_the_one_before)
{
    char why[512];
    w_init(&w, 2, 8);
    w.epilog_s[0] = 20;
    w_open(&w);
    w_up_all(&w);
    struct tug_job_req r = w_req(1, 4);
    r.nodelist = "n0";
    w_submit(&w, 1, r);
    w_pass(&w);
    w_ready(&w, 1, 1, TUG_VISIT_STEP, 0);
    w_ready(&w, 1, 1, 0, 0);
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_REQUEUE, .job = 1}), 0);
    w_stuck(&w, 1, 1, 0, 0, "pid 7 in D");
    w_is(&w, 1, PENDING);
    w_submit(&w, 2, r);
    ck_assert_int_eq(w_pass(&w), 1); /* the other one, on the GPUs that are free */
    w_is(&w, 1, PENDING);
    tug_core_explain(w.c, w_job(&w, 1), NULL, why, sizeof why);
    ck_assert_msg(strstr(why, "an attempt before has yet to be gone from n0, with its epilog") != NULL, "%s", why);
    restart();
    w_up(&w, 0, (struct tug_held_step[]){ending(1, 1), {.job = 1, .attempt = 1, .step = TUG_VISIT_STEP, .phase = TUG_HELD_ENDING},
                                         {.job = 2, .attempt = 1, .step = TUG_VISIT_STEP}}, 3);
    ck_assert_int_eq(w_pass(&w), 0);
    w_gone(&w, 1, 1, 0, 0);
    ck_assert_int_eq(w_pass(&w), 0);
    w_gone(&w, 1, 1, TUG_VISIT_STEP, 0);
    ck_assert_int_eq(w_pass(&w), 1);
    ck_assert_uint_eq(w_job(&w, 1)->attempt, 2);
    ck_assert_uint_eq(w_job(&w, 1)->slices[0].node, 0);
    w_clear(&w);
}
END_TEST

START_TEST(what_nobody_expects_there_and_does_not_end_keeps_the_whole_node)
{
    w_init(&w, 1, 8);
    w_up_all(&w);
    w_forget(&w);
    w_stuck(&w, 71, 3, 0, 0, "pid 7 in D");
    w_saw(&w, "KILL 71.3.0 n0");
    ck_assert_str_eq(tug_core_node_state(look(0)), "CLEANING");
    w_submit(&w, 1, w_req(1, 1));
    ck_assert_int_eq(w_pass(&w), 0);
    w_up(&w, 0, (struct tug_held_step[]){ending(71, 3)}, 1); /* also after it has said so again */
    ck_assert_int_eq(w_pass(&w), 0);
    w_gone(&w, 71, 3, 0, 0);
    ck_assert_str_eq(tug_core_node_state(look(0)), "IDLE");
    ck_assert_int_eq(w_pass(&w), 1);
    w_clear(&w);
}
END_TEST

UNIT_MAIN("core/remnant", the_gang_ends_and_its_part_of_that_node_stays_held,
          a_gang_that_is_run_again_starts_elsewhere_meanwhile,
          after_the_timeout_the_node_is_drained_until_they_have_gone,
          an_admin_who_insists_gets_the_rest_of_the_node_back_for_good,
          what_is_held_survives_a_restart_a_loss_of_the_node_and_the_end_of_its_lease,
          all_ranks_exited_and_what_they_left_is_stuck_is_a_job_that_completed,
          a_step_that_is_stuck_leaves_the_job_running_and_its_slice_held_after_it,
          an_epilog_waits_for_them_and_the_job_does_not,
          the_next_attempt_comes_to_that_node_only_after_the_epilog_of_the_one_before,
          what_nobody_expects_there_and_does_not_end_keeps_the_whole_node)
