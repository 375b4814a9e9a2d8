/* test_options.c - what tug-sim's command line may say */
#include <errno.h>

#include "unit.h"

#include "base/mem.h"
#include "sim/options.h"

static struct tug_simopts o;
static struct tug_err err;

/* Words with blanks in between, after what every run needs. */
static int parse(const char *words)
{
    static char line[512];
    char *argv[32] = {0}, *rest = line, *word;
    int argc = 0;
    tug_simopts_clear(&o);
    snprintf(line, sizeof line, "tug-sim --trace t --cluster 2x4 --policy fifo %s", words);
    while ((word = strsep(&rest, " ")))
        if (*word)
            argv[argc++] = word;
    return tug_simopts_parse(argc, argv, &o, &err);
}

static void taken(const char *words)
{
    ck_assert_msg(parse(words) == 0, "%s", err.msg);
}

START_TEST(options_say_what_is_simulated)
{
    taken("");
    ck_assert_uint_eq(o.conf.nodes, 2);
    ck_assert_uint_eq(o.conf.gpus_per_node, 4);
    ck_assert_uint_eq(o.conf.seed, 1);
    ck_assert_int_eq(o.conf.ticks_per_s, 1000);
    ck_assert_str_eq(o.placement, "first-fit");
    taken("--placement count --clock us --seed 9 --start-cost 0.5 --preempt-cost 2m --json");
    ck_assert_int_eq(o.conf.count, 1);
    ck_assert_int_eq(o.conf.ticks_per_s, 1000000);
    ck_assert_uint_eq(o.conf.seed, 9);
    ck_assert_double_eq(o.conf.start_cost_s, 0.5);
    ck_assert_double_eq(o.conf.preempt_cost_s, 120);
    ck_assert_int_eq(o.json, 1);
    taken("--estimates noise:5 --failures 30d,4h,3 --checkpoint 600 --kill-at-limit");
    ck_assert_int_eq(o.conf.estimates, TUG_SIM_NOISE);
    ck_assert_uint_eq(o.conf.noise_seed, 5);
    ck_assert_double_eq(o.conf.mtbf_s, 30 * 86400);
    ck_assert_double_eq(o.conf.repair_s, 4 * 3600);
    ck_assert_uint_eq(o.conf.failure_seed, 3);
    ck_assert_int_eq(o.conf.kill_at_limit, 1);
    taken("--param a=1 --param easy.depth=2=3 --cluster trace");
    ck_assert_uint_eq(o.params.len, 2);
    ck_assert_str_eq(o.params.at[1].name, "easy.depth");
    ck_assert_str_eq(o.params.at[1].value, "2=3");
    ck_assert_int_eq(o.cluster_of_trace, 1);
    taken("--cluster trace --cluster 3x1"); /* the last one holds */
    ck_assert_int_eq(o.cluster_of_trace, 0);
    ck_assert_uint_eq(o.conf.nodes, 3);
    tug_simopts_clear(&o);
}
END_TEST

START_TEST(a_wrong_option_is_refused_by_name_with_what_it_takes)
{
    static const struct {
        const char *words, *says;
    } bad[] = {
        {"--cluster 0x8", "--cluster: '0x8' is not NODESxGPUS"},
        {"--cluster 8x65", "is not NODESxGPUS"},
        {"--cluster 8", "is not NODESxGPUS"},
        {"--cluster -1x8", "is not NODESxGPUS"},
        {"--cluster 99999999999x8", "is not NODESxGPUS"},
        {"--estimates noise:", "neither exact nor user nor noise:SEED"},
        {"--estimates guess", "neither exact nor user nor noise:SEED"},
        {"--placement best", "--placement: 'best' is none of"},
        {"--fabric 8x", "--fabric: '8x' is not LEAF[xSPINE...]"},
        {"--fabric 0", "is not LEAF[xSPINE...]"},
        {"--fabric 2x2x2x2x2x2x2", "with up to 6 levels"},
        {"--fabric 8 --placement count", "nothing says which leaf a gang is on"},
        {"--clock ns", "--clock: 'ns' is neither ms nor us"},
        {"--seed -1", "--seed: '-1' is no whole number"},
        {"--start-cost -1", "--start-cost: '-1' is no length of time"},
        {"--start-cost nan", "--start-cost: 'nan' is no length of time"},
        {"--preempt-cost 1e30", "--preempt-cost: '1e30' is no length of time"},
        {"--preempt-cost 99999999999999", "is no length of time"},
        {"--failures 30d", "is not MTBF,REPAIR[,SEED]"},
        {"--failures 0,4h", "is too short"},
        {"--failures 1d,4h,x", "the seed 'x' is no whole number"},
        {"--param depth", "--param: 'depth' is not KEY=VALUE"},
        {"--param =4", "is not KEY=VALUE"},
        {"--config f", "both say what the nodes are"},
        {"--policy q", "--policy: fifo and q; a run has one"},
        {"--any-queue", "and there is none"},
        {"--queue-map a=b", "and there is none"},
        {"--queue-map a", "--queue-map: 'a' is not QUEUE=QUEUE"},
        {"--queue-map a=", "is not QUEUE=QUEUE"},
        {"more", "'more' is no option"},
        {"--nonsense", "see tug-sim --help"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        unit_fails(parse(bad[i].words), -EINVAL, err, bad[i].says);
    char *none[] = {"tug-sim", "--trace", "t", "--policy", "p", NULL};
    tug_simopts_clear(&o);
    unit_fails(tug_simopts_parse(5, none, &o, &err), -EINVAL, err,
               "--cluster NODESxGPUS or --config FILE is missing");
    char map[] = "a=b";
    char *both[] = {"tug-sim",     "--trace", "t",           "--config", "c",
                    "--queue-map", map,       "--placement", "count",    NULL};
    unit_fails(tug_simopts_parse(9, both, &o, &err), -EINVAL, err,
               "needs nodes that are all alike");
    ck_assert_uint_eq(o.conf.n_queue_map, 1);
    ck_assert_str_eq(o.conf.queue_map[0].to, "b");
    tug_simopts_clear(&o);
}
END_TEST

UNIT_MAIN("sim/options", options_say_what_is_simulated,
          a_wrong_option_is_refused_by_name_with_what_it_takes)
