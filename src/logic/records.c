/* records.c - jobs, nodes and the cluster's own record, to and from the store
 *
 * Kinds: meta, job, node, blob, tok, usage (proto/record.proto). In which order they are restored, and when: restore.c.
 * Layer: logic.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "logic/mig.h"
#include "logic/control_int.h"
#include "proto/machine.h"


static void put(struct tug_batch *b, const char *kind, const char *id, const ProtobufCMessage *m)
{
    size_t len = protobuf_c_message_get_packed_size(m);
    uint8_t small[2048];
    uint8_t *bytes = len <= sizeof small ? small : tug_xmalloc(len);

    protobuf_c_message_pack(m, bytes);
    tug_batch_put(b, kind, id, bytes, len);
    if (bytes != small)
        free(bytes);
}

void tug_ctl_put_meta(struct tug_control *c, struct tug_batch *b)
{
    Tugpb__MetaRecord m = TUGPB__META_RECORD__INIT;
    struct tug_arena a = {.budget_bytes = 1 << 20};

    m.cluster_uuid = c->uuid;
    m.schema = 1;
    m.epoch = c->epoch;
    m.next_id_block = c->id_limit;
    m.safe = c->safe.state;
    m.safe_why = c->safe.why;
    m.safe_since_ms = c->safe.since_ms;
    m.seen_epoch = c->safe.seen_epoch;
    m.attempts_skipped = c->safe.attempts_skipped;
    m.leased_s = c->leased_s;
    m.leased_for_ever = c->leased_for_ever;
    tug_ctl_commits_put(c, &a, &m);
    put(b, "meta", "cluster", &m.base);
    tug_arena_clear(&a);
}

void tug_ctl_put_token(struct tug_control *c, const struct ctl_token *t, struct tug_batch *b)
{
    char text[64], *id = tug_ctl_token_id(t);
    int len = snprintf(text, sizeof text, "%llu%c%lld", (unsigned long long) t->job, '\0',
                       (long long) t->expires_ms);

    (void) c;
    tug_batch_put(b, "tok", id, text, (size_t) len);
    free(id);
}

/* Apart, and for versions that know only one in one. */
static void put_drains(struct tug_arena *a, const struct tug_core_node *k, Tugpb__NodeRecord *m)
{
    m->drains = tug_ctl_drains_pb(a, k);
    m->n_drains = k->n_drains;
    m->drain = k->n_drains > 0;
    if (!k->n_drains)
        return;
    m->drain_reason = tug_ctl_fmt(a, "%s", k->drains[0].reason);
    for (size_t i = 1; i < k->n_drains; i++)
        m->drain_reason = tug_ctl_fmt(a, "%s; %s", m->drain_reason, k->drains[i].reason);
    m->drain_uid = k->drains[0].uid;
    m->drain_at_ms = k->drains[0].at_ms;
}

void tug_ctl_put_node(struct tug_control *c, uint32_t node, struct tug_batch *b)
{
    const struct ctl_node *n = &c->nodes[node];
    Tugpb__NodeRecord m = TUGPB__NODE_RECORD__INIT;
    struct tug_arena a = {.budget_bytes = 16 << 20};
    struct tug_core_node k;
    ProtobufCMessage *inv = NULL;

    tug_core_node(c->core, node, &k);
    m.name = (char *) k.name;
    m.boot_id = (char *) n->boot_id;
    put_drains(&a, &k, &m);
    m.bad_launches = k.bad_launches;
    m.health = n->health;
    m.n_visit_failures = tug_ctl_visit_failures_pb(&a, n, &m.visit_failures);
    m.failures = tug_ctl_failures_pb(&a, &k);
    m.n_failures = k.n_failures;
    m.links = tug_ctl_links_pb(c, &a, node, &m.n_links);
    tug_ctl_put_remnants(c, &a, &k, &m);
    m.address = n->address ? n->address : (char *) "";
    if (n->inventory_len && tug_proto_decode(&a, &tugpb__inventory__descriptor, n->inventory,
                                             n->inventory_len, &inv, NULL) == 0)
        m.inventory = (Tugpb__Inventory *) inv;
    put(b, "node", k.name, &m.base);
    tug_arena_clear(&a);
}

void tug_ctl_put_usage(struct tug_control *c, uint32_t share, struct tug_batch *b)
{
    Tugpb__UsageRecord m = TUGPB__USAGE_RECORD__INIT;
    struct tug_core_usage u;
    char *id;

    tug_core_usage(c->core, share, &u);
    m.account = (char *) u.account;
    m.user = (char *) u.user;
    m.uid = u.uid;
    m.gpu_s = u.gpu_s;
    m.at_ms = u.at_ms;
    m.clock_boot = c->conf.clock_boot;
    m.clock_zero_ms = c->conf.clock_zero_ms;
    id = tug_xasprintf("%s/%s", u.user, u.account);
    put(b, "usage", id, &m.base);
    free(id);
}

