/* test_within.c - what a gang asks of the fabric: it gets it, or waits, and never keeps out those who ask for less */
#include <errno.h>

#include "base/rand.h"
#include "core/state.h"
#include "world.h"

static struct world w;

/* Three leaves of four nodes below two spines, n12 and n13 in none. */
static const struct tug_core_domain three[] = {{"spine1", "spine", "", ""},
                                               {"spine2", "spine", "", ""},
                                               {"leaf1", "leaf", "spine1", "n[0-3]"},
                                               {"leaf2", "leaf", "spine1", "n[4-7]"},
                                               {"leaf3", "leaf", "spine2", "n[8-11]"}};

static void open_with(uint32_t nodes, const struct tug_core_domain *domains, size_t n)
{
    w_init(&w, nodes, 8);
    w.conf.domains = domains;
    w.conf.n_domains = n;
    w.conf.placement = TUG_PLACEMENT_TOPOLOGY;
    w_open(&w);
    w_up_all(&w);
}

static void hold(tug_job_id id, const char *nodelist, uint32_t nodes, uint32_t gpus)
{
    struct tug_job_req r = w_req(nodes, gpus);
    r.nodelist = nodelist;
    w_submit(&w, id, r);
    ck_assert_int_eq(w_pass(&w), 1);
}

static void release(tug_job_id id)
{
    struct tug_event cancel = {.type = TUG_EV_JOB_CANCEL, .job = id};
    const struct tug_job *j = w_job(&w, id);
    uint32_t nodes[W_NODES_MAX], n = (uint32_t) j->n_slices, attempt = j->attempt;
    for (uint32_t i = 0; i < n; i++)
        nodes[i] = j->slices[i].node;
    ck_assert_int_eq(w_event(&w, cancel), 0);
    for (uint32_t i = 0; i < n; i++)
        w_gone(&w, id, attempt, 0, nodes[i]);
}

static const char *nodes_of(tug_job_id id)
{
    static char text[128];
    size_t len = 0;
    const struct tug_job *j = w_job(&w, id);
    text[0] = '\0';
    for (size_t i = 0; i < j->n_slices; i++)
        len += (size_t) snprintf(text + len, sizeof text - len, "%s%u", i ? " " : "",
                                 j->slices[i].node);
    return text;
}

static struct tug_job_req limited_to(const char *nodelist, uint32_t nodes)
{
    struct tug_job_req r = w_req(nodes, 4);
    r.nodelist = nodelist;
    return r;
}

static struct tug_job_req in(const char *level, int required, uint32_t nodes, uint32_t gpus)
{
    struct tug_job_req r = w_req(nodes, gpus);
    r.topology = level;
    r.topology_required = (uint8_t) required;
    return r;
}

static const char *explained(tug_job_id id, const char *reason)
{
    static char text[512];
    int is;
    tug_core_explain(w.c, w_job(&w, id), &is, text, sizeof text);
    ck_assert_str_eq(tug_core_reason_name(is), reason);
    return text;
}

START_TEST(a_required_level_is_waited_for_and_a_preferred_one_is_not)
{
    open_with(14, three, 5);
    hold(1, "n0,n4,n8", 3, 1);
    w_submit(&w, 2, in("leaf", 1, 4, 8));
    w_submit(&w, 3, in("leaf", 0, 4, 8));
    ck_assert_int_eq(w_pass(&w), 0); /* strictly in order */
    ck_assert_str_eq(explained(2, "Topology"),
                     "needs 4 nodes in one leaf; 11 are free that would do, at most 3 of them in "
                     "one (leaf1)");
    release(1);
    ck_assert_int_eq(w_pass(&w), 2);
    ck_assert_str_eq(nodes_of(2), "0 1 2 3");
    hold(4, "n8", 1, 1);
    w_submit(&w, 5, in("leaf", 0, 4, 8));
    ck_assert_int_eq(w_pass(&w), 1);
    ck_assert_str_eq(nodes_of(5), "9 10 11 12");
    w_clear(&w);
}
END_TEST

START_TEST(of_the_domains_that_hold_it_the_tightest_is_taken_whatever_the_placement)
{
    for (int p = 0; p <= TUG_PLACEMENT_TOPOLOGY; p++) {
        open_with(14, three, 5);
        w.conf.placement = (enum tug_placement) p;
        ck_assert_int_eq(tug_core_configure(w.c, w.now, &w.conf, &w.err), 0);
        hold(1, "n4", 1, 8);
        w_submit(&w, 2, in("leaf", 1, 3, 8));
        w_submit(&w, 3, in("spine", 1, 6, 8));
        ck_assert_int_eq(w_pass(&w), 1);
        ck_assert_str_eq(nodes_of(2), "5 6 7");
        release(2);
        ck_assert_int_eq(w_pass(&w), 1);
        const struct tug_job *j = w_job(&w, 3);
        for (size_t i = 0; i < j->n_slices; i++)
            ck_assert_uint_lt(j->slices[i].node, 8);
        w_clear(&w);
    }
}
END_TEST

START_TEST(after_its_time_a_required_level_is_only_preferred_and_a_requeued_gang_waits_anew)
{
    open_with(14, three, 5);
    hold(1, "n0,n4,n8", 3, 1);
    struct tug_job_req r = in("leaf", 1, 4, 8);
    r.topology_wait_s = 300;
    w_submit(&w, 2, r);
    ck_assert_int_eq(w_pass(&w), 0);
    ck_assert_int_eq(tug_core_relaxes(w.c, w_job(&w, 2)), w.now + 300000);
    ck_assert_int_eq(tug_core_next_wake(w.c), w.now + 30000); /* job 1's barrier */
    for (uint32_t i = 0; i < 3; i++)
        w_ready(&w, 1, 1, 0, 4 * i);
    ck_assert_int_eq(tug_core_next_wake(w.c), w.now + 300000);
    w_tick(&w, w.now + 299999);
    ck_assert(!tug_core_wants_pass(w.c) || w_pass(&w) == 0);
    w_tick(&w, w.now + 1);
    ck_assert(tug_core_wants_pass(w.c));
    ck_assert_int_eq(w_pass(&w), 1);
    ck_assert_int_eq(tug_core_relaxes(w.c, w_job(&w, 2)), INT64_MAX);
    struct tug_event again = {.type = TUG_EV_JOB_REQUEUE, .job = 2, .text = "again"};
    uint32_t nodes[4];
    for (uint32_t i = 0; i < 4; i++)
        nodes[i] = w_job(&w, 2)->slices[i].node;
    ck_assert_int_eq(w_event(&w, again), 0);
    for (uint32_t i = 0; i < 4; i++)
        w_gone(&w, 2, 1, 0, nodes[i]);
    w_is(&w, 2, PENDING);
    ck_assert_int_eq(tug_core_relaxes(w.c, w_job(&w, 2)), w.now + 300000);
    ck_assert_int_eq(w_pass(&w), 0);
    w_clear(&w);
}
END_TEST

