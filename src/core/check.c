/* check.c - every invariant there is, over everything
 *
 * Tests run it after every event; nothing else does, as it looks at every job and node. Each check
 * works its answer out from the jobs alone and compares that with what is kept incrementally.
 * Layer: core.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/state.h"

#define ID(e) ((unsigned long long) (e)->j.id)

/* ---- one job */

static int count_parts(const struct tug_core *c, const struct tug_entry *e, const struct tug_step *s,
                       uint32_t in_phase[TUG_PART_PHASES], struct tug_err *err)
{
    uint32_t wired = 0;
    memset(in_phase, 0, TUG_PART_PHASES * sizeof *in_phase);
    for (size_t i = 0; i < s->n_parts; i++) {
        const struct tug_part *p = &s->parts[i];
        if (p->slice >= e->j.n_slices || (unsigned) p->phase >= TUG_PART_PHASES)
            return tug_fail(err, -EINVAL, "job %llu step %u: part %zu cannot be", ID(e), s->id, i);
        in_phase[p->phase]++;
        wired += p->wired != 0;
        if (p->lost && (p->phase != TUG_PART_KILLING || c->nodes.at[e->j.slices[p->slice].node].up))
            return tug_fail(err, -EINVAL,
                            "job %llu step %u: part %zu is lost, but its node is not down", ID(e),
                            s->id, i);
    }
    if (memcmp(in_phase, s->in_phase, sizeof s->in_phase) != 0 || wired != s->wired_parts)
        return tug_fail(err, -EINVAL, "job %llu step %u: its parts are counted wrongly", ID(e),
                        s->id);
    return 0;
}

static int check_parts(const struct tug_core *c, const struct tug_entry *e,
                       const struct tug_step *s, struct tug_err *err)
{
    uint32_t in_phase[TUG_PART_PHASES];
    int rc = count_parts(c, e, s, in_phase, err);
    if (rc)
        return rc;
    uint32_t alive = in_phase[TUG_PART_WAITING] + in_phase[TUG_PART_READY],
             started = in_phase[TUG_PART_STARTED];
    if (s->state == TUG_STEP_STARTING &&
        (started || in_phase[TUG_PART_KILLING] || in_phase[TUG_PART_GONE]))
        return tug_fail(err, -EINVAL, "job %llu step %u: a part started before all were ready",
                        ID(e), s->id);
    if (s->state == TUG_STEP_STARTING && !in_phase[TUG_PART_WAITING] &&
        e->j.state != TUG_JOB_SUSPENDED && e->j.stopping_ms < 0)
        return tug_fail(err, -EINVAL,
                        "job %llu step %u: all parts are ready and the barrier is shut", ID(e),
                        s->id);
    if (s->state == TUG_STEP_RUNNING && (alive || !started || in_phase[TUG_PART_KILLING]))
        return tug_fail(err, -EINVAL, "job %llu step %u: runs, but not all of it was started",
                        ID(e), s->id);
    if (s->state == TUG_STEP_ENDING && (alive || started))
        return tug_fail(err, -EINVAL,
                        "job %llu step %u: is being ended, but a part is not being killed", ID(e),
                        s->id);
    if (s->state >= TUG_STEP_COMPLETED && in_phase[TUG_PART_GONE] != s->n_parts)
        return tug_fail(err, -EINVAL, "job %llu step %u: is over, but a part is left", ID(e),
                        s->id);
    if (s->id && in_phase[TUG_PART_GONE] == s->n_parts)
        return tug_fail(err, -EINVAL,
                        "job %llu step %u: nothing is left of it, but it is still there", ID(e),
                        s->id);
    return 0;
}

/* Nothing of an attempt is there before all prologs have succeeded, and its epilogs come last. */
static int check_visit(const struct tug_core *c, const struct tug_entry *e, struct tug_err *err)
{
    const struct tug_step *s = e->j.visit;
    uint32_t in_phase[TUG_PART_PHASES];
    int rc = count_parts(c, e, s, in_phase, err);
    if (rc)
        return rc;
    int is_ending = e->j.state == TUG_JOB_COMPLETING || e->j.state == TUG_JOB_REQUEUED;
    if (!tug_job_state_holds(e->j.state) || is_ending != (s->state >= TUG_STEP_ENDING))
        return tug_fail(err, -EINVAL, "job %llu: is %s, and its visit is %s", ID(e), tug_job_state_name(e->j.state),
                        tug_step_state_name(s->state));
    if (s->state == TUG_STEP_STARTING && (e->j.n_steps || !in_phase[TUG_PART_WAITING]))
        return tug_fail(err, -EINVAL, "job %llu: not all prologs have succeeded, and it has steps, or all have and it has none", ID(e));
    if (s->state == TUG_STEP_RUNNING && in_phase[TUG_PART_STARTED] != s->n_parts)
        return tug_fail(err, -EINVAL, "job %llu: runs, and its visit does not everywhere", ID(e));
    for (size_t i = 0; i < s->n_parts; i++)
        for (size_t k = 0; k < e->j.n_steps && s->parts[i].phase >= TUG_PART_KILLING && !s->parts[i].lost; k++) {
            const struct tug_part *p = tug_step_part_at(e, &e->j.steps[k], e->j.slices[s->parts[i].slice].node);
            if (p && p->phase < TUG_PART_KILLING)
                return tug_fail(err, -EINVAL, "job %llu: an epilog has begun where step %u runs", ID(e), e->j.steps[k].id);
        }
    return 0;
}

