/* orders.c - what nodes are told about steps
 *
 * Every order names (epoch, job, attempt, step). A launch carries the fixed-size order that the
 * host signs (groups, digest and signature are filled in there) and the payload for the step
 * daemon. Layer: logic.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "logic/control_int.h"
#include "proto/order.h"


static void set_key(Tugpb__StepKey *key, const struct tug_action *a)
{
    tugpb__step_key__init(key);
    key->job = a->job;
    key->attempt = a->attempt;
    key->step = a->step;
}

static tug_peer_id peer_of(struct tug_control *c, uint32_t node)
{
    return node < c->n_nodes ? c->nodes[node].peer : 0;
}

/* The step's secrets, made anew for every attempt. */
static struct ctl_step *side_of(struct tug_control *c, struct ctl_job *j, uint32_t attempt,
                                uint32_t step)
{
    struct ctl_step *s = tug_ctl_step(j, step);
    uint8_t r[16];
    int at;

    if (s && s->attempt == attempt && s->nspace[0])
        return s;
    if (!s) {
        struct ctl_step fresh = {.id = step};

        tug_vec_push(&j->steps, fresh);
        s = &j->steps.at[j->steps.len - 1];
    }
    s->attempt = attempt;
    free(s->star_addr);
    s->star_addr = NULL;
    s->master_port = 0;
    c->env.random(c->env.ctx, s->gang_key, sizeof s->gang_key);
    c->env.random(c->env.ctx, r, sizeof r);
    at = snprintf(s->nspace, sizeof s->nspace, "tug.%llu.%u.%u.", (unsigned long long) j->id,
                  attempt, step);
    for (size_t i = 0; i < sizeof r; i++)
        at += snprintf(s->nspace + at, sizeof s->nspace - (size_t) at, "%02x", r[i]);
    tug_ctl_job_dirty(c, j->id);
    return s;
}

/* For the node that is to start them. Rising needs no words. */
static void set_gpu_order(struct tug_control *c, struct tug_arena *a, const struct tug_slice *at, Tugpb__Slice *s)
{
    uint32_t ring[TUG_GPUS_MAX];
    size_t n = tug_core_gpu_ring(c->core, at->node, at->gpus, ring);
    int rises = 1;

    for (size_t i = 1; i < n; i++)
        rises &= ring[i] > ring[i - 1];
    if (rises)
        return;
    s->gpu_order.data = tug_ctl_alloc(a, n);
    for (size_t i = 0; i < n; i++)
        s->gpu_order.data[s->gpu_order.len++] = (uint8_t) ring[i];
}

/* The slices that the step runs on, with its own ranks. A batch script sees the whole allocation.
 */
static void set_slices(struct tug_control *c, struct tug_arena *a, const struct tug_job *job,
                       const struct ctl_job *j, const struct tug_step *step, uint32_t node,
                       Tugpb__StepPayload *p)
{
    Tugpb__Slice **all = tug_ctl_slices_pb(c, a, job, j);
    int whole = job->req.batch && step->id == 0;
    size_t n = whole ? job->n_slices : step->n_parts;

    p->slices = tug_ctl_alloc(a, n * sizeof *p->slices);
    p->addresses = tug_ctl_alloc(a, n * sizeof *p->addresses);
    for (size_t i = 0; i < n; i++) {
        uint32_t at = whole ? (uint32_t) i : step->parts[i].slice;
        const char *address = c->nodes[job->slices[at].node].address;

        if (!whole) {
            all[at]->first_rank = step->parts[i].first_rank;
            all[at]->ntasks = step->parts[i].ntasks;
        }
        if (job->slices[at].node == node) {
            p->node_index = (uint32_t) i;
            set_gpu_order(c, a, &job->slices[at], all[at]);
        }
        p->slices[p->n_slices++] = all[at];
        p->addresses[p->n_addresses++] = address ? (char *) address : (char *) "";
    }
}

