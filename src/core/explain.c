/* explain.c - why a job waits, in a sentence that says what is missing
 *
 * A policy's own words come first. Where it gave none, or did not get to the job, the sentence is
 * made when somebody asks, from what is true then. Layer: core.
 */
#include <stdio.h>
#include <string.h>

#include "base/duration.h"
#include "base/size.h"
#include "core/state.h"

static const struct {
    const char *name, *text;
} reasons[] = {
#define TUG_REASON(NUMBER_NAME, name, text) [TUG_REASON_##NUMBER_NAME] = {name, text},
#include "core/reasons.def"
#undef TUG_REASON
};

const char *tug_core_reason_name(int reason)
{
    return reason >= 0 && (size_t) reason < sizeof reasons / sizeof *reasons ? reasons[reason].name
                                                                             : "";
}

static const char *own_text(int reason)
{
    return reason >= 0 && (size_t) reason < sizeof reasons / sizeof *reasons ? reasons[reason].text
                                                                             : "";
}

struct out {
    char *at;
    size_t size, len;
};

static void say(struct out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct out *o, const char *fmt, ...)
{
    if (o->len + 1 >= o->size)
        return;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(o->at + o->len, o->size - o->len, fmt, ap);
    va_end(ap);
    if (n > 0)
        o->len = o->len + (size_t) n < o->size ? o->len + (size_t) n : o->size - 1;
}

/* ---- times: days since 1970 to a date as in Hinnant, "chrono-compatible low-level date
 * algorithms" */

static void say_utc(struct out *o, int64_t ms)
{
    int64_t at = ms / 1000, days = at / 86400, rest = at % 86400;
    int64_t z = days + 719468, era = z / 146097, doe = z % 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    int64_t month = mp < 10 ? mp + 3 : mp - 9;
    say(o, "%04lld-%02lld-%02lldT%02lld:%02lld:%02lldZ",
        (long long) (yoe + era * 400 + (month <= 2)), (long long) month,
        (long long) (doy - (153 * mp + 2) / 5 + 1), (long long) (rest / 3600),
        (long long) (rest / 60 % 60), (long long) (rest % 60));
}

static uint32_t fitting_now(const struct tug_core *c, const struct tug_shape *s)
{
    const uint64_t *candidates = s->key.milli       ? c->index.usable
                                 : s->key.exclusive ? c->index.idle
                                                    : tug_index_free(c, s->key.cut, s->key.gpus);
    uint32_t n = 0;
    for (size_t w = 0; w < c->index.words; w++)
        for (uint64_t m = s->key.where->nodes[w] & candidates[w]; m; m &= m - 1)
            n += (uint32_t) tug_place_fits(c, s,
                                           (uint32_t) (w * 64) + (uint32_t) __builtin_ctzll(m));
    return n;
}

static uint32_t usable_now(const struct tug_core *c, const struct tug_shape *s)
{
    uint32_t n = 0;
    for (size_t w = 0; w < c->index.words; w++)
        n += (uint32_t) __builtin_popcountll(s->key.where->nodes[w] & c->index.usable[w]);
    return n;
}

/* "2 nodes with 8 GPUs, 16 CPUs and 64G of memory" */
static void say_needs(struct out *o, const struct tug_job_req *r)
{
    char mem[TUG_SIZE_TEXT_MAX];
    say(o, "needs %u node%s with ", r->nodes, r->nodes == 1 ? "" : "s");
    if (r->exclusive)
        say(o, "nobody else on %s, ", r->nodes == 1 ? "it" : "them");
    if (r->gpu_milli)
        say(o, "%u/%d of a GPU%s", r->gpu_milli, TUG_GPU_MILLI,
            r->mem_per_node_bytes ? ", " : " and ");
    else if (*r->mig_profile)
        say(o, "%u slice%s %s%s", r->gpus_per_node, r->gpus_per_node == 1 ? "" : "s", r->mig_profile,
            r->mem_per_node_bytes ? ", " : " and ");
    else if (r->gpus_per_node)
        say(o, "%u GPU%s%s", r->gpus_per_node, r->gpus_per_node == 1 ? "" : "s",
            r->mem_per_node_bytes ? ", " : " and ");
    say(o, "%u CPU%s", r->cpus_per_node, r->cpus_per_node == 1 ? "" : "s");
    if (r->mem_per_node_bytes)
        say(o, " and %s of memory", tug_size_format(r->mem_per_node_bytes, mem, sizeof mem));
    if (r->gpus_last)
        say(o, " (%u %s%s on the last)", r->gpus_last, *r->mig_profile ? "slice" : "GPU", r->gpus_last == 1 ? "" : "s");
}

