/* test_place.c - which nodes a gang gets, and what a policy is told about places */
#include <errno.h>

#include "kinds.h"
#include "world.h"

static struct world w;

static void open_with(uint32_t nodes, enum tug_placement placement)
{
    w_init(&w, nodes, 8);
    w.conf.placement = placement;
    w_open(&w);
    w_up_all(&w);
}

static void run(tug_job_id id, uint32_t nodes, uint32_t gpus)
{
    w_submit(&w, id, w_req(nodes, gpus));
    ck_assert_int_eq(w_pass(&w), 1);
}

static uint32_t node_of(tug_job_id id, size_t slice)
{
    ck_assert_uint_lt(slice, w_job(&w, id)->n_slices);
    return w_job(&w, id)->slices[slice].node;
}

/* What the test's policy does in a pass. */
struct asks {
    uint64_t job, held_job;
    uint32_t nodes;
    struct tug_policy_slice at[4], held[4];
    int placed, n_held, may_use_0, may_use_3, placed_wrong;
    int64_t expected_ms, running_expected_ms;
    uint64_t shapes[3];
    uint32_t explains;
};

static int ask(void *self, const struct tug_policy_view *view, const struct tug_policy_host *host,
               struct tug_policy_pass *pass)
{
    struct asks *a = self;
    ck_assert(TUG_POLICY_HAS(host, place) && TUG_POLICY_HAS(host, held) &&
              TUG_POLICY_HAS(host, may_use));
    a->expected_ms = view->n_waiting ? TUG_POLICY_WAITING(view, 0)->expected_ms : 0;
    a->running_expected_ms = view->n_running ? TUG_POLICY_RUNNING(view, 0)->expected_ms : 0;
    a->explains = host->explains;
    for (size_t i = 0; i < view->n_waiting && i < 3; i++)
        a->shapes[i] = TUG_POLICY_WAITING(view, i)->shape;
    host->explain(pass, a->job, TUG_REASON_POLICY, "asked");
    a->placed = host->place(pass, a->job, a->at, a->nodes);
    a->placed_wrong = host->place(pass, a->job, a->at + a->nodes, a->nodes + 1);
    a->may_use_0 = host->may_use(pass, a->job, 0);
    a->may_use_3 = host->may_use(pass, a->job, 3);
    if (a->placed == 0)
        ck_assert_int_eq(host->start(pass, a->job), 0);
    a->n_held = host->held(pass, a->held_job, a->held, 4);
    return 0;
}

static const struct tug_policy_ops asker = {
    .size = sizeof asker, .abi = TUG_POLICY_ABI, .name = "asker", .pass = ask};

START_TEST(first_fit_takes_the_first_node_and_consolidate_the_fullest_that_suffices)
{
    for (int placement = TUG_PLACEMENT_FIRST_FIT; placement <= TUG_PLACEMENT_CONSOLIDATE;
         placement++) {
        open_with(3, (enum tug_placement) placement);
        run(1, 1, 2); /* n0: 6 free */
        run(2, 1, 7); /* n1: 1 free */
        run(3, 1, 1);
        ck_assert_uint_eq(node_of(3, 0), placement == TUG_PLACEMENT_CONSOLIDATE ? 1 : 0);
        w_clear(&w);
    }
}
END_TEST

START_TEST(consolidate_takes_the_lowest_of_equal_nodes_and_keeps_a_gang_in_node_order)
{
    open_with(4, TUG_PLACEMENT_CONSOLIDATE);
    run(1, 1, 8); /* n0 */
    run(2, 1, 5); /* n1: 3 free */
    run(3, 1, 6); /* n2: 2 free */
    run(4, 2, 2); /* n2 before n1, and nothing of n3 */
    ck_assert_uint_eq(node_of(4, 0), 1);
    ck_assert_uint_eq(node_of(4, 1), 2);
    run(5, 1, 1); /* n1 has 1 left, n3 has 8 */
    ck_assert_uint_eq(node_of(5, 0), 1);
    run(6, 1, 8);
    ck_assert_uint_eq(node_of(6, 0), 3);
    w_clear(&w);
}
END_TEST

