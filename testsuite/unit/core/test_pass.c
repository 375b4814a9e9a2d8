/* test_pass.c - the built-in order, where gangs go, and what a policy may propose */
#include <errno.h>

#include "world.h"

static struct world w;

static void setup(uint32_t nodes, uint32_t gpus)
{
    w_init(&w, nodes, gpus);
    w_up_all(&w);
}

START_TEST(gangs_take_the_first_nodes_that_fit_and_their_lowest_GPUs)
{
    setup(3, 8);
    w_submit(&w, 1, w_req(1, 6));
    w_submit(&w, 2, w_req(2, 4));
    w_submit(&w, 3, w_req(1, 2));
    ck_assert_int_eq(w_pass(&w), 3);
    ck_assert_uint_eq(w_job(&w, 2)->slices[0].node, 1);
    ck_assert_uint_eq(w_job(&w, 2)->slices[1].node, 2);
    ck_assert_uint_eq(w_job(&w, 3)->slices[0].node, 0);
    ck_assert_uint_eq(w_job(&w, 3)->slices[0].gpus, 0xc0);
    w_clear(&w);
}
END_TEST

START_TEST(a_wide_gang_that_waits_holds_up_the_narrow_ones_behind_it)
{
    setup(2, 8);
    w_submit(&w, 1, w_req(1, 8));
    w_submit(&w, 2, w_req(2, 8));
    w_submit(&w, 3, w_req(1, 1));
    ck_assert_int_eq(w_pass(&w), 1);
    w_is(&w, 3, PENDING);
    ck_assert_uint_eq(w.stats.looked_at, 2);
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 2}), 0);
    ck_assert_int_eq(w_pass(&w), 1);
    w_is(&w, 3, CONFIGURING);
    w_clear(&w);
}
END_TEST

START_TEST(priority_goes_first_then_submit_time_then_id_and_nice_gives_way)
{
    setup(1, 1);
    struct tug_job_req low = w_req(1, 1), nice = w_req(1, 1);
    low.queue = "low";
    nice.nice = 3;
    w_submit(&w, 1, low);
    w_submit(&w, 2, nice);
    w_submit(&w, 4, w_req(1, 1));
    w_submit(&w, 3, w_req(1, 1));
    const tug_job_id order[] = {3, 4, 2, 1};
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(w_pass(&w), 1);
        w_is(&w, order[i], CONFIGURING);
        ck_assert_int_eq(
            w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = order[i]}), 0);
        w_gone(&w, order[i], 1, 0, 0);
    }
    w_clear(&w);
}
END_TEST

START_TEST(a_job_that_nodes_which_are_down_would_be_needed_for_does_not_hold_up_the_others)
{
    setup(2, 8);
    w_down(&w, 1);
    w_submit(&w, 1, w_req(2, 8));
    w_submit(&w, 2, w_req(1, 8));
    ck_assert_int_eq(w_pass(&w), 1);
    w_is(&w, 2, CONFIGURING);
    w_pass(&w);
    ck_assert_uint_eq(w.stats.looked_at,
                      0); /* parked: not looked at again before more nodes are usable */
    w_up(&w, 1, NULL, 0);
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 2}), 0);
    w_gone(&w, 2, 1, 0, 0);
    ck_assert_int_eq(w_pass(&w), 1);
    w_is(&w, 1, CONFIGURING);
    w_clear(&w);
}
END_TEST

START_TEST(queue_nodes_node_lists_exclusions_and_models_are_kept_to)
{
    w_init(&w, 4, 8);
    w.rows[2].gpu_model = "NVIDIA A100-SXM4-80GB";
    w_open(&w);
    w_up_all(&w);
    struct tug_job_req r = w_req(1, 1);
    r.nodelist = "n[1,3]";
    w_submit(&w, 1, r);
    r = w_req(1, 1);
    r.exclude = "n0";
    r.queue = "left";
    w_submit(&w, 2, r);
    r = w_req(1, 1);
    r.gpu_model = "a100";
    w_submit(&w, 3, r);
    r.gpu_model = "a10";
    w_submit(&w, 4, r);
    ck_assert_int_eq(w_pass(&w), 3);
    ck_assert_uint_eq(w_job(&w, 1)->slices[0].node, 1);
    ck_assert_uint_eq(w_job(&w, 2)->slices[0].node, 1);
    ck_assert_uint_eq(w_job(&w, 3)->slices[0].node, 2);
    w_is(&w, 4, PENDING);
    w_clear(&w);
}
END_TEST

