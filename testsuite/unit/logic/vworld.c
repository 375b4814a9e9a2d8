/* vworld.c - a controller and some nodes in one process, under a virtual clock
 *
 * One heap of things that will happen, ordered by time and then by the order they were said in; a message is packed
 * when sent and unpacked when it arrives, as on a wire. Layer: tests.
 */
#include "vworld.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/mem.h"
#include "base/rand.h"
#include "base/vec.h"
#include "logic/lineage.h"
#include "proto/launch.pb-c.h"
#include "proto/record.pb-c.h"
#include "proto/step.pb-c.h"

enum what { W_MSG_TO_CONTROL, W_MSG_TO_AGENT, W_MSG_TO_LAUNCHER, W_MSG_TO_STEPD, W_MSG_TO_CLIENT, W_PERSISTED,
            W_STEPD_UP, W_STEPD_READY, W_RANKS_EXIT, W_RANKS_DIE, W_CONNECT };

static const char *const whats[] = {"to control from", "to agent", "to launcher", "to stepd of", "to client"};

struct due {
    int64_t at_ms;
    uint64_t seq;
    enum what what;
    unsigned node;                 /* 0 = controller, 1.. = nodes */
    unsigned life;                 /* of the process it is meant for; an older one never sees it */
    tug_peer_id peer;
    uint16_t number;
    uint32_t rid;
    uint8_t *body; size_t len;
    struct tug_batch *batch;
    uint64_t ticket;
    uint64_t stepd;
};

/* A step daemon with its ranks. */
struct stepd {
    uint64_t id;
    unsigned node;
    uint64_t job; uint32_t attempt, step;
    int requeueable, ready, running, done, stopped;
    tug_peer_id peer;              /* at the agent; 0 = not connected */
    int signal;
};

struct record { char key[160]; void *data; size_t len; UT_hash_handle hh; };

struct proc {                      /* a controller or an agent */
    struct vworld *w;
    unsigned index;                /* 0 = controller */
    unsigned life;
    struct tug_agent *agent;
    struct record *disk, *kept;    /* kept: a backup */
    int64_t timer_ms;
    int deaf;                      /* its step daemons never say that their ranks are stopped */
    int64_t ahead_ms;              /* its clock, of ours */
    tug_peer_id link;              /* to the other side; 0 = cut */
    int cut, mute;
    uint64_t next_pid;
    int64_t lease_until_ms;
    struct due hello;              /* the last one that arrived */
    int64_t ready_ms;
    int exit_code;
};

struct vworld {
    int64_t now_ms;
    uint64_t seq;
    struct tug_vec(struct due) dues;
    struct tug_control *control;
    struct proc procs[VW_NODES_MAX + 1];
    Tugpb__Machine *links[VW_NODES_MAX + 1];
    char gpu_order[256], command[512];   /* of the step that was launched last */
    const char *preflight;         /* of jobs that are submitted from now on */
    const char *requeue_on;
    uint32_t requeue_delay_s, time_limit_s;
    int64_t begin_ms;
    int hold;                      /* jobs that are submitted from now on are held */
    uint32_t uid; const char *user;/* who the client is */
    struct tug_buf holds;          /* rows of the durable history about holds */
    int64_t wall_ms;               /* so far ahead of us the wall clock of the controller's machine is */
    uint64_t boot;                 /* of that machine */
    unsigned n_nodes;
    uint32_t node_timeout_s, lease_s;
    unsigned n_taken_out;
    int64_t run_ms;
    struct tug_core_queue low;     /* how jobs of queue "main" give way to those of "urgent" */
    struct tug_vec(struct stepd) stepds;
    struct tug_vec(struct vw_reply) replies;   /* index = rid - 1 */
    tug_peer_id client, next_peer;
    struct tug_rand rand;
    unsigned max_attempts, blind_starts;
    int64_t disk_ms;               /* a commit of the controller takes so long */
    const char *full;              /* the controller's disk has no room, and says so; NULL: it has */
    uint32_t master_port;          /* that the last started step daemon was told */
};

/* ---- what will happen */

static struct due *later(struct vworld *w, int64_t in_ms, enum what what, unsigned node)
{
    struct due d = {.at_ms = w->now_ms + in_ms, .seq = ++w->seq, .what = what, .node = node, .life = w->procs[node].life};

    tug_vec_push(&w->dues, d);
    return &w->dues.at[w->dues.len - 1];
}

static void set_body(struct due *d, uint16_t number, uint32_t rid, const ProtobufCMessage *m)
{
    d->number = number;
    d->rid = rid;
    d->len = protobuf_c_message_get_packed_size(m);
    d->body = tug_xmalloc(d->len ? d->len : 1);
    protobuf_c_message_pack(m, d->body);
}

/* ---- the env of controller and agents */

static int64_t env_now(void *ctx) { return ((struct proc *) ctx)->w->now_ms + ((struct proc *) ctx)->ahead_ms; }

static void env_timer(void *ctx, int64_t at_ms)
{
    struct proc *p = ctx;

    p->timer_ms = at_ms == INT64_MAX ? INT64_MAX : at_ms - p->ahead_ms;
}

static void env_random(void *ctx, void *out, size_t len)
{
    struct vworld *w = ((struct proc *) ctx)->w;

    for (size_t i = 0; i < len; i++)
        ((uint8_t *) out)[i] = (uint8_t) tug_rand_u64(&w->rand);
}

static void env_persist(void *ctx, struct tug_batch *b, uint64_t ticket)
{
    struct proc *p = ctx;
    struct due *d = later(p->w, p->index ? DISK_MS : p->w->disk_ms, W_PERSISTED, p->index);

    d->batch = b;
    d->ticket = ticket;
}

/* An agent that closes it itself knows, and is not told. */
static void close_link(struct vworld *w, unsigned node, int tell_agent)
{
    struct proc *p = &w->procs[node];
    tug_peer_id link = p->link;

    if (!link)
        return;
    p->link = 0;
    if (w->control)
        tug_control_peer_down(w->control, link);
    if (p->agent && tell_agent)
        tug_agent_controller_down(p->agent, link);
    later(w, 100, W_CONNECT, node);
}

static void end_link(struct vworld *w, unsigned node)
{
    close_link(w, node, 1);
}

