/* ctl.c - controllers: hosts of the real logic/control.h, as tugd is
 *
 * A controller may end at each of its await points: with a send or a commit, everything that it says later in the same
 * event is lost with it. It may be paused; then another one may take the store over, and the store refuses what the
 * first one commits after that. Layer: tests.
 */
#include "dst.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Whoever fits starts, the others have others give way. */
static int push_pass(void *self, const struct tug_policy_view *v, const struct tug_policy_host *host,
                     struct tug_policy_pass *p)
{
    uint64_t victims[16];

    (void) self;
    for (size_t i = 0; i < v->n_waiting; i++) {
        uint64_t id = TUG_POLICY_WAITING(v, i)->id;
        int n = host->start(p, id) == 0 ? -1 : host->victims(p, id, victims, 16);

        if (n >= 0 && n <= 16)
            host->preempt(p, id, victims, (size_t) n);
    }
    return 0;
}

static const struct tug_policy_ops push = {
    .size = sizeof push, .abi = TUG_POLICY_ABI, .name = "push", .pass = push_pass};

/* ---- struct tug_env */

static int64_t env_now(void *ctx)
{
    const struct dst_ctl *c = ctx;
    return dst_clock_at(&c->clock, c->w->now_ms);
}

static void set_timer(struct dst_ctl *c, int64_t at_ms)
{
    struct dst_event *e;
    int64_t when;

    if (at_ms == c->timer_ms || c->dying)
        return;
    c->timer_ms = at_ms;
    c->timer_seq++;
    if (at_ms == INT64_MAX)
        return;
    when = at_ms <= env_now(c) ? c->w->now_ms : dst_clock_when(&c->clock, at_ms);
    e = dst_event_new(c->w, DST_TIMER, c->index);
    e->at_ms = when > c->w->now_ms ? when : c->w->now_ms;
    e->life = c->life;
    e->dir = DST_TO_CTL;
    e->arg = c->timer_seq;
    dst_push(c->w, e);
}

static void env_timer(void *ctx, int64_t at_ms)
{
    set_timer(ctx, at_ms);
}

static bool dies_here(struct dst_ctl *c, double p)
{
    if (c->dying)
        return true;
    if (c->w->calm || !dst_chance(&c->w->of_faults, p))
        return false;
    c->dying = true;
    c->w->n.ctl_await++;
    return true;
}

static void env_send(void *ctx, tug_peer_id peer, enum tug_msg number, uint32_t rid, const ProtobufCMessage *m)
{
    static uint8_t signature[64]; /* the host's part; the launchers here do not look */
    struct dst_ctl *c = ctx;
    struct dst *w = c->w;
    struct dst_link *l = dst_link(w, peer);

    if (dies_here(c, w->conf.crash_send))
        return;
    if (l && (!l->open[DST_TO_CTL] || l->ctl != c->index || l->life[DST_TO_CTL] != c->life))
        return;
    if (number == TUG_MSG_LEASE_GRANT && env_now(c) >= c->lead_until_ms)
        return; /* rides on no commit, so the host looks (queued/world.c) */
    if (m)
        dst_truth_ctl_says(w, c, peer, (uint16_t) number, m);
    if (!l) {
        dst_client_send(w, c->index, peer, (uint16_t) number, rid, m);
    } else if (!m) {
        tug_control_peer_down(c->control, peer);
        dst_net_close(w, l, DST_TO_CTL, false);
    } else if (number == TUG_MSG_STEP_LAUNCH) {
        Tugpb__StepLaunch signed_one = *(const Tugpb__StepLaunch *) m;
        signed_one.signature.data = signature;
        signed_one.signature.len = sizeof signature;
        dst_net_send(w, l, DST_TO_NODE, (uint16_t) number, rid, &signed_one.base);
    } else {
        dst_net_send(w, l, DST_TO_NODE, (uint16_t) number, rid, m);
    }
}

static void env_send_packed(void *ctx, tug_peer_id peer, enum tug_msg number, uint32_t rid, const void *body,
                            size_t len)
{
    struct tug_arena a = {0};
    ProtobufCMessage *m = NULL;

    if (((struct dst_ctl *) ctx)->dying)
        return;
    int rc = tug_proto_decode(&a, tug_msg_info((uint16_t) number)->desc, body, len, &m, NULL);
    tug_assert(rc == 0);
    env_send(ctx, peer, number, rid, m);
    tug_arena_clear(&a);
}

