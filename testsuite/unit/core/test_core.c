/* test_core.c - random clusters, random events: every invariant after each, no GPU used twice on a
 * node, no two attempts of a job running, and in the end everything comes to rest
 *
 * The nodes here are small models of the real ones: orders reach them late, in order, or not at all
 * when the connection breaks; reports are repeated and come from attempts long gone; nodes vanish,
 * come back with what they hold, or rebooted; the core is restarted from its records; a policy has
 * anybody give way to anybody. TUG_SEED=... repeats a run, TUG_ROUNDS=... makes it longer (400 are
 * a million events).
 */
#include <errno.h>
#include <math.h>
#include <signal.h>

#include "same.h"
#include "unit.h"

#include "base/rand.h"
#include "core/state.h"
#include "core/state.h"

#define NODES          9
#define EVENTS_A_ROUND 2600

struct piece { /* what a node holds of a step */
    tug_job_id job;
    uint32_t attempt, step;
    enum tug_held_phase phase;
    tug_gpuset gpus;
    uint32_t gpu_milli; /* of its one GPU; 0 = whole GPUs */
    int fails;
    int requeueable; /* the node ends it when its lease runs out */
    int stopped;
    struct tug_exit exits[8];
    size_t n_exits;
    struct tug_cause cause;
};

struct model { /* a node as it really is */
    int connected, told_down;
    struct tug_vec(struct piece) held;
    struct tug_vec(struct tug_action) inbox;
};

static struct {
    struct tug_core *c;
    struct tug_core_conf conf;
    struct tug_core_queue queues[5]; /* the last is above some of the others */
    struct tug_core_account accounts[3];
    struct tug_core_node_row rows[NODES];
    char names[NODES][8];
    struct model nodes[NODES];
    struct tug_rand rand;
    int64_t now;
    tug_job_id next_id;
    uint64_t events, restarts, jobs_done, double_checks;
    uint64_t preempted, suspended, resumed, ended_preempted, held_starts;
    int crowded; /* this round, gangs run for long and little else goes wrong */
    int pushy; /* this pass, whoever may have others give way does */
    int cut;      /* this round, GPUs are cut into slices, and otherwise by every boot */
    struct tug_core_mig mig[NODES][TUG_GPUS_MAX]; /* of each node */
    size_t n_mig[NODES];
    uint64_t sliced, whole_beside; /* pieces with slices that came; with whole GPUs of a node that has cut ones */
    int calm;     /* the end: nothing goes wrong any more */
    uint32_t set; /* of policies */
} s;

static uint32_t dice(uint32_t n)
{
    return (uint32_t) tug_rand_below(&s.rand, n);
}

static int chance(uint32_t one_in)
{
    return !s.calm && dice(one_in) == 0;
}

/* ---- what the model of the world says about the core */

static struct piece *find_piece(struct model *n, tug_job_id job, uint32_t attempt, uint32_t step)
{
    for (size_t i = 0; i < n->held.len; i++)
        if (n->held.at[i].job == job && n->held.at[i].attempt == attempt &&
            n->held.at[i].step == step)
            return &n->held.at[i];
    return NULL;
}

static int is_first_step(const struct model *n, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (n->held.at[i].job == n->held.at[at].job &&
            n->held.at[i].attempt == n->held.at[at].attempt &&
            n->held.at[i].phase != TUG_HELD_DONE)
            return 0;
    return 1;
}

/* The GPUs of a gang that comes are not in use by another on that node, whatever happened before.
 */
static void nobody_else_uses(const struct model *n, const struct piece *p)
{
    uint32_t milli = p->gpu_milli;
    for (size_t i = 0; i < n->held.len; i++) {
        const struct piece *q = &n->held.at[i];
        s.double_checks++;
        const struct tug_job *its = tug_core_job(s.c, q->job);
        int at_barrier = q->phase < TUG_HELD_RUNNING && its && its->suspended_ms >= 0;
        if (q->phase == TUG_HELD_DONE || q->stopped || at_barrier ||
            (q->job == p->job && q->attempt == p->attempt))
            continue;
        if (p->gpu_milli && q->gpu_milli && p->gpus == q->gpus && is_first_step(n, i)) {
            milli += q->gpu_milli;
            ck_assert_msg(milli <= 1000, "job %llu.%u gets more of a GPU than is left of it",
                          (unsigned long long) p->job, p->attempt);
        }
        if (p->gpu_milli && q->gpu_milli)
            continue;
        ck_assert_msg((q->gpus & p->gpus) == 0, "job %llu.%u gets GPUs that %llu.%u still uses",
                      (unsigned long long) p->job, p->attempt, (unsigned long long) q->job,
                      q->attempt);
    }
}

static void no_other_attempt_runs(tug_job_id job, uint32_t attempt)
{
    for (size_t i = 0; i < NODES; i++)
        for (size_t k = 0; k < s.nodes[i].held.len; k++) {
            const struct piece *q = &s.nodes[i].held.at[k];
            ck_assert_msg(q->job != job || q->attempt == attempt || q->phase == TUG_HELD_DONE,
                          "attempts %u and %u of job %llu at once", q->attempt, attempt,
                          (unsigned long long) job);
        }
}

/* Nobody may start while a node that holds its part of that gang is still setting it up. */
static void all_are_ready(const struct tug_action *a)
{
    for (size_t i = 0; i < NODES; i++) {
        const struct piece *q = find_piece(&s.nodes[i], a->job, a->attempt, a->step);
        ck_assert_msg(!q || q->phase != TUG_HELD_STARTING,
                      "job %llu starts before node %zu is ready", (unsigned long long) a->job, i);
    }
}

