/* views.c - jobs and nodes as users see them
 *
 * Nothing is owned here: memory comes from the caller's arena, strings are borrowed from the core's
 * objects. Layer: logic.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/hostlist.h"
#include "base/pattern.h"
#include "base/str.h"
#include "base/preflight.h"
#include "logic/control_int.h"

void *tug_ctl_alloc(struct tug_arena *a, size_t len_bytes)
{
    void *p = tug_arena_alloc(a, len_bytes ? len_bytes : 1);

    tug_assert(p);
    return memset(p, 0, len_bytes ? len_bytes : 1);
}

char *tug_ctl_fmt(struct tug_arena *a, const char *fmt, ...)
{
    char text[TUG_ERR_MAX];
    va_list ap;
    size_t len;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    len = strlen(text) + 1;
    return memcpy(tug_ctl_alloc(a, len), text, len);
}

static char *copy(struct tug_arena *a, const char *s)
{
    size_t len = s ? strlen(s) + 1 : 1;

    return memcpy(tug_ctl_alloc(a, len), s ? s : "", len);
}

static int64_t shown(int64_t ms)
{
    return ms > 0 ? ms : 0;
}

static char *say(const char *s)
{
    return (char *) (s ? s : "");
}

/* ---- exits and causes, both ways */

Tugpb__ExitInfo *tug_ctl_exit_pb(struct tug_arena *a, const struct tug_exit *e)
{
    Tugpb__ExitInfo *m = tug_ctl_alloc(a, sizeof *m);

    tugpb__exit_info__init(m);
    m->exit_code = e->code;
    m->signal = e->signal;
    m->core_dumped = e->core_dumped;
    m->oom = e->oom;
    return m;
}

struct tug_exit tug_ctl_exit(const Tugpb__ExitInfo *e)
{
    struct tug_exit out = {0};

    if (e) {
        out.code = e->exit_code;
        out.signal = e->signal;
        out.core_dumped = (uint8_t) e->core_dumped;
        out.oom = (uint8_t) e->oom;
    }
    return out;
}

Tugpb__Cause *tug_ctl_cause_pb(struct tug_control *c, struct tug_arena *a,
                               const struct tug_cause *cause)
{
    Tugpb__Cause *m;
    struct tug_core_node node;

    if (cause->kind == TUG_CAUSE_NONE)
        return NULL;
    m = tug_ctl_alloc(a, sizeof *m);
    tugpb__cause__init(m);
    m->kind = (char *) tug_cause_kind_name(cause->kind);
    m->rank = cause->rank;
    if (cause->node != TUG_NO_NODE) {
        tug_core_node(c->core, cause->node, &node);
        m->node = (char *) node.name;
    }
    if (cause->kind == TUG_CAUSE_LINK) {
        tug_core_node(c->core, cause->peer, &node);
        m->peer = (char *) node.name;
    }
    m->exit = tug_ctl_exit_pb(a, &cause->exit);
    m->text = say(cause->text);
    m->at_ms = shown(cause->at_ms);
    return m;
}

struct tug_cause tug_ctl_cause(struct tug_control *c, const Tugpb__Cause *m)
{
    struct tug_cause out = {.node = TUG_NO_NODE};

    if (!m)
        return out;
    out.kind = tug_cause_kind_parse(m->kind);
    out.rank = m->rank;
    out.node = m->node[0] ? tug_core_node_find(c->core, m->node) : TUG_NO_NODE;
    if (out.kind == TUG_CAUSE_LINK) {
        out.peer = tug_core_node_find(c->core, m->peer);
        if (out.peer == TUG_NO_NODE)
            out.kind = TUG_CAUSE_STEPD;
    }
    out.exit = tug_ctl_exit(m->exit);
    out.text = m->text;
    out.at_ms = m->at_ms;
    return out;
}

/* ---- who holds a gang up, both ways */

