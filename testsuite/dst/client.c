/* client.c - users: they submit, cancel, wait and drain, and ask again when the answer does not come
 *
 * Every errand is a connection to a controller with one request on it, as a command makes it. When the connection is
 * lost, or the answer takes too long, the same request is made again: a submit with the same token. Layer: tests.
 */
#include "dst.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ACTIVE_MAX 24      /* jobs that are not over: nobody submits more */

static struct dst_errand *errand(struct dst *w, uint64_t id)
{
    return id && id <= w->errands.len ? &w->errands.at[id - 1] : NULL;
}

static struct dst_errand *set_out(struct dst *w, enum dst_errand_kind kind, uint64_t job, int64_t in_ms)
{
    struct dst_errand e = {.id = w->errands.len + 1, .kind = kind, .job = job};

    tug_vec_push(&w->errands, e);
    dst_later(w, in_ms, DST_CLIENT, 0)->id = e.id;
    return &w->errands.at[w->errands.len - 1];
}

/* ---- what is asked */

static void ask(struct dst *w, struct dst_errand *e, enum tug_msg number, const ProtobufCMessage *m)
{
    struct dst_event *ev = dst_later(w, dst_between(&w->of_net, 0, 3), DST_ARRIVES_CLIENT, e->ctl);

    ev->id = e->id;
    ev->dir = DST_TO_CTL;
    ev->arg = e->peer;
    dst_event_body(ev, (uint16_t) number, (uint32_t) e->id, m);
}

static void ask_submit(struct dst *w, struct dst_errand *e)
{
    const struct dst_job *j = &w->jobs.at[e->job - 1];
    Tugpb__SubmitRequest m = TUGPB__SUBMIT_REQUEST__INIT;
    Tugpb__JobSpec spec = TUGPB__JOB_SPEC__INIT;
    Tugpb__ResourceRequest res = TUGPB__RESOURCE_REQUEST__INIT;
    char *argv[] = {(char *) "train"};

    res.nodes = j->nodes;
    res.mig_profile = (char *) (uintptr_t) j->profile;
    res.gpu_milli = j->milli;
    if (j->milli)
        ;
    else if (j->nodes)
        res.gpus_per_node = j->gpus;
    else
        res.gpus = j->gpus;
    spec.res = &res;
    spec.kind = j->batch ? TUGPB__JOB_KIND__JOB_BATCH : TUGPB__JOB_KIND__JOB_GANG;
    spec.argv = argv;
    spec.n_argv = 1;
    if (j->batch) {
        spec.script.data = (uint8_t *) "#!/bin/sh\n";
        spec.script.len = 10;
    }
    spec.cwd = (char *) "/tmp";
    spec.env.data = (uint8_t *) "A=1";
    spec.env.len = 4;
    spec.no_requeue = !j->requeue;
    spec.queue = (char *) (uintptr_t) j->queue;
    spec.time_limit_s = j->time_limit_s;
    spec.requeue_on = (char *) (uintptr_t) j->again.on;
    spec.max_requeues = j->again.max;
    spec.requeue_delay_s = j->again.delay_s;
    m.spec = &spec;
    m.token = (char *) (uintptr_t) j->token;
    ask(w, e, TUG_MSG_SUBMIT_REQUEST, &m.base);
}

static void ask_step(struct dst *w, struct dst_errand *e)
{
    Tugpb__SubmitRequest m = TUGPB__SUBMIT_REQUEST__INIT;
    Tugpb__JobSpec spec = TUGPB__JOB_SPEC__INIT;
    char *argv[] = {(char *) "step"};

    spec.kind = TUGPB__JOB_KIND__JOB_GANG;
    spec.argv = argv;
    spec.n_argv = 1;
    spec.cwd = (char *) "/tmp";
    m.spec = &spec;
    m.in_job = w->jobs.at[e->job - 1].id;
    ask(w, e, TUG_MSG_SUBMIT_REQUEST, &m.base);
}

static void ask_cancel(struct dst *w, struct dst_errand *e)
{
    Tugpb__CancelRequest m = TUGPB__CANCEL_REQUEST__INIT;
    struct dst_job *j = &w->jobs.at[e->job - 1];

    j->cancelled = true;
    m.jobs = &j->id;
    m.n_jobs = 1;
    ask(w, e, TUG_MSG_CANCEL_REQUEST, &m.base);
}

