/* test_span.c - a gang across nodes: what it is predicted to have, and that no other nodes and GPUs would give it more */
#include <math.h>

#include "base/rand.h"
#include "core/bandwidth.h"
#include "core/state.h"
#include "kinds.h"
#include "world.h"

static struct world w;
static struct tug_forecast f;

static const struct tug_core_domain two_leaves[] = {{"spine", "spine", "", ""},
                                                    {"leaf1", "leaf", "spine", "n[0-3]"},
                                                    {"leaf2", "leaf", "spine", "n[4-7]"}};

static void open_with(uint32_t n, const struct tug_core_domain *domains, size_t n_domains, const struct tug_core_level *levels,
                      size_t n_levels, const struct tug_machine *m)
{
    w_init(&w, n, 8);
    w.conf.domains = domains;
    w.conf.n_domains = n_domains;
    w.conf.levels = levels;
    w.conf.n_levels = n_levels;
    w.conf.placement = TUG_PLACEMENT_TOPOLOGY;
    for (uint32_t i = 0; i < n; i++)
        w.machines[i] = m;
    w_open(&w);
    w_up_all(&w);
}

/* 8 H100 behind switches, 400 Gb/s for each. */
static struct tug_machine *hgx(void)
{
    struct tug_machine *m = kind_switched(8, 450000);
    for (uint32_t i = 0; i < 8; i++)
        kind_add_nic(m, 1ULL << i, 50000);
    return m;
}

static uint32_t gbs(const char *nodes, tug_gpuset gpus)
{
    struct tug_policy_slice at[16];
    size_t n = 0;
    for (const char *p = nodes; *p; p++)
        if (*p != ' ')
            at[n++] = (struct tug_policy_slice){(uint32_t) strtoul(p, (char **) (uintptr_t) &p, 10), gpus}, p--;
    tug_span_forecast(w.c, at, n, &f);
    return f.mbs / 1000;
}

START_TEST(nodes_exchange_over_their_nics_what_the_fabric_lets_through)
{
    struct tug_machine *m = hgx(), *slow = kind_switched(8, 300000);
    const struct tug_core_level levels[] = {{"leaf", 0, 4, 0}};
    for (uint32_t i = 0; i < 4; i++)
        kind_add_nic(slow, 3ULL << (2 * i), 12500);
    open_with(8, two_leaves, 3, levels, 1, m);
    ck_assert_uint_eq(gbs("0", 0xff), 360);
    ck_assert_uint_eq(f.limit, TUG_SPAN_INSIDE);
    ck_assert_uint_eq(gbs("0 1", 0xff), 360); /* 8 NICs at 0.8 x 50 carry 600 */
    ck_assert_uint_eq(gbs("0 1", 0x01), 40);
    ck_assert_uint_eq(f.limit, TUG_SPAN_NICS);
    ck_assert_uint_eq(gbs("0 4", 0xff), 150); /* 600 / 4 */
    ck_assert_uint_eq(f.limit, TUG_SPAN_OVER);
    ck_assert_uint_eq(f.domain, 1);
    ck_assert_uint_eq(gbs("3", 0x01), 0);
    ck_assert_uint_eq(f.limit, TUG_SPAN_NOTHING);
    w_clear(&w);
    open_with(8, two_leaves, 3, levels, 1, slow);
    ck_assert_uint_eq(gbs("0 1", 0xff), 75); /* as two p4de: 78 measured */
    w_clear(&w);
    free(m);
    free(slow);
}
END_TEST

START_TEST(levels_have_a_bandwidth_for_each_gpu)
{
    struct tug_machine *m = hgx();
    const struct tug_core_level levels[] = {{"leaf", 10000000000, 1, 0}, {"spine", 5000000000, 1, 0}};
    open_with(8, two_leaves, 3, levels, 2, m);
    ck_assert_uint_eq(gbs("0 1", 0xff), 120); /* 0.8 x 10 x 15 / 1 */
    ck_assert_uint_eq(f.limit, TUG_SPAN_LEVEL);
    ck_assert_uint_eq(f.domain, 1);
    ck_assert_uint_eq(gbs("0 4", 0xff), 60);
    ck_assert_uint_eq(f.domain, 0);
    w.machines[0] = w.machines[1] = NULL; /* then that is all that is known */
    w_up_all(&w);
    ck_assert_uint_eq(gbs("0 1", 0xff), 120);
    w_clear(&w);
    free(m);
}
END_TEST