START_TEST(what_does_not_fit_in_one_domain_says_nothing_about_those_who_ask_for_less)
{
    open_with(14, three, 5);
    hold(1, "n0,n4,n8", 3, 1);
    w_submit(&w, 2, in("leaf", 1, 4, 8));
    w_pass(&w);
    ck_assert_uint_eq(tug_family_limits(w.c)[tug_entry_of(w_job(&w, 2))->shape->family->number],
                      4);
    w_submit(&w, 3, w_req(4, 8));
    struct tug_shape *s = tug_entry_of(w_job(&w, 3))->shape;
    ck_assert_ptr_ne(s->family, tug_entry_of(w_job(&w, 2))->shape->family);
    ck_assert_int_eq(tug_place_find(w.c, s), 0);
    w_submit(&w, 4, w_req(12, 8));
    ck_assert_int_eq(tug_place_find(w.c, tug_entry_of(w_job(&w, 4))->shape), -EAGAIN);
    w_submit(&w, 5, in("leaf", 1, 3, 8));
    ck_assert_int_eq(tug_place_find(w.c, tug_entry_of(w_job(&w, 5))->shape), 0);
    w_clear(&w);
}
END_TEST

START_TEST(a_gang_that_no_empty_domain_holds_is_parked_until_one_could)
{
    open_with(14, three, 5);
    w_down(&w, 0);
    w_down(&w, 5);
    w_down(&w, 9);
    w_submit(&w, 1, in("leaf", 1, 4, 8));
    w_submit(&w, 2, w_req(4, 8));
    ck_assert_int_eq(w_pass(&w), 1);
    ck_assert_int_eq(tug_entry_of(w_job(&w, 1))->bench, TUG_BENCH_PARKED);
    explained(1, "NodesDown");
    release(2);
    w_up(&w, 5, NULL, 0);
    ck_assert_int_eq(w_pass(&w), 1);
    ck_assert_str_eq(nodes_of(1), "4 5 6 7");
    w_clear(&w);
}
END_TEST

START_TEST(segments_are_whole_in_their_domains_and_follow_each_other)
{
    open_with(14, three, 5);
    hold(1, "n0,n8", 2, 8);
    struct tug_job_req r = in("leaf", 0, 4, 8);
    r.segment = 2;
    w_submit(&w, 2, r);
    ck_assert_int_eq(w_pass(&w), 1);
    ck_assert_str_eq(nodes_of(2), "4 5 6 7");
    w_submit(&w, 3, r);
    ck_assert_int_eq(w_pass(&w), 1);
    ck_assert_str_eq(nodes_of(3), "1 2 9 10");
    r.segment = r.nodes = 2;
    w_submit(&w, 4, r);
    ck_assert_int_eq(w_pass(&w), 0); /* n3 and n11 are free */
    ck_assert_str_eq(explained(4, "Topology"),
                     "needs 2 nodes in segments of 2, each in one leaf; 4 are free that would do, at "
                     "most 1 of them in one (leaf1)");
    w_clear(&w);
}
END_TEST

START_TEST(so_many_domains_at_most_are_the_roomiest)
{
    open_with(14, three, 5);
    hold(1, "n[0-1],n4", 3, 8);
    struct tug_job_req r = in("leaf", 1, 6, 8);
    r.topology_domains = 2;
    w_submit(&w, 2, r);
    ck_assert_int_eq(w_pass(&w), 1);
    ck_assert_str_eq(nodes_of(2), "2 3 8 9 10 11");
    w_submit(&w, 3, r);
    ck_assert_int_eq(w_pass(&w), 0);
    w_clear(&w);
}
END_TEST

START_TEST(running_gangs_keep_their_place_when_the_fabric_changes_and_levels_that_go_are_waited_for)
{
    static const struct tug_core_domain halves[] = {{"left", "hall", "", "n[0-1]"},
                                                    {"right", "hall", "", "n[2-13]"}};
    open_with(14, three, 5);
    w_submit(&w, 1, in("leaf", 1, 4, 8));
    ck_assert_int_eq(w_pass(&w), 1);
    w.conf.domains = halves;
    w.conf.n_domains = 2;
    ck_assert_int_eq(tug_core_configure(w.c, w.now, &w.conf, &w.err), 0);
    w_check(&w);
    w_is(&w, 1, CONFIGURING);
    w_submit(&w, 2, in("leaf", 1, 1, 8));
    w_submit(&w, 3, in("hall", 1, 5, 8));
    w_submit(&w, 4, in("leaf", 0, 1, 8));
    ck_assert_int_eq(w_pass(&w), 2);
    ck_assert_int_eq(tug_entry_of(w_job(&w, 2))->bench, TUG_BENCH_PARKED);
    w_is(&w, 3, CONFIGURING);
    w_is(&w, 4, CONFIGURING);
    w_clear(&w);
}
END_TEST

START_TEST(who_has_a_domain_for_itself_waits_for_an_empty_one_and_lets_nobody_in)
{
    open_with(12, three, 5);
    hold(1, "n1,n5", 2, 1);
    struct tug_job_req r = w_req(2, 4);
    r.exclusive_level = "leaf";
    w_submit(&w, 2, r);
    ck_assert_int_eq(w_pass(&w), 1);
    ck_assert_str_eq(nodes_of(2), "8 9");
    w_submit(&w, 3, r);
    w_submit(&w, 4, limited_to("n[8-11]", 1));
    ck_assert_int_eq(w_pass(&w), 0);
    explained(3, "Topology");
    struct tug_core_room room;
    tug_core_domain_room(w.c, 4, &room);
    ck_assert_uint_eq(room.nodes, 0);
    ck_assert_uint_eq(room.shut, 4);
    tug_core_domain_room(w.c, 2, &room); /* three whole nodes, or four with seven GPUs: that is more */
    ck_assert_uint_eq(room.nodes, 4);
    ck_assert_uint_eq(room.gpus_per_node, 7);
    struct tug_event cancel = {.type = TUG_EV_JOB_CANCEL, .job = 3};
    ck_assert_int_eq(w_event(&w, cancel), 0);
    ck_assert_int_eq(w_pass(&w), 0); /* 16 GPUs are idle there, and are not for others */
    release(2);
    ck_assert_int_eq(w_pass(&w), 1);
    ck_assert_str_eq(nodes_of(4), "8");
    w_clear(&w);
}
END_TEST

