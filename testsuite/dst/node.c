/* node.c - machines: the launcher, and the host of the real logic/agent.h, as tuglaunch and tugnoded are
 *
 * The launcher holds the lease, knows which orders it has obeyed and which boot this is, and outlives the node daemon,
 * which it starts again. Layer: tests.
 */
#include "dst.h"

#include <stdlib.h>
#include <string.h>

#include "proto/order.h"

#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 10000

static int64_t boot_ms(const struct dst_node *n)
{
    return dst_clock_at(&n->boot, n->w->now_ms);
}

/* The node daemon's clock is the wall clock when it started, then that of the boot. */
static int64_t to_boot(const struct dst_node *n, int64_t agent_ms)
{
    if (agent_ms == 0 || agent_ms == INT64_MAX)
        return agent_ms;
    return agent_ms - n->clock.base_ms + dst_clock_at(&n->boot, n->clock.t0_ms);
}

static int64_t from_boot(const struct dst_node *n, int64_t at_ms)
{
    if (at_ms == 0 || at_ms == INT64_MAX)
        return at_ms;
    return at_ms - dst_clock_at(&n->boot, n->clock.t0_ms) + n->clock.base_ms;
}

/* ---- the launcher */

static void tell_agent(struct dst *w, struct dst_node *n, enum tug_msg number, const ProtobufCMessage *m)
{
    struct dst_event *e = dst_event_new(w, DST_FROM_LAUNCHER, n->index);
    int64_t at_ms = w->now_ms + dst_between(&w->of_env, 0, 2);

    n->from_launcher_ms = e->at_ms = at_ms > n->from_launcher_ms ? at_ms : n->from_launcher_ms;
    e->life = n->life;
    dst_event_body(e, (uint16_t) number, 0, m);
    dst_push(w, e);
}

static void set_key(Tugpb__StepKey *k, const struct dst_part *p)
{
    tugpb__step_key__init(k);
    k->job = p->job;
    k->attempt = p->attempt;
    k->step = p->step;
}

static bool tell_gone(struct dst *w, struct dst_node *n, struct dst_part *p)
{
    Tugpb__LnGone gone = TUGPB__LN_GONE__INIT;
    Tugpb__StepKey key;

    if (!n->agent || p->told)
        return false;
    set_key(&key, p);
    gone.key = &key;
    gone.wait_status = p->wait_status;
    gone.lease = p->overdue;
    tell_agent(w, n, TUG_MSG_LN_GONE, &gone.base);
    p->told = true; /* it was written to the socket; whether it is read is another matter */
    return true;
}

void dst_launcher_gone(struct dst *w, struct dst_part *p)
{
    struct dst_node *n = &w->nodes[p->node];

    if (n->listed)
        tell_gone(w, n, p);
}

void dst_launcher_stuck(struct dst *w, struct dst_part *p)
{
    struct dst_node *n = &w->nodes[p->node];
    Tugpb__StuckProcess process = TUGPB__STUCK_PROCESS__INIT, *all[] = {&process};
    Tugpb__LnStuck stuck = TUGPB__LN_STUCK__INIT;
    Tugpb__StepKey key;

    if (!n->agent || !n->listed)
        return;
    set_key(&key, p);
    process.pid = (uint32_t) p->id;
    stuck.key = &key;
    stuck.processes = all;
    stuck.n_processes = stuck.n = 1;
    stuck.wait_status = p->wait_status;
    tell_agent(w, n, TUG_MSG_LN_STUCK, &stuck.base);
}

static void list(struct dst *w, struct dst_node *n)
{
    Tugpb__LnHeld held = TUGPB__LN_HELD__INIT;
    Tugpb__LnStarted all[64], *ptr[64];
    Tugpb__StepKey keys[64];

    held.steps = ptr;
    for (size_t i = 0; i < w->parts.len; i++) {
        struct dst_part *p = w->parts.at[i];
        if (p->node != n->index)
            continue;
        if (p->phase == DST_DEAD) {
            tell_gone(w, n, p);
            continue;
        }
        tug_assert(held.n_steps < 64);
        tugpb__ln_started__init(&all[held.n_steps]);
        set_key(&keys[held.n_steps], p);
        all[held.n_steps].key = &keys[held.n_steps];
        all[held.n_steps].pid = (uint32_t) p->id;
        all[held.n_steps].uid = DST_UID;
        all[held.n_steps].requeueable = p->requeueable;
        all[held.n_steps].left = p->phase == DST_STUCK;
        ptr[held.n_steps] = &all[held.n_steps];
        held.n_steps++;
    }
    held.lease_until_ms = from_boot(n, n->lease.until_ms);
    tell_agent(w, n, TUG_MSG_LN_HELD, &held.base);
    n->listed = true;
}

