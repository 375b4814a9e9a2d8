/* preempt.c - who gives way to whom, and how
 *
 * A policy proposes; what is checked here is the rule (scheduler.preemption), that the other one's
 * queue lets it be preempted, that it ran its minimum time, is not leaving already, and gave way
 * less than preempt_max times. That last makes every chain end: each job gives way so often at
 * most, whatever policies propose. Under TIER nobody can even be made to give way by whom it had
 * give way: the one's tier is lower than the other's, or the one's queue was above its guarantee and
 * the other's is not.
 *
 * One who gives way gets the queue's signal at once, runs on until its notice is over, and then is
 * queued again, ended, or suspended. It stays on its way out whatever becomes of the job that
 * wanted its place. If it ends by itself before that, exit code 0 means that it was done; anything
 * else means that it left as asked. One that is suspended holds what it has until all of its nodes have stopped it. What comes free is kept for the job that wanted it (hold.c).
 * Only what runs gives way; a gang that is being launched is let through first. Layer: core.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/pass.h"

/* A hold waits so much longer than notices and the time to end somebody should take. */
#define SLACK_MS (60 * 1000)

/* ---- the rules */

enum tug_policy_preemptable tug_preempt_how(const struct tug_core *c, const struct tug_entry *e)
{
    const struct tug_queue *q = tug_queue_find(c, e->j.req.queue);
    enum tug_policy_preemptable how = q ? q->preemptable : TUG_PREEMPT_NEVER;
    int again = tug_requeue_may(e);
    return how == TUG_PREEMPT_REQUEUE && !again ? TUG_PREEMPT_CANCEL : how;
}

int tug_preempt_is_leaving(const struct tug_entry *e)
{
    return e->j.state == TUG_JOB_COMPLETING || e->j.state == TUG_JOB_REQUEUED ||
           (e->j.state == TUG_JOB_RUNNING && e->j.gives_way != TUG_PREEMPT_NEVER);
}

int64_t tug_preempt_safe_until(const struct tug_core *c, const struct tug_entry *e)
{
    const struct tug_queue *q = tug_queue_find(c, e->j.req.queue);
    int64_t start_ms = tug_job_run_start_ms(&e->j);
    if (!q || e->j.state != TUG_JOB_RUNNING || e->j.gives_way || start_ms < 0 ||
        c->preemption == TUG_PREEMPTION_OFF || tug_preempt_how(c, e) == TUG_PREEMPT_NEVER ||
        e->j.preemptions >= c->preempt_max)
        return INT64_MAX;
    return start_ms + q->preempt_min_run_s * 1000LL;
}

static uint32_t tier_of(const struct tug_core *c, const struct tug_entry *e)
{
    const struct tug_queue *q = tug_queue_find(c, e->j.req.queue);
    return q ? q->tier : 0;
}

/* ---- a queue below its guarantee takes back what others have above theirs */

static void add_up(const struct tug_core *c, uint32_t *sums, uint32_t row, uint32_t gpus)
{
    for (uint32_t i = row; i != UINT32_MAX; i = c->queue_rows.at[i].parent)
        sums[i] += gpus;
}

static uint32_t gpus_of(const struct tug_slice *s, size_t n)
{
    uint32_t gpus = 0;
    for (size_t i = 0; i < n; i++)
        gpus += tug_gpuset_count(s[i].gpus);
    return gpus;
}

/* What the queues will have once everybody who leaves is gone and everybody who was promised a
 * place is there. */
static void sum_up(struct tug_core *c)
{
    if (c->reclaim.pass == c->pass)
        return;
    c->reclaim.pass = c->pass;
    c->reclaim.coming.len = c->reclaim.going.len = 0;
    for (size_t i = 0; i < c->queue_rows.len; i++) {
        tug_vec_push(&c->reclaim.coming, 0);
        tug_vec_push(&c->reclaim.going, 0);
    }
    for (size_t i = 0; i < c->running.len; i++) {
        const struct tug_entry *e = c->running.at[i].entry;
        if (tug_preempt_is_leaving(e))
            add_up(c, c->reclaim.going.at, e->queue_row, e->load.gpus + tug_cut_round(e->load.micro));
    }
    for (size_t i = 0; i < c->order.len; i++) {
        const struct tug_entry *e = tug_order_row(&c->order, i)->entry;
        if (e && e->hold)
            add_up(c, c->reclaim.coming.at, e->queue_row, tug_hold_gpus(e));
    }
}