static int check_steps(const struct tug_core *c, const struct tug_entry *e, struct tug_err *err)
{
    const struct tug_job *j = &e->j;
    size_t left = 0;
    for (size_t i = 0; i < j->n_steps; i++) {
        const struct tug_step *s = &j->steps[i];
        int is_alone = tug_preflight_is(e, s) && j->n_steps == 1;
        if (s->id >= j->next_step || ((i == 0) != (s->id == 0) && !is_alone) || (i && s->id <= j->steps[i - 1].id))
            return tug_fail(err, -EINVAL, "job %llu: its steps are out of order", ID(e));
        int rc = check_parts(c, e, s, err);
        if (rc)
            return rc;
        left += s->n_parts - s->in_phase[TUG_PART_GONE];
        if ((j->state == TUG_JOB_COMPLETING || j->state == TUG_JOB_REQUEUED) &&
            s->state < TUG_STEP_ENDING)
            return tug_fail(err, -EINVAL, "job %llu is being ended, but its step %u is not", ID(e),
                            s->id);
    }
    if (j->visit) {
        int rc = check_visit(c, e, err);
        if (rc)
            return rc;
        left += j->visit->n_parts - j->visit->in_phase[TUG_PART_GONE];
    }
    if (tug_job_state_holds(j->state) && !left)
        return tug_fail(err, -EINVAL, "job %llu: nothing of it is left, but it holds resources",
                        ID(e));
    if (!tug_job_state_holds(j->state) && left)
        return tug_fail(err, -EINVAL, "job %llu: is %s, but something of it is left", ID(e),
                        tug_job_state_name(j->state));
    enum tug_step_state main_is = j->n_steps ? j->steps[0].state : TUG_STEP_COMPLETED;
    int is_tried = j->n_steps && tug_preflight_is(e, &j->steps[0]);
    int is_entering = j->visit && j->visit->state == TUG_STEP_STARTING;
    if ((j->state == TUG_JOB_CONFIGURING) !=
            (tug_job_state_holds(j->state) &&
             (main_is == TUG_STEP_STARTING || is_entering || (is_tried && main_is == TUG_STEP_RUNNING))) ||
        (j->state == TUG_JOB_RUNNING || j->state == TUG_JOB_SUSPENDED) !=
            (tug_job_state_holds(j->state) && !is_tried && main_is == TUG_STEP_RUNNING))
        return tug_fail(err, -EINVAL, "job %llu: is %s, but its main step is %s", ID(e),
                        tug_job_state_name(j->state), tug_step_state_name(main_is));
    return 0;
}

static int check_slices(const struct tug_entry *e, struct tug_err *err)
{
    const struct tug_job *j = &e->j;
    uint32_t rank = 0, astray = 0;
    if (j->n_slices != j->req.nodes)
        return tug_fail(err, -EINVAL, "job %llu: holds %zu nodes of %u", ID(e), j->n_slices,
                        j->req.nodes);
    for (size_t i = 0; i < j->n_slices; i++) {
        const struct tug_slice *s = &j->slices[i];
        unsigned gpus = tug_gpuset_count(s->gpus);
        uint32_t want = tug_job_req_gpus(&j->req, (uint32_t) i);
        if (j->req.exclusive ? gpus < want : gpus != want)
            return tug_fail(err, -EINVAL, "job %llu: holds %u GPUs on a node, not %u", ID(e), gpus,
                            want);
        if (s->gpu_milli && s->gpu_user != j->req.uid)
            return tug_fail(err, -EINVAL, "job %llu: holds a part of a GPU as another user", ID(e));
        if (s->gpu_milli != j->req.gpu_milli)
            return tug_fail(err, -EINVAL, "job %llu: holds another part of a GPU than it asked for",
                            ID(e));
        if (s->cpus < tug_job_req_cpus(&j->req, (uint32_t) i) ||
            s->mem_bytes != j->req.mem_per_node_bytes)
            return tug_fail(err, -EINVAL, "job %llu: holds other CPUs or memory than it asked for",
                            ID(e));
        if (s->first_rank != rank)
            return tug_fail(err, -EINVAL, "job %llu: its ranks don't follow each other", ID(e));
        rank += s->ntasks;
        astray += s->ntasks != tug_job_req_tasks(&j->req, (uint32_t) i);
        for (size_t k = 0; k < i && i < 64; k++)
            if (j->slices[k].node == s->node)
                return tug_fail(err, -EINVAL, "job %llu: holds node %u twice", ID(e), s->node);
    }
    if (rank != j->req.ntasks)
        return tug_fail(err, -EINVAL, "job %llu: has %u ranks, not %u", ID(e), rank, j->req.ntasks);
    return astray ? tug_fail(err, -EINVAL, "job %llu: its ranks don't follow its GPUs", ID(e)) : 0;
}