/* ---- what is kept packed beside the core's objects, from a message or from a record */

Tugpb__JobSpec tug_ctl_lean_spec(const Tugpb__JobSpec *s)
{
    Tugpb__JobSpec lean = *s;

    lean.script.len = 0;
    lean.env.len = 0;
    return lean;
}

uint8_t *tug_ctl_pack_spec(const Tugpb__JobSpec *s, size_t *len)
{
    Tugpb__JobSpec lean = tug_ctl_lean_spec(s);
    uint8_t *data;

    *len = tugpb__job_spec__get_packed_size(&lean);
    data = tug_xmalloc(*len ? *len : 1);
    tugpb__job_spec__pack(&lean, data);
    return data;
}

/* NULL: it does not say, or says what cannot be. */
static struct tug_machine *machine_of(struct tug_control *c, const char *node, const Tugpb__Inventory *inv)
{
    struct tug_machine *m = NULL;
    struct tug_err err = {0};
    int rc = inv->links ? tug_machine_of_pb(inv->links, &m, &err) : 0;

    if (m && m->n_gpus != inv->gpus)
        rc = tug_fail(&err, -EPROTO, "it has %u GPUs and describes the links of %u", inv->gpus, m->n_gpus);
    if (!rc)
        return m;
    tug_ctl_log(c, TUG_LOG_WARN, "node %s: what it says of its links is left alone, all its GPUs count as alike: %s", node,
                err.msg);
    free(m);
    return NULL;
}

struct tug_core_inventory tug_ctl_keep_inventory(struct tug_control *c, struct ctl_node *n, const char *name,
                                                 const Tugpb__Inventory *inv, struct tug_machine **machine,
                                                 struct tug_core_mig **mig)
{
    *machine = machine_of(c, name, inv);
    free(n->nvlink_domain);
    n->nvlink_domain = tug_xstrdup(inv->nvlink_domain);
    n->inventory_len = tugpb__inventory__get_packed_size(inv);
    free(n->inventory);
    n->inventory = tug_xmalloc(n->inventory_len ? n->inventory_len : 1);
    tugpb__inventory__pack(inv, n->inventory);
    return (struct tug_core_inventory){.cpus = inv->cpus,
                                       .gpus = inv->gpus,
                                       .mem_bytes = inv->mem_bytes,
                                       .gpu_model = inv->gpu_model,
                                       .machine = *machine,
                                       .gpus_lost = inv->gpus_lost,
                                       .prolog_s = inv->prolog_s,
                                       .epilog_s = inv->epilog_s,
                                       .mig = tug_ctl_mig_rows(inv, mig),
                                       .n_mig = inv->n_mig};
}

/* ---- a job out */

static Tugpb__JobSpec *unpack_spec(struct tug_arena *a, const uint8_t *data, size_t len)
{
    ProtobufCMessage *m = NULL;

    if (!data)
        return NULL;
    /* We packed it ourselves. A record without its request would keep the next controller from
     * starting. */
    tug_assert(tug_proto_decode(a, &tugpb__job_spec__descriptor, data, len, &m, NULL) == 0);
    return (Tugpb__JobSpec *) m;
}

static void set_blob(ProtobufCBinaryData *out, const struct tug_blob *blob)
{
    if (!blob)
        return;
    out->data = (uint8_t *) tug_blob_id(blob);
    out->len = TUG_BLOB_ID_LEN;
}

static Tugpb__StepRecord *step_record(struct tug_control *c, struct tug_arena *a,
                                      const struct tug_step *s, struct ctl_step *side)
{
    Tugpb__StepRecord *m = tug_ctl_alloc(a, sizeof *m);

    tugpb__step_record__init(m);
    m->step = s->id;
    m->state = (char *) tug_step_state_name(s->state);
    m->ntasks = s->ntasks;
    m->cause = tug_ctl_cause_pb(c, a, &s->cause);
    m->exit = tug_ctl_exit_pb(a, &s->exit);
    m->start_ms = s->start_ms;
    m->end_ms = s->end_ms;
    m->nodes = tug_ctl_alloc(a, s->n_parts * sizeof *m->nodes);
    for (size_t i = 0; i < s->n_parts; i++) {
        Tugpb__StepNodeRecord *p = tug_ctl_alloc(a, sizeof *p);

        tugpb__step_node_record__init(p);
        p->slice = s->parts[i].slice;
        p->part = (Tugpb__PartPhase) s->parts[i].phase;
        p->lost = s->parts[i].lost;
        p->first_rank = s->parts[i].first_rank;
        p->ntasks = s->parts[i].ntasks;
        m->nodes[m->n_nodes++] = p;
    }
    if (side) {
        m->gang_key.data = side->gang_key;
        m->gang_key.len = GANG_KEY_LEN;
        m->nspace = side->nspace;
        m->attempt = side->attempt;
        m->spec = unpack_spec(a, side->spec, side->spec_len);
        set_blob(&m->env_blob, side->env);
    }
    return m;
}

