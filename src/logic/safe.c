/* safe.c - safe mode: a state that is older than its cluster
 *
 * A state that was restored from a backup does not know what happened since: ids that were given
 * out, gangs that nodes run, epochs that nodes have obeyed. While it is in safe mode a controller
 * starts no gang and ends none that it does not know; nodes say what they hold, what is known is
 * adopted.
 *
 *   MARKED   a copy made by `tug admin backup`, or put back by `tug admin restore`: an admin wants
 * it. The first start jumps over ids and epochs that may have been used since, then hears HEARING
 * until every configured node has said what it holds, and nothing unknown is left there; or an
 * admin does not want to wait (forced): what is unknown is ended first DOUBT    nobody said that
 * this state is an old one, but a node has obeyed a later epoch. Perhaps this is not the controller
 * of the cluster any more: that node gets no word, nothing starts and nothing is submitted until an
 * admin says that it is. Then: HEARING
 *
 * Layer: logic.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "logic/control_int.h"

/* More than a cluster uses up between two backups. */
#define IDS_SKIPPED    1000000
#define EPOCHS_SKIPPED 1000
#define NAMES_SHOWN    5

static void put(struct tug_control *c)
{
    tug_ctl_put_meta(c, tug_ctl_batch(c));
}

static uint64_t beyond(uint64_t id)
{
    return (id / IDS_SKIPPED + 2) * IDS_SKIPPED; /* round, and at least so many */
}

static void hear(struct tug_control *c)
{
    c->safe.state = TUGPB__SAFE_MODE__SAFE_HEARING;
    c->epoch = (c->epoch > c->safe.seen_epoch ? c->epoch : c->safe.seen_epoch) + EPOCHS_SKIPPED;
    c->id_limit = beyond(c->next_id > c->id_limit ? c->next_id : c->id_limit);
    c->next_id = c->id_limit;
    tug_ctl_commits_skip(c);
    for (size_t i = 0; i < c->n_nodes; i++) {
        c->nodes[i].has_reported = 0;
        if (c->nodes[i].peer) /* it came before the doubt did, and is to say again what it holds */
            tug_outbox_close(c->out, c->nodes[i].peer);
    }
    put(c);
}

void tug_ctl_safe_start(struct tug_control *c)
{
    if (c->safe.state == TUGPB__SAFE_MODE__SAFE_OFF)
        return;
    if (c->safe.state == TUGPB__SAFE_MODE__SAFE_MARKED) {
        c->safe.since_ms = tug_ctl_now(c);
        hear(c);
    }
    tug_ctl_log(c, TUG_LOG_WARN, "safe mode: %s", c->safe.why);
}

int tug_ctl_safe_holds(const struct tug_control *c)
{
    return c->safe.state != TUGPB__SAFE_MODE__SAFE_OFF;
}

int tug_ctl_safe_doubts(const struct tug_control *c, struct tug_err *err)
{
    if (c->safe.state != TUGPB__SAFE_MODE__SAFE_DOUBT)
        return 0;
    return tug_fail(
        err, -EAGAIN,
        "safe mode, nothing is taken: %s; when this is the cluster's controller, its admin "
        "says so with `tug admin resume-scheduling`",
        c->safe.why);
}

/* ---- nodes */

/* What shows it to be the older one. */
enum shown { BY_NOTHING, BY_EPOCH, BY_COMMIT };

static enum shown shows_older(const struct tug_control *c, uint32_t node, uint64_t max_epoch, uint64_t commit)
{
    /* Another life had that number: this one began with a state that had not come so far. */
    int is_taken = max_epoch == c->epoch && !c->nodes[node].has_reported;

    if (max_epoch > c->epoch || is_taken)
        return BY_EPOCH;
    return max_epoch < c->epoch && tug_ctl_commits_miss(c, max_epoch, commit) ? BY_COMMIT : BY_NOTHING;
}

int tug_ctl_safe_hello(struct tug_control *c, const char *node, uint64_t max_epoch, uint64_t commit,
                       struct tug_err *err)
{
    enum shown shown = shows_older(c, tug_core_node_find(c->core, node), max_epoch, commit);
    char what[128];

    if (shown == BY_NOTHING)
        return 0;
    if (max_epoch > c->safe.seen_epoch)
        c->safe.seen_epoch = max_epoch;
    tug_ctl_commits_heard(c, commit);
    if (c->safe.state == TUGPB__SAFE_MODE__SAFE_HEARING && shown == BY_EPOCH) {
        c->epoch = max_epoch + EPOCHS_SKIPPED; /* durable before the node is welcomed under it */
        put(c);
        return 0;
    }
    if (shown == BY_EPOCH)
        snprintf(what, sizeof what, "has obeyed epoch %llu before, this controller comes to %llu only now",
                 (unsigned long long) max_epoch, (unsigned long long) c->epoch);
    else
        snprintf(what, sizeof what, "has heard of commit %llu of epoch %llu, which this state does not have",
                 (unsigned long long) commit, (unsigned long long) max_epoch);
    tug_fail(
        err, -ESTALE,
        "node '%s' %s: this state is older "
        "than the cluster's (an old backup or copy, or another controller has taken over); it gives that "
        "node no orders until `tug admin resume-scheduling` says that it is the cluster's "
        "controller",
        node, what);
    if (c->safe.state != TUGPB__SAFE_MODE__SAFE_DOUBT) {
        c->safe.since_ms = tug_ctl_now(c);
        snprintf(c->safe.why, sizeof c->safe.why, "node '%.64s' %s: it is older than the cluster", node, what);
        tug_ctl_log(c, TUG_LOG_ERROR, "safe mode: %s; nothing is started", c->safe.why);
    }
    c->safe.state = TUGPB__SAFE_MODE__SAFE_DOUBT;
    put(c);
    return -ESTALE;
}