static void arm_lease(struct dst *w, struct dst_node *n)
{
    struct dst_event *e;
    int64_t when;

    n->lease_seq++;
    if (n->lease.until_ms == 0 || n->lease.until_ms == INT64_MAX)
        return;
    when = dst_clock_when(&n->boot, n->lease.until_ms);
    e = dst_later(w, when > w->now_ms ? when - w->now_ms : 0, DST_LEASE_DUE, n->index);
    e->arg = n->lease_seq;
}

void dst_lease_due(struct dst *w, const struct dst_event *e)
{
    struct dst_node *n = &w->nodes[e->who];

    if (!n->up || e->arg != n->lease_seq)
        return;
    for (size_t i = 0; i < w->parts.len; i++) {
        struct dst_part *p = w->parts.at[i];
        if (p->node != n->index || p->phase == DST_DEAD || tug_lease_allows(&n->lease, p->requeueable, boot_ms(n)))
            continue;
        dst_log(w, "n%u: the lease is over, job %llu.%u.%u is ended", n->index, (unsigned long long) p->job,
                p->attempt, p->step);
        w->n.lease_ends++;
        p->overdue |= !p->killing;
        dst_part_kill(w, p);
    }
}

static void parse_boot(const char *hex, uint8_t out[16])
{
    for (size_t i = 0; i < 16; i++)
        sscanf(hex + 2 * i, "%2hhx", &out[i]);
}

static const char *refusal(const struct dst_node *n, const struct tug_order *o)
{
    uint8_t boot[16];

    parse_boot(n->boot_id, boot);
    if (!tug_lease_allows(&n->lease, o->flags & TUG_ORDER_REQUEUEABLE, boot_ms(n)))
        return "the node has no lease, and the step could be running elsewhere";
    if (strcmp(o->node, n->name) != 0)
        return "the order is for another node";
    if (memcmp(boot, o->boot_id, sizeof boot) != 0)
        return "the order is for another boot";
    if (dst_clock_at(&n->machine, n->w->now_ms) > o->expires_wall_ms)
        return "the order expired";
    for (size_t i = 0; i < n->seen.len; i++)
        if (n->seen.at[i].job == o->job && n->seen.at[i].attempt == o->attempt && n->seen.at[i].step == o->step)
            return "the order was obeyed before";
    return NULL;
}

static void start(struct dst *w, struct dst_node *n, const Tugpb__LnStart *m)
{
    Tugpb__LnStarted yes = TUGPB__LN_STARTED__INIT;
    Tugpb__LnRefused no = TUGPB__LN_REFUSED__INIT;
    struct tug_order o;
    struct tug_err err = {0};
    struct tug_arena a = {.budget_bytes = 1 << 20};
    ProtobufCMessage *payload;
    const Tugpb__StepPayload *load;
    struct dst_part *p;
    struct dst_seen key;
    struct dst_uses uses;

    if (tug_order_unpack(m->order.data, &o, &err) != 0)
        dst_fail(w, "n%u: a launch order that cannot be read: %s", n->index, err.msg);
    if (tug_proto_decode(&a, &tugpb__step_payload__descriptor, m->payload.data, m->payload.len, &payload, &err) != 0)
        dst_fail(w, "n%u: a payload that cannot be read: %s", n->index, err.msg);
    load = (const Tugpb__StepPayload *) payload;
    key = (struct dst_seen){o.job, o.attempt, o.step};
    no.key = yes.key = m->key;
    no.text = (char *) (uintptr_t) refusal(n, &o);
    if (no.text) {
        dst_log(w, "n%u: launcher refuses job %llu.%u.%u: %s", n->index, (unsigned long long) o.job, o.attempt,
                o.step, no.text);
        tell_agent(w, n, TUG_MSG_LN_REFUSED, &no.base);
        tug_arena_clear(&a);
        return;
    }
    if (n->seen.len > 2000)
        tug_vec_remove(&n->seen, 0);
    tug_vec_push(&n->seen, key);
    dst_devices_use(w, n, load, &uses);
    p = dst_part_start(w, n->index, &key, o.flags & TUG_ORDER_REQUEUEABLE, &uses, o.epoch, load->node_index == 0,
                       load->spec->kind == TUGPB__JOB_KIND__JOB_BATCH && !o.step ? 1 : load->n_slices);
    tug_arena_clear(&a);
    yes.pid = (uint32_t) p->id;
    yes.uid = DST_UID;
    yes.requeueable = p->requeueable;
    tell_agent(w, n, TUG_MSG_LN_STARTED, &yes.base);
}

