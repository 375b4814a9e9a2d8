/* test_fabric.c - a fabric is a tree with each node in one place, or refused with both that
 * contradict */
#include <errno.h>

#include "core/state.h"
#include "world.h"

static struct world w;

static void open_with(const struct tug_core_domain *domains, size_t n)
{
    w_init(&w, 4, 8);
    w.conf.domains = domains;
    w.conf.n_domains = n;
    w_open(&w);
}

static uint32_t domain_of(uint32_t node)
{
    return w.c->node_rows.at[node].domain;
}

START_TEST(a_policy_sees_which_nodes_are_in_the_same_domain_and_of_what_model)
{
    const struct tug_core_domain domains[] = {{"leaf2", "leaf", "spine", "n[2-3]"},
                                              {"spine", "spine", "", ""},
                                              {"leaf1", "leaf", "spine", "n1"}};
    open_with(domains, 3);
    w_up_all(&w);
    ck_assert_uint_eq(domain_of(2), domain_of(3));
    ck_assert_uint_ne(domain_of(1), domain_of(2));
    ck_assert_uint_eq(domain_of(0), UINT32_MAX);
    ck_assert_ptr_nonnull(w.c->node_rows.at[0].gpu_model);
    w_check(&w);
    w_clear(&w);
}
END_TEST

START_TEST(heights_and_the_order_of_the_tree_do_not_hang_on_the_order_of_the_rows)
{
    const struct tug_core_domain domains[] = {{"a1", "leaf", "a", "n0"}, {"b", "spine", "top", ""},
                                              {"top", "core", "", ""},   {"a", "spine", "top", ""},
                                              {"b1", "leaf", "b", "n1"}, {"a2", "leaf", "a", "n2"}};
    open_with(domains, 6);
    const struct tug_fabric *f = &w.c->fabric;
    const char *const in_order[] = {"top", "b", "b1", "a", "a1", "a2"};
    const uint32_t heights[] = {2, 1, 0, 1, 0, 0};
    for (size_t i = 0; i < 6; i++) {
        ck_assert_str_eq(f->at[f->by_order[i]].name, in_order[i]);
        ck_assert_uint_eq(f->at[f->by_order[i]].height, heights[i]);
    }
    ck_assert(tug_fabric_contains(f, 3, 5) && tug_fabric_contains(f, 2, 4));
    ck_assert(!tug_fabric_contains(f, 1, 5) && !tug_fabric_contains(f, 5, 3));
    w_check(&w);
    w_clear(&w);
}
END_TEST

START_TEST(what_is_no_tree_is_refused_and_changes_nothing)
{
    const struct {
        struct tug_core_domain domains[2];
        const char *says;
    } table[] = {
        {{{"", "leaf", "", "n0"}, {"b", "leaf", "", ""}}, "domain 1 of the fabric has no name"},
        {{{"a", "leaf", "", "n0"}, {"a", "leaf", "", ""}}, "domain 'a' is configured twice"},
        {{{"leaf", "leaf", "spin", "n0"}, {"spine", "", "", ""}},
         "domain 'leaf': its parent 'spin' is not configured; did you mean 'spine'?"},
        {{{"a", "leaf", "b", "n0"}, {"b", "leaf", "a", ""}},
         "domain 'a' has the parent 'b', which is itself below 'a'; a fabric is a tree"},
        {{{"a", "leaf", "", "n[0-9]"}, {"b", "", "", ""}},
         "domain 'a': node 'n4' is not configured"},
        {{{"a", "leaf", "", "n[0-1]"}, {"b", "", "", "n[1-2]"}},
         "node 'n1' is in domain 'a' and in domain 'b'; keep it in one"},
        {{{"a", "leaf", "", "n["}, {"b", "", "", ""}}, "domain 'a'"},
    };
    const struct tug_core_domain good[] = {{"leaf1", "leaf", "", "n[0-1]"}};
    open_with(good, 1);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct tug_core_conf conf = w.conf;
        conf.domains = table[i].domains;
        conf.n_domains = 2;
        unit_fails(tug_core_configure(w.c, w.now, &conf, &w.err), -EINVAL, w.err, table[i].says);
        ck_assert_uint_eq(w.c->fabric.n, 1);
        ck_assert_uint_eq(domain_of(1), 0);
    }
    w_clear(&w);
}
END_TEST

