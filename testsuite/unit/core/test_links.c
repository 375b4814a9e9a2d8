/* test_links.c - pairs of nodes that lose each other: what is remembered, who gets them together, and when it is a node */
#include <errno.h>

#include "base/rand.h"
#include "world.h"

static struct world w;

#define DAY_MS 86400000

/* n nodes with 8 GPUs; two hits within a day, and a node that lost three others is drained. */
static void set(uint32_t n)
{
    w_init(&w, n, 8);
    w.conf.launch_retries = 99;
    w.conf.max_requeues = 99;
    w.conf.failures_kept_ms = DAY_MS;
    w.conf.link_failures = 2;
    w.conf.link_period_s = 86400;
    w.conf.link_peers = 3;
}

static void nodes(uint32_t n)
{
    set(n);
    w_open(&w);
    w_up_all(&w);
}

static struct tug_core_node look(uint32_t i)
{
    struct tug_core_node node;
    tug_core_node(w.c, i, &node);
    return node;
}

static struct tug_core_link link_of(uint32_t a, uint32_t b)
{
    struct tug_core_link l = {.n_hits = 0};
    for (size_t i = 0; i < tug_core_links(w.c); i++) {
        tug_core_link(w.c, i, &l);
        if ((l.a == a && l.b == b) || (l.a == b && l.b == a))
            return l;
    }
    return (struct tug_core_link){.said_ms = -1};
}

static void says(tug_job_id job, uint32_t from, uint32_t by, uint32_t peer)
{
    w_event(&w, (struct tug_event){.type = TUG_EV_STEP_FAILED,
                                   .job = job,
                                   .attempt = w_job(&w, job)->attempt,
                                   .node = from,
                                   .cause = {.kind = TUG_CAUSE_LINK,
                                             .node = by,
                                             .peer = peer,
                                             .text = (char *) (uintptr_t) "nodes n0 and n1 lost each other: nothing came for 15 s"}});
}

static int broken(uint32_t a, uint32_t b)
{
    return w_event(&w, (struct tug_event){.type = TUG_EV_LINK_BROKEN, .node = a, .peer = b});
}

static int on(tug_job_id job, uint32_t node)
{
    const struct tug_job *j = w_job(&w, job);
    for (size_t i = 0; i < j->n_slices; i++)
        if (j->slices[i].node == node)
            return 1;
    return 0;
}

static void all_gone(tug_job_id job)
{
    uint32_t at[W_NODES_MAX], n = 0, attempt = w_job(&w, job)->attempt;
    for (size_t i = 0; i < w_job(&w, job)->n_slices; i++)
        at[n++] = w_job(&w, job)->slices[i].node;
    for (uint32_t i = 0; i < n; i++)
        w_gone(&w, job, attempt, 0, at[i]);
}

static void start(tug_job_id job)
{
    ck_assert_int_eq(w_pass(&w), 1);
    const struct tug_job *j = w_job(&w, job);
    for (size_t i = 0; i < j->n_slices; i++)
        w_ready(&w, job, j->attempt, 0, j->slices[i].node);
    w_is(&w, job, RUNNING);
}

/* A gang on both fails between them. */
static void hit(tug_job_id job, uint32_t a, uint32_t b)
{
    struct tug_job_req r = w_req(2, 8);
    char list[32];
    snprintf(list, sizeof list, "n%u,n%u", a, b);
    r.nodelist = list;
    w_submit(&w, job, r);
    start(job);
    says(job, a, a, b);
    all_gone(job);
    ck_assert_int_eq(broken(a, b), 0);
    w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = job});
}

static void explains(tug_job_id id, const char *reason, const char *words)
{
    char text[512];
    int r;
    tug_core_explain(w.c, w_job(&w, id), &r, text, sizeof text);
    ck_assert_str_eq(tug_core_reason_name(r), reason);
    ck_assert_msg(strstr(text, words) != NULL, "'%s' does not say '%s'", text, words);
}