static void env_persist(void *ctx, struct tug_batch *b, uint64_t ticket)
{
    struct dst_ctl *c = ctx;

    if (c->dying || c->fenced) {
        tug_batch_free(b);
        c->dying = true;
        c->w->n.fenced += c->fenced;
        return;
    }
    dst_store_commit(c->w, &c->w->store, b, ticket, DST_TO_CTL, c->index, c->life);
    dies_here(c, c->w->conf.crash_persist);
}

static void env_random(void *ctx, void *out, size_t len)
{
    struct dst_ctl *c = ctx;

    for (size_t i = 0; i < len; i++)
        ((uint8_t *) out)[i] = (uint8_t) tug_rand_u64(&c->w->of_env);
}

/* The host has the store's word every now and then that it leads; a paused one hears nothing. */
static void lead_on(struct dst *w, struct dst_ctl *c)
{
    if (!w->conf.zombies || c->unsure)
        return;
    c->led_ms = w->now_ms;
    c->lead_until_ms = env_now(c) + DST_LEADER_TTL_MS * 8 / 10;
}

/* ---- after every event, as the daemon's loop does before it sleeps */

static void settle(struct dst *w, struct dst_ctl *c, bool may_change)
{
    enum tug_log_level level;
    const char *text;
    struct tug_err err = {0};

    if (c->control && !c->dying)
        tug_control_flush(c->control);
    if (!c->control)
        return;
    while (tug_control_next_log(c->control, &level, &text))
        dst_log(w, "controller %u says: %s", c->index, text);
    if (c->dying) {
        dst_ctl_crash(w, c->index, c->fenced ? "the store takes nothing from it" : "at an await point");
        return;
    }
    if (w->store.pending.len && w->leader == c->index)
        dst_fault_during_commit(w, c->index);
    if (may_change && tug_core_check(tug_control_core(c->control), &err) != 0)
        dst_fail(w, "controller %u: %s", c->index, err.msg);
}

/* ---- its life */

struct made {
    struct tug_core_queue queues[3];
    struct tug_core_node_row rows[DST_NODES_MAX];
    struct tug_control_conf conf;
};

static void fill_conf(struct dst *w, const struct dst_ctl *c, struct made *m)
{
    const struct dst_wanted *want = &w->wanted;
    size_t n = 0;

    *m = (struct made){.queues = {{.name = "main", .nodes = "", .is_default = 1},
                                  {.name = "urgent", .nodes = "", .tier = 1},
                                  {.name = "low", .nodes = ""}}};
    if (w->conf.preempts) {
        m->queues[0].preemptable = want->keeps[0] ? TUG_PREEMPT_NEVER : TUG_PREEMPT_REQUEUE;
        m->queues[0].preempt_notice_s = want->notice_s;
        m->queues[2].preemptable = want->keeps[1] ? TUG_PREEMPT_NEVER : TUG_PREEMPT_SUSPEND;
    }
    for (unsigned i = 0; i < w->conf.nodes; i++)
        if (!want->without[i])
            m->rows[n++] = (struct tug_core_node_row){.name = w->nodes[i].name, .cpus = 64, .gpus = 8, .gpu_model = ""};
    m->conf = (struct tug_control_conf){.cluster = DST_CLUSTER, .version = "test",
                                        .node_timeout_s = w->conf.node_timeout_s, .lease_s = w->conf.leases_s[w->conf.lease_changes && w->starts % 2],
                                        .wireup_timeout_s = 60, .kill_grace_s = want->kill_grace_s, .max_jobs = 10000,
                                        .operator_uid = DST_UID, .min_uid = DST_UID, .clock_boot = c->index + 1,
                                        .clock_zero_ms = c->clock.base_ms - dst_clock_at(&c->boot, w->now_ms)};
    m->conf.core = (struct tug_core_conf){.launch_timeout_s = want->launch_timeout_s, .kill_grace_s = want->kill_grace_s,
                                          .launch_retries = 3, .requeue_delay_s = w->conf.requeue_delay_s, .kept_ms = 300000,
                                          .flap_losses = w->conf.flaps ? 3 : 0, .flap_period_s = 1200, .cleaning_timeout_s = 60,
                                          .link_failures = 2, .link_period_s = 1800, .link_peers = 3,
                                          .failures_kept_ms = 1800000, .preemption = TUG_PREEMPTION_TIER,
                                          .queues = m->queues, .n_queues = 3, .nodes = m->rows, .n_nodes = n};
}

