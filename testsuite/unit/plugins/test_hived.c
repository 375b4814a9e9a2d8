/* test_hived.c - guarantees that hold as gangs fit, with the real core under the plugin
 *
 * The cluster is always guaranteed away in full, so that every unlucky placement of one queue would
 * show as a gang of another one that has to wait for what is its own.
 */
#include <stdlib.h>

#include "unit.h"

#include "base/mem.h"
#include "base/rand.h"
#include "core/core.h"
#include "host/plugload.h"

#define NODES  6
#define GPUS   8
#define QUEUES 3
#define JOBS   256

static struct tug_core *core;
static struct tug_plugload *policy;
static struct tug_policy_set set;
static int64_t now_ms;
static struct {
    uint32_t queue, gpus, nodes;
} jobs[JOBS]; /* by id; gpus 0 = none */
static tug_job_id last_id;
static uint32_t milli; /* of the jobs to come: that part of a GPU; 0 = whole ones */
static const char *const names[QUEUES] = {"a", "b", "c"};
static const uint32_t guarantees[QUEUES] = {16, 24, 8};

static void drain(void);

static int event(struct tug_event ev)
{
    struct tug_err err = {0}, why = {0};
    int rc = tug_core_apply(core, now_ms, &ev, &err);
    ck_assert_msg(rc == 0, "%s", err.msg);
    ck_assert_msg(tug_core_check(core, &why) == 0, "%s", why.msg);
    drain();
    return rc;
}

/* Nodes do at once what they are told. */
static void drain(void)
{
    struct tug_action a;
    while (tug_core_next_action(core, &a)) {
        struct tug_event ev = {.job = a.job, .attempt = a.attempt, .step = a.step, .node = a.node};
        if (a.type == TUG_ACT_LAUNCH)
            ev.type = TUG_EV_STEP_READY;
        else if (a.type == TUG_ACT_KILL)
            ev.type = TUG_EV_STEP_DONE;
        else
            continue;
        event(ev);
    }
}

static void open_core(enum tug_placement placement, const char *plugin)
{
    struct tug_core_queue queues[QUEUES];
    struct tug_core_node_row rows[NODES];
    static char node_names[NODES][8];
    struct tug_err err = {0};
    for (size_t q = 0; q < QUEUES; q++)
        queues[q] = (struct tug_core_queue){.name = names[q],
                                            .nodes = "",
                                            .guarantee_gpus = guarantees[q],
                                            .is_default = q == 0,
                                            .preemptable = TUG_PREEMPT_REQUEUE};
    for (uint32_t i = 0; i < NODES; i++) {
        snprintf(node_names[i], sizeof node_names[i], "n%u", i);
        rows[i] = (struct tug_core_node_row){node_names[i], 64, GPUS, 1ULL << 40, "", NULL};
    }
    const struct tug_core_conf conf = {.launch_timeout_s = 30,
                                       .launch_retries = 1,
                                       .queues = queues,
                                       .n_queues = QUEUES,
                                       .nodes = rows,
                                       .n_nodes = NODES,
                                       .placement = placement,
                                       .failures_kept_ms = 86400000,
                                       .link_failures = 2,
                                       .link_period_s = 86400,
                                       .preemption = TUG_PREEMPTION_TIER};
    core = tug_core_new(&conf, &err);
    ck_assert_msg(core != NULL, "%s", err.msg);
    for (uint32_t i = 0; i < NODES; i++)
        event((struct tug_event){
            .type = TUG_EV_NODE_UP, .node = i, .inventory = {64, GPUS, 1ULL << 40, ""}});
    set = (struct tug_policy_set){0};
    if (plugin) {
        char *dir =
            tug_xasprintf("%s/plugins", getenv("TUG_BUILDDIR") ? getenv("TUG_BUILDDIR") : ".");
        const char *dirs[] = {dir};
        ck_assert_msg(tug_plugload_open(plugin, dirs, 1, NULL, 0, &policy, &err) == 0, "%s",
                      err.msg);
        free(dir);
        set = (struct tug_policy_set){{{tug_plugload_ops(policy), tug_plugload_self(policy)}}, 1};
    }
    memset(jobs, 0, sizeof jobs);
    last_id = 0;
    now_ms = 1000;
}

static void close_core(void)
{
    tug_core_free(core);
    tug_plugload_close(policy);
    policy = NULL;
}