static struct stepd *stepd_by_peer(struct vworld *w, unsigned node, tug_peer_id peer)
{
    for (size_t i = 0; i < w->stepds.len; i++)
        if (w->stepds.at[i].node == node && w->stepds.at[i].peer == peer && peer)
            return &w->stepds.at[i];
    return NULL;
}

static void control_send(void *ctx, tug_peer_id peer, enum tug_msg number, uint32_t rid, const ProtobufCMessage *m)
{
    struct vworld *w = ((struct proc *) ctx)->w;

    if (peer == w->client && m) {
        set_body(later(w, HOP_MS, W_MSG_TO_CLIENT, 0), (uint16_t) number, rid, m);
        return;
    }
    for (unsigned i = 1; i <= w->n_nodes; i++)
        if (w->procs[i].link == peer && peer) {
            if (m) {
                struct due *d = later(w, HOP_MS, W_MSG_TO_AGENT, i);
                static uint8_t signature[64]; /* the host's part; the launchers here don't look */

                if (number == TUG_MSG_STEP_LAUNCH) {
                    ((Tugpb__StepLaunch *) m)->signature.data = signature;
                    ((Tugpb__StepLaunch *) m)->signature.len = sizeof signature;
                }

                d->peer = peer;
                set_body(d, (uint16_t) number, rid, m);
            } else {
                end_link(w, i);
            }
        }
}

static void control_send_packed(void *ctx, tug_peer_id peer, enum tug_msg number, uint32_t rid, const void *body, size_t len)
{
    ProtobufCMessage *m = protobuf_c_message_unpack(tug_msg_info((uint16_t) number)->desc, NULL, len, body);

    control_send(ctx, peer, number, rid, m);
    if (number == TUG_MSG_STEP_LAUNCH)
        ((Tugpb__StepLaunch *) m)->signature.len = 0, ((Tugpb__StepLaunch *) m)->signature.data = NULL;
    protobuf_c_message_free_unpacked(m, NULL);
}

static void agent_send(void *ctx, tug_peer_id peer, enum tug_msg number, uint32_t rid, const ProtobufCMessage *m)
{
    struct proc *p = ctx;
    struct vworld *w = p->w;
    struct due *d;

    if (peer == TUG_PEER_LAUNCHER) {
        set_body(later(w, HOP_MS, W_MSG_TO_LAUNCHER, p->index), (uint16_t) number, rid, m);
    } else if (peer == p->link && peer) {
        if (!m) {
            close_link(w, p->index, 0);
            return;
        }
        if (p->mute)
            return;
        d = later(w, HOP_MS, W_MSG_TO_CONTROL, p->index);
        d->peer = peer;
        set_body(d, (uint16_t) number, rid, m);
    } else {
        struct stepd *s = stepd_by_peer(w, p->index, peer);

        if (!s)
            return;
        if (!m) {
            s->peer = 0;
            return;
        }
        d = later(w, HOP_MS, W_MSG_TO_STEPD, p->index);
        d->stepd = s->id;
        set_body(d, (uint16_t) number, rid, m);
    }
}

static void agent_send_packed(void *ctx, tug_peer_id peer, enum tug_msg number, uint32_t rid, const void *body, size_t len)
{
    ProtobufCMessage *m = protobuf_c_message_unpack(tug_msg_info((uint16_t) number)->desc, NULL, len, body);

    agent_send(ctx, peer, number, rid, m);
    protobuf_c_message_free_unpacked(m, NULL);
}

static struct tug_env env_of(struct proc *p)
{
    return (struct tug_env){.ctx = p,
                            .now = env_now,
                            .timer = env_timer,
                            .send = p->index ? agent_send : control_send,
                            .send_packed = p->index ? agent_send_packed : control_send_packed,
                            .persist = env_persist,
                            .random = env_random};
}

/* ---- disks */

/* "hold 7 user by ada (1000): why" */
static void note_hold(struct vworld *w, const struct tug_history_row *row)
{
    Tugpb__JobHold *m;

    if (strcmp(row->what, "hold") != 0 && strcmp(row->what, "release") != 0)
        return;
    m = tugpb__job_hold__unpack(NULL, row->view_len, row->view);
    tug_buf_addf(&w->holds, "%s %llu %s by %s (%u)%s%s\n", row->what, (unsigned long long) row->job, m->by, m->user, m->uid,
                 m->why[0] ? ": " : "", m->why);
    tugpb__job_hold__free_unpacked(m, NULL);
}

static void disk_apply(struct proc *p, const struct tug_batch *b)
{
    struct tug_batch_item it;
    size_t pos = 0;

    while (tug_batch_next(b, &pos, &it)) {
        struct record *r;
        char key[160];

        if (it.op == TUG_BATCH_HISTORY) {
            note_hold(p->w, &it.row);
            continue;
        }
        snprintf(key, sizeof key, "%s/%s", it.kind, it.id);
        HASH_FIND_STR(p->disk, key, r);
        if (r) {
            HASH_DEL(p->disk, r);
            free(r->data);
            free(r);
        }
        if (it.op == TUG_BATCH_DEL)
            continue;
        r = tug_new(struct record);
        memcpy(r->key, key, sizeof key);
        r->data = tug_xmemdup(it.data, it.len);
        r->len = it.len;
        HASH_ADD_STR(p->disk, key, r);
    }
}

static void records_free(struct record **of)
{
    struct record *r, *next;

    HASH_ITER(hh, *of, r, next)
    {
        HASH_DEL(*of, r);
        free(r->data);
        free(r);
    }
}

static void records_copy(struct record **to, const struct record *from)
{
    records_free(to);
    for (const struct record *r = from; r; r = r->hh.next) {
        struct record *copy = tug_new(struct record);

        memcpy(copy->key, r->key, sizeof copy->key);
        copy->data = tug_xmemdup(r->data, r->len);
        copy->len = r->len;
        HASH_ADD_STR(*to, key, copy);
    }
}

static void disk_free(struct proc *p)
{
    records_free(&p->disk);
    records_free(&p->kept);
}

static int by_key(const struct record *a, const struct record *b)
{
    return strcmp(a->key, b->key);
}

static int by_key_backwards(const struct record *a, const struct record *b)
{
    return strcmp(b->key, a->key);
}

void vw_sort_disk(struct vworld *w, int backwards)
{
    if (backwards)
        HASH_SORT(w->procs[0].disk, by_key_backwards);
    else
        HASH_SORT(w->procs[0].disk, by_key);
}

