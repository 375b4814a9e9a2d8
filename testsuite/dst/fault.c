/* fault.c - what goes wrong, and when
 *
 * A table of kinds; a world has some of them, and one of those strikes at random times. Crashes at await points are
 * elsewhere (ctl.c, node.c), as are what becomes of messages (net.c) and of unsynced commits (disk.c). Layer: tests.
 */
#include "dst.h"

#include <stdlib.h>

/* what, and how often against the others */
#define FAULTS(X) \
    X(CUT, f_cut, 10) \
    X(ONE_WAY, f_one_way, 8) \
    X(HALF, f_half, 4) \
    X(FLAP, f_flap, 3) \
    X(RESET, f_reset, 10) \
    X(SLOW_NODE, f_slow_node, 4) \
    X(CTL_CRASH, f_ctl_crash, 8) \
    X(AGENT_CRASH, f_agent_crash, 8) \
    X(LAUNCHER_CRASH, f_launcher_crash, 3) \
    X(POWER, f_power, 5) \
    X(STEPD_CRASH, f_stepd_crash, 4) \
    X(CTL_PAUSE, f_ctl_pause, 6) \
    X(TAKE_OVER, f_take_over, 6) \
    X(AGENT_PAUSE, f_agent_pause, 4) \
    X(STORE_FAILS, f_store_fails, 2) \
    X(STORE_FULL, f_store_full, 2) \
    X(STORE_SLOW, f_store_slow, 3) \
    X(WALL_JUMP, f_wall_jump, 3) \
    X(LATE_LEASE, f_late_lease, 3) \
    X(RESTART_WITHOUT, f_restart_without, 2) \
    X(RECUT, f_recut, 4)

enum {
#define X(NAME, strike, weight) F_##NAME,
    FAULTS(X)
#undef X
    N_FAULTS
};

static unsigned some_node(struct dst *w)
{
    return (unsigned) tug_rand_below(&w->of_faults, w->conf.nodes);
}

static int64_t span(struct dst *w, int64_t mean)
{
    return dst_about(&w->of_faults, mean);
}

static struct dst_event *over(struct dst *w, int64_t in_ms, unsigned who, uint64_t kind, uint64_t id)
{
    struct dst_event *e = dst_later(w, in_ms, DST_FAULT_OVER, who);

    e->arg = kind;
    e->id = id;
    return e;
}

enum { OVER_CUT, OVER_FLAP, OVER_EDGE, OVER_AGENT };

static void pause(struct dst *w, struct dst_ctl *c, int64_t for_ms)
{
    dst_log(w, "controller %u is stopped for %lld ms", c->index, (long long) for_ms);
    w->n.ctl_pauses++;
    c->paused_until_ms = w->now_ms + for_ms;
    c->unsure = true;
    dst_later(w, for_ms + dst_between(&w->of_faults, 0, 2000), DST_LEAD, c->index)->life = c->life;
}

/* ---- the network */

/* dirs: bit 0 to the controller, bit 1 to the node */
static void cut(struct dst *w, unsigned node, unsigned dirs, int64_t for_ms)
{
    static const char *const what[] = {"", "cannot be heard", "does not hear", "is cut off"};

    dst_log(w, "n%u %s for %lld s", node, what[dirs], (long long) for_ms / 1000);
    for (unsigned d = 0; d < 2; d++)
        if (dirs & (1u << d))
            dst_net_cut(w, node, d);
    over(w, for_ms, node, OVER_CUT, dirs);
}

static int64_t cut_span(struct dst *w)
{
    int64_t lease_ms = w->conf.lease_s * 1000LL;

    if (dst_chance(&w->of_faults, 0.3)) /* around the lease's end */
        return lease_ms * dst_between(&w->of_faults, 80, 125) / 100 + 1;
    return span(w, dst_chance(&w->of_faults, 0.5) ? 8000 : 90000);
}

static void f_cut(struct dst *w)
{
    w->n.cuts++;
    cut(w, some_node(w), 3, cut_span(w));
}

static void f_one_way(struct dst *w)
{
    w->n.one_way++;
    cut(w, some_node(w), dst_chance(&w->of_faults, 0.5) ? 1 : 2, cut_span(w));
}