static struct tug_control *make(struct dst *w, struct dst_ctl *c)
{
    struct tug_env env = {.ctx = c, .now = env_now, .timer = env_timer, .send = env_send,
                          .send_packed = env_send_packed, .persist = env_persist, .random = env_random};
    struct tug_err err = {0};
    struct tug_control *control;
    struct made m;

    fill_conf(w, c, &m);
    control = tug_control_new(&env, &m.conf, &err);
    if (!control)
        dst_fail(w, "controller %u: %s", c->index, err.msg);
    return control;
}

void dst_ctl_configure(struct dst *w)
{
    struct dst_ctl *c = &w->ctls[w->leader];
    struct tug_err err = {0};
    struct made m;

    if (!c->control)
        return; /* its next start reads it */
    fill_conf(w, c, &m);
    lead_on(w, c);
    int rc = tug_control_configure(c->control, &m.conf, &err);
    if (rc == -EBUSY) /* a gang holds a node that is to go; what is written stays, for the next start */
        dst_log(w, "controller %u keeps its configuration: %s", c->index, err.msg);
    else if (rc)
        dst_fail(w, "controller %u does not take its configuration: %s", c->index, err.msg);
    settle(w, c, true);
}

static void restore(void *arg, const char *kind, const char *id, const void *data, size_t len)
{
    struct dst_ctl *c = arg;
    struct tug_err err = {0};

    if (tug_control_restore(c->control, kind, id, data, len, &err) != 0)
        dst_fail(c->w, "record %s/%s of the state cannot be read: %s", kind, id, err.msg);
}

void dst_ctl_start(struct dst *w, unsigned ctl)
{
    static const struct tug_policy_set pushing = {{{&push, NULL}}, 1};
    struct dst_ctl *c = &w->ctls[ctl];
    struct tug_err err = {0};

    if (c->control || w->leader != ctl)
        return;
    c->life++;
    w->starts++;
    c->timer_ms = INT64_MAX;
    c->dying = c->fenced = c->unsure = false;
    c->lead_until_ms = INT64_MAX;
    c->clock = (struct dst_clock){dst_clock_at(&c->machine, w->now_ms), w->now_ms, c->machine.ppm};
    c->control = make(w, c);
    dst_disk_each(w->store.disk, restore, c);
    if (tug_control_start(c->control, &err) != 0)
        dst_fail(w, "controller %u does not start: %s", ctl, err.msg);
    c->epoch = tug_control_epoch(c->control);
    lead_on(w, c);
    if (w->conf.preempts)
        tug_control_set_policy(c->control, "push", &pushing, "");
    dst_log(w, "controller %u starts, epoch %llu", ctl, (unsigned long long) c->epoch);
    dst_truth_restored(w, c);
    dst_pairs_forget(w);
    settle(w, c, true);
}

static void drop_links(struct dst *w, const struct dst_ctl *c, bool silently)
{
    for (size_t i = w->links.len; i-- > 0;) {
        struct dst_link *l = i < w->links.len ? w->links.at[i] : NULL;
        if (l && l->ctl == c->index && l->life[DST_TO_CTL] == c->life && l->open[DST_TO_CTL])
            dst_net_close(w, l, DST_TO_CTL, silently);
    }
}

void dst_ctl_crash(struct dst *w, unsigned ctl, const char *why)
{
    struct dst_ctl *c = &w->ctls[ctl];
    struct tug_control *control = c->control;

    if (!control)
        return;
    dst_log(w, "controller %u ends: %s", ctl, why);
    w->n.ctl_crashes++;
    c->dying = true;
    c->control = NULL;
    if (!c->fenced)
        dst_store_crash(w, &w->store, DST_TO_CTL);
    drop_links(w, c, dst_chance(&w->of_faults, 0.3));
    c->life++;
    c->paused_until_ms = 0;
    tug_control_free(control);
    dst_later(w, w->calm ? 1000 : dst_about(&w->of_faults, dst_chance(&w->of_faults, 0.1) ? 300000 : 4000),
              DST_CTL_START, ctl);
}

