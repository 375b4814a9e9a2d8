/* nodes.c - what nodes say; who is down; leases
 *
 * A lost connection is not a lost node: the node is down once it was silent for node_timeout, and
 * what it held is certainly over once its lease has run out as well (the node counts from when it
 * sent the request, we from when we answered, so ours ends later). Layer: logic.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "logic/mig.h"
#include "logic/control_int.h"

#define PROTOCOL         1
#define HEARTBEAT_MAX_MS 5000
#define LATE_MS          2000   /* a timer that is later than that: we were stopped */

/* ---- leases */

/* When such a lease, granted now, is certainly over. 0 s: nodes end nothing by themselves. */
static int64_t lease_end(uint32_t lease_s, int64_t now_ms)
{
    if (lease_s == 0)
        return INT64_MAX;
    return now_ms + lease_s * 1020LL + 1000; /* 2 % of drift and a second */
}

static int64_t later(int64_t x, int64_t y)
{
    return x > y ? x : y;
}

void tug_ctl_leases_start(struct tug_control *c, int64_t now_ms)
{
    int64_t end_ms = lease_end(c->conf.lease_s, now_ms);

    if (c->leased_s)
        end_ms = later(end_ms, lease_end(c->leased_s, now_ms));
    if (c->leased_for_ever)
        end_ms = INT64_MAX;
    for (size_t i = 0; i < c->n_nodes; i++)
        c->nodes[i].lease_end_ms = c->nodes[i].old_end_ms = end_ms;
    if (c->conf.lease_s > c->leased_s)
        c->leased_s = c->conf.lease_s;
    c->leased_for_ever |= c->conf.lease_s == 0;
}

/* The configuration has been changed to shorter leases, and no node holds a longer one any more: the next controller
 * need not wait for that. */
static void leases_settle(struct tug_control *c, int64_t now_ms)
{
    if (c->leased_s == c->conf.lease_s && !c->leased_for_ever)
        return;
    if (c->conf.lease_s == 0)
        return; /* as long as there can be */
    for (size_t i = 0; i < c->n_nodes; i++)
        if (c->nodes[i].old_end_ms > now_ms)
            return;
    c->leased_s = c->conf.lease_s;
    c->leased_for_ever = 0;
    tug_ctl_put_meta(c, tug_ctl_batch(c));
}

static void check_by(struct tug_control *c, int64_t at_ms)
{
    if (at_ms < c->nodes_next_ms)
        c->nodes_next_ms = at_ms;
}

/* The node behind a peer that said hello, or NULL. */
struct ctl_node *tug_ctl_node_heard(struct tug_control *c, struct ctl_peer *p)
{
    struct ctl_node *n;

    if (p->node == TUG_NO_NODE || c->nodes[p->node].peer != p->id)
        return NULL;
    n = &c->nodes[p->node];
    n->heard_ms = tug_ctl_now(c);
    n->spared = 0;
    return n;
}

static void refuse(struct tug_control *c, struct ctl_peer *p, int final, const char *text)
{
    Tugpb__NodeRefused m = TUGPB__NODE_REFUSED__INIT;

    m.text = (char *) text;
    m.final = final;
    tug_ctl_log(c, TUG_LOG_WARN, "node %s is refused: %s", p->node_name ? p->node_name : "?", text);
    tug_outbox_send(c->out, p->id, TUG_MSG_NODE_REFUSED, 0, &m.base);
    tug_outbox_close(c->out, p->id);
}

static int check_hello(struct tug_control *c, struct ctl_peer *p, const Tugpb__NodeHello *m,
                       uint32_t *node)
{
    struct tug_err err;

    if (!p->node_name || strcmp(p->node_name, m->node) != 0) {
        tug_fail(&err, -EPERM,
                 "it proved the key of node '%s' but says it is '%s': start it with the name its "
                 "key belongs to",
                 p->node_name ? p->node_name : "", m->node);
        refuse(c, p, 1, err.msg);
        return -EPERM;
    }
    *node = tug_core_node_find(c->core, m->node);
    if (*node == TUG_NO_NODE) {
        tug_fail(&err, -ENOENT, "node '%s' is not in the configuration: add it under 'nodes'",
                 m->node);
        refuse(c, p, 1, err.msg);
        return -ENOENT;
    }
    if (m->protocol != PROTOCOL || !m->inventory) {
        tug_fail(
            &err, -EPROTO,
            "node '%s' (version %s) speaks protocol %u, this controller (version %s) speaks %d",
            m->node, m->version, m->protocol, c->version, PROTOCOL);
        refuse(c, p, 1, err.msg);
        return -EPROTO;
    }
    if (tug_ctl_safe_hello(c, m->node, m->max_epoch, m->commit, &err) != 0) {
        tug_ctl_log(c, TUG_LOG_ERROR, "%s", err.msg);
        refuse(c, p, 0, err.msg);
        return -ESTALE;
    }
    return 0;
}

