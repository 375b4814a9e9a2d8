/* test_frag.c - how much of what is free is of no use to the gangs that come */
#include "core/frag.h"
#include "core/state.h"
#include "world.h"

static struct world w;

static const struct tug_core_domain leaves[] = {{"leaf1", "leaf", "spine", "n[0-3]"},
                                                {"leaf2", "leaf", "spine", "n[4-7]"},
                                                {"spine", "spine", "", ""}};

static void hold(tug_job_id id, const char *node, uint32_t gpus)
{
    struct tug_job_req r = w_req(1, gpus);
    r.nodelist = node;
    w_submit(&w, id, r);
    ck_assert_int_eq(w_pass(&w), 1);
}

static void open_two_leaves(void)
{
    w_init(&w, 8, 8);
    w.conf.domains = leaves;
    w.conf.n_domains = 3;
    w_open(&w);
    w_up_all(&w);
}

START_TEST(what_is_left_on_nodes_is_a_fragment_to_larger_slices)
{
    open_two_leaves();
    hold(1, "n0", 3);
    const struct tug_frag_kind one = {1, 1, 1}, four = {1, 4, 1}, full = {1, 8, 1}, both[] = {{1, 4, 3}, {1, 8, 1}};
    ck_assert_double_eq(tug_frag_domain(w.c, 0, &one, 1), 0);
    ck_assert_double_eq(tug_frag_domain(w.c, 0, &four, 1), 1); /* of 5 */
    ck_assert_double_eq(tug_frag_domain(w.c, 0, &full, 1), 5);
    ck_assert_double_eq_tol(tug_frag_domain(w.c, 0, both, 2), (3 * 1 + 5) / 4.0, 1e-9);
    ck_assert_double_eq(tug_frag_domain(w.c, 1, both, 2), 0);
    ck_assert_double_eq_tol(tug_frag_share(w.c, &full, 1), 5 / 61.0, 1e-9);
    w_clear(&w);
}
END_TEST

START_TEST(nodes_that_are_too_few_in_a_leaf_are_a_fragment_to_gangs)
{
    open_two_leaves();
    hold(1, "n0", 1);
    const struct tug_frag_kind two = {2, 8, 1}, four = {4, 8, 1}, eight = {8, 8, 1};
    ck_assert_double_eq(tug_frag_domain(w.c, 0, &two, 1), 7 + 8); /* three nodes make one pair */
    ck_assert_double_eq(tug_frag_domain(w.c, 0, &four, 1), 31);
    ck_assert_double_eq(tug_frag_domain(w.c, 1, &four, 1), 0);
    ck_assert_double_eq(tug_frag_domain(w.c, 0, &eight, 1), 31); /* wider than the leaf, which is not empty */
    ck_assert_double_eq(tug_frag_domain(w.c, 1, &eight, 1), 0);
    w_clear(&w);
}
END_TEST

START_TEST(what_nobody_may_use_is_not_free_and_nothing_free_is_no_fragment)
{
    open_two_leaves();
    const struct tug_frag_kind sixteen = {1, 16, 1};
    ck_assert_double_eq(tug_frag_share(w.c, &sixteen, 1), 1); /* no node has as many */
    for (uint32_t i = 0; i < 8; i++)
        w_down(&w, i);
    ck_assert_double_eq(tug_frag_share(w.c, &sixteen, 1), 0);
    w_clear(&w);
}
END_TEST

START_TEST(fragments_grow_when_a_pair_is_broken_up_and_shrink_when_an_odd_node_goes)
{
    ck_assert_int_eq(tug_frag_growth(4, 4, 1), 1 + 3); /* 0 are lost before; of three, one to pairs and all to gangs of four */
    ck_assert_int_eq(tug_frag_growth(4, 3, 1), -2);    /* of two, none to pairs */
    ck_assert_int_eq(tug_frag_growth(8, 5, 1), -3);
    ck_assert_int_eq(tug_frag_growth(8, 8, 8), 0);
    ck_assert_int_eq(tug_frag_growth(8, 2, 5), -4); /* there are only two */
    ck_assert_int_eq(tug_frag_growth(1, 1, 1), 0);
}
END_TEST

UNIT_MAIN("core/frag", what_is_left_on_nodes_is_a_fragment_to_larger_slices,
          nodes_that_are_too_few_in_a_leaf_are_a_fragment_to_gangs,
          what_nobody_may_use_is_not_free_and_nothing_free_is_no_fragment,
          fragments_grow_when_a_pair_is_broken_up_and_shrink_when_an_odd_node_goes)
