/* test_topology.c - a gang goes as low and as tight in the fabric as it fits, on as few leaves as
 * it can */
#include <limits.h>

#include "base/rand.h"
#include "core/state.h"
#include "world.h"

static struct world w;

static void open_with(uint32_t nodes, const struct tug_core_domain *domains, size_t n)
{
    w_init(&w, nodes, 8);
    w.conf.domains = domains;
    w.conf.n_domains = n;
    w.conf.placement = TUG_PLACEMENT_TOPOLOGY;
    w_open(&w);
    w_up_all(&w);
}

/* Three leaves of four nodes below two spines, n12 and n13 in none. */
static const struct tug_core_domain three[] = {{"spine1", "spine", "", ""},
                                               {"spine2", "spine", "", ""},
                                               {"leaf1", "leaf", "spine1", "n[0-3]"},
                                               {"leaf2", "leaf", "spine1", "n[4-7]"},
                                               {"leaf3", "leaf", "spine2", "n[8-11]"}};

static void hold(tug_job_id id, const char *nodelist, uint32_t nodes, uint32_t gpus)
{
    struct tug_job_req r = w_req(nodes, gpus);
    r.nodelist = nodelist;
    w_submit(&w, id, r);
    ck_assert_int_eq(w_pass(&w), 1);
}

/* Submits the gang, which must start: its nodes as "4 5". */
static const char *placed(tug_job_id id, struct tug_job_req r)
{
    static char text[128];
    size_t len = 0;
    w_submit(&w, id, r);
    ck_assert_int_eq(w_pass(&w), 1);
    const struct tug_job *j = w_job(&w, id);
    for (size_t i = 0; i < j->n_slices; i++)
        len += (size_t) snprintf(text + len, sizeof text - len, "%s%u", i ? " " : "",
                                 j->slices[i].node);
    return text;
}

static struct tug_job_req uneven(uint32_t nodes, uint32_t gpus, uint32_t gpus_last)
{
    struct tug_job_req r = w_req(nodes, gpus);
    r.gpus_last = gpus_last;
    return r;
}

START_TEST(a_gang_goes_below_one_leaf_if_it_can_and_to_the_tightest)
{
    open_with(14, three, 5);
    hold(1, "n4", 1, 1);
    ck_assert_str_eq(placed(2, w_req(3, 8)), "5 6 7");
    ck_assert_str_eq(placed(3, w_req(4, 8)), "0 1 2 3");
    ck_assert_str_eq(placed(4, w_req(2, 8)), "8 9");
    w_clear(&w);
}
END_TEST

START_TEST(a_gang_that_spans_leaves_stays_below_one_spine_and_takes_the_fewest_leaves)
{
    open_with(14, three, 5);
    hold(1, "n[0-1]", 2, 8);
    hold(2, "n4", 1, 8);
    /* spine1 has 2 + 3: all of leaf2, and one of leaf1 */
    ck_assert_str_eq(placed(3, w_req(4, 4)), "8 9 10 11");
    ck_assert_str_eq(placed(4, w_req(4, 8)), "2 5 6 7");
    w_clear(&w);
}
END_TEST

START_TEST(a_gang_that_no_domain_holds_takes_the_whole_cluster)
{
    open_with(14, three, 5);
    ck_assert_str_eq(placed(1, w_req(9, 8)), "0 1 2 3 4 5 6 7 12");
    ck_assert_str_eq(placed(2, w_req(5, 8)), "8 9 10 11 13");
    w_clear(&w);
}
END_TEST

START_TEST(a_job_on_one_node_goes_to_the_fullest_that_holds_it_and_then_where_the_best_holes_are_left)
{
    open_with(14, three, 5);
    hold(1, "n9", 1, 6);
    ck_assert_str_eq(placed(2, w_req(1, 2)), "9");
    ck_assert_str_eq(placed(3, w_req(1, 8)), "8"); /* of three whole nodes: a pair stays */
    ck_assert_str_eq(placed(4, w_req(1, 8)), "10"); /* of a pair in a leaf of four, rather than one that is all there is */
    ck_assert_str_eq(placed(5, w_req(1, 1)), "11"); /* the last one */
    ck_assert_str_eq(placed(6, w_req(1, 8)), "12"); /* a pair in no domain, rather than four */
    ck_assert_str_eq(placed(7, w_req(4, 8)), "0 1 2 3");
    w_clear(&w);
}
END_TEST