/* Where the gang meets is for its first node to say: no other one may send it elsewhere. */
static int is_head(const struct tug_control *c, const Tugpb__StepKey *key, uint32_t node)
{
    const struct tug_job *job = tug_core_job(c->core, key->job);
    const struct tug_step *step = tug_core_step(c->core, key->job, key->step);

    return job && step && step->n_parts && step->parts[0].slice < job->n_slices &&
           job->slices[step->parts[0].slice].node == node;
}

/* A controller that was started anew may open the barrier before the head has said again where it is; the others were
 * not told to start then (orders.c), and are now. */
static void start_others(struct tug_control *c, uint32_t head, const Tugpb__StepKey *key)
{
    const struct tug_job *job = tug_core_job(c->core, key->job);
    const struct tug_step *step = tug_core_step(c->core, key->job, key->step);

    for (size_t i = 1; i < step->n_parts; i++) {
        struct tug_action act = {.type = TUG_ACT_START,
                                 .job = key->job,
                                 .attempt = key->attempt,
                                 .step = key->step,
                                 .node = job->slices[step->parts[i].slice].node};
        if (step->parts[i].phase == TUG_PART_STARTED && act.node != head)
            tug_ctl_order_start(c, &act);
    }
}

static void keep_rendezvous(struct tug_control *c, uint32_t node, const Tugpb__StepReady *m)
{
    struct ctl_job *j = m && m->key ? tug_ctl_job(c, m->key->job) : NULL;
    struct ctl_step *s = j ? tug_ctl_step(j, m->key->step) : NULL;

    if (!s || s->attempt != m->key->attempt || !is_head(c, m->key, node))
        return;
    int first = !s->star_addr;
    if (m->star_addr[0]) {
        free(s->star_addr);
        s->star_addr = tug_xstrdup(m->star_addr);
    }
    if (m->master_port)
        s->master_port = m->master_port;
    if (first && s->star_addr)
        start_others(c, node, m->key);
}

static struct tug_exit *exits_of(struct tug_arena *a, const Tugpb__StepResult *r)
{
    struct tug_exit *e = tug_ctl_alloc(a, r->n_exits * sizeof *e);

    for (size_t i = 0; i < r->n_exits; i++)
        e[i] = tug_ctl_exit(r->exits[i]);
    return e;
}

static struct tug_held_step *held_steps(struct tug_control *c, struct tug_arena *a, uint32_t node,
                                        const Tugpb__NodeHello *m, size_t *n)
{
    struct tug_held_step *held = tug_ctl_alloc(a, m->n_steps * sizeof *held);

    *n = 0;
    for (size_t i = 0; i < m->n_steps; i++) {
        const Tugpb__StepState *s = m->steps[i];
        struct tug_held_step *h = &held[*n];

        if (!s->key)
            continue;
        keep_rendezvous(c, node, s->ready);
        h->job = s->key->job;
        h->attempt = s->key->attempt;
        h->step = s->key->step;
        h->phase = (enum tug_held_phase) s->phase;
        h->cause.node = TUG_NO_NODE;
        if (s->result) {
            h->exits = exits_of(a, s->result);
            h->n_exits = s->result->n_exits;
            h->cause = tug_ctl_cause(c, s->result->cause);
        }
        (*n)++;
    }
    return held;
}