static int is_of(const struct ctl_stray *s, uint32_t node, uint64_t job, uint32_t attempt,
                 uint32_t step)
{
    return s->node == node && s->job == job && s->attempt == attempt && s->step == step;
}

void tug_ctl_safe_reported(struct tug_control *c, uint32_t node, const struct tug_held_step *held,
                           size_t n)
{
    uint64_t last = 0;
    size_t kept = 0;

    c->nodes[node].has_reported = 1;
    if (!tug_ctl_safe_holds(c))
        return;
    for (size_t i = 0; i < c->safe.strays.len; i++) /* it says anew what it holds */
        if (c->safe.strays.at[i].node != node)
            c->safe.strays.at[kept++] = c->safe.strays.at[i];
    c->safe.strays.len = kept;
    for (size_t i = 0; i < n; i++)
        last = held[i].job > last ? held[i].job : last;
    if (last < c->next_id)
        return;
    c->next_id = c->id_limit = beyond(last);
    put(c);
}

void tug_ctl_safe_done(struct tug_control *c, uint32_t node, const Tugpb__StepKey *key)
{
    struct tug_core_node k;

    for (size_t i = 0; i < c->safe.strays.len; i++)
        if (is_of(&c->safe.strays.at[i], node, key->job, key->attempt, key->step)) {
            tug_core_node(c->core, node, &k);
            tug_ctl_log(
                c, TUG_LOG_INFO,
                "safe mode: job %llu attempt %u step %u, which this state does not know, is "
                "over on node %s",
                (unsigned long long) key->job, key->attempt, key->step, k.name);
            tug_vec_remove(&c->safe.strays, i);
            return;
        }
}

static int is_known(const struct tug_control *c, const struct tug_action *a)
{
    const struct tug_job *job = tug_core_job(c->core, a->job);

    return job && job->attempt == a->attempt && tug_job_state_holds(job->state);
}

/* It ends by itself; but for a visit, whose node ends nothing for it, and runs its epilog when all else is over. */
static int is_left_alone(const struct tug_control *c, const struct ctl_stray *s)
{
    return !c->safe.forced && s->step != TUG_VISIT_STEP;
}

int tug_ctl_safe_stops(struct tug_control *c, const struct tug_action *a)
{
    struct ctl_stray s = {a->node, a->job, a->attempt, a->step};

    if (!tug_ctl_safe_holds(c))
        return 0;
    if (a->type == TUG_ACT_LAUNCH)
        return a->step == 0 || a->step == TUG_VISIT_STEP; /* it may have run, and been started again elsewhere, since */
    if (is_known(c, a))
        return 0;
    for (size_t i = 0; i < c->safe.strays.len; i++)
        if (is_of(&c->safe.strays.at[i], s.node, s.job, s.attempt, s.step))
            return is_left_alone(c, &s);
    tug_vec_push(&c->safe.strays, s);
    return is_left_alone(c, &s);
}

/* ---- ending what is not known */

static void end_stray(struct tug_control *c, const struct ctl_stray *s, const char *why)
{
    struct tug_action a = {.type = TUG_ACT_KILL,
                           .job = s->job,
                           .attempt = s->attempt,
                           .step = s->step,
                           .node = s->node};

    tug_str_copy(a.text, sizeof a.text, why);
    tug_ctl_order_kill(c, &a);
}

void tug_ctl_safe_cancelled(struct tug_control *c, uint64_t job, const char *why)
{
    for (size_t i = 0; i < c->safe.strays.len; i++)
        if (c->safe.strays.at[i].job == job)
            end_stray(c, &c->safe.strays.at[i], why);
}

static void force(struct tug_control *c)
{
    c->safe.forced = 1;
    for (size_t i = 0; i < c->safe.strays.len; i++)
        end_stray(c, &c->safe.strays.at[i], "is not known to the state that was restored");
}

/* ---- and out of it */

/* What is there that must be waited for: nodes that have not reported, steps that nobody knows. */
static size_t missing(const struct tug_control *c, struct tug_buf *names)
{
    struct tug_core_node k;
    size_t n = 0;

    for (uint32_t i = 0; i < c->n_nodes; i++) {
        if (c->nodes[i].has_reported)
            continue;
        tug_core_node(c->core, i, &k);
        if (names && n < NAMES_SHOWN)
            tug_buf_addf(names, "%s%s", n ? ", " : "", k.name);
        n++;
    }
    if (names && n > NAMES_SHOWN)
        tug_buf_addf(names, " and %zu more", n - NAMES_SHOWN);
    return n;
}