START_TEST(a_gang_whose_nodes_lose_each_other_is_run_again_elsewhere_and_no_node_is_blamed)
{
    nodes(4);
    w_submit(&w, 1, w_req(2, 8));
    start(1);
    ck_assert(on(1, 0) && on(1, 1));
    says(1, 0, 0, 1);
    w_is(&w, 1, REQUEUED);
    ck_assert_int_eq(w_job(&w, 1)->cause.kind, TUG_CAUSE_LINK);
    ck_assert_int_eq(link_of(0, 1).said_ms, w.now);
    all_gone(1);
    w_is(&w, 1, PENDING);
    ck_assert_uint_eq(w_job(&w, 1)->failures, 1);
    ck_assert(!link_of(0, 1).bad);
    start(1); /* before anybody knows whether it was one of the nodes */
    ck_assert(!(on(1, 0) && on(1, 1)));
    for (uint32_t i = 0; i < 4; i++)
        ck_assert_uint_eq(look(i).n_failures + look(i).bad_launches + look(i).drained, 0);
    ck_assert_str_eq(w_job(&w, 1)->failed_on, "");
    w_clear(&w);
}
END_TEST

START_TEST(the_word_of_both_ends_is_one_hit_once_both_have_been_heard_of)
{
    nodes(4);
    w_submit(&w, 1, w_req(2, 8));
    start(1);
    says(1, 0, 0, 1);
    w.now += 3000;
    says(1, 1, 1, 0);
    ck_assert_int_eq(link_of(0, 1).said_ms, w.now - 3000);
    ck_assert_uint_eq(link_of(0, 1).n_hits, 0);
    w_forget(&w);
    ck_assert_int_eq(broken(1, 0), 0);
    w_saw(&w, "NODE_HISTORY n0 link: lost its link to n1 in job 1\n");
    ck_assert_uint_eq(link_of(0, 1).n_hits, 1);
    ck_assert_uint_eq(link_of(0, 1).hits[0].job, 1);
    ck_assert_int_eq(broken(0, 1), -ENOENT);
    says(1, 1, 1, 0); /* late, after a reconnect */
    ck_assert_int_eq(broken(0, 1), -ENOENT);
    w_clear(&w);
}
END_TEST

START_TEST(a_node_that_goes_down_was_it_itself)
{
    nodes(4);
    w_submit(&w, 1, w_req(2, 8));
    start(1);
    says(1, 0, 0, 1);
    w.now += 45000;
    w_down(&w, 1);
    ck_assert_uint_eq(tug_core_links(w.c), 0);
    ck_assert_int_eq(broken(0, 1), -ENOENT);
    ck_assert_uint_eq(look(1).n_failures, 1);
    w_gone(&w, 1, 1, 0, 0);
    w_lease_over(&w, 1);
    w_is(&w, 1, PENDING);
    ck_assert_str_eq(w_job(&w, 1)->failed_on, "n1");
    w_clear(&w);
}
END_TEST

START_TEST(after_two_hits_no_gang_gets_both_and_it_waits_with_that_reason)
{
    nodes(3);
    hit(1, 0, 1);
    ck_assert(!link_of(0, 1).bad);
    w.now += 60000;
    w_forget(&w);
    hit(2, 0, 1);
    w_saw(&w, "NODE_LOG n0 node n0 lost its link to n1 in job 2; they are not used together any more\n");
    ck_assert(link_of(0, 1).bad);
    ck_assert_int_eq(link_of(0, 1).until_ms, link_of(0, 1).hits[0].at_ms + DAY_MS);
    w_submit(&w, 3, w_req(2, 8));
    start(3);
    ck_assert(on(3, 2));
    w_submit(&w, 4, w_req(1, 8)); /* alone each of them is as good as ever */
    start(4);
    w_submit(&w, 5, w_req(3, 1));
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 3}), 0);
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 4}), 0);
    all_gone(3);
    all_gone(4);
    ck_assert_int_eq(w_pass(&w), 0);
    explains(5, "Links", "enough is free, but nodes n0 and n1 are not used together: their link failed 2 times since 1970-01-01T00:16:40Z");
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_LINK_CLEAR, .node = 1, .peer = 0, .uid = 7, .user = "ann"}), 0);
    w_saw(&w, "NODE_HISTORY n0 link-clear admin by ann: its link to n1 is taken for mended; it had failed 2 times\n");
    ck_assert_uint_eq(tug_core_links(w.c), 0);
    ck_assert_int_eq(w_pass(&w), 1);
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_LINK_CLEAR, .node = 1, .peer = 0}), -ENOENT);
    w_clear(&w);
}
END_TEST

