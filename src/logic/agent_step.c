/* agent_step.c - the life of one node's part of a step
 *
 * ordered -> (waits for a lease) -> given to the launcher -> READY -> RUNNING -> ENDING -> DONE ->
 * acknowledged. DONE means that the launcher found nothing left; only then is there a result.
 * Layer: logic.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "base/size.h"
#include "base/str.h"
#include "logic/agent_impl.h"
#include "proto/order.h"

#define SIGNAL_KILL 9

bool tug_agent_key_of(const Tugpb__StepKey *from, struct agent_key *out)
{
    if (!from || !from->job || !from->attempt)
        return false;
    *out = (struct agent_key){.job = from->job, .attempt = from->attempt, .step = from->step};
    return true;
}

static Tugpb__StepKey wire_key(struct agent_key key)
{
    Tugpb__StepKey k = TUGPB__STEP_KEY__INIT;
    k.job = key.job;
    k.attempt = key.attempt;
    k.step = key.step;
    return k;
}

struct agent_step *tug_agent_find(struct tug_agent *a, struct agent_key key)
{
    for (size_t i = 0; i < a->steps.len; i++) {
        struct agent_step *s = a->steps.at[i];
        if (s->key.job == key.job && s->key.attempt == key.attempt && s->key.step == key.step)
            return s;
    }
    return NULL;
}

struct agent_step *tug_agent_add(struct tug_agent *a, struct agent_key key)
{
    struct agent_step *s = tug_new(struct agent_step);
    s->key = key;
    s->hard_ms = s->finish_ms = INT64_MAX;
    tug_vec_push(&a->steps, s);
    return s;
}

void tug_agent_step_free(struct agent_step *s)
{
    tug_proto_drop(s->order);
    tug_proto_drop(s->ready);
    tug_proto_drop(s->start);
    tug_proto_drop(s->cause);
    tug_proto_drop(s->hang);
    tug_proto_drop(s->result);
    tug_proto_drop(s->gone);
    tug_proto_drop(s->stuck);
    free(s->why);
    free(s);
}

void tug_agent_remove(struct tug_agent *a, struct agent_step *s)
{
    tug_agent_unkeep_step(a, s);
    for (size_t i = 0; i < a->steps.len; i++)
        if (a->steps.at[i] == s) {
            tug_vec_remove(&a->steps, i);
            break;
        }
    tug_agent_step_free(s);
}

/* ---- what the controller hears */

void tug_agent_say(struct tug_agent *a, struct agent_step *s, enum tug_msg number, const void *m)
{
    if (s->forget)
        return;
    if (a->welcomed)
        tug_agent_send(a, a->controller, number, m);
    else
        s->unsaid = true;
}

static void say_ready(struct tug_agent *a, struct agent_step *s)
{
    Tugpb__StepKey key = wire_key(s->key);
    Tugpb__StepReady m = *s->ready;
    m.key = &key;
    m.stepd_pid = s->pid;
    tug_agent_say(a, s, TUG_MSG_STEP_READY, &m);
}

static void say_failed(struct tug_agent *a, struct agent_step *s)
{
    Tugpb__StepKey key = wire_key(s->key);
    Tugpb__StepFailed m = TUGPB__STEP_FAILED__INIT;
    m.key = &key;
    m.cause = s->cause;
    tug_agent_say(a, s, TUG_MSG_STEP_FAILED, &m);
}

static void say_wired(struct tug_agent *a, struct agent_step *s)
{
    Tugpb__StepKey key = wire_key(s->key);
    Tugpb__StepWired m = TUGPB__STEP_WIRED__INIT;
    m.key = &key;
    m.at_ms = s->wired_ms;
    tug_agent_say(a, s, TUG_MSG_STEP_WIRED, &m);
}

static void say_watch(struct tug_agent *a, struct agent_step *s)
{
    Tugpb__StepKey key = wire_key(s->key);
    Tugpb__StepWatch m = TUGPB__STEP_WATCH__INIT;
    m.key = &key;
    m.hang = s->hang;
    tug_agent_say(a, s, TUG_MSG_STEP_WATCH, &m);
}

void tug_agent_stopped(struct tug_agent *a, struct agent_step *s, uint32_t serial)
{
    Tugpb__StepKey key = wire_key(s->key);
    Tugpb__StepStopped m = TUGPB__STEP_STOPPED__INIT;
    if (serial != s->stop_serial || s->stop_or_go != SIGSTOP || !a->welcomed)
        return; /* whoever comes asks again */
    m.key = &key;
    m.serial = serial;
    tug_agent_say(a, s, TUG_MSG_STEP_STOPPED, &m);
}