Tugpb__Hang *tug_ctl_hang_pb(struct tug_control *c, struct tug_arena *a, const struct tug_hang *h)
{
    Tugpb__Hang *m;
    struct tug_core_node node;

    if (!h->kind[0])
        return NULL;
    m = tug_ctl_alloc(a, sizeof *m);
    tugpb__hang__init(m);
    m->kind = (char *) h->kind;
    m->rank = h->rank;
    m->ranks = h->ranks;
    if (h->node != TUG_NO_NODE) {
        tug_core_node(c->core, h->node, &node);
        m->node = (char *) node.name;
    }
    m->gpus = h->gpus;
    m->text = say(h->text);
    m->since_ms = shown(h->since_ms);
    m->step = h->step;
    return m;
}

struct tug_hang tug_ctl_hang(struct tug_control *c, const Tugpb__Hang *m)
{
    struct tug_hang out = {.node = TUG_NO_NODE};

    if (!m)
        return out;
    tug_str_copy(out.kind, sizeof out.kind, m->kind);
    out.step = m->step;
    out.rank = m->rank;
    out.ranks = m->ranks;
    out.node = m->node[0] ? tug_core_node_find(c->core, m->node) : TUG_NO_NODE;
    out.gpus = m->gpus;
    out.since_ms = m->since_ms;
    out.text = m->text;
    return out;
}

/* ---- who holds a job back, both ways */

Tugpb__JobHold *tug_ctl_onhold_pb(struct tug_arena *a, const struct tug_onhold *h)
{
    Tugpb__JobHold *m;

    if (!h->by)
        return NULL;
    m = tug_ctl_alloc(a, sizeof *m);
    tugpb__job_hold__init(m);
    m->by = (char *) tug_onhold_name(h->by);
    m->uid = h->uid;
    m->user = say(h->user);
    m->why = say(h->why);
    m->at_ms = shown(h->since_ms);
    return m;
}

struct tug_onhold tug_ctl_onhold(const Tugpb__JobHold *m)
{
    if (!m || !m->by[0])
        return (struct tug_onhold){0};
    return (struct tug_onhold){
        .by = tug_onhold_parse(m->by), .uid = m->uid, .user = m->user, .why = m->why, .since_ms = m->at_ms};
}

/* ---- jobs */

Tugpb__Attempt **tug_ctl_attempts_pb(struct tug_control *c, struct tug_arena *a, const struct tug_job *job)
{
    Tugpb__Attempt **all = tug_ctl_alloc(a, job->n_attempts * sizeof *all);

    for (size_t i = 0; i < job->n_attempts; i++) {
        const struct tug_attempt *p = &job->attempts[i];

        all[i] = tug_ctl_alloc(a, sizeof **all);
        tugpb__attempt__init(all[i]);
        all[i]->attempt = p->attempt;
        all[i]->counts = p->counts;
        all[i]->alloc_ms = shown(p->alloc_ms);
        all[i]->launched_ms = shown(p->launched_ms);
        all[i]->end_ms = shown(p->end_ms);
        all[i]->cause = tug_ctl_cause_pb(c, a, &p->cause);
    }
    return all;
}

Tugpb__Slice **tug_ctl_slices_pb(struct tug_control *c, struct tug_arena *a,
                                 const struct tug_job *job, const struct ctl_job *j)
{
    Tugpb__Slice **all = tug_ctl_alloc(a, job->n_slices * sizeof *all);
    struct tug_core_node node;

    for (size_t i = 0; i < job->n_slices; i++) {
        const struct tug_slice *s = &job->slices[i];
        Tugpb__Slice *m = tug_ctl_alloc(a, sizeof *m);

        tugpb__slice__init(m);
        tug_core_node(c->core, s->node, &node);
        m->node = (char *) node.name;
        m->gpus = s->gpus;
        m->mig_profile = say(job->req.mig_profile);
        m->mig_gpus = *m->mig_profile ? tug_core_gpus_of(c->core, s->node, s->gpus) : 0;
        m->cpus = s->cpus;
        m->mem_bytes = s->mem_bytes;
        m->first_rank = s->first_rank;
        m->gpu_milli = s->gpu_milli;
        m->gpu_mixed = s->gpu_mixed;
        m->ntasks = s->ntasks;
        if (j && i < j->n_masks) {
            m->cpu_mask.data = j->masks[i];
            m->cpu_mask.len = CPU_MASK_LEN;
            while (m->cpu_mask.len && m->cpu_mask.data[m->cpu_mask.len - 1] == 0)
                m->cpu_mask.len--;
        }
        all[i] = m;
    }
    return all;
}

