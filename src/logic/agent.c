/* agent.c - a node's orders and leases: who is connected, what the controller says, what is due
 *
 * See agent.h. A step's life is agent_step.c, its daemon's words agent_stepd.c, records and outbox
 * agent_keep.c. Layer: logic.
 */
#include "logic/agent.h"

#include <signal.h>
#include <stdio.h>

#include "core/job.h"
#include "logic/agent_impl.h"

#define HEARTBEAT_MS 5000
#define COMMIT_KEPT_MS 30000   /* what is heard with leases is written down that often; with orders, each time */

void tug_agent_log(struct tug_agent *a, enum tug_log_level level, const char *fmt, ...)
{
    char text[1024];
    if (!a->log)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    a->log(a->log_arg, level, text);
}

struct tug_agent *tug_agent_new(const struct tug_env *env, const struct tug_agent_conf *conf)
{
    struct tug_agent *a = tug_new(struct tug_agent);
    a->env = *env;
    a->node = tug_xstrdup(conf->node);
    a->boot_id = tug_xstrdup(conf->boot_id);
    a->version = tug_xstrdup(conf->version);
    a->address = tug_xstrdup(conf->address);
    tug_agent_visits_init(a, conf->prolog, conf->epilog);
    a->inventory = (Tugpb__Inventory *) tug_proto_copy(&conf->inventory->base);
    tug_agent_visits_declare(a, a->inventory);
    a->log = conf->log;
    a->log_arg = conf->log_arg;
    tug_agent_check_init(a, conf->check);
    a->heartbeat_ms = HEARTBEAT_MS;
    a->timer_ms = INT64_MAX;
    return a;
}

static void free_peer(struct agent_peer *p)
{
    for (size_t i = 0; i < p->n_queue; i++)
        tug_proto_drop(p->queue[i].m);
    free(p);
}

void tug_agent_free(struct tug_agent *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->steps.len; i++)
        tug_agent_step_free(a->steps.at[i]);
    for (size_t i = 0; i < a->peers.len; i++)
        free_peer(a->peers.at[i]);
    for (size_t i = 0; i < a->out.len; i++)
        tug_proto_drop(a->out.at[i].m);
    tug_agent_clear_tombs(a);
    tug_agent_check_clear(a);
    tug_agent_visits_clear(a);
    tug_vec_clear(&a->steps);
    tug_vec_clear(&a->peers);
    tug_vec_clear(&a->out);
    tug_batch_free(a->batch);
    tug_proto_drop(a->inventory);
    free(a->node);
    free(a->boot_id);
    free(a->version);
    free(a->address);
    free(a->old_boot_id);
    free(a->refused);
    free(a->full);
    free(a->mute);
    free(a);
}

/* ---- what is due */

static bool lease_ends_it(const struct agent_step *s)
{
    return s->requeueable && !s->waits_lease && !s->hard && !s->gone &&
           s->phase != TUGPB__STEP_PHASE__STEP_DONE;
}

static void hang_up(struct tug_agent *a)
{
    a->controller = 0;
    a->hello_sent = a->welcomed = false;
    memset(a->asked, 0, sizeof a->asked);
}

static int64_t silence_ms(const struct tug_agent *a)
{
    int64_t beats = 4LL * a->heartbeat_ms;
    return beats > AGENT_SILENCE_MS ? beats : AGENT_SILENCE_MS;
}

static void ask_for_lease(struct tug_agent *a)
{
    uint64_t nonce = 0;
    while (!nonce)
        a->env.random(a->env.ctx, &nonce, sizeof nonce);
    a->asked[a->next_asked].nonce = nonce;
    a->asked[a->next_asked].sent_ms = a->now_ms;
    a->next_asked = (a->next_asked + 1) % (sizeof a->asked / sizeof *a->asked);
    Tugpb__LeaseRequest m = TUGPB__LEASE_REQUEST__INIT;
    m.nonce = nonce;
    m.sent_ms = a->now_ms;
    m.taken = a->taken;
    tug_agent_send(a, a->controller, TUG_MSG_LEASE_REQUEST, &m);
    a->beat_ms = a->now_ms + a->heartbeat_ms;
}

/* How it ended may be known to nobody else for sure: what this node keeps of it is not durable yet. */
static bool keeps_its_result(const struct tug_agent *a, const struct agent_step *s)
{
    return s->result && a->must_ticket > a->durable_ticket;
}