/* With those for whom something is kept already, its queue, or one above it, would have no room for
 * so many more: what others left for it would stand idle. */
static int has_no_room(struct tug_core *c, const struct tug_entry *e, uint32_t gpus)
{
    uint32_t whose;
    if (tug_queue_most(c, e->queue_row, &whose) == UINT32_MAX)
        return 0;
    sum_up(c);
    return tug_queue_will_be_full(c, e, gpus, c->reclaim.coming.at);
}

static int is_above(const struct tug_core *c, uint32_t up, uint32_t row)
{
    while (row != UINT32_MAX && row != up)
        row = c->queue_rows.at[row].parent;
    return row == up;
}

/* Its queue, or one above it, stays within its guarantee with this job; and the other one's, and
 * those above it as far as the two share none, are above theirs. Whoever gives way by this rule
 * cannot take it back: this job's queue is not above its guarantee. */
static int reclaims(struct tug_core *c, const struct tug_entry *e, const struct tug_entry *v)
{
    const struct tug_policy_queue *rows = c->queue_rows.at;
    uint32_t i, below = 0;
    for (i = e->queue_row; i != UINT32_MAX && !is_above(c, i, v->queue_row); i = rows[i].parent)
        below |= rows[i].guarantee_gpus != 0;
    if (!below)
        return 0;
    sum_up(c);
    below = 0;
    for (i = e->queue_row; i != UINT32_MAX && !is_above(c, i, v->queue_row); i = rows[i].parent)
        below |= (uint64_t) rows[i].gpus_used + c->reclaim.coming.at[i] + tug_queue_needs(e) <=
                 (uint64_t) rows[i].guarantee_gpus + c->reclaim.going.at[i];
    for (i = v->queue_row; i != UINT32_MAX && !is_above(c, i, e->queue_row); i = rows[i].parent)
        if (rows[i].gpus_used <= (uint64_t) rows[i].guarantee_gpus + c->reclaim.going.at[i])
            return 0;
    return (int) below;
}

static int has_guarantee(const struct tug_core *c, const struct tug_entry *e)
{
    for (uint32_t i = e->queue_row; i != UINT32_MAX; i = c->queue_rows.at[i].parent)
        if (c->queue_rows.at[i].guarantee_gpus)
            return 1;
    return 0;
}

int tug_preempt_rule(struct tug_core *c, const struct tug_entry *e, const struct tug_entry *v)
{
    if (!e)
        return c->preemption == TUG_PREEMPTION_ORDER;
    uint32_t mine = tier_of(c, e), its = tier_of(c, v);
    return its < mine || reclaims(c, e, v) ||
           (its == mine && c->preemption == TUG_PREEMPTION_ORDER);
}

static int no(char *why, size_t size, const char *text)
{
    if (why)
        snprintf(why, size, "%s", text);
    return -EPERM;
}

int tug_preempt_may(struct tug_core *c, const struct tug_entry *e, const struct tug_entry *v,
                    char *why, size_t why_size)
{
    if (c->preemption == TUG_PREEMPTION_OFF)
        return no(why, why_size, "scheduler.preemption is off");
    if (e == v)
        return no(why, why_size, "it is the same job");
    if (tug_preempt_is_leaving(v))
        return no(why, why_size, "it is leaving already");
    if (v->j.state != TUG_JOB_RUNNING)
        return no(why, why_size, "it is only being launched");
    if (tug_preempt_how(c, v) == TUG_PREEMPT_NEVER)
        return no(why, why_size, "its queue is never preempted");
    if (v->j.preemptions >= c->preempt_max)
        return no(why, why_size, "it gave way as often as scheduler.preempt_max says");
    if (tug_preempt_safe_until(c, v) > c->now_ms)
        return no(why, why_size, "it has not run its queue's preempt_min_run yet");
    if (!tug_preempt_rule(c, e, v))
        return no(why, why_size,
                  e ? "its tier is not lower, and no guarantee asks for it"
                    : "scheduler.preemption is not order");
    return 0;
}

