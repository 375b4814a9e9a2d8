/* restore.c - the core as its records say it was; no policy is asked, no action goes out
 *
 * A job comes back with its allocation; records that give one GPU to two jobs are refused. Nodes
 * are not up until they come, and what they then say they hold decides what is really there. Layer:
 * core.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/state.h"

uint32_t tug_core_restore_ghost(struct tug_core *c, const char *name)
{
    uint32_t node = tug_node_add(c, name);
    tug_fabric_add_outside(c, node);
    tug_node_configure(c, node, NULL);
    tug_node_rows_follow(c);
    return node;
}

int tug_core_restore_node(struct tug_core *c, const char *name, const struct tug_core_node_past *past,
                          struct tug_err *err)
{
    uint32_t node = tug_core_node_find(c, name);
    if (node == TUG_NO_NODE)
        return tug_fail(err, -ENOENT, "node '%s' is not configured", name);
    struct tug_node *n = &c->nodes.at[node];
    if (past->inv)
        tug_node_take_inventory(c, node, past->inv);
    for (size_t i = 0; i < past->n_drains; i++)
        tug_drain_put(c, n, &past->drains[i]);
    for (size_t i = 0; i < past->n_failures && c->failures_kept_ms; i++)
        tug_failure_put(c, node, &past->failures[i]);
    for (size_t i = 0; i < past->n_links; i++)
        tug_link_put(c, node, &past->links[i]);
    n->bad_launches = past->bad_launches;
    for (size_t i = 0; i < past->n_remnants; i++) {
        int rc = tug_remnant_restore(c, node, &past->remnants[i], err);
        if (rc)
            return rc;
    }
    struct tug_core_node_row row = {n->name, n->row.cpus, n->row.gpus, n->row.mem_bytes,
                                    n->row.gpu_model, n->row.machine};
    if (n->in_conf)
        tug_node_configure(c, node, &row); /* works its size out again */
    return 0;
}

/* ---- jobs */

static int check_step(const struct tug_job *j, const struct tug_step *s, struct tug_err *err)
{
    unsigned long long id = j->id;
    if ((s != j->visit && s->id >= j->next_step) || (unsigned) s->state > TUG_STEP_CANCELLED)
        return tug_fail(err, -EINVAL, "record of job %llu: step %u cannot be", id, s->id);
    for (size_t k = 0; k < s->n_parts; k++)
        if (s->parts[k].slice >= j->n_slices || (unsigned) s->parts[k].phase > TUG_PART_GONE)
            return tug_fail(err, -EINVAL, "record of job %llu: part %zu of step %u cannot be",
                            id, k, s->id);
    return 0;
}

static int check_steps(const struct tug_job *j, struct tug_err *err)
{
    int rc = j->visit ? check_step(j, j->visit, err) : 0;
    for (size_t i = 0; !rc && i < j->n_steps; i++)
        rc = check_step(j, &j->steps[i], err);
    return rc;
}

static int check_job(const struct tug_core *c, const struct tug_job *j, struct tug_err *err)
{
    unsigned long long id = j->id;
    if (j->id == 0 || (unsigned) j->state >= TUG_JOB_STATES || j->attempt == 0 ||
        !tug_job_req_is_whole(&j->req))
        return tug_fail(err, -EINVAL, "record of job %llu does not make sense", id);
    if (tug_jobtab_find(&c->jobs, j->id))
        return tug_fail(err, -EEXIST, "there are two records of job %llu", id);
    if (tug_job_state_holds(j->state) && (j->n_slices != j->req.nodes || (j->n_steps == 0 && !j->visit)))
        return tug_fail(err, -EINVAL, "record of job %llu: %s, with %zu of %u nodes and %zu steps",
                        id, tug_job_state_name(j->state), j->n_slices, j->req.nodes, j->n_steps);
    if (j->state == TUG_JOB_SUSPENDED && j->suspended_ms < 0)
        return tug_fail(err, -EINVAL, "record of job %llu: SUSPENDED, but not since when", id);
    if ((unsigned) j->onhold.by > TUG_ONHOLD_ADMIN || (j->onhold.by && !tug_onhold_may_be(j->state)))
        return tug_fail(err, -EINVAL, "record of job %llu: %s, and held", id, tug_job_state_name(j->state));
    if (j->state == TUG_JOB_COMPLETING && !tug_job_may_move(TUG_JOB_COMPLETING, j->end_state))
        return tug_fail(err, -EINVAL, "record of job %llu: is being ended as what it cannot become",
                        id);
    for (size_t i = 0; i < j->n_slices; i++)
        if (j->slices[i].node >= c->nodes.len)
            return tug_fail(err, -ENOENT,
                            "record of job %llu: a node that it holds is not configured", id);
    return check_steps(j, err);
}

static void copy_step(struct tug_step *to, const struct tug_step *from)
{
    *to = *from;
    to->parts = tug_xmemdup(from->parts, from->n_parts * sizeof *to->parts);
    to->cause.text = tug_xstrdup(from->cause.text);
    memset(to->in_phase, 0, sizeof to->in_phase);
    to->wired_parts = 0;
    for (size_t k = 0; k < to->n_parts; k++) {
        to->in_phase[to->parts[k].phase]++;
        to->wired_parts += to->parts[k].wired != 0;
    }
}

static void copy_steps(struct tug_job *to, const struct tug_job *from)
{
    to->steps = from->n_steps ? tug_xcalloc(from->n_steps, sizeof *to->steps) : NULL; /* most wait, and have none */
    to->n_steps = from->n_steps;
    for (size_t i = 0; i < from->n_steps; i++)
        copy_step(&to->steps[i], &from->steps[i]);
    to->visit = NULL;
    if (!from->visit)
        return;
    to->visit = tug_new(struct tug_step);
    copy_step(to->visit, from->visit);
}