static void fill_result(const struct tug_agent *a, const struct agent_step *s, Tugpb__StepKey *key, Tugpb__StepResult *r)
{
    if (s->result)
        *r = *s->result;
    r->key = key;
    if (!r->cause)
        r->cause = s->cause;
    if (!r->wired_ms)
        r->wired_ms = s->wired_ms;
    if (!r->ended_ms)
        r->ended_ms = a->now_ms;
}

static void say_done(struct tug_agent *a, struct agent_step *s)
{
    Tugpb__StepDone m = TUGPB__STEP_DONE__INIT;
    m.result = s->result;
    tug_agent_say(a, s, TUG_MSG_STEP_DONE, &m);
}

/* Its result so far; of what is never heard of any more there is a cause. */
static void say_stuck(struct tug_agent *a, struct agent_step *s)
{
    Tugpb__StepKey key = wire_key(s->key);
    Tugpb__StepResult r = TUGPB__STEP_RESULT__INIT;
    Tugpb__StepStuck m = TUGPB__STEP_STUCK__INIT;
    fill_result(a, s, &key, &r);
    m.result = &r;
    m.processes = s->stuck->processes;
    m.n_processes = s->stuck->n_processes;
    m.n = s->stuck->n;
    tug_agent_say(a, s, TUG_MSG_STEP_STUCK, &m);
}

void tug_agent_report(struct tug_agent *a, struct agent_step *s)
{
    s->unsaid = false;
    if (s->phase == TUGPB__STEP_PHASE__STEP_DONE) {
        say_done(a, s);
        return;
    }
    if (s->stuck) {
        say_stuck(a, s);
        return;
    }
    if (s->ready && s->phase == TUGPB__STEP_PHASE__STEP_READY)
        say_ready(a, s);
    if (s->wired_ms)
        say_wired(a, s);
    if (s->hang)
        say_watch(a, s);
    if (s->cause)
        say_failed(a, s);
}

/* The first one stands; but that nodes lost each other is why ranks ended, or why the step is ended, and shows later. */
void tug_agent_fail(struct tug_agent *a, struct agent_step *s, const Tugpb__Cause *cause)
{
    if (s->cause && (strcmp(cause->kind, "link") != 0 || !strcmp(s->cause->kind, "link")))
        return;
    tug_proto_drop(s->cause);
    s->cause = (Tugpb__Cause *) tug_proto_copy(&cause->base);
    if (!s->cause->at_ms)
        s->cause->at_ms = a->now_ms;
    say_failed(a, s);
}

void tug_agent_watch(struct tug_agent *a, struct agent_step *s, const Tugpb__Hang *hang)
{
    tug_proto_drop(s->hang);
    s->hang = (Tugpb__Hang *) tug_proto_copy(&hang->base);
    say_watch(a, s);
}

static void fill_cause(struct tug_agent *a, Tugpb__Cause *c, const char *kind, char *text)
{
    *c = (Tugpb__Cause) TUGPB__CAUSE__INIT;
    c->kind = (char *) (uintptr_t) kind;
    c->node = a->node;
    c->text = text;
    c->at_ms = a->now_ms;
}

void tug_agent_fail_text(struct tug_agent *a, struct agent_step *s, const char *kind,
                         const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    Tugpb__Cause c;
    fill_cause(a, &c, kind, text);
    tug_agent_fail(a, s, &c);
}

void tug_agent_answer_nothing(struct tug_agent *a, struct agent_key key, const char *kind, char *text)
{
    if (!a->welcomed)
        return;
    Tugpb__StepKey k = wire_key(key);
    Tugpb__Cause c;
    fill_cause(a, &c, kind, text);
    if (text) {
        Tugpb__StepFailed failed = TUGPB__STEP_FAILED__INIT;
        failed.key = &k;
        failed.cause = &c;
        tug_agent_send(a, a->controller, TUG_MSG_STEP_FAILED, &failed);
    }
    Tugpb__StepResult result = TUGPB__STEP_RESULT__INIT;
    result.key = &k;
    result.ended_ms = a->now_ms;
    result.cause = text ? &c : NULL;
    Tugpb__StepDone done = TUGPB__STEP_DONE__INIT;
    done.result = &result;
    tug_agent_send(a, a->controller, TUG_MSG_STEP_DONE, &done);
}