static int check_times(const struct tug_core *c, const struct tug_entry *e, struct tug_err *err)
{
    const struct tug_job *j = &e->j;
    int over = tug_job_state_is_over(j->state);
    if (over != (j->end_ms >= 0) || (j->state == TUG_JOB_RUNNING && j->launched_ms < j->alloc_ms) ||
        (j->launched_ms >= 0 && j->alloc_ms < 0) ||
        (tug_job_state_holds(j->state) && j->alloc_ms < 0) || (over && j->end_ms < j->alloc_ms))
        return tug_fail(err, -EINVAL, "job %llu: its times contradict its state %s", ID(e),
                        tug_job_state_name(j->state));
    int64_t at = tug_job_wake(c, e);
    if (e->wake_ms != at || tug_heap_holds(&e->wake) != (at != INT64_MAX))
        return tug_fail(err, -EINVAL, "job %llu: its next deadline is armed wrongly", ID(e));
    return 0;
}

/* It holds more than the memory of what is stopped. */
static int uses_gpus(const struct tug_entry *e)
{
    return tug_job_state_holds(e->j.state) && e->j.suspended_ms < 0;
}

/* Giving way and being suspended. */
static int check_way(const struct tug_core *c, const struct tug_entry *e, struct tug_err *err)
{
    const struct tug_job *j = &e->j;
    int stopped = j->state == TUG_JOB_SUSPENDED;
    if (j->preemptions > c->most_preemptions)
        return tug_fail(err, -EINVAL, "job %llu: gave way %u times, more often than allowed", ID(e),
                        j->preemptions);
    if (stopped != (j->suspended_ms >= 0) && !tug_preempt_is_leaving(e) &&
        !tug_job_state_is_over(j->state))
        return tug_fail(err, -EINVAL, "job %llu: is %s, and suspended since %lld", ID(e),
                        tug_job_state_name(j->state), (long long) j->suspended_ms);
    if (j->stopping_ms >= 0 && (j->state != TUG_JOB_RUNNING || j->gives_way != TUG_PREEMPT_SUSPEND || j->notice_ms >= 0 ||
                                j->suspended_ms >= 0 || !(j->stop_serial & 1)))
        return tug_fail(err, -EINVAL, "job %llu: is being stopped, which it cannot be", ID(e));
    if (stopped && !(j->stop_serial & 1))
        return tug_fail(err, -EINVAL, "job %llu: is suspended, and was told last to go on", ID(e));
    if (j->state == TUG_JOB_RUNNING &&
        (j->gives_way != TUG_PREEMPT_NEVER) != (j->notice_ms >= 0 || j->stopping_ms >= 0))
        return tug_fail(err, -EINVAL, "job %llu: gives way without a time, or has one without",
                        ID(e));
    if ((j->state == TUG_JOB_PENDING || stopped) && (j->gives_way || j->notice_ms >= 0))
        return tug_fail(err, -EINVAL, "job %llu: waits and gives way", ID(e));
    if (j->ran_ms < 0 || j->sliced_ms < 0 || (j->resumed_ms >= 0 && j->resumed_ms < j->alloc_ms))
        return tug_fail(err, -EINVAL, "job %llu: its run times cannot be", ID(e));
    if (e->hold && (e->bench != TUG_BENCH_ORDER || e->hold->lifted))
        return tug_fail(err, -EINVAL, "job %llu: something is kept for it, but it may not start",
                        ID(e));
    for (size_t i = 0; e->hold && i < e->hold->n; i++) {
        const struct tug_node *n = &c->nodes.at[e->hold->want[i].node];
        size_t found = 0;
        for (size_t k = 0; k < n->holds.len; k++)
            found += n->holds.at[k] == e;
        if (found != 1)
            return tug_fail(err, -EINVAL, "job %llu: is %zu times in the holds of node %s", ID(e),
                            found, n->name);
    }
    if (!e->running_at)
        return 0;
    struct tug_policy_job row;
    const struct tug_policy_job *is = &c->running.at[e->running_at - 1].job;
    tug_job_row(c, e, &row);
    if (row.leaving != is->leaving || row.safe_until_ms != is->safe_until_ms ||
        row.preemptable != is->preemptable || row.ran_ms != is->ran_ms ||
        row.start_ms != is->start_ms || row.preemptions != is->preemptions || row.tier != is->tier)
        return tug_fail(err, -EINVAL, "job %llu: its row among the running is out of date", ID(e));
    return 0;
}

