/* part.c - step daemons and their ranks: one node's part of a step
 *
 * STARTING, READY (at the barrier), RUNNING, ENDED (no rank is left, the result is told until it is acknowledged), STUCK (all
 * of it was killed, and a process is there that does not end yet), DEAD (nothing is left). How long ranks run and how they exit is drawn from the seed, job, attempt, step and node. A rank
 * that fails, and a step daemon that is lost, end the ranks of the gang on the other nodes: the star tells them.
 * Layer: tests.
 */
#include "dst.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { WHY_TOLD, WHY_STAR_RANK, WHY_STAR_LOST, WHY_STAR_LINK };   /* why ranks die, in the event's arg; << 8: the node to blame, or that lost << 32 */

struct dst_part *dst_part(struct dst *w, uint64_t id)
{
    for (size_t i = w->parts.len; i-- > 0;)
        if (w->parts.at[i]->id == id)
            return w->parts.at[i];
    return NULL;
}

struct dst_part *dst_part_find(struct dst *w, unsigned node, const Tugpb__StepKey *key)
{
    for (size_t i = w->parts.len; i-- > 0;) {
        struct dst_part *p = w->parts.at[i];
        if (p->node == node && p->job == key->job && p->attempt == key->attempt && p->step == key->step)
            return p;
    }
    return NULL;
}

void dst_part_free(struct dst_part *p)
{
    if (p->cause)
        tugpb__cause__free_unpacked(p->cause, NULL);
    free(p);
}

/* Those of which everybody who wants to has heard. */
static void purge(struct dst *w)
{
    size_t kept = 0;

    for (size_t i = 0; i < w->parts.len; i++) {
        struct dst_part *p = w->parts.at[i];
        if (p->phase == DST_DEAD && p->told)
            dst_part_free(p);
        else
            w->parts.at[kept++] = p;
    }
    w->parts.len = kept;
}

/* ---- what its ranks will do */

static void draw_ranks(struct dst *w, struct dst_part *p)
{
    const struct dst_job *j = dst_truth_job(w, p->job);
    uint64_t key[] = {w->opts.seed, p->job, p->attempt, p->step};
    uint64_t h = 0x9e3779b97f4a7c15ULL;
    struct tug_rand r;
    int64_t run_ms;

    for (size_t i = 0; i < sizeof key / sizeof *key; i++)
        h = (h ^ key[i]) * 0xff51afd7ed558ccdULL, h ^= h >> 32;
    r = tug_rand_seed(h);
    run_ms = p->step ? dst_between(&r, 2000, 60000)
             : dst_chance(&r, 0.2) ? dst_between(&r, 0, 3000)
                                   : dst_about(&r, 120000);
    r = tug_rand_seed(h + p->node + 1);
    p->run_ms = run_ms + dst_between(&r, 0, 500);
    if (j && j->forever && !p->step && !j->stop)
        p->run_ms = INT64_MAX;
    if (dst_chance(&r, 0.08)) {
        p->code = (int) dst_between(&r, 1, 120);
        if (p->run_ms != INT64_MAX)
            p->run_ms = p->run_ms * dst_between(&r, 1, 100) / 100;
    }
    if (j && j->again.on[0] && !p->step && dst_chance(&r, 0.3)) { /* ends that it may be run again after */
        p->code = dst_chance(&r, 0.5) ? 75 : 42;
        p->signal = dst_chance(&r, 0.3) ? SIGBUS : 0;
        if (p->run_ms == INT64_MAX)
            p->run_ms = dst_about(&r, 300000);
    }
}

/* ---- to and from the node daemon */

static void set_key(Tugpb__StepKey *k, const struct dst_part *p)
{
    tugpb__step_key__init(k);
    k->job = p->job;
    k->attempt = p->attempt;
    k->step = p->step;
}

static struct dst_event *message(struct dst *w, struct dst_part *p, enum dst_what what, unsigned dir)
{
    struct dst_node *n = &w->nodes[p->node];
    struct dst_event *e = dst_event_new(w, what, p->node);
    int64_t at_ms = w->now_ms + (w->now_ms < n->slow_until_ms ? dst_between(&w->of_env, 5, 1500)
                                                              : dst_between(&w->of_env, 0, 2));