START_TEST(consolidate_gives_an_exclusive_job_an_idle_node)
{
    open_with(2, TUG_PLACEMENT_CONSOLIDATE);
    run(1, 1, 1);
    struct tug_job_req r = w_req(1, 1);
    r.exclusive = 1;
    w_submit(&w, 2, r);
    ck_assert_int_eq(w_pass(&w), 1);
    ck_assert_uint_eq(node_of(2, 0), 1);
    w_clear(&w);
}
END_TEST

static struct tug_job_req uneven(uint32_t nodes, uint32_t gpus, uint32_t gpus_last)
{
    struct tug_job_req r = w_req(nodes, gpus);
    r.gpus_last = gpus_last;
    r.ntasks = (nodes - 1) * gpus + gpus_last;
    return r;
}

/* n0 has 2 GPUs held, n2 has 5: 6, 8, 3 and 8 are free. */
static void open_used(enum tug_placement placement)
{
    open_with(4, placement);
    struct tug_job_req a = w_req(1, 2), b = w_req(1, 5);
    a.nodelist = "n0";
    b.nodelist = "n2";
    w_submit(&w, 1, a);
    w_submit(&w, 2, b);
    ck_assert_int_eq(w_pass(&w), 2);
}

START_TEST(a_smaller_last_slice_goes_to_the_first_other_node_or_to_the_one_with_the_most_free)
{
    const struct {
        enum tug_placement placement;
        uint32_t first, last;
    } table[] = {{TUG_PLACEMENT_FIRST_FIT, 1, 0}, {TUG_PLACEMENT_CONSOLIDATE, 1, 3}};
    for (size_t i = 0; i < 2; i++) {
        open_used(table[i].placement);
        w_submit(&w, 3, uneven(2, 8, 4));
        ck_assert_int_eq(w_pass(&w), 1);
        ck_assert_uint_eq(node_of(3, 0), table[i].first);
        ck_assert_uint_eq(node_of(3, 1), table[i].last);
        ck_assert_uint_eq(w_job(&w, 3)->slices[1].gpus, table[i].last ? 0xf : 0x3c);
        w_clear(&w);
    }
}
END_TEST

START_TEST(ranks_follow_the_gpus_to_the_smaller_last_slice)
{
    open_with(3, TUG_PLACEMENT_FIRST_FIT);
    w_submit(&w, 1, uneven(3, 8, 4));
    w_run(&w, 1);
    const struct tug_job *j = w_job(&w, 1);
    ck_assert_uint_eq(j->slices[0].ntasks, 8);
    ck_assert_uint_eq(j->slices[1].ntasks, 8);
    ck_assert_uint_eq(j->slices[2].ntasks, 4);
    ck_assert_uint_eq(j->slices[2].first_rank, 16);
    ck_assert_uint_eq(j->steps[0].parts[2].ntasks, 4);
    ck_assert_uint_eq(j->steps[0].parts[2].first_rank, 16);
    w_clear(&w);
}
END_TEST

START_TEST(a_last_slice_has_one_rank_at_least)
{
    struct tug_job_req r = uneven(3, 8, 1);
    r.ntasks = 4;
    ck_assert_uint_eq(tug_job_req_tasks(&r, 0), 2);
    ck_assert_uint_eq(tug_job_req_tasks(&r, 1), 1);
    ck_assert_uint_eq(tug_job_req_tasks(&r, 2), 1);
}
END_TEST