char *tug_ctl_nodelist(struct tug_control *c, struct tug_arena *a, const struct tug_job *job)
{
    struct tug_core_node node;
    struct tug_hostlist *hl;
    struct tug_buf text = {0};
    char *out;

    if (job->n_slices == 0)
        return say("");
    if (job->n_slices == 1) {
        tug_core_node(c->core, job->slices[0].node, &node);
        return (char *) node.name;
    }
    hl = tug_hostlist_new();
    for (size_t i = 0; i < job->n_slices; i++) {
        tug_core_node(c->core, job->slices[i].node, &node);
        tug_hostlist_add(hl, node.name, NULL);
    }
    tug_hostlist_format(hl, &text);
    out = copy(a, tug_buf_str(&text));
    tug_buf_clear(&text);
    tug_hostlist_free(hl);
    return out;
}

static void view_steps(struct tug_control *c, struct tug_arena *a, const struct tug_job *job,
                       Tugpb__JobView *out)
{
    out->steps = tug_ctl_alloc(a, job->n_steps * sizeof *out->steps);
    for (size_t i = 0; i < job->n_steps; i++) {
        const struct tug_step *s = &job->steps[i];
        Tugpb__StepView *m = tug_ctl_alloc(a, sizeof *m);

        tugpb__step_view__init(m);
        m->step = s->id;
        m->state = (char *) tug_step_state_name(s->state);
        m->ntasks = s->ntasks;
        m->exit = tug_ctl_exit_pb(a, &s->exit);
        m->cause = tug_ctl_cause_pb(c, a, &s->cause);
        m->start_ms = shown(s->start_ms);
        m->end_ms = shown(s->end_ms);
        out->steps[out->n_steps++] = m;
    }
}

/* Where the output goes, with what is known by now filled in. */
static char *expand(struct tug_arena *a, const struct tug_job *job, const Tugpb__JobSpec *spec,
                    const char *pattern)
{
    struct tug_pattern_values v = {.job = job->id,
                                   .attempt = job->attempt,
                                   .name = job->req.name,
                                   .user = job->req.user,
                                   .rank = -1,
                                   .node_index = -1};
    struct tug_buf text = {0};
    char *out;

    tug_pattern_path(&text, spec->cwd, pattern, &v);
    out = copy(a, tug_buf_str(&text));
    tug_buf_clear(&text);
    return out;
}

static void view_paths(struct tug_control *c, struct tug_arena *a, const struct tug_job *job,
                       const struct ctl_job *j, Tugpb__JobView *out)
{
    ProtobufCMessage *m = NULL;
    Tugpb__JobSpec *spec;

    (void) c;
    if (tug_proto_decode(a, &tugpb__job_spec__descriptor, j->spec, j->spec_len, &m, NULL) != 0)
        return;
    spec = (Tugpb__JobSpec *) m;
    out->cwd = copy(a, spec->cwd);
    out->comment = copy(a, spec->comment);
    if (job->req.interactive)
        return;
    out->stdout_path =
        expand(a, job, spec, spec->stdout_path[0] ? spec->stdout_path : TUG_PATTERN_DEFAULT);
    out->stderr_path =
        spec->stderr_path[0] ? expand(a, job, spec, spec->stderr_path) : out->stdout_path;
}