START_TEST(an_exclusive_gang_gets_whole_empty_nodes)
{
    setup(3, 8);
    w_submit(&w, 1, w_req(1, 1));
    struct tug_job_req r = w_req(1, 2);
    r.exclusive = 1;
    w_submit(&w, 2, r);
    w_submit(&w, 3, w_req(2, 1));
    ck_assert_int_eq(w_pass(&w), 3);
    ck_assert_uint_eq(w_job(&w, 2)->slices[0].node, 1);
    ck_assert_uint_eq(w_job(&w, 2)->slices[0].gpus, 0xff);
    ck_assert_uint_eq(w_job(&w, 2)->slices[0].cpus, 16);
    ck_assert_uint_eq(w_job(&w, 3)->slices[1].node, 2);
    w_clear(&w);
}
END_TEST

START_TEST(cpus_and_memory_bound_a_node_as_GPUs_do)
{
    setup(2, 8);
    struct tug_job_req r = w_req(1, 0);
    r.cpus_per_node = 10;
    w_submit(&w, 1, r);
    w_submit(&w, 2, r);
    r.cpus_per_node = 1;
    r.mem_per_node_bytes = 40ULL << 30;
    w_submit(&w, 3, r);
    w_submit(&w, 4, r);
    w_submit(&w, 5, r);
    ck_assert_int_eq(w_pass(&w), 4);
    ck_assert_uint_eq(w_job(&w, 2)->slices[0].node, 1);
    ck_assert_uint_eq(w_job(&w, 4)->slices[0].node, 1);
    w_is(&w, 5, PENDING);
    w_clear(&w);
}
END_TEST

START_TEST(ranks_are_spread_over_the_nodes_the_first_get_one_more)
{
    setup(3, 8);
    struct tug_job_req r = w_req(3, 1);
    r.ntasks = 8;
    r.cpus_per_node = 3;
    w_submit(&w, 1, r);
    w_pass(&w);
    const struct tug_slice *s = w_job(&w, 1)->slices;
    ck_assert_uint_eq(s[0].ntasks, 3);
    ck_assert_uint_eq(s[1].ntasks, 3);
    ck_assert_uint_eq(s[2].ntasks, 2);
    ck_assert_uint_eq(s[2].first_rank, 6);
    w_clear(&w);
}
END_TEST

START_TEST(a_pass_stops_at_its_budget_of_jobs)
{
    w_init(&w, 8, 1);
    w.conf.pass_budget = 3;
    w_open(&w);
    w_up_all(&w);
    for (tug_job_id id = 1; id <= 5; id++)
        w_submit(&w, id, w_req(1, 1));
    ck_assert_int_eq(w_pass(&w), 3);
    ck_assert_int_eq(tug_core_wants_pass(w.c), 1);
    ck_assert_int_eq(w_pass(&w), 2);
    ck_assert_int_eq(tug_core_wants_pass(w.c), 0);
    w_clear(&w);
}
END_TEST

/* ---- policies */

static int (*script)(const struct tug_policy_view *v, const struct tug_policy_host *h,
                     struct tug_policy_pass *p);

static int run_script(void *self, const struct tug_policy_view *v, const struct tug_policy_host *h,
                      struct tug_policy_pass *p)
{
    ck_assert_ptr_eq(self, &w);
    return script(v, h, p);
}

static const struct tug_policy_ops scripted = {
    .size = sizeof scripted, .abi = TUG_POLICY_ABI, .name = "scripted", .pass = run_script};

