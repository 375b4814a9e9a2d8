/* jobverbs.c - what users do to jobs: cancel, requeue, hold, release
 *
 * A request names jobs by their ids, or chooses them by a filter (filter.c): of all, those of the caller, or of everybody
 * for an operator, that the verb can be done to. One job's refusal does not stop the others. Layer: logic.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "logic/control_int.h"

struct verb {
    /* Of the jobs that a filter takes: is there anything to do? */
    int (*fits)(const struct tug_job *job);
    /* The caller may. */
    int (*one)(struct tug_control *c, const struct ctl_user *u, const ProtobufCMessage *m, const struct tug_job *job,
               struct tug_err *err);
};

struct outcome {
    struct tug_arena arena;
    uint64_t *done, *changed; /* changed: of those done, whose hold is another one now */
    Tugpb__Error **failed;
    size_t n_done, n_changed, n_failed;
};

static Tugpb__Error *error_pb(struct tug_arena *a, const struct tug_err *err)
{
    Tugpb__Error *e = tug_ctl_alloc(a, sizeof *e);

    tugpb__error__init(e);
    e->code = -err->code;
    e->text = tug_ctl_fmt(a, "%s", err->msg);
    return e;
}

static int is_theirs(const struct tug_control *c, const struct ctl_user *u, const struct tug_job *job)
{
    return job->req.uid == u->uid || tug_control_is_operator(c, u->uid);
}

/* Its owner, and operators. */
static int may(const struct tug_control *c, const struct ctl_user *u, const struct tug_job *job, uint64_t id,
               struct tug_err *err)
{
    if (!job)
        return tug_ctl_no_job(err, id);
    if (!is_theirs(c, u, job))
        return tug_fail(err, -EPERM, "job %llu belongs to %s, not to %s", (unsigned long long) id, job->req.user, u->name);
    return 0;
}

/* The arena is the caller's. Where no job could be like the filter, that is the reply, and -EINVAL. */
static int do_to(struct tug_control *c, struct ctl_peer *p, uint32_t rid, const uint64_t *jobs, size_t n,
                 const Tugpb__JobsRequest *filter, const struct verb *v, const ProtobufCMessage *m, struct outcome *out)
{
    const struct ctl_user *u = p->user;
    struct tug_vec(uint64_t) ids = {0};
    struct tug_err err = {0};

    *out = (struct outcome){.arena = {.budget_bytes = 64 << 20}};
    if (!n && filter && tug_ctl_filter_check(filter, &err) != 0) {
        tug_ctl_reply_error(c, p, rid, err.code, err.msg);
        return err.code;
    }
    for (size_t i = 0; i < n; i++)
        tug_vec_push(&ids, jobs[i]);
    if (!n && filter)
        for (const struct tug_job *job = tug_core_job_after(c->core, 0); job; job = tug_core_job_after(c->core, job->id))
            if (tug_ctl_filter_takes(filter, job) && v->fits(job) && is_theirs(c, u, job))
                tug_vec_push(&ids, job->id);
    out->done = tug_ctl_alloc(&out->arena, ids.len * sizeof *out->done);
    out->changed = tug_ctl_alloc(&out->arena, ids.len * sizeof *out->changed);
    out->failed = tug_ctl_alloc(&out->arena, ids.len * sizeof *out->failed);
    for (size_t i = 0; i < ids.len; i++) {
        const struct tug_job *job = tug_core_job(c->core, ids.at[i]);
        enum tug_onhold_by by = job ? job->onhold.by : TUG_ONHOLD_NOBODY;
        struct tug_err why = {0};

        if (may(c, u, job, ids.at[i], &why) != 0 || v->one(c, u, m, job, &why) != 0) {
            out->failed[out->n_failed++] = error_pb(&out->arena, &why);
            continue;
        }
        out->done[out->n_done++] = ids.at[i];
        job = tug_core_job(c->core, ids.at[i]);
        if (job && job->onhold.by != by)
            out->changed[out->n_changed++] = ids.at[i];
    }
    tug_vec_clear(&ids);
    return 0;
}

/* ---- cancel */

static int is_alive(const struct tug_job *job)
{
    return !tug_job_state_is_over(job->state);
}

static int cancel_one(struct tug_control *c, const struct ctl_user *u, const ProtobufCMessage *msg,
                      const struct tug_job *job, struct tug_err *err)
{
    const Tugpb__CancelRequest *m = (const Tugpb__CancelRequest *) msg;
    struct tug_event ev = {
        .type = TUG_EV_JOB_CANCEL, .job = job->id, .step = m->step, .signal = m->signal, .uid = u->uid};
    char text[200];
    int rc;

    if (m->signal < 0 || m->signal > 64)
        return tug_fail(err, -EINVAL, "there is no signal %d", m->signal);
    snprintf(text, sizeof text, "cancelled by %s%s%.100s", u->name, m->why[0] ? ": " : "", m->why);
    ev.text = text;
    if (m->signal)
        ev.type = TUG_EV_JOB_SIGNAL;
    else if (m->step)
        ev.type = TUG_EV_STEP_CANCEL;
    rc = tug_ctl_apply(c, &ev, err);
    if (rc == 0 && ev.type == TUG_EV_JOB_CANCEL)
        tug_ctl_safe_cancelled(c, ev.job, text);
    return rc;
}

