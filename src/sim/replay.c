/* replay.c - does the same core decide again what a daemon has decided?
 *
 * Always: jobs.at[i] is the core's job i + 1. Layer: sim.
 */
#include "sim/replay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/gpuset.h"
#include "base/mem.h"
#include "base/vec.h"
#include "sim/demands.h"

#include <uthash.h>

#define N_TEXTS    9
#define PASSES_MAX 100 /* at one moment: a policy is content long before */

struct job { /* as recorded */
    char *id, *placed;
    char *texts[N_TEXTS]; /* of the request, owned */
    struct tug_job_req req;
    int64_t submit_ms, start_ms, end_ms; /* never started, not ended: -1 */
    uint64_t line;
    int runs; /* in the replay */
};

/* Parts of a GPU are kept apart by user; which uids they had, nobody wrote down. */
struct user {
    char *name;
    uint32_t uid;
    UT_hash_handle hh;
};

/* At one time in this order, and passes at STARTS. A job that ended in the millisecond in which it
 * started ends behind them, and more passes follow. */
enum kind { ENDS, CANCELLED, SUBMITTED, STARTS, ENDS_AT_ONCE };

struct event {
    int64_t at_ms;
    enum kind kind;
    size_t job;
};

struct replay {
    const struct tug_replay_conf *conf;
    struct tug_replay_result *r;
    struct tug_core *core;
    struct tug_vec(struct job) jobs;
    struct tug_vec(struct event) events;
    struct user *users;
    struct tug_vec(tug_job_id) launched; /* by the pass under way */
    int64_t now_ms;
    uint64_t applied;
};

/* ---- the recording */

static const char *keep(struct job *j, size_t i, const char *text)
{
    return j->texts[i] = tug_xstrdup(text);
}

static uint32_t uid_of(struct replay *p, const char *name)
{
    struct user *u;
    HASH_FIND_STR(p->users, name, u);
    if (u)
        return u->uid;
    u = tug_new(struct user);
    u->name = tug_xstrdup(name);
    u->uid = 1 + HASH_COUNT(p->users);
    HASH_ADD_KEYPTR(hh, p->users, u->name, strlen(u->name), u);
    return u->uid;
}

static int wrong(const struct tug_trace *t, const struct job *j, int code, struct tug_err *err,
                 const char *what)
{
    return tug_fail(err, code, "%s:%llu: job %s %s", tug_trace_path(t),
                    (unsigned long long) j->line, j->id, what);
}

static int numbers(const struct tug_trace *t, struct job *j, struct tug_err *err)
{
    enum { NODES, TASKS, CPUS, CPUS_LAST, GPUS, GPUS_LAST, MEM, ATTEMPT, EXCLUSIVE, N };
    static const char *const columns[N] = {"nodes",     "tasks",   "cpus",    "cpus_last", "gpus",
                                           "gpus_last", "mem_mib", "attempt", "exclusive"};
    uint64_t n[N];
    struct tug_job_req *q = &j->req;
    for (size_t i = 0; i < N; i++) {
        int rc = tug_trace_number(t, columns[i], i == MEM ? 1ULL << 40 : 1000000000, &n[i], err);
        if (rc)
            return rc;
    }
    if (n[ATTEMPT] > 1)
        return wrong(t, j, -ENOTSUP, err,
                     "ran more than once; a replay follows only recordings where nothing was "
                     "requeued");
    if (!n[NODES] || !n[CPUS])
        return wrong(t, j, -EINVAL, err,
                     "has no nodes or cpus; expected a recording, from tug history --trace");
    uint64_t others = n[NODES] - 1;
    q->nodes = (uint32_t) n[NODES];
    q->ntasks = n[TASKS] ? (uint32_t) n[TASKS] : q->nodes;
    q->cpus_last = (uint32_t) n[CPUS_LAST];
    q->gpus_last = (uint32_t) n[GPUS_LAST];
    uint64_t cpus = n[CPUS_LAST] && others ? (n[CPUS] - n[CPUS_LAST]) / others : n[CPUS] / n[NODES];
    uint64_t gpus = n[GPUS_LAST] && others ? (n[GPUS] - n[GPUS_LAST]) / others : n[GPUS] / n[NODES];
    if (q->gpu_milli && (n[NODES] != 1 || n[GPUS] != 1))
        return wrong(t, j, -EINVAL, err, "has a part of a GPU and asks for more than one");
    if (q->gpu_milli && *q->mig_profile)
        return wrong(t, j, -EINVAL, err, "asks for a part of a GPU and for slices; expected one of them");
    if (q->segment && n[NODES] % q->segment)
        return wrong(t, j, -EINVAL, err, "asks for segments that don't add up");
    if (n[CPUS] < n[CPUS_LAST] || n[GPUS] < n[GPUS_LAST] || gpus > TUG_GPUS_MAX)
        return wrong(t, j, -EINVAL, err, "asks for GPUs or CPUs that don't add up");
    q->cpus_per_node = (uint32_t) cpus;
    q->gpus_per_node = (uint32_t) gpus;
    q->mem_per_node_bytes = (n[MEM] << 20) / n[NODES];
    q->exclusive = n[EXCLUSIVE] != 0;
    return 0;
}