void vw_backup(struct vworld *w)
{
    records_copy(&w->procs[0].kept, w->procs[0].disk);
}

void vw_put_back(struct vworld *w, enum vw_put_back how)
{
    struct tug_lineage replaced;
    struct tug_buf marked = {0};
    struct record *meta;

    tug_assert(!w->control);
    HASH_FIND_STR(w->procs[0].disk, "meta/cluster", meta);
    tug_assert(tug_lineage_read(meta->data, meta->len, &replaced, NULL) == 0);
    records_copy(&w->procs[0].disk, w->procs[0].kept);
    if (how == VW_BY_HAND)
        return;
    HASH_FIND_STR(w->procs[0].disk, "meta/cluster", meta);
    tug_assert(tug_lineage_mark(&marked, meta->data, meta->len, "put back from a backup",
                                how == VW_RESTORED ? &replaced : NULL, NULL) == 0);
    free(meta->data);
    meta->len = marked.len;
    meta->data = tug_xmemdup(marked.data, marked.len);
    tug_buf_clear(&marked);
}

/* ---- life of the processes */

static void restore(struct proc *p)
{
    struct record *r, *next;

    HASH_ITER(hh, p->disk, r, next)
    {
        char kind[160], *slash;
        struct tug_err err = {0};
        int rc;

        snprintf(kind, sizeof kind, "%s", r->key);
        slash = strchr(kind, '/');
        *slash = '\0';
        rc = p->index ? tug_agent_restore(p->agent, kind, slash + 1, r->data, r->len, &err)
                      : tug_control_restore(p->w->control, kind, slash + 1, r->data, r->len, &err);
        if (rc) {
            fprintf(stderr, "restore of %s: %s\n", r->key, err.msg);
            abort();
        }
    }
}

/* Whoever fits starts, the others have others give way. */
static int push_pass(void *self, const struct tug_policy_view *v, const struct tug_policy_host *host,
                     struct tug_policy_pass *p)
{
    uint64_t victims[16];

    (void) self;
    for (size_t i = 0; i < v->n_waiting; i++) {
        uint64_t id = TUG_POLICY_WAITING(v, i)->id;
        int n = host->start(p, id) == 0 ? -1 : host->victims(p, id, victims, 16);

        if (n >= 0 && n <= 16)
            host->preempt(p, id, victims, (size_t) n);
    }
    return 0;
}

static const struct tug_policy_ops push = {
    .size = sizeof push, .abi = TUG_POLICY_ABI, .name = "push", .pass = push_pass};

void vw_be(struct vworld *w, uint32_t uid, const char *user)
{
    struct tug_control_peer who = {.role = TUG_ROLE_USER, .uid = uid, .gid = uid, .user = user, .home = "/home/ada",
                                   .shell = "/bin/sh"};

    w->uid = uid;
    w->user = user;
    w->client = ++w->next_peer;
    tug_control_peer_up(w->control, w->client, &who);
}

void vw_start_control(struct vworld *w)
{
    struct tug_core_queue queues[] = {w->low, {.name = "urgent", .nodes = "", .tier = 1}};
    const struct tug_policy_set set = {{{&push, NULL}}, 1};
    struct tug_core_node_row rows[VW_NODES_MAX];
    char names[VW_NODES_MAX][16];
    struct tug_control_conf conf = {.cluster = "virtual", .version = "test", .node_timeout_s = w->node_timeout_s,
                                    .lease_s = w->lease_s, .wireup_timeout_s = 60, .kill_grace_s = 1, .max_jobs = 1000, .max_env_bytes = 1 << 20, .max_script_bytes = 4 << 20,
                                    .operator_uid = 1000, .min_uid = 1000};
    struct tug_env env = env_of(&w->procs[0]);
    struct tug_err err = {0};

    for (unsigned i = 0; i < w->n_nodes; i++) {
        snprintf(names[i], sizeof names[i], "n%u", i + 1);
        rows[i] = (struct tug_core_node_row){.name = names[i], .gpu_model = ""};
    }
    conf.core = (struct tug_core_conf){.launch_timeout_s = 10, .kill_grace_s = 1, .launch_retries = 3, .kept_ms = 300000,
                                       .preemption = TUG_PREEMPTION_TIER,
                                       .link_failures = 2, .link_period_s = 86400, .link_peers = 3,
                                       .queues = queues, .n_queues = 2, .nodes = rows, .n_nodes = w->n_nodes - w->n_taken_out};
    w->procs[0].life++;
    w->procs[0].timer_ms = INT64_MAX;
    w->procs[0].ahead_ms = w->wall_ms;
    conf.clock_boot = w->boot;
    conf.clock_zero_ms = w->wall_ms;
    w->control = tug_control_new(&env, &conf, &err);
    if (!w->control) {
        fprintf(stderr, "control: %s\n", err.msg);
        abort();
    }
    restore(&w->procs[0]);
    if (tug_control_start(w->control, &err) != 0) {
        fprintf(stderr, "control: %s\n", err.msg);
        abort();
    }
    if (w->low.preemptable)
        tug_control_set_policy(w->control, "push", &set, "");
    vw_be(w, w->uid ? w->uid : 1000, w->uid ? w->user : "ada");
    for (unsigned i = 1; i <= w->n_nodes; i++)
        later(w, HOP_MS, W_CONNECT, i);
}

void vw_crash_control(struct vworld *w)
{
    w->procs[0].life++;
    w->procs[0].timer_ms = INT64_MAX;
    tug_control_free(w->control);
    w->control = NULL;
    for (unsigned i = 1; i <= w->n_nodes; i++)
        end_link(w, i);
}

void vw_set_links(struct vworld *w, unsigned node, Tugpb__Machine *links)
{
    w->links[node] = links;
}

static void start_agent(struct vworld *w, unsigned node)
{
    struct proc *p = &w->procs[node];
    struct tug_env env = env_of(p);
    Tugpb__Inventory inv = TUGPB__INVENTORY__INIT;
    char name[16], boot[33];
    struct tug_agent_conf conf = {.node = name, .boot_id = boot, .version = "test", .address = "127.0.0.1", .inventory = &inv};

    snprintf(name, sizeof name, "n%u", node);
    snprintf(boot, sizeof boot, "%032x", node);
    inv.cpus = 8;
    inv.gpus = 8;
    inv.mem_bytes = 1ULL << 34;
    inv.emulated = 1;
    inv.links = w->links[node];
    p->life++;
    p->timer_ms = INT64_MAX;
    p->agent = tug_agent_new(&env, &conf);
    restore(p);
    tug_agent_start(p->agent);
    later(w, HOP_MS, W_CONNECT, node);
}

