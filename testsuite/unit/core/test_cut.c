/* test_cut.c - slices of GPUs are allocated one by one, and a GPU that is cut by nobody as a whole */
#include <errno.h>

#include "world.h"

#include "core/state.h"

/* GPU 0: 7 x 1g.10gb (devices 4..10), GPU 1: 2 x 3g.40gb (11, 12), GPU 2: 1 x 1g.10gb and 1 x 3g.40gb (13, 14), GPU 3: whole. */
static const struct tug_core_mig cutting[] = {
    {"1g.10gb", 0, 0, 4},  {"1g.10gb", 0, 0, 5}, {"1g.10gb", 0, 0, 6},  {"1g.10gb", 0, 0, 7},  {"1g.10gb", 0, 0, 8}, {"1g.10gb", 0, 0, 9},
    {"1g.10gb", 0, 0, 10}, {"3g.40gb", 0, 1, 11}, {"3g.40gb", 0, 1, 12}, {"1g.10gb", 0, 2, 13}, {"3g.40gb", 0, 2, 14}};

/* n0 is cut so, n1 has four whole GPUs. */
static void init(struct world *w)
{
    w_init(w, 2, 4);
    w->mig[0] = cutting;
    w->n_mig[0] = sizeof cutting / sizeof *cutting;
    w_up_all(w);
}

static struct tug_job_req slices(uint32_t n, const char *profile)
{
    struct tug_job_req r = w_req(1, n);
    r.mig_profile = profile;
    return r;
}

static int admit(struct world *w, const struct tug_core_ask *ask, const char *profile, struct tug_job_req *out)
{
    *out = (struct tug_job_req){.user = "ann", .queue = "all", .mig_profile = profile};
    memset(&w->err, 0, sizeof w->err);
    return tug_core_admit(w->c, ask, out, &w->err);
}

static tug_gpuset gpus(struct world *w, tug_job_id id)
{
    return w_job(w, id)->slices[0].gpus;
}

START_TEST(slices_of_one_profile_are_given_out_one_by_one_and_never_twice)
{
    struct world w;
    init(&w);
    for (tug_job_id id = 1; id <= 9; id++)
        w_submit(&w, id, slices(1, "1g.10gb"));
    ck_assert_int_eq(w_pass(&w), 8);
    tug_gpuset all = 0;
    for (tug_job_id id = 1; id <= 8; id++) {
        ck_assert_uint_eq(w_job(&w, id)->slices[0].node, 0);
        ck_assert_uint_eq(all & gpus(&w, id), 0);
        all |= gpus(&w, id);
    }
    ck_assert_uint_eq(all, 0x27f0);
    w_is(&w, 9, PENDING);
    char why[256];
    int reason;
    ck_assert_str_eq(tug_core_explain(w.c, w_job(&w, 9), &reason, why, sizeof why),
                     "needs 1 node with 1 slice 1g.10gb and 1 CPU free; 0 have that now");
    w_clear(&w);
}
END_TEST

START_TEST(a_GPU_that_is_cut_is_given_to_nobody_as_a_whole)
{
    struct world w;
    init(&w);
    w_submit(&w, 1, w_req(1, 4));
    w_submit(&w, 2, w_req(1, 1));
    w_submit(&w, 3, w_req(1, 1));
    ck_assert_int_eq(w_pass(&w), 2);
    ck_assert_uint_eq(w_job(&w, 1)->slices[0].node, 1);
    ck_assert_uint_eq(w_job(&w, 2)->slices[0].node, 0);
    ck_assert_uint_eq(gpus(&w, 2), 1 << 3);
    w_is(&w, 3, PENDING);
    struct tug_core_node n;
    tug_core_node(w.c, 0, &n);
    ck_assert_uint_eq(n.gpus, 1);
    ck_assert_uint_eq(n.gpus_cut, 7);
    ck_assert_uint_eq(n.gpus_used, 8);
    ck_assert_uint_eq(n.slices, 11);
    w_clear(&w);
}
END_TEST

START_TEST(partly_used_GPUs_are_filled_first_and_then_the_fullest)
{
    struct world w;
    init(&w);
    w_submit(&w, 1, slices(1, "3g.40gb"));
    ck_assert_int_eq(w_pass(&w), 1);
    ck_assert_uint_eq(gpus(&w, 1), 1 << 14); /* GPU 2 has the fewest of them */
    w_submit(&w, 2, slices(1, "1g.10gb"));
    ck_assert_int_eq(w_pass(&w), 1);
    ck_assert_uint_eq(gpus(&w, 2), 1 << 13); /* beside job 1 */
    w_submit(&w, 3, slices(3, "1g.10gb"));
    ck_assert_int_eq(w_pass(&w), 1);
    ck_assert_uint_eq(gpus(&w, 3), 0x70);
    ck_assert_uint_eq(tug_core_gpus_of(w.c, 0, gpus(&w, 3) | gpus(&w, 1)), 5);
    w_clear(&w);
}
END_TEST

