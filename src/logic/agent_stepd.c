/* agent_stepd.c - what the step daemons of this node say
 *
 * A connection counts only when its pid and uid, the kernel's word, are those that the launcher
 * started for the key in its hello. The daemon runs as the user: it can only speak about its own
 * step, and only about what a user may decide. Layer: logic.
 */
#include "logic/agent_impl.h"

static struct agent_step *step_of(struct tug_agent *a, const struct agent_peer *p)
{
    for (size_t i = 0; i < a->steps.len; i++)
        if (a->steps.at[i]->peer == p->id)
            return a->steps.at[i];
    return NULL;
}

/* The user's own daemon may not blame the node or the controller: that decides about requeueing. In a preflight it is
 * asked to; what such a word counts is the core's business. */
static const char *allowed_kind(const char *kind)
{
    static const char *const allowed[] = {"rank", "wireup",    "launch", "output",
                                          "io",   "timelimit", "cancel", "hang", "preflight", "link"};
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        if (!strcmp(kind, allowed[i]))
            return allowed[i];
    return "stepd";
}

static void take_cause(struct tug_agent *a, struct agent_step *s, const Tugpb__Cause *from)
{
    Tugpb__Cause c = *from;
    c.kind = (char *) (uintptr_t) allowed_kind(from->kind);
    if (!*c.node)
        c.node = a->node; /* a failure that another node of the gang reported names that node */
    tug_agent_fail(a, s, &c);
}

static void h_sd_ready(struct tug_agent *a, struct agent_step *s, const Tugpb__SdReady *m)
{
    if (!m->ready)
        return;
    tug_proto_drop(s->ready);
    s->ready = (Tugpb__StepReady *) tug_proto_copy(&m->ready->base);
    if (s->phase == TUGPB__STEP_PHASE__STEP_STARTING)
        s->phase = TUGPB__STEP_PHASE__STEP_READY;
    tug_agent_keep_step(a, s, false);
    if (s->phase == TUGPB__STEP_PHASE__STEP_READY)
        tug_agent_report(a, s);
    tug_agent_deliver(a, s);
}

static void h_sd_wired(struct tug_agent *a, struct agent_step *s, const Tugpb__SdWired *m)
{
    if (s->wired_ms)
        return;
    s->wired_ms = m->at_ms ? m->at_ms : a->now_ms;
    tug_agent_keep_step(a, s, false);
    tug_agent_report(a, s);
}

static void h_sd_failure(struct tug_agent *a, struct agent_step *s, const Tugpb__SdFailure *m)
{
    if (!m->cause)
        return;
    take_cause(a, s, m->cause);
    tug_agent_keep_step(a, s, false);
}

static void h_sd_watch(struct tug_agent *a, struct agent_step *s, const Tugpb__SdWatch *m)
{
    if (m->hang)
        tug_agent_watch(a, s, m->hang);
}

static void h_sd_stopped(struct tug_agent *a, struct agent_step *s, const Tugpb__SdStopped *m)
{
    tug_agent_stopped(a, s, m->serial);
}

static void h_sd_result(struct tug_agent *a, struct agent_step *s, const Tugpb__SdResult *m)
{
    Tugpb__SdResultAck ack = TUGPB__SD_RESULT_ACK__INIT;
    if (!m->result)
        return;
    if (!s->result) {
        s->result = (Tugpb__StepResult *) tug_proto_copy(&m->result->base);
        if (s->result->cause) {
            take_cause(a, s, s->result->cause);
            tug_proto_drop(s->result->cause);
            s->result->cause =
                NULL; /* the step's first failure stands in its place when all is over */
        }
        s->phase = TUGPB__STEP_PHASE__STEP_ENDING;
        tug_agent_keep_step(a, s, true);
    }
    tug_agent_send(a, s->peer, TUG_MSG_SD_RESULT_ACK, &ack);
    if (!s->gone && s->hard_ms > a->now_ms + AGENT_LEAVE_MS) /* unless it hangs on a file of its user's */
        s->hard_ms = a->now_ms + AGENT_LEAVE_MS;
    if (s->gone)
        tug_agent_finish(a, s);
}