void vw_restart_agent(struct vworld *w, unsigned node)
{
    struct proc *p = &w->procs[node];

    if (p->link && w->control)
        tug_control_peer_down(w->control, p->link);
    p->link = 0;
    tug_agent_free(p->agent);
    start_agent(w, node);
    for (size_t i = 0; i < w->stepds.len; i++)
        if (w->stepds.at[i].node == node) {
            w->stepds.at[i].peer = 0;
            later(w, 50, W_STEPD_UP, node)->stepd = w->stepds.at[i].id;
        }
}

struct vworld *vw_new(unsigned n_nodes, uint32_t node_timeout_s, uint32_t lease_s)
{
    struct vworld *w = tug_new(struct vworld);

    w->n_nodes = n_nodes;
    w->node_timeout_s = node_timeout_s;
    w->disk_ms = DISK_MS;
    w->lease_s = lease_s;
    w->run_ms = 1000;
    w->low = (struct tug_core_queue){.name = "main", .nodes = "", .is_default = 1};
    w->now_ms = VW_T0;
    w->boot = 1;
    w->rand = tug_rand_seed(7);
    for (unsigned i = 0; i <= n_nodes; i++) {
        w->procs[i].w = w;
        w->procs[i].index = i;
        w->procs[i].timer_ms = INT64_MAX;
        w->procs[i].ready_ms = READY_MS;
        w->procs[i].next_pid = 1000 * i + 100;
    }
    vw_start_control(w);
    for (unsigned i = 1; i <= n_nodes; i++)
        start_agent(w, i);
    return w;
}

void vw_free(struct vworld *w)
{
    tug_control_free(w->control);
    for (unsigned i = 0; i <= w->n_nodes; i++) {
        tug_agent_free(w->procs[i].agent);
        disk_free(&w->procs[i]);
        free(w->procs[i].hello.body);
    }
    for (size_t i = 0; i < w->dues.len; i++) {
        free(w->dues.at[i].body);
        tug_batch_free(w->dues.at[i].batch);
    }
    for (size_t i = 0; i < w->replies.len; i++)
        if (w->replies.at[i].m)
            protobuf_c_message_free_unpacked(w->replies.at[i].m, NULL);
    tug_buf_clear(&w->holds);
    tug_vec_clear(&w->dues);
    tug_vec_clear(&w->stepds);
    tug_vec_clear(&w->replies);
    free(w);
}

/* ---- the launcher and the step daemons */

static struct stepd *stepd_by_key(struct vworld *w, unsigned node, const Tugpb__StepKey *k)
{
    for (size_t i = 0; i < w->stepds.len; i++) {
        struct stepd *s = &w->stepds.at[i];

        if (s->node == node && s->job == k->job && s->attempt == k->attempt && s->step == k->step)
            return s;
    }
    return NULL;
}

static struct stepd *stepd_by_id(struct vworld *w, uint64_t id)
{
    for (size_t i = 0; i < w->stepds.len; i++)
        if (w->stepds.at[i].id == id)
            return &w->stepds.at[i];
    return NULL;
}

static void set_key(const struct stepd *s, Tugpb__StepKey *k)
{
    tugpb__step_key__init(k);
    k->job = s->job;
    k->attempt = s->attempt;
    k->step = s->step;
}

/* As it would arrive from the launcher or a step daemon, at once. */
static void tell_agent(struct vworld *w, unsigned node, tug_peer_id peer, enum tug_msg number, const ProtobufCMessage *m)
{
    struct due *d = later(w, HOP_MS, W_MSG_TO_AGENT, node);

    d->peer = peer;
    set_body(d, (uint16_t) number, 0, m);
}

static void step_gone(struct vworld *w, struct stepd *s, int wait_status)
{
    Tugpb__LnGone m = TUGPB__LN_GONE__INIT;
    Tugpb__StepKey k;
    struct proc *p = &w->procs[s->node];

    set_key(s, &k);
    m.key = &k;
    m.wait_status = wait_status;
    if (s->peer && p->agent)
        tug_agent_stepd_down(p->agent, s->peer);
    tell_agent(w, s->node, TUG_PEER_LAUNCHER, TUG_MSG_LN_GONE, &m.base);
    tug_vec_remove(&w->stepds, (size_t) (s - w->stepds.at));
}

static void count_attempts(struct vworld *w, uint64_t job)
{
    unsigned n = 0;

    for (uint32_t attempt = 1; attempt < 20; attempt++)
        n += vw_running(w, job, attempt) > 0;
    w->max_attempts = n > w->max_attempts ? n : w->max_attempts;
}

/* What does not fit is cut off: jobs may have longer commands than tests look at. */
static void append(char *text, size_t size_bytes, const char *before, const char *word)
{
    size_t len = strlen(text);

    snprintf(text + len, size_bytes - len, "%s%s", before, word);
}

static void keep_payload(struct vworld *w, ProtobufCBinaryData payload)
{
    Tugpb__StepPayload *p = tugpb__step_payload__unpack(NULL, payload.len, payload.data);
    const Tugpb__Slice *s = p->slices[p->node_index];
    char number[16];

    w->command[0] = 0;
    for (size_t i = 0; i < p->spec->n_argv; i++)
        append(w->command, sizeof w->command, i ? " " : p->preflight ? "PREFLIGHT " : "", p->spec->argv[i]);
    w->gpu_order[0] = 0;
    for (size_t i = 0; i < s->gpu_order.len; i++) {
        snprintf(number, sizeof number, "%u", s->gpu_order.data[i]);
        append(w->gpu_order, sizeof w->gpu_order, i ? " " : "", number);
    }
    tugpb__step_payload__free_unpacked(p, NULL);
}

