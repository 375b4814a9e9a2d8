/* test_agent_visit.c - prologs before anything of an attempt, epilogs behind all of it, also over restarts of the daemon */
#include "unit.h"

#include "agent_world.h"
#include "core/job.h"

#define P     TUG_PEER_PROGRAMS
#define L     TUG_PEER_LAUNCHER
#define EPOCH 3

static struct world w;
static const char *const args[] = {"--mount", "/scratch"};
static const struct tug_agent_program prolog = {.program = "/sbin/prolog", .args = args, .n_args = 2, .timeout_s = 60},
                                      epilog = {.program = "/sbin/epilog", .timeout_s = 20};
static char *uuids[] = {(char *) "GPU-a", (char *) "GPU-b"};

static void hello(void)
{
    tug_agent_controller_up(w.agent, CONTROLLER);
    const Tugpb__NodeHello *m = world_next(&w, CONTROLLER, TUG_MSG_NODE_HELLO);
    ck_assert_uint_eq(m->inventory->prolog_s, w.prolog ? 60 : 0);
    ck_assert_uint_eq(m->inventory->epilog_s, w.epilog ? 20 : 0);
}

/* Up, with a lease for ever. */
static void a_node(const struct tug_agent_program *before, const struct tug_agent_program *after)
{
    w = (struct world){.now_ms = 1000000, .boot_id = "000102030405060708090a0b0c0d0e0f", .prolog = before, .epilog = after};
    world_boot(&w);
    world_held(&w, NULL);
    hello();
    world_welcome(&w, EPOCH);
    world_grant(&w, world_next(&w, CONTROLLER, TUG_MSG_LEASE_REQUEST), 0, EPOCH);
    world_next(&w, L, TUG_MSG_LN_LEASE);
    world_quiet(&w);
}

/* The daemon dies and comes back, also to the controller; what it says then is for the test to take. */
static void again(void)
{
    world_crash(&w);
    world_boot(&w);
}

static void rejoin(Tugpb__StepPhase phase)
{
    tug_agent_controller_up(w.agent, CONTROLLER);
    const Tugpb__NodeHello *m = world_next(&w, CONTROLLER, TUG_MSG_NODE_HELLO);
    size_t visits = 0;
    for (size_t i = 0; i < m->n_steps; i++)
        if (m->steps[i]->key->step == TUG_VISIT_STEP) {
            ck_assert_int_eq(m->steps[i]->phase, phase);
            visits++;
        }
    ck_assert_uint_eq(visits, 1);
    world_welcome(&w, EPOCH);
}

static void told(uint32_t attempt, bool leave, const char *state, int code)
{
    Tugpb__StepVisit m = TUGPB__STEP_VISIT__INIT;
    Tugpb__StepKey key = TUGPB__STEP_KEY__INIT;
    Tugpb__Visit v = TUGPB__VISIT__INIT;
    Tugpb__ExitInfo exit = TUGPB__EXIT_INFO__INIT;
    key.job = 7;
    key.attempt = attempt;
    key.step = TUG_VISIT_STEP;
    exit.exit_code = code;
    v.name = (char *) "train\n; rm";
    v.user = (char *) "ann";
    v.uid = 1000;
    v.gid = 100;
    v.queue = (char *) "main";
    v.nodelist = (char *) "gpu[03-04]";
    v.gpus = 5;
    v.gpu_uuids = uuids;
    v.n_gpu_uuids = 2;
    v.state = (char *) (uintptr_t) state;
    v.exit = &exit;
    m.epoch = EPOCH;
    m.key = &key;
    m.leave = leave;
    m.visit = &v;
    tug_agent_message(w.agent, CONTROLLER, TUG_MSG_STEP_VISIT, 0, &m.base);
}

static void begins(void) { told(1, false, "", 0); }
static void leaves(void) { told(1, true, "FAILED", 9); }

static const char *variable(const Tugpb__VsRun *m, const char *name)
{
    for (size_t i = 0; i < m->n_env; i++)
        if (!strncmp(m->env[i], name, strlen(name)) && m->env[i][strlen(name)] == '=')
            return m->env[i] + strlen(name) + 1;
    return "(unset)";
}

