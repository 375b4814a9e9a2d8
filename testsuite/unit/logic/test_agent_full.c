/* test_agent_full.c - a node whose disk is full keeps its gangs and its lease, promises nothing, and says that it is full; and
 * one whose launcher does not answer takes no orders, and says so */
#include "unit.h"

#include "agent_world.h"

#define L TUG_PEER_LAUNCHER

static struct world w;

static void fill(void)
{
    w.slow_disk = true;
    tug_agent_full(w.agent, "there is no room");
}

static void free_it(void)
{
    w.slow_disk = false;
    tug_agent_full(w.agent, NULL);
    world_sync(&w);
}

static const Tugpb__NodeHealth *next_health(void)
{
    return world_next(&w, CONTROLLER, TUG_MSG_NODE_HEALTH);
}

/* A gang runs, the lease is asked for every few seconds, and the controller takes health. */
static void start(void)
{
    world_start(&w);
    w.takes_health = true;
    tug_agent_controller_up(w.agent, CONTROLLER);
    world_next(&w, CONTROLLER, TUG_MSG_NODE_HELLO);
    world_welcome(&w, 3);
    next_health();
    world_next(&w, CONTROLLER, TUG_MSG_LEASE_REQUEST);
    world_lease(&w, 60);
    world_running(&w, 7, 100, true);
}

START_TEST(its_lease_is_asked_for_and_passed_on_while_the_end_of_a_gang_waits_for_room)
{
    w = (struct world){0};
    start();
    fill();
    ck_assert_int_eq(next_health()->state, TUGPB__HEALTH_STATE__HEALTH_SICK);
    world_result(&w, 100, 0);
    world_quiet(&w); /* its step daemon is not told that the result is kept, and goes on keeping it */
    world_to(&w, w.now_ms + 6000);
    const Tugpb__LeaseRequest *asked = world_next(&w, CONTROLLER, TUG_MSG_LEASE_REQUEST);
    world_grant(&w, asked, 60, 3);
    world_next(&w, L, TUG_MSG_LN_LEASE);
    world_to(&w, w.now_ms + 4000);
    world_skip(&w, TUG_MSG_LEASE_REQUEST);
    world_quiet(&w);
    free_it();
    world_next(&w, 100, TUG_MSG_SD_RESULT_ACK);
    world_end(&w);
}
END_TEST

START_TEST(the_controller_hears_that_it_is_full_and_why_at_once_and_when_that_is_over)
{
    w = (struct world){0};
    start();
    fill();
    ck_assert_str_eq(next_health()->text, "STATE_FULL: there is no room");
    tug_agent_full(w.agent, "there is no room yet"); /* figures change, the state of affairs does not */
    world_quiet(&w);
    free_it();
    ck_assert_int_eq(next_health()->state, TUGPB__HEALTH_STATE__HEALTH_NONE);
    tug_agent_full(w.agent, NULL);
    world_quiet(&w);
    world_end(&w);
}
END_TEST

START_TEST(a_gang_can_be_ended_while_another_ones_result_waits)
{
    w = (struct world){0};
    start();
    world_running(&w, 8, 101, true);
    fill();
    next_health();
    world_result(&w, 100, 0);
    world_kill(&w, 3, 8, 1, 2);
    world_next(&w, 101, TUG_MSG_SD_KILL);
    world_quiet(&w);
    world_end(&w);
}
END_TEST

START_TEST(under_an_epoch_that_is_not_kept_yet_it_asks_for_nothing)
{
    w = (struct world){0};
    start();
    fill();
    next_health();
    tug_agent_controller_down(w.agent, CONTROLLER);
    tug_agent_controller_up(w.agent, CONTROLLER);
    world_skip(&w, TUG_MSG_NODE_HELLO);
    world_welcome(&w, 4);
    world_to(&w, w.now_ms + 20000);
    world_quiet(&w);
    free_it();
    world_skip(&w, TUG_MSG_NODE_HEALTH);
    ck_assert_uint_ge(world_skip(&w, TUG_MSG_LEASE_REQUEST), 1);
    world_end(&w);
}
END_TEST

START_TEST(a_node_whose_launcher_does_not_answer_takes_no_order_and_says_so_until_it_does)
{
    w = (struct world){0};
    start();
    tug_agent_mute(w.agent, "its launcher does not answer");
    const Tugpb__NodeHealth *h = next_health();
    ck_assert_int_eq(h->state, TUGPB__HEALTH_STATE__HEALTH_SICK);
    ck_assert_str_eq(h->text, "its launcher does not answer");
    tug_agent_mute(w.agent, "its launcher does not answer yet");
    world_quiet(&w);
    world_launch(&w, tug_agent_epoch(w.agent), 8, 1, true);
    const Tugpb__StepFailed *failed = world_next(&w, CONTROLLER, TUG_MSG_STEP_FAILED);
    ck_assert_str_eq(failed->cause->kind, "launch");
    ck_assert_str_eq(failed->cause->text, "its launcher does not answer");
    world_next(&w, CONTROLLER, TUG_MSG_STEP_DONE);
    world_quiet(&w); /* nothing for the launcher */
    tug_agent_mute(w.agent, NULL);
    ck_assert_int_eq(next_health()->state, TUGPB__HEALTH_STATE__HEALTH_NONE);
    world_launch(&w, tug_agent_epoch(w.agent), 9, 1, true);
    world_next(&w, L, TUG_MSG_LN_START);
    world_end(&w);
}
END_TEST

UNIT_MAIN("logic/agent_full", a_node_whose_launcher_does_not_answer_takes_no_order_and_says_so_until_it_does,
          its_lease_is_asked_for_and_passed_on_while_the_end_of_a_gang_waits_for_room,
          the_controller_hears_that_it_is_full_and_why_at_once_and_when_that_is_over,
          a_gang_can_be_ended_while_another_ones_result_waits,
          under_an_epoch_that_is_not_kept_yet_it_asks_for_nothing)
