/* test_agent_lease.c - leases, kills, reconnects and restarts of a node's agent, to the millisecond */
#include <errno.h>

#include "unit.h"

#include "agent_world.h"

#define L TUG_PEER_LAUNCHER

static struct world w;

static Tugpb__StepKey key_of(uint64_t job)
{
    Tugpb__StepKey key = TUGPB__STEP_KEY__INIT;
    key.job = job;
    key.attempt = 1;
    return key;
}

START_TEST(a_lease_runs_from_when_it_was_asked_for)
{
    world_start(&w);
    tug_agent_controller_up(w.agent, CONTROLLER);
    world_next(&w, CONTROLLER, TUG_MSG_NODE_HELLO);
    world_welcome(&w, 1);
    Tugpb__LeaseRequest asked = *(const Tugpb__LeaseRequest *) world_next(&w, CONTROLLER, TUG_MSG_LEASE_REQUEST);
    ck_assert_int_eq(asked.sent_ms, 1000000);
    world_to(&w, 1003000);
    asked.sent_ms = 1002999;            /* what the controller claims about our clock does not count */
    world_grant(&w, &asked, 300, 1);
    ck_assert_int_eq(tug_agent_lease_until(w.agent), 1000000 + 300000);
    ck_assert_int_eq(((const Tugpb__LnLease *) world_next(&w, L, TUG_MSG_LN_LEASE))->until_ms, 1300000);
    world_grant(&w, &asked, 900, 1);    /* an answer counts once */
    asked.nonce = 12345;
    world_grant(&w, &asked, 900, 1);    /* and one to no question not at all */
    ck_assert_int_eq(tug_agent_lease_until(w.agent), 1300000);
    world_quiet(&w);
    world_end(&w);
}
END_TEST

START_TEST(a_lease_is_asked_for_every_heartbeat)
{
    world_start(&w);
    world_join(&w, 1);
    world_to(&w, 1004999);
    world_quiet(&w);
    world_to(&w, 1005000);
    world_next(&w, CONTROLLER, TUG_MSG_LEASE_REQUEST);
    world_to(&w, 1010000);
    world_next(&w, CONTROLLER, TUG_MSG_LEASE_REQUEST);
    world_quiet(&w);
    world_end(&w);
}
END_TEST

START_TEST(a_late_answer_of_an_older_connection_gives_no_lease)
{
    world_start(&w);
    tug_agent_controller_up(w.agent, CONTROLLER);
    world_next(&w, CONTROLLER, TUG_MSG_NODE_HELLO);
    world_welcome(&w, 1);
    Tugpb__LeaseRequest asked = *(const Tugpb__LeaseRequest *) world_next(&w, CONTROLLER, TUG_MSG_LEASE_REQUEST);
    tug_agent_controller_down(w.agent, CONTROLLER);
    world_join(&w, 1);
    world_grant(&w, &asked, 300, 1);
    ck_assert_int_eq(tug_agent_lease_until(w.agent), 0);
    world_end(&w);
}
END_TEST

START_TEST(a_requeueable_step_waits_for_the_first_lease)
{
    world_start(&w);
    tug_agent_controller_up(w.agent, CONTROLLER);
    world_next(&w, CONTROLLER, TUG_MSG_NODE_HELLO);
    world_welcome(&w, 1);
    Tugpb__LeaseRequest asked = *(const Tugpb__LeaseRequest *) world_next(&w, CONTROLLER, TUG_MSG_LEASE_REQUEST);
    world_launch(&w, 1, 5, 1, true);
    world_launch(&w, 1, 6, 1, false);
    ck_assert_int_eq(((const Tugpb__LnStart *) world_next(&w, L, TUG_MSG_LN_START))->key->job, 6);
    world_quiet(&w);
    world_launch(&w, 1, 7, 1, true);
    world_kill(&w, 1, 7, 1, 30);        /* it never started, so there is nothing to wait for */
    ck_assert_ptr_null(((const Tugpb__StepDone *) world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE))->result->cause);
    world_grant(&w, &asked, 300, 1);
    world_next(&w, L, TUG_MSG_LN_LEASE);
    const Tugpb__LnStart *start = world_next(&w, L, TUG_MSG_LN_START);
    ck_assert_int_eq(start->key->job, 5);
    ck_assert_mem_eq(start->payload.data, "abc", 3);
    world_quiet(&w);
    world_end(&w);
}
END_TEST