START_TEST(whole_domains_of_a_higher_level_may_be_asked_for_and_a_change_of_the_fabric_ends_nothing)
{
    open_with(12, three, 5);
    hold(1, "n11", 1, 1);
    struct tug_job_req r = in("leaf", 1, 3, 8);
    r.exclusive_level = "spine";
    w_submit(&w, 2, r);
    ck_assert_int_eq(w_pass(&w), 1);
    ck_assert_str_eq(nodes_of(2), "0 1 2");
    for (uint32_t i = 0; i < 8; i++)
        ck_assert_uint_eq(w.c->nodes.at[i].shut, 1);
    static const struct tug_core_domain other[] = {{"spine1", "spine", "", "n[0-3]"},
                                                   {"spine2", "spine", "", "n[4-11]"}};
    w.conf.domains = other;
    w.conf.n_domains = 2;
    ck_assert_int_eq(tug_core_configure(w.c, w.now, &w.conf, &w.err), 0);
    w_check(&w);
    ck_assert_uint_eq(w.c->nodes.at[3].shut, 1);
    ck_assert_uint_eq(w.c->nodes.at[4].shut, 0);
    release(2);
    ck_assert_uint_eq(w.c->nodes.at[3].shut, 0);
    w_clear(&w);
}
END_TEST

START_TEST(a_service_is_spread_over_the_domains_evenly)
{
    open_with(14, three, 5);
    hold(1, "n[0-2]", 3, 8);
    struct tug_job_req r = in("leaf", 0, 5, 8);
    r.spread = 1;
    w_submit(&w, 2, r);
    ck_assert_int_eq(w_pass(&w), 1);
    ck_assert_str_eq(nodes_of(2), "3 4 5 8 9");
    r.nodes = r.ntasks = 6; /* four on leaves, the others where there is room */
    w_submit(&w, 3, r);
    ck_assert_int_eq(w_pass(&w), 1);
    w_clear(&w);
}
END_TEST

static void open_oversubscribed(void)
{
    static const struct tug_core_domain leaves[] = {{"leaf1", "leaf", "spine", "n[0-1]"},
                                                    {"leaf2", "leaf", "spine", "n[2-3]"},
                                                    {"spine", "spine", "", ""}};
    static const struct tug_core_level known[] = {{"leaf", 50000000000, 4, 0}, {"spine", 0, 1, 0}};
    w_init(&w, 4, 8);
    w.conf.domains = leaves;
    w.conf.n_domains = 3;
    w.conf.levels = known;
    w.conf.n_levels = 2;
    w_open(&w);
    w_up_all(&w);
}

static struct tug_job_req good(uint32_t nodes, uint32_t milli, uint32_t wait_s)
{
    struct tug_job_req r = w_req(nodes, 8);
    r.quality_milli = milli;
    r.quality_wait_s = wait_s;
    return r;
}

START_TEST(who_asks_for_quality_waits_for_it_whatever_the_placement_and_others_go_on)
{
    open_oversubscribed();
    hold(1, "n0,n2", 2, 8);
    w_submit(&w, 2, good(2, 800, UINT32_MAX));
    ck_assert_int_eq(w_pass(&w), 0);
    ck_assert_str_eq(explained(2, "Quality"),
                     "the best placement that was to be had had a quality of 0.25, and it asked for "
                     "0.80; it waits until that is there");
    struct tug_shape *s = tug_entry_of(w_job(&w, 2))->shape;
    w_submit(&w, 3, w_req(2, 8));
    ck_assert_int_eq(tug_place_find(w.c, tug_entry_of(w_job(&w, 3))->shape), 0);
    ck_assert_uint_gt(tug_family_limits(w.c)[s->family->number], 2);
    release(1);
    ck_assert_int_eq(w_pass(&w), 2);
    ck_assert_uint_eq(tug_job_quality_milli(w_job(&w, 2)->quality.mbs,
                                            w_job(&w, 2)->quality.best_mbs),
                      1000);
    w_clear(&w);
}
END_TEST

START_TEST(after_its_time_it_takes_any_also_over_a_restart)
{
    open_oversubscribed();
    hold(1, "n0,n2", 2, 8);
    for (uint32_t i = 0; i < 2; i++)
        w_ready(&w, 1, 1, 0, 2 * i);
    w_submit(&w, 2, good(2, 800, 60));
    ck_assert_int_eq(w_pass(&w), 0);
    ck_assert_str_eq(explained(2, "Quality") + strlen("the best placement that was to be had had a "
                                                      "quality of 0.25, and it asked for 0.80; "),
                     "it waits for 00:01:00 more, then takes any");
    ck_assert_int_eq(tug_core_next_wake(w.c), w.now + 60000);
    w_tick(&w, w.now + 30000);
    struct tug_job stored = *w_job(&w, 2);
    struct tug_core *again = tug_core_new(&w.conf, &w.err);
    ck_assert_ptr_nonnull(again);
    ck_assert_int_eq(tug_core_restore_job(again, &stored, &w.err), 0);
    tug_core_restored(again, w.now);
    ck_assert_int_eq(tug_core_relaxes(again, tug_core_job(again, 2)), w.now + 30000);
    ck_assert_int_eq(tug_core_next_wake(again), w.now + 30000);
    tug_core_free(again);
    w_tick(&w, w.now + 30000);
    ck_assert_int_eq(w_pass(&w), 1);
    ck_assert_str_eq(nodes_of(2), "1 3");
    w_clear(&w);
}
END_TEST

/* ---- the plan, victims, and policies that place by themselves */

static int (*script)(const struct tug_policy_host *h, struct tug_policy_pass *p);
static int64_t seen_ms;

static int scripted_pass(void *self, const struct tug_policy_view *v,
                         const struct tug_policy_host *h, struct tug_policy_pass *p)
{
    (void) self;
    seen_ms = v->now_ms;
    return script(h, p);
}
static const struct tug_policy_ops scripted = {
    .size = sizeof scripted, .abi = TUG_POLICY_ABI, .name = "scripted", .pass = scripted_pass};

