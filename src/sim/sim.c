/* sim.c - a host of the core whose clock jumps from event to event
 *
 * Always: a job that the core knows and that is not over has one row in 'live'; 'ends' holds those
 * of them that run. Times are ticks of the simulation's clock, which the core takes for ms; in
 * every struct tug_sim_note they are ms. Layer: sim.
 */
#include "sim/sim.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"
#include "base/mig.h"
#include "sim/demands.h"
#include "sim/estimate.h"
#include "sim/failures.h"
#include "sim/figures.h"
#include "sim/links.h"
#include "sim/spread.h"

#include <uthash.h>

#define QUEUE "main"
/* After so many failures a job will never be done: each costs more than it gets done between them.
 */
#define FAILED_RUNS_MAX 10000
/* Passes at one instant while no job comes or ends: beyond them, no policy will ever be content. */
#define RESTLESS_PASSES 1000
/* Wake-ups one after the other while nothing runs that could bring about anything. */
#define IDLE_WAKES          10000
#define FIRST_UID           1000
#define STEPS_BETWEEN_LOOKS 256 /* go_on() */

struct live {
    tug_job_id id;
    UT_hash_handle hh;
    struct tug_heap_node ending; /* in 'ends' while it runs */
    int64_t submit, duration;
    int64_t left;        /* work that was still to be done at its last start */
    int64_t worked;      /* since then, before the last suspension: gone if its node fails */
    int64_t overhead;    /* before work begins or goes on, as of 'since' */
    int64_t first_start; /* -1 = not yet */
    int64_t since;       /* runs or is stopped since then; see 'ending' and 'stops' */
    int64_t stopped;     /* between its runs, in all */
    int64_t end;         /* while it runs */
    double part;         /* of a GPU that each of 'gpus' is: 1, or what a slice counts */
    uint32_t gpus, node, attempt, stops, failed_runs;
    uint8_t is_cut;           /* its limit ends it */
    const char *user, *queue; /* behind its name */
    char name[];
};

struct sim {
    const struct tug_sim_conf *conf;
    struct tug_trace *trace;
    struct tug_core *core;
    struct tug_sim_result *r;
    struct tug_figures *figures;
    struct tug_failures *failures; /* NULL: no node fails */
    int64_t per_s, now;
    int64_t start_cost, preempt_cost, checkpoint;
    struct live *live;
    struct tug_heap ends;
    tug_job_id last_id;
    struct tug_trace_job next; /* the job that arrives next */
    int has_next;
    struct tug_sim_cluster *cluster, own; /* own: when the configuration names none */
    struct tug_spread *spread;            /* NULL without a fabric */
    struct tug_links *links;
    uint32_t parts;                       /* nodes of the core for a node of the cluster */
    unsigned restless;                    /* passes since time went on or a job came or ended */
    unsigned idle;                        /* wakes since something ran */
    uint64_t steps;
    int64_t first_submit, last_end;
    long double held, overhead, lost, stopped; /* GPU-ticks; stopped: ticks */
    struct tug_vec(struct tug_slice) merged;   /* scratch of note() */
};

static bool ends_sooner(const struct tug_heap_node *a, const struct tug_heap_node *b)
{
    const struct live *x = tug_heap_entry(a, struct live, ending),
                      *y = tug_heap_entry(b, struct live, ending);
    return x->end != y->end ? x->end < y->end : x->id < y->id;
}

static int runs(const struct live *l)
{
    return tug_heap_holds(&l->ending);
}

static long double held_gpus(const struct live *l)
{
    return (long double) l->gpus * l->part;
}

static struct live *find(const struct sim *s, tug_job_id id)
{
    struct live *l;
    HASH_FIND(hh, s->live, &id, sizeof id, l);
    return l;
}

/* ---- what is told */

static int64_t to_ms(const struct sim *s, int64_t t)
{
    return t < 0 ? -1 : s->per_s == 1000 ? t : t / (s->per_s / 1000);
}