static const Tugpb__VsRun *is_run(bool is_epilog)
{
    const Tugpb__VsRun *m = world_next(&w, P, TUG_MSG_VS_RUN);
    ck_assert_int_eq(m->epilog, is_epilog);
    ck_assert(!m->stop);
    ck_assert_str_eq(m->program, is_epilog ? "/sbin/epilog" : "/sbin/prolog");
    ck_assert_uint_eq(m->timeout_s, is_epilog ? 20 : 60);
    return m;
}

static void is_stopped(void)
{
    ck_assert(((const Tugpb__VsRun *) world_next(&w, P, TUG_MSG_VS_RUN))->stop);
}

static void ends(bool is_epilog, bool failed)
{
    Tugpb__VsDone m = TUGPB__VS_DONE__INIT;
    Tugpb__StepKey key = TUGPB__STEP_KEY__INIT;
    key.job = 7;
    key.attempt = 1;
    key.step = TUG_VISIT_STEP;
    m.key = &key;
    m.epilog = is_epilog;
    m.failed = failed;
    m.text = (char *) (failed ? "ended with exit code 3: no scratch" : "ended with exit code 0");
    m.output = (char *) "mounting\nno scratch\n";
    tug_agent_message(w.agent, P, TUG_MSG_VS_DONE, 0, &m.base);
}

static void is_ready(void)
{
    const Tugpb__StepReady *m = world_next(&w, CONTROLLER, TUG_MSG_STEP_READY);
    ck_assert_uint_eq(m->key->step, TUG_VISIT_STEP);
}

static void is_done(void)
{
    const Tugpb__StepDone *m = world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    ck_assert_uint_eq(m->result->key->step, TUG_VISIT_STEP);
    ck_assert_ptr_null(m->result->cause);
}

static void has_failed(bool is_epilog)
{
    const Tugpb__VisitFailure *m = world_next(&w, CONTROLLER, TUG_MSG_VISIT_FAILURE);
    ck_assert_uint_eq(m->job, 7);
    ck_assert_uint_eq(m->attempt, 1);
    ck_assert_int_eq(m->epilog, is_epilog);
    ck_assert_str_eq(m->text, is_epilog ? "epilog of job 7 ended with exit code 3: no scratch"
                                        : "prolog of job 7 ended with exit code 3: no scratch");
    ck_assert_str_eq(m->output, "mounting\nno scratch\n");
}

static void has_not_come(void)
{
    const Tugpb__StepFailed *m = world_next(&w, CONTROLLER, TUG_MSG_STEP_FAILED);
    ck_assert_str_eq(m->cause->kind, "launch");
    ck_assert_str_eq(m->cause->text, "prolog of job 7 ended with exit code 3: no scratch");
}

static void acked(void)
{
    Tugpb__StepAck m = TUGPB__STEP_ACK__INIT;
    Tugpb__StepKey key = TUGPB__STEP_KEY__INIT;
    key.job = 7;
    key.attempt = 1;
    key.step = TUG_VISIT_STEP;
    m.epoch = EPOCH;
    m.key = &key;
    tug_agent_message(w.agent, CONTROLLER, TUG_MSG_STEP_ACK, 0, &m.base);
    ck_assert_uint_eq(tug_agent_visits(w.agent), 0);
    ck_assert_uint_eq(world_records(&w, "visit"), 0);
}