static void set_request(Tugpb__JobRecord *m, const struct tug_job_req *r)
{
    m->uid = r->uid;
    m->gid = r->gid;
    m->user = (char *) (r->user ? r->user : "");
    m->queue = (char *) (r->queue ? r->queue : "");
    m->account = (char *) (r->account ? r->account : "");
    m->time_limit_s = r->time_limit_s;
    m->nodes = r->nodes;
    m->ntasks = r->ntasks;
    m->cpus_per_node = r->cpus_per_node;
    m->gpus_per_node = r->gpus_per_node;
    m->cpus_last = r->cpus_last;
    m->gpus_last = r->gpus_last;
    m->gpu_milli = r->gpu_milli;
    m->mig_profile = (char *) (r->mig_profile ? r->mig_profile : "");
    m->mem_per_node_bytes = r->mem_per_node_bytes;
    m->topology = (char *) (r->topology ? r->topology : "");
    m->topology_required = r->topology_required;
    m->topology_domains = r->topology_domains;
    m->topology_wait_s = r->topology_wait_s;
    m->exclude = (char *) (r->exclude ? r->exclude : "");
    m->preflight = (char *) (r->preflight ? r->preflight : "");
    m->preflight_floor = r->preflight_floor;
    m->preflight_s = r->preflight_s;
    m->preflight_drains = r->preflight_drains;
}

/* Giving way and being suspended. Records of older versions have zeroes there. */
static void set_way(Tugpb__JobRecord *m, const struct tug_job *job)
{
    m->preemptions = job->preemptions;
    m->gives_way = (uint32_t) job->gives_way;
    m->preemptor = job->preemptor;
    m->notice_ms = job->notice_ms < 0 ? 0 : job->notice_ms;
    m->stopping_ms = job->stopping_ms < 0 ? 0 : job->stopping_ms;
    m->stop_serial = job->stop_serial;
    m->suspended_ms = job->suspended_ms < 0 ? 0 : job->suspended_ms;
    m->resumed_ms = job->resumed_ms < 0 ? 0 : job->resumed_ms;
    m->sliced_ms = job->sliced_ms;
    m->ran_ms = job->ran_ms;
}

static void restore_way(const Tugpb__JobRecord *m, struct tug_job *job)
{
    job->preemptions = m->preemptions;
    job->gives_way = m->gives_way <= TUG_PREEMPT_SUSPEND ? (int) m->gives_way : TUG_PREEMPT_NEVER;
    job->preemptor = m->preemptor;
    job->notice_ms = m->notice_ms ? m->notice_ms : -1;
    job->stopping_ms = m->stopping_ms ? m->stopping_ms : -1;
    job->stop_serial = m->stop_serial;
    job->suspended_ms = m->suspended_ms ? m->suspended_ms : -1;
    job->resumed_ms = m->resumed_ms ? m->resumed_ms : -1;
    job->sliced_ms = m->sliced_ms;
    job->ran_ms = m->ran_ms;
}

void tug_ctl_put_job(struct tug_control *c, struct ctl_job *j, const struct tug_job *job,
                     struct tug_batch *b)
{
    Tugpb__JobRecord m = TUGPB__JOB_RECORD__INIT;
    struct tug_arena a = {.budget_bytes = RECORD_BUDGET_BYTES};
    char id[24];