START_TEST(slices_that_nobody_has_are_refused_with_those_that_there_are)
{
    struct world w;
    struct tug_job_req r;
    struct tug_core_ask one = {.gpus = 1}, nine = {.gpus_per_node = 9}, whole = {.gpus = 2}, part = {.gpus = 1, .gpu_milli = 500};
    init(&w);
    unit_fails(admit(&w, &one, "1g.5gb", &r), -EINVAL, w.err,
               "no node of queue 'all' that the job may use has GPUs cut into '1g.5gb'; there are: '1g.10gb', '3g.40gb'");
    unit_fails(admit(&w, &one, "big", &r), -EINVAL, w.err, "'big' is not a profile of slices of a GPU, like 1g.10gb");
    unit_fails(admit(&w, &nine, "1g.10gb", &r), -EINVAL, w.err, "9 1g.10gb slices per node were asked for, but the largest node");
    unit_fails(admit(&w, &part, "1g.10gb", &r), -EINVAL, w.err, "--gpu-share gives a part of a whole GPU");
    ck_assert_int_eq(admit(&w, &one, "3g.40gb", &r), 0);
    ck_assert_str_eq(r.mig_profile, "3g.40gb");
    ck_assert_uint_eq(r.gpus_per_node, 1);
    ck_assert_int_eq(admit(&w, &(struct tug_core_ask){0}, "3g.40gb", &r), 0);
    ck_assert_str_eq(r.mig_profile, "");
    w.n_mig[0] = 0;
    w_up(&w, 0, NULL, 0);
    unit_fails(admit(&w, &one, "3g.40gb", &r), -EINVAL, w.err, "or into anything; ask for whole GPUs");
    struct tug_core_mig all[8];
    for (uint8_t i = 0; i < 8; i++)
        all[i] = (struct tug_core_mig){"7g.80gb", 0, i % 4, (uint8_t) (4 + i)};
    w.mig[0] = w.mig[1] = all;
    w.n_mig[0] = w.n_mig[1] = 4;
    w_up_all(&w);
    unit_fails(admit(&w, &whole, "", &r), -EINVAL, w.err,
               "cut into slices; ask for such, like --gpus=7g.80gb:1; there are: '7g.80gb'");
    w_clear(&w);
}
END_TEST

START_TEST(nodes_that_have_not_come_yet_may_be_cut_into_anything)
{
    struct world w;
    struct tug_job_req r;
    w_init(&w, 2, 4);
    ck_assert_int_eq(admit(&w, &(struct tug_core_ask){.gpus = 1}, "1g.5gb", &r), 0);
    w_submit(&w, 1, slices(1, "1g.5gb"));
    ck_assert_int_eq(w_pass(&w), 0);
    static const struct tug_core_mig five[] = {{"1g.5gb", 0, 2, 4}};
    w.mig[1] = five;
    w.n_mig[1] = 1;
    w_up_all(&w);
    ck_assert_int_eq(w_pass(&w), 1);
    ck_assert_uint_eq(w_job(&w, 1)->slices[0].node, 1);
    w_clear(&w);
}
END_TEST

START_TEST(slices_count_as_the_part_of_a_GPU_that_they_are_and_a_queues_use_is_rounded_up_once)
{
    struct world w;
    size_t n;
    w_init(&w, 1, 4);
    w.mig[0] = cutting;
    w.n_mig[0] = sizeof cutting / sizeof *cutting;
    w.queues[0].cap_gpus = 1;
    w_open(&w);
    w_up_all(&w);
    for (tug_job_id id = 1; id <= 8; id++)
        w_submit(&w, id, slices(1, "1g.10gb"));
    ck_assert_int_eq(w_pass(&w), 7); /* 7 of 7 are one GPU */
    const struct tug_policy_queue *q = tug_core_queue_tree(w.c, &n);
    ck_assert_uint_eq(q[0].gpus_used, 1);
    ck_assert_uint_eq(q[0].gpus_wanted, 1);
    char why[256];
    int reason;
    tug_core_explain(w.c, w_job(&w, 8), &reason, why, sizeof why);
    ck_assert_str_eq(tug_core_reason_name(reason), "QueueCap");
    for (uint32_t id = 1; id <= 7; id++)
        w_ready(&w, id, 1, 0, 0);
    w.now += 7000 * 1000;
    w_tick(&w, w.now);
    const struct tug_policy_share *s = tug_core_share_tree(w.c, w.now, &n);
    ck_assert_msg(s[0].usage_gpu_s > 6900 && s[0].usage_gpu_s < 7001, "%f GPU-seconds", s[0].usage_gpu_s);
    ck_assert_uint_eq(s[0].gpus_used, 1);
    w_clear(&w);
}
END_TEST