static int times(const struct tug_trace *t, struct job *j, struct tug_err *err)
{
    int64_t begin_ms;
    int rc = tug_trace_time(t, "start_s", &j->start_ms, err);
    if (!rc)
        rc = tug_trace_time(t, "end_s", &j->end_ms, err);
    if (!rc)
        rc = tug_trace_time(t, "begin_s", &begin_ms, err);
    if (rc)
        return rc;
    int64_t last_ms = j->start_ms >= 0 ? j->start_ms : j->submit_ms;
    if (last_ms < j->submit_ms || (j->end_ms >= 0 && j->end_ms < last_ms) ||
        (j->start_ms >= 0) != (*j->placed != 0))
        return wrong(t, j, -EINVAL, err,
                     "has times and places that cannot be; expected a recording, from tug history "
                     "--trace");
    j->req.begin_ms = begin_ms > 0 ? begin_ms : 0;
    return 0;
}

static int take(struct replay *p, const struct tug_trace *t, const struct tug_trace_job *from,
                struct tug_err *err)
{
    struct job j = {.submit_ms = from->submit_ms, .line = from->line};
    struct tug_job_req *q = &j.req;
    j.id = tug_xstrdup(from->id);
    j.placed = tug_xstrdup(tug_trace_text(t, "placed"));
    q->user = keep(&j, 0, from->user);
    q->queue = p->conf->cluster->is_configured ? keep(&j, 1, from->queue) : TUG_SIM_QUEUE;
    q->account = keep(&j, 2, from->account);
    q->gpu_model = keep(&j, 3, tug_trace_text(t, "gpu_model"));
    q->nodelist = keep(&j, 4, tug_trace_text(t, "asked_nodes"));
    q->exclude = keep(&j, 5, tug_trace_text(t, "asked_not"));
    q->name = "";
    q->batch = q->requeue = 1;
    int rc = tug_sim_demands_read(t, q, err);
    q->topology = keep(&j, 6, q->topology ? q->topology : "");
    q->exclusive_level = keep(&j, 7, q->exclusive_level ? q->exclusive_level : "");
    q->mig_profile = keep(&j, 8, q->mig_profile ? q->mig_profile : "");
    q->uid = uid_of(p, from->user);
    q->nice = (int32_t) strtol(tug_trace_text(t, "nice"), NULL, 10);
    q->time_limit_s = from->limit_ms > 0 ? (uint32_t) (from->limit_ms / 1000) : 0;
    if (!rc)
        rc = numbers(t, &j, err);
    if (!rc)
        rc = times(t, &j, err);
    p->r->starts += !rc && j.start_ms >= 0;
    tug_vec_push(&p->jobs, j); /* also a wrong one, to be freed */
    return rc;
}

static void add(struct replay *p, int64_t at_ms, enum kind kind, size_t job)
{
    struct event e = {at_ms, kind, job};
    tug_vec_push(&p->events, e);
}

static int by_time(const void *a, const void *b)
{
    const struct event *x = a, *y = b;
    if (x->at_ms != y->at_ms)
        return x->at_ms < y->at_ms ? -1 : 1;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    return (x->job > y->job) - (x->job < y->job);
}

static int read_all(struct replay *p, struct tug_trace *t, struct tug_err *err)
{
    struct tug_trace_job from;
    int rc;
    tug_trace_use_clock(t, 1000);
    while ((rc = tug_trace_next(t, &from, err)) == 1) {
        rc = take(p, t, &from, err);
        if (rc)
            return rc;
        size_t i = p->jobs.len - 1;
        const struct job *j = &p->jobs.at[i];
        int at_once = j->start_ms == j->end_ms;
        add(p, j->submit_ms, SUBMITTED, i);
        if (j->end_ms >= 0)
            add(p, j->end_ms, j->start_ms < 0 ? CANCELLED : at_once ? ENDS_AT_ONCE : ENDS, i);
        if (j->start_ms >= 0)
            add(p, j->start_ms, STARTS, i);
    }
    p->r->jobs = p->jobs.len;
    if (p->events.len)
        qsort(p->events.at, p->events.len, sizeof *p->events.at, by_time);
    return rc;
}