static void launcher(struct vworld *w, unsigned node, uint16_t number, const ProtobufCMessage *m)
{
    struct proc *p = &w->procs[node];
    struct stepd fresh = {.id = ++w->seq, .node = node};
    Tugpb__LnStarted started = TUGPB__LN_STARTED__INIT;
    Tugpb__LnHeld held = TUGPB__LN_HELD__INIT;
    Tugpb__StepKey k;
    struct stepd *s;

    if (number == TUG_MSG_LN_LIST) {
        Tugpb__LnStarted all[16], *ptr[16];
        Tugpb__StepKey keys[16];

        held.steps = ptr;
        for (size_t i = 0; i < w->stepds.len && held.n_steps < 16; i++) {
            s = &w->stepds.at[i];
            if (s->node != node)
                continue;
            tugpb__ln_started__init(&all[held.n_steps]);
            set_key(s, &keys[held.n_steps]);
            all[held.n_steps].key = &keys[held.n_steps];
            all[held.n_steps].pid = (uint32_t) s->id;
            all[held.n_steps].uid = 1000;
            all[held.n_steps].requeueable = s->requeueable;
            ptr[held.n_steps] = &all[held.n_steps];
            held.n_steps++;
        }
        held.lease_until_ms = p->lease_until_ms;
        tell_agent(w, node, TUG_PEER_LAUNCHER, TUG_MSG_LN_HELD, &held.base);
    } else if (number == TUG_MSG_LN_LEASE) {
        p->lease_until_ms = ((const Tugpb__LnLease *) m)->until_ms;
    } else if (number == TUG_MSG_LN_START) {
        const Tugpb__LnStart *start = (const Tugpb__LnStart *) m;

        fresh.job = start->key->job;
        fresh.attempt = start->key->attempt;
        fresh.step = start->key->step;
        keep_payload(w, start->payload);
        tug_vec_push(&w->stepds, fresh);
        set_key(&fresh, &k);
        started.key = &k;
        started.pid = (uint32_t) fresh.id;
        started.uid = 1000;
        tell_agent(w, node, TUG_PEER_LAUNCHER, TUG_MSG_LN_STARTED, &started.base);
        later(w, 2, W_STEPD_UP, node)->stepd = fresh.id;
        if (p->ready_ms != INT64_MAX)
            later(w, p->ready_ms, W_STEPD_READY, node)->stepd = fresh.id;
    } else if (number == TUG_MSG_LN_KILL) {
        s = stepd_by_key(w, node, ((const Tugpb__LnKill *) m)->key);
        if (s)
            step_gone(w, s, 9);
    }
}

static void say_ready(struct vworld *w, struct stepd *s)
{
    Tugpb__SdReady ready = TUGPB__SD_READY__INIT;
    Tugpb__StepReady r = TUGPB__STEP_READY__INIT;
    Tugpb__StepKey k;
    char star[32];

    set_key(s, &k);
    r.key = &k;
    snprintf(star, sizeof star, "127.0.0.1:%u", 4000 + s->node); /* a real one that is not the head says nothing */
    r.star_addr = star;
    r.master_port = 61000 + s->node;
    ready.ready = &r;
    tell_agent(w, s->node, s->peer, TUG_MSG_SD_READY, &ready.base);
}

static void say_hello(struct vworld *w, struct stepd *s)
{
    Tugpb__SdHello hello = TUGPB__SD_HELLO__INIT;
    Tugpb__StepKey k;

    set_key(s, &k);
    hello.key = &k;
    hello.phase = s->done ? TUGPB__STEP_PHASE__STEP_DONE
                  : s->running ? TUGPB__STEP_PHASE__STEP_RUNNING
                  : s->ready ? TUGPB__STEP_PHASE__STEP_READY : TUGPB__STEP_PHASE__STEP_STARTING;
    tell_agent(w, s->node, s->peer, TUG_MSG_SD_HELLO, &hello.base);
    if (s->ready)
        say_ready(w, s);
}

void vw_say_hang(struct vworld *w, unsigned node, uint64_t job, const char *text)
{
    Tugpb__SdWatch m = TUGPB__SD_WATCH__INIT;
    Tugpb__Hang h = TUGPB__HANG__INIT;

    h.kind = (char *) (uintptr_t) (*text ? "stopped" : "");
    h.text = (char *) (uintptr_t) text;
    h.node = (char *) "n2";
    h.rank = 1;
    h.ranks = 1;
    m.hang = &h;
    for (size_t i = 0; i < w->stepds.len; i++)
        if (w->stepds.at[i].job == job && w->stepds.at[i].node == node && w->stepds.at[i].peer)
            tell_agent(w, node, w->stepds.at[i].peer, TUG_MSG_SD_WATCH, &m.base);
}

void vw_say_lost(struct vworld *w, unsigned node, uint64_t job, const char *peer)
{
    vw_say_pair(w, node, job, "", peer);
}

void vw_say_pair(struct vworld *w, unsigned node, uint64_t job, const char *lost_by, const char *peer)
{
    Tugpb__SdFailure m = TUGPB__SD_FAILURE__INIT;
    Tugpb__Cause cause = TUGPB__CAUSE__INIT;

    cause.kind = (char *) "link";
    cause.node = (char *) (uintptr_t) lost_by;
    cause.peer = (char *) (uintptr_t) peer;
    cause.text = (char *) "nodes lost each other: its machine has answered nothing for 15 s";
    m.cause = &cause;
    for (size_t i = 0; i < w->stepds.len; i++)
        if (w->stepds.at[i].job == job && w->stepds.at[i].node == node && w->stepds.at[i].peer)
            tell_agent(w, node, w->stepds.at[i].peer, TUG_MSG_SD_FAILURE, &m.base);
}

static void say_result(struct vworld *w, struct stepd *s)
{
    Tugpb__SdResult m = TUGPB__SD_RESULT__INIT;
    Tugpb__StepResult r = TUGPB__STEP_RESULT__INIT;
    Tugpb__ExitInfo e = TUGPB__EXIT_INFO__INIT, *exits[1] = {&e};
    Tugpb__Cause cause = TUGPB__CAUSE__INIT;
    Tugpb__StepKey k;

    if (!s->peer)
        return;
    set_key(s, &k);
    r.key = &k;
    r.exits = exits;
    r.n_exits = 1;
    e.signal = s->signal;
    if (!s->signal)
        e.exit_code = w->procs[s->node].exit_code;
    if (e.exit_code) {
        cause.kind = (char *) "rank";
        cause.rank = s->node - 1;
        cause.exit = &e;
        cause.text = (char *) "rank exited";
        r.cause = &cause;
    }
    m.result = &r;
    tell_agent(w, s->node, s->peer, TUG_MSG_SD_RESULT, &m.base);
}

