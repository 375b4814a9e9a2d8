/* test_explain.c - why a job waits: a reason and a sentence with what is missing */
#include "world.h"

static struct world w;

static int reason;
static const char *why(tug_job_id id)
{
    static char text[512];
    return tug_core_explain(w.c, w_job(&w, id), &reason, text, sizeof text);
}

#define w_waits(id, REASON, text)                                                                  \
    do {                                                                                           \
        ck_assert_str_eq(why(id), text);                                                           \
        ck_assert_int_eq(reason, TUG_REASON_##REASON);                                             \
    } while (0)

static void setup(void)
{
    w_init(&w, 3, 8);
    w_up_all(&w);
}

START_TEST(the_first_that_waits_says_what_is_missing_the_others_who_goes_first)
{
    setup();
    w_submit(&w, 1, w_req(2, 8));
    w_pass(&w);
    w_submit(&w, 2, w_req(2, 4));
    w_submit(&w, 3, w_req(1, 1));
    w_waits(2, NONE, "has not been looked at yet");
    w_pass(&w);
    w_waits(2, RESOURCES, "needs 2 nodes with 4 GPUs and 1 CPU free on each; 1 has that now");
    w_waits(3, PRIORITY, "job 2 goes first and waits itself");
    w_waits(1, NONE, "");
    w_submit(&w, 4, w_req(1, 1)); /* since the pass */
    w_waits(4, PRIORITY, "job 2 goes first and waits itself");
    w_clear(&w);
}
END_TEST

START_TEST(memory_and_exclusiveness_are_said_too)
{
    setup();
    w_submit(&w, 1, w_req(3, 1));
    w_pass(&w);
    struct tug_job_req r = w_req(1, 2);
    r.exclusive = 1;
    r.cpus_per_node = 4;
    r.mem_per_node_bytes = 10ULL << 30;
    w_submit(&w, 2, r);
    w_pass(&w);
    w_waits(2, RESOURCES,
            "needs 1 node with nobody else on it, 2 GPUs, 4 CPUs and 10G of memory free; 0 have "
            "that now");
    w_clear(&w);
}
END_TEST

START_TEST(nodes_that_are_down_are_counted)
{
    setup();
    w_down(&w, 2);
    w_submit(&w, 1, w_req(3, 8));
    w_pass(&w);
    w_waits(1, NODES_DOWN,
            "needs 3 nodes with 8 GPUs and 1 CPU; of the 3 nodes that it may use, 2 are up and not "
            "drained");
    w_clear(&w);
}
END_TEST

START_TEST(begin_times_and_queues_that_are_down_are_reasons)
{
    w_init(&w, 1, 8);
    w.queues[2].is_down = 1;
    w_open(&w);
    struct tug_job_req r = w_req(1, 1);
    r.queue = "low";
    w_submit(&w, 1, r);
    w_waits(1, QUEUE_DOWN, "queue 'low' is down");
    r.begin_ms = w.now + 10;
    w_submit(&w, 2, r);
    w_waits(2, BEGIN_TIME, "may not start before the time it was given");
    w_tick(&w, w.now + 10);
    w_waits(2, QUEUE_DOWN, "queue 'low' is down");
    w_clear(&w);
}
END_TEST

START_TEST(what_ended_the_attempt_before_is_told_with_the_node)
{
    setup();
    w_submit(&w, 1, w_req(2, 8));
    w_run(&w, 1);
    w_down(&w, 1);
    w_waits(1, CLEANING,
            "the attempt before is still being ended; attempt 1 ended early: node n1 was lost: "
            "silent for 60 s");
    w_gone(&w, 1, 1, 0, 0);
    w_lease_over(&w, 1);
    w_waits(1, NONE,
            "has not been looked at yet; attempt 1 ended early: node n1 was lost: silent for 60 s");
    w_clear(&w);
}
END_TEST

START_TEST(a_short_buffer_cuts_the_sentence_and_reasons_have_names)
{
    char text[12];
    setup();
    w_submit(&w, 1, w_req(1, 1));
    ck_assert_str_eq(tug_core_explain(w.c, w_job(&w, 1), NULL, text, sizeof text), "has not bee");
    ck_assert_str_eq(tug_core_reason_name(TUG_REASON_RESOURCES), "Resources");
    ck_assert_str_eq(tug_core_reason_name(99), "");
    ck_assert_str_eq(tug_core_reason_name(-1), "");
    w_clear(&w);
}
END_TEST

UNIT_MAIN("core/explain", the_first_that_waits_says_what_is_missing_the_others_who_goes_first,
          memory_and_exclusiveness_are_said_too, nodes_that_are_down_are_counted,
          begin_times_and_queues_that_are_down_are_reasons,
          what_ended_the_attempt_before_is_told_with_the_node,
          a_short_buffer_cuts_the_sentence_and_reasons_have_names)