/* A step does on a hang as its job, where it says nothing of its own. */
static void inherit_hang(struct tug_arena *a, const struct ctl_job *j, Tugpb__JobSpec *step)
{
    ProtobufCMessage *m = NULL;
    const Tugpb__JobSpec *job;

    if (tug_proto_decode(a, &tugpb__job_spec__descriptor, j->spec, j->spec_len, &m, NULL) != 0)
        return;
    job = (const Tugpb__JobSpec *) m;
    if (step->on_hang == TUGPB__ON_HANG__HANG_NOTIFY)
        step->on_hang = job->on_hang;
    if (!step->hang_timeout_s)
        step->hang_timeout_s = job->hang_timeout_s;
}

static Tugpb__JobSpec *spec_of(struct tug_arena *a, const struct ctl_job *j,
                               const struct ctl_step *s)
{
    ProtobufCMessage *m = NULL;
    const struct tug_blob *env = s->spec ? s->env : j->env;
    Tugpb__JobSpec *spec;
    int rc = tug_proto_decode(a, &tugpb__job_spec__descriptor, s->spec ? s->spec : j->spec,
                              s->spec ? s->spec_len : j->spec_len, &m, NULL);

    tug_assert(rc == 0); /* we packed it ourselves */
    spec = (Tugpb__JobSpec *) m;
    spec->env.data = (uint8_t *) tug_blob_data(env, &spec->env.len);
    if (!s->spec)
        spec->script.data = (uint8_t *) tug_blob_data(j->script, &spec->script.len);
    else
        inherit_hang(a, j, spec);
    return spec;
}

/* The same job, but what runs is a prober, on all nodes; its output is nobody's. */
static void fly_instead(struct tug_arena *a, const struct tug_job *job, const Tugpb__Inventory *inv,
                        Tugpb__JobSpec *spec)
{
    const struct tug_job_req *r = &job->req;
    int is_ours = r->preflight[0] != '/', gpus = r->gpus_per_node > 0 && inv && !inv->emulated;
    char *floor = tug_ctl_alloc(a, 24), *time = tug_ctl_alloc(a, 16);

    snprintf(floor, 24, "%llu", (unsigned long long) r->preflight_floor);
    snprintf(time, 16, "%u", r->preflight_s);
    spec->kind = TUGPB__JOB_KIND__JOB_GANG;
    spec->launcher = TUGPB__LAUNCHER__LAUNCHER_AUTO;
    spec->script.len = 0;
    spec->argv = tug_ctl_alloc(a, 5 * sizeof *spec->argv);
    spec->n_argv = 0;
    spec->argv[spec->n_argv++] = (char *) (!is_ours ? r->preflight : gpus ? "tug-probe-nccl" : "tug-probe-mpi");
    spec->argv[spec->n_argv++] = (char *) "--floor";
    spec->argv[spec->n_argv++] = floor;
    spec->argv[spec->n_argv++] = (char *) "--time";
    spec->argv[spec->n_argv++] = time;
    spec->stdout_path = (char *) "/dev/null";
    spec->stderr_path = spec->stdin_path = (char *) "";
    spec->interactive = 0;
    spec->label = 0;
}

