/* clients.c - what commands ask of the controller
 *
 * One short function a request: find, check who may, change the core, reply. Layer: logic.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/exitset.h"
#include "base/hostlist.h"
#include "base/preflight.h"
#include "base/str.h"
#include "logic/control_int.h"

#define TOKEN_MAX       64
#define STEPS_MAX       1024       /* of one job at a time: as many as a node's launcher holds */
#define STEPS_BYTES_MAX (8u << 20) /* of their requests, all of which stand in the job's record */

static void reply(struct tug_control *c, struct ctl_peer *p, enum tug_msg number, uint32_t rid,
                  const ProtobufCMessage *m)
{
    tug_outbox_send(c->out, p->id, number, rid, m);
}

/* ---- ping, shutdown */

void h_ping(struct tug_control *c, struct ctl_peer *p, uint32_t rid, const ProtobufCMessage *msg)
{
    Tugpb__PingReply m = TUGPB__PING_REPLY__INIT;
    struct tug_core_counts n;
    struct tug_turns turns = {0};
    char *safe;

    (void) msg;
    tug_core_count(c->core, &n);
    m.version = c->version;
    m.cluster = c->cluster;
    m.epoch = c->epoch;
    m.started_ms = c->started_ms;
    m.nodes_up = n.nodes_up;
    m.nodes_known = (uint32_t) c->n_nodes;
    m.jobs_pending = n.pending;
    m.jobs_running = n.running;
    m.now_ms = tug_ctl_now(c);
    m.policy = c->policy_name;
    m.policy_note = c->policy_note;
    if (c->env.turns)
        c->env.turns(c->env.ctx, &turns);
    m.turns = turns.n;
    m.turn_p50_us = turns.p50_us;
    m.turn_p99_us = turns.p99_us;
    m.turn_max_us = turns.max_us;
    m.turn_cpu_p50_us = turns.cpu_p50_us;
    m.turn_cpu_p99_us = turns.cpu_p99_us;
    m.turn_cpu_max_us = turns.cpu_max_us;
    safe = tug_ctl_safe_text(c);
    if (safe)
        m.safe_mode = safe;
    if (c->full)
        m.state_full = c->full;
    m.snapshot_ms = c->snapshot_ms;
    if (c->no_snapshot)
        m.no_snapshot = c->no_snapshot;
    reply(c, p, TUG_MSG_PING_REPLY, rid, &m.base);
    free(safe);
}

void h_shutdown(struct tug_control *c, struct ctl_peer *p, uint32_t rid,
                const ProtobufCMessage *msg)
{
    Tugpb__ShutdownReply m = TUGPB__SHUTDOWN_REPLY__INIT;

    (void) msg;
    c->shutdown = 1;
    tug_ctl_log(c, TUG_LOG_INFO, "%s asked for the shutdown; running gangs go on", p->user->name);
    reply(c, p, TUG_MSG_SHUTDOWN_REPLY, rid, &m.base);
}

/* ---- submit */

/* 0 = no limit of the site's own. */
static int check_size(const char *what, size_t len, uint64_t max, const char *key,
                      struct tug_err *err)
{
    if (max == 0 || len <= max)
        return 0;
    return tug_fail(err, -E2BIG,
                    "the %s has %zu bytes, at most %llu are allowed (limits.%s); make it smaller",
                    what, len, (unsigned long long) max, key);
}

/* The kernel takes both together, at most a quarter of what the stack may have: 2 MiB. */
static int check_exec(const struct tug_control *c, const Tugpb__JobSpec *s, struct tug_err *err)
{
    size_t argv = 0;
    int rc = check_size("environment", s->env.len, c->conf.max_env_bytes, "max_env", err);

    for (size_t i = 0; i < s->n_argv; i++)
        argv += strlen(s->argv[i]) + 1;
    if (rc || c->conf.max_env_bytes == 0 || s->env.len + argv <= c->conf.max_env_bytes)
        return rc;
    return tug_fail(err, -E2BIG,
                    "the environment (%zu bytes) and the arguments (%zu) have %zu bytes together, at most %llu are allowed "
                    "(limits.max_env); put arguments into a file, or choose with --export what goes with the job",
                    s->env.len, argv, s->env.len + argv, (unsigned long long) c->conf.max_env_bytes);
}