/* ---- the way up */

/* One of which only remains are here that run no more is no obstacle. */
bool tug_agent_other_attempt(const struct tug_agent *a, struct agent_key key, uint32_t *attempt)
{
    for (size_t i = 0; i < a->visits.len; i++) {
        const struct agent_visit *v = a->visits.at[i];
        if (v->key.job == key.job && v->key.attempt != key.attempt &&
            v->phase != TUGPB__STEP_PHASE__STEP_DONE) {
            *attempt = v->key.attempt;
            return true;
        }
    }
    for (size_t i = 0; i < a->steps.len; i++) {
        const struct agent_step *s = a->steps.at[i];
        if (s->key.job == key.job && s->key.attempt != key.attempt && !s->stuck &&
            s->phase != TUGPB__STEP_PHASE__STEP_DONE) {
            *attempt = s->key.attempt;
            return true;
        }
    }
    return false;
}

/* Why 'm' cannot be obeyed, as a sentence; false = it can. */
static bool launch_refused(struct tug_agent *a, const Tugpb__StepLaunch *m, struct agent_key key,
                           bool *requeueable, char *text, size_t size_bytes)
{
    struct tug_order order;
    struct tug_err err = {0};
    uint32_t other;
    if (m->order.len != TUG_ORDER_LEN || m->signature.len != TUG_ORDER_SIG_LEN) {
        snprintf(text, size_bytes,
                 "the launch order has %zu bytes and a signature of %zu, not %d and %d",
                 m->order.len, m->signature.len, TUG_ORDER_LEN, TUG_ORDER_SIG_LEN);
        return true;
    }
    if (tug_order_unpack(m->order.data, &order, &err)) {
        tug_str_copy(text, size_bytes, err.msg);
        return true;
    }
    if (order.job != key.job || order.attempt != key.attempt || order.step != key.step) {
        snprintf(text, size_bytes,
                 "the launch order is for job %llu attempt %u step %u, its message for job %llu "
                 "attempt %u step %u",
                 (unsigned long long) order.job, order.attempt, order.step,
                 (unsigned long long) key.job, key.attempt, key.step);
        return true;
    }
    *requeueable = m->requeueable || (order.flags & TUG_ORDER_REQUEUEABLE);
    if (tug_agent_is_buried(a, key)) {
        snprintf(text, size_bytes,
                 "attempt %u step %u of job %llu has ended on %s and is not started again",
                 key.attempt, key.step, (unsigned long long) key.job, a->node);
        return true;
    }
    if (tug_agent_visit_refuses(a, key, text, size_bytes))
        return true;
    if (a->mute) {
        snprintf(text, size_bytes, "%s", a->mute);
        return true;
    }
    if (tug_agent_other_attempt(a, key, &other)) {
        snprintf(text, size_bytes,
                 "attempt %u of job %llu is still on %s; attempt %u must wait until it is gone",
                 other, (unsigned long long) key.job, a->node, key.attempt);
        return true;
    }
    return false;
}

void tug_agent_give(struct tug_agent *a, struct agent_step *s, const Tugpb__LnStart *order)
{
    s->started_ms = a->now_ms;
    tug_agent_send(a, TUG_PEER_LAUNCHER, TUG_MSG_LN_START, order);
    s->waits_lease = s->waits_check = false;
    tug_proto_drop(s->order);
    s->order = NULL;
    tug_agent_keep_step(a, s, false);
}

void tug_agent_launch(struct tug_agent *a, const Tugpb__StepLaunch *m)
{
    struct agent_key key;
    char text[512];
    bool requeueable = false;
    if (!tug_agent_key_of(m->key, &key))
        return;
    struct agent_step *s = tug_agent_find(a, key);
    if (s) {
        tug_agent_report(a, s);
        return;
    }
    if (launch_refused(a, m, key, &requeueable, text, sizeof text)) {
        a->counts.refused_launches++;
        tug_agent_log(a, TUG_LOG_WARN, "launch of job %llu attempt %u step %u refused: %s",
                      (unsigned long long) key.job, key.attempt, key.step, text);
        tug_agent_answer_nothing(a, key, "launch", text);
        return;
    }
    s = tug_agent_add(a, key);
    s->requeueable = requeueable;
    Tugpb__StepKey k = wire_key(key);
    Tugpb__LnStart start = TUGPB__LN_START__INIT;
    start.key = &k;
    start.order = m->order;
    start.signature = m->signature;
    start.payload = m->payload;
    s->waits_check = tug_agent_check_before(a, key);
    if (s->waits_check || (requeueable && a->lease_until_ms <= a->now_ms)) {
        s->waits_lease = true; /* until the grant of the request that is under way */
        s->order = (Tugpb__LnStart *) tug_proto_copy(&start.base);
        tug_agent_keep_step(a, s, false);
    } else {
        tug_agent_give(a, s, &start);
    }
}