    p->last_ms[dir] = e->at_ms = at_ms > p->last_ms[dir] ? at_ms : p->last_ms[dir];
    e->id = p->id;
    e->arg = p->peer;
    e->life = n->life;
    dst_push(w, e);
    return e;
}

static void say(struct dst *w, struct dst_part *p, enum tug_msg number, const ProtobufCMessage *m)
{
    if (p->peer)
        dst_event_body(message(w, p, DST_FROM_STEPD, 0), (uint16_t) number, 0, m);
}

void dst_part_send(struct dst *w, struct dst_part *p, uint16_t number, const ProtobufCMessage *m)
{
    dst_event_body(message(w, p, DST_TO_STEPD, 1), number, 0, m);
}

/* It dials again, for as long as it takes. */
void dst_part_cut_off(struct dst *w, struct dst_part *p)
{
    p->peer = 0;
    if (p->phase != DST_DEAD)
        dst_later(w, dst_between(&w->of_env, 10, 1000), DST_STEPD_DIAL, p->node)->id = p->id;
}

static void say_ready(struct dst *w, struct dst_part *p)
{
    Tugpb__SdReady ready = TUGPB__SD_READY__INIT;
    Tugpb__StepReady r = TUGPB__STEP_READY__INIT;
    Tugpb__StepKey k;

    set_key(&k, p);
    r.key = &k;
    r.star_addr = (char *) (p->head ? "127.0.0.1:4000" : "");
    r.master_port = p->head ? 61000 : 0;
    ready.ready = &r;
    say(w, p, TUG_MSG_SD_READY, &ready.base);
}

static void say_result(struct dst *w, struct dst_part *p)
{
    Tugpb__SdResult m = TUGPB__SD_RESULT__INIT;
    Tugpb__StepResult r = TUGPB__STEP_RESULT__INIT;
    Tugpb__ExitInfo e = TUGPB__EXIT_INFO__INIT, *exits[1] = {&e};
    Tugpb__StepKey k;

    set_key(&k, p);
    r.key = &k;
    r.exits = exits;
    r.n_exits = p->ran;
    e.signal = p->signal;
    e.exit_code = p->signal ? 0 : p->code;
    r.cause = p->cause;
    m.result = &r;
    say(w, p, TUG_MSG_SD_RESULT, &m.base);
}

static void set_cause(struct dst_part *p, const char *kind, const char *node, const Tugpb__ExitInfo *exit,
                      const char *text)
{
    Tugpb__Cause c = TUGPB__CAUSE__INIT;
    uint8_t room[512];

    if (p->cause)
        return;
    c.kind = (char *) (uintptr_t) kind;
    c.node = (char *) (uintptr_t) node;
    c.exit = (Tugpb__ExitInfo *) (uintptr_t) exit;
    c.text = (char *) (uintptr_t) text;
    p->cause = tugpb__cause__unpack(NULL, tugpb__cause__pack(&c, room), room);
}

static void set_link(struct dst *w, struct dst_part *p, unsigned node, unsigned peer)
{
    Tugpb__Cause c = TUGPB__CAUSE__INIT;
    uint8_t room[512];

    if (p->cause)
        return;
    c.kind = (char *) "link";
    c.node = w->nodes[node].name;
    c.peer = w->nodes[peer].name;
    c.text = (char *) "they lost each other";
    p->cause = tugpb__cause__unpack(NULL, tugpb__cause__pack(&c, room), room);
}

static void dial(struct dst *w, struct dst_part *p)
{
    Tugpb__SdHello hello = TUGPB__SD_HELLO__INIT;
    struct dst_node *n = &w->nodes[p->node];
    Tugpb__StepKey k;

    if (p->peer || p->phase == DST_DEAD || p->killing)
        return;
    if (!n->agent) /* the next node daemon's start has it dial */
        return;
    p->peer = ++w->next_id;
    dst_agent_stepd(w, p, true);
    if (!n->agent)
        return;
    set_key(&k, p);
    hello.key = &k;
    hello.phase = p->phase == DST_STARTING ? TUGPB__STEP_PHASE__STEP_STARTING
                  : p->phase == DST_READY  ? TUGPB__STEP_PHASE__STEP_READY
                  : p->phase == DST_RUNNING ? TUGPB__STEP_PHASE__STEP_RUNNING
                                            : TUGPB__STEP_PHASE__STEP_ENDING;
    say(w, p, TUG_MSG_SD_HELLO, &hello.base);
    if (p->phase != DST_STARTING)
        say_ready(w, p);
    if (p->phase == DST_ENDED && !p->gathering)
        say_result(w, p);
}