static int check_requeue(const Tugpb__JobSpec *s, struct tug_err *err)
{
    struct tug_exitset on;
    int rc = s->requeue_on[0] ? tug_exitset_parse(s->requeue_on, &on, err) : 0;

    if (rc)
        return tug_fail_ctx(err, rc, "exits after which the job is run again");
    if (s->requeue_on[0] && s->no_requeue)
        return tug_fail(err, -EINVAL, 
                        "--requeue-on and --no-requeue contradict each other: leave one of them out (--requeue takes back "
                        "a --no-requeue of the script)");
    return 0;
}

static int check_spec(const struct tug_control *c, const Tugpb__SubmitRequest *m,
                      struct tug_err *err)
{
    const Tugpb__JobSpec *s = m->spec;

    if (!s)
        return tug_fail(err, -EINVAL, "the request holds no job");
    if (strlen(m->token) > TOKEN_MAX)
        return tug_fail(err, -EINVAL, "the client token has %zu bytes, at most %d are allowed",
                        strlen(m->token), TOKEN_MAX);
    if (s->cwd[0] != '/')
        return tug_fail(err, -EINVAL,
                        "working directory '%s' is not absolute; give one that starts with '/'",
                        s->cwd);
    if (s->kind == TUGPB__JOB_KIND__JOB_GANG && (s->n_argv == 0 || !s->argv[0][0]))
        return tug_fail(err, -EINVAL, "no command was given; put it after '--'");
    if (s->kind == TUGPB__JOB_KIND__JOB_BATCH && s->script.len == 0)
        return tug_fail(err, -EINVAL, "the script is empty");
    if (s->kind == TUGPB__JOB_KIND__JOB_BATCH && s->interactive)
        return tug_fail(err, -EINVAL, "a script cannot run interactively; use 'tug submit'");
    if (s->interactive && (s->io_key.len != 32 || !s->io_addr[0]))
        return tug_fail(err, -EINVAL,
                        "an interactive job needs the address and the key of its client");
    if (check_size("script", s->script.len, c->conf.max_script_bytes, "max_script", err) != 0)
        return -E2BIG;
    if (s->preflight[0] && s->preflight[0] != '/' && strcmp(s->preflight, "allreduce") != 0)
        return tug_fail(err, -EINVAL, "there is no preflight '%s'; there is allreduce, or the path of a program",
                        s->preflight);
    if (s->preflight_s > TUG_PREFLIGHT_MAX_S)
        return tug_fail(err, -EINVAL, "a preflight may take %u s at most, not %u", TUG_PREFLIGHT_MAX_S,
                        s->preflight_s);
    if (check_requeue(s, err) != 0)
        return -EINVAL;
    return check_exec(c, s, err);
}

static int check_user(const struct tug_control *c, const struct ctl_user *u, const Tugpb__JobSpec *s,
                      struct tug_err *err)
{
    struct tug_core_counts n;

    if (u->uid < c->conf.min_uid && u->uid != c->conf.operator_uid)
        return tug_fail(err, -EPERM, "uid %u may not run jobs: it is below min_uid %u", u->uid,
                        c->conf.min_uid);
    if (s->nice < 0 && !tug_control_is_operator(c, u->uid))
        return tug_fail(err, -EPERM,
                        "nice %d would let the job go before those of others, which only an "
                        "administrator may; give 0 or more",
                        (int) s->nice);
    tug_core_count(c->core, &n);
    if (n.pending + n.running >= c->conf.max_jobs)
        return tug_fail(err, -EAGAIN,
                        "the cluster holds %llu jobs that are not over, its limit max_jobs is %u; "
                        "try again later",
                        (unsigned long long) (n.pending + n.running), c->conf.max_jobs);
    return 0;
}