void dst_launcher_message(struct dst *w, const struct dst_event *e)
{
    struct dst_node *n = &w->nodes[e->who];
    struct tug_arena a = {0};
    ProtobufCMessage *m;
    struct dst_part *p;

    if (!n->up || e->life != n->machine_life)
        return;
    int rc = tug_proto_decode(&a, tug_msg_info(e->number)->desc, e->body, e->len, &m, NULL);
    tug_assert(rc == 0);
    switch (e->number) {
    case TUG_MSG_LN_LIST:
        if (e->id == n->life)
            list(w, n);
        break;
    case TUG_MSG_LN_LEASE:
        tug_lease_set(&n->lease, to_boot(n, ((const Tugpb__LnLease *) m)->until_ms));
        arm_lease(w, n);
        break;
    case TUG_MSG_LN_START:
        start(w, n, (const Tugpb__LnStart *) m);
        break;
    case TUG_MSG_LN_KILL:
        p = dst_part_find(w, n->index, ((const Tugpb__LnKill *) m)->key);
        if (p && p->phase != DST_DEAD)
            dst_part_kill(w, p);
        break;
    default:
        break;
    }
    tug_arena_clear(&a);
}

/* ---- struct tug_env of the node daemon */

static int64_t env_now(void *ctx)
{
    const struct dst_node *n = ctx;
    return dst_clock_at(&n->clock, n->w->now_ms);
}

static void env_timer(void *ctx, int64_t at_ms)
{
    struct dst_node *n = ctx;
    struct dst_event *e;
    int64_t when;

    if (n->dying)
        return;
    n->timer_ms = at_ms;
    n->timer_seq++;
    if (at_ms == INT64_MAX)
        return;
    when = at_ms <= env_now(n) ? n->w->now_ms : dst_clock_when(&n->clock, at_ms);
    e = dst_event_new(n->w, DST_TIMER, n->index);
    e->at_ms = when > n->w->now_ms ? when : n->w->now_ms;
    e->life = n->life;
    e->dir = DST_TO_NODE;
    e->arg = n->timer_seq;
    dst_push(n->w, e);
}

static bool dies_here(struct dst_node *n, double p)
{
    if (n->dying)
        return true;
    if (n->w->calm || !dst_chance(&n->w->of_faults, p))
        return false;
    n->dying = true;
    n->w->n.agent_await++;
    return true;
}

static void redial(struct dst *w, struct dst_node *n)
{
    struct dst_event *e;

    if (!n->agent || n->dialling)
        return;
    n->dialling = true;
    e = dst_later(w, dst_between(&w->of_net, 50, 100), DST_DIAL, n->index);
    e->life = n->life;
}

static void send_to_launcher(struct dst *w, struct dst_node *n, uint16_t number, const ProtobufCMessage *m)
{
    struct dst_event *e = dst_event_new(w, DST_TO_LAUNCHER, n->index);
    int64_t at_ms = w->now_ms + dst_between(&w->of_env, 0, 2);

    n->to_launcher_ms = e->at_ms = at_ms > n->to_launcher_ms ? at_ms : n->to_launcher_ms;
    e->life = n->machine_life;
    e->id = n->life;
    dst_event_body(e, number, 0, m);
    dst_push(w, e);
}

/* Its health comes and goes; in the end all are well. */
static void check_health(struct dst *w, struct dst_node *n)
{
    struct dst_event *e = dst_later(w, dst_between(&w->of_health, 5, 8000), DST_FROM_CHECKER, n->index);
    Tugpb__HcDone m = TUGPB__HC_DONE__INIT;
    char text[32] = "";

    if (w->calm || dst_chance(&w->of_health, 0.2))
        n->sick = !n->sick && !w->calm;
    m.failed = n->sick;
    m.trouble = !w->calm && dst_chance(&w->of_health, 0.03);
    if (m.failed || m.trouble)
        snprintf(text, sizeof text, "symptom %u", (unsigned) tug_rand_below(&w->of_health, 3));
    m.text = text;
    w->n.checks++;
    w->n.sick += n->sick;
    e->life = n->life;
    dst_event_body(e, TUG_MSG_HC_DONE, 0, &m.base);
}