static int check_bench(const struct tug_core *c, const struct tug_entry *e, struct tug_err *err)
{
    const struct tug_job *j = &e->j;
    if (tug_job_state_waits(j->state) != (e->bench != TUG_BENCH_NONE))
        return tug_fail(err, -EINVAL, "job %llu: is %s and stands in bench %d", ID(e),
                        tug_job_state_name(j->state), (int) e->bench);
    if ((e->bench == TUG_BENCH_HELD) != (j->onhold.by && j->state == TUG_JOB_PENDING) ||
        (j->onhold.by && !tug_onhold_may_be(j->state)) || j->held_ms < 0)
        return tug_fail(err, -EINVAL, "job %llu: is %s, held by %s, and stands in bench %d", ID(e), tug_job_state_name(j->state),
                        tug_onhold_name(j->onhold.by), (int) e->bench);
    if (tug_job_state_is_over(j->state) != (e->shape == NULL))
        return tug_fail(err, -EINVAL, "job %llu: has no shape, or one that it no longer needs",
                        ID(e));
    if (e->bench == TUG_BENCH_ORDER && tug_queue_find(c, j->req.queue)->is_down)
        return tug_fail(err, -EINVAL, "job %llu: its queue is down, but it may start", ID(e));
    if (e->j.state == TUG_JOB_PENDING && (e->shape->key.first != NULL) != (*e->j.failed_on != 0))
        return tug_fail(err, -EINVAL, "job %llu: the nodes that failed it are not those that are tried last", ID(e));
    if (uses_gpus(e) != (e->running_at != 0) ||
        (e->running_at &&
         (e->running_at > c->running.len || c->running.at[e->running_at - 1].entry != e)))
        return tug_fail(err, -EINVAL, "job %llu: its row among the running is wrong", ID(e));
    if ((tug_job_state_holds(j->state) && j->suspended_ms < 0) != (e->charged_ms >= 0))
        return tug_fail(err, -EINVAL,
                        "job %llu: is charged for what it does not hold, or not for what it does",
                        ID(e));
    if (!tug_job_state_is_over(j->state) &&
        (e->queue_row >= c->queues.len ||
         &c->queues.at[e->queue_row] != tug_queue_find(c, j->req.queue) ||
         e->share_row >= tug_shares_count(c->shares)))
        return tug_fail(err, -EINVAL, "job %llu: is charged to another queue or user", ID(e));
    if (!tug_job_state_holds(j->state))
        return 0;
    for (size_t i = 0; i < j->n_slices; i++) {
        const struct tug_node *n = &c->nodes.at[j->slices[i].node];
        size_t found = 0;
        for (size_t k = 0; k < n->gangs.len; k++)
            found += n->gangs.at[k] == e;
        if (found != 1)
            return tug_fail(err, -EINVAL, "job %llu: is %zu times in the list of node %s", ID(e),
                            found, n->name);
    }
    return 0;
}

static int check_job(const struct tug_core *c, const struct tug_entry *e, struct tug_err *err)
{
    if ((unsigned) e->j.state >= TUG_JOB_STATES || e->j.attempt == 0 ||
        e->j.attempt < e->j.requeues + 1) /* more: tug_core_skip_attempts() */
        return tug_fail(err, -EINVAL, "job %llu: its state or attempt cannot be", ID(e));
    if (e->j.state == TUG_JOB_COMPLETING && !tug_job_may_move(TUG_JOB_COMPLETING, e->j.end_state))
        return tug_fail(err, -EINVAL, "job %llu: is being ended as what it cannot become", ID(e));
    if (e->j.n_attempts > TUG_ATTEMPTS_MAX || e->j.backoffs > e->j.failures ||
        e->j.failures > e->j.requeues + (e->j.state != TUG_JOB_PENDING))
        return tug_fail(err, -EINVAL, "job %llu: its attempts are counted wrongly", ID(e));
    if (e->j.state == TUG_JOB_PENDING && (e->j.n_slices || e->j.n_steps))
        return tug_fail(err, -EINVAL, "job %llu: waits, but has slices or steps", ID(e));
    int rc = tug_job_state_holds(e->j.state) ? check_slices(e, err) : 0;
    if (!rc)
        rc = check_way(c, e, err);
    if (!rc)
        rc = check_steps(c, e, err);
    if (!rc)
        rc = check_times(c, e, err);
    return rc ? rc : check_bench(c, e, err);
}

/* ---- all jobs */

static int check_counts(const struct tug_core *c, struct tug_err *err)
{
    uint64_t pending = 0, running = 0, ended = 0, in_order = 0, wakes = 0, rows = 0, stopped = 0;
    for (struct tug_entry *e = tug_jobtab_after(&c->jobs, 0); e;
         e = tug_jobtab_after(&c->jobs, e->j.id)) {
        int rc = check_job(c, e, err);
        if (rc)
            return rc;
        pending += (uint64_t) tug_job_state_waits(e->j.state);
        running += tug_job_state_holds(e->j.state) && !tug_job_state_waits(e->j.state);
        rows += (uint64_t) uses_gpus(e);
        stopped += e->j.state == TUG_JOB_SUSPENDED;
        ended += (uint64_t) tug_job_state_is_over(e->j.state);
        in_order += e->bench == TUG_BENCH_ORDER;
        wakes += tug_heap_holds(&e->wake);
    }
    if (pending != c->n_pending || running != c->n_running || ended != c->n_ended || stopped != c->n_suspended ||
        pending + running + ended != c->jobs.n)
        return tug_fail(err, -EINVAL, "the jobs are counted wrongly");
    if (in_order != c->order.n_jobs || wakes != c->wakes.len || rows != c->running.len)
        return tug_fail(err, -EINVAL,
                        "the order, the deadlines or the running have too many or too few jobs");
    return 0;
}

static int check_queues(const struct tug_core *c, struct tug_err *err)
{
    for (size_t i = 0; i < c->queues.len; i++) {
        const struct tug_queue *q = &c->queues.at[i];
        size_t jobs = 0, waiting = 0;
        for (struct tug_entry *e = tug_jobtab_after(&c->jobs, 0); e;
             e = tug_jobtab_after(&c->jobs, e->j.id)) {
            int mine = !strcmp(e->j.req.queue, q->name);
            jobs += mine && !tug_job_state_is_over(e->j.state);
            waiting += mine && e->bench != TUG_BENCH_NONE;
        }
        if (jobs != q->n_jobs || waiting != q->n_waiting)
            return tug_fail(err, -EINVAL, "queue '%s': its jobs are counted wrongly", q->name);
    }
    return 0;
}