static void ask_of(const Tugpb__JobSpec *s, struct tug_core_ask *ask, struct tug_job_req *req,
                   const struct ctl_user *u)
{
    const Tugpb__ResourceRequest *r = s->res;

    memset(ask, 0, sizeof *ask);
    memset(req, 0, sizeof *req);
    req->uid = u->uid;
    req->gid = u->gid;
    req->user = u->name;
    req->queue = s->queue;
    req->account = s->account;
    req->name = s->name;
    req->batch = s->kind == TUGPB__JOB_KIND__JOB_BATCH;
    req->requeue = !s->no_requeue && !s->interactive;
    req->interactive = (uint8_t) s->interactive;
    req->time_limit_s = s->time_limit_s;
    req->begin_ms = s->begin_ms;
    req->nice = s->nice;
    req->gpu_model = req->nodelist = req->exclude = req->topology = req->exclusive_level = "";
    req->requeue_on = s->requeue_on;
    req->max_requeues = s->max_requeues;
    req->requeue_delay_s = s->requeue_delay_s;
    req->preflight = s->preflight;
    req->preflight_floor = s->preflight_floor;
    req->preflight_s = s->preflight_s;
    if (!r)
        return;
    *ask = (struct tug_core_ask){
        r->nodes,         r->ntasks,        r->tasks_per_node,     r->cpus_per_task,    r->gpus,
        r->gpus_per_node, r->gpus_per_task, r->mem_per_node_bytes, r->mem_per_cpu_bytes,
        r->gpu_milli};
    req->exclusive = (uint8_t) r->exclusive;
    req->gpu_model = r->gpu_model;
    req->mig_profile = r->mig_profile;
    req->nodelist = r->nodelist;
    req->exclude = r->exclude;
    req->topology = r->topology;
    req->topology_required = (uint8_t) r->topology_required;
    req->topology_domains = s->topology_domains;
    req->topology_wait_s = s->topology_wait_s;
    req->segment = r->segment;
    req->spread = (uint8_t) r->spread;
    req->quality_milli = r->quality_milli;
    req->quality_wait_s = r->quality_wait_s;
    req->exclusive_level = r->exclusive_level;
}

static uint64_t new_id(struct tug_control *c)
{
    if (c->next_id >= c->id_limit)
        c->id_limit = c->next_id + ID_BLOCK; /* every commit writes it: commits.c */
    return c->next_id++;
}

static void hex32(struct tug_control *c, char out[33])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t r[16];

    c->env.random(c->env.ctx, r, sizeof r);
    for (size_t i = 0; i < sizeof r; i++) {
        out[2 * i] = digits[r[i] >> 4];
        out[2 * i + 1] = digits[r[i] & 15];
    }
    out[2 * sizeof r] = '\0';
}

static struct ctl_job *new_side(struct tug_control *c, struct ctl_user *u,
                                const Tugpb__SubmitRequest *m)
{
    const Tugpb__JobSpec *s = m->spec;
    struct tug_arena a = {.budget_bytes = RECORD_BUDGET_BYTES};
    struct ctl_request request;
    struct ctl_job *j;

    tug_ctl_request(&a, s, &request);
    j = tug_ctl_job_new(c, new_id(c), u, &request, m->token);
    tug_arena_clear(&a);
    hex32(c, j->job_token);
    j->script = tug_blobs_hold(c->blobs, s->script.data, s->script.len, tug_ctl_batch(c));
    j->env = tug_blobs_hold(c->blobs, s->env.data, s->env.len, tug_ctl_batch(c));
    return j;
}

static int submit_job(struct tug_control *c, struct ctl_user *u, const Tugpb__SubmitRequest *m,
                      uint64_t *id, struct tug_err *err)
{
    struct tug_job_req req;
    struct tug_core_ask ask;
    struct tug_event ev = {.type = TUG_EV_JOB_SUBMIT, .req = &req};
    struct ctl_job *j;
    int rc;

    ask_of(m->spec, &ask, &req, u);
    rc = tug_core_admit(c->core, &ask, &req, err);
    if (rc)
        return rc;
    j = new_side(c, u, m);
    ev.job = *id = j->id;
    rc = tug_ctl_apply(c, &ev, err);
    if (rc) {
        tug_ctl_job_free(c, j, tug_ctl_batch(c));
        return rc;
    }
    if (m->spec->hold) { /* before any pass, and in the same commit */
        struct tug_event hold = {.type = TUG_EV_JOB_HOLD, .job = *id, .uid = u->uid, .user = u->name};

        tug_assert(tug_ctl_apply(c, &hold, NULL) == 0);
    }
    if (m->token[0])
        tug_ctl_token_put(c, u->uid, m->token, *id, INT64_MAX);
    return 0;
}