static void due_steps(struct tug_agent *a)
{
    for (size_t i = a->steps.len; i-- > 0;) {
        struct agent_step *s = a->steps.at[i];
        if (a->listed && a->lease_until_ms <= a->now_ms && lease_ends_it(s))
            tug_agent_lease_over(a, s);
        if (s->hard_ms <= a->now_ms && keeps_its_result(a, s))
            s->hard_ms = a->now_ms + AGENT_LEAVE_MS;
        if (s->hard_ms <= a->now_ms)
            tug_agent_kill_hard(a, s);
        if (s->finish_ms <= a->now_ms)
            tug_agent_finish(a, s);
    }
}

/* Before any event is looked at: a process that slept through its lease must not act as if it had
 * it. */
static void due(struct tug_agent *a)
{
    due_steps(a);
    for (size_t i = a->peers.len; i-- > 0;)
        if (a->peers.at[i]->hello_by_ms <= a->now_ms)
            tug_agent_close_peer(a, a->peers.at[i]);
    if (a->hello_sent && a->heard_ms + silence_ms(a) <= a->now_ms) {
        tug_agent_log(a, TUG_LOG_WARN, "the controller has been silent for %lld s: connecting anew",
                      (long long) silence_ms(a) / 1000);
        tug_agent_send(a, a->controller, 0, NULL);
        hang_up(a);
    }
    if (a->welcomed && a->beat_ms <= a->now_ms)
        ask_for_lease(a);
    tug_agent_check_due(a);
    tug_agent_purge_tombs(a);
}

static int64_t sooner(int64_t x, int64_t y)
{
    return x < y ? x : y;
}

static int64_t next_due(const struct tug_agent *a)
{
    int64_t at = INT64_MAX;
    for (size_t i = 0; i < a->steps.len; i++) {
        const struct agent_step *s = a->steps.at[i];
        at = sooner(at, sooner(s->hard_ms, s->finish_ms));
        if (a->listed && lease_ends_it(s))
            at = sooner(at, a->lease_until_ms);
    }
    for (size_t i = 0; i < a->peers.len; i++)
        at = sooner(at, a->peers.at[i]->hello_by_ms);
    if (a->hello_sent)
        at = sooner(at, a->heard_ms + silence_ms(a));
    if (a->welcomed)
        at = sooner(at, a->beat_ms);
    if (a->tombs)
        at = sooner(at, a->tombs->expires_ms);
    return sooner(at, tug_agent_check_next(a));
}

static void begin(struct tug_agent *a)
{
    int64_t now_ms = a->env.now(a->env.ctx);
    if (now_ms > a->now_ms)
        a->now_ms = now_ms;
    due(a);
}

static void end(struct tug_agent *a)
{
    tug_agent_commit(a);
    int64_t at = next_due(a);
    if (at != a->timer_ms) {
        a->timer_ms = at;
        a->env.timer(a->env.ctx, at);
    }
}

void tug_agent_timer(struct tug_agent *a, int64_t now_ms)
{
    if (now_ms > a->now_ms)
        a->now_ms = now_ms;
    a->timer_ms = -1; /* it has gone off: set it again in any case */
    begin(a);
    end(a);
}

void tug_agent_start(struct tug_agent *a)
{
    Tugpb__LnList list = TUGPB__LN_LIST__INIT;
    begin(a);
    tug_agent_send(a, TUG_PEER_LAUNCHER, TUG_MSG_LN_LIST, &list);
    end(a);
}

/* ---- the controller */

static void fill_state(const struct agent_step *s, Tugpb__StepKey *key, Tugpb__StepReady *ready,
                       Tugpb__StepState *out)
{
    *key = (Tugpb__StepKey) TUGPB__STEP_KEY__INIT;
    key->job = s->key.job;
    key->attempt = s->key.attempt;
    key->step = s->key.step;
    *out = (Tugpb__StepState) TUGPB__STEP_STATE__INIT;
    out->key = key;
    out->phase = s->phase;
    if (s->phase == TUGPB__STEP_PHASE__STEP_DONE) {
        out->result = s->result;
    } else if (s->ready) {
        *ready = *s->ready;
        ready->key = key;
        ready->stepd_pid = s->pid;
        out->ready = ready;
    }
}

/* An order that still waits for a lease is of a controller that may not be there any more. It has
 * started nothing; whoever still wants it gives it again. */
