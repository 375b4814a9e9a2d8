/* test_replay.c - a recording is decided again, or the first difference is told */
#include <errno.h>

#include "unit.h"

#include "sim/replay.h"
#include "sim/simrun.h"

#define HEAD                                                                                       \
    "job_id,submit_s,duration_s,gpus,cpus,user,vc_or_queue,nodes,limit_s,start_s,end_s,placed,"    \
    "attempt,gpus_last,cpus_last,nice,begin_s\n"

static struct tug_replay_result r;
static struct tug_err err;

static const struct tug_mig *mig; /* what the nodes' GPUs are cut into */
static uint32_t nodes = 2, leaf; /* so many nodes in each; 0 = no fabric */

static int replay(const char *text)
{
    struct tug_sim_cluster cluster;
    struct tug_plugload *p = simrun_policy("fifo", NULL, NULL);
    struct tug_trace *t = NULL;
    tug_sim_cluster_even(&cluster, nodes, 4, 1);
    tug_sim_cluster_wire(&cluster, &leaf, leaf != 0);
    cluster.mig = mig;
    const struct tug_replay_conf conf = {
        .cluster = &cluster,
        .policy = {{{tug_plugload_ops(p), tug_plugload_self(p)}}, 1},
        .check_every = 1};
    ck_assert_msg(tug_trace_open(simrun_file(text, strlen(text)), &t, &err) == 0, "%s", err.msg);
    int rc = tug_replay(t, &conf, &r, &err);
    tug_trace_close(t);
    simrun_forget();
    tug_plugload_close(p);
    tug_sim_cluster_clear(&cluster);
    return rc;
}

static void same(const char *text, unsigned starts)
{
    ck_assert_msg(replay(text) == 0, "%s", err.msg);
    ck_assert_str_eq(r.different, "");
    ck_assert_uint_eq(r.starts, starts);
    ck_assert_uint_eq(r.same, starts);
}

static void different(const char *text, unsigned before, const char *words)
{
    ck_assert_msg(replay(text) == 0, "%s", err.msg);
    ck_assert_uint_eq(r.same, before);
    ck_assert_msg(strstr(r.different, words) != NULL, "'%s' is not in '%s'", words, r.different);
}

START_TEST(what_was_decided_is_decided_again)
{
    /* a and b run, c (wide) waits for both, d behind c; e is uneven; f still runs. */
    same(HEAD "a,0,10,2,1,u,q,1,,0,10,n1:0-1,1,,,,\n"
              "b,1,10,4,1,u,q,1,,1,12.5,n2:0-3,1,,,,\n"
              "c,2,5,8,2,u,q,2,,12.5,17.5,n1:0-3;n2:0-3,1,,,,\n"
              "d,3,5,1,1,u,q,1,,17.5,19,n1:0,1,,,,\n"
              "e,3,5,5,2,u,q,2,,17.5,20,n2:0-3;n1:1,1,1,1,,\n"
              "f,3,,2,1,u,q,1,,17.5,,n1:2-3,1,,,,\n",
         6);
    ck_assert_uint_eq(r.jobs, 6);
}
END_TEST

START_TEST(a_job_that_never_started_holds_up_others_until_it_was_cancelled)
{
    const char *text = HEAD "a,0,10,2,1,u,q,1,,0,10,n1:0-1,1,,,,\n"
                            "never,1,,8,2,u,q,2,,,5,,1,,,,\n"
                            "b,2,5,1,1,u,q,1,,5,8,n1:2,1,,,,\n"
                            "waits,9,,8,2,u,q,2,,,,,1,,,,\n";
    same(text, 2);
    different(HEAD "a,0,10,2,1,u,q,1,,0,10,n1:0-1,1,,,,\n"
                   "never,1,,8,2,u,q,2,,,5,,1,,,,\n"
                   "b,2,5,1,1,u,q,1,,2,8,n1:2,1,,,,\n",
              1, "job b: was started at 2.000 on n1:2; now it does not start");
}
END_TEST

