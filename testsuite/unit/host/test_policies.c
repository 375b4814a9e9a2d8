/* test_policies.c - real policy files in the scheduler core: fifo decides as the built-in order
 * does, and wrong ones are refused by name while scheduling goes on
 */
#include <errno.h>

#include "unit.h"

#include "base/mem.h"
#include "core/core.h"
#include "host/plugload.h"

#define NODES 4

static struct tug_core *core;
static struct tug_err err;
static struct tug_plugload *policy;
static struct tug_pass_stats stats;
static uint8_t quiet;

static void load(const char *name, const struct tug_plugload_param *params, size_t n)
{
    const char *build = getenv("TUG_BUILDDIR") ? getenv("TUG_BUILDDIR") : ".";
    char *real = tug_xasprintf("%s/plugins", build),
         *tests = tug_xasprintf("%s/testsuite/plugins", build);
    const char *dirs[] = {real, tests};
    ck_assert_msg(tug_plugload_open(name, dirs, 2, params, n, &policy, &err) == 0, "%s", err.msg);
    free(real);
    free(tests);
}

static void event(struct tug_event ev)
{
    struct tug_action a;
    ck_assert_msg(tug_core_apply(core, 1000, &ev, &err) == 0, "%s", err.msg);
    while (tug_core_next_action(core, &a))
        ;
    ck_assert_msg(tug_core_check(core, &err) == 0, "%s", err.msg);
}

static void submit(tug_job_id id, uint32_t nodes, uint32_t gpus)
{
    struct tug_job_req r = {.user = "ann",
                            .queue = "all",
                            .nodes = nodes,
                            .ntasks = nodes,
                            .cpus_per_node = 1,
                            .gpus_per_node = gpus};
    event((struct tug_event){.type = TUG_EV_JOB_SUBMIT, .job = id, .req = &r});
}

/* Four nodes with 8 GPUs; jobs 1 (2 nodes), 2 (4 nodes: has to wait), 3 (1 node). */
static void setup(void)
{
    const struct tug_core_queue queue = {.name = "all", .nodes = ""};
    const struct tug_core_node_row rows[NODES] = {
        {.name = "n0"}, {.name = "n1"}, {.name = "n2"}, {.name = "n3"}};
    const struct tug_core_conf conf = {.launch_timeout_s = 30,
                                       .launch_retries = 3,
                                       .queues = &queue,
                                       .n_queues = 1,
                                       .quiet = quiet,
                                       .nodes = rows,
                                       .n_nodes = NODES};
    core = tug_core_new(&conf, &err);
    ck_assert_msg(core != NULL, "%s", err.msg);
    for (uint32_t i = 0; i < NODES; i++)
        event((struct tug_event){
            .type = TUG_EV_NODE_UP, .node = i, .inventory = {16, 8, 1ULL << 36, ""}});
    submit(1, 2, 8);
    submit(2, 4, 8);
    submit(3, 1, 8);
    memset(&err, 0, sizeof err);
}

static int pass(void)
{
    const struct tug_policy_set set = {{{tug_plugload_ops(policy), tug_plugload_self(policy)}}, 1};
    int rc = tug_core_pass(core, 1000, &set, &stats, &err);
    struct tug_err why = {0};
    ck_assert_msg(tug_core_check(core, &why) == 0, "%s", why.msg);
    return rc;
}

static void teardown(void)
{
    tug_core_free(core);
    tug_plugload_close(policy);
}

START_TEST(fifo_is_strict_and_explains_the_one_that_holds_up_the_others)
{
    char text[256];
    int reason;
    load("fifo", NULL, 0);
    setup();
    ck_assert_int_eq(pass(), 1);
    ck_assert_int_eq(tug_core_job(core, 3)->state, TUG_JOB_PENDING);
    tug_core_explain(core, tug_core_job(core, 2), &reason, text, sizeof text);
    ck_assert_str_eq(text, "needs 4 nodes with 8 GPUs and 1 CPU free on each; 2 have that now");
    ck_assert_int_eq(reason, TUG_REASON_RESOURCES);
    tug_core_explain(core, tug_core_job(core, 3), &reason, text, sizeof text);
    ck_assert_str_eq(text, "job 2 goes first and waits itself");
    teardown();
}
END_TEST

START_TEST(fifo_that_may_overtake_starts_what_fits)
{
    const struct tug_plugload_param overtake = {"overtake", "yes"};
    load("fifo", &overtake, 1);
    setup();
    ck_assert_int_eq(pass(), 2);
    ck_assert_int_eq(tug_core_job(core, 3)->state, TUG_JOB_CONFIGURING);
    teardown();
}
END_TEST

