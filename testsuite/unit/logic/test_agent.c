/* test_agent.c - the life of a step on a node: orders up to the result, and who is believed */
#include "unit.h"

#include <signal.h>

#include "agent_world.h"

#define L TUG_PEER_LAUNCHER

static struct world w;

static Tugpb__StepPhase phase_of(size_t i)
{
    struct tug_agent_step s;
    tug_agent_step(w.agent, i, &s);
    return s.phase;
}

START_TEST(hello_waits_for_the_launchers_list)
{
    w = (struct world){.now_ms = 1000, .boot_id = "00"};
    world_boot(&w);
    tug_agent_controller_up(w.agent, CONTROLLER);
    world_quiet(&w);
    world_held(&w, NULL);
    const Tugpb__NodeHello *m = world_next(&w, CONTROLLER, TUG_MSG_NODE_HELLO);
    ck_assert_str_eq(m->node, "gpu03");
    ck_assert_str_eq(m->boot_id, "00");
    ck_assert_int_eq(m->inventory->gpus, 8);
    ck_assert_str_eq(m->address, "10.0.0.3");
    ck_assert_int_eq(m->protocol, 1);
    ck_assert_int_eq(m->n_steps, 0);
    world_end(&w);
}
END_TEST

START_TEST(what_the_node_finds_out_later_is_told_once_and_in_the_next_hello)
{
    Tugpb__Inventory inv = TUGPB__INVENTORY__INIT;
    world_start(&w);
    world_join(&w, 3);
    inv.gpus = 8;
    inv.gpus_lost = 2;
    tug_agent_inventory(w.agent, &inv);
    ck_assert_uint_eq(((const Tugpb__NodeLooked *) world_next(&w, CONTROLLER, TUG_MSG_NODE_LOOKED))->inventory->gpus_lost, 2);
    tug_agent_inventory(w.agent, &inv);
    world_quiet(&w);
    tug_agent_controller_down(w.agent, CONTROLLER);
    inv.gpus_lost = 6;
    tug_agent_inventory(w.agent, &inv);
    world_quiet(&w);
    tug_agent_controller_up(w.agent, CONTROLLER);
    ck_assert_uint_eq(((const Tugpb__NodeHello *) world_next(&w, CONTROLLER, TUG_MSG_NODE_HELLO))->inventory->gpus_lost, 6);
    world_quiet(&w);
    world_end(&w);
}
END_TEST

START_TEST(a_step_goes_from_order_to_acknowledged_result)
{
    world_start(&w);
    world_join(&w, 3);
    world_launch(&w, 3, 71, 1, false);
    const Tugpb__LnStart *start = world_next(&w, L, TUG_MSG_LN_START);
    ck_assert_int_eq(start->key->job, 71);
    ck_assert_int_eq(start->order.len, 1024);
    ck_assert_mem_eq(start->payload.data, "abc", 3);
    world_started(&w, 71, 1, 500, 1000);
    world_stepd(&w, 20, 71, 1, 500, 1000, TUGPB__STEP_PHASE__STEP_STARTING);
    world_quiet(&w);
    world_ready(&w, 20);
    const Tugpb__StepReady *ready = world_next(&w, CONTROLLER, TUG_MSG_STEP_READY);
    ck_assert_int_eq(ready->key->job, 71);
    ck_assert_int_eq(ready->stepd_pid, 500);
    ck_assert_str_eq(ready->star_addr, "10.0.0.3:4000");
    world_open(&w, 3, 71, 1);
    const Tugpb__SdStart *go = world_next(&w, 20, TUG_MSG_SD_START);
    ck_assert_str_eq(go->master_addr, "10.0.0.1");
    ck_assert_int_eq(phase_of(0), TUGPB__STEP_PHASE__STEP_RUNNING);

    Tugpb__SdWired wired = TUGPB__SD_WIRED__INIT;
    wired.at_ms = 1000100;
    tug_agent_message(w.agent, 20, TUG_MSG_SD_WIRED, 0, &wired.base);
    ck_assert_int_eq(((const Tugpb__StepWired *) world_next(&w, CONTROLLER, TUG_MSG_STEP_WIRED))->at_ms, 1000100);

    Tugpb__SdWatch watch = TUGPB__SD_WATCH__INIT;
    Tugpb__Hang hang = TUGPB__HANG__INIT;
    hang.kind = "stopped";
    hang.text = "rank 1 on node n is stopped";
    watch.hang = &hang;
    tug_agent_message(w.agent, 20, TUG_MSG_SD_WATCH, 0, &watch.base);
    const Tugpb__StepWatch *who = world_next(&w, CONTROLLER, TUG_MSG_STEP_WATCH);
    ck_assert_int_eq(who->key->job, 71);
    ck_assert_str_eq(who->hang->text, "rank 1 on node n is stopped");

    world_result(&w, 20, 4);
    world_next(&w, 20, TUG_MSG_SD_RESULT_ACK);
    world_quiet(&w);                    /* something may still be left: no word of an end */
    tug_agent_stepd_down(w.agent, 20);
    world_gone(&w, 71, 1, 0);
    const Tugpb__StepDone *done = world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    ck_assert_int_eq(done->result->key->job, 71);
    ck_assert_int_eq(done->result->n_exits, 2);
    ck_assert_int_eq(done->result->exits[1]->exit_code, 4);
    ck_assert_int_eq(done->result->cpu_us, 1500000);
    ck_assert_int_eq(done->result->wired_ms, 1000100);
    ck_assert_ptr_null(done->result->cause);
    ck_assert_int_eq(world_records(&w, "held"), 1);
    world_ack(&w, 3, 71, 1);
    world_quiet(&w);
    ck_assert_int_eq(tug_agent_steps(w.agent), 0);
    ck_assert_int_eq(world_records(&w, "held"), 0);
    ck_assert_int_eq(tug_agent_tomb(w.agent, 71), 1);
    world_end(&w);
}
END_TEST

