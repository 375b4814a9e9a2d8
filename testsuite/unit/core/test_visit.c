/* test_visit.c - prologs come before everything of an attempt, epilogs behind it. Layer: tests. */
#include "unit.h"

#include <errno.h>

#include "core/core.h"
#include "core/world.h"

#define VISIT TUG_VISIT_STEP
#define V(attempt) "1." #attempt ".4294967295"

/* Four nodes, of which the first three have both programs. */
static void up(struct world *w)
{
    w_init(w, 4, 8);
    for (uint32_t i = 0; i < 3; i++) {
        w->prolog_s[i] = 60;
        w->epilog_s[i] = 20;
    }
    w_up_all(w);
}

/* A gang of three, on these; its prologs run. */
static void comes(struct world *w, struct tug_job_req r)
{
    up(w);
    r.nodelist = "n[0-2]";
    w_submit(w, 1, r);
    w_forget(w);
    w_pass(w);
    w_is(w, 1, CONFIGURING);
}

static void runs(struct world *w)
{
    comes(w, w_req(3, 8));
    for (uint32_t i = 0; i < 3; i++)
        w_ready(w, 1, 1, VISIT, i);
    for (uint32_t i = 0; i < 3; i++)
        w_ready(w, 1, 1, 0, i);
    w_is(w, 1, RUNNING);
    w_forget(w);
}

static void fails(struct world *w, uint32_t node, int is_epilog, const char *text)
{
    struct tug_event ev = {.type = TUG_EV_NODE_VISIT_FAILED, .node = node, .is_epilog = (uint8_t) is_epilog, .text = text};
    ck_assert_int_eq(w_event(w, ev), 0);
}

static const char *why(struct world *w)
{
    static char text[512];
    return tug_core_explain(w->c, w_job(w, 1), NULL, text, sizeof text);
}

static unsigned used(struct world *w)
{
    struct tug_core_counts n;
    tug_core_count(w->c, &n);
    return n.gpus_used;
}

START_TEST(nothing_is_launched_before_all_prologs_have_succeeded)
{
    struct world w = {0};
    comes(&w, w_req(3, 8));
    w_said_is(&w, "CHANGED 1\nLAUNCH " V(1) " n0\nLAUNCH " V(1) " n1\nLAUNCH " V(1) " n2\n");
    ck_assert_str_eq(why(&w), "prolog on n0 and 2 more");
    w_ready(&w, 1, 1, VISIT, 0);
    w_ready(&w, 1, 1, VISIT, 0); /* said again */
    w_ready(&w, 1, 1, VISIT, 2);
    ck_assert_str_eq(why(&w), "prolog on n1");
    w_said_is(&w, "CHANGED 1\nCHANGED 1\n");
    ck_assert_uint_eq(w_job(&w, 1)->n_steps, 0);
    w_ready(&w, 1, 1, VISIT, 1);
    w_said_is(&w, "CHANGED 1\nLAUNCH 1.1.0 n0\nLAUNCH 1.1.0 n1\nLAUNCH 1.1.0 n2\n");
    ck_assert_str_eq(why(&w), "");
    w_ready(&w, 1, 1, VISIT, 1); /* after a reconnect: no word to start for it */
    w_said_is(&w, "");
    w_clear(&w);
}
END_TEST

START_TEST(nodes_without_programs_have_no_part_and_a_gang_of_such_none_at_all)
{
    struct world w = {0};
    up(&w);
    struct tug_job_req r = w_req(2, 8);
    r.nodelist = "n[2-3]";
    w_submit(&w, 1, r);
    w_forget(&w);
    w_pass(&w);
    w_said_is(&w, "CHANGED 1\nLAUNCH " V(1) " n2\n");
    r = w_req(1, 8);
    r.nodelist = "n0";
    w.prolog_s[0] = w.epilog_s[0] = 0;
    w_event(&w, (struct tug_event){.type = TUG_EV_NODE_CHANGED, .node = 0, .inventory = {.cpus = 16, .gpus = 8, .mem_bytes = 64ULL << 30, .gpu_model = ""}});
    w_submit(&w, 2, r);
    w_forget(&w);
    w_pass(&w);
    w_said_is(&w, "CHANGED 2\nLAUNCH 2.1.0 n0\n");
    w_clear(&w);
}
END_TEST