/* ---- the core */

static int drain(struct replay *p, struct tug_err *err);

static int apply(struct replay *p, struct tug_event ev, struct tug_err *err)
{
    int rc = tug_core_apply(p->core, p->now_ms, &ev, err);
    if (!rc && p->conf->check_every && ++p->applied % p->conf->check_every == 0)
        rc = tug_core_check(p->core, err);
    return rc ? rc : drain(p, err);
}

/* Nodes are ready at once. When they are free again, the recording says. */
static int drain(struct replay *p, struct tug_err *err)
{
    struct tug_action a;
    int rc = 0;
    while (!rc && tug_core_next_action(p->core, &a)) {
        if (a.type != TUG_ACT_LAUNCH)
            continue;
        tug_vec_push(&p->launched, a.job);
        rc = apply(p,
                   (struct tug_event){.type = TUG_EV_STEP_READY,
                                      .job = a.job,
                                      .attempt = a.attempt,
                                      .step = a.step,
                                      .node = a.node},
                   err);
    }
    return rc;
}

static int nodes_up(struct replay *p, struct tug_err *err)
{
    const struct tug_core_conf *c = &p->conf->cluster->core;
    int rc = 0;
    for (uint32_t i = 0; i < c->n_nodes && !rc; i++) {
        const struct tug_core_node_row *n = &c->nodes[i];
        struct tug_core_mig slices[TUG_GPUS_MAX];
        size_t n_slices = tug_sim_cluster_slices(p->conf->cluster, i, slices);
        rc = apply(p,
                   (struct tug_event){.type = TUG_EV_NODE_UP,
                                      .node = i,
                                      .inventory = {n->cpus, n->gpus, n->mem_bytes, n->gpu_model, .mig = slices,
                                                    .n_mig = n_slices}},
                   err);
    }
    return rc;
}

/* ---- what is the same */

static void differs(struct replay *p, const struct job *j, const char *then, const char *now)
{
    snprintf(p->r->different, sizeof p->r->different,
             "job %.80s: was %s at %" PRId64 ".%03d%s%.300s; now it %s%.300s", j->id,
             j->start_ms < 0 ? "never started" : "started",
             (j->start_ms < 0 ? j->end_ms : j->start_ms) / 1000,
             (int) ((j->start_ms < 0 ? j->end_ms : j->start_ms) % 1000),
             j->start_ms < 0 ? "" : " on ", j->start_ms < 0 ? "" : j->placed, then, now);
}

/* "n1:0-3;n2:0", as tug history --trace writes it. */
static void format_placed(const struct replay *p, const struct tug_job *job, struct tug_buf *out)
{
    char gpus[256];
    for (size_t i = 0; i < job->n_slices; i++) {
        struct tug_core_node n;
        tug_core_node(p->core, job->slices[i].node, &n);
        tug_buf_addf(out, "%s%s:%s", i ? ";" : "", n.name,
                     tug_gpuset_format(job->slices[i].gpus, gpus, sizeof gpus));
    }
}

/* It starts now: so it must have been. */
static void compare(struct replay *p, tug_job_id id)
{
    struct job *j = &p->jobs.at[id - 1];
    struct tug_buf placed = {0};
    char text[64];
    format_placed(p, tug_core_job(p->core, id), &placed);
    j->runs = 1;
    if (j->start_ms != p->now_ms) {
        snprintf(text, sizeof text, "starts at %" PRId64 ".%03d on ", p->now_ms / 1000,
                 (int) (p->now_ms % 1000));
        differs(p, j, text, tug_buf_str(&placed));
    } else if (strcmp(j->placed, tug_buf_str(&placed)) != 0) {
        differs(p, j, "is on ", tug_buf_str(&placed));
    } else {
        p->r->same++;
    }
    tug_buf_clear(&placed);
}