static int is_brief_of(const struct tug_core *c, const struct tug_brief *b,
                       const struct tug_order_row *r)
{
    const struct tug_family *f = r->job.suspended ? NULL : r->entry->shape->family;
    return b->nodes == r->job.nodes && b->run_s == tug_order_run_s(&r->job) &&
           b->family < c->families.len && c->families.at[b->family] == f;
}

static int check_order(const struct tug_core *c, struct tug_err *err)
{
    size_t left = 0, there = c->order.added.len, apart = 0;
    for (size_t i = 0; i < c->order.added.len; i++)
        apart += c->order.added.at[i].brief.family == 0;
    for (size_t i = 0; i < c->order.len; i++) {
        const struct tug_order_row *r = tug_order_row(&c->order, i);
        left += r->entry == NULL;
        there += r->entry != NULL;
        apart += r->entry && tug_order_brief(&c->order, i)->family == 0;
        if (i && tug_order_before(&c->order, &r->job, &tug_order_row(&c->order, i - 1)->job))
            return tug_fail(err, -EINVAL, "job %llu stands in the wrong place of the order",
                            (unsigned long long) r->job.id);
        if (r->entry && (r->entry->bench != TUG_BENCH_ORDER || r->entry->j.id != r->job.id ||
                         r->entry->j.priority != r->job.priority))
            return tug_fail(err, -EINVAL, "the order's row of job %llu is not its own",
                            (unsigned long long) r->job.id);
        if (r->entry && !is_brief_of(c, tug_order_brief(&c->order, i), r))
            return tug_fail(err, -EINVAL, "what is said in brief of job %llu is not true",
                            (unsigned long long) r->job.id);
        if (r->job.key != r->job.key || (r->entry && r->entry->key != r->job.key) ||
            (!c->order.keyed && r->job.key != 0))
            return tug_fail(err, -EINVAL,
                            "job %llu stands in the order with a key that is not its own",
                            (unsigned long long) r->job.id);
    }
    if (left != c->order.left || there != c->order.n_jobs || apart != c->order.n_apart)
        return tug_fail(err, -EINVAL, "the order's rows are counted wrongly");
    return 0;
}

static int check_policies(const struct tug_core *c, struct tug_err *err)
{
    if (!c->hooks.observe && c->events.len)
        return tug_fail(err, -EINVAL, "%zu events are kept that no policy wants", c->events.len);
    if (!c->policies_known && (c->policies.n || c->hooks.observe))
        return tug_fail(err, -EINVAL, "policies that have gone are still asked");
    for (size_t i = 0; i < c->running.len; i++) {
        const struct tug_running_row *r = &c->running.at[i];
        if (r->job.key != r->job.key || r->job.key != r->entry->key)
            return tug_fail(err, -EINVAL, "job %llu runs with a key that is not its own",
                            (unsigned long long) r->job.id);
    }
    return 0;
}

static int check_shapes(const struct tug_core *c, struct tug_err *err)
{
    size_t refs = 0, alive = c->n_pending + c->n_running, parked = 0, parked_jobs = 0, benched = 0;
    for (const struct tug_shape *s = c->shapes; s; s = s->hh.next) {
        refs += s->refs;
        const struct tug_entry *e;
        TAILQ_FOREACH (e, &s->parked, in_parked) {
            parked_jobs++;
            if (e->shape != s || e->bench != TUG_BENCH_PARKED)
                return tug_fail(err, -EINVAL, "job %llu: is parked where it does not belong",
                                ID(e));
        }
        parked += !TAILQ_EMPTY(&s->parked);
    }
    for (struct tug_entry *e = tug_jobtab_after(&c->jobs, 0); e;
         e = tug_jobtab_after(&c->jobs, e->j.id))
        benched += e->bench == TUG_BENCH_PARKED;
    const struct tug_shape *s;
    LIST_FOREACH (s, &c->parked, in_parked)
        parked--;
    if (refs != alive || parked != 0 || benched != parked_jobs)
        return tug_fail(err, -EINVAL, "shapes: %zu holders for %zu jobs, %zu parked jobs of %zu",
                        refs, alive, parked_jobs, benched);
    size_t holders = 0, kin = 0;
    for (const struct tug_family *f = c->families_by_key; f; f = f->hh.next)
        kin += f->refs;
    if (kin != HASH_COUNT(c->shapes))
        return tug_fail(err, -EINVAL, "families: %zu holders for %u shapes", kin,
                        HASH_COUNT(c->shapes));
    for (const struct tug_where *w = c->wheres; w; w = w->hh.next)
        holders += w->refs;
    for (const struct tug_shape *s2 = c->shapes; s2; s2 = s2->hh.next)
        holders -= s2->key.first != NULL;
    return holders == HASH_COUNT(c->shapes)
               ? 0
               : tug_fail(err, -EINVAL, "places: %zu holders for %u shapes", holders,
                          HASH_COUNT(c->shapes));
}