static void drain_actions(void)
{
    struct tug_action a;
    while (tug_core_next_action(s.c, &a)) {
        if (a.type == TUG_ACT_JOB_HISTORY) {
            s.preempted += !strcmp(a.text, "preempt");
            s.suspended += !strcmp(a.text, "suspend");
            s.resumed += !strcmp(a.text, "resume");
            s.ended_preempted += !strcmp(a.text, "end") &&
                                 tug_core_job(s.c, a.job)->state == TUG_JOB_PREEMPTED;
        }
        if (a.type > TUG_ACT_ACK)
            continue;
        ck_assert_uint_lt(a.node, NODES);
        if (a.type == TUG_ACT_START)
            all_are_ready(&a);
        if (s.nodes[a.node].connected)
            tug_vec_push(&s.nodes[a.node].inbox, a);
    }
}

static int event(struct tug_event ev)
{
    struct tug_err err = {0};
    int rc = tug_core_apply(s.c, s.now, &ev, &err);
    ck_assert_msg(rc == 0 || err.msg[0], "event %d failed with %d and said nothing", (int) ev.type,
                  rc);
    drain_actions();
    s.events++;
    struct tug_err why = {0};
    ck_assert_msg(tug_core_check(s.c, &why) == 0, "after event %d of job %llu: %s", (int) ev.type,
                  (unsigned long long) ev.job, why.msg);
    return rc;
}

/* ---- nodes */

static void report(uint32_t node, enum tug_event_type type, const struct piece *p)
{
    if (!s.nodes[node].connected)
        return;
    struct piece copy = *p; /* the event may change the list that p is in */
    event((struct tug_event){.type = type,
                             .job = copy.job,
                             .attempt = copy.attempt,
                             .step = copy.step,
                             .node = node,
                             .exits = copy.exits,
                             .n_exits = copy.n_exits,
                             .cause = copy.cause});
}

static void piece_ends(struct piece *p, int code, int killed)
{
    p->phase = TUG_HELD_DONE;
    p->n_exits = killed && dice(2) ? 0 : 1 + dice(8);
    for (size_t i = 0; i < p->n_exits; i++)
        p->exits[i] = (struct tug_exit){
            .code = killed ? 0 : code, .signal = killed ? 9 : 0, .oom = code == 9};
}

static void take_launch(uint32_t node, const struct tug_action *a)
{
    struct model *n = &s.nodes[node];
    struct piece *old = find_piece(n, a->job, a->attempt, a->step);
    if (old) {
        if (old->phase == TUG_HELD_DONE)
            report(node, TUG_EV_STEP_DONE, old);
        return;
    }
    const struct tug_job *j = tug_core_job(s.c, a->job);
    struct piece p = {.job = a->job,
                      .attempt = a->attempt,
                      .step = a->step,
                      .fails = chance(s.crowded ? 100 : 12),
                      .requeueable = !j || j->req.requeue,
                      .gpu_milli = j ? j->req.gpu_milli : 0};
    for (size_t i = 0; j && i < j->n_slices; i++)
        if (j->slices[i].node == node && j->attempt == a->attempt)
            p.gpus = j->slices[i].gpus;
    s.sliced += j && *j->req.mig_profile;
    s.whole_beside += j && p.gpus && !*j->req.mig_profile && s.n_mig[node];
    nobody_else_uses(n, &p);
    no_other_attempt_runs(a->job, a->attempt);
    tug_vec_push(&n->held, p);
}

static void take_kill(uint32_t node, const struct tug_action *a)
{
    struct piece *p = find_piece(&s.nodes[node], a->job, a->attempt, a->step);
    if (!p) {
        struct piece nothing = {.job = a->job, .attempt = a->attempt, .step = a->step};
        report(node, TUG_EV_STEP_DONE, &nothing);
        return;
    }
    if (p->phase != TUG_HELD_DONE)
        piece_ends(p, 0, 1);
    report(node, TUG_EV_STEP_DONE, p);
}

static void deliver_one(uint32_t node)
{
    struct model *n = &s.nodes[node];
    if (!n->inbox.len)
        return;
    struct tug_action a = n->inbox.at[0];
    tug_vec_remove(&n->inbox, 0);
    struct piece *p = find_piece(n, a.job, a.attempt, a.step);
    if (p && p->phase == TUG_HELD_RUNNING && a.type == TUG_ACT_SIGNAL && a.signal == SIGCONT)
        nobody_else_uses(n, p);
    if (p && p->phase == TUG_HELD_RUNNING && a.type == TUG_ACT_SIGNAL)
        p->stopped = a.signal == SIGSTOP || (p->stopped && a.signal != SIGCONT);
    if (p && p->phase == TUG_HELD_RUNNING && a.type == TUG_ACT_SIGNAL && a.signal == SIGSTOP && a.serial) {
        event((struct tug_event){.type = TUG_EV_STEP_STOPPED,
                                 .job = a.job,
                                 .attempt = a.attempt,
                                 .step = a.step,
                                 .node = node,
                                 .serial = a.serial});
        return;
    }
    if (a.type == TUG_ACT_LAUNCH)
        take_launch(node, &a);
    else if (a.type == TUG_ACT_KILL)
        take_kill(node, &a);
    else if (a.type == TUG_ACT_START && p && p->phase == TUG_HELD_READY)
        p->phase = TUG_HELD_RUNNING;
    else if (a.type == TUG_ACT_ACK && p && p->phase == TUG_HELD_DONE)
        tug_vec_remove(&n->held, (size_t) (p - n->held.at));
}

