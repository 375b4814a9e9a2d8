/* test_fgd.c - where the least of the GPUs becomes unusable */
#include <errno.h>

#include "plugins/plugworld.h"
#include "unit.h"

#define NODES 3
static uint16_t milli[NODES][8];
static struct tug_policy_node nodes[NODES];
static struct tug_policy_slice at[4];

static uint64_t zero(struct tug_policy_pass *p)
{
    (void) p;
    return 0;
}
static uint32_t closed; /* a node that the job may not use; NODES = none */
static int may_use(struct tug_policy_pass *p, uint64_t job, uint32_t node)
{
    (void) p;
    (void) job;
    return node != closed;
}
static uint32_t failed = NODES, pair[2]; /* a node; two that are not used together, if they differ */
static uint32_t failures(struct tug_policy_pass *p, uint32_t node)
{
    (void) p;
    return node == failed;
}
static uint32_t apart_from(struct tug_policy_pass *p, uint32_t node, uint32_t must, uint32_t *out, uint32_t n)
{
    (void) p;
    ck_assert(!must && n);
    *out = pair[node == pair[0]];
    return pair[0] != pair[1] && (node == pair[0] || node == pair[1]);
}
static const struct tug_policy_host host = {
    .size = sizeof host, .random = zero, .may_use = may_use, .failures = failures, .apart_from = apart_from};

/* Whole nodes with two GPUs, eight CPUs and plenty of memory. */
static void world(void)
{
    closed = NODES;
    for (uint32_t i = 0; i < NODES; i++) {
        milli[i][0] = milli[i][1] = 1000;
        nodes[i] = (struct tug_policy_node){.name = "n",
                                            .index = i,
                                            .cpus = 8,
                                            .cpus_free = 8,
                                            .gpus = 2,
                                            .usable = 1,
                                            .gpus_free = 3,
                                            .mem_bytes = 100,
                                            .mem_free_bytes = 100,
                                            .gpu_model = "NVIDIA T4",
                                            .gpu_milli_free = milli[i]};
    }
}

static void left(uint32_t node, uint16_t a, uint16_t b)
{
    milli[node][0] = a;
    milli[node][1] = b;
    nodes[node].gpus_free = (a == 1000) | (b == 1000) << 1;
}

static struct tug_policy_job wants(uint32_t cpus, uint32_t gpus, uint32_t share)
{
    return (struct tug_policy_job){.id = 1,
                                   .nodes = 1,
                                   .cpus_per_node = cpus,
                                   .cpus_last = cpus,
                                   .gpus_per_node = gpus,
                                   .gpus_last = gpus,
                                   .gpus = gpus,
                                   .gpu_milli = share,
                                   .gpu_model = ""};
}

static int place(struct tug_policy_job job)
{
    const struct tug_policy_view view = {
        .size = sizeof view, .nodes = nodes, .n_nodes = NODES, .nodes_stride = sizeof *nodes};
    return plug_ops()->place(plug_self(), &view, &host, NULL, &job, at, job.nodes);
}

START_TEST(fgd_leaves_no_rest_that_no_typical_job_can_use_where_bestfit_does)
{
    world();
    left(1, 600, 1000);
    nodes[0].usable = nodes[2].usable = 0;
    plug_load("fgd", "typical", "1/1/400*10", NULL);
    ck_assert_int_eq(place(wants(1, 1, 400)), 0);
    ck_assert_uint_eq(at[0].node, 1);
    ck_assert_uint_eq(at[0].gpus, 2);
    plug_unload();
    plug_load("fgd", "score", "bestfit", NULL);
    ck_assert_int_eq(place(wants(1, 1, 400)), 0);
    ck_assert_uint_eq(at[0].gpus, 1);
    plug_unload();
}
END_TEST

START_TEST(a_job_goes_where_the_typical_ones_could_not)
{
    world();
    nodes[2].cpus_free = 2; /* too few CPUs for the typical job: its GPUs are lost already */
    plug_load("fgd", "typical", "4/1/1000*10,1/1/1000*1", "coverage", "0.9", NULL);
    ck_assert_int_eq(place(wants(1, 1, 1000)), 0);
    ck_assert_uint_eq(at[0].node, 2);
    nodes[2].cpus_free = 8;
    nodes[1].gpu_model = "NVIDIA A10";
    plug_unload();
    plug_load("fgd", "typical", "1/1/1000/T4|V100*10", NULL);
    ck_assert_int_eq(place(wants(1, 1, 1000)), 0);
    ck_assert_uint_eq(at[0].node, 1);
    plug_unload();
}
END_TEST

START_TEST(what_is_typical_is_learnt_from_what_is_submitted)
{
    world();
    nodes[2].cpus_free = 2;
    plug_load("fgd", NULL);
    struct tug_policy_event e = {.type = TUG_POLICY_EV_SUBMIT, .job = wants(4, 1, 1000)};
    ck_assert_int_eq(plug_ops()->observe(plug_self(), plug_view(), &e, 1, sizeof e), 0);
    ck_assert_int_eq(place(wants(1, 1, 1000)), 0);
    ck_assert_uint_eq(at[0].node, 2);
    plug_unload();
}
END_TEST