/* Rank 0 of job 71 has failed here, so the step daemon said; and the kernel killed somebody of it for memory, so the launcher says. */
static const Tugpb__StepResult *out_of_memory(const char *node, uint64_t mem_max)
{
    Tugpb__SdFailure failure = TUGPB__SD_FAILURE__INIT;
    Tugpb__Cause cause = TUGPB__CAUSE__INIT;
    Tugpb__ExitInfo exit = TUGPB__EXIT_INFO__INIT;
    Tugpb__StepKey key = TUGPB__STEP_KEY__INIT;
    Tugpb__LnGone gone = TUGPB__LN_GONE__INIT;
    Tugpb__JobUse use = TUGPB__JOB_USE__INIT;
    world_start(&w);
    world_join(&w, 3);
    world_running(&w, 71, 20, false);
    exit.exit_code = 4;                 /* a rank whose helper was killed */
    cause.kind = "rank";
    cause.node = (char *) (uintptr_t) node;
    cause.text = "rank 0 exited with code 4";
    cause.exit = &exit;
    failure.cause = &cause;
    tug_agent_message(w.agent, 20, TUG_MSG_SD_FAILURE, 0, &failure.base);
    world_next(&w, CONTROLLER, TUG_MSG_STEP_FAILED);
    world_result(&w, 20, 4);
    world_next(&w, 20, TUG_MSG_SD_RESULT_ACK);
    tug_agent_stepd_down(w.agent, 20);
    key.job = 71;
    key.attempt = 1;
    use.mem_max = mem_max;
    use.oom_kills = 1;
    gone.key = &key;
    gone.oom = true;
    gone.use = &use;
    tug_agent_message(w.agent, L, TUG_MSG_LN_GONE, 0, &gone.base);
    return ((const Tugpb__StepDone *) world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE))->result;
}

START_TEST(a_rank_that_failed_where_the_kernel_killed_for_memory_is_told_with_the_limit_and_the_way_out)
{
    const Tugpb__StepResult *r = out_of_memory("gpu03", UINT64_C(4) << 30);
    ck_assert(r->exits[1]->oom && !r->exits[0]->oom);
    ck_assert(r->cause->exit->oom);
    ck_assert_str_eq(r->cause->text, "rank 0 exited with code 4, out of memory: the job may use 4G on gpu03 and wanted more; "
                                     "ask for more with --mem");
    ck_assert_uint_eq(r->use->oom_kills, 1);
    world_end(&w);
    r = out_of_memory("gpu03", 0);
    ck_assert_str_eq(r->cause->text, "rank 0 exited with code 4, out of memory: gpu03 had no more for its jobs, and this one asked for "
                                     "none; ask with --mem");
    world_end(&w);
    r = out_of_memory("gpu04", UINT64_C(4) << 30); /* another node's failure has its own reason */
    ck_assert(r->exits[1]->oom && !r->cause->exit->oom);
    ck_assert_str_eq(r->cause->text, "rank 0 exited with code 4");
    world_end(&w);
}
END_TEST