/* Room for one more step? Whoever starts steps faster than they end must not fill the controller.
 */
static int check_steps(const struct ctl_job *j, size_t n_steps, size_t more_bytes,
                       struct tug_err *err)
{
    size_t bytes = more_bytes;

    for (size_t i = 0; i < j->steps.len; i++)
        bytes += j->steps.at[i].spec_len;
    if (n_steps >= STEPS_MAX)
        return tug_fail(
            err, -EAGAIN,
            "job %llu has %zu steps that are not over, and no more fit; wait until one has ended",
            (unsigned long long) j->id, n_steps);
    if (bytes > STEPS_BYTES_MAX)
        return tug_fail(err, -EAGAIN,
                        "the commands of job %llu's %zu steps have %zu bytes with this one, at "
                        "most %u fit; shorten them, or "
                        "wait until a step has ended",
                        (unsigned long long) j->id, n_steps, bytes, STEPS_BYTES_MAX);
    return 0;
}

/* A further step inside a running job. */
static int submit_step(struct tug_control *c, struct ctl_user *u, const Tugpb__SubmitRequest *m,
                       uint32_t *step, int *narrows, struct tug_err *err)
{
    struct ctl_step_ask ask;
    struct ctl_job *j = tug_ctl_job(c, m->in_job);
    struct ctl_step side = {0};
    struct tug_event ev = {.type = TUG_EV_STEP_SUBMIT, .job = m->in_job, .step_out = step};
    const struct tug_job *job = tug_core_job(c->core, m->in_job);

    if (!j || !job)
        return tug_fail(err, -ENOENT, "there is no job %llu", (unsigned long long) m->in_job);
    if (job->req.uid != u->uid)
        return tug_fail(err, -EPERM, "job %llu belongs to %s, not to %s",
                        (unsigned long long) j->id, job->req.user, u->name);
    if (m->spec->kind != TUGPB__JOB_KIND__JOB_GANG)
        return tug_fail(err, -EINVAL, "a step inside a job runs a command, not a script");
    if (m->spec->hold)
        return tug_fail(err, -EINVAL, "a step inside a job is not held: its job runs; leave --hold out");
    int rc = tug_ctl_step_ask(c, job, m->spec->res, &ask, err);
    if (rc)
        return rc;
    side.spec = tug_ctl_pack_spec(m->spec, &side.spec_len);
    if (check_steps(j, job->n_steps, side.spec_len, err) != 0) {
        free(side.spec);
        free(ask.on);
        return err->code;
    }
    /* The core says LAUNCH from inside the event: what the step needs must be there before. */
    side.id = job->next_step ? job->next_step : 1;
    side.attempt = 0;
    side.env = tug_blobs_hold(c->blobs, m->spec->env.data, m->spec->env.len, tug_ctl_batch(c));
    tug_vec_push(&j->steps, side);
    ev.ntasks = ask.ntasks;
    ev.on = ask.on;
    ev.n_on = ask.n_on;
    *narrows = ask.narrows;
    rc = tug_ctl_apply(c, &ev, err);
    free(ask.on);
    if (rc) {
        tug_ctl_step_clear(c, &j->steps.at[j->steps.len - 1], tug_ctl_batch(c));
        j->steps.len--;
        return rc;
    }
    tug_assert(*step == side.id);
    return 0;
}