void dst_ctl_take_over(struct dst *w, unsigned ctl)
{
    struct dst_ctl *old = &w->ctls[w->leader];

    if (w->leader == ctl || w->now_ms < old->led_ms + DST_LEADER_TTL_MS)
        return; /* it leads, or may think so */
    dst_log(w, "controller %u takes over from %u, epoch %llu", ctl, old->index, (unsigned long long) old->epoch);
    w->n.takeovers++;
    old->fenced = true;
    if (old->control)
        dst_store_crash(w, &w->store, DST_TO_CTL);
    w->leader = ctl;
    dst_ctl_start(w, ctl);
}

/* ---- what it is given */

void dst_ctl_peer_up(struct dst *w, unsigned ctl, tug_peer_id peer, unsigned node)
{
    struct dst_ctl *c = &w->ctls[ctl];
    struct tug_control_peer who = {.role = TUG_ROLE_USER, .uid = DST_UID, .gid = DST_UID, .user = "ada",
                                   .home = "/home/ada", .shell = "/bin/sh"};

    if (!c->control)
        return;
    if (node < DST_NODES_MAX)
        who = (struct tug_control_peer){.role = TUG_ROLE_NODE, .address = "127.0.0.1", .node = w->nodes[node].name};
    lead_on(w, c);
    tug_control_peer_up(c->control, peer, &who);
    settle(w, c, true);
}

void dst_ctl_peer_down(struct dst *w, unsigned ctl, tug_peer_id peer)
{
    struct dst_ctl *c = &w->ctls[ctl];

    if (!c->control)
        return;
    lead_on(w, c);
    tug_control_peer_down(c->control, peer);
    settle(w, c, true);
}

void dst_ctl_message(struct dst *w, unsigned ctl, tug_peer_id peer, const struct dst_event *e)
{
    struct dst_ctl *c = &w->ctls[ctl];
    struct tug_arena a = {0};
    struct tug_err err = {0};
    ProtobufCMessage *m;

    if (!c->control)
        return;
    lead_on(w, c);
    dst_log(w, "controller %u gets %s", ctl, tug_msg_info(e->number)->name);
    if (tug_msg_decode(&a, e->number, e->body, e->len, &m, &err) != 0)
        dst_fail(w, "controller %u cannot read a message: %s", ctl, err.msg);
    tug_control_message(c->control, peer, e->number, e->rid, m);
    w->unnoticed &= e->number != TUG_MSG_NODE_HELLO;
    tug_arena_clear(&a);
    settle(w, c, e->number != TUG_MSG_LEASE_REQUEST); /* most are; the core does not hear of them */
}

void dst_ctl_timer(struct dst *w, const struct dst_event *e)
{
    struct dst_ctl *c = &w->ctls[e->who];

    if (e->life != c->life || e->arg != c->timer_seq || !c->control)
        return;
    lead_on(w, c);
    c->timer_ms = INT64_MAX;
    tug_control_timer(c->control);
    settle(w, c, true);
}

void dst_ctl_committed(struct dst *w, const struct dst_event *e)
{
    struct dst_ctl *c = &w->ctls[e->who];

    if (e->life != c->life || !c->control)
        return;
    if (c->fenced) {
        w->n.fenced++;
        dst_ctl_crash(w, e->who, "the store takes nothing from it");
        return;
    }
    switch (dst_store_committed(w, &w->store, e)) {
    case DST_NOT_TAKEN:
        dst_ctl_crash(w, e->who, "its commit failed");
        return;
    case DST_NO_ROOM:
        lead_on(w, c);
        tug_control_full(c->control, "the disk is full");
        break;
    case DST_TAKEN:
        lead_on(w, c);
        tug_control_full(c->control, NULL);
        tug_control_persisted(c->control, e->arg);
        break;
    }
    settle(w, c, true);
}