/* Where GPUs are only counted each is a node of its own: back to nodes with GPUs. */
static void merge(struct sim *s, const struct tug_job *j)
{
    s->merged.len = 0;
    for (size_t i = 0; i < j->n_slices; i++) {
        uint32_t node = j->slices[i].node / s->parts;
        tug_gpuset gpus = 1ULL << j->slices[i].node % s->parts;
        if (!s->merged.len || s->merged.at[s->merged.len - 1].node != node)
            tug_vec_push(&s->merged, (struct tug_slice){.node = node});
        s->merged.at[s->merged.len - 1].gpus |= gpus;
    }
}

static void note(struct sim *s, const struct live *l, enum tug_sim_point point, const char *why)
{
    if (!s->conf->note)
        return;
    struct tug_sim_note n = {.point = point,
                             .at_ms = to_ms(s, s->now),
                             .id = l->name,
                             .user = l->user,
                             .queue = l->queue,
                             .gpus = l->gpus,
                             .submit_ms = to_ms(s, l->submit),
                             .first_start_ms = to_ms(s, l->first_start),
                             .duration_ms = to_ms(s, l->duration),
                             .why = why};
    const struct tug_job *j = point == TUG_SIM_START ? tug_core_job(s->core, l->id) : NULL;
    if (j && s->conf->count) {
        merge(s, j);
        n.slices = s->merged.at;
        n.n_slices = s->merged.len;
    } else if (j) {
        n.slices = j->slices;
        n.n_slices = j->n_slices;
    }
    s->conf->note(s->conf->note_ctx, &n);
}

/* ---- a job runs, stops, ends */

static int run_on(struct sim *s, struct live *l, struct tug_err *err)
{
    int64_t left;
    if (__builtin_add_overflow(l->overhead, l->left - l->worked, &left) ||
        __builtin_add_overflow(s->now, left, &l->end))
        return tug_fail(err, -EOVERFLOW, "job %s: its end lies beyond the largest time", l->name);
    if (l->first_start < 0)
        l->first_start = s->now;
    else
        l->stopped += s->now - l->since;
    l->since = s->now;
    tug_heap_push(&s->ends, &l->ending);
    note(s, l, TUG_SIM_START, NULL);
    return 0;
}

/* Its GPUs are no longer held; how much of this run was work. */
static int64_t stop_running(struct sim *s, struct live *l)
{
    int64_t ran = s->now - l->since, overhead = ran < l->overhead ? ran : l->overhead;
    tug_heap_remove(&s->ends, &l->ending);
    s->held += (long double) ran * held_gpus(l);
    s->overhead += (long double) overhead * held_gpus(l);
    l->since = s->now;
    return ran - overhead;
}

static void suspend(struct sim *s, struct live *l)
{
    if (!runs(l))
        return;
    int64_t ran = s->now - l->since, overhead = ran < l->overhead ? l->overhead - ran : 0;
    l->worked += stop_running(s, l);
    l->overhead = overhead;
    l->stops++;
    s->r->preemptions++;
    note(s, l, TUG_SIM_STOP, "suspended");
}

/* It leaves its nodes; where it was suspended there, it stopped before. */
static int stop(struct sim *s, struct live *l, int by_failure, const char *why, struct tug_err *err)
{
    int ran = runs(l);
    int64_t worked = l->worked + (ran ? stop_running(s, l) : 0), kept = worked;
    if (by_failure)
        kept = s->checkpoint ? worked / s->checkpoint * s->checkpoint : 0;
    l->left -= kept;
    l->worked = 0;
    s->lost += (long double) (worked - kept) * held_gpus(l);
    s->r->failed_runs += by_failure != 0;
    l->failed_runs += by_failure != 0;
    if (l->failed_runs > FAILED_RUNS_MAX)
        return tug_fail(err, -ELOOP,
                        "job %s: failures stopped it %d times, and it would never be done; longer "
                        "times between --failures or a --checkpoint let it end",
                        l->name, FAILED_RUNS_MAX);
    if (!ran)
        return 0;
    l->stops++;
    s->r->preemptions += !by_failure;
    note(s, l, TUG_SIM_STOP, why);
    return 0;
}