/* ---- its life */

struct dst_part *dst_part_start(struct dst *w, unsigned node, const struct dst_seen *key, bool requeueable,
                                const struct dst_uses *uses, uint64_t epoch, bool head, size_t gang)
{
    struct dst_part *p = tug_new(struct dst_part);
    struct dst_event *e;

    if (w->parts.len > 32)
        purge(w);
    p->id = ++w->next_id;
    p->node = node;
    p->job = key->job;
    p->attempt = key->attempt;
    p->step = key->step;
    p->requeueable = requeueable;
    p->uses = *uses;
    p->epoch = epoch;
    p->head = head;
    p->gang = gang;
    tug_vec_push(&w->parts, p);
    draw_ranks(w, p);
    dst_log(w, "n%u: job %llu.%u.%u is set up", node, (unsigned long long) p->job, p->attempt, p->step);
    dst_truth_launched(w, p);
    dst_later(w, dst_between(&w->of_env, 1, 20), DST_STEPD_DIAL, node)->id = p->id;
    e = dst_later(w, w->now_ms < w->nodes[node].slow_until_ms ? dst_between(&w->of_ranks, 1000, 40000)
                     : dst_chance(&w->of_ranks, 0.01)         ? 60000
                                                              : dst_between(&w->of_ranks, 5, 1500),
                  DST_STEPD_READY, node);
    e->id = p->id;
    return p;
}

static void on_ready(struct dst *w, struct dst_part *p)
{
    if (p->phase != DST_STARTING || p->killing)
        return;
    p->phase = DST_READY;
    dst_truth_run(w, p->job, p->attempt, p->step, p->node)->ready = true;
    say_ready(w, p);
}

static void will_stop(struct dst *w, struct dst_part *p);

static void on_start(struct dst *w, struct dst_part *p, const Tugpb__SdStart *m)
{
    if (p->phase != DST_READY || p->killing || p->told_to_end)
        return;
    if (!p->head && p->gang > 1 && !m->star_addr[0])
        dst_fail(w, "n%u: job %llu.%u.%u starts and was not told where its head is", p->node,
                 (unsigned long long) p->job, p->attempt, p->step);
    p->phase = DST_RUNNING;
    p->ran = true;
    dst_log(w, "n%u: job %llu.%u.%u runs", p->node, (unsigned long long) p->job, p->attempt, p->step);
    dst_truth_started(w, p);
    if (p->uses.gone) { /* no rank gets to its devices */
        w->n.gone_devices++;
        p->code = 98;
        p->run_ms = dst_between(&w->of_ranks, 1, 3000);
    }
    w->n.on_slices += p->uses.n_slices != 0;
    w->n.on_shares += p->uses.milli != 0;
    dst_pairs_started(w, p);
    will_stop(w, p);
    if (p->run_ms != INT64_MAX)
        dst_later(w, p->run_ms, DST_RANKS_EXIT, p->node)->id = p->id;
}

static bool same_step(const struct dst_part *p, const struct dst_part *o)
{
    return o->job == p->job && o->attempt == p->attempt && o->step == p->step;
}

static void release(struct dst *w, struct dst_part *p)
{
    p->gathering = false;
    say_result(w, p);
}

/* The head lets its gang go once all ranks everywhere are gone. */
static void gather(struct dst *w, const struct dst_part *p)
{
    size_t ended = 0;

    for (size_t i = 0; i < w->runs.len; i++) {
        const struct dst_run *r = &w->runs.at[i];
        ended += r->job == p->job && r->attempt == p->attempt && r->step == p->step && r->ended;
    }
    for (size_t i = 0; ended == p->gang && i < w->parts.len; i++)
        if (w->parts.at[i]->gathering && same_step(p, w->parts.at[i]))
            release(w, w->parts.at[i]);
}