START_TEST(a_job_may_be_over_in_the_millisecond_in_which_it_starts)
{
    same(HEAD "a,0,0,8,2,u,q,2,,0,0,n1:0-3;n2:0-3,1,,,,\n"
              "b,0,5,8,2,u,q,2,,0,5,n1:0-3;n2:0-3,1,,,,\n"
              "c,0,5,8,2,u,q,2,,5,9,n1:0-3;n2:0-3,1,,,,\n",
         3);
}
END_TEST

START_TEST(slices_are_given_out_again_as_they_were)
{
    static const struct tug_mig cut = {5, {{0, "1g.10gb"}, {0, "1g.10gb"}, {0, "1g.10gb"}, {3, "3g.40gb"}, {3, "3g.40gb"}}};
    static const char head[] = "job_id,submit_s,duration_s,gpus,cpus,user,vc_or_queue,nodes,start_s,end_s,placed,attempt,mig_profile\n";
    char text[1024];
    mig = &cut;
    /* b's slices are beside a's; large and whole are of other kinds; wide waits until a node has three again. */
    snprintf(text, sizeof text, "%s%s", head,
             "a,0,10,2,1,u,q,1,0,10,n1:4-5,1,1g.10gb\n"
             "b,1,10,1,1,u,q,1,1,11,n1:6,1,1g.10gb\n"
             "large,1,10,2,1,u,q,1,1,11,n1:7-8,1,3g.40gb\n"
             "whole,1,10,2,1,u,q,1,1,11,n1:1-2,1,\n"
             "wide,2,10,6,2,u,q,2,11,21,n1:4-6;n2:4-6,1,1g.10gb\n");
    same(text, 5);
    snprintf(text, sizeof text, "%s%s", head, "a,0,10,2,1,u,q,1,0,10,n1:4-5,1,1g.10gb\nb,1,10,1,1,u,q,1,1,11,n1:5,1,1g.10gb\n");
    different(text, 1, "job b: was started at 1.000 on n1:5; now it is on n1:6");
    snprintf(text, sizeof text, "%s%s", head, "a,0,10,2,1,u,q,1,0,10,n1:4-5,1,slice\n");
    ck_assert_int_eq(replay(text), -EINVAL);
    ck_assert_ptr_nonnull(strstr(err.msg, "column mig_profile is 'slice'; expected a profile"));
    mig = NULL;
}
END_TEST

START_TEST(begin_times_and_limits_are_kept)
{
    same(HEAD "a,0,10,8,2,u,q,2,8,0,10,n1:0-3;n2:0-3,1,,,,\n"
              "later,1,10,4,1,u,q,1,,20,25,n1:0-3,1,,,,20\n"
              "b,2,5,8,2,u,q,2,,10,15,n1:0-3;n2:0-3,1,,,,\n",
         3);
}
END_TEST

START_TEST(what_jobs_ask_of_their_place_is_kept)
{
    static const char asked[] = "job_id,submit_s,duration_s,gpus,cpus,user,vc_or_queue,nodes,start_s,end_s,placed,attempt,"
                                "gpu_milli,asked_topology,topology_required,segment,spread,exclusive_level\n",
                      plain[] = "job_id,submit_s,duration_s,gpus,cpus,user,vc_or_queue,nodes,start_s,end_s,placed,attempt,"
                                "gpu_milli_,asked_topology_,topology_required_,segment_,spread_,exclusive_level_\n",
                      lines[] = "one,0,50,4,1,u,q,1,0,50,n1:0-3,1,1000,,,,,\n"
                                "pair,1,10,8,2,u,q,2,1,11,n3:0-3;n4:0-3,1,,leaf,1,,,\n"
                                "part,2,10,1,1,u,q,1,2,12,n2:0,1,500,,,,,\n"
                                "other,3,10,1,1,v,q,1,3,13,n2:1,1,500,,,,,\n"
                                "beside,4,10,1,1,u,q,1,4,14,n2:0,1,500,,,,,\n"
                                "spread,15,5,2,2,u,q,2,15,20,n2:0;n3:0,1,,leaf,,,1,\n"
                                "own,21,5,1,1,u,q,1,21,26,n3:0,1,,,,,,leaf\n"
                                "next,22,5,1,1,u,q,1,22,27,n2:0,1,,,,,,\n";
    char text[2048];
    nodes = 4;
    leaf = 2;
    snprintf(text, sizeof text, "%s%s", asked, lines);
    same(text, 8);
    snprintf(text, sizeof text, "%s%s", plain, lines);
    different(text, 1, "job pair: was started at 1.000 on n3:0-3;n4:0-3; now it is on n2:0-3;n3:0-3");
    nodes = 2;
    leaf = 0;
    snprintf(text, sizeof text, "%s%s", asked, "a,0,1,2,1,u,q,1,0,1,n1:0,1,500,,,,,\n");
    unit_fails(replay(text), -EINVAL, err, "a part of a GPU and asks for more than one");
    snprintf(text, sizeof text, "%s%s", asked, "a,0,1,2,2,u,q,2,0,1,n1:0;n2:0,1,,leaf,2,,,\n");
    unit_fails(replay(text), -EINVAL, err, "column topology_required is '2'; expected a whole number up to 1");
}
END_TEST