START_TEST(a_gang_goes_where_the_widest_hole_is_left)
{
    /* leaf1 has three whole nodes, leaf2 one and a half, leaf3 four. */
    open_with(14, three, 5);
    hold(1, "n0", 1, 8);
    hold(2, "n[4-5]", 2, 8);
    hold(3, "n7", 1, 4);
    ck_assert_str_eq(placed(4, w_req(2, 4)), "6 7"); /* of one whole and one that is broken up nothing is left */
    ck_assert_str_eq(placed(5, w_req(2, 8)), "1 2"); /* one is left over, but four stay together */
    ck_assert_str_eq(placed(6, w_req(4, 8)), "8 9 10 11");
    w_clear(&w);
}
END_TEST

START_TEST(a_smaller_last_slice_stays_on_the_leaf_and_packs_and_its_leaf_comes_last)
{
    open_with(14, three, 5);
    hold(1, "n10", 1, 5);
    ck_assert_str_eq(placed(2, uneven(3, 8, 3)), "8 9 10");
    hold(3, "n1", 1, 4);
    hold(4, "n[5-7]", 3, 8);
    /* spine1 has three whole nodes on leaf1 and one on leaf2: four whole ones, and half of n1 */
    ck_assert_str_eq(placed(5, uneven(5, 8, 4)), "4 0 2 3 1");
    w_clear(&w);
}
END_TEST

START_TEST(without_a_fabric_the_fullest_nodes_of_the_cluster_are_taken)
{
    open_with(4, NULL, 0);
    hold(1, "n2", 1, 4);
    hold(2, "n1", 1, 2);
    ck_assert_str_eq(placed(3, w_req(2, 4)), "1 2");
    ck_assert_str_eq(placed(4, uneven(2, 8, 2)), "0 1");
    w_clear(&w);
}
END_TEST

START_TEST(an_exclusive_gang_looks_for_idle_nodes)
{
    open_with(14, three, 5);
    hold(1, "n0", 1, 1);
    hold(2, "n5", 1, 1);
    struct tug_job_req r = w_req(4, 1);
    r.exclusive = 1;
    ck_assert_str_eq(placed(3, r), "8 9 10 11");
    w_clear(&w);
}
END_TEST

/* ---- against brute force, on small random fabrics */

#define NODES   12
#define DOMAINS 6

static struct tug_rand dice_rand;
static struct {
    uint32_t parent[DOMAINS], height[DOMAINS], n;
    uint32_t domain_of[NODES];
    uint32_t free[NODES];
    char text[2 * DOMAINS][128];
} b;

static uint32_t dice(uint32_t n)
{
    return (uint32_t) (tug_rand_u64(&dice_rand) % n);
}

/* d == b.n: the whole cluster */
static int is_in(uint32_t node, uint32_t d)
{
    if (d == b.n)
        return 1;
    for (uint32_t up = b.domain_of[node]; up != UINT32_MAX; up = b.parent[up])
        if (up == d)
            return 1;
    return 0;
}

static uint32_t free_in(uint32_t d)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < NODES; i++)
        n += is_in(i, d) ? b.free[i] : 0;
    return n;
}

static uint32_t alike(const struct tug_job_req *r)
{
    return r->nodes - (r->gpus_last != 0);
}

static int is_enough(const struct tug_job_req *r, uint32_t full, uint32_t any)
{
    return full >= alike(r) && any >= r->nodes;
}

static int holds(const struct tug_job_req *r, uint32_t d)
{
    uint32_t full = 0, any = 0;
    for (uint32_t i = 0; i < NODES; i++) {
        full += is_in(i, d) && b.free[i] >= r->gpus_per_node;
        any += is_in(i, d) && b.free[i] >= tug_job_req_gpus(r, r->nodes - 1);
    }
    return is_enough(r, full, any);
}

