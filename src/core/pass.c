/* pass.c - a scheduler pass: policies propose, the core checks
 *
 * Each hook is filled by one plugin of the set at most; what nobody fills is decided by the
 * built-in order. Keys are asked for when a job enters the order, which is as the next pass begins:
 * until then its row stands aside. The view is kept up to date by events and only settled here.
 * Rows stay where they are until the pass is over: a job that starts leaves a row behind, and what
 * it runs on shows at once in the node rows. Nothing becomes free during a pass, so a shape that
 * did not fit once is not tried again. Layer: core.
 */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/pass.h"

#define EXPLAIN_MAX 240

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
    if (p->policy)
        p->stats.refused_of[p->at]++;
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
    if (!tug_job_state_waits((*out)->j.state))
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

/* As far as its own limits go. */
static int is_startable(struct tug_policy_pass *p, struct tug_entry *e)
{
    int rc = tug_pass_look(p, e);
    if (rc)
        return rc;
    if (e->bench != TUG_BENCH_ORDER)
        return -EPERM;
    if (e->j.state == TUG_JOB_PENDING && !tug_shape_is_possible(p->c, e->shape)) {
        tug_job_park(p->c, e);
        return -EPERM;
    }
    return 0;
}

static int could_start(struct tug_policy_pass *p, struct tug_entry *e)
{
    int rc = is_startable(p, e);
    return rc ? rc : tug_queue_takes(p->c, e, tug_queue_needs(e), NULL, 0);
}

static int refuse_in_place(struct tug_policy_pass *p, const struct tug_entry *e)
{
    return tug_pass_refuse(p, -EPERM, "starts job %llu in place(), which only says where",
                           (unsigned long long) e->j.id);
}

int tug_pass_may_start(struct tug_policy_pass *p, struct tug_entry *e)
{
    return p->placing ? refuse_in_place(p, e) : could_start(p, e);
}

int tug_pass_may_preempt(struct tug_policy_pass *p, struct tug_entry *e)
{
    int rc = p->placing ? refuse_in_place(p, e) : is_startable(p, e);
    return !rc && tug_queue_is_full(p->c, e) ? -EDQUOT : rc;
}

/* Whole nodes have as many GPUs as they have: only now is it known how many. */
static int whole_nodes_are_over(const struct tug_core *c, struct tug_entry *e,
                                const struct tug_slice *slices)
{
    char why[EXPLAIN_MAX + 1];
    uint32_t gpus = 0;
    if (!e->j.req.exclusive)
        return 0;
    for (uint32_t i = 0; i < e->j.req.nodes; i++)
        gpus += tug_gpuset_count(slices[i].gpus);
    int rc = tug_queue_takes(c, e, tug_entry_gpus(e, gpus), c->quiet ? NULL : why, sizeof why);
    if (rc && !c->quiet)
        tug_job_set_explain(e, TUG_REASON_QUEUE_CAP, why);
    e->explained |= rc != 0;
    return rc;
}

int tug_pass_start(struct tug_policy_pass *p, struct tug_entry *e, struct tug_slice *slices)
{
    int rc = whole_nodes_are_over(p->c, e, slices);
    if (rc) {
        free(slices);
        return rc;
    }
    tug_job_start(p->c, e, slices);
    tug_vec_push(&p->started, e);
    p->stats.started++;
    tug_plan_started(p, e);
    return 0;
}

/* ---- what a policy may call */