/* ---- nodes: the ledger made anew from the jobs */

static struct tug_ledger *ledger_of_jobs(const struct tug_core *c, struct tug_err *err)
{
    struct tug_ledger *l = tug_ledger_new();
    tug_ledger_grow(l, c->nodes.len);
    for (struct tug_entry *e = tug_jobtab_after(&c->jobs, 0); e;
         e = tug_jobtab_after(&c->jobs, e->j.id))
        if (tug_job_state_holds(e->j.state) && !uses_gpus(e))
            tug_ledger_claim_memory(l, e->j.slices, e->j.n_slices);
        else if (tug_job_state_holds(e->j.state) &&
                 tug_ledger_claim(l, e->j.id, e->j.slices, e->j.n_slices, TUG_LEDGER_RESTORE,
                                  err)) {
            tug_fail_ctx(err, -EINVAL, "double booking by job %llu", ID(e));
            tug_ledger_free(l);
            return NULL;
        }
    if (tug_remnants_claim(c, l, err)) {
        tug_fail_ctx(err, -EINVAL, "double booking by what is left of a job");
        tug_ledger_free(l);
        return NULL;
    }
    for (struct tug_entry *e = tug_jobtab_after(&c->jobs, 0); e;
         e = tug_jobtab_after(&c->jobs, e->j.id))
        for (size_t i = 0; e->hold && i < e->hold->n; i++) {
            struct tug_slice mine = e->hold->have[i];
            if (mine.gpus & tug_ledger_node(l, mine.node)->gpus_used) {
                tug_fail(err, -EINVAL, "double booking by what is kept for job %llu", ID(e));
                tug_ledger_free(l);
                return NULL;
            }
            tug_ledger_keep(l, e->j.id, &mine);
        }
    return l;
}

/* A hold has what is free, and what it lacks is coming. */
static int check_holds(const struct tug_core *c, uint32_t node, struct tug_err *err)
{
    const struct tug_node *n = &c->nodes.at[node];
    const struct tug_ledger_node *l = tug_ledger_node(c->ledger, node);
    tug_gpuset gpus, planned = 0, coming = 0;
    uint32_t cpus, cpus_coming = 0;
    uint64_t mem, mem_coming = 0;
    if (!n->holds.len)
        return 0;
    tug_hold_owed(c, node, &gpus, &cpus, &mem);
    for (size_t i = 0; i < n->holds.len; i++) {
        const struct tug_hold *h = n->holds.at[i]->hold;
        size_t complete = 0;
        for (size_t k = 0; h && k < h->n; k++) {
            complete += h->want[k].gpus == h->have[k].gpus && h->want[k].cpus == h->have[k].cpus &&
                        h->want[k].mem_bytes == h->have[k].mem_bytes;
            if (h->want[k].node != node)
                continue;
            if (planned & h->want[k].gpus || h->have[k].gpus & ~h->want[k].gpus)
                return tug_fail(err, -EINVAL, "node %s: a GPU is planned for two jobs", n->name);
            planned |= h->want[k].gpus;
        }
        if (!h || complete != h->complete)
            return tug_fail(err, -EINVAL, "node %s: a hold there is counted wrongly", n->name);
    }
    for (size_t i = 0; i < n->gangs.len; i++) {
        const struct tug_entry *e = n->gangs.at[i];
        for (size_t k = 0; k < e->j.n_slices; k++) {
            const struct tug_slice *s = &e->j.slices[k];
            if (s->node != node || e->j.suspended_ms >= 0 || !tug_preempt_is_leaving(e))
                continue;
            coming |= s->gpus;
            cpus_coming += s->cpus;
            mem_coming += s->mem_bytes;
        }
    }
    if ((cpus && tug_ledger_cpus_free(l)) || (mem && tug_ledger_mem_free(l)) ||
        (gpus & tug_ledger_devices_free(l)))
        return tug_fail(err, -EINVAL, "node %s: something that a hold lacks is free", n->name);
    return gpus & ~coming || cpus > cpus_coming || mem > mem_coming
               ? tug_fail(err, -EINVAL, "node %s: nobody is leaving who has what a hold lacks",
                          n->name)
               : 0;
}

