/* test_quality.c - how good a gang's place is, and why */
#include "core/state.h"
#include "kinds.h"
#include "world.h"

static struct world w;

static const struct tug_core_domain leaves[] = {{"leaf1", "leaf", "spine", "n[0-1]"},
                                                {"leaf2", "leaf", "spine", "n[2-3]"},
                                                {"spine", "spine", "", ""}};
static const struct tug_core_level levels[] = {{"leaf", 50000000000, 4, 0}, {"spine", 0, 1, 0}};

static void open_with(uint32_t n, const struct tug_machine *m)
{
    w_init(&w, n, m->n_gpus);
    w.conf.domains = leaves;
    w.conf.n_domains = n == 4 ? 3 : 0;
    w.conf.levels = levels;
    w.conf.n_levels = 2;
    w.conf.placement = TUG_PLACEMENT_TOPOLOGY;
    for (uint32_t i = 0; i < n; i++)
        w.machines[i] = m;
    w_open(&w);
    w_up_all(&w);
}

static const struct tug_job_quality *start(tug_job_id id, uint32_t nodes, uint32_t gpus, const char *nodelist)
{
    struct tug_job_req r = w_req(nodes, gpus);
    r.nodelist = nodelist;
    w_submit(&w, id, r);
    ck_assert_int_eq(w_pass(&w), 1);
    return &w_job(&w, id)->quality;
}

static uint32_t milli(const struct tug_job_quality *q)
{
    return tug_job_quality_milli(q->mbs, q->best_mbs);
}

START_TEST(a_pair_without_nvlink_is_told_so)
{
    struct tug_machine *mesh = kind_mesh();
    open_with(1, mesh);
    start(1, 1, 6, "");
    const struct tug_job_quality *q = start(2, 1, 2, "");
    ck_assert_uint_eq(w_job(&w, 2)->slices[0].gpus, 0x22); /* the six left a pair with two links */
    ck_assert_uint_eq(milli(q), 1000);
    ck_assert_str_eq(q->text, "limited by the links between GPUs 1,5 of node n0; predicted 40 GB/s of 40 GB/s");
    const struct tug_policy_slice at = {0, 0x21};
    struct tug_quality bad;
    char text[256];
    tug_quality_of(w.c, tug_entry_of(w_job(&w, 2))->shape, &at, 1, &bad);
    ck_assert_uint_eq(bad.milli, 252);
    ck_assert_str_eq(tug_quality_say(w.c, &bad, &at, 1, text, sizeof text),
                     "limited by the links between GPUs 0,5 of node n0; predicted 10.1 GB/s of 40 GB/s");
    w_clear(&w);
    free(mesh);
}
END_TEST

START_TEST(a_gang_that_spans_leaves_is_told_what_that_costs_and_keeps_it_over_a_restart)
{
    struct tug_machine *m = kind_switched(8, 450000);
    struct tug_err err;
    for (uint32_t i = 0; i < 8; i++)
        kind_add_nic(m, 1ULL << i, 50000);
    open_with(4, m);
    start(1, 1, 8, "n0");
    start(2, 1, 8, "n2");
    const struct tug_job_quality *q = start(3, 2, 8, "");
    ck_assert_uint_eq(milli(q), 417);
    ck_assert_str_eq(q->text, "spans 2 of level leaf with oversubscription 4; predicted 150 GB/s of 360 GB/s");
    struct tug_core *again = tug_core_new(&w.conf, &err);
    ck_assert_int_eq(tug_core_restore_job(again, w_job(&w, 3), &err), 0);
    ck_assert_str_eq(tug_core_job(again, 3)->quality.text, q->text);
    ck_assert_uint_eq(tug_core_job(again, 3)->quality.best_mbs, 360000);
    tug_core_free(again);
    w_clear(&w);
    free(m);
}
END_TEST

START_TEST(the_best_is_of_nodes_that_can_be_used_and_a_requeue_starts_over)
{
    struct tug_machine *m = kind_switched(8, 450000);
    for (uint32_t i = 0; i < 8; i++)
        kind_add_nic(m, 1ULL << i, 50000);
    open_with(4, m);
    w_down(&w, 0);
    w_down(&w, 2);
    const struct tug_job_quality *q = start(1, 2, 8, "");
    ck_assert_uint_eq(q->best_mbs, 150000); /* no leaf has two nodes */
    ck_assert_uint_eq(milli(q), 1000);
    w_up(&w, 0, NULL, 0);
    w_run(&w, 1);
    ck_assert_uint_eq(q->best_mbs, 150000); /* as it was then */
    w_down(&w, 3);
    w_gone(&w, 1, 1, 0, 1);
    w_lease_over(&w, 3);
    w_is(&w, 1, PENDING);
    ck_assert_uint_eq(w_job(&w, 1)->quality.mbs, 0);
    ck_assert_int_eq(w_pass(&w), 1);
    ck_assert_uint_eq(w_job(&w, 1)->quality.best_mbs, 360000);
    w_clear(&w);
    free(m);
}
END_TEST

START_TEST(one_gpu_a_part_of_one_and_unknown_nodes_have_no_quality)
{
    struct tug_machine *mesh = kind_mesh();
    open_with(1, mesh);
    ck_assert_uint_eq(start(1, 1, 1, "")->mbs, 0);
    ck_assert_ptr_null(w_job(&w, 1)->quality.text);
    struct tug_job_req r = w_req(1, 1);
    r.gpu_milli = 500;
    w_submit(&w, 2, r);
    ck_assert_int_eq(w_pass(&w), 1);
    ck_assert_uint_eq(w_job(&w, 2)->quality.mbs, 0);
    w_clear(&w);
    w_init(&w, 2, 8);
    w_up_all(&w);
    ck_assert_uint_eq(start(1, 2, 8, "")->best_mbs, 0);
    w_clear(&w);
    free(mesh);
}
END_TEST

START_TEST(levels_alone_give_a_figure_too)
{
    struct tug_machine *unknown = kind_mesh();
    open_with(4, unknown);
    for (uint32_t i = 0; i < 4; i++) {
        w.machines[i] = NULL;
        w_up(&w, i, NULL, 0);
    }
    const struct tug_job_quality *q = start(1, 2, 8, "n0,n2");
    ck_assert_uint_eq(q->mbs, 150000); /* 0.8 x 50 / 4 x 15 */
    ck_assert_uint_eq(milli(q), 1000); /* it may not use others */
    w_clear(&w);
    free(unknown);
}
END_TEST

UNIT_MAIN("core/quality", a_pair_without_nvlink_is_told_so,
          a_gang_that_spans_leaves_is_told_what_that_costs_and_keeps_it_over_a_restart,
          the_best_is_of_nodes_that_can_be_used_and_a_requeue_starts_over,
          one_gpu_a_part_of_one_and_unknown_nodes_have_no_quality, levels_alone_give_a_figure_too)