static int look(const struct tug_policy_view *v, const struct tug_policy_host *h,
                struct tug_policy_pass *p)
{
    ck_assert_uint_eq(v->n_waiting, 2);
    ck_assert_uint_eq(TUG_POLICY_WAITING(v, 0)->id, 2);
    ck_assert_uint_eq(TUG_POLICY_WAITING(v, 1)->id, 3);
    ck_assert_uint_eq(v->n_running, 1);
    ck_assert_uint_eq(TUG_POLICY_RUNNING(v, 0)->id, 1);
    ck_assert_int_eq(TUG_POLICY_RUNNING(v, 0)->start_ms, 1000000);
    ck_assert_uint_eq(v->n_nodes, 2);
    ck_assert_str_eq(TUG_POLICY_NODE(v, 1)->name, "n1");
    ck_assert_uint_eq(TUG_POLICY_NODE(v, 0)->gpus_free, 0);
    ck_assert_uint_eq(v->gpus, 16);
    ck_assert_uint_eq(v->gpus_free, 8);
    ck_assert_int_eq(h->fits(p, 2), -EAGAIN);
    ck_assert_int_eq(h->fits(p, 3), 0);
    ck_assert_int_eq(h->start(p, 2), -EAGAIN);
    ck_assert_int_eq(h->explain(p, 2, TUG_REASON_POLICY, "waits for the full moon"), 0);
    const struct tug_policy_slice at = {1, 0xf0};
    ck_assert_int_eq(h->start_on(p, 3, &at, 1), 0);
    ck_assert_uint_eq(TUG_POLICY_NODE(v, 1)->gpus_free, 0x0f);
    ck_assert_uint_ne(h->random(p), h->random(p));
    h->log(p, "one");
    h->log(p, "two");
    return 0;
}

START_TEST(a_policy_sees_the_cluster_and_places_a_gang_where_it_likes)
{
    setup(2, 8);
    w_submit(&w, 1, w_req(1, 8));
    w_pass(&w);
    w_submit(&w, 2, w_req(2, 8));
    w_submit(&w, 3, w_req(1, 4));
    w_forget(&w);
    script = look;
    ck_assert_int_eq(w_pass_with(&w, &scripted, &w), 1);
    ck_assert_uint_eq(w.stats.refused, 0);
    ck_assert_uint_eq(w_job(&w, 3)->slices[0].gpus, 0xf0);
    w_said_is(&w, "CHANGED 3\nLAUNCH 3.1.0 n1\nNODE_LOG - policy 'scripted': one\n");
    char text[128];
    int reason;
    ck_assert_str_eq(tug_core_explain(w.c, w_job(&w, 2), &reason, text, sizeof text),
                     "waits for the full moon");
    ck_assert_int_eq(reason, TUG_REASON_POLICY);
    w_clear(&w);
}
END_TEST

static struct {
    tug_job_id job;
    struct tug_policy_slice at[3];
    size_t n;
    int rc;
} proposal;

static int propose(const struct tug_policy_view *v, const struct tug_policy_host *h,
                   struct tug_policy_pass *p)
{
    (void) v;
    proposal.rc = proposal.n ? h->start_on(p, proposal.job, proposal.at, proposal.n)
                             : h->start(p, proposal.job);
    return 0;
}

START_TEST(nonsense_is_refused_with_the_policys_name_and_changes_nothing)
{
    const struct {
        tug_job_id job;
        struct tug_policy_slice at[3];
        size_t n;
        int rc;
        const char *says;
    } bad[] = {
        {99, {{0, 0}}, 0, -ENOENT, "policy 'scripted' starts job 99, which does not exist"},
        {1, {{0, 0}}, 0, -ENOENT, "starts job 1, which does not wait (RUNNING)"},
        {2, {{1, 0xf}}, 1, -EINVAL, "puts job 2 on 1 nodes; it asked for 2"},
        {2, {{1, 0xf}, {9, 0xf}}, 2, -EINVAL, "puts job 2 on node 9, which does not exist"},
        {2, {{1, 0xf}, {1, 0xf0}}, 2, -EINVAL, "puts job 2 on node n1 twice"},
        {2, {{1, 0xf}, {2, 0xf00}}, 2, -EINVAL, "gives job 2 GPUs that node n2 does not have"},
        {2, {{1, 0xf}, {2, 0x7}}, 2, -EINVAL, "gives job 2 3 GPUs on node n2; it asked for 4"},
        {2,
         {{1, 0xf}, {0, 0x1e}},
         2,
         -EBUSY,
         "puts job 2 on node n0, where something of what it needs is not free"},
        {2, {{1, 0xf}, {3, 0xf}}, 2, -EBUSY, "puts job 2 on node n3, where"}, /* drained */
        {3, {{2, 0x1}}, 1, -EINVAL, "puts job 3 on node n2, which the job may not use"},
    };
    setup(4, 8);
    w_submit(&w, 1, w_req(1, 2));
    w_run(&w, 1);
    w_submit(&w, 2, w_req(2, 4));
    struct tug_job_req left = w_req(1, 1);
    left.queue = "left";
    w_submit(&w, 3, left);
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_NODE_DRAIN, .node = 3}), 0);
    script = propose;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        proposal.job = bad[i].job;
        memcpy(proposal.at, bad[i].at, sizeof proposal.at);
        proposal.n = bad[i].n;
        w_forget(&w);
        ck_assert_int_eq(w_pass_with(&w, &scripted, &w), 0);
        ck_assert_msg(proposal.rc == bad[i].rc, "%s: %d, not %d", bad[i].says, proposal.rc,
                      bad[i].rc);
        ck_assert_uint_eq(w.stats.refused, 1);
        ck_assert_msg(strstr(w.err.msg, bad[i].says) != NULL, "\"%s\" is not \"%s\"", w.err.msg,
                      bad[i].says);
        w_said_is(&w, "");
    }
    w_clear(&w);
}
END_TEST