START_TEST(an_order_that_waits_for_a_lease_goes_with_its_connection)
{
    world_start(&w);
    tug_agent_controller_up(w.agent, CONTROLLER);
    world_next(&w, CONTROLLER, TUG_MSG_NODE_HELLO);
    world_welcome(&w, 1);
    world_next(&w, CONTROLLER, TUG_MSG_LEASE_REQUEST);
    world_launch(&w, 1, 5, 1, true);
    tug_agent_controller_down(w.agent, CONTROLLER);
    tug_agent_controller_up(w.agent, CONTROLLER);
    const Tugpb__NodeHello *m = world_next(&w, CONTROLLER, TUG_MSG_NODE_HELLO);
    ck_assert_uint_eq(m->n_steps, 0);   /* whoever still wants it gives it again, under its own epoch */
    ck_assert_uint_eq(world_records(&w, "held"), 0);
    world_welcome(&w, 2);
    Tugpb__LeaseRequest asked = *(const Tugpb__LeaseRequest *) world_next(&w, CONTROLLER, TUG_MSG_LEASE_REQUEST);
    world_grant(&w, &asked, 300, 2);
    world_next(&w, L, TUG_MSG_LN_LEASE);
    world_quiet(&w);
    world_launch(&w, 2, 5, 1, true);
    world_next(&w, L, TUG_MSG_LN_START);
    world_end(&w);
}
END_TEST

START_TEST(an_order_before_the_welcome_means_a_new_connection)
{
    world_start(&w);
    tug_agent_controller_up(w.agent, CONTROLLER);
    world_next(&w, CONTROLLER, TUG_MSG_NODE_HELLO);
    world_kill(&w, 1, 5, 1, 30);
    world_next(&w, CONTROLLER, 0);
    world_quiet(&w);
    world_end(&w);
}
END_TEST

START_TEST(when_the_lease_is_over_requeueable_steps_end_and_others_stay)
{
    struct tug_agent_counts c;
    world_start(&w);
    world_join(&w, 1);
    world_lease(&w, 300);               /* asked for at 1005000 */
    world_running(&w, 5, 50, true);
    world_running(&w, 6, 60, false);
    tug_agent_controller_down(w.agent, CONTROLLER);
    world_to(&w, 1304999);
    world_quiet(&w);
    world_to(&w, 1305000);
    const Tugpb__LnKill *kill = world_next(&w, L, TUG_MSG_LN_KILL);
    ck_assert_int_eq(kill->key->job, 5);
    ck_assert_int_eq(kill->signal, 9);
    world_quiet(&w);
    tug_agent_count(w.agent, &c);
    ck_assert_int_eq(c.lease_kills, 1);
    world_gone(&w, 5, 1, 9);
    tug_agent_stepd_down(w.agent, 50);
    tug_agent_controller_up(w.agent, CONTROLLER);
    const Tugpb__NodeHello *hello = world_next(&w, CONTROLLER, TUG_MSG_NODE_HELLO);
    ck_assert_int_eq(hello->n_steps, 2);
    ck_assert_int_eq(hello->steps[0]->phase, TUGPB__STEP_PHASE__STEP_DONE);
    ck_assert_str_eq(hello->steps[0]->result->cause->kind, "node");
    ck_assert_int_eq(hello->steps[1]->phase, TUGPB__STEP_PHASE__STEP_RUNNING);
    world_end(&w);
}
END_TEST

