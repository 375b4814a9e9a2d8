/* test_place.c - which nodes a gang gets, and what a policy is told about places */
#include <errno.h>

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

UNIT_MAIN("core/place", first_fit_takes_the_first_node_and_consolidate_the_fullest_that_suffices,
          consolidate_takes_the_lowest_of_equal_nodes_and_keeps_a_gang_in_node_order,
          consolidate_gives_an_exclusive_job_an_idle_node, a_live_edit_changes_the_placement,
          a_policy_is_told_where_start_would_put_a_job_and_what_gangs_hold,
          a_job_without_an_estimate_is_expected_to_run_for_its_time_limit,
          jobs_that_ask_for_the_same_in_the_same_places_have_one_shape,
          a_quiet_core_keeps_no_explanations_and_says_so)
