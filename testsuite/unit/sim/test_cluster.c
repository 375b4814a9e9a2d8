/* test_cluster.c - a daemon's configuration as what is simulated */
#include <errno.h>
#include <unistd.h>

#include "unit.h"

#include "base/buf.h"
#include "base/mem.h"
#include "sim/simrun.h"

#define CLUSTER "cluster:\n  name: x\n"
#define NODES   "nodes:\n  - name: \"n[1-4]\"\n    cpus: 8\n    gpus: 8\n    memory: 64G\n"
#define QUEUES                                                                                     \
    "queues:\n  all:\n    default: true\n  few:\n    nodes: \"n[1-2]\"\n    priority: 10\n"        \
    "    allow_users: [ann]\n"
#define HEAD "job_id,submit_s,duration_s,gpus,user,vc_or_queue\n"

static struct tug_sim_cluster cluster;
static struct tug_sim_conf conf;
static struct tug_sim_result r;
static struct tug_err err;
static struct tug_buf starts;

static int read_text(const char *text)
{
    tug_sim_cluster_clear(&cluster);
    const char *path = simrun_file(text, strlen(text));
    int rc = tug_sim_cluster_read(&cluster, path, &err);
    simrun_forget();
    return rc;
}

static void on_note(void *ctx, const struct tug_sim_note *n)
{
    (void) ctx;
    if (n->point == TUG_SIM_START)
        tug_buf_addf(&starts, "%s@%lld:n%u+%zu ", n->id, (long long) n->at_ms / 1000,
                     n->slices[0].node + 1, n->n_slices);
}

static int run(const char *text)
{
    struct tug_plugload *p = simrun_policy("fifo", NULL, NULL);
    struct tug_trace *t = NULL;
    tug_sim_result_clear(&r);
    tug_buf_reset(&starts);
    conf.cluster = &cluster;
    conf.check_every = 1;
    conf.note = on_note;
    conf.policy = (struct tug_policy_set){{{tug_plugload_ops(p), tug_plugload_self(p)}}, 1};
    ck_assert_msg(tug_trace_open(simrun_file(text, strlen(text)), &t, &err) == 0, "%s", err.msg);
    int rc = tug_sim_run(t, &conf, &r, &err);
    tug_trace_close(t);
    simrun_forget();
    tug_plugload_close(p);
    return rc;
}

START_TEST(jobs_go_to_the_configured_queues_and_their_nodes)
{
    ck_assert_msg(read_text(CLUSTER QUEUES NODES) == 0, "%s", err.msg);
    ck_assert_uint_eq(cluster.gpus, 32);
    conf = (struct tug_sim_conf){.seed = 1};
    const char *text = HEAD "a,0,10,32,bob,all\nb,1,5,8,bob,all\nc,2,5,16,ann,few\n";
    ck_assert_msg(run(text) == 0, "%s", err.msg);
    /* few has the higher priority and is on n1 and n2 alone. */
    ck_assert_str_eq(tug_buf_str(&starts), "a@0:n1+4 c@10:n1+2 b@10:n3+1 ");
    ck_assert_uint_eq(r.finished, 3);
}
END_TEST

START_TEST(what_the_configuration_does_not_admit_is_counted_and_the_first_is_explained)
{
    ck_assert_int_eq(read_text(CLUSTER QUEUES NODES), 0);
    conf = (struct tug_sim_conf){.seed = 1};
    ck_assert_msg(run(HEAD "a,0,10,8,bob,few\nb,1,5,24,ann,few\nc,2,5,33,ann,all\n") == 0, "%s",
                  err.msg);
    ck_assert_uint_eq(r.left_out[TUG_SIM_REFUSED].n, 2);
    ck_assert_uint_eq(r.left_out[TUG_SIM_TOO_LARGE].n, 1);
    ck_assert_msg(!strncmp(r.first_refused_job, "a: ", 3), "%s", r.first_refused_job);
}
END_TEST

START_TEST(jobs_get_what_the_trace_says_that_they_ask_of_their_place)
{
    static const uint32_t two = 2;
    const char *text = "job_id,submit_s,duration_s,gpus,user,vc_or_queue,gpu_milli,asked_topology,topology_required\n"
                       "a,0,10,8,ann,,1000,,\nb,1,10,16,ann,,1000,leaf,1\nc,2,5,1,ann,,500,,\nd,3,5,1,bob,,500,,\n"
                       "e,4,5,1,ann,,500,,\nf,5,5,24,ann,,,leaf,1\ng,6,5,1,ann,,,hall,1\n";
    tug_sim_cluster_clear(&cluster);
    tug_sim_cluster_even(&cluster, 4, 8, 1);
    tug_sim_cluster_wire(&cluster, &two, 1);
    conf = (struct tug_sim_conf){.seed = 1};
    ck_assert_msg(run(text) == 0, "%s", err.msg);
    ck_assert_str_eq(tug_buf_str(&starts), "a@0:n1+1 b@1:n3+2 c@2:n2+1 d@3:n2+1 e@4:n2+1 ");
    ck_assert_uint_eq(r.left_out[TUG_SIM_REFUSED].n, 2);
    ck_assert_msg(strstr(r.first_refused_job, "f: 3 nodes with 8 GPUs are to be in one domain of level 'leaf'") != NULL, "%s",
                  r.first_refused_job);
    tug_sim_cluster_clear(&cluster);
    tug_sim_cluster_even(&cluster, 4, 8, 1); /* where there is no fabric, nobody asks for it */
    ck_assert_msg(run(text) == 0, "%s", err.msg);
    ck_assert_uint_eq(r.finished, 7);
}
END_TEST