static void forget_waiting(struct tug_agent *a)
{
    for (size_t i = a->steps.len; i-- > 0;)
        if (a->steps.at[i]->waits_lease)
            tug_agent_remove(a, a->steps.at[i]);
}

static void say_hello(struct tug_agent *a)
{
    forget_waiting(a);
    size_t n = a->steps.len + a->visits.len;
    Tugpb__StepKey *keys = tug_xcalloc(n + 1, sizeof *keys);
    Tugpb__StepReady *readies = tug_xcalloc(n + 1, sizeof *readies);
    Tugpb__StepState *states = tug_xcalloc(n + 1, sizeof *states);
    Tugpb__StepState **list = tug_xcalloc(n + 1, sizeof *list);
    for (size_t i = 0; i < a->steps.len; i++) {
        fill_state(a->steps.at[i], &keys[i], &readies[i], &states[i]);
        a->steps.at[i]->unsaid = false;
        a->steps.at[i]->stop_serial = 0; /* no order outlives its connection, and this one's numbers may be of a backup */
        list[i] = &states[i];
    }
    for (size_t i = a->steps.len; i < n; i++) {
        tug_agent_visit_state(a->visits.at[i - a->steps.len], &states[i]);
        list[i] = &states[i];
    }
    Tugpb__NodeHello m = TUGPB__NODE_HELLO__INIT;
    m.node = a->node;
    m.boot_id = a->boot_id;
    m.max_epoch = a->max_epoch;
    m.commit = a->commit;
    m.version = a->version;
    m.inventory = a->inventory;
    m.n_steps = n;
    m.steps = list;
    m.address = a->address;
    m.protocol = TUG_AGENT_PROTOCOL;
    tug_agent_send(a, a->controller, TUG_MSG_NODE_HELLO, &m);
    a->hello_sent = true;
    a->heard_ms = a->now_ms;
    free(keys);
    free(readies);
    free(states);
    free(list);
}

void tug_agent_controller_up(struct tug_agent *a, tug_peer_id peer)
{
    begin(a);
    if (a->controller && a->controller != peer)
        tug_agent_send(a, a->controller, 0, NULL);
    hang_up(a);
    a->controller = peer;
    if (a->listed)
        say_hello(a);
    end(a);
}

void tug_agent_controller_down(struct tug_agent *a, tug_peer_id peer)
{
    begin(a);
    if (a->controller == peer)
        hang_up(a);
    end(a);
}

void tug_agent_full(struct tug_agent *a, const char *why)
{
    if (!why && !a->full)
        return;
    begin(a);
    bool is_news = !why || !a->full;
    if (!a->full)
        a->full_ms = a->now_ms;
    free(a->full);
    a->full = why ? tug_xasprintf("STATE_FULL: %s", why) : NULL;
    if (is_news) {
        if (why)
            tug_agent_log(a, TUG_LOG_ERROR, "%s; until then this node gets no gang, those that run go on and how they end waits", a->full);
        else
            tug_agent_log(a, TUG_LOG_INFO, "there is room for the node's state again: all that waited is durable, all goes on");
        tug_agent_check_tell(a);
    }
    end(a);
}

void tug_agent_mute(struct tug_agent *a, const char *why)
{
    if (!why == !a->mute)
        return;
    begin(a);
    free(a->mute);
    a->mute = why ? tug_xstrdup(why) : NULL;
    a->mute_ms = a->now_ms;
    if (why)
        tug_agent_log(a, TUG_LOG_ERROR, "%s; until then this node gets no gang, and what runs on it cannot be ended", why);
    else
        tug_agent_log(a, TUG_LOG_INFO, "the launcher answers again");
    tug_agent_check_tell(a);
    end(a);
}

void tug_agent_bye(struct tug_agent *a, const char *reason)
{
    begin(a);
    if (a->welcomed) {
        Tugpb__NodeBye m = TUGPB__NODE_BYE__INIT;
        m.reason = (char *) (uintptr_t) reason;
        tug_agent_send(a, a->controller, TUG_MSG_NODE_BYE, &m);
    }
    end(a);
}

void tug_agent_inventory(struct tug_agent *a, const Tugpb__Inventory *has)
{
    Tugpb__Inventory inv = *has;
    tug_agent_visits_declare(a, &inv);
    if (tug_agent_same(&inv.base, &a->inventory->base))
        return;
    begin(a);
    tug_proto_drop(a->inventory);
    a->inventory = (Tugpb__Inventory *) tug_proto_copy(&inv.base);
    if (a->hello_sent) {
        Tugpb__NodeLooked m = TUGPB__NODE_LOOKED__INIT;
        m.inventory = a->inventory;
        tug_agent_send(a, a->controller, TUG_MSG_NODE_LOOKED, &m);
    }
    end(a);
}