void h_submit(struct tug_control *c, struct ctl_peer *p, uint32_t rid, const ProtobufCMessage *msg)
{
    const Tugpb__SubmitRequest *m = (const Tugpb__SubmitRequest *) msg;
    Tugpb__SubmitReply r = TUGPB__SUBMIT_REPLY__INIT;
    struct tug_err err = {0};
    struct ctl_token *t;
    char *warning = (char *) (uintptr_t) "a step sees all GPUs that its job holds on its nodes: "
                                         "they are not divided between steps";
    int narrows = 0, rc = check_spec(c, m, &err);

    if (rc == 0 && m->token[0] && (t = tug_ctl_token(c, p->user->uid, m->token)) != NULL) {
        r.job = t->job;
        r.existed = 1;
        reply(c, p, TUG_MSG_SUBMIT_REPLY, rid, &r.base);
        return;
    }
    if (rc == 0)
        rc = tug_ctl_safe_doubts(c, &err);
    if (rc == 0)
        rc = check_user(c, p->user, m->spec, &err);
    if (rc == 0 && m->in_job) {
        r.job = m->in_job;
        rc = submit_step(c, p->user, m, &r.step, &narrows, &err);
        if (rc == 0 && narrows) {
            r.warnings = &warning;
            r.n_warnings = 1;
        }
    } else if (rc == 0) {
        rc = submit_job(c, p->user, m, &r.job, &err);
    }
    if (rc) {
        tug_ctl_reply_error(c, p, rid, rc, err.msg);
        return;
    }
    if (m->spec->interactive && !m->in_job)
        tug_vec_push(&p->interactive, r.job);
    reply(c, p, TUG_MSG_SUBMIT_REPLY, rid, &r.base);
}

/* ---- listing */

void h_jobs(struct tug_control *c, struct ctl_peer *p, uint32_t rid, const ProtobufCMessage *msg)
{
    const Tugpb__JobsRequest *m = (const Tugpb__JobsRequest *) msg;
    Tugpb__JobsReply r = TUGPB__JOBS_REPLY__INIT;
    struct tug_arena a = {.budget_bytes = 1 << 30};
    struct tug_vec(Tugpb__JobView *) views = {0};
    struct tug_err err = {0};

    if (tug_ctl_filter_check(m, &err) != 0) {
        tug_ctl_reply_error(c, p, rid, err.code, err.msg);
        return;
    }
    for (const struct tug_job *job = tug_core_job_after(c->core, m->after_id); job;
         job = tug_core_job_after(c->core, job->id)) {
        Tugpb__JobView *v;

        if (!tug_ctl_filter_takes(m, job))
            continue;
        if (m->limit && views.len == m->limit) {
            r.more = 1;
            break;
        }
        v = tug_ctl_alloc(&a, sizeof *v);
        tug_ctl_view_job(c, &a, job, m->brief, v);
        tug_vec_push(&views, v);
    }
    r.jobs = views.at;
    r.n_jobs = views.len;
    r.now_ms = tug_ctl_now(c);
    reply(c, p, TUG_MSG_JOBS_REPLY, rid, &r.base);
    tug_vec_clear(&views);
    tug_arena_clear(&a);
}

int tug_ctl_no_job(struct tug_err *err, uint64_t id)
{
    return tug_fail(err, -ENOENT,
                    "there is no job %llu in the queue; ended jobs are in 'tug history'",
                    (unsigned long long) id);
}

void h_show(struct tug_control *c, struct ctl_peer *p, uint32_t rid, const ProtobufCMessage *msg)
{
    const Tugpb__ShowRequest *m = (const Tugpb__ShowRequest *) msg;
    const struct tug_job *job = tug_core_job(c->core, m->job);
    struct ctl_job *j = tug_ctl_job(c, m->job);
    Tugpb__ShowReply r = TUGPB__SHOW_REPLY__INIT;
    struct tug_arena a = {.budget_bytes = 64 << 20};
    ProtobufCMessage *spec = NULL;
    Tugpb__JobView view;
    struct tug_err err = {0};

    if (!job || !j) {
        tug_ctl_no_job(&err, m->job);
        tug_ctl_reply_error(c, p, rid, err.code, err.msg);
        return;
    }
    tug_ctl_view_job(c, &a, job, 0, &view);
    tug_ctl_view_standing(c, &a, job, &view);
    r.job = &view;
    r.now_ms = tug_ctl_now(c);
    /* Scripts and environments are their owner's. */
    if (m->spec && (job->req.uid == p->user->uid || tug_control_is_operator(c, p->user->uid)) &&
        tug_proto_decode(&a, &tugpb__job_spec__descriptor, j->spec, j->spec_len, &spec, NULL) ==
            0) {
        r.spec = (Tugpb__JobSpec *) spec;
        r.spec->script.data = (uint8_t *) tug_blob_data(j->script, &r.spec->script.len);
        r.spec->env.data = (uint8_t *) tug_blob_data(j->env, &r.spec->env.len);
        r.spec->io_key.len = 0;
    }
    reply(c, p, TUG_MSG_SHOW_REPLY, rid, &r.base);
    tug_arena_clear(&a);
}