static void progress_one(uint32_t node)
{
    struct model *n = &s.nodes[node];
    if (!n->held.len)
        return;
    struct piece *p = &n->held.at[dice((uint32_t) n->held.len)];
    if (p->stopped && p->phase != TUG_HELD_DONE)
        return;
    if (p->phase == TUG_HELD_STARTING && p->fails) {
        const enum tug_cause_kind kinds[] = {TUG_CAUSE_LAUNCH, TUG_CAUSE_OUTPUT, TUG_CAUSE_STEPD,
                                             TUG_CAUSE_NONE};
        struct piece word = *p;
        word.cause = (struct tug_cause){.kind = kinds[dice(4)],
                                        .node = TUG_NO_NODE,
                                        .text = (char *) (uintptr_t) "cannot be started"};
        report(node, TUG_EV_STEP_FAILED, &word);
    } else if (p->phase == TUG_HELD_STARTING) {
        p->phase = TUG_HELD_READY;
        report(node, TUG_EV_STEP_READY, p);
    } else if (p->phase == TUG_HELD_READY) {
        if (chance(20)) {
            report(node, TUG_EV_STEP_READY, p);
        } else if (chance(40)) {
            piece_ends(p, 1, 0);
            report(node, TUG_EV_STEP_DONE, p);
        }
    } else if (p->phase == TUG_HELD_RUNNING) {
        if (dice(3) == 0) {
            report(node, TUG_EV_STEP_WIRED, p);
        } else if (s.calm || dice(s.crowded ? 100 : 6) == 0) {
            piece_ends(p, chance(6) ? 1 + (int) dice(9) : 0, 0);
            report(node, TUG_EV_STEP_DONE, p);
        }
    } else if (s.calm || dice(3) == 0) {
        report(node, TUG_EV_STEP_DONE, p); /* until it is acknowledged */
    }
}

/* What its GPUs are cut into from this boot on. As the controller does it, slices get numbers that nobody holds anything by. */
static void cut_gpus(uint32_t node)
{
    static const char *const layouts[][7] = {{NULL},
                                             {"1g.10gb", "1g.10gb", "1g.10gb", "1g.10gb", "1g.10gb", "1g.10gb", "1g.10gb"},
                                             {"2g.20gb", "2g.20gb", "2g.20gb", "1g.10gb"},
                                             {"3g.40gb", "3g.40gb"},
                                             {"1g.10gb", "2g.20gb", "3g.40gb"}};
    uint32_t gpus = s.rows[node].gpus, device = gpus;
    s.n_mig[node] = 0;
    for (uint8_t g = 0; s.cut && g < gpus; g++) {
        const char *const *parts = layouts[dice(5)];
        for (uint32_t i = 0; i < 7 && parts[i]; i++, device++) {
            while (device < TUG_GPUS_MAX && tug_core_devices_had(s.c, node) >> device & 1)
                device++;
            if (device < TUG_GPUS_MAX)
                s.mig[node][s.n_mig[node]++] = (struct tug_core_mig){.profile = parts[i], .gpu = g, .device = (uint8_t) device};
        }
    }
}

static void disconnect(uint32_t node)
{
    s.nodes[node].connected = 0;
    s.nodes[node].inbox.len = 0;
}

static void come(uint32_t node, int rebooted)
{
    struct model *n = &s.nodes[node];
    struct tug_held_step held[64];
    size_t n_held = 0;
    n->inbox.len = 0;
    n->connected = 1;
    n->told_down = 0;
    if (rebooted) {
        n->held.len = 0;
        cut_gpus(node);
    }
    for (size_t i = 0; i < n->held.len && n_held < 64; i++) {
        const struct piece *p = &n->held.at[i];
        held[n_held++] = (struct tug_held_step){p->job,   p->attempt, p->step, p->phase,
                                                p->exits, p->n_exits, p->cause};
    }
    const struct tug_core_node_row *r = &s.rows[node];
    struct tug_core_inventory inv = {.cpus = r->cpus, .gpus = r->gpus, .mem_bytes = r->mem_bytes, .gpu_model = r->gpu_model};
    inv.mig = s.mig[node];
    inv.n_mig = s.n_mig[node];
    if (chance(15) && !s.cut)
        inv.gpus -= inv.gpus > 0;
    struct piece copy[64];
    for (size_t i = 0; i < n_held; i++) { /* held[] points into a list that orders may change */
        copy[i] = n->held.at[i];
        held[i].exits = copy[i].exits;
    }
    event((struct tug_event){.type = TUG_EV_NODE_UP,
                             .node = node,
                             .inventory = inv,
                             .held = held,
                             .n_held = n_held,
                             .boot_changed = (uint8_t) rebooted});
}

static void lease_runs_out(uint32_t node)
{
    struct model *n = &s.nodes[node];
    if (n->connected || !n->told_down)
        return;
    for (size_t i = 0; i < n->held.len;
         i++) /* the node ends what may run again, by itself, before that */
        if (n->held.at[i].phase != TUG_HELD_DONE &&
            (n->held.at[i].requeueable || n->held.at[i].phase < TUG_HELD_RUNNING))
            piece_ends(&n->held.at[i], 0, 1);
    event((struct tug_event){.type = TUG_EV_NODE_LEASE_OVER, .node = node});
}

/* A node with orders to take, or with something that can go on; any node if there is none. */
static uint32_t busy_node(int has_orders)
{
    uint32_t from = dice(NODES);
    for (uint32_t i = 0; i < NODES; i++) {
        uint32_t node = (from + i) % NODES;
        if (has_orders ? s.nodes[node].inbox.len : s.nodes[node].held.len)
            return node;
    }
    return from;
}

static void goes_down(uint32_t node)
{
    event((struct tug_event){.type = TUG_EV_NODE_DOWN, .node = node, .text = "silent"});
    s.nodes[node].told_down = 1;
}

static void something_about_a_node(void)
{
    uint32_t node = dice(2) ? dice(NODES) : busy_node(0);
    struct model *n = &s.nodes[node];
    switch (dice(6)) {
    case 0:
        if (!n->connected || !chance(3))
            break;
        disconnect(node);
        if (dice(2))
            break;
        goes_down(node); /* at once, and comes back when its lease has run out */
        lease_runs_out(node);
        come(node, 0);
        break;
    case 1:
        if (!n->connected)
            goes_down(node);
        break;
    case 2:
        lease_runs_out(node);
        break;
    case 3:
        event((struct tug_event){
            .type = chance(5) ? TUG_EV_NODE_DRAIN : TUG_EV_NODE_RESUME, .node = node, .text = "x"});
        break;
    default:
        if (!n->connected || chance(8))
            come(node, chance(4));
    }
}