void h_cancel(struct tug_control *c, struct ctl_peer *p, uint32_t rid, const ProtobufCMessage *msg)
{
    static const struct verb cancel = {is_alive, cancel_one};
    const Tugpb__CancelRequest *m = (const Tugpb__CancelRequest *) msg;
    Tugpb__CancelReply r = TUGPB__CANCEL_REPLY__INIT;
    struct outcome o;

    if (do_to(c, p, rid, m->jobs, m->n_jobs, m->filter, &cancel, msg, &o) != 0)
        return;
    r.done = o.done;
    r.n_done = o.n_done;
    r.failed = o.failed;
    r.n_failed = o.n_failed;
    tug_outbox_send(c->out, p->id, TUG_MSG_CANCEL_REPLY, rid, &r.base);
    tug_arena_clear(&o.arena);
}

/* ---- requeue */

static int has_an_attempt(const struct tug_job *job)
{
    return tug_job_state_holds(job->state) && job->state != TUG_JOB_COMPLETING && job->state != TUG_JOB_REQUEUED;
}

static int hold_one(struct tug_control *c, const struct ctl_user *u, uint64_t id, const char *why, int release,
                    struct tug_err *err)
{
    int is_own = tug_core_job(c->core, id)->req.uid == u->uid;
    struct tug_event ev = {.type = release ? TUG_EV_JOB_RELEASE : TUG_EV_JOB_HOLD,
                           .job = id,
                           .uid = u->uid,
                           .user = u->name,
                           .text = why,
                           .force = tug_control_is_operator(c, u->uid) && (release || !is_own)};

    return tug_ctl_apply(c, &ev, err);
}

static int requeue_one(struct tug_control *c, const struct ctl_user *u, const ProtobufCMessage *msg,
                       const struct tug_job *job, struct tug_err *err)
{
    const Tugpb__RequeueRequest *m = (const Tugpb__RequeueRequest *) msg;
    struct tug_event ev = {.type = TUG_EV_JOB_REQUEUE, .job = job->id, .uid = u->uid};
    char text[200];
    int waits = job->state == TUG_JOB_PENDING || job->state == TUG_JOB_REQUEUED, rc = 0;

    snprintf(text, sizeof text, "requeued by %s%s%.100s", u->name, m->why[0] ? ": " : "", m->why);
    ev.text = text;
    if (!m->hold || !waits)
        rc = tug_ctl_apply(c, &ev, err);
    return rc || !m->hold ? rc : hold_one(c, u, ev.job, m->why, 0, err);
}

void h_requeue(struct tug_control *c, struct ctl_peer *p, uint32_t rid, const ProtobufCMessage *msg)
{
    static const struct verb requeue = {has_an_attempt, requeue_one};
    const Tugpb__RequeueRequest *m = (const Tugpb__RequeueRequest *) msg;
    Tugpb__RequeueReply r = TUGPB__REQUEUE_REPLY__INIT;
    struct outcome o;

    if (do_to(c, p, rid, m->jobs, m->n_jobs, m->filter, &requeue, msg, &o) != 0)
        return;
    r.done = o.done;
    r.n_done = o.n_done;
    r.failed = o.failed;
    r.n_failed = o.n_failed;
    tug_outbox_send(c->out, p->id, TUG_MSG_REQUEUE_REPLY, rid, &r.base);
    tug_arena_clear(&o.arena);
}

/* ---- hold, release */

static int may_be_held(const struct tug_job *job)
{
    return job->state == TUG_JOB_PENDING || job->state == TUG_JOB_REQUEUED;
}

static int is_held(const struct tug_job *job)
{
    return job->onhold.by != TUG_ONHOLD_NOBODY;
}

static int hold_or_release(struct tug_control *c, const struct ctl_user *u, const ProtobufCMessage *msg,
                           const struct tug_job *job, struct tug_err *err)
{
    const Tugpb__HoldRequest *m = (const Tugpb__HoldRequest *) msg;

    return hold_one(c, u, job->id, m->why, m->release, err);
}

void h_hold(struct tug_control *c, struct ctl_peer *p, uint32_t rid, const ProtobufCMessage *msg)
{
    static const struct verb hold = {may_be_held, hold_or_release}, release = {is_held, hold_or_release};
    const Tugpb__HoldRequest *m = (const Tugpb__HoldRequest *) msg;
    Tugpb__HoldReply r = TUGPB__HOLD_REPLY__INIT;
    struct outcome o;

    if (do_to(c, p, rid, m->jobs, m->n_jobs, m->filter, m->release ? &release : &hold, msg, &o) != 0)
        return;
    r.done = o.done;
    r.n_done = o.n_done;
    r.changed = o.changed;
    r.n_changed = o.n_changed;
    r.failed = o.failed;
    r.n_failed = o.n_failed;
    tug_outbox_send(c->out, p->id, TUG_MSG_HOLD_REPLY, rid, &r.base);
    tug_arena_clear(&o.arena);
}