void tug_agent_open(struct tug_agent *a, struct agent_key key, const Tugpb__StepStart *m)
{
    struct agent_step *s = tug_agent_find(a, key);
    if (!s) {
        char text[256];
        snprintf(text, sizeof text, "%s does not hold attempt %u step %u of job %llu", a->node,
                 key.attempt, key.step, (unsigned long long) key.job);
        tug_agent_answer_nothing(a, key, "node", text);
        return;
    }
    if (s->phase == TUGPB__STEP_PHASE__STEP_DONE)
        tug_agent_report(a, s);
    if (s->phase > TUGPB__STEP_PHASE__STEP_READY || s->ending || s->start)
        return;
    Tugpb__SdStart start = TUGPB__SD_START__INIT;
    start.star_addr = m->star_addr;
    start.master_addr = m->master_addr;
    start.master_port = m->master_port;
    s->start = (Tugpb__SdStart *) tug_proto_copy(&start.base);
    tug_agent_deliver(a, s);
}

void tug_agent_deliver(struct tug_agent *a, struct agent_step *s)
{
    if (!s->peer)
        return;
    if (s->ending) {
        Tugpb__SdKill kill = TUGPB__SD_KILL__INIT;
        kill.grace_s = s->grace_s;
        kill.why = s->why;
        tug_agent_send(a, s->peer, TUG_MSG_SD_KILL, &kill);
    } else if (s->start && s->phase == TUGPB__STEP_PHASE__STEP_READY) {
        tug_agent_send(a, s->peer, TUG_MSG_SD_START, s->start);
        tug_proto_drop(s->start);
        s->start = NULL;
        s->phase = TUGPB__STEP_PHASE__STEP_RUNNING;
        tug_agent_keep_step(a, s, false);
    }
    if (s->stop_or_go && !s->ending && s->phase == TUGPB__STEP_PHASE__STEP_RUNNING) {
        Tugpb__SdSignal sig = TUGPB__SD_SIGNAL__INIT;
        sig.signal = s->stop_or_go;
        sig.serial = s->stop_serial;
        tug_agent_send(a, s->peer, TUG_MSG_SD_SIGNAL, &sig);
    }
}

/* ---- the way down */

void tug_agent_kill_hard(struct tug_agent *a, struct agent_step *s)
{
    Tugpb__StepKey key = wire_key(s->key);
    Tugpb__LnKill m = TUGPB__LN_KILL__INIT;
    m.key = &key;
    m.signal = SIGNAL_KILL;
    tug_agent_send(a, TUG_PEER_LAUNCHER, TUG_MSG_LN_KILL, &m);
    s->hard = true;
    s->hard_ms = a->now_ms + AGENT_KILL_SLACK_MS;
    if (s->phase < TUGPB__STEP_PHASE__STEP_ENDING)
        s->phase = TUGPB__STEP_PHASE__STEP_ENDING;
}

void tug_agent_kill(struct tug_agent *a, struct agent_key key, uint32_t grace_s, const char *why)
{
    struct agent_step *s = tug_agent_find(a, key);
    if (!s) { /* and its launch, should it still come, finds the tombstone */
        tug_agent_bury(a, key);
        tug_agent_answer_nothing(a, key, "", NULL);
        return;
    }
    if (s->phase == TUGPB__STEP_PHASE__STEP_DONE) {
        tug_agent_report(a, s);
        return;
    }
    if (s->waits_lease) {
        tug_agent_finish(a, s);
        return;
    }
    int64_t hard_ms = a->now_ms + 1000LL * grace_s + AGENT_KILL_SLACK_MS;
    s->ending = true;
    s->grace_s = grace_s;
    free(s->why);
    s->why = tug_xstrdup(why && *why ? why : "ended by the controller");
    if (s->phase < TUGPB__STEP_PHASE__STEP_ENDING)
        s->phase = TUGPB__STEP_PHASE__STEP_ENDING;
    if (hard_ms < s->hard_ms)
        s->hard_ms = hard_ms;
    if (s->peer)
        tug_agent_deliver(a, s);
    else if (!s->seen && !s->hard) /* no rank can run yet */
        tug_agent_kill_hard(a, s);
    tug_agent_keep_step(a, s, false);
}