/* ---- users */

static void submit(void)
{
    static const char *const queues[] = {"main", "low", "high", "some"};
    static const char *const lists[] = {"", "", "", "", "m[0-3]", "m[2-8]"};
    static const char *const users[] = {"u", "v", "w"}, *const accounts[] = {"", "x", "y"};
    uint32_t nodes = 1 + dice(4), gpus = dice(5);
    static const char *const profiles[] = {"1g.10gb", "2g.20gb", "3g.40gb"};
    int uneven = nodes > 1 && gpus > 1 && dice(3) == 0, share = dice(4) == 0, slices = s.cut && gpus && dice(2);
    share &= !slices;
    if (share)
        nodes = gpus = 1;
    uneven &= !share;
    struct tug_job_req r = {.uid = dice(3),
                            .user = users[dice(3)],
                            .queue = queues[dice(4)],
                            .account = accounts[dice(3)],
                            .name = "j",
                            .batch = dice(4) == 0,
                            .requeue = dice(3) != 0,
                            .exclusive = dice(10) == 0 && !share,
                            .interactive = dice(10) == 0,
                            .nodes = nodes,
                            .ntasks = nodes + dice(6),
                            .cpus_per_node = 1 + dice(4),
                            .gpus_per_node = gpus,
                            .mig_profile = slices ? profiles[dice(3)] : "",
                            .gpu_milli = share ? 100 + 100 * dice(9) : 0,
                            .gpus_last = uneven ? 1 + dice(gpus - 1) : 0,
                            .mem_per_node_bytes = dice(3) ? 0 : (uint64_t) dice(32) << 30,
                            .gpu_model = dice(8) ? "" : "h200",
                            .nodelist = lists[dice(6)],
                            .exclude = dice(8) ? "" : "m1",
                            .time_limit_s = dice(2) ? 0 : 1 + dice(500),
                            .begin_ms = dice(6) ? 0 : s.now + dice(60000),
                            .nice = (int32_t) dice(3)};
    if (uneven)
        r.cpus_last = 1 + dice(r.cpus_per_node);
    struct tug_core_counts counts;
    tug_core_count(s.c, &counts);
    if (counts.pending > 25)
        return;
    event((struct tug_event){.type = TUG_EV_JOB_SUBMIT, .job = s.next_id++, .req = &r});
}

static const struct tug_job *some_job(void)
{
    if (dice(2)) /* one that holds something, if there is */
        for (uint32_t i = 0, from = dice(NODES); i < NODES; i++)
            if (s.nodes[(from + i) % NODES].held.len)
                return tug_core_job(s.c, s.nodes[(from + i) % NODES].held.at[0].job);
    tug_job_id from = s.next_id > 40 ? s.next_id - 40 + dice(40) : dice((uint32_t) s.next_id);
    return tug_core_job_after(s.c, from);
}

static void something_about_a_job(void)
{
    const struct tug_job *j = some_job();
    if (!j)
        return;
    struct tug_event ev = {.job = j->id, .attempt = j->attempt, .text = "a user", .signal = 10};
    const enum tug_event_type types[] = {TUG_EV_JOB_CANCEL,  TUG_EV_JOB_REQUEUE,
                                         TUG_EV_JOB_SIGNAL,  TUG_EV_STEP_SUBMIT,
                                         TUG_EV_STEP_SUBMIT, TUG_EV_STEP_CANCEL};
    ev.type = types[dice(6)];
    if (ev.type == TUG_EV_STEP_SUBMIT)
        ev.ntasks = dice(6);
    else
        ev.step = ev.type == TUG_EV_JOB_SIGNAL || ev.type == TUG_EV_STEP_CANCEL
                      ? dice(j->next_step + 1)
                      : 0;
    if ((ev.type == TUG_EV_JOB_CANCEL || ev.type == TUG_EV_JOB_REQUEUE) && dice(2))
        return;
    event(ev);
}

/* Words from attempts, steps and jobs that may never have been; the real node did not say them. */
static void old_word(void)
{
    const struct tug_job *j = some_job();
    uint32_t node = dice(NODES);
    if (!s.nodes[node].connected || !j || j->attempt < 2)
        return;
    struct piece p = {
        .job = chance(5) ? j->id + 1000 : j->id, .attempt = j->attempt - 1, .step = dice(2)};
    if (find_piece(&s.nodes[node], p.job, p.attempt, p.step))
        return; /* that would be a lie, not an old word */
    const enum tug_event_type types[] = {TUG_EV_STEP_WIRED, TUG_EV_STEP_FAILED, TUG_EV_STEP_DONE};
    report(node, types[dice(3)], &p);
}

/* ---- the core's own */

static uint64_t any_job(const void *rows, size_t n, size_t stride)
{
    const struct tug_policy_job *j =
        (const void *) ((const char *) rows + (n ? dice((uint32_t) n) : 0) * stride);
    return n && dice(8) ? j->id : dice((uint32_t) s.next_id + 2);
}