static void say_stuck(uint64_t job, uint32_t pid, const char *wchan)
{
    Tugpb__StepKey key = TUGPB__STEP_KEY__INIT;
    Tugpb__StuckProcess p = TUGPB__STUCK_PROCESS__INIT, *all[] = {&p};
    Tugpb__LnStuck m = TUGPB__LN_STUCK__INIT;
    key.job = job;
    key.attempt = 1;
    p.pid = pid;
    p.wchan = (char *) (uintptr_t) wchan;
    m.key = &key;
    m.processes = all;
    m.n_processes = m.n = 1;
    m.wait_status = SIGKILL;
    tug_agent_message(w.agent, L, TUG_MSG_LN_STUCK, 0, &m.base);
}

START_TEST(what_outlives_SIGKILL_is_told_with_the_result_and_is_no_end)
{
    world_start(&w);
    world_join(&w, 3);
    world_running(&w, 71, 20, false);
    world_result(&w, 20, 4);
    world_next(&w, 20, TUG_MSG_SD_RESULT_ACK);
    tug_agent_stepd_down(w.agent, 20);
    say_stuck(71, 4711, "rpc_wait_bit_killable");
    const Tugpb__StepStuck *m = world_next(&w, CONTROLLER, TUG_MSG_STEP_STUCK);
    ck_assert_uint_eq(m->processes[0]->pid, 4711);
    ck_assert_int_eq(m->result->exits[1]->exit_code, 4);
    say_stuck(71, 4711, "rpc_wait_bit_killable");
    world_quiet(&w);
    say_stuck(71, 4711, "nfs_wait");
    ck_assert_str_eq(((const Tugpb__StepStuck *) world_next(&w, CONTROLLER, TUG_MSG_STEP_STUCK))->processes[0]->wchan, "nfs_wait");
    world_launch(&w, tug_agent_epoch(w.agent), 71, 2, false); /* it runs no more: the next attempt may come */
    world_next(&w, L, TUG_MSG_LN_START);
    ck_assert_int_eq(phase_of(0), TUGPB__STEP_PHASE__STEP_ENDING);
    world_gone(&w, 71, 1, 0);
    ck_assert_int_eq(((const Tugpb__StepDone *) world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE))->result->exits[1]->exit_code, 4);
    world_end(&w);
}
END_TEST

START_TEST(what_outlives_SIGKILL_is_told_again_by_the_next_node_daemon_and_to_the_next_controller)
{
    Tugpb__LnHeld held = TUGPB__LN_HELD__INIT;
    Tugpb__LnStarted one = TUGPB__LN_STARTED__INIT, *all[] = {&one};
    Tugpb__StepKey key = TUGPB__STEP_KEY__INIT;
    world_start(&w);
    world_join(&w, 3);
    world_running(&w, 71, 20, false);
    tug_agent_stepd_down(w.agent, 20);
    say_stuck(71, 4711, "nfs_wait");
    world_next(&w, CONTROLLER, TUG_MSG_STEP_FAILED);
    const Tugpb__StepStuck *m = world_next(&w, CONTROLLER, TUG_MSG_STEP_STUCK);
    ck_assert_str_eq(m->result->cause->kind, "stepd");
    world_crash(&w);
    world_boot(&w);
    key.job = 71;
    key.attempt = 1;
    one.key = &key;
    one.left = true; /* and no pid: another launcher found it */
    held.steps = all;
    held.n_steps = 1;
    world_held(&w, &held);
    tug_agent_controller_up(w.agent, CONTROLLER);
    const Tugpb__NodeHello *hello = world_next(&w, CONTROLLER, TUG_MSG_NODE_HELLO);
    ck_assert_int_eq(hello->steps[0]->phase, TUGPB__STEP_PHASE__STEP_ENDING);
    say_stuck(71, 4711, "nfs_wait");
    world_welcome(&w, 40);
    ck_assert_uint_eq(((const Tugpb__StepStuck *) world_next(&w, CONTROLLER, TUG_MSG_STEP_STUCK))->result->key->job, 71);
    world_end(&w);
}
END_TEST