static int h_start(struct tug_policy_pass *p, uint64_t job)
{
    struct tug_entry *e;
    int rc = tug_pass_find(p, job, "starts", &e);
    if (!rc)
        rc = tug_pass_may_start(p, e);
    if (!rc && tug_preempt_has_place(e))
        return tug_preempt_start(p, e);
    if (!rc)
        rc = tug_place_choose(p, e);
    if (rc == -EAGAIN && !p->blocker)
        p->blocker = e->j.id;
    if (rc)
        return rc;
    return tug_pass_start(p, e, tug_place_slices(p->c, e, p->c->chosen.at));
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
    if (s->gpus & ~tug_cut_devices(c, s->node, e->shape->key.cut))
        return tug_pass_refuse(p, -EINVAL, "gives job %llu GPUs that node %s does not have", id,
                               n->name);
    if (tug_gpuset_count(s->gpus) != gpus)
        return tug_pass_refuse(p, -EINVAL, "gives job %llu %u GPUs on node %s; it asked for %u", id,
                               tug_gpuset_count(s->gpus), n->name, gpus);
    int taken = e->j.req.gpu_milli ? !tug_place_part_fits(c, e->shape, s->node, s->gpus)
                                   : (s->gpus & ~tug_cut_free(c, s->node, e->shape->key.cut)) != 0;
    if (!(last ? tug_place_fits_last : tug_place_fits)(c, e->shape, s->node) || taken)
        return tug_pass_refuse(
            p, -EBUSY, "puts job %llu on node %s, where something of what it needs is not free", id,
            n->name);
    return 0;
}

/* What the job asks of the fabric. */
static int check_within(struct tug_policy_pass *p, const struct tug_entry *e,
                        const struct tug_policy_slice *at)
{
    if (!tug_within_suffices(p->c, e->shape, at, e->j.req.nodes))
        return tug_pass_refuse(p, -EBUSY, "puts job %llu where its quality is too low",
                               (unsigned long long) e->j.id);
    if (!tug_within_binds(&e->shape->key.within))
        return 0;
    uint32_t n = e->j.req.nodes, *nodes = tug_xcalloc(n, sizeof *nodes);
    struct tug_slice *slices = tug_xcalloc(n, sizeof *slices);
    for (uint32_t i = 0; i < n; i++)
        slices[i].node = nodes[i] = at[i].node;
    const char *wrong = tug_within_wrong(p->c, &e->shape->key.within, nodes, n);
    int crowded = tug_alone_is_crowded(p->c, e, slices, n);
    free(nodes);
    free(slices);
    if (!wrong && crowded)
        return tug_pass_refuse(p, -EBUSY,
                               "gives job %llu a domain for itself in which others are",
                               (unsigned long long) e->j.id);
    return wrong ? tug_pass_refuse(p, -EINVAL, "puts job %llu where it must not be: %s",
                                   (unsigned long long) e->j.id, wrong)
                 : 0;
}

int tug_pass_check_slices(struct tug_policy_pass *p, const struct tug_entry *e,
                          const struct tug_policy_slice *at)
{
    int rc = 0;
    p->c->marks++;
    for (uint32_t i = 0; i < e->j.req.nodes && !rc; i++)
        rc = check_slice(p, e, i, &at[i]);
    return rc ? rc : check_within(p, e, at);
}

/* A suspended job is where it is. */
static int goes_on_there(struct tug_policy_pass *p, struct tug_entry *e,
                         const struct tug_policy_slice *at)
{
    for (size_t i = 0; i < e->j.n_slices; i++) {
        size_t k = 0;
        while (k < e->j.n_slices && at[k].node != e->j.slices[i].node)
            k++;
        if (k == e->j.n_slices || at[k].gpus != e->j.slices[i].gpus)
            return tug_pass_refuse(p, -EINVAL, "moves job %llu, which is suspended elsewhere",
                                   (unsigned long long) e->j.id);
    }
    return tug_preempt_start(p, e);
}

static int h_start_on(struct tug_policy_pass *p, uint64_t job, const struct tug_policy_slice *at,
                      size_t n)
{
    struct tug_entry *e;
    uint32_t pair[2];
    int rc = tug_pass_find(p, job, "starts", &e);
    if (!rc)
        rc = tug_pass_may_start(p, e);
    if (rc)
        return rc;
    if (!at || n != e->j.req.nodes)
        return tug_pass_refuse(p, -EINVAL, "puts job %llu on %zu nodes; it asked for %u",
                               (unsigned long long) job, n, e->j.req.nodes);
    if (e->j.state == TUG_JOB_SUSPENDED)
        return goes_on_there(p, e, at);
    tug_hold_lift(p->c, e);
    rc = tug_pass_check_slices(p, e, at);
    tug_hold_lower(p->c, e);
    if (!rc && tug_links_forbid_slices(p->c, at, n, pair))
        return -EHOSTUNREACH; /* which is no fault of a policy's */
    return rc ? rc : tug_pass_start(p, e, tug_place_slices(p->c, e, at));
}

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
    if (e->bench != TUG_BENCH_ORDER || tug_preempt_has_place(e))
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
    rc = tug_queue_takes(p->c, e, tug_queue_needs(e), NULL, 0);
    if (rc)
        return rc;
    return tug_preempt_has_place(e) ? tug_preempt_choose(p, e) : tug_place_choose(p, e);
}