static void pass(int (*s)(const struct tug_policy_host *, struct tug_policy_pass *))
{
    script = s;
    ck_assert_msg(w_pass_with(&w, &scripted, NULL) >= 0, "%s", w.err.msg);
}

static struct tug_job_req limited(struct tug_job_req r, const char *nodelist, uint32_t limit_s)
{
    r.nodelist = nodelist;
    r.time_limit_s = limit_s;
    return r;
}

static int reserves_one_leaf(const struct tug_policy_host *h, struct tug_policy_pass *p)
{
    int64_t at_ms = -1;
    ck_assert_int_eq(h->earliest(p, 4, &at_ms), 0);
    ck_assert_int_eq(at_ms, seen_ms + 200000); /* four nodes are free at 100 s, but not in one leaf */
    ck_assert_int_eq(h->reserve(p, 4, &at_ms), 0);
    ck_assert_int_eq(at_ms, seen_ms + 200000);
    ck_assert_int_eq(h->backfill(p, 5), 0); /* elsewhere, for as long as it likes */
    ck_assert_int_eq(h->backfill(p, 6), -EBUSY);
    return 0;
}

START_TEST(a_reservation_is_for_nodes_of_one_domain_at_the_earliest_time_that_has_them)
{
    static const struct tug_core_domain two[] = {{"a", "leaf", "", "n[0-3]"},
                                                 {"b", "leaf", "", "n[4-7]"}};
    open_with(8, two, 2);
    w_submit(&w, 1, limited(w_req(2, 8), "n[0-1]", 200));
    w_submit(&w, 2, limited(w_req(2, 8), "n[4-5]", 100));
    w_submit(&w, 3, limited(w_req(1, 8), "n6", 1000));
    ck_assert_int_eq(w_pass(&w), 3);
    w_submit(&w, 4, limited(in("leaf", 1, 4, 8), "", 50));
    w_submit(&w, 5, limited(w_req(1, 8), "", 5000));
    w_submit(&w, 6, limited(w_req(1, 8), "n2", 5000));
    pass(reserves_one_leaf);
    ck_assert_str_eq(nodes_of(5), "7");
    ck_assert_int_eq(tug_core_expected_start(w.c, w_job(&w, 4)), w.now + 200000);
    w_clear(&w);
}
END_TEST

static uint64_t victims[8];
static int n_victims;

static int makes_way(const struct tug_policy_host *h, struct tug_policy_pass *p)
{
    n_victims = h->victims(p, 9, victims, 8);
    ck_assert_int_gt(n_victims, 0);
    ck_assert_int_eq(h->preempt(p, 9, victims, (size_t) n_victims), 0);
    return 0;
}

static void run_low(tug_job_id id, const char *nodelist, uint32_t nodes, uint32_t gpus)
{
    struct tug_job_req r = w_req(nodes, gpus);
    r.queue = "low";
    r.nodelist = nodelist;
    w_submit(&w, id, r);
    w_run(&w, id);
}

static void open_preempting(void)
{
    w_init(&w, 14, 8);
    w.conf.domains = three;
    w.conf.n_domains = 5;
    w.conf.placement = TUG_PLACEMENT_TOPOLOGY;
    w.conf.preemption = TUG_PREEMPTION_TIER;
    w.queues[0].tier = 1;
    w.queues[2].preemptable = TUG_PREEMPT_REQUEUE;
    w_open(&w);
    w_up_all(&w);
}

START_TEST(victims_make_room_inside_one_domain_the_cheapest)
{
    open_preempting();
    run_low(1, "n0", 1, 8);
    run_low(2, "n1", 1, 8);
    run_low(3, "n4", 1, 8);
    run_low(4, "n[8-9]", 2, 8);
    w_tick(&w, w.now + 60000);
    w_submit(&w, 9, in("leaf", 1, 4, 8));
    pass(makes_way);
    ck_assert_int_eq(n_victims, 1);
    ck_assert_uint_eq(victims[0], 3);
    w_gone(&w, 3, 1, 0, 4);
    w_pass(&w);
    w_is(&w, 9, CONFIGURING);
    ck_assert_str_eq(nodes_of(9), "4 5 6 7");
    w_clear(&w);
}
END_TEST

START_TEST(victims_make_room_for_whole_segments)
{
    open_preempting();
    run_low(1, "n[0-2]", 3, 8);
    run_low(2, "n[5-7]", 3, 8);
    run_low(3, "n[9-11]", 3, 8);
    struct tug_job_req r = in("leaf", 0, 4, 8);
    r.segment = 2;
    w_tick(&w, w.now + 60000);
    w_submit(&w, 9, r);
    pass(makes_way);
    ck_assert_int_eq(n_victims, 1); /* one leaf has two segments */
    uint32_t node[3];
    for (uint32_t i = 0; i < 3; i++)
        node[i] = w_job(&w, victims[0])->slices[i].node;
    for (uint32_t i = 0; i < 3; i++)
        w_gone(&w, victims[0], 1, 0, node[i]);
    w_pass(&w);
    w_is(&w, 9, CONFIGURING);
    w_clear(&w);
}
END_TEST

START_TEST(of_victims_that_cost_the_same_those_go_whose_nodes_stand_together)
{
    static const struct tug_core_level known[] = {{"leaf", 50000000000, 2, 0}, {"spine", 0, 2, 0}};
    static const char *const others[] = {"n0", "n[2-4]", "n7", "n8", "n[10-13]"};
    w_init(&w, 14, 8);
    w.conf.domains = three;
    w.conf.n_domains = 5;
    w.conf.levels = known;
    w.conf.n_levels = 2;
    w.conf.placement = TUG_PLACEMENT_TOPOLOGY;
    w.conf.preemption = TUG_PREEMPTION_TIER;
    w.queues[0].tier = 1;
    w.queues[2].preemptable = TUG_PREEMPT_REQUEUE;
    w_open(&w);
    w_up_all(&w);
    for (tug_job_id i = 0; i < 5; i++)
        hold(10 + i, others[i], i == 1 ? 3 : i == 4 ? 4 : 1, 8);
    run_low(1, "n1", 1, 8);
    run_low(2, "n9", 1, 8);
    run_low(3, "n5", 1, 8);
    run_low(4, "n6", 1, 8);
    w_tick(&w, w.now + 60000);
    w_submit(&w, 9, w_req(2, 8));
    pass(makes_way);
    ck_assert_int_eq(n_victims, 2);
    ck_assert_uint_eq(victims[0] + victims[1], 3 + 4); /* neither the first ones, nor on two leaves */
    w_gone(&w, 3, 1, 0, 5);
    w_gone(&w, 4, 1, 0, 6);
    w_pass(&w);
    ck_assert_str_eq(nodes_of(9), "5 6");
    w_clear(&w);
}
END_TEST