START_TEST(a_repeated_launch_is_answered_with_where_the_step_stands)
{
    world_start(&w);
    world_join(&w, 1);
    world_launch(&w, 1, 5, 1, false);
    world_next(&w, L, TUG_MSG_LN_START);
    world_launch(&w, 1, 5, 1, false);
    world_quiet(&w);                    /* starting: nothing to say yet, and nothing is started twice */
    world_started(&w, 5, 1, 50, 1000);
    world_stepd(&w, 50, 5, 1, 50, 1000, TUGPB__STEP_PHASE__STEP_STARTING);
    world_ready(&w, 50);
    world_next(&w, CONTROLLER, TUG_MSG_STEP_READY);
    world_launch(&w, 1, 5, 1, false);
    world_next(&w, CONTROLLER, TUG_MSG_STEP_READY);
    world_gone(&w, 5, 1, 9);
    tug_agent_stepd_down(w.agent, 50);
    world_next(&w, CONTROLLER, TUG_MSG_STEP_FAILED);
    world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    world_launch(&w, 1, 5, 1, false);
    world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    world_quiet(&w);
    world_end(&w);
}
END_TEST

START_TEST(what_ended_here_is_not_started_again)
{
    world_start(&w);
    world_join(&w, 1);
    world_running(&w, 5, 50, false);
    world_result(&w, 50, 0);
    world_gone(&w, 5, 1, 0);
    world_next(&w, 50, TUG_MSG_SD_RESULT_ACK);
    world_next(&w, 50, 0);
    world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    world_ack(&w, 1, 5, 1);
    world_launch(&w, 1, 5, 1, false);
    const Tugpb__StepFailed *failed = world_next(&w, CONTROLLER, TUG_MSG_STEP_FAILED);
    ck_assert_str_eq(failed->cause->kind, "launch");
    ck_assert_str_eq(failed->cause->text, "attempt 1 step 0 of job 5 has ended on gpu03 and is not started again");
    world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    world_quiet(&w);
    struct tug_agent_counts c;
    tug_agent_count(w.agent, &c);
    ck_assert_int_eq(c.refused_launches, 1);
    world_launch(&w, 1, 5, 2, false);   /* the next attempt may */
    world_next(&w, L, TUG_MSG_LN_START);
    world_end(&w);
}
END_TEST

START_TEST(a_kill_that_overtakes_its_launch_keeps_it_from_starting)
{
    world_start(&w);
    world_join(&w, 1);
    world_kill(&w, 1, 5, 3, 30);
    const Tugpb__StepDone *done = world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    ck_assert_int_eq(done->result->key->attempt, 3);
    ck_assert_int_eq(done->result->n_exits, 0);
    world_launch(&w, 1, 5, 3, false);
    world_next(&w, CONTROLLER, TUG_MSG_STEP_FAILED);
    world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    world_launch(&w, 1, 5, 2, false);   /* lower attempts just as little */
    world_next(&w, CONTROLLER, TUG_MSG_STEP_FAILED);
    world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    world_quiet(&w);
    world_end(&w);
}
END_TEST

START_TEST(a_tombstone_lasts_24_hours_to_the_millisecond)
{
    world_start(&w);
    world_join(&w, 1);
    world_kill(&w, 1, 5, 3, 30);
    tug_agent_controller_down(w.agent, CONTROLLER);
    world_to(&w, 1000000 + 24 * 3600000LL - 1);
    ck_assert_int_eq(tug_agent_tomb(w.agent, 5), 3);
    ck_assert_int_eq(world_records(&w, "tomb"), 1);
    world_to(&w, 1000000 + 24 * 3600000LL);
    ck_assert_int_eq(tug_agent_tomb(w.agent, 5), 0);
    ck_assert_int_eq(world_records(&w, "tomb"), 0);
    world_end(&w);
}
END_TEST

START_TEST(a_newer_attempt_waits_until_the_older_is_gone)
{
    world_start(&w);
    world_join(&w, 1);
    world_running(&w, 5, 50, false);
    world_launch(&w, 1, 5, 2, false);
    const Tugpb__StepFailed *failed = world_next(&w, CONTROLLER, TUG_MSG_STEP_FAILED);
    ck_assert_ptr_nonnull(strstr(failed->cause->text, "attempt 1 of job 5 is still on gpu03"));
    world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    world_end(&w);
}
END_TEST