START_TEST(nodes_that_are_joined_by_nvlink_are_one_island)
{
    struct tug_machine *tray = kind_switched(8, 900000);
    for (uint32_t i = 0; i < 8; i++)
        kind_add_nic(tray, 1ULL << i, 50000);
    const struct tug_core_level levels[] = {{"leaf", 900000000000, 1, 1}};
    open_with(8, two_leaves, 3, levels, 1, tray);
    ck_assert_uint_eq(gbs("0 1 2", 0x0f), 720);
    ck_assert_uint_eq(gbs("0 1 4 5", 0x0f), 600); /* 40 x 15 / 1: two islands */
    w_clear(&w);
    free(tray);
}
END_TEST

/* ---- against all there is */

struct random_world {
    char names[8][16], nodes[8][64];
    struct tug_core_domain domains[8];
    struct tug_core_level levels[2];
    struct tug_machine *machines[4];
    uint32_t n, n_domains, n_machines, n_leaves, leaf_of[16];
};

static void make_fabric(struct random_world *x, struct tug_rand *r)
{
    x->n_leaves = 1 + (uint32_t) tug_rand_below(r, 3);
    int spine = (int) tug_rand_below(r, 2);
    x->n_domains = 0;
    if (spine)
        x->domains[x->n_domains++] = (struct tug_core_domain){"spine", "spine", "", ""};
    for (uint32_t i = 0; i < x->n; i++)
        x->leaf_of[i] = (uint32_t) tug_rand_below(r, x->n_leaves);
    for (uint32_t leaf = 0; leaf < x->n_leaves; leaf++) {
        size_t len = 0;
        x->nodes[leaf][0] = 0;
        for (uint32_t i = 0; i < x->n; i++)
            if (x->leaf_of[i] == leaf)
                len += (size_t) snprintf(x->nodes[leaf] + len, sizeof x->nodes[leaf] - len, "%sn%u", len ? "," : "", i);
        snprintf(x->names[leaf], sizeof x->names[leaf], "leaf%u", leaf);
        x->domains[x->n_domains++] = (struct tug_core_domain){x->names[leaf], "leaf", spine ? "spine" : "", x->nodes[leaf]};
    }
    x->levels[0] = (struct tug_core_level){"leaf", tug_rand_below(r, 3) * 10000000000, (double) (2 + tug_rand_below(r, 5)) / 2, 0};
    x->levels[1] = (struct tug_core_level){"spine", tug_rand_below(r, 3) * 5000000000, 1, 0};
}

static void make_world(struct random_world *x, struct tug_rand *r)
{
    x->n = 2 + (uint32_t) tug_rand_below(r, 7);
    make_fabric(x, r);
    w_init(&w, x->n, 8);
    x->n_machines = 1 + (uint32_t) tug_rand_below(r, 4);
    for (uint32_t i = 0; i < x->n_machines; i++)
        x->machines[i] = kind_random(r, 2 + (uint32_t) tug_rand_below(r, 7));
    for (uint32_t i = 0; i < x->n; i++) {
        w.machines[i] = x->machines[tug_rand_below(r, x->n_machines)];
        w.rows[i].gpus = w.machines[i]->n_gpus;
    }
    w.conf.domains = x->domains;
    w.conf.n_domains = x->n_domains;
    w.conf.levels = x->levels;
    w.conf.n_levels = 2;
    w.conf.placement = TUG_PLACEMENT_TOPOLOGY;
    w_open(&w);
    w_up_all(&w);
}

static void fill(struct random_world *x, struct tug_rand *r)
{
    char name[16];
    for (uint32_t i = 0, n = (uint32_t) tug_rand_below(r, x->n + 1); i < n; i++) {
        uint32_t node = (uint32_t) tug_rand_below(r, x->n);
        struct tug_job_req q = w_req(1, 1 + (uint32_t) tug_rand_below(r, 3));
        snprintf(name, sizeof name, "n%u", node);
        q.nodelist = name;
        w_submit(&w, 100 + i, q);
        w_pass(&w);
    }
}

/* The model of span.h once more: what the node could give at most with that many of its free GPUs. */
static double most_of(const struct random_world *x, uint32_t node, uint32_t gpus, uint32_t ranks, uint32_t k, int crosses)
{
    const struct tug_machine *m = w.machines[node];
    tug_gpuset free = tug_ledger_gpus_free(tug_ledger_node(w.c->ledger, node));
    double best = 0, per = k > 1 ? (double) (ranks - 1) / (k - 1) : 0, levels = 1e18, over = 1;
    if (x->levels[0].bandwidth_bytes_s)
        levels = (double) x->levels[0].bandwidth_bytes_s / 1e6 * 0.8;
    if (crosses) {
        over = x->levels[0].oversubscription;
        levels /= over;
        if (!strcmp(x->domains[0].name, "spine") && x->levels[1].bandwidth_bytes_s)
            levels = fmin(levels, (double) x->levels[1].bandwidth_bytes_s / 1e6 * 0.8);
    }
    for (tug_gpuset set = free; set; set = (set - 1) & free) {
        if (tug_gpuset_count(set) != gpus)
            continue;
        double inside = tug_bandwidth_inside(m, set), out = tug_bandwidth_out(m, set) * per / gpus / over;
        double mbs = gpus > 1 ? inside : 1e18;
        if (k > 1 && out >= 1)
            mbs = fmin(mbs, out);
        if (k > 1)
            mbs = fmin(mbs, levels * per);
        best = fmax(best, mbs);
    }
    return best;
}