START_TEST(a_gang_whose_last_slice_finds_no_other_node_waits_and_holds_nothing)
{
    open_with(2, TUG_PLACEMENT_FIRST_FIT);
    struct tug_job_req r = w_req(1, 6);
    r.nodelist = "n1";
    w_submit(&w, 1, r);
    ck_assert_int_eq(w_pass(&w), 1);
    w_submit(&w, 2, uneven(2, 8, 3));
    ck_assert_int_eq(w_pass(&w), 0);
    char why[256];
    tug_core_explain(w.c, w_job(&w, 2), NULL, why, sizeof why);
    ck_assert_str_eq(
        why,
        "needs 2 nodes with 8 GPUs and 1 CPU (3 GPUs on the last) free on each; 1 has that now");
    w_submit(&w, 3, uneven(2, 8, 2));
    w_submit(&w, 4, w_req(1, 2));
    struct tug_event cancel = {.type = TUG_EV_JOB_CANCEL, .job = 2};
    ck_assert_int_eq(w_event(&w, cancel), 0);
    ck_assert_int_eq(w_pass(&w), 1);
    ck_assert_uint_eq(node_of(3, 1), 1);
    w_clear(&w);
}
END_TEST

START_TEST(a_gang_that_needs_a_larger_last_node_than_there_is_up_is_parked)
{
    w_init(&w, 2, 8);
    w.rows[1].gpus = 4;
    w_open(&w);
    w_up_all(&w);
    w_submit(&w, 1, uneven(2, 8, 5));
    w_submit(&w, 2, uneven(2, 8, 4));
    ck_assert_int_eq(w_pass(&w), 1);
    w_is(&w, 2, CONFIGURING);
    char why[256];
    int reason;
    tug_core_explain(w.c, w_job(&w, 1), &reason, why, sizeof why);
    ck_assert_int_eq(reason, TUG_REASON_NODES_DOWN);
    w_clear(&w);
}
END_TEST

START_TEST(a_request_with_a_last_slice_that_is_not_smaller_is_refused)
{
    open_with(2, TUG_PLACEMENT_FIRST_FIT);
    const struct tug_job_req bad[] = {uneven(2, 4, 4), uneven(2, 4, 5), uneven(1, 4, 2)};
    for (size_t i = 0; i < 3; i++)
        unit_fails(
            w_event(&w, (struct tug_event){.type = TUG_EV_JOB_SUBMIT, .job = 1, .req = &bad[i]}),
            -EINVAL, w.err, "did not go through admission");
    w_clear(&w);
}
END_TEST

START_TEST(a_live_edit_changes_the_placement)
{
    open_with(3, TUG_PLACEMENT_FIRST_FIT);
    run(1, 1, 2);
    run(2, 1, 7);
    w.conf.placement = TUG_PLACEMENT_CONSOLIDATE;
    ck_assert_int_eq(tug_core_configure(w.c, w.now, &w.conf, &w.err), 0);
    run(3, 1, 1);
    ck_assert_uint_eq(node_of(3, 0), 1);
    w_clear(&w);
}
END_TEST

START_TEST(a_policy_is_told_where_start_would_put_a_job_and_what_gangs_hold)
{
    open_with(4, TUG_PLACEMENT_FIRST_FIT);
    run(1, 2, 8);
    struct tug_job_req r = w_req(2, 4);
    r.nodelist = "n[1-2],n3";
    r.expected_ms = 5000;
    w_submit(&w, 2, r);
    struct asks a = {.job = 2, .held_job = 2, .nodes = 2};
    ck_assert_int_eq(w_pass_with(&w, &asker, &a), 1);
    ck_assert_int_eq(a.placed, 0);
    ck_assert_uint_eq(a.at[0].node, 2);
    ck_assert_uint_eq(a.at[1].node, 3);
    ck_assert_uint_eq(a.at[0].gpus, 0xf);
    ck_assert_int_eq(a.placed_wrong, -EINVAL);
    ck_assert_int_eq(a.may_use_0, 0);
    ck_assert_int_eq(a.may_use_3, 1);
    ck_assert_int_eq(a.n_held, 2);
    ck_assert_uint_eq(a.held[1].node, 3);
    ck_assert_uint_eq(a.held[1].gpus, 0xf);
    ck_assert_int_eq(a.expected_ms, 5000);
    ck_assert_int_eq(a.running_expected_ms, -1);
    w_clear(&w);
}
END_TEST