START_TEST(the_first_difference_is_told)
{
    different(HEAD "a,0,10,2,1,u,q,1,,0,10,n2:0-1,1,,,,\n", 0,
              "job a: was started at 0.000 on n2:0-1; now it is on n1:0-1");
    different(HEAD "a,0,10,2,1,u,q,1,,0,10,n1:1-2,1,,,,\n", 0, "now it is on n1:0-1");
    /* b overtook the wide one, which fifo does not let it. */
    different(HEAD "a,0,10,2,1,u,q,1,,0,10,n1:0-1,1,,,,\n"
                   "wide,1,10,8,2,u,q,2,,10,20,n1:0-3;n2:0-3,1,,,,\n"
                   "b,2,5,1,1,u,q,1,,2,7,n1:2,1,,,,\n",
              1, "job b: was started at 2.000 on n1:2; now it does not start");
    /* a waited although it fitted. */
    different(HEAD "a,0,10,2,1,u,q,1,,3,10,n1:0-1,1,,,,\n"
                   "b,1,5,1,1,u,q,1,,1,7,n1:0,1,,,,\n",
              0, "job a: was started at 3.000 on n1:0-1; now it starts at 1.000 on n1:0-1");
}
END_TEST

START_TEST(what_is_no_recording_is_refused)
{
    unit_fails(replay("job_id,submit_s,duration_s,gpus\na,0,1,1\n"), -EINVAL, err,
               ":2: job a has no nodes or cpus; expected a recording");
    unit_fails(replay(HEAD "a,0,1,1,1,u,q,1,,0,1,n1:0,2,,,,\n"), -ENOTSUP, err,
               "job a ran more than once");
    unit_fails(replay(HEAD "a,5,1,1,1,u,q,1,,4,6,n1:0,1,,,,\n"), -EINVAL, err, "that cannot be");
    unit_fails(replay(HEAD "a,5,1,1,1,u,q,1,,5,6,,1,,,,\n"), -EINVAL, err, "that cannot be");
    unit_fails(replay(HEAD "a,5,1,1,1,u,q,1,,x,6,n1:0,1,,,,\n"), -EINVAL, err,
               ":2: column start_s is 'x'; expected seconds");
    unit_fails(replay(HEAD "a,5,1,1,1,u,q,-1,,5,6,n1:0,1,,,,\n"), -EINVAL, err,
               ":2: column nodes is '-1'; expected a whole number");
    unit_fails(replay(HEAD "a,5,1,1,1,u,q,1,,5,6,n1:0,1,7,,,\n"), -EINVAL, err, "don't add up");
    same(HEAD, 0);
}
END_TEST

UNIT_MAIN("sim/replay", what_was_decided_is_decided_again,
          a_job_that_never_started_holds_up_others_until_it_was_cancelled,
          a_job_may_be_over_in_the_millisecond_in_which_it_starts, slices_are_given_out_again_as_they_were, begin_times_and_limits_are_kept,
          what_jobs_ask_of_their_place_is_kept,
          the_first_difference_is_told, what_is_no_recording_is_refused)