void h_queues(struct tug_control *c, struct ctl_peer *p, uint32_t rid, const ProtobufCMessage *msg)
{
    Tugpb__QueuesReply r = TUGPB__QUEUES_REPLY__INIT;
    struct tug_arena a = {.budget_bytes = 16 << 20};
    struct tug_core_queue q;
    size_t n;
    const struct tug_policy_queue *rows = tug_core_queue_tree(c->core, &n);

    (void) msg;
    r.queues = tug_ctl_alloc(&a, tug_core_queues(c->core) * sizeof *r.queues);
    for (size_t i = 0; i < tug_core_queues(c->core); i++) {
        Tugpb__QueueView *v = tug_ctl_alloc(&a, sizeof *v);

        tug_core_queue_row(c->core, i, &q);
        tugpb__queue_view__init(v);
        v->name = (char *) q.name;
        v->state = (char *) (q.is_down ? "DOWN" : "UP");
        v->is_default = q.is_default;
        v->priority = q.priority;
        v->max_time_s = q.max_time_s;
        v->default_time_s = q.default_time_s;
        v->nodes = (char *) q.nodes;
        v->parent = (char *) q.parent;
        v->is_divided = !rows[i].is_leaf;
        v->guarantee_gpus = q.guarantee_gpus;
        v->cap_gpus = q.cap_gpus;
        v->no_borrow = q.no_borrow;
        v->no_lend = q.no_lend;
        v->weight = q.weight;
        v->gpus_alloc = rows[i].gpus_used;
        v->gpus_wanted = rows[i].gpus_wanted;
        r.queues[r.n_queues++] = v;
    }
    for (const struct tug_job *job = tug_core_job_after(c->core, 0); job;
         job = tug_core_job_after(c->core, job->id))
        for (size_t i = 0; i < r.n_queues; i++)
            if (strcmp(r.queues[i]->name, job->req.queue) == 0)
                for (uint32_t up = (uint32_t) i; up < r.n_queues; up = rows[up].parent) {
                    r.queues[up]->jobs_pending += (uint32_t) tug_job_state_waits(job->state);
                    r.queues[up]->jobs_running += job->state == TUG_JOB_RUNNING;
                }
    reply(c, p, TUG_MSG_QUEUES_REPLY, rid, &r.base);
    tug_arena_clear(&a);
}

void h_shares(struct tug_control *c, struct ctl_peer *p, uint32_t rid, const ProtobufCMessage *msg)
{
    Tugpb__SharesReply r = TUGPB__SHARES_REPLY__INIT;
    struct tug_arena a = {.budget_bytes = 256 << 20};
    size_t n;
    const struct tug_policy_share *rows = tug_core_share_tree(c->core, tug_ctl_now(c), &n);

    (void) msg;
    r.rows = tug_ctl_alloc(&a, n * sizeof *r.rows);
    r.now_ms = tug_ctl_now(c);
    r.half_life_ms = tug_core_usage_half_life_ms(c->core);
    for (size_t i = 0; i < n; i++) {
        Tugpb__ShareView *v = tug_ctl_alloc(&a, sizeof *v);

        tugpb__share_view__init(v);
        v->name = (char *) rows[i].name;
        v->parent = i ? rows[i].parent : 0;
        v->is_user = rows[i].is_user;
        v->uid = rows[i].uid;
        v->weight = rows[i].weight;
        v->share = rows[i].share;
        v->usage = rows[i].usage;
        v->usage_gpu_s = rows[i].usage_gpu_s;
        v->gpus = rows[i].gpus_used;
        v->cpus = rows[i].cpus_used;
        v->level_fs = rows[i].level_fs;
        v->factor = rows[i].factor;
        r.rows[r.n_rows++] = v;
    }
    reply(c, p, TUG_MSG_SHARES_REPLY, rid, &r.base);
    tug_arena_clear(&a);
}