static void ended(struct sim *s, struct live *l)
{
    const struct tug_job *j = tug_core_job(s->core, l->id);
    if (runs(l))
        stop_running(s, l);
    if (l->first_start < 0)
        l->first_start = s->now;
    s->r->killed += !j || j->state != TUG_JOB_COMPLETED;
    s->stopped += (long double) l->stopped;
    note(s, l, TUG_SIM_END, NULL);
    tug_figures_add(s->figures, &(struct tug_figures_job){.user = l->user,
                                                          .gpus = l->gpus,
                                                          .jct = s->now - l->submit,
                                                          .wait = l->first_start - l->submit,
                                                          .duration = l->duration});
    s->last_end = s->now;
    s->restless = 0;
    HASH_DEL(s->live, l);
    free(l);
}

/* ---- nodes that do at once what they are told */

static int apply(struct sim *s, struct tug_event ev, struct tug_err *err)
{
    int rc = tug_core_apply(s->core, s->now, &ev, err);
    s->r->events++;
    if (!rc && s->conf->check_every && s->r->events % s->conf->check_every == 0)
        rc = tug_core_check(s->core, err);
    return rc;
}

static int on_start(struct sim *s, const struct tug_action *a, struct tug_err *err)
{
    struct live *l = find(s, a->job);
    tug_assert(l && !runs(l));
    if (l->first_start >= 0 && l->attempt == a->attempt)
        return 0; /* said again before SIGCONT: nothing starts */
    l->node = a->node;
    l->attempt = a->attempt;
    l->overhead = s->start_cost + (l->stops ? s->preempt_cost : 0);
    const struct tug_job *j = tug_core_job(s->core, l->id);
    if (j) {
        tug_spread_add(s->spread, j->slices, j->n_slices);
        tug_links_started(s->links, j);
    }
    return run_on(s, l, err);
}

static int on_kill(struct sim *s, const struct tug_action *a, struct tug_err *err)
{
    const struct tug_exit exit = {.signal = SIGKILL};
    return apply(s,
                 (struct tug_event){.type = TUG_EV_STEP_DONE,
                                    .job = a->job,
                                    .attempt = a->attempt,
                                    .step = a->step,
                                    .node = a->node,
                                    .exits = &exit,
                                    .n_exits = 1},
                 err);
}

/* Suspension; any other signal is a notice, and a simulated job does not listen. */
static int on_signal(struct sim *s, const struct tug_action *a, struct tug_err *err)
{
    struct live *l = find(s, a->job);
    if (!l || l->attempt != a->attempt)
        return 0;
    if (a->signal == SIGSTOP) {
        suspend(s, l);
        return apply(s,
                     (struct tug_event){.type = TUG_EV_STEP_STOPPED,
                                        .job = a->job,
                                        .attempt = a->attempt,
                                        .step = a->step,
                                        .node = a->node,
                                        .serial = a->serial},
                     err);
    }
    if (a->signal == SIGCONT && !runs(l))
        return run_on(s, l, err);
    return 0;
}

static int on_history(struct sim *s, const struct tug_action *a, struct tug_err *err)
{
    struct live *l = find(s, a->job);
    char why[300];
    if (!l)
        return 0;
    if (!strcmp(a->text, "end")) {
        ended(s, l);
    } else if (!strcmp(a->text, "requeue")) {
        const struct tug_job *j = tug_core_job(s->core, a->job);
        int failed = j && j->cause.kind == TUG_CAUSE_NODE;
        struct tug_core_node n = {.name = "?"};
        if (failed && j->cause.node != TUG_NO_NODE)
            tug_core_node(s->core, j->cause.node, &n);
        snprintf(why, sizeof why, failed ? "node %s failed" : "preempted", n.name);
        return stop(s, l, failed, why, err);
    }
    return 0;
}

static int act(struct sim *s, const struct tug_action *a, struct tug_err *err)
{
    switch (a->type) {
    case TUG_ACT_LAUNCH:
        return apply(s,
                     (struct tug_event){.type = TUG_EV_STEP_READY,
                                        .job = a->job,
                                        .attempt = a->attempt,
                                        .step = a->step,
                                        .node = a->node},
                     err);
    case TUG_ACT_START:
        return on_start(s, a, err);
    case TUG_ACT_KILL:
        return on_kill(s, a, err);
    case TUG_ACT_SIGNAL:
        return on_signal(s, a, err);
    case TUG_ACT_JOB_HISTORY:
        return on_history(s, a, err);
    default:
        return 0; /* records, and words for an admin */
    }
}