START_TEST(a_process_that_slept_through_its_lease_acts_on_it_first)
{
    world_start(&w);
    world_join(&w, 1);
    world_to(&w, 1005000);
    Tugpb__LeaseRequest asked = *(const Tugpb__LeaseRequest *) world_next(&w, CONTROLLER, TUG_MSG_LEASE_REQUEST);
    world_grant(&w, &asked, 10, 1);
    world_next(&w, L, TUG_MSG_LN_LEASE);
    world_running(&w, 5, 50, true);
    w.now_ms = 1015000;                 /* no timer ran: stopped, and woken by a message */
    world_open(&w, 1, 5, 1);
    world_next(&w, CONTROLLER, TUG_MSG_STEP_FAILED);
    world_next(&w, L, TUG_MSG_LN_KILL);
    world_end(&w);
}
END_TEST

START_TEST(a_lease_of_zero_seconds_never_ends)
{
    world_start(&w);
    world_join(&w, 1);
    world_lease(&w, 0);
    ck_assert_int_eq(tug_agent_lease_until(w.agent), INT64_MAX);
    world_running(&w, 5, 50, true);
    tug_agent_controller_down(w.agent, CONTROLLER);
    world_to(&w, w.now_ms + 40LL * 24 * 3600000);
    world_quiet(&w);
    world_end(&w);
}
END_TEST

START_TEST(a_silent_controller_is_dropped_after_20_s)
{
    world_start(&w);
    world_join(&w, 1);                  /* last heard at 1000000 */
    world_to(&w, 1019999);
    ck_assert_int_eq(world_skip(&w, TUG_MSG_LEASE_REQUEST), 3);
    world_quiet(&w);
    world_to(&w, 1020000);
    world_next(&w, CONTROLLER, 0);
    world_quiet(&w);
    world_end(&w);
}
END_TEST

START_TEST(a_kill_is_passed_on_and_hardens_5_s_after_the_grace)
{
    world_start(&w);
    world_join(&w, 1);
    world_running(&w, 5, 50, false);
    tug_agent_controller_down(w.agent, CONTROLLER);
    world_join(&w, 1);
    world_kill(&w, 1, 5, 1, 30);
    const Tugpb__SdKill *kill = world_next(&w, 50, TUG_MSG_SD_KILL);
    ck_assert_int_eq(kill->grace_s, 30);
    ck_assert_str_eq(kill->why, "cancelled by ada");
    tug_agent_controller_down(w.agent, CONTROLLER);
    world_to(&w, 1034999);
    world_quiet(&w);
    world_to(&w, 1035000);
    ck_assert_int_eq(((const Tugpb__LnKill *) world_next(&w, L, TUG_MSG_LN_KILL))->key->job, 5);
    world_to(&w, 1040000);
    world_next(&w, L, TUG_MSG_LN_KILL); /* until it is gone */
    world_gone(&w, 5, 1, 9);
    tug_agent_stepd_down(w.agent, 50);
    world_to(&w, 1100000);
    world_quiet(&w);
    tug_agent_controller_up(w.agent, CONTROLLER);
    const Tugpb__NodeHello *hello = world_next(&w, CONTROLLER, TUG_MSG_NODE_HELLO);
    ck_assert_str_eq(hello->steps[0]->result->cause->text,
                     "step daemon on gpu03 did not end the step within 35 s and was killed");
    world_end(&w);
}
END_TEST

START_TEST(a_step_without_its_daemon_yet_is_killed_at_once)
{
    world_start(&w);
    world_join(&w, 1);
    world_launch(&w, 1, 5, 1, false);
    world_next(&w, L, TUG_MSG_LN_START);
    world_kill(&w, 1, 5, 1, 30);
    world_next(&w, L, TUG_MSG_LN_KILL);
    world_started(&w, 5, 1, 50, 1000);
    world_gone(&w, 5, 1, 9);
    ck_assert_ptr_null(((const Tugpb__StepDone *) world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE))->result->cause);
    world_quiet(&w);
    world_end(&w);
}
END_TEST