START_TEST(hits_are_forgotten_when_they_are_a_day_old_and_kept_over_a_restart)
{
    nodes(2);
    int64_t first_ms = w.now;
    hit(1, 0, 1);
    w.now += 3600000;
    hit(2, 0, 1);
    ck_assert_int_eq(tug_core_next_wake(w.c) <= first_ms + DAY_MS, 1);
    struct tug_core_link_past kept[3] = {{"n1", link_of(0, 1).hits[0]}, {"n1", link_of(0, 1).hits[1]}, {"gone", {1, 1}}};
    const struct tug_core_node_past past = {.links = kept, .n_links = 3};
    w_open(&w);
    ck_assert_int_eq(tug_core_restore_node(w.c, "n0", &past, &w.err), 0);
    tug_core_restored(w.c, w.now);
    w_check(&w);
    w_up_all(&w);
    ck_assert(link_of(0, 1).bad);
    w_submit(&w, 3, w_req(2, 8));
    ck_assert_int_eq(w_pass(&w), 0);
    ck_assert_int_eq(tug_core_next_wake(w.c), first_ms + DAY_MS);
    w_tick(&w, first_ms + DAY_MS);
    ck_assert(!link_of(0, 1).bad);
    ck_assert_uint_eq(link_of(0, 1).n_hits, 1);
    ck_assert_int_eq(w_pass(&w), 1); /* as it does not fit otherwise */
    w_tick(&w, first_ms + DAY_MS + 3600000);
    ck_assert_uint_eq(tug_core_links(w.c), 0);
    w_clear(&w);
}
END_TEST

START_TEST(what_is_said_again_of_an_attempt_after_a_restart_is_no_further_hit)
{
    nodes(2);
    w_submit(&w, 1, w_req(2, 8));
    start(1);
    w.now += 60000;
    says(1, 0, 0, 1);
    w.now += 5000;
    broken(0, 1);
    struct tug_job was = *w_job(&w, 1);
    struct tug_core_link_past kept = {"n1", link_of(0, 1).hits[0]};
    const struct tug_core_node_past past = {.links = &kept, .n_links = 1};
    struct tug_core *before = w.c;
    w.c = NULL;
    w_open(&w);
    ck_assert_int_eq(tug_core_restore_node(w.c, "n0", &past, &w.err), 0);
    ck_assert_int_eq(tug_core_restore_job(w.c, &was, &w.err), 0);
    tug_core_free(before);
    tug_core_restored(w.c, w.now);
    w_check(&w);
    for (uint32_t i = 0; i < 2; i++) {
        const struct tug_held_step held = {.job = 1, .attempt = 1, .phase = TUG_HELD_ENDING};
        w_up(&w, i, &held, 1);
    }
    says(1, 1, 1, 0);
    ck_assert_int_eq(link_of(0, 1).said_ms, -1);
    ck_assert_uint_eq(link_of(0, 1).n_hits, 1);
    w_clear(&w);
}
END_TEST