/* ---- place() of a plugin */

static struct {
    struct tug_policy_slice at[4];
    int rc, asked, starts, refused;
    uint64_t also; /* asks the host where it would put this one, and tries to start it */
    struct tug_policy_job job;
    struct tug_policy_slice others[4];
} hook;

static int choose(void *self, const struct tug_policy_view *view,
                  const struct tug_policy_host *host, struct tug_policy_pass *pass,
                  const struct tug_policy_job *job, struct tug_policy_slice *at, size_t n)
{
    (void) self;
    ck_assert_uint_gt(view->n_nodes, 0);
    hook.asked++;
    hook.job = *job;
    memcpy(at, hook.at, n * sizeof *at);
    if (hook.also) {
        ck_assert_int_eq(host->place(pass, hook.also, hook.others, 4), 0);
        hook.refused = host->start(pass, hook.also);
    }
    return hook.rc;
}

static const struct tug_policy_ops chooser = {
    .size = sizeof chooser, .abi = TUG_POLICY_ABI, .name = "chooser", .place = choose};

static void hook_is(int rc, uint32_t node, uint64_t gpus)
{
    memset(&hook, 0, sizeof hook);
    hook.rc = rc;
    hook.at[0] = (struct tug_policy_slice){node, gpus};
}

START_TEST(parts_of_gpus_fill_one_gpu_and_whole_gpus_go_where_nobody_has_a_part)
{
    for (int placement = TUG_PLACEMENT_FIRST_FIT; placement <= TUG_PLACEMENT_TOPOLOGY;
         placement++) {
        open_with(3, (enum tug_placement) placement);
        struct tug_job_req part = w_req(1, 1), full = w_req(1, 6);
        full.nodelist = "n1";
        w_submit(&w, 1, full);
        ck_assert_int_eq(w_pass(&w), 1);
        part.gpu_milli = 400;
        w_submit(&w, 2, part);
        w_submit(&w, 3, part);
        w_submit(&w, 4, part);
        ck_assert_int_eq(w_pass(&w), 3);
        ck_assert_uint_eq(node_of(2, 0), 1); /* the fullest */
        ck_assert_uint_eq(w_job(&w, 2)->slices[0].gpus, 0x40);
        ck_assert_uint_eq(w_job(&w, 3)->slices[0].gpus, 0x40);
        ck_assert_uint_eq(w_job(&w, 4)->slices[0].gpus, 0x80);
        struct tug_core_counts n;
        tug_core_count(w.c, &n);
        ck_assert_uint_eq(n.gpus - n.gpus_used, 16);
        part.gpu_milli = 200;
        w_submit(&w, 5, part); /* 200 are left of one, 600 of the other */
        w_submit(&w, 6, w_req(2, 8));
        ck_assert_int_eq(w_pass(&w), 2);
        ck_assert_uint_eq(w_job(&w, 5)->slices[0].gpus, 0x40);
        part.gpu_milli = 601;
        w_submit(&w, 7, part);
        ck_assert_int_eq(w_pass(&w), 0);
        char why[256];
        tug_core_explain(w.c, w_job(&w, 7), NULL, why, sizeof why);
        ck_assert_str_eq(why,
                         "needs 1 node with 601/1000 of a GPU and 1 CPU, on a GPU that no other user has a part "
                         "of, free; 0 have that now");
        w_ready(&w, 4, 1, 0, 1);
        w_done(&w, 4, 1, 0, 1, 0);
        ck_assert_int_eq(w_pass(&w), 1);
        ck_assert_uint_eq(w_job(&w, 7)->slices[0].gpus, 0x80);
        w_clear(&w);
    }
}
END_TEST

static struct tug_job_req part_of_user(uint32_t uid, uint32_t milli)
{
    struct tug_job_req r = w_req(1, 1);
    r.uid = uid;
    r.user = uid == 1000 ? "ann" : "bob";
    r.gpu_milli = milli;
    return r;
}