static void env_send(void *ctx, tug_peer_id peer, enum tug_msg number, uint32_t rid, const ProtobufCMessage *m)
{
    struct dst_node *n = ctx;
    struct dst *w = n->w;
    struct dst_link *l;

    if (dies_here(n, w->conf.crash_send))
        return;
    if (m)
        dst_truth_agent_says(w, n, peer, (uint16_t) number, m);
    if (peer == TUG_PEER_CHECKER) {
        check_health(w, n);
    } else if (peer == TUG_PEER_PROGRAMS) {
        dst_visit_run(w, n, (const Tugpb__VsRun *) m);
    } else if (peer == TUG_PEER_LAUNCHER) {
        send_to_launcher(w, n, (uint16_t) number, m);
    } else if (peer == n->link && (l = dst_link(w, peer)) != NULL) {
        if (!m) {
            n->link = 0;
            dst_net_close(w, l, DST_TO_NODE, false);
            redial(w, n);
        } else if (l->open[DST_TO_NODE]) {
            dst_net_send(w, l, DST_TO_CTL, (uint16_t) number, rid, m);
        }
    } else {
        for (size_t i = 0; i < w->parts.len; i++)
            if (w->parts.at[i]->node == n->index && w->parts.at[i]->peer == peer && peer) {
                if (m)
                    dst_part_send(w, w->parts.at[i], (uint16_t) number, m);
                else
                    dst_part_cut_off(w, w->parts.at[i]);
                break;
            }
    }
}

static void env_send_packed(void *ctx, tug_peer_id peer, enum tug_msg number, uint32_t rid, const void *body,
                            size_t len)
{
    struct tug_arena a = {0};
    ProtobufCMessage *m = NULL;
    int rc = tug_proto_decode(&a, tug_msg_info((uint16_t) number)->desc, body, len, &m, NULL);

    tug_assert(rc == 0);
    env_send(ctx, peer, number, rid, m);
    tug_arena_clear(&a);
}

static void env_persist(void *ctx, struct tug_batch *b, uint64_t ticket)
{
    struct dst_node *n = ctx;

    if (n->dying) {
        tug_batch_free(b);
        return;
    }
    dst_store_commit(n->w, &n->store, b, ticket, DST_TO_NODE, n->index, n->life);
    dies_here(n, n->w->conf.crash_persist);
}

static void env_random(void *ctx, void *out, size_t len)
{
    struct dst_node *n = ctx;

    for (size_t i = 0; i < len; i++)
        ((uint8_t *) out)[i] = (uint8_t) tug_rand_u64(&n->w->of_env);
}

static void on_log(void *arg, enum tug_log_level level, const char *sentence)
{
    const struct dst_node *n = arg;

    (void) level;
    dst_log(n->w, "n%u says: %s", n->index, sentence);
}

/* ---- the node daemon's life */

static void settle(struct dst *w, struct dst_node *n)
{
    if (n->agent && n->dying)
        dst_agent_crash(w, n->index, "at an await point");
}

static void restore(void *arg, const char *kind, const char *id, const void *data, size_t len)
{
    struct dst_node *n = arg;
    struct tug_err err = {0};

    if (tug_agent_restore(n->agent, kind, id, data, len, &err) != 0)
        dst_fail(n->w, "n%u: record %s/%s cannot be read: %s", n->index, kind, id, err.msg);
}