START_TEST(a_gang_that_runs_on_both_stays_and_what_is_kept_for_one_is_looked_for_anew)
{
    nodes(2);
    w_submit(&w, 1, w_req(2, 2));
    start(1);
    w_submit(&w, 2, w_req(2, 2));
    start(2);
    says(2, 0, 0, 1);
    all_gone(2);
    broken(0, 1);
    start(2);
    says(2, 1, 1, 0);
    all_gone(2);
    ck_assert(link_of(0, 1).bad); /* at once, and for good when they have been heard of */
    ck_assert_int_eq(link_of(0, 1).until_ms, -1);
    ck_assert_int_eq(w_pass(&w), 0);
    broken(0, 1);
    ck_assert_int_gt(link_of(0, 1).until_ms, 0);
    w_is(&w, 1, RUNNING);
    ck_assert_int_eq(w_pass(&w), 0);
    explains(2, "Links", "attempt 2 ended early: ");
    w_clear(&w);
}
END_TEST

START_TEST(ranks_that_fail_first_cost_the_attempt_and_not_the_job)
{
    nodes(3);
    w_submit(&w, 1, w_req(2, 8));
    start(1);
    w_failed(&w, 1, 1, 0, 0, TUG_CAUSE_RANK, "rank 0 on node n0 exited with code 1");
    w_is(&w, 1, COMPLETING);
    w_gone(&w, 1, 1, 0, 1);
    says(1, 0, 0, 1);
    w_is(&w, 1, REQUEUED);
    w_gone(&w, 1, 1, 0, 0);
    w_is(&w, 1, PENDING);
    ck_assert_int_ge(link_of(0, 1).said_ms, 0);
    w_clear(&w);

    nodes(3);
    struct tug_job_req r = w_req(2, 8);
    r.requeue = 0;
    w_submit(&w, 1, r);
    start(1);
    says(1, 0, 0, 1);
    all_gone(1);
    w_is(&w, 1, NODE_FAIL);
    w_clear(&w);
}
END_TEST

START_TEST(nobody_may_speak_of_nodes_that_its_gang_is_not_on)
{
    nodes(4);
    w_submit(&w, 1, w_req(2, 8));
    start(1);
    says(1, 0, 0, 3);
    ck_assert_uint_eq(tug_core_links(w.c), 0);
    ck_assert_int_eq(w_job(&w, 1)->cause.kind, TUG_CAUSE_STEPD);
    w_clear(&w);
}
END_TEST

START_TEST(a_node_that_lost_three_others_is_drained_by_their_names_until_it_is_resumed)
{
    nodes(6);
    hit(1, 2, 0);
    hit(2, 2, 0);
    hit(3, 2, 3);
    ck_assert(!look(2).drained);
    w_forget(&w);
    hit(4, 4, 2);
    w_saw(&w, "NODE_LOG n2 node n2 is drained: lost the link to n0 (2x), n3 (1x), n4 (1x) within 1-00:00:00\n");
    ck_assert_int_eq(look(2).drains[0].by, TUG_DRAIN_LINKS);
    for (uint32_t i = 0; i < 6; i++)
        ck_assert_int_eq(look(i).drained, i == 2);
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_NODE_RESUME, .node = 2}), 0);
    ck_assert(!look(2).drained);
    ck_assert_uint_eq(tug_core_links(w.c), 0);
    w_clear(&w);
}
END_TEST

/* A switch between n0-3 and n4-7 fails; the first four are lost by one node after the other, or in turn. */
static uint32_t drained_by_a_split(int one_by_one)
{
    tug_job_id job = 0;
    uint32_t drained = 0;
    nodes(8);
    for (uint32_t i = 0; i < 4; i++)
        for (uint32_t k = 0; k < 4; k++) {
            uint32_t a = one_by_one ? i : k, b = 4 + (i + k) % 4;
            if (!look(a).drained && !look(b).drained)
                hit(++job, a, b);
        }
    for (uint32_t i = 0; i < 8; i++)
        drained += look(i).drained;
    w_submit(&w, 100, w_req(3, 8));
    start(100);
    w_clear(&w);
    return drained;
}