void tug_agent_lease_over(struct tug_agent *a, struct agent_step *s)
{
    a->counts.lease_kills++;
    tug_agent_log(a, TUG_LOG_WARN, "the lease of %s is over: ending attempt %u step %u of job %llu",
                  a->node, s->key.attempt, s->key.step, (unsigned long long) s->key.job);
    tug_agent_fail_text(
        a, s, "node",
        "%s was cut off from the controller until its lease was over, and ended the step", a->node);
    tug_agent_kill_hard(a, s);
    tug_agent_keep_step(a, s, false);
}

void tug_agent_forget(struct tug_agent *a, struct agent_step *s)
{
    if (s->phase == TUGPB__STEP_PHASE__STEP_DONE || s->waits_lease) {
        tug_agent_remove(a, s);
        return;
    }
    tug_agent_log(a, TUG_LOG_WARN,
                  "the controller does not know attempt %u step %u of job %llu: ending it",
                  s->key.attempt, s->key.step, (unsigned long long) s->key.job);
    s->forget = true;
    tug_agent_kill_hard(a, s);
}

/* A step of the records that the launcher does not hold. */
static void explain_absence(struct tug_agent *a, struct agent_step *s)
{
    if (s->waits_lease)
        return;
    if (!s->started_ms)
        tug_agent_fail_text(a, s, "launch",
                            "the node daemon on %s ended before the step was started", a->node);
    else if (a->old_boot_id && strcmp(a->old_boot_id, a->boot_id) != 0)
        tug_agent_fail_text(a, s, "node", "%s was started anew while the step ran", a->node);
    else /* its launcher died, or what it said was not read: it is the node that has failed */
        tug_agent_fail_text(
            a, s, "node",
            "step daemon on %s ended while the node daemon was away; how was not seen", a->node);
}

/* A step daemon that ended without a result: what is there to say about it. */
static void explain_loss(struct tug_agent *a, struct agent_step *s, const Tugpb__LnGone *gone)
{
    if (s->cause)
        return;
    if (s->hard && s->ending && !s->seen)
        return; /* told to end before it came up: no failure */
    if (s->hard && s->ending) {
        tug_agent_fail_text(a, s, "stepd",
                            "step daemon on %s did not end the step within %u s and was killed",
                            a->node, s->grace_s + AGENT_KILL_SLACK_MS / 1000);
        return;
    }
    if (!gone) {
        explain_absence(a, s);
        return;
    }
    int status = gone->wait_status;
    if (gone->lease)
        tug_agent_fail_text(a, s, "node", "the launcher of %s ended the step, as the lease of the node was over", a->node);
    else if ((status & 0x7f) == 0)
        tug_agent_fail_text(a, s, "stepd",
                            "step daemon on %s ended with exit code %d before it reported a result",
                            a->node, (status >> 8) & 0xff);
    else
        tug_agent_fail_text(a, s, "stepd",
                            "step daemon on %s ended by signal %d before it reported a result%s",
                            a->node, status & 0x7f, gone->oom ? " (out of memory)" : "");
}

static void put_text(char **to, char *text)
{
    if (*to != (char *) protobuf_c_empty_string)
        free(*to);
    *to = text;
}

/* The kernel killed somebody of the job here for memory: that a rank ended is told with the reason and the way out. */
static void explain_oom(const struct tug_agent *a, Tugpb__Cause *c, const Tugpb__JobUse *use)
{
    char max[TUG_SIZE_TEXT_MAX];
    if (strcmp(c->kind, "rank") != 0 || strcmp(c->node, a->node) != 0 || !c->exit || (!c->exit->signal && !c->exit->exit_code))
        return;
    c->exit->oom = 1;
    if (use && use->mem_max)
        put_text(&c->text, tug_xasprintf("%s, out of memory: the job may use %s on %s and wanted more; ask for more with --mem", c->text,
                                         tug_size_format(use->mem_max, max, sizeof max), a->node));
    else
        put_text(&c->text, tug_xasprintf("%s, out of memory: %s had no more for its jobs, and this one asked for none; ask with --mem",
                                         c->text, a->node));
}