/* The ranks are gone, and how is known. */
static void ended(struct dst *w, struct dst_part *p)
{
    struct dst_run *r = dst_truth_run(w, p->job, p->attempt, p->step, p->node);

    if (p->ran) {
        r->ended = true;
        r->code = p->signal ? 0 : p->code;
        r->signal = p->signal;
    }
    p->phase = DST_ENDED;
    dst_log(w, "n%u: job %llu.%u.%u has ended, %s %d", p->node, (unsigned long long) p->job, p->attempt, p->step,
            p->signal ? "signal" : "exit code", p->signal ? p->signal : p->code);
    p->gathering = p->ran && !p->cause && !p->signal && p->gang > 1;
    if (p->gathering)
        gather(w, p);
    else
        say_result(w, p);
}

static void tell_star(struct dst *w, const struct dst_part *p, unsigned why, int64_t low_ms, int64_t high_ms)
{
    for (size_t i = 0; i < w->parts.len; i++) {
        const struct dst_part *o = w->parts.at[i];
        struct dst_event *e;
        if (o == p || !same_step(p, o) || (o->phase >= DST_ENDED && !o->gathering))
            continue;
        e = dst_later(w, dst_between(&w->of_ranks, low_ms, high_ms), DST_RANKS_DIE, o->node);
        e->id = o->id;
        e->arg = why | (uint64_t) p->node << 8;
        e->rid = (uint32_t) p->code | (uint32_t) p->signal << 16;
    }
}

static void on_exit_of(struct dst *w, struct dst_part *p)
{
    Tugpb__ExitInfo exit = TUGPB__EXIT_INFO__INIT;
    Tugpb__SdFailure early = TUGPB__SD_FAILURE__INIT;

    if (p->phase != DST_RUNNING || p->killing)
        return;
    if (p->stopped) {
        dst_later(w, 2000, DST_RANKS_EXIT, p->node)->id = p->id;
        return;
    }
    if (p->code || p->signal) {
        exit.exit_code = p->signal ? 0 : p->code;
        exit.signal = p->signal;
        set_cause(p, "rank", w->nodes[p->node].name, &exit, "a rank exited");
        early.cause = p->cause;
        say(w, p, TUG_MSG_SD_FAILURE, &early.base);
        tell_star(w, p, WHY_STAR_RANK, 1, 1500);
    }
    ended(w, p);
}

static void on_die(struct dst *w, struct dst_part *p, const struct dst_event *e)
{
    unsigned why = e->arg & 0xff, node = (unsigned) (e->arg >> 8) & 0xffffff, peer = (unsigned) (e->arg >> 32);
    Tugpb__ExitInfo exit = TUGPB__EXIT_INFO__INIT;

    if ((p->phase >= DST_ENDED && !p->gathering) || p->killing)
        return;
    exit.signal = (int) (e->rid >> 16);
    exit.exit_code = exit.signal ? 0 : (int) (e->rid & 0xffff);
    if (why == WHY_STAR_RANK)
        set_cause(p, "rank", w->nodes[node].name, &exit, "a rank exited");
    else if (why == WHY_STAR_LOST)
        set_cause(p, "stepd", w->nodes[node].name, NULL, "the step daemon there was lost");
    else if (why == WHY_STAR_LINK)
        set_link(w, p, node, peer);
    if (p->gathering) {
        release(w, p);
        return;
    }
    p->signal = p->ran ? SIGTERM : 0;
    if (!p->ran)
        p->code = 0;
    ended(w, p);
}

/* The head tells the others; one that lost the head knows it itself. */
void dst_part_loses(struct dst *w, struct dst_part *p, unsigned peer)
{
    Tugpb__SdFailure early = TUGPB__SD_FAILURE__INIT;
    struct dst_event e = {.arg = WHY_STAR_LINK | (uint64_t) p->node << 8 | (uint64_t) peer << 32};

    if (p->phase < DST_RUNNING || (p->phase >= DST_ENDED && !p->gathering) || p->killing || p->cause)
        return;
    w->n.pair_losses++;
    dst_log(w, "n%u: job %llu.%u.%u has lost n%u", p->node, (unsigned long long) p->job, p->attempt, p->step, peer);
    set_link(w, p, p->node, peer);
    early.cause = p->cause;
    say(w, p, TUG_MSG_SD_FAILURE, &early.base);
    for (size_t i = 0; p->head && i < w->parts.len; i++) {
        const struct dst_part *o = w->parts.at[i];
        if (o == p || !same_step(p, o) || o->node == peer || (o->phase >= DST_ENDED && !o->gathering))
            continue;
        struct dst_event *die = dst_later(w, dst_between(&w->of_pairs, 1, 1500), DST_RANKS_DIE, o->node);
        die->id = o->id;
        die->arg = e.arg;
    }
    on_die(w, p, &e);
}