/* Its shape is not that of its request alone: what became of it counts too. */
static int has_another_shape(const struct tug_job *j)
{
    return *j->failed_on || j->req.topology_required || j->req.quality_milli;
}

/* Everything but the request, which tug_entry_new() has interned. */
static void copy_job(struct tug_core *c, struct tug_entry *e, const struct tug_job *j)
{
    struct tug_job_req req = e->j.req;
    const char *old = e->j.failed_on;
    int64_t priority = e->j.priority;
    const struct tug_queue *q = tug_queue_find(c, req.queue);
    e->j = *j;
    e->j.req = req;
    if (!tug_job_state_is_over(j->state) && !q->is_ghost)
        e->j.priority = priority; /* the queue's may have changed since */
    e->j.slices = tug_xmemdup(j->slices, j->n_slices * sizeof *j->slices);
    for (size_t i = 0; i < j->n_slices; i++)
        if (e->j.slices[i].gpu_milli)
            e->j.slices[i].gpu_user = req.uid;
    e->j.cause.text = tug_xstrdup(j->cause.text);
    e->j.hang.text = tug_xstrdup(j->hang.text);
    e->j.quality.text = tug_xstrdup(j->quality.text);
    tug_requeue_copy(&e->j, j);
    tug_onhold_keep(c, &e->j.onhold);
    e->j.failed_on = tug_intern(c->texts, j->failed_on);
    tug_intern_drop(c->texts, old);
    if (e->shape && has_another_shape(&e->j))
        tug_shape_renew(c, e);
    if (j->state == TUG_JOB_SUSPENDED)
        e->j.stop_serial |= 1; /* a record of before orders had numbers */
    e->j.explain = NULL;
    e->j.reason = TUG_REASON_NONE;
    copy_steps(&e->j, j);
}

static void undo(struct tug_core *c, struct tug_entry *e)
{
    tug_queue_find(c, e->j.req.queue)->n_jobs--;
    tug_entry_free(c, e);
}

int tug_core_restore_job(struct tug_core *c, const struct tug_job *job, struct tug_err *err)
{
    int rc = check_job(c, job, err);
    if (rc)
        return rc;
    if (!tug_job_state_is_over(job->state) && !tug_queue_find(c, job->req.queue))
        tug_queue_add_ghost(c, job->req.queue);
    struct tug_entry *e = tug_entry_new(c, job->id, &job->req, job->state);
    copy_job(c, e, job);
    if (job->preemptions > c->most_preemptions)
        c->most_preemptions = job->preemptions;
    if (!tug_job_state_holds(job->state))
        return 0;
    struct tug_err why = {0};
    rc = tug_gang_claim(c, e, TUG_LEDGER_RESTORE, &why);
    if (rc) {
        undo(c, e);
        return tug_fail(err, rc, "the records of job %llu and another contradict each other: %s",
                        (unsigned long long) job->id, why.msg);
    }
    if (job->suspended_ms < 0)
        tug_pass_started(c, e);
    return 0;
}

void tug_core_skip_attempts(struct tug_core *c, uint32_t n)
{
    for (struct tug_entry *e = tug_jobtab_after(&c->jobs, 0); e;
         e = tug_jobtab_after(&c->jobs, e->j.id)) {
        if (tug_job_state_is_over(e->j.state))
            continue;
        if (tug_job_state_holds(e->j.state)) /* it is on its nodes under that number; what it became since is not known */
            e->j.next_attempt = e->j.attempt + 1 + n;
        else
            e->j.attempt += n;
        tug_act_changed(c, e);
    }
}

/* Launches under way have all their time from now on, and nodes that are to stop a job. */
static void launch_anew(struct tug_core *c, struct tug_entry *e)
{
    /* While its job is suspended no time passes; going on adds what it was stopped. */
    int64_t base_ms = e->j.suspended_ms >= 0 ? e->j.suspended_ms : c->now_ms;

    if (e->j.visit && e->j.visit->state == TUG_STEP_STARTING)
        e->j.visit->deadline_ms = base_ms + (int64_t) tug_step_allowed_s(c, e, e->j.visit) * 1000;
    for (size_t i = 0; i < e->j.n_steps; i++)
        if (e->j.steps[i].state == TUG_STEP_STARTING)
            e->j.steps[i].deadline_ms = base_ms + (int64_t) tug_step_allowed_s(c, e, &e->j.steps[i]) * 1000;
        else if (tug_preflight_is(e, &e->j.steps[i]))
            tug_preflight_opened(c, e, &e->j.steps[i]);
    if (e->j.stopping_ms >= 0)
        e->j.stopping_ms = c->now_ms;
}

void tug_core_launches_anew(struct tug_core *c, int64_t now_ms)
{
    if (now_ms > c->now_ms)
        c->now_ms = now_ms;
    for (struct tug_entry *e = tug_jobtab_after(&c->jobs, 0); e;
         e = tug_jobtab_after(&c->jobs, e->j.id)) {
        launch_anew(c, e);
        tug_job_arm(c, e);
    }
}

void tug_core_restored(struct tug_core *c, int64_t now_ms)
{
    if (now_ms > c->now_ms)
        c->now_ms = now_ms;
    tug_wheres_renew(c); /* GPU models are known now */
    tug_failures_due(c);
    tug_links_due(c);
    for (struct tug_entry *e = tug_jobtab_after(&c->jobs, 0); e;
         e = tug_jobtab_after(&c->jobs, e->j.id)) {
        launch_anew(c, e);
        e->ending_ms = c->now_ms;
        tug_requeue_restored(c, &e->j);
        if (tug_job_state_waits(e->j.state))
            tug_job_bench_restored(c, e); /* and armed */
        else
            tug_job_arm(c, e);
    }
}