START_TEST(orders_of_a_lower_epoch_are_ignored)
{
    struct tug_agent_counts c;
    world_start(&w);
    world_join(&w, 9);
    world_running(&w, 5, 50, false);
    world_launch(&w, 8, 6, 1, false);
    world_kill(&w, 8, 5, 1, 0);
    world_ack(&w, 8, 5, 1);
    world_quiet(&w);
    tug_agent_count(w.agent, &c);
    ck_assert_int_eq(c.stale_orders, 3);
    ck_assert_str_eq(w.log, "acknowledgement of epoch 8 ignored: epoch 9 has been seen");
    ck_assert_int_eq(phase_of(0), TUGPB__STEP_PHASE__STEP_RUNNING);
    world_end(&w);
}
END_TEST

START_TEST(a_controller_of_a_lower_epoch_is_hung_up_on)
{
    world_start(&w);
    world_join(&w, 9);
    tug_agent_controller_down(w.agent, CONTROLLER);
    tug_agent_controller_up(w.agent, CONTROLLER);
    ck_assert_int_eq(((const Tugpb__NodeHello *) world_next(&w, CONTROLLER, TUG_MSG_NODE_HELLO))->max_epoch, 9);
    world_welcome(&w, 8);
    const Tugpb__NodeBye *bye = world_next(&w, CONTROLLER, TUG_MSG_NODE_BYE);
    ck_assert_str_eq(bye->reason, "this node has obeyed epoch 9; yours is 8");
    world_next(&w, CONTROLLER, 0);
    world_launch(&w, 9, 5, 1, false);   /* whatever else it had sent */
    world_quiet(&w);
    world_end(&w);
}
END_TEST

START_TEST(nothing_that_an_epoch_brings_about_leaves_before_the_epoch_is_kept)
{
    world_start(&w);
    tug_agent_controller_up(w.agent, CONTROLLER);
    world_next(&w, CONTROLLER, TUG_MSG_NODE_HELLO);
    w.slow_disk = true;
    world_welcome(&w, 4);
    world_launch(&w, 4, 5, 1, false);
    world_quiet(&w);
    world_sync(&w);
    world_next(&w, CONTROLLER, TUG_MSG_LEASE_REQUEST);
    world_next(&w, L, TUG_MSG_LN_START);
    world_quiet(&w);
    world_end(&w);
}
END_TEST

START_TEST(a_result_is_kept_before_anybody_hears_of_it)
{
    world_start(&w);
    world_join(&w, 1);
    world_running(&w, 5, 50, false);
    w.slow_disk = true;
    world_result(&w, 50, 0);
    world_quiet(&w);
    world_sync(&w);
    world_next(&w, 50, TUG_MSG_SD_RESULT_ACK);
    tug_agent_stepd_down(w.agent, 50);
    world_gone(&w, 5, 1, 0);
    world_quiet(&w);
    world_sync(&w);
    world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    world_end(&w);
}
END_TEST

START_TEST(a_hello_of_another_pid_or_uid_is_hung_up_on)
{
    struct tug_agent_counts c;
    world_start(&w);
    world_join(&w, 1);
    world_launch(&w, 1, 5, 1, false);
    world_next(&w, L, TUG_MSG_LN_START);
    world_started(&w, 5, 1, 500, 1000);
    world_stepd(&w, 20, 5, 1, 501, 1000, TUGPB__STEP_PHASE__STEP_STARTING);
    world_next(&w, 20, 0);
    world_stepd(&w, 21, 5, 1, 500, 1001, TUGPB__STEP_PHASE__STEP_STARTING);
    world_next(&w, 21, 0);
    world_stepd(&w, 22, 6, 1, 500, 1000, TUGPB__STEP_PHASE__STEP_STARTING);
    world_next(&w, 22, 0);
    tug_agent_stepd_up(w.agent, 23, 500, 1000);
    world_ready(&w, 23);                /* no hello at all */
    world_next(&w, 23, 0);
    world_quiet(&w);
    tug_agent_count(w.agent, &c);
    ck_assert_int_eq(c.strangers, 4);
    world_stepd(&w, 24, 5, 1, 500, 1000, TUGPB__STEP_PHASE__STEP_STARTING);
    world_quiet(&w);
    tug_agent_stepd_up(w.agent, 25, 500, 1000);
    world_to(&w, w.now_ms + 9999);
    world_skip(&w, TUG_MSG_LEASE_REQUEST);
    world_quiet(&w);
    world_to(&w, w.now_ms + 1);         /* says nothing for 10 s */
    world_skip(&w, TUG_MSG_LEASE_REQUEST);
    world_next(&w, 25, 0);
    world_quiet(&w);
    world_end(&w);
}
END_TEST