/* What the launcher measured goes into the result. */
static void add_gone(const struct tug_agent *a, Tugpb__StepResult *r, const Tugpb__LnGone *g)
{
    tug_proto_drop(r->use);
    r->use = g->use ? (Tugpb__JobUse *) tug_proto_copy(&g->use->base) : NULL;
    if (g->cpu_us > r->cpu_us)
        r->cpu_us = g->cpu_us;
    if (g->max_rss_bytes > r->max_rss_bytes)
        r->max_rss_bytes = g->max_rss_bytes;
    if (!g->oom)
        return;
    for (size_t i = 0; i < r->n_exits; i++)
        if (r->exits[i]->signal || r->exits[i]->exit_code)
            r->exits[i]->oom = 1;
    if (r->cause)
        explain_oom(a, r->cause, g->use);
}

static void close_peers_of(struct tug_agent *a, struct agent_key key)
{
    for (size_t i = a->peers.len; i-- > 0;) {
        struct agent_peer *p = a->peers.at[i];
        if (p->hello && p->key.job == key.job && p->key.attempt == key.attempt &&
            p->key.step == key.step)
            tug_agent_close_peer(a, p);
    }
}

void tug_agent_finish(struct tug_agent *a, struct agent_step *s)
{
    struct agent_key of = s->key;
    close_peers_of(a, of);
    tug_agent_bury(a, of);
    if (s->forget) {
        tug_agent_remove(a, s);
        tug_agent_visit_after(a, of);
        return;
    }
    if (!s->result)
        explain_loss(a, s, s->gone);
    Tugpb__StepKey key = wire_key(s->key);
    Tugpb__StepResult r = TUGPB__STEP_RESULT__INIT;
    fill_result(a, s, &key, &r);
    Tugpb__StepResult *whole = (Tugpb__StepResult *) tug_proto_copy(&r.base);
    tug_proto_drop(s->result);
    s->result = whole;
    if (s->gone)
        add_gone(a, s->result, s->gone);
    s->phase = TUGPB__STEP_PHASE__STEP_DONE;
    s->waits_lease = s->waits_check = false;
    s->hard_ms = s->finish_ms = INT64_MAX;
    tug_agent_check_after(a, of);
    tug_agent_keep_step(a, s, true);
    say_done(a, s);
    tug_agent_visit_after(a, of);
}

/* ---- what the launcher says */

static void h_ln_started(struct tug_agent *a, const Tugpb__LnStarted *m)
{
    struct agent_key key;
    struct agent_step *s = tug_agent_key_of(m->key, &key) ? tug_agent_find(a, key) : NULL;
    if (!s)
        return;
    s->pid = m->pid;
    s->uid = m->uid;
    tug_agent_keep_step(a, s, false);
    for (size_t i = a->peers.len; i-- > 0;)
        if (i < a->peers.len)
            tug_agent_bind(a, a->peers.at[i]);
}

static void h_ln_refused(struct tug_agent *a, const Tugpb__LnRefused *m)
{
    struct agent_key key;
    struct agent_step *s = tug_agent_key_of(m->key, &key) ? tug_agent_find(a, key) : NULL;
    if (!s || s->phase == TUGPB__STEP_PHASE__STEP_DONE)
        return;
    a->counts.refused_launches++;
    tug_agent_log(a, TUG_LOG_WARN, "the launcher refused job %llu attempt %u step %u: %s",
                  (unsigned long long) key.job, key.attempt, key.step, m->text);
    tug_agent_fail_text(a, s, "launch", "the launcher on %s refused: %s", a->node, m->text);
    tug_agent_finish(a, s);
}

static void h_ln_gone(struct tug_agent *a, const Tugpb__LnGone *m)
{
    struct agent_key key;
    if (!tug_agent_key_of(m->key, &key))
        return;
    struct agent_step *s = tug_agent_find(a, key);
    if (!s && tug_agent_is_buried(a, key))
        return;
    if (!s) { /* started by an agent that died before its record was written */
        s = tug_agent_add(a, key);
        s->seen = true;
    }
    if (s->phase == TUGPB__STEP_PHASE__STEP_DONE)
        return;
    tug_proto_drop(s->gone);
    s->gone = (Tugpb__LnGone *) tug_proto_copy(&m->base);
    s->hard_ms = INT64_MAX;
    if (s->peer && !s->result && !s->forget)
        s->finish_ms = a->now_ms + AGENT_GONE_WAIT_MS;
    else
        tug_agent_finish(a, s);
}