START_TEST(epilogs_are_run_where_nothing_else_is_left_and_hold_what_the_job_had_until_the_last_is_over)
{
    struct world w = {0};
    runs(&w);
    w_done(&w, 1, 1, 0, 0, 0);
    w_done(&w, 1, 1, 0, 1, 0);
    w_is(&w, 1, RUNNING);
    ck_assert_ptr_null(strstr(w_said(&w), "KILL"));
    w_done(&w, 1, 1, 0, 2, 0);
    w_is(&w, 1, COMPLETING);
    w_saw(&w, "KILL " V(1) " n0 grace 0: its attempt is over\nKILL " V(1) " n1 grace 0: its attempt is over\nKILL " V(1) " n2");
    ck_assert_str_eq(why(&w), "epilog on n0 and 2 more");
    w_gone(&w, 1, 1, VISIT, 0);
    w_gone(&w, 1, 1, VISIT, 2);
    ck_assert_str_eq(why(&w), "epilog on n1");
    ck_assert_uint_eq(used(&w), 24);
    w.now += 3600 * 1000; /* its time limit is nothing to it */
    w_tick(&w, w.now);
    w_gone(&w, 1, 1, VISIT, 1);
    w_is(&w, 1, COMPLETED);
    w_saw(&w, "ACK " V(1) " n1\n");
    ck_assert_uint_eq(used(&w), 0);
    ck_assert_ptr_null(w_job(&w, 1)->visit);
    w_clear(&w);
}
END_TEST

START_TEST(an_epilog_does_not_wait_for_other_nodes_of_a_gang_that_is_being_ended)
{
    struct world w = {0};
    runs(&w);
    w_done(&w, 1, 1, 0, 1, 9);
    w_is(&w, 1, COMPLETING);
    w_saw(&w, "KILL " V(1) " n1");
    w_gone(&w, 1, 1, 0, 0);
    const char *said = w_said(&w);
    ck_assert_ptr_nonnull(strstr(said, "KILL " V(1) " n0"));
    ck_assert_ptr_null(strstr(said, " n2"));
    w_gone(&w, 1, 1, VISIT, 0);
    w_gone(&w, 1, 1, VISIT, 1);
    w_gone(&w, 1, 1, 0, 2);
    w_saw(&w, "KILL " V(1) " n2");
    w_is(&w, 1, COMPLETING);
    w_gone(&w, 1, 1, VISIT, 2);
    w_is(&w, 1, FAILED);
    ck_assert_int_eq(w_job(&w, 1)->exit.code, 9);
    w_clear(&w);
}
END_TEST

START_TEST(a_prolog_that_fails_drains_its_node_and_the_job_goes_elsewhere_at_no_cost_to_it)
{
    struct world w = {0};
    struct tug_core_node n;
    comes(&w, w_req(3, 8));
    w_ready(&w, 1, 1, VISIT, 0);
    w_forget(&w);
    fails(&w, 1, 0, "prolog of job 1 ended with exit code 3: no scratch");
    w_failed(&w, 1, 1, VISIT, 1, TUG_CAUSE_LAUNCH, "prolog of job 1 ended with exit code 3: no scratch");
    w_is(&w, 1, REQUEUED);
    w_saw(&w, "NODE_HISTORY n1 drain prolog: prolog of job 1 ended with exit code 3: no scratch\n");
    ck_assert_str_eq(why(&w), "the attempt before is still being ended; attempt 1 ended early on node n1: "
                              "prolog of job 1 ended with exit code 3: no scratch; epilog on n0 and 2 more");
    for (uint32_t i = 0; i < 3; i++)
        w_gone(&w, 1, 1, VISIT, i);
    w_is(&w, 1, PENDING);
    ck_assert_uint_eq(w_job(&w, 1)->attempt, 2);
    ck_assert_uint_eq(w_job(&w, 1)->failures, 0);
    ck_assert_uint_eq(w_job(&w, 1)->launch_failures, 1);
    tug_core_node(w.c, 1, &n);
    ck_assert(n.drained && n.n_drains == 1 && n.drains[0].by == TUG_DRAIN_PROLOG);
    w_clear(&w);
}
END_TEST

START_TEST(an_epilog_that_fails_drains_its_node_before_it_is_given_away_and_the_result_stands)
{
    struct world w = {0};
    struct tug_core_node n;
    runs(&w);
    w_submit(&w, 2, w_req(3, 8));
    for (uint32_t i = 0; i < 3; i++)
        w_done(&w, 1, 1, 0, i, 0);
    fails(&w, 1, 1, "epilog of job 1 did not end within 20 s");
    for (uint32_t i = 0; i < 3; i++)
        w_gone(&w, 1, 1, VISIT, i);
    w_is(&w, 1, COMPLETED);
    w_pass(&w);
    w_is(&w, 2, CONFIGURING); /* on n0, n2 and n3 */
    tug_core_node(w.c, 1, &n);
    ck_assert_str_eq(n.reason, "epilog of job 1 did not end within 20 s");
    ck_assert_int_eq(n.drains[0].by, TUG_DRAIN_EPILOG);
    ck_assert_uint_eq(n.n_jobs, 0);
    w_event(&w, (struct tug_event){.type = TUG_EV_NODE_RESUME, .node = 1, .user = "root"});
    tug_core_node(w.c, 1, &n);
    ck_assert(!n.drained);
    w_clear(&w);
}
END_TEST