/* The step daemon is gone, and no rank runs any more. */
static void leaves_its_daemon(struct dst *w, struct dst_part *p, int wait_status)
{
    struct dst_run *r = dst_truth_run(w, p->job, p->attempt, p->step, p->node);

    if (wait_status) {
        r->lost = true;
        r->by_node = p->overdue || p->vanished;
        if (p->phase < DST_ENDED || p->gathering)
            tell_star(w, p, WHY_STAR_LOST, 100, 10000);
    }
    if (p->phase == DST_RUNNING) {
        r->ended = true;
        r->signal = SIGKILL;
    }
    p->phase = p->sticks ? DST_STUCK : DST_DEAD;
    p->wait_status = wait_status;
    if (p->peer) {
        tug_peer_id peer = p->peer;
        dst_agent_stepd(w, p, false);
        if (p->peer == peer)
            p->peer = 0;
    }
}

/* Longer than the launcher waits before it says so, or not. */
static void sticks(struct dst *w, struct dst_part *p)
{
    dst_log(w, "n%u: a process of job %llu.%u.%u does not end", p->node, (unsigned long long) p->job, p->attempt, p->step);
    w->n.stuck++;
    dst_later(w, 5000, DST_PART_STAYS, p->node)->id = p->id;
    dst_later(w, dst_about(&w->of_stuck, 120000), DST_PART_DEAD, p->node)->id = p->id;
}

static void stays(struct dst *w, struct dst_part *p)
{
    if (p->phase != DST_STUCK)
        return;
    dst_launcher_stuck(w, p);
    dst_later(w, 10000, DST_PART_STAYS, p->node)->id = p->id;
}

static void dead(struct dst *w, struct dst_part *p, int wait_status)
{
    if (p->phase == DST_DEAD)
        return;
    if (p->phase == DST_STUCK)
        p->phase = DST_DEAD;
    else
        leaves_its_daemon(w, p, wait_status);
    if (p->phase == DST_STUCK) {
        sticks(w, p);
        return;
    }
    dst_log(w, "n%u: nothing is left of job %llu.%u.%u", p->node, (unsigned long long) p->job, p->attempt, p->step);
    dst_launcher_gone(w, p);
}

void dst_part_kill(struct dst *w, struct dst_part *p)
{
    struct dst_event *e;

    if (p->killing)
        return;
    p->killing = true;
    p->sticks = p->phase != DST_STARTING && !w->calm && dst_chance(&w->of_stuck, 0.2);
    e = dst_later(w, dst_between(&w->of_env, 0, dst_chance(&w->of_env, 0.1) ? 800 : 50), DST_PART_DEAD, p->node);
    e->id = p->id;
    e->arg = SIGKILL;
}

/* The next launcher finds in its cgroup what does not end, and what the last one had said of it is not known to that one. */
void dst_part_vanish(struct dst *w, struct dst_part *p, bool machine)
{
    if (p->phase == DST_DEAD)
        return;
    p->peer = 0;
    p->vanished = true;
    if (!machine && (p->phase == DST_STUCK || (p->phase == DST_RUNNING && dst_chance(&w->of_stuck, 0.05)))) {
        p->sticks = p->killing = true;
        if (p->phase == DST_RUNNING)
            dead(w, p, SIGKILL);
        return;
    }
    p->sticks = false;
    p->told = true; /* the launcher that would tell is gone, too */
    dead(w, p, SIGKILL);
}

void dst_part_stepd_dies(struct dst *w, struct dst_part *p)
{
    if (p->phase == DST_DEAD || p->killing)
        return;
    dst_log(w, "n%u: the step daemon of job %llu.%u.%u dies", p->node, (unsigned long long) p->job, p->attempt, p->step);
    w->n.stepd_crashes++;
    dst_part_kill(w, p);
}