START_TEST(victims_clear_a_whole_domain_for_who_wants_it_for_itself)
{
    open_preempting();
    run_low(1, "n0", 1, 1);
    run_low(2, "n3", 1, 1);
    run_low(3, "n[4-5]", 2, 8);
    run_low(4, "n8", 1, 8);
    w_tick(&w, w.now + 60000);
    struct tug_job_req r = w_req(2, 8);
    r.exclusive_level = "leaf";
    w_submit(&w, 9, r);
    pass(makes_way);
    ck_assert_int_eq(n_victims, 2); /* both of them cost less than one of the others */
    ck_assert_uint_eq(victims[0] + victims[1], 3);
    ck_assert_uint_eq(w.c->nodes.at[2].shut, 1);
    w_gone(&w, 1, 1, 0, 0);
    ck_assert_int_eq(w_pass(&w), 0); /* nor does job 1 come back to n0 */
    w_gone(&w, 2, 1, 0, 3);
    w_pass(&w);
    w_is(&w, 9, CONFIGURING);
    w_clear(&w);
}
END_TEST

START_TEST(who_gives_way_opens_the_domain_that_it_had_for_itself)
{
    open_preempting();
    struct tug_job_req r = w_req(1, 1);
    r.queue = "low";
    r.nodelist = "n0";
    r.exclusive_level = "spine";
    w_submit(&w, 1, r);
    w_run(&w, 1);
    w_submit(&w, 9, limited(w_req(3, 8), "n[0-2]", 60));
    pass(makes_way);
    ck_assert_int_eq(n_victims, 1);
    w_gone(&w, 1, 1, 0, 0);
    w_pass(&w);
    w_is(&w, 9, CONFIGURING);
    w_clear(&w);
}
END_TEST

static int reserves_an_empty_leaf(const struct tug_policy_host *h, struct tug_policy_pass *p)
{
    int64_t at_ms = -1;
    ck_assert_int_eq(h->reserve(p, 4, &at_ms), 0);
    ck_assert_int_eq(at_ms, seen_ms + 300000);   /* both jobs of leaf b have gone */
    ck_assert_int_eq(h->backfill(p, 5), -EBUSY); /* it would still be on n7 */
    ck_assert_int_eq(h->backfill(p, 6), 0);
    ck_assert_int_eq(h->reserve(p, 5, &at_ms), 0);
    ck_assert_int_eq(at_ms, seen_ms + 350000);
    return 0;
}

START_TEST(a_reservation_keeps_all_of_a_domain_for_who_wants_it_for_itself)
{
    static const struct tug_core_domain two[] = {{"a", "leaf", "", "n[0-3]"},
                                                 {"b", "leaf", "", "n[4-7]"}};
    open_with(8, two, 2);
    w_submit(&w, 1, limited(w_req(2, 8), "n[0-1]", 500));
    w_submit(&w, 2, limited(w_req(1, 8), "n4", 300));
    w_submit(&w, 3, limited(w_req(1, 8), "n5", 100));
    ck_assert_int_eq(w_pass(&w), 3);
    struct tug_job_req r = limited(w_req(1, 1), "", 50);
    r.exclusive_level = "leaf";
    w_submit(&w, 4, r);
    w_submit(&w, 5, limited(w_req(1, 8), "n7", 400));
    w_submit(&w, 6, limited(w_req(1, 8), "n7", 300));
    pass(reserves_an_empty_leaf);
    w_clear(&w);
}
END_TEST

static int reserves_for_quality(const struct tug_policy_host *h, struct tug_policy_pass *p)
{
    int64_t at_ms;
    ck_assert_int_eq(h->reserve(p, 2, &at_ms), 0);
    ck_assert_int_eq(at_ms, seen_ms + 100000); /* what it needs is free after 50 s; whether that is good, nobody knows */
    ck_assert_int_eq(h->backfill(p, 3), 0);
    ck_assert_int_eq(h->backfill(p, 4), -EBUSY); /* it would run for longer */
    ck_assert_int_eq(h->earliest(p, 5, &at_ms), 0);
    ck_assert_int_eq(at_ms, seen_ms + 160000); /* behind it, and after its own wait */
    ck_assert_int_eq(h->reserve(p, 6, &at_ms), -ENOSPC);
    return 0;
}

START_TEST(who_waits_for_quality_so_long_has_a_reservation_from_then_on)
{
    open_oversubscribed();
    w_submit(&w, 1, limited(w_req(2, 8), "n0,n2", 50));
    ck_assert_int_eq(w_pass(&w), 1);
    struct tug_job_req r = good(4, 800, 100);
    r.time_limit_s = 60;
    w_submit(&w, 2, r);
    w_submit(&w, 3, limited(w_req(1, 8), "", 90));
    w_submit(&w, 4, limited(w_req(1, 8), "", 200));
    r.quality_wait_s = 70;
    w_submit(&w, 5, r);
    r.quality_wait_s = UINT32_MAX;
    w_submit(&w, 6, r);
    pass(reserves_for_quality);
    w_clear(&w);
}
END_TEST

static int puts_it_in_two_leaves(const struct tug_policy_host *h, struct tug_policy_pass *p)
{
    const struct tug_policy_slice astray[] = {{3, 0xff}, {4, 0xff}}, one[] = {{5, 0xff}, {4, 0xff}};
    ck_assert_int_eq(h->start_on(p, 1, astray, 2), -EINVAL);
    ck_assert_int_eq(h->start_on(p, 1, one, 2), 0);
    return 0;
}

START_TEST(a_policy_that_says_where_is_held_to_it)
{
    open_with(14, three, 5);
    w_submit(&w, 1, in("leaf", 1, 2, 8));
    pass(puts_it_in_two_leaves);
    ck_assert_str_eq(w.err.msg, "policy 'scripted' puts job 1 where it must not be: it is in more "
                                "domains of a level than it asked for");
    ck_assert_str_eq(nodes_of(1), "5 4");
    w_clear(&w);
}
END_TEST

static uint32_t second; /* node that the policy below puts the second slice on */
static int asked;