static uint64_t h_random(struct tug_policy_pass *p)
{
    return tug_rand_u64(&p->c->rand);
}

static void h_log(struct tug_policy_pass *p, const char *text)
{
    uint32_t mine = p->policy ? 1u << p->at : 1u << TUG_POLICIES_MAX, had = p->logged & mine;
    p->logged |= mine;
    if (!had)
        tug_act_node_log(p->c, TUG_NO_NODE, "policy '%s': %s", p->policy ? p->policy : "built-in",
                         text ? text : "");
}

static int h_place(struct tug_policy_pass *p, uint64_t job, struct tug_policy_slice *at, size_t n)
{
    struct tug_entry *e;
    int rc = tug_pass_find(p, job, "asks about", &e);
    if (!rc)
        rc = could_start(p, e);
    if (rc)
        return rc;
    if (!at || n != e->j.req.nodes)
        return tug_pass_refuse(p, -EINVAL, "asks for %zu nodes of job %llu, which asked for %u", n,
                               (unsigned long long) job, e->j.req.nodes);
    rc = tug_preempt_has_place(e) ? tug_preempt_choose(p, e) : tug_place_choose(p, e);
    if (!rc)
        memcpy(at, p->c->chosen.at, n * sizeof *at);
    return rc;
}

static int h_held(struct tug_policy_pass *p, uint64_t job, struct tug_policy_slice *at, size_t n)
{
    const struct tug_entry *e = tug_jobtab_find(&p->c->jobs, job);
    if (!e || !tug_job_state_holds(e->j.state) || tug_job_state_waits(e->j.state))
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
    struct tug_core *c = p->c;
    if (at_ms <= c->now_ms)
        at_ms = c->now_ms + 1; /* a pass after this one, not for ever at the same time */
    if (at_ms < c->policy_wake_ms)
        c->policy_wake_ms = at_ms;
    return 0;
}

/* ---- links */

static int h_demands(struct tug_policy_pass *p, uint64_t job, struct tug_policy_demands *out)
{
    struct tug_entry *e;
    int rc = tug_pass_find(p, job, "asks about", &e);
    if (rc)
        return rc;
    const struct tug_within *w = &e->shape->key.within;
    struct tug_policy_demands has = {.size = out->size,
                                     .level = w->level ? w->level : "",
                                     .domains = w->domains,
                                     .segment = w->segment,
                                     .spread = w->spread,
                                     .quality_milli = w->quality_milli,
                                     .alone = w->alone ? w->alone : "",
                                     .best_mbs = tug_quality_best(p->c, e->shape)};
    memcpy(out, &has, out->size < sizeof has ? out->size : sizeof has);
    return 0;
}

static uint32_t h_domain_of(struct tug_policy_pass *p, const char *level, uint32_t node)
{
    const struct tug_tier *t = tug_fabric_tier(&p->c->fabric, level);
    return t && node < p->c->nodes.len ? t->domain_of[node] : UINT32_MAX;
}

static uint32_t h_failures(struct tug_policy_pass *p, uint32_t node)
{
    return node < p->c->nodes.len ? (uint32_t) p->c->nodes.at[node].failures.len : 0;
}

static uint32_t h_apart_from(struct tug_policy_pass *p, uint32_t node, uint32_t must, uint32_t *out, uint32_t n)
{
    return tug_links_of(p->c, node, must != 0, out, n);
}