    set_request(&m, &job->req);
    m.id = job->id;
    m.state = (char *) tug_job_state_name(job->state);
    m.end_state = (char *) tug_job_state_name(job->end_state);
    m.attempt = job->attempt;
    m.next_attempt = job->next_attempt;
    m.requeues = job->requeues;
    m.launch_failures = job->launch_failures;
    m.next_step = job->next_step;
    m.priority = (int32_t) job->priority;
    m.token = (char *) j->token;
    m.submit_ms = job->submit_ms;
    m.eligible_ms = job->eligible_ms;
    m.alloc_ms = job->alloc_ms;
    m.launched_ms = job->launched_ms;
    m.wired_ms = job->wired_ms;
    m.end_ms = job->end_ms;
    m.limit_ms = job->limit_ms;
    m.wants_since_ms = job->wants_since_ms;
    set_way(&m, job);
    m.slices = tug_ctl_slices_pb(c, &a, job, j);
    m.n_slices = job->n_slices;
    m.steps = tug_ctl_alloc(&a, job->n_steps * sizeof *m.steps);
    for (size_t i = 0; i < job->n_steps; i++)
        m.steps[m.n_steps++] =
            step_record(c, &a, &job->steps[i], tug_ctl_step(j, job->steps[i].id));
    if (job->visit)
        m.visit = step_record(c, &a, job->visit, NULL);
    m.exit = tug_ctl_exit_pb(&a, &job->exit);
    m.cause = tug_ctl_cause_pb(c, &a, &job->cause);
    m.hang = tug_ctl_hang_pb(c, &a, &job->hang);
    m.predicted_mbs = job->quality.mbs;
    m.best_mbs = job->quality.best_mbs;
    m.quality_why = job->quality.text ? job->quality.text : (char *) "";
    m.hang_requeues = job->hang_requeues;
    m.failures = job->failures;
    m.backoffs = job->backoffs;
    m.retry_ms = job->retry_ms < 0 ? 0 : job->retry_ms;
    m.clock_boot = c->conf.clock_boot;
    m.clock_zero_ms = c->conf.clock_zero_ms;
    m.attempts = tug_ctl_attempts_pb(c, &a, job);
    m.n_attempts = job->n_attempts;
    m.held = tug_ctl_onhold_pb(&a, &job->onhold);
    m.held_ms = job->held_ms;
    m.released_ms = job->released_ms < 0 ? 0 : job->released_ms;
    m.failed_on = (char *) job->failed_on;
    m.spec = unpack_spec(&a, j->spec, j->spec_len);
    set_blob(&m.script_blob, j->script);
    set_blob(&m.env_blob, j->env);
    m.job_token = j->job_token;
    m.limits = j->limits ? j->limits : (char *) "";
    m.limits_of = j->limits_of;
    m.home = j->user->home;
    m.shell = j->user->shell;
    m.gids = j->user->gids;
    m.n_gids = j->user->n_gids;
    m.explain = job->explain ? job->explain : (char *) "";
    snprintf(id, sizeof id, "%llu", (unsigned long long) job->id);
    put(b, "job", id, &m.base);
    tug_arena_clear(&a);
}

/* ---- restoring */

void tug_ctl_restore_meta(struct tug_control *c, const Tugpb__MetaRecord *m)
{
    tug_str_copy(c->uuid, sizeof c->uuid, m->cluster_uuid);
    c->epoch = m->epoch;
    c->id_limit = m->next_id_block;
    c->safe.state = m->safe;
    tug_str_copy(c->safe.why, sizeof c->safe.why, m->safe_why);
    c->safe.since_ms = m->safe_since_ms;
    c->safe.seen_epoch = m->seen_epoch;
    c->safe.attempts_skipped = m->attempts_skipped;
    c->leased_s = m->leased_s;
    c->leased_for_ever = (uint8_t) m->leased_for_ever;
    tug_ctl_commits_restore(c, m);
}

int tug_ctl_restore_token(struct tug_control *c, const char *key, const void *data, size_t len,
                          struct tug_err *err)
{
    const char *nul = memchr(data, 0, len);
    char expires[24] = "";
    uint64_t job, until;
    uint32_t uid = (uint32_t) strtoul(key, NULL, 10);
    const char *slash = strchr(key, '/');
    size_t rest;

    if (!nul || !slash || tug_str_u64(data, UINT64_MAX, &job) != 0)
        return tug_fail(err, -EPROTO, "record tok/%s does not hold a job id", key);
    rest = len - (size_t) (nul + 1 - (const char *) data);
    if (rest >= sizeof expires)
        return tug_fail(err, -EPROTO, "record tok/%s does not hold a time", key);
    memcpy(expires, nul + 1, rest);
    if (tug_str_u64(expires, INT64_MAX, &until) != 0)
        return tug_fail(err, -EPROTO, "record tok/%s does not hold a time", key);
    tug_ctl_token_put(c, uid, slash + 1, job, (int64_t) until);
    return 0;
}