/* Past its lease a node has ended what may be queued again, and nothing else; what this state would start again must be
 * over for certain. */
static int may_meet_itself(const struct tug_control *c, const struct ctl_stray *s)
{
    const struct tug_job *job = tug_core_job(c->core, s->job);

    return job && !tug_job_state_is_over(job->state) && !job->req.requeue;
}

/* Once they are to be ended, a node that is certainly over has none any more. */
static size_t strays(const struct tug_control *c, struct tug_buf *names)
{
    struct tug_core_node k;
    size_t n = 0;

    for (size_t i = 0; i < c->safe.strays.len; i++) {
        const struct ctl_stray *s = &c->safe.strays.at[i];

        if (c->safe.forced && c->nodes[s->node].told_over && !may_meet_itself(c, s))
            continue;
        tug_core_node(c->core, s->node, &k);
        if (names && n < NAMES_SHOWN)
            tug_buf_addf(names, "%sjob %llu on %s", n ? ", " : "", (unsigned long long) s->job,
                         k.name);
        n++;
    }
    if (names && n > NAMES_SHOWN)
        tug_buf_addf(names, " and %zu more", n - NAMES_SHOWN);
    return n;
}

static void leave(struct tug_control *c)
{
    tug_ctl_log(c, TUG_LOG_INFO,
                "safe mode is over, jobs are started again; new ones begin at %llu",
                (unsigned long long) c->next_id);
    c->safe.state = TUGPB__SAFE_MODE__SAFE_OFF;
    c->safe.why[0] = '\0';
    c->safe.since_ms = 0;
    c->safe.seen_epoch = 0;
    c->safe.forced = 0;
    c->safe.strays.len = 0;
    /* A node remembers which attempts ended there; those that this state does not know are below, also those of a life that
     * began with the same copy: each goes on with an epoch that is by more above those before than a job is started again. */
    if (c->safe.attempts_skipped < c->epoch)
        c->safe.attempts_skipped = c->epoch < UINT32_MAX / 2 ? (uint32_t) c->epoch : UINT32_MAX / 2;
    tug_core_skip_attempts(c->core, c->safe.attempts_skipped);
    tug_ctl_actions(c);
    put(c);
}

void tug_ctl_safe_check(struct tug_control *c)
{
    if (c->safe.state == TUGPB__SAFE_MODE__SAFE_HEARING && (c->safe.forced || !missing(c, NULL)) &&
        !strays(c, NULL))
        leave(c);
}

char *tug_ctl_safe_text(const struct tug_control *c)
{
    struct tug_buf text = {0}, nodes = {0}, steps = {0};
    size_t n, k;

    if (!tug_ctl_safe_holds(c))
        return NULL;
    n = missing(c, &nodes);
    k = strays(c, &steps);
    tug_buf_addf(&text, "safe mode: %s; no gang is started", c->safe.why);
    if (c->safe.state == TUGPB__SAFE_MODE__SAFE_DOUBT) {
        tug_buf_adds(&text, " until an admin says that this is the cluster's controller (tug admin "
                            "resume-scheduling)");
    } else {
        if (n && !c->safe.forced)
            tug_buf_addf(&text, " until %s reported", tug_buf_str(&nodes));
        if (k)
            tug_buf_addf(&text, "%s steps that this state does not know are over (%s)",
                         n && !c->safe.forced ? ", and until" : " until", tug_buf_str(&steps));
        if (!c->safe.forced)
            tug_buf_adds(&text, ", or an admin ends the waiting and these steps (tug admin "
                                "resume-scheduling --now)");
    }
    tug_buf_clear(&nodes);
    tug_buf_clear(&steps);
    return tug_buf_take(&text);
}

void h_resume(struct tug_control *c, struct ctl_peer *p, uint32_t rid, const ProtobufCMessage *msg)
{
    const Tugpb__ResumeRequest *m = (const Tugpb__ResumeRequest *) msg;
    Tugpb__ResumeReply r = TUGPB__RESUME_REPLY__INIT;
    char *text;

    if (c->safe.state == TUGPB__SAFE_MODE__SAFE_DOUBT) {
        tug_ctl_log(c, TUG_LOG_WARN, "%s says that this is the cluster's controller",
                    p->user->name);
        hear(c);
    } else if (tug_ctl_safe_holds(c) && m->now) {
        tug_ctl_log(c, TUG_LOG_WARN, "%s ends the waiting of safe mode", p->user->name);
        force(c);
    }
    tug_ctl_safe_check(c);
    text = tug_ctl_safe_text(c);
    r.resumed = !text;
    r.text = text ? text : (char *) "jobs are started";
    tug_outbox_send(c->out, p->id, TUG_MSG_RESUME_REPLY, rid, &r.base);
    free(text);
}