START_TEST(a_live_edit_moves_nodes_between_domains)
{
    const struct tug_core_domain before[] = {{"leaf1", "leaf", "", "n[0-1]"}},
                                 after[] = {{"leaf1", "leaf", "", "n0"},
                                            {"leaf2", "leaf", "", "n[1-3]"}};
    open_with(before, 1);
    w_up_all(&w);
    w.conf.domains = after;
    w.conf.n_domains = 2;
    ck_assert_int_eq(tug_core_configure(w.c, w.now, &w.conf, &w.err), 0);
    ck_assert_uint_eq(domain_of(0), 0);
    ck_assert_uint_eq(domain_of(1), 1);
    ck_assert_uint_eq(domain_of(3), 1);
    w_check(&w);
    w_clear(&w);
}
END_TEST

START_TEST(a_domain_has_the_bandwidth_of_its_level_and_a_live_edit_changes_it)
{
    const struct tug_core_domain domains[] = {{"leaf1", "leaf", "spine", "n[0-1]"},
                                              {"spine", "spine", "", ""}};
    struct tug_core_level levels[] = {{"hall", 7, 3, 0}, {"leaf", 50, 2, 0}};
    struct tug_core_domain_view d;
    w_init(&w, 4, 8);
    w.conf.domains = domains;
    w.conf.n_domains = 2;
    w.conf.levels = levels;
    w.conf.n_levels = 2;
    w_open(&w);
    tug_core_domain(w.c, 0, &d);
    ck_assert_uint_eq(d.bandwidth_bytes_s, 50);
    ck_assert(d.oversubscription == 2);
    ck_assert_uint_eq(d.parent, 1);
    tug_core_domain(w.c, 1, &d);
    ck_assert_uint_eq(d.bandwidth_bytes_s, 0);
    ck_assert(d.oversubscription == 1);
    w_check(&w);
    levels[1].name = "spine";
    ck_assert_int_eq(tug_core_configure(w.c, w.now, &w.conf, &w.err), 0);
    tug_core_domain(w.c, 1, &d);
    ck_assert_uint_eq(d.bandwidth_bytes_s, 50);
    levels[0].name = "spine";
    unit_fails(tug_core_configure(w.c, w.now, &w.conf, &w.err), -EINVAL, w.err,
               "level 'spine' is described twice");
    levels[0] = (struct tug_core_level){"leaf", 1, 0.5, 0};
    unit_fails(tug_core_configure(w.c, w.now, &w.conf, &w.err), -EINVAL, w.err,
               "level 'leaf': an oversubscription of 0.5 is under 1");
    w_check(&w);
    w.c->fabric.at[1].level_row = 0;
    unit_fails(tug_core_check(w.c, &w.err), -EINVAL, w.err,
               "domain 'spine' has another level's bandwidth");
    w_clear(&w);
}
END_TEST

START_TEST(a_domain_that_forgets_a_node_is_found)
{
    const struct tug_core_domain domains[] = {{"leaf1", "leaf", "", "n[0-1]"}};
    open_with(domains, 1);
    w.c->fabric.at[0].all.nodes[0] = 1;
    unit_fails(tug_core_check(w.c, &w.err), -EINVAL, w.err,
               "node n1: domain 'leaf1' does not know whether it has it");
    w.c->fabric.at[0].all.nodes[0] = 3;
    w_clear(&w);
}
END_TEST

UNIT_MAIN("core/fabric", a_policy_sees_which_nodes_are_in_the_same_domain_and_of_what_model,
          heights_and_the_order_of_the_tree_do_not_hang_on_the_order_of_the_rows,
          what_is_no_tree_is_refused_and_changes_nothing, a_live_edit_moves_nodes_between_domains,
          a_domain_has_the_bandwidth_of_its_level_and_a_live_edit_changes_it,
          a_domain_that_forgets_a_node_is_found)