static void f_half(struct dst *w)
{
    int64_t for_ms = cut_span(w);
    unsigned dirs = (unsigned) dst_between(&w->of_faults, 1, 3);

    w->n.halves++;
    for (unsigned i = 0; i < w->conf.nodes; i++)
        if (dst_chance(&w->of_faults, 0.5))
            cut(w, i, dirs, for_ms);
}

static void f_flap(struct dst *w)
{
    w->n.flaps++;
    over(w, 0, some_node(w), OVER_FLAP, (uint64_t) dst_between(&w->of_faults, 3, 12));
}

static void flap(struct dst *w, unsigned node, uint64_t left)
{
    if (left == 0 || w->calm)
        return;
    cut(w, node, (unsigned) dst_between(&w->of_faults, 1, 3), span(w, 4000));
    over(w, span(w, 9000), node, OVER_FLAP, left - 1);
}

/* An answer to its request for a lease that comes late, and then nothing more: whoever counts from the answer, or from a later
 * request that nobody has heard, has it for longer than the controller waits. */
static void f_late_lease(struct dst *w)
{
    unsigned node = some_node(w);
    int64_t late_ms = dst_between(&w->of_faults, 6000, 14000);

    w->n.one_way++;
    cut(w, node, 2, late_ms);
    if (dst_chance(&w->of_faults, 0.5))
        over(w, dst_between(&w->of_faults, 0, late_ms), node, OVER_EDGE, 1);
    over(w, late_ms + dst_between(&w->of_faults, 5, 300), node, OVER_EDGE, 3);
}

/* A node that the next controller cannot reach: it has only what was granted before. */
static void f_restart_without(struct dst *w)
{
    w->n.cuts++;
    cut(w, some_node(w), 3, (w->conf.lease_s + w->conf.node_timeout_s) * 1100LL + 10000);
    dst_ctl_crash(w, w->leader, "killed");
}

/* Right behind the welcome: with or without the first lease, and it hears no more. */
void dst_fault_at_welcome(struct dst *w, unsigned node)
{
    if (w->calm || !w->conf.with[F_LATE_LEASE] || !dst_chance(&w->of_faults, w->conf.lease_changes ? 0.25 : 0.02))
        return;
    if (dst_chance(&w->of_faults, 0.5))
        cut(w, node, 2, 14000);
    over(w, dst_between(&w->of_faults, 0, 8000), node, OVER_EDGE, 3);
}

/* Its daemon is gone before its hello arrives, and the next one says another: how late it is. */
int64_t dst_fault_at_hello(struct dst *w, unsigned node)
{
    if (w->calm || !w->conf.with[F_AGENT_CRASH] || !dst_chance(&w->of_faults, 0.03))
        return 0;
    over(w, dst_between(&w->of_faults, 1, 300), node, OVER_AGENT, 0);
    return dst_between(&w->of_faults, 500, 4000);
}

/* What waits for room is meant for a node that is stopped meanwhile, until it is given up on; its connection stands. */
static void full_and_deaf(struct dst *w)
{
    int64_t for_ms = (w->conf.lease_s + w->conf.node_timeout_s) * dst_between(&w->of_more, 900, 1300);
    struct dst_node *n = &w->nodes[tug_rand_below(&w->of_more, w->conf.nodes)];

    if (w->calm || !w->conf.with[F_STORE_FULL] || !w->conf.with[F_AGENT_PAUSE] || !dst_chance(&w->of_more, 0.0004) || !n->agent ||
        n->paused_until_ms > w->now_ms)
        return;
    dst_log(w, "n%u: node daemon is stopped, and the store is full, for %lld s", n->index, (long long) for_ms / 1000);
    w->n.agent_pauses++;
    w->n.store_full++;
    w->store.full_until_ms = w->now_ms + for_ms;
    n->paused_until_ms = w->now_ms + for_ms + dst_between(&w->of_more, 0, 4000);
}

/* While something waits for a commit, which may take until nodes and leases are given up on. */
void dst_fault_during_commit(struct dst *w, unsigned ctl)
{
    struct dst_ctl *c = &w->ctls[ctl];

    full_and_deaf(w);
    if (w->calm || !w->conf.with[F_CTL_PAUSE] || c->paused_until_ms > w->now_ms || !dst_chance(&w->of_faults, 0.002))
        return;
    pause(w, c, (w->conf.lease_s + w->conf.node_timeout_s) * dst_between(&w->of_faults, 900, 1200));
}