static void welcome(struct tug_control *c, struct ctl_peer *p)
{
    Tugpb__NodeWelcome w = TUGPB__NODE_WELCOME__INIT;
    uint32_t quarter = c->conf.node_timeout_s * 250;

    w.epoch = c->epoch;
    w.lease_s = c->conf.lease_s;
    w.heartbeat_ms = quarter < HEARTBEAT_MAX_MS ? quarter : HEARTBEAT_MAX_MS;
    w.kill_grace_s = c->conf.kill_grace_s;
    w.takes_health = 1;
    w.commit = tug_ctl_commits_durable(c);
    tug_ctl_full_aside(c); /* or it could ask for no lease, and would end its gangs */
    tug_outbox_loose(c->out, 1);
    tug_outbox_send(c->out, p->id, TUG_MSG_NODE_WELCOME, 0, &w.base);
    tug_outbox_loose(c->out, 0);
    tug_outbox_aside(c->out, 0);
}

/* A GPU that was replaced: accounts of errors and warranties go by its UUID. */
static void log_other_gpus(struct tug_control *c, struct tug_arena *a, const struct ctl_node *n,
                           const char *name, const Tugpb__Inventory *now)
{
    ProtobufCMessage *m = NULL;

    if (!n->inventory_len || tug_proto_decode(a, &tugpb__inventory__descriptor, n->inventory,
                                              n->inventory_len, &m, NULL) != 0)
        return;
    const Tugpb__Inventory *was = (const Tugpb__Inventory *) m;
    for (size_t i = 0; i < was->n_gpu_uuids && i < now->n_gpu_uuids; i++)
        if (*was->gpu_uuids[i] && *now->gpu_uuids[i] &&
            strcmp(was->gpu_uuids[i], now->gpu_uuids[i]) != 0)
            tug_ctl_log(c, TUG_LOG_INFO, "node %s: GPU %zu is %s, and was %s", name, i,
                        now->gpu_uuids[i], was->gpu_uuids[i]);
}

/* Keep what it has, in the event too; *machine and *mig are to be freed after it. Does it say another NVLink domain than before? */
static int take_inventory(struct tug_control *c, struct ctl_node *n, const char *name, const Tugpb__Inventory *inv,
                          struct tug_event *ev, struct tug_machine **machine, struct tug_core_mig **mig)
{
    struct tug_arena a = {.budget_bytes = 64 << 20};
    log_other_gpus(c, &a, n, name, inv);
    const Tugpb__Inventory *numbered = tug_ctl_mig_number(c, &a, ev->node, inv);
    int moved = !n->nvlink_domain || strcmp(n->nvlink_domain, inv->nvlink_domain) != 0;
    ev->inventory = tug_ctl_keep_inventory(c, n, name, numbered, machine, mig);
    for (size_t i = 0; i < inv->n_mig && i < ev->inventory.n_mig; i++) /* the numbered ones go with the arena */
        (*mig)[i].profile = inv->mig[i]->profile;
    tug_arena_clear(&a);
    return moved;
}

void h_node_hello(struct tug_control *c, struct ctl_peer *p, uint32_t rid,
                  const ProtobufCMessage *msg)
{
    const Tugpb__NodeHello *m = (const Tugpb__NodeHello *) msg;
    struct tug_arena a = {.budget_bytes = 64 << 20};
    struct tug_event ev = {.type = TUG_EV_NODE_UP};
    struct tug_machine *machine = NULL;
    struct tug_core_mig *mig = NULL;
    struct tug_err err = {0};
    struct ctl_node *n;

    (void) rid;
    if (p->node != TUG_NO_NODE)
        return; /* a repetition: what it holds by now may be more, as it was ordered in between */
    if (check_hello(c, p, m, &ev.node) != 0)
        return;
    n = &c->nodes[ev.node];
    if (p->nth < n->nth) { /* it was long on its way: the node has been here since, and was given orders */
        tug_outbox_close(c->out, p->id);
        return;
    }
    n->nth = p->nth;
    if (n->peer && n->peer != p->id)
        tug_outbox_close(c->out, n->peer); /* an older connection of the same node */
    p->node = ev.node;
    n->peer = p->id;
    n->heard_ms = tug_ctl_now(c);
    check_by(c, n->heard_ms + c->conf.node_timeout_s * 1000LL);
    n->told_down = n->told_over = n->spared = 0;
    ev.boot_changed = strcmp(n->boot_id, m->boot_id) != 0;
    tug_str_copy(n->boot_id, sizeof n->boot_id, m->boot_id);
    free(n->address);
    n->address = tug_xstrdup(m->address[0] ? m->address : p->address);
    free(n->version);
    n->version = tug_xstrdup(m->version);
    int moved = take_inventory(c, n, m->node, m->inventory, &ev, &machine, &mig);
    ev.held = held_steps(c, &a, ev.node, m, &ev.n_held);
    tug_ctl_safe_reported(c, ev.node, ev.held, ev.n_held);
    welcome(c, p);
    if (tug_ctl_apply(c, &ev, &err) != 0)
        refuse(c, p, 1, err.msg);
    else
        tug_ctl_log(c, TUG_LOG_INFO, "node %s is up: %u CPUs, %u GPUs, %zu steps, at %s", m->node,
                    m->inventory->cpus, m->inventory->gpus, ev.n_held, n->address);
    if (moved)
        tug_ctl_drift_log(c, ev.node);
    tug_arena_clear(&a);
    free(machine);
    free(mig);
}

