/* suspend.c - jobs that are stopped where they are
 *
 * All ranks of all steps are stopped by signal, and every node says when they are. Until the last one has, the job goes on
 * holding all it has: nobody else gets a GPU on which a rank may still be at work. When a node does not say so in time the
 * attempt is ended, as if its queue did not suspend. From then on the gang keeps its slices and, in the ledger, their memory;
 * its GPUs and CPUs are free for others. It stands among the waiting, and goes on in the same place when just these GPUs and
 * as many CPUs are free there. Time that it is stopped counts for no limit.
 *
 * Each order to stop or to go on has the next number of its attempt. An answer to an earlier one says nothing, and an order
 * that comes late is void. An order may be lost with a connection, so it is said again to every node that comes back.
 * Layer: core.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "core/state.h"

#define STOP_SLACK_S 30 /* over the grace that killing has: who is in a driver's call stops when that returns */

/* To every part that runs. One that was told to start may never have heard it, and was not told
 * again while it was to be stopped: it is now. */
static void signal_parts(struct tug_core *c, struct tug_entry *e, int signal)
{
    e->j.stop_serial++;
    for (size_t i = 0; i < e->j.n_steps; i++) {
        const struct tug_step *s = &e->j.steps[i];
        for (size_t k = 0; k < s->n_parts; k++) {
            uint32_t node = e->j.slices[s->parts[k].slice].node;
            s->parts[k].stopped = 0;
            if (s->parts[k].phase != TUG_PART_STARTED)
                continue;
            if (signal == SIGCONT)
                tug_act_part(c, TUG_ACT_START, e->j.id, e->j.attempt, s->id, node, 0, 0, NULL);
            tug_act_stop(c, e, s->id, node, signal);
        }
    }
}

/* Where a part has not started nobody runs, and nobody is started meanwhile. */
static int is_stopped(const struct tug_part *p)
{
    return p->phase == TUG_PART_STARTED ? p->stopped : p->phase != TUG_PART_KILLING;
}

static const struct tug_part *first_running(const struct tug_job *j)
{
    for (size_t i = 0; i < j->n_steps; i++)
        for (size_t k = 0; k < j->steps[i].n_parts; k++)
            if (!is_stopped(&j->steps[i].parts[k]))
                return &j->steps[i].parts[k];
    return NULL;
}

void tug_suspend(struct tug_core *c, struct tug_entry *e)
{
    e->j.notice_ms = -1;
    e->j.stopping_ms = c->now_ms;
    signal_parts(c, e, SIGSTOP);
    tug_act_changed(c, e);
    tug_job_refresh_row(c, e);
    tug_suspend_settle(c, e);
    tug_job_arm(c, e);
}

void tug_suspend_settle(struct tug_core *c, struct tug_entry *e)
{
    struct tug_job *j = &e->j;
    if (j->stopping_ms < 0 || first_running(j) || tug_remnants_are_of(c, e))
        return;
    for (size_t i = 0; i < j->n_steps; i++) /* nobody was let through a barrier meanwhile */
        j->steps[i].deadline_ms += tug_since(c, j->stopping_ms);
    j->sliced_ms += tug_since(c, tug_job_run_start_ms(j));
    j->gives_way = TUG_PREEMPT_NEVER;
    j->stopping_ms = -1;
    tug_share_halt(c, e);
    tug_ledger_release(c->ledger, j->id, j->slices, j->n_slices);
    tug_ledger_claim_memory(c->ledger, j->slices, j->n_slices);
    j->suspended_ms = c->now_ms;
    tug_job_move(c, e, TUG_JOB_SUSPENDED);
    tug_gang_runs_no_more(c, e);
    for (size_t i = 0; i < j->n_slices; i++) {
        tug_hold_fill(c, j->slices[i].node);
        tug_node_refresh(c, j->slices[i].node);
    }
    tug_alone_open(c, e);
    tug_hold_left(c);
    c->freed++;
    c->wants_pass = 1;
    tug_act_job(c, TUG_ACT_JOB_HISTORY, e, "suspend");
    tug_observe_job(c, TUG_POLICY_EV_SUSPEND, e);
    tug_job_bench(c, e);
}

int64_t tug_suspend_late_ms(const struct tug_core *c, const struct tug_entry *e)
{
    return e->j.stopping_ms < 0 ? INT64_MAX : e->j.stopping_ms + (c->kill_grace_s + STOP_SLACK_S) * 1000LL;
}