START_TEST(a_node_has_the_time_of_its_prolog_and_that_of_a_launch_to_be_ready)
{
    struct world w = {0};
    comes(&w, w_req(3, 8));
    w_ready(&w, 1, 1, VISIT, 0);
    w_ready(&w, 1, 1, VISIT, 2);
    int64_t began = w.now;
    w_tick(&w, began + 89999);
    w_is(&w, 1, CONFIGURING);
    w_tick(&w, began + 90000);
    w_is(&w, 1, REQUEUED);
    ck_assert_str_eq(w_job(&w, 1)->cause.text, "node n1 was not ready within 90 s");
    w_clear(&w);
}
END_TEST

START_TEST(a_cancel_while_a_prolog_runs_ends_it_there_and_then)
{
    struct world w = {0};
    comes(&w, w_req(3, 8));
    w_ready(&w, 1, 1, VISIT, 0);
    w_forget(&w);
    w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 1});
    w_is(&w, 1, COMPLETING);
    w_saw(&w, "KILL " V(1) " n0 grace 0: its attempt is over\nKILL " V(1) " n1 grace 0: its attempt is over\nKILL " V(1) " n2");
    w_ready(&w, 1, 1, VISIT, 1); /* too late: told again */
    w_saw(&w, "KILL " V(1) " n1");
    for (uint32_t i = 0; i < 3; i++)
        w_gone(&w, 1, 1, VISIT, i);
    w_is(&w, 1, CANCELLED);
    w_clear(&w);
}
END_TEST

START_TEST(the_other_nodes_of_a_batch_job_are_visited_once_whatever_steps_it_starts)
{
    struct world w = {0};
    struct tug_job_req r = w_req(3, 8);
    r.batch = 1;
    comes(&w, r);
    for (uint32_t i = 0; i < 3; i++)
        w_ready(&w, 1, 1, VISIT, i);
    w_saw(&w, "LAUNCH 1.1.0 n0\n");
    w_ready(&w, 1, 1, 0, 0);
    w_is(&w, 1, RUNNING);
    for (uint32_t step = 1; step < 3; step++) {
        uint32_t id;
        w_event(&w, (struct tug_event){.type = TUG_EV_STEP_SUBMIT, .job = 1, .step_out = &id});
        ck_assert_uint_eq(id, step);
        for (uint32_t i = 0; i < 3; i++)
            w_ready(&w, 1, 1, step, i);
        ck_assert_ptr_null(strstr(w_said(&w), V(1)));
        for (uint32_t i = 0; i < 3 && step == 1; i++)
            w_done(&w, 1, 1, step, i, 0);
        ck_assert_ptr_null(strstr(w_said(&w), V(1)));
    }
    w_done(&w, 1, 1, 0, 0, 0); /* the script is over, and step 2 is not */
    w_is(&w, 1, COMPLETING);
    ck_assert_ptr_null(strstr(w_said(&w), "KILL " V(1)));
    w_gone(&w, 1, 1, 2, 1);
    w_saw(&w, "KILL " V(1) " n1");
    w_gone(&w, 1, 1, 2, 0);
    w_gone(&w, 1, 1, 2, 2);
    for (uint32_t i = 0; i < 3; i++)
        w_gone(&w, 1, 1, VISIT, i);
    w_is(&w, 1, COMPLETED);
    w_clear(&w);
}
END_TEST

START_TEST(a_preflight_comes_after_the_prologs)
{
    struct world w = {0};
    struct tug_job_req r = w_req(3, 8);
    r.preflight = "allreduce";
    r.preflight_s = 60;
    comes(&w, r);
    w_forget(&w);
    for (uint32_t i = 0; i < 3; i++)
        w_ready(&w, 1, 1, VISIT, i);
    w_saw(&w, "LAUNCH 1.1.1 n0\nLAUNCH 1.1.1 n1\nLAUNCH 1.1.1 n2\n");
    for (uint32_t i = 0; i < 3; i++)
        w_ready(&w, 1, 1, 1, i);
    for (uint32_t i = 0; i < 3; i++)
        w_done(&w, 1, 1, 1, i, 0);
    w_saw(&w, "LAUNCH 1.1.0 n0\n");
    w_is(&w, 1, CONFIGURING);
    w_clear(&w);
}
END_TEST