static void ask_requeue(struct dst *w, struct dst_errand *e)
{
    Tugpb__RequeueRequest m = TUGPB__REQUEUE_REQUEST__INIT;
    struct dst_job *j = &w->jobs.at[e->job - 1];

    dst_again_asked(w, j);
    m.jobs = &j->id;
    m.n_jobs = 1;
    m.why = (char *) "looked after";
    ask(w, e, TUG_MSG_REQUEUE_REQUEST, &m.base);
}

/* Held from the first word that it is, until somebody asks for the contrary. */
static void ask_hold(struct dst *w, struct dst_errand *e)
{
    struct dst_job *j = &w->jobs.at[e->job - 1];
    Tugpb__HoldRequest m = TUGPB__HOLD_REQUEST__INIT;
    Tugpb__RequeueRequest again = TUGPB__REQUEUE_REQUEST__INIT;

    if (e->resume)
        j->held = false;
    if (e->by_requeue) {
        dst_again_asked(w, j);
        again.jobs = &j->id;
        again.n_jobs = 1;
        again.hold = 1;
        ask(w, e, TUG_MSG_REQUEUE_REQUEST, &again.base);
        return;
    }
    m.jobs = &j->id;
    m.n_jobs = 1;
    m.release = e->resume;
    ask(w, e, TUG_MSG_HOLD_REQUEST, &m.base);
}

static void ask_wait(struct dst *w, struct dst_errand *e)
{
    Tugpb__WaitRequest m = TUGPB__WAIT_REQUEST__INIT;

    m.job = w->jobs.at[e->job - 1].id;
    ask(w, e, TUG_MSG_WAIT_REQUEST, &m.base);
}

static void ask_drain(struct dst *w, struct dst_errand *e)
{
    Tugpb__DrainRequest m = TUGPB__DRAIN_REQUEST__INIT;

    m.nodes = w->nodes[e->node].name;
    m.reason = (char *) "looked after";
    m.resume = e->resume;
    ask(w, e, TUG_MSG_DRAIN_REQUEST, &m.base);
}

static void ask_resume(struct dst *w, struct dst_errand *e)
{
    Tugpb__ResumeRequest m = TUGPB__RESUME_REQUEST__INIT;

    m.now = e->heard_life == e->ctl_life; /* it has said that only what it does not know is waited for */
    ask(w, e, TUG_MSG_RESUME_REQUEST, &m.base);
}

/* ---- a connection for it */

static void again(struct dst *w, struct dst_errand *e)
{
    w->n.client_retries++;
    dst_later(w, dst_between(&w->of_net, 300, 4000) * (e->tries < 20 ? 1 : 5), DST_CLIENT, 0)->id = e->id;
}

static void hang_up(struct dst *w, struct dst_errand *e)
{
    tug_peer_id peer = e->peer;

    e->peer = 0;
    if (peer && w->ctls[e->ctl].life == e->ctl_life)
        dst_ctl_peer_down(w, e->ctl, peer);
}

static void set_off(struct dst *w, struct dst_errand *e)
{
    static void (*const asks[])(struct dst *, struct dst_errand *) = {
        [DST_ERRAND_SUBMIT] = ask_submit, [DST_ERRAND_CANCEL] = ask_cancel, [DST_ERRAND_STEP] = ask_step,
        [DST_ERRAND_DRAIN] = ask_drain,   [DST_ERRAND_WAIT] = ask_wait,
        [DST_ERRAND_RESUME] = ask_resume, [DST_ERRAND_REQUEUE] = ask_requeue, [DST_ERRAND_HOLD] = ask_hold,
    };
    unsigned ctl = w->ctls[!w->leader].control && dst_chance(&w->of_net, 0.3) ? !w->leader : w->leader;
    struct dst_ctl *c = &w->ctls[ctl];
    uint64_t id = e->id;
    struct dst_event *ev;

    if (e->done || e->peer)
        return;
    e->tries++;
    if ((e->kind == DST_ERRAND_STEP && e->tries > 3) || ((e->kind == DST_ERRAND_DRAIN || e->kind == DST_ERRAND_HOLD) && !e->resume && w->calm)) {
        e->done = true;
        return;
    }
    if (!c->control || c->paused_until_ms > w->now_ms || (w->unnoticed && (e->kind == DST_ERRAND_SUBMIT || e->kind == DST_ERRAND_RESUME))) {
        again(w, e);
        return;
    }
    e->peer = ++w->next_id;
    e->ctl = ctl;
    e->ctl_life = c->life;
    ev = dst_later(w, e->kind == DST_ERRAND_WAIT ? 120000 : dst_between(&w->of_net, 5000, 15000), DST_CLIENT_GIVES_UP, 0);
    ev->id = id;
    ev->arg = e->peer;
    dst_ctl_peer_up(w, ctl, e->peer, DST_NODES_MAX);
    e = errand(w, id);
    if (e->peer)
        asks[e->kind](w, e);
    if (!w->calm && w->conf.with[0] && dst_chance(&w->of_faults, 0.05)) { /* it goes away in between */
        ev = dst_later(w, dst_between(&w->of_faults, 0, 20), DST_CLIENT_GIVES_UP, 0);
        ev->id = id;
        ev->arg = e->peer;
        w->n.client_drops++;
    }
}