static bool are_same(const Tugpb__LnStuck *x, const Tugpb__LnStuck *y)
{
    bool same = x && x->n == y->n && x->n_processes == y->n_processes;
    for (size_t i = 0; same && i < x->n_processes; i++)
        same = x->processes[i]->pid == y->processes[i]->pid && !strcmp(x->processes[i]->wchan, y->processes[i]->wchan);
    return same;
}

/* Everything in it has been sent SIGKILL, so nothing of it returns to its program: the gang need not wait for the rest. The result
 * as it is by now stands in any case, so it is kept. */
static void h_ln_stuck(struct tug_agent *a, const Tugpb__LnStuck *m)
{
    struct agent_key key;
    struct agent_step *s = tug_agent_key_of(m->key, &key) ? tug_agent_find(a, key) : NULL;
    Tugpb__LnGone gone = TUGPB__LN_GONE__INIT;
    if (!s || s->phase == TUGPB__STEP_PHASE__STEP_DONE || are_same(s->stuck, m))
        return;
    tug_proto_drop(s->stuck);
    s->stuck = (Tugpb__LnStuck *) tug_proto_copy(&m->base);
    s->hard = true; /* the launcher goes on killing */
    s->hard_ms = INT64_MAX;
    s->phase = TUGPB__STEP_PHASE__STEP_ENDING;
    gone.wait_status = m->wait_status;
    gone.lease = m->lease;
    if (!s->result && !s->forget)
        explain_loss(a, s, &gone);
    tug_agent_keep_step(a, s, true);
    tug_agent_log(a, TUG_LOG_WARN, "job %llu attempt %u step %u: %u processes do not end by SIGKILL",
                  (unsigned long long) key.job, key.attempt, key.step, m->n);
    if (!s->forget)
        say_stuck(a, s);
}

/* The launcher's list decides what of the restored steps is still there. */
static void h_ln_held(struct tug_agent *a, const Tugpb__LnHeld *m)
{
    if (a->listed)
        return;
    a->listed = true;
    if (m->lease_until_ms > a->lease_until_ms)
        a->lease_until_ms = m->lease_until_ms;
    for (size_t i = 0; i < m->n_steps; i++) {
        struct agent_key key;
        if (!tug_agent_key_of(m->steps[i]->key, &key))
            continue;
        struct agent_step *s = tug_agent_find(a, key);
        if (!s)
            s = tug_agent_add(a, key);
        if (s->phase == TUGPB__STEP_PHASE__STEP_DONE)
            continue;
        s->pid = m->steps[i]->pid;
        s->uid = m->steps[i]->uid;
        s->requeueable |= m->steps[i]->requeueable;
        s->seen = s->here = true;
        if (m->steps[i]->left)
            s->phase = TUGPB__STEP_PHASE__STEP_ENDING;
    }
    for (size_t i = 0; i < a->steps.len; i++) {
        struct agent_step *s = a->steps.at[i];
        if (s->phase != TUGPB__STEP_PHASE__STEP_DONE && !s->here)
            tug_agent_finish(a, s);
    }
    tug_agent_visits_listed(a);
    tug_agent_keep_self(a);
    free(a->old_boot_id);
    a->old_boot_id = NULL;
    for (size_t i = a->peers.len; i-- > 0;)
        if (i < a->peers.len)
            tug_agent_bind(a, a->peers.at[i]);
}

void tug_agent_from_launcher(struct tug_agent *a, enum tug_msg number, const ProtobufCMessage *m)
{
    switch (number) {
    case TUG_MSG_LN_STARTED:
        h_ln_started(a, (const Tugpb__LnStarted *) m);
        break;
    case TUG_MSG_LN_REFUSED:
        h_ln_refused(a, (const Tugpb__LnRefused *) m);
        break;
    case TUG_MSG_LN_GONE:
        h_ln_gone(a, (const Tugpb__LnGone *) m);
        break;
    case TUG_MSG_LN_STUCK:
        h_ln_stuck(a, (const Tugpb__LnStuck *) m);
        break;
    case TUG_MSG_LN_HELD:
        h_ln_held(a, (const Tugpb__LnHeld *) m);
        break;
    default:
        break;
    }
}