const char *tug_preempt_name(const struct tug_core *c, tug_job_id job, char *buf, size_t size)
{
    const struct tug_entry *e = tug_jobtab_find(&c->jobs, job);
    if (!job)
        snprintf(buf, size, "the policy");
    else if (e)
        snprintf(buf, size, "job %llu of queue '%s'", (unsigned long long) job, e->j.req.queue);
    else
        snprintf(buf, size, "job %llu", (unsigned long long) job);
    return buf;
}

/* ---- giving way */

static void signal_all(struct tug_core *c, const struct tug_entry *e, int signal)
{
    struct tug_event ev = {.job = e->j.id, .signal = signal};
    for (size_t i = 0; i < e->j.n_steps; i++) {
        ev.step = e->j.steps[i].id;
        if (e->j.steps[i].state == TUG_STEP_RUNNING)
            tug_ev_job_signal(c, &ev, NULL);
    }
}

/* With no notice to wait for, its end comes when the pass is over: rows stay where they are until
 * then. */
static void give_way(struct tug_policy_pass *p, struct tug_entry *v, tug_job_id to)
{
    struct tug_core *c = p->c;
    const struct tug_queue *q = tug_queue_find(c, v->j.req.queue);
    v->j.gives_way = (int) tug_preempt_how(c, v);
    v->j.preemptions++;
    v->j.preemptor = to;
    v->j.notice_ms = c->now_ms + q->preempt_notice_s * 1000LL;
    tug_act_changed(c, v);
    tug_act_job(c, TUG_ACT_JOB_HISTORY, v, "preempt");
    tug_observe_job(c, TUG_POLICY_EV_PREEMPT, v);
    if (q->preempt_signal)
        signal_all(c, v, q->preempt_signal);
    tug_job_refresh_row(c, v);
    tug_job_arm(c, v);
    if (v->j.notice_ms <= c->now_ms)
        tug_vec_push(&p->preempted, v);
}

static void make_way(struct tug_core *c, struct tug_entry *e, int how, const char *why)
{
    char who[96], text[TUG_ACTION_TEXT];
    snprintf(text, sizeof text, "gave way to %s%s%.100s",
             tug_preempt_name(c, e->j.preemptor, who, sizeof who), why ? ": " : "", why ? why : "");
    struct tug_cause cause = {
        .kind = TUG_CAUSE_PREEMPT, .node = TUG_NO_NODE, .at_ms = c->now_ms, .text = text};
    if (how == TUG_PREEMPT_SUSPEND)
        tug_suspend(c, e);
    else if (how == TUG_PREEMPT_REQUEUE)
        tug_job_requeue(c, e, &cause);
    else
        tug_job_end(c, e, TUG_JOB_PREEMPTED, &cause);
}

void tug_preempt_now(struct tug_core *c, struct tug_entry *e)
{
    make_way(c, e, e->j.gives_way, NULL);
}

void tug_preempt_left(struct tug_core *c, struct tug_entry *e, const char *why)
{
    int again = tug_requeue_may(e);
    int how = e->j.gives_way == TUG_PREEMPT_SUSPEND && again ? TUG_PREEMPT_REQUEUE
              : e->j.gives_way == TUG_PREEMPT_SUSPEND        ? TUG_PREEMPT_CANCEL
                                                             : e->j.gives_way;
    make_way(c, e, how, why);
}

void tug_preempt_settle(struct tug_policy_pass *p)
{
    for (size_t i = 0; i < p->preempted.len; i++)
        if (p->preempted.at[i]->j.state == TUG_JOB_RUNNING && p->preempted.at[i]->j.gives_way) {
            tug_preempt_now(p->c, p->preempted.at[i]);
            tug_job_arm(p->c, p->preempted.at[i]);
        }
    tug_vec_clear(&p->preempted);
}

/* ---- what a policy may call */