void tug_suspend_late(struct tug_core *c, struct tug_entry *e)
{
    char why[96];
    const struct tug_part *p = first_running(&e->j); /* NULL: processes of a step that has ended are left */
    if (p)
        snprintf(why, sizeof why, "its ranks on node %.40s were not stopped in time",
                 c->nodes.at[e->j.slices[p->slice].node].name);
    else
        snprintf(why, sizeof why, "processes of a step that has ended could not be ended");
    tug_preempt_left(c, e, why);
}

int tug_ev_step_stopped(struct tug_core *c, const struct tug_event *ev, struct tug_err *err)
{
    struct tug_entry *e = tug_jobtab_find(&c->jobs, ev->job);
    if (ev->node >= c->nodes.len)
        return tug_fail(err, -EINVAL, "there is no node %u", ev->node);
    if (!e || e->j.attempt != ev->attempt || e->j.stopping_ms < 0 || ev->serial != e->j.stop_serial)
        return 0;
    struct tug_step *s = tug_job_step(e, ev->step);
    struct tug_part *p = s ? tug_step_part_at(e, s, ev->node) : NULL;
    if (!p || p->phase != TUG_PART_STARTED)
        return 0;
    p->stopped = 1;
    tug_suspend_settle(c, e);
    tug_job_arm(c, e);
    return 0;
}

static int gpus_are_free(const struct tug_ledger_node *l, const struct tug_slice *s)
{
    if (s->gpu_milli)
        return tug_ledger_part_fits(l, (unsigned) __builtin_ctzll(s->gpus), s);
    return !(s->gpus & ~tug_ledger_devices_free(l));
}

/* A node that is being drained may: what is on it ends sooner that way. */
int tug_suspend_may_resume(const struct tug_core *c, const struct tug_entry *e)
{
    for (size_t i = 0; i < e->j.n_slices; i++) {
        const struct tug_slice *s = &e->j.slices[i];
        const struct tug_ledger_node *l = tug_ledger_node(c->ledger, s->node);
        const struct tug_node *n = &c->nodes.at[s->node];
        if (!n->up || n->shut || n->strays.len || !gpus_are_free(l, s) || s->cpus > tug_ledger_cpus_free(l) ||
            l->mem_used_bytes > l->mem_bytes || (e->j.req.exclusive && (l->gangs || n->holds.len)))
            return 0;
    }
    return !tug_alone_is_crowded(c, e, e->j.slices, e->j.n_slices);
}

/* Its steps go on; those that were not past their barrier get the time back that they lost. */
static void resume_steps(struct tug_core *c, struct tug_entry *e, int64_t stopped_ms)
{
    signal_parts(c, e, SIGCONT);
    for (size_t i = 0; i < e->j.n_steps; i++) {
        struct tug_step *s = &e->j.steps[i];
        s->deadline_ms += stopped_ms;
        tug_step_open(c, e, s);
    }
}

void tug_resume(struct tug_core *c, struct tug_entry *e)
{
    struct tug_job *j = &e->j;
    int64_t stopped_ms = tug_since(c, j->suspended_ms);
    struct tug_hold *kept = tug_hold_detach(c, e);
    tug_job_unbench(c, e);
    tug_job_set_explain(e, TUG_REASON_NONE, NULL);
    e->explained = 0;
    tug_ledger_release_memory(c->ledger, j->slices, j->n_slices);
    int rc = tug_ledger_claim(c->ledger, j->id, j->slices, j->n_slices, TUG_LEDGER_FREE, NULL);
    tug_assert(rc == 0);
    j->suspended_ms = -1;
    j->resumed_ms = tug_not_before(c, j->alloc_ms);
    tug_alone_shut(c, e, j->slices, j->n_slices);
    tug_share_run(c, e, c->now_ms);
    j->preemptor = 0;
    if (j->limit_ms >= 0)
        j->limit_ms += stopped_ms;
    for (size_t i = 0; i < j->n_slices; i++)
        tug_node_refresh(c, j->slices[i].node);
    tug_hold_scatter(c, kept);
    tug_job_move(c, e, TUG_JOB_RUNNING);
    tug_observe_job(c, TUG_POLICY_EV_START, e);
    tug_act_job(c, TUG_ACT_JOB_HISTORY, e, "resume");
    resume_steps(c, e, stopped_ms);
    tug_job_arm(c, e);
}

void tug_suspend_say_again(struct tug_core *c, const struct tug_entry *e, const struct tug_step *s,
                           uint32_t node)
{
    if (e->j.stop_serial)
        tug_act_stop(c, e, s->id, node, e->j.stop_serial & 1 ? SIGSTOP : SIGCONT);
}