int tug_ctl_restore_usage(struct tug_control *c, const char *id, const Tugpb__UsageRecord *m,
                          struct tug_err *err)
{
    if (!(m->gpu_s >= 0 && m->gpu_s <= 1e18) || m->at_ms < 0)
        return tug_fail(err, -EPROTO, "record usage/%s: %g GPU-seconds at %lld cannot be", id,
                        m->gpu_s, (long long) m->at_ms);
    tug_core_restore_usage(c->core, m->account, m->user, m->uid, m->gpu_s,
                           m->at_ms + tug_ctl_clock_shift(c, m->clock_boot, m->clock_zero_ms));
    return 0;
}

/* What an older version wrote, or one that knows more owners, is an admin's to take back. */
static size_t restore_drains(const Tugpb__NodeRecord *m, struct tug_core_drain *out)
{
    size_t n = 0;

    for (size_t i = 0; i < m->n_drains && n < TUG_DRAINS; i++) {
        const Tugpb__DrainReason *d = m->drains[i];
        int by = tug_drain_parse(d->by);

        out[n++] = (struct tug_core_drain){.by = by < 0 ? TUG_DRAIN_ADMIN : (enum tug_drain) by,
                                           .reason = d->reason,
                                           .uid = d->uid,
                                           .user = d->user,
                                           .at_ms = d->at_ms};
    }
    if (!n && m->drain)
        out[n++] = (struct tug_core_drain){.by = TUG_DRAIN_ADMIN,
                                           .reason = m->drain_reason,
                                           .uid = m->drain_uid,
                                           .user = "",
                                           .at_ms = m->drain_at_ms};
    return n;
}

/* Of more than we keep the newest; kinds of later versions are passed over. */
static size_t restore_failures(const Tugpb__NodeRecord *m, struct tug_core_failure *out)
{
    size_t n = 0;

    for (size_t i = m->n_failures > TUG_FAILURES_MAX ? m->n_failures - TUG_FAILURES_MAX : 0; i < m->n_failures; i++) {
        const Tugpb__NodeFailure *f = m->failures[i];
        int what = tug_failure_parse(f->what);

        if (what >= 0)
            out[n++] = (struct tug_core_failure){.what = (enum tug_failure_kind) what,
                                                 .forgiven = f->forgiven,
                                                 .at_ms = f->at_ms,
                                                 .job = f->job};
    }
    return n;
}

static struct tug_core_link_past *restore_links(const Tugpb__NodeRecord *m)
{
    struct tug_core_link_past *out = tug_xcalloc(m->n_links + 1, sizeof *out);

    for (size_t i = 0; i < m->n_links; i++)
        out[i] = (struct tug_core_link_past){m->links[i]->peer, {m->links[i]->at_ms, m->links[i]->job}};
    return out;
}

int tug_ctl_restore_node(struct tug_control *c, const Tugpb__NodeRecord *m, struct tug_err *err)
{
    uint32_t node = tug_core_node_find(c->core, m->name);
    struct tug_core_inventory inv = {0};
    struct tug_machine *machine = NULL;
    struct tug_core_mig *mig = NULL;
    struct ctl_node *n;

    if (node == TUG_NO_NODE) {
        tug_ctl_log(c, TUG_LOG_WARN,
                    "node %s has a record but is no longer configured: its record is left alone",
                    m->name);
        return 0;
    }
    n = &c->nodes[node];
    tug_str_copy(n->boot_id, sizeof n->boot_id, m->boot_id);
    free(n->address);
    n->address = tug_xstrdup(m->address);
    if (m->inventory)
        inv = tug_ctl_keep_inventory(c, n, m->name, m->inventory, &machine, &mig);
    tug_ctl_keep_health(n, m->health);
    for (size_t i = 0; i < m->n_visit_failures; i++)
        tug_ctl_keep_visit_failure(n, m->visit_failures[i]);
    struct tug_core_drain drains[TUG_DRAINS];
    struct tug_core_node_past past = {.inv = m->inventory ? &inv : NULL, .drains = drains, .bad_launches = m->bad_launches};
    struct tug_core_failure failures[TUG_FAILURES_MAX];
    past.n_drains = restore_drains(m, drains);
    past.failures = failures;
    past.n_failures = restore_failures(m, failures);
    struct tug_core_link_past *links = restore_links(m);
    past.links = links;
    past.n_links = m->n_links;
    struct tug_core_remnant *remnants = tug_xcalloc(m->n_remnants + 1, sizeof *remnants);
    past.remnants = remnants;
    past.n_remnants = tug_ctl_restore_remnants(m, remnants);
    int rc = tug_core_restore_node(c->core, m->name, &past, err);
    free(remnants);
    free(links);
    free(mig);
    free(machine);
    return rc;
}

/* A controller that does not start helps nobody: the job goes on, and its node takes no other one. What is known of that counts
 * again: by which number it has which slice, and why it is drained, should it be configured once more. */