/* Every order names its controller's epoch. The highest one is kept before anything that it brought
 * about leaves. */
static bool epoch_holds(struct tug_agent *a, uint64_t epoch, const char *what)
{
    if (epoch < a->max_epoch) {
        a->counts.stale_orders++;
        tug_agent_log(a, TUG_LOG_WARN, "%s of epoch %llu ignored: epoch %llu has been seen", what,
                      (unsigned long long) epoch, (unsigned long long) a->max_epoch);
        return false;
    }
    if (epoch > a->max_epoch) {
        a->max_epoch = epoch;
        a->commit = 0;
        tug_agent_keep_self(a);
    }
    return true;
}

/* The controller's state has come so far: one that has not is another, should it ever ask for this node. */
static void hear_of(struct tug_agent *a, uint64_t commit, bool by_order)
{
    if (commit <= a->commit)
        return;
    a->commit = commit;
    if (by_order || a->now_ms >= a->commit_kept_ms + COMMIT_KEPT_MS)
        tug_agent_keep_commit(a);
}

static void h_node_welcome(struct tug_agent *a, const Tugpb__NodeWelcome *m)
{
    if (!epoch_holds(a, m->epoch, "welcome")) {
        char text[160];
        Tugpb__NodeBye bye = TUGPB__NODE_BYE__INIT;
        snprintf(text, sizeof text, "this node has obeyed epoch %llu; yours is %llu",
                 (unsigned long long) a->max_epoch, (unsigned long long) m->epoch);
        bye.reason = text;
        tug_agent_send(a, a->controller, TUG_MSG_NODE_BYE, &bye);
        tug_agent_send(a, a->controller, 0, NULL);
        hang_up(a);
        return;
    }
    hear_of(a, m->commit, true);
    a->welcomed = true;
    a->takes_health = m->takes_health;
    tug_agent_check_welcomed(a);
    a->heartbeat_ms = m->heartbeat_ms ? m->heartbeat_ms : HEARTBEAT_MS;
    for (size_t i = 0; i < m->n_unknown; i++) {
        struct agent_key key;
        if (!tug_agent_key_of(m->unknown[i], &key))
            continue;
        struct agent_step *s = tug_agent_find(a, key);
        if (key.step == TUG_VISIT_STEP)
            tug_agent_visit_forget(a, key);
        else if (s)
            tug_agent_forget(a, s);
    }
    tug_agent_visits_welcomed(a);
    for (size_t i = 0; i < a->steps.len; i++) {
        struct agent_step *s = a->steps.at[i];
        if (s->unsaid || s->cause || s->stuck || s->wired_ms || s->hang || s->phase == TUGPB__STEP_PHASE__STEP_DONE)
            tug_agent_report(a, s);
    }
    ask_for_lease(a);
}

/* The lease runs from when it was asked for: whatever the answer took is lost to the node, never to
 * the controller. */
static void h_lease_grant(struct tug_agent *a, const Tugpb__LeaseGrant *m)
{
    if (!epoch_holds(a, m->epoch, "lease"))
        return;
    hear_of(a, m->commit, false);
    for (size_t i = 0; i < sizeof a->asked / sizeof *a->asked; i++) {
        if (!m->nonce || a->asked[i].nonce != m->nonce)
            continue;
        int64_t until_ms = m->lease_s ? a->asked[i].sent_ms + 1000LL * m->lease_s : INT64_MAX;
        a->asked[i].nonce = 0;
        if (a->taken && a->asked[i].sent_ms < a->taken_ms)
            return; /* a newer one has been answered */
        a->taken = m->nonce;
        a->taken_ms = a->asked[i].sent_ms;
        if (until_ms == a->lease_until_ms)
            return;
        a->lease_until_ms = until_ms; /* be it sooner: leases may be shorter since a restart */
        Tugpb__LnLease lease = TUGPB__LN_LEASE__INIT;
        lease.until_ms = until_ms;
        tug_agent_send(a, TUG_PEER_LAUNCHER, TUG_MSG_LN_LEASE, &lease);
    }
    for (size_t i = 0; i < a->steps.len && a->lease_until_ms > a->now_ms; i++)
        if (a->steps.at[i]->waits_lease && !a->steps.at[i]->waits_check)
            tug_agent_give(a, a->steps.at[i], a->steps.at[i]->order);
}