START_TEST(a_visit_is_ready_when_its_prolog_has_succeeded_and_is_over_behind_its_epilog)
{
    a_node(&prolog, &epilog);
    begins();
    const Tugpb__VsRun *m = is_run(false);
    ck_assert_uint_eq(m->n_args, 2);
    ck_assert_str_eq(m->args[1], "/scratch");
    ck_assert_str_eq(variable(m, "TUG_JOB_ID"), "7");
    ck_assert_str_eq(variable(m, "TUG_ATTEMPT"), "1");
    ck_assert_str_eq(variable(m, "TUG_NODE"), "gpu03");
    ck_assert_str_eq(variable(m, "TUG_JOB_NAME"), "train?; rm"); /* in one line */
    ck_assert_str_eq(variable(m, "TUG_JOB_USER"), "ann");
    ck_assert_str_eq(variable(m, "TUG_JOB_UID"), "1000");
    ck_assert_str_eq(variable(m, "TUG_NODELIST"), "gpu[03-04]");
    ck_assert_str_eq(variable(m, "TUG_GPUS"), "0,2");
    ck_assert_str_eq(variable(m, "TUG_GPU_UUIDS"), "GPU-a,GPU-b");
    ck_assert_str_eq(variable(m, "TUG_PROGRAM"), "prolog");
    ck_assert_str_eq(variable(m, "TUG_JOB_STATE"), "(unset)");
    world_quiet(&w);
    ends(false, false);
    is_ready();
    begins(); /* said twice */
    is_ready();
    world_launch(&w, EPOCH, 7, 1, true);
    world_next(&w, L, TUG_MSG_LN_START);
    leaves();
    world_quiet(&w); /* something is here still */
    world_gone(&w, 7, 1, 0);
    world_skip(&w, TUG_MSG_STEP_FAILED);
    world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    m = is_run(true);
    ck_assert_str_eq(variable(m, "TUG_PROGRAM"), "epilog");
    ck_assert_str_eq(variable(m, "TUG_PROLOG"), "ok");
    ck_assert_str_eq(variable(m, "TUG_JOB_STATE"), "FAILED");
    ck_assert_str_eq(variable(m, "TUG_JOB_EXIT_CODE"), "9");
    leaves();
    world_quiet(&w); /* it runs already */
    ends(true, false);
    is_done();
    leaves();
    is_done();
    acked();
    world_end(&w);
}
END_TEST

static void is_refused(uint64_t job, const char *text)
{
    world_launch(&w, EPOCH, job, 1, true);
    const Tugpb__StepFailed *m = world_next(&w, CONTROLLER, TUG_MSG_STEP_FAILED);
    ck_assert_msg(strstr(m->cause->text, text) != NULL, "%s", m->cause->text);
    world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    world_quiet(&w);
}

START_TEST(nothing_is_started_before_the_prolog_has_succeeded_or_once_the_visit_is_to_end)
{
    a_node(&prolog, &epilog);
    is_refused(7, "gpu03 has a prolog or an epilog, and was not told to run it for attempt 1 of job 7");
    begins();
    is_run(false);
    is_refused(7, "the prolog of gpu03 has not succeeded for attempt 1 of job 7");
    ends(false, false);
    is_ready();
    leaves();
    is_run(true);
    is_refused(7, "the prolog of gpu03 has not succeeded");
    world_end(&w);
}
END_TEST

START_TEST(a_prolog_that_fails_is_told_with_its_words_before_the_attempt_fails_and_the_epilog_is_run)
{
    a_node(&prolog, &epilog);
    begins();
    is_run(false);
    w.slow_disk = true;
    ends(false, true);
    world_quiet(&w); /* not before it is kept */
    world_sync(&w);
    has_failed(false);
    has_not_come();
    w.slow_disk = false;
    again(); /* and it is not run again */
    world_held(&w, NULL);
    world_quiet(&w);
    rejoin(TUGPB__STEP_PHASE__STEP_STARTING);
    has_failed(false);
    has_not_come();
    world_next(&w, CONTROLLER, TUG_MSG_LEASE_REQUEST);
    leaves();
    ck_assert_str_eq(variable(is_run(true), "TUG_PROLOG"), "failed");
    ends(true, false);
    has_failed(false);
    is_done();
    acked();
    world_end(&w);
}
END_TEST

START_TEST(an_epilog_that_fails_is_told_before_the_visit_is_over_also_after_a_restart)
{
    a_node(&prolog, &epilog);
    begins();
    is_run(false);
    ends(false, false);
    is_ready();
    leaves();
    is_run(true);
    ends(true, true);
    has_failed(true);
    is_done();
    again();
    world_held(&w, NULL);
    rejoin(TUGPB__STEP_PHASE__STEP_ENDING); /* a result in the hello would be taken before the failure */
    has_failed(true);
    is_done();
    world_next(&w, CONTROLLER, TUG_MSG_LEASE_REQUEST);
    acked();
    world_end(&w);
}
END_TEST