START_TEST(a_gang_of_slices_spans_nodes_and_what_is_predicted_of_it_is_not_known)
{
    struct world w;
    w_init(&w, 2, 4);
    w.mig[0] = w.mig[1] = cutting;
    w.n_mig[0] = w.n_mig[1] = sizeof cutting / sizeof *cutting;
    w_up_all(&w);
    struct tug_job_req r = slices(5, "1g.10gb");
    r.nodes = r.ntasks = 2;
    w_submit(&w, 1, r);
    ck_assert_int_eq(w_pass(&w), 1);
    ck_assert_uint_eq(w_job(&w, 1)->n_slices, 2);
    ck_assert_uint_eq(tug_gpuset_count(w_job(&w, 1)->slices[1].gpus), 5);
    ck_assert_uint_eq(w_job(&w, 1)->quality.best_mbs | w_job(&w, 1)->quality.mbs, 0);
    w_clear(&w);
}
END_TEST

START_TEST(a_node_that_lost_slices_is_drained_and_one_that_was_cut_anew_is_not)
{
    static const struct tug_core_mig fewer[] = {{"1g.10gb", 0, 0, 4}, {"3g.40gb", 0, 1, 11}, {"3g.40gb", 0, 1, 12}},
                                     other[] = {{"3g.40gb", 0, 0, 15}, {"3g.40gb", 0, 1, 11}, {"3g.40gb", 0, 1, 12}};
    struct world w;
    w_init(&w, 1, 2);
    w.mig[0] = cutting;
    w.n_mig[0] = 9;
    w_up_all(&w);
    w.mig[0] = fewer;
    w.n_mig[0] = 3;
    w_up(&w, 0, NULL, 0);
    w_saw(&w, "node n0 is drained: GPU 0 was cut into 7 x 1g.10gb and is cut into 1 x 1g.10gb");
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_NODE_RESUME, .node = 0}), 0);
    w_up(&w, 0, NULL, 0); /* an admin has accepted that */
    struct tug_core_node n;
    tug_core_node(w.c, 0, &n);
    ck_assert(!n.drained);
    w.mig[0] = other;
    w_up(&w, 0, NULL, 0);
    w_saw(&w, "node n0 is cut otherwise than before: GPU 0 was cut into 1 x 1g.10gb and is cut into 1 x 3g.40gb");
    tug_core_node(w.c, 0, &n);
    ck_assert(!n.drained);
    w.n_mig[0] = 0;
    w_up(&w, 0, NULL, 0);
    w_saw(&w, "node n0 is drained: GPU 0 was cut into 1 x 3g.40gb and is whole");
    w_clear(&w);
}
END_TEST

START_TEST(slices_of_a_GPU_that_somebody_still_holds_as_a_whole_wait_for_its_end)
{
    static const struct tug_core_mig one[] = {{"7g.80gb", 0, 0, 4}};
    struct world w;
    w_init(&w, 1, 1);
    w_up_all(&w);
    w_submit(&w, 1, w_req(1, 1));
    w_run(&w, 1);
    w_forget(&w);
    w.mig[0] = one;
    w.n_mig[0] = 1;
    const struct tug_held_step held = {.job = 1, .attempt = 1, .phase = TUG_HELD_RUNNING};
    w_up(&w, 0, &held, 1);
    w_submit(&w, 2, slices(1, "7g.80gb"));
    ck_assert_int_eq(w_pass(&w), 0);
    w_done(&w, 1, 1, 0, 0, 0);
    ck_assert_int_eq(w_pass(&w), 1);
    ck_assert_uint_eq(gpus(&w, 2), 1 << 4);
    w_clear(&w);
}
END_TEST

START_TEST(a_number_that_somebody_holds_a_slice_by_becomes_no_other_slice)
{
    static const struct tug_core_mig before[] = {{"1g.10gb", 0, 0, 1}}, after[] = {{"7g.80gb", 0, 0, 1}, {"1g.10gb", 0, 0, 2}};
    struct world w;
    w_init(&w, 1, 1);
    w.mig[0] = before;
    w.n_mig[0] = 1;
    w_up_all(&w);
    w_submit(&w, 1, slices(1, "1g.10gb"));
    w_run(&w, 1);
    w.mig[0] = after;
    w.n_mig[0] = 2;
    const struct tug_held_step held = {.job = 1, .attempt = 1, .phase = TUG_HELD_RUNNING};
    w_up(&w, 0, &held, 1);
    struct tug_core_cut cuts[TUG_CORE_CUTS_MAX];
    ck_assert_uint_eq(tug_core_node_cuts(w.c, 0, cuts), 1);
    ck_assert_uint_eq(cuts[0].slices, 1 << 2);
    w_clear(&w);
}
END_TEST