static void h_step_signal(struct tug_agent *a, const Tugpb__StepSignal *m)
{
    struct agent_key key;
    struct agent_step *s = tug_agent_key_of(m->key, &key) ? tug_agent_find(a, key) : NULL;
    if (!s)
        return;
    if (m->serial && m->serial < s->stop_serial)
        return; /* overtaken by a later one */
    if (m->serial)
        s->stop_serial = m->serial;
    if (m->signal == SIGSTOP || m->signal == SIGCONT)
        s->stop_or_go = m->signal; /* said again to a step daemon that comes back */
    if (!s->peer)
        return;
    Tugpb__SdSignal sig = TUGPB__SD_SIGNAL__INIT;
    sig.signal = m->signal;
    sig.serial = m->serial;
    tug_agent_send(a, s->peer, TUG_MSG_SD_SIGNAL, &sig);
}

static void h_step_ack(struct tug_agent *a, const Tugpb__StepAck *m)
{
    struct agent_key key;
    if (!tug_agent_key_of(m->key, &key))
        return;
    struct agent_step *s = tug_agent_find(a, key);
    if (key.step == TUG_VISIT_STEP)
        tug_agent_visit_acked(a, key);
    else if (s && s->phase == TUGPB__STEP_PHASE__STEP_DONE)
        tug_agent_remove(a, s);
}

static void h_node_refused(struct tug_agent *a, const Tugpb__NodeRefused *m)
{
    tug_agent_log(a, TUG_LOG_ERROR, "the controller refuses this node: %s", m->text);
    if (m->final) {
        free(a->refused);
        a->refused = tug_xstrdup(m->text);
    }
    tug_agent_send(a, a->controller, 0, NULL);
    hang_up(a);
}

static void h_step_start(struct tug_agent *a, const Tugpb__StepStart *m)
{
    struct agent_key key;
    if (tug_agent_key_of(m->key, &key))
        tug_agent_open(a, key, m);
}

static void h_step_kill(struct tug_agent *a, const Tugpb__StepKill *m)
{
    struct agent_key key;
    if (tug_agent_key_of(m->key, &key))
        tug_agent_kill(a, key, m->grace_s, m->why);
}

/* Nobody repeats an order on a connection that stands: one that comes before the welcome is not
 * left out, the connection is. */
static bool is_welcomed(struct tug_agent *a, const char *what)
{
    if (a->welcomed)
        return true;
    tug_agent_log(a, TUG_LOG_WARN, "%s before the welcome: connecting anew", what);
    tug_agent_send(a, a->controller, 0, NULL);
    hang_up(a);
    return false;
}

#define ORDER(type, what, call)                                                                    \
    do {                                                                                           \
        const Tugpb__##type *order = (const Tugpb__##type *) m;                                    \
        if (is_welcomed(a, what) && epoch_holds(a, order->epoch, what)) {                          \
            hear_of(a, order->commit, true);                                                       \
            call(a, order);                                                                        \
        }                                                                                          \
    } while (0)

static void from_controller(struct tug_agent *a, enum tug_msg number, const ProtobufCMessage *m)
{
    a->heard_ms = a->now_ms;
    switch (number) {
    case TUG_MSG_NODE_WELCOME:
        if (a->hello_sent)
            h_node_welcome(a, (const Tugpb__NodeWelcome *) m);
        break;
    case TUG_MSG_NODE_REFUSED:
        h_node_refused(a, (const Tugpb__NodeRefused *) m);
        break;
    case TUG_MSG_LEASE_GRANT:
        h_lease_grant(a, (const Tugpb__LeaseGrant *) m);
        break;
    case TUG_MSG_STEP_LAUNCH:
        ORDER(StepLaunch, "launch", tug_agent_launch);
        break;
    case TUG_MSG_STEP_START:
        ORDER(StepStart, "start", h_step_start);
        break;
    case TUG_MSG_STEP_KILL:
        ORDER(StepKill, "kill", h_step_kill);
        break;
    case TUG_MSG_STEP_VISIT:
        ORDER(StepVisit, "visit", tug_agent_visit);
        break;
    case TUG_MSG_STEP_SIGNAL:
        ORDER(StepSignal, "signal", h_step_signal);
        break;
    case TUG_MSG_STEP_ACK:
        ORDER(StepAck, "acknowledgement", h_step_ack);
        break;
    default:
        break;
    }
}