START_TEST(a_step_daemon_that_is_faster_than_the_launchers_word_is_heard_afterwards)
{
    world_start(&w);
    world_join(&w, 1);
    world_launch(&w, 1, 5, 1, false);
    world_next(&w, L, TUG_MSG_LN_START);
    world_stepd(&w, 20, 5, 1, 500, 1000, TUGPB__STEP_PHASE__STEP_STARTING);
    world_ready(&w, 20);
    world_quiet(&w);
    world_started(&w, 5, 1, 500, 1000);
    world_next(&w, CONTROLLER, TUG_MSG_STEP_READY);
    world_quiet(&w);
    world_end(&w);
}
END_TEST

START_TEST(a_user_cannot_blame_the_node)
{
    world_start(&w);
    world_join(&w, 1);
    world_running(&w, 5, 50, false);
    Tugpb__Cause cause = TUGPB__CAUSE__INIT;
    cause.kind = (char *) (uintptr_t) "node";
    cause.text = (char *) (uintptr_t) "please requeue me";
    Tugpb__SdFailure m = TUGPB__SD_FAILURE__INIT;
    m.cause = &cause;
    tug_agent_message(w.agent, 50, TUG_MSG_SD_FAILURE, 0, &m.base);
    const Tugpb__StepFailed *failed = world_next(&w, CONTROLLER, TUG_MSG_STEP_FAILED);
    ck_assert_str_eq(failed->cause->kind, "stepd");
    ck_assert_str_eq(failed->cause->node, "gpu03");
    world_end(&w);
}
END_TEST

START_TEST(only_the_first_failure_counts)
{
    world_start(&w);
    world_join(&w, 1);
    world_running(&w, 5, 50, false);
    Tugpb__Cause cause = TUGPB__CAUSE__INIT;
    cause.kind = (char *) (uintptr_t) "rank";
    cause.rank = 3;
    cause.text = (char *) (uintptr_t) "rank 3 exited with code 7";
    Tugpb__SdFailure m = TUGPB__SD_FAILURE__INIT;
    m.cause = &cause;
    tug_agent_message(w.agent, 50, TUG_MSG_SD_FAILURE, 0, &m.base);
    ck_assert_int_eq(((const Tugpb__StepFailed *) world_next(&w, CONTROLLER, TUG_MSG_STEP_FAILED))->cause->rank, 3);
    cause.rank = 4;
    tug_agent_message(w.agent, 50, TUG_MSG_SD_FAILURE, 0, &m.base);
    world_quiet(&w);
    world_result(&w, 50, 7);
    world_gone(&w, 5, 1, 0);
    world_next(&w, 50, TUG_MSG_SD_RESULT_ACK);
    world_next(&w, 50, 0);
    ck_assert_int_eq(((const Tugpb__StepDone *) world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE))->result->cause->rank, 3);
    world_end(&w);
}
END_TEST

static void signal_step(int signo, uint32_t serial)
{
    Tugpb__StepSignal m = TUGPB__STEP_SIGNAL__INIT;
    Tugpb__StepKey key = TUGPB__STEP_KEY__INIT;
    key.job = 5;
    key.attempt = 1;
    m.key = &key;
    m.epoch = 1;
    m.signal = signo;
    m.serial = serial;
    tug_agent_message(w.agent, CONTROLLER, TUG_MSG_STEP_SIGNAL, 0, &m.base);
}

static void say_stopped(uint32_t serial)
{
    Tugpb__SdStopped m = TUGPB__SD_STOPPED__INIT;
    m.serial = serial;
    tug_agent_message(w.agent, 20, TUG_MSG_SD_STOPPED, 0, &m.base);
}