/* ---- wait */

void h_wait(struct tug_control *c, struct ctl_peer *p, uint32_t rid, const ProtobufCMessage *msg)
{
    const Tugpb__WaitRequest *m = (const Tugpb__WaitRequest *) msg;
    struct ctl_waiter w = {.peer = p->id,
                           .rid = rid,
                           .job = m->job,
                           .step = m->step,
                           .until = m->until,
                           .seen_state = -1,
                           .timeout_ms = INT64_MAX};
    struct tug_err err = {0};

    if (!tug_core_job(c->core, m->job)) {
        tug_ctl_no_job(&err, m->job);
        tug_ctl_reply_error(c, p, rid, err.code, err.msg);
        return;
    }
    if (m->step && !tug_core_step(c->core, m->job, m->step)) {
        tug_fail(&err, -ENOENT, "job %llu has no step %u, or it is over",
                 (unsigned long long) m->job, m->step);
        tug_ctl_reply_error(c, p, rid, err.code, err.msg);
        return;
    }
    if (m->seen_state[0])
        w.seen_state = tug_job_state_parse(m->seen_state);
    if (m->timeout_s)
        w.timeout_ms = tug_ctl_now(c) + m->timeout_s * 1000LL;
    tug_ctl_wait_add(c, &w);
}

/* ---- nodes */

/* Which jobs hold something on which node: one walk over the jobs. */
static void add_jobs(struct tug_control *c, struct tug_arena *a, Tugpb__NodeView **of_node)
{
    for (const struct tug_job *job = tug_core_job_after(c->core, 0); job;
         job = tug_core_job_after(c->core, job->id)) {
        if (!tug_job_state_holds(job->state))
            continue;
        for (size_t i = 0; i < job->n_slices; i++) {
            Tugpb__NodeView *v = of_node[job->slices[i].node];
            struct tug_core_node k;

            if (!v)
                continue;
            tug_core_node(c->core, job->slices[i].node, &k);
            if (!v->jobs)
                v->jobs = tug_ctl_alloc(a, (k.n_jobs + 1) * sizeof *v->jobs);
            if (v->n_jobs <= k.n_jobs)
                v->jobs[v->n_jobs++] = job->id;
        }
    }
}

int tug_ctl_find_nodes(const struct tug_control *c, const char *text, struct tug_hostlist **out,
                       struct tug_err *err)
{
    int rc = tug_hostlist_parse(text, out, err);

    for (size_t i = 0; !rc && i < tug_hostlist_count(*out); i++)
        if (tug_core_node_find(c->core, tug_hostlist_nth(*out, i)) == TUG_NO_NODE)
            rc = tug_fail(err, -ENOENT, "there is no node '%s'; 'tug nodes' lists all",
                          tug_hostlist_nth(*out, i));
    return rc;
}

/* Is there a reason that an admin takes back? That of the health check, or of processes that do not end, goes by itself, unless he insists. */
static int may_be_taken_back(const struct tug_core_node *k, int force)
{
    int some = 0;

    for (size_t i = 0; i < k->n_drains; i++)
        some |= force || tug_drain_is_admins(k->drains[i].by);
    return some;
}

/* Has an admin given that very reason already? */
static int has_given(const struct tug_core_node *k, const char *reason)
{
    return k->n_drains && k->drains[0].by == TUG_DRAIN_ADMIN && !strcmp(k->drains[0].reason, reason);
}