START_TEST(a_score_is_not_kept_longer_than_its_node_stays_as_it_was)
{
    world();
    plug_load("fgd", "typical", "4/1/1000*10", NULL);
    nodes[0].cpus_free = 2;
    ck_assert_int_eq(place(wants(1, 1, 1000)), 0);
    ck_assert_uint_eq(at[0].node, 0);
    nodes[0].cpus_free = 8;
    nodes[1].cpus_free = 2;
    ck_assert_int_eq(place(wants(1, 1, 1000)), 0);
    ck_assert_uint_eq(at[0].node, 1);
    left(1, 0, 0);
    left(0, 0, 0);
    ck_assert_int_eq(place(wants(1, 1, 1000)), 0);
    ck_assert_uint_eq(at[0].node, 2);
    plug_unload();
}
END_TEST

START_TEST(a_gang_takes_different_nodes_and_its_last_slice_what_it_needs)
{
    world();
    left(0, 0, 1000);
    plug_load("fgd", "typical", "1/2/1000*10", NULL);
    struct tug_policy_job gang = wants(1, 2, 1000);
    gang.nodes = 3;
    gang.gpus_last = 1;
    ck_assert_int_eq(place(gang), 0);
    ck_assert_uint_ne(at[0].node, at[1].node);
    ck_assert_uint_eq(at[0].gpus, 3);
    ck_assert_uint_eq(at[2].node, 0);
    ck_assert_uint_eq(at[2].gpus, 2);
    gang.gpus_last = 2;
    ck_assert_int_eq(place(gang), -EAGAIN);
    plug_unload();
}
END_TEST

START_TEST(of_equal_nodes_those_that_failed_come_last_and_a_pair_whose_link_failed_is_taken_only_if_there_is_no_other)
{
    world();
    plug_load("fgd", NULL);
    struct tug_policy_job gang = wants(1, 2, 1000);
    ck_assert_int_eq(place(gang), 0);
    failed = at[0].node;
    ck_assert_int_eq(place(gang), 0);
    ck_assert_uint_ne(at[0].node, failed);
    failed = NODES;
    gang.nodes = 2;
    ck_assert_int_eq(place(gang), 0);
    pair[0] = at[0].node;
    pair[1] = at[1].node;
    ck_assert_int_eq(place(gang), 0);
    ck_assert_uint_eq(at[0].node, pair[0]);
    ck_assert_uint_eq(at[1].node, 3 - pair[0] - pair[1]);
    gang.nodes = 3;
    ck_assert_int_eq(place(gang), 0);
    plug_unload();
}
END_TEST

START_TEST(only_nodes_that_the_job_may_use_with_room_for_it_come_into_question)
{
    const char *const scores[] = {"fgd", "bestfit", "packing", "random"};
    for (size_t i = 0; i < 4; i++) {
        world();
        plug_load("fgd", "score", scores[i], NULL);
        closed = 0;
        nodes[1].mem_free_bytes = 4;
        struct tug_policy_job job = wants(1, 1, 500);
        job.mem_per_node_bytes = 5;
        ck_assert_int_eq(place(job), 0);
        ck_assert_uint_eq(at[0].node, 2);
        left(2, 499, 300);
        ck_assert_int_eq(place(job), -EAGAIN);
        left(2, 500, 300);
        ck_assert_int_eq(place(job), 0);
        ck_assert_uint_eq(at[0].gpus, 1);
        ck_assert_int_eq(place(wants(9, 0, 0)), -EAGAIN);
        plug_unload();
    }
}
END_TEST

START_TEST(packing_prefers_gpus_in_parts_then_nodes_in_use)
{
    world();
    left(1, 1000, 0);
    plug_load("fgd", "score", "packing", NULL);
    ck_assert_int_eq(place(wants(1, 1, 500)), 0);
    ck_assert_uint_eq(at[0].node, 1);
    left(2, 1000, 700);
    ck_assert_int_eq(place(wants(1, 1, 500)), 0);
    ck_assert_uint_eq(at[0].node, 2);
    ck_assert_uint_eq(at[0].gpus, 2);
    plug_unload();
}
END_TEST

START_TEST(wrong_parameters_are_refused_by_name)
{
    plug_load_fails("fgd", "score", "worst", "score: 'worst' is none of fgd, bestfit, packing");
    plug_load_fails("fgd", "typical", "1/1", "typical: '1/1' is not CPUS/GPUS/THOUSANDTHS");
    plug_load_fails("fgd", "typical", "1/1/1001*1", "typical: '1/1/1001*1' is not");
    plug_load_fails("fgd", "typical", "1/1/500*1,", "typical: ");
    plug_load_fails("fgd", "coverage", "1.5", "coverage");
}
END_TEST

UNIT_MAIN("plugins/fgd", fgd_leaves_no_rest_that_no_typical_job_can_use_where_bestfit_does,
          a_job_goes_where_the_typical_ones_could_not,
          what_is_typical_is_learnt_from_what_is_submitted,
          a_score_is_not_kept_longer_than_its_node_stays_as_it_was,
          a_gang_takes_different_nodes_and_its_last_slice_what_it_needs,
          of_equal_nodes_those_that_failed_come_last_and_a_pair_whose_link_failed_is_taken_only_if_there_is_no_other,
          only_nodes_that_the_job_may_use_with_room_for_it_come_into_question,
          packing_prefers_gpus_in_parts_then_nodes_in_use, wrong_parameters_are_refused_by_name)