static int drain(struct sim *s, struct tug_err *err)
{
    struct tug_action a;
    int rc = 0;
    while (!rc && tug_core_next_action(s->core, &a))
        rc = act(s, &a, err);
    return rc;
}

static int event(struct sim *s, struct tug_event ev, struct tug_err *err)
{
    int rc = apply(s, ev, err);
    return rc ? rc : drain(s, err);
}

/* ---- the cluster */

static int needs_order(const struct tug_policy_set *set)
{
    for (size_t i = 0; i < set->n; i++)
        if (TUG_POLICY_HAS(set->at[i].ops, needs) &&
            set->at[i].ops->needs & TUG_POLICY_NEEDS_ORDER_PREEMPTION)
            return 1;
    return 0;
}

static struct tug_core *new_core(const struct sim *s, struct tug_err *err)
{
    struct tug_core_conf core = s->cluster->core;
    core.seed = s->conf->seed;
    if (s->conf->placement_said || !s->cluster->is_configured)
        core.placement = s->conf->placement;
    if (needs_order(&s->conf->policy))
        core.preemption = TUG_PREEMPTION_ORDER;
    core.quiet = !s->conf->explains;
    return tug_core_new(&core, err);
}

static int node_up(struct sim *s, uint32_t node, struct tug_err *err)
{
    const struct tug_core_node_row *row = &s->cluster->core.nodes[node];
    struct tug_core_mig slices[TUG_GPUS_MAX];
    size_t n = tug_sim_cluster_slices(s->cluster, node, slices);
    return event(
        s,
        (struct tug_event){.type = TUG_EV_NODE_UP,
                           .node = node,
                           .boot_changed = 1,
                           .inventory = {row->cpus, row->gpus, row->mem_bytes, row->gpu_model, .mig = slices, .n_mig = n}},
        err);
}

static int nodes_up(struct sim *s, struct tug_err *err)
{
    int rc = 0;
    for (uint32_t i = 0; i < s->cluster->core.n_nodes && !rc; i++)
        rc = node_up(s, i, err);
    return rc;
}

/* Nobody could still run there: the lease is over with the node. */
static int node_down(struct sim *s, uint32_t node, struct tug_err *err)
{
    int rc =
        event(s, (struct tug_event){.type = TUG_EV_NODE_DOWN, .node = node, .text = "failed"}, err);
    return rc ? rc
              : event(s, (struct tug_event){.type = TUG_EV_NODE_LEASE_OVER, .node = node}, err);
}

static int all_that_fail_now(struct sim *s, struct tug_err *err)
{
    int rc = 0, fails;
    while (!rc && s->failures && tug_failures_next(s->failures) <= s->now) {
        uint32_t node = tug_failures_take(s->failures, &fails) * s->parts;
        s->r->failures += (uint64_t) fails;
        for (uint32_t i = 0; i < s->parts && !rc; i++)
            rc = fails ? node_down(s, node + i, err) : node_up(s, node + i, err);
    }
    return rc;
}

/* ---- jobs */

static int leave_out(struct sim *s, enum tug_sim_left_out why)
{
    struct tug_sim_names *n = &s->r->left_out[why];
    if (n->n++ < TUG_SIM_NAMED_MAX)
        tug_vec_push(&n->names, tug_xstrdup(s->next.id));
    return 0;
}

static int estimate(const struct sim *s, const struct live *l, int64_t *out, struct tug_err *err)
{
    const struct tug_trace_job *j = &s->next;
    *out = l->duration;
    if (s->conf->estimates == TUG_SIM_NOISE)
        *out = tug_estimate_noisy(l->duration, j->id, s->conf->noise_seed);
    if (s->conf->estimates == TUG_SIM_USER)
        *out = j->limit_ms;
    if (*out < 0)
        return tug_fail(err, -EINVAL,
                        "%s:%llu: column limit_s is empty (SWF: field 9 is -1); estimates of the "
                        "users need it, or use --estimates exact",
                        tug_trace_path(s->trace), (unsigned long long) j->line);
    *out += s->start_cost;
    if (*out == 0)
        *out = 1; /* 0 means that nothing is said */
    return 0;
}

