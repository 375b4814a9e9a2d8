/* pass.c - a scheduler pass: the policy proposes, the core checks
 *
 * The view is kept up to date by events and only settled here. Rows stay where they are until the
 * pass is over: a job that starts leaves a row behind, and what it runs on shows at once in the
 * node rows. Nothing becomes free during a pass, so a shape that did not fit once is not tried
 * again. Layer: core.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/pass.h"

void tug_pass_started(struct tug_core *c, struct tug_entry *e)
{
    struct tug_running_row row = {.entry = e};
    tug_job_row(c, e, &row.job);
    tug_vec_push(&c->running, row);
    e->running_at = c->running.len;
}

int tug_pass_refuse(struct tug_policy_pass *p, int code, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (p->stats.refused++ == 0)
        tug_fail(p->err, code, "policy '%s' %s", p->policy ? p->policy : "built-in", text);
    return code;
}

/* ---- may it start at all? */

int tug_pass_find(struct tug_policy_pass *p, uint64_t id, const char *verb, struct tug_entry **out)
{
    *out = tug_jobtab_find(&p->c->jobs, id);
    if (!*out)
        return tug_pass_refuse(p, -ENOENT, "%s job %llu, which does not exist", verb,
                               (unsigned long long) id);
    if ((*out)->j.state != TUG_JOB_PENDING)
        return tug_pass_refuse(p, -ENOENT, "%s job %llu, which does not wait (%s)", verb,
                               (unsigned long long) id, tug_job_state_name((*out)->j.state));
    return 0;
}

int tug_pass_look(struct tug_policy_pass *p, struct tug_entry *e)
{
    if (e->looked_at == p->c->pass)
        return 0;
    if (p->c->pass_budget && p->stats.looked_at >= p->c->pass_budget)
        return -E2BIG;
    e->looked_at = p->c->pass;
    p->stats.looked_at++;
    return 0;
}

int tug_pass_may_start(struct tug_policy_pass *p, struct tug_entry *e)
{
    int rc = tug_pass_look(p, e);
    if (rc)
        return rc;
    if (e->bench != TUG_BENCH_ORDER)
        return -EPERM;
    if (!tug_shape_is_possible(p->c, e->shape)) {
        tug_job_park(p->c, e);
        return -EPERM;
    }
    return 0;
}

void tug_pass_start(struct tug_policy_pass *p, struct tug_entry *e, struct tug_slice *slices)
{
    tug_job_start(p->c, e, slices);
    tug_vec_push(&p->started, e);
    p->stats.started++;
}

/* ---- what a policy may call */

static int h_start(struct tug_policy_pass *p, uint64_t job)
{
    struct tug_entry *e;
    int rc = tug_pass_find(p, job, "starts", &e);
    if (!rc)
        rc = tug_pass_may_start(p, e);
    if (!rc)
        rc = tug_place_find(p->c, e->shape);
    if (rc == -EAGAIN && !p->blocker)
        p->blocker = e->j.id;
    if (rc)
        return rc;
    tug_pass_start(p, e, tug_place_slices(p->c, e, p->c->picked.at, NULL));
    return 0;
}

static int check_slice(struct tug_policy_pass *p, const struct tug_entry *e, uint32_t i,
                       const struct tug_policy_slice *s)
{
    uint32_t gpus = tug_job_req_gpus(&e->j.req, i);
    int last = i + 1 == e->j.req.nodes;
    struct tug_core *c = p->c;
    unsigned long long id = e->j.id;
    if (s->node >= c->nodes.len)
        return tug_pass_refuse(p, -EINVAL, "puts job %llu on node %u, which does not exist", id,
                               s->node);
    struct tug_node *n = &c->nodes.at[s->node];
    if (n->mark == c->marks)
        return tug_pass_refuse(p, -EINVAL, "puts job %llu on node %s twice", id, n->name);
    n->mark = c->marks;
    if (!tug_bit(e->shape->key.where->nodes, s->node))
        return tug_pass_refuse(p, -EINVAL, "puts job %llu on node %s, which the job may not use",
                               id, n->name);
    const struct tug_ledger_node *l = tug_ledger_node(c->ledger, s->node);
    if (s->gpus & ~l->gpus)
        return tug_pass_refuse(p, -EINVAL, "gives job %llu GPUs that node %s does not have", id,
                               n->name);
    if (tug_gpuset_count(s->gpus) != gpus)
        return tug_pass_refuse(p, -EINVAL, "gives job %llu %u GPUs on node %s; it asked for %u", id,
                               tug_gpuset_count(s->gpus), n->name, gpus);
    if (!(last ? tug_place_fits_last : tug_place_fits)(c, e->shape, s->node) ||
        (s->gpus & l->gpus_used))
        return tug_pass_refuse(
            p, -EBUSY, "puts job %llu on node %s, where something of what it needs is not free", id,
            n->name);
    return 0;
}