START_TEST(the_visit_is_kept_before_its_prolog_runs_and_a_prolog_or_epilog_that_was_cut_short_is_run_again)
{
    a_node(&prolog, &epilog);
    w.slow_disk = true;
    begins();
    world_quiet(&w);
    world_sync(&w);
    is_run(false);
    w.slow_disk = false;
    again();
    world_quiet(&w); /* what is here is not known yet */
    world_held(&w, NULL);
    ck_assert_str_eq(variable(is_run(false), "TUG_JOB_USER"), "ann");
    rejoin(TUGPB__STEP_PHASE__STEP_STARTING);
    world_next(&w, CONTROLLER, TUG_MSG_LEASE_REQUEST);
    ends(false, false);
    is_ready();
    again();
    world_held(&w, NULL); /* it has succeeded: not again */
    world_quiet(&w);
    rejoin(TUGPB__STEP_PHASE__STEP_READY);
    is_ready();
    world_next(&w, CONTROLLER, TUG_MSG_LEASE_REQUEST);
    leaves();
    is_run(true);
    again();
    world_held(&w, NULL);
    ck_assert_str_eq(variable(is_run(true), "TUG_JOB_EXIT_CODE"), "9");
    ends(true, false);
    rejoin(TUGPB__STEP_PHASE__STEP_ENDING);
    is_done();
    world_next(&w, CONTROLLER, TUG_MSG_LEASE_REQUEST);
    acked();
    world_end(&w);
}
END_TEST

START_TEST(an_attempt_that_is_over_while_its_prolog_runs_has_it_ended_which_is_no_failure_of_the_node)
{
    a_node(&prolog, &epilog);
    begins();
    is_run(false);
    leaves();
    is_stopped();
    world_quiet(&w);
    ends(false, true);
    is_run(true);
    ends(true, false);
    is_done();
    acked();
    begins(); /* it comes late */
    world_next(&w, CONTROLLER, TUG_MSG_STEP_FAILED);
    world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    world_quiet(&w);
    world_end(&w);
}
END_TEST

START_TEST(a_visit_that_was_never_told_to_begin_is_over_at_once_and_cannot_begin_later)
{
    a_node(&prolog, &epilog);
    leaves();
    is_done();
    begins();
    const Tugpb__StepFailed *m = world_next(&w, CONTROLLER, TUG_MSG_STEP_FAILED);
    ck_assert_str_eq(m->cause->text, "attempt 1 of job 7 has ended on gpu03 and is not started again");
    world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    world_quiet(&w);
    world_end(&w);
}
END_TEST

START_TEST(the_next_attempt_waits_for_the_epilog_of_the_one_before)
{
    a_node(&prolog, &epilog);
    begins();
    is_run(false);
    ends(false, false);
    is_ready();
    leaves();
    is_run(true);
    told(2, false, "", 0);
    const Tugpb__StepFailed *m = world_next(&w, CONTROLLER, TUG_MSG_STEP_FAILED);
    ck_assert_str_eq(m->cause->text, "attempt 1 of job 7 is still on gpu03; attempt 2 must wait until it is gone");
    world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    world_end(&w);
}
END_TEST

static void is_stuck(void)
{
    Tugpb__StepKey key = TUGPB__STEP_KEY__INIT;
    Tugpb__StuckProcess p = TUGPB__STUCK_PROCESS__INIT, *all[] = {&p};
    Tugpb__LnStuck m = TUGPB__LN_STUCK__INIT;
    key.job = 7;
    key.attempt = 1;
    p.pid = 4711;
    p.wchan = (char *) "nfs_wait";
    m.key = &key;
    m.processes = all;
    m.n_processes = m.n = 1;
    tug_agent_message(w.agent, L, TUG_MSG_LN_STUCK, 0, &m.base);
}

/* The job has gone on: the controller does not say any more what the attempt had. */
static void leaves_late(void)
{
    Tugpb__StepVisit m = TUGPB__STEP_VISIT__INIT;
    Tugpb__StepKey key = TUGPB__STEP_KEY__INIT;
    Tugpb__Visit v = TUGPB__VISIT__INIT;
    key.job = 7;
    key.attempt = 1;
    key.step = TUG_VISIT_STEP;
    v.state = (char *) "REQUEUED";
    m.epoch = EPOCH;
    m.key = &key;
    m.leave = true;
    m.visit = &v;
    tug_agent_message(w.agent, CONTROLLER, TUG_MSG_STEP_VISIT, 0, &m.base);
}