START_TEST(an_order_to_stop_that_was_overtaken_is_void_and_an_answer_to_it_goes_nowhere)
{
    world_start(&w);
    world_join(&w, 1);
    world_running(&w, 5, 20, false);
    signal_step(SIGSTOP, 1);
    ck_assert_uint_eq(((const Tugpb__SdSignal *) world_next(&w, 20, TUG_MSG_SD_SIGNAL))->serial, 1);
    say_stopped(1);
    ck_assert_uint_eq(((const Tugpb__StepStopped *) world_next(&w, CONTROLLER, TUG_MSG_STEP_STOPPED))->serial, 1);
    signal_step(SIGCONT, 2);
    world_next(&w, 20, TUG_MSG_SD_SIGNAL);
    signal_step(SIGSTOP, 1); /* once more, late */
    say_stopped(1);
    say_stopped(2);
    world_quiet(&w);
    signal_step(SIGSTOP, 3);
    world_next(&w, 20, TUG_MSG_SD_SIGNAL);
    say_stopped(1);
    world_quiet(&w);
    tug_agent_stepd_down(w.agent, 20); /* comes back, and is told again */
    world_stepd(&w, 21, 5, 1, 20, 1000, TUGPB__STEP_PHASE__STEP_RUNNING);
    const Tugpb__SdSignal *again = (const Tugpb__SdSignal *) world_next(&w, 21, TUG_MSG_SD_SIGNAL);
    ck_assert_int_eq(again->signal, SIGSTOP);
    ck_assert_uint_eq(again->serial, 3);
    world_quiet(&w);
    world_end(&w);
}
END_TEST

START_TEST(a_lost_step_daemon_is_named_with_its_signal)
{
    world_start(&w);
    world_join(&w, 1);
    world_running(&w, 5, 50, false);
    world_gone(&w, 5, 1, 9);
    world_quiet(&w);                    /* what it had written may still come */
    tug_agent_stepd_down(w.agent, 50);
    const Tugpb__StepFailed *failed = world_next(&w, CONTROLLER, TUG_MSG_STEP_FAILED);
    ck_assert_str_eq(failed->cause->kind, "stepd");
    ck_assert_str_eq(failed->cause->text, "step daemon on gpu03 ended by signal 9 before it reported a result");
    const Tugpb__StepDone *done = world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    ck_assert_str_eq(done->result->cause->kind, "stepd");
    ck_assert_int_eq(done->result->n_exits, 0);
    world_quiet(&w);
    world_end(&w);
}
END_TEST

START_TEST(a_result_that_arrives_after_its_daemons_end_still_counts)
{
    world_start(&w);
    world_join(&w, 1);
    world_running(&w, 5, 50, false);
    world_gone(&w, 5, 1, 9);
    world_result(&w, 50, 0);
    world_next(&w, 50, TUG_MSG_SD_RESULT_ACK);
    world_next(&w, 50, 0);
    const Tugpb__StepDone *done = world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    ck_assert_int_eq(done->result->n_exits, 2);
    ck_assert_ptr_null(done->result->cause);
    world_running(&w, 6, 60, false);
    world_gone(&w, 6, 1, 9);            /* and nobody waits for ever */
    int64_t at = w.now_ms + 1000;
    world_to(&w, at - 1);
    world_quiet(&w);
    world_to(&w, at);
    world_next(&w, 60, 0);
    world_next(&w, CONTROLLER, TUG_MSG_STEP_FAILED);
    world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    world_end(&w);
}
END_TEST

START_TEST(an_order_that_the_launcher_refuses_has_failed)
{
    world_start(&w);
    world_join(&w, 1);
    world_launch(&w, 1, 5, 1, false);
    world_next(&w, L, TUG_MSG_LN_START);
    Tugpb__StepKey key = TUGPB__STEP_KEY__INIT;
    key.job = 5;
    key.attempt = 1;
    Tugpb__LnRefused m = TUGPB__LN_REFUSED__INIT;
    m.key = &key;
    m.text = (char *) (uintptr_t) "the order has expired";
    tug_agent_message(w.agent, L, TUG_MSG_LN_REFUSED, 0, &m.base);
    const Tugpb__StepFailed *failed = world_next(&w, CONTROLLER, TUG_MSG_STEP_FAILED);
    ck_assert_str_eq(failed->cause->kind, "launch");
    ck_assert_str_eq(failed->cause->text, "the launcher on gpu03 refused: the order has expired");
    world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    world_quiet(&w);
    world_end(&w);
}
END_TEST