static struct live *new_live(const struct sim *s, const struct tug_job_req *req)
{
    const struct tug_trace_job *j = &s->next;
    size_t name_bytes = strlen(j->id) + 1, user_bytes = strlen(j->user) + 1,
           queue_bytes = strlen(j->queue) + 1;
    struct live *l = tug_xcalloc(1, sizeof *l + name_bytes + user_bytes + queue_bytes);
    l->submit = j->submit_ms;
    l->duration = j->duration_ms;
    l->is_cut = s->conf->kill_at_limit && j->limit_ms >= 0 && j->limit_ms < j->duration_ms;
    if (l->is_cut)
        l->duration = j->limit_ms;
    l->left = l->duration;
    l->gpus = j->gpus;
    l->part = *req->mig_profile ? tug_mig_micro(req->mig_profile, 0) / (double) TUG_MIG_MICRO : 1;
    l->first_start = -1;
    memcpy(l->name, j->id, name_bytes);
    l->user = memcpy(l->name + name_bytes, j->user, user_bytes);
    l->queue = memcpy(l->name + name_bytes + user_bytes, j->queue, queue_bytes);
    return l;
}

/* Takes it as the daemon would, with what it asks for already in 'req': -1, or why it would not. One that asks something of its
 * place is as wide as it was. */
static int admit(struct sim *s, struct tug_job_req *req)
{
    struct tug_core_ask ask = {.gpus = s->next.gpus};
    struct tug_err why = {0};
    uint64_t nodes;
    if ((tug_sim_demands_any(req) || *req->mig_profile) && !tug_trace_number(s->trace, "nodes", UINT32_MAX, &nodes, NULL))
        ask.nodes = (uint32_t) nodes;
    if (req->gpu_milli)
        ask = (struct tug_core_ask){.gpu_milli = req->gpu_milli};
    if (tug_core_admit(s->core, &ask, req, &why)) {
        if (!*s->r->first_refused_job)
            snprintf(s->r->first_refused_job, sizeof s->r->first_refused_job, "%.80s: %.170s",
                     s->next.id, why.msg);
        return TUG_SIM_REFUSED;
    }
    req->time_limit_s = 0; /* the trace says how long it runs */
    return -1;
}

/* Of nodes that are all alike: as many as it takes, the last one with the rest. */
static int shape_even(struct sim *s, struct tug_job_req *req)
{
    uint32_t gpus = s->next.gpus, per_node = s->cluster->core.nodes[0].gpus;
    req->queue = TUG_SIM_QUEUE;
    req->nodes = (gpus - 1) / per_node + 1;
    req->ntasks = req->nodes;
    req->cpus_per_node = 1;
    req->gpus_per_node = req->nodes > 1 ? per_node : gpus;
    req->gpus_last = req->nodes > 1 ? gpus % per_node : 0;
    if (!req->gpu_milli && !*req->mig_profile && !tug_sim_demands_any(req))
        return -1;
    req->nodes = req->ntasks = req->cpus_per_node = req->gpus_per_node = req->gpus_last = 0;
    return admit(s, req);
}

static const char *queue_of(const struct sim *s)
{
    const struct tug_sim_conf *conf = s->conf;
    for (size_t i = 0; i < conf->n_queue_map; i++)
        if (!strcmp(conf->queue_map[i].from, s->next.queue))
            return conf->queue_map[i].to;
    for (size_t i = 0; i < s->cluster->core.n_queues; i++)
        if (!strcmp(s->cluster->core.queues[i].name, s->next.queue))
            return s->next.queue;
    return conf->any_queue || !*s->next.queue ? tug_core_default_queue(s->core) : NULL;
}

static int shape_configured(struct sim *s, struct tug_job_req *req, struct tug_err *err)
{
    req->queue = queue_of(s);
    if (!req->queue)
        return tug_fail(err, -EINVAL,
                        "%s:%llu: queue '%s' is not configured; --queue-map %s=QUEUE says which "
                        "one to take instead, --any-queue takes the default one for all such",
                        tug_trace_path(s->trace), (unsigned long long) s->next.line, s->next.queue,
                        s->next.queue);
    req->account = s->next.account;
    return admit(s, req);
}