START_TEST(the_epilog_waits_for_processes_that_outlive_SIGKILL_also_over_a_restart_and_fails_before_the_visit_is_over)
{
    Tugpb__LnHeld held = TUGPB__LN_HELD__INIT;
    Tugpb__LnStarted one = TUGPB__LN_STARTED__INIT, *all[] = {&one};
    Tugpb__StepKey key = TUGPB__STEP_KEY__INIT;
    a_node(&prolog, &epilog);
    begins();
    is_run(false);
    ends(false, false);
    is_ready();
    world_launch(&w, EPOCH, 7, 1, true);
    world_next(&w, L, TUG_MSG_LN_START);
    is_stuck(); /* by this the controller's job ends, and it tells the visit to leave */
    world_skip(&w, TUG_MSG_STEP_FAILED);
    world_next(&w, CONTROLLER, TUG_MSG_STEP_STUCK);
    leaves_late();
    world_quiet(&w);
    told(2, false, "", 0); /* which the controller does not do, unless it knows better */
    world_next(&w, CONTROLLER, TUG_MSG_STEP_FAILED);
    world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    again();
    key.job = 7;
    key.attempt = 1;
    one.key = &key;
    one.left = true;
    held.steps = all;
    held.n_steps = 1;
    world_held(&w, &held);
    world_quiet(&w);
    is_stuck();
    world_skip(&w, TUG_MSG_LN_KILL);
    rejoin(TUGPB__STEP_PHASE__STEP_ENDING);
    world_next(&w, CONTROLLER, TUG_MSG_STEP_STUCK);
    world_next(&w, CONTROLLER, TUG_MSG_LEASE_REQUEST);
    world_quiet(&w);
    world_gone(&w, 7, 1, 0);
    world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    const Tugpb__VsRun *m = is_run(true);
    ck_assert_str_eq(variable(m, "TUG_JOB_STATE"), "REQUEUED");
    ck_assert_str_eq(variable(m, "TUG_JOB_USER"), "ann");
    ck_assert_str_eq(variable(m, "TUG_GPUS"), "0,2");
    world_quiet(&w); /* what they had is held on */
    ends(true, true);
    has_failed(true);
    is_done();
    acked();
    world_end(&w);
}
END_TEST

START_TEST(one_program_of_the_two_will_do)
{
    a_node(&prolog, NULL);
    begins();
    is_run(false);
    ends(false, false);
    is_ready();
    leaves();
    is_done();
    world_end(&w);
    a_node(NULL, &epilog);
    begins();
    is_ready();
    leaves();
    ck_assert_str_eq(variable(is_run(true), "TUG_PROLOG"), "none");
    ends(true, false);
    is_done();
    world_end(&w);
    a_node(NULL, NULL);
    world_launch(&w, EPOCH, 7, 1, true);
    world_next(&w, L, TUG_MSG_LN_START);
    world_end(&w);
}
END_TEST

static void checked(bool failed)
{
    Tugpb__HcDone m = TUGPB__HC_DONE__INIT;
    m.failed = failed;
    m.text = (char *) "fan";
    tug_agent_message(w.agent, TUG_PEER_CHECKER, TUG_MSG_HC_DONE, 0, &m.base);
}