static int64_t h_bandwidth(struct tug_policy_pass *p, uint64_t job, const struct tug_policy_slice *at, size_t n)
{
    struct tug_core *c = p->c;
    struct tug_entry *e;
    struct tug_forecast has;
    int rc = tug_pass_find(p, job, "asks about", &e);
    if (rc)
        return rc;
    if (n != e->j.req.nodes)
        return -EINVAL;
    for (size_t i = 0; i < n; i++)
        if (at[i].node >= c->nodes.len || (at[i].gpus & ~tug_ledger_node(c->ledger, at[i].node)->gpus) ||
            tug_gpuset_count(at[i].gpus) != tug_job_req_gpus(&e->j.req, (uint32_t) i))
            return -EINVAL;
    if (e->shape->key.milli || e->shape->key.cut)
        return 0;
    tug_span_forecast(c, at, n, &has);
    return has.mbs;
}

#define HOST(explains_)                                                                            \
    {                                                                                              \
        .size = sizeof(struct tug_policy_host), .start = h_start, .start_on = h_start_on,          \
        .explain = h_explain, .fits = h_fits, .random = h_random, .log = h_log, .place = h_place,  \
        .held = h_held, .may_use = h_may_use, .explains = (explains_),                             \
        .expected_end = tug_plan_expected_end, .earliest = tug_plan_earliest,                      \
        .reserve = tug_plan_reserve, .backfill = tug_plan_backfill, .horizon = tug_plan_horizon,   \
        .victims = tug_preempt_victims, .preempt = tug_preempt_propose, .wake = h_wake,            \
        .next = tug_plan_next, .may_preempt = tug_preempt_may_propose, .demands = h_demands,       \
        .domain_of = h_domain_of, .bandwidth = h_bandwidth, .failures = h_failures,                \
        .apart_from = h_apart_from                                                                 \
    }
static const struct tug_policy_host host = HOST(1), quiet_host = HOST(0);

/* ---- the pass */

/* Strictly in order: the first job that has to wait for resources holds up all behind it; one whose queue may not have more
 * GPUs now, those of its queue. Not those that are suspended: what the first one waits for may be their memory. */
static void built_in(struct tug_policy_pass *p)
{
    struct tug_core *c = p->c;
    int held_up = 0;
    for (size_t i = 0; i < c->order.len && !(held_up && !c->n_suspended); i++) {
        const struct tug_order_row *row = tug_order_row(&c->order, i);
        if (!row->entry || (held_up && !row->job.suspended) || tug_queue_held_by(c, row->entry))
            continue;
        int rc = h_start(p, row->job.id);
        if (rc == -EDQUOT)
            tug_queue_hold(c, row->entry);
        if (rc == -EAGAIN && tug_preempt_has_place(row->entry))
            continue; /* its place is its own, or will be */
        if (rc == -EAGAIN)
            h_explain(p, row->job.id, TUG_REASON_RESOURCES, NULL);
        if (rc == -E2BIG)
            break;
        held_up |= rc == -EAGAIN;
    }
}

/* What is stopped holds memory that others may wait for. Where nobody runs, nobody ever ends: whatever policies think, the first
 * that can go on does. */
static void let_one_go_on(struct tug_policy_pass *p)
{
    struct tug_core *c = p->c;
    if (!c->n_suspended || c->running.len || p->started.len)
        return;
    for (size_t i = 0; i < c->order.len; i++) {
        const struct tug_order_row *row = tug_order_row(&c->order, i);
        if (row->entry && row->job.suspended &&
            !tug_queue_takes(c, row->entry, tug_queue_needs(row->entry), NULL, 0) &&
            !tug_preempt_start(p, row->entry))
            return;
    }
}

/* ---- the plugins */

uint32_t tug_core_observes(const struct tug_policy_ops *ops)
{
    if (!TUG_HAS_HOOK(ops, observe))
        return 0;
    return TUG_POLICY_HAS(ops, observes) && ops->observes ? ops->observes : UINT32_MAX;
}