static int places_by_demands(void *self, const struct tug_policy_view *v, const struct tug_policy_host *h,
                             struct tug_policy_pass *p, const struct tug_policy_job *job, struct tug_policy_slice *at, size_t n)
{
    struct tug_policy_demands d = {.size = sizeof d};
    (void) self, (void) v;
    asked++;
    ck_assert_uint_eq(job->within, 1);
    ck_assert_int_eq(h->demands(p, job->id, &d), 0);
    ck_assert_str_eq(d.level, "leaf");
    ck_assert_str_eq(d.alone, "");
    ck_assert_uint_eq(d.domains, 1);
    ck_assert_uint_eq(d.best_mbs, 600000);
    ck_assert_uint_eq(h->domain_of(p, "leaf", 2), h->domain_of(p, "leaf", 3));
    ck_assert_uint_ne(h->domain_of(p, "leaf", 1), h->domain_of(p, "leaf", 2));
    ck_assert_uint_eq(h->domain_of(p, "hall", 1), UINT32_MAX);
    at[0] = (struct tug_policy_slice){2, 0xff};
    at[1] = (struct tug_policy_slice){1, 0xff};
    ck_assert_int_eq(h->bandwidth(p, job->id, at, n), 150000); /* leaves are oversubscribed 4:1 */
    at[1].node = 3;
    ck_assert_int_eq(h->bandwidth(p, job->id, at, n), 600000);
    ck_assert_int_eq(h->bandwidth(p, job->id, at, 1), -EINVAL);
    at[1].node = second;
    return 0;
}

START_TEST(a_policy_that_places_is_asked_about_demands_if_it_wants_and_held_to_them)
{
    struct tug_policy_ops placer = {.size = sizeof placer, .abi = TUG_POLICY_ABI, .name = "placer", .place = places_by_demands};
    for (second = 3; second; second = second == 3 ? 1 : 0) {
        asked = 0;
        open_oversubscribed();
        w_submit(&w, 1, in("leaf", 1, 2, 8));
        placer.needs = TUG_POLICY_NEEDS_DEMANDS;
        ck_assert_int_eq(w_pass_with(&w, &placer, NULL), 1);
        ck_assert_int_eq(asked, 1);
        ck_assert_str_eq(nodes_of(1), second == 3 ? "2 3" : "0 1"); /* what is wrong is refused, and the core chooses */
        if (second == 1)
            ck_assert_str_eq(w.err.msg, "policy 'placer' puts job 1 where it must not be: it is in more domains of a level than "
                                        "it asked for");
        w_clear(&w);
    }
    open_oversubscribed();
    w_submit(&w, 1, in("leaf", 1, 2, 8));
    placer.needs = 0;
    ck_assert_int_eq(w_pass_with(&w, &placer, NULL), 1);
    ck_assert_int_eq(asked, 1); /* not again */
    w_clear(&w);
}
END_TEST

/* ---- admission */

static const char *refused(struct tug_job_req r, struct tug_core_ask ask)
{
    r.user = "eve";
    ck_assert_int_lt(tug_core_admit(w.c, &ask, &r, &w.err), 0);
    return w.err.msg;
}

START_TEST(a_level_that_is_not_there_is_refused_with_those_that_are)
{
    struct tug_core_ask ask = {.nodes = 2, .gpus_per_node = 8};
    open_with(14, three, 5);
    ck_assert_str_eq(refused(in("leef", 0, 0, 0), ask),
                     "the fabric has no level 'leef'; did you mean 'leaf'? there are: 'leaf', "
                     "'spine'");
    struct tug_job_req both = in("leaf", 1, 0, 0);
    both.spread = 1;
    ck_assert_str_eq(refused(both, ask), "--spread wants many domains and --topology with a ! wants "
                                         "few; say one of them");
    both.topology_required = 0;
    both.segment = 2;
    ck_assert_str_eq(refused(both, ask),
                     "--spread wants many domains and --segment wants few; say one of them");
    ck_assert_str_eq(refused(in("pod", 1, 0, 0), ask),
                     "the fabric has no level 'pod'; there are: 'leaf', 'spine'");
    w_clear(&w);
    open_with(2, NULL, 0);
    ck_assert_str_eq(
        refused(in("leaf", 0, 0, 0), ask),
        "no fabric is configured here, so there is no level 'leaf'; leave it out");
    struct tug_job_req r = in("", 1, 0, 0);
    r.topology_domains = 1; /* --switches=1 */
    r.user = "eve";
    ck_assert_int_eq(tug_core_admit(w.c, &ask, &r, &w.err), 0);
    ck_assert_uint_eq(r.topology_required, 0);
    w_clear(&w);
}
END_TEST

START_TEST(a_gang_that_no_domain_could_hold_is_refused_with_the_largest_that_one_does)
{
    struct tug_core_ask ask = {.nodes = 6, .gpus_per_node = 8};
    open_with(14, three, 5);
    ck_assert_str_eq(refused(in("leaf", 1, 0, 0), ask),
                     "6 nodes with 8 GPUs are to be in one domain of level 'leaf', and no such holds "
                     "them: the largest leaf, leaf1, has 4 nodes with 8 GPUs; ask for --nodes 4 or "
                     "less, or --topology=spine!");
    ask.nodes = 9;
    ck_assert_str_eq(refused(in("spine", 1, 0, 0), ask),
                     "9 nodes with 8 GPUs are to be in one domain of level 'spine', and no such holds "
                     "them: the largest spine, spine1, has 8 nodes with 8 GPUs; ask for --nodes 8 or "
                     "less, or --topology=spine (without the !)");
    struct tug_job_req two = in("", 1, 0, 0);
    two.topology_domains = 2;
    ck_assert_str_eq(refused(two, ask),
                     "9 nodes with 8 GPUs are to be in 2 domains of level 'leaf', and no such holds "
                     "them: the largest leaf, leaf1, has 4 nodes with 8 GPUs; ask for --nodes 8 or "
                     "less, or --topology=leaf (without the !)");
    struct tug_job_req cut = in("", 0, 0, 0);
    cut.segment = 5;
    ck_assert_str_eq(refused(cut, ask), "9 nodes do not make whole segments of 5; ask for 10 nodes or "
                                        "for fewer, or for another --segment");
    ask.nodes = 10;
    ck_assert_str_eq(refused(cut, ask),
                     "segments of 5 nodes are to be in one leaf each, and no leaf holds one: the "
                     "largest, leaf1, has 4 nodes that would do; ask for --segment=4 or less");
    ask.nodes = 12;
    cut.segment = 3;
    ck_assert_str_eq(refused(cut, ask),
                     "4 segments of 3 nodes are to be in one leaf each, and there is room for 3; ask "
                     "for --nodes 9 or less, or for smaller segments");
    w_clear(&w);
}
END_TEST