START_TEST(a_health_check_comes_before_the_prolog_and_after_the_epilog)
{
    static const struct tug_agent_check check = {.program = "/sbin/check", .period_s = 10, .timeout_s = 20,
                                                 .when = TUG_CHECK_NEVER, .before_job = true, .after_job = true};
    w = (struct world){.now_ms = 1000000, .boot_id = "000102030405060708090a0b0c0d0e0f", .prolog = &prolog, .epilog = &epilog,
                       .check = &check};
    world_boot(&w);
    world_held(&w, NULL);
    hello();
    world_welcome(&w, EPOCH);
    world_grant(&w, world_next(&w, CONTROLLER, TUG_MSG_LEASE_REQUEST), 0, EPOCH);
    world_next(&w, L, TUG_MSG_LN_LEASE);
    begins();
    world_next(&w, TUG_PEER_CHECKER, TUG_MSG_HC_RUN);
    world_quiet(&w);
    checked(false);
    is_run(false);
    ends(false, false);
    is_ready();
    world_launch(&w, EPOCH, 7, 1, true);
    world_next(&w, L, TUG_MSG_LN_START); /* not checked once more */
    leaves();
    world_gone(&w, 7, 1, 0);
    world_skip(&w, TUG_MSG_STEP_FAILED);
    world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    is_run(true);
    world_to(&w, w.now_ms);
    world_quiet(&w);
    ends(true, false);
    is_done();
    world_to(&w, w.now_ms);
    ck_assert_str_eq(((const Tugpb__HcRun *) world_next(&w, TUG_PEER_CHECKER, TUG_MSG_HC_RUN))->why, "after");
    checked(false);
    acked();
    told(2, false, "", 0);
    world_next(&w, TUG_PEER_CHECKER, TUG_MSG_HC_RUN);
    checked(true);
    const Tugpb__StepFailed *m = world_next(&w, CONTROLLER, TUG_MSG_STEP_FAILED);
    ck_assert_str_eq(m->cause->text, "health check of gpu03: fan");
    world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    ck_assert_uint_eq(tug_agent_visits(w.agent), 0);
    world_quiet(&w);
    world_end(&w);
}
END_TEST

START_TEST(what_is_told_while_the_controller_is_away_is_told_when_it_comes_back)
{
    a_node(&prolog, &epilog);
    begins();
    is_run(false);
    tug_agent_controller_down(w.agent, CONTROLLER);
    ends(false, false);
    world_quiet(&w);
    rejoin(TUGPB__STEP_PHASE__STEP_READY);
    is_ready();
    world_next(&w, CONTROLLER, TUG_MSG_LEASE_REQUEST);
    leaves();
    is_run(true);
    tug_agent_controller_down(w.agent, CONTROLLER);
    ends(true, true);
    world_quiet(&w);
    rejoin(TUGPB__STEP_PHASE__STEP_ENDING);
    has_failed(true);
    is_done();
    world_end(&w);
}
END_TEST

START_TEST(looking_again_at_the_hardware_does_not_make_it_forget_its_programs)
{
    Tugpb__Inventory inv = TUGPB__INVENTORY__INIT;
    inv.cpus = 64;
    inv.gpus = 7;
    a_node(&prolog, &epilog);
    tug_agent_inventory(w.agent, &inv);
    const Tugpb__NodeLooked *m = world_next(&w, CONTROLLER, TUG_MSG_NODE_LOOKED);
    ck_assert_uint_eq(m->inventory->prolog_s, 60);
    ck_assert_uint_eq(m->inventory->epilog_s, 20);
    tug_agent_inventory(w.agent, &inv);
    world_quiet(&w);
    world_end(&w);
}
END_TEST

UNIT_MAIN("logic/agent_visit", a_visit_is_ready_when_its_prolog_has_succeeded_and_is_over_behind_its_epilog,
          nothing_is_started_before_the_prolog_has_succeeded_or_once_the_visit_is_to_end,
          a_prolog_that_fails_is_told_with_its_words_before_the_attempt_fails_and_the_epilog_is_run,
          an_epilog_that_fails_is_told_before_the_visit_is_over_also_after_a_restart,
          the_visit_is_kept_before_its_prolog_runs_and_a_prolog_or_epilog_that_was_cut_short_is_run_again,
          an_attempt_that_is_over_while_its_prolog_runs_has_it_ended_which_is_no_failure_of_the_node,
          a_visit_that_was_never_told_to_begin_is_over_at_once_and_cannot_begin_later,
          the_next_attempt_waits_for_the_epilog_of_the_one_before,
          the_epilog_waits_for_processes_that_outlive_SIGKILL_also_over_a_restart_and_fails_before_the_visit_is_over, one_program_of_the_two_will_do,
          a_health_check_comes_before_the_prolog_and_after_the_epilog,
          what_is_told_while_the_controller_is_away_is_told_when_it_comes_back,
          looking_again_at_the_hardware_does_not_make_it_forget_its_programs)