/* The job may start, and nobody gives way to it already. */
static int find_preemptor(struct tug_policy_pass *p, uint64_t job, struct tug_entry **out)
{
    int rc = tug_pass_find(p, job, "has others give way to", out);
    if (!rc)
        rc = tug_pass_may_preempt(p, *out);
    if (!rc && ((*out)->hold || p->c->preemption == TUG_PREEMPTION_OFF))
        rc = -EPERM;
    return !rc && has_no_room(p->c, *out, tug_queue_needs(*out)) ? -EDQUOT : rc;
}

/* The lowest tier of those who could give way or are leaving, worked out once a pass: who is not
 * above it need not look any further. */
static int may_preempt_anybody(struct tug_policy_pass *p, const struct tug_entry *e)
{
    struct tug_core *c = p->c;
    if (!p->knows_lowest)
        p->next_safe_ms = INT64_MAX;
    for (size_t i = 0; i < c->running.len && !p->knows_lowest; i++) {
        const struct tug_policy_job *j = &c->running.at[i].job;
        if (j->safe_until_ms > c->now_ms && j->safe_until_ms < p->next_safe_ms)
            p->next_safe_ms = j->safe_until_ms;
        if ((j->leaving || j->safe_until_ms <= c->now_ms) &&
            (!p->has_lowest || j->tier < p->lowest_tier)) {
            p->lowest_tier = j->tier;
            p->has_lowest = 1;
        }
    }
    p->knows_lowest = 1;
    return p->has_lowest &&
           (has_guarantee(c, e) || tier_of(c, e) > p->lowest_tier ||
            (tier_of(c, e) == p->lowest_tier && c->preemption == TUG_PREEMPTION_ORDER));
}

int tug_preempt_victims(struct tug_policy_pass *p, uint64_t job, uint64_t *victims, size_t n)
{
    struct tug_entry *e;
    int rc = find_preemptor(p, job, &e);
    if (rc)
        return rc;
    rc = may_preempt_anybody(p, e) ? 0 : -EPERM;
    if (!rc) {
        struct tug_victims *v = tug_victims_new(p->c, e, NULL, 0);
        rc = tug_victims_choose(v);
        if (!rc)
            rc = (int) tug_victims_get(v, victims, n);
        tug_victims_free(v);
    }
    /* Somebody may be enough who has not run its minimum time yet: that passes without an event. */
    if (rc < 0 && p->next_safe_ms < p->c->policy_wake_ms)
        p->c->policy_wake_ms = p->next_safe_ms;
    return rc;
}

void tug_preempt_can_now(struct tug_core *c, const struct tug_entry *e)
{
    if (c->hooks.preempt < c->policies.n && c->order.n_jobs &&
        tug_preempt_safe_until(c, e) != INT64_MAX)
        c->wants_pass = 1;
}

static int find_victim(struct tug_policy_pass *p, const struct tug_entry *e, uint64_t id,
                       struct tug_entry **out)
{
    char why[96];
    struct tug_entry *v = *out = tug_jobtab_find(&p->c->jobs, id);
    if (!v || !v->running_at)
        return tug_pass_refuse(p, -ENOENT, "has job %llu give way, which does not run",
                               (unsigned long long) id);
    if (tug_preempt_may(p->c, e, v, why, sizeof why))
        return tug_pass_refuse(p, -EPERM, "has job %llu give way, but %s", (unsigned long long) id,
                               why);
    if (v->named_at == p->c->marks)
        return tug_pass_refuse(p, -EPERM, "has job %llu give way twice", (unsigned long long) id);
    v->named_at = p->c->marks;
    return 0;
}

static int64_t patience(const struct tug_core *c, struct tug_entry *const *who, size_t n)
{
    int64_t until_ms = c->now_ms;
    for (size_t i = 0; i < n; i++)
        if (who[i]->j.notice_ms > until_ms)
            until_ms = who[i]->j.notice_ms;
    return until_ms + c->kill_grace_s * 1000LL + SLACK_MS;
}