START_TEST(a_kill_waits_for_a_daemon_that_is_connecting_again)
{
    world_start(&w);
    world_join(&w, 1);
    world_running(&w, 5, 50, false);
    tug_agent_stepd_down(w.agent, 50);
    world_kill(&w, 1, 5, 1, 3);
    world_quiet(&w);
    world_stepd(&w, 51, 5, 1, 50, 1000, TUGPB__STEP_PHASE__STEP_RUNNING);
    ck_assert_int_eq(((const Tugpb__SdKill *) world_next(&w, 51, TUG_MSG_SD_KILL))->grace_s, 3);
    world_end(&w);
}
END_TEST

START_TEST(a_second_kill_can_only_shorten_the_wait)
{
    world_start(&w);
    world_join(&w, 1);
    world_running(&w, 5, 50, false);
    tug_agent_controller_down(w.agent, CONTROLLER);
    world_join(&w, 1);
    world_kill(&w, 1, 5, 1, 30);
    world_next(&w, 50, TUG_MSG_SD_KILL);
    world_kill(&w, 1, 5, 1, 0);
    ck_assert_int_eq(((const Tugpb__SdKill *) world_next(&w, 50, TUG_MSG_SD_KILL))->grace_s, 0);
    world_kill(&w, 1, 5, 1, 60);
    world_next(&w, 50, TUG_MSG_SD_KILL);
    world_to(&w, 1005000);
    world_skip(&w, TUG_MSG_LEASE_REQUEST);
    world_next(&w, L, TUG_MSG_LN_KILL);
    world_end(&w);
}
END_TEST

START_TEST(steps_that_the_controller_does_not_know_are_ended_and_forgotten)
{
    world_start(&w);
    world_join(&w, 1);
    world_running(&w, 5, 50, false);
    world_running(&w, 6, 60, false);
    world_gone(&w, 6, 1, 9);
    tug_agent_stepd_down(w.agent, 60);
    world_next(&w, CONTROLLER, TUG_MSG_STEP_FAILED);
    world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    tug_agent_controller_down(w.agent, CONTROLLER);
    tug_agent_controller_up(w.agent, CONTROLLER);
    world_next(&w, CONTROLLER, TUG_MSG_NODE_HELLO);
    Tugpb__StepKey five = key_of(5), six = key_of(6), seven = key_of(7);
    Tugpb__StepKey *unknown[] = {&five, &six, &seven};
    Tugpb__NodeWelcome m = TUGPB__NODE_WELCOME__INIT;
    m.epoch = 2;
    m.n_unknown = 3;
    m.unknown = unknown;
    tug_agent_message(w.agent, CONTROLLER, TUG_MSG_NODE_WELCOME, 0, &m.base);
    ck_assert_int_eq(((const Tugpb__LnKill *) world_next(&w, L, TUG_MSG_LN_KILL))->key->job, 5);
    world_next(&w, CONTROLLER, TUG_MSG_LEASE_REQUEST);
    world_quiet(&w);
    world_gone(&w, 5, 1, 9);
    world_next(&w, 50, 0);
    world_quiet(&w);
    ck_assert_int_eq(tug_agent_steps(w.agent), 0);
    ck_assert_int_eq(world_records(&w, "held"), 0);
    world_end(&w);
}
END_TEST

START_TEST(a_result_is_said_again_at_every_reconnect_until_acknowledged)
{
    world_start(&w);
    world_join(&w, 1);
    world_running(&w, 5, 50, false);
    tug_agent_controller_down(w.agent, CONTROLLER);
    world_result(&w, 50, 3);
    world_gone(&w, 5, 1, 0);
    world_next(&w, 50, TUG_MSG_SD_RESULT_ACK);
    world_next(&w, 50, 0);
    world_quiet(&w);
    for (int i = 0; i < 2; i++) {
        tug_agent_controller_up(w.agent, CONTROLLER);
        const Tugpb__NodeHello *hello = world_next(&w, CONTROLLER, TUG_MSG_NODE_HELLO);
        ck_assert_int_eq(hello->steps[0]->result->exits[1]->exit_code, 3);
        world_welcome(&w, 1);
        world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
        world_next(&w, CONTROLLER, TUG_MSG_LEASE_REQUEST);
        tug_agent_controller_down(w.agent, CONTROLLER);
    }
    world_crash(&w);
    world_boot(&w);
    world_held(&w, NULL);
    tug_agent_controller_up(w.agent, CONTROLLER);
    const Tugpb__NodeHello *hello = world_next(&w, CONTROLLER, TUG_MSG_NODE_HELLO);
    ck_assert_int_eq(hello->steps[0]->result->exits[1]->exit_code, 3);
    world_welcome(&w, 1);
    world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    world_next(&w, CONTROLLER, TUG_MSG_LEASE_REQUEST);
    world_ack(&w, 1, 5, 1);
    world_crash(&w);
    world_boot(&w);
    world_held(&w, NULL);
    tug_agent_controller_up(w.agent, CONTROLLER);
    ck_assert_int_eq(((const Tugpb__NodeHello *) world_next(&w, CONTROLLER, TUG_MSG_NODE_HELLO))->n_steps, 0);
    world_end(&w);
}
END_TEST