/* What a controller says. It was said to a connection: who has hung up does not hear it. */
void dst_client_send(struct dst *w, unsigned ctl, tug_peer_id peer, uint16_t number, uint32_t rid,
                     const ProtobufCMessage *m)
{
    struct dst_event *ev;

    if (!m)
        return;
    ev = dst_later(w, dst_between(&w->of_net, 0, 3), DST_ARRIVES_CLIENT, ctl);
    ev->id = rid;
    ev->dir = DST_TO_NODE;
    ev->arg = peer;
    dst_event_body(ev, number, rid, m);
}

/* ---- answers */

static void set_out_to_hold(struct dst *w, uint64_t job, int64_t in_ms)
{
    set_out(w, DST_ERRAND_HOLD, job, in_ms)->by_requeue = dst_chance(&w->of_holds, 0.3);
}

/* What is held is released after a while; the same job may be held again then. One errand after the other. */
static void on_held(struct dst *w, struct dst_errand *e, bool is_done)
{
    struct dst_job *j = &w->jobs.at[e->job - 1];
    uint64_t job = e->job;

    e->done = true;
    if (e->resume) {
        if (!w->calm && dst_chance(&w->of_holds, 0.3))
            set_out_to_hold(w, job, dst_about(&w->of_holds, 60000));
        return;
    }
    j->held = is_done;
    w->n.holds += is_done;
    set_out(w, DST_ERRAND_HOLD, job, dst_about(&w->of_holds, 120000))->resume = true;
}

static void on_submitted(struct dst *w, struct dst_errand *e, const Tugpb__SubmitReply *m)
{
    struct dst_job *j = &w->jobs.at[e->job - 1];

    dst_truth_acked(w, j, m->job);
    e->done = true;
    if (j->end_told)
        return;
    uint64_t job = e->job;
    if (dst_chance(&w->of_users, 0.1))
        set_out(w, DST_ERRAND_CANCEL, job, dst_about(&w->of_users, 60000));
    if (dst_chance(&w->of_users, 0.3))
        set_out(w, DST_ERRAND_WAIT, job, dst_about(&w->of_users, 20000));
    if (w->conf.requeues && dst_chance(&w->of_more, 0.1))
        set_out(w, DST_ERRAND_REQUEUE, job, dst_about(&w->of_more, 120000));
    if (w->conf.holds && dst_chance(&w->of_holds, 0.3))
        set_out_to_hold(w, job, dst_about(&w->of_holds, 10000));
    if (j->batch)
        for (int i = 0; i < 4; i++)
            set_out(w, DST_ERRAND_STEP, job, dst_about(&w->of_users, 60000));
}

/* A refusal that says "not now" is asked again; any other one is an answer. */
static void on_error(struct dst *w, struct dst_errand *e, const Tugpb__Error *m)
{
    uint64_t id = e->id;

    dst_log(w, "a client is refused: %s", m->text);
    if (m->code == ENOSPC || (e->kind == DST_ERRAND_SUBMIT && (w->conf.reconfigures || w->conf.slices || m->code == EAGAIN))) {
        hang_up(w, e); /* there is no room, no node has said that it has such slices, nodes are missing from the configuration, or it is in doubt */
        again(w, errand(w, id));
        return;
    }
    if (e->kind == DST_ERRAND_SUBMIT)
        dst_fail(w, "a submit is refused: %s", m->text);
    e->done = true;
}