START_TEST(an_order_that_contradicts_its_message_is_refused)
{
    world_start(&w);
    world_join(&w, 1);
    Tugpb__StepKey key = TUGPB__STEP_KEY__INIT;
    key.job = 5;
    key.attempt = 1;
    Tugpb__StepLaunch m = TUGPB__STEP_LAUNCH__INIT;
    m.epoch = 1;
    m.key = &key;
    tug_agent_message(w.agent, CONTROLLER, TUG_MSG_STEP_LAUNCH, 0, &m.base);
    const Tugpb__StepFailed *failed = world_next(&w, CONTROLLER, TUG_MSG_STEP_FAILED);
    ck_assert_str_eq(failed->cause->text, "the launch order has 0 bytes and a signature of 0, not 1024 and 64");
    world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    world_quiet(&w);
    ck_assert_int_eq(tug_agent_steps(w.agent), 0);
    world_end(&w);
}
END_TEST

START_TEST(a_start_for_a_step_that_is_not_here_says_so)
{
    world_start(&w);
    world_join(&w, 1);
    world_open(&w, 1, 5, 1);
    const Tugpb__StepFailed *failed = world_next(&w, CONTROLLER, TUG_MSG_STEP_FAILED);
    ck_assert_str_eq(failed->cause->text, "gpu03 does not hold attempt 1 step 0 of job 5");
    world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    world_end(&w);
}
END_TEST

START_TEST(a_final_refusal_is_there_to_be_read)
{
    world_start(&w);
    tug_agent_controller_up(w.agent, CONTROLLER);
    world_next(&w, CONTROLLER, TUG_MSG_NODE_HELLO);
    Tugpb__NodeRefused m = TUGPB__NODE_REFUSED__INIT;
    m.text = (char *) (uintptr_t) "node gpu03 is not configured";
    tug_agent_message(w.agent, CONTROLLER, TUG_MSG_NODE_REFUSED, 0, &m.base);
    world_next(&w, CONTROLLER, 0);
    ck_assert_ptr_null(tug_agent_refused(w.agent));
    tug_agent_controller_up(w.agent, CONTROLLER);
    world_next(&w, CONTROLLER, TUG_MSG_NODE_HELLO);
    m.final = 1;
    tug_agent_message(w.agent, CONTROLLER, TUG_MSG_NODE_REFUSED, 0, &m.base);
    ck_assert_str_eq(tug_agent_refused(w.agent), "node gpu03 is not configured");
    world_end(&w);
}
END_TEST

UNIT_MAIN("logic/agent", hello_waits_for_the_launchers_list, what_the_node_finds_out_later_is_told_once_and_in_the_next_hello, a_step_goes_from_order_to_acknowledged_result,
          what_outlives_SIGKILL_is_told_with_the_result_and_is_no_end,
          what_outlives_SIGKILL_is_told_again_by_the_next_node_daemon_and_to_the_next_controller,
          a_repeated_launch_is_answered_with_where_the_step_stands, what_ended_here_is_not_started_again,
          a_kill_that_overtakes_its_launch_keeps_it_from_starting, a_tombstone_lasts_24_hours_to_the_millisecond,
          a_rank_that_failed_where_the_kernel_killed_for_memory_is_told_with_the_limit_and_the_way_out,
          a_newer_attempt_waits_until_the_older_is_gone, orders_of_a_lower_epoch_are_ignored,
          a_controller_of_a_lower_epoch_is_hung_up_on,
          nothing_that_an_epoch_brings_about_leaves_before_the_epoch_is_kept,
          a_result_is_kept_before_anybody_hears_of_it, a_hello_of_another_pid_or_uid_is_hung_up_on,
          a_step_daemon_that_is_faster_than_the_launchers_word_is_heard_afterwards, a_user_cannot_blame_the_node,
          only_the_first_failure_counts,
          an_order_to_stop_that_was_overtaken_is_void_and_an_answer_to_it_goes_nowhere, a_lost_step_daemon_is_named_with_its_signal,
          a_result_that_arrives_after_its_daemons_end_still_counts, an_order_that_the_launcher_refuses_has_failed,
          an_order_that_contradicts_its_message_is_refused, a_start_for_a_step_that_is_not_here_says_so,
          a_final_refusal_is_there_to_be_read)