static void from_bound(struct tug_agent *a, struct agent_step *s, enum tug_msg number,
                       const ProtobufCMessage *m)
{
    switch (number) {
    case TUG_MSG_SD_READY:
        h_sd_ready(a, s, (const Tugpb__SdReady *) m);
        break;
    case TUG_MSG_SD_WIRED:
        h_sd_wired(a, s, (const Tugpb__SdWired *) m);
        break;
    case TUG_MSG_SD_FAILURE:
        h_sd_failure(a, s, (const Tugpb__SdFailure *) m);
        break;
    case TUG_MSG_SD_WATCH:
        h_sd_watch(a, s, (const Tugpb__SdWatch *) m);
        break;
    case TUG_MSG_SD_STOPPED:
        h_sd_stopped(a, s, (const Tugpb__SdStopped *) m);
        break;
    case TUG_MSG_SD_RESULT:
        h_sd_result(a, s, (const Tugpb__SdResult *) m);
        break;
    default:
        break;
    }
}

static void stranger(struct tug_agent *a, struct agent_peer *p, const char *why)
{
    a->counts.strangers++;
    tug_agent_log(a, TUG_LOG_WARN, "connection of pid %u, uid %u closed: %s", p->pid, p->uid, why);
    tug_agent_close_peer(a, p);
}

/* Its daemon knows best how far a step is. One that waits at the barrier although the records say RUNNING was never told
 * to go on: an earlier life of this agent kept the record and died before the word left. Saying READY once more makes
 * the controller repeat it. */
static void take_phase(struct tug_agent *a, struct agent_step *s, Tugpb__StepPhase phase)
{
    if (phase > s->phase && phase <= TUGPB__STEP_PHASE__STEP_ENDING) {
        s->phase = phase;
    } else if (phase < TUGPB__STEP_PHASE__STEP_RUNNING && s->phase == TUGPB__STEP_PHASE__STEP_RUNNING) {
        s->phase = s->ready ? TUGPB__STEP_PHASE__STEP_READY : TUGPB__STEP_PHASE__STEP_STARTING;
        tug_agent_keep_step(a, s, false);
        tug_agent_report(a, s);
    }
}

void tug_agent_bind(struct tug_agent *a, struct agent_peer *p)
{
    if (!a->listed || !p->hello || p->hello_by_ms == INT64_MAX)
        return;
    struct agent_step *s = tug_agent_find(a, p->key);
    if (!s || s->phase == TUGPB__STEP_PHASE__STEP_DONE) {
        stranger(a, p, "no such step is held here");
        return;
    }
    if (!s->pid)
        return; /* the launcher's word is on its way */
    if (s->pid != p->pid || s->uid != p->uid) {
        stranger(a, p, "it is not the step daemon that the launcher started");
        return;
    }
    for (size_t i = a->peers.len; s->peer && i-- > 0;)
        if (a->peers.at[i]->id == s->peer)
            tug_agent_close_peer(a, a->peers.at[i]);
    s->peer = p->id;
    s->seen = true;
    p->hello_by_ms = INT64_MAX;
    take_phase(a, s, p->phase);
    tug_agent_deliver(a, s);
    struct agent_queued queue[AGENT_QUEUE_MAX];
    struct agent_key key = s->key;
    size_t n = p->n_queue;
    memcpy(queue, p->queue, sizeof queue);
    p->n_queue = 0;
    for (size_t i = 0; i < n; i++) { /* one of them may close p, and may be the last word of s */
        s = tug_agent_find(a, key);
        if (s && s->peer)
            from_bound(a, s, queue[i].number, queue[i].m);
        tug_proto_drop(queue[i].m);
    }
}

static void h_sd_hello(struct tug_agent *a, struct agent_peer *p, const Tugpb__SdHello *m)
{
    if (p->hello || !tug_agent_key_of(m->key, &p->key)) {
        stranger(a, p, "its hello makes no sense");
        return;
    }
    p->hello = true;
    p->phase = m->phase;
    tug_agent_bind(a, p);
}

void tug_agent_from_stepd(struct tug_agent *a, struct agent_peer *p, enum tug_msg number,
                          const ProtobufCMessage *m)
{
    struct agent_step *s = step_of(a, p);
    if (number == TUG_MSG_SD_HELLO) {
        h_sd_hello(a, p, (const Tugpb__SdHello *) m);
    } else if (s) {
        from_bound(a, s, number, m);
    } else if (p->hello && p->n_queue < AGENT_QUEUE_MAX) {
        p->queue[p->n_queue].number = number;
        p->queue[p->n_queue++].m = tug_proto_copy(m);
    } else {
        stranger(a, p, "it speaks before its step is known");
    }
}