static uint32_t keep_ghost(struct tug_control *c, const char *node, uint64_t job)
{
    uint32_t at = tug_core_restore_ghost(c->core, node);
    tug_ctl_add_nodes(c);
    tug_ctl_restore_kept_node(c, node);
    tug_ctl_log(c, TUG_LOG_WARN,
                "job %llu holds node %s, which is not in the configuration any more: it goes on there, and nothing else is "
                "started there",
                (unsigned long long) job, node);
    return at;
}

static void restore_slices(struct tug_control *c, struct tug_arena *a, const Tugpb__JobRecord *m,
                           struct tug_job *job, struct ctl_job *j)
{
    int masked = 0;

    job->slices = tug_ctl_alloc(a, m->n_slices * sizeof *job->slices);
    job->n_slices = m->n_slices;
    for (size_t i = 0; i < m->n_slices; i++) {
        const Tugpb__Slice *s = m->slices[i];
        struct tug_slice *out = &job->slices[i];

        out->node = tug_core_node_find(c->core, s->node);
        if (out->node == TUG_NO_NODE)
            out->node = keep_ghost(c, s->node, m->id);
        out->gpus = s->gpus;
        out->cpus = s->cpus;
        out->mem_bytes = s->mem_bytes;
        out->first_rank = s->first_rank;
        out->ntasks = s->ntasks;
        out->gpu_milli = s->gpu_milli;
        out->gpu_user = s->gpu_milli ? m->uid : 0;
        out->gpu_mixed = s->gpu_mixed != 0;
        masked |= s->cpu_mask.len > 0;
    }
    if (masked) {
        j->masks = tug_xcalloc(m->n_slices, CPU_MASK_LEN);
        j->n_masks = m->n_slices;
        for (size_t i = 0; i < m->n_slices; i++)
            memcpy(j->masks[i], m->slices[i]->cpu_mask.data,
                   m->slices[i]->cpu_mask.len < CPU_MASK_LEN ? m->slices[i]->cpu_mask.len
                                                             : CPU_MASK_LEN);
    }
}

static int restore_step(struct tug_control *c, struct tug_arena *a, const Tugpb__StepRecord *m,
                        struct tug_step *s, struct ctl_job *j, struct tug_err *err)
{
    struct ctl_step side = {.id = m->step, .attempt = m->attempt};
    int state = tug_step_state_parse(m->state);

    if (state < 0)
        return tug_fail(err, -EPROTO, "record job/%llu: step %u has the unknown state '%s'",
                        (unsigned long long) j->id, m->step, m->state);
    s->id = m->step;
    s->state = (enum tug_step_state) state;
    s->ntasks = m->ntasks;
    s->cause = tug_ctl_cause(c, m->cause);
    s->exit = tug_ctl_exit(m->exit);
    s->start_ms = m->start_ms;
    s->wired_ms = -1;
    s->end_ms = m->end_ms;
    s->n_parts = m->n_nodes;
    s->parts = tug_ctl_alloc(a, m->n_nodes * sizeof *s->parts);
    for (size_t i = 0; i < m->n_nodes; i++)
        s->parts[i] = (struct tug_part){.slice = m->nodes[i]->slice,
                                        .phase = (enum tug_part_phase) m->nodes[i]->part,
                                        .first_rank = m->nodes[i]->first_rank,
                                        .ntasks = m->nodes[i]->ntasks,
                                        .lost = (uint8_t) m->nodes[i]->lost};
    if (m->gang_key.len == GANG_KEY_LEN) {
        memcpy(side.gang_key, m->gang_key.data, GANG_KEY_LEN);
        tug_str_copy(side.nspace, sizeof side.nspace, m->nspace);
        if (m->spec)
            side.spec = tug_ctl_pack_spec(m->spec, &side.spec_len);
        side.env = tug_blobs_hold_id(c->blobs, m->env_blob.data, m->env_blob.len);
        tug_vec_push(&j->steps, side);
    }
    return 0;
}