static int h_start_on(struct tug_policy_pass *p, uint64_t job, const struct tug_policy_slice *at,
                      size_t n)
{
    struct tug_entry *e;
    int rc = tug_pass_find(p, job, "starts", &e);
    if (!rc)
        rc = tug_pass_may_start(p, e);
    if (rc)
        return rc;
    if (!at || n != e->j.req.nodes)
        return tug_pass_refuse(p, -EINVAL, "puts job %llu on %zu nodes; it asked for %u",
                               (unsigned long long) job, n, e->j.req.nodes);
    p->c->marks++;
    for (size_t i = 0; i < n; i++) {
        rc = check_slice(p, e, (uint32_t) i, &at[i]);
        if (rc)
            return rc;
    }
    tug_pass_start(p, e, tug_place_slices(p->c, e, NULL, at));
    return 0;
}

#define EXPLAIN_MAX 240

static int h_explain(struct tug_policy_pass *p, uint64_t job, enum tug_policy_reason reason,
                     const char *text)
{
    struct tug_entry *e;
    if (p->c->quiet)
        return 0;
    int rc = tug_pass_find(p, job, "explains", &e);
    if (rc)
        return rc;
    if (!*tug_core_reason_name((int) reason))
        return tug_pass_refuse(p, -EINVAL, "gives reason %d for job %llu, which is none",
                               (int) reason, (unsigned long long) job);
    if (e->bench != TUG_BENCH_ORDER)
        return 0; /* the core knows better why this one may not start */
    char cut[EXPLAIN_MAX + 1];
    if (text)
        snprintf(cut, sizeof cut, "%s", text);
    tug_job_set_explain(e, (int) reason, text ? cut : NULL);
    e->explained = 1;
    return 0;
}

static int h_fits(struct tug_policy_pass *p, uint64_t job)
{
    struct tug_entry *e;
    int rc = tug_pass_find(p, job, "asks about", &e);
    if (!rc)
        rc = tug_pass_look(p, e);
    if (rc)
        return rc;
    if (e->bench != TUG_BENCH_ORDER)
        return -EPERM;
    return tug_place_find(p->c, e->shape);
}

static uint64_t h_random(struct tug_policy_pass *p)
{
    return tug_rand_u64(&p->c->rand);
}

static void h_log(struct tug_policy_pass *p, const char *text)
{
    if (!p->logged++)
        tug_act_node_log(p->c, TUG_NO_NODE, "policy '%s': %s", p->policy ? p->policy : "built-in",
                         text ? text : "");
}

static int h_place(struct tug_policy_pass *p, uint64_t job, struct tug_policy_slice *at, size_t n)
{
    struct tug_entry *e;
    int rc = tug_pass_find(p, job, "asks about", &e);
    if (!rc)
        rc = tug_pass_may_start(p, e);
    if (rc)
        return rc;
    if (!at || n != e->j.req.nodes)
        return tug_pass_refuse(p, -EINVAL, "asks for %zu nodes of job %llu, which asked for %u", n,
                               (unsigned long long) job, e->j.req.nodes);
    rc = tug_place_find(p->c, e->shape);
    for (size_t i = 0; i < n && !rc; i++) {
        const struct tug_ledger_node *l = tug_ledger_node(p->c->ledger, p->c->picked.at[i]);
        at[i].node = p->c->picked.at[i];
        at[i].gpus =
            tug_gpuset_take_low(tug_ledger_gpus_free(l), tug_job_req_gpus(&e->j.req, (uint32_t) i));
    }
    return rc;
}

static int h_held(struct tug_policy_pass *p, uint64_t job, struct tug_policy_slice *at, size_t n)
{
    const struct tug_entry *e = tug_jobtab_find(&p->c->jobs, job);
    if (!e || !tug_job_state_holds(e->j.state))
        return -ENOENT;
    for (size_t i = 0; i < n && i < e->j.n_slices; i++)
        at[i] = (struct tug_policy_slice){e->j.slices[i].node, e->j.slices[i].gpus};
    return (int) e->j.n_slices;
}

static int h_may_use(struct tug_policy_pass *p, uint64_t job, uint32_t node)
{
    const struct tug_entry *e = tug_jobtab_find(&p->c->jobs, job);
    if (!e || !e->shape || node >= p->c->nodes.len)
        return 0;
    return tug_bit(e->shape->key.where->nodes, node) && tug_bit(p->c->index.usable, node) &&
           tug_shape_could_hold_last(p->c, e->shape, node);
}