static void view_times(const struct tug_job *job, Tugpb__JobView *out)
{
    out->submit_ms = shown(job->submit_ms);
    out->eligible_ms = shown(job->eligible_ms);
    out->alloc_ms = shown(job->alloc_ms);
    out->launched_ms = shown(job->launched_ms);
    out->wired_ms = shown(job->wired_ms);
    out->end_ms = shown(job->end_ms);
    out->run_since_ms = shown(tug_job_run_start_ms(job));
    out->run_before_ms = job->sliced_ms;
}

static void view_quality(struct tug_arena *a, const struct tug_job *job, Tugpb__JobView *out)
{
    const struct tug_job_quality *q = &job->quality;

    out->predicted_mbs = q->mbs;
    out->best_mbs = q->best_mbs;
    out->quality = tug_job_quality_milli(q->mbs, q->best_mbs) / 1e3;
    out->quality_why = q->text ? copy(a, q->text) : say("");
}

static void view_within(struct tug_control *c, const struct tug_job *job, Tugpb__JobView *out)
{
    int64_t relaxes_ms = tug_core_relaxes(c->core, job);

    out->asked_topology = say(job->req.topology);
    out->topology_required = job->req.topology_required;
    out->topology_domains = job->req.topology_domains;
    out->topology_wait_s = job->req.topology_wait_s;
    out->segment = job->req.segment;
    out->spread = job->req.spread;
    out->exclusive_level = say(job->req.exclusive_level);
    out->quality_floor = job->req.quality_milli;
    out->quality_wait_s = job->req.quality_wait_s;
    out->relaxes_ms = relaxes_ms == INT64_MAX ? 0 : relaxes_ms;
}

static void view_again(struct tug_control *c, const struct tug_job *job, Tugpb__JobView *out)
{
    int never = !job->req.requeue || job->req.interactive;

    out->requeues = job->requeues;
    out->requeues_counted = job->failures;
    out->requeue_on = say(job->req.requeue_on);
    out->max_requeues = never ? UINT32_MAX : tug_core_max_requeues(c->core, job);
    out->requeue_delay_s = tug_core_requeue_delay_s(c->core, job);
    out->retry_ms = job->state == TUG_JOB_PENDING ? shown(job->retry_ms) : 0;
}

static char *preflight_text(struct tug_arena *a, const struct tug_job *job)
{
    const struct tug_job_req *r = &job->req;
    size_t size = TUG_PREFLIGHT_WHAT_MAX + 64;

    if (!r->preflight_s)
        return (char *) "";
    return tug_preflight_format(r->preflight, r->preflight_floor, r->preflight_s, tug_ctl_alloc(a, size), size);
}