static double best_of_all(const struct random_world *x, const struct tug_job_req *q)
{
    uint32_t ranks = tug_job_req_all_gpus(q), k = q->nodes;
    double best = 0;
    for (uint32_t nodes = 1; nodes < 1u << x->n; nodes++) {
        if ((uint32_t) __builtin_popcount(nodes) != k)
            continue;
        uint32_t leaf = x->leaf_of[__builtin_ctz(nodes)];
        int crosses = 0;
        for (uint32_t m = nodes; m; m &= m - 1)
            crosses |= x->leaf_of[__builtin_ctz(m)] != leaf;
        for (uint32_t last = 0; last < x->n; last++) { /* which of them has the last slice */
            double mbs = 1e18;
            for (uint32_t m = nodes; m; m &= m - 1) {
                uint32_t node = (uint32_t) __builtin_ctz(m);
                mbs = fmin(mbs, most_of(x, node, node == last && q->gpus_last ? q->gpus_last : q->gpus_per_node, ranks, k,
                                        crosses));
            }
            if (nodes >> last & 1)
                best = fmax(best, mbs);
        }
    }
    return best < TUG_BANDWIDTH_NO_LIMIT ? best : 0;
}

static struct tug_job_req random_gang(struct tug_rand *r, uint32_t n)
{
    struct tug_job_req q = w_req(1 + (uint32_t) tug_rand_below(r, n < 4 ? n : 4), 1 + (uint32_t) tug_rand_below(r, 4));
    if (q.nodes > 1 && q.gpus_per_node > 1 && tug_rand_below(r, 3) == 0) {
        q.gpus_last = 1 + (uint32_t) tug_rand_below(r, q.gpus_per_node - 1);
        q.cpus_last = 1;
    }
    return q;
}

START_TEST(no_other_nodes_and_gpus_would_give_a_gang_more_and_quality_is_true)
{
    struct tug_rand r = tug_rand_seed(unit_seed());
    unsigned placed = 0, known = 0;
    for (int round = 0; round < 200; round++) {
        struct random_world x = {0};
        make_world(&x, &r);
        struct tug_job_req q = random_gang(&r, x.n);
        double empty = best_of_all(&x, &q), best;
        fill(&x, &r);
        best = best_of_all(&x, &q);
        w_submit(&w, 1, q);
        w_pass(&w);
        const struct tug_job *j = w_job(&w, 1);
        if (j->n_slices) {
            struct tug_policy_slice at[16];
            for (size_t i = 0; i < j->n_slices; i++)
                at[i] = (struct tug_policy_slice){j->slices[i].node, j->slices[i].gpus};
            tug_span_forecast(w.c, at, j->n_slices, &f);
            ck_assert_msg(f.mbs >= best * 0.98 - 2, "round %d: a gang of %u x %u, last %u, has %u MB/s of %.0f", round, q.nodes,
                          q.gpus_per_node, q.gpus_last, f.mbs, best);
            ck_assert_msg(f.mbs <= best + 2, "round %d: %u MB/s are predicted, %.0f are possible", round, f.mbs, best);
            ck_assert_uint_eq(j->quality.mbs, f.mbs);
            if (f.mbs)
                ck_assert_msg(fabs(j->quality.best_mbs - empty) <= 2, "round %d: the best is said to be %u MB/s and is %.0f",
                              round, j->quality.best_mbs, empty);
            placed++;
            known += f.mbs > 0;
        }
        w_clear(&w);
        for (uint32_t i = 0; i < x.n_machines; i++)
            free(x.machines[i]);
    }
    printf("# %u gangs placed, %u with a figure\n", placed, known);
}
END_TEST

UNIT_MAIN("core/span", nodes_exchange_over_their_nics_what_the_fabric_lets_through, levels_have_a_bandwidth_for_each_gpu,
          nodes_that_are_joined_by_nvlink_are_one_island,
          no_other_nodes_and_gpus_would_give_a_gang_more_and_quality_is_true)