START_TEST(a_lost_node_is_awaited_with_its_epilog_until_its_lease_is_over_and_has_to_run_it_before_it_is_used)
{
    struct world w = {0};
    struct tug_core_node n;
    runs(&w);
    w_down(&w, 2);
    w_is(&w, 1, REQUEUED);
    for (uint32_t i = 0; i < 2; i++) {
        w_gone(&w, 1, 1, 0, i);
        w_gone(&w, 1, 1, VISIT, i);
    }
    w_is(&w, 1, REQUEUED);
    w_lease_over(&w, 2);
    w_is(&w, 1, PENDING);
    struct tug_held_step held[] = {{.job = 1, .attempt = 1, .step = VISIT, .phase = TUG_HELD_READY}};
    w_forget(&w);
    w_up(&w, 2, held, 1);
    w_saw(&w, "KILL " V(1) " n2");
    tug_core_node(w.c, 2, &n);
    ck_assert_str_eq(n.reason, "something that should not run there is being ended");
    w_pass(&w);
    w_is(&w, 1, PENDING);
    w_gone(&w, 1, 1, VISIT, 2);
    w_pass(&w);
    w_is(&w, 1, CONFIGURING);
    w_clear(&w);
}
END_TEST

START_TEST(a_node_that_comes_back_is_told_what_its_visit_is_at)
{
    struct world w = {0};
    comes(&w, w_req(3, 8));
    struct tug_held_step held = {.job = 1, .attempt = 1, .step = VISIT, .phase = TUG_HELD_STARTING};
    w_forget(&w);
    w_up(&w, 1, NULL, 0); /* it had not begun */
    w_saw(&w, "LAUNCH " V(1) " n1\n");
    w_up(&w, 1, &held, 1); /* it runs */
    ck_assert_ptr_null(strstr(w_said(&w), V(1)));
    held.phase = TUG_HELD_READY;
    w_up(&w, 0, &held, 1);
    w_up(&w, 1, &held, 1);
    w_ready(&w, 1, 1, VISIT, 2);
    w_saw(&w, "LAUNCH 1.1.0 n1\n");
    w_up(&w, 1, &held, 1); /* its launch was lost */
    w_said_is(&w, "NODE_CHANGED n1\nLAUNCH 1.1.0 n1\n");
    w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 1});
    w_gone(&w, 1, 1, 0, 1);
    held.phase = TUG_HELD_ENDING;
    w_forget(&w);
    w_up(&w, 1, &held, 1);
    w_saw(&w, "KILL " V(1) " n1");
    w_clear(&w);
}
END_TEST

START_TEST(a_node_that_has_forgotten_its_visit_has_lost_its_part_of_the_gang)
{
    struct world w = {0};
    runs(&w);
    struct tug_held_step held = {.job = 1, .attempt = 1, .step = 0, .phase = TUG_HELD_RUNNING};
    w_up(&w, 1, &held, 1);
    w_is(&w, 1, REQUEUED);
    ck_assert_str_eq(w_job(&w, 1)->cause.text, "node n1 was lost: it came back without its part of the gang");
    w_clear(&w);
}
END_TEST

UNIT_MAIN("core/visit", nothing_is_launched_before_all_prologs_have_succeeded,
          nodes_without_programs_have_no_part_and_a_gang_of_such_none_at_all,
          epilogs_are_run_where_nothing_else_is_left_and_hold_what_the_job_had_until_the_last_is_over,
          an_epilog_does_not_wait_for_other_nodes_of_a_gang_that_is_being_ended,
          a_prolog_that_fails_drains_its_node_and_the_job_goes_elsewhere_at_no_cost_to_it,
          an_epilog_that_fails_drains_its_node_before_it_is_given_away_and_the_result_stands,
          a_node_has_the_time_of_its_prolog_and_that_of_a_launch_to_be_ready,
          a_cancel_while_a_prolog_runs_ends_it_there_and_then,
          the_other_nodes_of_a_batch_job_are_visited_once_whatever_steps_it_starts, a_preflight_comes_after_the_prologs,
          a_lost_node_is_awaited_with_its_epilog_until_its_lease_is_over_and_has_to_run_it_before_it_is_used,
          a_node_that_comes_back_is_told_what_its_visit_is_at,
          a_node_that_has_forgotten_its_visit_has_lost_its_part_of_the_gang)
