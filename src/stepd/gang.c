/* gang.c - how failures and endings travel: rank -> node -> head -> all nodes
 *
 * One rank's failure ends the gang. Where it is seen, ranks end at once and the head is told; the
 * head tells all nodes. Which failure was the first is decided meanwhile: ranks fail for the death of
 * others within a moment, and their word may be faster. All of them report that one. A rank that we
 * ended is no failure, but for one that was dying before we told it to. Layer: stepd.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "stepd/life_impl.h"
#include "stepd/probe.h"

#define JOIN_ENDED_MS  2000u
#define GANG_GRACE_MS  1500u /* so that all ranks are gone within 2 s of the first failure */
#define CANCEL_GRACE_S 5u    /* when nobody said */
#define SETTLE_MS      500u  /* who failed first may be heard of later than who failed for that */
#define WIREUP_DEFAULT_S 60u

/* ---- words to the node daemon ---- */

static Tugpb__StepPhase wire_phase(const struct tug_life *l)
{
    switch (l->phase) {
    case PREPARE:
        return TUGPB__STEP_PHASE__STEP_STARTING;
    case BARRIER:
        return TUGPB__STEP_PHASE__STEP_READY;
    case LAUNCH:
    case RUN:
        return l->ended ? TUGPB__STEP_PHASE__STEP_ENDING : TUGPB__STEP_PHASE__STEP_RUNNING;
    case REPORT:
    case LEAVE:
        return TUGPB__STEP_PHASE__STEP_DONE;
    default:
        return TUGPB__STEP_PHASE__STEP_ENDING;
    }
}

void tug_life_send_ready(struct tug_life *l)
{
    Tugpb__SdReady m = TUGPB__SD_READY__INIT;
    Tugpb__StepReady ready = TUGPB__STEP_READY__INIT;

    ready.key = l->p->pb->key;
    ready.star_addr = (char *) tug_star_endpoint(l->star);
    ready.master_port = l->port && l->p->me == 0 ? tug_port_number(l->port) : 0;
    ready.stepd_pid = (uint32_t) getpid();
    m.ready = &ready;
    l->ready_said = true;
    tug_link_send(l->link, TUG_MSG_SD_READY, &m.base);
}

static void send_wired(struct tug_life *l)
{
    Tugpb__SdWired m = TUGPB__SD_WIRED__INIT;

    m.at_ms = l->wired_wall_ms;
    tug_link_send(l->link, TUG_MSG_SD_WIRED, &m.base);
}

static void send_failure(struct tug_life *l)
{
    Tugpb__SdFailure m = TUGPB__SD_FAILURE__INIT;

    m.cause = tug_cause_pb(&l->cause);
    l->word_by_ms = 0;
    l->word_said = true;
    tug_link_send(l->link, TUG_MSG_SD_FAILURE, &m.base);
}

void tug_life_send_word(struct tug_life *l)
{
    if (l->word_by_ms)
        send_failure(l);
}