START_TEST(a_queue_that_is_not_configured_needs_a_word_where_its_jobs_go)
{
    static const struct tug_sim_queue_map map[] = {{"red", "few"}};
    const char *text = HEAD "a,0,10,8,ann,red\nb,0,10,8,ann,blue\nc,0,1,8,ann,\n";
    ck_assert_int_eq(read_text(CLUSTER QUEUES NODES), 0);
    conf = (struct tug_sim_conf){.seed = 1};
    unit_fails(run(text), -EINVAL, err, "queue 'red' is not configured; --queue-map red=QUEUE");
    conf.queue_map = map;
    conf.n_queue_map = 1;
    unit_fails(run(text), -EINVAL, err, ":3: queue 'blue' is not configured");
    conf.any_queue = 1;
    ck_assert_msg(run(text) == 0, "%s", err.msg);
    ck_assert_uint_eq(r.finished, 3);
}
END_TEST

START_TEST(nodes_need_what_they_have_and_errors_are_the_daemons)
{
    unit_fails(read_text(CLUSTER "nodes:\n  - name: n1\n"), -EINVAL, err, "node n1 has no cpus");
    unit_fails(read_text("nodez: 1\n"), -EINVAL, err, "nodez");
    tug_sim_cluster_clear(&cluster);
}
END_TEST

START_TEST(times_of_the_configuration_follow_the_clock)
{
    ck_assert_int_eq(read_text(CLUSTER QUEUES NODES), 0);
    int64_t was_ms = cluster.core.usage_half_life_ms;
    tug_sim_cluster_use_clock(&cluster, 1000000);
    ck_assert_int_eq(cluster.core.usage_half_life_ms,
                     (was_ms ? was_ms : 7 * INT64_C(86400000)) * 1000);
    tug_sim_cluster_clear(&cluster);
}
END_TEST

static tug_gpuset sets[2];

static void on_set(void *ctx, const struct tug_sim_note *n)
{
    (void) ctx;
    if (n->point == TUG_SIM_START)
        sets[*n->id == 'b'] = n->slices[0].gpus;
}

/* GPUs 0 and 2, and 1 and 3, have the double links. */
static struct tug_machine *make_four(void)
{
    struct tug_machine *m = tug_new(struct tug_machine);
    m->n_gpus = 4;
    m->n_numa = 1;
    for (uint32_t i = 0; i < 4; i++)
        for (uint32_t k = 0; k < 4; k++) {
            uint8_t links = (i ^ k) == 2 ? 2 : 1;
            m->link[i][k] = i == k ? (struct tug_machine_link){.class = TUG_LINK_SELF}
                                   : (struct tug_machine_link){TUG_LINK_NODE, links, links * 25000u};
        }
    return m;
}

START_TEST(nodes_that_are_a_machine_give_gangs_its_best_gpus)
{
    struct tug_machine *m = make_four();
    struct tug_plugload *p = simrun_policy("fifo", NULL, NULL);
    struct tug_trace *t = NULL;
    const char *text = HEAD "a,0,10,2,ann,\nb,1,10,2,ann,\n";
    conf = (struct tug_sim_conf){.seed = 1, .nodes = 1, .gpus_per_node = 4, .machine = m, .note = on_set, .check_every = 1};
    conf.policy = (struct tug_policy_set){{{tug_plugload_ops(p), tug_plugload_self(p)}}, 1};
    ck_assert_msg(tug_trace_open(simrun_file(text, strlen(text)), &t, &err) == 0, "%s", err.msg);
    ck_assert_msg(tug_sim_run(t, &conf, &r, &err) == 0, "%s", err.msg);
    ck_assert_uint_eq(sets[0], 0x5);
    ck_assert_uint_eq(sets[1], 0xa);
    tug_trace_close(t);
    simrun_forget();
    tug_plugload_close(p);
    tug_sim_result_clear(&r);
    free(m);
}
END_TEST

UNIT_MAIN("sim/cluster", jobs_go_to_the_configured_queues_and_their_nodes,
          what_the_configuration_does_not_admit_is_counted_and_the_first_is_explained,
          jobs_get_what_the_trace_says_that_they_ask_of_their_place,
          a_queue_that_is_not_configured_needs_a_word_where_its_jobs_go,
          nodes_need_what_they_have_and_errors_are_the_daemons,
          times_of_the_configuration_follow_the_clock, nodes_that_are_a_machine_give_gangs_its_best_gpus)