/* Any call of the host, with arguments some of which are by chance right. */
static void wild_call(const struct tug_policy_view *v, const struct tug_policy_host *host,
                      struct tug_policy_pass *p)
{
    uint64_t id = any_job(v->waiting, v->n_waiting, v->waiting_stride), victims[4];
    int64_t at_ms;
    struct tug_policy_slice at[6];
    for (size_t k = 0; k < 6; k++) {
        at[k].node = dice(NODES + 1);
        at[k].gpus = tug_gpuset_first_n(dice(6)) << dice(4);
    }
    for (size_t k = 0; k < 4; k++)
        victims[k] = any_job(v->running, v->n_running, v->running_stride);
    switch (dice(17)) {
    case 0:
    case 1:
        host->start(p, id);
        break;
    case 2:
        host->start_on(p, id, at, dice(6));
        break;
    case 3:
        host->explain(p, id, (enum tug_policy_reason) dice(13),
                      dice(2) ? "the stars stand badly" : NULL);
        break;
    case 4:
        host->fits(p, id);
        break;
    case 5:
        host->log(p, "well");
        break;
    case 6:
        if (!host->place(p, id, at, 1 + dice(4)) && dice(2))
            host->start(p, id);
        break;
    case 7:
        host->held(p, dice(2) ? id : victims[0], at, dice(6));
        break;
    case 8:
        host->may_use(p, id, dice(NODES + 1));
        break;
    case 9:
        host->expected_end(p, victims[0]);
        break;
    case 10:
        host->earliest(p, id, &at_ms);
        break;
    case 11:
        host->reserve(p, id, &at_ms);
        break;
    case 12:
        host->backfill(p, id);
        break;
    case 13:
        host->horizon(p, dice(2) ? 0 : dice(1000000), dice(2) ? 0 : dice(10000));
        break;
    case 14: {
        int n = host->victims(p, id, victims, dice(5));
        if (n >= 0 && n <= 4 && dice(4))
            host->preempt(p, id, victims, (size_t) n);
        break;
    }
    case 15:
        host->preempt(p, dice(6) ? id : 0, victims, dice(5));
        break;
    default:
        host->wake(p, s.now + dice(5000) - 1000);
    }
}

/* A policy that proposes anything at all, some of it by chance right. */
static int wild_pass(void *self, const struct tug_policy_view *v,
                     const struct tug_policy_host *host, struct tug_policy_pass *p)
{
    (void) self;
    for (uint32_t i = dice(20); i > 0; i--)
        wild_call(v, host, p);
    for (size_t i = 0; i < v->n_nodes; i++)
        host->random(p);
    return dice(12) ? 0 : -EIO;
}

static double wild_key(void *self, const struct tug_policy_view *v, const struct tug_policy_job *j)
{
    (void) self;
    (void) v;
    (void) j;
    return dice(40) ? dice(3) ? (double) dice(9) - 4 : HUGE_VAL : NAN;
}

static int wild_rekey(void *self, const struct tug_policy_view *v)
{
    (void) self;
    (void) v;
    return dice(20) ? (int) dice(2) : -EIO;
}

static int wild_place(void *self, const struct tug_policy_view *v,
                      const struct tug_policy_host *host, struct tug_policy_pass *p,
                      const struct tug_policy_job *job, struct tug_policy_slice *at, size_t n)
{
    (void) self;
    (void) v;
    if (dice(3) == 0)
        return -EAGAIN;
    for (size_t i = 0; i < n; i++)
        at[i] = (struct tug_policy_slice){dice(NODES), tug_gpuset_first_n(job->gpus_per_node)
                                                           << dice(3)};
    return host->may_use(p, job->id, at[0].node) ? 0 : -EAGAIN;
}

/* What lives by the events alone is what the core has: nothing was lost or told twice. */
static struct {
    uint8_t life[1 << 16]; /* by job id: 0 = not told of, 1 = waits, 2 = runs, 3 = over */
} told;

static int wild_observe(void *self, const struct tug_policy_view *v,
                        const struct tug_policy_event *events, size_t n, size_t stride)
{
    (void) self;
    (void) v;
    for (size_t i = 0; i < n; i++) {
        const struct tug_policy_event *ev = (const void *) ((const char *) events + i * stride);
        uint8_t *life = &told.life[ev->job.id % sizeof told.life];
        if (ev->type > TUG_POLICY_EV_SUSPEND || ev->type == TUG_POLICY_EV_PREEMPT)
            continue;
        ck_assert_msg(strchr("uvw", *ev->job.user) && !ev->job.user[1], "%s", ev->job.user);
        if (ev->type == TUG_POLICY_EV_START)
            ck_assert_uint_ne(*life, 2);
        else if (ev->type == TUG_POLICY_EV_SUSPEND)
            ck_assert_uint_eq(*life, 2);
        else if (ev->type == TUG_POLICY_EV_REQUEUE)
            ck_assert_uint_ne(*life, 0);
        ck_assert_uint_ne(*life, 3);
        *life = ev->type == TUG_POLICY_EV_START ? 2 : ev->type == TUG_POLICY_EV_END ? 3 : 1;
    }
    for (const struct tug_job *j = tug_core_job_after(s.c, 0); j;
         j = tug_core_job_after(s.c, j->id)) {
        int life = tug_job_state_is_over(j->state) ? 3
                   : tug_job_state_holds(j->state) && j->suspended_ms < 0 ? 2
                                                                          : 1;
        ck_assert_msg(told.life[j->id % sizeof told.life] == life,
                      "job %llu is %s, but the policy was told it is %d",
                      (unsigned long long) j->id, tug_job_state_name(j->state),
                      told.life[j->id % sizeof told.life]);
    }
    return 0;
}

static const struct tug_policy_ops wild = {.size = sizeof wild,
                                           .abi = TUG_POLICY_ABI,
                                           .name = "wild",
                                           .pass = wild_pass,
                                           .key = wild_key,
                                           .rekey = wild_rekey,
                                           .place = wild_place,
                                           .preempt = wild_pass,
                                           .observe = wild_observe},
                                   wild_order = {.size = sizeof wild,
                                                 .abi = TUG_POLICY_ABI,
                                                 .name = "wild-order",
                                                 .key = wild_key,
                                                 .observe = wild_observe};