START_TEST(what_happened_between_hello_and_welcome_is_said_after_it)
{
    world_start(&w);
    world_join(&w, 1);
    world_launch(&w, 1, 5, 1, false);
    world_next(&w, L, TUG_MSG_LN_START);
    world_started(&w, 5, 1, 50, 1000);
    tug_agent_controller_down(w.agent, CONTROLLER);
    tug_agent_controller_up(w.agent, CONTROLLER);
    world_next(&w, CONTROLLER, TUG_MSG_NODE_HELLO);
    world_stepd(&w, 50, 5, 1, 50, 1000, TUGPB__STEP_PHASE__STEP_STARTING);
    world_ready(&w, 50);
    world_quiet(&w);
    world_welcome(&w, 1);
    world_next(&w, CONTROLLER, TUG_MSG_STEP_READY);
    world_next(&w, CONTROLLER, TUG_MSG_LEASE_REQUEST);
    world_end(&w);
}
END_TEST

static Tugpb__LnStarted held_step(Tugpb__StepKey *key, uint32_t pid)
{
    Tugpb__LnStarted s = TUGPB__LN_STARTED__INIT;
    s.key = key;
    s.pid = pid;
    s.uid = 1000;
    return s;
}

START_TEST(a_restarted_agent_adopts_what_still_runs)
{
    world_start(&w);
    world_join(&w, 4);
    world_lease(&w, 300);
    int64_t until = tug_agent_lease_until(w.agent);
    world_running(&w, 5, 50, true);
    world_crash(&w);
    w.now_ms += 2000;
    world_boot(&w);
    world_stepd(&w, 51, 5, 1, 50, 1000, TUGPB__STEP_PHASE__STEP_RUNNING);
    world_quiet(&w);
    Tugpb__StepKey five = key_of(5);
    Tugpb__LnStarted still = held_step(&five, 50);
    Tugpb__LnStarted *list[] = {&still};
    Tugpb__LnHeld held = TUGPB__LN_HELD__INIT;
    held.n_steps = 1;
    held.steps = list;
    held.lease_until_ms = until;
    world_held(&w, &held);
    tug_agent_controller_up(w.agent, CONTROLLER);
    const Tugpb__NodeHello *hello = world_next(&w, CONTROLLER, TUG_MSG_NODE_HELLO);
    ck_assert_int_eq(hello->max_epoch, 4);
    ck_assert_int_eq(hello->n_steps, 1);
    ck_assert_int_eq(hello->steps[0]->phase, TUGPB__STEP_PHASE__STEP_RUNNING);
    world_welcome(&w, 4);
    world_next(&w, CONTROLLER, TUG_MSG_LEASE_REQUEST);
    world_quiet(&w);
    struct tug_agent_step s;
    tug_agent_step(w.agent, 0, &s);
    ck_assert(s.connected && s.requeueable && s.pid == 50);
    world_result(&w, 51, 0);
    world_next(&w, 51, TUG_MSG_SD_RESULT_ACK);
    tug_agent_stepd_down(w.agent, 51);
    world_gone(&w, 5, 1, 0);
    world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    world_end(&w);
}
END_TEST