static int give_up(const struct tug_policy_view *v, const struct tug_policy_host *h,
                   struct tug_policy_pass *p)
{
    h->start(p, TUG_POLICY_WAITING(v, v->n_waiting - 1)->id);
    return -EIO;
}

START_TEST(when_a_policy_cannot_decide_the_built_in_order_takes_over_for_that_pass)
{
    setup(3, 8);
    w_submit(&w, 1, w_req(1, 8));
    w_submit(&w, 2, w_req(1, 8));
    w_submit(&w, 3, w_req(1, 8));
    script = give_up;
    unit_fails(w_pass_with(&w, &scripted, &w), -EIO, w.err, "policy 'scripted' could not decide");
    ck_assert_uint_eq(w.stats.started, 3);
    w_is(&w, 1, CONFIGURING);
    w_is(&w, 3, CONFIGURING);
    w_clear(&w);
}
END_TEST

static int may_not(const struct tug_policy_view *v, const struct tug_policy_host *h,
                   struct tug_policy_pass *p)
{
    ck_assert_uint_eq(v->n_waiting, 1); /* only the one that may start */
    ck_assert_int_eq(h->start(p, 1), -EPERM);
    ck_assert_int_eq(h->start(p, 2), -EPERM);
    ck_assert_int_eq(h->start(p, 3), -EPERM);
    ck_assert_int_eq(h->fits(p, 3), -EPERM);
    return 0;
}

START_TEST(a_policy_cannot_start_what_may_not_start)
{
    w_init(&w, 2, 8);
    w.queues[2].is_down = 1;
    w_open(&w);
    w_up_all(&w);
    w_down(&w, 1);
    struct tug_job_req r = w_req(1, 8);
    r.begin_ms = w.now + 1;
    w_submit(&w, 1, r);
    r = w_req(1, 8);
    r.queue = "low";
    w_submit(&w, 2, r);
    w_submit(&w, 3, w_req(2, 8));
    script = may_not;
    ck_assert_int_eq(w_pass_with(&w, &scripted, &w), 0);
    ck_assert_uint_eq(w.stats.refused, 0);
    w_clear(&w);
}
END_TEST

START_TEST(a_full_cluster_costs_a_pass_nothing_however_many_wait)
{
    setup(4, 8);
    w_submit(&w, 1, w_req(4, 8));
    w_pass(&w);
    for (tug_job_id id = 2; id < 400; id++)
        w_submit(&w, id, w_req(1 + (uint32_t) id % 4, (uint32_t) id % 8));
    w_pass(&w);
    ck_assert_uint_eq(w.stats.looked_at, 1);
    w_clear(&w);
}
END_TEST

UNIT_MAIN("core/pass", gangs_take_the_first_nodes_that_fit_and_their_lowest_GPUs,
          a_wide_gang_that_waits_holds_up_the_narrow_ones_behind_it,
          priority_goes_first_then_submit_time_then_id_and_nice_gives_way,
          a_job_that_nodes_which_are_down_would_be_needed_for_does_not_hold_up_the_others,
          queue_nodes_node_lists_exclusions_and_models_are_kept_to,
          an_exclusive_gang_gets_whole_empty_nodes, cpus_and_memory_bound_a_node_as_GPUs_do,
          ranks_are_spread_over_the_nodes_the_first_get_one_more,
          a_pass_stops_at_its_budget_of_jobs,
          a_policy_sees_the_cluster_and_places_a_gang_where_it_likes,
          nonsense_is_refused_with_the_policys_name_and_changes_nothing,
          when_a_policy_cannot_decide_the_built_in_order_takes_over_for_that_pass,
          a_policy_cannot_start_what_may_not_start,
          a_full_cluster_costs_a_pass_nothing_however_many_wait)