void tug_life_send_result(struct tug_life *l)
{
    Tugpb__SdResult m = TUGPB__SD_RESULT__INIT;
    Tugpb__StepResult r = TUGPB__STEP_RESULT__INIT;
    struct rusage u;

    r.key = l->p->pb->key;
    r.n_exits = l->started_wall_ms ? l->p->n_local : 0;
    r.exits = l->local_exits;
    r.cause = tug_cause_pb(&l->cause);
    r.started_ms = l->started_wall_ms;
    r.ended_ms = l->ended_wall_ms;
    r.wired_ms = l->wired_wall_ms;
    if (getrusage(RUSAGE_CHILDREN, &u) == 0) {
        r.cpu_us = (uint64_t) (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
                   (uint64_t) (u.ru_utime.tv_usec + u.ru_stime.tv_usec);
        r.max_rss_bytes = (uint64_t) u.ru_maxrss * 1024;
    }
    m.result = &r;
    l->result_sent_ms = tug_now_ms();
    tug_link_send(l->link, TUG_MSG_SD_RESULT, &m.base);
}

static void on_link_up(void *arg)
{
    struct tug_life *l = arg;
    Tugpb__SdHello m = TUGPB__SD_HELLO__INIT;

    m.key = l->p->pb->key;
    m.phase = wire_phase(l);
    tug_link_send(l->link, TUG_MSG_SD_HELLO, &m.base);
    if (l->ready_said)
        tug_life_send_ready(l);
    if (l->wired_wall_ms)
        send_wired(l);
    if (l->word_said)
        send_failure(l);
    tug_guard_say_again(l);
    if (l->phase == REPORT)
        tug_life_send_result(l);
}

/* ---- ending ---- */

void tug_life_hurry(struct tug_life *l)
{
    uint64_t by_ms = tug_now_ms() + JOIN_ENDED_MS;

    if (l->join_by_ms > by_ms)
        l->join_by_ms = by_ms;
    tug_star_hurry(l->star, by_ms);
}

void tug_life_end_ranks(struct tug_life *l, uint64_t grace_ms)
{
    uint64_t at = tug_now_ms() + grace_ms;

    if (!l->ended && l->ranks) {
        tug_ranks_told(l->ranks);
        l->told_us = tug_now_us();
    }
    if (!l->ended && l->ranks && grace_ms) {
        tug_ranks_signal(l->ranks, SIGTERM);
        tug_ranks_signal(l->ranks, SIGCONT); /* a stopped rank would not hear it */
        if (l->stopped)
            tug_ranks_signal_all(SIGCONT);
    }
    if (!l->ended && l->star && l->started)
        tug_life_hurry(l);
    l->ended = true;
    if (!l->killed_ms && (!l->kill_at_ms || at < l->kill_at_ms))
        l->kill_at_ms = at;
}

static unsigned cancel_grace_s(const struct tug_life *l)
{
    if (l->kill_grace_s >= 0)
        return (unsigned) l->kill_grace_s;
    return l->p->pb->kill_grace_s ? l->p->pb->kill_grace_s : CANCEL_GRACE_S;
}

static uint64_t grace_of(const struct tug_life *l, const char *kind, unsigned cancel_s)
{
    uint64_t own = l->p->pb->kill_grace_s * 1000ull;

    if (strcmp(kind, "cancel") == 0)
        return cancel_s * 1000ull;
    return own && own < GANG_GRACE_MS ? own : GANG_GRACE_MS;
}

static bool is_link(const char *kind)
{
    return strcmp(kind, "link") == 0;
}

static bool is_rank(const char *kind)
{
    return strcmp(kind, "rank") == 0;
}

static void name(struct tug_life *l, const Tugpb__Cause *c, uint64_t at_us)
{
    tug_cause_copy(&l->cause, c);
    l->cause_us = at_us;
}

/* The head hears of a failure, its own or another node's. */
static void head_hears(struct tug_life *l, const Tugpb__Cause *c, uint64_t at_us)
{
    Tugpb__StarEnd m = TUGPB__STAR_END__INIT;

    if (!tug_cause_is_before(c, at_us, &l->cause, l->cause_us))
        return;
    bool is_first = !l->cause.set;
    name(l, c, at_us);
    if (!is_rank(c->kind) || !l->started || l->p->n_stepds == 1)
        send_failure(l);
    else if (is_first)
        l->word_by_ms = tug_now_ms() + SETTLE_MS;
    if (!is_first)
        return;
    if (is_rank(c->kind) && l->started && l->mesh)
        tug_mesh_ask(l->mesh); /* it may have failed for another one that it does not reach */
    m.cause = tug_cause_pb(&l->cause);
    m.grace_s = cancel_grace_s(l);
    if (l->star && l->started)
        tug_star_tell_all(l->star, TUG_MSG_STAR_END, &m.base);
    tug_life_end_ranks(l, grace_of(l, l->cause.kind, cancel_grace_s(l)));
}

static void tell_head(struct tug_life *l, struct tug_cause *c, uint64_t at_us)
{
    Tugpb__StarFailure m = TUGPB__STAR_FAILURE__INIT;

    m.cause = tug_cause_pb(c);
    m.at_us = tug_star_head_us(l->star, at_us);
    m.own_us = at_us;
    tug_star_send(l->star, 0, TUG_MSG_STAR_FAILURE, &m.base);
}

/* What this node names is what it knows of until the head says which was the first. */
static void fail_at(struct tug_life *l, struct tug_cause *c, uint64_t at_us)
{
    if (l->phase >= REPORT)
        return;
    if (l->p->me == 0 || !l->started) {
        head_hears(l, &c->pb, at_us);
        return;
    }
    if (tug_cause_is_before(&c->pb, at_us, &l->cause, l->cause_us)) {
        name(l, &c->pb, at_us);
        if (is_link(c->kind))
            send_failure(l); /* the head cannot be told */
    }
    if (!l->ended || is_rank(c->kind))
        tell_head(l, c, at_us);
    if (!l->ended)
        tug_life_end_ranks(l, grace_of(l, c->kind, cancel_grace_s(l)));
}

void tug_life_fail(struct tug_life *l, struct tug_cause *c)
{
    fail_at(l, c, tug_now_us());
}

void tug_life_rank_ended(struct tug_life *l, const struct tug_rank_end *end, const char *sentence)
{
    unsigned rank = tug_payload_rank(l->p, end->local);
    Tugpb__ExitInfo *e = &l->exits[rank];
    char who[320];
    struct tug_cause c;

    e->exit_code = end->exit_code;
    e->signal = end->signal;
    e->core_dumped = end->core_dumped;
    if (!end->by_itself || (end->exit_code == 0 && end->signal == 0))
        return;
    if (tug_probe_verdict(l->p, rank, e, &c)) {
        tug_life_fail(l, &c);
        return;
    }
    if (l->p->batch)
        snprintf(who, sizeof who, "the batch script on node %s", l->p->node);
    else
        snprintf(who, sizeof who, "rank %u on node %s", rank, l->p->node);
    if (sentence)
        tug_cause_set(&c, "rank", l->p->node, rank, e, "%s", sentence);
    else if (end->signal)
        tug_cause_set(&c, "rank", l->p->node, rank, e, "%s was killed by signal %d (%s)%s", who,
                      end->signal, strsignal(end->signal), end->core_dumped ? ", core dumped" : "");
    else
        tug_cause_set(&c, "rank", l->p->node, rank, e, "%s exited with code %d", who,
                      end->exit_code);
    fail_at(l, &c, l->ended ? l->told_us : tug_now_us()); /* then it was dying already */
}

void tug_life_pair_lost(void *life, unsigned a, unsigned b)
{
    struct tug_life *l = life;
    const char *node = l->p->pb->slices[a]->node, *peer = l->p->pb->slices[b]->node;
    struct tug_cause c;

    tug_cause_set_link(&c, node, peer, "nodes %s and %s lost each other: %s had no answer from %s's machine, and both are there", node,
                       peer, node, peer);
    tug_life_fail(l, &c);
}

/* ---- deadlines ---- */

static void wireup_too_late(struct tug_life *l)
{
    struct tug_buf b = {0};
    unsigned first = l->p->n_local,
             s = l->p->pb->wireup_timeout_s ? l->p->pb->wireup_timeout_s : WIREUP_DEFAULT_S;
    struct tug_cause c;

    for (unsigned i = 0; i < l->p->n_local; i++)
        if (!l->connected[i]) {
            first = first < i ? first : i;
            tug_buf_addf(&b, "%s%u", b.len ? ", " : "", tug_payload_rank(l->p, i));
        }
    tug_cause_set(&c, l->p->pb->preflight ? "preflight" : "wireup", l->p->node, tug_payload_rank(l->p, first), NULL,
                  "rank %.400s on node %s did not call MPI_Init (PMIx) within %u s of the node's "
                  "first rank; look at what %s doing, or "
                  "raise the wire-up time limit",
                  tug_buf_str(&b), l->p->node, s,
                  strchr(tug_buf_str(&b), ',') ? "they are" : "it is");
    tug_buf_clear(&b);
    tug_life_fail(l, &c);
}

/* "ranks 2-3 on node n01, rank 4 on node n02": of nodes where no rank has connected, and may still. */
static void name_unwired(const struct tug_life *l, struct tug_buf *b, unsigned *first)
{
    for (unsigned i = 0; i < l->p->n_stepds; i++) {
        const Tugpb__Slice *s = l->p->pb->slices[i];
        if (l->nodes[i].begun || l->nodes[i].done || !s->ntasks)
            continue;
        if (!b->len)
            *first = i;
        tug_buf_adds(b, b->len ? ", " : "");
        if (s->ntasks > 1)
            tug_buf_addf(b, "ranks %u-%u on node %s", s->first_rank, s->first_rank + s->ntasks - 1, s->node);
        else
            tug_buf_addf(b, "rank %u on node %s", s->first_rank, s->node);
    }
}

/* A node's own deadline begins with its first rank, so it says nothing of a node where none comes. */
static void gang_too_late(struct tug_life *l)
{
    struct tug_buf b = {0};
    unsigned first = 0, s = l->p->pb->wireup_timeout_s ? l->p->pb->wireup_timeout_s : WIREUP_DEFAULT_S;
    struct tug_cause c;

    name_unwired(l, &b, &first);
    if (!b.len)
        return; /* those that had no part in it have ended */
    tug_cause_set(&c, "wireup", l->p->pb->slices[first]->node, l->p->pb->slices[first]->first_rank, NULL,
                  "%.400s: none of them called MPI_Init (PMIx) within %u s of the gang's first rank; look at what they "
                  "are doing, or raise the wire-up time limit",
                  tug_buf_str(&b), s);
    tug_buf_clear(&b);
    tug_life_fail(l, &c);
}

static void join_too_late(struct tug_life *l)
{
    char missing[512];
    struct tug_cause c;

    tug_star_missing(l->star, missing, sizeof missing);
    tug_cause_set(&c, "wireup", l->p->node, 0, NULL,
                  "node %s did not reach the gang's head %s at %s in time; check the network "
                  "between them and that the address is right",
                  missing, l->p->node, tug_star_endpoint(l->star));
    tug_star_give_up(l->star);
    tug_life_fail(l, &c);
}

void tug_life_check_deadlines(struct tug_life *l, uint64_t now)
{
    if (l->word_by_ms && now >= l->word_by_ms)
        send_failure(l);
    tug_life_check_stopped(l);
    if (l->kill_at_ms && now >= l->kill_at_ms) {
        l->kill_at_ms = 0;
        l->killed_ms = now;
        if (l->ranks)
            tug_ranks_signal(l->ranks, SIGKILL);
    }
    if (l->wire_by_ms && now >= l->wire_by_ms) {
        l->wire_by_ms = 0;
        wireup_too_late(l);
    }
    if (l->gang_wire_by_ms && now >= l->gang_wire_by_ms) {
        l->gang_wire_by_ms = 0;
        gang_too_late(l);
    }
    if (l->join_by_ms && tug_star_complete(l->star))
        l->join_by_ms = 0;
    if (l->join_by_ms && now >= l->join_by_ms) {
        l->join_by_ms = 0;
        join_too_late(l);
    }
}

/* ---- from the node daemon ---- */

static void h_start(struct tug_life *l, const Tugpb__SdStart *m)
{
    const char *master = m->master_addr[0]       ? m->master_addr
                         : l->p->pb->n_addresses ? l->p->pb->addresses[0]
                                                 : "127.0.0.1";
    unsigned s = l->p->pb->wireup_timeout_s ? l->p->pb->wireup_timeout_s : WIREUP_DEFAULT_S;

    if (l->phase != BARRIER || l->started || l->ended)
        return; /* said again after a reconnect */
    l->started = true;
    l->env = tug_rank_env_new(l->p, master,
                              m->master_port                ? m->master_port
                              : l->port && l->p->me == 0 ? tug_port_number(l->port)
                                                            : 0,
                              l->port ? tug_port_ras(l->port) : 0);
    if (l->p->me != 0)
        tug_star_dial(l->star, m->star_addr, tug_now_ms() + s * 1000ull);
}

static void h_kill(struct tug_life *l, const Tugpb__SdKill *m)
{
    struct tug_cause c;

    l->kill_grace_s = m->grace_s > 86400 ? 86400 : (int) m->grace_s;
    tug_cause_set(&c, "cancel", l->p->node, 0, NULL, "%s", m->why[0] ? m->why : "cancelled");
    tug_life_fail(l, &c);
    tug_life_end_ranks(l, cancel_grace_s(l) *
                              1000ull); /* when they end already: sooner, if this is sooner */
}

/* Who is suspended does not wire up in the meantime: that deadline waits as well. */
static void h_signal(struct tug_life *l, int signo, uint32_t serial)
{
    if (signo == SIGSTOP || signo == SIGCONT)
        l->stop_serial = signo == SIGSTOP ? serial : 0;
    if (signo == SIGSTOP && !l->stopped) {
        l->stopped = true;
        l->wire_left_ms = l->wire_by_ms > tug_now_ms() ? l->wire_by_ms - tug_now_ms() : 0;
        l->wire_by_ms = 0;
        l->gang_wire_left_ms = l->gang_wire_by_ms > tug_now_ms() ? l->gang_wire_by_ms - tug_now_ms() : 0;
        l->gang_wire_by_ms = 0;
    } else if (signo == SIGCONT && l->stopped) {
        l->stopped = false;
        l->gang_wire_by_ms = l->gang_wire_left_ms ? tug_now_ms() + l->gang_wire_left_ms : 0;
        l->wire_by_ms = l->wire_left_ms ? tug_now_ms() + l->wire_left_ms : 0;
        tug_guard_resumed(l);
    }
    if (!l->ranks)
        return; /* who comes later is stopped then (life.c) */
    tug_ranks_signal(l->ranks, signo);
    if (signo == SIGSTOP || signo == SIGCONT)
        tug_ranks_signal_all(signo);
    tug_life_check_stopped(l);
}

/* Before the ranks are there nothing is said: they may be started any moment. */
void tug_life_check_stopped(struct tug_life *l)
{
    Tugpb__SdStopped m = TUGPB__SD_STOPPED__INIT;

    if (!l->stop_serial || l->phase < RUN)
        return;
    if (!tug_ranks_all_stopped()) {
        if (!tug_ranks_free_vforks())
            tug_ranks_signal_all(SIGSTOP); /* somebody was forked, or woken by others, meanwhile */
        return;
    }
    m.serial = l->stop_serial;
    l->stop_serial = 0;
    tug_link_send(l->link, TUG_MSG_SD_STOPPED, &m.base);
}

static void on_link_message(void *arg, enum tug_msg number, const ProtobufCMessage *m)
{
    struct tug_life *l = arg;

    switch (number) {
    case TUG_MSG_SD_START:
        h_start(l, (const Tugpb__SdStart *) m);
        break;
    case TUG_MSG_SD_KILL:
        h_kill(l, (const Tugpb__SdKill *) m);
        break;
    case TUG_MSG_SD_SIGNAL:
        h_signal(l, ((const Tugpb__SdSignal *) m)->signal, ((const Tugpb__SdSignal *) m)->serial);
        break;
    case TUG_MSG_SD_RESULT_ACK:
        l->acked = l->acked || l->phase == REPORT;
        break;
    default:
        break;
    }
}

/* The node was taken apart (`tug sandbox stop`): there is nobody to report to, ever. PDEATHSIG ends
 * the ranks. */
static void on_dismantled(void *arg)
{
    struct tug_life *l = arg;

    if (l->ranks) {
        tug_ranks_signal(l->ranks, SIGKILL);
        tug_ranks_sweep(l->ranks);
    }
    tug_warn("job %llu: the node daemon's directory is gone; ending",
             (unsigned long long) l->p->pb->key->job);
    _exit(1);
}

const struct tug_link_ops tug_life_link_ops = {
    .on_up = on_link_up, .on_message = on_link_message, .on_dismantled = on_dismantled};

/* ---- from the star ---- */

static void h_output(struct tug_life *l, const Tugpb__StarOutput *m)
{
    if (l->client)
        tug_client_output(l->client, m->rank, m->stream, m->data.data, m->data.len);
    else if (l->output)
        tug_output_take(l->output, m->rank, m->stream, m->data.data, m->data.len);
}

static void h_failure(struct tug_life *l, unsigned from, const Tugpb__StarFailure *m)
{
    uint64_t now_us = tug_now_us(), at_us = m->at_us ? m->at_us : tug_star_our_us(l->star, from, m->own_us);

    head_hears(l, m->cause, at_us && at_us < now_us ? at_us : now_us);
}

static void h_end(struct tug_life *l, const Tugpb__StarEnd *m)
{
    if (l->p->me == 0 || !m->cause)
        return;
    name(l, m->cause, tug_now_us());
    tug_life_end_ranks(l, grace_of(l, m->cause->kind, m->grace_s));
}

static void h_node_done(struct tug_life *l, unsigned from, const Tugpb__StarNodeDone *m)
{
    const Tugpb__Slice *s = l->p->pb->slices[from];
    unsigned first = l->p->batch ? 0 : s->first_rank, most = l->p->batch ? (from == 0) : s->ntasks;

    l->nodes[from].done = true;
    if (from == l->p->me)
        return;
    for (unsigned i = 0; i < most && i < m->n_exits; i++) {
        Tugpb__ExitInfo *e = &l->exits[first + i];
        e->exit_code = m->exits[i]->exit_code;
        e->signal = m->exits[i]->signal;
        e->core_dumped = m->exits[i]->core_dumped;
        e->oom = m->exits[i]->oom;
    }
}

static void h_release(struct tug_life *l, const Tugpb__StarRelease *m)
{
    if (m->cause)
        tug_cause_copy(&l->cause, m->cause);
    l->released = true;
    tug_star_finish(l->star);
}

/* From a node's first rank on its own deadline runs. */
static void h_begun(struct tug_life *l, unsigned from)
{
    bool all = true, none = true;

    for (unsigned i = 0; i < l->p->n_stepds; i++)
        none &= !l->nodes[i].begun;
    l->nodes[from].begun = true;
    if (none)
        l->gang_wire_by_ms =
            tug_now_ms() +
            1000ull * (l->p->pb->wireup_timeout_s ? l->p->pb->wireup_timeout_s : WIREUP_DEFAULT_S);
    for (unsigned i = 0; i < l->p->n_stepds; i++)
        all &= l->nodes[i].begun || !l->p->pb->slices[i]->ntasks;
    if (all)
        l->gang_wire_by_ms = 0;
}

static void h_wired(struct tug_life *l, unsigned from)
{
    if (l->nodes[from].wired)
        return;
    l->nodes[from].wired = true;
    l->n_nodes_wired++;
    if (l->client)
        tug_client_state(l->client, "wired", l->n_nodes_wired, l->p->n_stepds);
}

static void on_star_message(void *arg, unsigned from, enum tug_msg number,
                            const ProtobufCMessage *m)
{
    struct tug_life *l = arg;
    bool head = l->p->me == 0;

    switch (number) {
    case TUG_MSG_STAR_OUTPUT:
        if (head)
            h_output(l, (const Tugpb__StarOutput *) m);
        break;
    case TUG_MSG_STAR_FAILURE:
        if (head && ((const Tugpb__StarFailure *) m)->cause)
            h_failure(l, from, (const Tugpb__StarFailure *) m);
        break;
    case TUG_MSG_STAR_NODE_DONE:
        if (head)
            h_node_done(l, from, (const Tugpb__StarNodeDone *) m);
        break;
    case TUG_MSG_STAR_WIRED:
        if (head && ((const Tugpb__StarWired *) m)->begun)
            h_begun(l, from);
        else if (head)
            h_wired(l, from);
        break;
    case TUG_MSG_STAR_WATCH:
        if (head)
            tug_guard_hears(l, from, (const Tugpb__StarWatch *) m);
        break;
    case TUG_MSG_STAR_DUMP:
        if (!head)
            tug_guard_dump(l, (const Tugpb__StarDump *) m);
        break;
    case TUG_MSG_STAR_DUMPED:
        if (head)
            tug_guard_dumped(l, from, (const Tugpb__StarDumped *) m);
        break;
    case TUG_MSG_STAR_MESH:
        if (!head && l->mesh)
            tug_mesh_look(l->mesh, (const Tugpb__StarMesh *) m);
        break;
    case TUG_MSG_STAR_MESH_SEEN:
        if (head && l->mesh)
            tug_mesh_hears(l->mesh, from, (const Tugpb__StarMeshSeen *) m);
        break;
    case TUG_MSG_STAR_END:
        h_end(l, (const Tugpb__StarEnd *) m);
        break;
    case TUG_MSG_STAR_RELEASE:
        if (!head)
            h_release(l, (const Tugpb__StarRelease *) m);
        break;
    case TUG_MSG_STAR_SIGNAL:
        if (l->ranks)
            tug_ranks_signal(l->ranks, ((const Tugpb__StarSignal *) m)->signal);
        break;
    default:
        if (l->exchange)
            tug_exchange_message(l->exchange, from, number, m);
        break;
    }
}

static void on_joined(void *arg, unsigned node)
{
    (void) arg;
    (void) node; /* what was said to it meanwhile is on its way already */
}

static void on_lost(void *arg, unsigned node, const char *why, bool unreachable)
{
    struct tug_life *l = arg;
    const char *name = l->p->pb->slices[node]->node;
    struct tug_cause c;

    if (l->p->me == 0 && l->nodes[node].done)
        return;
    if (unreachable)
        tug_cause_set_link(&c, l->p->node, name, "nodes %s and %s lost each other: %s", l->p->node, name, why);
    else if (l->p->me == 0)
        tug_cause_set(&c, "node", name, l->p->pb->slices[node]->first_rank, NULL,
                      "node %s was lost: %s", name, why);
    else
        tug_cause_set(&c, "node", name, 0, NULL, "node %s lost the gang's head, node %s: %s",
                      l->p->node, name, why);
    tug_life_fail(l, &c);
    l->released = true;
}

const struct tug_star_ops tug_life_star_ops = {
    .on_message = on_star_message, .on_joined = on_joined, .on_lost = on_lost};

/* ---- from the terminal ---- */

static void on_client_input(void *arg, const void *data, size_t len, bool eof)
{
    struct tug_life *l = arg;

    if (!l->input)
        return;
    tug_input_put(l->input, data, len, eof);
    if (tug_input_full(l->input))
        tug_client_pause(l->client, true);
}

static void on_client_signal(void *arg, int signo)
{
    struct tug_life *l = arg;
    Tugpb__StarSignal m = TUGPB__STAR_SIGNAL__INIT;
    struct tug_cause c;

    if (l->phase < RUN &&
        (signo == SIGINT || signo == SIGTERM || signo == SIGQUIT || signo == SIGHUP)) {
        tug_cause_set(&c, "cancel", l->p->node, 0, NULL, "interrupted before it started");
        tug_life_fail(l, &c);
    } else if (l->phase <= GATHER && l->ranks) {
        m.signal = signo;
        tug_star_tell_all(l->star, TUG_MSG_STAR_SIGNAL, &m.base);
        tug_ranks_signal(l->ranks, signo);
    }
}

static void on_client_gone(void *arg, const char *why)
{
    struct tug_life *l = arg;
    struct tug_cause c;

    tug_cause_set(&c, "io", l->p->node, 0, NULL,
                  "the terminal of this interactive job is gone (%s)", why);
    tug_life_fail(l, &c);
}

const struct tug_client_ops tug_life_client_ops = {
    .on_input = on_client_input, .on_signal = on_client_signal, .on_gone = on_client_gone};

/* ---- from PMIx ---- */

static void on_pmix_up(void *arg, const struct tug_err *err)
{
    struct tug_life *l = arg;
    struct tug_cause c;

    if (!err->code) {
        l->pmix_up = true;
        return;
    }
    tug_cause_set(&c, "launch", l->p->node, 0, NULL,
                  "node %s: %s; use --launcher=torch or plain for a job that needs no PMIx",
                  l->p->node, err->msg);
    tug_life_fail(l, &c);
}

static void on_connected(void *arg, unsigned rank)
{
    struct tug_life *l = arg;
    Tugpb__StarWired m = TUGPB__STAR_WIRED__INIT;
    unsigned local = rank - l->p->first_rank;

    if (rank < l->p->first_rank || local >= l->p->n_local || l->connected[local])
        return; /* a second MPI program in the same rank */
    l->connected[local] = true;
    m.node_index = l->p->me;
    if (l->n_connected++ == 0) {
        l->wire_by_ms =
            tug_now_ms() +
            1000ull * (l->p->pb->wireup_timeout_s ? l->p->pb->wireup_timeout_s : WIREUP_DEFAULT_S);
        m.begun = 1;
        tug_star_send(l->star, 0, TUG_MSG_STAR_WIRED, &m.base);
        m.begun = 0;
    }
    if (l->n_connected < l->p->n_local)
        return;
    l->wire_by_ms = 0;
    l->wired_wall_ms = tug_wall_ms();
    send_wired(l);
    tug_star_send(l->star, 0, TUG_MSG_STAR_WIRED, &m.base);
}

static void on_abort(void *arg, unsigned rank, int status, const char *text)
{
    struct tug_life *l = arg;
    Tugpb__ExitInfo exit = TUGPB__EXIT_INFO__INIT;
    struct tug_cause c;

    exit.exit_code = status & 255 ? status & 255 : 1;
    tug_cause_set(&c, "rank", l->p->node, rank, &exit,
                  "rank %u on node %s called abort with code %d%s%s", rank, l->p->node, status,
                  text[0] ? ": " : "", text);
    if (!l->ended)
        tug_life_fail(l, &c);
}

const struct tug_exchange_ops tug_life_exchange_ops = {
    .on_up = on_pmix_up, .on_connected = on_connected, .on_abort = on_abort};