static tug_job_id submit(uint32_t queue, uint32_t nodes, uint32_t gpus_per_node)
{
    const struct tug_job_req req = {.uid = 1000,
                                    .user = "u",
                                    .queue = names[queue],
                                    .account = "",
                                    .name = "",
                                    .batch = 1,
                                    .requeue = 1,
                                    .nodes = nodes,
                                    .ntasks = nodes,
                                    .cpus_per_node = 1,
                                    .gpu_milli = milli,
                                    .gpus_per_node = gpus_per_node,
                                    .gpu_model = "",
                                    .nodelist = "",
                                    .exclude = ""};
    event((struct tug_event){.type = TUG_EV_JOB_SUBMIT, .job = ++last_id, .req = &req});
    jobs[last_id % JOBS].queue = queue;
    jobs[last_id % JOBS].gpus = nodes * gpus_per_node;
    jobs[last_id % JOBS].nodes = nodes;
    return last_id;
}

static void pass(void)
{
    struct tug_pass_stats stats = {0};
    struct tug_err err = {0}, why = {0};
    int rc = tug_core_pass(core, now_ms, &set, &stats, &err);
    ck_assert_msg(rc >= 0 && stats.refused == 0, "%s", err.msg);
    ck_assert_msg(tug_core_check(core, &why) == 0, "%s", why.msg);
    drain();
}

static void settle(void)
{
    for (int i = 0; i < 10 && tug_core_wants_pass(core); i++)
        pass();
}

static int runs(tug_job_id id)
{
    return tug_core_job(core, id)->state == TUG_JOB_RUNNING;
}

static void end(tug_job_id id)
{
    const struct tug_job *j = tug_core_job(core, id);
    const struct tug_exit ok = {0};
    event((struct tug_event){.type = TUG_EV_STEP_DONE,
                             .job = id,
                             .attempt = j->attempt,
                             .node = j->slices[0].node,
                             .exits = &ok,
                             .n_exits = 1});
    jobs[id % JOBS].gpus = 0;
}

static uint32_t used(uint32_t queue)
{
    uint32_t gpus = 0;
    for (size_t i = 0; i < JOBS; i++)
        if (jobs[i].queue == queue)
            gpus += jobs[i].gpus;
    return gpus;
}

static void end_a_random_one(struct tug_rand *r, uint32_t queue)
{
    size_t first = (size_t) tug_rand_below(r, JOBS);
    for (size_t i = 0; i < JOBS; i++) {
        size_t slot = (first + i) % JOBS;
        if (jobs[slot].gpus && jobs[slot].queue == queue) {
            end(last_id - (last_id - slot) % JOBS);
            return;
        }
    }
}

/* Queues a and c run jobs of 1 GPU, queue b whole nodes; each stays within its guarantee. How many
 * jobs had to wait although their queue had the GPUs. */
static int anomalies(uint64_t seed, int steps)
{
    struct tug_rand r = tug_rand_seed(seed);
    int waits = 0;
    for (int i = 0; i < steps; i++) {
        uint32_t q = (uint32_t) tug_rand_below(&r, QUEUES);
        now_ms += 1000;
        if (tug_rand_below(&r, 100) < 45) {
            end_a_random_one(&r, q);
            settle();
            continue;
        }
        uint32_t room = guarantees[q] - used(q);
        uint32_t nodes = q == 1 && room >= 8 ? 1 + (uint32_t) tug_rand_below(&r, room / 8) : 1;
        uint32_t gpus = q == 1 ? 8 : 1;
        if (nodes * gpus > room)
            continue;
        tug_job_id id = submit(q, nodes, gpus);
        settle();
        if (!runs(id)) {
            waits++;
            event((struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = id});
            jobs[id % JOBS].gpus = 0;
        }
    }
    return waits;
}

START_TEST(a_gang_within_its_guarantee_never_waits)
{
    open_core(TUG_PLACEMENT_FIRST_FIT, "hived");
    for (uint64_t seed = 1; seed <= 20; seed++)
        ck_assert_int_eq(anomalies(seed, 200), 0);
    close_core();
}
END_TEST

START_TEST(without_cells_it_does)
{
    open_core(TUG_PLACEMENT_FIRST_FIT, NULL);
    int n = anomalies(1, 2000);
    printf("# first fit: %d gangs of 2000 steps waited for what was theirs\n", n);
    ck_assert_int_gt(n, 0);
    close_core();
}
END_TEST