START_TEST(a_start_that_was_kept_but_never_said_is_said_by_the_next_life)
{
    world_start(&w);
    world_join(&w, 4);
    world_running(&w, 5, 50, false);
    world_crash(&w);                    /* RUNNING is in the records, the word was still in our buffers */
    world_boot(&w);
    Tugpb__StepKey five = key_of(5);
    Tugpb__LnStarted still = held_step(&five, 50);
    Tugpb__LnStarted *list[] = {&still};
    Tugpb__LnHeld held = TUGPB__LN_HELD__INIT;
    held.n_steps = 1;
    held.steps = list;
    world_held(&w, &held);
    world_join(&w, 4);
    world_stepd(&w, 51, 5, 1, 50, 1000, TUGPB__STEP_PHASE__STEP_READY);
    world_next(&w, CONTROLLER, TUG_MSG_STEP_READY);
    world_open(&w, 4, 5, 1);
    world_next(&w, 51, TUG_MSG_SD_START);
    world_quiet(&w);
    world_end(&w);
}
END_TEST

START_TEST(a_restarted_agent_keeps_the_old_lease_and_no_more)
{
    world_start(&w);
    world_join(&w, 4);
    world_lease(&w, 300);
    int64_t until = tug_agent_lease_until(w.agent);
    world_running(&w, 5, 50, true);
    world_crash(&w);
    world_boot(&w);
    Tugpb__StepKey five = key_of(5);
    Tugpb__LnStarted still = held_step(&five, 50);
    Tugpb__LnStarted *list[] = {&still};
    Tugpb__LnHeld held = TUGPB__LN_HELD__INIT;
    held.n_steps = 1;
    held.steps = list;
    held.lease_until_ms = until;
    world_held(&w, &held);
    world_to(&w, until - 1);
    world_quiet(&w);
    world_to(&w, until);
    world_next(&w, L, TUG_MSG_LN_KILL);
    world_end(&w);
}
END_TEST

START_TEST(what_a_restarted_agent_does_not_find_is_reported_as_lost)
{
    world_start(&w);
    world_join(&w, 4);
    world_running(&w, 5, 50, false);
    world_crash(&w);
    world_boot(&w);
    world_gone(&w, 6, 1, 0);            /* started by the agent before, its record not yet written */
    world_held(&w, NULL);
    tug_agent_controller_up(w.agent, CONTROLLER);
    const Tugpb__NodeHello *hello = world_next(&w, CONTROLLER, TUG_MSG_NODE_HELLO);
    ck_assert_int_eq(hello->n_steps, 2);
    ck_assert_str_eq(hello->steps[0]->result->cause->text,
                     "step daemon on gpu03 ended while the node daemon was away; how was not seen");
    ck_assert_str_eq(hello->steps[0]->result->cause->kind, "node");
    ck_assert_str_eq(hello->steps[1]->result->cause->text,
                     "step daemon on gpu03 ended with exit code 0 before it reported a result");
    world_crash(&w);
    world_boot(&w);
    world_held(&w, NULL);
    ck_assert_int_eq(tug_agent_steps(w.agent), 2);
    world_end(&w);
}
END_TEST

/* Its daemon was away when the launcher ended it: the node's failure, and not the step daemon's. */
START_TEST(a_step_that_the_launcher_ended_at_the_end_of_the_lease_was_lost_with_the_node)
{
    Tugpb__StepKey key = key_of(5);
    Tugpb__LnGone gone = TUGPB__LN_GONE__INIT;
    gone.key = &key;
    gone.wait_status = 9;
    gone.lease = 1;
    world_start(&w);
    world_join(&w, 4);
    world_running(&w, 5, 50, false);   /* which jobs it may end is the launcher's affair */
    world_crash(&w);
    world_boot(&w);
    tug_agent_message(w.agent, L, TUG_MSG_LN_GONE, 0, &gone.base);
    world_held(&w, NULL);
    tug_agent_controller_up(w.agent, CONTROLLER);
    const Tugpb__NodeHello *hello = world_next(&w, CONTROLLER, TUG_MSG_NODE_HELLO);
    ck_assert_int_eq(hello->n_steps, 1);
    ck_assert_str_eq(hello->steps[0]->result->cause->kind, "node");
    ck_assert_str_eq(hello->steps[0]->result->cause->text,
                     "the launcher of gpu03 ended the step, as the lease of the node was over");
    world_end(&w);
}
END_TEST