static int h_wake(struct tug_policy_pass *p, int64_t at_ms)
{
    (void) p;
    (void) at_ms;
    return -ENOSYS;
}

#define HOST(explains_)                                                                            \
    {                                                                                              \
        .size = sizeof(struct tug_policy_host), .start = h_start, .start_on = h_start_on,          \
        .explain = h_explain, .fits = h_fits, .random = h_random, .log = h_log, .place = h_place,  \
        .held = h_held, .may_use = h_may_use, .explains = (explains_),                             \
        .expected_end = tug_plan_expected_end, .earliest = tug_plan_earliest,                      \
        .reserve = tug_plan_reserve, .backfill = tug_plan_backfill, .horizon = tug_plan_horizon,   \
        .victims = tug_preempt_victims, .preempt = tug_preempt_propose, .wake = h_wake             \
    }
static const struct tug_policy_host host = HOST(1), quiet_host = HOST(0);

/* ---- the pass */

/* Strictly in order: the first job that has to wait for resources holds up all behind it. */
static void built_in(struct tug_policy_pass *p)
{
    struct tug_core *c = p->c;
    for (size_t i = 0; i < c->order.len; i++) {
        const struct tug_order_row *row = tug_order_row(&c->order, i);
        if (!row->entry)
            continue;
        int rc = h_start(p, row->job.id);
        if (rc == -EAGAIN)
            h_explain(p, row->job.id, TUG_REASON_RESOURCES, NULL);
        if (rc == -EAGAIN || rc == -E2BIG)
            break;
    }
}

/* The plugin that decides what starts; set->n = none does. */
static size_t passer(const struct tug_policy_set *set)
{
    size_t i = 0;
    while (i < set->n && !set->at[i].ops->pass)
        i++;
    return i;
}

static int ask_policy(struct tug_policy_pass *p, const struct tug_policy_ops *ops, void *self)
{
    const struct tug_core *c = p->c;
    struct tug_policy_view view = {.size = sizeof view,
                                   .now_ms = c->now_ms,
                                   .waiting = c->order.len ? tug_order_row(&c->order, 0) : NULL,
                                   .n_waiting = c->order.len,
                                   .waiting_stride = sizeof(struct tug_order_row),
                                   .running = c->running.at,
                                   .n_running = c->running.len,
                                   .running_stride = sizeof(struct tug_running_row),
                                   .nodes = c->node_rows.at,
                                   .n_nodes = c->node_rows.len,
                                   .nodes_stride = sizeof *c->node_rows.at,
                                   .gpus = c->gpus,
                                   .gpus_free = c->gpus_free};
    return ops->pass(self, &view, c->quiet ? &quiet_host : &host, p);
}

static int run(struct tug_policy_pass *p, const struct tug_policy_set *set)
{
    size_t at = set ? passer(set) : 0;
    if (!set || at == set->n) {
        built_in(p);
        return 0;
    }
    const struct tug_policy_ops *ops = set->at[at].ops;
    p->policy = ops->name;
    int rc = ask_policy(p, ops, set->at[at].self);
    if (rc >= 0)
        return 0;
    p->policy = NULL;
    p->blocker = 0;
    tug_order_settle(&p->c->order);
    built_in(p);
    tug_fail(p->err, rc,
             "policy '%s' could not decide (it returned %d); the built-in order took over for this "
             "pass",
             ops->name, rc);
    return rc;
}

int tug_core_pass(struct tug_core *c, int64_t now_ms, const struct tug_policy_set *set,
                  struct tug_pass_stats *stats, struct tug_err *err)
{
    if (now_ms > c->now_ms)
        c->now_ms = now_ms;
    tug_actions_begin(&c->actions);
    tug_place_unpark(c);
    tug_order_settle(&c->order);
    c->pass++;
    c->wants_pass = 0;
    struct tug_policy_pass p = {.c = c, .err = err};
    int rc = run(&p, set);
    for (size_t i = 0; i < p.started.len; i++)
        tug_pass_started(c, p.started.at[i]);
    c->blocker = p.blocker;
    /* Those behind the budget have not been looked at; without a start, looking again would end the
     * same way. */
    if (c->pass_budget && p.stats.looked_at >= c->pass_budget && p.stats.started)
        c->wants_pass = 1;
    if (stats)
        *stats = p.stats;
    tug_vec_clear(&p.started);
    return rc ? rc : (int) p.stats.started;
}