static struct tug_hooks hooks_of(const struct tug_policy_set *set)
{
    struct tug_hooks h = {
        TUG_POLICIES_MAX, TUG_POLICIES_MAX, TUG_POLICIES_MAX, TUG_POLICIES_MAX, 0, 0};
    for (size_t i = set->n; i > 0; i--) {
        const struct tug_policy_ops *ops = set->at[i - 1].ops;
        if (TUG_HAS_HOOK(ops, key))
            h.key = i - 1;
        if (TUG_HAS_HOOK(ops, pass))
            h.pass = i - 1;
        if (TUG_HAS_HOOK(ops, place))
            h.place = i - 1;
        if (TUG_HAS_HOOK(ops, preempt))
            h.preempt = i - 1;
        h.observe |= tug_core_observes(ops);
        h.shares |= TUG_POLICY_HAS(ops, needs) && (ops->needs & TUG_POLICY_NEEDS_SHARES);
    }
    return h;
}

static int is_filled(const struct tug_core *c, size_t hook)
{
    return hook < c->policies.n;
}

size_t tug_pass_hook_begin(struct tug_policy_pass *p, size_t at, const char *hook)
{
    struct tug_core *c = p->c;
    size_t before = p->policy ? p->at : TUG_POLICIES_MAX;
    p->at = at;
    p->policy = c->policies.at[at].ops->name;
    if (c->watch.begin)
        c->watch.begin(c->watch.ctx, at, c->policies.at[at].ops, hook);
    return before;
}

void tug_pass_hook_end(struct tug_policy_pass *p, size_t before)
{
    struct tug_core *c = p->c;
    if (c->watch.end)
        c->watch.end(c->watch.ctx, p->at);
    p->at = before;
    p->policy = before < c->policies.n ? c->policies.at[before].ops->name : NULL;
}

void tug_pass_hook_failed(struct tug_policy_pass *p, size_t at, const char *hook, int rc)
{
    if (p->failed)
        return;
    p->failed = rc;
    p->stats.failed = (uint32_t) at;
    tug_fail(p->err, rc, "policy '%s' could not decide: its %s() returned %d; %s in this pass",
             p->c->policies.at[at].ops->name, hook, rc,
             !strcmp(hook, "preempt") ? "nobody gave way" : "the built-in order took over");
}

void tug_core_watch_hooks(struct tug_core *c, const struct tug_hook_watch *w)
{
    c->watch = w ? *w : (struct tug_hook_watch){0};
}

static void forget_set(struct tug_core *c)
{
    tug_observe_clear(c, &c->events);
    c->policies = (struct tug_policy_set){0};
    c->hooks = (struct tug_hooks){0};
    c->policies_known = 0;
    c->policy_wake_ms = INT64_MAX;
}

void tug_core_forget_policies(struct tug_core *c)
{
    forget_set(c);
    c->wants_pass = 1;
}

static int is_in_force(const struct tug_core *c, const struct tug_policy_set *set)
{
    if (!c->policies_known || set->n != c->policies.n)
        return 0;
    for (size_t i = 0; i < set->n; i++)
        if (set->at[i].ops != c->policies.at[i].ops || set->at[i].self != c->policies.at[i].self)
            return 0;
    return 1;
}

/* Nobody gives keys any more: every row is as if none had ever been given. */
static void forget_keys(struct tug_core *c)
{
    for (size_t i = 0; i < c->order.len; i++)
        tug_order_row(&c->order, i)->job.key = tug_order_row(&c->order, i)->entry->key = 0;
    for (size_t i = 0; i < c->order.added.len; i++)
        c->order.added.at[i].job.key = c->order.added.at[i].entry->key = 0;
    for (size_t i = 0; i < c->running.len; i++)
        c->running.at[i].job.key = c->running.at[i].entry->key = 0;
    c->order.keyed = 0;
    tug_order_sort(&c->order);
}

/* The order is compact. */
static void use(struct tug_core *c, const struct tug_policy_set *set)
{
    forget_set(c);
    c->policies = *set;
    c->hooks = hooks_of(set);
    c->policies_known = 1;
    c->freed++; /* what one place() found no room for, another one may */
    c->keys_stale = 1;
    if (c->hooks.observe)
        tug_observe_all(c);
    else
        tug_observe_clear(c, &c->recalled);
    if (c->order.keyed && !is_filled(c, c->hooks.key))
        forget_keys(c);
}