void h_node_looked(struct tug_control *c, struct ctl_peer *p, uint32_t rid, const ProtobufCMessage *msg)
{
    const Tugpb__NodeLooked *m = (const Tugpb__NodeLooked *) msg;
    struct tug_event ev = {.type = TUG_EV_NODE_CHANGED, .node = p->node};
    struct tug_machine *machine = NULL;
    struct tug_core_mig *mig = NULL;
    struct ctl_node *n = tug_ctl_node_heard(c, p);

    (void) rid;
    if (!n || !m->inventory)
        return;
    int moved = take_inventory(c, n, p->node_name, m->inventory, &ev, &machine, &mig);
    tug_ctl_apply(c, &ev, NULL);
    if (moved)
        tug_ctl_drift_log(c, ev.node);
    free(machine);
    free(mig);
}

void h_lease(struct tug_control *c, struct ctl_peer *p, uint32_t rid, const ProtobufCMessage *msg)
{
    const Tugpb__LeaseRequest *m = (const Tugpb__LeaseRequest *) msg;
    Tugpb__LeaseGrant g = TUGPB__LEASE_GRANT__INIT;
    struct ctl_node *n = tug_ctl_node_heard(c, p);

    if (!n)
        return;
    if (m->taken && m->taken == n->granted)
        n->old_end_ms = 0;
    n->granted = m->nonce;
    n->lease_end_ms = later(lease_end(c->conf.lease_s, n->heard_ms), n->old_end_ms);
    leases_settle(c, n->heard_ms);
    g.nonce = m->nonce;
    g.sent_ms = m->sent_ms;
    g.lease_s = c->conf.lease_s;
    g.epoch = c->epoch;
    g.commit = tug_ctl_commits_durable(c);
    tug_outbox_send(c->out, p->id, TUG_MSG_LEASE_GRANT, rid, &g.base);
}

/* An event about the step that 'key' names, from this peer's node; 0 when there is nothing to say.
 */
int tug_ctl_step_event(struct tug_control *c, struct ctl_peer *p, const Tugpb__StepKey *key,
                       struct tug_event *ev)
{
    if (!tug_ctl_node_heard(c, p) || !key)
        return 0;
    ev->job = key->job;
    ev->attempt = key->attempt;
    ev->step = key->step;
    ev->node = p->node;
    return 1;
}

void h_step_ready(struct tug_control *c, struct ctl_peer *p, uint32_t rid,
                  const ProtobufCMessage *msg)
{
    const Tugpb__StepReady *m = (const Tugpb__StepReady *) msg;
    struct tug_event ev = {.type = TUG_EV_STEP_READY};

    (void) rid;
    if (!tug_ctl_step_event(c, p, m->key, &ev))
        return;
    keep_rendezvous(c, p->node, m);
    tug_ctl_apply(c, &ev, NULL);
}

/* A gang may have said that two nodes lost each other. */
static void await_links(struct tug_control *c)
{
    if (tug_core_links(c->core))
        check_by(c, tug_ctl_links_judge(c, tug_ctl_now(c)));
}