static int check_index(const struct tug_core *c, uint32_t i, const struct tug_ledger_node *l,
                       struct tug_err *err)
{
    int usable = tug_node_is_usable(c, i), open = !c->nodes.at[i].shut,
        wrong =
            tug_bit(c->index.usable, i) != usable ||
            tug_bit(c->index.idle, i) != (usable && open && !l->gangs && !c->nodes.at[i].holds.len);
    unsigned gpus = tug_gpuset_count(tug_ledger_gpus_free(l));
    for (unsigned g = 0; g <= TUG_GPUS_MAX; g++)
        wrong |=
            tug_bit(c->index.free_ge[g], i) !=
            (usable && open && tug_ledger_cpus_free(l) && g <= gpus);
    const struct tug_policy_node *r = &c->node_rows.at[i];
    struct tug_core_inventory has;
    tug_node_size(c, i, &has);
    const struct tug_index_room *room = &c->index.room[i];
    wrong |= room->cpus != tug_ledger_cpus_free(l) || room->mem_bytes != tug_ledger_mem_free(l) ||
             room->gpus != tug_ledger_gpus_free(l) || room->domain != c->nodes.at[i].domain ||
             room->machine != c->nodes.at[i].inv.machine;
    wrong |= tug_bit(c->index.shared, i) != tug_node_is_shared(c, i) ||
             (r->gpu_milli_free == l->milli_free) != open;
    for (unsigned g = 0; g < TUG_GPUS_MAX; g++)
        wrong |= l->milli_free[g] != (l->gpus >> g & 1 ? TUG_GPU_MILLI - l->milli_used[g] : 0);
    wrong |= r->gpu_model != has.gpu_model || r->domain != c->nodes.at[i].domain;
    wrong |= r->usable != (uint32_t) usable || r->gpus_free != (open ? tug_ledger_gpus_free(l) : 0) ||
             r->index != i || r->cpus_free != (open ? tug_ledger_cpus_free(l) : 0) ||
             r->mem_free_bytes != (open ? tug_ledger_mem_free(l) : 0) || r->gpus != tug_gpuset_count(l->gpus) ||
             r->cpus != l->cpus || r->held != (c->nodes.at[i].holds.len > 0);
    return wrong ? tug_fail(err, -EINVAL, "node %s: its row or its index does not say what is free",
                            c->nodes.at[i].name)
                 : 0;
}

/* Parts of one GPU are of one user, or of those who may be mixed; and they are what is used of it. */
static int check_gpu_parts(const struct tug_ledger_node *l, const char *name, struct tug_err *err)
{
    uint32_t milli[TUG_GPUS_MAX] = {0};
    for (size_t i = 0; i < l->parts.len; i++) {
        const struct tug_ledger_part *p = &l->parts.at[i];
        milli[p->gpu] += p->milli;
        for (size_t k = 0; k < i; k++) {
            const struct tug_ledger_part *q = &l->parts.at[k];
            if (p->gpu == q->gpu && p->user != q->user && !(p->mixed && q->mixed))
                return tug_fail(err, -EINVAL,
                                "node %s: jobs %llu and %llu of two users have parts of GPU %u", name,
                                (unsigned long long) q->job, (unsigned long long) p->job, p->gpu);
        }
    }
    for (unsigned g = 0; g < TUG_GPUS_MAX; g++)
        if (milli[g] != (l->gpus_shared >> g & 1 ? l->milli_used[g] : 0))
            return tug_fail(err, -EINVAL, "node %s: the parts of GPU %u are not what is used of it", name,
                            g);
    return 0;
}

/* At most one reason of each owner, in their order; it is drained while there is one. */
static int check_drains(const struct tug_node *n, struct tug_err *err)
{
    for (size_t i = 0; i < n->drains.len; i++)
        if ((unsigned) n->drains.at[i].by >= TUG_DRAINS || !*n->drains.at[i].reason ||
            (i && n->drains.at[i].by <= n->drains.at[i - 1].by))
            return tug_fail(err, -EINVAL, "node %s: reason %zu for draining it cannot be", n->name, i);
    return n->drained != (n->drains.len > 0)
               ? tug_fail(err, -EINVAL, "node %s: is drained without a reason, or has one and is not", n->name)
               : 0;
}

/* Rising, not too many, none that should be forgotten; and the index knows. */
static int check_failures(const struct tug_core *c, uint32_t i, struct tug_err *err)
{
    const struct tug_node *n = &c->nodes.at[i];
    int wrong = n->failures.len > TUG_FAILURES_MAX || tug_bit(c->index.shaky, i) != (n->failures.len > 0) || (n->lost && n->up);
    for (size_t k = 0; k < n->failures.len; k++)
        wrong |= (unsigned) n->failures.at[k].what >= TUG_FAILURE_KINDS ||
                 (k && n->failures.at[k].at_ms < n->failures.at[k - 1].at_ms);
    if (n->failures.len)
        wrong |= c->failures_next_ms > n->failures.at[0].at_ms + c->failures_kept_ms;
    return wrong ? tug_fail(err, -EINVAL, "node %s: what is remembered of its failures cannot be", n->name) : 0;
}

/* No attempt comes to a node that the one before has yet to leave by its epilog. */
static int check_visits_left(const struct tug_core *c, uint32_t i, struct tug_err *err)
{
    const struct tug_node *n = &c->nodes.at[i];
    for (size_t k = 0; k < n->remnants.len; k++)
        for (size_t g = 0; n->remnants.at[k].step == TUG_VISIT_STEP && g < n->gangs.len; g++)
            if (n->gangs.at[g]->j.id == n->remnants.at[k].job && n->gangs.at[g]->j.attempt != n->remnants.at[k].attempt)
                return tug_fail(err, -EINVAL, "node %s: attempt %u of job %llu is placed there before the epilog of attempt %u is over",
                                n->name, n->gangs.at[g]->j.attempt, ID(n->gangs.at[g]), n->remnants.at[k].attempt);
    return 0;
}