static void restore_request(const Tugpb__JobRecord *m, struct tug_job_req *r)
{
    r->uid = m->uid;
    r->gid = m->gid;
    r->user = m->user;
    r->queue = m->queue;
    r->account = m->account[0] ? m->account : m->spec->account;
    r->name = m->spec->name;
    r->batch = m->spec->kind == TUGPB__JOB_KIND__JOB_BATCH;
    r->requeue = !m->spec->no_requeue && !m->spec->interactive;
    r->interactive = (uint8_t) m->spec->interactive;
    r->exclusive = (uint8_t) (m->spec->res && m->spec->res->exclusive);
    r->nodes = m->nodes;
    r->ntasks = m->ntasks;
    r->cpus_per_node = m->cpus_per_node;
    r->gpus_per_node = m->gpus_per_node;
    r->cpus_last = m->cpus_last;
    r->gpus_last = m->gpus_last;
    r->gpu_milli = m->gpu_milli;
    r->mig_profile = m->mig_profile;
    r->mem_per_node_bytes = m->mem_per_node_bytes;
    r->gpu_model = m->spec->res ? m->spec->res->gpu_model : "";
    r->nodelist = m->spec->res ? m->spec->res->nodelist : "";
    r->topology = m->topology;
    r->topology_required = (uint8_t) m->topology_required;
    r->topology_domains = m->topology_domains;
    r->topology_wait_s = m->topology_wait_s;
    r->segment = m->spec->res ? m->spec->res->segment : 0;
    r->spread = (uint8_t) (m->spec->res && m->spec->res->spread && *m->topology);
    r->quality_milli = m->spec->res ? m->spec->res->quality_milli : 0;
    r->quality_wait_s = m->spec->res ? m->spec->res->quality_wait_s : 0;
    r->exclusive_level = m->spec->res ? m->spec->res->exclusive_level : "";
    r->exclude = m->exclude[0] || !m->spec->res ? m->exclude : m->spec->res->exclude;
    r->preflight = m->preflight;
    r->preflight_floor = m->preflight_floor;
    r->preflight_s = m->preflight_s;
    r->preflight_drains = (uint8_t) m->preflight_drains;
    r->requeue_on = m->spec->requeue_on;
    r->max_requeues = m->spec->max_requeues;
    r->requeue_delay_s = m->spec->requeue_delay_s;
    r->time_limit_s = m->time_limit_s;
    r->begin_ms = m->spec->begin_ms;
    r->nice = m->spec->nice;
}

/* Names and groups as the newest of the user's jobs has them. */
static struct ctl_user *restore_user(struct tug_control *c, const struct ctl_read_job *r)
{
    const struct tug_job_req *req = &r->job.req;
    struct tug_control_peer who = {
        .uid = req->uid, .gid = req->gid, .user = req->user, .home = r->home, .shell = r->shell};
    struct ctl_user *u;

    HASH_FIND(hh, c->users, &req->uid, sizeof req->uid, u);
    if (u && u->job > r->job.id)
        return u;
    for (size_t i = 0; i < r->n_gids && i < TUG_CONTROL_GIDS; i++)
        who.gids[who.n_gids++] = r->gids[i];
    u = tug_ctl_user(c, &who);
    u->job = r->job.id;
    return u;
}

/* The side of a job that the core does not keep. */
static struct ctl_job *restore_side(struct tug_control *c, const struct ctl_read_job *r)
{
    struct ctl_job *j = tug_ctl_job_new(c, r->job.id, restore_user(c, r), &r->request, r->token);

    tug_str_copy(j->job_token, sizeof j->job_token, r->job_token);
    j->script = tug_blobs_hold_id(c->blobs, r->script.data, r->script.len);
    j->env = tug_blobs_hold_id(c->blobs, r->env.data, r->env.len);
    if (j->token[0])
        tug_ctl_token_put(c, r->job.req.uid, j->token, r->job.id, INT64_MAX);
    return j;
}

static void restore_attempts(struct tug_control *c, struct tug_arena *a, const Tugpb__JobRecord *m, struct tug_job *job)
{
    job->n_attempts = m->n_attempts < TUG_ATTEMPTS_MAX ? m->n_attempts : TUG_ATTEMPTS_MAX;
    job->attempts = tug_ctl_alloc(a, job->n_attempts * sizeof *job->attempts);
    for (size_t i = 0; i < job->n_attempts; i++) {
        const Tugpb__Attempt *p = m->attempts[m->n_attempts - job->n_attempts + i];

        job->attempts[i] = (struct tug_attempt){.attempt = p->attempt,
                                                .counts = (uint8_t) p->counts,
                                                .alloc_ms = p->alloc_ms ? p->alloc_ms : -1,
                                                .launched_ms = p->launched_ms ? p->launched_ms : -1,
                                                .end_ms = p->end_ms,
                                                .cause = tug_ctl_cause(c, p->cause)};
    }
}

/* What names nodes. */
static int restore_places(struct tug_control *c, struct tug_arena *a, const Tugpb__JobRecord *m, struct tug_job *job,
                          struct ctl_job *j, struct tug_err *err)
{
    int rc = 0;