static void say_resources(const struct tug_core *c, const struct tug_entry *e, struct out *o)
{
    uint32_t now = fitting_now(c, e->shape);
    say_needs(o, &e->j.req);
    if (e->shape->key.milli && !e->shape->key.mixed)
        say(o, ", on a GPU that no other user has a part of,");
    say(o, " free%s; %u %s that now", e->j.req.nodes == 1 ? "" : " on each", now,
        now == 1 ? "has" : "have");
}

/* Enough nodes hold a slice, and two of them are not used together. 1: that is what it waits for. */
static int say_links(const struct tug_core *c, const struct tug_entry *e, struct out *o)
{
    uint32_t pair[2];
    size_t times;
    int64_t since_ms;
    if (!c->links.n_bad || e->j.req.nodes < 2 || fitting_now(c, e->shape) < e->j.req.nodes)
        return 0;
    if (!tug_links_between(c, e->shape->key.where->nodes, pair, &times, &since_ms))
        return 0;
    say(o, "enough is free, but nodes %s and %s are not used together: their link failed %zu time%s since ",
        c->nodes.at[pair[0]].name, c->nodes.at[pair[1]].name, times, times == 1 ? "" : "s");
    say_utc(o, since_ms);
    if (c->links.n_bad > 1)
        say(o, "; there are %zu such pairs (tug nodes --links)", c->links.n_bad);
    return 1;
}

static void say_nodes_down(const struct tug_core *c, const struct tug_entry *e, struct out *o)
{
    say_needs(o, &e->j.req);
    say(o, "; of the %zu node%s that it may use, %u %s up and not drained",
        e->shape->key.where->n_nodes, e->shape->key.where->n_nodes == 1 ? "" : "s",
        usable_now(c, e->shape), usable_now(c, e->shape) == 1 ? "is" : "are");
    struct tug_buf names = {0};
    if (tug_remnants_keep_out(c, &e->j, &names))
        say(o, "; an attempt before has yet to be gone from %s, with its epilog", tug_buf_str(&names));
    tug_buf_clear(&names);
}

/* Does a job that the last pass could not start stand before this one? */
static const struct tug_entry *goes_first(const struct tug_core *c, const struct tug_entry *e)
{
    tug_job_id held_by = c->pass ? tug_queue_held_by(c, e) : 0;
    tug_job_id id = held_by ? held_by : c->blocker;
    const struct tug_entry *b = id ? tug_jobtab_find(&c->jobs, id) : NULL;
    if (!b || b == e || b->bench != TUG_BENCH_ORDER)
        return NULL;
    struct tug_policy_job mine, its;
    tug_job_row(c, e, &mine);
    tug_job_row(c, b, &its);
    return tug_order_before(&c->order, &its, &mine) ? b : NULL;
}

/* Those who give way to it and are not gone yet, at most so many by name. */
#define GIVERS_SAID 4

static void say_preempting(const struct tug_core *c, const struct tug_entry *e, struct out *o)
{
    int64_t last_ms = c->now_ms;
    size_t n = 0;
    for (size_t i = 0; i < e->hold->n_givers; i++) {
        const struct tug_entry *g = tug_jobtab_find(&c->jobs, e->hold->givers[i]);
        if (!g || !tug_preempt_is_leaving(g))
            continue;
        if (n++ < GIVERS_SAID)
            say(o, "%sjob %llu of queue '%s'", n > 1 ? ", " : "", (unsigned long long) g->j.id,
                g->j.req.queue);
        if (g->j.notice_ms > last_ms)
            last_ms = g->j.notice_ms;
    }
    if (n > GIVERS_SAID)
        say(o, " and %zu more", n - GIVERS_SAID);
    if (n)
        say(o, " %s giving way to it; %s will be gone in %lld s at the latest",
            n == 1 ? "is" : "are", n == 1 ? "it" : "they",
            (long long) ((last_ms - c->now_ms + 999) / 1000 + c->kill_grace_s));
    else
        say(o, tug_hold_is_complete(e) ? "others gave way to it, and it starts next"
                                       : "waits for others that are being ended");
}