static void read_explanations(void)
{
    char text[1024];
    for (const struct tug_job *j = tug_core_job_after(s.c, 0); j;
         j = tug_core_job_after(s.c, j->id)) {
        int reason;
        tug_core_explain(s.c, j, &reason, text, sizeof text);
        ck_assert_msg(*tug_core_reason_name(reason), "job %llu waits for reason %d",
                      (unsigned long long) j->id, reason);
        ck_assert_msg(
            (tug_job_state_waits(j->state) || j->state == TUG_JOB_REQUEUED ||
             (j->state == TUG_JOB_RUNNING && j->gives_way)) == (text[0] != 0),
            "job %llu is %s: '%s'", (unsigned long long) j->id, tug_job_state_name(j->state), text);
    }
}

/* In order, whoever fits: a job for which everything is kept must start, once its queue may have so many GPUs. */
static int greedy_pass(void *self, const struct tug_policy_view *v,
                       const struct tug_policy_host *host, struct tug_policy_pass *p)
{
    (void) self;
    for (size_t i = 0; i < v->n_waiting; i++) {
        uint64_t id = TUG_POLICY_WAITING(v, i)->id;
        const struct tug_job *j = tug_core_job(s.c, id);
        int kept = tug_hold_is_complete(tug_entry_of(j));
        int rc = host->start(p, id);
        ck_assert_msg(rc == 0 || rc == -E2BIG || rc == -EDQUOT || !kept,
                      "all that job %llu needs is kept for it, and it does not start (%d)",
                      (unsigned long long) id, rc);
        uint64_t who[16];
        int n = (rc == -EAGAIN || rc == -EDQUOT) && s.pushy ? host->victims(p, id, who, 16) : -1;
        if (n < 0 || n > 16)
            continue;
        rc = host->preempt(p, id, who, (size_t) n);
        ck_assert_msg(rc == 0 || (rc == -EPERM && !n) || (rc == -EDQUOT && j->req.exclusive), "job %llu (%s) does not get the %d victims that it was told (%d)",
                      (unsigned long long) id, tug_job_state_name(j->state), n, rc);
    }
    return 0;
}

static const struct tug_policy_ops greedy = {
    .size = sizeof greedy, .abi = TUG_POLICY_ABI, .name = "greedy", .pass = greedy_pass};

/* Now and then another set; in the end whoever fits, in the built-in order. */
static const struct tug_policy_set *some_set(void)
{
    static const struct tug_policy_set sets[] = {
        {.n = 0}, {{{&wild, NULL}}, 1}, {{{&wild_order, NULL}}, 1}, {{{&greedy, NULL}}, 1}};
    if (dice(8) == 0 || s.calm) {
        s.set = s.calm ? 3 : s.crowded && dice(2) ? 3 : dice(4);
        memset(&told, 0, sizeof told); /* it is told everything anew */
        tug_core_forget_policies(s.c);
    }
    return !s.calm && dice(10) == 0 ? NULL : &sets[s.set];
}

/* What is held for somebody is not free, whoever else it is kept for; who is giving way will free what is short meanwhile; and
 * who was suspended on a draining node used what is not free now. */
static int preemption_is_on(void)
{
    for (struct tug_entry *e = tug_jobtab_after(&s.c->jobs, 0); e;
         e = tug_jobtab_after(&s.c->jobs, e->j.id))
        if (e->hold || e->j.gives_way || e->j.state == TUG_JOB_SUSPENDED)
            return 1;
    return 0;
}

/* So many of the GPUs that queues keep for themselves are not free. */
static int64_t is_short(void)
{
    return (int64_t) s.c->gpus_kept - (int64_t) s.c->gpus_free;
}

/* A pass takes no queue over its cap, or further over it, and takes no GPUs that are kept for another queue. */
static void caps_hold(const uint32_t *used_before, int held_before, int64_t short_before)
{
    uint32_t was = 0, is = 0;
    for (size_t i = 0; i < s.c->queue_rows.len && i < 5; i++) {
        const struct tug_policy_queue *q = &s.c->queue_rows.at[i];
        uint32_t most = !q->may_borrow && q->guarantee_gpus < q->cap_gpus ? q->guarantee_gpus
                                                                           : q->cap_gpus;
        ck_assert_msg(q->gpus_used <= used_before[i] || q->gpus_used <= most,
                      "queue %s used %u GPUs and uses %u now; it may have %u", q->name,
                      used_before[i], q->gpus_used, most);
        was += used_before[i];
        is += q->gpus_used;
    }
    if (is > was && !s.pushy && !held_before && !preemption_is_on())
        ck_assert_msg(is_short() <= (short_before > 0 ? short_before : 0), "%u GPUs are free, but %u are kept",
                      s.c->gpus_free, s.c->gpus_kept);
}

/* Those for which everything is kept that they need. */
static size_t all_kept(tug_job_id *out, size_t max)
{
    size_t n = 0;
    for (const struct tug_job *j = tug_core_job_after(s.c, 0); j && n < max;
         j = tug_core_job_after(s.c, j->id))
        if (tug_hold_is_complete(tug_entry_of(j)))
            out[n++] = j->id;
    return n;
}

static void pass(void)
{
    struct tug_err err = {0}, why = {0};
    uint32_t used[5] = {0};
    int held = preemption_is_on();
    int64_t short_before = is_short();
    for (size_t i = 0; i < s.c->queue_rows.len && i < 5; i++)
        used[i] = s.c->queue_rows.at[i].gpus_used;
    const struct tug_policy_set *set = some_set();
    s.pushy = !s.calm && dice(2);
    tug_job_id kept[16];
    size_t n_kept = all_kept(kept, 16);
    int rc = tug_core_pass(s.c, s.now, set, NULL, &err);
    for (size_t i = 0; i < n_kept; i++)
        s.held_starts += tug_job_state_holds(tug_core_job(s.c, kept[i])->state) != 0;
    ck_assert_msg(rc >= 0 || (set && set->n && rc == -EIO), "%s", err.msg);
    read_explanations();
    drain_actions();
    s.events++;
    ck_assert_msg(tug_core_check(s.c, &why) == 0, "after a pass: %s", why.msg);
    caps_hold(used, held, short_before);
}