START_TEST(a_new_boot_ends_what_ran_in_the_old_one)
{
    world_start(&w);
    world_join(&w, 4);
    world_running(&w, 5, 50, false);
    world_crash(&w);
    w.boot_id = "ffffffffffffffffffffffffffffffff";
    world_boot(&w);
    world_held(&w, NULL);
    tug_agent_controller_up(w.agent, CONTROLLER);
    const Tugpb__NodeHello *hello = world_next(&w, CONTROLLER, TUG_MSG_NODE_HELLO);
    ck_assert_str_eq(hello->steps[0]->result->cause->kind, "node");
    ck_assert_str_eq(hello->steps[0]->result->cause->text, "gpu03 was started anew while the step ran");
    world_end(&w);
}
END_TEST

START_TEST(epoch_and_tombstones_survive_a_restart)
{
    world_start(&w);
    world_join(&w, 9);
    world_kill(&w, 9, 5, 3, 0);
    world_crash(&w);
    world_boot(&w);
    world_held(&w, NULL);
    ck_assert_int_eq(tug_agent_epoch(w.agent), 9);
    world_join(&w, 9);
    world_launch(&w, 9, 5, 3, false);
    world_next(&w, CONTROLLER, TUG_MSG_STEP_FAILED);
    world_end(&w);
}
END_TEST

START_TEST(a_record_that_cannot_be_read_is_named)
{
    struct tug_err err = {0};
    world_start(&w);
    unit_fails(tug_agent_restore(w.agent, "held", "7.1.0", "\xff\xff", 2, &err), -EPROTO, err, "held/7.1.0");
    unit_fails(tug_agent_restore(w.agent, "tomb", "x", "", 0, &err), -EPROTO, err, "tomb/x");
    ck_assert_int_eq(tug_agent_restore(w.agent, "meta", "x", "?", 1, &err), 0);
    world_end(&w);
}
END_TEST

UNIT_MAIN("logic/agent_lease", a_lease_runs_from_when_it_was_asked_for, a_lease_is_asked_for_every_heartbeat,
          a_late_answer_of_an_older_connection_gives_no_lease, a_requeueable_step_waits_for_the_first_lease,
          an_order_that_waits_for_a_lease_goes_with_its_connection, an_order_before_the_welcome_means_a_new_connection,
          when_the_lease_is_over_requeueable_steps_end_and_others_stay,
          a_process_that_slept_through_its_lease_acts_on_it_first, a_lease_of_zero_seconds_never_ends,
          a_silent_controller_is_dropped_after_20_s, a_kill_is_passed_on_and_hardens_5_s_after_the_grace,
          a_step_without_its_daemon_yet_is_killed_at_once, a_kill_waits_for_a_daemon_that_is_connecting_again,
          a_second_kill_can_only_shorten_the_wait, steps_that_the_controller_does_not_know_are_ended_and_forgotten,
          a_result_is_said_again_at_every_reconnect_until_acknowledged,
          what_happened_between_hello_and_welcome_is_said_after_it, a_restarted_agent_adopts_what_still_runs,
          a_start_that_was_kept_but_never_said_is_said_by_the_next_life,
          a_restarted_agent_keeps_the_old_lease_and_no_more, what_a_restarted_agent_does_not_find_is_reported_as_lost,
          a_step_that_the_launcher_ended_at_the_end_of_the_lease_was_lost_with_the_node,
          a_new_boot_ends_what_ran_in_the_old_one, epoch_and_tombstones_survive_a_restart,
          a_record_that_cannot_be_read_is_named)