static void on_waited(struct dst *w, struct dst_errand *e, const Tugpb__WaitReply *m)
{
    struct dst_job *j = &w->jobs.at[e->job - 1];

    e->done = true;
    if (!m->job || m->timed_out || w->now_ms < w->put_back_ms + 1000) /* said before, by another state */
        return;
    if (j->ends != 1 || strcmp(j->end_state, m->job->state) != 0)
        dst_fail(w, "who waited for job %llu is told %s; durable is %s", (unsigned long long) j->id, m->job->state,
                 j->ends ? j->end_state : "nothing");
}

static void on_resume(struct dst *w, struct dst_errand *e, const Tugpb__ResumeReply *m)
{
    uint64_t id = e->id;

    e->done = m->resumed;
    e->heard_life = m->resumed || strstr(m->text, " reported") ? 0 : e->ctl_life;
    if (e->done)
        return;
    hang_up(w, e);
    again(w, errand(w, id));
}

static void on_answer(struct dst *w, const struct dst_event *ev)
{
    struct dst_errand *e = errand(w, ev->id);
    struct tug_arena a = {0};
    ProtobufCMessage *m;

    if (!e || e->done || e->peer != ev->arg)
        return;
    int rc = tug_proto_decode(&a, tug_msg_info(ev->number)->desc, ev->body, ev->len, &m, NULL);
    tug_assert(rc == 0);
    if (ev->number == TUG_MSG_SUBMIT_REPLY && e->kind == DST_ERRAND_SUBMIT)
        on_submitted(w, e, (const Tugpb__SubmitReply *) m);
    else if (ev->number == TUG_MSG_ERROR)
        on_error(w, e, (const Tugpb__Error *) m);
    else if (ev->number == TUG_MSG_HOLD_REPLY)
        on_held(w, e, ((const Tugpb__HoldReply *) m)->n_done > 0);
    else if (ev->number == TUG_MSG_REQUEUE_REPLY && e->kind == DST_ERRAND_HOLD)
        on_held(w, e, ((const Tugpb__RequeueReply *) m)->n_done > 0);
    else if (ev->number == TUG_MSG_RESUME_REPLY)
        on_resume(w, e, (const Tugpb__ResumeReply *) m);
    else if (ev->number == TUG_MSG_WAIT_REPLY)
        on_waited(w, e, (const Tugpb__WaitReply *) m);
    else
        e->done = true;
    tug_arena_clear(&a);
    hang_up(w, errand(w, ev->id));
}

/* ---- the work */

/* Where GPUs are cut, there are that many fewer whole ones. */
static void draw_more(struct dst *w, struct dst_job *j)
{
    struct tug_rand *r = &w->of_more;

    j->profile = "";
    j->again.on = "";
    if (j->requeue)
        dst_again_draw(w, &j->again);
    if (w->conf.slices && j->nodes && dst_chance(r, 0.4)) {
        bool small = dst_chance(r, 0.6);
        j->profile = small ? "1g.10gb" : "3g.40gb";
        j->gpus = (uint32_t) dst_between(r, 1, small ? 7 : 2);
    } else if (w->conf.shares && j->nodes == 1 && !j->batch && dst_chance(r, 0.5)) {
        j->milli = (uint32_t) dst_between(r, 100, 900);
    } else if (w->conf.slices) {
        j->nodes = j->nodes ? j->nodes : 1;
        j->gpus = j->gpus > DST_GPUS - DST_CUTTABLE ? DST_GPUS - DST_CUTTABLE : j->gpus;
    }
}