void dst_agent_start(struct dst *w, unsigned node)
{
    struct dst_node *n = &w->nodes[node];
    struct tug_env env = {.ctx = n, .now = env_now, .timer = env_timer, .send = env_send,
                          .send_packed = env_send_packed, .persist = env_persist, .random = env_random};
    struct dst_inventory has = {0};
    struct tug_agent_conf conf = {.node = n->name, .boot_id = n->boot_id, .version = "test",
                                  .address = "127.0.0.1", .inventory = &has.inv, .log = on_log, .log_arg = n};
    const struct tug_agent_check check = {.program = "check", .period_s = w->conf.check_s, .timeout_s = 20,
                                          .when = w->conf.check_idle ? TUG_CHECK_IDLE : TUG_CHECK_ALWAYS,
                                          .before_job = w->conf.check_before, .after_job = w->conf.check_idle};

    const struct tug_agent_program prolog = {.program = "prolog", .timeout_s = w->conf.prolog_s},
                                   epilog = {.program = "epilog", .timeout_s = w->conf.epilog_s};

    if (w->conf.check_s)
        conf.check = &check;
    if (w->conf.prolog_s)
        conf.prolog = &prolog;
    if (w->conf.epilog_s)
        conf.epilog = &epilog;

    if (!n->up || n->agent)
        return;
    dst_devices_list(n, &has);
    n->life++;
    n->dying = false;
    n->listed = false;
    n->timer_ms = INT64_MAX;
    n->started_ms = w->now_ms;
    n->redial_ms = 0;
    n->dialling = false;
    n->clock = (struct dst_clock){dst_clock_at(&n->machine, w->now_ms), w->now_ms, n->boot.ppm};
    n->agent = tug_agent_new(&env, &conf);
    dst_log(w, "n%u: node daemon starts", node);
    dst_disk_each(n->store.disk, restore, n);
    tug_agent_start(n->agent);
    for (size_t i = 0; i < w->parts.len; i++)
        if (w->parts.at[i]->node == node && w->parts.at[i]->phase != DST_DEAD)
            dst_later(w, dst_between(&w->of_env, 5, 1000), DST_STEPD_DIAL, node)->id = w->parts.at[i]->id;
    redial(w, n);
    settle(w, n);
}

void dst_agent_looks(struct dst *w, unsigned node)
{
    struct dst_node *n = &w->nodes[node];
    struct dst_inventory has = {0};

    if (w->calm && w->conf.slices) { /* what is in use has to wait */
        dst_devices_usual(w, node);
        dst_later(w, 600000, DST_NODE_LOOKS, node);
    }
    if (!n->agent)
        return; /* the next one's start looks */
    dst_devices_list(n, &has);
    tug_agent_inventory(n->agent, &has.inv);
    settle(w, n);
}

/* Without its machine it is not started again; the launcher does that. */
static void agent_ends(struct dst *w, struct dst_node *n, bool silently)
{
    struct tug_agent *agent = n->agent;
    struct dst_link *l = dst_link(w, n->link);

    if (!agent)
        return;
    n->dying = true;
    n->agent = NULL;
    n->life++;
    n->listed = false;
    n->paused_until_ms = 0;
    n->link = 0;
    if (l)
        dst_net_close(w, l, DST_TO_NODE, silently);
    dst_store_crash(w, &n->store, DST_TO_NODE);
    dst_visits_daemon_died(w, n);
    for (size_t i = 0; i < w->parts.len; i++)
        if (w->parts.at[i]->node == n->index)
            w->parts.at[i]->peer = 0;
    tug_agent_free(agent);
}

void dst_agent_crash(struct dst *w, unsigned node, const char *why)
{
    struct dst_node *n = &w->nodes[node];
    int64_t wait_ms = BACKOFF_MIN_MS;

    if (!n->agent)
        return;
    dst_log(w, "n%u: node daemon ends: %s", node, why);
    w->n.agent_crashes++;
    agent_ends(w, n, false);
    if (w->now_ms - n->started_ms >= 10000)
        n->fails = 0;
    for (unsigned i = 0; i < n->fails && wait_ms < BACKOFF_MAX_MS; i++)
        wait_ms *= 2;
    n->fails++;
    dst_later(w, wait_ms, DST_AGENT_START, node)->life = n->machine_life;
}

/* ---- the machine's life */

static void all_gone(struct dst *w, struct dst_node *n, bool machine)
{
    for (size_t i = 0; i < w->parts.len; i++)
        if (w->parts.at[i]->node == n->index)
            dst_part_vanish(w, w->parts.at[i], machine);
    n->seen.len = 0;
    n->lease = (struct tug_lease){0};
    n->lease_seq++;
    n->machine_life++;
}