/* What of the slice's GPUs somebody else has. */
static tug_gpuset taken_of(const struct tug_ledger_node *l, const struct tug_slice *s)
{
    if (s->gpu_milli && tug_ledger_part_fits(l, (unsigned) __builtin_ctzll(s->gpus), s))
        return 0;
    return s->gpus & l->gpus_used;
}

/* 1: it said what is in the way there. */
static int say_in_the_way(const struct tug_core *c, const struct tug_entry *e,
                          const struct tug_slice *s, struct out *o)
{
    const struct tug_ledger_node *l = tug_ledger_node(c->ledger, s->node);
    const struct tug_node *n = &c->nodes.at[s->node];
    tug_gpuset taken = taken_of(l, s);
    unsigned gpu = taken ? (unsigned) __builtin_ctzll(taken) : 0;
    if (!n->up)
        say(o, "; goes on when node %s is up", n->name);
    else if (n->shut)
        say(o, "; goes on when the domain of node %s is no longer another job's alone", n->name);
    else if (n->strays.len)
        say(o, "; goes on when what should not run on node %s has been ended", n->name);
    else if (s->gpus & ~(l->gpus | l->slices))
        say(o, "; goes on when node %s has all its %s again", n->name, *e->j.req.mig_profile ? "slices" : "GPUs");
    else if (taken && l->gpus_shared >> gpu & 1)
        say(o, "; goes on when its GPUs are free again: others have parts of GPU %u of node %s",
            gpu, n->name);
    else if (taken && *e->j.req.mig_profile)
        say(o, "; goes on when its slices are free again: job %llu has one of them on node %s", (unsigned long long) l->owner[gpu],
            n->name);
    else if (taken)
        say(o, "; goes on when its GPUs are free again: GPU %u of node %s has job %llu", gpu,
            n->name, (unsigned long long) l->owner[gpu]);
    else if (s->cpus > tug_ledger_cpus_free(l))
        say(o, "; goes on when %u CPUs of node %s are free; %u are", s->cpus, n->name,
            tug_ledger_cpus_free(l));
    else if (e->j.req.exclusive && l->gangs)
        say(o, "; goes on when nobody else is on node %s", n->name);
    else
        return 0;
    return 1;
}

/* The first thing that is in the way of its going on. */
static void say_suspended(const struct tug_core *c, const struct tug_entry *e, struct out *o)
{
    char who[96];
    say(o, "stopped");
    if (e->j.preemptor)
        say(o, ", as it gave way to %s", tug_preempt_name(c, e->j.preemptor, who, sizeof who));
    for (size_t i = 0; i < e->j.n_slices; i++)
        if (say_in_the_way(c, e, &e->j.slices[i], o))
            return;
    say(o, "; goes on when those who go first have started");
}

/* It was left out of the last pass as another in its place had been found to delay a reservation.
 */
static void say_delays(const struct tug_core *c, struct out *o)
{
    int64_t start_ms = INT64_MAX;
    tug_job_id job;
    if (tug_plan_reserved(c, &job, &start_ms) != 1) {
        say(o, "would delay a job that goes first");
        return;
    }
    say(o, "would delay job %llu, which starts at ", (unsigned long long) job);
    if (start_ms == INT64_MAX)
        say(o, "a time that nobody knows");
    else
        say_utc(o, start_ms);
}

/* The reason as the last pass left it: what the policy said, unless it left the job out (next()).
 */
static int reason_in_order(const struct tug_core *c, const struct tug_entry *e,
                           const struct tug_entry *first, int *left_out)
{
    struct tug_policy_job row;
    *left_out = 0;
    if (e->looked_at != c->pass && e->shape) {
        tug_job_row(c, e, &row);
        int reason = tug_family_waits_for(c, e->shape->family, row.nodes, tug_order_run_s(&row));
        *left_out = reason != TUG_REASON_NONE;
        if (reason)
            return reason;
    }
    return e->explained                       ? e->j.reason
           : first                            ? TUG_REASON_PRIORITY
           /* Looked at, and not said why: others that started since then took what was free. */
           : c->pass && (c->blocker == e->j.id || e->looked_at == c->pass) ? TUG_REASON_RESOURCES
                                              : TUG_REASON_NONE;
}