void tug_ctl_view_job(struct tug_control *c, struct tug_arena *a, const struct tug_job *job,
                      int brief, Tugpb__JobView *out)
{
    struct ctl_job *j = tug_ctl_job(c, job->id);
    char why[512];
    int reason = 0;

    tugpb__job_view__init(out);
    out->id = job->id;
    out->name = say(job->req.name);
    out->user = say(job->req.user);
    out->uid = job->req.uid;
    out->account = say(job->req.account);
    out->queue = say(job->req.queue);
    out->state = (char *) tug_job_shown_state(job);
    out->state_code = (char *) tug_job_shown_code(job);
    if (tug_job_state_waits(job->state) || job->gives_way || job->visit) {
        const char *text = tug_core_explain(c->core, job, &reason, why, sizeof why);

        out->reason =
            (char *) (tug_job_state_waits(job->state) ? tug_core_reason_name(reason) : "");
        out->explain = copy(a, text);
        out->expected_start_ms = shown(tug_core_expected_start(c->core, job));
        if (tug_job_state_waits(job->state) && tug_ctl_safe_holds(c)) {
            out->reason = (char *) "SafeMode";
            out->explain = tug_ctl_fmt(a, "safe mode: %s; no gang is started", c->safe.why);
        } else if (tug_job_state_waits(job->state) && c->full) {
            out->reason = (char *) "StateFull";
            out->explain = tug_ctl_fmt(a, "no gang is started: %s", c->full);
        }
    }
    out->attempt = job->attempt;
    out->nodes = job->req.nodes;
    out->ntasks = job->req.ntasks;
    out->gpus = tug_job_req_all_gpus(&job->req);
    out->cpus = tug_job_req_all_cpus(&job->req);
    out->gpus_last = job->req.gpus_last;
    out->gpu_milli = job->req.gpu_milli;
    out->mig_profile = say(job->req.mig_profile);
    out->cpus_last = job->req.cpus_last;
    out->nice = job->req.nice;
    out->exclusive = job->req.exclusive;
    out->asked_nodes = say(job->req.nodelist);
    out->asked_not = say(job->req.exclude);
    out->failed_on = say(job->failed_on);
    out->preflight = preflight_text(a, job);
    out->asked_gpu_model = say(job->req.gpu_model);
    view_within(c, job, out);
    view_quality(a, job, out);
    out->mem_bytes = job->req.nodes * job->req.mem_per_node_bytes;
    out->time_limit_s = job->req.time_limit_s;
    out->priority = (int32_t) job->priority;
    out->kind = say(job->req.batch ? "batch" : "gang");
    view_again(c, job, out);
    out->held = tug_ctl_onhold_pb(a, &job->onhold);
    out->held_ms = job->held_ms;
    out->released_ms = shown(job->released_ms);
    out->interactive = job->req.interactive;
    view_times(job, out);
    out->nodelist = tug_ctl_nodelist(c, a, job);
    out->command = j ? (char *) j->command : say("");
    out->limits = say(j ? j->limits : NULL);
    out->cause = tug_ctl_cause_pb(c, a, &job->cause);
    out->hang = tug_ctl_hang_pb(c, a, &job->hang);
    if (tug_job_state_is_over(job->state)) {
        out->exit = tug_ctl_exit_pb(a, &job->exit);
        out->ran_ms = tug_job_ran_ms(job);
    }
    if (brief)
        return;
    out->slices = tug_ctl_slices_pb(c, a, job, j);
    out->n_slices = job->n_slices;
    tug_ctl_view_domains(c, a, job, out);
    view_steps(c, a, job, out);
    out->attempts = tug_ctl_attempts_pb(c, a, job);
    out->n_attempts = job->n_attempts;
    if (j)
        view_paths(c, a, job, j, out);
}

void tug_ctl_view_standing(struct tug_control *c, struct tug_arena *a, const struct tug_job *job,
                           Tugpb__JobView *out)
{
    struct tug_core_standing s;
    char terms[512];

    if (!tug_job_state_waits(job->state))
        return;
    tug_core_standing(c->core, tug_ctl_now(c), job, &s, terms, sizeof terms);
    out->place = s.place;
    out->place_of = s.of;
    out->terms = copy(a, terms);
}

/* ---- nodes */

static void view_cuts(struct tug_control *c, struct tug_arena *a, uint32_t node, Tugpb__NodeView *out)
{
    struct tug_core_cut cuts[TUG_CORE_CUTS_MAX];
    size_t n = tug_core_node_cuts(c->core, node, cuts);

    out->cuts = tug_ctl_alloc(a, n * sizeof *out->cuts);
    for (size_t i = 0; i < n; i++) {
        Tugpb__NodeCut *m = tug_ctl_alloc(a, sizeof *m);

        tugpb__node_cut__init(m);
        m->profile = (char *) cuts[i].profile;
        m->slices = tug_gpuset_count(cuts[i].slices);
        m->used = tug_gpuset_count(cuts[i].used);
        m->gpus = cuts[i].gpus;
        out->cuts[out->n_cuts++] = m;
    }
}

Tugpb__DrainReason **tug_ctl_drains_pb(struct tug_arena *a, const struct tug_core_node *k)
{
    Tugpb__DrainReason **out = tug_ctl_alloc(a, (k->n_drains + 1) * sizeof *out);

    for (size_t i = 0; i < k->n_drains; i++) {
        out[i] = tug_ctl_alloc(a, sizeof **out);
        tugpb__drain_reason__init(out[i]);
        out[i]->by = (char *) tug_drain_name(k->drains[i].by);
        out[i]->reason = (char *) k->drains[i].reason;
        out[i]->uid = k->drains[i].uid;
        out[i]->user = (char *) k->drains[i].user;
        out[i]->at_ms = k->drains[i].at_ms;
    }
    return out;
}