static void share_gpus_as(enum tug_gpu_sharing rule)
{
    w.queues[0].share_gpus = rule;
    ck_assert_int_eq(tug_core_configure(w.c, w.now, &w.conf, NULL), 0);
    w_check(&w);
}

START_TEST(parts_of_two_users_are_on_one_gpu_only_where_the_queue_lets_them)
{
    open_with(1, TUG_PLACEMENT_FIRST_FIT);
    w_submit(&w, 1, w_req(1, 6));
    w_submit(&w, 2, part_of_user(1000, 300));
    w_submit(&w, 3, part_of_user(1001, 300));
    w_submit(&w, 4, part_of_user(1000, 300));
    ck_assert_int_eq(w_pass(&w), 4);
    ck_assert_uint_eq(w_job(&w, 2)->slices[0].gpus, 0x40);
    ck_assert_uint_eq(w_job(&w, 3)->slices[0].gpus, 0x80);
    ck_assert_uint_eq(w_job(&w, 4)->slices[0].gpus, 0x40);
    w_submit(&w, 7, part_of_user(1000, 100));
    ck_assert_int_eq(w_pass(&w), 1);
    ck_assert_uint_eq(w_job(&w, 7)->slices[0].gpus, 0x40);
    w_submit(&w, 5, part_of_user(1002, 100)); /* there is room, but beside others only */
    w_submit(&w, 6, part_of_user(1003, 800));
    ck_assert_int_eq(w_pass(&w), 0);

    share_gpus_as(TUG_GPU_SHARING_ALL); /* those that run have not said so */
    ck_assert_int_eq(w_pass(&w), 0);
    w_ready(&w, 3, 1, 0, 0);
    w_done(&w, 3, 1, 0, 0, 0);
    ck_assert_int_eq(w_pass(&w), 2); /* on the GPU that is free now, and beside it */
    ck_assert_uint_eq(w_job(&w, 5)->slices[0].gpus, 0x80);
    ck_assert_uint_eq(w_job(&w, 6)->slices[0].gpus, 0x80);
    share_gpus_as(TUG_GPU_SHARING_USER); /* what runs stays as it is */
    w_clear(&w);
}
END_TEST

START_TEST(a_plugin_cannot_mix_parts_of_two_users)
{
    open_with(1, TUG_PLACEMENT_FIRST_FIT);
    hook_is(0, 0, 0x20);
    w_submit(&w, 1, part_of_user(1000, 400));
    ck_assert_int_eq(w_pass_with(&w, &chooser, NULL), 1);
    w_submit(&w, 2, part_of_user(1001, 400));
    ck_assert_int_eq(w_pass_with(&w, &chooser, NULL), 1);
    ck_assert_int_eq(w.stats.refused, 1);
    ck_assert_uint_eq(w_job(&w, 1)->slices[0].gpus, 0x20);
    ck_assert_uint_eq(w_job(&w, 2)->slices[0].gpus, 1); /* where the core puts it */
    w_clear(&w);
}
END_TEST

START_TEST(a_part_of_a_gpu_is_of_one_gpu_on_one_node)
{
    open_with(2, TUG_PLACEMENT_FIRST_FIT);
    struct tug_job_req bad[] = {w_req(2, 1), w_req(1, 2), w_req(1, 1), w_req(1, 1)};
    for (size_t i = 0; i < 4; i++)
        bad[i].gpu_milli = 500;
    bad[2].gpu_milli = 1000;
    bad[3].exclusive = 1;
    for (size_t i = 0; i < 4; i++)
        unit_fails(
            w_event(&w, (struct tug_event){.type = TUG_EV_JOB_SUBMIT, .job = 1, .req = &bad[i]}),
            -EINVAL, w.err, "did not go through admission");
    w_clear(&w);
}
END_TEST