START_TEST(easy_fills_and_says_whom_a_job_would_delay_and_until_when)
{
    char text[256];
    int reason;
    load("easy", NULL, 0);
    setup();
    struct tug_job_req first = {.user = "ann", .queue = "all", .nodes = 2, .ntasks = 2,
                                .cpus_per_node = 1, .gpus_per_node = 8, .time_limit_s = 3600};
    struct tug_job_req quick = {.user = "ann", .queue = "all", .nodes = 1, .ntasks = 1,
                                .cpus_per_node = 1, .gpus_per_node = 8, .time_limit_s = 60};
    event((struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 1, .text = "in the way"});
    event((struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 2, .text = "in the way"});
    event((struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 3, .text = "in the way"});
    event((struct tug_event){.type = TUG_EV_JOB_SUBMIT, .job = 4, .req = &first});
    submit(5, 4, 8);
    submit(6, 1, 8);
    event((struct tug_event){.type = TUG_EV_JOB_SUBMIT, .job = 7, .req = &quick});
    ck_assert_int_eq(pass(), 2);
    ck_assert_int_eq(tug_core_job(core, 7)->state, TUG_JOB_CONFIGURING);
    tug_core_explain(core, tug_core_job(core, 5), &reason, text, sizeof text);
    ck_assert_int_eq(reason, TUG_REASON_RESOURCES);
    tug_core_explain(core, tug_core_job(core, 6), &reason, text, sizeof text);
    ck_assert_int_eq(reason, TUG_REASON_PRIORITY);
    ck_assert_str_eq(text, "would delay job 5, which starts at 1970-01-01T01:00:01Z");
    teardown();
}
END_TEST

START_TEST(easy_with_a_depth_starts_the_same_whether_or_not_somebody_asks_why)
{
    const struct tug_plugload_param params[] = {{"depth", "1"}, {"reservations", "2"}};
    for (quiet = 0; quiet < 2; quiet++) {
        load("easy", params, 2);
        setup();
        for (tug_job_id id = 1; id <= 3; id++)
            event((struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = id, .text = "in the way"});
        submit(4, 3, 8);
        submit(5, 2, 8);
        submit(6, 6, 8); /* more than there are: once it was looked at it stands aside */
        submit(7, 1, 8);
        pass();
        pass();
        ck_assert_int_eq(tug_core_job(core, 7)->state, TUG_JOB_CONFIGURING);
        teardown();
    }
    quiet = 0;
}
END_TEST

START_TEST(nonsense_starts_nothing_is_counted_and_named_and_the_built_in_order_can_go_on)
{
    load("nonsense", NULL, 0);
    setup();
    ck_assert_int_eq(pass(), 0);
    ck_assert_uint_gt(stats.refused, 10);
    ck_assert_str_eq(err.msg, "policy 'nonsense' starts job 999999999, which does not exist");
    ck_assert_int_eq(tug_core_pass(core, 1000, NULL, &stats, &err), 1);
    ck_assert_int_eq(pass(), 0); /* now it tries to overbook what runs */
    struct tug_core_counts n;
    tug_core_count(core, &n);
    ck_assert_uint_eq(n.gpus_used, 16);
    teardown();
}
END_TEST

START_TEST(a_liar_that_could_not_decide_has_double_booked_nothing)
{
    load("liar", NULL, 0);
    setup();
    unit_fails(pass(), -EIO, err, "policy 'liar' could not decide");
    ck_assert_uint_gt(stats.refused, 0);
    ck_assert_int_eq(tug_core_job(core, 1)->state, TUG_JOB_CONFIGURING);
    ck_assert_int_eq(tug_core_job(core, 3)->state, TUG_JOB_CONFIGURING);
    struct tug_core_counts n;
    tug_core_count(core, &n);
    ck_assert_uint_eq(n.gpus_used, 24);
    teardown();
}
END_TEST

START_TEST(a_slow_policy_decides_what_fifo_does)
{
    const struct tug_plugload_param think = {"think", "0s"};
    load("slow", &think, 1);
    setup();
    ck_assert_int_eq(pass(), 1);
    teardown();
}
END_TEST

UNIT_MAIN("host/policies", fifo_is_strict_and_explains_the_one_that_holds_up_the_others,
          fifo_that_may_overtake_starts_what_fits,
          easy_fills_and_says_whom_a_job_would_delay_and_until_when,
          easy_with_a_depth_starts_the_same_whether_or_not_somebody_asks_why,
          nonsense_starts_nothing_is_counted_and_named_and_the_built_in_order_can_go_on,
          a_liar_that_could_not_decide_has_double_booked_nothing,
          a_slow_policy_decides_what_fifo_does)