/* Bit u: unit u, which are the domains' own nodes; bit b.n: those in no domain. */
static int units_hold(const struct tug_job_req *r, uint32_t units, uint32_t d)
{
    uint32_t full = 0, any = 0;
    for (uint32_t i = 0; i < NODES; i++) {
        uint32_t u = b.domain_of[i] == UINT32_MAX ? b.n : b.domain_of[i];
        if (!is_in(i, d) || !(units >> u & 1))
            continue;
        full += b.free[i] >= r->gpus_per_node;
        any += b.free[i] >= tug_job_req_gpus(r, r->nodes - 1);
    }
    return is_enough(r, full, any);
}

static uint32_t fewest_units(const struct tug_job_req *r, uint32_t d)
{
    uint32_t best = UINT32_MAX;
    for (uint32_t units = 0; units < 1u << (b.n + 1); units++)
        if ((uint32_t) __builtin_popcount(units) < best && units_hold(r, units, d))
            best = (uint32_t) __builtin_popcount(units);
    return best;
}

/* Of so many whole nodes those that gangs of k cannot have, over all widths that would fit into the domain. */
static int lost(uint32_t nodes, uint32_t whole)
{
    int sum = 0;
    for (uint32_t k = 2; k <= nodes; k *= 2) {
        uint32_t left = whole;
        while (left >= k)
            left -= k;
        sum += (int) left;
    }
    return sum;
}

/* The fewer the better, in this order: whole nodes that are lost to others, whole nodes, free GPUs. */
static long hole_in(const struct tug_job_req *r, uint32_t d)
{
    uint32_t nodes = 0, whole = 0, broken = 0;
    for (uint32_t i = 0; i < NODES; i++) {
        nodes += is_in(i, d);
        whole += is_in(i, d) && b.free[i] == 8;
        broken += is_in(i, d) && b.free[i] < 8 && b.free[i] >= r->gpus_per_node;
    }
    uint32_t taken = r->nodes > broken ? r->nodes - broken : 0;
    int grows = lost(nodes, whole > taken ? whole - taken : 0) - lost(nodes, whole);
    return grows * 1000000L + whole * 1000L + free_in(d);
}

/* The domain that it should be in: the lowest, then the one with the best hole left. */
static void check_domain(const struct tug_job *j, uint32_t *in)
{
    uint32_t height = UINT32_MAX;
    long least = LONG_MAX;
    for (uint32_t d = 0; d < b.n; d++)
        if (holds(&j->req, d) && b.height[d] < height)
            height = b.height[d];
    *in = b.n;
    for (uint32_t d = 0; d < b.n && height != UINT32_MAX; d++) {
        if (b.height[d] != height || !holds(&j->req, d))
            continue;
        uint32_t inside = 0;
        for (size_t i = 0; i < j->n_slices; i++)
            inside += (uint32_t) is_in(j->slices[i].node, d);
        if (inside == j->n_slices)
            *in = d;
        if (hole_in(&j->req, d) < least)
            least = hole_in(&j->req, d);
    }
    ck_assert_msg(height == UINT32_MAX || *in < b.n,
                  "a gang spans more than a domain of height %u, which holds it", height);
    ck_assert_msg(*in == b.n || hole_in(&j->req, *in) == least,
                  "a gang is not in the domain where the best hole is left");
}

static void check_units(const struct tug_job *j, uint32_t in)
{
    uint32_t units = 0, before = UINT32_MAX;
    for (size_t i = 0; i < j->n_slices; i++) {
        uint32_t d = b.domain_of[j->slices[i].node], u = d == UINT32_MAX ? b.n : d;
        ck_assert_msg(u == before || !(units >> u & 1), "the ranks come back to a leaf");
        units |= 1u << u;
        before = u;
    }
    uint32_t used = (uint32_t) __builtin_popcount(units), need = fewest_units(&j->req, in);
    ck_assert_msg(used <= need + (j->req.gpus_last != 0), "%u leaves where %u suffice", used, need);
}

static void check_node(const struct tug_job *j)
{
    uint32_t node = j->slices[0].node;
    for (uint32_t i = 0; i < NODES; i++)
        ck_assert_msg(b.free[i] < j->req.gpus_per_node || b.free[i] >= b.free[node],
                      "node %u is fuller than node %u and suffices", i, node);
}