static void stepd_message(struct vworld *w, struct stepd *s, uint16_t number, const ProtobufCMessage *m)
{
    Tugpb__SdStopped stopped = TUGPB__SD_STOPPED__INIT;

    if (number == TUG_MSG_SD_START && !s->running && !s->done) {
        s->running = 1;
        w->master_port = ((const Tugpb__SdStart *) m)->master_port;
        count_attempts(w, s->job);
        if (w->run_ms != INT64_MAX)
            later(w, w->run_ms, W_RANKS_EXIT, s->node)->stepd = s->id;
    } else if (number == TUG_MSG_SD_SIGNAL && s->running) {
        int signo = ((const Tugpb__SdSignal *) m)->signal;

        s->stopped = signo == SIGSTOP || (s->stopped && signo != SIGCONT);
        stopped.serial = ((const Tugpb__SdSignal *) m)->serial;
        if (signo == SIGSTOP && stopped.serial && !w->procs[s->node].deaf)
            tell_agent(w, s->node, s->peer, TUG_MSG_SD_STOPPED, &stopped.base);
    } else if (number == TUG_MSG_SD_KILL && !s->done) {
        later(w, 10, W_RANKS_DIE, s->node)->stepd = s->id;
    } else if (number == TUG_MSG_SD_RESULT_ACK) {
        step_gone(w, s, 0);
    }
}

static void on_stepd_due(struct vworld *w, const struct due *d, const ProtobufCMessage *m)
{
    struct stepd *s = stepd_by_id(w, d->stepd);

    if (!s)
        return;
    switch (d->what) {
    case W_STEPD_UP:
        if (!w->procs[s->node].agent || s->peer)
            return;
        s->peer = ++w->next_peer;
        tug_agent_stepd_up(w->procs[s->node].agent, s->peer, (uint32_t) s->id, 1000);
        say_hello(w, s);
        if (s->done)
            say_result(w, s);
        return;
    case W_STEPD_READY:
        s->ready = 1;
        if (s->peer)
            say_ready(w, s);
        return;
    case W_RANKS_EXIT:
    case W_RANKS_DIE:
        if (s->done)
            return;
        s->signal = d->what == W_RANKS_DIE ? 15 : 0;
        s->running = 0;
        s->done = 1;
        say_result(w, s);
        return;
    case W_MSG_TO_STEPD:
        stepd_message(w, s, d->number, m);
        return;
    default:
        return;
    }
}

/* ---- delivery */

static tug_peer_id node_peer(struct vworld *w, unsigned node)
{
    struct tug_control_peer who = {.role = TUG_ROLE_NODE, .address = "127.0.0.1"};
    char name[16];

    snprintf(name, sizeof name, "n%u", node);
    who.node = name;
    tug_control_peer_up(w->control, ++w->next_peer, &who);
    return w->next_peer;
}

static void connect_node(struct vworld *w, unsigned node)
{
    struct proc *p = &w->procs[node];

    if (p->link || p->cut || !w->control || !p->agent)
        return;
    p->link = node_peer(w, node);
    tug_agent_controller_up(p->agent, p->link);
}

static void on_persisted(struct vworld *w, struct due *d)
{
    struct proc *p = &w->procs[d->node];

    if (d->node == 0 && w->full) {
        struct due *next = later(w, ROOM_MS, W_PERSISTED, 0);

        next->batch = d->batch;
        next->ticket = d->ticket;
        d->batch = NULL;
        tug_control_full(w->control, w->full);
        return;
    }
    disk_apply(p, d->batch);
    if (d->node) {
        tug_agent_persisted(p->agent, d->ticket);
        return;
    }
    tug_control_full(w->control, NULL);
    tug_control_persisted(w->control, d->ticket);
}

void vw_set_disk(struct vworld *w, int64_t commit_ms) { w->disk_ms = commit_ms; }

void vw_fill(struct vworld *w, const char *why)
{
    w->full = why;
}

static void on_reply(struct vworld *w, const struct due *d)
{
    struct vw_reply *r = &w->replies.at[d->rid - 1];

    if (r->m)
        protobuf_c_message_free_unpacked(r->m, NULL);
    r->number = d->number;
    r->at_ms = w->now_ms;
    r->m = protobuf_c_message_unpack(tug_msg_info(d->number)->desc, NULL, d->len, d->body);
}

static void deliver(struct vworld *w, struct due *d)
{
    struct proc *p = &w->procs[d->node];
    ProtobufCMessage *m = d->body ? protobuf_c_message_unpack(tug_msg_info(d->number)->desc, NULL, d->len, d->body) : NULL;

    if (getenv("TUG_TEST_TRACE") && d->body)
        fprintf(stderr, "# %lld  %s %u  %s\n", (long long) (w->now_ms - VW_T0), whats[d->what], d->node, tug_msg_info(d->number)->name);
    switch (d->what) {
    case W_MSG_TO_CONTROL:
        if (d->number == TUG_MSG_NODE_HELLO) {
            free(p->hello.body);
            p->hello = *d;
            p->hello.body = tug_xmemdup(d->body, d->len);
        }
        if (w->control && d->peer == (d->node ? p->link : w->client))
            tug_control_message(w->control, d->peer, d->number, d->rid, m);
        break;
    case W_MSG_TO_AGENT:
        if (d->life == p->life && (d->peer == TUG_PEER_LAUNCHER || d->peer == p->link || stepd_by_peer(w, d->node, d->peer)))
            tug_agent_message(p->agent, d->peer, d->number, d->rid, m);
        break;
    case W_MSG_TO_LAUNCHER:
        launcher(w, d->node, d->number, m);
        break;
    case W_MSG_TO_CLIENT:
        on_reply(w, d);
        break;
    case W_PERSISTED:
        if (d->life == p->life)
            on_persisted(w, d);
        break;
    case W_CONNECT:
        connect_node(w, d->node);
        break;
    default:
        on_stepd_due(w, d, m);
    }
    if (m)
        protobuf_c_message_free_unpacked(m, NULL);
    free(d->body);
    tug_batch_free(d->batch);
}