static void f_reset(struct dst *w)
{
    if (w->links.len)
        dst_net_reset(w, w->links.at[tug_rand_below(&w->of_faults, w->links.len)]);
}

static void f_slow_node(struct dst *w)
{
    struct dst_node *n = &w->nodes[some_node(w)];

    n->slow_until_ms = w->now_ms + span(w, 30000);
    dst_log(w, "n%u is slow", n->index);
}

/* ---- processes and machines */

static void f_ctl_crash(struct dst *w)
{
    dst_ctl_crash(w, w->leader, "killed");
}

static void f_agent_crash(struct dst *w)
{
    dst_agent_crash(w, some_node(w), "killed");
}

static void f_launcher_crash(struct dst *w)
{
    dst_launcher_crash(w, some_node(w));
}

static void f_power(struct dst *w)
{
    dst_node_power_off(w, some_node(w), dst_chance(&w->of_faults, 0.3) ? dst_between(&w->of_faults, 500, 5000)
                                                                     : 5000 + span(w, 60000));
}

static void f_stepd_crash(struct dst *w)
{
    struct dst_part *p = NULL;

    for (int i = 0; i < 16 && w->parts.len && (!p || p->phase == DST_DEAD); i++)
        p = w->parts.at[tug_rand_below(&w->of_faults, w->parts.len)];
    if (p)
        dst_part_stepd_dies(w, p);
}

static void f_ctl_pause(struct dst *w)
{
    struct dst_ctl *c = &w->ctls[w->leader];

    if (c->control && c->paused_until_ms <= w->now_ms)
        pause(w, c, span(w, dst_chance(&w->of_faults, 0.7) ? 3000 : 40000));
}

/* Paused for longer than the store lets it lead: the other machine's controller does. */
static void f_take_over(struct dst *w)
{
    struct dst_ctl *c = &w->ctls[w->leader];
    int64_t after_ms = DST_LEADER_TTL_MS + dst_between(&w->of_faults, 0, 8000);
    struct dst_event *e;

    if (!w->conf.zombies || !c->control || c->paused_until_ms > w->now_ms || w->ctls[!w->leader].control)
        return;
    pause(w, c, after_ms + span(w, 10000));
    e = dst_later(w, after_ms, DST_LEAD, !w->leader);
    e->arg = 1;
}

static void f_agent_pause(struct dst *w)
{
    struct dst_node *n = &w->nodes[some_node(w)];

    if (!n->agent || n->paused_until_ms > w->now_ms)
        return;
    w->n.agent_pauses++;
    n->paused_until_ms = w->now_ms + span(w, dst_chance(&w->of_faults, 0.7) ? 3000 : 60000);
    dst_log(w, "n%u: node daemon is stopped for %lld ms", n->index, (long long) (n->paused_until_ms - w->now_ms));
}

/* ---- disks and clocks */

static struct dst_store *some_store(struct dst *w)
{
    return dst_chance(&w->of_faults, 0.6) ? &w->store : &w->nodes[some_node(w)].store;
}

static void f_store_fails(struct dst *w)
{
    some_store(w)->fails_until_ms = w->now_ms + 1;
    w->n.store_full++;
}

static void f_store_full(struct dst *w)
{
    /* now and then for longer than a lease and the patience with a silent node */
    some_store(w)->full_until_ms = w->now_ms + span(w, dst_chance(&w->of_faults, 0.8) ? 15000 : 600000);
    w->n.store_full++;
}

static void f_store_slow(struct dst *w)
{
    some_store(w)->slow_until_ms = w->now_ms + span(w, 20000);
    w->n.store_slow++;
}

/* Its daemon looks again every now and then. */
static void f_recut(struct dst *w)
{
    unsigned node = some_node(w);

    if (!w->conf.slices)
        return;
    w->n.recuts++;
    dst_devices_cut(w, node);
    dst_later(w, dst_between(&w->of_more, 0, 60000), DST_NODE_LOOKS, node);
}