/* ---- being stopped: that takes a while, and once in a while a rank is in a driver for good */

static void will_stop(struct dst *w, struct dst_part *p)
{
    struct dst_event *e;

    if (!p->stop_serial || p->phase != DST_RUNNING || dst_chance(&w->of_ranks, w->calm ? 0 : 0.03))
        return;
    e = dst_later(w, dst_between(&w->of_ranks, 0, dst_chance(&w->of_ranks, 0.2) ? 8000 : 50), DST_RANKS_STOP, p->node);
    e->id = p->id;
    e->arg = p->stop_serial;
}

static void on_signal(struct dst *w, struct dst_part *p, const Tugpb__SdSignal *m)
{
    if (m->signal == SIGCONT)
        p->stopped = false;
    if (m->signal == SIGSTOP || m->signal == SIGCONT)
        p->stop_serial = m->signal == SIGSTOP ? m->serial : 0;
    will_stop(w, p);
}

static void on_stopped(struct dst *w, struct dst_part *p, const struct dst_event *e)
{
    Tugpb__SdStopped m = TUGPB__SD_STOPPED__INIT;

    if (e->arg != p->stop_serial || p->phase != DST_RUNNING)
        return;
    p->stopped = true;
    dst_visits_stopped(w, p);
    m.serial = p->stop_serial;
    w->n.stopped++;
    say(w, p, TUG_MSG_SD_STOPPED, &m.base);
}

/* ---- events */

static void told(struct dst *w, struct dst_part *p, const struct dst_event *e)
{
    struct tug_arena a = {0};
    ProtobufCMessage *m;

    if (p->phase == DST_DEAD || p->killing || e->arg != p->peer)
        return;
    int rc = tug_proto_decode(&a, tug_msg_info(e->number)->desc, e->body, e->len, &m, NULL);
    tug_assert(rc == 0);
    if (e->number == TUG_MSG_SD_START) {
        on_start(w, p, (const Tugpb__SdStart *) m);
    } else if (e->number == TUG_MSG_SD_SIGNAL) {
        on_signal(w, p, (const Tugpb__SdSignal *) m);
    } else if (e->number == TUG_MSG_SD_KILL) {
        p->told_to_end = true;
        dst_truth_run(w, p->job, p->attempt, p->step, p->node)->told_to_end = true;
        if (!dst_chance(&w->of_ranks, 0.03)) /* else only force helps */
            dst_later(w, dst_between(&w->of_ranks, 1, 1 + 1000 * ((const Tugpb__SdKill *) m)->grace_s), DST_RANKS_DIE,
                      p->node)->id = p->id;
    } else if (e->number == TUG_MSG_SD_RESULT_ACK && p->phase == DST_ENDED) {
        p->sticks = !w->calm && dst_chance(&w->of_stuck, 0.01); /* what its ranks left behind */
        dst_later(w, dst_between(&w->of_env, 1, 30), DST_PART_DEAD, p->node)->id = p->id;
    }
    tug_arena_clear(&a);
}

void dst_part_event(struct dst *w, const struct dst_event *e)
{
    struct dst_part *p = dst_part(w, e->id);

    if (!p)
        return;
    switch (e->what) {
    case DST_STEPD_DIAL:
        dial(w, p);
        break;
    case DST_STEPD_READY:
        on_ready(w, p);
        break;
    case DST_TO_STEPD:
        told(w, p, e);
        break;
    case DST_FROM_STEPD:
        if (p->peer == e->arg && e->life == w->nodes[p->node].life)
            dst_agent_message(w, p->node, p->peer, e);
        break;
    case DST_RANKS_EXIT:
        on_exit_of(w, p);
        break;
    case DST_RANKS_STOP:
        on_stopped(w, p, e);
        break;
    case DST_RANKS_DIE:
        on_die(w, p, e);
        break;
    case DST_PART_DEAD:
        dead(w, p, (int) e->arg);
        break;
    case DST_PART_STAYS:
        stays(w, p);
        break;
    default:
        tug_assert(!"an event that nobody knows");
    }
}
