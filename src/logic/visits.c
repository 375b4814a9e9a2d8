/* visits.c - what nodes are told about the attempts that come to them, and which prologs and epilogs failed
 *
 * See core/visit.c. The last failure of each kind is kept with its node: what was said of it before is no news, so that
 * an administrator who resumed the node is not contradicted. Layer: logic.
 */
#include <stdlib.h>
#include <string.h>

#include "logic/control_int.h"

/* ---- what a node is told */

static char *uuid_of(const Tugpb__Inventory *inv, uint32_t device)
{
    if (device < inv->gpus)
        return device < inv->n_gpu_uuids ? inv->gpu_uuids[device] : NULL;
    for (size_t i = 0; i < inv->n_mig; i++)
        if (inv->mig[i]->device == device)
            return inv->mig[i]->uuid;
    return NULL;
}

static void set_gpus(struct tug_control *c, struct tug_arena *a, uint32_t node, tug_gpuset devices, Tugpb__Visit *v)
{
    const struct ctl_node *n = &c->nodes[node];
    ProtobufCMessage *m = NULL;

    v->gpus = tug_core_gpus_of(c->core, node, devices);
    if (!n->inventory_len ||
        tug_proto_decode(a, &tugpb__inventory__descriptor, n->inventory, n->inventory_len, &m, NULL) != 0)
        return;
    v->gpu_uuids = tug_ctl_alloc(a, TUG_GPUS_MAX * sizeof *v->gpu_uuids);
    for (; devices; devices &= devices - 1) {
        char *uuid = uuid_of((const Tugpb__Inventory *) m, (uint32_t) __builtin_ctzll(devices));
        if (uuid && *uuid)
            v->gpu_uuids[v->n_gpu_uuids++] = uuid;
    }
}

static void set_visit(struct tug_control *c, struct tug_arena *a, const struct tug_job *job, uint32_t node, Tugpb__Visit *v)
{
    const struct tug_slice *s = tug_job_slice_on(job, node);
    const struct ctl_job *j = tug_ctl_job(c, job->id);

    v->name = (char *) job->req.name;
    v->user = j ? j->user->name : (char *) "";
    v->uid = job->req.uid;
    v->gid = job->req.gid;
    v->queue = (char *) job->req.queue;
    v->account = (char *) (job->req.account ? job->req.account : "");
    v->nodelist = tug_ctl_nodelist(c, a, job);
    if (s)
        set_gpus(c, a, node, s->gpus, v);
    if (job->state == TUG_JOB_COMPLETING)
        v->state = (char *) tug_job_state_name(job->end_state);
    else if (job->state == TUG_JOB_REQUEUED || tug_job_state_is_over(job->state)) /* it did not wait for that node */
        v->state = (char *) tug_job_state_name(job->state);
    v->exit = tug_ctl_exit_pb(a, &job->exit);
}

/* It waits again, or runs again already: what that attempt had the node knows, and what became of it is kept with the job. */
static void set_past(struct tug_arena *a, const struct tug_job *job, uint32_t attempt, Tugpb__Visit *v)
{
    v->state = (char *) tug_job_state_name(TUG_JOB_REQUEUED);
    for (size_t i = 0; i < job->n_attempts; i++)
        if (job->attempts[i].attempt == attempt)
            v->exit = tug_ctl_exit_pb(a, &job->attempts[i].cause.exit);
}

void tug_ctl_order_visit(struct tug_control *c, const struct tug_action *act, int leave)
{
    const struct tug_job *job = tug_core_job(c->core, act->job);
    tug_peer_id peer = act->node < c->n_nodes ? c->nodes[act->node].peer : 0;
    struct tug_arena a = {.budget_bytes = 64 << 20};
    Tugpb__StepVisit m = TUGPB__STEP_VISIT__INIT;
    Tugpb__StepKey key = TUGPB__STEP_KEY__INIT;
    Tugpb__Visit v = TUGPB__VISIT__INIT;

    if (!peer)
        return; /* told again when it comes back */
    key.job = act->job;
    key.attempt = act->attempt;
    key.step = act->step;
    m.epoch = c->epoch;
    m.key = &key;
    m.commit = tug_ctl_commits_of_order(c);
    m.leave = leave;
    if (job && job->attempt == act->attempt) {
        set_visit(c, &a, job, act->node, &v);
        m.visit = &v;
    } else if (job && leave) {
        set_past(&a, job, act->attempt, &v);
        m.visit = &v;
    }
    tug_outbox_send(c->out, peer, TUG_MSG_STEP_VISIT, 0, &m.base);
    tug_arena_clear(&a);
}

/* ---- failures */

void tug_ctl_keep_visit_failure(struct ctl_node *n, const Tugpb__VisitFailure *m)
{
    Tugpb__VisitFailure **kept = &n->visit_failures[m->epilog];
    Tugpb__VisitFailure *copy = (Tugpb__VisitFailure *) tug_proto_copy(&m->base);

    tug_ctl_forget_visit_failure(kept);
    *kept = copy;
}

void tug_ctl_forget_visit_failure(Tugpb__VisitFailure **kept)
{
    tug_proto_drop(*kept);
    *kept = NULL;
}

size_t tug_ctl_visit_failures_pb(struct tug_arena *a, const struct ctl_node *n, Tugpb__VisitFailure ***out)
{
    size_t all = 0;

    *out = tug_ctl_alloc(a, 2 * sizeof **out);
    for (size_t i = 0; i < 2; i++)
        if (n->visit_failures[i])
            (*out)[all++] = n->visit_failures[i];
    return all;
}

void tug_ctl_view_visit_failures(struct tug_arena *a, const struct ctl_node *n, const struct tug_core_node *k,
                                 Tugpb__NodeView *out)
{
    out->visit_failures = tug_ctl_alloc(a, 2 * sizeof *out->visit_failures);
    for (size_t i = 0; i < k->n_drains; i++) {
        enum tug_drain by = k->drains[i].by;
        Tugpb__VisitFailure *f = by == TUG_DRAIN_PROLOG || by == TUG_DRAIN_EPILOG ? n->visit_failures[by == TUG_DRAIN_EPILOG] : NULL;
        if (f)
            out->visit_failures[out->n_visit_failures++] = f;
    }
}

static int is_news(const Tugpb__VisitFailure *was, const Tugpb__VisitFailure *is)
{
    return !was || was->job != is->job || was->attempt != is->attempt || was->at_ms != is->at_ms;
}

void h_visit_failure(struct tug_control *c, struct ctl_peer *p, uint32_t rid, const ProtobufCMessage *msg)
{
    const Tugpb__VisitFailure *m = (const Tugpb__VisitFailure *) msg;
    struct ctl_node *n = tug_ctl_node_heard(c, p);
    struct tug_event ev = {.type = TUG_EV_NODE_VISIT_FAILED, .node = p->node, .is_epilog = m->epilog, .text = m->text};

    (void) rid;
    if (!n || !is_news(n->visit_failures[m->epilog], m))
        return;
    tug_ctl_keep_visit_failure(n, m);
    tug_ctl_node_dirty(c, p->node);
    tug_ctl_apply(c, &ev, NULL);
}