void tug_pass_show(struct tug_policy_pass *p, int64_t now_ms)
{
    struct tug_core *c = p->c;
    p->view = (struct tug_policy_view){.size = sizeof p->view,
                                       .now_ms = now_ms,
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
                                       .gpus_free = c->gpus_free,
                                       .queues = c->queue_rows.at,
                                       .n_queues = c->queue_rows.len,
                                       .queues_stride = sizeof *c->queue_rows.at,
                                       .shares_stride = sizeof(struct tug_policy_share),
                                       .pass = c->pass,
                                       .n_suspended = c->n_suspended};
    if (c->hooks.shares)
        p->view.shares = tug_share_rows(c, now_ms, &p->view.n_shares);
}

/* ---- the hooks, in the order in which they are asked */

/* Each is told all of it, also when another one failed. */
static void observe(struct tug_policy_pass *p)
{
    struct tug_core *c = p->c;
    for (size_t i = 0; i < c->policies.n && c->events.len; i++) {
        const struct tug_policy_ops *ops = c->policies.at[i].ops;
        if (!TUG_HAS_HOOK(ops, observe))
            continue;
        size_t before = tug_pass_hook_begin(p, i, "observe");
        int rc = ops->observe(c->policies.at[i].self, &p->view, c->events.at, c->events.len,
                              sizeof *c->events.at);
        tug_pass_hook_end(p, before);
        if (rc < 0)
            tug_pass_hook_failed(p, i, "observe", rc);
    }
    tug_observe_clear(c, &c->events);
}

/* A key that is no number is refused: a job that had one keeps it, another one goes last. */
static void ask_key(struct tug_policy_pass *p, struct tug_policy_job *row, struct tug_entry *e,
                    double otherwise)
{
    const struct tug_core *c = p->c;
    double key = c->policies.at[p->at].ops->key(c->policies.at[p->at].self, &p->view, row);
    if (key != key) {
        tug_pass_refuse(p, -EDOM, "gives job %llu a key that is no number",
                        (unsigned long long) row->id);
        key = otherwise;
    }
    row->key = e->key = key + 0.0; /* there is one zero only */
}

static void ask_all_keys(struct tug_policy_pass *p)
{
    struct tug_core *c = p->c;
    for (size_t i = 0; i < c->order.len; i++) {
        struct tug_order_row *r = tug_order_row(&c->order, i);
        ask_key(p, &r->job, r->entry, c->keys_stale ? HUGE_VAL : r->job.key);
    }
    for (size_t i = 0; c->keys_stale && i < c->running.len; i++)
        ask_key(p, &c->running.at[i].job, c->running.at[i].entry, 0);
    c->order.keyed = 1;
    c->keys_stale = 0;
    tug_order_sort(&c->order);
}

static int ask_rekey(struct tug_policy_pass *p, const struct tug_policy_ops *ops, void *self)
{
    if (!TUG_HAS_HOOK(ops, rekey))
        return 0;
    size_t before = tug_pass_hook_begin(p, p->c->hooks.key, "rekey");
    int rc = ops->rekey(self, &p->view);
    tug_pass_hook_end(p, before);
    return rc;
}

/* Puts the jobs that came since the last pass into the order, and all in a new one if need be. */
static void settle(struct tug_policy_pass *p)
{
    struct tug_core *c = p->c;
    size_t at = c->hooks.key;
    int rc = 0;
    if (is_filled(c, at)) {
        rc = ask_rekey(p, c->policies.at[at].ops, c->policies.at[at].self);
        size_t before = tug_pass_hook_begin(p, at, "key");
        if (rc > 0 || c->keys_stale)
            ask_all_keys(p);
        for (size_t i = 0; i < c->order.added.len; i++)
            ask_key(p, &c->order.added.at[i].job, c->order.added.at[i].entry, HUGE_VAL);
        tug_pass_hook_end(p, before);
    }
    tug_order_settle(&c->order);
    tug_pass_show(p, p->c->now_ms);
    if (rc < 0)
        tug_pass_hook_failed(p, at, "rekey", rc);
}