static int submit(struct sim *s, struct tug_err *err)
{
    const struct tug_trace_job *j = &s->next;
    if (j->duration_ms < 0)
        return leave_out(s, TUG_SIM_UNKNOWN);
    if (j->gpus == 0)
        return leave_out(s, TUG_SIM_NO_GPU);
    if (j->gpus > s->cluster->gpus && !*tug_trace_text(s->trace, "mig_profile"))
        return leave_out(s, TUG_SIM_TOO_LARGE);
    uint32_t uid = FIRST_UID + tug_figures_user(s->figures, j->user);
    struct tug_job_req req = {.uid = uid,
                              .gid = uid,
                              .user = j->user,
                              .queue = "",
                              .account = "",
                              .name = "",
                              .batch = 1, /* one answer for the whole gang */
                              .requeue = 1,
                              .gpu_model = "",
                              .nodelist = "",
                              .exclude = ""};
    int rc = tug_sim_demands_read(s->trace, &req, err);
    if (rc)
        return rc;
    if (!s->cluster->core.n_domains)
        tug_sim_demands_forget(&req);
    int out = s->cluster->is_configured ? shape_configured(s, &req, err) : shape_even(s, &req);
    if (out < -1)
        return out;
    if (out >= 0)
        return leave_out(s, (enum tug_sim_left_out) out);
    struct live *l = new_live(s, &req);
    rc = estimate(s, l, &req.expected_ms, err);
    if (rc) {
        free(l);
        return rc;
    }
    l->id = ++s->last_id;
    HASH_ADD(hh, s->live, id, sizeof l->id, l);
    s->restless = 0;
    note(s, l, TUG_SIM_SUBMIT, NULL);
    tug_links_came(s->links, &req);
    return event(s, (struct tug_event){.type = TUG_EV_JOB_SUBMIT, .job = l->id, .req = &req}, err);
}

static int finish(struct sim *s, struct live *l, struct tug_err *err)
{
    const struct tug_exit exit = {.signal = l->is_cut ? SIGKILL : 0};
    return event(s,
                 (struct tug_event){.type = TUG_EV_STEP_DONE,
                                    .job = l->id,
                                    .attempt = l->attempt,
                                    .node = l->node,
                                    .exits = &exit,
                                    .n_exits = 1},
                 err);
}

/* The next job of the queue that is simulated. */
static int read_next(struct sim *s, struct tug_err *err)
{
    do {
        s->has_next = tug_trace_next(s->trace, &s->next, err);
        if (s->has_next <= 0)
            return s->has_next;
    } while (s->conf->queue && strcmp(s->conf->queue, s->next.queue));
    if (s->r->jobs++ == 0)
        s->first_submit = s->next.submit_ms;
    return 0;
}

/* ---- time */

static struct live *first_end(const struct sim *s)
{
    const struct tug_heap_node *first = tug_heap_first(&s->ends);
    return first ? (struct live *) tug_heap_entry(first, struct live, ending) : NULL;
}

static int all_that_end_now(struct sim *s, struct tug_err *err)
{
    struct live *l;
    int rc = 0;
    while (!rc && (l = first_end(s)) && l->end <= s->now)
        rc = finish(s, l, err);
    return rc;
}

static int all_that_arrive_now(struct sim *s, struct tug_err *err)
{
    int rc = 0;
    while (!rc && s->has_next && s->next.submit_ms == s->now) {
        rc = submit(s, err);
        if (!rc)
            rc = read_next(s, err);
    }
    return rc;
}

static void format_now(const struct sim *s, char *out, size_t size_bytes)
{
    snprintf(out, size_bytes, "%" PRId64 ".%0*d s", s->now / s->per_s, s->per_s == 1000 ? 3 : 6,
             (int) (s->now % s->per_s));
}

static int is_restless(const struct sim *s, struct tug_err *err)
{
    char at[64], names[4 * 32 + 8] = "";
    format_now(s, at, sizeof at);
    for (size_t i = 0, len = 0; i < s->conf->policy.n; i++)
        len += (size_t) snprintf(names + len, sizeof names - len, "%s%.31s", i ? "+" : "",
                                 s->conf->policy.at[i].ops->name);
    return tug_fail(err, -ELOOP,
                    "at %s: policy '%s' was asked %d times and stops and starts jobs still; it "
                    "would do so for ever, as no time passes",
                    at, names, RESTLESS_PASSES);
}