static int propose(struct tug_policy_pass *p, struct tug_entry *e, const uint64_t *victims,
                   struct tug_entry **who, size_t n)
{
    struct tug_slice *want = NULL;
    p->c->marks++;
    for (size_t i = 0; i < n; i++) {
        int rc = find_victim(p, e, victims[i], &who[i]);
        if (rc)
            return rc;
    }
    if (e) {
        struct tug_victims *v = tug_victims_new(p->c, e, who, n);
        want = tug_victims_place(v);
        tug_victims_free(v);
        if (!want)
            return -EAGAIN;
        int rc = !n && tug_hold_is_idle(p->c, want, e->j.req.nodes) ? -EPERM
                 /* whole nodes have what they have: only now is it known */
                 : has_no_room(p->c, e, tug_entry_gpus(e, gpus_of(want, e->j.req.nodes))) ? -EDQUOT
                                                                       : 0;
        if (rc) {
            free(want);
            return rc;
        }
    }
    for (size_t i = 0; i < n; i++)
        give_way(p, who[i], e ? e->j.id : 0);
    if (e)
        tug_hold_new(p->c, e, want, victims, n, patience(p->c, who, n));
    p->c->reclaim.pass = 0; /* to be summed up anew */
    return 0;
}

int tug_preempt_propose(struct tug_policy_pass *p, uint64_t job, const uint64_t *victims, size_t n)
{
    struct tug_entry *e = NULL;
    int rc = job ? find_preemptor(p, job, &e) : 0;
    if (rc)
        return rc;
    struct tug_entry **who = tug_xcalloc(n + 1, sizeof(struct tug_entry *));
    rc = propose(p, e, victims, who, n);
    free(who);
    return rc;
}

int tug_preempt_may_propose(struct tug_policy_pass *p, uint64_t job, uint64_t victim)
{
    const struct tug_entry *e = tug_jobtab_find(&p->c->jobs, job),
                           *v = tug_jobtab_find(&p->c->jobs, victim);
    return (e || !job) && v && v->running_at && !tug_preempt_may(p->c, e, v, NULL, 0);
}

/* ---- jobs that do not start like others: where they do is decided already */

int tug_preempt_has_place(const struct tug_entry *e)
{
    return e->j.state == TUG_JOB_SUSPENDED || e->hold;
}

static void take_slices(struct tug_core *c, const struct tug_slice *s, size_t n)
{
    c->chosen.len = 0;
    for (size_t i = 0; i < n; i++) {
        struct tug_policy_slice at = {s[i].node, s[i].gpus};
        tug_vec_push(&c->chosen, at);
    }
}

static int choose_suspended(struct tug_core *c, struct tug_entry *e)
{
    tug_hold_lift(c, e);
    int fits = tug_suspend_may_resume(c, e);
    tug_hold_lower(c, e);
    if (!fits)
        return -EAGAIN;
    take_slices(c, e->j.slices, e->j.n_slices);
    return 0;
}

/* With what is kept for it; or, when that is not complete, with that and what is free. No policy is
 * asked in between, which would see what is kept as free. */
static int choose_held(struct tug_policy_pass *p, struct tug_entry *e)
{
    if (tug_hold_is_complete(e)) {
        take_slices(p->c, e->hold->want, e->hold->n);
        return 0;
    }
    /* What others of its shape and family found is not true of it, nor the other way round. */
    struct tug_family *family = e->shape->family;
    uint64_t failed_at = e->shape->failed_at;
    int placing = p->placing;
    tug_hold_lift(p->c, e);
    e->shape->failed_at = 0;
    e->shape->family = NULL;
    p->placing = 1;
    int rc = tug_place_choose(p, e);
    p->placing = placing;
    e->shape->failed_at = failed_at;
    e->shape->family = family;
    tug_hold_lower(p->c, e);
    return rc;
}

int tug_preempt_choose(struct tug_policy_pass *p, struct tug_entry *e)
{
    return e->j.state == TUG_JOB_SUSPENDED ? choose_suspended(p->c, e) : choose_held(p, e);
}

int tug_preempt_start(struct tug_policy_pass *p, struct tug_entry *e)
{
    int rc = tug_preempt_choose(p, e);
    if (rc)
        return rc;
    if (e->j.state != TUG_JOB_SUSPENDED)
        return tug_pass_start(p, e, tug_place_slices(p->c, e, p->c->chosen.at));
    tug_resume(p->c, e);
    tug_vec_push(&p->started, e);
    p->stats.started++;
    tug_plan_started(p, e);
    return 0;
}