static void f_wall_jump(struct dst *w)
{
    static const int64_t most_ms[] = {2000, 300000, 24 * 3600000LL};
    int64_t most = most_ms[tug_rand_below(&w->of_faults, dst_chance(&w->of_faults, 0.9) ? 2 : 3)];
    struct dst_clock *c = dst_chance(&w->of_faults, 0.4) ? &w->ctls[w->leader].machine
                                                         : &w->nodes[some_node(w)].machine;
    int64_t by_ms = dst_between(&w->of_faults, -most, most);

    c->base_ms += by_ms;
    w->n.wall_jumps++;
    dst_log(w, "a wall clock is put by %lld s", (long long) by_ms / 1000);
}

/* ---- when */

static const struct {
    void (*strike)(struct dst *w);
    unsigned weight;
} faults[N_FAULTS] = {
#define X(NAME, strike, weight) {strike, weight},
    FAULTS(X)
#undef X
};


static void strike(struct dst *w)
{
    uint64_t all = 0, at;

    _Static_assert(N_FAULTS <= sizeof w->conf.with / sizeof *w->conf.with, "each has its switch");
    for (size_t i = 0; i < N_FAULTS; i++)
        all += w->conf.with[i] ? faults[i].weight : 0;
    if (!all)
        return;
    at = tug_rand_below(&w->of_faults, all);
    for (size_t i = 0; i < N_FAULTS; i++) {
        if (!w->conf.with[i])
            continue;
        if (at < faults[i].weight) {
            faults[i].strike(w);
            return;
        }
        at -= faults[i].weight;
    }
}

/* ---- around leases, of a stream of its own: worlds without it are what they were before there was any */

/* Leases run out behind the back of a controller that is stopped, and has called nobody lost when it goes on; or another one
 * comes with other leases, and nodes hear of them or do not. */
static void gap(struct dst *w)
{
    struct tug_rand *r = &w->of_gaps;
    struct dst_ctl *c = &w->ctls[w->leader];

    if (w->conf.lease_changes && dst_chance(r, 0.6)) {
        for (unsigned i = 0; i < w->conf.nodes; i++)
            if (dst_chance(r, 0.6))
                over(w, dst_between(r, 500, 15000), i, OVER_EDGE, 2);
        dst_ctl_crash(w, w->leader, "killed");
    } else if (c->control && c->paused_until_ms <= w->now_ms && !w->conf.zombies && w->conf.lease_s) {
        pause(w, c, w->conf.lease_s * dst_between(r, 1000, 1300));
    }
}

void dst_faults_start(struct dst *w)
{
    w->of_gaps = tug_rand_seed(w->opts.seed * 40503u + 11);
    if (dst_chance(&w->of_gaps, 0.2))
        dst_later(w, dst_about(&w->of_gaps, 600000), DST_GAP, 0);
    dst_later(w, 5000 + dst_about(&w->of_faults, w->conf.mean_fault_ms), DST_FAULT, 0);
}

static void lead(struct dst *w, const struct dst_event *e)
{
    struct dst_ctl *c = &w->ctls[e->who];

    if (e->arg)
        dst_ctl_take_over(w, e->who);
    else if (e->life == c->life && c->fenced)
        dst_ctl_crash(w, e->who, "it hears that it does not lead any more");
    else if (e->life == c->life && c->paused_until_ms <= w->now_ms)
        c->unsure = false;
}

void dst_fault(struct dst *w, struct dst_event *e)
{
    if (e->what == DST_LEAD) {
        lead(w, e);
    } else if (e->what == DST_FAULT_OVER && e->arg == OVER_CUT) {
        for (unsigned d = 0; d < 2; d++)
            if (e->id & (1u << d))
                dst_net_mend(w, e->who, d);
        dst_log(w, "n%u: a cut is over", e->who);
    } else if (e->what == DST_FAULT_OVER && e->arg == OVER_EDGE) {
        cut(w, e->who, (unsigned) e->id, (w->conf.lease_s + w->conf.node_timeout_s) * 1100LL + 10000);
    } else if (e->what == DST_FAULT_OVER && e->arg == OVER_AGENT) {
        dst_agent_crash(w, e->who, "killed");
    } else if (e->what == DST_FAULT_OVER) {
        flap(w, e->who, e->id);
    } else if (e->what == DST_GAP && !w->calm) {
        gap(w);
        dst_later(w, dst_about(&w->of_gaps, 600000), DST_GAP, 0);
    } else if (!w->calm) {
        strike(w);
        dst_later(w, dst_about(&w->of_faults, w->conf.mean_fault_ms), DST_FAULT, 0);
    }
}