static void set_payload(struct tug_control *c, struct tug_arena *a, const struct tug_job *job,
                        struct ctl_job *j, struct ctl_step *s, const struct tug_action *act,
                        Tugpb__StepPayload *p)
{
    const struct tug_step *step = tug_core_step(c->core, act->job, act->step);
    const struct ctl_node *n = &c->nodes[act->node];
    ProtobufCMessage *inv = NULL;

    p->cluster = c->cluster;
    p->spec = spec_of(a, j, s);
    p->user = j->user->name;
    p->home = j->user->home;
    p->shell = j->user->shell;
    p->uid = job->req.uid;
    p->gid = job->req.gid;
    set_slices(c, a, job, j, step, act->node, p);
    if (n->inventory_len && tug_proto_decode(a, &tugpb__inventory__descriptor, n->inventory,
                                             n->inventory_len, &inv, NULL) == 0) {
        p->nodes = tug_ctl_alloc(a, sizeof *p->nodes);
        p->nodes[p->n_nodes++] = (Tugpb__Inventory *) inv;
    }
    p->preflight = job->req.preflight_s && act->step == TUG_PREFLIGHT_STEP;
    if (p->preflight)
        fly_instead(a, job, (const Tugpb__Inventory *) inv, p->spec);
    p->gang_key.data = s->gang_key;
    p->gang_key.len = sizeof s->gang_key;
    p->nspace = s->nspace;
    p->launch_timeout_s = c->conf.launch_timeout_s;
    p->wireup_timeout_s =
        p->spec->wireup_timeout_s ? p->spec->wireup_timeout_s : c->conf.wireup_timeout_s;
    if (p->preflight && p->wireup_timeout_s > job->req.preflight_s)
        p->wireup_timeout_s = job->req.preflight_s;
    p->kill_grace_s = p->spec->kill_grace_s ? p->spec->kill_grace_s : c->conf.kill_grace_s;
    p->time_limit_s = job->req.time_limit_s;
    p->queue = (char *) job->req.queue;
    p->job_token = j->job_token;
}

static void parse_boot_id(const char *text, uint8_t out[16])
{
    size_t n = 0;

    memset(out, 0, 16);
    for (; *text && n < 32; text++) {
        int digit = *text >= '0' && *text <= '9'   ? *text - '0'
                    : *text >= 'a' && *text <= 'f' ? *text - 'a' + 10
                                                   : -1;

        if (digit < 0)
            continue;
        out[n / 2] = (uint8_t) (out[n / 2] << 4 | digit);
        n++;
    }
}

static void set_order(struct tug_control *c, const struct tug_job *job, const struct ctl_job *j,
                      const struct tug_action *act, struct tug_order *o)
{
    struct tug_core_node node;

    memset(o, 0, sizeof *o);
    tug_core_node(c->core, act->node, &node);
    tug_str_copy(o->cluster, sizeof o->cluster, c->cluster);
    tug_str_copy(o->node, sizeof o->node, node.name);
    parse_boot_id(c->nodes[act->node].boot_id, o->boot_id);
    o->epoch = c->epoch;
    o->job = act->job;
    o->attempt = act->attempt;
    o->step = act->step;
    o->uid = job->req.uid;
    o->gid = job->req.gid;
    o->n_gids = j->user->n_gids;
    memcpy(o->gids, j->user->gids, sizeof o->gids);
    for (size_t i = 0; i < job->n_slices; i++)
        if (job->slices[i].node == act->node) {
            o->gpus = tug_core_gpus_of(c->core, act->node, job->slices[i].gpus);
            o->cpus = job->slices[i].cpus;
            o->mem_bytes = job->slices[i].mem_bytes;
            if (i < j->n_masks)
                memcpy(o->cpu_mask, j->masks[i], CPU_MASK_LEN);
        }
    o->flags = job->req.requeue ? TUG_ORDER_REQUEUEABLE : 0;
    o->expires_wall_ms = tug_ctl_now(c) + TUG_ORDER_LIFE_MS;
}