int64_t tug_core_expected_start(const struct tug_core *c, const struct tug_job *job)
{
    const struct tug_entry *e = tug_entry_of(job);
    int is_planned = e->bench == TUG_BENCH_ORDER && e->planned_in && e->planned_in == c->pass;
    return is_planned && e->planned_ms != INT64_MAX ? e->planned_ms : -1;
}

static void say_start(const struct tug_core *c, const struct tug_entry *e, struct out *o)
{
    if (!e->planned_in || e->planned_in != c->pass)
        return;
    if (e->planned_ms == INT64_MAX) {
        say(o, "; nobody knows when it can start");
        return;
    }
    say(o, "; is expected to start at ");
    say_utc(o, e->planned_ms);
}

static int explain_in_order(const struct tug_core *c, const struct tug_entry *e, struct out *o)
{
    if (e->hold) {
        say_preempting(c, e, o);
        return TUG_REASON_PREEMPTING;
    }
    /* Whoever has its GPUs is in the way, before anything else is. */
    if (e->j.state == TUG_JOB_SUSPENDED && !tug_suspend_may_resume(c, e)) {
        say_suspended(c, e, o);
        return TUG_REASON_SUSPENDED;
    }
    char why[512];
    if (tug_queue_takes(c, e, tug_queue_needs(e), why, sizeof why)) {
        say(o, "%s", why);
        return TUG_REASON_QUEUE_CAP;
    }
    if (e->j.state == TUG_JOB_SUSPENDED) {
        say_suspended(c, e, o);
        return TUG_REASON_SUSPENDED;
    }
    const struct tug_entry *first = goes_first(c, e);
    int left_out, reason = reason_in_order(c, e, first, &left_out);
    if (reason == TUG_REASON_RESOURCES && tug_within_explain_quality(c, e, why, sizeof why)) {
        say(o, "%s", why);
        reason = TUG_REASON_QUALITY;
    } else if (reason == TUG_REASON_RESOURCES && tug_demand_explain(c, e, why, sizeof why)) {
        say(o, "%s", why);
        reason = TUG_REASON_TOPOLOGY;
    } else if (reason == TUG_REASON_RESOURCES && say_links(c, e, o)) {
        reason = TUG_REASON_LINKS;
    } else if (e->explained && e->j.explain && !left_out)
        say(o, "%s", e->j.explain);
    else if (reason == TUG_REASON_RESOURCES)
        say_resources(c, e, o);
    else if (reason == TUG_REASON_PRIORITY && left_out)
        say_delays(c, o);
    else if (reason == TUG_REASON_PRIORITY && first)
        say(o, "job %llu goes first and waits itself", (unsigned long long) first->j.id);
    else
        say(o, "%s", own_text(reason));
    say_start(c, e, o);
    return reason;
}

static void say_backoff(const struct tug_core *c, const struct tug_job *j, struct out *o)
{
    char left[TUG_DURATION_TEXT_MAX];
    int64_t left_ms = j->retry_ms > c->now_ms ? j->retry_ms - c->now_ms : 0;
    say(o, "attempt %u starts in %s at the soonest, requeue %u of at most %u", j->attempt,
        tug_duration_format((left_ms + 999) / 1000, left, sizeof left), j->failures, tug_core_max_requeues(c, j));
}

static int say_held(const struct tug_job *j, struct out *o)
{
    const struct tug_onhold *h = &j->onhold;
    int is_admin = h->by == TUG_ONHOLD_ADMIN;
    say(o, "held by %s%s since ", h->user, is_admin ? ", an administrator," : "");
    say_utc(o, h->since_ms);
    if (*h->why)
        say(o, " (%s)", h->why);
    if (is_admin)
        say(o, "; only an administrator releases it");
    else
        say(o, "; tug release %llu", (unsigned long long) j->id);
    return is_admin ? TUG_REASON_HELD_ADMIN : TUG_REASON_HELD_USER;
}