void h_step_failed(struct tug_control *c, struct ctl_peer *p, uint32_t rid,
                   const ProtobufCMessage *msg)
{
    const Tugpb__StepFailed *m = (const Tugpb__StepFailed *) msg;
    struct tug_event ev = {.type = TUG_EV_STEP_FAILED};

    (void) rid;
    if (!tug_ctl_step_event(c, p, m->key, &ev))
        return;
    ev.cause = tug_ctl_cause(c, m->cause);
    if (ev.cause.node == TUG_NO_NODE)
        ev.cause.node = p->node;
    tug_ctl_apply(c, &ev, NULL);
    await_links(c);
}

void h_step_wired(struct tug_control *c, struct ctl_peer *p, uint32_t rid,
                  const ProtobufCMessage *msg)
{
    const Tugpb__StepWired *m = (const Tugpb__StepWired *) msg;
    struct tug_event ev = {.type = TUG_EV_STEP_WIRED};

    (void) rid;
    if (tug_ctl_step_event(c, p, m->key, &ev))
        tug_ctl_apply(c, &ev, NULL);
}

void tug_ctl_result(struct tug_control *c, struct tug_arena *a, const Tugpb__StepResult *r, struct tug_event *ev)
{
    ev->exits = exits_of(a, r);
    ev->n_exits = r->n_exits;
    ev->cause = tug_ctl_cause(c, r->cause);
}

void h_step_done(struct tug_control *c, struct ctl_peer *p, uint32_t rid,
                 const ProtobufCMessage *msg)
{
    const Tugpb__StepResult *r = ((const Tugpb__StepDone *) msg)->result;
    struct tug_arena a = {.budget_bytes = 16 << 20};
    struct tug_event ev = {.type = TUG_EV_STEP_DONE};

    (void) rid;
    if (!r || !tug_ctl_step_event(c, p, r->key, &ev))
        return;
    tug_ctl_result(c, &a, r, &ev);
    tug_ctl_safe_done(c, p->node, r->key);
    tug_ctl_keep_use(c, p->node_name, r);
    tug_ctl_apply(c, &ev, NULL);
    await_links(c);
    tug_arena_clear(&a);
}

void h_step_watch(struct tug_control *c, struct ctl_peer *p, uint32_t rid,
                  const ProtobufCMessage *msg)
{
    const Tugpb__StepWatch *m = (const Tugpb__StepWatch *) msg;
    struct tug_event ev = {.type = TUG_EV_STEP_WATCH};
    struct tug_hang hang;

    (void) rid;
    if (!m->hang || !tug_ctl_step_event(c, p, m->key, &ev))
        return;
    hang = tug_ctl_hang(c, m->hang);
    ev.hang = &hang;
    tug_ctl_apply(c, &ev, NULL);
}

void tug_ctl_keep_health(struct ctl_node *n, const Tugpb__NodeHealth *m)
{
    tug_proto_drop(n->health);
    n->health = m ? (Tugpb__NodeHealth *) tug_proto_copy(&m->base) : NULL;
}

static int is_news(const Tugpb__NodeHealth *was, const Tugpb__NodeHealth *is)
{
    if (!was)
        return is->state != TUGPB__HEALTH_STATE__HEALTH_NONE;
    return was->state != is->state || was->since_ms != is->since_ms || strcmp(was->text, is->text) ||
           strcmp(was->program, is->program);
}

/* A check that cannot be run has no say: what it found before stands. */
void h_node_health(struct tug_control *c, struct ctl_peer *p, uint32_t rid, const ProtobufCMessage *msg)
{
    const Tugpb__NodeHealth *m = (const Tugpb__NodeHealth *) msg;
    struct ctl_node *n = tug_ctl_node_heard(c, p);
    struct tug_event ev = {.type = TUG_EV_NODE_HEALTH, .node = p->node, .text = ""};

    (void) rid;
    if (!n)
        return;
    if (is_news(n->health, m)) {
        tug_ctl_keep_health(n, m);
        tug_ctl_node_dirty(c, p->node);
        if (m->state == TUGPB__HEALTH_STATE__HEALTH_BROKEN)
            tug_ctl_log(c, TUG_LOG_ERROR, "node %s: %s; whether it is healthy is not known", p->node_name, m->text);
    }
    if (m->state == TUGPB__HEALTH_STATE__HEALTH_BROKEN)
        return;
    if (m->state == TUGPB__HEALTH_STATE__HEALTH_SICK)
        ev.text = m->text[0] ? m->text : "the health check failed";
    tug_ctl_apply(c, &ev, NULL);
}