START_TEST(a_plugin_places_parts_of_gpus_where_there_is_room)
{
    open_with(1, TUG_PLACEMENT_FIRST_FIT);
    struct tug_job_req part = w_req(1, 1);
    part.gpu_milli = 400;
    hook_is(0, 0, 0x20);
    for (tug_job_id id = 1; id <= 3; id++) {
        w_submit(&w, id, part);
        ck_assert_int_eq(w_pass_with(&w, &chooser, NULL), 1);
        ck_assert_int_eq(w.stats.refused, id == 3); /* 200 are left there */
        ck_assert_uint_eq(w_job(&w, id)->slices[0].gpus, id == 3 ? 1 : 0x20);
    }
    ck_assert_uint_eq(hook.job.gpu_milli, 400);
    w_clear(&w);
}
END_TEST

START_TEST(a_plugin_that_places_says_on_which_nodes_and_gpus_jobs_start)
{
    open_with(3, TUG_PLACEMENT_FIRST_FIT);
    hook_is(0, 2, 0xf0);
    hook.at[1] = (struct tug_policy_slice){1, 0x41};
    w_submit(&w, 1, uneven(2, 4, 2));
    ck_assert_int_eq(w_pass_with(&w, &chooser, NULL), 1);
    ck_assert_int_eq(hook.asked, 1);
    ck_assert_uint_eq(hook.job.id, 1);
    ck_assert_uint_eq(node_of(1, 0), 2);
    ck_assert_uint_eq(w_job(&w, 1)->slices[0].gpus, 0xf0);
    ck_assert_uint_eq(w_job(&w, 1)->slices[1].gpus, 0x41);
    w_clear(&w);
}
END_TEST

START_TEST(a_plugin_that_finds_no_place_is_asked_again_once_something_is_free)
{
    open_with(2, TUG_PLACEMENT_FIRST_FIT);
    run(1, 1, 8);
    hook_is(-EAGAIN, 0, 0);
    w_submit(&w, 2, w_req(1, 4));
    ck_assert_int_eq(w_pass_with(&w, &chooser, NULL), 0);
    w_submit(&w, 3, w_req(1, 4)); /* of the same shape */
    ck_assert_int_eq(w_pass_with(&w, &chooser, NULL), 0);
    ck_assert_int_eq(hook.asked, 1);
    ck_assert_int_eq(w.stats.refused, 0);
    w_ready(&w, 1, 1, 0, 0);
    w_done(&w, 1, 1, 0, 0, 0);
    hook_is(0, 1, 0xf);
    ck_assert_int_eq(w_pass_with(&w, &chooser, NULL), 2); /* job 3 where the core says */
    ck_assert_uint_eq(node_of(2, 0), 1);
    w_clear(&w);
}
END_TEST

START_TEST(a_plugin_is_not_asked_about_what_cannot_fit)
{
    open_with(2, TUG_PLACEMENT_FIRST_FIT);
    run(1, 2, 8);
    hook_is(0, 0, 0xf);
    w_submit(&w, 2, w_req(1, 4));
    ck_assert_int_eq(w_pass_with(&w, &chooser, NULL), 0);
    ck_assert_int_eq(hook.asked, 0);
    w_clear(&w);
}
END_TEST