static int explain_pending(const struct tug_core *c, const struct tug_entry *e, struct out *o)
{
    switch (e->bench) {
    case TUG_BENCH_BEGIN:
        if (e->j.reason == TUG_REASON_BACKOFF) {
            say_backoff(c, &e->j, o);
            return TUG_REASON_BACKOFF;
        }
        say(o, "%s", own_text(TUG_REASON_BEGIN_TIME));
        return TUG_REASON_BEGIN_TIME;
    case TUG_BENCH_HELD:
        return say_held(&e->j, o);
    case TUG_BENCH_QUEUE:
        say(o,
            tug_queue_find(c, e->j.req.queue)->is_ghost ? "queue '%s' is no longer configured"
                                                        : "queue '%s' is down",
            e->j.req.queue);
        return TUG_REASON_QUEUE_DOWN;
    case TUG_BENCH_PARKED:
        say_nodes_down(c, e, o);
        return TUG_REASON_NODES_DOWN;
    default:
        return explain_in_order(c, e, o);
    }
}

/* What became of the attempt before; the node is named even where its own words don't. */
static void say_cause(const struct tug_core *c, const struct tug_job *j, uint32_t attempt,
                      struct out *o)
{
    const char *text = j->cause.text ? j->cause.text : tug_cause_kind_name(j->cause.kind);
    const char *node = j->cause.node < c->nodes.len ? c->nodes.at[j->cause.node].name : "";
    int named = !*node || strstr(text, node) != NULL;
    say(o, "attempt %u ended early%s%s: %s", attempt, named ? "" : " on node ", named ? "" : node,
        text);
}

static void say_gives_way(const struct tug_core *c, const struct tug_job *j, struct out *o)
{
    char who[96];
    if (j->stopping_ms >= 0) {
        size_t stopped = 0, all = 0;
        for (size_t i = 0; i < j->n_steps; i++)
            for (size_t k = 0; k < j->steps[i].n_parts; k++) {
                all += j->steps[i].parts[k].phase == TUG_PART_STARTED;
                stopped += j->steps[i].parts[k].phase == TUG_PART_STARTED && j->steps[i].parts[k].stopped;
            }
        say(o, "gives way to %s: is being stopped, %zu of its %zu parts on nodes are",
            tug_preempt_name(c, j->preemptor, who, sizeof who), stopped, all);
        return;
    }
    int64_t left_ms = j->notice_ms > c->now_ms ? j->notice_ms - c->now_ms : 0;
    say(o, "has to give way to %s: in %lld s it is %s",
        tug_preempt_name(c, j->preemptor, who, sizeof who), (long long) ((left_ms + 999) / 1000),
        j->gives_way == TUG_PREEMPT_REQUEUE   ? "ended and queued again"
        : j->gives_way == TUG_PREEMPT_SUSPEND ? "stopped, until its place is free again"
                                              : "ended for good");
}

const char *tug_core_explain(const struct tug_core *c, const struct tug_job *job, int *reason_out,
                             char *buf, size_t size_bytes)
{
    struct out o = {buf, size_bytes, 0};
    int reason = TUG_REASON_NONE;
    char visit[128];
    if (size_bytes)
        buf[0] = '\0';
    if (tug_job_state_waits(job->state)) {
        reason = explain_pending(c, tug_entry_of(job), &o);
        if (job->state == TUG_JOB_PENDING && job->attempt > 1 &&
            job->cause.kind != TUG_CAUSE_NONE) {
            say(&o, "; ");
            say_cause(c, job, job->attempt - 1, &o);
        }
    } else if (job->state == TUG_JOB_RUNNING && job->gives_way) {
        say_gives_way(c, job, &o);
    } else if (job->state == TUG_JOB_REQUEUED) {
        reason = TUG_REASON_CLEANING;
        say(&o, "%s; ", own_text(reason));
        say_cause(c, job, job->attempt, &o);
        if (tug_visit_say(c, job, visit, sizeof visit))
            say(&o, "; %s", visit);
        if (job->onhold.by) {
            say(&o, "; then it is ");
            say_held(job, &o);
        }
    } else if ((job->state == TUG_JOB_CONFIGURING || job->state == TUG_JOB_COMPLETING) &&
               tug_visit_say(c, job, visit, sizeof visit)) {
        say(&o, "%s", visit);
    }
    if (reason_out)
        *reason_out = reason;
    return buf;
}