START_TEST(half_of_the_nodes_that_cannot_see_the_other_half_are_not_drained)
{
    ck_assert_uint_eq(drained_by_a_split(0), 0);
    ck_assert_uint_le(drained_by_a_split(1), 1);
}
END_TEST

/* ---- is a set without a bad pair found whenever there is one? */

static uint32_t bad[8][2];
static size_t n_bad;

static void restore_bad(uint32_t n, struct tug_rand *r, size_t most)
{
    n_bad = most ? tug_rand_below(r, most + 1) : 0;
    for (size_t i = 0; i < n_bad; i++) {
        bad[i][0] = (uint32_t) tug_rand_below(r, n);
        bad[i][1] = (bad[i][0] + 1 + (uint32_t) tug_rand_below(r, n - 1)) % n;
        struct tug_core_link_past kept[2] = {{w.names[bad[i][1]], {w.now, 1}}, {w.names[bad[i][1]], {w.now, 2}}};
        const struct tug_core_node_past past = {.links = kept, .n_links = 2};
        ck_assert_int_eq(tug_core_restore_node(w.c, w.names[bad[i][0]], &past, &w.err), 0);
    }
    tug_core_restored(w.c, w.now);
}

static int has_pair(uint32_t set)
{
    for (size_t i = 0; i < n_bad; i++)
        if (set >> bad[i][0] & 1 && set >> bad[i][1] & 1)
            return 1;
    return 0;
}

static int could_be(uint32_t among, uint32_t n)
{
    for (uint32_t set = 0; set < 1u << w.conf.n_nodes; set++)
        if (!(set & ~among) && (uint32_t) __builtin_popcount(set) == n && !has_pair(set))
            return 1;
    return 0;
}

static struct tug_core_domain domains[3] = {{"l0", "leaf", "", "n[0-2]"}, {"l1", "leaf", "", "n[3-5]"}, {"l2", "leaf", "", "n[6-8]"}};

/* Some nodes busy, up to that many bad pairs; a gang starts exactly if it can. */
static void one_round(struct tug_rand *r, size_t most)
{
    uint32_t n = 3 + (uint32_t) tug_rand_below(r, 7), free = 0;
    set(n);
    w.conf.placement = (enum tug_placement) tug_rand_below(r, 3);
    if (n == 9 && tug_rand_below(r, 2)) {
        w.conf.domains = domains;
        w.conf.n_domains = 3;
    }
    w_open(&w);
    restore_bad(n, r, most);
    w_up_all(&w);
    for (uint32_t i = 0; i < n; i++) {
        struct tug_job_req busy = w_req(1, 8);
        busy.nodelist = w.names[i];
        if (tug_rand_below(r, 3)) {
            free |= 1u << i;
            continue;
        }
        w_submit(&w, 100 + i, busy);
        ck_assert_int_eq(w_pass(&w), 1);
    }
    uint32_t k = 2 + (uint32_t) tug_rand_below(r, n - 1);
    struct tug_job_req req = w_req(k, 8);
    if (tug_rand_below(r, 2))
        req.exclusive = 1;
    w_submit(&w, 1, req);
    ck_assert_msg(w_pass(&w) == could_be(free, k), "%u of %u nodes, %zu pairs, free %x, placement %d", k, n, n_bad, free,
                  w.conf.placement);
    w_check(&w);
    w_clear(&w);
}

START_TEST(a_set_without_a_bad_pair_is_found_if_there_is_one)
{
    struct tug_rand r = tug_rand_seed(unit_seed());
    for (int i = 0, n = unit_rounds(400); i < n; i++)
        one_round(&r, 3);
    for (int i = 0, n = unit_rounds(400) / 4; i < n; i++)
        one_round(&r, 5); /* 63 searches at most */
}
END_TEST

/* ---- reservations and those who give way */

static int64_t planned_ms;