void tug_ctl_order_launch(struct tug_control *c, const struct tug_action *act)
{
    const struct tug_job *job = tug_core_job(c->core, act->job);
    struct ctl_job *j = tug_ctl_job(c, act->job);
    tug_peer_id peer = peer_of(c, act->node);
    struct tug_arena a = {.budget_bytes = 1 << 30};
    Tugpb__StepLaunch m = TUGPB__STEP_LAUNCH__INIT;
    Tugpb__StepPayload p = TUGPB__STEP_PAYLOAD__INIT;
    struct tug_order o;
    uint8_t order[TUG_ORDER_LEN];
    Tugpb__StepKey key;
    struct ctl_step *s;
    int rc;

    if (!job || !j)
        return;
    if (act->step == TUG_VISIT_STEP) {
        tug_ctl_order_visit(c, act, 0);
        return;
    }
    tug_ctl_cpus_take(c, j, job);
    s = side_of(c, j, act->attempt, act->step);
    if (!peer)
        return; /* told again when it comes back */
    set_key(&key, act);
    p.key = &key;
    set_payload(c, &a, job, j, s, act, &p);
    set_order(c, job, j, act, &o);
    rc = tug_order_pack(&o, order, NULL);
    tug_assert(rc == 0);
    m.epoch = c->epoch;
    m.commit = tug_ctl_commits_of_order(c);
    m.key = &key;
    m.order.data = order;
    m.order.len = sizeof order;
    m.requeueable = job->req.requeue;
    m.payload.len = tugpb__step_payload__get_packed_size(&p);
    m.payload.data = tug_xmalloc(m.payload.len);
    tugpb__step_payload__pack(&p, m.payload.data);
    tug_outbox_send(c->out, peer, TUG_MSG_STEP_LAUNCH, 0, &m.base);
    free(m.payload.data);
    tug_arena_clear(&a);
}

void tug_ctl_order_start(struct tug_control *c, const struct tug_action *act)
{
    const struct tug_job *job = tug_core_job(c->core, act->job);
    const struct tug_step *step = tug_core_step(c->core, act->job, act->step);
    struct ctl_job *j = tug_ctl_job(c, act->job);
    struct ctl_step *s = j ? tug_ctl_step(j, act->step) : NULL;
    Tugpb__StepStart m = TUGPB__STEP_START__INIT;
    Tugpb__StepKey key;
    const char *head;

    if (!job || !step || !s || step->n_parts == 0)
        return;
    if (step->n_parts > 1 && !s->star_addr)
        return; /* told when the head has said where it is (nodes.c) */
    head = c->nodes[job->slices[step->parts[0].slice].node].address;
    set_key(&key, act);
    m.epoch = c->epoch;
    m.commit = tug_ctl_commits_of_order(c);
    m.key = &key;
    m.star_addr = s->star_addr ? s->star_addr : (char *) "";
    m.master_addr = head ? (char *) head : (char *) "";
    m.master_port = s->master_port;
    tug_outbox_send(c->out, peer_of(c, act->node), TUG_MSG_STEP_START, 0, &m.base);
}

void tug_ctl_order_kill(struct tug_control *c, const struct tug_action *act)
{
    Tugpb__StepKill m = TUGPB__STEP_KILL__INIT;
    Tugpb__StepKey key;

    if (act->step == TUG_VISIT_STEP) {
        tug_ctl_order_visit(c, act, 1);
        return;
    }
    set_key(&key, act);
    m.epoch = c->epoch;
    m.commit = tug_ctl_commits_of_order(c);
    m.key = &key;
    m.grace_s = act->grace_s;
    m.why = (char *) act->text;
    tug_outbox_send(c->out, peer_of(c, act->node), TUG_MSG_STEP_KILL, 0, &m.base);
}

void tug_ctl_order_signal(struct tug_control *c, const struct tug_action *act)
{
    Tugpb__StepSignal m = TUGPB__STEP_SIGNAL__INIT;
    Tugpb__StepKey key;

    set_key(&key, act);
    m.epoch = c->epoch;
    m.commit = tug_ctl_commits_of_order(c);
    m.key = &key;
    m.signal = act->signal;
    m.serial = act->serial;
    tug_outbox_send(c->out, peer_of(c, act->node), TUG_MSG_STEP_SIGNAL, 0, &m.base);
}

void tug_ctl_order_ack(struct tug_control *c, const struct tug_action *act)
{
    Tugpb__StepAck m = TUGPB__STEP_ACK__INIT;
    Tugpb__StepKey key;

    set_key(&key, act);
    m.epoch = c->epoch;
    m.commit = tug_ctl_commits_of_order(c);
    m.key = &key;
    tug_outbox_send(c->out, peer_of(c, act->node), TUG_MSG_STEP_ACK, 0, &m.base);
}