void dst_node_boot(struct dst *w, unsigned node)
{
    struct dst_node *n = &w->nodes[node];

    if (n->up)
        return;
    n->up = true;
    n->boots++;
    n->boot = (struct dst_clock){dst_between(&w->of_env, 1000, 5000), w->now_ms, n->machine.ppm};
    for (size_t i = 0; i < 4; i++)
        snprintf(n->boot_id + 8 * i, 9, "%08x", (unsigned) tug_rand_u64(&w->of_env));
    dst_log(w, "n%u boots", node);
    if (n->boots == 1 || w->calm)
        dst_devices_usual(w, node);
    else if (dst_chance(&w->of_more, 0.2))
        dst_devices_cut(w, node);
    dst_later(w, 200, DST_AGENT_START, node)->life = n->machine_life;
}

void dst_node_power_off(struct dst *w, unsigned node, int64_t for_ms)
{
    struct dst_node *n = &w->nodes[node];

    if (!n->up)
        return;
    dst_log(w, "n%u loses power for %lld s", node, (long long) for_ms / 1000);
    w->n.reboots++;
    agent_ends(w, n, dst_chance(&w->of_faults, 0.8));
    all_gone(w, n, true);
    n->up = false;
    n->fails = 0;
    dst_later(w, for_ms, DST_NODE_BOOT, node);
}

void dst_launcher_crash(struct dst *w, unsigned node)
{
    struct dst_node *n = &w->nodes[node];

    if (!n->up)
        return;
    dst_log(w, "n%u: the launcher dies, and its children with it", node);
    w->n.launcher_crashes++;
    agent_ends(w, n, false);
    all_gone(w, n, false);
    dst_later(w, dst_between(&w->of_faults, 100, 3000), DST_AGENT_START, node)->life = n->machine_life;
}

/* ---- what the node daemon is given */

void dst_agent_message(struct dst *w, unsigned node, tug_peer_id peer, const struct dst_event *e)
{
    struct dst_node *n = &w->nodes[node];
    struct tug_arena a = {0};
    struct tug_err err = {0};
    ProtobufCMessage *m;

    if (!n->agent || (peer != TUG_PEER_LAUNCHER && peer != n->link && e->what == DST_ARRIVES))
        return;
    dst_log(w, "n%u gets %s", node, tug_msg_info(e->number)->name);
    if (tug_msg_decode(&a, e->number, e->body, e->len, &m, &err) != 0)
        dst_fail(w, "n%u cannot read a message: %s", node, err.msg);
    if (e->number == TUG_MSG_NODE_WELCOME)
        n->redial_ms = 0, dst_fault_at_welcome(w, node);
    tug_agent_message(n->agent, peer, e->number, e->rid, m);
    tug_arena_clear(&a);
    settle(w, n);
}

void dst_agent_up(struct dst *w, unsigned node, tug_peer_id peer)
{
    struct dst_node *n = &w->nodes[node];

    if (!n->agent || n->link != peer)
        return;
    tug_agent_controller_up(n->agent, peer);
    settle(w, n);
}

void dst_agent_down(struct dst *w, unsigned node, tug_peer_id peer, bool was_up)
{
    struct dst_node *n = &w->nodes[node];

    if (!n->agent || n->link != peer)
        return;
    n->link = 0;
    redial(w, n);
    if (was_up)
        tug_agent_controller_down(n->agent, peer);
    settle(w, n);
}

void dst_agent_stepd(struct dst *w, struct dst_part *p, bool up)
{
    struct dst_node *n = &w->nodes[p->node];

    if (!n->agent)
        return;
    if (up)
        tug_agent_stepd_up(n->agent, p->peer, (uint32_t) p->id, DST_UID);
    else
        tug_agent_stepd_down(n->agent, p->peer);
    settle(w, n);
}

void dst_agent_timer(struct dst *w, const struct dst_event *e)
{
    struct dst_node *n = &w->nodes[e->who];

    if (e->life != n->life || e->arg != n->timer_seq || !n->agent)
        return;
    tug_agent_timer(n->agent, env_now(n));
    settle(w, n);
}

void dst_agent_committed(struct dst *w, const struct dst_event *e)
{
    struct dst_node *n = &w->nodes[e->who];

    if (e->life != n->life || !n->agent)
        return;
    switch (dst_store_committed(w, &n->store, e)) {
    case DST_NOT_TAKEN:
        dst_agent_crash(w, e->who, "its commit failed");
        return;
    case DST_NO_ROOM:
        tug_agent_full(n->agent, "the disk is full");
        break;
    case DST_TAKEN:
        tug_agent_full(n->agent, NULL);
        tug_agent_persisted(n->agent, e->arg);
        break;
    }
    settle(w, n);
}