static const struct tug_policy_ops none = {.size = sizeof none, .abi = TUG_POLICY_ABI, .name = "none"};

static int looks(void *self, const struct tug_policy_view *v, const struct tug_policy_host *host, struct tug_policy_pass *p)
{
    const struct tug_policy_job *j = TUG_POLICY_WAITING(v, 0);
    struct tug_policy_slice wrong = {0, 1 << 3}, right = {0, 3 << 4};
    int64_t at_ms;
    *(int *) self += 1;
    ck_assert_str_eq(j->mig_profile, "1g.10gb");
    ck_assert_uint_eq(j->slices, 2);
    ck_assert_uint_eq(j->slice_milli, 142);
    ck_assert_uint_eq(j->gpus + j->gpus_per_node + j->gpus_last, 0);
    ck_assert_int_eq(host->earliest(p, j->id, &at_ms), 0);
    ck_assert_int_eq(at_ms, 1000000);
    ck_assert_int_lt(host->start_on(p, j->id, &wrong, 1), 0);
    ck_assert_int_eq(host->start_on(p, j->id, &right, 1), 0);
    return 0;
}

START_TEST(to_a_policy_a_job_for_slices_wants_no_GPU_but_slices)
{
    struct world w;
    int asked = 0;
    struct tug_policy_ops ops = none;
    ops.pass = looks;
    init(&w);
    w_submit(&w, 1, slices(2, "1g.10gb"));
    ck_assert_int_eq(w_pass_with(&w, &ops, &asked), 1);
    ck_assert_int_eq(asked, 1);
    ck_assert_uint_eq(gpus(&w, 1), 3 << 4);
    w_clear(&w);
}
END_TEST

/* Reserves for the first, backfills the second. */
static int reserves(void *self, const struct tug_policy_view *v, const struct tug_policy_host *host, struct tug_policy_pass *p)
{
    int64_t at_ms;
    (void) self;
    ck_assert_int_eq(host->reserve(p, TUG_POLICY_WAITING(v, 0)->id, &at_ms), 0);
    ck_assert_int_eq(at_ms, 1000000 + 100 * 1000);
    host->backfill(p, TUG_POLICY_WAITING(v, 1)->id);
    host->backfill(p, TUG_POLICY_WAITING(v, 2)->id);
    return 0;
}

START_TEST(a_reservation_of_slices_is_delayed_by_slices_of_its_kind_only)
{
    struct world w;
    struct tug_policy_ops ops = none;
    struct tug_job_req r = slices(8, "1g.10gb");
    ops.pass = reserves;
    init(&w);
    r.gpus_per_node = 4;
    r.time_limit_s = 100;
    w_submit(&w, 1, r);
    w_run(&w, 1);
    r.gpus_per_node = 8;
    w_submit(&w, 2, r); /* waits for job 1 */
    r = slices(2, "1g.10gb");
    r.time_limit_s = 200;
    w_submit(&w, 3, r); /* would delay it */
    r.mig_profile = "3g.40gb";
    w_submit(&w, 4, r); /* would not */
    ck_assert_int_eq(w_pass_with(&w, &ops, NULL), 1);
    w_is(&w, 3, PENDING);
    w_is(&w, 4, CONFIGURING);
    w_clear(&w);
}
END_TEST

UNIT_MAIN("core/cut", slices_of_one_profile_are_given_out_one_by_one_and_never_twice, a_GPU_that_is_cut_is_given_to_nobody_as_a_whole,
          partly_used_GPUs_are_filled_first_and_then_the_fullest, slices_that_nobody_has_are_refused_with_those_that_there_are,
          nodes_that_have_not_come_yet_may_be_cut_into_anything,
          slices_count_as_the_part_of_a_GPU_that_they_are_and_a_queues_use_is_rounded_up_once,
          a_gang_of_slices_spans_nodes_and_what_is_predicted_of_it_is_not_known,
          a_node_that_lost_slices_is_drained_and_one_that_was_cut_anew_is_not,
          slices_of_a_GPU_that_somebody_still_holds_as_a_whole_wait_for_its_end,
          a_number_that_somebody_holds_a_slice_by_becomes_no_other_slice, to_a_policy_a_job_for_slices_wants_no_GPU_but_slices,
          a_reservation_of_slices_is_delayed_by_slices_of_its_kind_only)