static int pass(struct sim *s, struct tug_err *err)
{
    struct tug_pass_stats stats = {0};
    struct tug_err why = {0};
    char at[64];
    int rc = tug_core_pass(s->core, s->now, &s->conf->policy, &stats, &why);
    s->r->passes++;
    if (rc < 0) {
        format_now(s, at, sizeof at);
        return tug_fail(err, -EPROTO, "at %s: %s", at, why.msg);
    }
    if (stats.refused && !s->r->refused)
        snprintf(s->r->first_refused, sizeof s->r->first_refused, "%.255s", why.msg);
    s->r->refused += stats.refused;
    if (s->restless++ == RESTLESS_PASSES)
        return is_restless(s, err);
    return drain(s, err);
}

static int step(struct sim *s, struct tug_err *err)
{
    int rc = all_that_end_now(s, err);
    if (!rc)
        rc = all_that_fail_now(s, err);
    if (!rc)
        rc = all_that_arrive_now(s, err);
    if (!rc && tug_core_next_wake(s->core) <= s->now)
        rc = event(s, (struct tug_event){.type = TUG_EV_TICK}, err);
    while (!rc && tug_core_wants_pass(s->core))
        rc = pass(s, err);
    return rc;
}

/* Nobody runs and nobody comes: only a wake-up or a node that comes back could start the rest. */
static int is_stuck(struct sim *s)
{
    if (first_end(s) || s->has_next) {
        s->idle = 0;
        return 0;
    }
    if (!s->live || ++s->idle > IDLE_WAKES)
        return 1;
    return s->failures && !tug_failures_away(s->failures) &&
           tug_core_next_wake(s->core) == INT64_MAX;
}

/* When something happens next; INT64_MAX = never. */
static int64_t next_time(struct sim *s)
{
    const struct live *l = first_end(s);
    int64_t at = s->has_next ? s->next.submit_ms : INT64_MAX, wake = tug_core_next_wake(s->core);
    if (is_stuck(s))
        return INT64_MAX;
    if (l && l->end < at)
        at = l->end;
    if (s->failures && tug_failures_next(s->failures) < at)
        at = tug_failures_next(s->failures);
    if (wake < at)
        at = wake;
    return at > s->now ? at : s->now;
}

static int goes_on(struct sim *s)
{
    if (!s->conf->go_on || s->steps++ % STEPS_BETWEEN_LOOKS)
        return 1;
    const struct tug_sim_progress p = {.now_ms = to_ms(s, s->now),
                                       .submitted = s->last_id,
                                       .finished = s->last_id - HASH_COUNT(s->live),
                                       .read = tug_trace_part_read(s->trace)};
    s->r->interrupted = s->conf->go_on(s->conf->go_on_ctx, &p) != 0;
    return !s->r->interrupted;
}

static int run(struct sim *s, struct tug_err *err)
{
    int rc = 0;
    for (int64_t at; !rc && (at = next_time(s)) != INT64_MAX && goes_on(s);) {
        if (at > s->now)
            s->restless = 0;
        s->now = at;
        tug_links_look(s->links, s->core, to_ms(s, at));
        rc = step(s, err);
    }
    return rc;
}

/* ---- */

static void figures(struct sim *s)
{
    struct tug_sim_result *r = s->r;
    long double hour = (long double) s->per_s * 3600;
    struct live *l;
    for (l = s->live; l; l = l->hh.next)
        if (runs(l)) /* interrupted */
            s->held += (long double) (s->now - l->since) * held_gpus(l);
    int64_t last = r->interrupted ? s->now : s->last_end;
    long double there = (long double) s->cluster->gpus * (long double) (last - s->first_submit);
    tug_figures_finish(s->figures, r);
    tug_spread_finish(s->spread, r);
    tug_links_finish(s->links, r);
    r->unfinished = HASH_COUNT(s->live);
    r->makespan_s = (double) s->last_end / (double) s->per_s;
    r->gpu_use = there > 0 ? (double) (s->held / there) : 0;
    r->overhead_gpu_h = (double) (s->overhead / hour);
    r->lost_gpu_h = (double) (s->lost / hour);
    if (r->finished)
        r->avg_stopped_s =
            (double) (s->stopped / (long double) r->finished / (long double) s->per_s);
}