START_TEST(the_lowest_level_is_meant_where_none_is_named)
{
    struct tug_core_ask ask = {.nodes = 4, .gpus_per_node = 8};
    open_with(14, three, 5);
    struct tug_job_req r = in("", 1, 0, 0);
    r.topology_domains = 1;
    r.topology_wait_s = 300;
    r.user = "eve";
    ck_assert_int_eq(tug_core_admit(w.c, &ask, &r, &w.err), 0);
    ck_assert_str_eq(r.topology, "leaf");
    ck_assert_uint_eq(r.topology_wait_s, 300);
    w_clear(&w);
}
END_TEST

/* ---- against brute force: random fabrics of uneven depth, nodes in no domain, random gangs */

#define NODES   9
#define DOMAINS 6

static struct tug_rand dice_rand;
static char texts[2 * DOMAINS][64];
static const char *const levels[] = {"x", "y", "z"};

static uint32_t dice(uint32_t n)
{
    return (uint32_t) (tug_rand_u64(&dice_rand) % n);
}

static uint32_t make_fabric(struct tug_core_domain *d)
{
    uint32_t n = 1 + dice(DOMAINS);
    size_t len[DOMAINS] = {0};
    for (uint32_t i = 0; i < n; i++) {
        uint32_t up = dice(i + 1); /* itself: none */
        snprintf(texts[i], sizeof texts[i], "d%u", i);
        texts[DOMAINS + i][0] = '\0';
        d[i] = (struct tug_core_domain){texts[i], levels[dice(3)], up == i ? "" : texts[up],
                                        texts[DOMAINS + i]};
    }
    for (uint32_t i = 0; i < NODES; i++) {
        uint32_t at = dice(n + 1);
        if (at < n)
            len[at] += (size_t) snprintf(texts[DOMAINS + at] + len[at],
                                         sizeof texts[0] - len[at], "%sn%u", len[at] ? "," : "", i);
    }
    return n;
}

/* The outermost domain of that level that has the node; -1 = none. */
static int domain_at(const struct tug_core_domain *d, uint32_t n, const char *level, uint32_t node)
{
    char name[8];
    int found = -1;
    const char *at = NULL;
    snprintf(name, sizeof name, "n%u", node);
    for (uint32_t i = 0; i < n && !at; i++) {
        const char *p = strstr(d[i].nodes, name);
        at = p ? d[i].name : NULL;
    }
    while (at && *at)
        for (uint32_t i = 0; i < n; i++)
            if (!strcmp(d[i].name, at)) {
                found = !strcmp(d[i].level, level) ? (int) i : found;
                at = d[i].parent;
                break;
            }
    return found;
}

struct brute {
    int domain[NODES];
    uint32_t full, any; /* nodes that hold a slice, the last one */
    const struct tug_job_req *r;
};

/* Of the nodes of that level those in whose domain nobody is; of all, those that nobody has for himself. */
static uint32_t nobodys(const struct tug_core_domain *d, uint32_t n, const char *level)
{
    uint32_t busy = 0, shut = 0, out = 0;
    for (const struct tug_job *j = tug_core_job_after(w.c, 0); j; j = tug_core_job_after(w.c, j->id))
        for (size_t i = 0; i < j->n_slices; i++) {
            uint32_t node = j->slices[i].node;
            busy |= 1u << node;
            for (uint32_t k = 0; j->req.exclusive_level && k < NODES; k++)
                if (domain_at(d, n, j->req.exclusive_level, k) >= 0 &&
                    domain_at(d, n, j->req.exclusive_level, k) ==
                        domain_at(d, n, j->req.exclusive_level, node))
                    shut |= 1u << k;
        }
    for (uint32_t i = 0; i < NODES; i++) {
        int mine = level ? domain_at(d, n, level, i) : 0, good = mine >= 0;
        for (uint32_t k = 0; level && k < NODES; k++)
            good &= domain_at(d, n, level, k) != mine || !((busy | shut) >> k & 1);
        out |= (uint32_t) good << i;
    }
    return out & ~shut;
}

static int in_one_domain(const struct brute *b, uint32_t set)
{
    int first = b->domain[__builtin_ctz(set)];
    for (uint32_t m = set; m; m &= m - 1)
        if (b->domain[__builtin_ctz(m)] != first)
            return 0;
    return first >= 0;
}

static uint32_t domains_of(const struct brute *b, uint32_t set)
{
    uint32_t seen = 0;
    for (uint32_t m = set; m; m &= m - 1) {
        if (b->domain[__builtin_ctz(m)] < 0)
            return UINT32_MAX;
        seen |= 1u << b->domain[__builtin_ctz(m)];
    }
    return (uint32_t) __builtin_popcount(seen);
}

/* Cut off segment after segment, the one with the smaller slice first. */
static int cuts_up(const struct brute *b, uint32_t left, uint32_t n, int uneven)
{
    if (!n)
        return 1;
    for (uint32_t set = left; set; set = (set - 1) & left) {
        uint32_t small = set & ~b->full;
        if ((uint32_t) __builtin_popcount(set) != b->r->segment || !in_one_domain(b, set) ||
            (small && (!uneven || (small & (small - 1)))))
            continue;
        if (cuts_up(b, left & ~set, n - 1, 0))
            return 1;
    }
    return 0;
}

static int could_be(const struct brute *b)
{
    const struct tug_job_req *r = b->r;
    uint32_t domains = !r->topology_required ? 0 : r->topology_domains ? r->topology_domains : 1;
    if (r->segment && !domains)
        return cuts_up(b, b->any, r->nodes / r->segment, r->gpus_last != 0);
    for (uint32_t set = b->any; set; set = (set - 1) & b->any) {
        uint32_t small = set & ~b->full;
        if ((uint32_t) __builtin_popcount(set) == r->nodes &&
            (!small || (r->gpus_last && !(small & (small - 1)))) &&
            (!domains || domains_of(b, set) <= domains))
            return 1;
    }
    return 0;
}