static void make_fabric(struct tug_core_domain *domains)
{
    struct tug_buf nodes[DOMAINS] = {{0}};
    b.n = 1 + dice(DOMAINS);
    for (uint32_t d = 0; d < b.n; d++)
        b.parent[d] = d && dice(3) ? dice(d) : UINT32_MAX;
    for (uint32_t d = b.n; d > 0; d--) {
        b.height[d - 1] = 0;
        for (uint32_t below = d; below < b.n; below++)
            if (b.parent[below] == d - 1 && b.height[below] >= b.height[d - 1])
                b.height[d - 1] = b.height[below] + 1;
    }
    for (uint32_t i = 0; i < NODES; i++) {
        b.domain_of[i] = dice(8) ? dice(b.n) : UINT32_MAX;
        if (b.domain_of[i] != UINT32_MAX)
            tug_buf_addf(&nodes[b.domain_of[i]], "%sn%u", nodes[b.domain_of[i]].len ? "," : "", i);
    }
    for (uint32_t d = 0; d < b.n; d++) {
        snprintf(b.text[d], sizeof b.text[d], "d%u", d);
        snprintf(b.text[DOMAINS + d], sizeof b.text[d], "%s", tug_buf_str(&nodes[d]));
        tug_buf_clear(&nodes[d]);
    }
    for (uint32_t d = 0; d < b.n; d++)
        domains[d] = (struct tug_core_domain){b.text[d], "",
                                              b.parent[d] == UINT32_MAX ? "" : b.text[b.parent[d]],
                                              b.text[DOMAINS + d]};
}

static void one_gang(tug_job_id id)
{
    struct tug_job_req r = w_req(1 + dice(5), 1 + dice(8));
    if (r.nodes > 1 && r.gpus_per_node > 1 && dice(3) == 0)
        r.gpus_last = 1 + dice(r.gpus_per_node - 1);
    for (uint32_t i = 0; i < NODES; i++)
        b.free[i] = (uint32_t) __builtin_popcountll(w.c->node_rows.at[i].gpus_free);
    int fits = holds(&r, b.n);
    w_submit(&w, id, r);
    ck_assert_int_eq(w_pass(&w), fits);
    if (!fits) {
        struct tug_event cancel = {.type = TUG_EV_JOB_CANCEL, .job = id};
        ck_assert_int_eq(w_event(&w, cancel), 0);
        return;
    }
    const struct tug_job *j = w_job(&w, id);
    uint32_t in;
    if (j->req.nodes == 1) {
        check_node(j);
        return;
    }
    check_domain(j, &in);
    check_units(j, in);
}

START_TEST(never_a_higher_level_than_needed_nor_more_leaves)
{
    struct tug_core_domain domains[DOMAINS];
    uint64_t seed = unit_seed();
    for (uint64_t round = 0; round < 400; round++) {
        dice_rand = tug_rand_seed(seed + round);
        make_fabric(domains);
        open_with(NODES, domains, b.n);
        tug_job_id id = 1;
        for (uint32_t i = 0; i < NODES; i++) {
            uint32_t used = dice(9);
            if (used)
                hold(id++, w.names[i], 1, used);
        }
        for (int i = 0; i < 6; i++)
            one_gang(id++);
        w_clear(&w);
    }
}
END_TEST

UNIT_MAIN("core/topology", a_gang_goes_below_one_leaf_if_it_can_and_to_the_tightest,
          a_gang_that_spans_leaves_stays_below_one_spine_and_takes_the_fewest_leaves,
          a_gang_that_no_domain_holds_takes_the_whole_cluster,
          a_job_on_one_node_goes_to_the_fullest_that_holds_it_and_then_where_the_best_holes_are_left,
          a_gang_goes_where_the_widest_hole_is_left,
          a_smaller_last_slice_stays_on_the_leaf_and_packs_and_its_leaf_comes_last,
          without_a_fabric_the_fullest_nodes_of_the_cluster_are_taken,
          an_exclusive_gang_looks_for_idle_nodes, never_a_higher_level_than_needed_nor_more_leaves)