/* Everything that is due at this very moment: messages first, in the order they were said, then timers. */
static int step(struct vworld *w, int64_t until_ms)
{
    int64_t next = INT64_MAX;
    size_t at = 0;
    unsigned timer = VW_NODES_MAX + 1;

    for (size_t i = 0; i < w->dues.len; i++)
        if (w->dues.at[i].at_ms < next || (w->dues.at[i].at_ms == next && w->dues.at[i].seq < w->dues.at[at].seq)) {
            next = w->dues.at[i].at_ms;
            at = i;
        }
    for (unsigned i = 0; i <= w->n_nodes; i++)
        if (w->procs[i].timer_ms < next) {
            next = w->procs[i].timer_ms;
            timer = i;
        }
    if (next > until_ms || next == INT64_MAX)
        return 0;
    w->now_ms = next > w->now_ms ? next : w->now_ms;
    if (timer <= VW_NODES_MAX) {
        w->procs[timer].timer_ms = INT64_MAX;
        if (timer == 0 && w->control)
            tug_control_timer(w->control);
        else if (timer && w->procs[timer].agent)
            tug_agent_timer(w->procs[timer].agent, w->now_ms);
    } else {
        struct due d = w->dues.at[at];

        tug_vec_remove(&w->dues, at);
        deliver(w, &d);
    }
    if (w->control) {
        enum tug_log_level level;
        const char *text;
        struct tug_err err = {0};

        tug_control_flush(w->control);
        while (tug_control_next_log(w->control, &level, &text))
            if (getenv("TUG_TEST_LOG"))
                fprintf(stderr, "# %lld %s\n", (long long) (w->now_ms - VW_T0), text);
        if (tug_core_check(tug_control_core(w->control), &err) != 0) {
            fprintf(stderr, "at %lld: %s\n", (long long) (w->now_ms - VW_T0), err.msg);
            abort();
        }
    }
    return 1;
}

void vw_run(struct vworld *w, int64_t until_ms)
{
    while (step(w, until_ms))
        ;
    if (until_ms != INT64_MAX && w->now_ms < until_ms)
        w->now_ms = until_ms;
}

/* ---- what tests do and see */

void vw_let_give_way(struct vworld *w, enum tug_policy_preemptable how, uint32_t notice_s)
{
    w->low.preemptable = how;
    w->low.preempt_notice_s = notice_s;
    vw_crash_control(w);
    vw_start_control(w);
}

void vw_set_run_ms(struct vworld *w, int64_t run_ms) { w->run_ms = run_ms; }
void vw_set_exit(struct vworld *w, unsigned node, int code) { w->procs[node].exit_code = code; }
void vw_set_mute(struct vworld *w, unsigned node, int mute) { w->procs[node].mute = mute; }
void vw_set_ready(struct vworld *w, unsigned node, int64_t ready_ms) { w->procs[node].ready_ms = ready_ms; }
int64_t vw_now(const struct vworld *w) { return w->now_ms; }

void vw_freeze(struct vworld *w, int64_t for_ms) { w->now_ms += for_ms; }

void vw_cut(struct vworld *w, unsigned node)
{
    w->procs[node].cut = 1;
    end_link(w, node);
}

void vw_mend(struct vworld *w, unsigned node)
{
    w->procs[node].cut = 0;
    later(w, HOP_MS, W_CONNECT, node);
}

void vw_take_out(struct vworld *w, unsigned n)
{
    w->n_taken_out = n;
}

void vw_set_lease(struct vworld *w, uint32_t lease_s)
{
    w->lease_s = lease_s;
}

tug_peer_id vw_connect_again(struct vworld *w, unsigned node)
{
    return node_peer(w, node);
}

void vw_hello_again(struct vworld *w, unsigned node, tug_peer_id on)
{
    const struct due *d = &w->procs[node].hello;
    ProtobufCMessage *m = protobuf_c_message_unpack(tug_msg_info(d->number)->desc, NULL, d->len, d->body);

    tug_control_message(w->control, on ? on : w->procs[node].link, d->number, d->rid, m);
    protobuf_c_message_free_unpacked(m, NULL);
    tug_control_flush(w->control);
}

static uint32_t ask(struct vworld *w, enum tug_msg number, const ProtobufCMessage *m)
{
    struct vw_reply none = {0};
    struct due *d = later(w, HOP_MS, W_MSG_TO_CONTROL, 0);
    uint32_t rid;

    tug_vec_push(&w->replies, none);
    rid = (uint32_t) w->replies.len;
    d->peer = w->client;
    set_body(d, (uint16_t) number, rid, m);
    return rid;
}

void vw_set_deaf(struct vworld *w, unsigned node, int deaf) { w->procs[node].deaf = deaf; }
void vw_put_wall(struct vworld *w, int64_t ahead_ms) { w->wall_ms = ahead_ms; }
void vw_reboot_control(struct vworld *w) { w->boot++; }
void vw_set_time(struct vworld *w, uint32_t limit_s, int64_t begin_ms)
{
    w->time_limit_s = limit_s;
    w->begin_ms = begin_ms;
}

void vw_set_again(struct vworld *w, const char *exits, uint32_t delay_s)
{
    w->requeue_on = exits;
    w->requeue_delay_s = delay_s;
}

uint32_t vw_submit(struct vworld *w, const char *token, uint32_t nodes, uint32_t gpus_per_node, int requeue)
{
    return vw_submit_to(w, "", token, nodes, gpus_per_node, requeue);
}

uint32_t vw_submit_to(struct vworld *w, const char *queue, const char *token, uint32_t nodes, uint32_t gpus_per_node,
                      int requeue)
{
    Tugpb__SubmitRequest m = TUGPB__SUBMIT_REQUEST__INIT;
    Tugpb__JobSpec spec = TUGPB__JOB_SPEC__INIT;
    Tugpb__ResourceRequest res = TUGPB__RESOURCE_REQUEST__INIT;
    char *argv[] = {(char *) "train"};

    res.nodes = nodes;
    if (nodes)
        res.gpus_per_node = gpus_per_node;
    else
        res.gpus = gpus_per_node;
    spec.res = &res;
    spec.kind = TUGPB__JOB_KIND__JOB_GANG;
    spec.argv = argv;
    spec.n_argv = 1;
    spec.cwd = (char *) "/tmp";
    spec.env.data = (uint8_t *) "A=1";
    spec.env.len = 4;
    spec.no_requeue = !requeue;
    spec.queue = (char *) queue;
    if (w->requeue_on)
        spec.requeue_on = (char *) w->requeue_on;
    spec.requeue_delay_s = w->requeue_delay_s;
    spec.time_limit_s = w->time_limit_s;
    spec.begin_ms = w->begin_ms;
    spec.hold = w->hold;
    if (w->preflight) {
        spec.preflight = (char *) w->preflight;
        spec.preflight_floor = 8000000000;
        spec.preflight_s = 30;
    }
    m.spec = &spec;
    m.token = (char *) token;
    return ask(w, TUG_MSG_SUBMIT_REQUEST, &m.base);
}