static void clear(struct sim *s)
{
    struct live *l, *next;
    tug_heap_clear(&s->ends); /* its nodes are in those that live */
    HASH_ITER (hh, s->live, l, next) {
        HASH_DEL(s->live, l);
        free(l);
    }
    tug_vec_clear(&s->merged);
    tug_figures_free(s->figures);
    tug_spread_free(s->spread);
    tug_links_free(s->links);
    tug_failures_free(s->failures);
    tug_core_free(s->core);
    tug_sim_cluster_clear(&s->own);
}

static int64_t ticks(const struct sim *s, double seconds)
{
    return (int64_t) (seconds * (double) s->per_s + 0.5);
}

static int set_up(struct sim *s, struct tug_err *err)
{
    const struct tug_sim_conf *conf = s->conf;
    if (conf->cluster)
        s->cluster = conf->cluster;
    else
        tug_sim_cluster_even(s->cluster = &s->own, conf->nodes, conf->gpus_per_node, s->parts);
    if (!conf->cluster && conf->n_fabric)
        tug_sim_cluster_wire(s->cluster, conf->fabric, conf->n_fabric);
    if (!conf->cluster && conf->machine && s->parts == 1)
        tug_sim_cluster_furnish(s->cluster, conf->machine);
    if (!conf->cluster)
        s->cluster->mig = conf->mig;
    tug_sim_cluster_use_clock(s->cluster, s->per_s);
    s->core = new_core(s, err);
    if (!s->core)
        return err && err->code ? err->code : -EINVAL;
    tug_core_restored(s->core, 0);
    s->spread = tug_spread_new(s->core);
    s->links = tug_links_new();
    s->figures = tug_figures_new(s->per_s);
    int rc = nodes_up(s, err);
    if (!rc)
        rc = read_next(s, err);
    if (!rc && conf->mtbf_s > 0)
        s->failures = tug_failures_new(
            (uint32_t) s->cluster->core.n_nodes / s->parts, s->first_submit, ticks(s, conf->mtbf_s),
            ticks(s, conf->repair_s) ? ticks(s, conf->repair_s) : 1, conf->failure_seed);
    return rc;
}

int tug_sim_run(struct tug_trace *trace, const struct tug_sim_conf *conf,
                struct tug_sim_result *out, struct tug_err *err)
{
    struct sim s = {.conf = conf, .trace = trace, .r = out, .ends.less = ends_sooner};
    *out = (struct tug_sim_result){0};
    s.per_s = conf->ticks_per_s ? conf->ticks_per_s : 1000;
    s.parts = conf->count && !conf->cluster ? conf->gpus_per_node : 1;
    s.start_cost = ticks(&s, conf->start_cost_s);
    s.preempt_cost = ticks(&s, conf->preempt_cost_s);
    s.checkpoint = ticks(&s, conf->checkpoint_s);
    tug_trace_use_clock(trace, s.per_s);
    if (conf->estimates == TUG_SIM_USER && !tug_trace_has_limits(trace))
        return tug_fail(err, -EINVAL,
                        "%s has no column limit_s; estimates of the users need it, or use "
                        "--estimates exact",
                        tug_trace_path(trace));
    if (conf->kill_at_limit && !tug_trace_has_limits(trace))
        return tug_fail(err, -EINVAL, "%s has no column limit_s, so --kill-at-limit ends nothing",
                        tug_trace_path(trace));
    int rc = set_up(&s, err);
    if (!rc)
        rc = run(&s, err);
    if (!rc)
        figures(&s);
    clear(&s);
    return rc;
}

void tug_sim_result_clear(struct tug_sim_result *r)
{
    for (size_t w = 0; w < TUG_SIM_LEFT_OUTS; w++) {
        for (size_t i = 0; i < r->left_out[w].names.len; i++)
            free(r->left_out[w].names.at[i]);
        tug_vec_clear(&r->left_out[w].names);
        r->left_out[w].n = 0;
    }
}