START_TEST(opportunistic_gangs_give_way_to_a_guarantee)
{
    open_core(TUG_PLACEMENT_FIRST_FIT, "hived");
    for (uint32_t i = 0; i < NODES; i++)
        submit(2, 1, 8); /* c owns one node and takes all */
    settle();
    for (tug_job_id id = 1; id <= NODES; id++)
        ck_assert_int_eq(runs(id), 1);
    tug_job_id b = submit(1, 3, 8), a = submit(0, 2, 8);
    now_ms += 1000;
    settle();
    ck_assert_int_eq(runs(b), 1);
    ck_assert_int_eq(runs(a), 1);
    unsigned kept = 0;
    for (tug_job_id id = 1; id <= NODES; id++)
        kept += runs(id) != 0;
    ck_assert_uint_eq(kept, 1);
    ck_assert_int_eq(runs(1), 1); /* the first one that started is c's guarantee */
    close_core();
}
END_TEST

START_TEST(halves_of_one_queue_share_a_node)
{
    open_core(TUG_PLACEMENT_FIRST_FIT, "hived");
    tug_job_id a1 = submit(0, 1, 4), b1 = submit(1, 1, 4), a2 = submit(0, 1, 3);
    settle();
    const struct tug_slice *first = tug_core_job(core, a1)->slices,
                           *other = tug_core_job(core, b1)->slices,
                           *second = tug_core_job(core, a2)->slices;
    ck_assert_uint_eq(first->node, second->node);
    ck_assert_uint_ne(first->node, other->node);
    ck_assert_uint_eq(first->gpus & second->gpus, 0);
    close_core();
}
END_TEST

START_TEST(a_guarantee_for_which_no_cell_is_free_waits)
{
    open_core(TUG_PLACEMENT_FIRST_FIT, "hived");
    milli = 500; /* each on a GPU of its own, so that the core still sees room on them */
    for (uint32_t i = 0; i < NODES * GPUS; i++)
        submit(2, 1, 1);
    settle();
    ck_assert_int_eq(runs(NODES * GPUS), 1);
    tug_job_id a = submit(0, 1, 1);
    settle();
    ck_assert_int_eq(runs(a), 0);
    milli = 0;
    close_core();
}
END_TEST

START_TEST(who_is_within_its_guarantee_is_not_asked_to_give_way_though_it_has_no_cell)
{
    open_core(TUG_PLACEMENT_FIRST_FIT, "hived");
    for (int i = 0; i < 4; i++)
        submit(1, 1, 5); /* a node each, and b owns three */
    submit(2, 1, 8);
    settle();
    for (tug_job_id id = 1; id <= 5; id++)
        ck_assert_int_eq(runs(id), 1);
    now_ms += 1000;
    tug_job_id a = submit(0, 2, 8);
    settle();
    ck_assert_int_eq(runs(4), 1);
    ck_assert_int_eq(runs(a), 0);
    close_core();
}
END_TEST

/* n0 has failed twice with n1, and n2 has failed by itself. */
static void remember_failures(void)
{
    const struct tug_core_link_past hits[] = {{"n1", {1, 1}}, {"n1", {1, 2}}};
    const struct tug_core_failure lost = {.what = TUG_FAILURE_LOST, .at_ms = 1};
    const struct tug_core_node_past of_n0 = {.links = hits, .n_links = 2}, of_n2 = {.failures = &lost, .n_failures = 1};
    struct tug_err err;
    ck_assert_int_eq(tug_core_restore_node(core, "n0", &of_n0, &err), 0);
    ck_assert_int_eq(tug_core_restore_node(core, "n2", &of_n2, &err), 0);
    tug_core_restored(core, now_ms);
    for (uint32_t i = 0; i < NODES; i++)
        event((struct tug_event){.type = TUG_EV_NODE_UP, .node = i, .inventory = {64, GPUS, 1ULL << 40, ""}});
}

/* A whole node each for slices of the queue's own cells (a), or of anybody's (c). */
static void goes_around_what_failed(uint32_t queue)
{
    open_core(TUG_PLACEMENT_FIRST_FIT, "hived");
    remember_failures();
    tug_job_id id = submit(queue, 2, 8);
    pass();
    ck_assert(runs(id));
    ck_assert_uint_eq(tug_core_job(core, id)->slices[0].node, 0);
    ck_assert_uint_eq(tug_core_job(core, id)->slices[1].node, 3);
    close_core();
}

START_TEST(nodes_that_failed_come_last_and_two_whose_link_failed_are_not_taken_together)
{
    goes_around_what_failed(0);
    goes_around_what_failed(2);
}
END_TEST

UNIT_MAIN("plugins/hived", nodes_that_failed_come_last_and_two_whose_link_failed_are_not_taken_together,
          a_gang_within_its_guarantee_never_waits, without_cells_it_does,
          opportunistic_gangs_give_way_to_a_guarantee, halves_of_one_queue_share_a_node,
          a_guarantee_for_which_no_cell_is_free_waits,
          who_is_within_its_guarantee_is_not_asked_to_give_way_though_it_has_no_cell)