uint32_t vw_submit_step(struct vworld *w, uint64_t job, size_t arg_bytes)
{
    Tugpb__SubmitRequest m = TUGPB__SUBMIT_REQUEST__INIT;
    Tugpb__JobSpec spec = TUGPB__JOB_SPEC__INIT;
    char *argv[] = {(char *) "step", tug_xmalloc(arg_bytes + 1)};
    uint32_t rid;

    memset(argv[1], 'x', arg_bytes);
    argv[1][arg_bytes] = 0;
    spec.kind = TUGPB__JOB_KIND__JOB_GANG;
    spec.argv = argv;
    spec.n_argv = 2;
    spec.cwd = (char *) "/tmp";
    m.spec = &spec;
    m.in_job = job;
    rid = ask(w, TUG_MSG_SUBMIT_REQUEST, &m.base);
    free(argv[1]);
    return rid;
}

uint32_t vw_wait_end(struct vworld *w, uint64_t job)
{
    Tugpb__WaitRequest m = TUGPB__WAIT_REQUEST__INIT;

    m.job = job;
    return ask(w, TUG_MSG_WAIT_REQUEST, &m.base);
}

uint32_t vw_cancel(struct vworld *w, uint64_t job)
{
    Tugpb__CancelRequest m = TUGPB__CANCEL_REQUEST__INIT;

    m.jobs = &job;
    m.n_jobs = 1;
    return ask(w, TUG_MSG_CANCEL_REQUEST, &m.base);
}

uint32_t vw_requeue(struct vworld *w, uint64_t job)
{
    Tugpb__RequeueRequest m = TUGPB__REQUEUE_REQUEST__INIT;

    m.jobs = &job;
    m.n_jobs = 1;
    m.why = (char *) "no longer";
    return ask(w, TUG_MSG_REQUEUE_REQUEST, &m.base);
}

uint32_t vw_hold(struct vworld *w, uint64_t job, int release)
{
    Tugpb__HoldRequest m = TUGPB__HOLD_REQUEST__INIT;

    m.jobs = &job;
    m.n_jobs = 1;
    m.release = release;
    m.why = (char *) (release ? "" : "looked after");
    return ask(w, TUG_MSG_HOLD_REQUEST, &m.base);
}

void vw_set_hold(struct vworld *w, int hold) { w->hold = hold; }

const char *vw_holds(const struct vworld *w)
{
    return tug_buf_str(&((struct vworld *) (uintptr_t) w)->holds);
}

uint32_t vw_ask(struct vworld *w, enum tug_msg number, const ProtobufCMessage *m)
{
    return ask(w, number, m);
}

uint32_t vw_topo(struct vworld *w, const char *nodes)
{
    Tugpb__TopoRequest m = TUGPB__TOPO_REQUEST__INIT;

    m.nodes = (char *) nodes;
    return ask(w, TUG_MSG_TOPO_REQUEST, &m.base);
}

uint32_t vw_resume(struct vworld *w, int now)
{
    Tugpb__ResumeRequest m = TUGPB__RESUME_REQUEST__INIT;

    m.now = now;
    return ask(w, TUG_MSG_RESUME_REQUEST, &m.base);
}

uint64_t vw_epoch(const struct vworld *w)
{
    return tug_control_epoch(w->control);
}

uint64_t vw_node_epoch(const struct vworld *w, unsigned node)
{
    return tug_agent_epoch(w->procs[node].agent);
}

const struct vw_reply *vw_reply(const struct vworld *w, uint32_t rid)
{
    return w->replies.at[rid - 1].m ? &w->replies.at[rid - 1] : NULL;
}

uint64_t vw_job(const struct vworld *w, uint32_t rid)
{
    const struct vw_reply *r = vw_reply(w, rid);

    if (!r || r->number != TUG_MSG_SUBMIT_REPLY) {
        fprintf(stderr, "no SubmitReply: %s\n",
                r && r->number == TUG_MSG_ERROR ? ((Tugpb__Error *) r->m)->text : "nothing came");
        abort();
    }
    return ((Tugpb__SubmitReply *) r->m)->job;
}

const struct tug_job *vw_see(const struct vworld *w, uint64_t job)
{
    return tug_core_job(tug_control_core(w->control), job);
}

const struct tug_core *vw_core(const struct vworld *w)
{
    return tug_control_core(w->control);
}

int vw_durable(const struct vworld *w, const char *kind, uint64_t id)
{
    struct record *r;
    char key[160];

    snprintf(key, sizeof key, "%s/%llu", kind, (unsigned long long) id);
    HASH_FIND_STR(w->procs[0].disk, key, r);
    return r != NULL;
}

const char *vw_command(const struct vworld *w)
{
    return w->command;
}

void vw_set_preflight(struct vworld *w, const char *what)
{
    w->preflight = what;
}

const char *vw_gpu_order(const struct vworld *w)
{
    return w->gpu_order;
}

uint32_t vw_master_port(const struct vworld *w)
{
    return w->master_port;
}

unsigned vw_durable_tokens(const struct vworld *w)
{
    unsigned n = 0;

    for (const struct record *r = w->procs[0].disk; r; r = r->hh.next)
        n += strncmp(r->key, "tok/", 4) == 0;
    return n;
}

unsigned vw_running(const struct vworld *w, uint64_t job, uint32_t attempt)
{
    unsigned n = 0;

    for (size_t i = 0; i < w->stepds.len; i++)
        n += w->stepds.at[i].job == job && w->stepds.at[i].running && (!attempt || w->stepds.at[i].attempt == attempt);
    return n;
}

unsigned vw_stopped(const struct vworld *w, uint64_t job)
{
    unsigned n = 0;

    for (size_t i = 0; i < w->stepds.len; i++)
        n += w->stepds.at[i].job == job && w->stepds.at[i].running && w->stepds.at[i].stopped;
    return n;
}

unsigned vw_max_attempts_at_once(const struct vworld *w, uint64_t job)
{
    (void) job;
    return w->max_attempts;
}

unsigned vw_blind_starts(const struct vworld *w) { return w->blind_starts; }