void h_step_stopped(struct tug_control *c, struct ctl_peer *p, uint32_t rid,
                    const ProtobufCMessage *msg)
{
    const Tugpb__StepStopped *m = (const Tugpb__StepStopped *) msg;
    struct tug_event ev = {.type = TUG_EV_STEP_STOPPED, .serial = m->serial};

    (void) rid;
    if (tug_ctl_step_event(c, p, m->key, &ev))
        tug_ctl_apply(c, &ev, NULL);
}

void h_node_bye(struct tug_control *c, struct ctl_peer *p, uint32_t rid,
                const ProtobufCMessage *msg)
{
    (void) rid;
    if (tug_ctl_node_heard(c, p))
        tug_ctl_log(c, TUG_LOG_INFO, "node %s says good-bye: %s", p->node_name,
                    ((const Tugpb__NodeBye *) msg)->reason);
}

void tug_ctl_node_gone(struct tug_control *c, struct ctl_peer *p)
{
    struct ctl_node *n = p->node == TUG_NO_NODE ? NULL : &c->nodes[p->node];

    if (!n || n->peer != p->id)
        return;
    n->peer = 0;
    check_by(c, n->heard_ms + c->conf.node_timeout_s * 1000LL);
    tug_ctl_log(c, TUG_LOG_INFO, "node %s: connection lost; it is down if it stays silent for %u s",
                p->node_name, c->conf.node_timeout_s);
}

static void tell_down(struct tug_control *c, uint32_t node)
{
    struct ctl_node *n = &c->nodes[node];
    struct tug_event ev = {.type = TUG_EV_NODE_DOWN, .node = node};
    struct tug_core_node k;
    char text[160];

    n->told_down = 1;
    tug_core_node(c->core, node, &k);
    snprintf(text, sizeof text, "not heard of for %u s", c->conf.node_timeout_s);
    if (k.up)
        tug_ctl_log(c, TUG_LOG_WARN, "node %s is down: %s", k.name, text);
    if (n->peer) {
        tug_outbox_drop(c->out, n->peer);
        tug_outbox_close(c->out, n->peer);
        n->peer = 0;
    }
    ev.text = text;
    tug_ctl_apply(c, &ev, NULL);
}

/* This process was stopped (a frozen machine, a suspended laptop): what nodes said meanwhile is there and unread. Each gets the time
 * that nobody listened once more, until it is heard again. Leases have nothing to do with it: they run out. */
static void spare_unheard(struct tug_control *c, int64_t now_ms)
{
    int64_t late_ms = c->nodes_next_ms > 0 ? now_ms - c->nodes_next_ms : 0;
    int some = 0;

    for (uint32_t i = 0; late_ms >= LATE_MS && i < c->n_nodes; i++) {
        struct ctl_node *n = &c->nodes[i];
        if (n->told_down || n->spared)
            continue;
        n->heard_ms += late_ms;
        n->spared = some = 1;
    }
    if (some)
        tug_ctl_log(c, TUG_LOG_WARN, "this process has not run for %lld s: nodes that were not heard meanwhile get that time again",
                    (long long) late_ms / 1000);
}

void tug_ctl_nodes_check(struct tug_control *c, int64_t now_ms)
{
    if (now_ms < c->nodes_next_ms)
        return;
    spare_unheard(c, now_ms);
    c->nodes_next_ms = INT64_MAX;
    for (uint32_t i = 0; i < c->n_nodes; i++) {
        struct ctl_node *n = &c->nodes[i];
        int64_t down_ms = n->heard_ms + c->conf.node_timeout_s * 1000LL;
        struct tug_event over = {.type = TUG_EV_NODE_LEASE_OVER, .node = i};

        if (!n->told_down && now_ms >= down_ms)
            tell_down(c, i);
        if (!n->told_down) {
            check_by(c, down_ms);
        } else if (!n->told_over && now_ms >= n->lease_end_ms) {
            n->told_over = 1;
            tug_ctl_apply(c, &over, NULL);
        } else if (!n->told_over) {
            check_by(c, n->lease_end_ms);
        }
    }
    await_links(c);
}

int64_t tug_ctl_nodes_next(const struct tug_control *c)
{
    return c->nodes_next_ms;
}