static void new_job(struct dst *w)
{
    struct tug_rand *r = &w->of_users;
    struct dst_job j = {0};

    snprintf(j.token, sizeof j.token, "t%zu-%08x", w->jobs.len + 1, (unsigned) tug_rand_u64(r));
    j.nodes = dst_chance(r, 0.8) ? (uint32_t) dst_between(r, 1, w->conf.nodes < 3 ? w->conf.nodes : 3) : 0;
    j.gpus = (uint32_t) (j.nodes ? dst_between(r, 1, 8) : dst_between(r, 1, 8 * w->conf.nodes));
    j.requeue = dst_chance(r, 0.7);
    j.batch = j.nodes && dst_chance(r, 0.2);
    j.forever = dst_chance(r, 0.05);
    j.time_limit_s = dst_chance(r, 0.3) ? (uint32_t) dst_between(r, 20, 900) : 0;
    j.queue = !w->conf.preempts ? "" : dst_chance(r, 0.2) ? "urgent" : dst_chance(r, 0.4) ? "low" : "main";
    draw_more(w, &j);
    tug_vec_push(&w->jobs, j);
    w->active_jobs++;
    w->n.jobs++;
    set_out(w, DST_ERRAND_SUBMIT, w->jobs.len, 0);
}

static void on_submit_time(struct dst *w)
{
    if (w->calm)
        return;
    if (w->active_jobs < ACTIVE_MAX)
        new_job(w);
    if (dst_chance(&w->of_users, 0.03)) {
        unsigned node = (unsigned) tug_rand_below(&w->of_users, w->conf.nodes);
        set_out(w, DST_ERRAND_DRAIN, 0, 0)->node = node;
        struct dst_errand *back = set_out(w, DST_ERRAND_DRAIN, 0, dst_about(&w->of_users, 120000));
        back->node = node;
        back->resume = true;
    }
    dst_later(w, dst_about(&w->of_users, w->conf.mean_job_ms), DST_SUBMIT, 0);
}

void dst_clients_start(struct dst *w)
{
    dst_later(w, 1000, DST_SUBMIT, 0);
}

void dst_client_resume(struct dst *w)
{
    set_out(w, DST_ERRAND_RESUME, 0, dst_about(&w->of_admin, 120000));
}

/* Launches may have failed so often that nodes are drained; and some jobs would never end. */
void dst_client_stop_forever(struct dst *w)
{
    size_t n = w->jobs.len;

    for (size_t i = 0; i < n; i++)
        if (w->jobs.at[i].forever && !w->jobs.at[i].ends && !w->jobs.at[i].forgotten) {
            w->jobs.at[i].stop = true;
            set_out(w, DST_ERRAND_CANCEL, i + 1, 60000);
        }
    if (w->conf.old_backups) /* it may be in doubt only since somebody said so */
        set_out(w, DST_ERRAND_RESUME, 0, 300000);
    for (size_t i = 0; i < n && w->conf.holds; i++) /* some may never have been told that theirs is */
        if (!w->jobs.at[i].ends && !w->jobs.at[i].forgotten && w->jobs.at[i].id)
            set_out(w, DST_ERRAND_HOLD, i + 1, 300000)->resume = true;
    for (unsigned i = 0; i < (w->conf.slices ? 2 : 1) * w->conf.nodes; i++) /* or they have lost slices */
        dst_client_bring_back(w, i % w->conf.nodes, i < w->conf.nodes ? 300000 : 1200000);
}

void dst_client_bring_back(struct dst *w, unsigned node, int64_t in_ms)
{
    struct dst_errand *e = set_out(w, DST_ERRAND_DRAIN, 0, in_ms);

    e->node = node;
    e->resume = true;
}

void dst_client_event(struct dst *w, struct dst_event *ev)
{
    struct dst_errand *e = errand(w, ev->id);

    switch (ev->what) {
    case DST_SUBMIT:
        on_submit_time(w);
        break;
    case DST_CLIENT:
        if (e->job && e->kind != DST_ERRAND_SUBMIT && !w->jobs.at[e->job - 1].id) {
            if (!w->jobs.at[e->job - 1].acked) { /* nobody knows its number yet */
                again(w, e);
                break;
            }
        }
        set_off(w, e);
        break;
    case DST_CLIENT_GIVES_UP:
        if (e->done || e->peer != ev->arg || !e->peer)
            break;
        hang_up(w, e);
        again(w, errand(w, ev->id));
        break;
    case DST_ARRIVES_CLIENT:
        if (ev->dir == DST_TO_NODE)
            on_answer(w, ev);
        else if (e->peer == ev->arg && w->ctls[ev->who].life == e->ctl_life)
            dst_ctl_message(w, ev->who, e->peer, ev);
        break;
    default:
        break;
    }
}