    job->cause = tug_ctl_cause(c, m->cause);
    job->hang = tug_ctl_hang(c, m->hang);
    restore_attempts(c, a, m, job);
    restore_slices(c, a, m, job, j);
    job->n_steps = m->n_steps;
    job->steps = tug_ctl_alloc(a, m->n_steps * sizeof *job->steps);
    for (size_t i = 0; i < m->n_steps && !rc; i++)
        rc = restore_step(c, a, m->steps[i], &job->steps[i], j, err);
    if (m->visit && !rc) {
        job->visit = tug_ctl_alloc(a, sizeof *job->visit);
        rc = restore_step(c, a, m->visit, job->visit, j, err);
    }
    if (!rc)
        tug_ctl_cpus_retake(c, j, job);
    return rc;
}

static void read_plain(const Tugpb__JobRecord *m, enum tug_job_state state, int end_state, struct tug_job *job)
{
    *job = (struct tug_job){.id = m->id, .state = state};
    restore_request(m, &job->req);
    job->end_state = end_state < 0 ? state : (enum tug_job_state) end_state;
    job->attempt = m->attempt;
    job->next_attempt = m->next_attempt;
    job->requeues = m->requeues;
    job->launch_failures = m->launch_failures;
    job->next_step = m->next_step;
    job->priority = m->priority;
    job->submit_ms = m->submit_ms;
    job->eligible_ms = m->eligible_ms;
    job->wants_since_ms = m->wants_since_ms ? m->wants_since_ms : m->eligible_ms;
    job->alloc_ms = m->alloc_ms;
    job->launched_ms = m->launched_ms;
    job->wired_ms = m->wired_ms;
    job->end_ms = m->end_ms;
    job->limit_ms = m->limit_ms;
    restore_way(m, job);
    job->exit = tug_ctl_exit(m->exit);
    job->cause.node = job->hang.node = TUG_NO_NODE;
    job->quality =
        (struct tug_job_quality){m->predicted_mbs, m->best_mbs, m->quality_why[0] ? m->quality_why : NULL};
    job->hang_requeues = m->hang_requeues;
    job->failures = m->failures;
    job->backoffs = m->backoffs;
    job->retry_ms = m->retry_ms ? m->retry_ms : -1;
    job->onhold = tug_ctl_onhold(m->held);
    job->held_ms = m->held_ms;
    job->released_ms = m->released_ms ? m->released_ms : -1;
    job->failed_on = m->failed_on;
    job->explain = m->explain[0] ? m->explain : NULL;
}

int tug_ctl_read_job(struct tug_arena *a, const Tugpb__JobRecord *m, struct ctl_read_job **out, struct tug_err *err)
{
    int state = tug_job_state_parse(m->state);
    struct ctl_read_job *r;

    if (!m->spec)
        return tug_fail(err, -EPROTO, "record job/%llu has no request", (unsigned long long) m->id);
    if (state < 0)
        return tug_fail(err, -EPROTO, "record job/%llu has no state that there is",
                        (unsigned long long) m->id);
    r = *out = tug_ctl_alloc(a, sizeof *r);
    read_plain(m, (enum tug_job_state) state, tug_job_state_parse(m->end_state), &r->job);
    tug_ctl_request(a, m->spec, &r->request);
    r->names_nodes = m->n_slices || m->n_steps || m->n_attempts || m->cause || m->hang || m->visit || m->mig_profile[0];
    r->token = m->token;
    r->job_token = m->job_token;
    r->home = m->home;
    r->shell = m->shell;
    r->script = m->script_blob;
    r->env = m->env_blob;
    r->gids = m->gids;
    r->n_gids = m->n_gids;
    r->clock_boot = m->clock_boot;
    r->clock_zero_ms = m->clock_zero_ms;
    r->m = m;
    return 0;
}

int tug_ctl_restore_job(struct tug_control *c, struct ctl_read_job *r, struct tug_err *err)
{
    struct tug_arena a = {.budget_bytes = RECORD_BUDGET_BYTES};
    struct ctl_job *j = restore_side(c, r);
    int rc = 0;

    if ((r->script.len && !j->script) || (r->env.len && !j->env))
        return tug_fail(err, -EILSEQ, "job %llu needs a blob that is not in the store", (unsigned long long) r->job.id);
    if (r->names_nodes)
        rc = restore_places(c, &a, r->m, &r->job, j, err);
    if (!rc) {
        tug_ctl_clock_shift_job(&r->job, tug_ctl_clock_shift(c, r->clock_boot, r->clock_zero_ms));
        rc = tug_core_restore_job(c->core, &r->job, err);
    }
    tug_arena_clear(&a);
    return rc;
}