static int passes(struct replay *p, struct tug_err *err)
{
    struct tug_err why = {0};
    int rc = 0;
    if (tug_core_next_wake(p->core) <= p->now_ms)
        rc = apply(p, (struct tug_event){.type = TUG_EV_TICK}, err);
    for (int n = 0; !rc && n < PASSES_MAX && tug_core_wants_pass(p->core); n++) {
        p->launched.len = 0;
        if (tug_core_pass(p->core, p->now_ms, &p->conf->policy, NULL, &why) < 0)
            return tug_fail(err, -EPROTO, "at %" PRId64 ".%03d: %s", p->now_ms / 1000,
                            (int) (p->now_ms % 1000), why.msg);
        rc = drain(p, err);
        for (size_t i = 0; !rc && i < p->launched.len && !*p->r->different; i++)
            compare(p, p->launched.at[i]);
    }
    return rc;
}

/* ---- events */

static int ends(struct replay *p, size_t i, struct tug_err *err)
{
    static const struct tug_exit exit;
    const struct tug_job *job = tug_core_job(p->core, i + 1);
    return apply(p,
                 (struct tug_event){.type = TUG_EV_STEP_DONE,
                                    .job = i + 1,
                                    .attempt = job->attempt,
                                    .node = job->slices[0].node,
                                    .exits = &exit,
                                    .n_exits = 1},
                 err);
}

static int submitted(struct replay *p, size_t i, struct tug_err *err)
{
    const struct job *j = &p->jobs.at[i];
    int rc =
        apply(p, (struct tug_event){.type = TUG_EV_JOB_SUBMIT, .job = i + 1, .req = &j->req}, err);
    return rc ? tug_fail_ctx(err, rc, "job %s", j->id) : 0;
}

static int one(struct replay *p, const struct event *e, struct tug_err *err)
{
    switch (e->kind) {
    case ENDS:
    case ENDS_AT_ONCE:
        return ends(p, e->job, err);
    case CANCELLED:
        return apply(p, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = e->job + 1}, err);
    case SUBMITTED:
        return submitted(p, e->job, err);
    case STARTS:
        break;
    }
    return 0;
}

/* All of one moment, from events.at[*i] on. */
static int moment(struct replay *p, size_t *i, struct tug_err *err)
{
    size_t first = *i;
    int rc = 0, is_late = 0;
    p->now_ms = p->events.at[first].at_ms;
    for (; !rc && !*p->r->different && *i < p->events.len; ++*i) {
        const struct event *e = &p->events.at[*i];
        if (e->at_ms != p->now_ms)
            break;
        if ((e->kind == STARTS || e->kind == ENDS_AT_ONCE) && !p->jobs.at[e->job].runs)
            rc = passes(p, err);
        if (!rc && !*p->r->different && (e->kind != ENDS_AT_ONCE || p->jobs.at[e->job].runs))
            rc = one(p, e, err);
        is_late |= e->kind == ENDS_AT_ONCE;
    }
    if (!rc && is_late && !*p->r->different)
        rc = passes(p, err);
    for (size_t k = first; !rc && !*p->r->different && k < *i; k++)
        if (p->events.at[k].kind == STARTS && !p->jobs.at[p->events.at[k].job].runs)
            differs(p, &p->jobs.at[p->events.at[k].job], "does not start", "");
    return rc;
}

static void clear(struct replay *p)
{
    for (size_t i = 0; i < p->jobs.len; i++) {
        struct job *j = &p->jobs.at[i];
        for (size_t k = 0; k < N_TEXTS; k++)
            free(j->texts[k]);
        free(j->id);
        free(j->placed);
    }
    struct user *u, *next;
    HASH_ITER (hh, p->users, u, next) {
        HASH_DEL(p->users, u);
        free(u->name);
        free(u);
    }
    tug_vec_clear(&p->jobs);
    tug_vec_clear(&p->events);
    tug_vec_clear(&p->launched);
    tug_core_free(p->core);
}

int tug_replay(struct tug_trace *trace, const struct tug_replay_conf *conf,
               struct tug_replay_result *out, struct tug_err *err)
{
    struct replay p = {.conf = conf, .r = out};
    *out = (struct tug_replay_result){0};
    int rc = read_all(&p, trace, err);
    if (!rc && !(p.core = tug_core_new(&conf->cluster->core, err)))
        rc = -EINVAL;
    if (!rc) {
        tug_core_restored(p.core, 0);
        rc = nodes_up(&p, err);
    }
    for (size_t i = 0; !rc && !*out->different && i < p.events.len;)
        rc = moment(&p, &i, err);
    clear(&p);
    return rc;
}