static int reserves(void *self, const struct tug_policy_view *v, const struct tug_policy_host *h, struct tug_policy_pass *p)
{
    (void) self;
    (void) v;
    ck_assert_int_eq(h->reserve(p, 1, &planned_ms), 0);
    return 0;
}
static const struct tug_policy_ops reserver = {
    .size = sizeof reserver, .abi = TUG_POLICY_ABI, .name = "reserver", .pass = reserves};

static void one_plan(struct tug_rand *r)
{
    uint32_t n = 3 + (uint32_t) tug_rand_below(r, 6);
    int64_t end_ms[W_NODES_MAX];
    set(n);
    w_open(&w);
    restore_bad(n, r, 3);
    w_up_all(&w);
    for (uint32_t i = 0; i < n; i++) {
        struct tug_job_req busy = w_req(1, 8);
        busy.nodelist = w.names[i];
        busy.time_limit_s = 60 * (1 + (uint32_t) tug_rand_below(r, 5));
        end_ms[i] = w.now + busy.time_limit_s * 1000LL;
        w_submit(&w, 100 + i, busy);
        ck_assert_int_eq(w_pass(&w), 1);
    }
    uint32_t k = 2 + (uint32_t) tug_rand_below(r, n - 2);
    int64_t at_ms = INT64_MAX;
    for (int64_t t = w.now + 300000; t > w.now; t -= 60000) {
        uint32_t free = 0;
        for (uint32_t i = 0; i < n; i++)
            free |= end_ms[i] <= t ? 1u << i : 0;
        at_ms = could_be(free, k) ? t : at_ms;
    }
    struct tug_job_req req = w_req(k, 8);
    req.time_limit_s = 100;
    w_submit(&w, 1, req);
    if (at_ms != INT64_MAX) {
        ck_assert_int_ge(w_pass_with(&w, &reserver, NULL), 0);
        ck_assert_int_eq(planned_ms, at_ms);
    }
    w_clear(&w);
}

START_TEST(a_reservation_is_for_when_nodes_come_free_that_may_be_together)
{
    struct tug_rand r = tug_rand_seed(unit_seed());
    for (int i = 0, n = unit_rounds(200); i < n; i++)
        one_plan(&r);
}
END_TEST

static int rc_victims;

static int pushes(void *self, const struct tug_policy_view *v, const struct tug_policy_host *h, struct tug_policy_pass *p)
{
    uint64_t who[W_NODES_MAX];
    (void) self;
    (void) v;
    rc_victims = h->victims(p, 1, who, W_NODES_MAX);
    if (rc_victims >= 0)
        ck_assert_int_eq(h->preempt(p, 1, who, (size_t) rc_victims), 0);
    return 0;
}
static const struct tug_policy_ops pusher = {.size = sizeof pusher, .abi = TUG_POLICY_ABI, .name = "pusher", .pass = pushes};

static void one_push(struct tug_rand *r)
{
    uint32_t n = 3 + (uint32_t) tug_rand_below(r, 6);
    set(n);
    w.conf.preemption = TUG_PREEMPTION_TIER;
    w.conf.placement = (enum tug_placement) tug_rand_below(r, 3);
    w.queues[0].tier = 1;
    w.queues[2].preemptable = TUG_PREEMPT_REQUEUE;
    w_open(&w);
    restore_bad(n, r, 3);
    w_up_all(&w);
    for (uint32_t i = 0; i < n; i++) {
        struct tug_job_req low = w_req(1, 8);
        low.queue = "low";
        low.nodelist = w.names[i];
        w_submit(&w, 100 + i, low);
        w_run(&w, 100 + i);
        w.now += (int64_t) tug_rand_below(r, 5000);
    }
    uint32_t k = 2 + (uint32_t) tug_rand_below(r, n - 1), given = 0, set = 0;
    w_submit(&w, 1, w_req(k, 8));
    ck_assert_int_ge(w_pass_with(&w, &pusher, NULL), 0);
    ck_assert_msg((rc_victims == (int) k) == could_be((1u << n) - 1, k), "victims() said %d for %u of %u nodes, %zu pairs", rc_victims,
                  k, n, n_bad);
    for (uint32_t i = 0; i < n; i++)
        if (w_job(&w, 100 + i)->state == TUG_JOB_REQUEUED) {
            set |= 1u << i;
            given++;
            w_gone(&w, 100 + i, 1, 0, i);
        }
    ck_assert(!has_pair(set));
    ck_assert_uint_eq(given, rc_victims > 0 ? k : 0);
    if (given)
        ck_assert_int_ge(w_pass_with(&w, &pusher, NULL), 1);
    w_clear(&w);
}