static int check_node(const struct tug_core *c, uint32_t i, const struct tug_ledger *made,
                      struct tug_err *err)
{
    const struct tug_ledger_node *l = tug_ledger_node(c->ledger, i), *m = tug_ledger_node(made, i);
    const char *name = c->nodes.at[i].name;
    if (l->gpus_used != m->gpus_used || l->cpus_used != m->cpus_used ||
        l->mem_used_bytes != m->mem_used_bytes || l->gangs != m->gangs ||
        l->stopped != m->stopped || l->gpus_shared != m->gpus_shared ||
        memcmp(l->owner, m->owner, sizeof l->owner) != 0 ||
        memcmp(l->milli_used, m->milli_used, sizeof l->milli_used) != 0)
        return tug_fail(err, -EINVAL, "node %s: the ledger is not the sum of the jobs", name);
    if (c->nodes.at[i].gangs.len + tug_remnants_hold(&c->nodes.at[i]) != l->gangs + l->stopped)
        return tug_fail(err, -EINVAL, "node %s: its list of gangs is not the ledger's", name);
    int rc = check_holds(c, i, err);
    if (!rc)
        rc = tug_cut_check(c, i, err);
    if (!rc)
        rc = check_gpu_parts(l, name, err);
    if (!rc)
        rc = check_index(c, i, l, err);
    if (!rc)
        rc = check_drains(&c->nodes.at[i], err);
    if (!rc)
        rc = check_visits_left(c, i, err);
    return rc ? rc : check_failures(c, i, err);
}

/* The node is in the regions of its domain and of all above it, and in no other. */
static int check_domain(const struct tug_core *c, uint32_t i, struct tug_err *err)
{
    const struct tug_fabric *f = &c->fabric;
    uint32_t domain = c->nodes.at[i].domain < f->n ? c->nodes.at[i].domain : (uint32_t) f->n;
    for (uint32_t d = 0; d <= f->n; d++) {
        int above = domain < f->n && d < f->n ? tug_fabric_contains(f, d, domain) : d == domain;
        if (tug_bit(f->at[d].own.nodes, i) != (d == domain) ||
            tug_bit(f->at[d].all.nodes, i) != above)
            return tug_fail(err, -EINVAL, "node %s: domain '%s' does not know whether it has it",
                            c->nodes.at[i].name, f->at[d].name);
    }
    return 0;
}

/* A domain is of the level that has its level's name, if one has. */
static int check_levels(const struct tug_core *c, struct tug_err *err)
{
    const struct tug_fabric *f = &c->fabric;
    for (size_t d = 0; d < f->n; d++) {
        uint32_t row = TUG_NO_DOMAIN;
        for (uint32_t k = 0; k < f->n_levels; k++)
            if (!strcmp(f->levels[k].name, f->at[d].level))
                row = k;
        if (f->at[d].level_row != row)
            return tug_fail(err, -EINVAL, "domain '%s' has another level's bandwidth",
                            f->at[d].name);
    }
    return 0;
}

static int check_nodes(const struct tug_core *c, struct tug_err *err)
{
    struct tug_ledger *made = ledger_of_jobs(c, err);
    if (!made)
        return -EINVAL;
    int rc = 0;
    uint32_t gpus = 0, gpus_free = 0, up = 0, lost = 0, shaky = 0;
    for (uint32_t i = 0; i < c->nodes.len && !rc; i++) {
        rc = check_node(c, i, made, err);
        if (!rc)
            rc = check_domain(c, i, err);
        const struct tug_policy_node *r = &c->node_rows.at[i];
        gpus += r->usable ? r->gpus : 0;
        gpus_free += r->usable ? tug_gpuset_count(r->gpus_free) : 0;
        up += c->nodes.at[i].up;
        lost += c->nodes.at[i].lost;
        shaky += c->nodes.at[i].failures.len > 0;
    }
    if (!rc && (lost != c->n_lost || shaky != c->index.n_shaky))
        rc = tug_fail(err, -EINVAL, "nodes that are lost or have failed are counted wrongly");
    if (!rc && (gpus != c->gpus || gpus_free != c->gpus_free || up != c->nodes_up))
        rc = tug_fail(err, -EINVAL, "the cluster's totals are wrong");
    tug_ledger_free(made);
    return rc;
}

/* Nodes hold the machines that they know of, and nobody else does; no search is under way. */
static int check_insides(const struct tug_core *c, struct tug_err *err)
{
    size_t holders = 0;
    for (size_t i = 0; i < c->nodes.len; i++)
        holders += (c->nodes.at[i].inv.machine != NULL) + (c->nodes.at[i].row.machine != NULL) + (c->nodes.at[i].told != NULL);
    if (holders != tug_insides_holders(c->insides))
        return tug_fail(err, -EINVAL, "nodes know of %zu machines and %zu are held", holders,
                        tug_insides_holders(c->insides));
    return c->bar.mbs || c->as_if_empty ? tug_fail(err, -EINVAL, "a search for nodes was left open") : 0;
}

int tug_core_check(const struct tug_core *c, struct tug_err *err)
{
    int (*const checks[])(const struct tug_core *, struct tug_err *) = {
        check_nodes, check_insides, check_levels, check_counts,   check_queues, tug_queue_check, tug_share_check,
        check_order, check_policies, check_shapes, tug_plan_check,  tug_within_check, tug_alone_check, tug_links_check};
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        int rc = checks[i](c, err);
        if (rc)
            return rc;
    }
    return 0;
}