static struct tug_job_req make_gang(void)
{
    struct tug_job_req r = in(levels[dice(3)], 1, 1 + dice(5), 1 + dice(8));
    uint32_t kind = dice(4);
    if (kind == 0)
        r.topology_required = 0;
    if (kind == 1)
        r.topology_domains = 1 + dice(3);
    if (kind == 2) {
        r.topology_required = (uint8_t) (dice(4) == 0);
        r.segment = 1 + dice(3);
        r.nodes = r.segment * (1 + dice(3));
        r.ntasks = r.nodes;
    }
    if (r.nodes > 1 && r.gpus_per_node > 1 && dice(3) == 0)
        r.gpus_last = 1 + dice(r.gpus_per_node - 1);
    if (dice(4) == 0)
        r.exclusive_level = levels[dice(3)];
    if (!r.topology_required && !r.segment && dice(2))
        r.spread = 1;
    if (dice(6) == 0 && !r.topology_required && !r.segment && !r.spread)
        r.topology = "";
    return r;
}

static void check_gang(const struct brute *b, const struct tug_job *j)
{
    const struct tug_job_req *r = b->r;
    uint32_t set = 0;
    for (size_t i = 0; i < j->n_slices; i++)
        set |= 1u << j->slices[i].node;
    if (r->topology_required)
        ck_assert_uint_le(domains_of(b, set), r->topology_domains ? r->topology_domains : 1);
    for (uint32_t i = 0; r->segment && i < r->nodes; i += r->segment) {
        for (set = 0; (uint32_t) __builtin_popcount(set) < r->segment;)
            set |= 1u << j->slices[i + (uint32_t) __builtin_popcount(set)].node;
        ck_assert(in_one_domain(b, set));
    }
}

static int one_gang(tug_job_id id, const struct tug_core_domain *d, uint32_t n)
{
    struct tug_job_req r = make_gang();
    struct brute b = {.r = &r};
    for (uint32_t i = 0; i < NODES; i++) {
        uint32_t free = (uint32_t) __builtin_popcountll(w.c->node_rows.at[i].gpus_free);
        b.domain[i] = domain_at(d, n, r.topology, i);
        b.full |= (uint32_t) (free >= r.gpus_per_node) << i;
        b.any |= (uint32_t) (free >= tug_job_req_gpus(&r, r.nodes - 1)) << i;
    }
    uint32_t open = nobodys(d, n, r.exclusive_level);
    b.full &= open;
    b.any &= open;
    int fits = r.nodes <= NODES && could_be(&b);
    w_submit(&w, id, r);
    int placed = w_pass(&w);
    ck_assert_msg(placed == fits, "%d, not %d: %u nodes x %u/%u, '%s' %u/%u, segment %u, alone '%s', spread %u", placed, fits, r.nodes, r.gpus_per_node, r.gpus_last, r.topology, r.topology_required, r.topology_domains, r.segment, r.exclusive_level ? r.exclusive_level : "", r.spread);
    if (fits) {
        check_gang(&b, w_job(&w, id));
        for (size_t i = 0; i < w_job(&w, id)->n_slices; i++)
            ck_assert(open >> w_job(&w, id)->slices[i].node & 1);
        return 1;
    }
    struct tug_event cancel = {.type = TUG_EV_JOB_CANCEL, .job = id};
    ck_assert_int_eq(w_event(&w, cancel), 0);
    return 0;
}

START_TEST(whatever_can_be_placed_as_asked_is_and_nothing_else)
{
    struct tug_core_domain domains[DOMAINS];
    uint64_t seed = unit_seed();
    int placed = 0, tried = 0;
    for (uint64_t round = 0; round < 1500; round++) {
        dice_rand = tug_rand_seed(seed + round);
        uint32_t n = make_fabric(domains);
        open_with(NODES, domains, n);
        w.conf.placement = (enum tug_placement) dice(TUG_PLACEMENT_TOPOLOGY + 1);
        ck_assert_int_eq(tug_core_configure(w.c, w.now, &w.conf, &w.err), 0);
        tug_job_id id = 1;
        for (uint32_t i = 0; i < NODES; i++) {
            uint32_t used = dice(2) ? dice(9) : 0;
            if (used)
                hold(id++, w.names[i], 1, used);
        }
        for (int i = 0; i < 4; i++, tried++)
            placed += one_gang(id++, domains, n);
        w_clear(&w);
    }
    ck_assert_int_gt(placed, tried / 10);
    ck_assert_int_lt(placed, tried * 9 / 10);
}
END_TEST

UNIT_MAIN("core/within", a_required_level_is_waited_for_and_a_preferred_one_is_not,
          of_the_domains_that_hold_it_the_tightest_is_taken_whatever_the_placement,
          after_its_time_a_required_level_is_only_preferred_and_a_requeued_gang_waits_anew,
          what_does_not_fit_in_one_domain_says_nothing_about_those_who_ask_for_less,
          a_gang_that_no_empty_domain_holds_is_parked_until_one_could,
          segments_are_whole_in_their_domains_and_follow_each_other,
          so_many_domains_at_most_are_the_roomiest,
          running_gangs_keep_their_place_when_the_fabric_changes_and_levels_that_go_are_waited_for,
          who_has_a_domain_for_itself_waits_for_an_empty_one_and_lets_nobody_in,
          whole_domains_of_a_higher_level_may_be_asked_for_and_a_change_of_the_fabric_ends_nothing,
          a_service_is_spread_over_the_domains_evenly,
          who_asks_for_quality_waits_for_it_whatever_the_placement_and_others_go_on,
          after_its_time_it_takes_any_also_over_a_restart,
          of_victims_that_cost_the_same_those_go_whose_nodes_stand_together,
          who_waits_for_quality_so_long_has_a_reservation_from_then_on,
          victims_clear_a_whole_domain_for_who_wants_it_for_itself,
          who_gives_way_opens_the_domain_that_it_had_for_itself,
          a_reservation_keeps_all_of_a_domain_for_who_wants_it_for_itself,
          a_reservation_is_for_nodes_of_one_domain_at_the_earliest_time_that_has_them,
          victims_make_room_inside_one_domain_the_cheapest, victims_make_room_for_whole_segments,
          a_policy_that_says_where_is_held_to_it,
          a_policy_that_places_is_asked_about_demands_if_it_wants_and_held_to_them,
          a_level_that_is_not_there_is_refused_with_those_that_are,
          a_gang_that_no_domain_could_hold_is_refused_with_the_largest_that_one_does,
          the_lowest_level_is_meant_where_none_is_named,
          whatever_can_be_placed_as_asked_is_and_nothing_else)