START_TEST(those_give_way_whose_nodes_may_be_together)
{
    struct tug_rand r = tug_rand_seed(unit_seed());
    for (int i = 0, n = unit_rounds(150); i < n; i++)
        one_push(&r);
}
END_TEST

/* ---- a policy proposes, the core disposes */

static const uint32_t *wish;

static int places(void *self, const struct tug_policy_view *v, const struct tug_policy_host *h, struct tug_policy_pass *p,
                  const struct tug_policy_job *job, struct tug_policy_slice *at, size_t n)
{
    (void) self;
    (void) v;
    (void) h;
    (void) p;
    (void) job;
    for (size_t i = 0; i < n; i++)
        at[i] = (struct tug_policy_slice){wish[i], 255};
    return 0;
}

static int starts_there(void *self, const struct tug_policy_view *v, const struct tug_policy_host *h, struct tug_policy_pass *p)
{
    const struct tug_policy_slice at[2] = {{wish[0], 255}, {wish[1], 255}};
    (void) self;
    (void) v;
    ck_assert_int_eq(h->start_on(p, 3, at, 2), -EHOSTUNREACH);
    return 0;
}

START_TEST(a_policy_that_does_not_know_the_pair_is_not_refused_and_does_not_get_it)
{
    static const uint32_t both[2] = {0, 1};
    const struct tug_policy_ops placer = {.size = sizeof placer, .abi = TUG_POLICY_ABI, .name = "placer", .place = places};
    const struct tug_policy_ops starter = {.size = sizeof starter, .abi = TUG_POLICY_ABI, .name = "starter", .pass = starts_there};
    wish = both;
    nodes(3);
    hit(1, 0, 1);
    hit(2, 0, 1);
    w_submit(&w, 3, w_req(2, 8));
    ck_assert_int_eq(w_pass_with(&w, &starter, NULL), 0);
    ck_assert_uint_eq(w.stats.refused, 0);
    ck_assert_int_eq(w_pass_with(&w, &placer, NULL), 1);
    ck_assert_uint_eq(w.stats.refused, 0);
    ck_assert(on(3, 2));
    w_clear(&w);
}
END_TEST

UNIT_MAIN("core/links", a_gang_whose_nodes_lose_each_other_is_run_again_elsewhere_and_no_node_is_blamed,
          the_word_of_both_ends_is_one_hit_once_both_have_been_heard_of, a_node_that_goes_down_was_it_itself,
          after_two_hits_no_gang_gets_both_and_it_waits_with_that_reason,
          hits_are_forgotten_when_they_are_a_day_old_and_kept_over_a_restart,
          what_is_said_again_of_an_attempt_after_a_restart_is_no_further_hit,
          a_gang_that_runs_on_both_stays_and_what_is_kept_for_one_is_looked_for_anew,
          ranks_that_fail_first_cost_the_attempt_and_not_the_job, nobody_may_speak_of_nodes_that_its_gang_is_not_on,
          a_node_that_lost_three_others_is_drained_by_their_names_until_it_is_resumed,
          half_of_the_nodes_that_cannot_see_the_other_half_are_not_drained, a_set_without_a_bad_pair_is_found_if_there_is_one,
          a_reservation_is_for_when_nodes_come_free_that_may_be_together, those_give_way_whose_nodes_may_be_together,
          a_policy_that_does_not_know_the_pair_is_not_refused_and_does_not_get_it)