/* Others gave way to these on an earlier pass's word, and all is there: they start before anybody
 * is asked again, wherever they stand in the order by now.. */
static void start_ripe(struct tug_policy_pass *p)
{
    struct tug_core *c = p->c;
    size_t n = 0;
    for (size_t i = 0; i < c->ripe.len; i++) {
        struct tug_entry *e = tug_jobtab_find(&c->jobs, c->ripe.at[i]);
        n += e && tug_hold_is_complete(e) && h_start(p, e->j.id) == 0;
    }
    c->ripe.len = 0;
    p->blocker = 0;
    if (n) {
        tug_order_settle(&c->order);
        tug_pass_show(p, p->c->now_ms);
    }
}

static void ask_pass(struct tug_policy_pass *p)
{
    struct tug_core *c = p->c;
    size_t at = c->hooks.pass;
    if (!is_filled(c, at)) {
        built_in(p);
        return;
    }
    size_t before = tug_pass_hook_begin(p, at, "pass");
    int rc = c->policies.at[at].ops->pass(c->policies.at[at].self, &p->view, p->host, p);
    tug_pass_hook_end(p, before);
    if (rc < 0)
        tug_pass_hook_failed(p, at, "pass", rc);
}

/* Who does not know who gives way lets nobody: what pass() decided stands. */
static void ask_preempt(struct tug_policy_pass *p)
{
    struct tug_core *c = p->c;
    size_t at = c->hooks.preempt;
    if (!is_filled(c, at))
        return;
    size_t before = tug_pass_hook_begin(p, at, "preempt");
    int rc = c->policies.at[at].ops->preempt(c->policies.at[at].self, &p->view, p->host, p);
    tug_pass_hook_end(p, before);
    if (rc < 0)
        tug_pass_hook_failed(p, at, "preempt", rc);
}

static void run(struct tug_policy_pass *p)
{
    tug_pass_show(p, p->c->now_ms);
    observe(p);
    settle(p);
    start_ripe(p);
    if (!p->failed)
        ask_pass(p);
    if (!p->failed) {
        ask_preempt(p);
        return;
    }
    p->blocker = 0;
    tug_order_settle(&p->c->order);
    built_in(p);
}

/* Nobody is asked. What came since the last pass goes last, until a pass asks for its keys. */
static void run_built_in(struct tug_policy_pass *p)
{
    struct tug_order *o = &p->c->order;
    for (size_t i = 0; o->keyed && i < o->added.len; i++) {
        o->added.at[i].job.key = o->added.at[i].entry->key = HUGE_VAL;
        p->c->keys_stale = 1;
    }
    tug_order_settle(o);
    start_ripe(p);
    built_in(p);
}

int tug_core_pass(struct tug_core *c, int64_t now_ms, const struct tug_policy_set *set,
                  struct tug_pass_stats *stats, struct tug_err *err)
{
    if (now_ms > c->now_ms)
        c->now_ms = now_ms;
    tug_actions_begin(&c->actions);
    tug_place_unpark(c);
    tug_order_compact(&c->order);
    c->pass++;
    c->wants_pass = 0;
    if (set && !is_in_force(c, set))
        use(c, set);
    struct tug_policy_pass p = {
        .c = c, .alone = set == NULL, .host = c->quiet ? &quiet_host : &host, .err = err};
    if (set)
        run(&p);
    else
        run_built_in(&p);
    let_one_go_on(&p);
    for (size_t i = 0; i < p.started.len; i++)
        tug_pass_started(c, p.started.at[i]);
    tug_preempt_settle(&p);
    c->blocker = p.blocker;
    /* Those behind the budget have not been looked at; without a start, looking again would end the
     * same way. */
    if (c->pass_budget && p.stats.looked_at >= c->pass_budget && p.stats.started)
        c->wants_pass = 1;
    if (stats)
        *stats = p.stats;
    tug_vec_clear(&p.started);
    return p.failed ? p.failed : (int) p.stats.started;
}