Tugpb__NodeFailure **tug_ctl_failures_pb(struct tug_arena *a, const struct tug_core_node *k)
{
    Tugpb__NodeFailure **out = tug_ctl_alloc(a, (k->n_failures + 1) * sizeof *out);

    for (size_t i = 0; i < k->n_failures; i++) {
        out[i] = tug_ctl_alloc(a, sizeof **out);
        tugpb__node_failure__init(out[i]);
        out[i]->what = (char *) tug_failure_name(k->failures[i].what);
        out[i]->at_ms = k->failures[i].at_ms;
        out[i]->job = k->failures[i].job;
        out[i]->forgiven = k->failures[i].forgiven;
    }
    return out;
}

static void view_health(const Tugpb__NodeHealth *h, Tugpb__NodeView *out)
{
    static const char *const names[] = {[TUGPB__HEALTH_STATE__HEALTH_GOOD] = "healthy",
                                        [TUGPB__HEALTH_STATE__HEALTH_SICK] = "sick",
                                        [TUGPB__HEALTH_STATE__HEALTH_BROKEN] = "unknown"};

    if (!h || h->state == TUGPB__HEALTH_STATE__HEALTH_NONE || (unsigned) h->state >= sizeof names / sizeof *names)
        return;
    out->health = (char *) names[h->state];
    out->health_text = h->text;
    out->health_since_ms = h->since_ms;
    out->health_program = h->program;
}

static void view_inventory(const Tugpb__Inventory *inv, Tugpb__NodeView *out)
{
    out->machine = inv->machine;
    out->pids_max = inv->pids_max;
    out->mem_limited = inv->mem_limited;
    out->mem_reserved_bytes = inv->mem_reserved_bytes;
}

void tug_ctl_view_node(struct tug_control *c, struct tug_arena *a, uint32_t node,
                       Tugpb__NodeView *out)
{
    const struct ctl_node *n = &c->nodes[node];
    struct tug_core_node k;
    ProtobufCMessage *m = NULL;

    tug_core_node(c->core, node, &k);
    tugpb__node_view__init(out);
    out->name = (char *) k.name;
    out->state = (char *) tug_core_node_state(&k);
    out->reason = copy(a, k.reason);
    out->cpus = k.cpus;
    out->cpus_alloc = k.cpus_used;
    out->mem_bytes = k.mem_bytes;
    out->mem_alloc_bytes = k.mem_used_bytes;
    out->gpus = k.gpus;
    out->gpus_alloc = k.gpus_used;
    out->gpus_lost = k.gpus_lost;
    out->gpus_cut = k.gpus_cut;
    view_cuts(c, a, node, out);
    out->gpu_model = copy(a, k.gpu_model);
    out->up_since_ms = k.up ? shown(k.since_ms) : 0;
    out->drain_uid = k.n_drains ? k.drains[0].uid : 0;
    out->drain_ms = k.n_drains ? shown(k.drains[0].at_ms) : 0;
    out->drains = tug_ctl_drains_pb(a, &k);
    out->n_drains = k.n_drains;
    out->bad_launches = k.bad_launches;
    out->failures = tug_ctl_failures_pb(a, &k);
    out->n_failures = k.n_failures;
    out->links = tug_ctl_view_links(c, a, node, &out->n_links);
    view_health(n->health, out);
    tug_ctl_view_visit_failures(a, n, &k, out);
    tug_ctl_view_remnants(c, a, node, &k, out);
    out->address = say(n->address);
    out->version = say(n->version);
    if (n->inventory_len && tug_proto_decode(a, &tugpb__inventory__descriptor, n->inventory,
                                             n->inventory_len, &m, NULL) == 0)
        view_inventory((Tugpb__Inventory *) m, out);
}