START_TEST(a_wrong_place_is_refused_and_the_core_chooses)
{
    const struct {
        uint32_t node;
        uint64_t gpus;
        const char *says;
    } table[] = {
        {7, 0xf, "policy 'chooser' puts job 2 on node 7, which does not exist"},
        {1, 0x7, "policy 'chooser' gives job 2 3 GPUs on node n1; it asked for 4"},
        {0, 0xf, "policy 'chooser' puts job 2 on node n0, where something"},
        {1, 0xf00, "policy 'chooser' gives job 2 GPUs that node n1 does not have"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        open_with(2, TUG_PLACEMENT_FIRST_FIT);
        run(1, 1, 8);
        hook_is(0, table[i].node, table[i].gpus);
        w_submit(&w, 2, w_req(1, 4));
        ck_assert_int_eq(w_pass_with(&w, &chooser, NULL), 1);
        ck_assert_int_eq(w.stats.refused, 1);
        ck_assert_msg(strstr(w.err.msg, table[i].says) != NULL, "%s", w.err.msg);
        ck_assert_uint_eq(node_of(2, 0), 1);
        w_clear(&w);
    }
}
END_TEST

START_TEST(a_plugin_that_fails_to_place_leaves_it_to_the_core_and_is_named)
{
    open_with(2, TUG_PLACEMENT_FIRST_FIT);
    hook_is(-EIO, 1, 0xf);
    w_submit(&w, 1, w_req(1, 4));
    ck_assert_int_eq(w_pass_with(&w, &chooser, NULL), -EIO);
    ck_assert_msg(strstr(w.err.msg, "policy 'chooser' could not decide: its place() returned") !=
                      NULL,
                  "%s", w.err.msg);
    ck_assert_uint_eq(node_of(1, 0), 0);
    w_clear(&w);
}
END_TEST

START_TEST(a_plugin_that_places_may_ask_where_the_core_would_and_may_start_nothing)
{
    open_with(4, TUG_PLACEMENT_FIRST_FIT);
    hook_is(0, 3, 0xf);
    hook.also = 2;
    w_submit(&w, 1, w_req(1, 4));
    w_submit(&w, 2, w_req(4, 1));
    ck_assert_int_eq(w_pass_with(&w, &chooser, NULL), 2);
    ck_assert_uint_eq(node_of(1, 0), 3);
    ck_assert_uint_eq(hook.others[3].node, 3);
    ck_assert_int_eq(hook.refused, -EPERM);
    w_clear(&w);
}
END_TEST

START_TEST(a_job_without_an_estimate_is_expected_to_run_for_its_time_limit)
{
    open_with(4, TUG_PLACEMENT_FIRST_FIT);
    run(1, 4, 8);
    struct tug_job_req r = w_req(1, 4);
    r.time_limit_s = 90;
    w_submit(&w, 2, r);
    struct asks a = {.job = 2, .held_job = 99, .nodes = 1};
    ck_assert_int_eq(w_pass_with(&w, &asker, &a), 0);
    ck_assert_int_eq(a.placed, -EAGAIN);
    ck_assert_int_eq(a.expected_ms, 90000);
    ck_assert_int_eq(a.n_held, -ENOENT);
    w_clear(&w);
}
END_TEST

START_TEST(jobs_that_ask_for_the_same_in_the_same_places_have_one_shape)
{
    open_with(2, TUG_PLACEMENT_FIRST_FIT);
    run(1, 2, 8);
    struct tug_job_req r = w_req(1, 4);
    r.time_limit_s = 60;
    w_submit(&w, 2, w_req(1, 4));
    w_submit(&w, 3, r);
    r.nodelist = "n1";
    w_submit(&w, 4, r);
    struct asks a = {.job = 2, .held_job = 99, .nodes = 1};
    ck_assert_int_eq(w_pass_with(&w, &asker, &a), 0);
    ck_assert_uint_ne(a.shapes[0], 0);
    ck_assert_uint_eq(a.shapes[0], a.shapes[1]);
    ck_assert_uint_ne(a.shapes[0], a.shapes[2]);
    w_clear(&w);
}
END_TEST

START_TEST(a_quiet_core_keeps_no_explanations_and_says_so)
{
    for (uint8_t quiet = 0; quiet < 2; quiet++) {
        open_with(2, TUG_PLACEMENT_FIRST_FIT);
        w.conf.quiet = quiet;
        ck_assert_int_eq(tug_core_configure(w.c, w.now, &w.conf, &w.err), 0);
        run(1, 2, 8);
        w_submit(&w, 2, w_req(1, 4));
        struct asks a = {.job = 2, .held_job = 99, .nodes = 1};
        ck_assert_int_eq(w_pass_with(&w, &asker, &a), 0);
        ck_assert_uint_eq(a.explains, !quiet);
        ck_assert_int_eq(w_job(&w, 2)->explain == NULL, quiet);
        w_clear(&w);
    }
}
END_TEST

START_TEST(a_gang_gets_the_gpus_of_a_node_that_are_linked_best)
{
    struct tug_machine *mesh = kind_mesh();
    open_with(2, TUG_PLACEMENT_FIRST_FIT);
    w.machines[0] = mesh;
    w_up_all(&w);
    run(1, 1, 2);
    ck_assert_uint_eq(w_job(&w, 1)->slices[0].gpus, 0x06);
    run(2, 1, 2);
    ck_assert_uint_eq(w_job(&w, 2)->slices[0].gpus, 0x09);
    run(3, 2, 4);
    ck_assert_uint_eq(w_job(&w, 3)->slices[0].gpus, 0xf0);
    ck_assert_uint_eq(w_job(&w, 3)->slices[1].gpus, 0x0f); /* nobody knows */
    w_clear(&w);
    free(mesh);
}
END_TEST

START_TEST(a_part_of_a_gpu_takes_the_gpu_whose_loss_costs_least)
{
    struct tug_machine *pairs = kind_pairs(8);
    open_with(1, TUG_PLACEMENT_FIRST_FIT);
    w.machines[0] = pairs;
    w_up_all(&w);
    run(1, 1, 3);
    ck_assert_uint_eq(w_job(&w, 1)->slices[0].gpus, 0x07);
    struct tug_job_req r = w_req(1, 1);
    r.gpu_milli = 500;
    for (tug_job_id id = 2; id < 5; id++) {
        w_submit(&w, id, r);
        w_run(&w, id);
    }
    ck_assert_uint_eq(w_job(&w, 2)->slices[0].gpus, 0x08); /* the one that stands alone */
    ck_assert_uint_eq(w_job(&w, 3)->slices[0].gpus, 0x08);
    ck_assert_uint_eq(w_job(&w, 4)->slices[0].gpus, 0x10);
    w_clear(&w);
    free(pairs);
}
END_TEST

UNIT_MAIN("core/place", first_fit_takes_the_first_node_and_consolidate_the_fullest_that_suffices,
          consolidate_takes_the_lowest_of_equal_nodes_and_keeps_a_gang_in_node_order,
          consolidate_gives_an_exclusive_job_an_idle_node,
          a_smaller_last_slice_goes_to_the_first_other_node_or_to_the_one_with_the_most_free,
          ranks_follow_the_gpus_to_the_smaller_last_slice, a_last_slice_has_one_rank_at_least,
          a_gang_whose_last_slice_finds_no_other_node_waits_and_holds_nothing,
          a_gang_that_needs_a_larger_last_node_than_there_is_up_is_parked,
          a_request_with_a_last_slice_that_is_not_smaller_is_refused,
          a_live_edit_changes_the_placement,
          a_policy_is_told_where_start_would_put_a_job_and_what_gangs_hold,
          parts_of_gpus_fill_one_gpu_and_whole_gpus_go_where_nobody_has_a_part,
          a_part_of_a_gpu_is_of_one_gpu_on_one_node,
          parts_of_two_users_are_on_one_gpu_only_where_the_queue_lets_them,
          a_plugin_cannot_mix_parts_of_two_users,
          a_plugin_places_parts_of_gpus_where_there_is_room,
          a_plugin_that_places_says_on_which_nodes_and_gpus_jobs_start,
          a_plugin_that_finds_no_place_is_asked_again_once_something_is_free,
          a_plugin_is_not_asked_about_what_cannot_fit,
          a_wrong_place_is_refused_and_the_core_chooses,
          a_plugin_that_fails_to_place_leaves_it_to_the_core_and_is_named,
          a_plugin_that_places_may_ask_where_the_core_would_and_may_start_nothing,
          a_job_without_an_estimate_is_expected_to_run_for_its_time_limit,
          jobs_that_ask_for_the_same_in_the_same_places_have_one_shape,
          a_quiet_core_keeps_no_explanations_and_says_so,
          a_gang_gets_the_gpus_of_a_node_that_are_linked_best,
          a_part_of_a_gpu_takes_the_gpu_whose_loss_costs_least)