static void let_time_pass(void)
{
    int64_t wake = tug_core_next_wake(s.c);
    int64_t step = dice(12) ? dice(400) : dice(30000);
    s.now = wake != INT64_MAX && wake > s.now && dice(25) == 0 ? wake : s.now + step;
    event((struct tug_event){.type = TUG_EV_TICK});
    ck_assert_int_gt(tug_core_next_wake(s.c), s.now);
}

static void restart(void)
{
    struct tug_err err = {0};
    struct tug_core *again = same_restart(s.c, &s.conf, s.now, &err);
    ck_assert_msg(again != NULL, "%s", err.msg);
    const struct tug_job *a = tug_core_job_after(s.c, 0), *b = tug_core_job_after(again, 0);
    for (; a && b; a = tug_core_job_after(s.c, a->id), b = tug_core_job_after(again, b->id)) {
        const char *differs = same_job(a, b);
        ck_assert_msg(!differs, "job %llu differs after a restart: %s", (unsigned long long) a->id,
                      differs);
    }
    ck_assert(!a && !b);
    const char *other = same_usage(s.c, again, s.now);
    ck_assert_msg(!other, "after a restart, the usage of %s is another", other);
    tug_core_free(s.c);
    s.c = again;
    memset(&told, 0, sizeof told);
    s.restarts++;
    ck_assert_msg(tug_core_check(s.c, &err) == 0, "after a restart: %s", err.msg);
    for (uint32_t i = 0; i < NODES; i++) {
        disconnect(i);
        s.nodes[i].told_down = 0;
    }
}

static void choose_placement(void)
{
    static const struct tug_core_domain fabric[] = {{"leaf1", "leaf", "spine", "m[0-2]"},
                                                    {"leaf2", "leaf", "spine", "m[3-4]"},
                                                    {"spine", "spine", "", ""},
                                                    {"leaf3", "leaf", "", "m[5-7]"}};
    s.conf.placement = (enum tug_placement) dice(TUG_PLACEMENT_TOPOLOGY + 1);
    s.conf.domains = fabric;
    s.conf.n_domains = dice(2) ? 4 : 0;
}

/* Caps may fall below what is used, accounts may go while they are charged. */
static void limit_queues(void)
{
    for (size_t i = 0; i < 5; i++) {
        s.queues[i].guarantee_gpus = dice(3) ? 0 : 1 + dice(8);
        s.queues[i].cap_gpus = dice(3) ? 0 : s.queues[i].guarantee_gpus + 1 + dice(12);
        s.queues[i].no_lend = (uint8_t) (dice(3) == 0);
        s.queues[i].no_borrow = (uint8_t) (s.queues[i].guarantee_gpus && dice(6) == 0);
        s.queues[i].weight = dice(4);
    }
    s.queues[1].parent = dice(2) ? "frame" : "";
    s.queues[3].parent = dice(2) ? "frame" : "";
    s.accounts[0] = (struct tug_core_account){.name = "x", .parent = "z", .weight = dice(3)};
    s.accounts[1] = (struct tug_core_account){.name = "z", .users = dice(2) ? "u=2,w" : ""};
    s.accounts[2] = (struct tug_core_account){.name = "y", .users = "v"};
    s.conf.accounts = s.accounts;
    s.conf.n_accounts = dice(4);
    if (s.conf.n_accounts == 1)
        s.accounts[0].parent = "";
    s.conf.usage_half_life_ms = 1 + (int64_t) dice(100000);
}

static void reconfigure(void)
{
    struct tug_err err = {0};
    s.queues[2].is_down = (uint8_t) dice(2);
    s.queues[1].priority = (int32_t) dice(20);
    s.queues[2].nodes = dice(2) ? "m[0-5]" : "";
    choose_placement();
    if (dice(2))
        limit_queues();
    s.conf.preemption = (enum tug_preemption) dice(3);
    int rc = tug_core_configure(s.c, s.now, &s.conf, &err);
    ck_assert_msg(rc == 0, "%s", err.msg);
    drain_actions();
    ck_assert_msg(tug_core_check(s.c, &err) == 0, "after a new configuration: %s", err.msg);
}

static void one_thing(void)
{
    uint32_t d = dice(100);
    if (s.crowded && d >= 86 && dice(10))
        d = dice(86);
    if (d < 12)
        submit();
    else if (d < 45)
        deliver_one(busy_node(1));
    else if (d < 70)
        progress_one(busy_node(0));
    else if (d < 80)
        pass();
    else if (d < 86)
        let_time_pass();
    else if (d < 93)
        something_about_a_node();
    else if (d < 97)
        something_about_a_job();
    else if (d < 98)
        old_word();
    else if (chance(10))
        restart();
    else if (chance(8))
        reconfigure();
}

/* ---- the end: nothing goes wrong any more, and everything must come to rest */