/* 1 if that makes a difference. */
static int drain_one(struct tug_control *c, const struct ctl_peer *p, const Tugpb__DrainRequest *m,
                     uint32_t node)
{
    struct tug_core_node k;
    struct tug_event ev = {.type = m->resume ? TUG_EV_NODE_RESUME : TUG_EV_NODE_DRAIN,
                           .node = node,
                           .text = m->reason,
                           .force = m->force,
                           .uid = p->user->uid,
                           .user = p->user->name};

    tug_core_node(c->core, node, &k);
    if (m->resume ? !may_be_taken_back(&k, m->force) : has_given(&k, m->reason))
        return 0;
    if (tug_ctl_apply(c, &ev, NULL) != 0)
        return 0;
    tug_ctl_log(c, TUG_LOG_INFO, "node %s: %s %s%s%s", k.name,
                m->resume ? "taken back into use by" : "drained by", p->user->name,
                m->resume ? "" : ": ", m->resume ? "" : m->reason);
    return 1;
}

void h_drain(struct tug_control *c, struct ctl_peer *p, uint32_t rid, const ProtobufCMessage *msg)
{
    const Tugpb__DrainRequest *m = (const Tugpb__DrainRequest *) msg;
    Tugpb__DrainReply r = TUGPB__DRAIN_REPLY__INIT;
    struct tug_arena a = {.budget_bytes = 256 << 20};
    struct tug_hostlist *nodes = NULL;
    struct tug_err err = {0};
    int rc = tug_ctl_find_nodes(c, m->nodes, &nodes, &err);

    if (!rc && tug_hostlist_count(nodes) == 0)
        rc = tug_fail(&err, -EINVAL, "no node is named");
    if (!rc && !m->resume && !m->reason[0])
        rc = tug_fail(&err, -EINVAL,
                      "draining needs a reason; those whose jobs wait will read it");
    if (rc) {
        tug_ctl_reply_error(c, p, rid, rc, err.msg);
        goto out;
    }
    r.changed = tug_ctl_alloc(&a, tug_hostlist_count(nodes) * sizeof *r.changed);
    r.nodes = tug_ctl_alloc(&a, tug_hostlist_count(nodes) * sizeof *r.nodes);
    for (size_t i = 0; i < tug_hostlist_count(nodes); i++) {
        uint32_t node = tug_core_node_find(c->core, tug_hostlist_nth(nodes, i));

        if (drain_one(c, p, m, node))
            r.changed[r.n_changed++] = tug_ctl_fmt(&a, "%s", tug_hostlist_nth(nodes, i));
        r.nodes[r.n_nodes] = tug_ctl_alloc(&a, sizeof **r.nodes);
        tug_ctl_view_node(c, &a, node, r.nodes[r.n_nodes++]);
    }
    reply(c, p, TUG_MSG_DRAIN_REPLY, rid, &r.base);
out:
    tug_hostlist_free(nodes);
    tug_arena_clear(&a);
}

void h_nodes(struct tug_control *c, struct ctl_peer *p, uint32_t rid, const ProtobufCMessage *msg)
{
    const Tugpb__NodesRequest *m = (const Tugpb__NodesRequest *) msg;
    Tugpb__NodesReply r = TUGPB__NODES_REPLY__INIT;
    struct tug_arena a = {.budget_bytes = 256 << 20};
    struct tug_hostlist *only = NULL;
    Tugpb__NodeView **of_node = tug_ctl_alloc(&a, c->n_nodes * sizeof *of_node);
    struct tug_err err = {0};

    if (m->nodes[0] && tug_ctl_find_nodes(c, m->nodes, &only, &err) != 0)
        goto refuse;
    r.nodes = tug_ctl_alloc(&a, c->n_nodes * sizeof *r.nodes);
    for (uint32_t i = 0; i < c->n_nodes; i++) {
        struct tug_core_node k;

        tug_core_node(c->core, i, &k);
        if (only && !tug_hostlist_contains(only, k.name))
            continue;
        of_node[i] = tug_ctl_alloc(&a, sizeof **of_node);
        tug_ctl_view_node(c, &a, i, of_node[i]);
        r.nodes[r.n_nodes++] = of_node[i];
    }
    add_jobs(c, &a, of_node);
    reply(c, p, TUG_MSG_NODES_REPLY, rid, &r.base);
    goto out;
refuse:
    tug_ctl_reply_error(c, p, rid, err.code, err.msg);
out:
    tug_hostlist_free(only);
    tug_arena_clear(&a);
}