/* ---- step daemons, and everybody */

static struct agent_peer *find_peer(struct tug_agent *a, tug_peer_id id)
{
    for (size_t i = 0; i < a->peers.len; i++)
        if (a->peers.at[i]->id == id)
            return a->peers.at[i];
    return NULL;
}

static void remove_peer(struct tug_agent *a, struct agent_peer *p)
{
    for (size_t i = 0; i < a->steps.len; i++)
        if (a->steps.at[i]->peer == p->id)
            a->steps.at[i]->peer = 0;
    for (size_t i = 0; i < a->peers.len; i++)
        if (a->peers.at[i] == p) {
            tug_vec_remove(&a->peers, i);
            break;
        }
    free_peer(p);
}

void tug_agent_close_peer(struct tug_agent *a, struct agent_peer *p)
{
    tug_agent_send(a, p->id, 0, NULL);
    remove_peer(a, p);
}

void tug_agent_stepd_up(struct tug_agent *a, tug_peer_id peer, uint32_t pid, uint32_t uid)
{
    begin(a);
    if (a->peers.len >= AGENT_PEERS_MAX) {
        a->counts.strangers++;
        tug_agent_send(a, peer, 0, NULL);
    } else {
        struct agent_peer *p = tug_new(struct agent_peer);
        p->id = peer;
        p->pid = pid;
        p->uid = uid;
        p->hello_by_ms = a->now_ms + AGENT_HELLO_BY_MS;
        tug_vec_push(&a->peers, p);
    }
    end(a);
}

void tug_agent_stepd_down(struct tug_agent *a, tug_peer_id peer)
{
    begin(a);
    struct agent_peer *p = find_peer(a, peer);
    if (p)
        remove_peer(a, p);
    for (size_t i = a->steps.len; i-- > 0;) {
        struct agent_step *s = a->steps.at[i];
        if (s->gone && !s->peer && s->phase != TUGPB__STEP_PHASE__STEP_DONE)
            tug_agent_finish(a, s);
    }
    end(a);
}

void tug_agent_message(struct tug_agent *a, tug_peer_id peer, enum tug_msg number, uint32_t rid,
                       const ProtobufCMessage *m)
{
    (void) rid; /* nothing here is a question that wants its answer marked */
    struct agent_peer *p;
    begin(a);
    if (peer == TUG_PEER_LAUNCHER) {
        tug_agent_from_launcher(a, number, m);
        if (a->controller && a->listed && !a->hello_sent)
            say_hello(a);
    } else if (peer == TUG_PEER_CHECKER && number == TUG_MSG_HC_DONE) {
        tug_agent_check_done(a, (const Tugpb__HcDone *) m);
    } else if (peer == TUG_PEER_PROGRAMS && number == TUG_MSG_VS_DONE) {
        tug_agent_visit_done(a, (const Tugpb__VsDone *) m);
    } else if (a->controller && peer == a->controller) {
        from_controller(a, number, m);
    } else if ((p = find_peer(a, peer)) != NULL) {
        tug_agent_from_stepd(a, p, number, m);
    }
    end(a);
}

/* ---- reading */

const char *tug_agent_refused(const struct tug_agent *a)
{
    return a->refused;
}

void tug_agent_count(const struct tug_agent *a, struct tug_agent_counts *out)
{
    *out = a->counts;
}

uint64_t tug_agent_epoch(const struct tug_agent *a)
{
    return a->max_epoch;
}

int64_t tug_agent_lease_until(const struct tug_agent *a)
{
    return a->lease_until_ms;
}

size_t tug_agent_steps(const struct tug_agent *a)
{
    return a->steps.len;
}

size_t tug_agent_visits(const struct tug_agent *a)
{
    return a->visits.len;
}

void tug_agent_step(const struct tug_agent *a, size_t i, struct tug_agent_step *out)
{
    tug_assert(i < a->steps.len);
    const struct agent_step *s = a->steps.at[i];
    *out = (struct tug_agent_step){.job = s->key.job,
                                   .attempt = s->key.attempt,
                                   .step = s->key.step,
                                   .phase = s->phase,
                                   .pid = s->pid,
                                   .uid = s->uid,
                                   .requeueable = s->requeueable,
                                   .connected = s->peer != 0,
                                   .ending = s->ending || s->hard || s->forget};
}