static void come_to_rest(void)
{
    struct tug_core_counts n;
    s.calm = 1;
    s.queues[2].is_down = 0;
    for (size_t i = 0; i < 5; i++)
        s.queues[i].cap_gpus = s.queues[i].no_lend = s.queues[i].no_borrow = 0;
    ck_assert_int_eq(tug_core_configure(s.c, s.now, &s.conf, NULL), 0);
    for (uint32_t i = 0; i < NODES; i++) {
        come(i, 0);
        event((struct tug_event){.type = TUG_EV_NODE_RESUME, .node = i});
    }
    for (int turn = 0; turn < 4000; turn++) {
        for (uint32_t i = 0; i < NODES; i++) {
            deliver_one(i);
            for (size_t k = 0; k < s.nodes[i].held.len; k++)
                s.nodes[i].held.at[k].fails = 0;
            progress_one(i);
        }
        if (turn % 4 == 0)
            pass();
        s.now += 20;
        event((struct tug_event){.type = TUG_EV_TICK});
        tug_core_count(s.c, &n);
        if (turn > 3000) /* those that no node could ever hold, or that are stopped and whose slices a boot has cut otherwise */
            for (const struct tug_job *j = tug_core_job_after(s.c, 0); j;
                 j = tug_core_job_after(s.c, j->id))
                if (tug_job_state_waits(j->state))
                    event((struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = j->id});
        if (!n.pending && !n.running)
            break;
    }
    tug_core_count(s.c, &n);
    ck_assert_msg(!n.running && !n.pending && !n.gpus_used,
                  "%llu jobs run and %llu wait for ever, with %u GPUs",
                  (unsigned long long) n.running, (unsigned long long) n.pending, n.gpus_used);
}

static void build_cluster(void)
{
    for (uint32_t i = 0; i < NODES; i++) {
        snprintf(s.names[i], sizeof s.names[i], "m%u", i);
        s.rows[i] = (struct tug_core_node_row){s.names[i], 4 + dice(12), dice(9),
                                               (uint64_t) (16 + dice(48)) << 30,
                                               dice(2) ? "NVIDIA H200" : "", NULL};
    }
    s.queues[0] = (struct tug_core_queue){.name = "main", .nodes = "", .is_default = 1};
    s.queues[1] = (struct tug_core_queue){.name = "high", .nodes = "", .priority = 10};
    s.queues[2] = (struct tug_core_queue){.name = "some", .nodes = "m[0-5]"};
    s.queues[3] = (struct tug_core_queue){.name = "low", .nodes = ""};
    s.queues[4] = (struct tug_core_queue){.name = "frame"};
    for (size_t i = 0; i < 4; i++) {
        s.queues[i].tier = dice(3);
        s.queues[i].preemptable = (enum tug_policy_preemptable) (s.crowded ? 1 + dice(3) : dice(4));
        s.queues[i].preempt_min_run_s = dice(2) ? 0 : dice(10);
        s.queues[i].preempt_notice_s = dice(2) ? 0 : dice(30);
        s.queues[i].preempt_signal = dice(2) ? 0 : SIGUSR1;
    }
    s.conf = (struct tug_core_conf){.launch_timeout_s = 20,
                                    .preemption =
                                        (enum tug_preemption) (s.crowded ? 1 + dice(2) : dice(3)),
                                    .preempt_max = 1 + dice(4),
                                    .kill_grace_s = 3,
                                    .launch_retries = 1 + dice(4),
                                    .pass_budget = dice(3) ? 0 : 5,
                                    .node_bad_launches = s.crowded ? 0 : dice(4),
                                    .kept_ms = dice(40000),
                                    .queues = s.queues,
                                    .n_queues = 5,
                                    .nodes = s.rows,
                                    .n_nodes = NODES,
                                    .seed = 7};
    choose_placement();
    limit_queues();
}

static void round_of(uint64_t seed)
{
    uint64_t counts[] = {s.events,  s.restarts,        s.preempted,   s.suspended,
                         s.resumed, s.ended_preempted, s.held_starts, s.sliced, s.whole_beside};
    memset(&s, 0, sizeof s);
    s.events = counts[0];
    s.restarts = counts[1];
    s.preempted = counts[2];
    s.suspended = counts[3];
    s.resumed = counts[4];
    s.ended_preempted = counts[5];
    s.held_starts = counts[6];
    s.sliced = counts[7];
    s.whole_beside = counts[8];
    memset(&told, 0, sizeof told);
    s.rand = tug_rand_seed(seed);
    s.now = 1000000;
    s.next_id = 1;
    s.crowded = (int) dice(2);
    s.cut = (int) dice(2);
    build_cluster();
    s.c = tug_core_new(&s.conf, NULL);
    ck_assert_ptr_nonnull(s.c);
    for (uint32_t i = 0; i < NODES; i++)
        come(i, 1);
    for (int i = 0; i < EVENTS_A_ROUND; i++)
        one_thing();
    come_to_rest();
    tug_core_free(s.c);
    for (uint32_t i = 0; i < NODES; i++) {
        tug_vec_clear(&s.nodes[i].held);
        tug_vec_clear(&s.nodes[i].inbox);
    }
}

START_TEST(whatever_happens_every_invariant_holds_and_all_comes_to_rest)
{
    uint64_t seed = unit_seed();
    int rounds = unit_rounds_or(40, 10);
    for (int i = 0; i < rounds; i++)
        round_of(seed + (uint64_t) i);
    printf("# %llu events, %llu restarts; %llu gave way, of them %llu for good, %llu suspended and "
           "%llu resumed; %llu started on what was kept; %llu times slices, %llu times whole GPUs beside such\n",
           (unsigned long long) s.events, (unsigned long long) s.restarts,
           (unsigned long long) s.preempted, (unsigned long long) s.ended_preempted,
           (unsigned long long) s.suspended, (unsigned long long) s.resumed,
           (unsigned long long) s.held_starts, (unsigned long long) s.sliced, (unsigned long long) s.whole_beside);
    if (rounds < 40)
        return;
    ck_assert_uint_ge(s.events, 100000);
    ck_assert_uint_ge(s.preempted, 100);
    ck_assert_uint_ge(s.ended_preempted, 10);
    ck_assert_uint_ge(s.suspended, 10);
    ck_assert_uint_ge(s.resumed, 5);
    ck_assert_uint_ge(s.held_starts, 10);
    ck_assert_uint_ge(s.sliced, 150);
    ck_assert_uint_ge(s.whole_beside, 150);
}
END_TEST

UNIT_MAIN("core/core", whatever_happens_every_invariant_holds_and_all_comes_to_rest)
